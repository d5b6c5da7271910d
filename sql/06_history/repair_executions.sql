create function aximo.repair_executions() returns bigint
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo_private.writing_customer(null);
    execution text;
    repaired bigint := 0;
begin
    for execution in
        select distinct v.execution_id
        from aximo.verify_executions() as v
        where v.problem ~ '^(execution|approval)_row_'
        order by v.execution_id
    loop
        perform aximo_private.rebuild_execution(customer, execution);
        repaired := repaired + 1;
    end loop;
    perform aximo_private.note_deployments(
        array(
            select distinct on (e.deployment_id) e
            from only aximo_private.events as e
            where e.customer_id = customer
            order by e.deployment_id, e.recorded_at, e.position
        ),
        first_only => false
    );
    return repaired;
end;
$$;
alter function aximo.repair_executions() owner to aximo_recorder;
comment on function aximo.repair_executions() is 'Makes the rows of executions and approvals anew that aximo.verify_executions finds wrong, of the session''s customer, and returns of how many executions. Events are not touched. ZXCUS: no customer.';
