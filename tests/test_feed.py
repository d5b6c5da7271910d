"""The feed: the log read in order by consumers that crash, compete, wait and are cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg_pool import ConnectionPool

from aximo_db import (
    AdvanceResult,
    AsyncEventStore,
    ConnectionLostError,
    CursorError,
    CustomerError,
    Event,
    EventStore,
    LogBatch,
    LogEntry,
    MalformedEventError,
    NewEvent,
    NotConnectedError,
    ProofError,
)
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import DBA, VERSIONS, Ledger, _cloned
from tests.events import event

SERVICE = "feed_service"
READER = "feed_reader"
BOUND = "feed_bound"
FAST = (0.001, 0.01)

AnyConnection = psycopg.Connection[Any]


class CrashError(Exception):
    """What a consumer dies of."""


@pytest.fixture(scope="module", params=VERSIONS)
def ledger_(request: pytest.FixtureRequest, servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    """One database a server for the module: every test has a customer of its own in it."""
    for ledger in _cloned(servers(request.param), "fresh", "feed_test"):
        ledger.login(SERVICE, "aximo_writer", "aximo_operator", customers=("*",))
        ledger.login(READER, "aximo_reader", customers=("*",))
        ledger.login(BOUND, "aximo_writer", "aximo_operator", customers=("bound",))
        with psycopg.connect(ledger.dsn(DBA), autocommit=True) as connection:
            # No key: what is dealt with twice would be there twice.
            connection.execute("create table public.handled (consumer text, number bigint, event_id uuid)")
            connection.execute(sql.SQL("grant select, insert on public.handled to {}").format(sql.Identifier(SERVICE)))
        yield ledger


@pytest.fixture
def dsn(ledger_: Ledger) -> str:
    return ledger_.dsn(SERVICE)


@pytest.fixture
def customer() -> str:
    return f"customer-{uuid4()}"


@pytest.fixture
def store(dsn: str, customer: str) -> Iterator[EventStore]:
    with EventStore(dsn, customer_id=customer) as store:
        yield store


@pytest.fixture
def root(ledger_: Ledger) -> Iterator[AnyConnection]:
    with psycopg.connect(ledger_.dsn("postgres"), autocommit=True) as root:
        yield root


def new(**values: Any) -> NewEvent:
    return NewEvent(**event("sla_breached", None, **values))


def fill(store: EventStore, count: int) -> list[UUID]:
    """Emits events and has them numbered; returns their ids in order."""
    ids = [receipt.event_id for receipt in store.emit_batch([new(payload={"place": place}) for place in range(count)])]
    assert store.advance_all().is_behind is False
    return ids


def numbers(entries: list[LogEntry] | LogBatch[Any]) -> list[int]:
    return [entry.number for entry in entries]


def number_of(store: EventStore, name: str) -> int:
    return {cursor.name: cursor.number for cursor in store.cursors()}[name]


def handle(connection: AnyConnection, batch: LogBatch[Any], consumer: str) -> None:
    """What a consumer does: it writes the entries down in a table of its own."""
    for entry in batch:
        connection.execute("insert into public.handled values (%s, %s, %s)", (consumer, entry.number, entry.event_id))


def handled(root: AnyConnection, consumer: str) -> list[tuple[int, UUID]]:
    query = "select number, event_id from public.handled where consumer = %s order by number"
    return root.execute(query, (consumer,)).fetchall()


def terminate(root: AnyConnection, pid: int) -> None:
    root.execute("select pg_terminate_backend(%s, 60000)", (pid,))


def terminate_all(root: AnyConnection) -> None:
    """Ends every session of the service; waits until they are gone."""
    root.execute("select pg_terminate_backend(pid, 60000) from pg_stat_activity where usename = %s", (SERVICE,))


def assert_nothing_is_held(root: AnyConnection) -> None:
    """No transaction of the service is open, and whoever wants to may advance or take a cursor."""
    query = "select query from pg_stat_activity where usename = %s and xact_start is not null"
    # A statement that was cancelled ends when the server has heard of it.
    deadline = time.monotonic() + 60
    while root.execute(query, (SERVICE,)).fetchall():
        assert time.monotonic() < deadline, root.execute(query, (SERVICE,)).fetchall()
        time.sleep(0.02)
    with root.transaction(force_rollback=True):
        assert root.execute("select from aximo_private.log_state for update nowait").fetchall()
        root.execute("select from aximo_private.log_cursors for update nowait")


def soon(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Polls until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        threading.Event().wait(0.01)


# Advancing


def test_events_are_numbered_in_steps(store: EventStore) -> None:
    fill(store, 1)
    store.emit_batch([new() for _ in range(5)])
    assert len(store.read_log()) == 1
    assert store.advance_log(2) == AdvanceResult(2, True)
    assert numbers(store.read_log()) == [1, 2, 3]
    assert store.advance_all(2) == AdvanceResult(3, False)
    assert store.advance_all() == AdvanceResult(0, False)
    assert numbers(store.read_log()) == [1, 2, 3, 4, 5, 6]
    with pytest.raises(MalformedEventError) as refused:
        store.advance_log(0)
    assert refused.value.rule == "max_events_positive"


def test_who_advances_while_another_does_has_nothing_to_do(dsn: str, store: EventStore) -> None:
    fill(store, 1)
    store.emit(new())
    with psycopg.connect(dsn, autocommit=True) as connection, connection.transaction():
        connection.execute("select * from aximo.advance_log()")
        assert store.advance_log() == AdvanceResult(0, None)
        assert store.advance_all() == AdvanceResult(0, None)
        assert len(store.read_log(advance=True)) == 1
    assert len(store.read_log()) == 2


def test_an_advance_in_the_callers_transaction_is_undone_with_it(dsn: str, customer: str, store: EventStore) -> None:
    store.emit(new())
    with psycopg.connect(dsn, autocommit=True) as connection:
        joined = EventStore(connection, customer_id=customer)
        with connection.transaction(force_rollback=True):
            joined.emit(new())
            assert joined.advance_all(1).numbered >= 2
            assert numbers(joined.read_log()) == [1, 2]
            assert store.read_log() == []
    assert numbers(store.read_log(advance=True)) == [1]


def test_only_an_operator_advances(ledger_: Ledger, customer: str, store: EventStore, dsn: str) -> None:
    fill(store, 2)
    with EventStore(ledger_.dsn(READER), customer_id=customer) as reader:
        assert numbers(reader.read_log()) == [1, 2]
        for call in (
            reader.advance_log,
            reader.advance_all,
            lambda: reader.read_log(advance=True),
            lambda: list(reader.subscribe(advance=True, follow=False)),
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                call()
        assert numbers(list(reader.subscribe("reader", follow=False))) == [1, 2]


def test_a_read_does_not_advance_in_the_callers_transaction(dsn: str, customer: str, store: EventStore) -> None:
    fill(store, 1)
    with psycopg.connect(dsn) as connection:
        joined = EventStore(connection, customer_id=customer)
        joined.emit(new())
        assert numbers(joined.read_log(advance=True)) == [1, 2]
        assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
        with connection.transaction():
            for call in (
                lambda: joined.read_log(advance=True),
                lambda: list(joined.subscribe(advance=True, follow=False)),
            ):
                with pytest.raises(MalformedEventError) as refused:
                    call()
                assert refused.value.rule == "advance_outside_transaction"
            assert numbers(joined.read_log()) == [1, 2]


# Reading


def test_a_log_is_read_in_pages_in_order_without_a_gap(store: EventStore) -> None:
    ids = fill(store, 25)
    read: list[LogEntry] = []
    while page := store.read_log(len(read), 10):
        assert len(page) in (10, 5)
        read += page
    assert numbers(read) == list(range(1, 26))
    assert [entry.event_id for entry in read] == ids
    assert [entry.payload["place"] for entry in read] == list(range(25))
    assert all(isinstance(entry, Event) for entry in read)
    assert {entry.event_id: entry.recorded_at for entry in read} == {
        each.event_id: each.recorded_at for each in store.iter_events()
    }
    assert store.read_log(25) == []
    assert store.read_log(1000) == []


@pytest.mark.parametrize(("after", "max_events"), [(-1, 10), (0, 0), (0, -1)])
def test_a_log_is_read_forward(store: EventStore, after: int, max_events: int) -> None:
    with pytest.raises(MalformedEventError) as refused:
        store.read_log(after, max_events)
    assert refused.value.rule == "log_is_read_forward"


def test_customers_see_their_own_entries_and_cursors(store: EventStore, customer: str, ledger_: Ledger) -> None:
    other = f"{customer}-other"
    ids = {name: fill(store.for_customer(name), 3) for name in (customer, other)}
    with store.consume("same") as batch:
        assert [entry.event_id for entry in batch] == ids[customer]
    with store.consume("same", 2, customer_id=other) as batch:
        assert [entry.event_id for entry in batch] == ids[other][:2]
    assert [entry.event_id for entry in store.subscribe("same", follow=False, customer_id=other)] == ids[other][2:]
    for name in (customer, other):
        assert [entry.event_id for entry in store.read_log(customer_id=name)] == ids[name]
        assert [entry.event_id for entry in store.subscribe(follow=False, customer_id=name)] == ids[name]
        (cursor,) = store.cursors(customer_id=name)
        assert (cursor.customer_id, cursor.name, cursor.number, cursor.behind) == (name, "same", 3, 0)
        assert cursor.moved_by == SERVICE
        assert cursor.moved_at.tzinfo is not None
    with EventStore(ledger_.dsn(BOUND), customer_id=other) as bound:
        for call in (
            bound.read_log,
            bound.cursors,
            lambda: list(bound.subscribe(follow=False)),
            lambda: list(bound.subscribe("same", follow=False)),
        ):
            with pytest.raises(CustomerError):
                call()
        with pytest.raises(CustomerError), bound.consume("same"):
            pass


def test_a_login_with_one_customer_needs_to_name_none(ledger_: Ledger) -> None:
    with EventStore(ledger_.dsn(BOUND)) as bound, EventStore(ledger_.dsn(SERVICE)) as keeper:
        bound.emit_batch([new(), new()])
        keeper.advance_all()
        assert numbers(bound.read_log()) == [1, 2]
        with bound.consume("bound") as batch:
            assert {entry.customer_id for entry in batch} == {"bound"}
        assert number_of(bound, "bound") == 2
        assert numbers(list(bound.subscribe(follow=False))) == [1, 2]
        bound.emit(new())
        # Numbering is for all customers, so not for this login.
        with pytest.raises(CustomerError) as refusal:
            list(bound.subscribe("bound", advance=True, follow=False))
        assert refusal.value.rule == "numbers_for_all"
        keeper.advance_all()
        assert numbers(list(bound.subscribe("bound", follow=False))) == [3]


def test_without_a_customer_there_is_nothing_to_consume(dsn: str) -> None:
    with EventStore(dsn) as unnamed:
        with pytest.raises(CustomerError):
            unnamed.read_log()
        with pytest.raises(CustomerError), unnamed.consume("consumer"):
            pass
        for name in (None, "consumer"):
            with pytest.raises(CustomerError) as refused:
                next(iter(unnamed.subscribe(name)))
            assert refused.value.rule == "customer_granted"


@pytest.mark.parametrize("missing", [1, 3, 5])
def test_a_missing_number_is_noticed(store: EventStore, customer: str, root: AnyConnection, missing: int) -> None:
    fill(store, 5)
    with root.transaction():
        root.execute("alter table aximo_private.log_entries disable trigger user")
        query = "delete from aximo_private.log_entries where customer_id = %s and number = %s"
        root.execute(query, (customer, missing))
        root.execute("alter table aximo_private.log_entries enable always trigger append_only_row")
        root.execute("alter table aximo_private.log_entries enable always trigger append_only_statement")
    if missing == 5:  # with the last one the log is only shorter
        assert numbers(store.read_log()) == [1, 2, 3, 4]
        return

    def consume() -> None:
        with store.consume("consumer"):
            pytest.fail("a batch with a gap was handed out")

    for call in (
        store.read_log,
        lambda: store.read_log(missing - 1),
        lambda: store.read_log(missing - 1, 1),
        lambda: list(store.subscribe()),
        consume,
    ):
        with pytest.raises(ProofError) as refused:
            call()
        assert refused.value.rule == "log_is_dense"
    # A page at a time, up to the gap, instead of waiting before it for ever.
    seen = []
    with pytest.raises(ProofError):
        for entry in store.subscribe(max_events=1):
            seen.append(entry.number)
    assert seen == list(range(1, missing))


# Consuming


def test_a_batch_moves_the_cursor_and_an_exception_does_not(store: EventStore) -> None:
    fill(store, 5)
    with store.consume("consumer", 3) as batch:
        assert (batch.name, batch.after, batch.first, batch.last, len(batch)) == ("consumer", 0, 1, 3, 3)
        assert numbers(batch) == numbers(batch.entries) == [1, 2, 3]
    with pytest.raises(CrashError), store.consume("consumer", 3) as batch:
        assert numbers(batch) == [4, 5]
        raise CrashError
    assert number_of(store, "consumer") == 3
    with store.consume("consumer", 3) as batch:
        assert numbers(batch) == [4, 5]
    with store.consume("consumer", 3) as batch:
        assert not batch
        assert (batch.first, batch.last) == (6, 5)
    assert number_of(store, "consumer") == 5


def test_a_consumer_may_use_the_store_meanwhile(store: EventStore) -> None:
    fill(store, 3)
    with store.consume("consumer") as batch:
        store.emit(new())
        with store.consume("another") as others:
            assert numbers(others) == numbers(batch) == [1, 2, 3]
        EventStore(batch.connection).emit(new(payload={"inside": True}))
    with pytest.raises(CrashError), store.consume("consumer") as batch:
        EventStore(batch.connection).emit(new(payload={"undone": True}))
        raise CrashError
    found = store.read_log(advance=True)
    assert [entry.payload for entry in found[3:]] == [{}, {"inside": True}]


def test_the_consumers_own_errors_come_as_they_are(store: EventStore) -> None:
    fill(store, 1)
    with pytest.raises(psycopg.errors.DivisionByZero), store.consume("consumer") as batch:
        batch.connection.execute("select 1 / 0")
    with pytest.raises(psycopg.errors.RaiseException) as caught, store.consume("consumer") as batch:
        batch.connection.execute("do $$ begin raise 'own' using errcode = 'P0001'; end $$")
    assert caught.value.sqlstate == "P0001"
    with store.consume("consumer") as batch:
        assert len(batch) == 1


@pytest.mark.parametrize("name", ["", " ", "x" * 256, "a\x00b", "\ud800"])
def test_a_consumer_has_a_name(store: EventStore, name: str) -> None:
    with pytest.raises(MalformedEventError), store.consume(name):
        pass
    with pytest.raises(MalformedEventError):
        next(iter(store.subscribe(name)))


@pytest.mark.parametrize("autocommit", [True, False])
def test_a_batch_on_the_callers_connection_commits_by_itself(
    dsn: str, customer: str, store: EventStore, root: AnyConnection, autocommit: bool
) -> None:
    ids = fill(store, 3)
    with psycopg.connect(dsn, autocommit=autocommit) as connection:
        with EventStore(connection, customer_id=customer).consume("consumer") as batch:
            assert batch.connection is connection
            handle(connection, batch, customer)
        assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
        assert handled(root, customer) == list(enumerate(ids, 1))
        assert number_of(store, "consumer") == 3


def test_a_batch_in_the_callers_transaction_is_a_savepoint(
    dsn: str, customer: str, store: EventStore, root: AnyConnection
) -> None:
    ids = fill(store, 4)
    setting = "select coalesce(current_setting('aximo.customer_id', true), '')"
    with psycopg.connect(dsn, autocommit=True) as connection:
        joined = EventStore(connection, customer_id=customer)
        with connection.transaction(force_rollback=True):
            with joined.consume("consumer") as batch:
                handle(connection, batch, customer)
        assert handled(root, customer) == []
        assert store.cursors() == []
        with connection.transaction():
            with joined.consume("consumer", 2) as batch:
                handle(connection, batch, customer)
            assert connection.execute(setting).fetchone() == ("",)
            with pytest.raises(CrashError), joined.consume("consumer", 2) as batch:
                handle(connection, batch, customer)
                raise CrashError
            assert connection.execute(setting).fetchone() == ("",)
            connection.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
            with EventStore(connection).consume("consumer", 1) as batch:
                handle(connection, batch, customer)
            assert connection.execute(setting).fetchone() == (customer,)
        assert handled(root, customer) == list(enumerate(ids[:3], 1))
        assert number_of(store, "consumer") == 3


def test_a_cursor_that_was_moved_meanwhile_is_an_error(store: EventStore, root: AnyConnection, customer: str) -> None:
    fill(store, 5)
    with pytest.raises(CursorError) as refused, store.consume("consumer", 2) as batch:
        handle(batch.connection, batch, customer)
        batch.connection.execute("select aximo.move_cursor('consumer', 0, 4)")
    assert refused.value.rule == "cursor_was_there"
    assert number_of_all(store) == {}
    assert handled(root, customer) == []
    # A subscriber holds no lock: of two, the second to be done is told.
    feed = store.subscribe("subscriber", max_events=2)
    assert next(feed).number == 1
    assert numbers(list(store.subscribe("subscriber", follow=False))) == [1, 2, 3, 4, 5]
    assert next(feed).number == 2
    with pytest.raises(CursorError):
        next(feed)
    assert number_of(store, "subscriber") == 5


def number_of_all(store: EventStore) -> dict[str, int]:
    return {cursor.name: cursor.number for cursor in store.cursors()}


def test_two_consumers_of_a_name_take_turns_and_share_the_work(
    dsn: str, store: EventStore, customer: str, root: AnyConnection
) -> None:
    ids = fill(store, 60)
    taken: list[int] = []

    def consume() -> None:
        with EventStore(dsn, customer_id=customer) as own:
            count = 0
            while True:
                with own.consume("shared", 3) as batch:
                    if not batch:
                        taken.append(count)
                        return
                    handle(batch.connection, batch, customer)
                    count += len(batch)

    with ThreadPoolExecutor(3) as threads:
        for promise in [threads.submit(consume) for _ in range(3)]:
            promise.result(30)
    assert handled(root, customer) == list(enumerate(ids, 1))
    assert sum(taken) == 60


def test_the_second_consumer_waits_for_the_first(
    dsn: str, store: EventStore, customer: str, root: AnyConnection
) -> None:
    fill(store, 4)
    got: list[list[int]] = []

    def consume() -> None:
        with EventStore(dsn, customer_id=customer).consume("shared", 2) as batch:
            got.append(numbers(batch))
            own.append(batch.connection)

    own: list[AnyConnection] = []
    second = threading.Thread(target=consume)
    waiting = "select count(*) from pg_stat_activity where usename = %s and wait_event_type = 'Lock'"
    with store.consume("shared", 2) as batch:
        second.start()
        soon(lambda: root.execute(waiting, (SERVICE,)).fetchone() == (1,))
        assert (numbers(batch), got) == ([1, 2], [])
    second.join(120)
    assert got == [[3, 4]]
    own[0].close()


# How a consumer may be killed: at which point, and by what.
POINTS = ("before", "midway", "after", "at the end")


@pytest.mark.parametrize("kind", ["connection string", "pool", "connection", "transaction"])
def test_a_consumer_killed_anywhere_deals_with_every_event_once(
    dsn: str, store: EventStore, customer: str, root: AnyConnection, kind: str
) -> None:
    ids = fill(store, 40)
    chance = random.Random(7)
    kills = 0
    with contextlib.ExitStack() as kept:
        pool = kept.enter_context(ConnectionPool(dsn, min_size=1, max_size=1, open=True)) if kind == "pool" else None
        owner = kept.enter_context(EventStore(pool or dsn, customer_id=customer))
        deadline = time.monotonic() + 120
        while number_of_all(store).get("consumer") != 40:
            assert time.monotonic() < deadline
            size = chance.randint(1, 7)
            point = chance.choice([*POINTS, None, None])
            by = chance.choice(["exception", "termination"])
            try:
                with contextlib.ExitStack() as stack:
                    if kind in ("connection", "transaction"):
                        connection = stack.enter_context(psycopg.connect(dsn, autocommit=True))
                        if kind == "transaction":
                            stack.enter_context(connection.transaction())
                        owner = EventStore(connection, customer_id=customer)
                    with owner.consume("consumer", size) as batch:
                        middle = len(batch) // 2
                        for place, entry in enumerate(batch):
                            if (place, point) in ((0, "before"), (middle, "midway")):
                                die(root, batch.connection, by)
                            values = (customer, entry.number, entry.event_id)
                            batch.connection.execute("insert into public.handled values (%s, %s, %s)", values)
                        if point == "after":
                            die(root, batch.connection, by)
                        elif point == "at the end":  # so that moving or committing fails
                            terminate(root, batch.connection.info.backend_pid)
            except (CrashError, psycopg.OperationalError, ConnectionLostError):
                kills += 1
    assert kills > 2
    assert handled(root, customer) == list(enumerate(ids, 1))


def die(root: AnyConnection, connection: AnyConnection, by: str) -> None:
    if by == "exception":
        raise CrashError
    terminate(root, connection.info.backend_pid)
    connection.execute("select 1")


@pytest.mark.parametrize("kind", ["connection string", "pool"])
def test_a_store_with_its_own_connections_finds_the_server_again(
    dsn: str, customer: str, root: AnyConnection, kind: str
) -> None:
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ConnectionPool(dsn, min_size=1, max_size=1, open=True)) if kind == "pool" else None
        store = stack.enter_context(EventStore(pool or dsn, customer_id=customer))
        fill(store, 4)
        for after in (0, 2):
            with store.consume("consumer", 2) as batch:
                assert batch.after == after
            terminate_all(root)
        assert store.advance_log().is_behind is False
        terminate_all(root)
        assert len(store.read_log()) == 4


# Subscribing


def test_a_subscription_reads_on_from_a_number(store: EventStore) -> None:
    ids = fill(store, 7)
    assert [entry.event_id for entry in store.subscribe(follow=False, max_events=3)] == ids
    assert numbers(list(store.subscribe(after=4, follow=False))) == [5, 6, 7]
    assert list(store.subscribe(after=7, follow=False)) == []
    assert store.cursors() == []
    for poll in ((0.0, 1.0), (1.0, 0.5), (-1.0, 1.0)):
        with pytest.raises(ValueError, match="poll"):
            next(store.subscribe(poll=poll))
    with pytest.raises(ValueError, match="either name or after"):
        next(store.subscribe("consumer", after=1))


@pytest.mark.parametrize("size", [1, 3, 5, 100])
def test_a_subscription_that_advances_ends_when_everything_was_read(store: EventStore, size: int) -> None:
    store.emit_batch([new() for _ in range(5)])
    feed = store.subscribe("consumer", advance=True, follow=False, max_events=size)
    seen = []
    for entry in feed:
        seen.append(entry.number)
        if len(seen) == 5:
            store.emit_batch([new() for _ in range(3)])
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8]
    assert number_of(store, "consumer") == 8


def test_nothing_is_held_while_a_subscriber_works(store: EventStore, root: AnyConnection) -> None:
    store.emit_batch([new() for _ in range(4)])
    for entry in store.subscribe("consumer", advance=True, follow=False, max_events=2):
        assert_nothing_is_held(root)
        store.emit_batch([new()] if entry.number == 1 else [])
    assert number_of(store, "consumer") == 5
    assert_nothing_is_held(root)


def test_a_subscriber_that_dies_gets_the_entry_in_hand_again_and_at_most_a_page(store: EventStore) -> None:
    fill(store, 10)
    # Closed: what was done is known, and only the entry in hand comes again.
    for number in store_numbers(store, crash_at=6):
        assert number <= 6
    assert number_of(store, "consumer") == 5
    # Killed: nothing more can be said, and the page comes again.
    feed = store.subscribe("consumer", max_events=4)
    assert [next(feed).number for _ in range(3)] == [6, 7, 8]
    assert number_of(store, "consumer") == 5
    again = store.subscribe("consumer", max_events=4)
    assert next(again).number == 6
    again.close()
    feed.close()
    assert number_of(store, "consumer") == 7
    assert numbers(list(store.subscribe("consumer", follow=False))) == [8, 9, 10]


def store_numbers(store: EventStore, crash_at: int) -> list[int]:
    seen = []
    feed = store.subscribe("consumer", max_events=4)
    with contextlib.suppress(CrashError), contextlib.closing(feed):
        for entry in feed:
            seen.append(entry.number)
            if entry.number == crash_at:
                raise CrashError
    return seen


@pytest.mark.parametrize("kind", ["connection string", "pool"])
@pytest.mark.parametrize("name", [None, "consumer"])
def test_a_subscription_outlives_its_connections(
    dsn: str, customer: str, root: AnyConnection, kind: str, name: str | None
) -> None:
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ConnectionPool(dsn, min_size=1, max_size=1, open=True)) if kind == "pool" else None
        store = stack.enter_context(EventStore(pool or dsn, customer_id=customer))
        fill(store, 6)
        seen = []
        for entry in store.subscribe(name, follow=False, advance=True, max_events=2, poll=FAST):
            seen.append(entry.number)
            if entry.number % 3:
                terminate_all(root)
        assert seen == [1, 2, 3, 4, 5, 6]


def test_a_subscription_on_the_callers_connection_ends_with_it(
    dsn: str, store: EventStore, customer: str, root: AnyConnection
) -> None:
    fill(store, 3)
    with contextlib.closing(psycopg.connect(dsn, autocommit=True)) as connection:
        feed = EventStore(connection, customer_id=customer).subscribe("consumer", max_events=2)
        assert [next(feed).number, next(feed).number] == [1, 2]
        terminate(root, connection.info.backend_pid)
        with pytest.raises(ConnectionLostError):
            next(feed)
    assert numbers(list(store.subscribe("consumer", follow=False))) == [1, 2, 3]


def test_a_server_that_stays_away_ends_a_subscription(dsn: str, customer: str) -> None:
    with EventStore(dsn, customer_id=customer, retry_for=0.2) as store:
        fill(store, 1)
        stopping = threading.Event()
        feeds = [store.subscribe(poll=FAST, stop=stop) for stop in (None, stopping.is_set)]
        assert [next(feed).number for feed in feeds] == [1, 1]
        store.close()
        store._session.connections.dsn = "host=/nowhere"
        with pytest.raises(NotConnectedError):
            next(feeds[0])
        stopping.set()
        assert list(feeds[1]) == []


def test_a_move_whose_answer_was_lost_is_no_error(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, 3)
    run = store._session.run

    def run_twice(work: Any, **options: Any) -> Any:
        if getattr(work, "__name__", "") == "move":
            run(work, **options)  # it was committed, and the answer did not arrive
        return run(work, **options)

    monkeypatch.setattr(store._session, "run", run_twice)
    assert numbers(list(store.subscribe("consumer", follow=False, max_events=2))) == [1, 2, 3]
    assert number_of(store, "consumer") == 3


def test_a_subscriber_wakes_up_for_new_events(dsn: str, customer: str, store: EventStore) -> None:
    fill(store, 1)
    stopping = threading.Event()
    seen: list[UUID] = []

    def follow() -> None:
        with EventStore(dsn, customer_id=customer) as own:
            for entry in own.subscribe("consumer", advance=True, poll=FAST, stop=stopping.is_set):
                seen.append(entry.event_id)

    with ThreadPoolExecutor(1) as threads:
        promise = threads.submit(follow)
        try:
            for count in range(1, 5):
                soon(lambda count=count: len(seen) == count)  # type: ignore[misc]
                store.emit(new())
            soon(lambda: len(seen) == 5)
            soon(lambda: number_of(store, "consumer") == 5)
        finally:
            stopping.set()
        promise.result(10)
    assert seen == [entry.event_id for entry in store.read_log()]


def test_a_subscriber_with_nothing_to_do_looks_less_and_less(
    store: EventStore, monkeypatch: pytest.MonkeyPatch, root: AnyConnection
) -> None:
    fill(store, 1)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        assert_nothing_is_held(root)
        waits.append(seconds)
        if len(waits) == 6:
            store.emit(new())

    monkeypatch.setattr("aximo_db.client.feed.time.sleep", sleep)
    feed = store.subscribe(after=1, advance=True, poll=(0.1, 1.0), stop=lambda: len(waits) == 9)
    assert next(feed).number == 2
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert list(feed) == []
    assert waits[6:] == [0.1, 0.2, 0.4]


def test_a_subscription_stops_between_entries(store: EventStore) -> None:
    fill(store, 6)
    seen: list[int] = []
    for entry in store.subscribe("consumer", stop=lambda: len(seen) == 4):
        seen.append(entry.number)
    assert seen == [1, 2, 3, 4]
    assert number_of(store, "consumer") == 4


def test_a_subscription_waits_for_another_that_numbers_before_it_says_that_was_all(
    dsn: str, store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 1)
    store.emit(new())
    with contextlib.ExitStack() as held:
        connection = held.enter_context(psycopg.connect(dsn, autocommit=True))
        held.enter_context(connection.transaction())
        connection.execute("select * from aximo.advance_log()")
        monkeypatch.setattr("aximo_db.client.feed.time.sleep", lambda _: held.close())
        assert numbers(list(store.subscribe(advance=True, follow=False))) == [1, 2]


# Tasks


async def test_the_asynchronous_feed_does_the_same(dsn: str, customer: str, store: EventStore) -> None:
    store.emit_batch([new() for _ in range(7)])
    async with AsyncEventStore(dsn, customer_id=customer) as tasks:
        assert (await tasks.advance_all(3)).is_behind is False
        assert numbers(await tasks.read_log(2, 2)) == [3, 4]
        async with tasks.consume("consumer", 3) as batch:
            assert numbers(batch) == [1, 2, 3]
            await (await batch.connection.execute("select 1")).fetchone()
        with pytest.raises(CrashError):
            async with tasks.consume("consumer", 3):
                raise CrashError
        seen = [entry.number async for entry in tasks.subscribe("consumer", follow=False, max_events=2)]
        assert seen == [4, 5, 6, 7]
        assert [(cursor.name, cursor.number) for cursor in await tasks.cursors()] == [("consumer", 7)]


async def test_a_cancelled_consumer_rolls_back(dsn: str, customer: str, store: EventStore, root: AnyConnection) -> None:
    fill(store, 3)
    async with AsyncEventStore(dsn, customer_id=customer) as tasks:
        for statement in (None, "select pg_sleep(20)"):
            at_work = asyncio.Event()

            async def consume(at_work: asyncio.Event = at_work, statement: str | None = statement) -> None:
                async with tasks.consume("consumer") as batch:
                    for entry in batch:
                        values = (customer, entry.number, entry.event_id)
                        await batch.connection.execute("insert into public.handled values (%s, %s, %s)", values)
                    at_work.set()
                    await (batch.connection.execute(statement) if statement else asyncio.sleep(20))

            task = asyncio.create_task(consume())
            await asyncio.wait_for(at_work.wait(), 60)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert_nothing_is_held(root)
        assert handled(root, customer) == []
        # One that is cancelled while it waits for another leaves nothing behind either.
        with store.consume("consumer"):
            task = asyncio.create_task(consume())
            query = "select from pg_stat_activity where usename = %s and wait_event_type = 'Lock'"
            deadline = time.monotonic() + 60
            while not root.execute(query, (SERVICE,)).fetchall():
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert_nothing_is_held(root)
        assert number_of(store, "consumer") == 3


async def test_a_cancelled_subscriber_keeps_its_place(
    dsn: str, customer: str, store: EventStore, root: AnyConnection
) -> None:
    fill(store, 5)
    async with AsyncEventStore(dsn, customer_id=customer) as tasks:
        seen: list[int] = []

        async def follow(work: float) -> None:
            feed = tasks.subscribe("consumer", max_events=4, poll=(0.01, 0.02))
            async with contextlib.aclosing(feed):  # type: ignore[type-var]
                async for entry in feed:
                    seen.append(entry.number)
                    if entry.number == 3:
                        await asyncio.sleep(work)

        for work, last, place in ((20.0, 3, 2), (0.0, 5, 5)):
            task = asyncio.create_task(follow(work))
            deadline = time.monotonic() + 60
            while (seen[-1:], number_of_all(store).get("consumer")) != ([last], 0 if work else place):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert number_of(store, "consumer") == place
            assert_nothing_is_held(root)
        assert seen == [1, 2, 3, 3, 4, 5]


# PgBouncer in transaction mode lends a server connection for a transaction


def test_nothing_of_the_feed_stays_on_the_connection(dsn: str, customer: str, store: EventStore) -> None:
    fill(store, 4)
    left = (
        "select coalesce(current_setting('aximo.customer_id', true), ''), (select count(*) from pg_prepared_statements),"
        " (select count(*) from pg_cursors), (select count(*) from pg_locks where locktype = 'advisory'),"
        " (select count(*) from pg_listening_channels()),"
        " (select count(*) from pg_settings where source = 'session' and name not in ('application_name'))"
    )
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
        before = connection.execute(left).fetchone()
        own = EventStore(connection, customer_id=customer)
        own.emit(new())
        own.advance_all()
        own.read_log(advance=True)
        own.cursors()
        for name in ("one", "two"):
            with own.consume(name, 2):
                pass
            assert connection.execute(left).fetchone() == before
        for name in (None, "one"):
            for _ in own.subscribe(name, follow=False, advance=True, max_events=2):
                assert connection.execute(left).fetchone() == before
        assert connection.execute(left).fetchone() == before
        assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
