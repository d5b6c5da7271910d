create function aximo.my_customers() returns setof text
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select g.customer_id
    from aximo_private.customer_grants as g
    where g.role_name = session_user::text
    order by g.customer_id;
end;
$$;
alter function aximo.my_customers() owner to aximo_gatekeeper;
comment on function aximo.my_customers() is
'The customers that this login was granted and may name in aximo.customer_id; * stands for all of them. A login with one customer needs to name none. No rows: it was granted none, and sees nothing.';
