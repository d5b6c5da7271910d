create function aximo_private.refuse_step(breach aximo_private.breach, is_batch boolean) returns void
language plpgsql volatile security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using
        errcode = case when breach.rule = 'same_attribution' then 'ZXATT' else 'ZXSEQ' end,
        message = case
            when breach.rule = 'same_attribution' then 'an execution keeps its deployment, skill and version'
            else 'this event does not fit the life of its execution'
        end,
        detail = format(
            'event %s, %s, of execution %L%s%s',
            breach.event_id, breach.event_type, breach.execution_id,
            coalesce(', approval_id ' || quote_literal(left(breach.approval_id, 60)), ''),
            case when is_batch then format(' (event %s of the batch)', breach.place) end
        ),
        hint = case breach.rule
            when 'triggered_first' then 'Emit execution_triggered first, and once an execution.'
            when 'same_attribution' then 'Send the deployment_id, skill_id and skill_version that the execution began with, or start a new execution.'
            when 'ends_once' then 'The execution has ended, perhaps by another worker. Nothing is to be done.'
            when 'nothing_after_end' then 'The execution has ended. Start a new one; only governance and lifecycle events still belong to this one.'
            when 'processing_first' then 'Emit execution_processing first: it comes before actions, approvals and completion.'
            when 'approval_already_open' then 'The approval is open already. Wait for its answer, or ask under another approval_id.'
            when 'open_approvals_are_named' then 'Another approval is open. Give every approval an approval_id if several are open at a time.'
            when 'answers_open_approval' then 'No request with this approval_id is open: it was never asked, or is answered. Answer each request once, by its approval_id.'
            when 'dispatch_waits_for_approval' then 'The approval is open. Dispatch the action when it is granted.'
            when 'no_dispatch_after_denial' then 'The approval was rejected or timed out. Emit action_failed, or ask again under another approval_id.'
            when 'completes_without_open_approval' then 'An approval is open. Emit its answer, or approval_timeout, and complete the execution then.'
            when 'completes_with_actions_resolved' then 'A prepared action is open. Emit action_dispatched or action_failed for it, and complete the execution then.'
        end,
        constraint = breach.rule;
end;
$$;
alter function aximo_private.refuse_step(aximo_private.breach, boolean) owner to aximo_recorder;
comment on function aximo_private.refuse_step(aximo_private.breach, boolean) is 'Raises ZXSEQ or ZXATT for an event that breaks a rule of its execution''s life, with the rule in the constraint field.';
