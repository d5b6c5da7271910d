-- The rules of an execution's life (spec, section 3), for events just inserted: raises ZXSEQ or ZXATT at the first one that breaks
-- a rule. The only place that refuses for a flow rule. Each event is judged against what was there before it, in order of arrival.
create function aximo_private.check_flow(customer text, written uuid[], judged uuid[] default null) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    breach record;
begin
    with
    fresh as materialized (
        select distinct w.event_id, e.execution_id
        from unnest(check_flow.written) as w (event_id)
        -- OFFSET 0, here and below: look-ups by index, however many. A join was planned as one pass over all events of the customer.
        cross join lateral (
            select s.event_id, s.execution_id
            from only aximo_private.events as s
            where s.customer_id = check_flow.customer and s.event_id = w.event_id
            offset 0
        ) as e
        where e.execution_id is not null
    ),
    life as (
        select
            e.execution_id,
            e.event_id,
            e.event_type,
            e.position,
            e.answers,
            e.deployment_id,
            e.skill_id,
            e.skill_version,
            e.event_id in (select f.event_id from fresh as f) as is_fresh,
            starts_with(e.event_type, 'execution_') as is_execution,
            starts_with(e.event_type, 'action_') as is_action,
            starts_with(e.event_type, 'approval_') as is_approval,
            e.event_type = 'execution_triggered' as is_start,
            e.event_type in ('execution_completed', 'execution_failed') as is_end,
            e.event_type = 'approval_requested' as is_request,
            e.event_type in ('approval_granted', 'approval_rejected', 'approval_timeout') as is_answer,
            e.event_type in ('approval_rejected', 'approval_timeout') as is_denial,
            e.payload ->> 'approval_id' as approval_id,
            e.payload ->> 'action_id' as action_id,
            e.payload ->> 'action_type' as action_type
        from (select distinct f.execution_id from fresh as f) as x
        cross join lateral (
            select s.*
            from only aximo_private.events as s
            where s.customer_id = check_flow.customer and s.execution_id = x.execution_id
            offset 0
        ) as e
    ),
    -- What was there before each event. Events of others that arrived meanwhile count as before.
    state as materialized (
        select
            l.*,
            count(*) filter (where l.is_start) over earlier as starts,
            count(*) filter (where l.event_type = 'execution_processing') over earlier as processings,
            count(*) filter (where l.is_end) over earlier as ends,
            count(*) filter (where l.is_request) over earlier
            - count(*) filter (where l.is_answer) over earlier as open_approvals,
            count(*) filter (where l.is_request and l.approval_id is null) over earlier
            - count(*) filter (where l.is_answer and l.approval_id is null) over earlier as open_unnamed,
            count(*) filter (where l.is_request) over earlier_of_approval
            - count(*) filter (where l.is_answer) over earlier_of_approval as open_same,
            count(*) filter (where l.is_denial) over earlier as denials,
            count(*) filter (where l.is_denial) over earlier_of_approval as denials_same,
            count(*) filter (where l.is_denial) over (partition by l.execution_id) as denials_ever,
            count(*) filter (where l.is_denial) over (partition by l.execution_id, l.approval_id) as denials_ever_same,
            first_value(l.deployment_id) over earlier as first_deployment_id,
            first_value(l.skill_id) over earlier as first_skill_id,
            first_value(l.skill_version) over earlier as first_skill_version
        from life as l
        window
            earlier as (
                partition by l.execution_id order by l.is_fresh, l.position
                rows between unbounded preceding and 1 preceding
            ),
            earlier_of_approval as (
                partition by l.execution_id, l.approval_id order by l.is_fresh, l.position
                rows between unbounded preceding and 1 preceding
            )
    ),
    -- Executions with an action that was prepared, can still be dispatched, and was neither dispatched nor failed.
    unresolved as (
        select g.execution_id
        from (
            select
                s.execution_id,
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
            from state as s
            where s.is_action and s.ends = 0
            group by s.execution_id, s.action_id, case when s.action_id is null then s.action_type end
        ) as g
        where g.prepared > g.resolved and (g.action_id is null or g.resolved = 0)
    ),
    verdicts as (
        select
            s.*,
            case
                when s.is_start and (s.starts > 0 or s.first_deployment_id is not null) then 'triggered_first'
                when not s.is_start and s.starts = 0 then 'triggered_first'
                when s.deployment_id <> s.first_deployment_id or s.skill_id <> s.first_skill_id
                    or s.skill_version <> s.first_skill_version then 'same_attribution'
                when s.ends > 0 and s.is_end then 'ends_once'
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
                when s.event_type = 'execution_completed' and s.execution_id in (select u.execution_id from unresolved as u)
                    then 'completes_with_actions_resolved'
            end as rule
        from state as s
        where s.is_fresh and (check_flow.judged is null or s.event_id = any(check_flow.judged))
    )
    select j.rule, j.event_id, j.event_type, j.execution_id, j.approval_id
    into breach
    from verdicts as j
    where j.rule is not null
    order by j.position
    limit 1;

    if found then
        raise exception using
            errcode = case when breach.rule = 'same_attribution' then 'ZXATT' else 'ZXSEQ' end,
            message = case
                when breach.rule = 'same_attribution' then 'an execution keeps its deployment, skill and version'
                else 'this event does not fit the life of its execution'
            end,
            detail = format(
                'rule %s; event %s, %s, execution %L%s',
                breach.rule, breach.event_id, breach.event_type, breach.execution_id,
                coalesce(', approval ' || quote_literal(breach.approval_id), '')
            ),
            hint = case breach.rule
                when 'triggered_first' then 'Emit execution_triggered first, once an execution.'
                when 'same_attribution' then 'Start a new execution for another deployment, skill or version.'
                when 'ends_once' then 'The execution has ended; another worker may have ended it.'
                when 'nothing_after_end' then 'The execution has ended. Governance events are still accepted.'
                when 'processing_first' then 'Emit execution_processing before actions, approvals and completion.'
                when 'approval_already_open' then 'Wait for the answer, or ask for another approval under an approval_id of its own.'
                when 'open_approvals_are_named' then 'Give every approval an approval_id if several are open at a time.'
                when 'answers_open_approval' then 'Answer with the approval_id of the request, once.'
                when 'dispatch_waits_for_approval' then 'Wait for the approval''s answer.'
                when 'no_dispatch_after_denial' then 'Emit action_failed instead, or ask again under another approval_id.'
                when 'completes_without_open_approval' then 'Emit the approval''s answer, or approval_timeout, before completing.'
                when 'completes_with_actions_resolved' then 'Emit action_dispatched or action_failed for every prepared action.'
            end,
            constraint = breach.rule;
    end if;
end;
$$;
alter function aximo_private.check_flow(text, uuid[], uuid[]) owner to aximo_recorder;
comment on function aximo_private.check_flow(text, uuid[], uuid[]) is
'Judges events just written, or some of them, by the rules of an execution''s life. ZXSEQ or ZXATT, with the rule in the constraint field.';
