-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- The canonical line of an event, defined here and nowhere else: an export writes it, and a log entry is its hash. The text does not depend
-- on the session's settings: JSON strings, jsonb's normal form, UTC to the microsecond. It never changes, because every proof depends on
-- it.
create function aximo_private.event_line(event aximo_private.events) returns text
language sql stable security invoker parallel safe
return concat(
    '{',
    concat_ws(
        ',',
        '"event_id":"' || (event).event_id || '"',
        '"event_type":' || to_json((event).event_type),
        '"timestamp":"' || to_char((event)."timestamp" at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"',
        '"customer_id":' || to_json((event).customer_id),
        '"deployment_id":' || to_json((event).deployment_id),
        '"skill_id":' || to_json((event).skill_id),
        '"skill_version":' || to_json((event).skill_version),
        '"execution_id":' || to_json((event).execution_id),
        '"step":' || (event).step,
        '"risk_level":' || to_json((event).risk_level),
        '"approval_mode":' || to_json((event).approval_mode),
        '"actor":' || to_json((event).actor),
        '"payload":' || (event).payload::text,
        '"correlation_id":' || to_json((event).correlation_id),
        '"channel_type":' || to_json((event).channel_type),
        '"error_code":' || to_json((event).error_code),
        '"latency_ms":' || (event).latency_ms,
        '"recorded_at":"' || to_char((event).recorded_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"',
        '"recorded_by":' || to_json((event).recorded_by)
    ),
    '}'
);
comment on function aximo_private.event_line(aximo_private.events) is 'An event as its canonical line of JSON, without a line feed: the fields of aximo.events in their order, those without a value left out.';
