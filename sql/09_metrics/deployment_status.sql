-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.deployment_status with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    m.status,
    m.status_since,
    m.upgrades,
    m.rollbacks,
    m.last_execution_at,
    m.last_event_at,
    m.events,
    m.triggered,
    m.completed,
    m.failed,
    m.open,
    m.error_rate,
    aximo_private.level_of(m.failed, m.triggered, m.deployment_id, 'error_rate') as error_level,
    m.sla_breaches,
    m.sla_breach_rate,
    aximo_private.level_of(m.sla_breaches, m.completed, m.deployment_id, 'sla_breach_rate') as sla_level,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from aximo_private.deployments_kept as m
where m.customer_id = (select aximo.current_customer())
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.deployment_status is 'Each deployment: its state, and its totals since the beginning. Key: deployment_id.';
comment on column aximo_metrics.deployment_status.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.deployment_status.deployment_id is 'The deployment.';
comment on column aximo_metrics.deployment_status.skill_id is 'The skill it runs: as last declared, else as last executed.';
comment on column aximo_metrics.deployment_status.skill_version is 'The version it runs: as last declared, else as last executed.';
comment on column aximo_metrics.deployment_status.status is 'pending_configuration, configured, active, suspended or terminated; undeclared if no event of its life says.';
comment on column aximo_metrics.deployment_status.status_since is 'Since when, by the event''s timestamp.';
comment on column aximo_metrics.deployment_status.upgrades is 'How often its version was upgraded.';
comment on column aximo_metrics.deployment_status.rollbacks is 'How often its version was rolled back.';
comment on column aximo_metrics.deployment_status.last_execution_at is 'When an execution was last triggered.';
comment on column aximo_metrics.deployment_status.last_event_at is 'The latest timestamp of its events.';
comment on column aximo_metrics.deployment_status.events is 'How many events it has.';
comment on column aximo_metrics.deployment_status.triggered is 'How many executions were triggered.';
comment on column aximo_metrics.deployment_status.completed is 'How many completed.';
comment on column aximo_metrics.deployment_status.failed is 'How many failed.';
comment on column aximo_metrics.deployment_status.open is 'How many have not ended yet.';
comment on column aximo_metrics.deployment_status.error_rate is 'failed / triggered, since the beginning.';
comment on column aximo_metrics.deployment_status.error_level is 'ok, warning or escalation, by the thresholds in force now; null without a rate.';
comment on column aximo_metrics.deployment_status.sla_breaches is 'How many service levels were missed.';
comment on column aximo_metrics.deployment_status.sla_breach_rate is 'sla_breaches / completed, since the beginning.';
comment on column aximo_metrics.deployment_status.sla_level is 'ok, warning or escalation, by the thresholds in force now; null without a rate.';
comment on column aximo_metrics.deployment_status.counts_up_to is 'The log number up to which it counts.';
