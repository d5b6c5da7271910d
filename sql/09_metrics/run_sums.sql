-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
-- What happened to runs, summed up per tool, state and day.
create table aximo_private.run_sums (
    customer_id text collate "C" not null,
    tool_name text collate "C" not null,
    state text collate "C" not null,
    day timestamptz not null,
    events bigint not null,
    waits bigint not null,
    wait_us numeric not null,
    runs bigint not null,
    run_us numeric not null,
    changed_in bigint not null,
    constraint run_sums_pkey primary key (customer_id, day, tool_name, state)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1);
create index run_sums_changed on aximo_private.run_sums (changed_in);
select aximo_private.keep_sums('aximo_private.run_sums');

comment on table aximo_private.run_sums is 'What happened to runs, per tool, state and day. Kept by aximo.count_metrics.';
comment on column aximo_private.run_sums.customer_id is 'Whose runs.';
comment on column aximo_private.run_sums.tool_name is 'The tool.';
comment on column aximo_private.run_sums.state is 'What was said of the run: started, queued, running, succeeded, failed or blocked.';
comment on column aximo_private.run_sums.day is 'When the day of UTC begins, by the event''s ts.';
comment on column aximo_private.run_sums.events is 'How many events said so.';
comment on column aximo_private.run_sums.waits is 'Of state running: how many had been queued before.';
comment on column aximo_private.run_sums.wait_us is 'The time they had been, summed up, in microseconds.';
comment on column aximo_private.run_sums.runs is 'Of states succeeded, failed and blocked: of how many the beginning is known.';
comment on column aximo_private.run_sums.run_us is 'The time from there to the end, summed up, in microseconds.';
comment on column aximo_private.run_sums.changed_in is 'The step that changed it last, as metric_state.steps counts them.';
