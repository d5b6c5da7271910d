-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- Reads the table, not aximo_private.history: a trace is the most frequent question, and there is no trace for a moment in the past.
create view aximo.execution_steps with (security_barrier = true) as
select
    customer_id, execution_id, step::bigint as step, "timestamp",
    "timestamp" - first_value("timestamp") over arrival as since_start,
    "timestamp" - lag("timestamp") over arrival as since_previous,
    event_type, actor, deployment_id, skill_id, skill_version, risk_level, approval_mode, correlation_id, channel_type, error_code,
    latency_ms, payload, event_id, answers as answers_event_id, recorded_at, recorded_by, null::text as run_id,
    null::bigint as run_event_id, null::text as message
from only aximo_private.events -- noqa: PRS
where execution_id is not null
window arrival as (partition by customer_id, execution_id order by step);
comment on view aximo.execution_steps is 'Every event that belongs to an execution, in order of arrival within it. Key: execution_id, step.';
comment on column aximo.execution_steps.customer_id is 'Whose execution it is.';
comment on column aximo.execution_steps.execution_id is 'The execution.';
comment on column aximo.execution_steps.step is '1, 2, 3 … in order of arrival.';
comment on column aximo.execution_steps.since_start is 'Time since the execution''s first event; negative if the clocks disagree.';
comment on column aximo.execution_steps.since_previous is 'Time since the event before; null for the first.';
comment on column aximo.execution_steps.event_type is 'What happened.';
comment on column aximo.execution_steps.actor is 'Who acted.';
comment on column aximo.execution_steps.deployment_id is 'The deployment.';
comment on column aximo.execution_steps.skill_id is 'The skill.';
comment on column aximo.execution_steps.skill_version is 'Its version.';
comment on column aximo.execution_steps.risk_level is 'The risk, if any was given.';
comment on column aximo.execution_steps.approval_mode is 'How it is approved, if given.';
comment on column aximo.execution_steps.channel_type is 'The channel, if given.';
comment on column aximo.execution_steps.latency_ms is 'A latency in milliseconds, if given.';
comment on column aximo.execution_steps.event_id is 'The event.';
comment on column aximo.execution_steps.answers_event_id is 'For an answer to an approval: the event_id of the request.';
comment on column aximo.execution_steps.run_id is 'Null here; aximo.execution_trace also shows the events of tool runs, and of those the run.';
comment on column aximo.execution_steps.run_event_id is 'The same: their event_id.';
comment on column aximo.execution_steps.message is 'The same: their message.';
select aximo_private.take_comments('aximo.events', 'aximo.execution_steps');
