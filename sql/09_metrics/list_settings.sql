create view aximo_private.list_settings with (security_barrier = true) as
select
    c.customer_id, m.list, nullif(m.effective_from, '-infinity') as effective_from, m.set_at, i.item, m.items is null as is_withdrawal,
    m.effective_from <= now() and not exists (
        select
        from aximo_private.metric_lists as n
        where n.customer_id = m.customer_id and n.list = m.list and n.effective_from <= now()
            and (n.effective_from, n.set_at) > (m.effective_from, m.set_at)
    ) as is_current,
    case when m.customer_id = '*' then 'all customers' else 'customer' end as scope,
    case when m.customer_id <> '*' then m.set_by end as set_by
from aximo_private.metric_lists as m
left join lateral unnest(m.items) as i (item) on true
cross join aximo_private.known_customer as c;
comment on view aximo_private.list_settings is 'The settings of the session''s customer that are lists, one row an entry.';
comment on column aximo_private.list_settings.customer_id is 'The session''s customer.';
comment on column aximo_private.list_settings.list is 'high_risk_levels or lead_action_types.';
comment on column aximo_private.list_settings.item is 'An entry; null if there is none.';
