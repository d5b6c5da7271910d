-- Refreshes the materialized views of what changed, and keeps the rows that they worked out; readers see those. Only this function reads
-- the materialized views, so the refresh need not run CONCURRENTLY, which costs three times as much.
create function aximo.refresh_metrics(everything boolean default null)
returns table (view_name text, refreshed_at timestamptz, took interval)
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    begun constant timestamptz := clock_timestamp();
    state record;
    recent record;
    from_nothing boolean;
    step timestamptz;
begin
    perform aximo_private.numbers_for_all();
    -- Numbers and counts first: in a transaction that has written before, numbering can't tell how old holes are. With an isolation level
    -- of one snapshot the refresh would not see what was numbered and counted; there the caller does both before.
    if current_setting('transaction_isolation') = 'read committed' then
        perform from aximo.advance_log();
        perform from aximo.count_metrics();
    end if;
    -- Sums change under this lock only, so all kinds are of one moment.
    select s.steps, s.published_in, s.recounted_in into state
    from aximo_private.metric_state as s
    for update skip locked;
    if not found then
        -- Another session is refreshing or counting.
        return;
    end if;
    from_nothing := refresh_metrics.everything is true or state.recounted_in > state.published_in;
    if from_nothing then
        update aximo_private.metric_state as s set published_in = 0 where s.is_the_row;
    end if;
    for recent in
        select
            c.relname::text as name, regexp_replace(c.relname, '_recent$', '_kept') as kept,
            (
                select string_agg(format('l.%1$I = r.%1$I', a.attname), ' and ')
                from pg_catalog.pg_index as i
                inner join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
                where i.indrelid = format('aximo_private.%I', regexp_replace(c.relname, '_recent$', '_kept'))::regclass and i.indisprimary
            ) as of_key
        from pg_catalog.pg_class as c
        where c.relnamespace = 'aximo_private'::regnamespace and c.relkind = 'm'
        order by c.relname
    loop
        step := clock_timestamp();
        view_name := recent.name;
        execute format('refresh materialized view aximo_private.%I', recent.name);
        if from_nothing then
            execute format('delete from only aximo_private.%I', recent.kept);
        else
            -- One look-up for each row: without statistics the planner may read everything for a join.
            execute format(
                'delete from only aximo_private.%1$I as k where k.ctid = any(array('
                'select p.place from aximo_private.%2$I as r cross join lateral ('
                'select l.ctid as place from only aximo_private.%1$I as l where %3$s offset 0) as p))',
                recent.kept, recent.name, recent.of_key
            );
        end if;
        execute format('insert into aximo_private.%I select r.* from aximo_private.%I as r', recent.kept, recent.name);
        refreshed_at := clock_timestamp();
        took := refreshed_at - step;
        return next;
    end loop;
    update aximo_private.metric_state as s
    set published_in = state.steps, refreshed_at = clock_timestamp(), took = clock_timestamp() - begun
    where s.is_the_row;
end;
$$;
alter function aximo.refresh_metrics(boolean) owner to aximo_meter;
comment on function aximo.refresh_metrics(boolean) is 'Shows the metrics of all customers as they are counted, all of one moment. Costs what changed since the last time; everything = true makes all of it anew. Numbers and counts one step first, unless the isolation level is above read committed; aximo.keep_metrics goes on until nothing is left. Returns what was made and how long it took, nothing if another session counts or refreshes. ZXCUS: a login without all customers.';
