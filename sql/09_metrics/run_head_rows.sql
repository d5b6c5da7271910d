-- What a materialized view is made of comes from a function, because a restore refreshes with row_security off, and would be refused.
create function aximo_private.run_head_rows() returns setof aximo_private.rollup_heads
language plpgsql stable security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
set row_security = on
set jit = off
as $$
begin
    return query
    select r.*
    from aximo_private.rollup_heads as r
    where r.log = 'run_events';
end;
$$;
alter function aximo_private.run_head_rows() owner to aximo_meter;
comment on function aximo_private.run_head_rows() is 'How far the log of run events of each customer is counted.';
