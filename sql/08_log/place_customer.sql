-- The steps of a move, each checked here: what must not happen is a customer that is written on two nodes, or on none without a word.
create function aximo.place_customer(state text, node integer, checkpoints text[] default null) returns void
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
