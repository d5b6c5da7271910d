-- Imported events that break a rule of their execution's life. aximo.import_events keeps such events and lists them here; every other way
-- of writing refuses them.
create table aximo_private.violations (
    found_at timestamptz not null default clock_timestamp(),
    event_id uuid not null,
    against uuid,
    customer_id text collate "C" not null,
    execution_id text collate "C" not null,
    rule text collate "C" not null,
    constraint violations_pkey primary key (customer_id, event_id)
);
select aximo_private.isolate_by_customer('aximo_private.violations', 'owner_reads_own_violations');
create policy recorder_reads_violations on aximo_private.violations for select to aximo_recorder using (true);
create policy recorder_adds_violations on aximo_private.violations for insert to aximo_recorder with check (true);
select aximo_private.make_append_only('aximo_private.violations');
comment on table aximo_private.violations is 'Imported events that break a rule of their execution''s life: append-only. Read it through aximo.violations.';
comment on column aximo_private.violations.customer_id is 'Whose event it is.';
comment on policy recorder_reads_violations on aximo_private.violations is 'aximo.verify_executions compares them with the rules.';
comment on policy recorder_adds_violations on aximo_private.violations is 'aximo.import_events runs as this role.';
