-- The one place that decides for whom a session works. Every policy asks it, as (select aximo.current_customer()), once a statement.
-- STABLE, not IMMUTABLE: a prepared statement must ask again. session_user, not current_user: the latter is the definer's in here.
create function aximo.current_customer() returns text
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    -- After a transaction that named a customer the setting reads '', not null.
    named constant text := nullif(current_setting('aximo.customer_id', true), '');
    granted text[];
begin
    if named is null then
        -- A login bound to one customer needs to name none.
        select array_agg(g.customer_id) into granted
        from (
            select customer_id
            from aximo_private.customer_grants
            where role_name = session_user::text
            limit 2
        ) as g;
        if cardinality(granted) = 1 and granted[1] <> '*' then
            return granted[1];
        end if;
        return null;
    end if;
    perform
    from aximo_private.customer_grants
    where role_name = session_user::text and customer_id in (named, '*');
    if found then
        return named;
    end if;
    return null;
end;
$$;
alter function aximo.current_customer() owner to aximo_gatekeeper;
comment on function aximo.current_customer() is 'The customer this session works for: the one named in the setting aximo.customer_id if the login was granted it, else the only one the login was granted, else null. Null means: no rows, no writes.';
