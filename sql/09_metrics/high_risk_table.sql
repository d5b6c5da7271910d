-- Which risk levels count as high when actions are billed. Append-only, as thresholds are.
create table aximo_private.high_risk_levels (
    customer_id text collate "C" not null,
    levels text[] collate "C",
    effective_from timestamptz not null,
    set_at timestamptz not null default clock_timestamp(),
    set_by text collate "C" not null default session_user,
    setting_id uuid not null default gen_random_uuid(),
    constraint high_risk_levels_pkey primary key (customer_id, setting_id),
    constraint levels_are_listed check (array_ndims(levels) = 1 or cardinality(levels) = 0),
    constraint levels_are_few check (cardinality(levels) <= 100),
    constraint levels_are_named check (array_position(levels, null) is null),
    constraint effective_from_is_a_moment check (
        effective_from = '-infinity' or effective_from >= '1970-01-01 00:00:00+00' and effective_from < '9999-01-01 00:00:00+00'
    )
);
alter table aximo_private.high_risk_levels owner to aximo_owner;
-- Set before anything else can be: what a restore brings along from another ledger is later.
insert into aximo_private.high_risk_levels (customer_id, levels, effective_from, set_at)
values ('*', array['R3', 'R4', 'high', 'critical'], '-infinity', '2026-01-01 00:00:00+00');
create index high_risk_levels_by_time on aximo_private.high_risk_levels (customer_id, effective_from, set_at);
alter table aximo_private.high_risk_levels enable row level security;
alter table aximo_private.high_risk_levels force row level security;
create policy owner_reads_own_risk_levels on aximo_private.high_risk_levels
for select to aximo_owner using (customer_id = (select aximo.current_customer()) or customer_id = '*');
create policy recorder_adds_risk_levels on aximo_private.high_risk_levels
for insert to aximo_recorder with check (true);
create policy meter_reads_risk_levels on aximo_private.high_risk_levels
for select to aximo_meter using (true);
select aximo_private.make_append_only('aximo_private.high_risk_levels');
select aximo_private.hide_statistics('aximo_private.high_risk_levels');

comment on table aximo_private.high_risk_levels is 'Which risk levels are high. Written by aximo.set_high_risk_levels; a row holds until a later one overrides it.';
comment on column aximo_private.high_risk_levels.customer_id is 'For whom, or * for all that have none of their own.';
comment on column aximo_private.high_risk_levels.levels is 'The levels, as events state them. Null takes back what was set before.';
comment on column aximo_private.high_risk_levels.effective_from is 'For months that end after this moment.';
comment on column aximo_private.high_risk_levels.set_at is 'When it was set, by the database''s clock.';
comment on column aximo_private.high_risk_levels.set_by is 'The login that set it.';
comment on column aximo_private.high_risk_levels.setting_id is 'Tells two settings of one moment apart.';
comment on policy owner_reads_own_risk_levels on aximo_private.high_risk_levels is 'Views run as the owner and show what concerns the session''s customer.';
comment on policy recorder_adds_risk_levels on aximo_private.high_risk_levels is 'aximo.set_high_risk_levels, which writes for a customer that the access map gave it.';
comment on policy meter_reads_risk_levels on aximo_private.high_risk_levels is 'aximo_private.high_risk_at, which names the customer.';
comment on index aximo_private.high_risk_levels_by_time is 'The one in force.';
