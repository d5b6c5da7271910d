"""The worker does its duties whatever happens to its connection, and who watches sees how the ledger does, and no customer."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import yaml
from psycopg.types.json import Jsonb

from aximo_db import EventStore, tlog
from aximo_db.audit import check_published
from aximo_db.client.errors import InstallationError, MalformedEventError, SchemaVersionError
from aximo_db.dba import worker as worker_module
from aximo_db.dba.publish import Publishing
from aximo_db.dba.worker import Duty, Worker, duties
from aximo_db.dba.worker_http import Telling, is_live, is_ready
from tests.conftest import Ledger
from tests.events import event
from tests.log_support import emit_many, emit_one, of_customer
from tests.test_cli import run

OPS = Path(__file__).resolve().parent.parent / "docs" / "ops"
COLUMNS = (
    "entries", "unnumbered_positions", "holes", "violations", "uncounted_entries", "open_executions_over_an_hour",
)  # fmt: skip


@pytest.fixture
def keeper(each_ledger: Ledger) -> str:
    """An operator of all customers, as a worker has."""
    return each_ledger.login("log_keeper", "aximo_operator", customers=("*",))


@pytest.fixture
def writer(each_ledger: Ledger) -> psycopg.Connection[Any]:
    return each_ledger.connect(each_ledger.login("worker_writer", "aximo_writer", "aximo_operator", customers=("*",)))


# What is told of the ledger


def status(connection: psycopg.Connection[Any], log: str = "events") -> dict[str, int]:
    row = connection.execute(
        f"select {', '.join(COLUMNS)} from aximo.ledger_status() where log = %s", (log,)
    ).fetchone()
    assert row is not None
    return dict(zip(COLUMNS, row, strict=True))


def test_the_status_says_how_the_ledger_does(each_ledger: Ledger, writer: psycopg.Connection[Any]) -> None:
    monitor = each_ledger.connect(each_ledger.login("ledger_monitor", "aximo_monitor"))
    assert status(monitor) == dict.fromkeys(COLUMNS, 0)
    emit_many(writer, 5, "c1")
    emit_many(writer, 2, "c2")
    assert status(monitor) == dict.fromkeys(COLUMNS, 0) | {"unnumbered_positions": 7}
    with writer.transaction(force_rollback=True):
        emit_one(writer)
    emit_one(writer)
    writer.execute("select from aximo.advance_log()")
    assert status(monitor) == dict.fromkeys(COLUMNS, 0) | {"entries": 8, "holes": 1, "uncounted_entries": 8}
    writer.execute("select from aximo.count_metrics()")
    writer.execute("select from aximo.advance_log()")
    writer.execute("select from aximo.advance_log()")
    assert status(monitor) == dict.fromkeys(COLUMNS, 0) | {"entries": 8}
    old = [event("execution_triggered", f"x{n}", timestamp="2026-03-01T10:00:00Z") for n in range(3)]
    writer.execute("select from aximo.import_events(%s, 'c1')", (Jsonb([*old, event("execution_triggered", "x0")]),))
    found = status(monitor)
    assert (found["open_executions_over_an_hour"], found["unnumbered_positions"]) == (3, 4)
    assert status(monitor, "run_events") == dict.fromkeys(COLUMNS, 0)
    # PostgreSQL counts rows when a session tells it to, or ends.
    root = each_ledger.superuser()
    writer.close()
    for _ in range(100):
        root.execute("select pg_stat_clear_snapshot()")
        if status(monitor)["violations"] == 1:
            break
        time.sleep(0.1)
    assert status(monitor)["violations"] == 1


def test_the_status_says_when_a_checkpoint_was_last_kept(each_ledger: Ledger, writer: psycopg.Connection[Any]) -> None:
    monitor = each_ledger.connect(each_ledger.login("ledger_monitor", "aximo_monitor"))
    kept = "select distinct stored_checkpoint_at from aximo.ledger_status()"
    assert monitor.execute(kept).fetchall() == [(None,)]
    emit_one(writer)
    writer.execute("select from aximo.advance_log()")

    def keep(connection: psycopg.Connection[Any]) -> None:
        connection.execute("select set_config('aximo.customer_id', 'c1', true)")
        connection.execute("select aximo.add_checkpoint(aximo.checkpoint_text())")

    with writer.transaction():
        keep(writer)
    ((first,),) = monitor.execute(kept).fetchall()
    assert abs(first.timestamp() - time.time()) < 60
    # Nobody waits for who leaves a transaction open after he kept one.
    each_ledger.superuser().execute("select setval('aximo_private.checkpoint_clock', 1)")
    with each_ledger.connect("worker_writer", autocommit=False) as idle:
        keep(idle)
        writer.execute("set lock_timeout = '1s'")
        with writer.transaction():
            keep(writer)
    assert monitor.execute(kept).fetchone() >= (first,)
    # What is no checkpoint is not noted.
    each_ledger.superuser().execute("select setval('aximo_private.checkpoint_clock', 1)")
    with pytest.raises(psycopg.Error), writer.transaction():
        writer.execute("select set_config('aximo.customer_id', 'c1', true), aximo.add_checkpoint('x')")
    ((noted,),) = monitor.execute(kept).fetchall()
    assert noted.timestamp() == 1


def test_an_entry_that_came_late_is_counted_too(each_ledger: Ledger, writer: psycopg.Connection[Any]) -> None:
    slow = each_ledger.connect("worker_writer", autocommit=False)
    emit_one(slow)
    emit_one(writer)
    writer.execute("select from aximo.advance_log()")
    assert status(writer)["entries"] == 1
    slow.commit()
    writer.execute("select from aximo.advance_log()")
    assert status(writer)["entries"] == 2


def test_who_watches_may_do_nothing_else(each_ledger: Ledger) -> None:
    emit_one(each_ledger.as_service())
    monitor = each_ledger.connect(each_ledger.login("ledger_monitor", "aximo_monitor"))
    relations = each_ledger.superuser().execute(
        "select c.oid::regclass::text from pg_class as c join pg_namespace as n on n.oid = c.relnamespace"
        " where n.nspname in ('aximo', 'aximo_metrics', 'aximo_private', 'helix') and c.relkind in ('r', 'v', 'm')"
    )
    for (relation,) in relations.fetchall():
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            monitor.execute(f"select from {relation}")
    functions = monitor.execute(
        "select p.oid::regprocedure::text from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace"
        " where n.nspname in ('aximo', 'aximo_private', 'helix') and has_function_privilege(p.oid, 'execute')"
        " and has_schema_privilege(n.oid, 'usage') order by 1"
    )
    assert functions.fetchall() == [("aximo.ledger_status()",), ("aximo.schema_version()",)]


def test_a_customers_own_login_does_not_see_how_much_others_have(each_ledger: Ledger) -> None:
    bound = each_ledger.as_customer("c1", "aximo_operator", "aximo_monitor")
    with pytest.raises(psycopg.Error) as refused:
        bound.execute("select from aximo.ledger_status()")
    assert (refused.value.sqlstate, refused.value.diag.constraint_name) == ("ZXCUS", "numbers_for_all")


def test_the_status_costs_the_same_however_much_there_is(each_ledger: Ledger, writer: psycopg.Connection[Any]) -> None:
    root = each_ledger.superuser()

    def buffers() -> int:
        plan = root.execute("explain (analyze, buffers, format json) select * from aximo.ledger_status()").fetchone()
        assert plan is not None
        return int(plan[0][0]["Plan"]["Shared Hit Blocks"] + plan[0][0]["Plan"]["Shared Read Blocks"])

    def grow(count: int) -> int:
        emit_many(writer, count, "c1")
        lives = [
            event(kind, f"{count}-{n}", timestamp="2026-03-01T10:00:00Z")
            for n in range(count)
            for kind in ("execution_triggered", "execution_processing", "execution_completed")
        ]
        writer.execute("select from aximo.import_events(%s, 'c1')", (Jsonb(lives),))
        for statement in ("advance_log", "count_metrics"):
            writer.execute(f"select from aximo.{statement}()")
        root.execute(
            "vacuum aximo_private.logs, aximo_private.uncounted_logs, aximo_private.log_state, aximo_private.executions"
        )
        status(root)
        return buffers()

    few = grow(100)
    assert grow(3000) <= few + 5


# The worker


@contextmanager
def working(worker: Worker) -> Iterator[threading.Thread]:
    """A worker in a thread, stopped at the end."""
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        worker.stop()
        thread.join(30)
    assert not thread.is_alive()


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Waits for a condition, and fails if it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


class Told:
    """Who is told what a worker did."""

    def __init__(self) -> None:
        self.successes: list[str] = []
        self.failures: list[tuple[str, str]] = []

    def done(self, duty: str, seconds: float, *, is_whole: bool) -> None:
        assert seconds >= 0
        self.successes.append(duty)

    def failed(self, duty: str, sqlstate: str) -> None:
        self.failures.append((duty, sqlstate))


def test_a_worker_numbers_counts_shows_and_ends(
    each_ledger: Ledger, keeper: str, writer: psycopg.Connection[Any]
) -> None:
    emit_many(writer, 5, "c1")
    old = [
        event(kind, "old", timestamp="2026-03-01T10:00:00Z") for kind in ("execution_triggered", "execution_processing")
    ]
    writer.execute("select from aximo.import_events(%s, 'c1')", (Jsonb(old),))
    found = duties(advance_every=0.05, refresh_every=0.05, close_stale=timedelta(hours=1), customers=["c1", "c2"])
    told = Told()
    worker = Worker(each_ledger.dsn(keeper), found, told)

    def shown() -> bool:
        rows = of_customer(writer, "c1", "select events, failed from aximo_metrics.customer_overview")
        return bool(rows == [(8, 1)])

    with working(worker):
        until(shown)
    assert {"advance", "refresh", "close_stale"} <= set(told.successes)
    assert told.failures == []


def test_a_worker_goes_on_when_its_connection_is_lost(
    each_ledger: Ledger, keeper: str, writer: psycopg.Connection[Any]
) -> None:
    root, told = each_ledger.superuser(), Told()
    worker = Worker(each_ledger.dsn(keeper), duties(advance_every=0.01, refresh_every=0.2), told)
    with working(worker):
        for _ in range(5):
            emit_many(writer, 20)
            until(
                lambda: bool(
                    root.execute(
                        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'aximo-db worker'"
                    ).fetchall()
                )
            )
            failures = len(told.failures)
            until(lambda failures=failures: len(told.failures) > failures or status(root)["unnumbered_positions"] == 0)
        until(lambda: status(root)["entries"] == 100)
        # And when the server lets nobody in for a while.
        root.execute("alter role log_keeper nologin")
        root.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'aximo-db worker'"
        )
        emit_many(writer, 1)
        until(lambda: told.failures[-1:] == [("advance", "08001")])
        root.execute("alter role log_keeper login")
        until(lambda: status(root)["entries"] == 101)
    numbers = of_customer(writer, "c1", "select number from aximo.log_entries order by number")
    assert numbers == [(n,) for n in range(1, 102)]
    assert {state for _, state in told.failures} <= {"57P01", "08006", "08001"}


def test_one_duty_that_fails_does_not_stop_the_others(each_ledger: Ledger, keeper: str) -> None:
    told = Told()
    each_ledger.superuser().execute("revoke execute on function aximo.close_stale_executions from aximo_operator")
    found = duties(advance_every=0.01, refresh_every=None, close_stale=timedelta(hours=1), customers=["c1"])
    worker = Worker(each_ledger.dsn(keeper), found, told)
    with working(worker):
        until(lambda: told.successes.count("advance") > 5 and bool(told.failures))
    # And is tried again in a minute, not at once.
    assert told.failures == [("close_stale", "42501")]
    assert found[1].due > time.monotonic() + 30


def test_two_workers_do_not_hinder_each_other(
    each_ledger: Ledger, keeper: str, writer: psycopg.Connection[Any]
) -> None:
    told = Told()
    workers = [Worker(each_ledger.dsn(keeper), duties(advance_every=0.01, refresh_every=0.02), told) for _ in range(2)]
    with working(workers[0]), working(workers[1]):
        for _ in range(20):
            emit_many(writer, 10)
        until(lambda: status(writer)["entries"] == 200 and status(writer)["uncounted_entries"] == 0)
    assert told.failures == []


@pytest.mark.parametrize(
    ("roles", "customers", "state"),
    [
        (("aximo_reader",), (), "42501"),
        (("aximo_operator",), (), "ZXCUS"),
        (("aximo_operator",), ("c1",), "ZXCUS"),
        ((), (), "42501"),
    ],
)
def test_a_login_that_may_not_is_told_so_at_once(
    each_ledger: Ledger, roles: tuple[str, ...], customers: tuple[str, ...], state: str
) -> None:
    login = each_ledger.login("unfit", *roles, customers=customers)
    result = run("worker", "--db", each_ledger.dsn(login), code=2)
    assert state in result.stderr


def test_a_schema_that_is_too_new_is_refused_by_each_attempt(each_ledger: Ledger, keeper: str) -> None:
    each_ledger.superuser().execute(
        "create or replace function aximo.oldest_client() returns integer language sql immutable return 999"
    )
    worker = Worker(each_ledger.dsn(keeper), duties())
    for _ in range(2):
        with pytest.raises(SchemaVersionError):
            worker._connected()


def test_once_is_for_cron(each_ledger: Ledger, keeper: str, writer: psycopg.Connection[Any]) -> None:
    emit_many(writer, 3)
    result = run("worker", "--once", "--log", "json", "--db", each_ledger.dsn(keeper))
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert [(line["duty"], line["did"]) for line in lines] == [("advance", 3), ("refresh", 5)]
    assert all(set(line) == {"ts", "level", "duty", "did", "seconds"} for line in lines)
    assert status(writer)["entries"] == 3


def test_once_says_that_nobody_is_there(tmp_path: Path) -> None:
    result = run("worker", "--once", "--db", f"host={tmp_path} dbname=x", code=2)
    assert "08001" in result.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ("--every", "0"), ("--every", "soon"), ("--refresh-every", "-5m"), ("--log", "xml"), ("--close-stale", "24h"),
        ("--customer", "acme"), ("--listen", "9187"), ("--listen", "127.0.0.1:99999"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(wrong: tuple[str, str]) -> None:
    run("worker", *wrong, "--once", code=2)


# As a process


def process(ledger: Ledger, login: str, *more: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "aximo_db", "worker", "--every", "0.05s", "--db", ledger.dsn(login), *more],
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_systemd_is_told(
    each_ledger: Ledger, keeper: str, tmp_path: Path, number: signal.Signals
) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        listener.settimeout(30)
        with process(each_ledger, keeper, NOTIFY_SOCKET=str(address)) as worker:
            told = [listener.recv(100)]
            while told[-1] != b"WATCHDOG=1" or len(told) < 5:
                told.append(listener.recv(100))
            worker.send_signal(number)
            while told[-1] != b"STOPPING=1":
                told.append(listener.recv(100))
            assert worker.wait(30) == 0
    assert told[0] == b"READY=1"
    assert set(told[1:-1]) == {b"WATCHDOG=1"}


def test_a_second_signal_cancels_what_is_under_way(
    each_ledger: Ledger, keeper: str, writer: psycopg.Connection[Any]
) -> None:
    emit_many(writer, 10)
    root = each_ledger.superuser()
    blocker = each_ledger.connect("postgres", autocommit=False)
    blocker.execute("lock table aximo_private.log_entries in access exclusive mode")
    with process(each_ledger, keeper) as worker:
        until(
            lambda: bool(
                root.execute(
                    "select from pg_stat_activity where application_name = 'aximo-db worker' and wait_event_type = 'Lock'"
                ).fetchall()
            )
        )
        worker.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert worker.poll() is None  # the transaction that is under way ends first
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
    blocker.rollback()
    writer.execute("select from aximo.advance_log()")
    assert status(writer)["entries"] == 10


# What it tells over HTTP


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_what_is_told_over_http(each_ledger: Ledger, keeper: str, writer: psycopg.Connection[Any]) -> None:
    emit_many(writer, 3, "a customer's name")
    worker = Worker(each_ledger.dsn(keeper), duties(advance_every=0.05, refresh_every=0.1))
    with Telling(worker, "127.0.0.1", 0) as telling:
        assert get(telling.port, "/livez") == (200, "ok\n")
        assert get(telling.port, "/readyz") == (503, "not ok\n")
        with working(worker):
            until(lambda: get(telling.port, "/readyz") == (200, "ok\n"))
            until(lambda: 'aximo_log_entries_total{log="events"} 3.0' in get(telling.port, "/metrics")[1])
            code, text = get(telling.port, "/metrics")
            assert code == 200
            assert "aximo_ledger_up 1.0" in text
            assert 'aximo_worker_duty_seconds_count{duty="advance"}' in text
            assert "a customer" not in text
            assert get(telling.port, "/")[0] == get(telling.port, "/metrics/..")[0] == 404
            each_ledger.superuser().execute("alter role log_keeper nologin")
            assert "aximo_ledger_up 0.0" in get(telling.port, "/metrics")[1]
            each_ledger.superuser().execute("alter role log_keeper login")
        assert is_live(worker)
        worker.turned_at -= 1000
        for duty in worker.duties:
            duty.done_at = time.monotonic() - 1000
        assert not is_live(worker)
        assert not is_ready(worker)


def test_listening_needs_its_library(monkeypatch: pytest.MonkeyPatch, each_ledger: Ledger, keeper: str) -> None:
    monkeypatch.delitem(sys.modules, "aximo_db.dba.worker_http")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    result = run("worker", "--once", "--listen", "127.0.0.1:0", "--db", each_ledger.dsn(keeper), code=2)
    assert "metrics_client_present" in result.stderr
    with pytest.raises(InstallationError):
        __import__("aximo_db.dba.worker_http")


def test_rules_and_dashboards_name_metrics_that_there_are(each_ledger: Ledger, keeper: str) -> None:
    each_ledger.superuser().execute("select setval('aximo_private.checkpoint_clock', 1)")  # somebody kept a checkpoint
    worker = Worker(each_ledger.dsn(keeper), [Duty("advance", 1.0, lambda _: iter(()))])
    with Telling(worker, "127.0.0.1", 0) as telling:
        telling.failed("advance", "42501")
        told = set(re.findall(r"^(aximo_\w+)", get(telling.port, "/metrics")[1], re.MULTILINE))
    rules = yaml.safe_load((OPS / "alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    used = {name for rule in rules for name in re.findall(r"\baximo_\w+", rule["expr"])}
    assert len(used) >= 8
    assert used <= told
    query = yaml.safe_load((OPS / "sql_exporter.yml").read_text(encoding="utf-8"))["jobs"][0]["queries"][0]
    monitor = each_ledger.connect(each_ledger.login("ledger_monitor", "aximo_monitor"))
    cursor = monitor.execute(query["query"])
    assert [column.name for column in cursor.description or ()] == [*query["labels"], *query["values"]]
    # And every rule is tried by promtool's file.
    tried = yaml.safe_load((OPS / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    fired = {each["alertname"] for test in tried for each in test["alert_rule_test"] if each.get("exp_alerts")}
    assert fired == {rule["alert"] for rule in rules}


def test_the_schedules_of_pg_cron_do_what_a_worker_does(
    each_ledger: Ledger, keeper: str, writer: psycopg.Connection[Any]
) -> None:
    """With a double of pg_cron, which keeps what it is told."""
    each_ledger.superuser().execute(
        "create schema cron; grant usage on schema cron to log_keeper; create table cron.job_run_details (end_time timestamptz);"
        " create table cron.told (name text, schedule text, command text); grant insert, select on cron.told to log_keeper;"
        " create function cron.schedule(text, text, text) returns void language sql"
        " as 'insert into cron.told values ($1, $2, $3)';"
        " grant select, delete on cron.job_run_details to log_keeper"
    )
    connection = each_ledger.connect(keeper)
    connection.execute((OPS / "pg_cron.sql").read_text(encoding="utf-8"))
    jobs = connection.execute("select name, schedule, command from cron.told").fetchall()
    assert len(jobs) == 3
    emit_many(writer, 5)
    for _, schedule, command in jobs:
        assert len(schedule.split()) == 5
        connection.execute(command)
    assert status(writer) == dict.fromkeys(COLUMNS, 0) | {"entries": 5}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not there (Debian: prometheus)")
def test_promtool_finds_nothing(each_ledger: Ledger, keeper: str) -> None:
    for command in (("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")):
        subprocess.run(["promtool", *command], cwd=OPS, check=True, capture_output=True)
    worker = Worker(each_ledger.dsn(keeper), duties())
    with Telling(worker, "127.0.0.1", 0) as telling:
        metrics = get(telling.port, "/metrics")[1]
    subprocess.run(["promtool", "check", "metrics"], input=metrics, text=True, check=True, capture_output=True)


def test_a_duty_that_has_more_to_do_than_a_turn_lasts_goes_on_after_the_others(
    each_ledger: Ledger, keeper: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "RETRY", 0.01)
    turns: list[str] = []

    def long(_: psycopg.Connection[Any]) -> Iterator[int]:
        turns.append("long")
        for _step in range(3):
            time.sleep(0.02)
            yield 1
        turns.append("never")

    def short(_: psycopg.Connection[Any]) -> Iterator[int]:
        turns.append("short")
        yield 1

    worker = Worker(each_ledger.dsn(keeper), [Duty("long", 3600, long), Duty("short", 0.001, short)])
    with working(worker):
        until(lambda: turns.count("long") > 5)
    assert "never" not in turns
    assert all(pair == ("long", "short") for pair in zip(turns[0:10:2], turns[1:10:2], strict=True))


#: Seconds of the simulated week that pass in one.
SPEED = 7500.0
WEEK = 7 * 86400.0


class FastEvent(threading.Event):
    """Waits for as long as the fast clock says."""

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(None if timeout is None else timeout / SPEED)


class Emitter(threading.Thread):
    """Emits executions of a customer until it is stopped, and remembers what it was told is written."""

    def __init__(self, dsn: str, customer: str) -> None:
        super().__init__(daemon=True)
        self.dsn, self.customer = dsn, customer
        self.told: list[str] = []
        self.stopped = threading.Event()

    def run(self) -> None:
        with EventStore(self.dsn, customer_id=self.customer, retry_for=120) as store:
            number = 0
            while not self.stopped.wait(0.002):
                number += 1
                kinds = ("execution_triggered", "execution_processing", "execution_completed")
                batch = [event(kind, f"e{number}", customer_id=self.customer, event_id=str(uuid4())) for kind in kinds]
                if number % 3:
                    batch = batch[:2]
                store.emit_many(batch)
                self.told.extend(str(each["event_id"]) for each in batch)


@pytest.mark.heavy
def test_a_week_of_killed_servers_and_lost_connections(
    each_ledger: Ledger, keeper: str, writer: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The duties by the clock of a week, as often as the machine gets to them; 12 servers are killed meanwhile."""
    real, began = time.monotonic, time.monotonic()
    monkeypatch.setattr(worker_module, "time", SimpleNamespace(monotonic=lambda: (real() - began) * SPEED))
    # A step takes as long as ever, whatever the clock says.
    monkeypatch.setattr(worker_module, "RETRY", 2.0 * SPEED)
    told, server = Told(), each_ledger.server
    customers = ("c1", "c2")
    # By that clock, every second and every six hours: as often as a machine gets to it.
    found = duties(refresh_every=6 * 3600, close_stale=timedelta(days=1), customers=customers)
    worker = Worker(each_ledger.dsn(keeper), found, told, turned_at=0.0, _stopped=FastEvent())
    emitters = [Emitter(each_ledger.dsn("worker_writer"), customer) for customer in customers]
    kills = lost = 0
    with working(worker) as thread:
        for each in emitters:
            each.start()
        while (real() - began) * SPEED < WEEK or told.successes.count("advance") < 2000:
            assert real() - began < 600
            time.sleep(1)
            if kills < 12 and (real() - began) * SPEED > (kills + 1) * WEEK / 13:
                pid = server.pid
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                until(lambda: server.pid is None)
                server.start()
                kills += 1
                continue
            with psycopg.connect(each_ledger.dsn("postgres"), autocommit=True) as root:
                query = (
                    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'aximo-db worker'"
                )
                lost += len(root.execute(query).fetchall())
        for each in emitters:
            each.stopped.set()
        for each in emitters:
            each.join(120)
            assert not each.is_alive()
        sent = sum(len(each.told) for each in emitters)
        root = each_ledger.superuser()
        until(lambda: status(root)["unnumbered_positions"] == 0 and status(root)["uncounted_entries"] == 0, 120)
        shown = len([duty for duty in told.successes if duty == "refresh"])
        until(lambda: told.successes.count("refresh") > shown + 1, 120)
        assert thread.is_alive()
    assert kills == 12
    assert lost > 20
    assert status(root)["entries"] == sent > 1000
    assert told.successes.count("refresh") > 10
    assert told.successes.count("close_stale") > 10
    # Nothing but connections was lost.
    assert {state for _, state in told.failures} <= {"57P01", "57P02", "57P03", "08006", "08001", "08003"}
    assert len(told.failures) >= kills
    for each in emitters:
        with EventStore(each_ledger.dsn("worker_writer"), customer_id=each.customer) as store:
            entries = list(store.subscribe(follow=False))
        assert [entry.number for entry in entries] == list(range(1, len(each.told) + 1))
        assert {str(entry.event_id) for entry in entries} == set(each.told)
        for function in ("verify_log", "verify_executions", "verify_metrics"):
            assert of_customer(again(each_ledger), each.customer, f"select * from aximo.{function}()") == []
        (row,) = of_customer(
            again(each_ledger),
            each.customer,
            "select min(counts_up_to) from aximo_metrics.freshness where view_name = 'execution_health'",
        )
        assert row == (len(each.told),)


def again(ledger: Ledger) -> psycopg.Connection[Any]:
    return ledger.connect("worker_writer")


# Publishing


def test_a_worker_publishes_on_its_own_clock(
    each_ledger: Ledger, writer: psycopg.Connection[Any], tmp_path: Path
) -> None:
    login = each_ledger.login("publishing_worker", "aximo_reader", "aximo_operator", customers=("*",))
    run("keygen", "log.example.com", "-o", tmp_path / "key")
    public = tmp_path / "public"
    emit_many(writer, 5, "c1")
    emit_many(writer, 2, "c2")
    given = ("worker", "--once", "--publish", public, "--key", tmp_path / "key", "--db", each_ledger.dsn(login))
    result = run(*given, "--log", "json", "--tsa", "http://127.0.0.1:9")
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert [(line["duty"], line["did"]) for line in lines if line.get("duty") == "publish"] == [("publish", 2)]
    assert any("missing" in line.get("message", "") for line in lines)
    assert "c1" not in result.stderr
    assert check_published(str(public), [tmp_path / "key.pub"]).ok
    # One log that is refused does not keep the others from being published, and is told.
    folders = {tlog.read_checkpoint((each / "checkpoint").read_bytes()).size: each for each in public.glob("[0-9a-f]*")}
    (folders[5] / "tile/0/000.p/6").write_bytes(b"no tile")
    emit_many(writer, 1, "c1")
    emit_many(writer, 1, "c2")
    assert "published_tile_differs" in run(*given, code=2).stderr
    assert tlog.read_checkpoint((folders[2] / "checkpoint").read_bytes()).size == 3
    (folders[5] / "tile/0/000.p/6").unlink()
    # Another publisher at work does what was to be done.
    with (public / f".{folders[5].name}.lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run(*given)
    run(*given)
    assert tlog.read_checkpoint((folders[5] / "checkpoint").read_bytes()).size == 6
    public.rename(tmp_path / "elsewhere")
    public.write_text("no folder")
    assert "published_folder_is_writable" in run(*given, code=2).stderr


def test_it_tells_when_it_published(each_ledger: Ledger, writer: psycopg.Connection[Any], tmp_path: Path) -> None:
    login = each_ledger.login("publishing_worker", "aximo_reader", "aximo_operator", customers=("*",))
    emit_many(writer, 5, "c1")
    how = Publishing(tmp_path / "public", [tlog.SecretKey.generate("log.example.com")])
    name = "aximo_checkpoint_published_timestamp_seconds"
    for publishing in (None, how):
        found = duties(refresh_every=None, publishing=publishing, publish_every=0.05)
        worker = Worker(each_ledger.dsn(login), found)
        with Telling(worker, "127.0.0.1", 0) as telling, working(worker):

            def published(port: int = telling.port) -> float:
                return float(scraped(port).get(name, -1))

            if publishing is None:
                until(lambda found=found: found[0].done_at is not None)
                assert published() == -1
                continue
            until(lambda: published() > time.time() - 60)
            first = published()
            until(lambda first=first: published() > first)


@pytest.mark.parametrize("retry", [0.0, 60.0], ids=["cut", "whole"])
@pytest.mark.parametrize(
    "error", [InstallationError(rule="published_folder_is_writable"), MalformedEventError(rule="planted"), None]
)
def test_a_round_that_lacks_one_log_is_no_success(
    each_ledger: Ledger,
    writer: psycopg.Connection[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception | None,
    retry: float,
) -> None:
    """Whether the round is done at once, or a log at a time between the other duties."""
    login = each_ledger.login("publishing_worker", "aximo_reader", "aximo_operator", customers=("*",))
    for customer in ("c1", "c2", "c3"):
        emit_many(writer, 2, customer)
    publish_log, asked = worker_module.publish_log, []

    def publish(connection: Any, how: Publishing, customer: str, log: Any) -> Any:
        asked.append((customer, log))
        if error is not None and asked[1:2] == [(customer, log)]:
            raise error
        return publish_log(connection, how, customer, log)

    monkeypatch.setattr(worker_module, "publish_log", publish)
    monkeypatch.setattr(worker_module, "RETRY", retry)
    how = Publishing(tmp_path / "public", [tlog.SecretKey.generate("log.example.com")])
    found = duties(refresh_every=None, publishing=how, publish_every=0.05)
    worker = Worker(each_ledger.dsn(login), found)
    name = 'aximo_worker_duty_succeeded_timestamp_seconds{duty="%s"}'
    with Telling(worker, "127.0.0.1", 0) as telling:
        assert float(scraped(telling.port)[name % "publish"]) == 0
        assert float(scraped(telling.port)['aximo_worker_duty_interval_seconds{duty="publish"}']) == 0.05
        worker._do(found[0], once=False)
        for _ in range(40):
            worker._do(found[1], once=False)
            told = scraped(telling.port)
            assert len(asked) >= 6 or float(told[name % "publish"]) == 0
        assert len(set(asked)) == 6  # the others are published
        assert len(asked) >= 36
        assert time.time() - float(told[name % "advance"]) < 60
        since = (float(told[name % "publish"]), float(told["aximo_checkpoint_published_timestamp_seconds"]))
        assert all((each > time.time() - 60) == (error is None) for each in since)
    assert worker._connection is not None
    worker._connection.close()


def scraped(port: int) -> dict[str, str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


@pytest.mark.parametrize(
    "wrong",
    [("--publish", "x"), ("--key", "x"), ("--entries",), ("--publish", "x", "--key", "k", "--publish-every", "0")],
)
def test_half_of_what_publishing_needs_is_refused(wrong: tuple[str, ...], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    run("keygen", "log.example.com", "-o", "k")
    run("worker", *wrong, "--once", code=2)
