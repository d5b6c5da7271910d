-- Where each run stands, as far as it is counted, so that its next event is counted without looking back.
create table aximo_private.run_states (
    customer_id text collate "C" not null,
    run_id text collate "C" not null,
    begun_us numeric,
    queued_us numeric,
    constraint run_states_pkey primary key (customer_id, run_id)
) with (fillfactor = 70);
select aximo_private.isolate_by_customer('aximo_private.run_states');
create policy sequencer_keeps_run_states on aximo_private.run_states for all to aximo_sequencer using (true) with check (true);
comment on table aximo_private.run_states is 'Where each run is, as far as it is counted. Kept by aximo.count_metrics.';
comment on column aximo_private.run_states.customer_id is 'Whose run.';
comment on column aximo_private.run_states.run_id is 'The run.';
comment on column aximo_private.run_states.begun_us is 'The ts of its latest started or running, in microseconds since 1970; null after an end.';
comment on column aximo_private.run_states.queued_us is 'The ts of its latest queued, the same; null after a running or an end.';
comment on policy sequencer_keeps_run_states on aximo_private.run_states is 'aximo.count_metrics runs as this role, for all customers at a time.';
