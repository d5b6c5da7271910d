-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_metrics.lead_action_types with (security_barrier = true) as
select
    m.customer_id,
    m.effective_from,
    m.set_at,
    m.item as action_type,
    m.is_withdrawal,
    m.is_current,
    m.scope,
    m.set_by
from aximo_private.list_settings as m
where m.customer_id = (select aximo.current_customer()) and m.list = 'lead_action_types'
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
offset 0;

comment on view aximo_metrics.lead_action_types is 'The action types that count as leads in business_value, and their history. Key: scope, effective_from, set_at, action_type.';
comment on column aximo_metrics.lead_action_types.customer_id is 'Always the session''s customer.';
comment on column aximo_metrics.lead_action_types.effective_from is 'For months that end after this moment; null: for all.';
comment on column aximo_metrics.lead_action_types.set_at is 'When it was set, by the database''s clock.';
comment on column aximo_metrics.lead_action_types.action_type is 'A type that counts as a lead; null if none does, or if what was set before is taken back.';
comment on column aximo_metrics.lead_action_types.is_withdrawal is 'Whether it takes back what was set before.';
comment on column aximo_metrics.lead_action_types.is_current is 'Whether it is the latest that has taken effect. The customer''s own goes before the one of all.';
comment on column aximo_metrics.lead_action_types.scope is 'customer, or all customers that set none.';
comment on column aximo_metrics.lead_action_types.set_by is 'The login that set it; null for those of all customers.';
select aximo_private.take_comments('aximo_metrics.lead_action_types', 'aximo_private.list_settings');
