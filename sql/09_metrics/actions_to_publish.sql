-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_private.actions_to_publish with (security_barrier = true) as
select
    r.customer_id,
    r.grain,
    r.bucket,
    r.series,
    r.deployment_id,
    r.skill_id,
    r.skill_version,
    r.action_type,
    r.risk_level,
    r.prepared,
    r.dispatched,
    r.failed,
    r.emergencies,
    r.changed_in
from aximo_private.action_sums as r;
alter view aximo_private.actions_to_publish owner to aximo_meter;

comment on view aximo_private.actions_to_publish is 'Every row of action_sums as it is published.';
