-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- Says what is wrong with an event that the domains or the shape checks refused. Runs only then: the limits themselves are the domains'.
-- Of a payload it says no value, and of every other field at most 60 characters: what is said here is logged.
create function aximo_private.refuse_malformed(event jsonb, place bigint, customer text) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    where_it_is constant text := coalesce(' (event ' || place || ' of the batch)', '');
    field record;
    unknown_fields text[];
    given text;
    allowed text[];
    problem text;
    problem_rule text;
    advice text;
begin
    if event is null or jsonb_typeof(event) <> 'object' then
        problem := format('this is a JSON %s, and an event is a JSON object', coalesce(jsonb_typeof(event), 'null'));
        problem_rule := 'event_is_object';
        advice := 'Send an object with the fields of an event.';
    end if;

    if problem is null then
        select array_agg(k.key order by k.key) into unknown_fields
        from jsonb_object_keys(event - aximo_private.event_fields()) as k (key);
        if unknown_fields is not null then
            select string_agg(quote_literal(left(u.name, 60)), ', ') into given
            from unnest(unknown_fields[1:5]) as u (name);
            problem := format('an event has no field %s%s', given, case when cardinality(unknown_fields) > 5 then ' and others' end);
            problem_rule := 'fields_known';
            advice := format(
                '%sThe fields are %s; the rest goes into payload.',
                'Did you mean ' || aximo_private.nearest(unknown_fields[1], aximo_private.event_fields()) || '? ',
                array_to_string(aximo_private.event_fields(), ', ')
            );
        end if;
    end if;

    if problem is null then
        event := jsonb_build_object('customer_id', customer) || event;
        for field in
            select f.name, f.json_type, f.domain
            from (
                values
                ('event_type', 'string', 'aximo_private.event_type'),
                ('customer_id', 'string', 'aximo_private.identifier'),
                ('deployment_id', 'string', 'aximo_private.identifier'),
                ('skill_id', 'string', 'aximo_private.identifier'),
                ('skill_version', 'string', 'aximo_private.identifier'),
                ('execution_id', 'string', 'aximo_private.identifier'),
                ('actor', 'string', 'aximo_private.actor'),
                ('timestamp', 'string', 'aximo_private.moment'),
                ('event_id', 'string', 'uuid'),
                ('risk_level', 'string', 'aximo_private.short_text'),
                ('approval_mode', 'string', 'aximo_private.short_text'),
                ('correlation_id', 'string', 'aximo_private.short_text'),
                ('channel_type', 'string', 'aximo_private.short_text'),
                ('error_code', 'string', 'aximo_private.short_text'),
                ('latency_ms', 'number', 'aximo_private.milliseconds'),
                ('payload', 'object', 'aximo_private.payload')
            ) as f (name, json_type, domain)
        loop
            if coalesce(jsonb_typeof(event -> field.name), 'null') = 'null' then
                if field.name in ('event_type', 'deployment_id', 'skill_id', 'skill_version', 'actor')
                    or field.name = 'execution_id' and event ->> 'event_type' ~ '^(execution|action|approval)_' then
                    problem := format('%s is missing', field.name);
                    problem_rule := field.name || '_present';
                    advice := case
                        when field.name = 'execution_id' then 'Execution, action and approval events name their execution.'
                        else 'Every event has event_type, deployment_id, skill_id, skill_version and actor.'
                    end;
                end if;
            elsif jsonb_typeof(event -> field.name) <> field.json_type then
                problem := format('%s is a JSON %s', field.name, jsonb_typeof(event -> field.name));
                problem_rule := format('%s_is_%s', field.name, field.json_type);
                advice := format('Give %s as a JSON %s.', field.name, field.json_type);
            else
                begin
                    if field.json_type = 'object' then
                        -- The payload is cast as jsonb: its text may be longer than a text can be.
                        execute format('select ($1::jsonb)::%s', field.domain) using event -> field.name;
                    elsif field.name = 'timestamp' then
                        execute format('select ($1::timestamptz)::%s', field.domain) using aximo_private.moment_of(event ->> field.name);
                    else
                        execute format('select ($1::text)::%s', field.domain) using event ->> field.name;
                    end if;
                    if field.name = 'timestamp' and aximo_private.moment_of(event ->> field.name) > clock_timestamp() + interval '1 day' then
                        raise exception using errcode = 'check_violation', constraint = 'timestamp_not_ahead';
                    end if;
                exception
                    when integrity_constraint_violation or data_exception then
                        get stacked diagnostics problem_rule = constraint_name;
                        problem_rule := coalesce(nullif(problem_rule, ''), field.name || '_well_formed');
                        given := case when field.json_type <> 'object' then event ->> field.name end;
                        problem := case
                            when problem_rule = 'payload_size' then 'payload has more than 1,048,576 bytes as text'
                            when problem_rule = 'payload_numbers'
                                then 'payload has more than 2 kB, and a number beyond 1e400 or closer to zero than 1e-400'
                            when right(problem_rule, 7) = '_length'
                                then format('%s has %s characters, and begins with %L', field.name, char_length(given), left(given, 60))
                            else format('%s is %L', field.name, left(given, 60) || case when char_length(given) > 60 then '...' else '' end)
                        end;
                        -- Of a closed set, what is in it is what its check says.
                        if problem_rule in ('event_type_known', 'actor_known') then
                            select array_agg(m.matched[1]) into allowed
                            from pg_catalog.pg_constraint as c
                            cross join lateral regexp_matches(pg_get_constraintdef(c.oid), '''(\w+)''', 'g') as m (matched)
                            where c.contypid = field.domain::regtype and c.conname = problem_rule;
                        end if;
                        advice := case problem_rule
                            when 'event_type_known' then concat(
                                'Did you mean ' || aximo_private.nearest(given, allowed) || '? ',
                                format('The %s types are %s.', cardinality(allowed), array_to_string(allowed, ', '))
                            )
                            when 'actor_known' then format('An actor is one of %s.', array_to_string(allowed, ', '))
                            when 'identifier_length' then format('Give %s 1 to 255 characters.', field.name)
                            when 'identifier_not_blank' then format('Give %s a character that can be seen.', field.name)
                            when 'short_text_length' then format('Give %s at most 255 characters.', field.name)
                            when 'timestamp_well_formed' then 'Write a date, a time and an offset: 2026-01-31T12:00:00Z (RFC 3339).'
                            when 'moment_range' then 'Give a moment from 1970 on and before the year 9999.'
                            when 'timestamp_not_ahead' then format(
                                'The database''s clock says %s, and a timestamp is at most one day ahead of it: set the sender''s clock.',
                                to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
                            )
                            when 'event_id_well_formed' then 'Give a UUID, or leave event_id out: then one is made.'
                            when 'payload_size' then 'Keep what is large elsewhere, and name it in the payload.'
                            when 'payload_numbers' then 'Send such a number as text.'
                            else 'Give whole milliseconds, from 0 on.'
                        end;
                end;
            end if;
            exit when problem is not null;
        end loop;
    end if;

    if problem is not null then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed event',
            detail = problem || where_it_is,
            hint = advice,
            constraint = problem_rule;
    end if;
end;
$$;
alter function aximo_private.refuse_malformed(jsonb, bigint, text) owner to aximo_recorder;
comment on function aximo_private.refuse_malformed(jsonb, bigint, text) is 'Raises ZXARG, with the field and its value in the detail, what is allowed in the hint and the rule in the constraint field, if something is wrong with the event; else does nothing.';
