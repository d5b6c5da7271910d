-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.tool_runs with (security_barrier = true) as
select
    m.customer_id,
    m.tool_name,
    (m.day at time zone 'UTC')::date as day,
    coalesce(sum(m.events) filter (where m.state = 'started'), 0)::bigint as started,
    coalesce(sum(m.events) filter (where m.state = 'queued'), 0)::bigint as queued,
    coalesce(sum(m.events) filter (where m.state = 'succeeded'), 0)::bigint as succeeded,
    coalesce(sum(m.events) filter (where m.state = 'failed'), 0)::bigint as failed,
    coalesce(sum(m.events) filter (where m.state = 'blocked'), 0)::bigint as blocked,
    (
        coalesce(sum(m.events) filter (where m.state in ('failed', 'blocked')), 0)
        / nullif(sum(m.events) filter (where m.state in ('succeeded', 'failed', 'blocked')), 0)
    )::double precision as failure_rate,
    sum(m.waits)::bigint as queue_time_count,
    sum(m.wait_ms)::numeric(38, 3) as queue_time_sum_ms,
    (sum(m.wait_ms) / nullif(sum(m.waits), 0))::double precision as queue_time_avg_ms,
    sum(m.runs)::bigint as run_time_count,
    sum(m.run_ms)::numeric(38, 3) as run_time_sum_ms,
    (sum(m.run_ms) / nullif(sum(m.runs), 0))::double precision as run_time_avg_ms,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'run_events'
    ) as counts_up_to
from aximo_private.runs_kept as m
where m.customer_id = (select aximo.current_customer())
group by m.customer_id, m.tool_name, m.day
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.tool_runs is 'Runs of tools, by day. A run counts on the day of the event that says so. Key: tool_name, day.';
comment on column aximo_metrics.tool_runs.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.tool_runs.tool_name is 'The tool.';
comment on column aximo_metrics.tool_runs.day is 'The day, UTC.';
comment on column aximo_metrics.tool_runs.started is 'How many were started on this day (run.started).';
comment on column aximo_metrics.tool_runs.queued is 'How many were queued on this day (run.queued).';
comment on column aximo_metrics.tool_runs.succeeded is 'How many ended well on this day (run.succeeded, slurm.collect.done).';
comment on column aximo_metrics.tool_runs.failed is 'How many failed on this day (run.failed, slurm.collect.failed).';
comment on column aximo_metrics.tool_runs.blocked is 'How many were blocked by a policy on this day (run.blocked).';
comment on column aximo_metrics.tool_runs.failure_rate is '(failed + blocked) / (succeeded + failed + blocked); null if none ended.';
comment on column aximo_metrics.tool_runs.queue_time_count is 'How many that had been queued began to run on this day (run.running).';
comment on column aximo_metrics.tool_runs.queue_time_sum_ms is 'Their time from run.queued to run.running, summed up, in milliseconds.';
comment on column aximo_metrics.tool_runs.queue_time_avg_ms is 'queue_time_sum_ms / queue_time_count.';
comment on column aximo_metrics.tool_runs.run_time_count is 'How many, of which the beginning is known, ended on this day.';
comment on column aximo_metrics.tool_runs.run_time_sum_ms is 'Their time from the latest run.running, else run.started, to the end, summed up, in milliseconds.';
comment on column aximo_metrics.tool_runs.run_time_avg_ms is 'run_time_sum_ms / run_time_count.';
comment on column aximo_metrics.tool_runs.counts_up_to is 'The number in the log of run events up to which it counts.';
