"""Writing a log of a customer as JSON lines: line n is entry n, and its hash is the leaf of the tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, LiteralString, TextIO

import psycopg
from psycopg import IsolationLevel

from aximo_db.client import statements
from aximo_db.client.connect import connect
from aximo_db.client.errors import CustomerError, ProofError
from aximo_db.client.events import Log
from aximo_db.client.ledger_cursors import LedgerCursor
from aximo_db.client.whose import check_customer

__all__ = ["Exported", "export_log", "number_new_events"]

_LINES: Final = "select number, line from aximo.log_lines where log = %s order by number"
# What is written by logins themselves, numbered or not.
_COUNTS: Final[Mapping[Log, LiteralString]] = {
    "events": "select count(*) from aximo.events",
    "run_events": f"select count(*) from helix.run_events where {statements.OF_CUSTOMER}",
}
#: Lines fetched at a time.
FETCH: Final = 2000


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and how many of the customer's events of that log have no number yet and are not in it."""

    written: int
    unnumbered: int


def number_new_events(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    """Numbers what is new, step by step, each in a transaction; False if the login or the session may not."""
    while True:
        try:
            with connection.transaction():
                row = LedgerCursor(connection).execute("select is_behind from aximo.advance_log()").fetchone()
        except psycopg.Error as error:
            # A session that may only read, on a standby for one, reads what has its number.
            if (
                isinstance(error, psycopg.errors.InsufficientPrivilege | psycopg.errors.ReadOnlySqlTransaction)
                or error.sqlstate == CustomerError.sqlstate
            ):
                return False
            raise
        if row is None or row[0] is not True:
            return True


@contextmanager
def snapshot(
    dsn: str | None, customer_id: str | None, *, numbered: bool = False
) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection that reads one consistent snapshot for a customer.

    Args:
        dsn, customer_id: as for :func:`export_log`.
        numbered: number new events first, if the login may.
    """
    with connect(dsn) as connection:
        if numbered:
            number_new_events(connection)
        connection.autocommit = False
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        if customer_id is not None:
            connection.execute(statements.SET_CUSTOMER, (customer_id,))
        yield connection


def export_log(
    dsn: str | None,
    target: TextIO,
    *,
    customer_id: str | None = None,
    log: Log = "events",
    progress: Callable[[int], None] | None = None,
) -> Exported:
    r"""Writes a log of a customer, one event a line, from one consistent snapshot.

    Numbers new events first, if the login may.

    Args:
        dsn: a libpq connection string; ``None`` for ``AXIMO_DB_URL``, else libpq's own variables.
        target: where to; opened with ``newline="\n"`` and UTF-8, so that the bytes are those that were hashed.
        customer_id: whose; ``None`` for the login's only customer.
        log: which of the customer's logs: ``events`` of ``aximo.events``, or ``run_events`` of ``helix.run_events``.
        progress: called with the number of lines written so far.

    Raises:
        CustomerError: no customer, or one that the login was not granted.
        MovedError: the customer is on another node.
        MalformedEventError: there is no such log.
        ProofError: an entry's event is not there, or a number is missing: somebody took it away.
    """
    statements.check_log(log)
    written = 0
    with snapshot(dsn, customer_id, numbered=True) as connection:
        for _, line in numbered_lines(connection, log):
            target.write(line)
            target.write("\n")
            written += 1
            if progress is not None and written % FETCH == 0:
                progress(written)
        if not written:
            check_customer(connection)
        missing = unnumbered(connection, log, written)
    if progress is not None:
        progress(written)
    return Exported(written, missing)


def numbered_lines(connection: psycopg.Connection[tuple[Any, ...]], log: Log) -> Iterator[tuple[int, str]]:
    """The entries of a log of the session's customer with their numbers, in order, none missing.

    Raises:
        ProofError: an entry's event is not there, or a number is missing: somebody took it away.
    """
    last = 0
    with connection.cursor("export_lines") as cursor:
        cursor.itersize = FETCH
        cursor.execute(_LINES, (log,))
        for number, line in cursor:
            if number != last + 1 or line is None:
                raise ProofError(
                    "the log is not whole",
                    rule="log_is_whole",
                    detail=f"entry {last + 1} is missing, or its event is",
                    hint=f"Run aximo-db verify --log {log}, which names what is missing.",
                )
            yield number, line
            last = number


def unnumbered(connection: psycopg.Connection[tuple[Any, ...]], log: Log, numbered: int) -> int:
    """How many events of a log of the session's customer are there beside so many that have their numbers."""
    row = connection.execute(_COUNTS[log]).fetchone()
    return (row[0] if row else 0) - numbered
