-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- Writes a batch, all or nothing, in the order of the array. The first attempt assumes that no event of it is stored yet and that nothing
-- is wrong with it, which is nearly always so. If that does not hold, the second attempt looks at each event and says what is wrong. History
-- is taken as it was: an event that breaks a rule of its execution's life is kept, and listed in aximo.violations.
create function aximo_private.write_events(
    events jsonb,
    -- The customer of the events; *: each event names its own.
    customer_id text,
    is_history boolean,
    -- False: the call came from aximo.emit_event, so a refusal names no place in a batch.
    is_batch boolean
) returns aximo.receipt[]
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    of_many constant boolean := coalesce(write_events.customer_id = '*', false);
    -- The customer of an event that names none.
    customer text;
    attempt integer := case when is_batch then 1 else 2 end;
    batch aximo_private.events[];
    -- Events that are stored already, or stand twice in the batch.
    again aximo_private.events[];
    malformed bigint;
    foreign_customer text;
    lives aximo_private.executions[];
    approvals aximo_private.approvals[];
    told aximo_private.events[];
    breaches aximo_private.breach[];
    receipts aximo.receipt[];
    event aximo_private.events;
    place integer;
begin
    if events is null or jsonb_typeof(events) <> 'array' then
        raise exception using
            errcode = 'ZXARG',
            message = 'a batch is a JSON array of events',
            detail = format('this is a JSON %s', coalesce(jsonb_typeof(events), 'null')),
            hint = 'Wrap a single event in an array, or call aximo.emit_event.',
            constraint = 'batch_is_array';
    end if;
    if jsonb_array_length(events) = 0 then
        return '{}';
    end if;
    if of_many then
        customer := aximo.current_customer();
    else
        customer := aximo_private.writing_customer(coalesce(write_events.customer_id, events -> 0 ->> 'customer_id'));
    end if;

    loop
        begin
            select
                array_agg(
                    row(
                        p.place, coalesce(p."timestamp", clock_timestamp()), null, p.latency_ms,
                        coalesce(p.event_id, aximo_private.new_event_id()), null, null, p.event_type, p.customer_id, p.deployment_id,
                        p.skill_id, p.skill_version, p.execution_id, p.actor, p.risk_level, p.approval_mode, p.correlation_id,
                        p.channel_type, p.error_code, null, p.payload
                    )::aximo_private.events
                    order by p.execution_id collate "C", p.customer_id collate "C", p.place
                ),
                min(p.place) filter (where p.is_malformed),
                min(p.customer_id) filter (where p.customer_id <> customer and not of_many)
            into batch, malformed, foreign_customer
            from aximo_private.parsed_events(events, customer) as p;

            if attempt > 1 then
                -- A malformed event is refused first: the rules can't be asked about it.
                for place in
                    select b.position
                    from unnest(batch) as b
                    where b.position = malformed or (b.customer_id = customer or of_many) and not aximo_private.is_well_formed(b)
                    order by b.position
                loop
                    perform aximo_private.refuse_malformed(events -> place - 1, case when is_batch then place end, customer);
                end loop;
                if foreign_customer is not null then
                    raise exception using
                        errcode = 'ZXCUS',
                        message = 'this session may not write for that customer',
                        detail = format('an event is of customer %L, the batch of customer %L', foreign_customer, customer),
                        hint = 'Send each customer''s events by themselves, or name * as the batch''s customer.',
                        constraint = 'customer_granted';
                end if;
                select
                    array_agg(r.event order by (r.event).position) filter (where r.is_again),
                    coalesce(
                        array_agg(r.event order by (r.event).execution_id, (r.event).customer_id, (r.event).position)
                        filter (where not r.is_again), '{}'
                    )
                into again, batch
                from (
                    select
                        b as event,
                        row_number() over (partition by b.customer_id, b.event_id order by b.position) > 1
                        -- A look-up for each: a join may be planned as one pass over all events of the customer.
                        or (
                            select true
                            from only aximo_private.events as e
                            where e.customer_id = b.customer_id and e.event_id = b.event_id
                        ) is not null as is_again
                    from unnest(batch) as b
                ) as r;
            elsif malformed is not null or foreign_customer is not null then
                attempt := 2;
                continue;
            end if;
            if of_many then
                perform aximo_private.writing_customer(u.customer_id)
                from (select distinct b.customer_id from unnest(batch) as b) as u;
            end if;

            select t.lives, t.approvals, t.told, t.breaches
            into lives, approvals, told, breaches
            from aximo_private.lives_after(batch, is_history, from_nothing => false) as t;
            if attempt = 1 and not is_history and breaches is not null then
                attempt := 2;
                continue;
            end if;

            -- Rows are written before events, in the order of their ids: a row is its execution's lock.
            if lives is not null then
                perform aximo_private.store_lives(lives, approvals);
            end if;
            perform aximo_private.note_deployments(told, first_only => breaches is null);
            with
            inserted as (
                insert into aximo_private.events (
                    event_id, event_type, "timestamp", customer_id, deployment_id, skill_id, skill_version, execution_id, risk_level,
                    approval_mode, actor, payload, correlation_id, channel_type, error_code, latency_ms, step, answers
                )
                select
                    t.event_id, t.event_type, t."timestamp", t.customer_id, t.deployment_id, t.skill_id, t.skill_version, t.execution_id,
                    t.risk_level, t.approval_mode, t.actor, t.payload, t.correlation_id, t.channel_type, t.error_code, t.latency_ms, t.step,
                    t.answers
                from unnest(told) as t
                -- The events after the first broken rule were worked out without it, so they are not inserted.
                where is_history or breaches is null or t.position < breaches[1].place
                order by t.position
                returning position, event_id, recorded_at
            )
            select array_agg(row(i.event_id, i.recorded_at, false)::aximo.receipt order by i.position)
            into receipts
            from inserted as i;
            exit;
        exception
            when data_exception then
                -- A field does not fit its column: find the event, and say what is wrong with it.
                for place in 1 .. jsonb_array_length(events) loop
                    perform aximo_private.refuse_malformed(events -> place - 1, case when is_batch then place end, customer);
                end loop;
                raise exception using
                    errcode = 'ZXARG',
                    message = 'malformed event',
                    -- Without its words, which may quote a payload.
                    detail = format('PostgreSQL refused a value with %s', sqlstate),
                    hint = 'Send the events one by one to see which one it is. Their fields and limits are in docs/reference.md, under aximo.events.',
                    constraint = 'event_well_formed';
            when unique_violation or not_null_violation or program_limit_exceeded or sqlstate 'ZXARG' then
                if attempt > 1 and sqlstate <> '23505' then
                    raise;
                end if;
        end;
        attempt := attempt + 1;
        if attempt > 4 then
            perform aximo_private.check_rows_present(t.customer_id, array_agg(distinct t.execution_id))
            from unnest(told) as t
            group by t.customer_id;
            raise serialization_failure using
                message = 'another transaction wrote to the same execution meanwhile',
                hint = 'Run the whole transaction again.';
        end if;
    end loop;

    -- First the receipts of the events that were sent before, up to the first broken rule; then that rule.
    foreach event in array coalesce(again, '{}') loop
        exit when not is_history and event.position > breaches[1].place;
        receipts := array_append(
            receipts, aximo_private.first_receipt(event, events -> (event.position - 1)::integer ->> 'timestamp' is not null)
        );
    end loop;
    if is_history and breaches is not null then
        insert into aximo_private.violations (customer_id, event_id, execution_id, rule, against)
        select
            b.customer_id, b.event_id, b.execution_id, b.rule,
            coalesce(
                b.against,
                (
                    select e.event_id
                    from only aximo_private.events as e
                    where e.customer_id = b.customer_id and e.execution_id = b.execution_id and e.step = b.against_step
                )
            )
        from unnest(breaches) as b;
    elsif breaches is not null then
        if breaches[1].rule = 'triggered_first' then
            perform aximo_private.check_rows_present(breaches[1].customer_id, array[breaches[1].execution_id]);
        end if;
        perform aximo_private.refuse_step(breaches[1], is_batch);
    end if;

    if again is not null then
        receipts := array(
            select row(r.event_id, r.recorded_at, r.duplicate)::aximo.receipt
            from unnest(
                receipts,
                array(select t.position from unnest(told) as t order by t.position)
                || array(select a.position from unnest(again) as a order by a.position)
            ) as r (event_id, recorded_at, duplicate, place)
            order by r.place
        );
    end if;
    return receipts;
end;
$$;
alter function aximo_private.write_events(jsonb, text, boolean, boolean) owner to aximo_recorder;
comment on function aximo_private.write_events(jsonb, text, boolean, boolean) is 'Writes a batch for aximo.emit_events and aximo.import_events, and an event that aximo.emit_event could not write at once.';
