-- The logs of each customer: which event has which number, and the hash of its canonical line.
create table aximo_private.log_entries (
    number bigint not null,
    event_id uuid,
    run_event_id bigint,
    log text collate "C" not null,
    customer_id text collate "C" not null,
    leaf bytea not null,
    constraint log_entries_pkey primary key (customer_id, log, number),
    constraint entry_is_of_its_log check ((log = 'events') = (event_id is not null) and (log = 'run_events') = (run_event_id is not null))
);
create unique index event_is_numbered_once on aximo_private.log_entries (customer_id, event_id) where event_id is not null;
create unique index run_event_is_numbered_once on aximo_private.log_entries (customer_id, run_event_id) where run_event_id is not null;
select aximo_private.isolate_by_customer('aximo_private.log_entries', 'owner_reads_own_log');
create policy sequencer_reads_log on aximo_private.log_entries for select to aximo_sequencer using (true);
create policy sequencer_adds_to_log on aximo_private.log_entries for insert to aximo_sequencer with check (true);
select aximo_private.make_append_only('aximo_private.log_entries');
comment on table aximo_private.log_entries is 'The numbered events: append-only, each log''s 1, 2, 3 … without a gap.';
comment on column aximo_private.log_entries.customer_id is 'Whose log it is.';
comment on column aximo_private.log_entries.leaf is 'sha256 of a zero byte and the event''s canonical line (RFC 9162, section 2.1.1).';
comment on index aximo_private.event_is_numbered_once is 'An event has one number.';
comment on index aximo_private.run_event_is_numbered_once is 'A run event has one number.';
comment on policy sequencer_reads_log on aximo_private.log_entries is 'Numbering goes on where it ended, for every customer.';
comment on policy sequencer_adds_to_log on aximo_private.log_entries is 'aximo.advance_log runs as this role.';
