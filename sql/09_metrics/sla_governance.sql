-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.sla_governance with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    (m.bucket at time zone 'UTC')::date as day,
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
where m.customer_id = (select aximo.current_customer()) and m.grain = 'day'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.sla_governance is 'Approvals, service levels and escalations, by day. Key: deployment_id, skill_id, skill_version, day.';
comment on column aximo_metrics.sla_governance.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.sla_governance.deployment_id is 'The deployment.';
comment on column aximo_metrics.sla_governance.skill_id is 'The skill.';
comment on column aximo_metrics.sla_governance.skill_version is 'Its version.';
comment on column aximo_metrics.sla_governance.day is 'The day, UTC.';
comment on column aximo_metrics.sla_governance.approvals_requested is 'How many approvals were requested on this day.';
comment on column aximo_metrics.sla_governance.approvals_granted is 'How many were granted on this day.';
comment on column aximo_metrics.sla_governance.approvals_rejected is 'How many were rejected on this day.';
comment on column aximo_metrics.sla_governance.approvals_timed_out is 'How many timed out on this day.';
comment on column aximo_metrics.sla_governance.approvals_open is 'How many of those requested on this day are not answered yet.';
comment on column aximo_metrics.sla_governance.approval_delay_count is 'How many answers on this day, timeouts included, have a known request.';
comment on column aximo_metrics.sla_governance.approval_delay_sum_ms is 'Their time from request to answer, summed up, in milliseconds.';
comment on column aximo_metrics.sla_governance.approval_delay_avg_ms is 'approval_delay_sum_ms / approval_delay_count.';
comment on column aximo_metrics.sla_governance.completed is 'How many executions completed on this day.';
comment on column aximo_metrics.sla_governance.sla_breaches is 'How many service levels were missed on this day: sla_breached.';
comment on column aximo_metrics.sla_governance.sla_breach_rate is 'sla_breaches / completed; null if none completed.';
comment on column aximo_metrics.sla_governance.escalations is 'How many escalations on this day: escalation_triggered.';
comment on column aximo_metrics.sla_governance.pressure_invocations is 'How often pressure was invoked on this day.';
comment on column aximo_metrics.sla_governance.suspensions is 'How often a deployment was suspended on this day.';
comment on column aximo_metrics.sla_governance.counts_up_to is 'The log number up to which it counts.';
