-- Names without a schema are looked up in pg_catalog only: another schema may hold things that others made.
set local search_path = pg_catalog, pg_temp;
-- Function bodies and options hold names as they are written here, whatever the database is set to.
set local quote_all_identifiers = off;

-- Checks what the ledger needs of the database, before anything is created.
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
            hint = 'Make another database: create database ... encoding ''UTF8'' template template0.',
            constraint = 'database_is_utf8';
    end if;
    if not has_database_privilege(current_database(), 'create') then
        raise exception using
            errcode = 'ZXENV',
            message = 'the installing role may not create schemas in this database',
            detail = format('role %I lacks CREATE on database %I', current_user, current_database()),
            hint = 'Install as the owner of the database.',
            constraint = 'installer_owns_database';
    end if;
    -- A role that may create schemas could have made the ledger's schemas before, with functions and tables of its own in them.
    select string_agg(format('schema %I, owned by %I', n.nspname, pg_get_userbyid(n.nspowner)), '; ') into squatter
    from pg_catalog.pg_namespace as n
    where n.nspname in ('aximo', 'aximo_metrics', 'aximo_private', 'helix') and (
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
            message = 'a schema of the ledger''s name is there already',
            detail = squatter,
            hint = 'If it is the ledger, use "aximo-db migrate". If not, rename or drop that schema.',
            constraint = 'schemas_are_ours';
    end if;
end;
$$;

-- The group roles. All databases of a cluster share them, so they may exist already, and two installations may run at once. A login's roles
-- say what it may do; aximo.grant_customer says which customer it may do that for.
do $$
declare
    role_name text;
    found_role pg_catalog.pg_roles;
begin
    foreach role_name in array array[
        'aximo_owner',      -- owns schemas, tables and views; nobody logs in as it
        'aximo_gatekeeper', -- owns only the functions that decide which customer a session works for
        'aximo_recorder',   -- owns only the functions that write events; the one role that may insert them
        'aximo_sequencer',  -- owns only the functions that number events, keep the log and count
        'aximo_meter',      -- owns only the materialized views of the metrics and what refreshes them
        'aximo_reader',     -- may read its customer's events and everything derived from them
        'aximo_writer',     -- may also emit
        'aximo_bi',         -- may read metrics
        'aximo_operator',   -- may read and do the housekeeping
        'aximo_auditor',    -- may read, and check the proofs
        'aximo_monitor'     -- may see how the ledger does, and no customer
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
                    hint = format('As a superuser: alter role %I createrole.', current_user),
                    constraint = 'installer_creates_roles';
        end;
        select * into strict found_role from pg_catalog.pg_roles where rolname = role_name;
        if found_role.rolcanlogin or found_role.rolsuper or found_role.rolbypassrls or found_role.rolcreaterole then
            raise exception using
                errcode = 'ZXENV',
                message = 'a role of the ledger''s name has rights that it must not have',
                detail = format('role %I can log in, or is superuser, BYPASSRLS or CREATEROLE', role_name),
                hint = 'Rename or drop that role, then install again.',
                constraint = 'group_roles_are_harmless';
        end if;
        -- The installing role creates and changes the owners' objects, now and at every upgrade.
        if role_name in ('aximo_owner', 'aximo_gatekeeper', 'aximo_recorder', 'aximo_sequencer', 'aximo_meter')
            and not pg_has_role(current_user, role_name, 'usage') then
            begin
                execute format('grant %I to %I', role_name, current_user);
            exception
                when insufficient_privilege then
                    raise exception using
                        errcode = 'ZXENV',
                        message = 'the installing role may not act as the ledger''s owner',
                        detail = format('role %I is not a member of %I and may not grant it', current_user, role_name),
                        hint = format('As the role that created it, or as superuser: grant %I to %I with admin option.', role_name, current_user),
                        constraint = 'installer_acts_as_owner';
            end;
        end if;
    end loop;
end;
$$;

-- Who is a member of which role. A reader also sees metrics. Writers, operators and auditors also read. A login that must only write gets
-- none of these roles, but EXECUTE on the emit functions. The owner is a member, so that the installing login can call everything.
do $$
declare
    membership record;
begin
    for membership in
        select *
        from (
            values
            ('aximo_bi', 'aximo_reader'),
            ('aximo_reader', 'aximo_writer'),
            ('aximo_reader', 'aximo_operator'),
            ('aximo_reader', 'aximo_auditor'),
            ('aximo_writer', 'aximo_owner'),
            ('aximo_operator', 'aximo_owner'),
            ('aximo_auditor', 'aximo_owner')
        ) as wanted (granted, member)
        where not pg_has_role(wanted.member, wanted.granted, 'usage')
    loop
        execute format('grant %I to %I', membership.granted, membership.member);
    end loop;
end;
$$;

alter schema aximo_private owner to aximo_owner;
comment on schema aximo_private is 'Tables and helpers of the ledger. No login has USAGE; everything public is in schema aximo.';

create schema aximo authorization aximo_owner;
comment on schema aximo is 'The event ledger''s API: views to read, functions to write.';

create schema helix authorization aximo_owner;
comment on schema helix is 'Tool runs and their events: HelixMCP Events v1.';

create schema aximo_metrics authorization aximo_owner;
comment on schema aximo_metrics is 'Metrics, for BI tools: plain views, each of the session''s customer.';

-- PUBLIC gets nothing of what these roles create later. (With IN SCHEMA, default privileges could only add to PUBLIC's.)
alter default privileges for role aximo_owner revoke execute on functions from public;
alter default privileges for role aximo_owner revoke usage on types from public;
alter default privileges for role aximo_gatekeeper revoke execute on functions from public;
alter default privileges for role aximo_recorder revoke execute on functions from public;
alter default privileges for role aximo_sequencer revoke execute on functions from public;
alter default privileges for role aximo_meter revoke execute on functions from public;

-- A role can be made the owner of a function only if it may CREATE in the schema. 99_grants/grants.sql takes that right back.
grant usage, create on schema aximo, aximo_private, helix to aximo_gatekeeper, aximo_recorder, aximo_sequencer, aximo_meter;

-- The access map: which login may work for which customer. Its key is the login's name, because a dump is restored into a cluster where
-- every oid differs.
create table aximo_private.customer_grants (
    role_name text collate "C" not null,
    customer_id text collate "C" not null
        constraint customer_id_present check (customer_id <> ''),
    granted_at timestamptz not null default clock_timestamp(),
    granted_by text collate "C" not null default session_user,
    constraint customer_grants_pkey primary key (role_name, customer_id),
    constraint role_name_length check (octet_length(role_name) <= 63),
    constraint customer_id_length check (char_length(customer_id) <= 255)
);
alter table aximo_private.customer_grants enable row level security;
alter table aximo_private.customer_grants force row level security;

-- The gatekeeper's functions read and change the map. The owner may read it, so that doctor can show it.
create policy gatekeeper_keeps_the_map on aximo_private.customer_grants for all to aximo_gatekeeper using (true) with check (true);
-- aximo.emit_event reads the grants of the session's own login, and no others.
create policy recorder_reads_own_grants on aximo_private.customer_grants
for select to aximo_recorder using (role_name = session_user::text);
create policy owner_reads_the_map on aximo_private.customer_grants for select to aximo_owner using (true);
comment on table aximo_private.customer_grants is 'Which login may work for which customer. Written by aximo.grant_customer and aximo.revoke_customer only.';
comment on column aximo_private.customer_grants.role_name is 'The login, as session_user spells it. Membership does not pass a grant on.';
comment on column aximo_private.customer_grants.customer_id is 'The customer, or * for all customers, present and future.';
comment on column aximo_private.customer_grants.granted_at is 'When, by the database''s clock.';
comment on column aximo_private.customer_grants.granted_by is 'The login that granted it.';
comment on policy gatekeeper_keeps_the_map on aximo_private.customer_grants is 'Only the access functions run as this role.';
comment on policy owner_reads_the_map on aximo_private.customer_grants is 'A DBA can see who holds what; changing it goes through the functions.';
comment on policy recorder_reads_own_grants on aximo_private.customer_grants is 'What the session''s own login was granted, for aximo.emit_event.';

-- The only function that decides which customer a session works for. Every policy calls it as (select aximo.current_customer()), so that it
-- runs once a statement. It is STABLE, not IMMUTABLE, because a prepared statement must call it again. It reads session_user, because
-- current_user is this function's owner in here.
create function aximo.current_customer() returns text
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    -- After a transaction that set it, the setting is '', not null.
    named constant text := nullif(current_setting('aximo.customer_id', true), '');
    granted text[];
begin
    if named is null then
        -- A login that was granted one customer need not name it.
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
comment on function aximo.current_customer() is 'The customer this session works for: the one named in the setting aximo.customer_id if the login was granted it, else the only one the login was granted, else null. Null means: no rows, no writes.';

-- Returns the customer that a call writes for: the one that it names, else the session's. It reads the access map itself, so that a write
-- reads the map once.
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
                'login %L, the event is of %s, the session is of %s', session_user,
                coalesce('customer ' || quote_literal(left(writing_customer.customer_id, 60)), 'no customer'),
                coalesce('customer ' || quote_literal(left(session_names, 60)), 'no customer')
            ),
            hint = 'Name the customer in the call or with SET LOCAL aximo.customer_id, and have it granted with aximo.grant_customer.',
            constraint = 'customer_granted';
    end if;
    if customer = '*' then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed event',
            detail = 'customer_id is ''*''',
            hint = '* stands for all customers in a grant. Name one customer.',
            constraint = 'customer_id_not_all';
    end if;
    return customer;
end;
$$;
alter function aximo_private.writing_customer(text) owner to aximo_gatekeeper;
comment on function aximo_private.writing_customer(text) is 'The customer that a call of this session writes for: the one it names, else the session''s. ZXCUS: not granted, not named, or another than the session''s.';

-- What is done for all customers at a time: it holds locks that all depend on, and tells how many events there are.
-- The group roles are the whole cluster's, so membership alone says nothing of this database: the access map does.
create function aximo_private.numbers_for_all() returns void
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (
        select from aximo_private.customer_grants as g
        where g.role_name = session_user::text and g.customer_id = '*'
    )
    -- A superuser could grant it to itself; a job of the DBA's works as one where nobody else runs jobs.
    and not (select r.rolsuper from pg_catalog.pg_roles as r where r.rolname = session_user) then
        raise exception using
            errcode = 'ZXCUS',
            message = 'this is done for all customers, and this login was not granted all of them',
            detail = format('login %L', session_user),
            hint = format('As the owner of this database: select aximo.grant_customer(%L, ''*'')', session_user),
            constraint = 'numbers_for_all';
    end if;
end;
$$;
alter function aximo_private.numbers_for_all() owner to aximo_gatekeeper;
comment on function aximo_private.numbers_for_all() is 'Refuses logins that were not granted all customers in this database, ZXCUS: what is done for all customers is not theirs to do.';

create function aximo_private.session_grants() returns text[]
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return array(
        select g.customer_id
        from aximo_private.customer_grants as g
        where g.role_name = session_user::text
        order by g.customer_id
    );
end;
$$;
alter function aximo_private.session_grants() owner to aximo_gatekeeper;
comment on function aximo_private.session_grants() is 'What the session''s login was granted: customers, and * for all of them.';

create function aximo.grant_customer(role text, customer_id text) returns void
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from pg_catalog.pg_roles as r where r.rolname = grant_customer.role) then
        raise exception using
            errcode = 'ZXARG',
            message = 'there is no such role',
            detail = format('role %L', grant_customer.role),
            hint = 'Create the login first, then grant it a customer.',
            constraint = 'role_exists';
    end if;
    if grant_customer.customer_id is null or grant_customer.customer_id = '' then
        raise exception using
            errcode = 'ZXARG',
            message = 'the grant names no customer',
            detail = 'customer_id is null or empty',
            hint = 'Name one customer, or ''*'' for all customers, present and future.',
            constraint = 'customer_id_present';
    end if;
    if char_length(grant_customer.customer_id) > 255 or btrim(grant_customer.customer_id) = '' then
        raise exception using
            errcode = 'ZXARG',
            message = 'no customer can have that name',
            detail = format('customer_id has %s characters', char_length(grant_customer.customer_id)),
            hint = 'A customer_id has 1 to 255 characters and is not blank.',
            constraint = 'customer_id_well_formed';
    end if;
    insert into aximo_private.customer_grants (role_name, customer_id)
    values (grant_customer.role, grant_customer.customer_id)
    on conflict do nothing;
    if found then
        insert into aximo_private.access_changes (role_name, customer_id, is_granted)
        values (grant_customer.role, grant_customer.customer_id, true);
    end if;
end;
$$;
alter function aximo.grant_customer(text, text) owner to aximo_gatekeeper;
comment on function aximo.grant_customer(text, text) is 'Lets a login work for a customer, or for all customers, present and future, if customer_id is *. Says nothing about what it may do there: grant aximo_reader, aximo_writer or another group role for that. Granting twice is a success. ZXARG: no such role, or no customer named.';

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
            message = 'there is no such grant to take back',
            detail = format('role %L, customer_id %L', revoke_customer.role, revoke_customer.customer_id),
            hint = 'aximo-db doctor lists the grants. A login with * keeps every customer until * is revoked.',
            constraint = 'grant_exists';
    end if;
    insert into aximo_private.access_changes (role_name, customer_id, is_granted)
    values (revoke_customer.role, revoke_customer.customer_id, false);
end;
$$;
alter function aximo.revoke_customer(text, text) owner to aximo_gatekeeper;
comment on function aximo.revoke_customer(text, text) is 'Takes a customer from a login, from its next statement on; also for a role that was dropped meanwhile. ZXARG: it was not granted, so that a typo does not pass for a revocation.';

-- Nothing switches this off: no setting, no trigger depth, no role. The row and the statement triggers of every append-only table call it.
create function aximo_private.refuse_change() returns trigger
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using
        errcode = 'ZXIMM',
        message = 'this table is append-only: nothing in it can be changed or deleted',
        detail = format('%s on %I.%I', lower(tg_op), tg_table_schema, tg_table_name),
        hint = 'Leave what was recorded, and record a further event that says what changed.',
        schema = tg_table_schema,
        table = tg_table_name,
        constraint = 'append_only';
end;
$$;
comment on function aximo_private.refuse_change() is 'Raises ZXIMM. The guard behind every append-only table.';

-- Logical replication fires the row trigger. The statement trigger refuses statements that see no row, and TRUNCATE. ENABLE ALWAYS, because
-- session_replication_role = replica switches ordinary triggers off.
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
    -- Rows never change, so the vacuum that follows inserts can freeze them. Otherwise the whole table is read and written again when
    -- transaction ids run short.
    execute format(
        'alter table %s set (autovacuum_freeze_min_age = 0, autovacuum_vacuum_insert_threshold = 100000,'
        ' autovacuum_vacuum_insert_scale_factor = 0)',
        target
    );
    execute format('comment on trigger append_only_row on %s is %L', target, 'Refuses UPDATE and DELETE of any row (ZXIMM).');
    execute format(
        'comment on trigger append_only_statement on %s is %L',
        target, 'Refuses UPDATE, DELETE and TRUNCATE, rows or no rows (ZXIMM).'
    );
end;
$$;
comment on function aximo_private.make_append_only(regclass) is 'Puts the two triggers on a table that refuse changes, and has autovacuum freeze its rows early. Used by migrations.';

create function aximo_private.hide_statistics(target regclass) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    execute (
        select format('alter table %s ', target) || string_agg(format('alter %I set statistics 0', a.attname), ', ' order by a.attnum)
        from pg_catalog.pg_attribute as a
        where a.attrelid = target and a.attnum > 0 and not a.attisdropped
    );
end;
$$;
comment on function aximo_private.hide_statistics(regclass) is 'Keeps no statistics of a relation''s columns: they would tell, through row estimates, how much other customers have. Used by migrations.';

-- The condition of the policy stands twice. The first is for the indexes. The second stays in front of what a query asks for: without it,
-- EXPLAIN ANALYZE tells whether a row of another customer meets what was asked.
create function aximo_private.isolate_by_customer(
    target regclass,
    -- Null where no login reads the table, not even through a view.
    policy name default null,
    reader name default 'aximo_owner',
    reason text default 'Views run as the owner and show the session''s customer, to whomever.'
) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    perform aximo_private.hide_statistics(target);
    execute format('alter table %s enable row level security', target);
    execute format('alter table %s force row level security', target);
    if policy is not null then
        execute format(
            'create policy %I on %s for select to %I using ('
            'customer_id = (select aximo.current_customer()) and coalesce(customer_id = (select aximo.current_customer()), false))',
            policy, target, reader
        );
        execute format('comment on policy %I on %s is %L', policy, target, reason);
    end if;
end;
$$;
comment on function aximo_private.isolate_by_customer(regclass, name, name, text) is 'Keeps customers apart in a table: row security, forced; no statistics; and, if a policy is named, its reader sees the rows of the session''s customer. Used by migrations.';

create function aximo_private.take_comments(source regclass, target regclass) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    shared record;
begin
    for shared in
        select t.attname as name, pg_catalog.col_description(source, s.attnum) as comment
        from pg_catalog.pg_attribute as t
        inner join pg_catalog.pg_attribute as s on s.attrelid = source and s.attname = t.attname and s.attnum > 0
        where t.attrelid = target and t.attnum > 0 and not t.attisdropped and not s.attisdropped
            and pg_catalog.col_description(target, t.attnum) is null
    loop
        execute format('comment on column %s.%I is %L', target, shared.name, shared.comment);
    end loop;
end;
$$;
comment on function aximo_private.take_comments(regclass, regclass) is 'Gives each column of a relation that has no comment yet that of the other relation''s column of the same name. Used by migrations.';

-- Says who could see a customer on a past day: the access map only says who can see it now. The functions that change the map write this
-- table. A trigger on the map would write it twice when only the data are restored.
create table aximo_private.access_changes (
    customer_id text collate "C" not null,
    role_name text collate "C" not null,
    is_granted boolean not null,
    changed_at timestamptz not null default clock_timestamp(),
    changed_by text collate "C" not null default session_user,
    change_id uuid not null default gen_random_uuid(),
    constraint access_changes_pkey primary key (customer_id, change_id),
    constraint role_name_length check (octet_length(role_name) <= 63),
    constraint customer_id_length check (char_length(customer_id) <= 255)
);
create index access_changes_by_role on aximo_private.access_changes (customer_id, role_name, changed_at, change_id);
select aximo_private.isolate_by_customer('aximo_private.access_changes');
create policy owner_reads_own_access on aximo_private.access_changes
for select to aximo_owner using (customer_id = (select aximo.current_customer()) or customer_id = '*');
create policy gatekeeper_notes_access on aximo_private.access_changes for insert to aximo_gatekeeper with check (true);
create policy gatekeeper_reads_access on aximo_private.access_changes for select to aximo_gatekeeper using (true);
select aximo_private.make_append_only('aximo_private.access_changes');
comment on table aximo_private.access_changes is 'Every grant of a customer to a login, and every revocation: append-only. Read it through aximo.access_history.';
comment on column aximo_private.access_changes.customer_id is 'The customer; * stands for all.';
comment on column aximo_private.access_changes.role_name is 'The login.';
comment on column aximo_private.access_changes.is_granted is 'True: granted; false: revoked.';
comment on column aximo_private.access_changes.changed_at is 'When, by the database''s clock.';
comment on column aximo_private.access_changes.changed_by is 'The login that did it.';
comment on column aximo_private.access_changes.change_id is 'Tells two changes of one moment apart.';
comment on policy owner_reads_own_access on aximo_private.access_changes is 'The view shows a customer who could see it, those with all customers among them.';
comment on policy gatekeeper_reads_access on aximo_private.access_changes is 'aximo_private.access_differences compares it with the map.';
comment on policy gatekeeper_notes_access on aximo_private.access_changes is 'aximo.grant_customer and aximo.revoke_customer.';
comment on index aximo_private.access_changes_by_role is 'What became of a grant.';

-- The number 1e131071 takes 10 bytes as jsonb and 131,072 as text: a few thousand of them would fill the server's memory before anything
-- could count how long the text is.
create function aximo_private.has_extreme_number(document jsonb) returns boolean
language sql immutable security invoker parallel safe
return jsonb_path_exists(document, '$.** ? (@ > 1e400 || @ < -1e400 || (@ < 1e-400 && @ > -1e-400 && @ != 0))');
comment on function aximo_private.has_extreme_number(jsonb) is 'Whether a number in it is far outside of what a float holds, so that its text is far longer than its binary form.';

-- Digits beyond the sixth are cut, because PostgreSQL would round them. Offsets of 16 hours and more are subtracted here, because
-- PostgreSQL refuses to read them.
create function aximo_private.moment_of(moment text) returns timestamptz
language sql stable security invoker parallel safe
return case
    -- The forms that programs write are told by their shape: the grammar below would cost 28,000 instructions more an event.
    when (
        moment like '____-__-__T__:__:__.______+00:00'
        or moment like '____-__-__T__:__:__.______Z'
        or moment like '____-__-__T__:__:__.___Z'
    )
        and translate(moment, '0123456789', '') in ('--T::.+:', '--T::.Z')
        and substr(moment, 12, 2) < '24' and substr(moment, 18, 2) < '60'
        then moment::timestamptz
    when moment !~ '^[0-9]{4}(-[0-9]{2}){2}[Tt ]([01][0-9]|2[0-3])(:[0-5][0-9]){2}([.][0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$'
        -- This text is no moment either: the cast raises the error.
        then 'not RFC 3339'::text::timestamptz
    when substr(moment, 27, 1) between '0' and '9'
        or left(right(moment, 6), 1) in ('+', '-') and substr(right(moment, 6), 2, 2) >= '16'
        then (left(substring(moment from '^.{10}[Tt ][^Zz+-]+'), 26) || 'Z')::timestamptz
            - coalesce(substring(moment from '([+-][0-9][0-9]:[0-9][0-9])$'), '00:00')::interval
    else moment::timestamptz
end;
comment on function aximo_private.moment_of(text) is 'The moment that a text in RFC 3339 says: a date, a time and an offset. Raises invalid_datetime_format for anything else.';

-- The limits of an event's fields, each with a name. The columns of the table have plain types: aximo_private.is_well_formed checks nearly
-- every event in one expression, and aximo_private.refuse_malformed casts the fields of the others to these domains, one by one. Text is
-- compared by bytes (collate "C"): indexes are smaller and faster, and the order is the same on every machine.

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
comment on domain aximo_private.event_type is 'One of the 22 event types of the event model v1.0. Grows by migration, never shrinks.';

-- Text is blank if it holds only what Unicode calls white space. Text that begins with a visible ASCII character is not blank: nearly all
-- text does, and that is checked faster.
create domain aximo_private.identifier as text collate "C"
    constraint identifier_length check (char_length(value) <= 255)
    constraint identifier_not_blank check (
        value >= '!' and value < E'\u007F'
        or btrim(
            value,
            E' \u0009\u000A\u000B\u000C\u000D\u0085\u00A0\u1680\u2000\u2001\u2002\u2003'
            '\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'
        ) <> ''
    );
comment on domain aximo_private.identifier is 'Opaque text that names something: 1 to 255 characters, not blank.';

create domain aximo_private.actor as text collate "C"
    constraint actor_known check (value in ('system', 'founder', 'operator', 'external_user'));
comment on domain aximo_private.actor is 'Who acted, as the service claims it.';

create domain aximo_private.short_text as text collate "C"
    constraint short_text_length check (char_length(value) <= 255);
comment on domain aximo_private.short_text is 'Optional text of the platform''s own vocabulary: at most 255 characters.';

create domain aximo_private.milliseconds as bigint
    constraint milliseconds_not_negative check (value >= 0);
comment on domain aximo_private.milliseconds is 'A duration in milliseconds, not negative.';

-- The size is the length of the text that a reader gets. Numbers that make the text far longer than the value are refused before the text
-- is made. A value of at most 2048 bytes, uncompressed (|| '{}' makes such a copy), has no room for many of them. PostgreSQL checks constraints in the
-- order of their names, so payload_is_object comes first.
create domain aximo_private.payload as jsonb
    constraint payload_is_object check (jsonb_typeof(value) = 'object')
    constraint payload_numbers check (
        pg_column_size(value || '{}') <= 2048 or not aximo_private.has_extreme_number(value)
    )
    constraint payload_size check (octet_length(value::text) <= 1048576);
comment on domain aximo_private.payload is 'A JSON object of at most 1 MiB, counted as UTF-8 text.';

-- The lower bound refuses clocks that were never set. That a moment is at most a day ahead is checked when the event is written.
create domain aximo_private.moment as timestamptz
    constraint moment_range check (value >= '1970-01-01 00:00:00+00' and value < '9999-01-01 00:00:00+00');
comment on domain aximo_private.moment is 'When something happened: finite, not before 1970, and within what every client can represent.';

create table aximo.event_types (
    event_type aximo_private.event_type,
    category text collate "C" not null
        constraint category_known check (category in ('execution', 'action', 'approval', 'governance', 'lifecycle')),
    meaning text not null,
    constraint event_types_pkey primary key (event_type)
);

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

-- A UUIDv7: ids that grow with time keep new index entries together. PostgreSQL makes one itself from version 18 on.
create function aximo_private.new_event_id() returns uuid
language plpgsql volatile security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('server_version_num')::integer >= 180000 then
        return uuidv7();
    end if;
    -- 48 bits of milliseconds and the version; the rest, with its variant, comes from a random UUID.
    return (
        lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0') || '7' || substr(gen_random_uuid()::text, 16)
    )::uuid;
end;
$$;
comment on function aximo_private.new_event_id() is 'An id for an event that came without one: a UUIDv7.';

-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- Every event of every customer. Nobody reads this table itself: aximo.events shows each session its part.
create sequence aximo_private.events_position as bigint;
comment on sequence aximo_private.events_position is 'Order of arrival, with gaps. Never shown: the gaps between one''s own numbers tell other customers'' volume.';

create table aximo_private.events (
    -- The transaction gets its id before it draws a position, so numbering can find whoever holds a position by that id. CASE fixes the
    -- order.
    position bigint not null
        default case when pg_current_xact_id() is not null then nextval('aximo_private.events_position') end,
    "timestamp" timestamptz not null default clock_timestamp(),
    recorded_at timestamptz not null default clock_timestamp(),
    latency_ms bigint,
    event_id uuid not null default aximo_private.new_event_id(),
    answers uuid,
    step integer,
    event_type text collate "C" not null,
    customer_id text collate "C" not null,
    deployment_id text collate "C" not null,
    skill_id text collate "C" not null,
    skill_version text collate "C" not null,
    execution_id text collate "C",
    actor text collate "C" not null,
    risk_level text collate "C",
    approval_mode text collate "C",
    correlation_id text collate "C",
    channel_type text collate "C",
    error_code text collate "C",
    recorded_by text collate "C" not null default session_user,
    payload jsonb not null default '{}'
);

-- Every index leads with the customer: another index would show counts of other customers in EXPLAIN ANALYZE. The first one gives a trace
-- in order, and is unique, so that no execution has two events of one step, even if its row was lost.
create unique index events_by_execution on aximo_private.events (customer_id, execution_id, step) where execution_id is not null;
create index events_by_time on aximo_private.events (customer_id, "timestamp", event_id);
create index events_by_deployment on aximo_private.events (customer_id, deployment_id, "timestamp");
-- Few events say what a deployment is; many happen in it.
create index events_of_deployments on aximo_private.events (customer_id, deployment_id, "timestamp")
where event_type in (
    'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_suspended', 'deployment_updated',
    'deployment_terminated', 'version_upgraded', 'version_rolled_back'
);
create index events_by_correlation on aximo_private.events (customer_id, correlation_id, "timestamp", event_id)
where correlation_id is not null;
-- For numbering. The index is partial so that only a query with this condition uses it: in the plan of a customer's query it would count
-- events of others.
create index events_by_position on aximo_private.events (position) where position > 0;
-- The primary key is made last, as pg_restore does too. On an empty table all indexes cost the same, the planner then takes the youngest,
-- and a session keeps the plans that it made then.
create unique index events_pkey on aximo_private.events (customer_id, event_id);
alter table aximo_private.events add constraint events_pkey primary key using index events_pkey;

select aximo_private.isolate_by_customer('aximo_private.events', 'owner_reads_own_customer');
-- The emit functions run as the recorder. They first ask the access map, once, and then name the customer in every look-up.
create policy recorder_reads_events on aximo_private.events for select to aximo_recorder using (true);
-- Numbering, and what is worked out from the log, is done for all customers at a time.
create policy sequencer_reads_events on aximo_private.events for select to aximo_sequencer using (true);

select aximo_private.make_append_only('aximo_private.events');
comment on table aximo_private.events is 'Every event of every customer: append-only, isolated by row-level security. Read it through aximo.events, write it through aximo.emit_event.';
comment on column aximo_private.events.position is 'Order of arrival, with gaps; no client sets or sees it.';
comment on column aximo_private.events.recorded_at is 'When it was written, by the database''s clock; no client sets it.';
comment on column aximo_private.events.event_id is 'The event''s id, unique within its customer: the client''s, or made here.';
comment on column aximo_private.events.answers is 'For the answer to an approval: the event_id of the request it answers. Worked out when it is written.';
comment on column aximo_private.events.customer_id is 'Whose event it is.';
comment on column aximo_private.events.recorded_by is 'The login that wrote it (session_user); no client sets it.';
comment on policy recorder_reads_events on aximo_private.events is 'The emit functions, which name the customer in every look-up.';
comment on policy sequencer_reads_events on aximo_private.events is 'Events are numbered for all customers at a time.';
comment on index aximo_private.events_by_execution is 'A trace. A step of an execution is taken once.';
comment on index aximo_private.events_by_time is 'Newest first, and paging.';
comment on index aximo_private.events_by_deployment is 'What happened in a deployment, newest first.';
comment on index aximo_private.events_of_deployments is 'What was declared of a deployment: its status and its versions.';
comment on index aximo_private.events_by_correlation is 'Events that belong together.';
comment on index aximo_private.events_by_position is 'What is new to the log.';

-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- ONLY leaves out the rows of a table that somebody lets inherit from this one. payload || '{}' is the payload. But a condition on it, such
-- as payload['k'] is not null, waits for the policy; otherwise it would run first, and EXPLAIN ANALYZE would tell whether an event of any
-- customer has that key.
create view aximo.events as
select
    event_id, event_type, "timestamp", customer_id, deployment_id, skill_id, skill_version, execution_id, risk_level, approval_mode, actor,
    payload || '{}' as payload, correlation_id, channel_type, error_code, latency_ms, recorded_at, recorded_by, step::bigint as step
from only aximo_private.events; -- noqa: PRS
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
comment on column aximo.events.step is 'Its place in its execution: 1, 2, 3 … without a gap; null without an execution.';
select aximo_private.take_comments('aximo.events', 'aximo_private.events');

-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- The canonical line of an event, defined here and nowhere else: an export writes it, and a log entry is its hash. The text does not depend
-- on the session's settings: JSON strings, jsonb's normal form, UTC to the microsecond. It never changes, because every proof depends on
-- it.
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
        '"step":' || (event).step,
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
comment on function aximo_private.event_line(aximo_private.events) is 'An event as its canonical line of JSON, without a line feed: the fields of aximo.events in their order, those without a value left out.';

-- The lists of an event's fields in this file are made by tools/event_fields.py.
create function aximo_private.event_document(event aximo_private.events, has_timestamp boolean) returns jsonb
language sql stable security invoker parallel safe
return jsonb_build_object(
    'event_id', (event).event_id, 'event_type', (event).event_type, 'customer_id', (event).customer_id,
    'deployment_id', (event).deployment_id, 'skill_id', (event).skill_id, 'skill_version', (event).skill_version,
    'execution_id', (event).execution_id, 'risk_level', (event).risk_level, 'approval_mode', (event).approval_mode, 'actor', (event).actor,
    'correlation_id', (event).correlation_id, 'channel_type', (event).channel_type, 'error_code', (event).error_code,
    'latency_ms', (event).latency_ms,
    'timestamp', case
        when not has_timestamp then null
        -- A moment out of range may have no text in this form. This one has, and is out of range too.
        when (event)."timestamp" < '1970-01-01 00:00:00+00' or (event)."timestamp" >= '9999-01-01 00:00:00+00' then '0001-01-01T00:00:00Z'
        else to_char((event)."timestamp" at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    end,
    -- JSON null would mean that there is no payload.
    'payload', case when jsonb_typeof((event).payload) = 'null' then '[]' else (event).payload end
);
alter function aximo_private.event_document(aximo_private.events, boolean) owner to aximo_recorder;
comment on function aximo_private.event_document(aximo_private.events, boolean) is 'An event as an element of a batch.';

-- An id in a payload may be of any length and of any JSON type, and the text of a number may be 100,000 times as long as the number. Rows
-- hold many such ids, so a long one is replaced by its hash.
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

create type aximo_private.breach as (
    place bigint,
    event_id uuid,
    event_type text,
    customer_id text,
    execution_id text,
    approval_id text,
    rule text,
    against uuid,
    against_step integer
);
comment on type aximo_private.breach is 'An event that breaks a rule of its execution''s life.';
comment on column aximo_private.breach.place is 'The event''s place in the batch.';
comment on column aximo_private.breach.event_type is 'What happened.';
comment on column aximo_private.breach.customer_id is 'Whose event it is.';
comment on column aximo_private.breach.approval_id is 'The approval that the event is about; null for the one without an id.';
comment on column aximo_private.breach.against is 'The earlier event it is broken against, where that is about an approval.';
comment on column aximo_private.breach.against_step is 'The step of the earlier event that it is broken against, for other rules; null if there is none.';

-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- Checks the limits of an event's fields in one expression without an exception block, at a tenth of the cost of a domain for each. True
-- means that the event keeps them. False means nothing: aximo_private.refuse_malformed then checks field by field.
create function aximo_private.is_well_formed(event aximo_private.events) returns boolean
language sql volatile security invoker parallel safe
return coalesce(
    (event).event_type in (
        'execution_triggered', 'execution_processing', 'execution_completed', 'execution_failed',
        'action_prepared', 'action_dispatched', 'action_failed',
        'approval_requested', 'approval_granted', 'approval_rejected', 'approval_timeout',
        'sla_breached', 'escalation_triggered', 'pressure_invoked', 'deployment_suspended',
        'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_updated',
        'deployment_terminated', 'version_upgraded', 'version_rolled_back'
    )
    and (event).actor in ('system', 'founder', 'operator', 'external_user')
    -- Text that begins with a visible ASCII character is not blank. least() and greatest() pass over nulls.
    and least((event).customer_id, (event).deployment_id, (event).skill_id, (event).skill_version, (event).execution_id) >= '!'
    and greatest((event).customer_id, (event).deployment_id, (event).skill_id, (event).skill_version, (event).execution_id) < E'\u007F'
    and (event).customer_id is not null
    and (event).deployment_id is not null
    and (event).skill_id is not null
    and (event).skill_version is not null
    and ((event).execution_id is not null or (event).event_type !~ '^(action|approval|execution)_')
    -- If all fields have 255 bytes together, each has at most 255 characters.
    and octet_length(
        concat(
            (event).customer_id, (event).deployment_id, (event).skill_id, (event).skill_version, (event).execution_id, (event).risk_level,
            (event).approval_mode, (event).correlation_id, (event).channel_type, (event).error_code
        )
    ) <= 255
    and (event)."timestamp" between '1970-01-01 00:00:00+00' and clock_timestamp() + interval '1 day'
    and coalesce((event).latency_ms, 0) >= 0
    and jsonb_typeof((event).payload) = 'object'
    -- The uncompressed size (|| '{}' makes an uncompressed copy), checked before the text is made: the text of a number may be 10,000 times as long as the
    -- number.
    and pg_column_size((event).payload || '{}') <= 2048
    and octet_length((event).payload::text) <= 1048576,
    false
);
alter function aximo_private.is_well_formed(aximo_private.events) owner to aximo_recorder;
comment on function aximo_private.is_well_formed(aximo_private.events) is 'True: the event keeps the limits of its fields. False: aximo_private.refuse_malformed has to check.';

create function aximo_private.event_well_formed(event aximo_private.events) returns boolean
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    perform aximo_private.refuse_malformed(aximo_private.event_document(event, true), null, event.customer_id);
    return true;
end;
$$;
alter function aximo_private.event_well_formed(aximo_private.events) owner to aximo_recorder;
comment on function aximo_private.event_well_formed(aximo_private.events) is 'True if the event keeps the limits of its fields; else raises ZXARG, with the field in the detail.';

-- A policy, not a constraint: PostgreSQL reads, plans and compiles a table's constraints again for every single-row statement. No other
-- role may insert.
create policy recorder_writes_events on aximo_private.events
for insert to aximo_recorder with check (aximo_private.is_well_formed(events) or aximo_private.event_well_formed(events));
comment on policy recorder_writes_events on aximo_private.events is 'The emit functions, which write for a customer that the access map gave them; within the limits of an event''s fields.';

-- How each execution stands. The row is the lock at which two writers of an execution wait for each other, holds what the rules need to
-- know about the next event, counts the steps, and is what aximo.executions shows. Whoever writes an event writes this row in the same
-- transaction; aximo.verify_executions works it out again from the events.
create table aximo_private.executions (
    started_at timestamptz,
    ended_at timestamptz,
    last_event_at timestamptz not null,
    steps integer not null,
    start_step integer,
    end_step integer,
    open_approvals integer not null default 0,
    actions_prepared integer not null default 0,
    actions_dispatched integer not null default 0,
    actions_failed integer not null default 0,
    approvals_requested integer not null default 0,
    approvals_granted integer not null default 0,
    approvals_rejected integer not null default 0,
    approvals_timed_out integer not null default 0,
    processing boolean not null default false,
    denied boolean not null default false,
    customer_id text collate "C" not null,
    execution_id text collate "C" not null,
    deployment_id text collate "C" not null,
    skill_id text collate "C" not null,
    skill_version text collate "C" not null,
    outcome text collate "C",
    error_code text collate "C",
    error_message text collate "C"
-- Leaves room on the page for the row's next versions. More room than this would stay empty, as the row of an execution that has ended
-- never changes again.
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

-- No index has a column that changes before the execution ends: each change would add an entry to every index.
create index executions_by_time on aximo_private.executions (customer_id, started_at desc);
create index executions_by_deployment on aximo_private.executions (customer_id, deployment_id, started_at desc);
create index executions_open on aximo_private.executions (customer_id, started_at desc) where outcome is null;
create index executions_ended on aximo_private.executions (customer_id, outcome, started_at desc) where outcome is not null;
-- This index is made last, for the reason told in aximo_private.events.sql.
create unique index executions_pkey on aximo_private.executions (customer_id, execution_id);
alter table aximo_private.executions add constraint executions_pkey primary key using index executions_pkey;

select aximo_private.isolate_by_customer('aximo_private.executions', 'owner_reads_own_executions');
create policy recorder_keeps_executions on aximo_private.executions for all to aximo_recorder using (true) with check (true);
create policy sequencer_reads_executions on aximo_private.executions for select to aximo_sequencer using (true);
comment on table aximo_private.executions is 'How each execution of every customer stands: derived from its events, written with them. Read it through aximo.executions.';
comment on column aximo_private.executions.started_at is 'When it was triggered; null if that is not known, which only imported history can be.';
comment on column aximo_private.executions.steps is 'How many events it has: the step of the last one.';
comment on column aximo_private.executions.start_step is 'The step that triggered it: 1, but for imported history.';
comment on column aximo_private.executions.end_step is 'The step that ended it.';
comment on column aximo_private.executions.open_approvals is 'How many approvals wait for an answer.';
comment on column aximo_private.executions.processing is 'Whether execution_processing was seen.';
comment on column aximo_private.executions.denied is 'Whether an approval was rejected or timed out.';
comment on column aximo_private.executions.deployment_id is 'The deployment of its first event, and of all others.';
comment on policy recorder_keeps_executions on aximo_private.executions is 'The emit functions, which name the customer in every look-up.';
comment on policy sequencer_reads_executions on aximo_private.executions is 'Metrics count an execution''s first start and first end.';
comment on index aximo_private.executions_by_time is 'Newest first.';
comment on index aximo_private.executions_by_deployment is 'Those of a deployment, newest first.';
comment on index aximo_private.executions_open is 'Those that have not ended, newest first.';
comment on index aximo_private.executions_ended is 'Those that completed, or failed, newest first.';

-- Every approval that was requested, and its answer. The functions that write events write this table, as they write executions, and only
-- while they hold the lock on the execution's row.
create table aximo_private.approvals (
    requested_at timestamptz not null,
    decided_at timestamptz,
    step integer not null,
    request_event_id uuid not null,
    decision_event_id uuid,
    customer_id text collate "C" not null,
    execution_id text collate "C" not null,
    approval_id text collate "C",
    deployment_id text collate "C" not null,
    skill_id text collate "C" not null,
    skill_version text collate "C" not null,
    risk_level text collate "C",
    approval_mode text collate "C",
    requested_by text collate "C" not null,
    decision text collate "C" not null default 'open',
    decided_by text collate "C",
    decision_recorded_by text collate "C",
    reason text collate "C"
) with (fillfactor = 80);

create index approvals_by_time on aximo_private.approvals (customer_id, requested_at desc);
create index approvals_open on aximo_private.approvals (customer_id, requested_at desc) where decision = 'open';
-- This index is made last, for the reason told in aximo_private.events.sql.
create unique index approvals_pkey on aximo_private.approvals (customer_id, execution_id, step);
alter table aximo_private.approvals add constraint approvals_pkey primary key using index approvals_pkey;

select aximo_private.isolate_by_customer('aximo_private.approvals', 'owner_reads_own_approvals');
create policy recorder_keeps_approvals on aximo_private.approvals for all to aximo_recorder using (true) with check (true);
create policy sequencer_reads_approvals on aximo_private.approvals for select to aximo_sequencer using (true);
comment on table aximo_private.approvals is 'Every approval of every customer: derived from events, written with them. Read it through aximo.approvals.';
comment on column aximo_private.approvals.step is 'The step of the request.';
comment on column aximo_private.approvals.approval_id is 'payload.approval_id, as the rules compare it: aximo_private.step_key.';
comment on policy recorder_keeps_approvals on aximo_private.approvals is 'The emit functions, which name the customer in every look-up.';
comment on policy sequencer_reads_approvals on aximo_private.approvals is 'Metrics look up the answer to a request.';
comment on index aximo_private.approvals_by_time is 'Newest first.';
comment on index aximo_private.approvals_open is 'Those that wait for an answer, newest first.';

-- Imported events that break a rule of their execution's life. aximo.import_events keeps such events and lists them here; every other way
-- of writing refuses them.
create table aximo_private.violations (
    found_at timestamptz not null default clock_timestamp(),
    event_id uuid not null,
    against uuid,
    customer_id text collate "C" not null,
    execution_id text collate "C" not null,
    rule text collate "C" not null,
    constraint violations_pkey primary key (customer_id, event_id)
);
select aximo_private.isolate_by_customer('aximo_private.violations', 'owner_reads_own_violations');
create policy recorder_reads_violations on aximo_private.violations for select to aximo_recorder using (true);
create policy recorder_adds_violations on aximo_private.violations for insert to aximo_recorder with check (true);
select aximo_private.make_append_only('aximo_private.violations');
comment on table aximo_private.violations is 'Imported events that break a rule of their execution''s life: append-only. Read it through aximo.violations.';
comment on column aximo_private.violations.customer_id is 'Whose event it is.';
comment on policy recorder_reads_violations on aximo_private.violations is 'aximo.verify_executions compares them with the rules.';
comment on policy recorder_adds_violations on aximo_private.violations is 'aximo.import_events runs as this role.';

-- Which deployments there are, so that a page of them needs no walk over the events. Whoever writes the first event of a deployment adds a
-- row. The event is part of the key, so that two transactions which do so at once need not wait for each other; readers take distinct rows.
create table aximo_private.known_deployments (
    customer_id text collate "C" not null,
    deployment_id text collate "C" not null,
    event_id uuid not null,
    constraint known_deployments_pkey primary key (customer_id, deployment_id, event_id)
);
select aximo_private.isolate_by_customer('aximo_private.known_deployments', 'owner_reads_own_deployments');
create policy recorder_reads_deployments on aximo_private.known_deployments for select to aximo_recorder using (true);
create policy recorder_notes_deployments on aximo_private.known_deployments for insert to aximo_recorder with check (true);
select aximo_private.make_append_only('aximo_private.known_deployments');
comment on table aximo_private.known_deployments is 'Every deployment that an event speaks of: append-only, noted with its first event; twice, if two transactions came first.';
comment on column aximo_private.known_deployments.customer_id is 'Whose deployment it is.';
comment on column aximo_private.known_deployments.deployment_id is 'The deployment.';
comment on column aximo_private.known_deployments.event_id is 'The event that it was noted with.';
comment on policy recorder_reads_deployments on aximo_private.known_deployments is 'The emit functions, which name the customer in every look-up.';
comment on policy recorder_notes_deployments on aximo_private.known_deployments is 'The emit functions.';

create function aximo_private.note_deployments(
    events aximo_private.events[],
    -- True: of an execution only the first event is looked at, as all its events are of one deployment unless one breaks that rule.
    first_only boolean
) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
begin
    insert into aximo_private.known_deployments (customer_id, deployment_id, event_id)
    select
        d.customer_id, d.deployment_id,
        (
            select f.event_id
            from unnest(note_deployments.events) as f
            where f.customer_id = d.customer_id and f.deployment_id = d.deployment_id
            limit 1
        )
    from (
        select distinct e.customer_id, e.deployment_id
        from unnest(note_deployments.events) as e
        where not first_only or e.step = 1 or e.step is null
    ) as d
    where (
        select true
        from only aximo_private.known_deployments as k
        where k.customer_id = d.customer_id and k.deployment_id = d.deployment_id
        limit 1
    ) is null;
end;
$$;
alter function aximo_private.note_deployments(aximo_private.events[], boolean) owner to aximo_recorder;
comment on function aximo_private.note_deployments(aximo_private.events[], boolean) is 'Notes the deployments of events that are not known yet.';

create type aximo.receipt as (
    event_id uuid,
    recorded_at timestamptz,
    duplicate boolean
);
comment on type aximo.receipt is 'What an emitter gets back for an event: its id, when it was recorded, and whether it had been recorded before.';
comment on column aximo.receipt.event_id is 'The event''s id.';
comment on column aximo.receipt.recorded_at is 'When it was recorded, by the database''s clock: the first time, if it was sent again.';
comment on column aximo.receipt.duplicate is 'True if the same event had been recorded before; nothing was written now.';

-- The lists of an event's fields in this file are made by tools/event_fields.py.
create function aximo_private.event_fields() returns text[]
language sql immutable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select array[
        'event_id', 'event_type', 'timestamp', 'customer_id', 'deployment_id', 'skill_id', 'skill_version', 'execution_id', 'risk_level',
        'approval_mode', 'actor', 'payload', 'correlation_id', 'channel_type', 'error_code', 'latency_ms'
    ]
$$;
alter function aximo_private.event_fields() owner to aximo_recorder;
comment on function aximo_private.event_fields() is 'The fields a client may set.';

-- Called only after a refusal, so it may be slow. How like two words are is how many of their pairs of neighbouring characters they share,
-- from 0, none, to 1, all.
create function aximo_private.nearest(word text, words text[]) returns text
language sql immutable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
    with
    candidates as (
        select
            c.word as candidate,
            array(
                select substr(' ' || c.word || ' ', i, 2)
                from generate_series(1, char_length(c.word) + 1) as i
            ) as pairs,
            array(
                select substr(' ' || lower(left(nearest.word, 60)) || ' ', i, 2)
                from generate_series(1, char_length(left(nearest.word, 60)) + 1) as i
            ) as given
        from unnest(nearest.words) as c (word)
    ),
    rated as (
        select
            c.candidate,
            2.0 * cardinality(array(select unnest(c.pairs) intersect all select unnest(c.given)))
            / (cardinality(c.pairs) + cardinality(c.given)) as likeness
        from candidates as c
    )
    select r.candidate
    from rated as r
    where r.likeness >= 0.5
    order by r.likeness desc, r.candidate
    limit 1
$$;
alter function aximo_private.nearest(text, text[]) owner to aximo_recorder;
comment on function aximo_private.nearest(text, text[]) is 'Which of some words was meant, perhaps; null if none is near.';

-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- Says what is wrong with an event that the domains or the shape checks refused. Runs only then: the limits themselves are the domains'.
-- Of a payload it says no value, and of every other field at most 60 characters: what is said here is logged.
create function aximo_private.refuse_malformed(event jsonb, place bigint, customer text) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    where_it_is constant text := coalesce(' (event ' || place || ' of the batch)', '');
    field record;
    unknown_fields text[];
    given text;
    allowed text[];
    problem text;
    problem_rule text;
    advice text;
begin
    if event is null or jsonb_typeof(event) <> 'object' then
        problem := format('this is a JSON %s, and an event is a JSON object', coalesce(jsonb_typeof(event), 'null'));
        problem_rule := 'event_is_object';
        advice := 'Send an object with the fields of an event.';
    end if;

    if problem is null then
        select array_agg(k.key order by k.key) into unknown_fields
        from jsonb_object_keys(event - aximo_private.event_fields()) as k (key);
        if unknown_fields is not null then
            select string_agg(quote_literal(left(u.name, 60)), ', ') into given
            from unnest(unknown_fields[1:5]) as u (name);
            problem := format('an event has no field %s%s', given, case when cardinality(unknown_fields) > 5 then ' and others' end);
            problem_rule := 'fields_known';
            advice := format(
                '%sThe fields are %s; the rest goes into payload.',
                'Did you mean ' || aximo_private.nearest(unknown_fields[1], aximo_private.event_fields()) || '? ',
                array_to_string(aximo_private.event_fields(), ', ')
            );
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
                    problem := format('%s is missing', field.name);
                    problem_rule := field.name || '_present';
                    advice := case
                        when field.name = 'execution_id' then 'Execution, action and approval events name their execution.'
                        else 'Every event has event_type, deployment_id, skill_id, skill_version and actor.'
                    end;
                end if;
            elsif jsonb_typeof(event -> field.name) <> field.json_type then
                problem := format('%s is a JSON %s', field.name, jsonb_typeof(event -> field.name));
                problem_rule := format('%s_is_%s', field.name, field.json_type);
                advice := format('Give %s as a JSON %s.', field.name, field.json_type);
            else
                begin
                    if field.json_type = 'object' then
                        -- The payload is cast as jsonb: its text may be longer than a text can be.
                        execute format('select ($1::jsonb)::%s', field.domain) using event -> field.name;
                    elsif field.name = 'timestamp' then
                        execute format('select ($1::timestamptz)::%s', field.domain) using aximo_private.moment_of(event ->> field.name);
                    else
                        execute format('select ($1::text)::%s', field.domain) using event ->> field.name;
                    end if;
                    if field.name = 'timestamp' and aximo_private.moment_of(event ->> field.name) > clock_timestamp() + interval '1 day' then
                        raise exception using errcode = 'check_violation', constraint = 'timestamp_not_ahead';
                    end if;
                exception
                    when integrity_constraint_violation or data_exception then
                        get stacked diagnostics problem_rule = constraint_name;
                        problem_rule := coalesce(nullif(problem_rule, ''), field.name || '_well_formed');
                        given := case when field.json_type <> 'object' then event ->> field.name end;
                        problem := case
                            when problem_rule = 'payload_size' then 'payload has more than 1,048,576 bytes as text'
                            when problem_rule = 'payload_numbers'
                                then 'payload has more than 2 kB, and a number beyond 1e400 or closer to zero than 1e-400'
                            when right(problem_rule, 7) = '_length'
                                then format('%s has %s characters, and begins with %L', field.name, char_length(given), left(given, 60))
                            else format('%s is %L', field.name, left(given, 60) || case when char_length(given) > 60 then '...' else '' end)
                        end;
                        -- Of a closed set, what is in it is what its check says.
                        if problem_rule in ('event_type_known', 'actor_known') then
                            select array_agg(m.matched[1]) into allowed
                            from pg_catalog.pg_constraint as c
                            cross join lateral regexp_matches(pg_get_constraintdef(c.oid), '''(\w+)''', 'g') as m (matched)
                            where c.contypid = field.domain::regtype and c.conname = problem_rule;
                        end if;
                        advice := case problem_rule
                            when 'event_type_known' then concat(
                                'Did you mean ' || aximo_private.nearest(given, allowed) || '? ',
                                format('The %s types are %s.', cardinality(allowed), array_to_string(allowed, ', '))
                            )
                            when 'actor_known' then format('An actor is one of %s.', array_to_string(allowed, ', '))
                            when 'identifier_length' then format('Give %s 1 to 255 characters.', field.name)
                            when 'identifier_not_blank' then format('Give %s a character that can be seen.', field.name)
                            when 'short_text_length' then format('Give %s at most 255 characters.', field.name)
                            when 'timestamp_well_formed' then 'Write a date, a time and an offset: 2026-01-31T12:00:00Z (RFC 3339).'
                            when 'moment_range' then 'Give a moment from 1970 on and before the year 9999.'
                            when 'timestamp_not_ahead' then format(
                                'The database''s clock says %s, and a timestamp is at most one day ahead of it: set the sender''s clock.',
                                to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
                            )
                            when 'event_id_well_formed' then 'Give a UUID, or leave event_id out: then one is made.'
                            when 'payload_size' then 'Keep what is large elsewhere, and name it in the payload.'
                            when 'payload_numbers' then 'Send such a number as text.'
                            else 'Give whole milliseconds, from 0 on.'
                        end;
                end;
            end if;
            exit when problem is not null;
        end loop;
    end if;

    if problem is not null then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed event',
            detail = problem || where_it_is,
            hint = advice,
            constraint = problem_rule;
    end if;
end;
$$;
alter function aximo_private.refuse_malformed(jsonb, bigint, text) owner to aximo_recorder;
comment on function aximo_private.refuse_malformed(jsonb, bigint, text) is 'Raises ZXARG, with the field and its value in the detail, what is allowed in the hint and the rule in the constraint field, if something is wrong with the event; else does nothing.';

-- The rules of an execution's life (spec, section 3), in the order in which they are asked: returns the one that the next event breaks,
-- null if it breaks none. No other function names the rules. Faster checks elsewhere may only say that an event fits, and ask this function
-- about all others.
create function aximo_private.broken_rule(
    -- The execution as it stands; its steps are 0 if it does not exist yet.
    life aximo_private.executions,
    event aximo_private.events,
    -- The approval that the event is about, null for the one without an id; whether it was ever requested, is open, was ever denied.
    approval_id text,
    was_asked boolean,
    is_open boolean,
    was_denied boolean,
    -- Whether an approval without an id is open.
    unnamed_is_open boolean,
    -- Whether a prepared action was neither dispatched nor failed, and was not denied.
    has_unresolved boolean
) returns text
language plpgsql immutable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    is_answer constant boolean := event.event_type in ('approval_granted', 'approval_rejected', 'approval_timeout');
    is_end constant boolean := event.event_type in ('execution_completed', 'execution_failed');
begin
    if event.event_type = 'execution_triggered' then
        return case when life.steps > 0 then 'triggered_first' end;
    elsif life.started_at is null then
        return 'triggered_first';
    elsif is_end and life.outcome is not null then
        return 'ends_once';
    elsif is_answer and was_asked and not is_open then
        return 'answers_open_approval';
    elsif (event.deployment_id, event.skill_id, event.skill_version) <> (life.deployment_id, life.skill_id, life.skill_version) then
        return 'same_attribution';
    elsif event.event_type !~ '^(execution|action|approval)_' then
        return null;
    elsif life.outcome is not null then
        return 'nothing_after_end';
    elsif not life.processing and event.event_type not in ('execution_processing', 'execution_failed') then
        return 'processing_first';
    elsif is_answer then
        return case when not is_open then 'answers_open_approval' end;
    end if;
    return case event.event_type
        when 'approval_requested' then
            case
                when is_open then 'approval_already_open'
                when life.open_approvals > 0 and (approval_id is null or unnamed_is_open) then 'open_approvals_are_named'
            end
        when 'action_dispatched' then
            case
                when case when approval_id is null then life.open_approvals > 0 else is_open end then 'dispatch_waits_for_approval'
                when case when approval_id is null then life.denied else was_denied end then 'no_dispatch_after_denial'
            end
        when 'execution_completed' then
            case
                when life.open_approvals > 0 then 'completes_without_open_approval'
                when has_unresolved then 'completes_with_actions_resolved'
            end
    end;
end;
$$;
alter function aximo_private.broken_rule(aximo_private.executions, aximo_private.events, text, boolean, boolean, boolean, boolean, boolean)
owner to aximo_recorder;
comment on function aximo_private.broken_rule(aximo_private.executions, aximo_private.events, text, boolean, boolean, boolean, boolean, boolean) is 'Which rule of an execution''s life the next event breaks; null if it fits.';

-- Reads the actions of an execution once. An action is matched by its id, and an action without an id by the number of those with its type.
create function aximo_private.has_unresolved(
    customer text, execution text, denied boolean, denied_ids text[], batch aximo_private.events[], upto bigint, from_nothing boolean
) returns boolean
language plpgsql stable security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
-- The plan is the same for every execution, and takes longer to make than to run.
set plan_cache_mode = force_generic_plan
as $$
begin
    return exists (
        with
        action as (
            select
                s.event_type, aximo_private.step_key(s.payload, 'approval_id') as approval_id,
                aximo_private.step_key(s.payload, 'action_id') as action_id,
                aximo_private.step_key(s.payload, 'action_type') as action_type
            from (
                select e.event_type, e.payload
                from only aximo_private.events as e
                -- In collation C, action_... sorts before all other types.
                where not from_nothing and e.customer_id = customer and e.execution_id = execution and e.event_type < 'approval_'
                union all
                select b.event_type, b.payload
                from unnest(batch) as b
                where b.customer_id = customer and b.execution_id = execution and b.position < upto and b.event_type < 'approval_'
            ) as s
        ),
        weighed as (
            select
                a.*,
                case when a.approval_id is null then denied else coalesce(a.approval_id = any(denied_ids), false) end as is_denied
            from action as a
        ),
        matched as (
            select
                w.action_id,
                -- A denied action need not be resolved.
                count(*) filter (where w.event_type = 'action_prepared' and not w.is_denied) as prepared,
                -- The failure of a denied action resolves that action only.
                count(*) filter (
                    where w.event_type <> 'action_prepared'
                    and not (w.event_type = 'action_failed' and w.approval_id is not null and w.is_denied)
                ) as resolved
            from weighed as w
            group by w.action_id, case when w.action_id is null then w.action_type end
        )
        select
        from matched as m
        where m.prepared > m.resolved and (m.action_id is null or m.resolved = 0)
    );
end;
$$;
alter function aximo_private.has_unresolved(text, text, boolean, text[], aximo_private.events[], bigint, boolean) owner to aximo_recorder;
comment on function aximo_private.has_unresolved(text, text, boolean, text[], aximo_private.events[], bigint, boolean) is 'Whether an action of an execution was prepared, not denied, and neither dispatched nor failed. Looks at the stored events, unless from_nothing, and at those of a batch before a place.';

-- Works out what each execution of a batch and its approvals come to, event by event, and which event breaks a rule. Such an event is left
-- out, unless the batch is history. Locks the rows of the executions in the order of their ids, so that two batches never wait for each
-- other in a circle. With from_nothing it uses these events alone and reads no rows.
-- The body is one and long: handing an execution's row to a function costs 27,000 instructions an event, a tenth of a batch's
-- (docs/design/0004-emit-path.md).
create function aximo_private.lives_after(
    -- Sorted by execution and customer, and within each by place (position).
    batch aximo_private.events[],
    is_history boolean,
    from_nothing boolean,
    out lives aximo_private.executions[],
    -- The approvals that are new, or answered by this batch.
    out approvals aximo_private.approvals[],
    -- The events with their steps, and with the requests that they answer.
    out told aximo_private.events[],
    -- All of them if the batch is history, else only the first one by place.
    out breaches aximo_private.breach[]
)
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
    event aximo_private.events;
    -- The rows that exist, in the order of the batch, and the number of the next one.
    stored aximo_private.executions[];
    next_stored integer := 1;
    life aximo_private.executions;
    -- The approvals of the execution in the order of their steps; the first stored_asks of them are stored.
    asks aximo_private.approvals[];
    ask aximo_private.approvals;
    stored_asks integer;
    had_actions boolean;
    -- The actions that this batch prepared and did not resolve. If there are none, has_unresolved need not look.
    pending text[];
    action text;
    approval text;
    open_at integer;
    asked_at integer;
    was_denied boolean;
    unnamed_is_open boolean;
    unresolved boolean;
    fits boolean;
    rule text;
    i integer;
begin
    if not from_nothing then
        select array_agg(x.life order by k.execution_id, k.customer_id) into stored
        from (
            select distinct b.execution_id, b.customer_id
            from unnest(batch) as b
            where b.execution_id is not null
            order by b.execution_id, b.customer_id
        ) as k
        -- A look-up for each: a join may be planned as one pass over all executions.
        cross join lateral (
            select e as life
            from only aximo_private.executions as e
            where e.customer_id = k.customer_id and e.execution_id = k.execution_id
            for no key update
        ) as x;
    end if;
    foreach event in array batch loop
        if event.execution_id is null then
            told := array_append(told, event);
            continue;
        end if;

        if life.execution_id is distinct from event.execution_id or life.customer_id <> event.customer_id then
            if life.steps > 0 then
                lives := array_append(lives, life);
                approvals := approvals || asks[stored_asks + 1:];
            end if;
            life := null;
            asks := '{}';
            if stored[next_stored].execution_id = event.execution_id and stored[next_stored].customer_id = event.customer_id then
                life := stored[next_stored];
                next_stored := next_stored + 1;
                if life.approvals_requested > 0 then
                    select array_agg(a.* order by a.step) into asks
                    from only aximo_private.approvals as a
                    where a.customer_id = event.customer_id and a.execution_id = event.execution_id;
                end if;
            end if;
            stored_asks := coalesce(cardinality(asks), 0);
            had_actions := life.actions_prepared > 0;
            pending := '{}';
            if life.steps is null then
                life := row(
                    null, null, event."timestamp", 0, null, null, 0, 0, 0, 0, 0, 0, 0, 0, false, false, event.customer_id, event.execution_id,
                    event.deployment_id, event.skill_id, event.skill_version, null, null, null
                );
            end if;
        end if;

        approval := null;
        asked_at := null;
        open_at := null;
        was_denied := false;
        unnamed_is_open := false;
        unresolved := false;
        if event.event_type between 'approval_' and 'b' or event.event_type < 'approval_' and life.approvals_requested > 0 then
            approval := aximo_private.step_key(event.payload, 'approval_id');
            for i in 1 .. coalesce(cardinality(asks), 0) loop
                ask := asks[i];
                if ask.decision = 'open' and ask.approval_id is null then
                    unnamed_is_open := true;
                end if;
                if ask.approval_id is not distinct from approval then
                    asked_at := i;
                    if ask.decision = 'open' then
                        open_at := i;
                    elsif ask.decision <> 'granted' then
                        was_denied := true;
                    end if;
                end if;
            end loop;
        elsif event.event_type = 'execution_completed' and (had_actions or life.denied or cardinality(pending) > 0) then
            unresolved := aximo_private.has_unresolved(
                event.customer_id, event.execution_id, life.denied,
                (select array_agg(u.approval_id) from unnest(asks) as u where u.decision in ('rejected', 'timeout')),
                batch, event.position, from_nothing
            );
        end if;

        -- Most events begin an execution, or go on with one that requested no approval. This check may only say that an event fits.
        fits := life.approvals_requested = 0 and life.outcome is null
        and event.deployment_id = life.deployment_id and event.skill_id = life.skill_id and event.skill_version = life.skill_version
        and case
            when event.event_type = 'execution_triggered' then life.steps = 0
            when life.started_at is null then false
            when event.event_type in ('execution_processing', 'execution_failed') then true
            when event.event_type in ('action_prepared', 'action_dispatched', 'action_failed', 'approval_requested') then life.processing
            when event.event_type = 'execution_completed' then life.processing and not unresolved
        end;
        rule := null;
        if fits is not true then
            rule := aximo_private.broken_rule(
                life, event, approval, asked_at is not null, open_at is not null, was_denied, unnamed_is_open, unresolved
            );
        end if;
        if rule is not null then
            if is_history or breaches is null or event.position < breaches[1].place then
                ask := case when rule in ('approval_already_open', 'answers_open_approval') then asks[asked_at] end;
                breaches := case when is_history then breaches else '{}' end || row(
                    event.position, event.event_id, event.event_type, event.customer_id, event.execution_id, approval, rule,
                    coalesce(ask.decision_event_id, ask.request_event_id),
                    case
                        when rule in ('ends_once', 'nothing_after_end') then life.end_step
                        when rule in ('triggered_first', 'same_attribution') and life.steps > 0 then 1
                    end
                )::aximo_private.breach;
            end if;
            continue when not is_history;
        end if;

        life.steps := life.steps + 1;
        event.step := life.steps;
        if event."timestamp" > life.last_event_at then
            life.last_event_at := event."timestamp";
        end if;
        case event.event_type
            when 'execution_triggered' then
                life.start_step := coalesce(life.start_step, life.steps);
                life.started_at := least(life.started_at, event."timestamp");
            when 'execution_processing' then
                life.processing := true;
            when 'execution_completed', 'execution_failed' then
                life.end_step := coalesce(life.end_step, life.steps);
                life.ended_at := least(life.ended_at, event."timestamp");
                if event.event_type = 'execution_failed' then
                    life.outcome := 'failed';
                    life.error_code := least(life.error_code, event.error_code);
                    life.error_message := least(life.error_message, event.payload ->> 'error');
                else
                    life.outcome := coalesce(life.outcome, 'completed');
                end if;
            when 'action_prepared' then
                life.actions_prepared := life.actions_prepared + 1;
                action := coalesce('i' || (event.payload ->> 'action_id'), 't' || (event.payload ->> 'action_type'), '');
                pending := array_append(pending, action);
            when 'action_dispatched', 'action_failed' then
                life.actions_dispatched := life.actions_dispatched + (event.event_type = 'action_dispatched')::integer;
                life.actions_failed := life.actions_failed + (event.event_type = 'action_failed')::integer;
                action := coalesce('i' || (event.payload ->> 'action_id'), 't' || (event.payload ->> 'action_type'), '');
                i := array_position(pending, action);
                if i is not null then
                    pending := pending[:i - 1] || pending[i + 1:];
                end if;
            when 'approval_requested' then
                life.approvals_requested := life.approvals_requested + 1;
                life.open_approvals := life.open_approvals + 1;
                asks := array_append(asks, row(
                    event."timestamp", null, life.steps, event.event_id, null, event.customer_id, event.execution_id, approval, event.deployment_id,
                    event.skill_id, event.skill_version, event.risk_level, event.approval_mode, event.actor, 'open', null, null, null
                )::aximo_private.approvals);
            when 'approval_granted', 'approval_rejected', 'approval_timeout' then
                life.approvals_granted := life.approvals_granted + (event.event_type = 'approval_granted')::integer;
                life.approvals_rejected := life.approvals_rejected + (event.event_type = 'approval_rejected')::integer;
                life.approvals_timed_out := life.approvals_timed_out + (event.event_type = 'approval_timeout')::integer;
                -- History may hold an answer to no request. It changes nothing.
                if open_at is not null then
                    life.open_approvals := life.open_approvals - 1;
                    life.denied := life.denied or event.event_type <> 'approval_granted';
                    ask := asks[open_at];
                    ask.decision := substr(event.event_type, 10);
                    ask.decided_at := event."timestamp";
                    ask.decided_by := event.actor;
                    ask.decision_recorded_by := coalesce(event.recorded_by, session_user);
                    ask.decision_event_id := event.event_id;
                    ask.reason := event.payload ->> 'reason';
                    asks[open_at] := ask;
                    event.answers := ask.request_event_id;
                    if open_at <= stored_asks then
                        approvals := array_append(approvals, ask);
                    end if;
                end if;
            else
                null;
        end case;
        told := array_append(told, event);
    end loop;
    if life.steps > 0 then
        lives := array_append(lives, life);
        approvals := approvals || asks[stored_asks + 1:];
    end if;
end;
$$;
alter function aximo_private.lives_after(aximo_private.events[], boolean, boolean) owner to aximo_recorder;
comment on function aximo_private.lives_after(aximo_private.events[], boolean, boolean) is 'Works out the rows of executions and approvals that the events of a batch lead to, the events'' steps, the requests they answer, and which of them break a rule.';

-- Writes the rows as they are given. Nobody checks here whether another transaction changed a row meanwhile: the unique index of steps
-- finds out when the events are written.
create function aximo_private.store_lives(lives aximo_private.executions[], approvals aximo_private.approvals[]) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
begin
    insert into aximo_private.executions as x
    select u.*
    from unnest(lives) as u
    on conflict (customer_id, execution_id) do update set
        started_at = excluded.started_at, ended_at = excluded.ended_at, last_event_at = excluded.last_event_at, steps = excluded.steps,
        start_step = excluded.start_step, end_step = excluded.end_step, open_approvals = excluded.open_approvals,
        actions_prepared = excluded.actions_prepared, actions_dispatched = excluded.actions_dispatched,
        actions_failed = excluded.actions_failed, approvals_requested = excluded.approvals_requested,
        approvals_granted = excluded.approvals_granted, approvals_rejected = excluded.approvals_rejected,
        approvals_timed_out = excluded.approvals_timed_out, processing = excluded.processing, denied = excluded.denied,
        deployment_id = excluded.deployment_id, skill_id = excluded.skill_id, skill_version = excluded.skill_version,
        outcome = excluded.outcome, error_code = excluded.error_code, error_message = excluded.error_message;
    if cardinality(approvals) > 0 then
        insert into aximo_private.approvals
        select u.*
        from unnest(approvals) as u
        on conflict (customer_id, execution_id, step) do update set
            decided_at = excluded.decided_at, decision_event_id = excluded.decision_event_id, decision = excluded.decision,
            decided_by = excluded.decided_by, decision_recorded_by = excluded.decision_recorded_by, reason = excluded.reason;
    end if;
end;
$$;
alter function aximo_private.store_lives(aximo_private.executions[], aximo_private.approvals[]) owner to aximo_recorder;
comment on function aximo_private.store_lives(aximo_private.executions[], aximo_private.approvals[]) is 'Writes the rows of executions and approvals, whether they are there or not.';

create function aximo_private.refuse_step(breach aximo_private.breach, is_batch boolean) returns void
language plpgsql volatile security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using
        errcode = case when breach.rule = 'same_attribution' then 'ZXATT' else 'ZXSEQ' end,
        message = case
            when breach.rule = 'same_attribution' then 'an execution keeps its deployment, skill and version'
            else 'this event does not fit the life of its execution'
        end,
        detail = format(
            'event %s, %s, of execution %L%s%s',
            breach.event_id, breach.event_type, breach.execution_id,
            coalesce(', approval_id ' || quote_literal(left(breach.approval_id, 60)), ''),
            case when is_batch then format(' (event %s of the batch)', breach.place) end
        ),
        hint = case breach.rule
            when 'triggered_first' then 'Emit execution_triggered first, and once an execution.'
            when 'same_attribution' then 'Send the deployment_id, skill_id and skill_version that the execution began with, or start a new execution.'
            when 'ends_once' then 'The execution has ended, perhaps by another worker. Nothing is to be done.'
            when 'nothing_after_end' then 'The execution has ended. Start a new one; only governance and lifecycle events still belong to this one.'
            when 'processing_first' then 'Emit execution_processing first: it comes before actions, approvals and completion.'
            when 'approval_already_open' then 'The approval is open already. Wait for its answer, or ask under another approval_id.'
            when 'open_approvals_are_named' then 'Another approval is open. Give every approval an approval_id if several are open at a time.'
            when 'answers_open_approval' then 'No request with this approval_id is open: it was never asked, or is answered. Answer each request once, by its approval_id.'
            when 'dispatch_waits_for_approval' then 'The approval is open. Dispatch the action when it is granted.'
            when 'no_dispatch_after_denial' then 'The approval was rejected or timed out. Emit action_failed, or ask again under another approval_id.'
            when 'completes_without_open_approval' then 'An approval is open. Emit its answer, or approval_timeout, and complete the execution then.'
            when 'completes_with_actions_resolved' then 'A prepared action is open. Emit action_dispatched or action_failed for it, and complete the execution then.'
        end,
        constraint = breach.rule;
end;
$$;
alter function aximo_private.refuse_step(aximo_private.breach, boolean) owner to aximo_recorder;
comment on function aximo_private.refuse_step(aximo_private.breach, boolean) is 'Raises ZXSEQ or ZXATT for an event that breaks a rule of its execution''s life, with the rule in the constraint field.';

-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- Called for an event whose event_id is stored already. If the sender named no timestamp, the database made one up the first time, so a
-- different timestamp is no difference.
create function aximo_private.first_receipt(event aximo_private.events, has_timestamp boolean) returns aximo.receipt
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    stored aximo_private.events;
    differing text;
begin
    select e.* into strict stored
    from only aximo_private.events as e
    where e.customer_id = event.customer_id and e.event_id = event.event_id;

    differing := concat_ws(
        ', ',
        case when stored.event_type <> event.event_type then 'event_type' end,
        case when has_timestamp and stored."timestamp" <> event."timestamp" then 'timestamp' end,
        case when stored.deployment_id <> event.deployment_id then 'deployment_id' end,
        case when stored.skill_id <> event.skill_id then 'skill_id' end,
        case when stored.skill_version <> event.skill_version then 'skill_version' end,
        case when stored.execution_id is distinct from event.execution_id then 'execution_id' end,
        case when stored.risk_level is distinct from event.risk_level then 'risk_level' end,
        case when stored.approval_mode is distinct from event.approval_mode then 'approval_mode' end,
        case when stored.actor <> event.actor then 'actor' end,
        case when stored.payload <> event.payload then 'payload' end,
        case when stored.correlation_id is distinct from event.correlation_id then 'correlation_id' end,
        case when stored.channel_type is distinct from event.channel_type then 'channel_type' end,
        case when stored.error_code is distinct from event.error_code then 'error_code' end,
        case when stored.latency_ms is distinct from event.latency_ms then 'latency_ms' end
    );
    if differing <> '' then
        raise exception using
            errcode = 'ZXDUP',
            message = 'this event_id was used for another event',
            detail = format('event %s differs in %s from the stored one', event.event_id, differing),
            hint = 'Send the first event again unchanged, or give the new one a new event_id.',
            constraint = 'event_id_names_one_event';
    end if;
    return row(stored.event_id, stored.recorded_at, true)::aximo.receipt;
end;
$$;
alter function aximo_private.first_receipt(aximo_private.events, boolean) owner to aximo_recorder;
comment on function aximo_private.first_receipt(aximo_private.events, boolean) is 'The receipt that an event got when it was first written. ZXDUP: its event_id is that of an event with other content.';

-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- The events of a batch as columns. A field that is null here gets its value when the event is inserted.
create function aximo_private.parsed_events(events jsonb, customer text)
returns table (
    place bigint,
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
    latency_ms bigint,
    is_malformed boolean
)
language sql stable security invoker parallel safe
begin atomic
    select
        b.place, (b.e ->> 'event_id')::uuid as event_id, b.e ->> 'event_type' as event_type,
        aximo_private.moment_of(b.e ->> 'timestamp') as "timestamp", coalesce(b.e ->> 'customer_id', customer) as customer_id,
        b.e ->> 'deployment_id' as deployment_id, b.e ->> 'skill_id' as skill_id, b.e ->> 'skill_version' as skill_version,
        b.e ->> 'execution_id' as execution_id, b.e ->> 'risk_level' as risk_level, b.e ->> 'approval_mode' as approval_mode,
        b.e ->> 'actor' as actor, coalesce(nullif(b.e -> 'payload', 'null'), '{}') as payload, b.e ->> 'correlation_id' as correlation_id,
        b.e ->> 'channel_type' as channel_type, b.e ->> 'error_code' as error_code, (b.e ->> 'latency_ms')::bigint as latency_ms,
        -- What a cast to the column's type does not find out.
        b.e - aximo_private.event_fields() <> '{}'
        or jsonb_typeof(b.e -> 'latency_ms') not in ('number', 'null')
        or b.e ->> 'execution_id' is null and coalesce(b.e ->> 'event_type' ~ '^(action|approval|execution)_', true)
        and coalesce(b.e ->> 'customer_id', customer) = customer
        -- Every value but the payload and the latency must be a text or null. Only those can be compared with a text, so all others are
        -- counted.
        or jsonb_array_length(jsonb_path_query_array(b.e, 'strict $.* ? ((@ >= "") is unknown).type()'))
        <> coalesce((jsonb_typeof(b.e -> 'payload') = 'object')::integer, 0) + (b.e ->> 'latency_ms' is not null)::integer
        as is_malformed
    from jsonb_array_elements(events) with ordinality as b (e, place);
end;
alter function aximo_private.parsed_events(jsonb, text) owner to aximo_recorder;
comment on function aximo_private.parsed_events(jsonb, text) is 'The events of a JSON array as columns, in any order, each with its place and whether it is malformed.';

-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- Writes a batch, all or nothing, in the order of the array. The first attempt assumes that no event of it is stored yet and that nothing
-- is wrong with it, which is nearly always so. If that does not hold, the second attempt looks at each event and says what is wrong. History
-- is taken as it was: an event that breaks a rule of its execution's life is kept, and listed in aximo.violations.
create function aximo_private.write_events(
    events jsonb,
    -- The customer of the events; *: each event names its own.
    customer_id text,
    is_history boolean,
    -- False: the call came from aximo.emit_event, so a refusal names no place in a batch.
    is_batch boolean
) returns aximo.receipt[]
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    of_many constant boolean := coalesce(write_events.customer_id = '*', false);
    -- The customer of an event that names none.
    customer text;
    attempt integer := case when is_batch then 1 else 2 end;
    batch aximo_private.events[];
    -- Events that are stored already, or stand twice in the batch.
    again aximo_private.events[];
    malformed bigint;
    foreign_customer text;
    lives aximo_private.executions[];
    approvals aximo_private.approvals[];
    told aximo_private.events[];
    breaches aximo_private.breach[];
    receipts aximo.receipt[];
    event aximo_private.events;
    place integer;
begin
    if events is null or jsonb_typeof(events) <> 'array' then
        raise exception using
            errcode = 'ZXARG',
            message = 'a batch is a JSON array of events',
            detail = format('this is a JSON %s', coalesce(jsonb_typeof(events), 'null')),
            hint = 'Wrap a single event in an array, or call aximo.emit_event.',
            constraint = 'batch_is_array';
    end if;
    if jsonb_array_length(events) = 0 then
        return '{}';
    end if;
    if of_many then
        customer := aximo.current_customer();
    else
        customer := aximo_private.writing_customer(coalesce(write_events.customer_id, events -> 0 ->> 'customer_id'));
    end if;

    loop
        begin
            select
                array_agg(
                    row(
                        p.place, coalesce(p."timestamp", clock_timestamp()), null, p.latency_ms,
                        coalesce(p.event_id, aximo_private.new_event_id()), null, null, p.event_type, p.customer_id, p.deployment_id,
                        p.skill_id, p.skill_version, p.execution_id, p.actor, p.risk_level, p.approval_mode, p.correlation_id,
                        p.channel_type, p.error_code, null, p.payload
                    )::aximo_private.events
                    order by p.execution_id collate "C", p.customer_id collate "C", p.place
                ),
                min(p.place) filter (where p.is_malformed),
                min(p.customer_id) filter (where p.customer_id <> customer and not of_many)
            into batch, malformed, foreign_customer
            from aximo_private.parsed_events(events, customer) as p;

            if attempt > 1 then
                -- A malformed event is refused first: the rules can't be asked about it.
                for place in
                    select b.position
                    from unnest(batch) as b
                    where b.position = malformed or (b.customer_id = customer or of_many) and not aximo_private.is_well_formed(b)
                    order by b.position
                loop
                    perform aximo_private.refuse_malformed(events -> place - 1, case when is_batch then place end, customer);
                end loop;
                if foreign_customer is not null then
                    raise exception using
                        errcode = 'ZXCUS',
                        message = 'this session may not write for that customer',
                        detail = format('an event is of customer %L, the batch of customer %L', foreign_customer, customer),
                        hint = 'Send each customer''s events by themselves, or name * as the batch''s customer.',
                        constraint = 'customer_granted';
                end if;
                select
                    array_agg(r.event order by (r.event).position) filter (where r.is_again),
                    coalesce(
                        array_agg(r.event order by (r.event).execution_id, (r.event).customer_id, (r.event).position)
                        filter (where not r.is_again), '{}'
                    )
                into again, batch
                from (
                    select
                        b as event,
                        row_number() over (partition by b.customer_id, b.event_id order by b.position) > 1
                        -- A look-up for each: a join may be planned as one pass over all events of the customer.
                        or (
                            select true
                            from only aximo_private.events as e
                            where e.customer_id = b.customer_id and e.event_id = b.event_id
                        ) is not null as is_again
                    from unnest(batch) as b
                ) as r;
            elsif malformed is not null or foreign_customer is not null then
                attempt := 2;
                continue;
            end if;
            if of_many then
                perform aximo_private.writing_customer(u.customer_id)
                from (select distinct b.customer_id from unnest(batch) as b) as u;
            end if;

            select t.lives, t.approvals, t.told, t.breaches
            into lives, approvals, told, breaches
            from aximo_private.lives_after(batch, is_history, from_nothing => false) as t;
            if attempt = 1 and not is_history and breaches is not null then
                attempt := 2;
                continue;
            end if;

            -- Rows are written before events, in the order of their ids: a row is its execution's lock.
            if lives is not null then
                perform aximo_private.store_lives(lives, approvals);
            end if;
            perform aximo_private.note_deployments(told, first_only => breaches is null);
            with
            inserted as (
                insert into aximo_private.events (
                    event_id, event_type, "timestamp", customer_id, deployment_id, skill_id, skill_version, execution_id, risk_level,
                    approval_mode, actor, payload, correlation_id, channel_type, error_code, latency_ms, step, answers
                )
                select
                    t.event_id, t.event_type, t."timestamp", t.customer_id, t.deployment_id, t.skill_id, t.skill_version, t.execution_id,
                    t.risk_level, t.approval_mode, t.actor, t.payload, t.correlation_id, t.channel_type, t.error_code, t.latency_ms, t.step,
                    t.answers
                from unnest(told) as t
                -- The events after the first broken rule were worked out without it, so they are not inserted.
                where is_history or breaches is null or t.position < breaches[1].place
                order by t.position
                returning position, event_id, recorded_at
            )
            select array_agg(row(i.event_id, i.recorded_at, false)::aximo.receipt order by i.position)
            into receipts
            from inserted as i;
            exit;
        exception
            when data_exception then
                -- A field does not fit its column: find the event, and say what is wrong with it.
                for place in 1 .. jsonb_array_length(events) loop
                    perform aximo_private.refuse_malformed(events -> place - 1, case when is_batch then place end, customer);
                end loop;
                raise exception using
                    errcode = 'ZXARG',
                    message = 'malformed event',
                    -- Without its words, which may quote a payload.
                    detail = format('PostgreSQL refused a value with %s', sqlstate),
                    hint = 'Send the events one by one to see which one it is. Their fields and limits are in docs/reference.md, under aximo.events.',
                    constraint = 'event_well_formed';
            when unique_violation or not_null_violation or program_limit_exceeded or sqlstate 'ZXARG' then
                if attempt > 1 and sqlstate <> '23505' then
                    raise;
                end if;
        end;
        attempt := attempt + 1;
        if attempt > 4 then
            perform aximo_private.check_rows_present(t.customer_id, array_agg(distinct t.execution_id))
            from unnest(told) as t
            group by t.customer_id;
            raise serialization_failure using
                message = 'another transaction wrote to the same execution meanwhile',
                hint = 'Run the whole transaction again.';
        end if;
    end loop;

    -- First the receipts of the events that were sent before, up to the first broken rule; then that rule.
    foreach event in array coalesce(again, '{}') loop
        exit when not is_history and event.position > breaches[1].place;
        receipts := array_append(
            receipts, aximo_private.first_receipt(event, events -> (event.position - 1)::integer ->> 'timestamp' is not null)
        );
    end loop;
    if is_history and breaches is not null then
        insert into aximo_private.violations (customer_id, event_id, execution_id, rule, against)
        select
            b.customer_id, b.event_id, b.execution_id, b.rule,
            coalesce(
                b.against,
                (
                    select e.event_id
                    from only aximo_private.events as e
                    where e.customer_id = b.customer_id and e.execution_id = b.execution_id and e.step = b.against_step
                )
            )
        from unnest(breaches) as b;
    elsif breaches is not null then
        if breaches[1].rule = 'triggered_first' then
            perform aximo_private.check_rows_present(breaches[1].customer_id, array[breaches[1].execution_id]);
        end if;
        perform aximo_private.refuse_step(breaches[1], is_batch);
    end if;

    if again is not null then
        receipts := array(
            select row(r.event_id, r.recorded_at, r.duplicate)::aximo.receipt
            from unnest(
                receipts,
                array(select t.position from unnest(told) as t order by t.position)
                || array(select a.position from unnest(again) as a order by a.position)
            ) as r (event_id, recorded_at, duplicate, place)
            order by r.place
        );
    end if;
    return receipts;
end;
$$;
alter function aximo_private.write_events(jsonb, text, boolean, boolean) owner to aximo_recorder;
comment on function aximo_private.write_events(jsonb, text, boolean, boolean) is 'Writes a batch for aximo.emit_events and aximo.import_events, and an event that aximo.emit_event could not write at once.';

-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- Writes one event in one call; most writes come this way. One UPDATE of the execution's row checks the rules and takes the event in. Its
-- conditions may only say that the event fits; all other events go to aximo_private.write_events, which knows the rules. The body is one
-- and long because each further function and statement adds 20,000 to 50,000 instructions to about 600,000: docs/design/0004-emit-path.md.
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
#variable_conflict use_column
declare
    session_names constant text := current_setting('aximo.customer_id', true);
    customer text := coalesce(emit_event.customer_id, session_names);
    id constant uuid := coalesce(emit_event.event_id, aximo_private.new_event_id());
    moment constant timestamptz := coalesce(emit_event."timestamp", clock_timestamp());
    document constant jsonb := coalesce(emit_event.payload, '{}');
    -- 2 or more: the execution's row has taken the event in.
    this_step integer;
    -- False: the approvals or actions of the execution, which its row does not tell, stand against the event.
    fits boolean;
    still_open integer;
    prepared integer;
    had_denial boolean;
    approval text;
    request uuid;
    event aximo_private.events;
    receipt aximo.receipt;
begin
    -- Most calls name a customer that the login was granted. This check may only say so; aximo_private.writing_customer knows the rule.
    perform
    from aximo_private.customer_grants as g
    where g.customer_id in (customer, '*');
    if not found or coalesce(customer, '') in ('', '*') or session_names not in ('', customer) then
        customer := aximo_private.writing_customer(emit_event.customer_id);
    end if;

    -- The conditions below use ended_at: with outcome the planner would use a partial index.
    if emit_event.execution_id is null then
        null;
    elsif emit_event.event_type = 'execution_triggered' then
        -- The row is inserted after the event. The unique index of steps refuses a second trigger.
        this_step := 1;
    elsif emit_event.event_type in ('action_prepared', 'action_dispatched', 'action_failed') then
        update aximo_private.executions as x set
            steps = x.steps + 1,
            last_event_at = greatest(x.last_event_at, moment),
            actions_prepared = x.actions_prepared + (emit_event.event_type = 'action_prepared')::integer,
            actions_dispatched = x.actions_dispatched + (emit_event.event_type = 'action_dispatched')::integer,
            actions_failed = x.actions_failed + (emit_event.event_type = 'action_failed')::integer
        where x.customer_id = customer and x.execution_id = emit_event.execution_id and x.deployment_id = emit_event.deployment_id
            and x.skill_id = emit_event.skill_id and x.skill_version = emit_event.skill_version
            and x.started_at is not null and x.ended_at is null and x.processing
            and (emit_event.event_type <> 'action_dispatched' or x.open_approvals = 0 and not x.denied)
        returning x.steps into this_step;
    elsif emit_event.event_type in ('approval_requested', 'approval_granted', 'approval_rejected', 'approval_timeout') then
        update aximo_private.executions as x set
            steps = x.steps + 1,
            last_event_at = greatest(x.last_event_at, moment),
            open_approvals = x.open_approvals + case emit_event.event_type when 'approval_requested' then 1 else -1 end,
            denied = x.denied or emit_event.event_type in ('approval_rejected', 'approval_timeout'),
            approvals_requested = x.approvals_requested + (emit_event.event_type = 'approval_requested')::integer,
            approvals_granted = x.approvals_granted + (emit_event.event_type = 'approval_granted')::integer,
            approvals_rejected = x.approvals_rejected + (emit_event.event_type = 'approval_rejected')::integer,
            approvals_timed_out = x.approvals_timed_out + (emit_event.event_type = 'approval_timeout')::integer
        where x.customer_id = customer and x.execution_id = emit_event.execution_id and x.deployment_id = emit_event.deployment_id
            and x.skill_id = emit_event.skill_id and x.skill_version = emit_event.skill_version
            and x.started_at is not null and x.ended_at is null and x.processing
        returning x.steps, x.open_approvals into this_step, still_open;
        if this_step is not null then
            approval := aximo_private.step_key(document, 'approval_id');
            if emit_event.event_type <> 'approval_requested' then
                update aximo_private.approvals as a set
                    decision = substr(emit_event.event_type, 10),
                    decided_at = moment,
                    decided_by = emit_event.actor,
                    decision_recorded_by = session_user,
                    decision_event_id = id,
                    reason = document ->> 'reason'
                where a.customer_id = customer and a.execution_id = emit_event.execution_id and a.decision_event_id is null
                    and a.approval_id is not distinct from approval
                returning a.request_event_id into request;
                fits := found;
            elsif still_open > 1 then
                fits := approval is not null and not exists (
                    select
                    from only aximo_private.approvals as a
                    where a.customer_id = customer and a.execution_id = emit_event.execution_id and a.decision_event_id is null
                        and (a.approval_id is null or a.approval_id = approval)
                );
            end if;
        end if;
        if this_step is not null and fits is not false and emit_event.event_type = 'approval_requested' then
            insert into aximo_private.approvals (
                customer_id, execution_id, step, approval_id, deployment_id, skill_id, skill_version, risk_level, approval_mode,
                requested_at, requested_by, request_event_id
            ) values (
                customer, emit_event.execution_id, this_step, approval, emit_event.deployment_id, emit_event.skill_id,
                emit_event.skill_version, emit_event.risk_level, emit_event.approval_mode, moment, emit_event.actor, id
            );
        end if;
    elsif emit_event.event_type in ('execution_completed', 'execution_failed') then
        update aximo_private.executions as x set
            steps = x.steps + 1,
            end_step = x.steps + 1,
            last_event_at = greatest(x.last_event_at, moment),
            ended_at = moment,
            outcome = case emit_event.event_type when 'execution_failed' then 'failed' else 'completed' end,
            error_code = case emit_event.event_type when 'execution_failed' then emit_event.error_code end,
            error_message = case emit_event.event_type when 'execution_failed' then document ->> 'error' end
        where x.customer_id = customer and x.execution_id = emit_event.execution_id and x.deployment_id = emit_event.deployment_id
            and x.skill_id = emit_event.skill_id and x.skill_version = emit_event.skill_version
            and x.started_at is not null and x.ended_at is null
            and (emit_event.event_type = 'execution_failed' or x.processing and x.open_approvals = 0)
        returning x.steps, x.actions_prepared, x.denied into this_step, prepared, had_denial;
        -- If every action has its own dispatch or failure and nothing was denied, all are resolved. Otherwise has_unresolved looks closely.
        if prepared > 0 and emit_event.event_type = 'execution_completed'
            and (
                had_denial or exists (
                    select
                    from only aximo_private.events as e
                    where e.customer_id = customer and e.execution_id = emit_event.execution_id and e.event_type < 'approval_'
                    group by e.payload ->> 'action_id', e.payload ->> 'action_type'
                    having
                        count(*) filter (where e.event_type = 'action_prepared')
                        > count(*) filter (where e.event_type <> 'action_prepared')
                )
            )
            and aximo_private.has_unresolved(
                customer, emit_event.execution_id, had_denial,
                array(
                    select a.approval_id
                    from only aximo_private.approvals as a
                    where a.customer_id = customer and a.execution_id = emit_event.execution_id and a.decision in ('rejected', 'timeout')
                ),
                null, null, false
            ) then
            fits := false;
        end if;
    else
        -- execution_processing, and events that are no step of an execution's life.
        update aximo_private.executions as x set
            steps = x.steps + 1,
            last_event_at = greatest(x.last_event_at, moment),
            processing = x.processing or emit_event.event_type = 'execution_processing'
        where x.customer_id = customer and x.execution_id = emit_event.execution_id and x.deployment_id = emit_event.deployment_id
            and x.skill_id = emit_event.skill_id and x.skill_version = emit_event.skill_version
            and x.started_at is not null and (x.ended_at is null or emit_event.event_type <> 'execution_processing')
        returning x.steps into this_step;
    end if;

    if fits is not false and (this_step is not null or emit_event.execution_id is null) then
        insert into aximo_private.events as e (
            event_id, event_type, "timestamp", customer_id, deployment_id, skill_id, skill_version, execution_id, risk_level, approval_mode,
            actor, payload, correlation_id, channel_type, error_code, latency_ms, step, answers
        ) values (
            id, emit_event.event_type, moment, customer, emit_event.deployment_id, emit_event.skill_id, emit_event.skill_version,
            emit_event.execution_id, emit_event.risk_level, emit_event.approval_mode, emit_event.actor, document, emit_event.correlation_id,
            emit_event.channel_type, emit_event.error_code, emit_event.latency_ms, this_step, request
        )
        on conflict do nothing
        returning e.event_id, e.recorded_at, false into receipt;
        if found then
            if this_step > 1 then
                return receipt;
            end if;
            if emit_event.execution_id is not null then
                insert into aximo_private.executions (
                    customer_id, execution_id, deployment_id, skill_id, skill_version, started_at, last_event_at, steps, start_step
                ) values (
                    customer, emit_event.execution_id, emit_event.deployment_id, emit_event.skill_id, emit_event.skill_version, moment,
                    moment, 1, 1
                );
            end if;
            perform
            from only aximo_private.known_deployments as k
            where k.customer_id = customer and k.deployment_id = emit_event.deployment_id
            limit 1;
            if not found then
                insert into aximo_private.known_deployments (customer_id, deployment_id, event_id)
                values (customer, emit_event.deployment_id, id);
            end if;
            return receipt;
        end if;
    end if;

    event := row(
        1, moment, null, emit_event.latency_ms, id, null, null, emit_event.event_type, customer, emit_event.deployment_id,
        emit_event.skill_id, emit_event.skill_version, emit_event.execution_id, emit_event.actor, emit_event.risk_level,
        emit_event.approval_mode, emit_event.correlation_id, emit_event.channel_type, emit_event.error_code, null, document
    );
    -- The row says that the execution has completed, so write_events would name another rule.
    if not fits and emit_event.event_type = 'execution_completed' and aximo_private.event_well_formed(event)
        and not exists (select from only aximo_private.events as e where e.customer_id = customer and e.event_id = emit_event.event_id) then
        perform aximo_private.refuse_step(
            row(
                1, id, emit_event.event_type, customer, emit_event.execution_id, null, 'completes_with_actions_resolved', null, null
            )::aximo_private.breach,
            is_batch => false
        );
    end if;
    receipt := (
        aximo_private.write_events(
            jsonb_build_array(aximo_private.event_document(event, emit_event."timestamp" is not null)), customer,
            is_history => false, is_batch => false
        )
    )[1];
    if this_step > 1 then
        -- The event was stored before, so the row must not count it as a further step.
        perform aximo_private.rebuild_execution(customer, emit_event.execution_id);
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

create function aximo.emit_events(events jsonb, customer_id text default null) returns setof aximo.receipt
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select r.*
    from unnest(aximo_private.write_events(emit_events.events, emit_events.customer_id, is_history => false, is_batch => true)) as r;
end;
$$;
alter function aximo.emit_events(jsonb, text) owner to aximo_recorder;
comment on function aximo.emit_events(jsonb, text) is 'Writes a JSON array of events, all or nothing, and returns their receipts in the same order. Fields as in aximo.events, without recorded_at, recorded_by and step; a timestamp is RFC 3339, with an offset. The customer is the one named in the call, else in the first event, else the session''s; named * in the call, each event is of the customer that it names. Errors as aximo.emit_event, with the event''s place in the detail.';

create function aximo.import_events(events jsonb, customer_id text default null) returns setof aximo.receipt
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select r.*
    from unnest(aximo_private.write_events(import_events.events, import_events.customer_id, is_history => true, is_batch => true)) as r;
end;
$$;
alter function aximo.import_events(jsonb, text) owner to aximo_recorder;
comment on function aximo.import_events(jsonb, text) is 'As aximo.emit_events, for history as it was: what breaks a rule of its execution''s life is accepted, and listed in aximo.violations. An event that is malformed, or whose event_id names another one, is refused all the same.';

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
    stale aximo_private.executions[];
begin
    if older_than is null or older_than < interval '0' then
        raise exception using
            errcode = 'ZXARG',
            message = 'older_than is not an age',
            detail = format('older_than is %s', coalesce(older_than::text, 'null')),
            hint = 'Give an interval of zero or more, such as ''2 hours''.',
            constraint = 'older_than_not_negative';
    end if;
    begin
        cutoff := moment - older_than;
    exception
        when datetime_field_overflow then
            cutoff := '-infinity';
    end;
    -- An execution that another transaction is writing to is not stale.
    select array_agg(s.x order by (s.x).last_event_at) into stale
    from (
        select x
        from only aximo_private.executions as x
        where x.customer_id = customer and x.outcome is null and x.started_at is not null and x.last_event_at <= cutoff
        order by x.execution_id
        for no key update skip locked
    ) as s;
    return query
    select s.execution_id, w.event_id, moment - s.last_event_at
    from unnest(aximo_private.write_events(
        (
            select coalesce(
                jsonb_agg(
                    jsonb_build_object(
                        'event_type', 'execution_failed', 'timestamp', to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                        'deployment_id', s.deployment_id, 'skill_id', s.skill_id, 'skill_version', s.skill_version,
                        'execution_id', s.execution_id, 'actor', 'system', 'error_code', 'orphaned',
                        'payload', jsonb_build_object('error', 'no end was reported', 'last_event_at', s.last_event_at)
                    )
                    order by s.ordinality
                ),
                '[]'
            )
            from unnest(stale) with ordinality as s
        ),
        customer, is_history => false, is_batch => true
    )) with ordinality as w (event_id, recorded_at, duplicate, place)
    inner join unnest(stale) with ordinality as s on s.ordinality = w.place
    order by w.place;
end;
$$;
alter function aximo.close_stale_executions(interval) owner to aximo_recorder;
comment on function aximo.close_stale_executions(interval) is 'Ends the open executions of the session''s customer whose latest event is at least this old, with execution_failed and error_code orphaned; returns them. One that another transaction is writing to is left alone. ZXCUS: no customer; ZXARG: no or a negative interval.';

create function aximo_private.rebuild_execution(customer text, execution text) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    retold record;
begin
    perform
    from only aximo_private.executions as x
    where x.customer_id = customer and x.execution_id = execution
    for no key update;
    select t.lives, t.approvals into retold
    from aximo_private.lives_after(
        array(select e from only aximo_private.events as e where e.customer_id = customer and e.execution_id = execution order by e.step),
        is_history => true, from_nothing => true
    ) as t;
    delete from aximo_private.approvals as a
    where a.customer_id = customer and a.execution_id = execution;
    if retold.lives is null then
        delete from aximo_private.executions as x
        where x.customer_id = customer and x.execution_id = execution;
    else
        perform aximo_private.store_lives(retold.lives, retold.approvals);
    end if;
end;
$$;
alter function aximo_private.rebuild_execution(text, text) owner to aximo_recorder;
comment on function aximo_private.rebuild_execution(text, text) is 'Makes the rows of an execution and its approvals anew, from its events alone.';

-- An execution's row is made with its first event and never deleted. If it is behind its events, further events would be counted wrongly.
create function aximo_private.check_rows_present(customer text, executions text[]) returns void
language plpgsql stable security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    lost text;
begin
    select u.execution_id into lost
    from unnest(executions) as u (execution_id)
    where (
        select e.step
        from only aximo_private.events as e
        where e.customer_id = customer and e.execution_id = u.execution_id
        order by e.step desc
        limit 1
    ) > coalesce(
        (select x.steps from only aximo_private.executions as x where x.customer_id = customer and x.execution_id = u.execution_id), 0
    )
    limit 1;
    if lost is not null then
        raise exception using
            errcode = 'ZXENV',
            message = 'the row of an execution is missing or behind its events',
            detail = format('execution %L', lost),
            hint = 'Nothing was written. "aximo-db verify" names such rows, and "aximo-db verify --repair" makes them anew.',
            constraint = 'execution_row_present';
    end if;
end;
$$;
alter function aximo_private.check_rows_present(text, text[]) owner to aximo_recorder;
comment on function aximo_private.check_rows_present(text, text[]) is 'Raises ZXENV if the row of an execution is behind its events.';

-- Works out every execution again from its events, by the function that did so when they were written, and compares.
create function aximo.verify_executions(newest integer default null)
returns table (problem text, execution_id text, step integer, event_id uuid, detail text)
language plpgsql stable security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    customer constant text := aximo_private.writing_customer(null);
    life record;
    retold record;
begin
    for life in
        select k.execution_id, x as kept
        from (
            (
                select e.execution_id
                from only aximo_private.executions as e
                where e.customer_id = customer
                order by e.started_at desc
                limit newest
            )
            union
            select e.execution_id
            from only aximo_private.events as e
            where newest is null and e.customer_id = customer and e.execution_id is not null
            union
            -- Approvals of an execution that has neither a row nor events.
            select a.execution_id
            from only aximo_private.approvals as a
            where newest is null and a.customer_id = customer
        ) as k
        left join lateral (
            select s.*
            from only aximo_private.executions as s
            where s.customer_id = customer and s.execution_id = k.execution_id
            offset 0
        ) as x on true
    loop
        select t.lives, t.approvals, t.told, t.breaches, s.events into retold
        from (
            select
                array(
                    select e
                    from only aximo_private.events as e
                    where e.customer_id = customer and e.execution_id = life.execution_id
                    order by e.step
                ) as events
        ) as s
        cross join lateral aximo_private.lives_after(s.events, is_history => true, from_nothing => true) as t;
        return query
        select
            case
                when retold.lives is null then 'execution_row_surplus'
                when life.kept is null then 'execution_row_missing'
                else 'execution_row_differs'
            end,
            life.execution_id, null::integer, null::uuid,
            (
                select string_agg(format('%s is %s, not %s', o.key, k.value, o.value), '; ' order by o.key)
                from jsonb_each_text(to_jsonb(retold.lives[1])) as o
                inner join jsonb_each_text(to_jsonb(life.kept)) as k on k.key = o.key
                where o.value is distinct from k.value
            )
        where retold.lives[1] is distinct from life.kept
        union all
        select
            case
                when o.step is null then 'approval_row_surplus'
                when k.step is null then 'approval_row_missing'
                else 'approval_row_differs'
            end,
            life.execution_id, coalesce(o.step, k.step), coalesce(o.request_event_id, k.request_event_id), null
        from unnest(retold.approvals) as o
        full join (
            select a.*
            from only aximo_private.approvals as a
            where a.customer_id = customer and a.execution_id = life.execution_id
        ) as k on k.step = o.step
        where o is distinct from k
        union all
        -- Steps follow the order of the log, without a gap.
        select
            case
                when s.step <> o.step then 'step_missing'
                when s.answers is distinct from a.request_event_id then 'answer_differs'
                else 'step_out_of_order'
            end,
            life.execution_id, s.step, s.event_id, null
        from unnest(retold.events) with ordinality as s
        inner join unnest(retold.told) with ordinality as o on o.ordinality = s.ordinality
        -- Compared by the approvals: lives_after leaves an event that answers nothing as it came.
        left join unnest(retold.approvals) as a on a.decision_event_id = s.event_id
        where s.step <> o.step or s.answers is distinct from a.request_event_id
            or s.ordinality > 1 and s.position < (retold.events[s.ordinality - 1]).position
        union all
        select
            case when v.event_id is null then 'rule_broken' else 'violation_differs' end,
            life.execution_id, null, coalesce(b.event_id, v.event_id), coalesce(b.rule, v.rule)
        from (
            select t.event_id, t.rule, coalesce(t.against, g.event_id) as against
            from unnest(retold.breaches) as t
            left join unnest(retold.events) as g on g.step = t.against_step
        ) as b
        full join (
            select w.*
            from only aximo_private.violations as w
            where w.customer_id = customer and w.event_id in (select u.event_id from unnest(retold.events) as u)
        ) as v on v.event_id = b.event_id
        where (b.rule, b.against) is distinct from (v.rule, v.against) or v.execution_id <> life.execution_id;
    end loop;
    return query
    select 'deployment_row_missing', null::text, null::integer, null::uuid, format('deployment %s', u.deployment_id)
    from (
        select distinct e.deployment_id
        from only aximo_private.events as e
        where newest is null and e.customer_id = customer
    ) as u
    where not exists (
        select from only aximo_private.known_deployments as k where k.customer_id = customer and k.deployment_id = u.deployment_id
    )
    union all
    select 'deployment_row_differs', null, null, k.event_id, format('deployment %s', k.deployment_id)
    from only aximo_private.known_deployments as k
    where newest is null and k.customer_id = customer
        and not exists (
            select from only aximo_private.events as e
            where e.customer_id = customer and e.event_id = k.event_id and e.deployment_id = k.deployment_id
        )
    union all
    -- Violations of an event that belongs to no execution or does not exist.
    select 'violation_differs', v.execution_id, null, v.event_id, v.rule
    from only aximo_private.violations as v
    where newest is null and v.customer_id = customer
        and not exists (
            select from only aximo_private.events as e
            where e.customer_id = customer and e.event_id = v.event_id and e.execution_id is not null
        )
    union all
    select
        case when e.step is null then 'answer_differs' else 'step_surplus' end,
        null, e.step, e.event_id, null
    from only aximo_private.events as e
    where newest is null and e.customer_id = customer and e.execution_id is null and (e.step is not null or e.answers is not null);
end;
$$;
alter function aximo.verify_executions(integer) owner to aximo_recorder;
comment on function aximo.verify_executions(integer) is 'What of the session''s customer''s rows of executions and approvals is not what its events come to, where their steps or answers are not, and where violations and deployments are listed otherwise; no rows if nothing is. All of them, or so many of the newest. ZXCUS: no customer.';

create function aximo.repair_executions() returns bigint
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo_private.writing_customer(null);
    execution text;
    repaired bigint := 0;
begin
    for execution in
        select distinct v.execution_id
        from aximo.verify_executions() as v
        where v.problem ~ '^(execution|approval)_row_'
        order by v.execution_id
    loop
        perform aximo_private.rebuild_execution(customer, execution);
        repaired := repaired + 1;
    end loop;
    perform aximo_private.note_deployments(
        array(
            select distinct on (e.deployment_id) e
            from only aximo_private.events as e
            where e.customer_id = customer
            order by e.deployment_id, e.position
        ),
        first_only => false
    );
    return repaired;
end;
$$;
alter function aximo.repair_executions() owner to aximo_recorder;
comment on function aximo.repair_executions() is 'Makes the rows of executions and approvals anew that aximo.verify_executions finds wrong, of the session''s customer, and returns of how many executions. Events are not touched. ZXCUS: no customer.';

-- The moment that the views of this folder show: now, unless an _as_of function is running. Such a function puts the moment into the
-- setting aximo.as_of, behind the start of its transaction, so that a value that a pooled session left behind has no effect.
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
comment on function aximo_private.as_of(boolean) is 'The moment that history is looked at: by timestamp, or, if known, by recorded_at. Infinity unless an _as_of function is running.';

-- The events that the other views of this folder are worked out from. It has no security_barrier, which would keep join conditions out. IS
-- NOT TRUE keeps the planner from reading a whole index for a condition that nearly all rows meet.
create view aximo_private.history as
select *
from only aximo_private.events -- noqa: PRS
where ("timestamp" > (select aximo_private.as_of())) is not true
    and (recorded_at > (select aximo_private.as_of(known => true))) is not true;
comment on view aximo_private.history is 'The events of the session''s customer, up to the moment looked at, with their order of arrival.';
select aximo_private.take_comments('aximo_private.events', 'aximo_private.history');

-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- Reads the table, not aximo_private.history: a trace is the most frequent question, and there is no trace for a moment in the past.
create view aximo.execution_steps with (security_barrier = true) as
select
    customer_id, execution_id, step::bigint as step, "timestamp",
    "timestamp" - first_value("timestamp") over arrival as since_start,
    "timestamp" - lag("timestamp") over arrival as since_previous,
    event_type, actor, deployment_id, skill_id, skill_version, risk_level, approval_mode, correlation_id, channel_type, error_code,
    latency_ms, payload, event_id, answers as answers_event_id, recorded_at, recorded_by, null::text as run_id,
    null::bigint as run_event_id, null::text as message
from only aximo_private.events -- noqa: PRS
where execution_id is not null
window arrival as (partition by customer_id, execution_id order by step);
comment on view aximo.execution_steps is 'Every event that belongs to an execution, in order of arrival within it. Key: execution_id, step.';
comment on column aximo.execution_steps.customer_id is 'Whose execution it is.';
comment on column aximo.execution_steps.execution_id is 'The execution.';
comment on column aximo.execution_steps.step is '1, 2, 3 … in order of arrival.';
comment on column aximo.execution_steps.since_start is 'Time since the execution''s first event; negative if the clocks disagree.';
comment on column aximo.execution_steps.since_previous is 'Time since the event before; null for the first.';
comment on column aximo.execution_steps.event_type is 'What happened.';
comment on column aximo.execution_steps.actor is 'Who acted.';
comment on column aximo.execution_steps.deployment_id is 'The deployment.';
comment on column aximo.execution_steps.skill_id is 'The skill.';
comment on column aximo.execution_steps.skill_version is 'Its version.';
comment on column aximo.execution_steps.risk_level is 'The risk, if any was given.';
comment on column aximo.execution_steps.approval_mode is 'How it is approved, if given.';
comment on column aximo.execution_steps.channel_type is 'The channel, if given.';
comment on column aximo.execution_steps.latency_ms is 'A latency in milliseconds, if given.';
comment on column aximo.execution_steps.event_id is 'The event.';
comment on column aximo.execution_steps.answers_event_id is 'For an answer to an approval: the event_id of the request.';
comment on column aximo.execution_steps.run_id is 'Null here; aximo.execution_trace also shows the events of tool runs, and of those the run.';
comment on column aximo.execution_steps.run_event_id is 'The same: their event_id.';
comment on column aximo.execution_steps.message is 'The same: their message.';
select aximo_private.take_comments('aximo.events', 'aximo.execution_steps');

create view aximo.executions as
select
    customer_id, execution_id, deployment_id, skill_id, skill_version,
    case
        when outcome = 'failed' then 'failed'
        when outcome = 'completed' then 'completed'
        when open_approvals > 0 then 'awaiting_approval'
        when processing then 'processing'
        else 'triggered'
    end as status,
    started_at, ended_at, ended_at - started_at as duration,
    last_event_at, steps::bigint as events, actions_prepared::bigint as actions_prepared,
    actions_dispatched::bigint as actions_dispatched, actions_failed::bigint as actions_failed,
    approvals_requested::bigint as approvals_requested, approvals_granted::bigint as approvals_granted,
    approvals_rejected::bigint as approvals_rejected, approvals_timed_out::bigint as approvals_timed_out, error_code, error_message,
    outcome
from only aximo_private.executions; -- noqa: PRS
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
comment on column aximo.executions.outcome is 'completed or failed; null while it is open. Ask by it, not by status, for those that ended in some way: it has an index.';
select aximo_private.take_comments('aximo.executions', 'aximo_private.executions');

-- Worked out from the events, for a moment in the past: the rows only say how executions stand now.
create view aximo_private.executions_from_events as
select
    e.customer_id, e.execution_id,
    (array_agg(e.deployment_id order by e.step))[1] as deployment_id,
    (array_agg(e.skill_id order by e.step))[1] as skill_id,
    (array_agg(e.skill_version order by e.step))[1] as skill_version,
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
    max(e."timestamp") as last_event_at, count(*) as events,
    count(*) filter (where e.event_type = 'action_prepared') as actions_prepared,
    count(*) filter (where e.event_type = 'action_dispatched') as actions_dispatched,
    count(*) filter (where e.event_type = 'action_failed') as actions_failed,
    count(*) filter (where e.event_type = 'approval_requested') as approvals_requested,
    count(*) filter (where e.event_type = 'approval_granted') as approvals_granted,
    count(*) filter (where e.event_type = 'approval_rejected') as approvals_rejected,
    count(*) filter (where e.event_type = 'approval_timeout') as approvals_timed_out,
    min(e.error_code) filter (where e.event_type = 'execution_failed') as error_code,
    min(e.payload ->> 'error') filter (where e.event_type = 'execution_failed') as error_message,
    case
        when count(*) filter (where e.event_type = 'execution_failed') > 0 then 'failed'
        when count(*) filter (where e.event_type = 'execution_completed') > 0 then 'completed'
    end as outcome
from aximo_private.history as e
where e.execution_id is not null
group by e.customer_id, e.execution_id;
comment on view aximo_private.executions_from_events is 'aximo.executions up to the moment looked at, from events alone.';
select aximo_private.take_comments('aximo.executions', 'aximo_private.executions_from_events');

-- Made by tools/alike.py, which makes others like it; change that.
-- Runs as the recorder, as the view that it reads is nobody else's. The view reads as the owner: what the session's customer has.
create function aximo.executions_as_of(moment timestamptz, known_at timestamptz default 'infinity')
returns setof aximo.executions
language plpgsql volatile security definer parallel unsafe
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
    return query select * from aximo_private.executions_from_events;
    perform set_config('aximo.as_of', '', true);
end;
$$;
alter function aximo.executions_as_of(timestamptz, timestamptz) owner to aximo_recorder;
comment on function aximo.executions_as_of(timestamptz, timestamptz) is
'aximo.executions as it was at a moment, by timestamp; with known_at, as far as it had been recorded by then.';

create view aximo.open_executions as
select
    customer_id, execution_id, deployment_id, skill_id, skill_version,
    case when open_approvals > 0 then 'awaiting_approval' when processing then 'processing' else 'triggered' end as status,
    started_at, last_event_at, now() - started_at as age, now() - last_event_at as idle
from only aximo_private.executions -- noqa: PRS
where outcome is null and started_at is not null;
comment on view aximo.open_executions is 'Executions that have begun and not ended. Key: execution_id.';
comment on column aximo.open_executions.deployment_id is 'The deployment that runs it.';
comment on column aximo.open_executions.status is 'triggered, processing or awaiting_approval.';
comment on column aximo.open_executions.age is 'Time since it was triggered.';
comment on column aximo.open_executions.idle is 'Time since its latest event.';
select aximo_private.take_comments('aximo.executions', 'aximo.open_executions');

-- Made by tools/alike.py, which makes others like it; change that.
-- Runs as the recorder, as the view that it reads is nobody else's. The view reads as the owner: what the session's customer has.
create function aximo.open_executions_as_of(moment timestamptz, known_at timestamptz default 'infinity')
returns setof aximo.open_executions
language plpgsql volatile security definer parallel unsafe
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
    return query
    select
        e.customer_id, e.execution_id, e.deployment_id, e.skill_id, e.skill_version, e.status, e.started_at, e.last_event_at,
        least(now(), moment) - e.started_at, least(now(), moment) - e.last_event_at
    from aximo_private.executions_from_events as e
    where e.outcome is null and e.started_at is not null;
    perform set_config('aximo.as_of', '', true);
end;
$$;
alter function aximo.open_executions_as_of(timestamptz, timestamptz) owner to aximo_recorder;
comment on function aximo.open_executions_as_of(timestamptz, timestamptz) is
'aximo.open_executions as it was at a moment, by timestamp; with known_at, as far as it had been recorded by then.';

-- The latest change of a login and a customer says whether the login has that customer now.
create function aximo_private.access_differences() returns table (role_name text, customer_id text, is_granted boolean)
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select coalesce(g.role_name, l.role_name), coalesce(g.customer_id, l.customer_id), g.role_name is not null
    from aximo_private.customer_grants as g
    full join (
        select distinct on (c.customer_id, c.role_name) c.customer_id, c.role_name, c.is_granted
        from only aximo_private.access_changes as c
        order by c.customer_id, c.role_name, c.changed_at desc, c.change_id desc
    ) as l on l.customer_id = g.customer_id and l.role_name = g.role_name
    where (g.role_name is not null) is distinct from coalesce(l.is_granted, false);
end;
$$;
alter function aximo_private.access_differences() owner to aximo_gatekeeper;
comment on function aximo_private.access_differences() is 'Where the access map differs from its history, for doctor: a login has a customer in the map and not by the history, or by the history and not in the map.';

-- Worked out from the events: for a moment in the past, and for the actions that a denial withheld.
create view aximo_private.approvals_from_events as
select
    r.customer_id, r.execution_id, r.payload ->> 'approval_id' as approval_id,
    r.deployment_id, r.skill_id, r.skill_version, r.risk_level, r.approval_mode, r."timestamp" as requested_at, r.actor as requested_by,
    coalesce(replace(d.event_type, 'approval_', ''), 'open') as decision,
    d."timestamp" as decided_at, d.actor as decided_by, d.recorded_by as decision_recorded_by,
    d."timestamp" - r."timestamp" as delay, d.payload ->> 'reason' as reason,
    case when d.event_type in ('approval_rejected', 'approval_timeout') then w.actions end as actions_withheld,
    r.event_id as request_event_id, d.event_id as decision_event_id
from aximo_private.history as r
left join aximo_private.history as d
    on d.customer_id = r.customer_id and d.execution_id = r.execution_id and d.answers = r.event_id
left join lateral (
    -- The actions that waited for this approval and were never dispatched: by action_id, else as many of a type as were prepared more often
    -- than dispatched.
    select array_agg(coalesce(n.action_id, n.action_type) order by n.position) as actions
    from (
        select
            p.position, p.payload ->> 'action_id' as action_id, p.payload ->> 'action_type' as action_type,
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
comment on view aximo_private.approvals_from_events is 'aximo.approvals up to the moment looked at, from events alone.';

create view aximo.approvals as
select
    a.customer_id, a.execution_id,
    case when t.request_event_id is null then a.approval_id else t.approval_id end as approval_id,
    a.deployment_id, a.skill_id, a.skill_version, a.risk_level, a.approval_mode, a.requested_at, a.requested_by, a.decision, a.decided_at,
    a.decided_by, a.decision_recorded_by, a.decided_at - a.requested_at as delay,
    a.reason, t.actions_withheld, a.request_event_id, a.decision_event_id
from (
    select *
    from only aximo_private.approvals -- noqa: PRS
) as a
-- Looked up for few approvals only: actions_withheld follows from the actions, and the row holds only a hash of an id that is long or no
-- text.
left join lateral (
    select s.approval_id, s.actions_withheld, s.request_event_id
    from aximo_private.approvals_from_events as s
    where s.customer_id = a.customer_id and s.execution_id = a.execution_id and s.request_event_id = a.request_event_id
        and (a.decided_at is not null and a.decision <> 'granted' or a.approval_id ~ '^(sha256|json) ')
    offset 0
) as t on true;
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
select aximo_private.take_comments('aximo.approvals', 'aximo_private.approvals');
select aximo_private.take_comments('aximo.approvals', 'aximo_private.approvals_from_events');

-- Made by tools/alike.py, which makes others like it; change that.
-- Runs as the recorder, as the view that it reads is nobody else's. The view reads as the owner: what the session's customer has.
create function aximo.approvals_as_of(moment timestamptz, known_at timestamptz default 'infinity')
returns setof aximo.approvals
language plpgsql volatile security definer parallel unsafe
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
    return query select * from aximo_private.approvals_from_events;
    perform set_config('aximo.as_of', '', true);
end;
$$;
alter function aximo.approvals_as_of(timestamptz, timestamptz) owner to aximo_recorder;
comment on function aximo.approvals_as_of(timestamptz, timestamptz) is
'aximo.approvals as it was at a moment, by timestamp; with known_at, as far as it had been recorded by then.';

-- The executions that show which version a deployment ran. Read from the rows, also for a moment in the past: a start never changes.
create view aximo_private.started_executions as
select
    x.customer_id, x.execution_id, x.deployment_id, x.skill_id, x.skill_version, x.started_at, x.start_step
from (
    select *
    from only aximo_private.executions -- noqa: PRS
) as x
where x.started_at <= (select aximo_private.as_of())
    and (
        (select aximo_private.as_of(known => true)) = 'infinity'
        or exists (
            select from aximo_private.history as e
            where e.customer_id = x.customer_id and e.execution_id = x.execution_id and e.step = x.start_step
        )
    );
comment on view aximo_private.started_executions is 'The executions of the session''s customer that had been triggered at the moment looked at.';
comment on column aximo_private.started_executions.start_step is 'The step that triggered it.';
select aximo_private.take_comments('aximo.executions', 'aximo_private.started_executions');

-- The events of a deployment's life say its versions. If a deployment has no such event, the versions are those of its executions.
create view aximo.deployment_versions with (security_barrier = true) as
with
declared as (
    select e.customer_id, e.deployment_id, e.skill_id, e.skill_version, e.event_id, e.event_type, e."timestamp", e.position
    from aximo_private.history as e
    -- The first list is that of the index, word by word, so that the planner uses it.
    where e.event_type in (
            'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_suspended', 'deployment_updated',
            'deployment_terminated', 'version_upgraded', 'version_rolled_back'
        )
        and e.event_type <> 'deployment_suspended'
),
marks as (
    select d.*, null::text as execution_id, null::integer as start_step, 'declared' as basis
    from declared as d
    union all
    select
        r.customer_id, r.deployment_id, r.skill_id, r.skill_version, null as event_id, 'execution_triggered' as event_type,
        r.started_at as "timestamp", null as position, r.execution_id, r.start_step, 'observed' as basis
    from aximo_private.started_executions as r
    where (r.customer_id, r.deployment_id) not in (select d.customer_id, d.deployment_id from declared as d)
),
steps as (
    select
        m.*, lag(m.skill_id) over in_time as previous_skill_id, lag(m.skill_version) over in_time as previous_version,
        lag(m.event_type) over in_time as previous_type
    from marks as m
    window in_time as (partition by m.customer_id, m.deployment_id order by m."timestamp", m.position, m.execution_id)
),
marked as (
    select
        s.*,
        coalesce(
            s.event_id,
            (
                select e.event_id
                from aximo_private.history as e
                where e.customer_id = s.customer_id and e.execution_id = s.execution_id and e.step = s.start_step
            )
        ) as began_with
    from steps as s
    where s.event_type = 'deployment_terminated' or s.previous_type is null or s.previous_type = 'deployment_terminated'
        or s.skill_version <> s.previous_version or s.skill_id <> s.previous_skill_id
),
changes as (
    select
        s.*, lead(s."timestamp") over in_time as ended_at, lead(s.began_with) over in_time as ended_with,
        lead(s.event_type) over in_time as ended_by
    from marked as s
    window in_time as (partition by s.customer_id, s.deployment_id order by s."timestamp", s.position, s.execution_id)
)
select
    customer_id, deployment_id, skill_id, skill_version, "timestamp" as began_at, ended_at,
    ended_at is null as is_current, event_type as began_by, began_with, ended_by, ended_with, basis
from changes
where event_type <> 'deployment_terminated';
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

-- Made by tools/alike.py, which makes others like it; change that.
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
comment on function aximo.deployment_versions_as_of(timestamptz, timestamptz) is
'aximo.deployment_versions as it was at a moment, by timestamp; with known_at, as far as it had been recorded by then.';

create view aximo.deployments as
select
    k.customer_id, k.deployment_id, coalesce(v.skill_id, x.skill_id) as skill_id,
    coalesce(v.skill_version, x.skill_version) as skill_version,
    case s.event_type
        when 'deployment_created' then 'pending_configuration'
        when 'deployment_configured' then 'configured'
        when 'deployment_activated' then 'active'
        when 'deployment_suspended' then 'suspended'
        when 'deployment_terminated' then 'terminated'
        else 'undeclared'
    end as status,
    s."timestamp" as status_since, s.event_id as status_event_id, x.started_at as last_execution_at
-- DISTINCT, because two transactions may both have added the deployment. The rows come in the order of the index, so a page of them reads
-- no more than a page.
from (
    select distinct customer_id, deployment_id
    from only aximo_private.known_deployments -- noqa: PRS
) as k
-- Each of these is a look-up. The first list of types is that of the index, word by word, so that the planner uses it.
left join lateral (
    select e.event_type, e."timestamp", e.event_id
    from aximo_private.history as e
    where e.customer_id = k.customer_id and e.deployment_id = k.deployment_id
        and e.event_type in (
            'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_suspended', 'deployment_updated',
            'deployment_terminated', 'version_upgraded', 'version_rolled_back'
        )
        and e.event_type not in ('deployment_updated', 'version_upgraded', 'version_rolled_back')
    order by e."timestamp" desc, e.position desc
    limit 1
) as s on true
left join lateral (
    select e.skill_id, e.skill_version
    from aximo_private.history as e
    where e.customer_id = k.customer_id and e.deployment_id = k.deployment_id
        and e.event_type in (
            'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_suspended', 'deployment_updated',
            'deployment_terminated', 'version_upgraded', 'version_rolled_back'
        )
        and e.event_type <> 'deployment_suspended'
    order by e."timestamp" desc, e.position desc
    limit 1
) as v on true
left join lateral (
    select r.skill_id, r.skill_version, r.started_at
    from aximo_private.started_executions as r
    where r.customer_id = k.customer_id and r.deployment_id = k.deployment_id
    order by r.started_at desc
    limit 1
) as x on true
-- For a moment in the past: only deployments that had an event by then.
where s.event_id is not null or v.skill_id is not null or x.started_at is not null
    or exists (select from aximo_private.history as e where e.customer_id = k.customer_id and e.deployment_id = k.deployment_id);
comment on view aximo.deployments is 'Every deployment that events speak of, with its current status and version. Key: deployment_id.';
comment on column aximo.deployments.customer_id is 'Whose deployment it is.';
comment on column aximo.deployments.deployment_id is 'The deployment.';
comment on column aximo.deployments.skill_id is 'The skill it runs: as last declared, else as last executed.';
comment on column aximo.deployments.skill_version is 'The version it runs: as last declared, else as last executed.';
comment on column aximo.deployments.status is 'pending_configuration, configured, active, suspended or terminated; undeclared if no event of its life says.';
comment on column aximo.deployments.status_since is 'Since when, by the event''s timestamp.';
comment on column aximo.deployments.status_event_id is 'The event that says so.';
comment on column aximo.deployments.last_execution_at is 'When an execution was last triggered.';

-- Made by tools/alike.py, which makes others like it; change that.
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
comment on function aximo.deployments_as_of(timestamptz, timestamptz) is
'aximo.deployments as it was at a moment, by timestamp; with known_at, as far as it had been recorded by then.';

-- The columns of HelixMCP's own schema, in its order, and then the ledger's own. The gateway's other tables are not here, so project_id,
-- params_hash and log_artifact_id refer to nothing.
create table helix.runs (
    run_id text collate "C" not null,
    project_id text collate "C" not null,
    tool_name text collate "C" not null,
    contract_version text collate "C" not null,
    tool_version text collate "C",
    params_hash text collate "C" not null,
    policy_hash text collate "C" not null,
    status text collate "C" not null,
    requested_by text collate "C",
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    policy_snapshot jsonb,
    environment jsonb,
    -- squawk-ignore prefer-bigint-over-int
    exit_code integer,
    error text collate "C",
    result_json jsonb,
    log_artifact_id text collate "C",
    customer_id text collate "C" not null default aximo.current_customer(),
    execution_id text collate "C",
    recorded_at timestamptz not null default clock_timestamp(),
    recorded_by text collate "C" not null default session_user,
    made_for_events boolean not null default false,
    constraint runs_pkey primary key (run_id),
    constraint run_of_customer unique (customer_id, run_id),
    constraint runs_status_check check (status in ('queued', 'running', 'succeeded', 'failed', 'blocked')),
    constraint customer_id_well_formed check (
        char_length(customer_id) <= 255 and btrim(customer_id) <> '' and customer_id <> '*'
    ),
    constraint run_id_length check (char_length(run_id) between 1 and 255),
    constraint project_id_length check (char_length(project_id) <= 255),
    constraint tool_name_length check (char_length(tool_name) between 1 and 255),
    constraint execution_id_length check (char_length(execution_id) between 1 and 255),
    constraint run_moment check (
        created_at >= '1970-01-01 00:00:00+00' and created_at < '9999-01-01 00:00:00+00'
        and started_at >= '1970-01-01 00:00:00+00' and started_at < '9999-01-01 00:00:00+00'
        and finished_at >= '1970-01-01 00:00:00+00' and finished_at < '9999-01-01 00:00:00+00'
    ),
    -- Checked before the size, as PostgreSQL checks constraints in the order of their names: the text of such numbers would not fit into
    -- memory.
    constraint run_numbers check (
        not aximo_private.has_extreme_number(policy_snapshot)
        and not aximo_private.has_extreme_number(environment)
        and not aximo_private.has_extreme_number(result_json)
    ),
    -- The columns that have no limit of their own, counted as a line of an export has them.
    constraint run_size check (
        octet_length(
            to_json(
                concat(contract_version, tool_version, params_hash, policy_hash, requested_by, error, log_artifact_id)
            )::text
        )
        + coalesce(octet_length(policy_snapshot::text), 0) + coalesce(octet_length(environment::text), 0)
        + coalesce(octet_length(result_json::text), 0) <= 8388608
    )
);
-- They have the names that the gateway's own schema gives them, so that the gateway's CREATE INDEX IF NOT EXISTS finds them. An index that
-- does not lead with the customer would show others in EXPLAIN ANALYZE.
create index runs_project_created_idx on helix.runs (customer_id, project_id, created_at desc);
create index runs_tool_idx on helix.runs (customer_id, tool_name, created_at);
create index runs_by_time on helix.runs (customer_id, created_at, run_id);
create index runs_by_execution on helix.runs (customer_id, execution_id) where execution_id is not null;

select aximo_private.isolate_by_customer(
    'helix.runs', 'readers_read_own_runs', 'aximo_reader', 'A login sees the runs of the session''s customer; so do views.'
);
create policy writers_add_own_runs on helix.runs
for insert to aximo_writer with check (customer_id = (select aximo.current_customer()) and recorded_by = session_user);
create policy writers_move_own_runs on helix.runs
for update to aximo_writer
using (customer_id = (select aximo.current_customer()) and coalesce(customer_id = (select aximo.current_customer()), false))
with check (customer_id = (select aximo.current_customer()));
-- No login is granted DELETE: with it a login could lock the table against all others.
create policy owner_deletes_own_runs on helix.runs
for delete to aximo_owner
using (customer_id = (select aximo.current_customer()) and coalesce(customer_id = (select aximo.current_customer()), false));
-- Logins read this table themselves. The login that installed is a member of the roles below, so a policy asks which role is acting.
create policy recorder_keeps_runs on helix.runs
for all to aximo_recorder
using ((select current_user) = 'aximo_recorder') with check ((select current_user) = 'aximo_recorder');
create policy sequencer_reads_runs on helix.runs for select to aximo_sequencer using ((select current_user) = 'aximo_sequencer');
comment on table helix.runs is 'The tool runs of the session''s customer, as HelixMCP writes them. Their state changes; what they are does not. Key: run_id.';
comment on column helix.runs.run_id is 'The run. Unique among all customers, as in the gateway''s schema.';
comment on column helix.runs.project_id is 'The project, a name of the gateway''s.';
comment on column helix.runs.tool_name is 'The tool; "unknown" if the run was made for imported events.';
comment on column helix.runs.contract_version is 'The version of the tool''s contract.';
comment on column helix.runs.tool_version is 'The version of the tool.';
comment on column helix.runs.params_hash is 'The hash of the parameters.';
comment on column helix.runs.policy_hash is 'The hash of the policy it ran under.';
comment on column helix.runs.status is 'queued, running, succeeded, failed or blocked; the last three are final.';
comment on column helix.runs.requested_by is 'Who asked for it, as the gateway claims.';
comment on column helix.runs.created_at is 'When the row was made.';
comment on column helix.runs.started_at is 'When it started, by the gateway''s clock.';
comment on column helix.runs.finished_at is 'When it ended, by the gateway''s clock.';
comment on column helix.runs.policy_snapshot is 'The policy.';
comment on column helix.runs.environment is 'Where it ran.';
comment on column helix.runs.exit_code is 'The exit code, if a process ran.';
comment on column helix.runs.error is 'The error, if any.';
comment on column helix.runs.result_json is 'The result, if any.';
comment on column helix.runs.log_artifact_id is 'The gateway''s artifact with the run''s log.';
comment on column helix.runs.customer_id is 'Whose run it is: always the session''s customer.';
comment on column helix.runs.execution_id is 'The execution it served, if it is known: said once.';
comment on column helix.runs.recorded_at is 'When it was written, by the database''s clock; no client sets it.';
comment on column helix.runs.recorded_by is 'The login that wrote it; no client sets it.';
comment on column helix.runs.made_for_events is 'Whether it was made by an import of events whose run was not there; its state then follows from them.';
comment on policy writers_add_own_runs on helix.runs is 'A run is of the session''s customer.';
comment on policy writers_move_own_runs on helix.runs is 'The state of one''s own runs changes.';
comment on policy owner_deletes_own_runs on helix.runs is 'A run without events may be deleted, by a DBA.';
comment on policy recorder_keeps_runs on helix.runs is 'The functions and guards, which name the customer in every look-up.';
comment on policy sequencer_reads_runs on helix.runs is 'Metrics are counted for all customers at a time.';
comment on index helix.runs_project_created_idx is 'A project''s runs.';
comment on index helix.runs_tool_idx is 'A tool''s runs.';
comment on index helix.runs_by_time is 'Newest first, and paging.';
comment on index helix.runs_by_execution is 'The runs of an execution, for its trace.';

-- Says which customer each run_id belongs to. A run_id is unique among all customers, and INSERT ... ON CONFLICT DO UPDATE ... WHERE locks
-- and may read the existing row before policies are checked. A trigger looks here before that; the row that it adds makes this safe for two
-- at once.
create table aximo_private.run_ids (
    run_id text collate "C" not null,
    customer_id text collate "C" not null,
    constraint run_ids_pkey primary key (run_id),
    constraint run_id_length check (char_length(run_id) <= 255)
);
select aximo_private.isolate_by_customer('aximo_private.run_ids');
create policy recorder_reads_run_ids on aximo_private.run_ids for select to aximo_recorder using (true);
create policy recorder_adds_run_ids on aximo_private.run_ids for insert to aximo_recorder with check (true);
select aximo_private.make_append_only('aximo_private.run_ids');
comment on table aximo_private.run_ids is 'Which customer each run_id belongs to: append-only. The row of a deleted run stays.';
comment on column aximo_private.run_ids.run_id is 'The run.';
comment on column aximo_private.run_ids.customer_id is 'Whose it is, or was.';
comment on policy recorder_reads_run_ids on aximo_private.run_ids is 'The guard of runs.';
comment on policy recorder_adds_run_ids on aximo_private.run_ids is 'The guard of runs, for a customer that the access map gave.';

create sequence helix.run_events_event_id_seq as bigint;
comment on sequence helix.run_events_event_id_seq is 'Order of arrival, of all customers, with gaps: the frozen contract has one for all.';

-- Runs as the recorder: a writer, who inserts by himself, can neither draw numbers without an event nor look how far the sequence is.
create function aximo_private.next_run_event_id() returns bigint
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    -- The transaction gets its id before it draws a number, so numbering can find whoever holds a number by that id.
    perform pg_current_xact_id();
    return nextval('helix.run_events_event_id_seq');
end;
$$;
alter function aximo_private.next_run_event_id() owner to aximo_recorder;
comment on function aximo_private.next_run_event_id() is 'The event_id of the next run event. Only as the column''s default: the schema it is in stays closed.';

-- The columns of HelixMCP Events v1, in its order, and then the ledger's own.
create table helix.run_events (
    event_id bigint not null default aximo_private.next_run_event_id(),
    run_id text collate "C" not null,
    ts timestamptz not null default now(),
    kind text collate "C" not null,
    message text collate "C",
    data jsonb,
    extra jsonb,
    customer_id text collate "C" not null default aximo.current_customer(),
    recorded_at timestamptz not null default clock_timestamp(),
    recorded_by text collate "C" not null default session_user,
    constraint run_events_pkey primary key (event_id),
    -- The key has the customer: nobody can add an event to another customer's run, which looks as if it did not exist.
    constraint run_events_run_id_fkey foreign key (customer_id, run_id) references helix.runs (customer_id, run_id)
    on delete restrict on update restrict,
    constraint customer_id_well_formed check (
        char_length(customer_id) <= 255 and btrim(customer_id) <> '' and customer_id <> '*'
    ),
    constraint kind_present check (kind <> ''),
    constraint data_is_object check (jsonb_typeof(data) = 'object'),
    constraint extra_is_object check (jsonb_typeof(extra) = 'object'),
    -- Checked before the size, as PostgreSQL checks constraints in the order of their names: the text of such numbers would not fit into
    -- memory.
    constraint run_event_numbers check (
        (pg_column_size(data || '{}') <= 2048 or not aximo_private.has_extreme_number(data))
        and (pg_column_size(extra || '{}') <= 2048 or not aximo_private.has_extreme_number(extra))
    ),
    constraint run_event_size check (
        octet_length(to_json(kind)::text) + coalesce(octet_length(to_json(message)::text), 0)
        + coalesce(octet_length(data::text), 0) + coalesce(octet_length(extra::text), 0) <= 8388608
    ),
    constraint run_event_moment check (ts >= '1970-01-01 00:00:00+00' and ts < '9999-01-01 00:00:00+00')
);
alter sequence helix.run_events_event_id_seq owned by helix.run_events.event_id;
create index run_events_by_run on helix.run_events (customer_id, run_id, event_id);
-- It has the name that the gateway's own schema gives it, so that the gateway's CREATE INDEX IF NOT EXISTS finds it. An index that does not
-- lead with the customer would show others in EXPLAIN ANALYZE.
create index run_events_run_ts_idx on helix.run_events (customer_id, run_id, ts);

select aximo_private.isolate_by_customer(
    'helix.run_events', 'readers_read_own_run_events', 'aximo_reader', 'A login sees the events of the session''s customer; so do views.'
);
create policy writers_add_own_run_events on helix.run_events
for insert to aximo_writer with check (customer_id = (select aximo.current_customer()) and recorded_by = session_user);
-- Logins read this table themselves. The login that installed is a member of the roles below, so a policy asks which role is acting.
create policy recorder_adds_run_events on helix.run_events
for insert to aximo_recorder with check ((select current_user) = 'aximo_recorder');
create policy recorder_reads_run_events on helix.run_events for select to aximo_recorder using ((select current_user) = 'aximo_recorder');
create policy sequencer_reads_run_events on helix.run_events
for select to aximo_sequencer using ((select current_user) = 'aximo_sequencer');

select aximo_private.make_append_only('helix.run_events');
comment on table helix.run_events is 'The events of the tool runs of the session''s customer (HelixMCP Events v1): append-only. Read them in the order of event_id.';
comment on column helix.run_events.event_id is 'Order of arrival, with gaps. One sequence for all customers, as the frozen contract has it.';
comment on column helix.run_events.run_id is 'The run.';
comment on column helix.run_events.ts is 'When it was written, by the database''s clock; of an imported event, what the line says.';
comment on column helix.run_events.kind is 'What happened: one of helix.event_kinds, or any other.';
comment on column helix.run_events.message is 'For people; not to be parsed.';
comment on column helix.run_events.data is 'A JSON object, or null.';
comment on column helix.run_events.extra is 'What an imported line had beside the contract''s fields.';
comment on column helix.run_events.customer_id is 'Whose event it is: always the session''s customer.';
comment on column helix.run_events.recorded_at is 'When it was written, by the database''s clock; no client sets it.';
comment on column helix.run_events.recorded_by is 'The login that wrote it; no client sets it.';
comment on policy writers_add_own_run_events on helix.run_events is 'An event is of the session''s customer.';
comment on policy recorder_adds_run_events on helix.run_events is 'Imports and observations, for a customer that the access map gave them.';
comment on policy recorder_reads_run_events on helix.run_events is 'The guard of runs, and imports, which name the customer in every look-up.';
comment on policy sequencer_reads_run_events on helix.run_events is 'Events are numbered for all customers at a time.';
comment on index helix.run_events_by_run is 'A run''s events, in order.';
comment on index helix.run_events_run_ts_idx is 'An event''s copy, when it is imported.';

-- The canonical line of a run event, as aximo_private.event_line is that of an event: first the contract's fields in its order, then ours.
-- It never changes.
create function aximo_private.run_event_line(event helix.run_events) returns text
language sql stable security invoker parallel safe
return concat(
    '{',
    concat_ws(
        ',',
        '"run_id":' || to_json((event).run_id),
        '"event_id":' || (event).event_id,
        '"created_at":"' || to_char((event).ts at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"',
        '"kind":' || to_json((event).kind),
        '"message":' || coalesce(to_json((event).message)::text, 'null'),
        '"data":' || coalesce((event).data::text, 'null'),
        '"extra":' || (event).extra::text,
        '"customer_id":' || to_json((event).customer_id),
        '"recorded_at":"' || to_char((event).recorded_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"',
        '"recorded_by":' || to_json((event).recorded_by)
    ),
    '}'
);
comment on function aximo_private.run_event_line(helix.run_events) is 'A run event as its canonical line of JSON, without a line feed: run_id, event_id, created_at, kind, message and data as Events v1 exports them, extra if there is any, and who recorded it.';

-- Which run observed which. Such a row also keeps the transaction that observes from writing to the run that it observes.
create table aximo_private.observations (
    observed_in xid8 not null default pg_current_xact_id(),
    observed_at timestamptz not null default now(),
    customer_id text collate "C" not null,
    run_id text collate "C" not null,
    target_run_id text collate "C" not null,
    observed_by text collate "C" not null default session_user,
    constraint observations_pkey primary key (customer_id, run_id),
    constraint run_id_length check (char_length(run_id) <= 255),
    constraint target_run_id_length check (char_length(target_run_id) <= 255)
);
create index observations_by_target on aximo_private.observations (customer_id, target_run_id, observed_in);
select aximo_private.isolate_by_customer('aximo_private.observations', 'owner_reads_own_observations');
create policy recorder_adds_observations on aximo_private.observations for insert to aximo_recorder with check (true);
create policy recorder_reads_observations on aximo_private.observations for select to aximo_recorder using (true);
select aximo_private.make_append_only('aximo_private.observations');
comment on table aximo_private.observations is 'Which run observed which: append-only. Read it through helix.observations.';
comment on column aximo_private.observations.observed_in is 'The transaction; with its time, as a restored dump has other transactions by the same number.';
comment on column aximo_private.observations.observed_at is 'When that transaction began.';
comment on column aximo_private.observations.customer_id is 'Whose runs they are.';
comment on policy recorder_adds_observations on aximo_private.observations is 'helix.observe_run, for a customer that the access map gave it.';
comment on policy recorder_reads_observations on aximo_private.observations is 'The guards of runs and their events.';
comment on index aximo_private.observations_by_target is 'Whether a transaction observed a run.';

create view helix.observations with (security_barrier = true) as
select
    customer_id, run_id, target_run_id, observed_at, observed_by
from only aximo_private.observations; -- noqa: PRS
comment on view helix.observations is 'Which run of the session''s customer observed which: by helix.observe_run, or as the gateway does (*_job_get). Key: run_id.';
comment on column helix.observations.customer_id is 'Whose runs they are: always the session''s customer.';
comment on column helix.observations.run_id is 'The observation, a run of its own.';
comment on column helix.observations.target_run_id is 'The run that was looked at.';
comment on column helix.observations.observed_at is 'When, by the database''s clock.';
comment on column helix.observations.observed_by is 'The login that looked.';
select aximo_private.take_comments('helix.observations', 'aximo_private.observations');

-- Nothing switches this off: a row says that a run is being observed, and only rolling the observation back removes it.
create function aximo_private.refuse_observed(run_id text) returns void
language plpgsql stable security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using
        errcode = 'ZXRUN',
        message = 'this transaction observed the run, so it can''t write to it',
        detail = format('run_id %L', left(refuse_observed.run_id, 60)),
        hint = 'End this transaction, and write to the run in the next one.',
        constraint = 'observed_is_read_only';
end;
$$;
alter function aximo_private.refuse_observed(text) owner to aximo_recorder;
comment on function aximo_private.refuse_observed(text) is 'Raises ZXRUN: this transaction observed that run.';

-- Refuses a run with the ledger's own code, before a constraint or policy of the table refuses it with PostgreSQL's.
create function aximo_private.check_run() returns trigger
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set row_security = on
as $$
declare
    rule text;
begin
    if new.customer_id is null then
        raise exception using
            errcode = 'ZXCUS',
            message = 'this session may not write for that customer',
            detail = format('login %L names no customer', session_user),
            hint = 'Name the customer with SET LOCAL aximo.customer_id, or bind the login to one with aximo.grant_customer.',
            schema = tg_table_schema,
            table = tg_table_name,
            constraint = 'customer_granted';
    end if;
    rule := case
        when new.customer_id = '*' then 'customer_id_not_all'
        when char_length(new.customer_id) > 255 or btrim(new.customer_id) = '' then 'customer_id_well_formed'
        when (char_length(new.run_id) between 1 and 255) is not true then 'run_id_length'
        when char_length(new.project_id) > 255 then 'project_id_length'
        when (char_length(new.tool_name) between 1 and 255) is not true then 'tool_name_length'
        when (new.status in ('queued', 'running', 'succeeded', 'failed', 'blocked')) is not true then 'runs_status_check'
        when (char_length(new.execution_id) between 1 and 255) is false then 'execution_id_length'
        when (
            greatest(new.created_at, new.started_at, new.finished_at) < '9999-01-01 00:00:00+00'
            and least(new.created_at, new.started_at, new.finished_at) >= '1970-01-01 00:00:00+00'
        ) is false then 'run_moment'
        -- Checked before the text is made.
        when aximo_private.has_extreme_number(new.policy_snapshot) or aximo_private.has_extreme_number(new.environment)
            or aximo_private.has_extreme_number(new.result_json) then 'run_numbers'
        when octet_length(
            to_json(
                concat(
                    new.contract_version, new.tool_version, new.params_hash, new.policy_hash, new.requested_by, new.error,
                    new.log_artifact_id
                )
            )::text
        )
        + coalesce(octet_length(new.policy_snapshot::text), 0) + coalesce(octet_length(new.environment::text), 0)
        + coalesce(octet_length(new.result_json::text), 0) > 8388608 then 'run_size'
    end;
    if rule is not null then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed run',
            detail = format('run_id %L, status %L', left(new.run_id, 60), left(new.status, 60)),
            hint = case rule
                when 'customer_id_not_all' then '* stands for all customers in a grant. Name one customer.'
                when 'customer_id_well_formed' then 'A customer_id has 1 to 255 characters and is not blank.'
                when 'runs_status_check' then 'A status is queued, running, succeeded, failed or blocked.'
                when 'run_moment' then 'created_at, started_at and finished_at are from 1970 on and before the year 9999.'
                when 'run_numbers' then 'policy_snapshot, environment and result_json have no number beyond 1e400 or closer to zero than 1e-400. Send such a number as text.'
                when 'run_size' then 'A run has at most 8 MiB as JSON. Keep the rest as an artifact.'
                when 'project_id_length' then 'A project_id has at most 255 characters.'
                else format('Give %s 1 to 255 characters.', replace(rule, '_length', ''))
            end,
            schema = tg_table_schema,
            table = tg_table_name,
            constraint = rule;
    end if;
    if tg_op = 'INSERT' then
        insert into aximo_private.run_ids (run_id, customer_id)
        values (new.run_id, new.customer_id)
        on conflict do nothing;
        if not found and not exists (
            select from only aximo_private.run_ids as i
            where i.run_id = new.run_id and i.customer_id = new.customer_id
        ) then
            raise exception using
                errcode = 'ZXDUP',
                message = 'this run_id was used for another run',
                detail = format('run_id %L', left(new.run_id, 60)),
                hint = 'A run_id names one run, among all customers. Give each gateway a runtime.instance_id of its own.',
                schema = tg_table_schema,
                table = tg_table_name,
                constraint = 'run_id_names_one_run';
        end if;
    end if;
    -- The gateway observes a run by a run of its own: the tool's name ends in _job_get, and its result names the run.
    if right(new.tool_name, 8) = '_job_get' and jsonb_typeof(new.result_json -> 'target_run_id') = 'string' then
        insert into aximo_private.observations (customer_id, run_id, target_run_id)
        select r.customer_id, new.run_id, r.run_id
        from only helix.runs as r
        where r.customer_id = new.customer_id and r.run_id = new.result_json ->> 'target_run_id'
            -- Nothing is inserted for a run that exists already.
            and (
                tg_op = 'UPDATE'
                or not exists (
                    select from only helix.runs as s
                    where s.customer_id = new.customer_id and s.run_id = new.run_id
                )
            )
        on conflict do nothing;
    end if;
    return new;
end;
$$;
alter function aximo_private.check_run() owner to aximo_recorder;
comment on function aximo_private.check_run() is 'Refuses a run without a customer (ZXCUS), with a field that it can''t have (ZXARG), or with the run_id of another customer''s (ZXDUP). Notes which run a gateway''s own observation looked at.';

create trigger check_run before insert or update on helix.runs
for each row execute function aximo_private.check_run();
comment on trigger check_run on helix.runs is 'Refuses a malformed run, by code and rule.';

-- The state of a run changes; what the run is does not, and a run that has events is not deleted. The published gateway writes started_at,
-- finished_at, error and log_artifact_id of a finished run again: when a failed run is tried again, and when two gateways ran the same at
-- once.
create function aximo_private.keep_run() returns trigger
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set row_security = on
as $$
declare
    rule text;
begin
    if
        exists (
            select
            from only aximo_private.observations as o
            where o.customer_id = old.customer_id and o.target_run_id = old.run_id
                and o.observed_in = pg_current_xact_id_if_assigned() and o.observed_at = now()
        )
    then
        perform aximo_private.refuse_observed(old.run_id);
    end if;
    if tg_op = 'DELETE' then
        perform from only helix.run_events as e
        where e.customer_id = old.customer_id and e.run_id = old.run_id
        limit 1;
        if not found then
            return old;
        end if;
        rule := 'run_has_events';
    elsif
        (
            new.run_id, new.customer_id, new.project_id, new.tool_name, new.contract_version, new.tool_version, new.params_hash,
            new.policy_hash, new.requested_by, new.created_at, new.policy_snapshot, new.environment, new.recorded_at, new.recorded_by,
            new.made_for_events
        ) is distinct from (
            old.run_id, old.customer_id, old.project_id, old.tool_name, old.contract_version, old.tool_version, old.params_hash,
            old.policy_hash, old.requested_by, old.created_at, old.policy_snapshot, old.environment, old.recorded_at, old.recorded_by,
            old.made_for_events
        )
    then
        rule := 'run_stays_itself';
    elsif new.execution_id is distinct from old.execution_id and old.execution_id is not null then
        rule := 'run_serves_one_execution';
    elsif
        old.status in ('succeeded', 'failed', 'blocked') and new.status = old.status
        and (
            new.exit_code is distinct from old.exit_code and (old.exit_code is not null or old.status = 'succeeded')
            or new.finished_at is null and old.finished_at is not null
            or new.started_at is null and old.started_at is not null
            or new.error is distinct from old.error and (old.status = 'succeeded' or new.error is null)
            -- The result of a success is written once, or twice the same by two gateways at once. A failure may take back the result of its
            -- submission.
            or new.result_json is distinct from old.result_json and (new.result_json is null) = (old.status = 'succeeded')
        )
    then
        rule := 'finished_run_stays';
    end if;
    if rule is not null then
        raise exception using
            errcode = 'ZXIMM',
            message = 'this change of a run is refused',
            detail = format('%s of run_id %L, which is %s', lower(tg_op), left(old.run_id, 60), old.status),
            hint = case rule
                when 'run_has_events' then 'A run that has events stays. Leave it; a run without events can be deleted.'
                when 'run_serves_one_execution' then 'A run names the execution it served once. Leave execution_id as it is.'
                when 'finished_run_stays' then 'The run has ended: its status, exit_code, moments, error and result_json stay. Start a new run.'
                else 'Of a run only status, started_at, finished_at, exit_code, error, result_json and log_artifact_id may change. Leave the other columns out.'
            end,
            schema = tg_table_schema,
            table = tg_table_name,
            constraint = rule;
    end if;
    -- The gateway reads the status before it writes, but of two gateways at once only the database can tell which came first.
    if new.status <> old.status and (old.status in ('succeeded', 'failed', 'blocked') or new.status = 'queued') then
        raise exception using
            errcode = 'ZXRUN',
            message = 'a run can''t go back in its life',
            detail = format('run_id %L is %s and can''t become %s', left(old.run_id, 60), old.status, left(new.status, 60)),
            hint = 'A run goes from queued to running to succeeded, failed or blocked, and then stays. Nothing is to be done if another worker ended it.',
            schema = tg_table_schema,
            table = tg_table_name,
            constraint = 'run_goes_forward';
    end if;
    return new;
end;
$$;
alter function aximo_private.keep_run() owner to aximo_recorder;
comment on function aximo_private.keep_run() is 'Refuses to change what a run is, to change how it ended, or to delete one that has events (ZXIMM), to go back in its life, or to write to it while observing it (ZXRUN).';

create trigger keep_run before update or delete on helix.runs
for each row execute function aximo_private.keep_run();
alter table helix.runs enable always trigger keep_run;
comment on trigger keep_run on helix.runs is 'Only the state of a run changes, and forward; one that has events stays.';
create trigger no_truncate before truncate on helix.runs
for each statement execute function aximo_private.refuse_change();
alter table helix.runs enable always trigger no_truncate;
comment on trigger no_truncate on helix.runs is 'Refuses TRUNCATE (ZXIMM).';

-- Refuses a run event with the ledger's own code, before a constraint or policy of the table refuses it with PostgreSQL's.
create function aximo_private.check_run_event() returns trigger
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set row_security = on
as $$
declare
    rule text;
    is_observed boolean;
begin
    if new.customer_id is null then
        raise exception using
            errcode = 'ZXCUS',
            message = 'this session may not write for that customer',
            detail = format('login %L names no customer', session_user),
            hint = 'Name the customer with SET LOCAL aximo.customer_id, or bind the login to one with aximo.grant_customer.',
            schema = tg_table_schema,
            table = tg_table_name,
            constraint = 'customer_granted';
    end if;
    -- A client that writes JSON null means that there are no data.
    new.data := nullif(new.data, 'null');
    rule := case
        when new.customer_id = '*' then 'customer_id_not_all'
        when char_length(new.customer_id) > 255 or btrim(new.customer_id) = '' then 'customer_id_well_formed'
        when new.kind is null or new.kind = '' then 'kind_present'
        when jsonb_typeof(new.data) <> 'object' then 'data_is_object'
        when jsonb_typeof(new.extra) <> 'object' then 'extra_is_object'
        -- The uncompressed sizes: || '{}' makes an uncompressed copy.
        when pg_column_size(new.data || '{}') > 2048 and aximo_private.has_extreme_number(new.data)
            or pg_column_size(new.extra || '{}') > 2048 and aximo_private.has_extreme_number(new.extra) then 'run_event_numbers'
        -- The size in the event's line, where a control character takes six bytes.
        when octet_length(to_json(new.kind)::text) + coalesce(octet_length(to_json(new.message)::text), 0)
            + coalesce(octet_length(new.data::text), 0) + coalesce(octet_length(new.extra::text), 0) > 8388608 then 'run_event_size'
        when (new.ts >= '1970-01-01 00:00:00+00' and new.ts < '9999-01-01 00:00:00+00') is not true then 'run_event_moment'
    end;
    if rule is not null then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed run event',
            detail = format('run_id %L, kind %L', left(new.run_id, 60), left(new.kind, 60)),
            hint = case rule
                when 'customer_id_not_all' then '* stands for all customers in a grant. Name one customer.'
                when 'customer_id_well_formed' then 'A customer_id has 1 to 255 characters and is not blank.'
                when 'kind_present' then 'Give the event a kind, such as run.started.'
                when 'data_is_object' then 'Give data as a JSON object, or null.'
                when 'extra_is_object' then 'Give extra as a JSON object, or null.'
                when 'run_event_numbers' then 'data and extra have no number beyond 1e400 or closer to zero than 1e-400. Send such a number as text.'
                when 'run_event_size' then 'A run event has at most 8 MiB as JSON. Keep the rest as an artifact.'
                else 'ts is a moment from 1970 on and before the year 9999.'
            end,
            schema = tg_table_schema,
            table = tg_table_name,
            constraint = rule;
    end if;
    select
        exists (
            select
            from only aximo_private.observations as o
            where o.customer_id = r.customer_id and o.target_run_id = r.run_id
                and o.observed_in = pg_current_xact_id_if_assigned() and o.observed_at = now()
        ) into is_observed
    from only helix.runs as r
    where r.customer_id = new.customer_id and r.run_id = new.run_id;
    if not found then
        raise exception using
            errcode = 'ZXRUN',
            message = 'this customer has no such run',
            detail = format('run_id %L', left(new.run_id, 60)),
            hint = 'Insert the run into helix.runs before its events. A run of another customer counts as none.',
            schema = tg_table_schema,
            table = tg_table_name,
            constraint = 'run_known';
    end if;
    if is_observed then
        perform aximo_private.refuse_observed(new.run_id);
    end if;
    return new;
end;
$$;
alter function aximo_private.check_run_event() owner to aximo_recorder;
comment on function aximo_private.check_run_event() is 'Refuses a run event without a customer (ZXCUS), without a run or to one that is being observed (ZXRUN), or with a field that it can''t have (ZXARG).';

create trigger check_run_event before insert on helix.run_events
for each row execute function aximo_private.check_run_event();
comment on trigger check_run_event on helix.run_events is 'Refuses a malformed run event, by code and rule.';

create table helix.event_kinds (
    kind text collate "C" not null,
    version bigint not null default 1,
    family text collate "C" not null,
    state text collate "C",
    origin text not null,
    meaning text not null,
    constraint event_kinds_pkey primary key (kind, version),
    constraint kind_version_positive check (version > 0),
    constraint family_known check (family in ('run', 'exec', 'slurm', 'collect', 'simulate', 'studio')),
    constraint state_known check (state in ('started', 'queued', 'running', 'succeeded', 'failed', 'blocked'))
);

insert into helix.event_kinds (kind, family, state, origin, meaning) values
('run.started', 'run', 'started', 'HelixMCP Events v1 (v0.9.0)', 'The run began. data: now, params_hash, policy_hash.'),
('run.queued', 'run', 'queued', 'HelixMCP Events v1 (v0.9.0)', 'It waits to be run.'),
('run.running', 'run', 'running', 'HelixMCP Events v1 (v0.9.0)', 'It runs.'),
('run.succeeded', 'run', 'succeeded', 'HelixMCP Events v1 (v0.9.0)', 'It ended well.'),
('run.failed', 'run', 'failed', 'HelixMCP Events v1 (v0.9.0)', 'It ended with an error. data: error.'),
('run.blocked', 'run', 'blocked', 'HelixMCP Events v1 (v0.9.0)', 'A policy forbade it. data: error.'),
('exec.plan', 'exec', null, 'HelixMCP Events v1 (v0.9.0)', 'What is going to be executed, and where.'),
('exec.result', 'exec', null, 'HelixMCP Events v1 (v0.9.0)', 'What came of it.'),
('slurm.submit.plan', 'slurm', null, 'HelixMCP Events v1 (v0.9.0)', 'What is going to be submitted to Slurm.'),
('slurm.submit.script_artifact', 'slurm', null, 'HelixMCP Events v1 (v0.9.0)', 'The batch script was kept as an artifact.'),
('slurm.submit.ok', 'slurm', null, 'HelixMCP Events v1 (v0.9.0)', 'Slurm took the job.'),
('slurm.collect.start', 'slurm', null, 'HelixMCP Events v1 (v0.9.0)', 'Another run began to collect the job''s outputs.'),
('slurm.collect.outputs_registered', 'slurm', null, 'HelixMCP Events v1 (v0.9.0)', 'The outputs were kept as artifacts.'),
('slurm.collect.done', 'slurm', 'succeeded', 'HelixMCP Events v1 (v0.9.0)', 'The job''s outputs were collected, and it had ended well.'),
('slurm.collect.failed', 'slurm', 'failed', 'HelixMCP Events v1 (v0.9.0)', 'The job''s outputs were collected, and it had failed.'),
('simulate.qc', 'simulate', null, 'HelixMCP Events v1 (v0.9.0)', 'Quality control was simulated.'),
('simulate.align', 'simulate', null, 'HelixMCP Events v1 (v0.9.0)', 'An alignment was simulated.'),
-- Kinds that only the published gateway writes.
('exec.step', 'exec', null, 'HelixMCP gateway', 'A step of what is executed.'),
('collect.plan', 'collect', null, 'HelixMCP gateway', 'The outputs of another run are going to be collected.'),
('studio.command', 'studio', null, 'HelixMCP gateway', 'A command was sent to a studio session.');

select aximo_private.make_append_only('helix.event_kinds');
comment on table helix.event_kinds is 'The kinds of run events that HelixMCP Events v1 lists and its gateway writes; others are taken too. The same for every customer. Grows by migration; a kind whose meaning changed would be listed again, with another version.';
comment on column helix.event_kinds.kind is 'The kind, as events carry it.';
comment on column helix.event_kinds.version is 'The version of its meaning and of the shape of its data.';
comment on column helix.event_kinds.family is 'What it is about: run, exec, slurm, collect, simulate or studio. Also said by its prefix.';
comment on column helix.event_kinds.state is 'What it says about the run, for metrics: started, queued, running, succeeded, failed or blocked; null for nothing.';
comment on column helix.event_kinds.origin is 'The document that lists it, or the program that writes it.';
comment on column helix.event_kinds.meaning is 'What has happened when such an event is written.';

create view helix.kind_usage with (security_barrier = true) as
select
    coalesce(u.kind, k.kind) as kind, k.kind is not null as is_listed,
    coalesce(k.family, case when u.kind ~ '^(run|exec|slurm|collect|simulate|studio)[.]' then split_part(u.kind, '.', 1) end) as family,
    coalesce(u.events, 0) as events, coalesce(u.runs, 0) as runs, u.first_at, u.last_at
from (
    select
        kind, count(*) as events, count(distinct run_id) as runs, min(ts) as first_at, max(ts) as last_at
    from only helix.run_events -- noqa: PRS
    group by kind
) as u
full join (
    select distinct on (v.kind)
        v.kind, v.family
    from helix.event_kinds as v
    order by v.kind asc, v.version desc
) as k on k.kind = u.kind;
comment on view helix.kind_usage is 'The kinds of run events that the session''s customer uses, and those that are listed and not used. Reads all its run events. Key: kind.';
comment on column helix.kind_usage.kind is 'The kind.';
comment on column helix.kind_usage.is_listed is 'Whether helix.event_kinds has it.';
comment on column helix.kind_usage.family is 'Its family: of a kind that is not listed by its prefix, null if that is none of the six.';
comment on column helix.kind_usage.events is 'How many events.';
comment on column helix.kind_usage.runs is 'Of how many runs.';
comment on column helix.kind_usage.first_at is 'When it was first seen, by ts.';
comment on column helix.kind_usage.last_at is 'When it was last seen, by ts.';

-- An observation is a run of its own that names the run it observes (HelixMCP Events v1, mutation rules: *_job_get).
create function helix.observe_run(run_id text, tool_name text default 'run_get', requested_by text default null) returns text
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo_private.writing_customer(null);
    observer constant text := 'run_' || upper(replace(gen_random_uuid()::text, '-', ''));
    params constant jsonb := jsonb_build_object('target_run_id', observe_run.run_id);
    params_hash constant text := 'sha256:' || encode(sha256(convert_to(params::text, 'UTF8')), 'hex');
    target record;
begin
    select r.project_id, r.policy_hash into target
    from only helix.runs as r
    where r.customer_id = customer and r.run_id = observe_run.run_id;
    if not found then
        raise exception using
            errcode = 'ZXRUN',
            message = 'this customer has no such run',
            detail = format('run_id %L', left(observe_run.run_id, 60)),
            hint = 'Look at the run_id and at the session''s customer. A run of another customer counts as none.',
            constraint = 'run_known';
    end if;
    insert into aximo_private.observations (customer_id, run_id, target_run_id)
    values (customer, observer, observe_run.run_id);
    insert into helix.runs (
        run_id, project_id, tool_name, contract_version, params_hash, policy_hash, status, requested_by, started_at, finished_at,
        result_json, customer_id
    )
    values (
        observer, target.project_id, observe_run.tool_name, 'v1', params_hash, target.policy_hash, 'succeeded', observe_run.requested_by,
        now(), now(), params, customer
    );
    insert into helix.run_events (run_id, kind, message, data, customer_id)
    values
    (
        observer, 'run.started', 'tool=' || observe_run.tool_name,
        params || jsonb_build_object(
            'now', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
            'params_hash', params_hash,
            'policy_hash', target.policy_hash
        ),
        customer
    ),
    (observer, 'run.succeeded', 'observed', params, customer);
    return observer;
end;
$$;
alter function helix.observe_run(text, text, text) owner to aximo_recorder;
comment on function helix.observe_run(text, text, text) is 'Makes a run, of that tool, that observes another run of the session''s customer, and returns its run_id. What is left of the transaction can read the target and not write to it. ZXRUN: no such run; ZXARG: no name of a tool; ZXCUS: no customer.';

create function helix.import_runs(lines jsonb, customer_id text default null)
returns table (line integer, run_id text, is_duplicate boolean)
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    customer constant text := aximo_private.writing_customer(import_runs.customer_id);
    fields constant text[] := array[
        'run_id', 'project_id', 'tool_name', 'contract_version', 'tool_version', 'params_hash', 'policy_hash', 'status', 'requested_by',
        'created_at', 'started_at', 'finished_at', 'policy_snapshot', 'environment', 'exit_code', 'error', 'result_json',
        'log_artifact_id', 'execution_id', 'made_for_events'
    ];
    entry record;
    stored record;
    wanted record;
    problem text;
begin
    if jsonb_typeof(lines) is distinct from 'array' then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed run',
            detail = format('lines is a JSON %s', coalesce(jsonb_typeof(lines), 'null')),
            hint = 'Give an array of objects, one a line.',
            constraint = 'batch_is_array';
    end if;
    for entry in
        select l.value, l.place::integer as place
        from jsonb_array_elements(lines) with ordinality as l (value, place)
        order by l.place
    loop
        begin
            if jsonb_typeof(entry.value) <> 'object' then
                raise data_exception using message = 'it is a JSON ' || jsonb_typeof(entry.value), constraint = 'event_is_object';
            end if;
            select string_agg(quote_literal(left(k.key, 60)), ', ' order by k.key) into problem
            from jsonb_object_keys(entry.value) as k (key)
            where k.key <> all(fields || array['customer_id', 'recorded_at', 'recorded_by']);
            if problem is not null then
                raise data_exception using message = 'a run has no field ' || left(problem, 500), constraint = 'field_known';
            end if;
            select string_agg(quote_literal(k.key), ', ' order by k.key) into problem
            from jsonb_each(entry.value) as k (key, value)
            where k.key = any(fields) and k.key not in ('policy_snapshot', 'environment', 'exit_code', 'result_json', 'made_for_events')
                and jsonb_typeof(k.value) not in ('string', 'null');
            if problem is not null then
                raise data_exception using message = 'not a string: ' || problem, constraint = 'field_is_string';
            end if;
            if entry.value ->> 'customer_id' <> customer then
                raise exception using
                    errcode = 'ZXCUS',
                    message = 'this session may not write for that customer',
                    detail = format(
                        'line %s of the import is of customer %L, the import of customer %L', entry.place, left(entry.value ->> 'customer_id', 60), customer
                    ),
                    hint = 'Import each customer''s lines by themselves.',
                    constraint = 'customer_granted';
            end if;
            select
                r.*, nullif(entry.value -> 'policy_snapshot', 'null') as snapshot,
                nullif(entry.value -> 'environment', 'null') as surroundings, nullif(entry.value -> 'result_json', 'null') as result
            into wanted
            from jsonb_to_record(entry.value) as r (
                run_id text, project_id text, tool_name text, contract_version text, tool_version text, params_hash text,
                policy_hash text, status text, requested_by text, created_at text, started_at text,
                finished_at text, exit_code integer, error text, log_artifact_id text, execution_id text, made_for_events boolean
            );
            insert into helix.runs (
                run_id, project_id, tool_name, contract_version, tool_version, params_hash, policy_hash, status, requested_by, created_at,
                started_at, finished_at, policy_snapshot, environment, exit_code, error, result_json, log_artifact_id, execution_id,
                customer_id, made_for_events
            )
            values (
                wanted.run_id, wanted.project_id, wanted.tool_name, wanted.contract_version, wanted.tool_version, wanted.params_hash,
                wanted.policy_hash, wanted.status, wanted.requested_by, coalesce(aximo_private.moment_of(wanted.created_at), now()),
                aximo_private.moment_of(wanted.started_at), aximo_private.moment_of(wanted.finished_at), wanted.snapshot, wanted.surroundings, wanted.exit_code, wanted.error, wanted.result,
                wanted.log_artifact_id, wanted.execution_id, customer, coalesce(wanted.made_for_events, false)
            )
            on conflict do nothing;
        exception
            when data_exception or integrity_constraint_violation then
                declare
                    rule text;
                begin
                    get stacked diagnostics rule = constraint_name, problem = message_text;
                    if rule = '' then
                        -- PostgreSQL quotes what it could not read, and that may be anything.
                        select concat('one of these can''t be read: ', string_agg(format('%s %L', m.name, left(entry.value ->> m.name, 60)), ', ')) into problem
                        from unnest(array['created_at', 'started_at', 'finished_at', 'exit_code', 'made_for_events']) as m (name)
                        where jsonb_typeof(entry.value -> m.name) in ('string', 'number', 'boolean');
                    end if;
                    raise exception using
                        errcode = 'ZXARG',
                        message = 'malformed run',
                        detail = format('line %s of the import: %s', entry.place, problem),
                        hint = 'A line has the columns of helix.runs: moments as RFC 3339 has them, exit_code an integer, made_for_events true or false, texts as strings.',
                        constraint = coalesce(nullif(rule, ''), 'run_well_formed');
                end;
        end;
        is_duplicate := not found;
        if is_duplicate then
            select r.tool_name, r.project_id, r.params_hash into stored
            from only helix.runs as r
            where r.customer_id = customer and r.run_id = wanted.run_id;
            -- Of another customer's it says the same.
            if not found or (stored.tool_name, stored.project_id, stored.params_hash)
                is distinct from (wanted.tool_name, wanted.project_id, wanted.params_hash) then
                raise exception using
                    errcode = 'ZXDUP',
                    message = 'this run_id was used for another run',
                    detail = format('line %s of the import: run_id %L', entry.place, left(wanted.run_id, 60)),
                    hint = 'A run_id names one run, among all customers. Give this run another, or leave its line out.',
                    constraint = 'run_id_names_one_run';
            end if;
        end if;
        line := entry.place;
        run_id := wanted.run_id;
        return next;
    end loop;
end;
$$;
alter function helix.import_runs(jsonb, text) owner to aximo_recorder;
comment on function helix.import_runs(jsonb, text) is 'Takes rows of helix.runs, a JSON array of objects, as they are; one that is there stays as it is, and is_duplicate is true. ZXARG: malformed; ZXDUP: the run_id names another run; ZXCUS: no customer.';

-- A run that was made for imported events is in the state that the last of its events on it says; it never goes back.
create function aximo_private.follow_run_events(customer text, runs text[]) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    update helix.runs as r
    set
        status = s.status,
        finished_at = case when s.status in ('succeeded', 'failed', 'blocked') then s.ts end,
        error = case when s.status in ('failed', 'blocked') then s.error end
    from (
        select distinct on (e.run_id)
            e.run_id, e.ts, e.data ->> 'error' as error,
            case when k.state = 'started' then 'running' else k.state end as status
        from only helix.run_events as e
        cross join lateral (
            select v.state
            from helix.event_kinds as v
            where v.kind = e.kind
            order by v.version desc
            limit 1
        ) as k
        where k.state is not null and e.customer_id = customer
            and e.run_id in (
                select m.run_id
                from only helix.runs as m
                where m.customer_id = customer and m.made_for_events
                    and m.status in ('queued', 'running') and m.run_id = any(runs)
            )
        order by e.run_id, k.state in ('succeeded', 'failed', 'blocked') desc, e.event_id desc
    ) as s
    where r.customer_id = customer and r.run_id = s.run_id and r.status <> s.status
        and not (r.status = 'running' and s.status = 'queued');
end;
$$;
alter function aximo_private.follow_run_events(text, text[]) owner to aximo_recorder;
comment on function aximo_private.follow_run_events(text, text[]) is 'Moves the runs that were made for imported events to the state that these say.';

-- Takes lines of both shapes: rows of an export (run_id, created_at) and of a log artifact (ts). An event is known by what it says and
-- when; the same again in one file is told by its repetition. So an import can be repeated, and an export read back.
create function helix.import_run_events(
    lines jsonb,
    run_id text default null,
    create_runs boolean default true,
    repetitions integer[] default null,
    customer_id text default null
)
returns table (line integer, event_id bigint, is_duplicate boolean)
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    customer constant text := aximo_private.writing_customer(import_run_events.customer_id);
    abi constant text[] := array['run_id', 'event_id', 'kind', 'message', 'data', 'customer_id', 'recorded_at', 'recorded_by'];
    entry record;
    problem text;
    rule text;
    moment timestamptz;
    moments timestamptz[] := '{}';
    further jsonb;
    known bigint;
    names text[];
begin
    if jsonb_typeof(lines) is distinct from 'array' then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed run event',
            detail = format('lines is a JSON %s', coalesce(jsonb_typeof(lines), 'null')),
            hint = 'Give an array of objects, one a line.',
            constraint = 'batch_is_array';
    end if;
    if cardinality(repetitions) <> jsonb_array_length(lines) or 1 > any(repetitions) or array_position(repetitions, null) is not null then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed run event',
            detail = format('%s repetitions of %s lines', cardinality(repetitions), jsonb_array_length(lines)),
            hint = 'Say of each line how often it came so far, this time included: from 1 on.',
            constraint = 'repetitions_positive';
    end if;
    begin
        for entry in
            select
                l.value, l.place::integer as place,
                case when jsonb_typeof(l.value -> 'created_at') is not null then 'created_at' else 'ts' end as clock
            from jsonb_array_elements(lines) with ordinality as l (value, place)
            order by l.place
        loop
            rule := case
                when jsonb_typeof(entry.value) <> 'object' then 'event_is_object'
                when coalesce(entry.value ->> 'run_id', import_run_events.run_id) is null then 'run_id_present'
                when jsonb_typeof(entry.value -> 'run_id') not in ('string', 'null') then 'run_id_is_string'
                when jsonb_typeof(entry.value -> 'kind') is distinct from 'string' then 'kind_present'
                when jsonb_typeof(entry.value -> 'message') not in ('string', 'null') then 'message_is_string'
                when jsonb_typeof(entry.value -> 'data') not in ('object', 'null') then 'data_is_object'
                when jsonb_typeof(entry.value -> entry.clock) is distinct from 'string' then 'run_event_moment'
            end;
            exit when rule is not null;
            moment := aximo_private.moment_of(entry.value ->> entry.clock);
            if moment < '1970-01-01 00:00:00+00' or moment >= '9999-01-01 00:00:00+00' then
                rule := 'run_event_moment';
                exit;
            end if;
            moments[entry.place] := moment;
        end loop;
    exception
        when data_exception then
            rule := 'run_event_moment';
    end;
    if rule is not null then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed run event',
            -- What a line says is not said again: a message or data may be a customer's.
            detail = format(
                'line %s of the import: %s',
                entry.place,
                case rule
                    when 'event_is_object' then 'it is a JSON ' || jsonb_typeof(entry.value)
                    when 'run_id_present' then 'run_id is missing'
                    when 'run_id_is_string' then 'run_id is a JSON ' || jsonb_typeof(entry.value -> 'run_id')
                    when 'kind_present' then 'kind is ' || coalesce('a JSON ' || jsonb_typeof(entry.value -> 'kind'), 'missing')
                    when 'message_is_string' then 'message is a JSON ' || jsonb_typeof(entry.value -> 'message')
                    when 'data_is_object' then 'data is a JSON ' || jsonb_typeof(entry.value -> 'data')
                    else entry.clock || ' is ' || coalesce(
                        case
                            when jsonb_typeof(entry.value -> entry.clock) = 'string' then quote_literal(left(entry.value ->> entry.clock, 60))
                            else 'a JSON ' || jsonb_typeof(entry.value -> entry.clock)
                        end,
                        'missing'
                    )
                end
            ),
            hint = 'A line is an object: run_id and kind are strings, message a string or null, data an object or null; created_at or ts is a moment from 1970 on, as RFC 3339 has it.',
            constraint = rule;
    end if;

    names := array(
        select distinct coalesce(l.value ->> 'run_id', import_run_events.run_id)
        from jsonb_array_elements(lines) as l (value)
    );
    if import_run_events.create_runs then
        insert into helix.runs (
            run_id, project_id, tool_name, contract_version, params_hash, policy_hash, status, created_at, started_at, customer_id,
            made_for_events
        )
        select distinct on (l.run_id)
            l.run_id, 'imported', 'unknown', 'v1', coalesce(l.value #>> '{data,params_hash}', 'unknown'),
            coalesce(l.value #>> '{data,policy_hash}', 'unknown'), 'queued', l.moment, l.moment, customer, true
        from (
            select
                i.value, i.place,
                coalesce(i.value ->> 'run_id', import_run_events.run_id) as run_id,
                moments[i.place::integer] as moment
            from jsonb_array_elements(lines) with ordinality as i (value, place)
        ) as l
        where l.run_id <> all(
            array(select r.run_id from only helix.runs as r where r.customer_id = customer and r.run_id = any(names))
        )
        -- In one order, so that of two imports one waits for the other, and not each for the other.
        order by l.run_id, l.place
        on conflict do nothing;
    end if;
    -- All of them, before anything is counted: of two imports the second waits, and the gateway too. What one adds the other sees.
    perform
    from only helix.runs as r
    where r.customer_id = customer and r.run_id = any(names)
    order by r.run_id
    for update;

    for entry in
        select
            l.*,
            coalesce(
                repetitions[l.place],
                row_number() over (partition by l.run_id, l.moment, l.kind, l.message, l.data order by l.place)
            ) as repetition
        from (
            select
                i.value, i.place::integer as place,
                case when jsonb_typeof(i.value -> 'created_at') is not null then 'created_at' else 'ts' end as clock,
                coalesce(i.value ->> 'run_id', import_run_events.run_id) as run_id,
                moments[i.place::integer] as moment, i.value ->> 'kind' as kind, i.value ->> 'message' as message,
                nullif(i.value -> 'data', 'null') as data
            from jsonb_array_elements(lines) with ordinality as i (value, place)
        ) as l
        order by l.place
    loop
        if entry.value ->> 'customer_id' <> customer then
            raise exception using
                errcode = 'ZXCUS',
                message = 'this session may not write for that customer',
                detail = format(
                    'line %s of the import is of customer %L, the import of customer %L', entry.place, left(entry.value ->> 'customer_id', 60), customer
                ),
                hint = 'Import each customer''s lines by themselves.',
                constraint = 'customer_granted';
        end if;

        select count(*), max(e.event_id) into known, event_id
        from only helix.run_events as e
        where e.customer_id = customer and e.run_id = entry.run_id and e.ts = entry.moment and e.kind = entry.kind
            and e.message is not distinct from entry.message and e.data is not distinct from entry.data;
        is_duplicate := known >= entry.repetition;
        if not is_duplicate then
            -- What an export of ours calls extra is that; anything else that the contract does not name is kept beside it.
            further := entry.value - (abi || entry.clock);
            if jsonb_typeof(further -> 'extra') = 'object' and not (further -> 'extra') ?| array(select jsonb_object_keys(further - 'extra')) then
                further := (further -> 'extra') || (further - 'extra');
            end if;
            -- The ids it had where it came from; and where that had it from, if it says.
            if entry.value ?| array['event_id', 'recorded_at', 'recorded_by'] then
                further := further || jsonb_build_object(
                    'imported_from',
                    jsonb_strip_nulls(
                        jsonb_build_object(
                            'event_id', entry.value -> 'event_id',
                            'recorded_at', entry.value -> 'recorded_at',
                            'recorded_by', entry.value -> 'recorded_by',
                            'imported_from', further -> 'imported_from'
                        )
                    )
                );
            end if;
            insert into helix.run_events (run_id, ts, kind, message, data, extra, customer_id)
            values (
                entry.run_id, entry.moment, entry.kind, entry.message, entry.data, nullif(further, '{}'), customer
            )
            returning event_id into event_id;
        end if;
        line := entry.place;
        return next;
    end loop;

    perform aximo_private.follow_run_events(customer, names);
end;
$$;
alter function helix.import_run_events(jsonb, text, boolean, integer[], text) owner to aximo_recorder;
comment on function helix.import_run_events(jsonb, text, boolean, integer[], text) is 'Takes run events from elsewhere, a JSON array of objects with run_id (or the one named here), created_at or ts, kind, message and data; other fields are kept in extra. An event that is there is not added again; repetitions says, for each line, how often it came in the file so far, this time included. Makes runs that do not exist, if not told otherwise. ZXARG: malformed; ZXRUN: no such run; ZXDUP: the run_id names another run; ZXCUS: no customer.';

-- Lines and events are matched by what they say and how often, not by when: a log artifact has the gateway's clock, the table has the
-- database's.
create function helix.compare_run_log(run_id text, lines jsonb)
returns table (line integer, event_id bigint, ts timestamptz, kind text, message text, data jsonb)
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    -- Logins read this table themselves, and its row security does not restrict every role: so the customer is named.
    customer constant text := aximo.current_customer();
begin
    return query
    select l.place::integer, e.event_id, e.ts, coalesce(e.kind, l.kind), coalesce(e.message, l.message), coalesce(e.data, l.data)
    from (
        select
            i.place, i.value ->> 'kind' as kind, i.value ->> 'message' as message, nullif(i.value -> 'data', 'null') as data,
            row_number() over (
                partition by i.value ->> 'kind', i.value ->> 'message', nullif(i.value -> 'data', 'null') order by i.place
            ) as repetition
        from jsonb_array_elements(lines) with ordinality as i (value, place)
    ) as l
    full join (
        select
            s.*,
            row_number() over (partition by s.kind, s.message, s.data order by s.event_id) as repetition
        from helix.run_events as s
        where s.customer_id = customer and s.run_id = compare_run_log.run_id
    ) as e
        on e.kind = l.kind and (e.message is null) = (l.message is null) and coalesce(e.message, '') = coalesce(l.message, '')
        and coalesce(e.data, 'null') = coalesce(l.data, 'null') and e.repetition = l.repetition
    order by l.place nulls last, e.event_id;
end;
$$;
comment on function helix.compare_run_log(text, jsonb) is 'Compares the lines of a run''s log artifact, a JSON array of objects with kind, message and data, with its events: a line without an event_id is missing here, an event_id without a line is missing there. Writes nothing.';

-- The gateway creates five more tables, without customers. This keeps the customers of one database from reading each other's rows in them.
-- Their primary keys stay as the gateway made them, so ranges of ids can still be counted: docs/dba.md. A database of one customer does not
-- need it. Run it as the owner of these tables, and again after the gateway's schema has changed.
create function helix.isolate_gateway_tables() returns setof text
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    own constant text := 'customer_id = (select aximo.current_customer())'
        ' and coalesce(customer_id = (select aximo.current_customer()), false)';
    own_run constant text := 'exists (select from helix.runs as r where r.run_id = %I.run_id)';
    table_name text;
    writable text;
    column_name text;
begin
    for table_name in
        select c.relname::text
        from pg_catalog.pg_class as c
        where c.relnamespace = 'helix'::regnamespace and c.relkind = 'r'
            and c.relname in ('projects', 'artifacts', 'param_sets', 'run_inputs', 'run_outputs')
        order by c.relname
    loop
        execute format(
            'alter table helix.%I add column if not exists customer_id text collate "C" not null default aximo.current_customer()', table_name
        );
        execute format('alter table helix.%I enable row level security', table_name);
        execute format('alter table helix.%I force row level security', table_name);
        -- Statistics would tell, through row estimates, which values others have.
        for column_name in
            select a.attname::text
            from pg_catalog.pg_attribute as a
            where a.attrelid = format('helix.%I', table_name)::regclass and a.attnum > 0 and not a.attisdropped
        loop
            execute format('alter table helix.%I alter %I set statistics 0', table_name, column_name);
        end loop;
        writable := own;
        if table_name in ('run_inputs', 'run_outputs') then
            -- A foreign key is checked without policies: without this condition it would tell which runs and artifacts others have.
            writable := format(
                '%s and %s and exists (select from helix.artifacts as a where a.artifact_id = %I.artifact_id)',
                own, format(own_run, table_name), table_name
            );
        elsif table_name = 'artifacts' then
            -- No condition on the project: a project_id names one row, which belongs to whoever wrote it first, and the gateway uses one
            -- project for every studio tool. Nobody reads another's project; the foreign key only needs it to exist. The indexes have the
            -- names that the gateway's schema gives them.
            if to_regclass('helix.artifacts_project_created_idx') is not null then
                drop index helix.artifacts_project_created_idx;
                create index artifacts_project_created_idx on helix.artifacts (customer_id, project_id, created_at desc);
            end if;
            if to_regclass('helix.artifacts_checksum_idx') is not null then
                drop index helix.artifacts_checksum_idx;
                create index artifacts_checksum_idx on helix.artifacts (customer_id, checksum_sha256);
            end if;
        end if;
        execute format('drop policy if exists readers_read_own on helix.%I', table_name);
        execute format('create policy readers_read_own on helix.%I for select to aximo_reader using (%s)', table_name, own);
        execute format('drop policy if exists writers_write_own on helix.%I', table_name);
        execute format(
            'create policy writers_write_own on helix.%I to aximo_writer using (%s) with check (%s)', table_name, own, writable
        );
        return next table_name;
    end loop;
end;
$$;
comment on function helix.isolate_gateway_tables() is 'Gives the gateway''s own tables (projects, artifacts, param_sets, run_inputs, run_outputs), as far as they exist, a customer_id and policies by it. For the owner of these tables; rows that are there become those of the session''s customer. Returns their names. Can be run again.';

-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- plpgsql keeps the plan; a SQL function is planned at every call before PostgreSQL 18.
create function aximo.execution_trace(execution_id text) returns setof aximo.execution_steps
language plpgsql stable security invoker parallel safe rows 10
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    -- Logins read these tables themselves, and their row security does not restrict every role: so the customer is named.
    customer constant text := aximo.current_customer();
begin
    perform
    from helix.runs as r
    where r.customer_id = customer and r.execution_id = execution_trace.execution_id;
    if not found then
        return query
        select s.*
        from aximo.execution_steps as s
        where s.customer_id = customer and s.execution_id = execution_trace.execution_id
        order by s.step;
        return;
    end if;
    -- Events and run events have an order of arrival each. Between the two the database's clock decides, without going back in either.
    return query
    select
        s.customer_id, execution_trace.execution_id, row_number() over arrival, s."timestamp",
        s."timestamp" - first_value(s."timestamp") over arrival, s."timestamp" - lag(s."timestamp") over arrival,
        s.event_type, s.actor, s.deployment_id, s.skill_id, s.skill_version, s.risk_level, s.approval_mode, s.correlation_id,
        s.channel_type, s.error_code, s.latency_ms, s.payload, s.event_id, s.answers_event_id, s.recorded_at, s.recorded_by, s.run_id,
        s.run_event_id, s.message
    from (
        select
            e.customer_id, e."timestamp",
            e.event_type, e.actor, e.deployment_id, e.skill_id, e.skill_version, e.risk_level, e.approval_mode, e.correlation_id,
            e.channel_type, e.error_code, e.latency_ms, e.payload, e.event_id, e.answers_event_id, e.recorded_at, e.recorded_by, e.run_id,
            e.run_event_id, e.message,
            0 as source, e.step as place,
            max(e.recorded_at) over (order by e.step) as arrived
        from aximo.execution_steps as e
        where e.customer_id = customer and e.execution_id = execution_trace.execution_id
        union all
        select
            r.customer_id, r.ts,
            r.kind, 'system', null, null, null, null, null, null, null, null, null, r.data, null, null, r.recorded_at, r.recorded_by,
            r.run_id, r.event_id, r.message,
            1, r.event_id,
            max(r.recorded_at) over (order by r.event_id)
        from helix.run_events as r
        where r.customer_id = customer
            and r.run_id in (
                select u.run_id
                from helix.runs as u
                where u.customer_id = customer and u.execution_id = execution_trace.execution_id
            )
    ) as s
    window arrival as (order by s.arrived, s.source, s.place)
    order by s.arrived, s.source, s.place;
end;
$$;
comment on function aximo.execution_trace(text) is 'What happened in an execution: its events in order of arrival, with the time since its start and since the event before, and between them the events of the tool runs that served it (helix.runs.execution_id): their kind as event_type, their data as payload. No rows if the session''s customer has no such execution.';

-- One row: what all logs share. It is also the lock of the session that numbers. Only the sequencer can lock it, and nobody waits for it.
create table aximo_private.log_state (
    is_the_row boolean not null default true,
    ledger text collate "C" not null default 'aximo-db/' || gen_random_uuid(),
    advanced_at timestamptz,
    constraint log_state_pkey primary key (is_the_row),
    constraint one_row check (is_the_row),
    constraint ledger_is_a_name check (ledger ~ '^[!-*,-~]+$')
);
insert into aximo_private.log_state default values;
alter table aximo_private.log_state enable row level security;
alter table aximo_private.log_state force row level security;
create policy owner_reads_log_state on aximo_private.log_state for select to aximo_owner using (true);
create policy sequencer_keeps_log_state on aximo_private.log_state for all to aximo_sequencer using (true) with check (true);
comment on table aximo_private.log_state is 'What all logs share, and the lock of who numbers. One row.';
comment on column aximo_private.log_state.is_the_row is 'Always true.';
comment on column aximo_private.log_state.ledger is 'The name of this ledger in the origin of its checkpoints: printable ASCII without blank and plus. Never changes.';
comment on column aximo_private.log_state.advanced_at is 'When events were last numbered, by the database''s clock.';
comment on policy owner_reads_log_state on aximo_private.log_state is 'doctor shows it.';
comment on policy sequencer_keeps_log_state on aximo_private.log_state is 'aximo.advance_log runs as this role.';

-- The logs that every customer has, and how far each is numbered. A log numbers what one table records, in the order of its positions.
create table aximo_private.logs (
    log text collate "C" not null,
    high_position bigint not null default 0,
    entries bigint not null default 0,
    looked pg_snapshot,
    undated_from xid8,
    constraint logs_pkey primary key (log),
    constraint log_known check (log in ('events', 'run_events'))
);
insert into aximo_private.logs (log) values ('events'), ('run_events');
alter table aximo_private.logs enable row level security;
alter table aximo_private.logs force row level security;
create policy owner_reads_logs on aximo_private.logs for select to aximo_owner using (true);
create policy sequencer_keeps_logs on aximo_private.logs for all to aximo_sequencer using (true) with check (true);
comment on table aximo_private.logs is 'The logs that each customer has, and how far they are numbered. A row a log.';
comment on column aximo_private.logs.log is 'events: of aximo.events. run_events: of helix.run_events.';
comment on column aximo_private.logs.high_position is 'The highest position numbered. What is above it is new; what is below and unnumbered is in a hole.';
comment on column aximo_private.logs.entries is 'How many entries it has, of all customers.';
comment on column aximo_private.logs.looked is 'Which transactions were over when the holes were last looked into; null: look into all holes.';
comment on column aximo_private.logs.undated_from is 'Every hole that a transaction before this one found has a date; null: every hole has.';
comment on policy owner_reads_logs on aximo_private.logs is 'doctor shows them.';
comment on policy sequencer_keeps_logs on aximo_private.logs is 'aximo.advance_log runs as this role.';

-- Positions that were not visible when higher ones were: their transactions are under way, or were rolled back. This is state, not history.
create table aximo_private.log_holes (
    log text collate "C" not null,
    first_position bigint not null,
    last_position bigint not null,
    seen_by xid8 not null,
    older_than xid8,
    constraint log_holes_pkey primary key (log, first_position),
    constraint hole_is_a_range check (first_position <= last_position)
);
-- Of thousands of holes only those are read in which an event can have appeared. There are two indexes, because setting the date leaves a
-- dead version behind as long as an old transaction runs: that version is in the second index only.
create index log_holes_by_date on aximo_private.log_holes (log, older_than) where older_than is not null;
create index log_holes_by_finder on aximo_private.log_holes (log, seen_by);
-- With statistics the planner knows that most holes have one log and one date, and would read all of them.
select aximo_private.hide_statistics('aximo_private.log_holes');
alter table aximo_private.log_holes enable row level security;
alter table aximo_private.log_holes force row level security;
create policy owner_reads_log_holes on aximo_private.log_holes for select to aximo_owner using (true);
create policy sequencer_keeps_log_holes on aximo_private.log_holes for all to aximo_sequencer using (true) with check (true);
comment on table aximo_private.log_holes is 'Ranges of positions that may still become visible. Forgotten when every transaction that could own them is gone.';
comment on column aximo_private.log_holes.log is 'The log whose positions they are.';
comment on column aximo_private.log_holes.first_position is 'The first position of the range.';
comment on column aximo_private.log_holes.last_position is 'Its last one.';
comment on column aximo_private.log_holes.seen_by is 'The transaction that first saw it.';
comment on column aximo_private.log_holes.older_than is 'The date of the hole: a transaction that began to write after seen_by had ended, so every owner of a position in the hole is older. Null until there is one.';
comment on index aximo_private.log_holes_by_date is 'The holes with a date: those that transactions of a certain age could own.';
comment on index aximo_private.log_holes_by_finder is 'The holes without a date, which the latest advances saw.';
comment on policy owner_reads_log_holes on aximo_private.log_holes is 'doctor shows them.';
comment on policy sequencer_keeps_log_holes on aximo_private.log_holes is 'aximo.advance_log runs as this role.';

-- The logs of each customer: which event has which number, and the hash of its canonical line.
create table aximo_private.log_entries (
    number bigint not null,
    event_id uuid,
    run_event_id bigint,
    log text collate "C" not null,
    customer_id text collate "C" not null,
    leaf bytea not null,
    constraint log_entries_pkey primary key (customer_id, log, number),
    constraint entry_is_of_its_log check ((log = 'events') = (event_id is not null) and (log = 'run_events') = (run_event_id is not null))
);
create unique index event_is_numbered_once on aximo_private.log_entries (customer_id, event_id) where event_id is not null;
create unique index run_event_is_numbered_once on aximo_private.log_entries (customer_id, run_event_id) where run_event_id is not null;
select aximo_private.isolate_by_customer('aximo_private.log_entries', 'owner_reads_own_log');
create policy sequencer_reads_log on aximo_private.log_entries for select to aximo_sequencer using (true);
create policy sequencer_adds_to_log on aximo_private.log_entries for insert to aximo_sequencer with check (true);
select aximo_private.make_append_only('aximo_private.log_entries');
comment on table aximo_private.log_entries is 'The numbered events: append-only, each log''s 1, 2, 3 … without a gap.';
comment on column aximo_private.log_entries.customer_id is 'Whose log it is.';
comment on column aximo_private.log_entries.leaf is 'sha256 of a zero byte and the event''s canonical line (RFC 9162, section 2.1.1).';
comment on index aximo_private.event_is_numbered_once is 'An event has one number.';
comment on index aximo_private.run_event_is_numbered_once is 'A run event has one number.';
comment on policy sequencer_reads_log on aximo_private.log_entries is 'Numbering goes on where it ended, for every customer.';
comment on policy sequencer_adds_to_log on aximo_private.log_entries is 'aximo.advance_log runs as this role.';

-- Hashes of the complete subtrees of 256, 65536, … entries. These are C2SP's tiles, without the partial ones, one row a hash.
create table aximo_private.log_nodes (
    index bigint not null,
    level bigint not null,
    log text collate "C" not null,
    customer_id text collate "C" not null,
    hash bytea not null,
    constraint log_nodes_pkey primary key (customer_id, log, level, index)
);
select aximo_private.isolate_by_customer('aximo_private.log_nodes', 'owner_reads_own_log_nodes');
create policy sequencer_reads_log_nodes on aximo_private.log_nodes for select to aximo_sequencer using (true);
create policy sequencer_adds_log_nodes on aximo_private.log_nodes for insert to aximo_sequencer with check (true);
select aximo_private.make_append_only('aximo_private.log_nodes');
comment on table aximo_private.log_nodes is 'Hashes of complete subtrees of the log, so that a proof reads a few hundred hashes of any log.';
comment on column aximo_private.log_nodes.customer_id is 'Whose log it is.';
comment on policy sequencer_reads_log_nodes on aximo_private.log_nodes is 'A level is made of the one below.';
comment on policy sequencer_adds_log_nodes on aximo_private.log_nodes is 'aximo.advance_log runs as this role.';

create table aximo_private.checkpoints (
    size bigint not null,
    made_at timestamptz not null default clock_timestamp(),
    checkpoint_id uuid not null default gen_random_uuid(),
    log text collate "C" not null,
    customer_id text collate "C" not null,
    root bytea not null,
    made_by text collate "C" not null default session_user,
    note text collate "C" not null,
    constraint checkpoints_pkey primary key (customer_id, checkpoint_id),
    constraint checkpoint_is_short check (octet_length(note) <= 16384),
    constraint log_known check (log in ('events', 'run_events')),
    constraint root_is_a_hash check (octet_length(root) = 32)
);
create index checkpoints_by_size on aximo_private.checkpoints (customer_id, log, size);
select aximo_private.isolate_by_customer('aximo_private.checkpoints', 'owner_reads_own_checkpoints');
create policy sequencer_adds_own_checkpoints on aximo_private.checkpoints
for insert to aximo_sequencer with check (customer_id = (select aximo.current_customer()));
select aximo_private.make_append_only('aximo_private.checkpoints');
comment on table aximo_private.checkpoints is 'The checkpoints of all logs: append-only. Read it through aximo.checkpoints, add with aximo.add_checkpoint.';
comment on column aximo_private.checkpoints.customer_id is 'Whose log.';
comment on index aximo_private.checkpoints_by_size is 'The latest, and those to compare with.';
comment on policy sequencer_adds_own_checkpoints on aximo_private.checkpoints is 'aximo.add_checkpoint runs as this role, for the session''s customer.';

-- For who watches: that checkpoints are kept at all. The latest made_at of all customers would need an index that orders their rows
-- together, which plans of one of them would show. A row that all keep up to date would let one open transaction hold up the others.
create sequence aximo_private.checkpoint_clock as bigint;
alter sequence aximo_private.checkpoint_clock owner to aximo_owner;
comment on sequence aximo_private.checkpoint_clock is 'When a checkpoint was last added, by whomever, in seconds since 1970. Set, not counted: nobody waits for it, and it is no proof.';

-- How far a consumer of a customer's log has come.
create table aximo_private.log_cursors (
    customer_id text collate "C" not null,
    log text collate "C" not null,
    name aximo_private.identifier not null,
    number bigint not null default 0,
    moved_at timestamptz not null default clock_timestamp(),
    moved_by text collate "C" not null default session_user,
    constraint log_cursors_pkey primary key (customer_id, log, name),
    constraint number_not_negative check (number >= 0),
    constraint log_known check (log in ('events', 'run_events'))
);
select aximo_private.isolate_by_customer('aximo_private.log_cursors', 'owner_reads_own_cursors');
create policy sequencer_keeps_own_cursors on aximo_private.log_cursors
for all to aximo_sequencer
using (customer_id = (select aximo.current_customer())) with check (customer_id = (select aximo.current_customer()));
comment on table aximo_private.log_cursors is 'How far each consumer has come. Moved by aximo.move_cursor only.';
comment on column aximo_private.log_cursors.customer_id is 'Whose log.';
comment on policy sequencer_keeps_own_cursors on aximo_private.log_cursors is 'The cursor functions run as this role, for the session''s customer.';

create type aximo_private.log_growth as (
    customer_id text,
    old_size bigint,
    new_size bigint
);
comment on type aximo_private.log_growth is 'By how much a customer''s log grew when it was numbered once.';
comment on column aximo_private.log_growth.customer_id is 'Whose log.';
comment on column aximo_private.log_growth.old_size is 'Its size before.';
comment on column aximo_private.log_growth.new_size is 'Its size now.';

create type aximo_private.numbering as (
    touched aximo_private.log_growth[], -- noqa: LT01
    is_cut boolean
);
comment on type aximo_private.numbering is 'The result of numbering one log once.';
comment on column aximo_private.numbering.touched is 'By how much each customer''s log grew; null if none did.';
comment on column aximo_private.numbering.is_cut is 'Whether there may be more: it stopped at its limit of events or of text.';

-- The events that are numbered: the only place that says which tables have a log. It shows what its reader may see, and the sequencer may
-- see all.
create view aximo_private.events_of_logs with (security_invoker = true) as
select
    'events' as log,
    position, customer_id, event_id, null::bigint as run_event_id, recorded_at,
    -- Estimated without reading the value: uncompressed it may be a hundred times as long.
    least(pg_column_size(payload)::bigint * case when pg_column_compression(payload) is null then 2 else 100 end, 1048576) as weight
from only aximo_private.events -- noqa: PRS
union all
select
    'run_events' as log,
    event_id as position, customer_id, null::uuid as event_id, event_id as run_event_id, recorded_at,
    least(
        pg_column_size(kind)::bigint * case when pg_column_compression(kind) is null then 2 else 100 end
        + coalesce(pg_column_size(message), 0)::bigint * case when pg_column_compression(message) is null then 2 else 100 end
        + coalesce(pg_column_size(data), 0)::bigint * case when pg_column_compression(data) is null then 2 else 100 end
        + coalesce(pg_column_size(extra), 0)::bigint * case when pg_column_compression(extra) is null then 2 else 100 end,
        8388608
    ) as weight
from only helix.run_events; -- noqa: PRS
comment on view aximo_private.events_of_logs is 'Every event of every customer that is to have a number in a log.';
comment on column aximo_private.events_of_logs.log is 'The log it belongs to: one of aximo_private.logs.';
comment on column aximo_private.events_of_logs.position is 'Order of arrival, with gaps; given after the transaction got its id.';
comment on column aximo_private.events_of_logs.customer_id is 'Whose it is.';
comment on column aximo_private.events_of_logs.event_id is 'The event, of log events.';
comment on column aximo_private.events_of_logs.run_event_id is 'The event, of log run_events.';
comment on column aximo_private.events_of_logs.weight is 'How many bytes of text it may be, at most, told without reading it; rarely more.';
comment on column aximo_private.events_of_logs.recorded_at is 'When it was written, by the database''s clock.';

-- A function, so that it stays a look-up in one of two partial indexes: the planner may turn EXISTS in a query into a pass over the log for
-- each event.
create function aximo_private.has_number(customer_id text, event_id uuid, run_event_id bigint) returns boolean
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if has_number.event_id is not null then
        return exists (
            select from only aximo_private.log_entries as l
            where l.customer_id = has_number.customer_id and l.event_id = has_number.event_id
        );
    end if;
    return exists (
        select from only aximo_private.log_entries as l
        where l.customer_id = has_number.customer_id and l.run_event_id = has_number.run_event_id
    );
end;
$$;
alter function aximo_private.has_number(text, uuid, bigint) owner to aximo_sequencer;
comment on function aximo_private.has_number(text, uuid, bigint) is 'Whether an event has a number.';

-- Hashes pairs, level by level; a last hash without a partner moves up unchanged. This is the same tree as that of RFC 9162, which splits
-- at powers of two.
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
comment on function aximo.tree_hash(bytea[]) is 'The Merkle tree hash of these subtrees'' hashes (RFC 9162, section 2.1.1): all of one size but for the last, which may be smaller.';

-- A function with a statement of its own, so that it stays a look-up: joined into a query, the planner may read all entries instead.
create function aximo_private.hashes_below(customer text, of_log text, height integer, place bigint) returns bytea[]
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if height = 1 then
        return array(
            select l.leaf
            from only aximo_private.log_entries as l
            where l.customer_id = customer and l.log = of_log and l.number between 256 * place + 1 and 256 * (place + 1)
            order by l.number
        );
    end if;
    return array(
        select n.hash
        from only aximo_private.log_nodes as n
        where n.customer_id = customer and n.log = of_log and n.level = height - 1 and n.index between 256 * place and 256 * place + 255
        order by n.index
    );
end;
$$;
alter function aximo_private.hashes_below(text, text, integer, bigint) owner to aximo_sequencer;
comment on function aximo_private.hashes_below(text, text, integer, bigint) is 'The hashes that a subtree of a log is made of: those of 256 entries or of 256 smaller subtrees, fewer if some are missing.';

-- Adds the hashes of the subtrees that are complete now and were not before: all levels together cost one hash an entry.
create function aximo_private.grow_tree(log text, touched aximo_private.log_growth[]) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    width bigint := 1;
begin
    for height in 1 .. 7 loop
        width := width * 256;
        exit when not exists (select from unnest(touched) as t where t.new_size >= width);
        insert into aximo_private.log_nodes (customer_id, log, level, index, hash)
        select t.customer_id, grow_tree.log, height, b.index, aximo.tree_hash(c.hashes)
        from unnest(touched) as t
        cross join lateral generate_series(t.old_size / width, t.new_size / width - 1) as b (index)
        cross join lateral (
            select aximo_private.hashes_below(t.customer_id, grow_tree.log, height, b.index) as hashes
            offset 0
        ) as c
        -- If a smaller subtree has no hash, none is made of it here: aximo.rebuild_log_nodes makes both.
        where height = 1 or cardinality(c.hashes) = 256;
    end loop;
end;
$$;
alter function aximo_private.grow_tree(text, aximo_private.log_growth[]) owner to aximo_sequencer;
comment on function aximo_private.grow_tree(text, aximo_private.log_growth[]) is 'Adds the hashes of the subtrees that new entries completed.';

-- Numbers the new events of one log. aximo.advance_log, which calls it, holds the lock.
create function aximo_private.number_new(log text, max_events integer, look boolean) returns aximo_private.numbering
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    high constant bigint := (select s.high_position from aximo_private.logs as s where s.log = number_new.log);
    undated_from constant xid8 := (select s.undated_from from aximo_private.logs as s where s.log = number_new.log);
    scan pg_snapshot;
    looked_into_some boolean;
    positions bigint[];
    fresh bigint[];
    filled bigint[];
    touched aximo_private.log_growth[];
    is_cut boolean;
    -- The bytes of text that one call hashes at most: hashing takes most of the time, and all wait for this lock.
    bytes_at_most constant bigint := 67108864;
begin
    -- One statement sees one snapshot: if it sees an event, it also sees every event that had been written before that one, which has a
    -- lower position.
    with
    -- A dated hole is looked into only if a transaction that could own one of its positions has ended since the last look. Such a
    -- transaction was running at that look, is over now, and is older than the hole's date. In another cluster ids mean nothing: there all
    -- holes are looked into.
    since as materialized (
        select
            case
                when pg_snapshot_xmax(s.looked) <= pg_snapshot_xmax(pg_current_snapshot())
                    then least(
                        pg_snapshot_xmax(s.looked),
                        (
                            select r.id
                            from pg_snapshot_xip(s.looked) as r (id)
                            where pg_visible_in_snapshot(r.id, pg_current_snapshot())
                            order by r.id
                            limit 1
                        )
                    )
                else '0'::xid8
            end as id
        from aximo_private.logs as s
        where s.log = number_new.log
    ),
    open_holes as (
        select h.first_position, h.last_position
        from aximo_private.log_holes as h
        where h.log = number_new.log and h.older_than > (select s.id from since as s)
        union all
        select h.first_position, h.last_position
        from aximo_private.log_holes as h
        where h.log = number_new.log and h.seen_by >= undated_from and h.older_than is null
    ),
    late as (
        select e.*
        from open_holes as h
        cross join lateral (
            select s.position, s.customer_id, s.event_id, s.run_event_id, s.weight
            from aximo_private.events_of_logs as s
            where s.log = number_new.log and s.position between h.first_position and h.last_position and s.position > 0
                -- After a restore that lost the sequence's value, a position may have been given twice.
                and not aximo_private.has_number(s.customer_id, s.event_id, s.run_event_id)
            order by s.position
            limit number_new.max_events
        ) as e
        order by e.position
        limit number_new.max_events
    ),
    young as (
        select s.position, s.customer_id, s.event_id, s.run_event_id, s.weight
        from aximo_private.events_of_logs as s
        where s.log = number_new.log and s.position > high and s.position > 0
        order by s.position
        limit number_new.max_events
    ),
    waiting as materialized (
        select
            f.*,
            sum(f.weight) over (order by f.position rows between unbounded preceding and 1 preceding) as weight_before
        from (
            select l.*, true as is_late
            from late as l
            union all
            select y.*, false as is_late
            from young as y
        ) as f
        order by f.position
        limit number_new.max_events
    ),
    found as materialized (
        select
            w.*,
            -- An event above the highest position may have its number already, after a restore or with replication: it is passed over.
            number_new.look and not w.is_late and aximo_private.has_number(w.customer_id, w.event_id, w.run_event_id) as is_there
        from waiting as w
        where coalesce(w.weight_before, 0) < bytes_at_most
    ),
    sizes as materialized (
        select
            c.customer_id,
            coalesce(
                (
                    select l.number
                    from only aximo_private.log_entries as l
                    where l.customer_id = c.customer_id and l.log = number_new.log
                    order by l.number desc
                    limit 1
                ),
                0
            ) as size
        from (select distinct f.customer_id from found as f where not f.is_there) as c
    ),
    added as (
        insert into aximo_private.log_entries (customer_id, log, number, event_id, run_event_id, leaf)
        select
            f.customer_id, number_new.log,
            h.size + row_number() over (partition by f.customer_id order by f.position),
            f.event_id, f.run_event_id,
            (
                select sha256(decode('00', 'hex') || convert_to(s.line, 'UTF8'))
                from (
                    select aximo_private.event_line(e.*) as line
                    from only aximo_private.events as e
                    where e.customer_id = f.customer_id and e.event_id = f.event_id
                    union all
                    select aximo_private.run_event_line(r.*) as line
                    from only helix.run_events as r
                    where r.customer_id = f.customer_id and r.event_id = f.run_event_id
                ) as s
            )
        from found as f
        inner join sizes as h on h.customer_id = f.customer_id
        where not f.is_there
        returning customer_id, number
    )
    select
        pg_current_snapshot(),
        exists (select from open_holes),
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
        ),
        (select count(*) = number_new.max_events from waiting as w) or (select count(*) from waiting as w) > (select count(*) from found as f)
    into scan, looked_into_some, positions, fresh, filled, touched, is_cut;

    -- What remains of a hole when some of its positions have appeared.
    if filled is not null then
        with
        hit as materialized (
            select
                p.position,
                (
                    select h.first_position
                    from aximo_private.log_holes as h
                    where h.log = number_new.log and h.first_position <= p.position
                    order by h.first_position desc
                    limit 1
                ) as hole
            from unnest(filled) as p (position)
        ),
        gone as (
            delete from aximo_private.log_holes as h
            where h.log = number_new.log and h.first_position in (select t.hole from hit as t)
            returning h.first_position, h.last_position, h.seen_by, h.older_than
        )
        insert into aximo_private.log_holes (log, first_position, last_position, seen_by, older_than)
        select number_new.log, r.first_position, r.last_position, r.seen_by, r.older_than
        from (
            select
                coalesce(lag(p.position) over of_hole, g.first_position - 1) + 1 as first_position,
                p.position - 1 as last_position, g.seen_by, g.older_than
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

    -- Forget the holes whose possible owners were all over before this scan, which did not find them.
    delete from aximo_private.log_holes as h
    where h.log = number_new.log and h.older_than < pg_snapshot_xmin(scan)
        and (
            not is_cut
            or h.last_position <= positions[cardinality(positions)]
        );

    if positions is not null then
        update aximo_private.logs as s
        set
            high_position = coalesce(fresh[cardinality(fresh)], s.high_position),
            entries = s.entries + (select coalesce(sum(t.new_size - t.old_size), 0) from unnest(touched) as t)
        where s.log = number_new.log;
    end if;

    -- A call that stopped at its limit did not look into all holes: the next one looks again.
    if looked_into_some and not is_cut then
        update aximo_private.logs as s
        set looked = scan
        where s.log = number_new.log;
    end if;

    insert into aximo_private.log_holes (log, first_position, last_position, seen_by)
    select number_new.log, g.first_position, g.last_position, pg_current_xact_id()
    from (
        select
            coalesce(lag(p.position) over (order by p.position), high) + 1 as first_position,
            p.position - 1 as last_position
        from unnest(fresh) as p (position)
    ) as g
    where g.first_position <= g.last_position;
    -- A transaction that wrote before it called this may have an older id than those that numbered before it.
    if found and (undated_from is null or undated_from > pg_current_xact_id()) then
        update aximo_private.logs as s
        set undated_from = pg_current_xact_id()
        where s.log = number_new.log;
    end if;
    return row(touched, is_cut)::aximo_private.numbering;
end;
$$;
alter function aximo_private.number_new(text, integer, boolean) owner to aximo_sequencer;
comment on function aximo_private.number_new(text, integer, boolean) is 'Gives numbers to the new events of one log, at most so many and so many bytes of text. Returns by how much each customer''s log grew, and whether there may be more. With look, it passes over events above the highest position that have their number already.';

-- Gives numbers to the committed events that have none. It only notes which logs grew; counting for the metrics happens later.
create function aximo.advance_log(max_events integer default 10000)
returns table (numbered bigint, is_behind boolean)
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
-- The planner also expects thousands of remembered holes where there are few: no table here is to be read as a whole.
set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    wrote_before constant boolean := pg_current_xact_id_if_assigned() is not null;
    which text;
    undated_from xid8;
    touched aximo_private.log_growth[];
    found_new bigint;
    is_cut boolean;
begin
    if advance_log.max_events is null or advance_log.max_events < 1 then
        raise exception using
            errcode = 'ZXARG',
            message = 'max_events is at least 1',
            detail = format('max_events is %s', coalesce(advance_log.max_events::text, 'null')),
            hint = 'Give a positive number; what is left over is numbered by the next call.',
            constraint = 'max_events_positive';
    end if;
    perform aximo_private.numbers_for_all();
    -- One session at a time. A second one has nothing to do: the first numbers the same events.
    perform from aximo_private.log_state for update skip locked;
    if not found and exists (select from aximo_private.log_state) then
        return query select 0::bigint, null::boolean;
        return;
    end if;
    -- Without the rows of state that belong to these entries, the events would be numbered again under another name.
    if not found
        or (select count(*) from aximo_private.logs as h) <> 2
        or exists (
            select
            from aximo_private.logs as h
            cross join lateral (
                select s.customer_id, s.event_id, s.run_event_id
                from aximo_private.events_of_logs as s
                where s.log = h.log and s.position > 0
                order by s.position
                limit 1
            ) as f
            where h.high_position = 0 and aximo_private.has_number(f.customer_id, f.event_id, f.run_event_id)
        ) then
        raise exception using
            errcode = 'ZXENV',
            message = 'the log''s state does not belong to its entries',
            detail = 'aximo_private.log_state or aximo_private.logs is missing or new, and aximo_private.log_entries is not empty',
            hint = 'Restore the rows of aximo_private.log_state and aximo_private.logs from the same backup as the entries.',
            constraint = 'log_state_is_the_logs';
    end if;

    for which in select s.log from aximo_private.logs as s order by s.log loop
        -- In a restored dump transactions have other ids: begin again.
        if exists (select from aximo_private.log_holes as h where h.log = which and h.older_than > pg_current_xact_id())
            or exists (select from aximo_private.log_holes as h where h.log = which and h.seen_by > pg_current_xact_id()) then
            update aximo_private.log_holes as h
            set seen_by = pg_current_xact_id(), older_than = null
            where h.log = which;
            update aximo_private.logs as s
            set looked = null, undated_from = pg_current_xact_id()
            where s.log = which;
        end if;

        -- This transaction got its id after it had the lock, hence after every earlier scan. So it is younger than every transaction that
        -- could own a position that those scans missed. That does not hold if it had an id before it came here.
        continue when wrote_before;
        select s.undated_from into undated_from
        from aximo_private.logs as s
        where s.log = which;
        if undated_from < pg_current_xact_id() then
            update aximo_private.log_holes as h
            set older_than = pg_current_xact_id()
            where h.log = which and h.seen_by >= undated_from and h.older_than is null;
            update aximo_private.logs as s
            set undated_from = null
            where s.log = which;
        end if;
    end loop;

    numbered := 0;
    is_behind := false;
    for which in select s.log from aximo_private.logs as s order by s.log loop
        begin
            select n.touched, n.is_cut into touched, is_cut
            from aximo_private.number_new(which, advance_log.max_events, look => false) as n;
        exception
            -- A new event may have its number already. That is rare, and looking for it each time costs a quarter of the whole.
            when unique_violation then
                select n.touched, n.is_cut into touched, is_cut
                from aximo_private.number_new(which, advance_log.max_events, look => true) as n;
        end;
        is_behind := is_behind or is_cut;
        continue when touched is null;
        select sum(t.new_size - t.old_size) into found_new
        from unnest(touched) as t;
        numbered := numbered + found_new;

        perform aximo_private.grow_tree(which, touched);
        perform aximo_private.note_uncounted(touched, which);
    end loop;
    update aximo_private.log_state as s
    set advanced_at = clock_timestamp()
    where s.is_the_row;
    return next;
end;
$$;
alter function aximo.advance_log(integer) owner to aximo_sequencer;
comment on function aximo.advance_log(integer) is 'Gives committed events, of all customers, their numbers, at most so many of each log in one call, and so many that their text is about 64 MiB, and adds them to the trees. Returns how many, and whether there may be more; is_behind is null if another session is at it, and nothing was done. Waits for nobody. ZXARG: max_events below 1; ZXCUS: a login without all customers; ZXENV: the state of another log.';

create view aximo.violations with (security_barrier = true) as
select
    v.customer_id, l.number, v.event_id, v.execution_id, v.rule, v.against, v.found_at
from (
    select *
    from only aximo_private.violations -- noqa: PRS
) as v
left join lateral (
    select number
    from only aximo_private.log_entries -- noqa: PRS
    where customer_id = v.customer_id and event_id = v.event_id
    offset 0
) as l on true;
comment on view aximo.violations is 'Imported events of the session''s customer that break a rule of their execution''s life. An event that is emitted and breaks one is refused. Key: event_id.';
comment on column aximo.violations.customer_id is 'Whose event it is: always the session''s customer.';
comment on column aximo.violations.number is 'The number of the event in the log; null until it is numbered.';
comment on column aximo.violations.event_id is 'The event that breaks the rule.';
comment on column aximo.violations.execution_id is 'The execution.';
comment on column aximo.violations.rule is 'The rule, by the name that a refusal carries.';
comment on column aximo.violations.against is 'The earlier event it is broken against, if there is one.';
comment on column aximo.violations.found_at is 'When the event was imported and judged, by the database''s clock.';
select aximo_private.take_comments('aximo.violations', 'aximo_private.violations');
select aximo_private.take_comments('aximo.violations', 'aximo_private.breach');

-- Worked out when it is read: timestamps say what a deployment was at a moment, and an event that arrives late changes that.
-- aximo.violations shows what was listed when it was written.
create view aximo.deployment_violations with (security_barrier = true) as
with
declared as (
    select customer_id, deployment_id, skill_id, skill_version, event_id, event_type, "timestamp", position, recorded_at
    from only aximo_private.events -- noqa: PRS
    -- The list is that of the index, word by word, so that the planner uses it.
    where event_type in (
        'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_suspended', 'deployment_updated',
        'deployment_terminated', 'version_upgraded', 'version_rolled_back'
    )
),
standing as (
    select
        d.*, lead(d."timestamp", 1, 'infinity') over in_time as until,
        count(*) filter (where d.event_type = 'deployment_terminated') over in_time as terminations
    from declared as d
    where d.event_type not in ('deployment_updated', 'version_upgraded', 'version_rolled_back')
    window in_time as (partition by d.customer_id, d.deployment_id order by d."timestamp", d.position)
),
versions as (
    select
        d.*, lead(d."timestamp", 1, 'infinity') over in_time as until
    from declared as d
    where d.event_type <> 'deployment_suspended'
    window in_time as (partition by d.customer_id, d.deployment_id order by d."timestamp", d.position)
),
found as (
    -- Two events of one moment do not contradict each other.
    select
        s.customer_id, x.execution_id, x.start_step, null::uuid as event_id, s.event_id as against, s.recorded_at,
        case s.event_type
            when 'deployment_suspended' then 'no_execution_while_suspended' else 'no_execution_after_termination'
        end as rule
    from standing as s
    cross join lateral (
        select execution_id, start_step
        from only aximo_private.executions -- noqa: PRS
        where customer_id = s.customer_id and deployment_id = s.deployment_id
            and started_at > s."timestamp" and started_at < s.until
        offset 0
    ) as x
    where s.event_type in ('deployment_suspended', 'deployment_terminated')
    union all
    select
        v.customer_id, x.execution_id, x.start_step, null as event_id, v.event_id as against, v.recorded_at,
        'runs_declared_version' as rule
    from versions as v
    cross join lateral (
        select execution_id, start_step
        from only aximo_private.executions -- noqa: PRS
        where customer_id = v.customer_id and deployment_id = v.deployment_id
            and started_at > v."timestamp" and started_at < v.until
            and (skill_version <> v.skill_version or skill_id <> v.skill_id)
        offset 0
    ) as x
    where v.event_type <> 'deployment_terminated'
    union all
    select
        a.customer_id, null as execution_id, null as start_step, a.event_id, a.ended_with as against, a.recorded_at,
        'no_activation_after_termination' as rule
    from (
        select
            s.*,
            -- Each termination begins a group.
            first_value(s.event_id) over (
                partition by s.customer_id, s.deployment_id, s.terminations order by s."timestamp", s.position
            ) as ended_with
        from standing as s
    ) as a
    where a.event_type = 'deployment_activated' and a.terminations > 0
)
select
    f.customer_id, l.number, e.event_id, f.execution_id, f.rule, f.against,
    greatest(e.recorded_at, f.recorded_at) as found_at
from found as f
cross join lateral (
    select event_id, recorded_at
    from only aximo_private.events -- noqa: PRS
    where customer_id = f.customer_id and execution_id = f.execution_id and step = f.start_step
    union all
    select event_id, recorded_at
    from only aximo_private.events -- noqa: PRS
    where customer_id = f.customer_id and event_id = f.event_id
    offset 0
) as e
left join lateral (
    select number
    from only aximo_private.log_entries -- noqa: PRS
    where customer_id = f.customer_id and event_id = e.event_id
    offset 0
) as l on true;
comment on view aximo.deployment_violations is 'Events of the session''s customer that contradict the life of their deployment: executions that were triggered while it was suspended, after it was terminated or by another version than the one declared, and activations after its end. All of them were accepted. Worked out when read, by timestamps. Key: event_id and rule.';
comment on column aximo.deployment_violations.customer_id is 'Whose event it is: always the session''s customer.';
comment on column aximo.deployment_violations.number is 'The number of the event in the log; null until it is numbered.';
comment on column aximo.deployment_violations.event_id is 'The event that contradicts: what triggered the execution, or the activation.';
comment on column aximo.deployment_violations.execution_id is 'The execution; null for an activation.';
comment on column aximo.deployment_violations.rule is 'no_execution_while_suspended, no_execution_after_termination, runs_declared_version or no_activation_after_termination.';
comment on column aximo.deployment_violations.against is 'The event of the deployment''s life that it contradicts.';
comment on column aximo.deployment_violations.found_at is 'Since when both are on record, by the database''s clock.';

create view aximo.log_leaves as
select
    customer_id, log, number, event_id, run_event_id, leaf
from only aximo_private.log_entries; -- noqa: PRS
comment on view aximo.log_leaves is 'The numbers of the session''s customer''s events, and the leaves of the trees, of both its logs. Key: log, number.';
comment on column aximo.log_leaves.customer_id is 'Whose event it is: always the session''s customer.';
comment on column aximo.log_leaves.log is 'events: of aximo.events. run_events: of helix.run_events.';
comment on column aximo.log_leaves.number is 'The number in the log.';
comment on column aximo.log_leaves.event_id is 'The event, of log events.';
comment on column aximo.log_leaves.run_event_id is 'The event''s event_id, of log run_events.';
comment on column aximo.log_leaves.leaf is 'sha256 of a zero byte and the event''s canonical line in UTF-8, as it was when the event was numbered.';
select aximo_private.take_comments('aximo.log_leaves', 'aximo_private.log_entries');

create view aximo.log_lines as
select
    l.customer_id, l.log, l.number, l.event_id, l.run_event_id, e.line, l.leaf
from aximo.log_leaves as l
-- LEFT JOIN: an entry whose event was taken away shows as one without a line.
left join lateral (
    select aximo_private.event_line(s) as line
    from only aximo_private.events as s -- noqa: PRS
    where s.customer_id = l.customer_id and s.event_id = l.event_id
    union all
    select aximo_private.run_event_line(r) as line
    from only helix.run_events as r -- noqa: PRS
    where r.customer_id = l.customer_id and r.event_id = l.run_event_id
    offset 0
) as e on true;
comment on view aximo.log_lines is 'The logs of the session''s customer as lines of JSON with their hashes: what an export holds, and what is proved. Key: log, number.';
comment on column aximo.log_lines.number is 'The number in the log, and the line''s in an export.';
comment on column aximo.log_lines.line is 'The event''s canonical line, without a line feed; null if somebody took the event away.';
comment on column aximo.log_lines.leaf is 'sha256 of a zero byte and the line in UTF-8, as it was when the event was numbered.';
select aximo_private.take_comments('aximo.log_leaves', 'aximo.log_lines');

-- The lists of an event's fields in this file are made by tools/event_fields.py.
create view aximo.log_entries as
select
    l.customer_id, l.number,
    e.event_id, e.event_type, e."timestamp", e.deployment_id, e.skill_id, e.skill_version, e.execution_id, e.risk_level, e.approval_mode,
    e.actor, e.payload, e.correlation_id, e.channel_type, e.error_code, e.latency_ms, e.recorded_at, e.recorded_by, e.step
from aximo.log_leaves as l
-- A look-up for each entry: without statistics the planner may turn a join into a pass over all events.
cross join lateral (
    select s.*
    from aximo.events as s
    where s.customer_id = l.customer_id and s.event_id = l.event_id
    offset 0
) as e
where l.log = 'events';
comment on view aximo.log_entries is 'The log of the session''s customer: its numbered events. Read it in order with aximo.read_log. Key: number.';
comment on column aximo.log_entries.number is 'The number in the log: 1, 2, 3 … without a gap, and never another.';
select aximo_private.take_comments('aximo.events', 'aximo.log_entries');

create view helix.log_entries as
select
    l.customer_id, l.number, e.event_id, e.run_id, e.ts, e.kind, e.message, e.data, e.extra, e.recorded_at, e.recorded_by
from aximo.log_leaves as l
-- A look-up for each entry: without statistics the planner may turn a join into a pass over all events.
cross join lateral (
    select s.* -- noqa: RF01
    from only helix.run_events as s -- noqa: PRS
    where s.customer_id = l.customer_id and s.event_id = l.run_event_id
    offset 0
) as e
where l.log = 'run_events';
comment on view helix.log_entries is 'The log of the run events of the session''s customer. Read it in order with helix.read_log. Key: number.';
comment on column helix.log_entries.number is 'The number in the log: 1, 2, 3 … without a gap, and never another.';
comment on column helix.log_entries.event_id is 'The event.';
comment on column helix.log_entries.kind is 'What happened.';
comment on column helix.log_entries.recorded_at is 'When it was written, by the database''s clock.';
comment on column helix.log_entries.recorded_by is 'The login that wrote it.';
select aximo_private.take_comments('helix.run_events', 'helix.log_entries');

create view aximo.log_nodes as
select
    customer_id, log, level, index, hash
from only aximo_private.log_nodes; -- noqa: PRS
comment on view aximo.log_nodes is 'Hashes of the complete subtrees of the logs of the session''s customer. Read them as tiles with aximo.log_tile. Key: log, level, index.';
comment on column aximo.log_nodes.customer_id is 'Whose log it is: always the session''s customer.';
comment on column aximo.log_nodes.log is 'events: of aximo.events. run_events: of helix.run_events.';
comment on column aximo.log_nodes.level is '1 for subtrees of 256 entries, 2 for 65536, and so on.';
comment on column aximo.log_nodes.index is 'Its place among those of its level: 0, 1, 2 …';
comment on column aximo.log_nodes.hash is 'The Merkle tree hash of its entries (RFC 9162, section 2.1.1).';
select aximo_private.take_comments('aximo.log_nodes', 'aximo_private.log_nodes');

create view aximo.checkpoints with (security_barrier = true) as
select
    customer_id, log, checkpoint_id, size, root, note, made_at, made_by
from only aximo_private.checkpoints; -- noqa: PRS
comment on view aximo.checkpoints is 'The checkpoints of the logs of the session''s customer. Key: checkpoint_id.';
comment on column aximo.checkpoints.customer_id is 'Whose log: always the session''s customer.';
comment on column aximo.checkpoints.log is 'events: of aximo.events. run_events: of helix.run_events.';
comment on column aximo.checkpoints.checkpoint_id is 'Made by the database.';
comment on column aximo.checkpoints.size is 'How many entries it speaks of.';
comment on column aximo.checkpoints.root is 'Their Merkle tree hash (RFC 9162, section 2.1.1).';
comment on column aximo.checkpoints.note is 'The checkpoint as text (C2SP tlog-checkpoint), with its signatures (C2SP signed-note), if it has any.';
comment on column aximo.checkpoints.made_at is 'When it was added, by the database''s clock.';
comment on column aximo.checkpoints.made_by is 'The login that added it.';
select aximo_private.take_comments('aximo.checkpoints', 'aximo_private.checkpoints');

create function aximo.log_size(log text default 'events') returns bigint
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo.current_customer();
begin
    if (log_size.log in ('events', 'run_events')) is not true then
        raise exception using
            errcode = 'ZXARG',
            message = 'there is no such log',
            detail = format('log %L', left(log_size.log, 60)),
            hint = 'A customer has the logs events and run_events.',
            constraint = 'log_known';
    end if;
    return coalesce(
        (
            select l.number
            from aximo.log_leaves as l
            where l.customer_id = customer and l.log = log_size.log
            order by l.number desc
            limit 1
        ),
        0
    );
end;
$$;
comment on function aximo.log_size(text) is 'How many entries that log of the session''s customer has; 0 if the session has no customer. ZXARG: no such log.';

create function aximo.log_tile(level integer, index bigint, width integer default 256, log text default 'events') returns bytea
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo.current_customer();
    first_one bigint;
begin
    if (
        log_tile.log in ('events', 'run_events') and log_tile.level between 0 and 7 and log_tile.width between 1 and 256 and log_tile.index between 0 and 36028797018963966
    ) is not true then
        raise exception using
            errcode = 'ZXARG',
            message = 'there is no such tile',
            detail = format('log %L, level %s, index %s, width %s', left(log_tile.log, 60), log_tile.level, log_tile.index, log_tile.width),
            hint = 'A log is events or run_events, a level 0 to 7, an index 0 or more, a width 1 to 256.',
            constraint = 'tile_is_possible';
    end if;
    first_one := 256 * log_tile.index;
    if log_tile.level = 0 then
        return (
            select string_agg(l.leaf, '' order by l.number)
            from aximo.log_leaves as l
            where l.customer_id = customer and l.log = log_tile.log and l.number between first_one + 1 and first_one + log_tile.width
        );
    end if;
    return (
        select string_agg(n.hash, '' order by n.index)
        from aximo.log_nodes as n
        where n.customer_id = customer and n.log = log_tile.log and n.level = log_tile.level
            and n.index between first_one and first_one + log_tile.width - 1
    );
end;
$$;
comment on function aximo.log_tile(integer, bigint, integer, text) is 'A tile of that log of the session''s customer, as C2SP tlog-tiles has it: up to 256 hashes of 32 bytes, fewer if there are not so many; null if there is none. ZXARG: no such level, index or width.';

create function aximo.log_root(size bigint default null, log text default 'events') returns bytea
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo.current_customer();
    actual constant bigint := aximo.log_size(log_root.log);
    remaining bigint := coalesce(log_root.size, actual);
    height integer := 1;
    expected bigint;
    above bytea;
    hashes bytea[];
begin
    if remaining < 0 or remaining > actual then
        raise exception using
            errcode = 'ZXARG',
            message = 'the log never had that size',
            detail = format('size %s was asked for, and the log has %s entries', remaining, actual),
            hint = 'Ask for a size from 0 to the log''s.',
            constraint = 'size_within_log';
    end if;
    -- Collects, level by level, the hashes to the right of the last complete tile, and the hash of everything to the right of those.
    hashes := array(
        select l.leaf
        from aximo.log_leaves as l
        where l.customer_id = customer and l.log = log_root.log and l.number > remaining / 256 * 256 and l.number <= remaining
        order by l.number
    );
    expected := remaining % 256;
    remaining := remaining / 256;
    loop
        -- A root over fewer hashes would look like any other root.
        if cardinality(hashes) <> expected then
            raise exception using
                errcode = 'ZXENV',
                message = 'hashes of the log are missing',
                detail = format('log %L, level %s: %s of %s hashes are there', log_root.log, height - 1, cardinality(hashes), expected),
                hint = 'aximo.verify_log names what is missing, and aximo.rebuild_log_nodes makes it again of the entries.',
                constraint = 'log_nodes_present';
        end if;
        above := case when cardinality(hashes) > 0 then aximo.tree_hash(hashes) end;
        exit when remaining = 0;
        hashes := array(
            select n.hash
            from aximo.log_nodes as n
            where n.customer_id = customer and n.log = log_root.log and n.level = height
                and n.index >= remaining / 256 * 256 and n.index < remaining
            order by n.index
        );
        expected := remaining % 256;
        if above is not null then
            hashes := hashes || above;
            expected := expected + 1;
        end if;
        remaining := remaining / 256;
        height := height + 1;
    end loop;
    return coalesce(above, sha256(''));
end;
$$;
comment on function aximo.log_root(bigint, text) is 'The Merkle tree hash (RFC 9162, section 2.1.1) of the first so many entries of that log of the session''s customer; of all, if left out. ZXARG: the log has not so many, or there is no such log. ZXENV: hashes of the log are missing.';

-- Runs as the sequencer, who may read the ledger's name. The log is the one of the session's customer.
create function aximo.log_origin(log text default 'events') returns text
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
            ) || case log_origin.log when 'events' then '' when 'run_events' then '/run_events' end
        from aximo_private.log_state as s
    );
end;
$$;
alter function aximo.log_origin(text) owner to aximo_sequencer;
comment on function aximo.log_origin(text) is 'The origin of the checkpoints of that log of the session''s customer: the ledger''s name, a slash, and the customer, percent-encoded; then, of its run events, /run_events. Null if the session has no customer, or there is no such log.';

create function aximo.checkpoint_text(size bigint default null, log text default 'events') returns text
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    actual constant bigint := coalesce(checkpoint_text.size, aximo.log_size(checkpoint_text.log));
begin
    return aximo.log_origin(checkpoint_text.log) || E'\n' || actual || E'\n' || encode(aximo.log_root(actual, checkpoint_text.log), 'base64') || E'\n';
end;
$$;
comment on function aximo.checkpoint_text(bigint, text) is 'The checkpoint of that log of the session''s customer at that size, now if left out: origin, size and root, a line each (C2SP tlog-checkpoint). Null if the session has no customer. ZXARG: the log has not that size, or there is no such log. ZXENV: hashes of the log are missing.';

-- Computes the tree again from the leaves of its entries, level by level, and compares it with the stored hashes, within one snapshot:
-- about a second for a million entries.
create function aximo.check_log_nodes(log text default 'events', since bigint default 0) returns void
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo.current_customer();
    size constant bigint := aximo.log_size(check_log_nodes.log);
    height integer := 1;
    width bigint := 256;
    problem text;
begin
    while width <= size and height <= 7 loop
        select format('log %L, level %s, index %s: %s', check_log_nodes.log, height, b.index, case when n.hash is null then 'missing' else 'differs' end)
        into problem
        from generate_series(greatest(check_log_nodes.since, 0) / width, size / width - 1) as b (index)
        left join lateral (
            select k.hash
            from aximo.log_nodes as k
            where k.customer_id = customer and k.log = check_log_nodes.log and k.level = height and k.index = b.index
            offset 0
        ) as n on true
        cross join lateral (
            select case
                when height = 1 then array(
                    select l.leaf
                    from aximo.log_leaves as l
                    where l.customer_id = customer and l.log = check_log_nodes.log
                        and l.number between 256 * b.index + 1 and 256 * (b.index + 1)
                    order by l.number
                )
                else array(
                    select k.hash
                    from aximo.log_nodes as k
                    where k.customer_id = customer and k.log = check_log_nodes.log and k.level = height - 1
                        and k.index between 256 * b.index and 256 * b.index + 255
                    order by k.index
                )
            end as hashes
        ) as c
        where cardinality(c.hashes) <> 256 or n.hash is distinct from aximo.tree_hash(c.hashes)
        order by b.index
        limit 1;
        if problem is not null then
            raise exception using
                errcode = 'ZXENV',
                message = 'a hash of the log''s tree is missing, or does not follow from its entries',
                detail = problem,
                hint = 'If it is missing, aximo.rebuild_log_nodes makes it again. If it differs, somebody changed it: see "Hashes of the log that are missing" in docs/dba.md.',
                constraint = 'log_nodes_are_the_entries';
        end if;
        height := height + 1;
        width := width * 256;
    end loop;
end;
$$;
comment on function aximo.check_log_nodes(text, bigint) is 'Nothing, if the kept hashes of the complete subtrees of that log of the session''s customer follow from its entries; or those of subtrees that were not complete yet when it had so many entries. Reads the leaves of these. To be called before a checkpoint is signed. ZXENV: a hash is missing or differs; ZXARG: no such log.';

create view aximo.cursors with (security_barrier = true) as
select
    customer_id, log, name::text as name, number, aximo.log_size(log) - number as behind, moved_at, moved_by
from only aximo_private.log_cursors; -- noqa: PRS
comment on view aximo.cursors is 'The consumers of the logs of the session''s customer, and how far they have come. Key: log, name.';
comment on column aximo.cursors.customer_id is 'Whose log: always the session''s customer.';
comment on column aximo.cursors.log is 'events: of aximo.events. run_events: of helix.run_events.';
comment on column aximo.cursors.name is 'The consumer.';
comment on column aximo.cursors.number is 'The last number it is done with; 0 before the first.';
comment on column aximo.cursors.behind is 'How many numbered events it has not read yet.';
comment on column aximo.cursors.moved_at is 'When it was moved last, by the database''s clock.';
comment on column aximo.cursors.moved_by is 'The login that moved it.';
select aximo_private.take_comments('aximo.cursors', 'aximo_private.log_cursors');

-- Made by tools/alike.py, which makes others like it; change that.
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
            message = 'a log is read after a number of 0 or more, at least one entry at a time',
            detail = format('after_seq %s, max_events %s', read_log.after_seq, read_log.max_events),
            hint = 'Begin with after_seq 0, go on with the last number that you have, and ask for max_events of 1 or more.',
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
comment on function aximo.read_log(bigint, integer, boolean) is 'The entries of the log of the session''s customer after that number, in order, without a gap. With advance, numbers what is new first, which an operator may; the lock is held to the end of the transaction. ZXARG: a negative number, or no event at all.';

-- Made by tools/alike.py, which makes others like it; change that.
create function helix.read_log(after_seq bigint default 0, max_events integer default 1000, advance boolean default false)
returns setof helix.log_entries
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo.current_customer();
begin
    if read_log.after_seq is null or read_log.after_seq < 0 or read_log.max_events is null or read_log.max_events < 1 then
        raise exception using
            errcode = 'ZXARG',
            message = 'a log is read after a number of 0 or more, at least one entry at a time',
            detail = format('after_seq %s, max_events %s', read_log.after_seq, read_log.max_events),
            hint = 'Begin with after_seq 0, go on with the last number that you have, and ask for max_events of 1 or more.',
            constraint = 'log_is_read_forward';
    end if;
    if read_log.advance then
        perform aximo.advance_log(greatest(read_log.max_events, 10000));
    end if;
    return query
    select l.*
    from helix.log_entries as l
    where l.customer_id = customer and l.number > read_log.after_seq
        and l.number <= least(read_log.after_seq, 9223372036854775807 - read_log.max_events) + read_log.max_events
    order by l.number;
end;
$$;
comment on function helix.read_log(bigint, integer, boolean) is 'The entries of the log of run events of the session''s customer after that number, in order, without a gap. With advance, numbers what is new first, which an operator may; the lock is held to the end of the transaction. ZXARG: a negative number, or no event at all.';

-- The lock lasts to the end of the transaction: of two consumers with one name the second waits, and goes on where the first ended.
create function aximo.open_cursor(name text, log text default 'events') returns bigint
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
                message = 'no cursor can have that name',
                detail = format('name is %L', left(open_cursor.name, 60)),
                hint = 'Name it for its consumer: 1 to 255 characters, not blank.',
                constraint = 'cursor_is_named';
    end;
    -- Raises an error if there is no such log.
    perform aximo.log_size(open_cursor.log);
    loop
        select c.number into found_number
        from only aximo_private.log_cursors as c
        where c.customer_id = customer and c.log = open_cursor.log and c.name = cursor_name
        for update;
        if found then
            return found_number;
        end if;
        insert into aximo_private.log_cursors (customer_id, log, name)
        values (customer, open_cursor.log, cursor_name)
        on conflict do nothing;
    end loop;
end;
$$;
alter function aximo.open_cursor(text, text) owner to aximo_sequencer;
comment on function aximo.open_cursor(text, text) is 'How far the consumer of this name has come in that log of the session''s customer; 0 if it is new. Keeps others of this name waiting until the transaction ends. ZXCUS: no customer; ZXARG: no name, or no such log.';

create function aximo.move_cursor(name text, from_number bigint, to_number bigint, log text default 'events') returns void
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo_private.writing_customer(null);
    found_number constant bigint := aximo.open_cursor(move_cursor.name, move_cursor.log);
    size constant bigint := aximo.log_size(move_cursor.log);
begin
    if found_number is distinct from move_cursor.from_number then
        raise exception using
            errcode = 'ZXCUR',
            message = 'somebody else moved the cursor',
            detail = format('cursor %L is at %s, not at %s', move_cursor.name, found_number, move_cursor.from_number),
            hint = 'Open the cursor again, and read from where it is. Give each consumer a name of its own.',
            constraint = 'cursor_was_there';
    end if;
    if move_cursor.to_number is null or move_cursor.to_number < 0 or move_cursor.to_number > size then
        raise exception using
            errcode = 'ZXARG',
            message = 'a cursor stays within the log',
            detail = format('it was to move to %s, and the log has %s entries', move_cursor.to_number, size),
            hint = 'Move it to a number that was read, or back to 0.',
            constraint = 'cursor_within_log';
    end if;
    update aximo_private.log_cursors as c
    set number = move_cursor.to_number, moved_at = clock_timestamp(), moved_by = session_user
    where c.customer_id = customer and c.log = move_cursor.log and c.name = move_cursor.name;
end;
$$;
alter function aximo.move_cursor(text, bigint, bigint, text) owner to aximo_sequencer;
comment on function aximo.move_cursor(text, bigint, bigint, text) is 'Moves a consumer''s cursor from where it is to another number, forward or back. In the transaction of the consumer''s own work it makes that work exactly-once. ZXCUR: it is not where the caller thinks; ZXARG: outside of the log; ZXCUS: no customer.';

-- Only a true checkpoint is kept: its text is made again here and compared. Signatures are checked outside of the database.
create function aximo.add_checkpoint(note text) returns void
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo_private.writing_customer(null);
    lines constant text[] := string_to_array(add_checkpoint.note, E'\n');
    named_log text;
    stated_size bigint;
    expected text;
begin
    -- The first line names the log.
    named_log := case lines[1] when aximo.log_origin('events') then 'events' when aximo.log_origin('run_events') then 'run_events' end;
    if named_log is not null and lines[2] ~ '^(0|[1-9][0-9]{0,17})$' then
        stated_size := lines[2];
        -- Checks the hashes from the latest true checkpoint on: earlier wrong hashes would have given that one another root.
        perform aximo.check_log_nodes(
            named_log,
            coalesce(
                (
                    select c.size
                    from aximo.checkpoints as c
                    where c.customer_id = customer and c.log = named_log and c.size <= stated_size
                        and c.root = aximo.log_root(c.size, named_log)
                    order by c.size desc
                    limit 1
                ),
                0
            )
        );
        expected := aximo.checkpoint_text(stated_size, named_log);
    end if;
    if expected is null or not starts_with(add_checkpoint.note, expected)
        or (add_checkpoint.note <> expected and substr(add_checkpoint.note, char_length(expected) + 1) !~ E'^\n(— [^[:cntrl:]\u2028\u2029]+\n)+$')
        or octet_length(add_checkpoint.note) > 16384 then
        raise exception using
            errcode = 'ZXPRF',
            message = 'this is not the checkpoint of this log at that size',
            detail = format('its text should be %L, and after it nothing, or an empty line and signatures', expected),
            hint = 'Make it anew with "aximo-db checkpoint" or aximo.checkpoint_text. If it was right once, the log was changed: run "aximo-db verify".',
            constraint = 'checkpoint_is_true';
    end if;
    insert into aximo_private.checkpoints (customer_id, log, size, root, note)
    values (customer, named_log, stated_size, aximo.log_root(stated_size, named_log), add_checkpoint.note);
    perform setval('aximo_private.checkpoint_clock', extract(epoch from clock_timestamp())::bigint);
end;
$$;
alter function aximo.add_checkpoint(text) owner to aximo_sequencer;
comment on function aximo.add_checkpoint(text) is 'Keeps a checkpoint of a log of the session''s customer, signed or not, if it is true today. ZXPRF: it is not; ZXCUS: no customer; ZXARG: the log has not that size; ZXENV: hashes of the log are missing or differ.';

create function aximo.unlogged_events(log text default 'events')
returns table (event_id uuid, recorded_at timestamptz, is_coming boolean, run_event_id bigint)
language plpgsql stable security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    customer constant text := aximo_private.writing_customer(null);
    high constant bigint := (select s.high_position from aximo_private.logs as s where s.log = unlogged_events.log);
begin
    -- Raises an error if there is no such log.
    perform aximo.log_size(unlogged_events.log);
    return query
    select
        e.event_id, e.recorded_at,
        e.position > high or exists (
            select from aximo_private.log_holes as h
            where h.log = e.log and e.position between h.first_position and h.last_position
        ),
        e.run_event_id
    from aximo_private.events_of_logs as e
    where e.log = unlogged_events.log and e.customer_id = customer and not aximo_private.has_number(customer, e.event_id, e.run_event_id)
    order by e.position;
end;
$$;
alter function aximo.unlogged_events(text) owner to aximo_sequencer;
comment on function aximo.unlogged_events(text) is 'The events of that log of the session''s customer that have no number: is_coming if the next aximo.advance_log gives them one; those without were put there past it, or lost by a bug, and aximo.mend_log finds them. Reads all events. ZXCUS: no customer; ZXARG: no such log.';

-- Recomputes numbers, hashes and checkpoints, and looks for events that should be in the log and are not. It does not check violations,
-- which follow from the events.
create function aximo.verify_log(
    log text default 'events',
    first_number bigint default null,
    last_number bigint default null,
    -- The longest time that a transaction may have taken from its write to its commit.
    in_flight interval default '1 hour'
)
returns table (problem text, number bigint, event_id uuid, detail text, run_event_id bigint)
language plpgsql stable security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    customer constant text := aximo_private.writing_customer(null);
    size constant bigint := aximo.log_size(verify_log.log);
    -- A piece of a log is a range of entries and the subtrees that end in it. What belongs to no piece is checked with the last piece.
    first_one constant bigint := greatest(coalesce(verify_log.first_number, 1), 1);
    last_one constant bigint := least(coalesce(verify_log.last_number, size), size);
    is_last constant boolean := verify_log.last_number is null;
    checkpoint record;
    is_true boolean;
begin
    return query
    select p.problem, p.number, p.event_id, p.detail, p.run_event_id
    from (
        select
            case
                when l.number <> l.expected then 'number_missing'
                when e.line is null then 'event_removed'
                else 'event_differs'
            end as problem,
            l.number, l.event_id, l.run_event_id,
            case when l.number <> l.expected then format('the entry before it is %s', l.before) end as detail,
            l.number as place
        from (
            select
                n.number, n.event_id, n.run_event_id, n.leaf,
                first_one - 1 + row_number() over (order by n.number) as expected,
                lag(n.number, 1, first_one - 1) over (order by n.number) as before
            from only aximo_private.log_entries as n
            where n.customer_id = customer and n.log = verify_log.log
                and (verify_log.first_number is null or n.number >= first_one) and (is_last or n.number <= last_one)
        ) as l
        left join lateral (
            select aximo_private.event_line(s.*) as line
            from only aximo_private.events as s
            where s.customer_id = customer and s.event_id = l.event_id
            union all
            select aximo_private.run_event_line(r.*) as line
            from only helix.run_events as r
            where r.customer_id = customer and r.event_id = l.run_event_id
            offset 0
        ) as e on true
        -- Only the first wrong number is named: all after it are wrong too.
        where (l.number <> l.expected and l.number <> l.before + 1)
            or e.line is null
            or l.leaf <> sha256(decode('00', 'hex') || convert_to(e.line, 'UTF8'))
        union all
        -- An event that was written at the end of the log with an early recorded_at. Checked for the whole log with the last piece, as it
        -- needs the newest recorded_at of all entries before.
        select
            'recorded_out_of_order', o.number, o.event_id, o.run_event_id,
            format('recorded at %s, and numbered after one of %s', o.recorded_at, o.newest),
            o.number
        from (
            select
                n.number, n.event_id, n.run_event_id, e.recorded_at,
                max(e.recorded_at) over (order by n.number rows between unbounded preceding and 1 preceding) as newest
            from only aximo_private.log_entries as n
            left join lateral (
                select s.recorded_at
                from only aximo_private.events as s
                where s.customer_id = customer and s.event_id = n.event_id
                union all
                select r.recorded_at
                from only helix.run_events as r
                where r.customer_id = customer and r.event_id = n.run_event_id
                offset 0
            ) as e on true
            where is_last and n.customer_id = customer and n.log = verify_log.log
        ) as o
        where o.recorded_at < o.newest - verify_log.in_flight
        union all
        select 'event_not_in_log', null, u.event_id, u.run_event_id, 'its position was numbered past', null
        from aximo.unlogged_events(verify_log.log) as u
        where is_last and not u.is_coming
        union all
        select
            case when n.hash is null then 'node_missing' else 'node_differs' end,
            b.index * g.width + 1, null, null, format('level %s, index %s', g.level, b.index), g.width * (b.index + 1)
        from (
            select
                v.level, (256::numeric ^ v.level)::bigint as width
            from generate_series(1, 7) as v (level)
        ) as g
        cross join lateral generate_series((first_one - 1) / g.width, last_one / g.width - 1) as b (index)
        left join lateral (
            select k.hash
            from only aximo_private.log_nodes as k
            where k.customer_id = customer and k.log = verify_log.log and k.level = g.level and k.index = b.index
            offset 0
        ) as n on true
        where n.hash is distinct from aximo.tree_hash(aximo_private.hashes_below(customer, verify_log.log, g.level, b.index))
        union all
        select 'node_ahead', null, null, null, format('level %s, index %s', n.level, n.index), null
        from only aximo_private.log_nodes as n
        where is_last and n.customer_id = customer and n.log = verify_log.log
            and (n.level not between 1 and 7 or (n.index + 1) * 256::numeric ^ n.level > size)
    ) as p
    -- A subtree comes after its entries, so that the entry which is wrong is named first.
    order by p.place nulls last, p.detail nulls first, p.event_id, p.run_event_id;

    for checkpoint in
        select c.size, c.root, c.note, c.made_at
        from aximo.checkpoints as c
        where c.customer_id = customer and c.log = verify_log.log
            and is_last
        order by c.size, c.made_at
    loop
        if checkpoint.size > size then
            return query
            select 'checkpoint_ahead'::text, checkpoint.size, null::uuid, format('made at %s, of a log that has %s entries now', checkpoint.made_at, size), null::bigint;
            continue;
        end if;
        begin
            is_true := checkpoint.root = aximo.log_root(checkpoint.size, verify_log.log)
                and starts_with(checkpoint.note, aximo.checkpoint_text(checkpoint.size, verify_log.log));
        exception
            -- Hashes are missing, so there is no root. They are named above.
            when sqlstate 'ZXENV' then
                is_true := false;
        end;
        if not is_true then
            return query
            select 'checkpoint_differs'::text, checkpoint.size, null::uuid, format('made at %s', checkpoint.made_at), null::bigint;
        end if;
    end loop;
end;
$$;
alter function aximo.verify_log(text, bigint, bigint, interval) owner to aximo_sequencer;
comment on function aximo.verify_log(text, bigint, bigint, interval) is 'What is wrong with that log of the session''s customer, in its order; no rows if nothing is. Recomputes numbers, lines, hashes and the stored checkpoints, and finds events that are not in the log, or were recorded longer before one that has a lower number than a transaction is open: in_flight. With numbers, of a piece: its entries and the subtrees that end in it; events that are not in the log, their order and checkpoints, with the one that has no last number. Pieces can be verified one after the other or side by side, each in a transaction of its own. ZXCUS: no customer; ZXARG: no such log.';

-- Finds events that numbering passed over, if there ever are any: verify_log names them. Also for positions that were restored out of
-- order.
create function aximo.mend_log() returns bigint
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    mended bigint;
begin
    perform aximo_private.numbers_for_all();
    -- Waits for the numbering under way, and keeps the next one waiting.
    perform from aximo_private.log_state for update;
    -- An event that somebody put into a remembered hole did not come from a transaction that could own it: look into all holes again.
    update aximo_private.logs as s
    set looked = null, undated_from = least(s.undated_from, pg_current_xact_id());
    -- Each becomes a hole: the next advance finds it there, and gives it the number after the last one.
    with
    missed as (
        select e.log, e.position
        from aximo_private.events_of_logs as e
        inner join aximo_private.logs as s on s.log = e.log
        where e.position <= s.high_position
            and not exists (
                select from aximo_private.log_holes as h
                where h.log = e.log and e.position between h.first_position and h.last_position
            )
            and not aximo_private.has_number(e.customer_id, e.event_id, e.run_event_id)
    ),
    remembered as (
        insert into aximo_private.log_holes (log, first_position, last_position, seen_by)
        select distinct m.log, m.position, m.position, pg_current_xact_id()
        from missed as m
    )
    select count(*) into mended
    from missed as m;
    return mended;
end;
$$;
alter function aximo.mend_log() owner to aximo_sequencer;
comment on function aximo.mend_log() is 'Finds the events of all customers that are not in the log and should be; the next aximo.advance_log numbers them. Returns how many. Reads everything.';

-- Makes missing hashes again from the leaves. A hash that differs stays: the table is append-only, and first a person has to find out who
-- changed it.
create function aximo.rebuild_log_nodes() returns bigint
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    width bigint := 1;
    made bigint;
    rebuilt bigint := 0;
begin
    perform aximo_private.numbers_for_all();
    perform from aximo_private.log_state for update;
    for height in 1 .. 7 loop
        width := width * 256;
        insert into aximo_private.log_nodes (customer_id, log, level, index, hash)
        select s.customer_id, s.log, height, b.index, aximo.tree_hash(c.hashes)
        from (
            select l.customer_id, l.log, max(l.number) as size
            from only aximo_private.log_entries as l
            group by l.customer_id, l.log
        ) as s
        cross join lateral (
            select i.index
            from generate_series(0, s.size / width - 1) as i (index)
            where not exists (
                    select from only aximo_private.log_nodes as n
                    where n.customer_id = s.customer_id and n.log = s.log and n.level = height and n.index = i.index
                )
            offset 0
        ) as b
        cross join lateral (
            select aximo_private.hashes_below(s.customer_id, s.log, height, b.index) as hashes
            offset 0
        ) as c
        where cardinality(c.hashes) = 256;
        get diagnostics made = row_count;
        rebuilt := rebuilt + made;
    end loop;
    return rebuilt;
end;
$$;
alter function aximo.rebuild_log_nodes() owner to aximo_sequencer;
comment on function aximo.rebuild_log_nodes() is 'Makes the hashes of complete subtrees that are missing, of all logs of all customers, from the leaves of their entries, and returns how many. One that is there stays as it is; aximo.verify_log names it if it differs. Waits for the numbering under way. ZXCUS: a login without all customers.';

-- A login that may work for a customer may know its name. A job that visits all customers has to get the names from here.
create function aximo.my_customers() returns table (customer_id text)
language plpgsql stable security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    granted constant text[] := aximo_private.session_grants();
    found_one text := '';
begin
    if not '*' = any(granted) then
        return query
        select g.customer_id
        from unnest(granted) as g (customer_id)
        order by g.customer_id;
        return;
    end if;
    -- Goes from each customer to the next by the index, and reads nothing else of them.
    loop
        select min(n.customer_id) into found_one
        from (
            (select e.customer_id from only aximo_private.events as e where e.customer_id > found_one order by e.customer_id limit 1)
            union all
            (select l.customer_id from only aximo_private.log_entries as l where l.customer_id > found_one order by l.customer_id limit 1)
            union all
            (select r.customer_id from only helix.runs as r where r.customer_id > found_one order by r.customer_id limit 1)
            union all
            select g.customer_id
            from unnest(granted) as g (customer_id)
            where g.customer_id <> '*' and g.customer_id > found_one collate "C"
        ) as n;
        exit when found_one is null;
        customer_id := found_one;
        return next;
    end loop;
end;
$$;
alter function aximo.my_customers() owner to aximo_sequencer;
comment on function aximo.my_customers() is 'The customers that the session''s login was granted, in order; of one that was granted all, those that have events, runs or a log, and those named besides. For jobs that look at one after the other.';

-- An index entry has no room for several names of 255 characters each.
create function aximo_private.series_key(parts text[]) returns uuid
language sql stable security invoker parallel safe
return encode(substring(sha256(convert_to(array_to_json(parts)::text, 'UTF8')) from 1 for 16), 'hex')::uuid;
comment on function aximo_private.series_key(text[]) is 'The first half of the SHA-256 of some names.';

-- Bins are 4 % wide: the middle of one is at most 1.97 % off from any value in it. A negative value, which clocks that disagree make, has
-- the bin of its absolute value with a minus sign.
create function aximo_private.histogram_bin(value double precision) returns bigint
language sql immutable security invoker parallel safe
return case
    when value > 0 then 1 + ceil(ln(value) / ln(1.04::double precision))
    when value < 0 then -1 - ceil(ln(-value) / ln(1.04::double precision))
    else 0
end::bigint;
comment on function aximo_private.histogram_bin(double precision) is 'The bin of a whole number: 0 of 0, else 1 + i with 1.04^(i-1) < |value| <= 1.04^i, negative for negative values.';

create function aximo_private.histogram_value(bin bigint) returns double precision
language sql immutable security invoker parallel safe
return case
    when bin = 0 then 0
    else sign(bin) * 2 * 1.04::double precision ^ (abs(bin) - 1) / 2.04
end;
comment on function aximo_private.histogram_value(bigint) is 'The value that stands for all values of a bin: at most 2 % off from each of them.';

create type aximo_private.fact as (
    customer_id text,
    deployment_id text,
    skill_id text,
    skill_version text,
    hour timestamptz,
    number bigint,
    happened_at timestamptz,
    event_type text,
    action_type text,
    risk_level text,
    is_lead boolean,
    is_emergency boolean,
    is_opened boolean,
    is_closed boolean,
    is_answered boolean,
    execution_us bigint,
    latency_ms bigint,
    delay_us bigint
);
comment on type aximo_private.fact is 'One thing to count, with the hour, deployment, skill and version in which it counts.';
comment on column aximo_private.fact.customer_id is 'Whose.';
comment on column aximo_private.fact.deployment_id is 'The deployment it counts in.';
comment on column aximo_private.fact.skill_id is 'The skill.';
comment on column aximo_private.fact.skill_version is 'Its version.';
comment on column aximo_private.fact.hour is 'When the hour of UTC begins.';
comment on column aximo_private.fact.number is 'The log number of the event it became known by.';
comment on column aximo_private.fact.happened_at is 'Of an event: its timestamp.';
comment on column aximo_private.fact.event_type is 'Of an event: its type. Null for what became known by it.';
comment on column aximo_private.fact.action_type is 'Of an action: payload.action_type; its hash, if it is longer than 255 bytes, or has no short text.';
comment on column aximo_private.fact.risk_level is 'Of an event: the risk it states.';
comment on column aximo_private.fact.is_lead is 'Of an action dispatched: whether it is a lead.';
comment on column aximo_private.fact.is_emergency is 'Of an action dispatched: whether payload.priority is high, or payload.emergency true.';
comment on column aximo_private.fact.is_opened is 'Whether an execution began here.';
comment on column aximo_private.fact.is_closed is 'Whether an execution that began here has ended.';
comment on column aximo_private.fact.is_answered is 'Whether an approval requested here was answered.';
comment on column aximo_private.fact.execution_us is 'How long an execution took that ended here, in microseconds.';
comment on column aximo_private.fact.latency_ms is 'The latency an event states.';
comment on column aximo_private.fact.delay_us is 'How long an approval took that was answered here, in microseconds.';

-- Tables of sums hold all customers: the sequencer writes them, and the meter reads them.
create function aximo_private.keep_sums(target regclass) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    perform aximo_private.isolate_by_customer(target);
    execute format('create policy sequencer_keeps_sums on %s for all to aximo_sequencer using (true) with check (true)', target);
    execute format('create policy meter_reads_sums on %s for select to aximo_meter using (true)', target);
    execute format(
        'comment on policy sequencer_keeps_sums on %s is %L', target, 'aximo.count_metrics runs as this role, for all customers at a time.'
    );
    execute format(
        'comment on policy meter_reads_sums on %s is %L', target, 'aximo.refresh_metrics works out what is published, of all customers.'
    );
    execute format(
        'comment on index aximo_private.%I is %L',
        (select c.relname from pg_catalog.pg_class as c where c.oid = target) || '_changed', 'What a refresh has to look at.'
    );
end;
$$;
comment on function aximo_private.keep_sums(regclass) is 'Lets the sequencer keep a table of sums, and the meter read it. Used by migrations.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
-- One row a bucket. Its distribution stands in it: bins add up as all the rest does, percentiles do not. Counting takes the rows it adds
-- to away and writes them anew, so the table is vacuumed early.
create table aximo_private.activity_sums (
    customer_id text collate "C" not null,
    grain text collate "C" not null,
    bucket timestamptz not null,
    series uuid not null,
    deployment_id text collate "C",
    skill_id text collate "C",
    skill_version text collate "C",
    events bigint not null,
    execution_triggered bigint not null,
    execution_completed bigint not null,
    execution_failed bigint not null,
    action_dispatched bigint not null,
    approval_requested bigint not null,
    approval_granted bigint not null,
    approval_rejected bigint not null,
    approval_timeout bigint not null,
    sla_breached bigint not null,
    escalation_triggered bigint not null,
    pressure_invoked bigint not null,
    deployment_suspended bigint not null,
    leads bigint not null,
    emergency_leads bigint not null,
    opened bigint not null,
    closed bigint not null,
    answered bigint not null,
    executions bigint not null,
    execution_us numeric not null,
    latencies bigint not null,
    latency_ms numeric not null,
    delays bigint not null,
    delay_us numeric not null,
    bins smallint[],
    bin_executions bigint[],
    bin_latencies bigint[],
    changed_in bigint not null,
    constraint activity_sums_pkey primary key (customer_id, grain, bucket, series),
    constraint grain_known check (grain in ('hour', 'day', 'month', 'customer'))
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1);
create index activity_sums_changed on aximo_private.activity_sums (changed_in);
select aximo_private.keep_sums('aximo_private.activity_sums');

comment on table aximo_private.activity_sums is 'What happened, summed up per deployment, skill, version and time, and per customer. Kept by aximo.count_metrics.';
comment on column aximo_private.activity_sums.customer_id is 'Whose events.';
comment on column aximo_private.activity_sums.grain is 'hour, day, month or customer.';
comment on column aximo_private.activity_sums.bucket is 'When the hour, day or month of UTC begins; -infinity for all that a customer has.';
comment on column aximo_private.activity_sums.series is 'Deployment, skill and version, hashed: short enough for an index. Of a customer, of nothing.';
comment on column aximo_private.activity_sums.deployment_id is 'The deployment; null for a customer.';
comment on column aximo_private.activity_sums.skill_id is 'The skill; null for a customer.';
comment on column aximo_private.activity_sums.skill_version is 'Its version; null for a customer.';
comment on column aximo_private.activity_sums.events is 'How many events.';
comment on column aximo_private.activity_sums.execution_triggered is 'How many execution_triggered events.';
comment on column aximo_private.activity_sums.execution_completed is 'How many execution_completed events.';
comment on column aximo_private.activity_sums.execution_failed is 'How many execution_failed events.';
comment on column aximo_private.activity_sums.action_dispatched is 'How many action_dispatched events.';
comment on column aximo_private.activity_sums.approval_requested is 'How many approval_requested events.';
comment on column aximo_private.activity_sums.approval_granted is 'How many approval_granted events.';
comment on column aximo_private.activity_sums.approval_rejected is 'How many approval_rejected events.';
comment on column aximo_private.activity_sums.approval_timeout is 'How many approval_timeout events.';
comment on column aximo_private.activity_sums.sla_breached is 'How many sla_breached events.';
comment on column aximo_private.activity_sums.escalation_triggered is 'How many escalation_triggered events.';
comment on column aximo_private.activity_sums.pressure_invoked is 'How many pressure_invoked events.';
comment on column aximo_private.activity_sums.deployment_suspended is 'How many deployment_suspended events.';
comment on column aximo_private.activity_sums.leads is 'How many leads.';
comment on column aximo_private.activity_sums.emergency_leads is 'How many of them with payload.priority high, or payload.emergency true.';
comment on column aximo_private.activity_sums.opened is 'How many executions were triggered for the first time.';
comment on column aximo_private.activity_sums.closed is 'How many of those have ended, whenever that was.';
comment on column aximo_private.activity_sums.answered is 'How many of the approvals requested have been answered, whenever that was.';
comment on column aximo_private.activity_sums.executions is 'How many executions ended, of those whose start is known.';
comment on column aximo_private.activity_sums.execution_us is 'Their time from trigger to end, summed up, in microseconds.';
comment on column aximo_private.activity_sums.latencies is 'How many events state latency_ms.';
comment on column aximo_private.activity_sums.latency_ms is 'Those, summed up.';
comment on column aximo_private.activity_sums.delays is 'How many approvals were answered.';
comment on column aximo_private.activity_sums.delay_us is 'Their time from request to answer, summed up, in microseconds.';
comment on column aximo_private.activity_sums.bins is 'The bins of times in microseconds that have any, in order: see aximo_private.histogram_bin. Null if none.';
comment on column aximo_private.activity_sums.bin_executions is 'How many executions took so long, for each of the bins.';
comment on column aximo_private.activity_sums.bin_latencies is 'How many latencies are so long, for each of the bins.';
comment on column aximo_private.activity_sums.changed_in is 'The step that changed it last, as metric_state.steps counts them.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
-- Actions by their type and risk, otherwise as in activity_sums.
create table aximo_private.action_sums (
    customer_id text collate "C" not null,
    grain text collate "C" not null,
    bucket timestamptz not null,
    series uuid not null,
    deployment_id text collate "C" not null,
    skill_id text collate "C" not null,
    skill_version text collate "C" not null,
    action_type text collate "C",
    risk_level text collate "C",
    prepared bigint not null,
    dispatched bigint not null,
    failed bigint not null,
    emergencies bigint not null,
    changed_in bigint not null,
    constraint action_sums_pkey primary key (customer_id, grain, bucket, series),
    constraint grain_known check (grain in ('hour', 'day', 'month'))
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1);
create index action_sums_changed on aximo_private.action_sums (changed_in);
select aximo_private.keep_sums('aximo_private.action_sums');

comment on table aximo_private.action_sums is 'Actions, summed up per deployment, skill, version, type, risk and time. Kept by aximo.count_metrics.';
comment on column aximo_private.action_sums.customer_id is 'Whose events.';
comment on column aximo_private.action_sums.grain is 'hour, day or month.';
comment on column aximo_private.action_sums.bucket is 'When the hour, day or month of UTC begins.';
comment on column aximo_private.action_sums.series is 'Deployment, skill, version, type and risk, hashed: short enough for an index.';
comment on column aximo_private.action_sums.deployment_id is 'The deployment.';
comment on column aximo_private.action_sums.skill_id is 'The skill.';
comment on column aximo_private.action_sums.skill_version is 'Its version.';
comment on column aximo_private.action_sums.action_type is 'payload.action_type; null if it says none. Its hash, if it is longer than 255 bytes, or has no short text.';
comment on column aximo_private.action_sums.risk_level is 'The risk the event states; null if it states none.';
comment on column aximo_private.action_sums.prepared is 'How many were prepared.';
comment on column aximo_private.action_sums.dispatched is 'How many were dispatched.';
comment on column aximo_private.action_sums.failed is 'How many failed.';
comment on column aximo_private.action_sums.emergencies is 'How many of those dispatched say payload.priority high, or payload.emergency true.';
comment on column aximo_private.action_sums.changed_in is 'The step that changed it last, as metric_state.steps counts them.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
-- One row a deployment: what its latest events say, by timestamp, and by log number where timestamps are equal; and its totals.
create table aximo_private.deployment_sums (
    customer_id text collate "C" not null,
    deployment_id text collate "C" not null,
    first_event_at timestamptz not null,
    last_event_at timestamptz not null,
    status_type text collate "C",
    status_at timestamptz,
    status_number bigint,
    declared_skill text collate "C",
    declared_version text collate "C",
    declared_at timestamptz,
    declared_number bigint,
    executed_skill text collate "C",
    executed_version text collate "C",
    executed_at timestamptz,
    executed_number bigint,
    events bigint not null,
    triggered bigint not null,
    completed bigint not null,
    failed bigint not null,
    open bigint not null,
    upgrades bigint not null,
    rollbacks bigint not null,
    sla_breaches bigint not null,
    changed_in bigint not null,
    constraint deployment_sums_pkey primary key (customer_id, deployment_id)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1);
create index deployment_sums_changed on aximo_private.deployment_sums (changed_in);
select aximo_private.keep_sums('aximo_private.deployment_sums');

comment on table aximo_private.deployment_sums is 'State, version, latest execution and totals of each deployment. Kept by aximo.count_metrics.';
comment on column aximo_private.deployment_sums.customer_id is 'Whose deployment.';
comment on column aximo_private.deployment_sums.deployment_id is 'The deployment.';
comment on column aximo_private.deployment_sums.first_event_at is 'The earliest timestamp of its events.';
comment on column aximo_private.deployment_sums.last_event_at is 'The latest timestamp of its events.';
comment on column aximo_private.deployment_sums.status_type is 'The type of the latest event that says in which state it is.';
comment on column aximo_private.deployment_sums.status_at is 'Its timestamp.';
comment on column aximo_private.deployment_sums.status_number is 'Its log number.';
comment on column aximo_private.deployment_sums.declared_skill is 'The skill of the latest event that declares one.';
comment on column aximo_private.deployment_sums.declared_version is 'Its version.';
comment on column aximo_private.deployment_sums.declared_at is 'Its timestamp.';
comment on column aximo_private.deployment_sums.declared_number is 'Its log number.';
comment on column aximo_private.deployment_sums.executed_skill is 'The skill of the execution triggered last.';
comment on column aximo_private.deployment_sums.executed_version is 'Its version.';
comment on column aximo_private.deployment_sums.executed_at is 'Its timestamp.';
comment on column aximo_private.deployment_sums.executed_number is 'Its log number.';
comment on column aximo_private.deployment_sums.events is 'How many events.';
comment on column aximo_private.deployment_sums.triggered is 'How many execution_triggered events.';
comment on column aximo_private.deployment_sums.completed is 'How many execution_completed events.';
comment on column aximo_private.deployment_sums.failed is 'How many execution_failed events.';
comment on column aximo_private.deployment_sums.open is 'How many executions have begun and not ended.';
comment on column aximo_private.deployment_sums.upgrades is 'How many version_upgraded events.';
comment on column aximo_private.deployment_sums.rollbacks is 'How many version_rolled_back events.';
comment on column aximo_private.deployment_sums.sla_breaches is 'How many sla_breached events.';
comment on column aximo_private.deployment_sums.changed_in is 'The step that changed it last, as metric_state.steps counts them.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
-- What happened to runs, summed up per tool, state and day.
create table aximo_private.run_sums (
    customer_id text collate "C" not null,
    tool_name text collate "C" not null,
    state text collate "C" not null,
    day timestamptz not null,
    events bigint not null,
    waits bigint not null,
    wait_us numeric not null,
    runs bigint not null,
    run_us numeric not null,
    changed_in bigint not null,
    constraint run_sums_pkey primary key (customer_id, day, tool_name, state)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1);
create index run_sums_changed on aximo_private.run_sums (changed_in);
select aximo_private.keep_sums('aximo_private.run_sums');

comment on table aximo_private.run_sums is 'What happened to runs, per tool, state and day. Kept by aximo.count_metrics.';
comment on column aximo_private.run_sums.customer_id is 'Whose runs.';
comment on column aximo_private.run_sums.tool_name is 'The tool.';
comment on column aximo_private.run_sums.state is 'What was said of the run: started, queued, running, succeeded, failed or blocked.';
comment on column aximo_private.run_sums.day is 'When the day of UTC begins, by the event''s ts.';
comment on column aximo_private.run_sums.events is 'How many events said so.';
comment on column aximo_private.run_sums.waits is 'Of state running: how many had been queued before.';
comment on column aximo_private.run_sums.wait_us is 'The time they had been, summed up, in microseconds.';
comment on column aximo_private.run_sums.runs is 'Of states succeeded, failed and blocked: of how many the beginning is known.';
comment on column aximo_private.run_sums.run_us is 'The time from there to the end, summed up, in microseconds.';
comment on column aximo_private.run_sums.changed_in is 'The step that changed it last, as metric_state.steps counts them.';

-- Where each run stands, as far as it is counted, so that its next event is counted without looking back.
create table aximo_private.run_states (
    customer_id text collate "C" not null,
    run_id text collate "C" not null,
    begun_us numeric,
    queued_us numeric,
    constraint run_states_pkey primary key (customer_id, run_id)
) with (fillfactor = 70);
select aximo_private.isolate_by_customer('aximo_private.run_states');
create policy sequencer_keeps_run_states on aximo_private.run_states for all to aximo_sequencer using (true) with check (true);
comment on table aximo_private.run_states is 'Where each run is, as far as it is counted. Kept by aximo.count_metrics.';
comment on column aximo_private.run_states.customer_id is 'Whose run.';
comment on column aximo_private.run_states.run_id is 'The run.';
comment on column aximo_private.run_states.begun_us is 'The ts of its latest started or running, in microseconds since 1970; null after an end.';
comment on column aximo_private.run_states.queued_us is 'The ts of its latest queued, the same; null after a running or an end.';
comment on policy sequencer_keeps_run_states on aximo_private.run_states is 'aximo.count_metrics runs as this role, for all customers at a time.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
-- How much of each log is counted. A log that could not be counted is left alone until aximo.recount_metrics tries it again.
create table aximo_private.counted_logs (
    customer_id text collate "C" not null,
    log text collate "C" not null,
    number bigint not null,
    failed_at timestamptz,
    changed_in bigint not null,
    constraint counted_logs_pkey primary key (customer_id, log)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1);
create index counted_logs_changed on aximo_private.counted_logs (changed_in);
select aximo_private.keep_sums('aximo_private.counted_logs');

comment on table aximo_private.counted_logs is 'Up to which log number the sums count, per log. Kept by aximo.count_metrics.';
comment on column aximo_private.counted_logs.customer_id is 'Whose log.';
comment on column aximo_private.counted_logs.log is 'Which of the customer''s logs: events or run_events.';
comment on column aximo_private.counted_logs.number is 'The log number up to which it is counted.';
comment on column aximo_private.counted_logs.failed_at is 'When it could not be counted further; null if it can.';
comment on column aximo_private.counted_logs.changed_in is 'The step that changed it last, as metric_state.steps counts them.';

-- Which logs have grown since they were counted. Numbering replaces a log's rows by one, and counting deletes the rows that it has counted.
-- Each skips what the other has locked, so neither waits, and a log has one row, or two while it is being counted.
create table aximo_private.uncounted_logs (
    customer_id text collate "C" not null,
    log text collate "C" not null,
    number bigint not null,
    constraint uncounted_logs_pkey primary key (customer_id, log, number)
) with (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.1);
select aximo_private.isolate_by_customer('aximo_private.uncounted_logs');
create policy sequencer_keeps_uncounted_logs on aximo_private.uncounted_logs for all to aximo_sequencer using (true) with check (true);
comment on table aximo_private.uncounted_logs is 'The logs that have grown since they were counted. Kept by aximo.advance_log and aximo.count_metrics.';
comment on column aximo_private.uncounted_logs.customer_id is 'Whose log.';
comment on column aximo_private.uncounted_logs.log is 'Which of the customer''s logs: events or run_events.';
comment on column aximo_private.uncounted_logs.number is 'The log number up to which it had grown.';
comment on policy sequencer_keeps_uncounted_logs on aximo_private.uncounted_logs is 'aximo.advance_log and aximo.count_metrics run as this role.';

-- One row: how far sums and published metrics are. It is also the lock of the session that counts or refreshes. Nobody waits for it.
create table aximo_private.metric_state (
    is_the_row boolean not null default true,
    steps bigint not null default 0,
    recounted_in bigint not null default 0,
    published_in bigint not null default 0,
    refreshed_at timestamptz,
    took interval,
    constraint metric_state_pkey primary key (is_the_row),
    constraint one_row check (is_the_row)
);
insert into aximo_private.metric_state default values;
alter table aximo_private.metric_state enable row level security;
alter table aximo_private.metric_state force row level security;
create policy owner_reads_metric_state on aximo_private.metric_state for select to aximo_owner using (true);
create policy sequencer_keeps_metric_state on aximo_private.metric_state for all to aximo_sequencer using (true) with check (true);
create policy meter_keeps_metric_state on aximo_private.metric_state for all to aximo_meter using (true) with check (true);
comment on table aximo_private.metric_state is 'How far sums and published metrics are. One row.';
comment on column aximo_private.metric_state.is_the_row is 'Always true.';
comment on column aximo_private.metric_state.steps is 'How many steps of counting there were.';
comment on column aximo_private.metric_state.recounted_in is 'The step that last threw the sums away; what was published before it is of no use.';
comment on column aximo_private.metric_state.published_in is 'The step up to which the published metrics are. Of what changed later, the next refresh is made.';
comment on column aximo_private.metric_state.refreshed_at is 'When metrics were last refreshed, by the database''s clock.';
comment on column aximo_private.metric_state.took is 'How long that took.';
comment on policy owner_reads_metric_state on aximo_private.metric_state is 'aximo_metrics.freshness and doctor show it.';
comment on policy sequencer_keeps_metric_state on aximo_private.metric_state is 'aximo.count_metrics runs as this role.';
comment on policy meter_keeps_metric_state on aximo_private.metric_state is 'aximo.refresh_metrics runs as this role.';

-- Above which rate or average there is an alert. A new row overrides an older one; nothing is changed, so what held on a day can always be
-- told.
create table aximo_private.thresholds (
    customer_id text collate "C" not null,
    deployment_id aximo_private.identifier,
    metric text collate "C" not null,
    level text collate "C" not null,
    value double precision,
    effective_from timestamptz not null,
    set_at timestamptz not null default clock_timestamp(),
    set_by text collate "C" not null default session_user,
    setting_id uuid not null default gen_random_uuid(),
    constraint thresholds_pkey primary key (customer_id, setting_id),
    constraint threshold_known check (
        metric in ('error_rate', 'sla_breach_rate', 'avg_execution_time_ms')
        and level in ('warning', 'escalation', 'minimum_denominator')
    ),
    constraint threshold_is_a_rate check (value >= 0 and value < 'infinity'),
    constraint effective_from_is_a_moment check (
        effective_from = '-infinity' or effective_from >= '1970-01-01 00:00:00+00' and effective_from < '9999-01-01 00:00:00+00'
    )
);
-- The defaults have an early set_at: a setting that a restore brings along from another ledger is later.
insert into aximo_private.thresholds (customer_id, metric, level, value, effective_from, set_at)
values
('*', 'error_rate', 'warning', 0.05, '-infinity', '2026-01-01 00:00:00+00'),
('*', 'error_rate', 'escalation', 0.10, '-infinity', '2026-01-01 00:00:00+00'),
('*', 'sla_breach_rate', 'escalation', 0.03, '-infinity', '2026-01-01 00:00:00+00'),
('*', 'error_rate', 'minimum_denominator', 20, '-infinity', '2026-01-01 00:00:00+00'),
('*', 'sla_breach_rate', 'minimum_denominator', 20, '-infinity', '2026-01-01 00:00:00+00'),
('*', 'avg_execution_time_ms', 'minimum_denominator', 20, '-infinity', '2026-01-01 00:00:00+00');
create index thresholds_by_metric on aximo_private.thresholds (customer_id, deployment_id, metric, level, effective_from, set_at);
select aximo_private.isolate_by_customer('aximo_private.thresholds');
create policy owner_reads_own_thresholds on aximo_private.thresholds
for select to aximo_owner using (customer_id = (select aximo.current_customer()) or customer_id = '*');
create policy recorder_adds_thresholds on aximo_private.thresholds for insert to aximo_recorder with check (true);
create policy meter_reads_thresholds on aximo_private.thresholds for select to aximo_meter using (true);
select aximo_private.make_append_only('aximo_private.thresholds');
comment on table aximo_private.thresholds is 'Above which rate or average an alert is raised, and from how many on. Written by aximo.set_threshold; a row holds until a later one overrides it.';
comment on column aximo_private.thresholds.customer_id is 'For whom, or * for all that have none of their own.';
comment on column aximo_private.thresholds.effective_from is 'For hours, days and months that end after this moment.';
comment on column aximo_private.thresholds.set_by is 'The login that set it.';
comment on column aximo_private.thresholds.setting_id is 'Tells two settings of one moment apart.';
comment on policy owner_reads_own_thresholds on aximo_private.thresholds is 'Views run as the owner and show what concerns the session''s customer.';
comment on policy recorder_adds_thresholds on aximo_private.thresholds is 'aximo.set_threshold, which writes for a customer that the access map gave it.';
comment on policy meter_reads_thresholds on aximo_private.thresholds is 'aximo_private.threshold_at, which names the customer.';
comment on index aximo_private.thresholds_by_metric is 'The one in force.';

-- Settings that are lists: the risk levels that are high when actions are billed, and the action types that are leads. Append-only, as
-- thresholds are.
create table aximo_private.metric_lists (
    customer_id text collate "C" not null,
    list text collate "C" not null,
    items text[] collate "C",
    effective_from timestamptz not null,
    set_at timestamptz not null default clock_timestamp(),
    set_by text collate "C" not null default session_user,
    setting_id uuid not null default gen_random_uuid(),
    constraint metric_lists_pkey primary key (customer_id, setting_id),
    constraint list_known check (list in ('high_risk_levels', 'lead_action_types')),
    constraint items_are_listed check (array_ndims(items) = 1 or cardinality(items) = 0),
    constraint items_are_few check (cardinality(items) <= 100),
    constraint items_are_named check (array_position(items, null) is null),
    constraint effective_from_is_a_moment check (
        effective_from = '-infinity' or effective_from >= '1970-01-01 00:00:00+00' and effective_from < '9999-01-01 00:00:00+00'
    )
);
-- The defaults have an early set_at: a setting that a restore brings along from another ledger is later.
insert into aximo_private.metric_lists (customer_id, list, items, effective_from, set_at)
values
('*', 'high_risk_levels', array['R3', 'R4', 'high', 'critical'], '-infinity', '2026-01-01 00:00:00+00'),
('*', 'lead_action_types', array['lead_capture', 'store_lead'], '-infinity', '2026-01-01 00:00:00+00');
create index metric_lists_by_time on aximo_private.metric_lists (customer_id, list, effective_from, set_at);
select aximo_private.isolate_by_customer('aximo_private.metric_lists');
create policy owner_reads_own_lists on aximo_private.metric_lists
for select to aximo_owner using (customer_id = (select aximo.current_customer()) or customer_id = '*');
create policy recorder_adds_lists on aximo_private.metric_lists for insert to aximo_recorder with check (true);
create policy meter_reads_lists on aximo_private.metric_lists for select to aximo_meter, aximo_sequencer using (true);
select aximo_private.make_append_only('aximo_private.metric_lists');
comment on table aximo_private.metric_lists is 'Which risk levels are high, and which action types are leads. Written by aximo.set_high_risk_levels and aximo.set_lead_action_types; a row holds until a later one overrides it.';
comment on column aximo_private.metric_lists.list is 'high_risk_levels or lead_action_types.';
comment on column aximo_private.metric_lists.items is 'The levels or types, as events state them. Null takes back what was set before.';
comment on column aximo_private.metric_lists.effective_from is 'For months that end after this moment.';
comment on column aximo_private.metric_lists.set_at is 'When it was set, by the database''s clock.';
select aximo_private.take_comments('aximo_private.thresholds', 'aximo_private.metric_lists');
comment on policy owner_reads_own_lists on aximo_private.metric_lists is 'Views run as the owner and show what concerns the session''s customer.';
comment on policy recorder_adds_lists on aximo_private.metric_lists is 'aximo_private.set_list, which writes for a customer that the access map gave it.';
comment on policy meter_reads_lists on aximo_private.metric_lists is 'aximo_private.list_of, which names the customer.';
comment on index aximo_private.metric_lists_by_time is 'The one in force.';

-- The customers that changed which actions are leads, and from when on. Counting judges again what it has counted since then, and deletes
-- the row.
create table aximo_private.unjudged_leads (
    customer_id text collate "C" not null,
    since timestamptz not null,
    setting_id uuid not null default gen_random_uuid(),
    constraint unjudged_leads_pkey primary key (customer_id, setting_id)
);
select aximo_private.isolate_by_customer('aximo_private.unjudged_leads');
create policy recorder_adds_unjudged_leads on aximo_private.unjudged_leads for insert to aximo_recorder with check (true);
create policy sequencer_keeps_unjudged_leads on aximo_private.unjudged_leads for all to aximo_sequencer using (true) with check (true);
comment on table aximo_private.unjudged_leads is 'Whose leads are to be judged anew. Kept by aximo.set_lead_action_types and aximo.count_metrics.';
comment on column aximo_private.unjudged_leads.customer_id is 'Whose, or * for all customers.';
comment on column aximo_private.unjudged_leads.since is 'For months that end after this moment.';
comment on column aximo_private.unjudged_leads.setting_id is 'Tells two settings apart.';
comment on policy recorder_adds_unjudged_leads on aximo_private.unjudged_leads is 'aximo.set_lead_action_types, which writes for a customer that the access map gave it.';
comment on policy sequencer_keeps_unjudged_leads on aximo_private.unjudged_leads is 'aximo.count_metrics runs as this role.';

-- The customer's own setting, else the one for all. Of each, the latest that had taken effect.
create function aximo_private.list_of(customer text, of_list text, moment timestamptz) returns text[]
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        (
            select t.items from only aximo_private.metric_lists as t
            where t.customer_id = customer and t.list = of_list and t.effective_from < moment
            order by t.effective_from desc, t.set_at desc limit 1
        ),
        (
            select t.items from only aximo_private.metric_lists as t
            where t.customer_id = '*' and t.list = of_list and t.effective_from < moment
            order by t.effective_from desc, t.set_at desc limit 1
        )
    );
end;
$$;
comment on function aximo_private.list_of(text, text, timestamptz) is 'A customer''s risk levels that were high, or its action types that were leads, just before a moment.';

create function aximo_private.month_end(moment timestamptz) returns timestamptz
language sql stable security invoker parallel safe
return (date_trunc('month', moment at time zone 'UTC') + interval '1 month') at time zone 'UTC';
comment on function aximo_private.month_end(timestamptz) is 'When the month of UTC ends that a moment is in.';

create function aximo_private.note_uncounted(growth aximo_private.log_growth[], of_log text) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    -- Skip the rows that are being counted: counting deletes them itself.
    delete from only aximo_private.uncounted_logs as u
    where u.ctid = any(array(
            select q.ctid
            from only aximo_private.uncounted_logs as q
            inner join unnest(growth) as g on g.customer_id = q.customer_id
            where q.log = of_log
            for update of q skip locked
        ));
    insert into aximo_private.uncounted_logs (customer_id, log, number)
    select g.customer_id, of_log, g.new_size
    from unnest(growth) as g;
end;
$$;
alter function aximo_private.note_uncounted(aximo_private.log_growth[], text) owner to aximo_sequencer;
comment on function aximo_private.note_uncounted(aximo_private.log_growth[], text) is 'Notes up to which number some customers'' logs have grown, for aximo.count_metrics.';

-- Turns new log entries into facts to count: the events themselves, and the durations that become known by them. The facts are the same
-- whichever event came first.
create function aximo_private.facts_of_entries(touched aximo_private.log_growth[])
returns setof aximo_private.fact
language plpgsql stable security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    with
    entry as materialized (
        select
            g.customer_id, g.old_size, g.new_size, n.number, e.*, date_trunc('hour', e."timestamp", 'UTC') as hour
        from unnest(touched) as g
        cross join lateral (
            select l.number, l.event_id
            from only aximo_private.log_entries as l
            where l.customer_id = g.customer_id and l.log = 'events' and l.number > g.old_size and l.number <= g.new_size
            offset 0
        ) as n
        cross join lateral (
            select
                s.event_id, s.event_type, s."timestamp", s.deployment_id, s.skill_id, s.skill_version, s.execution_id, s.risk_level,
                s.latency_ms, s.answers, s.step,
                -- In imported history the first start and the first end count.
                s.event_type = 'execution_triggered' and s.step = l.start_step as is_start,
                s.event_type in ('execution_completed', 'execution_failed') and s.step = l.end_step as is_end,
                l.start_step, l.end_step,
                case
                    when s.event_type in ('action_prepared', 'action_dispatched', 'action_failed')
                        then aximo_private.step_key(s.payload, 'action_type')
                end as action_type,
                case
                    when s.event_type = 'action_dispatched'
                        then coalesce(
                            aximo_private.step_key(s.payload, 'action_type')
                            = any(aximo_private.list_of(g.customer_id, 'lead_action_types', aximo_private.month_end(s."timestamp"))),
                            false
                        )
                end as is_lead,
                s.event_type = 'action_dispatched'
                    and (s.payload @> '{"priority": "high"}' or s.payload @> '{"emergency": true}') as is_emergency
            from only aximo_private.events as s
            left join lateral (
                select x.start_step, x.end_step
                from only aximo_private.executions as x
                where x.customer_id = g.customer_id and x.execution_id = s.execution_id
                offset 0
            ) as l on s.event_type in ('execution_triggered', 'execution_completed', 'execution_failed')
            where s.customer_id = g.customer_id and s.event_id = n.event_id
            offset 0
        ) as e
    ),
    -- Two events that are both in the log now and were not before, whichever came last: an execution's start and its end, an approval's
    -- request and its answer. Each counts where it happened: the earlier one that it has its counterpart, the later one how long that took.
    paired as (
        select
            e.customer_id, e.number, c.of_execution, p.*,
            (extract(epoch from case when c.is_later then c."timestamp" - e."timestamp" else e."timestamp" - c."timestamp" end) * 1000000)::bigint
                as took_us
        from entry as e
        cross join lateral (
            select s.*, true as of_execution, false as is_later
            from only aximo_private.events as s
            where e.is_end and s.customer_id = e.customer_id and s.execution_id = e.execution_id and s.step = e.start_step
            union all
            select s.*, true, true
            from only aximo_private.events as s
            where e.is_start and s.customer_id = e.customer_id and s.execution_id = e.execution_id and s.step = e.end_step
            union all
            select s.*, false, false
            from only aximo_private.events as s
            where e.answers is not null and s.customer_id = e.customer_id and s.event_id = e.answers
            union all
            select s.*, false, true
            from only aximo_private.events as s
            where e.event_type = 'approval_requested' and s.customer_id = e.customer_id and s.event_id = (
                    select a.decision_event_id
                    from only aximo_private.approvals as a
                    where a.customer_id = e.customer_id and a.execution_id = e.execution_id and a.step = e.step
                )
            offset 0
        ) as c
        cross join lateral (
            select
            from only aximo_private.log_entries as l
            where l.customer_id = e.customer_id and l.event_id = c.event_id
                and l.number <= case when c.is_later then e.old_size else e.new_size end
            offset 0
        ) as l
        cross join lateral (
            values
            (not c.is_later, e.deployment_id, e.skill_id, e.skill_version, e.hour),
            (c.is_later, c.deployment_id, c.skill_id, c.skill_version, date_trunc('hour', c."timestamp", 'UTC'))
        ) as p (is_later, deployment_id, skill_id, skill_version, hour)
    )
    -- One row for each thing that counts, with the deployment and hour in which it counts.
    select
        e.customer_id, e.deployment_id, e.skill_id, e.skill_version, e.hour, e.number, e."timestamp", e.event_type, e.action_type,
        e.risk_level, e.is_lead, e.is_emergency, coalesce(e.is_start, false), false, false, null::bigint,
        e.latency_ms, null::bigint
    from entry as e
    union all
    select
        d.customer_id, d.deployment_id, d.skill_id, d.skill_version, d.hour, d.number, null, null, null, null, false, false, false,
        d.of_execution and not d.is_later, not d.of_execution and not d.is_later,
        case when d.of_execution and d.is_later then d.took_us end, null, case when not d.of_execution and d.is_later then d.took_us end
    from paired as d;
end;
$$;
alter function aximo_private.facts_of_entries(aximo_private.log_growth[]) owner to aximo_sequencer;
comment on function aximo_private.facts_of_entries(aximo_private.log_growth[]) is 'The facts to count in new entries of the log: each event, each execution whose start and end are both known now, each approval whose request and answer are.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
-- Adds facts to the sums of all grains. The rows they belong to are taken away, and written anew with both added up.
create function aximo_private.count_activity(facts aximo_private.fact[], step bigint) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    with
    hourly as materialized (
        select
            row_number() over () as hour_id, h.*,
            aximo_private.series_key(array[h.deployment_id, h.skill_id, h.skill_version]) as series
        from (
            select
                f.customer_id, f.deployment_id, f.skill_id, f.skill_version, f.hour,
                count(f.event_type) as events,
                count(*) filter (where f.event_type = 'execution_triggered') as execution_triggered,
                count(*) filter (where f.event_type = 'execution_completed') as execution_completed,
                count(*) filter (where f.event_type = 'execution_failed') as execution_failed,
                count(*) filter (where f.event_type = 'action_dispatched') as action_dispatched,
                count(*) filter (where f.event_type = 'approval_requested') as approval_requested,
                count(*) filter (where f.event_type = 'approval_granted') as approval_granted,
                count(*) filter (where f.event_type = 'approval_rejected') as approval_rejected,
                count(*) filter (where f.event_type = 'approval_timeout') as approval_timeout,
                count(*) filter (where f.event_type = 'sla_breached') as sla_breached,
                count(*) filter (where f.event_type = 'escalation_triggered') as escalation_triggered,
                count(*) filter (where f.event_type = 'pressure_invoked') as pressure_invoked,
                count(*) filter (where f.event_type = 'deployment_suspended') as deployment_suspended,
                count(*) filter (where f.is_lead) as leads,
                count(*) filter (where f.is_lead and f.is_emergency) as emergency_leads,
                count(*) filter (where f.is_opened) as opened,
                count(*) filter (where f.is_closed) as closed,
                count(*) filter (where f.is_answered) as answered,
                count(f.execution_us) as executions,
                coalesce(sum(f.execution_us), 0) as execution_us,
                count(f.latency_ms) as latencies,
                coalesce(sum(f.latency_ms), 0) as latency_ms,
                count(f.delay_us) as delays,
                coalesce(sum(f.delay_us), 0) as delay_us,
                array_agg(aximo_private.histogram_bin(f.execution_us)) filter (where f.execution_us is not null) as execution_bins,
                array_agg(aximo_private.histogram_bin(f.latency_ms * 1000::double precision)) filter (
                    where f.latency_ms is not null
                ) as latency_bins
            from unnest(facts) as f
            group by f.customer_id, f.deployment_id, f.skill_id, f.skill_version, f.hour
        ) as h
    ),
    -- The rows of sums that an hour of a series belongs to.
    part as materialized (
        select dense_rank() over (order by h.customer_id, t.grain, t.bucket, t.series) as id, h.hour_id, h.customer_id, t.*
        from hourly as h
        cross join lateral (
            values
            ('hour', h.hour, h.series, h.deployment_id, h.skill_id, h.skill_version),
            ('day', date_trunc('day', h.hour, 'UTC'), h.series, h.deployment_id, h.skill_id, h.skill_version),
            ('month', date_trunc('month', h.hour, 'UTC'), h.series, h.deployment_id, h.skill_id, h.skill_version),
            ('customer', '-infinity', '00000000-0000-0000-0000-000000000000'::uuid, null, null, null)
        ) as t (grain, bucket, series, deployment_id, skill_id, skill_version)
    ),
    target as materialized (
        select distinct on (p.id)
            p.id, p.customer_id, p.grain, p.bucket, p.series, p.deployment_id, p.skill_id, p.skill_version
        from part as p
        order by p.id
    ),
    old as materialized (
        delete from only aximo_private.activity_sums as s
        using target as t
        where s.customer_id = t.customer_id and s.grain = t.grain and s.bucket = t.bucket and s.series = t.series
        returning t.id, s.*
    ),
    summed as (
        select
            u.id,
            sum(u.events) as events,
            sum(u.execution_triggered) as execution_triggered,
            sum(u.execution_completed) as execution_completed,
            sum(u.execution_failed) as execution_failed,
            sum(u.action_dispatched) as action_dispatched,
            sum(u.approval_requested) as approval_requested,
            sum(u.approval_granted) as approval_granted,
            sum(u.approval_rejected) as approval_rejected,
            sum(u.approval_timeout) as approval_timeout,
            sum(u.sla_breached) as sla_breached,
            sum(u.escalation_triggered) as escalation_triggered,
            sum(u.pressure_invoked) as pressure_invoked,
            sum(u.deployment_suspended) as deployment_suspended,
            sum(u.leads) as leads,
            sum(u.emergency_leads) as emergency_leads,
            sum(u.opened) as opened,
            sum(u.closed) as closed,
            sum(u.answered) as answered,
            sum(u.executions) as executions,
            sum(u.execution_us) as execution_us,
            sum(u.latencies) as latencies,
            sum(u.latency_ms) as latency_ms,
            sum(u.delays) as delays,
            sum(u.delay_us) as delay_us
        from (
            select
                p.id,
                h.events,
                h.execution_triggered,
                h.execution_completed,
                h.execution_failed,
                h.action_dispatched,
                h.approval_requested,
                h.approval_granted,
                h.approval_rejected,
                h.approval_timeout,
                h.sla_breached,
                h.escalation_triggered,
                h.pressure_invoked,
                h.deployment_suspended,
                h.leads,
                h.emergency_leads,
                h.opened,
                h.closed,
                h.answered,
                h.executions,
                h.execution_us,
                h.latencies,
                h.latency_ms,
                h.delays,
                h.delay_us
            from part as p
            inner join hourly as h on h.hour_id = p.hour_id
            union all
            select
                o.id,
                o.events,
                o.execution_triggered,
                o.execution_completed,
                o.execution_failed,
                o.action_dispatched,
                o.approval_requested,
                o.approval_granted,
                o.approval_rejected,
                o.approval_timeout,
                o.sla_breached,
                o.escalation_triggered,
                o.pressure_invoked,
                o.deployment_suspended,
                o.leads,
                o.emergency_leads,
                o.opened,
                o.closed,
                o.answered,
                o.executions,
                o.execution_us,
                o.latencies,
                o.latency_ms,
                o.delays,
                o.delay_us
            from old as o
        ) as u
        group by u.id
    ),
    binned as (
        select b.id, b.bin, sum(b.executions) as executions, sum(b.latencies) as latencies
        from (
            select p.id, v.bin, 1 as executions, 0 as latencies
            from part as p
            inner join hourly as h on h.hour_id = p.hour_id
            cross join unnest(h.execution_bins) as v (bin)
            union all
            select p.id, v.bin, 0, 1
            from part as p
            inner join hourly as h on h.hour_id = p.hour_id
            cross join unnest(h.latency_bins) as v (bin)
            union all
            select o.id, v.bin, v.executions, v.latencies
            from old as o
            cross join unnest(o.bins, o.bin_executions, o.bin_latencies) as v (bin, executions, latencies)
        ) as b
        group by b.id, b.bin
    ),
    shaped as (
        select
            b.id, array_agg(b.bin::smallint order by b.bin) as bins, array_agg(b.executions::bigint order by b.bin) as executions,
            array_agg(b.latencies::bigint order by b.bin) as latencies
        from binned as b
        group by b.id
    )
    insert into aximo_private.activity_sums
    select
        t.customer_id, t.grain, t.bucket, t.series, t.deployment_id, t.skill_id, t.skill_version,
        s.events,
        s.execution_triggered,
        s.execution_completed,
        s.execution_failed,
        s.action_dispatched,
        s.approval_requested,
        s.approval_granted,
        s.approval_rejected,
        s.approval_timeout,
        s.sla_breached,
        s.escalation_triggered,
        s.pressure_invoked,
        s.deployment_suspended,
        s.leads,
        s.emergency_leads,
        s.opened,
        s.closed,
        s.answered,
        s.executions,
        s.execution_us,
        s.latencies,
        s.latency_ms,
        s.delays,
        s.delay_us,
        d.bins, d.executions, d.latencies, count_activity.step
    from target as t
    inner join summed as s on s.id = t.id
    left join shaped as d on d.id = t.id;
end;
$$;
alter function aximo_private.count_activity(aximo_private.fact[], bigint) owner to aximo_sequencer;
comment on function aximo_private.count_activity(aximo_private.fact[], bigint) is
'Adds facts to aximo_private.activity_sums, in all grains. Which of them came first makes no difference.';

create function aximo_private.count_actions(facts aximo_private.fact[], step bigint) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    with
    hourly as materialized (
        select
            h.*,
            aximo_private.series_key(array[h.deployment_id, h.skill_id, h.skill_version, h.action_type, h.risk_level]) as series
        from (
            select
                f.customer_id, f.deployment_id, f.skill_id, f.skill_version, f.hour, f.action_type, f.risk_level,
                count(*) filter (where f.event_type = 'action_prepared') as prepared,
                count(*) filter (where f.event_type = 'action_dispatched') as dispatched,
                count(*) filter (where f.event_type = 'action_failed') as failed,
                count(*) filter (where f.is_emergency) as emergencies
            from unnest(facts) as f
            where f.event_type in ('action_prepared', 'action_dispatched', 'action_failed')
            group by 1, 2, 3, 4, 5, 6, 7
        ) as h
    ),
    added as materialized (
        select
            h.customer_id, b.grain, b.bucket, h.series, h.deployment_id, h.skill_id, h.skill_version, h.action_type, h.risk_level,
            sum(h.prepared) as prepared, sum(h.dispatched) as dispatched, sum(h.failed) as failed,
            sum(h.emergencies) as emergencies
        from hourly as h
        cross join lateral (
            values
            ('hour', h.hour),
            ('day', date_trunc('day', h.hour, 'UTC')),
            ('month', date_trunc('month', h.hour, 'UTC'))
        ) as b (grain, bucket)
        group by 1, 2, 3, 4, 5, 6, 7, 8, 9
    ),
    old as materialized (
        delete from only aximo_private.action_sums as s
        using added as t
        where s.customer_id = t.customer_id and s.grain = t.grain and s.bucket = t.bucket and s.series = t.series
        returning s.*
    )
    insert into aximo_private.action_sums
    select
        a.customer_id, a.grain, a.bucket, a.series, a.deployment_id, a.skill_id, a.skill_version, a.action_type, a.risk_level,
        a.prepared + coalesce(o.prepared, 0), a.dispatched + coalesce(o.dispatched, 0), a.failed + coalesce(o.failed, 0),
        a.emergencies + coalesce(o.emergencies, 0), count_actions.step
    from added as a
    left join old as o on o.customer_id = a.customer_id and o.grain = a.grain and o.bucket = a.bucket and o.series = a.series;
end;
$$;
alter function aximo_private.count_actions(aximo_private.fact[], bigint) owner to aximo_sequencer;
comment on function aximo_private.count_actions(aximo_private.fact[], bigint) is 'Adds facts to aximo_private.action_sums, in all grains.';

create function aximo_private.count_deployments(facts aximo_private.fact[], step bigint) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    with
    added as materialized (
        select
            f.customer_id, f.deployment_id, min(f.happened_at) as first_event_at, max(f.happened_at) as last_event_at,
            count(f.event_type) as events,
            count(*) filter (where f.event_type = 'execution_triggered') as triggered,
            count(*) filter (where f.event_type = 'execution_completed') as completed,
            count(*) filter (where f.event_type = 'execution_failed') as failed,
            count(*) filter (where f.is_opened) - count(*) filter (where f.is_closed) as open,
            count(*) filter (where f.event_type = 'version_upgraded') as upgrades,
            count(*) filter (where f.event_type = 'version_rolled_back') as rollbacks,
            count(*) filter (where f.event_type = 'sla_breached') as sla_breaches
        from unnest(facts) as f
        group by f.customer_id, f.deployment_id
    ),
    old as materialized (
        delete from only aximo_private.deployment_sums as s
        using added as a
        where s.customer_id = a.customer_id and s.deployment_id = a.deployment_id
        returning s.*
    ),
    -- The latest event of each deployment that says its state, that says its version, and that shows that it ran.
    latest as (
        select distinct on (u.customer_id, u.deployment_id, u.what) u.*
        from (
            select f.customer_id, f.deployment_id, w.what, f.event_type, f.skill_id, f.skill_version, f.happened_at, f.number
            from unnest(facts) as f
            cross join lateral (
                select 'executed' as what where f.event_type = 'execution_triggered'
                union all
                select 'status'
                where f.event_type in (
                    'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_suspended', 'deployment_terminated'
                )
                union all
                select 'declared'
                where f.event_type in (
                    'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_updated', 'deployment_terminated',
                    'version_upgraded', 'version_rolled_back'
                )
            ) as w
            union all
            select o.customer_id, o.deployment_id, w.*
            from old as o
            cross join lateral (
                values
                ('status', o.status_type, null, null, o.status_at, o.status_number),
                ('declared', null, o.declared_skill, o.declared_version, o.declared_at, o.declared_number),
                ('executed', null, o.executed_skill, o.executed_version, o.executed_at, o.executed_number)
            ) as w (what, event_type, skill_id, skill_version, happened_at, number)
            where w.number is not null
        ) as u
        order by u.customer_id, u.deployment_id, u.what, u.happened_at desc, u.number desc
    )
    insert into aximo_private.deployment_sums
    select
        a.customer_id, a.deployment_id, least(a.first_event_at, o.first_event_at), greatest(a.last_event_at, o.last_event_at),
        s.event_type, s.happened_at, s.number, v.skill_id, v.skill_version, v.happened_at, v.number, x.skill_id, x.skill_version,
        x.happened_at, x.number, a.events + coalesce(o.events, 0), a.triggered + coalesce(o.triggered, 0),
        a.completed + coalesce(o.completed, 0), a.failed + coalesce(o.failed, 0), a.open + coalesce(o.open, 0),
        a.upgrades + coalesce(o.upgrades, 0), a.rollbacks + coalesce(o.rollbacks, 0), a.sla_breaches + coalesce(o.sla_breaches, 0),
        count_deployments.step
    from added as a
    left join old as o on o.customer_id = a.customer_id and o.deployment_id = a.deployment_id
    left join latest as s on s.customer_id = a.customer_id and s.deployment_id = a.deployment_id and s.what = 'status'
    left join latest as v on v.customer_id = a.customer_id and v.deployment_id = a.deployment_id and v.what = 'declared'
    left join latest as x on x.customer_id = a.customer_id and x.deployment_id = a.deployment_id and x.what = 'executed';
end;
$$;
alter function aximo_private.count_deployments(aximo_private.fact[], bigint) owner to aximo_sequencer;
comment on function aximo_private.count_deployments(aximo_private.fact[], bigint) is 'Adds facts to aximo_private.deployment_sums. Which of them came first makes no difference.';

-- Counts run events in the order of the log: an event that ends a run ends the latest beginning before it.
create function aximo_private.count_runs(growth aximo_private.log_growth[], step bigint) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    with
    entry as materialized (
        select g.customer_id, n.number, e.run_id, e.ts, k.state
        from unnest(growth) as g
        cross join lateral (
            select l.number, l.run_event_id
            from only aximo_private.log_entries as l
            where l.customer_id = g.customer_id and l.log = 'run_events' and l.number > g.old_size and l.number <= g.new_size
            offset 0
        ) as n
        cross join lateral (
            select s.run_id, s.ts, s.kind
            from only helix.run_events as s
            where s.customer_id = g.customer_id and s.event_id = n.run_event_id
            offset 0
        ) as e
        cross join lateral (
            select v.state
            from only helix.event_kinds as v
            where v.kind = e.kind
            order by v.version desc
            limit 1
        ) as k
        where k.state is not null
    ),
    -- Entry 0 is where the run stood before. Each entry gets the latest earlier one that began or ended the run, and the latest that
    -- queued, began or ended it. With window functions, because without statistics the planner may turn a join into one pass for each
    -- entry.
    told as materialized (
        select
            s.*,
            (max(array[s.number, s.begun_us]) filter (where s.state is distinct from 'queued') over earlier)[2] as begun_before,
            (max(array[s.number, s.queued_us]) filter (where s.state is distinct from 'started') over earlier)[2] as queued_before,
            (max(array[s.number, s.begun_us]) filter (where s.state is distinct from 'queued') over life)[2] as begun_at_last,
            (max(array[s.number, s.queued_us]) filter (where s.state is distinct from 'started') over life)[2] as queued_at_last
        from (
            select
                e.customer_id, e.run_id, e.number::numeric as number, e.ts, e.state, e.us,
                case when e.state in ('started', 'running') then e.us end as begun_us,
                case when e.state = 'queued' then e.us end as queued_us
            from (select t.*, extract(epoch from t.ts) * 1000000 as us from entry as t) as e
            union all
            select m.customer_id, m.run_id, 0, null, null, null, p.begun_us, p.queued_us
            from (select distinct e.customer_id, e.run_id from entry as e) as m
            cross join lateral (
                select r.begun_us, r.queued_us
                from aximo_private.run_states as r
                where r.customer_id = m.customer_id and r.run_id = m.run_id
                offset 0
            ) as p
        ) as s
        window
            life as (partition by s.customer_id, s.run_id),
            earlier as (partition by s.customer_id, s.run_id order by s.number rows between unbounded preceding and 1 preceding)
    ),
    state_now as (
        insert into aximo_private.run_states as r (customer_id, run_id, begun_us, queued_us)
        select distinct s.customer_id, s.run_id, s.begun_at_last, s.queued_at_last
        from told as s
        on conflict (customer_id, run_id) do update
        set begun_us = excluded.begun_us, queued_us = excluded.queued_us
    ),
    timed as (
        select
            s.customer_id, s.run_id, s.number::bigint as number, s.state, s.ts,
            case when s.state = 'running' then s.us - s.queued_before end as wait_us,
            case when s.state in ('succeeded', 'failed', 'blocked') then s.us - s.begun_before end as run_us
        from told as s
        where s.state is not null
    ),
    added as materialized (
        select
            t.customer_id, m.tool_name, t.state, date_trunc('day', t.ts, 'UTC') as day, count(*) as events, count(t.wait_us) as waits,
            coalesce(sum(t.wait_us), 0) as wait_us, count(t.run_us) as runs, coalesce(sum(t.run_us), 0) as run_us
        from timed as t
        cross join lateral (
            select n.tool_name
            from only helix.runs as n
            where n.customer_id = t.customer_id and n.run_id = t.run_id
            offset 0
        ) as m
        group by 1, 2, 3, 4
    ),
    old as materialized (
        delete from only aximo_private.run_sums as s
        using added as a
        where s.customer_id = a.customer_id and s.day = a.day and s.tool_name = a.tool_name and s.state = a.state
        returning s.*
    )
    insert into aximo_private.run_sums
    select
        a.customer_id, a.tool_name, a.state, a.day, a.events + coalesce(o.events, 0), a.waits + coalesce(o.waits, 0),
        a.wait_us + coalesce(o.wait_us, 0), a.runs + coalesce(o.runs, 0), a.run_us + coalesce(o.run_us, 0), count_runs.step
    from added as a
    left join old as o on o.customer_id = a.customer_id and o.day = a.day and o.tool_name = a.tool_name and o.state = a.state;
end;
$$;
alter function aximo_private.count_runs(aximo_private.log_growth[], bigint) owner to aximo_sequencer;
comment on function aximo_private.count_runs(aximo_private.log_growth[], bigint) is 'Adds new entries of the log of run events to aximo_private.run_sums, in the order of the log.';

create function aximo_private.count_growth(growth aximo_private.log_growth[], of_log text, step bigint) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    facts aximo_private.fact[];
begin
    if of_log = 'events' then
        facts := array(select f from aximo_private.facts_of_entries(growth) as f);
        perform aximo_private.count_activity(facts, step);
        perform aximo_private.count_actions(facts, step);
        perform aximo_private.count_deployments(facts, step);
    else
        perform aximo_private.count_runs(growth, step);
    end if;
    insert into aximo_private.counted_logs as c (customer_id, log, number, changed_in)
    select g.customer_id, of_log, g.new_size, step
    from unnest(growth) as g
    on conflict (customer_id, log) do update
    set number = excluded.number, changed_in = excluded.changed_in;
    -- Skip the rows that an advance is replacing: it deletes them itself.
    delete from only aximo_private.uncounted_logs as u
    where u.ctid = any(array(
            select q.ctid
            from only aximo_private.uncounted_logs as q
            inner join unnest(growth) as g on g.customer_id = q.customer_id and q.number <= g.new_size
            where q.log = of_log
            for update of q skip locked
        ));
end;
$$;
alter function aximo_private.count_growth(aximo_private.log_growth[], text, bigint) owner to aximo_sequencer;
comment on function aximo_private.count_growth(aximo_private.log_growth[], text, bigint) is 'Counts the new entries of some customers'' logs, and notes up to which number.';

-- Judges again which of the counted actions are leads, by the setting as it is now. It takes one month in all grains, so that hours still
-- add up to days and days to months.
create function aximo_private.count_leads(step bigint) returns boolean
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
-- The tables of sums have no statistics, and a customer has many rows there.
set enable_nestloop = off
as $$
#variable_conflict use_column
declare
    of_customer text;
    judged_since timestamptz;
    month timestamptz;
begin
    -- A setting for all customers becomes one row a customer, and is judged like a customer's own.
    with
    of_all as (
        delete from only aximo_private.unjudged_leads as u
        where u.customer_id = '*'
        returning u.since
    )
    insert into aximo_private.unjudged_leads (customer_id, since)
    select c.customer_id, a.since
    from of_all as a
    cross join (select g.customer_id from only aximo_private.counted_logs as g where g.log = 'events') as c;
    -- In random order, so that a customer that sets it again and again keeps no other waiting.
    select u.customer_id into of_customer
    from only aximo_private.unjudged_leads as u
    order by u.setting_id
    limit 1;
    if not found then
        return false;
    end if;
    with
    taken as (
        delete from only aximo_private.unjudged_leads as u
        where u.customer_id = of_customer
        returning u.since
    )
    select min(t.since) into judged_since
    from taken as t;
    -- One month a call: if a statement_timeout ends a call, one month is lost, not a long history.
    select min(s.bucket) into month
    from only aximo_private.activity_sums as s
    where s.customer_id = of_customer and s.grain = 'month' and s.bucket >= date_trunc('month', judged_since, 'UTC');
    if month is null then
        return true;
    end if;
    insert into aximo_private.unjudged_leads (customer_id, since)
    select of_customer, aximo_private.month_end(month)
    where exists (
            select
            from only aximo_private.activity_sums as s
            where s.customer_id = of_customer and s.grain = 'month' and s.bucket > month
        );
    with
    judged as (
        select s.grain, s.bucket, s.deployment_id, s.skill_id, s.skill_version, sum(s.dispatched) as leads, sum(s.emergencies) as emergencies
        from only aximo_private.action_sums as s
        where s.customer_id = of_customer and s.grain in ('hour', 'day', 'month')
            and s.bucket >= month and s.bucket < aximo_private.month_end(month)
            and s.action_type = any((
                select aximo_private.list_of(of_customer, 'lead_action_types', aximo_private.month_end(month))
            )::text[])
        group by 1, 2, 3, 4, 5
    )
    update only aximo_private.activity_sums as s
    set leads = n.leads, emergency_leads = n.emergency_leads, changed_in = count_leads.step
    from (
        select o.grain, o.bucket, o.series, coalesce(j.leads, 0) as leads, coalesce(j.emergencies, 0) as emergency_leads
        from only aximo_private.activity_sums as o
        left join judged as j on j.grain = o.grain and j.bucket = o.bucket and j.deployment_id = o.deployment_id
            and j.skill_id = o.skill_id and j.skill_version = o.skill_version
        where o.customer_id = of_customer and o.grain in ('hour', 'day', 'month')
            and o.bucket >= month and o.bucket < aximo_private.month_end(month)
    ) as n
    where s.customer_id = of_customer and s.grain in ('hour', 'day', 'month')
        and s.bucket >= month and s.bucket < aximo_private.month_end(month)
        and s.grain = n.grain and s.bucket = n.bucket and s.series = n.series
        and (s.leads, s.emergency_leads) <> (n.leads, n.emergency_leads);
    update only aximo_private.activity_sums as s
    set leads = n.leads, emergency_leads = n.emergency_leads, changed_in = count_leads.step
    from (
        select coalesce(sum(m.leads), 0) as leads, coalesce(sum(m.emergency_leads), 0) as emergency_leads
        from only aximo_private.activity_sums as m
        where m.customer_id = of_customer and m.grain = 'month'
    ) as n
    where s.customer_id = of_customer and s.grain = 'customer';
    return true;
end;
$$;
alter function aximo_private.count_leads(bigint) owner to aximo_sequencer;
comment on function aximo_private.count_leads(bigint) is 'Judges the leads of one month of a customer that set anew which actions are leads; false if no customer did.';

-- Adds numbered events to the sums. One call is small enough for a statement_timeout, and what it did stays done.
create function aximo.count_metrics(max_events integer default 20000)
returns table (counted bigint, is_behind boolean)
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    this_step bigint;
    which text;
    growth aximo_private.log_growth[];
    one aximo_private.log_growth;
    left_over bigint;
    waiting bigint;
    taken bigint;
    judged boolean;
begin
    if count_metrics.max_events is null or count_metrics.max_events < 1 then
        raise exception using
            errcode = 'ZXARG',
            message = 'max_events is at least 1',
            detail = format('max_events is %s', coalesce(count_metrics.max_events::text, 'null')),
            hint = 'Give a positive number; what is left over is counted by the next call.',
            constraint = 'max_events_positive';
    end if;
    perform aximo_private.numbers_for_all();
    -- One session at a time, and not during a refresh: what is published is of one step.
    select s.steps + 1 into this_step
    from aximo_private.metric_state as s
    for update skip locked;
    if not found then
        return query select 0::bigint, null::boolean;
        return;
    end if;
    counted := 0;
    is_behind := aximo_private.count_leads(this_step);
    judged := is_behind;
    left_over := count_metrics.max_events;
    foreach which in array array['events', 'run_events'] loop
        with
        grown as (
            select u.customer_id, coalesce(c.number, 0) as old_size, greatest(max(u.number), coalesce(c.number, 0)) as new_size
            from only aximo_private.uncounted_logs as u
            left join aximo_private.counted_logs as c on c.customer_id = u.customer_id and c.log = u.log
            where u.log = which and c.failed_at is null
            group by u.customer_id, c.number
        ),
        -- Customers with few events come first: one with many does not keep them waiting.
        in_turn as (
            select g.*, sum(g.new_size - g.old_size) over (order by g.new_size - g.old_size, g.customer_id) as until
            from grown as g
        ),
        share as (
            select
                t.customer_id, t.old_size,
                least(t.new_size, t.new_size + left_over - t.until::bigint) as new_size
            from in_turn as t
            where t.until - (t.new_size - t.old_size) < left_over
        )
        select
            array_agg(row(s.customer_id, s.old_size, s.new_size)::aximo_private.log_growth), sum(s.new_size - s.old_size),
            (select coalesce(sum(g.new_size - g.old_size), 0) from grown as g)
        into growth, taken, waiting
        from share as s;
        is_behind := is_behind or waiting > left_over;
        continue when growth is null;
        left_over := left_over - taken;
        begin
            perform aximo_private.count_growth(growth, which, this_step);
        exception
            when program_limit_exceeded or statement_too_complex or insufficient_resources or data_exception or cardinality_violation
                or integrity_constraint_violation then
                -- Count customer by customer: if the events of one can't be counted, the others still are.
                foreach one in array growth loop
                    begin
                        perform aximo_private.count_growth(array[one], which, this_step);
                    exception
                        when program_limit_exceeded or statement_too_complex or insufficient_resources or data_exception
                            or cardinality_violation or integrity_constraint_violation then
                            taken := taken - (one.new_size - one.old_size);
                            insert into aximo_private.counted_logs as c (customer_id, log, number, failed_at, changed_in)
                            values (one.customer_id, which, one.old_size, clock_timestamp(), this_step)
                            on conflict (customer_id, log) do update
                            set failed_at = excluded.failed_at;
                    end;
                end loop;
        end;
        counted := counted + taken;
    end loop;
    if counted > 0 or judged then
        update aximo_private.metric_state as s
        set steps = this_step
        where s.is_the_row;
    end if;
    return next;
end;
$$;
alter function aximo.count_metrics(integer) owner to aximo_sequencer;
comment on function aximo.count_metrics(integer) is 'Counts numbered events, of all customers, for the metrics, at most so many in one call; the next aximo.refresh_metrics shows them. Returns how many, and whether there are more; is_behind is null if another session counts or refreshes, and nothing was done. Each call also judges one month of leads of a customer that set anew which actions are leads. A customer whose events can not be counted is left out, and aximo.recount_metrics tries again. Waits for nobody. ZXARG: max_events below 1; ZXCUS: a login without all customers.';

-- A repair: the sums follow from the log, so they can be thrown away and counted again, step by step, while new events come in.
create function aximo.recount_metrics(from_the_start boolean default false, max_events integer default 100000)
returns table (counted bigint, remaining bigint)
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
begin
    perform aximo_private.numbers_for_all();
    perform from aximo_private.metric_state for update;
    if recount_metrics.from_the_start then
        update aximo_private.metric_state as s set steps = s.steps + 1, recounted_in = s.steps + 1 where s.is_the_row;
        delete from aximo_private.activity_sums;
        delete from aximo_private.action_sums;
        delete from aximo_private.deployment_sums;
        delete from aximo_private.run_sums;
        delete from aximo_private.run_states;
        delete from aximo_private.counted_logs;
    else
        update aximo_private.counted_logs as c set failed_at = null where c.failed_at is not null;
    end if;
    -- Every log that is not counted to its end, whether its growth was noted or not.
    insert into aximo_private.uncounted_logs (customer_id, log, number)
    with recursive
    -- One look-up for each log, not a pass over the log.
    head as (
        (
            select l.customer_id, l.log, l.number as size
            from only aximo_private.log_entries as l
            order by l.customer_id desc, l.log desc, l.number desc
            limit 1
        )
        union all
        select n.customer_id, n.log, n.number
        from head as c
        cross join lateral (
            select l.customer_id, l.log, l.number
            from only aximo_private.log_entries as l
            where (l.customer_id, l.log) < (c.customer_id, c.log)
            order by l.customer_id desc, l.log desc, l.number desc
            limit 1
        ) as n
    )
    select h.customer_id, h.log, h.size
    from head as h
    left join aximo_private.counted_logs as c on c.customer_id = h.customer_id and c.log = h.log
    where h.size > coalesce(c.number, 0)
    on conflict do nothing;
    select c.counted into strict counted
    from aximo.count_metrics(recount_metrics.max_events) as c;
    select coalesce(sum(g.size - g.number), 0) into strict remaining
    from (
        select max(u.number) as size, coalesce(c.number, 0) as number
        from aximo_private.uncounted_logs as u
        left join aximo_private.counted_logs as c on c.customer_id = u.customer_id and c.log = u.log
        where c.failed_at is null
        group by u.customer_id, u.log, c.number
    ) as g
    where g.size > g.number;
    return next;
end;
$$;
alter function aximo.recount_metrics(boolean, integer) owner to aximo_sequencer;
comment on function aximo.recount_metrics(boolean, integer) is 'Counts numbered events that are not in the metrics, of all customers, at most so many in one call; from_the_start throws away what is counted first. Returns how many it counted and how many remain: call it again until none do, then refresh with everything = true. ZXARG: max_events below 1; ZXCUS: a login without all customers.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_private.activity_to_publish with (security_barrier = true) as
select
    r.customer_id,
    r.grain,
    r.bucket,
    r.series,
    r.deployment_id,
    r.skill_id,
    r.skill_version,
    r.events,
    r.execution_triggered as triggered,
    r.execution_completed as completed,
    r.execution_failed as failed,
    r.opened - r.closed as open,
    r.execution_failed::double precision / nullif(r.execution_triggered, 0) as error_rate,
    r.executions as execution_time_count,
    (r.execution_us / 1000)::numeric(38, 3) as execution_time_sum_ms,
    (r.execution_us / nullif(r.executions, 0))::double precision / 1000 as execution_time_avg_ms,
    aximo_private.histogram_value(p.execution_p50) / 1000 as execution_time_p50_ms,
    aximo_private.histogram_value(p.execution_p95) / 1000 as execution_time_p95_ms,
    aximo_private.histogram_value(p.execution_p99) / 1000 as execution_time_p99_ms,
    r.latencies as latency_count,
    r.latency_ms::numeric(38, 3) as latency_sum_ms,
    (r.latency_ms / nullif(r.latencies, 0))::double precision as latency_avg_ms,
    aximo_private.histogram_value(p.latency_p50) / 1000 as latency_p50_ms,
    aximo_private.histogram_value(p.latency_p95) / 1000 as latency_p95_ms,
    aximo_private.histogram_value(p.latency_p99) / 1000 as latency_p99_ms,
    r.action_dispatched as actions_dispatched,
    r.leads,
    r.leads::double precision / nullif(r.execution_triggered, 0) as lead_conversion_rate,
    r.emergency_leads,
    r.approval_requested as approvals_requested,
    r.approval_granted as approvals_granted,
    r.approval_rejected as approvals_rejected,
    r.approval_timeout as approvals_timed_out,
    r.approval_requested - r.answered as approvals_open,
    r.delays as approval_delay_count,
    (r.delay_us / 1000)::numeric(38, 3) as approval_delay_sum_ms,
    (r.delay_us / nullif(r.delays, 0))::double precision / 1000 as approval_delay_avg_ms,
    r.sla_breached as sla_breaches,
    r.sla_breached::double precision / nullif(r.execution_completed, 0) as sla_breach_rate,
    r.escalation_triggered as escalations,
    r.pressure_invoked as pressure_invocations,
    r.deployment_suspended as suspensions,
    r.changed_in
from aximo_private.activity_sums as r
left join lateral (
    select
        min(c.bin) filter (where c.executions_so_far >= ceil(0.50 * c.all_executions)) as execution_p50,
        min(c.bin) filter (where c.executions_so_far >= ceil(0.95 * c.all_executions)) as execution_p95,
        min(c.bin) filter (where c.executions_so_far >= ceil(0.99 * c.all_executions)) as execution_p99,
        min(c.bin) filter (where c.latencies_so_far >= ceil(0.50 * c.all_latencies)) as latency_p50,
        min(c.bin) filter (where c.latencies_so_far >= ceil(0.95 * c.all_latencies)) as latency_p95,
        min(c.bin) filter (where c.latencies_so_far >= ceil(0.99 * c.all_latencies)) as latency_p99
    from (
        -- Up to each bin, and in all; null, and above no rank, if there are none.
        select
            b.bin,
            sum(b.executions) over (order by b.bin) as executions_so_far,
            nullif(sum(b.executions) over (), 0) as all_executions,
            sum(b.latencies) over (order by b.bin) as latencies_so_far,
            nullif(sum(b.latencies) over (), 0) as all_latencies
        from unnest(r.bins, r.bin_executions, r.bin_latencies) as b (bin, executions, latencies)
    ) as c
) as p on true;
alter view aximo_private.activity_to_publish owner to aximo_meter;

comment on view aximo_private.activity_to_publish is 'Every row of activity_sums as it is published.';
comment on column aximo_private.activity_to_publish.events is 'How many events of any type in this time.';
comment on column aximo_private.activity_to_publish.triggered is 'How many executions were triggered in this time.';
comment on column aximo_private.activity_to_publish.completed is 'How many completed in this time.';
comment on column aximo_private.activity_to_publish.failed is 'How many failed in this time.';
comment on column aximo_private.activity_to_publish.open is 'How many of those triggered in this time have not ended yet.';
comment on column aximo_private.activity_to_publish.error_rate is 'failed / triggered; null if none was triggered.';
comment on column aximo_private.activity_to_publish.execution_time_count is 'How many executions that ended in this time have a known start.';
comment on column aximo_private.activity_to_publish.execution_time_sum_ms is 'Their time from trigger to end, by the events'' timestamps, summed up, in milliseconds.';
comment on column aximo_private.activity_to_publish.execution_time_avg_ms is 'execution_time_sum_ms / execution_time_count.';
comment on column aximo_private.activity_to_publish.execution_time_p50_ms is 'Half of them took at most so many milliseconds: the value of rank ceil(0.50 n), at most 2 % off.';
comment on column aximo_private.activity_to_publish.execution_time_p95_ms is '95 % of them took at most so many milliseconds, at most 2 % off.';
comment on column aximo_private.activity_to_publish.execution_time_p99_ms is '99 % of them took at most so many milliseconds, at most 2 % off.';
comment on column aximo_private.activity_to_publish.latency_count is 'How many events in this time, of any type, state latency_ms.';
comment on column aximo_private.activity_to_publish.latency_sum_ms is 'Those latencies, summed up, in milliseconds.';
comment on column aximo_private.activity_to_publish.latency_avg_ms is 'latency_sum_ms / latency_count.';
comment on column aximo_private.activity_to_publish.latency_p50_ms is 'Half of them are at most so many milliseconds: the value of rank ceil(0.50 n), at most 2 % off.';
comment on column aximo_private.activity_to_publish.latency_p95_ms is '95 % of them are at most so many milliseconds, at most 2 % off.';
comment on column aximo_private.activity_to_publish.latency_p99_ms is '99 % of them are at most so many milliseconds, at most 2 % off.';
comment on column aximo_private.activity_to_publish.actions_dispatched is 'How many actions were dispatched in this time.';
comment on column aximo_private.activity_to_publish.leads is 'How many leads in this time: action_dispatched with a payload.action_type that lead_action_types lists.';
comment on column aximo_private.activity_to_publish.lead_conversion_rate is 'leads / conversations; null if there were none.';
comment on column aximo_private.activity_to_publish.emergency_leads is 'How many of the leads say payload.priority = "high" or payload.emergency = true.';
comment on column aximo_private.activity_to_publish.approvals_requested is 'How many approvals were requested in this time.';
comment on column aximo_private.activity_to_publish.approvals_granted is 'How many were granted in this time.';
comment on column aximo_private.activity_to_publish.approvals_rejected is 'How many were rejected in this time.';
comment on column aximo_private.activity_to_publish.approvals_timed_out is 'How many timed out in this time.';
comment on column aximo_private.activity_to_publish.approvals_open is 'How many of those requested in this time are not answered yet.';
comment on column aximo_private.activity_to_publish.approval_delay_count is 'How many answers in this time, timeouts included, have a known request.';
comment on column aximo_private.activity_to_publish.approval_delay_sum_ms is 'Their time from request to answer, summed up, in milliseconds.';
comment on column aximo_private.activity_to_publish.approval_delay_avg_ms is 'approval_delay_sum_ms / approval_delay_count.';
comment on column aximo_private.activity_to_publish.sla_breaches is 'How many service levels were missed in this time: sla_breached.';
comment on column aximo_private.activity_to_publish.sla_breach_rate is 'sla_breaches / completed; null if none completed.';
comment on column aximo_private.activity_to_publish.escalations is 'How many escalations in this time: escalation_triggered.';
comment on column aximo_private.activity_to_publish.pressure_invocations is 'How often pressure was invoked in this time.';
comment on column aximo_private.activity_to_publish.suspensions is 'How often a deployment was suspended in this time.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_private.actions_to_publish with (security_barrier = true) as
select
    r.customer_id,
    r.grain,
    r.bucket,
    r.series,
    r.deployment_id,
    r.skill_id,
    r.skill_version,
    r.action_type,
    r.risk_level,
    r.prepared,
    r.dispatched,
    r.failed,
    r.emergencies,
    r.changed_in
from aximo_private.action_sums as r;
alter view aximo_private.actions_to_publish owner to aximo_meter;

comment on view aximo_private.actions_to_publish is 'Every row of action_sums as it is published.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_private.deployments_to_publish with (security_barrier = true) as
select
    r.customer_id,
    r.deployment_id,
    coalesce(r.declared_skill, r.executed_skill) as skill_id,
    coalesce(r.declared_version, r.executed_version) as skill_version,
    case r.status_type
        when 'deployment_created' then 'pending_configuration'
        when 'deployment_configured' then 'configured'
        when 'deployment_activated' then 'active'
        when 'deployment_suspended' then 'suspended'
        when 'deployment_terminated' then 'terminated'
        else 'undeclared'
    end collate "C" as status,
    r.status_at as status_since,
    r.upgrades,
    r.rollbacks,
    r.executed_at as last_execution_at,
    r.first_event_at,
    r.last_event_at,
    r.events,
    r.triggered,
    r.completed,
    r.failed,
    r.open,
    r.failed::double precision / nullif(r.triggered, 0) as error_rate,
    r.sla_breaches,
    r.sla_breaches::double precision / nullif(r.completed, 0) as sla_breach_rate,
    r.changed_in
from aximo_private.deployment_sums as r;
alter view aximo_private.deployments_to_publish owner to aximo_meter;

comment on view aximo_private.deployments_to_publish is 'Every row of deployment_sums as it is published.';
comment on column aximo_private.deployments_to_publish.skill_id is 'The skill: as last declared, else as last executed.';
comment on column aximo_private.deployments_to_publish.skill_version is 'Its version: as last declared, else as last executed.';
comment on column aximo_private.deployments_to_publish.status is 'As in aximo.deployments.';
comment on column aximo_private.deployments_to_publish.status_since is 'Since when.';
comment on column aximo_private.deployments_to_publish.last_execution_at is 'When an execution was last triggered.';
comment on column aximo_private.deployments_to_publish.error_rate is 'failed / triggered; null if none was triggered.';
comment on column aximo_private.deployments_to_publish.sla_breach_rate is 'sla_breaches / completed; null if none completed.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_private.runs_to_publish with (security_barrier = true) as
select
    r.customer_id,
    r.tool_name,
    r.state,
    r.day,
    r.events,
    r.waits,
    (r.wait_us / 1000)::numeric(38, 3) as wait_ms,
    (r.wait_us / nullif(r.waits, 0))::double precision / 1000 as wait_avg_ms,
    r.runs,
    (r.run_us / 1000)::numeric(38, 3) as run_ms,
    (r.run_us / nullif(r.runs, 0))::double precision / 1000 as run_avg_ms,
    r.changed_in
from aximo_private.run_sums as r;
alter view aximo_private.runs_to_publish owner to aximo_meter;

comment on view aximo_private.runs_to_publish is 'Every row of run_sums as it is published.';
comment on column aximo_private.runs_to_publish.wait_ms is 'The time they had been, summed up, in milliseconds.';
comment on column aximo_private.runs_to_publish.wait_avg_ms is 'wait_ms / waits.';
comment on column aximo_private.runs_to_publish.run_ms is 'The time from there to the end, summed up, in milliseconds.';
comment on column aximo_private.runs_to_publish.run_avg_ms is 'run_ms / runs.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_private.counted_to_publish with (security_barrier = true) as
select
    r.customer_id,
    r.log,
    r.number,
    r.changed_in
from aximo_private.counted_logs as r;
alter view aximo_private.counted_to_publish owner to aximo_meter;

comment on view aximo_private.counted_to_publish is 'Every row of counted_logs as it is published.';

-- A kind of metrics, by its view <kind>_to_publish, which works a row out of the sums:
-- - <kind>_changed(), the rows of it that changed since the last refresh. A function, because a restore refreshes with row_security off, and
--   would be refused;
-- - <kind>_recent, the materialized view of those: REFRESH works out what is published, and nothing else does;
-- - <kind>_kept, the table of what it has ever worked out, each row as it was last: what is shown.
-- A column says what the one of the sums says that has its name, unless the view says something else.
create function aximo_private.publish_kind(kind text, sums regclass, key text[]) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    source constant regclass := format('aximo_private.%I', kind || '_to_publish');
    changed constant text := format('aximo_private.%I()', kind || '_changed');
    recent constant text := format('aximo_private.%I', kind || '_recent');
    kept constant text := format('aximo_private.%I', kind || '_kept');
    column_names constant text := (
        select string_agg(format('r.%I', a.attname), ', ' order by a.attnum)
        from pg_catalog.pg_attribute as a
        where a.attrelid = source and a.attnum > 0 and a.attname <> 'changed_in'
    );
begin
    -- Uses the index: without statistics the planner expects a third of all rows to have changed.
    execute format(
        'create function %s returns setof %s language plpgsql stable security invoker parallel unsafe'
        ' set search_path = pg_catalog, pg_temp set row_security = on set jit = off set enable_seqscan = off as %L',
        changed, source, format(
            'begin return query select r.* from %s as r'
            ' where r.changed_in > (select s.published_in from aximo_private.metric_state as s); end;',
            source
        )
    );
    execute format('alter function %s owner to aximo_meter', changed);
    execute format('comment on function %s is %L', changed, 'What of ' || source || ' has changed since the last refresh.');

    execute format('create materialized view %s as select %s from %s as r with no data', recent, column_names, changed);
    execute format('comment on materialized view %s is %L', recent, 'What the last refresh worked out of ' || source || '.');
    execute format('create table %s as select * from %s with no data', kept, recent);
    execute format(
        'alter table %s add constraint %I primary key (%s)', kept, kind || '_kept_pkey',
        (select string_agg(quote_ident(k.name), ', ' order by k.place) from unnest(key) with ordinality as k (name, place))
    );
    -- A refresh deletes the rows that changed and inserts them again, so the table is vacuumed early.
    execute format('alter table %s set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1)', kept);
    execute format('comment on table %s is %L', kept, 'What refreshes have worked out of ' || source || ', each row as it was last.');
    perform aximo_private.take_comments(sums, source);
    perform aximo_private.take_comments(source, recent::regclass);
    perform aximo_private.take_comments(source, kept::regclass);
    perform aximo_private.hide_statistics(recent::regclass);
    execute format('alter materialized view %s owner to aximo_meter', recent);
    execute format('alter table %s owner to aximo_owner', kept);
    perform aximo_private.isolate_by_customer(kept::regclass, 'owner_reads_own');
    execute format('create policy meter_keeps_published on %s for all to aximo_meter using (true) with check (true)', kept);
    execute format('comment on policy meter_keeps_published on %s is %L', kept, 'aximo.refresh_metrics runs as this role.');
    execute format('grant select, insert, delete on %s to aximo_meter', kept);
    execute format('revoke insert, update, delete, truncate on %s from aximo_owner', kept);
end;
$$;
comment on function aximo_private.publish_kind(text, regclass, text[]) is 'Makes of a view <kind>_to_publish, of a table of sums, what a refresh works out and keeps. Used by migrations.';

-- The kinds of metrics that are published. aximo.refresh_metrics finds them by their materialized views.
select aximo_private.publish_kind('activity', 'aximo_private.activity_sums', '{customer_id, grain, bucket, series}');
select aximo_private.publish_kind('actions', 'aximo_private.action_sums', '{customer_id, grain, bucket, series}');
select aximo_private.publish_kind('deployments', 'aximo_private.deployment_sums', '{customer_id, deployment_id}');
select aximo_private.publish_kind('runs', 'aximo_private.run_sums', '{customer_id, day, tool_name, state}');
select aximo_private.publish_kind('counted', 'aximo_private.counted_logs', '{customer_id, log}');

create function aximo_private.check_effective_from(effective_from timestamptz) returns void
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if effective_from > '-infinity' and effective_from < '1970-01-01 00:00:00+00' or effective_from >= '9999-01-01 00:00:00+00' then
        raise exception using
            errcode = 'ZXARG',
            message = 'a setting takes effect between 1970 and 9999',
            detail = format('effective_from %s', effective_from),
            hint = 'Leave it out: then it takes effect now. Or give -infinity: then it counts for all there ever was.',
            constraint = 'effective_from_is_a_moment';
    end if;
end;
$$;
alter function aximo_private.check_effective_from(timestamptz) owner to aximo_recorder;
comment on function aximo_private.check_effective_from(timestamptz) is 'Raises ZXARG for a moment that no event can have.';

create function aximo.set_threshold(
    metric text,
    level text,
    value double precision,
    deployment_id text default null,
    effective_from timestamptz default clock_timestamp(),
    for_all_customers boolean default false
) returns void
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer text := '*';
begin
    if set_threshold.for_all_customers then
        perform aximo_private.numbers_for_all();
    else
        customer := aximo_private.writing_customer(null);
    end if;
    if (
        set_threshold.metric in ('error_rate', 'sla_breach_rate', 'avg_execution_time_ms')
        and set_threshold.level in ('warning', 'escalation', 'minimum_denominator')
    ) is not true then
        raise exception using
            errcode = 'ZXARG',
            message = 'there is no such threshold',
            detail = format('metric %L, level %L', left(set_threshold.metric, 60), left(set_threshold.level, 60)),
            hint = 'A metric is error_rate, sla_breach_rate or avg_execution_time_ms; a level is warning, escalation or minimum_denominator.',
            constraint = 'threshold_known';
    end if;
    if not (set_threshold.value >= 0 and set_threshold.value < 'infinity') then
        raise exception using
            errcode = 'ZXARG',
            message = 'a threshold is a number of zero or more',
            detail = format('value %s', set_threshold.value),
            hint = 'Give 0.05 for 5 percent, milliseconds for avg_execution_time_ms, a count for minimum_denominator, or null to take back what was set before.',
            constraint = 'threshold_is_a_rate';
    end if;
    if set_threshold.deployment_id is not null and set_threshold.for_all_customers then
        raise exception using
            errcode = 'ZXARG',
            message = 'a deployment is of one customer, and the threshold was to be for all',
            detail = format('deployment_id %L', left(set_threshold.deployment_id, 60)),
            hint = 'Leave out for_all_customers, or the deployment.',
            constraint = 'deployment_of_a_customer';
    end if;
    perform aximo_private.check_effective_from(set_threshold.effective_from);
    begin
        insert into aximo_private.thresholds (customer_id, deployment_id, metric, level, value, effective_from)
        values (
            customer, set_threshold.deployment_id, set_threshold.metric, set_threshold.level, set_threshold.value,
            coalesce(set_threshold.effective_from, clock_timestamp())
        );
    exception
        when check_violation then
            raise exception using
                errcode = 'ZXARG',
                message = 'no deployment can have that name',
                detail = format('deployment_id has %s characters', char_length(set_threshold.deployment_id)),
                hint = 'A deployment_id has 1 to 255 characters and is not blank.',
                constraint = 'identifier_length';
    end;
end;
$$;
alter function aximo.set_threshold(text, text, double precision, text, timestamptz, boolean) owner to aximo_recorder;
comment on function aximo.set_threshold(text, text, double precision, text, timestamptz, boolean) is 'Sets above which rate or average aximo_metrics.alerts lists a deployment, or from which denominator on, for the session''s customer, one of its deployments, or all customers that set none. Counts for hours, days and months that end after effective_from; a value of null takes back what was set. Nothing is overwritten: aximo_metrics.thresholds is the history. ZXARG: no such threshold, or no number of zero or more; ZXCUS: no customer, or a login without all customers sets it for all.';

-- The deployment's own threshold, else the customer's, else the one for all. Of each, the latest that had taken effect.
create function aximo_private.threshold_at(for_deployment text, for_metric text, for_level text, moment timestamptz)
returns double precision
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo.current_customer();
begin
    return coalesce(
        (
            select t.value from only aximo_private.thresholds as t
            where t.customer_id = customer and t.deployment_id = for_deployment and t.metric = for_metric and t.level = for_level
                and t.effective_from < moment
            order by t.effective_from desc, t.set_at desc limit 1
        ),
        (
            select t.value from only aximo_private.thresholds as t
            where t.customer_id = customer and t.deployment_id is null and t.metric = for_metric and t.level = for_level
                and t.effective_from < moment
            order by t.effective_from desc, t.set_at desc limit 1
        ),
        (
            select t.value from only aximo_private.thresholds as t
            where t.customer_id = '*' and t.deployment_id is null and t.metric = for_metric and t.level = for_level
                and t.effective_from < moment
            order by t.effective_from desc, t.set_at desc limit 1
        )
    );
end;
$$;
alter function aximo_private.threshold_at(text, text, text, timestamptz) owner to aximo_meter;
comment on function aximo_private.threshold_at(text, text, text, timestamptz) is 'The threshold in force for a deployment of the session''s customer just before a moment; null if there is none.';

create function aximo_private.level_of(numerator bigint, denominator bigint, for_deployment text, for_metric text) returns text
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    rate constant double precision := numerator::double precision / nullif(denominator, 0);
begin
    return case
        when rate is null then null
        when rate = 0 or denominator < aximo_private.threshold_at(for_deployment, for_metric, 'minimum_denominator', now()) then 'ok'
        when rate > aximo_private.threshold_at(for_deployment, for_metric, 'escalation', now()) then 'escalation'
        when rate > aximo_private.threshold_at(for_deployment, for_metric, 'warning', now()) then 'warning'
        else 'ok'
    end;
end;
$$;
alter function aximo_private.level_of(bigint, bigint, text, text) owner to aximo_meter;
comment on function aximo_private.level_of(bigint, bigint, text, text) is 'Which threshold in force now a rate of a deployment is above: escalation, warning or none (ok); null without a rate.';

create function aximo_private.set_list(
    to_list text, new_items text[], takes_effect timestamptz, for_all_customers boolean
) returns text
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer text := '*';
    rule text;
begin
    if to_list = 'lead_action_types' then
        rule := 'action_types_are_named';
    else
        rule := 'levels_are_named';
    end if;
    if for_all_customers then
        perform aximo_private.numbers_for_all();
    else
        customer := aximo_private.writing_customer(null);
    end if;
    perform aximo_private.check_effective_from(takes_effect);
    if (select count(*) > count(distinct i) or max(char_length(i)) > 255 from unnest(new_items) as i) then
        raise check_violation;
    end if;
    insert into aximo_private.metric_lists (customer_id, list, items, effective_from)
    values (customer, to_list, new_items, coalesce(takes_effect, clock_timestamp()));
    return customer;
exception
    when check_violation then
        raise exception using
            errcode = 'ZXARG',
            message = 'this is not a list of names',
            detail = format('the list has %s entries', coalesce(cardinality(new_items), 0)),
            hint = 'Give at most 100 texts, each once, none of them null or longer than 255 characters; or null to take back what was set before.',
            constraint = rule;
end;
$$;
alter function aximo_private.set_list(text, text[], timestamptz, boolean) owner to aximo_recorder;
comment on function aximo_private.set_list(text, text[], timestamptz, boolean) is 'Adds a setting that is a list, for the session''s customer or for all; returns for whom.';

create function aximo.set_high_risk_levels(
    levels text[],
    effective_from timestamptz default clock_timestamp(),
    for_all_customers boolean default false
) returns void
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    perform aximo_private.set_list('high_risk_levels', levels, effective_from, for_all_customers);
end;
$$;
alter function aximo.set_high_risk_levels(text[], timestamptz, boolean) owner to aximo_recorder;
comment on function aximo.set_high_risk_levels(text[], timestamptz, boolean) is 'Sets which risk levels aximo_metrics.attribution_monthly counts as high, for the session''s customer or for all customers that set none. Counts for months that end after effective_from; null takes back what was set. Nothing is overwritten: aximo_metrics.high_risk_levels is the history. ZXARG: no list of levels; ZXCUS: no customer, or a login without all customers sets it for all.';

create function aximo.set_lead_action_types(
    action_types text[],
    effective_from timestamptz default clock_timestamp(),
    for_all_customers boolean default false
) returns void
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer text;
begin
    if exists (select from unnest(action_types) as t where octet_length(t) > 255 or t ~ '^(sha256|json) ') then
        raise exception using
            errcode = 'ZXARG',
            message = 'no action can have one of these types',
            detail = format('the list has %s entries', cardinality(action_types)),
            hint = 'Give types of at most 255 bytes that do not begin with "sha256 " or "json ": longer ones are counted by a hash that begins so.',
            constraint = 'action_types_are_named';
    end if;
    customer := aximo_private.set_list('lead_action_types', action_types, effective_from, for_all_customers);
    insert into aximo_private.unjudged_leads (customer_id, since)
    values (customer, coalesce(effective_from, clock_timestamp()));
end;
$$;
alter function aximo.set_lead_action_types(text[], timestamptz, boolean) owner to aximo_recorder;
comment on function aximo.set_lead_action_types(text[], timestamptz, boolean) is 'Sets the payload.action_type of actions that are leads when they are dispatched, for the session''s customer or for all customers that set none. Counts for months that end after effective_from, hours and days by the month they are in; null takes back what was set. What is counted already is judged anew by aximo.count_metrics, a month of a customer in each call. Nothing is overwritten: aximo_metrics.lead_action_types is the history. ZXARG: no list of types; ZXCUS: no customer, or a login without all customers sets it for all.';

create function aximo_private.high_risk_at(moment timestamptz) returns text[]
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return aximo_private.list_of(aximo.current_customer(), 'high_risk_levels', moment);
end;
$$;
alter function aximo_private.high_risk_at(timestamptz) owner to aximo_meter;
comment on function aximo_private.high_risk_at(timestamptz) is 'The risk levels that were high just before a moment, for the session''s customer.';

-- Refreshes the materialized views of what changed, and keeps the rows that they worked out; readers see those. Only this function reads
-- the materialized views, so the refresh need not run CONCURRENTLY, which costs three times as much.
create function aximo.refresh_metrics(everything boolean default null)
returns table (view_name text, refreshed_at timestamptz, took interval)
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    begun constant timestamptz := clock_timestamp();
    state record;
    recent record;
    from_nothing boolean;
    step timestamptz;
begin
    perform aximo_private.numbers_for_all();
    -- Numbers and counts first: in a transaction that has written before, numbering can't tell how old holes are. With an isolation level
    -- of one snapshot the refresh would not see what was numbered and counted; there the caller does both before.
    if current_setting('transaction_isolation') = 'read committed' then
        perform from aximo.advance_log();
        perform from aximo.count_metrics();
    end if;
    -- Sums change under this lock only, so all kinds are of one moment.
    select s.steps, s.published_in, s.recounted_in into state
    from aximo_private.metric_state as s
    for update skip locked;
    if not found then
        -- Another session is refreshing or counting.
        return;
    end if;
    from_nothing := refresh_metrics.everything is true or state.recounted_in > state.published_in;
    if from_nothing then
        update aximo_private.metric_state as s set published_in = 0 where s.is_the_row;
    end if;
    for recent in
        select
            c.relname::text as name, regexp_replace(c.relname, '_recent$', '_kept') as kept,
            (
                select string_agg(format('l.%1$I = r.%1$I', a.attname), ' and ')
                from pg_catalog.pg_index as i
                inner join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
                where i.indrelid = format('aximo_private.%I', regexp_replace(c.relname, '_recent$', '_kept'))::regclass and i.indisprimary
            ) as of_key
        from pg_catalog.pg_class as c
        where c.relnamespace = 'aximo_private'::regnamespace and c.relkind = 'm'
        order by c.relname
    loop
        step := clock_timestamp();
        view_name := recent.name;
        execute format('refresh materialized view aximo_private.%I', recent.name);
        if from_nothing then
            execute format('delete from only aximo_private.%I', recent.kept);
        else
            -- One look-up for each row: without statistics the planner may read everything for a join.
            execute format(
                'delete from only aximo_private.%1$I as k where k.ctid = any(array('
                'select p.place from aximo_private.%2$I as r cross join lateral ('
                'select l.ctid as place from only aximo_private.%1$I as l where %3$s offset 0) as p))',
                recent.kept, recent.name, recent.of_key
            );
        end if;
        execute format('insert into aximo_private.%I select r.* from aximo_private.%I as r', recent.kept, recent.name);
        refreshed_at := clock_timestamp();
        took := refreshed_at - step;
        return next;
    end loop;
    update aximo_private.metric_state as s
    set published_in = state.steps, refreshed_at = clock_timestamp(), took = clock_timestamp() - begun
    where s.is_the_row;
end;
$$;
alter function aximo.refresh_metrics(boolean) owner to aximo_meter;
comment on function aximo.refresh_metrics(boolean) is 'Shows the metrics of all customers as they are counted, all of one moment. Costs what changed since the last time; everything = true makes all of it anew. Numbers and counts one step first, unless the isolation level is above read committed; aximo.keep_metrics goes on until nothing is left. Returns what was made and how long it took, nothing if another session counts or refreshes. ZXCUS: a login without all customers.';

-- For cron: each step is a transaction, so a statement_timeout or a lost connection costs one step. A procedure that commits can have
-- neither its owner's rights nor settings of its own: this one runs with its caller's, and names the schema of everything.
create procedure aximo.keep_metrics(max_events integer default 20000)
language plpgsql security invoker
as $$
begin
    loop
        exit when (select a.is_behind from aximo.advance_log(keep_metrics.max_events) as a) is not true;
        commit;
    end loop;
    commit;
    loop
        exit when (select c.is_behind from aximo.count_metrics(keep_metrics.max_events) as c) is not true;
        commit;
    end loop;
    commit;
    -- Under repeatable read a refresh numbers nothing. Numbering in a transaction that has written before can't tell how old holes are.
    set transaction isolation level repeatable read;
    perform from aximo.refresh_metrics();
    commit;
end;
$$;
comment on procedure aximo.keep_metrics (integer) is 'Numbers, counts and shows what is new, of all customers, in steps of at most so many events of each log, each a transaction: call it outside of one. ZXARG: max_events below 1; ZXCUS: a login without all customers.';

-- Some views show something even of a customer without events, such as the thresholds for all. They show it of customers that exist.
create view aximo_private.known_customer with (security_barrier = true) as
select s.customer_id
from (select (select aximo.current_customer()) collate "C" as customer_id) as s
where s.customer_id <> '*' and (
    exists (select from aximo_private.events as e where e.customer_id = s.customer_id)
    or exists (select from helix.runs as r where r.customer_id = s.customer_id)
    or exists (select from aximo_private.access_changes as a where a.customer_id = s.customer_id)
    or exists (select from aximo_private.thresholds as t where t.customer_id = s.customer_id)
    or exists (select from aximo_private.metric_lists as r where r.customer_id = s.customer_id)
);
comment on view aximo_private.known_customer is 'The session''s customer, if there is anything of it.';
comment on column aximo_private.known_customer.customer_id is 'The customer.';

create view aximo.access_history with (security_barrier = true) as
select
    c.customer_id, g.role_name, g.customer_id = '*' as of_all_customers,
    g.changed_at as granted_at, g.changed_by as granted_by, r.changed_at as revoked_at, r.changed_by as revoked_by
from aximo_private.known_customer as c
inner join aximo_private.access_changes as g on g.customer_id in (c.customer_id, '*')
left join lateral (
    select n.changed_at, n.changed_by
    from aximo_private.access_changes as n
    where n.customer_id = g.customer_id and n.role_name = g.role_name and not n.is_granted
        and (n.changed_at, n.change_id) > (g.changed_at, g.change_id)
    order by n.changed_at, n.change_id
    limit 1
) as r on true
where g.is_granted
offset 0;
comment on view aximo.access_history is 'Which logins could work for the session''s customer, and from when to when: each time it was granted, a row. What they may do there is said by their roles, and not here.';
comment on column aximo.access_history.customer_id is 'Always the session''s customer.';
comment on column aximo.access_history.role_name is 'The login.';
comment on column aximo.access_history.of_all_customers is 'Whether it was granted all customers, this one among them.';
comment on column aximo.access_history.granted_at is 'From when on, by the database''s clock.';
comment on column aximo.access_history.granted_by is 'The login that granted it.';
comment on column aximo.access_history.revoked_at is 'Until when; null while it is granted.';
comment on column aximo.access_history.revoked_by is 'The login that revoked it; null while it is granted.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.execution_health with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    (m.bucket at time zone 'UTC')::date as day,
    m.triggered,
    m.completed,
    m.failed,
    m.open,
    m.error_rate,
    m.execution_time_count,
    m.execution_time_sum_ms,
    m.execution_time_avg_ms,
    m.execution_time_p50_ms,
    m.execution_time_p95_ms,
    m.execution_time_p99_ms,
    m.latency_count,
    m.latency_sum_ms,
    m.latency_avg_ms,
    m.latency_p50_ms,
    m.latency_p95_ms,
    m.latency_p99_ms,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from aximo_private.activity_kept as m
where m.customer_id = (select aximo.current_customer()) and m.grain = 'day'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.execution_health is 'How executions go, by day. Key: deployment_id, skill_id, skill_version, day.';
comment on column aximo_metrics.execution_health.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.execution_health.deployment_id is 'The deployment.';
comment on column aximo_metrics.execution_health.skill_id is 'The skill.';
comment on column aximo_metrics.execution_health.skill_version is 'Its version.';
comment on column aximo_metrics.execution_health.day is 'The day, UTC.';
comment on column aximo_metrics.execution_health.triggered is 'How many executions were triggered on this day.';
comment on column aximo_metrics.execution_health.completed is 'How many completed on this day.';
comment on column aximo_metrics.execution_health.failed is 'How many failed on this day.';
comment on column aximo_metrics.execution_health.open is 'How many of those triggered on this day have not ended yet.';
comment on column aximo_metrics.execution_health.error_rate is 'failed / triggered; null if none was triggered.';
comment on column aximo_metrics.execution_health.execution_time_count is 'How many executions that ended on this day have a known start.';
comment on column aximo_metrics.execution_health.execution_time_sum_ms is 'Their time from trigger to end, by the events'' timestamps, summed up, in milliseconds.';
comment on column aximo_metrics.execution_health.execution_time_avg_ms is 'execution_time_sum_ms / execution_time_count.';
comment on column aximo_metrics.execution_health.execution_time_p50_ms is 'Half of them took at most so many milliseconds: the value of rank ceil(0.50 n), at most 2 % off.';
comment on column aximo_metrics.execution_health.execution_time_p95_ms is '95 % of them took at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.execution_health.execution_time_p99_ms is '99 % of them took at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.execution_health.latency_count is 'How many events on this day, of any type, state latency_ms.';
comment on column aximo_metrics.execution_health.latency_sum_ms is 'Those latencies, summed up, in milliseconds.';
comment on column aximo_metrics.execution_health.latency_avg_ms is 'latency_sum_ms / latency_count.';
comment on column aximo_metrics.execution_health.latency_p50_ms is 'Half of them are at most so many milliseconds: the value of rank ceil(0.50 n), at most 2 % off.';
comment on column aximo_metrics.execution_health.latency_p95_ms is '95 % of them are at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.execution_health.latency_p99_ms is '99 % of them are at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.execution_health.counts_up_to is 'The log number up to which it counts.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.execution_health_hourly with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    m.bucket as hour,
    m.triggered,
    m.completed,
    m.failed,
    m.open,
    m.error_rate,
    m.execution_time_count,
    m.execution_time_sum_ms,
    m.execution_time_avg_ms,
    m.execution_time_p50_ms,
    m.execution_time_p95_ms,
    m.execution_time_p99_ms,
    m.latency_count,
    m.latency_sum_ms,
    m.latency_avg_ms,
    m.latency_p50_ms,
    m.latency_p95_ms,
    m.latency_p99_ms,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from aximo_private.activity_kept as m
where m.customer_id = (select aximo.current_customer()) and m.grain = 'hour'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.execution_health_hourly is 'How executions go, by hour. Key: deployment_id, skill_id, skill_version, hour.';
comment on column aximo_metrics.execution_health_hourly.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.execution_health_hourly.deployment_id is 'The deployment.';
comment on column aximo_metrics.execution_health_hourly.skill_id is 'The skill.';
comment on column aximo_metrics.execution_health_hourly.skill_version is 'Its version.';
comment on column aximo_metrics.execution_health_hourly.hour is 'When the hour begins.';
comment on column aximo_metrics.execution_health_hourly.triggered is 'How many executions were triggered in this hour.';
comment on column aximo_metrics.execution_health_hourly.completed is 'How many completed in this hour.';
comment on column aximo_metrics.execution_health_hourly.failed is 'How many failed in this hour.';
comment on column aximo_metrics.execution_health_hourly.open is 'How many of those triggered in this hour have not ended yet.';
comment on column aximo_metrics.execution_health_hourly.error_rate is 'failed / triggered; null if none was triggered.';
comment on column aximo_metrics.execution_health_hourly.execution_time_count is 'How many executions that ended in this hour have a known start.';
comment on column aximo_metrics.execution_health_hourly.execution_time_sum_ms is 'Their time from trigger to end, by the events'' timestamps, summed up, in milliseconds.';
comment on column aximo_metrics.execution_health_hourly.execution_time_avg_ms is 'execution_time_sum_ms / execution_time_count.';
comment on column aximo_metrics.execution_health_hourly.execution_time_p50_ms is 'Half of them took at most so many milliseconds: the value of rank ceil(0.50 n), at most 2 % off.';
comment on column aximo_metrics.execution_health_hourly.execution_time_p95_ms is '95 % of them took at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.execution_health_hourly.execution_time_p99_ms is '99 % of them took at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.execution_health_hourly.latency_count is 'How many events in this hour, of any type, state latency_ms.';
comment on column aximo_metrics.execution_health_hourly.latency_sum_ms is 'Those latencies, summed up, in milliseconds.';
comment on column aximo_metrics.execution_health_hourly.latency_avg_ms is 'latency_sum_ms / latency_count.';
comment on column aximo_metrics.execution_health_hourly.latency_p50_ms is 'Half of them are at most so many milliseconds: the value of rank ceil(0.50 n), at most 2 % off.';
comment on column aximo_metrics.execution_health_hourly.latency_p95_ms is '95 % of them are at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.execution_health_hourly.latency_p99_ms is '99 % of them are at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.execution_health_hourly.counts_up_to is 'The log number up to which it counts.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.execution_health_monthly with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    (m.bucket at time zone 'UTC')::date as month,
    m.triggered,
    m.completed,
    m.failed,
    m.open,
    m.error_rate,
    m.execution_time_count,
    m.execution_time_sum_ms,
    m.execution_time_avg_ms,
    m.execution_time_p50_ms,
    m.execution_time_p95_ms,
    m.execution_time_p99_ms,
    m.latency_count,
    m.latency_sum_ms,
    m.latency_avg_ms,
    m.latency_p50_ms,
    m.latency_p95_ms,
    m.latency_p99_ms,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from aximo_private.activity_kept as m
where m.customer_id = (select aximo.current_customer()) and m.grain = 'month'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.execution_health_monthly is 'How executions go, by month. Key: deployment_id, skill_id, skill_version, month.';
comment on column aximo_metrics.execution_health_monthly.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.execution_health_monthly.deployment_id is 'The deployment.';
comment on column aximo_metrics.execution_health_monthly.skill_id is 'The skill.';
comment on column aximo_metrics.execution_health_monthly.skill_version is 'Its version.';
comment on column aximo_metrics.execution_health_monthly.month is 'The month, UTC, by its first day.';
comment on column aximo_metrics.execution_health_monthly.triggered is 'How many executions were triggered in this month.';
comment on column aximo_metrics.execution_health_monthly.completed is 'How many completed in this month.';
comment on column aximo_metrics.execution_health_monthly.failed is 'How many failed in this month.';
comment on column aximo_metrics.execution_health_monthly.open is 'How many of those triggered in this month have not ended yet.';
comment on column aximo_metrics.execution_health_monthly.error_rate is 'failed / triggered; null if none was triggered.';
comment on column aximo_metrics.execution_health_monthly.execution_time_count is 'How many executions that ended in this month have a known start.';
comment on column aximo_metrics.execution_health_monthly.execution_time_sum_ms is 'Their time from trigger to end, by the events'' timestamps, summed up, in milliseconds.';
comment on column aximo_metrics.execution_health_monthly.execution_time_avg_ms is 'execution_time_sum_ms / execution_time_count.';
comment on column aximo_metrics.execution_health_monthly.execution_time_p50_ms is 'Half of them took at most so many milliseconds: the value of rank ceil(0.50 n), at most 2 % off.';
comment on column aximo_metrics.execution_health_monthly.execution_time_p95_ms is '95 % of them took at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.execution_health_monthly.execution_time_p99_ms is '99 % of them took at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.execution_health_monthly.latency_count is 'How many events in this month, of any type, state latency_ms.';
comment on column aximo_metrics.execution_health_monthly.latency_sum_ms is 'Those latencies, summed up, in milliseconds.';
comment on column aximo_metrics.execution_health_monthly.latency_avg_ms is 'latency_sum_ms / latency_count.';
comment on column aximo_metrics.execution_health_monthly.latency_p50_ms is 'Half of them are at most so many milliseconds: the value of rank ceil(0.50 n), at most 2 % off.';
comment on column aximo_metrics.execution_health_monthly.latency_p95_ms is '95 % of them are at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.execution_health_monthly.latency_p99_ms is '99 % of them are at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.execution_health_monthly.counts_up_to is 'The log number up to which it counts.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.business_value with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    (m.bucket at time zone 'UTC')::date as day,
    m.triggered as conversations,
    m.actions_dispatched,
    m.leads,
    m.lead_conversion_rate,
    m.emergency_leads,
    m.latency_count as response_latency_count,
    m.latency_sum_ms as response_latency_sum_ms,
    m.latency_avg_ms as response_latency_avg_ms,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from aximo_private.activity_kept as m
where m.customer_id = (select aximo.current_customer()) and m.grain = 'day'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.business_value is 'What executions bring, by day. Key: deployment_id, skill_id, skill_version, day.';
comment on column aximo_metrics.business_value.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.business_value.deployment_id is 'The deployment.';
comment on column aximo_metrics.business_value.skill_id is 'The skill.';
comment on column aximo_metrics.business_value.skill_version is 'Its version.';
comment on column aximo_metrics.business_value.day is 'The day, UTC.';
comment on column aximo_metrics.business_value.conversations is 'How many conversations on this day: executions triggered.';
comment on column aximo_metrics.business_value.actions_dispatched is 'How many actions were dispatched on this day.';
comment on column aximo_metrics.business_value.leads is 'How many leads on this day: action_dispatched with a payload.action_type that lead_action_types lists.';
comment on column aximo_metrics.business_value.lead_conversion_rate is 'leads / conversations; null if there were none.';
comment on column aximo_metrics.business_value.emergency_leads is 'How many of the leads say payload.priority = "high" or payload.emergency = true.';
comment on column aximo_metrics.business_value.response_latency_count is 'How many events on this day, of any type, state latency_ms.';
comment on column aximo_metrics.business_value.response_latency_sum_ms is 'Those latencies, summed up, in milliseconds.';
comment on column aximo_metrics.business_value.response_latency_avg_ms is 'response_latency_sum_ms / response_latency_count.';
comment on column aximo_metrics.business_value.counts_up_to is 'The log number up to which it counts.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.business_value_hourly with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    m.bucket as hour,
    m.triggered as conversations,
    m.actions_dispatched,
    m.leads,
    m.lead_conversion_rate,
    m.emergency_leads,
    m.latency_count as response_latency_count,
    m.latency_sum_ms as response_latency_sum_ms,
    m.latency_avg_ms as response_latency_avg_ms,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from aximo_private.activity_kept as m
where m.customer_id = (select aximo.current_customer()) and m.grain = 'hour'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.business_value_hourly is 'What executions bring, by hour. Key: deployment_id, skill_id, skill_version, hour.';
comment on column aximo_metrics.business_value_hourly.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.business_value_hourly.deployment_id is 'The deployment.';
comment on column aximo_metrics.business_value_hourly.skill_id is 'The skill.';
comment on column aximo_metrics.business_value_hourly.skill_version is 'Its version.';
comment on column aximo_metrics.business_value_hourly.hour is 'When the hour begins.';
comment on column aximo_metrics.business_value_hourly.conversations is 'How many conversations in this hour: executions triggered.';
comment on column aximo_metrics.business_value_hourly.actions_dispatched is 'How many actions were dispatched in this hour.';
comment on column aximo_metrics.business_value_hourly.leads is 'How many leads in this hour: action_dispatched with a payload.action_type that lead_action_types lists.';
comment on column aximo_metrics.business_value_hourly.lead_conversion_rate is 'leads / conversations; null if there were none.';
comment on column aximo_metrics.business_value_hourly.emergency_leads is 'How many of the leads say payload.priority = "high" or payload.emergency = true.';
comment on column aximo_metrics.business_value_hourly.response_latency_count is 'How many events in this hour, of any type, state latency_ms.';
comment on column aximo_metrics.business_value_hourly.response_latency_sum_ms is 'Those latencies, summed up, in milliseconds.';
comment on column aximo_metrics.business_value_hourly.response_latency_avg_ms is 'response_latency_sum_ms / response_latency_count.';
comment on column aximo_metrics.business_value_hourly.counts_up_to is 'The log number up to which it counts.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.business_value_monthly with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    (m.bucket at time zone 'UTC')::date as month,
    m.triggered as conversations,
    m.actions_dispatched,
    m.leads,
    m.lead_conversion_rate,
    m.emergency_leads,
    m.latency_count as response_latency_count,
    m.latency_sum_ms as response_latency_sum_ms,
    m.latency_avg_ms as response_latency_avg_ms,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from aximo_private.activity_kept as m
where m.customer_id = (select aximo.current_customer()) and m.grain = 'month'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.business_value_monthly is 'What executions bring, by month. Key: deployment_id, skill_id, skill_version, month.';
comment on column aximo_metrics.business_value_monthly.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.business_value_monthly.deployment_id is 'The deployment.';
comment on column aximo_metrics.business_value_monthly.skill_id is 'The skill.';
comment on column aximo_metrics.business_value_monthly.skill_version is 'Its version.';
comment on column aximo_metrics.business_value_monthly.month is 'The month, UTC, by its first day.';
comment on column aximo_metrics.business_value_monthly.conversations is 'How many conversations in this month: executions triggered.';
comment on column aximo_metrics.business_value_monthly.actions_dispatched is 'How many actions were dispatched in this month.';
comment on column aximo_metrics.business_value_monthly.leads is 'How many leads in this month: action_dispatched with a payload.action_type that lead_action_types lists.';
comment on column aximo_metrics.business_value_monthly.lead_conversion_rate is 'leads / conversations; null if there were none.';
comment on column aximo_metrics.business_value_monthly.emergency_leads is 'How many of the leads say payload.priority = "high" or payload.emergency = true.';
comment on column aximo_metrics.business_value_monthly.response_latency_count is 'How many events in this month, of any type, state latency_ms.';
comment on column aximo_metrics.business_value_monthly.response_latency_sum_ms is 'Those latencies, summed up, in milliseconds.';
comment on column aximo_metrics.business_value_monthly.response_latency_avg_ms is 'response_latency_sum_ms / response_latency_count.';
comment on column aximo_metrics.business_value_monthly.counts_up_to is 'The log number up to which it counts.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.actions with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    (m.bucket at time zone 'UTC')::date as day,
    m.action_type,
    m.risk_level,
    m.prepared,
    m.dispatched,
    m.failed,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from aximo_private.actions_kept as m
where m.customer_id = (select aximo.current_customer()) and m.grain = 'day'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.actions is 'Actions by type and risk, by day. Key: deployment_id, skill_id, skill_version, day, action_type, risk_level.';
comment on column aximo_metrics.actions.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.actions.deployment_id is 'The deployment.';
comment on column aximo_metrics.actions.skill_id is 'The skill.';
comment on column aximo_metrics.actions.skill_version is 'Its version.';
comment on column aximo_metrics.actions.day is 'The day, UTC.';
comment on column aximo_metrics.actions.action_type is 'payload.action_type, a number or true as the text it is written with; null if the events say none. A hash, if it is longer than 255 bytes, an object, an array or a number beyond 1e100.';
comment on column aximo_metrics.actions.risk_level is 'The risk the events state; null if they state none.';
comment on column aximo_metrics.actions.prepared is 'How many were prepared on this day.';
comment on column aximo_metrics.actions.dispatched is 'How many were dispatched on this day.';
comment on column aximo_metrics.actions.failed is 'How many failed on this day.';
comment on column aximo_metrics.actions.counts_up_to is 'The log number up to which it counts.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.actions_hourly with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    m.bucket as hour,
    m.action_type,
    m.risk_level,
    m.prepared,
    m.dispatched,
    m.failed,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from aximo_private.actions_kept as m
where m.customer_id = (select aximo.current_customer()) and m.grain = 'hour'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.actions_hourly is 'Actions by type and risk, by hour. Key: deployment_id, skill_id, skill_version, hour, action_type, risk_level.';
comment on column aximo_metrics.actions_hourly.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.actions_hourly.deployment_id is 'The deployment.';
comment on column aximo_metrics.actions_hourly.skill_id is 'The skill.';
comment on column aximo_metrics.actions_hourly.skill_version is 'Its version.';
comment on column aximo_metrics.actions_hourly.hour is 'When the hour begins.';
comment on column aximo_metrics.actions_hourly.action_type is 'payload.action_type, a number or true as the text it is written with; null if the events say none. A hash, if it is longer than 255 bytes, an object, an array or a number beyond 1e100.';
comment on column aximo_metrics.actions_hourly.risk_level is 'The risk the events state; null if they state none.';
comment on column aximo_metrics.actions_hourly.prepared is 'How many were prepared in this hour.';
comment on column aximo_metrics.actions_hourly.dispatched is 'How many were dispatched in this hour.';
comment on column aximo_metrics.actions_hourly.failed is 'How many failed in this hour.';
comment on column aximo_metrics.actions_hourly.counts_up_to is 'The log number up to which it counts.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.actions_monthly with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    (m.bucket at time zone 'UTC')::date as month,
    m.action_type,
    m.risk_level,
    m.prepared,
    m.dispatched,
    m.failed,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from aximo_private.actions_kept as m
where m.customer_id = (select aximo.current_customer()) and m.grain = 'month'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.actions_monthly is 'Actions by type and risk, by month. Key: deployment_id, skill_id, skill_version, month, action_type, risk_level.';
comment on column aximo_metrics.actions_monthly.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.actions_monthly.deployment_id is 'The deployment.';
comment on column aximo_metrics.actions_monthly.skill_id is 'The skill.';
comment on column aximo_metrics.actions_monthly.skill_version is 'Its version.';
comment on column aximo_metrics.actions_monthly.month is 'The month, UTC, by its first day.';
comment on column aximo_metrics.actions_monthly.action_type is 'payload.action_type, a number or true as the text it is written with; null if the events say none. A hash, if it is longer than 255 bytes, an object, an array or a number beyond 1e100.';
comment on column aximo_metrics.actions_monthly.risk_level is 'The risk the events state; null if they state none.';
comment on column aximo_metrics.actions_monthly.prepared is 'How many were prepared in this month.';
comment on column aximo_metrics.actions_monthly.dispatched is 'How many were dispatched in this month.';
comment on column aximo_metrics.actions_monthly.failed is 'How many failed in this month.';
comment on column aximo_metrics.actions_monthly.counts_up_to is 'The log number up to which it counts.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.sla_governance with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    (m.bucket at time zone 'UTC')::date as day,
    m.approvals_requested,
    m.approvals_granted,
    m.approvals_rejected,
    m.approvals_timed_out,
    m.approvals_open,
    m.approval_delay_count,
    m.approval_delay_sum_ms,
    m.approval_delay_avg_ms,
    m.completed,
    m.sla_breaches,
    m.sla_breach_rate,
    m.escalations,
    m.pressure_invocations,
    m.suspensions,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from aximo_private.activity_kept as m
where m.customer_id = (select aximo.current_customer()) and m.grain = 'day'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.sla_governance is 'Approvals, service levels and escalations, by day. Key: deployment_id, skill_id, skill_version, day.';
comment on column aximo_metrics.sla_governance.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.sla_governance.deployment_id is 'The deployment.';
comment on column aximo_metrics.sla_governance.skill_id is 'The skill.';
comment on column aximo_metrics.sla_governance.skill_version is 'Its version.';
comment on column aximo_metrics.sla_governance.day is 'The day, UTC.';
comment on column aximo_metrics.sla_governance.approvals_requested is 'How many approvals were requested on this day.';
comment on column aximo_metrics.sla_governance.approvals_granted is 'How many were granted on this day.';
comment on column aximo_metrics.sla_governance.approvals_rejected is 'How many were rejected on this day.';
comment on column aximo_metrics.sla_governance.approvals_timed_out is 'How many timed out on this day.';
comment on column aximo_metrics.sla_governance.approvals_open is 'How many of those requested on this day are not answered yet.';
comment on column aximo_metrics.sla_governance.approval_delay_count is 'How many answers on this day, timeouts included, have a known request.';
comment on column aximo_metrics.sla_governance.approval_delay_sum_ms is 'Their time from request to answer, summed up, in milliseconds.';
comment on column aximo_metrics.sla_governance.approval_delay_avg_ms is 'approval_delay_sum_ms / approval_delay_count.';
comment on column aximo_metrics.sla_governance.completed is 'How many executions completed on this day.';
comment on column aximo_metrics.sla_governance.sla_breaches is 'How many service levels were missed on this day: sla_breached.';
comment on column aximo_metrics.sla_governance.sla_breach_rate is 'sla_breaches / completed; null if none completed.';
comment on column aximo_metrics.sla_governance.escalations is 'How many escalations on this day: escalation_triggered.';
comment on column aximo_metrics.sla_governance.pressure_invocations is 'How often pressure was invoked on this day.';
comment on column aximo_metrics.sla_governance.suspensions is 'How often a deployment was suspended on this day.';
comment on column aximo_metrics.sla_governance.counts_up_to is 'The log number up to which it counts.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.sla_governance_hourly with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    m.bucket as hour,
    m.approvals_requested,
    m.approvals_granted,
    m.approvals_rejected,
    m.approvals_timed_out,
    m.approvals_open,
    m.approval_delay_count,
    m.approval_delay_sum_ms,
    m.approval_delay_avg_ms,
    m.completed,
    m.sla_breaches,
    m.sla_breach_rate,
    m.escalations,
    m.pressure_invocations,
    m.suspensions,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from aximo_private.activity_kept as m
where m.customer_id = (select aximo.current_customer()) and m.grain = 'hour'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.sla_governance_hourly is 'Approvals, service levels and escalations, by hour. Key: deployment_id, skill_id, skill_version, hour.';
comment on column aximo_metrics.sla_governance_hourly.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.sla_governance_hourly.deployment_id is 'The deployment.';
comment on column aximo_metrics.sla_governance_hourly.skill_id is 'The skill.';
comment on column aximo_metrics.sla_governance_hourly.skill_version is 'Its version.';
comment on column aximo_metrics.sla_governance_hourly.hour is 'When the hour begins.';
comment on column aximo_metrics.sla_governance_hourly.approvals_requested is 'How many approvals were requested in this hour.';
comment on column aximo_metrics.sla_governance_hourly.approvals_granted is 'How many were granted in this hour.';
comment on column aximo_metrics.sla_governance_hourly.approvals_rejected is 'How many were rejected in this hour.';
comment on column aximo_metrics.sla_governance_hourly.approvals_timed_out is 'How many timed out in this hour.';
comment on column aximo_metrics.sla_governance_hourly.approvals_open is 'How many of those requested in this hour are not answered yet.';
comment on column aximo_metrics.sla_governance_hourly.approval_delay_count is 'How many answers in this hour, timeouts included, have a known request.';
comment on column aximo_metrics.sla_governance_hourly.approval_delay_sum_ms is 'Their time from request to answer, summed up, in milliseconds.';
comment on column aximo_metrics.sla_governance_hourly.approval_delay_avg_ms is 'approval_delay_sum_ms / approval_delay_count.';
comment on column aximo_metrics.sla_governance_hourly.completed is 'How many executions completed in this hour.';
comment on column aximo_metrics.sla_governance_hourly.sla_breaches is 'How many service levels were missed in this hour: sla_breached.';
comment on column aximo_metrics.sla_governance_hourly.sla_breach_rate is 'sla_breaches / completed; null if none completed.';
comment on column aximo_metrics.sla_governance_hourly.escalations is 'How many escalations in this hour: escalation_triggered.';
comment on column aximo_metrics.sla_governance_hourly.pressure_invocations is 'How often pressure was invoked in this hour.';
comment on column aximo_metrics.sla_governance_hourly.suspensions is 'How often a deployment was suspended in this hour.';
comment on column aximo_metrics.sla_governance_hourly.counts_up_to is 'The log number up to which it counts.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.sla_governance_monthly with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    (m.bucket at time zone 'UTC')::date as month,
    m.approvals_requested,
    m.approvals_granted,
    m.approvals_rejected,
    m.approvals_timed_out,
    m.approvals_open,
    m.approval_delay_count,
    m.approval_delay_sum_ms,
    m.approval_delay_avg_ms,
    m.completed,
    m.sla_breaches,
    m.sla_breach_rate,
    m.escalations,
    m.pressure_invocations,
    m.suspensions,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from aximo_private.activity_kept as m
where m.customer_id = (select aximo.current_customer()) and m.grain = 'month'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.sla_governance_monthly is 'Approvals, service levels and escalations, by month. Key: deployment_id, skill_id, skill_version, month.';
comment on column aximo_metrics.sla_governance_monthly.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.sla_governance_monthly.deployment_id is 'The deployment.';
comment on column aximo_metrics.sla_governance_monthly.skill_id is 'The skill.';
comment on column aximo_metrics.sla_governance_monthly.skill_version is 'Its version.';
comment on column aximo_metrics.sla_governance_monthly.month is 'The month, UTC, by its first day.';
comment on column aximo_metrics.sla_governance_monthly.approvals_requested is 'How many approvals were requested in this month.';
comment on column aximo_metrics.sla_governance_monthly.approvals_granted is 'How many were granted in this month.';
comment on column aximo_metrics.sla_governance_monthly.approvals_rejected is 'How many were rejected in this month.';
comment on column aximo_metrics.sla_governance_monthly.approvals_timed_out is 'How many timed out in this month.';
comment on column aximo_metrics.sla_governance_monthly.approvals_open is 'How many of those requested in this month are not answered yet.';
comment on column aximo_metrics.sla_governance_monthly.approval_delay_count is 'How many answers in this month, timeouts included, have a known request.';
comment on column aximo_metrics.sla_governance_monthly.approval_delay_sum_ms is 'Their time from request to answer, summed up, in milliseconds.';
comment on column aximo_metrics.sla_governance_monthly.approval_delay_avg_ms is 'approval_delay_sum_ms / approval_delay_count.';
comment on column aximo_metrics.sla_governance_monthly.completed is 'How many executions completed in this month.';
comment on column aximo_metrics.sla_governance_monthly.sla_breaches is 'How many service levels were missed in this month: sla_breached.';
comment on column aximo_metrics.sla_governance_monthly.sla_breach_rate is 'sla_breaches / completed; null if none completed.';
comment on column aximo_metrics.sla_governance_monthly.escalations is 'How many escalations in this month: escalation_triggered.';
comment on column aximo_metrics.sla_governance_monthly.pressure_invocations is 'How often pressure was invoked in this month.';
comment on column aximo_metrics.sla_governance_monthly.suspensions is 'How often a deployment was suspended in this month.';
comment on column aximo_metrics.sla_governance_monthly.counts_up_to is 'The log number up to which it counts.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.deployment_status with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    m.status,
    m.status_since,
    m.upgrades,
    m.rollbacks,
    m.last_execution_at,
    m.last_event_at,
    m.events,
    m.triggered,
    m.completed,
    m.failed,
    m.open,
    m.error_rate,
    aximo_private.level_of(m.failed, m.triggered, m.deployment_id, 'error_rate') as error_level,
    m.sla_breaches,
    m.sla_breach_rate,
    aximo_private.level_of(m.sla_breaches, m.completed, m.deployment_id, 'sla_breach_rate') as sla_level,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from aximo_private.deployments_kept as m
where m.customer_id = (select aximo.current_customer())
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.deployment_status is 'Each deployment: its state, and its totals since the beginning. Key: deployment_id.';
comment on column aximo_metrics.deployment_status.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.deployment_status.deployment_id is 'The deployment.';
comment on column aximo_metrics.deployment_status.skill_id is 'The skill it runs: as last declared, else as last executed.';
comment on column aximo_metrics.deployment_status.skill_version is 'The version it runs: as last declared, else as last executed.';
comment on column aximo_metrics.deployment_status.status is 'pending_configuration, configured, active, suspended or terminated; undeclared if no event of its life says.';
comment on column aximo_metrics.deployment_status.status_since is 'Since when, by the event''s timestamp.';
comment on column aximo_metrics.deployment_status.upgrades is 'How often its version was upgraded.';
comment on column aximo_metrics.deployment_status.rollbacks is 'How often its version was rolled back.';
comment on column aximo_metrics.deployment_status.last_execution_at is 'When an execution was last triggered.';
comment on column aximo_metrics.deployment_status.last_event_at is 'The latest timestamp of its events.';
comment on column aximo_metrics.deployment_status.events is 'How many events it has.';
comment on column aximo_metrics.deployment_status.triggered is 'How many executions were triggered.';
comment on column aximo_metrics.deployment_status.completed is 'How many completed.';
comment on column aximo_metrics.deployment_status.failed is 'How many failed.';
comment on column aximo_metrics.deployment_status.open is 'How many have not ended yet.';
comment on column aximo_metrics.deployment_status.error_rate is 'failed / triggered, since the beginning.';
comment on column aximo_metrics.deployment_status.error_level is 'ok, warning or escalation, by the thresholds in force now; null without a rate.';
comment on column aximo_metrics.deployment_status.sla_breaches is 'How many service levels were missed.';
comment on column aximo_metrics.deployment_status.sla_breach_rate is 'sla_breaches / completed, since the beginning.';
comment on column aximo_metrics.deployment_status.sla_level is 'ok, warning or escalation, by the thresholds in force now; null without a rate.';
comment on column aximo_metrics.deployment_status.counts_up_to is 'The log number up to which it counts.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.customer_overview with (security_barrier = true) as
select
    m.customer_id,
    d.deployments,
    d.active_deployments,
    d.undeclared_deployments,
    m.events,
    m.triggered as executions,
    m.completed,
    m.failed,
    m.open,
    m.error_rate,
    m.execution_time_avg_ms,
    m.execution_time_p50_ms,
    m.execution_time_p95_ms,
    m.execution_time_p99_ms,
    m.actions_dispatched,
    m.leads,
    m.lead_conversion_rate,
    m.approvals_open,
    m.sla_breaches,
    m.sla_breach_rate,
    d.first_event_at,
    d.last_event_at,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from aximo_private.activity_kept as m
-- The customer's own deployments, when somebody asks: no refresh is dearer because of them.
cross join lateral (
    select
        count(*) as deployments,
        count(*) filter (where s.status = 'active') as active_deployments,
        count(*) filter (where s.status = 'undeclared') as undeclared_deployments,
        min(s.first_event_at) as first_event_at,
        max(s.last_event_at) as last_event_at
    from aximo_private.deployments_kept as s
    where s.customer_id = m.customer_id
    offset 0
) as d
where m.customer_id = (select aximo.current_customer()) and m.grain = 'customer'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.customer_overview is 'The customer''s totals since the beginning: one row. Key: customer_id.';
comment on column aximo_metrics.customer_overview.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.customer_overview.deployments is 'How many deployments events speak of.';
comment on column aximo_metrics.customer_overview.active_deployments is 'How many of them have the status active.';
comment on column aximo_metrics.customer_overview.undeclared_deployments is 'How many of them have no status: no event of their life was emitted.';
comment on column aximo_metrics.customer_overview.events is 'How many events.';
comment on column aximo_metrics.customer_overview.executions is 'How many executions were triggered.';
comment on column aximo_metrics.customer_overview.completed is 'How many completed.';
comment on column aximo_metrics.customer_overview.failed is 'How many failed.';
comment on column aximo_metrics.customer_overview.open is 'How many have not ended yet.';
comment on column aximo_metrics.customer_overview.error_rate is 'failed / executions.';
comment on column aximo_metrics.customer_overview.execution_time_avg_ms is 'From trigger to end on average, in milliseconds.';
comment on column aximo_metrics.customer_overview.execution_time_p50_ms is 'Half of them took at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.customer_overview.execution_time_p95_ms is '95 % of them took at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.customer_overview.execution_time_p99_ms is '99 % of them took at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.customer_overview.actions_dispatched is 'How many actions were dispatched.';
comment on column aximo_metrics.customer_overview.leads is 'How many leads.';
comment on column aximo_metrics.customer_overview.lead_conversion_rate is 'leads / executions.';
comment on column aximo_metrics.customer_overview.approvals_open is 'How many approvals were requested and not answered.';
comment on column aximo_metrics.customer_overview.sla_breaches is 'How many service levels were missed.';
comment on column aximo_metrics.customer_overview.sla_breach_rate is 'sla_breaches / completed.';
comment on column aximo_metrics.customer_overview.first_event_at is 'The earliest timestamp.';
comment on column aximo_metrics.customer_overview.last_event_at is 'The latest timestamp.';
comment on column aximo_metrics.customer_overview.counts_up_to is 'The log number up to which it counts.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.attribution_monthly with (security_barrier = true) as
select
    m.customer_id,
    (m.bucket at time zone 'UTC')::date as month,
    sum(m.triggered)::bigint as executions,
    sum(m.actions_dispatched)::bigint as actions,
    coalesce(
        (
            select sum(a.dispatched)
            from aximo_private.actions_kept as a
            where a.customer_id = m.customer_id and a.grain = 'month' and a.bucket = m.bucket
                and a.risk_level = any((
                    select aximo_private.high_risk_at(((m.bucket at time zone 'UTC') + interval '1 month') at time zone 'UTC')
                )::text[])
        ),
        0
    )::bigint as high_risk_actions,
    sum(m.events)::bigint as events,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from aximo_private.activity_kept as m
where m.customer_id = (select aximo.current_customer()) and m.grain = 'month'
group by m.customer_id, m.bucket
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.attribution_monthly is 'What a customer has used, for billing, by month. Key: month.';
comment on column aximo_metrics.attribution_monthly.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.attribution_monthly.month is 'The month, UTC, by its first day.';
comment on column aximo_metrics.attribution_monthly.executions is 'How many executions were triggered in this month.';
comment on column aximo_metrics.attribution_monthly.actions is 'How many actions were dispatched in this month.';
comment on column aximo_metrics.attribution_monthly.high_risk_actions is 'How many of them state a high risk level, by the latest setting that takes effect before the month ends.';
comment on column aximo_metrics.attribution_monthly.events is 'How many events of any type in this month.';
comment on column aximo_metrics.attribution_monthly.counts_up_to is 'The log number up to which it counts.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.tool_runs with (security_barrier = true) as
select
    m.customer_id,
    m.tool_name,
    (m.day at time zone 'UTC')::date as day,
    coalesce(sum(m.events) filter (where m.state = 'started'), 0)::bigint as started,
    coalesce(sum(m.events) filter (where m.state = 'queued'), 0)::bigint as queued,
    coalesce(sum(m.events) filter (where m.state = 'succeeded'), 0)::bigint as succeeded,
    coalesce(sum(m.events) filter (where m.state = 'failed'), 0)::bigint as failed,
    coalesce(sum(m.events) filter (where m.state = 'blocked'), 0)::bigint as blocked,
    (
        coalesce(sum(m.events) filter (where m.state in ('failed', 'blocked')), 0)
        / nullif(sum(m.events) filter (where m.state in ('succeeded', 'failed', 'blocked')), 0)
    )::double precision as failure_rate,
    sum(m.waits)::bigint as queue_time_count,
    sum(m.wait_ms)::numeric(38, 3) as queue_time_sum_ms,
    (sum(m.wait_ms) / nullif(sum(m.waits), 0))::double precision as queue_time_avg_ms,
    sum(m.runs)::bigint as run_time_count,
    sum(m.run_ms)::numeric(38, 3) as run_time_sum_ms,
    (sum(m.run_ms) / nullif(sum(m.runs), 0))::double precision as run_time_avg_ms,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'run_events'
    ) as counts_up_to
from aximo_private.runs_kept as m
where m.customer_id = (select aximo.current_customer())
group by m.customer_id, m.tool_name, m.day
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.tool_runs is 'Runs of tools, by day. A run counts on the day of the event that says so. Key: tool_name, day.';
comment on column aximo_metrics.tool_runs.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.tool_runs.tool_name is 'The tool.';
comment on column aximo_metrics.tool_runs.day is 'The day, UTC.';
comment on column aximo_metrics.tool_runs.started is 'How many were started on this day (run.started).';
comment on column aximo_metrics.tool_runs.queued is 'How many were queued on this day (run.queued).';
comment on column aximo_metrics.tool_runs.succeeded is 'How many ended well on this day (run.succeeded, slurm.collect.done).';
comment on column aximo_metrics.tool_runs.failed is 'How many failed on this day (run.failed, slurm.collect.failed).';
comment on column aximo_metrics.tool_runs.blocked is 'How many were blocked by a policy on this day (run.blocked).';
comment on column aximo_metrics.tool_runs.failure_rate is '(failed + blocked) / (succeeded + failed + blocked); null if none ended.';
comment on column aximo_metrics.tool_runs.queue_time_count is 'How many that had been queued began to run on this day (run.running).';
comment on column aximo_metrics.tool_runs.queue_time_sum_ms is 'Their time from run.queued to run.running, summed up, in milliseconds.';
comment on column aximo_metrics.tool_runs.queue_time_avg_ms is 'queue_time_sum_ms / queue_time_count.';
comment on column aximo_metrics.tool_runs.run_time_count is 'How many, of which the beginning is known, ended on this day.';
comment on column aximo_metrics.tool_runs.run_time_sum_ms is 'Their time from the latest run.running, else run.started, to the end, summed up, in milliseconds.';
comment on column aximo_metrics.tool_runs.run_time_avg_ms is 'run_time_sum_ms / run_time_count.';
comment on column aximo_metrics.tool_runs.counts_up_to is 'The number in the log of run events up to which it counts.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.tool_runs_by_status with (security_barrier = true) as
select
    m.customer_id,
    m.tool_name,
    m.state as status,
    (m.day at time zone 'UTC')::date as day,
    m.events as runs,
    m.waits as queue_time_count,
    m.wait_ms as queue_time_sum_ms,
    m.wait_avg_ms as queue_time_avg_ms,
    m.runs as run_time_count,
    m.run_ms as run_time_sum_ms,
    m.run_avg_ms as run_time_avg_ms,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'run_events'
    ) as counts_up_to
from aximo_private.runs_kept as m
where m.customer_id = (select aximo.current_customer())
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.tool_runs_by_status is 'Runs of tools, by what was said of them and day. Key: tool_name, status, day.';
comment on column aximo_metrics.tool_runs_by_status.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.tool_runs_by_status.tool_name is 'The tool.';
comment on column aximo_metrics.tool_runs_by_status.status is 'started, queued, running, succeeded, failed or blocked: what the event said of the run (helix.event_kinds.state).';
comment on column aximo_metrics.tool_runs_by_status.day is 'The day, UTC, of that event.';
comment on column aximo_metrics.tool_runs_by_status.runs is 'How many.';
comment on column aximo_metrics.tool_runs_by_status.queue_time_count is 'Of status running: how many had been queued.';
comment on column aximo_metrics.tool_runs_by_status.queue_time_sum_ms is 'Their time from run.queued to run.running, summed up, in milliseconds.';
comment on column aximo_metrics.tool_runs_by_status.queue_time_avg_ms is 'queue_time_sum_ms / queue_time_count.';
comment on column aximo_metrics.tool_runs_by_status.run_time_count is 'Of succeeded, failed and blocked: of how many the beginning is known.';
comment on column aximo_metrics.tool_runs_by_status.run_time_sum_ms is 'Their time from the latest run.running, else run.started, to the end, summed up, in milliseconds.';
comment on column aximo_metrics.tool_runs_by_status.run_time_avg_ms is 'run_time_sum_ms / run_time_count.';
comment on column aximo_metrics.tool_runs_by_status.counts_up_to is 'The number in the log of run events up to which it counts.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.alerts with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    (m.bucket at time zone 'UTC')::date as day,
    m.metric,
    case when m.value > t.escalation then 'escalation' else 'warning' end as level,
    m.value,
    case when m.value > t.escalation then t.escalation else t.warning end as threshold,
    least(round(m.numerator), 9223372036854775807)::bigint as numerator,
    m.denominator,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from (
    select
        r.customer_id,
        r.deployment_id,
        r.bucket,
        v.metric,
        v.numerator,
        v.denominator,
        v.numerator::double precision / v.denominator as value
    from (
        select
            s.customer_id,
            s.deployment_id,
            s.bucket,
            sum(s.failed)::bigint as failed,
            sum(s.triggered)::bigint as triggered,
            sum(s.sla_breaches)::bigint as sla_breaches,
            sum(s.completed)::bigint as completed,
            sum(s.execution_time_sum_ms) as execution_time_sum_ms,
            sum(s.execution_time_count)::bigint as execution_time_count
        from aximo_private.activity_kept as s
        where s.customer_id = (select aximo.current_customer()) and s.grain = 'day'
        group by s.customer_id, s.deployment_id, s.bucket
    ) as r
    cross join lateral (
        values
        ('error_rate', r.failed::numeric, r.triggered),
        ('sla_breach_rate', r.sla_breaches::numeric, r.completed),
        ('avg_execution_time_ms', r.execution_time_sum_ms, r.execution_time_count)
    ) as v (metric, numerator, denominator)
    where v.numerator > 0 and v.denominator > 0
    offset 0
) as m
cross join lateral (
    select
        aximo_private.threshold_at(m.deployment_id, m.metric, 'warning', e.bucket_end) as warning,
        aximo_private.threshold_at(m.deployment_id, m.metric, 'escalation', e.bucket_end) as escalation,
        aximo_private.threshold_at(m.deployment_id, m.metric, 'minimum_denominator', e.bucket_end) as minimum
    from (select m.bucket + interval '24 hours' as bucket_end) as e
) as t
where (m.value > t.escalation or m.value > t.warning) and m.denominator >= coalesce(t.minimum, 0)
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.alerts is 'Rates and averages above their threshold, by day, one row a deployment and metric. Key: deployment_id, day, metric.';
comment on column aximo_metrics.alerts.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.alerts.deployment_id is 'The deployment.';
comment on column aximo_metrics.alerts.day is 'The day, UTC.';
comment on column aximo_metrics.alerts.metric is 'error_rate, sla_breach_rate or avg_execution_time_ms.';
comment on column aximo_metrics.alerts.level is 'warning or escalation: the highest threshold it is above.';
comment on column aximo_metrics.alerts.value is 'The rate, or the average in milliseconds: numerator / denominator.';
comment on column aximo_metrics.alerts.threshold is 'The threshold it is above: the latest that takes effect before the day ends.';
comment on column aximo_metrics.alerts.numerator is 'error_rate: executions failed. sla_breach_rate: service levels missed. avg_execution_time_ms: milliseconds from trigger to end, summed up and rounded.';
comment on column aximo_metrics.alerts.denominator is 'error_rate: executions triggered. sla_breach_rate: executions completed. avg_execution_time_ms: executions that ended and have a known start.';
comment on column aximo_metrics.alerts.counts_up_to is 'The log number up to which it counts.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.alerts_hourly with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.bucket as hour,
    m.metric,
    case when m.value > t.escalation then 'escalation' else 'warning' end as level,
    m.value,
    case when m.value > t.escalation then t.escalation else t.warning end as threshold,
    least(round(m.numerator), 9223372036854775807)::bigint as numerator,
    m.denominator,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from (
    select
        r.customer_id,
        r.deployment_id,
        r.bucket,
        v.metric,
        v.numerator,
        v.denominator,
        v.numerator::double precision / v.denominator as value
    from (
        select
            s.customer_id,
            s.deployment_id,
            s.bucket,
            sum(s.failed)::bigint as failed,
            sum(s.triggered)::bigint as triggered,
            sum(s.sla_breaches)::bigint as sla_breaches,
            sum(s.completed)::bigint as completed,
            sum(s.execution_time_sum_ms) as execution_time_sum_ms,
            sum(s.execution_time_count)::bigint as execution_time_count
        from aximo_private.activity_kept as s
        where s.customer_id = (select aximo.current_customer()) and s.grain = 'hour'
        group by s.customer_id, s.deployment_id, s.bucket
    ) as r
    cross join lateral (
        values
        ('error_rate', r.failed::numeric, r.triggered),
        ('sla_breach_rate', r.sla_breaches::numeric, r.completed),
        ('avg_execution_time_ms', r.execution_time_sum_ms, r.execution_time_count)
    ) as v (metric, numerator, denominator)
    where v.numerator > 0 and v.denominator > 0
    offset 0
) as m
cross join lateral (
    select
        aximo_private.threshold_at(m.deployment_id, m.metric, 'warning', e.bucket_end) as warning,
        aximo_private.threshold_at(m.deployment_id, m.metric, 'escalation', e.bucket_end) as escalation,
        aximo_private.threshold_at(m.deployment_id, m.metric, 'minimum_denominator', e.bucket_end) as minimum
    from (select m.bucket + interval '1 hour' as bucket_end) as e
) as t
where (m.value > t.escalation or m.value > t.warning) and m.denominator >= coalesce(t.minimum, 0)
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.alerts_hourly is 'Rates and averages above their threshold, by hour, one row a deployment and metric. Key: deployment_id, hour, metric.';
comment on column aximo_metrics.alerts_hourly.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.alerts_hourly.deployment_id is 'The deployment.';
comment on column aximo_metrics.alerts_hourly.hour is 'When the hour begins.';
comment on column aximo_metrics.alerts_hourly.metric is 'error_rate, sla_breach_rate or avg_execution_time_ms.';
comment on column aximo_metrics.alerts_hourly.level is 'warning or escalation: the highest threshold it is above.';
comment on column aximo_metrics.alerts_hourly.value is 'The rate, or the average in milliseconds: numerator / denominator.';
comment on column aximo_metrics.alerts_hourly.threshold is 'The threshold it is above: the latest that takes effect before the hour ends.';
comment on column aximo_metrics.alerts_hourly.numerator is 'error_rate: executions failed. sla_breach_rate: service levels missed. avg_execution_time_ms: milliseconds from trigger to end, summed up and rounded.';
comment on column aximo_metrics.alerts_hourly.denominator is 'error_rate: executions triggered. sla_breach_rate: executions completed. avg_execution_time_ms: executions that ended and have a known start.';
comment on column aximo_metrics.alerts_hourly.counts_up_to is 'The log number up to which it counts.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.alerts_monthly with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    (m.bucket at time zone 'UTC')::date as month,
    m.metric,
    case when m.value > t.escalation then 'escalation' else 'warning' end as level,
    m.value,
    case when m.value > t.escalation then t.escalation else t.warning end as threshold,
    least(round(m.numerator), 9223372036854775807)::bigint as numerator,
    m.denominator,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from (
    select
        r.customer_id,
        r.deployment_id,
        r.bucket,
        v.metric,
        v.numerator,
        v.denominator,
        v.numerator::double precision / v.denominator as value
    from (
        select
            s.customer_id,
            s.deployment_id,
            s.bucket,
            sum(s.failed)::bigint as failed,
            sum(s.triggered)::bigint as triggered,
            sum(s.sla_breaches)::bigint as sla_breaches,
            sum(s.completed)::bigint as completed,
            sum(s.execution_time_sum_ms) as execution_time_sum_ms,
            sum(s.execution_time_count)::bigint as execution_time_count
        from aximo_private.activity_kept as s
        where s.customer_id = (select aximo.current_customer()) and s.grain = 'month'
        group by s.customer_id, s.deployment_id, s.bucket
    ) as r
    cross join lateral (
        values
        ('error_rate', r.failed::numeric, r.triggered),
        ('sla_breach_rate', r.sla_breaches::numeric, r.completed),
        ('avg_execution_time_ms', r.execution_time_sum_ms, r.execution_time_count)
    ) as v (metric, numerator, denominator)
    where v.numerator > 0 and v.denominator > 0
    offset 0
) as m
cross join lateral (
    select
        aximo_private.threshold_at(m.deployment_id, m.metric, 'warning', e.bucket_end) as warning,
        aximo_private.threshold_at(m.deployment_id, m.metric, 'escalation', e.bucket_end) as escalation,
        aximo_private.threshold_at(m.deployment_id, m.metric, 'minimum_denominator', e.bucket_end) as minimum
    from (select ((m.bucket at time zone 'UTC') + interval '1 month') at time zone 'UTC' as bucket_end) as e
) as t
where (m.value > t.escalation or m.value > t.warning) and m.denominator >= coalesce(t.minimum, 0)
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.alerts_monthly is 'Rates and averages above their threshold, by month, one row a deployment and metric. Key: deployment_id, month, metric.';
comment on column aximo_metrics.alerts_monthly.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.alerts_monthly.deployment_id is 'The deployment.';
comment on column aximo_metrics.alerts_monthly.month is 'The month, UTC, by its first day.';
comment on column aximo_metrics.alerts_monthly.metric is 'error_rate, sla_breach_rate or avg_execution_time_ms.';
comment on column aximo_metrics.alerts_monthly.level is 'warning or escalation: the highest threshold it is above.';
comment on column aximo_metrics.alerts_monthly.value is 'The rate, or the average in milliseconds: numerator / denominator.';
comment on column aximo_metrics.alerts_monthly.threshold is 'The threshold it is above: the latest that takes effect before the month ends.';
comment on column aximo_metrics.alerts_monthly.numerator is 'error_rate: executions failed. sla_breach_rate: service levels missed. avg_execution_time_ms: milliseconds from trigger to end, summed up and rounded.';
comment on column aximo_metrics.alerts_monthly.denominator is 'error_rate: executions triggered. sla_breach_rate: executions completed. avg_execution_time_ms: executions that ended and have a known start.';
comment on column aximo_metrics.alerts_monthly.counts_up_to is 'The log number up to which it counts.';

create view aximo_metrics.thresholds with (security_barrier = true) as
select
    c.customer_id, m.deployment_id::text as deployment_id, m.metric, m.level,
    nullif(m.effective_from, '-infinity') as effective_from, m.set_at, m.value,
    m.effective_from <= now() and not exists (
        select
        from aximo_private.thresholds as n
        where n.customer_id = m.customer_id and n.deployment_id is not distinct from m.deployment_id and n.metric = m.metric
            and n.level = m.level and n.effective_from <= now() and (n.effective_from, n.set_at) > (m.effective_from, m.set_at)
    ) as is_current,
    case when m.customer_id = '*' then 'all customers' when m.deployment_id is null then 'customer' else 'deployment' end as scope,
    case when m.customer_id <> '*' then m.set_by end as set_by
from aximo_private.thresholds as m
cross join aximo_private.known_customer as c
offset 0;
comment on view aximo_metrics.thresholds is 'The thresholds and minimum denominators of alerts, and their history. Key: scope, deployment_id, metric, level, effective_from, set_at.';
comment on column aximo_metrics.thresholds.customer_id is 'Always the session''s customer.';
comment on column aximo_metrics.thresholds.deployment_id is 'For which deployment; null for all that have none of their own.';
comment on column aximo_metrics.thresholds.metric is 'error_rate, sla_breach_rate or avg_execution_time_ms.';
comment on column aximo_metrics.thresholds.level is 'warning, escalation or minimum_denominator. The last says how many there have to be at least.';
comment on column aximo_metrics.thresholds.effective_from is 'For hours, days and months that end after this moment; null: for all.';
comment on column aximo_metrics.thresholds.set_at is 'When it was set, by the database''s clock.';
comment on column aximo_metrics.thresholds.value is 'The rate, or the milliseconds, above which there is an alert; or the denominator below which there is none. Null takes back what was set before.';
comment on column aximo_metrics.thresholds.is_current is 'Whether it is the latest of its kind that has taken effect. A deployment''s own goes before the customer''s, and that before the one of all.';
comment on column aximo_metrics.thresholds.scope is 'deployment, customer or all customers.';
comment on column aximo_metrics.thresholds.set_by is 'The login that set it; null for those of all customers.';
select aximo_private.take_comments('aximo_metrics.thresholds', 'aximo_private.thresholds');

create view aximo_private.list_settings with (security_barrier = true) as
select
    c.customer_id, m.list, nullif(m.effective_from, '-infinity') as effective_from, m.set_at, i.item, m.items is null as is_withdrawal,
    m.effective_from <= now() and not exists (
        select
        from aximo_private.metric_lists as n
        where n.customer_id = m.customer_id and n.list = m.list and n.effective_from <= now()
            and (n.effective_from, n.set_at) > (m.effective_from, m.set_at)
    ) as is_current,
    case when m.customer_id = '*' then 'all customers' else 'customer' end as scope,
    case when m.customer_id <> '*' then m.set_by end as set_by
from aximo_private.metric_lists as m
left join lateral unnest(m.items) as i (item) on true
cross join aximo_private.known_customer as c;
comment on view aximo_private.list_settings is 'The settings of the session''s customer that are lists, one row an entry.';
comment on column aximo_private.list_settings.customer_id is 'The session''s customer.';
comment on column aximo_private.list_settings.list is 'high_risk_levels or lead_action_types.';
comment on column aximo_private.list_settings.item is 'An entry; null if there is none.';

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.high_risk_levels with (security_barrier = true) as
select
    m.customer_id,
    m.effective_from,
    m.set_at,
    m.item as risk_level,
    m.is_withdrawal,
    m.is_current,
    m.scope,
    m.set_by
from aximo_private.list_settings as m
where m.customer_id = (select aximo.current_customer()) and m.list = 'high_risk_levels'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.high_risk_levels is 'The risk levels that count as high in attribution_monthly, and their history. Key: scope, effective_from, set_at, risk_level.';
comment on column aximo_metrics.high_risk_levels.customer_id is 'Always the session''s customer.';
comment on column aximo_metrics.high_risk_levels.effective_from is 'For months that end after this moment; null: for all.';
comment on column aximo_metrics.high_risk_levels.set_at is 'When it was set, by the database''s clock.';
comment on column aximo_metrics.high_risk_levels.risk_level is 'A level that counts as high; null if none does, or if what was set before is taken back.';
comment on column aximo_metrics.high_risk_levels.is_withdrawal is 'Whether it takes back what was set before.';
comment on column aximo_metrics.high_risk_levels.is_current is 'Whether it is the latest that has taken effect. The customer''s own goes before the one of all.';
comment on column aximo_metrics.high_risk_levels.scope is 'customer, or all customers that set none.';
comment on column aximo_metrics.high_risk_levels.set_by is 'The login that set it; null for those of all customers.';
select aximo_private.take_comments('aximo_metrics.high_risk_levels', 'aximo_private.list_settings');

-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.lead_action_types with (security_barrier = true) as
select
    m.customer_id,
    m.effective_from,
    m.set_at,
    m.item as action_type,
    m.is_withdrawal,
    m.is_current,
    m.scope,
    m.set_by
from aximo_private.list_settings as m
where m.customer_id = (select aximo.current_customer()) and m.list = 'lead_action_types'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.lead_action_types is 'The action types that count as leads in business_value, and their history. Key: scope, effective_from, set_at, action_type.';
comment on column aximo_metrics.lead_action_types.customer_id is 'Always the session''s customer.';
comment on column aximo_metrics.lead_action_types.effective_from is 'For months that end after this moment; null: for all.';
comment on column aximo_metrics.lead_action_types.set_at is 'When it was set, by the database''s clock.';
comment on column aximo_metrics.lead_action_types.action_type is 'A type that counts as a lead; null if none does, or if what was set before is taken back.';
comment on column aximo_metrics.lead_action_types.is_withdrawal is 'Whether it takes back what was set before.';
comment on column aximo_metrics.lead_action_types.is_current is 'Whether it is the latest that has taken effect. The customer''s own goes before the one of all.';
comment on column aximo_metrics.lead_action_types.scope is 'customer, or all customers that set none.';
comment on column aximo_metrics.lead_action_types.set_by is 'The login that set it; null for those of all customers.';
select aximo_private.take_comments('aximo_metrics.lead_action_types', 'aximo_private.list_settings');

create view aximo_metrics.freshness with (security_barrier = true) as
select
    k.customer_id, v.view_name, t.refreshed_at, m.counts_up_to, m.log_size,
    m.log_size - m.counts_up_to as behind
from (
    values
    -- Made by tools/metrics.py, up to the next such line.
    ('actions', false),
    ('actions_hourly', false),
    ('actions_monthly', false),
    ('alerts', false),
    ('alerts_hourly', false),
    ('alerts_monthly', false),
    ('attribution_monthly', false),
    ('business_value', false),
    ('business_value_hourly', false),
    ('business_value_monthly', false),
    ('customer_overview', false),
    ('deployment_status', false),
    ('execution_health', false),
    ('execution_health_hourly', false),
    ('execution_health_monthly', false),
    ('sla_governance', false),
    ('sla_governance_hourly', false),
    ('sla_governance_monthly', false),
    ('tool_runs', true),
    ('tool_runs_by_status', true)
    -- Up to here.
) as v (view_name, of_runs)
cross join aximo_private.metric_state as t
cross join aximo_private.known_customer as k
cross join lateral (
    select
        coalesce(
            (
                select l.number
                from aximo_private.log_entries as l
                where l.customer_id = (select aximo.current_customer()) and l.log = g.log
                order by l.number desc
                limit 1
            ),
            0
        ) as log_size,
        coalesce(
            (
                select c.number
                from aximo_private.counted_kept as c
                where c.customer_id = (select aximo.current_customer()) and c.log = g.log
            ),
            0
        ) as counts_up_to
    from (select case when v.of_runs then 'run_events' else 'events' end as log) as g
) as m
offset 0;
comment on view aximo_metrics.freshness is 'How fresh each view is. Key: view_name.';
comment on column aximo_metrics.freshness.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.freshness.view_name is 'The view, in aximo_metrics.';
comment on column aximo_metrics.freshness.refreshed_at is 'When metrics were last refreshed; null if never.';
comment on column aximo_metrics.freshness.counts_up_to is 'The log number up to which the view counts; of tool_runs and tool_runs_by_status, in the log of run events.';
comment on column aximo_metrics.freshness.log_size is 'How many events of the customer are numbered now, in that log.';
comment on column aximo_metrics.freshness.behind is 'How many numbered events the view does not count yet.';

-- For monitoring, by a login that may see no customer. It reads counters and queues, so its cost does not grow with what is stored.
create function aximo.ledger_status()
returns table (
    log text,
    advanced_at timestamptz,
    entries bigint,
    unnumbered_positions bigint,
    holes bigint,
    violations bigint,
    uncounted_entries bigint,
    metrics_refreshed_at timestamptz,
    stored_checkpoint_at timestamptz,
    open_executions_over_an_hour bigint
)
language plpgsql stable security definer parallel restricted
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    granted constant text[] := aximo_private.session_grants();
begin
    -- Who watches needs no customer. Who has some may not see how much the others have.
    if cardinality(granted) > 0 and not '*' = any(granted) then
        perform aximo_private.numbers_for_all();
    end if;
    return query
    select
        s.log, t.advanced_at, s.entries,
        coalesce(
            pg_sequence_last_value(
                case s.log
                    when 'events' then 'aximo_private.events_position'
                    else 'helix.run_events_event_id_seq'
                end::regclass
            ),
            0
        ) - s.high_position,
        (select count(*) from aximo_private.log_holes as h where h.log = s.log),
        case when s.log = 'events' then pg_stat_get_live_tuples('aximo_private.violations'::regclass) else 0 end,
        (
            select coalesce(sum(g.size - g.number), 0)::bigint
            from (
                select max(u.number) as size, coalesce(c.number, 0) as number
                from only aximo_private.uncounted_logs as u
                left join aximo_private.counted_logs as c on c.customer_id = u.customer_id and c.log = u.log
                where u.log = s.log
                group by u.customer_id, c.number
            ) as g
            where g.size > g.number
        ),
        m.refreshed_at,
        to_timestamp(pg_sequence_last_value('aximo_private.checkpoint_clock'::regclass)),
        case
            when s.log = 'events'
                then (
                    select count(*)
                    from (
                        select
                        from only aximo_private.executions as e
                        where e.outcome is null and e.started_at < now() - interval '1 hour'
                        limit 10000
                    ) as o
                )
            else 0
        end
    from aximo_private.logs as s
    cross join aximo_private.log_state as t
    cross join aximo_private.metric_state as m
    order by s.log;
end;
$$;
alter function aximo.ledger_status() owner to aximo_sequencer;
comment on function aximo.ledger_status() is 'How the ledger does, of all customers together and without the name of any: one row a log. When it was last numbered; how many entries it has; how many positions were given since, to events that wait for a number or to transactions that are not over; how many gaps numbering remembers; how many violations are listed, by PostgreSQL''s own count; how many entries are not counted for the metrics; when these were last refreshed; when a checkpoint was last added, by whomever and to whichever log; how many executions were triggered more than an hour ago and have not ended, 10,000 at most. For aximo_monitor and aximo_operator; the login needs no customer. ZXCUS: it was granted certain customers only.';

-- Works the metrics out once more, from the events alone and without the sums: starts and ends are searched for, percentiles are exact.
-- verify_metrics compares with this, and an auditor can read it.
create function aximo.recompute_metrics(up_to bigint)
returns table (view_name text, key jsonb, measures jsonb)
language plpgsql stable security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
set extra_float_digits = 1
set jit = off
set enable_nestloop = off
as $$
#variable_conflict use_column
begin
    return query
    with
    entry as materialized (
        select
            l.number, l.event_id, l.event_type, l."timestamp", l.deployment_id, l.skill_id, l.skill_version, l.execution_id, l.risk_level,
            l.latency_ms,
            case jsonb_typeof(l.payload -> 'action_type')
                when 'string' then
                    case
                        when octet_length(l.payload ->> 'action_type') > 255 or l.payload ->> 'action_type' ~ '^(sha256|json) '
                            then '(no short text)'
                        else l.payload ->> 'action_type'
                    end
                when 'number' then
                    case
                        when abs((l.payload -> 'action_type')::numeric) < 1e100 and scale((l.payload -> 'action_type')::numeric) < 100
                            then l.payload ->> 'action_type'
                        else '(no short text)'
                    end
                when 'boolean' then l.payload ->> 'action_type'
                when 'object' then '(no short text)'
                when 'array' then '(no short text)'
            end as action_type,
            jsonb_typeof(l.payload -> 'priority') = 'string' and l.payload ->> 'priority' = 'high'
            or jsonb_typeof(l.payload -> 'emergency') = 'boolean' and (l.payload ->> 'emergency')::boolean as is_urgent
        from aximo.log_entries as l
        where l.number <= up_to
    ),
    -- The action types that were leads, by month: by the latest setting that had taken effect, the customer's own before the one for all.
    lead_types as materialized (
        select m.month, h.action_type
        from (
            select distinct date_trunc('month', e."timestamp" at time zone 'UTC') as month
            from entry as e
        ) as m
        cross join lateral (
            select f.scope, f.set_at, f.effective_from
            from (
                select distinct on (s.scope) s.*
                from aximo_metrics.lead_action_types as s
                where coalesce(s.effective_from, '-infinity') < (m.month + interval '1 month') at time zone 'UTC'
                order by s.scope, s.effective_from desc nulls last, s.set_at desc
            ) as f
            where not f.is_withdrawal
            order by f.scope = 'all customers'
            limit 1
        ) as i
        inner join aximo_metrics.lead_action_types as h
            on h.scope = i.scope and h.set_at = i.set_at and h.effective_from is not distinct from i.effective_from
    ),
    -- The first by log number counts.
    began as materialized (
        select distinct on (e.execution_id) e.*
        from entry as e
        where e.event_type = 'execution_triggered'
        order by e.execution_id, e.number
    ),
    ended as materialized (
        select distinct on (e.execution_id) e.*
        from entry as e
        where e.event_type in ('execution_completed', 'execution_failed')
        order by e.execution_id, e.number
    ),
    answered as materialized (
        select a.event_id, s.answers_event_id, a."timestamp" - r."timestamp" as delay
        from aximo.execution_steps as s
        inner join entry as a on a.event_id = s.event_id
        inner join entry as r on r.event_id = s.answers_event_id
        where s.answers_event_id is not null
    ),
    -- Each event, and what becomes known by it.
    known as materialized (
        select
            e.*,
            e.event_type = 'action_dispatched' and e.action_type is not null
            and (date_trunc('month', e."timestamp" at time zone 'UTC'), e.action_type) in (
                select t.month, t.action_type
                from lead_types as t
                where t.action_type is not null
            ) as is_lead,
            case when n.event_id is not null then extract(epoch from e."timestamp" - b."timestamp") * 1000 end as took_ms,
            b2.event_id is not null and n2.event_id is null as is_open, extract(epoch from a.delay) * 1000 as delay_ms,
            e.event_type = 'approval_requested' and q.event_id is null as is_unanswered
        from entry as e
        left join ended as n on n.event_id = e.event_id
        left join began as b on b.execution_id = n.execution_id
        left join began as b2 on b2.event_id = e.event_id
        left join ended as n2 on n2.execution_id = b2.execution_id
        left join answered as a on a.event_id = e.event_id
        left join answered as q on q.answers_event_id = e.event_id
    ),
    placed as materialized (
        select
            k.*, g.suffix, g.ends_at,
            jsonb_build_object(
                'deployment_id', k.deployment_id, 'skill_id', k.skill_id, 'skill_version', k.skill_version, g.grain, g.bucket
            ) as key
        from known as k
        cross join lateral (
            select
                '' as suffix, 'day' as grain, to_jsonb((k."timestamp" at time zone 'UTC')::date) as bucket,
                (((k."timestamp" at time zone 'UTC')::date + 1)::timestamp) at time zone 'UTC' as ends_at
            union all
            select
                '_hourly', 'hour',
                to_jsonb(date_trunc('hour', k."timestamp" at time zone 'UTC') at time zone 'UTC'),
                (date_trunc('hour', k."timestamp" at time zone 'UTC') + interval '1 hour') at time zone 'UTC'
            union all
            select
                '_monthly', 'month',
                to_jsonb(date_trunc('month', k."timestamp" at time zone 'UTC')::date),
                (date_trunc('month', k."timestamp" at time zone 'UTC') + interval '1 month') at time zone 'UTC'
        ) as g
    ),
    grouped as materialized (
        select
            p.suffix, p.key,
            count(*) filter (where p.event_type = 'execution_triggered') as triggered,
            count(*) filter (where p.event_type = 'execution_completed') as completed,
            count(*) filter (where p.event_type = 'execution_failed') as failed,
            count(*) filter (where p.is_open) as open, count(p.took_ms) as times, sum(p.took_ms) as time_ms,
            percentile_disc(array[0.5, 0.95, 0.99]) within group (order by p.took_ms) as time_percentiles,
            count(p.latency_ms) as latencies, sum(p.latency_ms) as latency_ms,
            percentile_disc(array[0.5, 0.95, 0.99]) within group (order by p.latency_ms) as latency_percentiles,
            count(*) filter (where p.event_type = 'action_dispatched') as dispatched,
            count(*) filter (where p.is_lead) as leads,
            count(*) filter (where p.is_lead and p.is_urgent) as emergency_leads,
            count(*) filter (where p.event_type = 'approval_requested') as requested,
            count(*) filter (where p.event_type = 'approval_granted') as granted,
            count(*) filter (where p.event_type = 'approval_rejected') as rejected,
            count(*) filter (where p.event_type = 'approval_timeout') as timed_out,
            count(*) filter (where p.is_unanswered) as unanswered, count(p.delay_ms) as delays, sum(p.delay_ms) as delay_ms,
            count(*) filter (where p.event_type = 'sla_breached') as sla_breaches,
            count(*) filter (where p.event_type = 'escalation_triggered') as escalations,
            count(*) filter (where p.event_type = 'pressure_invoked') as pressure_invocations,
            count(*) filter (where p.event_type = 'deployment_suspended') as suspensions
        from placed as p
        group by p.suffix, p.key
    ),
    -- The rates and averages, before thresholds are looked up.
    rated as (
        select r.suffix, r.key, r.ends_at, v.metric, v.numerator, v.denominator
        from (
            select
                p.suffix, p.key - 'skill_id' - 'skill_version' as key, p.ends_at,
                count(*) filter (where p.event_type = 'execution_failed') as failed,
                count(*) filter (where p.event_type = 'execution_triggered') as triggered,
                count(*) filter (where p.event_type = 'sla_breached') as sla_breaches,
                count(*) filter (where p.event_type = 'execution_completed') as completed,
                sum(p.took_ms) as time_ms, count(p.took_ms) as times
            from placed as p
            group by 1, 2, 3
        ) as r
        cross join lateral (
            values
            ('error_rate', r.failed::numeric, r.triggered),
            ('sla_breach_rate', r.sla_breaches::numeric, r.completed),
            ('avg_execution_time_ms', r.time_ms, r.times)
        ) as v (metric, numerator, denominator)
        where v.denominator > 0
    ),
    -- Of each scope the latest threshold that had taken effect; of these the one of the narrowest scope that has a value.
    judged as (
        select r.*, w.warning, w.escalation
        from (select d.*, d.numerator::double precision / d.denominator as value from rated as d) as r
        cross join lateral (
            select
                max(n.value) filter (where n.level = 'warning') as warning,
                max(n.value) filter (where n.level = 'escalation') as escalation,
                max(n.value) filter (where n.level = 'minimum_denominator') as minimum
            from (
                select distinct on (s.level) s.level, s.value
                from (
                    select distinct on (t.level, t.scope) t.level, t.scope, t.value
                    from aximo_metrics.thresholds as t
                    where t.metric = r.metric and coalesce(t.effective_from, '-infinity') < r.ends_at
                        and coalesce(t.deployment_id, r.key ->> 'deployment_id') = r.key ->> 'deployment_id'
                    order by t.level, t.scope, t.effective_from desc nulls last, t.set_at desc
                ) as s
                where s.value is not null
                order by s.level, array_position(array['deployment', 'customer', 'all customers'], s.scope)
            ) as n
        ) as w
        where (r.value > w.warning or r.value > w.escalation) and r.denominator >= coalesce(w.minimum, 0)
    ),
    stated as (
        select distinct on (e.deployment_id) e.deployment_id, e.event_type, e."timestamp"
        from entry as e
        where e.event_type in (
            'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_suspended', 'deployment_terminated'
        )
        order by e.deployment_id, e."timestamp" desc, e.number desc
    ),
    declared as (
        select distinct on (e.deployment_id) e.deployment_id, e.skill_id, e.skill_version
        from entry as e
        where e.event_type in (
            'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_updated', 'deployment_terminated',
            'version_upgraded', 'version_rolled_back'
        )
        order by e.deployment_id, e."timestamp" desc, e.number desc
    ),
    executed as (
        select distinct on (e.deployment_id) e.deployment_id, e.skill_id, e.skill_version, e."timestamp"
        from entry as e
        where e.event_type = 'execution_triggered'
        order by e.deployment_id, e."timestamp" desc, e.number desc
    ),
    deployed as materialized (
        select
            k.deployment_id, count(*) as events,
            count(*) filter (where k.event_type = 'execution_triggered') as triggered,
            count(*) filter (where k.event_type = 'execution_completed') as completed,
            count(*) filter (where k.event_type = 'execution_failed') as failed,
            count(*) filter (where k.is_open) as open,
            count(*) filter (where k.event_type = 'version_upgraded') as upgrades,
            count(*) filter (where k.event_type = 'version_rolled_back') as rollbacks,
            count(*) filter (where k.event_type = 'sla_breached') as sla_breaches,
            max(k."timestamp") as last_event_at
        from known as k
        group by k.deployment_id
    )
    select
        'execution_health' || g.suffix, g.key,
        jsonb_build_object(
            'triggered', g.triggered, 'completed', g.completed, 'failed', g.failed, 'open', g.open,
            'error_rate', g.failed::double precision / nullif(g.triggered, 0), 'execution_time_count', g.times,
            'execution_time_sum_ms', coalesce(g.time_ms, 0), 'execution_time_avg_ms', g.time_ms / nullif(g.times, 0),
            'execution_time_p50_ms', g.time_percentiles[1], 'execution_time_p95_ms', g.time_percentiles[2],
            'execution_time_p99_ms', g.time_percentiles[3], 'latency_count', g.latencies, 'latency_sum_ms', coalesce(g.latency_ms, 0),
            'latency_avg_ms', g.latency_ms / nullif(g.latencies, 0), 'latency_p50_ms', g.latency_percentiles[1],
            'latency_p95_ms', g.latency_percentiles[2], 'latency_p99_ms', g.latency_percentiles[3]
        )
    from grouped as g
    union all
    select
        'business_value' || g.suffix, g.key,
        jsonb_build_object(
            'conversations', g.triggered, 'actions_dispatched', g.dispatched, 'leads', g.leads,
            'lead_conversion_rate', g.leads::double precision / nullif(g.triggered, 0), 'emergency_leads', g.emergency_leads,
            'response_latency_count', g.latencies, 'response_latency_sum_ms', coalesce(g.latency_ms, 0),
            'response_latency_avg_ms', g.latency_ms / nullif(g.latencies, 0)
        )
    from grouped as g
    union all
    select
        'sla_governance' || g.suffix, g.key,
        jsonb_build_object(
            'approvals_requested', g.requested, 'approvals_granted', g.granted, 'approvals_rejected', g.rejected,
            'approvals_timed_out', g.timed_out, 'approvals_open', g.unanswered, 'approval_delay_count', g.delays,
            'approval_delay_sum_ms', coalesce(g.delay_ms, 0), 'approval_delay_avg_ms', g.delay_ms / nullif(g.delays, 0),
            'completed', g.completed, 'sla_breaches', g.sla_breaches,
            'sla_breach_rate', g.sla_breaches::double precision / nullif(g.completed, 0), 'escalations', g.escalations,
            'pressure_invocations', g.pressure_invocations, 'suspensions', g.suspensions
        )
    from grouped as g
    union all
    select
        'actions' || p.suffix,
        p.key || jsonb_build_object('action_type', p.action_type, 'risk_level', p.risk_level),
        jsonb_build_object(
            'prepared', count(*) filter (where p.event_type = 'action_prepared'),
            'dispatched', count(*) filter (where p.event_type = 'action_dispatched'),
            'failed', count(*) filter (where p.event_type = 'action_failed')
        )
    from placed as p
    where p.event_type in ('action_prepared', 'action_dispatched', 'action_failed')
    group by p.suffix, p.key, p.action_type, p.risk_level
    union all
    select
        'alerts' || j.suffix, j.key || jsonb_build_object('metric', j.metric),
        jsonb_build_object(
            'level', case when j.value > j.escalation then 'escalation' else 'warning' end, 'value', j.value,
            'threshold', case when j.value > j.escalation then j.escalation else j.warning end, 'numerator', round(j.numerator),
            'denominator', j.denominator
        )
    from judged as j
    union all
    select
        'attribution_monthly', jsonb_build_object('month', p.key -> 'month'),
        jsonb_build_object(
            'executions', count(*) filter (where p.event_type = 'execution_triggered'),
            'actions', count(*) filter (where p.event_type = 'action_dispatched'),
            'high_risk_actions', count(*) filter (
                where p.event_type = 'action_dispatched' and p.risk_level in (
                    select h.risk_level
                    from aximo_metrics.high_risk_levels as h
                    where (h.scope, coalesce(h.effective_from, '-infinity'), h.set_at) in (
                        select f.scope, coalesce(f.effective_from, '-infinity'), f.set_at
                        from (
                            select distinct on (s.scope) s.*
                            from aximo_metrics.high_risk_levels as s
                            where coalesce(s.effective_from, '-infinity') < p.ends_at
                            order by s.scope, s.effective_from desc nulls last, s.set_at desc
                        ) as f
                        where not f.is_withdrawal
                        order by f.scope = 'all customers'
                        limit 1
                    )
                )
            ),
            'events', count(*)
        )
    from placed as p
    where p.suffix = '_monthly'
    group by p.key -> 'month'
    union all
    select
        'deployment_status', jsonb_build_object('deployment_id', d.deployment_id),
        jsonb_build_object(
            'skill_id', coalesce(v.skill_id, x.skill_id), 'skill_version', coalesce(v.skill_version, x.skill_version),
            'status', coalesce(
                (jsonb_build_object(
                    'deployment_created', 'pending_configuration', 'deployment_configured', 'configured', 'deployment_activated', 'active',
                    'deployment_suspended', 'suspended', 'deployment_terminated', 'terminated'
                ) ->> s.event_type),
                'undeclared'
            ),
            'status_since', s."timestamp", 'upgrades', d.upgrades, 'rollbacks', d.rollbacks, 'last_execution_at', x."timestamp",
            'last_event_at', d.last_event_at, 'events', d.events, 'triggered', d.triggered, 'completed', d.completed, 'failed', d.failed,
            'open', d.open, 'error_rate', d.failed::double precision / nullif(d.triggered, 0), 'sla_breaches', d.sla_breaches,
            'sla_breach_rate', d.sla_breaches::double precision / nullif(d.completed, 0)
        )
    from deployed as d
    left join stated as s on s.deployment_id = d.deployment_id
    left join declared as v on v.deployment_id = d.deployment_id
    left join executed as x on x.deployment_id = d.deployment_id
    union all
    select
        'customer_overview', '{}',
        jsonb_build_object(
            'deployments', (select count(*) from deployed), 'active_deployments', (
                select count(*) from stated as s where s.event_type = 'deployment_activated'
            ),
            'undeclared_deployments', (
                select count(*) from deployed as d where d.deployment_id not in (select s.deployment_id from stated as s)
            ),
            'events', count(*), 'executions', count(*) filter (where k.event_type = 'execution_triggered'),
            'completed', count(*) filter (where k.event_type = 'execution_completed'),
            'failed', count(*) filter (where k.event_type = 'execution_failed'), 'open', count(*) filter (where k.is_open),
            'error_rate', count(*) filter (where k.event_type = 'execution_failed')::double precision
            / nullif(count(*) filter (where k.event_type = 'execution_triggered'), 0),
            'execution_time_avg_ms', avg(k.took_ms),
            'execution_time_p50_ms', percentile_disc(0.5) within group (order by k.took_ms),
            'execution_time_p95_ms', percentile_disc(0.95) within group (order by k.took_ms),
            'execution_time_p99_ms', percentile_disc(0.99) within group (order by k.took_ms),
            'actions_dispatched', count(*) filter (where k.event_type = 'action_dispatched'), 'leads', count(*) filter (where k.is_lead),
            'lead_conversion_rate', count(*) filter (where k.is_lead)::double precision
            / nullif(count(*) filter (where k.event_type = 'execution_triggered'), 0),
            'approvals_open', count(*) filter (where k.is_unanswered),
            'sla_breaches', count(*) filter (where k.event_type = 'sla_breached'),
            'sla_breach_rate', count(*) filter (where k.event_type = 'sla_breached')::double precision
            / nullif(count(*) filter (where k.event_type = 'execution_completed'), 0),
            'first_event_at', min(k."timestamp"), 'last_event_at', max(k."timestamp")
        )
    from known as k
    having count(*) > 0;
end;
$$;
comment on function aximo.recompute_metrics(bigint) is 'The metrics of the session''s customer, worked out from the events up to a log number, without rollups: the name of the view, the row''s key, its measures. Reads everything. Percentiles are exact. No rows if the session has no customer.';

-- Works the metrics of runs out once more, from the log alone and without the sums. verify_metrics compares with this.
create function aximo.recompute_run_metrics(up_to bigint)
returns table (view_name text, key jsonb, measures jsonb)
language plpgsql stable security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
set extra_float_digits = 1
set jit = off
set enable_nestloop = off
as $$
#variable_conflict use_column
begin
    return query
    with
    -- Materialized before the join: otherwise every run is looked at for each entry.
    entry as materialized (
        select l.number, l.run_id, l.ts, l.kind
        from helix.log_entries as l
        where l.number <= up_to
    ),
    run as materialized (
        select r.run_id, r.tool_name
        from helix.runs as r
    ),
    said as materialized (
        select
            l.number, l.run_id, l.ts, r.tool_name, (l.ts at time zone 'UTC')::date as day, k.state,
            k.state in ('succeeded', 'failed', 'blocked') as is_end
        from entry as l
        inner join helix.event_kinds as k on k.kind = l.kind
        inner join run as r on r.run_id = l.run_id
        where k.state is not null
            and k.version = (select max(v.version) from helix.event_kinds as v where v.kind = k.kind)
    ),
    -- The number of the last earlier event that began or ended the run, and of the last that queued, began or ended it.
    told as materialized (
        select
            s.*,
            max(s.number) filter (where s.state in ('started', 'running') or s.is_end) over earlier as begun_number,
            max(s.number) filter (where s.state in ('queued', 'running') or s.is_end) over earlier as queued_number
        from said as s
        window earlier as (partition by s.run_id order by s.number rows between unbounded preceding and 1 preceding)
    ),
    timed as materialized (
        select
            t.tool_name, t.day, t.state,
            case when t.state = 'running' and q.state = 'queued' then extract(epoch from t.ts - q.ts) * 1000 end as wait_ms,
            case when t.is_end and b.state in ('started', 'running') then extract(epoch from t.ts - b.ts) * 1000 end as run_ms
        from told as t
        left join said as b on b.number = t.begun_number
        left join said as q on q.number = t.queued_number
    )
    select
        'tool_runs', jsonb_build_object('tool_name', t.tool_name, 'day', t.day),
        jsonb_build_object(
            'started', count(*) filter (where t.state = 'started'),
            'queued', count(*) filter (where t.state = 'queued'),
            'succeeded', count(*) filter (where t.state = 'succeeded'),
            'failed', count(*) filter (where t.state = 'failed'),
            'blocked', count(*) filter (where t.state = 'blocked'),
            'failure_rate',
            count(*) filter (where t.state in ('failed', 'blocked'))::double precision
            / nullif(count(*) filter (where t.state in ('succeeded', 'failed', 'blocked')), 0),
            'queue_time_count', count(t.wait_ms),
            'queue_time_sum_ms', coalesce(sum(t.wait_ms), 0),
            'queue_time_avg_ms', avg(t.wait_ms),
            'run_time_count', count(t.run_ms),
            'run_time_sum_ms', coalesce(sum(t.run_ms), 0),
            'run_time_avg_ms', avg(t.run_ms)
        )
    from timed as t
    group by t.tool_name, t.day
    union all
    select
        'tool_runs_by_status',
        jsonb_build_object('tool_name', t.tool_name, 'status', t.state, 'day', t.day),
        jsonb_build_object(
            'runs', count(*),
            'queue_time_count', count(t.wait_ms),
            'queue_time_sum_ms', coalesce(sum(t.wait_ms), 0),
            'queue_time_avg_ms', avg(t.wait_ms),
            'run_time_count', count(t.run_ms),
            'run_time_sum_ms', coalesce(sum(t.run_ms), 0),
            'run_time_avg_ms', avg(t.run_ms)
        )
    from timed as t
    group by t.tool_name, t.state, t.day;
end;
$$;
comment on function aximo.recompute_run_metrics(bigint) is 'What aximo_metrics.tool_runs and tool_runs_by_status should hold for the session''s customer, from its run events up to that number of their log. Reads everything.';

-- Compares each row of each view of metrics with what the events say.
create function aximo.verify_metrics()
returns table (view_name text, key jsonb, column_name text, stored jsonb, recomputed jsonb)
language plpgsql stable security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
set extra_float_digits = 1
set jit = off
as $$
#variable_conflict use_column
declare
    customer constant text := aximo.current_customer();
    up_to bigint;
    runs_up_to bigint;
begin
    if customer is null then
        raise exception using
            errcode = 'ZXCUS',
            message = 'this session reads for no customer',
            detail = format(
                'login %L, the session is of %s', session_user,
                coalesce('customer ' || quote_literal(left(nullif(current_setting('aximo.customer_id', true), ''), 60)), 'no customer')
            ),
            hint = 'Name one of the login''s customers with SET LOCAL aximo.customer_id; aximo.my_customers() lists them.',
            constraint = 'customer_granted';
    end if;
    select o.counts_up_to into up_to
    from aximo_metrics.customer_overview as o;
    select f.counts_up_to into runs_up_to
    from aximo_metrics.freshness as f
    where f.view_name = 'tool_runs';
    return query
    with
    shown as (
        -- Made by tools/metrics.py, up to the next such line.
        select
            'actions' as view_name,
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'day', v.day, 'action_type', v.action_type, 'risk_level', v.risk_level) as key,
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, day, action_type, risk_level}'::text[] as measures
        from aximo_metrics.actions as v
        union all
        select
            'actions_hourly',
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'hour', v.hour, 'action_type', v.action_type, 'risk_level', v.risk_level),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, hour, action_type, risk_level}'::text[]
        from aximo_metrics.actions_hourly as v
        union all
        select
            'actions_monthly',
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'month', v.month, 'action_type', v.action_type, 'risk_level', v.risk_level),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, month, action_type, risk_level}'::text[]
        from aximo_metrics.actions_monthly as v
        union all
        select
            'alerts',
            jsonb_build_object('deployment_id', v.deployment_id, 'day', v.day, 'metric', v.metric),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, day, metric}'::text[]
        from aximo_metrics.alerts as v
        union all
        select
            'alerts_hourly',
            jsonb_build_object('deployment_id', v.deployment_id, 'hour', v.hour, 'metric', v.metric),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, hour, metric}'::text[]
        from aximo_metrics.alerts_hourly as v
        union all
        select
            'alerts_monthly',
            jsonb_build_object('deployment_id', v.deployment_id, 'month', v.month, 'metric', v.metric),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, month, metric}'::text[]
        from aximo_metrics.alerts_monthly as v
        union all
        select
            'attribution_monthly',
            jsonb_build_object('month', v.month),
            to_jsonb(v) - '{customer_id, counts_up_to, month}'::text[]
        from aximo_metrics.attribution_monthly as v
        union all
        select
            'business_value',
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'day', v.day),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, day}'::text[]
        from aximo_metrics.business_value as v
        union all
        select
            'business_value_hourly',
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'hour', v.hour),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, hour}'::text[]
        from aximo_metrics.business_value_hourly as v
        union all
        select
            'business_value_monthly',
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'month', v.month),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, month}'::text[]
        from aximo_metrics.business_value_monthly as v
        union all
        select
            'customer_overview',
            '{}'::jsonb,
            to_jsonb(v) - '{customer_id, counts_up_to}'::text[]
        from aximo_metrics.customer_overview as v
        union all
        select
            'deployment_status',
            jsonb_build_object('deployment_id', v.deployment_id),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, error_level, sla_level}'::text[]
        from aximo_metrics.deployment_status as v
        union all
        select
            'execution_health',
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'day', v.day),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, day}'::text[]
        from aximo_metrics.execution_health as v
        union all
        select
            'execution_health_hourly',
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'hour', v.hour),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, hour}'::text[]
        from aximo_metrics.execution_health_hourly as v
        union all
        select
            'execution_health_monthly',
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'month', v.month),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, month}'::text[]
        from aximo_metrics.execution_health_monthly as v
        union all
        select
            'sla_governance',
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'day', v.day),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, day}'::text[]
        from aximo_metrics.sla_governance as v
        union all
        select
            'sla_governance_hourly',
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'hour', v.hour),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, hour}'::text[]
        from aximo_metrics.sla_governance_hourly as v
        union all
        select
            'sla_governance_monthly',
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'month', v.month),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, month}'::text[]
        from aximo_metrics.sla_governance_monthly as v
        union all
        select
            'tool_runs',
            jsonb_build_object('tool_name', v.tool_name, 'day', v.day),
            to_jsonb(v) - '{customer_id, counts_up_to, tool_name, day}'::text[]
        from aximo_metrics.tool_runs as v
        union all
        select
            'tool_runs_by_status',
            jsonb_build_object('tool_name', v.tool_name, 'status', v.status, 'day', v.day),
            to_jsonb(v) - '{customer_id, counts_up_to, tool_name, status, day}'::text[]
        from aximo_metrics.tool_runs_by_status as v
        -- Up to here.
    ),
    -- The view has a hash for each type that is no short text; the recomputation has one name for all of them.
    named as (
        select
            s.view_name, s.measures, h.is_hashed,
            case when h.is_hashed then s.key || '{"action_type": "(no short text)"}' else s.key end as key
        from shown as s
        cross join lateral (select coalesce(s.key ->> 'action_type' ~ '^(sha256|json) ', false) as is_hashed) as h
    ),
    in_view as (
        select s.view_name, s.key, m.key as column_name, m.value
        from named as s
        cross join lateral jsonb_each(s.measures) as m
        where s.view_name !~ '^actions'
        union all
        select s.view_name, s.key, m.key, to_jsonb(sum((m.value #>> '{}')::numeric))
        from (select a.*, row_number() over () as place from named as a where a.view_name ~ '^actions') as s
        cross join lateral jsonb_each(s.measures) as m
        group by s.view_name, s.key, m.key, case when s.is_hashed then 0 else s.place end
    ),
    in_events as (
        select r.view_name, r.key, m.key as column_name, m.value
        from aximo.recompute_metrics(coalesce(up_to, 0)) as r
        cross join lateral jsonb_each(r.measures) as m
        union all
        select r.view_name, r.key, m.key as column_name, m.value
        from aximo.recompute_run_metrics(coalesce(runs_up_to, 0)) as r
        cross join lateral jsonb_each(r.measures) as m
    )
    select
        coalesce(v.view_name, e.view_name), coalesce(v.key, e.key), coalesce(v.column_name, e.column_name), v.value, e.value
    from (
        select i.*, count(*) over (partition by i.view_name, i.key, i.column_name) as times
        from in_view as i
    ) as v
    full join in_events as e on e.view_name = v.view_name and e.key = v.key and e.column_name = v.column_name
    -- A row that appears twice would be counted twice.
    where v.value is null or e.value is null or v.times > 1
        or case
            when jsonb_typeof(v.value) = 'number' and jsonb_typeof(e.value) = 'number' then
                -- Percentiles are rounded to 2 percent, rates and averages to what a float holds. Counts and sums are exact.
                abs(v.value::numeric - e.value::numeric) > abs(e.value::numeric) * case
                    when v.column_name ~ '_p[0-9]+_ms$' then 0.02
                    when v.column_name ~ '(_rate|_avg_ms|^value|^threshold)$' then 1e-12
                    else 0
                end
            else v.value <> e.value
        end
    order by 1, 2, 3;
end;
$$;
comment on function aximo.verify_metrics() is 'Where the metrics of the session''s customer differ from what its events say, up to the log number that they count up to; no rows if nowhere. Reads everything. Percentiles may be 2 percent off; levels, which follow from a rate and the thresholds of the moment, are not compared. ZXCUS: no customer.';

create function aximo.schema_version() returns integer
language sql immutable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$select 1$$;
comment on function aximo.schema_version() is 'The version of this schema; every migration counts it up.';

create function aximo.oldest_client() returns integer
language sql immutable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$select 1$$;
comment on function aximo.oldest_client() is 'The oldest client protocol that still works with this schema; an older Python package refuses to start.';

-- The table in which Alembic keeps the current revision. Alembic makes it when it migrates; it is made here too, so that a database
-- installed from these files can be migrated.
create table if not exists aximo_private.alembic_version (
    version_num varchar(32) not null,
    constraint alembic_version_pkc primary key (version_num)
);
comment on table aximo_private.alembic_version is 'The newest migration applied. Written by alembic.';
comment on column aximo_private.alembic_version.version_num is 'The revision.';

-- Whatever no file gives to another role belongs to aximo_owner. Indexes, row types and the sequences of columns follow their tables.
do $$
declare
    made text;
begin
    for made in
        select format(
            '%s %s',
            case c.relkind when 'S' then 'sequence' when 'c' then 'type' when 'v' then 'view' else 'table' end,
            c.oid::regclass
        )
        from pg_catalog.pg_class as c
        where c.relnamespace in ('aximo'::regnamespace, 'aximo_metrics'::regnamespace, 'aximo_private'::regnamespace, 'helix'::regnamespace)
            and pg_get_userbyid(c.relowner) = current_user and c.relkind in ('r', 'v', 'S', 'c')
            and not exists (
                select from pg_catalog.pg_depend as d
                where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i') and d.refobjsubid > 0
            )
        union all
        select format('domain %s', t.oid::regtype)
        from pg_catalog.pg_type as t
        where t.typnamespace = 'aximo_private'::regnamespace and t.typtype = 'd' and pg_get_userbyid(t.typowner) = current_user
        union all
        select format('routine %s', p.oid::regprocedure)
        from pg_catalog.pg_proc as p
        where p.pronamespace in ('aximo'::regnamespace, 'aximo_private'::regnamespace, 'helix'::regnamespace)
            and pg_get_userbyid(p.proowner) = current_user
    loop
        execute format('alter %s owner to aximo_owner', made);
    end loop;
end;
$$;

-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- Every privilege there is, in one place. Deny first, then grant by name.
revoke all on schema aximo, aximo_metrics, aximo_private, helix from public;
revoke all on all tables in schema aximo, aximo_metrics, aximo_private, helix from public;
revoke all on all sequences in schema aximo, aximo_private, helix from public;
revoke all on all routines in schema aximo, aximo_private, helix from public;
revoke all on type
    aximo.receipt,
    aximo_private.event_type,
    aximo_private.identifier,
    aximo_private.actor,
    aximo_private.short_text,
    aximo_private.milliseconds,
    aximo_private.payload,
    aximo_private.moment,
    aximo_private.breach,
    aximo_private.log_growth,
    aximo_private.fact,
    aximo_private.numbering
from public;

-- The owners of functions get what their functions need, column by column.
revoke create on schema aximo, aximo_private, helix from aximo_gatekeeper, aximo_recorder, aximo_sequencer, aximo_meter;
revoke usage on schema helix from aximo_gatekeeper, aximo_meter;
grant select, insert (role_name, customer_id), delete on aximo_private.customer_grants to aximo_gatekeeper;
grant select, insert (role_name, customer_id, is_granted) on aximo_private.access_changes to aximo_gatekeeper;
grant select on aximo_private.customer_grants, aximo_private.events to aximo_recorder;
grant insert (
    event_id, event_type, "timestamp", customer_id, deployment_id, skill_id, skill_version, execution_id, risk_level, approval_mode, actor,
    payload, correlation_id, channel_type, error_code, latency_ms, step, answers
) on aximo_private.events to aximo_recorder;
grant usage on sequence aximo_private.events_position to aximo_recorder;
-- Rows that are written with the events. Only aximo.repair_executions deletes one.
grant select, insert, update, delete on aximo_private.executions, aximo_private.approvals to aximo_recorder;
grant select, insert on aximo_private.known_deployments to aximo_recorder;
grant select, insert (event_id, against, customer_id, execution_id, rule) on aximo_private.violations to aximo_recorder;
grant select on aximo_private.executions_from_events, aximo_private.approvals_from_events to aximo_recorder;
-- The installing login is a member of the owner and of the recorder. As the owner it could insert, and the recorder's policy would let it:
-- together that would write what only the database may state. UPDATE, DELETE and TRUNCATE of events stay granted, so that the triggers
-- refuse them by name.
revoke insert on aximo_private.events, aximo.event_types, aximo_private.log_entries, aximo_private.log_nodes, aximo_private.violations,
aximo_private.checkpoints, aximo_private.thresholds, aximo_private.metric_lists, aximo_private.observations,
aximo_private.run_ids, aximo_private.known_deployments, aximo_private.access_changes, helix.run_events,
helix.event_kinds, helix.runs from aximo_owner;
revoke insert, update, delete, truncate on aximo_private.executions, aximo_private.approvals,
aximo_private.customer_grants, aximo_private.log_state, aximo_private.log_holes,
aximo_private.log_cursors, aximo_private.logs, aximo_private.activity_sums, aximo_private.action_sums, aximo_private.deployment_sums,
aximo_private.run_sums, aximo_private.run_states, aximo_private.counted_logs, aximo_private.uncounted_logs,
aximo_private.unjudged_leads, aximo_private.metric_state from aximo_owner;
-- Not even the owner may call setval(): it needs no DDL, and a rollback does not undo it.
revoke update on sequence aximo_private.events_position, aximo_private.checkpoint_clock, helix.run_events_event_id_seq from aximo_owner;
grant usage on type
    aximo.receipt,
    aximo_private.event_type,
    aximo_private.identifier,
    aximo_private.actor,
    aximo_private.short_text,
    aximo_private.milliseconds,
    aximo_private.payload,
    aximo_private.moment,
    aximo_private.breach
to aximo_recorder;
grant execute on function
    aximo_private.writing_customer(text),
    aximo_private.has_extreme_number(jsonb),
    aximo_private.moment_of(text),
    aximo_private.new_event_id(),
    aximo_private.as_of(boolean),
    aximo.current_customer()
to aximo_recorder;

-- The sequencer numbers events and keeps what is derived from the log.
grant select on
    aximo_private.events,
    aximo_private.executions,
    aximo_private.approvals,
    aximo_private.log_entries,
    aximo_private.log_nodes
to aximo_sequencer;
grant insert on aximo_private.log_entries, aximo_private.log_nodes to aximo_sequencer;
grant insert (customer_id, log, size, root, note) on aximo_private.checkpoints to aximo_sequencer;
grant select, update on sequence aximo_private.checkpoint_clock to aximo_sequencer;
grant select, update (advanced_at) on aximo_private.log_state to aximo_sequencer;
grant select, update (high_position, entries, looked, undated_from) on aximo_private.logs to aximo_sequencer;
grant select, insert, update, delete on aximo_private.log_holes to aximo_sequencer;
grant select, insert (customer_id, log, name), update (number, moved_at, moved_by) on aximo_private.log_cursors to aximo_sequencer;
grant select on aximo.log_leaves, aximo.log_nodes, aximo.checkpoints to aximo_sequencer;
grant select on helix.runs, helix.run_events, helix.event_kinds, aximo_private.events_of_logs to aximo_sequencer;
grant usage on type aximo_private.log_growth, aximo_private.fact, aximo_private.numbering, aximo_private.identifier to aximo_sequencer;
grant execute on function
    aximo.current_customer(),
    aximo_private.writing_customer(text),
    aximo_private.numbers_for_all(),
    aximo_private.session_grants(),
    aximo_private.event_line(aximo_private.events),
    aximo_private.run_event_line(helix.run_events),
    aximo_private.step_key(jsonb, text),
    aximo_private.series_key(text[]),
    aximo_private.list_of(text, text, timestamptz),
    aximo_private.month_end(timestamptz),
    aximo_private.histogram_bin(double precision),
    aximo.tree_hash(bytea[]),
    aximo.log_size(text),
    aximo.log_root(bigint, text),
    aximo.checkpoint_text(bigint, text),
    aximo.check_log_nodes(text, bigint)
to aximo_sequencer;

-- And counts what it numbered.
grant select, insert, update, delete on
    aximo_private.activity_sums,
    aximo_private.action_sums,
    aximo_private.deployment_sums,
    aximo_private.run_sums,
    aximo_private.run_states,
    aximo_private.counted_logs,
    aximo_private.uncounted_logs
to aximo_sequencer;
grant select, insert (customer_id, since), delete on aximo_private.unjudged_leads to aximo_sequencer;
grant select on aximo_private.metric_lists to aximo_sequencer;
grant select, update (steps, recounted_in) on aximo_private.metric_state to aximo_sequencer;

-- Thresholds are written for the customer that the access map gives, as events are.
grant insert (customer_id, deployment_id, metric, level, value, effective_from) on aximo_private.thresholds to aximo_recorder;
grant insert (customer_id, list, items, effective_from) on aximo_private.metric_lists to aximo_recorder;
-- A new setting of which actions are leads makes the counted ones be judged again.
grant insert (customer_id, since) on aximo_private.unjudged_leads to aximo_recorder;
grant execute on function aximo_private.numbers_for_all() to aximo_recorder;

-- The meter works out of the sums what is published, and sees no event. aximo_private.publish_kind grants it the tables that it keeps.
grant select on
    aximo_private.activity_sums,
    aximo_private.action_sums,
    aximo_private.deployment_sums,
    aximo_private.run_sums,
    aximo_private.counted_logs,
    aximo_private.thresholds,
    aximo_private.metric_lists
to aximo_meter;
grant select, update (published_in, refreshed_at, took) on aximo_private.metric_state to aximo_meter;
grant execute on function
    aximo.current_customer(),
    aximo_private.numbers_for_all(),
    aximo_private.list_of(text, text, timestamptz),
    aximo_private.histogram_value(bigint),
    aximo.advance_log(integer),
    aximo.count_metrics(integer)
to aximo_meter;

-- The recorder imports runs and runs the triggers on them.
grant select, update (status, finished_at, error) on helix.runs to aximo_recorder;
grant insert (
    run_id, project_id, tool_name, contract_version, tool_version, params_hash, policy_hash, status, requested_by, created_at, started_at,
    finished_at, policy_snapshot, environment, exit_code, error, result_json, log_artifact_id, customer_id, execution_id, made_for_events
) on helix.runs to aximo_recorder;
grant select, insert (run_id, ts, kind, message, data, extra, customer_id) on helix.run_events to aximo_recorder;
grant usage on sequence helix.run_events_event_id_seq to aximo_recorder;
grant select on helix.event_kinds to aximo_recorder;
grant select, insert (customer_id, run_id, target_run_id) on aximo_private.observations to aximo_recorder;
grant select, insert on aximo_private.run_ids to aximo_recorder;

-- What logins may use.
grant usage on schema aximo to aximo_reader, aximo_bi;
grant usage on schema aximo_metrics to aximo_bi;
grant usage on schema helix to aximo_reader;
grant execute on function
    aximo.current_customer(),
    aximo.my_customers(),
    aximo.schema_version(),
    aximo.oldest_client()
to aximo_reader, aximo_bi;

grant select on all tables in schema aximo_metrics to aximo_bi;
grant execute on function
    -- Called from the views, and as the reader; the schema they are in stays closed.
    aximo_private.threshold_at(text, text, text, timestamptz),
    aximo_private.level_of(bigint, bigint, text, text),
    aximo_private.high_risk_at(timestamptz)
to aximo_bi;

grant select on
    aximo.event_types,
    aximo.events,
    aximo.log_entries,
    aximo.log_leaves,
    aximo.log_lines,
    aximo.log_nodes,
    aximo.checkpoints,
    aximo.violations,
    aximo.deployment_violations,
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
    aximo.open_cursor(text, text),
    aximo.move_cursor(text, bigint, bigint, text),
    aximo.tree_hash(bytea[]),
    aximo.log_size(text),
    aximo.log_tile(integer, bigint, integer, text),
    aximo.log_root(bigint, text),
    aximo.log_origin(text),
    aximo.checkpoint_text(bigint, text),
    aximo.check_log_nodes(text, bigint),
    aximo.unlogged_events(text),
    aximo.verify_log(text, bigint, bigint, interval),
    aximo.verify_executions(integer),
    aximo.recompute_metrics(bigint),
    aximo.recompute_run_metrics(bigint),
    aximo.verify_metrics(),
    -- Called from the views, and as the reader; the schema it is in stays closed.
    aximo_private.as_of(boolean),
    aximo_private.event_line(aximo_private.events),
    aximo_private.run_event_line(helix.run_events)
to aximo_reader;

grant execute on function
    aximo.emit_event(text, text, text, text, text, text, text, jsonb, timestamptz, text, text, text, text, text, bigint, uuid),
    aximo.emit_events(jsonb, text)
to aximo_writer;
grant usage on type aximo.receipt to aximo_writer, aximo_operator;

-- The gateway reads and writes runs as tables, so logins get columns: the database states the others. SELECT is by column too, which leaves
-- out xmin and ctid: these order the rows of all customers.
grant select (
    run_id, project_id, tool_name, contract_version, tool_version, params_hash, policy_hash, status, requested_by, created_at, started_at,
    finished_at, policy_snapshot, environment, exit_code, error, result_json, log_artifact_id, customer_id, execution_id, recorded_at,
    recorded_by, made_for_events
) on helix.runs to aximo_reader;
grant select (event_id, run_id, ts, kind, message, data, extra, customer_id, recorded_at, recorded_by) on helix.run_events to aximo_reader;
grant select on
    helix.event_kinds,
    helix.kind_usage,
    helix.observations,
    helix.log_entries
to aximo_reader;
grant execute on function
    helix.compare_run_log(text, jsonb),
    helix.read_log(bigint, integer, boolean)
to aximo_reader;
grant insert (
    run_id, project_id, tool_name, contract_version, tool_version, params_hash, policy_hash, status, requested_by, started_at, finished_at,
    policy_snapshot, environment, exit_code, error, result_json, log_artifact_id, execution_id
), update (
    status, started_at, finished_at, exit_code, error, result_json, log_artifact_id, execution_id
) on helix.runs to aximo_writer;
grant insert (run_id, kind, message, data) on helix.run_events to aximo_writer;
grant execute on function
    -- Called by the column's default and by constraints; the schema they are in stays closed.
    aximo_private.next_run_event_id(),
    aximo_private.has_extreme_number(jsonb),
    helix.observe_run(text, text, text),
    helix.import_runs(jsonb, text),
    helix.import_run_events(jsonb, text, boolean, integer[], text)
to aximo_writer;

grant execute on function
    aximo.close_stale_executions(interval),
    aximo.import_events(jsonb, text),
    aximo.advance_log(integer),
    aximo.mend_log(),
    aximo.rebuild_log_nodes(),
    aximo.repair_executions(),
    aximo.count_metrics(integer),
    aximo.refresh_metrics(boolean),
    aximo.recount_metrics(boolean, integer),
    aximo.set_threshold(text, text, double precision, text, timestamptz, boolean),
    aximo.set_high_risk_levels(text[], timestamptz, boolean),
    aximo.set_lead_action_types(text[], timestamptz, boolean)
to aximo_operator;
grant execute on procedure aximo.keep_metrics(integer) to aximo_operator;

-- A login for monitoring sees that the ledger is well, and nothing of any customer.
grant usage on schema aximo to aximo_monitor;
grant select on sequence aximo_private.events_position, helix.run_events_event_id_seq to aximo_sequencer;
grant execute on function aximo.ledger_status() to aximo_monitor, aximo_operator;
grant execute on function aximo.schema_version() to aximo_monitor;

grant execute on function aximo.add_checkpoint(text) to aximo_auditor, aximo_operator;
grant select on aximo.access_history to aximo_auditor;

grant execute on function
    aximo.grant_customer(text, text),
    aximo.revoke_customer(text, text),
    helix.isolate_gateway_tables(),
    aximo_private.access_differences()
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
