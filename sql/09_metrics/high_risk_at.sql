create function aximo_private.high_risk_at(moment timestamptz) returns text[]
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo.current_customer();
begin
    return coalesce(
        (
            select t.levels
            from only aximo_private.high_risk_levels as t
            where t.customer_id = customer and t.effective_from < moment
            order by t.effective_from desc, t.set_at desc
            limit 1
        ),
        (
            select t.levels
            from only aximo_private.high_risk_levels as t
            where t.customer_id = '*' and t.effective_from < moment
            order by t.effective_from desc, t.set_at desc
            limit 1
        )
    );
end;
$$;
alter function aximo_private.high_risk_at(timestamptz) owner to aximo_meter;
comment on function aximo_private.high_risk_at(timestamptz) is
'The risk levels that were high just before a moment, for the session''s customer.';
