-- plpgsql keeps the plan; a SQL function is planned at every call before PostgreSQL 18.
create function aximo.execution_trace(execution_id text) returns setof aximo.execution_steps
language plpgsql stable security invoker parallel safe rows 10
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    return query
    select s.*
    from aximo.execution_steps as s
    where s.execution_id = execution_trace.execution_id
    order by s.step;
end;
$$;
alter function aximo.execution_trace(text) owner to aximo_owner;
comment on function aximo.execution_trace(text) is
'What happened in an execution: its events in order of arrival, with the time since its start and since the event before. No rows if the session''s customer has no such execution.';
