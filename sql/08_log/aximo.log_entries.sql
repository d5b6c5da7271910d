-- The lists of an event's fields in this file are made by tools/event_fields.py.
create view aximo.log_entries as
select
    l.customer_id, l.number,
    e.event_id, e.event_type, e."timestamp", e.deployment_id, e.skill_id, e.skill_version, e.execution_id, e.risk_level, e.approval_mode,
    e.actor, e.payload, e.correlation_id, e.channel_type, e.error_code, e.latency_ms, e.recorded_at, e.recorded_by, e.step
from aximo.log_leaves as l
-- A look-up for each entry: without statistics the planner may turn a join into a pass over all events.
cross join lateral (
    select s.*
    from aximo.events as s
    where s.customer_id = l.customer_id and s.event_id = l.event_id
    offset 0
) as e
where l.log = 'events';
comment on view aximo.log_entries is 'The log of the session''s customer: its numbered events. Read it in order with aximo.read_log. Key: number.';
comment on column aximo.log_entries.number is 'The number in the log: 1, 2, 3 … without a gap, and never another.';
select aximo_private.take_comments('aximo.events', 'aximo.log_entries');
