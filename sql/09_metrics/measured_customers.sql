-- One row a customer. The percentiles are of all its executions: bins of its deployments added up.
create view aximo_private.measured_customers with (security_barrier = true) as
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
where h.log = 'events';
alter view aximo_private.measured_customers owner to aximo_meter;
comment on view aximo_private.measured_customers is 'Each customer: what customer_measures holds.';
comment on column aximo_private.measured_customers.customer_id is 'The customer.';
comment on column aximo_private.measured_customers.counts_up_to is 'The log number up to which all metrics count.';
comment on column aximo_private.measured_customers.deployments is 'How many deployments its events speak of.';
comment on column aximo_private.measured_customers.active_deployments is 'How many of them are active.';
comment on column aximo_private.measured_customers.undeclared_deployments is 'How many of them no event of their life speaks of.';
comment on column aximo_private.measured_customers.first_event_at is 'The earliest timestamp.';
comment on column aximo_private.measured_customers.last_event_at is 'The latest timestamp.';
comment on column aximo_private.measured_customers.events is 'How many events.';
comment on column aximo_private.measured_customers.triggered is 'How many execution_triggered events.';
comment on column aximo_private.measured_customers.completed is 'How many execution_completed events.';
comment on column aximo_private.measured_customers.failed is 'How many execution_failed events.';
comment on column aximo_private.measured_customers.open is 'How many executions have begun and not ended.';
comment on column aximo_private.measured_customers.executions is 'How many executions ended, of those whose start is known.';
comment on column aximo_private.measured_customers.execution_us is 'Their time from trigger to end, summed up, in microseconds.';
comment on column aximo_private.measured_customers.execution_p50 is 'Half of them took at most so many milliseconds, at most 2 percent off.';
comment on column aximo_private.measured_customers.execution_p95 is '95 percent of them took at most so many milliseconds, at most 2 percent off.';
comment on column aximo_private.measured_customers.execution_p99 is '99 percent of them took at most so many milliseconds, at most 2 percent off.';
comment on column aximo_private.measured_customers.actions_dispatched is 'How many action_dispatched events.';
comment on column aximo_private.measured_customers.leads is 'How many leads.';
comment on column aximo_private.measured_customers.approvals_open is 'How many approvals were requested and not answered.';
comment on column aximo_private.measured_customers.sla_breaches is 'How many sla_breached events.';
