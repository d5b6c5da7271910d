-- Logical replication fires the row trigger. The statement trigger refuses statements that see no row, and TRUNCATE. ENABLE ALWAYS, because
-- session_replication_role = replica switches ordinary triggers off.
create function aximo_private.make_append_only(target regclass) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format(
        'create trigger append_only_row before update or delete on %s'
        ' for each row execute function aximo_private.refuse_change()',
        target
    );
    execute format(
        'create trigger append_only_statement before update or delete or truncate on %s'
        ' for each statement execute function aximo_private.refuse_change()',
        target
    );
    execute format('alter table %s enable always trigger append_only_row', target);
    execute format('alter table %s enable always trigger append_only_statement', target);
    -- Rows never change, so the vacuum that follows inserts can freeze them. Otherwise the whole table is read and written again when
    -- transaction ids run short.
    execute format(
        'alter table %s set (autovacuum_freeze_min_age = 0, autovacuum_vacuum_insert_threshold = 100000,'
        ' autovacuum_vacuum_insert_scale_factor = 0)',
        target
    );
    execute format('comment on trigger append_only_row on %s is %L', target, 'Refuses UPDATE and DELETE of any row (ZXIMM).');
    execute format(
        'comment on trigger append_only_statement on %s is %L',
        target, 'Refuses UPDATE, DELETE and TRUNCATE, rows or no rows (ZXIMM).'
    );
end;
$$;
comment on function aximo_private.make_append_only(regclass) is 'Puts the two triggers on a table that refuse changes, and has autovacuum freeze its rows early. Used by migrations.';
