-- A UUIDv7: ids that grow with time keep new index entries together. PostgreSQL makes one itself from version 18 on.
create function aximo_private.new_event_id() returns uuid
language plpgsql volatile security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('server_version_num')::integer >= 180000 then
        return uuidv7();
    end if;
    -- 48 bits of milliseconds and the version; the rest, with its variant, comes from a random UUID.
    return (
        lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0') || '7' || substr(gen_random_uuid()::text, 16)
    )::uuid;
end;
$$;
comment on function aximo_private.new_event_id() is 'An id for an event that came without one: a UUIDv7.';
