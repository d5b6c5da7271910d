create table aximo_private.checkpoints (
    size bigint not null,
    made_at timestamptz not null default clock_timestamp(),
    checkpoint_id uuid not null default gen_random_uuid(),
    log text collate "C" not null,
    customer_id text collate "C" not null,
    root bytea not null,
    made_by text collate "C" not null default session_user,
    note text collate "C" not null,
    constraint checkpoints_pkey primary key (customer_id, checkpoint_id),
    constraint checkpoint_is_short check (octet_length(note) <= 16384),
    constraint log_known check (log in ('events', 'run_events')),
    constraint root_is_a_hash check (octet_length(root) = 32)
);
create index checkpoints_by_size on aximo_private.checkpoints (customer_id, log, size);
select aximo_private.isolate_by_customer('aximo_private.checkpoints', 'owner_reads_own_checkpoints');
create policy sequencer_adds_own_checkpoints on aximo_private.checkpoints
for insert to aximo_sequencer with check (customer_id = (select aximo.current_customer()));
select aximo_private.make_append_only('aximo_private.checkpoints');
comment on table aximo_private.checkpoints is 'The checkpoints of all logs: append-only. Read it through aximo.checkpoints, add with aximo.add_checkpoint.';
comment on column aximo_private.checkpoints.customer_id is 'Whose log.';
comment on index aximo_private.checkpoints_by_size is 'The latest, and those to compare with.';
comment on policy sequencer_adds_own_checkpoints on aximo_private.checkpoints is 'aximo.add_checkpoint runs as this role, for the session''s customer.';
