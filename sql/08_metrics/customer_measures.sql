-- One row a customer. The percentiles are of all its executions: bins of its deployments added up.
create materialized view aximo_private.customer_measures as
select
    h.customer_id,
    h.number as counts_up_to,
    d.deployments,
    d.active_deployments,
    d.undeclared_deployments,
    d.first_event_at,
    d.last_event_at,
    t.events,
    t.triggered,
    t.completed,
    t.failed,
    t.open,
    t.executions,
    t.execution_us,
    aximo_private.histogram_value(p.p50) / 1000 as execution_p50,
    aximo_private.histogram_value(p.p95) / 1000 as execution_p95,
    aximo_private.histogram_value(p.p99) / 1000 as execution_p99,
    t.actions_dispatched,
    t.leads,
    t.approvals_open,
    t.sla_breaches
from aximo_private.rollup_heads as h
cross join lateral (
    select
        count(*) as deployments,
        count(*) filter (where s.status_type = 'deployment_activated') as active_deployments,
        count(*) filter (where s.status_type is null) as undeclared_deployments,
        min(s.first_event_at) as first_event_at,
        max(s.last_event_at) as last_event_at
    from aximo_private.deployment_rollups as s
    where s.customer_id = h.customer_id
) as d
cross join lateral (
    select
        sum(r.events)::bigint as events,
        sum(r.execution_triggered)::bigint as triggered,
        sum(r.execution_completed)::bigint as completed,
        sum(r.execution_failed)::bigint as failed,
        sum(r.opened - r.closed)::bigint as open,
        sum(r.executions)::bigint as executions,
        sum(r.execution_us) as execution_us,
        sum(r.action_dispatched)::bigint as actions_dispatched,
        sum(r.leads)::bigint as leads,
        sum(r.approval_requested - r.answered)::bigint as approvals_open,
        sum(r.sla_breached)::bigint as sla_breaches
    from aximo_private.rollups as r
    where r.customer_id = h.customer_id and r.grain = 'total'
) as t
cross join lateral (
    select
        min(c.bin) filter (where c.rank >= ceil(0.50 * c.total)) as p50,
        min(c.bin) filter (where c.rank >= ceil(0.95 * c.total)) as p95,
        min(c.bin) filter (where c.rank >= ceil(0.99 * c.total)) as p99
    from (
        select
            b.bin,
            sum(sum(b.executions)) over (order by b.bin) as rank,
            nullif(sum(sum(b.executions)) over (), 0) as total
        from aximo_private.histograms as b
        inner join aximo_private.rollups as r
            on r.customer_id = b.customer_id and r.series = b.series and r.grain = b.grain and r.bucket = b.bucket
        where r.customer_id = h.customer_id and r.grain = 'total'
        group by b.bin
    ) as c
) as p
with no data;
alter materialized view aximo_private.customer_measures owner to aximo_meter;
create unique index customer_measures_key on aximo_private.customer_measures (customer_id);
-- Statistics would tell, through row estimates, how much other customers have.
alter materialized view aximo_private.customer_measures
    alter customer_id set statistics 0,
    alter counts_up_to set statistics 0,
    alter deployments set statistics 0,
    alter active_deployments set statistics 0,
    alter undeclared_deployments set statistics 0,
    alter first_event_at set statistics 0,
    alter last_event_at set statistics 0,
    alter events set statistics 0,
    alter triggered set statistics 0,
    alter completed set statistics 0,
    alter failed set statistics 0,
    alter open set statistics 0,
    alter executions set statistics 0,
    alter execution_us set statistics 0,
    alter execution_p50 set statistics 0,
    alter execution_p95 set statistics 0,
    alter execution_p99 set statistics 0,
    alter actions_dispatched set statistics 0,
    alter leads set statistics 0,
    alter approvals_open set statistics 0,
    alter sla_breaches set statistics 0;

comment on materialized view aximo_private.customer_measures is 'Each customer: how far its log is counted, and what has happened since the beginning.';
comment on column aximo_private.customer_measures.customer_id is 'The customer.';
comment on column aximo_private.customer_measures.counts_up_to is 'The log number up to which all metrics count.';
comment on column aximo_private.customer_measures.deployments is 'How many deployments its events speak of.';
comment on column aximo_private.customer_measures.active_deployments is 'How many of them are active.';
comment on column aximo_private.customer_measures.undeclared_deployments is 'How many of them no event of their life speaks of.';
comment on column aximo_private.customer_measures.first_event_at is 'The earliest timestamp.';
comment on column aximo_private.customer_measures.last_event_at is 'The latest timestamp.';
comment on column aximo_private.customer_measures.events is 'How many events.';
comment on column aximo_private.customer_measures.triggered is 'How many execution_triggered events.';
comment on column aximo_private.customer_measures.completed is 'How many execution_completed events.';
comment on column aximo_private.customer_measures.failed is 'How many execution_failed events.';
comment on column aximo_private.customer_measures.open is 'How many executions have begun and not ended.';
comment on column aximo_private.customer_measures.executions is 'How many executions ended, of those whose start is known.';
comment on column aximo_private.customer_measures.execution_us is 'Their time from trigger to end, summed up, in microseconds.';
comment on column aximo_private.customer_measures.execution_p50 is 'Half of them took at most so many milliseconds, at most 2 percent off.';
comment on column aximo_private.customer_measures.execution_p95 is '95 percent of them took at most so many milliseconds, at most 2 percent off.';
comment on column aximo_private.customer_measures.execution_p99 is '99 percent of them took at most so many milliseconds, at most 2 percent off.';
comment on column aximo_private.customer_measures.actions_dispatched is 'How many action_dispatched events.';
comment on column aximo_private.customer_measures.leads is 'How many leads.';
comment on column aximo_private.customer_measures.approvals_open is 'How many approvals were requested and not answered.';
comment on column aximo_private.customer_measures.sla_breaches is 'How many sla_breached events.';
comment on index aximo_private.customer_measures_key is 'For REFRESH CONCURRENTLY, and to read a customer''s row.';
