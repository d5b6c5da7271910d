-- For who watches: that checkpoints are kept at all. The latest made_at of all customers would need an index that orders their rows
-- together, which plans of one of them would show. A row that all keep up to date would let one open transaction hold up the others.
create sequence aximo_private.checkpoint_clock as bigint;
alter sequence aximo_private.checkpoint_clock owner to aximo_owner;
comment on sequence aximo_private.checkpoint_clock is 'When a checkpoint was last added, by whomever, in seconds since 1970. Set, not counted: nobody waits for it, and it is no proof.';
