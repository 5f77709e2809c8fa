-- Jobs that workers lease, and what each search came to.

create table training_jobs (
    id uuid primary key default gen_random_uuid(),
    number bigint generated always as identity unique,
    campaign uuid,
    status text not null default 'queued'
        check (status in ('queued', 'running', 'completed', 'failed', 'cancelled')),
    strategy_id text not null check (strategy_id <> ''),
    exchange text not null,
    pair text not null,
    timeframe text not null check (timeframe in ('1m', '5m', '15m', '1h', '4h', '1d')),
    optimization_method text not null,
    seed bigint,
    work bigint not null check (work > 0),
    spec json not null,
    progress float8 not null default 0 check (progress between 0 and 100),
    current_stage text not null default 'queued',
    submitted_at timestamptz not null default clock_timestamp(),
    started_at timestamptz,
    completed_at timestamptz,
    worker text,
    attempt int not null default 0,
    heartbeat timestamptz,
    leased_until timestamptz,
    cancel_requested boolean not null default false,
    result json,
    result_config_id uuid references trained_configurations,
    error_message text,
    check (started_at >= submitted_at),
    check (completed_at >= coalesce(started_at, submitted_at)),
    check ((completed_at is not null) = (status in ('completed', 'failed', 'cancelled'))),
    check (status <> 'running' or (worker is not null and leased_until is not null))
);
create index training_jobs_open on training_jobs (number) where status in ('queued', 'running');
create index training_jobs_campaign on training_jobs (campaign) where campaign is not null;
comment on column training_jobs.attempt is 'Fencing token: one more for each lease; a worker writes only under its own.';
comment on column training_jobs.work is 'Cells times bars.';
comment on column training_jobs.spec is 'What is to be done, with the hashes of all that decides the result.';

create table strategy_training_results (
    id uuid primary key default gen_random_uuid(),
    strategy_name text not null,
    exchange text not null,
    symbol text not null,
    timeframe text not null,
    parameters jsonb not null,
    performance_metrics jsonb not null,
    created_at timestamptz not null default now(),
    surface_key text not null unique,
    cells bigint not null check (cells > 0)
);
create index strategy_training_results_market
    on strategy_training_results (strategy_name, exchange, symbol, timeframe);
comment on table strategy_training_results is 'One row per sweep or search: the cell in the middle of its best plateau.';
