create view aximo_metrics.tool_runs_by_status with (security_barrier = true) as
select
    m.customer_id,
    m.tool_name,
    m.state as status,
    (m.day at time zone 'UTC')::date as day,
    m.events as runs,
    (m.wait_us / nullif(m.waits, 0) / 1000)::double precision as queue_avg_ms,
    (m.run_us / nullif(m.runs, 0) / 1000)::double precision as run_avg_ms,
    (
        select h.counts_up_to
        from aximo_private.run_heads as h
        where h.customer_id = (select aximo.current_customer())
    ) as counts_up_to
from aximo_private.run_measures as m
-- What a query asks for is looked at after this: else EXPLAIN ANALYZE shows whether it met another customer's row.
offset 0;
alter view aximo_metrics.tool_runs_by_status owner to aximo_owner;

comment on view aximo_metrics.tool_runs_by_status is 'Runs of tools, by what was said of them and day. Key: tool_name, status, day.';
comment on column aximo_metrics.tool_runs_by_status.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.tool_runs_by_status.tool_name is 'The tool.';
comment on column aximo_metrics.tool_runs_by_status.status is 'started, queued, running, succeeded, failed or blocked: what the event said of the run (helix.event_kinds.state).';
comment on column aximo_metrics.tool_runs_by_status.day is 'The day, UTC, of that event.';
comment on column aximo_metrics.tool_runs_by_status.runs is 'How many.';
comment on column aximo_metrics.tool_runs_by_status.queue_avg_ms is 'Of status running: how long they had been queued, on average, in milliseconds; null if no events tell.';
comment on column aximo_metrics.tool_runs_by_status.run_avg_ms is 'Of succeeded, failed and blocked: how long they had run, on average, in milliseconds; null if no events tell.';
comment on column aximo_metrics.tool_runs_by_status.counts_up_to is 'The number in the log of run events up to which it counts.';
