-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- ONLY leaves out the rows of a table that somebody lets inherit from this one. payload || '{}' is the payload. But a condition on it, such
-- as payload['k'] is not null, waits for the policy; otherwise it would run first, and EXPLAIN ANALYZE would tell whether an event of any
-- customer has that key.
create view aximo.events as
select
    event_id, event_type, "timestamp", customer_id, deployment_id, skill_id, skill_version, execution_id, risk_level, approval_mode, actor,
    payload || '{}' as payload, correlation_id, channel_type, error_code, latency_ms, recorded_at, recorded_by, step::bigint as step
from only aximo_private.events; -- noqa: PRS
comment on view aximo.events is 'The events of the session''s customer, one row an event. Key: event_id.';
comment on column aximo.events.event_id is 'The event''s id, unique within its customer.';
comment on column aximo.events.event_type is 'What happened: one of aximo.event_types.';
comment on column aximo.events."timestamp" is 'When it happened, by the client''s clock.';
comment on column aximo.events.customer_id is 'Whose event it is: always the session''s customer.';
comment on column aximo.events.deployment_id is 'The deployment concerned.';
comment on column aximo.events.skill_id is 'The skill it runs.';
comment on column aximo.events.skill_version is 'The version of the skill.';
comment on column aximo.events.execution_id is 'The execution; null only for governance and lifecycle events.';
comment on column aximo.events.risk_level is 'The risk, in the platform''s own vocabulary.';
comment on column aximo.events.approval_mode is 'How it is approved, in the platform''s own vocabulary.';
comment on column aximo.events.actor is 'Who acted: system, founder, operator or external_user, as the service claims.';
comment on column aximo.events.payload is 'The rest, a JSON object.';
comment on column aximo.events.correlation_id is 'What ties it to other events, if anything.';
comment on column aximo.events.channel_type is 'The channel it came through, if any.';
comment on column aximo.events.error_code is 'The error, if any.';
comment on column aximo.events.latency_ms is 'A latency the client measured, in milliseconds.';
comment on column aximo.events.recorded_at is 'When it was written, by the database''s clock.';
comment on column aximo.events.recorded_by is 'The login that wrote it.';
comment on column aximo.events.step is 'Its place in its execution: 1, 2, 3 … without a gap; null without an execution.';
select aximo_private.take_comments('aximo.events', 'aximo_private.events');
