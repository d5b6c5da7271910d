-- From the triggers without an end, so that it costs look-ups, not the customer's whole history of events.
create view aximo.open_executions with (security_barrier = true) as
select
    t.customer_id,
    t.execution_id,
    t.deployment_id,
    t.skill_id,
    t.skill_version,
    case
        when l.requests > l.answers then 'awaiting_approval'
        when l.processings > 0 then 'processing'
        else 'triggered'
    end as status,
    t."timestamp" as started_at,
    l.last_event_at,
    least(now(), aximo_private.as_of()) - t."timestamp" as age,
    least(now(), aximo_private.as_of()) - l.last_event_at as idle
from aximo_private.history as t
cross join lateral (
    select
        max(e."timestamp") as last_event_at,
        count(*) filter (where e.event_type = 'approval_requested') as requests,
        count(e.answers) as answers,
        count(*) filter (where e.event_type = 'execution_processing') as processings
    from aximo_private.history as e
    where e.customer_id = t.customer_id and e.execution_id = t.execution_id
) as l
where t.event_type = 'execution_triggered'
    -- A scalar sub-select is one index look-up a trigger at any size; an anti-join was planned as a nested loop over all ends.
    and (
        select true
        from aximo_private.history as e
        where e.customer_id = t.customer_id and e.execution_id = t.execution_id
            and e.event_type in ('execution_completed', 'execution_failed')
        limit 1
    ) is null;
alter view aximo.open_executions owner to aximo_owner;

comment on view aximo.open_executions is 'Executions that have begun and not ended. Key: execution_id.';
comment on column aximo.open_executions.customer_id is 'Whose execution it is.';
comment on column aximo.open_executions.execution_id is 'The execution.';
comment on column aximo.open_executions.deployment_id is 'The deployment that runs it.';
comment on column aximo.open_executions.skill_id is 'The skill.';
comment on column aximo.open_executions.skill_version is 'The version of the skill.';
comment on column aximo.open_executions.status is 'triggered, processing or awaiting_approval.';
comment on column aximo.open_executions.started_at is 'When it was triggered.';
comment on column aximo.open_executions.last_event_at is 'The latest timestamp of its events.';
comment on column aximo.open_executions.age is 'Time since it was triggered.';
comment on column aximo.open_executions.idle is 'Time since its latest event.';
