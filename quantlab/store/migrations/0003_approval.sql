-- Who may trade what: documents, approvals, revocations, and an audit that cannot be rewritten quietly.

create table configuration_document (
    configuration_id uuid not null references trained_configurations,
    payload bytea not null check (octet_length(payload) between 2 and 16777216),
    sha256 text not null generated always as (encode(sha256(payload), 'hex')) stored,
    number bigint generated always as identity,
    stored_at timestamptz not null default now(),
    primary key (configuration_id, sha256)
);
comment on table configuration_document is 'The exact bytes of the V3 documents of a configuration; a renewal adds one.';

-- Uniqueness of the active configuration lives here, because trained_configurations has its ten indexes.
create table configuration_approval (
    number bigint generated always as identity primary key,
    configuration_id uuid not null,
    sha256 text not null,
    strategy_name text not null,
    pair text not null,
    exchange text not null,
    timeframe text not null,
    regime text not null,
    actor text not null check (actor = btrim(actor) and actor <> ''),
    reason text not null check (reason = btrim(reason) and reason <> ''),
    saw jsonb not null,
    approved_at timestamptz not null default now(),
    expires_at timestamptz not null,
    in_force boolean not null default true,
    ended_at timestamptz,
    foreign key (configuration_id, sha256) references configuration_document
);
create unique index one_active_configuration
    on configuration_approval (strategy_name, pair, exchange, timeframe, regime) where in_force;
create index configuration_approval_configuration on configuration_approval (configuration_id);
comment on column configuration_approval.saw is 'The row of trained_configurations that the approver saw.';

create table configuration_revocation (
    configuration_id uuid primary key references trained_configurations,
    actor text not null check (actor = btrim(actor) and actor <> ''),
    reason text not null check (reason = btrim(reason) and reason <> ''),
    revoked_at timestamptz not null default now()
);

create table audit (
    number bigint primary key,
    at timestamptz not null,
    actor text not null,
    action text not null,
    configuration_id uuid not null,
    detail jsonb not null,
    previous text not null,
    hash text not null unique
);
comment on table audit is 'Append-only; each row carries the SHA-256 of the row before it.';

create function audit_digest(entry audit) returns text language sql stable as $$
    select encode(sha256(convert_to(jsonb_build_array(entry.previous, entry.number,
        (extract(epoch from entry.at) * 1000000)::bigint, entry.actor, entry.action, entry.configuration_id,
        entry.detail)::text, 'UTF8')), 'hex')
$$;

-- Whatever an insert says, its place in the chain is found here, inside the lock.
create function chain_audit() returns trigger language plpgsql as $$
declare
    last audit;
begin
    perform pg_advisory_xact_lock(hashtextextended(tg_relid::text, 0));
    select * into last from audit order by number desc limit 1;
    new.number := coalesce(last.number, 0) + 1;
    new.previous := coalesce(last.hash, repeat('0', 64));
    new.at := clock_timestamp();
    new.detail := new.detail || jsonb_build_object('role', session_user);
    new.hash := audit_digest(new);
    return new;
end $$;

create trigger chain before insert on audit for each row execute function chain_audit();

create function audit_first_broken() returns bigint language sql stable as $$
    select min(number) from (
        select a.number, a.previous, a.hash, audit_digest(a) as digest, row_number() over w as place,
            lag(a.hash, 1, repeat('0', 64)) over w as expected
        from audit a window w as (order by a.number)
    ) chain where previous <> expected or number <> place or hash <> digest
$$;

-- The door: whether approve_config is among the callers of this trigger.
create function inside_approve_config() returns boolean language plpgsql as $$
declare
    stack text;
begin
    get diagnostics stack = pg_context;
    return stack ~ 'function approve_config\(uuid,text,text,text\) line';
end $$;

create function guard_configuration() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        if new.is_active then
            raise exception 'a configuration is stored inactive; approve_config activates it';
        end if;
        return new;
    end if;
    if new.is_active and not old.is_active and not inside_approve_config() then
        raise exception 'is_active is set by approve_config and by nothing else: approve configuration % there', new.id;
    end if;
    if (new.id, new.created_at) is distinct from (old.id, old.created_at) then
        raise exception 'id and created_at of a configuration never change: store another one';
    end if;
    if (new.strategy_name, new.exchange, new.pair, new.timeframe, new.regime, new.parameters_json, new.engine_hash)
        is distinct from
        (old.strategy_name, old.exchange, old.pair, old.timeframe, old.regime, old.parameters_json, old.engine_hash)
        and exists (select from configuration_approval a where a.configuration_id = old.id)
    then
        raise exception 'configuration % was approved, so what it trades never changes: store another one', old.id;
    end if;
    new.updated_at := now();
    if new.is_active and not old.is_active then
        new.last_activated_at := now();
    elsif old.is_active and not new.is_active then
        new.last_deactivated_at := now();
    else
        new.last_activated_at := old.last_activated_at;
        new.last_deactivated_at := old.last_deactivated_at;
    end if;
    return new;
end $$;

create function end_approval() returns trigger language plpgsql as $$
begin
    update configuration_approval set in_force = false, ended_at = now()
        where configuration_id = new.id and in_force;
    insert into audit (actor, action, configuration_id, detail) values (
        coalesce(nullif(current_setting('quantlab.actor', true), ''), session_user), 'deactivate', new.id,
        jsonb_build_object('reason', coalesce(current_setting('quantlab.reason', true), ''))
    );
    return null;
end $$;

create function guard_approval() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        if not inside_approve_config() then
            raise exception 'approvals are written by approve_config and by nothing else';
        end if;
    elsif not old.in_force or new.in_force
        or to_jsonb(new) - 'in_force' - 'ended_at' <> to_jsonb(old) - 'in_force' - 'ended_at'
    then
        raise exception 'an approval only ever ends; nothing else of it changes';
    end if;
    return new;
end $$;

create trigger guard before insert or update on trained_configurations
    for each row execute function guard_configuration();
create trigger deactivated after update of is_active on trained_configurations
    for each row when (old.is_active and not new.is_active) execute function end_approval();
create trigger configurations_are_kept before delete or truncate on trained_configurations
    for each statement execute function refuse_change('deactivate or revoke it');
create trigger documents_are_kept before update or delete or truncate on configuration_document
    for each statement execute function refuse_change();
create trigger guard before insert or update on configuration_approval
    for each row execute function guard_approval();
create trigger approvals_are_kept before delete or truncate on configuration_approval
    for each statement execute function refuse_change('revoke the configuration');
create trigger revocations_are_kept before update or delete or truncate on configuration_revocation
    for each statement execute function refuse_change('store a new configuration');
create trigger audit_is_kept before update or delete or truncate on audit
    for each statement execute function refuse_change();

-- session_replication_role = replica does not switch these off.
alter table trained_configurations enable always trigger guard;
alter table trained_configurations enable always trigger deactivated;
alter table trained_configurations enable always trigger configurations_are_kept;
alter table configuration_document enable always trigger documents_are_kept;
alter table configuration_approval enable always trigger guard;
alter table configuration_approval enable always trigger approvals_are_kept;
alter table configuration_revocation enable always trigger revocations_are_kept;
alter table audit enable always trigger chain;
alter table audit enable always trigger audit_is_kept;

-- What a document says of itself, or a refusal.
create function checked_expiry(document bytea, configuration trained_configurations) returns timestamptz
language plpgsql set timezone to 'UTC' as $$
declare
    content jsonb;
    expires timestamptz;
begin
    begin
        content := convert_from(document, 'UTF8')::jsonb;
        expires := (content #>> '{identity,expires_at}')::timestamptz;
    exception when data_exception then
        raise exception 'the document of % is not a V3 document: %', configuration.id, sqlerrm;
    end;
    if expires is null or expires <= now() then
        raise exception 'the document of % has expired or never says when it does (identity.expires_at: %): renew it',
            configuration.id, expires;
    end if;
    if (content #>> '{strategy,name}', content #>> '{market,exchange}', content #>> '{market,symbol}',
        content #>> '{market,timeframe}') is distinct from
        (configuration.strategy_name, configuration.exchange, configuration.pair, configuration.timeframe)
        or configuration.parameters_json is distinct from (
            select jsonb_object_agg(name, entry -> 'value')
            from jsonb_each(content #> '{strategy,parameters}') as parameter(name, entry))
    then
        raise exception 'the document of % is about another strategy, market or parameters than its row', configuration.id;
    end if;
    if content #> '{validation,approved}' is distinct from 'true'::jsonb then
        raise exception 'the gate has not approved configuration %: it is research, not for trading', configuration.id;
    end if;
    return expires;
end $$;

create function approve_config(id uuid, sha text, actor text, reason text) returns bigint
language plpgsql security definer set search_path from current as $$
declare
    configuration trained_configurations;
    document configuration_document;
    approval bigint;
    expires timestamptz;
begin
    if coalesce(btrim(actor), '') = '' or coalesce(btrim(reason), '') = '' then
        raise exception 'an approval needs the name of who approves and a reason';
    end if;
    perform pg_advisory_xact_lock(hashtextextended('quantlab.approve_config', 0));
    select * into configuration from trained_configurations t where t.id = approve_config.id for update;
    if not found then
        raise exception 'there is no configuration %', id;
    end if;
    select * into document from configuration_document d
        where d.configuration_id = approve_config.id and d.sha256 = lower(sha);
    if not found then
        raise exception 'configuration % has no document with SHA-256 %: approve the bytes that are stored', id, sha;
    end if;
    if exists (select from configuration_revocation r where r.configuration_id = approve_config.id) then
        raise exception 'configuration % was revoked: store and approve another one', id;
    end if;
    expires := checked_expiry(document.payload, configuration);
    select a.number into approval from configuration_approval a
        where a.configuration_id = approve_config.id and a.sha256 = document.sha256 and a.in_force;
    if found then
        return approval;
    end if;
    perform set_config('quantlab.actor', btrim(actor), true);
    perform set_config('quantlab.reason', format('superseded by %s %s', id, document.sha256), true);
    update trained_configurations t set is_active = false
        where t.is_active and (t.strategy_name, t.pair, t.exchange, t.timeframe, t.regime) = (
            configuration.strategy_name, configuration.pair, configuration.exchange, configuration.timeframe,
            configuration.regime);
    perform set_config('quantlab.actor', '', true), set_config('quantlab.reason', '', true);
    insert into configuration_approval (configuration_id, sha256, strategy_name, pair, exchange, timeframe, regime,
        actor, reason, saw, expires_at)
    values (id, document.sha256, configuration.strategy_name, configuration.pair, configuration.exchange,
        configuration.timeframe, configuration.regime, btrim(actor), btrim(reason), to_jsonb(configuration), expires)
    returning number into approval;
    update trained_configurations t set is_active = true where t.id = approve_config.id;
    insert into audit (actor, action, configuration_id, detail) values (btrim(actor), 'approve', id,
        jsonb_build_object('approval', approval, 'sha256', document.sha256, 'reason', btrim(reason)));
    return approval;
end $$;

create function revoke_config(id uuid, actor text, reason text) returns void
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
    perform set_config('quantlab.actor', '', true), set_config('quantlab.reason', '', true);
end $$;

revoke all on function approve_config(uuid, text, text, text) from public;
revoke all on function revoke_config(uuid, text, text) from public;

create view approved_configuration with (security_barrier) as
    select t.id, t.strategy_name, t.exchange, t.pair, t.timeframe, t.regime, t.status, t.parameters_json,
        d.payload, d.sha256, a.actor as approved_by, a.approved_at, a.expires_at
    from trained_configurations t
    join configuration_approval a on a.configuration_id = t.id and a.in_force
    join configuration_document d on d.configuration_id = t.id and d.sha256 = a.sha256
    where t.is_active and a.expires_at > now()
        and not exists (select from configuration_revocation r where r.configuration_id = t.id);
comment on view approved_configuration is 'All that an execution bot may see: grant quantlab_bot to its login.';

-- The bot's role exists in a whole server: made if we may, used if it is there, else the view stands alone.
do $$
begin
    if not exists (select from pg_roles where rolname = 'quantlab_bot')
        and (select rolsuper or rolcreaterole from pg_roles where rolname = current_user)
    then
        begin
            create role quantlab_bot nologin;
        exception when duplicate_object or unique_violation then
            null;  -- another database of this server was first
        end;
    end if;
    if exists (select from pg_roles where rolname = 'quantlab_bot') then
        execute format('grant usage on schema %I to quantlab_bot', current_schema());
        grant select on approved_configuration to quantlab_bot;
    end if;
end $$;
