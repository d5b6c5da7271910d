-- The state of each deployment: what its latest events say, by timestamp, and by log number where timestamps are equal.
create table aximo_private.deployment_rollups (
    customer_id text collate "C" not null,
    deployment_id text collate "C" not null,
    first_event_at timestamptz not null,
    last_event_at timestamptz not null,
    status_type text collate "C",
    status_at timestamptz,
    status_number bigint,
    declared_skill text collate "C",
    declared_version text collate "C",
    declared_at timestamptz,
    declared_number bigint,
    executed_skill text collate "C",
    executed_version text collate "C",
    executed_at timestamptz,
    executed_number bigint,
    constraint deployment_rollups_pkey primary key (customer_id, deployment_id)
) with (fillfactor = 70);
alter table aximo_private.deployment_rollups owner to aximo_owner;
alter table aximo_private.deployment_rollups enable row level security;
alter table aximo_private.deployment_rollups force row level security;
create policy sequencer_keeps_deployment_rollups on aximo_private.deployment_rollups
for all to aximo_sequencer using (true) with check (true);
create policy meter_reads_deployment_rollups on aximo_private.deployment_rollups
for select to aximo_meter using (true);
-- Statistics would tell, through row estimates, how much other customers have.
alter table aximo_private.deployment_rollups
    alter customer_id set statistics 0,
    alter deployment_id set statistics 0,
    alter first_event_at set statistics 0,
    alter last_event_at set statistics 0,
    alter status_type set statistics 0,
    alter status_at set statistics 0,
    alter status_number set statistics 0,
    alter declared_skill set statistics 0,
    alter declared_version set statistics 0,
    alter declared_at set statistics 0,
    alter declared_number set statistics 0,
    alter executed_skill set statistics 0,
    alter executed_version set statistics 0,
    alter executed_at set statistics 0,
    alter executed_number set statistics 0;

comment on table aximo_private.deployment_rollups is 'State, version and latest execution of each deployment. Kept by aximo.advance_log.';
comment on column aximo_private.deployment_rollups.customer_id is 'Whose deployment.';
comment on column aximo_private.deployment_rollups.deployment_id is 'The deployment.';
comment on column aximo_private.deployment_rollups.first_event_at is 'The earliest timestamp of its events.';
comment on column aximo_private.deployment_rollups.last_event_at is 'The latest timestamp of its events.';
comment on column aximo_private.deployment_rollups.status_type is 'The type of the latest event that says in which state it is.';
comment on column aximo_private.deployment_rollups.status_at is 'Its timestamp.';
comment on column aximo_private.deployment_rollups.status_number is 'Its log number.';
comment on column aximo_private.deployment_rollups.declared_skill is 'The skill of the latest event that declares one.';
comment on column aximo_private.deployment_rollups.declared_version is 'Its version.';
comment on column aximo_private.deployment_rollups.declared_at is 'Its timestamp.';
comment on column aximo_private.deployment_rollups.declared_number is 'Its log number.';
comment on column aximo_private.deployment_rollups.executed_skill is 'The skill of the execution triggered last.';
comment on column aximo_private.deployment_rollups.executed_version is 'Its version.';
comment on column aximo_private.deployment_rollups.executed_at is 'Its timestamp.';
comment on column aximo_private.deployment_rollups.executed_number is 'Its log number.';
comment on policy sequencer_keeps_deployment_rollups on aximo_private.deployment_rollups is 'aximo.advance_log runs as this role, for all customers at a time.';
comment on policy meter_reads_deployment_rollups on aximo_private.deployment_rollups is 'Materialized views have no policies: their owner reads all, and what is built on them names the customer.';
