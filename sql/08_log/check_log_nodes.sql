-- Computes the tree again from the leaves of its entries, level by level, and compares it with the stored hashes, within one snapshot:
-- about a second for a million entries.
create function aximo.check_log_nodes(log text default 'events', since bigint default 0) returns void
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo.current_customer();
    size constant bigint := aximo.log_size(check_log_nodes.log);
    height integer := 1;
    width bigint := 256;
    problem text;
begin
    while width <= size and height <= 7 loop
        select format('log %L, level %s, index %s: %s', check_log_nodes.log, height, b.index, case when n.hash is null then 'missing' else 'differs' end)
        into problem
        from generate_series(greatest(check_log_nodes.since, 0) / width, size / width - 1) as b (index)
        left join lateral (
            select k.hash
            from aximo.log_nodes as k
            where k.customer_id = customer and k.log = check_log_nodes.log and k.level = height and k.index = b.index
            offset 0
        ) as n on true
        cross join lateral (
            select case
                when height = 1 then array(
                    select l.leaf
                    from aximo.log_leaves as l
                    where l.customer_id = customer and l.log = check_log_nodes.log
                        and l.number between 256 * b.index + 1 and 256 * (b.index + 1)
                    order by l.number
                )
                else array(
                    select k.hash
                    from aximo.log_nodes as k
                    where k.customer_id = customer and k.log = check_log_nodes.log and k.level = height - 1
                        and k.index between 256 * b.index and 256 * b.index + 255
                    order by k.index
                )
            end as hashes
        ) as c
        where cardinality(c.hashes) <> 256 or n.hash is distinct from aximo.tree_hash(c.hashes)
        order by b.index
        limit 1;
        if problem is not null then
            raise exception using
                errcode = 'ZXENV',
                message = 'a hash of the log''s tree is missing, or does not follow from its entries',
                detail = problem,
                hint = 'If it is missing, aximo.rebuild_log_nodes makes it again. If it differs, somebody changed it: see "Hashes of the log that are missing" in docs/dba.md.',
                constraint = 'log_nodes_are_the_entries';
        end if;
        height := height + 1;
        width := width * 256;
    end loop;
end;
$$;
comment on function aximo.check_log_nodes(text, bigint) is 'Nothing, if the kept hashes of the complete subtrees of that log of the session''s customer follow from its entries; or those of subtrees that were not complete yet when it had so many entries. Reads the leaves of these. To be called before a checkpoint is signed. ZXENV: a hash is missing or differs; ZXARG: no such log.';
