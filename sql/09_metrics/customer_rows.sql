-- What a materialized view is made of comes from a function, because a restore refreshes with row_security off, and would be refused.
create function aximo_private.customer_rows() returns setof aximo_private.measured_customers
language plpgsql stable security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
set row_security = on
set jit = off
as $$
begin
    return query
    select r.*
    from aximo_private.measured_customers as r;
end;
$$;
alter function aximo_private.customer_rows() owner to aximo_meter;
comment on function aximo_private.customer_rows() is 'All rows of aximo_private.measured_customers.';
