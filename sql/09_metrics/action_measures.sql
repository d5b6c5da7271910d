-- The customer's rows: the hot ones, and the cold ones that are not among them.
create view aximo_private.action_measures with (security_barrier = true) as
select
    h.customer_id,
    h.series,
    h.grain,
    h.bucket,
    h.deployment_id,
    h.skill_id,
    h.skill_version,
    h.action_type,
    h.risk_level,
    h.prepared,
    h.dispatched,
    h.failed
from aximo_private.actions_hot as h
where h.customer_id = (select aximo.current_customer())
union all
select
    c.customer_id,
    c.series,
    c.grain,
    c.bucket,
    c.deployment_id,
    c.skill_id,
    c.skill_version,
    c.action_type,
    c.risk_level,
    c.prepared,
    c.dispatched,
    c.failed
from aximo_private.actions_cold as c
where c.customer_id = (select aximo.current_customer())
    and not exists (
        select
        from aximo_private.actions_hot as h
        where h.customer_id = c.customer_id and h.grain = c.grain and h.bucket = c.bucket and h.series = c.series
    );
alter view aximo_private.action_measures owner to aximo_owner;
comment on view aximo_private.action_measures is 'Actions of the session''s customer by type and risk, per deployment, skill, version and hour, day or month.';
comment on column aximo_private.action_measures.customer_id is 'Whose events.';
comment on column aximo_private.action_measures.series is 'As in rollups.';
comment on column aximo_private.action_measures.grain is 'hour, day or month.';
comment on column aximo_private.action_measures.bucket is 'When it begins.';
comment on column aximo_private.action_measures.deployment_id is 'The deployment.';
comment on column aximo_private.action_measures.skill_id is 'The skill.';
comment on column aximo_private.action_measures.skill_version is 'Its version.';
comment on column aximo_private.action_measures.action_type is 'payload.action_type; null if it says none.';
comment on column aximo_private.action_measures.risk_level is 'The risk stated; null if none is.';
comment on column aximo_private.action_measures.prepared is 'How many were prepared.';
comment on column aximo_private.action_measures.dispatched is 'How many were dispatched.';
comment on column aximo_private.action_measures.failed is 'How many failed.';
