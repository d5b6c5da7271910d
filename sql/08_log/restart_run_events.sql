-- Only the owner of a sequence may do this, and by DDL, which a rollback undoes. Forward only, or ids would be given twice.
create function aximo_private.restart_run_events(first bigint) returns void
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    if restart_run_events.first > coalesce(pg_sequence_last_value('helix.run_events_event_id_seq'::regclass), 0) then
        execute format('alter sequence helix.run_events_event_id_seq restart with %s', restart_run_events.first);
    end if;
end;
$$;
comment on function aximo_private.restart_run_events(bigint) is 'Lets the event_ids of run events go on at a number, if that is higher than those given. For aximo.join_fleet.';
