"""AsyncEventStore: the same as EventStore, and what only tasks can do to it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from aximo_db import (
    AsyncActionScope,
    AsyncEventStore,
    AsyncExecutionScope,
    AttributionError,
    AximoError,
    ConnectionLostError,
    CustomerError,
    DuplicateEventError,
    EventStore,
    MalformedEventError,
    NewEvent,
    SchemaVersionError,
    SequenceError,
)
from aximo_db.client.execution import ActionScope, ExecutionScope
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, Ledger, _cloned
from tests.events import BASE, event
from tools import unasync

SERVICE = "async_service"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
COMMON = {name: BASE[name] for name in ("deployment_id", "skill_id", "skill_version")}


@pytest.fixture(scope="module")
def ledger_(servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    """One database for the module: every test has a customer of its own in it."""
    for ledger in _cloned(servers(next(iter(BINARIES))), "fresh", "async_store_test"):
        ledger.login(SERVICE, "aximo_writer", "aximo_operator", customers=("*",))
        yield ledger


@pytest.fixture
def dsn(ledger_: Ledger) -> str:
    return ledger_.dsn(SERVICE)


@pytest.fixture
def customer() -> str:
    return f"customer-{uuid4()}"


@pytest.fixture
async def store(dsn: str, customer: str) -> AsyncIterator[AsyncEventStore]:
    async with AsyncEventStore(dsn, customer_id=customer) as store:
        yield store


@pytest.fixture
def seen(dsn: str, customer: str) -> Iterator[EventStore]:
    """What is committed, as another connection sees it."""
    with EventStore(dsn, customer_id=customer) as store:
        yield store


def new(event_type: str = "sla_breached", execution_id: str | None = None, **values: Any) -> NewEvent:
    return NewEvent(**event(event_type, execution_id, **values))


async def soon(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Polls until a condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def types(store: EventStore, execution_id: str) -> list[str]:
    return [step.event_type for step in store.trace(execution_id)]


# The two stores are one


def test_the_synchronous_store_is_made_from_the_asynchronous_one() -> None:
    for path, text in unasync.made().items():
        assert path.read_text(encoding="utf-8") == text, path.name


def _shape(cls: type) -> dict[str, Any]:
    """Public names of a class, with the parameters of what can be called."""
    renamed = {"__aenter__": "__enter__", "__aexit__": "__exit__"}
    found: dict[str, Any] = {}
    for name, member in vars(cls).items():
        name = renamed.get(name, name)
        if name.startswith("_") and name not in ("__init__", "__enter__", "__exit__"):
            continue
        if not callable(member):
            found[name] = type(member)
            continue
        parameters = inspect.signature(member).parameters.values()
        found[name] = [(each.name, each.kind, each.default) for each in parameters]
    return found


@pytest.mark.parametrize(
    ("asynchronous", "synchronous"),
    [(AsyncEventStore, EventStore), (AsyncExecutionScope, ExecutionScope), (AsyncActionScope, ActionScope)],
)
def test_both_stores_have_the_same_names_and_signatures(asynchronous: type, synchronous: type) -> None:
    assert _shape(asynchronous) == _shape(synchronous)
    assert len(_shape(asynchronous)) > 1


# Where the connection comes from


@pytest.mark.parametrize("autocommit", [True, False])
async def test_emit_is_committed_on_an_idle_connection(
    dsn: str, customer: str, seen: EventStore, autocommit: bool
) -> None:
    async with await AsyncConnection.connect(dsn, autocommit=autocommit) as connection:
        store = AsyncEventStore(connection, customer_id=customer)
        await store.emit(new())
        await store.emit_batch([new(), new()])
        assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
        assert len([each async for each in store.iter_events()]) == 3
        await connection.rollback()
    assert len(list(seen.iter_events())) == 3


async def test_nothing_stays_when_the_caller_rolls_back(dsn: str, customer: str, seen: EventStore) -> None:
    setting = "select coalesce(current_setting('aximo.customer_id', true), '')"
    async with await AsyncConnection.connect(dsn) as connection:
        store = AsyncEventStore(connection, customer_id=customer)
        await connection.execute("select 1")
        await store.emit(new("execution_triggered", "one"))
        await store.emit_batch([new(), new()])
        assert len(await store.trace("one")) == 1
        assert await (await connection.execute(setting)).fetchone() == ("",)
        assert connection.info.transaction_status is psycopg.pq.TransactionStatus.INTRANS
        await connection.rollback()
    assert list(seen.iter_events()) == []


async def test_everything_stays_when_the_caller_commits(dsn: str, customer: str, seen: EventStore) -> None:
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        store = AsyncEventStore(connection, customer_id=customer)
        async with connection.transaction():
            await store.emit(new())
            assert list(seen.iter_events()) == []
    assert len(list(seen.iter_events())) == 1


async def test_a_store_works_over_a_pool_and_leaves_it_open(dsn: str, customer: str, seen: EventStore) -> None:
    async with AsyncConnectionPool(dsn, min_size=1, max_size=2, open=False) as pool:
        async with AsyncEventStore(pool, customer_id=customer) as store:
            await store.emit(new())
        async with pool.connection() as connection:
            await connection.execute("select 1")
    assert len(list(seen.iter_events())) == 1


async def test_the_connection_string_comes_from_the_environment(
    dsn: str, customer: str, seen: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AXIMO_DB_URL", dsn)
    async with AsyncEventStore(customer_id=customer) as store:
        await store.emit(new())
    assert len(list(seen.iter_events())) == 1


def test_a_synchronous_connection_is_a_type_error(dsn: str) -> None:
    with psycopg.connect(dsn) as connection, pytest.raises(TypeError):
        AsyncEventStore(connection)  # type: ignore[arg-type]


async def test_for_customer_shares_the_connection(ledger_: Ledger, customer: str) -> None:
    name = ledger_.login(f"login-{uuid4()}", "aximo_writer", customers=("*",))
    async with AsyncEventStore(ledger_.dsn(name)) as store:
        await asyncio.gather(*(store.for_customer(f"{customer}-{n % 2}").emit(new()) for n in range(10)))
        with ledger_.superuser() as root:
            count = root.execute("select count(*) from pg_stat_activity where usename = %s", (name,)).fetchone()
        assert count == (1,)
        assert len([each async for each in store.iter_events(customer_id=f"{customer}-1")]) == 5


# Writing


async def test_the_same_event_again_is_a_duplicate_with_the_first_receipt(store: AsyncEventStore) -> None:
    it = new()
    first, again = await store.emit(it), await store.emit(it)
    assert (first.duplicate, again.duplicate) == (False, True)
    assert (again.event_id, again.recorded_at) == (first.event_id, first.recorded_at)


async def test_receipts_of_a_batch_are_in_its_order_also_for_several_customers(dsn: str, customer: str) -> None:
    batch = [new(customer_id=f"{customer}-{place % 3}") for place in range(12)]
    async with AsyncEventStore(dsn) as store:
        receipts = await store.emit_batch(batch)
    assert [receipt.event_id for receipt in receipts] == [each.event_id for each in batch]


@pytest.mark.parametrize("kind", ["iterable", "asynchronous"])
async def test_a_stream_is_read_as_it_is_written(store: AsyncEventStore, seen: EventStore, kind: str) -> None:
    counts: list[int] = []

    def events() -> Iterator[NewEvent]:
        for place in range(1000):
            if place == 999:
                counts.append(sum(1 for _ in seen.iter_events()))
            yield new(payload={"place": place}, timestamp=NOON + timedelta(seconds=place))

    async def events_to_come() -> AsyncIterator[NewEvent]:
        for each in events():
            await asyncio.sleep(0)
            yield each

    stream = events() if kind == "iterable" else events_to_come()
    assert tuple(await store.emit_many(stream, batch_size=100)) == (1000, 0)
    assert [each.payload["place"] for each in seen.iter_events()] == list(range(1000))
    assert counts == [900]


async def test_a_batch_size_below_one_is_refused(store: AsyncEventStore) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        await store.emit_many([new()], batch_size=0)


@pytest.mark.parametrize(
    ("cls", "rule", "culprit"),
    [
        (SequenceError, "processing_first", new("execution_completed", "one")),
        (AttributionError, "same_attribution", new("execution_processing", "one", skill_id="other")),
        (MalformedEventError, "actor_known", new(actor="nobody")),
        (MalformedEventError, "no_nul_character", new(deployment_id="\x00")),
        (MalformedEventError, "no_lone_surrogate", new(payload={"a": "\ud800"})),
    ],
)
async def test_a_refusal_has_its_class_its_rule_and_its_event(
    store: AsyncEventStore, cls: type[AximoError], rule: str, culprit: NewEvent
) -> None:
    await store.emit(new("execution_triggered", "one"))
    with pytest.raises(cls) as caught:
        await store.emit(culprit)
    assert (type(caught.value), caught.value.rule, caught.value.event) == (cls, rule, culprit)


async def test_a_reused_event_id_and_a_customer_not_granted_are_refused(ledger_: Ledger, customer: str) -> None:
    login = ledger_.login(f"login-{uuid4()}", "aximo_writer", customers=(customer,))
    async with AsyncEventStore(ledger_.dsn(login)) as store:
        it = new()
        await store.emit(it)
        with pytest.raises(DuplicateEventError):
            await store.emit(new(event_id=it.event_id, payload={"other": 1}))
        with pytest.raises(CustomerError):
            await store.emit(new(customer_id="another"))
        with pytest.raises(CustomerError, match="no customer"):
            await store.executions(customer_id="another")
        with pytest.raises(CustomerError, match="no customer"):
            assert [each async for each in store.iter_events(customer_id="another")] == []
        assert len([each async for each in store.iter_events()]) == 1


async def test_a_schema_that_is_too_new_is_refused(one_ledger: Ledger) -> None:
    one_ledger.login("service", "aximo_writer", customers=("c1",))
    with one_ledger.superuser() as root:
        root.execute(
            "create or replace function aximo.oldest_client() returns integer language sql immutable as 'select 99'"
        )
    async with AsyncEventStore(one_ledger.dsn("service")) as store:
        with pytest.raises(SchemaVersionError) as caught:
            await store.emit(new())
    assert caught.value.rule == "package_recent_enough"


async def test_a_lost_connection_of_the_callers_is_reported_with_the_event(
    dsn: str, customer: str, ledger_: Ledger
) -> None:
    connection = await AsyncConnection.connect(dsn, autocommit=True)
    store = AsyncEventStore(connection, customer_id=customer)
    await store.emit(new())
    with ledger_.superuser() as root:
        root.execute("select pg_terminate_backend(%s, 5000)", (connection.info.backend_pid,))
    it = new()
    with pytest.raises(ConnectionLostError) as caught:
        await store.emit(it)
    assert caught.value.event == it
    await connection.close()


# Reading


async def test_everything_can_be_asked(store: AsyncEventStore) -> None:
    def tell(second: int, event_type: str, execution_id: str | None = None, **values: Any) -> NewEvent:
        return new(event_type, execution_id, timestamp=NOON + timedelta(seconds=second), **values)

    await store.emit_batch(
        [
            tell(0, "deployment_activated"),
            tell(1, "execution_triggered", "one"),
            tell(2, "execution_processing", "one"),
            tell(3, "approval_requested", "one"),
            tell(4, "approval_granted", "one", actor="founder"),
            tell(5, "execution_completed", "one"),
            tell(6, "execution_triggered", "two"),
        ]
    )
    assert [step.step for step in await store.trace("one")] == [1, 2, 3, 4, 5]
    assert [each.status for each in await store.executions()] == ["completed", "triggered"]
    assert [each.execution_id for each in await store.executions(status=["triggered"], limit=3)] == ["two"]
    then = NOON + timedelta(seconds=3)
    assert [each.status for each in await store.executions(as_of=then)] == ["awaiting_approval"]
    assert await store.executions(as_of=then, known_at=then) == []
    assert [each.execution_id for each in await store.open_executions()] == ["two"]
    assert [each.decided_by for each in await store.approvals(decision="granted")] == ["founder"]
    assert [each.status for each in await store.deployments()] == ["active"]
    assert [each.is_current for each in await store.deployment_versions("dep-1")] == [True]
    everything = [each async for each in store.iter_events(page_size=2)]
    assert len(everything) == 7
    third = everything[2]
    rest = [each async for each in store.iter_events(after=(third.timestamp, third.event_id), page_size=3)]
    assert rest == everything[3:]
    closed = await store.close_stale_executions(timedelta(days=1))
    assert [execution_id for execution_id, _, _ in closed] == ["two"]


# Executions as contexts


async def test_leaving_the_block_completes_the_execution(store: AsyncEventStore, seen: EventStore) -> None:
    async with store.execution(**COMMON) as execution:
        async with execution.action("call"):
            pass
        with pytest.raises(ValueError, match="busy"):
            async with execution.action("send"):
                raise ValueError("busy")
        await execution.approval_requested("a")
        await execution.approval_rejected("a")
    steps = seen.trace(execution.execution_id)
    assert [step.event_type for step in steps] == [
        "execution_triggered",
        "execution_processing",
        "action_prepared",
        "action_dispatched",
        "action_prepared",
        "action_failed",
        "approval_requested",
        "approval_rejected",
        "execution_completed",
    ]
    assert steps[-1].latency_ms is not None


async def test_an_exception_fails_the_execution_and_goes_on(store: AsyncEventStore, seen: EventStore) -> None:
    error = ValueError("nul \x00 and \ud800")
    with pytest.raises(ValueError, match="nul") as caught:
        async with store.execution(**COMMON) as execution:
            raise error
    assert caught.value is error
    last = seen.trace(execution.execution_id)[-1]
    assert (last.event_type, last.error_code) == ("execution_failed", "ValueError")


async def test_an_execution_with_something_left_open_fails_as_incomplete(
    store: AsyncEventStore, seen: EventStore
) -> None:
    with pytest.raises(SequenceError) as caught:
        async with store.execution(**COMMON) as execution:
            await execution.action_prepared("call")
    assert caught.value.rule == "completes_with_actions_resolved"
    assert seen.trace(execution.execution_id)[-1].error_code == "incomplete"


async def test_an_execution_ended_in_the_block_is_not_ended_again(store: AsyncEventStore, seen: EventStore) -> None:
    async with store.execution(**COMMON) as completed:
        await completed.complete()
    async with store.execution(**COMMON) as failed:
        await failed.fail("E1")
    assert types(seen, completed.execution_id)[-2:] == ["execution_processing", "execution_completed"]
    assert types(seen, failed.execution_id)[-1] == "execution_failed"


@pytest.mark.parametrize("where", ["asleep", "in an action", "in the database"])
async def test_a_cancelled_task_ends_its_execution(
    dsn: str, store: AsyncEventStore, seen: EventStore, customer: str, where: str
) -> None:
    async def work() -> None:
        async with store.execution(**COMMON, execution_id="cancelled") as execution:
            if where == "in an action":
                async with execution.action("call"):
                    await asyncio.Event().wait()
            elif where == "in the database":
                await store.emit(new("execution_triggered", "contested"))
            else:
                await asyncio.Event().wait()

    with psycopg.connect(dsn) as other:
        if where == "in the database":  # its emit waits for what another transaction has not decided yet
            other.execute("select 1")
            EventStore(other, customer_id=customer).emit(new("execution_triggered", "contested"))
        task = asyncio.create_task(work())
        expected = 3 if where == "in an action" else 1
        await soon(lambda: len(seen.trace("cancelled")) == expected)
        if where == "in the database":
            await soon(
                lambda: (
                    other.execute(
                        "select count(*) from pg_locks where not granted and locktype = 'transactionid'"
                    ).fetchone()
                    == (1,)
                )
            )
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        other.rollback()
    last = seen.trace("cancelled")[-1]
    assert (last.event_type, last.error_code) == ("execution_failed", "CancelledError")
    assert ("action_failed" in types(seen, "cancelled")) is (where == "in an action")
    await store.emit(new())  # the connection is still of use


@pytest.mark.parametrize("ticks", range(4))
async def test_a_task_cancelled_twice_ends_its_execution(store: AsyncEventStore, seen: EventStore, ticks: int) -> None:
    async def work() -> None:
        async with store.execution(**COMMON, execution_id="cancelled"), store.execution(**COMMON, execution_id="inner"):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await soon(lambda: len(seen.trace("inner")) == 1)
    task.cancel()
    for _ in range(ticks):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for execution_id in ("inner", "cancelled"):
        await soon(lambda each=execution_id: types(seen, each)[-1] == "execution_failed")  # type: ignore[misc]


@pytest.mark.parametrize("ticks", range(4))
async def test_a_task_cancelled_twice_ends_its_execution_before_it_closes_its_store(
    dsn: str, seen: EventStore, customer: str, ticks: int
) -> None:
    async def work() -> None:
        async with AsyncEventStore(dsn, customer_id=customer) as store:
            async with store.execution(**COMMON, execution_id="cancelled"):
                await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await soon(lambda: len(seen.trace("cancelled")) == 1)
    task.cancel()
    for _ in range(ticks):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert types(seen, "cancelled") == ["execution_triggered", "execution_failed"]


async def test_a_timeout_ends_the_execution(store: AsyncEventStore, seen: EventStore) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2), store.execution(**COMMON, execution_id="slow"):
            await asyncio.Event().wait()
    assert types(seen, "slow") == ["execution_triggered", "execution_failed"]


# Many tasks


async def test_fifty_tasks_over_a_pool_lose_and_mix_nothing(dsn: str, customer: str) -> None:
    async def work(store: AsyncEventStore, place: int) -> None:
        own = store.for_customer(f"{customer}-{place % 5}")
        async with own.execution(**COMMON, execution_id=f"exec-{place}", payload={"place": place}) as execution:
            async with execution.action("call", {"place": place}):
                await asyncio.sleep(0)
            if place % 10 == 7:
                raise ValueError("seven")
        steps = await own.trace(f"exec-{place}")
        assert [step.customer_id for step in steps] == [f"{customer}-{place % 5}"] * 5

    async with AsyncConnectionPool(dsn, min_size=2, max_size=8, open=False) as pool:
        store = AsyncEventStore(pool)
        outcomes = await asyncio.gather(*(work(store, place) for place in range(50)), return_exceptions=True)
        assert [place for place, outcome in enumerate(outcomes) if isinstance(outcome, ValueError)] == [
            7,
            17,
            27,
            37,
            47,
        ]
        assert not [each for each in outcomes if each is not None and not isinstance(each, ValueError)]
        for number in range(5):
            own = store.for_customer(f"{customer}-{number}")
            executions = await own.executions()
            assert {each.execution_id for each in executions} == {f"exec-{n}" for n in range(50) if n % 5 == number}
            assert {each.status for each in executions} == ({"completed"} if number != 2 else {"completed", "failed"})
            assert all(each.events == 5 for each in executions)
            events = [each async for each in own.iter_events()]
            assert len(events) == 50
            assert {each.customer_id for each in events} == {f"{customer}-{number}"}


async def test_tasks_may_share_a_connection(dsn: str, customer: str, seen: EventStore) -> None:
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        store = AsyncEventStore(connection, prepare=True)
        batch = [new(customer_id=customer, payload={"n": n}, latency_ms=10**n) for n in range(19)]
        await store.emit(batch[0])  # looks up the version, in a transaction
        receipts = await asyncio.gather(*(store.emit(each) for each in batch))
        assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
    assert [receipt.event_id for receipt in receipts] == [each.event_id for each in batch]
    assert {each.event_id: (each.payload, each.latency_ms) for each in seen.iter_events()} == {
        each.event_id: (each.payload, each.latency_ms) for each in batch
    }


async def test_twenty_tasks_share_a_store_made_from_a_connection_string(ledger_: Ledger, customer: str) -> None:
    name = ledger_.login(f"login-{uuid4()}", "aximo_writer", customers=("*",))
    most = 0
    async with AsyncEventStore(ledger_.dsn(name)) as store:

        async def work(place: int) -> None:
            nonlocal most
            own = store.for_customer(f"{customer}-{place % 4}")
            async with own.execution(**COMMON, execution_id=f"exec-{place}") as execution:
                await execution.action_prepared("call")
                await execution.action_dispatched("call")
                assert len(await own.trace(f"exec-{place}")) == 4
            await own.emit_batch([new(), new()])
            row = root.execute("select count(*) from pg_stat_activity where usename = %s", (name,)).fetchone()
            assert row is not None
            most = max(most, row[0])

        with ledger_.superuser() as root:
            await asyncio.gather(*(work(place) for place in range(20)))
        assert most == 1
        for number in range(4):
            events = [each async for each in store.iter_events(customer_id=f"{customer}-{number}")]
            assert len(events) == 5 * 7
            assert {each.customer_id for each in events} == {f"{customer}-{number}"}


async def test_a_cancelled_task_leaves_the_shared_store_usable(store: AsyncEventStore, seen: EventStore) -> None:
    async def emit_on_and_on() -> None:
        while True:
            await store.emit(new())

    task = asyncio.create_task(emit_on_and_on())
    await soon(lambda: next(iter(seen.iter_events()), None) is not None)
    for _ in range(20):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        it = new()
        assert (await store.emit(it)).event_id == it.event_id
        task = asyncio.create_task(emit_on_and_on())
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
