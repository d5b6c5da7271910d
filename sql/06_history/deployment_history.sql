-- What tells of a deployment: an execution's start and failures, not its other steps. The index by deployment holds these events and no
-- others, so that most events need not be entered there.
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
    'execution_processing', 'execution_completed', 'action_prepared', 'action_dispatched',
    'approval_requested', 'approval_granted', 'approval_rejected', 'approval_timeout'
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
