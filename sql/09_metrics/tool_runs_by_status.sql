-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.tool_runs_by_status with (security_barrier = true) as
select
    m.customer_id,
    m.tool_name,
    m.state as status,
    (m.day at time zone 'UTC')::date as day,
    m.events as runs,
    m.waits as queue_time_count,
    m.wait_ms as queue_time_sum_ms,
    m.wait_avg_ms as queue_time_avg_ms,
    m.runs as run_time_count,
    m.run_ms as run_time_sum_ms,
    m.run_avg_ms as run_time_avg_ms,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'run_events'
    ) as counts_up_to
from aximo_private.runs_kept as m
where m.customer_id = (select aximo.current_customer())
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.tool_runs_by_status is 'Runs of tools, by what was said of them and day. Key: tool_name, status, day.';
comment on column aximo_metrics.tool_runs_by_status.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.tool_runs_by_status.tool_name is 'The tool.';
comment on column aximo_metrics.tool_runs_by_status.status is 'started, queued, running, succeeded, failed or blocked: what the event said of the run (helix.event_kinds.state).';
comment on column aximo_metrics.tool_runs_by_status.day is 'The day, UTC, of that event.';
comment on column aximo_metrics.tool_runs_by_status.runs is 'How many.';
comment on column aximo_metrics.tool_runs_by_status.queue_time_count is 'Of status running: how many had been queued.';
comment on column aximo_metrics.tool_runs_by_status.queue_time_sum_ms is 'Their time from run.queued to run.running, summed up, in milliseconds.';
comment on column aximo_metrics.tool_runs_by_status.queue_time_avg_ms is 'queue_time_sum_ms / queue_time_count.';
comment on column aximo_metrics.tool_runs_by_status.run_time_count is 'Of succeeded, failed and blocked: of how many the beginning is known.';
comment on column aximo_metrics.tool_runs_by_status.run_time_sum_ms is 'Their time from the latest run.running, else run.started, to the end, summed up, in milliseconds.';
comment on column aximo_metrics.tool_runs_by_status.run_time_avg_ms is 'run_time_sum_ms / run_time_count.';
comment on column aximo_metrics.tool_runs_by_status.counts_up_to is 'The number in the log of run events up to which it counts.';
