if attempt >= attempts then
    select string_agg(
        format(
            '%s: %s on %s',
            case
                when l.pid is null then 'a prepared transaction'
                else format(
                    'pid %s, login %s, application %s',
                    l.pid, coalesce(a.usename, 'of none, a process of the server'), a.application_name
                )
            end,
            l.mode, l.relation::regclass
        ),
        '; '
        order by l.pid, l.relation, l.mode
    ) into holders
    from pg_catalog.pg_locks as l
    left join pg_catalog.pg_stat_activity as a on a.pid = l.pid
    where l.granted and l.locktype = 'relation' and l.pid is distinct from pg_backend_pid()
        and (
            l.relation in (select to_regclass(n.name) from unnest(from_all) as n (name))
            or l.relation in (select to_regclass(n.name) from unnest(from_writers) as n (name))
            and l.mode not in ('AccessShareLock', 'RowShareLock')
        )
        and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database());
    raise exception using
        errcode = 'ZXENV',
        message = 'others hold locks that the migration needs',
        detail = coalesce(left(holders, 4000), 'they are gone by now'),
        hint = 'Nothing was changed. Wait for them or pg_terminate_backend them, then migrate again.',
        constraint = 'migration_gets_its_locks';
end if;
