-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.customer_overview with (security_barrier = true) as
select
    m.customer_id,
    d.deployments,
    d.active_deployments,
    d.undeclared_deployments,
    m.events,
    m.triggered as executions,
    m.completed,
    m.failed,
    m.open,
    m.error_rate,
    m.execution_time_avg_ms,
    m.execution_time_p50_ms,
    m.execution_time_p95_ms,
    m.execution_time_p99_ms,
    m.actions_dispatched,
    m.leads,
    m.lead_conversion_rate,
    m.approvals_open,
    m.sla_breaches,
    m.sla_breach_rate,
    d.first_event_at,
    d.last_event_at,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from aximo_private.activity_kept as m
-- The customer's own deployments, when somebody asks: no refresh is dearer because of them.
cross join lateral (
    select
        count(*) as deployments,
        count(*) filter (where s.status = 'active') as active_deployments,
        count(*) filter (where s.status = 'undeclared') as undeclared_deployments,
        min(s.first_event_at) as first_event_at,
        max(s.last_event_at) as last_event_at
    from aximo_private.deployments_kept as s
    where s.customer_id = m.customer_id
    offset 0
) as d
where m.customer_id = (select aximo.current_customer()) and m.grain = 'customer'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.customer_overview is 'The customer''s totals since the beginning: one row. Key: customer_id.';
comment on column aximo_metrics.customer_overview.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.customer_overview.deployments is 'How many deployments events speak of.';
comment on column aximo_metrics.customer_overview.active_deployments is 'How many of them have the status active.';
comment on column aximo_metrics.customer_overview.undeclared_deployments is 'How many of them have no status: no event of their life was emitted.';
comment on column aximo_metrics.customer_overview.events is 'How many events.';
comment on column aximo_metrics.customer_overview.executions is 'How many executions were triggered.';
comment on column aximo_metrics.customer_overview.completed is 'How many completed.';
comment on column aximo_metrics.customer_overview.failed is 'How many failed.';
comment on column aximo_metrics.customer_overview.open is 'How many have not ended yet.';
comment on column aximo_metrics.customer_overview.error_rate is 'failed / executions.';
comment on column aximo_metrics.customer_overview.execution_time_avg_ms is 'From trigger to end on average, in milliseconds.';
comment on column aximo_metrics.customer_overview.execution_time_p50_ms is 'Half of them took at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.customer_overview.execution_time_p95_ms is '95 % of them took at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.customer_overview.execution_time_p99_ms is '99 % of them took at most so many milliseconds, at most 2 % off.';
comment on column aximo_metrics.customer_overview.actions_dispatched is 'How many actions were dispatched.';
comment on column aximo_metrics.customer_overview.leads is 'How many leads.';
comment on column aximo_metrics.customer_overview.lead_conversion_rate is 'leads / executions.';
comment on column aximo_metrics.customer_overview.approvals_open is 'How many approvals were requested and not answered.';
comment on column aximo_metrics.customer_overview.sla_breaches is 'How many service levels were missed.';
comment on column aximo_metrics.customer_overview.sla_breach_rate is 'sla_breaches / completed.';
comment on column aximo_metrics.customer_overview.first_event_at is 'The earliest timestamp.';
comment on column aximo_metrics.customer_overview.last_event_at is 'The latest timestamp.';
comment on column aximo_metrics.customer_overview.counts_up_to is 'The log number up to which it counts.';
