-- Numbering is done for all customers at a time: it holds a lock that all depend on, and tells how many events there are.
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
            message = 'this login may work for certain customers only, and this is done for all',
            detail = format('login %L', session_user),
            hint = 'Do it as a login that was granted all customers (*), or none.',
            constraint = 'numbers_for_all';
    end if;
end;
$$;
alter function aximo_private.numbers_for_all() owner to aximo_gatekeeper;
comment on function aximo_private.numbers_for_all() is
'Refuses logins that were granted certain customers only, ZXCUS: what is done for all customers is not theirs to do.';
