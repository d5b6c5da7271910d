-- The vault: a key for each subject, wrapped by a key that is not here. Frozen: a change is another file.
create schema aximo_vault;
comment on schema aximo_vault is 'Keys of sealed values. No name of a subject is in it, and no value.';
revoke all on schema aximo_vault from public;

create table aximo_vault.version (
    version integer constraint version_pk primary key,
    applied_at timestamptz not null default now()
);
comment on table aximo_vault.version is 'The files of SQL that made the schema what it is.';

create table aximo_vault.salt (
    is_only boolean constraint salt_pk primary key default true constraint one_salt check (is_only),
    salt bytea not null constraint salt_is_long check (octet_length(salt) = 32)
);
comment on table aximo_vault.salt is 'What subjects are hashed with.';
insert into aximo_vault.salt (salt)
values (sha256(convert_to(concat(gen_random_uuid(), gen_random_uuid(), gen_random_uuid()), 'UTF8')));

create table aximo_vault.tombstones (
    kid uuid constraint tombstones_pk primary key,
    customer_id text collate "C" not null,
    erased_at timestamptz not null default now(),
    reason text not null
);
comment on table aximo_vault.tombstones is 'Keys that were destroyed. An entry destroys the key, and keeps it from coming back.';

create table aximo_vault.subjects (
    customer_id text collate "C" not null constraint customer_id_not_blank check (customer_id ~ '\S'),
    subject bytea not null constraint subject_is_hash check (octet_length(subject) = 32),
    kid uuid constraint kid_is_one_subjects unique,
    wrapped bytea constraint wrapped_size check (octet_length(wrapped) between 1 and 8192),
    since timestamptz not null default now(),
    erased_at timestamptz,
    constraint subjects_pk primary key (customer_id, subject),
    constraint live_or_erased check (
        kid is not null and wrapped is not null and erased_at is null or kid is null and wrapped is null and erased_at is not null
    )
);
comment on table aximo_vault.subjects is 'A subject that has a key, or was erased. One that has no row never had a key, or was readmitted.';
comment on column aximo_vault.subjects.subject is 'HMAC-SHA-256 of customer and subject, with the salt.';
comment on column aximo_vault.subjects.wrapped is 'The key, wrapped; null when it was erased.';

-- A row may be made with a new key, lose it for good, have it wrapped anew, or go when the subject is readmitted.
create function aximo_vault.keep_subject() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    allowed boolean;
begin
    if tg_op <> 'DELETE' and new.kid is not null and exists (select from aximo_vault.tombstones as t where t.kid = new.kid) then
        raise exception using
            errcode = 'ZXVLT', message = 'this key was destroyed', detail = format('kid %s', new.kid),
            hint = 'A destroyed key does not come back. A subject that is readmitted gets another one.',
            constraint = 'kid_not_erased';
    end if;
    if tg_op = 'INSERT' then
        return new;
    end if;
    if tg_op = 'DELETE' then
        allowed := old.kid is null;
    else
        allowed := (new.customer_id, new.subject) = (old.customer_id, old.subject) and old.kid is not null
            and (
                new.kid is not distinct from old.kid
                or new.kid is null and exists (select from aximo_vault.tombstones as t where t.kid = old.kid)
            );
    end if;
    if not allowed then
        raise exception using
            errcode = 'ZXVLT', message = 'a key is lost by a tombstone alone, and an erased subject gets one by being readmitted',
            detail = 'aximo_vault.subjects',
            hint = 'Use aximo-db erase and aximo-db vault readmit.', constraint = 'key_is_erased_by_tombstone';
    end if;
    return case when tg_op = 'DELETE' then old else new end;
end
$$;
comment on function aximo_vault.keep_subject() is 'Refuses a destroyed key, and a key that is lost without a tombstone.';
create trigger keep_subject before insert or update or delete on aximo_vault.subjects
for each row execute function aximo_vault.keep_subject();
comment on trigger keep_subject on aximo_vault.subjects is 'Keeps the three states of a subject.';

create function aximo_vault.bury() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
    -- Of its keys' ids a ledger believes whoever works for a customer.
    if exists (select from aximo_vault.subjects as s where s.kid = new.kid and s.customer_id <> new.customer_id) then
        raise exception using
            errcode = 'ZXVLT', message = 'this key is another customer''s', detail = format('kid %s', new.kid),
            hint = 'Find out in aximo.erasures who recorded it: a customer''s keys are destroyed by its own erasures.',
            constraint = 'kid_is_the_customers';
    end if;
    update aximo_vault.subjects as s set kid = null, wrapped = null, erased_at = new.erased_at
    where s.kid = new.kid;
    return null;
end
$$;
comment on function aximo_vault.bury() is 'Destroys the key of a tombstone, if it is that customer''s.';
create trigger bury after insert on aximo_vault.tombstones for each row execute function aximo_vault.bury();
comment on trigger bury on aximo_vault.tombstones is 'Destroys the key.';

create function aximo_vault.refuse_change() returns trigger
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp as $$
begin
    raise exception using
        errcode = 'ZXVLT', message = 'what a vault forgets by stays as it is', detail = format('table %I', tg_table_name),
        hint = 'Leave it as it is: it keeps what was erased from coming back.', constraint = 'tombstone_stays';
end
$$;
comment on function aximo_vault.refuse_change() is 'Refuses any change.';
create trigger refuse_change before update or delete or truncate on aximo_vault.tombstones
for each statement execute function aximo_vault.refuse_change();
comment on trigger refuse_change on aximo_vault.tombstones is 'Tombstones are append-only.';
create trigger refuse_truncate before truncate on aximo_vault.subjects
for each statement execute function aximo_vault.refuse_change();
comment on trigger refuse_truncate on aximo_vault.subjects is 'A key is lost by a tombstone alone.';
create trigger refuse_change before update or delete or truncate on aximo_vault.salt
for each statement execute function aximo_vault.refuse_change();
comment on trigger refuse_change on aximo_vault.salt is 'With another salt, no subject would be known again: not even that it was erased.';

revoke all on function aximo_vault.keep_subject(), aximo_vault.bury(), aximo_vault.refuse_change() from public;
