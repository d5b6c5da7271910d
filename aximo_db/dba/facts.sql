-- The facts of the ledger's schemas, a line each; written out the same on every server version.
with
ours as (
    select n.oid, n.nspname from pg_namespace as n where n.nspname in ('aximo', 'aximo_metrics', 'aximo_private', 'helix')
),
-- Without the tables of a gateway, which are not the ledger's.
classes as (
    select c.*
    from pg_class as c
    inner join ours as o on o.oid = c.relnamespace
    where o.nspname <> 'helix' or c.relkind <> 'r'
        or c.relname not in ('projects', 'artifacts', 'param_sets', 'run_inputs', 'run_outputs')
),
acls as (
    select format('schema %s', o.nspname) as thing, n.nspowner as owner, n.nspacl as acl
    from ours as o
    inner join pg_namespace as n on n.oid = o.oid
    union all
    select format('relation %s.%s', o.nspname, c.relname), c.relowner, c.relacl
    from ours as o
    inner join classes as c on c.relnamespace = o.oid and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
    union all
    select format('column %s.%s.%s', o.nspname, c.relname, a.attname), c.relowner, a.attacl
    from ours as o
    inner join classes as c on c.relnamespace = o.oid
    inner join pg_attribute as a on a.attrelid = c.oid and a.attacl is not null
    union all
    select
        format('function %s.%s(%s)', o.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
        p.proowner,
        coalesce(p.proacl, acldefault('f', p.proowner))
    from ours as o
    inner join pg_proc as p on p.pronamespace = o.oid
    union all
    select format('type %s.%s', o.nspname, t.typname), t.typowner, coalesce(t.typacl, acldefault('T', t.typowner))
    from ours as o
    inner join pg_type as t on t.typnamespace = o.oid and t.typtype = 'd'
)
select format('owner of %s: %s', a.thing, pg_get_userbyid(a.owner)) as fact
from acls as a
where a.thing !~ '^column '
union all
select format(
    'grant on %s: %s to %s%s',
    a.thing, lower(x.privilege_type),
    case when x.grantee = 0 then 'public' else pg_get_userbyid(x.grantee) end,
    case when x.is_grantable then ' with grant option' else '' end
)
from acls as a
cross join lateral aclexplode(a.acl) as x
where x.grantee <> a.owner
    -- What the owner holds is told by being the owner, except where something was taken from it.
    or a.thing ~ '\.(events|event_types|events_position|customer_grants)$' and a.thing ~ '^relation (aximo_private|aximo\.event_types)'
    and x.privilege_type <> 'MAINTAIN'
    or a.thing ~ '^relation helix\.(runs|run_events|event_kinds|run_events_event_id_seq)$' and x.privilege_type <> 'MAINTAIN'
union all
select format(
    'function %s.%s(%s): returns %s, defaults %s, %s, %s, %s%s%s%sparallel %s, %s, cost %s, rows %s, %s, body %s',
    o.nspname, p.proname, pg_get_function_identity_arguments(p.oid),
    coalesce(pg_get_function_result(p.oid), '-'), coalesce(pg_get_expr(p.proargdefaults, 0), '-'),
    l.lanname,
    case when p.prosecdef then 'definer' else 'invoker' end,
    case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end || ', ',
    case when p.proisstrict then 'strict, ' end, case when p.proleakproof then 'leakproof, ' end,
    case when p.prokind <> 'f' then format('kind %s, ', p.prokind) end,
    case p.proparallel when 's' then 'safe' when 'r' then 'restricted' else 'unsafe' end,
    case when p.prosupport = 0 then 'unsupported' else p.prosupport::regproc::text end,
    p.procost, p.prorows,
    array_to_string(p.proconfig, '; '),
    md5(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc))
)
from ours as o
inner join pg_proc as p on p.pronamespace = o.oid
inner join pg_language as l on l.oid = p.prolang
union all
select format(
    'table %s.%s: %s, row security %s, %s',
    o.nspname, c.relname,
    case c.relpersistence when 'p' then 'permanent' when 'u' then 'unlogged' else 'temporary' end,
    case when c.relrowsecurity then 'on' else 'off' end,
    case when c.relforcerowsecurity then 'forced' else 'not forced' end
)
from ours as o
inner join classes as c on c.relnamespace = o.oid and c.relkind in ('r', 'p')
union all
select format(
    'policy %s on %s.%s: %s, for %s to %s using %s check %s',
    p.policyname, p.schemaname, p.tablename, lower(p.permissive), lower(p.cmd), array_to_string(p.roles, ', '),
    coalesce(p.qual, '-'), coalesce(p.with_check, '-')
)
from pg_policies as p
inner join ours as o on o.nspname = p.schemaname
inner join classes as c on c.relnamespace = o.oid and c.relname = p.tablename
union all
select format(
    'trigger %s on %s.%s: %s, %s',
    t.tgname, o.nspname, c.relname,
    case t.tgenabled when 'A' then 'always' when 'O' then 'origin only' when 'R' then 'replica only' else 'disabled' end,
    regexp_replace(pg_get_triggerdef(t.oid), '^.* (BEFORE|AFTER|INSTEAD OF) ', '\1 ')
)
from ours as o
inner join classes as c on c.relnamespace = o.oid
inner join pg_trigger as t on t.tgrelid = c.oid and not t.tgisinternal
union all
select format(
    'trigger of constraint %s on %s.%s: %s by %s',
    k.conname, o.nspname, c.relname,
    case t.tgenabled when 'A' then 'always' when 'O' then 'origin only' when 'R' then 'replica only' else 'disabled' end,
    t.tgfoid::regproc
)
from ours as o
inner join classes as c on c.relnamespace = o.oid
inner join pg_trigger as t on t.tgrelid = c.oid and t.tgisinternal
inner join pg_constraint as k on k.oid = t.tgconstraint
-- Not those of a gateway's own tables.
where k.connamespace in (select w.oid from ours as w) and k.conrelid in (select w.oid from classes as w)
union all
select format(
    '%s %s.%s: %s, definition %s',
    case c.relkind when 'm' then 'materialized view' else 'view' end, o.nspname, c.relname, coalesce(array_to_string(c.reloptions, ', '), 'no options'),
    -- PostgreSQL 15 writes the alias before every column, later ones only where it is needed.
    md5(
        regexp_replace(
            regexp_replace(pg_get_viewdef(c.oid), '\s+', ' ', 'g'),
            '(?<!FROM )(?<!JOIN )(?<![.a-z_0-9])[a-z_0-9]+\.(?=("[a-z_]+"|[a-z_0-9]+)(?![a-z_0-9("]))', '', 'g'
        )
    )
)
from ours as o
inner join classes as c on c.relnamespace = o.oid and c.relkind in ('v', 'm')
union all
select format('rule %s on %s.%s', r.rulename, o.nspname, c.relname)
from ours as o
inner join classes as c on c.relnamespace = o.oid
inner join pg_rewrite as r on r.ev_class = c.oid and r.rulename <> '_RETURN'
union all
select format(
    'constraint %s on %s.%s: %s',
    k.conname, o.nspname, coalesce(c.relname, t.typname), pg_get_constraintdef(k.oid)
)
from pg_constraint as k
inner join ours as o on o.oid = k.connamespace
left join classes as c on c.oid = k.conrelid
left join pg_type as t on t.oid = k.contypid
where k.contype in ('c', 'p', 'u', 'f') and (c.oid is not null or t.oid is not null)
union all
select format(
    'index %s.%s: %s%s%s', o.nspname, i.relname, pg_get_indexdef(x.indexrelid),
    case when not x.indisvalid then ', not valid' end, case when not x.indisready or not x.indislive then ', not ready' end
)
from ours as o
inner join classes as c on c.relnamespace = o.oid
inner join pg_index as x on x.indrelid = c.oid
inner join pg_class as i on i.oid = x.indexrelid
union all
select format(
    'column %s.%s.%s: %s%s%s%s, default %s',
    o.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
    (select format(' collate %I', l.collname) from pg_collation as l where l.oid = a.attcollation and l.collname <> 'default'),
    case when a.attnotnull then ' not null' end,
    case when a.attidentity <> '' or a.attgenerated <> '' then format(' identity %s generated %s', a.attidentity, a.attgenerated) end,
    coalesce(pg_get_expr(d.adbin, d.adrelid), '-')
)
from ours as o
inner join classes as c on c.relnamespace = o.oid and c.relkind in ('r', 'p', 'v', 'm')
inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef as d on d.adrelid = c.oid and d.adnum = a.attnum
union all
select format(
    'sequence %s.%s: start %s, increment %s, from %s to %s, cache %s, %s',
    o.nspname, c.relname, q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache,
    case when q.seqcycle then 'cycles' else 'does not cycle' end
)
from ours as o
inner join classes as c on c.relnamespace = o.oid
inner join pg_sequence as q on q.seqrelid = c.oid
union all
select format(
    'default privileges of %s%s on %s: %s to %s',
    pg_get_userbyid(f.defaclrole), coalesce(' in schema ' || n.nspname, ''), f.defaclobjtype, lower(x.privilege_type),
    case when x.grantee = 0 then 'public' else pg_get_userbyid(x.grantee) end
)
from pg_default_acl as f
left join ours as n on n.oid = f.defaclnamespace
cross join lateral aclexplode(f.defaclacl) as x
where n.oid is not null or pg_get_userbyid(f.defaclrole) in ('aximo_owner', 'aximo_gatekeeper', 'aximo_recorder', 'aximo_sequencer', 'aximo_meter')
union all
select format('statistics kept of column %s.%s.%s', o.nspname, c.relname, a.attname)
from ours as o
inner join classes as c on c.relnamespace = o.oid and c.relkind in ('r', 'm')
inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where coalesce(a.attstattarget, -1) <> 0
    and exists (select from pg_attribute as k where k.attrelid = c.oid and k.attname = 'customer_id' and not k.attisdropped)
union all
select format('inheritance: %s of %s', i.inhrelid::regclass, i.inhparent::regclass)
from pg_inherits as i
inner join classes as c on c.oid = i.inhparent
inner join ours as o on o.oid = c.relnamespace
order by 1
