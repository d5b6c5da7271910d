"""The charts of the report, drawn to SVG by Vega-Lite while it is made, so that the page needs no script."""

from __future__ import annotations

import importlib
import itertools
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from xml.etree import ElementTree

from aximo_db.client.errors import InstallationError
from aximo_db.report.values import human_day, human_ms

__all__ = [
    "NARROW",
    "RATE_AXIS",
    "WIDE",
    "Charts",
    "Draw",
    "by_type",
    "drawing",
    "line_chart",
    "paint",
    "rate_top",
    "rates",
    "repainting",
    "stacked",
    "time_axis",
]

# Charts are drawn for two widths, so that their text is never scaled down to what can't be read.
WIDE: Final = 560
NARROW: Final = 330
_VEGA_LITE: Final = "5.20"
_SVG: Final = "http://www.w3.org/2000/svg"

# What is drawn, in light and in dark. The charts are drawn in light; a style sheet repaints them.
COLOURS: Final = {
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
    "running": ("#dfe6ee", "#2c3743"),
    "grid": ("#e4e8ed", "#2c333c"),
    "axis": ("#9aa4b0", "#566170"),
    "text": ("#57606b", "#a3adb9"),
}
# Painted over a day, to answer a pointer; seen only then.
HIT: Final = "#808183"


Draw = Callable[[dict[str, Any]], str]


def drawing() -> Draw:
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


def paint(name: str) -> str:
    """The colour of what is drawn, in light."""
    return COLOURS[name][0]


_CONFIG: Final[dict[str, Any]] = {
    "background": None,
    "font": "Helvetica, Arial, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": paint("text"),
        "labelFontSize": 11,
        "domainColor": paint("axis"),
        "tickColor": paint("axis"),
        "gridColor": paint("grid"),
        "title": None,
    },
    "axisY": {"domain": False, "ticks": False, "labelPadding": 6},
    "axisX": {"grid": False, "labelPadding": 4},
}


class Charts:
    """Draws charts, and tells their parts apart in one document."""

    def __init__(self, draw: Draw, days: Sequence[str], running: str | None = None) -> None:
        self._draw = draw
        self._numbers = itertools.count()
        self.days = days
        #: The day that is not over yet.
        self.running = running

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
        return self.svg(make(WIDE), label, "wide") + self.svg(make(NARROW), label, "narrow")

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

    def layered(
        self, width: int, height: int, layers: Sequence[dict[str, Any]], told: dict[str, str]
    ) -> dict[str, Any]:
        """A chart by day: a ground under the day that is not over yet, layers, and what a pointer is told."""
        ground = []
        if self.running in self.days:
            shape = {"x": self.x(width), "y": {"value": 0}, "y2": {"value": "height"}}
            mark = {"type": "bar", "color": paint("running"), "width": {"band": 1}}
            ground = [{"data": {"values": [{"day": self.running}]}, "mark": mark, "encoding": shape}]
        return {**base(width, height), "layer": [*ground, *layers, self.hits(width, told)]}

    def hits(self, width: int, told: dict[str, str]) -> dict[str, Any]:
        """A layer that answers a pointer with all there is to say about a day."""
        return {
            "data": {"values": [{"day": day, "told": told[day]} for day in self.days if day in told]},
            "mark": {"type": "bar", "color": HIT, "width": {"band": 1}},
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
        described = element.get("role") == "graphics-symbol" and element.get("fill") == HIT
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


def base(width: int, height: int, left: float = 50) -> dict[str, Any]:
    """The size of a chart, and of the room for its axes: fixed, as the fonts of those who open it are not known."""
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": width - left - 12,
        "height": height - 32,
        "autosize": {"type": "none"},
        "padding": {"left": left, "right": 12, "top": 8, "bottom": 24},
    }


def counts(highest: int) -> dict[str, Any]:
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
LYING: Final = {"grid": True, "domain": False, "ticks": False}


def stacked(
    charts: Charts, width: int, rows: Sequence[dict[str, Any]], parts: Sequence[tuple[str, str, str]]
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
    bars = {
        "data": {"values": values},
        "mark": {"type": "bar", "width": charts.bar_width(width)},
        "encoding": {
            "x": charts.x(width),
            "y": {"field": "value", **counts(max(sum(row[column] for column, _, _ in parts) for row in rows))},
            "color": {
                "field": "part",
                "type": "nominal",
                "scale": {
                    "domain": [column for column, _, _ in parts],
                    "range": [paint(colour) for _, _, colour in parts],
                },
                "legend": None,
            },
            "order": {"field": "order", "type": "quantitative"},
        },
    }
    return charts.layered(width, 220, [bars], {row["day"]: _told(row, parts) for row in rows})


def _told(row: dict[str, Any], parts: Iterable[tuple[str, str, str]]) -> str:
    return "\n".join([human_day(row["day"]), *(f"{label}: {row[column]:,}" for column, label, _ in parts)])


def _has_neighbour(values: Sequence[float | None], place: int) -> bool:
    return any(0 <= beside < len(values) and values[beside] is not None for beside in (place - 1, place + 1))


def lines(
    charts: Charts,
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
                    "color": paint(colour),
                    "invalid": "break-paths-show-domains",
                },
                "encoding": {"x": x, "y": y},
            }
        )
        if points:
            layers.append(
                {
                    "data": {"values": points},
                    "mark": {"type": "circle", "size": 8 + 8 * stroke, "opacity": 1, "color": paint(colour)},
                    "encoding": {"x": x, "y": y},
                }
            )
    return layers


def rate_top(rates: dict[str, float | None], limits: dict[str, float], alerts: Sequence[dict[str, Any]]) -> float:
    """Where the axis of a rate ends. Alerts far above all else are put there, so that they do not flatten the line."""
    usual = max([*limits.values(), *(rate for rate in rates.values() if rate), 0.01])
    highest = max([usual, *(row["value"] for row in alerts)])
    return 1.06 * (highest if highest <= 2.5 * usual else 2 * usual)


def rates(
    charts: Charts,
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
    top = rate_top(rates, limits, alerts)
    y = {
        "field": "value",
        "type": "quantitative",
        "scale": {"domain": [0, top], "nice": 4, "clamp": True},
        "axis": {"format": "~%", "tickCount": 4},
    }
    layers: list[dict[str, Any]] = [
        {
            "data": {"values": [{"value": limit}]},
            "mark": {"type": "rule", "strokeDash": [5, 4], "strokeWidth": 1.4, "color": paint(level)},
            "encoding": {"y": y},
        }
        for level, limit in limits.items()
    ]
    layers += lines(charts, width, [("rate", "rate", 1.8)], {"rate": rates}, y)
    for level, shape in (("warning", "triangle-up"), ("escalation", "diamond")):
        points = [{"day": row["day"], "value": row["value"]} for row in alerts if row["level"] == level]
        if points:
            mark = {"type": "point", "shape": shape, "filled": False, "size": 34, "strokeWidth": 1.6, "opacity": 1}
            layers.append(
                {
                    "data": {"values": points},
                    "mark": {**mark, "color": paint(level)},
                    "encoding": {"x": charts.x(width), "y": y},
                }
            )
    return charts.layered(width, 220, layers, told)


_STEPS: Final = tuple(
    # Microseconds to days, where people look for a tick.
    [base * 10**power for power in range(-3, 3) for base in (1.0, 2.0, 5.0)]
    + [base * 1000.0 for base in (1, 2, 5, 10, 15, 30)]
    + [base * 60_000.0 for base in (1, 2, 5, 10, 15, 30)]
    + [base * 3_600_000.0 for base in (1, 2, 4, 8, 12)]
    + [base * 86_400_000.0 for base in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)]
)
_DECADES: Final = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0, 10_000.0, 60_000.0, 600_000.0, 3_600_000.0, 36_000_000.0)


def time_axis(values: Iterable[float | None]) -> tuple[dict[str, Any], bool]:
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


def line_chart(
    charts: Charts,
    width: int,
    height: int,
    lines_: Sequence[tuple[str, str, float]],
    values: dict[str, dict[str, float | None]],
    y: dict[str, Any],
    told: dict[str, str],
) -> dict[str, Any]:
    """Lines by day; the arguments are those of :func:`lines`, with what a pointer is told of a day."""
    return charts.layered(width, height, lines(charts, width, lines_, values, y), told)


#: The axis of a rate without thresholds.
RATE_AXIS: Final[dict[str, Any]] = {
    "field": "value",
    "type": "quantitative",
    "scale": {"domainMin": 0, "nice": 4},
    "axis": {"format": "~%", "tickCount": 4},
}


def by_type(
    width: int, rows: Sequence[tuple[str, dict[str, int]]], parts: Sequence[tuple[str, str]], told: dict[str, str]
) -> dict[str, Any]:
    """Lying bars, one a type, of parts that are added up.

    Args:
        width: in pixels.
        rows: the label of each type, no two alike, and its counts.
        parts: the count and its colour, from the left.
        told: what to say about a type, by its label.
    """
    labels = [label for label, _ in rows]
    limit = 180 if width == WIDE else 100
    scale = counts(max(sum(row[part] for part, _ in parts) for _, row in rows))
    y = {
        "field": "type",
        "type": "nominal",
        "scale": {"domain": labels, "paddingInner": 0.3, "paddingOuter": 0.15},
        "axis": {"labelLimit": limit, "grid": False},
    }
    values = [
        {"type": label, "part": part, "value": row[part], "order": place}
        for label, row in rows
        for place, (part, _) in enumerate(parts)
        if row[part]
    ]
    bars = {
        "data": {"values": values},
        "mark": {"type": "bar"},
        "encoding": {
            "y": y,
            "x": {"field": "value", **scale, "axis": {**scale["axis"], **LYING}},
            "color": {
                "field": "part",
                "type": "nominal",
                "scale": {"domain": [part for part, _ in parts], "range": [paint(name) for _, name in parts]},
                "legend": None,
            },
            "order": {"field": "order", "type": "quantitative"},
        },
    }
    hits = {
        "data": {"values": [{"type": label, "told": text} for label, text in told.items()]},
        "mark": {"type": "bar", "color": HIT},
        "encoding": {"y": y, "x": {"value": 0}, "x2": {"value": "width"}, "description": {"field": "told"}},
    }
    left = round(min(1.2 * limit, 7.2 * max(map(len, labels))) + 12)
    return {**base(width, 40 + 26 * len(labels), left=left), "layer": [bars, hits]}


def repainting() -> str:
    """The rules that repaint charts in the dark, and that show what a pointer is at."""
    dark = "\n".join(
        f'svg [{attribute}="{light}"]{{{attribute}:{dark}}}'
        for light, dark in COLOURS.values()
        for attribute in ("fill", "stroke")
    )
    return (
        f'svg [fill="{HIT}"]{{fill-opacity:0}}\nsvg [fill="{HIT}"]:hover{{fill-opacity:.16}}\n'
        f"@media screen and (prefers-color-scheme:dark){{\n{dark}\n}}\n"
    )
