-- The customer's rows: the hot ones, and the cold ones that are not among them.
create view aximo_private.run_measures with (security_barrier = true) as
select
    h.customer_id,
    h.tool_name,
    h.state,
    h.day,
    h.events,
    h.waits,
    h.wait_us,
    h.runs,
    h.run_us
from aximo_private.runs_hot as h
where h.customer_id = (select aximo.current_customer())
union all
select
    c.customer_id,
    c.tool_name,
    c.state,
    c.day,
    c.events,
    c.waits,
    c.wait_us,
    c.runs,
    c.run_us
from aximo_private.runs_cold as c
where c.customer_id = (select aximo.current_customer())
    and not exists (
        select
        from aximo_private.runs_hot as h
        where h.customer_id = c.customer_id and h.day = c.day and h.tool_name = c.tool_name and h.state = c.state
    );
alter view aximo_private.run_measures owner to aximo_owner;
comment on view aximo_private.run_measures is 'Runs of the session''s customer, per tool, state and day.';
comment on column aximo_private.run_measures.customer_id is 'Whose runs.';
comment on column aximo_private.run_measures.tool_name is 'The tool.';
comment on column aximo_private.run_measures.state is 'What was said of the run.';
comment on column aximo_private.run_measures.day is 'When the day begins.';
comment on column aximo_private.run_measures.events is 'How many events said so.';
comment on column aximo_private.run_measures.waits is 'How many had been queued before.';
comment on column aximo_private.run_measures.wait_us is 'The time they had been, summed up, in microseconds.';
comment on column aximo_private.run_measures.runs is 'Of how many the beginning is known.';
comment on column aximo_private.run_measures.run_us is 'The time from there to the end, summed up, in microseconds.';
