-- Writes the rows as they are given. Nobody checks here whether another transaction changed a row meanwhile: the unique index of steps
-- finds out when the events are written.
create function aximo_private.store_lives(lives aximo_private.executions[], approvals aximo_private.approvals[]) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
begin
    insert into aximo_private.executions as x
    select u.*
    from unnest(lives) as u
    on conflict (customer_id, execution_id) do update set
        started_at = excluded.started_at, ended_at = excluded.ended_at, last_event_at = excluded.last_event_at, steps = excluded.steps,
        start_step = excluded.start_step, end_step = excluded.end_step, open_approvals = excluded.open_approvals,
        actions_prepared = excluded.actions_prepared, actions_dispatched = excluded.actions_dispatched,
        actions_failed = excluded.actions_failed, approvals_requested = excluded.approvals_requested,
        approvals_granted = excluded.approvals_granted, approvals_rejected = excluded.approvals_rejected,
        approvals_timed_out = excluded.approvals_timed_out, processing = excluded.processing, denied = excluded.denied,
        deployment_id = excluded.deployment_id, skill_id = excluded.skill_id, skill_version = excluded.skill_version,
        outcome = excluded.outcome, error_code = excluded.error_code, error_message = excluded.error_message;
    if cardinality(approvals) > 0 then
        insert into aximo_private.approvals
        select u.*
        from unnest(approvals) as u
        on conflict (customer_id, execution_id, step) do update set
            decided_at = excluded.decided_at, decision_event_id = excluded.decision_event_id, decision = excluded.decision,
            decided_by = excluded.decided_by, decision_recorded_by = excluded.decision_recorded_by, reason = excluded.reason;
    end if;
end;
$$;
alter function aximo_private.store_lives(aximo_private.executions[], aximo_private.approvals[]) owner to aximo_recorder;
comment on function aximo_private.store_lives(aximo_private.executions[], aximo_private.approvals[]) is 'Writes the rows of executions and approvals, whether they are there or not.';
