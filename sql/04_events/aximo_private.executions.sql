-- How each execution stands. The row is the lock at which two writers of an execution wait for each other, holds what the rules need to
-- know about the next event, counts the steps, and is what aximo.executions shows. Whoever writes an event writes this row in the same
-- transaction; aximo.verify_executions works it out again from the events.
create table aximo_private.executions (
    started_at timestamptz,
    ended_at timestamptz,
    last_event_at timestamptz not null,
    steps integer not null,
    start_step integer,
    end_step integer,
    open_approvals integer not null default 0,
    actions_prepared integer not null default 0,
    actions_dispatched integer not null default 0,
    actions_failed integer not null default 0,
    approvals_requested integer not null default 0,
    approvals_granted integer not null default 0,
    approvals_rejected integer not null default 0,
    approvals_timed_out integer not null default 0,
    processing boolean not null default false,
    denied boolean not null default false,
    customer_id text collate "C" not null,
    execution_id text collate "C" not null,
    deployment_id text collate "C" not null,
    skill_id text collate "C" not null,
    skill_version text collate "C" not null,
    outcome text collate "C",
    error_code text collate "C",
    error_message text collate "C"
-- Leaves room on the page for the row's next versions. More room than this would stay empty, as the row of an execution that has ended
-- never changes again.
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

-- No index has a column that changes before the execution ends: each change would add an entry to every index.
create index executions_by_time on aximo_private.executions (customer_id, started_at desc);
create index executions_by_deployment on aximo_private.executions (customer_id, deployment_id, started_at desc);
create index executions_open on aximo_private.executions (customer_id, started_at desc) where outcome is null;
create index executions_ended on aximo_private.executions (customer_id, outcome, started_at desc) where outcome is not null;
-- This index is made last, for the reason told in aximo_private.events.sql.
create unique index executions_pkey on aximo_private.executions (customer_id, execution_id);
alter table aximo_private.executions add constraint executions_pkey primary key using index executions_pkey;

select aximo_private.isolate_by_customer('aximo_private.executions', 'owner_reads_own_executions');
create policy recorder_keeps_executions on aximo_private.executions for all to aximo_recorder using (true) with check (true);
create policy sequencer_reads_executions on aximo_private.executions for select to aximo_sequencer using (true);
comment on table aximo_private.executions is 'How each execution of every customer stands: derived from its events, written with them. Read it through aximo.executions.';
comment on column aximo_private.executions.started_at is 'When it was triggered; null if that is not known, which only imported history can be.';
comment on column aximo_private.executions.steps is 'How many events it has: the step of the last one.';
comment on column aximo_private.executions.start_step is 'The step that triggered it: 1, but for imported history.';
comment on column aximo_private.executions.end_step is 'The step that ended it.';
comment on column aximo_private.executions.open_approvals is 'How many approvals wait for an answer.';
comment on column aximo_private.executions.processing is 'Whether execution_processing was seen.';
comment on column aximo_private.executions.denied is 'Whether an approval was rejected or timed out.';
comment on column aximo_private.executions.deployment_id is 'The deployment of its first event, and of all others.';
comment on policy recorder_keeps_executions on aximo_private.executions is 'The emit functions, which name the customer in every look-up.';
comment on policy sequencer_reads_executions on aximo_private.executions is 'Metrics count an execution''s first start and first end.';
comment on index aximo_private.executions_by_time is 'Newest first.';
comment on index aximo_private.executions_by_deployment is 'Those of a deployment, newest first.';
comment on index aximo_private.executions_open is 'Those that have not ended, newest first.';
comment on index aximo_private.executions_ended is 'Those that completed, or failed, newest first.';
