-- One event, one round trip. The path of most writes: what each part costs is in docs/design/0004-emit-path.md.
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
#variable_conflict use_variable
declare
    session_names constant text := current_setting('aximo.customer_id', true);
    customer text := coalesce(emit_event.customer_id, session_names);
    -- Typed as the columns: the limits are checked when it is filled, and not again by the insert.
    event aximo_private.events;
    is_malformed boolean := false;
    receipt aximo.receipt;
    earlier text[];
    fits boolean;
begin
    -- Most calls name a customer that the login was granted. This may only ever say yes: writing_customer knows the rule.
    perform
    from aximo_private.customer_grants as g
    where g.customer_id in (customer, '*');
    if not found or coalesce(customer, '') in ('', '*') or session_names not in ('', customer) then
        customer := aximo_private.writing_customer(emit_event.customer_id);
    end if;

    -- Nothing is written in this block, so it takes no transaction id of its own.
    begin
        -- In the order of the table's columns, each cast to its type there.
        event := row(
            null::bigint, coalesce(emit_event."timestamp", clock_timestamp()), null::timestamptz, emit_event.latency_ms,
            coalesce(emit_event.event_id, gen_random_uuid()), null::uuid, false, emit_event.event_type, customer, emit_event.deployment_id,
            emit_event.skill_id, emit_event.skill_version, emit_event.execution_id, emit_event.actor, emit_event.risk_level,
            emit_event.approval_mode, emit_event.correlation_id, emit_event.channel_type, emit_event.error_code, null::text,
            coalesce(emit_event.payload, '{}')
        );
    exception
        when integrity_constraint_violation or data_exception then
            is_malformed := true;
    end;
    if is_malformed
        or event.event_type is null or event.actor is null
        or event.deployment_id is null or event.skill_id is null or event.skill_version is null
        or event.execution_id is null and event.event_type ~ '^(action|approval|execution)_'
        or event."timestamp" > clock_timestamp() + interval '1 day' then
        perform aximo_private.refuse_malformed(
            jsonb_build_object(
                'event_type', emit_event.event_type, 'customer_id', customer, 'deployment_id', emit_event.deployment_id,
                'skill_id', emit_event.skill_id, 'skill_version', emit_event.skill_version, 'execution_id', emit_event.execution_id,
                'actor', emit_event.actor,
                'timestamp', case
                    when emit_event."timestamp" < '1970-01-01 00:00:00+00' or emit_event."timestamp" >= '9999-01-01 00:00:00+00'
                        then '0001-01-01T00:00:00Z'
                    else to_char(emit_event."timestamp" at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
                end,
                'risk_level', emit_event.risk_level, 'approval_mode', emit_event.approval_mode,
                'correlation_id', emit_event.correlation_id, 'channel_type', emit_event.channel_type,
                'error_code', emit_event.error_code, 'latency_ms', emit_event.latency_ms,
                'payload', case when jsonb_typeof(emit_event.payload) = 'null' then '[]' else coalesce(emit_event.payload, '{}') end
            ),
            null,
            customer
        );
    end if;

    insert into aximo_private.events as e (
        event_type, "timestamp", customer_id, deployment_id, skill_id, skill_version, execution_id, actor, risk_level, approval_mode,
        correlation_id, channel_type, error_code, latency_ms, event_id, payload, answers
    ) values (
        event.event_type, event."timestamp", event.customer_id, event.deployment_id, event.skill_id, event.skill_version,
        event.execution_id, event.actor, event.risk_level, event.approval_mode, event.correlation_id, event.channel_type,
        event.error_code, event.latency_ms, event.event_id, event.payload,
        case
            when event.event_type in ('approval_granted', 'approval_rejected', 'approval_timeout') then
                aximo_private.request_answered(customer, event.execution_id, event.payload ->> 'approval_id')
        end
    )
    on conflict do nothing
    returning e.event_id, e.recorded_at, false into receipt;

    if not found then
        return aximo_private.settle_conflict(
            event.event_id, event.event_type, emit_event."timestamp", customer, event.deployment_id, event.skill_id,
            event.skill_version, event.execution_id, event.risk_level, event.approval_mode, event.actor, event.payload,
            event.correlation_id, event.channel_type, event.error_code, event.latency_ms
        );
    end if;
    -- A trigger that its unique index let in is the first one, and nothing else is accepted before it (but in imported history: numbering
    -- lists that).
    if event.execution_id is null or event.event_type = 'execution_triggered' then
        return receipt;
    end if;

    -- Most events fit for simple reasons, found in a few rows however long the execution is: all but its actions, which
    -- sort before everything else. This may only ever say yes; what is not certain here is judged by check_flow.
    earlier := array(
        select
            case
                when e.event_type = 'execution_triggered' and not (
                    e.deployment_id = event.deployment_id and e.skill_id = event.skill_id and e.skill_version = event.skill_version
                ) then 'other'
                when e.event_type = 'approval_granted' and e.answers is null then 'other'
                else e.event_type
            end
        from only aximo_private.events as e
        where e.customer_id = event.customer_id and e.execution_id = event.execution_id and e.event_type >= 'approval_'
            and e.event_id <> event.event_id
    );
    -- Nearly always it was triggered, is processing, and nothing else: in the order of the index.
    fits := earlier = '{execution_processing,execution_triggered}'
        and event.event_type in ('action_prepared', 'action_dispatched', 'action_failed', 'execution_completed');
    if not fits then
        fits := 'execution_triggered' = any(earlier)
            and ('execution_processing' = any(earlier) or event.event_type in ('execution_processing', 'execution_failed'))
            and not earlier && array['execution_completed', 'execution_failed', 'other']
            and event.event_type not in ('approval_requested', 'approval_granted', 'approval_rejected', 'approval_timeout');
        if fits and event.event_type in ('action_dispatched', 'execution_completed') and cardinality(earlier) > 2 then
            fits := not earlier && array['approval_rejected', 'approval_timeout']
                and cardinality(array_positions(earlier, 'approval_requested'))
                = cardinality(array_positions(earlier, 'approval_granted'));
        end if;
    end if;
    if fits and event.event_type = 'execution_completed' then
        fits := not exists (
            select from only aximo_private.events as e
            where e.customer_id = event.customer_id and e.execution_id = event.execution_id and e.event_type < 'approval_'
            group by e.payload ->> 'action_id', e.payload ->> 'action_type'
            having count(*) filter (where e.event_type = 'action_prepared')
                > count(*) filter (where e.event_type <> 'action_prepared')
        );
    end if;
    if fits is not true then
        perform aximo_private.check_flow(customer, array[event.event_id]);
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
