-- clients: old ones go on
-- Several ledgers as one: a fleet of nodes, and on which of them each customer is.
-- First what is new or replaced, which takes no lock that anybody waits for; then what changes tables that are in use.

-- Whoever is to own a function needs it for a moment.
grant create on schema aximo, aximo_private to aximo_gatekeeper, aximo_recorder, aximo_sequencer;

-- Where a customer is. A session of a customer that is elsewhere reads nothing, and is told where when it writes.
-- as in 02_access/placements.sql
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
-- until here
-- as in 02_access/aximo.placements.sql
-- A customer that is hidden is no session's customer, so this view goes by what the login was granted.
create or replace view aximo.placements with (security_barrier = true) as
select customer_id, state, node, since
from only aximo_private.placements -- noqa: PRS
where array[customer_id, '*'] && (select aximo_private.session_grants())
offset 0;
comment on view aximo.placements is 'The customers of the session''s login that are not simply here, but on another node of the fleet or on the way. Key: customer_id.';
select aximo_private.take_comments('aximo_private.placements', 'aximo.placements');
-- until here
-- as in 02_access/refuse_moved.sql
-- Says where a customer is that is not here, or is leaving: then it can be read, and not be written for. It tells this to a login that was granted the customer, and to nobody else.
create or replace function aximo_private.refuse_moved(customer_id text) returns void
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    found_one record;
    rule text;
begin
    select p.customer_id, p.state, p.node into found_one
    from only aximo_private.placements as p
    where p.customer_id = coalesce(
            refuse_moved.customer_id,
            (select min(g.customer_id) from aximo_private.customer_grants as g where g.role_name = session_user::text having count(*) = 1)
        )
        and exists (
            select from aximo_private.customer_grants as g
            where g.role_name = session_user::text and g.customer_id in (p.customer_id, '*')
        );
    if found then
        rule := case
            when found_one.state = 'leaving' then 'customer_is_leaving'
            when found_one.state = 'arriving' then 'customer_is_arriving'
            when found_one.state = 'gone' then 'customer_is_gone'
        end;
        raise exception using
            errcode = 'ZXMOV',
            message = case rule
                when 'customer_is_leaving' then 'this customer is leaving this node, and nobody writes for it meanwhile'
                when 'customer_is_arriving' then 'this customer is not on this node yet'
                else 'this customer is not on this node'
            end,
            detail = format('customer %L is %s, the other node is %s', left(found_one.customer_id, 60), found_one.state, found_one.node),
            hint = case rule
                when 'customer_is_leaving' then format('It is being moved to node %s: try again in a moment, then there.', found_one.node)
                when 'customer_is_arriving' then format('It is being moved here from node %s: go on there until that is done.', found_one.node)
                else format('It is on node %s: connect to that one.', found_one.node)
            end,
            constraint = rule;
    end if;
end;
$$;
alter function aximo_private.refuse_moved(text) owner to aximo_gatekeeper;
comment on function aximo_private.refuse_moved(text) is 'Raises ZXMOV, with the node, if the session''s login was granted that customer, or the only one it was granted, and the customer is leaving, arriving or gone.';
-- until here
-- as in 02_access/named_customer.sql
-- Returns the customer that a call is for: the one that it names, else the session's. It reads the access map itself, so that a write
-- reads the map once.
create or replace function aximo_private.named_customer(customer_id text) returns text
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    session_names constant text := nullif(current_setting('aximo.customer_id', true), '');
    customer text := named_customer.customer_id;
begin
    if customer is null then
        customer := aximo.current_customer();
    elsif customer = '' or customer <> session_names then
        customer := null;
    else
        perform
        from aximo_private.customer_grants as g
        where g.role_name = session_user::text and g.customer_id in (customer, '*');
        if not found then
            customer := null;
        end if;
    end if;

    if customer is null then
        perform aximo_private.refuse_moved(coalesce(named_customer.customer_id, session_names));
        raise exception using
            errcode = 'ZXCUS',
            message = 'this session may not write for that customer',
            detail = format(
                'login %L, the event is of %s, the session is of %s', session_user,
                coalesce('customer ' || quote_literal(left(named_customer.customer_id, 60)), 'no customer'),
                coalesce('customer ' || quote_literal(left(session_names, 60)), 'no customer')
            ),
            hint = 'Name the customer in the call or with SET LOCAL aximo.customer_id, and have it granted with aximo.grant_customer.',
            constraint = 'customer_granted';
    end if;
    if customer = '*' then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed event',
            detail = 'customer_id is ''*''',
            hint = '* stands for all customers in a grant. Name one customer.',
            constraint = 'customer_id_not_all';
    end if;
    return customer;
end;
$$;
alter function aximo_private.named_customer(text) owner to aximo_gatekeeper;
comment on function aximo_private.named_customer(text) is 'The customer that a call of this session is for: the one it names, else the session''s. ZXCUS: not granted, not named, or another than the session''s; ZXMOV: on another node.';
-- until here
-- as in 02_access/writing_customer.sql
-- Returns the customer that a call writes for. One that is leaving can still be read, and no longer written.
create or replace function aximo_private.writing_customer(customer_id text) returns text
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo_private.named_customer(writing_customer.customer_id);
begin
    perform aximo_private.refuse_moved(customer);
    return customer;
end;
$$;
alter function aximo_private.writing_customer(text) owner to aximo_gatekeeper;
comment on function aximo_private.writing_customer(text) is 'The customer that a call of this session writes for: the one it names, else the session''s. ZXCUS: not granted, not named, or another than the session''s; ZXMOV: on another node, or on the way to one.';
-- until here
-- as in 02_access/current_customer.sql
-- The only function that decides which customer a session works for. Every policy calls it as (select aximo.current_customer()), so that it
-- runs once a statement. It is STABLE, not IMMUTABLE, because a prepared statement must call it again. It reads session_user, because
-- current_user is this function's owner in here. A customer that is on another node, or on the way here, is nobody's: what is here of it
-- is hidden.
create or replace function aximo.current_customer() returns text
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    -- After a transaction that set it, the setting is '', not null.
    named constant text := nullif(current_setting('aximo.customer_id', true), '');
    granted text[];
    is_elsewhere boolean;
begin
    if named is null then
        -- A login that was granted one customer need not name it.
        select
            array_agg(g.customer_id),
            bool_or(
                exists (select from only aximo_private.placements as p where p.customer_id = g.customer_id and p.state <> 'leaving')
            )
        into granted, is_elsewhere
        from (
            select customer_id
            from aximo_private.customer_grants
            where role_name = session_user::text
            limit 2
        ) as g;
        if cardinality(granted) = 1 and granted[1] <> '*' and not is_elsewhere then
            return granted[1];
        end if;
        return null;
    end if;
    perform
    from aximo_private.customer_grants
    where role_name = session_user::text and customer_id in (named, '*')
        and not exists (select from only aximo_private.placements as p where p.customer_id = named and p.state <> 'leaving');
    if found then
        return named;
    end if;
    return null;
end;
$$;
alter function aximo.current_customer() owner to aximo_gatekeeper;
comment on function aximo.current_customer() is 'The customer this session works for: the one named in the setting aximo.customer_id if the login was granted it, else the only one the login was granted, else null; null also if that customer is on another node or arriving from one (aximo.placements). Null means: no rows, no writes.';
-- until here

-- Whoever writes asks for it.
-- as in 05_emit/emit_event.sql
-- The lists of an event's fields in this file are made by tools/event_fields.py.
-- Writes one event in one call; most writes come this way. One UPDATE of the execution's row checks the rules and takes the event in. Its
-- conditions may only say that the event fits; all other events go to aximo_private.write_events, which knows the rules. The body is one
-- and long because each further function and statement adds 20,000 to 50,000 instructions to about 600,000: docs/design/0004-emit-path.md.
create or replace function aximo.emit_event(
    event_type text,
    deployment_id text,
    skill_id text,
    skill_version text,
    actor text,
    customer_id text default null,
    execution_id text default null,
    payload jsonb default '{}',
    "timestamp" timestamptz default null,
    risk_level text default null,
    approval_mode text default null,
    correlation_id text default null,
    channel_type text default null,
    error_code text default null,
    latency_ms bigint default null,
    event_id uuid default null
) returns aximo.receipt
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    session_names constant text := current_setting('aximo.customer_id', true);
    customer text := coalesce(emit_event.customer_id, session_names);
    id constant uuid := coalesce(emit_event.event_id, aximo_private.new_event_id());
    moment constant timestamptz := coalesce(emit_event."timestamp", clock_timestamp());
    document constant jsonb := coalesce(emit_event.payload, '{}');
    -- 2 or more: the execution's row has taken the event in.
    this_step integer;
    -- False: the approvals or actions of the execution, which its row does not tell, stand against the event.
    fits boolean;
    still_open integer;
    prepared integer;
    had_denial boolean;
    approval text;
    request uuid;
    event aximo_private.events;
    receipt aximo.receipt;
begin
    -- Most calls name a customer that the login was granted, and that is here. This check may only say so; aximo_private.writing_customer
    -- knows the rule.
    perform
    from aximo_private.customer_grants as g
    where g.customer_id in (customer, '*')
        and not exists (select from only aximo_private.placements as p where p.customer_id = customer);
    if not found or coalesce(customer, '') in ('', '*') or session_names not in ('', customer) then
        customer := aximo_private.writing_customer(emit_event.customer_id);
    end if;

    -- The conditions below use ended_at: with outcome the planner would use a partial index.
    if emit_event.execution_id is null then
        null;
    elsif emit_event.event_type = 'execution_triggered' then
        -- The row is inserted after the event. The unique index of steps refuses a second trigger.
        this_step := 1;
    elsif emit_event.event_type in ('action_prepared', 'action_dispatched', 'action_failed') then
        update aximo_private.executions as x set
            steps = x.steps + 1,
            last_event_at = greatest(x.last_event_at, moment),
            actions_prepared = x.actions_prepared + (emit_event.event_type = 'action_prepared')::integer,
            actions_dispatched = x.actions_dispatched + (emit_event.event_type = 'action_dispatched')::integer,
            actions_failed = x.actions_failed + (emit_event.event_type = 'action_failed')::integer
        where x.customer_id = customer and x.execution_id = emit_event.execution_id and x.deployment_id = emit_event.deployment_id
            and x.skill_id = emit_event.skill_id and x.skill_version = emit_event.skill_version
            and x.started_at is not null and x.ended_at is null and x.processing
            and (emit_event.event_type <> 'action_dispatched' or x.open_approvals = 0 and not x.denied)
        returning x.steps into this_step;
    elsif emit_event.event_type in ('approval_requested', 'approval_granted', 'approval_rejected', 'approval_timeout') then
        update aximo_private.executions as x set
            steps = x.steps + 1,
            last_event_at = greatest(x.last_event_at, moment),
            open_approvals = x.open_approvals + case emit_event.event_type when 'approval_requested' then 1 else -1 end,
            denied = x.denied or emit_event.event_type in ('approval_rejected', 'approval_timeout'),
            approvals_requested = x.approvals_requested + (emit_event.event_type = 'approval_requested')::integer,
            approvals_granted = x.approvals_granted + (emit_event.event_type = 'approval_granted')::integer,
            approvals_rejected = x.approvals_rejected + (emit_event.event_type = 'approval_rejected')::integer,
            approvals_timed_out = x.approvals_timed_out + (emit_event.event_type = 'approval_timeout')::integer
        where x.customer_id = customer and x.execution_id = emit_event.execution_id and x.deployment_id = emit_event.deployment_id
            and x.skill_id = emit_event.skill_id and x.skill_version = emit_event.skill_version
            and x.started_at is not null and x.ended_at is null and x.processing
        returning x.steps, x.open_approvals into this_step, still_open;
        if this_step is not null then
            approval := aximo_private.step_key(document, 'approval_id');
            if emit_event.event_type <> 'approval_requested' then
                update aximo_private.approvals as a set
                    decision = substr(emit_event.event_type, 10),
                    decided_at = moment,
                    decided_by = emit_event.actor,
                    decision_recorded_by = session_user,
                    decision_event_id = id,
                    reason = document ->> 'reason'
                where a.customer_id = customer and a.execution_id = emit_event.execution_id and a.decision_event_id is null
                    and a.approval_id is not distinct from approval
                returning a.request_event_id into request;
                fits := found;
            elsif still_open > 1 then
                fits := approval is not null and not exists (
                    select
                    from only aximo_private.approvals as a
                    where a.customer_id = customer and a.execution_id = emit_event.execution_id and a.decision_event_id is null
                        and (a.approval_id is null or a.approval_id = approval)
                );
            end if;
        end if;
        if this_step is not null and fits is not false and emit_event.event_type = 'approval_requested' then
            insert into aximo_private.approvals (
                customer_id, execution_id, step, approval_id, deployment_id, skill_id, skill_version, risk_level, approval_mode,
                requested_at, requested_by, request_event_id
            ) values (
                customer, emit_event.execution_id, this_step, approval, emit_event.deployment_id, emit_event.skill_id,
                emit_event.skill_version, emit_event.risk_level, emit_event.approval_mode, moment, emit_event.actor, id
            );
        end if;
    elsif emit_event.event_type in ('execution_completed', 'execution_failed') then
        update aximo_private.executions as x set
            steps = x.steps + 1,
            end_step = x.steps + 1,
            last_event_at = greatest(x.last_event_at, moment),
            ended_at = moment,
            outcome = case emit_event.event_type when 'execution_failed' then 'failed' else 'completed' end,
            error_code = case emit_event.event_type when 'execution_failed' then emit_event.error_code end,
            error_message = case emit_event.event_type when 'execution_failed' then document ->> 'error' end
        where x.customer_id = customer and x.execution_id = emit_event.execution_id and x.deployment_id = emit_event.deployment_id
            and x.skill_id = emit_event.skill_id and x.skill_version = emit_event.skill_version
            and x.started_at is not null and x.ended_at is null
            and (emit_event.event_type = 'execution_failed' or x.processing and x.open_approvals = 0)
        returning x.steps, x.actions_prepared, x.denied into this_step, prepared, had_denial;
        -- If every action has its own dispatch or failure and nothing was denied, all are resolved. Otherwise has_unresolved looks closely.
        if prepared > 0 and emit_event.event_type = 'execution_completed'
            and (
                had_denial or exists (
                    select
                    from only aximo_private.events as e
                    where e.customer_id = customer and e.execution_id = emit_event.execution_id and e.event_type < 'approval_'
                    group by e.payload ->> 'action_id', e.payload ->> 'action_type'
                    having
                        count(*) filter (where e.event_type = 'action_prepared')
                        > count(*) filter (where e.event_type <> 'action_prepared')
                )
            )
            and aximo_private.has_unresolved(
                customer, emit_event.execution_id, had_denial,
                array(
                    select a.approval_id
                    from only aximo_private.approvals as a
                    where a.customer_id = customer and a.execution_id = emit_event.execution_id and a.decision in ('rejected', 'timeout')
                ),
                null, null, false
            ) then
            fits := false;
        end if;
    else
        -- execution_processing, and events that are no step of an execution's life.
        update aximo_private.executions as x set
            steps = x.steps + 1,
            last_event_at = greatest(x.last_event_at, moment),
            processing = x.processing or emit_event.event_type = 'execution_processing'
        where x.customer_id = customer and x.execution_id = emit_event.execution_id and x.deployment_id = emit_event.deployment_id
            and x.skill_id = emit_event.skill_id and x.skill_version = emit_event.skill_version
            and x.started_at is not null and (x.ended_at is null or emit_event.event_type <> 'execution_processing')
        returning x.steps into this_step;
    end if;

    if fits is not false and (this_step is not null or emit_event.execution_id is null) then
        insert into aximo_private.events as e (
            event_id, event_type, "timestamp", customer_id, deployment_id, skill_id, skill_version, execution_id, risk_level, approval_mode,
            actor, payload, correlation_id, channel_type, error_code, latency_ms, step, answers
        ) values (
            id, emit_event.event_type, moment, customer, emit_event.deployment_id, emit_event.skill_id, emit_event.skill_version,
            emit_event.execution_id, emit_event.risk_level, emit_event.approval_mode, emit_event.actor, document, emit_event.correlation_id,
            emit_event.channel_type, emit_event.error_code, emit_event.latency_ms, this_step, request
        )
        on conflict do nothing
        returning e.event_id, e.recorded_at, false into receipt;
        if found then
            if this_step > 1 then
                return receipt;
            end if;
            if emit_event.execution_id is not null then
                insert into aximo_private.executions (
                    customer_id, execution_id, deployment_id, skill_id, skill_version, started_at, last_event_at, steps, start_step
                ) values (
                    customer, emit_event.execution_id, emit_event.deployment_id, emit_event.skill_id, emit_event.skill_version, moment,
                    moment, 1, 1
                );
            end if;
            perform
            from only aximo_private.known_deployments as k
            where k.customer_id = customer and k.deployment_id = emit_event.deployment_id
            limit 1;
            if not found then
                insert into aximo_private.known_deployments (customer_id, deployment_id, event_id)
                values (customer, emit_event.deployment_id, id);
            end if;
            return receipt;
        end if;
    end if;

    event := row(
        1, moment, null, emit_event.latency_ms, id, null, null, emit_event.event_type, customer, emit_event.deployment_id,
        emit_event.skill_id, emit_event.skill_version, emit_event.execution_id, emit_event.actor, emit_event.risk_level,
        emit_event.approval_mode, emit_event.correlation_id, emit_event.channel_type, emit_event.error_code, null, document
    );
    -- The row says that the execution has completed, so write_events would name another rule.
    if not fits and emit_event.event_type = 'execution_completed' and aximo_private.event_well_formed(event)
        and not exists (select from only aximo_private.events as e where e.customer_id = customer and e.event_id = emit_event.event_id) then
        perform aximo_private.refuse_step(
            row(
                1, id, emit_event.event_type, customer, emit_event.execution_id, null, 'completes_with_actions_resolved', null, null
            )::aximo_private.breach,
            is_batch => false
        );
    end if;
    receipt := (
        aximo_private.write_events(
            jsonb_build_array(aximo_private.event_document(event, emit_event."timestamp" is not null)), customer,
            is_history => false, is_batch => false
        )
    )[1];
    if this_step > 1 then
        -- The event was stored before, so the row must not count it as a further step.
        perform aximo_private.rebuild_execution(customer, emit_event.execution_id);
    end if;
    return receipt;
end;
$$;
alter function aximo.emit_event(
    text, text, text, text, text, text, text, jsonb, timestamptz, text, text, text, text, text, bigint, uuid
) owner to aximo_recorder;
comment on function aximo.emit_event(
    text, text, text, text, text, text, text, jsonb, timestamptz, text, text, text, text, text, bigint, uuid
) is
'Writes one event and returns its receipt. The customer is the one named, else the session''s. The same event_id with the same content again returns the first receipt with duplicate = true. ZXCUS: not your customer; ZXARG: malformed; ZXSEQ, ZXATT: against the life of the execution; ZXDUP: event_id used for other content.';
-- until here
-- as in 07_helix/check_run.sql
-- Refuses a run with the ledger's own code, before a constraint or policy of the table refuses it with PostgreSQL's.
create or replace function aximo_private.check_run() returns trigger
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set row_security = on
as $$
declare
    rule text;
begin
    if new.customer_id is null or exists (select from only aximo_private.placements as p where p.customer_id = new.customer_id) then
        perform aximo_private.refuse_moved(coalesce(new.customer_id, nullif(current_setting('aximo.customer_id', true), '')));
    end if;
    if new.customer_id is null then
        raise exception using
            errcode = 'ZXCUS',
            message = 'this session may not write for that customer',
            detail = format('login %L names no customer', session_user),
            hint = 'Name the customer with SET LOCAL aximo.customer_id, or bind the login to one with aximo.grant_customer.',
            schema = tg_table_schema,
            table = tg_table_name,
            constraint = 'customer_granted';
    end if;
    rule := case
        when new.customer_id = '*' then 'customer_id_not_all'
        when char_length(new.customer_id) > 255 or btrim(new.customer_id) = '' then 'customer_id_well_formed'
        when (char_length(new.run_id) between 1 and 255) is not true then 'run_id_length'
        when char_length(new.project_id) > 255 then 'project_id_length'
        when (char_length(new.tool_name) between 1 and 255) is not true then 'tool_name_length'
        when (new.status in ('queued', 'running', 'succeeded', 'failed', 'blocked')) is not true then 'runs_status_check'
        when (char_length(new.execution_id) between 1 and 255) is false then 'execution_id_length'
        when (
            greatest(new.created_at, new.started_at, new.finished_at) < '9999-01-01 00:00:00+00'
            and least(new.created_at, new.started_at, new.finished_at) >= '1970-01-01 00:00:00+00'
        ) is false then 'run_moment'
        -- Checked before the text is made.
        when aximo_private.has_extreme_number(new.policy_snapshot) or aximo_private.has_extreme_number(new.environment)
            or aximo_private.has_extreme_number(new.result_json) then 'run_numbers'
        when octet_length(
            to_json(
                concat(
                    new.contract_version, new.tool_version, new.params_hash, new.policy_hash, new.requested_by, new.error,
                    new.log_artifact_id
                )
            )::text
        )
        + coalesce(octet_length(new.policy_snapshot::text), 0) + coalesce(octet_length(new.environment::text), 0)
        + coalesce(octet_length(new.result_json::text), 0) > 8388608 then 'run_size'
    end;
    if rule is not null then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed run',
            detail = format('run_id %L, status %L', left(new.run_id, 60), left(new.status, 60)),
            hint = case rule
                when 'customer_id_not_all' then '* stands for all customers in a grant. Name one customer.'
                when 'customer_id_well_formed' then 'A customer_id has 1 to 255 characters and is not blank.'
                when 'runs_status_check' then 'A status is queued, running, succeeded, failed or blocked.'
                when 'run_moment' then 'created_at, started_at and finished_at are from 1970 on and before the year 9999.'
                when 'run_numbers' then 'policy_snapshot, environment and result_json have no number beyond 1e400 or closer to zero than 1e-400. Send such a number as text.'
                when 'run_size' then 'A run has at most 8 MiB as JSON. Keep the rest as an artifact.'
                when 'project_id_length' then 'A project_id has at most 255 characters.'
                else format('Give %s 1 to 255 characters.', replace(rule, '_length', ''))
            end,
            schema = tg_table_schema,
            table = tg_table_name,
            constraint = rule;
    end if;
    if tg_op = 'INSERT' then
        insert into aximo_private.run_ids (run_id, customer_id)
        values (new.run_id, new.customer_id)
        on conflict do nothing;
        if not found and not exists (
            select from only aximo_private.run_ids as i
            where i.run_id = new.run_id and i.customer_id = new.customer_id
        ) then
            raise exception using
                errcode = 'ZXDUP',
                message = 'this run_id was used for another run',
                detail = format('run_id %L', left(new.run_id, 60)),
                hint = 'A run_id names one run, among all customers. Give each gateway a runtime.instance_id of its own.',
                schema = tg_table_schema,
                table = tg_table_name,
                constraint = 'run_id_names_one_run';
        end if;
    end if;
    -- The gateway observes a run by a run of its own: the tool's name ends in _job_get, and its result names the run.
    if right(new.tool_name, 8) = '_job_get' and jsonb_typeof(new.result_json -> 'target_run_id') = 'string' then
        insert into aximo_private.observations (customer_id, run_id, target_run_id)
        select r.customer_id, new.run_id, r.run_id
        from only helix.runs as r
        where r.customer_id = new.customer_id and r.run_id = new.result_json ->> 'target_run_id'
            -- Nothing is inserted for a run that exists already.
            and (
                tg_op = 'UPDATE'
                or not exists (
                    select from only helix.runs as s
                    where s.customer_id = new.customer_id and s.run_id = new.run_id
                )
            )
        on conflict do nothing;
    end if;
    return new;
end;
$$;
alter function aximo_private.check_run() owner to aximo_recorder;
comment on function aximo_private.check_run() is 'Refuses a run without a customer (ZXCUS), of one that is not on this node (ZXMOV), with a field that it can''t have (ZXARG), or with the run_id of another customer''s (ZXDUP). Notes which run a gateway''s own observation looked at.';
-- until here
-- as in 07_helix/check_run_event.sql
-- Refuses a run event with the ledger's own code, before a constraint or policy of the table refuses it with PostgreSQL's.
create or replace function aximo_private.check_run_event() returns trigger
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set row_security = on
as $$
declare
    rule text;
    is_observed boolean;
begin
    if new.customer_id is null or exists (select from only aximo_private.placements as p where p.customer_id = new.customer_id) then
        perform aximo_private.refuse_moved(coalesce(new.customer_id, nullif(current_setting('aximo.customer_id', true), '')));
    end if;
    if new.customer_id is null then
        raise exception using
            errcode = 'ZXCUS',
            message = 'this session may not write for that customer',
            detail = format('login %L names no customer', session_user),
            hint = 'Name the customer with SET LOCAL aximo.customer_id, or bind the login to one with aximo.grant_customer.',
            schema = tg_table_schema,
            table = tg_table_name,
            constraint = 'customer_granted';
    end if;
    -- A client that writes JSON null means that there are no data.
    new.data := nullif(new.data, 'null');
    rule := case
        when new.customer_id = '*' then 'customer_id_not_all'
        when char_length(new.customer_id) > 255 or btrim(new.customer_id) = '' then 'customer_id_well_formed'
        when new.kind is null or new.kind = '' then 'kind_present'
        when jsonb_typeof(new.data) <> 'object' then 'data_is_object'
        when jsonb_typeof(new.extra) <> 'object' then 'extra_is_object'
        -- The uncompressed sizes: || '{}' makes an uncompressed copy.
        when pg_column_size(new.data || '{}') > 2048 and aximo_private.has_extreme_number(new.data)
            or pg_column_size(new.extra || '{}') > 2048 and aximo_private.has_extreme_number(new.extra) then 'run_event_numbers'
        -- The size in the event's line, where a control character takes six bytes.
        when octet_length(to_json(new.kind)::text) + coalesce(octet_length(to_json(new.message)::text), 0)
            + coalesce(octet_length(new.data::text), 0) + coalesce(octet_length(new.extra::text), 0) > 8388608 then 'run_event_size'
        when (new.ts >= '1970-01-01 00:00:00+00' and new.ts < '9999-01-01 00:00:00+00') is not true then 'run_event_moment'
    end;
    if rule is not null then
        raise exception using
            errcode = 'ZXARG',
            message = 'malformed run event',
            detail = format('run_id %L, kind %L', left(new.run_id, 60), left(new.kind, 60)),
            hint = case rule
                when 'customer_id_not_all' then '* stands for all customers in a grant. Name one customer.'
                when 'customer_id_well_formed' then 'A customer_id has 1 to 255 characters and is not blank.'
                when 'kind_present' then 'Give the event a kind, such as run.started.'
                when 'data_is_object' then 'Give data as a JSON object, or null.'
                when 'extra_is_object' then 'Give extra as a JSON object, or null.'
                when 'run_event_numbers' then 'data and extra have no number beyond 1e400 or closer to zero than 1e-400. Send such a number as text.'
                when 'run_event_size' then 'A run event has at most 8 MiB as JSON. Keep the rest as an artifact.'
                else 'ts is a moment from 1970 on and before the year 9999.'
            end,
            schema = tg_table_schema,
            table = tg_table_name,
            constraint = rule;
    end if;
    select
        exists (
            select
            from only aximo_private.observations as o
            where o.customer_id = r.customer_id and o.target_run_id = r.run_id
                and o.observed_in = pg_current_xact_id_if_assigned() and o.observed_at = now()
        ) into is_observed
    from only helix.runs as r
    where r.customer_id = new.customer_id and r.run_id = new.run_id;
    if not found then
        raise exception using
            errcode = 'ZXRUN',
            message = 'this customer has no such run',
            detail = format('run_id %L', left(new.run_id, 60)),
            hint = 'Insert the run into helix.runs before its events. A run of another customer counts as none.',
            schema = tg_table_schema,
            table = tg_table_name,
            constraint = 'run_known';
    end if;
    if is_observed then
        perform aximo_private.refuse_observed(new.run_id);
    end if;
    return new;
end;
$$;
alter function aximo_private.check_run_event() owner to aximo_recorder;
comment on function aximo_private.check_run_event() is 'Refuses a run event without a customer (ZXCUS), of one that is not on this node (ZXMOV), without a run or to one that is being observed (ZXRUN), or with a field that it can''t have (ZXARG).';
-- until here

-- Whoever only reads goes on while a customer is leaving.
-- as in 06_history/verify_executions.sql
-- Works out every execution again from its events, by the function that did so when they were written, and compares.
create or replace function aximo.verify_executions(newest integer default null)
returns table (problem text, execution_id text, step integer, event_id uuid, detail text)
language plpgsql stable security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    customer constant text := aximo_private.named_customer(null);
    life record;
    retold record;
begin
    for life in
        select k.execution_id, x as kept
        from (
            (
                select e.execution_id
                from only aximo_private.executions as e
                where e.customer_id = customer
                order by e.started_at desc
                limit newest
            )
            union
            select e.execution_id
            from only aximo_private.events as e
            where newest is null and e.customer_id = customer and e.execution_id is not null
            union
            -- Approvals of an execution that has neither a row nor events.
            select a.execution_id
            from only aximo_private.approvals as a
            where newest is null and a.customer_id = customer
        ) as k
        left join lateral (
            select s.*
            from only aximo_private.executions as s
            where s.customer_id = customer and s.execution_id = k.execution_id
            offset 0
        ) as x on true
    loop
        select t.lives, t.approvals, t.told, t.breaches, s.events into retold
        from (
            select
                array(
                    select e
                    from only aximo_private.events as e
                    where e.customer_id = customer and e.execution_id = life.execution_id
                    order by e.step
                ) as events
        ) as s
        cross join lateral aximo_private.lives_after(s.events, is_history => true, from_nothing => true) as t;
        return query
        select
            case
                when retold.lives is null then 'execution_row_surplus'
                when life.kept is null then 'execution_row_missing'
                else 'execution_row_differs'
            end,
            life.execution_id, null::integer, null::uuid,
            (
                select string_agg(format('%s is %s, not %s', o.key, k.value, o.value), '; ' order by o.key)
                from jsonb_each_text(to_jsonb(retold.lives[1])) as o
                inner join jsonb_each_text(to_jsonb(life.kept)) as k on k.key = o.key
                where o.value is distinct from k.value
            )
        where retold.lives[1] is distinct from life.kept
        union all
        select
            case
                when o.step is null then 'approval_row_surplus'
                when k.step is null then 'approval_row_missing'
                else 'approval_row_differs'
            end,
            life.execution_id, coalesce(o.step, k.step), coalesce(o.request_event_id, k.request_event_id), null
        from unnest(retold.approvals) as o
        full join (
            select a.*
            from only aximo_private.approvals as a
            where a.customer_id = customer and a.execution_id = life.execution_id
        ) as k on k.step = o.step
        where o is distinct from k
        union all
        -- Steps follow the order of the log, without a gap.
        select
            case
                when s.step <> o.step then 'step_missing'
                when s.answers is distinct from a.request_event_id then 'answer_differs'
                else 'step_out_of_order'
            end,
            life.execution_id, s.step, s.event_id, null
        from unnest(retold.events) with ordinality as s
        inner join unnest(retold.told) with ordinality as o on o.ordinality = s.ordinality
        -- Compared by the approvals: lives_after leaves an event that answers nothing as it came.
        left join unnest(retold.approvals) as a on a.decision_event_id = s.event_id
        where s.step <> o.step or s.answers is distinct from a.request_event_id
            -- Positions are this node's: an event that arrived with its customer has one below zero.
            or s.ordinality > 1 and s.position > 0 and s.position < (retold.events[s.ordinality - 1]).position
        union all
        select
            case when v.event_id is null then 'rule_broken' else 'violation_differs' end,
            life.execution_id, null, coalesce(b.event_id, v.event_id), coalesce(b.rule, v.rule)
        from (
            select t.event_id, t.rule, coalesce(t.against, g.event_id) as against
            from unnest(retold.breaches) as t
            left join unnest(retold.events) as g on g.step = t.against_step
        ) as b
        full join (
            select w.*
            from only aximo_private.violations as w
            where w.customer_id = customer and w.event_id in (select u.event_id from unnest(retold.events) as u)
        ) as v on v.event_id = b.event_id
        where (b.rule, b.against) is distinct from (v.rule, v.against) or v.execution_id <> life.execution_id;
    end loop;
    return query
    select 'deployment_row_missing', null::text, null::integer, null::uuid, format('deployment %s', u.deployment_id)
    from (
        select distinct e.deployment_id
        from only aximo_private.events as e
        where newest is null and e.customer_id = customer
    ) as u
    where not exists (
        select from only aximo_private.known_deployments as k where k.customer_id = customer and k.deployment_id = u.deployment_id
    )
    union all
    select 'deployment_row_differs', null, null, k.event_id, format('deployment %s', k.deployment_id)
    from only aximo_private.known_deployments as k
    where newest is null and k.customer_id = customer
        and not exists (
            select from only aximo_private.events as e
            where e.customer_id = customer and e.event_id = k.event_id and e.deployment_id = k.deployment_id
        )
    union all
    -- Violations of an event that belongs to no execution or does not exist.
    select 'violation_differs', v.execution_id, null, v.event_id, v.rule
    from only aximo_private.violations as v
    where newest is null and v.customer_id = customer
        and not exists (
            select from only aximo_private.events as e
            where e.customer_id = customer and e.event_id = v.event_id and e.execution_id is not null
        )
    union all
    select
        case when e.step is null then 'answer_differs' else 'step_surplus' end,
        null, e.step, e.event_id, null
    from only aximo_private.events as e
    where newest is null and e.customer_id = customer and e.execution_id is null and (e.step is not null or e.answers is not null);
end;
$$;
alter function aximo.verify_executions(integer) owner to aximo_recorder;
comment on function aximo.verify_executions(integer) is 'What of the session''s customer''s rows of executions and approvals is not what its events come to, where their steps or answers are not, and where violations and deployments are listed otherwise; no rows if nothing is. All of them, or so many of the newest. ZXCUS: no customer.';
-- until here
-- as in 08_log/unlogged_events.sql
create or replace function aximo.unlogged_events(log text default 'events')
returns table (event_id uuid, recorded_at timestamptz, is_coming boolean, run_event_id bigint)
language plpgsql stable security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    customer constant text := aximo_private.named_customer(null);
    high constant bigint := (select s.high_position from aximo_private.logs as s where s.log = unlogged_events.log);
begin
    -- Raises an error if there is no such log.
    perform aximo.log_size(unlogged_events.log);
    return query
    select
        e.event_id, e.recorded_at,
        e.position > high or exists (
            select from aximo_private.log_holes as h
            where h.log = e.log and e.position between h.first_position and h.last_position
        ),
        e.run_event_id
    from aximo_private.events_of_logs as e
    where e.log = unlogged_events.log and e.customer_id = customer and not aximo_private.has_number(customer, e.event_id, e.run_event_id)
    order by e.position;
end;
$$;
alter function aximo.unlogged_events(text) owner to aximo_sequencer;
comment on function aximo.unlogged_events(text) is 'The events of that log of the session''s customer that have no number: is_coming if the next aximo.advance_log gives them one; those without were put there past it, or lost by a bug, and aximo.mend_log finds them. Reads all events. ZXCUS: no customer; ZXARG: no such log.';
-- until here
-- as in 08_log/verify_log.sql
-- Recomputes numbers, hashes and checkpoints, and looks for events that should be in the log and are not. It does not check violations,
-- which follow from the events.
create or replace function aximo.verify_log(
    log text default 'events',
    first_number bigint default null,
    last_number bigint default null,
    -- The longest time that a transaction may have taken from its write to its commit.
    in_flight interval default '1 hour'
)
returns table (problem text, number bigint, event_id uuid, detail text, run_event_id bigint)
language plpgsql stable security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    customer constant text := aximo_private.named_customer(null);
    size constant bigint := aximo.log_size(verify_log.log);
    -- A piece of a log is a range of entries and the subtrees that end in it. What belongs to no piece is checked with the last piece.
    first_one constant bigint := greatest(coalesce(verify_log.first_number, 1), 1);
    last_one constant bigint := least(coalesce(verify_log.last_number, size), size);
    is_last constant boolean := verify_log.last_number is null;
    checkpoint record;
    is_true boolean;
begin
    return query
    select p.problem, p.number, p.event_id, p.detail, p.run_event_id
    from (
        select
            case
                when l.number <> l.expected then 'number_missing'
                when e.line is null then 'event_removed'
                else 'event_differs'
            end as problem,
            l.number, l.event_id, l.run_event_id,
            case when l.number <> l.expected then format('the entry before it is %s', l.before) end as detail,
            l.number as place
        from (
            select
                n.number, n.event_id, n.run_event_id, n.leaf,
                first_one - 1 + row_number() over (order by n.number) as expected,
                lag(n.number, 1, first_one - 1) over (order by n.number) as before
            from only aximo_private.log_entries as n
            where n.customer_id = customer and n.log = verify_log.log
                and (verify_log.first_number is null or n.number >= first_one) and (is_last or n.number <= last_one)
        ) as l
        left join lateral (
            select aximo_private.event_line(s.*) as line
            from only aximo_private.events as s
            where s.customer_id = customer and s.event_id = l.event_id
            union all
            select aximo_private.run_event_line(r.*) as line
            from only helix.run_events as r
            where r.customer_id = customer and r.event_id = l.run_event_id
            offset 0
        ) as e on true
        -- Only the first wrong number is named: all after it are wrong too.
        where (l.number <> l.expected and l.number <> l.before + 1)
            or e.line is null
            or l.leaf <> sha256(decode('00', 'hex') || convert_to(e.line, 'UTF8'))
        union all
        -- An event that was written at the end of the log with an early recorded_at. Checked for the whole log with the last piece, as it
        -- needs the newest recorded_at of all entries before.
        select
            'recorded_out_of_order', o.number, o.event_id, o.run_event_id,
            format('recorded at %s, and numbered after one of %s', o.recorded_at, o.newest),
            o.number
        from (
            select
                n.number, n.event_id, n.run_event_id, e.recorded_at,
                max(e.recorded_at) over (order by n.number rows between unbounded preceding and 1 preceding) as newest
            from only aximo_private.log_entries as n
            left join lateral (
                select s.recorded_at
                from only aximo_private.events as s
                where s.customer_id = customer and s.event_id = n.event_id
                union all
                select r.recorded_at
                from only helix.run_events as r
                where r.customer_id = customer and r.event_id = n.run_event_id
                offset 0
            ) as e on true
            where is_last and n.customer_id = customer and n.log = verify_log.log
        ) as o
        where o.recorded_at < o.newest - verify_log.in_flight
        union all
        select 'event_not_in_log', null, u.event_id, u.run_event_id, 'its position was numbered past', null
        from aximo.unlogged_events(verify_log.log) as u
        where is_last and not u.is_coming
        union all
        select
            case when n.hash is null then 'node_missing' else 'node_differs' end,
            b.index * g.width + 1, null, null, format('level %s, index %s', g.level, b.index), g.width * (b.index + 1)
        from (
            select
                v.level, (256::numeric ^ v.level)::bigint as width
            from generate_series(1, 7) as v (level)
        ) as g
        cross join lateral generate_series((first_one - 1) / g.width, last_one / g.width - 1) as b (index)
        left join lateral (
            select k.hash
            from only aximo_private.log_nodes as k
            where k.customer_id = customer and k.log = verify_log.log and k.level = g.level and k.index = b.index
            offset 0
        ) as n on true
        where n.hash is distinct from aximo.tree_hash(aximo_private.hashes_below(customer, verify_log.log, g.level, b.index))
        union all
        select 'node_ahead', null, null, null, format('level %s, index %s', n.level, n.index), null
        from only aximo_private.log_nodes as n
        where is_last and n.customer_id = customer and n.log = verify_log.log
            and (n.level not between 1 and 7 or (n.index + 1) * 256::numeric ^ n.level > size)
    ) as p
    -- A subtree comes after its entries, so that the entry which is wrong is named first.
    order by p.place nulls last, p.detail nulls first, p.event_id, p.run_event_id;

    for checkpoint in
        select c.size, c.root, c.note, c.made_at
        from aximo.checkpoints as c
        where c.customer_id = customer and c.log = verify_log.log
            and is_last
        order by c.size, c.made_at
    loop
        if checkpoint.size > size then
            return query
            select 'checkpoint_ahead'::text, checkpoint.size, null::uuid, format('made at %s, of a log that has %s entries now', checkpoint.made_at, size), null::bigint;
            continue;
        end if;
        begin
            is_true := checkpoint.root = aximo.log_root(checkpoint.size, verify_log.log)
                and starts_with(checkpoint.note, aximo.checkpoint_text(checkpoint.size, verify_log.log));
        exception
            -- Hashes are missing, so there is no root. They are named above.
            when sqlstate 'ZXENV' then
                is_true := false;
        end;
        if not is_true then
            return query
            select 'checkpoint_differs'::text, checkpoint.size, null::uuid, format('made at %s', checkpoint.made_at), null::bigint;
        end if;
    end loop;
end;
$$;
alter function aximo.verify_log(text, bigint, bigint, interval) owner to aximo_sequencer;
comment on function aximo.verify_log(text, bigint, bigint, interval) is 'What is wrong with that log of the session''s customer, in its order; no rows if nothing is. Recomputes numbers, lines, hashes and the stored checkpoints, and finds events that are not in the log, or were recorded longer before one that has a lower number than a transaction is open: in_flight. With numbers, of a piece: its entries and the subtrees that end in it; events that are not in the log, their order and checkpoints, with the one that has no last number. Pieces can be verified one after the other or side by side, each in a transaction of its own. ZXCUS: no customer; ZXARG: no such log.';
-- until here
-- as in 08_log/my_customers.sql
-- A login that may work for a customer may know its name. A job that visits all customers has to get the names from here.
create or replace function aximo.my_customers() returns table (customer_id text)
language plpgsql stable security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    granted constant text[] := aximo_private.session_grants();
    found_one text := '';
begin
    if not '*' = any(granted) then
        return query
        select g.customer_id
        from unnest(granted) as g (customer_id)
        where not exists (select from only aximo_private.placements as p where p.customer_id = g.customer_id and p.state <> 'leaving')
        order by g.customer_id;
        return;
    end if;
    -- Goes from each customer to the next by the index, and reads nothing else of them.
    loop
        select min(n.customer_id) into found_one
        from (
            (select e.customer_id from only aximo_private.events as e where e.customer_id > found_one order by e.customer_id limit 1)
            union all
            (select l.customer_id from only aximo_private.log_entries as l where l.customer_id > found_one order by l.customer_id limit 1)
            union all
            (select r.customer_id from only helix.runs as r where r.customer_id > found_one order by r.customer_id limit 1)
            union all
            select g.customer_id
            from unnest(granted) as g (customer_id)
            where g.customer_id <> '*' and g.customer_id > found_one collate "C"
        ) as n;
        exit when found_one is null;
        continue when exists (select from only aximo_private.placements as p where p.customer_id = found_one and p.state <> 'leaving');
        customer_id := found_one;
        return next;
    end loop;
end;
$$;
alter function aximo.my_customers() owner to aximo_sequencer;
comment on function aximo.my_customers() is 'The customers that the session''s login was granted, in order; of one that was granted all, those that have events, runs or a log, and those named besides. Not those that are on another node. For jobs that look at one after the other.';
-- until here

-- Positions are each node's own, so what was stored is in the order of steps and moments.
-- as in 05_emit/has_unresolved.sql
-- Reads the actions of an execution once. An action is matched by its id, and an action without an id by the number of those with its type.
create or replace function aximo_private.has_unresolved(
    customer text, execution text, denied boolean, denied_ids text[], batch aximo_private.events[], upto bigint, from_nothing boolean
) returns boolean
language plpgsql stable security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
-- The plan is the same for every execution, and takes longer to make than to run.
set plan_cache_mode = force_generic_plan
as $$
begin
    return exists (
        with
        action as (
            select
                s.event_type, aximo_private.step_key(s.payload, 'approval_id') as approval_id,
                aximo_private.step_key(s.payload, 'action_id') as action_id,
                aximo_private.step_key(s.payload, 'action_type') as action_type
            from (
                select e.event_type, e.payload
                from only aximo_private.events as e
                -- In collation C, action_... sorts before all other types.
                where not from_nothing and e.customer_id = customer and e.execution_id = execution and e.event_type < 'approval_'
                union all
                select b.event_type, b.payload
                from unnest(batch) as b
                where b.customer_id = customer and b.execution_id = execution
                    -- Of stored events the steps tell the order: positions are each node's own.
                    and case when from_nothing then b.step else b.position end < upto and b.event_type < 'approval_'
            ) as s
        ),
        weighed as (
            select
                a.*,
                case when a.approval_id is null then denied else coalesce(a.approval_id = any(denied_ids), false) end as is_denied
            from action as a
        ),
        matched as (
            select
                w.action_id,
                -- A denied action need not be resolved.
                count(*) filter (where w.event_type = 'action_prepared' and not w.is_denied) as prepared,
                -- The failure of a denied action resolves that action only.
                count(*) filter (
                    where w.event_type <> 'action_prepared'
                    and not (w.event_type = 'action_failed' and w.approval_id is not null and w.is_denied)
                ) as resolved
            from weighed as w
            group by w.action_id, case when w.action_id is null then w.action_type end
        )
        select
        from matched as m
        where m.prepared > m.resolved and (m.action_id is null or m.resolved = 0)
    );
end;
$$;
alter function aximo_private.has_unresolved(text, text, boolean, text[], aximo_private.events[], bigint, boolean) owner to aximo_recorder;
comment on function aximo_private.has_unresolved(text, text, boolean, text[], aximo_private.events[], bigint, boolean) is 'Whether an action of an execution was prepared, not denied, and neither dispatched nor failed. Looks at the stored events, unless from_nothing, and at those of a batch before a place.';
-- until here
-- as in 05_emit/lives_after.sql
-- Works out what each execution of a batch and its approvals come to, event by event, and which event breaks a rule. Such an event is left
-- out, unless the batch is history. Locks the rows of the executions in the order of their ids, so that two batches never wait for each
-- other in a circle. With from_nothing it uses these events alone and reads no rows.
-- The body is one and long: handing an execution's row to a function costs 27,000 instructions an event, a tenth of a batch's
-- (docs/design/0004-emit-path.md).
create or replace function aximo_private.lives_after(
    -- Sorted by execution and customer, and within each by place (position).
    batch aximo_private.events[],
    is_history boolean,
    from_nothing boolean,
    out lives aximo_private.executions[],
    -- The approvals that are new, or answered by this batch.
    out approvals aximo_private.approvals[],
    -- The events with their steps, and with the requests that they answer.
    out told aximo_private.events[],
    -- All of them if the batch is history, else only the first one by place.
    out breaches aximo_private.breach[]
)
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
    event aximo_private.events;
    -- The rows that exist, in the order of the batch, and the number of the next one.
    stored aximo_private.executions[];
    next_stored integer := 1;
    life aximo_private.executions;
    -- The approvals of the execution in the order of their steps; the first stored_asks of them are stored.
    asks aximo_private.approvals[];
    ask aximo_private.approvals;
    stored_asks integer;
    had_actions boolean;
    -- The actions that this batch prepared and did not resolve. If there are none, has_unresolved need not look.
    pending text[];
    action text;
    approval text;
    open_at integer;
    asked_at integer;
    was_denied boolean;
    unnamed_is_open boolean;
    unresolved boolean;
    fits boolean;
    rule text;
    i integer;
begin
    if not from_nothing then
        select array_agg(x.life order by k.execution_id, k.customer_id) into stored
        from (
            select distinct b.execution_id, b.customer_id
            from unnest(batch) as b
            where b.execution_id is not null
            order by b.execution_id, b.customer_id
        ) as k
        -- A look-up for each: a join may be planned as one pass over all executions.
        cross join lateral (
            select e as life
            from only aximo_private.executions as e
            where e.customer_id = k.customer_id and e.execution_id = k.execution_id
            for no key update
        ) as x;
    end if;
    foreach event in array batch loop
        if event.execution_id is null then
            told := array_append(told, event);
            continue;
        end if;

        if life.execution_id is distinct from event.execution_id or life.customer_id <> event.customer_id then
            if life.steps > 0 then
                lives := array_append(lives, life);
                approvals := approvals || asks[stored_asks + 1:];
            end if;
            life := null;
            asks := '{}';
            if stored[next_stored].execution_id = event.execution_id and stored[next_stored].customer_id = event.customer_id then
                life := stored[next_stored];
                next_stored := next_stored + 1;
                if life.approvals_requested > 0 then
                    select array_agg(a.* order by a.step) into asks
                    from only aximo_private.approvals as a
                    where a.customer_id = event.customer_id and a.execution_id = event.execution_id;
                end if;
            end if;
            stored_asks := coalesce(cardinality(asks), 0);
            had_actions := life.actions_prepared > 0;
            pending := '{}';
            if life.steps is null then
                life := row(
                    null, null, event."timestamp", 0, null, null, 0, 0, 0, 0, 0, 0, 0, 0, false, false, event.customer_id, event.execution_id,
                    event.deployment_id, event.skill_id, event.skill_version, null, null, null
                );
            end if;
        end if;

        approval := null;
        asked_at := null;
        open_at := null;
        was_denied := false;
        unnamed_is_open := false;
        unresolved := false;
        if event.event_type between 'approval_' and 'b' or event.event_type < 'approval_' and life.approvals_requested > 0 then
            approval := aximo_private.step_key(event.payload, 'approval_id');
            for i in 1 .. coalesce(cardinality(asks), 0) loop
                ask := asks[i];
                if ask.decision = 'open' and ask.approval_id is null then
                    unnamed_is_open := true;
                end if;
                if ask.approval_id is not distinct from approval then
                    asked_at := i;
                    if ask.decision = 'open' then
                        open_at := i;
                    elsif ask.decision <> 'granted' then
                        was_denied := true;
                    end if;
                end if;
            end loop;
        elsif event.event_type = 'execution_completed' and (had_actions or life.denied or cardinality(pending) > 0) then
            unresolved := aximo_private.has_unresolved(
                event.customer_id, event.execution_id, life.denied,
                (select array_agg(u.approval_id) from unnest(asks) as u where u.decision in ('rejected', 'timeout')),
                batch, case when from_nothing then event.step else event.position end, from_nothing
            );
        end if;

        -- Most events begin an execution, or go on with one that requested no approval. This check may only say that an event fits.
        fits := life.approvals_requested = 0 and life.outcome is null
        and event.deployment_id = life.deployment_id and event.skill_id = life.skill_id and event.skill_version = life.skill_version
        and case
            when event.event_type = 'execution_triggered' then life.steps = 0
            when life.started_at is null then false
            when event.event_type in ('execution_processing', 'execution_failed') then true
            when event.event_type in ('action_prepared', 'action_dispatched', 'action_failed', 'approval_requested') then life.processing
            when event.event_type = 'execution_completed' then life.processing and not unresolved
        end;
        rule := null;
        if fits is not true then
            rule := aximo_private.broken_rule(
                life, event, approval, asked_at is not null, open_at is not null, was_denied, unnamed_is_open, unresolved
            );
        end if;
        if rule is not null then
            if is_history or breaches is null or event.position < breaches[1].place then
                ask := case when rule in ('approval_already_open', 'answers_open_approval') then asks[asked_at] end;
                breaches := case when is_history then breaches else '{}' end || row(
                    event.position, event.event_id, event.event_type, event.customer_id, event.execution_id, approval, rule,
                    coalesce(ask.decision_event_id, ask.request_event_id),
                    case
                        when rule in ('ends_once', 'nothing_after_end') then life.end_step
                        when rule in ('triggered_first', 'same_attribution') and life.steps > 0 then 1
                    end
                )::aximo_private.breach;
            end if;
            continue when not is_history;
        end if;

        life.steps := life.steps + 1;
        event.step := life.steps;
        if event."timestamp" > life.last_event_at then
            life.last_event_at := event."timestamp";
        end if;
        case event.event_type
            when 'execution_triggered' then
                life.start_step := coalesce(life.start_step, life.steps);
                life.started_at := least(life.started_at, event."timestamp");
            when 'execution_processing' then
                life.processing := true;
            when 'execution_completed', 'execution_failed' then
                life.end_step := coalesce(life.end_step, life.steps);
                life.ended_at := least(life.ended_at, event."timestamp");
                if event.event_type = 'execution_failed' then
                    life.outcome := 'failed';
                    life.error_code := least(life.error_code, event.error_code);
                    life.error_message := least(life.error_message, event.payload ->> 'error');
                else
                    life.outcome := coalesce(life.outcome, 'completed');
                end if;
            when 'action_prepared' then
                life.actions_prepared := life.actions_prepared + 1;
                action := coalesce('i' || (event.payload ->> 'action_id'), 't' || (event.payload ->> 'action_type'), '');
                pending := array_append(pending, action);
            when 'action_dispatched', 'action_failed' then
                life.actions_dispatched := life.actions_dispatched + (event.event_type = 'action_dispatched')::integer;
                life.actions_failed := life.actions_failed + (event.event_type = 'action_failed')::integer;
                action := coalesce('i' || (event.payload ->> 'action_id'), 't' || (event.payload ->> 'action_type'), '');
                i := array_position(pending, action);
                if i is not null then
                    pending := pending[:i - 1] || pending[i + 1:];
                end if;
            when 'approval_requested' then
                life.approvals_requested := life.approvals_requested + 1;
                life.open_approvals := life.open_approvals + 1;
                asks := array_append(asks, row(
                    event."timestamp", null, life.steps, event.event_id, null, event.customer_id, event.execution_id, approval, event.deployment_id,
                    event.skill_id, event.skill_version, event.risk_level, event.approval_mode, event.actor, 'open', null, null, null
                )::aximo_private.approvals);
            when 'approval_granted', 'approval_rejected', 'approval_timeout' then
                life.approvals_granted := life.approvals_granted + (event.event_type = 'approval_granted')::integer;
                life.approvals_rejected := life.approvals_rejected + (event.event_type = 'approval_rejected')::integer;
                life.approvals_timed_out := life.approvals_timed_out + (event.event_type = 'approval_timeout')::integer;
                -- History may hold an answer to no request. It changes nothing.
                if open_at is not null then
                    life.open_approvals := life.open_approvals - 1;
                    life.denied := life.denied or event.event_type <> 'approval_granted';
                    ask := asks[open_at];
                    ask.decision := substr(event.event_type, 10);
                    ask.decided_at := event."timestamp";
                    ask.decided_by := event.actor;
                    ask.decision_recorded_by := coalesce(event.recorded_by, session_user);
                    ask.decision_event_id := event.event_id;
                    ask.reason := event.payload ->> 'reason';
                    asks[open_at] := ask;
                    event.answers := ask.request_event_id;
                    if open_at <= stored_asks then
                        approvals := array_append(approvals, ask);
                    end if;
                end if;
            else
                null;
        end case;
        told := array_append(told, event);
    end loop;
    if life.steps > 0 then
        lives := array_append(lives, life);
        approvals := approvals || asks[stored_asks + 1:];
    end if;
end;
$$;
alter function aximo_private.lives_after(aximo_private.events[], boolean, boolean) owner to aximo_recorder;
comment on function aximo_private.lives_after(aximo_private.events[], boolean, boolean) is 'Works out the rows of executions and approvals that the events of a batch lead to, the events'' steps, the requests they answer, and which of them break a rule.';
-- until here
-- as in 06_history/repair_executions.sql
create or replace function aximo.repair_executions() returns bigint
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo_private.writing_customer(null);
    execution text;
    repaired bigint := 0;
begin
    for execution in
        select distinct v.execution_id
        from aximo.verify_executions() as v
        where v.problem ~ '^(execution|approval)_row_'
        order by v.execution_id
    loop
        perform aximo_private.rebuild_execution(customer, execution);
        repaired := repaired + 1;
    end loop;
    perform aximo_private.note_deployments(
        array(
            select distinct on (e.deployment_id) e
            from only aximo_private.events as e
            where e.customer_id = customer
            order by e.deployment_id, e.recorded_at, e.position
        ),
        first_only => false
    );
    return repaired;
end;
$$;
alter function aximo.repair_executions() owner to aximo_recorder;
comment on function aximo.repair_executions() is 'Makes the rows of executions and approvals anew that aximo.verify_executions finds wrong, of the session''s customer, and returns of how many executions. Events are not touched. ZXCUS: no customer.';
-- until here

-- Run events have numbers of their node. Numbering looks at those of its own.
-- as in 08_log/last_position.sql
create or replace function aximo_private.last_position(log text) returns bigint
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if last_position.log = 'events' then
        return 9223372036854775807;
    end if;
    return (select (s.node + 1) * 8796093022208 from aximo_private.log_state as s);
end;
$$;
alter function aximo_private.last_position(text) owner to aximo_sequencer;
comment on function aximo_private.last_position(text) is 'The last position that this node can give in a log: of run events, whose event_ids are their positions, each node has 2^43, so that all are below 2^53.';
-- until here
-- as in 08_log/number_new.sql
-- Numbers the new events of one log. aximo.advance_log, which calls it, holds the lock.
create or replace function aximo_private.number_new(log text, max_events integer, look boolean) returns aximo_private.numbering
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    high constant bigint := (select s.high_position from aximo_private.logs as s where s.log = number_new.log);
    -- Positions beyond it are of run events that arrived from another node, with their numbers.
    top constant bigint := aximo_private.last_position(number_new.log);
    undated_from constant xid8 := (select s.undated_from from aximo_private.logs as s where s.log = number_new.log);
    scan pg_snapshot;
    looked_into_some boolean;
    positions bigint[];
    fresh bigint[];
    filled bigint[];
    touched aximo_private.log_growth[];
    is_cut boolean;
    -- The bytes of text that one call hashes at most: hashing takes most of the time, and all wait for this lock.
    bytes_at_most constant bigint := 67108864;
begin
    -- One statement sees one snapshot: if it sees an event, it also sees every event that had been written before that one, which has a
    -- lower position.
    with
    -- A dated hole is looked into only if a transaction that could own one of its positions has ended since the last look. Such a
    -- transaction was running at that look, is over now, and is older than the hole's date. In another cluster ids mean nothing: there all
    -- holes are looked into.
    since as materialized (
        select
            case
                when pg_snapshot_xmax(s.looked) <= pg_snapshot_xmax(pg_current_snapshot())
                    then least(
                        pg_snapshot_xmax(s.looked),
                        (
                            select r.id
                            from pg_snapshot_xip(s.looked) as r (id)
                            where pg_visible_in_snapshot(r.id, pg_current_snapshot())
                            order by r.id
                            limit 1
                        )
                    )
                else '0'::xid8
            end as id
        from aximo_private.logs as s
        where s.log = number_new.log
    ),
    open_holes as (
        select h.first_position, h.last_position
        from aximo_private.log_holes as h
        where h.log = number_new.log and h.older_than > (select s.id from since as s)
        union all
        select h.first_position, h.last_position
        from aximo_private.log_holes as h
        where h.log = number_new.log and h.seen_by >= undated_from and h.older_than is null
    ),
    late as (
        select e.*
        from open_holes as h
        cross join lateral (
            select s.position, s.customer_id, s.event_id, s.run_event_id, s.weight
            from aximo_private.events_of_logs as s
            where s.log = number_new.log and s.position between h.first_position and h.last_position and s.position > 0
                -- After a restore that lost the sequence's value, a position may have been given twice.
                and not aximo_private.has_number(s.customer_id, s.event_id, s.run_event_id)
            order by s.position
            limit number_new.max_events
        ) as e
        order by e.position
        limit number_new.max_events
    ),
    young as (
        select s.position, s.customer_id, s.event_id, s.run_event_id, s.weight
        from aximo_private.events_of_logs as s
        where s.log = number_new.log and s.position > high and s.position > 0 and s.position <= top
        order by s.position
        limit number_new.max_events
    ),
    waiting as materialized (
        select
            f.*,
            sum(f.weight) over (order by f.position rows between unbounded preceding and 1 preceding) as weight_before
        from (
            select l.*, true as is_late
            from late as l
            union all
            select y.*, false as is_late
            from young as y
        ) as f
        order by f.position
        limit number_new.max_events
    ),
    found as materialized (
        select
            w.*,
            -- An event above the highest position may have its number already, after a restore or with replication: it is passed over.
            number_new.look and not w.is_late and aximo_private.has_number(w.customer_id, w.event_id, w.run_event_id) as is_there
        from waiting as w
        where coalesce(w.weight_before, 0) < bytes_at_most
    ),
    sizes as materialized (
        select
            c.customer_id,
            coalesce(
                (
                    select l.number
                    from only aximo_private.log_entries as l
                    where l.customer_id = c.customer_id and l.log = number_new.log
                    order by l.number desc
                    limit 1
                ),
                0
            ) as size
        from (select distinct f.customer_id from found as f where not f.is_there) as c
    ),
    added as (
        insert into aximo_private.log_entries (customer_id, log, number, event_id, run_event_id, leaf)
        select
            f.customer_id, number_new.log,
            h.size + row_number() over (partition by f.customer_id order by f.position),
            f.event_id, f.run_event_id,
            (
                select sha256(decode('00', 'hex') || convert_to(s.line, 'UTF8'))
                from (
                    select aximo_private.event_line(e.*) as line
                    from only aximo_private.events as e
                    where e.customer_id = f.customer_id and e.event_id = f.event_id
                    union all
                    select aximo_private.run_event_line(r.*) as line
                    from only helix.run_events as r
                    where r.customer_id = f.customer_id and r.event_id = f.run_event_id
                ) as s
            )
        from found as f
        inner join sizes as h on h.customer_id = f.customer_id
        where not f.is_there
        returning customer_id, number
    )
    select
        pg_current_snapshot(),
        exists (select from open_holes),
        (select array_agg(f.position order by f.position) from found as f),
        (select array_agg(f.position order by f.position) from found as f where not f.is_late),
        (select array_agg(f.position order by f.position) from found as f where f.is_late),
        (
            select array_agg(row(g.customer_id, g.old_size, g.new_size)::aximo_private.log_growth)
            from (
                select a.customer_id, min(a.number) - 1 as old_size, max(a.number) as new_size
                from added as a
                group by a.customer_id
            ) as g
        ),
        (select count(*) = number_new.max_events from waiting as w) or (select count(*) from waiting as w) > (select count(*) from found as f)
    into scan, looked_into_some, positions, fresh, filled, touched, is_cut;

    -- What remains of a hole when some of its positions have appeared.
    if filled is not null then
        with
        hit as materialized (
            select
                p.position,
                (
                    select h.first_position
                    from aximo_private.log_holes as h
                    where h.log = number_new.log and h.first_position <= p.position
                    order by h.first_position desc
                    limit 1
                ) as hole
            from unnest(filled) as p (position)
        ),
        gone as (
            delete from aximo_private.log_holes as h
            where h.log = number_new.log and h.first_position in (select t.hole from hit as t)
            returning h.first_position, h.last_position, h.seen_by, h.older_than
        )
        insert into aximo_private.log_holes (log, first_position, last_position, seen_by, older_than)
        select number_new.log, r.first_position, r.last_position, r.seen_by, r.older_than
        from (
            select
                coalesce(lag(p.position) over of_hole, g.first_position - 1) + 1 as first_position,
                p.position - 1 as last_position, g.seen_by, g.older_than
            from gone as g
            inner join hit as p on p.hole = g.first_position
            window of_hole as (partition by g.first_position order by p.position)
            union all
            select max(p.position) + 1, g.last_position, g.seen_by, g.older_than
            from gone as g
            inner join hit as p on p.hole = g.first_position
            group by g.first_position, g.last_position, g.seen_by, g.older_than
        ) as r
        where r.first_position <= r.last_position;
    end if;

    -- Forget the holes whose possible owners were all over before this scan, which did not find them.
    delete from aximo_private.log_holes as h
    where h.log = number_new.log and h.older_than < pg_snapshot_xmin(scan)
        and (
            not is_cut
            or h.last_position <= positions[cardinality(positions)]
        );

    if positions is not null then
        update aximo_private.logs as s
        set
            high_position = coalesce(fresh[cardinality(fresh)], s.high_position),
            entries = s.entries + (select coalesce(sum(t.new_size - t.old_size), 0) from unnest(touched) as t)
        where s.log = number_new.log;
    end if;

    -- A call that stopped at its limit did not look into all holes: the next one looks again.
    if looked_into_some and not is_cut then
        update aximo_private.logs as s
        set looked = scan
        where s.log = number_new.log;
    end if;

    insert into aximo_private.log_holes (log, first_position, last_position, seen_by)
    select number_new.log, g.first_position, g.last_position, pg_current_xact_id()
    from (
        select
            coalesce(lag(p.position) over (order by p.position), high) + 1 as first_position,
            p.position - 1 as last_position
        from unnest(fresh) as p (position)
    ) as g
    where g.first_position <= g.last_position;
    -- A transaction that wrote before it called this may have an older id than those that numbered before it.
    if found and (undated_from is null or undated_from > pg_current_xact_id()) then
        update aximo_private.logs as s
        set undated_from = pg_current_xact_id()
        where s.log = number_new.log;
    end if;
    return row(touched, is_cut)::aximo_private.numbering;
end;
$$;
alter function aximo_private.number_new(text, integer, boolean) owner to aximo_sequencer;
comment on function aximo_private.number_new(text, integer, boolean) is 'Gives numbers to the new events of one log, at most so many and so many bytes of text. Returns by how much each customer''s log grew, and whether there may be more. With look, it passes over events above the highest position that have their number already.';
-- until here
-- as in 08_log/advance_log.sql
-- Gives numbers to the committed events that have none. It only notes which logs grew; counting for the metrics happens later.
create or replace function aximo.advance_log(max_events integer default 10000)
returns table (numbered bigint, is_behind boolean)
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
-- The planner also expects thousands of remembered holes where there are few: no table here is to be read as a whole.
set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    wrote_before constant boolean := pg_current_xact_id_if_assigned() is not null;
    which text;
    undated_from xid8;
    touched aximo_private.log_growth[];
    found_new bigint;
    is_cut boolean;
begin
    if advance_log.max_events is null or advance_log.max_events < 1 then
        raise exception using
            errcode = 'ZXARG',
            message = 'max_events is at least 1',
            detail = format('max_events is %s', coalesce(advance_log.max_events::text, 'null')),
            hint = 'Give a positive number; what is left over is numbered by the next call.',
            constraint = 'max_events_positive';
    end if;
    perform aximo_private.numbers_for_all();
    -- One session at a time. A second one has nothing to do: the first numbers the same events.
    perform from aximo_private.log_state for update skip locked;
    if not found and exists (select from aximo_private.log_state) then
        return query select 0::bigint, null::boolean;
        return;
    end if;
    -- Without the rows of state that belong to these entries, the events would be numbered again under another name.
    if not found
        or (select count(*) from aximo_private.logs as h) <> 2
        or exists (
            select
            from aximo_private.logs as h
            cross join lateral (
                select s.customer_id, s.event_id, s.run_event_id
                from aximo_private.events_of_logs as s
                where s.log = h.log and s.position > 0 and s.position <= aximo_private.last_position(h.log)
                order by s.position
                limit 1
            ) as f
            where h.high_position = 0 and aximo_private.has_number(f.customer_id, f.event_id, f.run_event_id)
        ) then
        raise exception using
            errcode = 'ZXENV',
            message = 'the log''s state does not belong to its entries',
            detail = 'aximo_private.log_state or aximo_private.logs is missing or new, and aximo_private.log_entries is not empty',
            hint = 'Restore the rows of aximo_private.log_state and aximo_private.logs from the same backup as the entries.',
            constraint = 'log_state_is_the_logs';
    end if;

    for which in select s.log from aximo_private.logs as s order by s.log loop
        -- In a restored dump transactions have other ids: begin again.
        if exists (select from aximo_private.log_holes as h where h.log = which and h.older_than > pg_current_xact_id())
            or exists (select from aximo_private.log_holes as h where h.log = which and h.seen_by > pg_current_xact_id()) then
            update aximo_private.log_holes as h
            set seen_by = pg_current_xact_id(), older_than = null
            where h.log = which;
            update aximo_private.logs as s
            set looked = null, undated_from = pg_current_xact_id()
            where s.log = which;
        end if;

        -- This transaction got its id after it had the lock, hence after every earlier scan. So it is younger than every transaction that
        -- could own a position that those scans missed. That does not hold if it had an id before it came here.
        continue when wrote_before;
        select s.undated_from into undated_from
        from aximo_private.logs as s
        where s.log = which;
        if undated_from < pg_current_xact_id() then
            update aximo_private.log_holes as h
            set older_than = pg_current_xact_id()
            where h.log = which and h.seen_by >= undated_from and h.older_than is null;
            update aximo_private.logs as s
            set undated_from = null
            where s.log = which;
        end if;
    end loop;

    numbered := 0;
    is_behind := false;
    for which in select s.log from aximo_private.logs as s order by s.log loop
        begin
            select n.touched, n.is_cut into touched, is_cut
            from aximo_private.number_new(which, advance_log.max_events, look => false) as n;
        exception
            -- A new event may have its number already. That is rare, and looking for it each time costs a quarter of the whole.
            when unique_violation then
                select n.touched, n.is_cut into touched, is_cut
                from aximo_private.number_new(which, advance_log.max_events, look => true) as n;
        end;
        is_behind := is_behind or is_cut;
        continue when touched is null;
        select sum(t.new_size - t.old_size) into found_new
        from unnest(touched) as t;
        numbered := numbered + found_new;

        perform aximo_private.grow_tree(which, touched);
        perform aximo_private.note_uncounted(touched, which);
    end loop;
    update aximo_private.log_state as s
    set advanced_at = clock_timestamp()
    where s.is_the_row;
    return next;
end;
$$;
alter function aximo.advance_log(integer) owner to aximo_sequencer;
comment on function aximo.advance_log(integer) is 'Gives committed events, of all customers, their numbers, at most so many of each log in one call, and so many that their text is about 64 MiB, and adds them to the trees. Returns how many, and whether there may be more; is_behind is null if another session is at it, and nothing was done. Waits for nobody. ZXARG: max_events below 1; ZXCUS: a login without all customers; ZXENV: the state of another log.';
-- until here
-- as in 08_log/mend_log.sql
-- Finds events that numbering passed over, if there ever are any: verify_log names them. Also for positions that were restored out of
-- order.
create or replace function aximo.mend_log() returns bigint
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    mended bigint;
begin
    perform aximo_private.numbers_for_all();
    -- Waits for the numbering under way, and keeps the next one waiting.
    perform from aximo_private.log_state for update;
    -- An event that somebody put into a remembered hole did not come from a transaction that could own it: look into all holes again.
    update aximo_private.logs as s
    set looked = null, undated_from = least(s.undated_from, pg_current_xact_id());
    -- Each becomes a hole: the next advance finds it there, and gives it the number after the last one.
    with
    missed as (
        select e.log, e.position
        from aximo_private.events_of_logs as e
        inner join aximo_private.logs as s on s.log = e.log
        -- Those of a customer that is arriving get their numbers from the node that it comes from.
        where e.position <= s.high_position and e.position > 0
            and not exists (select from only aximo_private.placements as p where p.customer_id = e.customer_id)
            and not exists (
                select from aximo_private.log_holes as h
                where h.log = e.log and e.position between h.first_position and h.last_position
            )
            and not aximo_private.has_number(e.customer_id, e.event_id, e.run_event_id)
    ),
    remembered as (
        insert into aximo_private.log_holes (log, first_position, last_position, seen_by)
        select distinct m.log, m.position, m.position, pg_current_xact_id()
        from missed as m
    )
    select count(*) into mended
    from missed as m;
    return mended;
end;
$$;
alter function aximo.mend_log() owner to aximo_sequencer;
comment on function aximo.mend_log() is 'Finds the events of all customers that are not in the log and should be; the next aximo.advance_log numbers them. Returns how many. Reads everything.';
-- until here
-- as in 09_metrics/ledger_status.sql
-- For monitoring, by a login that may see no customer. It reads counters and queues, so its cost does not grow with what is stored.
create or replace function aximo.ledger_status()
returns table (
    log text,
    advanced_at timestamptz,
    entries bigint,
    unnumbered_positions bigint,
    holes bigint,
    violations bigint,
    uncounted_entries bigint,
    metrics_refreshed_at timestamptz,
    stored_checkpoint_at timestamptz,
    open_executions_over_an_hour bigint
)
language plpgsql stable security definer parallel restricted
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    granted constant text[] := aximo_private.session_grants();
begin
    -- Who watches needs no customer. Who has some may not see how much the others have.
    if cardinality(granted) > 0 and not '*' = any(granted) then
        perform aximo_private.numbers_for_all();
    end if;
    return query
    select
        s.log, t.advanced_at, s.entries,
        greatest(
            pg_sequence_last_value(
                case s.log
                    when 'events' then 'aximo_private.events_position'
                    else 'helix.run_events_event_id_seq'
                end::regclass
            ) - s.high_position,
            0
        ),
        (select count(*) from aximo_private.log_holes as h where h.log = s.log),
        case when s.log = 'events' then pg_stat_get_live_tuples('aximo_private.violations'::regclass) else 0 end,
        (
            select coalesce(sum(g.size - g.number), 0)::bigint
            from (
                select max(u.number) as size, coalesce(c.number, 0) as number
                from only aximo_private.uncounted_logs as u
                left join aximo_private.counted_logs as c on c.customer_id = u.customer_id and c.log = u.log
                where u.log = s.log
                group by u.customer_id, c.number
            ) as g
            where g.size > g.number
        ),
        m.refreshed_at,
        to_timestamp(pg_sequence_last_value('aximo_private.checkpoint_clock'::regclass)),
        case
            when s.log = 'events'
                then (
                    select count(*)
                    from (
                        select
                        from only aximo_private.executions as e
                        where e.outcome is null and e.started_at < now() - interval '1 hour'
                        limit 10000
                    ) as o
                )
            else 0
        end
    from aximo_private.logs as s
    cross join aximo_private.log_state as t
    cross join aximo_private.metric_state as m
    order by s.log;
end;
$$;
alter function aximo.ledger_status() owner to aximo_sequencer;
comment on function aximo.ledger_status() is 'How the ledger does, of all customers together and without the name of any: one row a log. When it was last numbered; how many entries it has; how many positions were given since, to events that wait for a number or to transactions that are not over; how many gaps numbering remembers; how many violations are listed, by PostgreSQL''s own count; how many entries are not counted for the metrics; when these were last refreshed; when a checkpoint was last added, by whomever and to whichever log; how many executions were triggered more than an hour ago and have not ended, 10,000 at most. For aximo_monitor and aximo_operator; the login needs no customer. ZXCUS: it was granted certain customers only.';
-- until here
-- as in 08_log/join_fleet.sql
-- Makes this database a node of a fleet: one name in the origin of all checkpoints, and event_ids of run events that no other node gives.
-- The caller owns the sequence. RESTART is undone by a rollback, as setval() is not.
create or replace function aximo.join_fleet(ledger text, node integer) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    state aximo_private.log_state;
    rule text;
begin
    select * into strict state from aximo_private.log_state for update;
    rule := case
        when join_fleet.node is null or join_fleet.node not between 0 and 1023 then 'node_known'
        when join_fleet.ledger is null or join_fleet.ledger !~ '^[!-*,-~]+$' or octet_length(join_fleet.ledger) > 255 then 'ledger_is_a_name'
        when join_fleet.ledger <> state.ledger and exists (select from only aximo_private.log_entries) then 'ledger_name_stays'
        when join_fleet.node <> state.node and pg_sequence_last_value('helix.run_events_event_id_seq'::regclass) is not null then 'node_stays'
        when join_fleet.node <> state.node and exists (select from only aximo_private.placements) then 'node_stays'
    end;
    if rule is not null then
        raise exception using
            errcode = 'ZXENV',
            message = 'this database can''t be that node of that fleet',
            detail = format(
                'it is node %s of %L, asked for node %s of %L', state.node, state.ledger, join_fleet.node, left(join_fleet.ledger, 255)
            ),
            hint = case rule
                when 'node_known' then 'A node is a number from 0 to 1023.'
                when 'ledger_is_a_name' then 'A name is 1 to 255 characters of printable ASCII, without blank and plus.'
                when 'ledger_name_stays' then 'Events have numbers under its name already. Give the other nodes this ledger''s name.'
                else 'It has run events with this node''s ids, or customers on the way. Make a new database the new node.'
            end,
            constraint = rule;
    end if;
    update aximo_private.log_state as s
    set ledger = join_fleet.ledger, node = join_fleet.node
    where s.is_the_row;
    if join_fleet.node <> state.node then
        -- What is below arrives from other nodes with its numbers: nothing there is new.
        update aximo_private.logs as l
        set high_position = join_fleet.node * 8796093022208
        where l.log = 'run_events';
        execute format('alter sequence helix.run_events_event_id_seq restart with %s', join_fleet.node * 8796093022208 + 1);
    end if;
end;
$$;
comment on function aximo.join_fleet(text, integer) is 'Says which node of which fleet this database is. All nodes have the name of one ledger, each a number of its own from 0 to 1023; a ledger by itself is node 0. ZXENV: it has numbered events under another name, or run events of another node. For the owner.';
-- until here

-- What is left of a customer's runs and hashes while it moves.
-- as in 07_helix/keep_run.sql
-- The state of a run changes; what the run is does not, and a run that has events is not deleted. The published gateway writes started_at,
-- finished_at, error and log_artifact_id of a finished run again: when a failed run is tried again, and when two gateways ran the same at
-- once.
create or replace function aximo_private.keep_run() returns trigger
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set row_security = on
as $$
declare
    rule text;
begin
    if
        exists (
            select
            from only aximo_private.observations as o
            where o.customer_id = old.customer_id and o.target_run_id = old.run_id
                and o.observed_in = pg_current_xact_id_if_assigned() and o.observed_at = now()
        )
    then
        perform aximo_private.refuse_observed(old.run_id);
    end if;
    if tg_op = 'DELETE' then
        -- A run that is deleted when its customer is leaving would still arrive on the other node.
        if exists (
                select from only aximo_private.placements as p
                where p.customer_id = old.customer_id and p.state = 'leaving'
            ) then
            perform aximo_private.refuse_moved(old.customer_id);
        end if;
        perform from only helix.run_events as e
        where e.customer_id = old.customer_id and e.run_id = old.run_id
        limit 1;
        if not found then
            return old;
        end if;
        rule := 'run_has_events';
    elsif
        (
            new.run_id, new.customer_id, new.project_id, new.tool_name, new.contract_version, new.tool_version, new.params_hash,
            new.policy_hash, new.requested_by, new.created_at, new.policy_snapshot, new.environment, new.recorded_at, new.recorded_by,
            new.made_for_events
        ) is distinct from (
            old.run_id, old.customer_id, old.project_id, old.tool_name, old.contract_version, old.tool_version, old.params_hash,
            old.policy_hash, old.requested_by, old.created_at, old.policy_snapshot, old.environment, old.recorded_at, old.recorded_by,
            old.made_for_events
        )
    then
        rule := 'run_stays_itself';
    elsif new.execution_id is distinct from old.execution_id and old.execution_id is not null then
        rule := 'run_serves_one_execution';
    elsif
        old.status in ('succeeded', 'failed', 'blocked') and new.status = old.status
        and (
            new.exit_code is distinct from old.exit_code and (old.exit_code is not null or old.status = 'succeeded')
            or new.finished_at is null and old.finished_at is not null
            or new.started_at is null and old.started_at is not null
            or new.error is distinct from old.error and (old.status = 'succeeded' or new.error is null)
            -- The result of a success is written once, or twice the same by two gateways at once. A failure may take back the result of its
            -- submission.
            or new.result_json is distinct from old.result_json and (new.result_json is null) = (old.status = 'succeeded')
        )
    then
        rule := 'finished_run_stays';
    end if;
    if rule is not null then
        raise exception using
            errcode = 'ZXIMM',
            message = 'this change of a run is refused',
            detail = format('%s of run_id %L, which is %s', lower(tg_op), left(old.run_id, 60), old.status),
            hint = case rule
                when 'run_has_events' then 'A run that has events stays. Leave it; a run without events can be deleted.'
                when 'run_serves_one_execution' then 'A run names the execution it served once. Leave execution_id as it is.'
                when 'finished_run_stays' then 'The run has ended: its status, exit_code, moments, error and result_json stay. Start a new run.'
                else 'Of a run only status, started_at, finished_at, exit_code, error, result_json and log_artifact_id may change. Leave the other columns out.'
            end,
            schema = tg_table_schema,
            table = tg_table_name,
            constraint = rule;
    end if;
    -- The gateway reads the status before it writes, but of two gateways at once only the database can tell which came first.
    if new.status <> old.status and (old.status in ('succeeded', 'failed', 'blocked') or new.status = 'queued') then
        raise exception using
            errcode = 'ZXRUN',
            message = 'a run can''t go back in its life',
            detail = format('run_id %L is %s and can''t become %s', left(old.run_id, 60), old.status, left(new.status, 60)),
            hint = 'A run goes from queued to running to succeeded, failed or blocked, and then stays. Nothing is to be done if another worker ended it.',
            schema = tg_table_schema,
            table = tg_table_name,
            constraint = 'run_goes_forward';
    end if;
    return new;
end;
$$;
alter function aximo_private.keep_run() owner to aximo_recorder;
comment on function aximo_private.keep_run() is 'Refuses to change what a run is, to change how it ended, or to delete one that has events (ZXIMM), to go back in its life, or to write to it while observing it (ZXRUN); to delete one of a customer that is leaving (ZXMOV).';
-- until here
-- as in 08_log/rebuild_log_nodes.sql
-- Makes missing hashes again from the leaves. A hash that differs stays: the table is append-only, and first a person has to find out who
-- changed it.
create or replace function aximo.rebuild_log_nodes() returns bigint
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    width bigint := 1;
    made bigint;
    rebuilt bigint := 0;
begin
    perform aximo_private.numbers_for_all();
    perform from aximo_private.log_state for update;
    for height in 1 .. 7 loop
        width := width * 256;
        insert into aximo_private.log_nodes (customer_id, log, level, index, hash)
        select s.customer_id, s.log, height, b.index, aximo.tree_hash(c.hashes)
        from (
            select l.customer_id, l.log, max(l.number) as size
            from only aximo_private.log_entries as l
            -- Those of a customer that is arriving come from the other node.
            where not exists (
                    select from only aximo_private.placements as p
                    where p.customer_id = l.customer_id and p.state = 'arriving'
                )
            group by l.customer_id, l.log
        ) as s
        cross join lateral (
            select i.index
            from generate_series(0, s.size / width - 1) as i (index)
            where not exists (
                    select from only aximo_private.log_nodes as n
                    where n.customer_id = s.customer_id and n.log = s.log and n.level = height and n.index = i.index
                )
            offset 0
        ) as b
        cross join lateral (
            select aximo_private.hashes_below(s.customer_id, s.log, height, b.index) as hashes
            offset 0
        ) as c
        where cardinality(c.hashes) = 256;
        get diagnostics made = row_count;
        rebuilt := rebuilt + made;
    end loop;
    return rebuilt;
end;
$$;
alter function aximo.rebuild_log_nodes() owner to aximo_sequencer;
comment on function aximo.rebuild_log_nodes() is 'Makes the hashes of complete subtrees that are missing, of all logs of all customers, from the leaves of their entries, and returns how many. One that is there stays as it is; aximo.verify_log names it if it differs. Waits for the numbering under way. ZXCUS: a login without all customers.';
-- until here

-- The steps of a move, and what logical replication brings.
-- as in 08_log/place_customer.sql
-- The steps of a move, each checked here: what must not happen is a customer that is written on two nodes, or on none without a word.
create or replace function aximo.place_customer(state text, node integer, checkpoints text[] default null) returns void
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $$
#variable_conflict use_column
declare
    customer text := nullif(current_setting('aximo.customer_id', true), '');
    present aximo_private.placements;
    step text;
    rule text;
    growth aximo_private.log_growth[];
    which text;
begin
    perform aximo_private.numbers_for_all();
    -- A customer that is hidden is no session's, so the grants are asked.
    if customer is null or customer = '*' or not array[customer, '*'] && aximo_private.session_grants() then
        customer := aximo_private.named_customer(customer);
    end if;
    -- Whoever numbers waits, and so does a second move.
    perform from aximo_private.log_state for update;
    select * into present from only aximo_private.placements as p where p.customer_id = customer for update;
    step := coalesce(present.state, 'here') || ' to ' || coalesce(place_customer.state, 'null');
    rule := case
        when (place_customer.state in ('here', 'arriving', 'leaving', 'gone')) is not true then 'placement_known'
        when place_customer.node is null or place_customer.node not between 0 and 1023 then 'node_in_fleet'
        when place_customer.node = (select s.node from aximo_private.log_state as s) then 'node_is_another'
        when present.node <> place_customer.node and step <> 'gone to arriving' then 'node_of_the_move'
        when step not in (
            'here to arriving', 'gone to arriving', 'arriving to here', 'arriving to gone',
            'here to leaving', 'leaving to here', 'leaving to gone'
        ) then 'placement_order'
        when step = 'here to arriving' and (
            exists (select from only aximo_private.events as e where e.customer_id = customer)
            or exists (select from only helix.runs as r where r.customer_id = customer)
            or exists (select from only aximo_private.log_entries as l where l.customer_id = customer)
        ) then 'customer_is_here'
    end;
    if rule is not null then
        raise exception using
            errcode = 'ZXMOV',
            message = 'this is no step of this customer''s move',
            detail = format(
                'customer %L, %s; the other node is %s, asked for %s', left(customer, 60), step, present.node, place_customer.node
            ),
            hint = case rule
                when 'placement_known' then 'A customer is here, arriving, leaving or gone.'
                when 'node_in_fleet' then 'A node is a number from 0 to 1023.'
                when 'node_is_another' then 'Name the other node of the move, not this one.'
                when 'node_of_the_move' then 'The customer is on the way to or from another node. End that move first.'
                when 'customer_is_here' then 'The customer has events or runs on this node that are not of the other. Two histories can''t become one.'
                else '"aximo-db move" goes on where a move stopped, and docs/scale.md has its steps.'
            end,
            constraint = rule;
    end if;

    if place_customer.state = 'here' then
        delete from aximo_private.placements as p where p.customer_id = customer;
    else
        insert into aximo_private.placements (customer_id, state, node, was_here)
        values (customer, place_customer.state, place_customer.node, step = 'gone to arriving')
        on conflict on constraint placements_pkey do update
        set state = excluded.state, node = excluded.node, was_here = excluded.was_here, since = excluded.since, set_by = excluded.set_by;
    end if;

    -- A log that is not whole must neither be left behind nor be taken over. The other node's checkpoints name its ledger, the customer, the
    -- sizes and the roots.
    if step = 'leaving to gone'
        and (
            (select count(*) from only aximo_private.events as e where e.customer_id = customer) <> (
                select count(*) from only aximo_private.log_entries as l where l.customer_id = customer and l.log = 'events'
            )
            or (select count(*) from only helix.run_events as r where r.customer_id = customer) <> (
                select count(*) from only aximo_private.log_entries as l where l.customer_id = customer and l.log = 'run_events'
            )
        )
        or step = 'arriving to here'
        and place_customer.checkpoints is distinct from array[
            aximo.checkpoint_text(aximo.log_size('events'), 'events'), aximo.checkpoint_text(aximo.log_size('run_events'), 'run_events')
        ] then
        raise exception using
            errcode = 'ZXMOV',
            message = 'the customer''s logs are not whole on this node',
            detail = format('customer %L, %s', left(customer, 60), step),
            hint = case place_customer.state
                when 'gone' then 'Events have no number yet: call aximo.advance_log until it numbers none, then try again.'
                else 'What the other node has is not all here, or is not the same. Wait until it has come, and compare with "aximo-db verify" there.'
            end,
            constraint = 'logs_are_whole';
    end if;

    if step = 'arriving to here' then
        foreach which in array array['events', 'run_events'] loop
            growth := array[row(customer, 0, aximo.log_size(which))::aximo_private.log_growth];
            if growth[1].new_size > 0 then
                perform aximo_private.note_uncounted(growth, which);
            end if;
        end loop;
        -- Its own list of which actions are leads may have come after events that were counted here.
        insert into aximo_private.unjudged_leads (customer_id, since)
        select customer, '-infinity'
        where exists (select from only aximo_private.metric_lists as m where m.customer_id = customer);
    end if;
end;
$$;
alter function aximo.place_customer(text, integer, text[]) owner to aximo_sequencer;
comment on function aximo.place_customer(text, integer, text[]) is 'One step of the move of the session''s customer between this node and another: on the node that it leaves, leaving (nobody writes), then gone (nobody sees it here), or here again; on the other one arriving, then here, or gone again. To gone, every event needs its number; to here from arriving, the logs have to be those of the checkpoints given, of events and of run events, as the other node says them. ZXMOV: no step from where it is, or the logs are not whole; ZXCUS: a login without all customers.';
-- until here
-- as in 08_log/take_arriving.sql
-- Fires for what logical replication brings, and for nothing else. Of a customer that is arriving it keeps the order of arrival below zero,
-- where numbering does not look: these events have their numbers. What stayed here when the customer left comes a second time: history is
-- the same and is kept, state is replaced.
create or replace function aximo_private.take_arriving() returns trigger
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    was_here boolean;
    is_there boolean;
    same_key text;
begin
    select p.was_here into was_here
    from only aximo_private.placements as p
    where p.customer_id = new.customer_id and p.state = 'arriving';
    if not found then
        return new;
    end if;
    -- Two conditions: no other table has a position.
    if tg_relid = 'aximo_private.events'::regclass then
        if new.position > 0 then
            new.position := new.position - 9223372036854775807;
        end if;
    end if;
    if not was_here then
        return new;
    end if;
    select string_agg(format('t.%1$I = ($1).%1$I', k.name), ' and ') into same_key
    from unnest(tg_argv) as k (name);
    if tg_relid = 'helix.runs'::regclass then
        update helix.runs as r set
            status = new.status, started_at = new.started_at, finished_at = new.finished_at, exit_code = new.exit_code,
            error = new.error, result_json = new.result_json, log_artifact_id = new.log_artifact_id, execution_id = new.execution_id
        where r.customer_id = new.customer_id and r.run_id = new.run_id;
        is_there := found;
    elsif exists (
            select from pg_catalog.pg_trigger as t
            where t.tgrelid = tg_relid and t.tgname = 'append_only_row'
        ) then
        execute format('select true from only %s as t where %s', tg_relid::regclass, same_key) into is_there using new;
    else
        execute format('delete from only %s as t where %s', tg_relid::regclass, same_key) using new;
    end if;
    if is_there then
        return null;
    end if;
    return new;
end;
$$;
comment on function aximo_private.take_arriving() is 'Takes rows of a customer that arrives from another node of the fleet, by logical replication.';
-- until here
-- as in 08_log/make_movable.sql
create or replace function aximo_private.make_movable(target regclass) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format(
        'create trigger take_arriving before insert on %s for each row execute function aximo_private.take_arriving(%s)',
        target,
        (
            select string_agg(quote_literal(a.attname), ', ' order by a.attnum)
            from pg_catalog.pg_index as i
            inner join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
            where i.indrelid = target and i.indisprimary
        )
    );
    execute format('alter table %s enable replica trigger take_arriving', target);
    execute format('comment on trigger take_arriving on %s is %L', target, 'Takes the rows of a customer that arrives from another node.');
end;
$$;
comment on function aximo_private.make_movable(regclass) is 'Lets the rows of a table move with their customer to another node. Used by migrations.';
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

revoke create on schema aximo, aximo_private from aximo_gatekeeper, aximo_recorder, aximo_sequencer;
revoke all on aximo_private.placements, aximo.placements from public;
revoke all on function
    aximo_private.refuse_moved(text),
    aximo_private.named_customer(text),
    aximo_private.last_position(text),
    aximo_private.take_arriving(),
    aximo_private.make_movable(regclass),
    aximo.join_fleet(text, integer),
    aximo.place_customer(text, integer, text[])
from public;
grant select on aximo_private.placements to aximo_gatekeeper, aximo_recorder;
grant select, insert, update, delete on aximo_private.placements to aximo_sequencer;
revoke insert, update, delete, truncate on aximo_private.placements from aximo_owner;
grant execute on function aximo_private.named_customer(text), aximo_private.refuse_moved(text) to aximo_recorder;
grant execute on function aximo_private.named_customer(text) to aximo_sequencer;
grant execute on function aximo_private.session_grants() to aximo_bi;
grant select on aximo.placements to aximo_bi;
grant execute on function aximo.place_customer(text, integer, text[]) to aximo_operator;
grant execute on function aximo.join_fleet(text, integer) to aximo_owner;

-- locks: helix.runs, aximo_private.log_state, aximo.deployments, aximo.deployment_versions; from writers alone: aximo_private.executions, aximo_private.approvals, aximo_private.known_deployments, aximo_private.events, aximo_private.violations, helix.run_events, aximo_private.checkpoints, aximo_private.log_cursors, aximo_private.log_entries, aximo_private.log_nodes, aximo_private.metric_lists, aximo_private.observations, aximo_private.run_ids, aximo_private.thresholds
alter table aximo_private.log_state add column node integer not null default 0;
alter table aximo_private.log_state add constraint node_known check (node between 0 and 1023);
alter table aximo_private.log_state add constraint ledger_length check (octet_length(ledger) <= 255);
comment on column aximo_private.log_state.ledger is 'The name of this ledger in the origin of its checkpoints: printable ASCII without blank and plus; the same on all nodes of a fleet. Never changes.';
comment on column aximo_private.log_state.node is 'Which node of its fleet this database is, 0 to 1023; 0 for one by itself. The event_ids of run events are those of the node: from node * 2^43 on.';
grant update (ledger, node) on aximo_private.log_state to aximo_sequencer;
-- as in 06_history/deployment_versions.sql
-- The events of a deployment's life say its versions. If a deployment has no such event, the versions are those of its executions.
create or replace view aximo.deployment_versions with (security_barrier = true) as
with
declared as (
    select e.customer_id, e.deployment_id, e.skill_id, e.skill_version, e.event_id, e.event_type, e."timestamp", e.recorded_at, e.position
    from aximo_private.history as e
    -- The first list is that of the index, word by word, so that the planner uses it.
    where e.event_type in (
            'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_suspended', 'deployment_updated',
            'deployment_terminated', 'version_upgraded', 'version_rolled_back'
        )
        and e.event_type <> 'deployment_suspended'
),
marks as (
    select d.*, null::text as execution_id, null::integer as start_step, 'declared' as basis
    from declared as d
    union all
    select
        r.customer_id, r.deployment_id, r.skill_id, r.skill_version, null as event_id, 'execution_triggered' as event_type,
        r.started_at as "timestamp", null as recorded_at, null as position, r.execution_id, r.start_step, 'observed' as basis
    from aximo_private.started_executions as r
    where (r.customer_id, r.deployment_id) not in (select d.customer_id, d.deployment_id from declared as d)
),
steps as (
    select
        m.*, lag(m.skill_id) over in_time as previous_skill_id, lag(m.skill_version) over in_time as previous_version,
        lag(m.event_type) over in_time as previous_type
    from marks as m
    window in_time as (partition by m.customer_id, m.deployment_id order by m."timestamp", m.recorded_at, m.position, m.execution_id)
),
marked as (
    select
        s.*,
        coalesce(
            s.event_id,
            (
                select e.event_id
                from aximo_private.history as e
                where e.customer_id = s.customer_id and e.execution_id = s.execution_id and e.step = s.start_step
            )
        ) as began_with
    from steps as s
    where s.event_type = 'deployment_terminated' or s.previous_type is null or s.previous_type = 'deployment_terminated'
        or s.skill_version <> s.previous_version or s.skill_id <> s.previous_skill_id
),
changes as (
    select
        s.*, lead(s."timestamp") over in_time as ended_at, lead(s.began_with) over in_time as ended_with,
        lead(s.event_type) over in_time as ended_by
    from marked as s
    window in_time as (partition by s.customer_id, s.deployment_id order by s."timestamp", s.recorded_at, s.position, s.execution_id)
)
select
    customer_id, deployment_id, skill_id, skill_version, "timestamp" as began_at, ended_at,
    ended_at is null as is_current, event_type as began_by, began_with, ended_by, ended_with, basis
from changes
where event_type <> 'deployment_terminated';
comment on view aximo.deployment_versions is 'Which version of which skill a deployment ran when, one row a period. Key: deployment_id, began_with.';
comment on column aximo.deployment_versions.customer_id is 'Whose deployment it is.';
comment on column aximo.deployment_versions.deployment_id is 'The deployment.';
comment on column aximo.deployment_versions.skill_id is 'The skill.';
comment on column aximo.deployment_versions.skill_version is 'Its version in this period.';
comment on column aximo.deployment_versions.began_at is 'When the period began, by the event''s timestamp.';
comment on column aximo.deployment_versions.ended_at is 'When it ended; null while it lasts.';
comment on column aximo.deployment_versions.is_current is 'True while it lasts.';
comment on column aximo.deployment_versions.began_by is 'The type of the event that began it.';
comment on column aximo.deployment_versions.began_with is 'The event that began it.';
comment on column aximo.deployment_versions.ended_by is 'The type of the event that ended it.';
comment on column aximo.deployment_versions.ended_with is 'The event that ended it.';
comment on column aximo.deployment_versions.basis is 'declared: by events of the deployment''s life. observed: by the versions its executions ran, because it declared none.';
-- until here
-- as in 06_history/deployments.sql
create or replace view aximo.deployments as
select
    k.customer_id, k.deployment_id, coalesce(v.skill_id, x.skill_id) as skill_id,
    coalesce(v.skill_version, x.skill_version) as skill_version,
    case s.event_type
        when 'deployment_created' then 'pending_configuration'
        when 'deployment_configured' then 'configured'
        when 'deployment_activated' then 'active'
        when 'deployment_suspended' then 'suspended'
        when 'deployment_terminated' then 'terminated'
        else 'undeclared'
    end as status,
    s."timestamp" as status_since, s.event_id as status_event_id, x.started_at as last_execution_at
-- DISTINCT, because two transactions may both have added the deployment. The rows come in the order of the index, so a page of them reads
-- no more than a page.
from (
    select distinct customer_id, deployment_id
    from only aximo_private.known_deployments -- noqa: PRS
) as k
-- Each of these is a look-up. The first list of types is that of the index, word by word, so that the planner uses it.
left join lateral (
    select e.event_type, e."timestamp", e.event_id
    from aximo_private.history as e
    where e.customer_id = k.customer_id and e.deployment_id = k.deployment_id
        and e.event_type in (
            'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_suspended', 'deployment_updated',
            'deployment_terminated', 'version_upgraded', 'version_rolled_back'
        )
        and e.event_type not in ('deployment_updated', 'version_upgraded', 'version_rolled_back')
    order by e."timestamp" desc, e.recorded_at desc, e.position desc
    limit 1
) as s on true
left join lateral (
    select e.skill_id, e.skill_version
    from aximo_private.history as e
    where e.customer_id = k.customer_id and e.deployment_id = k.deployment_id
        and e.event_type in (
            'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_suspended', 'deployment_updated',
            'deployment_terminated', 'version_upgraded', 'version_rolled_back'
        )
        and e.event_type <> 'deployment_suspended'
    order by e."timestamp" desc, e.recorded_at desc, e.position desc
    limit 1
) as v on true
left join lateral (
    select r.skill_id, r.skill_version, r.started_at
    from aximo_private.started_executions as r
    where r.customer_id = k.customer_id and r.deployment_id = k.deployment_id
    order by r.started_at desc
    limit 1
) as x on true
-- For a moment in the past: only deployments that had an event by then.
where s.event_id is not null or v.skill_id is not null or x.started_at is not null
    or exists (select from aximo_private.history as e where e.customer_id = k.customer_id and e.deployment_id = k.deployment_id);
comment on view aximo.deployments is 'Every deployment that events speak of, with its current status and version. Key: deployment_id.';
comment on column aximo.deployments.customer_id is 'Whose deployment it is.';
comment on column aximo.deployments.deployment_id is 'The deployment.';
comment on column aximo.deployments.skill_id is 'The skill it runs: as last declared, else as last executed.';
comment on column aximo.deployments.skill_version is 'The version it runs: as last declared, else as last executed.';
comment on column aximo.deployments.status is 'pending_configuration, configured, active, suspended or terminated; undeclared if no event of its life says.';
comment on column aximo.deployments.status_since is 'Since when, by the event''s timestamp.';
comment on column aximo.deployments.status_event_id is 'The event that says so.';
comment on column aximo.deployments.last_execution_at is 'When an execution was last triggered.';
-- until here
-- as in 08_log/movable.sql
-- What moves with a customer: these tables, and no other. Who may work for the customer is each node's own, and so are the metrics, which
-- are counted from the log.
select aximo_private.make_movable(t.name::regclass)
from unnest(
    array[
        'aximo_private.approvals', 'aximo_private.checkpoints', 'aximo_private.events', 'aximo_private.executions',
        'aximo_private.known_deployments', 'aximo_private.log_cursors', 'aximo_private.log_entries', 'aximo_private.log_nodes',
        'aximo_private.metric_lists', 'aximo_private.observations', 'aximo_private.run_ids', 'aximo_private.thresholds',
        'aximo_private.violations', 'helix.run_events', 'helix.runs'
    ]
) as t (name);
-- Runs change, and a publication's row filter needs the customer in what identifies a row.
alter table helix.runs replica identity using index run_of_customer;
-- until here
