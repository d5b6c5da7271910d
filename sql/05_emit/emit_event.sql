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
#variable_conflict use_column
declare
    entered constant text := current_setting('aximo.customer_id', true);
    customer constant text := aximo_private.enter_customer(emit_event.customer_id);
    moment constant timestamptz := coalesce(emit_event."timestamp", clock_timestamp());
    content constant jsonb := coalesce(emit_event.payload, '{}');
    id constant uuid := coalesce(emit_event.event_id, gen_random_uuid());
    receipt aximo.receipt;
    stamp text;
    fits boolean;
begin
    -- What is certainly well formed goes on. What may not be is asked of the domains, which know; the insert asks them in any case.
    if (
        octet_length(
            customer || emit_event.deployment_id || emit_event.skill_id || emit_event.skill_version
            || coalesce(emit_event.execution_id, '')
        ) <= 255
        and least(
            customer, emit_event.deployment_id, emit_event.skill_id, emit_event.skill_version, emit_event.execution_id
        ) collate "C" >= '!'
        and greatest(
            customer, emit_event.deployment_id, emit_event.skill_id, emit_event.skill_version, emit_event.execution_id
        ) collate "C" < chr(127)
        and emit_event.actor in ('system', 'founder', 'operator', 'external_user')
        and octet_length(
            concat(
                emit_event.risk_level, emit_event.approval_mode, emit_event.correlation_id, emit_event.channel_type,
                emit_event.error_code
            )
        ) <= 255
        and (emit_event.latency_ms is null or emit_event.latency_ms >= 0)
        and jsonb_typeof(content) = 'object'
        and (pg_column_size(content) <= 2048 or not aximo_private.has_extreme_number(content))
        and octet_length(content::text) <= 1048576
        and moment between '2000-01-01 00:00:00+00' and clock_timestamp()
        and (
            emit_event.execution_id is not null and emit_event.event_type in (
                'execution_triggered', 'execution_processing', 'action_prepared', 'action_dispatched', 'action_failed',
                'execution_completed', 'execution_failed'
            )
        )
    ) is not true then
        if moment >= '1970-01-01 00:00:00+00' and moment < '9999-01-01 00:00:00+00' then
            stamp := to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
        else
            stamp := '0001-01-01T00:00:00Z';
        end if;
        perform aximo_private.refuse_malformed(
            jsonb_build_object(
                'event_type', emit_event.event_type, 'customer_id', customer, 'deployment_id', emit_event.deployment_id,
                'skill_id', emit_event.skill_id, 'skill_version', emit_event.skill_version, 'execution_id', emit_event.execution_id,
                'actor', emit_event.actor, 'timestamp', stamp,
                'risk_level', emit_event.risk_level, 'approval_mode', emit_event.approval_mode,
                'correlation_id', emit_event.correlation_id, 'channel_type', emit_event.channel_type,
                'error_code', emit_event.error_code, 'latency_ms', emit_event.latency_ms,
                'payload', case when jsonb_typeof(content) = 'null' then '[]' else content end
            ),
            null,
            customer
        );
    end if;

    insert into aximo_private.events (
        event_type, "timestamp", customer_id, deployment_id, skill_id, skill_version, execution_id, actor, risk_level, approval_mode,
        correlation_id, channel_type, error_code, latency_ms, event_id, payload, answers
    ) values (
        emit_event.event_type, moment, customer, emit_event.deployment_id, emit_event.skill_id, emit_event.skill_version,
        emit_event.execution_id, emit_event.actor, emit_event.risk_level, emit_event.approval_mode, emit_event.correlation_id,
        emit_event.channel_type, emit_event.error_code, emit_event.latency_ms, id, content,
        case
            when emit_event.event_type in ('approval_granted', 'approval_rejected', 'approval_timeout') then
                aximo_private.request_answered(customer, emit_event.execution_id, content ->> 'approval_id')
        end
    )
    on conflict do nothing
    returning event_id, recorded_at, false into receipt;

    if not found then
        receipt := aximo_private.settle_conflict(
            id, emit_event.event_type, emit_event."timestamp", customer, emit_event.deployment_id, emit_event.skill_id,
            emit_event.skill_version, emit_event.execution_id, emit_event.risk_level, emit_event.approval_mode, emit_event.actor,
            content, emit_event.correlation_id, emit_event.channel_type, emit_event.error_code, emit_event.latency_ms
        );
    elsif emit_event.execution_id is not null and emit_event.event_type <> 'execution_triggered' then
        -- (A trigger that its unique index let in is the first one, and nothing else was accepted before it.)
        -- Most events fit for simple reasons, found in a few rows however long the execution is: all but its actions, which
        -- sort before everything else. This may only ever say yes; what is not certain here is judged by check_flow.
        select
            count(*) filter (
                where e.event_type = 'execution_triggered' and e.deployment_id = emit_event.deployment_id
                and e.skill_id = emit_event.skill_id and e.skill_version = emit_event.skill_version
            ) = 1
            and count(*) filter (where e.event_type = 'execution_processing')
            >= case when emit_event.event_type in ('execution_processing', 'execution_failed') then 0 else 1 end
            and count(*) filter (where e.event_type in ('execution_completed', 'execution_failed') and e.event_id <> id) = 0
            and (
                emit_event.event_type not in ('action_dispatched', 'execution_completed')
                or count(*) filter (where e.event_type = 'approval_requested')
                = count(*) filter (where e.event_type = 'approval_granted')
                and count(*) filter (where e.event_type in ('approval_rejected', 'approval_timeout')) = 0
            )
            and emit_event.event_type !~ '^approval_'
        into fits
        from only aximo_private.events as e
        where e.customer_id = customer and e.execution_id = emit_event.execution_id and e.event_type >= 'approval_';
        if fits and emit_event.event_type = 'execution_completed' then
            fits := not exists (
                select from only aximo_private.events as e
                where e.customer_id = customer and e.execution_id = emit_event.execution_id
                    and e.event_type in ('action_prepared', 'action_dispatched', 'action_failed')
                group by e.payload ->> 'action_id', e.payload ->> 'action_type'
                having count(*) filter (where e.event_type = 'action_prepared')
                    > count(*) filter (where e.event_type <> 'action_prepared')
            );
        end if;
        if not fits then
            perform aximo_private.check_flow(customer, array[id]);
        end if;
    end if;

    if coalesce(entered, '') = '' then
        perform set_config('aximo.customer_id', '', true);
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
