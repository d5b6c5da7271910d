"""A customer's metrics on a terminal and as JSON: what the views of ``aximo_metrics`` count, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import psycopg
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from aximo_db._cursors import LedgerCursor
from aximo_db._statements import WHOSE, no_customer
from aximo_db.render import AtLeast, WholeTable, visible

__all__ = [
    "Grain",
    "alert_told",
    "ask",
    "customer_thresholds",
    "human_ms",
    "human_rate",
    "print_metrics",
    "rate_level",
    "read_metrics",
    "worst_level",
]

Grain = Literal["day", "hour", "month"]

_SUFFIX: Final[dict[Grain, str]] = {"day": "", "hour": "_hourly", "month": "_monthly"}
_LEVELS: Final = ("ok", "warning", "escalation")
_STYLES: Final = {
    "ok": "green",
    "warning": "yellow",
    "escalation": "bold red",
    "active": "green",
    "suspended": "yellow",
    "terminated": "dim",
    "undeclared": "dim",
}
# What a unit is in milliseconds, and up to which size it is used.
_UNITS: Final = (
    (0.001, "µs", 0.9995),
    (1.0, "ms", 999.5),
    (1000.0, "s", 120_000.0),
    (60_000.0, "min", 7_200_000.0),
    (3_600_000.0, "h", 172_800_000.0),
)
_DAY: Final = 86_400_000.0
_DEPLOYMENTS_SHOWN: Final = 50
_TYPES_SHOWN: Final = 15
_ALERTS_SHOWN: Final = 20
_MONTHS_SHOWN: Final = 12
_NARROW: Final = 100
_WIDE: Final = 124
# Zero width joiners are part of words and emoji; all else that shows nothing, or moves what is beside it, is named.
_MOMENTS: Final = frozenset(
    (
        "read_at",
        "refreshed_at",
        "effective_from",
        "set_at",
        "first_event_at",
        "last_event_at",
        "last_execution_at",
        "status_since",
        "hour",
    )
)

# One statement reads all of it, so that it is of one moment whatever the isolation level.
_METRICS: Final = """
with bucket as materialized (
    select distinct h.{grain} as bucket
    from aximo_metrics.execution_health{suffix} as h
    order by 1 desc
    limit %(last)s
),
since as materialized (select min(b.bucket) as bucket from bucket as b)
select json_build_object(
    'customer_id', aximo.current_customer(),
    'grain', '{grain}',
    'read_at', clock_timestamp(),
    'freshness', (
        select to_json(f)
        from aximo_metrics.freshness as f
        where f.view_name = 'customer_overview'
    ),
    'overview', (select to_json(o) from aximo_metrics.customer_overview as o),
    'thresholds', (
        select coalesce(json_agg(to_json(t)
            order by t.scope, t.deployment_id, t.metric, t.level), '[]')
        from aximo_metrics.thresholds as t
        where t.is_current
    ),
    'deployments', (
        select coalesce(json_agg(to_json(d) order by d.deployment_id), '[]')
        from aximo_metrics.deployment_status as d
    ),
    'health', (
        select coalesce(json_agg(to_json(h)
            order by h.{grain}, h.deployment_id, h.skill_id, h.skill_version), '[]')
        from aximo_metrics.execution_health{suffix} as h
        where h.{grain} >= (select s.bucket from since as s)
    ),
    'actions', (
        select coalesce(json_agg(to_json(a) order by a.prepared + a.dispatched + a.failed desc, a.action_type,
            a.risk_level), '[]')
        from (
            select
                a.action_type,
                a.risk_level,
                sum(a.prepared)::bigint as prepared,
                sum(a.dispatched)::bigint as dispatched,
                sum(a.failed)::bigint as failed
            from aximo_metrics.actions{suffix} as a
            where a.{grain} >= (select s.bucket from since as s)
            group by a.action_type, a.risk_level
        ) as a
    ),
    'governance', (
        select coalesce(json_agg(to_json(g) order by g.{grain}), '[]')
        from (
            select
                g.{grain},
                sum(g.approvals_requested)::bigint as approvals_requested,
                sum(g.approvals_granted)::bigint as approvals_granted,
                sum(g.approvals_rejected)::bigint as approvals_rejected,
                sum(g.approvals_timed_out)::bigint as approvals_timed_out,
                sum(g.approvals_open)::bigint as approvals_open,
                sum(g.approval_delay_count)::bigint as approval_delay_count,
                (sum(g.approval_delay_sum_ms) / nullif(sum(g.approval_delay_count), 0))::double precision
                    as approval_delay_avg_ms,
                sum(g.sla_breaches)::bigint as sla_breaches,
                sum(g.completed)::bigint as completed,
                sum(g.sla_breaches)::double precision / nullif(sum(g.completed), 0)::double precision
                    as sla_breach_rate,
                sum(g.escalations)::bigint as escalations,
                sum(g.pressure_invocations)::bigint as pressure_invocations,
                sum(g.suspensions)::bigint as suspensions
            from aximo_metrics.sla_governance{suffix} as g
            where g.{grain} >= (select s.bucket from since as s)
            group by g.{grain}
        ) as g
    ),
    'alerts', (
        select coalesce(json_agg(to_json(a)
            order by a.{grain} desc, a.deployment_id, a.metric), '[]')
        from aximo_metrics.alerts{suffix} as a
        where a.{grain} >= (select s.bucket from since as s)
    ),
    'tools', (
        select coalesce(json_agg(to_json(t) order by t.started desc, t.tool_name), '[]')
        from (
            select
                t.tool_name,
                sum(t.started)::bigint as started,
                sum(t.succeeded)::bigint as succeeded,
                sum(t.failed)::bigint as failed,
                sum(t.blocked)::bigint as blocked,
                (sum(t.queue_time_sum_ms) / nullif(sum(t.queue_time_count), 0))::double precision as queue_time_avg_ms,
                (sum(t.run_time_sum_ms) / nullif(sum(t.run_time_count), 0))::double precision as run_time_avg_ms
            from aximo_metrics.tool_runs as t
            where t.day >= (
                select min(d.day)
                from (select distinct r.day from aximo_metrics.tool_runs as r order by r.day desc limit %(last)s) as d
            )
            group by t.tool_name
        ) as t
    ),
    'billing', (
        select coalesce(json_agg(to_json(b) order by b.month), '[]')
        from aximo_metrics.attribution_monthly as b
    )
)::text
"""


def human_ms(value: float | None) -> str:
    """So many milliseconds, in the unit that suits them: 5.3 ms, 1.2 s, 3 min. A dash for null."""
    if value is None:
        return "–"
    size = abs(value)
    factor, unit = _unit(size)
    return f"{_short(value / factor)} {unit}"


def _unit(size: float) -> tuple[float, str]:
    for factor, unit, below in _UNITS:
        if size < below:
            return factor, unit
    return _DAY, "d"


def _short(value: float) -> str:
    size = abs(value)
    if size >= 99.95:
        return f"{value:,.0f}"
    text = f"{value:.1f}" if size >= 0.95 or size == 0 else f"{value:.2g}"
    return text.removesuffix(".0")


def human_rate(value: float | None) -> str:
    """A ratio in percent; a dash for null."""
    if value is None:
        return "–"
    percent = value * 100
    # What is not nought does not look like it, and what is not all does not either.
    if 0 < percent < 0.01:
        return "< 0.01 %"
    if 99.9 <= percent < 100:
        return f"{min(percent, 99.99):.2f} %"
    return f"{percent:.2f} %" if 0 < percent < 1 else f"{percent:.1f} %"


def customer_thresholds(thresholds: Iterable[dict[str, Any]]) -> dict[tuple[str, str], float]:
    """The thresholds in force for what has no deployment: the customer's own, else those of all customers.

    Args:
        thresholds: the current rows of ``aximo_metrics.thresholds``.

    Returns:
        The rate above which there is an alert, by metric and level.
    """
    found: dict[tuple[str, str], float] = {}
    for row in sorted(thresholds, key=lambda row: row["scope"] == "customer"):
        if row["scope"] != "deployment" and row["value"] is not None:
            found[row["metric"], row["level"]] = row["value"]
    return found


def rate_level(value: float | None, metric: str, limits: dict[tuple[str, str], float]) -> str | None:
    """``ok``, ``warning`` or ``escalation``, as the views decide it; ``None`` without a rate."""
    if value is None:
        return None
    for level in ("escalation", "warning"):
        limit = limits.get((metric, level))
        if value > 0 and limit is not None and value > limit:
            return level
    return "ok"


def worst_level(levels: Iterable[str]) -> str:
    """The worst of some levels; ``ok`` if there are none."""
    return max(levels, key=_LEVELS.index, default="ok")


def ask(connection: psycopg.Connection[Any], statement: str, values: dict[str, Any]) -> dict[str, Any]:
    """Runs a statement that answers with one JSON object of rows, as the views have them.

    The moments in it become ISO 8601 in UTC, and the rows lose what they have in common: whose they are, and up to
    which number they count.

    Args:
        connection: bound to a customer.
        statement: of one row with one column: the object, as text.
        values: its parameters.

    Raises:
        CustomerError: the session works for no customer.
    """
    row = LedgerCursor(connection).execute(statement, values).fetchone()
    found: dict[str, Any] = json.loads(row[0]) if row else {}
    if found.get("customer_id") is None:
        whose = LedgerCursor(connection).execute(WHOSE).fetchone()
        raise no_customer(whose[1] if whose else ())
    common = {"customer_id", "counts_up_to"}
    for key, value in found.items():
        if isinstance(value, list):
            found[key] = [{name: _in_utc(row[name], name) for name in row if name not in common} for row in value]
        elif isinstance(value, dict):
            found[key] = {name: _in_utc(value[name], name) for name in value if name != "customer_id"}
        else:
            found[key] = _in_utc(value, key)
    return found


def _in_utc(value: Any, name: str) -> Any:
    if isinstance(value, str) and name in _MOMENTS:
        return datetime.fromisoformat(value).astimezone(UTC).isoformat()
    return value


def read_metrics(connection: psycopg.Connection[Any], grain: Grain = "day", last: int = 14) -> dict[str, Any]:
    """Reads a customer's metrics, all of one moment, in a form that JSON has.

    Args:
        connection: bound to the customer; its transaction, if it is in one, stays as it is.
        grain: hours, days or months, in UTC.
        last: of how many of them there is news at most; those without any event do not count.

    Returns:
        ``customer_id``, ``grain``, ``read_at``, ``freshness``, ``overview`` (null if nothing is counted yet),
        ``thresholds`` in force, ``deployments``, ``health`` by bucket and series, ``actions`` by type and risk,
        ``governance`` by bucket, ``alerts``, the latest first, and ``billing`` by month. Columns as in the views:
        times in milliseconds, rates as fractions, days and months as ISO dates, moments as ISO 8601 in UTC.

    Raises:
        CustomerError: the session works for no customer.
        ValueError: ``last`` is less than 1.
    """
    if last < 1:
        raise ValueError("last is at least 1")
    return ask(connection, _METRICS.format(grain=grain, suffix=_SUFFIX[grain]), {"last": last})


def print_metrics(
    connection: psycopg.Connection[Any], console: Console, *, grain: Grain = "day", last: int = 14
) -> None:
    """Prints a customer's metrics as tables, for terminals of 80 columns and more.

    Args:
        connection: bound to the customer; its transaction, if it is in one, stays as it is.
        console: decides by itself about width and colours.
        grain: hours, days or months, in UTC.
        last: how many of them at most; those without any event do not count.

    Raises:
        CustomerError: the session works for no customer.
        ValueError: ``last`` is less than 1.
    """
    found = read_metrics(connection, grain, last)
    for part in _parts(found, console.width):
        console.print(part, soft_wrap=False, crop=False)


def _parts(found: dict[str, Any], width: int) -> Iterable[RenderableType]:
    grain: Grain = found["grain"]
    narrow = width < _NARROW
    if found["overview"] is None:
        yield _nothing_yet(found)
        yield from _tool_runs(found["tools"], narrow)
        return
    buckets = sorted({row[grain] for row in found["health"]})
    period = f"the last {len(buckets)} {grain}s with events" if len(buckets) > 1 else f"the last {grain} with events"
    yield _overview(found, width)
    yield from _section("Deployments", _deployments(found["deployments"], width))
    yield from _section(f"Executions, {period}", _health(found, grain, buckets, width))
    if found["actions"]:
        yield from _section(f"Actions, {period}", _actions(found["actions"], narrow))
    for title, columns in (("Approvals", _APPROVALS), ("Governance", _GOVERNANCE)):
        table = _governed(found, grain, columns, narrow)
        if table is not None:
            yield from _section(f"{title}, {period}", table)
    if found["alerts"]:
        yield from _section(f"Alerts, {period}", _alerts(found["alerts"], grain, narrow))
    else:
        yield from _section(f"Alerts, {period}", Text("Nothing was above its threshold.", style="green"))
    yield from _tool_runs(found["tools"], narrow)
    yield from _section("Billing, by month", _billing(found["billing"], narrow))


def _section(title: str, body: RenderableType) -> Iterable[RenderableType]:
    yield Text(f"\n{title}", style="bold")
    yield body


def _nothing_yet(found: dict[str, Any]) -> Text:
    fresh = found["freshness"] or {}
    text = Text.assemble("No events are counted for ", (visible(found["customer_id"]), "bold"), " yet")
    behind = fresh.get("behind") or 0
    if behind:
        text.append(f": {behind:,} are numbered and wait for aximo.refresh_metrics().", style="yellow")
    else:
        text.append(".")
    return text


def freshness_line(found: dict[str, Any]) -> Text:
    """Up to where, and up to when, metrics count."""
    fresh = found["freshness"]
    text = Text(f"counts up to log number {fresh['counts_up_to']:,}, ")
    if fresh["refreshed_at"] is None:
        text.append("never refreshed", style="yellow")
    else:
        age = datetime.fromisoformat(found["read_at"]) - datetime.fromisoformat(fresh["refreshed_at"])
        text.append(f"refreshed {human_ms(max(age / timedelta(milliseconds=1), 0.0))} ago")
    behind = fresh["behind"]
    text.append(", ")
    text.append(f"{behind:,} behind", style="yellow" if behind else "")
    return text


def _rate(value: float | None, level: str | None) -> Text:
    return Text(human_rate(value), style=_STYLES.get(level or "", ""))


def _count(value: int, style: str = "") -> Text:
    return Text(f"{value:,}", style=style if value else "dim")


def _overview(found: dict[str, Any], width: int) -> RenderableType:
    row = found["overview"]
    limits = customer_thresholds(found["thresholds"])
    groups = (
        (
            ("executions", Text(f"{row['executions']:,}")),
            ("completed", Text(f"{row['completed']:,}")),
            ("failed", Text(f"{row['failed']:,}")),
            ("open", Text(f"{row['open']:,}")),
            ("error rate", _rate(row["error_rate"], rate_level(row["error_rate"], "error_rate", limits))),
        ),
        (
            ("time, average", Text(human_ms(row["execution_time_avg_ms"]))),
            ("p50", Text(human_ms(row["execution_time_p50_ms"]))),
            ("p95", Text(human_ms(row["execution_time_p95_ms"]))),
            ("p99", Text(human_ms(row["execution_time_p99_ms"]))),
            ("events", Text(f"{row['events']:,}")),
        ),
        (
            ("actions", Text(f"{row['actions_dispatched']:,}")),
            ("leads", Text(f"{row['leads']:,}")),
            ("conversion", Text(human_rate(row["lead_conversion_rate"]))),
            ("approvals open", Text(f"{row['approvals_open']:,}")),
            ("deployments", Text(f"{row['deployments']:,}")),
        ),
        (
            ("active", Text(f"{row['active_deployments']:,}")),
            ("undeclared", Text(f"{row['undeclared_deployments']:,}")),
            ("SLA breaches", Text(f"{row['sla_breaches']:,}")),
            (
                "SLA breach rate",
                _rate(row["sla_breach_rate"], rate_level(row["sla_breach_rate"], "sla_breach_rate", limits)),
            ),
        ),
    )
    grids = []
    for group in groups:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True, min_width=13)
        grid.add_column(justify="right", no_wrap=True, min_width=9)
        for label, value in group:
            grid.add_row(label, value)
        grids.append(grid)
    period = Text(f"{_minute(row['first_event_at'])} to {_minute(row['last_event_at'])} UTC", style="dim")
    body = Group(Columns(grids, padding=(0, 3)), Text(), freshness_line(found), period)
    title = Text(visible(found["customer_id"]), style="bold")
    # The customer's name is shown whole, also where that is wider than the console.
    width = max(min(width, 130), title.cell_len + 6)
    return AtLeast(Panel(body, title=title, title_align="left", expand=False, width=width, padding=(1, 2)), width)


def _minute(moment: str | None) -> str:
    return moment[:16].replace("T", " ") if moment else "–"


def _bucket(value: str, grain: Grain, narrow: bool) -> str:
    if grain == "hour":
        # With its year it is too long for a narrow terminal.
        return _minute(value)[5:] if narrow else _minute(value)
    return value[:10] if grain == "day" else value[:7]


def _table(columns: Sequence[str], *, left: Sequence[str] = (), whole: str | None = None, narrow: bool) -> Table:
    """A table of numbers, right-aligned, but for some columns of words; one of which is never cut or folded."""
    table = WholeTable()
    table.pad_edge, table.padding, table.header_style = False, (0, 1 if narrow else 2, 0, 0), "dim"
    for name in columns:
        if name == whole:
            table.add_column(name, no_wrap=True)
        else:
            words = max(len(word) for word in name.split())
            table.add_column(
                name, justify="left" if name in left else "right", no_wrap=" " not in name, min_width=words
            )
    return table


def _with_rest(table: Table, rest: int, what: str) -> RenderableType:
    return Group(table, Text(f"and {rest:,} more {what}", style="dim")) if rest > 0 else table


def _deployments(rows: list[dict[str, Any]], width: int) -> RenderableType:
    names = ["deployment", "version", "status", "executions", "open", "errors", "SLA breaches", "SLA rate"]
    if width >= _WIDE:
        names.append("last execution")
    table = _table(names, left=("version", "status"), whole="deployment", narrow=width < _NARROW)
    table.columns[1].overflow, table.columns[1].no_wrap = "fold", False
    for row in rows[:_DEPLOYMENTS_SHOWN]:
        cells = [
            Text(visible(row["deployment_id"])),
            Text(visible(row["skill_version"] or "–")),
            Text(row["status"].replace("_", " "), style=_STYLES.get(row["status"], "")),
            _count(row["triggered"]),
            _count(row["open"]),
            _rate(row["error_rate"], row["error_level"]),
            _count(row["sla_breaches"]),
            _rate(row["sla_breach_rate"], row["sla_level"]),
        ]
        if width >= _WIDE:
            cells.append(Text(_minute(row["last_execution_at"])))
        table.add_row(*cells)
    return _with_rest(table, len(rows) - _DEPLOYMENTS_SHOWN, "deployments")


def _health(found: dict[str, Any], grain: Grain, buckets: Sequence[str], width: int) -> RenderableType:
    narrow = width < _NARROW
    times = ("average", "p95", "p99") if narrow else ("average", "p50", "p95", "p99")
    names = [grain, "triggered", "completed", "failed", "open", "errors", *times]
    if width >= _WIDE:
        names.append("alerts")
    table = _table(names, left=(grain, "alerts"), narrow=narrow)
    several = False
    for bucket in buckets:
        rows = [row for row in found["health"] if row[grain] == bucket]
        alerts = [row["level"] for row in found["alerts"] if row[grain] == bucket and row["metric"] == "error_rate"]
        triggered, completed, failed, still_open, timed = (
            sum(row[name] for row in rows)
            for name in ("triggered", "completed", "failed", "open", "execution_time_count")
        )
        cells = [
            Text(_bucket(bucket, grain, narrow)),
            _count(triggered),
            _count(completed),
            _count(failed),
            _count(still_open),
            _rate(failed / triggered if triggered else None, worst_level(alerts)),
            Text(human_ms(sum(row["execution_time_sum_ms"] for row in rows) / timed if timed else None)),
        ]
        # Percentiles can't be added up. The slowest series' is a bound for all of them, and is marked as one.
        timing = [row for row in rows if row["execution_time_count"]]
        several = several or len(timing) > 1
        for name in times[1:]:
            value = max((row[f"execution_time_{name}_ms"] for row in timing), default=None)
            cells.append(Text(("≤" if len(timing) > 1 else "") + human_ms(value)))
        if width >= _WIDE:
            cells.append(_alert_counts(alerts))
        table.add_row(*cells)
    if not several:
        return table
    note = "≤: several deployments or versions; that of the slowest, which no percentile of all of them exceeds."
    return Group(table, Text(note, style="dim"))


def _alert_counts(levels: Sequence[str]) -> Text:
    text = Text()
    for level in ("escalation", "warning"):
        number = levels.count(level)
        if number:
            text.append(", " if text else "")
            text.append(f"{number} {level}{'s' if number > 1 else ''}", style=_STYLES[level])
    return text


def _actions(rows: list[dict[str, Any]], narrow: bool) -> RenderableType:
    types: dict[str | None, list[int]] = {}
    for row in rows:
        sums = types.setdefault(row["action_type"], [0, 0, 0])
        for place, name in enumerate(("prepared", "dispatched", "failed")):
            sums[place] += row[name]
    ranked = sorted(types.items(), key=lambda item: (-max(item[1]), item[0] or ""))
    table = _table(("action type", "prepared", "dispatched", "failed"), whole="action type", narrow=narrow)
    for action_type, sums in ranked[:_TYPES_SHOWN]:
        shown = Text("none stated", style="dim") if action_type is None else Text(visible(action_type))
        table.add_row(shown, *(_count(value) for value in sums))
    return _with_rest(table, len(ranked) - _TYPES_SHOWN, "types")


_APPROVALS: Final = (
    ("approvals_requested", "requested"),
    ("approvals_granted", "granted"),
    ("approvals_rejected", "rejected"),
    ("approvals_timed_out", "timed out"),
    ("approvals_open", "open"),
    ("approval_delay_avg_ms", "average delay"),
)
_GOVERNANCE: Final = (
    ("sla_breaches", "SLA breaches"),
    ("sla_breach_rate", "SLA rate"),
    ("escalations", "escalations"),
    ("pressure_invocations", "pressure invoked"),
    ("suspensions", "suspensions"),
)


def _governed(
    found: dict[str, Any], grain: Grain, columns: Sequence[tuple[str, str]], narrow: bool
) -> RenderableType | None:
    """Only the buckets that say anything; nothing, if none does."""
    rows = [row for row in found["governance"] if any(row[name] for name, _ in columns)]
    if not rows:
        return None
    table = _table((grain, *(label for _, label in columns)), left=(grain,), narrow=narrow)
    for row in rows:
        alerts = [
            alert["level"]
            for alert in found["alerts"]
            if alert[grain] == row[grain] and alert["metric"] == "sla_breach_rate"
        ]
        cells = [Text(_bucket(row[grain], grain, narrow))]
        for name, _ in columns:
            if name.endswith("_ms"):
                cells.append(Text(human_ms(row[name])))
            elif name.endswith("_rate"):
                cells.append(_rate(row[name], worst_level(alerts)))
            else:
                cells.append(_count(row[name]))
        table.add_row(*cells)
    return table


_METRICS_NAMED: Final = {
    "error_rate": "error rate",
    "sla_breach_rate": "SLA breach rate",
    "avg_execution_time_ms": "average execution time",
}


def alert_told(row: dict[str, Any]) -> tuple[str, str, str, str]:
    """An alert in words: the metric, its value, the threshold it is above, and out of how many."""
    human = human_ms if row["metric"].endswith("_ms") else human_rate
    counted = f"{row['denominator']:,}" if human is human_ms else f"{row['numerator']:,} of {row['denominator']:,}"
    return _METRICS_NAMED.get(row["metric"], row["metric"]), human(row["value"]), human(row["threshold"]), counted


def _alerts(rows: list[dict[str, Any]], grain: Grain, narrow: bool) -> RenderableType:
    names = (grain, "deployment", "metric", "level", "value", "above", "count")
    table = _table(names, left=(grain, "metric", "level"), whole="deployment", narrow=narrow)
    for row in rows[:_ALERTS_SHOWN]:
        metric, value, threshold, counted = alert_told(row)
        style = _STYLES.get(row["level"], "")
        table.add_row(
            Text(_bucket(row[grain], grain, narrow)),
            Text(visible(row["deployment_id"])),
            Text(metric),
            Text(row["level"], style=style),
            Text(value, style=style),
            Text(threshold),
            Text(counted),
        )
    return _with_rest(table, len(rows) - _ALERTS_SHOWN, "alerts")


def _tool_runs(rows: list[dict[str, Any]], narrow: bool) -> Iterable[RenderableType]:
    if not rows:
        return
    columns = ("tool", "started", "succeeded", "failed", "blocked", "average wait", "average run")
    table = _table(columns, whole="tool", narrow=narrow)
    for row in rows[:_TYPES_SHOWN]:
        counts = (_count(row[name]) for name in columns[1:5])
        times = (human_ms(row[name]) for name in ("queue_time_avg_ms", "run_time_avg_ms"))
        table.add_row(Text(visible(row["tool_name"])), *counts, *times)
    yield from _section("Tool runs, of the latest days with any", _with_rest(table, len(rows) - _TYPES_SHOWN, "tools"))


def _billing(rows: list[dict[str, Any]], narrow: bool) -> RenderableType:
    table = _table(("month", "executions", "actions", "high-risk actions", "events"), left=("month",), narrow=narrow)
    for row in rows[-_MONTHS_SHOWN:]:
        values = (row[name] for name in ("executions", "actions", "high_risk_actions", "events"))
        table.add_row(Text(row["month"][:7]), *(_count(value) for value in values))
    return _with_rest(table, len(rows) - _MONTHS_SHOWN, "months before")
