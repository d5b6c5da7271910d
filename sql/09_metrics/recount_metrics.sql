-- A repair: the sums follow from the log, so they can be thrown away and counted again, step by step, while new events come in.
create function aximo.recount_metrics(from_the_start boolean default false, max_events integer default 100000)
returns table (counted bigint, remaining bigint)
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
begin
    perform aximo_private.numbers_for_all();
    perform from aximo_private.metric_state for update;
    if recount_metrics.from_the_start then
        update aximo_private.metric_state as s set steps = s.steps + 1, recounted_in = s.steps + 1 where s.is_the_row;
        delete from aximo_private.activity_sums;
        delete from aximo_private.action_sums;
        delete from aximo_private.deployment_sums;
        delete from aximo_private.run_sums;
        delete from aximo_private.run_states;
        delete from aximo_private.counted_logs;
    else
        update aximo_private.counted_logs as c set failed_at = null where c.failed_at is not null;
    end if;
    -- Every log that is not counted to its end, whether its growth was noted or not.
    insert into aximo_private.uncounted_logs (customer_id, log, number)
    with recursive
    -- One look-up for each log, not a pass over the log.
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
    )
    select h.customer_id, h.log, h.size
    from head as h
    left join aximo_private.counted_logs as c on c.customer_id = h.customer_id and c.log = h.log
    where h.size > coalesce(c.number, 0)
    on conflict do nothing;
    select c.counted into strict counted
    from aximo.count_metrics(recount_metrics.max_events) as c;
    select coalesce(sum(g.size - g.number), 0) into strict remaining
    from (
        select max(u.number) as size, coalesce(c.number, 0) as number
        from aximo_private.uncounted_logs as u
        left join aximo_private.counted_logs as c on c.customer_id = u.customer_id and c.log = u.log
        where c.failed_at is null
        group by u.customer_id, u.log, c.number
    ) as g
    where g.size > g.number;
    return next;
end;
$$;
alter function aximo.recount_metrics(boolean, integer) owner to aximo_sequencer;
comment on function aximo.recount_metrics(boolean, integer) is 'Counts numbered events that are not in the metrics, of all customers, at most so many in one call; from_the_start throws away what is counted first. Returns how many it counted and how many remain: call it again until none do, then refresh with everything = true. ZXARG: max_events below 1; ZXCUS: a login without all customers.';
