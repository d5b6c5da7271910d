-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_private.deployments_to_publish with (security_barrier = true) as
select
    r.customer_id,
    r.deployment_id,
    coalesce(r.declared_skill, r.executed_skill) as skill_id,
    coalesce(r.declared_version, r.executed_version) as skill_version,
    case r.status_type
        when 'deployment_created' then 'pending_configuration'
        when 'deployment_configured' then 'configured'
        when 'deployment_activated' then 'active'
        when 'deployment_suspended' then 'suspended'
        when 'deployment_terminated' then 'terminated'
        else 'undeclared'
    end collate "C" as status,
    r.status_at as status_since,
    r.upgrades,
    r.rollbacks,
    r.executed_at as last_execution_at,
    r.first_event_at,
    r.last_event_at,
    r.events,
    r.triggered,
    r.completed,
    r.failed,
    r.open,
    r.failed::double precision / nullif(r.triggered, 0) as error_rate,
    r.sla_breaches,
    r.sla_breaches::double precision / nullif(r.completed, 0) as sla_breach_rate,
    r.changed_in
from aximo_private.deployment_sums as r;
alter view aximo_private.deployments_to_publish owner to aximo_meter;

comment on view aximo_private.deployments_to_publish is 'Every row of deployment_sums as it is published.';
comment on column aximo_private.deployments_to_publish.skill_id is 'The skill: as last declared, else as last executed.';
comment on column aximo_private.deployments_to_publish.skill_version is 'Its version: as last declared, else as last executed.';
comment on column aximo_private.deployments_to_publish.status is 'As in aximo.deployments.';
comment on column aximo_private.deployments_to_publish.status_since is 'Since when.';
comment on column aximo_private.deployments_to_publish.last_execution_at is 'When an execution was last triggered.';
comment on column aximo_private.deployments_to_publish.error_rate is 'failed / triggered; null if none was triggered.';
comment on column aximo_private.deployments_to_publish.sla_breach_rate is 'sla_breaches / completed; null if none completed.';
