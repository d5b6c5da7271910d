-- All there was when it was last refreshed; what changed since is in the hot one, which is what a refresh usually makes anew.
create materialized view aximo_private.runs_cold as
select
    m.customer_id,
    m.tool_name,
    m.state,
    m.day,
    m.events,
    m.waits,
    m.wait_us,
    m.runs,
    m.run_us
from aximo_private.run_rows(false) as m
with no data;
alter materialized view aximo_private.runs_cold owner to aximo_meter;
create unique index runs_cold_key on aximo_private.runs_cold (customer_id, day, tool_name, state);
-- Statistics would tell, through row estimates, how much other customers have.
alter materialized view aximo_private.runs_cold
    alter customer_id set statistics 0,
    alter tool_name set statistics 0,
    alter state set statistics 0,
    alter day set statistics 0,
    alter events set statistics 0,
    alter waits set statistics 0,
    alter wait_us set statistics 0,
    alter runs set statistics 0,
    alter run_us set statistics 0;

comment on materialized view aximo_private.runs_cold is 'Runs: all of it, as of an earlier refresh.';
comment on column aximo_private.runs_cold.customer_id is 'Whose runs.';
comment on column aximo_private.runs_cold.tool_name is 'The tool.';
comment on column aximo_private.runs_cold.state is 'What was said of the run.';
comment on column aximo_private.runs_cold.day is 'When the day begins.';
comment on column aximo_private.runs_cold.events is 'How many events said so.';
comment on column aximo_private.runs_cold.waits is 'How many had been queued before.';
comment on column aximo_private.runs_cold.wait_us is 'The time they had been, summed up, in microseconds.';
comment on column aximo_private.runs_cold.runs is 'Of how many the beginning is known.';
comment on column aximo_private.runs_cold.run_us is 'The time from there to the end, summed up, in microseconds.';
comment on index aximo_private.runs_cold_key is 'For REFRESH CONCURRENTLY, and to read a customer''s rows of some time.';
