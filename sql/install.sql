-- The whole schema, in one transaction: psql -v ON_ERROR_STOP=1 -f sql/install.sql
-- As the owner of the database, a role with CREATEROLE. Later versions come by "aximo-db migrate".
\set ON_ERROR_STOP on
begin;
\ir 00_roles/preflight.sql
\ir 00_roles/roles.sql
\ir 01_schemas/private_schema.sql
\ir 01_schemas/schemas.sql
\ir 02_access/customer_grants.sql
\ir 02_access/current_customer.sql
\ir 02_access/writing_customer.sql
\ir 02_access/grant_customer.sql
\ir 02_access/revoke_customer.sql
\ir 03_append_only/refuse_change.sql
\ir 03_append_only/make_append_only.sql
\ir 04_events/has_extreme_number.sql
\ir 04_events/domains.sql
\ir 04_events/event_types.sql
\ir 04_events/events.sql
\ir 04_events/events_view.sql
\ir 05_emit/receipt.sql
\ir 05_emit/event_fields.sql
\ir 05_emit/refuse_malformed.sql
\ir 05_emit/life_step.sql
\ir 05_emit/plain_lives.sql
\ir 05_emit/breaches.sql
\ir 05_emit/check_flow.sql
\ir 05_emit/settle_conflict.sql
\ir 05_emit/request_answered.sql
\ir 05_emit/emit_event.sql
\ir 05_emit/emit_events.sql
\ir 05_emit/close_stale_executions.sql
\ir 06_history/as_of.sql
\ir 06_history/history.sql
\ir 06_history/event_lines.sql
\ir 06_history/execution_steps.sql
\ir 06_history/execution_trace.sql
\ir 06_history/executions.sql
\ir 06_history/executions_as_of.sql
\ir 06_history/open_executions.sql
\ir 06_history/open_executions_as_of.sql
\ir 06_history/approvals.sql
\ir 06_history/approvals_as_of.sql
\ir 06_history/known_deployments.sql
\ir 06_history/deployment_versions.sql
\ir 06_history/deployment_versions_as_of.sql
\ir 06_history/deployments.sql
\ir 06_history/deployments_as_of.sql
\ir 09_version/schema_version.sql
\ir 09_version/oldest_client.sql
\ir 09_version/alembic_version.sql
\ir 99_grants/grants.sql
\ir 99_grants/installer.sql
\ir 09_version/stamp.sql
commit;
