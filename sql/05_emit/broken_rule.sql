-- The rules of an execution's life (spec, section 3), in the order in which they are asked: returns the one that the next event breaks,
-- null if it breaks none. No other function names the rules. Faster checks elsewhere may only say that an event fits, and ask this function
-- about all others.
create function aximo_private.broken_rule(
    -- The execution as it stands; its steps are 0 if it does not exist yet.
    life aximo_private.executions,
    event aximo_private.events,
    -- The approval that the event is about, null for the one without an id; whether it was ever requested, is open, was ever denied.
    approval_id text,
    was_asked boolean,
    is_open boolean,
    was_denied boolean,
    -- Whether an approval without an id is open.
    unnamed_is_open boolean,
    -- Whether a prepared action was neither dispatched nor failed, and was not denied.
    has_unresolved boolean
) returns text
language plpgsql immutable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    is_answer constant boolean := event.event_type in ('approval_granted', 'approval_rejected', 'approval_timeout');
    is_end constant boolean := event.event_type in ('execution_completed', 'execution_failed');
begin
    if event.event_type = 'execution_triggered' then
        return case when life.steps > 0 then 'triggered_first' end;
    elsif life.started_at is null then
        return 'triggered_first';
    elsif is_end and life.outcome is not null then
        return 'ends_once';
    elsif is_answer and was_asked and not is_open then
        return 'answers_open_approval';
    elsif (event.deployment_id, event.skill_id, event.skill_version) <> (life.deployment_id, life.skill_id, life.skill_version) then
        return 'same_attribution';
    elsif event.event_type !~ '^(execution|action|approval)_' then
        return null;
    elsif life.outcome is not null then
        return 'nothing_after_end';
    elsif not life.processing and event.event_type not in ('execution_processing', 'execution_failed') then
        return 'processing_first';
    elsif is_answer then
        return case when not is_open then 'answers_open_approval' end;
    end if;
    return case event.event_type
        when 'approval_requested' then
            case
                when is_open then 'approval_already_open'
                when life.open_approvals > 0 and (approval_id is null or unnamed_is_open) then 'open_approvals_are_named'
            end
        when 'action_dispatched' then
            case
                when case when approval_id is null then life.open_approvals > 0 else is_open end then 'dispatch_waits_for_approval'
                when case when approval_id is null then life.denied else was_denied end then 'no_dispatch_after_denial'
            end
        when 'execution_completed' then
            case
                when life.open_approvals > 0 then 'completes_without_open_approval'
                when has_unresolved then 'completes_with_actions_resolved'
            end
    end;
end;
$$;
alter function aximo_private.broken_rule(aximo_private.executions, aximo_private.events, text, boolean, boolean, boolean, boolean, boolean)
owner to aximo_recorder;
comment on function aximo_private.broken_rule(aximo_private.executions, aximo_private.events, text, boolean, boolean, boolean, boolean, boolean) is 'Which rule of an execution''s life the next event breaks; null if it fits.';
