-- The ledger counts before it evaluates, batch by batch, and knows which period was searched.

alter table trial_ledger
    add column number bigint generated always as identity,
    add column search text,
    add column in_batches boolean not null default false,
    add column timeframe text,
    add column first_ms bigint,
    add column last_ms bigint;
alter table trial_ledger drop constraint trial_ledger_cells_check;
alter table trial_ledger add constraint trial_ledger_cells_check check (cells > 0 or (in_batches and cells = 0));
alter table trial_ledger add constraint trial_ledger_batch check (search is null or not in_batches);
create unique index trial_ledger_number on trial_ledger (number);
create index trial_ledger_search on trial_ledger (search) where search is not null;
comment on column trial_ledger.number is 'Order of the searches on a family: written under a lock of the family.';
comment on column trial_ledger.search is 'The search that a batch belongs to; null for a search itself.';
comment on column trial_ledger.in_batches is 'Its cells are counted by its batches, each before it is evaluated.';
comment on column trial_ledger.first_ms is 'Open time of the first bar; null in rows of an earlier version: any period.';
