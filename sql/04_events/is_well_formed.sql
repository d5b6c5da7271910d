-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- Checks the limits of an event's fields in one expression without an exception block, at a tenth of the cost of a domain for each. True
-- means that the event keeps them. False means nothing: aximo_private.refuse_malformed then checks field by field.
create function aximo_private.is_well_formed(event aximo_private.events) returns boolean
language sql volatile security invoker parallel safe
return coalesce(
    (event).event_type in (
        'execution_triggered', 'execution_processing', 'execution_completed', 'execution_failed',
        'action_prepared', 'action_dispatched', 'action_failed',
        'approval_requested', 'approval_granted', 'approval_rejected', 'approval_timeout',
        'sla_breached', 'escalation_triggered', 'pressure_invoked', 'deployment_suspended',
        'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_updated',
        'deployment_terminated', 'version_upgraded', 'version_rolled_back'
    )
    and (event).actor in ('system', 'founder', 'operator', 'external_user')
    -- Text that begins with a visible ASCII character is not blank. least() and greatest() pass over nulls.
    and least((event).customer_id, (event).deployment_id, (event).skill_id, (event).skill_version, (event).execution_id) >= '!'
    and greatest((event).customer_id, (event).deployment_id, (event).skill_id, (event).skill_version, (event).execution_id) < E'\u007F'
    and (event).customer_id is not null
    and (event).deployment_id is not null
    and (event).skill_id is not null
    and (event).skill_version is not null
    and ((event).execution_id is not null or (event).event_type !~ '^(action|approval|execution)_')
    -- If all fields have 255 bytes together, each has at most 255 characters.
    and octet_length(
        concat(
            (event).customer_id, (event).deployment_id, (event).skill_id, (event).skill_version, (event).execution_id, (event).risk_level,
            (event).approval_mode, (event).correlation_id, (event).channel_type, (event).error_code
        )
    ) <= 255
    and (event)."timestamp" between '1970-01-01 00:00:00+00' and clock_timestamp() + interval '1 day'
    and coalesce((event).latency_ms, 0) >= 0
    and jsonb_typeof((event).payload) = 'object'
    -- The uncompressed size (|| '{}' makes an uncompressed copy), checked before the text is made: the text of a number may be 10,000 times as long as the
    -- number.
    and pg_column_size((event).payload || '{}') <= 2048
    and octet_length((event).payload::text) <= 1048576,
    false
);
alter function aximo_private.is_well_formed(aximo_private.events) owner to aximo_recorder;
comment on function aximo_private.is_well_formed(aximo_private.events) is 'True: the event keeps the limits of its fields. False: aximo_private.refuse_malformed has to check.';
