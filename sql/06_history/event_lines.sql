-- What export writes. The text does not depend on the session's settings: json strings, jsonb's own normal form, UTC to the microsecond.
create view aximo.event_lines with (security_barrier = true) as
select
    customer_id,
    row_number() over (partition by customer_id order by position) as arrival,
    event_id,
    concat(
        '{',
        concat_ws(
            ',',
            '"event_id":"' || event_id || '"',
            '"event_type":' || to_json(event_type),
            '"timestamp":"' || to_char("timestamp" at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"',
            '"customer_id":' || to_json(customer_id),
            '"deployment_id":' || to_json(deployment_id),
            '"skill_id":' || to_json(skill_id),
            '"skill_version":' || to_json(skill_version),
            '"execution_id":' || to_json(execution_id),
            '"risk_level":' || to_json(risk_level),
            '"approval_mode":' || to_json(approval_mode),
            '"actor":' || to_json(actor),
            '"payload":' || payload::text,
            '"correlation_id":' || to_json(correlation_id),
            '"channel_type":' || to_json(channel_type),
            '"error_code":' || to_json(error_code),
            '"latency_ms":' || latency_ms,
            '"recorded_at":"' || to_char(recorded_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"',
            '"recorded_by":' || to_json(recorded_by)
        ),
        '}'
    ) as line
from aximo_private.history;
alter view aximo.event_lines owner to aximo_owner;

comment on view aximo.event_lines is 'Every event as a line of JSON, in order of arrival, which is an order that the flow rules accept again elsewhere. Key: arrival.';
comment on column aximo.event_lines.customer_id is 'Whose event it is.';
comment on column aximo.event_lines.arrival is '1, 2, 3 … in order of arrival, among the events visible now; an event under way can still arrive in between.';
comment on column aximo.event_lines.event_id is 'The event.';
comment on column aximo.event_lines.line is 'The event as a JSON object: the fields of aximo.events in their order, those without a value left out.';
