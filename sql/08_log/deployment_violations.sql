-- Worked out when it is read: timestamps say what a deployment was at a moment, and an event that arrives late changes that.
-- aximo.violations shows what was listed when it was written.
create view aximo.deployment_violations with (security_barrier = true) as
with
declared as (
    select customer_id, deployment_id, skill_id, skill_version, event_id, event_type, "timestamp", position, recorded_at
    from only aximo_private.events -- noqa: PRS
    -- The list is that of the index, word by word, so that the planner uses it.
    where event_type in (
        'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_suspended', 'deployment_updated',
        'deployment_terminated', 'version_upgraded', 'version_rolled_back'
    )
),
standing as (
    select
        d.*, lead(d."timestamp", 1, 'infinity') over in_time as until,
        count(*) filter (where d.event_type = 'deployment_terminated') over in_time as terminations
    from declared as d
    where d.event_type not in ('deployment_updated', 'version_upgraded', 'version_rolled_back')
    window in_time as (partition by d.customer_id, d.deployment_id order by d."timestamp", d.position)
),
versions as (
    select
        d.*, lead(d."timestamp", 1, 'infinity') over in_time as until
    from declared as d
    where d.event_type <> 'deployment_suspended'
    window in_time as (partition by d.customer_id, d.deployment_id order by d."timestamp", d.position)
),
found as (
    -- Two events of one moment do not contradict each other.
    select
        s.customer_id, x.execution_id, x.start_step, null::uuid as event_id, s.event_id as against, s.recorded_at,
        case s.event_type
            when 'deployment_suspended' then 'no_execution_while_suspended' else 'no_execution_after_termination'
        end as rule
    from standing as s
    cross join lateral (
        select execution_id, start_step
        from only aximo_private.executions -- noqa: PRS
        where customer_id = s.customer_id and deployment_id = s.deployment_id
            and started_at > s."timestamp" and started_at < s.until
        offset 0
    ) as x
    where s.event_type in ('deployment_suspended', 'deployment_terminated')
    union all
    select
        v.customer_id, x.execution_id, x.start_step, null as event_id, v.event_id as against, v.recorded_at,
        'runs_declared_version' as rule
    from versions as v
    cross join lateral (
        select execution_id, start_step
        from only aximo_private.executions -- noqa: PRS
        where customer_id = v.customer_id and deployment_id = v.deployment_id
            and started_at > v."timestamp" and started_at < v.until
            and (skill_version <> v.skill_version or skill_id <> v.skill_id)
        offset 0
    ) as x
    where v.event_type <> 'deployment_terminated'
    union all
    select
        a.customer_id, null as execution_id, null as start_step, a.event_id, a.ended_with as against, a.recorded_at,
        'no_activation_after_termination' as rule
    from (
        select
            s.*,
            -- Each termination begins a group.
            first_value(s.event_id) over (
                partition by s.customer_id, s.deployment_id, s.terminations order by s."timestamp", s.position
            ) as ended_with
        from standing as s
    ) as a
    where a.event_type = 'deployment_activated' and a.terminations > 0
)
select
    f.customer_id, l.number, e.event_id, f.execution_id, f.rule, f.against,
    greatest(e.recorded_at, f.recorded_at) as found_at
from found as f
cross join lateral (
    select event_id, recorded_at
    from only aximo_private.events -- noqa: PRS
    where customer_id = f.customer_id and execution_id = f.execution_id and step = f.start_step
    union all
    select event_id, recorded_at
    from only aximo_private.events -- noqa: PRS
    where customer_id = f.customer_id and event_id = f.event_id
    offset 0
) as e
left join lateral (
    select number
    from only aximo_private.log_entries -- noqa: PRS
    where customer_id = f.customer_id and event_id = e.event_id
    offset 0
) as l on true;
comment on view aximo.deployment_violations is 'Events of the session''s customer that contradict the life of their deployment: executions that were triggered while it was suspended, after it was terminated or by another version than the one declared, and activations after its end. All of them were accepted. Worked out when read, by timestamps. Key: event_id and rule.';
comment on column aximo.deployment_violations.customer_id is 'Whose event it is: always the session''s customer.';
comment on column aximo.deployment_violations.number is 'The number of the event in the log; null until it is numbered.';
comment on column aximo.deployment_violations.event_id is 'The event that contradicts: what triggered the execution, or the activation.';
comment on column aximo.deployment_violations.execution_id is 'The execution; null for an activation.';
comment on column aximo.deployment_violations.rule is 'no_execution_while_suspended, no_execution_after_termination, runs_declared_version or no_activation_after_termination.';
comment on column aximo.deployment_violations.against is 'The event of the deployment''s life that it contradicts.';
comment on column aximo.deployment_violations.found_at is 'Since when both are on record, by the database''s clock.';
