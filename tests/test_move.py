"""Moving a customer between two nodes while it writes: nothing lost, changed or doubled, whatever happens to the mover."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from aximo_db import EventStore, MovedError, NewEvent
from aximo_db.client.errors import AximoError, InstallationError
from aximo_db.dba import move as move_module
from aximo_db.dba.bouncer import Bouncer
from aximo_db.dba.doctor import examine
from aximo_db.dba.move import STEPS, MoveReport, abandon, move
from aximo_db.dba.move_node import name_of
from aximo_db.dba.worker import duties
from aximo_db.local.embedded import EmbeddedServer
from benchmarks import moves
from tests.conftest import BINARIES, DBA, QUICK
from tests.events import BASE, event
from tests.fleet_support import (
    LEDGER,
    OTHER,
    OWN,
    SERVICE,
    FleetNode,
    emit_runs,
    fill,
    make_node,
    metrics_of,
    problems_of,
    same,
    two_servers,
)
from tests.log_support import advance_all, emit_many, emit_one, entries, holes, of_customer
from tests.test_cli import run
from tests.test_install import tool
from tests.test_pgbouncer import BINARY as BOUNCER
from tests.test_pgbouncer import _run_as

PAIRS = [("18", "18")] if QUICK else [("18", "18"), ("15", "15"), ("15", "18")]
_names = itertools.count()


@pytest.fixture(scope="module", params=PAIRS, ids=" to ".join)
def servers_of_pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[EmbeddedServer]]:
    for version in request.param:
        if version not in BINARIES:
            pytest.skip(f"no PostgreSQL {version} binaries on this machine")
    with two_servers(tmp_path_factory.mktemp("pair"), request.param) as servers:
        yield servers


@pytest.fixture(scope="module")
def first_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[EmbeddedServer]]:
    """What does not depend on the version."""
    with two_servers(tmp_path_factory.mktemp("first"), (next(iter(BINARIES)),) * 2) as servers:
        yield servers


def _nodes(servers: list[EmbeddedServer], count: int = 2) -> Iterator[list[FleetNode]]:
    name = f"ledger_{next(_names)}"
    made = [make_node(servers[number % 2], f"{name}_{number}", number, f"{LEDGER}/{name}") for number in range(count)]
    try:
        yield made
    finally:
        for each in made:
            each.close()
            _drop_subscriptions(each)
        for each in made:
            with psycopg.connect(each.server.dsn(), autocommit=True) as root:
                _drop_slots(root, each.name)
                root.execute(f"drop database {each.name} with (force)")


def _drop_subscriptions(node: FleetNode) -> None:
    with psycopg.connect(node.dsn(), autocommit=True) as inside:
        for (name,) in inside.execute(
            "select subname from pg_subscription where subdbid = (select oid from pg_database where datname = current_database())"
        ).fetchall():
            inside.execute(f"alter subscription {name} disable")
            inside.execute(f"alter subscription {name} set (slot_name = none)")
            inside.execute(f"drop subscription {name}")
        for (name,) in inside.execute(
            "select gid from pg_prepared_xacts where database = current_database()"
        ).fetchall():
            inside.execute(f"rollback prepared '{name}'")


def _drop_slots(root: psycopg.Connection[Any], database: str) -> None:
    for (name,) in root.execute(
        "select slot_name from pg_replication_slots where database = %s", (database,)
    ).fetchall():
        root.execute(
            "select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where slot_name = %s", (name,)
        )
        root.execute("select pg_drop_replication_slot(%s)", (name,))


@pytest.fixture
def pair(servers_of_pair: list[EmbeddedServer]) -> Iterator[list[FleetNode]]:
    """Two nodes, on every pair of versions."""
    yield from _nodes(servers_of_pair)


@pytest.fixture
def nodes(first_servers: list[EmbeddedServer]) -> Iterator[list[FleetNode]]:
    """Two nodes, on the first PostgreSQL there is."""
    yield from _nodes(first_servers)


@pytest.fixture
def three(first_servers: list[EmbeddedServer]) -> Iterator[list[FleetNode]]:
    """Three nodes, on the first PostgreSQL there is."""
    yield from _nodes(first_servers, 3)


def go(source: FleetNode, target: FleetNode, customer: str = "c1", **options: Any) -> MoveReport:
    return move(customer, source.dsn(), target.dsn(), **options)


def numbered(node: FleetNode) -> None:
    with node.connect(SERVICE) as service:
        advance_all(service)


def placements(node: FleetNode) -> dict[str, tuple[str, int]]:
    with node.connect() as root:
        rows = root.execute("select customer_id, state, node from aximo_private.placements").fetchall()
        return {customer: (state, other) for customer, state, other in rows}


def leftovers(*each: FleetNode) -> list[Any]:
    """Publications, slots and subscriptions."""
    found = []
    for node in each:
        with node.connect() as root:
            found += root.execute(
                "select pubname from pg_publication union all select slot_name from pg_replication_slots"
                " where database = current_database() union all"
                " select subname from pg_subscription where subdbid = (select oid from pg_database where datname = current_database())"
            ).fetchall()
    return found


def assert_same(was: dict[str, list[Any]], now: dict[str, list[Any]]) -> None:
    assert was.keys() == now.keys()
    for name in was:
        assert now[name] == was[name], name


# A customer that is quiet


def test_a_customer_is_on_the_other_node_as_it_was(pair: list[FleetNode]) -> None:
    source, target = pair
    fill(source)
    fill(source, "c2", seed=2, lives=5)
    fill(target, "c3", seed=3, lives=5)
    numbered(source)
    was, metrics, other = same(source, "c1"), metrics_of(source, "c1"), same(source, "c2")
    report = go(source, target)
    assert (report.is_on, report.changed, report.goes_on, report.warnings) == (1, True, False, [])
    assert report.pause_ms is not None
    assert_same(was, same(target, "c1"))
    assert_same(metrics, metrics_of(target, "c1"))
    assert problems_of(target, "c1") == []
    assert report.checkpoints == list(was["roots"][0])
    assert_same(other, same(source, "c2"))
    assert problems_of(source, "c2") == problems_of(target, "c3") == []
    assert placements(source) == {"c1": ("gone", 1)}
    assert placements(target) == {}
    assert leftovers(source, target) == []
    # What stayed is hidden.
    assert not any(rows for name, rows in same(source, "c1").items() if name not in ("roots",))
    # And it goes on: in the open execution, with the runs, the cursor and the log.
    with target.connect(SERVICE) as service:
        granted = event("approval_granted", "open", customer_id="c1", payload={"approval_id": "a"})
        service.execute("select from aximo.emit_events(%s)", (Jsonb([granted]),))
        emit_one(service, "c1", "execution_completed", "open")
        emit_runs(service, "c1", ["c1-run-0"])
        advance_all(service)
        of_customer(service, "c1", "select from aximo.move_cursor('mailer', 123, 130)")
        log = of_customer(service, "c1", "select event_id from aximo.log_leaves where log = 'events' order by number")
        assert log[: report.events] == [(r[2],) for r in sorted(was["log"], key=lambda r: r[:2]) if r[0] == "events"]
        assert len(log) == report.events + 2
        service.execute("select from aximo.refresh_metrics()")
    assert problems_of(target, "c1") == []
    again = go(source, target)
    assert (again.changed, again.is_on) == (False, 1)


def change(node: FleetNode, round_: int) -> None:
    """What a customer does between two moves, all kinds of it."""
    with node.connect(SERVICE) as service, node.connect() as root:
        emit_many(service, 30, "c1")
        for kind in ("execution_triggered", "execution_processing", "action_prepared"):
            emit_one(service, "c1", kind, f"life {round_}", payload={"action_type": "send_email"})
        if round_:
            emit_one(service, "c1", "action_dispatched", f"life {round_ - 1}", payload={"action_type": "send_email"})
            emit_one(service, "c1", "execution_completed", f"life {round_ - 1}")
        # Imported, and against the rules: an end after what was prepared on another node, perhaps.
        for kind in ("action_prepared", "execution_completed"):
            wrong = event(kind, f"wrong {round_ // 2}", payload={"action_type": f"t{round_}"})
            service.execute("select from aximo.import_events(%s, 'c1')", (Jsonb([wrong]),))
        # Deployments whose events have one moment.
        for kind in ("deployment_created", "deployment_activated") if round_ % 2 else ("deployment_suspended",):
            emit_one(service, "c1", kind, None, deployment_id="dep-tied", timestamp="2026-03-01T00:00:00Z")
        emit_runs(service, "c1", [f"run {round_}"], events=2)
        emit_runs(service, "c1", [f"run {round_ - 1}"], events=1)
        emit_runs(service, "c1", [f"deleted {round_}"], events=0)
        with root.transaction():
            root.execute("select set_config('aximo.customer_id', 'c1', true)")
            root.execute("update helix.runs set status = 'succeeded' where run_id = %s", (f"run {round_ - 1}",))
            root.execute("delete from helix.runs where run_id = %s", (f"deleted {round_ - 1}",))
        advance_all(service)
        ((number,),) = of_customer(service, "c1", "select number from aximo.cursors where name = 'mailer'")
        of_customer(service, "c1", "select from aximo.move_cursor('mailer', %s, %s)", number, number + 5)
        of_customer(service, "c1", "select from aximo.set_threshold('error_rate', 'warning', %s)", 0.01 * (round_ + 1))


def test_there_and_back_and_there_again(pair: list[FleetNode]) -> None:
    source, target = pair
    fill(source)
    for round_ in range(5):
        change(source, round_)
        was, metrics = same(source, "c1"), metrics_of(source, "c1")
        assert problems_of(source, "c1") == []
        report = go(source, target)
        assert report.is_on == target.node
        assert_same(was, same(target, "c1"))
        assert_same(metrics, metrics_of(target, "c1"))
        assert problems_of(target, "c1") == []
        assert placements(source) == {"c1": ("gone", target.node)}
        assert placements(target) == {}
        source, target = target, source


def test_a_run_that_goes_on_where_ids_are_lower_is_told(nodes: list[FleetNode]) -> None:
    fill(nodes[1])
    numbered(nodes[1])
    (warning,) = go(nodes[1], nodes[0]).warnings
    assert "5 runs have events and have not ended" in warning


# Writers


@dataclass
class Writer:
    """Writes for a customer until told to stop; after it has gone, on the other node."""

    nodes: list[FleetNode]
    customer: str
    stop: threading.Event
    written: list[UUID] = field(default_factory=list)
    switched: int = 0
    slowest: float = 0.0

    def work(self) -> None:
        at = 0
        store = EventStore(self.nodes[at].dsn(SERVICE), customer_id=self.customer, retry_for=60)
        number = 0
        try:
            while not self.stop.is_set():
                number += 1
                batch = self._next(number)
                began = time.monotonic()
                while True:
                    try:
                        store.emit_batch(batch) if len(batch) > 1 else store.emit(batch[0])
                        break
                    except MovedError as error:
                        assert error.rule in ("customer_is_gone", "customer_is_arriving"), error
                        store.close()
                        at = (at + 1) % len(self.nodes)
                        self.switched += error.rule == "customer_is_gone"
                        store = EventStore(self.nodes[at].dsn(SERVICE), customer_id=self.customer, retry_for=60)
                        time.sleep(0.01)
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.written += [each.event_id for each in batch if each.event_id is not None]
                self.stop.wait(0.01)
        finally:
            store.close()

    def _next(self, number: int) -> list[NewEvent]:
        common = {"deployment_id": "dep-1", "skill_id": "skill-1", "skill_version": "1.0", "actor": "system"}
        name = f"{id(self)}-{number // 4}"
        kind = ("execution_triggered", "execution_processing", "sla_breached", "execution_completed")[number % 4]
        if kind == "sla_breached":
            return [NewEvent(event_type=kind, event_id=uuid4(), payload={"n": n}, **common) for n in range(5)]
        if number < 4:
            return [NewEvent(event_type="sla_breached", event_id=uuid4(), **common)]
        return [NewEvent(event_type=kind, event_id=uuid4(), execution_id=name, **common)]


def advancing(node: FleetNode, stop: threading.Event) -> None:
    with psycopg.connect(node.dsn(SERVICE), autocommit=True) as service:
        while not stop.is_set():
            service.execute("select from aximo.advance_log()")
            service.execute("select from aximo.count_metrics()")
            stop.wait(0.02)


@dataclass
class Busy:
    """Two nodes on which everybody works."""

    nodes: list[FleetNode]
    stop: threading.Event = field(default_factory=threading.Event)
    writers: list[Writer] = field(default_factory=list)

    def __enter__(self) -> Busy:
        self.pool = ThreadPoolExecutor(8)
        self.writers = [Writer(self.nodes, "c1", self.stop) for _ in range(2)]
        self.writers += [
            Writer([node], customer, self.stop) for node, customer in zip(self.nodes, ("c2", "c3"), strict=False)
        ]
        self.promises = [self.pool.submit(each.work) for each in self.writers]
        self.promises += [self.pool.submit(advancing, each, self.stop) for each in self.nodes]
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        try:
            for each in self.promises:
                each.result(90)
        finally:
            self.pool.shutdown()

    def assert_whole(self, on: FleetNode, before: list[UUID]) -> None:
        """Every event that somebody was told is written is in the log once, in the order in which it was told."""
        numbered(on)
        with on.connect() as root:
            log = entries(root, "c1")
        own = [each.written for each in self.writers if each.customer == "c1"]
        assert len(set(log)) == len(log)
        assert set(log) == {*before, *itertools.chain(*own)}
        place = {event_id: number for number, event_id in enumerate(log)}
        assert log[: len(before)] == before
        for written in own:
            numbers = [place[each] for each in written]
            assert numbers == sorted(numbers)
        for each in self.writers[2:]:
            numbered(each.nodes[0])
            with each.nodes[0].connect() as root:
                assert set(entries(root, each.customer)) >= set(each.written)


def test_writers_go_on_through_a_move_with_a_batch_open_across_the_fence(pair: list[FleetNode]) -> None:
    source, target = pair
    fill(source)
    numbered(source)
    with source.connect() as root:
        before = entries(root)
    unfinished = source.connect(SERVICE, autocommit=False)
    late: list[UUID] = []

    def begin_when_copied(step: str, detail: str) -> None:
        # An open transaction would hold up the copying, too.
        if step == "check" and not late:
            late.extend(emit_many(unfinished, 7))

    def commit_when_fenced() -> None:
        with source.connect() as root:
            while root.execute("select count(*) from aximo_private.placements where state = 'leaving'").fetchone() != (
                1,
            ):
                time.sleep(0.002)
            time.sleep(0.2)
            unfinished.commit()

    with Busy(pair) as busy:
        time.sleep(0.5)
        emit_runs(source.connect(SERVICE), "c1", ["while it moves"])
        watcher = threading.Thread(target=commit_when_fenced)
        watcher.start()
        report = go(source, target, progress=begin_when_copied)
        watcher.join(20)
        time.sleep(0.5)
    assert report.pause_ms is not None
    assert report.pause_ms >= 200
    assert [each.switched for each in busy.writers[:2]] == [1, 1]
    # The batch that was open is in the log, once.
    with target.connect() as root:
        numbered(target)
        log = entries(root)
    assert [log.count(each) for each in late] == [1] * 7
    assert set(log) == {*before, *late, *itertools.chain(*(each.written for each in busy.writers[:2]))}
    assert len(set(log)) == len(log)
    assert problems_of(target, "c1") == []
    assert problems_of(source, "c2") == problems_of(target, "c3") == []
    with target.connect(SERVICE) as service:
        service.execute("select from aximo.refresh_metrics()")
    assert problems_of(target, "c1") == []
    # The root at which it left is that of the other node's log now.
    sizes = [text.split("\n")[1] for text in report.checkpoints]
    with target.connect(SERVICE) as service:
        (texts,) = of_customer(
            service, "c1", "select aximo.checkpoint_text(%s, 'events'), aximo.checkpoint_text(%s, 'run_events')", *sizes
        )
    assert list(texts) == report.checkpoints


# Crashes

KILLED = textwrap.dedent("""
    import os, signal, sys, threading, time
    from aximo_db.dba.move import move

    customer, source, target, at = sys.argv[1:]

    def say(step, detail):
        if step == at and not detail:
            os.kill(os.getpid(), signal.SIGKILL)

    if at.startswith("after "):
        threading.Timer(float(at.split()[1]), lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
    move(customer, source, target, progress=say)
    os._exit(0)
""")


def killed(source: FleetNode, target: FleetNode, at: str) -> bool:
    """Moves in a process of its own that is killed when a step begins, or after a time; whether it was."""
    return killed_as("c1", source.dsn(), target.dsn(), at)


def killed_as(customer: str, source: str, target: str, at: str) -> bool:
    """The same, with connection strings."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, customer, source, target, at],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


# There and back between two versions is each version on either side; the same one on both sides is tried by the heavy tests.
@pytest.mark.parametrize(
    "servers_of_pair",
    [*(pytest.param(each, marks=pytest.mark.heavy) for each in PAIRS[:-1]), PAIRS[-1]],
    ids=" to ".join,
    indirect=True,
)
def test_a_mover_that_is_killed_at_any_step_goes_on(pair: list[FleetNode]) -> None:
    source, target = pair
    fill(source, lives=10)
    for round_, step in enumerate(STEPS):
        change(source, round_)
        was = same(source, "c1")
        assert killed(source, target, step.name), step.name
        report = go(source, target)
        assert report.goes_on == (step.name != "announce")
        assert_same(was, same(target, "c1"))
        assert problems_of(target, "c1") == [], step.name
        assert (placements(source), placements(target)) == ({"c1": ("gone", target.node)}, {})
        assert leftovers(source, target) == []
        source, target = target, source
    assert_same(metrics_of(source, "c1"), metrics_of(source, "c1"))


def test_killed_at_any_moment_while_writers_write(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=5)
    numbered(source)
    with source.connect() as root:
        before = entries(root)
    random = Random(7)
    with Busy(nodes) as busy:
        for _ in range(4):
            kills = 0
            while kills < 2 and killed(source, target, f"after {0.4 + random.random() * 1.6}"):
                kills += 1
            go(source, target)
            source, target = target, source
    busy.assert_whole(source, before)
    with source.connect(SERVICE) as service:
        service.execute("select from aximo.refresh_metrics()")
    assert problems_of(source, "c1") == []
    assert leftovers(*nodes) == []


# Giving up


@pytest.mark.parametrize("at", ["settle", "subscribe", "catch up", "fence", "drain", "leave"])
def test_a_move_is_given_up_until_the_customer_has_left(nodes: list[FleetNode], at: str) -> None:
    source, target = nodes
    fill(source, lives=5)
    change(source, 0)
    was = same(source, "c1")
    assert killed(source, target, at)
    report = abandon("c1", source.dsn(), target.dsn())
    assert report.is_on == 0
    assert (placements(source), placements(target)) == ({}, {"c1": ("gone", 0)})
    assert leftovers(source, target) == []
    assert_same(was, same(source, "c1"))
    with target.connect(SERVICE) as service, pytest.raises(psycopg.Error, match="not on this node"):
        emit_one(service)
    with pytest.raises(MovedError, match="no move to be given up"):
        abandon("c1", source.dsn(), target.dsn())
    change(source, 1)
    was, metrics = same(source, "c1"), metrics_of(source, "c1")
    go(source, target)
    assert_same(was, same(target, "c1"))
    assert_same(metrics, metrics_of(target, "c1"))
    assert problems_of(target, "c1") == []


@pytest.mark.parametrize("at", ["open", "clear"])
def test_a_move_is_not_given_up_when_the_customer_has_left(nodes: list[FleetNode], at: str) -> None:
    source, target = nodes
    fill(source, lives=5)
    assert killed(source, target, at)
    with pytest.raises(MovedError) as refused:
        abandon("c1", source.dsn(), target.dsn())
    assert refused.value.rule == "move_is_under_way"
    assert go(source, target).is_on == 1


@pytest.mark.parametrize("kind", ["open", "prepared"])
def test_a_transaction_that_does_not_end_is_named_and_the_customer_stays(nodes: list[FleetNode], kind: str) -> None:
    source, target = nodes
    fill(source, lives=5)
    slow = source.connect(SERVICE, autocommit=False, application_name="slow batch")
    ids: list[UUID] = []

    def begin_when_copied(step: str, detail: str) -> None:
        if step == "fence":
            ids.extend(emit_many(slow, 3))
            if kind == "prepared":
                slow.execute("prepare transaction 'slow batch'")

    with pytest.raises(MovedError) as refused:
        go(source, target, timeout=0.5, progress=begin_when_copied)
    assert refused.value.rule == "pause_is_short"
    assert "slow batch" in str(refused.value.detail)
    assert (placements(source), placements(target)) == ({}, {"c1": ("arriving", 0)})
    with source.connect(SERVICE) as service:
        ids += [emit_one(service)]
        service.execute("commit prepared 'slow batch'") if kind == "prepared" else slow.commit()
    go(source, target)
    with target.connect() as root:
        assert set(ids) <= set(entries(root))
    assert problems_of(target, "c1") == []


def test_a_transaction_without_a_snapshot_holds_nothing_up(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=5)
    idle = source.connect(SERVICE, autocommit=False)
    idle.execute("select 1")
    go(source, target, timeout=5)
    with pytest.raises(psycopg.Error) as refused:
        emit_one(idle)
    assert refused.value.sqlstate == "ZXMOV"


# Attacks


def test_nobody_writes_where_the_customer_is_not(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=5)
    fill(source, "c2", lives=5)

    def attempts(node: FleetNode, login: str) -> dict[str, str]:
        """What becomes of writes of all kinds."""
        found = {}
        with node.connect(login) as connection:
            for name, attempt in ATTEMPTS.items():
                try:
                    with connection.transaction():
                        if login == SERVICE:
                            connection.execute("select set_config('aximo.customer_id', 'c1', true)")
                        found[name] = str(connection.execute(attempt).rowcount)
                except psycopg.Error as error:
                    found[name] = str(error.sqlstate)
        return found

    seen: dict[str, Any] = {}

    def look(step: str, detail: str) -> None:
        if detail or step not in ("publish", "drain", "open", "clear"):
            return
        for node, where in ((source, "source"), (target, "target")):
            for login in (OWN, SERVICE):
                seen[step, where, login] = attempts(node, login)
            # A login of another customer sees and does what it did.
            with node.connect(OTHER) as other:
                assert other.execute("select count(*) from aximo.placements").fetchone() == (0,)
                with pytest.raises(psycopg.Error) as refused:
                    emit_one(other, "c1")
                assert refused.value.sqlstate == "ZXCUS"
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    other.execute("select aximo.place_customer('here', 0)")
                emit_one(other, "c2") if node is source else None

    go(source, target, progress=look)
    for (step, where, login), found in seen.items():
        is_open = (step, where) in (("publish", "source"), ("clear", "target"))
        for name, outcome in found.items():
            # One that is leaving can be read; the rows of one that is hidden are not there to be updated.
            is_seen = is_open or (step, where) == ("drain", "source")
            wanted = "1" if is_open or (is_seen and name == "read") else "ZXMOV"
            if not is_seen and name in ("read", "update run"):
                wanted = "0"
            assert outcome == wanted, (step, where, login, name)


ATTEMPTS = {
    "emit": "select aximo.emit_event('sla_breached', 'd', 's', '1', 'system')",
    "run": "insert into helix.runs (run_id, project_id, tool_name, contract_version, params_hash, policy_hash, status)"
    " values (gen_random_uuid()::text, 'p', 't', 'v1', 'h', 'h', 'running')",
    "update run": "update helix.runs set error = 'x' where run_id = 'c1-empty'",
    "run event": "insert into helix.run_events (run_id, kind) values ('c1-run-0', 'run.started')",
    "read": "select from aximo.events limit 1",
}


def test_a_customer_of_the_target_with_its_own_history_stays_apart(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=5)
    with target.connect(SERVICE) as service:
        emit_one(service)
    with pytest.raises(MovedError) as refused:
        go(source, target)
    assert refused.value.rule == "customer_is_here"
    assert (placements(source), placements(target)) == ({}, {})


def test_whoever_was_writing_on_the_target_when_the_move_began_is_found(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=5)
    writer = target.connect(SERVICE, autocommit=False)
    emit_one(writer)
    threading.Timer(1.0, writer.commit).start()
    with pytest.raises(MovedError) as refused:
        go(source, target)
    assert refused.value.rule == "customer_is_here"
    assert leftovers(source, target) == []
    with source.connect(SERVICE) as service:
        emit_one(service)


# What keeps a customer where it is


def test_every_reason_is_told_at_once(nodes: list[FleetNode], first_servers: list[EmbeddedServer]) -> None:
    source, target = nodes
    fill(source, lives=5)
    strange = make_node(first_servers[1], f"strange_{next(_names)}", 0, "another/ledger")
    with strange.connect(DBA) as owner, strange.connect() as root:
        owner.execute("select aximo.revoke_customer('postgres', '*')")
        root.execute("drop trigger take_arriving on aximo_private.violations")
        root.execute("select aximo.set_threshold('error_rate', 'warning', 0.5, for_all_customers => true)")
        emit_runs(strange.connect(SERVICE), "c9", ["c1-run-0"])
    with pytest.raises(AximoError) as refused:
        go(source, strange)
    for rule in (
        "ledgers_are_one", "nodes_differ", "login_has_all_customers", "tables_are_the_same", "settings_are_the_same",
        "run_ids_are_free",
    ):  # fmt: skip
        assert rule in str(refused.value.detail), rule
    assert "select aximo.grant_customer('postgres', '*')" in str(refused.value.detail)
    assert placements(strange) == placements(source) == {}
    with pytest.raises(AximoError) as refused:
        move("c1", source.dsn(), target.dsn(SERVICE))
    # Told of the login's rights alone: without them it can't be asked for more.
    assert refused.value.rule == "login_subscribes"
    assert "login_passes_row_security" in str(refused.value.detail)
    with pytest.raises(MovedError) as refused:
        go(source, target, "nobody")
    assert refused.value.rule == "customer_has_something"
    strange.close()


def test_a_login_of_one_side_is_told(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=5)
    with target.connect(DBA) as owner:
        owner.execute("select aximo.revoke_customer(%s, 'c1')", (OWN,))
    report = go(source, target)
    assert any(f"select aximo.grant_customer('{OWN}', 'c1')" in each for each in report.warnings)


def test_what_a_login_lacks_on_the_target_is_told_before_anything_is_done(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=5)
    name = 'Odd "login"'
    with source.connect(DBA) as owner, source.connect() as root:
        root.execute(sql.SQL("create role {} login").format(sql.Identifier(name)))
        root.execute(sql.SQL("grant aximo_writer, aximo_bi to {}").format(sql.Identifier(name)))
        owner.execute("select aximo.grant_customer(%s, 'c1')", (name,))
    told: list[tuple[str, str]] = []
    go(source, target, progress=lambda step, detail: told.append((step, detail)))
    (warning,) = [detail for step, detail in told if step == "warning" and name in detail]
    assert told.index(("warning", warning)) < [step for step, _ in told].index("announce")
    # It can be pasted.
    with target.connect() as root:
        for statement in warning.split("there: ")[1].split("; "):
            root.execute(statement.encode())
    assert [each for each in go(target, source).warnings if name in each] == []
    for node in nodes:
        with node.connect() as root:
            root.execute("select aximo.revoke_customer(%s, 'c1')", (name,))
            root.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def test_who_may_not_end_a_move_begins_to_end_none(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=5)
    assert killed_as("c1", source.dsn(), target.dsn(), "catch up")
    with target.connect(DBA) as owner:
        owner.execute("select aximo.revoke_customer('postgres', '*')")
    with pytest.raises(AximoError) as refused:
        abandon("c1", source.dsn(), target.dsn())
    assert refused.value.rule == "login_has_all_customers"
    # Slots with which tables are copied come and go.
    there = [name for (name,) in leftovers(source, target) if name.startswith("aximo_move_")]
    assert len(there) == 4  # two publications, a slot, a subscription
    with target.connect(DBA) as owner:
        owner.execute("select aximo.grant_customer('postgres', '*')")
    abandon("c1", source.dsn(), target.dsn())
    assert leftovers(source, target) == []


def test_an_address_where_another_server_answers_is_told_and_another_may_be_given(
    nodes: list[FleetNode],
) -> None:
    source, target = nodes
    fill(source, lives=5)
    with pytest.raises(InstallationError) as refused:
        go(source, target, source_for_server=target.dsn())
    assert refused.value.rule == "server_reaches_source"
    assert placements(target) == {"c1": ("arriving", source.node)}
    go(source, target)
    assert (placements(source), leftovers(source, target)) == ({"c1": ("gone", target.node)}, [])


def test_a_server_that_does_not_come_is_not_waited_for_without_end(
    nodes: list[FleetNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = nodes
    fill(source, lives=5)
    assert killed_as("c1", source.dsn(), target.dsn(), "catch up")
    monkeypatch.setattr(move_module, "_AWAY_S", 2)

    def lose(step: str, detail: str) -> None:
        if step == "catch up" and not detail:
            with target.connect() as root:
                ((name,),) = root.execute("select subname from pg_subscription where subname like 'aximo%'").fetchall()
                root.execute(f"alter subscription {name} disable")

    with pytest.raises(InstallationError) as refused:
        go(source, target, progress=lose)
    assert refused.value.rule == "server_reaches_source"
    with target.connect() as root:
        ((name,),) = root.execute("select subname from pg_subscription where subname like 'aximo%'").fetchall()
        root.execute(f"alter subscription {name} enable")
    go(source, target)
    assert leftovers(source, target) == []


def test_doctor_and_removal_know_of_a_move_on_either_node(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=5)
    assert killed_as("c1", source.dsn(), target.dsn(), "catch up")
    for node, said in ((source, "is being copied from this node"), (target, "arriving from node")):
        (told,) = [each for each in examine(node.dsn(DBA)) if each.check == "moves"]
        assert told.level in ("note", "warning")
        assert said in told.message
        script = Path(__file__).parent.parent / "docs" / "ops" / "remove.sql"
        command = [tool(node.server, "psql"), "-qX", "-v", "ON_ERROR_STOP=1", "-v", f"database={node.name}"]
        done = subprocess.run(
            [*map(str, command), "-f", str(script), node.dsn(DBA)], capture_output=True, text=True, check=False
        )
        assert "a customer is being moved" in done.stderr
    go(source, target)


def test_two_movers_do_not_meet(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=5)
    with source.connect() as root:
        ledger = root.execute("select ledger from aximo_private.log_state").fetchone()
        assert ledger is not None
        root.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (name_of(ledger[0], "c1"),))
        with pytest.raises(MovedError) as refused:
            go(source, target)
        assert refused.value.rule == "one_moves_it"
    go(source, target)


# Numbers


def test_own_run_events_are_numbered_after_those_of_lower_and_higher_nodes_have_come(three: list[FleetNode]) -> None:
    low, middle, high = three
    for node, customer in zip(three, ("low", "middle", "high"), strict=True):
        with node.connect(SERVICE) as service:
            emit_runs(service, customer, [f"{customer}-run"], events=300)
            emit_many(service, 3, customer)
            advance_all(service)
    go(low, middle, "low")
    go(high, middle, "high")
    with middle.connect(SERVICE) as service, middle.connect() as root:
        open_one = middle.connect(SERVICE, autocommit=False)
        emit_runs(service, "middle", ["middle-late"], events=0)
        with open_one.transaction():
            open_one.execute("select set_config('aximo.customer_id', 'middle', true)")
            open_one.execute("insert into helix.run_events (run_id, kind) values ('middle-late', 'run.started')")
            emit_runs(service, "middle", ["middle-new"], events=5)
            emit_runs(service, "low", ["low-run"], events=5)
            emit_runs(service, "high", ["high-run"], events=5)
            assert advance_all(service) == 15
        open_one.commit()
        assert advance_all(service) == 1
        for customer, size in (("low", 305), ("middle", 306), ("high", 305)):
            assert of_customer(service, customer, "select aximo.log_size('run_events')") == [(size,)]
            assert of_customer(service, customer, "select problem from aximo.verify_log('run_events')") == []
            assert of_customer(service, customer, "select problem from aximo.verify_log()") == []
        for _ in range(4):
            advance_all(service)
        assert holes(root) == []
        assert root.execute("select aximo.mend_log()").fetchone() == (0,)
        largest = root.execute("select max(event_id) from helix.run_events").fetchone()
        assert largest is not None
        assert largest[0] < 2**53


# What doctor and a store say


def test_doctor_says_who_is_on_the_way_and_a_store_where_it_is(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=5)
    assert killed(source, target, "drain")
    found = [each for each in examine(source.dsn()) if each.check == "moves"]
    assert [(each.level, "leaving for node 1" in each.message) for each in found] == [("note", True)]
    with source.connect() as root:
        root.execute("update aximo_private.placements set since = since - interval '2 hours'")
    assert [each.level for each in examine(source.dsn()) if each.check == "moves"] == ["warning"]
    began = time.monotonic()
    with EventStore(source.dsn(OWN), retry_for=0.5) as store:
        # It can still be read.
        assert len(list(store.iter_events())) > 0
        with pytest.raises(MovedError) as refused:
            store.emit(NewEvent(event_type="sla_breached", **BASE))
    assert refused.value.rule == "customer_is_leaving"
    assert time.monotonic() - began >= 0.5
    go(source, target)
    assert [each.level for each in examine(source.dsn()) if each.check == "moves"] == ["ok"]
    for login, customer in ((OWN, None), (OWN, "c1"), (SERVICE, "c1")):
        with EventStore(source.dsn(login), customer_id=customer, retry_for=0.5) as store:
            for call in (
                lambda s=store: list(s.iter_events()),
                lambda s=store: s.executions(),
                lambda s=store: s.log_size(),
                lambda s=store: s.trace("open"),
                lambda s=store: s.emit(NewEvent(event_type="sla_breached", **BASE)),
                lambda s=store: s.runs.get("c1-run-0"),
            ):
                with pytest.raises(MovedError) as refused:
                    call()
                assert refused.value.rule == "customer_is_gone"
                assert "node 1" in str(refused.value.hint)
    with EventStore(source.dsn(OTHER)) as store:
        assert list(store.iter_events()) == []


def test_a_slot_that_is_lost_is_told(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=5)
    assert killed(source, target, "catch up")
    with source.connect() as root, target.connect() as there:
        ((name,),) = there.execute("select subname from pg_subscription").fetchall()
        there.execute(f"alter subscription {name} disable")
        root.execute(
            "select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where active_pid is not null"
        )
        root.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s", (name,)
        )
        root.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", (f"{name}_x",))
        root.execute("select pg_drop_replication_slot(%s)", (f"{name}_x",))
    with pytest.raises(AximoError):
        go(
            source,
            target,
            timeout=2,
            progress=lambda step, _: _drop_again(source, name) if step == "catch up" else None,
        )
    abandon("c1", source.dsn(), target.dsn())
    go(source, target)
    assert problems_of(target, "c1") == []


def _drop_again(node: FleetNode, name: str) -> None:
    with node.connect() as root:
        root.execute(
            "select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where slot_name = %s", (name,)
        )
        root.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s", (name,)
        )


def test_a_workers_duties_pass_over_who_is_elsewhere(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=5)
    fill(source, "c2", seed=2, lives=5)
    go(source, target)
    close = next(
        each for each in duties(close_stale=timedelta(0), customers=["c1", "c2"]) if each.name == "close_stale"
    )
    ended = list(close.steps(source.connect(SERVICE)))
    assert ended[0] == 0
    assert ended[1] > 0


# On the command line, and through PgBouncer


def test_the_command_moves_and_says_what_it_did(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=5)
    where = ["--from", source.dsn(), "--to", target.dsn()]
    found = json.loads(run("move", "c1", *where, "--json").stdout)
    assert (found["is_on"], found["changed"], found["customer"]) == (1, True, "c1")
    assert found["pause_ms"] > 0
    assert "Nothing was to do: c1 is on node 1" in run("move", "c1", *where).stdout
    state = json.loads(run("migrate", "--status", "--json", "--db", target.dsn(DBA)).stdout)
    assert (state["node"], state["ledger"].startswith(LEDGER)) == (1, True)
    assert "node 1 of" in run("migrate", "--status", "--db", target.dsn(DBA)).stdout
    refused = run("move", "c1", "--from", source.dsn(), "--to", target.dsn(), "--abandon", code=1).stderr
    assert "move_is_under_way" in refused
    run("move", "c1", *where, "--on-switch", "true", code=2)
    run("move", "c1", "--from", "mysql://x", "--to", target.dsn(), code=2)


def test_every_command_says_where_a_customer_is_that_is_gone(nodes: list[FleetNode], tmp_path: Path) -> None:
    source, target = nodes
    fill(source, lives=5)
    go(source, target)
    for login, customer in ((OWN, []), (OWN, ["-c", "c1"]), (SERVICE, ["-c", "c1"])):
        for command, arguments in COMMANDS.items():
            done = run(
                *command.split(),
                *(each.format(folder=tmp_path) for each in arguments),
                *customer,
                "--db",
                source.dsn(login),
                code=1,
            )
            assert "ZXMOV" in done.stderr, (login, customer, command, done.stderr)
            assert "node 1" in done.stderr, (login, customer, command)


#: What a command for one customer is given.
COMMANDS: dict[str, list[str]] = {
    "emit": ["sla_breached", "--deployment", "d", "--skill", "s", "--skill-version", "1"],
    "export": [],
    "export --format cloudevents": [],
    "export --format ocel-json": [],
    "trace": ["open"],
    "executions": [],
    "tail": [],
    "metrics": [],
    "report": ["-o", "{folder}/report.html"],
    "checkpoint": [],
    "verify": [],
    "verify-metrics": [],
    "prove": ["aaaaaaaa-0000-4000-8000-000000000001"],
    "runs list": [],
    "runs show": ["c1-run-0"],
    "runs export": [],
}


@contextlib.contextmanager
def bouncer_of(folder: Path, node: FleetNode, name: str) -> Iterator[Path]:
    """A PgBouncer with a database name that leads to a node."""
    demotion = _run_as()
    (folder / "users.txt").write_text("".join(f'"{user}" ""\n' for user in (SERVICE, "postgres")))
    (folder / "databases.ini").write_text(leads_to(name, node))
    (folder / "pgbouncer.ini").write_text(
        f"%include {folder}/databases.ini\n[pgbouncer]\nlisten_addr =\nlisten_port = 6433\nunix_socket_dir = {folder}\n"
        f"auth_type = trust\nauth_file = {folder}/users.txt\nadmin_users = postgres\npool_mode = transaction\n"
        f"logfile = {folder}/log\npidfile = {folder}/pid\n"
    )
    if demotion:
        for each in (folder, *folder.iterdir()):
            os.chown(each, demotion["user"], demotion["group"])
    process = subprocess.Popen(
        [str(BOUNCER), "-q", str(folder / "pgbouncer.ini")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **demotion,
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(f"host={folder} port=6433 user={SERVICE} dbname={name}").close()
                break
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.05)
        yield folder
    finally:
        process.terminate()
        process.wait(20)


def leads_to(name: str, node: FleetNode) -> str:
    return f"[databases]\n{name} = host={node.server.socket_dir} port={node.server.socket_port} dbname={node.name}\n"


@pytest.mark.skipif(BOUNCER is None, reason="no pgbouncer on this machine")
def test_clients_of_a_pgbouncer_notice_nothing_but_a_wait(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=5)
    folder = Path(tempfile.mkdtemp(prefix="aximo-move-"))
    stop = threading.Event()
    written: list[Any] = []

    def write() -> None:
        options = f"host={folder} port=6433 user={SERVICE} dbname=acme"
        with EventStore(options, customer_id="c1", retry_for=30) as store:
            while not stop.is_set():
                written.append(store.emit(NewEvent(event_type="sla_breached", **BASE)).event_id)
                stop.wait(0.01)

    try:
        (folder / "next.ini").write_text(leads_to("acme", target))
        with bouncer_of(folder, source, "acme"):
            bouncer = Bouncer(
                f"host={folder} port=6433 user=postgres dbname=pgbouncer",
                "acme",
                f"cp {folder}/next.ini {folder}/databases.ini",
                20,
            )
            with ThreadPoolExecutor(1) as pool:
                writing = pool.submit(write)
                time.sleep(0.5)
                go(source, target, bouncer=bouncer)
                time.sleep(0.5)
                stop.set()
                writing.result(30)
            numbered(target)
            with target.connect() as root:
                log = entries(root)
            assert set(written) <= set(log)
            with target.connect(SERVICE) as service:
                after = of_customer(
                    service, "c1", "select count(*) from aximo.events where recorded_at > now() - interval '1 second'"
                )
            assert after[0][0] > 0
            # A command that fails leaves the clients going, and the customer where it is now.
            failing = Bouncer(bouncer.dsn, "acme", "false", 20)
            with pytest.raises(AximoError) as refused:
                go(target, source, bouncer=failing)
            assert refused.value.rule == "switch_succeeds"
            assert leftovers(target) != []
            (folder / "databases.ini").write_text(leads_to("acme", source))
            go(target, source, bouncer=Bouncer(bouncer.dsn, "acme", None, 20))
            with psycopg.connect(f"host={folder} port=6433 user={SERVICE} dbname=acme", autocommit=True) as client:
                emit_one(client)
            assert leftovers(*nodes) == []
    finally:
        stop.set()
        shutil.rmtree(folder, ignore_errors=True)


# A large one


@pytest.mark.heavy
def test_a_million_events_move_with_three_crashes(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=25)
    moves.fill(source, int(os.environ.get("AXIMO_TEST_MOVED", "1000000")))
    numbered(source)
    with source.connect() as root:
        before = entries(root)
    with source.connect(SERVICE) as service:
        service.execute("select from aximo.refresh_metrics()")
    unfinished = source.connect(SERVICE, autocommit=False)
    late: list[UUID] = []

    def begin_when_copied(step: str, detail: str) -> None:
        if step == "fence":
            late.extend(emit_many(unfinished, 7))
            threading.Timer(0.3, unfinished.commit).start()

    with Busy(nodes) as busy:
        assert killed(source, target, "after 3")
        assert killed(source, target, "after 6")
        assert killed(source, target, "fence")
        report = go(source, target, progress=begin_when_copied)
        time.sleep(1)
    assert report.pause_ms is not None
    assert report.events > 1_000_000 or "AXIMO_TEST_MOVED" in os.environ
    with target.connect() as root:
        numbered(target)
        log = entries(root)
    assert log[: len(before)] == before
    assert set(log) == {*before, *late, *itertools.chain(*(each.written for each in busy.writers[:2]))}
    assert len(set(log)) == len(log)
    with target.connect(SERVICE) as service:
        is_behind = True
        while is_behind:
            (is_behind,) = service.execute("select is_behind from aximo.count_metrics()").fetchone() or (False,)
        service.execute("select from aximo.refresh_metrics()")
        granted = event("approval_granted", "open", customer_id="c1", payload={"approval_id": "a"})
        service.execute("select from aximo.emit_events(%s)", (Jsonb([granted]),))
        emit_one(service, "c1", "execution_completed", "open")
        advance_all(service)
        assert of_customer(service, "c1", "select problem from aximo.verify_log()") == []
        assert of_customer(service, "c1", "select problem from aximo.verify_executions()") == []
        service.execute("select from aximo.refresh_metrics()")
        assert of_customer(service, "c1", "select * from aximo.verify_metrics()") == []
    assert problems_of(source, "c2") == problems_of(target, "c3") == []
    assert leftovers(source, target) == []
    print(f"pause {report.pause_ms} ms, {report.seconds}")
