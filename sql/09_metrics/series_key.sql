-- An index entry has no room for several names of 255 characters each.
create function aximo_private.series_key(parts text[]) returns uuid
language sql stable security invoker parallel safe
return encode(substring(sha256(convert_to(array_to_json(parts)::text, 'UTF8')) from 1 for 16), 'hex')::uuid;
comment on function aximo_private.series_key(text[]) is 'The first half of the SHA-256 of some names.';
