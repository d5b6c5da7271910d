-- A customer that is hidden is no session's customer, so this view goes by what the login was granted.
create view aximo.placements with (security_barrier = true) as
select customer_id, state, node, since
from only aximo_private.placements -- noqa: PRS
where array[customer_id, '*'] && (select aximo_private.session_grants())
offset 0;
comment on view aximo.placements is 'The customers of the session''s login that are not simply here, but on another node of the fleet or on the way. Key: customer_id.';
select aximo_private.take_comments('aximo_private.placements', 'aximo.placements');
