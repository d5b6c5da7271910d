-- Runs as the sequencer, who may read the ledger's name. The log is the one of the session's customer.
create function aximo.log_origin(log text default 'events') returns text
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo.current_customer();
begin
    return (
        select
            s.ledger || '/' || (
                select string_agg(
                    case
                        when b.byte between 48 and 57 or b.byte between 65 and 90 or b.byte between 97 and 122 or b.byte in (45, 46, 95, 126)
                            then chr(b.byte)
                        else '%' || upper(lpad(to_hex(b.byte), 2, '0'))
                    end,
                    ''
                    order by b.place
                )
                from (
                    select
                        p.place,
                        get_byte(convert_to(customer, 'UTF8'), p.place) as byte
                    from generate_series(0, octet_length(customer) - 1) as p (place)
                ) as b
            ) || case log_origin.log when 'events' then '' when 'run_events' then '/run_events' end
        from aximo_private.log_state as s
    );
end;
$$;
alter function aximo.log_origin(text) owner to aximo_sequencer;
comment on function aximo.log_origin(text) is 'The origin of the checkpoints of that log of the session''s customer: the ledger''s name, a slash, and the customer, percent-encoded; then, of its run events, /run_events. Null if the session has no customer, or there is no such log.';
