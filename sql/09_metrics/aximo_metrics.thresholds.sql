create view aximo_metrics.thresholds with (security_barrier = true) as
select
    c.customer_id, m.deployment_id::text as deployment_id, m.metric, m.level,
    nullif(m.effective_from, '-infinity') as effective_from, m.set_at, m.value,
    m.effective_from <= now() and not exists (
        select
        from aximo_private.thresholds as n
        where n.customer_id = m.customer_id and n.deployment_id is not distinct from m.deployment_id and n.metric = m.metric
            and n.level = m.level and n.effective_from <= now() and (n.effective_from, n.set_at) > (m.effective_from, m.set_at)
    ) as is_current,
    case when m.customer_id = '*' then 'all customers' when m.deployment_id is null then 'customer' else 'deployment' end as scope,
    case when m.customer_id <> '*' then m.set_by end as set_by
from aximo_private.thresholds as m
cross join aximo_private.known_customer as c
offset 0;
comment on view aximo_metrics.thresholds is 'The thresholds and minimum denominators of alerts, and their history. Key: scope, deployment_id, metric, level, effective_from, set_at.';
comment on column aximo_metrics.thresholds.customer_id is 'Always the session''s customer.';
comment on column aximo_metrics.thresholds.deployment_id is 'For which deployment; null for all that have none of their own.';
comment on column aximo_metrics.thresholds.metric is 'error_rate, sla_breach_rate or avg_execution_time_ms.';
comment on column aximo_metrics.thresholds.level is 'warning, escalation or minimum_denominator. The last says how many there have to be at least.';
comment on column aximo_metrics.thresholds.effective_from is 'For hours, days and months that end after this moment; null: for all.';
comment on column aximo_metrics.thresholds.set_at is 'When it was set, by the database''s clock.';
comment on column aximo_metrics.thresholds.value is 'The rate, or the milliseconds, above which there is an alert; or the denominator below which there is none. Null takes back what was set before.';
comment on column aximo_metrics.thresholds.is_current is 'Whether it is the latest of its kind that has taken effect. A deployment''s own goes before the customer''s, and that before the one of all.';
comment on column aximo_metrics.thresholds.scope is 'deployment, customer or all customers.';
comment on column aximo_metrics.thresholds.set_by is 'The login that set it; null for those of all customers.';
select aximo_private.take_comments('aximo_metrics.thresholds', 'aximo_private.thresholds');
