create function aximo.set_lead_action_types(
    action_types text[],
    effective_from timestamptz default clock_timestamp(),
    for_all_customers boolean default false
) returns void
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer text;
begin
    if exists (select from unnest(action_types) as t where octet_length(t) > 255 or t ~ '^(sha256|json) ') then
        raise exception using
            errcode = 'ZXARG',
            message = 'no action can have one of these types',
            detail = format('the list has %s entries', cardinality(action_types)),
            hint = 'Give types of at most 255 bytes that do not begin with "sha256 " or "json ": longer ones are counted by a hash that begins so.',
            constraint = 'action_types_are_named';
    end if;
    customer := aximo_private.set_list('lead_action_types', action_types, effective_from, for_all_customers);
    insert into aximo_private.unjudged_leads (customer_id, since)
    values (customer, coalesce(effective_from, clock_timestamp()));
end;
$$;
alter function aximo.set_lead_action_types(text[], timestamptz, boolean) owner to aximo_recorder;
comment on function aximo.set_lead_action_types(text[], timestamptz, boolean) is 'Sets the payload.action_type of actions that are leads when they are dispatched, for the session''s customer or for all customers that set none. Counts for months that end after effective_from, hours and days by the month they are in; null takes back what was set. What is counted already is judged anew by aximo.count_metrics, a month of a customer in each call. Nothing is overwritten: aximo_metrics.lead_action_types is the history. ZXARG: no list of types; ZXCUS: no customer, or a login without all customers sets it for all.';
