-- Everything that is published. aximo.refresh_metrics finds the kinds by their materialized views.
select aximo_private.publish_kind('activity', '{customer_id, grain, bucket, series}');
select aximo_private.publish_kind('actions', '{customer_id, grain, bucket, series}');
select aximo_private.publish_kind('deployments', '{customer_id, deployment_id}');
select aximo_private.publish_kind('runs', '{customer_id, day, tool_name, state}');
select aximo_private.publish_kind('counted', '{customer_id, log}');
