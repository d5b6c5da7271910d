create materialized view aximo_private.deployment_measures as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    m.status,
    m.status_since,
    m.last_execution_at,
    m.first_event_at,
    m.last_event_at,
    m.events,
    m.triggered,
    m.completed,
    m.failed,
    m.open,
    m.upgrades,
    m.rollbacks,
    m.sla_breaches
from aximo_private.deployment_rows() as m
with no data;
alter materialized view aximo_private.deployment_measures owner to aximo_meter;
create unique index deployment_measures_key on aximo_private.deployment_measures (customer_id, deployment_id);
-- Statistics would tell, through row estimates, how much other customers have.
alter materialized view aximo_private.deployment_measures
    alter customer_id set statistics 0,
    alter deployment_id set statistics 0,
    alter skill_id set statistics 0,
    alter skill_version set statistics 0,
    alter status set statistics 0,
    alter status_since set statistics 0,
    alter last_execution_at set statistics 0,
    alter first_event_at set statistics 0,
    alter last_event_at set statistics 0,
    alter events set statistics 0,
    alter triggered set statistics 0,
    alter completed set statistics 0,
    alter failed set statistics 0,
    alter open set statistics 0,
    alter upgrades set statistics 0,
    alter rollbacks set statistics 0,
    alter sla_breaches set statistics 0;

comment on materialized view aximo_private.deployment_measures is 'Each deployment: its state, and what has happened to it since the beginning.';
comment on column aximo_private.deployment_measures.customer_id is 'Whose deployment.';
comment on column aximo_private.deployment_measures.deployment_id is 'The deployment.';
comment on column aximo_private.deployment_measures.skill_id is 'The skill: as last declared, else as last executed.';
comment on column aximo_private.deployment_measures.skill_version is 'Its version: as last declared, else as last executed.';
comment on column aximo_private.deployment_measures.status is 'As in aximo.deployments.';
comment on column aximo_private.deployment_measures.status_since is 'Since when.';
comment on column aximo_private.deployment_measures.last_execution_at is 'When an execution was last triggered.';
comment on column aximo_private.deployment_measures.first_event_at is 'The earliest timestamp of its events.';
comment on column aximo_private.deployment_measures.last_event_at is 'The latest timestamp of its events.';
comment on column aximo_private.deployment_measures.events is 'How many events.';
comment on column aximo_private.deployment_measures.triggered is 'How many execution_triggered events.';
comment on column aximo_private.deployment_measures.completed is 'How many execution_completed events.';
comment on column aximo_private.deployment_measures.failed is 'How many execution_failed events.';
comment on column aximo_private.deployment_measures.open is 'How many executions have begun and not ended.';
comment on column aximo_private.deployment_measures.upgrades is 'How many version_upgraded events.';
comment on column aximo_private.deployment_measures.rollbacks is 'How many version_rolled_back events.';
comment on column aximo_private.deployment_measures.sla_breaches is 'How many sla_breached events.';
comment on index aximo_private.deployment_measures_key is 'For REFRESH CONCURRENTLY, and to read a customer''s deployments.';
