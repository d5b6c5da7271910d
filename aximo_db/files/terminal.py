"""What is shown on a terminal: text that can't do harm there, tables that never cut an id, moments and durations."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table

__all__ = ["UNLIMITED", "AtLeast", "SafeConsole", "WholeTable", "duration", "moment", "visible"]

UNLIMITED: Final = 100_000
_WIDEST_TEXT: Final = 200
_JOINERS: Final = frozenset("\u200c\u200d")
_UNSEEN: Final = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))


class SafeConsole(Console):
    """A console on which what others wrote is text only: it moves no cursor, and colours, hides or turns nothing."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Renders, with everything that a terminal would act upon made visible."""
        for segment in super().render(renderable, options):
            if segment.control or (segment.text.isascii() and segment.text.isprintable()):
                yield segment
            else:
                shown = "\n".join(visible(line) for line in segment.text.split("\n"))
                yield Segment(shown, segment.style)


class WholeTable(Table):
    """A table that cuts nothing. Ids stay on one line, even if that is longer than the console is wide."""

    def __init__(self, *names: str, ids: Sequence[str] = (), header: bool = True) -> None:
        """A table.

        Args:
            names: of the columns.
            ids: those of them that hold ids; other text may be folded.
            header: whether the names are shown.
        """
        super().__init__(box=None, show_header=header, pad_edge=header)
        for name in names:
            is_id = name in ids
            self.add_column(name, overflow="fold", no_wrap=is_id, max_width=None if is_id else _WIDEST_TEXT)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Renders it as wide as the console is, or as the ids need."""
        wide = options.update(width=UNLIMITED)
        for column in self.columns:
            if column.no_wrap:
                column.min_width = max(
                    (Measurement.get(console, wide, each).maximum for each in column.cells), default=0
                )
        needed = self.__rich_measure__(console, wide).minimum
        yield from super().__rich_console__(console, options.update(width=max(options.max_width, needed)))


@dataclass(frozen=True)
class AtLeast:
    """Something that is shown in so many columns at least, however narrow the console is.

    Attributes:
        what: is shown.
        columns: how many.
    """

    what: RenderableType
    columns: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Renders it."""
        yield from console.render(self.what, options.update(width=max(options.max_width, self.columns)))


def visible(text: str) -> str:
    r"""Text that others wrote, fit to be shown: control characters, and what hides or turns text, become ``\u202e``."""
    return "".join(
        char if char in _JOINERS or unicodedata.category(char) not in _UNSEEN else _named(char) for char in text
    )


def _named(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def moment(value: datetime | None) -> str:
    """A moment in UTC to the millisecond, or a dash."""
    if value is None:
        return "–"
    return value.astimezone(tz=UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def duration(value: timedelta | None) -> str:
    """A duration in the unit that suits it, or a dash."""
    if value is None:
        return "–"
    seconds = value.total_seconds()
    size = abs(seconds)
    if size < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if size < 1:
        return f"{seconds * 1e3:.1f} ms"
    if size < 120:
        return f"{seconds:.2f} s"
    if size < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
