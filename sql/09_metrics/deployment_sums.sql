-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
-- One row a deployment: what its latest events say, by timestamp, and by log number where timestamps are equal; and its totals.
create table aximo_private.deployment_sums (
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
    events bigint not null,
    triggered bigint not null,
    completed bigint not null,
    failed bigint not null,
    open bigint not null,
    upgrades bigint not null,
    rollbacks bigint not null,
    sla_breaches bigint not null,
    changed_in bigint not null,
    constraint deployment_sums_pkey primary key (customer_id, deployment_id)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1);
create index deployment_sums_changed on aximo_private.deployment_sums (changed_in);
select aximo_private.keep_sums('aximo_private.deployment_sums');

comment on table aximo_private.deployment_sums is 'State, version, latest execution and totals of each deployment. Kept by aximo.count_metrics.';
comment on column aximo_private.deployment_sums.customer_id is 'Whose deployment.';
comment on column aximo_private.deployment_sums.deployment_id is 'The deployment.';
comment on column aximo_private.deployment_sums.first_event_at is 'The earliest timestamp of its events.';
comment on column aximo_private.deployment_sums.last_event_at is 'The latest timestamp of its events.';
comment on column aximo_private.deployment_sums.status_type is 'The type of the latest event that says in which state it is.';
comment on column aximo_private.deployment_sums.status_at is 'Its timestamp.';
comment on column aximo_private.deployment_sums.status_number is 'Its log number.';
comment on column aximo_private.deployment_sums.declared_skill is 'The skill of the latest event that declares one.';
comment on column aximo_private.deployment_sums.declared_version is 'Its version.';
comment on column aximo_private.deployment_sums.declared_at is 'Its timestamp.';
comment on column aximo_private.deployment_sums.declared_number is 'Its log number.';
comment on column aximo_private.deployment_sums.executed_skill is 'The skill of the execution triggered last.';
comment on column aximo_private.deployment_sums.executed_version is 'Its version.';
comment on column aximo_private.deployment_sums.executed_at is 'Its timestamp.';
comment on column aximo_private.deployment_sums.executed_number is 'Its log number.';
comment on column aximo_private.deployment_sums.events is 'How many events.';
comment on column aximo_private.deployment_sums.triggered is 'How many execution_triggered events.';
comment on column aximo_private.deployment_sums.completed is 'How many execution_completed events.';
comment on column aximo_private.deployment_sums.failed is 'How many execution_failed events.';
comment on column aximo_private.deployment_sums.open is 'How many executions have begun and not ended.';
comment on column aximo_private.deployment_sums.upgrades is 'How many version_upgraded events.';
comment on column aximo_private.deployment_sums.rollbacks is 'How many version_rolled_back events.';
comment on column aximo_private.deployment_sums.sla_breaches is 'How many sla_breached events.';
comment on column aximo_private.deployment_sums.changed_in is 'The step that changed it last, as metric_state.steps counts them.';
