-- The customers that changed which actions are leads, and from when on. Counting judges again what it has counted since then, and deletes
-- the row.
create table aximo_private.unjudged_leads (
    customer_id text collate "C" not null,
    since timestamptz not null,
    setting_id uuid not null default gen_random_uuid(),
    constraint unjudged_leads_pkey primary key (customer_id, setting_id)
);
select aximo_private.isolate_by_customer('aximo_private.unjudged_leads');
create policy recorder_adds_unjudged_leads on aximo_private.unjudged_leads for insert to aximo_recorder with check (true);
create policy sequencer_keeps_unjudged_leads on aximo_private.unjudged_leads for all to aximo_sequencer using (true) with check (true);
comment on table aximo_private.unjudged_leads is 'Whose leads are to be judged anew. Kept by aximo.set_lead_action_types and aximo.count_metrics.';
comment on column aximo_private.unjudged_leads.customer_id is 'Whose, or * for all customers.';
comment on column aximo_private.unjudged_leads.since is 'For months that end after this moment.';
comment on column aximo_private.unjudged_leads.setting_id is 'Tells two settings apart.';
comment on policy recorder_adds_unjudged_leads on aximo_private.unjudged_leads is 'aximo.set_lead_action_types, which writes for a customer that the access map gave it.';
comment on policy sequencer_keeps_unjudged_leads on aximo_private.unjudged_leads is 'aximo.count_metrics runs as this role.';
