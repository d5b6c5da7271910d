create function aximo.oldest_client() returns integer
language sql immutable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$select 1$$;
comment on function aximo.oldest_client() is 'The oldest client protocol that still works with this schema; an older Python package refuses to start.';
