-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- The events of a batch as columns. A field that is null here gets its value when the event is inserted.
create function aximo_private.parsed_events(events jsonb, customer text)
returns table (
    place bigint,
    event_id uuid,
    event_type text,
    "timestamp" timestamptz,
    customer_id text,
    deployment_id text,
    skill_id text,
    skill_version text,
    execution_id text,
    risk_level text,
    approval_mode text,
    actor text,
    payload jsonb,
    correlation_id text,
    channel_type text,
    error_code text,
    latency_ms bigint,
    is_malformed boolean
)
language sql stable security invoker parallel safe
begin atomic
    select
        b.place, (b.e ->> 'event_id')::uuid as event_id, b.e ->> 'event_type' as event_type,
        aximo_private.moment_of(b.e ->> 'timestamp') as "timestamp", coalesce(b.e ->> 'customer_id', customer) as customer_id,
        b.e ->> 'deployment_id' as deployment_id, b.e ->> 'skill_id' as skill_id, b.e ->> 'skill_version' as skill_version,
        b.e ->> 'execution_id' as execution_id, b.e ->> 'risk_level' as risk_level, b.e ->> 'approval_mode' as approval_mode,
        b.e ->> 'actor' as actor, coalesce(nullif(b.e -> 'payload', 'null'), '{}') as payload, b.e ->> 'correlation_id' as correlation_id,
        b.e ->> 'channel_type' as channel_type, b.e ->> 'error_code' as error_code, (b.e ->> 'latency_ms')::bigint as latency_ms,
        -- What a cast to the column's type does not find out.
        b.e - aximo_private.event_fields() <> '{}'
        or jsonb_typeof(b.e -> 'latency_ms') not in ('number', 'null')
        or b.e ->> 'execution_id' is null and coalesce(b.e ->> 'event_type' ~ '^(action|approval|execution)_', true)
        and coalesce(b.e ->> 'customer_id', customer) = customer
        -- Every value but the payload and the latency must be a text or null. Only those can be compared with a text, so all others are
        -- counted.
        or jsonb_array_length(jsonb_path_query_array(b.e, 'strict $.* ? ((@ >= "") is unknown).type()'))
        <> coalesce((jsonb_typeof(b.e -> 'payload') = 'object')::integer, 0) + (b.e ->> 'latency_ms' is not null)::integer
        as is_malformed
    from jsonb_array_elements(events) with ordinality as b (e, place);
end;
alter function aximo_private.parsed_events(jsonb, text) owner to aximo_recorder;
comment on function aximo_private.parsed_events(jsonb, text) is 'The events of a JSON array as columns, in any order, each with its place and whether it is malformed.';
