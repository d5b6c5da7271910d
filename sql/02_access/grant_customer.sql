create function aximo.grant_customer(role text, customer_id text) returns void
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from pg_catalog.pg_roles as r where r.rolname = grant_customer.role) then
        raise exception using
            errcode = 'ZXARG',
            message = 'there is no such role',
            detail = format('role %L', grant_customer.role),
            hint = 'Create the login first, then grant it a customer.',
            constraint = 'role_exists';
    end if;
    if grant_customer.customer_id is null or grant_customer.customer_id = '' then
        raise exception using
            errcode = 'ZXARG',
            message = 'the grant names no customer',
            detail = 'customer_id is null or empty',
            hint = 'Name one customer, or ''*'' for all customers, present and future.',
            constraint = 'customer_id_present';
    end if;
    if char_length(grant_customer.customer_id) > 255 or btrim(grant_customer.customer_id) = '' then
        raise exception using
            errcode = 'ZXARG',
            message = 'no customer can have that name',
            detail = format('customer_id has %s characters', char_length(grant_customer.customer_id)),
            hint = 'A customer_id has 1 to 255 characters and is not blank.',
            constraint = 'customer_id_well_formed';
    end if;
    insert into aximo_private.customer_grants (role_name, customer_id)
    values (grant_customer.role, grant_customer.customer_id)
    on conflict do nothing;
    if found then
        insert into aximo_private.access_changes (role_name, customer_id, is_granted)
        values (grant_customer.role, grant_customer.customer_id, true);
    end if;
end;
$$;
alter function aximo.grant_customer(text, text) owner to aximo_gatekeeper;
comment on function aximo.grant_customer(text, text) is 'Lets a login work for a customer, or for all customers, present and future, if customer_id is *. Says nothing about what it may do there: grant aximo_reader, aximo_writer or another group role for that. Granting twice is a success. ZXARG: no such role, or no customer named.';
