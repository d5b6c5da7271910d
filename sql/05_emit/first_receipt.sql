-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- Called for an event whose event_id is stored already. If the sender named no timestamp, the database made one up the first time, so a
-- different timestamp is no difference.
create function aximo_private.first_receipt(event aximo_private.events, has_timestamp boolean) returns aximo.receipt
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    stored aximo_private.events;
    differing text;
begin
    select e.* into strict stored
    from only aximo_private.events as e
    where e.customer_id = event.customer_id and e.event_id = event.event_id;

    differing := concat_ws(
        ', ',
        case when stored.event_type <> event.event_type then 'event_type' end,
        case when has_timestamp and stored."timestamp" <> event."timestamp" then 'timestamp' end,
        case when stored.deployment_id <> event.deployment_id then 'deployment_id' end,
        case when stored.skill_id <> event.skill_id then 'skill_id' end,
        case when stored.skill_version <> event.skill_version then 'skill_version' end,
        case when stored.execution_id is distinct from event.execution_id then 'execution_id' end,
        case when stored.risk_level is distinct from event.risk_level then 'risk_level' end,
        case when stored.approval_mode is distinct from event.approval_mode then 'approval_mode' end,
        case when stored.actor <> event.actor then 'actor' end,
        case when stored.payload <> event.payload then 'payload' end,
        case when stored.correlation_id is distinct from event.correlation_id then 'correlation_id' end,
        case when stored.channel_type is distinct from event.channel_type then 'channel_type' end,
        case when stored.error_code is distinct from event.error_code then 'error_code' end,
        case when stored.latency_ms is distinct from event.latency_ms then 'latency_ms' end
    );
    if differing <> '' then
        raise exception using
            errcode = 'ZXDUP',
            message = 'this event_id was used for another event',
            detail = format('event %s differs in %s from the stored one', event.event_id, differing),
            hint = 'Send the first event again unchanged, or give the new one a new event_id.',
            constraint = 'event_id_names_one_event';
    end if;
    return row(stored.event_id, stored.recorded_at, true)::aximo.receipt;
end;
$$;
alter function aximo_private.first_receipt(aximo_private.events, boolean) owner to aximo_recorder;
comment on function aximo_private.first_receipt(aximo_private.events, boolean) is 'The receipt that an event got when it was first written. ZXDUP: its event_id is that of an event with other content.';
