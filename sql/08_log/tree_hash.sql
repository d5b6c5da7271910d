-- Hashes pairs, level by level; a last hash without a partner moves up unchanged. This is the same tree as that of RFC 9162, which splits
-- at powers of two.
create function aximo.tree_hash(hashes bytea[]) returns bytea
language plpgsql immutable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    level bytea[] := hashes;
    width integer := cardinality(hashes);
    above bytea[];
begin
    if width = 0 then
        return sha256('');
    end if;
    while width > 1 loop
        above := '{}';
        for pair in 1 .. width / 2 loop
            above[pair] := sha256(decode('01', 'hex') || level[2 * pair - 1] || level[2 * pair]);
        end loop;
        if width % 2 = 1 then
            above[width / 2 + 1] := level[width];
        end if;
        level := above;
        width := (width + 1) / 2;
    end loop;
    return level[1];
end;
$$;
comment on function aximo.tree_hash(bytea[]) is 'The Merkle tree hash of these subtrees'' hashes (RFC 9162, section 2.1.1): all of one size but for the last, which may be smaller.';
