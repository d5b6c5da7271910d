create function aximo_private.session_grants() returns text[]
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return array(
        select g.customer_id
        from aximo_private.customer_grants as g
        where g.role_name = session_user::text
        order by g.customer_id
    );
end;
$$;
alter function aximo_private.session_grants() owner to aximo_gatekeeper;
comment on function aximo_private.session_grants() is 'What the session''s login was granted: customers, and * for all of them.';
