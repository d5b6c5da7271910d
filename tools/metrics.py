"""Makes of one declaration what says the same of every measure and every grain: sums, counting, what is published, views.

A measure is declared here once, a grain once, a column of a view once. What recomputes the metrics is written by hand and
shares nothing with this file.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parent.parent / "sql" / "09_metrics"
MADE = "-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.\n"


class Sum(NamedTuple):
    """A measure that is added up: its column, its type, how facts give it, and what it says."""

    name: str
    type: str
    of_facts: str
    comment: str


class Column(NamedTuple):
    """A column that is published: what it is of the sums ``r`` and the percentiles ``p``. ``{in}`` is the grain's word."""

    name: str
    of_sums: str
    comment: str


class Shown(NamedTuple):
    """A column of a public view, of a published one; with its own words, if those differ."""

    name: str
    published: str = ""
    comment: str = ""


class Grain(NamedTuple):
    """An hour, a day or a month of UTC."""

    name: str
    suffix: str
    column: str
    comment: str
    word: str
    ends: str


class Family(NamedTuple):
    """Views of one kind that differ by their grain only."""

    name: str
    kind: str
    comment: str
    key: list[Shown]
    columns: list[Shown]


def _counted(event_type: str) -> Sum:
    return Sum(
        event_type,
        "bigint",
        f"count(*) filter (where f.event_type = '{event_type}')",
        f"How many {event_type} events.",
    )


SUMS = [
    Sum("events", "bigint", "count(f.event_type)", "How many events."),
    *(
        _counted(name)
        for name in (
            "execution_triggered", "execution_completed", "execution_failed", "action_dispatched", "approval_requested",
            "approval_granted", "approval_rejected", "approval_timeout", "sla_breached", "escalation_triggered",
            "pressure_invoked", "deployment_suspended",
        )
    ),
    Sum("leads", "bigint", "count(*) filter (where f.is_lead)", "How many leads."),
    Sum("emergency_leads", "bigint", "count(*) filter (where f.is_lead and f.is_emergency)", "How many of them with payload.priority high, or payload.emergency true."),
    Sum("opened", "bigint", "count(*) filter (where f.is_opened)", "How many executions were triggered for the first time."),
    Sum("closed", "bigint", "count(*) filter (where f.is_closed)", "How many of those have ended, whenever that was."),
    Sum("answered", "bigint", "count(*) filter (where f.is_answered)", "How many of the approvals requested have been answered, whenever that was."),
    Sum("executions", "bigint", "count(f.execution_us)", "How many executions ended, of those whose start is known."),
    Sum("execution_us", "numeric", "coalesce(sum(f.execution_us), 0)", "Their time from trigger to end, summed up, in microseconds."),
    Sum("latencies", "bigint", "count(f.latency_ms)", "How many events state latency_ms."),
    Sum("latency_ms", "numeric", "coalesce(sum(f.latency_ms), 0)", "Those, summed up."),
    Sum("delays", "bigint", "count(f.delay_us)", "How many approvals were answered."),
    Sum("delay_us", "numeric", "coalesce(sum(f.delay_us), 0)", "Their time from request to answer, summed up, in microseconds."),
]  # fmt: skip
PERCENTILES = [(kind, share) for kind in ("execution", "latency") for share in (50, 95, 99)]


def _percentiles(column: str, kind: str, verb: str) -> list[Column]:
    return [
        Column(
            f"{column}_p{share}_ms",
            f"aximo_private.histogram_value(p.{kind}_p{share}) / 1000",
            f"Half of them {verb} at most so many milliseconds: the value of rank ceil(0.50 n), at most 2 % off."
            if share == 50
            else f"{share} % of them {verb} at most so many milliseconds, at most 2 % off.",
        )
        for share in (50, 95, 99)
    ]


PUBLISHED = [
    Column("events", "r.events", "How many events of any type {in}."),
    Column("triggered", "r.execution_triggered", "How many executions were triggered {in}."),
    Column("completed", "r.execution_completed", "How many completed {in}."),
    Column("failed", "r.execution_failed", "How many failed {in}."),
    Column("open", "r.opened - r.closed", "How many of those triggered {in} have not ended yet."),
    Column("error_rate", "r.execution_failed::double precision / nullif(r.execution_triggered, 0)", "failed / triggered; null if none was triggered."),
    Column("execution_time_count", "r.executions", "How many executions that ended {in} have a known start."),
    Column("execution_time_sum_ms", "(r.execution_us / 1000)::numeric(38, 3)", "Their time from trigger to end, by the events' timestamps, summed up, in milliseconds."),
    Column("execution_time_avg_ms", "(r.execution_us / nullif(r.executions, 0))::double precision / 1000", "execution_time_sum_ms / execution_time_count."),
    *_percentiles("execution_time", "execution", "took"),
    Column("latency_count", "r.latencies", "How many events {in}, of any type, state latency_ms."),
    Column("latency_sum_ms", "r.latency_ms::numeric(38, 3)", "Those latencies, summed up, in milliseconds."),
    Column("latency_avg_ms", "(r.latency_ms / nullif(r.latencies, 0))::double precision", "latency_sum_ms / latency_count."),
    *_percentiles("latency", "latency", "are"),
    Column("actions_dispatched", "r.action_dispatched", "How many actions were dispatched {in}."),
    Column("leads", "r.leads", "How many leads {in}: action_dispatched with a payload.action_type that lead_action_types lists."),
    Column("lead_conversion_rate", "r.leads::double precision / nullif(r.execution_triggered, 0)", "leads / conversations; null if there were none."),
    Column("emergency_leads", "r.emergency_leads", "How many of the leads say payload.priority = \"high\" or payload.emergency = true."),
    Column("approvals_requested", "r.approval_requested", "How many approvals were requested {in}."),
    Column("approvals_granted", "r.approval_granted", "How many were granted {in}."),
    Column("approvals_rejected", "r.approval_rejected", "How many were rejected {in}."),
    Column("approvals_timed_out", "r.approval_timeout", "How many timed out {in}."),
    Column("approvals_open", "r.approval_requested - r.answered", "How many of those requested {in} are not answered yet."),
    Column("approval_delay_count", "r.delays", "How many answers {in}, timeouts included, have a known request."),
    Column("approval_delay_sum_ms", "(r.delay_us / 1000)::numeric(38, 3)", "Their time from request to answer, summed up, in milliseconds."),
    Column("approval_delay_avg_ms", "(r.delay_us / nullif(r.delays, 0))::double precision / 1000", "approval_delay_sum_ms / approval_delay_count."),
    Column("sla_breaches", "r.sla_breached", "How many service levels were missed {in}: sla_breached."),
    Column("sla_breach_rate", "r.sla_breached::double precision / nullif(r.execution_completed, 0)", "sla_breaches / completed; null if none completed."),
    Column("escalations", "r.escalation_triggered", "How many escalations {in}: escalation_triggered."),
    Column("pressure_invocations", "r.pressure_invoked", "How often pressure was invoked {in}."),
    Column("suspensions", "r.deployment_suspended", "How often a deployment was suspended {in}."),
]  # fmt: skip

GRAINS = [
    Grain("day", "", "(m.bucket at time zone 'UTC')::date", "The day, UTC.", "on this day", "m.bucket + interval '24 hours'"),
    Grain("hour", "_hourly", "m.bucket", "When the hour begins.", "in this hour", "m.bucket + interval '1 hour'"),
    Grain("month", "_monthly", "(m.bucket at time zone 'UTC')::date", "The month, UTC, by its first day.", "in this month", "((m.bucket at time zone 'UTC') + interval '1 month') at time zone 'UTC'"),
]  # fmt: skip

SERIES = [
    Shown("deployment_id", comment="The deployment."),
    Shown("skill_id", comment="The skill."),
    Shown("skill_version", comment="Its version."),
]
FAMILIES = [
    Family(
        "execution_health", "activity", "How executions go", [],
        [Shown(name) for name in (
            "triggered", "completed", "failed", "open", "error_rate", "execution_time_count", "execution_time_sum_ms",
            "execution_time_avg_ms", "execution_time_p50_ms", "execution_time_p95_ms", "execution_time_p99_ms", "latency_count",
            "latency_sum_ms", "latency_avg_ms", "latency_p50_ms", "latency_p95_ms", "latency_p99_ms",
        )],
    ),
    Family(
        "business_value", "activity", "What executions bring", [],
        [
            Shown("conversations", "triggered", "How many conversations {in}: executions triggered."),
            *map(Shown, ("actions_dispatched", "leads", "lead_conversion_rate", "emergency_leads")),
            Shown("response_latency_count", "latency_count"),
            Shown("response_latency_sum_ms", "latency_sum_ms"),
            Shown("response_latency_avg_ms", "latency_avg_ms", "response_latency_sum_ms / response_latency_count."),
        ],
    ),
    Family(
        "sla_governance", "activity", "Approvals, service levels and escalations", [],
        [
            *map(Shown, (
                "approvals_requested", "approvals_granted", "approvals_rejected", "approvals_timed_out", "approvals_open",
                "approval_delay_count", "approval_delay_sum_ms", "approval_delay_avg_ms",
            )),
            Shown("completed", comment="How many executions completed {in}."),
            *map(Shown, ("sla_breaches", "sla_breach_rate", "escalations", "pressure_invocations", "suspensions")),
        ],
    ),
    Family(
        "actions", "actions", "Actions by type and risk",
        [
            Shown("action_type", comment="payload.action_type, a number or true as the text it is written with; null if the events say none. A hash, if it is longer than 255 bytes, an object, an array or a number beyond 1e100."),
            Shown("risk_level", comment="The risk the events state; null if they state none."),
        ],
        [Shown(name, comment=f"How many {verb} {{in}}.") for name, verb in (("prepared", "were prepared"), ("dispatched", "were dispatched"), ("failed", "failed"))],
    ),
]  # fmt: skip
ALERTS = [
    ("deployment_id", "The deployment."),
    ("{grain}", "{grain_comment}"),
    ("metric", "error_rate, sla_breach_rate or avg_execution_time_ms."),
    ("level", "warning or escalation: the highest threshold it is above."),
    ("value", "The rate, or the average in milliseconds: numerator / denominator."),
    ("threshold", "The threshold it is above: the latest that takes effect before the {name} ends."),
    (
        "numerator",
        "error_rate: executions failed. sla_breach_rate: service levels missed. avg_execution_time_ms: milliseconds from trigger to end, summed up and rounded.",
    ),
    (
        "denominator",
        "error_rate: executions triggered. sla_breach_rate: executions completed. avg_execution_time_ms: executions that ended and have a known start.",
    ),
]
# Views that come in one form only, by hand: their keys, whether they count runs, and what is not compared.
BY_HAND: list[tuple[str, tuple[str, ...], bool, tuple[str, ...]]] = [
    ("attribution_monthly", ("month",), False, ()),
    ("customer_overview", (), False, ()),
    ("deployment_status", ("deployment_id",), False, ("error_level", "sla_level")),
    ("tool_runs", ("tool_name", "day"), True, ()),
    ("tool_runs_by_status", ("tool_name", "status", "day"), True, ()),
]
FENCE = """\
-- What a query asks for is looked at after this: else EXPLAIN ANALYZE shows whether it met another customer's row.
offset 0;
"""
COUNTS_UP_TO = """\
    (
        select c.number
        from aximo_private.counted_kept as c
        where c.customer_id = (select aximo.current_customer()) and c.log = 'events'
    ) as counts_up_to
"""
WHOSE = "Whose: always the session's customer."
UP_TO = "The log number up to which it counts."


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _commented(what: str, name: str, comment: str, columns: list[tuple[str, str]]) -> str:
    lines = [f"comment on {what} {name} is {_quoted(comment)};"]
    lines += [f"comment on column {name}.{column} is {_quoted(text)};" for column, text in columns]
    return "\n".join(lines) + "\n"


def _listed(lines: list[str], indent: int) -> str:
    return ",\n".join(" " * indent + line for line in lines)


def activity_sums() -> str:
    """The table of sums."""
    head = [
        ("customer_id", 'text collate "C" not null', "Whose events."),
        ("grain", 'text collate "C" not null', "hour, day, month or customer."),
        ("bucket", "timestamptz not null", "When the hour, day or month of UTC begins; -infinity for all that a customer has."),
        ("series", "uuid not null", "Deployment, skill and version, hashed: short enough for an index. Of a customer, of nothing."),
        ("deployment_id", 'text collate "C"', "The deployment; null for a customer."),
        ("skill_id", 'text collate "C"', "The skill; null for a customer."),
        ("skill_version", 'text collate "C"', "Its version; null for a customer."),
    ]  # fmt: skip
    tail = [
        ("bins", "smallint[]", "The bins of times in microseconds that have any, in order: see aximo_private.histogram_bin. Null if none."),
        ("bin_executions", "bigint[]", "How many executions took so long, for each of the bins."),
        ("bin_latencies", "bigint[]", "How many latencies are so long, for each of the bins."),
        ("changed_in", "bigint not null", "The step that changed it last, as metric_state.steps counts them."),
    ]  # fmt: skip
    columns = [*head, *((s.name, f"{s.type} not null", s.comment) for s in SUMS), *tail]
    grains = ", ".join(_quoted(name) for name in ("hour", "day", "month", "customer"))
    body = _listed(
        [f"{name} {type_}" for name, type_, _ in columns]
        + [
            "constraint activity_sums_pkey primary key (customer_id, grain, bucket, series)",
            f"constraint grain_known check (grain in ({grains}))",
        ],
        4,
    )
    name = "aximo_private.activity_sums"
    return f"""\
{MADE}-- One row a bucket. Its distribution stands in it: bins add up as all the rest does, percentiles do not. Counting takes the rows it adds
-- to away and writes them anew, so the table is vacuumed early.
create table {name} (
{body}
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1);
create index activity_sums_changed on {name} (changed_in);
select aximo_private.keep_sums('{name}');

""" + _commented(
        "table",
        name,
        "What happened, summed up per deployment, skill, version and time, and per customer. Kept by aximo.count_metrics.",
        [(column, comment) for column, _, comment in columns],
    )


def count_activity() -> str:
    """What adds facts to the sums."""
    names = [s.name for s in SUMS]
    return f"""\
{MADE}-- Adds facts to the sums of all grains. The rows they belong to are taken away, and written anew with both added up.
create function aximo_private.count_activity(facts aximo_private.fact[], step bigint) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    with
    hourly as materialized (
        select
            row_number() over () as hour_id, h.*,
            aximo_private.series_key(array[h.deployment_id, h.skill_id, h.skill_version]) as series
        from (
            select
                f.customer_id, f.deployment_id, f.skill_id, f.skill_version, f.hour,
{_listed([f"{s.of_facts} as {s.name}" for s in SUMS], 16)},
                array_agg(aximo_private.histogram_bin(f.execution_us)) filter (where f.execution_us is not null) as execution_bins,
                array_agg(aximo_private.histogram_bin(f.latency_ms * 1000::double precision)) filter (
                    where f.latency_ms is not null
                ) as latency_bins
            from unnest(facts) as f
            group by f.customer_id, f.deployment_id, f.skill_id, f.skill_version, f.hour
        ) as h
    ),
    -- The rows of sums that an hour of a series belongs to.
    part as materialized (
        select dense_rank() over (order by h.customer_id, t.grain, t.bucket, t.series) as id, h.hour_id, h.customer_id, t.*
        from hourly as h
        cross join lateral (
            values
            ('hour', h.hour, h.series, h.deployment_id, h.skill_id, h.skill_version),
            ('day', date_trunc('day', h.hour, 'UTC'), h.series, h.deployment_id, h.skill_id, h.skill_version),
            ('month', date_trunc('month', h.hour, 'UTC'), h.series, h.deployment_id, h.skill_id, h.skill_version),
            ('customer', '-infinity', '00000000-0000-0000-0000-000000000000'::uuid, null, null, null)
        ) as t (grain, bucket, series, deployment_id, skill_id, skill_version)
    ),
    target as materialized (
        select distinct on (p.id)
            p.id, p.customer_id, p.grain, p.bucket, p.series, p.deployment_id, p.skill_id, p.skill_version
        from part as p
        order by p.id
    ),
    old as materialized (
        delete from only aximo_private.activity_sums as s
        using target as t
        where s.customer_id = t.customer_id and s.grain = t.grain and s.bucket = t.bucket and s.series = t.series
        returning t.id, s.*
    ),
    summed as (
        select
            u.id,
{_listed([f"sum(u.{name}) as {name}" for name in names], 12)}
        from (
            select
                p.id,
{_listed([f"h.{name}" for name in names], 16)}
            from part as p
            inner join hourly as h on h.hour_id = p.hour_id
            union all
            select
                o.id,
{_listed([f"o.{name}" for name in names], 16)}
            from old as o
        ) as u
        group by u.id
    ),
    binned as (
        select b.id, b.bin, sum(b.executions) as executions, sum(b.latencies) as latencies
        from (
            select p.id, v.bin, 1 as executions, 0 as latencies
            from part as p
            inner join hourly as h on h.hour_id = p.hour_id
            cross join unnest(h.execution_bins) as v (bin)
            union all
            select p.id, v.bin, 0, 1
            from part as p
            inner join hourly as h on h.hour_id = p.hour_id
            cross join unnest(h.latency_bins) as v (bin)
            union all
            select o.id, v.bin, v.executions, v.latencies
            from old as o
            cross join unnest(o.bins, o.bin_executions, o.bin_latencies) as v (bin, executions, latencies)
        ) as b
        group by b.id, b.bin
    ),
    shaped as (
        select
            b.id, array_agg(b.bin::smallint order by b.bin) as bins, array_agg(b.executions::bigint order by b.bin) as executions,
            array_agg(b.latencies::bigint order by b.bin) as latencies
        from binned as b
        group by b.id
    )
    insert into aximo_private.activity_sums
    select
        t.customer_id, t.grain, t.bucket, t.series, t.deployment_id, t.skill_id, t.skill_version,
{_listed([f"s.{name}" for name in names], 8)},
        d.bins, d.executions, d.latencies, count_activity.step
    from target as t
    inner join summed as s on s.id = t.id
    left join shaped as d on d.id = t.id;
end;
$$;
alter function aximo_private.count_activity(aximo_private.fact[], bigint) owner to aximo_sequencer;
comment on function aximo_private.count_activity(aximo_private.fact[], bigint) is
'Adds facts to aximo_private.activity_sums, in all grains. Which of them came first makes no difference.';
"""


def activity_to_publish() -> str:
    """What the materialized view works out."""
    head = ["customer_id", "grain", "bucket", "series", "deployment_id", "skill_id", "skill_version"]
    filters = [
        f"min(c.bin) filter (where c.{kind}s_so_far >= ceil({share / 100:.2f} * c.all_{kind}s)) as {kind}_p{share}"
        for kind, share in PERCENTILES
    ]
    filters = [each.replace("latencys", "latencies") for each in filters]
    name = "aximo_private.activity_to_publish"
    comments = [(c.name, c.comment.replace("{in}", "in this time")) for c in PUBLISHED]
    columns = [f"r.{each}" for each in head]
    columns += [c.of_sums if c.of_sums == f"r.{c.name}" else f"{c.of_sums} as {c.name}" for c in PUBLISHED]
    return f"""\
{MADE}-- A row of sums as it is published: durations, rates, and percentiles out of the bins.
create view {name} with (security_barrier = true) as
select
{_listed([*columns, "r.changed_in"], 4)}
from aximo_private.activity_sums as r
left join lateral (
    select
{_listed(filters, 8)}
    from (
        -- Up to each bin, and in all; null, and above no rank, if there are none.
        select
            b.bin,
            sum(b.executions) over (order by b.bin) as executions_so_far,
            nullif(sum(b.executions) over (), 0) as all_executions,
            sum(b.latencies) over (order by b.bin) as latencies_so_far,
            nullif(sum(b.latencies) over (), 0) as all_latencies
        from unnest(r.bins, r.bin_executions, r.bin_latencies) as b (bin, executions, latencies)
    ) as c
) as p on true;
alter view {name} owner to aximo_meter;

""" + _commented("view", name, "Every row of activity_sums as it is published.", comments)


def grain_view(family: Family, grain: Grain) -> tuple[str, str]:
    """A view of a family by hour, day or month: its name and its file."""
    view = family.name + grain.suffix
    published = {c.name: c for c in PUBLISHED}
    key = [*SERIES, Shown(grain.name, comment=grain.comment), *family.key]
    columns = ["m.customer_id"]
    columns += [f"{grain.column} as {grain.name}" if each.name == grain.name else f"m.{each.name}" for each in key]
    for each in family.columns:
        source = each.published or each.name
        columns.append(f"m.{source}" if source == each.name else f"m.{source} as {each.name}")
    comments = [("customer_id", WHOSE)]
    for each in (*key, *family.columns):
        text = each.comment or published[each.published or each.name].comment
        comments.append((each.name, text.replace("{in}", grain.word)))
    comments.append(("counts_up_to", UP_TO))
    name = f"aximo_metrics.{view}"
    text = f"""\
{MADE}create view {name} with (security_barrier = true) as
select
{_listed(columns, 4)},
{COUNTS_UP_TO}from aximo_private.{family.kind}_kept as m
where m.customer_id = (select aximo.current_customer()) and m.grain = '{grain.name}'
{FENCE}
""" + _commented(
        "view", name, f"{family.comment}, by {grain.name}. Key: {', '.join(each.name for each in key)}.", comments
    )
    return view, text


def alerts_view(grain: Grain) -> tuple[str, str]:
    """The alerts of a grain: their name and their file."""
    view = "alerts" + grain.suffix
    name = f"aximo_metrics.{view}"
    words = {"{grain}": grain.name, "{grain_comment}": grain.comment, "{name}": grain.name}
    comments = [("customer_id", WHOSE)]
    for column, comment in ALERTS:
        for placeholder, word in words.items():
            column, comment = column.replace(placeholder, word), comment.replace(placeholder, word)
        comments.append((column, comment))
    comments.append(("counts_up_to", UP_TO))
    text = f"""\
{MADE}create view {name} with (security_barrier = true) as
select
    m.customer_id,
    m.deployment_id,
    {grain.column} as {grain.name},
    m.metric,
    case when m.value > t.escalation then 'escalation' else 'warning' end as level,
    m.value,
    case when m.value > t.escalation then t.escalation else t.warning end as threshold,
    least(round(m.numerator), 9223372036854775807)::bigint as numerator,
    m.denominator,
{COUNTS_UP_TO}from (
    select
        r.customer_id,
        r.deployment_id,
        r.bucket,
        v.metric,
        v.numerator,
        v.denominator,
        v.numerator::double precision / v.denominator as value
    from (
        select
            s.customer_id,
            s.deployment_id,
            s.bucket,
            sum(s.failed)::bigint as failed,
            sum(s.triggered)::bigint as triggered,
            sum(s.sla_breaches)::bigint as sla_breaches,
            sum(s.completed)::bigint as completed,
            sum(s.execution_time_sum_ms) as execution_time_sum_ms,
            sum(s.execution_time_count)::bigint as execution_time_count
        from aximo_private.activity_kept as s
        where s.customer_id = (select aximo.current_customer()) and s.grain = '{grain.name}'
        group by s.customer_id, s.deployment_id, s.bucket
    ) as r
    cross join lateral (
        values
        ('error_rate', r.failed::numeric, r.triggered),
        ('sla_breach_rate', r.sla_breaches::numeric, r.completed),
        ('avg_execution_time_ms', r.execution_time_sum_ms, r.execution_time_count)
    ) as v (metric, numerator, denominator)
    where v.numerator > 0 and v.denominator > 0
    offset 0
) as m
cross join lateral (
    select
        aximo_private.threshold_at(m.deployment_id, m.metric, 'warning', e.bucket_end) as warning,
        aximo_private.threshold_at(m.deployment_id, m.metric, 'escalation', e.bucket_end) as escalation,
        aximo_private.threshold_at(m.deployment_id, m.metric, 'minimum_denominator', e.bucket_end) as minimum
    from (select {grain.ends} as bucket_end) as e
) as t
where (m.value > t.escalation or m.value > t.warning) and m.denominator >= coalesce(t.minimum, 0)
{FENCE}
""" + _commented(
        "view",
        name,
        f"Rates and averages above their threshold, by {grain.name}, one row a deployment and metric. Key: deployment_id, {grain.name}, metric.",
        comments,
    )
    return view, text


def keys() -> list[tuple[str, tuple[str, ...], bool, tuple[str, ...]]]:
    """Every view that counts: its key, whether it counts runs, what of it is not compared."""
    found = list(BY_HAND)
    for grain in GRAINS:
        for family in FAMILIES:
            key = [*(each.name for each in SERIES), grain.name, *(each.name for each in family.key)]
            found.append((family.name + grain.suffix, tuple(key), False, ()))
        found.append(("alerts" + grain.suffix, ("deployment_id", grain.name, "metric"), False, ()))
    return sorted(found)


def freshness_rows() -> str:
    """Every view, and which log it counts."""
    return ",\n".join(f"    ({_quoted(view)}, {str(of_runs).lower()})" for view, _, of_runs, _ in keys()) + "\n"


def shown_rows() -> str:
    """Every row of every view, as a key and what is measured."""
    parts = []
    for number, (view, key, _, left_out) in enumerate(keys()):
        build = ", ".join(f"'{column}', v.{column}" for column in key)
        first = number == 0
        parts.append(
            f"""\
        select
            '{view}'{" as view_name" if first else ""},
            {f"jsonb_build_object({build})" if key else "'{}'::jsonb"}{" as key" if first else ""},
            to_jsonb(v) - '{{{", ".join(("customer_id", "counts_up_to", *key, *left_out))}}}'::text[]{" as measures" if first else ""}
        from aximo_metrics.{view} as v
"""
        )
    return "        union all\n".join(parts)


def _with_region(path: Path, made: str) -> str:
    """The file, with what stands between its two marks made anew."""
    text = path.read_text(encoding="utf-8")
    pattern = r"(?m)^( *-- Made by tools/metrics\.py, up to the next such line\.\n)(?s:.*?)(^ *-- Up to here\.\n)"
    found, count = re.subn(pattern, lambda match: match[1] + made + match[2], text)
    if count != 1:
        sys.exit(f"{path}: no place for what is made")
    return found


def made() -> dict[Path, str]:
    """Every file that is made, by its path."""
    files = {
        "activity_sums": activity_sums(),
        "count_activity": count_activity(),
        "activity_to_publish": activity_to_publish(),
    }
    for grain in GRAINS:
        files |= dict(grain_view(family, grain) for family in FAMILIES)
        files |= dict([alerts_view(grain)])
    found = {FOLDER / f"{name}.sql": text for name, text in files.items()}
    for name, rows in (("freshness", freshness_rows()), ("verify_metrics", shown_rows())):
        found[FOLDER / f"{name}.sql"] = _with_region(FOLDER / f"{name}.sql", rows)
    return found
