"""The asynchronous store's tool runs: what they are and did, and the log of their events.

``runs.py`` is made from this file by ``tools/unasync.py``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TypeAlias, TypeVar

from psycopg.rows import class_row

from aximo_db.client import own_errors, statements
from aximo_db.client.async_connections import AnyConnection
from aximo_db.client.async_feed import AsyncFeed
from aximo_db.client.async_session import AsyncSession
from aximo_db.client.events import LogCursor
from aximo_db.client.run_events import KindUsage, Observation, Run, RunEvent, RunLogBatch, RunLogEntry

__all__ = ["AsyncRuns"]

T = TypeVar("T")
# "list" is a method in the class.
_Runs: TypeAlias = list[Run]
_RunEvents: TypeAlias = list[RunEvent]
_RunLogEntries: TypeAlias = list[RunLogEntry]
_Cursors: TypeAlias = list[LogCursor]
_Kinds: TypeAlias = list[KindUsage]


class AsyncRuns:
    """The tool runs of a customer: ``store.runs``.

    Works on the connections of its store, in a transaction that is open on them or in its own. Every method takes
    ``customer_id``: whose runs, if not the store's customer.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    # What they are and did

    async def list(
        self,
        *,
        customer_id: str | None = None,
        status: str | Sequence[str] | None = None,
        tool_name: str | Sequence[str] | None = None,
        project_id: str | None = None,
        execution_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> _Runs:
        """Runs, the newest first by ``created_at``.

        Args:
            customer_id: whose, if not the store's customer.
            status: ``queued``, ``running``, ``succeeded``, ``failed`` or ``blocked``; one or several.
            tool_name: of this tool, or of one of several.
            project_id, execution_id: only these.
            since, until: made from, and before, these moments; a naive one is UTC.
            limit: at most so many.
        """
        conditions = {
            "status": status,
            "tool_name": tool_name,
            "project_id": project_id,
            "execution_id": execution_id,
            "created_at >=": since,
            "created_at <": until,
        }
        order = "created_at desc, run_id desc"
        query, values = statements.select("runs", Run, conditions, order, limit, schema="helix")
        return await self._session.read(query, values, class_row(Run), call="runs.list", customer_id=customer_id)

    async def get(self, run_id: str, *, customer_id: str | None = None) -> Run | None:
        """The run, or ``None`` if the customer has no such run."""
        query, values = statements.select("runs", Run, {"run_id": run_id}, "run_id", None, schema="helix")
        row_factory = class_row(Run)
        rows: _Runs = await self._session.read(query, values, row_factory, call="runs.get", customer_id=customer_id)
        return rows[0] if rows else None

    async def events(self, run_id: str, after: int | None = None, *, customer_id: str | None = None) -> _RunEvents:
        """The events of a run, in order of their ``event_id``; empty if the customer has no such run.

        Args:
            run_id: the run.
            after: only those after this ``event_id``.
            customer_id: whose, if not the store's customer.
        """
        query, values = statements.run_events_page(run_id, after, None)
        row_factory = class_row(RunEvent)
        return await self._session.read(query, values, row_factory, call="runs.events", customer_id=customer_id)

    def iter_events(
        self, run_id: str, after: int | None = None, *, customer_id: str | None = None, page_size: int = 1000
    ) -> AsyncIterator[RunEvent]:
        """The events of a run in order, read page by page; no transaction stays open in between.

        Numbers are given out before they are committed: of two who write to a run at the same time, one may be seen
        late, behind the iteration. The feed of the log misses none.

        Args:
            run_id: the run.
            after: go on after this ``event_id``.
            customer_id: whose, if not the store's customer.
            page_size: events a query.
        """
        return self._session.pages(
            RunEvent,
            lambda key: statements.run_events_page(run_id, key, page_size),
            lambda event: event.event_id,
            after,
            call="runs.iter_events",
            customer_id=customer_id,
            page_size=page_size,
        )

    async def kinds(self, *, customer_id: str | None = None) -> _Kinds:
        """The kinds of run events that the customer uses, and those listed and not used, in order of the kind."""
        query, values = statements.select("kind_usage", KindUsage, {}, "kind", None, schema="helix")
        row_factory = class_row(KindUsage)
        kinds: _Kinds = await self._session.read(query, values, row_factory, call="runs.kinds", customer_id=customer_id)
        if not any(kind.events for kind in kinds):
            await self.log_size(customer_id=customer_id)  # which tells whether there is a customer
        return kinds

    async def observe(
        self,
        run_id: str,
        *,
        tool_name: str = "run_get",
        requested_by: str | None = None,
        customer_id: str | None = None,
    ) -> Observation:
        """Looks at a run without touching it: looking is a run of its own, which names the target.

        Inside a caller's transaction, the database refuses to write to the target until that transaction ends. If the
        connection is lost at the end, it is looked again, and two observations may be kept.

        Args:
            run_id: the run to look at.
            tool_name: the tool that the observation is a run of, 1 to 255 characters.
            requested_by: who asked.
            customer_id: whose, if not the store's customer.

        Returns:
            The target's state and its events, both as of the same moment.

        Raises:
            RunError: the customer has no such run.
            MalformedEventError: no name of a tool.
            CustomerError: no customer, or one that the login was not granted.
            psycopg.errors.InsufficientPrivilege: the login may not write.
        """

        async def look(connection: AnyConnection) -> Observation:
            row = await self._session.row(connection, statements.OBSERVE_RUN, (run_id, tool_name, requested_by))
            rows = await self._session.rows(connection, statements.READ_RUN, {"run_id": run_id})
            return Observation(row[0], *statements.run_and_events(rows))

        return await self._write(look, "runs.observe", customer_id)

    async def link(self, run_id: str, execution_id: str, *, customer_id: str | None = None) -> Run:
        """Says which execution a run served: once; the same again changes nothing.

        Returns:
            The run as it is then.

        Raises:
            RunError: the customer has no such run, or this transaction observed it.
            ImmutableError: it served another execution, rule ``run_serves_one_execution``.
            MalformedEventError: no ``execution_id`` of 1 to 255 characters.
            psycopg.errors.InsufficientPrivilege: the login may not write.
        """

        async def say(connection: AnyConnection) -> Run:
            values = (execution_id, run_id)
            run: Run | None = await self._session.row(connection, statements.LINK_RUN, values, class_row(Run))
            if run is None:
                raise own_errors.no_such_run(run_id)
            return run

        return await self._write(say, "runs.link", customer_id)

    async def _write(self, work: Callable[[AnyConnection], Awaitable[T]], call: str, customer_id: str | None) -> T:
        customer = self._session.customer(customer_id) or ""
        return await self._session.run(work, call=call, customer=customer, atomic=True, writing=True)

    # The log of their events

    @property
    def _feed(self) -> AsyncFeed[RunLogEntry]:
        return AsyncFeed(self._session, statements.RUN_EVENTS)

    async def log_size(self, *, customer_id: str | None = None) -> int:
        """How many entries the log of run events has; 0 if the login has not that customer."""
        return await self._feed.size(customer_id)

    async def cursors(self, *, customer_id: str | None = None) -> _Cursors:
        """The consumers of the log of run events and how far they have come, in order of their names."""
        return await self._feed.cursors(customer_id)

    async def read_log(
        self, after: int = 0, max_entries: int = 1000, *, advance: bool = False, customer_id: str | None = None
    ) -> _RunLogEntries:
        """The entries of the log of run events after a number, in order, without a gap; empty at its end.

        Args:
            after: the last number that the caller has; 0 to begin.
            max_entries: at most so many, one or more.
            advance: number what is new first, in a transaction of its own; not possible inside a caller's.
            customer_id: whose log, if not the store's customer.

        Raises:
            The same as :meth:`AsyncEventStore.read_log`.
        """
        return await self._feed.page(after, max_entries, advance, customer_id)

    @asynccontextmanager
    async def consume(
        self, name: str, max_entries: int = 1000, *, customer_id: str | None = None
    ) -> AsyncIterator[RunLogBatch[AnyConnection]]:
        """The next entries for a consumer, in a transaction that moves its cursor: :meth:`AsyncEventStore.consume`.

        Names of consumers are the log's own: one of the log of events may have the same.
        """
        async with self._feed.consume(name, max_entries, customer_id) as (number, entries, connection):
            yield RunLogBatch(name, number, entries, connection)

    def subscribe(
        self,
        name: str | None = None,
        *,
        after: int = 0,
        max_entries: int = 1000,
        advance: bool = False,
        follow: bool = True,
        poll: tuple[float, float] = (0.05, 1.0),
        stop: Callable[[], bool] | None = None,
        customer_id: str | None = None,
    ) -> AsyncIterator[RunLogEntry]:
        """The entries of the log of run events one by one, and on with what comes.

        Arguments, promises and errors are those of :meth:`AsyncEventStore.subscribe`; ``max_entries`` is its
        ``max_events``. Names of consumers are the log's own.
        """
        return self._feed.subscribe(name, after, max_entries, advance, follow, poll, stop, customer_id)
