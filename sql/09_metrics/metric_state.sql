-- One row: how far sums and published metrics are. It is also the lock of the session that counts or refreshes. Nobody waits for it.
create table aximo_private.metric_state (
    is_the_row boolean not null default true,
    steps bigint not null default 0,
    recounted_in bigint not null default 0,
    published_in bigint not null default 0,
    refreshed_at timestamptz,
    took interval,
    constraint metric_state_pkey primary key (is_the_row),
    constraint one_row check (is_the_row)
);
insert into aximo_private.metric_state default values;
alter table aximo_private.metric_state enable row level security;
alter table aximo_private.metric_state force row level security;
create policy owner_reads_metric_state on aximo_private.metric_state for select to aximo_owner using (true);
create policy sequencer_keeps_metric_state on aximo_private.metric_state for all to aximo_sequencer using (true) with check (true);
create policy meter_keeps_metric_state on aximo_private.metric_state for all to aximo_meter using (true) with check (true);
comment on table aximo_private.metric_state is 'How far sums and published metrics are. One row.';
comment on column aximo_private.metric_state.is_the_row is 'Always true.';
comment on column aximo_private.metric_state.steps is 'How many steps of counting there were.';
comment on column aximo_private.metric_state.recounted_in is 'The step that last threw the sums away; what was published before it is of no use.';
comment on column aximo_private.metric_state.published_in is 'The step up to which the published metrics are. Of what changed later, the next refresh is made.';
comment on column aximo_private.metric_state.refreshed_at is 'When metrics were last refreshed, by the database''s clock.';
comment on column aximo_private.metric_state.took is 'How long that took.';
comment on policy owner_reads_metric_state on aximo_private.metric_state is 'aximo_metrics.freshness and doctor show it.';
comment on policy sequencer_keeps_metric_state on aximo_private.metric_state is 'aximo.count_metrics runs as this role.';
comment on policy meter_keeps_metric_state on aximo_private.metric_state is 'aximo.refresh_metrics runs as this role.';
