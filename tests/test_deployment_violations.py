"""What contradicts a deployment's life is accepted, and listed when somebody asks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.conftest import Ledger
from tests.events import emit
from tests.log_support import advance_all

Connection = psycopg.Connection[Any]
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def service(each_ledger: Ledger) -> Connection:
    login = each_ledger.login("deployer", "aximo_writer", "aximo_operator", customers=("*",))
    connection = each_ledger.connect(login)
    connection.execute("select set_config('aximo.customer_id', 'c1', false)")
    return connection


def declare(service: Connection, kind: str, minute: int, **fields: Any) -> Any:
    """Emits an event of the deployment's life; returns its id."""
    return emit(service, kind, None, timestamp=BEGIN + timedelta(minutes=minute), **fields)[0]


def run(service: Connection, execution: str, minute: int, **fields: Any) -> Any:
    """Triggers an execution; returns the id of the event."""
    return emit(service, "execution_triggered", execution, timestamp=BEGIN + timedelta(minutes=minute), **fields)[0]


def listed(service: Connection) -> list[Any]:
    query = "select rule, execution_id, event_id, against from aximo.deployment_violations order by 1, 2, 3"
    return service.execute(query).fetchall()


def active(service: Connection, minute: int = 0, **fields: Any) -> Any:
    declare(service, "deployment_created", minute, **fields)
    return declare(service, "deployment_activated", minute + 1, **fields)


def test_an_execution_is_not_triggered_while_its_deployment_is_suspended(service: Connection) -> None:
    active(service)
    run(service, "before", 5)
    suspended = declare(service, "deployment_suspended", 10)
    run(service, "at that moment", 10)
    within = run(service, "within", 11)
    declare(service, "deployment_updated", 15)
    still = run(service, "within 2", 16)
    declare(service, "deployment_activated", 20)
    run(service, "at the end", 20)
    run(service, "after", 21)
    run(service, "elsewhere", 11, deployment_id="dep-2")
    assert listed(service) == [
        ("no_execution_while_suspended", "within", within, suspended),
        ("no_execution_while_suspended", "within 2", still, suspended),
    ]


def test_nothing_runs_and_nothing_is_activated_after_termination(service: Connection) -> None:
    active(service)
    ended = declare(service, "deployment_terminated", 10)
    late = run(service, "late", 11)
    again = declare(service, "deployment_activated", 20)
    run(service, "after", 21)
    at_last = declare(service, "deployment_terminated", 30)
    once_more = declare(service, "deployment_activated", 40)
    declare(service, "deployment_suspended", 50)
    resumed = declare(service, "deployment_activated", 51)
    assert listed(service) == sorted(
        [
            ("no_execution_after_termination", "late", late, ended),
            ("no_activation_after_termination", None, again, ended),
            ("no_activation_after_termination", None, once_more, at_last),
            ("no_activation_after_termination", None, resumed, at_last),
        ],
        key=lambda row: (row[0], row[1] or "", row[2]),
    )


def test_an_execution_runs_the_version_that_was_declared(service: Connection) -> None:
    activated = active(service)
    run(service, "fits", 5)
    early = run(service, "early", 6, skill_version="2.0")
    other = run(service, "other skill", 7, skill_id="skill-2")
    upgraded = declare(service, "version_upgraded", 10, skill_version="2.0")
    # A suspension declares no version.
    declare(service, "deployment_suspended", 11)
    declare(service, "deployment_activated", 12, skill_version="2.0")
    run(service, "fits 2", 13, skill_version="2.0")
    run(service, "at that moment", 10)
    declare(service, "version_rolled_back", 20)
    run(service, "fits 3", 21)
    run(service, "before all", -1, skill_version="9")
    assert listed(service) == [
        ("runs_declared_version", "early", early, activated),
        ("runs_declared_version", "other skill", other, activated),
    ]
    outdated = run(service, "outdated", 11)
    assert ("runs_declared_version", "outdated", outdated, upgraded) in listed(service)


def test_what_comes_late_is_taken_into_account(service: Connection) -> None:
    active(service)
    triggered = run(service, "e", 11)
    assert listed(service) == []
    suspended = declare(service, "deployment_suspended", 10)
    assert listed(service) == [("no_execution_while_suspended", "e", triggered, suspended)]
    declare(service, "deployment_activated", 10)
    assert listed(service) == []


def test_what_declares_nothing_is_contradicted_by_nothing(service: Connection) -> None:
    run(service, "e", 1)
    run(service, "f", 2, skill_version="2.0")
    assert listed(service) == []


def test_a_contradiction_has_its_number_and_since_when_both_are_on_record(service: Connection) -> None:
    active(service)
    triggered = run(service, "e", 11)
    declare(service, "deployment_suspended", 10)
    query = "select number, found_at from aximo.deployment_violations"
    recorded = dict(service.execute("select event_type, recorded_at from aximo.events").fetchall())
    assert service.execute(query).fetchall() == [(None, recorded["deployment_suspended"])]
    service.execute("reset aximo.customer_id")
    advance_all(service)
    service.execute("select set_config('aximo.customer_id', 'c1', false)")
    assert service.execute(query).fetchall() == [(3, recorded["deployment_suspended"])]
    assert service.execute("select event_id from aximo.log_leaves where number = 3").fetchone() == (triggered,)


def test_flow_violations_are_listed_as_before_and_none_of_another_customer(service: Connection) -> None:
    active(service)
    declare(service, "deployment_suspended", 10)
    run(service, "e", 11)
    assert service.execute("select from aximo.violations").fetchall() == []
    service.execute("select set_config('aximo.customer_id', 'c2', false)")
    assert listed(service) == []
    # The same ids, and another life.
    run(service, "e", 11)
    assert listed(service) == []


def test_of_the_executions_that_fit_only_the_version_is_looked_at(each_ledger: Ledger, service: Connection) -> None:
    """Who asks for another rule does not pay for the look through all executions."""
    active(service)
    declare(service, "deployment_suspended", 500)
    each_ledger.superuser().execute(
        "insert into aximo_private.executions"
        " (customer_id, execution_id, deployment_id, skill_id, skill_version, started_at, last_event_at, steps, start_step)"
        " select 'c1', 'e' || n, 'dep-1', 'skill-1', '1.0', %s + n * interval '1 second', now(), 1, 1 from generate_series(1, 20000) as n",
        (BEGIN,),
    )

    def read(query: str) -> int:
        plan = service.execute("explain (analyze, buffers, format json, costs off, timing off) " + query).fetchone()
        assert plan is not None
        top = plan[0][0]["Plan"]
        return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])

    one = read("select * from aximo.deployment_violations where rule = 'no_execution_while_suspended'")
    assert one < 100
    assert one * 3 < read("select * from aximo.deployment_violations")
