create view aximo.log_nodes as
select
    customer_id, log, level, index, hash
from only aximo_private.log_nodes; -- noqa: PRS
comment on view aximo.log_nodes is 'Hashes of the complete subtrees of the logs of the session''s customer. Read them as tiles with aximo.log_tile. Key: log, level, index.';
comment on column aximo.log_nodes.customer_id is 'Whose log it is: always the session''s customer.';
comment on column aximo.log_nodes.log is 'events: of aximo.events. run_events: of helix.run_events.';
comment on column aximo.log_nodes.level is '1 for subtrees of 256 entries, 2 for 65536, and so on.';
comment on column aximo.log_nodes.index is 'Its place among those of its level: 0, 1, 2 …';
comment on column aximo.log_nodes.hash is 'The Merkle tree hash of its entries (RFC 9162, section 2.1.1).';
select aximo_private.take_comments('aximo.log_nodes', 'aximo_private.log_nodes');
