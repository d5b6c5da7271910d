"""Two workers at once: real connections, real waits, no luck."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_OID, uuid4, uuid5

import psycopg
import pytest
from psycopg import IsolationLevel
from psycopg.types.json import Jsonb

from tests.conftest import Ledger
from tests.events import emit, event

Connection = psycopg.Connection[Any]

OLD = datetime.now(UTC) - timedelta(hours=5)
LEVELS = [IsolationLevel.READ_COMMITTED, IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for the statements that have to wait."""
    with ThreadPoolExecutor(8) as executor:
        yield executor


class Race:
    """Two workers of one customer, and a look at who waits."""

    def __init__(self, ledger: Ledger, level: IsolationLevel | None = None) -> None:
        name = ledger.login("worker", "aximo_writer", "aximo_operator", customers=("*",))
        self.first = ledger.connect(name, autocommit=False)
        self.second = ledger.connect(name, autocommit=False)
        if level is not None:
            self.first.isolation_level = self.second.isolation_level = level
        self.free = ledger.connect(name)
        self.observer = ledger.superuser()

    def prepare(self, *kinds: str, customer: str = "c1", **fields: Any) -> None:
        for kind in kinds:
            emit(self.free, kind, customer_id=customer, **fields)

    def wait_until_blocked(self, connection: Connection, by: Connection | None = None) -> None:
        """Returns when the connection's statement waits for a lock, of a session's if one is given."""
        deadline = time.monotonic() + 60
        query = "select pg_blocking_pids(pid) from pg_stat_activity where pid = %s and wait_event_type = 'Lock'"
        while time.monotonic() < deadline:
            row = self.observer.execute(query, (connection.info.backend_pid,)).fetchone()
            if row is not None and (by is None or by.info.backend_pid in row[0]):
                return
        pytest.fail("it never waited")

    def types(self, customer: str = "c1") -> list[str]:
        with self.free.transaction():
            self.free.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
            return [
                row[0]
                for row in self.free.execute("select event_type from aximo.events order by recorded_at").fetchall()
            ]


Write = Callable[[Connection], Any]


def one(kind: str, **fields: Any) -> Write:
    """Emits one event."""
    return lambda connection: emit(connection, kind, customer_id="c1", **fields)


def batch(kind: str, **fields: Any) -> Write:
    """Emits one event as a batch."""
    query = "select * from aximo.emit_events(%s, 'c1')"
    return lambda connection: connection.execute(query, (Jsonb([event(kind, **fields)]),)).fetchone()


def close_stale(connection: Connection) -> list[Any]:
    connection.execute("select set_config('aximo.customer_id', 'c1', true)")
    return connection.execute("select * from aximo.close_stale_executions('1 hour')").fetchall()


def run(race: Race, pool: ThreadPoolExecutor, first: Write, second: Write, *, commit: bool) -> Future[Any]:
    """The first writes, the second waits for it, the first commits or rolls back; returns what the second then got."""
    if race.second.isolation_level is not None:
        # Its snapshot is older than the first one's commit.
        race.second.execute("select 1 from aximo.event_types")
    first(race.first)
    waiting = pool.submit(second, race.second)
    race.wait_until_blocked(race.second, by=race.first)
    if commit:
        race.first.commit()
    else:
        race.first.rollback()
    return waiting


def assert_lost(outcome: Future[Any], level: IsolationLevel | None, rule: str) -> None:
    with pytest.raises(psycopg.Error) as refusal:
        outcome.result(30)
    stricter = level in (IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE)
    if stricter and refusal.value.sqlstate == "40001":
        return  # what was there first is not visible to it: it has to try again, and then is told why
    assert refusal.value.sqlstate == "ZXSEQ"
    assert refusal.value.diag.constraint_name == rule


WAYS = {"one": one, "batch": batch}
BOTH_ORDERS = [("execution_completed", "execution_failed"), ("execution_failed", "execution_completed")]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("first", "second"), [*BOTH_ORDERS, ("execution_completed", "execution_completed")])
def test_of_two_ends_the_first_to_commit_wins(
    each_ledger: Ledger, pool: ThreadPoolExecutor, first: str, second: str, way: str
) -> None:
    race = Race(each_ledger)
    race.prepare("execution_triggered", "execution_processing")
    outcome = run(race, pool, WAYS[way](first), WAYS[way](second), commit=True)
    assert_lost(outcome, None, "ends_once")
    race.second.rollback()
    assert race.types() == ["execution_triggered", "execution_processing", first]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("first", "second"), BOTH_ORDERS)
def test_of_two_ends_the_second_wins_if_the_first_is_rolled_back(
    each_ledger: Ledger, pool: ThreadPoolExecutor, first: str, second: str, way: str
) -> None:
    race = Race(each_ledger)
    race.prepare("execution_triggered", "execution_processing")
    outcome = run(race, pool, WAYS[way](first), WAYS[way](second), commit=False)
    assert outcome.result(30)[2] is False
    race.second.commit()
    assert race.types() == ["execution_triggered", "execution_processing", second]


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
@pytest.mark.parametrize("commit", [True, False], ids=["committed", "rolled_back"])
def test_two_ends_at_every_isolation_level(
    each_ledger: Ledger, pool: ThreadPoolExecutor, level: IsolationLevel, commit: bool
) -> None:
    race = Race(each_ledger, level)
    race.prepare("execution_triggered", "execution_processing")
    outcome = run(race, pool, one("execution_completed"), one("execution_failed"), commit=commit)
    if commit:
        assert_lost(outcome, level, "ends_once")
        race.second.rollback()
        # Tried again in a new transaction, it is told why.
        with pytest.raises(psycopg.Error) as refusal:
            emit(race.second, "execution_failed", customer_id="c1")
        assert (refusal.value.sqlstate, refusal.value.diag.constraint_name) == ("ZXSEQ", "ends_once")
        race.second.rollback()
    else:
        outcome.result(30)
        race.second.commit()
    end = "execution_completed" if commit else "execution_failed"
    assert race.types() == ["execution_triggered", "execution_processing", end]


@pytest.mark.parametrize("commit", [True, False], ids=["committed", "rolled_back"])
@pytest.mark.parametrize("approval", [{}, {"approval_id": "a"}], ids=["unnamed", "named"])
def test_of_two_answers_one_wins(
    each_ledger: Ledger, pool: ThreadPoolExecutor, approval: dict[str, Any], commit: bool
) -> None:
    race = Race(each_ledger)
    race.prepare("execution_triggered", "execution_processing")
    race.prepare("approval_requested", payload=approval)
    grant, reject = one("approval_granted", payload=approval), batch("approval_rejected", payload=approval)
    outcome = run(race, pool, grant, reject, commit=commit)
    if commit:
        assert_lost(outcome, None, "answers_open_approval")
        race.second.rollback()
    else:
        outcome.result(30)
        race.second.commit()
    assert race.types()[-1] == ("approval_granted" if commit else "approval_rejected")
    assert len(race.types()) == 4


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_two_answers_at_every_isolation_level(
    one_ledger: Ledger, pool: ThreadPoolExecutor, level: IsolationLevel
) -> None:
    race = Race(one_ledger, level)
    race.prepare("execution_triggered", "execution_processing", "approval_requested")
    outcome = run(race, pool, one("approval_rejected"), one("approval_granted"), commit=True)
    assert_lost(outcome, level, "answers_open_approval")
    race.second.rollback()
    assert race.types()[3:] == ["approval_rejected"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("commit", [True, False], ids=["committed", "rolled_back"])
@pytest.mark.parametrize("kind", ["execution_triggered", "execution_processing", "execution_failed", "sla_breached"])
def test_one_event_sent_twice_at_once_is_written_once(
    one_ledger: Ledger, pool: ThreadPoolExecutor, kind: str, commit: bool, way: str
) -> None:
    race = Race(one_ledger)
    if kind != "execution_triggered":
        race.prepare("execution_triggered")
    write = WAYS[way](kind, event_id=str(uuid4()))
    receipts: list[Any] = []

    def first(connection: Connection) -> None:
        receipts.append(write(connection))

    outcome = run(race, pool, first, write, commit=commit)
    event_id, recorded_at, duplicate = outcome.result(30)
    assert event_id == receipts[0][0]
    assert duplicate is commit
    assert (recorded_at == receipts[0][1]) is commit
    race.second.commit()
    assert race.types().count(kind) == 1


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_one_event_sent_twice_at_every_isolation_level(
    each_ledger: Ledger, pool: ThreadPoolExecutor, level: IsolationLevel
) -> None:
    race = Race(each_ledger, level)
    write = one("execution_triggered", event_id=str(uuid4()))
    outcome = run(race, pool, write, write, commit=True)
    try:
        assert outcome.result(30)[2] is True
    except psycopg.errors.SerializationFailure:
        assert level is not IsolationLevel.READ_COMMITTED
    race.second.rollback()
    assert write(race.second)[2] is True
    race.second.rollback()
    assert race.types() == ["execution_triggered"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("commit", [True, False], ids=["committed", "rolled_back"])
def test_of_two_triggers_of_one_execution_one_wins(
    each_ledger: Ledger, pool: ThreadPoolExecutor, way: str, commit: bool
) -> None:
    race = Race(each_ledger)
    outcome = run(race, pool, one("execution_triggered"), WAYS[way]("execution_triggered"), commit=commit)
    if commit:
        assert_lost(outcome, None, "triggered_first")
        race.second.rollback()
    else:
        outcome.result(30)
        race.second.commit()
    assert race.types() == ["execution_triggered"]


@pytest.mark.parametrize("commit", [True, False], ids=["committed", "rolled_back"])
def test_an_end_goes_before_closing_what_is_stale(each_ledger: Ledger, pool: ThreadPoolExecutor, commit: bool) -> None:
    race = Race(each_ledger)
    race.prepare("execution_triggered", "execution_processing", timestamp=OLD)
    outcome = run(race, pool, one("execution_completed", timestamp=OLD), close_stale, commit=commit)
    closed = outcome.result(30)
    race.second.commit()
    assert [row[0] for row in closed] == ([] if commit else ["exec-1"])
    assert race.types()[2:] == ["execution_completed" if commit else "execution_failed"]


@pytest.mark.parametrize("commit", [True, False], ids=["committed", "rolled_back"])
def test_an_end_that_comes_while_it_is_closed_as_stale_waits(
    each_ledger: Ledger, pool: ThreadPoolExecutor, commit: bool
) -> None:
    race = Race(each_ledger)
    race.prepare("execution_triggered", "execution_processing", timestamp=OLD)
    outcome = run(race, pool, close_stale, one("execution_completed", timestamp=OLD), commit=commit)
    if commit:
        assert_lost(outcome, None, "ends_once")
        race.second.rollback()
    else:
        outcome.result(30)
        race.second.commit()
    assert race.types()[2:] == ["execution_failed" if commit else "execution_completed"]


def test_two_that_close_what_is_stale_close_it_once(each_ledger: Ledger, pool: ThreadPoolExecutor) -> None:
    race = Race(each_ledger)
    for number in range(5):
        race.prepare("execution_triggered", execution_id=f"e{number}", timestamp=OLD)
    closed: list[Any] = []
    outcome = run(race, pool, lambda connection: closed.extend(close_stale(connection)), close_stale, commit=True)
    assert outcome.result(30) == []
    race.second.commit()
    assert len(closed) == 5
    assert race.types().count("execution_failed") == 5


@pytest.mark.parametrize("commit", [True, False], ids=["committed", "rolled_back"])
def test_a_prepared_transaction_holds_an_end_open(each_ledger: Ledger, pool: ThreadPoolExecutor, commit: bool) -> None:
    race = Race(each_ledger)
    race.prepare("execution_triggered", "execution_processing")
    prepared = race.first.xid(1, "end", "of-the-race")
    race.first.tpc_begin(prepared)
    emit(race.first, "execution_completed", customer_id="c1")
    race.first.tpc_prepare()
    waiting = pool.submit(one("execution_failed"), race.second)
    race.wait_until_blocked(race.second)
    # The end is not there yet for anybody else.
    assert race.types() == ["execution_triggered", "execution_processing"]
    if commit:
        race.first.tpc_commit()
        assert_lost(waiting, None, "ends_once")
        race.second.rollback()
    else:
        race.first.tpc_rollback()
        waiting.result(30)
        race.second.commit()
    assert race.types()[2:] == ["execution_completed" if commit else "execution_failed"]


def everything(connection: Connection, customer: str) -> None:
    """Every way to write, of one customer, under ids that another customer uses as well."""
    for kind, payload in (
        ("execution_triggered", {}),
        ("execution_processing", {}),
        ("approval_requested", {"approval_id": "a"}),
        ("approval_granted", {"approval_id": "a"}),
        ("action_prepared", {"action_id": "x"}),
        ("action_dispatched", {"action_id": "x"}),
        ("execution_completed", {}),
        ("sla_breached", {}),
    ):
        emit(
            connection,
            kind,
            customer_id=customer,
            payload=payload,
            event_id=str(uuid5(NAMESPACE_OID, kind)),
            timestamp=OLD,
        )
    events = [event(kind, "batch") for kind in ("execution_triggered", "execution_processing", "execution_completed")]
    connection.execute("select * from aximo.emit_events(%s, %s)", (Jsonb(events), customer)).fetchall()
    emit(connection, "execution_triggered", "stale", customer_id=customer, timestamp=OLD)
    connection.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
    assert connection.execute("select * from aximo.close_stale_executions('1 hour')").fetchall()


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_customers_never_wait_for_each_other(each_ledger: Ledger, level: IsolationLevel) -> None:
    race = Race(each_ledger, level)
    race.second.execute("set lock_timeout = '1s'")
    race.second.commit()
    everything(race.first, "c1")
    # The first one's transaction is open all the while.
    everything(race.second, "c2")
    race.second.commit()
    race.first.commit()
    assert race.types("c1") == race.types("c2")
    assert len(race.types("c1")) > 10


def test_executions_of_one_customer_do_not_wait_for_each_other(each_ledger: Ledger) -> None:
    race = Race(each_ledger)
    race.second.execute("set lock_timeout = '1s'")
    race.second.commit()
    for execution, connection in (("e1", race.first), ("e2", race.second)):
        for kind in ("execution_triggered", "execution_processing", "execution_completed"):
            emit(connection, kind, execution, customer_id="c1")
    race.second.commit()
    race.first.commit()
    assert len(race.types()) == 6


def test_events_inside_one_execution_do_not_wait_for_each_other(each_ledger: Ledger) -> None:
    race = Race(each_ledger)
    race.prepare("execution_triggered", "execution_processing")
    race.second.execute("set lock_timeout = '1s'")
    race.second.commit()
    for action, connection in (("x", race.first), ("y", race.second)):
        emit(connection, "action_prepared", customer_id="c1", payload={"action_id": action})
        emit(connection, "action_dispatched", customer_id="c1", payload={"action_id": action})
    race.second.commit()
    race.first.commit()
    assert len(race.types()) == 6


def storm(ledger: Ledger, pool: ThreadPoolExecutor, rounds: int) -> None:
    """Many workers end the same executions, answer the same approvals and send the same events, all at once."""
    name = ledger.login("worker", "aximo_writer", customers=("*",))
    workers = [ledger.connect(name) for _ in range(6)]
    ids = [(f"e{number}", str(uuid4())) for number in range(rounds)]

    def work(number: int) -> list[str]:
        won = []
        ends = ("execution_completed", "execution_failed")
        for execution, event_id in ids:
            emit(workers[number], "execution_triggered", execution, customer_id="c1", event_id=event_id)
            try:
                emit(workers[number], "execution_processing", execution, customer_id="c1")
                emit(workers[number], ends[number % 2], execution, customer_id="c1")
                won.append(execution)
            except psycopg.Error as refusal:
                if refusal.sqlstate != "ZXSEQ":
                    raise
        return won

    won = [execution for result in pool.map(work, range(len(workers))) for execution in result]
    assert sorted(won) == sorted(execution for execution, _ in ids)
    with workers[0].transaction():
        workers[0].execute("select set_config('aximo.customer_id', 'c1', true)")
        query = """
            select count(*) filter (where event_type = 'execution_triggered'),
                count(*) filter (where event_type in ('execution_completed', 'execution_failed')),
                count(distinct execution_id)
            from aximo.events
        """
        assert workers[0].execute(query).fetchone() == (rounds, rounds, rounds)


def test_many_workers_end_every_execution_exactly_once(each_ledger: Ledger, pool: ThreadPoolExecutor) -> None:
    storm(each_ledger, pool, 25)


@pytest.mark.heavy
def test_many_workers_end_very_many_executions_exactly_once(each_ledger: Ledger, pool: ThreadPoolExecutor) -> None:
    storm(each_ledger, pool, 1500)
