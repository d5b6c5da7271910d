-- Which logs have grown since they were counted. Numbering replaces a log's rows by one, and counting deletes the rows that it has counted.
-- Each skips what the other has locked, so neither waits, and a log has one row, or two while it is being counted.
create table aximo_private.uncounted_logs (
    customer_id text collate "C" not null,
    log text collate "C" not null,
    number bigint not null,
    constraint uncounted_logs_pkey primary key (customer_id, log, number)
) with (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.1);
select aximo_private.isolate_by_customer('aximo_private.uncounted_logs');
create policy sequencer_keeps_uncounted_logs on aximo_private.uncounted_logs for all to aximo_sequencer using (true) with check (true);
comment on table aximo_private.uncounted_logs is 'The logs that have grown since they were counted. Kept by aximo.advance_log and aximo.count_metrics.';
comment on column aximo_private.uncounted_logs.customer_id is 'Whose log.';
comment on column aximo_private.uncounted_logs.log is 'Which of the customer''s logs: events or run_events.';
comment on column aximo_private.uncounted_logs.number is 'The log number up to which it had grown.';
comment on policy sequencer_keeps_uncounted_logs on aximo_private.uncounted_logs is 'aximo.advance_log and aximo.count_metrics run as this role.';
