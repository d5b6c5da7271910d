-- Works the metrics of runs out once more, from the log alone and without the sums. verify_metrics compares with this.
create function aximo.recompute_run_metrics(up_to bigint)
returns table (view_name text, key jsonb, measures jsonb)
language plpgsql stable security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
set extra_float_digits = 1
set jit = off
set enable_nestloop = off
as $$
#variable_conflict use_column
begin
    return query
    with
    -- Materialized before the join: otherwise every run is looked at for each entry.
    entry as materialized (
        select l.number, l.run_id, l.ts, l.kind
        from helix.log_entries as l
        where l.number <= up_to
    ),
    run as materialized (
        select r.run_id, r.tool_name
        from helix.runs as r
    ),
    said as materialized (
        select
            l.number, l.run_id, l.ts, r.tool_name, (l.ts at time zone 'UTC')::date as day, k.state,
            k.state in ('succeeded', 'failed', 'blocked') as is_end
        from entry as l
        inner join helix.event_kinds as k on k.kind = l.kind
        inner join run as r on r.run_id = l.run_id
        where k.state is not null
            and k.version = (select max(v.version) from helix.event_kinds as v where v.kind = k.kind)
    ),
    -- The number of the last earlier event that began or ended the run, and of the last that queued, began or ended it.
    told as materialized (
        select
            s.*,
            max(s.number) filter (where s.state in ('started', 'running') or s.is_end) over earlier as begun_number,
            max(s.number) filter (where s.state in ('queued', 'running') or s.is_end) over earlier as queued_number
        from said as s
        window earlier as (partition by s.run_id order by s.number rows between unbounded preceding and 1 preceding)
    ),
    timed as materialized (
        select
            t.tool_name, t.day, t.state,
            case when t.state = 'running' and q.state = 'queued' then extract(epoch from t.ts - q.ts) * 1000 end as wait_ms,
            case when t.is_end and b.state in ('started', 'running') then extract(epoch from t.ts - b.ts) * 1000 end as run_ms
        from told as t
        left join said as b on b.number = t.begun_number
        left join said as q on q.number = t.queued_number
    )
    select
        'tool_runs', jsonb_build_object('tool_name', t.tool_name, 'day', t.day),
        jsonb_build_object(
            'started', count(*) filter (where t.state = 'started'),
            'queued', count(*) filter (where t.state = 'queued'),
            'succeeded', count(*) filter (where t.state = 'succeeded'),
            'failed', count(*) filter (where t.state = 'failed'),
            'blocked', count(*) filter (where t.state = 'blocked'),
            'failure_rate',
            count(*) filter (where t.state in ('failed', 'blocked'))::double precision
            / nullif(count(*) filter (where t.state in ('succeeded', 'failed', 'blocked')), 0),
            'queue_time_count', count(t.wait_ms),
            'queue_time_sum_ms', coalesce(sum(t.wait_ms), 0),
            'queue_time_avg_ms', avg(t.wait_ms),
            'run_time_count', count(t.run_ms),
            'run_time_sum_ms', coalesce(sum(t.run_ms), 0),
            'run_time_avg_ms', avg(t.run_ms)
        )
    from timed as t
    group by t.tool_name, t.day
    union all
    select
        'tool_runs_by_status',
        jsonb_build_object('tool_name', t.tool_name, 'status', t.state, 'day', t.day),
        jsonb_build_object(
            'runs', count(*),
            'queue_time_count', count(t.wait_ms),
            'queue_time_sum_ms', coalesce(sum(t.wait_ms), 0),
            'queue_time_avg_ms', avg(t.wait_ms),
            'run_time_count', count(t.run_ms),
            'run_time_sum_ms', coalesce(sum(t.run_ms), 0),
            'run_time_avg_ms', avg(t.run_ms)
        )
    from timed as t
    group by t.tool_name, t.state, t.day;
end;
$$;
comment on function aximo.recompute_run_metrics(bigint) is 'What aximo_metrics.tool_runs and tool_runs_by_status should hold for the session''s customer, from its run events up to that number of their log. Reads everything.';
