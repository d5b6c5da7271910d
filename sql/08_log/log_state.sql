-- One row: what all logs share. It is also the lock of the session that numbers. Only the sequencer can lock it, and nobody waits for it.
create table aximo_private.log_state (
    is_the_row boolean not null default true,
    ledger text collate "C" not null default 'aximo-db/' || gen_random_uuid(),
    advanced_at timestamptz,
    node integer not null default 0,
    constraint log_state_pkey primary key (is_the_row),
    constraint one_row check (is_the_row),
    constraint ledger_is_a_name check (ledger ~ '^[!-*,-~]+$'),
    constraint node_known check (node between 0 and 1023),
    constraint ledger_length check (octet_length(ledger) <= 255)
);
insert into aximo_private.log_state default values;
alter table aximo_private.log_state enable row level security;
alter table aximo_private.log_state force row level security;
create policy owner_reads_log_state on aximo_private.log_state for select to aximo_owner using (true);
create policy sequencer_keeps_log_state on aximo_private.log_state for all to aximo_sequencer using (true) with check (true);
comment on table aximo_private.log_state is 'What all logs share, and the lock of who numbers. One row.';
comment on column aximo_private.log_state.is_the_row is 'Always true.';
comment on column aximo_private.log_state.ledger is 'The name of this ledger in the origin of its checkpoints: printable ASCII without blank and plus; the same on all nodes of a fleet. Never changes.';
comment on column aximo_private.log_state.advanced_at is 'When events were last numbered, by the database''s clock.';
comment on column aximo_private.log_state.node is 'Which node of its fleet this database is, 0 to 1023; 0 for one by itself. The event_ids of run events are those of the node: from node * 2^43 on.';
comment on policy owner_reads_log_state on aximo_private.log_state is 'doctor shows it.';
comment on policy sequencer_keeps_log_state on aximo_private.log_state is 'aximo.advance_log runs as this role.';
