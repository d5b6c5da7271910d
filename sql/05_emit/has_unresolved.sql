-- Reads the actions of an execution once. An action is matched by its id, and an action without an id by the number of those with its type.
create function aximo_private.has_unresolved(
    customer text, execution text, denied boolean, denied_ids text[], batch aximo_private.events[], upto bigint, from_nothing boolean
) returns boolean
language plpgsql stable security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
-- The plan is the same for every execution, and takes longer to make than to run.
set plan_cache_mode = force_generic_plan
as $$
begin
    return exists (
        with
        action as (
            select
                s.event_type, aximo_private.step_key(s.payload, 'approval_id') as approval_id,
                aximo_private.step_key(s.payload, 'action_id') as action_id,
                aximo_private.step_key(s.payload, 'action_type') as action_type
            from (
                select e.event_type, e.payload
                from only aximo_private.events as e
                -- In collation C, action_... sorts before all other types.
                where not from_nothing and e.customer_id = customer and e.execution_id = execution and e.event_type < 'approval_'
                union all
                select b.event_type, b.payload
                from unnest(batch) as b
                where b.customer_id = customer and b.execution_id = execution
                    -- Of stored events the steps tell the order: positions are each node's own.
                    and case when from_nothing then b.step else b.position end < upto and b.event_type < 'approval_'
            ) as s
        ),
        weighed as (
            select
                a.*,
                case when a.approval_id is null then denied else coalesce(a.approval_id = any(denied_ids), false) end as is_denied
            from action as a
        ),
        matched as (
            select
                w.action_id,
                -- A denied action need not be resolved.
                count(*) filter (where w.event_type = 'action_prepared' and not w.is_denied) as prepared,
                -- The failure of a denied action resolves that action only.
                count(*) filter (
                    where w.event_type <> 'action_prepared'
                    and not (w.event_type = 'action_failed' and w.approval_id is not null and w.is_denied)
                ) as resolved
            from weighed as w
            group by w.action_id, case when w.action_id is null then w.action_type end
        )
        select
        from matched as m
        where m.prepared > m.resolved and (m.action_id is null or m.resolved = 0)
    );
end;
$$;
alter function aximo_private.has_unresolved(text, text, boolean, text[], aximo_private.events[], bigint, boolean) owner to aximo_recorder;
comment on function aximo_private.has_unresolved(text, text, boolean, text[], aximo_private.events[], bigint, boolean) is 'Whether an action of an execution was prepared, not denied, and neither dispatched nor failed. Looks at the stored events, unless from_nothing, and at those of a batch before a place.';
