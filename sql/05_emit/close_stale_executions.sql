create function aximo.close_stale_executions(older_than interval)
returns table (closed_execution_id text, event_id uuid, idle interval)
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    customer constant text := aximo_private.writing_customer(null);
    moment constant timestamptz := clock_timestamp();
    cutoff timestamptz;
    stale aximo_private.executions[];
begin
    if older_than is null or older_than < interval '0' then
        raise exception using
            errcode = 'ZXARG',
            message = 'older_than is not an age',
            detail = format('older_than is %s', coalesce(older_than::text, 'null')),
            hint = 'Give an interval of zero or more, such as ''2 hours''.',
            constraint = 'older_than_not_negative';
    end if;
    begin
        cutoff := moment - older_than;
    exception
        when datetime_field_overflow then
            cutoff := '-infinity';
    end;
    -- An execution that another transaction is writing to is not stale.
    select array_agg(s.x order by (s.x).last_event_at) into stale
    from (
        select x
        from only aximo_private.executions as x
        where x.customer_id = customer and x.outcome is null and x.started_at is not null and x.last_event_at <= cutoff
        order by x.execution_id
        for no key update skip locked
    ) as s;
    return query
    select s.execution_id, w.event_id, moment - s.last_event_at
    from unnest(aximo_private.write_events(
        (
            select coalesce(
                jsonb_agg(
                    jsonb_build_object(
                        'event_type', 'execution_failed', 'timestamp', to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                        'deployment_id', s.deployment_id, 'skill_id', s.skill_id, 'skill_version', s.skill_version,
                        'execution_id', s.execution_id, 'actor', 'system', 'error_code', 'orphaned',
                        'payload', jsonb_build_object('error', 'no end was reported', 'last_event_at', s.last_event_at)
                    )
                    order by s.ordinality
                ),
                '[]'
            )
            from unnest(stale) with ordinality as s
        ),
        customer, is_history => false, is_batch => true
    )) with ordinality as w (event_id, recorded_at, duplicate, place)
    inner join unnest(stale) with ordinality as s on s.ordinality = w.place
    order by w.place;
end;
$$;
alter function aximo.close_stale_executions(interval) owner to aximo_recorder;
comment on function aximo.close_stale_executions(interval) is 'Ends the open executions of the session''s customer whose latest event is at least this old, with execution_failed and error_code orphaned; returns them. One that another transaction is writing to is left alone. ZXCUS: no customer; ZXARG: no or a negative interval.';
