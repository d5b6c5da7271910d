create function helix.import_runs(lines jsonb, customer_id text default null)
returns table (line integer, run_id text, is_duplicate boolean)
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    customer constant text := aximo_private.writing_customer(import_runs.customer_id);
    fields constant text[] := array[
        'run_id', 'project_id', 'tool_name', 'contract_version', 'tool_version', 'params_hash', 'policy_hash', 'status', 'requested_by',
        'created_at', 'started_at', 'finished_at', 'policy_snapshot', 'environment', 'exit_code', 'error', 'result_json',
        'log_artifact_id', 'execution_id', 'made_for_events'
    ];
    entry record;
    stored record;
    wanted record;
    problem text;
begin
    if jsonb_typeof(lines) is distinct from 'array' then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed run',
            detail = format('lines is a JSON %s', coalesce(jsonb_typeof(lines), 'null')),
            hint = 'Give an array of objects, one a line.',
            constraint = 'batch_is_array';
    end if;
    for entry in
        select l.value, l.place::integer as place
        from jsonb_array_elements(lines) with ordinality as l (value, place)
        order by l.place
    loop
        begin
            if jsonb_typeof(entry.value) <> 'object' then
                raise data_exception using message = 'it is a JSON ' || jsonb_typeof(entry.value), constraint = 'event_is_object';
            end if;
            select string_agg(quote_literal(left(k.key, 60)), ', ' order by k.key) into problem
            from jsonb_object_keys(entry.value) as k (key)
            where k.key <> all(fields || array['customer_id', 'recorded_at', 'recorded_by']);
            if problem is not null then
                raise data_exception using message = 'a run has no field ' || left(problem, 500), constraint = 'field_known';
            end if;
            select string_agg(quote_literal(k.key), ', ' order by k.key) into problem
            from jsonb_each(entry.value) as k (key, value)
            where k.key = any(fields) and k.key not in ('policy_snapshot', 'environment', 'exit_code', 'result_json', 'made_for_events')
                and jsonb_typeof(k.value) not in ('string', 'null');
            if problem is not null then
                raise data_exception using message = 'not a string: ' || problem, constraint = 'field_is_string';
            end if;
            if entry.value ->> 'customer_id' <> customer then
                raise exception using
                    errcode = 'ZXCUS',
                    message = 'this session may not write for that customer',
                    detail = format(
                        'line %s of the import is of customer %L, the import of customer %L', entry.place, left(entry.value ->> 'customer_id', 60), customer
                    ),
                    hint = 'Import each customer''s lines by themselves.',
                    constraint = 'customer_granted';
            end if;
            select
                r.*, nullif(entry.value -> 'policy_snapshot', 'null') as snapshot,
                nullif(entry.value -> 'environment', 'null') as surroundings, nullif(entry.value -> 'result_json', 'null') as result
            into wanted
            from jsonb_to_record(entry.value) as r (
                run_id text, project_id text, tool_name text, contract_version text, tool_version text, params_hash text,
                policy_hash text, status text, requested_by text, created_at text, started_at text,
                finished_at text, exit_code integer, error text, log_artifact_id text, execution_id text, made_for_events boolean
            );
            insert into helix.runs (
                run_id, project_id, tool_name, contract_version, tool_version, params_hash, policy_hash, status, requested_by, created_at,
                started_at, finished_at, policy_snapshot, environment, exit_code, error, result_json, log_artifact_id, execution_id,
                customer_id, made_for_events
            )
            values (
                wanted.run_id, wanted.project_id, wanted.tool_name, wanted.contract_version, wanted.tool_version, wanted.params_hash,
                wanted.policy_hash, wanted.status, wanted.requested_by, coalesce(aximo_private.moment_of(wanted.created_at), now()),
                aximo_private.moment_of(wanted.started_at), aximo_private.moment_of(wanted.finished_at), wanted.snapshot, wanted.surroundings, wanted.exit_code, wanted.error, wanted.result,
                wanted.log_artifact_id, wanted.execution_id, customer, coalesce(wanted.made_for_events, false)
            )
            on conflict do nothing;
        exception
            when data_exception or integrity_constraint_violation then
                declare
                    rule text;
                begin
                    get stacked diagnostics rule = constraint_name, problem = message_text;
                    if rule = '' then
                        -- PostgreSQL quotes what it could not read, and that may be anything.
                        select concat('one of these can''t be read: ', string_agg(format('%s %L', m.name, left(entry.value ->> m.name, 60)), ', ')) into problem
                        from unnest(array['created_at', 'started_at', 'finished_at', 'exit_code', 'made_for_events']) as m (name)
                        where jsonb_typeof(entry.value -> m.name) in ('string', 'number', 'boolean');
                    end if;
                    raise exception using
                        errcode = 'ZXARG',
                        message = 'malformed run',
                        detail = format('line %s of the import: %s', entry.place, problem),
                        hint = 'A line has the columns of helix.runs: moments as RFC 3339 has them, exit_code an integer, made_for_events true or false, texts as strings.',
                        constraint = coalesce(nullif(rule, ''), 'run_well_formed');
                end;
        end;
        is_duplicate := not found;
        if is_duplicate then
            select r.tool_name, r.project_id, r.params_hash into stored
            from only helix.runs as r
            where r.customer_id = customer and r.run_id = wanted.run_id;
            -- Of another customer's it says the same.
            if not found or (stored.tool_name, stored.project_id, stored.params_hash)
                is distinct from (wanted.tool_name, wanted.project_id, wanted.params_hash) then
                raise exception using
                    errcode = 'ZXDUP',
                    message = 'this run_id was used for another run',
                    detail = format('line %s of the import: run_id %L', entry.place, left(wanted.run_id, 60)),
                    hint = 'A run_id names one run, among all customers. Give this run another, or leave its line out.',
                    constraint = 'run_id_names_one_run';
            end if;
        end if;
        line := entry.place;
        run_id := wanted.run_id;
        return next;
    end loop;
end;
$$;
alter function helix.import_runs(jsonb, text) owner to aximo_recorder;
comment on function helix.import_runs(jsonb, text) is 'Takes rows of helix.runs, a JSON array of objects, as they are; one that is there stays as it is, and is_duplicate is true. ZXARG: malformed; ZXDUP: the run_id names another run; ZXCUS: no customer.';
