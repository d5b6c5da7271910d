-- Numbers what is committed and unnumbered. Whoever derives something from the log does it in here, in the same transaction.
create function aximo.advance_log(max_events integer default 10000)
returns table (numbered bigint, is_behind boolean)
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
-- Without statistics the planner fears the worst, and compiles for half a second what runs for a few milliseconds.
set jit = off
as $$
#variable_conflict use_column
declare
    wrote_before constant boolean := pg_current_xact_id_if_assigned() is not null;
    high bigint;
    advance bigint;
    scan_xmin xid8;
    positions bigint[];
    fresh bigint[];
    filled bigint[];
    touched aximo_private.log_growth[];
begin
    if advance_log.max_events is null or advance_log.max_events < 1 then
        raise exception using
            errcode = 'ZXARG',
            message = 'at least one event at a time',
            detail = format('max_events is %s', coalesce(advance_log.max_events::text, 'null')),
            hint = 'Give a positive number; what is left over is numbered by the next call.',
            constraint = 'max_events_positive';
    end if;
    perform aximo_private.numbers_for_all();
    -- One at a time. Who comes while another is at it has nothing to do: the other one numbers what he would have.
    select s.high_position, s.advances + 1 into high, advance
    from aximo_private.log_state as s
    for update skip locked;
    if not found and exists (select from aximo_private.log_state) then
        return query select 0::bigint, null::boolean;
        return;
    end if;
    -- Without the state that belongs to them, the entries would be numbered anew, under another name.
    if not found or (high = 0 and exists (select from only aximo_private.log_entries)) then
        raise exception using
            errcode = 'ZXENV',
            message = 'the log''s state does not belong to its entries',
            detail = 'aximo_private.log_state is missing or new, and aximo_private.log_entries is not empty',
            hint = 'Restore the row of aximo_private.log_state from the same backup as the entries.',
            constraint = 'log_state_is_the_logs';
    end if;

    -- From a restored dump, where transactions have other numbers: begin again.
    update aximo_private.log_holes as h
    set seen_by = pg_current_xact_id(), older_than = null
    where greatest(h.seen_by, coalesce(h.older_than, h.seen_by)) > pg_current_xact_id();

    -- The transaction that advances now has its id from after the lock, so from after every scan before: it is younger than every
    -- transaction that could own a position those scans missed. Not so if it had its id before it came here.
    if not wrote_before then
        update aximo_private.log_holes as h
        set older_than = pg_current_xact_id()
        where h.older_than is null and h.seen_by <> pg_current_xact_id();
    end if;

    -- One statement, so one snapshot: what an event was written after has the lower position and is seen if the event is.
    with
    late as (
        select e.position, e.customer_id, e.event_id
        from aximo_private.log_holes as h
        cross join lateral (
            select s.position, s.customer_id, s.event_id
            from only aximo_private.events as s
            where s.position between h.first_position and h.last_position and s.position > 0
                -- After a restore that lost the sequence's value a position may have been given twice.
                and (
                    select true
                    from only aximo_private.log_entries as l
                    where l.customer_id = s.customer_id and l.event_id = s.event_id
                    limit 1
                ) is null
            order by s.position
            limit advance_log.max_events
        ) as e
        order by e.position
        limit advance_log.max_events
    ),
    young as (
        select s.position, s.customer_id, s.event_id
        from only aximo_private.events as s
        where s.position > high and s.position > 0
        order by s.position
        limit advance_log.max_events
    ),
    found as materialized (
        select f.*
        from (
            select l.*, true as is_late
            from late as l
            union all
            select y.*, false as is_late
            from young as y
        ) as f
        order by f.position
        limit advance_log.max_events
    ),
    heads as materialized (
        select
            c.customer_id,
            coalesce(
                (
                    select l.number
                    from only aximo_private.log_entries as l
                    where l.customer_id = c.customer_id
                    order by l.number desc
                    limit 1
                ),
                0
            ) as size
        from (select distinct f.customer_id from found as f) as c
    ),
    added as (
        insert into aximo_private.log_entries (customer_id, number, event_id, leaf)
        select
            f.customer_id,
            h.size + row_number() over (partition by f.customer_id order by f.position),
            f.event_id,
            (
                select sha256(decode('00', 'hex') || convert_to(aximo_private.event_line(s.*), 'UTF8'))
                from only aximo_private.events as s
                where s.customer_id = f.customer_id and s.event_id = f.event_id
            )
        from found as f
        inner join heads as h on h.customer_id = f.customer_id
        returning customer_id, number
    )
    select
        pg_snapshot_xmin(pg_current_snapshot()),
        (select array_agg(f.position order by f.position) from found as f),
        (select array_agg(f.position order by f.position) from found as f where not f.is_late),
        (select array_agg(f.position order by f.position) from found as f where f.is_late),
        (
            select array_agg(row(g.customer_id, g.old_size, g.new_size)::aximo_private.log_growth)
            from (
                select a.customer_id, min(a.number) - 1 as old_size, max(a.number) as new_size
                from added as a
                group by a.customer_id
            ) as g
        )
    into scan_xmin, positions, fresh, filled, touched;

    -- What is left of a hole when a part of it has come.
    if filled is not null then
        with
        hit as materialized (
            select
                p.position,
                (
                    select h.first_position
                    from aximo_private.log_holes as h
                    where h.first_position <= p.position
                    order by h.first_position desc
                    limit 1
                ) as hole
            from unnest(filled) as p (position)
        ),
        gone as (
            delete from aximo_private.log_holes as h
            where h.first_position in (select t.hole from hit as t)
            returning h.first_position, h.last_position, h.seen_by, h.older_than
        )
        insert into aximo_private.log_holes (first_position, last_position, seen_by, older_than)
        select r.first_position, r.last_position, r.seen_by, r.older_than
        from (
            select
                coalesce(lag(p.position) over of_hole, g.first_position - 1) + 1 as first_position,
                p.position - 1 as last_position,
                g.seen_by,
                g.older_than
            from gone as g
            inner join hit as p on p.hole = g.first_position
            window of_hole as (partition by g.first_position order by p.position)
            union all
            select max(p.position) + 1, g.last_position, g.seen_by, g.older_than
            from gone as g
            inner join hit as p on p.hole = g.first_position
            group by g.first_position, g.last_position, g.seen_by, g.older_than
        ) as r
        where r.first_position <= r.last_position;
    end if;

    -- Every transaction that could own it was over before the scan that did not find it.
    delete from aximo_private.log_holes as h
    where h.older_than < scan_xmin
        and (
            coalesce(cardinality(positions), 0) < advance_log.max_events
            or h.last_position <= positions[cardinality(positions)]
        );

    update aximo_private.log_state as s
    set
        high_position = coalesce(fresh[cardinality(fresh)], high),
        advanced_at = clock_timestamp(),
        advances = case when positions is null then s.advances else advance end
    where s.is_the_row;
    if positions is null then
        return query select 0::bigint, false;
        return;
    end if;

    insert into aximo_private.log_holes (first_position, last_position, seen_by)
    select g.first_position, g.last_position, pg_current_xact_id()
    from (
        select
            coalesce(lag(p.position) over (order by p.position), high) + 1 as first_position,
            p.position - 1 as last_position
        from unnest(fresh) as p (position)
    ) as g
    where g.first_position <= g.last_position;

    perform aximo_private.grow_tree(touched);
    begin
        perform aximo_private.list_violations(touched);
    exception
        -- What a customer writes must not keep the others' events from being numbered.
        when program_limit_exceeded or statement_too_complex or insufficient_resources or data_exception then
            insert into aximo_private.violations (customer_id, number, event_id, execution_id, rule)
            select l.customer_id, l.number, l.event_id, '', 'not_judged'
            from unnest(touched) as t
            inner join only aximo_private.log_entries as l on l.customer_id = t.customer_id and l.number = t.new_size;
    end;
    begin
        perform aximo_private.roll_up(touched, advance);
    exception
        -- The same. What is not counted stays behind, for aximo.recount_metrics; doctor tells.
        when program_limit_exceeded or statement_too_complex or insufficient_resources or data_exception or cardinality_violation
            or integrity_constraint_violation then
            null;
    end;
    -- Further state that is derived from the log belongs here.

    return query select cardinality(positions)::bigint, cardinality(positions) = advance_log.max_events;
end;
$$;
alter function aximo.advance_log(integer) owner to aximo_sequencer;
comment on function aximo.advance_log(integer) is
'Gives committed events, of all customers, their numbers, at most so many in one call, and adds them to the tree. Returns how many, and whether there may be more; is_behind is null if another session is at it, and nothing was done. Waits for nobody. ZXARG: max_events below 1; ZXCUS: a login of certain customers only; ZXENV: the state of another log.';
