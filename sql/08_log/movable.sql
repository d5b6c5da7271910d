-- What moves with a customer: these tables, and no other. Who may work for the customer is each node's own, and so are the metrics, which
-- are counted from the log.
select aximo_private.make_movable(t.name::regclass)
from unnest(
    array[
        'aximo_private.approvals', 'aximo_private.checkpoints', 'aximo_private.events', 'aximo_private.executions',
        'aximo_private.known_deployments', 'aximo_private.log_cursors', 'aximo_private.log_entries', 'aximo_private.log_nodes',
        'aximo_private.metric_lists', 'aximo_private.observations', 'aximo_private.run_ids', 'aximo_private.thresholds',
        'aximo_private.violations', 'helix.run_events', 'helix.runs'
    ]
) as t (name);
-- Runs change, and a publication's row filter needs the customer in what identifies a row.
alter table helix.runs replica identity using index run_of_customer;
