-- The last part of a market's history, locked away from every search; each touch is counted before it is answered.

create table hold_out (
    number bigint generated always as identity primary key,
    family text not null check (family ~ '.:.'),
    start_ms bigint not null check (start_ms % 86400000 = 0),
    looks int not null check (looks between 1 and 100),
    alpha float8 not null check (alpha > 0 and alpha < 1),
    locked_at timestamptz not null default clock_timestamp()
);
create index hold_out_family on hold_out (family);
comment on column hold_out.start_ms is 'First moment that no search may see: a UTC midnight, so that no bar of any timeframe straddles it.';
comment on column hold_out.looks is 'How many candidates may ever be traded on it.';

create table hold_out_touch (
    number bigint generated always as identity primary key,
    hold_out bigint not null references hold_out,
    kind text not null check (kind in ('look', 'spend', 'release')),
    candidate text check (candidate ~ '^[0-9a-f]{64}$'),
    last_ms bigint not null,
    actor text check (actor = btrim(actor) and actor <> ''),
    reason text not null check (reason = btrim(reason) and reason <> ''),
    answer json,
    touched_at timestamptz not null default clock_timestamp(),
    check ((kind = 'look') = (candidate is not null)),
    check (kind = 'look' or answer is null),
    check (kind <> 'release' or actor is not null)
);
create unique index hold_out_looked on hold_out_touch (hold_out, candidate) where kind = 'look';
create unique index hold_out_ended on hold_out_touch (hold_out) where kind <> 'look';
comment on table hold_out_touch is 'Append-only: looks, and the one spend or release that ends a hold-out.';
comment on column hold_out_touch.last_ms is 'Open time of the last bar that was seen.';
comment on column hold_out_touch.answer is 'Null from the moment the look is counted until it is answered; then it never changes.';

-- Whatever is written about a family is written one after the other: this is the lock of the ledger.
create function lock_family(family text) returns void language sql as $$
    select pg_advisory_xact_lock(hashtextextended('quantlab.ledger ' || family, 0))
$$;

create function hold_out_in_force(of_family text) returns setof hold_out language sql stable as $$
    select h.* from hold_out h where h.family = of_family
        and not exists (select from hold_out_touch t where t.hold_out = h.number and t.kind <> 'look')
$$;

create function guard_hold_out() returns trigger language plpgsql as $$
declare
    seen bigint;
begin
    perform lock_family(new.family);
    if exists (select from hold_out_in_force(new.family)) then
        raise exception 'a hold-out of % is in force: it is neither moved nor given more looks', new.family;
    end if;
    if exists (select from trial_ledger l where l.family = new.family
        and (l.last_ms is null or l.last_ms >= new.start_ms))
    then
        raise exception 'bars of % in the hold-out were searched before: lock away later ones', new.family;
    end if;
    select max(t.last_ms) into seen from hold_out_touch t join hold_out h on h.number = t.hold_out
        where h.family = new.family;
    if seen >= new.start_ms then
        raise exception 'an earlier hold-out of % ended, and its bars up to % were seen: lock away later ones',
            new.family, to_char(to_timestamp(seen / 1000) at time zone 'UTC', 'YYYY-MM-DD HH24:MI');
    end if;
    new.locked_at := clock_timestamp();
    return new;
end $$;

create function guard_hold_out_touch() returns trigger language plpgsql as $$
declare
    held hold_out;
begin
    if tg_op = 'UPDATE' then
        if old.answer is not null or new.answer is null
            or to_jsonb(new) - 'answer' <> to_jsonb(old) - 'answer'
        then
            raise exception 'a touch of a hold-out never changes, and its answer is written once';
        end if;
        return new;
    end if;
    select * into held from hold_out h where h.number = new.hold_out;
    perform lock_family(held.family);
    if not exists (select from hold_out_in_force(held.family) f where f.number = held.number) then
        raise exception 'the hold-out of % has ended: it answers nothing any more', held.family;
    end if;
    if new.kind = 'look' and held.looks <= (
        select count(*) from hold_out_touch t where t.hold_out = held.number and t.kind = 'look')
    then
        raise exception 'all % looks at the hold-out of % are used', held.looks, held.family;
    end if;
    if new.kind <> 'look' then  -- whatever is stored may be seen from now on
        select greatest(new.last_ms, max(last.ts)) into new.last_ms from series s
            cross join lateral (select c.ts from candle c where c.series_id = s.id order by c.ts desc limit 1) last
            where s.exchange || ':' || s.symbol = held.family;
    end if;
    new.answer := null;
    new.touched_at := clock_timestamp();
    return new;
end $$;

create function guard_searched() returns trigger language plpgsql as $$
declare
    held hold_out;
begin
    perform lock_family(new.family);
    select * into held from hold_out_in_force(new.family) f
        where new.last_ms is null or new.last_ms >= f.start_ms;
    if found then
        raise exception 'a search on % reaches into its hold-out, which begins at %: search bars before it, '
            'or spend or release the hold-out', new.family,
            to_char(to_timestamp(held.start_ms / 1000) at time zone 'UTC', 'YYYY-MM-DD');
    end if;
    return new;
end $$;

create trigger guard before insert on hold_out for each row execute function guard_hold_out();
create trigger hold_outs_are_kept before update or delete or truncate on hold_out
    for each statement execute function refuse_change('release it, which is recorded');
create trigger guard before insert or update on hold_out_touch
    for each row execute function guard_hold_out_touch();
create trigger touches_are_kept before delete or truncate on hold_out_touch
    for each statement execute function refuse_change('what was seen stays seen');
create trigger guard before insert on trial_ledger for each row execute function guard_searched();

-- session_replication_role = replica does not switch these off.
alter table hold_out enable always trigger guard;
alter table hold_out enable always trigger hold_outs_are_kept;
alter table hold_out_touch enable always trigger guard;
alter table hold_out_touch enable always trigger touches_are_kept;
alter table trial_ledger enable always trigger guard;
