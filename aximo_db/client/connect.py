"""The connections that commands and auditing functions make for themselves, and what they ask of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString

import psycopg

from aximo_db.client.ledger_cursors import LedgerCursor
from aximo_db.client.own_errors import not_connected
from aximo_db.client.statements import default_dsn

__all__ = ["connect", "reached", "value_of"]


def connect(dsn: str | None, *, of_catalog: bool = False) -> psycopg.Connection[tuple[Any, ...]]:
    """A connection in autocommit on which no setting of the login, the database or the environment changes a result.

    Args:
        dsn: a libpq connection string; ``None`` for ``AXIMO_DB_URL``, else libpq's own variables.
        of_catalog: whether PostgreSQL's catalog is to be read, which has types without a binary form. Moments and
            durations are then read as the session writes them, so the query makes text of them.

    Raises:
        NotConnectedError: there is no such server, it refuses the login, or it does not know the database.
        InstallationError: the connection string is not for libpq.
    """
    cursors: type[psycopg.Cursor[Any]] = psycopg.Cursor if of_catalog else LedgerCursor
    return reached(dsn, autocommit=True, prepare_threshold=None, cursor_factory=cursors)


def value_of(connection: psycopg.Connection[Any], query: LiteralString, values: Sequence[object] = ()) -> Any:
    """The first value of the first row of a query, ``None`` if it has no row."""
    row = LedgerCursor(connection).execute(query, values, prepare=False).fetchone()
    return row[0] if row is not None else None


def reached(dsn: str | None, **options: Any) -> psycopg.Connection[tuple[Any, ...]]:
    """A connection in UTF-8.

    Args:
        dsn: as for :func:`connect`.
        options: further arguments of ``psycopg.connect``.

    Raises:
        NotConnectedError: there is no such server, it refuses the login, or it does not know the database.
        InstallationError: the connection string is not for libpq.
    """
    address = default_dsn(dsn)
    try:
        return psycopg.connect(address, client_encoding="utf8", **options)
    except psycopg.ProgrammingError as error:
        raise not_connected(error) from None
    except psycopg.OperationalError as error:
        raise not_connected(error, is_unnamed=address == "") from error
