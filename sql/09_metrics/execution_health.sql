-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.execution_health with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    (m.bucket at time zone 'UTC')::date as day,
    m.triggered,
    m.completed,
    m.failed,
    m.open,
    m.error_rate,
    m.execution_time_count,
    m.execution_time_sum_ms,
    m.execution_time_avg_ms,
    m.execution_time_p50_ms,
    m.execution_time_p95_ms,
    m.execution_time_p99_ms,
    m.latency_count,
    m.latency_sum_ms,
    m.latency_avg_ms,
    m.latency_p50_ms,
    m.latency_p95_ms,
    m.latency_p99_ms,
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

comment on view aximo_metrics.execution_health is 'How executions go, by day. Key: deployment_id, skill_id, skill_version, day.';
comment on column aximo_metrics.execution_health.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.execution_health.deployment_id is 'The deployment.';
comment on column aximo_metrics.execution_health.skill_id is 'The skill.';
comment on column aximo_metrics.execution_health.skill_version is 'Its version.';
comment on column aximo_metrics.execution_health.day is 'The day, UTC.';
comment on column aximo_metrics.execution_health.triggered is 'How many executions were triggered on this day.';
comment on column aximo_metrics.execution_health.completed is 'How many completed on this day.';
comment on column aximo_metrics.execution_health.failed is 'How many failed on this day.';
comment on column aximo_metrics.execution_health.open is 'How many of those triggered on this day have not ended yet.';
comment on column aximo_metrics.execution_health.error_rate is 'failed / triggered; null if none was triggered.';
comment on column aximo_metrics.execution_health.execution_time_count is 'How many executions that ended on this day have a known start.';
comment on column aximo_metrics.execution_health.execution_time_sum_ms is 'Their time from trigger to end, by the events'' timestamps, summed up, in milliseconds.';
comment on column aximo_metrics.execution_health.execution_time_avg_ms is 'execution_time_sum_ms / execution_time_count.';
comment on column aximo_metrics.execution_health.execution_time_p50_ms is 'Half of them took at most so many milliseconds: the value of rank ceil(0.50 n), at most 2 % off.';
comment on column aximo_metrics.execution_health.execution_time_p95_ms is '95 % of them took at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.execution_health.execution_time_p99_ms is '99 % of them took at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.execution_health.latency_count is 'How many events on this day, of any type, state latency_ms.';
comment on column aximo_metrics.execution_health.latency_sum_ms is 'Those latencies, summed up, in milliseconds.';
comment on column aximo_metrics.execution_health.latency_avg_ms is 'latency_sum_ms / latency_count.';
comment on column aximo_metrics.execution_health.latency_p50_ms is 'Half of them are at most so many milliseconds: the value of rank ceil(0.50 n), at most 2 % off.';
comment on column aximo_metrics.execution_health.latency_p95_ms is '95 % of them are at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.execution_health.latency_p99_ms is '99 % of them are at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.execution_health.counts_up_to is 'The log number up to which it counts.';
