-- All there was when it was last refreshed; what changed since is in the hot one, which is what a refresh usually makes anew.
create materialized view aximo_private.actions_cold as
select
    m.customer_id,
    m.series,
    m.grain,
    m.bucket,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    m.action_type,
    m.risk_level,
    m.prepared,
    m.dispatched,
    m.failed
from aximo_private.action_rows(false) as m
with no data;
alter materialized view aximo_private.actions_cold owner to aximo_meter;
create unique index actions_cold_key on aximo_private.actions_cold (customer_id, grain, bucket, series);
-- Statistics would tell, through row estimates, how much other customers have.
alter materialized view aximo_private.actions_cold
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
    alter failed set statistics 0;

comment on materialized view aximo_private.actions_cold is 'Actions by type and risk: all of it, as of an earlier refresh.';
comment on column aximo_private.actions_cold.customer_id is 'Whose events.';
comment on column aximo_private.actions_cold.series is 'As in rollups.';
comment on column aximo_private.actions_cold.grain is 'hour, day or month.';
comment on column aximo_private.actions_cold.bucket is 'When it begins.';
comment on column aximo_private.actions_cold.deployment_id is 'The deployment.';
comment on column aximo_private.actions_cold.skill_id is 'The skill.';
comment on column aximo_private.actions_cold.skill_version is 'Its version.';
comment on column aximo_private.actions_cold.action_type is 'payload.action_type; null if it says none.';
comment on column aximo_private.actions_cold.risk_level is 'The risk stated; null if none is.';
comment on column aximo_private.actions_cold.prepared is 'How many were prepared.';
comment on column aximo_private.actions_cold.dispatched is 'How many were dispatched.';
comment on column aximo_private.actions_cold.failed is 'How many failed.';
comment on index aximo_private.actions_cold_key is 'For REFRESH CONCURRENTLY, and to read a customer''s rows of some time.';
