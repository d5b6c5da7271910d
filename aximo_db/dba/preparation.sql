do $$
declare
    target constant text := {target};
    -- What waits behind a lock that is waited for waits as long: a short time, and again after a pause.
    attempts constant integer := coalesce(nullif(current_setting('aximo.migration_attempts', true), '')::integer, 30);
    attempt integer := 0;
    present text;
    relation record;
    holders text;
begin
    perform set_config('lock_timeout', '2s', true);
    loop
        attempt := attempt + 1;
        begin
            create schema if not exists aximo_private;
            if to_regclass('aximo_private.alembic_version') is not null then
                execute 'select version_num from aximo_private.alembic_version' into present;
                exit when present = target;
            end if;
            for relation in
                select c.oid::regclass as name, pg_get_userbyid(c.relowner) as owner
                from pg_catalog.pg_class as c
                inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
                where n.nspname in ('aximo', 'aximo_private', 'aximo_metrics', 'helix')
                    and c.relkind in ('r', 'p', 'v', 'm')
                    and pg_has_role(c.relowner, 'usage')
                order by c.oid
            loop
                execute format('alter table %s owner to %I', relation.name, relation.owner);
            end loop;
            exit;
        exception
            -- What was locked in here is free again. A schema that is there now was made by another migration.
            when lock_not_available or deadlock_detected or unique_violation or duplicate_schema then
                if attempt >= attempts then
                    select string_agg(
                        format(
                            'pid %s, login %s, application %s: %s on %s',
                            l.pid, a.usename, a.application_name, l.mode, l.relation::regclass
                        ),
                        '; '
                        order by l.pid, l.relation, l.mode
                    ) into holders
                    from pg_catalog.pg_locks as l
                    inner join pg_catalog.pg_class as c on c.oid = l.relation
                    inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
                    left join pg_catalog.pg_stat_activity as a on a.pid = l.pid
                    where l.granted and l.pid <> pg_backend_pid() and c.relkind in ('r', 'p', 'v', 'm')
                        and l.database = (
                            select d.oid from pg_catalog.pg_database as d where d.datname = current_database()
                        )
                        and n.nspname in ('aximo', 'aximo_private', 'aximo_metrics', 'helix');
                    raise exception using
                        errcode = 'ZXENV',
                        message = 'others hold locks that the migration needs',
                        detail = coalesce(left(holders, 4000), 'they are gone by now'),
                        hint = 'Nothing was changed. Wait for them or pg_terminate_backend them, then migrate again.',
                        constraint = 'migration_gets_its_locks';
                end if;
                perform pg_sleep(1);
        end;
    end loop;
end;
$$
