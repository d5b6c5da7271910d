-- Recorded first, then the keys are destroyed, elsewhere: a crash in between leaves what is to be done, and an old vault is brought up to date
-- by what stands here.
create function aximo.record_erasure(key_ids uuid[], reason text) returns uuid
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
