create function aximo_private.last_position(log text) returns bigint
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
