create function aximo.log_size(log text default 'events') returns bigint
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo.current_customer();
begin
    if (log_size.log in ('events', 'run_events')) is not true then
        raise exception using
            errcode = 'ZXARG',
            message = 'there is no such log',
            detail = format('log %L', left(log_size.log, 60)),
            hint = 'A customer has the logs events and run_events.',
            constraint = 'log_known';
    end if;
    return coalesce(
        (
            select l.number
            from aximo.log_leaves as l
            where l.customer_id = customer and l.log = log_size.log
            order by l.number desc
            limit 1
        ),
        0
    );
end;
$$;
comment on function aximo.log_size(text) is 'How many entries that log of the session''s customer has; 0 if the session has no customer. ZXARG: no such log.';
