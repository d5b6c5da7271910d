"""EventStore: what it writes and reads, over every kind of connection, and what it raises."""

from __future__ import annotations

import inspect
import re
import traceback
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import Enum, StrEnum
from functools import partial
from itertools import pairwise
from operator import attrgetter
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

import aximo_db
from aximo_db import (
    AttributionError,
    AximoError,
    CustomerError,
    DuplicateEventError,
    Event,
    EventStore,
    ImmutableError,
    InstallationError,
    MalformedEventError,
    NewEvent,
    NotConnectedError,
    Receipt,
    SchemaVersionError,
    SequenceError,
)
from aximo_db.client.errors import register, translate
from aximo_db.client.runs import Runs
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, Ledger, _cloned, make_database
from tests.events import BASE, event

SERVICE = "store_service"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
COMMON = {name: BASE[name] for name in ("deployment_id", "skill_id", "skill_version")}


@pytest.fixture(scope="module")
def ledger_(servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    """One database for the module: every test has a customer of its own in it."""
    for ledger in _cloned(servers(next(iter(BINARIES))), "fresh", "store_test"):
        ledger.login(SERVICE, "aximo_writer", "aximo_operator", customers=("*",))
        yield ledger


@pytest.fixture
def dsn(ledger_: Ledger) -> str:
    return ledger_.dsn(SERVICE)


@pytest.fixture
def customer() -> str:
    return f"customer-{uuid4()}"


@pytest.fixture
def connection(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def store(connection: psycopg.Connection[Any], customer: str) -> EventStore:
    return EventStore(connection, customer_id=customer)


def new(event_type: str = "sla_breached", execution_id: str | None = None, **values: Any) -> NewEvent:
    return NewEvent(**event(event_type, execution_id, **values))


def stored(dsn: str, customer: str) -> list[Event]:
    """What is committed, as another connection sees it."""
    with EventStore(dsn, customer_id=customer) as store:
        return list(store.iter_events())


def life(store: EventStore, execution_id: str = "exec-1", *, end: str | None = "execution_completed") -> None:
    for event_type in ("execution_triggered", "execution_processing", end):
        if event_type is not None:
            store.emit(event(event_type, execution_id))


# Where the connection comes from


@pytest.mark.parametrize("autocommit", [True, False])
def test_emit_is_committed_on_an_idle_connection(dsn: str, customer: str, autocommit: bool) -> None:
    with psycopg.connect(dsn, autocommit=autocommit) as connection:
        store = EventStore(connection, customer_id=customer)
        receipt = store.emit(new())
        assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
        assert [each.event_id for each in stored(dsn, customer)] == [receipt.event_id]
        assert len(store.emit_batch([new(), new()])) == 2
        assert len(list(store.iter_events())) == 3
        assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
        connection.rollback()
        assert connection.autocommit is autocommit
    assert len(stored(dsn, customer)) == 3


def test_a_refused_event_leaves_an_idle_connection_usable(dsn: str, customer: str) -> None:
    with psycopg.connect(dsn) as connection:
        store = EventStore(connection, customer_id=customer)
        with pytest.raises(SequenceError):
            store.emit(new("execution_completed", "nothing"))
        assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
        store.emit(new())
    assert len(stored(dsn, customer)) == 1


def test_a_store_works_over_a_pool(dsn: str, customer: str) -> None:
    with ConnectionPool(dsn, min_size=1, max_size=2, open=True) as pool:
        with EventStore(pool, customer_id=customer) as store:
            store.emit(new())
            store.emit_batch([new()])
            life(store)
        # The pool is the caller's: closing the store leaves it open.
        with pool.connection() as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    assert len(stored(dsn, customer)) == 5


def test_a_store_works_over_a_connection_string_and_closes_what_it_opened(ledger_: Ledger, customer: str) -> None:
    name = ledger_.login(f"login-{uuid4()}", "aximo_writer", customers=(customer,))
    sessions = "select count(*) from pg_stat_activity where usename = %s"
    with ledger_.superuser() as root:
        with EventStore(ledger_.dsn(name)) as store:
            store.emit(new())
            store.emit(new())
            assert root.execute(sessions, (name,)).fetchone() == (1,)
        assert_soon(lambda: root.execute(sessions, (name,)).fetchone() == (0,))
    assert len(stored(ledger_.dsn(SERVICE), customer)) == 2


def test_the_connection_string_comes_from_the_environment(
    dsn: str, customer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AXIMO_DB_URL", dsn)
    with EventStore(customer_id=customer) as store:
        store.emit(new())
    monkeypatch.setenv("AXIMO_DB_URL", "postgresql:///nowhere?host=/nonexistent")
    with EventStore(dsn, customer_id=customer) as store:  # the argument goes before the variable
        assert len(list(store.iter_events())) == 1


def test_libpq_variables_are_used_where_nothing_is_given(
    ledger_: Ledger, customer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AXIMO_DB_URL", raising=False)
    for name, value in {
        "PGHOST": str(ledger_.server.socket_dir),
        "PGPORT": str(ledger_.server.socket_port),
        "PGUSER": SERVICE,
        "PGDATABASE": ledger_.name,
    }.items():
        monkeypatch.setenv(name, value)
    with EventStore(customer_id=customer) as store:
        assert not store.emit(new()).duplicate


def test_a_source_of_another_kind_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        EventStore(42)  # type: ignore[arg-type]


def test_the_row_factory_of_the_callers_connection_does_not_matter(dsn: str, customer: str) -> None:
    with psycopg.connect(dsn, row_factory=dict_row, autocommit=True) as connection:
        store = EventStore(connection, customer_id=customer)
        receipts = store.emit_batch([new(), new()])
        assert {each.event_id for each in store.iter_events()} == {receipt.event_id for receipt in receipts}


def test_statements_are_prepared_only_where_asked_for(dsn: str, customer: str) -> None:
    prepared = "select count(*) from pg_prepared_statements"
    for prepare, expected in ((None, False), (False, False), (True, True)):
        with EventStore(dsn, customer_id=customer, prepare=prepare) as store:
            for _ in range(8):
                store.emit(new())
            own = store._session.connections._own
            assert own is not None
            row = own.execute(prepared).fetchone()
            assert row is not None
            assert (row[0] > 0) is expected


def test_one_prepared_statement_serves_every_event(dsn: str, customer: str) -> None:
    events = [
        new(),
        new(customer_id=customer, payload={"a": 1}, latency_ms=1),
        *(new(latency_ms=number) for number in (0, 40_000, 2**31, 2**63 - 1)),
        new("execution_triggered", "exec-1", risk_level="R1", approval_mode="NEVER", correlation_id="c"),
        new("execution_failed", "exec-1", channel_type="web", error_code="e", timestamp=datetime.now(UTC)),
    ]
    prepared = "select statement from pg_prepared_statements"
    with psycopg.connect(dsn, autocommit=True) as connection:
        store = EventStore(connection, customer_id=customer, prepare=True)
        for each in events:
            store.emit(each)
        with connection.transaction():
            connection.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
            EventStore(connection, prepare=True).emit(new())  # for no customer in particular
        statements = [row[0] for row in connection.execute(prepared, prepare=False)]
    assert len([statement for statement in statements if "emit_event(" in statement]) == 1


def test_for_customer_shares_the_connection(ledger_: Ledger, customer: str) -> None:
    name = ledger_.login(f"login-{uuid4()}", "aximo_writer", customers=("*",))
    with ledger_.superuser() as root, EventStore(ledger_.dsn(name)) as store:
        first, second = store.for_customer(f"{customer}-1"), store.for_customer(f"{customer}-2")
        first.emit(new())
        second.emit(new())
        first.emit(new())
        assert len(list(first.iter_events())) == 2
        assert len(list(second.iter_events())) == 1
        with pytest.raises(CustomerError):
            store.emit(new())
        count = root.execute("select count(*) from pg_stat_activity where usename = %s", (name,)).fetchone()
        assert count == (1,)


def test_for_customer_of_for_customer_shares_the_connection(ledger_: Ledger, customer: str) -> None:
    name = ledger_.login(f"login-{uuid4()}", "aximo_writer", customers=("*",))
    stores = [EventStore(ledger_.dsn(name))]
    try:
        for place in range(3):
            stores.append(stores[-1].for_customer(f"{customer}-{place}"))
            stores[-1].emit(new())
        with ledger_.superuser() as root:
            count = root.execute("select count(*) from pg_stat_activity where usename = %s", (name,)).fetchone()
        assert count == (1,)
    finally:
        for store in stores:
            store.close()


def assert_soon(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Polls until a condition holds."""
    from threading import Event as Flag
    from time import monotonic

    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline, "did not come true in time"
        Flag().wait(0.02)


# In the caller's transaction


def test_nothing_stays_when_the_caller_rolls_back(dsn: str, customer: str) -> None:
    with psycopg.connect(dsn) as connection:
        store = EventStore(connection, customer_id=customer)
        connection.execute("select 1")  # begins
        store.emit(new())
        store.emit_batch([new(), new()])
        store.emit_many(new() for _ in range(5))
        life(store)
        assert len(list(store.iter_events())) == 11
        assert connection.info.transaction_status is psycopg.pq.TransactionStatus.INTRANS
        assert stored(dsn, customer) == []
        connection.rollback()
    assert stored(dsn, customer) == []


def test_everything_stays_when_the_caller_commits(dsn: str, customer: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        store = EventStore(connection, customer_id=customer)
        with connection.transaction():
            store.emit(new())
            store.emit_batch([new(), new()])
            assert stored(dsn, customer) == []
    assert len(stored(dsn, customer)) == 3


def test_a_savepoint_of_the_caller_undoes_a_refused_event(dsn: str, customer: str) -> None:
    with psycopg.connect(dsn) as connection:
        store = EventStore(connection, customer_id=customer)
        with connection.transaction():
            store.emit(new())
            with pytest.raises(SequenceError), connection.transaction():
                store.emit(new())
                store.emit(new("execution_completed", "nothing"))
            store.emit(new())
    assert len(stored(dsn, customer)) == 2


@pytest.mark.parametrize("named", ["", "the-callers"])
def test_the_customer_setting_is_as_before_afterwards(dsn: str, customer: str, named: str) -> None:
    setting = "select coalesce(current_setting('aximo.customer_id', true), '')"
    named = named and customer
    with psycopg.connect(dsn) as connection:
        with connection.transaction():
            connection.execute("select set_config('aximo.customer_id', %s, true)", (named,))
            store = EventStore(connection, customer_id=customer)
            life(store)
            for call in (
                lambda: store.emit(new()),
                lambda: store.emit_batch([new()]),
                lambda: store.trace("exec-1"),
                lambda: store.executions(as_of=NOON),
                lambda: list(store.iter_events()),
                lambda: store.close_stale_executions(timedelta(days=1)),
                lambda: store.trace("exec-1", customer_id="somebody-else"),
            ):
                call()
                assert connection.execute(setting).fetchone() == (named,)
        assert connection.execute(setting).fetchone() == ("",)


def test_a_write_for_another_customer_than_the_transactions_is_refused(dsn: str, customer: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("select set_config('aximo.customer_id', 'another', true)")
        with pytest.raises(CustomerError) as caught:
            EventStore(connection, customer_id=customer).emit(new())
        assert caught.value.rule == "customer_granted"
        connection.rollback()
    assert stored(dsn, customer) == []


# What is emitted


def test_an_event_is_stored_as_it_was_given(store: EventStore, customer: str) -> None:
    full = NewEvent(
        event_type="action_prepared",
        timestamp=NOON + timedelta(microseconds=123456),
        customer_id=customer,
        deployment_id="dep-ä",
        skill_id="skill-日本語",
        skill_version="v1.0-β",
        execution_id="exec-🙂 with spaces\tand tab",
        risk_level="R2",
        approval_mode="CONDITIONAL",
        actor="external_user",
        payload={"text": 'a "quoted" \\ text\n', "n": 10**30, "none": None, "list": [1, 2.5, {"é": True}]},
        correlation_id="corr",
        channel_type="web",
        error_code="E-1",
        latency_ms=2**53 + 1,
    )
    for event_type in ("execution_triggered", "execution_processing"):
        store.emit(
            NewEvent(
                event_type=event_type,
                actor="system",
                deployment_id=full.deployment_id,
                skill_id=full.skill_id,
                skill_version=full.skill_version,
                execution_id=full.execution_id,
                timestamp=NOON,
            )
        )
    receipt = store.emit(full)
    *_, found = store.iter_events()
    for item in fields(NewEvent):
        assert getattr(found, item.name) == getattr(full, item.name), item.name
    assert (found.event_id, found.recorded_at) == (receipt.event_id, receipt.recorded_at)
    assert found.recorded_by == SERVICE
    assert receipt.duplicate is False


def test_the_same_event_again_is_a_duplicate_with_the_first_receipt(store: EventStore) -> None:
    it = new(payload={"n": 1})
    first = store.emit(it)
    again = store.emit(it)
    assert (again.event_id, again.recorded_at, again.duplicate) == (first.event_id, first.recorded_at, True)
    assert store.emit_batch([it])[0] == again
    assert len(list(store.iter_events())) == 1


def test_a_receipt_is_the_same_from_every_call(dsn: str, customer: str) -> None:
    for options in ({}, {"row_factory": dict_row}):
        with psycopg.connect(dsn, autocommit=True, **options) as connection:  # type: ignore[arg-type]
            store = EventStore(connection, customer_id=customer)
            it = new()
            for receipt in (store.emit(it), *store.emit_batch([it, it])):
                assert type(receipt) is Receipt
                assert receipt.event_id == it.event_id
                assert type(receipt.event_id) is UUID
                assert receipt.recorded_at.tzinfo is not None
                assert type(receipt.duplicate) is bool


OFFSETS = [
    timedelta(0),
    timedelta(hours=5, minutes=45),
    -timedelta(hours=15, minutes=59, seconds=59),
    timedelta(minutes=19, seconds=32),
]
# No batch carries these: PostgreSQL reads no such text.
ODD_OFFSETS = [
    timedelta(hours=23, minutes=59, seconds=59, microseconds=999_999),
    -timedelta(hours=20),
    timedelta(microseconds=1),
]


@pytest.mark.parametrize("offset", [*OFFSETS, *ODD_OFFSETS], ids=str)
def test_a_moment_of_any_offset_is_read_back_equal(store: EventStore, offset: timedelta) -> None:
    moments = [
        datetime(1970, 1, 2, tzinfo=UTC),
        datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2000, 2, 29, 0, 0, 0, 1, tzinfo=UTC),
        NOON,
    ]
    events = [new(timestamp=moment.astimezone(timezone(offset))) for moment in moments]
    for each in events:
        store.emit(each)
        if offset in OFFSETS:
            assert store.emit_batch([each])[0].duplicate
    assert [each.timestamp for each in store.iter_events()] == moments


@pytest.mark.parametrize("day", ["1969-12-31", "9999-01-01"])
def test_a_moment_before_1970_or_after_9998_is_refused(store: EventStore, day: str) -> None:
    for offset in (*OFFSETS, *ODD_OFFSETS):
        moment = datetime.fromisoformat(f"{day}T12:00:00+00:00").astimezone(timezone(offset))
        with pytest.raises(MalformedEventError) as caught:
            store.emit(new(timestamp=moment))
        assert caught.value.rule == "moment_range"


class Numbers(int, Enum):
    """A number whose text is another one's name."""

    FIVE = 5


class Words(str, Enum):  # noqa: UP042
    """A string whose text is another one's name."""

    RISK = "R1"


@pytest.mark.parametrize("latency", [None, 0, 1, 2**15, 2**31, 2**53 + 1, 2**63 - 1, Numbers.FIVE])
def test_a_latency_is_read_back_equal(store: EventStore, latency: int | None) -> None:
    it = new(latency_ms=latency, risk_level=Words.RISK)
    store.emit(it)
    assert store.emit_batch([it])[0].duplicate
    (found,) = store.iter_events()
    assert (found.latency_ms, found.risk_level) == (latency, "R1")


def test_a_payload_may_be_made_of_any_containers_that_json_has_a_form_for(store: EventStore) -> None:
    nested = (OrderedDict(a=[1, (2, {"b": Words.RISK})]), defaultdict(list, c=()), Numbers.FIVE)
    it = new(payload=Counter(x=1) | {"nested": nested})
    store.emit(it)
    assert store.emit_batch([it])[0].duplicate
    (found,) = store.iter_events()
    assert found.payload == {"x": 1, "nested": [{"a": [1, [2, {"b": "R1"}]]}, {"c": []}, 5]}


def test_threads_may_share_a_connection(connection: psycopg.Connection[Any], store: EventStore, customer: str) -> None:
    def work(place: int) -> bool:
        batch = [new(customer_id=customer, payload={"place": place, "n": n}) for n in range(25)]
        return [store.emit(each).event_id for each in batch] == [each.event_id for each in batch]

    store.emit(new())  # looks up the version, in a transaction
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(16)))
    assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
    assert len(list(store.iter_events())) == 1 + 16 * 25


def test_a_mapping_is_an_event(store: EventStore) -> None:
    event_id = uuid4()
    given = event(
        "sla_breached", None, event_id=str(event_id), timestamp="2026-03-01T13:00:00+01:00", payload={"limit": 3}
    )
    assert store.emit(given).event_id == event_id
    (found,) = store.iter_events()
    assert (found.timestamp, found.payload, found.execution_id) == (NOON, {"limit": 3}, None)


def test_a_naive_timestamp_is_utc_whatever_the_session_prefers(dsn: str, customer: str) -> None:
    naive = NOON.replace(tzinfo=None)
    with psycopg.connect(dsn, options="-c timezone=America/New_York", autocommit=True) as connection:
        store = EventStore(connection, customer_id=customer)
        store.emit(new(timestamp=naive))
        store.emit_batch([new(timestamp=naive)])
        assert [each.timestamp for each in store.iter_events()] == [NOON, NOON]


class Undecided(tzinfo):
    """A time zone that does not know its offset, which makes a moment as naive as one without."""

    def utcoffset(self, moment: datetime | None) -> None:
        return None

    dst = utcoffset

    def tzname(self, moment: datetime | None) -> None:
        return None


def test_a_time_zone_without_an_offset_is_none(dsn: str, customer: str) -> None:
    undecided = NOON.replace(tzinfo=Undecided())
    with psycopg.connect(dsn, options="-c timezone=America/New_York", autocommit=True) as connection:
        store = EventStore(connection, customer_id=customer)
        store.emit(new(timestamp=undecided))
        store.emit_batch([new(timestamp=undecided)])
        assert [each.timestamp for each in store.iter_events()] == [NOON, NOON]


def test_a_naive_moment_in_a_filter_is_utc_whatever_the_session_prefers(dsn: str, customer: str) -> None:
    naive = NOON.replace(tzinfo=None)
    second = timedelta(seconds=1)
    with psycopg.connect(dsn, options="-c timezone=America/New_York", autocommit=True) as connection:
        store = EventStore(connection, customer_id=customer)
        store.emit(new("execution_triggered", "one", timestamp=NOON))
        assert len(list(store.iter_events(since=naive, until=naive + second))) == 1
        assert len(store.executions(since=naive, until=naive + second)) == 1
        assert len(store.executions(as_of=naive)) == 1
        assert len(list(store.iter_events(after=(naive - second, UUID(int=0)), until=naive + second))) == 1


class Kind(StrEnum):
    """An agent runtime's own vocabulary."""

    BREACH = "sla_breached"


@dataclass(frozen=True)
class RuntimeEvent:
    """The event of an agent runtime that knows nothing of this package."""

    event_type: str
    timestamp: datetime
    customer_id: str
    deployment_id: str
    skill_id: str
    skill_version: str
    execution_id: str | None
    actor: str
    payload: dict[str, Any]


def test_a_foreign_object_is_an_event(store: EventStore, customer: str) -> None:
    foreign = RuntimeEvent(Kind.BREACH, NOON, customer, "dep-123", "skill", "v1", None, "founder", {"a": [1]})
    first, second = store.emit(foreign), store.emit(foreign)
    # It has no id of its own, so each time it is another event.
    assert first.event_id != second.event_id
    found = list(store.iter_events())
    assert [(each.event_type, each.timestamp, each.payload) for each in found] == [
        ("sla_breached", NOON, {"a": [1]})
    ] * 2


@pytest.mark.parametrize(
    ("channel", "taken"),
    [
        ("web", "web"),
        ("日" * 255, "日" * 255),
        ("日" * 256, None),
        (" ", None),
        ("a\0", None),
        ("\ud800", None),
        (7, None),
        (None, None),
        (["web"], None),
    ],
)
def test_an_event_without_a_field_for_it_has_the_channel_of_its_payload(channel: object, taken: str | None) -> None:
    payload = {"channel": channel, "received_at": "now"}
    foreign = RuntimeEvent("sla_breached", NOON, "c", "dep-123", "skill", "v1", None, "system", payload)
    made = NewEvent.of(foreign)
    assert made.channel_type == taken
    assert made.payload == payload


def test_the_channel_of_a_payload_is_stored_and_nobody_elses_is(store: EventStore, customer: str) -> None:
    payload = {"channel": "telegram"}
    foreign = RuntimeEvent("sla_breached", NOON, customer, "dep-123", "skill", "v1", None, "founder", payload)
    store.emit(foreign)
    store.emit_batch([foreign])
    assert [(each.channel_type, each.payload) for each in store.iter_events()] == [("telegram", payload)] * 2
    assert NewEvent.of({**asdict(foreign), "event_type": "sla_breached"}).channel_type is None
    store.emit(new(payload=payload))
    (silent,) = [each for each in store.iter_events() if each.channel_type is None]
    # An event that was read says that it has none, and stays the same event.
    assert store.emit(silent).duplicate


@dataclass
class Runtime:
    """An agent runtime: it runs skills and tells its sink, of which it knows only emit(event)."""

    sink: Any
    customer_id: str
    clock: datetime = NOON
    told: list[RuntimeEvent] = field(default_factory=list)

    def tell(self, event_type: str, execution_id: str, payload: dict[str, Any]) -> None:
        self.clock += timedelta(milliseconds=7)
        event = RuntimeEvent(
            event_type, self.clock, self.customer_id, "dep-ü", "skill-日", "v2", execution_id, "system", payload
        )
        self.told.append(event)
        self.sink.emit(event)

    def run(self, execution_id: str, actions: dict[str, Callable[[], object]]) -> None:
        self.tell("execution_triggered", execution_id, {"channel": "web"})
        self.tell("execution_processing", execution_id, {})
        failed: Exception | None = None
        for action_type, act in actions.items():
            self.tell("action_prepared", execution_id, {"action_type": action_type})
            try:
                act()
            except Exception as error:
                failed = error
                self.tell("action_failed", execution_id, {"action_type": action_type, "error": str(error)})
                break
            self.tell("action_dispatched", execution_id, {"action_type": action_type})
        if failed is None:
            self.tell("execution_completed", execution_id, {"actions_count": len(actions)})
        else:
            self.tell("execution_failed", execution_id, {"error": str(failed)})


def test_an_agent_runtime_runs_against_the_store_as_its_sink(dsn: str, customer: str) -> None:
    def refuse() -> None:
        raise ValueError("přeplněno: 漢字 🙂")

    runtimes = [
        (runtime_customer, Runtime(EventStore(dsn), runtime_customer))
        for runtime_customer in (f"{customer}-α", f"{customer}-ß")
    ]
    for place in range(6):
        for _, runtime in runtimes:
            runtime.run(
                f"běh-{place}-🙂", {"e-mail": lambda: None, "übergabe": refuse if place % 3 == 2 else lambda: None}
            )
    with EventStore(dsn) as reader:
        for named, runtime in runtimes:
            runtime.sink.close()
            store = reader.for_customer(named)
            assert len(store.executions(status="completed")) == 4
            failed = store.executions(status="failed")
            assert [each.execution_id for each in failed] == ["běh-2-🙂", "běh-5-🙂"]
            assert {(each.actions_prepared, each.actions_dispatched, each.actions_failed) for each in failed} == {
                (2, 1, 1)
            }
            assert {each.error_message for each in failed} == {"přeplněno: 漢字 🙂"}
            # Nothing lost, nothing doubled, in the order in which it was told.
            assert [
                (each.event_type, each.timestamp, each.execution_id, each.payload) for each in store.iter_events()
            ] == [(each.event_type, each.timestamp, each.execution_id, each.payload) for each in runtime.told]
            for execution in store.executions():
                assert [step.event_type for step in store.trace(execution.execution_id)] == [
                    each.event_type for each in runtime.told if each.execution_id == execution.execution_id
                ]


# Batches and streams


def test_receipts_of_a_batch_are_in_its_order_also_for_several_customers(dsn: str, customer: str) -> None:
    names = [f"{customer}-{place}" for place in range(3)]
    batch = [new(customer_id=names[place % 3], payload={"place": place}) for place in range(30)]
    with EventStore(dsn) as store:
        receipts = store.emit_batch(batch)
        assert [receipt.event_id for receipt in receipts] == [each.event_id for each in batch]
        assert not any(receipt.duplicate for receipt in receipts)
        for name in names:
            assert len(list(store.for_customer(name).iter_events())) == 10
        assert all(receipt.duplicate for receipt in store.emit_batch(batch))


def test_a_batch_of_several_customers_is_all_or_nothing(dsn: str, customer: str) -> None:
    names = [f"{customer}-{place}" for place in range(3)]
    for autocommit in (True, False):
        with psycopg.connect(dsn, autocommit=autocommit) as connection:
            store = EventStore(connection)
            bad = new("execution_completed", "nothing", customer_id=names[2])
            with pytest.raises(SequenceError):
                store.emit_batch([new(customer_id=names[0]), new(customer_id=names[1]), bad])
    for name in names:
        assert stored(dsn, name) == []


@pytest.mark.parametrize("named", [True, False])
def test_an_event_that_comes_twice_in_a_batch_is_a_duplicate_the_second_time(
    ledger_: Ledger, customer: str, named: bool
) -> None:
    login = ledger_.login(f"login-{uuid4()}", "aximo_writer", customers=(customer,))
    with EventStore(ledger_.dsn(login), customer_id=customer if named else None) as store:
        it = new()
        receipts = store.emit_batch([it, new(), it])
        assert [receipt.duplicate for receipt in receipts] == [False, False, True]
        again = new()
        assert tuple(store.emit_many([again, again])) == (1, 1)


def test_an_empty_batch_is_nothing(store: EventStore) -> None:
    assert store.emit_batch([]) == []
    assert tuple(store.emit_many([])) == (0, 0)


def test_a_stream_is_read_as_it_is_written(dsn: str, customer: str) -> None:
    seen_while_reading: list[int] = []
    with psycopg.connect(dsn, autocommit=True) as watcher:
        watching = EventStore(watcher, customer_id=customer)

        def stream() -> Iterator[NewEvent]:
            for place in range(5000):
                if place % 1000 == 999:
                    seen_while_reading.append(sum(1 for _ in watching.iter_events()))
                yield new(payload={"place": place}, timestamp=NOON + timedelta(seconds=place))

        with EventStore(dsn, customer_id=customer) as store:
            assert tuple(store.emit_many(stream(), batch_size=250)) == (5000, 0)
            assert [each.payload["place"] for each in store.iter_events()] == list(range(5000))
    # Each time, every full batch before it had been written.
    assert seen_while_reading == [750, 1750, 2750, 3750, 4750]


def test_a_refusal_in_a_stream_keeps_the_batches_before_it_and_reads_no_further(store: EventStore) -> None:
    def stream() -> Iterator[NewEvent]:
        for place in range(100):
            assert place < 60, "read on after the refusal"
            yield new() if place != 55 else new("execution_completed", "nothing")

    with pytest.raises(SequenceError):
        store.emit_many(stream(), batch_size=20)
    assert len(list(store.iter_events())) == 40


def test_a_stream_sent_again_is_all_duplicates(store: EventStore) -> None:
    events = [new() for _ in range(30)]
    assert tuple(store.emit_many(events[:20], batch_size=7)) == (20, 0)
    assert tuple(store.emit_many(events, batch_size=7)) == (10, 20)


def test_a_batch_size_below_one_is_refused(store: EventStore) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        store.emit_many([new()], batch_size=0)


# Refusals


def test_every_registered_sqlstate_has_its_exception_class() -> None:
    assert set(register) == {
        "ZXIMM",
        "ZXCUS",
        "ZXDUP",
        "ZXSEQ",
        "ZXCUR",
        "ZXPRF",
        "ZXRUN",
        "ZXATT",
        "ZXARG",
        "ZXMOV",
        "ZXENV",
        "ZXVER",
        "ZXVLT",
        "ZXCON",
        "08006",
        "08001",
        "25006",
    }
    for state, cls in register.items():
        assert cls.sqlstate == state
        assert getattr(aximo_db, cls.__name__) is cls


SECRET = "payloadsecret"
TENANT = "atenant"


def _refused(dsn: str, customer: str, cause: str) -> AximoError:
    """What the store raises for a cause; the payload has the secret in it, every other text the tenant."""
    common: dict[str, Any] = {name: f"{TENANT}-{name}" for name in COMMON}
    common["payload"] = {SECRET: SECRET}
    with EventStore(dsn, customer_id=f"{TENANT}-{customer}") as store:
        start = new("execution_triggered", f"{TENANT}-exec", **common)
        store.emit(start)
        culprit = {
            "customer": new(**common, customer_id=f"{TENANT}-*"),
            "duplicate": NewEvent.of({**start.as_json(), "payload": {SECRET: 1}}),
            "sequence": new("execution_completed", f"{TENANT}-exec", **common),
            "second start": new("execution_triggered", f"{TENANT}-exec", **common),
            "attribution": new("execution_processing", f"{TENANT}-exec", **{**common, "skill_id": f"{TENANT}-other"}),
            "malformed": new(actor=f"{TENANT}-actor", **common),
            "ahead": new(timestamp=datetime.now(UTC) + timedelta(days=2), **common),
            "surrogate": new(**{**common, "payload": {SECRET: "\ud800"}}),
            "nul": new(**{**common, "payload": {SECRET: "\x00"}}),
            "nul in an id": new(
                deployment_id=f"{TENANT}\x00", skill_id="s", skill_version="1", payload={SECRET: SECRET}
            ),
            "surrogate in an id": new(
                deployment_id=f"{TENANT}\ud800", skill_id="s", skill_version="1", payload={SECRET: SECRET}
            ),
            "not JSON": new(**{**common, "payload": {SECRET: object()}}),
            "NaN": new(**{**common, "payload": {SECRET: float("nan")}}),
            "key": new(**{**common, "payload": {SECRET: {1: 2}}}),
            "not an object": new(**{**common, "payload": [SECRET]}),
            "latency": new(latency_ms=TENANT, **common),
            "not a moment": new(timestamp=TENANT, **common),
            "too large": new(**{**common, "payload": {SECRET: "x" * 1_100_000}}),
        }[cause]
        if cause == "customer":
            with psycopg.connect(dsn) as connection:
                connection.execute("select set_config('aximo.customer_id', 'another', true)")
                with pytest.raises(AximoError) as caught:
                    EventStore(connection).emit(culprit)
                connection.rollback()
        else:
            with pytest.raises(AximoError) as caught:
                store.emit(culprit)
        assert caught.value.event == culprit, "the error does not carry its event"
        assert [each.event_type for each in store.iter_events()] == ["execution_triggered"]
        return caught.value


REFUSALS = {
    "customer": (CustomerError, "customer_granted"),
    "duplicate": (DuplicateEventError, "event_id_names_one_event"),
    "sequence": (SequenceError, "processing_first"),
    "second start": (SequenceError, "triggered_first"),
    "attribution": (AttributionError, "same_attribution"),
    "malformed": (MalformedEventError, "actor_known"),
    "ahead": (MalformedEventError, "timestamp_not_ahead"),
    "surrogate": (MalformedEventError, "no_lone_surrogate"),
    "nul": (MalformedEventError, "no_nul_character"),
    "nul in an id": (MalformedEventError, "no_nul_character"),
    "surrogate in an id": (MalformedEventError, "no_lone_surrogate"),
    "not JSON": (MalformedEventError, "json_well_formed"),
    "NaN": (MalformedEventError, "json_well_formed"),
    "key": (MalformedEventError, "payload_keys_are_strings"),
    "not an object": (MalformedEventError, "payload_is_object"),
    "latency": (MalformedEventError, "latency_ms_is_number"),
    "not a moment": (MalformedEventError, "timestamp_well_formed"),
    "too large": (MalformedEventError, "payload_size"),
}


@pytest.mark.parametrize("cause", REFUSALS)
def test_a_refusal_has_its_class_its_rule_its_event_and_nothing_of_the_payload_in_its_text(
    dsn: str, customer: str, cause: str
) -> None:
    error = _refused(dsn, customer, cause)
    cls, rule = REFUSALS[cause]
    assert (type(error), error.rule) == (cls, rule)
    told = "".join(traceback.format_exception(error))
    assert SECRET not in told
    assert TENANT not in error.message
    assert error.detail
    assert error.hint
    for part in (error.message, error.sqlstate, rule, error.detail, error.hint):
        assert part in str(error)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("execution_id", 123),
        ("deployment_id", 7),
        ("skill_version", 1.5),
        ("event_type", 5),
        ("customer_id", 5),
        ("risk_level", ["R3"]),
        ("correlation_id", {"a": 1}),
        ("latency_ms", 2**63),
        ("latency_ms", 2**70),
        ("latency_ms", 1.5),
        ("latency_ms", True),
        ("timestamp", 1700000000),
        ("payload", "text"),
    ],
)
@pytest.mark.parametrize("batch", [False, True])
def test_a_field_of_the_wrong_type_is_a_malformed_event(
    store: EventStore, name: str, value: object, batch: bool
) -> None:
    culprit = {**event("sla_breached", None), name: value}
    with pytest.raises(MalformedEventError) as caught:
        store.emit_batch([culprit]) if batch else store.emit(culprit)
    assert caught.value.rule
    assert list(store.iter_events()) == []


TEXTS = [item.name for item in fields(NewEvent) if "str" in str(item.type)]


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "payload"])
@pytest.mark.parametrize("value", [5, b"x", NOON, uuid4(), ["a"], Words])
@pytest.mark.parametrize("batch", [False, True])
def test_no_text_is_taken_from_what_is_none(store: EventStore, name: str, value: Any, batch: bool) -> None:
    culprit = NewEvent(**{**event("sla_breached", None), name: value})
    with pytest.raises(MalformedEventError) as caught:
        store.emit_batch([culprit]) if batch else store.emit(culprit)
    assert (caught.value.rule, caught.value.event) == (f"{name}_is_string", culprit)
    assert caught.value.detail == f"{name} is a {type(value).__name__}"


def test_what_can_not_be_sent_leaves_the_callers_transaction_as_it_was(dsn: str, customer: str) -> None:
    with psycopg.connect(dsn) as connection:
        store = EventStore(connection, customer_id=customer)
        store.log_size()
        connection.execute("select 1")
        for culprit in (new(payload={"a": "\x00"}), new(payload={"a": {1}}), new(risk_level=1), new(latency_ms=2**63)):
            with pytest.raises(MalformedEventError) as caught:
                store.emit(culprit)
            assert caught.value.event is culprit
        assert connection.info.transaction_status is psycopg.pq.TransactionStatus.INTRANS
        store.emit(new())
        connection.commit()
    assert len(stored(dsn, customer)) == 1


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (event("sla_breached", None, colour="red"), "fields_known"),
        ({**BASE}, "event_type_present"),
        ({**event("sla_breached", None), "skill_id": None}, "skill_id_present"),
        (event("sla_breached", None, event_id="no"), "event_id_well_formed"),
        (event("sla_breached", None, timestamp="yesterday"), "timestamp_well_formed"),
        (42, "event_type_present"),
    ],
)
def test_what_cannot_be_read_as_an_event_is_refused_with_a_rule(store: EventStore, given: object, rule: str) -> None:
    for call in (store.emit, lambda each: store.emit_batch([each]), lambda each: store.emit_many([each])):
        with pytest.raises(MalformedEventError) as caught:
            call(given)
        assert caught.value.rule == rule


@pytest.mark.parametrize("depth", [500, 990, 5000])
def test_a_deep_payload_is_stored_or_refused_as_malformed(store: EventStore, depth: int) -> None:
    payload: dict[str, Any] = {}
    for _ in range(depth):
        payload = {"a": payload}
    try:
        store.emit(new(payload=payload))
    except MalformedEventError as error:
        assert error.rule
        assert list(store.iter_events()) == []
    else:
        store_again = store.emit(new())
        assert store_again.duplicate is False


def test_a_payload_that_contains_itself_is_refused(store: EventStore) -> None:
    payload: dict[str, Any] = {}
    payload["again"] = payload
    with pytest.raises(MalformedEventError):
        store.emit(new(payload=payload))


def test_a_batchs_refusal_says_which_event_it_was(store: EventStore) -> None:
    culprit = new(actor="nobody")
    with pytest.raises(MalformedEventError) as caught:
        store.emit_batch([new(), new(), culprit])
    assert caught.value.rule == "actor_known"
    assert caught.value.detail is not None
    assert re.search(r"\b3\b", caught.value.detail)


def test_an_update_is_an_immutable_error_when_translated(ledger_: Ledger) -> None:
    with ledger_.superuser() as root, pytest.raises(psycopg.Error) as caught:
        root.execute("update aximo_private.events set actor = 'system'")
    error = translate(caught.value)
    assert type(error) is ImmutableError
    assert (error.rule, bool(error.hint), error.event) == ("append_only", True, None)


def test_an_unsuitable_database_is_an_installation_error() -> None:
    assert register["ZXENV"] is InstallationError


def test_errors_that_are_not_the_ledgers_stay_the_drivers(dsn: str, customer: str) -> None:
    with psycopg.connect(dsn) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("select 1/0")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            EventStore(connection, customer_id=customer).emit(new())


def test_a_wrong_address_is_reported_at_once(dsn: str) -> None:
    began = datetime.now(UTC)
    with EventStore("postgresql:///nowhere?host=/nonexistent", retry_for=30) as store:
        with pytest.raises(NotConnectedError) as caught:
            store.emit(new(customer_id="c"))
    assert datetime.now(UTC) - began < timedelta(seconds=10)
    assert caught.value.event is not None


# Reading


@pytest.fixture(scope="module")
def history(ledger_: Ledger) -> str:
    """A customer with executions of every status, approvals of every decision and a deployment's life."""
    customer = f"history-{uuid4()}"
    with EventStore(ledger_.dsn(SERVICE), customer_id=customer) as store:
        second = timedelta(seconds=1)

        def tell(at: int, event_type: str, execution_id: str | None = None, **values: Any) -> None:
            store.emit(event(event_type, execution_id, timestamp=NOON + at * second, **values))

        tell(0, "deployment_created")
        tell(1, "deployment_activated")
        tell(10, "execution_triggered", "done")
        tell(11, "execution_processing", "done")
        tell(12, "approval_requested", "done", payload={"approval_id": "a"}, risk_level="R3", approval_mode="REQUIRED")
        tell(13, "approval_requested", "done", payload={"approval_id": "b"})
        tell(14, "action_prepared", "done", payload={"action_type": "call", "approval_id": "b", "action_id": "x"})
        tell(17, "approval_granted", "done", payload={"approval_id": "a"}, actor="founder")
        tell(18, "approval_rejected", "done", payload={"approval_id": "b", "reason": "no"}, actor="operator")
        tell(20, "execution_completed", "done", latency_ms=9000)
        tell(30, "execution_triggered", "broken", deployment_id="dep-2", correlation_id="corr-1")
        tell(31, "execution_failed", "broken", deployment_id="dep-2", error_code="E1", payload={"error": "text"})
        tell(40, "execution_triggered", "new")
        tell(50, "execution_triggered", "busy", deployment_id="dep-2")
        tell(51, "execution_processing", "busy", deployment_id="dep-2")
        tell(60, "execution_triggered", "waiting")
        tell(61, "execution_processing", "waiting")
        tell(62, "approval_requested", "waiting")
        tell(70, "version_upgraded", skill_version="2.0")
    return customer


@pytest.fixture
def past(connection: psycopg.Connection[Any], history: str) -> EventStore:
    return EventStore(connection, customer_id=history)


def at(second: float) -> datetime:
    return NOON + timedelta(seconds=second)


def test_a_trace_is_in_order_with_times(past: EventStore) -> None:
    steps = past.trace("done")
    assert [step.step for step in steps] == list(range(1, 9))
    assert [step.since_start.total_seconds() for step in steps] == [0, 1, 2, 3, 4, 7, 8, 10]
    assert steps[0].since_previous is None
    assert [(later.timestamp - earlier.timestamp) for earlier, later in pairwise(steps)] == [
        step.since_previous for step in steps[1:]
    ]
    assert steps[5].answers_event_id == steps[2].event_id
    assert steps[6].answers_event_id == steps[3].event_id
    assert past.trace("unknown") == []


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["done", "broken", "new", "busy", "waiting"]),
        ({"status": "completed"}, ["done"]),
        ({"status": "failed"}, ["broken"]),
        ({"status": ["triggered", "awaiting_approval"]}, ["new", "waiting"]),
        ({"status": {"processing"}}, ["busy"]),
        ({"status": []}, []),
        ({"execution_id": "busy"}, ["busy"]),
        ({"deployment_id": "dep-2"}, ["broken", "busy"]),
        ({"deployment_id": "dep-2", "status": "failed"}, ["broken"]),
        ({"since": at(30)}, ["broken", "new", "busy", "waiting"]),
        ({"until": at(30)}, ["done"]),
        ({"since": at(30), "until": at(50)}, ["broken", "new"]),
        ({"limit": 2}, ["done", "broken"]),
        ({"limit": 0}, []),
        ({"as_of": at(45)}, ["done", "broken", "new"]),
        ({"as_of": at(15), "status": "awaiting_approval"}, ["done"]),
        ({"as_of": at(55), "deployment_id": "dep-2", "since": at(31), "limit": 5}, ["busy"]),
        ({"as_of": at(55), "known_at": at(55)}, []),
    ],
)
def test_executions_are_found_by_every_filter(past: EventStore, filters: dict[str, Any], expected: list[str]) -> None:
    assert [each.execution_id for each in past.executions(**filters)] == expected


def test_an_execution_says_how_it_ended(past: EventStore) -> None:
    (done,) = past.executions(execution_id="done")
    assert (done.status, done.started_at, done.ended_at, done.duration) == (
        "completed",
        at(10),
        at(20),
        timedelta(seconds=10),
    )
    assert (done.events, done.actions_prepared, done.actions_dispatched, done.actions_failed) == (8, 1, 0, 0)
    assert (done.approvals_requested, done.approvals_granted, done.approvals_rejected, done.approvals_timed_out) == (
        2,
        1,
        1,
        0,
    )
    (broken,) = past.executions(execution_id="broken")
    assert (broken.error_code, broken.error_message, broken.deployment_id) == ("E1", "text", "dep-2")


def test_open_executions_are_the_ones_without_an_end(past: EventStore) -> None:
    assert [(each.execution_id, each.status) for each in past.open_executions()] == [
        ("new", "triggered"),
        ("busy", "processing"),
        ("waiting", "awaiting_approval"),
    ]
    assert [each.execution_id for each in past.open_executions(deployment_id="dep-2")] == ["busy"]
    assert [each.execution_id for each in past.open_executions(limit=1)] == ["new"]
    (then,) = past.open_executions(as_of=at(15))
    assert (then.execution_id, then.age, then.idle) == ("done", timedelta(seconds=5), timedelta(seconds=1))
    assert past.open_executions(as_of=at(15), known_at=at(15)) == []


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [("a", "granted"), ("b", "rejected"), (None, "open")]),
        ({"decision": "open"}, [(None, "open")]),
        ({"decision": ["granted", "rejected"]}, [("a", "granted"), ("b", "rejected")]),
        ({"execution_id": "done"}, [("a", "granted"), ("b", "rejected")]),
        ({"execution_id": "done", "decision": "granted"}, [("a", "granted")]),
        ({"limit": 1}, [("a", "granted")]),
        ({"as_of": at(17.5)}, [("a", "granted"), ("b", "open")]),
        ({"as_of": at(17.5), "known_at": at(17.5)}, []),
    ],
)
def test_approvals_are_found_by_every_filter(past: EventStore, filters: dict[str, Any], expected: list[Any]) -> None:
    assert [(each.approval_id, each.decision) for each in past.approvals(**filters)] == expected


def test_an_approval_says_who_decided_what_and_what_was_not_done(past: EventStore) -> None:
    granted, rejected, opened = past.approvals()
    assert (granted.decided_by, granted.delay, granted.risk_level, granted.approval_mode, granted.actions_withheld) == (
        "founder",
        timedelta(seconds=5),
        "R3",
        "REQUIRED",
        None,
    )
    assert (rejected.decided_by, rejected.reason, rejected.actions_withheld) == ("operator", "no", ["x"])
    assert rejected.decision_recorded_by == SERVICE
    assert (opened.decided_at, opened.decided_by, opened.delay, opened.decision_event_id) == (None, None, None, None)


def test_deployments_and_versions_are_known_now_and_then(past: EventStore) -> None:
    assert [(each.deployment_id, each.status, each.skill_version) for each in past.deployments()] == [
        ("dep-1", "active", "2.0"),
        ("dep-2", "undeclared", "1.0"),
    ]
    assert [(each.deployment_id, each.status) for each in past.deployments(as_of=at(0.5))] == [
        ("dep-1", "pending_configuration")
    ]
    assert past.deployments(as_of=at(0.5), known_at=at(0.5)) == []
    versions = past.deployment_versions("dep-1")
    assert [(each.skill_version, each.began_at, each.ended_at, each.is_current) for each in versions] == [
        ("1.0", at(0), at(70), False),
        ("2.0", at(70), None, True),
    ]
    assert [each.deployment_id for each in past.deployment_versions()] == ["dep-1", "dep-1", "dep-2"]
    assert [each.is_current for each in past.deployment_versions("dep-1", as_of=at(69))] == [True]
    assert past.deployment_versions(as_of=at(69), known_at=at(69)) == []


def test_known_at_without_a_moment_is_refused(past: EventStore) -> None:
    for call in (past.executions, past.open_executions, past.approvals, past.deployments, past.deployment_versions):
        with pytest.raises(MalformedEventError) as caught:
            call(known_at=NOON)
        assert caught.value.rule == "moment_present"


def test_known_at_shows_what_had_been_recorded_by_then(dsn: str, customer: str) -> None:
    with EventStore(dsn, customer_id=customer) as store:
        store.emit(new("execution_triggered", "late", timestamp=NOON))
        receipt = store.emit(new("execution_failed", "late", timestamp=NOON))
        before = receipt.recorded_at - timedelta(microseconds=1)
        assert [each.status for each in store.executions(as_of=NOON, known_at=before)] == ["triggered"]
        assert [each.status for each in store.executions(as_of=NOON, known_at=receipt.recorded_at)] == ["failed"]
        assert store.executions(as_of=NOON - timedelta(seconds=1)) == []


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, 19),
        ({"event_type": "execution_triggered"}, 5),
        ({"event_type": ["execution_completed", "execution_failed"]}, 2),
        ({"event_type": ("version_upgraded",)}, 1),
        ({"event_type": []}, 0),
        ({"deployment_id": "dep-2"}, 4),
        ({"execution_id": "done"}, 8),
        ({"correlation_id": "corr-1"}, 1),
        ({"since": at(60)}, 4),
        ({"until": at(1)}, 1),
        ({"since": at(10), "until": at(13), "execution_id": "done", "deployment_id": "dep-1"}, 3),
        ({"since": at(100)}, 0),
    ],
)
@pytest.mark.parametrize("page_size", [1, 3, 1000])
def test_events_are_found_by_every_filter_whatever_the_page(
    past: EventStore, filters: dict[str, Any], expected: int, page_size: int
) -> None:
    found = list(past.iter_events(page_size=page_size, **filters))
    assert len(found) == expected
    keys = [(each.timestamp, each.event_id) for each in found]
    assert keys == sorted(set(keys))


def test_equal_timestamps_across_page_borders_are_neither_lost_nor_repeated(dsn: str, customer: str) -> None:
    with EventStore(dsn, customer_id=customer) as store:
        store.emit_batch([new(event_id=uuid4(), timestamp=at(place // 10)) for place in range(40)])
        everything = list(store.iter_events())
        assert len(everything) == 40
        for page_size in (1, 3, 7, 10, 13, 39, 40, 41):
            assert list(store.iter_events(page_size=page_size)) == everything
        for cut in (1, 5, 10, 25, 40):
            last = everything[cut - 1]
            rest = list(store.iter_events(after=(last.timestamp, last.event_id), page_size=4))
            assert rest == everything[cut:]


def test_a_page_size_below_one_is_refused(past: EventStore) -> None:
    for page_size in (0, -1):
        with pytest.raises((ValueError, MalformedEventError)):
            list(past.iter_events(page_size=page_size))


def test_no_transaction_stays_open_between_pages(dsn: str, history: str) -> None:
    with psycopg.connect(dsn) as connection:
        events = EventStore(connection, customer_id=history).iter_events(page_size=2)
        next(events)
        assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
        events.close()  # type: ignore[attr-defined]


def test_reads_and_writes_of_a_customer_that_was_not_granted_are_refused(ledger_: Ledger, history: str) -> None:
    login = ledger_.login(f"login-{uuid4()}", "aximo_writer", customers=("its-own", "another-of-its-own"))
    with EventStore(ledger_.dsn(login)) as store:
        calls: tuple[Callable[..., Any], ...] = (
            partial(store.trace, "done"),
            *(
                partial(call, **moment)
                for call in (
                    store.executions,
                    store.open_executions,
                    store.approvals,
                    store.deployments,
                    store.deployment_versions,
                )
                for moment in ({}, {"as_of": at(1000)})
            ),
            store.iter_events,
        )
        for call in calls:
            assert list(call(customer_id="its-own")) == []
            for named in (history, "", None):
                with pytest.raises(CustomerError):
                    list(call(customer_id=named))
        for named in (history, None):
            with pytest.raises(CustomerError):
                store.emit(new(customer_id=named))
            with pytest.raises(CustomerError):
                store.emit_batch([new(customer_id=named)])
    with EventStore(ledger_.dsn(SERVICE), customer_id=history) as store:
        assert len(list(store.iter_events())) == 19


def test_a_customer_named_in_the_call_goes_before_the_stores(dsn: str, history: str, customer: str) -> None:
    with EventStore(dsn, customer_id=customer) as store:
        assert store.executions() == []
        assert len(store.executions(customer_id=history)) == 5
        assert len(list(store.iter_events(customer_id=history))) == 19
        assert len(store.trace("done", customer_id=history)) == 8


def test_stale_executions_are_closed_once(store: EventStore) -> None:
    store.emit(new("execution_triggered", "old", timestamp=NOON))
    store.emit(new("execution_triggered", "young"))
    ((execution_id, event_id, idle),) = store.close_stale_executions(timedelta(days=1))
    assert (execution_id, idle > timedelta(days=1)) == ("old", True)
    assert store.close_stale_executions(timedelta(days=1)) == []
    (closed,) = store.executions(status="failed")
    assert (closed.execution_id, closed.error_code) == ("old", "orphaned")
    assert store.trace("old")[-1].event_id == event_id
    for wrong in (timedelta(seconds=-1), "2 hours"):
        with pytest.raises(MalformedEventError) as caught:
            store.close_stale_executions(wrong)  # type: ignore[arg-type]
        assert caught.value.rule == "older_than_not_negative"


# Versions


def test_a_database_without_the_schema_is_a_version_error(servers: Callable[[str], EmbeddedServer]) -> None:
    server = servers(next(iter(BINARIES)))
    name = "store_without_schema"
    make_database(server, name, None)
    try:
        with EventStore(server.dsn("dba", name)) as store, pytest.raises(SchemaVersionError) as caught:
            store.emit(new(customer_id="c"))
        assert (caught.value.rule, caught.value.sqlstate) == ("schema_installed", "ZXVER")
        with psycopg.connect(server.dsn("dba", name)) as connection:
            connection.execute("select 1")
            with pytest.raises(SchemaVersionError):
                EventStore(connection).executions()
    finally:
        with psycopg.connect(server.dsn(), autocommit=True) as root:
            root.execute(sql.SQL("drop database {}").format(sql.Identifier(name)))


@pytest.mark.parametrize(
    ("function", "value", "rule"),
    [("schema_version", 0, "schema_recent_enough"), ("oldest_client", 2, "package_recent_enough")],
)
def test_a_schema_that_does_not_fit_the_package_is_refused_before_anything_is_written(
    one_ledger: Ledger, function: str, value: int, rule: str
) -> None:
    one_ledger.login("service", "aximo_writer", customers=("c1",))
    with one_ledger.superuser() as root:
        root.execute(
            f"create or replace function aximo.{function}() returns integer language sql immutable as 'select {value}'"
        )
        with EventStore(one_ledger.dsn("service")) as store:
            for call in (lambda: store.emit(new()), store.executions, lambda: store.emit_batch([new()])):
                with pytest.raises(SchemaVersionError) as caught:
                    call()
                assert caught.value.rule == rule
                assert caught.value.hint
        assert root.execute("select count(*) from aximo_private.events").fetchone() == (0,)


def test_the_version_is_looked_up_once(one_ledger: Ledger) -> None:
    one_ledger.login("service", "aximo_writer", customers=("c1",))
    with one_ledger.superuser() as root, EventStore(one_ledger.dsn("service"), customer_id="c1") as store:
        derived = store.for_customer("c1")
        store.emit(new())
        derived.emit(new())
        root.execute(
            "create or replace function aximo.oldest_client() returns integer language sql immutable as 'select 99'"
        )
        store.emit(new())
        derived.emit(new())
        assert len(list(store.iter_events())) == 4
    with EventStore(one_ledger.dsn("service")) as store, pytest.raises(SchemaVersionError):
        store.emit(new())


# Executions as contexts


def types(store: EventStore, execution_id: str) -> list[str]:
    return [step.event_type for step in store.trace(execution_id)]


def test_leaving_the_block_completes_the_execution(store: EventStore) -> None:
    with store.execution(
        **COMMON, risk_level="R2", approval_mode="AUTO", correlation_id="corr", channel_type="web", payload={"a": 1}
    ) as execution:
        assert types(store, execution.execution_id) == ["execution_triggered"]
        assert not execution.ended
    assert execution.ended
    steps = store.trace(execution.execution_id)
    assert [step.event_type for step in steps] == ["execution_triggered", "execution_processing", "execution_completed"]
    assert {(step.risk_level, step.approval_mode, step.correlation_id, step.channel_type) for step in steps} == {
        ("R2", "AUTO", "corr", "web")
    }
    assert steps[0].payload == {"a": 1}
    assert UUID(execution.execution_id).version == 7
    assert steps[-1].latency_ms is not None
    elapsed = (steps[-1].recorded_at - steps[0].recorded_at).total_seconds() * 1000
    assert 0 <= steps[-1].latency_ms <= elapsed + 1000


class OwnCodeError(Exception):
    error_code = "E-42"


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ValueError("wrong"), "ValueError", "wrong"),
        (OwnCodeError("mine"), "E-42", "mine"),
        (psycopg.errors.UniqueViolation("twice"), "23505", "twice"),
        (KeyboardInterrupt(), "KeyboardInterrupt", "KeyboardInterrupt"),
        (SystemExit(3), "SystemExit", "3"),
        (ValueError("nul \x00 and lone \ud800"), "ValueError", "nul \\0 and lone \\ud800"),
        (ValueError("x" * 100_000), "ValueError", "x" * 4000),
        (ValueError(), "ValueError", "ValueError"),
    ],
)
def test_an_exception_fails_the_execution_and_goes_on(
    store: EventStore, error: BaseException, code: str, text: str
) -> None:
    with pytest.raises(type(error)) as caught, store.execution(**COMMON) as execution:
        raise error
    assert caught.value is error
    assert getattr(error, "__notes__", []) == []
    *_, last = store.trace(execution.execution_id)
    assert (last.event_type, last.error_code, last.payload["error"]) == ("execution_failed", code, text)
    assert last.payload["exception"] == type(error).__qualname__
    assert last.latency_ms is not None


class UnstorableCodeError(Exception):
    error_code = "nul \x00 and lone \ud800"


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("error", [UnstorableCodeError("text"), UnprintableError()])
def test_an_exception_that_cannot_be_told_ends_the_execution_all_the_same(store: EventStore, error: Exception) -> None:
    with pytest.raises(type(error)), store.execution(**COMMON) as execution:
        raise error
    assert types(store, execution.execution_id)[-1] == "execution_failed"


def test_processing_is_emitted_once_before_what_needs_it(store: EventStore) -> None:
    with store.execution(**COMMON) as execution:
        execution.action_prepared("call")
        execution.action_dispatched("call")
    assert types(store, execution.execution_id) == [
        "execution_triggered",
        "execution_processing",
        "action_prepared",
        "action_dispatched",
        "execution_completed",
    ]
    with store.execution(**COMMON) as execution:
        execution.processing({"model": "m"}, actor="external_user")
        execution.action_prepared("call", {"action_id": "1"})
        execution.action_failed("call", {"action_id": "1"}, error_code="BUSY")
    steps = store.trace(execution.execution_id)
    assert [step.event_type for step in steps].count("execution_processing") == 1
    assert (steps[1].payload, steps[1].actor) == ({"model": "m"}, "external_user")
    assert (steps[3].error_code, steps[3].payload) == ("BUSY", {"action_id": "1", "action_type": "call"})


def test_a_failure_before_processing_needs_none(store: EventStore) -> None:
    with pytest.raises(ValueError, match="early"), store.execution(**COMMON) as execution:
        raise ValueError("early")
    assert types(store, execution.execution_id) == ["execution_triggered", "execution_failed"]


def test_an_action_is_dispatched_on_exit_and_failed_on_an_exception(store: EventStore) -> None:
    with store.execution(**COMMON) as execution:
        with execution.action("call", {"to": "x"}):
            assert types(store, execution.execution_id)[-1] == "action_prepared"
        with pytest.raises(OwnCodeError), execution.action("send"):
            raise OwnCodeError("busy")
    steps = store.trace(execution.execution_id)
    assert [step.event_type for step in steps][2:] == [
        "action_prepared",
        "action_dispatched",
        "action_prepared",
        "action_failed",
        "execution_completed",
    ]
    assert steps[3].payload == {"to": "x", "action_type": "call"}
    assert steps[3].latency_ms is not None
    assert (steps[5].error_code, steps[5].payload["error"], steps[5].payload["action_type"]) == ("E-42", "busy", "send")


def test_an_exception_in_an_action_fails_the_action_and_the_execution(store: EventStore) -> None:
    with pytest.raises(KeyboardInterrupt), store.execution(**COMMON) as execution, execution.action("call"):
        raise KeyboardInterrupt
    assert types(store, execution.execution_id)[-2:] == ["action_failed", "execution_failed"]


def test_approvals_are_asked_for_and_answered(store: EventStore) -> None:
    with store.execution(**COMMON) as execution:
        execution.approval_requested("one", {"why": "R3"}, risk_level="R3")
        execution.approval_requested("two")
        execution.approval_requested("three")
        with pytest.raises(SequenceError) as caught:
            execution.action_dispatched("call", {"approval_id": "one"})
        assert caught.value.rule == "dispatch_waits_for_approval"
        execution.approval_granted("one", actor="founder")
        execution.approval_rejected("two", {"reason": "no"})
        execution.approval_timeout("three")
        with pytest.raises(SequenceError) as caught:
            execution.approval_granted("one")
        assert caught.value.rule == "answers_open_approval"
    decisions = {each.approval_id: (each.decision, each.decided_by) for each in store.approvals()}
    assert decisions == {
        "one": ("granted", "founder"),
        "two": ("rejected", "operator"),
        "three": ("timeout", "system"),
    }
    with store.execution(**COMMON) as execution:
        execution.approval_requested()
        execution.approval_granted()
    assert [each.status for each in store.executions()] == ["completed", "completed"]


@pytest.mark.parametrize(
    ("left_open", "rule"),
    [("approval", "completes_without_open_approval"), ("action", "completes_with_actions_resolved")],
)
def test_an_execution_with_something_left_open_fails_as_incomplete_and_says_why(
    store: EventStore, left_open: str, rule: str
) -> None:
    with pytest.raises(SequenceError) as caught, store.execution(**COMMON) as execution:
        if left_open == "approval":
            execution.approval_requested("a")
        else:
            execution.action_prepared("call")
    assert caught.value.rule == rule
    assert execution.ended
    *_, last = store.trace(execution.execution_id)
    assert (last.event_type, last.error_code, last.payload["rule"]) == ("execution_failed", "incomplete", rule)


def test_an_incomplete_execution_in_the_callers_transaction_raises_the_sequence_error(dsn: str, customer: str) -> None:
    with psycopg.connect(dsn) as connection:
        store = EventStore(connection, customer_id=customer)
        with pytest.raises(SequenceError) as caught, connection.transaction(), store.execution(**COMMON) as execution:
            execution.action_prepared("call")
        assert caught.value.rule == "completes_with_actions_resolved"
    assert stored(dsn, customer) == []


@pytest.mark.parametrize("end", ["complete", "fail", "emit completed", "emit failed"])
def test_an_execution_that_was_ended_in_the_block_is_not_ended_again(store: EventStore, end: str) -> None:
    with store.execution(**COMMON) as execution:
        if end == "complete":
            execution.complete({"n": 1})
        elif end == "fail":
            execution.fail("E1", {"error": "x"})
        elif end == "emit completed":
            execution.emit("execution_processing")
            execution.emit("execution_completed")
        else:
            execution.emit("execution_failed", error_code="E1")
    assert execution.ended
    ends = [each for each in types(store, execution.execution_id) if each.endswith(("_completed", "_failed"))]
    assert len(ends) == 1


def test_an_exception_after_the_end_goes_on_and_emits_nothing(store: EventStore) -> None:
    with pytest.raises(ValueError, match="late"), store.execution(**COMMON) as execution:
        execution.complete()
        raise ValueError("late")
    assert types(store, execution.execution_id)[-1] == "execution_completed"


def test_an_execution_names_its_customer_id_and_execution_id(dsn: str, customer: str) -> None:
    with EventStore(dsn) as store:
        with store.execution(**COMMON, customer_id=customer, execution_id="mine", actor="founder") as execution:
            execution.emit("sla_breached", {"limit": 1}, actor="operator")
        assert execution.execution_id == "mine"
        steps = store.trace("mine", customer_id=customer)
    assert [step.actor for step in steps] == ["founder", "operator", "founder", "founder"]


def test_an_execution_that_was_triggered_before_is_refused_on_entry(store: EventStore) -> None:
    life(store, "taken")
    with pytest.raises(SequenceError), store.execution(**COMMON, execution_id="taken"):
        pytest.fail("entered")
    assert len(store.trace("taken")) == 3


def test_a_failure_that_cannot_be_written_is_noted_and_the_original_goes_on(dsn: str, customer: str) -> None:
    with psycopg.connect(dsn) as connection:  # the caller's transaction was aborted
        store = EventStore(connection, customer_id=customer)
        with pytest.raises(psycopg.errors.DivisionByZero) as caught, connection.transaction():
            with store.execution(**COMMON), store.execution(**COMMON) as inner, inner.action("call"):
                connection.execute("select 1/0")
        assert len(caught.value.__notes__) == 3
    connection = psycopg.connect(dsn, autocommit=True)
    store = EventStore(connection, customer_id=customer)
    with pytest.raises(ValueError, match="first") as lost, store.execution(**COMMON):
        connection.close()
        raise ValueError("first")
    assert len(lost.value.__notes__) == 1


# A customer that was forgotten


_WRITES = {"emit", "emit_batch", "emit_many", "execution", "for_customer", "observe", "link"}
_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "trace": ("x",),
    "metrics": ("execution_health",),
    "consume": ("name",),
    "runs.consume": ("name",),
    "runs.get": ("x",),
    "runs.events": ("x",),
    "runs.iter_events": ("x",),
    "close_stale_executions": (timedelta(days=1),),
}


def readers() -> list[str]:
    """Every method that takes a customer and does not write, of a store and of its runs."""
    return [
        where + name
        for where, cls in (("", EventStore), ("runs.", Runs))
        for name, method in inspect.getmembers(cls, inspect.isfunction)
        if not name.startswith("_") and name not in _WRITES and "customer_id" in inspect.signature(method).parameters
    ]


@pytest.mark.parametrize(("granted", "named"), [(("a", "b"), "'a', 'b'"), ((), "none"), (("*",), "may name")])
def test_a_forgotten_customer_is_no_empty_answer(ledger_: Ledger, granted: tuple[str, ...], named: str) -> None:
    login = ledger_.login(f"forgetful-{uuid4()}", "aximo_operator", "aximo_bi", customers=granted)
    assert len(readers()) >= 20
    with EventStore(ledger_.dsn(SERVICE), customer_id="somebody") as store:
        store.emit(new())
    with EventStore(ledger_.dsn(login)) as store:
        for name in readers():
            with pytest.raises(CustomerError) as refused:
                found = attrgetter(name)(store)(*_ARGUMENTS.get(name, ()))
                if isinstance(found, AbstractContextManager):
                    with found:
                        pytest.fail(name)
                list(found)
            assert (refused.value.sqlstate, refused.value.rule) == ("ZXCUS", "customer_granted"), name
            if not name.endswith(("consume", "close_stale_executions")):  # which the database itself refuses
                assert named in str(refused.value.detail), name


def test_a_customer_without_events_is_an_empty_answer(ledger_: Ledger, customer: str) -> None:
    login = ledger_.login(f"new-{uuid4()}", "aximo_operator", "aximo_bi", customers=(customer, "another"))
    with EventStore(ledger_.dsn(login), customer_id=customer) as store:
        assert (store.executions(), store.read_log(), store.log_size(), store.runs.list(), store.cursors()) == (
            [], [], 0, [], [],
        )  # fmt: skip
        assert (
            store.metrics("execution_health") == list(store.iter_events()) == list(store.subscribe(follow=False)) == []
        )
