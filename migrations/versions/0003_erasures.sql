-- clients: old ones go on
-- What was erased, and who really decided an approval.
-- First what is new, which takes no lock that anybody waits for; then the views that are in use: a column that comes last.

-- Whoever is to own a function needs it for a moment.
grant create on schema aximo to aximo_sequencer;
-- as in 08_log/aximo_private.erasures.sql
create table aximo_private.erasures (
    log_size bigint not null,
    recorded_at timestamptz not null default clock_timestamp(),
    erasure_id uuid not null,
    customer_id text collate "C" not null,
    key_ids uuid[] not null,
    reason text collate "C" not null,
    recorded_by text collate "C" not null default session_user,
    constraint erasures_pkey primary key (customer_id, erasure_id),
    constraint key_ids_are_named check (
        array_ndims(key_ids) = 1 and array_length(key_ids, 1) between 1 and 1000 and array_position(key_ids, null) is null
    ),
    constraint reason_is_told check (reason ~ '[^[:space:]]' and char_length(reason) between 1 and 1000),
    constraint log_size_not_negative check (log_size >= 0)
);
select aximo_private.isolate_by_customer('aximo_private.erasures', 'owner_reads_own_erasures');
create policy sequencer_adds_own_erasures on aximo_private.erasures
for insert to aximo_sequencer with check (customer_id = (select aximo.current_customer()));
select aximo_private.make_append_only('aximo_private.erasures');
-- What was erased stays so wherever the customer goes: an old vault is brought up to date by the ledger that has the customer.
select aximo_private.make_movable('aximo_private.erasures');
comment on table aximo_private.erasures is 'Keys of sealed values that were destroyed: append-only. Read it through aximo.erasures, add with aximo.record_erasure.';
comment on column aximo_private.erasures.customer_id is 'Whose values.';
comment on policy sequencer_adds_own_erasures on aximo_private.erasures is 'aximo.record_erasure runs as this role, for the session''s customer.';
-- until here
-- as in 08_log/aximo.erasures.sql
create or replace view aximo.erasures with (security_barrier = true) as
select
    customer_id, erasure_id, key_ids, reason, log_size, recorded_at, recorded_by
from only aximo_private.erasures; -- noqa: PRS
comment on view aximo.erasures is 'What was erased for the session''s customer: keys of sealed values that are destroyed, or are about to be. Key: erasure_id.';
comment on column aximo.erasures.customer_id is 'Whose values: always the session''s customer.';
comment on column aximo.erasures.erasure_id is 'Made by the database.';
comment on column aximo.erasures.key_ids is 'The ids of the keys, as they stand in the sealed values as kid. Whose they were is said nowhere in the ledger.';
comment on column aximo.erasures.reason is 'Why, in the words of who recorded it. No place for personal data.';
comment on column aximo.erasures.log_size is 'How many entries the log of events had. What was sealed later, by who still held the key, is after it.';
comment on column aximo.erasures.recorded_at is 'When it was recorded, by the database''s clock: before the keys were destroyed.';
comment on column aximo.erasures.recorded_by is 'The login that recorded it.';
select aximo_private.take_comments('aximo.erasures', 'aximo_private.erasures');
-- until here
-- as in 08_log/record_erasure.sql
-- Recorded first, then the keys are destroyed, elsewhere: a crash in between leaves what is to be done, and an old vault is brought up to date
-- by what stands here.
create or replace function aximo.record_erasure(key_ids uuid[], reason text) returns uuid
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo_private.writing_customer(null);
    -- Made here, as RETURNING would need a policy by which the sequencer reads.
    made constant uuid := gen_random_uuid();
begin
    if record_erasure.key_ids is null or array_ndims(record_erasure.key_ids) is distinct from 1
        or cardinality(record_erasure.key_ids) > 1000 or array_position(record_erasure.key_ids, null) is not null then
        raise exception using
            errcode = 'ZXARG',
            message = 'an erasure names the keys that it destroys',
            detail = 'key_ids is no plain list of 1 to 1,000 ids of keys',
            hint = 'Give the kid of each key. "aximo-db erase" knows them.',
            constraint = 'key_ids_are_named';
    end if;
    if record_erasure.reason is null or record_erasure.reason !~ '[^[:space:]]' or char_length(record_erasure.reason) > 1000 then
        raise exception using
            errcode = 'ZXARG',
            message = 'an erasure has a reason',
            detail = format('reason has %s characters', coalesce(char_length(record_erasure.reason), 0)),
            hint = 'Say why in 1 to 1,000 characters, and name no person in it.',
            constraint = 'reason_is_told';
    end if;
    insert into aximo_private.erasures (erasure_id, customer_id, key_ids, reason, log_size)
    values (made, customer, record_erasure.key_ids, record_erasure.reason, aximo.log_size('events'));
    return made;
end;
$$;
alter function aximo.record_erasure(uuid[], text) owner to aximo_sequencer;
comment on function aximo.record_erasure(uuid[], text) is 'Records, for the session''s customer, that keys of sealed values are destroyed, and returns the erasure_id. Destroys nothing itself. ZXARG: no keys or no reason; ZXCUS: no customer.';
-- until here
-- as in 10_version/schema_version.sql
create or replace function aximo.schema_version() returns integer
language sql immutable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$select 3$$;
comment on function aximo.schema_version() is 'The version of this schema; every migration counts it up.';
-- until here
-- as in 99_grants/owners.sql
-- Whatever no file gives to another role belongs to aximo_owner. Indexes, row types and the sequences of columns follow their tables.
do $$
declare
    made text;
begin
    for made in
        select format(
            '%s %s',
            case c.relkind when 'S' then 'sequence' when 'c' then 'type' when 'v' then 'view' else 'table' end,
            c.oid::regclass
        )
        from pg_catalog.pg_class as c
        where c.relnamespace in ('aximo'::regnamespace, 'aximo_metrics'::regnamespace, 'aximo_private'::regnamespace, 'helix'::regnamespace)
            and pg_get_userbyid(c.relowner) = current_user and c.relkind in ('r', 'v', 'S', 'c')
            and not exists (
                select from pg_catalog.pg_depend as d
                where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i') and d.refobjsubid > 0
            )
        union all
        select format('domain %s', t.oid::regtype)
        from pg_catalog.pg_type as t
        where t.typnamespace = 'aximo_private'::regnamespace and t.typtype = 'd' and pg_get_userbyid(t.typowner) = current_user
        union all
        select format('routine %s', p.oid::regprocedure)
        from pg_catalog.pg_proc as p
        where p.pronamespace in ('aximo'::regnamespace, 'aximo_private'::regnamespace, 'helix'::regnamespace)
            and pg_get_userbyid(p.proowner) = current_user
    loop
        execute format('alter %s owner to aximo_owner', made);
    end loop;
end;
$$;
-- until here

revoke create on schema aximo from aximo_sequencer;
revoke all on aximo_private.erasures, aximo.erasures from public;
revoke all on function aximo.record_erasure(uuid[], text) from public;
grant insert (erasure_id, customer_id, key_ids, reason, log_size) on aximo_private.erasures to aximo_sequencer;
revoke insert on aximo_private.erasures from aximo_owner;
grant select on aximo.erasures to aximo_reader;
grant execute on function aximo.record_erasure(uuid[], text) to aximo_operator;

-- locks: aximo_private.approvals_from_events, aximo.approvals
-- as in 06_history/approvals_from_events.sql
-- Worked out from the events: for a moment in the past, and for the actions that a denial withheld.
create or replace view aximo_private.approvals_from_events as
select
    r.customer_id, r.execution_id, r.payload ->> 'approval_id' as approval_id,
    r.deployment_id, r.skill_id, r.skill_version, r.risk_level, r.approval_mode, r."timestamp" as requested_at, r.actor as requested_by,
    coalesce(replace(d.event_type, 'approval_', ''), 'open') as decision,
    d."timestamp" as decided_at, d.actor as decided_by, d.recorded_by as decision_recorded_by,
    d."timestamp" - r."timestamp" as delay, d.payload ->> 'reason' as reason,
    case when d.event_type in ('approval_rejected', 'approval_timeout') then w.actions end as actions_withheld,
    r.event_id as request_event_id, d.event_id as decision_event_id, d.payload ->> 'person' as person
from aximo_private.history as r
left join aximo_private.history as d
    on d.customer_id = r.customer_id and d.execution_id = r.execution_id and d.answers = r.event_id
left join lateral (
    -- The actions that waited for this approval and were never dispatched: by action_id, else as many of a type as were prepared more often
    -- than dispatched.
    select array_agg(coalesce(n.action_id, n.action_type) order by n.step) as actions
    from (
        select
            p.step, p.payload ->> 'action_id' as action_id, p.payload ->> 'action_type' as action_type,
            p.payload ->> 'approval_id' as approval_id,
            row_number() over (
                partition by p.payload ->> 'action_id', p.payload ->> 'action_type', p.payload ->> 'approval_id' order by p.step
            ) as nth
        from aximo_private.history as p
        where p.customer_id = r.customer_id and p.execution_id = r.execution_id and p.event_type = 'action_prepared'
    ) as n
    where (n.approval_id is null or n.approval_id = r.payload ->> 'approval_id')
        and n.nth > (
            select case when n.action_id is not null and count(*) > 0 then n.nth else count(*) end
            from aximo_private.history as q
            where q.customer_id = r.customer_id and q.execution_id = r.execution_id and q.event_type = 'action_dispatched'
                and q.payload ->> 'action_id' is not distinct from n.action_id
                and (
                    n.action_id is not null
                    or q.payload ->> 'action_type' is not distinct from n.action_type
                    and q.payload ->> 'approval_id' is not distinct from n.approval_id
                )
        )
) as w on d.event_type in ('approval_rejected', 'approval_timeout')
where r.event_type = 'approval_requested';
comment on view aximo_private.approvals_from_events is 'aximo.approvals up to the moment looked at, from events alone.';
-- until here
-- as in 06_history/aximo.approvals.sql
create or replace view aximo.approvals as
select
    a.customer_id, a.execution_id,
    case when t.request_event_id is null then a.approval_id else t.approval_id end as approval_id,
    a.deployment_id, a.skill_id, a.skill_version, a.risk_level, a.approval_mode, a.requested_at, a.requested_by, a.decision, a.decided_at,
    a.decided_by, a.decision_recorded_by, a.decided_at - a.requested_at as delay,
    a.reason, t.actions_withheld, a.request_event_id, a.decision_event_id,
    -- Read of the event by who asks for it: an emit keeps no copy.
    (
        select e.payload ->> 'person' -- noqa: RF01
        from only aximo_private.events as e -- noqa: PRS
        where e.customer_id = a.customer_id and e.event_id = a.decision_event_id
    ) as person
from (
    select *
    from only aximo_private.approvals -- noqa: PRS
) as a
-- Looked up for few approvals only: actions_withheld follows from the actions, and the row holds only a hash of an id that is long or no
-- text.
left join lateral (
    select s.approval_id, s.actions_withheld, s.request_event_id
    from aximo_private.approvals_from_events as s
    where s.customer_id = a.customer_id and s.execution_id = a.execution_id and s.request_event_id = a.request_event_id
        and (a.decided_at is not null and a.decision <> 'granted' or a.approval_id ~ '^(sha256|json) ')
    offset 0
) as t on true;
comment on view aximo.approvals is 'Every approval that was asked for, and what became of it. Key: request_event_id.';
comment on column aximo.approvals.customer_id is 'Whose it is.';
comment on column aximo.approvals.execution_id is 'The execution that asks.';
comment on column aximo.approvals.approval_id is 'payload.approval_id of the request, if it has one.';
comment on column aximo.approvals.deployment_id is 'The deployment.';
comment on column aximo.approvals.skill_id is 'The skill.';
comment on column aximo.approvals.skill_version is 'The version of the skill.';
comment on column aximo.approvals.risk_level is 'The risk the request states.';
comment on column aximo.approvals.approval_mode is 'The mode the request states.';
comment on column aximo.approvals.requested_at is 'When it was asked for.';
comment on column aximo.approvals.requested_by is 'The actor of the request.';
comment on column aximo.approvals.decision is 'open, granted, rejected or timeout.';
comment on column aximo.approvals.decided_at is 'When it was answered; null while it is open.';
comment on column aximo.approvals.decided_by is 'The actor of the answer, as claimed.';
comment on column aximo.approvals.decision_recorded_by is 'The login that wrote the answer.';
comment on column aximo.approvals.delay is 'From request to answer; null while it is open.';
comment on column aximo.approvals.reason is 'payload.reason of the answer, if it has one.';
comment on column aximo.approvals.actions_withheld is 'If it was rejected or timed out: the prepared actions that waited for it and were not dispatched, by action_id or action_type.';
comment on column aximo.approvals.request_event_id is 'The event that asked.';
comment on column aximo.approvals.decision_event_id is 'The event that answered.';
comment on column aximo.approvals.person is 'payload.person of the answer: who really decided. Where it is sealed, the text of the object that it is sealed as.';
select aximo_private.take_comments('aximo.approvals', 'aximo_private.approvals');
select aximo_private.take_comments('aximo.approvals', 'aximo_private.approvals_from_events');
-- until here
