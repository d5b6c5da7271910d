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
            'rule %s; event %s, %s, execution %L%s%s',
            breach.rule, breach.event_id, breach.event_type, breach.execution_id,
            coalesce(', approval ' || quote_literal(breach.approval_id), ''),
            case when is_batch then format(' (event %s of the batch)', breach.place) end
        ),
        hint = case breach.rule
            when 'triggered_first' then 'Emit execution_triggered first, once an execution.'
            when 'same_attribution' then 'Start a new execution for another deployment, skill or version.'
            when 'ends_once' then 'The execution has ended; another worker may have ended it.'
            when 'nothing_after_end' then 'The execution has ended. Governance events are still accepted.'
            when 'processing_first' then 'Emit execution_processing before actions, approvals and completion.'
            when 'approval_already_open' then 'Wait for the answer, or ask for another approval under an approval_id of its own.'
            when 'open_approvals_are_named' then 'Give every approval an approval_id if several are open at a time.'
            when 'answers_open_approval' then 'Answer with the approval_id of the request, once.'
            when 'dispatch_waits_for_approval' then 'Wait for the approval''s answer.'
            when 'no_dispatch_after_denial' then 'Emit action_failed instead, or ask again under another approval_id.'
            when 'completes_without_open_approval' then 'Emit the approval''s answer, or approval_timeout, before completing.'
            when 'completes_with_actions_resolved' then 'Emit action_dispatched or action_failed for every prepared action.'
        end,
        constraint = breach.rule;
end;
$$;
alter function aximo_private.refuse_step(aximo_private.breach, boolean) owner to aximo_recorder;
comment on function aximo_private.refuse_step(aximo_private.breach, boolean) is 'Raises ZXSEQ or ZXATT for an event that breaks a rule of its execution''s life, with the rule in the constraint field.';
