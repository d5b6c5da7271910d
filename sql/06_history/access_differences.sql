-- The latest change of a login and a customer says whether the login has that customer now.
create function aximo_private.access_differences() returns table (role_name text, customer_id text, is_granted boolean)
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select coalesce(g.role_name, l.role_name), coalesce(g.customer_id, l.customer_id), g.role_name is not null
    from aximo_private.customer_grants as g
    full join (
        select distinct on (c.customer_id, c.role_name) c.customer_id, c.role_name, c.is_granted
        from only aximo_private.access_changes as c
        order by c.customer_id, c.role_name, c.changed_at desc, c.change_id desc
    ) as l on l.customer_id = g.customer_id and l.role_name = g.role_name
    where (g.role_name is not null) is distinct from coalesce(l.is_granted, false);
end;
$$;
alter function aximo_private.access_differences() owner to aximo_gatekeeper;
comment on function aximo_private.access_differences() is 'Where the access map differs from its history, for doctor: a login has a customer in the map and not by the history, or by the history and not in the map.';
