-- Adds what there is to count of events to the rollups. One statement: entries are read once.
create function aximo_private.roll_up(touched aximo_private.log_growth[], advance bigint) returns void
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
            (select h.number from aximo_private.rollup_heads as h where h.customer_id = t.customer_id and h.log = 'events'), 0
        )
    ),
    fact as materialized (
        select f.*
        from aximo_private.facts_of(
            array(select row(g.customer_id, g.old_size, g.new_size)::aximo_private.log_growth from growth as g)
        ) as f
    ),
    hourly as materialized (
        select
            f.customer_id, f.deployment_id, f.skill_id, f.skill_version, f.hour,
            count(f.event_type) as events,
            count(*) filter (where f.event_type = 'execution_triggered') as execution_triggered,
            count(*) filter (where f.event_type = 'execution_processing') as execution_processing,
            count(*) filter (where f.event_type = 'execution_completed') as execution_completed,
            count(*) filter (where f.event_type = 'execution_failed') as execution_failed,
            count(*) filter (where f.event_type = 'action_prepared') as action_prepared,
            count(*) filter (where f.event_type = 'action_dispatched') as action_dispatched,
            count(*) filter (where f.event_type = 'action_failed') as action_failed,
            count(*) filter (where f.event_type = 'approval_requested') as approval_requested,
            count(*) filter (where f.event_type = 'approval_granted') as approval_granted,
            count(*) filter (where f.event_type = 'approval_rejected') as approval_rejected,
            count(*) filter (where f.event_type = 'approval_timeout') as approval_timeout,
            count(*) filter (where f.event_type = 'sla_breached') as sla_breached,
            count(*) filter (where f.event_type = 'escalation_triggered') as escalation_triggered,
            count(*) filter (where f.event_type = 'pressure_invoked') as pressure_invoked,
            count(*) filter (where f.event_type = 'deployment_suspended') as deployment_suspended,
            count(*) filter (where f.event_type = 'deployment_created') as deployment_created,
            count(*) filter (where f.event_type = 'deployment_configured') as deployment_configured,
            count(*) filter (where f.event_type = 'deployment_activated') as deployment_activated,
            count(*) filter (where f.event_type = 'deployment_updated') as deployment_updated,
            count(*) filter (where f.event_type = 'deployment_terminated') as deployment_terminated,
            count(*) filter (where f.event_type = 'version_upgraded') as version_upgraded,
            count(*) filter (where f.event_type = 'version_rolled_back') as version_rolled_back,
            count(*) filter (where f.is_lead) as leads,
            count(*) filter (where f.is_emergency) as emergency_leads,
            count(*) filter (where f.is_opened) as opened,
            count(*) filter (where f.is_closed) as closed,
            count(*) filter (where f.is_answered) as answered,
            count(f.execution_us) as executions,
            coalesce(sum(f.execution_us), 0) as execution_us,
            count(f.latency_ms) as latencies,
            coalesce(sum(f.latency_ms), 0) as latency_ms,
            count(f.delay_us) as delays,
            coalesce(sum(f.delay_us), 0) as delay_us,
            max(f.number) as number
        from fact as f
        group by f.customer_id, f.deployment_id, f.skill_id, f.skill_version, f.hour
    ),
    counted as (
        insert into aximo_private.rollups as r (
            customer_id, series, grain, bucket, deployment_id, skill_id, skill_version, events,
            execution_triggered,
            execution_processing,
            execution_completed,
            execution_failed,
            action_prepared,
            action_dispatched,
            action_failed,
            approval_requested,
            approval_granted,
            approval_rejected,
            approval_timeout,
            sla_breached,
            escalation_triggered,
            pressure_invoked,
            deployment_suspended,
            deployment_created,
            deployment_configured,
            deployment_activated,
            deployment_updated,
            deployment_terminated,
            version_upgraded,
            version_rolled_back,
            leads, emergency_leads, opened, closed, answered, executions, execution_us, latencies, latency_ms, delays, delay_us,
            number, changed_in
        )
        select
            h.customer_id, aximo_private.series_key(array[h.deployment_id, h.skill_id, h.skill_version]), b.grain, b.bucket,
            h.deployment_id, h.skill_id, h.skill_version, sum(h.events),
            sum(h.execution_triggered),
            sum(h.execution_processing),
            sum(h.execution_completed),
            sum(h.execution_failed),
            sum(h.action_prepared),
            sum(h.action_dispatched),
            sum(h.action_failed),
            sum(h.approval_requested),
            sum(h.approval_granted),
            sum(h.approval_rejected),
            sum(h.approval_timeout),
            sum(h.sla_breached),
            sum(h.escalation_triggered),
            sum(h.pressure_invoked),
            sum(h.deployment_suspended),
            sum(h.deployment_created),
            sum(h.deployment_configured),
            sum(h.deployment_activated),
            sum(h.deployment_updated),
            sum(h.deployment_terminated),
            sum(h.version_upgraded),
            sum(h.version_rolled_back),
            sum(h.leads),
            sum(h.emergency_leads),
            sum(h.opened),
            sum(h.closed),
            sum(h.answered),
            sum(h.executions),
            sum(h.execution_us),
            sum(h.latencies),
            sum(h.latency_ms),
            sum(h.delays),
            sum(h.delay_us),
            max(h.number), advance
        from hourly as h
        cross join lateral (
            values
            ('hour', h.hour),
            ('day', date_trunc('day', h.hour, 'UTC')),
            ('month', date_trunc('month', h.hour, 'UTC')),
            ('total', '-infinity')
        ) as b (grain, bucket)
        group by h.customer_id, h.deployment_id, h.skill_id, h.skill_version, b.grain, b.bucket
        on conflict (customer_id, series, grain, bucket) do update
        set
            events = r.events + excluded.events,
            execution_triggered = r.execution_triggered + excluded.execution_triggered,
            execution_processing = r.execution_processing + excluded.execution_processing,
            execution_completed = r.execution_completed + excluded.execution_completed,
            execution_failed = r.execution_failed + excluded.execution_failed,
            action_prepared = r.action_prepared + excluded.action_prepared,
            action_dispatched = r.action_dispatched + excluded.action_dispatched,
            action_failed = r.action_failed + excluded.action_failed,
            approval_requested = r.approval_requested + excluded.approval_requested,
            approval_granted = r.approval_granted + excluded.approval_granted,
            approval_rejected = r.approval_rejected + excluded.approval_rejected,
            approval_timeout = r.approval_timeout + excluded.approval_timeout,
            sla_breached = r.sla_breached + excluded.sla_breached,
            escalation_triggered = r.escalation_triggered + excluded.escalation_triggered,
            pressure_invoked = r.pressure_invoked + excluded.pressure_invoked,
            deployment_suspended = r.deployment_suspended + excluded.deployment_suspended,
            deployment_created = r.deployment_created + excluded.deployment_created,
            deployment_configured = r.deployment_configured + excluded.deployment_configured,
            deployment_activated = r.deployment_activated + excluded.deployment_activated,
            deployment_updated = r.deployment_updated + excluded.deployment_updated,
            deployment_terminated = r.deployment_terminated + excluded.deployment_terminated,
            version_upgraded = r.version_upgraded + excluded.version_upgraded,
            version_rolled_back = r.version_rolled_back + excluded.version_rolled_back,
            leads = r.leads + excluded.leads,
            emergency_leads = r.emergency_leads + excluded.emergency_leads,
            opened = r.opened + excluded.opened,
            closed = r.closed + excluded.closed,
            answered = r.answered + excluded.answered,
            executions = r.executions + excluded.executions,
            execution_us = r.execution_us + excluded.execution_us,
            latencies = r.latencies + excluded.latencies,
            latency_ms = r.latency_ms + excluded.latency_ms,
            delays = r.delays + excluded.delays,
            delay_us = r.delay_us + excluded.delay_us,
            number = greatest(r.number, excluded.number),
            changed_in = excluded.changed_in
    ),
    distributed as (
        insert into aximo_private.histograms as r (customer_id, series, grain, bucket, bin, executions, latencies)
        select
            h.customer_id, aximo_private.series_key(array[h.deployment_id, h.skill_id, h.skill_version]), b.grain, b.bucket, h.bin,
            sum(h.executions), sum(h.latencies)
        from (
            select
                f.customer_id, f.deployment_id, f.skill_id, f.skill_version, f.hour, m.bin, count(*) filter (where m.is_execution) as executions,
                count(*) filter (where not m.is_execution) as latencies
            from fact as f
            cross join lateral (
                select aximo_private.histogram_bin(f.execution_us) as bin, true as is_execution
                where f.execution_us is not null
                union all
                select aximo_private.histogram_bin(f.latency_ms * 1000::double precision), false
                where f.latency_ms is not null
            ) as m
            group by f.customer_id, f.deployment_id, f.skill_id, f.skill_version, f.hour, m.bin
        ) as h
        cross join lateral (
            values
            ('hour', h.hour),
            ('day', date_trunc('day', h.hour, 'UTC')),
            ('month', date_trunc('month', h.hour, 'UTC')),
            ('total', '-infinity')
        ) as b (grain, bucket)
        group by h.customer_id, h.deployment_id, h.skill_id, h.skill_version, b.grain, b.bucket, h.bin
        on conflict (customer_id, series, grain, bucket, bin) do update
        set
            executions = r.executions + excluded.executions,
            latencies = r.latencies + excluded.latencies
    ),
    acted as (
        insert into aximo_private.action_rollups as r (
            customer_id, series, grain, bucket, deployment_id, skill_id, skill_version, action_type, risk_level, prepared, dispatched,
            failed, number, changed_in
        )
        select
            h.customer_id,
            aximo_private.series_key(array[h.deployment_id, h.skill_id, h.skill_version, h.action_type, h.risk_level]),
            b.grain, b.bucket, h.deployment_id, h.skill_id, h.skill_version, h.action_type, h.risk_level, sum(h.prepared),
            sum(h.dispatched), sum(h.failed), max(h.number), advance
        from (
            select
                e.customer_id, e.deployment_id, e.skill_id, e.skill_version, e.hour, e.action_type, e.risk_level,
                count(*) filter (where e.event_type = 'action_prepared') as prepared,
                count(*) filter (where e.event_type = 'action_dispatched') as dispatched,
                count(*) filter (where e.event_type = 'action_failed') as failed,
                max(e.number) as number
            from fact as e
            where e.event_type in ('action_prepared', 'action_dispatched', 'action_failed')
            group by 1, 2, 3, 4, 5, 6, 7
        ) as h
        cross join lateral (
            values
            ('hour', h.hour),
            ('day', date_trunc('day', h.hour, 'UTC')),
            ('month', date_trunc('month', h.hour, 'UTC'))
        ) as b (grain, bucket)
        group by h.customer_id, h.deployment_id, h.skill_id, h.skill_version, h.action_type, h.risk_level, b.grain, b.bucket
        on conflict (customer_id, series, grain, bucket) do update
        set
            prepared = r.prepared + excluded.prepared,
            dispatched = r.dispatched + excluded.dispatched,
            failed = r.failed + excluded.failed,
            number = greatest(r.number, excluded.number),
            changed_in = excluded.changed_in
    ),
    -- Of each deployment the latest event that says its state, its version, and that it ran.
    latest as (
        select distinct on (e.customer_id, e.deployment_id, w.what)
            e.customer_id, e.deployment_id, w.what, e.event_type, e.skill_id, e.skill_version, e.happened_at, e.number
        from fact as e
        cross join lateral (
            select 'executed' as what where e.event_type = 'execution_triggered'
            union all
            select 'status'
            where e.event_type in (
                'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_suspended', 'deployment_terminated'
            )
            union all
            select 'declared'
            where e.event_type in (
                'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_updated', 'deployment_terminated',
                'version_upgraded', 'version_rolled_back'
            )
        ) as w
        order by e.customer_id, e.deployment_id, w.what, e.happened_at desc, e.number desc
    ),
    deployed as (
        insert into aximo_private.deployment_rollups as r (
            customer_id, deployment_id, first_event_at, last_event_at, status_type, status_at, status_number, declared_skill,
            declared_version, declared_at, declared_number, executed_skill, executed_version, executed_at, executed_number
        )
        select
            d.customer_id, d.deployment_id, d.first_event_at, d.last_event_at, s.event_type, s.happened_at, s.number, v.skill_id,
            v.skill_version, v.happened_at, v.number, x.skill_id, x.skill_version, x.happened_at, x.number
        from (
            select
                e.customer_id, e.deployment_id, min(e.happened_at) as first_event_at, max(e.happened_at) as last_event_at
            from fact as e
            where e.event_type is not null
            group by e.customer_id, e.deployment_id
        ) as d
        left join latest as s on s.customer_id = d.customer_id and s.deployment_id = d.deployment_id and s.what = 'status'
        left join latest as v on v.customer_id = d.customer_id and v.deployment_id = d.deployment_id and v.what = 'declared'
        left join latest as x on x.customer_id = d.customer_id and x.deployment_id = d.deployment_id and x.what = 'executed'
        on conflict (customer_id, deployment_id) do update
        set
            first_event_at = least(r.first_event_at, excluded.first_event_at),
            last_event_at = greatest(r.last_event_at, excluded.last_event_at),
            (status_type, status_at, status_number) = (
                select n.type, n.at, n.number
                from (
                    values
                    (r.status_type, r.status_at, r.status_number),
                    (excluded.status_type, excluded.status_at, excluded.status_number)
                ) as n (type, at, number)
                order by n.at desc nulls last, n.number desc
                limit 1
            ),
            (declared_skill, declared_version, declared_at, declared_number) = (
                select n.skill, n.version, n.at, n.number
                from (
                    values
                    (r.declared_skill, r.declared_version, r.declared_at, r.declared_number),
                    (excluded.declared_skill, excluded.declared_version, excluded.declared_at, excluded.declared_number)
                ) as n (skill, version, at, number)
                order by n.at desc nulls last, n.number desc
                limit 1
            ),
            (executed_skill, executed_version, executed_at, executed_number) = (
                select n.skill, n.version, n.at, n.number
                from (
                    values
                    (r.executed_skill, r.executed_version, r.executed_at, r.executed_number),
                    (excluded.executed_skill, excluded.executed_version, excluded.executed_at, excluded.executed_number)
                ) as n (skill, version, at, number)
                order by n.at desc nulls last, n.number desc
                limit 1
            )
    )
    insert into aximo_private.rollup_heads as r (customer_id, log, number)
    select g.customer_id, 'events', g.new_size
    from growth as g
    on conflict (customer_id, log) do update
    set number = excluded.number;
end;
$$;
alter function aximo_private.roll_up(aximo_private.log_growth[], bigint) owner to aximo_sequencer;
comment on function aximo_private.roll_up(aximo_private.log_growth[], bigint) is
'Counts new entries of the log of events. Which of them came first makes no difference.';
