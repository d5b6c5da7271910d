-- The canonical line of a run event, as aximo_private.event_line is that of an event: first the contract's fields in its order, then ours.
-- It never changes.
create function aximo_private.run_event_line(event helix.run_events) returns text
language sql stable security invoker parallel safe
return concat(
    '{',
    concat_ws(
        ',',
        '"run_id":' || to_json((event).run_id),
        '"event_id":' || (event).event_id,
        '"created_at":"' || to_char((event).ts at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"',
        '"kind":' || to_json((event).kind),
        '"message":' || coalesce(to_json((event).message)::text, 'null'),
        '"data":' || coalesce((event).data::text, 'null'),
        '"extra":' || (event).extra::text,
        '"customer_id":' || to_json((event).customer_id),
        '"recorded_at":"' || to_char((event).recorded_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"',
        '"recorded_by":' || to_json((event).recorded_by)
    ),
    '}'
);
comment on function aximo_private.run_event_line(helix.run_events) is 'A run event as its canonical line of JSON, without a line feed: run_id, event_id, created_at, kind, message and data as Events v1 exports them, extra if there is any, and who recorded it.';
