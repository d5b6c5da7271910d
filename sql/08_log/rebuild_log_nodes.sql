-- Makes missing hashes again from the leaves. A hash that differs stays: the table is append-only, and first a person has to find out who
-- changed it.
create function aximo.rebuild_log_nodes() returns bigint
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    width bigint := 1;
    made bigint;
    rebuilt bigint := 0;
begin
    perform aximo_private.numbers_for_all();
    perform from aximo_private.log_state for update;
    for height in 1 .. 7 loop
        width := width * 256;
        insert into aximo_private.log_nodes (customer_id, log, level, index, hash)
        select s.customer_id, s.log, height, b.index, aximo.tree_hash(c.hashes)
        from (
            select l.customer_id, l.log, max(l.number) as size
            from only aximo_private.log_entries as l
            -- Those of a customer that is arriving come from the other node.
            where not exists (
                    select from only aximo_private.placements as p
                    where p.customer_id = l.customer_id and p.state = 'arriving'
                )
            group by l.customer_id, l.log
        ) as s
        cross join lateral (
            select i.index
            from generate_series(0, s.size / width - 1) as i (index)
            where not exists (
                    select from only aximo_private.log_nodes as n
                    where n.customer_id = s.customer_id and n.log = s.log and n.level = height and n.index = i.index
                )
            offset 0
        ) as b
        cross join lateral (
            select aximo_private.hashes_below(s.customer_id, s.log, height, b.index) as hashes
            offset 0
        ) as c
        where cardinality(c.hashes) = 256;
        get diagnostics made = row_count;
        rebuilt := rebuilt + made;
    end loop;
    return rebuilt;
end;
$$;
alter function aximo.rebuild_log_nodes() owner to aximo_sequencer;
comment on function aximo.rebuild_log_nodes() is 'Makes the hashes of complete subtrees that are missing, of all logs of all customers, from the leaves of their entries, and returns how many. One that is there stays as it is; aximo.verify_log names it if it differs. Waits for the numbering under way. ZXCUS: a login without all customers.';
