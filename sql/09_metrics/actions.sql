-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.actions with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    m.skill_id,
    m.skill_version,
    (m.bucket at time zone 'UTC')::date as day,
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
where m.customer_id = (select aximo.current_customer()) and m.grain = 'day'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.actions is 'Actions by type and risk, by day. Key: deployment_id, skill_id, skill_version, day, action_type, risk_level.';
comment on column aximo_metrics.actions.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.actions.deployment_id is 'The deployment.';
comment on column aximo_metrics.actions.skill_id is 'The skill.';
comment on column aximo_metrics.actions.skill_version is 'Its version.';
comment on column aximo_metrics.actions.day is 'The day, UTC.';
comment on column aximo_metrics.actions.action_type is 'payload.action_type, a number or true as the text it is written with; null if the events say none. A hash, if it is longer than 255 bytes, an object, an array or a number beyond 1e100.';
comment on column aximo_metrics.actions.risk_level is 'The risk the events state; null if they state none.';
comment on column aximo_metrics.actions.prepared is 'How many were prepared on this day.';
comment on column aximo_metrics.actions.dispatched is 'How many were dispatched on this day.';
comment on column aximo_metrics.actions.failed is 'How many failed on this day.';
comment on column aximo_metrics.actions.counts_up_to is 'The log number up to which it counts.';
