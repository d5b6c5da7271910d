-- The log of each customer: which event has which number, and the hash of its canonical line.
create table aximo_private.log_entries (
    number bigint not null,
    event_id uuid not null,
    customer_id text collate "C" not null,
    leaf bytea not null,
    constraint log_entries_pkey primary key (customer_id, number),
    constraint event_is_numbered_once unique (customer_id, event_id)
);
alter table aximo_private.log_entries owner to aximo_owner;
alter table aximo_private.log_entries enable row level security;
alter table aximo_private.log_entries force row level security;
create policy owner_reads_own_log on aximo_private.log_entries
for select to aximo_owner using (
    -- The first is for the indexes. The second, the same, stays in front of what a query asks for: else EXPLAIN ANALYZE tells
    -- whether a row of another customer meets it.
    customer_id = (select aximo.current_customer()) and coalesce(customer_id = (select aximo.current_customer()), false)
);
create policy sequencer_reads_log on aximo_private.log_entries
for select to aximo_sequencer using (true);
create policy sequencer_adds_to_log on aximo_private.log_entries
for insert to aximo_sequencer with check (true);
select aximo_private.make_append_only('aximo_private.log_entries');
-- Statistics would tell, through row estimates, how much other customers have.
alter table aximo_private.log_entries
    alter number set statistics 0,
    alter event_id set statistics 0,
    alter customer_id set statistics 0,
    alter leaf set statistics 0;

comment on table aximo_private.log_entries is 'The numbered events: append-only, each customer''s 1, 2, 3 … without a gap.';
comment on column aximo_private.log_entries.number is 'The number in the customer''s log.';
comment on column aximo_private.log_entries.event_id is 'The event.';
comment on column aximo_private.log_entries.customer_id is 'Whose log it is.';
comment on column aximo_private.log_entries.leaf is 'sha256 of a zero byte and the event''s canonical line (RFC 9162, section 2.1.1).';
comment on policy owner_reads_own_log on aximo_private.log_entries is 'Views run as the owner and show the session''s customer, to whomever.';
comment on policy sequencer_reads_log on aximo_private.log_entries is 'Numbering goes on where it ended, for every customer.';
comment on policy sequencer_adds_to_log on aximo_private.log_entries is 'aximo.advance_log runs as this role.';
