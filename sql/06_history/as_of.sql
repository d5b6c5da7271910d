-- The moment that the views of this folder show: now, unless an _as_of function is running. Such a function puts the moment into the
-- setting aximo.as_of, behind the start of its transaction, so that a value that a pooled session left behind has no effect.
create function aximo_private.as_of(known boolean default false) returns timestamptz
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    parts constant text[] := string_to_array(current_setting('aximo.as_of', true), '|');
begin
    if parts[1] = extract(epoch from now())::text then
        return to_timestamp(parts[case when known then 3 else 2 end]::double precision);
    end if;
    return 'infinity';
end;
$$;
comment on function aximo_private.as_of(boolean) is 'The moment that history is looked at: by timestamp, or, if known, by recorded_at. Infinity unless an _as_of function is running.';
