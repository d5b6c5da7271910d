-- What happened to runs, summed up per tool, state and day.
create table aximo_private.run_rollups (
    customer_id text collate "C" not null,
    tool_name text collate "C" not null,
    state text collate "C" not null,
    day timestamptz not null,
    events bigint not null,
    waits bigint not null,
    wait_us numeric not null,
    runs bigint not null,
    run_us numeric not null,
    number bigint not null,
    changed_in bigint not null,
    constraint run_rollups_pkey primary key (customer_id, tool_name, state, day)
) with (fillfactor = 70);
alter table aximo_private.run_rollups owner to aximo_owner;
alter table aximo_private.run_rollups enable row level security;
alter table aximo_private.run_rollups force row level security;
create policy sequencer_keeps_run_rollups on aximo_private.run_rollups
for all to aximo_sequencer using (true) with check (true);
create policy meter_reads_run_rollups on aximo_private.run_rollups
for select to aximo_meter using (true);
create index run_rollups_changed on aximo_private.run_rollups (changed_in);
-- Statistics would tell, through row estimates, how much other customers have.
alter table aximo_private.run_rollups
    alter customer_id set statistics 0,
    alter tool_name set statistics 0,
    alter state set statistics 0,
    alter day set statistics 0,
    alter events set statistics 0,
    alter waits set statistics 0,
    alter wait_us set statistics 0,
    alter runs set statistics 0,
    alter run_us set statistics 0,
    alter number set statistics 0,
    alter changed_in set statistics 0;

comment on table aximo_private.run_rollups is 'What happened to runs, per tool, state and day. Kept by aximo.advance_log.';
comment on column aximo_private.run_rollups.customer_id is 'Whose runs.';
comment on column aximo_private.run_rollups.tool_name is 'The tool.';
comment on column aximo_private.run_rollups.state is 'What was said of the run: started, queued, running, succeeded, failed or blocked.';
comment on column aximo_private.run_rollups.day is 'When the day of UTC begins, by the event''s ts.';
comment on column aximo_private.run_rollups.events is 'How many events said so.';
comment on column aximo_private.run_rollups.waits is 'Of state running: how many had been queued before.';
comment on column aximo_private.run_rollups.wait_us is 'The time they had been, summed up, in microseconds.';
comment on column aximo_private.run_rollups.runs is 'Of states succeeded, failed and blocked: of how many the beginning is known.';
comment on column aximo_private.run_rollups.run_us is 'The time from there to the end, summed up, in microseconds.';
comment on column aximo_private.run_rollups.number is 'The log number of the last event that changed this row.';
comment on column aximo_private.run_rollups.changed_in is 'Which advance that was, as log_state.advances counts them.';
comment on policy sequencer_keeps_run_rollups on aximo_private.run_rollups is 'aximo.advance_log runs as this role, for all customers at a time.';
comment on policy meter_reads_run_rollups on aximo_private.run_rollups is 'Materialized views have no policies: their owner reads all, and what is built on them names the customer.';
comment on index aximo_private.run_rollups_changed is 'What a refresh has to look at.';
