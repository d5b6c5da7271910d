create function aximo_private.count_deployments(facts aximo_private.fact[], step bigint) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    with
    added as materialized (
        select
            f.customer_id, f.deployment_id, min(f.happened_at) as first_event_at, max(f.happened_at) as last_event_at,
            count(f.event_type) as events,
            count(*) filter (where f.event_type = 'execution_triggered') as triggered,
            count(*) filter (where f.event_type = 'execution_completed') as completed,
            count(*) filter (where f.event_type = 'execution_failed') as failed,
            count(*) filter (where f.is_opened) - count(*) filter (where f.is_closed) as open,
            count(*) filter (where f.event_type = 'version_upgraded') as upgrades,
            count(*) filter (where f.event_type = 'version_rolled_back') as rollbacks,
            count(*) filter (where f.event_type = 'sla_breached') as sla_breaches
        from unnest(facts) as f
        group by f.customer_id, f.deployment_id
    ),
    old as materialized (
        delete from only aximo_private.deployment_sums as s
        using added as a
        where s.customer_id = a.customer_id and s.deployment_id = a.deployment_id
        returning s.*
    ),
    -- The latest event of each deployment that says its state, that says its version, and that shows that it ran.
    latest as (
        select distinct on (u.customer_id, u.deployment_id, u.what) u.*
        from (
            select f.customer_id, f.deployment_id, w.what, f.event_type, f.skill_id, f.skill_version, f.happened_at, f.number
            from unnest(facts) as f
            cross join lateral (
                select 'executed' as what where f.event_type = 'execution_triggered'
                union all
                select 'status'
                where f.event_type in (
                    'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_suspended', 'deployment_terminated'
                )
                union all
                select 'declared'
                where f.event_type in (
                    'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_updated', 'deployment_terminated',
                    'version_upgraded', 'version_rolled_back'
                )
            ) as w
            union all
            select o.customer_id, o.deployment_id, w.*
            from old as o
            cross join lateral (
                values
                ('status', o.status_type, null, null, o.status_at, o.status_number),
                ('declared', null, o.declared_skill, o.declared_version, o.declared_at, o.declared_number),
                ('executed', null, o.executed_skill, o.executed_version, o.executed_at, o.executed_number)
            ) as w (what, event_type, skill_id, skill_version, happened_at, number)
            where w.number is not null
        ) as u
        order by u.customer_id, u.deployment_id, u.what, u.happened_at desc, u.number desc
    )
    insert into aximo_private.deployment_sums
    select
        a.customer_id, a.deployment_id, least(a.first_event_at, o.first_event_at), greatest(a.last_event_at, o.last_event_at),
        s.event_type, s.happened_at, s.number, v.skill_id, v.skill_version, v.happened_at, v.number, x.skill_id, x.skill_version,
        x.happened_at, x.number, a.events + coalesce(o.events, 0), a.triggered + coalesce(o.triggered, 0),
        a.completed + coalesce(o.completed, 0), a.failed + coalesce(o.failed, 0), a.open + coalesce(o.open, 0),
        a.upgrades + coalesce(o.upgrades, 0), a.rollbacks + coalesce(o.rollbacks, 0), a.sla_breaches + coalesce(o.sla_breaches, 0),
        count_deployments.step
    from added as a
    left join old as o on o.customer_id = a.customer_id and o.deployment_id = a.deployment_id
    left join latest as s on s.customer_id = a.customer_id and s.deployment_id = a.deployment_id and s.what = 'status'
    left join latest as v on v.customer_id = a.customer_id and v.deployment_id = a.deployment_id and v.what = 'declared'
    left join latest as x on x.customer_id = a.customer_id and x.deployment_id = a.deployment_id and x.what = 'executed';
end;
$$;
alter function aximo_private.count_deployments(aximo_private.fact[], bigint) owner to aximo_sequencer;
comment on function aximo_private.count_deployments(aximo_private.fact[], bigint) is 'Adds facts to aximo_private.deployment_sums. Which of them came first makes no difference.';
