create function aximo_private.rebuild_execution(customer text, execution text) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    retold record;
begin
    perform
    from only aximo_private.executions as x
    where x.customer_id = customer and x.execution_id = execution
    for no key update;
    select t.lives, t.approvals into retold
    from aximo_private.lives_after(
        array(select e from only aximo_private.events as e where e.customer_id = customer and e.execution_id = execution order by e.step),
        is_history => true, from_nothing => true
    ) as t;
    delete from aximo_private.approvals as a
    where a.customer_id = customer and a.execution_id = execution;
    if retold.lives is null then
        delete from aximo_private.executions as x
        where x.customer_id = customer and x.execution_id = execution;
    else
        perform aximo_private.store_lives(retold.lives, retold.approvals);
    end if;
end;
$$;
alter function aximo_private.rebuild_execution(text, text) owner to aximo_recorder;
comment on function aximo_private.rebuild_execution(text, text) is 'Makes the rows of an execution and its approvals anew, from its events alone.';
