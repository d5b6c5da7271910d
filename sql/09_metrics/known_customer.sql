-- Some views show something even of a customer without events, such as the thresholds for all. They show it of customers that exist.
create view aximo_private.known_customer with (security_barrier = true) as
select s.customer_id
from (select (select aximo.current_customer()) collate "C" as customer_id) as s
where s.customer_id <> '*' and (
    exists (select from aximo_private.events as e where e.customer_id = s.customer_id)
    or exists (select from helix.runs as r where r.customer_id = s.customer_id)
    or exists (select from aximo_private.access_changes as a where a.customer_id = s.customer_id)
    or exists (select from aximo_private.thresholds as t where t.customer_id = s.customer_id)
    or exists (select from aximo_private.metric_lists as r where r.customer_id = s.customer_id)
);
comment on view aximo_private.known_customer is 'The session''s customer, if there is anything of it.';
comment on column aximo_private.known_customer.customer_id is 'The customer.';
