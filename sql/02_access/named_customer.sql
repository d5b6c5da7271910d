-- Returns the customer that a call is for: the one that it names, else the session's. It reads the access map itself, so that a write
-- reads the map once.
create function aximo_private.named_customer(customer_id text) returns text
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    session_names constant text := nullif(current_setting('aximo.customer_id', true), '');
    customer text := named_customer.customer_id;
begin
    if customer is null then
        customer := aximo.current_customer();
    elsif customer = '' or customer <> session_names then
        customer := null;
    else
        perform
        from aximo_private.customer_grants as g
        where g.role_name = session_user::text and g.customer_id in (customer, '*');
        if not found then
            customer := null;
        end if;
    end if;

    if customer is null then
        perform aximo_private.refuse_moved(coalesce(named_customer.customer_id, session_names));
        raise exception using
            errcode = 'ZXCUS',
            message = 'this session may not write for that customer',
            detail = format(
                'login %L, the event is of %s, the session is of %s', session_user,
                coalesce('customer ' || quote_literal(left(named_customer.customer_id, 60)), 'no customer'),
                coalesce('customer ' || quote_literal(left(session_names, 60)), 'no customer')
            ),
            hint = 'Name the customer in the call or with SET LOCAL aximo.customer_id, and have it granted with aximo.grant_customer.',
            constraint = 'customer_granted';
    end if;
    if customer = '*' then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed event',
            detail = 'customer_id is ''*''',
            hint = '* stands for all customers in a grant. Name one customer.',
            constraint = 'customer_id_not_all';
    end if;
    return customer;
end;
$$;
alter function aximo_private.named_customer(text) owner to aximo_gatekeeper;
comment on function aximo_private.named_customer(text) is 'The customer that a call of this session is for: the one it names, else the session''s. ZXCUS: not granted, not named, or another than the session''s; ZXMOV: on another node.';
