-- The deployment's own threshold, else the customer's, else the one for all. Of each, the latest that had taken effect.
create function aximo_private.threshold_at(for_deployment text, for_metric text, for_level text, moment timestamptz)
returns double precision
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo.current_customer();
begin
    return coalesce(
        (
            select t.value from only aximo_private.thresholds as t
            where t.customer_id = customer and t.deployment_id = for_deployment and t.metric = for_metric and t.level = for_level
                and t.effective_from < moment
            order by t.effective_from desc, t.set_at desc limit 1
        ),
        (
            select t.value from only aximo_private.thresholds as t
            where t.customer_id = customer and t.deployment_id is null and t.metric = for_metric and t.level = for_level
                and t.effective_from < moment
            order by t.effective_from desc, t.set_at desc limit 1
        ),
        (
            select t.value from only aximo_private.thresholds as t
            where t.customer_id = '*' and t.deployment_id is null and t.metric = for_metric and t.level = for_level
                and t.effective_from < moment
            order by t.effective_from desc, t.set_at desc limit 1
        )
    );
end;
$$;
alter function aximo_private.threshold_at(text, text, text, timestamptz) owner to aximo_meter;
comment on function aximo_private.threshold_at(text, text, text, timestamptz) is 'The threshold in force for a deployment of the session''s customer just before a moment; null if there is none.';
