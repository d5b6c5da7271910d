-- Above which rate or average there is an alert. A new row overrides an older one; nothing is changed, so what held on a day can always be
-- told.
create table aximo_private.thresholds (
    customer_id text collate "C" not null,
    deployment_id aximo_private.identifier,
    metric text collate "C" not null,
    level text collate "C" not null,
    value double precision,
    effective_from timestamptz not null,
    set_at timestamptz not null default clock_timestamp(),
    set_by text collate "C" not null default session_user,
    setting_id uuid not null default gen_random_uuid(),
    constraint thresholds_pkey primary key (customer_id, setting_id),
    constraint threshold_known check (
        metric in ('error_rate', 'sla_breach_rate', 'avg_execution_time_ms')
        and level in ('warning', 'escalation', 'minimum_denominator')
    ),
    constraint threshold_is_a_rate check (value >= 0 and value < 'infinity'),
    constraint effective_from_is_a_moment check (
        effective_from = '-infinity' or effective_from >= '1970-01-01 00:00:00+00' and effective_from < '9999-01-01 00:00:00+00'
    )
);
-- The defaults have an early set_at: a setting that a restore brings along from another ledger is later.
insert into aximo_private.thresholds (customer_id, metric, level, value, effective_from, set_at)
values
('*', 'error_rate', 'warning', 0.05, '-infinity', '2026-01-01 00:00:00+00'),
('*', 'error_rate', 'escalation', 0.10, '-infinity', '2026-01-01 00:00:00+00'),
('*', 'sla_breach_rate', 'escalation', 0.03, '-infinity', '2026-01-01 00:00:00+00'),
('*', 'error_rate', 'minimum_denominator', 20, '-infinity', '2026-01-01 00:00:00+00'),
('*', 'sla_breach_rate', 'minimum_denominator', 20, '-infinity', '2026-01-01 00:00:00+00'),
('*', 'avg_execution_time_ms', 'minimum_denominator', 20, '-infinity', '2026-01-01 00:00:00+00');
create index thresholds_by_metric on aximo_private.thresholds (customer_id, deployment_id, metric, level, effective_from, set_at);
select aximo_private.isolate_by_customer('aximo_private.thresholds');
create policy owner_reads_own_thresholds on aximo_private.thresholds
for select to aximo_owner using (customer_id = (select aximo.current_customer()) or customer_id = '*');
create policy recorder_adds_thresholds on aximo_private.thresholds for insert to aximo_recorder with check (true);
create policy meter_reads_thresholds on aximo_private.thresholds for select to aximo_meter using (true);
select aximo_private.make_append_only('aximo_private.thresholds');
comment on table aximo_private.thresholds is 'Above which rate or average an alert is raised, and from how many on. Written by aximo.set_threshold; a row holds until a later one overrides it.';
comment on column aximo_private.thresholds.customer_id is 'For whom, or * for all that have none of their own.';
comment on column aximo_private.thresholds.effective_from is 'For hours, days and months that end after this moment.';
comment on column aximo_private.thresholds.set_by is 'The login that set it.';
comment on column aximo_private.thresholds.setting_id is 'Tells two settings of one moment apart.';
comment on policy owner_reads_own_thresholds on aximo_private.thresholds is 'Views run as the owner and show what concerns the session''s customer.';
comment on policy recorder_adds_thresholds on aximo_private.thresholds is 'aximo.set_threshold, which writes for a customer that the access map gave it.';
comment on policy meter_reads_thresholds on aximo_private.thresholds is 'aximo_private.threshold_at, which names the customer.';
comment on index aximo_private.thresholds_by_metric is 'The one in force.';
