-- The only function that decides which customer a session works for. Every policy calls it as (select aximo.current_customer()), so that it
-- runs once a statement. It is STABLE, not IMMUTABLE, because a prepared statement must call it again. It reads session_user, because
-- current_user is this function's owner in here. A customer that is on another node, or on the way here, is nobody's: what is here of it
-- is hidden.
create function aximo.current_customer() returns text
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    -- After a transaction that set it, the setting is '', not null.
    named constant text := nullif(current_setting('aximo.customer_id', true), '');
    granted text[];
    is_elsewhere boolean;
begin
    if named is null then
        -- A login that was granted one customer need not name it.
        select
            array_agg(g.customer_id),
            bool_or(
                exists (select from only aximo_private.placements as p where p.customer_id = g.customer_id and p.state <> 'leaving')
            )
        into granted, is_elsewhere
        from (
            select customer_id
            from aximo_private.customer_grants
            where role_name = session_user::text
            limit 2
        ) as g;
        if cardinality(granted) = 1 and granted[1] <> '*' and not is_elsewhere then
            return granted[1];
        end if;
        return null;
    end if;
    perform
    from aximo_private.customer_grants
    where role_name = session_user::text and customer_id in (named, '*')
        and not exists (select from only aximo_private.placements as p where p.customer_id = named and p.state <> 'leaving');
    if found then
        return named;
    end if;
    return null;
end;
$$;
alter function aximo.current_customer() owner to aximo_gatekeeper;
comment on function aximo.current_customer() is 'The customer this session works for: the one named in the setting aximo.customer_id if the login was granted it, else the only one the login was granted, else null; null also if that customer is on another node or arriving from one (aximo.placements). Null means: no rows, no writes.';
