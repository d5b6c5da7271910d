create function aximo.unlogged_events(log text default 'events')
returns table (event_id uuid, recorded_at timestamptz, is_coming boolean, run_event_id bigint)
language plpgsql stable security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    customer constant text := aximo_private.named_customer(null);
    high constant bigint := (select s.high_position from aximo_private.logs as s where s.log = unlogged_events.log);
begin
    -- Raises an error if there is no such log.
    perform aximo.log_size(unlogged_events.log);
    return query
    select
        e.event_id, e.recorded_at,
        e.position > high or exists (
            select from aximo_private.log_holes as h
            where h.log = e.log and e.position between h.first_position and h.last_position
        ),
        e.run_event_id
    from aximo_private.events_of_logs as e
    where e.log = unlogged_events.log and e.customer_id = customer and not aximo_private.has_number(customer, e.event_id, e.run_event_id)
    order by e.position;
end;
$$;
alter function aximo.unlogged_events(text) owner to aximo_sequencer;
comment on function aximo.unlogged_events(text) is 'The events of that log of the session''s customer that have no number: is_coming if the next aximo.advance_log gives them one; those without were put there past it, or lost by a bug, and aximo.mend_log finds them. Reads all events. ZXCUS: no customer; ZXARG: no such log.';
