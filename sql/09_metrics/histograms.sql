-- How the durations of a row of rollups are distributed, in bins whose width grows with the value. An execution and the latency it
-- states are often about the same, and one bin counts both.
create table aximo_private.histograms (
    customer_id text collate "C" not null,
    series uuid not null,
    grain text collate "C" not null,
    bucket timestamptz not null,
    bin bigint not null,
    executions bigint not null,
    latencies bigint not null,
    constraint histograms_pkey primary key (customer_id, series, grain, bucket, bin)
) with (fillfactor = 70);
alter table aximo_private.histograms owner to aximo_owner;
alter table aximo_private.histograms enable row level security;
alter table aximo_private.histograms force row level security;
create policy sequencer_keeps_histograms on aximo_private.histograms
for all to aximo_sequencer using (true) with check (true);
create policy meter_reads_histograms on aximo_private.histograms
for select to aximo_meter using (true);
-- Statistics would tell, through row estimates, how much other customers have.
alter table aximo_private.histograms
    alter customer_id set statistics 0,
    alter series set statistics 0,
    alter grain set statistics 0,
    alter bucket set statistics 0,
    alter bin set statistics 0,
    alter executions set statistics 0,
    alter latencies set statistics 0;

comment on table aximo_private.histograms is 'Distribution of durations, per row of rollups. Kept by aximo.advance_log.';
comment on column aximo_private.histograms.customer_id is 'Whose events.';
comment on column aximo_private.histograms.series is 'As in rollups.';
comment on column aximo_private.histograms.grain is 'As in rollups.';
comment on column aximo_private.histograms.bucket is 'As in rollups.';
comment on column aximo_private.histograms.bin is 'The bin of a time in microseconds, see aximo_private.histogram_bin.';
comment on column aximo_private.histograms.executions is 'How many executions took so long, from trigger to end.';
comment on column aximo_private.histograms.latencies is 'How many latencies are so long.';
comment on policy sequencer_keeps_histograms on aximo_private.histograms is 'aximo.advance_log runs as this role, for all customers at a time.';
comment on policy meter_reads_histograms on aximo_private.histograms is 'Materialized views have no policies: their owner reads all, and what is built on them names the customer.';
