-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.business_value_monthly with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    (m.bucket at time zone 'UTC')::date as month,
    m.triggered as conversations,
    m.actions_dispatched,
    m.leads,
    m.lead_conversion_rate,
    m.emergency_leads,
    m.latency_count as response_latency_count,
    m.latency_sum_ms as response_latency_sum_ms,
    m.latency_avg_ms as response_latency_avg_ms,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from aximo_private.activity_kept as m
where m.customer_id = (select aximo.current_customer()) and m.grain = 'month'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.business_value_monthly is 'What executions bring, by month. Key: deployment_id, skill_id, skill_version, month.';
comment on column aximo_metrics.business_value_monthly.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.business_value_monthly.deployment_id is 'The deployment.';
comment on column aximo_metrics.business_value_monthly.skill_id is 'The skill.';
comment on column aximo_metrics.business_value_monthly.skill_version is 'Its version.';
comment on column aximo_metrics.business_value_monthly.month is 'The month, UTC, by its first day.';
comment on column aximo_metrics.business_value_monthly.conversations is 'How many conversations in this month: executions triggered.';
comment on column aximo_metrics.business_value_monthly.actions_dispatched is 'How many actions were dispatched in this month.';
comment on column aximo_metrics.business_value_monthly.leads is 'How many leads in this month: action_dispatched with a payload.action_type that lead_action_types lists.';
comment on column aximo_metrics.business_value_monthly.lead_conversion_rate is 'leads / conversations; null if there were none.';
comment on column aximo_metrics.business_value_monthly.emergency_leads is 'How many of the leads say payload.priority = "high" or payload.emergency = true.';
comment on column aximo_metrics.business_value_monthly.response_latency_count is 'How many events in this month, of any type, state latency_ms.';
comment on column aximo_metrics.business_value_monthly.response_latency_sum_ms is 'Those latencies, summed up, in milliseconds.';
comment on column aximo_metrics.business_value_monthly.response_latency_avg_ms is 'response_latency_sum_ms / response_latency_count.';
comment on column aximo_metrics.business_value_monthly.counts_up_to is 'The log number up to which it counts.';
