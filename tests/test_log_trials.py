"""Numbering under fire: whatever writers and advancers do at once, every committed event gets one number."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from psycopg import errors
from psycopg.types.json import Jsonb

from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, DBA, SETTINGS, VERSIONS, Ledger, _cloned, make_database
from tests.events import event
from tests.log_support import (
    KEEPER,
    advance,
    advance_all,
    assert_holes_vanish,
    assert_order,
    assert_whole,
    emit_many,
    emit_one,
    entries,
    high_position,
    holes,
    keeper,
    positions,
    problems,
    stored,
    undated,
    violations,
)
from tests.model import ATT, SEQ, Model
from tests.test_flow_properties import CUTS, STEPS, sequence, splits

Connection = psycopg.Connection[Any]

# Trials --------------------------------------------------------------------------------------------------------------

CUSTOMERS = ("c1", "c1", "c1", "c2", "c3")
WAYS = {"single": 4, "several": 6, "batch": 3, "prepared": 2, "killed": 1}
#: An advancer that waits for anybody runs into this.
PATIENCE = "4s"


@dataclass
class Account:
    """What the writers know: what was committed, in the order of each execution, and what was not."""

    committed: dict[str, list[UUID]] = field(default_factory=lambda: defaultdict(list))
    undone: set[UUID] = field(default_factory=set)
    lives: dict[tuple[str, str], list[UUID]] = field(default_factory=lambda: defaultdict(list))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def settle(self, customer: str, events: list[tuple[str | None, UUID]], *, committed: bool) -> None:
        with self.lock:
            for execution, event_id in events:
                if not committed:
                    self.undone.add(event_id)
                    continue
                self.committed[customer].append(event_id)
                if execution is not None:
                    self.lives[customer, execution].append(event_id)


class Writer:
    """Emits for a while on a connection of its own, in every way there is."""

    def __init__(self, number: int, random: Random, dsn: str, root_dsn: str, account: Account) -> None:
        self.number = number
        self.random = random
        self.dsn = dsn
        self.account = account
        self.connection = psycopg.connect(dsn, autocommit=True)
        self.root = psycopg.connect(root_dsn, autocommit=True)
        self.started: dict[str, list[str]] = defaultdict(list)
        self.names = itertools.count()
        self.waiting: list[tuple[str, str, list[tuple[str | None, UUID]], int]] = []

    def pause(self, most: float = 0.004) -> None:
        # Now and then a long transaction.
        time.sleep(self.random.choice((0, 0, self.random.random() * most, self.random.random() * 15 * most)))

    def event_id(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)

    def next_event(self, customer: str, begun: list[str], *, own: bool = False) -> dict[str, Any]:
        """An event that fits: a start, or something after a start that is committed or of this transaction."""
        open_ones = begun if own else begun + self.started[customer][-3:]
        roll = self.random.random()
        event_id = self.event_id()
        if not open_ones or roll < 0.15:
            name = f"w{self.number}-{next(self.names)}"
            begun.append(name)
            return event("execution_triggered", name, event_id=str(event_id))
        if roll < 0.3:
            return event("sla_breached", None, event_id=str(event_id))
        kind = self.random.choice(("execution_processing", "sla_breached", "pressure_invoked"))
        payload = {"text": "".join(self.random.choices('aé"\\😀\u2028', k=self.random.randrange(12)))}
        return event(kind, self.random.choice(open_ones), event_id=str(event_id), payload=payload)

    def emit(self, customer: str, made: dict[str, Any]) -> tuple[str | None, UUID]:
        emit_one(
            self.connection,
            customer,
            made["event_type"],
            made["execution_id"],
            event_id=UUID(made["event_id"]),
            payload=made.get("payload", {}),
        )
        return made["execution_id"], UUID(made["event_id"])

    def batch(self, customer: str, begun: list[str], *, own: bool = False) -> list[tuple[str | None, UUID]]:
        made = [self.next_event(customer, begun, own=own) for _ in range(self.random.randint(2, 7))]
        self.connection.execute("select from aximo.emit_events(%s, %s)", (Jsonb(made), customer))
        return [(each["execution_id"], UUID(each["event_id"])) for each in made]

    def step(self) -> None:
        customer = self.random.choice(CUSTOMERS)
        begun: list[str] = []
        way = self.random.choices(list(WAYS), list(WAYS.values()))[0]
        if way == "single":
            done = [self.emit(customer, self.next_event(customer, begun))]
            self.finish(customer, begun, done, committed=True)
        elif way == "batch":
            self.finish(customer, begun, self.batch(customer, begun), committed=True)
        else:
            self.connection.execute("begin")
            done = self.transaction(customer, begun, own=way == "prepared")
            getattr(self, f"end_{way}")(customer, begun, done)
        while self.waiting and (self.random.random() < 0.3 or len(self.waiting) > 1):
            self.resolve()

    def transaction(self, customer: str, begun: list[str], *, own: bool) -> list[tuple[str | None, UUID]]:
        """Several events, some of them behind savepoints, some of those rolled back."""
        done: list[tuple[str | None, UUID]] = []
        for _ in range(self.random.randint(1, 4)):
            roll = self.random.random()
            if roll < 0.45:
                done.append(self.emit(customer, self.next_event(customer, begun, own=own)))
            elif roll < 0.6:
                done += self.batch(customer, begun, own=own)
            else:
                before = len(begun)
                self.connection.execute("savepoint s")
                part = [self.emit(customer, self.next_event(customer, begun, own=own)) for _ in range(2)]
                self.pause()
                if self.random.random() < 0.5:
                    self.connection.execute("rollback to savepoint s")
                    del begun[before:]
                    self.account.settle(customer, part, committed=False)
                else:
                    done += part
                self.connection.execute("release savepoint s")
            self.pause()
        return done

    def end_several(self, customer: str, begun: list[str], done: list[tuple[str | None, UUID]]) -> None:
        committed = self.random.random() < 0.75
        self.connection.execute("commit" if committed else "rollback")
        self.finish(customer, begun, done, committed=committed)

    def end_prepared(self, customer: str, begun: list[str], done: list[tuple[str | None, UUID]]) -> None:
        # Its executions are its own, so that nobody waits for it.
        name = f"w{self.number}-{next(self.names)}"
        self.connection.execute(f"prepare transaction '{name}'")
        self.waiting.append((name, customer, done, len(begun)))

    def end_killed(self, customer: str, begun: list[str], done: list[tuple[str | None, UUID]]) -> None:
        self.root.execute("select pg_terminate_backend(%s, 60000)", (self.connection.info.backend_pid,))
        self.connection.close()
        self.connection = psycopg.connect(self.dsn, autocommit=True)
        self.finish(customer, begun, done, committed=False)

    def resolve(self) -> None:
        name, customer, done, _ = self.waiting.pop(self.random.randrange(len(self.waiting)))
        committed = self.random.random() < 0.6
        self.connection.execute(f"{'commit' if committed else 'rollback'} prepared '{name}'")
        self.account.settle(customer, done, committed=committed)

    def finish(self, customer: str, begun: list[str], done: list[tuple[str | None, UUID]], *, committed: bool) -> None:
        self.account.settle(customer, done, committed=committed)
        if committed:
            self.started[customer] += begun

    def run(self, steps: int) -> None:
        with contextlib.closing(self.root):
            try:
                for _ in range(steps):
                    self.step()
                    self.pause()
                while self.waiting:
                    self.resolve()
            finally:
                self.connection.close()


def advance_somehow(connection: Connection, random: Random) -> None:
    """Advances once or twice in one transaction, of either level, with an id from before or not, committed or not."""
    roll = random.random()
    if roll < 0.6:
        advance(connection, random.randint(1, 50))
        return
    connection.execute("begin isolation level repeatable read" if roll < 0.75 else "begin")
    try:
        if random.random() < 0.5:
            connection.execute("select pg_current_xact_id()")
            time.sleep(random.random() * 0.02)
        for _ in range(random.randint(1, 2)):
            advance(connection, random.randint(1, 50))
            time.sleep(random.random() * 0.01)
    except errors.SerializationFailure:
        connection.execute("rollback")
    else:
        connection.execute("commit" if random.random() < 0.8 else "rollback")


def keep_advancing(dsn: str, random: Random, stop: threading.Event) -> int:
    calls = 0
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"set statement_timeout = '{PATIENCE}'")
        while not stop.is_set():
            advance_somehow(connection, random)
            calls += 1
            time.sleep(random.choice((0, 0, random.random() * 0.02)))
    return calls


@contextlib.contextmanager
def idle_elsewhere(ledger: Ledger) -> Iterator[None]:
    """A transaction with an id that does nothing, in another database of the cluster."""
    with psycopg.connect(ledger.server.dsn("postgres", "postgres")) as idle:
        idle.execute("select pg_current_xact_id()")
        yield
        idle.rollback()


def trial(ledger: Ledger, seed: int, *, idle: bool, writers: int, steps: int) -> int:
    about = f"seed {seed}, idle {idle}, writers {writers}, steps {steps}"
    dsn = ledger.dsn(keeper(ledger))
    account = Account()
    random = Random(seed)
    stop = threading.Event()
    root = ledger.superuser()
    operator = psycopg.connect(dsn, autocommit=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(operator)
        if idle:
            stack.enter_context(idle_elsewhere(ledger))
        with ThreadPoolExecutor(writers + 2) as pool:
            advancing = [pool.submit(keep_advancing, dsn, Random(random.random()), stop) for _ in range(2)]
            try:
                everybody = [
                    Writer(n, Random(random.random()), dsn, ledger.dsn("postgres"), account) for n in range(writers)
                ]
                writing = [pool.submit(writer.run, steps) for writer in everybody]
                for each in writing:
                    each.result(600)
            finally:
                stop.set()
            assert sum(each.result(60) for each in advancing) > writers, about
        operator.execute(f"set statement_timeout = '{PATIENCE}'")
        advance_all(operator, random.randint(1, 50))
        # Whatever else is open: what is new is numbered at once.
        new = emit_one(operator, "c1")
        account.settle("c1", [(None, new)], committed=True)
        assert advance_all(operator) == 1, about
        assert entries(root, "c1")[-1] == new, about
        assert_whole(root, operator, account.committed, about)
        for customer in account.committed:
            assert not account.undone & set(entries(root, customer)), about
            lives = [life for (whose, _), life in account.lives.items() if whose == customer]
            assert_order(root, customer, lives, about)
        assert account.undone, about
        if idle:
            for _ in range(4):
                assert advance(operator) == (0, False), about
            assert undated(root) == 0, about
            assert holes(root), f"{about}: holes are kept while a transaction is open that might own them"
    operator = ledger.connect(KEEPER)
    assert_holes_vanish(root, operator, about)
    assert_whole(root, operator, account.committed, about)
    return sum(len(ids) for ids in account.committed.values())


@pytest.mark.parametrize("idle", [False, True], ids=["nobody idle", "idle elsewhere"])
def test_every_committed_event_is_numbered_once(each_ledger: Ledger, idle: bool) -> None:
    assert trial(each_ledger, 1, idle=idle, writers=5, steps=30) > 100


@pytest.mark.heavy
@pytest.mark.parametrize("idle", [False, True], ids=["nobody idle", "idle elsewhere"])
@pytest.mark.parametrize("seed", range(10, 16))
def test_every_committed_event_is_numbered_once_at_length(each_ledger: Ledger, idle: bool, seed: int) -> None:
    assert trial(each_ledger, seed, idle=idle, writers=8, steps=250) > 2000


# Each rule by itself -------------------------------------------------------------------------------------------------


class Desk:
    """Sessions to take turns with."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.login = keeper(ledger)
        self.root = ledger.superuser()
        self.operator = self.session()
        self.free = self.session()

    def session(self) -> Connection:
        connection = self.ledger.connect(self.login)
        connection.execute(f"set statement_timeout = '{PATIENCE}'")
        return connection

    def open_transaction(self, *, level: str = "read committed", with_id: bool = False) -> Connection:
        connection = self.session()
        connection.execute(f"begin isolation level {level}")
        if with_id:
            connection.execute("select pg_current_xact_id()")
        return connection

    def under_way(self) -> tuple[Connection, UUID]:
        """A transaction that has emitted an event and is open."""
        connection = self.open_transaction()
        return connection, emit_one(connection)

    def age(self, times: int = 3) -> None:
        """Advances with nothing new."""
        for _ in range(times):
            assert advance(self.operator) == (0, False)

    def assert_log(self, *wanted: UUID) -> None:
        assert entries(self.root) == list(wanted)
        assert problems(self.operator) == []

    def assert_done(self, *wanted: UUID) -> None:
        self.assert_log(*wanted)
        assert_holes_vanish(self.root, self.operator)
        assert_whole(self.root, self.operator, {"c1": wanted})


@pytest.fixture
def desk(each_ledger: Ledger) -> Desk:
    return Desk(each_ledger)


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_who_began_before_and_ends_after_several_advances_is_waited_for(desk: Desk, end: str) -> None:
    owner, late = desk.under_way()
    early = emit_one(desk.free)
    assert advance(desk.operator) == (1, False)
    desk.age(4)
    assert len(holes(desk.root)) == 1
    assert undated(desk.root) == 0
    between = emit_one(desk.free)
    assert advance(desk.operator) == (1, False)
    desk.age(4)
    owner.execute(end)
    assert advance(desk.operator) == (1 if end == "commit" else 0, False)
    desk.assert_done(early, between, *([late] if end == "commit" else []))


def test_a_prepared_transaction_is_waited_for(desk: Desk) -> None:
    owner, late = desk.under_way()
    early = emit_one(desk.free)
    owner.execute("prepare transaction 'patience'")
    owner.close()
    advance(desk.operator)
    desk.age(4)
    desk.free.execute("commit prepared 'patience'")
    assert advance(desk.operator) == (1, False)
    desk.assert_done(early, late)


def test_what_a_savepoint_took_back_leaves_a_hole_that_is_forgotten(desk: Desk) -> None:
    session = desk.open_transaction()
    first = emit_one(session)
    session.execute("savepoint s")
    emit_one(session)
    emit_one(session)
    session.execute("rollback to s")
    second = emit_one(session)
    session.execute("commit")
    assert advance(desk.operator) == (2, False)
    low, high = (positions(desk.root)[event_id] for event_id in (first, second))
    assert holes(desk.root) == [(low + 1, high - 1)]
    desk.assert_done(first, second)


def test_the_advance_after_the_one_that_made_it_dates_a_hole_and_the_next_forgets_it(desk: Desk) -> None:
    owner, _ = desk.under_way()
    early = emit_one(desk.free)
    advance(desk.operator)
    owner.execute("rollback")
    assert (len(holes(desk.root)), undated(desk.root)) == (1, 1)
    assert advance(desk.operator) == (0, False)
    assert (len(holes(desk.root)), undated(desk.root)) == (1, 0)
    assert advance(desk.operator) == (0, False)
    assert holes(desk.root) == []
    desk.assert_log(early)


def test_a_caller_that_had_its_id_before_dates_nothing(desk: Desk) -> None:
    """Its id is older than the owner's: dated with it, the hole would be forgotten while the owner is open."""
    events = lose_by_an_old_caller(desk)
    desk.assert_done(*events)


def lose_by_an_old_caller(desk: Desk) -> list[UUID]:
    # Ids in this order: the first advancer, the second, the owner of the event.
    first = desk.open_transaction(with_id=True)
    second = desk.open_transaction(with_id=True)
    owner, late = desk.under_way()
    early = emit_one(desk.free)
    assert advance(first) == (1, False)
    first.execute("commit")
    assert advance(second) == (0, False)
    second.execute("commit")
    desk.age()
    owner.execute("commit")
    advance(desk.operator)
    return [early, late]


def lose_by_an_old_first_advancer(desk: Desk) -> list[UUID]:
    # The one that finds the hole has an id older than the owner's.
    first = desk.open_transaction(with_id=True)
    owner, late = desk.under_way()
    early = emit_one(desk.free)
    assert advance(first) == (1, False)
    first.execute("commit")
    desk.age()
    owner.execute("commit")
    advance(desk.operator)
    return [early, late]


def lose_by_the_end_of_the_snapshot(desk: Desk) -> list[UUID]:
    # The end of a snapshot is the id after the last transaction that is over, not after the last that has begun.
    winner = desk.open_transaction(with_id=True)
    other = desk.open_transaction(with_id=True)
    owner, late = desk.under_way()
    early = emit_one(winner)
    winner.execute("commit")
    assert advance(desk.operator) == (1, False)
    other.execute("rollback")
    desk.age()
    owner.execute("commit")
    advance(desk.operator)
    return [early, late]


def lose_by_not_looking(desk: Desk) -> list[UUID]:
    # Its hole has a date, and was looked into; then its owner ends.
    owner, late = desk.under_way()
    early = emit_one(desk.free)
    assert advance(desk.operator) == (1, False)
    desk.age()
    owner.execute("commit")
    advance(desk.operator)
    return [early, late]


def lose_by_cutting(desk: Desk) -> list[UUID]:
    # Two holes that could be forgotten but for what has just come; only as much is asked for as is in the first.
    owner, other = desk.open_transaction(), desk.open_transaction()
    first = [emit_one(owner), emit_one(owner)]
    seen = [emit_one(desk.free)]
    second = [emit_one(other), emit_one(other)]
    seen.append(emit_one(desk.free))
    assert advance(desk.operator) == (2, False)
    desk.age()
    assert len(holes(desk.root)) == 2
    owner.execute("commit")
    other.execute("commit")
    for _ in range(4):
        assert advance(desk.operator, 1)[0] <= 1
    advance_all(desk.operator)
    return [*seen, *first, *second]


@pytest.mark.parametrize(
    "interleaving",
    [lose_by_an_old_first_advancer, lose_by_the_end_of_the_snapshot, lose_by_not_looking, lose_by_cutting],
)
def test_no_interleaving_loses_an_event(desk: Desk, interleaving: Callable[[Desk], list[UUID]]) -> None:
    desk.assert_done(*interleaving(desk))


# What the numbering would be like if it were wrong, and the turns that show it.
NEW_HOLES = (
    "insert into aximo_private.log_holes (log, first_position, last_position, seen_by)\n"
    "    select number_new.log, g.first_position, g.last_position, pg_current_xact_id()\n"
)
MISTAKES: dict[str, tuple[str, str, Callable[[Desk], list[UUID]]]] = {
    "dated by a caller that had its id before": ("continue when wrote_before;", "", lose_by_an_old_caller),
    "dated at once with the advancer's own id": (
        NEW_HOLES,
        NEW_HOLES.replace("seen_by)", "seen_by, older_than)").replace("_id()\n", "_id(), pg_current_xact_id()\n"),
        lose_by_an_old_first_advancer,
    ),
    "dated at once with the end of the snapshot": (
        NEW_HOLES,
        NEW_HOLES.replace("seen_by)", "seen_by, older_than)").replace(
            "_id()\n", "_id(), pg_snapshot_xmax(pg_current_snapshot())\n"
        ),
        lose_by_the_end_of_the_snapshot,
    ),
    "forgotten although it was not looked into": (
        "not is_cut\n",
        "true\n",
        lose_by_cutting,
    ),
    "not looked into although its owner has ended": (
        "where pg_visible_in_snapshot(r.id, pg_current_snapshot())",
        "where false",
        lose_by_not_looking,
    ),
    "taken for looked into although the call was cut": ("looked_into_some and not is_cut", "true", lose_by_cutting),
}


def make_mistake(root: Connection, old: str, new: str) -> None:
    """Puts a wrong numbering in the place of the right one, in this database."""
    names = ("aximo.advance_log(integer)", "aximo_private.number_new(text, integer, boolean)")
    bodies = [root.execute("select pg_get_functiondef(%s::regprocedure)", (name,)).fetchone() for name in names]
    found = [body[0] for body in bodies if body is not None and old in body[0]]
    assert [body.count(old) for body in found] == [1], "the numbering has changed: write this mistake anew"
    root.execute(found[0].replace(old, new))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_these_turns_would_show_a_mistake(desk: Desk, mistake: str) -> None:
    """The tests above can fail; and an event that was lost is found by verify_log, and mended."""
    old, new, interleaving = MISTAKES[mistake]
    make_mistake(desk.root, old, new)
    events: list[UUID] = []
    lost: set[UUID] = set()
    for _ in range(3):  # a transaction of the server's own, autovacuum's for one, may end in between and hide it once
        events += interleaving(desk)
        lost = set(events) - set(entries(desk.root))
        if lost:
            break
    assert lost
    assert {(problem, event_id) for problem, _, event_id in problems(desk.operator)} == {
        ("event_not_in_log", event_id) for event_id in lost
    }
    assert desk.operator.execute("select aximo.mend_log()").fetchone() == (len(lost),)
    assert advance(desk.operator) == (len(lost), False)
    assert problems(desk.operator) == []
    assert set(entries(desk.root)) == set(events)
    assert desk.operator.execute("select aximo.mend_log()").fetchone() == (0,)


def test_two_calls_in_one_transaction_date_no_hole_of_their_own(desk: Desk) -> None:
    owner, late = desk.under_way()
    first = emit_one(desk.free)
    twice = desk.open_transaction()
    assert advance(twice) == (1, False)
    second = emit_one(desk.free)
    assert advance(twice) == (1, False)
    assert advance(twice) == (0, False)
    twice.execute("commit")
    assert (len(holes(desk.root)), undated(desk.root)) == (1, 1)
    desk.age()
    owner.execute("commit")
    assert advance(desk.operator) == (1, False)
    desk.assert_done(first, second, late)


def test_events_of_the_advancing_transaction_itself_are_numbered_with_it(desk: Desk) -> None:
    owner, late = desk.under_way()
    both = desk.open_transaction()
    lost = emit_one(both)
    assert advance(both) == (1, False)
    both.execute("rollback")
    assert entries(desk.root) == []
    both.execute("begin")
    own = emit_one(both)
    assert advance(both) == (1, False)
    both.execute("commit")
    desk.assert_log(own)
    desk.age()
    owner.execute("commit")
    assert advance(desk.operator) == (1, False)
    desk.assert_done(own, late)
    assert lost not in stored(desk.root)


def test_an_old_snapshot_does_not_forget_what_it_does_not_see(desk: Desk) -> None:
    owner, late = desk.under_way()
    early = emit_one(desk.free)
    advance(desk.operator)
    desk.age()
    old = desk.open_transaction(level="repeatable read")
    old.execute("select count(*) from aximo.event_types")
    owner.execute("commit")
    unseen = emit_one(desk.free)
    assert advance(old) == (0, False)
    assert advance(old) == (0, False)
    old.execute("commit")
    desk.assert_log(early)
    assert advance(desk.operator) == (2, False)
    desk.assert_done(early, late, unseen)


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_an_old_snapshot_from_before_another_advance_is_told_to_try_again(desk: Desk, level: str) -> None:
    owner, late = desk.under_way()
    old = desk.open_transaction(level=level)
    old.execute("select count(*) from aximo.event_types")
    early = emit_one(desk.free)
    advance(desk.operator)
    with pytest.raises(errors.SerializationFailure):
        advance(old)
    old.execute("rollback")
    owner.execute("commit")
    assert advance(old) == (1, False)
    desk.assert_done(early, late)


def test_a_hole_may_be_filled_in_the_middle(desk: Desk) -> None:
    owners = [desk.open_transaction() for _ in range(7)]
    late = [emit_one(owner) for owner in owners]
    last = emit_one(desk.free)
    advance(desk.operator)
    base = positions(desk.root)[last] - 7
    assert holes(desk.root) == [(base, base + 6)]
    desk.age()
    wanted = [last]
    steps = (
        ([3], [(base, base + 2), (base + 4, base + 6)]),
        ([1, 5], [(base, base), (base + 2, base + 2), (base + 4, base + 4), (base + 6, base + 6)]),
        ([0, 6], [(base + 2, base + 2), (base + 4, base + 4)]),
    )
    for numbers, left in steps:
        for number in numbers:
            owners[number].execute("commit")
        assert advance(desk.operator) == (len(numbers), False)
        wanted += [late[number] for number in numbers]
        assert holes(desk.root) == left
        assert undated(desk.root) == 0
        desk.assert_log(*wanted)
    owners[2].execute("rollback")
    owners[4].execute("commit")
    assert advance(desk.operator) == (1, False)
    desk.assert_done(*wanted, late[4])


@pytest.mark.parametrize("max_events", [1, 2, 3, 4, 5, 100])
def test_a_limit_may_cut_anywhere(desk: Desk, max_events: int) -> None:
    owners = [desk.open_transaction() for _ in range(4)]
    late = [emit_one(owner) for owner in owners for _ in range(2)]
    young = [emit_one(desk.free)]
    advance(desk.operator)
    desk.age()
    for owner in owners:
        owner.execute("commit")
    more = emit_many(desk.free, 3)
    seen = entries(desk.root)
    while True:
        numbered, is_behind = advance(desk.operator, max_events)
        assert numbered <= max_events
        assert is_behind is (numbered == max_events)
        found = entries(desk.root)
        assert found[: len(seen)] == seen
        assert problems(desk.operator) == []
        seen = found
        if not is_behind:
            break
    desk.assert_done(*young, *late, *more)


@pytest.mark.parametrize(
    ("seen_by", "older_than"), [("9000000000000", None), ("9000000000000", "9000000000001"), ("3", "9000000000001")]
)
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_ids_of_another_cluster_are_replaced(desk: Desk, seen_by: str, older_than: str | None, end: str) -> None:
    owner, late = desk.under_way()
    early = emit_one(desk.free)
    advance(desk.operator)
    desk.root.execute("update aximo_private.log_holes set seen_by = %s, older_than = %s", (seen_by, older_than))
    desk.age()
    assert len(holes(desk.root)) == 1
    owner.execute(end)
    assert advance(desk.operator)[0] == (end == "commit")
    desk.assert_done(early, *([late] if end == "commit" else []))


def test_a_second_advancer_goes_away_at_once(desk: Desk) -> None:
    early = emit_one(desk.free)
    first = desk.open_transaction()
    assert advance(first) == (1, False)
    second = desk.session()
    second.execute("set statement_timeout = '60s'")
    assert advance(second) == (0, None)
    second.execute("begin")
    emit_one(second)
    assert advance(second) == (0, None)
    second.execute("rollback")
    first.execute("rollback")
    assert advance(second) == (1, False)
    desk.assert_done(early)


def test_an_advancer_whose_session_ends_leaves_nothing(desk: Desk) -> None:
    early = emit_one(desk.free)
    first = desk.open_transaction()
    assert advance(first) == (1, False)
    desk.root.execute("select pg_terminate_backend(%s, 60000)", (first.info.backend_pid,))
    assert entries(desk.root) == []
    assert advance(desk.operator) == (1, False)
    desk.assert_done(early)


def test_positions_given_out_twice_are_mended(desk: Desk) -> None:
    """As after a restore that forgot the sequence: new events have positions that were numbered past."""
    old = emit_many(desk.free, 3)
    advance(desk.operator)
    desk.root.execute("select setval('aximo_private.events_position', 1, false)")
    new = emit_many(desk.free, 2)
    assert advance(desk.operator) == (0, False)
    assert [problem for problem, _, _ in problems(desk.operator)] == ["event_not_in_log"] * 2
    assert desk.operator.execute("select aximo.mend_log()").fetchone() == (2,)
    assert advance_all(desk.operator) == 2
    desk.assert_done(*old, *new)


def test_two_events_of_one_position_are_mended(desk: Desk) -> None:
    old = emit_many(desk.free, 3)
    advance(desk.operator)
    new = []
    for _ in range(2):
        desk.root.execute("select setval('aximo_private.events_position', 2, false)")
        new.append(emit_one(desk.free))
    desk.operator.execute("select aximo.mend_log()")
    assert advance_all(desk.operator) == 2
    assert set(entries(desk.root)) == {*old, *new}
    assert problems(desk.operator) == []


# Violations ----------------------------------------------------------------------------------------------------------

ACTION = {"action_id": "a1", "action_type": "mail"}


def test_of_what_two_write_at_once_nothing_is_listed(desk: Desk) -> None:
    """The second waits, and is refused; who comes first in time is first in the log."""
    for kind in ("execution_triggered", "execution_processing"):
        emit_one(desk.free, "c1", kind, "e")
    slow, other = desk.open_transaction(), desk.open_transaction()
    completed = emit_one(slow, "c1", "execution_completed", "e")
    other.execute("set local lock_timeout = '100ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        emit_one(other, "c1", "action_dispatched", "e", payload=ACTION)
    other.execute("rollback")
    slow.execute("commit")
    with pytest.raises(psycopg.Error) as refusal:
        emit_one(desk.free, "c1", "action_dispatched", "e", payload=ACTION)
    assert refusal.value.diag.constraint_name == "nothing_after_end"
    advance_all(desk.operator)
    assert entries(desk.root)[-1] == completed
    assert violations(desk.operator) == []


@pytest.fixture(scope="module", params=VERSIONS)
def history_ledger(request: pytest.FixtureRequest, servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    """One database for many histories: each has customers of its own in it."""
    for ledger in _cloned(servers(request.param), "fresh", "history_test"):
        keeper(ledger)
        yield ledger


HISTORIES = itertools.count()


def listed(
    root: Connection, connection: Connection, history: list[dict[str, Any]], cuts: list[int], limit: int
) -> tuple[list[str], list[Any]]:
    """Imports a history for a customer of its own; its log, and what is listed, by this limit to each advance."""
    customer = f"history-{next(HISTORIES)}"
    for part in splits(history, cuts):
        connection.execute("select from aximo.import_events(%s, %s)", (Jsonb(part), customer))
    advance_all(connection, limit)
    log = [str(event_id) for event_id in entries(root, customer)]
    return log, [(n, str(e), r, str(a)) for n, e, r, a in violations(connection, customer)]


def code_of(rule: str) -> str:
    return ATT if rule == "same_attribution" else SEQ


def assert_listed_alike(ledger: Ledger, history: list[dict[str, Any]], cuts: list[int]) -> None:
    with (
        psycopg.connect(ledger.dsn("postgres"), autocommit=True) as root,
        psycopg.connect(ledger.dsn(KEEPER), autocommit=True) as connection,
    ):
        log, found = listed(root, connection, history, cuts, 10000)
        for limit in (1, 3):
            assert listed(root, connection, history, cuts, limit) == (log, found), f"by {limit} it is another"
        # The model refuses, and then goes on as if the event had never been; the log keeps it, and judges what comes
        # after with it there. So the two agree up to the first refusal of each execution, and that one is compared:
        # which event it is, and whether for its attribution or for its place. A life without any has nothing listed.
        by_id = {event["event_id"]: event for event in history}
        model = Model()
        refused: dict[str, tuple[str, str]] = {}
        for event_id in log:
            made = by_id[event_id]
            execution = made["execution_id"]
            if execution in refused:
                continue
            code = model.accepts(made)
            if code is not None:
                refused[execution] = (event_id, code)
            else:
                model.apply(made)
        first: dict[str, tuple[str, str]] = {}
        for number, event_id, rule, _ in found:
            assert log[number - 1] == event_id
            first.setdefault(by_id[event_id]["execution_id"], (event_id, code_of(rule)))
        assert first == refused
        assert len({number for number, *_ in found}) == len(found)


HISTORY_SETTINGS: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "phases": [Phase.explicit, Phase.generate, Phase.shrink],
    "suppress_health_check": list(HealthCheck),
}


@settings(max_examples=25, **HISTORY_SETTINGS)
@given(steps=STEPS, cuts=CUTS)
def test_an_imported_history_is_judged_as_the_model_does(
    history_ledger: Ledger, steps: list[tuple[int, int]], cuts: list[int]
) -> None:
    assert_listed_alike(history_ledger, sequence(steps), cuts)


@pytest.mark.heavy
@settings(max_examples=1000, **{**HISTORY_SETTINGS, "derandomize": False, "print_blob": True})
@given(steps=STEPS, cuts=CUTS)
def test_many_imported_histories_are_judged_as_the_model_does(
    history_ledger: Ledger, steps: list[tuple[int, int]], cuts: list[int]
) -> None:
    assert_listed_alike(history_ledger, sequence(steps), cuts)


def history(*steps: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    made = []
    for number, (kind, fields) in enumerate(steps, 1):
        made.append(event(kind, "e", event_id=str(UUID(int=number)), **{"payload": {}, **fields}))
    return made


BEGINNING: tuple[tuple[str, dict[str, Any]], ...] = (("execution_triggered", {}), ("execution_processing", {}))


def test_a_denial_after_the_end_excuses_nothing_before_it(history_ledger: Ledger) -> None:
    """Whether it is numbered together with the end or later."""
    assert_listed_alike(
        history_ledger,
        history(
            *BEGINNING,
            ("action_prepared", {"payload": {"action_type": "mail"}}),
            ("execution_completed", {}),
            ("approval_requested", {}),
            ("approval_rejected", {}),
        ),
        [6],
    )


def test_a_second_end_is_listed_by_the_rule_that_would_have_refused_it(history_ledger: Ledger) -> None:
    """Even if its attribution is another one as well."""
    assert_listed_alike(
        history_ledger,
        history(*BEGINNING, ("execution_completed", {}), ("execution_failed", {"deployment_id": "another"})),
        [1],
    )


def test_a_second_answer_is_listed_by_the_rule_that_would_have_refused_it(history_ledger: Ledger) -> None:
    """Even if its attribution is another one as well."""
    assert_listed_alike(
        history_ledger,
        history(
            *BEGINNING,
            ("approval_requested", {}),
            ("approval_granted", {}),
            ("approval_rejected", {"skill_id": "another"}),
        ),
        [1],
    )


# A server that dies --------------------------------------------------------------------------------------------------


def crash(folder: Path, version: str, seed: int, rounds: int) -> None:
    if version not in BINARIES:
        pytest.skip(f"no PostgreSQL {version} binaries on this machine")
    about = f"seed {seed}"
    random = Random(seed)
    server = EmbeddedServer(folder / "data", bin_dir=BINARIES[version], settings=SETTINGS)
    try:
        server.start()
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(f"create role {DBA} login createrole createdb")
        make_database(server, "ledger", "fresh")
        ledger = Ledger(server, "ledger", "fresh")
        dsn = ledger.dsn(keeper(ledger))
        acknowledged: dict[str, set[UUID]] = defaultdict(set)
        tried: set[UUID] = set()
        known: dict[str, list[UUID]] = {}

        def write(number: int, own: Random) -> None:
            customer = f"c{number % 2 + 1}"
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(dsn) as connection:
                while True:
                    ids = [UUID(int=own.getrandbits(128), version=4) for _ in range(own.randint(1, 4))]
                    tried.update(ids)
                    for event_id in ids:
                        emit_one(connection, customer, event_id=event_id)
                        time.sleep(own.choice((0, own.random() * 0.005)))
                    if own.random() < 0.8:
                        connection.commit()
                        acknowledged[customer].update(ids)
                    else:
                        connection.rollback()

        def number_them(own: Random) -> None:
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(dsn, autocommit=True) as connection:
                while True:
                    advance_somehow(connection, own)

        def look() -> None:
            with contextlib.suppress(psycopg.OperationalError):
                with psycopg.connect(ledger.dsn("postgres"), autocommit=True) as connection:
                    while True:
                        known.update({customer: entries(connection, customer) for customer in ("c1", "c2")})

        for _ in range(rounds):
            with ThreadPoolExecutor(6) as pool:
                running = [pool.submit(write, number, Random(random.random())) for number in range(3)]
                running += [pool.submit(number_them, Random(random.random())) for _ in range(2)]
                running.append(pool.submit(look))
                time.sleep(0.4 + random.random() * 0.4)
                server.kill()
                for each in running:
                    each.result(60)
            server.start()
            with (
                psycopg.connect(ledger.dsn("postgres"), autocommit=True) as root,
                psycopg.connect(dsn, autocommit=True) as operator,
            ):
                for customer, seen in known.items():
                    assert entries(root, customer)[: len(seen)] == seen, f"{about}: a number that was seen has changed"
                advance_all(operator, random.randint(1, 50))
                kept = {customer: set(stored(root, customer)) for customer in acknowledged}
                for customer, ids in acknowledged.items():
                    assert ids <= kept[customer] <= tried, about
                assert_whole(root, operator, kept, about)
                assert sum(map(len, known.values())) > 0, about
        with (
            psycopg.connect(ledger.dsn("postgres"), autocommit=True) as root,
            psycopg.connect(dsn, autocommit=True) as operator,
        ):
            assert_holes_vanish(root, operator, about)
            assert high_position(root) > 0
    finally:
        server.stop("immediate")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_killed_amid_advances_forgets_no_number(tmp_path: Path, version: str) -> None:
    crash(tmp_path, version, 1, 1)


@pytest.mark.heavy
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_a_server_killed_again_and_again_forgets_no_number(tmp_path: Path, version: str, seed: int) -> None:
    crash(tmp_path, version, seed, 6)
