-- What doctor asks the catalog and the ledger's own tables. Each statement begins with its name.

-- name: timeouts
-- What is set for each login with customers, and no superuser or owner, the nearest first: for it here, for it, for all here,
-- by the server.
select r.rolname::text, p.name, coalesce(
    (
        select split_part(s.setting, '=', 2)
        from pg_db_role_setting as d
        cross join lateral unnest(d.setconfig) as s (setting)
        where d.setrole in (r.oid, 0) and d.setdatabase in (0, (select oid from pg_database where datname = current_database()))
            and split_part(s.setting, '=', 1) = p.name
        order by d.setrole = 0, d.setdatabase = 0
        limit 1
    ),
    (select g.reset_val from pg_settings as g where g.name = p.name and g.source in ('configuration file', 'command line')),
    '0'
)
from pg_roles as r
cross join unnest(%(names)s::text[]) as p (name)
where r.rolcanlogin and not r.rolsuper and exists (select from pg_settings as g where g.name = p.name)
    and exists (select from aximo_private.customer_grants as g where g.role_name = r.rolname)
    and not exists (
        select from pg_roles as o where o.rolname = any(%(owners)s) and pg_has_role(r.oid, o.oid, 'member')
    )
order by 1, 2;

-- name: elsewhere
-- What belongs to the ledger's roles without being the ledger's: whoever calls or reads it acts as that role.
select pg_get_userbyid(d.refobjid), i.type, i.identity
from pg_shdepend as d
cross join lateral pg_identify_object(d.classid, d.objid, 0) as i
where d.dbid = (select oid from pg_database where datname = current_database())
    and d.deptype = 'o' and d.refclassid = 'pg_authid'::regclass and d.refobjid in (select oid from pg_roles where rolname = any(%s))
    and i.type in ('view', 'materialized view', 'function', 'procedure', 'aggregate', 'table', 'schema')
    and coalesce(i.schema, i.name) not in ('aximo', 'aximo_metrics', 'aximo_private', 'helix')
    and coalesce(i.schema, '') !~ '^pg_(toast|temp)'
order by 1, 2, 3;

-- name: views_of_others
-- Views of others that read a table of the ledger, with the rights of their owner, or keep a copy of what they read.
select distinct
    format('%I.%I', n.nspname, c.relname), t.relname, pg_get_userbyid(c.relowner), c.relkind = 'm', r.rolsuper or r.rolbypassrls
from pg_rewrite as w
inner join pg_class as c on c.oid = w.ev_class and c.relkind in ('v', 'm')
inner join pg_namespace as n on n.oid = c.relnamespace and n.nspname not in ('aximo', 'aximo_metrics', 'aximo_private', 'helix')
inner join pg_roles as r on r.oid = c.relowner
inner join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass
inner join pg_class as t on t.oid = d.refobjid and t.oid <> c.oid
inner join pg_namespace as s on s.oid = t.relnamespace and s.nspname in ('aximo', 'aximo_metrics', 'aximo_private', 'helix')
where c.relkind = 'm' or t.relkind in ('r', 'p', 'm') and coalesce(c.reloptions::text !~ 'security_invoker=(true|on|yes|1)', true)
order by 1, 2;

-- name: neighbours
-- Other databases in which the owning roles own something, and logins that may act as these roles and connect here, without
-- being this database's owner.
with
owners as (
    select r.oid from pg_roles as r where r.rolname = any(%s)
),
here as (
    select d.oid, d.datdba from pg_database as d where d.datname = current_database()
)
select
    array(
        select distinct d.datname::text
        from pg_shdepend as s
        inner join pg_database as d on d.oid = s.dbid and d.datallowconn
        where s.refclassid = 'pg_authid'::regclass and s.refobjid in (select o.oid from owners as o)
            and s.deptype = 'o' and s.dbid <> (select h.oid from here as h)
        order by 1
    ),
    array(
        select r.rolname::text
        from pg_roles as r
        cross join here as h
        where r.rolcanlogin and not r.rolsuper and not pg_has_role(r.oid, h.datdba, 'member')
            and has_database_privilege(r.oid, h.oid, 'connect')
            and exists (select from owners as o where pg_has_role(r.oid, o.oid, 'member'))
        order by 1
    );

-- name: logs
-- Each log, where its positions come from, how far it is numbered, the last position given, what may still come, and
-- whether there are entries of which the state knows nothing.
select
    p.log, p.sequence, s.high_position, p.last, (select count(*) from aximo_private.log_holes as h where h.log = p.log),
    case when s.high_position = 0 then exists (select from aximo_private.log_entries as e where e.log = p.log) else false end
from (
    select 'events' as log, 'aximo_private.events_position' as sequence, case when is_called then last_value else last_value - 1 end as last
    from aximo_private.events_position
    union all
    select 'run_events', 'helix.run_events_event_id_seq', case when is_called then last_value else last_value - 1 end
    from helix.run_events_event_id_seq
) as p
left join aximo_private.logs as s on s.log = p.log
order by p.log;

-- name: settings_of_others
-- Settings of roles and databases that change what every session does.
select coalesce(r.rolname, 'every role'), s.setting
from pg_db_role_setting as d
left join pg_roles as r on r.oid = d.setrole
cross join lateral unnest(d.setconfig) as s (setting)
where d.setdatabase in (0, (select oid from pg_database where datname = current_database()))
    and split_part(s.setting, '=', 1) in ('session_replication_role', 'search_path', 'row_security', 'role')
order by 1, 2;

-- name: roles
-- Every role, what it is, and which far-reaching roles and group roles it may act as.
select
    r.rolname, r.rolsuper, r.rolbypassrls, r.rolcreaterole, r.rolcanlogin, r.rolname = any(%(groups)s) as is_group,
    r.rolreplication, r.oid = (select d.datdba from pg_database as d where d.datname = current_database()) as is_dba,
    array(
        select g.rolname::text
        from pg_roles as g
        where g.rolname = any(%(reaching)s) and pg_has_role(r.oid, g.oid, 'member')
        order by 1
    ) as reaches,
    array(
        select g.rolname::text
        from pg_roles as g
        where g.rolname = any(%(groups)s) and g.oid <> r.oid and pg_has_role(r.oid, g.oid, 'member')
        order by 1
    ) as groups
from pg_roles as r
where r.rolname !~ '^pg_'
order by r.rolname;

-- name: access
-- Each role with grants, whether it is gone, and how many customers it has.
select g.role_name, r.rolname is null as is_gone, bool_or(g.customer_id = '*') as has_all, count(*) as customers
from aximo_private.customer_grants as g
left join pg_roles as r on r.rolname = g.role_name
group by 1, 2
order by 1;

-- name: gateway_tables
-- Tables of a gateway that do not say whose a row is.
select c.relname
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
where n.nspname = 'helix' and c.relkind = 'r' and c.relname = any(%s) and not (c.relrowsecurity and c.relforcerowsecurity)
order by 1;

-- name: gateway_logins
-- Logins that may use one of the tables without owning it, and their customers.
select g.role_name, array_agg(g.customer_id)
from aximo_private.customer_grants as g
inner join pg_roles as r on r.rolname = g.role_name
where not r.rolsuper and exists (
    select from pg_class as c
    where c.relnamespace = 'helix'::regnamespace and c.relkind = 'r' and c.relname = any(%s)
        and not pg_has_role(r.oid, c.relowner, 'member')
        and (
            has_table_privilege(r.oid, c.oid, 'select, insert, update, delete')
            or has_any_column_privilege(r.oid, c.oid, 'select, insert, update')
        )
)
group by 1
order by 1;

-- name: metrics
-- Whether metrics were never refreshed, or not for a day though there is something new; whether anything is numbered; how many
-- entries wait to be counted; how many were missed; the customers whose events can't be counted.
select
    s.refreshed_at is null,
    s.refreshed_at < now() - interval '1 day' and s.refreshed_at < l.advanced_at,
    exists (select from aximo_private.log_entries),
    (
        select coalesce(sum(g.size - g.number), 0)
        from (
            select max(u.number) as size, coalesce(c.number, 0) as number
            from aximo_private.uncounted_logs as u
            left join aximo_private.counted_logs as c on c.customer_id = u.customer_id and c.log = u.log
            where c.failed_at is null
            group by u.customer_id, u.log, c.number
        ) as g
        where g.size > g.number
    ),
    (
        select coalesce(sum(h.size - coalesce(c.number, 0)), 0)
        from (
            select e.customer_id, e.log, max(e.number) as size from aximo_private.log_entries as e group by 1, 2
        ) as h
        left join aximo_private.counted_logs as c on c.customer_id = h.customer_id and c.log = h.log
        where not exists (
            select from aximo_private.uncounted_logs as u
            where u.customer_id = h.customer_id and u.log = h.log and u.number >= h.size
        )
    ),
    array(select distinct c.customer_id from aximo_private.counted_logs as c where c.failed_at is not null order by 1)
from aximo_private.metric_state as s, aximo_private.log_state as l;

-- name: placements
-- The customers on the way that the login was granted, and for how many seconds.
select p.customer_id, p.state, p.node, extract(epoch from clock_timestamp() - p.since)::bigint
from aximo.placements as p
where p.state in ('arriving', 'leaving')
order by 4 desc, 1;

-- name: slots_of_moves
select s.slot_name::text, s.active
from pg_replication_slots as s
where s.slot_name like 'aximo\_move\_%%' and s.database = current_database()
order by 1;

-- name: rights_of_moves
-- What a mover that is no superuser gives itself for as long as its subscription is there, as facts.
select format('grant on relation %%s.%%s: %%s to %%s', n.nspname, c.relname, w.privilege, pg_get_userbyid(s.subowner))
from pg_subscription as s
inner join pg_trigger as t on t.tgname = 'take_arriving'
inner join pg_class as c on c.oid = t.tgrelid
inner join pg_namespace as n on n.oid = c.relnamespace
cross join (values ('insert'), ('update'), ('delete')) as w (privilege)
where s.subname like 'aximo\_move\_%%' and s.subdbid = (select d.oid from pg_database as d where d.datname = current_database());

-- name: log_state
-- Seconds since something was numbered, whether there are entries, and the highest position of the logs.
select
    extract(epoch from now() - s.advanced_at)::bigint,
    pg_relation_size('aximo_private.log_entries') > 0,
    (select coalesce(max(l.high_position), 0) from aximo_private.logs as l)
from aximo_private.log_state as s;
