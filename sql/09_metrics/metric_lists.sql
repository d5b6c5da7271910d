-- Settings that are lists: the risk levels that are high when actions are billed, and the action types that are leads. Append-only, as
-- thresholds are.
create table aximo_private.metric_lists (
    customer_id text collate "C" not null,
    list text collate "C" not null,
    items text[] collate "C",
    effective_from timestamptz not null,
    set_at timestamptz not null default clock_timestamp(),
    set_by text collate "C" not null default session_user,
    setting_id uuid not null default gen_random_uuid(),
    constraint metric_lists_pkey primary key (customer_id, setting_id),
    constraint list_known check (list in ('high_risk_levels', 'lead_action_types')),
    constraint items_are_listed check (array_ndims(items) = 1 or cardinality(items) = 0),
    constraint items_are_few check (cardinality(items) <= 100),
    constraint items_are_named check (array_position(items, null) is null),
    constraint effective_from_is_a_moment check (
        effective_from = '-infinity' or effective_from >= '1970-01-01 00:00:00+00' and effective_from < '9999-01-01 00:00:00+00'
    )
);
-- The defaults have an early set_at: a setting that a restore brings along from another ledger is later.
insert into aximo_private.metric_lists (customer_id, list, items, effective_from, set_at)
values
('*', 'high_risk_levels', array['R3', 'R4', 'high', 'critical'], '-infinity', '2026-01-01 00:00:00+00'),
('*', 'lead_action_types', array['lead_capture', 'store_lead'], '-infinity', '2026-01-01 00:00:00+00');
create index metric_lists_by_time on aximo_private.metric_lists (customer_id, list, effective_from, set_at);
select aximo_private.isolate_by_customer('aximo_private.metric_lists');
create policy owner_reads_own_lists on aximo_private.metric_lists
for select to aximo_owner using (customer_id = (select aximo.current_customer()) or customer_id = '*');
create policy recorder_adds_lists on aximo_private.metric_lists for insert to aximo_recorder with check (true);
create policy meter_reads_lists on aximo_private.metric_lists for select to aximo_meter, aximo_sequencer using (true);
select aximo_private.make_append_only('aximo_private.metric_lists');
comment on table aximo_private.metric_lists is 'Which risk levels are high, and which action types are leads. Written by aximo.set_high_risk_levels and aximo.set_lead_action_types; a row holds until a later one overrides it.';
comment on column aximo_private.metric_lists.list is 'high_risk_levels or lead_action_types.';
comment on column aximo_private.metric_lists.items is 'The levels or types, as events state them. Null takes back what was set before.';
comment on column aximo_private.metric_lists.effective_from is 'For months that end after this moment.';
comment on column aximo_private.metric_lists.set_at is 'When it was set, by the database''s clock.';
select aximo_private.take_comments('aximo_private.thresholds', 'aximo_private.metric_lists');
comment on policy owner_reads_own_lists on aximo_private.metric_lists is 'Views run as the owner and show what concerns the session''s customer.';
comment on policy recorder_adds_lists on aximo_private.metric_lists is 'aximo_private.set_list, which writes for a customer that the access map gave it.';
comment on policy meter_reads_lists on aximo_private.metric_lists is 'aximo_private.list_of, which names the customer.';
comment on index aximo_private.metric_lists_by_time is 'The one in force.';
