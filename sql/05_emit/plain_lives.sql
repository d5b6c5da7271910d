-- Most executions are seen as a whole and fit for simple reasons. This may only ever say yes; aximo_private.breaches knows the rules.
-- plpgsql keeps the plan; a SQL function is planned at every call before PostgreSQL 18.
create function aximo_private.plain_lives(steps aximo_private.life_step[]) returns setof text
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
begin
    return query
    with
    step as materialized (
        select s.*
        from unnest(plain_lives.steps) as s
    ),
    unresolved as (
        select s.life
        from step as s
        where s.event_type in ('action_prepared', 'action_dispatched', 'action_failed')
        group by s.life, s.action_id, s.action_type
        having
            count(*) filter (where s.event_type = 'action_prepared')
            > count(*) filter (where s.event_type <> 'action_prepared')
    )
    select s.life
    from step as s
    where s.life is not null
    group by s.life
    having
        count(*) filter (where s.event_type = 'execution_triggered') = 1
        and min(s.place) filter (where s.event_type = 'execution_triggered') = min(s.place)
        and min(s.place) filter (where s.event_type = 'execution_processing') < coalesce(
            min(s.place) filter (where starts_with(s.event_type, 'action_') or s.event_type = 'execution_completed'),
            9223372036854775807
        )
        and coalesce(
            min(s.place) filter (where s.event_type in ('execution_completed', 'execution_failed')), 9223372036854775807
        ) >= max(s.place)
        and count(*) filter (where starts_with(s.event_type, 'approval_')) = 0
        and min(s.deployment_id) = max(s.deployment_id)
        and min(s.skill_id) = max(s.skill_id)
        and min(s.skill_version) = max(s.skill_version)
        and s.life not in (select u.life from unresolved as u);
end;
$$;
alter function aximo_private.plain_lives(aximo_private.life_step[]) owner to aximo_recorder;
comment on function aximo_private.plain_lives(aximo_private.life_step[]) is
'The executions, of those given as a whole, that certainly keep the rules. One that is not among them may keep them too.';
