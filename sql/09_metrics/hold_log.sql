-- A refresh of several materialized views takes a snapshot each. While this lock is held nothing is numbered in between.
create function aximo_private.hold_log() returns void
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    perform from aximo_private.log_state for update;
end;
$$;
alter function aximo_private.hold_log() owner to aximo_sequencer;
comment on function aximo_private.hold_log() is 'Waits for the numbering under way, and keeps the next one off until the transaction ends.';
