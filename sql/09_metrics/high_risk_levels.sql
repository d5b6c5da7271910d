-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.high_risk_levels with (security_barrier = true) as
select
    m.customer_id,
    m.effective_from,
    m.set_at,
    m.item as risk_level,
    m.is_withdrawal,
    m.is_current,
    m.scope,
    m.set_by
from aximo_private.list_settings as m
where m.customer_id = (select aximo.current_customer()) and m.list = 'high_risk_levels'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.high_risk_levels is 'The risk levels that count as high in attribution_monthly, and their history. Key: scope, effective_from, set_at, risk_level.';
comment on column aximo_metrics.high_risk_levels.customer_id is 'Always the session''s customer.';
comment on column aximo_metrics.high_risk_levels.effective_from is 'For months that end after this moment; null: for all.';
comment on column aximo_metrics.high_risk_levels.set_at is 'When it was set, by the database''s clock.';
comment on column aximo_metrics.high_risk_levels.risk_level is 'A level that counts as high; null if none does, or if what was set before is taken back.';
comment on column aximo_metrics.high_risk_levels.is_withdrawal is 'Whether it takes back what was set before.';
comment on column aximo_metrics.high_risk_levels.is_current is 'Whether it is the latest that has taken effect. The customer''s own goes before the one of all.';
comment on column aximo_metrics.high_risk_levels.scope is 'customer, or all customers that set none.';
comment on column aximo_metrics.high_risk_levels.set_by is 'The login that set it; null for those of all customers.';
select aximo_private.take_comments('aximo_metrics.high_risk_levels', 'aximo_private.list_settings');
