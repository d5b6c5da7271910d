-- Makes the customer named in a call the session's customer, for that call, or finds out whose the session is.
create function aximo_private.enter_customer(customer_id text) returns text
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer text;
begin
    if coalesce(current_setting('aximo.customer_id', true), '') = '' and enter_customer.customer_id <> '' then
        perform set_config('aximo.customer_id', enter_customer.customer_id, true);
    end if;
    customer := aximo.current_customer();
    if customer is null or customer <> enter_customer.customer_id then
        raise exception using
            errcode = 'ZXCUS',
            message = 'this session may not write for that customer',
            detail = format(
                'login %L, customer of the event %L, customer of the session %L',
                session_user, enter_customer.customer_id, current_setting('aximo.customer_id', true)
            ),
            hint = 'Name the customer in the call or with SET LOCAL aximo.customer_id, and have it granted with aximo.grant_customer.',
            constraint = 'customer_granted';
    end if;
    if customer = '*' then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed event',
            detail = 'customer_id: * stands for all customers and is none itself',
            hint = 'Name one customer.',
            constraint = 'customer_id_not_all';
    end if;
    if enter_customer.customer_id is null then
        perform set_config('aximo.customer_id', customer, true);
    end if;
    return customer;
end;
$$;
alter function aximo_private.enter_customer(text) owner to aximo_recorder;
comment on function aximo_private.enter_customer(text) is
'The customer that a call writes for: the one it names, else the session''s. Sets aximo.customer_id, transaction-local, if it was not set. ZXCUS: not granted, not named, or another than the session''s.';
