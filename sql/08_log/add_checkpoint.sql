-- Only a true checkpoint is kept: its text is made again here and compared. Signatures are checked outside of the database.
create function aximo.add_checkpoint(note text) returns void
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo_private.writing_customer(null);
    lines constant text[] := string_to_array(add_checkpoint.note, E'\n');
    named_log text;
    stated_size bigint;
    expected text;
begin
    -- The first line names the log.
    named_log := case lines[1] when aximo.log_origin('events') then 'events' when aximo.log_origin('run_events') then 'run_events' end;
    if named_log is not null and lines[2] ~ '^(0|[1-9][0-9]{0,17})$' then
        stated_size := lines[2];
        -- Checks the hashes from the latest true checkpoint on: earlier wrong hashes would have given that one another root.
        perform aximo.check_log_nodes(
            named_log,
            coalesce(
                (
                    select c.size
                    from aximo.checkpoints as c
                    where c.customer_id = customer and c.log = named_log and c.size <= stated_size
                        and c.root = aximo.log_root(c.size, named_log)
                    order by c.size desc
                    limit 1
                ),
                0
            )
        );
        expected := aximo.checkpoint_text(stated_size, named_log);
    end if;
    if expected is null or not starts_with(add_checkpoint.note, expected)
        or (add_checkpoint.note <> expected and substr(add_checkpoint.note, char_length(expected) + 1) !~ E'^\n(— [^[:cntrl:]\u2028\u2029]+\n)+$')
        or octet_length(add_checkpoint.note) > 16384 then
        raise exception using
            errcode = 'ZXPRF',
            message = 'this is not the checkpoint of this log at that size',
            detail = format('its text should be %L, and after it nothing, or an empty line and signatures', expected),
            hint = 'Make it anew with "aximo-db checkpoint" or aximo.checkpoint_text. If it was right once, the log was changed: run "aximo-db verify".',
            constraint = 'checkpoint_is_true';
    end if;
    insert into aximo_private.checkpoints (customer_id, log, size, root, note)
    values (customer, named_log, stated_size, aximo.log_root(stated_size, named_log), add_checkpoint.note);
    perform setval('aximo_private.checkpoint_clock', extract(epoch from clock_timestamp())::bigint);
end;
$$;
alter function aximo.add_checkpoint(text) owner to aximo_sequencer;
comment on function aximo.add_checkpoint(text) is 'Keeps a checkpoint of a log of the session''s customer, signed or not, if it is true today. ZXPRF: it is not; ZXCUS: no customer; ZXARG: the log has not that size; ZXENV: hashes of the log are missing or differ.';
