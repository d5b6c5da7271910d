create view aximo_metrics.high_risk_levels with (security_barrier = true) as
select
    c.customer_id,
    nullif(m.effective_from, '-infinity') as effective_from,
    m.set_at,
    l.risk_level,
    m.levels is null as is_withdrawal,
    m.effective_from <= now() and not exists (
        select
        from aximo_private.high_risk_levels as n
        where n.customer_id = m.customer_id and n.effective_from <= now()
            and (n.effective_from, n.set_at) > (m.effective_from, m.set_at)
    ) as is_current,
    case when m.customer_id = '*' then 'all customers' else 'customer' end as scope,
    case when m.customer_id <> '*' then m.set_by end as set_by
from aximo_private.high_risk_levels as m
left join lateral unnest(m.levels) as l (risk_level) on true
cross join aximo_private.known_customer as c
-- What a query asks for is looked at after this: else EXPLAIN ANALYZE shows whether it met another customer's row.
offset 0;
alter view aximo_metrics.high_risk_levels owner to aximo_owner;

comment on view aximo_metrics.high_risk_levels is 'The risk levels that count as high in attribution_monthly, and their history. Key: scope, effective_from, set_at, risk_level.';
comment on column aximo_metrics.high_risk_levels.customer_id is 'Always the session''s customer.';
comment on column aximo_metrics.high_risk_levels.effective_from is 'For months that end after this moment; null: for all.';
comment on column aximo_metrics.high_risk_levels.set_at is 'When it was set, by the database''s clock.';
comment on column aximo_metrics.high_risk_levels.risk_level is 'A level that counts as high; null if none does, or if what was set before is taken back.';
comment on column aximo_metrics.high_risk_levels.is_withdrawal is 'Whether it takes back what was set before.';
comment on column aximo_metrics.high_risk_levels.is_current is 'Whether it is the latest that has taken effect. The customer''s own goes before the one of all.';
comment on column aximo_metrics.high_risk_levels.scope is 'customer, or all customers that set none.';
comment on column aximo_metrics.high_risk_levels.set_by is 'The login that set it; null for those of all customers.';
