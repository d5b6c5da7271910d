-- The logs that every customer has, and how far each is numbered. A log numbers what one table records, in the order of its positions.
create table aximo_private.logs (
    log text collate "C" not null,
    high_position bigint not null default 0,
    entries bigint not null default 0,
    looked pg_snapshot,
    undated_from xid8,
    constraint logs_pkey primary key (log),
    constraint log_known check (log in ('events', 'run_events'))
);
insert into aximo_private.logs (log) values ('events'), ('run_events');
alter table aximo_private.logs enable row level security;
alter table aximo_private.logs force row level security;
create policy owner_reads_logs on aximo_private.logs for select to aximo_owner using (true);
create policy sequencer_keeps_logs on aximo_private.logs for all to aximo_sequencer using (true) with check (true);
comment on table aximo_private.logs is 'The logs that each customer has, and how far they are numbered. A row a log.';
comment on column aximo_private.logs.log is 'events: of aximo.events. run_events: of helix.run_events.';
comment on column aximo_private.logs.high_position is 'The highest position numbered. What is above it is new; what is below and unnumbered is in a hole.';
comment on column aximo_private.logs.entries is 'How many entries it has, of all customers.';
comment on column aximo_private.logs.looked is 'Which transactions were over when the holes were last looked into; null: look into all holes.';
comment on column aximo_private.logs.undated_from is 'Every hole that a transaction before this one found has a date; null: every hole has.';
comment on policy owner_reads_logs on aximo_private.logs is 'doctor shows them.';
comment on policy sequencer_keeps_logs on aximo_private.logs is 'aximo.advance_log runs as this role.';
