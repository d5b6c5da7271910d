-- What changed since the cold one was made.
create materialized view aximo_private.runs_hot as
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
from aximo_private.run_rows(true) as m
with no data;
alter materialized view aximo_private.runs_hot owner to aximo_meter;
create unique index runs_hot_key on aximo_private.runs_hot (customer_id, day, tool_name, state);
-- Statistics would tell, through row estimates, how much other customers have.
alter materialized view aximo_private.runs_hot
    alter customer_id set statistics 0,
    alter tool_name set statistics 0,
    alter state set statistics 0,
    alter day set statistics 0,
    alter events set statistics 0,
    alter waits set statistics 0,
    alter wait_us set statistics 0,
    alter runs set statistics 0,
    alter run_us set statistics 0;

comment on materialized view aximo_private.runs_hot is 'Runs: what changed since the cold one was made.';
comment on column aximo_private.runs_hot.customer_id is 'Whose runs.';
comment on column aximo_private.runs_hot.tool_name is 'The tool.';
comment on column aximo_private.runs_hot.state is 'What was said of the run.';
comment on column aximo_private.runs_hot.day is 'When the day begins.';
comment on column aximo_private.runs_hot.events is 'How many events said so.';
comment on column aximo_private.runs_hot.waits is 'How many had been queued before.';
comment on column aximo_private.runs_hot.wait_us is 'The time they had been, summed up, in microseconds.';
comment on column aximo_private.runs_hot.runs is 'Of how many the beginning is known.';
comment on column aximo_private.runs_hot.run_us is 'The time from there to the end, summed up, in microseconds.';
comment on index aximo_private.runs_hot_key is 'For REFRESH CONCURRENTLY, and to read a customer''s rows of some time.';
