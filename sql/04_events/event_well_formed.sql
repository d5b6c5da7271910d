create function aximo_private.event_well_formed(event aximo_private.events) returns boolean
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    perform aximo_private.refuse_malformed(aximo_private.event_document(event, true), null, event.customer_id);
    return true;
end;
$$;
alter function aximo_private.event_well_formed(aximo_private.events) owner to aximo_recorder;
comment on function aximo_private.event_well_formed(aximo_private.events) is 'True if the event keeps the limits of its fields; else raises ZXARG, with the field in the detail.';

-- A policy, not a constraint: PostgreSQL reads, plans and compiles a table's constraints again for every single-row statement. No other
-- role may insert.
create policy recorder_writes_events on aximo_private.events
for insert to aximo_recorder with check (aximo_private.is_well_formed(events) or aximo_private.event_well_formed(events));
comment on policy recorder_writes_events on aximo_private.events is 'The emit functions, which write for a customer that the access map gave them; within the limits of an event''s fields.';
