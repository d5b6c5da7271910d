-- An id in a payload may be of any length and of any JSON type, and the text of a number may be 100,000 times as long as the number. Rows
-- hold many such ids, so a long one is replaced by its hash.
create function aximo_private.step_key(payload jsonb, name text) returns text
language sql stable security invoker parallel safe
return case jsonb_typeof(payload -> name)
    when 'string' then
        case
            when octet_length(payload ->> name) <= 255 then payload ->> name
            else 'sha256 ' || encode(sha256(convert_to(payload ->> name, 'UTF8')), 'hex')
        end
    when 'number' then
        case
            when abs((payload -> name)::numeric) < 1e100 and scale((payload -> name)::numeric) < 100 then payload ->> name
            else 'json ' || jsonb_hash_extended(payload -> name, 0)
        end
    when 'boolean' then payload ->> name
    when 'null' then null
    else 'json ' || jsonb_hash_extended(payload -> name, 0)
end;
alter function aximo_private.step_key(jsonb, text) owner to aximo_recorder;
comment on function aximo_private.step_key(jsonb, text) is 'An id in a payload as the rules compare it: itself, or its hash if it is long or no text.';
