-- What changed since the cold one was made.
create materialized view aximo_private.measures_hot as
select
    m.customer_id,
    m.series,
    m.grain,
    m.bucket,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    m.events,
    m.execution_triggered,
    m.execution_processing,
    m.execution_completed,
    m.execution_failed,
    m.action_prepared,
    m.action_dispatched,
    m.action_failed,
    m.approval_requested,
    m.approval_granted,
    m.approval_rejected,
    m.approval_timeout,
    m.sla_breached,
    m.escalation_triggered,
    m.pressure_invoked,
    m.deployment_suspended,
    m.deployment_created,
    m.deployment_configured,
    m.deployment_activated,
    m.deployment_updated,
    m.deployment_terminated,
    m.version_upgraded,
    m.version_rolled_back,
    m.leads,
    m.emergency_leads,
    m.opened,
    m.closed,
    m.answered,
    m.executions,
    m.execution_us,
    m.latencies,
    m.latency_ms,
    m.delays,
    m.delay_us,
    m.execution_p50,
    m.execution_p95,
    m.execution_p99,
    m.latency_p50,
    m.latency_p95,
    m.latency_p99
from aximo_private.measured_rows(true) as m
with no data;
alter materialized view aximo_private.measures_hot owner to aximo_meter;
create unique index measures_hot_key on aximo_private.measures_hot (customer_id, grain, bucket, series);
-- Statistics would tell, through row estimates, how much other customers have.
alter materialized view aximo_private.measures_hot
    alter customer_id set statistics 0,
    alter series set statistics 0,
    alter grain set statistics 0,
    alter bucket set statistics 0,
    alter deployment_id set statistics 0,
    alter skill_id set statistics 0,
    alter skill_version set statistics 0,
    alter events set statistics 0,
    alter execution_triggered set statistics 0,
    alter execution_processing set statistics 0,
    alter execution_completed set statistics 0,
    alter execution_failed set statistics 0,
    alter action_prepared set statistics 0,
    alter action_dispatched set statistics 0,
    alter action_failed set statistics 0,
    alter approval_requested set statistics 0,
    alter approval_granted set statistics 0,
    alter approval_rejected set statistics 0,
    alter approval_timeout set statistics 0,
    alter sla_breached set statistics 0,
    alter escalation_triggered set statistics 0,
    alter pressure_invoked set statistics 0,
    alter deployment_suspended set statistics 0,
    alter deployment_created set statistics 0,
    alter deployment_configured set statistics 0,
    alter deployment_activated set statistics 0,
    alter deployment_updated set statistics 0,
    alter deployment_terminated set statistics 0,
    alter version_upgraded set statistics 0,
    alter version_rolled_back set statistics 0,
    alter leads set statistics 0,
    alter emergency_leads set statistics 0,
    alter opened set statistics 0,
    alter closed set statistics 0,
    alter answered set statistics 0,
    alter executions set statistics 0,
    alter execution_us set statistics 0,
    alter latencies set statistics 0,
    alter latency_ms set statistics 0,
    alter delays set statistics 0,
    alter delay_us set statistics 0,
    alter execution_p50 set statistics 0,
    alter execution_p95 set statistics 0,
    alter execution_p99 set statistics 0,
    alter latency_p50 set statistics 0,
    alter latency_p95 set statistics 0,
    alter latency_p99 set statistics 0;

comment on materialized view aximo_private.measures_hot is 'What happened, per deployment, skill, version and time: what changed since the cold one was made.';
comment on column aximo_private.measures_hot.customer_id is 'Whose events.';
comment on column aximo_private.measures_hot.series is 'As in rollups.';
comment on column aximo_private.measures_hot.grain is 'hour, day or month.';
comment on column aximo_private.measures_hot.bucket is 'When it begins.';
comment on column aximo_private.measures_hot.deployment_id is 'The deployment.';
comment on column aximo_private.measures_hot.skill_id is 'The skill.';
comment on column aximo_private.measures_hot.skill_version is 'Its version.';
comment on column aximo_private.measures_hot.events is 'How many events.';
comment on column aximo_private.measures_hot.execution_triggered is 'How many execution_triggered events.';
comment on column aximo_private.measures_hot.execution_processing is 'How many execution_processing events.';
comment on column aximo_private.measures_hot.execution_completed is 'How many execution_completed events.';
comment on column aximo_private.measures_hot.execution_failed is 'How many execution_failed events.';
comment on column aximo_private.measures_hot.action_prepared is 'How many action_prepared events.';
comment on column aximo_private.measures_hot.action_dispatched is 'How many action_dispatched events.';
comment on column aximo_private.measures_hot.action_failed is 'How many action_failed events.';
comment on column aximo_private.measures_hot.approval_requested is 'How many approval_requested events.';
comment on column aximo_private.measures_hot.approval_granted is 'How many approval_granted events.';
comment on column aximo_private.measures_hot.approval_rejected is 'How many approval_rejected events.';
comment on column aximo_private.measures_hot.approval_timeout is 'How many approval_timeout events.';
comment on column aximo_private.measures_hot.sla_breached is 'How many sla_breached events.';
comment on column aximo_private.measures_hot.escalation_triggered is 'How many escalation_triggered events.';
comment on column aximo_private.measures_hot.pressure_invoked is 'How many pressure_invoked events.';
comment on column aximo_private.measures_hot.deployment_suspended is 'How many deployment_suspended events.';
comment on column aximo_private.measures_hot.deployment_created is 'How many deployment_created events.';
comment on column aximo_private.measures_hot.deployment_configured is 'How many deployment_configured events.';
comment on column aximo_private.measures_hot.deployment_activated is 'How many deployment_activated events.';
comment on column aximo_private.measures_hot.deployment_updated is 'How many deployment_updated events.';
comment on column aximo_private.measures_hot.deployment_terminated is 'How many deployment_terminated events.';
comment on column aximo_private.measures_hot.version_upgraded is 'How many version_upgraded events.';
comment on column aximo_private.measures_hot.version_rolled_back is 'How many version_rolled_back events.';
comment on column aximo_private.measures_hot.leads is 'How many leads.';
comment on column aximo_private.measures_hot.emergency_leads is 'How many emergency leads.';
comment on column aximo_private.measures_hot.opened is 'How many executions were triggered for the first time.';
comment on column aximo_private.measures_hot.closed is 'How many of those have ended.';
comment on column aximo_private.measures_hot.answered is 'How many of the approvals requested have been answered.';
comment on column aximo_private.measures_hot.executions is 'How many executions ended, of those whose start is known.';
comment on column aximo_private.measures_hot.execution_us is 'Their time from trigger to end, summed up, in microseconds.';
comment on column aximo_private.measures_hot.latencies is 'How many events state latency_ms.';
comment on column aximo_private.measures_hot.latency_ms is 'Those, summed up.';
comment on column aximo_private.measures_hot.delays is 'How many approvals were answered.';
comment on column aximo_private.measures_hot.delay_us is 'Their time from request to answer, summed up, in microseconds.';
comment on column aximo_private.measures_hot.execution_p50 is '50 percent of them took at most so many milliseconds, at most 2 percent off; null if there are none.';
comment on column aximo_private.measures_hot.execution_p95 is '95 percent of them took at most so many milliseconds, at most 2 percent off; null if there are none.';
comment on column aximo_private.measures_hot.execution_p99 is '99 percent of them took at most so many milliseconds, at most 2 percent off; null if there are none.';
comment on column aximo_private.measures_hot.latency_p50 is '50 percent of them took at most so many milliseconds, at most 2 percent off; null if there are none.';
comment on column aximo_private.measures_hot.latency_p95 is '95 percent of them took at most so many milliseconds, at most 2 percent off; null if there are none.';
comment on column aximo_private.measures_hot.latency_p99 is '99 percent of them took at most so many milliseconds, at most 2 percent off; null if there are none.';
comment on index aximo_private.measures_hot_key is 'For REFRESH CONCURRENTLY, and to read a customer''s rows of some time.';
