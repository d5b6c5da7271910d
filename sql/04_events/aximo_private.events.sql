-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- Every event of every customer. Nobody reads this table itself: aximo.events shows each session its part.
create sequence aximo_private.events_position as bigint;
comment on sequence aximo_private.events_position is 'Order of arrival, with gaps. Never shown: the gaps between one''s own numbers tell other customers'' volume.';

create table aximo_private.events (
    -- The transaction gets its id before it draws a position, so numbering can find whoever holds a position by that id. CASE fixes the
    -- order.
    position bigint not null
        default case when pg_current_xact_id() is not null then nextval('aximo_private.events_position') end,
    "timestamp" timestamptz not null default clock_timestamp(),
    recorded_at timestamptz not null default clock_timestamp(),
    latency_ms bigint,
    event_id uuid not null default aximo_private.new_event_id(),
    answers uuid,
    step integer,
    event_type text collate "C" not null,
    customer_id text collate "C" not null,
    deployment_id text collate "C" not null,
    skill_id text collate "C" not null,
    skill_version text collate "C" not null,
    execution_id text collate "C",
    actor text collate "C" not null,
    risk_level text collate "C",
    approval_mode text collate "C",
    correlation_id text collate "C",
    channel_type text collate "C",
    error_code text collate "C",
    recorded_by text collate "C" not null default session_user,
    payload jsonb not null default '{}'
);

-- Every index leads with the customer: another index would show counts of other customers in EXPLAIN ANALYZE. The first one gives a trace
-- in order, and is unique, so that no execution has two events of one step, even if its row was lost.
create unique index events_by_execution on aximo_private.events (customer_id, execution_id, step) where execution_id is not null;
create index events_by_time on aximo_private.events (customer_id, "timestamp", event_id);
create index events_by_deployment on aximo_private.events (customer_id, deployment_id, "timestamp");
-- Few events say what a deployment is; many happen in it.
create index events_of_deployments on aximo_private.events (customer_id, deployment_id, "timestamp")
where event_type in (
    'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_suspended', 'deployment_updated',
    'deployment_terminated', 'version_upgraded', 'version_rolled_back'
);
create index events_by_correlation on aximo_private.events (customer_id, correlation_id, "timestamp", event_id)
where correlation_id is not null;
-- For numbering. The index is partial so that only a query with this condition uses it: in the plan of a customer's query it would count
-- events of others.
create index events_by_position on aximo_private.events (position) where position > 0;
-- The primary key is made last, as pg_restore does too. On an empty table all indexes cost the same, the planner then takes the youngest,
-- and a session keeps the plans that it made then.
create unique index events_pkey on aximo_private.events (customer_id, event_id);
alter table aximo_private.events add constraint events_pkey primary key using index events_pkey;

select aximo_private.isolate_by_customer('aximo_private.events', 'owner_reads_own_customer');
-- The emit functions run as the recorder. They first ask the access map, once, and then name the customer in every look-up.
create policy recorder_reads_events on aximo_private.events for select to aximo_recorder using (true);
-- Numbering, and what is worked out from the log, is done for all customers at a time.
create policy sequencer_reads_events on aximo_private.events for select to aximo_sequencer using (true);

select aximo_private.make_append_only('aximo_private.events');
comment on table aximo_private.events is 'Every event of every customer: append-only, isolated by row-level security. Read it through aximo.events, write it through aximo.emit_event.';
comment on column aximo_private.events.position is 'Order of arrival, with gaps; no client sets or sees it.';
comment on column aximo_private.events.recorded_at is 'When it was written, by the database''s clock; no client sets it.';
comment on column aximo_private.events.event_id is 'The event''s id, unique within its customer: the client''s, or made here.';
comment on column aximo_private.events.answers is 'For the answer to an approval: the event_id of the request it answers. Worked out when it is written.';
comment on column aximo_private.events.customer_id is 'Whose event it is.';
comment on column aximo_private.events.recorded_by is 'The login that wrote it (session_user); no client sets it.';
comment on policy recorder_reads_events on aximo_private.events is 'The emit functions, which name the customer in every look-up.';
comment on policy sequencer_reads_events on aximo_private.events is 'Events are numbered for all customers at a time.';
comment on index aximo_private.events_by_execution is 'A trace. A step of an execution is taken once.';
comment on index aximo_private.events_by_time is 'Newest first, and paging.';
comment on index aximo_private.events_by_deployment is 'What happened in a deployment, newest first.';
comment on index aximo_private.events_of_deployments is 'What was declared of a deployment: its status and its versions.';
comment on index aximo_private.events_by_correlation is 'Events that belong together.';
comment on index aximo_private.events_by_position is 'What is new to the log.';
