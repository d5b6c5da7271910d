-- A function with a statement of its own, so that it stays a look-up: joined into a query, the planner may read all entries instead.
create function aximo_private.hashes_below(customer text, of_log text, height integer, place bigint) returns bytea[]
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if height = 1 then
        return array(
            select l.leaf
            from only aximo_private.log_entries as l
            where l.customer_id = customer and l.log = of_log and l.number between 256 * place + 1 and 256 * (place + 1)
            order by l.number
        );
    end if;
    return array(
        select n.hash
        from only aximo_private.log_nodes as n
        where n.customer_id = customer and n.log = of_log and n.level = height - 1 and n.index between 256 * place and 256 * place + 255
        order by n.index
    );
end;
$$;
alter function aximo_private.hashes_below(text, text, integer, bigint) owner to aximo_sequencer;
comment on function aximo_private.hashes_below(text, text, integer, bigint) is 'The hashes that a subtree of a log is made of: those of 256 entries or of 256 smaller subtrees, fewer if some are missing.';
