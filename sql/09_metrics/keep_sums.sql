-- Tables of sums hold all customers: the sequencer writes them, and the meter reads them.
create function aximo_private.keep_sums(target regclass) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    perform aximo_private.isolate_by_customer(target);
    execute format('create policy sequencer_keeps_sums on %s for all to aximo_sequencer using (true) with check (true)', target);
    execute format('create policy meter_reads_sums on %s for select to aximo_meter using (true)', target);
    execute format(
        'comment on policy sequencer_keeps_sums on %s is %L', target, 'aximo.count_metrics runs as this role, for all customers at a time.'
    );
    execute format(
        'comment on policy meter_reads_sums on %s is %L', target, 'aximo.refresh_metrics works out what is published, of all customers.'
    );
    execute format(
        'comment on index aximo_private.%I is %L',
        (select c.relname from pg_catalog.pg_class as c where c.oid = target) || '_changed', 'What a refresh has to look at.'
    );
end;
$$;
comment on function aximo_private.keep_sums(regclass) is 'Lets the sequencer keep a table of sums, and the meter read it. Used by migrations.';
