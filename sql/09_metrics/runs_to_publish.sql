-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_private.runs_to_publish with (security_barrier = true) as
select
    r.customer_id,
    r.tool_name,
    r.state,
    r.day,
    r.events,
    r.waits,
    (r.wait_us / 1000)::numeric(38, 3) as wait_ms,
    (r.wait_us / nullif(r.waits, 0))::double precision / 1000 as wait_avg_ms,
    r.runs,
    (r.run_us / 1000)::numeric(38, 3) as run_ms,
    (r.run_us / nullif(r.runs, 0))::double precision / 1000 as run_avg_ms,
    r.changed_in
from aximo_private.run_sums as r;
alter view aximo_private.runs_to_publish owner to aximo_meter;

comment on view aximo_private.runs_to_publish is 'Every row of run_sums as it is published.';
comment on column aximo_private.runs_to_publish.wait_ms is 'The time they had been, summed up, in milliseconds.';
comment on column aximo_private.runs_to_publish.wait_avg_ms is 'wait_ms / waits.';
comment on column aximo_private.runs_to_publish.run_ms is 'The time from there to the end, summed up, in milliseconds.';
comment on column aximo_private.runs_to_publish.run_avg_ms is 'run_ms / runs.';
