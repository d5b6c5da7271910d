-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
-- Actions by their type and risk, otherwise as in activity_sums.
create table aximo_private.action_sums (
    customer_id text collate "C" not null,
    grain text collate "C" not null,
    bucket timestamptz not null,
    series uuid not null,
    deployment_id text collate "C" not null,
    skill_id text collate "C" not null,
    skill_version text collate "C" not null,
    action_type text collate "C",
    risk_level text collate "C",
    prepared bigint not null,
    dispatched bigint not null,
    failed bigint not null,
    emergencies bigint not null,
    changed_in bigint not null,
    constraint action_sums_pkey primary key (customer_id, grain, bucket, series),
    constraint grain_known check (grain in ('hour', 'day', 'month'))
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1);
create index action_sums_changed on aximo_private.action_sums (changed_in);
select aximo_private.keep_sums('aximo_private.action_sums');

comment on table aximo_private.action_sums is 'Actions, summed up per deployment, skill, version, type, risk and time. Kept by aximo.count_metrics.';
comment on column aximo_private.action_sums.customer_id is 'Whose events.';
comment on column aximo_private.action_sums.grain is 'hour, day or month.';
comment on column aximo_private.action_sums.bucket is 'When the hour, day or month of UTC begins.';
comment on column aximo_private.action_sums.series is 'Deployment, skill, version, type and risk, hashed: short enough for an index.';
comment on column aximo_private.action_sums.deployment_id is 'The deployment.';
comment on column aximo_private.action_sums.skill_id is 'The skill.';
comment on column aximo_private.action_sums.skill_version is 'Its version.';
comment on column aximo_private.action_sums.action_type is 'payload.action_type; null if it says none. Its hash, if it is longer than 255 bytes, or has no short text.';
comment on column aximo_private.action_sums.risk_level is 'The risk the event states; null if it states none.';
comment on column aximo_private.action_sums.prepared is 'How many were prepared.';
comment on column aximo_private.action_sums.dispatched is 'How many were dispatched.';
comment on column aximo_private.action_sums.failed is 'How many failed.';
comment on column aximo_private.action_sums.emergencies is 'How many of those dispatched say payload.priority high, or payload.emergency true.';
comment on column aximo_private.action_sums.changed_in is 'The step that changed it last, as metric_state.steps counts them.';
