-- Judges each new entry by the rules of its execution's life, in the order of the log.
create function aximo_private.list_violations(touched aximo_private.log_growth[]) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    longest constant integer := 10000;
begin
    with
    entry as materialized (
        select
            -- A life for short, across customers.
            dense_rank() over (order by t.customer_id, e.execution_id)::text as life,
            t.customer_id,
            t.old_size,
            n.number,
            e.*
        from unnest(touched) as t
        cross join lateral (
            select l.number, l.event_id
            from only aximo_private.log_entries as l
            where l.customer_id = t.customer_id and l.log = 'events' and l.number > t.old_size and l.number <= t.new_size
            offset 0
        ) as n
        cross join lateral (
            select s.event_id, s.execution_id, s.event_type, s.deployment_id, s.skill_id, s.skill_version, s.payload
            from only aximo_private.events as s
            where s.customer_id = t.customer_id and s.event_id = n.event_id
            offset 0
        ) as e
        where e.execution_id is not null
    ),
    plain as materialized (
        select l.life
        from aximo_private.plain_lives(
            array(
                select
                    row(
                        e.life, e.number, true, null, e.event_type, null, e.deployment_id, e.skill_id, e.skill_version, null,
                        aximo_private.step_key(e.payload, 'action_id'), aximo_private.step_key(e.payload, 'action_type')
                    )::aximo_private.life_step
                from entry as e
            )
        ) as l (life)
    ),
    -- Those that are not plain, or have had events before.
    unclear as materialized (
        select g.*
        from (
            select
                e.life,
                e.customer_id,
                e.execution_id,
                e.old_size,
                count(*) as steps,
                min(e.number) as first_number,
                (
                    select count(*)
                    from (
                        select
                        from only aximo_private.events as s
                        where s.customer_id = e.customer_id and s.execution_id = e.execution_id
                        limit longest + 1
                    ) as s
                ) as stored
            from entry as e
            group by e.life, e.customer_id, e.execution_id, e.old_size
        ) as g
        where g.life not in (select p.life from plain as p) or g.steps < g.stored
    ),
    doubtful as materialized (
        select u.*
        from unclear as u
        where u.stored <= longest
    ),
    -- One execution that never ends must not keep everybody's events from being numbered.
    too_long as (
        insert into aximo_private.violations (customer_id, number, event_id, execution_id, rule)
        select u.customer_id, u.first_number, e.event_id, u.execution_id, 'too_long_to_judge'
        from unclear as u
        inner join entry as e on e.life = u.life and e.number = u.first_number
        where u.stored > longest
    ),
    breach as (
        select b.*
        from aximo_private.breaches(
            array(
                select
                    row(
                        d.life, n.number, n.number > d.old_size, e.event_id, e.event_type, e.answers, e.deployment_id, e.skill_id,
                        e.skill_version, aximo_private.step_key(e.payload, 'approval_id'), aximo_private.step_key(e.payload, 'action_id'),
                        aximo_private.step_key(e.payload, 'action_type')
                    )::aximo_private.life_step
                from doubtful as d
                cross join lateral (
                    select s.*
                    from only aximo_private.events as s
                    where s.customer_id = d.customer_id and s.execution_id = d.execution_id
                    offset 0
                ) as e
                cross join lateral (
                    select l.number
                    from only aximo_private.log_entries as l
                    where l.customer_id = d.customer_id and l.event_id = e.event_id
                    offset 0
                ) as n
            )
        ) as b
    )
    insert into aximo_private.violations (customer_id, number, event_id, execution_id, rule, against)
    select d.customer_id, b.place, b.event_id, d.execution_id, b.rule, b.against
    from breach as b
    inner join doubtful as d on d.life = b.life;
end;
$$;
alter function aximo_private.list_violations(aximo_private.log_growth[]) owner to aximo_sequencer;
comment on function aximo_private.list_violations(aximo_private.log_growth[]) is
'Writes down which of the new entries break a rule of their execution''s life. Refuses nothing.';
