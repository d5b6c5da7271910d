-- Makes the materialized views anew, for all customers. The hot ones hold what changed since the cold ones were made: a refresh costs what
-- is new. When that has become much, the cold ones are made too, and the hot ones begin again.
create function aximo.refresh_metrics(everything boolean default null)
returns table (view_name text, refreshed_at timestamptz, took interval)
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
-- Without statistics the planner fears the worst, and compiles for half a second what runs for a few milliseconds.
set jit = off
as $$
#variable_conflict use_column
declare
    changes_at_most constant integer := 20000;
    begun constant timestamptz := clock_timestamp();
    cold constant text[] := array['measures_cold', 'actions_cold'];
    hot constant text[] := array['measures_hot', 'actions_hot', 'deployment_measures', 'customer_measures'];
    state record;
    view_names text[];
    step timestamptz;
begin
    perform aximo_private.numbers_for_all();
    select s.cold_advance, l.advances into state
    from aximo_private.metric_state as s
    cross join aximo_private.log_state as l
    for update of s skip locked;
    if not found then
        -- Another session is at it.
        return;
    end if;
    -- All views of one snapshot. In an isolation level that has one, the caller numbers events before.
    if current_setting('transaction_isolation') = 'read committed' then
        loop
            exit when (select a.is_behind from aximo.advance_log() as a) is not true;
        end loop;
        perform aximo_private.hold_log();
    end if;
    select l.advances into strict state.advances from aximo_private.log_state as l;

    view_names := hot;
    if coalesce(
        refresh_metrics.everything,
        (
            select count(*) > changes_at_most
            from (
                select from only aximo_private.rollups as r where r.changed_in > state.cold_advance
                union all
                select from only aximo_private.action_rollups as r where r.changed_in > state.cold_advance
                limit changes_at_most + 1
            ) as r
        )
    ) then
        view_names := cold || hot;
        update aximo_private.metric_state as s set cold_advance = state.advances where s.is_the_row;
    end if;
    foreach view_name in array view_names loop
        step := clock_timestamp();
        execute format('refresh materialized view concurrently aximo_private.%I', view_name);
        refreshed_at := clock_timestamp();
        took := refreshed_at - step;
        return next;
    end loop;
    update aximo_private.metric_state as s
    set refreshed_at = clock_timestamp(), took = clock_timestamp() - begun
    where s.is_the_row;
end;
$$;
alter function aximo.refresh_metrics(boolean) owner to aximo_meter;
comment on function aximo.refresh_metrics(boolean) is
'Numbers what is new and makes the metrics of all customers anew, all of one moment. Costs what changed since; everything = true makes all of it anew. Returns what was made and how long it took, nothing if another session is at it. In an isolation level above read committed it numbers nothing, and nobody''s numbering waits for it. ZXCUS: a login of certain customers only.';
