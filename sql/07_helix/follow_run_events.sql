-- A run that was made for imported events is in the state that the last of its events on it says; it never goes back.
create function aximo_private.follow_run_events(customer text, runs text[]) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    update helix.runs as r
    set
        status = s.status,
        finished_at = case when s.status in ('succeeded', 'failed', 'blocked') then s.ts end,
        error = case when s.status in ('failed', 'blocked') then s.error end
    from (
        select distinct on (e.run_id)
            e.run_id, e.ts, e.data ->> 'error' as error,
            case when k.state = 'started' then 'running' else k.state end as status
        from only helix.run_events as e
        cross join lateral (
            select v.state
            from helix.event_kinds as v
            where v.kind = e.kind
            order by v.version desc
            limit 1
        ) as k
        where k.state is not null and e.customer_id = customer
            and e.run_id in (
                select m.run_id
                from only helix.runs as m
                where m.customer_id = customer and m.made_for_events
                    and m.status in ('queued', 'running') and m.run_id = any(runs)
            )
        order by e.run_id, k.state in ('succeeded', 'failed', 'blocked') desc, e.event_id desc
    ) as s
    where r.customer_id = customer and r.run_id = s.run_id and r.status <> s.status
        and not (r.status = 'running' and s.status = 'queued');
end;
$$;
alter function aximo_private.follow_run_events(text, text[]) owner to aximo_recorder;
comment on function aximo_private.follow_run_events(text, text[]) is 'Moves the runs that were made for imported events to the state that these say.';
