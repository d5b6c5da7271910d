-- What the views of this folder are derived from. No security_barrier: the table's own policy is one, and a barrier in here would
-- keep join conditions out. IS NOT TRUE keeps the planner from reading a whole index for a condition that is nearly always met.
create view aximo_private.history as
select
    position,
    event_id,
    answers,
    step,
    event_type,
    "timestamp",
    customer_id,
    deployment_id,
    skill_id,
    skill_version,
    execution_id,
    risk_level,
    approval_mode,
    actor,
    payload,
    correlation_id,
    channel_type,
    error_code,
    latency_ms,
    recorded_at,
    recorded_by
from only aximo_private.events -- noqa: PRS
where ("timestamp" > (select aximo_private.as_of())) is not true
    and (recorded_at > (select aximo_private.as_of(known => true))) is not true;
comment on view aximo_private.history is 'The events of the session''s customer, up to the moment looked at, with their order of arrival.';
comment on column aximo_private.history.position is 'Order of arrival, with gaps; no client sets or sees it.';
comment on column aximo_private.history."timestamp" is 'When it happened, by the client''s clock.';
comment on column aximo_private.history.recorded_at is 'When it was written, by the database''s clock; no client sets it.';
comment on column aximo_private.history.latency_ms is 'A latency the client measured, in milliseconds.';
comment on column aximo_private.history.event_id is 'The event''s id, unique within its customer: the client''s, or made here.';
comment on column aximo_private.history.answers is 'For the answer to an approval: the event_id of the request it answers. Worked out when it is written.';
comment on column aximo_private.history.step is 'Its place in its execution.';
comment on column aximo_private.history.event_type is 'What happened: one of aximo.event_types.';
comment on column aximo_private.history.customer_id is 'Whose event it is.';
comment on column aximo_private.history.deployment_id is 'The deployment concerned.';
comment on column aximo_private.history.skill_id is 'The skill it runs.';
comment on column aximo_private.history.skill_version is 'The version of the skill.';
comment on column aximo_private.history.execution_id is 'The execution; null only for governance and lifecycle events.';
comment on column aximo_private.history.actor is 'Who acted: system, founder, operator or external_user, as the service claims.';
comment on column aximo_private.history.risk_level is 'The risk, in the platform''s own vocabulary.';
comment on column aximo_private.history.approval_mode is 'How it is approved, in the platform''s own vocabulary.';
comment on column aximo_private.history.correlation_id is 'What ties it to other events, if anything.';
comment on column aximo_private.history.channel_type is 'The channel it came through, if any.';
comment on column aximo_private.history.error_code is 'The error, if any.';
comment on column aximo_private.history.recorded_by is 'The login that wrote it (session_user); no client sets it.';
comment on column aximo_private.history.payload is 'The rest, a JSON object.';
