-- How much of each log is counted: all of it, in the transaction that numbers it, unless aximo.recount_metrics is at it.
create table aximo_private.rollup_heads (
    customer_id text collate "C" not null,
    log text collate "C" not null,
    number bigint not null,
    constraint rollup_heads_pkey primary key (customer_id, log)
) with (fillfactor = 70);
alter table aximo_private.rollup_heads owner to aximo_owner;
alter table aximo_private.rollup_heads enable row level security;
alter table aximo_private.rollup_heads force row level security;
create policy sequencer_keeps_rollup_heads on aximo_private.rollup_heads
for all to aximo_sequencer using (true) with check (true);
create policy meter_reads_rollup_heads on aximo_private.rollup_heads
for select to aximo_meter using (true);
-- Statistics would tell, through row estimates, how much other customers have.
alter table aximo_private.rollup_heads
    alter customer_id set statistics 0,
    alter log set statistics 0,
    alter number set statistics 0;

comment on table aximo_private.rollup_heads is 'Up to which log number the rollups count, per log.';
comment on column aximo_private.rollup_heads.customer_id is 'Whose log.';
comment on column aximo_private.rollup_heads.log is 'Which of the customer''s logs: events or run_events.';
comment on column aximo_private.rollup_heads.number is 'The log number up to which it is counted.';
comment on policy sequencer_keeps_rollup_heads on aximo_private.rollup_heads is 'aximo.advance_log runs as this role, for all customers at a time.';
comment on policy meter_reads_rollup_heads on aximo_private.rollup_heads is 'Materialized views have no policies: their owner reads all, and what is built on them names the customer.';
