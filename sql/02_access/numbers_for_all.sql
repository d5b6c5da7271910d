-- Whoever numbers events does it for all customers, holds a lock that all of them wait for, and learns how many events there are.
create function aximo_private.numbers_for_all() returns void
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from aximo_private.customer_grants as g where g.role_name = session_user::text)
        and not exists (
            select from aximo_private.customer_grants as g
            where g.role_name = session_user::text and g.customer_id = '*'
        ) then
        raise exception using
            errcode = 'ZXCUS',
            message = 'this login works for certain customers only, and numbering is for all',
            detail = format('login %L', session_user),
            hint = 'Let a login without customers do it, or one that was granted all of them (*).',
            constraint = 'numbers_for_all';
    end if;
end;
$$;
alter function aximo_private.numbers_for_all() owner to aximo_gatekeeper;
comment on function aximo_private.numbers_for_all() is 'Raises ZXCUS for a login that was granted certain customers only: it may do nothing for all customers.';
