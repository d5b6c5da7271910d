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
