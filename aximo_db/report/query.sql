-- All that the report and "aximo-db metrics" show, in one statement, so that it is of one moment whatever the isolation level.
-- {grain} is day, hour or month, {suffix} what the views of that grain end in, {type} the type of its column.
with
asked as (
    select
        %(first)s::{type} as first_bucket,
        %(until)s::{type} as last_bucket,
        %(days)s::integer as days,
        %(buckets)s::integer as buckets
),
known as materialized (
    select distinct h.{grain} as bucket
    from aximo_metrics.execution_health{suffix} as h
),
known_tool_days as materialized (
    select distinct r.day
    from aximo_metrics.tool_runs as r
),
-- Where there are days, tool runs are of them too; hours and months are those of events.
seen as (
    select k.bucket
    from known as k
    union
    select t.day::{type}
    from known_tool_days as t
    where (select a.days from asked as a) is not null
),
latest as materialized (
    select s.bucket
    from seen as s
    order by s.bucket desc
    limit (select a.buckets from asked as a)
),
ends as materialized (
    select coalesce(a.last_bucket, greatest((select max(l.bucket) from latest as l), a.first_bucket)) as last_bucket
    from asked as a
),
bounds as materialized (
    select
        coalesce(
            a.first_bucket,
            case
                when a.days is null then (select min(l.bucket) from latest as l)
                else least(
                    greatest((select min(l.bucket) from latest as l), (e.last_bucket::date - (a.days - 1))::{type}),
                    e.last_bucket
                )
            end
        ) as first_bucket,
        e.last_bucket
    from asked as a
    cross join ends as e
),
-- With the period before, which is as long, if days are asked for.
since as materialized (
    select
        case
            when (select a.days from asked as a) is null then b.first_bucket
            else (b.first_bucket::date - (b.last_bucket::date - b.first_bucket::date + 1))::{type}
        end as bucket
    from bounds as b
),
tool_days as materialized (
    select t.day
    from known_tool_days as t
    where (select a.days from asked as a) is null
        or t.day between (select b.first_bucket::date from bounds as b) and (select b.last_bucket::date from bounds as b)
    order by t.day desc
    limit (select a.buckets from asked as a)
)
select json_build_object(
    'customer_id', aximo.current_customer(),
    'grain', '{grain}',
    'read_at', clock_timestamp(),
    'first', (select b.first_bucket from bounds as b),
    'until', (select b.last_bucket from bounds as b),
    'freshness', (
        select to_json(f)
        from aximo_metrics.freshness as f
        where f.view_name = 'customer_overview'
    ),
    'overview', (select to_json(o) from aximo_metrics.customer_overview as o),
    'thresholds', (
        select coalesce(json_agg(to_json(t) order by t.scope, t.deployment_id, t.metric, t.level), '[]')
        from aximo_metrics.thresholds as t
        where t.is_current
    ),
    'deployments', (
        select coalesce(json_agg(to_json(d) order by d.deployment_id), '[]')
        from aximo_metrics.deployment_status as d
    ),
    'health', (
        select coalesce(json_agg(to_json(h) order by h.{grain}, h.deployment_id, h.skill_id, h.skill_version), '[]')
        from aximo_metrics.execution_health{suffix} as h
        where h.{grain} between (select s.bucket from since as s) and (select b.last_bucket from bounds as b)
    ),
    'value', (
        select coalesce(json_agg(to_json(v) order by v.{grain}), '[]')
        from (
            select
                v.{grain},
                sum(v.conversations)::bigint as conversations,
                sum(v.leads)::bigint as leads,
                sum(v.emergency_leads)::bigint as emergency_leads
            from aximo_metrics.business_value{suffix} as v
            where v.{grain} between (select s.bucket from since as s) and (select b.last_bucket from bounds as b)
            group by v.{grain}
        ) as v
    ),
    'actions', (
        select coalesce(json_agg(to_json(a) order by a.prepared + a.dispatched + a.failed desc, a.action_type, a.risk_level), '[]')
        from (
            select
                a.action_type,
                a.risk_level,
                sum(a.prepared)::bigint as prepared,
                sum(a.dispatched)::bigint as dispatched,
                sum(a.failed)::bigint as failed
            from aximo_metrics.actions{suffix} as a
            where a.{grain} between (select b.first_bucket from bounds as b) and (select b.last_bucket from bounds as b)
            group by a.action_type, a.risk_level
        ) as a
    ),
    'governance', (
        select coalesce(json_agg(to_json(g) order by g.{grain}), '[]')
        from (
            select
                g.{grain},
                sum(g.approvals_requested)::bigint as approvals_requested,
                sum(g.approvals_granted)::bigint as approvals_granted,
                sum(g.approvals_rejected)::bigint as approvals_rejected,
                sum(g.approvals_timed_out)::bigint as approvals_timed_out,
                sum(g.approvals_open)::bigint as approvals_open,
                sum(g.approval_delay_count)::bigint as approval_delay_count,
                sum(g.approval_delay_sum_ms) as approval_delay_sum_ms,
                (sum(g.approval_delay_sum_ms) / nullif(sum(g.approval_delay_count), 0))::double precision
                    as approval_delay_avg_ms,
                sum(g.sla_breaches)::bigint as sla_breaches,
                sum(g.completed)::bigint as completed,
                sum(g.sla_breaches)::double precision / nullif(sum(g.completed), 0)::double precision
                    as sla_breach_rate,
                sum(g.escalations)::bigint as escalations,
                sum(g.pressure_invocations)::bigint as pressure_invocations,
                sum(g.suspensions)::bigint as suspensions
            from aximo_metrics.sla_governance{suffix} as g
            where g.{grain} between (select s.bucket from since as s) and (select b.last_bucket from bounds as b)
            group by g.{grain}
        ) as g
    ),
    'alerts', (
        select coalesce(json_agg(to_json(a) order by a.{grain} desc, a.deployment_id, a.metric), '[]')
        from aximo_metrics.alerts{suffix} as a
        where a.{grain} between (select b.first_bucket from bounds as b) and (select b.last_bucket from bounds as b)
    ),
    'tools', (
        select coalesce(json_agg(to_json(t) order by t.started desc, t.tool_name), '[]')
        from (
            select
                t.tool_name,
                sum(t.started)::bigint as started,
                sum(t.succeeded)::bigint as succeeded,
                sum(t.failed)::bigint as failed,
                sum(t.blocked)::bigint as blocked,
                (sum(t.queue_time_sum_ms) / nullif(sum(t.queue_time_count), 0))::double precision as queue_time_avg_ms,
                (sum(t.run_time_sum_ms) / nullif(sum(t.run_time_count), 0))::double precision as run_time_avg_ms
            from aximo_metrics.tool_runs as t
            where t.day in (select d.day from tool_days as d)
            group by t.tool_name
        ) as t
    ),
    'tool_days', (
        select coalesce(json_agg(to_json(t) order by t.day), '[]')
        from (
            select
                t.day,
                sum(t.started)::bigint as started,
                sum(t.succeeded)::bigint as succeeded,
                sum(t.failed)::bigint as failed,
                sum(t.blocked)::bigint as blocked
            from aximo_metrics.tool_runs as t
            where t.day in (select d.day from tool_days as d)
            group by t.day
        ) as t
    ),
    'before', (
        select json_build_object(
            'actions_dispatched', (
                select coalesce(sum(a.dispatched), 0)::bigint
                from aximo_metrics.actions{suffix} as a
                where a.{grain} >= (select s.bucket from since as s) and a.{grain} < b.first_bucket
            ),
            'tool_runs', (
                select coalesce(sum(t.started), 0)::bigint
                from aximo_metrics.tool_runs as t
                where t.day >= (select s.bucket::date from since as s) and t.day < b.first_bucket::date
            )
        )
        from bounds as b
        where (select a.days from asked as a) is not null
    ),
    'billing', (
        select coalesce(json_agg(to_json(b) order by b.month), '[]')
        from aximo_metrics.attribution_monthly as b
    ),
    'definitions', (
        select json_agg(json_build_object(
            'view', c.relname,
            'meaning', obj_description(c.oid, 'pg_class'),
            'columns', (
                select json_agg(json_build_array(a.attname, col_description(c.oid, a.attnum)) order by a.attnum)
                from pg_catalog.pg_attribute as a
                where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            )
        ) order by array_position(%(views)s::text[], c.relname::text))
        from pg_catalog.pg_class as c
        where c.relnamespace = 'aximo_metrics'::regnamespace and c.relname = any (%(views)s::text[])
    )
)::text
