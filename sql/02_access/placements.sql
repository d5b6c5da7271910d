-- Where a customer is, if it is not simply here: it is being moved to or from another node of the fleet, or it is there.
create table aximo_private.placements (
    customer_id text collate "C" not null,
    state text collate "C" not null,
    node integer not null,
    was_here boolean not null default false,
    since timestamptz not null default clock_timestamp(),
    set_by text collate "C" not null default session_user,
    constraint placements_pkey primary key (customer_id),
    constraint placement_known check (state in ('arriving', 'leaving', 'gone')),
    constraint node_known check (node between 0 and 1023)
);
select aximo_private.hide_statistics('aximo_private.placements');
alter table aximo_private.placements enable row level security;
alter table aximo_private.placements force row level security;
-- The access functions and the writing ones look up one customer that they have from the access map.
create policy gatekeeper_reads_placements on aximo_private.placements for select to aximo_gatekeeper using (true);
create policy recorder_reads_placements on aximo_private.placements for select to aximo_recorder using (true);
create policy sequencer_keeps_placements on aximo_private.placements for all to aximo_sequencer using (true) with check (true);
create policy owner_reads_granted_placements on aximo_private.placements
for select to aximo_owner using (array[customer_id, '*'] && (select aximo_private.session_grants()));
comment on table aximo_private.placements is 'The customers that are not simply here. Written by aximo.place_customer only.';
comment on column aximo_private.placements.customer_id is 'The customer.';
comment on column aximo_private.placements.state is 'arriving, leaving or gone. arriving: it is being copied from another node, and hidden here. leaving: it can be read, and no longer written. gone: it is on another node, and what stayed here is hidden.';
comment on column aximo_private.placements.node is 'The other node: where it comes from, goes to, or is.';
comment on column aximo_private.placements.was_here is 'Of one that is arriving: whether it was here before, so that part of it may be here already.';
comment on column aximo_private.placements.since is 'Since when, by the database''s clock.';
comment on column aximo_private.placements.set_by is 'The login that said so.';
comment on policy gatekeeper_reads_placements on aximo_private.placements is 'Whoever asks for a customer is told where it is.';
comment on policy recorder_reads_placements on aximo_private.placements is 'Writing asks whether the customer is here.';
comment on policy sequencer_keeps_placements on aximo_private.placements is 'aximo.place_customer runs as this role.';
comment on policy owner_reads_granted_placements on aximo_private.placements is 'aximo.placements shows a login the customers that it was granted.';
