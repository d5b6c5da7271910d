-- What a database says of a contract: names, and JSON as the contract's file has it. Each statement begins with its name.

-- name: roles
select r.rolname
from pg_roles as r
where starts_with(r.rolname, %(prefix)s) and not r.rolcanlogin and r.rolname <> all(%(internal)s)
order by 1;

-- name: schemas
select n.nspname, json_build_object('meaning', obj_description(n.oid, 'pg_namespace'), 'used_by', (
    select coalesce(json_object_agg(r.rolname, array['usage'] order by r.rolname), '{}')
    from pg_roles as r
    where r.rolname = any(%(roles)s) and has_schema_privilege(r.oid, n.oid, 'usage') and r.oid <> n.nspowner
))::text
from pg_namespace as n
where n.nspname = any(%(schemas)s)
order by 1;

-- name: relations
-- Those of the schemas, and the tables that inputs and lines are about.
with named as (
    select c.*, concat_ws('.', n.nspname, c.relname) as name, c.relkind in ('v', 'm') as is_view
    from pg_class as c
    inner join pg_namespace as n on n.oid = c.relnamespace
    where (n.nspname = any(%(schemas)s) or concat_ws('.', n.nspname, c.relname) = any(%(tables)s))
        and c.relkind in ('r', 'p', 'v', 'm', 'f') and concat_ws('.', n.nspname, c.relname) <> all(%(except)s)
    order by n.nspname, c.relname
),

-- What only some columns are granted for is listed with them.
granted as (
    select t.oid, r.rolname, array_agg(p.name || coalesce('(' || g.columns || ')', '') order by p.place) as privileges
    from named as t
    inner join pg_roles as r on r.rolname = any(%(roles)s) and r.oid <> t.relowner
    cross join unnest(array['select', 'insert', 'update', 'delete']) with ordinality as p (name, place)
    cross join lateral has_table_privilege(r.oid, t.oid, p.name) as is_whole
    cross join lateral (
        select string_agg(a.attname, ', ' order by a.attnum) as columns
        from pg_attribute as a
        where a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped and not is_whole
            and case when p.name <> 'delete' then has_column_privilege(r.oid, t.oid, a.attnum, p.name) end
    ) as g
    where is_whole or g.columns is not null
    group by t.oid, r.rolname
),

-- Defaults that draw from a sequence, or call a function that is not PostgreSQL's: not everybody may use them.
drawn as (
    select n.objid as default_oid, n.refobjid, s.oid is not null as is_sequence
    from pg_depend as n
    left join pg_class as s on s.oid = n.refobjid and n.refclassid = 'pg_class'::regclass and s.relkind = 'S'
    where n.classid = 'pg_attrdef'::regclass and (n.refclassid = 'pg_proc'::regclass or s.oid is not null)
)

select t.name, json_build_object(
    'kind', case when t.is_view then 'view' else 'table' end,
    'meaning', obj_description(t.oid, 'pg_class'),
    'used_by', (
        select coalesce(json_object_agg(g.rolname, g.privileges order by g.rolname), '{}') from granted as g where g.oid = t.oid
    ),
    'columns', (
        select coalesce(json_agg(json_build_object(
            'name', a.attname,
            'type', format_type(a.atttypid, a.atttypmod),
            'null', case when not t.is_view then not (a.attnotnull or y.typnotnull) end,
            'default', pg_get_expr(d.adbin, d.adrelid),
            'values', array[]::text[], -- those that the meaning lists
            'meaning', col_description(t.oid, a.attnum),
            'default_for', case when exists (select from drawn as n where n.default_oid = d.oid) then array(
                select g.rolname
                from granted as g
                where g.oid = t.oid and exists (select from unnest(g.privileges) as p where starts_with(p, 'insert'))
                    and not exists (
                        select from drawn as n
                        where n.default_oid = d.oid and not case
                            when n.is_sequence then has_sequence_privilege(g.rolname, n.refobjid, 'usage, update')
                            else has_function_privilege(g.rolname, n.refobjid, 'execute')
                        end
                    )
                order by g.rolname
            ) end
        ) order by a.attnum), '[]')
        from pg_attribute as a
        inner join pg_type as y on y.oid = a.atttypid
        left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
    ),
    -- Whether a check was tried on what was there before (NOT VALID) does not matter to those who write now.
    'checks', (
        select json_object_agg(k.conname, regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', '') order by k.conname)
        from pg_constraint as k
        where k.conrelid = t.oid and k.contype = 'c'
    ),
    'keys', (
        select json_object_agg(k.conname, regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', '') order by k.conname)
        from pg_constraint as k
        where k.conrelid = t.oid and k.contype in ('p', 'u', 'f')
    ),
    'guards', (
        select json_object_agg(g.tgname, json_build_object(
            'does', regexp_replace(pg_get_triggerdef(g.oid), '^.* (BEFORE|AFTER|INSTEAD OF) ', '\1 '),
            'fires', case g.tgenabled
                when 'A' then 'always' when 'O' then 'origin only' when 'R' then 'replica only' else 'disabled'
            end
        ) order by g.tgname)
        from pg_trigger as g
        where g.tgrelid = t.oid and not g.tgisinternal and not t.is_view
    ),
    -- Those that say what a group role sees and may write, and not how the ledger's own functions get there.
    'policies', (
        select json_object_agg(p.policyname, json_build_object(
            'for', lower(p.cmd),
            'to', array(select r from unnest(p.roles) as r where r = any(%(roles)s::text[] || '{public}') order by r),
            'using', p.qual,
            'check', p.with_check,
            'restrictive', case when p.permissive = 'RESTRICTIVE' then true end
        ) order by p.policyname)
        from pg_policies as p
        where concat_ws('.', p.schemaname, p.tablename) = t.name and p.roles::text[] && (%(roles)s::text[] || '{public}')
    ),
    'row_security', case when t.relrowsecurity then case when t.relforcerowsecurity then 'forced' else 'on' end end
)::text
from named as t;

-- name: functions
select concat_ws('.', n.nspname, p.proname), json_build_object(
    'arguments', (
        select coalesce(json_agg(json_build_object(
            'name', p.proargnames[a.place],
            'type', format_type(a.type, null),
            'default', pg_get_function_arg_default(p.oid, a.place::integer),
            'variadic', case when p.proargmodes[a.place] = 'v' then true end
        ) order by a.place), '[]')
        from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality as a (type, place)
        where coalesce(p.proargmodes[a.place], 'i') in ('i', 'b', 'v')
    ),
    'returns', json_build_object('type', format_type(p.prorettype, null), 'set', p.proretset, 'columns', coalesce(
        -- The columns of a row type that is not part of the contract are.
        (
            select json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod)) order by a.attnum)
            from pg_type as t
            inner join pg_namespace as o on o.oid = t.typnamespace
            inner join pg_attribute as a on a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
            where t.oid = p.prorettype and t.typtype = 'c' and o.nspname <> all(%(schemas)s)
        ),
        (
            select json_agg(json_build_object('name', p.proargnames[a.place], 'type', format_type(a.type, null)) order by a.place)
            from unnest(p.proallargtypes) with ordinality as a (type, place)
            where p.proargmodes[a.place] in ('o', 'b', 't')
        )
    )),
    'procedure', case when p.prokind = 'p' then true end,
    'meaning', obj_description(p.oid, 'pg_proc'),
    'used_by', (
        select coalesce(json_object_agg(r.rolname, array['execute'] order by r.rolname), '{}')
        from pg_roles as r
        where r.rolname = any(%(roles)s) and has_function_privilege(r.oid, p.oid, 'execute') and r.oid <> p.proowner
    )
)::text
from pg_proc as p
inner join pg_namespace as n on n.oid = p.pronamespace
where n.nspname = any(%(schemas)s) and concat_ws('.', n.nspname, p.proname) <> all(%(except)s)
order by n.nspname, p.proname, pg_get_function_identity_arguments(p.oid) collate "C";

-- name: types
select concat_ws('.', n.nspname, t.typname), json_build_object(
    'meaning', obj_description(t.oid, 'pg_type'),
    'used_by', (
        select coalesce(json_object_agg(r.rolname, array['usage'] order by r.rolname), '{}')
        from pg_roles as r
        where r.rolname = any(%(roles)s) and has_type_privilege(r.oid, t.oid, 'usage') and r.oid <> t.typowner
    ),
    'values', (select json_agg(e.enumlabel order by e.enumsortorder) from pg_enum as e where e.enumtypid = t.oid),
    'columns', (
        select json_agg(json_build_object(
            'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'meaning', col_description(t.typrelid, a.attnum)
        ) order by a.attnum)
        from pg_attribute as a
        where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
    )
)::text
from pg_type as t
inner join pg_namespace as n on n.oid = t.typnamespace
left join pg_class as c on c.oid = t.typrelid
where n.nspname = any(%(schemas)s) and (t.typtype = 'e' or c.relkind = 'c')
order by n.nspname, t.typname;

-- name: limits
-- Domains, and whether a role may use them itself.
select
    concat_ws('.', n.nspname, t.typname),
    json_build_object('type', format_type(t.typbasetype, t.typtypmod), 'null', not t.typnotnull, 'checks', (
        select coalesce(json_object_agg(
            k.conname, regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', '') order by k.conname
        ), '{}')
        from pg_constraint as k
        where k.contypid = t.oid and k.contype = 'c'
    ), 'meaning', obj_description(t.oid, 'pg_type'))::text,
    n.nspname = any(%(schemas)s) and exists (
        select from pg_roles as r
        where r.rolname = any(%(roles)s) and has_type_privilege(r.oid, t.oid, 'usage') and r.oid <> t.typowner
    )
from pg_type as t
inner join pg_namespace as n on n.oid = t.typnamespace
where n.nspname = any(%(schemas)s::text[] || %(support)s::text[]) and t.typtype = 'd'
order by n.nspname, t.typname;

-- name: code
select c.name, c.text
from (
    select n.nspname, concat_ws('.', n.nspname, p.proname) as name, coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) as text
    from pg_proc as p
    inner join pg_namespace as n on n.oid = p.pronamespace
    where p.prokind <> 'a'
    union all
    select n.nspname, concat_ws('.', n.nspname, c.relname), pg_get_viewdef(c.oid)
    from pg_class as c
    inner join pg_namespace as n on n.oid = c.relnamespace
    where c.relkind in ('v', 'm')
) as c
where array[c.nspname::text, c.name] && (%(schemas)s::text[] || %(support)s::text[]) and c.name <> all(%(except)s)
order by 1, 2;
