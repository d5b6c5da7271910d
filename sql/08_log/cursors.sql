create view aximo.cursors with (security_barrier = true) as
select
    customer_id, log, name::text as name, number, aximo.log_size(log) - number as behind, moved_at, moved_by
from only aximo_private.log_cursors; -- noqa: PRS
comment on view aximo.cursors is 'The consumers of the logs of the session''s customer, and how far they have come. Key: log, name.';
comment on column aximo.cursors.customer_id is 'Whose log: always the session''s customer.';
comment on column aximo.cursors.log is 'events: of aximo.events. run_events: of helix.run_events.';
comment on column aximo.cursors.name is 'The consumer.';
comment on column aximo.cursors.number is 'The last number it is done with; 0 before the first.';
comment on column aximo.cursors.behind is 'How many numbered events it has not read yet.';
comment on column aximo.cursors.moved_at is 'When it was moved last, by the database''s clock.';
comment on column aximo.cursors.moved_by is 'The login that moved it.';
select aximo_private.take_comments('aximo.cursors', 'aximo_private.log_cursors');
