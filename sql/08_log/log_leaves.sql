create view aximo.log_leaves as
select
    customer_id, log, number, event_id, run_event_id, leaf
from only aximo_private.log_entries; -- noqa: PRS
comment on view aximo.log_leaves is 'The numbers of the session''s customer''s events, and the leaves of the trees, of both its logs. Key: log, number.';
comment on column aximo.log_leaves.customer_id is 'Whose event it is: always the session''s customer.';
comment on column aximo.log_leaves.log is 'events: of aximo.events. run_events: of helix.run_events.';
comment on column aximo.log_leaves.number is 'The number in the log.';
comment on column aximo.log_leaves.event_id is 'The event, of log events.';
comment on column aximo.log_leaves.run_event_id is 'The event''s event_id, of log run_events.';
comment on column aximo.log_leaves.leaf is 'sha256 of a zero byte and the event''s canonical line in UTF-8, as it was when the event was numbered.';
select aximo_private.take_comments('aximo.log_leaves', 'aximo_private.log_entries');
