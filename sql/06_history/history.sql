-- What the views of this folder are derived from. No security_barrier: the table's own policy is one, and a barrier in here would
-- keep join conditions out. IS NOT TRUE keeps the planner from reading a whole index for a condition that is nearly always met.
create view aximo_private.history as
select
    position,
    event_id,
    answers,
    event_type::text as event_type,
    "timestamp"::timestamptz as "timestamp",
    customer_id::text as customer_id,
    deployment_id::text as deployment_id,
    skill_id::text as skill_id,
    skill_version::text as skill_version,
    execution_id::text as execution_id,
    risk_level::text as risk_level,
    approval_mode::text as approval_mode,
    actor::text as actor,
    payload::jsonb as payload,
    correlation_id::text as correlation_id,
    channel_type::text as channel_type,
    error_code::text as error_code,
    latency_ms::bigint as latency_ms,
    recorded_at,
    recorded_by
from only aximo_private.events -- noqa: PRS
where ("timestamp" > (select aximo_private.as_of())) is not true
    and (recorded_at > (select aximo_private.as_of(known => true))) is not true;
alter view aximo_private.history owner to aximo_owner;
comment on view aximo_private.history is 'The events of the session''s customer, up to the moment looked at, with their order of arrival.';
