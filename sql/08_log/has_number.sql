-- A function, so that it stays a look-up in one of two partial indexes: the planner may turn EXISTS in a query into a pass over the log for
-- each event.
create function aximo_private.has_number(customer_id text, event_id uuid, run_event_id bigint) returns boolean
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if has_number.event_id is not null then
        return exists (
            select from only aximo_private.log_entries as l
            where l.customer_id = has_number.customer_id and l.event_id = has_number.event_id
        );
    end if;
    return exists (
        select from only aximo_private.log_entries as l
        where l.customer_id = has_number.customer_id and l.run_event_id = has_number.run_event_id
    );
end;
$$;
alter function aximo_private.has_number(text, uuid, bigint) owner to aximo_sequencer;
comment on function aximo_private.has_number(text, uuid, bigint) is 'Whether an event has a number.';
