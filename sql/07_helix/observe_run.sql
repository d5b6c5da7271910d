-- An observation is a run of its own that names the run it observes (HelixMCP Events v1, mutation rules: *_job_get).
create function helix.observe_run(run_id text, tool_name text default 'run_get', requested_by text default null) returns text
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo_private.writing_customer(null);
    observer constant text := 'run_' || upper(replace(gen_random_uuid()::text, '-', ''));
    params constant jsonb := jsonb_build_object('target_run_id', observe_run.run_id);
    params_hash constant text := 'sha256:' || encode(sha256(convert_to(params::text, 'UTF8')), 'hex');
    target record;
begin
    select r.project_id, r.policy_hash into target
    from only helix.runs as r
    where r.customer_id = customer and r.run_id = observe_run.run_id;
    if not found then
        raise exception using
            errcode = 'ZXRUN',
            message = 'this customer has no such run',
            detail = format('run_id %L', left(observe_run.run_id, 60)),
            hint = 'Look at the run_id and at the session''s customer. A run of another customer counts as none.',
            constraint = 'run_known';
    end if;
    insert into aximo_private.observations (customer_id, run_id, target_run_id)
    values (customer, observer, observe_run.run_id);
    insert into helix.runs (
        run_id, project_id, tool_name, contract_version, params_hash, policy_hash, status, requested_by, started_at, finished_at,
        result_json, customer_id
    )
    values (
        observer, target.project_id, observe_run.tool_name, 'v1', params_hash, target.policy_hash, 'succeeded', observe_run.requested_by,
        now(), now(), params, customer
    );
    insert into helix.run_events (run_id, kind, message, data, customer_id)
    values
    (
        observer, 'run.started', 'tool=' || observe_run.tool_name,
        params || jsonb_build_object(
            'now', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
            'params_hash', params_hash,
            'policy_hash', target.policy_hash
        ),
        customer
    ),
    (observer, 'run.succeeded', 'observed', params, customer);
    return observer;
end;
$$;
alter function helix.observe_run(text, text, text) owner to aximo_recorder;
comment on function helix.observe_run(text, text, text) is 'Makes a run, of that tool, that observes another run of the session''s customer, and returns its run_id. What is left of the transaction can read the target and not write to it. ZXRUN: no such run; ZXARG: no name of a tool; ZXCUS: no customer.';
