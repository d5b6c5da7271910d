-- A row of rollups and its percentiles. What hot and cold materialized views are made of.
create view aximo_private.measured with (security_barrier = true) as
select
    r.customer_id,
    r.series,
    r.grain,
    r.bucket,
    r.deployment_id,
    r.skill_id,
    r.skill_version,
    r.events,
    r.execution_triggered,
    r.execution_processing,
    r.execution_completed,
    r.execution_failed,
    r.action_prepared,
    r.action_dispatched,
    r.action_failed,
    r.approval_requested,
    r.approval_granted,
    r.approval_rejected,
    r.approval_timeout,
    r.sla_breached,
    r.escalation_triggered,
    r.pressure_invoked,
    r.deployment_suspended,
    r.deployment_created,
    r.deployment_configured,
    r.deployment_activated,
    r.deployment_updated,
    r.deployment_terminated,
    r.version_upgraded,
    r.version_rolled_back,
    r.leads,
    r.emergency_leads,
    r.opened,
    r.closed,
    r.answered,
    r.executions,
    r.execution_us,
    r.latencies,
    r.latency_ms,
    r.delays,
    r.delay_us,
    aximo_private.histogram_value(p.execution_p50) / 1000 as execution_p50,
    aximo_private.histogram_value(p.execution_p95) / 1000 as execution_p95,
    aximo_private.histogram_value(p.execution_p99) / 1000 as execution_p99,
    aximo_private.histogram_value(p.latency_p50) / 1000 as latency_p50,
    aximo_private.histogram_value(p.latency_p95) / 1000 as latency_p95,
    aximo_private.histogram_value(p.latency_p99) / 1000 as latency_p99,
    r.changed_in
from aximo_private.rollups as r
left join lateral (
    select
        min(c.bin) filter (where c.executions >= ceil(0.50 * c.all_executions)) as execution_p50,
        min(c.bin) filter (where c.executions >= ceil(0.95 * c.all_executions)) as execution_p95,
        min(c.bin) filter (where c.executions >= ceil(0.99 * c.all_executions)) as execution_p99,
        min(c.bin) filter (where c.latencies >= ceil(0.50 * c.all_latencies)) as latency_p50,
        min(c.bin) filter (where c.latencies >= ceil(0.95 * c.all_latencies)) as latency_p95,
        min(c.bin) filter (where c.latencies >= ceil(0.99 * c.all_latencies)) as latency_p99
    from (
        -- Up to each bin, and in all; null, and above no rank, if there are none.
        select
            h.bin,
            sum(h.executions) over (order by h.bin) as executions,
            nullif(sum(h.executions) over (), 0) as all_executions,
            sum(h.latencies) over (order by h.bin) as latencies,
            nullif(sum(h.latencies) over (), 0) as all_latencies
        from aximo_private.histograms as h
        where h.customer_id = r.customer_id and h.series = r.series and h.grain = r.grain and h.bucket = r.bucket
    ) as c
) as p on true
where r.grain <> 'total';
alter view aximo_private.measured owner to aximo_meter;
comment on view aximo_private.measured is 'What happened, per deployment, skill, version and hour, day or month, with percentiles.';
comment on column aximo_private.measured.customer_id is 'Whose events.';
comment on column aximo_private.measured.series is 'As in rollups.';
comment on column aximo_private.measured.grain is 'hour, day or month.';
comment on column aximo_private.measured.bucket is 'When it begins.';
comment on column aximo_private.measured.deployment_id is 'The deployment.';
comment on column aximo_private.measured.skill_id is 'The skill.';
comment on column aximo_private.measured.skill_version is 'Its version.';
comment on column aximo_private.measured.events is 'How many events.';
comment on column aximo_private.measured.execution_triggered is 'How many execution_triggered events.';
comment on column aximo_private.measured.execution_processing is 'How many execution_processing events.';
comment on column aximo_private.measured.execution_completed is 'How many execution_completed events.';
comment on column aximo_private.measured.execution_failed is 'How many execution_failed events.';
comment on column aximo_private.measured.action_prepared is 'How many action_prepared events.';
comment on column aximo_private.measured.action_dispatched is 'How many action_dispatched events.';
comment on column aximo_private.measured.action_failed is 'How many action_failed events.';
comment on column aximo_private.measured.approval_requested is 'How many approval_requested events.';
comment on column aximo_private.measured.approval_granted is 'How many approval_granted events.';
comment on column aximo_private.measured.approval_rejected is 'How many approval_rejected events.';
comment on column aximo_private.measured.approval_timeout is 'How many approval_timeout events.';
comment on column aximo_private.measured.sla_breached is 'How many sla_breached events.';
comment on column aximo_private.measured.escalation_triggered is 'How many escalation_triggered events.';
comment on column aximo_private.measured.pressure_invoked is 'How many pressure_invoked events.';
comment on column aximo_private.measured.deployment_suspended is 'How many deployment_suspended events.';
comment on column aximo_private.measured.deployment_created is 'How many deployment_created events.';
comment on column aximo_private.measured.deployment_configured is 'How many deployment_configured events.';
comment on column aximo_private.measured.deployment_activated is 'How many deployment_activated events.';
comment on column aximo_private.measured.deployment_updated is 'How many deployment_updated events.';
comment on column aximo_private.measured.deployment_terminated is 'How many deployment_terminated events.';
comment on column aximo_private.measured.version_upgraded is 'How many version_upgraded events.';
comment on column aximo_private.measured.version_rolled_back is 'How many version_rolled_back events.';
comment on column aximo_private.measured.leads is 'How many leads.';
comment on column aximo_private.measured.emergency_leads is 'How many emergency leads.';
comment on column aximo_private.measured.opened is 'How many executions were triggered for the first time.';
comment on column aximo_private.measured.closed is 'How many of those have ended.';
comment on column aximo_private.measured.answered is 'How many of the approvals requested have been answered.';
comment on column aximo_private.measured.executions is 'How many executions ended, of those whose start is known.';
comment on column aximo_private.measured.execution_us is 'Their time from trigger to end, summed up, in microseconds.';
comment on column aximo_private.measured.latencies is 'How many events state latency_ms.';
comment on column aximo_private.measured.latency_ms is 'Those, summed up.';
comment on column aximo_private.measured.delays is 'How many approvals were answered.';
comment on column aximo_private.measured.delay_us is 'Their time from request to answer, summed up, in microseconds.';
comment on column aximo_private.measured.execution_p50 is '50 percent of them took at most so many milliseconds, at most 2 percent off; null if there are none.';
comment on column aximo_private.measured.execution_p95 is '95 percent of them took at most so many milliseconds, at most 2 percent off; null if there are none.';
comment on column aximo_private.measured.execution_p99 is '99 percent of them took at most so many milliseconds, at most 2 percent off; null if there are none.';
comment on column aximo_private.measured.latency_p50 is '50 percent of them took at most so many milliseconds, at most 2 percent off; null if there are none.';
comment on column aximo_private.measured.latency_p95 is '95 percent of them took at most so many milliseconds, at most 2 percent off; null if there are none.';
comment on column aximo_private.measured.latency_p99 is '99 percent of them took at most so many milliseconds, at most 2 percent off; null if there are none.';
comment on column aximo_private.measured.changed_in is 'The advance that changed it last.';
