-- Which run observed which. Such a row also keeps the transaction that observes from writing to the run that it observes.
create table aximo_private.observations (
    observed_in xid8 not null default pg_current_xact_id(),
    observed_at timestamptz not null default now(),
    customer_id text collate "C" not null,
    run_id text collate "C" not null,
    target_run_id text collate "C" not null,
    observed_by text collate "C" not null default session_user,
    constraint observations_pkey primary key (customer_id, run_id),
    constraint run_id_length check (char_length(run_id) <= 255),
    constraint target_run_id_length check (char_length(target_run_id) <= 255)
);
create index observations_by_target on aximo_private.observations (customer_id, target_run_id, observed_in);
select aximo_private.isolate_by_customer('aximo_private.observations', 'owner_reads_own_observations');
create policy recorder_adds_observations on aximo_private.observations for insert to aximo_recorder with check (true);
create policy recorder_reads_observations on aximo_private.observations for select to aximo_recorder using (true);
select aximo_private.make_append_only('aximo_private.observations');
comment on table aximo_private.observations is 'Which run observed which: append-only. Read it through helix.observations.';
comment on column aximo_private.observations.observed_in is 'The transaction; with its time, as a restored dump has other transactions by the same number.';
comment on column aximo_private.observations.observed_at is 'When that transaction began.';
comment on column aximo_private.observations.customer_id is 'Whose runs they are.';
comment on policy recorder_adds_observations on aximo_private.observations is 'helix.observe_run, for a customer that the access map gave it.';
comment on policy recorder_reads_observations on aximo_private.observations is 'The guards of runs and their events.';
comment on index aximo_private.observations_by_target is 'Whether a transaction observed a run.';
