create function aximo.import_events(events jsonb, customer_id text default null) returns setof aximo.receipt
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select r.*
    from unnest(aximo_private.write_events(import_events.events, import_events.customer_id, is_history => true, is_batch => true)) as r;
end;
$$;
alter function aximo.import_events(jsonb, text) owner to aximo_recorder;
comment on function aximo.import_events(jsonb, text) is 'As aximo.emit_events, for history as it was: what breaks a rule of its execution''s life is accepted, and listed in aximo.violations. An event that is malformed, or whose event_id names another one, is refused all the same.';
