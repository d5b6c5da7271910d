-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.sla_governance_hourly with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    m.bucket as hour,
    m.approvals_requested,
    m.approvals_granted,
    m.approvals_rejected,
    m.approvals_timed_out,
    m.approvals_open,
    m.approval_delay_count,
    m.approval_delay_sum_ms,
    m.approval_delay_avg_ms,
    m.completed,
    m.sla_breaches,
    m.sla_breach_rate,
    m.escalations,
    m.pressure_invocations,
    m.suspensions,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from aximo_private.activity_kept as m
where m.customer_id = (select aximo.current_customer()) and m.grain = 'hour'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.sla_governance_hourly is 'Approvals, service levels and escalations, by hour. Key: deployment_id, skill_id, skill_version, hour.';
comment on column aximo_metrics.sla_governance_hourly.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.sla_governance_hourly.deployment_id is 'The deployment.';
comment on column aximo_metrics.sla_governance_hourly.skill_id is 'The skill.';
comment on column aximo_metrics.sla_governance_hourly.skill_version is 'Its version.';
comment on column aximo_metrics.sla_governance_hourly.hour is 'When the hour begins.';
comment on column aximo_metrics.sla_governance_hourly.approvals_requested is 'How many approvals were requested in this hour.';
comment on column aximo_metrics.sla_governance_hourly.approvals_granted is 'How many were granted in this hour.';
comment on column aximo_metrics.sla_governance_hourly.approvals_rejected is 'How many were rejected in this hour.';
comment on column aximo_metrics.sla_governance_hourly.approvals_timed_out is 'How many timed out in this hour.';
comment on column aximo_metrics.sla_governance_hourly.approvals_open is 'How many of those requested in this hour are not answered yet.';
comment on column aximo_metrics.sla_governance_hourly.approval_delay_count is 'How many answers in this hour, timeouts included, have a known request.';
comment on column aximo_metrics.sla_governance_hourly.approval_delay_sum_ms is 'Their time from request to answer, summed up, in milliseconds.';
comment on column aximo_metrics.sla_governance_hourly.approval_delay_avg_ms is 'approval_delay_sum_ms / approval_delay_count.';
comment on column aximo_metrics.sla_governance_hourly.completed is 'How many executions completed in this hour.';
comment on column aximo_metrics.sla_governance_hourly.sla_breaches is 'How many service levels were missed in this hour: sla_breached.';
comment on column aximo_metrics.sla_governance_hourly.sla_breach_rate is 'sla_breaches / completed; null if none completed.';
comment on column aximo_metrics.sla_governance_hourly.escalations is 'How many escalations in this hour: escalation_triggered.';
comment on column aximo_metrics.sla_governance_hourly.pressure_invocations is 'How often pressure was invoked in this hour.';
comment on column aximo_metrics.sla_governance_hourly.suspensions is 'How often a deployment was suspended in this hour.';
comment on column aximo_metrics.sla_governance_hourly.counts_up_to is 'The log number up to which it counts.';
