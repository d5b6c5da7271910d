create function aximo_private.level_of(numerator bigint, denominator bigint, for_deployment text, for_metric text) returns text
language plpgsql stable security definer parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    rate constant double precision := numerator::double precision / nullif(denominator, 0);
begin
    return case
        when rate is null then null
        when rate = 0 or denominator < aximo_private.threshold_at(for_deployment, for_metric, 'minimum_denominator', now()) then 'ok'
        when rate > aximo_private.threshold_at(for_deployment, for_metric, 'escalation', now()) then 'escalation'
        when rate > aximo_private.threshold_at(for_deployment, for_metric, 'warning', now()) then 'warning'
        else 'ok'
    end;
end;
$$;
alter function aximo_private.level_of(bigint, bigint, text, text) owner to aximo_meter;
comment on function aximo_private.level_of(bigint, bigint, text, text) is 'Which threshold in force now a rate of a deployment is above: escalation, warning or none (ok); null without a rate.';
