-- Adds numbered events to the sums. One call is small enough for a statement_timeout, and what it did stays done.
create function aximo.count_metrics(max_events integer default 20000)
returns table (counted bigint, is_behind boolean)
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    this_step bigint;
    which text;
    growth aximo_private.log_growth[];
    one aximo_private.log_growth;
    left_over bigint;
    waiting bigint;
    taken bigint;
    judged boolean;
begin
    if count_metrics.max_events is null or count_metrics.max_events < 1 then
        raise exception using
            errcode = 'ZXARG',
            message = 'max_events is at least 1',
            detail = format('max_events is %s', coalesce(count_metrics.max_events::text, 'null')),
            hint = 'Give a positive number; what is left over is counted by the next call.',
            constraint = 'max_events_positive';
    end if;
    perform aximo_private.numbers_for_all();
    -- One session at a time, and not during a refresh: what is published is of one step.
    select s.steps + 1 into this_step
    from aximo_private.metric_state as s
    for update skip locked;
    if not found then
        return query select 0::bigint, null::boolean;
        return;
    end if;
    counted := 0;
    is_behind := aximo_private.count_leads(this_step);
    judged := is_behind;
    left_over := count_metrics.max_events;
    foreach which in array array['events', 'run_events'] loop
        with
        grown as (
            select u.customer_id, coalesce(c.number, 0) as old_size, greatest(max(u.number), coalesce(c.number, 0)) as new_size
            from only aximo_private.uncounted_logs as u
            left join aximo_private.counted_logs as c on c.customer_id = u.customer_id and c.log = u.log
            where u.log = which and c.failed_at is null
            group by u.customer_id, c.number
        ),
        -- Customers with few events come first: one with many does not keep them waiting.
        in_turn as (
            select g.*, sum(g.new_size - g.old_size) over (order by g.new_size - g.old_size, g.customer_id) as until
            from grown as g
        ),
        share as (
            select
                t.customer_id, t.old_size,
                least(t.new_size, t.new_size + left_over - t.until::bigint) as new_size
            from in_turn as t
            where t.until - (t.new_size - t.old_size) < left_over
        )
        select
            array_agg(row(s.customer_id, s.old_size, s.new_size)::aximo_private.log_growth), sum(s.new_size - s.old_size),
            (select coalesce(sum(g.new_size - g.old_size), 0) from grown as g)
        into growth, taken, waiting
        from share as s;
        is_behind := is_behind or waiting > left_over;
        continue when growth is null;
        left_over := left_over - taken;
        begin
            perform aximo_private.count_growth(growth, which, this_step);
        exception
            when program_limit_exceeded or statement_too_complex or insufficient_resources or data_exception or cardinality_violation
                or integrity_constraint_violation then
                -- Count customer by customer: if the events of one can't be counted, the others still are.
                foreach one in array growth loop
                    begin
                        perform aximo_private.count_growth(array[one], which, this_step);
                    exception
                        when program_limit_exceeded or statement_too_complex or insufficient_resources or data_exception
                            or cardinality_violation or integrity_constraint_violation then
                            taken := taken - (one.new_size - one.old_size);
                            insert into aximo_private.counted_logs as c (customer_id, log, number, failed_at, changed_in)
                            values (one.customer_id, which, one.old_size, clock_timestamp(), this_step)
                            on conflict (customer_id, log) do update
                            set failed_at = excluded.failed_at;
                    end;
                end loop;
        end;
        counted := counted + taken;
    end loop;
    if counted > 0 or judged then
        update aximo_private.metric_state as s
        set steps = this_step
        where s.is_the_row;
    end if;
    return next;
end;
$$;
alter function aximo.count_metrics(integer) owner to aximo_sequencer;
comment on function aximo.count_metrics(integer) is 'Counts numbered events, of all customers, for the metrics, at most so many in one call; the next aximo.refresh_metrics shows them. Returns how many, and whether there are more; is_behind is null if another session counts or refreshes, and nothing was done. Each call also judges one month of leads of a customer that set anew which actions are leads. A customer whose events can not be counted is left out, and aximo.recount_metrics tries again. Waits for nobody. ZXARG: max_events below 1; ZXCUS: a login without all customers.';
