-- The lock lasts to the end of the transaction: of two consumers with one name the second waits, and goes on where the first ended.
create function aximo.open_cursor(name text, log text default 'events') returns bigint
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo_private.writing_customer(null);
    cursor_name aximo_private.identifier;
    found_number bigint;
begin
    begin
        cursor_name := open_cursor.name;
        if cursor_name is null then
            raise check_violation;
        end if;
    exception
        when check_violation then
            raise exception using
                errcode = 'ZXARG',
                message = 'no cursor can have that name',
                detail = format('name is %L', left(open_cursor.name, 60)),
                hint = 'Name it for its consumer: 1 to 255 characters, not blank.',
                constraint = 'cursor_is_named';
    end;
    -- Raises an error if there is no such log.
    perform aximo.log_size(open_cursor.log);
    loop
        select c.number into found_number
        from only aximo_private.log_cursors as c
        where c.customer_id = customer and c.log = open_cursor.log and c.name = cursor_name
        for update;
        if found then
            return found_number;
        end if;
        insert into aximo_private.log_cursors (customer_id, log, name)
        values (customer, open_cursor.log, cursor_name)
        on conflict do nothing;
    end loop;
end;
$$;
alter function aximo.open_cursor(text, text) owner to aximo_sequencer;
comment on function aximo.open_cursor(text, text) is 'How far the consumer of this name has come in that log of the session''s customer; 0 if it is new. Keeps others of this name waiting until the transaction ends. ZXCUS: no customer; ZXARG: no name, or no such log.';
