-- The customer's rows: the hot ones, and the cold ones that are not among them.
create view aximo_private.measures with (security_barrier = true) as
select
    h.customer_id,
    h.series,
    h.grain,
    h.bucket,
    h.deployment_id,
    h.skill_id,
    h.skill_version,
    h.events,
    h.execution_triggered,
    h.execution_processing,
    h.execution_completed,
    h.execution_failed,
    h.action_prepared,
    h.action_dispatched,
    h.action_failed,
    h.approval_requested,
    h.approval_granted,
    h.approval_rejected,
    h.approval_timeout,
    h.sla_breached,
    h.escalation_triggered,
    h.pressure_invoked,
    h.deployment_suspended,
    h.deployment_created,
    h.deployment_configured,
    h.deployment_activated,
    h.deployment_updated,
    h.deployment_terminated,
    h.version_upgraded,
    h.version_rolled_back,
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
    h.delay_us,
    h.execution_p50,
    h.execution_p95,
    h.execution_p99,
    h.latency_p50,
    h.latency_p95,
    h.latency_p99
from aximo_private.measures_hot as h
where h.customer_id = (select aximo.current_customer())
union all
select
    c.customer_id,
    c.series,
    c.grain,
    c.bucket,
    c.deployment_id,
    c.skill_id,
    c.skill_version,
    c.events,
    c.execution_triggered,
    c.execution_processing,
    c.execution_completed,
    c.execution_failed,
    c.action_prepared,
    c.action_dispatched,
    c.action_failed,
    c.approval_requested,
    c.approval_granted,
    c.approval_rejected,
    c.approval_timeout,
    c.sla_breached,
    c.escalation_triggered,
    c.pressure_invoked,
    c.deployment_suspended,
    c.deployment_created,
    c.deployment_configured,
    c.deployment_activated,
    c.deployment_updated,
    c.deployment_terminated,
    c.version_upgraded,
    c.version_rolled_back,
    c.leads,
    c.emergency_leads,
    c.opened,
    c.closed,
    c.answered,
    c.executions,
    c.execution_us,
    c.latencies,
    c.latency_ms,
    c.delays,
    c.delay_us,
    c.execution_p50,
    c.execution_p95,
    c.execution_p99,
    c.latency_p50,
    c.latency_p95,
    c.latency_p99
from aximo_private.measures_cold as c
where c.customer_id = (select aximo.current_customer())
    and not exists (
        select
        from aximo_private.measures_hot as h
        where h.customer_id = c.customer_id and h.grain = c.grain and h.bucket = c.bucket and h.series = c.series
    );
alter view aximo_private.measures owner to aximo_owner;
comment on view aximo_private.measures is 'What happened, for the session''s customer, per deployment, skill, version and hour, day or month.';
comment on column aximo_private.measures.customer_id is 'Whose events.';
comment on column aximo_private.measures.series is 'As in rollups.';
comment on column aximo_private.measures.grain is 'hour, day or month.';
comment on column aximo_private.measures.bucket is 'When it begins.';
comment on column aximo_private.measures.deployment_id is 'The deployment.';
comment on column aximo_private.measures.skill_id is 'The skill.';
comment on column aximo_private.measures.skill_version is 'Its version.';
comment on column aximo_private.measures.events is 'How many events.';
comment on column aximo_private.measures.execution_triggered is 'How many execution_triggered events.';
comment on column aximo_private.measures.execution_processing is 'How many execution_processing events.';
comment on column aximo_private.measures.execution_completed is 'How many execution_completed events.';
comment on column aximo_private.measures.execution_failed is 'How many execution_failed events.';
comment on column aximo_private.measures.action_prepared is 'How many action_prepared events.';
comment on column aximo_private.measures.action_dispatched is 'How many action_dispatched events.';
comment on column aximo_private.measures.action_failed is 'How many action_failed events.';
comment on column aximo_private.measures.approval_requested is 'How many approval_requested events.';
comment on column aximo_private.measures.approval_granted is 'How many approval_granted events.';
comment on column aximo_private.measures.approval_rejected is 'How many approval_rejected events.';
comment on column aximo_private.measures.approval_timeout is 'How many approval_timeout events.';
comment on column aximo_private.measures.sla_breached is 'How many sla_breached events.';
comment on column aximo_private.measures.escalation_triggered is 'How many escalation_triggered events.';
comment on column aximo_private.measures.pressure_invoked is 'How many pressure_invoked events.';
comment on column aximo_private.measures.deployment_suspended is 'How many deployment_suspended events.';
comment on column aximo_private.measures.deployment_created is 'How many deployment_created events.';
comment on column aximo_private.measures.deployment_configured is 'How many deployment_configured events.';
comment on column aximo_private.measures.deployment_activated is 'How many deployment_activated events.';
comment on column aximo_private.measures.deployment_updated is 'How many deployment_updated events.';
comment on column aximo_private.measures.deployment_terminated is 'How many deployment_terminated events.';
comment on column aximo_private.measures.version_upgraded is 'How many version_upgraded events.';
comment on column aximo_private.measures.version_rolled_back is 'How many version_rolled_back events.';
comment on column aximo_private.measures.leads is 'How many leads.';
comment on column aximo_private.measures.emergency_leads is 'How many emergency leads.';
comment on column aximo_private.measures.opened is 'How many executions were triggered for the first time.';
comment on column aximo_private.measures.closed is 'How many of those have ended.';
comment on column aximo_private.measures.answered is 'How many of the approvals requested have been answered.';
comment on column aximo_private.measures.executions is 'How many executions ended, of those whose start is known.';
comment on column aximo_private.measures.execution_us is 'Their time from trigger to end, summed up, in microseconds.';
comment on column aximo_private.measures.latencies is 'How many events state latency_ms.';
comment on column aximo_private.measures.latency_ms is 'Those, summed up.';
comment on column aximo_private.measures.delays is 'How many approvals were answered.';
comment on column aximo_private.measures.delay_us is 'Their time from request to answer, summed up, in microseconds.';
comment on column aximo_private.measures.execution_p50 is '50 percent of them took at most so many milliseconds, at most 2 percent off; null if there are none.';
comment on column aximo_private.measures.execution_p95 is '95 percent of them took at most so many milliseconds, at most 2 percent off; null if there are none.';
comment on column aximo_private.measures.execution_p99 is '99 percent of them took at most so many milliseconds, at most 2 percent off; null if there are none.';
comment on column aximo_private.measures.latency_p50 is '50 percent of them took at most so many milliseconds, at most 2 percent off; null if there are none.';
comment on column aximo_private.measures.latency_p95 is '95 percent of them took at most so many milliseconds, at most 2 percent off; null if there are none.';
comment on column aximo_private.measures.latency_p99 is '99 percent of them took at most so many milliseconds, at most 2 percent off; null if there are none.';
