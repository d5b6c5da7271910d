create function aximo_private.note_uncounted(growth aximo_private.log_growth[], of_log text) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    -- Skip the rows that are being counted: counting deletes them itself.
    delete from only aximo_private.uncounted_logs as u
    where u.ctid = any(array(
            select q.ctid
            from only aximo_private.uncounted_logs as q
            inner join unnest(growth) as g on g.customer_id = q.customer_id
            where q.log = of_log
            for update of q skip locked
        ));
    insert into aximo_private.uncounted_logs (customer_id, log, number)
    select g.customer_id, of_log, g.new_size
    from unnest(growth) as g;
end;
$$;
alter function aximo_private.note_uncounted(aximo_private.log_growth[], text) owner to aximo_sequencer;
comment on function aximo_private.note_uncounted(aximo_private.log_growth[], text) is 'Notes up to which number some customers'' logs have grown, for aximo.count_metrics.';
