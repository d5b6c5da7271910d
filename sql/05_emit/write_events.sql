-- A batch, all or nothing, in the order of the array, judged set-wise. As history it is taken as it was: what breaks a rule of an
-- execution's life is kept, and what a unique index keeps out is exempt from it; numbering lists both in aximo.violations.
create function aximo_private.write_events(events jsonb, customer_id text, mode text) returns setof aximo.receipt
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    customer text;
    ids uuid[];
    requests uuid[];
    recorded timestamptz[];
    first_recorded timestamptz[];
    written bigint;
    doubtful uuid[];
    malformed bigint;
    foreign_customer text;
    refused_by text;
    place bigint;
    receipt aximo.receipt;
begin
    if events is null or jsonb_typeof(events) <> 'array' then
        raise exception using
            errcode = 'ZXARG',
            message = 'a batch is a JSON array of events',
            detail = format('it is: %s', coalesce(jsonb_typeof(events), 'null')),
            hint = 'Wrap a single event in an array, or call aximo.emit_event.',
            constraint = 'batch_is_array';
    end if;
    if jsonb_array_length(events) = 0 then
        return;
    end if;
    customer := aximo_private.writing_customer(coalesce(write_events.customer_id, events -> 0 ->> 'customer_id'));

    begin
        if jsonb_path_exists(events, '$[*].event_type ? (@ starts with "approval_")') then
            -- To which request each answer is: the last one before it in this batch, else the last one stored. A request of the
            -- batch that is stored already is not the last one if another came since.
            select array_agg(coalesce((b.e ->> 'event_id')::uuid, gen_random_uuid()) order by b.place)
            into ids
            from jsonb_array_elements(events) with ordinality as b (e, place);

            select
                array_agg(
                    case
                        when w.event_type in ('approval_granted', 'approval_rejected', 'approval_timeout') then coalesce(
                            case
                                -- Not NOT EXISTS, which may be planned as one pass over all events of the customer.
                                when (
                                    select true
                                    from only aximo_private.events as e
                                    where e.customer_id = customer and e.event_id = ids[w.request_place]
                                    limit 1
                                ) is null then ids[w.request_place]
                            end,
                            aximo_private.request_answered(customer, w.execution_id, w.approval_id)
                        )
                    end
                    order by w.place
                )
            into requests
            from (
                select
                    b.place,
                    b.e ->> 'event_type' as event_type,
                    b.e ->> 'execution_id' as execution_id,
                    b.e #>> '{payload,approval_id}' as approval_id,
                    max(b.place) filter (where b.e ->> 'event_type' = 'approval_requested') over (
                        partition by b.e ->> 'execution_id', b.e #>> '{payload,approval_id}' order by b.place
                        rows between unbounded preceding and 1 preceding
                    ) as request_place
                from jsonb_array_elements(events) with ordinality as b (e, place)
            ) as w;
        end if;

        if write_events.mode <> 'exempt' then
            -- What is left after it has something in its way, and is judged event by event.
            return query
            select u.event_id, u.recorded_at, false
            from aximo_private.write_fresh_events(write_events.events, customer, write_events.mode, ids, requests) as f
            cross join lateral unnest(f.ids, f.recorded) with ordinality as u (event_id, recorded_at, place)
            order by u.place;
            if found then
                return;
            end if;
        end if;

        with
        parsed as materialized (
            select
                p.place,
                coalesce(ids[p.place], p.event_id, gen_random_uuid()) as event_id,
                p.event_type,
                coalesce(p."timestamp", clock_timestamp()) as "timestamp",
                p.customer_id, p.deployment_id, p.skill_id, p.skill_version, p.execution_id, p.risk_level, p.approval_mode, p.actor, p.payload,
                p.correlation_id, p.channel_type, p.error_code, p.latency_ms, p.is_malformed
            from aximo_private.parsed_events(write_events.events, customer) as p
        ),
        inserted as (
            insert into aximo_private.events (
                exempt, event_id, event_type, "timestamp", customer_id, deployment_id, skill_id, skill_version, execution_id, risk_level,
                approval_mode, actor, payload, correlation_id, channel_type, error_code, latency_ms, answers
            )
            select
                write_events.mode = 'exempt', p.event_id, p.event_type, p."timestamp", p.customer_id, p.deployment_id, p.skill_id,
                p.skill_version, p.execution_id, p.risk_level, p.approval_mode, p.actor, p.payload, p.correlation_id, p.channel_type, p.error_code,
                p.latency_ms, case when write_events.mode <> 'exempt' then requests[p.place] end
            from parsed as p
            where p.customer_id = customer and not p.is_malformed
            order by p.place
            on conflict do nothing
            returning event_id, recorded_at
        )
        select
            array_agg(p.event_id order by p.place),
            array_agg(i.recorded_at order by p.place),
            (select count(*) from inserted),
            array_agg(i.event_id) filter (where i.event_id is not null and p.execution_id is not null),
            min(p.place) filter (where p.is_malformed or p."timestamp" > clock_timestamp() + interval '1 day'),
            min(p.customer_id) filter (where p.customer_id <> customer)
        into ids, recorded, written, doubtful, malformed, foreign_customer
        from parsed as p
        left join inserted as i on i.event_id = p.event_id;

        if write_events.mode = 'history' and written <> cardinality(ids) and cardinality(ids) > 1
            and malformed is null and foreign_customer is null then
            raise cardinality_violation;
        end if;
    exception
        -- One after the other, so that what is exempt from a unique index arrives in its place.
        when cardinality_violation then
            for place in 1 .. jsonb_array_length(events) loop
                return query
                select w.*
                from aximo_private.write_events(jsonb_build_array(events -> (place - 1)::integer), customer, write_events.mode) as w;
            end loop;
            return;
        -- Something in the batch is not what its column takes: find out which event, and say so.
        when data_exception or integrity_constraint_violation then
            get stacked diagnostics refused_by = constraint_name;
            for place in 1 .. jsonb_array_length(events) loop
                perform aximo_private.refuse_malformed(events -> (place - 1)::integer, place, customer);
            end loop;
            raise exception using
                errcode = 'ZXARG',
                message = 'malformed event',
                detail = sqlerrm,
                hint = 'The fields of an event, their types and limits are in the reference, under aximo.events.',
                constraint = coalesce(nullif(refused_by, ''), 'event_well_formed');
    end;

    if malformed is not null then
        perform aximo_private.refuse_malformed(events -> (malformed - 1)::integer, malformed, customer);
    end if;
    if foreign_customer is not null then
        raise exception using
            errcode = 'ZXCUS',
            message = 'this session may not write for that customer',
            detail = format('customer of the event %L, customer of the batch %L', foreign_customer, customer),
            hint = 'A batch is of one customer.',
            constraint = 'customer_granted';
    end if;

    -- What a unique index kept out, and an event that comes twice in this batch.
    if written <> cardinality(ids) then
        first_recorded := array_fill(null::timestamptz, array[cardinality(ids)]);
        for place in
            select n.place
            from (
                select
                    u.place,
                    u.recorded_at,
                    row_number() over (partition by u.event_id order by u.place) as repetition
                from unnest(ids, recorded) with ordinality as u (event_id, recorded_at, place)
            ) as n
            where n.recorded_at is null or n.repetition > 1
            order by n.place
        loop
            declare
                e constant jsonb := events -> (place - 1)::integer;
            begin
                begin
                    receipt := aximo_private.settle_conflict(
                        ids[place], e ->> 'event_type', aximo_private.moment_of(e ->> 'timestamp'), customer, e ->> 'deployment_id',
                        e ->> 'skill_id', e ->> 'skill_version', e ->> 'execution_id', e ->> 'risk_level', e ->> 'approval_mode',
                        e ->> 'actor', coalesce(nullif(e -> 'payload', 'null'), '{}'), e ->> 'correlation_id', e ->> 'channel_type',
                        e ->> 'error_code', (e ->> 'latency_ms')::bigint
                    );
                exception
                    when sqlstate 'ZXSEQ' or sqlstate 'ZXDUP' then
                        if write_events.mode = 'history' and sqlstate = 'ZXSEQ' then
                            return query
                            select w.*
                            from aximo_private.write_events(events, customer, 'exempt') as w;
                            return;
                        end if;
                        -- If an event before this one breaks a rule, that is what is wrong with the batch.
                        perform aximo_private.check_flow(
                            customer,
                            (select array_agg(u.event_id) from unnest(ids, recorded) as u (event_id, recorded_at) where u.recorded_at is not null),
                            ids[1:place - 1]
                        );
                        raise;
                end;
                recorded[place] := null;
                first_recorded[place] := receipt.recorded_at;
            end;
        end loop;
    end if;

    if doubtful is not null and write_events.mode = 'strict' then
        perform aximo_private.check_flow(customer, doubtful);
    end if;

    return query
    select u.event_id, coalesce(u.recorded_at, u.first_recorded_at), u.recorded_at is null
    from unnest(ids, recorded, first_recorded) with ordinality as u (event_id, recorded_at, first_recorded_at, place)
    order by u.place;
end;
$$;
alter function aximo_private.write_events(jsonb, text, text) owner to aximo_recorder;
comment on function aximo_private.write_events(jsonb, text, text) is
'What aximo.emit_events (mode strict) and aximo.import_events (mode history, and exempt for what a unique index keeps out) do.';
