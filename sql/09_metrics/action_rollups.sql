-- Actions by their type and risk, otherwise as in rollups.
create table aximo_private.action_rollups (
    customer_id text collate "C" not null,
    series uuid not null,
    grain text collate "C" not null,
    bucket timestamptz not null,
    deployment_id text collate "C" not null,
    skill_id text collate "C" not null,
    skill_version text collate "C" not null,
    action_type text collate "C",
    risk_level text collate "C",
    prepared bigint not null,
    dispatched bigint not null,
    failed bigint not null,
    number bigint not null,
    changed_in bigint not null,
    constraint action_rollups_pkey primary key (customer_id, series, grain, bucket),
    constraint grain_known check (grain in ('hour', 'day', 'month'))
) with (fillfactor = 70);
alter table aximo_private.action_rollups owner to aximo_owner;
alter table aximo_private.action_rollups enable row level security;
alter table aximo_private.action_rollups force row level security;
create policy sequencer_keeps_action_rollups on aximo_private.action_rollups
for all to aximo_sequencer using (true) with check (true);
create policy meter_reads_action_rollups on aximo_private.action_rollups
for select to aximo_meter using (true);
create index action_rollups_changed on aximo_private.action_rollups (changed_in);
-- Statistics would tell, through row estimates, how much other customers have.
alter table aximo_private.action_rollups
    alter customer_id set statistics 0,
    alter series set statistics 0,
    alter grain set statistics 0,
    alter bucket set statistics 0,
    alter deployment_id set statistics 0,
    alter skill_id set statistics 0,
    alter skill_version set statistics 0,
    alter action_type set statistics 0,
    alter risk_level set statistics 0,
    alter prepared set statistics 0,
    alter dispatched set statistics 0,
    alter failed set statistics 0,
    alter number set statistics 0,
    alter changed_in set statistics 0;

comment on table aximo_private.action_rollups is 'Actions, summed up per deployment, skill, version, type, risk and time. Kept by aximo.advance_log.';
comment on column aximo_private.action_rollups.customer_id is 'Whose events.';
comment on column aximo_private.action_rollups.series is 'Deployment, skill, version, type and risk, hashed: short enough for an index.';
comment on column aximo_private.action_rollups.grain is 'hour, day or month.';
comment on column aximo_private.action_rollups.bucket is 'When the hour, day or month of UTC begins.';
comment on column aximo_private.action_rollups.deployment_id is 'The deployment.';
comment on column aximo_private.action_rollups.skill_id is 'The skill.';
comment on column aximo_private.action_rollups.skill_version is 'Its version.';
comment on column aximo_private.action_rollups.action_type is 'payload.action_type; null if it says none. Its hash, if it is longer than 255 bytes, or has no short text.';
comment on column aximo_private.action_rollups.risk_level is 'The risk the event states; null if it states none.';
comment on column aximo_private.action_rollups.prepared is 'How many were prepared.';
comment on column aximo_private.action_rollups.dispatched is 'How many were dispatched.';
comment on column aximo_private.action_rollups.failed is 'How many failed.';
comment on column aximo_private.action_rollups.number is 'The log number of the last event that changed this row.';
comment on column aximo_private.action_rollups.changed_in is 'Which advance that was, as log_state.advances counts them.';
comment on policy sequencer_keeps_action_rollups on aximo_private.action_rollups is 'aximo.advance_log runs as this role, for all customers at a time.';
comment on policy meter_reads_action_rollups on aximo_private.action_rollups is 'Materialized views have no policies: their owner reads all, and what is built on them names the customer.';
comment on index aximo_private.action_rollups_changed is 'What a refresh has to look at.';
