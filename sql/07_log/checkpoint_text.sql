create function aximo.checkpoint_text(size bigint default null) returns text
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    actual constant bigint := coalesce(checkpoint_text.size, aximo.log_size());
begin
    return aximo.log_origin() || E'\n' || actual || E'\n' || encode(aximo.log_root(actual), 'base64') || E'\n';
end;
$$;
alter function aximo.checkpoint_text(bigint) owner to aximo_owner;
comment on function aximo.checkpoint_text(bigint) is
'The checkpoint of the log of the session''s customer at that size, now if left out: origin, size and root, a line each (C2SP tlog-checkpoint). Null if the session has no customer. ZXARG: the log has not that size.';
