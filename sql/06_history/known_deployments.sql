-- Read off the index, one look-up a deployment, however many events there are.
create view aximo_private.known_deployments as
with recursive
known as (
    (
        select e.customer_id, e.deployment_id
        from aximo_private.deployment_history as e
        order by e.customer_id, e.deployment_id
        limit 1
    )
    union all
    select n.customer_id, n.deployment_id
    from known as k
    cross join lateral (
        select e.customer_id, e.deployment_id
        from aximo_private.deployment_history as e
        where e.customer_id = k.customer_id and e.deployment_id > k.deployment_id
        order by e.customer_id, e.deployment_id
        limit 1
    ) as n
)
select customer_id, deployment_id
from known;
alter view aximo_private.known_deployments owner to aximo_owner;
comment on view aximo_private.known_deployments is 'Every deployment that the customer''s events speak of. (Imported steps of an execution without its start are not looked at.)';
comment on column aximo_private.known_deployments.customer_id is 'Whose deployment it is.';
comment on column aximo_private.known_deployments.deployment_id is 'The deployment.';
