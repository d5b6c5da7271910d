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
from tests.model import Model

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


@pytest.mark.parametrize("kind", ["execution_completed", "execution_processing", "sla_breached"])
def test_what_is_being_written_to_is_not_closed_as_stale(each_ledger: Ledger, kind: str) -> None:
    race = Race(each_ledger)
    race.prepare("execution_triggered", "execution_processing", timestamp=OLD)
    race.prepare("execution_triggered", execution_id="idle", timestamp=OLD)
    race.second.execute("set lock_timeout = '1s'")
    emit(race.first, kind, customer_id="c1", timestamp=OLD)
    assert [row[0] for row in close_stale(race.second)] == ["idle"]
    race.second.commit()
    race.first.rollback()
    assert [row[0] for row in close_stale(race.second)] == ["exec-1"]


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


def test_two_that_close_what_is_stale_close_it_once(each_ledger: Ledger) -> None:
    race = Race(each_ledger)
    for number in range(5):
        race.prepare("execution_triggered", execution_id=f"e{number}", timestamp=OLD)
    assert len(close_stale(race.first)) == 5
    assert close_stale(race.second) == []
    race.first.commit()
    assert close_stale(race.second) == []
    race.second.commit()
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


# Every pair of events of one execution


STATES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "begun": [("execution_triggered", {})],
    "working": [
        ("execution_triggered", {}),
        ("execution_processing", {}),
        ("action_prepared", {"action_id": "x"}),
        ("action_dispatched", {"action_id": "x"}),
    ],
    "waiting": [
        ("execution_triggered", {}),
        ("execution_processing", {}),
        ("approval_requested", {"approval_id": "q"}),
    ],
}
STEPS: list[tuple[str, dict[str, Any]]] = [
    ("execution_triggered", {}),
    ("execution_processing", {}),
    ("execution_completed", {}),
    ("execution_failed", {}),
    ("action_prepared", {"action_id": "y"}),
    ("action_dispatched", {"approval_id": "q"}),
    ("action_failed", {"action_id": "y"}),
    ("approval_requested", {"approval_id": "q"}),
    ("approval_requested", {"approval_id": "r"}),
    ("approval_granted", {"approval_id": "q"}),
    ("approval_rejected", {"approval_id": "q"}),
    ("approval_timeout", {"approval_id": "q"}),
    ("sla_breached", {}),
]
ENDINGS = ("committed", "rolled back", "prepared and committed", "prepared and rolled back")


EMIT_BATCH = "select count(*) from aximo.emit_events(%s, 'c1')"


def write(connection: Connection, way: str, item: dict[str, Any]) -> None:
    """Emits one event as such, or as a batch."""
    if way == "one":
        values = {**item, "payload": Jsonb(item["payload"])}
        arguments = ", ".join(f'"{name}" => %s' for name in values)
        connection.execute(f"select aximo.emit_event({arguments}, customer_id => 'c1')", list(values.values()))
    else:
        connection.execute(EMIT_BATCH, (Jsonb([item]),))


def verdict(work: Callable[[], object]) -> str | None:
    try:
        work()
    except psycopg.Error as refusal:
        return refusal.sqlstate
    return None


def problems(connection: Connection, customer: str = "c1") -> list[Any]:
    """Rows that are not what their events come to."""
    with connection.transaction():
        connection.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
        return connection.execute("select * from aximo.verify_executions()").fetchall()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ending", ENDINGS)
def test_of_every_two_events_of_one_execution_the_second_waits_and_is_judged_by_what_is_there_then(
    each_ledger: Ledger, pool: ThreadPoolExecutor, ending: str, way: str
) -> None:
    race = Race(each_ledger)
    pairs = [
        (state, first, second)
        for state, before in STATES.items()
        for first in STEPS
        for second in STEPS
        if fits(before, first)
        # One by one all of them, in batches those that differ most.
        and (way == "one" or ("committed" in ending and first[0] != "action_failed"))
    ]
    assert len(pairs) > 100 or way == "batch"
    for number, (state, first, second) in enumerate(pairs):
        execution = f"e{number}"
        model = Model()
        for kind, payload in STATES[state]:
            item = step(execution, kind, payload)
            write(race.free, "one", item)
            model.apply(item)
        item, other = step(execution, *first), step(execution, *second)
        if ending.startswith("prepared"):
            race.first.tpc_begin(race.first.xid(number, "pair", ending))
        write(race.first, way, item)
        if ending.startswith("prepared"):
            race.first.tpc_prepare()
        waiting = pool.submit(verdict, lambda other=other: write(race.second, way, other))
        race.wait_until_blocked(race.second)
        {
            "committed": race.first.commit,
            "rolled back": race.first.rollback,
            "prepared and committed": race.first.tpc_commit,
            "prepared and rolled back": race.first.tpc_rollback,
        }[ending]()
        if ending.endswith("committed"):
            model.apply(item)
        expected = model.accepts(other)
        assert waiting.result(30) == expected, (state, first, second)
        race.second.rollback() if expected else race.second.commit()
    assert problems(race.free) == []


def step(execution: str, kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    return event(kind, execution, payload=payload, event_id=str(uuid4()))


def fits(before: list[tuple[str, dict[str, Any]]], first: tuple[str, dict[str, Any]]) -> bool:
    model = Model()
    for kind, payload in before:
        model.apply(step("e", kind, payload))
    return model.accepts(step("e", *first)) is None


@pytest.mark.parametrize("way", WAYS)
def test_who_does_not_want_to_wait_is_told_so(each_ledger: Ledger, way: str) -> None:
    race = Race(each_ledger)
    race.prepare("execution_triggered", "execution_processing")
    race.second.execute("set lock_timeout = '50ms'")
    race.second.commit()
    emit(race.first, "action_prepared", customer_id="c1")
    for kind, payload in STEPS:
        assert (
            verdict(lambda kind=kind, payload=payload: write(race.second, way, step("exec-1", kind, payload)))
            == "55P03"
        )
        race.second.rollback()
    race.first.commit()
    write(race.second, way, step("exec-1", "execution_failed", {}))
    race.second.commit()
    assert problems(race.free) == []


def test_two_that_write_to_two_executions_in_opposite_order_are_told_of_the_deadlock(
    each_ledger: Ledger, pool: ThreadPoolExecutor
) -> None:
    race = Race(each_ledger)
    for execution in ("e1", "e2"):
        race.prepare("execution_triggered", "execution_processing", execution_id=execution)
    emit(race.first, "action_prepared", "e1", customer_id="c1")
    emit(race.second, "action_prepared", "e2", customer_id="c1")
    waiting = pool.submit(verdict, lambda: emit(race.first, "action_prepared", "e2", customer_id="c1"))
    race.wait_until_blocked(race.first, by=race.second)
    outcome = verdict(lambda: emit(race.second, "action_prepared", "e1", customer_id="c1"))
    race.second.commit() if outcome is None else race.second.rollback()
    assert {outcome, waiting.result(30)} == {None, "40P01"}
    race.first.rollback()
    assert problems(race.free) == []


@pytest.mark.parametrize("there", [True, False], ids=["there already", "new"])
def test_batches_in_opposite_order_do_not_deadlock(each_ledger: Ledger, pool: ThreadPoolExecutor, there: bool) -> None:
    race = Race(each_ledger)
    begin = ["execution_triggered", "execution_processing"]
    kinds = ["action_prepared"] if there else begin
    rounds = [[f"e{number}-{place}" for place in range(10)] for number in range(30)]
    if there:
        for executions in rounds:
            events = [step(execution, kind, {}) for execution in executions for kind in begin]
            race.free.execute(EMIT_BATCH, (Jsonb(events),))
    connections = [each_ledger.connect("worker") for _ in range(2)]

    def work(number: int) -> list[str | None]:
        outcomes = []
        for executions in rounds:
            events = [
                step(execution, kind, {"action_type": str(number)})
                for execution in (executions if number else reversed(executions))
                for kind in kinds
            ]
            outcomes.append(verdict(lambda events=events: connections[number].execute(EMIT_BATCH, (Jsonb(events),))))
        return outcomes

    one_side, other_side = pool.map(work, range(2))
    for pair in zip(one_side, other_side, strict=True):
        assert set(pair) == ({None} if there else {None, "ZXSEQ"})
    assert problems(race.free) == []


def test_eight_writers_of_one_execution_make_one_order(each_ledger: Ledger, pool: ThreadPoolExecutor) -> None:
    race = Race(each_ledger)
    race.prepare("execution_triggered", "execution_processing")
    writers = [each_ledger.connect("worker") for _ in range(8)]

    def work(number: int) -> None:
        for place in range(20):
            write(
                writers[number], "batch" if place % 3 == 0 else "one", step("exec-1", "action_prepared", {"n": number})
            )

    list(pool.map(work, range(8)))
    with race.free.transaction():
        race.free.execute("select set_config('aximo.customer_id', 'c1', true)")
        steps = race.free.execute("select step from aximo.execution_trace('exec-1')").fetchall()
    assert [row[0] for row in steps] == list(range(1, 163))
    assert problems(race.free) == []


def test_eight_writers_of_eight_executions_never_wait(each_ledger: Ledger) -> None:
    race = Race(each_ledger)
    writers = [each_ledger.connect("worker", autocommit=False) for _ in range(8)]
    for number, writer in enumerate(writers):
        writer.execute("set lock_timeout = '1s'")
        for kind, payload in (
            *STATES["waiting"],
            ("approval_granted", {"approval_id": "q"}),
            ("execution_completed", {}),
        ):
            write(writer, "one" if number % 2 else "batch", step(f"e{number}", kind, payload))
    for writer in writers:
        writer.commit()
    assert len(race.types()) == 40
    assert problems(race.free) == []


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
