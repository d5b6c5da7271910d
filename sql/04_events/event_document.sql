-- The lists of an event's fields in this file are made by tools/event_fields.py.
create function aximo_private.event_document(event aximo_private.events, has_timestamp boolean) returns jsonb
language sql stable security invoker parallel safe
return jsonb_build_object(
    'event_id', (event).event_id, 'event_type', (event).event_type, 'customer_id', (event).customer_id,
    'deployment_id', (event).deployment_id, 'skill_id', (event).skill_id, 'skill_version', (event).skill_version,
    'execution_id', (event).execution_id, 'risk_level', (event).risk_level, 'approval_mode', (event).approval_mode, 'actor', (event).actor,
    'correlation_id', (event).correlation_id, 'channel_type', (event).channel_type, 'error_code', (event).error_code,
    'latency_ms', (event).latency_ms,
    'timestamp', case
        when not has_timestamp then null
        -- A moment out of range may have no text in this form. This one has, and is out of range too.
        when (event)."timestamp" < '1970-01-01 00:00:00+00' or (event)."timestamp" >= '9999-01-01 00:00:00+00' then '0001-01-01T00:00:00Z'
        else to_char((event)."timestamp" at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    end,
    -- JSON null would mean that there is no payload.
    'payload', case when jsonb_typeof((event).payload) = 'null' then '[]' else (event).payload end
);
alter function aximo_private.event_document(aximo_private.events, boolean) owner to aximo_recorder;
comment on function aximo_private.event_document(aximo_private.events, boolean) is 'An event as an element of a batch.';
