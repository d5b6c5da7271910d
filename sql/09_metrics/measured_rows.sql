-- What a materialized view is made of comes from a function, because a restore refreshes with row_security off, and would be refused.
create function aximo_private.measured_rows(hot boolean) returns setof aximo_private.measured
language plpgsql stable security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
set row_security = on
set jit = off
as $$
begin
    if hot then
        return query
        select r.*
        from aximo_private.measured as r
        where r.changed_in > (select s.cold_advance from aximo_private.metric_state as s);
    else
        return query
        select r.*
        from aximo_private.measured as r;
    end if;
end;
$$;
alter function aximo_private.measured_rows(boolean) owner to aximo_meter;
comment on function aximo_private.measured_rows(boolean) is 'All rows of aximo_private.measured, or those that changed since the cold materialized views were made.';
