create function aximo.log_size() returns bigint
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo.current_customer();
begin
    return coalesce(
        (select l.number from aximo.log_leaves as l where l.customer_id = customer order by l.number desc limit 1), 0
    );
end;
$$;
alter function aximo.log_size() owner to aximo_owner;
comment on function aximo.log_size() is 'How many entries the log of the session''s customer has; 0 if the session has no customer.';
