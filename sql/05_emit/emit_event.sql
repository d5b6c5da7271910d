-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- Writes one event in one call; most writes come this way. One UPDATE of the execution's row checks the rules and takes the event in. Its
-- conditions may only say that the event fits; all other events go to aximo_private.write_events, which knows the rules. The body is one
-- and long because each further function and statement adds 20,000 to 50,000 instructions to about 600,000: docs/design/0004-emit-path.md.
create function aximo.emit_event(
    event_type text,
    deployment_id text,
    skill_id text,
    skill_version text,
    actor text,
    customer_id text default null,
    execution_id text default null,
    payload jsonb default '{}',
    "timestamp" timestamptz default null,
    risk_level text default null,
    approval_mode text default null,
    correlation_id text default null,
    channel_type text default null,
    error_code text default null,
    latency_ms bigint default null,
    event_id uuid default null
) returns aximo.receipt
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    session_names constant text := current_setting('aximo.customer_id', true);
    customer text := coalesce(emit_event.customer_id, session_names);
    id constant uuid := coalesce(emit_event.event_id, aximo_private.new_event_id());
    moment constant timestamptz := coalesce(emit_event."timestamp", clock_timestamp());
    document constant jsonb := coalesce(emit_event.payload, '{}');
    -- 2 or more: the execution's row has taken the event in.
    this_step integer;
    -- False: the approvals or actions of the execution, which its row does not tell, stand against the event.
    fits boolean;
    still_open integer;
    prepared integer;
    had_denial boolean;
    approval text;
    request uuid;
    event aximo_private.events;
    receipt aximo.receipt;
begin
    -- Most calls name a customer that the login was granted, and that is here. This check may only say so; aximo_private.writing_customer
    -- knows the rule.
    perform
    from aximo_private.customer_grants as g
    where g.customer_id in (customer, '*')
        and not exists (select from only aximo_private.placements as p where p.customer_id = customer);
    if not found or coalesce(customer, '') in ('', '*') or session_names not in ('', customer) then
        customer := aximo_private.writing_customer(emit_event.customer_id);
    end if;

    -- The conditions below use ended_at: with outcome the planner would use a partial index.
    if emit_event.execution_id is null then
        null;
    elsif emit_event.event_type = 'execution_triggered' then
        -- The row is inserted after the event. The unique index of steps refuses a second trigger.
        this_step := 1;
    elsif emit_event.event_type in ('action_prepared', 'action_dispatched', 'action_failed') then
        update aximo_private.executions as x set
            steps = x.steps + 1,
            last_event_at = greatest(x.last_event_at, moment),
            actions_prepared = x.actions_prepared + (emit_event.event_type = 'action_prepared')::integer,
            actions_dispatched = x.actions_dispatched + (emit_event.event_type = 'action_dispatched')::integer,
            actions_failed = x.actions_failed + (emit_event.event_type = 'action_failed')::integer
        where x.customer_id = customer and x.execution_id = emit_event.execution_id and x.deployment_id = emit_event.deployment_id
            and x.skill_id = emit_event.skill_id and x.skill_version = emit_event.skill_version
            and x.started_at is not null and x.ended_at is null and x.processing
            and (emit_event.event_type <> 'action_dispatched' or x.open_approvals = 0 and not x.denied)
        returning x.steps into this_step;
    elsif emit_event.event_type in ('approval_requested', 'approval_granted', 'approval_rejected', 'approval_timeout') then
        update aximo_private.executions as x set
            steps = x.steps + 1,
            last_event_at = greatest(x.last_event_at, moment),
            open_approvals = x.open_approvals + case emit_event.event_type when 'approval_requested' then 1 else -1 end,
            denied = x.denied or emit_event.event_type in ('approval_rejected', 'approval_timeout'),
            approvals_requested = x.approvals_requested + (emit_event.event_type = 'approval_requested')::integer,
            approvals_granted = x.approvals_granted + (emit_event.event_type = 'approval_granted')::integer,
            approvals_rejected = x.approvals_rejected + (emit_event.event_type = 'approval_rejected')::integer,
            approvals_timed_out = x.approvals_timed_out + (emit_event.event_type = 'approval_timeout')::integer
        where x.customer_id = customer and x.execution_id = emit_event.execution_id and x.deployment_id = emit_event.deployment_id
            and x.skill_id = emit_event.skill_id and x.skill_version = emit_event.skill_version
            and x.started_at is not null and x.ended_at is null and x.processing
        returning x.steps, x.open_approvals into this_step, still_open;
        if this_step is not null then
            approval := aximo_private.step_key(document, 'approval_id');
            if emit_event.event_type <> 'approval_requested' then
                update aximo_private.approvals as a set
                    decision = substr(emit_event.event_type, 10),
                    decided_at = moment,
                    decided_by = emit_event.actor,
                    decision_recorded_by = session_user,
                    decision_event_id = id,
                    reason = document ->> 'reason'
                where a.customer_id = customer and a.execution_id = emit_event.execution_id and a.decision_event_id is null
                    and a.approval_id is not distinct from approval
                returning a.request_event_id into request;
                fits := found;
            elsif still_open > 1 then
                fits := approval is not null and not exists (
                    select
                    from only aximo_private.approvals as a
                    where a.customer_id = customer and a.execution_id = emit_event.execution_id and a.decision_event_id is null
                        and (a.approval_id is null or a.approval_id = approval)
                );
            end if;
        end if;
        if this_step is not null and fits is not false and emit_event.event_type = 'approval_requested' then
            insert into aximo_private.approvals (
                customer_id, execution_id, step, approval_id, deployment_id, skill_id, skill_version, risk_level, approval_mode,
                requested_at, requested_by, request_event_id
            ) values (
                customer, emit_event.execution_id, this_step, approval, emit_event.deployment_id, emit_event.skill_id,
                emit_event.skill_version, emit_event.risk_level, emit_event.approval_mode, moment, emit_event.actor, id
            );
        end if;
    elsif emit_event.event_type in ('execution_completed', 'execution_failed') then
        update aximo_private.executions as x set
            steps = x.steps + 1,
            end_step = x.steps + 1,
            last_event_at = greatest(x.last_event_at, moment),
            ended_at = moment,
            outcome = case emit_event.event_type when 'execution_failed' then 'failed' else 'completed' end,
            error_code = case emit_event.event_type when 'execution_failed' then emit_event.error_code end,
            error_message = case emit_event.event_type when 'execution_failed' then document ->> 'error' end
        where x.customer_id = customer and x.execution_id = emit_event.execution_id and x.deployment_id = emit_event.deployment_id
            and x.skill_id = emit_event.skill_id and x.skill_version = emit_event.skill_version
            and x.started_at is not null and x.ended_at is null
            and (emit_event.event_type = 'execution_failed' or x.processing and x.open_approvals = 0)
        returning x.steps, x.actions_prepared, x.denied into this_step, prepared, had_denial;
        -- If every action has its own dispatch or failure and nothing was denied, all are resolved. Otherwise has_unresolved looks closely.
        if prepared > 0 and emit_event.event_type = 'execution_completed'
            and (
                had_denial or exists (
                    select
                    from only aximo_private.events as e
                    where e.customer_id = customer and e.execution_id = emit_event.execution_id and e.event_type < 'approval_'
                    group by e.payload ->> 'action_id', e.payload ->> 'action_type'
                    having
                        count(*) filter (where e.event_type = 'action_prepared')
                        > count(*) filter (where e.event_type <> 'action_prepared')
                )
            )
            and aximo_private.has_unresolved(
                customer, emit_event.execution_id, had_denial,
                array(
                    select a.approval_id
                    from only aximo_private.approvals as a
                    where a.customer_id = customer and a.execution_id = emit_event.execution_id and a.decision in ('rejected', 'timeout')
                ),
                null, null, false
            ) then
            fits := false;
        end if;
    else
        -- execution_processing, and events that are no step of an execution's life.
        update aximo_private.executions as x set
            steps = x.steps + 1,
            last_event_at = greatest(x.last_event_at, moment),
            processing = x.processing or emit_event.event_type = 'execution_processing'
        where x.customer_id = customer and x.execution_id = emit_event.execution_id and x.deployment_id = emit_event.deployment_id
            and x.skill_id = emit_event.skill_id and x.skill_version = emit_event.skill_version
            and x.started_at is not null and (x.ended_at is null or emit_event.event_type <> 'execution_processing')
        returning x.steps into this_step;
    end if;

    if fits is not false and (this_step is not null or emit_event.execution_id is null) then
        insert into aximo_private.events as e (
            event_id, event_type, "timestamp", customer_id, deployment_id, skill_id, skill_version, execution_id, risk_level, approval_mode,
            actor, payload, correlation_id, channel_type, error_code, latency_ms, step, answers
        ) values (
            id, emit_event.event_type, moment, customer, emit_event.deployment_id, emit_event.skill_id, emit_event.skill_version,
            emit_event.execution_id, emit_event.risk_level, emit_event.approval_mode, emit_event.actor, document, emit_event.correlation_id,
            emit_event.channel_type, emit_event.error_code, emit_event.latency_ms, this_step, request
        )
        on conflict do nothing
        returning e.event_id, e.recorded_at, false into receipt;
        if found then
            if this_step > 1 then
                return receipt;
            end if;
            if emit_event.execution_id is not null then
                insert into aximo_private.executions (
                    customer_id, execution_id, deployment_id, skill_id, skill_version, started_at, last_event_at, steps, start_step
                ) values (
                    customer, emit_event.execution_id, emit_event.deployment_id, emit_event.skill_id, emit_event.skill_version, moment,
                    moment, 1, 1
                );
            end if;
            perform
            from only aximo_private.known_deployments as k
            where k.customer_id = customer and k.deployment_id = emit_event.deployment_id
            limit 1;
            if not found then
                insert into aximo_private.known_deployments (customer_id, deployment_id, event_id)
                values (customer, emit_event.deployment_id, id);
            end if;
            return receipt;
        end if;
    end if;

    event := row(
        1, moment, null, emit_event.latency_ms, id, null, null, emit_event.event_type, customer, emit_event.deployment_id,
        emit_event.skill_id, emit_event.skill_version, emit_event.execution_id, emit_event.actor, emit_event.risk_level,
        emit_event.approval_mode, emit_event.correlation_id, emit_event.channel_type, emit_event.error_code, null, document
    );
    -- The row says that the execution has completed, so write_events would name another rule.
    if not fits and emit_event.event_type = 'execution_completed' and aximo_private.event_well_formed(event)
        and not exists (select from only aximo_private.events as e where e.customer_id = customer and e.event_id = emit_event.event_id) then
        perform aximo_private.refuse_step(
            row(
                1, id, emit_event.event_type, customer, emit_event.execution_id, null, 'completes_with_actions_resolved', null, null
            )::aximo_private.breach,
            is_batch => false
        );
    end if;
    receipt := (
        aximo_private.write_events(
            jsonb_build_array(aximo_private.event_document(event, emit_event."timestamp" is not null)), customer,
            is_history => false, is_batch => false
        )
    )[1];
    if this_step > 1 then
        -- The event was stored before, so the row must not count it as a further step.
        perform aximo_private.rebuild_execution(customer, emit_event.execution_id);
    end if;
    return receipt;
end;
$$;
alter function aximo.emit_event(
    text, text, text, text, text, text, text, jsonb, timestamptz, text, text, text, text, text, bigint, uuid
) owner to aximo_recorder;
comment on function aximo.emit_event(
    text, text, text, text, text, text, text, jsonb, timestamptz, text, text, text, text, text, bigint, uuid
) is
'Writes one event and returns its receipt. The customer is the one named, else the session''s. The same event_id with the same content again returns the first receipt with duplicate = true. ZXCUS: not your customer; ZXARG: malformed; ZXSEQ, ZXATT: against the life of the execution; ZXDUP: event_id used for other content.';
