-- Says where a customer is that is not here, or is leaving: then it can be read, and not be written for. It tells this to a login that was granted the customer, and to nobody else.
create function aximo_private.refuse_moved(customer_id text) returns void
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    found_one record;
    rule text;
begin
    select p.customer_id, p.state, p.node into found_one
    from only aximo_private.placements as p
    where p.customer_id = coalesce(
            refuse_moved.customer_id,
            (select min(g.customer_id) from aximo_private.customer_grants as g where g.role_name = session_user::text having count(*) = 1)
        )
        and exists (
            select from aximo_private.customer_grants as g
            where g.role_name = session_user::text and g.customer_id in (p.customer_id, '*')
        );
    if found then
        rule := case
            when found_one.state = 'leaving' then 'customer_is_leaving'
            when found_one.state = 'arriving' then 'customer_is_arriving'
            when found_one.state = 'gone' then 'customer_is_gone'
        end;
        raise exception using
            errcode = 'ZXMOV',
            message = case rule
                when 'customer_is_leaving' then 'this customer is leaving this node, and nobody writes for it meanwhile'
                when 'customer_is_arriving' then 'this customer is not on this node yet'
                else 'this customer is not on this node'
            end,
            detail = format('customer %L is %s, the other node is %s', left(found_one.customer_id, 60), found_one.state, found_one.node),
            hint = case rule
                when 'customer_is_leaving' then format('It is being moved to node %s: try again in a moment, then there.', found_one.node)
                when 'customer_is_arriving' then format('It is being moved here from node %s: go on there until that is done.', found_one.node)
                else format('It is on node %s: connect to that one.', found_one.node)
            end,
            constraint = rule;
    end if;
end;
$$;
alter function aximo_private.refuse_moved(text) owner to aximo_gatekeeper;
comment on function aximo_private.refuse_moved(text) is 'Raises ZXMOV, with the node, if the session''s login was granted that customer, or the only one it was granted, and the customer is leaving, arriving or gone.';
