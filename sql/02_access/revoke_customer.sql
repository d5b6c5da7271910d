create function aximo.revoke_customer(role text, customer_id text) returns void
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from aximo_private.customer_grants as g
    where g.role_name = revoke_customer.role and g.customer_id = revoke_customer.customer_id;
    if not found then
        raise exception using
            errcode = 'ZXARG',
            message = 'there is no such grant to take back',
            detail = format('role %L, customer_id %L', revoke_customer.role, revoke_customer.customer_id),
            hint = 'aximo-db doctor lists the grants. A login with * keeps every customer until * is revoked.',
            constraint = 'grant_exists';
    end if;
    insert into aximo_private.access_changes (role_name, customer_id, is_granted)
    values (revoke_customer.role, revoke_customer.customer_id, false);
end;
$$;
alter function aximo.revoke_customer(text, text) owner to aximo_gatekeeper;
comment on function aximo.revoke_customer(text, text) is 'Takes a customer from a login, from its next statement on; also for a role that was dropped meanwhile. ZXARG: it was not granted, so that a typo does not pass for a revocation.';
