create view aximo.deployments with (security_barrier = true) as
select
    k.customer_id,
    k.deployment_id,
    coalesce(v.skill_id, x.skill_id) as skill_id,
    coalesce(v.skill_version, x.skill_version) as skill_version,
    case s.event_type
        when 'deployment_created' then 'pending_configuration'
        when 'deployment_configured' then 'configured'
        when 'deployment_activated' then 'active'
        when 'deployment_suspended' then 'suspended'
        when 'deployment_terminated' then 'terminated'
        else 'undeclared'
    end as status,
    s."timestamp" as status_since,
    s.event_id as status_event_id,
    x."timestamp" as last_execution_at
from aximo_private.known_deployments as k
-- The latest event of some types, one index look-up a type. Types given as a list of constants were planned as a pass over the deployment.
left join lateral (
    select n.*
    from unnest(array[
        'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_suspended', 'deployment_terminated'
    ]) as t (event_type)
    cross join lateral (
        select e.event_type, e."timestamp", e.position, e.event_id
        from aximo_private.deployment_history as e
        where e.customer_id = k.customer_id and e.deployment_id = k.deployment_id and e.event_type = t.event_type
        order by e."timestamp" desc, e.position desc
        limit 1
    ) as n
    order by n."timestamp" desc, n.position desc
    limit 1
) as s on true
left join lateral (
    select n.*
    from unnest(array[
        'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_updated', 'deployment_terminated',
        'version_upgraded', 'version_rolled_back'
    ]) as t (event_type)
    cross join lateral (
        select e.skill_id, e.skill_version, e."timestamp", e.position
        from aximo_private.deployment_history as e
        where e.customer_id = k.customer_id and e.deployment_id = k.deployment_id and e.event_type = t.event_type
        order by e."timestamp" desc, e.position desc
        limit 1
    ) as n
    order by n."timestamp" desc, n.position desc
    limit 1
) as v on true
left join lateral (
    select n.*
    from unnest(array[
        'execution_triggered'
    ]) as t (event_type)
    cross join lateral (
        select e.skill_id, e.skill_version, e."timestamp", e.position
        from aximo_private.deployment_history as e
        where e.customer_id = k.customer_id and e.deployment_id = k.deployment_id and e.event_type = t.event_type
        order by e."timestamp" desc
        limit 1
    ) as n
) as x on true;
alter view aximo.deployments owner to aximo_owner;

comment on view aximo.deployments is 'Every deployment that events speak of, with its current status and version. Key: deployment_id. (Imported steps of an execution without its start are not looked at.)';
comment on column aximo.deployments.customer_id is 'Whose deployment it is.';
comment on column aximo.deployments.deployment_id is 'The deployment.';
comment on column aximo.deployments.skill_id is 'The skill it runs: as last declared, else as last executed.';
comment on column aximo.deployments.skill_version is 'The version it runs: as last declared, else as last executed.';
comment on column aximo.deployments.status is 'pending_configuration, configured, active, suspended or terminated; undeclared if no event of its life says.';
comment on column aximo.deployments.status_since is 'Since when, by the event''s timestamp.';
comment on column aximo.deployments.status_event_id is 'The event that says so.';
comment on column aximo.deployments.last_execution_at is 'When an execution was last triggered.';
