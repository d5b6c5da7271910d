-- Refuses a run with the ledger's own code, before a constraint or policy of the table refuses it with PostgreSQL's.
create function aximo_private.check_run() returns trigger
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set row_security = on
as $$
declare
    rule text;
begin
    if new.customer_id is null or exists (select from only aximo_private.placements as p where p.customer_id = new.customer_id) then
        perform aximo_private.refuse_moved(coalesce(new.customer_id, nullif(current_setting('aximo.customer_id', true), '')));
    end if;
    if new.customer_id is null then
        raise exception using
            errcode = 'ZXCUS',
            message = 'this session may not write for that customer',
            detail = format('login %L names no customer', session_user),
            hint = 'Name the customer with SET LOCAL aximo.customer_id, or bind the login to one with aximo.grant_customer.',
            schema = tg_table_schema,
            table = tg_table_name,
            constraint = 'customer_granted';
    end if;
    rule := case
        when new.customer_id = '*' then 'customer_id_not_all'
        when char_length(new.customer_id) > 255 or btrim(new.customer_id) = '' then 'customer_id_well_formed'
        when (char_length(new.run_id) between 1 and 255) is not true then 'run_id_length'
        when char_length(new.project_id) > 255 then 'project_id_length'
        when (char_length(new.tool_name) between 1 and 255) is not true then 'tool_name_length'
        when (new.status in ('queued', 'running', 'succeeded', 'failed', 'blocked')) is not true then 'runs_status_check'
        when (char_length(new.execution_id) between 1 and 255) is false then 'execution_id_length'
        when (
            greatest(new.created_at, new.started_at, new.finished_at) < '9999-01-01 00:00:00+00'
            and least(new.created_at, new.started_at, new.finished_at) >= '1970-01-01 00:00:00+00'
        ) is false then 'run_moment'
        -- Checked before the text is made.
        when aximo_private.has_extreme_number(new.policy_snapshot) or aximo_private.has_extreme_number(new.environment)
            or aximo_private.has_extreme_number(new.result_json) then 'run_numbers'
        when octet_length(
            to_json(
                concat(
                    new.contract_version, new.tool_version, new.params_hash, new.policy_hash, new.requested_by, new.error,
                    new.log_artifact_id
                )
            )::text
        )
        + coalesce(octet_length(new.policy_snapshot::text), 0) + coalesce(octet_length(new.environment::text), 0)
        + coalesce(octet_length(new.result_json::text), 0) > 8388608 then 'run_size'
    end;
    if rule is not null then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed run',
            detail = format('run_id %L, status %L', left(new.run_id, 60), left(new.status, 60)),
            hint = case rule
                when 'customer_id_not_all' then '* stands for all customers in a grant. Name one customer.'
                when 'customer_id_well_formed' then 'A customer_id has 1 to 255 characters and is not blank.'
                when 'runs_status_check' then 'A status is queued, running, succeeded, failed or blocked.'
                when 'run_moment' then 'created_at, started_at and finished_at are from 1970 on and before the year 9999.'
                when 'run_numbers' then 'policy_snapshot, environment and result_json have no number beyond 1e400 or closer to zero than 1e-400. Send such a number as text.'
                when 'run_size' then 'A run has at most 8 MiB as JSON. Keep the rest as an artifact.'
                when 'project_id_length' then 'A project_id has at most 255 characters.'
                else format('Give %s 1 to 255 characters.', replace(rule, '_length', ''))
            end,
            schema = tg_table_schema,
            table = tg_table_name,
            constraint = rule;
    end if;
    if tg_op = 'INSERT' then
        insert into aximo_private.run_ids (run_id, customer_id)
        values (new.run_id, new.customer_id)
        on conflict do nothing;
        if not found and not exists (
            select from only aximo_private.run_ids as i
            where i.run_id = new.run_id and i.customer_id = new.customer_id
        ) then
            raise exception using
                errcode = 'ZXDUP',
                message = 'this run_id was used for another run',
                detail = format('run_id %L', left(new.run_id, 60)),
                hint = 'A run_id names one run, among all customers. Give each gateway a runtime.instance_id of its own.',
                schema = tg_table_schema,
                table = tg_table_name,
                constraint = 'run_id_names_one_run';
        end if;
    end if;
    -- The gateway observes a run by a run of its own: the tool's name ends in _job_get, and its result names the run.
    if right(new.tool_name, 8) = '_job_get' and jsonb_typeof(new.result_json -> 'target_run_id') = 'string' then
        insert into aximo_private.observations (customer_id, run_id, target_run_id)
        select r.customer_id, new.run_id, r.run_id
        from only helix.runs as r
        where r.customer_id = new.customer_id and r.run_id = new.result_json ->> 'target_run_id'
            -- Nothing is inserted for a run that exists already.
            and (
                tg_op = 'UPDATE'
                or not exists (
                    select from only helix.runs as s
                    where s.customer_id = new.customer_id and s.run_id = new.run_id
                )
            )
        on conflict do nothing;
    end if;
    return new;
end;
$$;
alter function aximo_private.check_run() owner to aximo_recorder;
comment on function aximo_private.check_run() is 'Refuses a run without a customer (ZXCUS), of one that is not on this node (ZXMOV), with a field that it can''t have (ZXARG), or with the run_id of another customer''s (ZXDUP). Notes which run a gateway''s own observation looked at.';

create trigger check_run before insert or update on helix.runs
for each row execute function aximo_private.check_run();
comment on trigger check_run on helix.runs is 'Refuses a malformed run, by code and rule.';
