-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.actions_monthly with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    (m.bucket at time zone 'UTC')::date as month,
    m.action_type,
    m.risk_level,
    m.prepared,
    m.dispatched,
    m.failed,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from aximo_private.actions_kept as m
where m.customer_id = (select aximo.current_customer()) and m.grain = 'month'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.actions_monthly is 'Actions by type and risk, by month. Key: deployment_id, skill_id, skill_version, month, action_type, risk_level.';
comment on column aximo_metrics.actions_monthly.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.actions_monthly.deployment_id is 'The deployment.';
comment on column aximo_metrics.actions_monthly.skill_id is 'The skill.';
comment on column aximo_metrics.actions_monthly.skill_version is 'Its version.';
comment on column aximo_metrics.actions_monthly.month is 'The month, UTC, by its first day.';
comment on column aximo_metrics.actions_monthly.action_type is 'payload.action_type, a number or true as the text it is written with; null if the events say none. A hash, if it is longer than 255 bytes, an object, an array or a number beyond 1e100.';
comment on column aximo_metrics.actions_monthly.risk_level is 'The risk the events state; null if they state none.';
comment on column aximo_metrics.actions_monthly.prepared is 'How many were prepared in this month.';
comment on column aximo_metrics.actions_monthly.dispatched is 'How many were dispatched in this month.';
comment on column aximo_metrics.actions_monthly.failed is 'How many failed in this month.';
comment on column aximo_metrics.actions_monthly.counts_up_to is 'The log number up to which it counts.';
