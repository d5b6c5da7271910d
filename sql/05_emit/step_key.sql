-- Ids in a payload may be of any length and kind; steps hold many of them. Bound when it is created, and inlined.
create function aximo_private.step_key(payload jsonb, name text) returns text
language sql immutable security invoker parallel safe
return case
    when octet_length(payload ->> name) > 255 then 'sha256:' || encode(sha256(convert_to(payload ->> name, 'UTF8')), 'hex')
    else payload ->> name
end;
alter function aximo_private.step_key(jsonb, text) owner to aximo_recorder;
comment on function aximo_private.step_key(jsonb, text) is 'An id in a payload as the rules compare it: itself, or its hash if it is long.';
