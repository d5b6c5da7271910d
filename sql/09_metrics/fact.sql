create type aximo_private.fact as (
    customer_id text,
    deployment_id text,
    skill_id text,
    skill_version text,
    hour timestamptz,
    number bigint,
    happened_at timestamptz,
    event_type text,
    action_type text,
    risk_level text,
    is_lead boolean,
    is_emergency boolean,
    is_opened boolean,
    is_closed boolean,
    is_answered boolean,
    execution_us bigint,
    latency_ms bigint,
    delay_us bigint
);
comment on type aximo_private.fact is 'One thing to count, with the hour, deployment, skill and version in which it counts.';
comment on column aximo_private.fact.customer_id is 'Whose.';
comment on column aximo_private.fact.deployment_id is 'The deployment it counts in.';
comment on column aximo_private.fact.skill_id is 'The skill.';
comment on column aximo_private.fact.skill_version is 'Its version.';
comment on column aximo_private.fact.hour is 'When the hour of UTC begins.';
comment on column aximo_private.fact.number is 'The log number of the event it became known by.';
comment on column aximo_private.fact.happened_at is 'Of an event: its timestamp.';
comment on column aximo_private.fact.event_type is 'Of an event: its type. Null for what became known by it.';
comment on column aximo_private.fact.action_type is 'Of an action: payload.action_type; its hash, if it is longer than 255 bytes, or has no short text.';
comment on column aximo_private.fact.risk_level is 'Of an event: the risk it states.';
comment on column aximo_private.fact.is_lead is 'Of an action dispatched: whether it is a lead.';
comment on column aximo_private.fact.is_emergency is 'Of an action dispatched: whether payload.priority is high, or payload.emergency true.';
comment on column aximo_private.fact.is_opened is 'Whether an execution began here.';
comment on column aximo_private.fact.is_closed is 'Whether an execution that began here has ended.';
comment on column aximo_private.fact.is_answered is 'Whether an approval requested here was answered.';
comment on column aximo_private.fact.execution_us is 'How long an execution took that ended here, in microseconds.';
comment on column aximo_private.fact.latency_ms is 'The latency an event states.';
comment on column aximo_private.fact.delay_us is 'How long an approval took that was answered here, in microseconds.';
