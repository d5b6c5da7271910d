create view aximo.deployments as
select
    k.customer_id, k.deployment_id, coalesce(v.skill_id, x.skill_id) as skill_id,
    coalesce(v.skill_version, x.skill_version) as skill_version,
    case s.event_type
        when 'deployment_created' then 'pending_configuration'
        when 'deployment_configured' then 'configured'
        when 'deployment_activated' then 'active'
        when 'deployment_suspended' then 'suspended'
        when 'deployment_terminated' then 'terminated'
        else 'undeclared'
    end as status,
    s."timestamp" as status_since, s.event_id as status_event_id, x.started_at as last_execution_at
-- DISTINCT, because two transactions may both have added the deployment. The rows come in the order of the index, so a page of them reads
-- no more than a page.
from (
    select distinct customer_id, deployment_id
    from only aximo_private.known_deployments -- noqa: PRS
) as k
-- Each of these is a look-up. The first list of types is that of the index, word by word, so that the planner uses it.
left join lateral (
    select e.event_type, e."timestamp", e.event_id
    from aximo_private.history as e
    where e.customer_id = k.customer_id and e.deployment_id = k.deployment_id
        and e.event_type in (
            'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_suspended', 'deployment_updated',
            'deployment_terminated', 'version_upgraded', 'version_rolled_back'
        )
        and e.event_type not in ('deployment_updated', 'version_upgraded', 'version_rolled_back')
    order by e."timestamp" desc, e.recorded_at desc, e.position desc
    limit 1
) as s on true
left join lateral (
    select e.skill_id, e.skill_version
    from aximo_private.history as e
    where e.customer_id = k.customer_id and e.deployment_id = k.deployment_id
        and e.event_type in (
            'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_suspended', 'deployment_updated',
            'deployment_terminated', 'version_upgraded', 'version_rolled_back'
        )
        and e.event_type <> 'deployment_suspended'
    order by e."timestamp" desc, e.recorded_at desc, e.position desc
    limit 1
) as v on true
left join lateral (
    select r.skill_id, r.skill_version, r.started_at
    from aximo_private.started_executions as r
    where r.customer_id = k.customer_id and r.deployment_id = k.deployment_id
    order by r.started_at desc
    limit 1
) as x on true
-- For a moment in the past: only deployments that had an event by then.
where s.event_id is not null or v.skill_id is not null or x.started_at is not null
    or exists (select from aximo_private.history as e where e.customer_id = k.customer_id and e.deployment_id = k.deployment_id);
comment on view aximo.deployments is 'Every deployment that events speak of, with its current status and version. Key: deployment_id.';
comment on column aximo.deployments.customer_id is 'Whose deployment it is.';
comment on column aximo.deployments.deployment_id is 'The deployment.';
comment on column aximo.deployments.skill_id is 'The skill it runs: as last declared, else as last executed.';
comment on column aximo.deployments.skill_version is 'The version it runs: as last declared, else as last executed.';
comment on column aximo.deployments.status is 'pending_configuration, configured, active, suspended or terminated; undeclared if no event of its life says.';
comment on column aximo.deployments.status_since is 'Since when, by the event''s timestamp.';
comment on column aximo.deployments.status_event_id is 'The event that says so.';
comment on column aximo.deployments.last_execution_at is 'When an execution was last triggered.';
