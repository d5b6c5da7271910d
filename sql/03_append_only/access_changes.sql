-- Says who could see a customer on a past day: the access map only says who can see it now. The functions that change the map write this
-- table. A trigger on the map would write it twice when only the data are restored.
create table aximo_private.access_changes (
    customer_id text collate "C" not null,
    role_name text collate "C" not null,
    is_granted boolean not null,
    changed_at timestamptz not null default clock_timestamp(),
    changed_by text collate "C" not null default session_user,
    change_id uuid not null default gen_random_uuid(),
    constraint access_changes_pkey primary key (customer_id, change_id),
    constraint role_name_length check (octet_length(role_name) <= 63),
    constraint customer_id_length check (char_length(customer_id) <= 255)
);
create index access_changes_by_role on aximo_private.access_changes (customer_id, role_name, changed_at, change_id);
select aximo_private.isolate_by_customer('aximo_private.access_changes');
create policy owner_reads_own_access on aximo_private.access_changes
for select to aximo_owner using (customer_id = (select aximo.current_customer()) or customer_id = '*');
create policy gatekeeper_notes_access on aximo_private.access_changes for insert to aximo_gatekeeper with check (true);
create policy gatekeeper_reads_access on aximo_private.access_changes for select to aximo_gatekeeper using (true);
select aximo_private.make_append_only('aximo_private.access_changes');
comment on table aximo_private.access_changes is 'Every grant of a customer to a login, and every revocation: append-only. Read it through aximo.access_history.';
comment on column aximo_private.access_changes.customer_id is 'The customer; * stands for all.';
comment on column aximo_private.access_changes.role_name is 'The login.';
comment on column aximo_private.access_changes.is_granted is 'True: granted; false: revoked.';
comment on column aximo_private.access_changes.changed_at is 'When, by the database''s clock.';
comment on column aximo_private.access_changes.changed_by is 'The login that did it.';
comment on column aximo_private.access_changes.change_id is 'Tells two changes of one moment apart.';
comment on policy owner_reads_own_access on aximo_private.access_changes is 'The view shows a customer who could see it, those with all customers among them.';
comment on policy gatekeeper_reads_access on aximo_private.access_changes is 'aximo_private.access_differences compares it with the map.';
comment on policy gatekeeper_notes_access on aximo_private.access_changes is 'aximo.grant_customer and aximo.revoke_customer.';
comment on index aximo_private.access_changes_by_role is 'What became of a grant.';
