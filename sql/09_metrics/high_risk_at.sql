create function aximo_private.high_risk_at(moment timestamptz) returns text[]
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return aximo_private.list_of(aximo.current_customer(), 'high_risk_levels', moment);
end;
$$;
alter function aximo_private.high_risk_at(timestamptz) owner to aximo_meter;
comment on function aximo_private.high_risk_at(timestamptz) is 'The risk levels that were high just before a moment, for the session''s customer.';
