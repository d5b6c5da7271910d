"""The connections that the commands and the auditing functions make for themselves."""

from __future__ import annotations

from typing import Any

import psycopg

from aximo_db._cursors import LedgerCursor
from aximo_db._statements import default_dsn

__all__ = ["connect"]


def connect(dsn: str | None, *, of_catalog: bool = False) -> psycopg.Connection[tuple[Any, ...]]:
    """A connection in autocommit on which no setting of the login, the database or the environment changes a result.

    Args:
        dsn: a libpq connection string; ``None`` for ``AXIMO_DB_URL``, else libpq's own variables.
        of_catalog: whether PostgreSQL's catalog is to be read, which has types without a binary form. Moments and
            durations are then read as the session writes them, so the query makes text of them.
    """
    return psycopg.connect(
        default_dsn(dsn),
        autocommit=True,
        prepare_threshold=None,
        client_encoding="utf8",
        cursor_factory=psycopg.Cursor if of_catalog else LedgerCursor,
    )
