-- One row a deployment, from its totals. As many rows as there are deployments, however long they run.
create view aximo_private.measured_deployments with (security_barrier = true) as
select
    d.customer_id,
    d.deployment_id,
    coalesce(d.declared_skill, d.executed_skill) as skill_id,
    coalesce(d.declared_version, d.executed_version) as skill_version,
    case d.status_type
        when 'deployment_created' then 'pending_configuration'
        when 'deployment_configured' then 'configured'
        when 'deployment_activated' then 'active'
        when 'deployment_suspended' then 'suspended'
        when 'deployment_terminated' then 'terminated'
        else 'undeclared'
    end collate "C" as status,
    d.status_at as status_since,
    d.executed_at as last_execution_at,
    d.first_event_at,
    d.last_event_at,
    t.events,
    t.triggered,
    t.completed,
    t.failed,
    t.open,
    t.upgrades,
    t.rollbacks,
    t.sla_breaches
from aximo_private.deployment_rollups as d
cross join lateral (
    select
        sum(r.events)::bigint as events,
        sum(r.execution_triggered)::bigint as triggered,
        sum(r.execution_completed)::bigint as completed,
        sum(r.execution_failed)::bigint as failed,
        sum(r.opened - r.closed)::bigint as open,
        sum(r.version_upgraded)::bigint as upgrades,
        sum(r.version_rolled_back)::bigint as rollbacks,
        sum(r.sla_breached)::bigint as sla_breaches
    from aximo_private.rollups as r
    where r.customer_id = d.customer_id and r.deployment_id = d.deployment_id and r.grain = 'total'
) as t;
alter view aximo_private.measured_deployments owner to aximo_meter;
comment on view aximo_private.measured_deployments is 'Each deployment: what deployment_measures holds.';
comment on column aximo_private.measured_deployments.customer_id is 'Whose deployment.';
comment on column aximo_private.measured_deployments.deployment_id is 'The deployment.';
comment on column aximo_private.measured_deployments.skill_id is 'The skill: as last declared, else as last executed.';
comment on column aximo_private.measured_deployments.skill_version is 'Its version: as last declared, else as last executed.';
comment on column aximo_private.measured_deployments.status is 'As in aximo.deployments.';
comment on column aximo_private.measured_deployments.status_since is 'Since when.';
comment on column aximo_private.measured_deployments.last_execution_at is 'When an execution was last triggered.';
comment on column aximo_private.measured_deployments.first_event_at is 'The earliest timestamp of its events.';
comment on column aximo_private.measured_deployments.last_event_at is 'The latest timestamp of its events.';
comment on column aximo_private.measured_deployments.events is 'How many events.';
comment on column aximo_private.measured_deployments.triggered is 'How many execution_triggered events.';
comment on column aximo_private.measured_deployments.completed is 'How many execution_completed events.';
comment on column aximo_private.measured_deployments.failed is 'How many execution_failed events.';
comment on column aximo_private.measured_deployments.open is 'How many executions have begun and not ended.';
comment on column aximo_private.measured_deployments.upgrades is 'How many version_upgraded events.';
comment on column aximo_private.measured_deployments.rollbacks is 'How many version_rolled_back events.';
comment on column aximo_private.measured_deployments.sla_breaches is 'How many sla_breached events.';
