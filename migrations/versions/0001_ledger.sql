-- Nothing in this script is looked up where others may create things.
set local search_path = pg_catalog, pg_temp;

-- What the ledger needs of the database it is installed into, said before anything is created.
do $$
declare
    squatter text;
begin
    if current_setting('server_version_num')::integer < 150000 then
        raise exception using
            errcode = 'ZXENV',
            message = 'this PostgreSQL is too old for the ledger',
            detail = format('server_version is %s', current_setting('server_version')),
            hint = 'Install into PostgreSQL 15 or later.',
            constraint = 'server_recent_enough';
    end if;
    if current_setting('server_encoding') <> 'UTF8' then
        raise exception using
            errcode = 'ZXENV',
            message = 'the ledger needs a database encoded in UTF8',
            detail = format('server_encoding is %s', current_setting('server_encoding')),
            hint = 'create database ... encoding ''UTF8'' template template0',
            constraint = 'database_is_utf8';
    end if;
    if not has_database_privilege(current_database(), 'create') then
        raise exception using
            errcode = 'ZXENV',
            message = 'the installing role may not create schemas in this database',
            detail = format('role %I, database %I', current_user, current_database()),
            hint = 'Install as the owner of the database.',
            constraint = 'installer_owns_database';
    end if;
    -- Whoever may create schemas could have made ours beforehand, with things in it that are theirs.
    select string_agg(format('schema %I, owned by %I', n.nspname, pg_get_userbyid(n.nspowner)), '; ') into squatter
    from pg_catalog.pg_namespace as n
    where n.nspname in ('aximo', 'aximo_private') and (
        not pg_has_role(current_user, n.nspowner, 'usage')
        or exists (select from pg_catalog.pg_proc as p where p.pronamespace = n.oid)
        or exists (
            select from pg_catalog.pg_class as c
            where c.relnamespace = n.oid and c.relname not in ('alembic_version', 'alembic_version_pkc')
        )
    );
    if squatter is not null then
        raise exception using
            errcode = 'ZXENV',
            message = 'the ledger''s schemas exist already',
            detail = squatter,
            hint = 'If it is the ledger, use "aximo-db migrate". If not, rename or drop that schema.',
            constraint = 'schemas_are_ours';
    end if;
end;
$$;

-- Group roles. They are shared by all databases of a cluster, so they may exist already, and two installs may run at once.
-- Who a login is decides what it may do (these roles); which customer it works for is decided by aximo.grant_customer.
do $$
declare
    role_name text;
    found_role pg_catalog.pg_roles;
begin
    foreach role_name in array array[
        'aximo_owner',      -- owns schemas, tables and views; nobody logs in as it
        'aximo_gatekeeper', -- owns only the functions that decide which customer a session works for
        'aximo_recorder',   -- owns only the functions that write events; the one role that may insert them
        'aximo_sequencer',  -- owns only the functions that number events and keep the log
        'aximo_reader',     -- may read its customer's events and everything derived from them
        'aximo_writer',     -- may also emit
        'aximo_bi',         -- may read metrics
        'aximo_operator',   -- may read and do the housekeeping
        'aximo_auditor'     -- may read, and check the proofs
    ] loop
        begin
            if not exists (select from pg_catalog.pg_roles as r where r.rolname = role_name) then
                execute format('create role %I nologin', role_name);
            end if;
        exception
            when duplicate_object or unique_violation then
                null;
            when insufficient_privilege then
                raise exception using
                    errcode = 'ZXENV',
                    message = 'the installing role may not create the ledger''s roles',
                    detail = format('role %I has no CREATEROLE, and %I does not exist', current_user, role_name),
                    hint = format('alter role %I createrole', current_user),
                    constraint = 'installer_creates_roles';
        end;
        select * into strict found_role from pg_catalog.pg_roles where rolname = role_name;
        if found_role.rolcanlogin or found_role.rolsuper or found_role.rolbypassrls or found_role.rolcreaterole then
            raise exception using
                errcode = 'ZXENV',
                message = 'a role of the ledger''s name exists with rights it must not have',
                detail = format('role %I can log in, or is superuser, BYPASSRLS or CREATEROLE', role_name),
                hint = 'Rename or drop that role, then install again.',
                constraint = 'group_roles_are_harmless';
        end if;
        -- The installing role acts as the owners now and at every upgrade.
        if role_name in ('aximo_owner', 'aximo_gatekeeper', 'aximo_recorder', 'aximo_sequencer')
            and not pg_has_role(current_user, role_name, 'usage') then
            begin
                execute format('grant %I to %I', role_name, current_user);
            exception
                when insufficient_privilege then
                    raise exception using
                        errcode = 'ZXENV',
                        message = 'the installing role may not act as the ledger''s owner',
                        detail = format('role %I is not a member of %I and may not grant it', current_user, role_name),
                        hint = format('As the role that created it, or as superuser: grant %I to %I with admin option', role_name, current_user),
                        constraint = 'installer_acts_as_owner';
            end;
        end if;
    end loop;
end;
$$;

-- A writer reads what it wrote; operators and auditors read too. A login that must only write gets EXECUTE on the emit functions
-- and none of these. The owner may call what the ledger offers, so that the installing login can try everything.
do $$
declare
    membership record;
begin
    for membership in
        select *
        from (
            values
            ('aximo_reader', 'aximo_writer'),
            ('aximo_reader', 'aximo_operator'),
            ('aximo_reader', 'aximo_auditor'),
            ('aximo_writer', 'aximo_owner'),
            ('aximo_operator', 'aximo_owner'),
            ('aximo_auditor', 'aximo_owner'),
            ('aximo_bi', 'aximo_owner')
        ) as wanted (granted, member)
        where not pg_has_role(wanted.member, wanted.granted, 'usage')
    loop
        execute format('grant %I to %I', membership.granted, membership.member);
    end loop;
end;
$$;

alter schema aximo_private owner to aximo_owner;
comment on schema aximo_private is 'Tables and helpers of the ledger. No login has USAGE; everything public is in schema aximo.';

create schema aximo;
alter schema aximo owner to aximo_owner;
comment on schema aximo is 'The event ledger''s API: views to read, functions to write.';

-- Deny first: whatever these roles create later is nobody else's until it is granted. (With IN SCHEMA this would have no effect.)
alter default privileges for role aximo_owner revoke execute on functions from public;
alter default privileges for role aximo_owner revoke usage on types from public;
alter default privileges for role aximo_gatekeeper revoke execute on functions from public;
alter default privileges for role aximo_recorder revoke execute on functions from public;
alter default privileges for role aximo_sequencer revoke execute on functions from public;

-- A function's owner needs CREATE on its schema while it is handed over; the last file takes it back.
grant usage, create on schema aximo, aximo_private to aximo_gatekeeper, aximo_recorder, aximo_sequencer;

-- The access map: which login may work for which customer. Keyed by name, as a dump restores it into a cluster where every oid differs.
create table aximo_private.customer_grants (
    role_name text collate "C" not null,
    customer_id text collate "C" not null
        constraint customer_id_present check (customer_id <> ''),
    granted_at timestamptz not null default clock_timestamp(),
    granted_by text collate "C" not null default session_user,
    constraint customer_grants_pkey primary key (role_name, customer_id)
);
alter table aximo_private.customer_grants owner to aximo_owner;
alter table aximo_private.customer_grants enable row level security;
alter table aximo_private.customer_grants force row level security;

-- The gatekeeper's functions look up and edit the map; the owner may read it, which is how doctor shows it.
create policy gatekeeper_keeps_the_map on aximo_private.customer_grants
for all to aximo_gatekeeper using (true) with check (true);
create policy owner_reads_the_map on aximo_private.customer_grants
for select to aximo_owner using (true);

comment on table aximo_private.customer_grants is
'Which login may work for which customer. Written by aximo.grant_customer and aximo.revoke_customer only.';
comment on column aximo_private.customer_grants.role_name is 'The login, as session_user spells it. Membership does not pass a grant on.';
comment on column aximo_private.customer_grants.customer_id is 'The customer, or * for all customers, present and future.';
comment on column aximo_private.customer_grants.granted_at is 'When, by the database''s clock.';
comment on column aximo_private.customer_grants.granted_by is 'The login that granted it.';
comment on policy gatekeeper_keeps_the_map on aximo_private.customer_grants is 'Only the access functions run as this role.';
comment on policy owner_reads_the_map on aximo_private.customer_grants is 'A DBA can see who holds what; changing it goes through the functions.';

-- The one place that decides for whom a session works. Every policy asks it, as (select aximo.current_customer()), once a statement.
-- STABLE, not IMMUTABLE: a prepared statement must ask again. session_user, not current_user: the latter is the definer's in here.
create function aximo.current_customer() returns text
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    -- After a transaction that named a customer the setting reads '', not null.
    named constant text := nullif(current_setting('aximo.customer_id', true), '');
    granted text[];
begin
    if named is null then
        -- A login bound to one customer needs to name none.
        select array_agg(g.customer_id) into granted
        from (
            select customer_id
            from aximo_private.customer_grants
            where role_name = session_user::text
            limit 2
        ) as g;
        if cardinality(granted) = 1 and granted[1] <> '*' then
            return granted[1];
        end if;
        return null;
    end if;
    perform
    from aximo_private.customer_grants
    where role_name = session_user::text and customer_id in (named, '*');
    if found then
        return named;
    end if;
    return null;
end;
$$;
alter function aximo.current_customer() owner to aximo_gatekeeper;
comment on function aximo.current_customer() is
'The customer this session works for: the one named in the setting aximo.customer_id if the login was granted it, else the only one the login was granted, else null. Null means: no rows, no writes.';

-- The customer a call writes for: the one it names, else the session's. Asks the access map itself, in one look-up: a write asks once.
create function aximo_private.writing_customer(customer_id text) returns text
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    session_names constant text := nullif(current_setting('aximo.customer_id', true), '');
    customer text := writing_customer.customer_id;
begin
    if customer is null then
        customer := aximo.current_customer();
    elsif customer = '' or customer <> session_names then
        customer := null;
    else
        perform
        from aximo_private.customer_grants as g
        where g.role_name = session_user::text and g.customer_id in (customer, '*');
        if not found then
            customer := null;
        end if;
    end if;

    if customer is null then
        raise exception using
            errcode = 'ZXCUS',
            message = 'this session may not write for that customer',
            detail = format(
                'login %L, customer of the event %L, customer of the session %L',
                session_user, writing_customer.customer_id, session_names
            ),
            hint = 'Name the customer in the call or with SET LOCAL aximo.customer_id, and have it granted with aximo.grant_customer.',
            constraint = 'customer_granted';
    end if;
    if customer = '*' then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed event',
            detail = 'customer_id: * stands for all customers and is none itself',
            hint = 'Name one customer.',
            constraint = 'customer_id_not_all';
    end if;
    return customer;
end;
$$;
alter function aximo_private.writing_customer(text) owner to aximo_gatekeeper;
comment on function aximo_private.writing_customer(text) is
'The customer that a call of this session writes for: the one it names, else the session''s. ZXCUS: not granted, not named, or another than the session''s.';

-- Numbering is done for all customers at a time: it holds a lock that all depend on, and tells how many events there are.
create function aximo_private.numbers_for_all() returns void
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from aximo_private.customer_grants as g where g.role_name = session_user::text)
        and not exists (
            select from aximo_private.customer_grants as g
            where g.role_name = session_user::text and g.customer_id = '*'
        ) then
        raise exception using
            errcode = 'ZXCUS',
            message = 'this login works for certain customers only, and numbering is for all',
            detail = format('login %L', session_user),
            hint = 'Let a login without customers do it, or one that was granted all of them (*).',
            constraint = 'numbers_for_all';
    end if;
end;
$$;
alter function aximo_private.numbers_for_all() owner to aximo_gatekeeper;
comment on function aximo_private.numbers_for_all() is
'Refuses logins that were granted certain customers only, ZXCUS: what is done for all customers is not theirs to do.';

create function aximo.grant_customer(role text, customer_id text) returns void
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from pg_catalog.pg_roles as r where r.rolname = grant_customer.role) then
        raise exception using
            errcode = 'ZXARG',
            message = 'no such role',
            detail = format('role %L', grant_customer.role),
            hint = 'Create the login first, then grant it a customer.',
            constraint = 'role_exists';
    end if;
    if grant_customer.customer_id is null or grant_customer.customer_id = '' then
        raise exception using
            errcode = 'ZXARG',
            message = 'a grant names a customer',
            detail = 'customer_id is null or empty',
            hint = 'Name one customer, or ''*'' for all customers, present and future.',
            constraint = 'customer_id_present';
    end if;
    if char_length(grant_customer.customer_id) > 255 or btrim(grant_customer.customer_id) = '' then
        raise exception using
            errcode = 'ZXARG',
            message = 'no customer can have that name',
            detail = format('customer_id of %s characters', char_length(grant_customer.customer_id)),
            hint = 'A customer_id has 1 to 255 characters and is not blank.',
            constraint = 'customer_id_well_formed';
    end if;
    insert into aximo_private.customer_grants (role_name, customer_id)
    values (grant_customer.role, grant_customer.customer_id)
    on conflict do nothing;
end;
$$;
alter function aximo.grant_customer(text, text) owner to aximo_gatekeeper;
comment on function aximo.grant_customer(text, text) is
'Lets a login work for a customer, or for all customers, present and future, if customer_id is *. Says nothing about what it may do there: grant aximo_reader, aximo_writer or another group role for that. Granting twice is a success. ZXARG: no such role, or no customer named.';

create function aximo.revoke_customer(role text, customer_id text) returns void
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from aximo_private.customer_grants as g
    where g.role_name = revoke_customer.role and g.customer_id = revoke_customer.customer_id;
    if not found then
        raise exception using
            errcode = 'ZXARG',
            message = 'that login was not granted that customer',
            detail = format('role %L, customer_id %L', revoke_customer.role, revoke_customer.customer_id),
            hint = 'aximo-db doctor lists the grants. A login with * keeps every customer until * is revoked.',
            constraint = 'grant_exists';
    end if;
end;
$$;
alter function aximo.revoke_customer(text, text) owner to aximo_gatekeeper;
comment on function aximo.revoke_customer(text, text) is
'Takes a customer from a login, from its next statement on; also for a role that was dropped meanwhile. ZXARG: it was not granted, so that a typo does not pass for a revocation.';

-- No hatch: no setting, no trigger depth, no role. Serves row and statement triggers of every append-only table.
create function aximo_private.refuse_change() returns trigger
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using
        errcode = 'ZXIMM',
        message = 'this table is append-only',
        detail = format('%s on %I.%I', lower(tg_op), tg_table_schema, tg_table_name),
        hint = 'What was recorded stays. Record a further event that says what changed.',
        schema = tg_table_schema,
        table = tg_table_name,
        constraint = 'append_only';
end;
$$;
alter function aximo_private.refuse_change() owner to aximo_owner;
comment on function aximo_private.refuse_change() is 'Raises ZXIMM. The guard behind every append-only table.';

-- The row trigger is the one that logical replication fires. The statement trigger speaks up when no row is visible to the
-- statement, and stops TRUNCATE. ENABLE ALWAYS: session_replication_role = replica switches ordinary triggers off.
create function aximo_private.make_append_only(target regclass) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format(
        'create trigger append_only_row before update or delete on %s'
        ' for each row execute function aximo_private.refuse_change()',
        target
    );
    execute format(
        'create trigger append_only_statement before update or delete or truncate on %s'
        ' for each statement execute function aximo_private.refuse_change()',
        target
    );
    execute format('alter table %s enable always trigger append_only_row', target);
    execute format('alter table %s enable always trigger append_only_statement', target);
    execute format('comment on trigger append_only_row on %s is %L', target, 'Refuses UPDATE and DELETE of any row (ZXIMM).');
    execute format(
        'comment on trigger append_only_statement on %s is %L',
        target, 'Refuses UPDATE, DELETE and TRUNCATE, rows or no rows (ZXIMM).'
    );
end;
$$;
alter function aximo_private.make_append_only(regclass) owner to aximo_owner;
comment on function aximo_private.make_append_only(regclass) is 'Puts the two guards on a table. Used by migrations.';

-- 1e131071 is 10 bytes of jsonb and 131072 of text: a few thousand of them would fill the server's memory before a size is known.
-- Bound when it is created, and inlined.
create function aximo_private.has_extreme_number(document jsonb) returns boolean
language sql immutable security invoker parallel safe
return jsonb_path_exists(document, '$.** ? (@ > 1e400 || @ < -1e400 || (@ < 1e-400 && @ > -1e-400 && @ != 0))');
alter function aximo_private.has_extreme_number(jsonb) owner to aximo_owner;
comment on function aximo_private.has_extreme_number(jsonb) is
'Whether a number in it is far outside of what a float holds, so that its text is far longer than its binary form.';

-- Limits of single columns are domains: their checks are compiled once a session, a table's at every single-row statement.
-- Text is compared by bytes (collate "C"): smaller and faster indexes, and the same order on every machine.

create domain aximo_private.event_type as text collate "C"
    constraint event_type_known check (
        value in (
            'execution_triggered', 'execution_processing', 'execution_completed', 'execution_failed',
            'action_prepared', 'action_dispatched', 'action_failed',
            'approval_requested', 'approval_granted', 'approval_rejected', 'approval_timeout',
            'sla_breached', 'escalation_triggered', 'pressure_invoked', 'deployment_suspended',
            'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_updated',
            'deployment_terminated', 'version_upgraded', 'version_rolled_back'
        )
    );
alter domain aximo_private.event_type owner to aximo_owner;
comment on domain aximo_private.event_type is 'One of the 22 event types of the event model v1.0. Grows by migration, never shrinks.';

-- Blank is what Unicode calls white space, nothing else in it.
create domain aximo_private.identifier as text collate "C"
    constraint identifier_length check (char_length(value) <= 255)
    constraint identifier_not_blank check (
        btrim(
            value,
            U&' \0009\000A\000B\000C\000D\0085\00A0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200A\2028\2029\202F\205F\3000'
        ) <> ''
    );
alter domain aximo_private.identifier owner to aximo_owner;
comment on domain aximo_private.identifier is 'Opaque text that names something: 1 to 255 characters, not blank.';

create domain aximo_private.actor as text collate "C"
    constraint actor_known check (value in ('system', 'founder', 'operator', 'external_user'));
alter domain aximo_private.actor owner to aximo_owner;
comment on domain aximo_private.actor is 'Who acted, as the service claims it.';

create domain aximo_private.short_text as text collate "C"
    constraint short_text_length check (char_length(value) <= 255);
alter domain aximo_private.short_text owner to aximo_owner;
comment on domain aximo_private.short_text is 'Optional text of the platform''s own vocabulary: at most 255 characters.';

create domain aximo_private.milliseconds as bigint
    constraint milliseconds_not_negative check (value >= 0);
alter domain aximo_private.milliseconds owner to aximo_owner;
comment on domain aximo_private.milliseconds is 'A duration in milliseconds, not negative.';

-- The size is that of the text a reader gets. Before the text is made, numbers that make it far longer than the value are refused,
-- unless there is no room for many of them: in the value as it is, not as a table has it compressed. (Constraints are checked in the
-- order of their names. What is no object is refused before it is added to one.)
create domain aximo_private.payload as jsonb
    constraint payload_is_object check (jsonb_typeof(value) = 'object')
    constraint payload_numbers check (
        pg_column_size(value || '{}') <= 2048 or not aximo_private.has_extreme_number(value)
    )
    constraint payload_size check (octet_length(value::text) <= 1048576);
alter domain aximo_private.payload owner to aximo_owner;
comment on domain aximo_private.payload is 'A JSON object of at most 1 MiB, counted as UTF-8 text.';

-- The lower bound keeps out clocks that were never set; the upper one is the emitter's clock a day ahead, checked when it is written.
create domain aximo_private.moment as timestamptz
    constraint moment_range check (value >= '1970-01-01 00:00:00+00' and value < '9999-01-01 00:00:00+00');
alter domain aximo_private.moment owner to aximo_owner;
comment on domain aximo_private.moment is 'When something happened: finite, not before 1970, and within what every client can represent.';

create table aximo.event_types (
    event_type aximo_private.event_type,
    category text collate "C" not null
        constraint category_known check (category in ('execution', 'action', 'approval', 'governance', 'lifecycle')),
    meaning text not null,
    constraint event_types_pkey primary key (event_type)
);
alter table aximo.event_types owner to aximo_owner;

insert into aximo.event_types (event_type, category, meaning) values
('execution_triggered', 'execution', 'An input reached a deployment and an execution began.'),
('execution_processing', 'execution', 'The skill is working on it.'),
('execution_completed', 'execution', 'The execution ended well. Exactly one end an execution.'),
('execution_failed', 'execution', 'The execution ended with an error. Exactly one end an execution.'),
('action_prepared', 'action', 'The skill wants to do something in the world outside.'),
('action_dispatched', 'action', 'It was done.'),
('action_failed', 'action', 'It was tried, or given up, and not done.'),
('approval_requested', 'approval', 'Somebody is asked to allow an action.'),
('approval_granted', 'approval', 'It was allowed.'),
('approval_rejected', 'approval', 'It was forbidden.'),
('approval_timeout', 'approval', 'Nobody answered in time.'),
('sla_breached', 'governance', 'A service level was missed.'),
('escalation_triggered', 'governance', 'A matter was handed upwards.'),
('pressure_invoked', 'governance', 'The control plane pressed for an answer.'),
('deployment_suspended', 'governance', 'The deployment was stopped for the time being.'),
('deployment_created', 'lifecycle', 'A skill was installed for the customer.'),
('deployment_configured', 'lifecycle', 'Its configuration was validated.'),
('deployment_activated', 'lifecycle', 'It accepts inputs, for the first time or again.'),
('deployment_updated', 'lifecycle', 'Its configuration changed.'),
('deployment_terminated', 'lifecycle', 'It was removed for good.'),
('version_upgraded', 'lifecycle', 'It runs a newer skill version from here on: the event''s skill_version.'),
('version_rolled_back', 'lifecycle', 'It runs an older skill version from here on: the event''s skill_version.');

select aximo_private.make_append_only('aximo.event_types');

comment on table aximo.event_types is 'The 22 event types (event model v1.0, section 3) and their categories. The same for every customer.';
comment on column aximo.event_types.event_type is 'The type''s name, as events carry it.';
comment on column aximo.event_types.category is 'execution, action, approval, governance or lifecycle.';
comment on column aximo.event_types.meaning is 'What has happened when such an event is written.';

-- Every event of every customer. Nobody reads this table directly: aximo.events is what one may see of it.
create sequence aximo_private.events_position as bigint;
alter sequence aximo_private.events_position owner to aximo_owner;
comment on sequence aximo_private.events_position is 'Order of arrival, with gaps. Never shown: the gaps between one''s own numbers tell other customers'' volume.';

create table aximo_private.events (
    -- The transaction gets its id before its number: whoever holds a number can be found by its id. CASE fixes that order.
    position bigint not null
        default case when pg_current_xact_id() is not null then nextval('aximo_private.events_position') end,
    "timestamp" aximo_private.moment not null default clock_timestamp(),
    recorded_at timestamptz not null default clock_timestamp(),
    latency_ms aximo_private.milliseconds,
    event_id uuid not null default gen_random_uuid(),
    answers uuid,
    exempt boolean not null default false,
    event_type aximo_private.event_type not null,
    customer_id aximo_private.identifier not null,
    deployment_id aximo_private.identifier not null,
    skill_id aximo_private.identifier not null,
    skill_version aximo_private.identifier not null,
    execution_id aximo_private.identifier,
    actor aximo_private.actor not null,
    risk_level aximo_private.short_text,
    approval_mode aximo_private.short_text,
    correlation_id aximo_private.short_text,
    channel_type aximo_private.short_text,
    error_code aximo_private.short_text,
    recorded_by text collate "C" not null default session_user,
    payload aximo_private.payload not null default '{}',
    -- Kept short: a table's checks are read and compiled anew for every single-row statement.
    constraint execution_id_present check (execution_id is not null or event_type !~ '^(action|approval|execution)_')
);
alter table aximo_private.events owner to aximo_owner;

-- Every index leads with the customer: any other shows other customers' counts in EXPLAIN ANALYZE.
-- An execution starts once and ends once, whoever races whom.
create unique index events_start_and_end on aximo_private.events (customer_id, execution_id, (event_type = 'execution_triggered'))
where event_type in ('execution_triggered', 'execution_completed', 'execution_failed') and not exempt;
-- An approval is answered once.
create unique index events_answer on aximo_private.events (customer_id, answers) where answers is not null;
create index events_by_execution on aximo_private.events (customer_id, execution_id, event_type) where execution_id is not null;
create index events_by_time on aximo_private.events (customer_id, "timestamp", event_id);
create index events_by_deployment on aximo_private.events (customer_id, deployment_id, event_type, "timestamp");
create index events_by_request on aximo_private.events (customer_id, execution_id) where event_type = 'approval_requested';
create index events_by_correlation on aximo_private.events (customer_id, correlation_id, "timestamp", event_id)
where correlation_id is not null;
-- For numbering. Partial, so that only a query that says so can use it: in the plan of a customer's it would count others' events.
create index events_by_position on aximo_private.events (position) where position > 0;
-- The last one, as pg_restore makes it too: on an empty table every index is as cheap as every other, a session keeps the plans it
-- made then, and of equals the planner takes the youngest.
create unique index events_pkey on aximo_private.events (customer_id, event_id);
alter table aximo_private.events add constraint events_pkey primary key using index events_pkey;

alter table aximo_private.events enable row level security;
alter table aximo_private.events force row level security;
-- The view aximo.events and what is built on it read as the owner.
create policy owner_reads_own_customer on aximo_private.events
for select to aximo_owner using (customer_id = (select aximo.current_customer()));
-- The emit functions run as the recorder. Their first step asks the access map, once, and each of their look-ups names the customer.
create policy recorder_reads_events on aximo_private.events
for select to aximo_recorder using (true);
create policy recorder_writes_events on aximo_private.events
for insert to aximo_recorder with check (true);
-- Numbering, and what is derived from it, is done for all customers at a time.
create policy sequencer_reads_events on aximo_private.events
for select to aximo_sequencer using (true);

select aximo_private.make_append_only('aximo_private.events');

-- Statistics would tell, through row estimates, how much other customers have.
alter table aximo_private.events
    alter position set statistics 0,
    alter "timestamp" set statistics 0,
    alter recorded_at set statistics 0,
    alter latency_ms set statistics 0,
    alter event_id set statistics 0,
    alter answers set statistics 0,
    alter exempt set statistics 0,
    alter event_type set statistics 0,
    alter customer_id set statistics 0,
    alter deployment_id set statistics 0,
    alter skill_id set statistics 0,
    alter skill_version set statistics 0,
    alter execution_id set statistics 0,
    alter actor set statistics 0,
    alter risk_level set statistics 0,
    alter approval_mode set statistics 0,
    alter correlation_id set statistics 0,
    alter channel_type set statistics 0,
    alter error_code set statistics 0,
    alter recorded_by set statistics 0,
    alter payload set statistics 0;
alter index aximo_private.events_start_and_end alter column 3 set statistics 0;

comment on table aximo_private.events is 'Every event of every customer: append-only, isolated by row-level security. Read it through aximo.events, write it through aximo.emit_event.';
comment on column aximo_private.events.position is 'Order of arrival, with gaps; no client sets or sees it.';
comment on column aximo_private.events."timestamp" is 'When it happened, by the client''s clock.';
comment on column aximo_private.events.recorded_at is 'When it was written, by the database''s clock; no client sets it.';
comment on column aximo_private.events.latency_ms is 'A latency the client measured, in milliseconds.';
comment on column aximo_private.events.event_id is 'The event''s id, unique within its customer: the client''s, or made here.';
comment on column aximo_private.events.answers is 'For the answer to an approval: the event_id of the request it answers. Worked out when it is written.';
comment on column aximo_private.events.exempt is 'Imported as it was although an execution starts and ends once, and an approval is answered once.';
comment on column aximo_private.events.event_type is 'What happened: one of aximo.event_types.';
comment on column aximo_private.events.customer_id is 'Whose event it is.';
comment on column aximo_private.events.deployment_id is 'The deployment concerned.';
comment on column aximo_private.events.skill_id is 'The skill it runs.';
comment on column aximo_private.events.skill_version is 'The version of the skill.';
comment on column aximo_private.events.execution_id is 'The execution; null only for governance and lifecycle events.';
comment on column aximo_private.events.actor is 'Who acted: system, founder, operator or external_user, as the service claims.';
comment on column aximo_private.events.risk_level is 'The risk, in the platform''s own vocabulary.';
comment on column aximo_private.events.approval_mode is 'How it is approved, in the platform''s own vocabulary.';
comment on column aximo_private.events.correlation_id is 'What ties it to other events, if anything.';
comment on column aximo_private.events.channel_type is 'The channel it came through, if any.';
comment on column aximo_private.events.error_code is 'The error, if any.';
comment on column aximo_private.events.recorded_by is 'The login that wrote it (session_user); no client sets it.';
comment on column aximo_private.events.payload is 'The rest, a JSON object.';
comment on policy owner_reads_own_customer on aximo_private.events is 'Views run as the owner and show the session''s customer, to whomever.';
comment on policy recorder_reads_events on aximo_private.events is 'The emit functions, which name the customer in every look-up.';
comment on policy recorder_writes_events on aximo_private.events is 'The emit functions, which write for a customer that the access map gave them.';
comment on policy sequencer_reads_events on aximo_private.events is 'Events are numbered for all customers at a time.';
comment on index aximo_private.events_start_and_end is 'An execution is triggered once and ends once.';
comment on index aximo_private.events_answer is 'An approval is answered once.';
comment on index aximo_private.events_by_execution is 'A trace, and the look-ups of the flow rules.';
comment on index aximo_private.events_by_time is 'Newest first, and paging.';
comment on index aximo_private.events_by_deployment is 'Deployments, their versions, and their latest execution.';
comment on index aximo_private.events_by_correlation is 'Events that belong together.';
comment on index aximo_private.events_by_position is 'What is new to the log.';
comment on index aximo_private.events_by_request is 'Approvals that were asked for.';

-- No security_barrier: the table's policy is one, and the option would keep ORDER BY ... LIMIT from the index.
-- ONLY: a table that somebody lets inherit from it adds nothing.
create view aximo.events as
select
    event_id,
    event_type::text as event_type,
    "timestamp"::timestamptz as "timestamp",
    customer_id::text as customer_id,
    deployment_id::text as deployment_id,
    skill_id::text as skill_id,
    skill_version::text as skill_version,
    execution_id::text as execution_id,
    risk_level::text as risk_level,
    approval_mode::text as approval_mode,
    actor::text as actor,
    payload::jsonb as payload,
    correlation_id::text as correlation_id,
    channel_type::text as channel_type,
    error_code::text as error_code,
    latency_ms::bigint as latency_ms,
    recorded_at,
    recorded_by
from only aximo_private.events; -- noqa: PRS
alter view aximo.events owner to aximo_owner;

comment on view aximo.events is 'The events of the session''s customer, one row an event. Key: event_id.';
comment on column aximo.events.event_id is 'The event''s id, unique within its customer.';
comment on column aximo.events.event_type is 'What happened: one of aximo.event_types.';
comment on column aximo.events."timestamp" is 'When it happened, by the client''s clock.';
comment on column aximo.events.customer_id is 'Whose event it is: always the session''s customer.';
comment on column aximo.events.deployment_id is 'The deployment concerned.';
comment on column aximo.events.skill_id is 'The skill it runs.';
comment on column aximo.events.skill_version is 'The version of the skill.';
comment on column aximo.events.execution_id is 'The execution; null only for governance and lifecycle events.';
comment on column aximo.events.risk_level is 'The risk, in the platform''s own vocabulary.';
comment on column aximo.events.approval_mode is 'How it is approved, in the platform''s own vocabulary.';
comment on column aximo.events.actor is 'Who acted: system, founder, operator or external_user, as the service claims.';
comment on column aximo.events.payload is 'The rest, a JSON object.';
comment on column aximo.events.correlation_id is 'What ties it to other events, if anything.';
comment on column aximo.events.channel_type is 'The channel it came through, if any.';
comment on column aximo.events.error_code is 'The error, if any.';
comment on column aximo.events.latency_ms is 'A latency the client measured, in milliseconds.';
comment on column aximo.events.recorded_at is 'When it was written, by the database''s clock.';
comment on column aximo.events.recorded_by is 'The login that wrote it.';

-- The canonical line of an event, defined here and nowhere else: what export writes, and what a log entry is the hash of. The text does
-- not depend on the session's settings: json strings, jsonb's own normal form, UTC to the microsecond. Changing it would change every
-- proof, so it never changes. The body is bound when it is created, so it needs no search_path, and without one it is inlined.
create function aximo_private.event_line(event aximo_private.events) returns text
language sql stable security invoker parallel safe
return concat(
    '{',
    concat_ws(
        ',',
        '"event_id":"' || (event).event_id || '"',
        '"event_type":' || to_json((event).event_type),
        '"timestamp":"' || to_char((event)."timestamp" at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"',
        '"customer_id":' || to_json((event).customer_id),
        '"deployment_id":' || to_json((event).deployment_id),
        '"skill_id":' || to_json((event).skill_id),
        '"skill_version":' || to_json((event).skill_version),
        '"execution_id":' || to_json((event).execution_id),
        '"risk_level":' || to_json((event).risk_level),
        '"approval_mode":' || to_json((event).approval_mode),
        '"actor":' || to_json((event).actor),
        '"payload":' || (event).payload::text,
        '"correlation_id":' || to_json((event).correlation_id),
        '"channel_type":' || to_json((event).channel_type),
        '"error_code":' || to_json((event).error_code),
        '"latency_ms":' || (event).latency_ms,
        '"recorded_at":"' || to_char((event).recorded_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"',
        '"recorded_by":' || to_json((event).recorded_by)
    ),
    '}'
);
alter function aximo_private.event_line(aximo_private.events) owner to aximo_owner;
comment on function aximo_private.event_line(aximo_private.events) is
'An event as its canonical line of JSON, without a line feed: the fields of aximo.events in their order, those without a value left out.';

create type aximo.receipt as (
    event_id uuid,
    recorded_at timestamptz,
    duplicate boolean
);
alter type aximo.receipt owner to aximo_owner;
comment on type aximo.receipt is 'What an emitter gets back for an event: its id, when it was recorded, and whether it had been recorded before.';
comment on column aximo.receipt.event_id is 'The event''s id.';
comment on column aximo.receipt.recorded_at is 'When it was recorded, by the database''s clock: the first time, if it was sent again.';
comment on column aximo.receipt.duplicate is 'True if the same event had been recorded before; nothing was written now.';

create function aximo_private.event_fields() returns text[]
language sql immutable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select array[
        'event_id', 'event_type', 'timestamp', 'customer_id', 'deployment_id', 'skill_id', 'skill_version', 'execution_id',
        'risk_level', 'approval_mode', 'actor', 'payload', 'correlation_id', 'channel_type', 'error_code', 'latency_ms'
    ]
$$;
alter function aximo_private.event_fields() owner to aximo_recorder;
comment on function aximo_private.event_fields() is 'The fields a client may set.';

-- Says what is wrong with an event that the domains or the shape checks refused. Runs only then: the limits themselves are the domains'.
create function aximo_private.refuse_malformed(event jsonb, place bigint, customer text) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    where_it_is constant text := coalesce(' (event ' || place || ' of the batch)', '');
    field record;
    unknown_fields text;
    problem text;
    problem_rule text;
begin
    if event is null or jsonb_typeof(event) <> 'object' then
        problem := 'an event is a JSON object' || where_it_is;
        problem_rule := 'event_is_object';
    end if;

    if problem is null then
        select string_agg(quote_ident(k.key), ', ' order by k.key) into unknown_fields
        from jsonb_object_keys(event - aximo_private.event_fields()) as k (key);
        if unknown_fields is not null then
            problem := format('unknown fields: %s%s', unknown_fields, where_it_is);
            problem_rule := 'fields_known';
        end if;
    end if;

    if problem is null then
        event := jsonb_build_object('customer_id', customer) || event;
        for field in
            select f.name, f.json_type, f.domain
            from (
                values
                ('event_type', 'string', 'aximo_private.event_type'),
                ('customer_id', 'string', 'aximo_private.identifier'),
                ('deployment_id', 'string', 'aximo_private.identifier'),
                ('skill_id', 'string', 'aximo_private.identifier'),
                ('skill_version', 'string', 'aximo_private.identifier'),
                ('execution_id', 'string', 'aximo_private.identifier'),
                ('actor', 'string', 'aximo_private.actor'),
                ('timestamp', 'string', 'aximo_private.moment'),
                ('event_id', 'string', 'uuid'),
                ('risk_level', 'string', 'aximo_private.short_text'),
                ('approval_mode', 'string', 'aximo_private.short_text'),
                ('correlation_id', 'string', 'aximo_private.short_text'),
                ('channel_type', 'string', 'aximo_private.short_text'),
                ('error_code', 'string', 'aximo_private.short_text'),
                ('latency_ms', 'number', 'aximo_private.milliseconds'),
                ('payload', 'object', 'aximo_private.payload')
            ) as f (name, json_type, domain)
        loop
            if coalesce(jsonb_typeof(event -> field.name), 'null') = 'null' then
                if field.name in ('event_type', 'deployment_id', 'skill_id', 'skill_version', 'actor')
                    or field.name = 'execution_id' and event ->> 'event_type' ~ '^(execution|action|approval)_' then
                    problem := format('%s is missing%s', field.name, where_it_is);
                    problem_rule := field.name || '_present';
                end if;
            elsif jsonb_typeof(event -> field.name) <> field.json_type then
                problem := format('%s is a JSON %s%s', field.name, jsonb_typeof(event -> field.name), where_it_is);
                problem_rule := format('%s_is_%s', field.name, field.json_type);
            else
                begin
                    if field.name = 'timestamp' and event ->> field.name not like '____-__-__%' then
                        raise exception using errcode = 'invalid_datetime_format', constraint = 'timestamp_is_iso_8601';
                    end if;
                    if field.json_type = 'object' then
                        -- As it is: its text may be larger than a text can be.
                        execute format('select ($1::jsonb)::%s', field.domain) using event -> field.name;
                    else
                        execute format('select ($1::text)::%s', field.domain) using event ->> field.name;
                    end if;
                    if field.name = 'timestamp' and (event ->> field.name)::timestamptz > clock_timestamp() + interval '1 day' then
                        raise exception using errcode = 'check_violation', constraint = 'timestamp_not_ahead';
                    end if;
                exception
                    when integrity_constraint_violation or data_exception then
                        get stacked diagnostics problem_rule = constraint_name;
                        problem_rule := coalesce(nullif(problem_rule, ''), field.name || '_well_formed');
                        problem := format('%s: %s%s', field.name, problem_rule, where_it_is);
                end;
            end if;
            exit when problem is not null;
        end loop;
    end if;

    if problem is not null then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed event',
            detail = problem,
            hint = 'The fields of an event, their types and limits are in the reference, under aximo.events.',
            constraint = problem_rule;
    end if;
end;
$$;
alter function aximo_private.refuse_malformed(jsonb, bigint, text) owner to aximo_recorder;
comment on function aximo_private.refuse_malformed(jsonb, bigint, text) is
'Raises ZXARG, with the field in the detail and the rule in the constraint field, if something is wrong with the event; else does nothing.';

create type aximo_private.life_step as (
    life text,
    place bigint,
    is_new boolean,
    event_id uuid,
    event_type text,
    answers uuid,
    deployment_id text,
    skill_id text,
    skill_version text,
    approval_id text,
    action_id text,
    action_type text
);
alter type aximo_private.life_step owner to aximo_owner;
comment on type aximo_private.life_step is 'An event of an execution, as far as the rules of its life look at it.';
comment on column aximo_private.life_step.life is 'Which execution; of several customers, it names the customer too.';
comment on column aximo_private.life_step.place is 'Its place in the order that is judged: of arrival, or of the log.';
comment on column aximo_private.life_step.is_new is 'Whether it is to be judged; the others were there before.';
comment on column aximo_private.life_step.event_id is 'The event.';
comment on column aximo_private.life_step.event_type is 'What happened.';
comment on column aximo_private.life_step.answers is 'Of an answer to an approval: the request it is to; null if it is to none.';
comment on column aximo_private.life_step.deployment_id is 'The deployment.';
comment on column aximo_private.life_step.skill_id is 'The skill.';
comment on column aximo_private.life_step.skill_version is 'Its version.';
comment on column aximo_private.life_step.approval_id is 'Which approval, of several.';
comment on column aximo_private.life_step.action_id is 'Which action, of several.';
comment on column aximo_private.life_step.action_type is 'What kind of action.';

-- Ids in a payload may be of any length and kind; steps hold many of them, and the text of a number may be 100,000 times its size.
-- Bound when it is created, and inlined.
create function aximo_private.step_key(payload jsonb, name text) returns text
language sql stable security invoker parallel safe
return case jsonb_typeof(payload -> name)
    when 'string' then
        case
            when octet_length(payload ->> name) <= 255 then payload ->> name
            else 'sha256 ' || encode(sha256(convert_to(payload ->> name, 'UTF8')), 'hex')
        end
    when 'number' then
        case
            when abs((payload -> name)::numeric) < 1e100 and scale((payload -> name)::numeric) < 100 then payload ->> name
            else 'json ' || jsonb_hash_extended(payload -> name, 0)
        end
    when 'boolean' then payload ->> name
    when 'null' then null
    else 'json ' || jsonb_hash_extended(payload -> name, 0)
end;
alter function aximo_private.step_key(jsonb, text) owner to aximo_recorder;
comment on function aximo_private.step_key(jsonb, text) is 'An id in a payload as the rules compare it: itself, or its hash if it is long or no text.';

-- Most executions are seen as a whole and fit for simple reasons. This may only ever say yes; aximo_private.breaches knows the rules.
-- plpgsql keeps the plan; a SQL function is planned at every call before PostgreSQL 18.
create function aximo_private.plain_lives(steps aximo_private.life_step[]) returns setof text
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
begin
    return query
    with
    step as materialized (
        select s.*
        from unnest(plain_lives.steps) as s
    ),
    unresolved as (
        select s.life
        from step as s
        where s.event_type in ('action_prepared', 'action_dispatched', 'action_failed')
        group by s.life, s.action_id, s.action_type
        having
            count(*) filter (where s.event_type = 'action_prepared')
            > count(*) filter (where s.event_type <> 'action_prepared')
    )
    select s.life
    from step as s
    where s.life is not null
    group by s.life
    having
        count(*) filter (where s.event_type = 'execution_triggered') = 1
        and min(s.place) filter (where s.event_type = 'execution_triggered') = min(s.place)
        and min(s.place) filter (where s.event_type = 'execution_processing') < coalesce(
            min(s.place) filter (where starts_with(s.event_type, 'action_') or s.event_type = 'execution_completed'),
            9223372036854775807
        )
        and coalesce(
            min(s.place) filter (where s.event_type in ('execution_completed', 'execution_failed')), 9223372036854775807
        ) >= max(s.place)
        and count(*) filter (where starts_with(s.event_type, 'approval_')) = 0
        and min(s.deployment_id) = max(s.deployment_id)
        and min(s.skill_id) = max(s.skill_id)
        and min(s.skill_version) = max(s.skill_version)
        and s.life not in (select u.life from unresolved as u);
end;
$$;
alter function aximo_private.plain_lives(aximo_private.life_step[]) owner to aximo_recorder;
comment on function aximo_private.plain_lives(aximo_private.life_step[]) is
'The executions, of those given as a whole, that certainly keep the rules. One that is not among them may keep them too.';

-- The rules of an execution's life (spec, section 3): which of the new steps break one, each judged against what was there before it.
-- The only place that knows them; check_flow refuses by it, and the log lists by it what got past.
create function aximo_private.breaches(steps aximo_private.life_step[])
returns table (life text, place bigint, event_id uuid, event_type text, approval_id text, rule text, against uuid)
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
-- The plan is the same for any life, and takes longer to make than to run.
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
    return query
    with
    step as (
        select
            s.*,
            starts_with(s.event_type, 'execution_') as is_execution,
            starts_with(s.event_type, 'action_') as is_action,
            starts_with(s.event_type, 'approval_') as is_approval,
            s.event_type = 'execution_triggered' as is_start,
            s.event_type in ('execution_completed', 'execution_failed') as is_end,
            s.event_type = 'approval_requested' as is_request,
            s.event_type in ('approval_granted', 'approval_rejected', 'approval_timeout') as is_answer,
            s.event_type in ('approval_rejected', 'approval_timeout') as is_denial,
            -- An answer to nothing, imported, closes nothing.
            s.answers is not null as is_counted
        from unnest(breaches.steps) as s
    ),
    -- What was there before each event.
    state as materialized (
        select
            l.*,
            count(*) filter (where l.is_start) over earlier as starts,
            count(*) filter (where l.event_type = 'execution_processing') over earlier as processings,
            count(*) filter (where l.is_end) over earlier as ends,
            count(*) filter (where l.is_request) over earlier
            - count(*) filter (where l.is_counted) over earlier as open_approvals,
            count(*) filter (where l.is_request and l.approval_id is null) over earlier
            - count(*) filter (where l.is_counted and l.approval_id is null) over earlier as open_unnamed,
            count(*) filter (where l.is_request) over earlier_of_approval
            - count(*) filter (where l.is_counted) over earlier_of_approval as open_same,
            count(*) filter (where l.is_denial) over earlier as denials,
            count(*) filter (where l.is_denial) over earlier_of_approval as denials_same,
            count(*) filter (where l.is_request) over earlier_of_approval as requests_same,
            first_value(l.deployment_id) over earlier as first_deployment_id,
            first_value(l.skill_id) over earlier as first_skill_id,
            first_value(l.skill_version) over earlier as first_skill_version,
            first_value(l.event_id) over earlier as first_event_id,
            (array_agg(l.event_id) filter (where l.is_end) over earlier)[1] as end_event_id,
            last_value(l.event_id) over earlier_of_approval as approval_event_id
        from step as l
        window
            earlier as (
                partition by l.life order by l.place
                rows between unbounded preceding and 1 preceding
            ),
            earlier_of_approval as (
                partition by l.life, l.approval_id order by l.place
                rows between unbounded preceding and 1 preceding
            )
    ),
    -- Executions with an action that was prepared, can still be dispatched, and was neither dispatched nor failed.
    unresolved as (
        select g.life
        from (
            select
                s.life,
                s.action_id,
                count(*) filter (
                    where s.event_type = 'action_prepared'
                    and case when s.approval_id is null then s.denials_ever else s.denials_ever_same end = 0
                ) as prepared,
                -- The failure of a denied action resolves that one, which is excused, and no other.
                count(*) filter (
                    where s.event_type <> 'action_prepared'
                    and not (s.event_type = 'action_failed' and s.approval_id is not null and s.denials_ever_same > 0)
                ) as resolved
            from (
                -- What comes after the end excuses nothing: the verdict is the same whenever it is asked for.
                select
                    l.*,
                    count(*) filter (where l.is_denial) over (partition by l.life) as denials_ever,
                    count(*) filter (where l.is_denial) over (partition by l.life, l.approval_id) as denials_ever_same
                from state as l
                where l.ends = 0
            ) as s
            where s.is_action
            group by s.life, s.action_id, case when s.action_id is null then s.action_type end
        ) as g
        where g.prepared > g.resolved and (g.action_id is null or g.resolved = 0)
    ),
    verdicts as (
        select
            s.*,
            case
                when s.is_start and (s.starts > 0 or s.first_deployment_id is not null) then 'triggered_first'
                when not s.is_start and s.starts = 0 then 'triggered_first'
                -- Before the attribution: what a unique index refuses is refused first.
                when s.ends > 0 and s.is_end then 'ends_once'
                when s.is_answer and s.open_same <= 0 and s.requests_same > 0 then 'answers_open_approval'
                when s.deployment_id <> s.first_deployment_id or s.skill_id <> s.first_skill_id
                    or s.skill_version <> s.first_skill_version then 'same_attribution'
                when s.ends > 0 and (s.is_execution or s.is_action or s.is_approval) then 'nothing_after_end'
                when s.processings = 0 and (s.is_action or s.is_approval or s.event_type = 'execution_completed') then 'processing_first'
                when s.is_request and s.open_same > 0 then 'approval_already_open'
                when s.is_request and s.open_approvals > 0 and (s.approval_id is null or s.open_unnamed > 0)
                    then 'open_approvals_are_named'
                when s.is_answer and s.open_same <= 0 then 'answers_open_approval'
                when s.event_type = 'action_dispatched' and (
                    case when s.approval_id is null then s.open_approvals else s.open_same end
                ) > 0 then 'dispatch_waits_for_approval'
                when s.event_type = 'action_dispatched' and (
                    case when s.approval_id is null then s.denials else s.denials_same end
                ) > 0 then 'no_dispatch_after_denial'
                when s.event_type = 'execution_completed' and s.open_approvals > 0 then 'completes_without_open_approval'
                when s.event_type = 'execution_completed' and s.life in (select u.life from unresolved as u)
                    then 'completes_with_actions_resolved'
            end as rule
        from state as s
        where s.is_new
    )
    select
        v.life, v.place, v.event_id, v.event_type, v.approval_id, v.rule,
        case
            when v.rule in ('same_attribution', 'triggered_first') then v.first_event_id
            when v.rule in ('ends_once', 'nothing_after_end') then v.end_event_id
            when v.rule in ('approval_already_open', 'answers_open_approval') then v.approval_event_id
        end
    from verdicts as v
    where v.rule is not null
    order by v.place;
end;
$$;
alter function aximo_private.breaches(aximo_private.life_step[]) owner to aximo_recorder;
comment on function aximo_private.breaches(aximo_private.life_step[]) is
'The new steps that break a rule of their execution''s life, in order, with the rule and the earlier event it is broken against, if there is one.';

-- For events just inserted: raises ZXSEQ or ZXATT at the first one that breaks a rule of its execution's life. The only place that refuses
-- for one. Each event is judged against what was there before it, in order of arrival.
create function aximo_private.check_flow(customer text, written uuid[], judged uuid[] default null) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    steps aximo_private.life_step[];
    breach record;
begin
    with
    fresh as materialized (
        select distinct w.event_id, e.execution_id
        from unnest(check_flow.written) as w (event_id)
        -- OFFSET 0, here and below: look-ups by index, however many. A join was planned as one pass over all events of the customer.
        cross join lateral (
            select s.event_id, s.execution_id
            from only aximo_private.events as s
            where s.customer_id = check_flow.customer and s.event_id = w.event_id
            offset 0
        ) as e
        where e.execution_id is not null
    )
    select array_agg(
        row(
            l.execution_id, l.place, l.is_fresh and (check_flow.judged is null or l.event_id = any(check_flow.judged)), l.event_id,
            l.event_type, l.answers, l.deployment_id, l.skill_id, l.skill_version, aximo_private.step_key(l.payload, 'approval_id'),
            aximo_private.step_key(l.payload, 'action_id'), aximo_private.step_key(l.payload, 'action_type')
        )::aximo_private.life_step
    )
    into steps
    from (
        select
            e.*,
            -- Events of others that arrived meanwhile count as before.
            row_number() over (order by e.is_fresh, e.position) as place
        from (select distinct f.execution_id from fresh as f) as x
        cross join lateral (
            select
                s.*,
                s.event_id in (select f.event_id from fresh as f) as is_fresh
            from only aximo_private.events as s
            where s.customer_id = check_flow.customer and s.execution_id = x.execution_id
            offset 0
        ) as e
    ) as l;

    select b.*
    into breach
    from aximo_private.breaches(steps) as b
    order by b.place
    limit 1;

    if found then
        raise exception using
            errcode = case when breach.rule = 'same_attribution' then 'ZXATT' else 'ZXSEQ' end,
            message = case
                when breach.rule = 'same_attribution' then 'an execution keeps its deployment, skill and version'
                else 'this event does not fit the life of its execution'
            end,
            detail = format(
                'rule %s; event %s, %s, execution %L%s',
                breach.rule, breach.event_id, breach.event_type, breach.life,
                coalesce(', approval ' || quote_literal(breach.approval_id), '')
            ),
            hint = case breach.rule
                when 'triggered_first' then 'Emit execution_triggered first, once an execution.'
                when 'same_attribution' then 'Start a new execution for another deployment, skill or version.'
                when 'ends_once' then 'The execution has ended; another worker may have ended it.'
                when 'nothing_after_end' then 'The execution has ended. Governance events are still accepted.'
                when 'processing_first' then 'Emit execution_processing before actions, approvals and completion.'
                when 'approval_already_open' then 'Wait for the answer, or ask for another approval under an approval_id of its own.'
                when 'open_approvals_are_named' then 'Give every approval an approval_id if several are open at a time.'
                when 'answers_open_approval' then 'Answer with the approval_id of the request, once.'
                when 'dispatch_waits_for_approval' then 'Wait for the approval''s answer.'
                when 'no_dispatch_after_denial' then 'Emit action_failed instead, or ask again under another approval_id.'
                when 'completes_without_open_approval' then 'Emit the approval''s answer, or approval_timeout, before completing.'
                when 'completes_with_actions_resolved' then 'Emit action_dispatched or action_failed for every prepared action.'
            end,
            constraint = breach.rule;
    end if;
end;
$$;
alter function aximo_private.check_flow(text, uuid[], uuid[]) owner to aximo_recorder;
comment on function aximo_private.check_flow(text, uuid[], uuid[]) is
'Judges events just written, or some of them, by the rules of an execution''s life. ZXSEQ or ZXATT, with the rule in the constraint field.';

-- An insert met a unique index and wrote nothing. Either the event is there already, or something else took its place.
create function aximo_private.settle_conflict(
    event_id uuid,
    event_type text,
    "timestamp" timestamptz,
    customer_id text,
    deployment_id text,
    skill_id text,
    skill_version text,
    execution_id text,
    risk_level text,
    approval_mode text,
    actor text,
    payload jsonb,
    correlation_id text,
    channel_type text,
    error_code text,
    latency_ms bigint
) returns aximo.receipt
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    stored aximo_private.events;
    differing text;
begin
    select e.* into stored
    from only aximo_private.events as e
    where e.customer_id = settle_conflict.customer_id and e.event_id = settle_conflict.event_id;

    if not found then
        raise exception using
            errcode = 'ZXSEQ',
            message = 'this event does not fit the life of its execution',
            detail = format('%s, execution %L: another one took its place', settle_conflict.event_type, settle_conflict.execution_id),
            hint = 'An execution starts once and ends once, and an approval is answered once; another worker was there first.',
            constraint = case
                when settle_conflict.event_type = 'execution_triggered' then 'triggered_first'
                when starts_with(settle_conflict.event_type, 'approval_') then 'answers_open_approval'
                else 'ends_once'
            end;
    end if;

    -- A moment that was left out was made up here the first time, so it is no difference.
    differing := concat_ws(
        ', ',
        case when stored.event_type <> settle_conflict.event_type then 'event_type' end,
        case when stored."timestamp" <> settle_conflict."timestamp" then 'timestamp' end,
        case when stored.deployment_id <> settle_conflict.deployment_id then 'deployment_id' end,
        case when stored.skill_id <> settle_conflict.skill_id then 'skill_id' end,
        case when stored.skill_version <> settle_conflict.skill_version then 'skill_version' end,
        case when stored.execution_id is distinct from settle_conflict.execution_id then 'execution_id' end,
        case when stored.risk_level is distinct from settle_conflict.risk_level then 'risk_level' end,
        case when stored.approval_mode is distinct from settle_conflict.approval_mode then 'approval_mode' end,
        case when stored.actor <> settle_conflict.actor then 'actor' end,
        case when stored.payload <> settle_conflict.payload then 'payload' end,
        case when stored.correlation_id is distinct from settle_conflict.correlation_id then 'correlation_id' end,
        case when stored.channel_type is distinct from settle_conflict.channel_type then 'channel_type' end,
        case when stored.error_code is distinct from settle_conflict.error_code then 'error_code' end,
        case when stored.latency_ms is distinct from settle_conflict.latency_ms then 'latency_ms' end
    );
    if differing <> '' then
        raise exception using
            errcode = 'ZXDUP',
            message = 'this event_id was used for another event',
            detail = format('event %s differs in: %s', settle_conflict.event_id, differing),
            hint = 'Send an event again with the same content, or a new event with a new event_id.',
            constraint = 'event_id_names_one_event';
    end if;
    return row(stored.event_id, stored.recorded_at, true)::aximo.receipt;
end;
$$;
alter function aximo_private.settle_conflict(
    uuid, text, timestamptz, text, text, text, text, text, text, text, text, jsonb, text, text, text, bigint
) owner to aximo_recorder;
comment on function aximo_private.settle_conflict(
    uuid, text, timestamptz, text, text, text, text, text, text, text, text, jsonb, text, text, text, bigint
) is
'For an event that a unique index kept out: its first receipt if it is there with the same content, else ZXDUP or ZXSEQ.';

-- Of one approval at most one request is open at a time, so an answer can only be to the last one.
-- If that one was answered already, the unique index on answers keeps the second answer out.
create function aximo_private.request_answered(customer text, execution text, approval text) returns uuid
language plpgsql stable security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select e.event_id
        from only aximo_private.events as e
        where e.customer_id = request_answered.customer and e.execution_id = request_answered.execution
            and e.event_type = 'approval_requested'
            and e.payload ->> 'approval_id' is not distinct from request_answered.approval
        order by e.position desc
        limit 1
    );
end;
$$;
alter function aximo_private.request_answered(text, text, text) owner to aximo_recorder;
comment on function aximo_private.request_answered(text, text, text) is
'The event_id of the request that an answer with this approval_id (null: without one) is to; null if there is none.';

-- One event, one round trip. The path of most writes: what each part costs is in docs/design/0004-emit-path.md.
create function aximo.emit_event(
    event_type text,
    deployment_id text,
    skill_id text,
    skill_version text,
    actor text,
    customer_id text default null,
    execution_id text default null,
    payload jsonb default '{}',
    "timestamp" timestamptz default null,
    risk_level text default null,
    approval_mode text default null,
    correlation_id text default null,
    channel_type text default null,
    error_code text default null,
    latency_ms bigint default null,
    event_id uuid default null
) returns aximo.receipt
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    customer constant text := aximo_private.writing_customer(emit_event.customer_id);
    -- Typed as the columns: the limits are checked when it is filled, and not again by the insert.
    event aximo_private.events;
    is_malformed boolean := false;
    receipt aximo.receipt;
    earlier text[];
    fits boolean;
begin
    -- Nothing is written in this block, so it takes no transaction id of its own.
    begin
        -- In the order of the table's columns, each cast to its type there.
        event := row(
            null::bigint, coalesce(emit_event."timestamp", clock_timestamp()), null::timestamptz, emit_event.latency_ms,
            coalesce(emit_event.event_id, gen_random_uuid()), null::uuid, false, emit_event.event_type, customer, emit_event.deployment_id,
            emit_event.skill_id, emit_event.skill_version, emit_event.execution_id, emit_event.actor, emit_event.risk_level,
            emit_event.approval_mode, emit_event.correlation_id, emit_event.channel_type, emit_event.error_code, null::text,
            coalesce(emit_event.payload, '{}')
        );
    exception
        when integrity_constraint_violation or data_exception then
            is_malformed := true;
    end;
    if is_malformed
        or event.event_type is null or event.actor is null
        or event.deployment_id is null or event.skill_id is null or event.skill_version is null
        or event.execution_id is null and event.event_type ~ '^(action|approval|execution)_'
        or event."timestamp" > clock_timestamp() + interval '1 day' then
        perform aximo_private.refuse_malformed(
            jsonb_build_object(
                'event_type', emit_event.event_type, 'customer_id', customer, 'deployment_id', emit_event.deployment_id,
                'skill_id', emit_event.skill_id, 'skill_version', emit_event.skill_version, 'execution_id', emit_event.execution_id,
                'actor', emit_event.actor,
                'timestamp', case
                    when emit_event."timestamp" < '1970-01-01 00:00:00+00' or emit_event."timestamp" >= '9999-01-01 00:00:00+00'
                        then '0001-01-01T00:00:00Z'
                    else to_char(emit_event."timestamp" at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
                end,
                'risk_level', emit_event.risk_level, 'approval_mode', emit_event.approval_mode,
                'correlation_id', emit_event.correlation_id, 'channel_type', emit_event.channel_type,
                'error_code', emit_event.error_code, 'latency_ms', emit_event.latency_ms,
                'payload', case when jsonb_typeof(emit_event.payload) = 'null' then '[]' else coalesce(emit_event.payload, '{}') end
            ),
            null,
            customer
        );
    end if;

    insert into aximo_private.events as e (
        event_type, "timestamp", customer_id, deployment_id, skill_id, skill_version, execution_id, actor, risk_level, approval_mode,
        correlation_id, channel_type, error_code, latency_ms, event_id, payload, answers
    ) values (
        event.event_type, event."timestamp", event.customer_id, event.deployment_id, event.skill_id, event.skill_version,
        event.execution_id, event.actor, event.risk_level, event.approval_mode, event.correlation_id, event.channel_type,
        event.error_code, event.latency_ms, event.event_id, event.payload,
        case
            when event.event_type in ('approval_granted', 'approval_rejected', 'approval_timeout') then
                aximo_private.request_answered(customer, event.execution_id, event.payload ->> 'approval_id')
        end
    )
    on conflict do nothing
    returning e.event_id, e.recorded_at, false into receipt;

    if not found then
        return aximo_private.settle_conflict(
            event.event_id, event.event_type, emit_event."timestamp", customer, event.deployment_id, event.skill_id,
            event.skill_version, event.execution_id, event.risk_level, event.approval_mode, event.actor, event.payload,
            event.correlation_id, event.channel_type, event.error_code, event.latency_ms
        );
    end if;
    -- A trigger that its unique index let in is the first one, and nothing else is accepted before it (but in imported history: numbering
    -- lists that).
    if event.execution_id is null or event.event_type = 'execution_triggered' then
        return receipt;
    end if;

    -- Most events fit for simple reasons, found in a few rows however long the execution is: all but its actions, which
    -- sort before everything else. This may only ever say yes; what is not certain here is judged by check_flow.
    earlier := array(
        select
            case
                when e.event_type = 'execution_triggered' and not (
                    e.deployment_id = event.deployment_id and e.skill_id = event.skill_id and e.skill_version = event.skill_version
                ) then 'other'
                when e.event_type = 'approval_granted' and e.answers is null then 'other'
                else e.event_type
            end
        from only aximo_private.events as e
        where e.customer_id = event.customer_id and e.execution_id = event.execution_id and e.event_type >= 'approval_'
            and e.event_id <> event.event_id
    );
    fits := 'execution_triggered' = any(earlier)
        and ('execution_processing' = any(earlier) or event.event_type in ('execution_processing', 'execution_failed'))
        and not earlier && array['execution_completed', 'execution_failed', 'other']
        and event.event_type not in ('approval_requested', 'approval_granted', 'approval_rejected', 'approval_timeout');
    if fits and event.event_type in ('action_dispatched', 'execution_completed') and cardinality(earlier) > 2 then
        fits := cardinality(array_positions(earlier, 'approval_requested')) = cardinality(array_positions(earlier, 'approval_granted'))
            and not earlier && array['approval_rejected', 'approval_timeout'];
    end if;
    if fits and event.event_type = 'execution_completed' then
        fits := not exists (
            select from only aximo_private.events as e
            where e.customer_id = event.customer_id and e.execution_id = event.execution_id and e.event_type < 'approval_'
            group by e.payload ->> 'action_id', e.payload ->> 'action_type'
            having count(*) filter (where e.event_type = 'action_prepared')
                > count(*) filter (where e.event_type <> 'action_prepared')
        );
    end if;
    if fits is not true then
        perform aximo_private.check_flow(customer, array[event.event_id]);
    end if;
    return receipt;
end;
$$;
alter function aximo.emit_event(
    text, text, text, text, text, text, text, jsonb, timestamptz, text, text, text, text, text, bigint, uuid
) owner to aximo_recorder;
comment on function aximo.emit_event(
    text, text, text, text, text, text, text, jsonb, timestamptz, text, text, text, text, text, bigint, uuid
) is
'Writes one event and returns its receipt. The customer is the one named, else the session''s. The same event_id with the same content again returns the first receipt with duplicate = true. ZXCUS: not your customer; ZXARG: malformed; ZXSEQ, ZXATT: against the life of the execution; ZXDUP: event_id used for other content.';

-- A batch, all or nothing, in the order of the array, judged set-wise. As history it is taken as it was: what breaks a rule of an
-- execution's life is kept, and what a unique index keeps out is exempt from it; numbering lists both in aximo.violations.
create function aximo_private.write_events(events jsonb, customer_id text, mode text) returns setof aximo.receipt
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
-- A timestamp without an offset is UTC, and dates are read one way only, whatever the session prefers.
set timezone = 'UTC' set datestyle = 'ISO, YMD'
as $$
#variable_conflict use_column
declare
    customer text;
    ids uuid[];
    requests uuid[];
    recorded timestamptz[];
    first_recorded timestamptz[];
    written bigint;
    doubtful uuid[];
    malformed bigint;
    foreign_customer text;
    refused_by text;
    place bigint;
    receipt aximo.receipt;
begin
    if events is null or jsonb_typeof(events) <> 'array' then
        raise exception using
            errcode = 'ZXARG',
            message = 'a batch is a JSON array of events',
            detail = format('it is: %s', coalesce(jsonb_typeof(events), 'null')),
            hint = 'Wrap a single event in an array, or call aximo.emit_event.',
            constraint = 'batch_is_array';
    end if;
    if jsonb_array_length(events) = 0 then
        return;
    end if;
    customer := aximo_private.writing_customer(coalesce(write_events.customer_id, events -> 0 ->> 'customer_id'));

    begin
        if jsonb_path_exists(events, '$[*].event_type ? (@ starts with "approval_")') then
            -- To which request each answer is: the last one before it in this batch, else the last one stored. A request of the
            -- batch that is stored already is not the last one if another came since.
            select array_agg(coalesce((b.e ->> 'event_id')::uuid, gen_random_uuid()) order by b.place)
            into ids
            from jsonb_array_elements(events) with ordinality as b (e, place);

            select
                array_agg(
                    case
                        when w.event_type in ('approval_granted', 'approval_rejected', 'approval_timeout') then coalesce(
                            case
                                -- Not NOT EXISTS, which may be planned as one pass over all events of the customer.
                                when (
                                    select true
                                    from only aximo_private.events as e
                                    where e.customer_id = customer and e.event_id = ids[w.request_place]
                                    limit 1
                                ) is null then ids[w.request_place]
                            end,
                            aximo_private.request_answered(customer, w.execution_id, w.approval_id)
                        )
                    end
                    order by w.place
                )
            into requests
            from (
                select
                    b.place,
                    b.e ->> 'event_type' as event_type,
                    b.e ->> 'execution_id' as execution_id,
                    b.e #>> '{payload,approval_id}' as approval_id,
                    max(b.place) filter (where b.e ->> 'event_type' = 'approval_requested') over (
                        partition by b.e ->> 'execution_id', b.e #>> '{payload,approval_id}' order by b.place
                        rows between unbounded preceding and 1 preceding
                    ) as request_place
                from jsonb_array_elements(events) with ordinality as b (e, place)
            ) as w;
        end if;

        with
        parsed as materialized (
            select
                b.place,
                coalesce(ids[b.place], (b.e ->> 'event_id')::uuid, gen_random_uuid()) as event_id,
                b.e ->> 'event_type' as event_type,
                coalesce((b.e ->> 'timestamp')::timestamptz, clock_timestamp()) as "timestamp",
                coalesce(b.e ->> 'customer_id', customer) as customer_id,
                b.e ->> 'deployment_id' as deployment_id,
                b.e ->> 'skill_id' as skill_id,
                b.e ->> 'skill_version' as skill_version,
                b.e ->> 'execution_id' as execution_id,
                b.e ->> 'risk_level' as risk_level,
                b.e ->> 'approval_mode' as approval_mode,
                b.e ->> 'actor' as actor,
                coalesce(nullif(b.e -> 'payload', 'null'), '{}') as payload,
                b.e ->> 'correlation_id' as correlation_id,
                b.e ->> 'channel_type' as channel_type,
                b.e ->> 'error_code' as error_code,
                (b.e ->> 'latency_ms')::bigint as latency_ms,
                b.e - aximo_private.event_fields() <> '{}'
                or coalesce(jsonb_typeof(b.e -> 'latency_ms') not in ('number', 'null'), false)
                or coalesce(b.e ->> 'timestamp' not like '____-__-__%', false)
                or jsonb_path_exists(
                    b.e - array['payload', 'latency_ms'], 'strict $.* ? (@.type() != "string" && @.type() != "null")'
                ) as is_malformed
            from jsonb_array_elements(events) with ordinality as b (e, place)
        ),
        inserted as (
            insert into aximo_private.events (
                exempt, event_id, event_type, "timestamp", customer_id, deployment_id, skill_id, skill_version, execution_id, risk_level,
                approval_mode, actor, payload, correlation_id, channel_type, error_code, latency_ms, answers
            )
            select
                write_events.mode = 'exempt', p.event_id, p.event_type, p."timestamp", p.customer_id, p.deployment_id, p.skill_id,
                p.skill_version, p.execution_id, p.risk_level, p.approval_mode, p.actor, p.payload, p.correlation_id, p.channel_type, p.error_code, p.latency_ms,
                case when write_events.mode <> 'exempt' then requests[p.place] end
            from parsed as p
            where p.customer_id = customer and not p.is_malformed
            order by p.place
            on conflict do nothing
            returning event_id, recorded_at
        ),
        -- Most executions are in a batch as a whole and fit for simple reasons; the events of all others are judged by check_flow.
        plain as materialized (
            select l.execution_id
            from aximo_private.plain_lives(
                array(
                    select
                        row(
                            p.execution_id, p.place, true, null, p.event_type, null, p.deployment_id, p.skill_id, p.skill_version, null,
                            aximo_private.step_key(p.payload, 'action_id'), aximo_private.step_key(p.payload, 'action_type')
                        )::aximo_private.life_step
                    from parsed as p
                )
            ) as l (execution_id)
            -- And is not there already. (A statement does not see its own inserts.)
            where (
                select true
                from only aximo_private.events as e
                where e.customer_id = customer and e.execution_id = l.execution_id
                limit 1
            ) is null
        )
        select
            array_agg(p.event_id order by p.place),
            array_agg(i.recorded_at order by p.place),
            (select count(*) from inserted),
            array_agg(i.event_id) filter (
                where i.event_id is not null and p.execution_id is not null
                and (
                    p.execution_id not in (select l.execution_id from plain as l)
                    -- An event that comes twice would be counted twice.
                    or (select count(*) from inserted) < (select count(*) from parsed)
                )
            ),
            min(p.place) filter (where p.is_malformed or p."timestamp" > clock_timestamp() + interval '1 day'),
            min(p.customer_id) filter (where p.customer_id <> customer)
        into ids, recorded, written, doubtful, malformed, foreign_customer
        from parsed as p
        left join inserted as i on i.event_id = p.event_id;

        if write_events.mode = 'history' and written <> cardinality(ids) and cardinality(ids) > 1
            and malformed is null and foreign_customer is null then
            raise cardinality_violation;
        end if;
    exception
        -- One after the other, so that what is exempt from a unique index arrives in its place.
        when cardinality_violation then
            for place in 1 .. jsonb_array_length(events) loop
                return query
                select w.*
                from aximo_private.write_events(jsonb_build_array(events -> (place - 1)::integer), customer, write_events.mode) as w;
            end loop;
            return;
        -- Something in the batch is not what its column takes: find out which event, and say so.
        when data_exception or integrity_constraint_violation then
            get stacked diagnostics refused_by = constraint_name;
            for place in 1 .. jsonb_array_length(events) loop
                perform aximo_private.refuse_malformed(events -> (place - 1)::integer, place, customer);
            end loop;
            raise exception using
                errcode = 'ZXARG',
                message = 'malformed event',
                detail = sqlerrm,
                hint = 'The fields of an event, their types and limits are in the reference, under aximo.events.',
                constraint = coalesce(nullif(refused_by, ''), 'event_well_formed');
    end;

    if malformed is not null then
        perform aximo_private.refuse_malformed(events -> (malformed - 1)::integer, malformed, customer);
    end if;
    if foreign_customer is not null then
        raise exception using
            errcode = 'ZXCUS',
            message = 'this session may not write for that customer',
            detail = format('customer of the event %L, customer of the batch %L', foreign_customer, customer),
            hint = 'A batch is of one customer.',
            constraint = 'customer_granted';
    end if;

    -- What a unique index kept out, and an event that comes twice in this batch.
    if written <> cardinality(ids) then
        first_recorded := array_fill(null::timestamptz, array[cardinality(ids)]);
        for place in
            select n.place
            from (
                select
                    u.place,
                    u.recorded_at,
                    row_number() over (partition by u.event_id order by u.place) as repetition
                from unnest(ids, recorded) with ordinality as u (event_id, recorded_at, place)
            ) as n
            where n.recorded_at is null or n.repetition > 1
            order by n.place
        loop
            declare
                e constant jsonb := events -> (place - 1)::integer;
            begin
                begin
                    receipt := aximo_private.settle_conflict(
                        ids[place], e ->> 'event_type', (e ->> 'timestamp')::timestamptz, customer, e ->> 'deployment_id',
                        e ->> 'skill_id', e ->> 'skill_version', e ->> 'execution_id', e ->> 'risk_level', e ->> 'approval_mode',
                        e ->> 'actor', coalesce(nullif(e -> 'payload', 'null'), '{}'), e ->> 'correlation_id', e ->> 'channel_type',
                        e ->> 'error_code', (e ->> 'latency_ms')::bigint
                    );
                exception
                    when sqlstate 'ZXSEQ' or sqlstate 'ZXDUP' then
                        if write_events.mode = 'history' and sqlstate = 'ZXSEQ' then
                            return query
                            select w.*
                            from aximo_private.write_events(events, customer, 'exempt') as w;
                            return;
                        end if;
                        -- If an event before this one breaks a rule, that is what is wrong with the batch.
                        perform aximo_private.check_flow(
                            customer,
                            (select array_agg(u.event_id) from unnest(ids, recorded) as u (event_id, recorded_at) where u.recorded_at is not null),
                            ids[1:place - 1]
                        );
                        raise;
                end;
                recorded[place] := null;
                first_recorded[place] := receipt.recorded_at;
            end;
        end loop;
    end if;

    if doubtful is not null and write_events.mode = 'strict' then
        perform aximo_private.check_flow(customer, doubtful);
    end if;

    return query
    select u.event_id, coalesce(u.recorded_at, u.first_recorded_at), u.recorded_at is null
    from unnest(ids, recorded, first_recorded) with ordinality as u (event_id, recorded_at, first_recorded_at, place)
    order by u.place;
end;
$$;
alter function aximo_private.write_events(jsonb, text, text) owner to aximo_recorder;
comment on function aximo_private.write_events(jsonb, text, text) is
'What aximo.emit_events (mode strict) and aximo.import_events (mode history, and exempt for what a unique index keeps out) do.';

create function aximo.emit_events(events jsonb, customer_id text default null) returns setof aximo.receipt
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select w.*
    from aximo_private.write_events(emit_events.events, emit_events.customer_id, 'strict') as w;
end;
$$;
alter function aximo.emit_events(jsonb, text) owner to aximo_recorder;
comment on function aximo.emit_events(jsonb, text) is
'Writes a JSON array of events of one customer, all or nothing, and returns their receipts in the same order. Fields as in aximo.events, without recorded_at and recorded_by; a timestamp without an offset is UTC. The customer is the one named in the call, else in the first event, else the session''s. Errors as aximo.emit_event, with the event''s place in the detail.';

create function aximo.import_events(events jsonb, customer_id text default null) returns setof aximo.receipt
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select w.*
    from aximo_private.write_events(import_events.events, import_events.customer_id, 'history') as w;
end;
$$;
alter function aximo.import_events(jsonb, text) owner to aximo_recorder;
comment on function aximo.import_events(jsonb, text) is
'As aximo.emit_events, for history as it was: what breaks a rule of its execution''s life is accepted, and listed in aximo.violations when it is numbered. An event that is malformed, or whose event_id names another one, is refused all the same.';

create function aximo.close_stale_executions(older_than interval)
returns table (closed_execution_id text, event_id uuid, idle interval)
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    customer constant text := aximo_private.writing_customer(null);
    moment constant timestamptz := clock_timestamp();
    cutoff timestamptz;
begin
    if older_than is null or older_than < interval '0' then
        raise exception using
            errcode = 'ZXARG',
            message = 'an age is not negative',
            detail = format('older_than is %s', coalesce(older_than::text, 'null')),
            hint = 'Give an interval such as ''2 hours''.',
            constraint = 'older_than_not_negative';
    end if;
    begin
        cutoff := moment - older_than;
    exception
        when datetime_field_overflow then
            cutoff := '-infinity';
    end;
    return query
    with
    stale as (
        select t.execution_id, t.deployment_id, t.skill_id, t.skill_version, l.last_event_at
        from only aximo_private.events as t
        cross join lateral (
            select max(e."timestamp"::timestamptz) as last_event_at
            from only aximo_private.events as e
            where e.customer_id = customer and e.execution_id = t.execution_id
        ) as l
        where t.customer_id = customer and t.event_type = 'execution_triggered'
            and (
                select true
                from only aximo_private.events as e
                where e.customer_id = customer and e.execution_id = t.execution_id
                    and e.event_type in ('execution_completed', 'execution_failed')
                limit 1
            ) is null
            and l.last_event_at <= cutoff
    ),
    -- A worker that ends its execution at this very moment wins.
    closed as (
        insert into aximo_private.events (
            event_type, "timestamp", customer_id, deployment_id, skill_id, skill_version, execution_id, actor, error_code, event_id, payload
        )
        select
            'execution_failed', moment, customer, s.deployment_id, s.skill_id, s.skill_version, s.execution_id, 'system', 'orphaned',
            gen_random_uuid(), jsonb_build_object('error', 'no end was reported', 'last_event_at', s.last_event_at)
        from stale as s
        order by s.last_event_at
        on conflict do nothing
        returning execution_id, event_id
    )
    select c.execution_id::text, c.event_id, moment - s.last_event_at
    from closed as c
    inner join stale as s on s.execution_id = c.execution_id
    order by s.last_event_at;
end;
$$;
alter function aximo.close_stale_executions(interval) owner to aximo_recorder;
comment on function aximo.close_stale_executions(interval) is
'Ends the open executions of the session''s customer whose latest event is at least this old, with execution_failed and error_code orphaned; returns them. ZXCUS: no customer; ZXARG: no or a negative interval.';

-- The moment that the views of this folder look at: now, unless an _as_of function is running. Such a function says so in the
-- setting aximo.as_of, with the start of its transaction in front, so that what a pooled session left behind means nothing.
create function aximo_private.as_of(known boolean default false) returns timestamptz
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    parts constant text[] := string_to_array(current_setting('aximo.as_of', true), '|');
begin
    if parts[1] = extract(epoch from now())::text then
        return to_timestamp(parts[case when known then 3 else 2 end]::double precision);
    end if;
    return 'infinity';
end;
$$;
alter function aximo_private.as_of(boolean) owner to aximo_owner;
comment on function aximo_private.as_of(boolean) is
'The moment that history is looked at: by timestamp, or, if known, by recorded_at. Infinity unless an _as_of function is running.';

-- What the views of this folder are derived from. No security_barrier: the table's own policy is one, and a barrier in here would
-- keep join conditions out. IS NOT TRUE keeps the planner from reading a whole index for a condition that is nearly always met.
create view aximo_private.history as
select
    position,
    event_id,
    answers,
    event_type::text as event_type,
    "timestamp"::timestamptz as "timestamp",
    customer_id::text as customer_id,
    deployment_id::text as deployment_id,
    skill_id::text as skill_id,
    skill_version::text as skill_version,
    execution_id::text as execution_id,
    risk_level::text as risk_level,
    approval_mode::text as approval_mode,
    actor::text as actor,
    payload::jsonb as payload,
    correlation_id::text as correlation_id,
    channel_type::text as channel_type,
    error_code::text as error_code,
    latency_ms::bigint as latency_ms,
    recorded_at,
    recorded_by
from only aximo_private.events -- noqa: PRS
where ("timestamp" > (select aximo_private.as_of())) is not true
    and (recorded_at > (select aximo_private.as_of(known => true))) is not true;
alter view aximo_private.history owner to aximo_owner;
comment on view aximo_private.history is 'The events of the session''s customer, up to the moment looked at, with their order of arrival.';
comment on column aximo_private.history.position is 'Order of arrival, with gaps; no client sets or sees it.';
comment on column aximo_private.history."timestamp" is 'When it happened, by the client''s clock.';
comment on column aximo_private.history.recorded_at is 'When it was written, by the database''s clock; no client sets it.';
comment on column aximo_private.history.latency_ms is 'A latency the client measured, in milliseconds.';
comment on column aximo_private.history.event_id is 'The event''s id, unique within its customer: the client''s, or made here.';
comment on column aximo_private.history.answers is 'For the answer to an approval: the event_id of the request it answers. Worked out when it is written.';
comment on column aximo_private.history.event_type is 'What happened: one of aximo.event_types.';
comment on column aximo_private.history.customer_id is 'Whose event it is.';
comment on column aximo_private.history.deployment_id is 'The deployment concerned.';
comment on column aximo_private.history.skill_id is 'The skill it runs.';
comment on column aximo_private.history.skill_version is 'The version of the skill.';
comment on column aximo_private.history.execution_id is 'The execution; null only for governance and lifecycle events.';
comment on column aximo_private.history.actor is 'Who acted: system, founder, operator or external_user, as the service claims.';
comment on column aximo_private.history.risk_level is 'The risk, in the platform''s own vocabulary.';
comment on column aximo_private.history.approval_mode is 'How it is approved, in the platform''s own vocabulary.';
comment on column aximo_private.history.correlation_id is 'What ties it to other events, if anything.';
comment on column aximo_private.history.channel_type is 'The channel it came through, if any.';
comment on column aximo_private.history.error_code is 'The error, if any.';
comment on column aximo_private.history.recorded_by is 'The login that wrote it (session_user); no client sets it.';
comment on column aximo_private.history.payload is 'The rest, a JSON object.';

-- Straight from the table, not from history: a trace is asked for most often, and has no form for a moment in the past.
create view aximo.execution_steps with (security_barrier = true) as
select
    customer_id::text as customer_id,
    execution_id::text as execution_id,
    row_number() over arrival as step,
    "timestamp"::timestamptz as "timestamp",
    "timestamp" - first_value("timestamp") over arrival as since_start,
    "timestamp" - lag("timestamp") over arrival as since_previous,
    event_type::text as event_type,
    actor::text as actor,
    deployment_id::text as deployment_id,
    skill_id::text as skill_id,
    skill_version::text as skill_version,
    risk_level::text as risk_level,
    approval_mode::text as approval_mode,
    correlation_id::text as correlation_id,
    channel_type::text as channel_type,
    error_code::text as error_code,
    latency_ms::bigint as latency_ms,
    payload::jsonb as payload,
    event_id,
    answers as answers_event_id,
    recorded_at,
    recorded_by
from only aximo_private.events -- noqa: PRS
where execution_id is not null
window arrival as (partition by customer_id::text, execution_id::text order by position);
alter view aximo.execution_steps owner to aximo_owner;

comment on view aximo.execution_steps is 'Every event that belongs to an execution, in order of arrival within it. Key: execution_id, step.';
comment on column aximo.execution_steps.customer_id is 'Whose execution it is.';
comment on column aximo.execution_steps.execution_id is 'The execution.';
comment on column aximo.execution_steps.step is '1, 2, 3 … in order of arrival.';
comment on column aximo.execution_steps."timestamp" is 'When it happened, by the client''s clock.';
comment on column aximo.execution_steps.since_start is 'Time since the execution''s first event; negative if the clocks disagree.';
comment on column aximo.execution_steps.since_previous is 'Time since the event before; null for the first.';
comment on column aximo.execution_steps.event_type is 'What happened.';
comment on column aximo.execution_steps.actor is 'Who acted.';
comment on column aximo.execution_steps.deployment_id is 'The deployment.';
comment on column aximo.execution_steps.skill_id is 'The skill.';
comment on column aximo.execution_steps.skill_version is 'Its version.';
comment on column aximo.execution_steps.risk_level is 'The risk, if any was given.';
comment on column aximo.execution_steps.approval_mode is 'How it is approved, if given.';
comment on column aximo.execution_steps.correlation_id is 'What ties it to other events, if anything.';
comment on column aximo.execution_steps.channel_type is 'The channel, if given.';
comment on column aximo.execution_steps.error_code is 'The error, if any.';
comment on column aximo.execution_steps.latency_ms is 'A latency in milliseconds, if given.';
comment on column aximo.execution_steps.payload is 'The rest, a JSON object.';
comment on column aximo.execution_steps.event_id is 'The event.';
comment on column aximo.execution_steps.answers_event_id is 'For an answer to an approval: the event_id of the request.';
comment on column aximo.execution_steps.recorded_at is 'When it was written, by the database''s clock.';
comment on column aximo.execution_steps.recorded_by is 'The login that wrote it.';

-- plpgsql keeps the plan; a SQL function is planned at every call before PostgreSQL 18.
create function aximo.execution_trace(execution_id text) returns setof aximo.execution_steps
language plpgsql stable security invoker parallel safe rows 10
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select s.*
    from aximo.execution_steps as s
    where s.execution_id = execution_trace.execution_id
    order by s.step;
end;
$$;
alter function aximo.execution_trace(text) owner to aximo_owner;
comment on function aximo.execution_trace(text) is
'What happened in an execution: its events in order of arrival, with the time since its start and since the event before. No rows if the session''s customer has no such execution.';

create view aximo.executions with (security_barrier = true) as
select
    e.customer_id,
    e.execution_id,
    min(e.deployment_id) as deployment_id,
    min(e.skill_id) as skill_id,
    min(e.skill_version) as skill_version,
    case
        when count(*) filter (where e.event_type = 'execution_failed') > 0 then 'failed'
        when count(*) filter (where e.event_type = 'execution_completed') > 0 then 'completed'
        when count(*) filter (where e.event_type = 'approval_requested') > count(e.answers) then 'awaiting_approval'
        when count(*) filter (where e.event_type = 'execution_processing') > 0 then 'processing'
        else 'triggered'
    end as status,
    min(e."timestamp") filter (where e.event_type = 'execution_triggered') as started_at,
    min(e."timestamp") filter (where e.event_type in ('execution_completed', 'execution_failed')) as ended_at,
    min(e."timestamp") filter (where e.event_type in ('execution_completed', 'execution_failed'))
    - min(e."timestamp") filter (where e.event_type = 'execution_triggered') as duration,
    max(e."timestamp") as last_event_at,
    count(*) as events,
    count(*) filter (where e.event_type = 'action_prepared') as actions_prepared,
    count(*) filter (where e.event_type = 'action_dispatched') as actions_dispatched,
    count(*) filter (where e.event_type = 'action_failed') as actions_failed,
    count(*) filter (where e.event_type = 'approval_requested') as approvals_requested,
    count(*) filter (where e.event_type = 'approval_granted') as approvals_granted,
    count(*) filter (where e.event_type = 'approval_rejected') as approvals_rejected,
    count(*) filter (where e.event_type = 'approval_timeout') as approvals_timed_out,
    min(e.error_code) filter (where e.event_type = 'execution_failed') as error_code,
    min(e.payload ->> 'error') filter (where e.event_type = 'execution_failed') as error_message
from aximo_private.history as e
where e.execution_id is not null
group by e.customer_id, e.execution_id;
alter view aximo.executions owner to aximo_owner;

comment on view aximo.executions is 'How each execution stands or ended, derived from its events. Key: execution_id.';
comment on column aximo.executions.customer_id is 'Whose execution it is.';
comment on column aximo.executions.execution_id is 'The execution.';
comment on column aximo.executions.deployment_id is 'The deployment that ran it.';
comment on column aximo.executions.skill_id is 'The skill.';
comment on column aximo.executions.skill_version is 'The version of the skill.';
comment on column aximo.executions.status is 'triggered, processing, awaiting_approval, completed or failed.';
comment on column aximo.executions.started_at is 'When it was triggered.';
comment on column aximo.executions.ended_at is 'When it completed or failed; null while it is open.';
comment on column aximo.executions.duration is 'From trigger to end; null while it is open.';
comment on column aximo.executions.last_event_at is 'The latest timestamp of its events.';
comment on column aximo.executions.events is 'How many events it has.';
comment on column aximo.executions.actions_prepared is 'How many actions were prepared.';
comment on column aximo.executions.actions_dispatched is 'How many actions were dispatched.';
comment on column aximo.executions.actions_failed is 'How many actions failed.';
comment on column aximo.executions.approvals_requested is 'How many approvals were requested.';
comment on column aximo.executions.approvals_granted is 'How many approvals were granted.';
comment on column aximo.executions.approvals_rejected is 'How many approvals were rejected.';
comment on column aximo.executions.approvals_timed_out is 'How many approvals timed out.';
comment on column aximo.executions.error_code is 'The error_code of execution_failed.';
comment on column aximo.executions.error_message is 'What execution_failed says in payload.error.';

create function aximo.executions_as_of(moment timestamptz, known_at timestamptz default 'infinity')
returns setof aximo.executions
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    perform set_config(
        'aximo.as_of',
        concat_ws(
            '|',
            extract(epoch from now()),
            extract(epoch from coalesce(moment, 'infinity')),
            extract(epoch from coalesce(known_at, 'infinity'))
        ),
        true
    );
    return query select * from aximo.executions;
    perform set_config('aximo.as_of', '', true);
end;
$$;
alter function aximo.executions_as_of(timestamptz, timestamptz) owner to aximo_owner;
comment on function aximo.executions_as_of(timestamptz, timestamptz) is
'aximo.executions as it was at a moment, by timestamp; with known_at, as far as it had been recorded by then.';

-- From the triggers without an end, so that it costs look-ups, not the customer's whole history of events.
create view aximo.open_executions with (security_barrier = true) as
select
    t.customer_id,
    t.execution_id,
    t.deployment_id,
    t.skill_id,
    t.skill_version,
    case
        when l.requests > l.answers then 'awaiting_approval'
        when l.processings > 0 then 'processing'
        else 'triggered'
    end as status,
    t."timestamp" as started_at,
    l.last_event_at,
    least(now(), aximo_private.as_of()) - t."timestamp" as age,
    least(now(), aximo_private.as_of()) - l.last_event_at as idle
from aximo_private.history as t
cross join lateral (
    select
        max(e."timestamp") as last_event_at,
        count(*) filter (where e.event_type = 'approval_requested') as requests,
        count(e.answers) as answers,
        count(*) filter (where e.event_type = 'execution_processing') as processings
    from aximo_private.history as e
    where e.customer_id = t.customer_id and e.execution_id = t.execution_id
) as l
where t.event_type = 'execution_triggered'
    -- A scalar sub-select is one index look-up a trigger at any size; an anti-join was planned as a nested loop over all ends.
    and (
        select true
        from aximo_private.history as e
        where e.customer_id = t.customer_id and e.execution_id = t.execution_id
            and e.event_type in ('execution_completed', 'execution_failed')
        limit 1
    ) is null;
alter view aximo.open_executions owner to aximo_owner;

comment on view aximo.open_executions is 'Executions that have begun and not ended. Key: execution_id.';
comment on column aximo.open_executions.customer_id is 'Whose execution it is.';
comment on column aximo.open_executions.execution_id is 'The execution.';
comment on column aximo.open_executions.deployment_id is 'The deployment that runs it.';
comment on column aximo.open_executions.skill_id is 'The skill.';
comment on column aximo.open_executions.skill_version is 'The version of the skill.';
comment on column aximo.open_executions.status is 'triggered, processing or awaiting_approval.';
comment on column aximo.open_executions.started_at is 'When it was triggered.';
comment on column aximo.open_executions.last_event_at is 'The latest timestamp of its events.';
comment on column aximo.open_executions.age is 'Time since it was triggered.';
comment on column aximo.open_executions.idle is 'Time since its latest event.';

create function aximo.open_executions_as_of(moment timestamptz, known_at timestamptz default 'infinity')
returns setof aximo.open_executions
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    perform set_config(
        'aximo.as_of',
        concat_ws(
            '|',
            extract(epoch from now()),
            extract(epoch from coalesce(moment, 'infinity')),
            extract(epoch from coalesce(known_at, 'infinity'))
        ),
        true
    );
    return query select * from aximo.open_executions;
    perform set_config('aximo.as_of', '', true);
end;
$$;
alter function aximo.open_executions_as_of(timestamptz, timestamptz) owner to aximo_owner;
comment on function aximo.open_executions_as_of(timestamptz, timestamptz) is
'aximo.open_executions as it was at a moment, by timestamp; with known_at, as far as it had been recorded by then.';

create view aximo.approvals with (security_barrier = true) as
select
    r.customer_id,
    r.execution_id,
    r.payload ->> 'approval_id' as approval_id,
    r.deployment_id,
    r.skill_id,
    r.skill_version,
    r.risk_level,
    r.approval_mode,
    r."timestamp" as requested_at,
    r.actor as requested_by,
    coalesce(replace(d.event_type, 'approval_', ''), 'open') as decision,
    d."timestamp" as decided_at,
    d.actor as decided_by,
    d.recorded_by as decision_recorded_by,
    d."timestamp" - r."timestamp" as delay,
    d.payload ->> 'reason' as reason,
    case when d.event_type in ('approval_rejected', 'approval_timeout') then w.actions end as actions_withheld,
    r.event_id as request_event_id,
    d.event_id as decision_event_id
from aximo_private.history as r
left join aximo_private.history as d
    on d.customer_id = r.customer_id and d.answers = r.event_id
left join lateral (
    -- What waited for this approval and was never done: by action_id, else as many of a type as were prepared more often than done.
    select array_agg(coalesce(n.action_id, n.action_type) order by n.position) as actions
    from (
        select
            p.position,
            p.payload ->> 'action_id' as action_id,
            p.payload ->> 'action_type' as action_type,
            p.payload ->> 'approval_id' as approval_id,
            row_number() over (
                partition by p.payload ->> 'action_id', p.payload ->> 'action_type', p.payload ->> 'approval_id' order by p.position
            ) as nth
        from aximo_private.history as p
        where p.customer_id = r.customer_id and p.execution_id = r.execution_id and p.event_type = 'action_prepared'
    ) as n
    where (n.approval_id is null or n.approval_id = r.payload ->> 'approval_id')
        and n.nth > (
            select case when n.action_id is not null and count(*) > 0 then n.nth else count(*) end
            from aximo_private.history as q
            where q.customer_id = r.customer_id and q.execution_id = r.execution_id and q.event_type = 'action_dispatched'
                and q.payload ->> 'action_id' is not distinct from n.action_id
                and (
                    n.action_id is not null
                    or q.payload ->> 'action_type' is not distinct from n.action_type
                    and q.payload ->> 'approval_id' is not distinct from n.approval_id
                )
        )
) as w on d.event_type in ('approval_rejected', 'approval_timeout')
where r.event_type = 'approval_requested';
alter view aximo.approvals owner to aximo_owner;

comment on view aximo.approvals is 'Every approval that was asked for, and what became of it. Key: request_event_id.';
comment on column aximo.approvals.customer_id is 'Whose it is.';
comment on column aximo.approvals.execution_id is 'The execution that asks.';
comment on column aximo.approvals.approval_id is 'payload.approval_id of the request, if it has one.';
comment on column aximo.approvals.deployment_id is 'The deployment.';
comment on column aximo.approvals.skill_id is 'The skill.';
comment on column aximo.approvals.skill_version is 'The version of the skill.';
comment on column aximo.approvals.risk_level is 'The risk the request states.';
comment on column aximo.approvals.approval_mode is 'The mode the request states.';
comment on column aximo.approvals.requested_at is 'When it was asked for.';
comment on column aximo.approvals.requested_by is 'The actor of the request.';
comment on column aximo.approvals.decision is 'open, granted, rejected or timeout.';
comment on column aximo.approvals.decided_at is 'When it was answered; null while it is open.';
comment on column aximo.approvals.decided_by is 'The actor of the answer, as claimed.';
comment on column aximo.approvals.decision_recorded_by is 'The login that wrote the answer.';
comment on column aximo.approvals.delay is 'From request to answer; null while it is open.';
comment on column aximo.approvals.reason is 'payload.reason of the answer, if it has one.';
comment on column aximo.approvals.actions_withheld is 'If it was rejected or timed out: the prepared actions that waited for it and were not dispatched, by action_id or action_type.';
comment on column aximo.approvals.request_event_id is 'The event that asked.';
comment on column aximo.approvals.decision_event_id is 'The event that answered.';

create function aximo.approvals_as_of(moment timestamptz, known_at timestamptz default 'infinity')
returns setof aximo.approvals
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    perform set_config(
        'aximo.as_of',
        concat_ws(
            '|',
            extract(epoch from now()),
            extract(epoch from coalesce(moment, 'infinity')),
            extract(epoch from coalesce(known_at, 'infinity'))
        ),
        true
    );
    return query select * from aximo.approvals;
    perform set_config('aximo.as_of', '', true);
end;
$$;
alter function aximo.approvals_as_of(timestamptz, timestamptz) owner to aximo_owner;
comment on function aximo.approvals_as_of(timestamptz, timestamptz) is
'aximo.approvals as it was at a moment, by timestamp; with known_at, as far as it had been recorded by then.';

-- Read off the index, one look-up a deployment, however many events there are.
create view aximo_private.known_deployments as
with recursive
known as (
    (
        select e.customer_id, e.deployment_id
        from aximo_private.history as e
        order by e.customer_id, e.deployment_id
        limit 1
    )
    union all
    select n.customer_id, n.deployment_id
    from known as k
    cross join lateral (
        select e.customer_id, e.deployment_id
        from aximo_private.history as e
        where e.customer_id = k.customer_id and e.deployment_id > k.deployment_id
        order by e.customer_id, e.deployment_id
        limit 1
    ) as n
)
select customer_id, deployment_id
from known;
alter view aximo_private.known_deployments owner to aximo_owner;
comment on view aximo_private.known_deployments is 'Every deployment that the customer''s events speak of.';
comment on column aximo_private.known_deployments.customer_id is 'Whose deployment it is.';
comment on column aximo_private.known_deployments.deployment_id is 'The deployment.';

-- What was declared counts: the events of a deployment's life. A deployment that never declared anything is observed by its executions.
create view aximo.deployment_versions with (security_barrier = true) as
with
declared as (
    select e.customer_id, e.deployment_id, e.skill_id, e.skill_version, e.event_id, e.event_type, e."timestamp", e.position
    from aximo_private.known_deployments as k
    inner join aximo_private.history as e
        on e.customer_id = k.customer_id and e.deployment_id = k.deployment_id
            and e.event_type in (
                'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_updated',
                'deployment_terminated', 'version_upgraded', 'version_rolled_back'
            )
),
marks as (
    select d.*, 'declared' as basis
    from declared as d
    union all
    select
        e.customer_id, e.deployment_id, e.skill_id, e.skill_version, e.event_id, e.event_type, e."timestamp", e.position,
        'observed' as basis
    from aximo_private.history as e
    where e.event_type = 'execution_triggered'
        and not exists (select from declared as d where d.customer_id = e.customer_id and d.deployment_id = e.deployment_id)
),
steps as (
    select
        m.*,
        lag(m.skill_id) over in_time as previous_skill_id,
        lag(m.skill_version) over in_time as previous_version,
        lag(m.event_type) over in_time as previous_type
    from marks as m
    window in_time as (partition by m.customer_id, m.deployment_id order by m."timestamp", m.position)
),
changes as (
    select
        s.*,
        lead(s."timestamp") over in_time as ended_at,
        lead(s.event_id) over in_time as ended_with,
        lead(s.event_type) over in_time as ended_by
    from steps as s
    where s.event_type = 'deployment_terminated' or s.previous_type is null or s.previous_type = 'deployment_terminated'
        or s.skill_version <> s.previous_version or s.skill_id <> s.previous_skill_id
    window in_time as (partition by s.customer_id, s.deployment_id order by s."timestamp", s.position)
)
select
    customer_id,
    deployment_id,
    skill_id,
    skill_version,
    "timestamp" as began_at,
    ended_at,
    ended_at is null as is_current,
    event_type as began_by,
    event_id as began_with,
    ended_by,
    ended_with,
    basis
from changes
where event_type <> 'deployment_terminated';
alter view aximo.deployment_versions owner to aximo_owner;

comment on view aximo.deployment_versions is 'Which version of which skill a deployment ran when, one row a period. Key: deployment_id, began_with.';
comment on column aximo.deployment_versions.customer_id is 'Whose deployment it is.';
comment on column aximo.deployment_versions.deployment_id is 'The deployment.';
comment on column aximo.deployment_versions.skill_id is 'The skill.';
comment on column aximo.deployment_versions.skill_version is 'Its version in this period.';
comment on column aximo.deployment_versions.began_at is 'When the period began, by the event''s timestamp.';
comment on column aximo.deployment_versions.ended_at is 'When it ended; null while it lasts.';
comment on column aximo.deployment_versions.is_current is 'True while it lasts.';
comment on column aximo.deployment_versions.began_by is 'The type of the event that began it.';
comment on column aximo.deployment_versions.began_with is 'The event that began it.';
comment on column aximo.deployment_versions.ended_by is 'The type of the event that ended it.';
comment on column aximo.deployment_versions.ended_with is 'The event that ended it.';
comment on column aximo.deployment_versions.basis is 'declared: by events of the deployment''s life. observed: by the versions its executions ran, because it declared none.';

create function aximo.deployment_versions_as_of(moment timestamptz, known_at timestamptz default 'infinity')
returns setof aximo.deployment_versions
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    perform set_config(
        'aximo.as_of',
        concat_ws(
            '|',
            extract(epoch from now()),
            extract(epoch from coalesce(moment, 'infinity')),
            extract(epoch from coalesce(known_at, 'infinity'))
        ),
        true
    );
    return query select * from aximo.deployment_versions;
    perform set_config('aximo.as_of', '', true);
end;
$$;
alter function aximo.deployment_versions_as_of(timestamptz, timestamptz) owner to aximo_owner;
comment on function aximo.deployment_versions_as_of(timestamptz, timestamptz) is
'aximo.deployment_versions as it was at a moment, by timestamp; with known_at, as far as it had been recorded by then.';

create view aximo.deployments with (security_barrier = true) as
select
    k.customer_id,
    k.deployment_id,
    coalesce(v.skill_id, x.skill_id) as skill_id,
    coalesce(v.skill_version, x.skill_version) as skill_version,
    case s.event_type
        when 'deployment_created' then 'pending_configuration'
        when 'deployment_configured' then 'configured'
        when 'deployment_activated' then 'active'
        when 'deployment_suspended' then 'suspended'
        when 'deployment_terminated' then 'terminated'
        else 'undeclared'
    end as status,
    s."timestamp" as status_since,
    s.event_id as status_event_id,
    x."timestamp" as last_execution_at
from aximo_private.known_deployments as k
-- The latest event of some types, one index look-up a type. Types given as a list of constants were planned as a pass over the deployment.
left join lateral (
    select n.*
    from unnest(array[
        'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_suspended', 'deployment_terminated'
    ]) as t (event_type)
    cross join lateral (
        select e.event_type, e."timestamp", e.position, e.event_id
        from aximo_private.history as e
        where e.customer_id = k.customer_id and e.deployment_id = k.deployment_id and e.event_type = t.event_type
        order by e."timestamp" desc, e.position desc
        limit 1
    ) as n
    order by n."timestamp" desc, n.position desc
    limit 1
) as s on true
left join lateral (
    select n.*
    from unnest(array[
        'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_updated', 'deployment_terminated',
        'version_upgraded', 'version_rolled_back'
    ]) as t (event_type)
    cross join lateral (
        select e.skill_id, e.skill_version, e."timestamp", e.position
        from aximo_private.history as e
        where e.customer_id = k.customer_id and e.deployment_id = k.deployment_id and e.event_type = t.event_type
        order by e."timestamp" desc, e.position desc
        limit 1
    ) as n
    order by n."timestamp" desc, n.position desc
    limit 1
) as v on true
left join lateral (
    select n.*
    from unnest(array[
        'execution_triggered'
    ]) as t (event_type)
    cross join lateral (
        select e.skill_id, e.skill_version, e."timestamp", e.position
        from aximo_private.history as e
        where e.customer_id = k.customer_id and e.deployment_id = k.deployment_id and e.event_type = t.event_type
        order by e."timestamp" desc
        limit 1
    ) as n
) as x on true;
alter view aximo.deployments owner to aximo_owner;

comment on view aximo.deployments is 'Every deployment that events speak of, with its current status and version. Key: deployment_id.';
comment on column aximo.deployments.customer_id is 'Whose deployment it is.';
comment on column aximo.deployments.deployment_id is 'The deployment.';
comment on column aximo.deployments.skill_id is 'The skill it runs: as last declared, else as last executed.';
comment on column aximo.deployments.skill_version is 'The version it runs: as last declared, else as last executed.';
comment on column aximo.deployments.status is 'pending_configuration, configured, active, suspended or terminated; undeclared if no event of its life says.';
comment on column aximo.deployments.status_since is 'Since when, by the event''s timestamp.';
comment on column aximo.deployments.status_event_id is 'The event that says so.';
comment on column aximo.deployments.last_execution_at is 'When an execution was last triggered.';

create function aximo.deployments_as_of(moment timestamptz, known_at timestamptz default 'infinity')
returns setof aximo.deployments
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    perform set_config(
        'aximo.as_of',
        concat_ws(
            '|',
            extract(epoch from now()),
            extract(epoch from coalesce(moment, 'infinity')),
            extract(epoch from coalesce(known_at, 'infinity'))
        ),
        true
    );
    return query select * from aximo.deployments;
    perform set_config('aximo.as_of', '', true);
end;
$$;
alter function aximo.deployments_as_of(timestamptz, timestamptz) owner to aximo_owner;
comment on function aximo.deployments_as_of(timestamptz, timestamptz) is
'aximo.deployments as it was at a moment, by timestamp; with known_at, as far as it had been recorded by then.';

-- One row: how far the numbering is, and the lock of the one who does it. Only the sequencer can lock it; nobody waits for it.
create table aximo_private.log_state (
    is_the_row boolean not null default true,
    ledger text collate "C" not null default 'aximo-db/' || gen_random_uuid(),
    high_position bigint not null default 0,
    advanced_at timestamptz,
    constraint log_state_pkey primary key (is_the_row),
    constraint one_row check (is_the_row),
    constraint ledger_is_a_name check (ledger ~ '^[!-*,-~]+$')
);
alter table aximo_private.log_state owner to aximo_owner;
insert into aximo_private.log_state default values;
alter table aximo_private.log_state enable row level security;
alter table aximo_private.log_state force row level security;
create policy owner_reads_log_state on aximo_private.log_state
for select to aximo_owner using (true);
create policy sequencer_keeps_log_state on aximo_private.log_state
for all to aximo_sequencer using (true) with check (true);

comment on table aximo_private.log_state is 'How far events are numbered. One row.';
comment on column aximo_private.log_state.is_the_row is 'Always true.';
comment on column aximo_private.log_state.ledger is 'The name of this ledger in the origin of its checkpoints: printable ASCII without blank and plus. Never changes.';
comment on column aximo_private.log_state.high_position is 'The highest position numbered. What is above it is new; what is below and unnumbered is in a hole.';
comment on column aximo_private.log_state.advanced_at is 'When events were last numbered, by the database''s clock.';
comment on policy owner_reads_log_state on aximo_private.log_state is 'doctor shows it.';
comment on policy sequencer_keeps_log_state on aximo_private.log_state is 'aximo.advance_log runs as this role.';

-- Positions that were not visible when higher ones were: of transactions under way, or rolled back. Live state, not history.
create table aximo_private.log_holes (
    first_position bigint not null,
    last_position bigint not null,
    seen_by xid8 not null,
    older_than xid8,
    constraint log_holes_pkey primary key (first_position),
    constraint hole_is_a_range check (first_position <= last_position)
);
alter table aximo_private.log_holes owner to aximo_owner;
alter table aximo_private.log_holes enable row level security;
alter table aximo_private.log_holes force row level security;
create policy owner_reads_log_holes on aximo_private.log_holes
for select to aximo_owner using (true);
create policy sequencer_keeps_log_holes on aximo_private.log_holes
for all to aximo_sequencer using (true) with check (true);

comment on table aximo_private.log_holes is 'Ranges of positions that may still become visible. Forgotten when every transaction that could own them is gone.';
comment on column aximo_private.log_holes.first_position is 'The first position of the range.';
comment on column aximo_private.log_holes.last_position is 'Its last one.';
comment on column aximo_private.log_holes.seen_by is 'The transaction that first saw it.';
comment on column aximo_private.log_holes.older_than is 'A transaction that began to write after that one had ended: whoever owns a position here is older. Null until there is one.';
comment on policy owner_reads_log_holes on aximo_private.log_holes is 'doctor shows them.';
comment on policy sequencer_keeps_log_holes on aximo_private.log_holes is 'aximo.advance_log runs as this role.';

-- The log of each customer: which event has which number, and the hash of its canonical line.
create table aximo_private.log_entries (
    number bigint not null,
    event_id uuid not null,
    customer_id text collate "C" not null,
    leaf bytea not null,
    constraint log_entries_pkey primary key (customer_id, number),
    constraint event_is_numbered_once unique (customer_id, event_id)
);
alter table aximo_private.log_entries owner to aximo_owner;
alter table aximo_private.log_entries enable row level security;
alter table aximo_private.log_entries force row level security;
create policy owner_reads_own_log on aximo_private.log_entries
for select to aximo_owner using (customer_id = (select aximo.current_customer()));
create policy sequencer_reads_log on aximo_private.log_entries
for select to aximo_sequencer using (true);
create policy sequencer_adds_to_log on aximo_private.log_entries
for insert to aximo_sequencer with check (true);
select aximo_private.make_append_only('aximo_private.log_entries');
-- Statistics would tell, through row estimates, how much other customers have.
alter table aximo_private.log_entries
    alter number set statistics 0,
    alter event_id set statistics 0,
    alter customer_id set statistics 0,
    alter leaf set statistics 0;

comment on table aximo_private.log_entries is 'The numbered events: append-only, each customer''s 1, 2, 3 … without a gap.';
comment on column aximo_private.log_entries.number is 'The number in the customer''s log.';
comment on column aximo_private.log_entries.event_id is 'The event.';
comment on column aximo_private.log_entries.customer_id is 'Whose log it is.';
comment on column aximo_private.log_entries.leaf is 'sha256 of a zero byte and the event''s canonical line (RFC 9162, section 2.1.1).';
comment on policy owner_reads_own_log on aximo_private.log_entries is 'Views run as the owner and show the session''s customer, to whomever.';
comment on policy sequencer_reads_log on aximo_private.log_entries is 'Numbering goes on where it ended, for every customer.';
comment on policy sequencer_adds_to_log on aximo_private.log_entries is 'aximo.advance_log runs as this role.';

-- Hashes of complete subtrees of 256, 65536, … entries: C2SP's tiles, a row a hash, and without the partial ones.
create table aximo_private.log_nodes (
    index bigint not null,
    level bigint not null,
    customer_id text collate "C" not null,
    hash bytea not null,
    constraint log_nodes_pkey primary key (customer_id, level, index)
);
alter table aximo_private.log_nodes owner to aximo_owner;
alter table aximo_private.log_nodes enable row level security;
alter table aximo_private.log_nodes force row level security;
create policy owner_reads_own_log_nodes on aximo_private.log_nodes
for select to aximo_owner using (customer_id = (select aximo.current_customer()));
create policy sequencer_reads_log_nodes on aximo_private.log_nodes
for select to aximo_sequencer using (true);
create policy sequencer_adds_log_nodes on aximo_private.log_nodes
for insert to aximo_sequencer with check (true);
select aximo_private.make_append_only('aximo_private.log_nodes');
alter table aximo_private.log_nodes
    alter index set statistics 0,
    alter level set statistics 0,
    alter customer_id set statistics 0,
    alter hash set statistics 0;

comment on table aximo_private.log_nodes is 'Hashes of complete subtrees of the log, so that a proof reads a few hundred hashes of any log.';
comment on column aximo_private.log_nodes.index is 'Its place among those of its level: 0, 1, 2 …';
comment on column aximo_private.log_nodes.level is '1 for 256 entries, 2 for 65536, …: C2SP tlog-tiles'' level.';
comment on column aximo_private.log_nodes.customer_id is 'Whose log it is.';
comment on column aximo_private.log_nodes.hash is 'The Merkle tree hash of these entries (RFC 9162, section 2.1.1).';
comment on policy owner_reads_own_log_nodes on aximo_private.log_nodes is 'Views run as the owner and show the session''s customer, to whomever.';
comment on policy sequencer_reads_log_nodes on aximo_private.log_nodes is 'A level is made of the one below.';
comment on policy sequencer_adds_log_nodes on aximo_private.log_nodes is 'aximo.advance_log runs as this role.';

-- Breaches of the rules of an execution's life that writing could not refuse, found when the event was numbered.
create table aximo_private.violations (
    number bigint not null,
    found_at timestamptz not null default clock_timestamp(),
    event_id uuid not null,
    against uuid,
    customer_id text collate "C" not null,
    execution_id text collate "C" not null,
    rule text collate "C" not null,
    constraint violations_pkey primary key (customer_id, number)
);
alter table aximo_private.violations owner to aximo_owner;
alter table aximo_private.violations enable row level security;
alter table aximo_private.violations force row level security;
create policy owner_reads_own_violations on aximo_private.violations
for select to aximo_owner using (customer_id = (select aximo.current_customer()));
create policy sequencer_adds_violations on aximo_private.violations
for insert to aximo_sequencer with check (true);
select aximo_private.make_append_only('aximo_private.violations');
alter table aximo_private.violations
    alter number set statistics 0,
    alter found_at set statistics 0,
    alter event_id set statistics 0,
    alter against set statistics 0,
    alter customer_id set statistics 0,
    alter execution_id set statistics 0,
    alter rule set statistics 0;

comment on table aximo_private.violations is 'Events that break a rule of their execution''s life, in the order of the log: append-only. Read it through aximo.violations.';
comment on column aximo_private.violations.number is 'The number of the event in the customer''s log.';
comment on column aximo_private.violations.found_at is 'When it was numbered and judged, by the database''s clock.';
comment on column aximo_private.violations.event_id is 'The event that breaks the rule.';
comment on column aximo_private.violations.against is 'The earlier event it is broken against, if there is one.';
comment on column aximo_private.violations.customer_id is 'Whose event it is.';
comment on column aximo_private.violations.execution_id is 'The execution.';
comment on column aximo_private.violations.rule is 'The rule, by the name that a refusal would have carried.';
comment on policy owner_reads_own_violations on aximo_private.violations is 'Views run as the owner and show the session''s customer, to whomever.';
comment on policy sequencer_adds_violations on aximo_private.violations is 'aximo.advance_log runs as this role.';

create table aximo_private.checkpoints (
    size bigint not null,
    made_at timestamptz not null default clock_timestamp(),
    checkpoint_id uuid not null default gen_random_uuid(),
    customer_id text collate "C" not null,
    root bytea not null,
    made_by text collate "C" not null default session_user,
    note text collate "C" not null,
    constraint checkpoints_pkey primary key (customer_id, checkpoint_id),
    constraint checkpoint_is_short check (octet_length(note) <= 16384)
);
alter table aximo_private.checkpoints owner to aximo_owner;
create index checkpoints_by_size on aximo_private.checkpoints (customer_id, size);
alter table aximo_private.checkpoints enable row level security;
alter table aximo_private.checkpoints force row level security;
create policy owner_reads_own_checkpoints on aximo_private.checkpoints
for select to aximo_owner using (customer_id = (select aximo.current_customer()));
create policy sequencer_adds_own_checkpoints on aximo_private.checkpoints
for insert to aximo_sequencer with check (customer_id = (select aximo.current_customer()));
select aximo_private.make_append_only('aximo_private.checkpoints');
alter table aximo_private.checkpoints
    alter size set statistics 0,
    alter made_at set statistics 0,
    alter checkpoint_id set statistics 0,
    alter customer_id set statistics 0,
    alter root set statistics 0,
    alter made_by set statistics 0,
    alter note set statistics 0;

comment on table aximo_private.checkpoints is 'What was said about the logs: append-only. Read it through aximo.checkpoints, add with aximo.add_checkpoint.';
comment on column aximo_private.checkpoints.size is 'How many entries it speaks of.';
comment on column aximo_private.checkpoints.made_at is 'When it was added, by the database''s clock.';
comment on column aximo_private.checkpoints.checkpoint_id is 'Made here.';
comment on column aximo_private.checkpoints.customer_id is 'Whose log.';
comment on column aximo_private.checkpoints.root is 'Their Merkle tree hash.';
comment on column aximo_private.checkpoints.made_by is 'The login that added it.';
comment on column aximo_private.checkpoints.note is 'The checkpoint as text, with its signatures, if it has any.';
comment on index aximo_private.checkpoints_by_size is 'The latest, and those to compare with.';
comment on policy owner_reads_own_checkpoints on aximo_private.checkpoints is 'Views run as the owner and show the session''s customer, to whomever.';
comment on policy sequencer_adds_own_checkpoints on aximo_private.checkpoints is 'aximo.add_checkpoint runs as this role, for the session''s customer.';

-- How far a consumer of a customer's log has come.
create table aximo_private.log_cursors (
    customer_id text collate "C" not null,
    name aximo_private.identifier not null,
    number bigint not null default 0,
    moved_at timestamptz not null default clock_timestamp(),
    moved_by text collate "C" not null default session_user,
    constraint log_cursors_pkey primary key (customer_id, name),
    constraint number_not_negative check (number >= 0)
);
alter table aximo_private.log_cursors owner to aximo_owner;
alter table aximo_private.log_cursors enable row level security;
alter table aximo_private.log_cursors force row level security;
create policy owner_reads_own_cursors on aximo_private.log_cursors
for select to aximo_owner using (customer_id = (select aximo.current_customer()));
create policy sequencer_keeps_own_cursors on aximo_private.log_cursors
for all to aximo_sequencer
using (customer_id = (select aximo.current_customer())) with check (customer_id = (select aximo.current_customer()));
alter table aximo_private.log_cursors
    alter customer_id set statistics 0,
    alter name set statistics 0,
    alter number set statistics 0,
    alter moved_at set statistics 0,
    alter moved_by set statistics 0;

comment on table aximo_private.log_cursors is 'How far each consumer has come. Moved by aximo.move_cursor only.';
comment on column aximo_private.log_cursors.customer_id is 'Whose log.';
comment on column aximo_private.log_cursors.name is 'The consumer.';
comment on column aximo_private.log_cursors.number is 'The last number it is done with; 0 before the first.';
comment on column aximo_private.log_cursors.moved_at is 'When it was moved last, by the database''s clock.';
comment on column aximo_private.log_cursors.moved_by is 'The login that moved it.';
comment on policy owner_reads_own_cursors on aximo_private.log_cursors is 'Views run as the owner and show the session''s customer, to whomever.';
comment on policy sequencer_keeps_own_cursors on aximo_private.log_cursors is 'The cursor functions run as this role, for the session''s customer.';

create type aximo_private.log_growth as (
    customer_id text,
    old_size bigint,
    new_size bigint
);
alter type aximo_private.log_growth owner to aximo_owner;
comment on type aximo_private.log_growth is 'By what a customer''s log grew in one advance.';
comment on column aximo_private.log_growth.customer_id is 'Whose log.';
comment on column aximo_private.log_growth.old_size is 'Its size before.';
comment on column aximo_private.log_growth.new_size is 'Its size now.';

-- Level by level, a last hash without a partner moves up as it is: the same tree as RFC 9162's, which splits at powers of two.
create function aximo.tree_hash(hashes bytea[]) returns bytea
language plpgsql immutable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    level bytea[] := hashes;
    width integer := cardinality(hashes);
    above bytea[];
begin
    if width = 0 then
        return sha256('');
    end if;
    while width > 1 loop
        above := '{}';
        for pair in 1 .. width / 2 loop
            above[pair] := sha256(decode('01', 'hex') || level[2 * pair - 1] || level[2 * pair]);
        end loop;
        if width % 2 = 1 then
            above[width / 2 + 1] := level[width];
        end if;
        level := above;
        width := (width + 1) / 2;
    end loop;
    return level[1];
end;
$$;
alter function aximo.tree_hash(bytea[]) owner to aximo_owner;
comment on function aximo.tree_hash(bytea[]) is
'The Merkle tree hash of these subtrees'' hashes (RFC 9162, section 2.1.1): all of one size but for the last, which may be smaller.';

-- Hashes the subtrees that are complete now and were not before: one hash an entry, all levels together.
create function aximo_private.grow_tree(touched aximo_private.log_growth[]) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    width bigint := 256;
begin
    insert into aximo_private.log_nodes (customer_id, level, index, hash)
    select
        t.customer_id,
        1,
        b.index,
        aximo.tree_hash(
            array(
                select l.leaf
                from only aximo_private.log_entries as l
                where l.customer_id = t.customer_id and l.number between 256 * b.index + 1 and 256 * (b.index + 1)
                order by l.number
            )
        )
    from unnest(touched) as t
    cross join lateral generate_series(t.old_size / 256, t.new_size / 256 - 1) as b (index);

    for height in 2 .. 7 loop
        width := width * 256;
        exit when not exists (select from unnest(touched) as t where t.new_size >= width);
        insert into aximo_private.log_nodes (customer_id, level, index, hash)
        select
            t.customer_id,
            height,
            b.index,
            aximo.tree_hash(
                array(
                    select n.hash
                    from only aximo_private.log_nodes as n
                    where n.customer_id = t.customer_id and n.level = height - 1
                        and n.index between 256 * b.index and 256 * b.index + 255
                    order by n.index
                )
            )
        from unnest(touched) as t
        cross join lateral generate_series(t.old_size / width, t.new_size / width - 1) as b (index);
    end loop;
end;
$$;
alter function aximo_private.grow_tree(aximo_private.log_growth[]) owner to aximo_sequencer;
comment on function aximo_private.grow_tree(aximo_private.log_growth[]) is 'Adds the hashes of the subtrees that new entries completed.';

-- Judges each new entry by the rules of its execution's life, in the order of the log.
create function aximo_private.list_violations(touched aximo_private.log_growth[]) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    longest constant integer := 10000;
begin
    with
    entry as materialized (
        select
            -- A life for short, across customers.
            dense_rank() over (order by t.customer_id, e.execution_id)::text as life,
            t.customer_id,
            t.old_size,
            n.number,
            e.*
        from unnest(touched) as t
        cross join lateral (
            select l.number, l.event_id
            from only aximo_private.log_entries as l
            where l.customer_id = t.customer_id and l.number > t.old_size and l.number <= t.new_size
            offset 0
        ) as n
        cross join lateral (
            select s.event_id, s.execution_id, s.event_type, s.deployment_id, s.skill_id, s.skill_version, s.payload
            from only aximo_private.events as s
            where s.customer_id = t.customer_id and s.event_id = n.event_id
            offset 0
        ) as e
        where e.execution_id is not null
    ),
    plain as materialized (
        select l.life
        from aximo_private.plain_lives(
            array(
                select
                    row(
                        e.life, e.number, true, null, e.event_type, null, e.deployment_id, e.skill_id, e.skill_version, null,
                        aximo_private.step_key(e.payload, 'action_id'), aximo_private.step_key(e.payload, 'action_type')
                    )::aximo_private.life_step
                from entry as e
            )
        ) as l (life)
    ),
    -- Those that are not plain, or have had events before.
    unclear as materialized (
        select g.*
        from (
            select
                e.life,
                e.customer_id,
                e.execution_id,
                e.old_size,
                count(*) as steps,
                min(e.number) as first_number,
                (
                    select count(*)
                    from (
                        select
                        from only aximo_private.events as s
                        where s.customer_id = e.customer_id and s.execution_id = e.execution_id
                        limit longest + 1
                    ) as s
                ) as stored
            from entry as e
            group by e.life, e.customer_id, e.execution_id, e.old_size
        ) as g
        where g.life not in (select p.life from plain as p) or g.steps < g.stored
    ),
    doubtful as materialized (
        select u.*
        from unclear as u
        where u.stored <= longest
    ),
    -- One execution that never ends must not keep everybody's events from being numbered.
    too_long as (
        insert into aximo_private.violations (customer_id, number, event_id, execution_id, rule)
        select u.customer_id, u.first_number, e.event_id, u.execution_id, 'too_long_to_judge'
        from unclear as u
        inner join entry as e on e.life = u.life and e.number = u.first_number
        where u.stored > longest
    ),
    breach as (
        select b.*
        from aximo_private.breaches(
            array(
                select
                    row(
                        d.life, n.number, n.number > d.old_size, e.event_id, e.event_type, e.answers, e.deployment_id, e.skill_id,
                        e.skill_version, aximo_private.step_key(e.payload, 'approval_id'), aximo_private.step_key(e.payload, 'action_id'),
                        aximo_private.step_key(e.payload, 'action_type')
                    )::aximo_private.life_step
                from doubtful as d
                cross join lateral (
                    select s.*
                    from only aximo_private.events as s
                    where s.customer_id = d.customer_id and s.execution_id = d.execution_id
                    offset 0
                ) as e
                cross join lateral (
                    select l.number
                    from only aximo_private.log_entries as l
                    where l.customer_id = d.customer_id and l.event_id = e.event_id
                    offset 0
                ) as n
            )
        ) as b
    )
    insert into aximo_private.violations (customer_id, number, event_id, execution_id, rule, against)
    select d.customer_id, b.place, b.event_id, d.execution_id, b.rule, b.against
    from breach as b
    inner join doubtful as d on d.life = b.life;
end;
$$;
alter function aximo_private.list_violations(aximo_private.log_growth[]) owner to aximo_sequencer;
comment on function aximo_private.list_violations(aximo_private.log_growth[]) is
'Writes down which of the new entries break a rule of their execution''s life. Refuses nothing.';

-- Numbers what is committed and unnumbered. Whoever derives something from the log does it in here, in the same transaction.
create function aximo.advance_log(max_events integer default 10000)
returns table (numbered bigint, is_behind boolean)
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
-- Without statistics the planner fears the worst, and compiles for half a second what runs for a few milliseconds.
set jit = off
as $$
#variable_conflict use_column
declare
    wrote_before constant boolean := pg_current_xact_id_if_assigned() is not null;
    high bigint;
    scan_xmin xid8;
    positions bigint[];
    fresh bigint[];
    filled bigint[];
    touched aximo_private.log_growth[];
begin
    if advance_log.max_events is null or advance_log.max_events < 1 then
        raise exception using
            errcode = 'ZXARG',
            message = 'at least one event at a time',
            detail = format('max_events is %s', coalesce(advance_log.max_events::text, 'null')),
            hint = 'Give a positive number; what is left over is numbered by the next call.',
            constraint = 'max_events_positive';
    end if;
    perform aximo_private.numbers_for_all();
    -- One at a time. Who comes while another is at it has nothing to do: the other one numbers what he would have.
    select s.high_position into high
    from aximo_private.log_state as s
    for update skip locked;
    if not found and exists (select from aximo_private.log_state) then
        return query select 0::bigint, null::boolean;
        return;
    end if;
    -- Without the state that belongs to them, the entries would be numbered anew, under another name.
    if not found or (high = 0 and exists (select from only aximo_private.log_entries)) then
        raise exception using
            errcode = 'ZXENV',
            message = 'the log''s state does not belong to its entries',
            detail = 'aximo_private.log_state is missing or new, and aximo_private.log_entries is not empty',
            hint = 'Restore the row of aximo_private.log_state from the same backup as the entries.',
            constraint = 'log_state_is_the_logs';
    end if;

    -- From a restored dump, where transactions have other numbers: begin again.
    update aximo_private.log_holes as h
    set seen_by = pg_current_xact_id(), older_than = null
    where greatest(h.seen_by, coalesce(h.older_than, h.seen_by)) > pg_current_xact_id();

    -- The transaction that advances now has its id from after the lock, so from after every scan before: it is younger than every
    -- transaction that could own a position those scans missed. Not so if it had its id before it came here.
    if not wrote_before then
        update aximo_private.log_holes as h
        set older_than = pg_current_xact_id()
        where h.older_than is null and h.seen_by <> pg_current_xact_id();
    end if;

    -- One statement, so one snapshot: what an event was written after has the lower position and is seen if the event is.
    with
    late as (
        select e.position, e.customer_id, e.event_id
        from aximo_private.log_holes as h
        cross join lateral (
            select s.position, s.customer_id, s.event_id
            from only aximo_private.events as s
            where s.position between h.first_position and h.last_position and s.position > 0
                -- After a restore that lost the sequence's value a position may have been given twice.
                and (
                    select true
                    from only aximo_private.log_entries as l
                    where l.customer_id = s.customer_id and l.event_id = s.event_id
                    limit 1
                ) is null
            order by s.position
            limit advance_log.max_events
        ) as e
        order by e.position
        limit advance_log.max_events
    ),
    young as (
        select s.position, s.customer_id, s.event_id
        from only aximo_private.events as s
        where s.position > high and s.position > 0
        order by s.position
        limit advance_log.max_events
    ),
    found as materialized (
        select f.*
        from (
            select l.*, true as is_late
            from late as l
            union all
            select y.*, false as is_late
            from young as y
        ) as f
        order by f.position
        limit advance_log.max_events
    ),
    heads as materialized (
        select
            c.customer_id,
            coalesce(
                (
                    select l.number
                    from only aximo_private.log_entries as l
                    where l.customer_id = c.customer_id
                    order by l.number desc
                    limit 1
                ),
                0
            ) as size
        from (select distinct f.customer_id from found as f) as c
    ),
    added as (
        insert into aximo_private.log_entries (customer_id, number, event_id, leaf)
        select
            f.customer_id,
            h.size + row_number() over (partition by f.customer_id order by f.position),
            f.event_id,
            (
                select sha256(decode('00', 'hex') || convert_to(aximo_private.event_line(s.*), 'UTF8'))
                from only aximo_private.events as s
                where s.customer_id = f.customer_id and s.event_id = f.event_id
            )
        from found as f
        inner join heads as h on h.customer_id = f.customer_id
        returning customer_id, number
    )
    select
        pg_snapshot_xmin(pg_current_snapshot()),
        (select array_agg(f.position order by f.position) from found as f),
        (select array_agg(f.position order by f.position) from found as f where not f.is_late),
        (select array_agg(f.position order by f.position) from found as f where f.is_late),
        (
            select array_agg(row(g.customer_id, g.old_size, g.new_size)::aximo_private.log_growth)
            from (
                select a.customer_id, min(a.number) - 1 as old_size, max(a.number) as new_size
                from added as a
                group by a.customer_id
            ) as g
        )
    into scan_xmin, positions, fresh, filled, touched;

    -- What is left of a hole when a part of it has come.
    if filled is not null then
        with
        hit as materialized (
            select
                p.position,
                (
                    select h.first_position
                    from aximo_private.log_holes as h
                    where h.first_position <= p.position
                    order by h.first_position desc
                    limit 1
                ) as hole
            from unnest(filled) as p (position)
        ),
        gone as (
            delete from aximo_private.log_holes as h
            where h.first_position in (select t.hole from hit as t)
            returning h.first_position, h.last_position, h.seen_by, h.older_than
        )
        insert into aximo_private.log_holes (first_position, last_position, seen_by, older_than)
        select r.first_position, r.last_position, r.seen_by, r.older_than
        from (
            select
                coalesce(lag(p.position) over of_hole, g.first_position - 1) + 1 as first_position,
                p.position - 1 as last_position,
                g.seen_by,
                g.older_than
            from gone as g
            inner join hit as p on p.hole = g.first_position
            window of_hole as (partition by g.first_position order by p.position)
            union all
            select max(p.position) + 1, g.last_position, g.seen_by, g.older_than
            from gone as g
            inner join hit as p on p.hole = g.first_position
            group by g.first_position, g.last_position, g.seen_by, g.older_than
        ) as r
        where r.first_position <= r.last_position;
    end if;

    -- Every transaction that could own it was over before the scan that did not find it.
    delete from aximo_private.log_holes as h
    where h.older_than < scan_xmin
        and (
            coalesce(cardinality(positions), 0) < advance_log.max_events
            or h.last_position <= positions[cardinality(positions)]
        );

    update aximo_private.log_state as s
    set high_position = coalesce(fresh[cardinality(fresh)], high), advanced_at = clock_timestamp()
    where s.is_the_row;
    if positions is null then
        return query select 0::bigint, false;
        return;
    end if;

    insert into aximo_private.log_holes (first_position, last_position, seen_by)
    select g.first_position, g.last_position, pg_current_xact_id()
    from (
        select
            coalesce(lag(p.position) over (order by p.position), high) + 1 as first_position,
            p.position - 1 as last_position
        from unnest(fresh) as p (position)
    ) as g
    where g.first_position <= g.last_position;

    perform aximo_private.grow_tree(touched);
    begin
        perform aximo_private.list_violations(touched);
    exception
        -- What a customer writes must not keep the others' events from being numbered.
        when program_limit_exceeded or statement_too_complex or insufficient_resources or data_exception then
            insert into aximo_private.violations (customer_id, number, event_id, execution_id, rule)
            select l.customer_id, l.number, l.event_id, '', 'not_judged'
            from unnest(touched) as t
            inner join only aximo_private.log_entries as l on l.customer_id = t.customer_id and l.number = t.new_size;
    end;
    -- Further state that is derived from the log belongs here.

    return query select cardinality(positions)::bigint, cardinality(positions) = advance_log.max_events;
end;
$$;
alter function aximo.advance_log(integer) owner to aximo_sequencer;
comment on function aximo.advance_log(integer) is
'Gives committed events, of all customers, their numbers, at most so many in one call, and adds them to the tree. Returns how many, and whether there may be more; is_behind is null if another session is at it, and nothing was done. Waits for nobody. ZXARG: max_events below 1; ZXCUS: a login of certain customers only; ZXENV: the state of another log.';

create view aximo.violations with (security_barrier = true) as
select
    customer_id,
    number,
    event_id,
    execution_id,
    rule,
    against,
    found_at
from only aximo_private.violations; -- noqa: PRS
alter view aximo.violations owner to aximo_owner;
comment on view aximo.violations is 'Events of the session''s customer that break a rule of their execution''s life, as found when they were numbered: written at the same time by two, or imported as they were. Key: number.';
comment on column aximo.violations.customer_id is 'Whose event it is: always the session''s customer.';
comment on column aximo.violations.number is 'The number of the event in the log.';
comment on column aximo.violations.event_id is 'The event that breaks the rule.';
comment on column aximo.violations.execution_id is 'The execution.';
comment on column aximo.violations.rule is 'The rule, by the name that a refusal carries.';
comment on column aximo.violations.against is 'The earlier event it is broken against, if there is one.';
comment on column aximo.violations.found_at is 'When the event was numbered and judged, by the database''s clock.';

-- No security_barrier, as on aximo.events: the table's policy is one, and the option would keep ORDER BY ... LIMIT from the index.
create view aximo.log_leaves as
select
    customer_id,
    number,
    event_id,
    leaf
from only aximo_private.log_entries; -- noqa: PRS
alter view aximo.log_leaves owner to aximo_owner;
comment on view aximo.log_leaves is 'The numbers of the session''s customer''s events, and the leaves of the tree. Key: number.';
comment on column aximo.log_leaves.customer_id is 'Whose event it is: always the session''s customer.';
comment on column aximo.log_leaves.number is 'The number in the log.';
comment on column aximo.log_leaves.event_id is 'The event.';
comment on column aximo.log_leaves.leaf is 'sha256 of a zero byte and the event''s canonical line in UTF-8, as it was when the event was numbered.';

-- No security_barrier, as on aximo.events: the table's policy is one, and the option would keep ORDER BY ... LIMIT from the index.
create view aximo.log_lines as
select
    l.customer_id,
    l.number,
    l.event_id,
    e.line,
    l.leaf
from aximo.log_leaves as l
-- Left: an entry whose event was taken away shows as one without a line.
left join lateral (
    select aximo_private.event_line(s) as line
    from only aximo_private.events as s -- noqa: PRS
    where s.customer_id = l.customer_id and s.event_id = l.event_id
    offset 0
) as e on true;
alter view aximo.log_lines owner to aximo_owner;
comment on view aximo.log_lines is 'The log of the session''s customer as lines of JSON with their hashes: what an export holds, and what is proved. Key: number.';
comment on column aximo.log_lines.customer_id is 'Whose event it is: always the session''s customer.';
comment on column aximo.log_lines.number is 'The number in the log, and the line''s in an export.';
comment on column aximo.log_lines.event_id is 'The event.';
comment on column aximo.log_lines.line is 'The event''s canonical line, without a line feed; null if somebody took the event away.';
comment on column aximo.log_lines.leaf is 'sha256 of a zero byte and the line in UTF-8, as it was when the event was numbered.';

-- No security_barrier, as on aximo.events: the table's policy is one, and the option would keep ORDER BY ... LIMIT from the index.
create view aximo.log_entries as
select
    l.customer_id,
    l.number,
    e.event_id,
    e.event_type,
    e."timestamp",
    e.deployment_id,
    e.skill_id,
    e.skill_version,
    e.execution_id,
    e.risk_level,
    e.approval_mode,
    e.actor,
    e.payload,
    e.correlation_id,
    e.channel_type,
    e.error_code,
    e.latency_ms,
    e.recorded_at,
    e.recorded_by
from aximo.log_leaves as l
-- A look-up for each entry: without statistics a join may be planned as a pass over all events.
cross join lateral (
    select s.*
    from aximo.events as s
    where s.customer_id = l.customer_id and s.event_id = l.event_id
    offset 0
) as e;
alter view aximo.log_entries owner to aximo_owner;
comment on view aximo.log_entries is 'The log of the session''s customer: its numbered events. Read it in order with aximo.read_log. Key: number.';
comment on column aximo.log_entries.customer_id is 'Whose event it is: always the session''s customer.';
comment on column aximo.log_entries.number is 'The number in the log: 1, 2, 3 … without a gap, and never another.';
comment on column aximo.log_entries.event_id is 'The event''s id, unique within its customer.';
comment on column aximo.log_entries.event_type is 'What happened: one of aximo.event_types.';
comment on column aximo.log_entries."timestamp" is 'When it happened, by the client''s clock.';
comment on column aximo.log_entries.deployment_id is 'The deployment concerned.';
comment on column aximo.log_entries.skill_id is 'The skill it runs.';
comment on column aximo.log_entries.skill_version is 'The version of the skill.';
comment on column aximo.log_entries.execution_id is 'The execution; null only for governance and lifecycle events.';
comment on column aximo.log_entries.risk_level is 'The risk, in the platform''s own vocabulary.';
comment on column aximo.log_entries.approval_mode is 'How it is approved, in the platform''s own vocabulary.';
comment on column aximo.log_entries.actor is 'Who acted: system, founder, operator or external_user, as the service claims.';
comment on column aximo.log_entries.payload is 'The rest, a JSON object.';
comment on column aximo.log_entries.correlation_id is 'What ties it to other events, if anything.';
comment on column aximo.log_entries.channel_type is 'The channel it came through, if any.';
comment on column aximo.log_entries.error_code is 'The error, if any.';
comment on column aximo.log_entries.latency_ms is 'A latency the client measured, in milliseconds.';
comment on column aximo.log_entries.recorded_at is 'When it was written, by the database''s clock.';
comment on column aximo.log_entries.recorded_by is 'The login that wrote it.';

-- No security_barrier, as on aximo.events: the table's policy is one, and the option would keep ORDER BY ... LIMIT from the index.
create view aximo.log_nodes as
select
    customer_id,
    level,
    index,
    hash
from only aximo_private.log_nodes; -- noqa: PRS
alter view aximo.log_nodes owner to aximo_owner;
comment on view aximo.log_nodes is 'Hashes of the complete subtrees of the log of the session''s customer. Read them as tiles with aximo.log_tile. Key: level, index.';
comment on column aximo.log_nodes.customer_id is 'Whose log it is: always the session''s customer.';
comment on column aximo.log_nodes.level is '1 for subtrees of 256 entries, 2 for 65536, and so on.';
comment on column aximo.log_nodes.index is 'Its place among those of its level: 0, 1, 2 …';
comment on column aximo.log_nodes.hash is 'The Merkle tree hash of its entries (RFC 9162, section 2.1.1).';

create view aximo.checkpoints with (security_barrier = true) as
select
    customer_id,
    checkpoint_id,
    size,
    root,
    note,
    made_at,
    made_by
from only aximo_private.checkpoints; -- noqa: PRS
alter view aximo.checkpoints owner to aximo_owner;
comment on view aximo.checkpoints is 'The checkpoints of the log of the session''s customer. Key: checkpoint_id.';
comment on column aximo.checkpoints.customer_id is 'Whose log: always the session''s customer.';
comment on column aximo.checkpoints.checkpoint_id is 'Made by the database.';
comment on column aximo.checkpoints.size is 'How many entries it speaks of.';
comment on column aximo.checkpoints.root is 'Their Merkle tree hash (RFC 9162, section 2.1.1).';
comment on column aximo.checkpoints.note is 'The checkpoint as text (C2SP tlog-checkpoint), with its signatures (C2SP signed-note), if it has any.';
comment on column aximo.checkpoints.made_at is 'When it was added, by the database''s clock.';
comment on column aximo.checkpoints.made_by is 'The login that added it.';

create function aximo.log_size() returns bigint
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo.current_customer();
begin
    return coalesce(
        (select l.number from aximo.log_leaves as l where l.customer_id = customer order by l.number desc limit 1), 0
    );
end;
$$;
alter function aximo.log_size() owner to aximo_owner;
comment on function aximo.log_size() is 'How many entries the log of the session''s customer has; 0 if the session has no customer.';

create function aximo.log_tile(level integer, index bigint, width integer default 256) returns bytea
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo.current_customer();
    first_one bigint;
begin
    if (
        log_tile.level between 0 and 7 and log_tile.width between 1 and 256 and log_tile.index between 0 and 36028797018963966
    ) is not true then
        raise exception using
            errcode = 'ZXARG',
            message = 'there is no such tile',
            detail = format('level %s, index %s, width %s', log_tile.level, log_tile.index, log_tile.width),
            hint = 'level is 0 to 7, index not negative, width 1 to 256.',
            constraint = 'tile_is_possible';
    end if;
    first_one := 256 * log_tile.index;
    if log_tile.level = 0 then
        return (
            select string_agg(l.leaf, '' order by l.number)
            from aximo.log_leaves as l
            where l.customer_id = customer and l.number between first_one + 1 and first_one + log_tile.width
        );
    end if;
    return (
        select string_agg(n.hash, '' order by n.index)
        from aximo.log_nodes as n
        where n.customer_id = customer and n.level = log_tile.level
            and n.index between first_one and first_one + log_tile.width - 1
    );
end;
$$;
alter function aximo.log_tile(integer, bigint, integer) owner to aximo_owner;
comment on function aximo.log_tile(integer, bigint, integer) is
'A tile of the log of the session''s customer, as C2SP tlog-tiles has it: up to 256 hashes of 32 bytes, fewer if there are not so many; null if there is none. ZXARG: no such level, index or width.';

create function aximo.log_root(size bigint default null) returns bytea
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo.current_customer();
    actual constant bigint := aximo.log_size();
    remaining bigint := coalesce(log_root.size, actual);
    height integer := 1;
    above bytea;
    hashes bytea[];
begin
    if remaining < 0 or remaining > actual then
        raise exception using
            errcode = 'ZXARG',
            message = 'the log has not that size',
            detail = format('asked for %s, the log has %s', remaining, actual),
            hint = 'Ask for a size the log has or had.',
            constraint = 'size_within_log';
    end if;
    -- Of each level what is right of its last complete tile, and the hash of what is right of that.
    hashes := array(
        select l.leaf
        from aximo.log_leaves as l
        where l.customer_id = customer and l.number > remaining / 256 * 256 and l.number <= remaining
        order by l.number
    );
    remaining := remaining / 256;
    loop
        above := case when cardinality(hashes) > 0 then aximo.tree_hash(hashes) end;
        exit when remaining = 0;
        hashes := array(
            select n.hash
            from aximo.log_nodes as n
            where n.customer_id = customer and n.level = height
                and n.index >= remaining / 256 * 256 and n.index < remaining
            order by n.index
        );
        if above is not null then
            hashes := hashes || above;
        end if;
        remaining := remaining / 256;
        height := height + 1;
    end loop;
    return coalesce(above, sha256(''));
end;
$$;
alter function aximo.log_root(bigint) owner to aximo_owner;
comment on function aximo.log_root(bigint) is
'The Merkle tree hash (RFC 9162, section 2.1.1) of the first so many entries of the log of the session''s customer; of all, if left out. ZXARG: the log has not so many.';

-- As the sequencer, who may read the ledger's name; whose log it is, is the session's customer.
create function aximo.log_origin() returns text
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo.current_customer();
begin
    return (
        select
            s.ledger || '/' || (
                select string_agg(
                    case
                        when b.byte between 48 and 57 or b.byte between 65 and 90 or b.byte between 97 and 122 or b.byte in (45, 46, 95, 126)
                            then chr(b.byte)
                        else '%' || upper(lpad(to_hex(b.byte), 2, '0'))
                    end,
                    ''
                    order by b.place
                )
                from (
                    select
                        p.place,
                        get_byte(convert_to(customer, 'UTF8'), p.place) as byte
                    from generate_series(0, octet_length(customer) - 1) as p (place)
                ) as b
            )
        from aximo_private.log_state as s
    );
end;
$$;
alter function aximo.log_origin() owner to aximo_sequencer;
comment on function aximo.log_origin() is
'The origin of the checkpoints of the session''s customer: the ledger''s name, a slash, and the customer, percent-encoded. Null if the session has no customer.';

create function aximo.checkpoint_text(size bigint default null) returns text
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    actual constant bigint := coalesce(checkpoint_text.size, aximo.log_size());
begin
    return aximo.log_origin() || E'\n' || actual || E'\n' || encode(aximo.log_root(actual), 'base64') || E'\n';
end;
$$;
alter function aximo.checkpoint_text(bigint) owner to aximo_owner;
comment on function aximo.checkpoint_text(bigint) is
'The checkpoint of the log of the session''s customer at that size, now if left out: origin, size and root, a line each (C2SP tlog-checkpoint). Null if the session has no customer. ZXARG: the log has not that size.';

create view aximo.cursors with (security_barrier = true) as
select
    customer_id,
    name::text as name,
    number,
    aximo.log_size() - number as behind,
    moved_at,
    moved_by
from only aximo_private.log_cursors; -- noqa: PRS
alter view aximo.cursors owner to aximo_owner;
comment on view aximo.cursors is 'The consumers of the log of the session''s customer, and how far they have come. Key: name.';
comment on column aximo.cursors.customer_id is 'Whose log: always the session''s customer.';
comment on column aximo.cursors.name is 'The consumer.';
comment on column aximo.cursors.number is 'The last number it is done with; 0 before the first.';
comment on column aximo.cursors.behind is 'How many numbered events it has not read yet.';
comment on column aximo.cursors.moved_at is 'When it was moved last, by the database''s clock.';
comment on column aximo.cursors.moved_by is 'The login that moved it.';

create function aximo.read_log(after_seq bigint default 0, max_events integer default 1000, advance boolean default false)
returns setof aximo.log_entries
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo.current_customer();
begin
    if read_log.after_seq is null or read_log.after_seq < 0 or read_log.max_events is null or read_log.max_events < 1 then
        raise exception using
            errcode = 'ZXARG',
            message = 'a log is read from a number on, one event or more',
            detail = format('after_seq %s, max_events %s', read_log.after_seq, read_log.max_events),
            hint = 'Begin after 0, and go on after the last number that you have.',
            constraint = 'log_is_read_forward';
    end if;
    if read_log.advance then
        perform aximo.advance_log(greatest(read_log.max_events, 10000));
    end if;
    return query
    select l.*
    from aximo.log_entries as l
    where l.customer_id = customer and l.number > read_log.after_seq
        and l.number <= least(read_log.after_seq, 9223372036854775807 - read_log.max_events) + read_log.max_events
    order by l.number;
end;
$$;
alter function aximo.read_log(bigint, integer, boolean) owner to aximo_owner;
comment on function aximo.read_log(bigint, integer, boolean) is
'The entries of the log of the session''s customer after that number, in order, without a gap. With advance, numbers what is new first, which an operator may; the lock is held to the end of the transaction. ZXARG: a negative number, or no event at all.';

-- The lock lasts to the end of the transaction: of two consumers of one name the second waits, and goes on where the first ended.
create function aximo.open_cursor(name text) returns bigint
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo_private.writing_customer(null);
    cursor_name aximo_private.identifier;
    found_number bigint;
begin
    begin
        cursor_name := open_cursor.name;
        if cursor_name is null then
            raise check_violation;
        end if;
    exception
        when check_violation then
            raise exception using
                errcode = 'ZXARG',
                message = 'a cursor has a name',
                detail = format('name is %L', open_cursor.name),
                hint = 'Name it for its consumer: 1 to 255 characters, not blank.',
                constraint = 'cursor_is_named';
    end;
    loop
        select c.number into found_number
        from only aximo_private.log_cursors as c
        where c.customer_id = customer and c.name = cursor_name
        for update;
        if found then
            return found_number;
        end if;
        insert into aximo_private.log_cursors (customer_id, name)
        values (customer, cursor_name)
        on conflict do nothing;
    end loop;
end;
$$;
alter function aximo.open_cursor(text) owner to aximo_sequencer;
comment on function aximo.open_cursor(text) is
'How far the consumer of this name has come in the log of the session''s customer; 0 if it is new. Keeps others of this name waiting until the transaction ends. ZXCUS: no customer; ZXARG: no name.';

create function aximo.move_cursor(name text, from_number bigint, to_number bigint) returns void
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo_private.writing_customer(null);
    found_number constant bigint := aximo.open_cursor(move_cursor.name);
    size constant bigint := coalesce(
        (select l.number from only aximo_private.log_entries as l where l.customer_id = customer order by l.number desc limit 1), 0
    );
begin
    if found_number is distinct from move_cursor.from_number then
        raise exception using
            errcode = 'ZXCUR',
            message = 'the cursor is not where it was',
            detail = format('cursor %L is at %s, not at %s', move_cursor.name, found_number, move_cursor.from_number),
            hint = 'Another consumer of this name moved it. Read again from where it is.',
            constraint = 'cursor_was_there';
    end if;
    if move_cursor.to_number is null or move_cursor.to_number < 0 or move_cursor.to_number > size then
        raise exception using
            errcode = 'ZXARG',
            message = 'a cursor stays within the log',
            detail = format('to %s, of a log of %s', move_cursor.to_number, size),
            hint = 'Move it to a number that was read, or back to 0.',
            constraint = 'cursor_within_log';
    end if;
    update aximo_private.log_cursors as c
    set number = move_cursor.to_number, moved_at = clock_timestamp(), moved_by = session_user
    where c.customer_id = customer and c.name = move_cursor.name;
end;
$$;
alter function aximo.move_cursor(text, bigint, bigint) owner to aximo_sequencer;
comment on function aximo.move_cursor(text, bigint, bigint) is
'Moves a consumer''s cursor from where it is to another number, forward or back. In the transaction of the consumer''s own work it makes that work exactly-once. ZXCUR: it is not where the caller thinks; ZXARG: outside of the log; ZXCUS: no customer.';

-- What is kept was true when it was added: the text is made again here and compared. Whose the signatures are is checked outside.
create function aximo.add_checkpoint(note text) returns void
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo_private.writing_customer(null);
    lines constant text[] := string_to_array(add_checkpoint.note, E'\n');
    stated_size bigint;
    expected text;
begin
    if lines[2] ~ '^(0|[1-9][0-9]{0,17})$' then
        stated_size := lines[2];
        expected := aximo.checkpoint_text(stated_size);
    end if;
    if expected is null or not starts_with(add_checkpoint.note, expected)
        or (add_checkpoint.note <> expected and substr(add_checkpoint.note, char_length(expected) + 1) !~ '^\n(— [^[:cntrl:]\u2028\u2029]+\n)+$')
        or octet_length(add_checkpoint.note) > 16384 then
        raise exception using
            errcode = 'ZXPRF',
            message = 'this checkpoint is not of this log',
            detail = format('it should begin with %L and go on with nothing, or with an empty line and signatures', expected),
            hint = 'Make it with aximo.checkpoint_text, or "aximo-db checkpoint". If it was right once, the log was changed.',
            constraint = 'checkpoint_is_true';
    end if;
    insert into aximo_private.checkpoints (customer_id, size, root, note)
    values (customer, stated_size, aximo.log_root(stated_size), add_checkpoint.note);
end;
$$;
alter function aximo.add_checkpoint(text) owner to aximo_sequencer;
comment on function aximo.add_checkpoint(text) is
'Keeps a checkpoint of the log of the session''s customer, signed or not, if it is true today. ZXPRF: it is not; ZXCUS: no customer; ZXARG: the log has not that size.';

create function aximo.unlogged_events() returns table (event_id uuid, recorded_at timestamptz, is_coming boolean)
language plpgsql stable security definer parallel unsafe
set search_path = pg_catalog, pg_temp
-- Without statistics the planner fears the worst, and compiles for half a second what runs for a few milliseconds.
set jit = off
as $$
#variable_conflict use_column
declare
    customer constant text := aximo_private.writing_customer(null);
    high constant bigint := (select s.high_position from aximo_private.log_state as s);
begin
    return query
    select
        e.event_id,
        e.recorded_at,
        e.position > high or exists (
            select from aximo_private.log_holes as h
            where e.position between h.first_position and h.last_position
        )
    from only aximo_private.events as e
    where e.customer_id = customer
        -- Not NOT EXISTS, which may be planned as one pass over the log for each event.
        and (
            select true
            from only aximo_private.log_entries as l
            where l.customer_id = customer and l.event_id = e.event_id
            limit 1
        ) is null
    order by e.position;
end;
$$;
alter function aximo.unlogged_events() owner to aximo_sequencer;
comment on function aximo.unlogged_events() is
'The events of the session''s customer that have no number: is_coming if the next aximo.advance_log gives them one; those without were put there past it, or lost by a bug, and aximo.mend_log finds them. Reads all events. ZXCUS: no customer.';

-- Recomputes numbers, hashes and checkpoints, and looks for events that should be in the log and are not. Not the violations: they are
-- findings about events, and follow from them.
create function aximo.verify_log()
returns table (problem text, number bigint, event_id uuid, detail text)
language plpgsql stable security definer parallel unsafe
set search_path = pg_catalog, pg_temp
-- Without statistics the planner fears the worst, and compiles for half a second what runs for a few milliseconds.
set jit = off
as $$
#variable_conflict use_column
declare
    customer constant text := aximo_private.writing_customer(null);
    size constant bigint := coalesce(
        (select l.number from only aximo_private.log_entries as l where l.customer_id = customer order by l.number desc limit 1), 0
    );
    checkpoint record;
    roots bytea[];
begin
    return query
    select p.problem, p.number, p.event_id, p.detail
    from (
        select
            case
                when l.number <> l.expected then 'number_missing'
                when e.line is null then 'event_removed'
                else 'event_differs'
            end as problem,
            l.number,
            l.event_id,
            case when l.number <> l.expected then format('the entry before it is %s', l.before) end as detail,
            l.number as place
        from (
            select
                n.number,
                n.event_id,
                n.leaf,
                row_number() over (order by n.number) as expected,
                lag(n.number) over (order by n.number) as before
            from only aximo_private.log_entries as n
            where n.customer_id = customer
        ) as l
        left join lateral (
            select aximo_private.event_line(s.*) as line
            from only aximo_private.events as s
            where s.customer_id = customer and s.event_id = l.event_id
            offset 0
        ) as e on true
        -- Of the numbers only the first that is off: all after it are too.
        where (l.number <> l.expected and l.number <> coalesce(l.before, 0) + 1)
            or e.line is null
            or l.leaf <> sha256(decode('00', 'hex') || convert_to(e.line, 'UTF8'))
        union all
        select 'event_not_in_log', null, u.event_id, 'its position was numbered past', null
        from aximo.unlogged_events() as u
        where not u.is_coming
        union all
        select
            case when n.hash is null then 'node_missing' else 'node_differs' end,
            256 * b.index + 1,
            null,
            format('level 1, index %s', b.index),
            256 * (b.index + 1)
        from generate_series(0, size / 256 - 1) as b (index)
        left join lateral (
            select k.hash
            from only aximo_private.log_nodes as k
            where k.customer_id = customer and k.level = 1 and k.index = b.index
            offset 0
        ) as n on true
        where n.hash is distinct from aximo.tree_hash(
            array(
                select l.leaf
                from only aximo_private.log_entries as l
                where l.customer_id = customer and l.number between 256 * b.index + 1 and 256 * (b.index + 1)
                order by l.number
            )
        )
        union all
        select
            case when n.hash is null then 'node_missing' else 'node_differs' end,
            b.index * g.width + 1,
            null,
            format('level %s, index %s', g.level, b.index),
            g.width * (b.index + 1)
        from (
            select
                v.level,
                (256::numeric ^ v.level)::bigint as width
            from generate_series(2, 7) as v (level)
        ) as g
        cross join lateral generate_series(0, size / g.width - 1) as b (index)
        left join lateral (
            select k.hash
            from only aximo_private.log_nodes as k
            where k.customer_id = customer and k.level = g.level and k.index = b.index
            offset 0
        ) as n on true
        where n.hash is distinct from aximo.tree_hash(
            array(
                select k.hash
                from only aximo_private.log_nodes as k
                where k.customer_id = customer and k.level = g.level - 1 and k.index between 256 * b.index and 256 * b.index + 255
                order by k.index
            )
        )
        union all
        select 'node_ahead', null, null, format('level %s, index %s', n.level, n.index), null
        from only aximo_private.log_nodes as n
        where n.customer_id = customer
            and (n.level not between 1 and 7 or (n.index + 1) * 256::numeric ^ n.level > size)
    ) as p
    -- A subtree after its entries: the entry that is wrong is named first.
    order by p.place nulls last, p.detail nulls first, p.event_id;

    for checkpoint in
        select c.size, c.root, c.note, c.made_at
        from aximo.checkpoints as c
        where c.customer_id = customer
        order by c.size, c.made_at
    loop
        if checkpoint.size > size then
            return query
            select 'checkpoint_ahead'::text, checkpoint.size, null::uuid, format('made at %s, of a log that has %s entries now', checkpoint.made_at, size);
        elsif checkpoint.root <> aximo.log_root(checkpoint.size)
            or not starts_with(checkpoint.note, aximo.checkpoint_text(checkpoint.size)) then
            return query
            select 'checkpoint_differs'::text, checkpoint.size, null::uuid, format('made at %s', checkpoint.made_at);
        end if;
    end loop;
end;
$$;
alter function aximo.verify_log() owner to aximo_sequencer;
comment on function aximo.verify_log() is
'What is wrong with the log of the session''s customer, in its order; no rows if nothing is. Recomputes numbers, lines, hashes and the stored checkpoints, and finds events that are not in the log. ZXCUS: no customer.';

-- Numbers what numbering passed over, should there ever be any: verify_log names such events. Also after positions were restored out of order.
create function aximo.mend_log() returns bigint
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
-- Without statistics the planner fears the worst, and compiles for half a second what runs for a few milliseconds.
set jit = off
as $$
declare
    high bigint;
    mended bigint;
begin
    perform aximo_private.numbers_for_all();
    select s.high_position into high
    from aximo_private.log_state as s
    for update;
    -- As holes they are found by the next advance, and get the numbers after the last one.
    with
    missed as (
        select e.position
        from only aximo_private.events as e
        where e.position <= high
            and not exists (
                select from aximo_private.log_holes as h
                where e.position between h.first_position and h.last_position
            )
            and (
                select true
                from only aximo_private.log_entries as l
                where l.customer_id = e.customer_id and l.event_id = e.event_id
                limit 1
            ) is null
    ),
    remembered as (
        insert into aximo_private.log_holes (first_position, last_position, seen_by)
        select distinct m.position, m.position, pg_current_xact_id()
        from missed as m
    )
    select count(*) into mended
    from missed as m;
    return mended;
end;
$$;
alter function aximo.mend_log() owner to aximo_sequencer;
comment on function aximo.mend_log() is
'Finds the events of all customers that are not in the log and should be; the next aximo.advance_log numbers them. Returns how many. Reads everything.';

create function aximo.schema_version() returns integer
language sql immutable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$select 1$$;
alter function aximo.schema_version() owner to aximo_owner;
comment on function aximo.schema_version() is 'The version of this schema; every migration counts it up.';

create function aximo.oldest_client() returns integer
language sql immutable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$select 1$$;
alter function aximo.oldest_client() owner to aximo_owner;
comment on function aximo.oldest_client() is 'The oldest client protocol that still works with this schema; an older Python package refuses to start.';

-- Where alembic keeps its place. Alembic makes it itself when it migrates; made here, a database installed from these files is
-- migrated like any other.
create table if not exists aximo_private.alembic_version (
    version_num varchar(32) not null,
    constraint alembic_version_pkc primary key (version_num)
);
alter table aximo_private.alembic_version owner to aximo_owner;
comment on table aximo_private.alembic_version is 'The newest migration applied. Written by alembic.';
comment on column aximo_private.alembic_version.version_num is 'The revision.';

-- Every privilege there is, in one place. Deny first, then grant by name.
revoke all on schema aximo, aximo_private from public;
revoke all on all tables in schema aximo, aximo_private from public;
revoke all on all sequences in schema aximo, aximo_private from public;
revoke all on all functions in schema aximo, aximo_private from public;
revoke all on type
    aximo.receipt,
    aximo_private.event_type,
    aximo_private.identifier,
    aximo_private.actor,
    aximo_private.short_text,
    aximo_private.milliseconds,
    aximo_private.payload,
    aximo_private.moment,
    aximo_private.life_step,
    aximo_private.log_growth
from public;

-- The owners of functions: what their functions do, column by column.
revoke create on schema aximo, aximo_private from aximo_gatekeeper, aximo_recorder, aximo_sequencer;
grant select, insert (role_name, customer_id), delete on aximo_private.customer_grants to aximo_gatekeeper;
grant select on aximo_private.events to aximo_recorder;
grant insert (
    event_type, "timestamp", customer_id, deployment_id, skill_id, skill_version, execution_id, actor, risk_level, approval_mode,
    correlation_id, channel_type, error_code, latency_ms, event_id, payload, answers, exempt
) on aximo_private.events to aximo_recorder;
grant usage on sequence aximo_private.events_position to aximo_recorder;
-- The installing login is a member of owner and recorder both: what the owner held by being the owner, and the recorder's policy, would
-- together let it write what only the database states. UPDATE, DELETE and TRUNCATE of events stay, for the guards to refuse by name.
revoke insert on aximo_private.events, aximo.event_types, aximo_private.log_entries, aximo_private.log_nodes, aximo_private.violations,
aximo_private.checkpoints from aximo_owner;
revoke insert, update, delete, truncate on aximo_private.customer_grants, aximo_private.log_state, aximo_private.log_holes,
aximo_private.log_cursors from aximo_owner;
-- setval() needs no DDL and is not undone by a rollback, so not even the owner holds it.
revoke update on sequence aximo_private.events_position from aximo_owner;
grant usage on type
    aximo.receipt,
    aximo_private.event_type,
    aximo_private.identifier,
    aximo_private.actor,
    aximo_private.short_text,
    aximo_private.milliseconds,
    aximo_private.payload,
    aximo_private.moment,
    aximo_private.life_step
to aximo_recorder;
grant execute on function
    aximo_private.writing_customer(text),
    aximo_private.has_extreme_number(jsonb)
to aximo_recorder;

-- The sequencer numbers events and keeps what is derived from the log.
grant select on aximo_private.events, aximo_private.log_entries, aximo_private.log_nodes to aximo_sequencer;
grant insert on aximo_private.log_entries, aximo_private.log_nodes to aximo_sequencer;
grant insert (customer_id, number, event_id, execution_id, rule, against) on aximo_private.violations to aximo_sequencer;
grant insert (customer_id, size, root, note) on aximo_private.checkpoints to aximo_sequencer;
grant select, update (high_position, advanced_at) on aximo_private.log_state to aximo_sequencer;
grant select, insert, update, delete on aximo_private.log_holes to aximo_sequencer;
grant select, insert (customer_id, name), update (number, moved_at, moved_by) on aximo_private.log_cursors to aximo_sequencer;
grant select on aximo.log_leaves, aximo.log_nodes, aximo.checkpoints to aximo_sequencer;
grant usage on type aximo_private.life_step, aximo_private.log_growth, aximo_private.identifier to aximo_sequencer;
grant execute on function
    aximo.current_customer(),
    aximo_private.writing_customer(text),
    aximo_private.numbers_for_all(),
    aximo_private.event_line(aximo_private.events),
    aximo_private.step_key(jsonb, text),
    aximo_private.plain_lives(aximo_private.life_step[]),
    aximo_private.breaches(aximo_private.life_step[]),
    aximo.tree_hash(bytea[]),
    aximo.log_size(),
    aximo.log_root(bigint),
    aximo.checkpoint_text(bigint)
to aximo_sequencer;

-- What logins may use.
grant usage on schema aximo to aximo_reader, aximo_bi;
grant execute on function
    aximo.current_customer(),
    aximo.schema_version(),
    aximo.oldest_client()
to aximo_reader, aximo_bi;

grant select on
    aximo.event_types,
    aximo.events,
    aximo.log_entries,
    aximo.log_leaves,
    aximo.log_lines,
    aximo.log_nodes,
    aximo.checkpoints,
    aximo.violations,
    aximo.cursors,
    aximo.execution_steps,
    aximo.executions,
    aximo.open_executions,
    aximo.approvals,
    aximo.deployments,
    aximo.deployment_versions
to aximo_reader;
grant execute on function
    aximo.execution_trace(text),
    aximo.executions_as_of(timestamptz, timestamptz),
    aximo.open_executions_as_of(timestamptz, timestamptz),
    aximo.approvals_as_of(timestamptz, timestamptz),
    aximo.deployments_as_of(timestamptz, timestamptz),
    aximo.deployment_versions_as_of(timestamptz, timestamptz),
    aximo.read_log(bigint, integer, boolean),
    aximo.open_cursor(text),
    aximo.move_cursor(text, bigint, bigint),
    aximo.tree_hash(bytea[]),
    aximo.log_size(),
    aximo.log_tile(integer, bigint, integer),
    aximo.log_root(bigint),
    aximo.log_origin(),
    aximo.checkpoint_text(bigint),
    aximo.unlogged_events(),
    aximo.verify_log(),
    -- Called from the views, and as the reader; the schema it is in stays closed.
    aximo_private.as_of(boolean),
    aximo_private.event_line(aximo_private.events)
to aximo_reader;

grant execute on function
    aximo.emit_event(text, text, text, text, text, text, text, jsonb, timestamptz, text, text, text, text, text, bigint, uuid),
    aximo.emit_events(jsonb, text)
to aximo_writer;
grant usage on type aximo.receipt to aximo_writer, aximo_operator;

grant execute on function
    aximo.close_stale_executions(interval),
    aximo.import_events(jsonb, text),
    aximo.advance_log(integer),
    aximo.mend_log()
to aximo_operator;

grant execute on function aximo.add_checkpoint(text) to aximo_auditor, aximo_operator;

grant execute on function
    aximo.grant_customer(text, text),
    aximo.revoke_customer(text, text)
to aximo_owner;

-- The login that installs may work for every customer, so that an import works at once. To leave it out:
-- set aximo.grant_installer = off (PGOPTIONS='-c aximo.grant_installer=off').
do $$
begin
    if coalesce(current_setting('aximo.grant_installer', true), 'on') <> 'off' then
        perform aximo.grant_customer(session_user, '*');
    end if;
end;
$$;
