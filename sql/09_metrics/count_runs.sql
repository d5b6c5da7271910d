-- Counts run events in the order of the log: an event that ends a run ends the latest beginning before it.
create function aximo_private.count_runs(growth aximo_private.log_growth[], step bigint) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    with
    entry as materialized (
        select g.customer_id, n.number, e.run_id, e.ts, k.state
        from unnest(growth) as g
        cross join lateral (
            select l.number, l.run_event_id
            from only aximo_private.log_entries as l
            where l.customer_id = g.customer_id and l.log = 'run_events' and l.number > g.old_size and l.number <= g.new_size
            offset 0
        ) as n
        cross join lateral (
            select s.run_id, s.ts, s.kind
            from only helix.run_events as s
            where s.customer_id = g.customer_id and s.event_id = n.run_event_id
            offset 0
        ) as e
        cross join lateral (
            select v.state
            from only helix.event_kinds as v
            where v.kind = e.kind
            order by v.version desc
            limit 1
        ) as k
        where k.state is not null
    ),
    -- Entry 0 is where the run stood before. Each entry gets the latest earlier one that began or ended the run, and the latest that
    -- queued, began or ended it. With window functions, because without statistics the planner may turn a join into one pass for each
    -- entry.
    told as materialized (
        select
            s.*,
            (max(array[s.number, s.begun_us]) filter (where s.state is distinct from 'queued') over earlier)[2] as begun_before,
            (max(array[s.number, s.queued_us]) filter (where s.state is distinct from 'started') over earlier)[2] as queued_before,
            (max(array[s.number, s.begun_us]) filter (where s.state is distinct from 'queued') over life)[2] as begun_at_last,
            (max(array[s.number, s.queued_us]) filter (where s.state is distinct from 'started') over life)[2] as queued_at_last
        from (
            select
                e.customer_id, e.run_id, e.number::numeric as number, e.ts, e.state, e.us,
                case when e.state in ('started', 'running') then e.us end as begun_us,
                case when e.state = 'queued' then e.us end as queued_us
            from (select t.*, extract(epoch from t.ts) * 1000000 as us from entry as t) as e
            union all
            select m.customer_id, m.run_id, 0, null, null, null, p.begun_us, p.queued_us
            from (select distinct e.customer_id, e.run_id from entry as e) as m
            cross join lateral (
                select r.begun_us, r.queued_us
                from aximo_private.run_states as r
                where r.customer_id = m.customer_id and r.run_id = m.run_id
                offset 0
            ) as p
        ) as s
        window
            life as (partition by s.customer_id, s.run_id),
            earlier as (partition by s.customer_id, s.run_id order by s.number rows between unbounded preceding and 1 preceding)
    ),
    state_now as (
        insert into aximo_private.run_states as r (customer_id, run_id, begun_us, queued_us)
        select distinct s.customer_id, s.run_id, s.begun_at_last, s.queued_at_last
        from told as s
        on conflict (customer_id, run_id) do update
        set begun_us = excluded.begun_us, queued_us = excluded.queued_us
    ),
    timed as (
        select
            s.customer_id, s.run_id, s.number::bigint as number, s.state, s.ts,
            case when s.state = 'running' then s.us - s.queued_before end as wait_us,
            case when s.state in ('succeeded', 'failed', 'blocked') then s.us - s.begun_before end as run_us
        from told as s
        where s.state is not null
    ),
    added as materialized (
        select
            t.customer_id, m.tool_name, t.state, date_trunc('day', t.ts, 'UTC') as day, count(*) as events, count(t.wait_us) as waits,
            coalesce(sum(t.wait_us), 0) as wait_us, count(t.run_us) as runs, coalesce(sum(t.run_us), 0) as run_us
        from timed as t
        cross join lateral (
            select n.tool_name
            from only helix.runs as n
            where n.customer_id = t.customer_id and n.run_id = t.run_id
            offset 0
        ) as m
        group by 1, 2, 3, 4
    ),
    old as materialized (
        delete from only aximo_private.run_sums as s
        using added as a
        where s.customer_id = a.customer_id and s.day = a.day and s.tool_name = a.tool_name and s.state = a.state
        returning s.*
    )
    insert into aximo_private.run_sums
    select
        a.customer_id, a.tool_name, a.state, a.day, a.events + coalesce(o.events, 0), a.waits + coalesce(o.waits, 0),
        a.wait_us + coalesce(o.wait_us, 0), a.runs + coalesce(o.runs, 0), a.run_us + coalesce(o.run_us, 0), count_runs.step
    from added as a
    left join old as o on o.customer_id = a.customer_id and o.day = a.day and o.tool_name = a.tool_name and o.state = a.state;
end;
$$;
alter function aximo_private.count_runs(aximo_private.log_growth[], bigint) owner to aximo_sequencer;
comment on function aximo_private.count_runs(aximo_private.log_growth[], bigint) is 'Adds new entries of the log of run events to aximo_private.run_sums, in the order of the log.';
