"""The page: what stands in it, as values. How it looks is said by ``page.html`` and ``page.css``."""

from __future__ import annotations

import base64
import hashlib
import importlib
import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from aximo_db import __version__
from aximo_db.errors import InstallationError
from aximo_db.render import visible
from aximo_db.report import charts as drawn
from aximo_db.report.values import (
    WORST,
    alert_told,
    alerts_left_out,
    change,
    customer_thresholds,
    days_of,
    deployments_in_use,
    human_count,
    human_day,
    human_minute,
    human_ms,
    human_rate,
    rate_level,
    worst_alerts,
    worst_level,
)

__all__ = ["page"]

_HERE: Final = Path(__file__).parent
_PANELS: Final = 6
_TYPES: Final = 12
_ROWS: Final = 200
_MONTHS: Final = 36

_Row = dict[str, Any]
_Limits = dict[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class _Term:
    """A word whose definition is shown to who points at it or moves to it."""

    id: str
    label: str
    meaning: str


_Caption = Sequence[str | _Term]


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell of a table; a name that somebody gave does not turn what is beside it, whichever way it is written."""

    text: str = ""
    is_name: bool = False
    level: str | None = None


@dataclass(frozen=True, slots=True)
class _Table:
    kind: ClassVar = "table"
    label: str
    heads: Sequence[str]
    rows: Sequence[Sequence[_Cell]]
    #: How many columns are text; the others are numbers.
    words: int = 1
    rest: str | None = None
    caption: _Caption = ()


@dataclass(frozen=True, slots=True)
class _Figure:
    kind: ClassVar = "figure"
    title: Sequence[_Cell]
    #: SVG that was drawn here.
    svg: str
    #: Shape, colour and label.
    legend: Sequence[tuple[str, str, str]] = ()
    caption: _Caption = ()
    note: str | None = None
    numbers: _Table | None = None


@dataclass(frozen=True, slots=True)
class _Card:
    label: str | _Term
    value: str
    sub: str = ""
    level: str | None = None
    #: Of the period before.
    before: str | None = None


@dataclass(frozen=True, slots=True)
class _Section:
    key: str
    title: str
    blocks: Sequence[_Figure | _Table] = ()
    cards: Sequence[_Card] = ()
    #: What is said if there is nothing to show.
    none: str | None = None
    layout: Literal["grid", "panels"] = "grid"
    notes: Sequence[str] = ()
    legend: Sequence[tuple[str, str, str]] = ()
    caption: _Caption = ()


class _Definitions:
    """What the views' comments say."""

    def __init__(self, views: Iterable[_Row]) -> None:
        self.views = list(views)
        self._columns = {view["view"]: dict(view["columns"]) for view in self.views}
        self._ids = itertools.count(1)

    def term(self, view: str, column: str, label: str) -> str | _Term:
        """A word with the definition of a column; the word alone, if there is none."""
        meaning = self._columns.get(view, {}).get(column)
        return _Term(f"term-{next(self._ids)}", label, meaning) if meaning else label

    def caption(self, view: str, text: str) -> _Caption:
        """A sentence in which ``{column}``, or ``{column:words}``, stands for a word with its definition."""
        parts = re.split(r"\{(\w+)(?::([^}]*))?\}", text)
        found: list[str | _Term] = []
        for place in range(0, len(parts), 3):
            found.append(parts[place])
            if place + 2 < len(parts):
                found.append(self.term(view, parts[place + 1], parts[place + 2] or parts[place + 1].replace("_", " ")))
        return [part for part in found if part]


@dataclass(slots=True)
class _Report:
    """What was read, and what is made of it."""

    found: _Row
    now: datetime
    draw: drawn.Draw
    first: str
    until: str
    days: Sequence[str]
    told: _Definitions
    limits: _Limits
    charts: drawn.Charts = field(init=False)

    def __post_init__(self) -> None:
        self.charts = drawn.Charts(self.draw, self.days, self.running)

    @property
    def running(self) -> str | None:
        """The day of the period that is not over yet."""
        today = self.now.date().isoformat()
        return today if self.first <= today <= self.until else None

    def rows(self, key: str) -> list[_Row]:
        """The rows of the period, by day."""
        return [row for row in self.found[key] if row["day"] >= self.first]

    def rows_before(self, key: str) -> list[_Row]:
        """The rows of the period before."""
        return [row for row in self.found[key] if row["day"] < self.first]

    def day_cell(self, day: str) -> _Cell:
        return _Cell(f"{day}, not over" if day == self.running else day)

    def legend(self, entries: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
        """The entries, and one for the day that is not over."""
        running = [("bar", drawn.paint("running"), "day that is not over")] if self.running else []
        return [(shape, drawn.paint(colour), label) for shape, colour, label in entries] + running

    def pair(self, make: Callable[[int], dict[str, Any]], label: str) -> str:
        return self.charts.pair(make, visible(label))


def page(found: _Row, now: datetime, draw: drawn.Draw) -> str:
    """The page as text.

    Args:
        found: what :func:`aximo_db.report.query.read_period` returned.
        now: when it is made, in UTC.
        draw: makes an SVG of a specification.
    """
    told = _Definitions(found["definitions"] or ())
    sections: list[_Section] = []
    fresh = found["freshness"] or {"counts_up_to": 0, "refreshed_at": None, "behind": 0}
    values: dict[str, Any] = {"period": None, "cut": None, "running": None}
    if found["first"] is not None and (found["overview"] is not None or found["tools"]):
        first, until = found["first"], found["until"]
        days = days_of(date.fromisoformat(first), date.fromisoformat(until))
        limits = customer_thresholds(found["thresholds"])
        report = _Report(found, now, draw, first, until, days, told, limits)
        sections = list(_sections(report))
        begun = found["overview"] and found["overview"]["first_event_at"]
        values["period"] = human_day(first) if first == until else f"{human_day(first)} to {human_day(until)}"
        values["cut"] = f"{len(days):,} days" if begun and begun[:10] < first else None
        values["running"] = human_day(report.running) if report.running else None
    style = (_HERE / "page.css").read_text(encoding="utf-8") + drawn.repainting()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    refreshed = fresh["refreshed_at"]
    age = (now - datetime.fromisoformat(refreshed)) / timedelta(milliseconds=1) if refreshed else None
    text: str = _template().render(
        **values,
        customer=found["customer_id"],
        digest=digest,
        style=style,
        sections=sections,
        fresh=fresh,
        refreshed=human_minute(refreshed) if refreshed else None,
        age=human_ms(max(age, 0.0)) if age is not None else None,
        totals=found["overview"] is not None,
        definitions=told.views,
        version=__version__,
        made=human_minute(now),
    )
    return text


def _template() -> Any:
    """The template: it escapes what is put into it, and spells out characters that show nothing or turn the text."""
    try:
        jinja2 = importlib.import_module("jinja2")
        markup = importlib.import_module("markupsafe").Markup
    except ImportError as error:
        raise InstallationError(
            "there is nothing here to write the page with",
            rule="charts_present",
            hint="pip install 'aximo-db[report]'.",
        ) from error

    def shown(value: object) -> object:
        return value if isinstance(value, markup) else visible(str(value))

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["drawn"] = markup
    environment.filters["count"] = human_count
    return environment.get_template("page.html")


def _sections(report: _Report) -> Iterator[_Section]:
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


def _sum(rows: Iterable[_Row], column: str) -> float:
    return sum(row[column] or 0 for row in rows)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _totals(health: Sequence[_Row], value: Sequence[_Row], governance: Sequence[_Row]) -> dict[str, float | None]:
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


def _period(report: _Report) -> _Section:
    found = report.found
    kinds = ("health", "value", "governance")
    now, before = (_totals(*(rows(kind) for kind in kinds)) for rows in (report.rows, report.rows_before))
    now |= {"dispatched": _sum(found["actions"], "dispatched"), "started": _sum(found["tools"], "started")}
    earlier = found["before"] or {"actions_dispatched": 0, "tool_runs": 0}
    before |= {"dispatched": earlier["actions_dispatched"], "started": earlier["tool_runs"]}
    is_compared = any(report.rows_before(kind) for kind in kinds) or bool(earlier["tool_runs"])
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
            compared = f"before: {changed.before}, {changed.told}"
        term = report.told.term(view, column, label)
        cards.append(_Card(term, shown, sub, levels.get(column), compared))
    first = date.fromisoformat(report.first)
    length = len(report.days)
    notes = []
    if is_compared:
        days = [(first - timedelta(days=number)).isoformat() for number in (length, 1)]
        told = human_day(days[0]) if length == 1 else f"{human_day(days[0])} to {human_day(days[1])}"
        notes.append(f"Before is {told}, as many days.")
    if report.running:
        notes.append(f"{human_day(report.running)} is not over: its numbers grow.")
    title = "This day" if length == 1 else f"These {length:,} days"
    return _Section("period", title, cards=cards, notes=notes)


def _since_the_beginning(report: _Report) -> _Section:
    row = report.found["overview"]
    error = rate_level(row["error_rate"], "error_rate", report.limits, row["executions"])
    breach = rate_level(row["sla_breach_rate"], "sla_breach_rate", report.limits, row["completed"])
    times = ", ".join(f"{name}\N{NO-BREAK SPACE}{_bound(row, name)}" for name in ("p95", "p99"))
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
        _Card(report.told.term("customer_overview", column, label), value, sub, level)
        for column, label, value, sub, level in cards
    ]
    notes = []
    if used is not None:
        notes.append("In use are deployments that executed in the days above; no event declares their state.")
    return _Section("overview", "Since the beginning", cards=made, notes=notes)


def _bound(row: _Row, name: str) -> str:
    return human_ms(row[f"execution_time_{name}_ms"]).replace(" ", "\N{NO-BREAK SPACE}")


# Charts


def _summed(rows: Iterable[_Row], columns: Sequence[str]) -> list[_Row]:
    """Counts by day, of all series: these, unlike percentiles, can be added up."""
    days: dict[str, _Row] = {}
    for row in rows:
        day = days.setdefault(row["day"], {"day": row["day"], **dict.fromkeys(columns, 0)})
        for column in columns:
            day[column] += row[column]
    return [days[day] for day in sorted(days)]


def _title(text: str) -> list[_Cell]:
    return [_Cell(text)]


def _numbers(title: str, heads: Sequence[str], rows: Sequence[Sequence[_Cell]]) -> _Table:
    return _Table(f"{title}, numbers", heads, rows)


def _count_figure(
    report: _Report, title: str, rows: Sequence[_Row], parts: Sequence[tuple[str, str, str]], caption: _Caption
) -> _Figure:
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
    cells = [(report.day_cell(row["day"]), *(_Cell(f"{row[column]:,}") for column, _, _ in parts)) for row in rows]
    return _Figure(
        _title(title),
        report.pair(lambda width: drawn.stacked(report.charts, width, rows, used), label),
        report.legend(("bar", colour, name) for _, name, colour in used),
        caption,
        numbers=_numbers(title, ("day", *(name for _, name, _ in parts)), cells),
    )


def _rate_told(rows: Iterable[_Row], part: str, whole: str, label: str, alerts: Sequence[_Row]) -> dict[str, str]:
    lines: dict[str, list[str]] = {}
    for row in rows:
        rate = human_rate(_ratio(row[part], row[whole]))
        lines[row["day"]] = [human_day(row["day"]), f"{label}: {rate} ({row[part]:,} of {row[whole]:,})"]
    of_days: dict[str, list[_Row]] = defaultdict(list)
    for alert in alerts:
        of_days[alert["day"]].append(alert)
    for day, found in of_days.items():
        told = lines.setdefault(day, [human_day(day)])
        told += [f"{row['level']}: {visible(row['deployment_id'])} {human_rate(row['value'])}" for row in found[:WORST]]
        if len(found) > WORST:
            told.append(f"and {len(found) - WORST:,} more")
    return {day: "\n".join(told) for day, told in lines.items()}


def _rate_figure(
    report: _Report, title: str, rows: Sequence[_Row], columns: tuple[str, str, str], caption: str
) -> _Figure:
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
    told = _rate_told(rows, part, whole, title.lower(), alerts)
    svg = report.pair(
        lambda width: drawn.rates(report.charts, width, rates, limits, alerts, told),
        f"{title} by day, with its thresholds, from {human_day(report.first)} to {human_day(report.until)}",
    )
    cells = [
        (
            report.day_cell(row["day"]),
            _Cell(f"{row[part]:,}"),
            _Cell(f"{row[whole]:,}"),
            _Cell(human_rate(rates[row["day"]])),
            _Cell(level=worst_level(each["level"] for each in alerts if each["day"] == row["day"]))
            if row[whole]
            else _Cell(),
        )
        for row in rows
    ]
    heads = ("day", part.replace("_", " "), whole.replace("_", " "), title.lower(), "worst deployment")
    seen = {row["level"] for row in alerts}
    legend = [("line", "rate", f"{title.lower()}, all deployments")]
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
    return _Figure(
        _title(title),
        svg,
        report.legend(legend),
        report.told.caption("alerts", caption),
        "What is higher than the axis is at its upper edge." if is_cut else None,
        _numbers(title, heads, cells),
    )


def _executions(report: _Report) -> _Section:
    key, title = "executions", "Executions"
    rows = _summed(report.rows("health"), ("triggered", "completed", "failed", "open"))
    if not any(row["triggered"] or row["completed"] or row["failed"] for row in rows):
        return _Section(key, title, none="There were no executions.")
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
    return _Section(key, title, (counts, rates))


_PERCENTILES: Final = ("p50", "p95", "p99")


def _times(report: _Report) -> _Section:
    key, title = "time", "Execution time"
    series: dict[tuple[str, str, str], list[_Row]] = defaultdict(list)
    for row in report.rows("health"):
        if row["execution_time_count"]:
            series[row["deployment_id"], row["skill_id"], row["skill_version"]].append(row)
    if not series:
        return _Section(key, title, none="No execution ended.")
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
    return _Section(key, title, panels, layout="panels", notes=notes, legend=legend, caption=caption)


def _time_panel(report: _Report, names: tuple[str, str, str], days: Sequence[_Row], y: dict[str, Any]) -> _Figure:
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
            _Cell(f"{row['execution_time_count']:,}"),
            _Cell(human_ms(row["execution_time_avg_ms"])),
            *(_Cell(human_ms(row[f"execution_time_{name}_ms"])) for name in _PERCENTILES),
        )
        for row in days
    ]
    return _Figure(
        [_Cell(deployment, is_name=True), _Cell(skill, is_name=True), _Cell(version, is_name=True)],
        report.charts.svg(spec, visible(label), "small"),
        numbers=_numbers(label, ("day", "executions", "average", *_PERCENTILES), cells),
    )


_ACTION: Final = ("prepared", "dispatched", "failed")


def _actions(report: _Report) -> _Section:
    key, title = "actions", "Actions"
    sums: dict[str | None, dict[str, int]] = {}
    for row in report.found["actions"]:
        counts = sums.setdefault(row["action_type"], dict.fromkeys(_ACTION, 0))
        for name in _ACTION:
            counts[name] += row[name]
    ranked = sorted(
        ((name, counts) for name, counts in sums.items() if any(counts.values())),
        key=lambda item: (-sum(item[1].values()), item[0] or ""),
    )
    if not ranked:
        return _Section(key, title, none="There were no actions.")
    bars: list[tuple[str, dict[str, int]]] = []
    for name, counts in ranked[:_TYPES]:
        whole = "(none stated)" if name is None else visible(name)
        # Vega-Lite tells them apart by their label.
        label = whole if len(whole) <= 60 else whole[:59] + "…"
        bars.append((label if label not in dict(bars) else f"{label} ({len(bars) + 1})", counts))
    told = {label: "\n".join([label, *(f"{name}: {counts[name]:,}" for name in _ACTION)]) for label, counts in bars}
    parts = (("dispatched", "dispatched"), ("failed", "failed"))
    total = ", ".join(f"{sum(counts[name] for _, counts in ranked):,} {name}" for name, _ in parts)
    heading = "Actions by type"
    caption = report.told.caption(
        "actions",
        "Actions that were {dispatched} and that {failed}, by the type their events state; a {prepared} one may become "
        "either, or neither.",
    )
    rest = len(ranked) > len(bars)
    chart = _Figure(
        _title(f"{heading}, the {len(bars)} most frequent of {len(ranked):,}" if rest else heading),
        report.pair(lambda width: drawn.by_type(width, bars, parts, told), f"{heading}: {total}"),
        [("bar", drawn.paint(colour), name) for name, colour in parts],
        caption,
    )
    cells = [
        (
            _Cell("none stated") if name is None else _Cell(name, is_name=True),
            *(_Cell(f"{counts[each]:,}") for each in _ACTION),
        )
        for name, counts in ranked[:_ROWS]
    ]
    table = _Table(heading, ("action type", *_ACTION), cells, rest=_rest(len(ranked) - _ROWS, "types"))
    return _Section(key, title, (chart, table))


def _leads(report: _Report) -> _Section:
    key, title = "leads", "Leads"
    rows = report.rows("value")
    if not any(row["leads"] for row in rows):
        return _Section(key, title, none="There were no leads.")
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
            _Cell(f"{row['leads']:,}"),
            _Cell(f"{row['conversations']:,}"),
            _Cell(human_rate(rates[row["day"]])),
        )
        for row in rows
    ]
    conversion = _Figure(
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
    return _Section(key, title, (counts, conversion))


def _approvals(report: _Report) -> _Section:
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
        return _Section(key, title, none="No approvals were requested.")
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
        return _Section(key, title, (outcomes,), notes=["No approval was answered."])
    y, is_wide = drawn.time_axis(row["approval_delay_avg_ms"] for row in timed)
    delays = {row["day"]: row["approval_delay_avg_ms"] for row in timed}
    hints = {
        row["day"]: f"{human_day(row['day'])}\n{human_ms(row['approval_delay_avg_ms'])} on average" for row in timed
    }
    delay = _Figure(
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
            [(report.day_cell(row["day"]), _Cell(human_ms(row["approval_delay_avg_ms"]))) for row in timed],
        ),
    )
    return _Section(key, title, (outcomes, delay))


def _service_levels(report: _Report) -> _Section:
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
        return _Section(key, title, none="No service level was missed, and nothing was escalated.")
    caption = report.told.caption(
        "sla_governance",
        "{sla_breaches:Service levels missed}, {escalations}, {pressure_invocations:pressure invoked} and "
        "{suspensions} by day.",
    )
    counts = _count_figure(report, "Breaches and escalations", eventful, parts, caption)
    if not any(row["sla_breaches"] for row in rows):
        return _Section(key, title, (counts,))
    text = (
        "Service levels missed on a day, out of the executions that completed on it. The dashed lines are "
        "{threshold:thresholds}; a mark is a deployment that was above its own."
    )
    rates = _rate_figure(report, "SLA breach rate", rows, ("sla_breach_rate", "sla_breaches", "completed"), text)
    return _Section(key, title, (counts, rates))


def _tool_runs(report: _Report) -> _Section:
    parts = (("succeeded", "succeeded", "granted"), ("failed", "failed", "failed"), ("blocked", "blocked", "timed_out"))
    blocks: list[_Figure | _Table] = []
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
            _Cell(row["tool_name"], is_name=True),
            *(_Cell(f"{row[name]:,}") for name in ("started", "succeeded", "failed", "blocked")),
            *(_Cell(human_ms(row[name])) for name in ("queue_time_avg_ms", "run_time_avg_ms")),
        )
        for row in rows[:_ROWS]
    ]
    heads = ("tool", "started", "succeeded", "failed", "blocked", "average wait", "average run")
    caption = report.told.caption(
        "tool_runs", "The {queue_time_avg_ms:average wait} and the {run_time_avg_ms:average run} of each tool."
    )
    blocks.append(_Table("Runs by tool", heads, cells, rest=_rest(len(rows) - _ROWS, "tools"), caption=caption))
    return _Section("tool-runs", "Tool runs", blocks)


# Tables


def _rest(number: int, what: str) -> str | None:
    return f"and {number:,} more {what}" if number > 0 else None


def _deployments(report: _Report) -> _Section:
    key, title = "deployments", "Deployments"
    rows = report.found["deployments"]
    if not rows:
        return _Section(key, title, none="No event speaks of a deployment.")
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
            _Cell(row["deployment_id"], is_name=True),
            _Cell(row["skill_id"] or "–", is_name=True),
            _Cell(row["skill_version"] or "–", is_name=True),
            _Cell(row["status"].replace("_", " ")),
            _Cell((row["status_since"] or "–")[:10]),
            _Cell((row["last_execution_at"] or "–")[:16].replace("T", " ")),
            _Cell(f"{row['triggered']:,}"),
            _Cell(f"{row['failed']:,}"),
            _Cell(f"{row['open']:,}"),
            _Cell(human_rate(row["error_rate"]), level=row["error_level"]),
            _Cell(f"{row['sla_breaches']:,}"),
            _Cell(human_rate(row["sla_breach_rate"]), level=row["sla_level"]),
        )
        for row in rows[:_ROWS]
    ]
    caption = report.told.caption(
        "deployment_status",
        "Totals since the beginning. The {status} is what events declare; a rate is judged by the "
        "{error_level:thresholds} that hold now.",
    )
    rest = _rest(len(rows) - _ROWS, "deployments")
    return _Section(key, title, (_Table(title, heads, cells, 6, rest, caption),))


def _alerts(report: _Report) -> _Section:
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
        return _Section(
            key, title, none="Nothing of a deployment was above its threshold.", notes=[few.strip()] if few else []
        )
    heads = ("day", "deployment", "metric", "level", "value", "above", "count")
    cells = [
        (
            report.day_cell(row["day"]),
            _Cell(row["deployment_id"], is_name=True),
            _Cell(metric),
            _Cell(level=row["level"]),
            _Cell(value),
            _Cell(threshold),
            _Cell(counted),
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
    return _Section(key, title, (_Table(title, heads, cells, 4, rest, caption),))


def _billing(report: _Report) -> _Section:
    key, title = "billing", "Billing"
    rows = report.found["billing"]
    if not rows:
        return _Section(key, title, none="There is nothing to bill.")
    names = ("executions", "actions", "high_risk_actions", "events")
    cells = [(_Cell(row["month"][:7]), *(_Cell(f"{row[name]:,}") for name in names)) for row in rows[-_MONTHS:]]
    caption = report.told.caption(
        "attribution_monthly",
        "By month: {executions}, {actions}, {high_risk_actions:high-risk actions} and {events}.",
    )
    heads = ("month", "executions", "actions", "high-risk actions", "events")
    rest = _rest(len(rows) - _MONTHS, "months before")
    return _Section(key, title, (_Table("Billing by month", heads, cells, 1, rest, caption),))
