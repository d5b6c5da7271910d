-- For events just inserted: raises ZXSEQ or ZXATT at the first one that breaks a rule of its execution's life. The only place that refuses
-- for one. Each event is judged against what was there before it, in order of arrival.
create function aximo_private.check_flow(customer text, written uuid[], judged uuid[] default null) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    steps aximo_private.life_step[];
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
    )
    select array_agg(
        row(
            l.execution_id, l.place, l.is_fresh and (check_flow.judged is null or l.event_id = any(check_flow.judged)), l.event_id,
            l.event_type, l.answers, l.deployment_id, l.skill_id, l.skill_version, aximo_private.step_key(l.payload, 'approval_id'),
            aximo_private.step_key(l.payload, 'action_id'), aximo_private.step_key(l.payload, 'action_type')
        )::aximo_private.life_step
    )
    into steps
    from (
        select
            e.*,
            -- Events of others that arrived meanwhile count as before.
            row_number() over (order by e.is_fresh, e.position) as place
        from (select distinct f.execution_id from fresh as f) as x
        cross join lateral (
            select
                s.*,
                s.event_id in (select f.event_id from fresh as f) as is_fresh
            from only aximo_private.events as s
            where s.customer_id = check_flow.customer and s.execution_id = x.execution_id
            offset 0
        ) as e
    ) as l;

    select b.*
    into breach
    from aximo_private.breaches(steps) as b
    order by b.place
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
                breach.rule, breach.event_id, breach.event_type, breach.life,
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
