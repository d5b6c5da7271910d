"""Connection strings as people have them, made into what libpq reads."""

from __future__ import annotations

import re
from typing import Final

from aximo_db.client.errors import InstallationError

__all__ = ["libpq_dsn"]

_SCHEME: Final = re.compile(
    r"(?P<database>jdbc:[a-z]+|[a-z][a-z0-9]*)(?:\+(?P<driver>\w+))?:(?=//|[\w/])", re.IGNORECASE
)
#: Drivers that are libpq: what they read after the scheme is what it reads.
_DRIVERS: Final = ("psycopg", "psycopg_async", "psycopg2", "psycopg2cffi")


def libpq_dsn(dsn: str) -> str:
    """What libpq reads, of a connection string that may be written for SQLAlchemy or another library.

    ``postgresql+psycopg://…`` and ``postgresql+psycopg2://…`` become ``postgresql://…``; everything that libpq reads
    by itself, such as ``postgres://…`` or ``host=… dbname=…``, stays as it is.

    Raises:
        InstallationError: it is for another database, or for a library that has options of its own.
    """
    given = dsn.strip()
    match = _SCHEME.match(given)
    # In "key=value" form a colon may come later: after the first equals sign.
    if match is None:
        return given
    database, driver, rest = match["database"].lower(), match["driver"], given[match.end() :]
    if database in ("postgresql", "postgres") and rest.startswith("//") and (driver or "psycopg").lower() in _DRIVERS:
        return f"postgresql:{rest}"
    raise InstallationError(
        "this connection string is not for PostgreSQL's own library",
        rule="dsn_is_for_libpq",
        detail=f"it begins with {given[: match.end()]}",
        hint="Write postgresql://USER@HOST:PORT/DATABASE, or host=HOST dbname=DATABASE user=USER.",
    )
