-- New entries, and what becomes known by them: how long an execution took, how long an approval. The same facts whichever event came first.
create function aximo_private.facts_of(touched aximo_private.log_growth[])
returns setof aximo_private.fact
language plpgsql stable security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    with
    entry as materialized (
        select
            g.customer_id,
            g.old_size,
            g.new_size,
            n.number,
            e.*,
            date_trunc('hour', e."timestamp", 'UTC') as hour
        from unnest(touched) as g
        cross join lateral (
            select l.number, l.event_id
            from only aximo_private.log_entries as l
            where l.customer_id = g.customer_id and l.log = 'events' and l.number > g.old_size and l.number <= g.new_size
            offset 0
        ) as n
        cross join lateral (
            select
                s.event_id,
                s.event_type,
                s."timestamp",
                s.deployment_id,
                s.skill_id,
                s.skill_version,
                s.execution_id,
                s.risk_level,
                s.latency_ms,
                s.answers,
                s.step,
                -- Of imported history, the first start and the first end count.
                s.event_type = 'execution_triggered' and s.step = l.start_step as is_start,
                s.event_type in ('execution_completed', 'execution_failed') and s.step = l.end_step as is_end,
                l.start_step,
                l.end_step,
                case
                    when s.event_type in ('action_prepared', 'action_dispatched', 'action_failed')
                        then aximo_private.step_key(s.payload, 'action_type')
                end as action_type,
                case
                    when s.event_type = 'action_dispatched'
                        then coalesce(
                            aximo_private.step_key(s.payload, 'action_type')
                            = any(aximo_private.list_of(g.customer_id, 'lead_action_types', aximo_private.month_end(s."timestamp"))),
                            false
                        )
                end as is_lead,
                s.event_type = 'action_dispatched'
                    and (s.payload @> '{"priority": "high"}' or s.payload @> '{"emergency": true}') as is_emergency
            from only aximo_private.events as s
            left join lateral (
                select x.start_step, x.end_step
                from only aximo_private.executions as x
                where x.customer_id = g.customer_id and x.execution_id = s.execution_id
                offset 0
            ) as l on s.event_type in ('execution_triggered', 'execution_completed', 'execution_failed')
            where s.customer_id = g.customer_id and s.event_id = n.event_id
            offset 0
        ) as e
    ),
    -- Starts and ends that are together in the log now and were not before, whichever came last.
    ended as materialized (
        select
            e.customer_id, e.number, e.hour, e.deployment_id, e.skill_id, e.skill_version, e."timestamp" as ended_at,
            s."timestamp" as started_at, date_trunc('hour', s."timestamp", 'UTC') as start_hour, s.deployment_id as start_deployment_id,
            s.skill_id as start_skill_id, s.skill_version as start_skill_version
        from entry as e
        cross join lateral (
            select
                s.event_id, s."timestamp", s.deployment_id, s.skill_id, s.skill_version
            from only aximo_private.events as s
            where s.customer_id = e.customer_id and s.execution_id = e.execution_id and s.step = e.start_step
            offset 0
        ) as s
        cross join lateral (
            select
            from only aximo_private.log_entries as l
            where l.customer_id = e.customer_id and l.event_id = s.event_id and l.number <= e.new_size
            offset 0
        ) as l
        where e.is_end
        union all
        select
            e.customer_id, e.number, date_trunc('hour', s."timestamp", 'UTC') as hour, s.deployment_id, s.skill_id, s.skill_version,
            s."timestamp" as ended_at, e."timestamp" as started_at, e.hour as start_hour, e.deployment_id as start_deployment_id,
            e.skill_id as start_skill_id, e.skill_version as start_skill_version
        from entry as e
        cross join lateral (
            select
                s.event_id, s."timestamp", s.deployment_id, s.skill_id, s.skill_version
            from only aximo_private.events as s
            where s.customer_id = e.customer_id and s.execution_id = e.execution_id and s.step = e.end_step
            offset 0
        ) as s
        cross join lateral (
            select
            from only aximo_private.log_entries as l
            where l.customer_id = e.customer_id and l.event_id = s.event_id and l.number <= e.old_size
            offset 0
        ) as l
        where e.is_start
    ),
    answered as materialized (
        select
            e.customer_id, e.number, e.hour, e.deployment_id, e.skill_id, e.skill_version, e."timestamp" as answered_at,
            s."timestamp" as asked_at, date_trunc('hour', s."timestamp", 'UTC') as asked_hour, s.deployment_id as asked_deployment_id,
            s.skill_id as asked_skill_id, s.skill_version as asked_skill_version
        from entry as e
        cross join lateral (
            select
                s.event_id, s."timestamp", s.deployment_id, s.skill_id, s.skill_version
            from only aximo_private.events as s
            where s.customer_id = e.customer_id and s.event_id = e.answers
            offset 0
        ) as s
        cross join lateral (
            select
            from only aximo_private.log_entries as l
            where l.customer_id = e.customer_id and l.event_id = s.event_id and l.number <= e.new_size
            offset 0
        ) as l
        where e.answers is not null
        union all
        select
            e.customer_id, e.number, date_trunc('hour', s."timestamp", 'UTC') as hour, s.deployment_id, s.skill_id, s.skill_version,
            s."timestamp" as answered_at, e."timestamp" as asked_at, e.hour as asked_hour, e.deployment_id as asked_deployment_id,
            e.skill_id as asked_skill_id, e.skill_version as asked_skill_version
        from entry as e
        cross join lateral (
            select
                s.event_id, s."timestamp", s.deployment_id, s.skill_id, s.skill_version
            from only aximo_private.events as s
            where s.customer_id = e.customer_id and s.event_id = (
                    select a.decision_event_id
                    from only aximo_private.approvals as a
                    where a.customer_id = e.customer_id and a.execution_id = e.execution_id and a.step = e.step
                )
            offset 0
        ) as s
        cross join lateral (
            select
            from only aximo_private.log_entries as l
            where l.customer_id = e.customer_id and l.event_id = s.event_id and l.number <= e.old_size
            offset 0
        ) as l
        where e.event_type = 'approval_requested'
    )
    -- One row a thing that counts, with the place where it counts.
    select
        e.customer_id, e.deployment_id, e.skill_id, e.skill_version, e.hour, e.number, e."timestamp", e.event_type, e.action_type,
        e.risk_level, e.is_lead, e.is_emergency, coalesce(e.is_start, false), false, false, null::bigint,
        e.latency_ms, null::bigint
    from entry as e
    union all
    select
        d.customer_id, d.deployment_id, d.skill_id, d.skill_version, d.hour, d.number, null, null, null, null, false, false, false, false,
        false, (extract(epoch from d.ended_at - d.started_at) * 1000000)::bigint, null, null
    from ended as d
    union all
    select
        d.customer_id, d.start_deployment_id, d.start_skill_id, d.start_skill_version, d.start_hour, d.number, null, null, null, null,
        false, false, false, true, false, null, null, null
    from ended as d
    union all
    select
        a.customer_id, a.deployment_id, a.skill_id, a.skill_version, a.hour, a.number, null, null, null, null, false, false, false, false,
        false, null, null, (extract(epoch from a.answered_at - a.asked_at) * 1000000)::bigint
    from answered as a
    union all
    select
        a.customer_id, a.asked_deployment_id, a.asked_skill_id, a.asked_skill_version, a.asked_hour, a.number, null, null, null, null,
        false, false, false, false, true, null, null, null
    from answered as a;
end;
$$;
alter function aximo_private.facts_of(aximo_private.log_growth[]) owner to aximo_sequencer;
comment on function aximo_private.facts_of(aximo_private.log_growth[]) is
'What there is to count in new entries of the log: each event, each execution whose start and end are known now, each approval whose request and answer are.';
