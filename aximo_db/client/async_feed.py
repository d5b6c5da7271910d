"""The asynchronous feed of a customer's log: its entries in order, consumers with cursors, and the numbering before it.

``feed.py`` is made from this file by ``tools/unasync.py``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Generic

import psycopg
from psycopg.rows import scalar_row

from aximo_db.client import own_errors, statements
from aximo_db.client.async_connections import AnyConnection
from aximo_db.client.async_session import AsyncSession
from aximo_db.client.errors import AximoError, ConnectionLostError, NotConnectedError
from aximo_db.client.events import AdvanceResult, LogCursor
from aximo_db.client.statements import E, LogKind
from aximo_db.client.watch import Watch, Watched

__all__ = ["AsyncFeed", "advance", "advance_all"]


async def advance(session: AsyncSession, max_events: int, stop: Callable[[], bool] | None = None) -> AdvanceResult:
    """Numbers committed events of all customers, at most so many."""

    async def work(connection: AnyConnection) -> AdvanceResult:
        return AdvanceResult(*await session.row(connection, statements.ADVANCE_LOG, (max_events,)))

    return await session.run(work, call="advance_log", stop=stop)


async def advance_all(session: AsyncSession, max_events: int) -> AdvanceResult:
    """Numbers everything that is committed, at most so many events a transaction."""
    numbered = 0
    while True:
        step = await advance(session, max_events)
        numbered += step.numbered
        if not step.is_behind:
            return AdvanceResult(numbered, step.is_behind)


class AsyncFeed(Generic[E]):
    """One of the logs of a session's customer. What its methods promise is in :class:`AsyncEventStore`.

    Args:
        session: the store's.
        kind: which of the logs.
    """

    def __init__(self, session: AsyncSession, kind: LogKind[E]) -> None:
        self._session = session
        self._kind: LogKind[E] = kind

    async def size(self, customer_id: str | None) -> int:
        """How many entries the log has; 0 if the login has not that customer."""
        rows = await self._session.read(
            statements.LOG_SIZE, (self._kind.log,), scalar_row, call="log_size", customer_id=customer_id
        )
        return int(rows[0])

    async def cursors(self, customer_id: str | None) -> list[LogCursor]:
        """The consumers of the log, in order of their names."""
        return await self._session.select("cursors", LogCursor, {"log": self._kind.log}, "name", customer_id)

    async def page(self, after: int, max_entries: int, advance: bool, customer_id: str | None) -> list[E]:
        """The entries after a number."""
        if advance:
            await self._advance_apart(max_entries, None)
        entries = await self._read(after, max_entries, self._session.customer(customer_id), None)
        if not entries:
            await self.size(customer_id)  # which tells whether there is a customer
        return await self._opened(entries)

    def consume(
        self, name: str, max_entries: int, customer_id: str | None
    ) -> AbstractAsyncContextManager[tuple[int, list[E], AnyConnection]]:
        """Where the cursor is, the next entries, and the connection in whose transaction it is moved at the end."""
        watch, customer = self._session.watch, self._session.customer(customer_id)
        if watch is None:
            return self._consumed(name, max_entries, customer, None)
        return self._consumed_watched(watch, name, max_entries, customer)

    @asynccontextmanager
    async def _consumed_watched(
        self, watch: Watch, name: str, max_entries: int, customer: str | None
    ) -> AsyncIterator[tuple[int, list[E], AnyConnection]]:
        with watch.call("consume", customer, ()) as watched:
            async with self._consumed(name, max_entries, customer, watched) as found:
                with watched.aside():
                    yield found

    @asynccontextmanager
    async def _consumed(
        self, name: str, max_entries: int, customer: str | None, watched: Watched | None
    ) -> AsyncIterator[tuple[int, list[E], AnyConnection]]:
        session = self._session
        tries = session.tries("consume", time.monotonic(), writing=True, watched=watched)
        while True:
            reached = joined = opened = False
            own: BaseException | None = None
            try:
                async with session.connections.turn(apart=True) as (connection, joined):
                    reached = True
                    if not session.connections.was_used:
                        await session.check_versions(connection)
                    async with connection.transaction():
                        before = await session.customer_setting(connection) if joined else ""
                        named = (customer or before,)
                        await session.execute(connection, statements.SET_CUSTOMER, named)
                        number = await self._open_cursor(connection, name)
                        entries = await self._opened(await self._entries(connection, number, max_entries))
                        behind: int | None = None
                        if watched is not None:
                            watched.reached(connection)
                            behind = await self._behind(connection, entries, max_entries)
                        opened = True
                        tries.succeed()
                        try:
                            async with session.connections.block(connection):
                                yield number, entries, connection
                        except BaseException as error:
                            own = error
                            raise
                        if entries:
                            # Set it again: the consumer may have set another customer meanwhile.
                            await session.execute(connection, statements.SET_CUSTOMER, named)
                            values = (name, number, entries[-1].number, self._kind.log)
                            await session.execute(connection, statements.MOVE_CURSOR, values)
                        if joined:
                            await session.execute(connection, statements.SET_CUSTOMER, (before,))
                self._tell(name, customer, behind)
                return
            except (psycopg.Error, UnicodeEncodeError) as error:
                if error is own:
                    raise
                tries.fail(error, reached=reached, joined=joined)
                if not opened and tries.may_retry():
                    await asyncio.sleep(tries.pause())
                    continue
                final = tries.final_error()
                if final is None:
                    raise
                raise final from tries.cause

    async def subscribe(
        self,
        name: str | None,
        after: int,
        max_entries: int,
        advance: bool,
        follow: bool,
        poll: tuple[float, float],
        stop: Callable[[], bool] | None,
        customer_id: str | None,
    ) -> AsyncIterator[E]:
        """The entries one by one, and on with what comes."""
        least, most = statements.poll_bounds(poll)
        if name is not None and after != 0:
            raise ValueError("a cursor knows where it is: either name or after")
        stopped = stop if stop is not None else _never
        customer = self._session.customer(customer_id)
        wait = least
        is_full = False
        is_behind: bool | None = False
        try:
            number = done = await self._begin(name, after, customer, stop)
            while not stopped():
                if advance and not is_full:
                    is_behind = (await self._advance_apart(max_entries, stop)).is_behind
                entries = await self._read(number, max_entries, customer, stop)
                is_full = len(entries) == max_entries
                if not entries:
                    self._tell(name, customer, 0)
                    if is_behind:
                        continue
                    # While another session numbers events, the end is not known.
                    if not follow and is_behind is False:
                        return
                    await asyncio.sleep(wait)
                    wait = min(2 * wait, most)
                    continue
                wait = least
                is_behind = advance and is_full
                for entry in await self._opened(entries):
                    if stopped():
                        break
                    try:
                        yield entry
                    except BaseException:
                        # The caller closed it, or threw into it: keep its place if the connection is free.
                        await self._keep_place(name, number, done, customer)
                        raise
                    done = entry.number
                if name is not None and done > number:
                    await self._move_cursor(name, number, done, customer, stop, told=True)
                number = done
        except (ConnectionLostError, NotConnectedError):
            if not stopped():
                raise

    async def _begin(self, name: str | None, after: int, customer: str | None, stop: Callable[[], bool] | None) -> int:
        """Where a subscription begins."""

        async def begin(connection: AnyConnection) -> int:
            if name is not None:
                return await self._open_cursor(connection, name)
            await self._session.check_customer(connection)
            return after

        return await self._session.run(begin, call="subscribe", customer=customer or "", stop=stop)

    async def _advance_apart(self, max_events: int, stop: Callable[[], bool] | None) -> AdvanceResult:
        """Advances in a transaction that ends at once, or not at all."""
        if await self._session.connections.is_joining():
            raise own_errors.advance_refused()
        return await advance(self._session, max(max_events, 10000), stop)

    async def _read(
        self, after: int, max_entries: int, customer: str | None, stop: Callable[[], bool] | None
    ) -> list[E]:
        async def read(connection: AnyConnection) -> list[E]:
            return await self._entries(connection, after, max_entries)

        return await self._session.run(read, call="read_log", customer=customer or "", stop=stop)

    async def _entries(self, connection: AnyConnection, after: int, max_entries: int) -> list[E]:
        rows = await self._session.rows(connection, self._kind.read, (after, max_entries))
        return statements.log_entries(self._kind, rows, after, max_entries)

    async def _opened(self, entries: list[E]) -> list[E]:
        """The entries with what is sealed in them opened, if there is a vault; run events have nothing sealed."""
        return await self._session.opened(entries) if self._kind.log == "events" else entries

    async def _behind(self, connection: AnyConnection, entries: Sequence[E], max_entries: int) -> int:
        """How many entries are left after these."""
        if len(entries) < max_entries:
            return 0
        return await self._size_on(connection) - entries[-1].number

    async def _size_on(self, connection: AnyConnection) -> int:
        row = await self._session.row(connection, statements.LOG_SIZE, (self._kind.log,))
        return int(row[0]) if row is not None else 0

    def _tell(self, name: str | None, customer: str | None, behind: int | None) -> None:
        """Tells who watches how far a consumer is behind, if that is known."""
        watch = self._session.watch
        if watch is not None and name is not None and behind is not None:
            watch.behind(name, self._kind.log, customer, behind)

    async def _open_cursor(self, connection: AnyConnection, name: str) -> int:
        row = await self._session.row(connection, statements.OPEN_CURSOR, (name, self._kind.log))
        return int(row[0])

    async def _move_cursor(
        self,
        name: str,
        start: int,
        end: int,
        customer: str | None,
        stop: Callable[[], bool] | None,
        *,
        apart: bool = False,
        told: bool = False,
    ) -> None:
        tried = False
        behind: int | None = None

        async def move(connection: AnyConnection) -> None:
            nonlocal tried, behind
            if tried and await self._open_cursor(connection, name) == end:
                return  # it was moved, and only the answer was lost
            tried = True
            await self._session.execute(connection, statements.MOVE_CURSOR, (name, start, end, self._kind.log))
            if told and self._session.watch is not None:
                behind = await self._size_on(connection) - end

        await self._session.run(move, call="move_cursor", customer=customer or "", stop=stop, apart=apart)
        self._tell(name, customer, behind)

    async def _keep_place(self, name: str | None, start: int, end: int, customer: str | None) -> None:
        """Moves the cursor of a subscription that is closed: once, and not in a transaction of the caller's."""
        # The garbage collector may close it at any time, also while another statement runs on the connection.
        if name is None or end == start or not self._session.connections.is_free():
            return
        with suppress(AximoError, psycopg.Error):  # then the entries come again
            await self._move_cursor(name, start, end, customer, _always, apart=True)


def _never() -> bool:
    return False


def _always() -> bool:
    return True
