-- Works out what each execution of a batch and its approvals come to, event by event, and which event breaks a rule. Such an event is left
-- out, unless the batch is history. Locks the rows of the executions in the order of their ids, so that two batches never wait for each
-- other in a circle. With from_nothing it uses these events alone and reads no rows.
-- The body is one and long: handing an execution's row to a function costs 27,000 instructions an event, a tenth of a batch's
-- (docs/design/0004-emit-path.md).
create function aximo_private.lives_after(
    -- Sorted by execution and customer, and within each by place (position).
    batch aximo_private.events[],
    is_history boolean,
    from_nothing boolean,
    out lives aximo_private.executions[],
    -- The approvals that are new, or answered by this batch.
    out approvals aximo_private.approvals[],
    -- The events with their steps, and with the requests that they answer.
    out told aximo_private.events[],
    -- All of them if the batch is history, else only the first one by place.
    out breaches aximo_private.breach[]
)
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
    event aximo_private.events;
    -- The rows that exist, in the order of the batch, and the number of the next one.
    stored aximo_private.executions[];
    next_stored integer := 1;
    life aximo_private.executions;
    -- The approvals of the execution in the order of their steps; the first stored_asks of them are stored.
    asks aximo_private.approvals[];
    ask aximo_private.approvals;
    stored_asks integer;
    had_actions boolean;
    -- The actions that this batch prepared and did not resolve. If there are none, has_unresolved need not look.
    pending text[];
    action text;
    approval text;
    open_at integer;
    asked_at integer;
    was_denied boolean;
    unnamed_is_open boolean;
    unresolved boolean;
    fits boolean;
    rule text;
    i integer;
begin
    if not from_nothing then
        select array_agg(x.life order by k.execution_id, k.customer_id) into stored
        from (
            select distinct b.execution_id, b.customer_id
            from unnest(batch) as b
            where b.execution_id is not null
            order by b.execution_id, b.customer_id
        ) as k
        -- A look-up for each: a join may be planned as one pass over all executions.
        cross join lateral (
            select e as life
            from only aximo_private.executions as e
            where e.customer_id = k.customer_id and e.execution_id = k.execution_id
            for no key update
        ) as x;
    end if;
    foreach event in array batch loop
        if event.execution_id is null then
            told := array_append(told, event);
            continue;
        end if;

        if life.execution_id is distinct from event.execution_id or life.customer_id <> event.customer_id then
            if life.steps > 0 then
                lives := array_append(lives, life);
                approvals := approvals || asks[stored_asks + 1:];
            end if;
            life := null;
            asks := '{}';
            if stored[next_stored].execution_id = event.execution_id and stored[next_stored].customer_id = event.customer_id then
                life := stored[next_stored];
                next_stored := next_stored + 1;
                if life.approvals_requested > 0 then
                    select array_agg(a.* order by a.step) into asks
                    from only aximo_private.approvals as a
                    where a.customer_id = event.customer_id and a.execution_id = event.execution_id;
                end if;
            end if;
            stored_asks := coalesce(cardinality(asks), 0);
            had_actions := life.actions_prepared > 0;
            pending := '{}';
            if life.steps is null then
                life := row(
                    null, null, event."timestamp", 0, null, null, 0, 0, 0, 0, 0, 0, 0, 0, false, false, event.customer_id, event.execution_id,
                    event.deployment_id, event.skill_id, event.skill_version, null, null, null
                );
            end if;
        end if;

        approval := null;
        asked_at := null;
        open_at := null;
        was_denied := false;
        unnamed_is_open := false;
        unresolved := false;
        if event.event_type between 'approval_' and 'b' or event.event_type < 'approval_' and life.approvals_requested > 0 then
            approval := aximo_private.step_key(event.payload, 'approval_id');
            for i in 1 .. coalesce(cardinality(asks), 0) loop
                ask := asks[i];
                if ask.decision = 'open' and ask.approval_id is null then
                    unnamed_is_open := true;
                end if;
                if ask.approval_id is not distinct from approval then
                    asked_at := i;
                    if ask.decision = 'open' then
                        open_at := i;
                    elsif ask.decision <> 'granted' then
                        was_denied := true;
                    end if;
                end if;
            end loop;
        elsif event.event_type = 'execution_completed' and (had_actions or life.denied or cardinality(pending) > 0) then
            unresolved := aximo_private.has_unresolved(
                event.customer_id, event.execution_id, life.denied,
                (select array_agg(u.approval_id) from unnest(asks) as u where u.decision in ('rejected', 'timeout')),
                batch, case when from_nothing then event.step else event.position end, from_nothing
            );
        end if;

        -- Most events begin an execution, or go on with one that requested no approval. This check may only say that an event fits.
        fits := life.approvals_requested = 0 and life.outcome is null
        and event.deployment_id = life.deployment_id and event.skill_id = life.skill_id and event.skill_version = life.skill_version
        and case
            when event.event_type = 'execution_triggered' then life.steps = 0
            when life.started_at is null then false
            when event.event_type in ('execution_processing', 'execution_failed') then true
            when event.event_type in ('action_prepared', 'action_dispatched', 'action_failed', 'approval_requested') then life.processing
            when event.event_type = 'execution_completed' then life.processing and not unresolved
        end;
        rule := null;
        if fits is not true then
            rule := aximo_private.broken_rule(
                life, event, approval, asked_at is not null, open_at is not null, was_denied, unnamed_is_open, unresolved
            );
        end if;
        if rule is not null then
            if is_history or breaches is null or event.position < breaches[1].place then
                ask := case when rule in ('approval_already_open', 'answers_open_approval') then asks[asked_at] end;
                breaches := case when is_history then breaches else '{}' end || row(
                    event.position, event.event_id, event.event_type, event.customer_id, event.execution_id, approval, rule,
                    coalesce(ask.decision_event_id, ask.request_event_id),
                    case
                        when rule in ('ends_once', 'nothing_after_end') then life.end_step
                        when rule in ('triggered_first', 'same_attribution') and life.steps > 0 then 1
                    end
                )::aximo_private.breach;
            end if;
            continue when not is_history;
        end if;

        life.steps := life.steps + 1;
        event.step := life.steps;
        if event."timestamp" > life.last_event_at then
            life.last_event_at := event."timestamp";
        end if;
        case event.event_type
            when 'execution_triggered' then
                life.start_step := coalesce(life.start_step, life.steps);
                life.started_at := least(life.started_at, event."timestamp");
            when 'execution_processing' then
                life.processing := true;
            when 'execution_completed', 'execution_failed' then
                life.end_step := coalesce(life.end_step, life.steps);
                life.ended_at := least(life.ended_at, event."timestamp");
                if event.event_type = 'execution_failed' then
                    life.outcome := 'failed';
                    life.error_code := least(life.error_code, event.error_code);
                    life.error_message := least(life.error_message, event.payload ->> 'error');
                else
                    life.outcome := coalesce(life.outcome, 'completed');
                end if;
            when 'action_prepared' then
                life.actions_prepared := life.actions_prepared + 1;
                action := coalesce('i' || (event.payload ->> 'action_id'), 't' || (event.payload ->> 'action_type'), '');
                pending := array_append(pending, action);
            when 'action_dispatched', 'action_failed' then
                life.actions_dispatched := life.actions_dispatched + (event.event_type = 'action_dispatched')::integer;
                life.actions_failed := life.actions_failed + (event.event_type = 'action_failed')::integer;
                action := coalesce('i' || (event.payload ->> 'action_id'), 't' || (event.payload ->> 'action_type'), '');
                i := array_position(pending, action);
                if i is not null then
                    pending := pending[:i - 1] || pending[i + 1:];
                end if;
            when 'approval_requested' then
                life.approvals_requested := life.approvals_requested + 1;
                life.open_approvals := life.open_approvals + 1;
                asks := array_append(asks, row(
                    event."timestamp", null, life.steps, event.event_id, null, event.customer_id, event.execution_id, approval, event.deployment_id,
                    event.skill_id, event.skill_version, event.risk_level, event.approval_mode, event.actor, 'open', null, null, null
                )::aximo_private.approvals);
            when 'approval_granted', 'approval_rejected', 'approval_timeout' then
                life.approvals_granted := life.approvals_granted + (event.event_type = 'approval_granted')::integer;
                life.approvals_rejected := life.approvals_rejected + (event.event_type = 'approval_rejected')::integer;
                life.approvals_timed_out := life.approvals_timed_out + (event.event_type = 'approval_timeout')::integer;
                -- History may hold an answer to no request. It changes nothing.
                if open_at is not null then
                    life.open_approvals := life.open_approvals - 1;
                    life.denied := life.denied or event.event_type <> 'approval_granted';
                    ask := asks[open_at];
                    ask.decision := substr(event.event_type, 10);
                    ask.decided_at := event."timestamp";
                    ask.decided_by := event.actor;
                    ask.decision_recorded_by := coalesce(event.recorded_by, session_user);
                    ask.decision_event_id := event.event_id;
                    ask.reason := event.payload ->> 'reason';
                    asks[open_at] := ask;
                    event.answers := ask.request_event_id;
                    if open_at <= stored_asks then
                        approvals := array_append(approvals, ask);
                    end if;
                end if;
            else
                null;
        end case;
        told := array_append(told, event);
    end loop;
    if life.steps > 0 then
        lives := array_append(lives, life);
        approvals := approvals || asks[stored_asks + 1:];
    end if;
end;
$$;
alter function aximo_private.lives_after(aximo_private.events[], boolean, boolean) owner to aximo_recorder;
comment on function aximo_private.lives_after(aximo_private.events[], boolean, boolean) is 'Works out the rows of executions and approvals that the events of a batch lead to, the events'' steps, the requests they answer, and which of them break a rule.';
