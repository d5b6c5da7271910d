create function aximo_private.count_actions(facts aximo_private.fact[], step bigint) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    with
    hourly as materialized (
        select
            h.*,
            aximo_private.series_key(array[h.deployment_id, h.skill_id, h.skill_version, h.action_type, h.risk_level]) as series
        from (
            select
                f.customer_id, f.deployment_id, f.skill_id, f.skill_version, f.hour, f.action_type, f.risk_level,
                count(*) filter (where f.event_type = 'action_prepared') as prepared,
                count(*) filter (where f.event_type = 'action_dispatched') as dispatched,
                count(*) filter (where f.event_type = 'action_failed') as failed,
                count(*) filter (where f.is_emergency) as emergencies
            from unnest(facts) as f
            where f.event_type in ('action_prepared', 'action_dispatched', 'action_failed')
            group by 1, 2, 3, 4, 5, 6, 7
        ) as h
    ),
    added as materialized (
        select
            h.customer_id, b.grain, b.bucket, h.series, h.deployment_id, h.skill_id, h.skill_version, h.action_type, h.risk_level,
            sum(h.prepared) as prepared, sum(h.dispatched) as dispatched, sum(h.failed) as failed,
            sum(h.emergencies) as emergencies
        from hourly as h
        cross join lateral (
            values
            ('hour', h.hour),
            ('day', date_trunc('day', h.hour, 'UTC')),
            ('month', date_trunc('month', h.hour, 'UTC'))
        ) as b (grain, bucket)
        group by 1, 2, 3, 4, 5, 6, 7, 8, 9
    ),
    old as materialized (
        delete from only aximo_private.action_sums as s
        using added as t
        where s.customer_id = t.customer_id and s.grain = t.grain and s.bucket = t.bucket and s.series = t.series
        returning s.*
    )
    insert into aximo_private.action_sums
    select
        a.customer_id, a.grain, a.bucket, a.series, a.deployment_id, a.skill_id, a.skill_version, a.action_type, a.risk_level,
        a.prepared + coalesce(o.prepared, 0), a.dispatched + coalesce(o.dispatched, 0), a.failed + coalesce(o.failed, 0),
        a.emergencies + coalesce(o.emergencies, 0), count_actions.step
    from added as a
    left join old as o on o.customer_id = a.customer_id and o.grain = a.grain and o.bucket = a.bucket and o.series = a.series;
end;
$$;
alter function aximo_private.count_actions(aximo_private.fact[], bigint) owner to aximo_sequencer;
comment on function aximo_private.count_actions(aximo_private.fact[], bigint) is 'Adds facts to aximo_private.action_sums, in all grains.';
