create function aximo.set_threshold(
    metric text,
    level text,
    value double precision,
    deployment_id text default null,
    effective_from timestamptz default clock_timestamp(),
    for_all_customers boolean default false
) returns void
language plpgsql volatile security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer text := '*';
begin
    if set_threshold.for_all_customers then
        perform aximo_private.numbers_for_all();
    else
        customer := aximo_private.writing_customer(null);
    end if;
    if (
        set_threshold.metric in ('error_rate', 'sla_breach_rate', 'avg_execution_time_ms')
        and set_threshold.level in ('warning', 'escalation', 'minimum_denominator')
    ) is not true then
        raise exception using
            errcode = 'ZXARG',
            message = 'there is no such threshold',
            detail = format('metric %L, level %L', left(set_threshold.metric, 60), left(set_threshold.level, 60)),
            hint = 'A metric is error_rate, sla_breach_rate or avg_execution_time_ms; a level is warning, escalation or minimum_denominator.',
            constraint = 'threshold_known';
    end if;
    if not (set_threshold.value >= 0 and set_threshold.value < 'infinity') then
        raise exception using
            errcode = 'ZXARG',
            message = 'a threshold is a number of zero or more',
            detail = format('value %s', set_threshold.value),
            hint = 'Give 0.05 for 5 percent, milliseconds for avg_execution_time_ms, a count for minimum_denominator, or null to take back what was set before.',
            constraint = 'threshold_is_a_rate';
    end if;
    if set_threshold.deployment_id is not null and set_threshold.for_all_customers then
        raise exception using
            errcode = 'ZXARG',
            message = 'a deployment is of one customer, and the threshold was to be for all',
            detail = format('deployment_id %L', left(set_threshold.deployment_id, 60)),
            hint = 'Leave out for_all_customers, or the deployment.',
            constraint = 'deployment_of_a_customer';
    end if;
    perform aximo_private.check_effective_from(set_threshold.effective_from);
    begin
        insert into aximo_private.thresholds (customer_id, deployment_id, metric, level, value, effective_from)
        values (
            customer, set_threshold.deployment_id, set_threshold.metric, set_threshold.level, set_threshold.value,
            coalesce(set_threshold.effective_from, clock_timestamp())
        );
    exception
        when check_violation then
            raise exception using
                errcode = 'ZXARG',
                message = 'no deployment can have that name',
                detail = format('deployment_id has %s characters', char_length(set_threshold.deployment_id)),
                hint = 'A deployment_id has 1 to 255 characters and is not blank.',
                constraint = 'identifier_length';
    end;
end;
$$;
alter function aximo.set_threshold(text, text, double precision, text, timestamptz, boolean) owner to aximo_recorder;
comment on function aximo.set_threshold(text, text, double precision, text, timestamptz, boolean) is 'Sets above which rate or average aximo_metrics.alerts lists a deployment, or from which denominator on, for the session''s customer, one of its deployments, or all customers that set none. Counts for hours, days and months that end after effective_from; a value of null takes back what was set. Nothing is overwritten: aximo_metrics.thresholds is the history. ZXARG: no such threshold, or no number of zero or more; ZXCUS: no customer, or a login without all customers sets it for all.';
