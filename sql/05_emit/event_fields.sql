-- The lists of an event's fields in this file are made by tools/event_fields.py.
create function aximo_private.event_fields() returns text[]
language sql immutable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select array[
        'event_id', 'event_type', 'timestamp', 'customer_id', 'deployment_id', 'skill_id', 'skill_version', 'execution_id', 'risk_level',
        'approval_mode', 'actor', 'payload', 'correlation_id', 'channel_type', 'error_code', 'latency_ms'
    ]
$$;
alter function aximo_private.event_fields() owner to aximo_recorder;
comment on function aximo_private.event_fields() is 'The fields a client may set.';
