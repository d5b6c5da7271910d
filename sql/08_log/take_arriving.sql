-- Fires for what logical replication brings, and for nothing else. Of a customer that is arriving it keeps the order of arrival below zero,
-- where numbering does not look: these events have their numbers. What stayed here when the customer left comes a second time: history is
-- the same and is kept, state is replaced.
create function aximo_private.take_arriving() returns trigger
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    was_here boolean;
    is_there boolean;
    same_key text;
begin
    select p.was_here into was_here
    from only aximo_private.placements as p
    where p.customer_id = new.customer_id and p.state = 'arriving';
    if not found then
        return new;
    end if;
    -- Two conditions: no other table has a position.
    if tg_relid = 'aximo_private.events'::regclass then
        if new.position > 0 then
            new.position := new.position - 9223372036854775807;
        end if;
    end if;
    if not was_here then
        return new;
    end if;
    select string_agg(format('t.%1$I = ($1).%1$I', k.name), ' and ') into same_key
    from unnest(tg_argv) as k (name);
    if tg_relid = 'helix.runs'::regclass then
        update helix.runs as r set
            status = new.status, started_at = new.started_at, finished_at = new.finished_at, exit_code = new.exit_code,
            error = new.error, result_json = new.result_json, log_artifact_id = new.log_artifact_id, execution_id = new.execution_id
        where r.customer_id = new.customer_id and r.run_id = new.run_id;
        is_there := found;
    elsif exists (
            select from pg_catalog.pg_trigger as t
            where t.tgrelid = tg_relid and t.tgname = 'append_only_row'
        ) then
        execute format('select true from only %s as t where %s', tg_relid::regclass, same_key) into is_there using new;
    else
        execute format('delete from only %s as t where %s', tg_relid::regclass, same_key) using new;
    end if;
    if is_there then
        return null;
    end if;
    return new;
end;
$$;
comment on function aximo_private.take_arriving() is 'Takes rows of a customer that arrives from another node of the fleet, by logical replication.';
