-- Judges again which of the counted actions are leads, by the setting as it is now. It takes one month in all grains, so that hours still
-- add up to days and days to months.
create function aximo_private.count_leads(step bigint) returns boolean
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
-- The tables of sums have no statistics, and a customer has many rows there.
set enable_nestloop = off
as $$
#variable_conflict use_column
declare
    of_customer text;
    judged_since timestamptz;
    month timestamptz;
begin
    -- A setting for all customers becomes one row a customer, and is judged like a customer's own.
    with
    of_all as (
        delete from only aximo_private.unjudged_leads as u
        where u.customer_id = '*'
        returning u.since
    )
    insert into aximo_private.unjudged_leads (customer_id, since)
    select c.customer_id, a.since
    from of_all as a
    cross join (select g.customer_id from only aximo_private.counted_logs as g where g.log = 'events') as c;
    -- In random order, so that a customer that sets it again and again keeps no other waiting.
    select u.customer_id into of_customer
    from only aximo_private.unjudged_leads as u
    order by u.setting_id
    limit 1;
    if not found then
        return false;
    end if;
    with
    taken as (
        delete from only aximo_private.unjudged_leads as u
        where u.customer_id = of_customer
        returning u.since
    )
    select min(t.since) into judged_since
    from taken as t;
    -- One month a call: if a statement_timeout ends a call, one month is lost, not a long history.
    select min(s.bucket) into month
    from only aximo_private.activity_sums as s
    where s.customer_id = of_customer and s.grain = 'month' and s.bucket >= date_trunc('month', judged_since, 'UTC');
    if month is null then
        return true;
    end if;
    insert into aximo_private.unjudged_leads (customer_id, since)
    select of_customer, aximo_private.month_end(month)
    where exists (
            select
            from only aximo_private.activity_sums as s
            where s.customer_id = of_customer and s.grain = 'month' and s.bucket > month
        );
    with
    judged as (
        select s.grain, s.bucket, s.deployment_id, s.skill_id, s.skill_version, sum(s.dispatched) as leads, sum(s.emergencies) as emergencies
        from only aximo_private.action_sums as s
        where s.customer_id = of_customer and s.grain in ('hour', 'day', 'month')
            and s.bucket >= month and s.bucket < aximo_private.month_end(month)
            and s.action_type = any((
                select aximo_private.list_of(of_customer, 'lead_action_types', aximo_private.month_end(month))
            )::text[])
        group by 1, 2, 3, 4, 5
    )
    update only aximo_private.activity_sums as s
    set leads = n.leads, emergency_leads = n.emergency_leads, changed_in = count_leads.step
    from (
        select o.grain, o.bucket, o.series, coalesce(j.leads, 0) as leads, coalesce(j.emergencies, 0) as emergency_leads
        from only aximo_private.activity_sums as o
        left join judged as j on j.grain = o.grain and j.bucket = o.bucket and j.deployment_id = o.deployment_id
            and j.skill_id = o.skill_id and j.skill_version = o.skill_version
        where o.customer_id = of_customer and o.grain in ('hour', 'day', 'month')
            and o.bucket >= month and o.bucket < aximo_private.month_end(month)
    ) as n
    where s.customer_id = of_customer and s.grain in ('hour', 'day', 'month')
        and s.bucket >= month and s.bucket < aximo_private.month_end(month)
        and s.grain = n.grain and s.bucket = n.bucket and s.series = n.series
        and (s.leads, s.emergency_leads) <> (n.leads, n.emergency_leads);
    update only aximo_private.activity_sums as s
    set leads = n.leads, emergency_leads = n.emergency_leads, changed_in = count_leads.step
    from (
        select coalesce(sum(m.leads), 0) as leads, coalesce(sum(m.emergency_leads), 0) as emergency_leads
        from only aximo_private.activity_sums as m
        where m.customer_id = of_customer and m.grain = 'month'
    ) as n
    where s.customer_id = of_customer and s.grain = 'customer';
    return true;
end;
$$;
alter function aximo_private.count_leads(bigint) owner to aximo_sequencer;
comment on function aximo_private.count_leads(bigint) is 'Judges the leads of one month of a customer that set anew which actions are leads; false if no customer did.';
