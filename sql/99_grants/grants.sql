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
    aximo_private.life_step,
    aximo_private.log_growth
from public;

-- The owners of functions: what their functions do, column by column.
revoke create on schema aximo, aximo_private from aximo_gatekeeper, aximo_recorder, aximo_sequencer;
grant select, insert (role_name, customer_id), delete on aximo_private.customer_grants to aximo_gatekeeper;
grant select on aximo_private.events to aximo_recorder;
grant insert (
    event_type, "timestamp", customer_id, deployment_id, skill_id, skill_version, execution_id, actor, risk_level, approval_mode,
    correlation_id, channel_type, error_code, latency_ms, event_id, payload, answers, exempt
) on aximo_private.events to aximo_recorder;
grant usage on sequence aximo_private.events_position to aximo_recorder;
-- The installing login is a member of owner and recorder both: what the owner held by being the owner, and the recorder's policy, would
-- together let it write what only the database states. UPDATE, DELETE and TRUNCATE of events stay, for the guards to refuse by name.
revoke insert on aximo_private.events, aximo.event_types, aximo_private.log_entries, aximo_private.log_nodes, aximo_private.violations,
aximo_private.checkpoints from aximo_owner;
revoke insert, update, delete, truncate on aximo_private.customer_grants, aximo_private.log_state, aximo_private.log_holes,
aximo_private.log_cursors from aximo_owner;
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

-- The sequencer numbers events and keeps what is derived from the log.
grant select on aximo_private.events, aximo_private.log_entries, aximo_private.log_nodes to aximo_sequencer;
grant insert on aximo_private.log_entries, aximo_private.log_nodes to aximo_sequencer;
grant insert (customer_id, number, event_id, execution_id, rule, against) on aximo_private.violations to aximo_sequencer;
grant insert (customer_id, size, root, note) on aximo_private.checkpoints to aximo_sequencer;
grant select, update (high_position, advanced_at) on aximo_private.log_state to aximo_sequencer;
grant select, insert, update, delete on aximo_private.log_holes to aximo_sequencer;
grant select, insert (customer_id, name), update (number, moved_at, moved_by) on aximo_private.log_cursors to aximo_sequencer;
grant select on aximo.log_leaves, aximo.log_nodes, aximo.checkpoints to aximo_sequencer;
grant usage on type aximo_private.life_step, aximo_private.log_growth, aximo_private.identifier to aximo_sequencer;
grant execute on function
    aximo.current_customer(),
    aximo_private.writing_customer(text),
    aximo_private.numbers_for_all(),
    aximo_private.event_line(aximo_private.events),
    aximo_private.step_key(jsonb, text),
    aximo_private.plain_lives(aximo_private.life_step[]),
    aximo_private.breaches(aximo_private.life_step[]),
    aximo.tree_hash(bytea[]),
    aximo.log_size(),
    aximo.log_root(bigint),
    aximo.checkpoint_text(bigint)
to aximo_sequencer;

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
    aximo.log_entries,
    aximo.log_leaves,
    aximo.log_lines,
    aximo.log_nodes,
    aximo.checkpoints,
    aximo.violations,
    aximo.cursors,
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
    aximo.read_log(bigint, integer, boolean),
    aximo.open_cursor(text),
    aximo.move_cursor(text, bigint, bigint),
    aximo.tree_hash(bytea[]),
    aximo.log_size(),
    aximo.log_tile(integer, bigint, integer),
    aximo.log_root(bigint),
    aximo.log_origin(),
    aximo.checkpoint_text(bigint),
    aximo.unlogged_events(),
    aximo.verify_log(),
    -- Called from the views, and as the reader; the schema it is in stays closed.
    aximo_private.as_of(boolean),
    aximo_private.event_line(aximo_private.events)
to aximo_reader;

grant execute on function
    aximo.emit_event(text, text, text, text, text, text, text, jsonb, timestamptz, text, text, text, text, text, bigint, uuid),
    aximo.emit_events(jsonb, text)
to aximo_writer;
grant usage on type aximo.receipt to aximo_writer, aximo_operator;

grant execute on function
    aximo.close_stale_executions(interval),
    aximo.import_events(jsonb, text),
    aximo.advance_log(integer),
    aximo.mend_log()
to aximo_operator;

grant execute on function aximo.add_checkpoint(text) to aximo_auditor, aximo_operator;

grant execute on function
    aximo.grant_customer(text, text),
    aximo.revoke_customer(text, text)
to aximo_owner;
