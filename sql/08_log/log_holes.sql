-- Positions that were not visible when higher ones were: their transactions are under way, or were rolled back. This is state, not history.
create table aximo_private.log_holes (
    log text collate "C" not null,
    first_position bigint not null,
    last_position bigint not null,
    seen_by xid8 not null,
    older_than xid8,
    constraint log_holes_pkey primary key (log, first_position),
    constraint hole_is_a_range check (first_position <= last_position)
);
-- Of thousands of holes only those are read in which an event can have appeared. There are two indexes, because setting the date leaves a
-- dead version behind as long as an old transaction runs: that version is in the second index only.
create index log_holes_by_date on aximo_private.log_holes (log, older_than) where older_than is not null;
create index log_holes_by_finder on aximo_private.log_holes (log, seen_by);
-- With statistics the planner knows that most holes have one log and one date, and would read all of them.
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
comment on column aximo_private.log_holes.older_than is 'The date of the hole: a transaction that began to write after seen_by had ended, so every owner of a position in the hole is older. Null until there is one.';
comment on index aximo_private.log_holes_by_date is 'The holes with a date: those that transactions of a certain age could own.';
comment on index aximo_private.log_holes_by_finder is 'The holes without a date, which the latest advances saw.';
comment on policy owner_reads_log_holes on aximo_private.log_holes is 'doctor shows them.';
comment on policy sequencer_keeps_log_holes on aximo_private.log_holes is 'aximo.advance_log runs as this role.';
