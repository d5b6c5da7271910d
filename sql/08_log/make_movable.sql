create function aximo_private.make_movable(target regclass) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format(
        'create trigger take_arriving before insert on %s for each row execute function aximo_private.take_arriving(%s)',
        target,
        (
            select string_agg(quote_literal(a.attname), ', ' order by a.attnum)
            from pg_catalog.pg_index as i
            inner join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
            where i.indrelid = target and i.indisprimary
        )
    );
    execute format('alter table %s enable replica trigger take_arriving', target);
    execute format('comment on trigger take_arriving on %s is %L', target, 'Takes the rows of a customer that arrives from another node.');
end;
$$;
comment on function aximo_private.make_movable(regclass) is 'Lets the rows of a table move with their customer to another node. Used by migrations.';
