"""A customer's metrics on a terminal: what the views of ``aximo_metrics`` count, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from aximo_db.files.terminal import AtLeast, WholeTable, visible
from aximo_db.report.query import Grain, read_metrics
from aximo_db.report.values import (
    WORST,
    alert_told,
    alerts_left_out,
    customer_thresholds,
    deployments_in_use,
    human_ms,
    human_rate,
    rate_level,
    worst_alerts,
    worst_level,
)

__all__ = ["print_metrics"]

_STYLES: Final = {
    "ok": "green",
    "warning": "yellow",
    "escalation": "bold red",
    "active": "green",
    "suspended": "yellow",
    "terminated": "dim",
    "undeclared": "dim",
}
_DEPLOYMENTS_SHOWN: Final = 50
_TYPES_SHOWN: Final = 15
_MONTHS_SHOWN: Final = 12
_NARROW: Final = 100
_WIDE: Final = 124


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
        what = "the ten worst" if len(found["alerts"]) > WORST else "the worst first"
        yield from _section(f"Alerts, {period}: {what}", _alerts(found["alerts"], grain, narrow))
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


def _total_rate(row: dict[str, Any], metric: str, whole: str, limits: dict[tuple[str, str], float]) -> Text:
    return _rate(row[metric], rate_level(row[metric], metric, limits, row[whole]))


def _overview(found: dict[str, Any], width: int) -> RenderableType:
    row = found["overview"]
    limits = customer_thresholds(found["thresholds"])
    grain: Grain = found["grain"]
    since = min((each[grain] for each in found["health"]), default=None)
    used = deployments_in_use(row, found["deployments"], since)
    if used is None:
        use = [
            ("active", Text(f"{row['active_deployments']:,}")),
            ("undeclared", Text(f"{row['undeclared_deployments']:,}")),
        ]
    else:
        use = [("in use", Text(f"{used:,}"))]
    groups = (
        (
            ("executions", Text(f"{row['executions']:,}")),
            ("completed", Text(f"{row['completed']:,}")),
            ("failed", Text(f"{row['failed']:,}")),
            ("open", Text(f"{row['open']:,}")),
            ("error rate", _total_rate(row, "error_rate", "executions", limits)),
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
            *use,
            ("SLA breaches", Text(f"{row['sla_breaches']:,}")),
            (
                "SLA breach rate",
                _total_rate(row, "sla_breach_rate", "completed", limits),
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


def _alerts(rows: list[dict[str, Any]], grain: Grain, narrow: bool) -> RenderableType:
    names = (grain, "deployment", "metric", "level", "value", "above", "count")
    table = _table(names, left=(grain, "metric", "level"), whole="deployment", narrow=narrow)
    worst = worst_alerts(rows, grain)
    for row in worst[:WORST]:
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
    rest = alerts_left_out(worst, grain)
    return Group(table, Text(rest, style="dim")) if rest else table


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
