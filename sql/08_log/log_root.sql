create function aximo.log_root(size bigint default null, log text default 'events') returns bytea
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo.current_customer();
    actual constant bigint := aximo.log_size(log_root.log);
    remaining bigint := coalesce(log_root.size, actual);
    height integer := 1;
    expected bigint;
    above bytea;
    hashes bytea[];
begin
    if remaining < 0 or remaining > actual then
        raise exception using
            errcode = 'ZXARG',
            message = 'the log never had that size',
            detail = format('size %s was asked for, and the log has %s entries', remaining, actual),
            hint = 'Ask for a size from 0 to the log''s.',
            constraint = 'size_within_log';
    end if;
    -- Collects, level by level, the hashes to the right of the last complete tile, and the hash of everything to the right of those.
    hashes := array(
        select l.leaf
        from aximo.log_leaves as l
        where l.customer_id = customer and l.log = log_root.log and l.number > remaining / 256 * 256 and l.number <= remaining
        order by l.number
    );
    expected := remaining % 256;
    remaining := remaining / 256;
    loop
        -- A root over fewer hashes would look like any other root.
        if cardinality(hashes) <> expected then
            raise exception using
                errcode = 'ZXENV',
                message = 'hashes of the log are missing',
                detail = format('log %L, level %s: %s of %s hashes are there', log_root.log, height - 1, cardinality(hashes), expected),
                hint = 'aximo.verify_log names what is missing, and aximo.rebuild_log_nodes makes it again of the entries.',
                constraint = 'log_nodes_present';
        end if;
        above := case when cardinality(hashes) > 0 then aximo.tree_hash(hashes) end;
        exit when remaining = 0;
        hashes := array(
            select n.hash
            from aximo.log_nodes as n
            where n.customer_id = customer and n.log = log_root.log and n.level = height
                and n.index >= remaining / 256 * 256 and n.index < remaining
            order by n.index
        );
        expected := remaining % 256;
        if above is not null then
            hashes := hashes || above;
            expected := expected + 1;
        end if;
        remaining := remaining / 256;
        height := height + 1;
    end loop;
    return coalesce(above, sha256(''));
end;
$$;
comment on function aximo.log_root(bigint, text) is 'The Merkle tree hash (RFC 9162, section 2.1.1) of the first so many entries of that log of the session''s customer; of all, if left out. ZXARG: the log has not so many, or there is no such log. ZXENV: hashes of the log are missing.';
