-- Works the metrics out once more, from the events alone and without the sums: starts and ends are searched for, percentiles are exact.
-- verify_metrics compares with this, and an auditor can read it.
create function aximo.recompute_metrics(up_to bigint)
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
    entry as materialized (
        select
            l.number, l.event_id, l.event_type, l."timestamp", l.deployment_id, l.skill_id, l.skill_version, l.execution_id, l.risk_level,
            l.latency_ms,
            case jsonb_typeof(l.payload -> 'action_type')
                when 'string' then
                    case
                        when octet_length(l.payload ->> 'action_type') > 255 or l.payload ->> 'action_type' ~ '^(sha256|json) '
                            then '(no short text)'
                        else l.payload ->> 'action_type'
                    end
                when 'number' then
                    case
                        when abs((l.payload -> 'action_type')::numeric) < 1e100 and scale((l.payload -> 'action_type')::numeric) < 100
                            then l.payload ->> 'action_type'
                        else '(no short text)'
                    end
                when 'boolean' then l.payload ->> 'action_type'
                when 'object' then '(no short text)'
                when 'array' then '(no short text)'
            end as action_type,
            jsonb_typeof(l.payload -> 'priority') = 'string' and l.payload ->> 'priority' = 'high'
            or jsonb_typeof(l.payload -> 'emergency') = 'boolean' and (l.payload ->> 'emergency')::boolean as is_urgent
        from aximo.log_entries as l
        where l.number <= up_to
    ),
    -- The action types that were leads, by month: by the latest setting that had taken effect, the customer's own before the one for all.
    lead_types as materialized (
        select m.month, h.action_type
        from (
            select distinct date_trunc('month', e."timestamp" at time zone 'UTC') as month
            from entry as e
        ) as m
        cross join lateral (
            select f.scope, f.set_at, f.effective_from
            from (
                select distinct on (s.scope) s.*
                from aximo_metrics.lead_action_types as s
                where coalesce(s.effective_from, '-infinity') < (m.month + interval '1 month') at time zone 'UTC'
                order by s.scope, s.effective_from desc nulls last, s.set_at desc
            ) as f
            where not f.is_withdrawal
            order by f.scope = 'all customers'
            limit 1
        ) as i
        inner join aximo_metrics.lead_action_types as h
            on h.scope = i.scope and h.set_at = i.set_at and h.effective_from is not distinct from i.effective_from
    ),
    -- The first by log number counts.
    began as materialized (
        select distinct on (e.execution_id) e.*
        from entry as e
        where e.event_type = 'execution_triggered'
        order by e.execution_id, e.number
    ),
    ended as materialized (
        select distinct on (e.execution_id) e.*
        from entry as e
        where e.event_type in ('execution_completed', 'execution_failed')
        order by e.execution_id, e.number
    ),
    answered as materialized (
        select a.event_id, s.answers_event_id, a."timestamp" - r."timestamp" as delay
        from aximo.execution_steps as s
        inner join entry as a on a.event_id = s.event_id
        inner join entry as r on r.event_id = s.answers_event_id
        where s.answers_event_id is not null
    ),
    -- Each event, and what becomes known by it.
    known as materialized (
        select
            e.*,
            e.event_type = 'action_dispatched' and e.action_type is not null
            and (date_trunc('month', e."timestamp" at time zone 'UTC'), e.action_type) in (
                select t.month, t.action_type
                from lead_types as t
                where t.action_type is not null
            ) as is_lead,
            case when n.event_id is not null then extract(epoch from e."timestamp" - b."timestamp") * 1000 end as took_ms,
            b2.event_id is not null and n2.event_id is null as is_open, extract(epoch from a.delay) * 1000 as delay_ms,
            e.event_type = 'approval_requested' and q.event_id is null as is_unanswered
        from entry as e
        left join ended as n on n.event_id = e.event_id
        left join began as b on b.execution_id = n.execution_id
        left join began as b2 on b2.event_id = e.event_id
        left join ended as n2 on n2.execution_id = b2.execution_id
        left join answered as a on a.event_id = e.event_id
        left join answered as q on q.answers_event_id = e.event_id
    ),
    placed as materialized (
        select
            k.*, g.suffix, g.ends_at,
            jsonb_build_object(
                'deployment_id', k.deployment_id, 'skill_id', k.skill_id, 'skill_version', k.skill_version, g.grain, g.bucket
            ) as key
        from known as k
        cross join lateral (
            select
                '' as suffix, 'day' as grain, to_jsonb((k."timestamp" at time zone 'UTC')::date) as bucket,
                (((k."timestamp" at time zone 'UTC')::date + 1)::timestamp) at time zone 'UTC' as ends_at
            union all
            select
                '_hourly', 'hour',
                to_jsonb(date_trunc('hour', k."timestamp" at time zone 'UTC') at time zone 'UTC'),
                (date_trunc('hour', k."timestamp" at time zone 'UTC') + interval '1 hour') at time zone 'UTC'
            union all
            select
                '_monthly', 'month',
                to_jsonb(date_trunc('month', k."timestamp" at time zone 'UTC')::date),
                (date_trunc('month', k."timestamp" at time zone 'UTC') + interval '1 month') at time zone 'UTC'
        ) as g
    ),
    grouped as materialized (
        select
            p.suffix, p.key,
            count(*) filter (where p.event_type = 'execution_triggered') as triggered,
            count(*) filter (where p.event_type = 'execution_completed') as completed,
            count(*) filter (where p.event_type = 'execution_failed') as failed,
            count(*) filter (where p.is_open) as open, count(p.took_ms) as times, sum(p.took_ms) as time_ms,
            percentile_disc(array[0.5, 0.95, 0.99]) within group (order by p.took_ms) as time_percentiles,
            count(p.latency_ms) as latencies, sum(p.latency_ms) as latency_ms,
            percentile_disc(array[0.5, 0.95, 0.99]) within group (order by p.latency_ms) as latency_percentiles,
            count(*) filter (where p.event_type = 'action_dispatched') as dispatched,
            count(*) filter (where p.is_lead) as leads,
            count(*) filter (where p.is_lead and p.is_urgent) as emergency_leads,
            count(*) filter (where p.event_type = 'approval_requested') as requested,
            count(*) filter (where p.event_type = 'approval_granted') as granted,
            count(*) filter (where p.event_type = 'approval_rejected') as rejected,
            count(*) filter (where p.event_type = 'approval_timeout') as timed_out,
            count(*) filter (where p.is_unanswered) as unanswered, count(p.delay_ms) as delays, sum(p.delay_ms) as delay_ms,
            count(*) filter (where p.event_type = 'sla_breached') as sla_breaches,
            count(*) filter (where p.event_type = 'escalation_triggered') as escalations,
            count(*) filter (where p.event_type = 'pressure_invoked') as pressure_invocations,
            count(*) filter (where p.event_type = 'deployment_suspended') as suspensions
        from placed as p
        group by p.suffix, p.key
    ),
    -- The rates and averages, before thresholds are looked up.
    rated as (
        select r.suffix, r.key, r.ends_at, v.metric, v.numerator, v.denominator
        from (
            select
                p.suffix, p.key - 'skill_id' - 'skill_version' as key, p.ends_at,
                count(*) filter (where p.event_type = 'execution_failed') as failed,
                count(*) filter (where p.event_type = 'execution_triggered') as triggered,
                count(*) filter (where p.event_type = 'sla_breached') as sla_breaches,
                count(*) filter (where p.event_type = 'execution_completed') as completed,
                sum(p.took_ms) as time_ms, count(p.took_ms) as times
            from placed as p
            group by 1, 2, 3
        ) as r
        cross join lateral (
            values
            ('error_rate', r.failed::numeric, r.triggered),
            ('sla_breach_rate', r.sla_breaches::numeric, r.completed),
            ('avg_execution_time_ms', r.time_ms, r.times)
        ) as v (metric, numerator, denominator)
        where v.denominator > 0
    ),
    -- Of each scope the latest threshold that had taken effect; of these the one of the narrowest scope that has a value.
    judged as (
        select r.*, w.warning, w.escalation
        from (select d.*, d.numerator::double precision / d.denominator as value from rated as d) as r
        cross join lateral (
            select
                max(n.value) filter (where n.level = 'warning') as warning,
                max(n.value) filter (where n.level = 'escalation') as escalation,
                max(n.value) filter (where n.level = 'minimum_denominator') as minimum
            from (
                select distinct on (s.level) s.level, s.value
                from (
                    select distinct on (t.level, t.scope) t.level, t.scope, t.value
                    from aximo_metrics.thresholds as t
                    where t.metric = r.metric and coalesce(t.effective_from, '-infinity') < r.ends_at
                        and coalesce(t.deployment_id, r.key ->> 'deployment_id') = r.key ->> 'deployment_id'
                    order by t.level, t.scope, t.effective_from desc nulls last, t.set_at desc
                ) as s
                where s.value is not null
                order by s.level, array_position(array['deployment', 'customer', 'all customers'], s.scope)
            ) as n
        ) as w
        where (r.value > w.warning or r.value > w.escalation) and r.denominator >= coalesce(w.minimum, 0)
    ),
    stated as (
        select distinct on (e.deployment_id) e.deployment_id, e.event_type, e."timestamp"
        from entry as e
        where e.event_type in (
            'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_suspended', 'deployment_terminated'
        )
        order by e.deployment_id, e."timestamp" desc, e.number desc
    ),
    declared as (
        select distinct on (e.deployment_id) e.deployment_id, e.skill_id, e.skill_version
        from entry as e
        where e.event_type in (
            'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_updated', 'deployment_terminated',
            'version_upgraded', 'version_rolled_back'
        )
        order by e.deployment_id, e."timestamp" desc, e.number desc
    ),
    executed as (
        select distinct on (e.deployment_id) e.deployment_id, e.skill_id, e.skill_version, e."timestamp"
        from entry as e
        where e.event_type = 'execution_triggered'
        order by e.deployment_id, e."timestamp" desc, e.number desc
    ),
    deployed as materialized (
        select
            k.deployment_id, count(*) as events,
            count(*) filter (where k.event_type = 'execution_triggered') as triggered,
            count(*) filter (where k.event_type = 'execution_completed') as completed,
            count(*) filter (where k.event_type = 'execution_failed') as failed,
            count(*) filter (where k.is_open) as open,
            count(*) filter (where k.event_type = 'version_upgraded') as upgrades,
            count(*) filter (where k.event_type = 'version_rolled_back') as rollbacks,
            count(*) filter (where k.event_type = 'sla_breached') as sla_breaches,
            max(k."timestamp") as last_event_at
        from known as k
        group by k.deployment_id
    )
    select
        'execution_health' || g.suffix, g.key,
        jsonb_build_object(
            'triggered', g.triggered, 'completed', g.completed, 'failed', g.failed, 'open', g.open,
            'error_rate', g.failed::double precision / nullif(g.triggered, 0), 'execution_time_count', g.times,
            'execution_time_sum_ms', coalesce(g.time_ms, 0), 'execution_time_avg_ms', g.time_ms / nullif(g.times, 0),
            'execution_time_p50_ms', g.time_percentiles[1], 'execution_time_p95_ms', g.time_percentiles[2],
            'execution_time_p99_ms', g.time_percentiles[3], 'latency_count', g.latencies, 'latency_sum_ms', coalesce(g.latency_ms, 0),
            'latency_avg_ms', g.latency_ms / nullif(g.latencies, 0), 'latency_p50_ms', g.latency_percentiles[1],
            'latency_p95_ms', g.latency_percentiles[2], 'latency_p99_ms', g.latency_percentiles[3]
        )
    from grouped as g
    union all
    select
        'business_value' || g.suffix, g.key,
        jsonb_build_object(
            'conversations', g.triggered, 'actions_dispatched', g.dispatched, 'leads', g.leads,
            'lead_conversion_rate', g.leads::double precision / nullif(g.triggered, 0), 'emergency_leads', g.emergency_leads,
            'response_latency_count', g.latencies, 'response_latency_sum_ms', coalesce(g.latency_ms, 0),
            'response_latency_avg_ms', g.latency_ms / nullif(g.latencies, 0)
        )
    from grouped as g
    union all
    select
        'sla_governance' || g.suffix, g.key,
        jsonb_build_object(
            'approvals_requested', g.requested, 'approvals_granted', g.granted, 'approvals_rejected', g.rejected,
            'approvals_timed_out', g.timed_out, 'approvals_open', g.unanswered, 'approval_delay_count', g.delays,
            'approval_delay_sum_ms', coalesce(g.delay_ms, 0), 'approval_delay_avg_ms', g.delay_ms / nullif(g.delays, 0),
            'completed', g.completed, 'sla_breaches', g.sla_breaches,
            'sla_breach_rate', g.sla_breaches::double precision / nullif(g.completed, 0), 'escalations', g.escalations,
            'pressure_invocations', g.pressure_invocations, 'suspensions', g.suspensions
        )
    from grouped as g
    union all
    select
        'actions' || p.suffix,
        p.key || jsonb_build_object('action_type', p.action_type, 'risk_level', p.risk_level),
        jsonb_build_object(
            'prepared', count(*) filter (where p.event_type = 'action_prepared'),
            'dispatched', count(*) filter (where p.event_type = 'action_dispatched'),
            'failed', count(*) filter (where p.event_type = 'action_failed')
        )
    from placed as p
    where p.event_type in ('action_prepared', 'action_dispatched', 'action_failed')
    group by p.suffix, p.key, p.action_type, p.risk_level
    union all
    select
        'alerts' || j.suffix, j.key || jsonb_build_object('metric', j.metric),
        jsonb_build_object(
            'level', case when j.value > j.escalation then 'escalation' else 'warning' end, 'value', j.value,
            'threshold', case when j.value > j.escalation then j.escalation else j.warning end, 'numerator', round(j.numerator),
            'denominator', j.denominator
        )
    from judged as j
    union all
    select
        'attribution_monthly', jsonb_build_object('month', p.key -> 'month'),
        jsonb_build_object(
            'executions', count(*) filter (where p.event_type = 'execution_triggered'),
            'actions', count(*) filter (where p.event_type = 'action_dispatched'),
            'high_risk_actions', count(*) filter (
                where p.event_type = 'action_dispatched' and p.risk_level in (
                    select h.risk_level
                    from aximo_metrics.high_risk_levels as h
                    where (h.scope, coalesce(h.effective_from, '-infinity'), h.set_at) in (
                        select f.scope, coalesce(f.effective_from, '-infinity'), f.set_at
                        from (
                            select distinct on (s.scope) s.*
                            from aximo_metrics.high_risk_levels as s
                            where coalesce(s.effective_from, '-infinity') < p.ends_at
                            order by s.scope, s.effective_from desc nulls last, s.set_at desc
                        ) as f
                        where not f.is_withdrawal
                        order by f.scope = 'all customers'
                        limit 1
                    )
                )
            ),
            'events', count(*)
        )
    from placed as p
    where p.suffix = '_monthly'
    group by p.key -> 'month'
    union all
    select
        'deployment_status', jsonb_build_object('deployment_id', d.deployment_id),
        jsonb_build_object(
            'skill_id', coalesce(v.skill_id, x.skill_id), 'skill_version', coalesce(v.skill_version, x.skill_version),
            'status', coalesce(
                (jsonb_build_object(
                    'deployment_created', 'pending_configuration', 'deployment_configured', 'configured', 'deployment_activated', 'active',
                    'deployment_suspended', 'suspended', 'deployment_terminated', 'terminated'
                ) ->> s.event_type),
                'undeclared'
            ),
            'status_since', s."timestamp", 'upgrades', d.upgrades, 'rollbacks', d.rollbacks, 'last_execution_at', x."timestamp",
            'last_event_at', d.last_event_at, 'events', d.events, 'triggered', d.triggered, 'completed', d.completed, 'failed', d.failed,
            'open', d.open, 'error_rate', d.failed::double precision / nullif(d.triggered, 0), 'sla_breaches', d.sla_breaches,
            'sla_breach_rate', d.sla_breaches::double precision / nullif(d.completed, 0)
        )
    from deployed as d
    left join stated as s on s.deployment_id = d.deployment_id
    left join declared as v on v.deployment_id = d.deployment_id
    left join executed as x on x.deployment_id = d.deployment_id
    union all
    select
        'customer_overview', '{}',
        jsonb_build_object(
            'deployments', (select count(*) from deployed), 'active_deployments', (
                select count(*) from stated as s where s.event_type = 'deployment_activated'
            ),
            'undeclared_deployments', (
                select count(*) from deployed as d where d.deployment_id not in (select s.deployment_id from stated as s)
            ),
            'events', count(*), 'executions', count(*) filter (where k.event_type = 'execution_triggered'),
            'completed', count(*) filter (where k.event_type = 'execution_completed'),
            'failed', count(*) filter (where k.event_type = 'execution_failed'), 'open', count(*) filter (where k.is_open),
            'error_rate', count(*) filter (where k.event_type = 'execution_failed')::double precision
            / nullif(count(*) filter (where k.event_type = 'execution_triggered'), 0),
            'execution_time_avg_ms', avg(k.took_ms),
            'execution_time_p50_ms', percentile_disc(0.5) within group (order by k.took_ms),
            'execution_time_p95_ms', percentile_disc(0.95) within group (order by k.took_ms),
            'execution_time_p99_ms', percentile_disc(0.99) within group (order by k.took_ms),
            'actions_dispatched', count(*) filter (where k.event_type = 'action_dispatched'), 'leads', count(*) filter (where k.is_lead),
            'lead_conversion_rate', count(*) filter (where k.is_lead)::double precision
            / nullif(count(*) filter (where k.event_type = 'execution_triggered'), 0),
            'approvals_open', count(*) filter (where k.is_unanswered),
            'sla_breaches', count(*) filter (where k.event_type = 'sla_breached'),
            'sla_breach_rate', count(*) filter (where k.event_type = 'sla_breached')::double precision
            / nullif(count(*) filter (where k.event_type = 'execution_completed'), 0),
            'first_event_at', min(k."timestamp"), 'last_event_at', max(k."timestamp")
        )
    from known as k
    having count(*) > 0;
end;
$$;
comment on function aximo.recompute_metrics(bigint) is 'The metrics of the session''s customer, worked out from the events up to a log number, without rollups: the name of the view, the row''s key, its measures. Reads everything. Percentiles are exact. No rows if the session has no customer.';
