-- Turns new log entries into facts to count: the events themselves, and the durations that become known by them. The facts are the same
-- whichever event came first.
create function aximo_private.facts_of_entries(touched aximo_private.log_growth[])
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
            g.customer_id, g.old_size, g.new_size, n.number, e.*, date_trunc('hour', e."timestamp", 'UTC') as hour
        from unnest(touched) as g
        cross join lateral (
            select l.number, l.event_id
            from only aximo_private.log_entries as l
            where l.customer_id = g.customer_id and l.log = 'events' and l.number > g.old_size and l.number <= g.new_size
            offset 0
        ) as n
        cross join lateral (
            select
                s.event_id, s.event_type, s."timestamp", s.deployment_id, s.skill_id, s.skill_version, s.execution_id, s.risk_level,
                s.latency_ms, s.answers, s.step,
                -- In imported history the first start and the first end count.
                s.event_type = 'execution_triggered' and s.step = l.start_step as is_start,
                s.event_type in ('execution_completed', 'execution_failed') and s.step = l.end_step as is_end,
                l.start_step, l.end_step,
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
    -- Two events that are both in the log now and were not before, whichever came last: an execution's start and its end, an approval's
    -- request and its answer. Each counts where it happened: the earlier one that it has its counterpart, the later one how long that took.
    paired as (
        select
            e.customer_id, e.number, c.of_execution, p.*,
            (extract(epoch from case when c.is_later then c."timestamp" - e."timestamp" else e."timestamp" - c."timestamp" end) * 1000000)::bigint
                as took_us
        from entry as e
        cross join lateral (
            select s.*, true as of_execution, false as is_later
            from only aximo_private.events as s
            where e.is_end and s.customer_id = e.customer_id and s.execution_id = e.execution_id and s.step = e.start_step
            union all
            select s.*, true, true
            from only aximo_private.events as s
            where e.is_start and s.customer_id = e.customer_id and s.execution_id = e.execution_id and s.step = e.end_step
            union all
            select s.*, false, false
            from only aximo_private.events as s
            where e.answers is not null and s.customer_id = e.customer_id and s.event_id = e.answers
            union all
            select s.*, false, true
            from only aximo_private.events as s
            where e.event_type = 'approval_requested' and s.customer_id = e.customer_id and s.event_id = (
                    select a.decision_event_id
                    from only aximo_private.approvals as a
                    where a.customer_id = e.customer_id and a.execution_id = e.execution_id and a.step = e.step
                )
            offset 0
        ) as c
        cross join lateral (
            select
            from only aximo_private.log_entries as l
            where l.customer_id = e.customer_id and l.event_id = c.event_id
                and l.number <= case when c.is_later then e.old_size else e.new_size end
            offset 0
        ) as l
        cross join lateral (
            values
            (not c.is_later, e.deployment_id, e.skill_id, e.skill_version, e.hour),
            (c.is_later, c.deployment_id, c.skill_id, c.skill_version, date_trunc('hour', c."timestamp", 'UTC'))
        ) as p (is_later, deployment_id, skill_id, skill_version, hour)
    )
    -- One row for each thing that counts, with the deployment and hour in which it counts.
    select
        e.customer_id, e.deployment_id, e.skill_id, e.skill_version, e.hour, e.number, e."timestamp", e.event_type, e.action_type,
        e.risk_level, e.is_lead, e.is_emergency, coalesce(e.is_start, false), false, false, null::bigint,
        e.latency_ms, null::bigint
    from entry as e
    union all
    select
        d.customer_id, d.deployment_id, d.skill_id, d.skill_version, d.hour, d.number, null, null, null, null, false, false, false,
        d.of_execution and not d.is_later, not d.of_execution and not d.is_later,
        case when d.of_execution and d.is_later then d.took_us end, null, case when not d.of_execution and d.is_later then d.took_us end
    from paired as d;
end;
$$;
alter function aximo_private.facts_of_entries(aximo_private.log_growth[]) owner to aximo_sequencer;
comment on function aximo_private.facts_of_entries(aximo_private.log_growth[]) is 'The facts to count in new entries of the log: each event, each execution whose start and end are both known now, each approval whose request and answer are.';
