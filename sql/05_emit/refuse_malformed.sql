-- Says what is wrong with an event. Runs only when something is: the limits themselves are those of the domains.
create function aximo_private.refuse_malformed(event jsonb, place bigint, customer text) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    where_it_is constant text := coalesce(' (event ' || place || ' of the batch)', '');
    field record;
    unknown_fields text;
    problem text;
    problem_rule text;
begin
    if event is null or jsonb_typeof(event) <> 'object' then
        problem := 'an event is a JSON object' || where_it_is;
        problem_rule := 'event_is_object';
    end if;

    if problem is null then
        select string_agg(quote_ident(k.key), ', ' order by k.key) into unknown_fields
        from jsonb_object_keys(event - aximo_private.event_fields()) as k (key);
        if unknown_fields is not null then
            problem := format('unknown fields: %s%s', unknown_fields, where_it_is);
            problem_rule := 'fields_known';
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
                    problem := format('%s is missing%s', field.name, where_it_is);
                    problem_rule := field.name || '_present';
                end if;
            elsif jsonb_typeof(event -> field.name) <> field.json_type then
                problem := format('%s is a JSON %s%s', field.name, jsonb_typeof(event -> field.name), where_it_is);
                problem_rule := format('%s_is_%s', field.name, field.json_type);
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
                        problem := format('%s: %s%s', field.name, problem_rule, where_it_is);
                end;
            end if;
            exit when problem is not null;
        end loop;
    end if;

    if problem is not null then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed event',
            detail = problem,
            hint = 'The fields of an event, their types and limits are in the reference, under aximo.events.',
            constraint = problem_rule;
    end if;
end;
$$;
alter function aximo_private.refuse_malformed(jsonb, bigint, text) owner to aximo_recorder;
comment on function aximo_private.refuse_malformed(jsonb, bigint, text) is 'Raises ZXARG, with the field in the detail and the rule in the constraint field, if something is wrong with the event; else does nothing.';
