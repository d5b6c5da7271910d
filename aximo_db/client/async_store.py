"""The asynchronous store: emit and query over psycopg.

``store.py`` is made from this file by ``tools/unasync.py``; change this one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime, timedelta
from itertools import islice
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload
from uuid import UUID

import psycopg
from psycopg.rows import class_row, dict_row, scalar_row, tuple_row
from uuid_utils.compat import uuid7

from aximo_db.client import metric_rows, statements
from aximo_db.client.async_connections import AnyConnection, AnyPool, AsyncConnections
from aximo_db.client.async_runs import AsyncRuns
from aximo_db.client.async_waits import to_the_end
from aximo_db.client.call import Call, Retry, say_slow
from aximo_db.client.errors import (
    AttributionError,
    AximoError,
    ConnectionLostError,
    CustomerError,
    NotConnectedError,
    SequenceError,
)
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
    RefreshedView,
    TraceStep,
)
from aximo_db.client.ledger_cursors import AsyncLedgerCursor
from aximo_db.client.statements import E, Feed
from aximo_db.client.vocabulary import Actor, EventType
from aximo_db.client.watch import Watch, Watched

__all__ = ["AsyncActionScope", "AsyncEventStore", "AsyncExecutionScope"]

T = TypeVar("T")


class AsyncEventStore:
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
    ) -> None:
        self._connections = AsyncConnections(source, prepare=prepare)
        self._customer_id = customer_id
        self._retry_for = retry_for
        self._prepare = prepare
        self._exact = exact_numbers
        self._on_retry = on_retry
        self._slow_after = slow_after
        # Set by aximo_db.otel; without it, a call asks once whether there is one.
        self._watch: Watch | None = None

    def for_customer(self, customer_id: str) -> AsyncEventStore:
        """A store over the same connection or pool that works for a customer. Cheap; close one of them only."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._customer_id = customer_id
        return other

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection that the store made itself; a caller's connection or pool stays open."""
        await self._connections.close()

    # Writing

    async def emit(self, event: object) -> Receipt:
        """Writes one event.

        Args:
            event: a :class:`NewEvent`, a mapping, or any object with an event's attributes, such as the events of an
                agent runtime.

        Returns:
            The receipt; ``duplicate`` says that the same event had been written before.

        Raises:
            CustomerError, SequenceError, AttributionError, DuplicateEventError, MalformedEventError: refused; nothing
                was written.
            ConnectionLostError: what became of it is not known; emit the error's ``event`` again.
        """
        try:
            new = NewEvent.of(event)
        except AximoError as error:
            self._refused("emit", error)
            raise
        try:
            values = statements.emit_values(new, self._customer_id)
        except AximoError as error:
            error.concern((new,))
            self._refused("emit", error)
            raise

        async def write(connection: AnyConnection) -> Receipt:
            cursor = AsyncLedgerCursor(connection, row_factory=statements.receipt_row)
            await cursor.execute(statements.EMIT, values, prepare=self._prepare)
            receipt: Receipt | None = await cursor.fetchone()
            assert receipt is not None  # noqa: S101
            if receipt.event_id != new.event_id:
                raise statements.receipt_of_another(new, receipt)
            return receipt

        named = new.customer_id if new.customer_id is not None else self._customer_id
        customer = "" if named is None else None
        return await self._run(write, call="emit", customer=customer, named=named, events=(new,), writing=True)

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
            self._refused("emit_batch", error)
            raise
        if not batch:
            return []
        try:
            for event in batch:
                statements.check_types(event)
            customers = {event.customer_id if event.customer_id is not None else self._customer_id for event in batch}
            # Of several customers, each event names its own.
            customer_id = customers.pop() if len(customers) == 1 else "*"
            document = statements.batch_value(batch, self._customer_id)
        except AximoError as error:
            error.concern(batch)
            self._refused("emit_batch", error)
            raise

        async def write(connection: AnyConnection) -> list[Receipt]:
            cursor = AsyncLedgerCursor(connection, row_factory=statements.receipt_row)
            await cursor.execute(statements.EMIT_BATCH, (document, customer_id), prepare=self._prepare)
            receipts = await cursor.fetchall()
            statements.check_receipts(batch, receipts)
            return receipts

        unnamed = self._customer_id is None and any(event.customer_id is None for event in batch)
        customer = "" if unnamed else None
        return await self._run(write, call="emit_batch", customer=customer, atomic=True, events=batch, writing=True)

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
            "customer_id": customer_id if customer_id is not None else self._customer_id,
            "execution_id": execution_id if execution_id is not None else str(uuid7()),
            "risk_level": risk_level,
            "approval_mode": approval_mode,
            "correlation_id": correlation_id,
            "channel_type": channel_type,
        }
        return AsyncExecutionScope(self, common, payload or {})

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
        rows = await self._read(
            statements.CLOSE_STALE, age, tuple_row, call="close_stale_executions", customer_id=customer_id
        )
        return [(row[0], row[1], row[2]) for row in rows]

    # Tool runs

    @property
    def runs(self) -> AsyncRuns:
        """The tool runs of the store's customer, their events, and the log of these."""
        return AsyncRuns(self)

    # Reading

    async def trace(self, execution_id: str, *, customer_id: str | None = None) -> list[TraceStep]:
        """What happened in an execution, in order of arrival; empty if the customer has no such execution."""
        row_factory = class_row(TraceStep)
        return await self._read(statements.TRACE, [execution_id], row_factory, call="trace", customer_id=customer_id)

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
        return await self._select("executions", Execution, conditions, order, limit, customer_id, as_of, known_at)

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
        return await self._select(
            "open_executions", OpenExecution, conditions, order, limit, customer_id, as_of, known_at
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
        """Who decided what, in order of the requests.

        Args:
            decision: ``open``, ``granted``, ``rejected`` or ``timeout``; one or several.
            customer_id, execution_id, as_of, known_at, limit: as :meth:`executions`.
        """
        conditions = {"execution_id": execution_id, "decision": decision}
        order = "requested_at, request_event_id"
        return await self._select("approvals", Approval, conditions, order, limit, customer_id, as_of, known_at)

    async def deployments(
        self,
        *,
        customer_id: str | None = None,
        as_of: datetime | None = None,
        known_at: datetime | None = None,
    ) -> list[Deployment]:
        """Every deployment with its status and version. Arguments as :meth:`executions`."""
        return await self._select("deployments", Deployment, {}, "deployment_id", None, customer_id, as_of, known_at)

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
        return await self._select(
            "deployment_versions", DeploymentVersion, conditions, order, None, customer_id, as_of, known_at
        )

    async def iter_events(
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
        if page_size < 1:
            raise ValueError("page_size is at least 1")
        conditions = {
            "event_type": event_type,
            "deployment_id": deployment_id,
            "execution_id": execution_id,
            "correlation_id": correlation_id,
            "timestamp >=": since,
            "timestamp <": until,
        }
        while True:
            query, values = statements.events_page(conditions, after, page_size)
            page = await self._read(
                query,
                values,
                class_row(Event),
                call="iter_events",
                customer_id=customer_id,
                setup=statements.SET_CUSTOMER_FOR_PAGE,
            )
            for event in page:
                yield event
            if len(page) < page_size:
                return
            after = (page[-1].timestamp, page[-1].event_id)

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
        return await self._advance(max_events, None)

    async def advance_all(self, max_events: int = 10000) -> AdvanceResult:
        """Numbers everything that is committed, in steps; each is a transaction, outside of a caller's.

        Args:
            max_events: at most so many a step.

        Returns:
            How many were numbered in all; ``is_behind`` is ``None`` if another session came in between.

        Raises:
            The same as :meth:`advance_log`. What earlier steps numbered stays so.
        """
        numbered = 0
        while True:
            step = await self._advance(max_events, None)
            numbered += step.numbered
            if not step.is_behind:
                return AdvanceResult(numbered, step.is_behind)

    # Metrics

    # Made by tools/vocabulary.py, up to the next such line.
    @overload
    async def metrics(
        self, view: Literal["actions"], *, customer_id: str | None = None
    ) -> list[metric_rows.Actions]: ...

    @overload
    async def metrics(
        self, view: Literal["actions_hourly"], *, customer_id: str | None = None
    ) -> list[metric_rows.ActionsHourly]: ...

    @overload
    async def metrics(
        self, view: Literal["actions_monthly"], *, customer_id: str | None = None
    ) -> list[metric_rows.ActionsMonthly]: ...

    @overload
    async def metrics(self, view: Literal["alerts"], *, customer_id: str | None = None) -> list[metric_rows.Alerts]: ...

    @overload
    async def metrics(
        self, view: Literal["alerts_hourly"], *, customer_id: str | None = None
    ) -> list[metric_rows.AlertsHourly]: ...

    @overload
    async def metrics(
        self, view: Literal["alerts_monthly"], *, customer_id: str | None = None
    ) -> list[metric_rows.AlertsMonthly]: ...

    @overload
    async def metrics(
        self, view: Literal["attribution_monthly"], *, customer_id: str | None = None
    ) -> list[metric_rows.AttributionMonthly]: ...

    @overload
    async def metrics(
        self, view: Literal["business_value"], *, customer_id: str | None = None
    ) -> list[metric_rows.BusinessValue]: ...

    @overload
    async def metrics(
        self, view: Literal["business_value_hourly"], *, customer_id: str | None = None
    ) -> list[metric_rows.BusinessValueHourly]: ...

    @overload
    async def metrics(
        self, view: Literal["business_value_monthly"], *, customer_id: str | None = None
    ) -> list[metric_rows.BusinessValueMonthly]: ...

    @overload
    async def metrics(
        self, view: Literal["customer_overview"], *, customer_id: str | None = None
    ) -> list[metric_rows.CustomerOverview]: ...

    @overload
    async def metrics(
        self, view: Literal["deployment_status"], *, customer_id: str | None = None
    ) -> list[metric_rows.DeploymentStatus]: ...

    @overload
    async def metrics(
        self, view: Literal["execution_health"], *, customer_id: str | None = None
    ) -> list[metric_rows.ExecutionHealth]: ...

    @overload
    async def metrics(
        self, view: Literal["execution_health_hourly"], *, customer_id: str | None = None
    ) -> list[metric_rows.ExecutionHealthHourly]: ...

    @overload
    async def metrics(
        self, view: Literal["execution_health_monthly"], *, customer_id: str | None = None
    ) -> list[metric_rows.ExecutionHealthMonthly]: ...

    @overload
    async def metrics(
        self, view: Literal["freshness"], *, customer_id: str | None = None
    ) -> list[metric_rows.Freshness]: ...

    @overload
    async def metrics(
        self, view: Literal["high_risk_levels"], *, customer_id: str | None = None
    ) -> list[metric_rows.HighRiskLevels]: ...

    @overload
    async def metrics(
        self, view: Literal["lead_action_types"], *, customer_id: str | None = None
    ) -> list[metric_rows.LeadActionTypes]: ...

    @overload
    async def metrics(
        self, view: Literal["sla_governance"], *, customer_id: str | None = None
    ) -> list[metric_rows.SlaGovernance]: ...

    @overload
    async def metrics(
        self, view: Literal["sla_governance_hourly"], *, customer_id: str | None = None
    ) -> list[metric_rows.SlaGovernanceHourly]: ...

    @overload
    async def metrics(
        self, view: Literal["sla_governance_monthly"], *, customer_id: str | None = None
    ) -> list[metric_rows.SlaGovernanceMonthly]: ...

    @overload
    async def metrics(
        self, view: Literal["thresholds"], *, customer_id: str | None = None
    ) -> list[metric_rows.Thresholds]: ...

    @overload
    async def metrics(
        self, view: Literal["tool_runs"], *, customer_id: str | None = None
    ) -> list[metric_rows.ToolRuns]: ...

    @overload
    async def metrics(
        self, view: Literal["tool_runs_by_status"], *, customer_id: str | None = None
    ) -> list[metric_rows.ToolRunsByStatus]: ...

    @overload
    async def metrics(self, view: str, *, customer_id: str | None = None) -> list[Any]: ...
    # Up to here.
    async def metrics(self, view: str, *, customer_id: str | None = None) -> list[Any]:
        """The rows of a view of metrics, as of the last refresh; columns and their meanings are in docs/bi.md.

        Args:
            view: its name in the schema ``aximo_metrics``, such as ``"execution_health"``.
            customer_id: whose metrics, if not the store's customer.

        Returns:
            A dictionary a row, with keys that type checkers know (``aximo_db.client.metric_rows``). Days and months are
            dates, UTC; moments are time-zone-aware; durations are in milliseconds, as the columns' names say.

        Raises:
            MalformedEventError: that is no name.
            psycopg.errors.UndefinedTable: there is no such view.
            psycopg.errors.InsufficientPrivilege: the login has neither ``aximo_bi`` nor ``aximo_reader``.
        """
        return await self._read(statements.metrics(view), (), dict_row, call="metrics", customer_id=customer_id)

    async def refresh_metrics(self, everything: bool | None = None) -> list[RefreshedView]:
        """Numbers and counts what is new, and shows it in all customers' metrics. The login needs ``aximo_operator``.

        Outside of a caller's transaction each step is one of its own: what was done when the connection breaks stays
        done, and others number events meanwhile. Inside of one it is one step, in that transaction, and nobody else
        can number until it ends.

        Args:
            everything: also make anew what has not changed.

        Returns:
            What was made; nothing if another session counts or refreshes.

        Raises:
            CustomerError: the login was not granted all customers.
            psycopg.errors.InsufficientPrivilege: the login is no operator's.
        """
        joining = await self._connections.is_joining()
        if not joining:
            await self.advance_all()
            while await self._count():
                pass

        async def refresh(connection: AnyConnection) -> list[RefreshedView]:
            cursor = AsyncLedgerCursor(connection)
            if not joining:
                await cursor.execute("set transaction isolation level repeatable read", prepare=self._prepare)
            await cursor.execute(statements.REFRESH_METRICS, (everything,), prepare=self._prepare)
            return [RefreshedView(*row) for row in await cursor.fetchall()]

        return await self._run(refresh, call="refresh_metrics", atomic=True)

    # The feed

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
        return await self._page(statements.EVENTS, after, max_events, advance, customer_id)

    async def log_size(self, *, customer_id: str | None = None) -> int:
        """How many entries a customer's log has; 0 if the login has not that customer."""
        return await self._log_size(statements.EVENTS, customer_id)

    async def cursors(self, *, customer_id: str | None = None) -> list[LogCursor]:
        """The consumers of a customer's log and how far they have come, in order of their names."""
        return await self._cursors(statements.EVENTS, customer_id)

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
        async with self._consume(statements.EVENTS, name, max_events, customer_id) as (number, entries, connection):
            yield LogBatch(name, number, entries, connection)

    def _consume(
        self, feed: Feed[E], name: str, max_events: int, customer_id: str | None
    ) -> AbstractAsyncContextManager[tuple[int, list[E], AnyConnection]]:
        """Where the cursor is, the next entries, and the connection in whose transaction it is moved at the end."""
        customer = customer_id if customer_id is not None else self._customer_id
        if self._watch is None:
            return self._consumed(feed, name, max_events, customer, None)
        return self._consumed_watched(self._watch, feed, name, max_events, customer)

    @asynccontextmanager
    async def _consumed_watched(
        self, watch: Watch, feed: Feed[E], name: str, max_events: int, customer: str | None
    ) -> AsyncIterator[tuple[int, list[E], AnyConnection]]:
        with watch.call("consume", customer, ()) as watched:
            async with self._consumed(feed, name, max_events, customer, watched) as found:
                with watched.aside():
                    yield found

    @asynccontextmanager
    async def _consumed(
        self, feed: Feed[E], name: str, max_events: int, customer: str | None, watched: Watched | None
    ) -> AsyncIterator[tuple[int, list[E], AnyConnection]]:
        call = Call(
            self._connections,
            time.monotonic() + self._retry_for,
            name="consume",
            on_retry=self._on_retry if watched is None else watched.retries(self._on_retry),
            writing=True,
        )
        while True:
            reached = joined = opened = False
            own: BaseException | None = None
            try:
                async with self._connections.turn(apart=True) as (connection, joined):
                    reached = True
                    if not self._connections.was_used:
                        await self._check_versions(connection)
                    async with connection.transaction():
                        setting = AsyncLedgerCursor(connection)
                        before = ""
                        if joined:
                            await setting.execute(statements.GET_CUSTOMER, prepare=self._prepare)
                            before = (await setting.fetchone() or ("",))[0]
                        named = (customer or before,)
                        await setting.execute(statements.SET_CUSTOMER, named, prepare=self._prepare)
                        number = await self._open_cursor(connection, feed, name)
                        entries = await self._entries(connection, feed, number, max_events)
                        behind = 0
                        if watched is not None:
                            watched.reached(connection)
                            behind = await self._behind(connection, feed, entries, max_events)
                        opened = True
                        call.succeed()
                        try:
                            async with self._connections.block(connection):
                                yield number, entries, connection
                        except BaseException as error:
                            own = error
                            raise
                        if entries:
                            # Once more, as the consumer may have worked for others.
                            await setting.execute(statements.SET_CUSTOMER, named, prepare=self._prepare)
                            values = (name, number, entries[-1].number, feed.log)
                            await setting.execute(statements.MOVE_CURSOR, values, prepare=self._prepare)
                        if joined:
                            await setting.execute(statements.SET_CUSTOMER, (before,), prepare=self._prepare)
                if self._watch is not None:
                    self._watch.behind(name, feed.log, customer, behind)
                return
            except (psycopg.Error, UnicodeEncodeError) as error:
                if error is own:
                    raise
                call.fail(error, reached=reached, joined=joined)
                if not opened and call.may_retry():
                    await asyncio.sleep(call.pause())
                    continue
                final = call.final_error()
                if final is None:
                    raise
                raise final from call.cause

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
        return self._subscribe(statements.EVENTS, name, after, max_events, advance, follow, poll, stop, customer_id)

    async def _subscribe(
        self,
        feed: Feed[E],
        name: str | None,
        after: int,
        max_events: int,
        advance: bool,
        follow: bool,
        poll: tuple[float, float],
        stop: Callable[[], bool] | None,
        customer_id: str | None,
    ) -> AsyncIterator[E]:
        least, most = statements.poll_bounds(poll)
        if name is not None and after != 0:
            raise ValueError("a cursor knows where it is: either name or after")
        stopped = stop if stop is not None else _never
        customer = customer_id if customer_id is not None else self._customer_id
        wait = least
        is_full = False
        is_behind: bool | None = False
        try:
            number = done = await self._begin(feed, name, after, customer, stop)
            while not stopped():
                if advance and not is_full:
                    is_behind = (await self._advance_apart(max_events, stop)).is_behind
                entries = await self._read_log(feed, number, max_events, customer, stop)
                is_full = len(entries) == max_events
                if not entries:
                    if name is not None and self._watch is not None:
                        self._watch.behind(name, feed.log, customer, 0)
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
                for entry in entries:
                    if stopped():
                        break
                    try:
                        yield entry
                    except BaseException:
                        # It is closed, or thrown into. What was done is kept, if that is to be had at once.
                        await self._keep_place(feed, name, number, done, customer)
                        raise
                    done = entry.number
                if name is not None and done > number:
                    await self._move_cursor(feed, name, number, done, customer, stop, told=True)
                number = done
        except (ConnectionLostError, NotConnectedError):
            if not stopped():
                raise

    async def _begin(
        self, feed: Feed[E], name: str | None, after: int, customer: str | None, stop: Callable[[], bool] | None
    ) -> int:
        """Where a subscription begins."""

        async def begin(connection: AnyConnection) -> int:
            if name is not None:
                return await self._open_cursor(connection, feed, name)
            await self._check_customer(connection)
            return after

        return await self._run(begin, call="subscribe", customer=customer or "", stop=stop)

    async def _advance(self, max_events: int, stop: Callable[[], bool] | None) -> AdvanceResult:
        async def advance(connection: AnyConnection) -> AdvanceResult:
            cursor = AsyncLedgerCursor(connection)
            await cursor.execute(statements.ADVANCE_LOG, (max_events,), prepare=self._prepare)
            row = await cursor.fetchone()
            assert row is not None  # noqa: S101
            return AdvanceResult(*row)

        return await self._run(advance, call="advance_log", stop=stop)

    async def _count(self) -> bool | None:
        async def count(connection: AnyConnection) -> bool | None:
            cursor = AsyncLedgerCursor(connection)
            await cursor.execute(statements.COUNT_METRICS, prepare=self._prepare)
            row = await cursor.fetchone()
            assert row is not None  # noqa: S101
            return row[0]  # type: ignore[no-any-return]

        return await self._run(count, call="refresh_metrics")

    async def _advance_apart(self, max_events: int, stop: Callable[[], bool] | None) -> AdvanceResult:
        """Advances in a transaction that ends at once, or not at all."""
        if await self._connections.is_joining():
            raise statements.advance_refused()
        return await self._advance(max(max_events, 10000), stop)

    async def _page(
        self, feed: Feed[E], after: int, max_events: int, advance: bool, customer_id: str | None
    ) -> list[E]:
        if advance:
            await self._advance_apart(max_events, None)
        entries = await self._read_log(feed, after, max_events, customer_id, None)
        if not entries:
            await self._log_size(feed, customer_id)  # which tells whether there is a customer
        return entries

    async def _log_size(self, feed: Feed[E], customer_id: str | None) -> int:
        rows = await self._read(statements.LOG_SIZE, (feed.log,), scalar_row, call="log_size", customer_id=customer_id)
        return int(rows[0])

    async def _cursors(self, feed: Feed[E], customer_id: str | None) -> list[LogCursor]:
        return await self._select("cursors", LogCursor, {"log": feed.log}, "name", None, customer_id, None, None)

    async def _read_log(
        self,
        feed: Feed[E],
        after: int,
        max_events: int,
        customer_id: str | None,
        stop: Callable[[], bool] | None,
    ) -> list[E]:
        customer = customer_id if customer_id is not None else self._customer_id

        async def read(connection: AnyConnection) -> list[E]:
            return await self._entries(connection, feed, after, max_events)

        return await self._run(read, call="read_log", customer=customer or "", stop=stop)

    async def _entries(self, connection: AnyConnection, feed: Feed[E], after: int, max_events: int) -> list[E]:
        cursor = AsyncLedgerCursor(connection, exact=self._exact)
        await cursor.execute(feed.read, (after, max_events), prepare=self._prepare)
        return statements.log_entries(feed, await cursor.fetchall(), after, max_events)

    async def _size(self, connection: AnyConnection, feed: Feed[E]) -> int:
        cursor = AsyncLedgerCursor(connection)
        await cursor.execute(statements.LOG_SIZE, (feed.log,), prepare=self._prepare)
        row = await cursor.fetchone()
        return int(row[0]) if row is not None else 0

    async def _behind(self, connection: AnyConnection, feed: Feed[E], entries: Sequence[E], max_events: int) -> int:
        """How many entries are left after these."""
        if len(entries) < max_events:
            return 0
        return await self._size(connection, feed) - entries[-1].number

    async def _open_cursor(self, connection: AnyConnection, feed: Feed[E], name: str) -> int:
        cursor = AsyncLedgerCursor(connection)
        await cursor.execute(statements.OPEN_CURSOR, (name, feed.log), prepare=self._prepare)
        row = await cursor.fetchone()
        assert row is not None  # noqa: S101
        return int(row[0])

    async def _move_cursor(
        self,
        feed: Feed[E],
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
            if tried and await self._open_cursor(connection, feed, name) == end:
                return  # it was moved, and only the answer was lost
            tried = True
            values = (name, start, end, feed.log)
            await AsyncLedgerCursor(connection).execute(statements.MOVE_CURSOR, values, prepare=self._prepare)
            if told and self._watch is not None:
                behind = await self._size(connection, feed) - end

        await self._run(move, call="move_cursor", customer=customer or "", stop=stop, apart=apart)
        if behind is not None and self._watch is not None:
            self._watch.behind(name, feed.log, customer, behind)

    async def _keep_place(self, feed: Feed[E], name: str | None, start: int, end: int, customer: str | None) -> None:
        """Moves the cursor of a subscription that is closed: once, and not in a transaction of the caller's."""
        # Who collects garbage may close it at any time, in the midst of another statement on the connection too.
        if name is None or end == start or not self._connections.is_free():
            return
        with suppress(AximoError, psycopg.Error):  # then the entries come again
            await self._move_cursor(feed, name, start, end, customer, _always, apart=True)

    # How it is done

    async def _select(
        self,
        view: str,
        row: type[T],
        conditions: Mapping[str, Any],
        order: str,
        limit: int | None,
        customer_id: str | None,
        as_of: datetime | None,
        known_at: datetime | None,
    ) -> list[T]:
        source = statements.as_of(view, as_of, known_at)
        query, values = statements.select(source, row, conditions, order, limit)
        values = [*statements.as_of_values(as_of, known_at), *values]
        return await self._read(query, values, class_row(row), call=view, customer_id=customer_id)

    async def _read(
        self,
        query: str,
        values: Sequence[Any],
        row_factory: Callable[[Any], Any],
        *,
        call: str,
        customer_id: str | None,
        setup: str = statements.SET_CUSTOMER,
    ) -> list[Any]:
        customer = customer_id if customer_id is not None else self._customer_id

        async def read(connection: AnyConnection) -> list[Any]:
            cursor = AsyncLedgerCursor(connection, row_factory=row_factory, exact=self._exact)
            await cursor.execute(query, values, prepare=self._prepare)
            rows = await cursor.fetchall()
            if not rows:
                await self._check_customer(connection)
            return rows

        return await self._run(read, call=call, customer=customer or "", setup=setup)

    async def _check_customer(self, connection: AnyConnection) -> None:
        """Nothing was found: a customer that was forgotten is no empty answer."""
        cursor = AsyncLedgerCursor(connection)
        await cursor.execute(statements.WHOSE, prepare=self._prepare)
        row = await cursor.fetchone()
        if row is not None and row[0] is None:
            raise statements.no_customer(row[1])

    async def _run(
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
        """Does work on a connection, in the caller's transaction or one of its own; tries again if it may."""
        if self._watch is not None and watched is None:
            return await self._run_watched(
                self._watch, work, call=call, customer=customer, named=named, setup=setup, atomic=atomic,
                events=events, writing=writing, stop=stop, apart=apart,
            )  # fmt: skip
        began = time.monotonic()
        tries: Call | None = None  # as long as nothing failed, there is nothing to remember
        reached = joined = False

        async def attempt(connection: AnyConnection, joining: bool) -> T:
            nonlocal reached, joined
            reached, joined = True, joining
            return await self._work_on(connection, joining, work, customer, setup, atomic)

        try:
            while True:
                reached = joined = False
                try:
                    result = await self._connections.call(attempt, apart=apart)
                    self._connections.has_written |= writing
                    if tries is not None:
                        tries.succeed()
                    if self._slow_after is not None and time.monotonic() - began >= self._slow_after:
                        say_slow(call, time.monotonic() - began)
                    return result
                except (psycopg.Error, UnicodeEncodeError, AximoError) as error:
                    if tries is None:
                        tries = Call(
                            self._connections,
                            began + self._retry_for,
                            name=call,
                            on_retry=self._on_retry if watched is None else watched.retries(self._on_retry),
                            events=events,
                            writing=writing,
                            stop=stop,
                        )
                    meaning = tries.fail(error, reached=reached, joined=joined)
                    if tries.may_retry():
                        if tries.needs_another_connection:
                            await self._connections.close()
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
                interruption.__cause__ = statements.outcome_unknown(events)
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
        whose = customer or named or self._customer_id
        with watch.call(call, whose, events) as watched:

            async def seen(connection: AnyConnection) -> T:
                watched.reached(connection)
                return await work(connection)

            result = await self._run(
                seen, call=call, customer=customer, named=named, events=events, watched=watched, **how
            )
            watched.done(result)
            return result

    def _refused(self, call: str, error: AximoError) -> None:
        """Tells who watches of an event that was refused here, before anything was sent."""
        if self._watch is not None:
            self._watch.refused(call, error)

    async def _work_on(
        self,
        connection: AnyConnection,
        joined: bool,
        work: Callable[[AnyConnection], Awaitable[T]],
        customer: str | None,
        setup: str,
        atomic: bool,
    ) -> T:
        """Does the work once: in the caller's transaction, in one of its own, or as the one statement that it is."""
        if not self._connections.was_used:
            await self._check_versions(connection)
        if joined:
            return await self._joined(connection, work, customer)
        if connection.autocommit and not atomic and customer is None:
            return await work(connection)
        async with connection.transaction():
            if customer is not None:
                # Also if it is none: what a pooled session's earlier user left there is not ours.
                await AsyncLedgerCursor(connection).execute(setup, (customer,), prepare=self._prepare)
            return await work(connection)

    async def _joined(
        self, connection: AnyConnection, work: Callable[[AnyConnection], Awaitable[T]], customer: str | None
    ) -> T:
        """Works in a caller's transaction, and leaves its customer as it was."""
        if not customer:
            return await work(connection)
        setting = AsyncLedgerCursor(connection)
        await setting.execute(statements.GET_CUSTOMER, prepare=self._prepare)
        named = (await setting.fetchone() or ("",))[0]
        await setting.execute(statements.SET_CUSTOMER, (customer,), prepare=self._prepare)
        result = await work(connection)
        await setting.execute(statements.SET_CUSTOMER, (named,), prepare=self._prepare)
        return result

    async def _check_versions(self, connection: AnyConnection) -> None:
        try:
            async with connection.transaction():
                cursor = AsyncLedgerCursor(connection)
                await cursor.execute(statements.VERSIONS, prepare=False)
                row = await cursor.fetchone()
            if row is not None:
                statements.check_versions(*row)
        except (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedFunction) as error:
            raise statements.schema_missing() from error
        except psycopg.errors.InsufficientPrivilege:
            pass  # a login that may only emit can't ask; the database answers for itself
        self._connections.was_used = True


def _never() -> bool:
    return False


def _always() -> bool:
    return True


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


class AsyncExecutionScope:
    """An execution under way: made by :meth:`AsyncEventStore.execution`, used as a context.

    ``execution_processing`` is emitted before the first event that needs it, if it was not emitted before. What the
    scope has begun to write it ends, acknowledged or not: an event of which nobody knows whether it was written is
    emitted once more before the next one.
    """

    def __init__(self, store: AsyncEventStore, common: Mapping[str, Any], payload: Mapping[str, Any]) -> None:
        self._store = store
        self._common = common
        self._payload = payload
        self._triggered = False
        self._processing = False
        self._ended = False
        self._unsettled: NewEvent | None = None
        self._latest_id: UUID | None = None
        self._started = time.monotonic()

    @property
    def execution_id(self) -> str:
        """The execution's id."""
        return str(self._common["execution_id"])

    @property
    def ended(self) -> bool:
        """Whether ``execution_completed`` or ``execution_failed`` was emitted."""
        return self._ended

    async def __aenter__(self) -> Self:
        self._started = time.monotonic()
        try:
            await to_the_end(lambda: self.emit("execution_triggered", self._payload))
        except BaseException as error:
            if self._triggered or self._unsettled is not None:
                await self._fail_after(error)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._ended:
            return
        if error is not None:
            await self._fail_after(error)
            return
        try:
            await to_the_end(self.complete)
        except SequenceError as refused:
            # Something is left open. It ends all the same, and the caller learns why.
            payload = {"error": refused.message, "rule": refused.rule}
            try:
                await to_the_end(lambda: self.fail("incomplete", payload))
            except (AximoError, psycopg.Error) as unwritten:
                # The refusal aborted the caller's transaction, for one.
                refused.add_note(f"execution_failed could not be emitted: {type(unwritten).__name__}")
            raise
        except BaseException as interruption:
            if not self._ended:
                await self._fail_after(interruption)
            raise

    async def _fail_after(self, error: BaseException) -> None:
        """Ends the execution because of an error, which then goes on."""
        code, payload = statements.failure_code(error), statements.failure_payload(error)

        async def fail() -> None:
            await self._settle()
            if not self._ended:
                await self.fail(code, payload)

        try:
            await to_the_end(fail)
        except AximoError as unwritten:
            error.add_note(f"execution_failed could not be emitted: {unwritten}")
        except psycopg.Error as unwritten:
            # The caller's transaction was aborted, for one: it has to emit the failure in the next one.
            error.add_note(f"execution_failed could not be emitted: {type(unwritten).__name__}")

    async def emit(self, event_type: EventType, payload: Mapping[str, Any] | None = None, **fields: Any) -> Receipt:
        """Emits any event of this execution.

        Args:
            event_type: the type.
            payload: its payload.
            **fields: other fields of :class:`NewEvent`, such as ``actor`` or ``timestamp``.
        """
        try:
            event = NewEvent.of({**self._common, "event_type": event_type, "payload": payload or {}, **fields})
        except AximoError as error:
            self._store._refused("emit", error)
            raise
        await self._settle()
        return await self._emit(event)

    async def _settle(self) -> None:
        """Emits the event once more of which nobody knows whether it was written, so that it is known."""
        event = self._unsettled
        if event is None:
            return
        try:
            await self._emit(event)
        except (SequenceError, AttributionError):
            pass  # judged now, so it was not written before
        except BaseException:
            self._unsettled = event
            raise

    async def _emit(self, event: NewEvent) -> Receipt:
        self._unsettled = event
        try:
            receipt = await self._store.emit(event)
        except ConnectionLostError:
            raise
        except (AximoError, psycopg.Error):
            self._unsettled = None
            raise
        self._triggered = self._triggered or event.event_type == "execution_triggered"
        self._processing = self._processing or event.event_type == "execution_processing"
        self._ended = self._ended or event.event_type in ("execution_completed", "execution_failed")
        self._latest_id = event.event_id
        self._unsettled = None
        return receipt

    def has_begun(self, event_id: UUID) -> bool:
        """Whether the event is the latest that was written, or that may have been."""
        return event_id in (self._latest_id, self._unsettled.event_id if self._unsettled is not None else None)

    async def processing(self, payload: Mapping[str, Any] | None = None, **fields: Any) -> Receipt:
        """Emits ``execution_processing``."""
        return await self.emit("execution_processing", payload, **fields)

    async def _emit_processed(self, event_type: EventType, payload: Mapping[str, Any], **fields: Any) -> Receipt:
        if not self._processing:
            await self.processing()
        return await self.emit(event_type, payload, **fields)

    async def action_prepared(
        self, action_type: str, payload: Mapping[str, Any] | None = None, **fields: Any
    ) -> Receipt:
        """Emits ``action_prepared``; the payload may carry ``action_id`` and ``approval_id``."""
        return await self._emit_processed("action_prepared", {**(payload or {}), "action_type": action_type}, **fields)

    async def action_dispatched(
        self, action_type: str, payload: Mapping[str, Any] | None = None, **fields: Any
    ) -> Receipt:
        """Emits ``action_dispatched``, with the same ids as its preparation."""
        return await self._emit_processed(
            "action_dispatched", {**(payload or {}), "action_type": action_type}, **fields
        )

    async def action_failed(
        self,
        action_type: str,
        payload: Mapping[str, Any] | None = None,
        *,
        error_code: str | None = None,
        **fields: Any,
    ) -> Receipt:
        """Emits ``action_failed``, with the same ids as its preparation."""
        return await self._emit_processed(
            "action_failed", {**(payload or {}), "action_type": action_type}, error_code=error_code, **fields
        )

    def action(self, action_type: str, payload: Mapping[str, Any] | None = None) -> AsyncActionScope:
        """An action as a context: prepared on entry, dispatched on exit, failed on an exception."""
        return AsyncActionScope(self, action_type, payload or {})

    async def approval_requested(
        self, approval_id: str | None = None, payload: Mapping[str, Any] | None = None, **fields: Any
    ) -> Receipt:
        """Emits ``approval_requested``."""
        return await self._emit_processed("approval_requested", _named(approval_id, payload), **fields)

    async def approval_granted(
        self,
        approval_id: str | None = None,
        payload: Mapping[str, Any] | None = None,
        *,
        actor: Actor = "operator",
        **fields: Any,
    ) -> Receipt:
        """Emits ``approval_granted`` for the open request with this id, or the one without an id."""
        return await self._emit_processed("approval_granted", _named(approval_id, payload), actor=actor, **fields)

    async def approval_rejected(
        self,
        approval_id: str | None = None,
        payload: Mapping[str, Any] | None = None,
        *,
        actor: Actor = "operator",
        **fields: Any,
    ) -> Receipt:
        """Emits ``approval_rejected`` for the open request with this id, or the one without an id."""
        return await self._emit_processed("approval_rejected", _named(approval_id, payload), actor=actor, **fields)

    async def approval_timeout(
        self, approval_id: str | None = None, payload: Mapping[str, Any] | None = None, **fields: Any
    ) -> Receipt:
        """Emits ``approval_timeout`` for the open request with this id, or the one without an id."""
        return await self._emit_processed("approval_timeout", _named(approval_id, payload), **fields)

    async def complete(self, payload: Mapping[str, Any] | None = None, **fields: Any) -> Receipt:
        """Ends the execution with ``execution_completed`` now."""
        return await self._emit_processed(
            "execution_completed", payload or {}, **{"latency_ms": self._elapsed_ms(), **fields}
        )

    async def fail(self, error_code: str, payload: Mapping[str, Any] | None = None, **fields: Any) -> Receipt:
        """Ends the execution with ``execution_failed`` now."""
        return await self.emit(
            "execution_failed", payload, **{"error_code": error_code, "latency_ms": self._elapsed_ms(), **fields}
        )

    def _elapsed_ms(self) -> int:
        return statements.milliseconds(time.monotonic() - self._started)


class AsyncActionScope:
    """An action under way: made by :meth:`AsyncExecutionScope.action`, used as a context."""

    def __init__(self, execution: AsyncExecutionScope, action_type: str, payload: Mapping[str, Any]) -> None:
        self._execution = execution
        self._action_type = action_type
        self._payload = payload
        # Known before anything is sent, so that whether it was begun can be told at any moment.
        self._prepared_id = uuid7()
        self._dispatched_id = uuid7()
        self._started = time.monotonic()

    async def __aenter__(self) -> Self:
        self._started = time.monotonic()
        try:
            await to_the_end(
                lambda: self._execution.action_prepared(self._action_type, self._payload, event_id=self._prepared_id)
            )
        except BaseException as error:
            if self._execution.has_begun(self._prepared_id):
                await self._fail_after(error)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            await self._fail_after(error)
            return
        try:
            latency_ms = self._elapsed_ms()
            await to_the_end(
                lambda: self._execution.action_dispatched(
                    self._action_type, self._payload, latency_ms=latency_ms, event_id=self._dispatched_id
                )
            )
        except (AximoError, psycopg.Error):
            raise
        except BaseException as interruption:
            if not self._execution.has_begun(self._dispatched_id):
                await self._fail_after(interruption)
            raise

    async def _fail_after(self, error: BaseException) -> None:
        """Ends the action because of an error, which then goes on."""
        payload = {**self._payload, **statements.failure_payload(error)}
        code, latency_ms = statements.failure_code(error), self._elapsed_ms()
        try:
            await to_the_end(
                lambda: self._execution.action_failed(
                    self._action_type, payload, error_code=code, latency_ms=latency_ms
                )
            )
        except (AximoError, psycopg.Error) as unwritten:
            error.add_note(f"action_failed could not be emitted: {type(unwritten).__name__}")

    def _elapsed_ms(self) -> int:
        return statements.milliseconds(time.monotonic() - self._started)


def _named(approval_id: str | None, payload: Mapping[str, Any] | None) -> dict[str, Any]:
    named = dict(payload or {})
    if approval_id is not None:
        named["approval_id"] = approval_id
    return named
