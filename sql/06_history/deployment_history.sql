-- What tells of a deployment: everything but what happens inside an execution, once it was triggered. The index by deployment holds
-- these events and no others, so that most events need not be entered there.
create view aximo_private.deployment_history as
select
    customer_id,
    deployment_id,
    event_type,
    "timestamp",
    position,
    event_id,
    skill_id,
    skill_version
from aximo_private.history
where event_type not in (
    'action_prepared', 'action_dispatched', 'action_failed', 'approval_requested', 'approval_granted', 'approval_rejected',
    'approval_timeout', 'execution_processing', 'execution_completed', 'execution_failed'
);
alter view aximo_private.deployment_history owner to aximo_owner;

comment on view aximo_private.deployment_history is 'The events of the session''s customer that tell of a deployment.';
comment on column aximo_private.deployment_history.customer_id is 'Whose deployment it is.';
comment on column aximo_private.deployment_history.deployment_id is 'The deployment.';
comment on column aximo_private.deployment_history.event_type is 'What happened.';
comment on column aximo_private.deployment_history."timestamp" is 'When it happened, by the client''s clock.';
comment on column aximo_private.deployment_history.position is 'Order of arrival.';
comment on column aximo_private.deployment_history.event_id is 'The event.';
comment on column aximo_private.deployment_history.skill_id is 'The skill.';
comment on column aximo_private.deployment_history.skill_version is 'Its version.';
