-- Which deployments there are, so that a page of them needs no walk over the events. Whoever writes the first event of a deployment adds a
-- row. The event is part of the key, so that two transactions which do so at once need not wait for each other; readers take distinct rows.
create table aximo_private.known_deployments (
    customer_id text collate "C" not null,
    deployment_id text collate "C" not null,
    event_id uuid not null,
    constraint known_deployments_pkey primary key (customer_id, deployment_id, event_id)
);
select aximo_private.isolate_by_customer('aximo_private.known_deployments', 'owner_reads_own_deployments');
create policy recorder_reads_deployments on aximo_private.known_deployments for select to aximo_recorder using (true);
create policy recorder_notes_deployments on aximo_private.known_deployments for insert to aximo_recorder with check (true);
select aximo_private.make_append_only('aximo_private.known_deployments');
comment on table aximo_private.known_deployments is 'Every deployment that an event speaks of: append-only, noted with its first event; twice, if two transactions came first.';
comment on column aximo_private.known_deployments.customer_id is 'Whose deployment it is.';
comment on column aximo_private.known_deployments.deployment_id is 'The deployment.';
comment on column aximo_private.known_deployments.event_id is 'The event that it was noted with.';
comment on policy recorder_reads_deployments on aximo_private.known_deployments is 'The emit functions, which name the customer in every look-up.';
comment on policy recorder_notes_deployments on aximo_private.known_deployments is 'The emit functions.';
