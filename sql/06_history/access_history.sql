create view aximo.access_history with (security_barrier = true) as
select
    c.customer_id,
    c.role_name,
    c.changed_at as granted_at,
    c.changed_by as granted_by,
    r.changed_at as revoked_at,
    r.changed_by as revoked_by
from (
    select *
    from only aximo_private.access_changes -- noqa: PRS
) as c
left join lateral (
    select n.changed_at, n.changed_by
    from (
        select *
        from only aximo_private.access_changes -- noqa: PRS
    ) as n
    where n.customer_id = c.customer_id and n.role_name = c.role_name and n.change_id > c.change_id and not n.is_granted
    order by n.change_id
    limit 1
) as r on true
where c.is_granted;
alter view aximo.access_history owner to aximo_owner;
comment on view aximo.access_history is 'Which logins could work for the session''s customer, and from when to when: each time it was granted, a row.';
comment on column aximo.access_history.customer_id is 'The session''s customer; * if the login had all customers.';
comment on column aximo.access_history.role_name is 'The login.';
comment on column aximo.access_history.granted_at is 'From when on, by the database''s clock.';
comment on column aximo.access_history.granted_by is 'The login that granted it.';
comment on column aximo.access_history.revoked_at is 'Until when; null while it is granted.';
comment on column aximo.access_history.revoked_by is 'The login that revoked it; null while it is granted.';
