create function aximo.unlogged_events() returns table (event_id uuid, recorded_at timestamptz, is_coming boolean)
language plpgsql stable security definer parallel unsafe
set search_path = pg_catalog, pg_temp
-- Without statistics the planner fears the worst, and compiles for half a second what runs for a few milliseconds.
set jit = off
as $$
#variable_conflict use_column
declare
    customer constant text := aximo_private.writing_customer(null);
    high constant bigint := (select s.high_position from aximo_private.log_state as s);
begin
    return query
    select
        e.event_id,
        e.recorded_at,
        e.position > high or exists (
            select from aximo_private.log_holes as h
            where e.position between h.first_position and h.last_position
        )
    from only aximo_private.events as e
    where e.customer_id = customer
        -- Not NOT EXISTS, which may be planned as one pass over the log for each event.
        and (
            select true
            from only aximo_private.log_entries as l
            where l.customer_id = customer and l.event_id = e.event_id
            limit 1
        ) is null
    order by e.position;
end;
$$;
alter function aximo.unlogged_events() owner to aximo_sequencer;
comment on function aximo.unlogged_events() is
'The events of the session''s customer that have no number: is_coming if the next aximo.advance_log gives them one; those without were put there past it, or lost by a bug, and aximo.mend_log finds them. Reads all events. ZXCUS: no customer.';
