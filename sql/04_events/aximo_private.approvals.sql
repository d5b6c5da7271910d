-- Every approval that was requested, and its answer. The functions that write events write this table, as they write executions, and only
-- while they hold the lock on the execution's row.
create table aximo_private.approvals (
    requested_at timestamptz not null,
    decided_at timestamptz,
    step integer not null,
    request_event_id uuid not null,
    decision_event_id uuid,
    customer_id text collate "C" not null,
    execution_id text collate "C" not null,
    approval_id text collate "C",
    deployment_id text collate "C" not null,
    skill_id text collate "C" not null,
    skill_version text collate "C" not null,
    risk_level text collate "C",
    approval_mode text collate "C",
    requested_by text collate "C" not null,
    decision text collate "C" not null default 'open',
    decided_by text collate "C",
    decision_recorded_by text collate "C",
    reason text collate "C"
) with (fillfactor = 80);

create index approvals_by_time on aximo_private.approvals (customer_id, requested_at desc);
create index approvals_open on aximo_private.approvals (customer_id, requested_at desc) where decision = 'open';
-- This index is made last, for the reason told in aximo_private.events.sql.
create unique index approvals_pkey on aximo_private.approvals (customer_id, execution_id, step);
alter table aximo_private.approvals add constraint approvals_pkey primary key using index approvals_pkey;

select aximo_private.isolate_by_customer('aximo_private.approvals', 'owner_reads_own_approvals');
create policy recorder_keeps_approvals on aximo_private.approvals for all to aximo_recorder using (true) with check (true);
create policy sequencer_reads_approvals on aximo_private.approvals for select to aximo_sequencer using (true);
comment on table aximo_private.approvals is 'Every approval of every customer: derived from events, written with them. Read it through aximo.approvals.';
comment on column aximo_private.approvals.step is 'The step of the request.';
comment on column aximo_private.approvals.approval_id is 'payload.approval_id, as the rules compare it: aximo_private.step_key.';
comment on policy recorder_keeps_approvals on aximo_private.approvals is 'The emit functions, which name the customer in every look-up.';
comment on policy sequencer_reads_approvals on aximo_private.approvals is 'Metrics look up the answer to a request.';
comment on index aximo_private.approvals_by_time is 'Newest first.';
comment on index aximo_private.approvals_open is 'Those that wait for an answer, newest first.';
