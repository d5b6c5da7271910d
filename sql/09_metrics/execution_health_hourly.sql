-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.execution_health_hourly with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    m.bucket as hour,
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
where m.customer_id = (select aximo.current_customer()) and m.grain = 'hour'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.execution_health_hourly is 'How executions go, by hour. Key: deployment_id, skill_id, skill_version, hour.';
comment on column aximo_metrics.execution_health_hourly.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.execution_health_hourly.deployment_id is 'The deployment.';
comment on column aximo_metrics.execution_health_hourly.skill_id is 'The skill.';
comment on column aximo_metrics.execution_health_hourly.skill_version is 'Its version.';
comment on column aximo_metrics.execution_health_hourly.hour is 'When the hour begins.';
comment on column aximo_metrics.execution_health_hourly.triggered is 'How many executions were triggered in this hour.';
comment on column aximo_metrics.execution_health_hourly.completed is 'How many completed in this hour.';
comment on column aximo_metrics.execution_health_hourly.failed is 'How many failed in this hour.';
comment on column aximo_metrics.execution_health_hourly.open is 'How many of those triggered in this hour have not ended yet.';
comment on column aximo_metrics.execution_health_hourly.error_rate is 'failed / triggered; null if none was triggered.';
comment on column aximo_metrics.execution_health_hourly.execution_time_count is 'How many executions that ended in this hour have a known start.';
comment on column aximo_metrics.execution_health_hourly.execution_time_sum_ms is 'Their time from trigger to end, by the events'' timestamps, summed up, in milliseconds.';
comment on column aximo_metrics.execution_health_hourly.execution_time_avg_ms is 'execution_time_sum_ms / execution_time_count.';
comment on column aximo_metrics.execution_health_hourly.execution_time_p50_ms is 'Half of them took at most so many milliseconds: the value of rank ceil(0.50 n), at most 2 % off.';
comment on column aximo_metrics.execution_health_hourly.execution_time_p95_ms is '95 % of them took at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.execution_health_hourly.execution_time_p99_ms is '99 % of them took at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.execution_health_hourly.latency_count is 'How many events in this hour, of any type, state latency_ms.';
comment on column aximo_metrics.execution_health_hourly.latency_sum_ms is 'Those latencies, summed up, in milliseconds.';
comment on column aximo_metrics.execution_health_hourly.latency_avg_ms is 'latency_sum_ms / latency_count.';
comment on column aximo_metrics.execution_health_hourly.latency_p50_ms is 'Half of them are at most so many milliseconds: the value of rank ceil(0.50 n), at most 2 % off.';
comment on column aximo_metrics.execution_health_hourly.latency_p95_ms is '95 % of them are at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.execution_health_hourly.latency_p99_ms is '99 % of them are at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.execution_health_hourly.counts_up_to is 'The log number up to which it counts.';
