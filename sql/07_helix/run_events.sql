create sequence helix.run_events_event_id_seq as bigint;
comment on sequence helix.run_events_event_id_seq is 'Order of arrival, of all customers, with gaps: the frozen contract has one for all.';

-- Runs as the recorder: a writer, who inserts by himself, can neither draw numbers without an event nor look how far the sequence is.
create function aximo_private.next_run_event_id() returns bigint
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    -- The transaction gets its id before it draws a number, so numbering can find whoever holds a number by that id.
    perform pg_current_xact_id();
    return nextval('helix.run_events_event_id_seq');
end;
$$;
alter function aximo_private.next_run_event_id() owner to aximo_recorder;
comment on function aximo_private.next_run_event_id() is 'The event_id of the next run event. Only as the column''s default: the schema it is in stays closed.';

-- The columns of HelixMCP Events v1, in its order, and then the ledger's own.
create table helix.run_events (
    event_id bigint not null default aximo_private.next_run_event_id(),
    run_id text collate "C" not null,
    ts timestamptz not null default now(),
    kind text collate "C" not null,
    message text collate "C",
    data jsonb,
    extra jsonb,
    customer_id text collate "C" not null default aximo.current_customer(),
    recorded_at timestamptz not null default clock_timestamp(),
    recorded_by text collate "C" not null default session_user,
    constraint run_events_pkey primary key (event_id),
    -- The key has the customer: nobody can add an event to another customer's run, which looks as if it did not exist.
    constraint run_events_run_id_fkey foreign key (customer_id, run_id) references helix.runs (customer_id, run_id)
    on delete restrict on update restrict,
    constraint customer_id_well_formed check (
        char_length(customer_id) <= 255 and btrim(customer_id) <> '' and customer_id <> '*'
    ),
    constraint kind_present check (kind <> ''),
    constraint data_is_object check (jsonb_typeof(data) = 'object'),
    constraint extra_is_object check (jsonb_typeof(extra) = 'object'),
    -- Checked before the size, as PostgreSQL checks constraints in the order of their names: the text of such numbers would not fit into
    -- memory.
    constraint run_event_numbers check (
        (pg_column_size(data || '{}') <= 2048 or not aximo_private.has_extreme_number(data))
        and (pg_column_size(extra || '{}') <= 2048 or not aximo_private.has_extreme_number(extra))
    ),
    constraint run_event_size check (
        octet_length(to_json(kind)::text) + coalesce(octet_length(to_json(message)::text), 0)
        + coalesce(octet_length(data::text), 0) + coalesce(octet_length(extra::text), 0) <= 8388608
    ),
    constraint run_event_moment check (ts >= '1970-01-01 00:00:00+00' and ts < '9999-01-01 00:00:00+00')
);
alter sequence helix.run_events_event_id_seq owned by helix.run_events.event_id;
create index run_events_by_run on helix.run_events (customer_id, run_id, event_id);
-- It has the name that the gateway's own schema gives it, so that the gateway's CREATE INDEX IF NOT EXISTS finds it. An index that does not
-- lead with the customer would show others in EXPLAIN ANALYZE.
create index run_events_run_ts_idx on helix.run_events (customer_id, run_id, ts);

select aximo_private.isolate_by_customer(
    'helix.run_events', 'readers_read_own_run_events', 'aximo_reader', 'A login sees the events of the session''s customer; so do views.'
);
create policy writers_add_own_run_events on helix.run_events
for insert to aximo_writer with check (customer_id = (select aximo.current_customer()) and recorded_by = session_user);
-- Logins read this table themselves. The login that installed is a member of the roles below, so a policy asks which role is acting.
create policy recorder_adds_run_events on helix.run_events
for insert to aximo_recorder with check ((select current_user) = 'aximo_recorder');
create policy recorder_reads_run_events on helix.run_events for select to aximo_recorder using ((select current_user) = 'aximo_recorder');
create policy sequencer_reads_run_events on helix.run_events
for select to aximo_sequencer using ((select current_user) = 'aximo_sequencer');

select aximo_private.make_append_only('helix.run_events');
comment on table helix.run_events is 'The events of the tool runs of the session''s customer (HelixMCP Events v1): append-only. Read them in the order of event_id.';
comment on column helix.run_events.event_id is 'Order of arrival, with gaps. One sequence for all customers, as the frozen contract has it.';
comment on column helix.run_events.run_id is 'The run.';
comment on column helix.run_events.ts is 'When it was written, by the database''s clock; of an imported event, what the line says.';
comment on column helix.run_events.kind is 'What happened: one of helix.event_kinds, or any other.';
comment on column helix.run_events.message is 'For people; not to be parsed.';
comment on column helix.run_events.data is 'A JSON object, or null.';
comment on column helix.run_events.extra is 'What an imported line had beside the contract''s fields.';
comment on column helix.run_events.customer_id is 'Whose event it is: always the session''s customer.';
comment on column helix.run_events.recorded_at is 'When it was written, by the database''s clock; no client sets it.';
comment on column helix.run_events.recorded_by is 'The login that wrote it; no client sets it.';
comment on policy writers_add_own_run_events on helix.run_events is 'An event is of the session''s customer.';
comment on policy recorder_adds_run_events on helix.run_events is 'Imports and observations, for a customer that the access map gave them.';
comment on policy recorder_reads_run_events on helix.run_events is 'The guard of runs, and imports, which name the customer in every look-up.';
comment on policy sequencer_reads_run_events on helix.run_events is 'Events are numbered for all customers at a time.';
comment on index helix.run_events_by_run is 'A run''s events, in order.';
comment on index helix.run_events_run_ts_idx is 'An event''s copy, when it is imported.';
