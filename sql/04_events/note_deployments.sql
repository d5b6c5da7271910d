create function aximo_private.note_deployments(customer text, events aximo_private.events[]) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
begin
    insert into aximo_private.known_deployments (customer_id, deployment_id, event_id)
    select note_deployments.customer, d.deployment_id, d.event_id
    from (
        select distinct on (e.deployment_id) e.deployment_id, e.event_id
        from unnest(note_deployments.events) as e
        order by e.deployment_id, e.position
    ) as d
    where (
        select true
        from only aximo_private.known_deployments as k
        where k.customer_id = note_deployments.customer and k.deployment_id = d.deployment_id
        limit 1
    ) is null;
end;
$$;
alter function aximo_private.note_deployments(text, aximo_private.events[]) owner to aximo_recorder;
comment on function aximo_private.note_deployments(text, aximo_private.events[]) is 'Notes the deployments of events that are not known yet.';
