"""The asynchronous store: what a caller writes events with, and asks for them.

``store.py`` is made from this file by ``tools/unasync.py``.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import islice
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from psycopg.rows import class_row, tuple_row
from uuid_utils.compat import uuid7

from aximo_db.client import own_errors, statements
from aximo_db.client.async_connections import AnyConnection, AnyPool
from aximo_db.client.async_execution import AsyncExecutionScope
from aximo_db.client.async_feed import AsyncFeed, advance, advance_all
from aximo_db.client.async_metrics import AsyncMetrics
from aximo_db.client.async_runs import AsyncRuns
from aximo_db.client.async_session import AsyncSession
from aximo_db.client.call import Retry
from aximo_db.client.errors import AximoError
from aximo_db.client.events import (
    AdvanceResult,
    Approval,
    Deployment,
    DeploymentVersion,
    EmitSummary,
    Event,
    Execution,
    LogBatch,
    LogCursor,
    LogEntry,
    NewEvent,
    OpenExecution,
    Receipt,
    TraceStep,
)
from aximo_db.client.sealed import Vault
from aximo_db.client.vocabulary import Actor, EventType

__all__ = ["AsyncEventStore"]


class AsyncEventStore(AsyncMetrics):
    """Emits events and asks what became of them.

    Args:
        source: a connection, a pool, or a libpq connection string; left out: ``AXIMO_DB_URL``, else libpq's own
            ``PG*`` variables. Calls take turns on a connection, lent or made of a connection string: give a pool for
            calls at the same time. A connection that is inside a transaction is joined and never committed.
        customer_id: the customer to work for where an event or a call names none. Not needed for a login that was
            granted one customer.
        retry_for: how many seconds to go on trying when the connection is lost (not inside a caller's transaction,
            and not on a caller's own connection). Every event has an id, so it lands once.
        prepare: whether statements are prepared on the server: a quarter faster, and not to be used where PgBouncer may
            be in between, which lends the same server connection to others.
        exact_numbers: whether numbers that are read in payloads keep every digit: what is no integer is a Decimal then,
            not a float.
        on_retry: called with a :class:`Retry` before a call waits and is tried again, by whoever made the call: it must
            not wait itself. What it raises is logged by its class, and the call goes on: a hook watches and decides
            nothing.
        slow_after: calls that took at least so many seconds are logged; ``None`` for none.
        vault: where the keys of sealed values are, such as a ``PostgresVault``. With one, what is read shows plain
            values, or :class:`Erased` where the key is gone; without one, the objects that they are sealed as.
        seal: fields of payloads that are sealed wherever they stand, each with the field of the same object that has
            the subject's id: ``{"email": "person"}``. Other values are sealed as :class:`Sealed`.

    The logger ``aximo_db`` says what is tried again and why, what came of it, and what was slow: names of calls, codes
    and times, and nothing of an event or a customer.

    Any :class:`~aximo_db.AximoError` but :class:`~aximo_db.ConnectionLostError` says that nothing of the call was
    written. What may be shared by threads, tasks and processes is in docs/service.md.
    """

    def __init__(
        self,
        source: AnyConnection | AnyPool | str | None = None,
        *,
        customer_id: str | None = None,
        retry_for: float = 30.0,
        prepare: bool = False,
        exact_numbers: bool = False,
        on_retry: Callable[[Retry], object] | None = None,
        slow_after: float | None = 1.0,
        vault: Vault | None = None,
        seal: Mapping[str, str] | None = None,
    ) -> None:
        self._session = AsyncSession(
            source,
            customer_id=customer_id,
            retry_for=retry_for,
            prepare=prepare,
            exact_numbers=exact_numbers,
            on_retry=on_retry,
            slow_after=slow_after,
            vault=vault,
            seal=seal,
        )

    def for_customer(self, customer_id: str) -> Self:
        """A store over the same connection or pool that works for a customer. Cheap; close one of them only."""
        other = copy.copy(self)
        other._session = self._session.for_customer(customer_id)
        return other

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection that the store made itself; a caller's connection or pool stays open."""
        await self._session.connections.close()

    # Writing

    async def emit(self, event: object) -> Receipt:
        """Writes one event.

        Args:
            event: a :class:`NewEvent`, a mapping, or any object with an event's attributes, such as the events of an
                agent runtime.

        Returns:
            The receipt; ``duplicate`` says that the same event had been written before.

        Raises:
            CustomerError, SequenceError, AttributionError, DuplicateEventError, MalformedEventError, VaultError:
                refused; nothing was written.
            ConnectionLostError: what became of it is not known; emit the error's ``event`` again.
        """
        try:
            new = NewEvent.of(event)
        except AximoError as error:
            self._session.refused("emit", error)
            raise
        try:
            if self._session.sealer is not None:
                [new] = await self._session.sealed((new,))
            values = statements.emit_values(new, self._session.customer_id)
        except AximoError as error:
            error.concern((new,))
            self._session.refused("emit", error)
            raise

        async def write(connection: AnyConnection) -> Receipt:
            receipt: Receipt = await self._session.row(connection, statements.EMIT, values, statements.receipt_row)
            if receipt.event_id != new.event_id:
                raise own_errors.receipt_of_another(new, receipt)
            return receipt

        named = self._session.customer(new.customer_id)
        customer = "" if named is None else None
        return await self._session.run(write, call="emit", customer=customer, named=named, events=(new,), writing=True)

    async def emit_batch(self, events: Sequence[object]) -> list[Receipt]:
        """Writes a batch of events, all or nothing, and returns their receipts in the same order.

        Args:
            events: as for :meth:`emit`; of one customer or several.

        Raises:
            The same as :meth:`emit`; the error's detail has the event's place in the batch, and ``events`` the whole
            batch.
        """
        try:
            batch = [NewEvent.of(event) for event in events]
        except AximoError as error:
            self._session.refused("emit_batch", error)
            raise
        if not batch:
            return []
        try:
            if self._session.sealer is not None:
                batch = await self._session.sealed(batch)
            for event in batch:
                statements.check_types(event)
            customers = {self._session.customer(event.customer_id) for event in batch}
            # Of several customers, each event names its own.
            customer_id = customers.pop() if len(customers) == 1 else "*"
            document = statements.batch_value(batch, self._session.customer_id)
        except AximoError as error:
            error.concern(batch)
            self._session.refused("emit_batch", error)
            raise

        async def write(connection: AnyConnection) -> list[Receipt]:
            values = (document, customer_id)
            receipts = await self._session.rows(connection, statements.EMIT_BATCH, values, statements.receipt_row)
            own_errors.check_receipts(batch, receipts)
            return receipts

        unnamed = any(self._session.customer(event.customer_id) is None for event in batch)
        customer = "" if unnamed else None
        return await self._session.run(
            write, call="emit_batch", customer=customer, atomic=True, events=batch, writing=True
        )

    async def emit_many(
        self, events: Iterable[object] | AsyncIterable[object], *, batch_size: int = 500
    ) -> EmitSummary:
        """Writes any number of events, in batches; each batch is all or nothing.

        Args:
            events: any iterable, read as it is written; of one customer or several.
            batch_size: how many events a batch.

        Returns:
            How many were written, and how many had been written before.

        Raises:
            The same as :meth:`emit`. Batches before the refused one stay written; sending everything again is safe
            for events that have an ``event_id``.
        """
        inserted = duplicates = 0
        async for batch in _batches(events, batch_size):
            for receipt in await self.emit_batch(batch):
                if receipt.duplicate:
                    duplicates += 1
                else:
                    inserted += 1
        return EmitSummary(inserted, duplicates)

    def execution(
        self,
        *,
        deployment_id: str,
        skill_id: str,
        skill_version: str,
        actor: Actor = "system",
        customer_id: str | None = None,
        execution_id: str | None = None,
        payload: Mapping[str, Any] | None = None,
        risk_level: str | None = None,
        approval_mode: str | None = None,
        correlation_id: str | None = None,
        channel_type: str | None = None,
    ) -> AsyncExecutionScope:
        """An execution as a context: triggered on entry, and always ended on exit.

        Leaving the block emits ``execution_completed``; an exception, a cancelled task included, emits
        ``execution_failed`` with its ``error_code`` and goes on. Both carry ``latency_ms``, the time inside the block.

        Args:
            deployment_id, skill_id, skill_version, actor: of every event of the execution.
            customer_id: whose it is, if not the store's customer.
            execution_id: a UUIDv7 if left out.
            payload: of ``execution_triggered``.
            risk_level, approval_mode, correlation_id, channel_type: of every event of the execution.
        """
        common = {
            "deployment_id": deployment_id,
            "skill_id": skill_id,
            "skill_version": skill_version,
            "actor": actor,
            "customer_id": self._session.customer(customer_id),
            "execution_id": execution_id if execution_id is not None else str(uuid7()),
            "risk_level": risk_level,
            "approval_mode": approval_mode,
            "correlation_id": correlation_id,
            "channel_type": channel_type,
        }
        return AsyncExecutionScope(self, self._session, common, payload or {})

    async def close_stale_executions(
        self, older_than: timedelta, *, customer_id: str | None = None
    ) -> list[tuple[str, UUID, timedelta]]:
        """Ends executions whose latest event is at least this old, with ``error_code`` ``orphaned``.

        Args:
            older_than: the age, from zero on.
            customer_id: whose, if not the store's customer.

        Returns:
            For each: its id, the event that ended it, and how long it had been idle.
        """
        age = [statements.interval(older_than)]
        rows = await self._session.read(
            statements.CLOSE_STALE, age, tuple_row, call="close_stale_executions", customer_id=customer_id
        )
        return [(row[0], row[1], row[2]) for row in rows]

    # Tool runs

    @property
    def runs(self) -> AsyncRuns:
        """The tool runs of the store's customer, their events, and the log of these."""
        return AsyncRuns(self._session)

    # Reading

    async def trace(self, execution_id: str, *, customer_id: str | None = None) -> list[TraceStep]:
        """What happened in an execution, in order of arrival; empty if the customer has no such execution."""
        row_factory = class_row(TraceStep)
        steps: list[TraceStep] = await self._session.read(
            statements.TRACE, [execution_id], row_factory, call="trace", customer_id=customer_id
        )
        return await self._session.opened(steps)

    async def executions(
        self,
        *,
        customer_id: str | None = None,
        execution_id: str | None = None,
        status: str | Sequence[str] | None = None,
        deployment_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        as_of: datetime | None = None,
        known_at: datetime | None = None,
        limit: int | None = None,
    ) -> list[Execution]:
        """How executions stand or ended, in order of their start.

        Args:
            customer_id: whose, if not the store's customer.
            execution_id, deployment_id: only these.
            status: ``triggered``, ``processing``, ``awaiting_approval``, ``completed`` or ``failed``; one or several.
            since, until: started from, and before, these moments.
            as_of: as it was at that moment, by ``timestamp``.
            known_at: and as far as it had been recorded by then.
            limit: at most so many.
        """
        conditions: dict[str, Any] = {
            "execution_id": execution_id,
            "status": status,
            "deployment_id": deployment_id,
            "started_at >=": since,
            "started_at <": until,
        }
        if status in ("completed", "failed") and as_of is known_at is None:
            conditions["outcome"] = status  # the same, and it has an index
        order = "started_at, execution_id"
        moments = (as_of, known_at)
        return await self._session.select("executions", Execution, conditions, order, customer_id, limit, moments)

    async def open_executions(
        self,
        *,
        customer_id: str | None = None,
        deployment_id: str | None = None,
        as_of: datetime | None = None,
        known_at: datetime | None = None,
        limit: int | None = None,
    ) -> list[OpenExecution]:
        """Executions that have not ended, the oldest first. Arguments as :meth:`executions`."""
        conditions = {"deployment_id": deployment_id}
        order = "started_at, execution_id"
        return await self._session.select(
            "open_executions", OpenExecution, conditions, order, customer_id, limit, (as_of, known_at)
        )

    async def approvals(
        self,
        *,
        customer_id: str | None = None,
        execution_id: str | None = None,
        decision: str | Sequence[str] | None = None,
        as_of: datetime | None = None,
        known_at: datetime | None = None,
        limit: int | None = None,
    ) -> list[Approval]:
        """Who decided what, in order of the requests. With a vault, ``person`` is opened where it was sealed.

        Args:
            decision: ``open``, ``granted``, ``rejected`` or ``timeout``; one or several.
            customer_id, execution_id, as_of, known_at, limit: as :meth:`executions`.
        """
        conditions = {"execution_id": execution_id, "decision": decision}
        order = "requested_at, request_event_id"
        moments = (as_of, known_at)
        found = await self._session.select("approvals", Approval, conditions, order, customer_id, limit, moments)
        return await self._session.with_persons(found)

    async def deployments(
        self,
        *,
        customer_id: str | None = None,
        as_of: datetime | None = None,
        known_at: datetime | None = None,
    ) -> list[Deployment]:
        """Every deployment with its status and version. Arguments as :meth:`executions`."""
        moments = (as_of, known_at)
        return await self._session.select("deployments", Deployment, {}, "deployment_id", customer_id, None, moments)

    async def deployment_versions(
        self,
        deployment_id: str | None = None,
        *,
        customer_id: str | None = None,
        as_of: datetime | None = None,
        known_at: datetime | None = None,
    ) -> list[DeploymentVersion]:
        """Which version ran when, one row a period, in order of deployment and time."""
        conditions = {"deployment_id": deployment_id}
        order = "deployment_id, began_at"
        return await self._session.select(
            "deployment_versions", DeploymentVersion, conditions, order, customer_id, None, (as_of, known_at)
        )

    def iter_events(
        self,
        *,
        customer_id: str | None = None,
        event_type: EventType | Sequence[EventType] | None = None,
        deployment_id: str | None = None,
        execution_id: str | None = None,
        correlation_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: tuple[datetime, UUID] | None = None,
        page_size: int = 1000,
    ) -> AsyncIterator[Event]:
        """Events in order of (timestamp, event_id), read page by page; no transaction stays open in between.

        An event that arrives late, with a timestamp already passed, is not seen by an iteration under way.

        Args:
            customer_id: whose, if not the store's customer.
            event_type, deployment_id, execution_id, correlation_id: only these; several types are possible.
            since, until: with a timestamp from, and before, these moments.
            after: go on after this (timestamp, event_id), as read from the last event of an earlier iteration.
            page_size: events a query.
        """
        conditions = {
            "event_type": event_type,
            "deployment_id": deployment_id,
            "execution_id": execution_id,
            "correlation_id": correlation_id,
            "timestamp >=": since,
            "timestamp <": until,
        }
        return self._session.pages(
            Event,
            lambda key: statements.events_page(conditions, key, page_size),
            lambda event: (event.timestamp, event.event_id),
            after,
            call="iter_events",
            customer_id=customer_id,
            page_size=page_size,
        )

    # The log

    async def advance_log(self, max_events: int = 10000) -> AdvanceResult:
        """Numbers committed events, of all customers, at most so many. The login needs ``aximo_operator``.

        One session at a time does it, to the end of its transaction: inside a caller's transaction, all others have
        to wait for that one to end before another event gets its number.

        Args:
            max_events: at most so many, one or more.

        Raises:
            MalformedEventError: ``max_events`` is below 1.
            psycopg.errors.InsufficientPrivilege: the login is no operator's.
        """
        return await advance(self._session, max_events)

    async def advance_all(self, max_events: int = 10000) -> AdvanceResult:
        """Numbers everything that is committed, in steps; each is a transaction, outside of a caller's.

        Args:
            max_events: at most so many a step.

        Returns:
            How many were numbered in all; ``is_behind`` is ``None`` if another session came in between.

        Raises:
            The same as :meth:`advance_log`. What earlier steps numbered stays so.
        """
        return await advance_all(self._session, max_events)

    # The feed

    @property
    def _feed(self) -> AsyncFeed[LogEntry]:
        return AsyncFeed(self._session, statements.EVENTS)

    async def read_log(
        self, after: int = 0, max_events: int = 1000, *, advance: bool = False, customer_id: str | None = None
    ) -> list[LogEntry]:
        """The entries of a customer's log after a number, in order, without a gap; empty at its end.

        Args:
            after: the last number that the caller has; 0 to begin.
            max_events: at most so many, one or more.
            advance: number what is new first, in a transaction of its own; not possible inside a caller's.
            customer_id: whose log, if not the store's customer.

        Raises:
            ProofError: a number is missing: rule ``log_is_dense``.
            MalformedEventError: a negative number, less than one event, or ``advance`` inside a transaction.
            psycopg.errors.InsufficientPrivilege: ``advance``, and the login is no operator's.
        """
        return await self._feed.page(after, max_events, advance, customer_id)

    async def log_size(self, *, customer_id: str | None = None) -> int:
        """How many entries a customer's log has; 0 if the login has not that customer."""
        return await self._feed.size(customer_id)

    async def cursors(self, *, customer_id: str | None = None) -> list[LogCursor]:
        """The consumers of a customer's log and how far they have come, in order of their names."""
        return await self._feed.cursors(customer_id)

    @asynccontextmanager
    async def consume(
        self, name: str, max_events: int = 1000, *, customer_id: str | None = None
    ) -> AsyncIterator[LogBatch[AnyConnection]]:
        """The next entries for a consumer, as a context: in a transaction that moves the consumer's cursor at its end.

        What the consumer writes on ``batch.connection`` is committed together with the cursor: every event is dealt
        with exactly once. An exception rolls back both, and the same entries come again. Another consumer of this name
        waits meanwhile, then gets the next ones.

        The connection is the caller's, if the store was made over one, and a transaction that is open there is joined:
        the batch is a savepoint in it, and counts when the caller commits. Else it is one of the pool, or one besides
        the store's own: the store's other methods work outside of the batch's transaction, and a store made over
        ``batch.connection`` inside. The transaction is the customer's: nothing can be emitted for another in it.

        Args:
            name: the consumer, 1 to 255 characters; it begins before the first entry.
            max_events: at most so many, one or more.
            customer_id: whose log, if not the store's customer.

        Raises:
            CustomerError: no customer, or one that the login was not granted.
            CursorError: the consumer moved the cursor itself.
            MalformedEventError: no name, or less than one event.
            ProofError: a number of the log is missing.
            ConnectionLostError: whether the batch was committed is not known; the next one begins where it has to.
        """
        async with self._feed.consume(name, max_events, customer_id) as (number, entries, connection):
            yield LogBatch(name, number, entries, connection)

    def subscribe(
        self,
        name: str | None = None,
        *,
        after: int = 0,
        max_events: int = 1000,
        advance: bool = False,
        follow: bool = True,
        poll: tuple[float, float] = (0.05, 1.0),
        stop: Callable[[], bool] | None = None,
        customer_id: str | None = None,
    ) -> AsyncIterator[LogEntry]:
        """The entries of a customer's log one by one, and on with what comes, for ever; no transaction stays open.

        With a name, goes on where the cursor of that name is, at least once: the cursor is moved past an entry after
        the next one was asked for, at the latest at the end of what was read at a time, so that after a crash the
        last ``max_events`` may come again, the one in hand in any case. One at a time may subscribe under a name;
        :meth:`consume` lets several share the work. Without a name, begins after a number.

        When the connection is lost, a store with connections of its own connects again, and goes on where it was.

        Args:
            name: the consumer, 1 to 255 characters.
            after: the last number that the caller has, if there is no name.
            max_events: how many are read at a time.
            advance: number what is new before looking for it; not possible inside a caller's transaction.
            follow: go on at the end of the log; else that is the end.
            poll: seconds between two looks at the end of the log: the first time, doubling up to the second.
            stop: asked before each entry and each look; true ends it, such as ``threading.Event().is_set``.
            customer_id: whose log, if not the store's customer.

        Raises:
            CustomerError: no customer, or one that the login was not granted.
            CursorError: another consumer moved the cursor.
            ProofError: a number of the log is missing.
            ConnectionLostError: the server did not come back within ``retry_for`` seconds.
            The same as :meth:`read_log` otherwise.
        """
        return self._feed.subscribe(name, after, max_events, advance, follow, poll, stop, customer_id)


async def _batches(events: Iterable[object] | AsyncIterable[object], size: int) -> AsyncIterator[list[object]]:
    if size < 1:
        raise ValueError("batch_size is at least 1")
    if isinstance(events, AsyncIterable):
        batch: list[object] = []
        async for event in events:
            batch.append(event)
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch
    else:
        iterator = iter(events)
        while chunk := list(islice(iterator, size)):
            yield chunk
