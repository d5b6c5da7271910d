-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.sla_governance_monthly with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    (m.bucket at time zone 'UTC')::date as month,
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
where m.customer_id = (select aximo.current_customer()) and m.grain = 'month'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.sla_governance_monthly is 'Approvals, service levels and escalations, by month. Key: deployment_id, skill_id, skill_version, month.';
comment on column aximo_metrics.sla_governance_monthly.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.sla_governance_monthly.deployment_id is 'The deployment.';
comment on column aximo_metrics.sla_governance_monthly.skill_id is 'The skill.';
comment on column aximo_metrics.sla_governance_monthly.skill_version is 'Its version.';
comment on column aximo_metrics.sla_governance_monthly.month is 'The month, UTC, by its first day.';
comment on column aximo_metrics.sla_governance_monthly.approvals_requested is 'How many approvals were requested in this month.';
comment on column aximo_metrics.sla_governance_monthly.approvals_granted is 'How many were granted in this month.';
comment on column aximo_metrics.sla_governance_monthly.approvals_rejected is 'How many were rejected in this month.';
comment on column aximo_metrics.sla_governance_monthly.approvals_timed_out is 'How many timed out in this month.';
comment on column aximo_metrics.sla_governance_monthly.approvals_open is 'How many of those requested in this month are not answered yet.';
comment on column aximo_metrics.sla_governance_monthly.approval_delay_count is 'How many answers in this month, timeouts included, have a known request.';
comment on column aximo_metrics.sla_governance_monthly.approval_delay_sum_ms is 'Their time from request to answer, summed up, in milliseconds.';
comment on column aximo_metrics.sla_governance_monthly.approval_delay_avg_ms is 'approval_delay_sum_ms / approval_delay_count.';
comment on column aximo_metrics.sla_governance_monthly.completed is 'How many executions completed in this month.';
comment on column aximo_metrics.sla_governance_monthly.sla_breaches is 'How many service levels were missed in this month: sla_breached.';
comment on column aximo_metrics.sla_governance_monthly.sla_breach_rate is 'sla_breaches / completed; null if none completed.';
comment on column aximo_metrics.sla_governance_monthly.escalations is 'How many escalations in this month: escalation_triggered.';
comment on column aximo_metrics.sla_governance_monthly.pressure_invocations is 'How often pressure was invoked in this month.';
comment on column aximo_metrics.sla_governance_monthly.suspensions is 'How often a deployment was suspended in this month.';
comment on column aximo_metrics.sla_governance_monthly.counts_up_to is 'The log number up to which it counts.';
