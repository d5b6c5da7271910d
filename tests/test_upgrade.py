"""Ledgers that releases left behind are upgraded while others work, are killed meanwhile, and serve the clients of those releases."""

from __future__ import annotations

import os
import random
import shlex
import subprocess
import sys
import tarfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from aximo_db import EventStore, NewEvent
from aximo_db.client import statements
from aximo_db.contract import compare, contract_names, read_contract, shipped_contract
from aximo_db.dba.doctor import examine
from aximo_db.dba.migrate import migrate, planned, schema_state
from aximo_db.dba.verify_log import verify_log
from aximo_db.dba.verify_metrics import verify_metrics
from aximo_db.dba.worker import Worker, duties
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import QUICK, Ledger
from tests.log_support import advance_all, assert_holes_vanish, emit_one, entries, holes, of_customer
from tests.test_install import catalog, differences, dump
from tests.upgrade_support import CUSTOMERS, RELEASES, ROOT, released_ledger, upgrading
from tools.contract_since_release import RELEASED

#: Seconds that nobody may wait for a migration.
LONGEST = 1.0
WHO: dict[str, Any] = {"deployment_id": "dep-1", "skill_id": "leads", "skill_version": "1.0", "actor": "system"}


@pytest.fixture(params=RELEASES)
def released(server: EmbeddedServer, request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """A ledger of each release, on every PostgreSQL."""
    with released_ledger(server, request.param) as ledger:
        yield ledger


# Nothing is lost, and what comes of it is what a new installation has


def rows(ledger: Ledger) -> dict[str, list[str]]:
    """What is in each table, column by column, so that a column that was added can be left out."""
    found = {}
    with psycopg.connect(ledger.dsn("postgres"), autocommit=True) as root:
        columns = root.execute(
            "select c.oid::regclass::text, a.attname from pg_class as c join pg_attribute as a on a.attrelid = c.oid"
            " where c.relnamespace::regnamespace::text ~ '^(aximo|helix)' and c.relkind in ('r', 'S') and a.attnum > 0"
            " and not a.attisdropped and c.relname <> 'alembic_version'"
        ).fetchall()
        for table, column in columns:
            query = sql.SQL("select {}::text from {} as t order by ctid").format(
                sql.Identifier(column), sql.Identifier(*table.split("."))
            )
            found[f"{table}.{column}"] = [value for (value,) in root.execute(query)]
    return found


def test_no_value_changes_and_the_schema_is_that_of_a_new_installation(
    released: Ledger, server: EmbeddedServer
) -> None:
    before = rows(released)
    assert len(before["aximo_private.log_holes.first_position"]) == 1
    done = migrate(released.dsn())
    assert (done.changed, done.after.is_newest) == (True, True)
    after = rows(released)
    assert {name: after[name] for name in before} == before
    # Privileges that a restored ledger states are those that a new one has by default: so not by the catalog.
    assert differences(dump(server, "template_fresh"), dump(server, released.name)) == []
    check(released)


def check(ledger: Ledger) -> None:
    """Whatever looks a ledger over finds nothing wrong, and it offers what both contracts say."""
    keeper = ledger.login(f"keeper_{uuid4().hex[:8]}", "aximo_operator", "aximo_auditor", customers=("*",))
    for customer in CUSTOMERS:
        for log in ("events", "run_events"):
            verdict = verify_log(ledger.dsn(keeper), customer_id=customer, log=log)  # type: ignore[arg-type]
            assert (verdict.ok, verdict.problems) == (True, []), customer
        told = verify_metrics(ledger.dsn(keeper), customer_id=customer)
        assert (told.ok, told.differences) == (True, []), customer
    for name in contract_names():
        shipped = shipped_contract(name)
        assert compare(shipped, read_contract(ledger.connect(), name, shipped)) == []
    assert [finding for finding in examine(ledger.dsn()) if finding.level == "error"] == []


def test_what_was_passed_over_before_gets_its_number_after(released: Ledger) -> None:
    service = released.connect(released.login("service", "aximo_writer", "aximo_operator"))
    root = released.superuser()
    advance_all(service)
    late = released.connect("service", autocommit=False)
    with late.transaction():
        event_id = emit_one(late, "acme")
        emit_one(service, "acme")
        advance_all(service)
    remembered = holes(root)
    assert event_id not in entries(root, "acme")
    migrate(released.dsn())
    assert holes(root) == remembered
    advance_all(service)
    assert entries(root, "acme")[-1] == event_id
    assert_holes_vanish(root, service)


# While others work


@dataclass
class Load:
    """Everybody who works with a ledger, each in a thread of its own."""

    ledger: Ledger
    calls: Counter[str] = field(default_factory=Counter)
    retries: Counter[str] = field(default_factory=Counter)
    longest: dict[str, float] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    written: dict[str, list[UUID]] = field(default_factory=lambda: {customer: [] for customer in CUSTOMERS})
    consumed: list[int] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _workers: list[Worker] = field(default_factory=list)

    def start(self) -> None:
        ledger = self.ledger
        ledger.login("service", "aximo_writer")
        ledger.login("keeper", "aximo_operator", customers=("*",))
        ledger.login("consumer", "aximo_auditor", "aximo_writer", customers=("acme",))
        ledger.login("analyst", "aximo_bi", customers=("acme",))
        kinds: list[Callable[[EventStore, int], list[UUID]]] = [self.life, self.approvals, self.batch, self.many]
        for number in range(8):
            # Several for a customer, and of each kind for more than one.
            customer = CUSTOMERS[number % len(CUSTOMERS)]
            self.loop(f"writer {number}", self.writer(kinds[number % len(kinds)], number, customer))
        self.loop("gateway", self.gateway)
        self.loop("consumer", self.consumer)
        self.loop("views", self.views)
        self.loop("prepared", self.prepared)
        for name, kept in (
            ("advance", duties(advance_every=0.2, refresh_every=None)),
            ("refresh", duties(refresh_every=0.5)),
        ):
            worker = Worker(ledger.dsn("keeper"), [duty for duty in kept if duty.name == name], observer=Kept(self))
            self._workers.append(worker)
            self._threads.append(threading.Thread(target=worker.run, name=name))
        for thread in self._threads:
            thread.start()

    def loop(self, name: str, work: Callable[[], Iterator[None]]) -> None:
        """Does one step after the other until the end, and notes how long the longest took."""

        def run() -> None:
            try:
                steps = work()
                while not self.ended.is_set():
                    began = time.monotonic()
                    next(steps)
                    self.longest[name] = max(self.longest.get(name, 0.0), time.monotonic() - began)
                    self.calls[name] += 1
                    # Always somebody at work, and nobody starved: what is tried is waiting for locks, not for a processor.
                    self.ended.wait(0.2)
                steps.close()  # type: ignore[attr-defined]
            except Exception:
                self.errors.append(f"{name}: {traceback.format_exc()}")

        self._threads.append(threading.Thread(target=run, name=name))

    def go_on(self, steps: int = 3) -> None:
        """Returns when everybody has done so many steps more."""
        before = Counter(self.calls)
        names = [thread.name for thread in self._threads]
        deadline = time.monotonic() + 120
        while any(self.calls[name] < before[name] + steps for name in names):
            assert not self.errors, self.errors
            behind = {
                name: self.calls[name] - before[name] for name in names if self.calls[name] < before[name] + steps
            }
            assert time.monotonic() < deadline, behind
            time.sleep(0.01)

    def stop(self) -> None:
        self.ended.set()
        for worker in self._workers:
            worker.stop()
        for thread in self._threads:
            thread.join(60)

    # What they do

    def writer(
        self, kind: Callable[[EventStore, int], list[UUID]], number: int, customer: str
    ) -> Callable[[], Iterator[None]]:
        def work() -> Iterator[None]:
            name = f"writer {number}"
            count = lambda retry: self.retries.update([name])  # noqa: E731
            with EventStore(self.ledger.dsn("service"), customer_id=customer, on_retry=count) as store:
                turn = -1
                while True:
                    turn += 1
                    self.written[customer] += kind(store, number * 1_000_000 + turn)
                    yield

        return work

    def life(self, store: EventStore, turn: int) -> list[UUID]:
        execution = f"life-{turn // 4}"
        step = ("execution_triggered", "execution_processing", "action_dispatched", "execution_completed")[turn % 4]
        payload = {"action_type": "send_email"} if step == "action_dispatched" else {}
        return [store.emit(NewEvent(event_type=step, execution_id=execution, payload=payload, **WHO)).event_id]

    def approvals(self, store: EventStore, turn: int) -> list[UUID]:
        execution, asked = f"asked-{turn // 2}", {"approval_id": f"p{turn // 2}"}
        names = ("execution_triggered", "execution_processing", "approval_requested", "approval_granted")
        return [
            store.emit(
                NewEvent(event_type=name, execution_id=execution, payload=asked if "approval" in name else {}, **WHO)
            ).event_id
            for name in (names[2:] if turn % 2 else names[:2])
        ]

    def batch(self, store: EventStore, turn: int) -> list[UUID]:
        names = ("execution_triggered", "execution_processing", "execution_failed")
        events = [NewEvent(event_type=name, execution_id=f"batch-{turn}", payload={}, **WHO) for name in names]
        return [receipt.event_id for receipt in store.emit_batch(events)]

    def many(self, store: EventStore, turn: int) -> list[UUID]:
        events = [NewEvent(event_type="sla_breached", event_id=uuid4(), payload={"n": n}, **WHO) for n in range(50)]
        assert store.emit_many(events).inserted == 50
        return [event.event_id for event in events if event.event_id is not None]

    def gateway(self) -> Iterator[None]:
        """A run and its events by SQL alone, as a gateway writes them. Nothing is tried again."""
        with psycopg.connect(self.ledger.dsn("service"), autocommit=True) as connection:
            connection.execute("select set_config('aximo.customer_id', 'acme', false)")
            while True:
                run = f"run-{uuid4()}"
                connection.execute(
                    "insert into helix.runs (run_id, project_id, tool_name, contract_version, params_hash, policy_hash, status)"
                    " values (%s, 'p', 'render', '1', 'h', 'h', 'queued')",
                    [run],
                )
                connection.execute(
                    "update helix.runs set status = 'running', started_at = now() where run_id = %s", [run]
                )
                connection.execute(
                    "insert into helix.run_events (run_id, kind, message) values (%s, 'run.started', 'm')", [run]
                )
                connection.execute(
                    "update helix.runs set status = 'succeeded', finished_at = now() where run_id = %s", [run]
                )
                yield

    def consumer(self) -> Iterator[None]:
        with EventStore(self.ledger.dsn("consumer"), customer_id="acme") as store:
            while True:
                with store.consume("follower", 200) as batch:
                    self.consumed += [entry.number for entry in batch.entries]
                yield

    def views(self) -> Iterator[None]:
        with psycopg.connect(self.ledger.dsn("analyst"), autocommit=True) as connection:
            connection.execute("select set_config('aximo.customer_id', 'acme', false)")
            found = connection.execute(
                "select viewname from pg_views where schemaname = 'aximo_metrics' order by 1"
            ).fetchall()
            assert len(found) > 10
            while True:
                for (view,) in found:
                    connection.execute(
                        sql.SQL("select * from aximo_metrics.{}").format(sql.Identifier(view))
                    ).fetchall()
                yield

    def prepared(self) -> Iterator[None]:
        """A session that prepared its statements long before the upgrade, and one that has a plan of them."""
        with psycopg.connect(self.ledger.dsn("analyst"), autocommit=True) as connection:
            connection.execute("select set_config('aximo.customer_id', 'acme', false)")
            connection.execute("set plan_cache_mode = force_generic_plan")
            for number, view in enumerate(("execution_health", "tool_runs", "customer_overview", "freshness")):
                connection.execute(f"prepare of_{number} as select * from aximo_metrics.{view}")  # type: ignore[call-overload]
            while True:
                for number in range(4):
                    connection.execute(f"execute of_{number}").fetchall()  # type: ignore[call-overload]
                yield


@dataclass
class Kept:
    """What a worker tells of its duties."""

    load: Load

    def done(self, duty: str, seconds: float, *, is_whole: bool) -> None:
        self.load.calls[duty] += 1

    def failed(self, duty: str, sqlstate: str) -> None:
        self.load.errors.append(f"{duty}: {sqlstate}")


@dataclass
class Watch:
    """How long sessions wait for locks that a migration holds or waits for itself.

    A busy machine makes calls slow as well. So it is not their time that is looked at, but who waits for whom, and since when.
    """

    ledger: Ledger
    waits: dict[tuple[int, Any], float] = field(default_factory=dict)
    _calls: dict[tuple[int, Any], tuple[int, Any]] = field(default_factory=dict)
    _ended: threading.Event = field(default_factory=threading.Event)

    QUERY = """
        select w.pid, w.waitstart, a.query_start, extract(epoch from clock_timestamp() - w.waitstart)::float
        from pg_locks as w join pg_stat_activity as a on a.pid = w.pid
        where not w.granted and a.datname = current_database() and a.application_name <> 'aximo-db migrate'
            and exists (
                select from pg_stat_activity as m
                where m.application_name = 'aximo-db migrate' and m.datname = current_database()
                    and m.pid = any(pg_blocking_pids(w.pid))
            )
    """

    def run(self) -> None:
        with psycopg.connect(self.ledger.dsn("postgres"), autocommit=True) as root:
            while not self._ended.is_set():
                for pid, since, called, seconds in root.execute(self.QUERY).fetchall():
                    self.waits[pid, since] = seconds
                    self._calls[pid, since] = pid, called
                time.sleep(0.005)

    @contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def longest(self) -> float:
        """The longest wait of a statement, for all of its locks."""
        sums: Counter[tuple[int, Any]] = Counter()
        for wait, seconds in self.waits.items():
            sums[self._calls[wait]] += seconds  # type: ignore[assignment]
        return max(sums.values(), default=0.0)


def state_of_logs(ledger: Ledger) -> dict[str, Any]:
    """What must not change of what there is: numbers, leaves and roots, checkpoints, cursors, settings."""
    root, owner = ledger.superuser(), ledger.connect()
    found: dict[str, Any] = {}
    for customer in CUSTOMERS:
        sizes = dict(
            root.execute(
                "select log, max(number) from aximo_private.log_entries where customer_id = %s group by log", [customer]
            ).fetchall()
        )
        for log, size in sizes.items():
            found[customer, log] = size, of_customer(owner, customer, "select aximo.log_root(%s, %s)", size, log)
    for table in ("checkpoints", "thresholds", "metric_lists", "customer_grants"):
        found[table] = {row[0] for row in root.execute(f"select t::text from aximo_private.{table} as t").fetchall()}  # type: ignore[call-overload]
    found["billing"] = root.execute(
        "select t::text from aximo_private.log_cursors as t where t::text like '%billing%'"
    ).fetchall()
    return found


def assert_unchanged(ledger: Ledger, before: dict[str, Any]) -> None:
    owner = ledger.connect()
    now = state_of_logs(ledger)
    for what, value in before.items():
        if isinstance(what, tuple):
            size, node = value
            assert of_customer(owner, what[0], "select aximo.log_root(%s, %s)", size, what[1]) == node, what
        elif isinstance(value, set):
            assert value <= now[what], what
        else:
            assert now[what] == value, what


@pytest.mark.skipif(QUICK, reason="it takes its time")
def test_an_upgrade_under_load(released: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    # Newer than the database, this package's stores would refuse it. So it is its own calls that are tried here, not those of the
    # release's client: test_the_client_of_a_release_works tries these, after the upgrade.
    monkeypatch.setattr(statements, "OLDEST_SCHEMA", 1)
    before = state_of_logs(released)
    state = schema_state(released.dsn())
    load, watch = Load(released), Watch(released)
    first_written = {customer: set(entries(released.superuser(), customer)) for customer in CUSTOMERS}
    load.start()
    try:
        with watch.watching():
            load.go_on()
            # Somebody has one of the relations and does not let go: nothing is done, and nobody waits long.
            held = planned(schema_state(released.dsn()))[0].locks[0]
            reader = released.superuser()
            reader.execute("begin")
            reader.execute(f"select from {held}")  # type: ignore[call-overload]
            refused = upgrading(released, options="-c aximo.migration_attempts=4")
            told = refused.communicate()[1]
            assert refused.returncode == 1, told
            assert "migration_gets_its_locks" in told
            assert f"pid {reader.info.backend_pid}" in told
            reader.execute("rollback")
            assert watch.waits, "nobody was seen to wait"
            assert schema_state(released.dsn()) == state
            load.go_on()
            # On a busy machine a writer's transaction may last longer than an attempt waits, so there are more of them.
            done = upgrading(released, options="-c aximo.migration_attempts=200")
            told = done.communicate()[1]
            assert done.returncode == 0, told
            load.go_on()
    finally:
        load.stop()
    assert load.errors == []
    assert schema_state(released.dsn()).is_newest
    print(
        f"longest wait {watch.longest():.3f} s of {len(watch.waits)}; calls {load.calls}; longest calls {load.longest}"
    )
    assert watch.longest() < LONGEST
    # What was acknowledged is there, once, numbered without a gap, in front of it what there was.
    keeper = released.connect("keeper")
    advance_all(keeper)
    root = released.superuser()
    for customer in CUSTOMERS:
        found = entries(root, customer)
        assert len(found) == len(set(found))
        assert set(load.written[customer]) <= set(found)
        assert first_written[customer] <= set(found)
    assert load.consumed == list(range(1, len(load.consumed) + 1))
    keeper.execute("call aximo.keep_metrics()")
    assert_holes_vanish(root, keeper)
    assert_unchanged(released, before)
    check(released)


# Killed


def kill(ledger: Ledger, process: subprocess.Popen[str], way: str, after: float) -> None:
    """Ends an upgrade so long after it came to the database, and waits until nothing of it is left."""
    root = ledger.superuser()
    ours = "from pg_stat_activity where application_name = 'aximo-db migrate' and datname = current_database()"
    root.execute("set statement_timeout = '60s'")
    # The state is looked at by an earlier connection: it is the transaction that counts.
    while process.poll() is None and root.execute(f"select {ours} and backend_xid is not null").rowcount == 0:
        pass
    time.sleep(after)
    if way == "client":
        process.kill()
    else:
        root.execute(f"select pg_terminate_backend(pid) {ours}")
    process.communicate()
    while root.execute(f"select {ours}").rowcount > 0:
        time.sleep(0.01)


def kill_again_and_again(server: EmbeddedServer, release: str, times: int) -> Counter[str]:
    """Kills upgrades of a release, and says how often which revision was left. Each one left is whole, and can be gone on from."""
    with released_ledger(server, release) as ledger:
        state = schema_state(ledger.dsn())
        assert state.revision is not None
        schemas = {state.revision: catalog(server, ledger.name)}
        began = time.monotonic()
        for step in planned(state):
            migrate(ledger.dsn(), revision=step.revision)
            schemas[step.revision] = catalog(server, ledger.name)
        lasted = time.monotonic() - began
    oldest, *_, newest = schemas
    left: Counter[str] = Counter()
    chance = random.Random(7)
    for turn in range(times):
        with released_ledger(server, release) as ledger:
            kill(ledger, upgrading(ledger), ("client", "session")[turn % 2], chance.uniform(0, lasted) if turn else 0)
            revision = schema_state(ledger.dsn()).revision
            assert revision is not None
            assert differences(schemas[revision], catalog(server, ledger.name)) == []
            left[revision] += 1
            assert turn or revision == oldest, "the first is killed as soon as it begins"
            assert migrate(ledger.dsn()).changed == (revision != newest)
            assert differences(schemas[newest], catalog(server, ledger.name)) == []
    return left


def test_a_killed_upgrade_leaves_the_schema_of_a_revision(server: EmbeddedServer) -> None:
    kill_again_and_again(server, RELEASES[-1], 2 if QUICK else 4)


@pytest.mark.heavy
@pytest.mark.parametrize("release", RELEASES)
def test_an_upgrade_that_is_killed_at_any_moment(server: EmbeddedServer, release: str) -> None:
    assert len(kill_again_and_again(server, release, 60)) > 1


def test_an_upgrade_that_is_killed_while_it_waits_holds_nothing(released: Ledger) -> None:
    old = catalog(released.server, released.name)
    reader = released.superuser()
    reader.execute("begin")
    reader.execute(f"select from {planned(schema_state(released.dsn()))[0].locks[0]}")  # type: ignore[call-overload]
    process = upgrading(released)
    kill(released, process, "session", 1.0)
    assert process.returncode != 0
    reader.execute("rollback")
    assert catalog(released.server, released.name) == old
    assert migrate(released.dsn()).changed


# The clients of a release


#: Test files of what a client calls. Those that hold the catalog, the version or a checkout's files against each other are not the client's.
CLIENT_FILES = (
    "async_store", "connections", "emit", "environment", "error_outcomes", "feed", "flow_properties", "helix", "hostile_input", "importer",
    "interrupted_scopes", "lost_connections", "metrics", "moments", "races", "retries", "rows", "run_files", "runs_store", "source", "store", "tlog",
    "unbound_logins",
)  # fmt: skip
#: Run by a program of its own, as a DBA's would be: the tests of a release import the package of that release.
MIGRATE = "from aximo_db.dba.migrate import migrate; migrate(sys.argv[1])"


def run_released_tests(release: str, folder: Path, *arguments: str, **environment: str) -> None:
    """Runs tests of a release, with its client, on databases that it installed and this package upgraded."""
    with tarfile.open(ROOT / RELEASED / release / f"aximo_db-{release}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    checkout = folder / f"aximo_db-{release}"
    # Some ask by name for a database that was installed from sql/. They too get one that was upgraded.
    conftest = checkout / "tests" / "conftest.py"
    named = 'template_dbname=f"template_{install}"'
    text = conftest.read_text(encoding="utf-8")
    assert named in text
    conftest.write_text(text.replace(named, 'template_dbname="template_migrated"'), encoding="utf-8")
    upgrade = shlex.join([sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {MIGRATE}"])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=checkout,
        env={**os.environ, "AXIMO_TEST_UPGRADE": upgrade, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:]
    assert " passed" in done.stdout


@pytest.mark.skipif(QUICK, reason="it takes its time")
@pytest.mark.parametrize("release", RELEASES)
def test_the_client_of_a_release_works(release: str, tmp_path: Path) -> None:
    files = [f"tests/test_{name}.py" for name in ("store", "feed", "runs_store")]
    run_released_tests(release, tmp_path, "-m", "not heavy", *files, AXIMO_TEST_QUICK="1")


@pytest.mark.heavy
@pytest.mark.parametrize("release", RELEASES)
def test_all_that_a_client_of_a_release_is_tested_by(release: str, tmp_path: Path) -> None:
    run_released_tests(release, tmp_path, "-m", "not bi", *(f"tests/test_{name}.py" for name in CLIENT_FILES))
