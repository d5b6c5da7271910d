-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- plpgsql keeps the plan; a SQL function is planned at every call before PostgreSQL 18.
create function aximo.execution_trace(execution_id text) returns setof aximo.execution_steps
language plpgsql stable security invoker parallel safe rows 10
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    -- Logins read these tables themselves, and their row security does not restrict every role: so the customer is named.
    customer constant text := aximo.current_customer();
begin
    perform
    from helix.runs as r
    where r.customer_id = customer and r.execution_id = execution_trace.execution_id;
    if not found then
        return query
        select s.*
        from aximo.execution_steps as s
        where s.customer_id = customer and s.execution_id = execution_trace.execution_id
        order by s.step;
        return;
    end if;
    -- Events and run events have an order of arrival each. Between the two the database's clock decides, without going back in either.
    return query
    select
        s.customer_id, execution_trace.execution_id, row_number() over arrival, s."timestamp",
        s."timestamp" - first_value(s."timestamp") over arrival, s."timestamp" - lag(s."timestamp") over arrival,
        s.event_type, s.actor, s.deployment_id, s.skill_id, s.skill_version, s.risk_level, s.approval_mode, s.correlation_id,
        s.channel_type, s.error_code, s.latency_ms, s.payload, s.event_id, s.answers_event_id, s.recorded_at, s.recorded_by, s.run_id,
        s.run_event_id, s.message
    from (
        select
            e.customer_id, e."timestamp",
            e.event_type, e.actor, e.deployment_id, e.skill_id, e.skill_version, e.risk_level, e.approval_mode, e.correlation_id,
            e.channel_type, e.error_code, e.latency_ms, e.payload, e.event_id, e.answers_event_id, e.recorded_at, e.recorded_by, e.run_id,
            e.run_event_id, e.message,
            0 as source, e.step as place,
            max(e.recorded_at) over (order by e.step) as arrived
        from aximo.execution_steps as e
        where e.customer_id = customer and e.execution_id = execution_trace.execution_id
        union all
        select
            r.customer_id, r.ts,
            r.kind, 'system', null, null, null, null, null, null, null, null, null, r.data, null, null, r.recorded_at, r.recorded_by,
            r.run_id, r.event_id, r.message,
            1, r.event_id,
            max(r.recorded_at) over (order by r.event_id)
        from helix.run_events as r
        where r.customer_id = customer
            and r.run_id in (
                select u.run_id
                from helix.runs as u
                where u.customer_id = customer and u.execution_id = execution_trace.execution_id
            )
    ) as s
    window arrival as (order by s.arrived, s.source, s.place)
    order by s.arrived, s.source, s.place;
end;
$$;
comment on function aximo.execution_trace(text) is 'What happened in an execution: its events in order of arrival, with the time since its start and since the event before, and between them the events of the tool runs that served it (helix.runs.execution_id): their kind as event_type, their data as payload. No rows if the session''s customer has no such execution.';
