-- Gives numbers to the committed events that have none. It only notes which logs grew; counting for the metrics happens later.
create function aximo.advance_log(max_events integer default 10000)
returns table (numbered bigint, is_behind boolean)
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
-- The planner also expects thousands of remembered holes where there are few: no table here is to be read as a whole.
set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    wrote_before constant boolean := pg_current_xact_id_if_assigned() is not null;
    which text;
    undated_from xid8;
    touched aximo_private.log_growth[];
    found_new bigint;
    is_cut boolean;
begin
    if advance_log.max_events is null or advance_log.max_events < 1 then
        raise exception using
            errcode = 'ZXARG',
            message = 'max_events is at least 1',
            detail = format('max_events is %s', coalesce(advance_log.max_events::text, 'null')),
            hint = 'Give a positive number; what is left over is numbered by the next call.',
            constraint = 'max_events_positive';
    end if;
    perform aximo_private.numbers_for_all();
    -- One session at a time. A second one has nothing to do: the first numbers the same events.
    perform from aximo_private.log_state for update skip locked;
    if not found and exists (select from aximo_private.log_state) then
        return query select 0::bigint, null::boolean;
        return;
    end if;
    -- Without the rows of state that belong to these entries, the events would be numbered again under another name.
    if not found
        or (select count(*) from aximo_private.logs as h) <> 2
        or exists (
            select
            from aximo_private.logs as h
            cross join lateral (
                select s.customer_id, s.event_id, s.run_event_id
                from aximo_private.events_of_logs as s
                where s.log = h.log and s.position > 0 and s.position <= aximo_private.last_position(h.log)
                order by s.position
                limit 1
            ) as f
            where h.high_position = 0 and aximo_private.has_number(f.customer_id, f.event_id, f.run_event_id)
        ) then
        raise exception using
            errcode = 'ZXENV',
            message = 'the log''s state does not belong to its entries',
            detail = 'aximo_private.log_state or aximo_private.logs is missing or new, and aximo_private.log_entries is not empty',
            hint = 'Restore the rows of aximo_private.log_state and aximo_private.logs from the same backup as the entries.',
            constraint = 'log_state_is_the_logs';
    end if;

    for which in select s.log from aximo_private.logs as s order by s.log loop
        -- In a restored dump transactions have other ids: begin again.
        if exists (select from aximo_private.log_holes as h where h.log = which and h.older_than > pg_current_xact_id())
            or exists (select from aximo_private.log_holes as h where h.log = which and h.seen_by > pg_current_xact_id()) then
            update aximo_private.log_holes as h
            set seen_by = pg_current_xact_id(), older_than = null
            where h.log = which;
            update aximo_private.logs as s
            set looked = null, undated_from = pg_current_xact_id()
            where s.log = which;
        end if;

        -- This transaction got its id after it had the lock, hence after every earlier scan. So it is younger than every transaction that
        -- could own a position that those scans missed. That does not hold if it had an id before it came here.
        continue when wrote_before;
        select s.undated_from into undated_from
        from aximo_private.logs as s
        where s.log = which;
        if undated_from < pg_current_xact_id() then
            update aximo_private.log_holes as h
            set older_than = pg_current_xact_id()
            where h.log = which and h.seen_by >= undated_from and h.older_than is null;
            update aximo_private.logs as s
            set undated_from = null
            where s.log = which;
        end if;
    end loop;

    numbered := 0;
    is_behind := false;
    for which in select s.log from aximo_private.logs as s order by s.log loop
        begin
            select n.touched, n.is_cut into touched, is_cut
            from aximo_private.number_new(which, advance_log.max_events, look => false) as n;
        exception
            -- A new event may have its number already. That is rare, and looking for it each time costs a quarter of the whole.
            when unique_violation then
                select n.touched, n.is_cut into touched, is_cut
                from aximo_private.number_new(which, advance_log.max_events, look => true) as n;
        end;
        is_behind := is_behind or is_cut;
        continue when touched is null;
        select sum(t.new_size - t.old_size) into found_new
        from unnest(touched) as t;
        numbered := numbered + found_new;

        perform aximo_private.grow_tree(which, touched);
        perform aximo_private.note_uncounted(touched, which);
    end loop;
    update aximo_private.log_state as s
    set advanced_at = clock_timestamp()
    where s.is_the_row;
    return next;
end;
$$;
alter function aximo.advance_log(integer) owner to aximo_sequencer;
comment on function aximo.advance_log(integer) is 'Gives committed events, of all customers, their numbers, at most so many of each log in one call, and so many that their text is about 64 MiB, and adds them to the trees. Returns how many, and whether there may be more; is_behind is null if another session is at it, and nothing was done. Waits for nobody. ZXARG: max_events below 1; ZXCUS: a login without all customers; ZXENV: the state of another log.';
