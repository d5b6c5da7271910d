create view aximo.checkpoints with (security_barrier = true) as
select
    customer_id, log, checkpoint_id, size, root, note, made_at, made_by
from only aximo_private.checkpoints; -- noqa: PRS
comment on view aximo.checkpoints is 'The checkpoints of the logs of the session''s customer. Key: checkpoint_id.';
comment on column aximo.checkpoints.customer_id is 'Whose log: always the session''s customer.';
comment on column aximo.checkpoints.log is 'events: of aximo.events. run_events: of helix.run_events.';
comment on column aximo.checkpoints.checkpoint_id is 'Made by the database.';
comment on column aximo.checkpoints.size is 'How many entries it speaks of.';
comment on column aximo.checkpoints.root is 'Their Merkle tree hash (RFC 9162, section 2.1.1).';
comment on column aximo.checkpoints.note is 'The checkpoint as text (C2SP tlog-checkpoint), with its signatures (C2SP signed-note), if it has any.';
comment on column aximo.checkpoints.made_at is 'When it was added, by the database''s clock.';
comment on column aximo.checkpoints.made_by is 'The login that added it.';
select aximo_private.take_comments('aximo.checkpoints', 'aximo_private.checkpoints');
