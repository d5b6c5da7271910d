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
    r.changed_in
from aximo_private.action_sums as r;
alter view aximo_private.actions_to_publish owner to aximo_meter;

comment on view aximo_private.actions_to_publish is 'Every row of action_sums as it is published.';
comment on column aximo_private.actions_to_publish.customer_id is 'Whose events.';
comment on column aximo_private.actions_to_publish.grain is 'hour, day or month.';
comment on column aximo_private.actions_to_publish.bucket is 'When the hour, day or month of UTC begins.';
comment on column aximo_private.actions_to_publish.series is 'As in action_sums.';
comment on column aximo_private.actions_to_publish.deployment_id is 'The deployment.';
comment on column aximo_private.actions_to_publish.skill_id is 'The skill.';
comment on column aximo_private.actions_to_publish.skill_version is 'Its version.';
comment on column aximo_private.actions_to_publish.action_type is 'As in action_sums.';
comment on column aximo_private.actions_to_publish.risk_level is 'The risk the event states; null if it states none.';
comment on column aximo_private.actions_to_publish.prepared is 'How many were prepared.';
comment on column aximo_private.actions_to_publish.dispatched is 'How many were dispatched.';
comment on column aximo_private.actions_to_publish.failed is 'How many failed.';
comment on column aximo_private.actions_to_publish.changed_in is 'The step that changed its sums last.';
