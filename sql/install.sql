-- The whole schema, in one transaction: psql -v ON_ERROR_STOP=1 -f sql/install.sql
-- As the owner of the database, a role with CREATEROLE. Later versions come by "aximo-db migrate".
--
-- The map of the house. Schema aximo is the API, aximo_metrics the views for BI tools, helix the tool runs, aximo_private the rest.
-- How an event flows: emit_event or emit_events writes it with the row of its execution -> advance_log gives it a number in its customer's
-- log and a place in the log's Merkle tree -> count_metrics adds it to sums -> refresh_metrics publishes them. Somebody has to call the last
-- three: "aximo-db worker", or keep_metrics by cron.
--   00 to 03  roles, schemas; who may work for which customer, and where it is; what tables have in common (append-only, isolated by customer)
--   04  the event: its fields and limits; the table of events (append-only); those of executions and approvals, a row each, written with them
--   05  writing: emit_event, emit_events, import_events, close_stale_executions. lives_after works out what events lead to; broken_rule names
--       the rules
--   06  reading: executions, approvals, deployments and their versions; each as it was at a moment (_as_of); verify_, repair_executions
--   07  helix: runs and run_events, as a gateway writes them; import_runs, import_run_events, observe_run
--   08  the log: log_entries (number, hash), log_nodes (the tree), log_holes (what numbering remembers), checkpoints, cursors of consumers;
--       advance_log, read_log, log_tile, add_checkpoint; verify_log, mend_log, rebuild_log_nodes;
--       join_fleet, place_customer, take_arriving: customers that move between nodes
--   09  metrics: <kind>_sums (counted), <kind>_to_publish, _recent and _kept (published), the views; thresholds and lists (settings);
--       recompute_ and verify_metrics work everything out again, by other means
--   10, 99  the version; who owns what and who may do what
-- What recurs: "set jit = off", as without statistics the planner expects the worst and compiles for half a second. "set row_security = on",
-- as pg_restore switches it off, and queries under policies would then raise. "offset 0" at the end of a view or a look-up is a fence:
-- conditions of the caller are evaluated behind it, or EXPLAIN ANALYZE would tell whether another customer's row met them. A view without
-- security_barrier reads only tables with policies, which are a barrier too, and could not use an index for ORDER BY ... LIMIT otherwise.
-- A body without quotes ("return", "begin atomic") is bound when it is created: it needs no search_path, and the planner can inline it.
-- "set extra_float_digits = 1" and "set enable_nestloop = off" are for what compares all metrics: JSON shows all digits, joins are large.
\set ON_ERROR_STOP on
begin;
\ir 00_roles/preflight.sql
\ir 00_roles/roles.sql
\ir 01_schemas/private_schema.sql
\ir 01_schemas/schemas.sql
\ir 02_access/customer_grants.sql
\ir 02_access/current_customer.sql
\ir 02_access/refuse_moved.sql
\ir 02_access/named_customer.sql
\ir 02_access/writing_customer.sql
\ir 02_access/numbers_for_all.sql
\ir 02_access/session_grants.sql
\ir 02_access/grant_customer.sql
\ir 02_access/revoke_customer.sql
\ir 03_append_only/refuse_change.sql
\ir 03_append_only/make_append_only.sql
\ir 03_append_only/hide_statistics.sql
\ir 03_append_only/isolate_by_customer.sql
\ir 03_append_only/take_comments.sql
\ir 03_append_only/access_changes.sql
\ir 02_access/placements.sql
\ir 02_access/aximo.placements.sql
\ir 04_events/has_extreme_number.sql
\ir 04_events/moment_of.sql
\ir 04_events/domains.sql
\ir 04_events/event_types.sql
\ir 04_events/new_event_id.sql
\ir 04_events/aximo_private.events.sql
\ir 04_events/aximo.events.sql
\ir 04_events/event_line.sql
\ir 04_events/event_document.sql
\ir 04_events/step_key.sql
\ir 04_events/breach.sql
\ir 04_events/is_well_formed.sql
\ir 04_events/event_well_formed.sql
\ir 04_events/aximo_private.executions.sql
\ir 04_events/aximo_private.approvals.sql
\ir 04_events/aximo_private.violations.sql
\ir 04_events/known_deployments.sql
\ir 04_events/note_deployments.sql
\ir 05_emit/receipt.sql
\ir 05_emit/event_fields.sql
\ir 05_emit/nearest.sql
\ir 05_emit/refuse_malformed.sql
\ir 05_emit/broken_rule.sql
\ir 05_emit/has_unresolved.sql
\ir 05_emit/lives_after.sql
\ir 05_emit/store_lives.sql
\ir 05_emit/refuse_step.sql
\ir 05_emit/first_receipt.sql
\ir 05_emit/parsed_events.sql
\ir 05_emit/write_events.sql
\ir 05_emit/emit_event.sql
\ir 05_emit/emit_events.sql
\ir 05_emit/import_events.sql
\ir 05_emit/close_stale_executions.sql
\ir 06_history/rebuild_execution.sql
\ir 06_history/check_rows_present.sql
\ir 06_history/verify_executions.sql
\ir 06_history/repair_executions.sql
\ir 06_history/as_of.sql
\ir 06_history/history.sql
\ir 06_history/execution_steps.sql
\ir 06_history/aximo.executions.sql
\ir 06_history/executions_from_events.sql
\ir 06_history/executions_as_of.sql
\ir 06_history/open_executions.sql
\ir 06_history/open_executions_as_of.sql
\ir 06_history/access_differences.sql
\ir 06_history/approvals_from_events.sql
\ir 06_history/aximo.approvals.sql
\ir 06_history/approvals_as_of.sql
\ir 06_history/started_executions.sql
\ir 06_history/deployment_versions.sql
\ir 06_history/deployment_versions_as_of.sql
\ir 06_history/deployments.sql
\ir 06_history/deployments_as_of.sql
\ir 07_helix/runs.sql
\ir 07_helix/run_ids.sql
\ir 07_helix/run_events.sql
\ir 07_helix/run_event_line.sql
\ir 07_helix/aximo_private.observations.sql
\ir 07_helix/helix.observations.sql
\ir 07_helix/refuse_observed.sql
\ir 07_helix/check_run.sql
\ir 07_helix/keep_run.sql
\ir 07_helix/check_run_event.sql
\ir 07_helix/event_kinds.sql
\ir 07_helix/kind_usage.sql
\ir 07_helix/observe_run.sql
\ir 07_helix/import_runs.sql
\ir 07_helix/follow_run_events.sql
\ir 07_helix/import_run_events.sql
\ir 07_helix/compare_run_log.sql
\ir 07_helix/isolate_gateway_tables.sql
\ir 07_helix/execution_trace.sql
\ir 08_log/log_state.sql
\ir 08_log/logs.sql
\ir 08_log/log_holes.sql
\ir 08_log/aximo_private.log_entries.sql
\ir 08_log/aximo_private.log_nodes.sql
\ir 08_log/aximo_private.checkpoints.sql
\ir 08_log/checkpoint_clock.sql
\ir 08_log/log_cursors.sql
\ir 08_log/log_growth.sql
\ir 08_log/numbering.sql
\ir 08_log/events_of_logs.sql
\ir 08_log/has_number.sql
\ir 08_log/tree_hash.sql
\ir 08_log/hashes_below.sql
\ir 08_log/grow_tree.sql
\ir 08_log/last_position.sql
\ir 08_log/number_new.sql
\ir 08_log/advance_log.sql
\ir 08_log/aximo.violations.sql
\ir 08_log/deployment_violations.sql
\ir 08_log/log_leaves.sql
\ir 08_log/log_lines.sql
\ir 08_log/aximo.log_entries.sql
\ir 08_log/helix.log_entries.sql
\ir 08_log/aximo.log_nodes.sql
\ir 08_log/aximo.checkpoints.sql
\ir 08_log/log_size.sql
\ir 08_log/log_tile.sql
\ir 08_log/log_root.sql
\ir 08_log/log_origin.sql
\ir 08_log/checkpoint_text.sql
\ir 08_log/check_log_nodes.sql
\ir 08_log/cursors.sql
\ir 08_log/aximo.read_log.sql
\ir 08_log/helix.read_log.sql
\ir 08_log/open_cursor.sql
\ir 08_log/move_cursor.sql
\ir 08_log/add_checkpoint.sql
\ir 08_log/unlogged_events.sql
\ir 08_log/verify_log.sql
\ir 08_log/mend_log.sql
\ir 08_log/rebuild_log_nodes.sql
\ir 08_log/my_customers.sql
\ir 08_log/join_fleet.sql
\ir 08_log/place_customer.sql
\ir 09_metrics/series_key.sql
\ir 09_metrics/histogram_bin.sql
\ir 09_metrics/histogram_value.sql
\ir 09_metrics/fact.sql
\ir 09_metrics/keep_sums.sql
\ir 09_metrics/activity_sums.sql
\ir 09_metrics/action_sums.sql
\ir 09_metrics/deployment_sums.sql
\ir 09_metrics/run_sums.sql
\ir 09_metrics/run_states.sql
\ir 09_metrics/counted_logs.sql
\ir 09_metrics/uncounted_logs.sql
\ir 09_metrics/metric_state.sql
\ir 09_metrics/aximo_private.thresholds.sql
\ir 09_metrics/metric_lists.sql
\ir 09_metrics/unjudged_leads.sql
\ir 09_metrics/list_of.sql
\ir 09_metrics/month_end.sql
\ir 09_metrics/note_uncounted.sql
\ir 09_metrics/facts_of_entries.sql
\ir 09_metrics/count_activity.sql
\ir 09_metrics/count_actions.sql
\ir 09_metrics/count_deployments.sql
\ir 09_metrics/count_runs.sql
\ir 09_metrics/count_growth.sql
\ir 09_metrics/count_leads.sql
\ir 09_metrics/count_metrics.sql
\ir 09_metrics/recount_metrics.sql
\ir 09_metrics/activity_to_publish.sql
\ir 09_metrics/actions_to_publish.sql
\ir 09_metrics/deployments_to_publish.sql
\ir 09_metrics/runs_to_publish.sql
\ir 09_metrics/counted_to_publish.sql
\ir 09_metrics/publish_kind.sql
\ir 09_metrics/kinds.sql
\ir 09_metrics/check_effective_from.sql
\ir 09_metrics/set_threshold.sql
\ir 09_metrics/threshold_at.sql
\ir 09_metrics/level_of.sql
\ir 09_metrics/set_list.sql
\ir 09_metrics/set_high_risk_levels.sql
\ir 09_metrics/set_lead_action_types.sql
\ir 09_metrics/high_risk_at.sql
\ir 09_metrics/refresh_metrics.sql
\ir 09_metrics/keep_metrics.sql
\ir 09_metrics/known_customer.sql
\ir 06_history/access_history.sql
\ir 09_metrics/execution_health.sql
\ir 09_metrics/execution_health_hourly.sql
\ir 09_metrics/execution_health_monthly.sql
\ir 09_metrics/business_value.sql
\ir 09_metrics/business_value_hourly.sql
\ir 09_metrics/business_value_monthly.sql
\ir 09_metrics/actions.sql
\ir 09_metrics/actions_hourly.sql
\ir 09_metrics/actions_monthly.sql
\ir 09_metrics/sla_governance.sql
\ir 09_metrics/sla_governance_hourly.sql
\ir 09_metrics/sla_governance_monthly.sql
\ir 09_metrics/deployment_status.sql
\ir 09_metrics/customer_overview.sql
\ir 09_metrics/attribution_monthly.sql
\ir 09_metrics/tool_runs.sql
\ir 09_metrics/tool_runs_by_status.sql
\ir 09_metrics/alerts.sql
\ir 09_metrics/alerts_hourly.sql
\ir 09_metrics/alerts_monthly.sql
\ir 09_metrics/aximo_metrics.thresholds.sql
\ir 09_metrics/list_settings.sql
\ir 09_metrics/high_risk_levels.sql
\ir 09_metrics/lead_action_types.sql
\ir 09_metrics/freshness.sql
\ir 09_metrics/ledger_status.sql
\ir 09_metrics/recompute_metrics.sql
\ir 09_metrics/recompute_run_metrics.sql
\ir 09_metrics/verify_metrics.sql
\ir 08_log/take_arriving.sql
\ir 08_log/make_movable.sql
\ir 08_log/movable.sql
\ir 08_log/aximo_private.erasures.sql
\ir 08_log/aximo.erasures.sql
\ir 08_log/record_erasure.sql
\ir 10_version/schema_version.sql
\ir 10_version/oldest_client.sql
\ir 10_version/alembic_version.sql
\ir 99_grants/owners.sql
\ir 99_grants/grants.sql
\ir 99_grants/installer.sql
\ir 10_version/stamp.sql
commit;
