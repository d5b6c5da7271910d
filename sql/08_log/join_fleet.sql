-- Makes this database a node of a fleet: one name in the origin of all checkpoints, and event_ids of run events that no other node gives.
-- The caller owns the sequence. RESTART is undone by a rollback, as setval() is not.
create function aximo.join_fleet(ledger text, node integer) returns void
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
