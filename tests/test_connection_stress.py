"""Threads, tasks, forks, cancellations and cut connections at once: what is acknowledged is stored, and nothing hangs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from aximo_db import AsyncEventStore, AximoError, ConnectionLostError, EventStore, NewEvent, NotConnectedError
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, Ledger, _cloned
from tests.events import event

pytestmark = pytest.mark.heavy
SERVICE = "stress_service"
SECONDS = 15.0


@pytest.fixture(scope="module", params=sorted(BINARIES))
def ledger_(request: pytest.FixtureRequest, servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    for ledger in _cloned(servers(request.param), "fresh", "stress_test"):
        ledger.login(SERVICE, "aximo_writer", customers=("*",))
        yield ledger


def new() -> NewEvent:
    return NewEvent(**event("sla_breached", None))


def stored(dsn: str, customer: str) -> list[UUID]:
    with EventStore(dsn, customer_id=customer) as look:
        return [each.event_id for each in look.iter_events()]


@contextlib.contextmanager
def cuts(ledger_: Ledger) -> Iterator[threading.Event]:
    """Ends sessions of the service at random moments, until the block is left."""
    stop = threading.Event()

    def cut() -> None:
        pick = "select pg_terminate_backend(pid) from pg_stat_activity where usename = %s order by random() limit 1"
        with ledger_.superuser() as root:
            while not stop.wait(random.uniform(0.01, 0.1)):
                root.execute(pick, (SERVICE,))

    thread = threading.Thread(target=cut)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(30)


def assert_truth(dsn: str, customer: str, acknowledged: list[UUID], unknown: list[UUID], refused: list[UUID]) -> None:
    """What was acknowledged is stored once; what was said not to be written is not; the rest is either."""
    found = stored(dsn, customer)
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)
    assert set(refused).isdisjoint(found)
    assert set(found) <= {*acknowledged, *unknown}
    assert acknowledged


@pytest.mark.parametrize("kind", ["connection string", "pool", "lent"])
def test_threads_forks_and_cuts(ledger_: Ledger, kind: str) -> None:
    dsn, customer = ledger_.dsn(SERVICE), f"customer-{uuid4()}"
    acknowledged: list[UUID] = []
    unknown: list[UUID] = []
    refused: list[UUID] = []
    until = time.monotonic() + SECONDS

    def emit(store: EventStore) -> None:
        batch = [new() for _ in range(random.choice((1, 1, 1, 4)))]
        names = [it.event_id for it in batch]
        try:
            receipts = store.emit_batch(batch) if len(batch) > 1 else [store.emit(batch[0])]
        except ConnectionLostError:
            unknown.extend(names)
        except AximoError:
            refused.extend(names)
        else:
            assert [receipt.event_id for receipt in receipts] == names
            acknowledged.extend(names)

    def fork(store: EventStore) -> None:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            said = b""
            try:
                for _ in range(5):
                    it = new()
                    receipt = store.emit(it)
                    said += (str(it.event_id) if receipt.event_id == it.event_id else "another's").encode() + b" "
            except BaseException as error:
                said += type(error).__name__.encode()
            os.write(writer, said)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as answers:
            said = answers.read().split()
        os.waitpid(child, 0)
        assert "another's" not in said
        names = [UUID(each) for each in said if "-" in each]
        assert kind == "connection string" or not names
        acknowledged.extend(names)

    def work(store: EventStore) -> None:
        while time.monotonic() < until:
            emit(store)
            with contextlib.suppress(AximoError):
                store.executions(limit=1)

    with contextlib.ExitStack() as stack:
        if kind == "lent":
            while time.monotonic() < until:
                with contextlib.suppress(psycopg.Error), psycopg.connect(dsn, autocommit=random.random() < 0.5) as lent:
                    stores = [EventStore(lent, customer_id=customer) for _ in range(3)]
                    round_ends = time.monotonic() + 1

                    def some(store: EventStore, ends: float = round_ends) -> None:
                        while time.monotonic() < ends:
                            emit(store)

                    with cuts(ledger_), ThreadPoolExecutor(6) as threads:
                        for promise in [threads.submit(some, stores[place % 3]) for place in range(6)]:
                            promise.result(60)
        else:
            source: Any = dsn
            if kind == "pool":
                source = stack.enter_context(ConnectionPool(dsn, min_size=3, max_size=3, open=True))
            store = stack.enter_context(EventStore(source, customer_id=customer))
            store.executions()
            with cuts(ledger_), ThreadPoolExecutor(6) as threads:
                promises = [threads.submit(work, store.for_customer(customer)) for _ in range(6)]
                while time.monotonic() < until:
                    fork(store)
                for promise in promises:
                    promise.result(90)
    # A child that was cut says nothing of the events that it did not finish.
    found = set(stored(dsn, customer))
    assert set(acknowledged) <= found
    assert set(refused).isdisjoint(found)
    assert len(acknowledged) > 50


@pytest.mark.parametrize("kind", ["connection string", "pool", "lent"])
async def test_tasks_cancellations_and_cuts(ledger_: Ledger, kind: str) -> None:
    dsn, customer = ledger_.dsn(SERVICE), f"customer-{uuid4()}"
    acknowledged: list[UUID] = []
    unknown: list[UUID] = []
    refused: list[UUID] = []
    until = time.monotonic() + SECONDS

    async def emit(store: AsyncEventStore) -> None:
        it = new()
        try:
            receipt = await store.emit(it)
        except (ConnectionLostError, asyncio.CancelledError):
            unknown.append(it.event_id)
            raise
        except AximoError:
            refused.append(it.event_id)
            raise
        assert receipt.event_id == it.event_id
        acknowledged.append(it.event_id)

    async def round_(store: AsyncEventStore) -> None:
        tasks = [asyncio.create_task(emit(store)) for _ in range(8)]
        tasks.append(asyncio.create_task(store.executions(limit=1)))  # type: ignore[arg-type]
        await asyncio.sleep(random.uniform(0, 0.01))
        for task in random.sample(tasks, 3):
            task.cancel()
        done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 90)
        assert {type(each) for each in done if isinstance(each, BaseException)} <= {
            asyncio.CancelledError,
            ConnectionLostError,
            NotConnectedError,
        }

    with cuts(ledger_):
        if kind == "lent":
            while time.monotonic() < until:
                connection = await AsyncConnection.connect(dsn, autocommit=random.random() < 0.5)
                store = AsyncEventStore(connection, customer_id=customer)
                while not connection.closed and time.monotonic() < until:
                    await round_(store)
                await connection.close()
        else:
            async with contextlib.AsyncExitStack() as stack:
                source: Any = dsn
                if kind == "pool":
                    pool = AsyncConnectionPool(dsn, min_size=3, max_size=3, open=False)
                    source = await stack.enter_async_context(pool)
                store = await stack.enter_async_context(AsyncEventStore(source, customer_id=customer))
                while time.monotonic() < until:
                    await round_(store)
    assert_truth(dsn, customer, acknowledged, unknown, refused)
