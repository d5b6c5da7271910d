-- A kind of metrics, by its view <kind>_to_publish, which works a row out of the sums:
-- - <kind>_changed(), the rows of it that changed since the last refresh. A function, because a restore refreshes with row_security off, and
--   would be refused;
-- - <kind>_recent, the materialized view of those: REFRESH works out what is published, and nothing else does;
-- - <kind>_kept, the table of what it has ever worked out, each row as it was last: what is shown.
-- A column says what the one of the sums says that has its name, unless the view says something else.
create function aximo_private.publish_kind(kind text, sums regclass, key text[]) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    source constant regclass := format('aximo_private.%I', kind || '_to_publish');
    changed constant text := format('aximo_private.%I()', kind || '_changed');
    recent constant text := format('aximo_private.%I', kind || '_recent');
    kept constant text := format('aximo_private.%I', kind || '_kept');
    column_names constant text := (
        select string_agg(format('r.%I', a.attname), ', ' order by a.attnum)
        from pg_catalog.pg_attribute as a
        where a.attrelid = source and a.attnum > 0 and a.attname <> 'changed_in'
    );
begin
    -- Uses the index: without statistics the planner expects a third of all rows to have changed.
    execute format(
        'create function %s returns setof %s language plpgsql stable security invoker parallel unsafe'
        ' set search_path = pg_catalog, pg_temp set row_security = on set jit = off set enable_seqscan = off as %L',
        changed, source, format(
            'begin return query select r.* from %s as r'
            ' where r.changed_in > (select s.published_in from aximo_private.metric_state as s); end;',
            source
        )
    );
    execute format('alter function %s owner to aximo_meter', changed);
    execute format('comment on function %s is %L', changed, 'What of ' || source || ' has changed since the last refresh.');

    execute format('create materialized view %s as select %s from %s as r with no data', recent, column_names, changed);
    execute format('comment on materialized view %s is %L', recent, 'What the last refresh worked out of ' || source || '.');
    execute format('create table %s as select * from %s with no data', kept, recent);
    execute format(
        'alter table %s add constraint %I primary key (%s)', kept, kind || '_kept_pkey',
        (select string_agg(quote_ident(k.name), ', ' order by k.place) from unnest(key) with ordinality as k (name, place))
    );
    -- A refresh deletes the rows that changed and inserts them again, so the table is vacuumed early.
    execute format('alter table %s set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1)', kept);
    execute format('comment on table %s is %L', kept, 'What refreshes have worked out of ' || source || ', each row as it was last.');
    perform aximo_private.take_comments(sums, source);
    perform aximo_private.take_comments(source, recent::regclass);
    perform aximo_private.take_comments(source, kept::regclass);
    perform aximo_private.hide_statistics(recent::regclass);
    execute format('alter materialized view %s owner to aximo_meter', recent);
    execute format('alter table %s owner to aximo_owner', kept);
    perform aximo_private.isolate_by_customer(kept::regclass, 'owner_reads_own');
    execute format('create policy meter_keeps_published on %s for all to aximo_meter using (true) with check (true)', kept);
    execute format('comment on policy meter_keeps_published on %s is %L', kept, 'aximo.refresh_metrics runs as this role.');
    execute format('grant select, insert, delete on %s to aximo_meter', kept);
    execute format('revoke insert, update, delete, truncate on %s from aximo_owner', kept);
end;
$$;
comment on function aximo_private.publish_kind(text, regclass, text[]) is 'Makes of a view <kind>_to_publish, of a table of sums, what a refresh works out and keeps. Used by migrations.';
