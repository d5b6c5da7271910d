-- Lines and events are matched by what they say and how often, not by when: a log artifact has the gateway's clock, the table has the
-- database's.
create function helix.compare_run_log(run_id text, lines jsonb)
returns table (line integer, event_id bigint, ts timestamptz, kind text, message text, data jsonb)
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    -- Logins read this table themselves, and its row security does not restrict every role: so the customer is named.
    customer constant text := aximo.current_customer();
begin
    return query
    select l.place::integer, e.event_id, e.ts, coalesce(e.kind, l.kind), coalesce(e.message, l.message), coalesce(e.data, l.data)
    from (
        select
            i.place, i.value ->> 'kind' as kind, i.value ->> 'message' as message, nullif(i.value -> 'data', 'null') as data,
            row_number() over (
                partition by i.value ->> 'kind', i.value ->> 'message', nullif(i.value -> 'data', 'null') order by i.place
            ) as repetition
        from jsonb_array_elements(lines) with ordinality as i (value, place)
    ) as l
    full join (
        select
            s.*,
            row_number() over (partition by s.kind, s.message, s.data order by s.event_id) as repetition
        from helix.run_events as s
        where s.customer_id = customer and s.run_id = compare_run_log.run_id
    ) as e
        on e.kind = l.kind and (e.message is null) = (l.message is null) and coalesce(e.message, '') = coalesce(l.message, '')
        and coalesce(e.data, 'null') = coalesce(l.data, 'null') and e.repetition = l.repetition
    order by l.place nulls last, e.event_id;
end;
$$;
comment on function helix.compare_run_log(text, jsonb) is 'Compares the lines of a run''s log artifact, a JSON array of objects with kind, message and data, with its events: a line without an event_id is missing here, an event_id without a line is missing there. Writes nothing.';
