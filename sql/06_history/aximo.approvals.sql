create view aximo.approvals as
select
    a.customer_id, a.execution_id,
    case when t.request_event_id is null then a.approval_id else t.approval_id end as approval_id,
    a.deployment_id, a.skill_id, a.skill_version, a.risk_level, a.approval_mode, a.requested_at, a.requested_by, a.decision, a.decided_at,
    a.decided_by, a.decision_recorded_by, a.decided_at - a.requested_at as delay,
    a.reason, t.actions_withheld, a.request_event_id, a.decision_event_id,
    -- Read of the event by who asks for it: an emit keeps no copy.
    (
        select e.payload ->> 'person' -- noqa: RF01
        from only aximo_private.events as e -- noqa: PRS
        where e.customer_id = a.customer_id and e.event_id = a.decision_event_id
    ) as person
from (
    select *
    from only aximo_private.approvals -- noqa: PRS
) as a
-- Looked up for few approvals only: actions_withheld follows from the actions, and the row holds only a hash of an id that is long or no
-- text.
left join lateral (
    select s.approval_id, s.actions_withheld, s.request_event_id
    from aximo_private.approvals_from_events as s
    where s.customer_id = a.customer_id and s.execution_id = a.execution_id and s.request_event_id = a.request_event_id
        and (a.decided_at is not null and a.decision <> 'granted' or a.approval_id ~ '^(sha256|json) ')
    offset 0
) as t on true;
comment on view aximo.approvals is 'Every approval that was asked for, and what became of it. Key: request_event_id.';
comment on column aximo.approvals.customer_id is 'Whose it is.';
comment on column aximo.approvals.execution_id is 'The execution that asks.';
comment on column aximo.approvals.approval_id is 'payload.approval_id of the request, if it has one.';
comment on column aximo.approvals.deployment_id is 'The deployment.';
comment on column aximo.approvals.skill_id is 'The skill.';
comment on column aximo.approvals.skill_version is 'The version of the skill.';
comment on column aximo.approvals.risk_level is 'The risk the request states.';
comment on column aximo.approvals.approval_mode is 'The mode the request states.';
comment on column aximo.approvals.requested_at is 'When it was asked for.';
comment on column aximo.approvals.requested_by is 'The actor of the request.';
comment on column aximo.approvals.decision is 'open, granted, rejected or timeout.';
comment on column aximo.approvals.decided_at is 'When it was answered; null while it is open.';
comment on column aximo.approvals.decided_by is 'The actor of the answer, as claimed.';
comment on column aximo.approvals.decision_recorded_by is 'The login that wrote the answer.';
comment on column aximo.approvals.delay is 'From request to answer; null while it is open.';
comment on column aximo.approvals.reason is 'payload.reason of the answer, if it has one.';
comment on column aximo.approvals.actions_withheld is 'If it was rejected or timed out: the prepared actions that waited for it and were not dispatched, by action_id or action_type.';
comment on column aximo.approvals.request_event_id is 'The event that asked.';
comment on column aximo.approvals.decision_event_id is 'The event that answered.';
comment on column aximo.approvals.person is 'payload.person of the answer: who really decided. Where it is sealed, the text of the object that it is sealed as.';
select aximo_private.take_comments('aximo.approvals', 'aximo_private.approvals');
select aximo_private.take_comments('aximo.approvals', 'aximo_private.approvals_from_events');
