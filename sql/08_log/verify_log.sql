-- Recomputes numbers, hashes and checkpoints, and looks for events that should be in the log and are not. It does not check violations,
-- which follow from the events.
create function aximo.verify_log(
    log text default 'events',
    first_number bigint default null,
    last_number bigint default null,
    -- The longest time that a transaction may have taken from its write to its commit.
    in_flight interval default '1 hour'
)
returns table (problem text, number bigint, event_id uuid, detail text, run_event_id bigint)
language plpgsql stable security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    customer constant text := aximo_private.named_customer(null);
    size constant bigint := aximo.log_size(verify_log.log);
    -- A piece of a log is a range of entries and the subtrees that end in it. What belongs to no piece is checked with the last piece.
    first_one constant bigint := greatest(coalesce(verify_log.first_number, 1), 1);
    last_one constant bigint := least(coalesce(verify_log.last_number, size), size);
    is_last constant boolean := verify_log.last_number is null;
    checkpoint record;
    is_true boolean;
begin
    return query
    select p.problem, p.number, p.event_id, p.detail, p.run_event_id
    from (
        select
            case
                when l.number <> l.expected then 'number_missing'
                when e.line is null then 'event_removed'
                else 'event_differs'
            end as problem,
            l.number, l.event_id, l.run_event_id,
            case when l.number <> l.expected then format('the entry before it is %s', l.before) end as detail,
            l.number as place
        from (
            select
                n.number, n.event_id, n.run_event_id, n.leaf,
                first_one - 1 + row_number() over (order by n.number) as expected,
                lag(n.number, 1, first_one - 1) over (order by n.number) as before
            from only aximo_private.log_entries as n
            where n.customer_id = customer and n.log = verify_log.log
                and (verify_log.first_number is null or n.number >= first_one) and (is_last or n.number <= last_one)
        ) as l
        left join lateral (
            select aximo_private.event_line(s.*) as line
            from only aximo_private.events as s
            where s.customer_id = customer and s.event_id = l.event_id
            union all
            select aximo_private.run_event_line(r.*) as line
            from only helix.run_events as r
            where r.customer_id = customer and r.event_id = l.run_event_id
            offset 0
        ) as e on true
        -- Only the first wrong number is named: all after it are wrong too.
        where (l.number <> l.expected and l.number <> l.before + 1)
            or e.line is null
            or l.leaf <> sha256(decode('00', 'hex') || convert_to(e.line, 'UTF8'))
        union all
        -- An event that was written at the end of the log with an early recorded_at. Checked for the whole log with the last piece, as it
        -- needs the newest recorded_at of all entries before.
        select
            'recorded_out_of_order', o.number, o.event_id, o.run_event_id,
            format('recorded at %s, and numbered after one of %s', o.recorded_at, o.newest),
            o.number
        from (
            select
                n.number, n.event_id, n.run_event_id, e.recorded_at,
                max(e.recorded_at) over (order by n.number rows between unbounded preceding and 1 preceding) as newest
            from only aximo_private.log_entries as n
            left join lateral (
                select s.recorded_at
                from only aximo_private.events as s
                where s.customer_id = customer and s.event_id = n.event_id
                union all
                select r.recorded_at
                from only helix.run_events as r
                where r.customer_id = customer and r.event_id = n.run_event_id
                offset 0
            ) as e on true
            where is_last and n.customer_id = customer and n.log = verify_log.log
        ) as o
        where o.recorded_at < o.newest - verify_log.in_flight
        union all
        select 'event_not_in_log', null, u.event_id, u.run_event_id, 'its position was numbered past', null
        from aximo.unlogged_events(verify_log.log) as u
        where is_last and not u.is_coming
        union all
        select
            case when n.hash is null then 'node_missing' else 'node_differs' end,
            b.index * g.width + 1, null, null, format('level %s, index %s', g.level, b.index), g.width * (b.index + 1)
        from (
            select
                v.level, (256::numeric ^ v.level)::bigint as width
            from generate_series(1, 7) as v (level)
        ) as g
        cross join lateral generate_series((first_one - 1) / g.width, last_one / g.width - 1) as b (index)
        left join lateral (
            select k.hash
            from only aximo_private.log_nodes as k
            where k.customer_id = customer and k.log = verify_log.log and k.level = g.level and k.index = b.index
            offset 0
        ) as n on true
        where n.hash is distinct from aximo.tree_hash(aximo_private.hashes_below(customer, verify_log.log, g.level, b.index))
        union all
        select 'node_ahead', null, null, null, format('level %s, index %s', n.level, n.index), null
        from only aximo_private.log_nodes as n
        where is_last and n.customer_id = customer and n.log = verify_log.log
            and (n.level not between 1 and 7 or (n.index + 1) * 256::numeric ^ n.level > size)
    ) as p
    -- A subtree comes after its entries, so that the entry which is wrong is named first.
    order by p.place nulls last, p.detail nulls first, p.event_id, p.run_event_id;

    for checkpoint in
        select c.size, c.root, c.note, c.made_at
        from aximo.checkpoints as c
        where c.customer_id = customer and c.log = verify_log.log
            and is_last
        order by c.size, c.made_at
    loop
        if checkpoint.size > size then
            return query
            select 'checkpoint_ahead'::text, checkpoint.size, null::uuid, format('made at %s, of a log that has %s entries now', checkpoint.made_at, size), null::bigint;
            continue;
        end if;
        begin
            is_true := checkpoint.root = aximo.log_root(checkpoint.size, verify_log.log)
                and starts_with(checkpoint.note, aximo.checkpoint_text(checkpoint.size, verify_log.log));
        exception
            -- Hashes are missing, so there is no root. They are named above.
            when sqlstate 'ZXENV' then
                is_true := false;
        end;
        if not is_true then
            return query
            select 'checkpoint_differs'::text, checkpoint.size, null::uuid, format('made at %s', checkpoint.made_at), null::bigint;
        end if;
    end loop;
end;
$$;
alter function aximo.verify_log(text, bigint, bigint, interval) owner to aximo_sequencer;
comment on function aximo.verify_log(text, bigint, bigint, interval) is 'What is wrong with that log of the session''s customer, in its order; no rows if nothing is. Recomputes numbers, lines, hashes and the stored checkpoints, and finds events that are not in the log, or were recorded longer before one that has a lower number than a transaction is open: in_flight. With numbers, of a piece: its entries and the subtrees that end in it; events that are not in the log, their order and checkpoints, with the one that has no last number. Pieces can be verified one after the other or side by side, each in a transaction of its own. ZXCUS: no customer; ZXARG: no such log.';
