-- Works out every execution again from its events, by the function that did so when they were written, and compares.
create function aximo.verify_executions(newest integer default null)
returns table (problem text, execution_id text, step integer, event_id uuid, detail text)
language plpgsql stable security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    customer constant text := aximo_private.named_customer(null);
    life record;
    retold record;
begin
    for life in
        select k.execution_id, x as kept
        from (
            (
                select e.execution_id
                from only aximo_private.executions as e
                where e.customer_id = customer
                order by e.started_at desc
                limit newest
            )
            union
            select e.execution_id
            from only aximo_private.events as e
            where newest is null and e.customer_id = customer and e.execution_id is not null
            union
            -- Approvals of an execution that has neither a row nor events.
            select a.execution_id
            from only aximo_private.approvals as a
            where newest is null and a.customer_id = customer
        ) as k
        left join lateral (
            select s.*
            from only aximo_private.executions as s
            where s.customer_id = customer and s.execution_id = k.execution_id
            offset 0
        ) as x on true
    loop
        select t.lives, t.approvals, t.told, t.breaches, s.events into retold
        from (
            select
                array(
                    select e
                    from only aximo_private.events as e
                    where e.customer_id = customer and e.execution_id = life.execution_id
                    order by e.step
                ) as events
        ) as s
        cross join lateral aximo_private.lives_after(s.events, is_history => true, from_nothing => true) as t;
        return query
        select
            case
                when retold.lives is null then 'execution_row_surplus'
                when life.kept is null then 'execution_row_missing'
                else 'execution_row_differs'
            end,
            life.execution_id, null::integer, null::uuid,
            (
                select string_agg(format('%s is %s, not %s', o.key, k.value, o.value), '; ' order by o.key)
                from jsonb_each_text(to_jsonb(retold.lives[1])) as o
                inner join jsonb_each_text(to_jsonb(life.kept)) as k on k.key = o.key
                where o.value is distinct from k.value
            )
        where retold.lives[1] is distinct from life.kept
        union all
        select
            case
                when o.step is null then 'approval_row_surplus'
                when k.step is null then 'approval_row_missing'
                else 'approval_row_differs'
            end,
            life.execution_id, coalesce(o.step, k.step), coalesce(o.request_event_id, k.request_event_id), null
        from unnest(retold.approvals) as o
        full join (
            select a.*
            from only aximo_private.approvals as a
            where a.customer_id = customer and a.execution_id = life.execution_id
        ) as k on k.step = o.step
        where o is distinct from k
        union all
        -- Steps follow the order of the log, without a gap.
        select
            case
                when s.step <> o.step then 'step_missing'
                when s.answers is distinct from a.request_event_id then 'answer_differs'
                else 'step_out_of_order'
            end,
            life.execution_id, s.step, s.event_id, null
        from unnest(retold.events) with ordinality as s
        inner join unnest(retold.told) with ordinality as o on o.ordinality = s.ordinality
        -- Compared by the approvals: lives_after leaves an event that answers nothing as it came.
        left join unnest(retold.approvals) as a on a.decision_event_id = s.event_id
        where s.step <> o.step or s.answers is distinct from a.request_event_id
            -- Positions are this node's: an event that arrived with its customer has one below zero.
            or s.ordinality > 1 and s.position > 0 and s.position < (retold.events[s.ordinality - 1]).position
        union all
        select
            case when v.event_id is null then 'rule_broken' else 'violation_differs' end,
            life.execution_id, null, coalesce(b.event_id, v.event_id), coalesce(b.rule, v.rule)
        from (
            select t.event_id, t.rule, coalesce(t.against, g.event_id) as against
            from unnest(retold.breaches) as t
            left join unnest(retold.events) as g on g.step = t.against_step
        ) as b
        full join (
            select w.*
            from only aximo_private.violations as w
            where w.customer_id = customer and w.event_id in (select u.event_id from unnest(retold.events) as u)
        ) as v on v.event_id = b.event_id
        where (b.rule, b.against) is distinct from (v.rule, v.against) or v.execution_id <> life.execution_id;
    end loop;
    return query
    select 'deployment_row_missing', null::text, null::integer, null::uuid, format('deployment %s', u.deployment_id)
    from (
        select distinct e.deployment_id
        from only aximo_private.events as e
        where newest is null and e.customer_id = customer
    ) as u
    where not exists (
        select from only aximo_private.known_deployments as k where k.customer_id = customer and k.deployment_id = u.deployment_id
    )
    union all
    select 'deployment_row_differs', null, null, k.event_id, format('deployment %s', k.deployment_id)
    from only aximo_private.known_deployments as k
    where newest is null and k.customer_id = customer
        and not exists (
            select from only aximo_private.events as e
            where e.customer_id = customer and e.event_id = k.event_id and e.deployment_id = k.deployment_id
        )
    union all
    -- Violations of an event that belongs to no execution or does not exist.
    select 'violation_differs', v.execution_id, null, v.event_id, v.rule
    from only aximo_private.violations as v
    where newest is null and v.customer_id = customer
        and not exists (
            select from only aximo_private.events as e
            where e.customer_id = customer and e.event_id = v.event_id and e.execution_id is not null
        )
    union all
    select
        case when e.step is null then 'answer_differs' else 'step_surplus' end,
        null, e.step, e.event_id, null
    from only aximo_private.events as e
    where newest is null and e.customer_id = customer and e.execution_id is null and (e.step is not null or e.answers is not null);
end;
$$;
alter function aximo.verify_executions(integer) owner to aximo_recorder;
comment on function aximo.verify_executions(integer) is 'What of the session''s customer''s rows of executions and approvals is not what its events come to, where their steps or answers are not, and where violations and deployments are listed otherwise; no rows if nothing is. All of them, or so many of the newest. ZXCUS: no customer.';
