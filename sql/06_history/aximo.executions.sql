create view aximo.executions as
select
    customer_id, execution_id, deployment_id, skill_id, skill_version,
    case
        when outcome = 'failed' then 'failed'
        when outcome = 'completed' then 'completed'
        when open_approvals > 0 then 'awaiting_approval'
        when processing then 'processing'
        else 'triggered'
    end as status,
    started_at, ended_at, ended_at - started_at as duration,
    last_event_at, steps::bigint as events, actions_prepared::bigint as actions_prepared,
    actions_dispatched::bigint as actions_dispatched, actions_failed::bigint as actions_failed,
    approvals_requested::bigint as approvals_requested, approvals_granted::bigint as approvals_granted,
    approvals_rejected::bigint as approvals_rejected, approvals_timed_out::bigint as approvals_timed_out, error_code, error_message,
    outcome
from only aximo_private.executions; -- noqa: PRS
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
comment on column aximo.executions.outcome is 'completed or failed; null while it is open. Ask by it, not by status, for those that ended in some way: it has an index.';
select aximo_private.take_comments('aximo.executions', 'aximo_private.executions');
