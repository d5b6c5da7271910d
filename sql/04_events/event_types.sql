create table aximo.event_types (
    event_type aximo_private.event_type,
    category text collate "C" not null
        constraint category_known check (category in ('execution', 'action', 'approval', 'governance', 'lifecycle')),
    meaning text not null,
    constraint event_types_pkey primary key (event_type)
);

insert into aximo.event_types (event_type, category, meaning) values
('execution_triggered', 'execution', 'An input reached a deployment and an execution began.'),
('execution_processing', 'execution', 'The skill is working on it.'),
('execution_completed', 'execution', 'The execution ended well. Exactly one end an execution.'),
('execution_failed', 'execution', 'The execution ended with an error. Exactly one end an execution.'),
('action_prepared', 'action', 'The skill wants to do something in the world outside.'),
('action_dispatched', 'action', 'It was done.'),
('action_failed', 'action', 'It was tried, or given up, and not done.'),
('approval_requested', 'approval', 'Somebody is asked to allow an action.'),
('approval_granted', 'approval', 'It was allowed.'),
('approval_rejected', 'approval', 'It was forbidden.'),
('approval_timeout', 'approval', 'Nobody answered in time.'),
('sla_breached', 'governance', 'A service level was missed.'),
('escalation_triggered', 'governance', 'A matter was handed upwards.'),
('pressure_invoked', 'governance', 'The control plane pressed for an answer.'),
('deployment_suspended', 'governance', 'The deployment was stopped for the time being.'),
('deployment_created', 'lifecycle', 'A skill was installed for the customer.'),
('deployment_configured', 'lifecycle', 'Its configuration was validated.'),
('deployment_activated', 'lifecycle', 'It accepts inputs, for the first time or again.'),
('deployment_updated', 'lifecycle', 'Its configuration changed.'),
('deployment_terminated', 'lifecycle', 'It was removed for good.'),
('version_upgraded', 'lifecycle', 'It runs a newer skill version from here on: the event''s skill_version.'),
('version_rolled_back', 'lifecycle', 'It runs an older skill version from here on: the event''s skill_version.');

select aximo_private.make_append_only('aximo.event_types');
comment on table aximo.event_types is 'The 22 event types (event model v1.0, section 3) and their categories. The same for every customer.';
comment on column aximo.event_types.event_type is 'The type''s name, as events carry it.';
comment on column aximo.event_types.category is 'execution, action, approval, governance or lifecycle.';
comment on column aximo.event_types.meaning is 'What has happened when such an event is written.';
