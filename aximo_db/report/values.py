"""Numbers in words, periods and levels of alerts: what the page and the terminal have in common."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal

__all__ = [
    "Change",
    "PeriodError",
    "alert_told",
    "alerts_left_out",
    "change",
    "customer_thresholds",
    "days_of",
    "deployments_in_use",
    "human_count",
    "human_day",
    "human_minute",
    "human_ms",
    "human_rate",
    "period_asked",
    "rate_level",
    "worst_alerts",
    "worst_level",
]

#: Alerts that are listed.
WORST: Final = 10
#: Days that a report shows at most: of more, a chart's bars are too thin to be told apart.
LONGEST: Final = 400

_LEVELS: Final = ("ok", "warning", "escalation")
# What a unit is in milliseconds, and up to which size it is used.
_UNITS: Final = (
    (0.001, "µs", 0.9995),
    (1.0, "ms", 999.5),
    (1000.0, "s", 120_000.0),
    (60_000.0, "min", 7_200_000.0),
    (3_600_000.0, "h", 172_800_000.0),
)
_DAY: Final = 86_400_000.0


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


def human_count(value: float | None) -> str:
    """A whole number; a dash for null."""
    return "–" if value is None else f"{value:,.0f}"


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


def rate_level(
    value: float | None, metric: str, limits: dict[tuple[str, str], float], denominator: int | None = None
) -> str | None:
    """``ok``, ``warning`` or ``escalation``, as the views decide it; ``None`` without a rate.

    Args:
        value: the rate.
        metric: of which it is.
        limits: the thresholds, of :func:`customer_thresholds`.
        denominator: out of how many; below the minimum nothing is an alert.
    """
    if value is None:
        return None
    if denominator is not None and denominator < limits.get((metric, "minimum_denominator"), 0):
        return "ok"
    for level in ("escalation", "warning"):
        limit = limits.get((metric, level))
        if value > 0 and limit is not None and value > limit:
            return level
    return "ok"


def worst_level(levels: Iterable[str]) -> str:
    """The worst of some levels; ``ok`` if there are none."""
    return max(levels, key=_LEVELS.index, default="ok")


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


def worst_alerts(rows: Iterable[dict[str, Any]], grain: str) -> list[dict[str, Any]]:
    """Alerts, the worst first: escalations before warnings, then those furthest above their threshold.

    Args:
        rows: of ``aximo_metrics.alerts`` or one of its grains.
        grain: the column of its time. Of two that are as bad, the later one is first.
    """
    by_time = sorted(rows, key=lambda row: str(row[grain]), reverse=True)
    return sorted(by_time, key=lambda row: (-_LEVELS.index(row["level"]), -_excess(row), -row["denominator"]))


def _excess(row: dict[str, Any]) -> float:
    # What is above a threshold of nought is infinitely above it; then the higher value is worse.
    return float(row["value"] / row["threshold"]) if row["threshold"] else 1e9 * (1 + row["value"])


def alerts_left_out(rows: Sequence[dict[str, Any]], grain: str) -> str | None:
    """What is said of the alerts after the ten worst: how many of each level, and on how many days; else ``None``.

    Args:
        rows: all of them, of :func:`worst_alerts`.
        grain: day, hour or month.
    """
    rest = rows[WORST:]
    if not rest:
        return None
    counts = [(level, sum(row["level"] == level for row in rest)) for level in ("escalation", "warning")]
    told = " and ".join(f"{count:,} {level}{'' if count == 1 else 's'}" for level, count in counts if count)
    when = len({row[grain] for row in rest})
    return f"and {told} more, in {when:,} {grain}{'' if when == 1 else 's'}"


def deployments_in_use(
    overview: dict[str, Any], deployments: Iterable[dict[str, Any]], since: str | None
) -> int | None:
    """How many deployments have executed, where nobody declares any; ``None`` if some are declared.

    Args:
        overview: the row of ``aximo_metrics.customer_overview``.
        deployments: those of ``aximo_metrics.deployment_status``.
        since: from which day, hour or month on; ``None`` if there is none.
    """
    if overview["undeclared_deployments"] < overview["deployments"]:
        return None
    return sum(bool(row["last_execution_at"] and since and row["last_execution_at"] >= since) for row in deployments)


@dataclass(frozen=True, slots=True)
class Change:
    """A value beside that of the period before.

    Attributes:
        before: the value before, in words.
        told: what became of it, in words.
    """

    before: str
    told: str


def change(now: float | None, before: float | None, kind: Literal["count", "rate", "ms"]) -> Change:
    """How a value changed.

    Args:
        now, before: the value, and that of the period before; ``None`` if there is none.
        kind: ``count``, ``rate`` or ``ms``.
    """
    shown = {"count": human_count, "rate": human_rate, "ms": human_ms}[kind]
    if now is None or before is None:
        return Change(shown(before), "no comparison")
    if now == before:
        return Change(shown(before), "unchanged")
    if kind == "rate":
        points = (now - before) * 100
        size = f"{abs(points):.1f}" if abs(points) >= 0.05 else "< 0.1"
        return Change(shown(before), f"{'up' if points > 0 else 'down'} {size} points")
    if not before:
        return Change(shown(before), "none before")
    share = abs(now - before) / abs(before)
    direction = "up" if now > before else "down"
    if share > 9.995:
        return Change(shown(before), f"{direction} to {now / before:,.0f} times")
    return Change(
        shown(before), f"{direction} {share:.0%}".replace("%", " %") if share >= 0.005 else f"{direction} < 1 %"
    )


def days_of(first: date, until: date) -> list[str]:
    """Every day from one to another, as ISO 8601 has them."""
    return [(first + timedelta(days=number)).isoformat() for number in range((until - first).days + 1)]


class PeriodError(ValueError):
    """There is no such period, or it can't be shown."""


_LAST: Final = re.compile(r"([1-9]\d{0,3}) ?(d|w)", re.ASCII)


def period_asked(
    first: date | None, until: date | None, last: str | None, today: date
) -> tuple[date | None, date | None]:
    """The period that ``--from``, ``--to`` and ``--last`` ask for; ``None`` for an end that is left open.

    Args:
        first, until: the first and the last day.
        last: so many days (``30d``) or weeks (``8w``), up to ``until``; left out, up to yesterday: whole days.
        today: the day, in UTC.

    Raises:
        PeriodError: they contradict each other, or say nothing that can be read.
    """
    if last is not None:
        found = _LAST.fullmatch(last.strip())
        if found is None:
            raise PeriodError(f"{last!r} is no time such as 30d (days) or 8w (weeks)")
        if first is not None:
            raise PeriodError("both the first day and a number of days are given; leave one out")
        until = until or today - timedelta(days=1)
        days = int(found[1]) * (7 if found[2] == "w" else 1)
        try:
            first = until - timedelta(days=days - 1)
        except OverflowError as error:
            raise PeriodError(f"{last!r} begins before the year 1") from error
    if first is not None and until is not None and until < first:
        raise PeriodError(f"the last day, {until}, is before the first one, {first}")
    if first is not None and until is not None and (until - first).days >= LONGEST:
        raise PeriodError(f"{(until - first).days + 1:,} days are asked for; a report shows {LONGEST} at most")
    return first, until


def human_day(day: str) -> str:
    """A day as people write it: 1 Mar 2026."""
    moment = date.fromisoformat(day)
    return f"{moment.day} {moment:%b %Y}"


def human_minute(moment: str | datetime | None) -> str:
    """A moment to the minute, in UTC; a dash for null."""
    if moment is None:
        return "–"
    known = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return known.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
