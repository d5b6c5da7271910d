-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
-- How much of each log is counted. A log that could not be counted is left alone until aximo.recount_metrics tries it again.
create table aximo_private.counted_logs (
    customer_id text collate "C" not null,
    log text collate "C" not null,
    number bigint not null,
    failed_at timestamptz,
    changed_in bigint not null,
    constraint counted_logs_pkey primary key (customer_id, log)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1);
create index counted_logs_changed on aximo_private.counted_logs (changed_in);
select aximo_private.keep_sums('aximo_private.counted_logs');

comment on table aximo_private.counted_logs is 'Up to which log number the sums count, per log. Kept by aximo.count_metrics.';
comment on column aximo_private.counted_logs.customer_id is 'Whose log.';
comment on column aximo_private.counted_logs.log is 'Which of the customer''s logs: events or run_events.';
comment on column aximo_private.counted_logs.number is 'The log number up to which it is counted.';
comment on column aximo_private.counted_logs.failed_at is 'When it could not be counted further; null if it can.';
comment on column aximo_private.counted_logs.changed_in is 'The step that changed it last, as metric_state.steps counts them.';
