create function aximo.checkpoint_text(size bigint default null, log text default 'events') returns text
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    actual constant bigint := coalesce(checkpoint_text.size, aximo.log_size(checkpoint_text.log));
begin
    return aximo.log_origin(checkpoint_text.log) || E'\n' || actual || E'\n' || encode(aximo.log_root(actual, checkpoint_text.log), 'base64') || E'\n';
end;
$$;
comment on function aximo.checkpoint_text(bigint, text) is 'The checkpoint of that log of the session''s customer at that size, now if left out: origin, size and root, a line each (C2SP tlog-checkpoint). Null if the session has no customer. ZXARG: the log has not that size, or there is no such log. ZXENV: hashes of the log are missing.';
