-- For cron: each step is a transaction, so a statement_timeout or a lost connection costs one step. A procedure that commits can have
-- neither its owner's rights nor settings of its own: this one runs with its caller's, and names the schema of everything.
create procedure aximo.keep_metrics(max_events integer default 20000)
language plpgsql security invoker
as $$
begin
    loop
        exit when (select a.is_behind from aximo.advance_log(keep_metrics.max_events) as a) is not true;
        commit;
    end loop;
    commit;
    loop
        exit when (select c.is_behind from aximo.count_metrics(keep_metrics.max_events) as c) is not true;
        commit;
    end loop;
    commit;
    -- Under repeatable read a refresh numbers nothing. Numbering in a transaction that has written before can't tell how old holes are.
    set transaction isolation level repeatable read;
    perform from aximo.refresh_metrics();
    commit;
end;
$$;
comment on procedure aximo.keep_metrics (integer) is 'Numbers, counts and shows what is new, of all customers, in steps of at most so many events of each log, each a transaction: call it outside of one. ZXARG: max_events below 1; ZXCUS: a login without all customers.';
