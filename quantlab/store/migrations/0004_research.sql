-- Surfaces, the ledger of trials, progress of sweeps, verdicts.

create table surface (
    key text primary key check (key ~ '^[0-9a-f]{64}$'),
    strategy text,
    exchange text,
    symbol text,
    timeframe text,
    fingerprint text,
    cells bigint not null check (cells > 0),
    shape bigint[] not null,
    meta json not null,
    created_at timestamptz not null default now()
);
create index surface_market on surface (strategy, exchange, symbol, timeframe);
comment on column surface.key is 'SHA-256 of code, cells, candles and execution: the same key is the same result.';

create table surface_metric (
    key text not null references surface on delete cascade,
    metric text not null,
    place int not null,
    data bytea not null,
    primary key (key, metric)
);
alter table surface_metric alter column data set storage external;
comment on column surface_metric.data is 'Arrow IPC stream, zstd, one float64 column in C order.';

create table trial_ledger (
    key text primary key,
    fingerprint text not null,
    family text not null,
    strategy text not null,
    kind text not null,
    cells bigint not null check (cells > 0),
    recorded_at timestamptz not null default now()
);
create index trial_ledger_family on trial_ledger (family);
comment on table trial_ledger is 'Every search ever made, with the number of cells it evaluated; each once, for ever.';

create trigger trials_are_kept before update or delete or truncate on trial_ledger
    for each statement execute function refuse_change('what was tried stays tried');
alter table trial_ledger enable always trigger trials_are_kept;

create table sweep_checkpoint (
    key text not null,
    chunk bigint not null check (chunk >= 0),
    data bytea not null,
    saved_at timestamptz not null default now(),
    primary key (key, chunk)
);
alter table sweep_checkpoint alter column data set storage external;

create table verdict (
    key text primary key,
    surface_key text not null,
    document json not null,
    recorded_at timestamptz not null default now()
);
create index verdict_surface on verdict (surface_key);
