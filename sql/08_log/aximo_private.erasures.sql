create table aximo_private.erasures (
    log_size bigint not null,
    recorded_at timestamptz not null default clock_timestamp(),
    erasure_id uuid not null,
    customer_id text collate "C" not null,
    key_ids uuid[] not null,
    reason text collate "C" not null,
    recorded_by text collate "C" not null default session_user,
    constraint erasures_pkey primary key (customer_id, erasure_id),
    constraint key_ids_are_named check (
        array_ndims(key_ids) = 1 and array_length(key_ids, 1) between 1 and 1000 and array_position(key_ids, null) is null
    ),
    constraint reason_is_told check (reason ~ '[^[:space:]]' and char_length(reason) between 1 and 1000),
    constraint log_size_not_negative check (log_size >= 0)
);
select aximo_private.isolate_by_customer('aximo_private.erasures', 'owner_reads_own_erasures');
create policy sequencer_adds_own_erasures on aximo_private.erasures
for insert to aximo_sequencer with check (customer_id = (select aximo.current_customer()));
select aximo_private.make_append_only('aximo_private.erasures');
-- What was erased stays so wherever the customer goes: an old vault is brought up to date by the ledger that has the customer.
select aximo_private.make_movable('aximo_private.erasures');
comment on table aximo_private.erasures is 'Keys of sealed values that were destroyed: append-only. Read it through aximo.erasures, add with aximo.record_erasure.';
comment on column aximo_private.erasures.customer_id is 'Whose values.';
comment on policy sequencer_adds_own_erasures on aximo_private.erasures is 'aximo.record_erasure runs as this role, for the session''s customer.';
