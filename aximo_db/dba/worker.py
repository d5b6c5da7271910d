"""What has to be done again and again, in one process: numbering, refreshing metrics, publishing, and the like.

Each duty has a clock of its own, and one that fails does not stop the others. What is done is done in transactions of
the database's functions, so a worker may be killed at any time, and any number of them may run beside each other.
"""

from __future__ import annotations

import json
import logging
import os
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

import psycopg

from aximo_db.client import statements
from aximo_db.client.connect import reached
from aximo_db.client.errors import AximoError, MovedError, NotConnectedError, is_connection_loss, translate
from aximo_db.client.events import Log
from aximo_db.client.ledger_cursors import LedgerCursor
from aximo_db.dba.publish import LOGS, Publishing, publish_log

__all__ = ["Duty", "JsonLines", "Worker", "duties"]

Connection = psycopg.Connection[tuple[Any, ...]]

#: Seconds between two attempts of a duty that failed.
RETRY: Final = 60.0
#: Seconds to wait before connecting again: the first time, and at most.
BACKOFF: Final = (0.1, 30.0)
#: What passes: too many connections, a serialization failure, a deadlock, a lock or a statement that took too long.
_PASSING: Final = ("53300", "40001", "40P01", "55P03", "57014")

_log: Final = logging.getLogger("aximo_db.dba.worker")


@dataclass(slots=True)
class Duty:
    """Something to be done every so often.

    Attributes:
        name: for logs and metrics.
        every: seconds between two beginnings.
        steps: does it, a transaction at each step; yields what each step did, as a number of things.
        due: when it is done next, on the monotonic clock.
        done_at: when it was last done with success, on the monotonic clock; ``None`` for never.
        failures: how often it failed in a row.
        is_under_way: whether it was cut, and may be refused yet for what it met so far.
    """

    name: str
    every: float
    steps: Callable[[Connection], Iterator[int]]
    due: float = 0.0
    done_at: float | None = None
    failures: int = 0
    is_under_way: Callable[[], bool] = lambda: False


class Observer(Protocol):
    """Who is told what was done."""

    def done(self, duty: str, seconds: float, *, is_whole: bool) -> None:
        """A duty was done: all of it, or a part, as the others have their turn."""

    def failed(self, duty: str, sqlstate: str) -> None:
        """A duty failed."""


def _advance(connection: Connection) -> Iterator[int]:
    is_behind: bool | None = True
    while is_behind:
        row = connection.execute(statements.ADVANCE_LOG, (10_000,)).fetchone()
        numbered, is_behind = row or (0, False)
        yield numbered


def _refresh(connection: Connection) -> Iterator[int]:
    is_behind: bool | None = True
    while is_behind:
        row = connection.execute(statements.COUNT_METRICS).fetchone()
        is_behind = row[0] if row else False
        yield 0
    try:
        with connection.transaction():
            # Numbering goes on meanwhile.
            connection.execute("set transaction isolation level repeatable read")
            did = len(connection.execute(statements.REFRESH_METRICS, (None,)).fetchall())
    except psycopg.errors.SerializationFailure:
        # Another one has refreshed since this one's snapshot.
        did = 0
    yield did


def _close_stale(older_than: timedelta, customers: Iterable[str]) -> Callable[[Connection], Iterator[int]]:
    named = tuple(customers)

    def steps(connection: Connection) -> Iterator[int]:
        for customer in named:
            try:
                with connection.transaction():
                    connection.execute(statements.SET_CUSTOMER, (customer,))
                    ended = connection.execute(statements.CLOSE_STALE, (statements.interval(older_than),)).fetchall()
            except psycopg.Error as error:
                # It is on another node, whose worker does it, or on the way there.
                if error.sqlstate != MovedError.sqlstate:
                    raise
                ended = []
            yield len(ended)

    return steps


def _publish(how: Publishing, every: float) -> Duty:
    # What is left of a round: the loop may cut it, and it goes on there.
    left: deque[tuple[str, Log]] = deque()
    refused: list[AximoError] = []

    def steps(connection: Connection) -> Iterator[int]:
        if not left:
            customers = connection.execute("select customer_id from aximo.my_customers()").fetchall()
            left.extend((row[0], log) for row in customers for log in LOGS)
            how.silent.clear()
        while left:
            did = 0
            try:
                done = publish_log(connection, how, *left.popleft())
            except AximoError as error:
                # Another worker that publishes this log does what was to be done. What is wrong with one log is told
                # when the others are published: a round that lacks one never counts as done.
                if error.rule != "published_folder_is_free":
                    refused.append(error)
            else:
                did = int(done is not None and done.size > done.was)
                if done is not None and done.warnings:
                    count = len(done.warnings)
                    _log.warning("publish: %d time stamps or cosignatures are missing, and are asked for again", count)
            yield did
        if refused:
            first, refused[:] = refused[0], []
            raise first

    return Duty("publish", every, steps, is_under_way=lambda: bool(left or refused))


def duties(
    *,
    advance_every: float = 1.0,
    refresh_every: float | None = 300.0,
    close_stale: timedelta | None = None,
    customers: Iterable[str] = (),
    publishing: Publishing | None = None,
    publish_every: float = 3600.0,
) -> list[Duty]:
    """What a worker does.

    Args:
        advance_every: seconds between two looks for events without a number.
        refresh_every: seconds between two refreshes of the metrics; ``None`` for none.
        close_stale: how long an execution has been idle that is ended; ``None`` to leave all open.
        customers: whose executions are ended.
        publishing: where the logs of all customers of the login are published, and how; ``None`` to publish none.
        publish_every: seconds between two publications.
    """
    found = [Duty("advance", advance_every, _advance)]
    if refresh_every is not None:
        found.append(Duty("refresh", refresh_every, _refresh))
    if close_stale is not None:
        found.append(Duty("close_stale", RETRY, _close_stale(close_stale, customers)))
    if publishing is not None:
        found.append(_publish(publishing, publish_every))
    return found


@dataclass(slots=True)
class Worker:
    """Does its duties over one connection until it is told to stop.

    Attributes:
        dsn: a libpq connection string; ``None`` for ``AXIMO_DB_URL``, else libpq's own variables. The login needs
            ``aximo_operator`` and all customers.
        duties: what it does.
        observer: who is told.
        turned_at: when the loop last turned, on the monotonic clock.
    """

    dsn: str | None
    duties: list[Duty]
    observer: Observer | None = None
    turned_at: float = field(default_factory=time.monotonic)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _connection: Connection | None = None
    _attempts: int = 0

    def stop(self) -> None:
        """Begins nothing new; what is under way ends with its transaction. Called again, cancels that."""
        if self._stopped.is_set() and self._connection is not None and not self._connection.closed:
            with suppress(psycopg.Error):  # then it ends by itself
                self._connection.cancel_safe(timeout=5)
        self._stopped.set()

    @property
    def is_stopped(self) -> bool:
        """Whether it was told to stop."""
        return self._stopped.is_set()

    def run(self, *, once: bool = False) -> None:
        """Works until it is told to stop.

        Args:
            once: do each duty once, and return.

        Raises:
            AximoError, psycopg.Error: the first duty to be done was refused: a login without the right, a schema of
                another version. With ``once``: any duty was, or the connection was lost.
        """
        _notify("READY=1")
        try:
            while not self._stopped.is_set():
                self.turned_at = time.monotonic()
                _notify("WATCHDOG=1")
                due = min(self.duties, key=lambda duty: duty.due)
                if (wait := due.due - self.turned_at) > 0:
                    if once and all(duty.done_at is not None for duty in self.duties):
                        return
                    # Not longer than a watchdog is patient.
                    self._stopped.wait(min(wait, 1.0))
                    continue
                self._do(due, once=once)
        finally:
            _notify("STOPPING=1")
            if self._connection is not None:
                self._connection.close()

    def _do(self, duty: Duty, *, once: bool) -> None:
        began = time.monotonic()
        did, is_cut = 0, False
        try:
            connection = self._connected()
            for number in duty.steps(connection):
                did += number
                self.turned_at = time.monotonic()
                _notify("WATCHDOG=1")
                # Where there is always more to do, the other duties have their turn all the same, and then it goes on.
                is_cut = self.turned_at - began > RETRY
                if self._stopped.is_set() or is_cut:
                    break
        except (psycopg.Error, AximoError) as error:
            meaning = translate(error) or error if isinstance(error, psycopg.Error) else error
            is_first = not any(each.done_at is not None for each in self.duties)
            is_lost = isinstance(meaning, NotConnectedError) or (
                isinstance(error, psycopg.Error) and (is_connection_loss(error) or error.sqlstate in _PASSING)
            )
            if self._stopped.is_set():
                return  # it was cancelled, and nothing of the step is kept
            if once or (is_first and not is_lost):
                raise meaning from (None if meaning is error else error)
            self._failed(duty, meaning, is_lost=is_lost)
            return
        seconds = time.monotonic() - began
        duty.done_at, duty.failures = time.monotonic(), 0
        duty.due = self.turned_at if is_cut else began + duty.every
        self._attempts = 0
        if did:
            facts = {"duty": duty.name, "did": did, "seconds": seconds}
            _log.info("%(duty)s did %(did)d in %(seconds).3f s", facts, extra=facts)
        if self.observer is not None:
            self.observer.done(duty.name, seconds, is_whole=not duty.is_under_way())

    def _failed(self, duty: Duty, error: Exception, *, is_lost: bool) -> None:
        duty.failures += 1
        sqlstate = getattr(error, "sqlstate", None) or "none"
        rule = getattr(error, "rule", None)
        # The code is enough: a message may name a customer.
        _log.warning(
            "%s failed: %s", duty.name, sqlstate, extra={"duty": duty.name, "sqlstate": sqlstate, "rule": rule}
        )  # fmt: skip
        if self.observer is not None:
            self.observer.failed(duty.name, sqlstate)
        now = time.monotonic()
        if not is_lost:
            duty.due = now + max(duty.every, RETRY)
            return
        if self._connection is not None and self._connection.broken:
            self._connection.close()
        least, most = BACKOFF
        pause = min(most, least * 2 ** min(self._attempts, 10)) * random.uniform(0.5, 1.0)  # noqa: S311
        self._attempts += 1
        duty.due = now + pause

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            connection = reached(
                self.dsn,
                autocommit=True,
                prepare_threshold=None,
                cursor_factory=LedgerCursor,
                application_name="aximo-db worker",
            )
            try:
                row = connection.execute(statements.VERSIONS).fetchone()
                if row is not None:
                    statements.check_versions(*row)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection


def _notify(state: str) -> None:
    """Tells systemd, if it started this process and wants to know."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        try:
            out.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError:
            _log.debug("systemd was not told %s", state)


class JsonLines(logging.Formatter):
    """A line of JSON for each thing that was done: no customer, no detail."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
        }
        for name in ("duty", "did", "seconds", "sqlstate", "rule"):
            value = getattr(record, name, None)
            if value is not None:
                line[name] = round(value, 6) if isinstance(value, float) else value
        if "duty" not in line:
            line["message"] = record.getMessage()
        return json.dumps(line)
