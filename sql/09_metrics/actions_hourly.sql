-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.actions_hourly with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    m.bucket as hour,
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
where m.customer_id = (select aximo.current_customer()) and m.grain = 'hour'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.actions_hourly is 'Actions by type and risk, by hour. Key: deployment_id, skill_id, skill_version, hour, action_type, risk_level.';
comment on column aximo_metrics.actions_hourly.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.actions_hourly.deployment_id is 'The deployment.';
comment on column aximo_metrics.actions_hourly.skill_id is 'The skill.';
comment on column aximo_metrics.actions_hourly.skill_version is 'Its version.';
comment on column aximo_metrics.actions_hourly.hour is 'When the hour begins.';
comment on column aximo_metrics.actions_hourly.action_type is 'payload.action_type, a number or true as the text it is written with; null if the events say none. A hash, if it is longer than 255 bytes, an object, an array or a number beyond 1e100.';
comment on column aximo_metrics.actions_hourly.risk_level is 'The risk the events state; null if they state none.';
comment on column aximo_metrics.actions_hourly.prepared is 'How many were prepared in this hour.';
comment on column aximo_metrics.actions_hourly.dispatched is 'How many were dispatched in this hour.';
comment on column aximo_metrics.actions_hourly.failed is 'How many failed in this hour.';
comment on column aximo_metrics.actions_hourly.counts_up_to is 'The log number up to which it counts.';
