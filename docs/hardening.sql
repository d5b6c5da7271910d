-- Hardening of a database that the ledger has for itself. Read it first: every line changes what others may do in this database,
-- which is why the installation does none of it. Run it as the owner of the database, then again as a superuser if there is one:
--
--   psql -v ON_ERROR_STOP=1 -f docs/hardening.sql
--
-- It may be run any number of times. What the role that runs it may not change is left as it is, with a notice.

-- Who connects: the owner of the database, and the logins that the access map serves, each by name. CONNECT of PUBLIC lets every
-- login of the cluster in, where it can read sizes and statistics. CONNECT of a group role lets in the owner of another ledger in the
-- cluster, who may make himself a member of it. Run this again after aximo.grant_customer. A login that is granted no customer,
-- such as a monitor or a second administrator, needs: grant connect on database … to …
do $$
declare
    login text;
begin
    execute format(
        'revoke connect, temporary on database %I from public, aximo_owner, aximo_gatekeeper, aximo_recorder, aximo_sequencer,'
        ' aximo_meter, aximo_reader, aximo_writer, aximo_bi, aximo_operator, aximo_auditor, aximo_monitor',
        current_database()
    );
    for login in
        select distinct g.role_name
        from aximo_private.customer_grants as g
        inner join pg_catalog.pg_roles as r on r.rolname = g.role_name
        order by 1
    loop
        execute format('grant connect on database %I to %I', current_database(), login);
    end loop;
end;
$$;

-- Nobody creates anything in schema public. (PostgreSQL 15 and later do this for new databases; an upgraded one may be open.)
do $$
begin
    if has_schema_privilege('public', 'public', 'create') then
        revoke create on schema public from public;
    end if;
end;
$$;

-- For superusers: nobody but the ledger's owner runs code of their own, or makes large objects, which no row-level security covers.
do $$
declare
    routine regprocedure;
begin
    if not (select r.rolsuper from pg_catalog.pg_roles as r where r.rolname = current_user) then
        raise notice 'not a superuser: language plpgsql and large objects stay as they are';
        return;
    end if;
    revoke usage on language plpgsql from public;
    grant usage on language plpgsql to aximo_owner;
    for routine in
        select p.oid::regprocedure
        from pg_catalog.pg_proc as p
        where p.pronamespace = 'pg_catalog'::regnamespace
            and p.proname in ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_open', 'lo_put', 'lo_unlink', 'lowrite', 'lo_truncate', 'lo_truncate64')
    loop
        execute format('revoke execute on function %s from public', routine);
    end loop;
end;
$$;
