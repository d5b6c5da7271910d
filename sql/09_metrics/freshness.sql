create view aximo_metrics.freshness with (security_barrier = true) as
select
    k.customer_id, v.view_name, t.refreshed_at, m.counts_up_to, m.log_size,
    m.log_size - m.counts_up_to as behind
from (
    values
    -- Made by tools/metrics.py, up to the next such line.
    ('actions', false),
    ('actions_hourly', false),
    ('actions_monthly', false),
    ('alerts', false),
    ('alerts_hourly', false),
    ('alerts_monthly', false),
    ('attribution_monthly', false),
    ('business_value', false),
    ('business_value_hourly', false),
    ('business_value_monthly', false),
    ('customer_overview', false),
    ('deployment_status', false),
    ('execution_health', false),
    ('execution_health_hourly', false),
    ('execution_health_monthly', false),
    ('sla_governance', false),
    ('sla_governance_hourly', false),
    ('sla_governance_monthly', false),
    ('tool_runs', true),
    ('tool_runs_by_status', true)
    -- Up to here.
) as v (view_name, of_runs)
cross join aximo_private.metric_state as t
cross join aximo_private.known_customer as k
cross join lateral (
    select
        coalesce(
            (
                select l.number
                from aximo_private.log_entries as l
                where l.customer_id = (select aximo.current_customer()) and l.log = g.log
                order by l.number desc
                limit 1
            ),
            0
        ) as log_size,
        coalesce(
            (
                select c.number
                from aximo_private.counted_kept as c
                where c.customer_id = (select aximo.current_customer()) and c.log = g.log
            ),
            0
        ) as counts_up_to
    from (select case when v.of_runs then 'run_events' else 'events' end as log) as g
) as m
offset 0;
comment on view aximo_metrics.freshness is 'How fresh each view is. Key: view_name.';
comment on column aximo_metrics.freshness.customer_id is 'Whose: always the session''s customer.';
comment on column aximo_metrics.freshness.view_name is 'The view, in aximo_metrics.';
comment on column aximo_metrics.freshness.refreshed_at is 'When metrics were last refreshed; null if never.';
comment on column aximo_metrics.freshness.counts_up_to is 'The log number up to which the view counts; of tool_runs and tool_runs_by_status, in the log of run events.';
comment on column aximo_metrics.freshness.log_size is 'How many events of the customer are numbered now, in that log.';
comment on column aximo_metrics.freshness.behind is 'How many numbered events the view does not count yet.';
