-- Hashes the subtrees that are complete now and were not before: one hash an entry, all levels together.
create function aximo_private.grow_tree(log text, touched aximo_private.log_growth[]) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    width bigint := 256;
begin
    insert into aximo_private.log_nodes (customer_id, log, level, index, hash)
    select
        t.customer_id,
        grow_tree.log,
        1,
        b.index,
        aximo.tree_hash(
            array(
                select l.leaf
                from only aximo_private.log_entries as l
                where l.customer_id = t.customer_id and l.log = grow_tree.log and l.number between 256 * b.index + 1 and 256 * (b.index + 1)
                order by l.number
            )
        )
    from unnest(touched) as t
    cross join lateral generate_series(t.old_size / 256, t.new_size / 256 - 1) as b (index);

    for height in 2 .. 7 loop
        width := width * 256;
        exit when not exists (select from unnest(touched) as t where t.new_size >= width);
        insert into aximo_private.log_nodes (customer_id, log, level, index, hash)
        select
            t.customer_id,
            grow_tree.log,
            height,
            b.index,
            aximo.tree_hash(c.hashes)
        from unnest(touched) as t
        cross join lateral generate_series(t.old_size / width, t.new_size / width - 1) as b (index)
        cross join lateral (
            select array(
                select n.hash
                from only aximo_private.log_nodes as n
                where n.customer_id = t.customer_id and n.log = grow_tree.log and n.level = height - 1
                    and n.index between 256 * b.index and 256 * b.index + 255
                order by n.index
            ) as hashes
        ) as c
        -- Of what is not whole no hash is made; aximo.rebuild_log_nodes does, when it is.
        where cardinality(c.hashes) = 256;
    end loop;
end;
$$;
alter function aximo_private.grow_tree(text, aximo_private.log_growth[]) owner to aximo_sequencer;
comment on function aximo_private.grow_tree(text, aximo_private.log_growth[]) is 'Adds the hashes of the subtrees that new entries completed.';
