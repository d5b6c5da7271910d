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


class Table(NamedTuple):
    """A table of sums: its columns with their types and comments, and what is unique of a row."""

    name: str
    comment: str
    columns: list[tuple[str, str, str]]
    key: str
    grains: tuple[str, ...] = ()
    about: str = ""


class View(NamedTuple):
    """A view that comes in one form only: its columns out of the rows ``m`` that are kept of its kind."""

    name: str
    kind: str
    comment: str
    columns: list[Column]
    joined: str = ""
    further: str = ""
    log: str = "events"
    up_to: str = "The log number up to which it counts."


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
CHANGED_IN = "The step that changed it last, as metric_state.steps counts them."
TABLES = [
    Table(
        "activity_sums", "What happened, summed up per deployment, skill, version and time, and per customer. Kept by aximo.count_metrics.",
        [
            ("customer_id", 'text collate "C" not null', "Whose events."),
            ("grain", 'text collate "C" not null', "hour, day, month or customer."),
            ("bucket", "timestamptz not null", "When the hour, day or month of UTC begins; -infinity for all that a customer has."),
            ("series", "uuid not null", "Deployment, skill and version, hashed: short enough for an index. Of a customer, of nothing."),
            ("deployment_id", 'text collate "C"', "The deployment; null for a customer."),
            ("skill_id", 'text collate "C"', "The skill; null for a customer."),
            ("skill_version", 'text collate "C"', "Its version; null for a customer."),
            *((each.name, f"{each.type} not null", each.comment) for each in SUMS),
            ("bins", "smallint[]", "The bins of times in microseconds that have any, in order: see aximo_private.histogram_bin. Null if none."),
            ("bin_executions", "bigint[]", "How many executions took so long, for each of the bins."),
            ("bin_latencies", "bigint[]", "How many latencies are so long, for each of the bins."),
        ],
        "customer_id, grain, bucket, series", ("hour", "day", "month", "customer"),
        about="-- One row a bucket. Its distribution stands in it: bins add up as all the rest does, percentiles do not. Counting takes the rows it adds\n-- to away and writes them anew, so the table is vacuumed early.\n",
    ),
    Table(
        "action_sums", "Actions, summed up per deployment, skill, version, type, risk and time. Kept by aximo.count_metrics.",
        [
            ("customer_id", 'text collate "C" not null', "Whose events."),
            ("grain", 'text collate "C" not null', "hour, day or month."),
            ("bucket", "timestamptz not null", "When the hour, day or month of UTC begins."),
            ("series", "uuid not null", "Deployment, skill, version, type and risk, hashed: short enough for an index."),
            ("deployment_id", 'text collate "C" not null', "The deployment."),
            ("skill_id", 'text collate "C" not null', "The skill."),
            ("skill_version", 'text collate "C" not null', "Its version."),
            ("action_type", 'text collate "C"', "payload.action_type; null if it says none. Its hash, if it is longer than 255 bytes, or has no short text."),
            ("risk_level", 'text collate "C"', "The risk the event states; null if it states none."),
            ("prepared", "bigint not null", "How many were prepared."),
            ("dispatched", "bigint not null", "How many were dispatched."),
            ("failed", "bigint not null", "How many failed."),
            ("emergencies", "bigint not null", "How many of those dispatched say payload.priority high, or payload.emergency true."),
        ],
        "customer_id, grain, bucket, series", ("hour", "day", "month"),
        about="-- Actions by their type and risk, otherwise as in activity_sums.\n",
    ),
    Table(
        "deployment_sums", "State, version, latest execution and totals of each deployment. Kept by aximo.count_metrics.",
        [
            ("customer_id", 'text collate "C" not null', "Whose deployment."),
            ("deployment_id", 'text collate "C" not null', "The deployment."),
            ("first_event_at", "timestamptz not null", "The earliest timestamp of its events."),
            ("last_event_at", "timestamptz not null", "The latest timestamp of its events."),
            ("status_type", 'text collate "C"', "The type of the latest event that says in which state it is."),
            ("status_at", "timestamptz", "Its timestamp."),
            ("status_number", "bigint", "Its log number."),
            ("declared_skill", 'text collate "C"', "The skill of the latest event that declares one."),
            ("declared_version", 'text collate "C"', "Its version."),
            ("declared_at", "timestamptz", "Its timestamp."),
            ("declared_number", "bigint", "Its log number."),
            ("executed_skill", 'text collate "C"', "The skill of the execution triggered last."),
            ("executed_version", 'text collate "C"', "Its version."),
            ("executed_at", "timestamptz", "Its timestamp."),
            ("executed_number", "bigint", "Its log number."),
            ("events", "bigint not null", "How many events."),
            ("triggered", "bigint not null", "How many execution_triggered events."),
            ("completed", "bigint not null", "How many execution_completed events."),
            ("failed", "bigint not null", "How many execution_failed events."),
            ("open", "bigint not null", "How many executions have begun and not ended."),
            ("upgrades", "bigint not null", "How many version_upgraded events."),
            ("rollbacks", "bigint not null", "How many version_rolled_back events."),
            ("sla_breaches", "bigint not null", "How many sla_breached events."),
        ],
        "customer_id, deployment_id",
        about="-- One row a deployment: what its latest events say, by timestamp, and by log number where timestamps are equal; and its totals.\n",
    ),
    Table(
        "run_sums", "What happened to runs, per tool, state and day. Kept by aximo.count_metrics.",
        [
            ("customer_id", 'text collate "C" not null', "Whose runs."),
            ("tool_name", 'text collate "C" not null', "The tool."),
            ("state", 'text collate "C" not null', "What was said of the run: started, queued, running, succeeded, failed or blocked."),
            ("day", "timestamptz not null", "When the day of UTC begins, by the event's ts."),
            ("events", "bigint not null", "How many events said so."),
            ("waits", "bigint not null", "Of state running: how many had been queued before."),
            ("wait_us", "numeric not null", "The time they had been, summed up, in microseconds."),
            ("runs", "bigint not null", "Of states succeeded, failed and blocked: of how many the beginning is known."),
            ("run_us", "numeric not null", "The time from there to the end, summed up, in microseconds."),
        ],
        "customer_id, day, tool_name, state",
        about="-- What happened to runs, summed up per tool, state and day.\n",
    ),
    Table(
        "counted_logs", "Up to which log number the sums count, per log. Kept by aximo.count_metrics.",
        [
            ("customer_id", 'text collate "C" not null', "Whose log."),
            ("log", 'text collate "C" not null', "Which of the customer's logs: events or run_events."),
            ("number", "bigint not null", "The log number up to which it is counted."),
            ("failed_at", "timestamptz", "When it could not be counted further; null if it can."),
        ],
        "customer_id, log",
        about="-- How much of each log is counted. A log that could not be counted is left alone until aximo.recount_metrics tries it again.\n",
    ),
]  # fmt: skip
PUBLISHED_DEPLOYMENTS: list[str | Column] = [
    "customer_id",
    "deployment_id",
    Column("skill_id", "coalesce(r.declared_skill, r.executed_skill)", "The skill: as last declared, else as last executed."),
    Column("skill_version", "coalesce(r.declared_version, r.executed_version)", "Its version: as last declared, else as last executed."),
    Column("status", '''case r.status_type
        when 'deployment_created' then 'pending_configuration'
        when 'deployment_configured' then 'configured'
        when 'deployment_activated' then 'active'
        when 'deployment_suspended' then 'suspended'
        when 'deployment_terminated' then 'terminated'
        else 'undeclared'
    end collate "C"''', "As in aximo.deployments."),
    Column("status_since", "r.status_at", "Since when."),
    "upgrades",
    "rollbacks",
    Column("last_execution_at", "r.executed_at", "When an execution was last triggered."),
    "first_event_at",
    "last_event_at",
    "events",
    "triggered",
    "completed",
    "failed",
    "open",
    Column("error_rate", "r.failed::double precision / nullif(r.triggered, 0)", "failed / triggered; null if none was triggered."),
    "sla_breaches",
    Column("sla_breach_rate", "r.sla_breaches::double precision / nullif(r.completed, 0)", "sla_breaches / completed; null if none completed."),
]  # fmt: skip
PUBLISHED_RUNS: list[str | Column] = [
    "customer_id",
    "tool_name",
    "state",
    "day",
    "events",
    "waits",
    Column("wait_ms", "(r.wait_us / 1000)::numeric(38, 3)", "The time they had been, summed up, in milliseconds."),
    Column("wait_avg_ms", "(r.wait_us / nullif(r.waits, 0))::double precision / 1000", "wait_ms / waits."),
    "runs",
    Column("run_ms", "(r.run_us / 1000)::numeric(38, 3)", "The time from there to the end, summed up, in milliseconds."),
    Column("run_avg_ms", "(r.run_us / nullif(r.runs, 0))::double precision / 1000", "run_ms / runs."),
]  # fmt: skip
VIEWS = [
    View(
        "deployment_status", "deployments", "Each deployment: its state, and its totals since the beginning. Key: deployment_id.",
        [
            Column("deployment_id", "m.deployment_id", "The deployment."),
            Column("skill_id", "m.skill_id", "The skill it runs: as last declared, else as last executed."),
            Column("skill_version", "m.skill_version", "The version it runs: as last declared, else as last executed."),
            Column("status", "m.status", "pending_configuration, configured, active, suspended or terminated; undeclared if no event of its life says."),
            Column("status_since", "m.status_since", "Since when, by the event's timestamp."),
            Column("upgrades", "m.upgrades", "How often its version was upgraded."),
            Column("rollbacks", "m.rollbacks", "How often its version was rolled back."),
            Column("last_execution_at", "m.last_execution_at", "When an execution was last triggered."),
            Column("last_event_at", "m.last_event_at", "The latest timestamp of its events."),
            Column("events", "m.events", "How many events it has."),
            Column("triggered", "m.triggered", "How many executions were triggered."),
            Column("completed", "m.completed", "How many completed."),
            Column("failed", "m.failed", "How many failed."),
            Column("open", "m.open", "How many have not ended yet."),
            Column("error_rate", "m.error_rate", "failed / triggered, since the beginning."),
            Column("error_level", "aximo_private.level_of(m.failed, m.triggered, m.deployment_id, 'error_rate')", "ok, warning or escalation, by the thresholds in force now; null without a rate."),
            Column("sla_breaches", "m.sla_breaches", "How many service levels were missed."),
            Column("sla_breach_rate", "m.sla_breach_rate", "sla_breaches / completed, since the beginning."),
            Column("sla_level", "aximo_private.level_of(m.sla_breaches, m.completed, m.deployment_id, 'sla_breach_rate')", "ok, warning or escalation, by the thresholds in force now; null without a rate."),
        ],
    ),
    View(
        "customer_overview", "activity", "The customer's totals since the beginning: one row. Key: customer_id.",
        [
            Column("deployments", "d.deployments", "How many deployments events speak of."),
            Column("active_deployments", "d.active_deployments", "How many of them have the status active."),
            Column("undeclared_deployments", "d.undeclared_deployments", "How many of them have no status: no event of their life was emitted."),
            Column("events", "m.events", "How many events."),
            Column("executions", "m.triggered", "How many executions were triggered."),
            Column("completed", "m.completed", "How many completed."),
            Column("failed", "m.failed", "How many failed."),
            Column("open", "m.open", "How many have not ended yet."),
            Column("error_rate", "m.error_rate", "failed / executions."),
            Column("execution_time_avg_ms", "m.execution_time_avg_ms", "From trigger to end on average, in milliseconds."),
            Column("execution_time_p50_ms", "m.execution_time_p50_ms", "Half of them took at most so many milliseconds, at most 2 % off."),
            Column("execution_time_p95_ms", "m.execution_time_p95_ms", "95 % of them took at most so many milliseconds, at most 2 % off."),
            Column("execution_time_p99_ms", "m.execution_time_p99_ms", "99 % of them took at most so many milliseconds, at most 2 % off."),
            Column("actions_dispatched", "m.actions_dispatched", "How many actions were dispatched."),
            Column("leads", "m.leads", "How many leads."),
            Column("lead_conversion_rate", "m.lead_conversion_rate", "leads / executions."),
            Column("approvals_open", "m.approvals_open", "How many approvals were requested and not answered."),
            Column("sla_breaches", "m.sla_breaches", "How many service levels were missed."),
            Column("sla_breach_rate", "m.sla_breach_rate", "sla_breaches / completed."),
            Column("first_event_at", "d.first_event_at", "The earliest timestamp."),
            Column("last_event_at", "d.last_event_at", "The latest timestamp."),
        ],
        joined="""\
-- The customer's own deployments, when somebody asks: no refresh is dearer because of them.
cross join lateral (
    select
        count(*) as deployments,
        count(*) filter (where s.status = 'active') as active_deployments,
        count(*) filter (where s.status = 'undeclared') as undeclared_deployments,
        min(s.first_event_at) as first_event_at,
        max(s.last_event_at) as last_event_at
    from aximo_private.deployments_kept as s
    where s.customer_id = m.customer_id
    offset 0
) as d
""",
        further=" and m.grain = 'customer'",
    ),
    View(
        "attribution_monthly", "activity", "What a customer has used, for billing, by month. Key: month.",
        [
            Column("month", "(m.bucket at time zone 'UTC')::date", "The month, UTC, by its first day."),
            Column("executions", "sum(m.triggered)::bigint", "How many executions were triggered in this month."),
            Column("actions", "sum(m.actions_dispatched)::bigint", "How many actions were dispatched in this month."),
            Column("high_risk_actions", """coalesce(
        (
            select sum(a.dispatched)
            from aximo_private.actions_kept as a
            where a.customer_id = m.customer_id and a.grain = 'month' and a.bucket = m.bucket
                and a.risk_level = any((
                    select aximo_private.high_risk_at(((m.bucket at time zone 'UTC') + interval '1 month') at time zone 'UTC')
                )::text[])
        ),
        0
    )::bigint""", "How many of them state a high risk level, by the latest setting that takes effect before the month ends."),
            Column("events", "sum(m.events)::bigint", "How many events of any type in this month."),
        ],
        further=" and m.grain = 'month'\ngroup by m.customer_id, m.bucket",
    ),
    View(
        "tool_runs", "runs", "Runs of tools, by day. A run counts on the day of the event that says so. Key: tool_name, day.",
        [
            Column("tool_name", "m.tool_name", "The tool."),
            Column("day", "(m.day at time zone 'UTC')::date", "The day, UTC."),
            Column("started", "coalesce(sum(m.events) filter (where m.state = 'started'), 0)::bigint", "How many were started on this day (run.started)."),
            Column("queued", "coalesce(sum(m.events) filter (where m.state = 'queued'), 0)::bigint", "How many were queued on this day (run.queued)."),
            Column("succeeded", "coalesce(sum(m.events) filter (where m.state = 'succeeded'), 0)::bigint", "How many ended well on this day (run.succeeded, slurm.collect.done)."),
            Column("failed", "coalesce(sum(m.events) filter (where m.state = 'failed'), 0)::bigint", "How many failed on this day (run.failed, slurm.collect.failed)."),
            Column("blocked", "coalesce(sum(m.events) filter (where m.state = 'blocked'), 0)::bigint", "How many were blocked by a policy on this day (run.blocked)."),
            Column("failure_rate", """(
        coalesce(sum(m.events) filter (where m.state in ('failed', 'blocked')), 0)
        / nullif(sum(m.events) filter (where m.state in ('succeeded', 'failed', 'blocked')), 0)
    )::double precision""", "(failed + blocked) / (succeeded + failed + blocked); null if none ended."),
            Column("queue_time_count", "sum(m.waits)::bigint", "How many that had been queued began to run on this day (run.running)."),
            Column("queue_time_sum_ms", "sum(m.wait_ms)::numeric(38, 3)", "Their time from run.queued to run.running, summed up, in milliseconds."),
            Column("queue_time_avg_ms", "(sum(m.wait_ms) / nullif(sum(m.waits), 0))::double precision", "queue_time_sum_ms / queue_time_count."),
            Column("run_time_count", "sum(m.runs)::bigint", "How many, of which the beginning is known, ended on this day."),
            Column("run_time_sum_ms", "sum(m.run_ms)::numeric(38, 3)", "Their time from the latest run.running, else run.started, to the end, summed up, in milliseconds."),
            Column("run_time_avg_ms", "(sum(m.run_ms) / nullif(sum(m.runs), 0))::double precision", "run_time_sum_ms / run_time_count."),
        ],
        further="\ngroup by m.customer_id, m.tool_name, m.day",
        log="run_events", up_to="The number in the log of run events up to which it counts.",
    ),
    View(
        "tool_runs_by_status", "runs", "Runs of tools, by what was said of them and day. Key: tool_name, status, day.",
        [
            Column("tool_name", "m.tool_name", "The tool."),
            Column("status", "m.state", "started, queued, running, succeeded, failed or blocked: what the event said of the run (helix.event_kinds.state)."),
            Column("day", "(m.day at time zone 'UTC')::date", "The day, UTC, of that event."),
            Column("runs", "m.events", "How many."),
            Column("queue_time_count", "m.waits", "Of status running: how many had been queued."),
            Column("queue_time_sum_ms", "m.wait_ms", "Their time from run.queued to run.running, summed up, in milliseconds."),
            Column("queue_time_avg_ms", "m.wait_avg_ms", "queue_time_sum_ms / queue_time_count."),
            Column("run_time_count", "m.runs", "Of succeeded, failed and blocked: of how many the beginning is known."),
            Column("run_time_sum_ms", "m.run_ms", "Their time from the latest run.running, else run.started, to the end, summed up, in milliseconds."),
            Column("run_time_avg_ms", "m.run_avg_ms", "run_time_sum_ms / run_time_count."),
        ],
        log="run_events", up_to="The number in the log of run events up to which it counts.",
    ),
]  # fmt: skip
LISTS = {
    "high_risk_levels": (
        "risk_level", "The risk levels that count as high in attribution_monthly",
        "A level that counts as high; null if none does, or if what was set before is taken back.",
    ),
    "lead_action_types": (
        "action_type", "The action types that count as leads in business_value",
        "A type that counts as a lead; null if none does, or if what was set before is taken back.",
    ),
}  # fmt: skip
# Views that come in one form only: their keys, whether they count runs, and what is not compared.
SINGLE: list[tuple[str, tuple[str, ...], bool, tuple[str, ...]]] = [
    ("attribution_monthly", ("month",), False, ()),
    ("customer_overview", (), False, ()),
    ("deployment_status", ("deployment_id",), False, ("error_level", "sla_level")),
    ("tool_runs", ("tool_name", "day"), True, ()),
    ("tool_runs_by_status", ("tool_name", "status", "day"), True, ()),
]
FENCE = """\
-- offset 0 keeps a query's own conditions out of here, so that they meet only this customer's rows: else EXPLAIN ANALYZE would count those
-- of other customers.
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


def _named(column: Column) -> str:
    own = column.of_sums.partition(".")[2] == column.name
    return column.of_sums if own else f"{column.of_sums} as {column.name}"


def sums_table(table: Table) -> str:
    """A table of sums."""
    name = f"aximo_private.{table.name}"
    columns = [*table.columns, ("changed_in", "bigint not null", CHANGED_IN)]
    body = [f"{column} {type_}" for column, type_, _ in columns]
    body.append(f"constraint {table.name}_pkey primary key ({table.key})")
    if table.grains:
        body.append(f"constraint grain_known check (grain in ({', '.join(map(_quoted, table.grains))}))")
    return f"""\
{MADE}{table.about}create table {name} (
{_listed(body, 4)}
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.1);
create index {table.name}_changed on {name} (changed_in);
select aximo_private.keep_sums('{name}');

""" + _commented("table", name, table.comment, [(column, comment) for column, _, comment in columns])


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


def to_publish(kind: str, sums: str, columns: list[str | Column], joined: str = "") -> str:
    """What the materialized view of a kind works out: each row of its sums as it is published."""
    name = f"aximo_private.{kind}_to_publish"
    listed, comments = [], []
    for each in columns:
        if isinstance(each, str):
            listed.append(f"r.{each}")
        else:
            listed.append(_named(each))
            comments.append((each.name, each.comment.replace("{in}", "in this time")))
    return f"""\
{MADE}create view {name} with (security_barrier = true) as
select
{_listed([*listed, "r.changed_in"], 4)}
from aximo_private.{sums} as r{joined};
alter view {name} owner to aximo_meter;

""" + _commented("view", name, f"Every row of {sums} as it is published.", comments)


def percentiles_of_bins() -> str:
    """The percentiles of a row of activity_sums, out of its bins."""
    filters = [
        f"min(c.bin) filter (where c.{kind}s_so_far >= ceil({share / 100:.2f} * c.all_{kind}s)) as {kind}_p{share}"
        for kind, share in PERCENTILES
    ]
    filters = [each.replace("latencys", "latencies") for each in filters]
    return f"""
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
) as p on true"""


def published() -> dict[str, str]:
    """What is published of each kind, by the name of its file."""
    series = ["deployment_id", "skill_id", "skill_version"]
    place = ["customer_id", "grain", "bucket", "series", *series]
    return {
        "activity_to_publish": to_publish("activity", "activity_sums", [*place, *PUBLISHED], percentiles_of_bins()),
        "actions_to_publish": to_publish(
            "actions",
            "action_sums",
            [*place, "action_type", "risk_level", "prepared", "dispatched", "failed", "emergencies"],
        ),
        "deployments_to_publish": to_publish("deployments", "deployment_sums", PUBLISHED_DEPLOYMENTS),
        "runs_to_publish": to_publish("runs", "run_sums", PUBLISHED_RUNS),
        "counted_to_publish": to_publish("counted", "counted_logs", ["customer_id", "log", "number"]),
    }


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


def single_view(view: View) -> str:
    """A view that comes in one form only."""
    name = f"aximo_metrics.{view.name}"
    listed = [_named(each) for each in view.columns]
    comments = [
        ("customer_id", WHOSE),
        *((each.name, each.comment) for each in view.columns),
        ("counts_up_to", view.up_to),
    ]
    return f"""\
{MADE}create view {name} with (security_barrier = true) as
select
{_listed(["m.customer_id", *listed], 4)},
{COUNTS_UP_TO.replace("'events'", _quoted(view.log))}from aximo_private.{view.kind}_kept as m
{view.joined}where m.customer_id = (select aximo.current_customer()){view.further}
{FENCE}
""" + _commented("view", name, view.comment, comments)


def list_view(name: str, item: str, comment: str, item_comment: str) -> str:
    """The history of a setting that is a list."""
    view = f"aximo_metrics.{name}"
    columns = [
        "customer_id",
        "effective_from",
        "set_at",
        f"item as {item}",
        "is_withdrawal",
        "is_current",
        "scope",
        "set_by",
    ]
    comments = [
        ("customer_id", "Always the session's customer."),
        ("effective_from", "For months that end after this moment; null: for all."),
        ("set_at", "When it was set, by the database's clock."),
        (item, item_comment),
        ("is_withdrawal", "Whether it takes back what was set before."),
        (
            "is_current",
            "Whether it is the latest that has taken effect. The customer's own goes before the one of all.",
        ),
        ("scope", "customer, or all customers that set none."),
        ("set_by", "The login that set it; null for those of all customers."),
    ]
    return (
        f"""\
{MADE}create view {view} with (security_barrier = true) as
select
{_listed([f"m.{column}" for column in columns], 4)}
from aximo_private.list_settings as m
where m.customer_id = (select aximo.current_customer()) and m.list = '{name}'
{FENCE}
"""
        + _commented(
            "view", view, f"{comment}, and their history. Key: scope, effective_from, set_at, {item}.", comments
        )
        + (f"select aximo_private.take_comments('{view}', 'aximo_private.list_settings');\n")
    )


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
    found = list(SINGLE)
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
    """Every row of every view, as its key and its measures."""
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
        **{table.name: sums_table(table) for table in TABLES},
        "count_activity": count_activity(),
        **published(),
        **{view.name: single_view(view) for view in VIEWS},
        **{name: list_view(name, *words) for name, words in LISTS.items()},
    }
    for grain in GRAINS:
        files |= dict(grain_view(family, grain) for family in FAMILIES)
        files |= dict([alerts_view(grain)])
    found = {FOLDER / f"{name}.sql": text for name, text in files.items()}
    for name, rows in (("freshness", freshness_rows()), ("verify_metrics", shown_rows())):
        found[FOLDER / f"{name}.sql"] = _with_region(FOLDER / f"{name}.sql", rows)
    return found
