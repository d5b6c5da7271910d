-- Nearly always nothing of a batch is there yet, and nothing is wrong with it. This writes such a batch, or nothing at all: whatever
-- else there is to say of a batch, aximo_private.write_events says.
create function aximo_private.write_fresh_events(
    events jsonb,
    customer text,
    mode text,
    given_ids uuid[],
    requests uuid[],
    out ids uuid[],
    out recorded timestamptz[]
)
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    doubtful uuid[];
begin
    begin
        with
        inserted as (
            insert into aximo_private.events (
                event_id, event_type, "timestamp", customer_id, deployment_id, skill_id, skill_version, execution_id, risk_level,
                approval_mode, actor, payload, correlation_id, channel_type, error_code, latency_ms, answers
            )
            select
                coalesce(given_ids[p.place], p.event_id, gen_random_uuid()), p.event_type, coalesce(p."timestamp", clock_timestamp()),
                p.customer_id, p.deployment_id, p.skill_id, p.skill_version, p.execution_id, p.risk_level, p.approval_mode,
                p.actor, p.payload, p.correlation_id, p.channel_type, p.error_code, p.latency_ms, requests[p.place]
            from aximo_private.parsed_events(write_fresh_events.events, write_fresh_events.customer) as p
            where p.customer_id = write_fresh_events.customer and not p.is_malformed
            order by p.place
            returning
                position, event_id, recorded_at, "timestamp", execution_id, event_type, deployment_id, skill_id, skill_version, payload
        ),
        -- Most executions are in a batch as a whole and fit for simple reasons; the events of all others are judged by check_flow.
        plain as materialized (
            select l.execution_id
            from aximo_private.plain_lives(
                array(
                    select
                        row(
                            i.execution_id, i.position, true, null, i.event_type, null, i.deployment_id, i.skill_id, i.skill_version, null,
                            aximo_private.step_key(i.payload, 'action_id'), aximo_private.step_key(i.payload, 'action_type')
                        )::aximo_private.life_step
                    from inserted as i
                )
            ) as l (execution_id)
            -- And is not there already. (A statement does not see its own inserts.)
            where (
                select true
                from only aximo_private.events as e
                where e.customer_id = write_fresh_events.customer and e.execution_id = l.execution_id
                limit 1
            ) is null
        )
        select
            array_agg(i.event_id order by i.position),
            array_agg(i.recorded_at order by i.position),
            array_agg(i.event_id) filter (
                where i.execution_id is not null and i.execution_id not in (select l.execution_id from plain as l)
            )
        into ids, recorded, doubtful
        from inserted as i
        -- No row, and so no ids, if a clock is ahead.
        having max(i."timestamp") <= clock_timestamp() + interval '1 day';

        if cardinality(ids) = jsonb_array_length(write_fresh_events.events) then
            if doubtful is not null and write_fresh_events.mode = 'strict' then
                perform aximo_private.check_flow(write_fresh_events.customer, doubtful);
            end if;
            return;
        end if;
        -- To be written by nobody, or not as it is: undone here.
        raise cardinality_violation;
    exception
        when cardinality_violation or data_exception or integrity_constraint_violation then
            ids := null;
            recorded := null;
    end;
end;
$$;
alter function aximo_private.write_fresh_events(jsonb, text, text, uuid[], uuid[]) owner to aximo_recorder;
comment on function aximo_private.write_fresh_events(jsonb, text, text, uuid[], uuid[]) is
'Writes a batch of which all is new and well-formed, and returns its ids and moments in order. Else nulls, and nothing was written. ZXSEQ, ZXATT.';
