-- Made by tools/alike.py, which makes others like it; change that.
create function helix.read_log(after_seq bigint default 0, max_events integer default 1000, advance boolean default false)
returns setof helix.log_entries
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo.current_customer();
begin
    if read_log.after_seq is null or read_log.after_seq < 0 or read_log.max_events is null or read_log.max_events < 1 then
        raise exception using
            errcode = 'ZXARG',
            message = 'a log is read after a number of 0 or more, at least one entry at a time',
            detail = format('after_seq %s, max_events %s', read_log.after_seq, read_log.max_events),
            hint = 'Begin with after_seq 0, go on with the last number that you have, and ask for max_events of 1 or more.',
            constraint = 'log_is_read_forward';
    end if;
    if read_log.advance then
        perform aximo.advance_log(greatest(read_log.max_events, 10000));
    end if;
    return query
    select l.*
    from helix.log_entries as l
    where l.customer_id = customer and l.number > read_log.after_seq
        and l.number <= least(read_log.after_seq, 9223372036854775807 - read_log.max_events) + read_log.max_events
    order by l.number;
end;
$$;
comment on function helix.read_log(bigint, integer, boolean) is 'The entries of the log of run events of the session''s customer after that number, in order, without a gap. With advance, numbers what is new first, which an operator may; the lock is held to the end of the transaction. ZXARG: a negative number, or no event at all.';
