-- A materialized view can be read, and refreshed while it is read, once it has been made; its owner needed the grants for that.
refresh materialized view aximo_private.measures_cold;
refresh materialized view aximo_private.measures_hot;
refresh materialized view aximo_private.actions_cold;
refresh materialized view aximo_private.actions_hot;
refresh materialized view aximo_private.deployment_measures;
refresh materialized view aximo_private.customer_measures;
refresh materialized view aximo_private.runs_cold;
refresh materialized view aximo_private.runs_hot;
refresh materialized view aximo_private.run_heads;
