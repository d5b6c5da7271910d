create function aximo_private.set_list(
    to_list text, new_items text[], takes_effect timestamptz, for_all_customers boolean
) returns text
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer text := '*';
    rule text;
begin
    if to_list = 'lead_action_types' then
        rule := 'action_types_are_named';
    else
        rule := 'levels_are_named';
    end if;
    if for_all_customers then
        perform aximo_private.numbers_for_all();
    else
        customer := aximo_private.writing_customer(null);
    end if;
    perform aximo_private.check_effective_from(takes_effect);
    if (select count(*) > count(distinct i) or max(char_length(i)) > 255 from unnest(new_items) as i) then
        raise check_violation;
    end if;
    insert into aximo_private.metric_lists (customer_id, list, items, effective_from)
    values (customer, to_list, new_items, coalesce(takes_effect, clock_timestamp()));
    return customer;
exception
    when check_violation then
        raise exception using
            errcode = 'ZXARG',
            message = 'this is not a list of names',
            detail = format('the list has %s entries', coalesce(cardinality(new_items), 0)),
            hint = 'Give at most 100 texts, each once, none of them null or longer than 255 characters; or null to take back what was set before.',
            constraint = rule;
end;
$$;
alter function aximo_private.set_list(text, text[], timestamptz, boolean) owner to aximo_recorder;
comment on function aximo_private.set_list(text, text[], timestamptz, boolean) is 'Adds a setting that is a list, for the session''s customer or for all; returns for whom.';
