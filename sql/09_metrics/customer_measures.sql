create materialized view aximo_private.customer_measures as
select
    m.customer_id,
    m.counts_up_to,
    m.deployments,
    m.active_deployments,
    m.undeclared_deployments,
    m.first_event_at,
    m.last_event_at,
    m.events,
    m.triggered,
    m.completed,
    m.failed,
    m.open,
    m.executions,
    m.execution_us,
    m.execution_p50,
    m.execution_p95,
    m.execution_p99,
    m.actions_dispatched,
    m.leads,
    m.approvals_open,
    m.sla_breaches
from aximo_private.customer_rows() as m
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
