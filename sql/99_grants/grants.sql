-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- Every privilege there is, in one place. Deny first, then grant by name.
revoke all on schema aximo, aximo_metrics, aximo_private, helix from public;
revoke all on all tables in schema aximo, aximo_metrics, aximo_private, helix from public;
revoke all on all sequences in schema aximo, aximo_private, helix from public;
revoke all on all routines in schema aximo, aximo_private, helix from public;
revoke all on type
    aximo.receipt,
    aximo_private.event_type,
    aximo_private.identifier,
    aximo_private.actor,
    aximo_private.short_text,
    aximo_private.milliseconds,
    aximo_private.payload,
    aximo_private.moment,
    aximo_private.breach,
    aximo_private.log_growth,
    aximo_private.fact,
    aximo_private.numbering
from public;

-- The owners of functions get what their functions need, column by column.
revoke create on schema aximo, aximo_private, helix from aximo_gatekeeper, aximo_recorder, aximo_sequencer, aximo_meter;
revoke usage on schema helix from aximo_gatekeeper, aximo_meter;
grant select, insert (role_name, customer_id), delete on aximo_private.customer_grants to aximo_gatekeeper;
grant select, insert (role_name, customer_id, is_granted) on aximo_private.access_changes to aximo_gatekeeper;
grant select on aximo_private.customer_grants, aximo_private.events to aximo_recorder;
-- Where a customer is.
grant select on aximo_private.placements to aximo_gatekeeper, aximo_recorder;
grant select, insert, update, delete on aximo_private.placements to aximo_sequencer;
grant insert (
    event_id, event_type, "timestamp", customer_id, deployment_id, skill_id, skill_version, execution_id, risk_level, approval_mode, actor,
    payload, correlation_id, channel_type, error_code, latency_ms, step, answers
) on aximo_private.events to aximo_recorder;
grant usage on sequence aximo_private.events_position to aximo_recorder;
-- Rows that are written with the events. Only aximo.repair_executions deletes one.
grant select, insert, update, delete on aximo_private.executions, aximo_private.approvals to aximo_recorder;
grant select, insert on aximo_private.known_deployments to aximo_recorder;
grant select, insert (event_id, against, customer_id, execution_id, rule) on aximo_private.violations to aximo_recorder;
grant select on aximo_private.executions_from_events, aximo_private.approvals_from_events to aximo_recorder;
-- The installing login is a member of the owner and of the recorder. As the owner it could insert, and the recorder's policy would let it:
-- together that would write what only the database may state. UPDATE, DELETE and TRUNCATE of events stay granted, so that the triggers
-- refuse them by name.
revoke insert on aximo_private.events, aximo.event_types, aximo_private.log_entries, aximo_private.log_nodes, aximo_private.violations,
aximo_private.checkpoints, aximo_private.erasures, aximo_private.thresholds, aximo_private.metric_lists, aximo_private.observations,
aximo_private.run_ids, aximo_private.known_deployments, aximo_private.access_changes, helix.run_events,
helix.event_kinds, helix.runs from aximo_owner;
revoke insert, update, delete, truncate on aximo_private.executions, aximo_private.approvals,
aximo_private.customer_grants, aximo_private.placements, aximo_private.log_state, aximo_private.log_holes,
aximo_private.log_cursors, aximo_private.logs, aximo_private.activity_sums, aximo_private.action_sums, aximo_private.deployment_sums,
aximo_private.run_sums, aximo_private.run_states, aximo_private.counted_logs, aximo_private.uncounted_logs,
aximo_private.unjudged_leads, aximo_private.metric_state from aximo_owner;
-- Not even the owner may call setval(): it needs no DDL, and a rollback does not undo it.
revoke update on sequence aximo_private.events_position, aximo_private.checkpoint_clock, helix.run_events_event_id_seq from aximo_owner;
grant usage on type
    aximo.receipt,
    aximo_private.event_type,
    aximo_private.identifier,
    aximo_private.actor,
    aximo_private.short_text,
    aximo_private.milliseconds,
    aximo_private.payload,
    aximo_private.moment,
    aximo_private.breach
to aximo_recorder;
grant execute on function
    aximo_private.writing_customer(text),
    aximo_private.named_customer(text),
    aximo_private.refuse_moved(text),
    aximo_private.has_extreme_number(jsonb),
    aximo_private.moment_of(text),
    aximo_private.new_event_id(),
    aximo_private.as_of(boolean),
    aximo.current_customer()
to aximo_recorder;

-- The sequencer numbers events and keeps what is derived from the log.
grant select on
    aximo_private.events,
    aximo_private.executions,
    aximo_private.approvals,
    aximo_private.log_entries,
    aximo_private.log_nodes
to aximo_sequencer;
grant insert on aximo_private.log_entries, aximo_private.log_nodes to aximo_sequencer;
grant insert (customer_id, log, size, root, note) on aximo_private.checkpoints to aximo_sequencer;
grant select, update on sequence aximo_private.checkpoint_clock to aximo_sequencer;
grant insert (erasure_id, customer_id, key_ids, reason, log_size) on aximo_private.erasures to aximo_sequencer;
grant select, update (advanced_at, ledger, node) on aximo_private.log_state to aximo_sequencer;
grant select, update (high_position, entries, looked, undated_from) on aximo_private.logs to aximo_sequencer;
grant select, insert, update, delete on aximo_private.log_holes to aximo_sequencer;
grant select, insert (customer_id, log, name), update (number, moved_at, moved_by) on aximo_private.log_cursors to aximo_sequencer;
grant select on aximo.log_leaves, aximo.log_nodes, aximo.checkpoints to aximo_sequencer;
grant select on helix.runs, helix.run_events, helix.event_kinds, aximo_private.events_of_logs to aximo_sequencer;
grant usage on type aximo_private.log_growth, aximo_private.fact, aximo_private.numbering, aximo_private.identifier to aximo_sequencer;
grant execute on function
    aximo.current_customer(),
    aximo_private.writing_customer(text),
    aximo_private.named_customer(text),
    aximo_private.numbers_for_all(),
    aximo_private.session_grants(),
    aximo_private.event_line(aximo_private.events),
    aximo_private.run_event_line(helix.run_events),
    aximo_private.step_key(jsonb, text),
    aximo_private.series_key(text[]),
    aximo_private.list_of(text, text, timestamptz),
    aximo_private.month_end(timestamptz),
    aximo_private.histogram_bin(double precision),
    aximo.tree_hash(bytea[]),
    aximo.log_size(text),
    aximo.log_root(bigint, text),
    aximo.checkpoint_text(bigint, text),
    aximo.check_log_nodes(text, bigint)
to aximo_sequencer;

-- And counts what it numbered.
grant select, insert, update, delete on
    aximo_private.activity_sums,
    aximo_private.action_sums,
    aximo_private.deployment_sums,
    aximo_private.run_sums,
    aximo_private.run_states,
    aximo_private.counted_logs,
    aximo_private.uncounted_logs
to aximo_sequencer;
grant select, insert (customer_id, since), delete on aximo_private.unjudged_leads to aximo_sequencer;
grant select on aximo_private.metric_lists to aximo_sequencer;
grant select, update (steps, recounted_in) on aximo_private.metric_state to aximo_sequencer;

-- Thresholds are written for the customer that the access map gives, as events are.
grant insert (customer_id, deployment_id, metric, level, value, effective_from) on aximo_private.thresholds to aximo_recorder;
grant insert (customer_id, list, items, effective_from) on aximo_private.metric_lists to aximo_recorder;
-- A new setting of which actions are leads makes the counted ones be judged again.
grant insert (customer_id, since) on aximo_private.unjudged_leads to aximo_recorder;
grant execute on function aximo_private.numbers_for_all() to aximo_recorder;

-- The meter works out of the sums what is published, and sees no event. aximo_private.publish_kind grants it the tables that it keeps.
grant select on
    aximo_private.activity_sums,
    aximo_private.action_sums,
    aximo_private.deployment_sums,
    aximo_private.run_sums,
    aximo_private.counted_logs,
    aximo_private.thresholds,
    aximo_private.metric_lists
to aximo_meter;
grant select, update (published_in, refreshed_at, took) on aximo_private.metric_state to aximo_meter;
grant execute on function
    aximo.current_customer(),
    aximo_private.numbers_for_all(),
    aximo_private.list_of(text, text, timestamptz),
    aximo_private.histogram_value(bigint),
    aximo.advance_log(integer),
    aximo.count_metrics(integer)
to aximo_meter;

-- The recorder imports runs and runs the triggers on them.
grant select, update (status, finished_at, error) on helix.runs to aximo_recorder;
grant insert (
    run_id, project_id, tool_name, contract_version, tool_version, params_hash, policy_hash, status, requested_by, created_at, started_at,
    finished_at, policy_snapshot, environment, exit_code, error, result_json, log_artifact_id, customer_id, execution_id, made_for_events
) on helix.runs to aximo_recorder;
grant select, insert (run_id, ts, kind, message, data, extra, customer_id) on helix.run_events to aximo_recorder;
grant usage on sequence helix.run_events_event_id_seq to aximo_recorder;
grant select on helix.event_kinds to aximo_recorder;
grant select, insert (customer_id, run_id, target_run_id) on aximo_private.observations to aximo_recorder;
grant select, insert on aximo_private.run_ids to aximo_recorder;

-- What logins may use.
grant usage on schema aximo to aximo_reader, aximo_bi;
grant usage on schema aximo_metrics to aximo_bi;
grant usage on schema helix to aximo_reader;
grant execute on function
    aximo.current_customer(),
    aximo.my_customers(),
    aximo.schema_version(),
    aximo.oldest_client()
to aximo_reader, aximo_bi;

grant select on all tables in schema aximo_metrics to aximo_bi;
grant select on aximo.placements to aximo_bi;
grant execute on function
    -- Called from the views, and as the reader; the schema they are in stays closed.
    aximo_private.threshold_at(text, text, text, timestamptz),
    aximo_private.level_of(bigint, bigint, text, text),
    aximo_private.high_risk_at(timestamptz),
    aximo_private.session_grants()
to aximo_bi;

grant select on
    aximo.event_types,
    aximo.events,
    aximo.log_entries,
    aximo.log_leaves,
    aximo.log_lines,
    aximo.log_nodes,
    aximo.checkpoints,
    aximo.erasures,
    aximo.violations,
    aximo.deployment_violations,
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
    aximo.open_cursor(text, text),
    aximo.move_cursor(text, bigint, bigint, text),
    aximo.tree_hash(bytea[]),
    aximo.log_size(text),
    aximo.log_tile(integer, bigint, integer, text),
    aximo.log_root(bigint, text),
    aximo.log_origin(text),
    aximo.checkpoint_text(bigint, text),
    aximo.check_log_nodes(text, bigint),
    aximo.unlogged_events(text),
    aximo.verify_log(text, bigint, bigint, interval),
    aximo.verify_executions(integer),
    aximo.recompute_metrics(bigint),
    aximo.recompute_run_metrics(bigint),
    aximo.verify_metrics(),
    -- Called from the views, and as the reader; the schema it is in stays closed.
    aximo_private.as_of(boolean),
    aximo_private.event_line(aximo_private.events),
    aximo_private.run_event_line(helix.run_events)
to aximo_reader;

grant execute on function
    aximo.emit_event(text, text, text, text, text, text, text, jsonb, timestamptz, text, text, text, text, text, bigint, uuid),
    aximo.emit_events(jsonb, text)
to aximo_writer;
grant usage on type aximo.receipt to aximo_writer, aximo_operator;

-- The gateway reads and writes runs as tables, so logins get columns: the database states the others. SELECT is by column too, which leaves
-- out xmin and ctid: these order the rows of all customers.
grant select (
    run_id, project_id, tool_name, contract_version, tool_version, params_hash, policy_hash, status, requested_by, created_at, started_at,
    finished_at, policy_snapshot, environment, exit_code, error, result_json, log_artifact_id, customer_id, execution_id, recorded_at,
    recorded_by, made_for_events
) on helix.runs to aximo_reader;
grant select (event_id, run_id, ts, kind, message, data, extra, customer_id, recorded_at, recorded_by) on helix.run_events to aximo_reader;
grant select on
    helix.event_kinds,
    helix.kind_usage,
    helix.observations,
    helix.log_entries
to aximo_reader;
grant execute on function
    helix.compare_run_log(text, jsonb),
    helix.read_log(bigint, integer, boolean)
to aximo_reader;
grant insert (
    run_id, project_id, tool_name, contract_version, tool_version, params_hash, policy_hash, status, requested_by, started_at, finished_at,
    policy_snapshot, environment, exit_code, error, result_json, log_artifact_id, execution_id
), update (
    status, started_at, finished_at, exit_code, error, result_json, log_artifact_id, execution_id
) on helix.runs to aximo_writer;
grant insert (run_id, kind, message, data) on helix.run_events to aximo_writer;
grant execute on function
    -- Called by the column's default and by constraints; the schema they are in stays closed.
    aximo_private.next_run_event_id(),
    aximo_private.has_extreme_number(jsonb),
    helix.observe_run(text, text, text),
    helix.import_runs(jsonb, text),
    helix.import_run_events(jsonb, text, boolean, integer[], text)
to aximo_writer;

grant execute on function
    aximo.close_stale_executions(interval),
    aximo.import_events(jsonb, text),
    aximo.advance_log(integer),
    aximo.mend_log(),
    aximo.rebuild_log_nodes(),
    aximo.repair_executions(),
    aximo.count_metrics(integer),
    aximo.refresh_metrics(boolean),
    aximo.recount_metrics(boolean, integer),
    aximo.place_customer(text, integer, text[]),
    aximo.set_threshold(text, text, double precision, text, timestamptz, boolean),
    aximo.set_high_risk_levels(text[], timestamptz, boolean),
    aximo.set_lead_action_types(text[], timestamptz, boolean)
to aximo_operator;
grant execute on procedure aximo.keep_metrics(integer) to aximo_operator;

-- A login for monitoring sees that the ledger is well, and nothing of any customer.
grant usage on schema aximo to aximo_monitor;
grant select on sequence aximo_private.events_position, helix.run_events_event_id_seq to aximo_sequencer;
grant execute on function aximo.ledger_status() to aximo_monitor, aximo_operator;
grant execute on function aximo.schema_version() to aximo_monitor;

grant execute on function aximo.add_checkpoint(text) to aximo_auditor, aximo_operator;
grant execute on function aximo.record_erasure(uuid[], text) to aximo_operator;
grant select on aximo.access_history to aximo_auditor;

grant execute on function
    aximo.grant_customer(text, text),
    aximo.revoke_customer(text, text),
    aximo.join_fleet(text, integer),
    helix.isolate_gateway_tables(),
    aximo_private.access_differences()
to aximo_owner;
