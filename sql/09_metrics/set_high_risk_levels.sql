create function aximo.set_high_risk_levels(
    levels text[],
    effective_from timestamptz default clock_timestamp(),
    for_all_customers boolean default false
) returns void
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    perform aximo_private.set_list('high_risk_levels', levels, effective_from, for_all_customers);
end;
$$;
alter function aximo.set_high_risk_levels(text[], timestamptz, boolean) owner to aximo_recorder;
comment on function aximo.set_high_risk_levels(text[], timestamptz, boolean) is 'Sets which risk levels aximo_metrics.attribution_monthly counts as high, for the session''s customer or for all customers that set none. Counts for months that end after effective_from; null takes back what was set. Nothing is overwritten: aximo_metrics.high_risk_levels is the history. ZXARG: no list of levels; ZXCUS: no customer, or a login without all customers sets it for all.';
