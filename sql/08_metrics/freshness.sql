create view aximo_metrics.freshness with (security_barrier = true) as
select
    m.customer_id,
    v.view_name,
    t.refreshed_at,
    m.counts_up_to,
    m.log_size,
    m.log_size - m.counts_up_to as behind
from (
    values
    ('actions'),
    ('actions_hourly'),
    ('actions_monthly'),
    ('alerts'),
    ('alerts_hourly'),
    ('alerts_monthly'),
    ('attribution_monthly'),
    ('business_value'),
    ('business_value_hourly'),
    ('business_value_monthly'),
    ('customer_overview'),
    ('deployment_status'),
    ('execution_health'),
    ('execution_health_hourly'),
    ('execution_health_monthly'),
    ('sla_governance'),
    ('sla_governance_hourly'),
    ('sla_governance_monthly')
) as v (view_name)
cross join aximo_private.metric_state as t
cross join (
    select
        k.customer_id,
        coalesce(
            (
                select l.number
                from aximo_private.log_entries as l
                where l.customer_id = (select aximo.current_customer())
                order by l.number desc
                limit 1
            ),
            0
        ) as log_size,
        coalesce(
            (
                select c.counts_up_to
                from aximo_private.customer_measures as c
                where c.customer_id = (select aximo.current_customer())
            ),
            0
        ) as counts_up_to
    from aximo_private.known_customer as k
) as m
-- What a query asks for is looked at after this: else EXPLAIN ANALYZE shows whether it met another customer's row.
offset 0;
alter view aximo_metrics.freshness owner to aximo_owner;

comment on view aximo_metrics.freshness is 'How fresh each view is. Key: view_name.';
comment on column aximo_metrics.freshness.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.freshness.view_name is 'The view, in aximo_metrics.';
comment on column aximo_metrics.freshness.refreshed_at is 'When metrics were last refreshed; null if never.';
comment on column aximo_metrics.freshness.counts_up_to is 'The log number up to which the view counts.';
comment on column aximo_metrics.freshness.log_size is 'How many events of the customer are numbered now.';
comment on column aximo_metrics.freshness.behind is 'How many numbered events the view does not count yet.';
