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
begin
    if older_than is null or older_than < interval '0' then
        raise exception using
            errcode = 'ZXARG',
            message = 'an age is not negative',
            detail = format('older_than is %s', coalesce(older_than::text, 'null')),
            hint = 'Give an interval such as ''2 hours''.',
            constraint = 'older_than_not_negative';
    end if;
    begin
        cutoff := moment - older_than;
    exception
        when datetime_field_overflow then
            cutoff := '-infinity';
    end;
    return query
    with
    stale as (
        select t.execution_id, t.deployment_id, t.skill_id, t.skill_version, l.last_event_at
        from only aximo_private.events as t
        cross join lateral (
            select max(e."timestamp"::timestamptz) as last_event_at
            from only aximo_private.events as e
            where e.customer_id = customer and e.execution_id = t.execution_id
        ) as l
        where t.customer_id = customer and t.event_type = 'execution_triggered'
            and (
                select true
                from only aximo_private.events as e
                where e.customer_id = customer and e.execution_id = t.execution_id
                    and e.event_type in ('execution_completed', 'execution_failed')
                limit 1
            ) is null
            and l.last_event_at <= cutoff
    ),
    -- A worker that ends its execution at this very moment wins.
    closed as (
        insert into aximo_private.events (
            event_type, "timestamp", customer_id, deployment_id, skill_id, skill_version, execution_id, actor, error_code, event_id, payload
        )
        select
            'execution_failed', moment, customer, s.deployment_id, s.skill_id, s.skill_version, s.execution_id, 'system', 'orphaned',
            gen_random_uuid(), jsonb_build_object('error', 'no end was reported', 'last_event_at', s.last_event_at)
        from stale as s
        order by s.last_event_at
        on conflict do nothing
        returning execution_id, event_id
    )
    select c.execution_id::text, c.event_id, moment - s.last_event_at
    from closed as c
    inner join stale as s on s.execution_id = c.execution_id
    order by s.last_event_at;
end;
$$;
alter function aximo.close_stale_executions(interval) owner to aximo_recorder;
comment on function aximo.close_stale_executions(interval) is
'Ends the open executions of the session''s customer whose latest event is at least this old, with execution_failed and error_code orphaned; returns them. ZXCUS: no customer; ZXARG: no or a negative interval.';
