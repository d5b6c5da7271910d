-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_private.activity_to_publish with (security_barrier = true) as
select
    r.customer_id,
    r.grain,
    r.bucket,
    r.series,
    r.deployment_id,
    r.skill_id,
    r.skill_version,
    r.events,
    r.execution_triggered as triggered,
    r.execution_completed as completed,
    r.execution_failed as failed,
    r.opened - r.closed as open,
    r.execution_failed::double precision / nullif(r.execution_triggered, 0) as error_rate,
    r.executions as execution_time_count,
    (r.execution_us / 1000)::numeric(38, 3) as execution_time_sum_ms,
    (r.execution_us / nullif(r.executions, 0))::double precision / 1000 as execution_time_avg_ms,
    aximo_private.histogram_value(p.execution_p50) / 1000 as execution_time_p50_ms,
    aximo_private.histogram_value(p.execution_p95) / 1000 as execution_time_p95_ms,
    aximo_private.histogram_value(p.execution_p99) / 1000 as execution_time_p99_ms,
    r.latencies as latency_count,
    r.latency_ms::numeric(38, 3) as latency_sum_ms,
    (r.latency_ms / nullif(r.latencies, 0))::double precision as latency_avg_ms,
    aximo_private.histogram_value(p.latency_p50) / 1000 as latency_p50_ms,
    aximo_private.histogram_value(p.latency_p95) / 1000 as latency_p95_ms,
    aximo_private.histogram_value(p.latency_p99) / 1000 as latency_p99_ms,
    r.action_dispatched as actions_dispatched,
    r.leads,
    r.leads::double precision / nullif(r.execution_triggered, 0) as lead_conversion_rate,
    r.emergency_leads,
    r.approval_requested as approvals_requested,
    r.approval_granted as approvals_granted,
    r.approval_rejected as approvals_rejected,
    r.approval_timeout as approvals_timed_out,
    r.approval_requested - r.answered as approvals_open,
    r.delays as approval_delay_count,
    (r.delay_us / 1000)::numeric(38, 3) as approval_delay_sum_ms,
    (r.delay_us / nullif(r.delays, 0))::double precision / 1000 as approval_delay_avg_ms,
    r.sla_breached as sla_breaches,
    r.sla_breached::double precision / nullif(r.execution_completed, 0) as sla_breach_rate,
    r.escalation_triggered as escalations,
    r.pressure_invoked as pressure_invocations,
    r.deployment_suspended as suspensions,
    r.changed_in
from aximo_private.activity_sums as r
left join lateral (
    select
        min(c.bin) filter (where c.executions_so_far >= ceil(0.50 * c.all_executions)) as execution_p50,
        min(c.bin) filter (where c.executions_so_far >= ceil(0.95 * c.all_executions)) as execution_p95,
        min(c.bin) filter (where c.executions_so_far >= ceil(0.99 * c.all_executions)) as execution_p99,
        min(c.bin) filter (where c.latencies_so_far >= ceil(0.50 * c.all_latencies)) as latency_p50,
        min(c.bin) filter (where c.latencies_so_far >= ceil(0.95 * c.all_latencies)) as latency_p95,
        min(c.bin) filter (where c.latencies_so_far >= ceil(0.99 * c.all_latencies)) as latency_p99
    from (
        -- Up to each bin, and in all; null, and above no rank, if there are none.
        select
            b.bin,
            sum(b.executions) over (order by b.bin) as executions_so_far,
            nullif(sum(b.executions) over (), 0) as all_executions,
            sum(b.latencies) over (order by b.bin) as latencies_so_far,
            nullif(sum(b.latencies) over (), 0) as all_latencies
        from unnest(r.bins, r.bin_executions, r.bin_latencies) as b (bin, executions, latencies)
    ) as c
) as p on true;
alter view aximo_private.activity_to_publish owner to aximo_meter;

comment on view aximo_private.activity_to_publish is 'Every row of activity_sums as it is published.';
comment on column aximo_private.activity_to_publish.events is 'How many events of any type in this time.';
comment on column aximo_private.activity_to_publish.triggered is 'How many executions were triggered in this time.';
comment on column aximo_private.activity_to_publish.completed is 'How many completed in this time.';
comment on column aximo_private.activity_to_publish.failed is 'How many failed in this time.';
comment on column aximo_private.activity_to_publish.open is 'How many of those triggered in this time have not ended yet.';
comment on column aximo_private.activity_to_publish.error_rate is 'failed / triggered; null if none was triggered.';
comment on column aximo_private.activity_to_publish.execution_time_count is 'How many executions that ended in this time have a known start.';
comment on column aximo_private.activity_to_publish.execution_time_sum_ms is 'Their time from trigger to end, by the events'' timestamps, summed up, in milliseconds.';
comment on column aximo_private.activity_to_publish.execution_time_avg_ms is 'execution_time_sum_ms / execution_time_count.';
comment on column aximo_private.activity_to_publish.execution_time_p50_ms is 'Half of them took at most so many milliseconds: the value of rank ceil(0.50 n), at most 2 % off.';
comment on column aximo_private.activity_to_publish.execution_time_p95_ms is '95 % of them took at most so many milliseconds, at most 2 % off.';
comment on column aximo_private.activity_to_publish.execution_time_p99_ms is '99 % of them took at most so many milliseconds, at most 2 % off.';
comment on column aximo_private.activity_to_publish.latency_count is 'How many events in this time, of any type, state latency_ms.';
comment on column aximo_private.activity_to_publish.latency_sum_ms is 'Those latencies, summed up, in milliseconds.';
comment on column aximo_private.activity_to_publish.latency_avg_ms is 'latency_sum_ms / latency_count.';
comment on column aximo_private.activity_to_publish.latency_p50_ms is 'Half of them are at most so many milliseconds: the value of rank ceil(0.50 n), at most 2 % off.';
comment on column aximo_private.activity_to_publish.latency_p95_ms is '95 % of them are at most so many milliseconds, at most 2 % off.';
comment on column aximo_private.activity_to_publish.latency_p99_ms is '99 % of them are at most so many milliseconds, at most 2 % off.';
comment on column aximo_private.activity_to_publish.actions_dispatched is 'How many actions were dispatched in this time.';
comment on column aximo_private.activity_to_publish.leads is 'How many leads in this time: action_dispatched with a payload.action_type that lead_action_types lists.';
comment on column aximo_private.activity_to_publish.lead_conversion_rate is 'leads / conversations; null if there were none.';
comment on column aximo_private.activity_to_publish.emergency_leads is 'How many of the leads say payload.priority = "high" or payload.emergency = true.';
comment on column aximo_private.activity_to_publish.approvals_requested is 'How many approvals were requested in this time.';
comment on column aximo_private.activity_to_publish.approvals_granted is 'How many were granted in this time.';
comment on column aximo_private.activity_to_publish.approvals_rejected is 'How many were rejected in this time.';
comment on column aximo_private.activity_to_publish.approvals_timed_out is 'How many timed out in this time.';
comment on column aximo_private.activity_to_publish.approvals_open is 'How many of those requested in this time are not answered yet.';
comment on column aximo_private.activity_to_publish.approval_delay_count is 'How many answers in this time, timeouts included, have a known request.';
comment on column aximo_private.activity_to_publish.approval_delay_sum_ms is 'Their time from request to answer, summed up, in milliseconds.';
comment on column aximo_private.activity_to_publish.approval_delay_avg_ms is 'approval_delay_sum_ms / approval_delay_count.';
comment on column aximo_private.activity_to_publish.sla_breaches is 'How many service levels were missed in this time: sla_breached.';
comment on column aximo_private.activity_to_publish.sla_breach_rate is 'sla_breaches / completed; null if none completed.';
comment on column aximo_private.activity_to_publish.escalations is 'How many escalations in this time: escalation_triggered.';
comment on column aximo_private.activity_to_publish.pressure_invocations is 'How often pressure was invoked in this time.';
comment on column aximo_private.activity_to_publish.suspensions is 'How often a deployment was suspended in this time.';
