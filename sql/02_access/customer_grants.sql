-- The access map: which login may work for which customer. Its key is the login's name, because a dump is restored into a cluster where
-- every oid differs.
create table aximo_private.customer_grants (
    role_name text collate "C" not null,
    customer_id text collate "C" not null
        constraint customer_id_present check (customer_id <> ''),
    granted_at timestamptz not null default clock_timestamp(),
    granted_by text collate "C" not null default session_user,
    constraint customer_grants_pkey primary key (role_name, customer_id),
    constraint role_name_length check (octet_length(role_name) <= 63),
    constraint customer_id_length check (char_length(customer_id) <= 255)
);
alter table aximo_private.customer_grants enable row level security;
alter table aximo_private.customer_grants force row level security;

-- The gatekeeper's functions read and change the map. The owner may read it, so that doctor can show it.
create policy gatekeeper_keeps_the_map on aximo_private.customer_grants for all to aximo_gatekeeper using (true) with check (true);
-- aximo.emit_event reads the grants of the session's own login, and no others.
create policy recorder_reads_own_grants on aximo_private.customer_grants
for select to aximo_recorder using (role_name = session_user::text);
create policy owner_reads_the_map on aximo_private.customer_grants for select to aximo_owner using (true);
comment on table aximo_private.customer_grants is 'Which login may work for which customer. Written by aximo.grant_customer and aximo.revoke_customer only.';
comment on column aximo_private.customer_grants.role_name is 'The login, as session_user spells it. Membership does not pass a grant on.';
comment on column aximo_private.customer_grants.customer_id is 'The customer, or * for all customers, present and future.';
comment on column aximo_private.customer_grants.granted_at is 'When, by the database''s clock.';
comment on column aximo_private.customer_grants.granted_by is 'The login that granted it.';
comment on policy gatekeeper_keeps_the_map on aximo_private.customer_grants is 'Only the access functions run as this role.';
comment on policy owner_reads_the_map on aximo_private.customer_grants is 'A DBA can see who holds what; changing it goes through the functions.';
comment on policy recorder_reads_own_grants on aximo_private.customer_grants is 'What the session''s own login was granted, for aximo.emit_event.';
