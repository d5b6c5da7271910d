-- No security_barrier, as on aximo.events: the table's policy is one, and the option would keep ORDER BY ... LIMIT from the index.
create view aximo.log_entries as
select
    l.customer_id,
    l.number,
    e.event_id,
    e.event_type,
    e."timestamp",
    e.deployment_id,
    e.skill_id,
    e.skill_version,
    e.execution_id,
    e.risk_level,
    e.approval_mode,
    e.actor,
    e.payload,
    e.correlation_id,
    e.channel_type,
    e.error_code,
    e.latency_ms,
    e.recorded_at,
    e.recorded_by,
    e.step
from aximo.log_leaves as l
-- A look-up for each entry: without statistics a join may be planned as a pass over all events.
cross join lateral (
    select s.*
    from aximo.events as s
    where s.customer_id = l.customer_id and s.event_id = l.event_id
    offset 0
) as e
where l.log = 'events';
comment on view aximo.log_entries is 'The log of the session''s customer: its numbered events. Read it in order with aximo.read_log. Key: number.';
comment on column aximo.log_entries.customer_id is 'Whose event it is: always the session''s customer.';
comment on column aximo.log_entries.number is 'The number in the log: 1, 2, 3 … without a gap, and never another.';
comment on column aximo.log_entries.event_id is 'The event''s id, unique within its customer.';
comment on column aximo.log_entries.event_type is 'What happened: one of aximo.event_types.';
comment on column aximo.log_entries."timestamp" is 'When it happened, by the client''s clock.';
comment on column aximo.log_entries.deployment_id is 'The deployment concerned.';
comment on column aximo.log_entries.skill_id is 'The skill it runs.';
comment on column aximo.log_entries.skill_version is 'The version of the skill.';
comment on column aximo.log_entries.execution_id is 'The execution; null only for governance and lifecycle events.';
comment on column aximo.log_entries.risk_level is 'The risk, in the platform''s own vocabulary.';
comment on column aximo.log_entries.approval_mode is 'How it is approved, in the platform''s own vocabulary.';
comment on column aximo.log_entries.actor is 'Who acted: system, founder, operator or external_user, as the service claims.';
comment on column aximo.log_entries.payload is 'The rest, a JSON object.';
comment on column aximo.log_entries.correlation_id is 'What ties it to other events, if anything.';
comment on column aximo.log_entries.channel_type is 'The channel it came through, if any.';
comment on column aximo.log_entries.error_code is 'The error, if any.';
comment on column aximo.log_entries.latency_ms is 'A latency the client measured, in milliseconds.';
comment on column aximo.log_entries.recorded_at is 'When it was written, by the database''s clock.';
comment on column aximo.log_entries.recorded_by is 'The login that wrote it.';
comment on column aximo.log_entries.step is 'Its place in its execution: 1, 2, 3 … without a gap; null without an execution.';
