-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.attribution_monthly with (security_barrier = true) as
select
    m.customer_id,
    (m.bucket at time zone 'UTC')::date as month,
    sum(m.triggered)::bigint as executions,
    sum(m.actions_dispatched)::bigint as actions,
    coalesce(
        (
            select sum(a.dispatched)
            from aximo_private.actions_kept as a
            where a.customer_id = m.customer_id and a.grain = 'month' and a.bucket = m.bucket
                and a.risk_level = any((
                    select aximo_private.high_risk_at(((m.bucket at time zone 'UTC') + interval '1 month') at time zone 'UTC')
                )::text[])
        ),
        0
    )::bigint as high_risk_actions,
    sum(m.events)::bigint as events,
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
from aximo_private.activity_kept as m
where m.customer_id = (select aximo.current_customer()) and m.grain = 'month'
group by m.customer_id, m.bucket
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.attribution_monthly is 'What a customer has used, for billing, by month. Key: month.';
comment on column aximo_metrics.attribution_monthly.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.attribution_monthly.month is 'The month, UTC, by its first day.';
comment on column aximo_metrics.attribution_monthly.executions is 'How many executions were triggered in this month.';
comment on column aximo_metrics.attribution_monthly.actions is 'How many actions were dispatched in this month.';
comment on column aximo_metrics.attribution_monthly.high_risk_actions is 'How many of them state a high risk level, by the latest setting that takes effect before the month ends.';
comment on column aximo_metrics.attribution_monthly.events is 'How many events of any type in this month.';
comment on column aximo_metrics.attribution_monthly.counts_up_to is 'The log number up to which it counts.';
