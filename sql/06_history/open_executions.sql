create view aximo.open_executions as
select
    customer_id, execution_id, deployment_id, skill_id, skill_version,
    case when open_approvals > 0 then 'awaiting_approval' when processing then 'processing' else 'triggered' end as status,
    started_at, last_event_at, now() - started_at as age, now() - last_event_at as idle
from only aximo_private.executions -- noqa: PRS
where outcome is null and started_at is not null;
comment on view aximo.open_executions is 'Executions that have begun and not ended. Key: execution_id.';
comment on column aximo.open_executions.deployment_id is 'The deployment that runs it.';
comment on column aximo.open_executions.status is 'triggered, processing or awaiting_approval.';
comment on column aximo.open_executions.age is 'Time since it was triggered.';
comment on column aximo.open_executions.idle is 'Time since its latest event.';
select aximo_private.take_comments('aximo.executions', 'aximo.open_executions');
