-- Adds what there is to count of run events. In the order of the log: what an event ends is the latest that began before it.
create function aximo_private.roll_up_runs(touched aximo_private.log_growth[], advance bigint) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    with
    -- Who is being counted again is left to that.
    growth as materialized (
        select t.customer_id, t.old_size, t.new_size
        from unnest(touched) as t
        where t.old_size = coalesce(
            (select h.number from aximo_private.rollup_heads as h where h.customer_id = t.customer_id and h.log = 'run_events'), 0
        )
    ),
    entry as materialized (
        select g.customer_id, n.number, e.run_id, e.ts, k.state
        from growth as g
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
    -- With where its run was before as entry 0, and of each entry the latest one before it that begins or ends the run, or queues it,
    -- begins or ends it. In windows: without statistics a join may be planned as one pass for each entry.
    step as materialized (
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
        from step as s
        on conflict (customer_id, run_id) do update
        set begun_us = excluded.begun_us, queued_us = excluded.queued_us
    ),
    timed as (
        select
            s.customer_id, s.run_id, s.number::bigint as number, s.state, s.ts,
            case when s.state = 'running' then s.us - s.queued_before end as wait_us,
            case when s.state in ('succeeded', 'failed', 'blocked') then s.us - s.begun_before end as run_us
        from step as s
        where s.state is not null
    ),
    daily as (
        insert into aximo_private.run_rollups as r (
            customer_id, tool_name, state, day, events, waits, wait_us, runs, run_us, number, changed_in
        )
        select
            t.customer_id,
            m.tool_name,
            t.state,
            date_trunc('day', t.ts, 'UTC'),
            count(*),
            count(t.wait_us),
            coalesce(sum(t.wait_us), 0),
            count(t.run_us),
            coalesce(sum(t.run_us), 0),
            max(t.number),
            advance
        from timed as t
        cross join lateral (
            select n.tool_name
            from only helix.runs as n
            where n.customer_id = t.customer_id and n.run_id = t.run_id
            offset 0
        ) as m
        group by t.customer_id, m.tool_name, t.state, date_trunc('day', t.ts, 'UTC')
        on conflict (customer_id, tool_name, state, day) do update
        set
            events = r.events + excluded.events,
            waits = r.waits + excluded.waits,
            wait_us = r.wait_us + excluded.wait_us,
            runs = r.runs + excluded.runs,
            run_us = r.run_us + excluded.run_us,
            number = greatest(r.number, excluded.number),
            changed_in = excluded.changed_in
    )
    insert into aximo_private.rollup_heads as r (customer_id, log, number)
    select g.customer_id, 'run_events', g.new_size
    from growth as g
    on conflict (customer_id, log) do update
    set number = excluded.number;
end;
$$;
alter function aximo_private.roll_up_runs(aximo_private.log_growth[], bigint) owner to aximo_sequencer;
comment on function aximo_private.roll_up_runs(aximo_private.log_growth[], bigint) is
'Counts new entries of the log of run events, in its order.';
