"""A call of a store over its attempts: what a failure means, and whether to try again. Shared by the two stores.

The logger ``aximo_db`` is told names of calls, codes, counts and times here; nothing of an event or a customer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import psycopg
from psycopg.transaction import OutOfOrderTransactionNesting
from psycopg_pool import PoolClosed

from aximo_db.client import own_errors, statements
from aximo_db.client.errors import (
    AximoError,
    ConnectionLostError,
    MovedError,
    NotConnectedError,
    ReadOnlyError,
    may_quote,
    translate,
)
from aximo_db.client.events import NewEvent

__all__ = ["Call", "Retry", "say_slow"]

_log: Final = logging.getLogger("aximo_db")
# A program that configures no logging gets no output, not even of warnings.
_log.addHandler(logging.NullHandler())

#: Calls that number, count or import: they take as long as there is work, and are never logged as slow.
_TAKES_ITS_TIME: Final = ("advance_log", "refresh_metrics", "import")


@dataclass(frozen=True, slots=True)
class Retry:
    """A call that failed and is tried again.

    Attributes:
        call: the store's method, such as ``emit``; of tool runs ``runs.get`` and the like.
        attempt: which attempt failed, from 1 on.
        error: the class of what it ended in.
        sqlstate: its code; ``None`` if it has none.
        pause: seconds until the next attempt.
    """

    call: str
    attempt: int
    error: type[Exception]
    sqlstate: str | None
    pause: float


def say_slow(call: str, seconds: float) -> None:
    """Logs a call that took long, unless it may."""
    if call not in _TAKES_ITS_TIME:
        _log.warning("%s took %.3f s", call, seconds, extra={"call": call, "seconds": seconds})


class _Connections(Protocol):
    """What a call has to know of its store's connections."""

    was_used: bool
    has_written: bool
    #: A connection string; "" for libpq's own variables and defaults, ``None`` if connections come from the caller.
    dsn: str | None

    @property
    def makes_its_own(self) -> bool: ...

    @property
    def is_lent(self) -> bool: ...

    def entangle(self) -> None: ...


class Call:
    """A call, from its first attempt to its last.

    Args:
        connections: the store's.
        deadline: until when it may be tried again, on the monotonic clock, in seconds.
        name: the store's method.
        on_retry: told before it is tried again.
        events: the events that it writes, if it knows them.
        writing: whether it writes anything.
        stop: asked before it is tried again; true ends it.

    Attributes:
        is_outcome_unknown: whether an attempt was lost after it may have written. From then on, only success tells.
    """

    __slots__ = (
        "_attempts",
        "_connections",
        "_deadline",
        "_error",
        "_events",
        "_joined",
        "_meaning",
        "_name",
        "_on_retry",
        "_stop",
        "_writing",
        "is_outcome_unknown",
    )

    def __init__(
        self,
        connections: _Connections,
        deadline: float,
        *,
        name: str,
        on_retry: Callable[[Retry], object] | None = None,
        events: Sequence[NewEvent] = (),
        writing: bool = False,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        self.is_outcome_unknown = False
        self._connections = connections
        self._deadline = deadline
        self._name = name
        self._on_retry = on_retry
        self._events = events
        self._writing = writing
        self._stop = stop
        self._attempts = 0
        self._joined = False
        self._error: Exception | None = None
        self._meaning: AximoError | None = None

    def fail(
        self, error: psycopg.Error | UnicodeEncodeError | AximoError, *, reached: bool, joined: bool
    ) -> AximoError | None:
        """Says what an attempt ended in.

        Args:
            error: what it ended in.
            reached: whether it had a connection. Before that, nothing can have been sent.
            joined: whether it worked in a transaction of the caller's.

        Returns:
            What that means; ``None`` if it is none of the ledger's business.
        """
        self._error = error
        self._joined = joined
        self._meaning = self._meaning_of(error, reached)
        if self._writing and reached and isinstance(self._meaning, ConnectionLostError):
            self.is_outcome_unknown = True
        return self._meaning

    def _meaning_of(self, error: psycopg.Error | UnicodeEncodeError | AximoError, reached: bool) -> AximoError | None:
        if isinstance(error, AximoError):
            return error
        event = self._events[0] if len(self._events) == 1 else None
        if not reached and isinstance(error, psycopg.Error):
            return own_errors.not_connected(error, is_unnamed=self._connections.dsn == "")
        if isinstance(error, OutOfOrderTransactionNesting):
            self._connections.entangle()
            return own_errors.transaction_not_whole()
        malformed = own_errors.malformed_text(error, event)
        if malformed is not None or not isinstance(error, psycopg.Error):
            return malformed
        return translate(error, event, writing=self._writing)

    def may_retry(self) -> bool:
        """Whether to try again after the failure."""
        if self._joined or time.monotonic() >= self._deadline or (self._stop is not None and self._stop()):
            return False
        connections = self._connections
        if isinstance(self._error, psycopg.Error) and self._error.sqlstate in ("40001", "40P01"):
            return True
        if isinstance(self._meaning, MovedError) and self._meaning.rule == "customer_is_leaving":
            # Nothing was written. In a moment the customer is on the other node, or stays.
            return True
        if isinstance(self._meaning, ConnectionLostError):
            # A first connection that fails is a wrong address more often than a server away for a moment.
            return connections.was_used and not connections.is_lent
        if isinstance(self._meaning, NotConnectedError):
            if connections.makes_its_own:
                return connections.was_used
            # A pool waits for its connections itself, as long as it was told to. After a loss it is worth more.
            return self.is_outcome_unknown and not isinstance(self._error, PoolClosed) and not connections.is_lent
        # The server was the primary, and is not any more.
        return isinstance(self._meaning, ReadOnlyError) and connections.makes_its_own and connections.has_written

    @property
    def needs_another_connection(self) -> bool:
        """Whether the next attempt is of no use on the connection that this one had, though that is not lost."""
        return isinstance(self._meaning, ReadOnlyError) or (
            isinstance(self._meaning, ConnectionLostError) and self._meaning.rule == "receipt_is_the_events"
        )

    def pause(self) -> float:
        """Seconds to wait before the next attempt, after saying that there will be one."""
        error = self._error if self._meaning is None else self._meaning
        assert error is not None  # noqa: S101
        pause = statements.backoff(self._attempts)
        self._attempts += 1
        # The driver's code, if it has one: what it means is the class.
        sqlstate = getattr(self._error, "sqlstate", None) or getattr(error, "sqlstate", None)
        retry = Retry(self._name, self._attempts, type(error), sqlstate, pause)
        # A serialization failure or a deadlock is normal; a connection that is lost is not.
        level = logging.INFO if self._meaning is None else logging.WARNING
        _log.log(
            level,
            "%s failed at attempt %d with %s (%s), and is tried again in %.2f s",
            retry.call,
            retry.attempt,
            retry.error.__name__,
            retry.sqlstate,
            retry.pause,
            extra={"call": retry.call, "attempt": retry.attempt, "sqlstate": retry.sqlstate},
        )
        if self._on_retry is not None:
            try:
                self._on_retry(retry)
            except Exception as raised:
                # A hook decides nothing. The text of its error may quote an event, so only its class is logged.
                _log.error("on_retry raised %s, and the call goes on", type(raised).__name__)
        return pause

    def succeed(self) -> None:
        """Says that an attempt after the first one succeeded."""
        if self._attempts:
            _log.info(
                "%s succeeded at attempt %d",
                self._name,
                self._attempts + 1,
                extra={"call": self._name, "attempt": self._attempts + 1},
            )

    def final_error(self) -> AximoError | None:
        """What the caller gets instead of the last attempt's error; ``None`` for that error itself."""
        meaning = self._meaning
        if self.is_outcome_unknown and not isinstance(meaning, ConnectionLostError):
            meaning = own_errors.outcome_unknown(self._events)
        if meaning is not None:
            meaning.concern(self._events)
        return None if meaning is self._error else meaning

    @property
    def cause(self) -> Exception | None:
        """What the last attempt ended in, to be shown beside :meth:`final_error`, if that may be shown."""
        return None if self._error is None or may_quote(self._error) else self._error
