create function aximo.log_tile(level integer, index bigint, width integer default 256, log text default 'events') returns bytea
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo.current_customer();
    first_one bigint;
begin
    if (
        log_tile.log in ('events', 'run_events') and log_tile.level between 0 and 7 and log_tile.width between 1 and 256 and log_tile.index between 0 and 36028797018963966
    ) is not true then
        raise exception using
            errcode = 'ZXARG',
            message = 'there is no such tile',
            detail = format('log %L, level %s, index %s, width %s', left(log_tile.log, 60), log_tile.level, log_tile.index, log_tile.width),
            hint = 'A log is events or run_events, a level 0 to 7, an index 0 or more, a width 1 to 256.',
            constraint = 'tile_is_possible';
    end if;
    first_one := 256 * log_tile.index;
    if log_tile.level = 0 then
        return (
            select string_agg(l.leaf, '' order by l.number)
            from aximo.log_leaves as l
            where l.customer_id = customer and l.log = log_tile.log and l.number between first_one + 1 and first_one + log_tile.width
        );
    end if;
    return (
        select string_agg(n.hash, '' order by n.index)
        from aximo.log_nodes as n
        where n.customer_id = customer and n.log = log_tile.log and n.level = log_tile.level
            and n.index between first_one and first_one + log_tile.width - 1
    );
end;
$$;
comment on function aximo.log_tile(integer, bigint, integer, text) is 'A tile of that log of the session''s customer, as C2SP tlog-tiles has it: up to 256 hashes of 32 bytes, fewer if there are not so many; null if there is none. ZXARG: no such level, index or width.';
