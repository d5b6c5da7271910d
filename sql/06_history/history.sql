-- The events that the other views of this folder are worked out from. It has no security_barrier, which would keep join conditions out. IS
-- NOT TRUE keeps the planner from reading a whole index for a condition that nearly all rows meet.
create view aximo_private.history as
select *
from only aximo_private.events -- noqa: PRS
where ("timestamp" > (select aximo_private.as_of())) is not true
    and (recorded_at > (select aximo_private.as_of(known => true))) is not true;
comment on view aximo_private.history is 'The events of the session''s customer, up to the moment looked at, with their order of arrival.';
select aximo_private.take_comments('aximo_private.events', 'aximo_private.history');
