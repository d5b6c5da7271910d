create function aximo_private.check_effective_from(effective_from timestamptz) returns void
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if effective_from > '-infinity' and effective_from < '1970-01-01 00:00:00+00' or effective_from >= '9999-01-01 00:00:00+00' then
        raise exception using
            errcode = 'ZXARG',
            message = 'a setting takes effect between 1970 and 9999',
            detail = format('effective_from %s', effective_from),
            hint = 'Leave it out: then it takes effect now. Or give -infinity: then it counts for all there ever was.',
            constraint = 'effective_from_is_a_moment';
    end if;
end;
$$;
alter function aximo_private.check_effective_from(timestamptz) owner to aximo_recorder;
comment on function aximo_private.check_effective_from(timestamptz) is 'Raises ZXARG for a moment that no event can have.';
