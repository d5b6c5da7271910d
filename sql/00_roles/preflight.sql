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
