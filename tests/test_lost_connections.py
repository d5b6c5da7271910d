"""Connections that break, and servers that die: no event is lost, none lands twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from aximo_db import AsyncEventStore, ConnectionLostError, EventStore, NewEvent
from aximo_db.dba.assets import install_script
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, DBA, Ledger, _cloned
from tests.events import BASE, event

SERVICE = "lost_service"
COMMON = {name: BASE[name] for name in ("deployment_id", "skill_id", "skill_version")}


@pytest.fixture(scope="module")
def ledger_(servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    """One database for the module: every test has a customer of its own in it."""
    for ledger in _cloned(servers(next(iter(BINARIES))), "fresh", "lost_connections_test"):
        ledger.login(SERVICE, "aximo_writer", customers=("*",))
        yield ledger


@pytest.fixture
def dsn(ledger_: Ledger) -> str:
    return ledger_.dsn(SERVICE)


@pytest.fixture
def customer() -> str:
    return f"customer-{uuid4()}"


@pytest.fixture
def root(ledger_: Ledger) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(ledger_.dsn("postgres"), autocommit=True) as root:
        yield root


def new(event_type: str = "sla_breached", execution_id: str | None = None, **values: Any) -> NewEvent:
    return NewEvent(**event(event_type, execution_id, **values))


def ids(root: psycopg.Connection[Any], customer: str) -> list[UUID]:
    query = "select event_id from aximo_private.events where customer_id = %s order by position"
    return [row[0] for row in root.execute(query, (customer,))]


def terminate_all(root: psycopg.Connection[Any]) -> int:
    """Ends every session of the service; waits until they are gone."""
    rows = root.execute("select pg_terminate_backend(pid, 60000) from pg_stat_activity where usename = %s", (SERVICE,))
    return sum(1 for row in rows if row[0])


def soon(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Polls until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        threading.Event().wait(0.01)


# A session that is ended


@contextlib.contextmanager
def store_of(kind: str, dsn: str, customer: str, **options: Any) -> Iterator[EventStore]:
    if kind == "pool":
        with ConnectionPool(dsn, min_size=2, max_size=2, open=True) as pool:
            pool.wait()
            yield EventStore(pool, customer_id=customer, **options)
    else:
        with EventStore(dsn, customer_id=customer, **options) as store:
            yield store


@pytest.mark.parametrize("kind", ["connection string", "pool"])
def test_a_store_goes_on_after_its_sessions_were_ended(
    dsn: str, customer: str, root: psycopg.Connection[Any], kind: str
) -> None:
    with store_of(kind, dsn, customer) as store:
        sent = []
        for _ in range(4):
            sent.append(store.emit(new()).event_id)
            assert terminate_all(root) >= 1
        receipts = store.emit_batch([new(), new()])
        sent.extend(receipt.event_id for receipt in receipts)
        assert not any(receipt.duplicate for receipt in receipts)
        assert terminate_all(root) >= 1
        assert len(list(store.iter_events())) == 6  # a read goes on as well
        assert terminate_all(root) >= 1
        with store.execution(**COMMON) as execution:
            terminate_all(root)
            execution.action_prepared("call")
            terminate_all(root)
            execution.action_dispatched("call")
            terminate_all(root)
    assert ids(root, customer)[:6] == sent
    assert len(ids(root, customer)) == 11


@pytest.mark.parametrize("kind", ["connection string", "pool"])
@pytest.mark.parametrize("batch", [False, True])
def test_a_session_ended_during_an_emit_is_replaced_and_the_event_lands_once(
    dsn: str, customer: str, root: psycopg.Connection[Any], kind: str, batch: bool
) -> None:
    waiting = "select pid from pg_stat_activity where usename = %s and wait_event_type = 'Lock'"
    it = new("execution_triggered", "contested")
    with store_of(kind, dsn, customer) as store, psycopg.connect(dsn) as other, ThreadPoolExecutor() as threads:
        store.emit(new())
        other.execute("select 1")
        EventStore(other, customer_id=customer).emit(new("execution_triggered", "contested"))
        # It waits for what the other transaction has not decided yet.
        promise = threads.submit(lambda: store.emit_batch([it])[0] if batch else store.emit(it))
        soon(lambda: root.execute(waiting, (SERVICE,)).fetchone() is not None)
        (victim,) = root.execute(waiting, (SERVICE,)).fetchone() or (None,)
        assert root.execute("select pg_terminate_backend(%s, 60000)", (victim,)).fetchone() == (True,)
        soon(lambda: root.execute(waiting, (SERVICE,)).fetchone() is not None)  # the second attempt waits again
        other.rollback()
        receipt = promise.result(20)
    assert (receipt.event_id, receipt.duplicate) == (it.event_id, False)
    assert ids(root, customer).count(it.event_id) == 1


def test_a_store_that_may_not_retry_reports_the_loss_with_the_event(
    dsn: str, customer: str, root: psycopg.Connection[Any]
) -> None:
    with EventStore(dsn, customer_id=customer, retry_for=0) as store:
        store.emit(new())
        terminate_all(root)
        it = new()
        with pytest.raises(ConnectionLostError) as caught:
            store.emit(it)
        assert (caught.value.event, caught.value.sqlstate) == (it, "08006")
        assert store.emit(it).duplicate is False  # and makes another connection next time
    assert ids(root, customer)[-1] == it.event_id


def test_a_callers_connection_is_never_replaced(dsn: str, customer: str, root: psycopg.Connection[Any]) -> None:
    it = new()
    for begins in (False, True):
        connection = psycopg.connect(dsn, autocommit=not begins)
        store = EventStore(connection, customer_id=customer)
        store.executions()
        if begins:
            connection.execute("select 1")
        terminate_all(root)
        began = time.monotonic()
        with pytest.raises(ConnectionLostError) as caught:
            store.emit(it)
        assert time.monotonic() - began < 5
        assert caught.value.event == it
        connection.close()
    assert ids(root, customer) == []


def test_inside_a_callers_transaction_from_a_pool_nothing_is_retried(
    dsn: str, customer: str, root: psycopg.Connection[Any]
) -> None:
    with ConnectionPool(dsn, min_size=1, max_size=1, open=True) as pool:
        with pytest.raises(psycopg.Error), pool.connection() as connection:
            store = EventStore(connection, customer_id=customer)
            connection.execute("select 1")
            store.emit(new())
            terminate_all(root)
            with pytest.raises(ConnectionLostError):
                store.emit(new())
            connection.execute("select 1")
    assert ids(root, customer) == []


# An answer that is lost: the event is committed, and its sender does not know


class Proxy:
    """Between client and server, on a Unix socket of its own. It can swallow the answer to a statement."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._target = str(server.socket_dir / f".s.PGSQL.{server.socket_port}")
        self._folder = tempfile.TemporaryDirectory(prefix="aximo-proxy-")
        self.path = Path(self._folder.name)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path / ".s.PGSQL.5432"))
        self._listener.listen()
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        #: The next statement that holds this is forwarded, its answer read from the server and thrown away.
        self.swallow: bytes | None = None
        self.swallowed = 0
        #: What happens before the client learns that the connection is gone.
        self.meanwhile: Callable[[], object] = lambda: None

    def dsn(self, user: str, database: str) -> str:
        return f"host={self.path} port=5432 user={user} dbname={database}"

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            self._open += [client, server]
            dropping = threading.Event()
            for target, arguments in (
                (self._upward, (client, server, dropping)),
                (self._downward, (server, client, dropping)),
            ):
                thread = threading.Thread(target=target, args=arguments)
                self._threads.append(thread)
                thread.start()

    def _upward(self, client: socket.socket, server: socket.socket, dropping: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                if self.swallow is not None and self.swallow in data:
                    self.swallow = None
                    dropping.set()
                server.sendall(data)
        for each in (server, client):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _downward(self, server: socket.socket, client: socket.socket, dropping: threading.Event) -> None:
        try:
            while data := server.recv(1 << 16):
                if dropping.is_set():
                    # The server has answered, so it has done it; the client will never know.
                    self.swallowed += 1
                    self.meanwhile()
                    break
                client.sendall(data)
        except OSError:
            pass
        finally:
            for each in (server, client):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def refuse(self) -> None:
        """Lets nobody connect any more."""
        (self.path / ".s.PGSQL.5432").unlink()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(10)
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join(10)
        for each in self._open:
            each.close()
        self._folder.cleanup()


@pytest.fixture
def proxy(ledger_: Ledger) -> Iterator[Proxy]:
    proxy = Proxy(ledger_.server)
    yield proxy
    proxy.close()


@pytest.mark.parametrize("kind", ["connection string", "pool"])
def test_a_lost_answer_is_asked_for_again_and_the_event_lands_once(
    ledger_: Ledger, proxy: Proxy, customer: str, root: psycopg.Connection[Any], kind: str
) -> None:
    with store_of(kind, proxy.dsn(SERVICE, ledger_.name), customer) as store:
        store.emit(new())
        proxy.swallow = b"aximo.emit_event" if kind == "connection string" else b"COMMIT"
        it = new()
        receipt = store.emit(it)
        assert proxy.swallowed == 1
        # It had landed the first time, so the second attempt met it.
        assert (receipt.event_id, receipt.duplicate) == (it.event_id, True)
        recorded = "select recorded_at from aximo_private.events where event_id = %s and customer_id = %s"
        assert root.execute(recorded, (it.event_id, customer)).fetchall() == [(receipt.recorded_at,)]
        proxy.swallow = b"COMMIT"
        batch = [new(), new(), new()]
        receipts = store.emit_batch(batch)
        assert proxy.swallowed == 2
        assert [each.duplicate for each in receipts] == [True] * 3
    assert ids(root, customer)[1:] == [it.event_id, *(each.event_id for each in batch)]


async def test_a_lost_answer_is_asked_for_again_by_the_asynchronous_store(
    ledger_: Ledger, proxy: Proxy, customer: str, root: psycopg.Connection[Any]
) -> None:
    async with AsyncEventStore(proxy.dsn(SERVICE, ledger_.name), customer_id=customer) as store:
        await store.emit(new())
        proxy.swallow = b"aximo.emit_event"
        it = new()
        receipt = await store.emit(it)
    assert (proxy.swallowed, receipt.event_id, receipt.duplicate) == (1, it.event_id, True)
    assert ids(root, customer).count(it.event_id) == 1


REFUSALS = {
    "the grant revoked": ("revoke aximo_writer from {}", "grant aximo_writer to {}"),
    "the customer revoked": ("select aximo.revoke_customer('{}', '*')", "select aximo.grant_customer('{}', '*')"),
    "read only": ("alter role {} set default_transaction_read_only = on", "alter role {} reset all"),
    "a timeout": ("alter role {} set statement_timeout = '1ms'", "alter role {} reset all"),
}


@contextlib.contextmanager
def refused_after_the_loss(ledger_: Ledger, proxy: Proxy, refusal: str) -> Iterator[None]:
    """The answer to the first attempt is lost, and the second attempt is refused."""
    do, undo = (statement.format(SERVICE) for statement in REFUSALS[refusal])

    def run(statement: str) -> None:
        with psycopg.connect(ledger_.dsn("postgres"), autocommit=True) as root:
            root.execute(statement)

    proxy.meanwhile = lambda: run(do)
    try:
        yield
    finally:
        proxy.meanwhile = lambda: None
        run(undo)


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("way", ["emit", "batch"])
def test_a_refusal_after_a_lost_answer_does_not_hide_that_the_event_is_in_the_ledger(
    ledger_: Ledger, proxy: Proxy, customer: str, root: psycopg.Connection[Any], refusal: str, way: str
) -> None:
    with EventStore(proxy.dsn(SERVICE, ledger_.name), customer_id=customer, retry_for=1) as store:
        store.emit(new())
        batch = [new(), new()] if way == "batch" else [new()]
        with refused_after_the_loss(ledger_, proxy, refusal):
            proxy.swallow = b"COMMIT" if way == "batch" else b"aximo.emit_event"
            with pytest.raises(ConnectionLostError) as caught:
                store.emit_batch(batch) if way == "batch" else store.emit(batch[0])
        assert caught.value.events == tuple(batch)
        assert caught.value.__cause__ is not None
        store.close()  # its session has what was set meanwhile
        assert [each.duplicate for each in store.emit_batch(caught.value.events)] == [True] * len(batch)
    assert ids(root, customer)[1:] == [it.event_id for it in batch]


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_refusal_after_a_lost_answer_is_no_refusal_for_the_asynchronous_store_either(
    ledger_: Ledger, proxy: Proxy, customer: str, root: psycopg.Connection[Any], refusal: str
) -> None:
    async with AsyncEventStore(proxy.dsn(SERVICE, ledger_.name), customer_id=customer, retry_for=1) as store:
        await store.emit(new())
        it = new()
        with refused_after_the_loss(ledger_, proxy, refusal):
            proxy.swallow = b"aximo.emit_event"
            with pytest.raises(ConnectionLostError) as caught:
                await store.emit(it)
        assert caught.value.event == it
        await store.close()  # its session has what was set meanwhile
        assert (await store.emit(it)).duplicate
    assert ids(root, customer).count(it.event_id) == 1


async def test_a_task_cancelled_while_it_tries_again_learns_that_the_outcome_is_open(
    ledger_: Ledger, proxy: Proxy, customer: str
) -> None:
    async with AsyncEventStore(proxy.dsn(SERVICE, ledger_.name), customer_id=customer) as store:
        await store.emit(new())
        it = new()
        proxy.swallow = b"aximo.emit_event"
        gone = threading.Event()
        proxy.meanwhile = lambda: (proxy.refuse(), gone.set())
        task = asyncio.create_task(store.emit(it))
        while not gone.is_set():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # it is between two attempts, or in one that can't succeed
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        cause = caught.value.__cause__
        assert isinstance(cause, ConnectionLostError)
        assert cause.event == it


def test_an_execution_whose_trigger_got_no_answer_is_ended(
    ledger_: Ledger, proxy: Proxy, customer: str, root: psycopg.Connection[Any]
) -> None:
    with EventStore(proxy.dsn(SERVICE, ledger_.name), customer_id=customer, retry_for=0) as store:
        store.emit(new())
        for lost, expected in (
            (b"execution_triggered", ["execution_triggered", "execution_failed"]),
            (
                b"action_prepared",
                [
                    "execution_triggered",
                    "execution_processing",
                    "action_prepared",
                    "action_failed",
                    "execution_failed",
                ],
            ),
            (
                b"execution_completed",
                [
                    "execution_triggered",
                    "execution_processing",
                    "action_prepared",
                    "action_dispatched",
                    "execution_completed",
                ],
            ),
        ):
            proxy.swallow = lost
            name = str(uuid4())
            with pytest.raises(ConnectionLostError), store.execution(**COMMON, execution_id=name) as execution:
                with execution.action("call"):
                    pass
            assert [step.event_type for step in store.trace(name)] == expected


def test_an_execution_survives_a_lost_answer_to_each_of_its_events(
    ledger_: Ledger, proxy: Proxy, customer: str, root: psycopg.Connection[Any]
) -> None:
    with EventStore(proxy.dsn(SERVICE, ledger_.name), customer_id=customer) as store:
        store.emit(new())
        proxy.swallow = b"execution_triggered"
        with store.execution(**COMMON, execution_id="one") as execution:
            proxy.swallow = b"action_prepared"
            execution.action_prepared("call")
            proxy.swallow = b"action_dispatched"
            execution.action_dispatched("call")
            proxy.swallow = b"approval_requested"
            execution.approval_requested("a")
            proxy.swallow = b"approval_granted"
            execution.approval_granted("a")
            proxy.swallow = b"execution_completed"
        assert proxy.swallowed == 6
        assert [step.event_type for step in store.trace("one")] == [
            "execution_triggered",
            "execution_processing",
            "action_prepared",
            "action_dispatched",
            "approval_requested",
            "approval_granted",
            "execution_completed",
        ]


def test_on_a_callers_connection_the_errors_event_settles_it(
    ledger_: Ledger, proxy: Proxy, dsn: str, customer: str, root: psycopg.Connection[Any]
) -> None:
    it = new()
    connection = psycopg.connect(proxy.dsn(SERVICE, ledger_.name), autocommit=True)
    store = EventStore(connection, customer_id=customer)
    store.executions()
    proxy.swallow = b"aximo.emit_event"
    with pytest.raises(ConnectionLostError) as caught:
        store.emit(it)
    connection.close()
    assert proxy.swallowed == 1
    assert caught.value.event == it
    with psycopg.connect(dsn, autocommit=True) as another:
        assert EventStore(another, customer_id=customer).emit(caught.value.event).duplicate is True
    assert ids(root, customer) == [it.event_id]


def test_a_foreign_objects_event_can_be_emitted_again_without_doubling_it(
    ledger_: Ledger, proxy: Proxy, dsn: str, customer: str, root: psycopg.Connection[Any]
) -> None:
    with psycopg.connect(proxy.dsn(SERVICE, ledger_.name), autocommit=True) as connection:
        store = EventStore(connection, customer_id=customer)
        store.executions()
        proxy.swallow = b"aximo.emit_event"
        with pytest.raises(ConnectionLostError) as caught:
            store.emit(event("sla_breached", None))  # it has no event_id, so the store made one
    assert caught.value.event is not None
    with EventStore(dsn, customer_id=customer) as again:
        assert again.emit(caught.value.event).duplicate is True
    assert len(ids(root, customer)) == 1


# A server that is killed


def _writer(dsn: str, number: int, stop: threading.Event, acknowledged: list[UUID]) -> int:
    """Emits executions and batches until told to stop; every acknowledged event is noted."""
    executions = 0
    with EventStore(dsn, customer_id=f"customer-{number % 4}", retry_for=60) as store:
        while not stop.is_set():
            execution_id = f"exec-{number}-{executions}"
            for event_type in ("execution_triggered", "execution_processing", "execution_completed"):
                it = new(event_type, execution_id)
                assert store.emit(it).event_id == it.event_id
                acknowledged.append(it.event_id)
            batch = [new() for _ in range(5)]
            acknowledged.extend(receipt.event_id for receipt in store.emit_batch(batch))
            executions += 1
    return executions


def _trial(folder: Path, *, seconds: float, kills: int) -> None:
    server = EmbeddedServer(folder / "data", settings={"fsync": "off", "max_connections": "30"})
    server.start()
    try:
        with psycopg.connect(server.dsn(), autocommit=True) as root:
            root.execute(f"create role {DBA} login createrole createdb")
            root.execute(f"create database ledger owner {DBA}")
        with psycopg.connect(server.dsn(DBA, "ledger")) as connection:
            connection.execute(install_script())
        stop = threading.Event()
        acknowledged: list[list[UUID]] = [[] for _ in range(8)]
        with ThreadPoolExecutor(8) as threads:
            promises = [
                threads.submit(_writer, server.dsn(DBA, "ledger"), number, stop, acknowledged[number])
                for number in range(8)
            ]
            try:
                for _ in range(kills):
                    before = sum(map(len, acknowledged))
                    stop.wait(seconds / (kills + 1))
                    assert sum(map(len, acknowledged)) > before, "nothing was written before the server was killed"
                    server.kill()
                    soon(lambda: server.pid is None, 60)
                    server.start()
                before = sum(map(len, acknowledged))
                stop.wait(seconds / (kills + 1))
                soon(lambda: sum(map(len, acknowledged)) > before, 60)
            finally:
                stop.set()
            executions = [promise.result(90) for promise in promises]
        with psycopg.connect(server.dsn("postgres", "ledger"), autocommit=True) as root:
            found = Counter(row[0] for row in root.execute("select event_id from aximo_private.events"))
            open_ = root.execute(
                "select count(*) filter (where event_type = 'execution_triggered'),"
                " count(*) filter (where event_type = 'execution_completed') from aximo_private.events"
            ).fetchone()
        said = Counter(event_id for each in acknowledged for event_id in each)
        assert sum(said.values()) == sum(executions) * 8
        # Every acknowledged event is there exactly once, and nothing that nobody sent.
        assert found == said
        assert open_ == (sum(executions), sum(executions))
    finally:
        server.stop("immediate")


def test_no_acknowledged_event_is_lost_or_doubled_when_the_server_is_killed(tmp_path: Path) -> None:
    _trial(tmp_path, seconds=3, kills=1)


@pytest.mark.heavy
def test_no_acknowledged_event_is_lost_or_doubled_when_the_server_is_killed_again_and_again(tmp_path: Path) -> None:
    _trial(tmp_path, seconds=40, kills=8)


def test_the_last_of_the_attempts_is_in_time(dsn: str, customer: str, root: psycopg.Connection[Any]) -> None:
    """A server that stays away: the store gives up when it said it would, with the event."""
    with tempfile.TemporaryDirectory(prefix="aximo-proxy-") as folder:
        link = Path(folder) / ".s.PGSQL.5432"
        parts = psycopg.conninfo.conninfo_to_dict(dsn)
        os.symlink(f"{parts['host']}/.s.PGSQL.{parts['port']}", link)
        with EventStore(f"host={folder} port=5432 user={SERVICE} dbname={parts['dbname']}", retry_for=1.0) as store:
            store.emit(new(customer_id=customer))
            link.unlink()
            terminate_all(root)
            it = new(customer_id=customer)
            began = time.monotonic()
            with pytest.raises(ConnectionLostError) as caught:
                store.emit(it)
            assert 0.9 < time.monotonic() - began < 5
            assert caught.value.event == it
    assert len(ids(root, customer)) == 1
