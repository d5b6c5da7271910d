-- Finds events that numbering passed over, if there ever are any: verify_log names them. Also for positions that were restored out of
-- order.
create function aximo.mend_log() returns bigint
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    mended bigint;
begin
    perform aximo_private.numbers_for_all();
    -- Waits for the numbering under way, and keeps the next one waiting.
    perform from aximo_private.log_state for update;
    -- An event that somebody put into a remembered hole did not come from a transaction that could own it: look into all holes again.
    update aximo_private.logs as s
    set looked = null, undated_from = least(s.undated_from, pg_current_xact_id());
    -- Each becomes a hole: the next advance finds it there, and gives it the number after the last one.
    with
    missed as (
        select e.log, e.position
        from aximo_private.events_of_logs as e
        inner join aximo_private.logs as s on s.log = e.log
        -- Those of a customer that is arriving get their numbers from the node that it comes from.
        where e.position <= s.high_position and e.position > 0
            and not exists (select from only aximo_private.placements as p where p.customer_id = e.customer_id)
            and not exists (
                select from aximo_private.log_holes as h
                where h.log = e.log and e.position between h.first_position and h.last_position
            )
            and not aximo_private.has_number(e.customer_id, e.event_id, e.run_event_id)
    ),
    remembered as (
        insert into aximo_private.log_holes (log, first_position, last_position, seen_by)
        select distinct m.log, m.position, m.position, pg_current_xact_id()
        from missed as m
    )
    select count(*) into mended
    from missed as m;
    return mended;
end;
$$;
alter function aximo.mend_log() owner to aximo_sequencer;
comment on function aximo.mend_log() is 'Finds the events of all customers that are not in the log and should be; the next aximo.advance_log numbers them. Returns how many. Reads everything.';
