-- The events of a deployment's life say its versions. If a deployment has no such event, the versions are those of its executions.
create view aximo.deployment_versions with (security_barrier = true) as
with
declared as (
    select e.customer_id, e.deployment_id, e.skill_id, e.skill_version, e.event_id, e.event_type, e."timestamp", e.recorded_at, e.position
    from aximo_private.history as e
    -- The first list is that of the index, word by word, so that the planner uses it.
    where e.event_type in (
            'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_suspended', 'deployment_updated',
            'deployment_terminated', 'version_upgraded', 'version_rolled_back'
        )
        and e.event_type <> 'deployment_suspended'
),
marks as (
    select d.*, null::text as execution_id, null::integer as start_step, 'declared' as basis
    from declared as d
    union all
    select
        r.customer_id, r.deployment_id, r.skill_id, r.skill_version, null as event_id, 'execution_triggered' as event_type,
        r.started_at as "timestamp", null as recorded_at, null as position, r.execution_id, r.start_step, 'observed' as basis
    from aximo_private.started_executions as r
    where (r.customer_id, r.deployment_id) not in (select d.customer_id, d.deployment_id from declared as d)
),
steps as (
    select
        m.*, lag(m.skill_id) over in_time as previous_skill_id, lag(m.skill_version) over in_time as previous_version,
        lag(m.event_type) over in_time as previous_type
    from marks as m
    window in_time as (partition by m.customer_id, m.deployment_id order by m."timestamp", m.recorded_at, m.position, m.execution_id)
),
marked as (
    select
        s.*,
        coalesce(
            s.event_id,
            (
                select e.event_id
                from aximo_private.history as e
                where e.customer_id = s.customer_id and e.execution_id = s.execution_id and e.step = s.start_step
            )
        ) as began_with
    from steps as s
    where s.event_type = 'deployment_terminated' or s.previous_type is null or s.previous_type = 'deployment_terminated'
        or s.skill_version <> s.previous_version or s.skill_id <> s.previous_skill_id
),
changes as (
    select
        s.*, lead(s."timestamp") over in_time as ended_at, lead(s.began_with) over in_time as ended_with,
        lead(s.event_type) over in_time as ended_by
    from marked as s
    window in_time as (partition by s.customer_id, s.deployment_id order by s."timestamp", s.recorded_at, s.position, s.execution_id)
)
select
    customer_id, deployment_id, skill_id, skill_version, "timestamp" as began_at, ended_at,
    ended_at is null as is_current, event_type as began_by, began_with, ended_by, ended_with, basis
from changes
where event_type <> 'deployment_terminated';
comment on view aximo.deployment_versions is 'Which version of which skill a deployment ran when, one row a period. Key: deployment_id, began_with.';
comment on column aximo.deployment_versions.customer_id is 'Whose deployment it is.';
comment on column aximo.deployment_versions.deployment_id is 'The deployment.';
comment on column aximo.deployment_versions.skill_id is 'The skill.';
comment on column aximo.deployment_versions.skill_version is 'Its version in this period.';
comment on column aximo.deployment_versions.began_at is 'When the period began, by the event''s timestamp.';
comment on column aximo.deployment_versions.ended_at is 'When it ended; null while it lasts.';
comment on column aximo.deployment_versions.is_current is 'True while it lasts.';
comment on column aximo.deployment_versions.began_by is 'The type of the event that began it.';
comment on column aximo.deployment_versions.began_with is 'The event that began it.';
comment on column aximo.deployment_versions.ended_by is 'The type of the event that ended it.';
comment on column aximo.deployment_versions.ended_with is 'The event that ended it.';
comment on column aximo.deployment_versions.basis is 'declared: by events of the deployment''s life. observed: by the versions its executions ran, because it declared none.';
