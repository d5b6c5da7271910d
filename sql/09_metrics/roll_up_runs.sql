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
    -- What was before is entry 0.
    before as materialized (
        select p.customer_id, p.run_id, p.begun_at, p.queued_at
        from aximo_private.run_states as p
        inner join (select distinct e.customer_id, e.run_id from entry as e) as m
            on m.customer_id = p.customer_id and m.run_id = p.run_id
    ),
    begun as materialized (
        select
            s.*,
            lag(s.begun_at) over life as begun_before,
            lead(s.number) over life is null as is_last
        from (
            select
                e.customer_id, e.run_id, e.number, e.state, e.ts,
                case when e.state in ('started', 'running') then e.ts end as begun_at
            from entry as e
            where e.state <> 'queued'
            union all
            select p.customer_id, p.run_id, 0, null, null, p.begun_at
            from before as p
        ) as s
        window life as (partition by s.customer_id, s.run_id order by s.number)
    ),
    queued as materialized (
        select
            s.*,
            lag(s.queued_at) over life as queued_before,
            lead(s.number) over life is null as is_last
        from (
            select
                e.customer_id, e.run_id, e.number, e.state, e.ts,
                case when e.state = 'queued' then e.ts end as queued_at
            from entry as e
            where e.state <> 'started'
            union all
            select p.customer_id, p.run_id, 0, null, null, p.queued_at
            from before as p
        ) as s
        window life as (partition by s.customer_id, s.run_id order by s.number)
    ),
    state_now as (
        insert into aximo_private.run_states as r (customer_id, run_id, begun_at, queued_at)
        select m.customer_id, m.run_id, b.begun_at, q.queued_at
        from (select distinct e.customer_id, e.run_id from entry as e) as m
        left join begun as b on b.customer_id = m.customer_id and b.run_id = m.run_id and b.is_last
        left join queued as q on q.customer_id = m.customer_id and q.run_id = m.run_id and q.is_last
        on conflict (customer_id, run_id) do update
        set begun_at = excluded.begun_at, queued_at = excluded.queued_at
    ),
    timed as (
        select
            e.customer_id, e.run_id, e.number, e.state, e.ts,
            case
                when e.state = 'running' then (extract(epoch from e.ts) - extract(epoch from q.queued_before)) * 1000000
            end as wait_us,
            case
                when e.state in ('succeeded', 'failed', 'blocked')
                    then (extract(epoch from e.ts) - extract(epoch from b.begun_before)) * 1000000
            end as run_us
        from entry as e
        left join begun as b on b.customer_id = e.customer_id and b.run_id = e.run_id and b.number = e.number
        left join queued as q on q.customer_id = e.customer_id and q.run_id = e.run_id and q.number = e.number
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
