create type aximo_private.life_step as (
    life text,
    place bigint,
    is_new boolean,
    event_id uuid,
    event_type text,
    answers uuid,
    deployment_id text,
    skill_id text,
    skill_version text,
    approval_id text,
    action_id text,
    action_type text
);
alter type aximo_private.life_step owner to aximo_owner;
comment on type aximo_private.life_step is 'An event of an execution, as far as the rules of its life look at it.';
comment on column aximo_private.life_step.life is 'Which execution; of several customers, it names the customer too.';
comment on column aximo_private.life_step.place is 'Its place in the order that is judged: of arrival, or of the log.';
comment on column aximo_private.life_step.is_new is 'Whether it is to be judged; the others were there before.';
comment on column aximo_private.life_step.event_id is 'The event.';
comment on column aximo_private.life_step.event_type is 'What happened.';
comment on column aximo_private.life_step.answers is 'Of an answer to an approval: the request it is to; null if it is to none.';
comment on column aximo_private.life_step.deployment_id is 'The deployment.';
comment on column aximo_private.life_step.skill_id is 'The skill.';
comment on column aximo_private.life_step.skill_version is 'Its version.';
comment on column aximo_private.life_step.approval_id is 'Which approval, of several.';
comment on column aximo_private.life_step.action_id is 'Which action, of several.';
comment on column aximo_private.life_step.action_type is 'What kind of action.';
