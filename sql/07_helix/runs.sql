-- The columns of HelixMCP's own schema, in its order, and then the ledger's own. The gateway's other tables are not here, so project_id,
-- params_hash and log_artifact_id refer to nothing.
create table helix.runs (
    run_id text collate "C" not null,
    project_id text collate "C" not null,
    tool_name text collate "C" not null,
    contract_version text collate "C" not null,
    tool_version text collate "C",
    params_hash text collate "C" not null,
    policy_hash text collate "C" not null,
    status text collate "C" not null,
    requested_by text collate "C",
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    policy_snapshot jsonb,
    environment jsonb,
    -- squawk-ignore prefer-bigint-over-int
    exit_code integer,
    error text collate "C",
    result_json jsonb,
    log_artifact_id text collate "C",
    customer_id text collate "C" not null default aximo.current_customer(),
    execution_id text collate "C",
    recorded_at timestamptz not null default clock_timestamp(),
    recorded_by text collate "C" not null default session_user,
    made_for_events boolean not null default false,
    constraint runs_pkey primary key (run_id),
    constraint run_of_customer unique (customer_id, run_id),
    constraint runs_status_check check (status in ('queued', 'running', 'succeeded', 'failed', 'blocked')),
    constraint customer_id_well_formed check (
        char_length(customer_id) <= 255 and btrim(customer_id) <> '' and customer_id <> '*'
    ),
    constraint run_id_length check (char_length(run_id) between 1 and 255),
    constraint project_id_length check (char_length(project_id) <= 255),
    constraint tool_name_length check (char_length(tool_name) between 1 and 255),
    constraint execution_id_length check (char_length(execution_id) between 1 and 255),
    constraint run_moment check (
        created_at >= '1970-01-01 00:00:00+00' and created_at < '9999-01-01 00:00:00+00'
        and started_at >= '1970-01-01 00:00:00+00' and started_at < '9999-01-01 00:00:00+00'
        and finished_at >= '1970-01-01 00:00:00+00' and finished_at < '9999-01-01 00:00:00+00'
    ),
    -- Checked before the size, as PostgreSQL checks constraints in the order of their names: the text of such numbers would not fit into
    -- memory.
    constraint run_numbers check (
        not aximo_private.has_extreme_number(policy_snapshot)
        and not aximo_private.has_extreme_number(environment)
        and not aximo_private.has_extreme_number(result_json)
    ),
    -- The columns that have no limit of their own, counted as a line of an export has them.
    constraint run_size check (
        octet_length(
            to_json(
                concat(contract_version, tool_version, params_hash, policy_hash, requested_by, error, log_artifact_id)
            )::text
        )
        + coalesce(octet_length(policy_snapshot::text), 0) + coalesce(octet_length(environment::text), 0)
        + coalesce(octet_length(result_json::text), 0) <= 8388608
    )
);
-- They have the names that the gateway's own schema gives them, so that the gateway's CREATE INDEX IF NOT EXISTS finds them. An index that
-- does not lead with the customer would show others in EXPLAIN ANALYZE.
create index runs_project_created_idx on helix.runs (customer_id, project_id, created_at desc);
create index runs_tool_idx on helix.runs (customer_id, tool_name, created_at);
create index runs_by_time on helix.runs (customer_id, created_at, run_id);
create index runs_by_execution on helix.runs (customer_id, execution_id) where execution_id is not null;

select aximo_private.isolate_by_customer(
    'helix.runs', 'readers_read_own_runs', 'aximo_reader', 'A login sees the runs of the session''s customer; so do views.'
);
create policy writers_add_own_runs on helix.runs
for insert to aximo_writer with check (customer_id = (select aximo.current_customer()) and recorded_by = session_user);
create policy writers_move_own_runs on helix.runs
for update to aximo_writer
using (customer_id = (select aximo.current_customer()) and coalesce(customer_id = (select aximo.current_customer()), false))
with check (customer_id = (select aximo.current_customer()));
-- No login is granted DELETE: with it a login could lock the table against all others.
create policy owner_deletes_own_runs on helix.runs
for delete to aximo_owner
using (customer_id = (select aximo.current_customer()) and coalesce(customer_id = (select aximo.current_customer()), false));
-- Logins read this table themselves. The login that installed is a member of the roles below, so a policy asks which role is acting.
create policy recorder_keeps_runs on helix.runs
for all to aximo_recorder
using ((select current_user) = 'aximo_recorder') with check ((select current_user) = 'aximo_recorder');
create policy sequencer_reads_runs on helix.runs for select to aximo_sequencer using ((select current_user) = 'aximo_sequencer');
comment on table helix.runs is 'The tool runs of the session''s customer, as HelixMCP writes them. Their state changes; what they are does not. Key: run_id.';
comment on column helix.runs.run_id is 'The run. Unique among all customers, as in the gateway''s schema.';
comment on column helix.runs.project_id is 'The project, a name of the gateway''s.';
comment on column helix.runs.tool_name is 'The tool; "unknown" if the run was made for imported events.';
comment on column helix.runs.contract_version is 'The version of the tool''s contract.';
comment on column helix.runs.tool_version is 'The version of the tool.';
comment on column helix.runs.params_hash is 'The hash of the parameters.';
comment on column helix.runs.policy_hash is 'The hash of the policy it ran under.';
comment on column helix.runs.status is 'queued, running, succeeded, failed or blocked; the last three are final.';
comment on column helix.runs.requested_by is 'Who asked for it, as the gateway claims.';
comment on column helix.runs.created_at is 'When the row was made.';
comment on column helix.runs.started_at is 'When it started, by the gateway''s clock.';
comment on column helix.runs.finished_at is 'When it ended, by the gateway''s clock.';
comment on column helix.runs.policy_snapshot is 'The policy.';
comment on column helix.runs.environment is 'Where it ran.';
comment on column helix.runs.exit_code is 'The exit code, if a process ran.';
comment on column helix.runs.error is 'The error, if any.';
comment on column helix.runs.result_json is 'The result, if any.';
comment on column helix.runs.log_artifact_id is 'The gateway''s artifact with the run''s log.';
comment on column helix.runs.customer_id is 'Whose run it is: always the session''s customer.';
comment on column helix.runs.execution_id is 'The execution it served, if it is known: said once.';
comment on column helix.runs.recorded_at is 'When it was written, by the database''s clock; no client sets it.';
comment on column helix.runs.recorded_by is 'The login that wrote it; no client sets it.';
comment on column helix.runs.made_for_events is 'Whether it was made by an import of events whose run was not there; its state then follows from them.';
comment on policy writers_add_own_runs on helix.runs is 'A run is of the session''s customer.';
comment on policy writers_move_own_runs on helix.runs is 'The state of one''s own runs changes.';
comment on policy owner_deletes_own_runs on helix.runs is 'A run without events may be deleted, by a DBA.';
comment on policy recorder_keeps_runs on helix.runs is 'The functions and guards, which name the customer in every look-up.';
comment on policy sequencer_reads_runs on helix.runs is 'Metrics are counted for all customers at a time.';
comment on index helix.runs_project_created_idx is 'A project''s runs.';
comment on index helix.runs_tool_idx is 'A tool''s runs.';
comment on index helix.runs_by_time is 'Newest first, and paging.';
comment on index helix.runs_by_execution is 'The runs of an execution, for its trace.';
