-- Every privilege there is, in one place. Deny first, then grant by name.
revoke all on schema aximo, aximo_private from public;
revoke all on all tables in schema aximo, aximo_private from public;
revoke all on all sequences in schema aximo, aximo_private from public;
revoke all on all functions in schema aximo, aximo_private from public;
revoke all on type
    aximo.receipt,
    aximo_private.event_type,
    aximo_private.identifier,
    aximo_private.actor,
    aximo_private.short_text,
    aximo_private.milliseconds,
    aximo_private.payload,
    aximo_private.moment,
    aximo_private.life_step
from public;

-- The owners of functions: what their functions do, column by column.
revoke create on schema aximo, aximo_private from aximo_gatekeeper, aximo_recorder;
grant select, insert (role_name, customer_id), delete on aximo_private.customer_grants to aximo_gatekeeper;
grant select on aximo_private.events to aximo_recorder;
grant insert (
    event_type, "timestamp", customer_id, deployment_id, skill_id, skill_version, execution_id, actor, risk_level, approval_mode,
    correlation_id, channel_type, error_code, latency_ms, event_id, payload, answers
) on aximo_private.events to aximo_recorder;
grant usage on sequence aximo_private.events_position to aximo_recorder;
-- The installing login is a member of owner and recorder both: what the owner held by being the owner, and the recorder's policy, would
-- together let it write what only the database states. UPDATE, DELETE and TRUNCATE of events stay, for the guards to refuse by name.
revoke insert on aximo_private.events, aximo.event_types from aximo_owner;
revoke insert, update, delete, truncate on aximo_private.customer_grants from aximo_owner;
-- setval() needs no DDL and is not undone by a rollback, so not even the owner holds it.
revoke update on sequence aximo_private.events_position from aximo_owner;
grant usage on type
    aximo.receipt,
    aximo_private.event_type,
    aximo_private.identifier,
    aximo_private.actor,
    aximo_private.short_text,
    aximo_private.milliseconds,
    aximo_private.payload,
    aximo_private.moment,
    aximo_private.life_step
to aximo_recorder;
grant execute on function
    aximo_private.writing_customer(text),
    aximo_private.has_extreme_number(jsonb)
to aximo_recorder;

-- What logins may use.
grant usage on schema aximo to aximo_reader, aximo_bi;
grant execute on function
    aximo.current_customer(),
    aximo.schema_version(),
    aximo.oldest_client()
to aximo_reader, aximo_bi;

grant select on
    aximo.event_types,
    aximo.events,
    aximo.event_lines,
    aximo.execution_steps,
    aximo.executions,
    aximo.open_executions,
    aximo.approvals,
    aximo.deployments,
    aximo.deployment_versions
to aximo_reader;
grant execute on function
    aximo.execution_trace(text),
    aximo.executions_as_of(timestamptz, timestamptz),
    aximo.open_executions_as_of(timestamptz, timestamptz),
    aximo.approvals_as_of(timestamptz, timestamptz),
    aximo.deployments_as_of(timestamptz, timestamptz),
    aximo.deployment_versions_as_of(timestamptz, timestamptz),
    -- Called from the views, and as the reader; the schema it is in stays closed.
    aximo_private.as_of(boolean)
to aximo_reader;

grant execute on function
    aximo.emit_event(text, text, text, text, text, text, text, jsonb, timestamptz, text, text, text, text, text, bigint, uuid),
    aximo.emit_events(jsonb, text)
to aximo_writer;
grant usage on type aximo.receipt to aximo_writer;

grant execute on function aximo.close_stale_executions(interval) to aximo_operator;

grant execute on function
    aximo.grant_customer(text, text),
    aximo.revoke_customer(text, text)
to aximo_owner;
