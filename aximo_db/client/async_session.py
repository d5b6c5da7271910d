"""The asynchronous session: a call gets a connection, its customer and a transaction, and is tried again if it may.

``session.py`` is made from this file by ``tools/unasync.py``.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Self, TypeVar

import psycopg
from psycopg.rows import class_row, tuple_row

from aximo_db.client import own_errors, statements
from aximo_db.client.async_connections import AnyConnection, AnyPool, AsyncConnections
from aximo_db.client.async_waits import apart as in_thread
from aximo_db.client.call import Call, Retry, say_slow
from aximo_db.client.errors import AximoError, CustomerError
from aximo_db.client.events import Approval, NewEvent
from aximo_db.client.ledger_cursors import AsyncLedgerCursor
from aximo_db.client.sealed import Vault
from aximo_db.client.sealing import Sealer, holds_sealed
from aximo_db.client.watch import Watch, Watched

__all__ = ["AsyncSession"]

T = TypeVar("T")
K = TypeVar("K")


class AsyncSession:
    """What every call of a store goes through. Arguments are those of :class:`AsyncEventStore`.

    Attributes:
        connections: where connections come from.
        customer_id: the customer of calls that name none.
        retry_for: how many seconds a call may be tried again.
        watch: who is told of calls. Without one, a call asks once whether there is one.
        sealer: what seals and opens values; ``None`` without a vault.
    """

    def __init__(
        self,
        source: AnyConnection | AnyPool | str | None,
        *,
        customer_id: str | None,
        retry_for: float,
        prepare: bool,
        exact_numbers: bool,
        on_retry: Callable[[Retry], object] | None,
        slow_after: float | None,
        vault: Vault | None = None,
        seal: Mapping[str, str] | None = None,
    ) -> None:
        if vault is None and seal:
            raise ValueError("seal needs a vault")
        self.sealer = None if vault is None else Sealer(vault, seal or {}, exact=exact_numbers)
        self.connections = AsyncConnections(source, prepare=prepare)
        self.customer_id = customer_id
        self.retry_for = retry_for
        self.watch: Watch | None = None  # set by aximo_db.otel
        self._prepare = prepare
        self._exact = exact_numbers
        self._on_retry = on_retry
        self._slow_after = slow_after

    def for_customer(self, customer_id: str) -> Self:
        """The same session for another customer; it shares the connections."""
        other = copy.copy(self)
        other.customer_id = customer_id
        return other

    def customer(self, named: str | None) -> str | None:
        """The customer that a call works for: the one that it names, else the session's."""
        return named if named is not None else self.customer_id

    # Values that are sealed

    async def sealed(self, events: Sequence[NewEvent]) -> list[NewEvent]:
        """The events as they are sent: what is to be sealed is sealed, each for its customer, event and place.

        Raises:
            MalformedEventError: what is to be sealed can't be.
            VaultError: a subject was erased, or the vault can't make keys.
        """
        sealer = self.sealer
        if sealer is None or not any(sealer.concerns(event.payload) for event in events):
            return list(events)

        def seal() -> list[NewEvent]:
            done = []
            for event in events:
                if sealer.concerns(event.payload):
                    payload = sealer.seal(event.payload, self.customer(event.customer_id), event.event_id)
                    event = replace(event, payload=payload)
                done.append(event)
            return done

        return await in_thread(seal)

    async def opened(self, rows: list[T]) -> list[T]:
        """The rows, and what is sealed in their payloads opened, if there is a vault."""
        sealer = self.sealer
        if sealer is not None and holds_sealed(rows):
            await in_thread(lambda: sealer.open(rows))
        return rows

    async def with_persons(self, rows: list[Approval]) -> list[Approval]:
        """The approvals, and the person of each opened, if it is sealed and there is a vault."""
        sealer = self.sealer
        if sealer is None or not any(row.person for row in rows):
            return rows
        return await in_thread(lambda: [sealer.with_person(row) for row in rows])

    # Statements, for work that has a connection

    async def rows(
        self,
        connection: AnyConnection,
        query: str,
        values: Sequence[Any] | Mapping[str, Any] = (),
        row_factory: Callable[[Any], Any] = tuple_row,
    ) -> list[Any]:
        """All rows of a query."""
        cursor = AsyncLedgerCursor(connection, row_factory=row_factory, exact=self._exact)
        await cursor.execute(query, values, prepare=self._prepare)
        return await cursor.fetchall()

    async def row(
        self,
        connection: AnyConnection,
        query: str,
        values: Sequence[Any] = (),
        row_factory: Callable[[Any], Any] = tuple_row,
    ) -> Any:
        """The first row of a query, ``None`` if it has none."""
        cursor = AsyncLedgerCursor(connection, row_factory=row_factory, exact=self._exact)
        await cursor.execute(query, values, prepare=self._prepare)
        return await cursor.fetchone()

    async def execute(self, connection: AnyConnection, query: str, values: Sequence[Any] = ()) -> None:
        """Executes a statement whose result does not matter."""
        await AsyncLedgerCursor(connection).execute(query, values, prepare=self._prepare)

    async def check_customer(self, connection: AnyConnection) -> None:
        """Refuses a session without a customer, which finds nothing: a customer that was forgotten is no empty answer.

        Raises:
            CustomerError: the session works for no customer.
            MovedError: its customer is on another node.
        """
        customer, granted, has_placements = await self.row(connection, statements.WHOSE)
        if customer is None:
            placed = await self.row(connection, statements.PLACED) if has_placements else None
            raise own_errors.no_customer(granted, placed)

    # Calls

    async def read(
        self,
        query: str,
        values: Sequence[Any],
        row_factory: Callable[[Any], Any],
        *,
        call: str,
        customer_id: str | None,
        setup: str = statements.SET_CUSTOMER,
    ) -> list[Any]:
        """All rows of a query, as a call of its own."""

        async def read(connection: AnyConnection) -> list[Any]:
            rows = await self.rows(connection, query, values, row_factory)
            if not rows:
                await self.check_customer(connection)
            return rows

        return await self.run(read, call=call, customer=self.customer(customer_id) or "", setup=setup)

    async def select(
        self,
        view: str,
        row: type[T],
        conditions: Mapping[str, Any],
        order: str,
        customer_id: str | None,
        limit: int | None = None,
        moments: tuple[datetime | None, datetime | None] = (None, None),
    ) -> list[T]:
        """Rows of a view of schema ``aximo``: now, or as of a moment and as far as known at another one."""
        source = statements.as_of(view, *moments)
        query, values = statements.select(source, row, conditions, order, limit)
        values = [*statements.as_of_values(*moments), *values]
        return await self.read(query, values, class_row(row), call=view, customer_id=customer_id)

    async def pages(
        self,
        row: type[T],
        page_after: Callable[[K | None], tuple[str, list[Any]]],
        key: Callable[[T], K],
        after: K | None,
        *,
        call: str,
        customer_id: str | None,
        page_size: int,
    ) -> AsyncIterator[T]:
        """Rows in order of a key, read page by page; no transaction stays open in between.

        Args:
            row: the class of the rows.
            page_after: the query and values of the page after a key.
            key: the key of a row.
            after: the key to go on after.
            call: the store's method.
            customer_id: whose, if not the session's customer.
            page_size: rows a page.
        """
        if page_size < 1:
            raise ValueError("page_size is at least 1")
        setup = statements.SET_CUSTOMER_FOR_PAGE
        while True:
            query, values = page_after(after)
            page: list[T] = await self.read(
                query, values, class_row(row), call=call, customer_id=customer_id, setup=setup
            )
            for each in await self.opened(page):
                yield each
            if len(page) < page_size:
                return
            after = key(page[-1])

    async def run(
        self,
        work: Callable[[AnyConnection], Awaitable[T]],
        *,
        call: str,
        customer: str | None = None,
        named: str | None = None,
        setup: str = statements.SET_CUSTOMER,
        atomic: bool = False,
        events: Sequence[NewEvent] = (),
        writing: bool = False,
        stop: Callable[[], bool] | None = None,
        apart: bool = False,
        watched: Watched | None = None,
    ) -> T:
        """Does work on a connection, in the caller's transaction or one of its own; tries again if it may.

        Args:
            work: what is done; perhaps several times.
            call: the store's method, for the log.
            customer: the customer to set for the work: ``""`` for none, ``None`` to leave what is set.
            named: the customer that the work names itself, to be set if the work is refused without.
            setup: the statement that sets the customer.
            atomic: whether the work is more than one statement.
            events: the events that it writes, for errors.
            writing: whether it writes anything.
            stop: asked before it is tried again; true ends it.
            apart: whether to use another connection than the one that calls take turns on.
            watched: the call as who watches it knows it, if that was told already.
        """
        if self.watch is not None and watched is None:
            return await self._run_watched(
                self.watch, work, call=call, customer=customer, named=named, setup=setup, atomic=atomic,
                events=events, writing=writing, stop=stop, apart=apart,
            )  # fmt: skip
        began = time.monotonic()
        tries: Call | None = None  # as long as nothing failed, there is nothing to remember
        reached = joined = False

        async def attempt(connection: AnyConnection, joining: bool) -> T:
            nonlocal reached, joined
            reached, joined = True, joining
            return await self._attempt(connection, joining, work, customer, setup, atomic)

        try:
            while True:
                reached = joined = False
                try:
                    result = await self.connections.call(attempt, apart=apart)
                    self.connections.has_written |= writing
                    if tries is not None:
                        tries.succeed()
                    if self._slow_after is not None and time.monotonic() - began >= self._slow_after:
                        say_slow(call, time.monotonic() - began)
                    return result
                except (psycopg.Error, UnicodeEncodeError, AximoError) as error:
                    if tries is None:
                        tries = self.tries(call, began, events=events, writing=writing, stop=stop, watched=watched)
                    meaning = tries.fail(error, reached=reached, joined=joined)
                    if tries.may_retry():
                        if tries.needs_another_connection:
                            await self.connections.close()
                        await asyncio.sleep(tries.pause())
                        continue
                    if isinstance(meaning, CustomerError) and not joined and customer is None and named is not None:
                        # Perhaps a pooled session's earlier user left another customer behind: set it for certain.
                        customer = named
                        continue
                    final = tries.final_error()
                    if final is None:
                        raise
                    raise final from tries.cause
        except (psycopg.Error, AximoError):
            raise
        except BaseException as interruption:
            if tries is not None and tries.is_outcome_unknown:
                interruption.__cause__ = own_errors.outcome_unknown(events)
            raise

    async def _run_watched(
        self,
        watch: Watch,
        work: Callable[[AnyConnection], Awaitable[T]],
        *,
        call: str,
        customer: str | None,
        named: str | None,
        events: Sequence[NewEvent],
        **how: Any,
    ) -> T:
        whose = customer or named or self.customer_id
        with watch.call(call, whose, events) as watched:

            async def seen(connection: AnyConnection) -> T:
                watched.reached(connection)
                return await work(connection)

            result = await self.run(
                seen, call=call, customer=customer, named=named, events=events, watched=watched, **how
            )
            watched.done(result)
            return result

    def refused(self, call: str, error: AximoError) -> None:
        """Tells who watches of an event that was refused here, before anything was sent."""
        if self.watch is not None:
            self.watch.refused(call, error)

    def tries(
        self,
        call: str,
        began: float,
        *,
        events: Sequence[NewEvent] = (),
        writing: bool = False,
        stop: Callable[[], bool] | None = None,
        watched: Watched | None = None,
    ) -> Call:
        """What remembers the failed attempts of a call that began at that time of the monotonic clock."""
        deadline = began + self.retry_for
        on_retry = self._on_retry if watched is None else watched.retries(self._on_retry)
        return Call(self.connections, deadline, name=call, on_retry=on_retry, events=events, writing=writing, stop=stop)

    async def _attempt(
        self,
        connection: AnyConnection,
        joined: bool,
        work: Callable[[AnyConnection], Awaitable[T]],
        customer: str | None,
        setup: str,
        atomic: bool,
    ) -> T:
        """Does the work once: in the caller's transaction, in one of its own, or as the one statement that it is."""
        if not self.connections.was_used:
            await self.check_versions(connection)
        if joined:
            return await self._join(connection, work, customer)
        if connection.autocommit and not atomic and customer is None:
            return await work(connection)
        async with connection.transaction():
            if customer is not None:
                # Set it even if it is none: an earlier user of a pooled session may have left another customer there.
                await self.execute(connection, setup, (customer,))
            return await work(connection)

    async def _join(
        self, connection: AnyConnection, work: Callable[[AnyConnection], Awaitable[T]], customer: str | None
    ) -> T:
        """Works in a caller's transaction, and leaves its customer as it was."""
        if not customer:
            return await work(connection)
        before = await self.customer_setting(connection)
        await self.execute(connection, statements.SET_CUSTOMER, (customer,))
        result = await work(connection)
        await self.execute(connection, statements.SET_CUSTOMER, (before,))
        return result

    async def customer_setting(self, connection: AnyConnection) -> str:
        """The customer that is set in the transaction, ``""`` for none."""
        before: tuple[str] = await self.row(connection, statements.GET_CUSTOMER)
        return before[0]

    async def check_versions(self, connection: AnyConnection) -> None:
        """Refuses a schema that this package does not understand; from then on, the connections count as used.

        Raises:
            SchemaVersionError: the schema is missing, too old or too new.
        """
        try:
            async with connection.transaction():
                cursor = AsyncLedgerCursor(connection)
                await cursor.execute(statements.VERSIONS, prepare=False)
                row = await cursor.fetchone()
            if row is not None:
                statements.check_versions(*row)
        except (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedFunction) as error:
            raise own_errors.schema_missing() from error
        except psycopg.errors.InsufficientPrivilege:
            pass  # a login that may only emit can't ask; the database answers for itself
        self.connections.was_used = True
