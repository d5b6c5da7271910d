-- The executions that show which version a deployment ran. Read from the rows, also for a moment in the past: a start never changes.
create view aximo_private.started_executions as
select
    x.customer_id, x.execution_id, x.deployment_id, x.skill_id, x.skill_version, x.started_at, x.start_step
from (
    select *
    from only aximo_private.executions -- noqa: PRS
) as x
where x.started_at <= (select aximo_private.as_of())
    and (
        (select aximo_private.as_of(known => true)) = 'infinity'
        or exists (
            select from aximo_private.history as e
            where e.customer_id = x.customer_id and e.execution_id = x.execution_id and e.step = x.start_step
        )
    );
comment on view aximo_private.started_executions is 'The executions of the session''s customer that had been triggered at the moment looked at.';
comment on column aximo_private.started_executions.start_step is 'The step that triggered it.';
select aximo_private.take_comments('aximo.executions', 'aximo_private.started_executions');
