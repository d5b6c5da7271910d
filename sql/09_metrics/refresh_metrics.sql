-- Makes the materialized views anew, for all customers. The hot ones hold what changed since the cold ones were made: a refresh costs what
-- is new. When that has become much, the cold ones are made too, and the hot ones begin again.
create function aximo.refresh_metrics(everything boolean default null)
returns table (view_name text, refreshed_at timestamptz, took interval)
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
-- With it on, PostgreSQL itself fails to refresh concurrently.
set quote_all_identifiers = off
-- Without statistics the planner fears the worst, and compiles for half a second what runs for a few milliseconds.
set jit = off
as $$
#variable_conflict use_column
declare
    changes_at_most constant integer := 20000;
    begun constant timestamptz := clock_timestamp();
    cold constant text[] := array['measures_cold', 'actions_cold', 'runs_cold'];
    hot constant text[] := array[
        'measures_hot', 'actions_hot', 'runs_hot', 'deployment_measures', 'customer_measures', 'run_heads'
    ];
    state record;
    log record;
    view_names text[];
    is_populated boolean;
    step timestamptz;
begin
    perform aximo_private.numbers_for_all();
    -- First of all: an advance by a transaction that has written before can't tell how old holes are. An isolation level with one
    -- snapshot sees nothing of what it would number; there the caller numbers before.
    if current_setting('transaction_isolation') = 'read committed' then
        loop
            exit when (select a.is_behind from aximo.advance_log() as a) is not true;
        end loop;
    end if;
    select s.cold_advance, s.cold_at, s.cold_took into state
    from aximo_private.metric_state as s
    for update skip locked;
    if not found then
        -- Another session is at it.
        return;
    end if;
    -- All views of one moment.
    if current_setting('transaction_isolation') = 'read committed' then
        perform aximo_private.hold_log();
    end if;
    select l.advances, l.recounted_in into strict log from aximo_private.log_state as l;

    view_names := hot;
    if
        refresh_metrics.everything
        or log.recounted_in > state.cold_advance
        or exists (
            select
            from pg_catalog.pg_class as c
            where c.relnamespace = 'aximo_private'::regnamespace and c.relname::text = any(cold) and not c.relispopulated
        )
        or refresh_metrics.everything is null
        -- Who changes much, to make it all anew each time, has others wait for a twentieth of the time at most.
        and coalesce(begun > state.cold_at + 20 * state.cold_took, true)
        and (
            select count(*) > changes_at_most
            from (
                select from only aximo_private.rollups as r where r.changed_in > state.cold_advance
                union all
                select from only aximo_private.action_rollups as r where r.changed_in > state.cold_advance
                union all
                select from only aximo_private.run_rollups as r where r.changed_in > state.cold_advance
                limit changes_at_most + 1
            ) as r
        )
    then
        view_names := cold || hot;
        update aximo_private.metric_state as s set cold_advance = log.advances where s.is_the_row;
    end if;
    foreach view_name in array view_names loop
        step := clock_timestamp();
        select c.relispopulated into strict is_populated
        from pg_catalog.pg_class as c
        where c.relnamespace = 'aximo_private'::regnamespace and c.relname = view_name;
        execute format(
            'refresh materialized view %s aximo_private.%I', case when is_populated then 'concurrently' else '' end, view_name
        );
        refreshed_at := clock_timestamp();
        took := refreshed_at - step;
        return next;
        if view_name = cold[cardinality(cold)] then
            update aximo_private.metric_state as s
            set cold_at = clock_timestamp(), cold_took = clock_timestamp() - begun
            where s.is_the_row;
        end if;
    end loop;
    update aximo_private.metric_state as s
    set refreshed_at = clock_timestamp(), took = clock_timestamp() - begun
    where s.is_the_row;
end;
$$;
alter function aximo.refresh_metrics(boolean) owner to aximo_meter;
comment on function aximo.refresh_metrics(boolean) is
'Numbers what is new and makes the metrics of all customers anew, all of one moment. Costs what changed since; everything = true makes all of it anew. Returns what was made and how long it took, nothing if another session is at it. In an isolation level above read committed it numbers nothing, and nobody''s numbering waits for it. ZXCUS: a login of certain customers only.';
