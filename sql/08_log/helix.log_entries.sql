create view helix.log_entries as
select
    l.customer_id, l.number, e.event_id, e.run_id, e.ts, e.kind, e.message, e.data, e.extra, e.recorded_at, e.recorded_by
from aximo.log_leaves as l
-- A look-up for each entry: without statistics the planner may turn a join into a pass over all events.
cross join lateral (
    select s.* -- noqa: RF01
    from only helix.run_events as s -- noqa: PRS
    where s.customer_id = l.customer_id and s.event_id = l.run_event_id
    offset 0
) as e
where l.log = 'run_events';
comment on view helix.log_entries is 'The log of the run events of the session''s customer. Read it in order with helix.read_log. Key: number.';
comment on column helix.log_entries.number is 'The number in the log: 1, 2, 3 … without a gap, and never another.';
comment on column helix.log_entries.event_id is 'The event.';
comment on column helix.log_entries.kind is 'What happened.';
comment on column helix.log_entries.recorded_at is 'When it was written, by the database''s clock.';
comment on column helix.log_entries.recorded_by is 'The login that wrote it.';
select aximo_private.take_comments('helix.run_events', 'helix.log_entries');
