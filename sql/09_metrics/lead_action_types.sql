create view aximo_metrics.lead_action_types with (security_barrier = true) as
select
    m.customer_id, m.effective_from, m.set_at, m.item as action_type, m.is_withdrawal, m.is_current, m.scope, m.set_by
from aximo_private.told_lists as m
where m.customer_id = (select aximo.current_customer()) and m.list = 'lead_action_types'
offset 0;

comment on view aximo_metrics.lead_action_types is 'The action types that count as leads in business_value, and their history. Key: scope, effective_from, set_at, action_type.';
comment on column aximo_metrics.lead_action_types.action_type is 'A type that counts as a lead; null if none does, or if what was set before is taken back.';
select aximo_private.take_comments('aximo_metrics.high_risk_levels', 'aximo_metrics.lead_action_types');
