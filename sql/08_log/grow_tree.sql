-- Adds the hashes of the subtrees that are complete now and were not before: all levels together cost one hash an entry.
create function aximo_private.grow_tree(log text, touched aximo_private.log_growth[]) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    width bigint := 1;
begin
    for height in 1 .. 7 loop
        width := width * 256;
        exit when not exists (select from unnest(touched) as t where t.new_size >= width);
        insert into aximo_private.log_nodes (customer_id, log, level, index, hash)
        select t.customer_id, grow_tree.log, height, b.index, aximo.tree_hash(c.hashes)
        from unnest(touched) as t
        cross join lateral generate_series(t.old_size / width, t.new_size / width - 1) as b (index)
        cross join lateral (
            select aximo_private.hashes_below(t.customer_id, grow_tree.log, height, b.index) as hashes
            offset 0
        ) as c
        -- If a smaller subtree has no hash, none is made of it here: aximo.rebuild_log_nodes makes both.
        where height = 1 or cardinality(c.hashes) = 256;
    end loop;
end;
$$;
alter function aximo_private.grow_tree(text, aximo_private.log_growth[]) owner to aximo_sequencer;
comment on function aximo_private.grow_tree(text, aximo_private.log_growth[]) is 'Adds the hashes of the subtrees that new entries completed.';
