-- One row: what the materialized views contain, and the lock of the one who refreshes them.
create table aximo_private.metric_state (
    is_the_row boolean not null default true,
    cold_advance bigint not null default 0,
    cold_at timestamptz,
    cold_took interval,
    refreshed_at timestamptz,
    took interval,
    constraint metric_state_pkey primary key (is_the_row),
    constraint one_row check (is_the_row)
);
alter table aximo_private.metric_state owner to aximo_owner;
insert into aximo_private.metric_state default values;
alter table aximo_private.metric_state enable row level security;
alter table aximo_private.metric_state force row level security;
create policy owner_reads_metric_state on aximo_private.metric_state
for select to aximo_owner using (true);
create policy meter_keeps_metric_state on aximo_private.metric_state
for all to aximo_meter using (true) with check (true);

comment on table aximo_private.metric_state is 'What the materialized views contain. One row.';
comment on column aximo_private.metric_state.is_the_row is 'Always true.';
comment on column aximo_private.metric_state.cold_advance is 'The advance that the cold materialized views contain; what changed later is in the hot ones.';
comment on column aximo_private.metric_state.cold_at is 'When those were made.';
comment on column aximo_private.metric_state.cold_took is 'How long that took.';
comment on column aximo_private.metric_state.refreshed_at is 'When metrics were last refreshed, by the databases clock.';
comment on column aximo_private.metric_state.took is 'How long that took.';
comment on policy owner_reads_metric_state on aximo_private.metric_state is 'aximo_metrics.freshness and doctor show it.';
comment on policy meter_keeps_metric_state on aximo_private.metric_state is 'aximo.refresh_metrics runs as this role.';
