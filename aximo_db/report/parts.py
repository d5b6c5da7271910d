"""What a page is made of: cards, figures and tables, as values. How they look is said by ``page.html``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal

from aximo_db.files.terminal import visible
from aximo_db.report import charts as drawn

__all__ = ["Caption", "Card", "Cell", "Definitions", "Figure", "Limits", "Report", "Row", "Section", "Table", "Term"]

Row = dict[str, Any]
Limits = dict[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class Term:
    """A word whose definition is shown to who points at it or moves to it."""

    id: str
    label: str
    meaning: str


Caption = Sequence[str | Term]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table; a name that somebody gave does not turn what is beside it, whichever way it is written."""

    text: str = ""
    is_name: bool = False
    level: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table; its cells are text, not HTML."""

    kind: ClassVar = "table"
    label: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    #: How many columns are text; the others are numbers.
    words: int = 1
    rest: str | None = None
    caption: Caption = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart, what it shows, and its numbers."""

    kind: ClassVar = "figure"
    title: Sequence[Cell]
    #: SVG that was drawn here.
    svg: str
    #: Shape, colour and label.
    legend: Sequence[tuple[str, str, str]] = ()
    caption: Caption = ()
    note: str | None = None
    numbers: Table | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """A number, and what stands below it."""

    label: str | Term
    value: str
    sub: str = ""
    level: str | None = None
    #: Of the period before.
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page with a heading."""

    key: str
    title: str
    blocks: Sequence[Figure | Table] = ()
    cards: Sequence[Card] = ()
    #: What is said if there is nothing to show.
    none: str | None = None
    layout: Literal["grid", "panels"] = "grid"
    notes: Sequence[str] = ()
    legend: Sequence[tuple[str, str, str]] = ()
    caption: Caption = ()


class Definitions:
    """What the views' comments say."""

    def __init__(self, views: Iterable[Row]) -> None:
        self.views = list(views)
        self._columns = {view["view"]: dict(view["columns"]) for view in self.views}
        self._ids = itertools.count(1)

    def term(self, view: str, column: str, label: str) -> str | Term:
        """A word with the definition of a column; the word alone, if there is none."""
        meaning = self._columns.get(view, {}).get(column)
        return Term(f"term-{next(self._ids)}", label, meaning) if meaning else label

    def caption(self, view: str, text: str) -> Caption:
        """A sentence in which ``{column}``, or ``{column:words}``, stands for a word with its definition."""
        parts = re.split(r"\{(\w+)(?::([^}]*))?\}", text)
        found: list[str | Term] = []
        for place in range(0, len(parts), 3):
            found.append(parts[place])
            if place + 2 < len(parts):
                found.append(self.term(view, parts[place + 1], parts[place + 2] or parts[place + 1].replace("_", " ")))
        return [part for part in found if part]


@dataclass(slots=True)
class Report:
    """What was read, and what is made of it."""

    found: Row
    now: datetime
    draw: drawn.Draw
    first: str
    until: str
    days: Sequence[str]
    told: Definitions
    limits: Limits
    charts: drawn.Charts = field(init=False)

    def __post_init__(self) -> None:
        self.charts = drawn.Charts(self.draw, self.days, self.running)

    @property
    def running(self) -> str | None:
        """The day of the period that is not over yet."""
        today = self.now.date().isoformat()
        return today if self.first <= today <= self.until else None

    def rows(self, key: str) -> list[Row]:
        """The rows of the period, by day."""
        return [row for row in self.found[key] if row["day"] >= self.first]

    def rows_before(self, key: str) -> list[Row]:
        """The rows of the period before."""
        return [row for row in self.found[key] if row["day"] < self.first]

    def day_cell(self, day: str) -> Cell:
        """A day in a table."""
        return Cell(f"{day}, not over" if day == self.running else day)

    def legend(self, entries: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
        """The entries, and one for the day that is not over."""
        running = [("bar", drawn.paint("running"), "day that is not over")] if self.running else []
        return [(shape, drawn.paint(colour), label) for shape, colour, label in entries] + running

    def pair(self, make: Callable[[int], dict[str, Any]], label: str) -> str:
        """A chart for wide and one for narrow windows."""
        return self.charts.pair(make, visible(label))
