-- The rules of an execution's life (spec, section 3): which of the new steps break one, each judged against what was there before it.
-- The only place that knows them; check_flow refuses by it, and the log lists by it what got past.
create function aximo_private.breaches(steps aximo_private.life_step[])
returns table (life text, place bigint, event_id uuid, event_type text, approval_id text, rule text, against uuid)
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
-- The plan is the same for any life, and takes longer to make than to run.
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
    return query
    with
    step as (
        select
            s.*,
            starts_with(s.event_type, 'execution_') as is_execution,
            starts_with(s.event_type, 'action_') as is_action,
            starts_with(s.event_type, 'approval_') as is_approval,
            s.event_type = 'execution_triggered' as is_start,
            s.event_type in ('execution_completed', 'execution_failed') as is_end,
            s.event_type = 'approval_requested' as is_request,
            s.event_type in ('approval_granted', 'approval_rejected', 'approval_timeout') as is_answer,
            s.event_type in ('approval_rejected', 'approval_timeout') as is_denial,
            -- An answer to nothing, imported, closes nothing.
            s.answers is not null as is_counted
        from unnest(breaches.steps) as s
    ),
    -- What was there before each event.
    state as materialized (
        select
            l.*,
            count(*) filter (where l.is_start) over earlier as starts,
            count(*) filter (where l.event_type = 'execution_processing') over earlier as processings,
            count(*) filter (where l.is_end) over earlier as ends,
            count(*) filter (where l.is_request) over earlier
            - count(*) filter (where l.is_counted) over earlier as open_approvals,
            count(*) filter (where l.is_request and l.approval_id is null) over earlier
            - count(*) filter (where l.is_counted and l.approval_id is null) over earlier as open_unnamed,
            count(*) filter (where l.is_request) over earlier_of_approval
            - count(*) filter (where l.is_counted) over earlier_of_approval as open_same,
            count(*) filter (where l.is_denial) over earlier as denials,
            count(*) filter (where l.is_denial) over earlier_of_approval as denials_same,
            count(*) filter (where l.is_request) over earlier_of_approval as requests_same,
            first_value(l.deployment_id) over earlier as first_deployment_id,
            first_value(l.skill_id) over earlier as first_skill_id,
            first_value(l.skill_version) over earlier as first_skill_version,
            first_value(l.event_id) over earlier as first_event_id,
            (array_agg(l.event_id) filter (where l.is_end) over earlier)[1] as end_event_id,
            last_value(l.event_id) over earlier_of_approval as approval_event_id
        from step as l
        window
            earlier as (
                partition by l.life order by l.place
                rows between unbounded preceding and 1 preceding
            ),
            earlier_of_approval as (
                partition by l.life, l.approval_id order by l.place
                rows between unbounded preceding and 1 preceding
            )
    ),
    -- Executions with an action that was prepared, can still be dispatched, and was neither dispatched nor failed.
    unresolved as (
        select g.life
        from (
            select
                s.life,
                s.action_id,
                count(*) filter (
                    where s.event_type = 'action_prepared'
                    and case when s.approval_id is null then s.denials_ever else s.denials_ever_same end = 0
                ) as prepared,
                -- The failure of a denied action resolves that one, which is excused, and no other.
                count(*) filter (
                    where s.event_type <> 'action_prepared'
                    and not (s.event_type = 'action_failed' and s.approval_id is not null and s.denials_ever_same > 0)
                ) as resolved
            from (
                -- What comes after the end excuses nothing: the verdict is the same whenever it is asked for.
                select
                    l.*,
                    count(*) filter (where l.is_denial) over (partition by l.life) as denials_ever,
                    count(*) filter (where l.is_denial) over (partition by l.life, l.approval_id) as denials_ever_same
                from state as l
                where l.ends = 0
            ) as s
            where s.is_action
            group by s.life, s.action_id, case when s.action_id is null then s.action_type end
        ) as g
        where g.prepared > g.resolved and (g.action_id is null or g.resolved = 0)
    ),
    verdicts as (
        select
            s.*,
            case
                when s.is_start and (s.starts > 0 or s.first_deployment_id is not null) then 'triggered_first'
                when not s.is_start and s.starts = 0 then 'triggered_first'
                -- Before the attribution: what a unique index refuses is refused first.
                when s.ends > 0 and s.is_end then 'ends_once'
                when s.is_answer and s.open_same <= 0 and s.requests_same > 0 then 'answers_open_approval'
                when s.deployment_id <> s.first_deployment_id or s.skill_id <> s.first_skill_id
                    or s.skill_version <> s.first_skill_version then 'same_attribution'
                when s.ends > 0 and (s.is_execution or s.is_action or s.is_approval) then 'nothing_after_end'
                when s.processings = 0 and (s.is_action or s.is_approval or s.event_type = 'execution_completed') then 'processing_first'
                when s.is_request and s.open_same > 0 then 'approval_already_open'
                when s.is_request and s.open_approvals > 0 and (s.approval_id is null or s.open_unnamed > 0)
                    then 'open_approvals_are_named'
                when s.is_answer and s.open_same <= 0 then 'answers_open_approval'
                when s.event_type = 'action_dispatched' and (
                    case when s.approval_id is null then s.open_approvals else s.open_same end
                ) > 0 then 'dispatch_waits_for_approval'
                when s.event_type = 'action_dispatched' and (
                    case when s.approval_id is null then s.denials else s.denials_same end
                ) > 0 then 'no_dispatch_after_denial'
                when s.event_type = 'execution_completed' and s.open_approvals > 0 then 'completes_without_open_approval'
                when s.event_type = 'execution_completed' and s.life in (select u.life from unresolved as u)
                    then 'completes_with_actions_resolved'
            end as rule
        from state as s
        where s.is_new
    )
    select
        v.life, v.place, v.event_id, v.event_type, v.approval_id, v.rule,
        case
            when v.rule in ('same_attribution', 'triggered_first') then v.first_event_id
            when v.rule in ('ends_once', 'nothing_after_end') then v.end_event_id
            when v.rule in ('approval_already_open', 'answers_open_approval') then v.approval_event_id
        end
    from verdicts as v
    where v.rule is not null
    order by v.place;
end;
$$;
alter function aximo_private.breaches(aximo_private.life_step[]) owner to aximo_recorder;
comment on function aximo_private.breaches(aximo_private.life_step[]) is
'The new steps that break a rule of their execution''s life, in order, with the rule and the earlier event it is broken against, if there is one.';
