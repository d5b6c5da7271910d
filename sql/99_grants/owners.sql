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
