-- The customer's own setting, else the one for all. Of each, the latest that had taken effect.
create function aximo_private.list_of(customer text, of_list text, moment timestamptz) returns text[]
language plpgsql stable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        (
            select t.items from only aximo_private.metric_lists as t
            where t.customer_id = customer and t.list = of_list and t.effective_from < moment
            order by t.effective_from desc, t.set_at desc limit 1
        ),
        (
            select t.items from only aximo_private.metric_lists as t
            where t.customer_id = '*' and t.list = of_list and t.effective_from < moment
            order by t.effective_from desc, t.set_at desc limit 1
        )
    );
end;
$$;
comment on function aximo_private.list_of(text, text, timestamptz) is 'A customer''s risk levels that were high, or its action types that were leads, just before a moment.';
