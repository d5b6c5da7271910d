-- Compares each row of each view of metrics with what the events say.
create function aximo.verify_metrics()
returns table (view_name text, key jsonb, column_name text, stored jsonb, recomputed jsonb)
language plpgsql stable security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
set extra_float_digits = 1
set jit = off
as $$
#variable_conflict use_column
declare
    customer constant text := aximo.current_customer();
    up_to bigint;
    runs_up_to bigint;
begin
    if customer is null then
        raise exception using
            errcode = 'ZXCUS',
            message = 'this session reads for no customer',
            detail = format(
                'login %L, the session is of %s', session_user,
                coalesce('customer ' || quote_literal(left(nullif(current_setting('aximo.customer_id', true), ''), 60)), 'no customer')
            ),
            hint = 'Name one of the login''s customers with SET LOCAL aximo.customer_id; aximo.my_customers() lists them.',
            constraint = 'customer_granted';
    end if;
    select o.counts_up_to into up_to
    from aximo_metrics.customer_overview as o;
    select f.counts_up_to into runs_up_to
    from aximo_metrics.freshness as f
    where f.view_name = 'tool_runs';
    return query
    with
    shown as (
        -- Made by tools/metrics.py, up to the next such line.
        select
            'actions' as view_name,
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'day', v.day, 'action_type', v.action_type, 'risk_level', v.risk_level) as key,
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, day, action_type, risk_level}'::text[] as measures
        from aximo_metrics.actions as v
        union all
        select
            'actions_hourly',
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'hour', v.hour, 'action_type', v.action_type, 'risk_level', v.risk_level),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, hour, action_type, risk_level}'::text[]
        from aximo_metrics.actions_hourly as v
        union all
        select
            'actions_monthly',
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'month', v.month, 'action_type', v.action_type, 'risk_level', v.risk_level),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, month, action_type, risk_level}'::text[]
        from aximo_metrics.actions_monthly as v
        union all
        select
            'alerts',
            jsonb_build_object('deployment_id', v.deployment_id, 'day', v.day, 'metric', v.metric),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, day, metric}'::text[]
        from aximo_metrics.alerts as v
        union all
        select
            'alerts_hourly',
            jsonb_build_object('deployment_id', v.deployment_id, 'hour', v.hour, 'metric', v.metric),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, hour, metric}'::text[]
        from aximo_metrics.alerts_hourly as v
        union all
        select
            'alerts_monthly',
            jsonb_build_object('deployment_id', v.deployment_id, 'month', v.month, 'metric', v.metric),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, month, metric}'::text[]
        from aximo_metrics.alerts_monthly as v
        union all
        select
            'attribution_monthly',
            jsonb_build_object('month', v.month),
            to_jsonb(v) - '{customer_id, counts_up_to, month}'::text[]
        from aximo_metrics.attribution_monthly as v
        union all
        select
            'business_value',
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'day', v.day),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, day}'::text[]
        from aximo_metrics.business_value as v
        union all
        select
            'business_value_hourly',
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'hour', v.hour),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, hour}'::text[]
        from aximo_metrics.business_value_hourly as v
        union all
        select
            'business_value_monthly',
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'month', v.month),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, month}'::text[]
        from aximo_metrics.business_value_monthly as v
        union all
        select
            'customer_overview',
            '{}'::jsonb,
            to_jsonb(v) - '{customer_id, counts_up_to}'::text[]
        from aximo_metrics.customer_overview as v
        union all
        select
            'deployment_status',
            jsonb_build_object('deployment_id', v.deployment_id),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, error_level, sla_level}'::text[]
        from aximo_metrics.deployment_status as v
        union all
        select
            'execution_health',
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'day', v.day),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, day}'::text[]
        from aximo_metrics.execution_health as v
        union all
        select
            'execution_health_hourly',
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'hour', v.hour),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, hour}'::text[]
        from aximo_metrics.execution_health_hourly as v
        union all
        select
            'execution_health_monthly',
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'month', v.month),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, month}'::text[]
        from aximo_metrics.execution_health_monthly as v
        union all
        select
            'sla_governance',
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'day', v.day),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, day}'::text[]
        from aximo_metrics.sla_governance as v
        union all
        select
            'sla_governance_hourly',
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'hour', v.hour),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, hour}'::text[]
        from aximo_metrics.sla_governance_hourly as v
        union all
        select
            'sla_governance_monthly',
            jsonb_build_object('deployment_id', v.deployment_id, 'skill_id', v.skill_id, 'skill_version', v.skill_version, 'month', v.month),
            to_jsonb(v) - '{customer_id, counts_up_to, deployment_id, skill_id, skill_version, month}'::text[]
        from aximo_metrics.sla_governance_monthly as v
        union all
        select
            'tool_runs',
            jsonb_build_object('tool_name', v.tool_name, 'day', v.day),
            to_jsonb(v) - '{customer_id, counts_up_to, tool_name, day}'::text[]
        from aximo_metrics.tool_runs as v
        union all
        select
            'tool_runs_by_status',
            jsonb_build_object('tool_name', v.tool_name, 'status', v.status, 'day', v.day),
            to_jsonb(v) - '{customer_id, counts_up_to, tool_name, status, day}'::text[]
        from aximo_metrics.tool_runs_by_status as v
        -- Up to here.
    ),
    -- The view has a hash for each type that is no short text; the recomputation has one name for all of them.
    named as (
        select
            s.view_name, s.measures, h.is_hashed,
            case when h.is_hashed then s.key || '{"action_type": "(no short text)"}' else s.key end as key
        from shown as s
        cross join lateral (select coalesce(s.key ->> 'action_type' ~ '^(sha256|json) ', false) as is_hashed) as h
    ),
    in_view as (
        select s.view_name, s.key, m.key as column_name, m.value
        from named as s
        cross join lateral jsonb_each(s.measures) as m
        where s.view_name !~ '^actions'
        union all
        select s.view_name, s.key, m.key, to_jsonb(sum((m.value #>> '{}')::numeric))
        from (select a.*, row_number() over () as place from named as a where a.view_name ~ '^actions') as s
        cross join lateral jsonb_each(s.measures) as m
        group by s.view_name, s.key, m.key, case when s.is_hashed then 0 else s.place end
    ),
    in_events as (
        select r.view_name, r.key, m.key as column_name, m.value
        from aximo.recompute_metrics(coalesce(up_to, 0)) as r
        cross join lateral jsonb_each(r.measures) as m
        union all
        select r.view_name, r.key, m.key as column_name, m.value
        from aximo.recompute_run_metrics(coalesce(runs_up_to, 0)) as r
        cross join lateral jsonb_each(r.measures) as m
    )
    select
        coalesce(v.view_name, e.view_name), coalesce(v.key, e.key), coalesce(v.column_name, e.column_name), v.value, e.value
    from (
        select i.*, count(*) over (partition by i.view_name, i.key, i.column_name) as times
        from in_view as i
    ) as v
    full join in_events as e on e.view_name = v.view_name and e.key = v.key and e.column_name = v.column_name
    -- A row that appears twice would be counted twice.
    where v.value is null or e.value is null or v.times > 1
        or case
            when jsonb_typeof(v.value) = 'number' and jsonb_typeof(e.value) = 'number' then
                -- Percentiles are rounded to 2 percent, rates and averages to what a float holds. Counts and sums are exact.
                abs(v.value::numeric - e.value::numeric) > abs(e.value::numeric) * case
                    when v.column_name ~ '_p[0-9]+_ms$' then 0.02
                    when v.column_name ~ '(_rate|_avg_ms|^value|^threshold)$' then 1e-12
                    else 0
                end
            else v.value <> e.value
        end
    order by 1, 2, 3;
end;
$$;
comment on function aximo.verify_metrics() is 'Where the metrics of the session''s customer differ from what its events say, up to the log number that they count up to; no rows if nowhere. Reads everything. Percentiles may be 2 percent off; levels, which follow from a rate and the thresholds of the moment, are not compared. ZXCUS: no customer.';
