"""The report's page: fills the template ``page.html`` with the sections."""

from __future__ import annotations

import base64
import hashlib
import importlib
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from aximo_db import __version__
from aximo_db.client.errors import InstallationError
from aximo_db.files.terminal import visible
from aximo_db.report import charts as drawn
from aximo_db.report.parts import Definitions, Report, Row, Section
from aximo_db.report.sections import sections as sections_of
from aximo_db.report.values import (
    LONGEST,
    PeriodError,
    customer_thresholds,
    days_of,
    human_count,
    human_day,
    human_minute,
    human_ms,
)

__all__ = ["page"]

_HERE: Final = Path(__file__).parent


def page(found: Row, now: datetime, draw: drawn.Draw) -> str:
    """The page as text.

    Args:
        found: what :func:`aximo_db.report.query.read_period` returned.
        now: when it is made, in UTC.
        draw: makes an SVG of a specification.

    Raises:
        PeriodError: the period is too long to be drawn.
    """
    told = Definitions(found["definitions"] or ())
    sections: list[Section] = []
    fresh = found["freshness"] or {"counts_up_to": 0, "refreshed_at": None, "behind": 0}
    values: dict[str, Any] = {"period": None, "cut": None, "running": None}
    if found["first"] is not None and (found["overview"] is not None or found["tools"]):
        first, until = found["first"], found["until"]
        days = days_of(date.fromisoformat(first), date.fromisoformat(until))
        if len(days) > LONGEST:
            raise PeriodError(f"{len(days):,} days are asked for; a report shows {LONGEST} at most")
        limits = customer_thresholds(found["thresholds"])
        report = Report(found, now, draw, first, until, days, told, limits)
        sections = list(sections_of(report))
        begun = found["overview"] and found["overview"]["first_event_at"]
        values["period"] = human_day(first) if first == until else f"{human_day(first)} to {human_day(until)}"
        values["cut"] = f"{len(days):,} days" if begun and begun[:10] < first < until else None
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
            "the library that writes the page is not installed",
            rule="charts_present",
            hint="Install it: pip install 'aximo-db[report]'.",
        ) from error

    def shown(value: object) -> object:
        return value if isinstance(value, markup) else visible(str(value))

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["drawn"] = markup
    environment.filters["count"] = human_count
    return environment.get_template("page.html")
