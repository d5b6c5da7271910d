"""What is not the store's: whose transaction, whose turn, whose process, whose settings, whose row factory."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import uuid_utils
from psycopg import AsyncConnection, Connection, IsolationLevel, RawCursor, ServerCursor
from psycopg.adapt import Loader
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row, namedtuple_row, scalar_row, tuple_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from typer.testing import CliRunner

from aximo_db import (
    AsyncEventStore,
    AximoError,
    ConnectionLostError,
    ConnectionStateError,
    EventStore,
    MalformedEventError,
    NewEvent,
    NotConnectedError,
    ReadOnlyError,
)
from aximo_db.cli.app import app
from aximo_db.client import statements
from aximo_db.client.runs import Runs
from aximo_db.dba.verify_log import prove_growth, prove_inclusion, verify_log
from aximo_db.lines.exporter import Exported, export_log
from aximo_db.lines.importer import import_lines
from aximo_db.lines.run_files import import_runs
from aximo_db.local.embedded import EmbeddedServer
from aximo_db.report import write_report
from aximo_db.report.query import read_metrics
from tests.conftest import BINARIES, Ledger, _cloned
from tests.events import BASE, event

SERVICE = "connections_service"
COMMON = {name: BASE[name] for name in ("deployment_id", "skill_id", "skill_version")}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def ledger_(servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    """One database for the module: every test has customers of its own in it."""
    for ledger in _cloned(servers(next(iter(BINARIES))), "fresh", "connections_test"):
        ledger.login(SERVICE, "aximo_writer", "aximo_operator", "aximo_auditor", customers=("*",))
        yield ledger


@pytest.fixture
def dsn(ledger_: Ledger) -> str:
    return ledger_.dsn(SERVICE)


@pytest.fixture
def customer() -> str:
    return f"customer-{uuid4()}"


def new(event_type: str = "sla_breached", execution_id: str | None = None, **values: Any) -> NewEvent:
    return NewEvent(**event(event_type, execution_id, **values))


def stored(dsn: str, customer: str) -> set[UUID]:
    with EventStore(dsn, customer_id=customer) as look:
        return {each.event_id for each in look.iter_events()}


# Whose turn


@pytest.mark.parametrize("autocommit", [False, True])
async def test_calls_at_once_on_a_lent_connection_take_turns_and_nothing_acknowledged_is_lost(
    dsn: str, customer: str, autocommit: bool
) -> None:
    connection = await AsyncConnection.connect(dsn, autocommit=autocommit)
    store = AsyncEventStore(connection, customer_id=customer)
    other = AsyncEventStore(connection, customer_id=customer)
    looks = [store.executions(), other.deployments(), store.for_customer(customer).approvals(), store.open_executions()]
    assert await asyncio.gather(*looks) == [[], [], [], []]
    batch = [new() for _ in range(40)]
    receipts = await asyncio.gather(*(each.emit(it) for each, it in zip([store, other] * 20, batch, strict=True)))
    assert [receipt.event_id for receipt in receipts] == [it.event_id for it in batch]
    one = await store.emit(new())
    assert connection.info.transaction_status is TransactionStatus.IDLE
    await connection.close()
    assert stored(dsn, customer) == {it.event_id for it in batch} | {one.event_id}


@pytest.mark.parametrize("autocommit", [False, True])
def test_threads_on_a_lent_connection_take_turns_and_nothing_acknowledged_is_lost(
    dsn: str, customer: str, autocommit: bool
) -> None:
    with psycopg.connect(dsn, autocommit=autocommit) as connection, ThreadPoolExecutor(8) as threads:
        stores = [EventStore(connection, customer_id=customer) for _ in range(4)]

        def work(place: int) -> list[UUID]:
            store = stores[place % 4] if place % 3 else stores[0].for_customer(customer)
            batch = [new() for _ in range(10)]
            for it in batch:
                assert store.emit(it).event_id == it.event_id
                store.executions(limit=1)
            return [it.event_id for it in batch]

        acknowledged = {event_id for each in threads.map(work, range(12)) for event_id in each}
        assert connection.info.transaction_status is TransactionStatus.IDLE
    assert len(acknowledged) == 120
    assert stored(dsn, customer) == acknowledged


def test_a_transaction_of_the_callers_is_joined_by_whoever_calls(dsn: str, customer: str) -> None:
    with psycopg.connect(dsn) as connection:
        store = EventStore(connection, customer_id=customer)
        with connection.transaction():
            connection.execute("select 1")
            first = store.emit(new())
            with ThreadPoolExecutor(1) as threads:
                second = threads.submit(store.emit, new()).result(20)
            assert stored(dsn, customer) == set()
    assert stored(dsn, customer) == {first.event_id, second.event_id}


def test_a_connection_on_which_a_statement_of_somebody_else_runs_is_refused(dsn: str, customer: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        store = EventStore(connection, customer_id=customer)
        with connection.cursor() as cursor, cursor.copy("copy (select 1) to stdout") as copy:
            with pytest.raises(ConnectionStateError) as caught:
                store.emit(new())
            assert list(copy)
        assert caught.value.rule == "connection_is_free"
        assert caught.value.event is not None
        store.emit(caught.value.event)
        with connection.pipeline(), pytest.raises(ConnectionStateError):
            store.emit(new())
    assert stored(dsn, customer) == {caught.value.event.event_id}


async def test_a_transaction_opened_in_the_midst_of_a_call_is_told_and_nothing_is_lost_after_it(
    dsn: str, customer: str
) -> None:
    """Whatever is acknowledged is stored, though the caller's own transactions come in between as they like."""
    connection = await AsyncConnection.connect(dsn)
    store = AsyncEventStore(connection, customer_id=customer)
    await store.emit(new())
    acknowledged: list[UUID] = []
    outcomes: list[str] = []

    async def emit() -> None:
        try:
            acknowledged.append((await store.emit(new())).event_id)
        except AximoError as error:
            outcomes.append(error.rule or "")

    async def transaction() -> None:
        with contextlib.suppress(psycopg.Error):
            async with connection.transaction():
                await connection.execute("select pg_sleep(0.001)")

    for _ in range(30):
        await asyncio.gather(emit(), transaction(), emit())
        if connection.info.transaction_status is not TransactionStatus.IDLE:
            with pytest.raises(ConnectionStateError) as caught:
                await store.emit(new())
            assert caught.value.rule == "transactions_are_whole"
            await connection.commit()
    await connection.close()
    assert set(outcomes) <= {"transactions_are_whole", "connection_is_free"}
    assert set(acknowledged) <= stored(dsn, customer)


def test_what_a_call_leaves_open_is_ended_or_told_before_the_next_one(dsn: str, customer: str) -> None:
    """As where the cancellation of a statement comes late, and cancels the rollback, too."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        store = EventStore(connection, customer_id=customer)
        with contextlib.suppress(psycopg.errors.DivisionByZero), store._session.connections.turn():
            connection.execute("begin")
            connection.execute("select 1 / 0")
        first = store.emit(new())
        with store._session.connections.turn():
            connection.execute("begin")  # perhaps somebody else has written in it, so it is not ended here
        with pytest.raises(ConnectionStateError) as caught:
            store.emit(new())
        assert caught.value.rule == "transactions_are_whole"
        connection.rollback()
        second = store.emit(new())
    assert stored(dsn, customer) == {first.event_id, second.event_id}


def test_a_signal_handler_in_the_midst_of_a_call_is_refused_and_does_not_hang(dsn: str, customer: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection, psycopg.connect(dsn) as blocker:
        store = EventStore(connection, customer_id=customer)
        store.emit(new("execution_triggered", "slow"))
        blocker.execute("select 1")
        EventStore(blocker, customer_id=customer).emit(new("execution_failed", "slow"))
        told: list[str | None] = []

        def handle(*_: object) -> None:
            try:
                store.emit(new())
            except AximoError as error:
                told.append(error.rule)
            blocker.rollback()

        before = signal.signal(signal.SIGALRM, handle)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            store.emit(new("execution_failed", "slow"))  # waits for the other one
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    assert told == ["connection_is_free"]


# A consumer's block


def test_calls_from_outside_of_a_consumers_block_are_refused_and_those_from_inside_join(
    dsn: str, customer: str
) -> None:
    with psycopg.connect(dsn) as connection, ThreadPoolExecutor(1) as threads:
        store = EventStore(connection, customer_id=customer)
        store.emit(new())
        store.advance_all()
        with store.consume("one") as batch:
            inside = EventStore(batch.connection, customer_id=customer)
            kept = [store.emit(new()).event_id, threads.submit(inside.emit, new()).result(20).event_id]
            with pytest.raises(ConnectionStateError) as caught:
                threads.submit(store.emit, new()).result(20)
            assert caught.value.rule == "block_is_the_consumers"
            with store.consume("two") as other:
                kept.append(store.emit(new()).event_id)
                assert len(other) == 1
            kept.append(store.emit(new()).event_id)
        assert threads.submit(store.emit, new()).result(20)
        with pytest.raises(ZeroDivisionError), store.consume("one"):
            lost = store.emit(new()).event_id
            raise ZeroDivisionError
    assert len(stored(dsn, customer)) == 6
    assert set(kept) <= stored(dsn, customer)
    assert lost not in stored(dsn, customer)


@pytest.mark.parametrize("kind", ["lent", "pool", "connection string"])
async def test_tasks_started_inside_of_a_consumers_block_are_inside(dsn: str, customer: str, kind: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        source: Any = dsn
        if kind == "lent":
            source = await stack.enter_async_context(await AsyncConnection.connect(dsn))
        elif kind == "pool":
            source = await stack.enter_async_context(AsyncConnectionPool(dsn, min_size=2, max_size=2, open=False))
        store = AsyncEventStore(source, customer_id=customer)
        await store.emit(new())
        await store.advance_all()
        async with store.consume("one") as batch:
            inside = AsyncEventStore(batch.connection, customer_id=customer)
            receipts = await asyncio.wait_for(asyncio.gather(*(inside.emit(new()) for _ in range(5))), 20)
            assert {receipt.event_id for receipt in receipts}.isdisjoint(stored(dsn, customer))
        assert {receipt.event_id for receipt in receipts} <= stored(dsn, customer)
        await store.close()


# Whose process


def _in_child(work: Callable[[], str]) -> str:
    """What a forked child has to say; it ends without any clean-up of the parent's."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        try:
            said = work()
        except BaseException as error:
            said = f"{type(error).__name__} {getattr(error, 'rule', '')}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    said = b""
    while part := os.read(reader, 65536):
        said += part
    os.close(reader)
    os.waitpid(child, 0)
    return said.decode()


def _emits(store: EventStore, count: int = 20) -> str:
    batch = [new() for _ in range(count)]
    assert [store.emit(it).event_id for it in batch] == [it.event_id for it in batch]
    return " ".join(str(it.event_id) for it in batch)


def test_a_store_over_a_connection_string_connects_anew_after_a_fork(dsn: str, customer: str) -> None:
    with EventStore(dsn, customer_id=customer) as store:
        store.emit(new())
        store.advance_all()
        with store.consume("one"):  # a connection besides
            pass
        backend = store._session.connections._own

        def work() -> str:
            with store:
                other = store.for_customer(customer)
                said = _emits(store) + " " + _emits(other)
                with store.consume("one"):
                    return said

        for _ in range(3):
            said = [UUID(each) for each in _in_child(work).split()]
            mine = [UUID(each) for each in _emits(store).split()]
            assert {*said, *mine} <= stored(dsn, customer)
            assert len(said) == 40
        assert store._session.connections._own is backend
        assert backend is not None
        assert not backend.closed


@pytest.mark.parametrize("kind", ["lent", "pool", "lent anew"])
def test_a_connection_or_pool_of_the_process_that_forked_is_refused(dsn: str, customer: str, kind: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection, ConnectionPool(dsn, min_size=1, open=True) as pool:
        store = EventStore(pool if kind == "pool" else connection, customer_id=customer)
        store.emit(new())

        def work() -> str:
            return _emits(EventStore(connection, customer_id=customer) if kind == "lent anew" else store)

        assert _in_child(work) == "ConnectionStateError connection_of_this_process"
        _emits(store)
    assert len(stored(dsn, customer)) == 21


def test_a_fork_in_the_midst_of_other_threads_calls_does_not_hang(dsn: str, customer: str) -> None:
    stop = threading.Event()
    with EventStore(dsn, customer_id=customer) as store, ThreadPoolExecutor(2) as threads:
        store.emit(new())

        def go_on() -> int:
            count = 0
            while not stop.is_set():
                store.emit(new())
                count += 1
            return count

        promises = [threads.submit(go_on) for _ in range(2)]
        try:
            said = [UUID(each) for _ in range(5) for each in _in_child(lambda: _emits(store)).split()]
        finally:
            stop.set()
        counts = [promise.result(20) for promise in promises]
    assert len(said) == 100
    assert set(said) <= stored(dsn, customer)
    assert len(stored(dsn, customer)) == 1 + 100 + sum(counts)


def test_the_answer_to_somebody_elses_statement_is_no_receipt(
    dsn: str, customer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a fork that nobody told the store of: the answer is right, and another event's."""
    another = statements.EMIT.removesuffix("%s)") + "case when %s::uuid is null then null::uuid end)"
    turned = (
        "select event_id, recorded_at, duplicate from (select *, row_number() over () as place"
        " from aximo.emit_events(%s, %s)) as r order by place desc"
    )
    with psycopg.connect(dsn, autocommit=True) as connection:
        store = EventStore(connection, customer_id=customer)
        monkeypatch.setattr(statements, "EMIT", another)
        monkeypatch.setattr(statements, "EMIT_BATCH", turned)
        batch = [new(), new()]
        for call, events in ((lambda: store.emit(batch[0]), batch[:1]), (lambda: store.emit_batch(batch), batch)):
            with pytest.raises(ConnectionLostError) as caught:
                call()
            assert (caught.value.rule, caught.value.events) == ("receipt_is_the_events", tuple(events))


# What an error says


def test_a_pool_that_was_closed_or_is_empty_says_at_once_that_nothing_was_sent(dsn: str, customer: str) -> None:
    with ConnectionPool(dsn, min_size=1, max_size=1, timeout=0.2, open=True) as pool:
        store = EventStore(pool, customer_id=customer)
        store.emit(new())
        began = time.monotonic()
        with store.consume("one"), pytest.raises(NotConnectedError) as caught:
            store.emit(new())
    with pytest.raises(NotConnectedError):
        store.emit(new())
    assert time.monotonic() - began < 10
    assert caught.value.event is not None
    assert caught.value.event.event_id not in stored(dsn, customer)


def test_a_connection_that_the_caller_closed_says_that_nothing_was_sent(dsn: str, customer: str) -> None:
    connection = psycopg.connect(dsn)
    store = EventStore(connection, customer_id=customer)
    connection.close()
    with pytest.raises(NotConnectedError) as caught:
        store.emit(new())
    assert caught.value.rule == "connection_open"


@pytest.mark.parametrize("setting", ["idle_in_transaction_session_timeout", "transaction_timeout"])
def test_a_session_that_ends_for_its_open_transaction_leaves_the_outcome_open(
    dsn: str, customer: str, setting: str
) -> None:
    with psycopg.connect(dsn) as connection:
        if connection.execute("select from pg_settings where name = %s", (setting,)).fetchone() is None:
            pytest.skip(f"this PostgreSQL has no {setting}")
        store = EventStore(connection, customer_id=customer)
        connection.execute(f"set {setting} = '50ms'")
        store.emit(new())
        threading.Event().wait(0.5)
        with pytest.raises(ConnectionLostError):
            store.emit(new())
    assert stored(dsn, customer) == set()


@pytest.mark.parametrize("kind", ["lent", "pool", "connection string"])
def test_a_session_that_may_only_read_reads_and_says_how_to_write(dsn: str, customer: str, kind: str) -> None:
    with EventStore(dsn, customer_id=customer) as writer:
        writer.emit(new())
    options = "-c default_transaction_read_only=on"
    with contextlib.ExitStack() as stack:
        source: Any = psycopg.conninfo.make_conninfo(dsn, options=options)
        if kind == "lent":
            source = stack.enter_context(psycopg.connect(source))
        elif kind == "pool":
            source = stack.enter_context(ConnectionPool(source, min_size=1, open=True))
        store = stack.enter_context(EventStore(source, customer_id=customer))
        assert len(list(store.iter_events())) == 1
        began = time.monotonic()
        for call in (lambda: store.emit(new()), lambda: store.emit_batch([new()]), store.advance_all):
            with pytest.raises(ReadOnlyError) as caught:
                call()
            assert (caught.value.sqlstate, caught.value.rule) == ("25006", "session_may_write")
            assert "target_session_attrs" in (caught.value.hint or "")
        assert time.monotonic() - began < 10


def test_an_operators_session_that_may_only_read_shows_exports_and_verifies_what_has_its_number(
    dsn: str, customer: str
) -> None:
    with EventStore(dsn, customer_id=customer) as store:
        store.emit(new())
        store.advance_all()
        store.emit(new())
    read_only = psycopg.conninfo.make_conninfo(dsn, options="-c default_transaction_read_only=on")
    target = io.StringIO()
    assert export_log(read_only, target, customer_id=customer) == Exported(written=1, unnumbered=1)
    verdict = verify_log(read_only, customer_id=customer)
    assert (verdict.size, verdict.problems) == (1, [])
    for command in (["tail"], ["export"], ["verify"], ["executions"]):
        result = CliRunner().invoke(app, [*command, "--db", read_only, "-c", customer])
        assert result.exit_code == 0, (command, result.stderr)


def test_a_store_whose_server_became_read_only_connects_anew_until_it_may_write(
    ledger_: Ledger, dsn: str, customer: str
) -> None:
    with ledger_.superuser() as root, EventStore(dsn, customer_id=customer) as store:
        store.emit(new())
        own = store._session.connections._own
        assert own is not None
        own.execute("set default_transaction_read_only = on")  # as a server that was demoted
        it = new()
        assert store.emit(it).event_id == it.event_id
        assert store._session.connections._own is not own
        # And for as long as it was told to, if no other server may write.
        root.execute(f'alter role "{SERVICE}" set default_transaction_read_only = on')
        try:
            assert store._session.connections._own is not None
            store._session.connections._own.execute("set default_transaction_read_only = on")
            again = EventStore(dsn, customer_id=customer, retry_for=0.5)
            again._session.connections = store._session.connections
            with pytest.raises(ReadOnlyError):
                again.emit(new())
        finally:
            root.execute(f'alter role "{SERVICE}" reset default_transaction_read_only')
        assert store.emit(it).duplicate


# Whose settings

#: Settings that a login may have, together as far as they do not hide each other.
SETTINGS = {
    "forms of values": {
        "DateStyle": "German",
        "IntervalStyle": "sql_standard",
        "TimeZone": "America/New_York",
        "bytea_output": "escape",
        "extra_float_digits": "-15",
        "xmloption": "document",
    },
    "other forms of values": {"DateStyle": "SQL, DMY", "IntervalStyle": "postgres_verbose", "TimeZone": "Asia/Kolkata"},
    "names and texts": {
        "search_path": "pg_temp",
        "standard_conforming_strings": "off",
        "escape_string_warning": "off",
        "backslash_quote": "off",
        "transform_null_equals": "on",
        "array_nulls": "off",
        "quote_all_identifiers": "on",
    },
    "transactions": {
        "default_transaction_isolation": "repeatable read",
        "default_transaction_deferrable": "on",
        "synchronous_commit": "off",
        "client_min_messages": "debug1",
    },
    "serializable": {"default_transaction_isolation": "serializable"},
    "plans": {
        "enable_indexscan": "off",
        "enable_bitmapscan": "off",
        "enable_hashjoin": "off",
        "jit": "off",
        "plan_cache_mode": "force_custom_plan",
        "gin_fuzzy_search_limit": "1",
    },
    "other plans": {"enable_seqscan": "off", "enable_sort": "off", "plan_cache_mode": "force_generic_plan"},
}


@pytest.fixture(scope="module")
def past(ledger_: Ledger) -> str:
    """A customer with something of everything."""
    customer = "past"
    with EventStore(ledger_.dsn(SERVICE), customer_id=customer) as store:
        batch = [
            new("execution_triggered", "e1", timestamp=NOON, correlation_id="c"),
            new("execution_processing", "e1", timestamp=NOON + timedelta(seconds=1.5)),
            new("action_prepared", "e1", timestamp=NOON + timedelta(days=40), payload={"action_type": "x", "n": 1.25}),
            new("approval_requested", "e1", timestamp=NOON + timedelta(days=40, hours=1), payload={"approval_id": "a"}),
            new(
                "approval_rejected", "e1", timestamp=NOON + timedelta(days=41), payload={"approval_id": "a", "t": "😀"}
            ),
            new("execution_failed", "e1", timestamp=NOON + timedelta(days=41, seconds=1), error_code="e"),
            new("execution_triggered", "e2", timestamp=NOON),
            new("deployment_created", None, timestamp=NOON),
            new("deployment_activated", None, timestamp=NOON + timedelta(seconds=1)),
        ]
        store.emit_batch(batch)
        run = {"project_id": "p", "tool_name": "t", "contract_version": "v1", "params_hash": "h", "policy_hash": "h"}
        moment = "2026-03-01T12:00:00.123456Z"
        lines = [
            {**run, "run_id": "run-1", "status": "running", "created_at": moment},
            {"run_id": "run-1", "kind": "a", "created_at": moment, "data": {"n": 1.5}},
        ]
        import_runs(store, io.BytesIO("\n".join(map(json.dumps, lines)).encode()))
        store.advance_all()
        store.refresh_metrics()
        with store.consume("c1"), store.runs.consume("c2"):
            pass
    return customer


#: Every public method that reads, with arguments.
READS: dict[str, Callable[[EventStore], object]] = {
    "trace": lambda store: store.trace("e1"),
    "executions": lambda store: store.executions(since=NOON),
    "open_executions": lambda store: [each.execution_id for each in store.open_executions()],
    "approvals": lambda store: store.approvals(),
    "deployments": lambda store: store.deployments(as_of=NOON + timedelta(days=50)),
    "deployment_versions": lambda store: store.deployment_versions(),
    "iter_events": lambda store: list(store.iter_events(page_size=2)),
    "metrics": lambda store: sorted(map(repr, store.metrics("execution_health"))),  # in no order
    "read_log": lambda store: store.read_log(),
    "log_size": lambda store: store.log_size(),
    "cursors": lambda store: [each.name for each in store.cursors()],
    "subscribe": lambda store: list(store.subscribe(follow=False)),
    "runs.list": lambda store: store.runs.list(),
    "runs.get": lambda store: store.runs.get("run-1"),
    "runs.events": lambda store: store.runs.events("run-1"),
    "runs.iter_events": lambda store: list(store.runs.iter_events("run-1")),
    "runs.kinds": lambda store: store.runs.kinds(),
    "runs.log_size": lambda store: store.runs.log_size(),
    "runs.cursors": lambda store: [each.name for each in store.runs.cursors()],
    "runs.read_log": lambda store: store.runs.read_log(),
    "runs.subscribe": lambda store: list(store.runs.subscribe(follow=False)),
}
#: Every public method that writes, with arguments; what it returns is compared as far as it is not new each time.
WRITES: dict[str, Callable[[EventStore], object]] = {
    "emit": lambda store: store.emit(new(payload={"t": "😀", "n": Decimal("1.50")})).duplicate,
    "emit_batch": lambda store: [each.duplicate for each in store.emit_batch([new(), new(timestamp=NOON)])],
    "emit_many": lambda store: store.emit_many([new() for _ in range(3)], batch_size=2),
    "execution": lambda store: _whole_execution(store),
    "close_stale_executions": lambda store: store.close_stale_executions(timedelta(days=36500)),
    "advance_log": lambda store: store.advance_log().is_behind,
    "advance_all": lambda store: store.advance_all().is_behind,
    "refresh_metrics": lambda store: [each.view_name for each in store.refresh_metrics(True)],
    "consume": lambda store: _entered(store.consume("c4", 3)),
    "runs.observe": lambda store: store.runs.observe("run-1").target.run_id,
    "runs.link": lambda store: store.runs.link("run-1", "e1").execution_id,
    "runs.consume": lambda store: _entered(store.runs.consume("c5", 1)),
}
NO_CALLS = {"for_customer", "close", "runs"}


def _whole_execution(store: EventStore) -> bool:
    with store.execution(**COMMON) as execution, execution.action("x"):
        pass
    return execution.ended


def _entered(context: Any) -> list[int]:
    with contextlib.suppress(ZeroDivisionError), context as batch:
        found = [entry.number for entry in batch]
        raise ZeroDivisionError
    return found


def test_every_public_method_is_tried() -> None:
    def methods(cls: type, prefix: str = "") -> set[str]:
        return {f"{prefix}{name}" for name, _ in inspect.getmembers(cls) if not name.startswith("_")}

    assert methods(EventStore) | methods(Runs, "runs.") == set(READS) | set(WRITES) | NO_CALLS


def _told(call: Callable[[EventStore], object], store: EventStore) -> str:
    return repr(call(store))


@pytest.mark.parametrize("way", ["connection string", "lent"])
@pytest.mark.parametrize("settings", SETTINGS)
def test_no_setting_of_the_session_changes_a_result(
    dsn: str, past: str, customer: str, settings: str, way: str
) -> None:
    given = (
        f"-c {name}={value}".replace(" ", "\\ ").replace("-c\\ ", "-c ") for name, value in SETTINGS[settings].items()
    )
    hostile_dsn = psycopg.conninfo.make_conninfo(dsn, options=" ".join(given))
    with psycopg.connect(hostile_dsn) as connection:
        for name, value in SETTINGS[settings].items():
            assert connection.execute("select current_setting(%s)", (name,)).fetchone()[0].startswith(value)  # type: ignore[index]
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(EventStore(dsn, customer_id=past))
        source: Any = stack.enter_context(psycopg.connect(hostile_dsn)) if way == "lent" else hostile_dsn
        hostile = stack.enter_context(EventStore(source, customer_id=past))
        for name, call in READS.items():
            assert _told(call, hostile) == _told(call, plain), name
        writer = hostile.for_customer(customer)
        writer.emit(new())
        for name, call in WRITES.items():
            if not name.startswith("runs."):
                call(writer)
        for name in ("runs.observe", "runs.link", "runs.consume"):
            assert _told(WRITES[name], hostile) == _told(WRITES[name], plain), name


def test_every_text_is_stored_whatever_encoding_the_connection_string_asks_for(dsn: str, customer: str) -> None:
    it = new(deployment_id="🙂", payload={"a": "🙂ÿ"})
    for encoding in ("LATIN1", "SQL_ASCII", "UTF8", "SJIS"):
        with EventStore(psycopg.conninfo.make_conninfo(dsn, client_encoding=encoding), customer_id=customer) as store:
            store.emit(it)
            (found,) = store.iter_events()
            assert (found.deployment_id, found.payload) == ("🙂", {"a": "🙂ÿ"})


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JP"])
@pytest.mark.parametrize("kind", ["lent", "pool"])
def test_a_session_of_the_callers_in_another_encoding_is_refused(
    dsn: str, customer: str, encoding: str, kind: str
) -> None:
    with contextlib.ExitStack() as stack:
        other = psycopg.conninfo.make_conninfo(dsn, client_encoding=encoding)
        source: Any = (
            stack.enter_context(psycopg.connect(other))
            if kind == "lent"
            else stack.enter_context(ConnectionPool(other, min_size=1, open=True))
        )
        store = EventStore(source, customer_id=customer)
        for call in (lambda: store.emit(new()), store.executions):
            with pytest.raises(ConnectionStateError) as caught:
                call()
            assert caught.value.rule == "client_encoding_is_utf8"
        if isinstance(source, Connection):
            source.execute("set client_encoding = 'UTF8'")
            source.commit()
            store.emit(new())


# Whose row factory, cursor class, adapters and kind of transaction


class _Shout(Loader):
    def load(self, data: Any) -> str:
        return "SHOUTED"


def _spoilt(connection: psycopg.Connection[Any]) -> None:
    for kind in ("jsonb", "json", "text", "uuid", "timestamptz", "int8", "interval", "numeric", "bool", "date"):
        connection.adapters.register_loader(kind, _Shout)

        class Binary(_Shout):
            format = psycopg.pq.Format.BINARY

        connection.adapters.register_loader(kind, Binary)
    connection.adapters.register_dumper(str, psycopg.types.string.StrBinaryDumperVarchar)
    connection.adapters.register_dumper(UUID, psycopg.types.string.StrDumperUnknown)


CONNECTIONS: dict[str, tuple[dict[str, Any], Callable[[psycopg.Connection[Any]], object]]] = {
    "dict_row": ({"row_factory": dict_row}, lambda c: None),
    "namedtuple_row": ({"row_factory": namedtuple_row}, lambda c: None),
    "scalar_row": ({"row_factory": scalar_row}, lambda c: None),
    "a row factory that fails": ({"row_factory": lambda cursor: 1 / 0}, lambda c: None),
    "RawCursor": ({"cursor_factory": RawCursor}, lambda c: None),
    "ClientCursor": ({"cursor_factory": psycopg.ClientCursor}, lambda c: None),
    "autocommit": ({"autocommit": True}, lambda c: None),
    "autocommit and dict_row": ({"autocommit": True, "row_factory": dict_row}, lambda c: None),
    "adapters": ({}, _spoilt),
    "prepare at once": ({"prepare_threshold": 0}, lambda c: None),
    "serializable": ({}, lambda c: setattr(c, "isolation_level", IsolationLevel.SERIALIZABLE)),
    "repeatable read": ({}, lambda c: setattr(c, "isolation_level", IsolationLevel.REPEATABLE_READ)),
    "read uncommitted": ({}, lambda c: setattr(c, "isolation_level", IsolationLevel.READ_UNCOMMITTED)),
    "deferrable": ({}, lambda c: setattr(c, "deferrable", True)),
    "read write": ({}, lambda c: setattr(c, "read_only", False)),
    "server cursors": ({}, lambda c: setattr(c, "server_cursor_factory", ServerCursor)),
}


@pytest.mark.parametrize("kind", CONNECTIONS)
def test_nothing_of_the_callers_connection_changes_a_result(dsn: str, past: str, customer: str, kind: str) -> None:
    options, prepare = CONNECTIONS[kind]
    with EventStore(dsn, customer_id=past) as plain, psycopg.connect(dsn, **options) as connection:
        prepare(connection)
        lent = EventStore(connection, customer_id=past)
        for name, call in READS.items():
            assert _told(call, lent) == _told(call, plain), name
        writer = lent.for_customer(customer)
        it = new(customer_id=customer)
        document = {**it.as_json(), "payload": {"deep": [1.50, "😀"]}}
        assert import_lines(writer, io.BytesIO(json.dumps(document).encode())).inserted == 1
        for name, call in WRITES.items():
            if not name.startswith("runs."):
                call(writer)
        for name in ("runs.observe", "runs.link", "runs.consume"):
            assert _told(WRITES[name], lent) == _told(WRITES[name], plain), name
        connection.rollback()
        with connection.transaction():
            psycopg.Cursor(connection, row_factory=tuple_row).execute(
                "select set_config('aximo.customer_id', %s, true)", (past,)
            )
            assert read_metrics(connection)["customer_id"] == past
            assert prove_growth(connection, 1, 2)
            entry = plain.read_log(max_events=1)[0]
            assert prove_inclusion(connection, entry.event_id)
        page = io.StringIO()
        write_report(connection, page, customer=past, now=NOON)
        assert "html" in page.getvalue()


# Values of every class


def test_any_mapping_and_any_uuid_will_do(dsn: str, customer: str) -> None:
    other = uuid_utils.uuid7()
    payload = MappingProxyType({"a": MappingProxyType({"b": (1, MappingProxyType({}))})})
    with EventStore(dsn, customer_id=customer) as store:
        for emit in (store.emit, lambda it: store.emit_batch([it])[0]):
            for event_id in (other, str(other), UUID(str(other))):
                it = NewEvent(**event("sla_breached", None, payload=payload, event_id=event_id, timestamp=NOON))
                assert emit(it).event_id == UUID(str(other))
                assert emit({**event("sla_breached", None, timestamp=NOON), "payload": payload, "event_id": event_id})
            for wrong in ("no uuid", 5, object()):
                with pytest.raises(MalformedEventError) as caught:
                    emit(NewEvent(**event("sla_breached", None, event_id=wrong)))
                assert caught.value.rule == "event_id_well_formed"
        (found,) = store.iter_events()
    assert found.payload == {"a": {"b": [1, {}]}}


@pytest.mark.parametrize("batch", [False, True])
def test_numbers_keep_their_digits_where_asked_for(dsn: str, customer: str, batch: bool) -> None:
    payload = {
        "one": 1,
        "one_point_0": Decimal("1.0"),
        "long": Decimal("0.1000000000000000055511151231257827"),
        "big": 2**70,
    }
    it = new(payload={**payload, "list": [Decimal("-1.50"), {"n": Decimal("1E+30")}]})
    with (
        EventStore(dsn, customer_id=customer) as store,
        EventStore(dsn, customer_id=customer, exact_numbers=True) as exact,
    ):
        store.emit_batch([it]) if batch else store.emit(it)
        assert (exact.emit_batch([it])[0] if not batch else exact.emit(it)).duplicate
        (rounded,), (kept,) = list(store.iter_events()), list(exact.iter_events())
        assert {name: str(value) for name, value in kept.payload.items() if name != "list"} == {
            name: str(value) for name, value in payload.items()
        }
        assert kept.payload["list"][0].as_tuple() == Decimal("-1.50").as_tuple()
        assert rounded.payload["long"] == 0.1
        assert type(rounded.payload["one_point_0"]) is float
        assert type(rounded.payload["one"]) is int
        assert rounded.payload["big"] == 2**70
        # What was read exactly is emitted as the same event.
        assert exact.emit({**it.as_json(), "payload": kept.payload}).duplicate
        for wrong in (Decimal("NaN"), Decimal("Infinity")):
            with pytest.raises(MalformedEventError) as caught:
                store.emit(new(payload={"n": wrong}))
            assert caught.value.rule == "json_well_formed"


def test_a_payload_too_deep_for_python_goes_out_and_comes_in_elsewhere(dsn: str, customer: str) -> None:
    depth = 3000
    payload = '{"a":' * depth + "1.50" + "}" * depth
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "select from aximo.emit_event('sla_breached', 'd', 's', '1', 'system', %s, payload => %s)",
            (customer, payload),
        )
    with EventStore(dsn, customer_id=customer) as store:
        (found,) = store.iter_events()
        text = found.payload.text  # type: ignore[attr-defined]
        line = (
            f'{{"event_id":"{found.event_id}","event_type":"sla_breached","timestamp":"{found.timestamp.isoformat()}",'
            f'"customer_id":"{customer}","deployment_id":"d","skill_id":"s","skill_version":"1","actor":"system",'
            f'"payload":{text}}}\n'
        )
        assert import_lines(store, io.BytesIO(line.encode())).duplicates == 1
        elsewhere = line.replace(customer, f"{customer}-elsewhere")
        assert import_lines(store, io.BytesIO(elsewhere.encode())).inserted == 1
        # Without an id: derived from what it says, the same each time.
        unnamed = line.replace(f'"event_id":"{found.event_id}",', "")
        assert import_lines(store, io.BytesIO(unnamed.encode())).inserted == 1
        assert import_lines(store, io.BytesIO(unnamed.replace("1.50", "15e-1").encode())).duplicates == 1
        # Emitted again as it was read, it is the same event, and nothing of it is lost.
        again = {**event("sla_breached", None, timestamp=found.timestamp), "deployment_id": "d", "skill_id": "s"}
        again |= {"skill_version": "1", "event_id": found.event_id, "payload": found.payload}
        assert store.emit(again).duplicate
        assert store.emit_batch([again])[0].duplicate
        twice = line.replace('"a": 1.50', '"a": 1.50, "a": 2')
        with pytest.raises(Exception, match="twice") as caught:
            import_lines(store, io.BytesIO(twice.encode()))
        assert caught.value.refusal.rule == "keys_are_unique"  # type: ignore[attr-defined]
