-- Numbers what numbering passed over, should there ever be any: verify_log names such events. Also after positions were restored out of order.
create function aximo.mend_log() returns bigint
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
-- Without statistics the planner fears the worst, and compiles for half a second what runs for a few milliseconds.
set jit = off
as $$
declare
    high bigint;
    mended bigint;
begin
    perform aximo_private.numbers_for_all();
    select s.high_position into high
    from aximo_private.log_state as s
    for update;
    -- As holes they are found by the next advance, and get the numbers after the last one.
    with
    missed as (
        select e.position
        from only aximo_private.events as e
        where e.position <= high
            and not exists (
                select from aximo_private.log_holes as h
                where e.position between h.first_position and h.last_position
            )
            and (
                select true
                from only aximo_private.log_entries as l
                where l.customer_id = e.customer_id and l.event_id = e.event_id
                limit 1
            ) is null
    ),
    remembered as (
        insert into aximo_private.log_holes (first_position, last_position, seen_by)
        select distinct m.position, m.position, pg_current_xact_id()
        from missed as m
    )
    select count(*) into mended
    from missed as m;
    return mended;
end;
$$;
alter function aximo.mend_log() owner to aximo_sequencer;
comment on function aximo.mend_log() is
'Finds the events of all customers that are not in the log and should be; the next aximo.advance_log numbers them. Returns how many. Reads everything.';
