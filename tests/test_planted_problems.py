"""Each problem that a ledger in operation can have is made for real; ledger_status, /metrics and the alert rules tell it, and are silent before."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg.types.json import Jsonb

from aximo_db import tlog
from aximo_db.dba import worker as worker_module
from aximo_db.dba.publish import Publishing
from aximo_db.dba.worker import Worker, duties
from aximo_db.dba.worker_http import Telling
from tests.conftest import Ledger
from tests.events import event
from tests.log_support import emit_many
from tests.test_worker import OPS, get, until

Status = dict[str, Any]
Sample = dict[str, float]

#: Minutes of the story that promtool is told: the ledger is well until the first, and it is looked at at the second.
WELL_UNTIL, LOOKED_AT = 60, 105


@dataclass
class World:
    """A ledger that is well, its worker, and who may plant something."""

    ledger: Ledger
    root: psycopg.Connection[Any]
    service: psycopg.Connection[Any]
    worker: Worker
    telling: Telling
    folder: Path

    def status(self) -> Status:
        """What ledger_status says of the events, as a monitor asks it; nothing if it can't be asked."""
        with closing(psycopg.connect(self.ledger.dsn("ledger_monitor"), autocommit=True)) as monitor:
            cursor = monitor.execute("select * from aximo.ledger_status() where log = 'events'")
            names = [column.name for column in cursor.description or ()]
            row = cursor.fetchone()
            assert row is not None
            return dict(zip(names, row, strict=True))

    def sample(self) -> Sample:
        """What a scrape gets: the value of each series. Moments are told as seconds ago."""
        now = time.time()
        found = {}
        for line in get(self.telling.port, "/metrics")[1].splitlines():
            matched = re.fullmatch(r"(aximo_\w+)(\{.*\})? (\S+)", line)
            if matched is None or matched[1].endswith(("_bucket", "_created")):
                continue
            value = float(matched[3])
            is_moment = matched[1].endswith("_timestamp_seconds") and value > 0
            found[matched[1] + (matched[2] or "")] = now - value if is_moment else value
        return found

    def work_until(self, condition: Callable[[], bool]) -> None:
        thread = threading.Thread(target=self.worker.run, daemon=True)
        thread.start()
        try:
            until(condition)
        finally:
            self.worker.stop()
            thread.join(30)
        assert not thread.is_alive()

    def failures(self) -> float:
        return sum(
            value for series, value in self.sample().items() if series.startswith("aximo_worker_duty_failures_total")
        )


@pytest.fixture
def world(each_ledger: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    keeper = each_ledger.login("log_keeper", "aximo_operator", customers=("*",))
    each_ledger.login("ledger_monitor", "aximo_monitor")
    service = each_ledger.connect(
        each_ledger.login("busy_service", "aximo_writer", "aximo_operator", "aximo_auditor", customers=("*",))
    )
    emit_many(service, 20, "c1")
    first = Worker(each_ledger.dsn(keeper), duties())
    first.run(once=True)
    # What failed is tried again after a minute, which is too long for a test.
    monkeypatch.setattr(worker_module, "RETRY", 0.2)
    with service.transaction():
        service.execute("select set_config('aximo.customer_id', 'c1', true)")
        service.execute("select aximo.add_checkpoint(aximo.checkpoint_text())")
    worker = Worker(each_ledger.dsn(keeper), duties(advance_every=0.01, refresh_every=0.02))
    with Telling(worker, "127.0.0.1", 0) as telling:
        made = World(each_ledger, each_ledger.superuser(), service, worker, telling, tmp_path)
        yield made
        if made.telling is not telling:
            made.telling.__exit__()


# The problems


def nobody_answers(world: World) -> None:
    world.root.execute("alter role log_keeper nologin")


def nobody_numbers(world: World) -> None:
    emit_many(world.service, 5, "c1")
    # Ten minutes pass.
    world.root.execute("update aximo_private.log_state set advanced_at = now() - interval '10 minutes'")


def numbering_falls_behind(world: World) -> None:
    for _ in range(11):
        emit_many(world.service, 10_000, "c1")


def many_gaps(world: World) -> None:
    emit = "perform aximo.emit_event('sla_breached', 'd', 's', '1', 'system', 'c1');"
    world.service.execute(
        f"do $$ begin for n in 1..10001 loop begin {emit} raise sqlstate 'P0001'; exception when raise_exception then null; end;"
        f" {emit} end loop; end $$"
    )
    world.service.execute("select from aximo.advance_log(100000)")
    world.service.execute("select from aximo.count_metrics(100000)")


def nobody_counts(world: World) -> None:
    numbering_falls_behind(world)
    while world.service.execute("select is_behind from aximo.advance_log()").fetchone() == (True,):
        pass


def nobody_refreshes(world: World) -> None:
    world.root.execute("update aximo_private.metric_state set refreshed_at = now() - interval '2 hours'")


def nobody_keeps_checkpoints(world: World) -> None:
    world.root.execute(
        "select setval('aximo_private.checkpoint_clock', extract(epoch from now() - interval '3 days')::bigint)"
    )


def history_breaks_a_rule(world: World) -> None:
    twice = [event("execution_triggered", "x", timestamp=f"2026-03-01T10:00:0{n}Z") for n in range(2)]
    twice.append(event("execution_completed", "x", timestamp="2026-03-01T10:00:05Z"))
    world.service.execute("select from aximo.import_events(%s, 'c1')", (Jsonb(twice),))
    # PostgreSQL's own count is told when a session is idle.
    world.service.execute("select pg_stat_force_next_flush()")
    world.service.execute("select 1")


def executions_never_end(world: World) -> None:
    started = [event("execution_triggered", f"x{n}", timestamp="2026-03-01T10:00:00Z") for n in range(1001)]
    world.service.execute("select from aximo.import_events(%s, 'c1')", (Jsonb(started),))


def a_duty_is_refused(world: World) -> None:
    world.root.execute("revoke execute on function aximo.refresh_metrics from aximo_operator")
    world.work_until(lambda: world.failures() >= 5)


def nobody_publishes(world: World) -> None:
    """A log was published, and then its folder can't be written any more: a failure an hour, for ever."""
    folder = world.folder / "public"
    login = world.ledger.login("publishing_worker", "aximo_reader", "aximo_operator", customers=("*",))
    how = Publishing(folder, [tlog.SecretKey.generate("log.example.com")])
    world.worker = Worker(world.ledger.dsn(login), duties(refresh_every=None, publishing=how, publish_every=3600.0))
    world.telling.__exit__()
    world.telling = Telling(world.worker, "127.0.0.1", 0)
    world.telling.__enter__()
    publish = world.worker.duties[-1]

    def broken() -> bool:
        if publish.done_at is None:
            return False
        assert world.sample()['aximo_worker_duty_succeeded_timestamp_seconds{duty="publish"}'] < 60
        shutil.rmtree(folder)
        folder.write_text("no folder")
        # Three hours pass.
        world.telling._succeeded.labels("publish").set(time.time() - 3 * 3600)
        publish.due = 0.0
        return True

    world.work_until(lambda: (publish.done_at is not None and folder.is_file()) or broken())
    world.worker._stopped.clear()
    world.work_until(lambda: publish.failures > 0)


def versions_differ(world: World) -> None:
    def upgraded() -> bool:
        # While the worker is at work, somebody upgrades the ledger, and its connection is lost.
        if not world.worker.duties[0].done_at:
            return False
        world.root.execute(
            "create or replace function aximo.oldest_client() returns integer language sql immutable return 999;"
            " select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'aximo-db worker'"
        )
        return True

    world.work_until(lambda: upgraded() and 'duty="advance",sqlstate="ZXVER"' in str(world.sample()))


def the_worker_is_dead(world: World) -> None:
    world.telling.__exit__()


@dataclass(frozen=True)
class Problem:
    plant: Callable[[World], None]
    alert: str
    #: What ledger_status says then and not before; None for what is none of the ledger's.
    in_status: Callable[[Status], bool] | None
    #: The series that tells it, and whether its value does.
    series: str
    in_metrics: Callable[[float | None], bool]


def older(column: str, seconds: float) -> Callable[[Status], bool]:
    return lambda status: time.time() - status[column].timestamp() > seconds


HEAVY = (numbering_falls_behind, nobody_counts)
PROBLEMS = [
    Problem(the_worker_is_dead, "LedgerUnknown", None, "aximo_ledger_up", lambda value: value is None),
    Problem(nobody_answers, "LedgerDown", None, "aximo_ledger_up", lambda value: value == 0),
    Problem(
        nobody_numbers, "EventsWaitForNumbers", older("advanced_at", 300),
        "aximo_log_advanced_timestamp_seconds", lambda value: (value or 0) > 300,
    ),
    Problem(
        numbering_falls_behind, "NumberingFallsBehind", lambda status: status["unnumbered_positions"] > 100_000,
        'aximo_log_unnumbered_positions{log="events"}', lambda value: (value or 0) > 100_000,
    ),
    Problem(
        many_gaps, "ManyHoles", lambda status: status["holes"] > 10_000,
        'aximo_log_holes{log="events"}', lambda value: (value or 0) > 10_000,
    ),
    Problem(
        nobody_counts, "CountingFallsBehind", lambda status: status["uncounted_entries"] > 100_000,
        'aximo_metrics_uncounted_entries{log="events"}', lambda value: (value or 0) > 100_000,
    ),
    Problem(
        nobody_refreshes, "MetricsAreOld", older("metrics_refreshed_at", 3600),
        "aximo_metrics_refreshed_timestamp_seconds", lambda value: (value or 0) > 3600,
    ),
    Problem(
        nobody_keeps_checkpoints, "CheckpointsAreOld", older("stored_checkpoint_at", 172_800),
        "aximo_checkpoint_stored_timestamp_seconds", lambda value: (value or 0) > 172_800,
    ),
    Problem(
        history_breaks_a_rule, "ViolationsListed", lambda status: status["violations"] > 0,
        "aximo_violations", lambda value: (value or 0) > 0,
    ),
    Problem(
        executions_never_end, "ExecutionsNeverEnd", lambda status: status["open_executions_over_an_hour"] > 1000,
        "aximo_open_executions_stale", lambda value: (value or 0) > 1000,
    ),
    Problem(
        a_duty_is_refused, "WorkerDutyFails", None,
        'aximo_worker_duty_failures_total{duty="refresh",sqlstate="42501"}', lambda value: (value or 0) >= 5,
    ),
    Problem(
        nobody_publishes, "WorkerDutyNotDone", None,
        'aximo_worker_duty_succeeded_timestamp_seconds{duty="publish"}', lambda value: (value or 0) > 10_000,
    ),
    Problem(
        versions_differ, "VersionsDiffer", None,
        'aximo_worker_duty_failures_total{duty="advance",sqlstate="ZXVER"}', lambda value: (value or 0) > 0,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    "problem",
    [
        pytest.param(each, id=each.plant.__name__, marks=[pytest.mark.heavy] if each.plant in HEAVY else [])
        for each in PROBLEMS
    ],
)
def test_a_problem_is_told_and_not_before(world: World, problem: Problem, tmp_path: Path) -> None:
    before, well = world.sample(), world.status()
    assert not problem.in_metrics(before.get(problem.series, 0.0))
    problem.plant(world)
    after = {} if problem.plant is the_worker_is_dead else world.sample()
    assert problem.in_metrics(after.get(problem.series))
    if problem.in_status is not None:
        assert not problem.in_status(well)
        assert problem.in_status(world.status())
    if shutil.which("promtool") is None:
        pytest.skip("told by status and metrics; promtool is not there (Debian: prometheus)")
    assert_fires(tmp_path, before, after, problem.alert)


def test_every_rule_has_a_problem() -> None:
    rules = yaml.safe_load((OPS / "alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    assert sorted(rule["alert"] for rule in rules) == sorted(problem.alert for problem in PROBLEMS)
    assert len(PROBLEMS) >= 10


def assert_fires(folder: Path, before: Sample, after: Sample, alert: str) -> None:
    """Lets promtool see what was scraped, an hour of the first and then the second, and say which rules fire."""
    firing = 'group by (alertname) (ALERTS{alertstate="firing"})'
    test = {
        "interval": "1m",
        "input_series": [
            {"series": series, "values": story(series, before.get(series), after.get(series))}
            for series in sorted({*before, *after})
        ],
        "promql_expr_test": [
            {"expr": firing, "eval_time": f"{WELL_UNTIL - 1}m", "exp_samples": []},
            {
                "expr": firing,
                "eval_time": f"{LOOKED_AT}m",
                "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1}],
            },
        ],
    }
    path = folder / "planted.yml"
    path.write_text(
        yaml.safe_dump({"rule_files": [str(OPS / "alerts.yml")], "evaluation_interval": "1m", "tests": [test]})
    )
    done = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def story(series: str, before: float | None, after: float | None) -> str:
    """The values of a series: as it was for an hour, then as it is. In a test of promtool time begins at 0."""
    if "_timestamp_seconds" in series:
        ages = (before or 0.0, after)
        renewed = f"{-ages[0]}+60x{WELL_UNTIL - 1}"
        if after is None:
            return f"{renewed} _x60"
        # What is younger than two minutes is renewed all the time; what is older stands still.
        then = 60 * WELL_UNTIL - after
        return f"{renewed} {then}+{60 if after < 120 else 0}x60"
    first = f"{before}x{WELL_UNTIL - 1}" if before is not None else f"_x{WELL_UNTIL}"
    if after is None:
        return f"{first} _x60"
    # What counts what happens goes on to happen, as often in ten minutes.
    more = (after - (before or 0.0)) / 10 if re.match(r"\w+_total\b", series) and "failures" in series else 0
    return f"{first} {after}+{more}x60"
