"""A customer's metrics as one HTML file, to be opened anywhere: it runs no script and asks no network.

The charts are drawn here, to SVG, by Vega-Lite (the extra ``report``). What they mean is read from the comments of the
views, so that it is written down in one place.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import itertools
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any, Final, TextIO
from xml.etree import ElementTree

import psycopg

from aximo_db import __version__
from aximo_db import _statements as statements
from aximo_db._cursors import LedgerCursor
from aximo_db.errors import InstallationError
from aximo_db.metrics_tables import alert_told, ask, customer_thresholds, human_ms, human_rate, rate_level, worst_level
from aximo_db.output import write_text
from aximo_db.render import visible

__all__ = ["write_report"]

_DAYS: Final = 90
_PANELS: Final = 6
_TYPES: Final = 12
_DEPLOYMENTS: Final = 200
_ALERTS: Final = 100
_MONTHS: Final = 36
# Charts are drawn for two widths, so that their text is never scaled down to what can't be read.
_WIDE: Final = 560
_NARROW: Final = 330
_VEGA_LITE: Final = "5.20"
_SVG: Final = "http://www.w3.org/2000/svg"

# One statement reads all of it, so that it is of one moment whatever the isolation level.
_REPORT: Final = """
with bounds as materialized (
    select
        greatest(min(h.day), max(h.day) - (%(days)s::integer - 1)) as first_day,
        max(h.day) as last_day
    from aximo_metrics.execution_health as h
)
select json_build_object(
    'customer_id', aximo.current_customer(),
    'first_day', (select b.first_day from bounds as b),
    'last_day', (select b.last_day from bounds as b),
    'freshness', (select to_json(f) from aximo_metrics.freshness as f where f.view_name = 'customer_overview'),
    'overview', (select to_json(o) from aximo_metrics.customer_overview as o),
    'thresholds', (
        select coalesce(json_agg(to_json(t) order by t.scope, t.deployment_id, t.metric, t.level), '[]')
        from aximo_metrics.thresholds as t
        where t.is_current
    ),
    'deployments', (
        select coalesce(json_agg(to_json(d) order by d.deployment_id), '[]')
        from aximo_metrics.deployment_status as d
    ),
    'health', (
        select coalesce(json_agg(to_json(h) order by h.day, h.deployment_id, h.skill_id, h.skill_version), '[]')
        from aximo_metrics.execution_health as h
        where h.day >= (select b.first_day from bounds as b)
    ),
    'value', (
        select coalesce(json_agg(to_json(v) order by v.day), '[]')
        from (
            select
                v.day,
                sum(v.conversations)::bigint as conversations,
                sum(v.leads)::bigint as leads,
                sum(v.emergency_leads)::bigint as emergency_leads
            from aximo_metrics.business_value as v
            where v.day >= (select b.first_day from bounds as b)
            group by v.day
        ) as v
    ),
    'actions', (
        select coalesce(json_agg(to_json(a) order by a.prepared + a.dispatched + a.failed desc, a.action_type), '[]')
        from (
            select
                a.action_type,
                sum(a.prepared)::bigint as prepared,
                sum(a.dispatched)::bigint as dispatched,
                sum(a.failed)::bigint as failed
            from aximo_metrics.actions as a
            where a.day >= (select b.first_day from bounds as b)
            group by a.action_type
        ) as a
    ),
    'governance', (
        select coalesce(json_agg(to_json(g) order by g.day), '[]')
        from (
            select
                g.day,
                sum(g.approvals_requested)::bigint as approvals_requested,
                sum(g.approvals_granted)::bigint as approvals_granted,
                sum(g.approvals_rejected)::bigint as approvals_rejected,
                sum(g.approvals_timed_out)::bigint as approvals_timed_out,
                sum(g.approvals_open)::bigint as approvals_open,
                (sum(g.approval_delay_sum_ms) / nullif(sum(g.approval_delay_count), 0))::double precision
                    as approval_delay_avg_ms,
                sum(g.completed)::bigint as completed,
                sum(g.sla_breaches)::bigint as sla_breaches,
                sum(g.escalations)::bigint as escalations,
                sum(g.pressure_invocations)::bigint as pressure_invocations,
                sum(g.suspensions)::bigint as suspensions
            from aximo_metrics.sla_governance as g
            where g.day >= (select b.first_day from bounds as b)
            group by g.day
        ) as g
    ),
    'alerts', (
        select coalesce(json_agg(to_json(a) order by a.day desc, a.deployment_id, a.metric), '[]')
        from aximo_metrics.alerts as a
        where a.day >= (select b.first_day from bounds as b)
    ),
    'billing', (
        select coalesce(json_agg(to_json(b) order by b.month), '[]')
        from aximo_metrics.attribution_monthly as b
    ),
    'definitions', (
        select json_agg(json_build_object(
            'view', c.relname,
            'meaning', obj_description(c.oid, 'pg_class'),
            'columns', (
                select json_agg(json_build_array(a.attname, col_description(c.oid, a.attnum)) order by a.attnum)
                from pg_catalog.pg_attribute as a
                where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            )
        ) order by array_position(%(views)s::text[], c.relname::text))
        from pg_catalog.pg_class as c
        where c.relnamespace = 'aximo_metrics'::regnamespace and c.relname = any (%(views)s::text[])
    )
)::text
"""
_VIEWS: Final = (
    "customer_overview",
    "execution_health",
    "actions",
    "business_value",
    "sla_governance",
    "deployment_status",
    "alerts",
    "thresholds",
    "attribution_monthly",
    "freshness",
)

# What is drawn, in light and in dark. The charts are drawn in light; a style sheet repaints them.
_COLOURS: Final = {
    "completed": ("#3b7dbb", "#5b9fdd"),
    "failed": ("#d1483e", "#f0736a"),
    "open": ("#aab2bd", "#68727f"),
    "dispatched": ("#3b7dba", "#5b9fdc"),
    "leads": ("#2f8f6f", "#4fb592"),
    "emergency": ("#b5512f", "#e58b62"),
    "granted": ("#2f8f6e", "#4fb591"),
    "rejected": ("#d1483d", "#f07369"),
    "timed_out": ("#c98a1b", "#e2ad4d"),
    "p50": ("#2f8f70", "#4fb593"),
    "p95": ("#c98a1c", "#e2ad4e"),
    "p99": ("#7d5ba6", "#ab8bd6"),
    "rate": ("#3b7dbc", "#5b9fde"),
    "breaches": ("#c2407a", "#ea76a8"),
    "escalations": ("#7d5ba5", "#ab8bd5"),
    "pressure": ("#c98a1d", "#e2ad4f"),
    "suspensions": ("#6b7684", "#98a4b3"),
    "warning": ("#b7791f", "#e6b450"),
    "escalation": ("#c62828", "#ff7b72"),
    "grid": ("#e4e8ed", "#2c333c"),
    "axis": ("#9aa4b0", "#566170"),
    "text": ("#57606b", "#a3adb9"),
}
# Painted over a day, to answer a pointer; seen only then.
_HIT: Final = "#808183"

_CSS: Final = """
:root{color-scheme:light dark;--bg:#f5f7f9;--card:#fff;--ink:#1c232b;--dim:#5b6672;--line:#dde2e8;--link:#235f9c;
--ok:#1f7a4d;--ok-bg:#e2f3ea;--warning:#8a5a00;--warning-bg:#fdf0d3;--escalation:#b3211f;--escalation-bg:#fde4e2}
@media (prefers-color-scheme:dark){:root{--bg:#11151a;--card:#191f26;--ink:#e4e9ef;--dim:#9aa6b3;--line:#2c343d;
--link:#83b7ec;--ok:#6bd39b;--ok-bg:#173226;--warning:#f0c368;--warning-bg:#3a2d10;--escalation:#ff958d;
--escalation-bg:#43201f}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif}
header,main,footer{max-width:1240px;margin:0 auto;padding:0 20px}
header{padding-top:28px}
h1{font-size:26px;line-height:1.25;margin:0 0 6px;overflow-wrap:anywhere}
h2{font-size:19px;margin:36px 0 12px;scroll-margin-top:12px}
h3{font-size:15px;margin:0;font-weight:600;overflow-wrap:anywhere}
p{margin:0 0 6px}
a{color:var(--link)}
a:focus-visible,summary:focus-visible,.scroll:focus-visible{outline:2px solid var(--link);outline-offset:2px}
.dim,.def,figcaption p{color:var(--dim)}
.def,figcaption p,.note{font-size:13px}
.def{margin:10px 0 0}
nav{margin:14px 0 0;display:flex;flex-wrap:wrap;gap:4px 16px;font-size:14px}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,168px),1fr));gap:12px;margin:0;padding:0;
list-style:none}
.card,figure,.panel{background:var(--card);border:1px solid var(--line);border-radius:10px}
.card{padding:12px 14px}
.card b{display:block;font-size:24px;line-height:1.25;font-weight:650;font-variant-numeric:tabular-nums}
.card .label,.card .sub{display:block;color:var(--dim);font-size:12.5px}
.nb{white-space:nowrap}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,480px),1fr));gap:16px}
.panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,310px),1fr));gap:16px}
figure{margin:0;padding:14px 16px;min-width:0}
.panel{padding:6px 14px;overflow:hidden}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 14px;margin:8px 0 4px;padding:0;font-size:13px;
color:var(--dim)}
.legend svg{width:14px;height:12px;margin-right:5px;vertical-align:-1px}
figure svg.chart{display:block;width:100%;height:auto;font-family:inherit}
svg.chart text{font-family:inherit;font-variant-numeric:tabular-nums}
svg.narrow{max-width:440px;margin:0 auto}
svg.small{max-width:420px}
@media (max-width:620px){header,main,footer{padding-left:12px;padding-right:12px}figure svg.wide{display:none}}
@media (min-width:621px){figure svg.narrow{display:none}}
details{margin-top:8px}
summary{cursor:pointer;font-size:13px;color:var(--link);overflow-wrap:anywhere}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
details table{font-size:13px}
th,td{padding:6px 12px 6px 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--dim);font-weight:500;vertical-align:bottom}
tr:last-child td{border-bottom:0}
td.n,th.n{text-align:right;white-space:nowrap}
td.w{white-space:nowrap}
td bdi{overflow-wrap:anywhere;white-space:normal;display:inline-block;max-width:22em}
td.w bdi{min-width:6em}
details .scroll{max-height:320px;overflow-y:auto}
.level{border-radius:4px;padding:1px 6px;font-size:12px;white-space:nowrap}
.ok{color:var(--ok);background:var(--ok-bg)}
.warning{color:var(--warning);background:var(--warning-bg)}
.escalation{color:var(--escalation);background:var(--escalation-bg)}
.none{color:var(--dim);margin:0}
dl{margin:6px 0 12px;display:grid;grid-template-columns:minmax(0,15em) minmax(0,1fr);gap:3px 16px;font-size:13px}
dt{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:12px;overflow-wrap:anywhere}
dd{margin:0}
@media (max-width:620px){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:6px}}
footer{padding-bottom:40px}
@media print{nav,details:not([open]){display:none}figure,.card{break-inside:avoid}}
"""


def write_report(
    connection: psycopg.Connection[Any], path_or_file: str | Path | TextIO, *, customer: str | None, now: datetime
) -> None:
    """Writes a customer's metrics as one HTML file, the same for the same metrics and ``now``.

    Days are in UTC, and those of the last 90 up to the latest event; totals are since the beginning.

    Args:
        connection: a login that reads ``aximo_metrics``; its transaction, if it is in one, stays as it is.
        path_or_file: the file to write, as :func:`aximo_db.output.writing` does; or an open one, for text in UTF-8.
        customer: whose; ``None`` for the session's.
        now: when the report is made, with an offset.

    Raises:
        CustomerError: there is no such customer for this login, or none was named and it has not exactly one.
        InstallationError: the library that draws the charts is not installed.
        OSError: the file can't be written.
        ValueError: ``now`` has no offset.
    """
    if now.tzinfo is None:
        raise ValueError("now needs an offset")
    draw = _drawing()
    page = _page(_read(connection, customer), now.astimezone(UTC), draw)
    if not isinstance(path_or_file, str | Path):
        path_or_file.write(page)
        return
    write_text(path_or_file, page)


def _read(connection: psycopg.Connection[Any], customer: str | None) -> dict[str, Any]:
    values = {"days": _DAYS, "views": list(_VIEWS)}
    if customer is None:
        return ask(connection, _REPORT, values)
    with connection.transaction():
        setting = LedgerCursor(connection)
        before = setting.execute(statements.GET_CUSTOMER).fetchone() or ("",)
        setting.execute(statements.SET_CUSTOMER, (customer,))
        found = ask(connection, _REPORT, values)
        # In a transaction of the caller's the setting would stay.
        setting.execute(statements.SET_CUSTOMER, before)
    return found


# Drawing

_Draw = Callable[[dict[str, Any]], str]


def _drawing() -> _Draw:
    """What makes an SVG of a Vega-Lite specification: a library in native code, that starts no program."""
    try:
        library = importlib.import_module("vl_convert")
    except ImportError as error:
        raise InstallationError(
            "the library that draws charts is not installed",
            rule="charts_present",
            hint="Install it: pip install 'aximo-db[report]'.",
        ) from error

    def draw(spec: dict[str, Any]) -> str:
        # Without a base URL that is allowed it fetches nothing, whatever a specification says.
        svg: str = library.vegalite_to_svg(spec, vl_version=_VEGA_LITE, allowed_base_urls=[])
        return svg

    return draw


def _colour(name: str) -> str:
    return _COLOURS[name][0]


_CONFIG: Final[dict[str, Any]] = {
    "background": None,
    "font": "Helvetica, Arial, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": _colour("text"),
        "labelFontSize": 11,
        "domainColor": _colour("axis"),
        "tickColor": _colour("axis"),
        "gridColor": _colour("grid"),
        "title": None,
    },
    "axisY": {"domain": False, "ticks": False, "labelPadding": 6},
    "axisX": {"grid": False, "labelPadding": 4},
}


class _Charts:
    """Draws charts, and tells their parts apart in one document."""

    def __init__(self, draw: _Draw, days: Sequence[str]) -> None:
        self._draw = draw
        self._numbers = itertools.count()
        self.days = days

    def svg(self, spec: dict[str, Any], label: str, kind: str) -> str:
        """A chart as an element of the page.

        Args:
            spec: in Vega-Lite, without configuration.
            label: what it shows, for who can't see it.
            kind: the class of its width.
        """
        root = ElementTree.fromstring(self._draw({**spec, "config": _CONFIG}))  # noqa: S314  # made by the line itself
        _strip(root, f"c{next(self._numbers)}-")
        for name in ("width", "height"):
            root.attrib.pop(name, None)
        root.attrib.update({"class": f"chart {kind}", "role": "img", "aria-label": label})
        return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)

    def pair(self, make: Callable[[int], dict[str, Any]], label: str) -> str:
        """A chart for wide and one for narrow windows."""
        return self.svg(make(_WIDE), label, "wide") + self.svg(make(_NARROW), label, "narrow")

    def x(self, width: int) -> dict[str, Any]:
        """The axis of days: all of them, as many named as there is room for."""
        step = max(1, math.ceil(len(self.days) * 62 / (width - 60)))
        if 1 < step < 7 and len(self.days) > 14:
            step = 7 if step > 2 else step
        elif step > 7:
            step = 7 * math.ceil(step / 7)
        return {
            "field": "day",
            "type": "ordinal",
            "scale": {"domain": list(self.days), "paddingInner": 0, "paddingOuter": 0},
            "axis": {
                "values": list(self.days[::step]),
                "labelAngle": 0,
                "labelExpr": "utcFormat(utcParse(datum.value, '%Y-%m-%d'), '%-d %b')",
                "labelFlush": False,
                "labelOverlap": False,
                "tickBand": "center",
            },
        }

    def bar_width(self, width: int) -> float:
        """How wide a day's bar is, in pixels."""
        return round(max(1.0, min(30.0, (width - 60) / len(self.days) * 0.78)), 2)

    def hits(self, width: int, told: dict[str, str]) -> dict[str, Any]:
        """A layer that answers a pointer with all there is to say about a day."""
        return {
            "data": {"values": [{"day": day, "told": told[day]} for day in self.days if day in told]},
            "mark": {"type": "bar", "color": _HIT, "width": {"band": 1}},
            "encoding": {
                "x": self.x(width),
                "y": {"value": 0},
                "y2": {"value": "height"},
                "description": {"field": "told"},
            },
        }


def _strip(root: ElementTree.Element, prefix: str) -> None:
    """Makes descriptions titles, which browsers show, and leaves out what says nothing here."""
    for parent in list(root.iter()):
        for child in list(parent):
            empty = child.tag == f"{{{_SVG}}}path" and child.get("d", "") in ("", "M0,0h0v0h0Z")
            if empty or child.get("class") in ("background", "foreground"):
                parent.remove(child)
    for element in root.iter():
        told = element.attrib.pop("aria-label", None)
        described = element.get("role") == "graphics-symbol" and element.get("fill") == _HIT
        for name in ("class", "role", "aria-roledescription", "aria-hidden", "pointer-events", "style", "opacity"):
            if name != "opacity" or element.get(name) == "1":
                element.attrib.pop(name, None)
        for name, value in element.attrib.items():
            if name == "id":
                element.set(name, prefix + value)
            elif "url(#" in value:
                element.set(name, value.replace("url(#", f"url(#{prefix}"))
            elif name in ("d", "transform"):
                element.set(name, re.sub(r"-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}", value))
        if told and described:
            title = ElementTree.Element(f"{{{_SVG}}}title")
            title.text = told
            element.insert(0, title)


ElementTree.register_namespace("", _SVG)


def _base(width: int, height: int, left: float = 50) -> dict[str, Any]:
    """The size of a chart, and of the room for its axes: fixed, as the fonts of those who open it are not known."""
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": width - left - 12,
        "height": height - 32,
        "autosize": {"type": "none"},
        "padding": {"left": left, "right": 12, "top": 8, "bottom": 24},
    }


def _counts(highest: int) -> dict[str, Any]:
    """The scale and axis of counts from nought: whole numbers, about four of them."""
    steps = (base * 10**power for power in itertools.count() for base in (1, 2, 5))
    highest = max(highest, 1)
    step = next(each for each in steps if highest <= 5 * each)
    ticks = list(range(0, highest + step, step))
    return {
        "type": "quantitative",
        "stack": "zero",
        "scale": {"domain": [0, ticks[-1]], "nice": False},
        "axis": {"values": ticks, "format": ",~r"},
    }


# The axis of counts, when it lies.
_LYING: Final = {"grid": True, "domain": False, "ticks": False}


def _stacked(
    charts: _Charts, width: int, rows: Sequence[dict[str, Any]], parts: Sequence[tuple[str, str, str]]
) -> dict[str, Any]:
    """Bars by day, of parts that are added up.

    Args:
        charts: the document's.
        width: in pixels.
        rows: by day.
        parts: column, label and colour, from the bottom up.
    """
    values = [
        {"day": row["day"], "part": column, "value": row[column], "order": place}
        for row in rows
        for place, (column, _, _) in enumerate(parts)
        if row[column] > 0
    ]
    return {
        **_base(width, 220),
        "layer": [
            {
                "data": {"values": values},
                "mark": {"type": "bar", "width": charts.bar_width(width)},
                "encoding": {
                    "x": charts.x(width),
                    "y": {"field": "value", **_counts(max(sum(row[column] for column, _, _ in parts) for row in rows))},
                    "color": {
                        "field": "part",
                        "type": "nominal",
                        "scale": {
                            "domain": [column for column, _, _ in parts],
                            "range": [_colour(colour) for _, _, colour in parts],
                        },
                        "legend": None,
                    },
                    "order": {"field": "order", "type": "quantitative"},
                },
            },
            charts.hits(width, {row["day"]: _told(row, parts) for row in rows}),
        ],
    }


def _told(row: dict[str, Any], parts: Iterable[tuple[str, str, str]]) -> str:
    return "\n".join([_day(row["day"]), *(f"{label}: {row[column]:,}" for column, label, _ in parts)])


def _has_neighbour(values: Sequence[float | None], place: int) -> bool:
    return any(0 <= beside < len(values) and values[beside] is not None for beside in (place - 1, place + 1))


def _lines(
    charts: _Charts,
    width: int,
    lines: Sequence[tuple[str, str, float]],
    values: dict[str, dict[str, float | None]],
    y: dict[str, Any],
) -> list[dict[str, Any]]:
    """Layers of lines through days that follow each other; a day that stands alone is a point.

    Args:
        charts: the document's.
        width: in pixels.
        lines: name, colour and stroke width, those below first.
        values: by name and day.
        y: the axis.
    """
    many = len(charts.days) > 40
    layers: list[dict[str, Any]] = []
    for name, colour, stroke in lines:
        known = [values[name].get(day) for day in charts.days]
        points = [
            {"day": day, "value": value}
            for place, (day, value) in enumerate(zip(charts.days, known, strict=True))
            if value is not None and not (many and _has_neighbour(known, place))
        ]
        x = charts.x(width)
        layers.append(
            {
                "data": {
                    "values": [{"day": day, "value": value} for day, value in zip(charts.days, known, strict=True)]
                },
                "mark": {
                    "type": "line",
                    "strokeWidth": stroke,
                    "color": _colour(colour),
                    "invalid": "break-paths-show-domains",
                },
                "encoding": {"x": x, "y": y},
            }
        )
        if points:
            layers.append(
                {
                    "data": {"values": points},
                    "mark": {"type": "circle", "size": 8 + 8 * stroke, "opacity": 1, "color": _colour(colour)},
                    "encoding": {"x": x, "y": y},
                }
            )
    return layers


def _rate_top(rates: dict[str, float | None], limits: dict[str, float], alerts: Sequence[dict[str, Any]]) -> float:
    """Where the axis of a rate ends. Alerts far above all else are put there, so that they do not flatten the line."""
    usual = max([*limits.values(), *(rate for rate in rates.values() if rate), 0.01])
    highest = max([usual, *(row["value"] for row in alerts)])
    return 1.06 * (highest if highest <= 2.5 * usual else 2 * usual)


def _rates(
    charts: _Charts,
    width: int,
    rates: dict[str, float | None],
    limits: dict[str, float],
    alerts: Sequence[dict[str, Any]],
    told: dict[str, str],
) -> dict[str, Any]:
    """A rate by day, its thresholds, and the deployments that were above theirs.

    Args:
        charts: the document's.
        width: in pixels.
        rates: of all deployments together, by day.
        limits: the thresholds, by level.
        alerts: rows of the view, of this rate.
        told: what to say about a day.
    """
    top = _rate_top(rates, limits, alerts)
    y = {
        "field": "value",
        "type": "quantitative",
        "scale": {"domain": [0, top], "nice": 4, "clamp": True},
        "axis": {"format": "~%", "tickCount": 4},
    }
    layers: list[dict[str, Any]] = [
        {
            "data": {"values": [{"value": limit}]},
            "mark": {"type": "rule", "strokeDash": [5, 4], "strokeWidth": 1.4, "color": _colour(level)},
            "encoding": {"y": y},
        }
        for level, limit in limits.items()
    ]
    layers += _lines(charts, width, [("rate", "rate", 1.8)], {"rate": rates}, y)
    for level, shape in (("warning", "triangle-up"), ("escalation", "diamond")):
        points = [{"day": row["day"], "value": row["value"]} for row in alerts if row["level"] == level]
        if points:
            mark = {"type": "point", "shape": shape, "filled": False, "size": 34, "strokeWidth": 1.6, "opacity": 1}
            layers.append(
                {
                    "data": {"values": points},
                    "mark": {**mark, "color": _colour(level)},
                    "encoding": {"x": charts.x(width), "y": y},
                }
            )
    layers.append(charts.hits(width, told))
    return {**_base(width, 220), "layer": layers}


_STEPS: Final = tuple(
    # Microseconds to days, where people look for a tick.
    [base * 10**power for power in range(-3, 3) for base in (1.0, 2.0, 5.0)]
    + [base * 1000.0 for base in (1, 2, 5, 10, 15, 30)]
    + [base * 60_000.0 for base in (1, 2, 5, 10, 15, 30)]
    + [base * 3_600_000.0 for base in (1, 2, 4, 8, 12)]
    + [base * 86_400_000.0 for base in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)]
)
_DECADES: Final = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0, 10_000.0, 60_000.0, 600_000.0, 3_600_000.0, 36_000_000.0)


def _time_axis(values: Iterable[float | None]) -> tuple[dict[str, Any], bool]:
    """The axis of times in milliseconds, and whether it is logarithmic: if they are far apart."""
    known = [value for value in values if value is not None]
    highest = max([*known, 0.001])
    lowest = min((value for value in known if value > 0), default=highest)
    wide = highest > 30 * lowest
    if wide:
        decades = [
            *_DECADES,
            *itertools.takewhile(lambda each: each < highest * 10, (86_400_000.0 * 10**n for n in range(40))),
        ]
        above = next((each for each in decades if each >= highest), highest)
        below = max((each for each in decades if each <= lowest), default=decades[0])
        ticks = [each for each in decades if below <= each <= above]
        scale: dict[str, Any] = {"type": "log", "domain": [below, above], "nice": False, "clamp": True}
    else:
        step = next((each for each in _STEPS if highest / each <= 4.2), highest / 4)
        ticks = [step * place for place in range(math.ceil(highest / step) + 1)]
        scale = {"domain": [0, ticks[-1]], "nice": False}
    # The names of ticks, which are numbers that are made here.
    names = "".join(f"datum.value == {tick!r} ? '{human_ms(tick) if tick else '0'}' : " for tick in ticks) + "''"
    axis = {"values": ticks, "labelExpr": names}
    return {"field": "value", "type": "quantitative", "scale": scale, "axis": axis}, wide


# Words

_Cells = Sequence[Sequence[str]]


def _text(value: object) -> str:
    """Anybody's text, for the page's."""
    return escape(visible(str(value)))


def _name(value: object) -> str:
    """A name that somebody gave: whichever way it is written, it does not turn what is beside it."""
    return f"<bdi>{_text(value)}</bdi>"


def _day(day: str) -> str:
    moment = date.fromisoformat(day)
    return f"{moment.day} {moment:%b %Y}"


def _minute(moment: str | datetime | None) -> str:
    if moment is None:
        return "–"
    known = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return known.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _badge(level: str | None) -> str:
    return f' <span class="level {level}">{level}</span>' if level in ("ok", "warning", "escalation") else ""


def _table(label: str, heads: Sequence[str], rows: _Cells, *, text: int = 1) -> str:
    """A table whose first columns are text and whose others are numbers; the cells are HTML.

    Args:
        label: what is in it.
        heads: the names of its columns.
        rows: their cells.
        text: how many columns are text.
    """
    kinds = ["w" if place < text else "n" for place in range(len(heads))]
    head = "".join(f'<th scope="col" class="{kind}">{each}</th>' for kind, each in zip(kinds, heads, strict=True))
    body = "".join(
        "<tr>" + "".join(f'<td class="{kind}">{cell}</td>' for kind, cell in zip(kinds, row, strict=True)) + "</tr>\n"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}"><table><thead><tr>{head}</tr>'
        f"</thead><tbody>\n{body}</tbody></table></div>"
    )


def _numbers(title: str, heads: Sequence[str], rows: _Cells) -> str:
    return f"<details><summary>Numbers</summary>{_table(title + ', numbers', heads, rows)}</details>"


def _legend(entries: Iterable[tuple[str, str, str]]) -> str:
    """What is what: a shape (``bar``, ``line``, ``dash``, ``triangle`` or ``diamond``), a colour and a label."""
    shapes = {
        "bar": '<rect x="1" y="1" width="12" height="10" rx="2" fill="{}"/>',
        "line": '<path d="M0,6h14" stroke="{}" stroke-width="2.4"/>',
        "dash": '<path d="M0,6h14" stroke="{}" stroke-width="1.8" stroke-dasharray="4,3"/>',
        "triangle": '<path d="M7,2L12,10H2Z" fill="none" stroke="{}" stroke-width="1.6"/>',
        "diamond": '<path d="M7,1L12,6L7,11L2,6Z" fill="none" stroke="{}" stroke-width="1.6"/>',
    }
    items = "".join(
        f'<li><svg viewBox="0 0 14 12" aria-hidden="true">{shapes[shape].format(_colour(colour))}</svg>{label}</li>'
        for shape, colour, label in entries
    )
    return f'<ul class="legend">{items}</ul>'


def _figure(title: str, chart: str, *, legend: str = "", definition: str = "", numbers: str = "") -> str:
    note = f'<p class="def">{definition}</p>' if definition else ""
    return f"<figure><figcaption><h3>{title}</h3></figcaption>{legend}{chart}{note}{numbers}</figure>\n"


def _none(sentence: str) -> str:
    return f'<p class="none">{sentence}</p>\n'


# The page


class _Definitions:
    """What the views' comments say."""

    def __init__(self, views: Iterable[dict[str, Any]]) -> None:
        self.views = list(views)
        self._columns = {view["view"]: dict(view["columns"]) for view in self.views}

    def of(self, view: str, *columns: str) -> str:
        """The definitions of some columns, as HTML."""
        known = ((column, self._columns.get(view, {}).get(column)) for column in columns)
        return " ".join(f"<b>{_text(column)}</b>: {_text(meaning)}" for column, meaning in known if meaning)

    def hint(self, view: str, column: str) -> str:
        """The definition of a column, as the attribute that shows it."""
        meaning = self._columns.get(view, {}).get(column)
        return f' title="{_text(meaning)}"' if meaning else ""

    def all(self) -> str:
        """Every definition, by view."""
        parts = []
        for view in self.views:
            columns = "".join(
                f"<dt>{_text(name)}</dt><dd>{_text(meaning or '–')}</dd>\n" for name, meaning in view["columns"]
            )
            parts.append(
                f"<details><summary>aximo_metrics.{_text(view['view'])}: {_text(view['meaning'] or '')}</summary>"
                f"<dl>{columns}</dl></details>\n"
            )
        return "".join(parts)


def _page(found: dict[str, Any], now: datetime, draw: _Draw) -> str:
    told = _Definitions(found["definitions"] or ())
    customer = _name(found["customer_id"])
    sections = list(_sections(found, told, draw)) if found["overview"] is not None else []
    links = "".join(f'<a href="#{key}">{title}</a>' for key, title, _ in sections)
    body = "".join(
        f'<section aria-labelledby="{key}"><h2 id="{key}">{title}</h2>\n{content}</section>\n'
        for key, title, content in sections
    )
    fresh = found["freshness"] or {"counts_up_to": 0, "refreshed_at": None, "behind": 0}
    if not sections:
        body = _none(f"No events are counted for {customer} yet.")
    style = _CSS + _paint()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    navigation = f'<nav aria-label="Sections">{links}</nav>\n' if links else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>{_text(found['customer_id'])}: metrics</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f"<header><h1>Metrics of {customer}</h1>\n{_head(found, fresh, now)}{navigation}</header>\n"
        f"<main>\n{body}</main>\n"
        f'<footer><h2 id="definitions">What the numbers mean</h2>\n{told.all()}'
        f'<p class="dim note">Made by aximo-db {_text(__version__)} on {_minute(now)}, from the views in '
        "aximo_metrics. Days and months are in UTC.</p></footer>\n</body>\n</html>\n"
    )


def _paint() -> str:
    """The rules that repaint charts in the dark, and that show what a pointer is at."""
    dark = "".join(
        f'svg [{attribute}="{light}"]{{{attribute}:{dark}}}'
        for light, dark in _COLOURS.values()
        for attribute in ("fill", "stroke")
    )
    return (
        f'svg [fill="{_HIT}"]{{fill-opacity:0}}svg [fill="{_HIT}"]:hover{{fill-opacity:.16}}\n'
        f"@media (prefers-color-scheme:dark){{{dark}}}\n"
    )


def _head(found: dict[str, Any], fresh: dict[str, Any], now: datetime) -> str:
    lines = []
    if found["first_day"] is not None:
        first, last = found["first_day"], found["last_day"]
        period = _day(first) if first == last else f"{_day(first)} to {_day(last)}"
        begun = found["overview"] and found["overview"]["first_event_at"]
        since = "; totals are since the beginning" if begun else ""
        cut = f", the last {_DAYS} days" if begun and begun[:10] < first else ""
        lines.append(f"<p>{period}{cut}{since}.</p>\n")
    if fresh["refreshed_at"] is None:
        refreshed = "never refreshed"
    else:
        moment = datetime.fromisoformat(fresh["refreshed_at"])
        age = human_ms(max((now - moment) / timedelta(milliseconds=1), 0.0))
        refreshed = f"refreshed at {_minute(moment)}, {age} before this report"
    behind = f"{fresh['behind']:,} behind"
    if fresh["behind"]:
        behind = f'<span class="level warning">{behind}</span>'
    lines.append(f'<p class="dim">Counts up to log number {fresh["counts_up_to"]:,}, {refreshed}, {behind}.</p>\n')
    return "".join(lines)


def _sections(found: dict[str, Any], told: _Definitions, draw: _Draw) -> Iterator[tuple[str, str, str]]:
    first, last = date.fromisoformat(found["first_day"]), date.fromisoformat(found["last_day"])
    days = [(first + timedelta(days=number)).isoformat() for number in range((last - first).days + 1)]
    charts = _Charts(draw, days)
    limits = customer_thresholds(found["thresholds"])
    yield "overview", "Since the beginning", _cards(found["overview"], told, limits)
    yield "executions", "Executions", _executions(found, told, charts, limits)
    yield "time", "Execution time", _times(found["health"], told, charts)
    yield "actions", "Actions", _actions(found["actions"], told, charts)
    yield "leads", "Leads", _leads(found["value"], told, charts)
    yield "approvals", "Approvals", _approvals(found["governance"], told, charts)
    yield "service-levels", "Service levels and escalations", _service_levels(found, told, charts, limits)
    yield "deployments", "Deployments", _deployments(found["deployments"])
    yield "alerts", "Alerts", _alerts(found)
    yield "billing", "Billing", _billing(found["billing"], told)


def _cards(row: dict[str, Any], told: _Definitions, limits: dict[tuple[str, str], float]) -> str:
    error = rate_level(row["error_rate"], "error_rate", limits)
    breach = rate_level(row["sla_breach_rate"], "sla_breach_rate", limits)
    times = ", ".join(
        f'<span class="nb">{name} {human_ms(row[f"execution_time_{name}_ms"])}</span>' for name in ("p95", "p99")
    )
    cards = (
        ("executions", "executions", f"{row['executions']:,}", f"{row['completed']:,} completed"),
        ("open", "open", f"{row['open']:,}", "not ended yet"),
        ("error_rate", "error rate", human_rate(row["error_rate"]), f"{row['failed']:,} failed{_badge(error)}"),
        ("execution_time_p50_ms", "execution time, p50", human_ms(row["execution_time_p50_ms"]), times),
        ("execution_time_avg_ms", "execution time, average", human_ms(row["execution_time_avg_ms"]), ""),
        ("actions_dispatched", "actions dispatched", f"{row['actions_dispatched']:,}", ""),
        ("leads", "leads", f"{row['leads']:,}", ""),
        ("lead_conversion_rate", "lead conversion", human_rate(row["lead_conversion_rate"]), "leads per execution"),
        ("approvals_open", "approvals open", f"{row['approvals_open']:,}", "not answered yet"),
        (
            "sla_breaches",
            "SLA breaches",
            f"{row['sla_breaches']:,}",
            f"{human_rate(row['sla_breach_rate'])} of completed{_badge(breach)}",
        ),
        ("deployments", "deployments", f"{row['deployments']:,}", f"{row['active_deployments']:,} active"),
        ("events", "events", f"{row['events']:,}", f"since {row['first_event_at'][:10]}"),
    )
    items = "".join(
        f'<li class="card"{told.hint("customer_overview", column)}><span class="label">{label}</span><b>{value}</b>'
        f'<span class="sub">{sub or "&nbsp;"}</span></li>\n'
        for column, label, value, sub in cards
    )
    return f'<ul class="cards">\n{items}</ul>\n'


def _summed(rows: Iterable[dict[str, Any]], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Counts by day, of all series: these, unlike percentiles, can be added up."""
    days: dict[str, dict[str, Any]] = {}
    for row in rows:
        day = days.setdefault(row["day"], {"day": row["day"], **dict.fromkeys(columns, 0)})
        for column in columns:
            day[column] += row[column]
    return [days[day] for day in sorted(days)]


def _rate_legend(label: str, limits: dict[str, float], alerts: Sequence[dict[str, Any]]) -> str:
    seen = {row["level"] for row in alerts}
    entries = [("line", "rate", f"{label}, all deployments")]
    entries += [("dash", level, f"{level} above {human_rate(limit)}") for level, limit in limits.items()]
    entries += [
        (shape, level, f"{level} of a deployment")
        for shape, level in (("triangle", "warning"), ("diamond", "escalation"))
        if level in seen
    ]
    return _legend(entries)


def _of_metric(limits: dict[tuple[str, str], float], metric: str) -> dict[str, float]:
    return {level: limits[metric, level] for level in ("warning", "escalation") if (metric, level) in limits}


def _rate_told(
    rows: Iterable[dict[str, Any]], part: str, whole: str, label: str, alerts: Sequence[dict[str, Any]]
) -> dict[str, str]:
    lines: dict[str, list[str]] = {}
    for row in rows:
        rate = human_rate(row[part] / row[whole]) if row[whole] else "–"
        lines[row["day"]] = [_day(row["day"]), f"{label}: {rate} ({row[part]:,} of {row[whole]:,})"]
    for alert in alerts:
        lines.setdefault(alert["day"], [_day(alert["day"])]).append(
            f"{alert['level']}: {visible(alert['deployment_id'])} {human_rate(alert['value'])}"
        )
    return {day: "\n".join(told) for day, told in lines.items()}


def _rate_figure(
    title: str,
    rows: Sequence[dict[str, Any]],
    columns: tuple[str, str, str],
    found: dict[str, Any],
    limits: dict[tuple[str, str], float],
    definition: str,
    charts: _Charts,
) -> str:
    """A rate by day with its thresholds and alerts.

    Args:
        title: the figure's.
        rows: counts by day.
        columns: the metric, and the counts it is made of: what is counted, and out of what.
        found: all that was read.
        limits: the thresholds.
        definition: as HTML.
        charts: the document's.
    """
    metric, part, whole = columns
    alerts = [row for row in found["alerts"] if row["metric"] == metric]
    levels = _of_metric(limits, metric)
    rates = {row["day"]: row[part] / row[whole] if row[whole] else None for row in rows}
    told = _rate_told(rows, part, whole, title.lower(), alerts)
    chart = charts.pair(
        lambda width: _rates(charts, width, rates, levels, alerts, told),
        f"{title} by day, with its thresholds, from {_day(charts.days[0])} to {_day(charts.days[-1])}",
    )
    worst = {day: worst_level(row["level"] for row in alerts if row["day"] == day) for day in rates}
    cells = [
        (
            row["day"],
            f"{row[part]:,}",
            f"{row[whole]:,}",
            human_rate(rates[row["day"]]),
            _badge(worst[row["day"]]) if rates[row["day"]] is not None else "",
        )
        for row in rows
    ]
    heads = ("day", part.replace("_", " "), whole.replace("_", " "), title.lower(), "worst deployment")
    legend = _rate_legend(title, levels, alerts)
    if any(row["value"] > _rate_top(rates, levels, alerts) for row in alerts):
        legend += '<p class="note dim">What is higher than the axis is at its upper edge.</p>'
    own = [row for row in found["thresholds"] if row["scope"] == "deployment" and row["metric"] == metric]
    if own:
        definition += f" {len({row['deployment_id'] for row in own}):,} deployments have thresholds of their own."
    return _figure(title, chart, legend=legend, definition=definition, numbers=_numbers(title, heads, cells))


def _count_figure(
    title: str,
    rows: Sequence[dict[str, Any]],
    parts: Sequence[tuple[str, str, str]],
    definition: str,
    charts: _Charts,
) -> str:
    used = [part for part in parts if any(row[part[0]] for row in rows)]
    label = f"{title}: " + ", ".join(f"{sum(row[column] for row in rows):,} {name}" for column, name, _ in used)
    chart = charts.pair(lambda width: _stacked(charts, width, rows, used), label)
    cells = [(row["day"], *(f"{row[column]:,}" for column, _, _ in parts)) for row in rows]
    return _figure(
        title,
        chart,
        legend=_legend([("bar", colour, name) for _, name, colour in used]),
        definition=definition,
        numbers=_numbers(title, ("day", *(name for _, name, _ in parts)), cells),
    )


def _executions(
    found: dict[str, Any], told: _Definitions, charts: _Charts, limits: dict[tuple[str, str], float]
) -> str:
    rows = _summed(found["health"], ("triggered", "completed", "failed", "open"))
    if not any(row["triggered"] or row["completed"] or row["failed"] for row in rows):
        return _none("There were no executions.")
    parts = (("completed", "completed", "completed"), ("failed", "failed", "failed"), ("open", "open", "open"))
    view = "execution_health"
    counts = _count_figure("Executions", rows, parts, told.of(view, "completed", "failed", "open"), charts)
    definition = told.of(view, "error_rate") + " " + told.of("alerts", "threshold")
    columns = ("error_rate", "failed", "triggered")
    rates = _rate_figure("Error rate", rows, columns, found, limits, definition, charts)
    return f'<div class="grid">{counts}{rates}</div>\n'


def _times(rows: Sequence[dict[str, Any]], told: _Definitions, charts: _Charts) -> str:
    series: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["execution_time_count"]:
            series[row["deployment_id"], row["skill_id"], row["skill_version"]].append(row)
    if not series:
        return _none("No execution ended.")
    ranked = sorted(series.items(), key=lambda item: (-sum(row["execution_time_count"] for row in item[1]), item[0]))
    shown = ranked[:_PANELS]
    names = ("p50", "p95", "p99")
    y, wide = _time_axis(row[f"execution_time_{name}_ms"] for _, rows in shown for row in rows for name in names)
    panels = []
    for (deployment, skill, version), days in shown:
        values = {name: {row["day"]: row[f"execution_time_{name}_ms"] for row in days} for name in names}
        hints = {
            row["day"]: "\n".join(
                [
                    _day(row["day"]),
                    *(f"{name}: {human_ms(row[f'execution_time_{name}_ms'])}" for name in names),
                    f"{row['execution_time_count']:,} executions",
                ]
            )
            for row in days
        }
        spec = {
            **_base(_NARROW, 170),
            "layer": [
                *_lines(charts, _NARROW, [("p99", "p99", 3.6), ("p95", "p95", 1.8), ("p50", "p50", 1.8)], values, y),
                charts.hits(_NARROW, hints),
            ],
        }
        label = f"Execution time by day of {visible(deployment)}, {visible(skill)} {visible(version)}"
        cells = [
            (
                row["day"],
                f"{row['execution_time_count']:,}",
                human_ms(row["execution_time_avg_ms"]),
                *(human_ms(row[f"execution_time_{name}_ms"]) for name in names),
            )
            for row in days
        ]
        numbers = _numbers(label, ("day", "executions", "average", *names), cells)
        title = f"{_name(deployment)} <span class='dim'>{_name(skill)} {_name(version)}</span>"
        panels.append(_figure(title, charts.svg(spec, label, "small"), numbers=numbers))
    legend = _legend([("line", name, name) for name in names])
    rest = len(ranked) - len(shown)
    notes = ["Percentiles of several can't be added up or averaged: each deployment and version has its own."]
    if wide:
        notes.append("The axis is logarithmic.")
    if rest:
        notes.append(f"Shown are the {len(shown)} with the most executions; there are {rest:,} more.")
    columns = [f"execution_time_{name}_ms" for name in names]
    definition = told.of("execution_health", *columns)
    return (
        f'<p class="note dim">{" ".join(notes)}</p>{legend}<div class="panels">{"".join(panels)}</div>'
        f'<p class="def">{definition}</p>\n'
    )


def _actions(rows: Sequence[dict[str, Any]], told: _Definitions, charts: _Charts) -> str:
    rows = [row for row in rows if row["prepared"] or row["dispatched"] or row["failed"]]
    if not rows:
        return _none("There were no actions.")
    labels: list[str] = []
    for row in rows[:_TYPES]:
        label = "(none stated)" if row["action_type"] is None else visible(row["action_type"])
        # Vega-Lite tells them apart by their label.
        label = label if len(label) <= 60 else label[:59] + "…"
        labels.append(label if label not in labels else f"{label} ({len(labels) + 1})")
    values = [
        {"type": label, "part": part, "value": row[part], "order": place}
        for label, row in zip(labels, rows, strict=False)
        for place, part in enumerate(("dispatched", "failed"))
        if row[part]
    ]
    hints = [
        {
            "type": label,
            "told": "\n".join([label, *(f"{name}: {row[name]:,}" for name in ("prepared", "dispatched", "failed"))]),
        }
        for label, row in zip(labels, rows, strict=False)
    ]

    longest = max(len(label) for label in labels)
    scale = _counts(max(row["dispatched"] + row["failed"] for row in rows))

    def make(width: int) -> dict[str, Any]:
        limit = 180 if width == _WIDE else 100
        y = {
            "field": "type",
            "type": "nominal",
            "scale": {"domain": labels, "paddingInner": 0.3, "paddingOuter": 0.15},
            "axis": {"labelLimit": limit, "grid": False},
        }
        return {
            **_base(width, 40 + 26 * len(labels), left=round(min(1.2 * limit, 7.2 * longest) + 12)),
            "layer": [
                {
                    "data": {"values": values},
                    "mark": {"type": "bar"},
                    "encoding": {
                        "y": y,
                        "x": {"field": "value", **scale, "axis": {**scale["axis"], **_LYING}},
                        "color": {
                            "field": "part",
                            "type": "nominal",
                            "scale": {
                                "domain": ["dispatched", "failed"],
                                "range": [_colour("dispatched"), _colour("failed")],
                            },
                            "legend": None,
                        },
                        "order": {"field": "order", "type": "quantitative"},
                    },
                },
                {
                    "data": {"values": hints},
                    "mark": {"type": "bar", "color": _HIT},
                    "encoding": {
                        "y": y,
                        "x": {"value": 0},
                        "x2": {"value": "width"},
                        "description": {"field": "told"},
                    },
                },
            ],
        }

    cells = [
        (
            _name("none stated" if row["action_type"] is None else row["action_type"]),
            f"{row['prepared']:,}",
            f"{row['dispatched']:,}",
            f"{row['failed']:,}",
        )
        for row in rows[:_DEPLOYMENTS]
    ]
    rest = len(rows) - len(labels)
    total = f"{sum(row['dispatched'] for row in rows):,} dispatched, {sum(row['failed'] for row in rows):,} failed"
    title = "Actions by type"
    chart = _figure(
        title + (f", the {len(labels)} most frequent of {len(rows):,}" if rest else ""),
        charts.pair(make, f"{title}: {total}"),
        legend=_legend([("bar", "dispatched", "dispatched"), ("bar", "failed", "failed")]),
        definition=told.of("actions", "dispatched", "failed"),
    )
    table = _table(title, ("action type", "prepared", "dispatched", "failed"), cells)
    return f'<div class="grid">{chart}<figure><figcaption><h3>Numbers</h3></figcaption>{table}</figure></div>\n'


def _leads(rows: Sequence[dict[str, Any]], told: _Definitions, charts: _Charts) -> str:
    if not any(row["leads"] for row in rows):
        return _none("There were no leads.")
    counted = [{**row, "other_leads": row["leads"] - row["emergency_leads"]} for row in rows]
    parts = (("other_leads", "other leads", "leads"), ("emergency_leads", "emergency leads", "emergency"))
    view = "business_value"
    counts = _count_figure("Leads", counted, parts, told.of(view, "leads", "emergency_leads"), charts)
    rates = {row["day"]: row["leads"] / row["conversations"] if row["conversations"] else None for row in rows}
    hints = _rate_told(rows, "leads", "conversations", "lead conversion", ())
    title = "Lead conversion"

    def make(width: int) -> dict[str, Any]:
        y = {
            "field": "value",
            "type": "quantitative",
            "scale": {"domainMin": 0, "nice": 4},
            "axis": {"format": "~%", "tickCount": 4},
        }
        lines = _lines(charts, width, [("rate", "leads", 1.8)], {"rate": rates}, y)
        return {**_base(width, 220), "layer": [*lines, charts.hits(width, hints)]}

    cells = [
        (row["day"], f"{row['leads']:,}", f"{row['conversations']:,}", human_rate(rates[row["day"]])) for row in rows
    ]
    conversion = _figure(
        title,
        charts.pair(make, f"{title} by day"),
        legend=_legend([("line", "leads", "leads per conversation")]),
        definition=told.of(view, "lead_conversion_rate", "conversations"),
        numbers=_numbers(title, ("day", "leads", "conversations", "conversion"), cells),
    )
    return f'<div class="grid">{counts}{conversion}</div>\n'


def _approvals(rows: Sequence[dict[str, Any]], told: _Definitions, charts: _Charts) -> str:
    parts = (
        ("approvals_granted", "granted", "granted"),
        ("approvals_rejected", "rejected", "rejected"),
        ("approvals_timed_out", "timed out", "timed_out"),
        ("approvals_open", "open", "open"),
    )
    rows = [row for row in rows if row["approvals_requested"] or any(row[column] for column, _, _ in parts)]
    if not rows:
        return _none("No approvals were requested.")
    view = "sla_governance"
    columns = [column for column, _, _ in parts]
    outcomes = _count_figure("Approvals", rows, parts, told.of(view, *columns), charts)
    timed = [row for row in rows if row["approval_delay_avg_ms"] is not None]
    title = "Time to an answer, average"
    if not timed:
        return f'<div class="grid">{outcomes}<figure>{_none("No approval was answered.")}</figure></div>\n'
    y, wide = _time_axis(row["approval_delay_avg_ms"] for row in timed)
    delays = {row["day"]: row["approval_delay_avg_ms"] for row in timed}
    hints = {row["day"]: f"{_day(row['day'])}\n{human_ms(row['approval_delay_avg_ms'])} on average" for row in timed}

    def make(width: int) -> dict[str, Any]:
        lines = _lines(charts, width, [("delay", "timed_out", 1.8)], {"delay": delays}, y)
        return {**_base(width, 220), "layer": [*lines, charts.hits(width, hints)]}

    cells = [(row["day"], human_ms(row["approval_delay_avg_ms"])) for row in timed]
    delay = _figure(
        title,
        charts.pair(make, f"{title}, by day"),
        legend=_legend([("line", "timed_out", "from request to answer" + (", logarithmic" if wide else ""))]),
        definition=told.of(view, "approval_delay_sum_ms", "approval_delay_avg_ms"),
        numbers=_numbers(title, ("day", "average delay"), cells),
    )
    return f'<div class="grid">{outcomes}{delay}</div>\n'


def _service_levels(
    found: dict[str, Any], told: _Definitions, charts: _Charts, limits: dict[tuple[str, str], float]
) -> str:
    parts = (
        ("sla_breaches", "SLA breaches", "breaches"),
        ("escalations", "escalations", "escalations"),
        ("pressure_invocations", "pressure invoked", "pressure"),
        ("suspensions", "suspensions", "suspensions"),
    )
    rows = found["governance"]
    if not any(row[column] for row in rows for column, _, _ in parts):
        return _none("No service level was missed, and nothing was escalated.")
    view = "sla_governance"
    columns = [column for column, _, _ in parts]
    eventful = [row for row in rows if any(row[column] for column in columns)]
    counts = _count_figure("Breaches and escalations", eventful, parts, told.of(view, *columns), charts)
    if not any(row["sla_breaches"] for row in rows):
        return f'<div class="grid">{counts}</div>\n'
    definition = told.of(view, "sla_breach_rate") + " " + told.of("alerts", "threshold")
    names = ("sla_breach_rate", "sla_breaches", "completed")
    rates = _rate_figure("SLA breach rate", rows, names, found, limits, definition, charts)
    return f'<div class="grid">{counts}{rates}</div>\n'


def _rest(number: int, what: str) -> str:
    return f'<p class="note dim">and {number:,} more {what}</p>' if number > 0 else ""


def _deployments(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return _none("No event speaks of a deployment.")
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
            _name(row["deployment_id"]),
            _name(row["skill_id"] or "–"),
            _text(row["skill_version"] or "–"),
            _text(row["status"].replace("_", " ")),
            (row["status_since"] or "–")[:10],
            (row["last_execution_at"] or "–")[:16].replace("T", " "),
            f"{row['triggered']:,}",
            f"{row['failed']:,}",
            f"{row['open']:,}",
            human_rate(row["error_rate"]) + _badge(row["error_level"]),
            f"{row['sla_breaches']:,}",
            human_rate(row["sla_breach_rate"]) + _badge(row["sla_level"]),
        )
        for row in rows[:_DEPLOYMENTS]
    ]
    table = _table("Deployments", heads, cells, text=6)
    return f"<figure>{table}{_rest(len(rows) - _DEPLOYMENTS, 'deployments')}</figure>\n"


def _alerts(found: dict[str, Any]) -> str:
    rows = found["alerts"]
    if not rows:
        return _none("Nothing of a deployment was above its threshold.")
    heads = ("day", "deployment", "metric", "level", "value", "above", "count")
    cells = [
        (row["day"], _name(row["deployment_id"]), _text(metric), _badge(row["level"]), value, threshold, counted)
        for row in rows[:_ALERTS]
        for metric, value, threshold, counted in [alert_told(row)]
    ]
    table = _table("Alerts", heads, cells, text=4)
    return f"<figure>{table}{_rest(len(rows) - _ALERTS, 'alerts')}</figure>\n"


def _billing(rows: Sequence[dict[str, Any]], told: _Definitions) -> str:
    if not rows:
        return _none("There is nothing to bill.")
    names = ("executions", "actions", "high_risk_actions", "events")
    heads = ("month", "executions", "actions", "high-risk actions", "events")
    cells = [(row["month"][:7], *(f"{row[name]:,}" for name in names)) for row in rows[-_MONTHS:]]
    definition = told.of("attribution_monthly", *names)
    table = _table("Billing by month", heads, cells)
    rest = _rest(len(rows) - _MONTHS, "months before")
    return f'<figure>{table}{rest}<p class="def">{definition}</p></figure>\n'
