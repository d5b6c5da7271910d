-- Returns the customer that a call writes for. One that is leaving can still be read, and no longer written.
create function aximo_private.writing_customer(customer_id text) returns text
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo_private.named_customer(writing_customer.customer_id);
begin
    perform aximo_private.refuse_moved(customer);
    return customer;
end;
$$;
alter function aximo_private.writing_customer(text) owner to aximo_gatekeeper;
comment on function aximo_private.writing_customer(text) is 'The customer that a call of this session writes for: the one it names, else the session''s. ZXCUS: not granted, not named, or another than the session''s; ZXMOV: on another node, or on the way to one.';
