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
