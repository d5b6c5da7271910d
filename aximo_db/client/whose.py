"""What a session is told that works for no customer, and so sees nothing: never an empty answer."""

from __future__ import annotations

from typing import Any

import psycopg

from aximo_db.client import own_errors, statements
from aximo_db.client.errors import AximoError
from aximo_db.client.ledger_cursors import LedgerCursor

__all__ = ["check_customer", "no_customer"]


def no_customer(connection: psycopg.Connection[Any]) -> AximoError:
    """The error for a session without a customer: it named none, one it was not granted, or one on another node."""
    granted, has_placements = _row(connection, statements.WHOSE)[1:]
    placed = _row(connection, statements.PLACED) if has_placements else None
    return own_errors.no_customer(granted, placed)


def check_customer(connection: psycopg.Connection[Any]) -> None:
    """Refuses a session without a customer.

    Raises:
        CustomerError: it named none, or one that its login was not granted.
        MovedError: the customer is on another node.
    """
    if _row(connection, statements.WHOSE)[0] is None:
        raise no_customer(connection)


def _row(connection: psycopg.Connection[Any], query: str) -> Any:
    return LedgerCursor(connection).execute(query, prepare=False).fetchone()
