-- 1e131071 is 10 bytes of jsonb and 131072 of text: a few thousand of them would fill the server's memory before a size is known.
create function aximo_private.has_extreme_number(document jsonb) returns boolean
language plpgsql immutable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return jsonb_path_exists(document, '$.** ? (@ > 1e400 || @ < -1e400 || (@ < 1e-400 && @ > -1e-400 && @ != 0))');
end;
$$;
alter function aximo_private.has_extreme_number(jsonb) owner to aximo_owner;
comment on function aximo_private.has_extreme_number(jsonb) is
'Whether a number in it is far outside of what a float holds, so that its text is far longer than its binary form.';
