-- Positions that were not visible when higher ones were: of transactions under way, or rolled back. Live state, not history.
create table aximo_private.log_holes (
    log text collate "C" not null,
    first_position bigint not null,
    last_position bigint not null,
    seen_by xid8 not null,
    older_than xid8,
    constraint log_holes_pkey primary key (log, first_position),
    constraint hole_is_a_range check (first_position <= last_position)
);
-- Of thousands only those are read that something can have come up in. Two: what is dated leaves its undated version behind, as long as some
-- transaction is old, and it is read by the one index and not by the other.
create index log_holes_by_date on aximo_private.log_holes (log, older_than) where older_than is not null;
create index log_holes_by_finder on aximo_private.log_holes (log, seen_by);
-- Else the planner takes it for cheaper to read all, once it knows that most are of one log and have one date.
select aximo_private.hide_statistics('aximo_private.log_holes');
alter table aximo_private.log_holes enable row level security;
alter table aximo_private.log_holes force row level security;
create policy owner_reads_log_holes on aximo_private.log_holes for select to aximo_owner using (true);
create policy sequencer_keeps_log_holes on aximo_private.log_holes for all to aximo_sequencer using (true) with check (true);

comment on table aximo_private.log_holes is 'Ranges of positions that may still become visible. Forgotten when every transaction that could own them is gone.';
comment on column aximo_private.log_holes.log is 'The log whose positions they are.';
comment on column aximo_private.log_holes.first_position is 'The first position of the range.';
comment on column aximo_private.log_holes.last_position is 'Its last one.';
comment on column aximo_private.log_holes.seen_by is 'The transaction that first saw it.';
comment on column aximo_private.log_holes.older_than is 'A transaction that began to write after that one had ended: whoever owns a position here is older. Null until there is one.';
comment on index aximo_private.log_holes_by_date is 'The holes that a transaction could own.';
comment on index aximo_private.log_holes_by_finder is 'The holes without a date, which the latest advances saw.';
comment on policy owner_reads_log_holes on aximo_private.log_holes is 'doctor shows them.';
comment on policy sequencer_keeps_log_holes on aximo_private.log_holes is 'aximo.advance_log runs as this role.';
