-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
-- One row a bucket. Its distribution stands in it: bins add up as all the rest does, percentiles do not. Counting takes the rows it adds
-- to away and writes them anew, so the table is vacuumed early.
create table aximo_private.activity_sums (
    customer_id text collate "C" not null,
    grain text collate "C" not null,
    bucket timestamptz not null,
    series uuid not null,
    deployment_id text collate "C",
    skill_id text collate "C",
    skill_version text collate "C",
    events bigint not null,
    execution_triggered bigint not null,
    execution_completed bigint not null,
    execution_failed bigint not null,
    action_dispatched bigint not null,
    approval_requested bigint not null,
    approval_granted bigint not null,
    approval_rejected bigint not null,
    approval_timeout bigint not null,
    sla_breached bigint not null,
    escalation_triggered bigint not null,
    pressure_invoked bigint not null,
    deployment_suspended bigint not null,
    leads bigint not null,
    emergency_leads bigint not null,
    opened bigint not null,
    closed bigint not null,
    answered bigint not null,
    executions bigint not null,
    execution_us numeric not null,
    latencies bigint not null,
    latency_ms numeric not null,
    delays bigint not null,
    delay_us numeric not null,
    bins smallint[],
    bin_executions bigint[],
    bin_latencies bigint[],
    changed_in bigint not null,
    constraint activity_sums_pkey primary key (customer_id, grain, bucket, series),
    constraint grain_known check (grain in ('hour', 'day', 'month', 'customer'))
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1);
create index activity_sums_changed on aximo_private.activity_sums (changed_in);
select aximo_private.keep_sums('aximo_private.activity_sums');

comment on table aximo_private.activity_sums is 'What happened, summed up per deployment, skill, version and time, and per customer. Kept by aximo.count_metrics.';
comment on column aximo_private.activity_sums.customer_id is 'Whose events.';
comment on column aximo_private.activity_sums.grain is 'hour, day, month or customer.';
comment on column aximo_private.activity_sums.bucket is 'When the hour, day or month of UTC begins; -infinity for all that a customer has.';
comment on column aximo_private.activity_sums.series is 'Deployment, skill and version, hashed: short enough for an index. Of a customer, of nothing.';
comment on column aximo_private.activity_sums.deployment_id is 'The deployment; null for a customer.';
comment on column aximo_private.activity_sums.skill_id is 'The skill; null for a customer.';
comment on column aximo_private.activity_sums.skill_version is 'Its version; null for a customer.';
comment on column aximo_private.activity_sums.events is 'How many events.';
comment on column aximo_private.activity_sums.execution_triggered is 'How many execution_triggered events.';
comment on column aximo_private.activity_sums.execution_completed is 'How many execution_completed events.';
comment on column aximo_private.activity_sums.execution_failed is 'How many execution_failed events.';
comment on column aximo_private.activity_sums.action_dispatched is 'How many action_dispatched events.';
comment on column aximo_private.activity_sums.approval_requested is 'How many approval_requested events.';
comment on column aximo_private.activity_sums.approval_granted is 'How many approval_granted events.';
comment on column aximo_private.activity_sums.approval_rejected is 'How many approval_rejected events.';
comment on column aximo_private.activity_sums.approval_timeout is 'How many approval_timeout events.';
comment on column aximo_private.activity_sums.sla_breached is 'How many sla_breached events.';
comment on column aximo_private.activity_sums.escalation_triggered is 'How many escalation_triggered events.';
comment on column aximo_private.activity_sums.pressure_invoked is 'How many pressure_invoked events.';
comment on column aximo_private.activity_sums.deployment_suspended is 'How many deployment_suspended events.';
comment on column aximo_private.activity_sums.leads is 'How many leads.';
comment on column aximo_private.activity_sums.emergency_leads is 'How many of them with payload.priority high, or payload.emergency true.';
comment on column aximo_private.activity_sums.opened is 'How many executions were triggered for the first time.';
comment on column aximo_private.activity_sums.closed is 'How many of those have ended, whenever that was.';
comment on column aximo_private.activity_sums.answered is 'How many of the approvals requested have been answered, whenever that was.';
comment on column aximo_private.activity_sums.executions is 'How many executions ended, of those whose start is known.';
comment on column aximo_private.activity_sums.execution_us is 'Their time from trigger to end, summed up, in microseconds.';
comment on column aximo_private.activity_sums.latencies is 'How many events state latency_ms.';
comment on column aximo_private.activity_sums.latency_ms is 'Those, summed up.';
comment on column aximo_private.activity_sums.delays is 'How many approvals were answered.';
comment on column aximo_private.activity_sums.delay_us is 'Their time from request to answer, summed up, in microseconds.';
comment on column aximo_private.activity_sums.bins is 'The bins of times in microseconds that have any, in order: see aximo_private.histogram_bin. Null if none.';
comment on column aximo_private.activity_sums.bin_executions is 'How many executions took so long, for each of the bins.';
comment on column aximo_private.activity_sums.bin_latencies is 'How many latencies are so long, for each of the bins.';
comment on column aximo_private.activity_sums.changed_in is 'The step that changed it last, as metric_state.steps counts them.';
