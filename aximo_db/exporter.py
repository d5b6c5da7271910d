"""Writing a customer's events as JSON lines, in order of arrival, so that an import elsewhere accepts them again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TextIO

import psycopg
from psycopg import IsolationLevel

from aximo_db import _statements as statements

__all__ = ["export_events"]

_LINES: Final = "select line from aximo.event_lines order by arrival"
_FETCH: Final = 2000


def export_events(
    dsn: str | None,
    target: TextIO,
    *,
    customer_id: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Writes every event of a customer, one JSON object a line, from one consistent snapshot.

    Args:
        dsn: a libpq connection string; ``None`` for ``AXIMO_DB_URL``, else libpq's own variables.
        target: where to.
        customer_id: whose; ``None`` for the login's only customer.
        progress: called with the number of lines written so far.

    Returns:
        How many events were written; 0 if the login may not work for that customer.
    """
    written = 0
    with psycopg.connect(statements.default_dsn(dsn), prepare_threshold=None) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        if customer_id is not None:
            connection.execute(statements.SET_CUSTOMER, (customer_id,))
        with connection.cursor("export_lines") as cursor:
            cursor.itersize = _FETCH
            cursor.execute(_LINES)
            for (line,) in cursor:
                target.write(line)
                target.write("\n")
                written += 1
                if progress is not None and written % _FETCH == 0:
                    progress(written)
    if progress is not None:
        progress(written)
    return written
