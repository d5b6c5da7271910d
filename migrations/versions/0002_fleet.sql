-- clients: old ones go on
-- as in 10_version/schema_version.sql
create or replace function aximo.schema_version() returns integer
language sql immutable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$select 2$$;
comment on function aximo.schema_version() is 'The version of this schema; every migration counts it up.';
-- until here
