-- Worked out from the events: for a moment in the past, and for the actions that a denial withheld.
create view aximo_private.approvals_from_events as
select
    r.customer_id, r.execution_id, r.payload ->> 'approval_id' as approval_id,
    r.deployment_id, r.skill_id, r.skill_version, r.risk_level, r.approval_mode, r."timestamp" as requested_at, r.actor as requested_by,
    coalesce(replace(d.event_type, 'approval_', ''), 'open') as decision,
    d."timestamp" as decided_at, d.actor as decided_by, d.recorded_by as decision_recorded_by,
    d."timestamp" - r."timestamp" as delay, d.payload ->> 'reason' as reason,
    case when d.event_type in ('approval_rejected', 'approval_timeout') then w.actions end as actions_withheld,
    r.event_id as request_event_id, d.event_id as decision_event_id, d.payload ->> 'person' as person
from aximo_private.history as r
left join aximo_private.history as d
    on d.customer_id = r.customer_id and d.execution_id = r.execution_id and d.answers = r.event_id
left join lateral (
    -- The actions that waited for this approval and were never dispatched: by action_id, else as many of a type as were prepared more often
    -- than dispatched.
    select array_agg(coalesce(n.action_id, n.action_type) order by n.step) as actions
    from (
        select
            p.step, p.payload ->> 'action_id' as action_id, p.payload ->> 'action_type' as action_type,
            p.payload ->> 'approval_id' as approval_id,
            row_number() over (
                partition by p.payload ->> 'action_id', p.payload ->> 'action_type', p.payload ->> 'approval_id' order by p.step
            ) as nth
        from aximo_private.history as p
        where p.customer_id = r.customer_id and p.execution_id = r.execution_id and p.event_type = 'action_prepared'
    ) as n
    where (n.approval_id is null or n.approval_id = r.payload ->> 'approval_id')
        and n.nth > (
            select case when n.action_id is not null and count(*) > 0 then n.nth else count(*) end
            from aximo_private.history as q
            where q.customer_id = r.customer_id and q.execution_id = r.execution_id and q.event_type = 'action_dispatched'
                and q.payload ->> 'action_id' is not distinct from n.action_id
                and (
                    n.action_id is not null
                    or q.payload ->> 'action_type' is not distinct from n.action_type
                    and q.payload ->> 'approval_id' is not distinct from n.approval_id
                )
        )
) as w on d.event_type in ('approval_rejected', 'approval_timeout')
where r.event_type = 'approval_requested';
comment on view aximo_private.approvals_from_events is 'aximo.approvals up to the moment looked at, from events alone.';
