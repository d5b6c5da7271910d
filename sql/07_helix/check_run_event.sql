-- Refuses a run event with the ledger's own code, before a constraint or policy of the table refuses it with PostgreSQL's.
create function aximo_private.check_run_event() returns trigger
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set row_security = on
as $$
declare
    rule text;
    is_observed boolean;
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
    -- A client that writes JSON null means that there are no data.
    new.data := nullif(new.data, 'null');
    rule := case
        when new.customer_id = '*' then 'customer_id_not_all'
        when char_length(new.customer_id) > 255 or btrim(new.customer_id) = '' then 'customer_id_well_formed'
        when new.kind is null or new.kind = '' then 'kind_present'
        when jsonb_typeof(new.data) <> 'object' then 'data_is_object'
        when jsonb_typeof(new.extra) <> 'object' then 'extra_is_object'
        -- The uncompressed sizes: || '{}' makes an uncompressed copy.
        when pg_column_size(new.data || '{}') > 2048 and aximo_private.has_extreme_number(new.data)
            or pg_column_size(new.extra || '{}') > 2048 and aximo_private.has_extreme_number(new.extra) then 'run_event_numbers'
        -- The size in the event's line, where a control character takes six bytes.
        when octet_length(to_json(new.kind)::text) + coalesce(octet_length(to_json(new.message)::text), 0)
            + coalesce(octet_length(new.data::text), 0) + coalesce(octet_length(new.extra::text), 0) > 8388608 then 'run_event_size'
        when (new.ts >= '1970-01-01 00:00:00+00' and new.ts < '9999-01-01 00:00:00+00') is not true then 'run_event_moment'
    end;
    if rule is not null then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed run event',
            detail = format('run_id %L, kind %L', left(new.run_id, 60), left(new.kind, 60)),
            hint = case rule
                when 'customer_id_not_all' then '* stands for all customers in a grant. Name one customer.'
                when 'customer_id_well_formed' then 'A customer_id has 1 to 255 characters and is not blank.'
                when 'kind_present' then 'Give the event a kind, such as run.started.'
                when 'data_is_object' then 'Give data as a JSON object, or null.'
                when 'extra_is_object' then 'Give extra as a JSON object, or null.'
                when 'run_event_numbers' then 'data and extra have no number beyond 1e400 or closer to zero than 1e-400. Send such a number as text.'
                when 'run_event_size' then 'A run event has at most 8 MiB as JSON. Keep the rest as an artifact.'
                else 'ts is a moment from 1970 on and before the year 9999.'
            end,
            schema = tg_table_schema,
            table = tg_table_name,
            constraint = rule;
    end if;
    select
        exists (
            select
            from only aximo_private.observations as o
            where o.customer_id = r.customer_id and o.target_run_id = r.run_id
                and o.observed_in = pg_current_xact_id_if_assigned() and o.observed_at = now()
        ) into is_observed
    from only helix.runs as r
    where r.customer_id = new.customer_id and r.run_id = new.run_id;
    if not found then
        raise exception using
            errcode = 'ZXRUN',
            message = 'this customer has no such run',
            detail = format('run_id %L', left(new.run_id, 60)),
            hint = 'Insert the run into helix.runs before its events. A run of another customer counts as none.',
            schema = tg_table_schema,
            table = tg_table_name,
            constraint = 'run_known';
    end if;
    if is_observed then
        perform aximo_private.refuse_observed(new.run_id);
    end if;
    return new;
end;
$$;
alter function aximo_private.check_run_event() owner to aximo_recorder;
comment on function aximo_private.check_run_event() is 'Refuses a run event without a customer (ZXCUS), of one that is not on this node (ZXMOV), without a run or to one that is being observed (ZXRUN), or with a field that it can''t have (ZXARG).';

create trigger check_run_event before insert on helix.run_events
for each row execute function aximo_private.check_run_event();
comment on trigger check_run_event on helix.run_events is 'Refuses a malformed run event, by code and rule.';
