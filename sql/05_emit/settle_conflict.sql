-- An insert met a unique index and wrote nothing. Either the event is there already, or something else took its place.
create function aximo_private.settle_conflict(
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
    latency_ms bigint
) returns aximo.receipt
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    stored aximo_private.events;
    differing text;
begin
    select e.* into stored
    from only aximo_private.events as e
    where e.customer_id = settle_conflict.customer_id and e.event_id = settle_conflict.event_id;

    if not found then
        raise exception using
            errcode = 'ZXSEQ',
            message = 'this event does not fit the life of its execution',
            detail = format('%s, execution %L: another one took its place', settle_conflict.event_type, settle_conflict.execution_id),
            hint = 'An execution starts once and ends once, and an approval is answered once; another worker was there first.',
            constraint = case
                when settle_conflict.event_type = 'execution_triggered' then 'triggered_first'
                when starts_with(settle_conflict.event_type, 'approval_') then 'answers_open_approval'
                else 'ends_once'
            end;
    end if;

    -- A moment that was left out was made up here the first time, so it is no difference.
    differing := concat_ws(
        ', ',
        case when stored.event_type <> settle_conflict.event_type then 'event_type' end,
        case when stored."timestamp" <> settle_conflict."timestamp" then 'timestamp' end,
        case when stored.deployment_id <> settle_conflict.deployment_id then 'deployment_id' end,
        case when stored.skill_id <> settle_conflict.skill_id then 'skill_id' end,
        case when stored.skill_version <> settle_conflict.skill_version then 'skill_version' end,
        case when stored.execution_id is distinct from settle_conflict.execution_id then 'execution_id' end,
        case when stored.risk_level is distinct from settle_conflict.risk_level then 'risk_level' end,
        case when stored.approval_mode is distinct from settle_conflict.approval_mode then 'approval_mode' end,
        case when stored.actor <> settle_conflict.actor then 'actor' end,
        case when stored.payload <> settle_conflict.payload then 'payload' end,
        case when stored.correlation_id is distinct from settle_conflict.correlation_id then 'correlation_id' end,
        case when stored.channel_type is distinct from settle_conflict.channel_type then 'channel_type' end,
        case when stored.error_code is distinct from settle_conflict.error_code then 'error_code' end,
        case when stored.latency_ms is distinct from settle_conflict.latency_ms then 'latency_ms' end
    );
    if differing <> '' then
        raise exception using
            errcode = 'ZXDUP',
            message = 'this event_id was used for another event',
            detail = format('event %s differs in: %s', settle_conflict.event_id, differing),
            hint = 'Send an event again with the same content, or a new event with a new event_id.',
            constraint = 'event_id_names_one_event';
    end if;
    return row(stored.event_id, stored.recorded_at, true)::aximo.receipt;
end;
$$;
alter function aximo_private.settle_conflict(
    uuid, text, timestamptz, text, text, text, text, text, text, text, text, jsonb, text, text, text, bigint
) owner to aximo_recorder;
comment on function aximo_private.settle_conflict(
    uuid, text, timestamptz, text, text, text, text, text, text, text, text, jsonb, text, text, text, bigint
) is
'For an event that a unique index kept out: its first receipt if it is there with the same content, else ZXDUP or ZXSEQ.';
