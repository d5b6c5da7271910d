-- Kept by aximo.advance_log: what happened, per deployment, skill and version, and per hour, day and month, and in all. Every number is a
-- sum, so it does not matter in which order events come; an event counts in the hour of its own timestamp, however late it comes.
create table aximo_private.rollups (
    customer_id text collate "C" not null,
    series uuid not null,
    grain text collate "C" not null,
    bucket timestamptz not null,
    deployment_id text collate "C" not null,
    skill_id text collate "C" not null,
    skill_version text collate "C" not null,
    events bigint not null,
    execution_triggered bigint not null,
    execution_processing bigint not null,
    execution_completed bigint not null,
    execution_failed bigint not null,
    action_prepared bigint not null,
    action_dispatched bigint not null,
    action_failed bigint not null,
    approval_requested bigint not null,
    approval_granted bigint not null,
    approval_rejected bigint not null,
    approval_timeout bigint not null,
    sla_breached bigint not null,
    escalation_triggered bigint not null,
    pressure_invoked bigint not null,
    deployment_suspended bigint not null,
    deployment_created bigint not null,
    deployment_configured bigint not null,
    deployment_activated bigint not null,
    deployment_updated bigint not null,
    deployment_terminated bigint not null,
    version_upgraded bigint not null,
    version_rolled_back bigint not null,
    leads bigint not null,
    emergency_leads bigint not null,
    opened bigint not null,
    closed bigint not null,
    answered bigint not null,
    executions bigint not null,
    execution_us numeric not null,
    latencies bigint not null,
    latency_ms numeric not null,
    delays bigint not null,
    delay_us numeric not null,
    number bigint not null,
    changed_in bigint not null,
    constraint rollups_pkey primary key (customer_id, series, grain, bucket),
    constraint grain_known check (grain in ('hour', 'day', 'month', 'total'))
) with (fillfactor = 70);
alter table aximo_private.rollups owner to aximo_owner;
alter table aximo_private.rollups enable row level security;
alter table aximo_private.rollups force row level security;
create policy sequencer_keeps_rollups on aximo_private.rollups
for all to aximo_sequencer using (true) with check (true);
create policy meter_reads_rollups on aximo_private.rollups
for select to aximo_meter using (true);
create index rollups_changed on aximo_private.rollups (changed_in);
create index rollups_of_deployment on aximo_private.rollups (customer_id, deployment_id) where grain = 'total';
-- Statistics would tell, through row estimates, how much other customers have.
alter table aximo_private.rollups
    alter customer_id set statistics 0,
    alter series set statistics 0,
    alter grain set statistics 0,
    alter bucket set statistics 0,
    alter deployment_id set statistics 0,
    alter skill_id set statistics 0,
    alter skill_version set statistics 0,
    alter events set statistics 0,
    alter execution_triggered set statistics 0,
    alter execution_processing set statistics 0,
    alter execution_completed set statistics 0,
    alter execution_failed set statistics 0,
    alter action_prepared set statistics 0,
    alter action_dispatched set statistics 0,
    alter action_failed set statistics 0,
    alter approval_requested set statistics 0,
    alter approval_granted set statistics 0,
    alter approval_rejected set statistics 0,
    alter approval_timeout set statistics 0,
    alter sla_breached set statistics 0,
    alter escalation_triggered set statistics 0,
    alter pressure_invoked set statistics 0,
    alter deployment_suspended set statistics 0,
    alter deployment_created set statistics 0,
    alter deployment_configured set statistics 0,
    alter deployment_activated set statistics 0,
    alter deployment_updated set statistics 0,
    alter deployment_terminated set statistics 0,
    alter version_upgraded set statistics 0,
    alter version_rolled_back set statistics 0,
    alter leads set statistics 0,
    alter emergency_leads set statistics 0,
    alter opened set statistics 0,
    alter closed set statistics 0,
    alter answered set statistics 0,
    alter executions set statistics 0,
    alter execution_us set statistics 0,
    alter latencies set statistics 0,
    alter latency_ms set statistics 0,
    alter delays set statistics 0,
    alter delay_us set statistics 0,
    alter number set statistics 0,
    alter changed_in set statistics 0;

comment on table aximo_private.rollups is 'What happened, summed up per deployment, skill, version and time. One row a key; kept by aximo.advance_log.';
comment on column aximo_private.rollups.customer_id is 'Whose events.';
comment on column aximo_private.rollups.series is 'Deployment, skill and version, hashed: short enough for an index.';
comment on column aximo_private.rollups.grain is 'hour, day, month or total.';
comment on column aximo_private.rollups.bucket is 'When the hour, day or month of UTC begins; -infinity for the total.';
comment on column aximo_private.rollups.deployment_id is 'The deployment.';
comment on column aximo_private.rollups.skill_id is 'The skill.';
comment on column aximo_private.rollups.skill_version is 'Its version.';
comment on column aximo_private.rollups.events is 'How many events.';
comment on column aximo_private.rollups.execution_triggered is 'How many execution_triggered events.';
comment on column aximo_private.rollups.execution_processing is 'How many execution_processing events.';
comment on column aximo_private.rollups.execution_completed is 'How many execution_completed events.';
comment on column aximo_private.rollups.execution_failed is 'How many execution_failed events.';
comment on column aximo_private.rollups.action_prepared is 'How many action_prepared events.';
comment on column aximo_private.rollups.action_dispatched is 'How many action_dispatched events.';
comment on column aximo_private.rollups.action_failed is 'How many action_failed events.';
comment on column aximo_private.rollups.approval_requested is 'How many approval_requested events.';
comment on column aximo_private.rollups.approval_granted is 'How many approval_granted events.';
comment on column aximo_private.rollups.approval_rejected is 'How many approval_rejected events.';
comment on column aximo_private.rollups.approval_timeout is 'How many approval_timeout events.';
comment on column aximo_private.rollups.sla_breached is 'How many sla_breached events.';
comment on column aximo_private.rollups.escalation_triggered is 'How many escalation_triggered events.';
comment on column aximo_private.rollups.pressure_invoked is 'How many pressure_invoked events.';
comment on column aximo_private.rollups.deployment_suspended is 'How many deployment_suspended events.';
comment on column aximo_private.rollups.deployment_created is 'How many deployment_created events.';
comment on column aximo_private.rollups.deployment_configured is 'How many deployment_configured events.';
comment on column aximo_private.rollups.deployment_activated is 'How many deployment_activated events.';
comment on column aximo_private.rollups.deployment_updated is 'How many deployment_updated events.';
comment on column aximo_private.rollups.deployment_terminated is 'How many deployment_terminated events.';
comment on column aximo_private.rollups.version_upgraded is 'How many version_upgraded events.';
comment on column aximo_private.rollups.version_rolled_back is 'How many version_rolled_back events.';
comment on column aximo_private.rollups.leads is 'How many leads: action_dispatched of the action_type lead_capture.';
comment on column aximo_private.rollups.emergency_leads is 'How many of them with payload.priority high, or payload.emergency true.';
comment on column aximo_private.rollups.opened is 'How many executions were triggered for the first time.';
comment on column aximo_private.rollups.closed is 'How many of those have ended, whenever that was.';
comment on column aximo_private.rollups.answered is 'How many of the approvals requested have been answered, whenever that was.';
comment on column aximo_private.rollups.executions is 'How many executions ended, of those whose start is known.';
comment on column aximo_private.rollups.execution_us is 'Their time from trigger to end, summed up, in microseconds.';
comment on column aximo_private.rollups.latencies is 'How many events state latency_ms.';
comment on column aximo_private.rollups.latency_ms is 'Those, summed up.';
comment on column aximo_private.rollups.delays is 'How many approvals were answered.';
comment on column aximo_private.rollups.delay_us is 'Their time from request to answer, summed up, in microseconds.';
comment on column aximo_private.rollups.number is 'The log number of the last event that changed this row.';
comment on column aximo_private.rollups.changed_in is 'Which advance that was, as log_state.advances counts them.';
comment on policy sequencer_keeps_rollups on aximo_private.rollups is 'aximo.advance_log runs as this role, for all customers at a time.';
comment on policy meter_reads_rollups on aximo_private.rollups is 'Materialized views have no policies: their owner reads all, and what is built on them names the customer.';
comment on index aximo_private.rollups_changed is 'What a refresh has to look at.';
comment on index aximo_private.rollups_of_deployment is 'The totals of a deployment.';
