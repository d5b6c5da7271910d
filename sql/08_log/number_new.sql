-- Numbers the new events of one log. aximo.advance_log, which calls it, holds the lock.
create function aximo_private.number_new(log text, max_events integer, look boolean) returns aximo_private.numbering
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    high constant bigint := (select s.high_position from aximo_private.logs as s where s.log = number_new.log);
    -- Positions beyond it are of run events that arrived from another node, with their numbers.
    top constant bigint := aximo_private.last_position(number_new.log);
    undated_from constant xid8 := (select s.undated_from from aximo_private.logs as s where s.log = number_new.log);
    scan pg_snapshot;
    looked_into_some boolean;
    positions bigint[];
    fresh bigint[];
    filled bigint[];
    touched aximo_private.log_growth[];
    is_cut boolean;
    -- The bytes of text that one call hashes at most: hashing takes most of the time, and all wait for this lock.
    bytes_at_most constant bigint := 67108864;
begin
    -- One statement sees one snapshot: if it sees an event, it also sees every event that had been written before that one, which has a
    -- lower position.
    with
    -- A dated hole is looked into only if a transaction that could own one of its positions has ended since the last look. Such a
    -- transaction was running at that look, is over now, and is older than the hole's date. In another cluster ids mean nothing: there all
    -- holes are looked into.
    since as materialized (
        select
            case
                when pg_snapshot_xmax(s.looked) <= pg_snapshot_xmax(pg_current_snapshot())
                    then least(
                        pg_snapshot_xmax(s.looked),
                        (
                            select r.id
                            from pg_snapshot_xip(s.looked) as r (id)
                            where pg_visible_in_snapshot(r.id, pg_current_snapshot())
                            order by r.id
                            limit 1
                        )
                    )
                else '0'::xid8
            end as id
        from aximo_private.logs as s
        where s.log = number_new.log
    ),
    open_holes as (
        select h.first_position, h.last_position
        from aximo_private.log_holes as h
        where h.log = number_new.log and h.older_than > (select s.id from since as s)
        union all
        select h.first_position, h.last_position
        from aximo_private.log_holes as h
        where h.log = number_new.log and h.seen_by >= undated_from and h.older_than is null
    ),
    late as (
        select e.*
        from open_holes as h
        cross join lateral (
            select s.position, s.customer_id, s.event_id, s.run_event_id, s.weight
            from aximo_private.events_of_logs as s
            where s.log = number_new.log and s.position between h.first_position and h.last_position and s.position > 0
                -- After a restore that lost the sequence's value, a position may have been given twice.
                and not aximo_private.has_number(s.customer_id, s.event_id, s.run_event_id)
            order by s.position
            limit number_new.max_events
        ) as e
        order by e.position
        limit number_new.max_events
    ),
    young as (
        select s.position, s.customer_id, s.event_id, s.run_event_id, s.weight
        from aximo_private.events_of_logs as s
        where s.log = number_new.log and s.position > high and s.position > 0 and s.position <= top
        order by s.position
        limit number_new.max_events
    ),
    waiting as materialized (
        select
            f.*,
            sum(f.weight) over (order by f.position rows between unbounded preceding and 1 preceding) as weight_before
        from (
            select l.*, true as is_late
            from late as l
            union all
            select y.*, false as is_late
            from young as y
        ) as f
        order by f.position
        limit number_new.max_events
    ),
    found as materialized (
        select
            w.*,
            -- An event above the highest position may have its number already, after a restore or with replication: it is passed over.
            number_new.look and not w.is_late and aximo_private.has_number(w.customer_id, w.event_id, w.run_event_id) as is_there
        from waiting as w
        where coalesce(w.weight_before, 0) < bytes_at_most
    ),
    sizes as materialized (
        select
            c.customer_id,
            coalesce(
                (
                    select l.number
                    from only aximo_private.log_entries as l
                    where l.customer_id = c.customer_id and l.log = number_new.log
                    order by l.number desc
                    limit 1
                ),
                0
            ) as size
        from (select distinct f.customer_id from found as f where not f.is_there) as c
    ),
    added as (
        insert into aximo_private.log_entries (customer_id, log, number, event_id, run_event_id, leaf)
        select
            f.customer_id, number_new.log,
            h.size + row_number() over (partition by f.customer_id order by f.position),
            f.event_id, f.run_event_id,
            (
                select sha256(decode('00', 'hex') || convert_to(s.line, 'UTF8'))
                from (
                    select aximo_private.event_line(e.*) as line
                    from only aximo_private.events as e
                    where e.customer_id = f.customer_id and e.event_id = f.event_id
                    union all
                    select aximo_private.run_event_line(r.*) as line
                    from only helix.run_events as r
                    where r.customer_id = f.customer_id and r.event_id = f.run_event_id
                ) as s
            )
        from found as f
        inner join sizes as h on h.customer_id = f.customer_id
        where not f.is_there
        returning customer_id, number
    )
    select
        pg_current_snapshot(),
        exists (select from open_holes),
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
        ),
        (select count(*) = number_new.max_events from waiting as w) or (select count(*) from waiting as w) > (select count(*) from found as f)
    into scan, looked_into_some, positions, fresh, filled, touched, is_cut;

    -- What remains of a hole when some of its positions have appeared.
    if filled is not null then
        with
        hit as materialized (
            select
                p.position,
                (
                    select h.first_position
                    from aximo_private.log_holes as h
                    where h.log = number_new.log and h.first_position <= p.position
                    order by h.first_position desc
                    limit 1
                ) as hole
            from unnest(filled) as p (position)
        ),
        gone as (
            delete from aximo_private.log_holes as h
            where h.log = number_new.log and h.first_position in (select t.hole from hit as t)
            returning h.first_position, h.last_position, h.seen_by, h.older_than
        )
        insert into aximo_private.log_holes (log, first_position, last_position, seen_by, older_than)
        select number_new.log, r.first_position, r.last_position, r.seen_by, r.older_than
        from (
            select
                coalesce(lag(p.position) over of_hole, g.first_position - 1) + 1 as first_position,
                p.position - 1 as last_position, g.seen_by, g.older_than
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

    -- Forget the holes whose possible owners were all over before this scan, which did not find them.
    delete from aximo_private.log_holes as h
    where h.log = number_new.log and h.older_than < pg_snapshot_xmin(scan)
        and (
            not is_cut
            or h.last_position <= positions[cardinality(positions)]
        );

    if positions is not null then
        update aximo_private.logs as s
        set
            high_position = coalesce(fresh[cardinality(fresh)], s.high_position),
            entries = s.entries + (select coalesce(sum(t.new_size - t.old_size), 0) from unnest(touched) as t)
        where s.log = number_new.log;
    end if;

    -- A call that stopped at its limit did not look into all holes: the next one looks again.
    if looked_into_some and not is_cut then
        update aximo_private.logs as s
        set looked = scan
        where s.log = number_new.log;
    end if;

    insert into aximo_private.log_holes (log, first_position, last_position, seen_by)
    select number_new.log, g.first_position, g.last_position, pg_current_xact_id()
    from (
        select
            coalesce(lag(p.position) over (order by p.position), high) + 1 as first_position,
            p.position - 1 as last_position
        from unnest(fresh) as p (position)
    ) as g
    where g.first_position <= g.last_position;
    -- A transaction that wrote before it called this may have an older id than those that numbered before it.
    if found and (undated_from is null or undated_from > pg_current_xact_id()) then
        update aximo_private.logs as s
        set undated_from = pg_current_xact_id()
        where s.log = number_new.log;
    end if;
    return row(touched, is_cut)::aximo_private.numbering;
end;
$$;
alter function aximo_private.number_new(text, integer, boolean) owner to aximo_sequencer;
comment on function aximo_private.number_new(text, integer, boolean) is 'Gives numbers to the new events of one log, at most so many and so many bytes of text. Returns by how much each customer''s log grew, and whether there may be more. With look, it passes over events above the highest position that have their number already.';
