-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.alerts with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    (m.bucket at time zone 'UTC')::date as day,
    m.metric,
    case when m.value > t.escalation then 'escalation' else 'warning' end as level,
    m.value,
    case when m.value > t.escalation then t.escalation else t.warning end as threshold,
    least(round(m.numerator), 9223372036854775807)::bigint as numerator,
    m.denominator,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from (
    select
        r.customer_id,
        r.deployment_id,
        r.bucket,
        v.metric,
        v.numerator,
        v.denominator,
        v.numerator::double precision / v.denominator as value
    from (
        select
            s.customer_id,
            s.deployment_id,
            s.bucket,
            sum(s.failed)::bigint as failed,
            sum(s.triggered)::bigint as triggered,
            sum(s.sla_breaches)::bigint as sla_breaches,
            sum(s.completed)::bigint as completed,
            sum(s.execution_time_sum_ms) as execution_time_sum_ms,
            sum(s.execution_time_count)::bigint as execution_time_count
        from aximo_private.activity_kept as s
        where s.customer_id = (select aximo.current_customer()) and s.grain = 'day'
        group by s.customer_id, s.deployment_id, s.bucket
    ) as r
    cross join lateral (
        values
        ('error_rate', r.failed::numeric, r.triggered),
        ('sla_breach_rate', r.sla_breaches::numeric, r.completed),
        ('avg_execution_time_ms', r.execution_time_sum_ms, r.execution_time_count)
    ) as v (metric, numerator, denominator)
    where v.numerator > 0 and v.denominator > 0
    offset 0
) as m
cross join lateral (
    select
        aximo_private.threshold_at(m.deployment_id, m.metric, 'warning', e.bucket_end) as warning,
        aximo_private.threshold_at(m.deployment_id, m.metric, 'escalation', e.bucket_end) as escalation,
        aximo_private.threshold_at(m.deployment_id, m.metric, 'minimum_denominator', e.bucket_end) as minimum
    from (select m.bucket + interval '24 hours' as bucket_end) as e
) as t
where (m.value > t.escalation or m.value > t.warning) and m.denominator >= coalesce(t.minimum, 0)
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.alerts is 'Rates and averages above their threshold, by day, one row a deployment and metric. Key: deployment_id, day, metric.';
comment on column aximo_metrics.alerts.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.alerts.deployment_id is 'The deployment.';
comment on column aximo_metrics.alerts.day is 'The day, UTC.';
comment on column aximo_metrics.alerts.metric is 'error_rate, sla_breach_rate or avg_execution_time_ms.';
comment on column aximo_metrics.alerts.level is 'warning or escalation: the highest threshold it is above.';
comment on column aximo_metrics.alerts.value is 'The rate, or the average in milliseconds: numerator / denominator.';
comment on column aximo_metrics.alerts.threshold is 'The threshold it is above: the latest that takes effect before the day ends.';
comment on column aximo_metrics.alerts.numerator is 'error_rate: executions failed. sla_breach_rate: service levels missed. avg_execution_time_ms: milliseconds from trigger to end, summed up and rounded.';
comment on column aximo_metrics.alerts.denominator is 'error_rate: executions triggered. sla_breach_rate: executions completed. avg_execution_time_ms: executions that ended and have a known start.';
comment on column aximo_metrics.alerts.counts_up_to is 'The log number up to which it counts.';
