"""The sections of the page: what of the metrics is shown, and in which words."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import Any, Final, Literal

from aximo_db.files.terminal import visible
from aximo_db.report import charts as drawn
from aximo_db.report.parts import Caption, Card, Cell, Figure, Report, Row, Section, Table
from aximo_db.report.values import (
    WORST,
    alert_told,
    alerts_left_out,
    change,
    deployments_in_use,
    human_count,
    human_day,
    human_ms,
    human_rate,
    rate_level,
    worst_alerts,
    worst_level,
)

__all__ = ["sections"]

_PANELS: Final = 6
_TYPES: Final = 12
_ROWS: Final = 200
_MONTHS: Final = 36


def sections(report: Report) -> Iterator[Section]:
    """All of them, in the order in which they stand."""
    if report.found["overview"] is not None:
        yield _period(report)
        yield _since_the_beginning(report)
        yield _executions(report)
        yield _times(report)
        yield _actions(report)
        yield _leads(report)
        yield _approvals(report)
        yield _service_levels(report)
    if report.found["tools"]:
        yield _tool_runs(report)
    if report.found["overview"] is not None:
        yield _deployments(report)
        yield _alerts(report)
        yield _billing(report)


# Cards


def _sum(rows: Iterable[Row], column: str) -> float:
    return sum(row[column] or 0 for row in rows)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _totals(health: Sequence[Row], value: Sequence[Row], governance: Sequence[Row]) -> dict[str, float | None]:
    """What a period's days add up to."""
    triggered, completed = _sum(health, "triggered"), _sum(health, "completed")
    failed, leads = _sum(health, "failed"), _sum(value, "leads")
    breaches = _sum(governance, "sla_breaches")
    return {
        "triggered": triggered,
        "completed": completed,
        "failed": failed,
        "error_rate": _ratio(failed, triggered),
        "execution_time_avg_ms": _ratio(_sum(health, "execution_time_sum_ms"), _sum(health, "execution_time_count")),
        "leads": leads,
        "lead_conversion_rate": _ratio(leads, _sum(value, "conversations")),
        "approvals_requested": _sum(governance, "approvals_requested"),
        "approval_delay_avg_ms": _ratio(
            _sum(governance, "approval_delay_sum_ms"), _sum(governance, "approval_delay_count")
        ),
        "sla_breaches": breaches,
        "sla_breach_rate": _ratio(breaches, completed),
        "escalations": _sum(governance, "escalations"),
    }


#: View, column, label, and what it is.
_OF_A_PERIOD: Final[tuple[tuple[str, str, str, Literal["count", "rate", "ms"]], ...]] = (
    ("execution_health", "triggered", "executions", "count"),
    ("execution_health", "error_rate", "error rate", "rate"),
    ("execution_health", "execution_time_avg_ms", "execution time, average", "ms"),
    ("actions", "dispatched", "actions dispatched", "count"),
    ("business_value", "leads", "leads", "count"),
    ("business_value", "lead_conversion_rate", "lead conversion", "rate"),
    ("sla_governance", "approvals_requested", "approvals requested", "count"),
    ("sla_governance", "approval_delay_avg_ms", "time to an answer", "ms"),
    ("sla_governance", "sla_breaches", "SLA breaches", "count"),
    ("sla_governance", "sla_breach_rate", "SLA breach rate", "rate"),
    ("sla_governance", "escalations", "escalations", "count"),
    ("tool_runs", "started", "tool runs", "count"),
)


def _period(report: Report) -> Section:
    found = report.found
    kinds = ("health", "value", "governance")
    now, before = (_totals(*(rows(kind) for kind in kinds)) for rows in (report.rows, report.rows_before))
    now |= {"dispatched": _sum(found["actions"], "dispatched"), "started": _sum(found["tools"], "started")}
    earlier = found["before"] or {"actions_dispatched": 0, "tool_runs": 0}
    before |= {"dispatched": earlier["actions_dispatched"], "started": earlier["tool_runs"]}
    first = date.fromisoformat(report.first)
    length = len(report.days)
    start = (first - timedelta(days=length)).isoformat()
    begun = found["overview"]["first_event_at"][:10]
    # Part of a period is nothing to compare with.
    is_compared = begun <= start
    levels = {
        metric: rate_level(now[metric], metric, report.limits, int(now[whole] or 0))
        for metric, whole in (("error_rate", "triggered"), ("sla_breach_rate", "completed"))
    }
    cards = []
    for view, column, label, kind in _OF_A_PERIOD:
        if view == "tool_runs" and not (now[column] or before[column]):
            continue
        value = now[column]
        shown = {"count": human_count, "rate": human_rate, "ms": human_ms}[kind](value)
        sub = ""
        if column == "error_rate":
            sub = f"{human_count(now['failed'])} failed"
        elif column == "triggered":
            sub = f"{human_count(now['completed'])} completed"
        compared = None
        if is_compared:
            changed = change(value, before[column], kind)
            compared = f"before: {_unbroken(changed.before)}, {_unbroken(changed.told)}"
        term = report.told.term(view, column, label)
        cards.append(Card(term, shown, sub, levels.get(column), compared))
    notes = []
    if is_compared:
        end = (first - timedelta(days=1)).isoformat()
        told = human_day(start) if length == 1 else f"{human_day(start)} to {human_day(end)}"
        notes.append(f"Before is {told}, as many days.")
    elif begun < report.first:
        notes.append(f"Events begin on {human_day(begun)}: of as many days before there is no whole to compare with.")
    if report.running:
        notes.append(f"{human_day(report.running)} is not over: its numbers grow.")
    title = "This day" if length == 1 else f"These {length:,} days"
    return Section("period", title, cards=cards, notes=notes)


def _since_the_beginning(report: Report) -> Section:
    row = report.found["overview"]
    error = rate_level(row["error_rate"], "error_rate", report.limits, row["executions"])
    breach = rate_level(row["sla_breach_rate"], "sla_breach_rate", report.limits, row["completed"])
    times = ", ".join(
        f"{name}\N{NO-BREAK SPACE}{_unbroken(human_ms(row[f'execution_time_{name}_ms']))}" for name in ("p95", "p99")
    )
    used = deployments_in_use(row, report.found["deployments"], report.first)
    in_use = f"{row['active_deployments']:,} active" if used is None else f"{used:,} in use"
    cards = (
        ("executions", "executions", f"{row['executions']:,}", f"{row['completed']:,} completed", None),
        ("open", "open", f"{row['open']:,}", "not ended yet", None),
        ("error_rate", "error rate", human_rate(row["error_rate"]), f"{row['failed']:,} failed", error),
        ("execution_time_p50_ms", "execution time, p50", human_ms(row["execution_time_p50_ms"]), times, None),
        ("execution_time_avg_ms", "execution time, average", human_ms(row["execution_time_avg_ms"]), "", None),
        ("actions_dispatched", "actions dispatched", f"{row['actions_dispatched']:,}", "", None),
        ("leads", "leads", f"{row['leads']:,}", "", None),
        (
            "lead_conversion_rate",
            "lead conversion",
            human_rate(row["lead_conversion_rate"]),
            "leads per execution",
            None,
        ),
        ("approvals_open", "approvals open", f"{row['approvals_open']:,}", "not answered yet", None),
        (
            "sla_breaches",
            "SLA breaches",
            f"{row['sla_breaches']:,}",
            f"{human_rate(row['sla_breach_rate'])} of completed",
            breach,
        ),
        ("deployments", "deployments", f"{row['deployments']:,}", in_use, None),
        ("events", "events", f"{row['events']:,}", f"since {row['first_event_at'][:10]}", None),
    )
    made = [
        Card(report.told.term("customer_overview", column, label), value, sub, level)
        for column, label, value, sub, level in cards
    ]
    notes = []
    if used is not None:
        notes.append("In use are deployments that executed in the days above; no event declares their state.")
    return Section("overview", "Since the beginning", cards=made, notes=notes)


def _unbroken(text: str) -> str:
    """Numbers stay with their units at the end of a line."""
    return re.sub(r"(?<=[<\d]) (?=[\d%µmshdtp])", "\N{NO-BREAK SPACE}", text)


def _lower(title: str) -> str:
    return title if title.startswith("SLA") else title.lower()


# Charts


def _summed(rows: Iterable[Row], columns: Sequence[str]) -> list[Row]:
    """Counts by day, of all series: these, unlike percentiles, can be added up."""
    days: dict[str, Row] = {}
    for row in rows:
        day = days.setdefault(row["day"], {"day": row["day"], **dict.fromkeys(columns, 0)})
        for column in columns:
            day[column] += row[column]
    return [days[day] for day in sorted(days)]


def _title(text: str) -> list[Cell]:
    return [Cell(text)]


def _numbers(title: str, heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Table:
    return Table(f"{title}, numbers", heads, rows)


def _count_figure(
    report: Report, title: str, rows: Sequence[Row], parts: Sequence[tuple[str, str, str]], caption: Caption
) -> Figure:
    """Counts by day.

    Args:
        report: the report.
        title: the figure's.
        rows: by day.
        parts: column, label and colour, from the bottom up.
        caption: what it shows.
    """
    used = [part for part in parts if any(row[part[0]] for row in rows)]
    label = f"{title}: " + ", ".join(f"{sum(row[column] for row in rows):,} {name}" for column, name, _ in used)
    cells = [(report.day_cell(row["day"]), *(Cell(f"{row[column]:,}") for column, _, _ in parts)) for row in rows]
    return Figure(
        _title(title),
        report.pair(lambda width: drawn.stacked(report.charts, width, rows, used), label),
        report.legend(("bar", colour, name) for _, name, colour in used),
        caption,
        numbers=_numbers(title, ("day", *(name for _, name, _ in parts)), cells),
    )


def _rate_told(rows: Iterable[Row], part: str, whole: str, label: str, alerts: Sequence[Row]) -> dict[str, str]:
    lines: dict[str, list[str]] = {}
    for row in rows:
        rate = human_rate(_ratio(row[part], row[whole]))
        lines[row["day"]] = [human_day(row["day"]), f"{label}: {rate} ({row[part]:,} of {row[whole]:,})"]
    of_days: dict[str, list[Row]] = defaultdict(list)
    for alert in alerts:
        of_days[alert["day"]].append(alert)
    for day, found in of_days.items():
        told = lines.setdefault(day, [human_day(day)])
        told += [f"{row['level']}: {visible(row['deployment_id'])} {human_rate(row['value'])}" for row in found[:WORST]]
        if len(found) > WORST:
            told.append(f"and {len(found) - WORST:,} more")
    return {day: "\n".join(told) for day, told in lines.items()}


def _rate_figure(
    report: Report, title: str, rows: Sequence[Row], columns: tuple[str, str, str], caption: str
) -> Figure:
    """A rate by day with its thresholds and alerts.

    Args:
        report: the report.
        title: the figure's.
        rows: counts by day.
        columns: the metric, and the counts it is made of: what is counted, and out of what.
        caption: what it shows, with terms of the view ``alerts``.
    """
    metric, part, whole = columns
    alerts = worst_alerts((row for row in report.found["alerts"] if row["metric"] == metric), "day")
    limits = {
        level: report.limits[metric, level] for level in ("warning", "escalation") if (metric, level) in report.limits
    }
    rates = {row["day"]: _ratio(row[part], row[whole]) for row in rows}
    told = _rate_told(rows, part, whole, _lower(title), alerts)
    svg = report.pair(
        lambda width: drawn.rates(report.charts, width, rates, limits, alerts, told),
        f"{title} by day, with its thresholds, from {human_day(report.first)} to {human_day(report.until)}",
    )
    cells = [
        (
            report.day_cell(row["day"]),
            Cell(f"{row[part]:,}"),
            Cell(f"{row[whole]:,}"),
            Cell(human_rate(rates[row["day"]])),
            Cell(level=worst_level(each["level"] for each in alerts if each["day"] == row["day"]))
            if row[whole]
            else Cell(),
        )
        for row in rows
    ]
    heads = ("day", part.replace("_", " "), whole.replace("_", " "), _lower(title), "worst deployment")
    seen = {row["level"] for row in alerts}
    legend = [("line", "rate", f"{_lower(title)}, all deployments")]
    legend += [("dash", level, f"{level} above {human_rate(limit)}") for level, limit in limits.items()]
    legend += [
        (shape, level, f"{level} of a deployment")
        for shape, level in (("triangle", "warning"), ("diamond", "escalation"))
        if level in seen
    ]
    own = {
        row["deployment_id"]
        for row in report.found["thresholds"]
        if row["scope"] == "deployment" and row["metric"] == metric
    }
    if own:
        caption += f" {len(own):,} {'deployment has' if len(own) == 1 else 'deployments have'} thresholds of their own."
    is_cut = any(row["value"] > drawn.rate_top(rates, limits, alerts) for row in alerts)
    return Figure(
        _title(title),
        svg,
        report.legend(legend),
        report.told.caption("alerts", caption),
        "What is higher than the axis is at its upper edge." if is_cut else None,
        _numbers(title, heads, cells),
    )


def _executions(report: Report) -> Section:
    key, title = "executions", "Executions"
    rows = _summed(report.rows("health"), ("triggered", "completed", "failed", "open"))
    if not any(row["triggered"] or row["completed"] or row["failed"] for row in rows):
        return Section(key, title, none="There were no executions.")
    parts = (("completed", "completed", "completed"), ("failed", "failed", "failed"), ("open", "open", "open"))
    caption = report.told.caption(
        "execution_health",
        "Executions that {completed} or {failed} stand on the day they ended, {open} ones on the day they began.",
    )
    counts = _count_figure(report, title, rows, parts, caption)
    text = (
        "Executions that failed on a day, out of those that began on it. The dashed lines are {threshold:thresholds}; "
        "a mark is a deployment that was above its own."
    )
    rates = _rate_figure(report, "Error rate", rows, ("error_rate", "failed", "triggered"), text)
    return Section(key, title, (counts, rates))


_PERCENTILES: Final = ("p50", "p95", "p99")


def _times(report: Report) -> Section:
    key, title = "time", "Execution time"
    series: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in report.rows("health"):
        if row["execution_time_count"]:
            series[row["deployment_id"], row["skill_id"], row["skill_version"]].append(row)
    if not series:
        return Section(key, title, none="No execution ended.")
    ranked = sorted(series.items(), key=lambda item: (-sum(row["execution_time_count"] for row in item[1]), item[0]))
    shown = ranked[:_PANELS]
    y, is_wide = drawn.time_axis(
        row[f"execution_time_{name}_ms"] for _, rows in shown for row in rows for name in _PERCENTILES
    )
    panels = [_time_panel(report, names, rows, y) for names, rows in shown]
    notes = ["Percentiles of several can't be added up or averaged: each deployment and version has its own."]
    if is_wide:
        notes.append("The axis is logarithmic.")
    if len(ranked) > len(shown):
        notes.append(
            f"Shown are the {len(shown)} with the most executions; there are {len(ranked) - len(shown):,} more."
        )
    caption = report.told.caption(
        "execution_health",
        "From trigger to end, on the day of the end: half took at most {execution_time_p50_ms:p50}, 95 % at most "
        "{execution_time_p95_ms:p95}, 99 % at most {execution_time_p99_ms:p99}.",
    )
    legend = report.legend(("line", name, name) for name in _PERCENTILES)
    return Section(key, title, panels, layout="panels", notes=notes, legend=legend, caption=caption)


def _time_panel(report: Report, names: tuple[str, str, str], days: Sequence[Row], y: dict[str, Any]) -> Figure:
    deployment, skill, version = names
    values = {name: {row["day"]: row[f"execution_time_{name}_ms"] for row in days} for name in _PERCENTILES}
    told = {
        row["day"]: "\n".join(
            [
                human_day(row["day"]),
                *(f"{name}: {human_ms(row[f'execution_time_{name}_ms'])}" for name in _PERCENTILES),
                f"{row['execution_time_count']:,} executions",
            ]
        )
        for row in days
    }
    lines = [("p99", "p99", 3.6), ("p95", "p95", 1.8), ("p50", "p50", 1.8)]
    spec = drawn.line_chart(report.charts, drawn.NARROW, 170, lines, values, y, told)
    label = f"Execution time by day of {deployment}, {skill} {version}"
    cells = [
        (
            report.day_cell(row["day"]),
            Cell(f"{row['execution_time_count']:,}"),
            Cell(human_ms(row["execution_time_avg_ms"])),
            *(Cell(human_ms(row[f"execution_time_{name}_ms"])) for name in _PERCENTILES),
        )
        for row in days
    ]
    return Figure(
        [Cell(deployment, is_name=True), Cell(skill, is_name=True), Cell(version, is_name=True)],
        report.charts.svg(spec, visible(label), "small"),
        numbers=_numbers(label, ("day", "executions", "average", *_PERCENTILES), cells),
    )


_ACTION: Final = ("prepared", "dispatched", "failed")


def _actions(report: Report) -> Section:
    key, title = "actions", "Actions"
    sums: dict[str | None, dict[str, int]] = {}
    for row in report.found["actions"]:
        counts = sums.setdefault(row["action_type"], dict.fromkeys(_ACTION, 0))
        for each in _ACTION:
            counts[each] += row[each]
    used = ((name, counts) for name, counts in sums.items() if any(counts.values()))
    ranked = sorted(used, key=lambda item: (-sum(item[1].values()), item[0] or ""))
    if not ranked:
        return Section(key, title, none="There were no actions.")
    bars: list[tuple[str, dict[str, int]]] = []
    for name, done in ranked[:_TYPES]:
        whole = "(none stated)" if name is None else visible(name)
        # Vega-Lite tells them apart by their label.
        label = whole if len(whole) <= 60 else whole[:59] + "…"
        bars.append((label if label not in dict(bars) else f"{label} ({len(bars) + 1})", done))
    told = {label: "\n".join([label, *(f"{each}: {done[each]:,}" for each in _ACTION)]) for label, done in bars}
    parts = (("dispatched", "dispatched"), ("failed", "failed"))
    total = ", ".join(f"{sum(done[each] for _, done in ranked):,} {each}" for each, _ in parts)
    heading = "Actions by type"
    caption = report.told.caption(
        "actions",
        "Actions that were {dispatched} and that {failed}, by the type their events state; a {prepared} one may become "
        "either, or neither.",
    )
    rest = len(ranked) > len(bars)
    chart = Figure(
        _title(f"{heading}, the {len(bars)} most frequent of {len(ranked):,}" if rest else heading),
        report.pair(lambda width: drawn.by_type(width, bars, parts, told), f"{heading}: {total}"),
        [("bar", drawn.paint(colour), name) for name, colour in parts],
        caption,
    )
    cells = [
        (
            Cell("none stated") if name is None else Cell(name, is_name=True),
            *(Cell(f"{counts[each]:,}") for each in _ACTION),
        )
        for name, counts in ranked[:_ROWS]
    ]
    table = Table(heading, ("action type", *_ACTION), cells, rest=_rest(len(ranked) - _ROWS, "types"))
    return Section(key, title, (chart, table))


def _leads(report: Report) -> Section:
    key, title = "leads", "Leads"
    rows = report.rows("value")
    if not any(row["leads"] for row in rows):
        return Section(key, title, none="There were no leads.")
    counted = [{**row, "other_leads": row["leads"] - row["emergency_leads"]} for row in rows]
    parts = (("other_leads", "other leads", "leads"), ("emergency_leads", "emergency leads", "emergency"))
    told = report.told
    caption = told.caption("business_value", "{leads:Leads} by day; {emergency_leads:emergency leads} are among them.")
    counts = _count_figure(report, title, counted, parts, caption)
    rates = {row["day"]: _ratio(row["leads"], row["conversations"]) for row in rows}
    hints = _rate_told(rows, "leads", "conversations", "lead conversion", ())
    heading = "Lead conversion"
    cells = [
        (
            report.day_cell(row["day"]),
            Cell(f"{row['leads']:,}"),
            Cell(f"{row['conversations']:,}"),
            Cell(human_rate(rates[row["day"]])),
        )
        for row in rows
    ]
    conversion = Figure(
        _title(heading),
        report.pair(
            lambda width: drawn.line_chart(
                report.charts, width, 220, [("rate", "leads", 1.8)], {"rate": rates}, drawn.RATE_AXIS, hints
            ),
            f"{heading} by day",
        ),
        report.legend([("line", "leads", "leads per conversation")]),
        told.caption(
            "business_value",
            "Leads of a day, {lead_conversion_rate:out of} the {conversations} that began on it.",
        ),
        numbers=_numbers(heading, ("day", "leads", "conversations", "conversion"), cells),
    )
    return Section(key, title, (counts, conversion))


def _approvals(report: Report) -> Section:
    key, title = "approvals", "Approvals"
    parts = (
        ("approvals_granted", "granted", "granted"),
        ("approvals_rejected", "rejected", "rejected"),
        ("approvals_timed_out", "timed out", "timed_out"),
        ("approvals_open", "open", "open"),
    )
    rows = [
        row
        for row in report.rows("governance")
        if row["approvals_requested"] or any(row[column] for column, _, _ in parts)
    ]
    if not rows:
        return Section(key, title, none="No approvals were requested.")
    told, view = report.told, "sla_governance"
    caption = told.caption(
        view,
        "Approvals that were {approvals_granted:granted}, {approvals_rejected:rejected} or "
        "{approvals_timed_out:timed out} stand on the day of the answer, {approvals_open:open} ones on the day of the "
        "request.",
    )
    outcomes = _count_figure(report, title, rows, parts, caption)
    timed = [row for row in rows if row["approval_delay_avg_ms"] is not None]
    heading = "Time to an answer, average"
    if not timed:
        return Section(key, title, (outcomes,), notes=["No approval was answered."])
    y, is_wide = drawn.time_axis(row["approval_delay_avg_ms"] for row in timed)
    delays = {row["day"]: row["approval_delay_avg_ms"] for row in timed}
    hints = {
        row["day"]: f"{human_day(row['day'])}\n{human_ms(row['approval_delay_avg_ms'])} on average" for row in timed
    }
    delay = Figure(
        _title(heading),
        report.pair(
            lambda width: drawn.line_chart(
                report.charts, width, 220, [("delay", "timed_out", 1.8)], {"delay": delays}, y, hints
            ),
            f"{heading}, by day",
        ),
        report.legend([("line", "timed_out", "from request to answer" + (", logarithmic" if is_wide else ""))]),
        told.caption(
            view, "From a request to its answer, {approval_delay_avg_ms:on average}, on the day of the answer."
        ),
        numbers=_numbers(
            heading,
            ("day", "average delay"),
            [(report.day_cell(row["day"]), Cell(human_ms(row["approval_delay_avg_ms"]))) for row in timed],
        ),
    )
    return Section(key, title, (outcomes, delay))


def _service_levels(report: Report) -> Section:
    key, title = "service-levels", "Service levels and escalations"
    parts = (
        ("sla_breaches", "SLA breaches", "breaches"),
        ("escalations", "escalations", "escalations"),
        ("pressure_invocations", "pressure invoked", "pressure"),
        ("suspensions", "suspensions", "suspensions"),
    )
    rows = report.rows("governance")
    eventful = [row for row in rows if any(row[column] for column, _, _ in parts)]
    if not eventful:
        return Section(key, title, none="No service level was missed, and nothing was escalated.")
    caption = report.told.caption(
        "sla_governance",
        "{sla_breaches:Service levels missed}, {escalations}, {pressure_invocations:pressure invoked} and "
        "{suspensions} by day.",
    )
    counts = _count_figure(report, "Breaches and escalations", eventful, parts, caption)
    if not any(row["sla_breaches"] for row in rows):
        return Section(key, title, (counts,))
    text = (
        "Service levels missed on a day, out of the executions that completed on it. The dashed lines are "
        "{threshold:thresholds}; a mark is a deployment that was above its own."
    )
    rates = _rate_figure(report, "SLA breach rate", rows, ("sla_breach_rate", "sla_breaches", "completed"), text)
    return Section(key, title, (counts, rates))


def _tool_runs(report: Report) -> Section:
    parts = (("succeeded", "succeeded", "granted"), ("failed", "failed", "failed"), ("blocked", "blocked", "timed_out"))
    blocks: list[Figure | Table] = []
    days = [row for row in report.rows("tool_days") if any(row[column] for column, _, _ in parts)]
    told = report.told.caption(
        "tool_runs",
        "Runs that {succeeded}, {failed} or were {blocked} by a policy, on the day they ended. A run counts as "
        "{started} on the day it began.",
    )
    if days:
        blocks.append(_count_figure(report, "Tool runs", days, parts, told))
    rows = report.found["tools"]
    cells = [
        (
            Cell(row["tool_name"], is_name=True),
            *(Cell(f"{row[name]:,}") for name in ("started", "succeeded", "failed", "blocked")),
            *(Cell(human_ms(row[name])) for name in ("queue_time_avg_ms", "run_time_avg_ms")),
        )
        for row in rows[:_ROWS]
    ]
    heads = ("tool", "started", "succeeded", "failed", "blocked", "average wait", "average run")
    caption = report.told.caption(
        "tool_runs", "The {queue_time_avg_ms:average wait} and the {run_time_avg_ms:average run} of each tool."
    )
    blocks.append(Table("Runs by tool", heads, cells, rest=_rest(len(rows) - _ROWS, "tools"), caption=caption))
    return Section("tool-runs", "Tool runs", blocks)


# Tables


def _rest(number: int, what: str) -> str | None:
    return f"and {number:,} more {what}" if number > 0 else None


def _deployments(report: Report) -> Section:
    key, title = "deployments", "Deployments"
    rows = report.found["deployments"]
    if not rows:
        return Section(key, title, none="No event speaks of a deployment.")
    heads = (
        "deployment",
        "skill",
        "version",
        "status",
        "since",
        "last execution",
        "executions",
        "failed",
        "open",
        "error rate",
        "SLA breaches",
        "SLA breach rate",
    )
    cells = [
        (
            Cell(row["deployment_id"], is_name=True),
            Cell(row["skill_id"] or "–", is_name=True),
            Cell(row["skill_version"] or "–", is_name=True),
            Cell(row["status"].replace("_", " ")),
            Cell((row["status_since"] or "–")[:10]),
            Cell((row["last_execution_at"] or "–")[:16].replace("T", " ")),
            Cell(f"{row['triggered']:,}"),
            Cell(f"{row['failed']:,}"),
            Cell(f"{row['open']:,}"),
            Cell(human_rate(row["error_rate"]), level=row["error_level"]),
            Cell(f"{row['sla_breaches']:,}"),
            Cell(human_rate(row["sla_breach_rate"]), level=row["sla_level"]),
        )
        for row in rows[:_ROWS]
    ]
    caption = report.told.caption(
        "deployment_status",
        "Totals since the beginning. The {status} is what events declare; a rate is judged by the "
        "{error_level:thresholds} that hold now.",
    )
    rest = _rest(len(rows) - _ROWS, "deployments")
    return Section(key, title, (Table("Deployments, state and totals", heads, cells, 6, rest, caption),))


def _alerts(report: Report) -> Section:
    key, title = "alerts", "Alerts"
    rows = worst_alerts(report.found["alerts"], "day")
    minima = {
        report.limits[metric, "minimum_denominator"]
        for metric in ("error_rate", "sla_breach_rate")
        if (metric, "minimum_denominator") in report.limits
    }
    few = ""
    if minima:
        least, most = min(minima), max(minima)
        told = f"{least:,.0f}" if least == most else f"{least:,.0f} or {most:,.0f}"
        few = f" What is out of fewer than {told} raises none."
    if not rows:
        return Section(
            key, title, none="Nothing of a deployment was above its threshold.", notes=[few.strip()] if few else []
        )
    heads = ("day", "deployment", "metric", "level", "value", "above", "count")
    cells = [
        (
            report.day_cell(row["day"]),
            Cell(row["deployment_id"], is_name=True),
            Cell(metric),
            Cell(level=row["level"]),
            Cell(value),
            Cell(threshold),
            Cell(counted),
        )
        for row in rows[:WORST]
        for metric, value, threshold, counted in [alert_told(row)]
    ]
    which = "The ten worst" if len(rows) > WORST else "The worst first"
    caption = report.told.caption(
        "alerts",
        f"{which}: escalations before warnings, then by how far the {{value}} is above the {{threshold}}.{few}",
    )
    rest = alerts_left_out(rows, "day")
    return Section(key, title, (Table("Alerts, the worst", heads, cells, 4, rest, caption),))


def _billing(report: Report) -> Section:
    key, title = "billing", "Billing"
    rows = report.found["billing"]
    if not rows:
        return Section(key, title, none="There is nothing to bill.")
    names = ("executions", "actions", "high_risk_actions", "events")
    cells = [(Cell(row["month"][:7]), *(Cell(f"{row[name]:,}") for name in names)) for row in rows[-_MONTHS:]]
    caption = report.told.caption(
        "attribution_monthly",
        "By month: {executions}, {actions}, {high_risk_actions:high-risk actions} and {events}.",
    )
    heads = ("month", "executions", "actions", "high-risk actions", "events")
    rest = _rest(len(rows) - _MONTHS, "months before")
    return Section(key, title, (Table("Billing by month", heads, cells, 1, rest, caption),))
