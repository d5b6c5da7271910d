-- What the verification of a log asks. Each statement begins with its name.

-- name: lines
-- Entries with their lines, to be hashed.
select number, event_id, run_event_id, line, leaf
from aximo.log_lines
where log = %s and number between %s and %s
order by number;

-- name: leaves
-- Entries whose lines were looked at before.
select number, event_id, run_event_id, null::text, leaf
from aximo.log_leaves
where log = %s and number between %s and %s
order by number;

-- name: nodes
-- The kept hashes of the subtrees that end between two entries; level by level, by the index.
select n.level, n.index, n.hash
from (select v.level, (256::numeric ^ v.level)::bigint as width from generate_series(1, 7) as v (level)) as g
cross join lateral (
    select k.level, k.index, k.hash
    from aximo.log_nodes as k
    where k.log = %(log)s and k.level = g.level and k.index between (%(start)s - 1) / g.width and %(end)s / g.width - 1
    offset 0
) as n;

-- name: nodes_ahead
-- Kept hashes of entries that are not there.
select level, index
from aximo.log_nodes
where log = %(log)s
    and (level not between 1 and 7 or (index + 1) * 256::numeric ^ level > (select aximo.log_size(%(log)s)))
order by level, index;

-- name: next
-- The entry after a gap.
select min(number) from aximo.log_leaves where log = %s and number > %s;

-- name: stored_checkpoint
-- The latest one of a size, or of at least one; one that is signed rather than one that is not.
select size, note
from aximo.checkpoints
where log = %s and size >= %s and (%s::bigint is null or size = %s)
order by size desc, position(E'\n\n' in note) > 0 desc, made_at desc
limit 1;
