-- Nothing switches this off: no setting, no trigger depth, no role. The row and the statement triggers of every append-only table call it.
create function aximo_private.refuse_change() returns trigger
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using
        errcode = 'ZXIMM',
        message = 'this table is append-only: nothing in it can be changed or deleted',
        detail = format('%s on %I.%I', lower(tg_op), tg_table_schema, tg_table_name),
        hint = 'Leave what was recorded, and record a further event that says what changed.',
        schema = tg_table_schema,
        table = tg_table_name,
        constraint = 'append_only';
end;
$$;
comment on function aximo_private.refuse_change() is 'Raises ZXIMM. The guard behind every append-only table.';
