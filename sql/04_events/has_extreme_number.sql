-- The number 1e131071 takes 10 bytes as jsonb and 131,072 as text: a few thousand of them would fill the server's memory before anything
-- could count how long the text is.
create function aximo_private.has_extreme_number(document jsonb) returns boolean
language sql immutable security invoker parallel safe
return jsonb_path_exists(document, '$.** ? (@ > 1e400 || @ < -1e400 || (@ < 1e-400 && @ > -1e-400 && @ != 0))');
comment on function aximo_private.has_extreme_number(jsonb) is 'Whether a number in it is far outside of what a float holds, so that its text is far longer than its binary form.';
