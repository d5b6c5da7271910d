-- The kinds of metrics that are published. aximo.refresh_metrics finds them by their materialized views.
select aximo_private.publish_kind('activity', 'aximo_private.activity_sums', '{customer_id, grain, bucket, series}');
select aximo_private.publish_kind('actions', 'aximo_private.action_sums', '{customer_id, grain, bucket, series}');
select aximo_private.publish_kind('deployments', 'aximo_private.deployment_sums', '{customer_id, deployment_id}');
select aximo_private.publish_kind('runs', 'aximo_private.run_sums', '{customer_id, day, tool_name, state}');
select aximo_private.publish_kind('counted', 'aximo_private.counted_logs', '{customer_id, log}');
