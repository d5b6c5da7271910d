-- The state of a run changes; what the run is does not, and a run that has events is not deleted. The published gateway writes started_at,
-- finished_at, error and log_artifact_id of a finished run again: when a failed run is tried again, and when two gateways ran the same at
-- once.
create function aximo_private.keep_run() returns trigger
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set row_security = on
as $$
declare
    rule text;
begin
    if
        exists (
            select
            from only aximo_private.observations as o
            where o.customer_id = old.customer_id and o.target_run_id = old.run_id
                and o.observed_in = pg_current_xact_id_if_assigned() and o.observed_at = now()
        )
    then
        perform aximo_private.refuse_observed(old.run_id);
    end if;
    if tg_op = 'DELETE' then
        -- A run that is deleted when its customer is leaving would still arrive on the other node.
        if exists (
                select from only aximo_private.placements as p
                where p.customer_id = old.customer_id and p.state = 'leaving'
            ) then
            perform aximo_private.refuse_moved(old.customer_id);
        end if;
        perform from only helix.run_events as e
        where e.customer_id = old.customer_id and e.run_id = old.run_id
        limit 1;
        if not found then
            return old;
        end if;
        rule := 'run_has_events';
    elsif
        (
            new.run_id, new.customer_id, new.project_id, new.tool_name, new.contract_version, new.tool_version, new.params_hash,
            new.policy_hash, new.requested_by, new.created_at, new.policy_snapshot, new.environment, new.recorded_at, new.recorded_by,
            new.made_for_events
        ) is distinct from (
            old.run_id, old.customer_id, old.project_id, old.tool_name, old.contract_version, old.tool_version, old.params_hash,
            old.policy_hash, old.requested_by, old.created_at, old.policy_snapshot, old.environment, old.recorded_at, old.recorded_by,
            old.made_for_events
        )
    then
        rule := 'run_stays_itself';
    elsif new.execution_id is distinct from old.execution_id and old.execution_id is not null then
        rule := 'run_serves_one_execution';
    elsif
        old.status in ('succeeded', 'failed', 'blocked') and new.status = old.status
        and (
            new.exit_code is distinct from old.exit_code and (old.exit_code is not null or old.status = 'succeeded')
            or new.finished_at is null and old.finished_at is not null
            or new.started_at is null and old.started_at is not null
            or new.error is distinct from old.error and (old.status = 'succeeded' or new.error is null)
            -- The result of a success is written once, or twice the same by two gateways at once. A failure may take back the result of its
            -- submission.
            or new.result_json is distinct from old.result_json and (new.result_json is null) = (old.status = 'succeeded')
        )
    then
        rule := 'finished_run_stays';
    end if;
    if rule is not null then
        raise exception using
            errcode = 'ZXIMM',
            message = 'this change of a run is refused',
            detail = format('%s of run_id %L, which is %s', lower(tg_op), left(old.run_id, 60), old.status),
            hint = case rule
                when 'run_has_events' then 'A run that has events stays. Leave it; a run without events can be deleted.'
                when 'run_serves_one_execution' then 'A run names the execution it served once. Leave execution_id as it is.'
                when 'finished_run_stays' then 'The run has ended: its status, exit_code, moments, error and result_json stay. Start a new run.'
                else 'Of a run only status, started_at, finished_at, exit_code, error, result_json and log_artifact_id may change. Leave the other columns out.'
            end,
            schema = tg_table_schema,
            table = tg_table_name,
            constraint = rule;
    end if;
    -- The gateway reads the status before it writes, but of two gateways at once only the database can tell which came first.
    if new.status <> old.status and (old.status in ('succeeded', 'failed', 'blocked') or new.status = 'queued') then
        raise exception using
            errcode = 'ZXRUN',
            message = 'a run can''t go back in its life',
            detail = format('run_id %L is %s and can''t become %s', left(old.run_id, 60), old.status, left(new.status, 60)),
            hint = 'A run goes from queued to running to succeeded, failed or blocked, and then stays. Nothing is to be done if another worker ended it.',
            schema = tg_table_schema,
            table = tg_table_name,
            constraint = 'run_goes_forward';
    end if;
    return new;
end;
$$;
alter function aximo_private.keep_run() owner to aximo_recorder;
comment on function aximo_private.keep_run() is 'Refuses to change what a run is, to change how it ended, or to delete one that has events (ZXIMM), to go back in its life, or to write to it while observing it (ZXRUN); to delete one of a customer that is leaving (ZXMOV).';

create trigger keep_run before update or delete on helix.runs
for each row execute function aximo_private.keep_run();
alter table helix.runs enable always trigger keep_run;
comment on trigger keep_run on helix.runs is 'Only the state of a run changes, and forward; one that has events stays.';
create trigger no_truncate before truncate on helix.runs
for each statement execute function aximo_private.refuse_change();
alter table helix.runs enable always trigger no_truncate;
comment on trigger no_truncate on helix.runs is 'Refuses TRUNCATE (ZXIMM).';
