# Made from async_connections.py by tools/unasync.py: do not change.
"""Where a store's connections come from, and whose turn it is on each of them.

A connection is one conversation with the server. Two who speak at once get each other's answers, and a call that takes
another one's transaction for its caller's is acknowledged and never committed. So there is one call at a time on a
connection, whichever stores make them, and what a call finds there is looked at when its turn has come.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final, NamedTuple, TypeVar
from weakref import WeakKeyDictionary, WeakSet

import psycopg
from psycopg import Connection
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg_pool import ConnectionPool

from aximo_db.client import own_errors, statements
from aximo_db.client.ledger_cursors import LedgerCursor
from aximo_db.client.waits import Lock, acquire

__all__ = ["AnyConnection", "AnyPool", "Connections", "Turn", "Turns"]

T = TypeVar("T")
AnyConnection = Connection[Any]
AnyPool = ConnectionPool[Any]
# What ``connection.pgconn`` says; ``connection.info`` is an object made anew each time.
_IDLE: Final = TransactionStatus.IDLE
_ACTIVE: Final = TransactionStatus.ACTIVE
_NO_PIPELINE: Final = PipelineStatus.OFF


class Turn(NamedTuple):
    """A call's turn on a connection.

    Attributes:
        connection: the connection.
        joined: whether the caller has a transaction open on it, which is the caller's to end.
    """

    connection: AnyConnection
    joined: bool


class Turns:
    """The turns on one connection.

    Attributes:
        lock: held by the call whose turn it is.
        is_busy: whether a call has its turn.
        block: the consumer's block that is open on the connection, if any: a transaction that is not the store's to
            end, so that only calls from inside the block may join it.
        is_entangled: whether somebody else's transaction got mixed up with a call's. While it is open, nobody can tell
            who will end it.
        is_inherited: whether the connection is another process's, which forked this one.
    """

    __slots__ = ("__weakref__", "block", "is_busy", "is_entangled", "is_inherited", "lock")

    def __init__(self) -> None:
        self.lock = Lock()
        self.is_busy = False
        self.block: object | None = None
        self.is_entangled = False
        self.is_inherited = False

    @classmethod
    def of(cls, connection: AnyConnection) -> Turns:
        """The connection's turns, the same for every store."""
        with _registry:
            turns = _turns.get(connection)
            if turns is None:
                turns = _turns[connection] = cls()
            return turns

    @contextmanager
    def taken(self) -> Iterator[bool]:
        """The turn, when it has come, until the end of the block: true in the midst of another turn of the same thread.

        A signal handler may come in there; or what a signal's exception interrupted has not been cleared away yet.
        """
        with self.lock:
            was_busy = self.is_busy
            try:
                self.is_busy = True
                yield was_busy
            finally:
                self.is_busy = False

    def look(self, connection: AnyConnection, block: object | None, was_busy: bool) -> bool:
        """Whether the caller has a transaction open; for whoever has the turn.

        Args:
            connection: the connection.
            block: the consumer's block in which the store was made.
            was_busy: whether this is in the midst of another turn, whose transaction is none of the caller's.

        Raises:
            ConnectionStateError: the connection is another process's, or somebody else is using it.
            NotConnectedError: it is closed.
        """
        if self.is_inherited:
            raise own_errors.other_process()
        if connection.closed:
            raise own_errors.not_connected("the connection is closed")
        if self.block is not None and self.block is not block and self.block not in _inside.get():
            raise own_errors.in_a_consumers_block()
        pgconn = connection.pgconn
        status = pgconn.transaction_status
        if status == _ACTIVE or (was_busy and status != _IDLE) or pgconn.pipeline_status != _NO_PIPELINE:
            raise own_errors.connection_busy()
        if status == _IDLE:
            self.is_entangled = False
        elif self.is_entangled:
            raise own_errors.transactions_entangled()
        own_errors.check_encoding(pgconn)
        return status != _IDLE


_registry = threading.RLock()  # a finalizer may come in between
_turns: WeakKeyDictionary[AnyConnection, Turns] = WeakKeyDictionary()
#: The consumer's blocks that the running code is inside of; a task that is started there is inside, too.
_inside: ContextVar[tuple[object, ...]] = ContextVar("inside", default=())


class Connections:
    """A store's source of connections; stores that :meth:`EventStore.for_customer` makes share it.

    Args:
        source: a connection, which is lent; a pool; or a connection string, to make connections with on first use.
        prepare: whether statements are prepared on connections that are made here.

    Attributes:
        was_used: whether a connection was had and the schema's version was right.
        has_written: whether something was written with success.
    """

    def __init__(self, source: AnyConnection | AnyPool | str | None, *, prepare: bool) -> None:
        self.lent: AnyConnection | None = None
        self.pool: AnyPool | None = None
        self.dsn: str | None = None
        if isinstance(source, Connection):
            self.lent = source
            self._turns = Turns.of(source)
            self._block = self._turns.block if self._turns.block in _inside.get() else None
        elif isinstance(source, ConnectionPool):
            self.pool = source
        elif source is None or isinstance(source, str):
            self.dsn = statements.default_dsn(source)
        else:
            raise TypeError(f"source is a {type(source).__name__}, not a connection, a pool or a connection string")
        self.was_used = False
        self.has_written = False
        self._prepare = prepare
        self._is_inherited = False
        # Made on first use: the one that calls take turns on, and those kept by who works with them for a while.
        self._own: AnyConnection | None = None
        self._spares: list[AnyConnection] = []
        self._own_turns = Turns()
        _alive.add(self)

    @property
    def is_lent(self) -> bool:
        """Whether there is one connection only, which is the caller's."""
        return self.lent is not None

    @property
    def makes_its_own(self) -> bool:
        """Whether connections are made here, and may be replaced."""
        return self.lent is None and self.pool is None

    @contextmanager
    def turn(self, *, apart: bool = False) -> Iterator[Turn]:
        """A connection, and the turn on it until the end of the block.

        Args:
            apart: for a block that may take a while, so that other calls do not wait for it: another connection than
                the one that they take turns on, where connections are made here.

        Raises:
            ConnectionStateError: the connection can't be used by this call.
            NotConnectedError: there is none; psycopg.OperationalError, of the driver or the pool, says the same.
        """
        if self.lent is not None:
            with self._turns.taken() as was_busy:
                joined = self._turns.look(self.lent, self._block, was_busy)
                try:
                    yield Turn(self.lent, joined)
                finally:
                    if not joined and self.lent.pgconn.transaction_status != _IDLE:
                        self._clear_away(self.lent)
        elif self.pool is not None:
            if self._is_inherited:
                raise own_errors.other_process()
            with self.pool.connection() as connection:
                own_errors.check_encoding(connection.pgconn)
                if not apart:
                    yield Turn(connection, False)
                    return
                with Turns.of(connection).taken():
                    yield Turn(connection, False)
        elif apart:
            connection = self._spares.pop() if self._spares else self._connect()
            try:
                with Turns.of(connection).taken():
                    yield Turn(connection, False)
            finally:
                if connection.pgconn.transaction_status == _IDLE and not self._spares:
                    self._spares.append(connection)
                else:
                    connection.close()
        else:
            with self._own_turns.taken():
                # An interrupted call left a transaction open: the next call gets a new connection.
                if self._own is not None and self._own.pgconn.transaction_status != _IDLE:
                    self._own.close()
                    self._own = None
                if self._own is None:
                    self._own = self._connect()
                yield Turn(self._own, False)

    def call(self, work: Callable[[AnyConnection, bool], T], *, apart: bool = False) -> T:
        """Does the work in a turn, told the connection and whether a transaction of the caller's is joined.

        As :meth:`turn`, without the cost of a generator where every emit passes: two microseconds.
        """
        if self.lent is None:
            with self.turn(apart=apart) as (connection, joined):
                return work(connection, joined)
        turns = self._turns
        with turns.lock:
            was_busy = turns.is_busy
            joined = True
            try:
                turns.is_busy = True
                joined = turns.look(self.lent, self._block, was_busy)
                return work(self.lent, joined)
            finally:
                turns.is_busy = False
                if not joined and self.lent.pgconn.transaction_status != _IDLE:
                    self._clear_away(self.lent)

    def _clear_away(self, connection: AnyConnection) -> None:
        """Ends the transaction that a call left open: what cancels a statement late may cancel its rollback, too."""
        if connection.pgconn.transaction_status == TransactionStatus.INERROR:
            with suppress(psycopg.Error):
                connection.rollback()
        # A transaction that is still open may be somebody else's: it is not rolled back.
        self._turns.is_entangled = connection.pgconn.transaction_status != _IDLE

    @contextmanager
    def block(self, connection: AnyConnection) -> Iterator[None]:
        """Lets a consumer work on the connection whose turn it has: meanwhile, only calls from inside the block do."""
        turns = Turns.of(connection)
        outer, turns.block = turns.block, object()
        block = turns.block
        _inside.set((*_inside.get(), block))
        turns.is_busy = False
        turns.lock.release()
        try:
            yield
        finally:
            _inside.set(tuple(other for other in _inside.get() if other is not block))
            try:
                acquire(turns.lock)
            finally:
                turns.block = outer
                turns.is_busy = True

    def is_joining(self) -> bool:
        """Whether the caller has a transaction open on the connection that it lent."""
        if self.lent is None:
            return False
        with self.turn() as turn:
            return turn.joined

    def is_free(self) -> bool:
        """Whether a call would have its turn at once, and not in a transaction of the caller's."""
        if self.lent is None:
            return True
        turns = self._turns
        return (
            not turns.is_busy
            and turns.block is None
            and not turns.is_inherited
            and self.lent.pgconn.transaction_status == _IDLE
        )

    def entangle(self) -> None:
        """Says that a transaction on the lent connection is not whole any more."""
        if self.lent is not None:
            self._turns.is_entangled = True

    def close(self) -> None:
        """Closes the connections that were made here, after the call that has its turn."""
        with self._own_turns.taken():
            if self._own is not None:
                self._own.close()
                self._own = None
            while self._spares:
                self._spares.pop().close()

    def _connect(self) -> AnyConnection:
        return Connection.connect(
            self.dsn or "",
            autocommit=True,
            prepare_threshold=0 if self._prepare else None,
            client_encoding="utf8",
            application_name="aximo_db",
            cursor_factory=LedgerCursor,
        )

    def leave_to_parent(self) -> None:
        """In a forked process: leaves the connections to the process that has them, as they are."""
        # Kept: closing one would end the parent's session, and collecting one would warn.
        _inherited.extend(self._spares if self._own is None else [self._own, *self._spares])
        self._is_inherited = True
        self._own = None
        self._spares = []
        self._own_turns = Turns()


_alive: WeakSet[Connections] = WeakSet()
_inherited: list[AnyConnection] = []


def _after_fork() -> None:
    global _registry
    _registry = threading.RLock()
    for turns in list(_turns.values()):
        turns.lock = Lock()  # whoever held it is not in this process
        turns.is_busy = False
        turns.block = None
        turns.is_inherited = True
    for connections in list(_alive):
        connections.leave_to_parent()


os.register_at_fork(after_in_child=_after_fork)
