-- Repair: the rollups follow from the log, so they can be thrown away and counted again, bit by bit, while new events come in.
create function aximo.recount_metrics(from_the_start boolean default false, max_events integer default 100000)
returns table (counted bigint, remaining bigint)
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
-- Without statistics the planner fears the worst, and compiles for half a second what runs for a few milliseconds.
set jit = off
as $$
#variable_conflict use_column
declare
    advances bigint;
    touched aximo_private.log_growth[];
    touched_runs aximo_private.log_growth[];
begin
    if recount_metrics.max_events is null or recount_metrics.max_events < 1 then
        raise exception using
            errcode = 'ZXARG',
            message = 'at least one event at a time',
            detail = format('max_events is %s', coalesce(recount_metrics.max_events::text, 'null')),
            hint = 'Give a positive number; what is left over is counted by the next call.',
            constraint = 'max_events_positive';
    end if;
    perform aximo_private.numbers_for_all();
    perform aximo_private.hold_log();
    update aximo_private.log_state as s
    set advances = s.advances + 1
    where s.is_the_row
    returning s.advances into strict advances;
    if recount_metrics.from_the_start then
        update aximo_private.log_state as s set recounted_in = advances where s.is_the_row;
        delete from aximo_private.rollups;
        delete from aximo_private.action_rollups;
        delete from aximo_private.histograms;
        delete from aximo_private.deployment_rollups;
        delete from aximo_private.run_rollups;
        delete from aximo_private.run_states;
        delete from aximo_private.rollup_heads;
    end if;
    -- Who is behind, and how far to go with each.
    with recursive
    -- One look-up a log, not a pass over the log.
    head as (
        (
            select l.customer_id, l.log, l.number as size
            from only aximo_private.log_entries as l
            order by l.customer_id desc, l.log desc, l.number desc
            limit 1
        )
        union all
        select n.customer_id, n.log, n.number
        from head as c
        cross join lateral (
            select l.customer_id, l.log, l.number
            from only aximo_private.log_entries as l
            where (l.customer_id, l.log) < (c.customer_id, c.log)
            order by l.customer_id desc, l.log desc, l.number desc
            limit 1
        ) as n
    ),
    behind as (
        select c.customer_id, c.log, coalesce(h.number, 0) as old_size, c.size
        from head as c
        left join aximo_private.rollup_heads as h on h.customer_id = c.customer_id and h.log = c.log
        where c.size > coalesce(h.number, 0)
    ),
    in_turn as (
        select b.*, sum(b.size - b.old_size) over (order by b.customer_id, b.log) - (b.size - b.old_size) as before
        from behind as b
    ),
    share as (
        select t.customer_id, t.log, t.old_size, least(t.size, t.old_size + recount_metrics.max_events - t.before::bigint) as new_size
        from in_turn as t
        where t.before < recount_metrics.max_events
    )
    select
        (
            select array_agg(row(s.customer_id, s.old_size, s.new_size)::aximo_private.log_growth)
            from share as s
            where s.log = 'events'
        ),
        (
            select array_agg(row(s.customer_id, s.old_size, s.new_size)::aximo_private.log_growth)
            from share as s
            where s.log = 'run_events'
        ),
        (select coalesce(sum(s.new_size - s.old_size), 0) from share as s),
        (select coalesce(sum(b.size - b.old_size), 0) from behind as b)
    into touched, touched_runs, counted, remaining;
    remaining := remaining - counted;
    perform aximo_private.roll_up(touched, advances);
    perform aximo_private.roll_up_runs(touched_runs, advances);
    return next;
end;
$$;
alter function aximo.recount_metrics(boolean, integer) owner to aximo_sequencer;
comment on function aximo.recount_metrics(boolean, integer) is
'Counts numbered events that are not in the metrics, of all customers, at most so many in one call; from_the_start throws away what is counted first. Returns how many it counted and how many remain: call it again until none do, then refresh with everything = true. ZXARG: max_events below 1; ZXCUS: a login of certain customers only.';
