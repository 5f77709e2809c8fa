-- Configurations that trade together: the members of one group are active for a market together or not at all.

create table configuration_member (
    configuration_id uuid primary key references trained_configurations,
    group_id uuid not null,
    members int not null check (members between 2 and 100),
    weight float8 not null check (weight > 0 and weight < 1)
);
create index configuration_member_group on configuration_member (group_id);
comment on table configuration_member is 'Written from the section group of a V3 document when it is stored; never changes.';

-- Who may be in force on a market: one configuration, or one group. A foreign key holds approvals to it.
create table configuration_in_force (
    strategy_name text not null,
    pair text not null,
    exchange text not null,
    timeframe text not null,
    regime text not null,
    holder uuid not null,
    primary key (strategy_name, pair, exchange, timeframe, regime),
    unique (strategy_name, pair, exchange, timeframe, regime, holder)
);
comment on column configuration_in_force.holder is 'Id of the configuration or of the group that was approved last.';

alter table configuration_approval add column group_id uuid, add column weight float8;
alter table configuration_approval add column held_by uuid
    generated always as (case when in_force then coalesce(group_id, configuration_id) end) stored;
insert into configuration_in_force
    select strategy_name, pair, exchange, timeframe, regime, configuration_id from configuration_approval where in_force;
alter table configuration_approval add constraint one_holder_in_force
    foreign key (strategy_name, pair, exchange, timeframe, regime, held_by)
    references configuration_in_force (strategy_name, pair, exchange, timeframe, regime, holder);
drop index one_active_configuration;
create unique index one_approval_in_force on configuration_approval (configuration_id) where in_force;

create function note_member() returns trigger language plpgsql as $$
declare
    section jsonb;
    known configuration_member;
begin
    begin
        section := convert_from(new.payload, 'UTF8')::jsonb -> 'group';
    exception when data_exception then
        return null;  -- approve_config says what is wrong with it
    end;
    select * into known from configuration_member m where m.configuration_id = new.configuration_id;
    if found and (section is null or (known.group_id, known.members, known.weight) is distinct from
        ((section ->> 'id')::uuid, (section ->> 'members')::int, (section ->> 'weight')::float8))
    then
        raise exception 'configuration % is a member of group %: it leaves it never', new.configuration_id, known.group_id;
    elsif known.group_id is null and section is not null then
        if exists (select from configuration_approval a where a.configuration_id = new.configuration_id) then
            raise exception 'configuration % was approved by itself: it joins no group', new.configuration_id;
        end if;
        insert into configuration_member values (new.configuration_id, (section ->> 'id')::uuid,
            (section ->> 'members')::int, (section ->> 'weight')::float8);
    end if;
    return null;
end $$;

create function guard_member() returns trigger language plpgsql as $$
begin
    if pg_trigger_depth() < 2 then
        raise exception 'members are written when their document is stored and by nothing else';
    end if;
    return new;
end $$;

-- The doors: whether approve_config or approve_group is among the callers of this trigger.
create or replace function inside_approve_config() returns boolean language plpgsql as $$
declare
    stack text;
begin
    get diagnostics stack = pg_context;
    return stack ~ 'function approve_(config\(uuid,text|group\(uuid,uuid\[\],text\[\]),text,text\) line';
end $$;

create or replace function guard_approval() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        if not inside_approve_config() then
            raise exception 'approvals are written by approve_config and approve_group and by nothing else';
        end if;
    elsif not old.in_force or new.in_force
        or to_jsonb(new) - 'in_force' - 'ended_at' - 'held_by' <> to_jsonb(old) - 'in_force' - 'ended_at' - 'held_by'
    then
        raise exception 'an approval only ever ends; nothing else of it changes';
    end if;
    return new;
end $$;

create function guard_in_force() returns trigger language plpgsql as $$
begin
    if not inside_approve_config() then
        raise exception 'who is in force is written by approve_config and approve_group and by nothing else';
    end if;
    return new;
end $$;

-- What may be activated, and its approval if the same is in force already.
create function checked_approval(id uuid, sha text, out expires timestamptz, out in_force bigint)
language plpgsql as $$
declare
    configuration trained_configurations;
    document configuration_document;
begin
    select * into configuration from trained_configurations t where t.id = checked_approval.id for update;
    if not found then
        raise exception 'there is no configuration %', id;
    end if;
    select * into document from configuration_document d
        where d.configuration_id = checked_approval.id and d.sha256 = lower(sha);
    if not found then
        raise exception 'configuration % has no document with SHA-256 %: approve the bytes that are stored', id, sha;
    end if;
    if exists (select from configuration_revocation r where r.configuration_id = checked_approval.id) then
        raise exception 'configuration % was revoked: store and approve another one', id;
    end if;
    expires := checked_expiry(document.payload, configuration);
    select a.number into in_force from configuration_approval a
        where a.configuration_id = checked_approval.id and a.sha256 = document.sha256 and a.in_force;
end $$;

create function make_way(configuration trained_configurations, holder uuid, actor text, reason text) returns void
language plpgsql as $$
begin
    perform set_config('quantlab.actor', actor, true), set_config('quantlab.reason', reason, true);
    update trained_configurations t set is_active = false
        where t.is_active and (t.strategy_name, t.pair, t.exchange, t.timeframe, t.regime) = (
            configuration.strategy_name, configuration.pair, configuration.exchange, configuration.timeframe,
            configuration.regime);
    perform set_config('quantlab.actor', '', true), set_config('quantlab.reason', '', true);
    insert into configuration_in_force values (configuration.strategy_name, configuration.pair,
        configuration.exchange, configuration.timeframe, configuration.regime, make_way.holder)
        on conflict on constraint configuration_in_force_pkey do update set holder = excluded.holder;
end $$;

create function put_in_force(
    configuration trained_configurations, member configuration_member, sha text, actor text, reason text,
    expires timestamptz
) returns bigint language plpgsql as $$
declare
    approval bigint;
    detail jsonb;
begin
    insert into configuration_approval (configuration_id, sha256, strategy_name, pair, exchange, timeframe, regime,
        actor, reason, saw, expires_at, group_id, weight)
    values (configuration.id, lower(sha), configuration.strategy_name, configuration.pair, configuration.exchange,
        configuration.timeframe, configuration.regime, actor, reason, to_jsonb(configuration), expires,
        member.group_id, member.weight)
    returning number into approval;
    update trained_configurations t set is_active = true where t.id = configuration.id;
    detail := jsonb_build_object('approval', approval, 'sha256', lower(sha), 'reason', reason);
    if member.group_id is not null then
        detail := detail || jsonb_build_object('group', member.group_id);
    end if;
    insert into audit (actor, action, configuration_id, detail) values (actor, 'approve', configuration.id, detail);
    return approval;
end $$;

create or replace function approve_config(id uuid, sha text, actor text, reason text) returns bigint
language plpgsql security definer set search_path from current as $$
declare
    configuration trained_configurations;
    checked record;
begin
    if coalesce(btrim(actor), '') = '' or coalesce(btrim(reason), '') = '' then
        raise exception 'an approval needs the name of who approves and a reason';
    end if;
    perform pg_advisory_xact_lock(hashtextextended('quantlab.approve_config', 0));
    if exists (select from configuration_member m where m.configuration_id = approve_config.id) then
        raise exception 'configuration % is a member of a group: approve_group approves all of them or none', id;
    end if;
    checked := checked_approval(id, sha);
    if checked.in_force is not null then
        return checked.in_force;
    end if;
    select * into configuration from trained_configurations t where t.id = approve_config.id;
    perform make_way(configuration, id, btrim(actor), format('superseded by %s %s', id, lower(sha)));
    return put_in_force(configuration, null, sha, btrim(actor), btrim(reason), checked.expires);
end $$;

create function approve_group(group_id uuid, ids uuid[], shas text[], actor text, reason text) returns bigint
language plpgsql security definer set search_path from current as $$
declare
    known uuid[];
    asked uuid[];
    wanted int;
    weights float8;
    markets int;
    checked record;
    configuration trained_configurations;
    member configuration_member;
    first bigint;
    all_in_force boolean := true;
begin
    if coalesce(btrim(actor), '') = '' or coalesce(btrim(reason), '') = '' then
        raise exception 'an approval needs the name of who approves and a reason';
    end if;
    perform pg_advisory_xact_lock(hashtextextended('quantlab.approve_config', 0));
    select array_agg(m.configuration_id order by m.configuration_id), max(m.members), sum(m.weight)
        into known, wanted, weights from configuration_member m where m.group_id = approve_group.group_id;
    select array_agg(one order by one) into asked from unnest(ids) one;
    if known is null or known is distinct from asked or cardinality(known) <> wanted or abs(weights - 1) > 1e-9
        or cardinality(ids) <> cardinality(shas)
    then
        raise exception 'group % is approved whole or not at all: it has % of % members with weights that sum to %, asked were %',
            group_id, coalesce(cardinality(known), 0), coalesce(wanted, 0), coalesce(weights, 0), cardinality(ids);
    end if;
    select count(distinct (t.strategy_name, t.pair, t.exchange, t.timeframe, t.regime)) into markets
        from trained_configurations t where t.id = any(known);
    if markets <> 1 then
        raise exception 'the members of group % are of % strategies, markets or regimes: a group is of one', group_id, markets;
    end if;
    for i in 1 .. cardinality(ids) loop
        checked := checked_approval(ids[i], shas[i]);
        all_in_force := all_in_force and checked.in_force is not null;
        first := least(first, checked.in_force);
    end loop;
    if all_in_force then
        return first;
    end if;
    first := null;
    select * into configuration from trained_configurations t where t.id = ids[1];
    perform make_way(configuration, group_id, btrim(actor), format('superseded by group %s', group_id));
    for i in 1 .. cardinality(ids) loop
        checked := checked_approval(ids[i], shas[i]);
        select * into configuration from trained_configurations t where t.id = ids[i];
        select * into member from configuration_member m where m.configuration_id = ids[i];
        first := least(first,
            put_in_force(configuration, member, shas[i], btrim(actor), btrim(reason), checked.expires));
    end loop;
    return first;
end $$;

create or replace function revoke_config(id uuid, actor text, reason text) returns void
language plpgsql security definer set search_path from current as $$
begin
    if coalesce(btrim(actor), '') = '' or coalesce(btrim(reason), '') = '' then
        raise exception 'a revocation needs the name of who revokes and a reason';
    end if;
    perform pg_advisory_xact_lock(hashtextextended('quantlab.approve_config', 0));
    if not exists (select from trained_configurations t where t.id = revoke_config.id) then
        raise exception 'there is no configuration %', id;
    end if;
    insert into configuration_revocation (configuration_id, actor, reason) values (id, btrim(actor), btrim(reason));
    insert into audit (actor, action, configuration_id, detail)
        values (btrim(actor), 'revoke', id, jsonb_build_object('reason', btrim(reason)));
    perform set_config('quantlab.actor', btrim(actor), true), set_config('quantlab.reason', 'revoked', true);
    update trained_configurations t set is_active = false where t.id = revoke_config.id and t.is_active;
    perform set_config('quantlab.reason', format('%s of its group was revoked', id), true);
    update trained_configurations t set is_active = false where t.is_active and t.id in (
        select other.configuration_id from configuration_member m
        join configuration_member other on other.group_id = m.group_id where m.configuration_id = revoke_config.id);
    perform set_config('quantlab.actor', '', true), set_config('quantlab.reason', '', true);
end $$;

revoke all on function approve_group(uuid, uuid[], text[], text, text) from public;
revoke all on function checked_approval(uuid, text) from public;
revoke all on function make_way(trained_configurations, uuid, text, text) from public;
revoke all on function put_in_force(trained_configurations, configuration_member, text, text, text, timestamptz)
    from public;

create trigger noted after insert on configuration_document for each row execute function note_member();
create trigger guard before insert on configuration_member for each row execute function guard_member();
create trigger members_are_kept before update or delete or truncate on configuration_member
    for each statement execute function refuse_change('store another group');
create trigger guard before insert or update on configuration_in_force
    for each row execute function guard_in_force();
create trigger holders_are_kept before delete or truncate on configuration_in_force
    for each statement execute function refuse_change('approve another configuration');
alter table configuration_document enable always trigger noted;
alter table configuration_member enable always trigger guard;
alter table configuration_member enable always trigger members_are_kept;
alter table configuration_in_force enable always trigger guard;
alter table configuration_in_force enable always trigger holders_are_kept;

-- A group is shown whole or not at all.
create or replace view approved_configuration with (security_barrier) as
    with shown as (
        select t.id, t.strategy_name, t.exchange, t.pair, t.timeframe, t.regime, t.status, t.parameters_json,
            d.payload, d.sha256, a.actor as approved_by, a.approved_at, a.expires_at, a.group_id,
            coalesce(a.weight, 1) as weight
        from trained_configurations t
        join configuration_approval a on a.configuration_id = t.id and a.in_force
        join configuration_document d on d.configuration_id = t.id and d.sha256 = a.sha256
        where t.is_active and a.expires_at > now()
            and not exists (select from configuration_revocation r where r.configuration_id = t.id)
    )
    select s.* from shown s where s.group_id is null or (select count(*) from shown o where o.group_id = s.group_id)
        = (select max(m.members) from configuration_member m where m.group_id = s.group_id);
comment on view approved_configuration is 'All that an execution bot may see: grant quantlab_bot to its login.';
