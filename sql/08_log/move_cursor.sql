create function aximo.move_cursor(name text, from_number bigint, to_number bigint, log text default 'events') returns void
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo_private.writing_customer(null);
    found_number constant bigint := aximo.open_cursor(move_cursor.name, move_cursor.log);
    size constant bigint := aximo.log_size(move_cursor.log);
begin
    if found_number is distinct from move_cursor.from_number then
        raise exception using
            errcode = 'ZXCUR',
            message = 'somebody else moved the cursor',
            detail = format('cursor %L is at %s, not at %s', move_cursor.name, found_number, move_cursor.from_number),
            hint = 'Open the cursor again, and read from where it is. Give each consumer a name of its own.',
            constraint = 'cursor_was_there';
    end if;
    if move_cursor.to_number is null or move_cursor.to_number < 0 or move_cursor.to_number > size then
        raise exception using
            errcode = 'ZXARG',
            message = 'a cursor stays within the log',
            detail = format('it was to move to %s, and the log has %s entries', move_cursor.to_number, size),
            hint = 'Move it to a number that was read, or back to 0.',
            constraint = 'cursor_within_log';
    end if;
    update aximo_private.log_cursors as c
    set number = move_cursor.to_number, moved_at = clock_timestamp(), moved_by = session_user
    where c.customer_id = customer and c.log = move_cursor.log and c.name = move_cursor.name;
end;
$$;
alter function aximo.move_cursor(text, bigint, bigint, text) owner to aximo_sequencer;
comment on function aximo.move_cursor(text, bigint, bigint, text) is 'Moves a consumer''s cursor from where it is to another number, forward or back. In the transaction of the consumer''s own work it makes that work exactly-once. ZXCUR: it is not where the caller thinks; ZXARG: outside of the log; ZXCUS: no customer.';
