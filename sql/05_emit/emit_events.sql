create function aximo.emit_events(events jsonb, customer_id text default null) returns setof aximo.receipt
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select r.*
    from unnest(aximo_private.write_events(emit_events.events, emit_events.customer_id, is_history => false, is_batch => true)) as r;
end;
$$;
alter function aximo.emit_events(jsonb, text) owner to aximo_recorder;
comment on function aximo.emit_events(jsonb, text) is 'Writes a JSON array of events, all or nothing, and returns their receipts in the same order. Fields as in aximo.events, without recorded_at, recorded_by and step; a timestamp is RFC 3339, with an offset. The customer is the one named in the call, else in the first event, else the session''s; named * in the call, each event is of the customer that it names. Errors as aximo.emit_event, with the event''s place in the detail.';
