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
as $$
#variable_conflict use_column
declare
    customer constant text := aximo_private.writing_customer(import_run_events.customer_id);
    abi constant text[] := array['run_id', 'event_id', 'kind', 'message', 'data', 'customer_id', 'recorded_at', 'recorded_by'];
    entry record;
    problem text;
    rule text;
    moment timestamptz;
    moments timestamptz[] := '{}';
    further jsonb;
    known bigint;
    names text[];
begin
    if jsonb_typeof(lines) is distinct from 'array' then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed run event',
            detail = format('lines is a JSON %s', coalesce(jsonb_typeof(lines), 'null')),
            hint = 'Give an array of objects, one a line.',
            constraint = 'batch_is_array';
    end if;
    if cardinality(repetitions) <> jsonb_array_length(lines) or 1 > any(repetitions) or array_position(repetitions, null) is not null then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed run event',
            detail = format('%s repetitions of %s lines', cardinality(repetitions), jsonb_array_length(lines)),
            hint = 'Say of each line how often it came so far, this time included: from 1 on.',
            constraint = 'repetitions_positive';
    end if;
    begin
        for entry in
            select
                l.value, l.place::integer as place,
                case when jsonb_typeof(l.value -> 'created_at') is not null then 'created_at' else 'ts' end as clock
            from jsonb_array_elements(lines) with ordinality as l (value, place)
            order by l.place
        loop
            rule := case
                when jsonb_typeof(entry.value) <> 'object' then 'event_is_object'
                when coalesce(entry.value ->> 'run_id', import_run_events.run_id) is null then 'run_id_present'
                when jsonb_typeof(entry.value -> 'run_id') not in ('string', 'null') then 'run_id_is_string'
                when jsonb_typeof(entry.value -> 'kind') is distinct from 'string' then 'kind_present'
                when jsonb_typeof(entry.value -> 'message') not in ('string', 'null') then 'message_is_string'
                when jsonb_typeof(entry.value -> 'data') not in ('object', 'null') then 'data_is_object'
                when jsonb_typeof(entry.value -> entry.clock) is distinct from 'string' then 'run_event_moment'
            end;
            exit when rule is not null;
            moment := aximo_private.moment_of(entry.value ->> entry.clock);
            if moment < '1970-01-01 00:00:00+00' or moment >= '9999-01-01 00:00:00+00' then
                rule := 'run_event_moment';
                exit;
            end if;
            moments[entry.place] := moment;
        end loop;
    exception
        when data_exception then
            rule := 'run_event_moment';
    end;
    if rule is not null then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed run event',
            -- What a line says is not said again: a message or data may be a customer's.
            detail = format(
                'line %s of the import: %s',
                entry.place,
                case rule
                    when 'event_is_object' then 'it is a JSON ' || jsonb_typeof(entry.value)
                    when 'run_id_present' then 'run_id is missing'
                    when 'run_id_is_string' then 'run_id is a JSON ' || jsonb_typeof(entry.value -> 'run_id')
                    when 'kind_present' then 'kind is ' || coalesce('a JSON ' || jsonb_typeof(entry.value -> 'kind'), 'missing')
                    when 'message_is_string' then 'message is a JSON ' || jsonb_typeof(entry.value -> 'message')
                    when 'data_is_object' then 'data is a JSON ' || jsonb_typeof(entry.value -> 'data')
                    else entry.clock || ' is ' || coalesce(
                        case
                            when jsonb_typeof(entry.value -> entry.clock) = 'string' then quote_literal(left(entry.value ->> entry.clock, 60))
                            else 'a JSON ' || jsonb_typeof(entry.value -> entry.clock)
                        end,
                        'missing'
                    )
                end
            ),
            hint = 'A line is an object: run_id and kind are strings, message a string or null, data an object or null; created_at or ts is a moment from 1970 on, as RFC 3339 has it.',
            constraint = rule;
    end if;

    names := array(
        select distinct coalesce(l.value ->> 'run_id', import_run_events.run_id)
        from jsonb_array_elements(lines) as l (value)
    );
    if import_run_events.create_runs then
        insert into helix.runs (
            run_id, project_id, tool_name, contract_version, params_hash, policy_hash, status, created_at, started_at, customer_id,
            made_for_events
        )
        select distinct on (l.run_id)
            l.run_id, 'imported', 'unknown', 'v1', coalesce(l.value #>> '{data,params_hash}', 'unknown'),
            coalesce(l.value #>> '{data,policy_hash}', 'unknown'), 'queued', l.moment, l.moment, customer, true
        from (
            select
                i.value, i.place,
                coalesce(i.value ->> 'run_id', import_run_events.run_id) as run_id,
                moments[i.place::integer] as moment
            from jsonb_array_elements(lines) with ordinality as i (value, place)
        ) as l
        where l.run_id <> all(
            array(select r.run_id from only helix.runs as r where r.customer_id = customer and r.run_id = any(names))
        )
        -- In one order, so that of two imports one waits for the other, and not each for the other.
        order by l.run_id, l.place
        on conflict do nothing;
    end if;
    -- All of them, before anything is counted: of two imports the second waits, and the gateway too. What one adds the other sees.
    perform
    from only helix.runs as r
    where r.customer_id = customer and r.run_id = any(names)
    order by r.run_id
    for update;

    for entry in
        select
            l.*,
            coalesce(
                repetitions[l.place],
                row_number() over (partition by l.run_id, l.moment, l.kind, l.message, l.data order by l.place)
            ) as repetition
        from (
            select
                i.value, i.place::integer as place,
                case when jsonb_typeof(i.value -> 'created_at') is not null then 'created_at' else 'ts' end as clock,
                coalesce(i.value ->> 'run_id', import_run_events.run_id) as run_id,
                moments[i.place::integer] as moment, i.value ->> 'kind' as kind, i.value ->> 'message' as message,
                nullif(i.value -> 'data', 'null') as data
            from jsonb_array_elements(lines) with ordinality as i (value, place)
        ) as l
        order by l.place
    loop
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

        select count(*), max(e.event_id) into known, event_id
        from only helix.run_events as e
        where e.customer_id = customer and e.run_id = entry.run_id and e.ts = entry.moment and e.kind = entry.kind
            and e.message is not distinct from entry.message and e.data is not distinct from entry.data;
        is_duplicate := known >= entry.repetition;
        if not is_duplicate then
            -- What an export of ours calls extra is that; anything else that the contract does not name is kept beside it.
            further := entry.value - (abi || entry.clock);
            if jsonb_typeof(further -> 'extra') = 'object' and not (further -> 'extra') ?| array(select jsonb_object_keys(further - 'extra')) then
                further := (further -> 'extra') || (further - 'extra');
            end if;
            -- The ids it had where it came from; and where that had it from, if it says.
            if entry.value ?| array['event_id', 'recorded_at', 'recorded_by'] then
                further := further || jsonb_build_object(
                    'imported_from',
                    jsonb_strip_nulls(
                        jsonb_build_object(
                            'event_id', entry.value -> 'event_id',
                            'recorded_at', entry.value -> 'recorded_at',
                            'recorded_by', entry.value -> 'recorded_by',
                            'imported_from', further -> 'imported_from'
                        )
                    )
                );
            end if;
            insert into helix.run_events (run_id, ts, kind, message, data, extra, customer_id)
            values (
                entry.run_id, entry.moment, entry.kind, entry.message, entry.data, nullif(further, '{}'), customer
            )
            returning event_id into event_id;
        end if;
        line := entry.place;
        return next;
    end loop;

    perform aximo_private.follow_run_events(customer, names);
end;
$$;
alter function helix.import_run_events(jsonb, text, boolean, integer[], text) owner to aximo_recorder;
comment on function helix.import_run_events(jsonb, text, boolean, integer[], text) is 'Takes run events from elsewhere, a JSON array of objects with run_id (or the one named here), created_at or ts, kind, message and data; other fields are kept in extra. An event that is there is not added again; repetitions says, for each line, how often it came in the file so far, this time included. Makes runs that do not exist, if not told otherwise. ZXARG: malformed; ZXRUN: no such run; ZXDUP: the run_id names another run; ZXCUS: no customer.';
