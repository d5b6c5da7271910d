create view aximo.access_history with (security_barrier = true) as
select
    c.customer_id, g.role_name, g.customer_id = '*' as of_all_customers,
    g.changed_at as granted_at, g.changed_by as granted_by, r.changed_at as revoked_at, r.changed_by as revoked_by
from aximo_private.known_customer as c
inner join aximo_private.access_changes as g on g.customer_id in (c.customer_id, '*')
left join lateral (
    select n.changed_at, n.changed_by
    from aximo_private.access_changes as n
    where n.customer_id = g.customer_id and n.role_name = g.role_name and not n.is_granted
        and (n.changed_at, n.change_id) > (g.changed_at, g.change_id)
    order by n.changed_at, n.change_id
    limit 1
) as r on true
where g.is_granted
offset 0;
comment on view aximo.access_history is 'Which logins could work for the session''s customer, and from when to when: each time it was granted, a row. What they may do there is said by their roles, and not here.';
comment on column aximo.access_history.customer_id is 'Always the session''s customer.';
comment on column aximo.access_history.role_name is 'The login.';
comment on column aximo.access_history.of_all_customers is 'Whether it was granted all customers, this one among them.';
comment on column aximo.access_history.granted_at is 'From when on, by the database''s clock.';
comment on column aximo.access_history.granted_by is 'The login that granted it.';
comment on column aximo.access_history.revoked_at is 'Until when; null while it is granted.';
comment on column aximo.access_history.revoked_by is 'The login that revoked it; null while it is granted.';
