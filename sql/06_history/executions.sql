create view aximo.executions with (security_barrier = true) as
select
    e.customer_id,
    e.execution_id,
    min(e.deployment_id) as deployment_id,
    min(e.skill_id) as skill_id,
    min(e.skill_version) as skill_version,
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
    max(e."timestamp") as last_event_at,
    count(*) as events,
    count(*) filter (where e.event_type = 'action_prepared') as actions_prepared,
    count(*) filter (where e.event_type = 'action_dispatched') as actions_dispatched,
    count(*) filter (where e.event_type = 'action_failed') as actions_failed,
    count(*) filter (where e.event_type = 'approval_requested') as approvals_requested,
    count(*) filter (where e.event_type = 'approval_granted') as approvals_granted,
    count(*) filter (where e.event_type = 'approval_rejected') as approvals_rejected,
    count(*) filter (where e.event_type = 'approval_timeout') as approvals_timed_out,
    min(e.error_code) filter (where e.event_type = 'execution_failed') as error_code,
    min(e.payload ->> 'error') filter (where e.event_type = 'execution_failed') as error_message
from aximo_private.history as e
where e.execution_id is not null
group by e.customer_id, e.execution_id;
alter view aximo.executions owner to aximo_owner;

comment on view aximo.executions is 'How each execution stands or ended, derived from its events. Key: execution_id.';
comment on column aximo.executions.customer_id is 'Whose execution it is.';
comment on column aximo.executions.execution_id is 'The execution.';
comment on column aximo.executions.deployment_id is 'The deployment that ran it.';
comment on column aximo.executions.skill_id is 'The skill.';
comment on column aximo.executions.skill_version is 'The version of the skill.';
comment on column aximo.executions.status is 'triggered, processing, awaiting_approval, completed or failed.';
comment on column aximo.executions.started_at is 'When it was triggered.';
comment on column aximo.executions.ended_at is 'When it completed or failed; null while it is open.';
comment on column aximo.executions.duration is 'From trigger to end; null while it is open.';
comment on column aximo.executions.last_event_at is 'The latest timestamp of its events.';
comment on column aximo.executions.events is 'How many events it has.';
comment on column aximo.executions.actions_prepared is 'How many actions were prepared.';
comment on column aximo.executions.actions_dispatched is 'How many actions were dispatched.';
comment on column aximo.executions.actions_failed is 'How many actions failed.';
comment on column aximo.executions.approvals_requested is 'How many approvals were requested.';
comment on column aximo.executions.approvals_granted is 'How many approvals were granted.';
comment on column aximo.executions.approvals_rejected is 'How many approvals were rejected.';
comment on column aximo.executions.approvals_timed_out is 'How many approvals timed out.';
comment on column aximo.executions.error_code is 'The error_code of execution_failed.';
comment on column aximo.executions.error_message is 'What execution_failed says in payload.error.';
