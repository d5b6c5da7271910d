-- Digits beyond the sixth are cut, because PostgreSQL would round them. Offsets of 16 hours and more are subtracted here, because
-- PostgreSQL refuses to read them.
create function aximo_private.moment_of(moment text) returns timestamptz
language sql stable security invoker parallel safe
return case
    -- The forms that programs write are told by their shape: the grammar below would cost 28,000 instructions more an event.
    when (
        moment like '____-__-__T__:__:__.______+00:00'
        or moment like '____-__-__T__:__:__.______Z'
        or moment like '____-__-__T__:__:__.___Z'
    )
        and translate(moment, '0123456789', '') in ('--T::.+:', '--T::.Z')
        and substr(moment, 12, 2) < '24' and substr(moment, 18, 2) < '60'
        then moment::timestamptz
    when moment !~ '^[0-9]{4}(-[0-9]{2}){2}[Tt ]([01][0-9]|2[0-3])(:[0-5][0-9]){2}([.][0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$'
        -- This text is no moment either: the cast raises the error.
        then 'not RFC 3339'::text::timestamptz
    when substr(moment, 27, 1) between '0' and '9'
        or left(right(moment, 6), 1) in ('+', '-') and substr(right(moment, 6), 2, 2) >= '16'
        then (left(substring(moment from '^.{10}[Tt ][^Zz+-]+'), 26) || 'Z')::timestamptz
            - coalesce(substring(moment from '([+-][0-9][0-9]:[0-9][0-9])$'), '00:00')::interval
    else moment::timestamptz
end;
comment on function aximo_private.moment_of(text) is 'The moment that a text in RFC 3339 says: a date, a time and an offset. Raises invalid_datetime_format for anything else.';
