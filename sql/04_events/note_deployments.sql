create function aximo_private.note_deployments(
    events aximo_private.events[],
    -- True: of an execution only the first event is looked at, as all its events are of one deployment unless one breaks that rule.
    first_only boolean
) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
begin
    insert into aximo_private.known_deployments (customer_id, deployment_id, event_id)
    select
        d.customer_id, d.deployment_id,
        (
            select f.event_id
            from unnest(note_deployments.events) as f
            where f.customer_id = d.customer_id and f.deployment_id = d.deployment_id
            limit 1
        )
    from (
        select distinct e.customer_id, e.deployment_id
        from unnest(note_deployments.events) as e
        where not first_only or e.step = 1 or e.step is null
    ) as d
    where (
        select true
        from only aximo_private.known_deployments as k
        where k.customer_id = d.customer_id and k.deployment_id = d.deployment_id
        limit 1
    ) is null;
end;
$$;
alter function aximo_private.note_deployments(aximo_private.events[], boolean) owner to aximo_recorder;
comment on function aximo_private.note_deployments(aximo_private.events[], boolean) is 'Notes the deployments of events that are not known yet.';
