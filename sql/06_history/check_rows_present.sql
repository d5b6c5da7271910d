-- An execution's row is made with its first event and never deleted. If it is behind its events, further events would be counted wrongly.
create function aximo_private.check_rows_present(customer text, executions text[]) returns void
language plpgsql stable security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    lost text;
begin
    select u.execution_id into lost
    from unnest(executions) as u (execution_id)
    where (
        select e.step
        from only aximo_private.events as e
        where e.customer_id = customer and e.execution_id = u.execution_id
        order by e.step desc
        limit 1
    ) > coalesce(
        (select x.steps from only aximo_private.executions as x where x.customer_id = customer and x.execution_id = u.execution_id), 0
    )
    limit 1;
    if lost is not null then
        raise exception using
            errcode = 'ZXENV',
            message = 'the row of an execution is missing or behind its events',
            detail = format('execution %L', lost),
            hint = 'Nothing was written. "aximo-db verify" names such rows, and "aximo-db verify --repair" makes them anew.',
            constraint = 'execution_row_present';
    end if;
end;
$$;
alter function aximo_private.check_rows_present(text, text[]) owner to aximo_recorder;
comment on function aximo_private.check_rows_present(text, text[]) is 'Raises ZXENV if the row of an execution is behind its events.';
