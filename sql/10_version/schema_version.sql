create function aximo.schema_version() returns integer
language sql immutable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$select 3$$;
comment on function aximo.schema_version() is 'The version of this schema; every migration counts it up.';
