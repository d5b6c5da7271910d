-- Who could see a customer on a day gone by. The map says only who can see it now.
create table aximo_private.access_changes (
    change_id bigint generated always as identity,
    role_name text collate "C" not null,
    customer_id text collate "C" not null,
    is_granted boolean not null,
    changed_at timestamptz not null default clock_timestamp(),
    changed_by text collate "C" not null default session_user,
    constraint access_changes_pkey primary key (customer_id, role_name, change_id)
);
alter table aximo_private.access_changes owner to aximo_owner;
alter table aximo_private.access_changes enable row level security;
alter table aximo_private.access_changes force row level security;
create policy owner_reads_own_access on aximo_private.access_changes
for select to aximo_owner using (
    coalesce(customer_id in ((select aximo.current_customer()), '*') and (select aximo.current_customer()) is not null, false)
);
create policy gatekeeper_notes_access on aximo_private.access_changes
for insert to aximo_gatekeeper with check (true);
select aximo_private.make_append_only('aximo_private.access_changes');
select aximo_private.hide_statistics('aximo_private.access_changes');

comment on table aximo_private.access_changes is 'Every grant of a customer to a login, and every revocation: append-only. Read it through aximo.access_history.';
comment on column aximo_private.access_changes.change_id is 'The order in which it happened.';
comment on column aximo_private.access_changes.role_name is 'The login.';
comment on column aximo_private.access_changes.customer_id is 'The customer; * stands for all.';
comment on column aximo_private.access_changes.is_granted is 'True: granted; false: revoked.';
comment on column aximo_private.access_changes.changed_at is 'When, by the database''s clock.';
comment on column aximo_private.access_changes.changed_by is 'The login that did it.';
comment on sequence aximo_private.access_changes_change_id_seq is 'The order of changes.';
comment on policy owner_reads_own_access on aximo_private.access_changes is 'The view shows a customer who could see it, those with all customers among them.';
comment on policy gatekeeper_notes_access on aximo_private.access_changes is 'The trigger on the access map.';

-- Whatever way the map is changed.
create function aximo_private.note_access() returns trigger
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'TRUNCATE' then
        insert into aximo_private.access_changes (role_name, customer_id, is_granted)
        select g.role_name, g.customer_id, false
        from aximo_private.customer_grants as g;
        return null;
    end if;
    if tg_op <> 'INSERT' then
        insert into aximo_private.access_changes (role_name, customer_id, is_granted) values (old.role_name, old.customer_id, false);
    end if;
    if tg_op <> 'DELETE' then
        insert into aximo_private.access_changes (role_name, customer_id, is_granted) values (new.role_name, new.customer_id, true);
    end if;
    return null;
end;
$$;
alter function aximo_private.note_access() owner to aximo_gatekeeper;
comment on function aximo_private.note_access() is 'Notes what becomes of the access map in aximo_private.access_changes.';
create trigger note_access after insert or update or delete on aximo_private.customer_grants
for each row execute function aximo_private.note_access();
create trigger note_access_to_nobody before truncate on aximo_private.customer_grants
for each statement execute function aximo_private.note_access();
alter table aximo_private.customer_grants enable always trigger note_access;
alter table aximo_private.customer_grants enable always trigger note_access_to_nobody;
comment on trigger note_access on aximo_private.customer_grants is 'Notes grants and revocations.';
comment on trigger note_access_to_nobody on aximo_private.customer_grants is 'Notes that all grants were taken away.';
