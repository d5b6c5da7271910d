-- Takes lines of both shapes: rows of an export (run_id, created_at) and of a log artifact (ts). An event is known by what it says and
-- when; the same again in one file is told by its repetition. So an import can be repeated, and an export read back.
create function helix.import_run_events(
    lines jsonb,
    run_id text default null,
    create_runs boolean default true,
    repetitions integer[] default null,
    customer_id text default null
)
returns table (line integer, event_id bigint, is_duplicate boolean)
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
-- What a line says of a moment without an offset is UTC, whatever the session's settings are.
set timezone = 'UTC' set datestyle = 'ISO, YMD'
as $$
#variable_conflict use_column
declare
    customer constant text := aximo_private.writing_customer(import_run_events.customer_id);
    abi constant text[] := array['run_id', 'event_id', 'kind', 'message', 'data', 'customer_id', 'recorded_at', 'recorded_by'];
    entry record;
    problem text;
    rule text;
    moment timestamptz;
    further jsonb;
    known bigint;
    names text[];
begin
    if jsonb_typeof(lines) is distinct from 'array' then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed run event',
            detail = 'lines is no JSON array',
            hint = 'Give an array of objects, one a line.',
            constraint = 'batch_is_array';
    end if;
    -- Their names first: joined with the lines, every run of the customer may be compared with every line.
    names := array(
        select distinct coalesce(l.value ->> 'run_id', import_run_events.run_id)
        from jsonb_array_elements(lines) as l (value)
        where jsonb_typeof(l.value) = 'object'
    );
    -- Of two imports the second waits, and the gateway too: what one adds the other sees.
    perform
    from only helix.runs as r
    where r.customer_id = customer and r.run_id = any(names)
    order by r.run_id
    for update;

    for entry in
        select
            l.value,
            l.place::integer as place,
            case when jsonb_typeof(l.value -> 'created_at') is not null then 'created_at' else 'ts' end as clock,
            coalesce(l.value ->> 'run_id', import_run_events.run_id) as run_id,
            coalesce(
                repetitions[l.place],
                row_number() over (
                    partition by
                        l.value ->> 'run_id', l.value ->> 'created_at', l.value ->> 'ts', l.value ->> 'kind', l.value ->> 'message',
                        nullif(l.value -> 'data', 'null')
                    order by l.place
                )
            ) as repetition
        from jsonb_array_elements(lines) with ordinality as l (value, place)
        order by l.place
    loop
        rule := case
            when jsonb_typeof(entry.value) <> 'object' then 'event_is_object'
            when entry.run_id is null then 'run_id_present'
            when jsonb_typeof(entry.value -> 'run_id') not in ('string', 'null') then 'run_id_is_string'
            when jsonb_typeof(entry.value -> 'kind') is distinct from 'string' then 'kind_present'
            when jsonb_typeof(entry.value -> 'message') not in ('string', 'null') then 'message_is_string'
            when jsonb_typeof(entry.value -> 'data') not in ('object', 'null') then 'data_is_object'
            when jsonb_typeof(entry.value -> entry.clock) is distinct from 'string' then 'run_event_moment'
        end;
        if rule is null then
            begin
                moment := (entry.value ->> entry.clock)::timestamptz;
                if moment < '1970-01-01 00:00:00+00' or moment >= '9999-01-01 00:00:00+00' then
                    rule := 'run_event_moment';
                end if;
            exception
                when data_exception then
                    rule := 'run_event_moment';
            end;
        end if;
        if rule is not null then
            raise exception using
                errcode = 'ZXARG',
                message = 'malformed run event',
                detail = format('line %s of the import: %s', entry.place, left(entry.value::text, 500)),
                hint = 'A line is an object with run_id, created_at or ts, kind, message and data; see the rule.',
                constraint = rule;
        end if;
        if entry.value ->> 'customer_id' <> customer then
            raise exception using
                errcode = 'ZXCUS',
                message = 'this session may not write for that customer',
                detail = format('customer of the event %L, customer of the import %L', entry.value ->> 'customer_id', customer),
                hint = 'An import is of one customer.',
                constraint = 'customer_granted';
        end if;

        if import_run_events.create_runs and not exists (
            select from only helix.runs as r
            where r.customer_id = customer and r.run_id = entry.run_id
        ) then
            insert into helix.runs (
                run_id, project_id, tool_name, contract_version, params_hash, policy_hash, status, created_at, started_at, customer_id
            )
            values (
                entry.run_id, 'imported', 'unknown', 'v1', coalesce(entry.value #>> '{data,params_hash}', 'unknown'),
                coalesce(entry.value #>> '{data,policy_hash}', 'unknown'), 'queued', moment, moment, customer
            )
            on conflict do nothing;
            if not found then
                -- Another import of this customer's may have made it meanwhile: then that one's events are there to be seen.
                perform
                from only helix.runs as r
                where r.customer_id = customer and r.run_id = entry.run_id
                for update;
            end if;
            if not found then
                raise exception using
                    errcode = 'ZXDUP',
                    message = 'run_id was used before',
                    detail = format('line %s of the import: run_id %L', entry.place, left(entry.run_id, 255)),
                    hint = 'A run_id names one run, among all customers.',
                    constraint = 'run_id_names_one_run';
            end if;
        end if;

        select count(*), max(e.event_id) into known, event_id
        from only helix.run_events as e
        where e.customer_id = customer and e.run_id = entry.run_id and e.ts = moment and e.kind = entry.value ->> 'kind'
            and e.message is not distinct from entry.value ->> 'message'
            and e.data is not distinct from nullif(entry.value -> 'data', 'null');
        is_duplicate := known >= entry.repetition;
        if not is_duplicate then
            -- What an export of ours calls extra is that; anything else that the contract does not name is kept beside it.
            further := entry.value - (abi || entry.clock);
            if jsonb_typeof(further -> 'extra') = 'object' then
                further := (further -> 'extra') || (further - 'extra');
            end if;
            if entry.value ? 'event_id' then
                further := jsonb_build_object(
                    'imported_from',
                    jsonb_strip_nulls(
                        jsonb_build_object(
                            'event_id', entry.value -> 'event_id',
                            'recorded_at', entry.value -> 'recorded_at',
                            'recorded_by', entry.value -> 'recorded_by'
                        )
                    )
                ) || further;
            end if;
            insert into helix.run_events (run_id, ts, kind, message, data, extra, customer_id)
            values (
                entry.run_id, moment, entry.value ->> 'kind', entry.value ->> 'message', nullif(entry.value -> 'data', 'null'),
                nullif(further, '{}'), customer
            )
            returning event_id into event_id;
        end if;
        line := entry.place;
        return next;
    end loop;

    -- A run that was made here is in the state that its last word on it says.
    update helix.runs as r
    set status = s.status, finished_at = case when s.status in ('succeeded', 'failed', 'blocked') then s.ts end
    from (
        select distinct on (e.run_id)
            e.run_id,
            e.ts,
            case when k.state = 'started' then 'running' else k.state end as status
        from only helix.run_events as e
        cross join lateral (
            select v.state
            from helix.event_kinds as v
            where v.kind = e.kind
            order by v.version desc
            limit 1
        ) as k
        where k.state is not null and e.customer_id = customer
            and e.run_id in (
                select m.run_id
                from only helix.runs as m
                where m.customer_id = customer and m.project_id = 'imported' and m.tool_name = 'unknown'
                    and m.status in ('queued', 'running') and m.run_id = any(names)
            )
        order by e.run_id, k.state in ('succeeded', 'failed', 'blocked') desc, e.event_id desc
    ) as s
    where r.customer_id = customer and r.run_id = s.run_id and r.status <> s.status
        and not (r.status = 'running' and s.status = 'queued');
end;
$$;
alter function helix.import_run_events(jsonb, text, boolean, integer[], text) owner to aximo_recorder;
comment on function helix.import_run_events(jsonb, text, boolean, integer[], text) is
'Takes run events from elsewhere, a JSON array of objects with run_id (or the one named here), created_at or ts, kind, message and data; other fields are kept in extra. An event that is there is not added again; repetitions says, for each line, how often it came in the file so far, this time included. Makes runs that do not exist, if not told otherwise. ZXARG: malformed; ZXRUN: no such run; ZXDUP: the run_id names another run; ZXCUS: no customer.';
