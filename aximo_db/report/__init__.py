"""A customer's metrics as one HTML file, to be opened anywhere: it runs no script and asks no network.

The charts are drawn to SVG while the page is made (the extra ``report``). What they mean is read from the comments of
the views, so that it is written down in one place.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TextIO

import psycopg

from aximo_db.files.output import write_text
from aximo_db.report.query import read_period
from aximo_db.report.values import period_asked

__all__ = ["write_report"]


def write_report(
    connection: psycopg.Connection[Any],
    path_or_file: str | Path | TextIO,
    *,
    customer: str | None,
    now: datetime,
    first: date | None = None,
    until: date | None = None,
    last: str | None = None,
) -> None:
    """Writes a customer's metrics as one HTML file, the same for the same metrics and ``now``.

    Days are in UTC. Beside the period stands the one before it, which is as long, if anything happened in it. If
    today is in the period, it is marked, as its numbers grow.

    Args:
        connection: a login that reads ``aximo_metrics``; its transaction, if it is in one, stays as it is.
        path_or_file: the file to write, as :func:`aximo_db.files.output.writing` does; or an open one,
            for text in UTF-8.
        customer: whose; ``None`` for the session's.
        now: when the report is made, with an offset.
        first: the first day; left out, the last 90 days.
        until: the last day; left out, the latest day with an event.
        last: in place of ``first``, so many days or weeks, such as ``30d`` or ``8w``; without ``until`` whole days,
            which end yesterday.

    Raises:
        CustomerError: there is no such customer for this login, or none was named and it has not exactly one.
        InstallationError: what draws the charts and writes the page is not installed.
        OSError: the file can't be written.
        ValueError: ``now`` has no offset, or there is no such period (``values.PeriodError``).
    """
    if now.tzinfo is None:
        raise ValueError("now needs an offset")
    now = now.astimezone(UTC)
    first, until = period_asked(first, until, last, now.date())
    # Both need the extra, which who prints on a terminal may not have.
    from aximo_db.report.charts import drawing
    from aximo_db.report.page import page

    text = page(read_period(connection, customer, first, until), now, drawing())
    if not isinstance(path_or_file, str | Path):
        path_or_file.write(text)
        return
    write_text(path_or_file, text)
