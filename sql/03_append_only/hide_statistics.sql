create function aximo_private.hide_statistics(target regclass) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    execute (
        select format('alter table %s ', target) || string_agg(format('alter %I set statistics 0', a.attname), ', ' order by a.attnum)
        from pg_catalog.pg_attribute as a
        where a.attrelid = target and a.attnum > 0 and not a.attisdropped
    );
end;
$$;
comment on function aximo_private.hide_statistics(regclass) is 'Keeps no statistics of a relation''s columns: they would tell, through row estimates, how much other customers have. Used by migrations.';
