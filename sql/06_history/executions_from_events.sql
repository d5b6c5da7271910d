-- Worked out from the events, for a moment in the past: the rows only say how executions stand now.
create view aximo_private.executions_from_events as
select
    e.customer_id, e.execution_id,
    (array_agg(e.deployment_id order by e.step))[1] as deployment_id,
    (array_agg(e.skill_id order by e.step))[1] as skill_id,
    (array_agg(e.skill_version order by e.step))[1] as skill_version,
    case
        when count(*) filter (where e.event_type = 'execution_failed') > 0 then 'failed'
        when count(*) filter (where e.event_type = 'execution_completed') > 0 then 'completed'
        when count(*) filter (where e.event_type = 'approval_requested') > count(e.answers) then 'awaiting_approval'
        when count(*) filter (where e.event_type = 'execution_processing') > 0 then 'processing'
        else 'triggered'
    end as status,
    min(e."timestamp") filter (where e.event_type = 'execution_triggered') as started_at,
    min(e."timestamp") filter (where e.event_type in ('execution_completed', 'execution_failed')) as ended_at,
    min(e."timestamp") filter (where e.event_type in ('execution_completed', 'execution_failed'))
    - min(e."timestamp") filter (where e.event_type = 'execution_triggered') as duration,
    max(e."timestamp") as last_event_at, count(*) as events,
    count(*) filter (where e.event_type = 'action_prepared') as actions_prepared,
    count(*) filter (where e.event_type = 'action_dispatched') as actions_dispatched,
    count(*) filter (where e.event_type = 'action_failed') as actions_failed,
    count(*) filter (where e.event_type = 'approval_requested') as approvals_requested,
    count(*) filter (where e.event_type = 'approval_granted') as approvals_granted,
    count(*) filter (where e.event_type = 'approval_rejected') as approvals_rejected,
    count(*) filter (where e.event_type = 'approval_timeout') as approvals_timed_out,
    min(e.error_code) filter (where e.event_type = 'execution_failed') as error_code,
    min(e.payload ->> 'error') filter (where e.event_type = 'execution_failed') as error_message,
    case
        when count(*) filter (where e.event_type = 'execution_failed') > 0 then 'failed'
        when count(*) filter (where e.event_type = 'execution_completed') > 0 then 'completed'
    end as outcome
from aximo_private.history as e
where e.execution_id is not null
group by e.customer_id, e.execution_id;
comment on view aximo_private.executions_from_events is 'aximo.executions up to the moment looked at, from events alone.';
select aximo_private.take_comments('aximo.executions', 'aximo_private.executions_from_events');
