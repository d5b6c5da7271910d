create function aximo.set_high_risk_levels(
    levels text[],
    effective_from timestamptz default clock_timestamp(),
    for_all_customers boolean default false
) returns void
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer text := '*';
begin
    if set_high_risk_levels.for_all_customers then
        perform aximo_private.numbers_for_all();
    else
        customer := aximo_private.writing_customer(null);
    end if;
    perform aximo_private.check_effective_from(set_high_risk_levels.effective_from);
    if (select count(*) > count(distinct l) or max(char_length(l)) > 255 from unnest(set_high_risk_levels.levels) as l) then
        raise exception using
            errcode = 'ZXARG',
            message = 'these are not risk levels',
            detail = format('%s levels', cardinality(set_high_risk_levels.levels)),
            hint = 'Name each once, with at most 255 characters.',
            constraint = 'levels_are_named';
    end if;
    begin
        insert into aximo_private.high_risk_levels (customer_id, levels, effective_from)
        values (customer, set_high_risk_levels.levels, coalesce(set_high_risk_levels.effective_from, clock_timestamp()));
    exception
        when check_violation then
            raise exception using
                errcode = 'ZXARG',
                message = 'these are not risk levels',
                detail = format('%s levels', cardinality(set_high_risk_levels.levels)),
                hint = 'Give a list of at most 100 texts, none of them null; or null to take back what was set before.',
                constraint = 'levels_are_named';
    end;
end;
$$;
alter function aximo.set_high_risk_levels(text[], timestamptz, boolean) owner to aximo_recorder;
comment on function aximo.set_high_risk_levels(text[], timestamptz, boolean) is
'Sets which risk levels aximo_metrics.attribution_monthly counts as high, for the session''s customer or for all customers that set none. Counts for months that end after effective_from; null takes back what was set. Nothing is overwritten: aximo_metrics.high_risk_levels is the history. ZXARG: no list of levels; ZXCUS: no customer, or a login of certain customers only sets it for all.';
