-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
-- Adds facts to the sums of all grains. The rows they belong to are taken away, and written anew with both added up.
create function aximo_private.count_activity(facts aximo_private.fact[], step bigint) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    with
    hourly as materialized (
        select
            row_number() over () as hour_id, h.*,
            aximo_private.series_key(array[h.deployment_id, h.skill_id, h.skill_version]) as series
        from (
            select
                f.customer_id, f.deployment_id, f.skill_id, f.skill_version, f.hour,
                count(f.event_type) as events,
                count(*) filter (where f.event_type = 'execution_triggered') as execution_triggered,
                count(*) filter (where f.event_type = 'execution_completed') as execution_completed,
                count(*) filter (where f.event_type = 'execution_failed') as execution_failed,
                count(*) filter (where f.event_type = 'action_dispatched') as action_dispatched,
                count(*) filter (where f.event_type = 'approval_requested') as approval_requested,
                count(*) filter (where f.event_type = 'approval_granted') as approval_granted,
                count(*) filter (where f.event_type = 'approval_rejected') as approval_rejected,
                count(*) filter (where f.event_type = 'approval_timeout') as approval_timeout,
                count(*) filter (where f.event_type = 'sla_breached') as sla_breached,
                count(*) filter (where f.event_type = 'escalation_triggered') as escalation_triggered,
                count(*) filter (where f.event_type = 'pressure_invoked') as pressure_invoked,
                count(*) filter (where f.event_type = 'deployment_suspended') as deployment_suspended,
                count(*) filter (where f.is_lead) as leads,
                count(*) filter (where f.is_lead and f.is_emergency) as emergency_leads,
                count(*) filter (where f.is_opened) as opened,
                count(*) filter (where f.is_closed) as closed,
                count(*) filter (where f.is_answered) as answered,
                count(f.execution_us) as executions,
                coalesce(sum(f.execution_us), 0) as execution_us,
                count(f.latency_ms) as latencies,
                coalesce(sum(f.latency_ms), 0) as latency_ms,
                count(f.delay_us) as delays,
                coalesce(sum(f.delay_us), 0) as delay_us,
                array_agg(aximo_private.histogram_bin(f.execution_us)) filter (where f.execution_us is not null) as execution_bins,
                array_agg(aximo_private.histogram_bin(f.latency_ms * 1000::double precision)) filter (
                    where f.latency_ms is not null
                ) as latency_bins
            from unnest(facts) as f
            group by f.customer_id, f.deployment_id, f.skill_id, f.skill_version, f.hour
        ) as h
    ),
    -- The rows of sums that an hour of a series belongs to.
    part as materialized (
        select dense_rank() over (order by h.customer_id, t.grain, t.bucket, t.series) as id, h.hour_id, h.customer_id, t.*
        from hourly as h
        cross join lateral (
            values
            ('hour', h.hour, h.series, h.deployment_id, h.skill_id, h.skill_version),
            ('day', date_trunc('day', h.hour, 'UTC'), h.series, h.deployment_id, h.skill_id, h.skill_version),
            ('month', date_trunc('month', h.hour, 'UTC'), h.series, h.deployment_id, h.skill_id, h.skill_version),
            ('customer', '-infinity', '00000000-0000-0000-0000-000000000000'::uuid, null, null, null)
        ) as t (grain, bucket, series, deployment_id, skill_id, skill_version)
    ),
    target as materialized (
        select distinct on (p.id)
            p.id, p.customer_id, p.grain, p.bucket, p.series, p.deployment_id, p.skill_id, p.skill_version
        from part as p
        order by p.id
    ),
    old as materialized (
        delete from only aximo_private.activity_sums as s
        using target as t
        where s.customer_id = t.customer_id and s.grain = t.grain and s.bucket = t.bucket and s.series = t.series
        returning t.id, s.*
    ),
    summed as (
        select
            u.id,
            sum(u.events) as events,
            sum(u.execution_triggered) as execution_triggered,
            sum(u.execution_completed) as execution_completed,
            sum(u.execution_failed) as execution_failed,
            sum(u.action_dispatched) as action_dispatched,
            sum(u.approval_requested) as approval_requested,
            sum(u.approval_granted) as approval_granted,
            sum(u.approval_rejected) as approval_rejected,
            sum(u.approval_timeout) as approval_timeout,
            sum(u.sla_breached) as sla_breached,
            sum(u.escalation_triggered) as escalation_triggered,
            sum(u.pressure_invoked) as pressure_invoked,
            sum(u.deployment_suspended) as deployment_suspended,
            sum(u.leads) as leads,
            sum(u.emergency_leads) as emergency_leads,
            sum(u.opened) as opened,
            sum(u.closed) as closed,
            sum(u.answered) as answered,
            sum(u.executions) as executions,
            sum(u.execution_us) as execution_us,
            sum(u.latencies) as latencies,
            sum(u.latency_ms) as latency_ms,
            sum(u.delays) as delays,
            sum(u.delay_us) as delay_us
        from (
            select
                p.id,
                h.events,
                h.execution_triggered,
                h.execution_completed,
                h.execution_failed,
                h.action_dispatched,
                h.approval_requested,
                h.approval_granted,
                h.approval_rejected,
                h.approval_timeout,
                h.sla_breached,
                h.escalation_triggered,
                h.pressure_invoked,
                h.deployment_suspended,
                h.leads,
                h.emergency_leads,
                h.opened,
                h.closed,
                h.answered,
                h.executions,
                h.execution_us,
                h.latencies,
                h.latency_ms,
                h.delays,
                h.delay_us
            from part as p
            inner join hourly as h on h.hour_id = p.hour_id
            union all
            select
                o.id,
                o.events,
                o.execution_triggered,
                o.execution_completed,
                o.execution_failed,
                o.action_dispatched,
                o.approval_requested,
                o.approval_granted,
                o.approval_rejected,
                o.approval_timeout,
                o.sla_breached,
                o.escalation_triggered,
                o.pressure_invoked,
                o.deployment_suspended,
                o.leads,
                o.emergency_leads,
                o.opened,
                o.closed,
                o.answered,
                o.executions,
                o.execution_us,
                o.latencies,
                o.latency_ms,
                o.delays,
                o.delay_us
            from old as o
        ) as u
        group by u.id
    ),
    binned as (
        select b.id, b.bin, sum(b.executions) as executions, sum(b.latencies) as latencies
        from (
            select p.id, v.bin, 1 as executions, 0 as latencies
            from part as p
            inner join hourly as h on h.hour_id = p.hour_id
            cross join unnest(h.execution_bins) as v (bin)
            union all
            select p.id, v.bin, 0, 1
            from part as p
            inner join hourly as h on h.hour_id = p.hour_id
            cross join unnest(h.latency_bins) as v (bin)
            union all
            select o.id, v.bin, v.executions, v.latencies
            from old as o
            cross join unnest(o.bins, o.bin_executions, o.bin_latencies) as v (bin, executions, latencies)
        ) as b
        group by b.id, b.bin
    ),
    shaped as (
        select
            b.id, array_agg(b.bin::smallint order by b.bin) as bins, array_agg(b.executions::bigint order by b.bin) as executions,
            array_agg(b.latencies::bigint order by b.bin) as latencies
        from binned as b
        group by b.id
    )
    insert into aximo_private.activity_sums
    select
        t.customer_id, t.grain, t.bucket, t.series, t.deployment_id, t.skill_id, t.skill_version,
        s.events,
        s.execution_triggered,
        s.execution_completed,
        s.execution_failed,
        s.action_dispatched,
        s.approval_requested,
        s.approval_granted,
        s.approval_rejected,
        s.approval_timeout,
        s.sla_breached,
        s.escalation_triggered,
        s.pressure_invoked,
        s.deployment_suspended,
        s.leads,
        s.emergency_leads,
        s.opened,
        s.closed,
        s.answered,
        s.executions,
        s.execution_us,
        s.latencies,
        s.latency_ms,
        s.delays,
        s.delay_us,
        d.bins, d.executions, d.latencies, count_activity.step
    from target as t
    inner join summed as s on s.id = t.id
    left join shaped as d on d.id = t.id;
end;
$$;
alter function aximo_private.count_activity(aximo_private.fact[], bigint) owner to aximo_sequencer;
comment on function aximo_private.count_activity(aximo_private.fact[], bigint) is
'Adds facts to aximo_private.activity_sums, in all grains. Which of them came first makes no difference.';
