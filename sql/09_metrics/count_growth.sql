create function aximo_private.count_growth(growth aximo_private.log_growth[], of_log text, step bigint) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    facts aximo_private.fact[];
begin
    if of_log = 'events' then
        facts := array(select f from aximo_private.facts_of_entries(growth) as f);
        perform aximo_private.count_activity(facts, step);
        perform aximo_private.count_actions(facts, step);
        perform aximo_private.count_deployments(facts, step);
    else
        perform aximo_private.count_runs(growth, step);
    end if;
    insert into aximo_private.counted_logs as c (customer_id, log, number, changed_in)
    select g.customer_id, of_log, g.new_size, step
    from unnest(growth) as g
    on conflict (customer_id, log) do update
    set number = excluded.number, changed_in = excluded.changed_in;
    -- Skip the rows that an advance is replacing: it deletes them itself.
    delete from only aximo_private.uncounted_logs as u
    where u.ctid = any(array(
            select q.ctid
            from only aximo_private.uncounted_logs as q
            inner join unnest(growth) as g on g.customer_id = q.customer_id and q.number <= g.new_size
            where q.log = of_log
            for update of q skip locked
        ));
end;
$$;
alter function aximo_private.count_growth(aximo_private.log_growth[], text, bigint) owner to aximo_sequencer;
comment on function aximo_private.count_growth(aximo_private.log_growth[], text, bigint) is 'Counts the new entries of some customers'' logs, and notes up to which number.';
