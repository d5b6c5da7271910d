"""What a login sees is what its customer's events say, counted here without the database."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from tests.bi.conftest import RATES
from tests.bi.data import events, other, run_events, runs
from tests.bi.tables import Login, columns, identifier, views

pytestmark = pytest.mark.bi

EXECUTIONS = {"completed": "execution_completed", "failed": "execution_failed"}
#: By view, without the time it goes by: which column counts events of which type.
COUNTED = {
    "execution_health": {"triggered": "execution_triggered", **EXECUTIONS},
    "business_value": {"conversations": "execution_triggered", "actions_dispatched": "action_dispatched"},
    "actions": {"prepared": "action_prepared", "dispatched": "action_dispatched", "failed": "action_failed"},
    "sla_governance": {
        "approvals_requested": "approval_requested",
        "approvals_granted": "approval_granted",
        "approvals_rejected": "approval_rejected",
        "approvals_timed_out": "approval_timeout",
        "completed": "execution_completed",
        "sla_breaches": "sla_breached",
        "escalations": "escalation_triggered",
        "pressure_invocations": "pressure_invoked",
        "suspensions": "deployment_suspended",
    },
    "deployment_status": {
        "upgrades": "version_upgraded",
        "rollbacks": "version_rolled_back",
        "triggered": "execution_triggered",
        "sla_breaches": "sla_breached",
        **EXECUTIONS,
    },
    "customer_overview": {
        "executions": "execution_triggered",
        "actions_dispatched": "action_dispatched",
        "sla_breaches": "sla_breached",
        **EXECUTIONS,
    },
    "attribution": {"executions": "execution_triggered", "actions": "action_dispatched"},
}
#: By status, or in columns of their own.
OF_RUNS = ("tool_runs", "tool_runs_by_status")
STATES = ("started", "queued", "running", "succeeded", "failed", "blocked")
#: Those that count no events of one type.
OTHERS = {"alerts", "thresholds", "high_risk_levels", "lead_action_types", "freshness"}
SERIES = ("deployment_id", "skill_id", "skill_version")


def family(view: str) -> str:
    return view.removesuffix("_hourly").removesuffix("_monthly")


def place(event: dict[str, Any], key: str) -> Any:
    """Where an event belongs, of one column of a view's key."""
    moment = datetime.fromisoformat(event["timestamp"])
    if key == "hour":
        return moment.replace(minute=0, second=0, microsecond=0)
    if key == "day":
        return moment.date()
    if key == "month":
        return moment.date().replace(day=1)
    if key == "action_type":
        return event.get("payload", {}).get("action_type")
    return event.get(key)


def summed(connection: psycopg.Connection[Any], view: str, keys: list[str], column: str) -> Counter[tuple[Any, ...]]:
    listed = ", ".join([*(f'"{key}"' for key in keys), f'sum("{column}")'])
    grouped = f" group by {', '.join(map(str, range(1, len(keys) + 1)))}" if keys else ""
    query = f"select {listed} from {identifier(view).as_string()}{grouped}"
    found: Counter[tuple[Any, ...]] = Counter()
    for *key, total in connection.execute(query):
        found[tuple(v.astimezone(UTC) if isinstance(v, datetime) else v for v in key)] = total or 0
    return +found


def keys_of(names: dict[str, str], view: str) -> list[str]:
    # The version of a deployment is the one it has now, not the one that its events had.
    series = SERIES[:1] if view == "deployment_status" else SERIES
    return [name for name in names if name in (*series, "hour", "day", "month", "action_type", "risk_level")]


def test_every_view_counts_the_logins_events_and_no_others(login: Login) -> None:
    told = events(login.customer)
    with login.connect() as connection:
        for view in views(connection):
            if family(view) in OTHERS or view.endswith(OF_RUNS):
                continue
            names = columns(connection, view)
            keys = keys_of(names, view)
            for column, event_type in COUNTED[family(view)].items():
                wanted = Counter(
                    tuple(place(each, key) for key in keys) for each in told if each["event_type"] == event_type
                )
                assert wanted, f"no {event_type} to be counted"
                assert summed(connection, view, keys, column) == wanted, (view, column)
            if "events" in names:
                wanted = Counter(tuple(place(each, key) for key in keys) for each in told)
                assert summed(connection, view, keys, "events") == wanted, view


def test_runs_are_counted_by_tool_day_and_what_became_of_them(login: Login) -> None:
    tools = {run["run_id"]: run["tool_name"] for run in runs(login.customer)}
    wanted = Counter(
        (tools[each["run_id"]], date.fromisoformat(each["created_at"][:10]), each["kind"].removeprefix("run."))
        for each in run_events(login.customer)
    )
    with login.connect() as connection:
        found = summed(connection, "tool_runs_by_status", ["tool_name", "day", "status"], "runs")
        assert found == wanted
        for state in set(STATES) - {"running"}:
            of_it = {key[:2]: count for key, count in wanted.items() if key[2] == state}
            assert of_it
            assert summed(connection, "tool_runs", ["tool_name", "day"], state) == of_it
        assert set(connection.execute("select queue_time_avg_ms, run_time_avg_ms from aximo_metrics.tool_runs")) == {
            (1000.0, 1000.0)
        }


def test_a_sum_keeps_every_digit(login: Login) -> None:
    wanted: Counter[tuple[Any, ...]] = Counter()
    for event in events(login.customer):
        wanted[(event["deployment_id"], date.fromisoformat(event["timestamp"][:10]))] += event.get("latency_ms", 0)
    assert max(wanted.values()) > 2**53
    with login.connect() as connection:
        for view, column in (("execution_health", "latency_sum_ms"), ("business_value", "response_latency_sum_ms")):
            found = summed(connection, view, ["deployment_id", "day"], column)
            assert found == +wanted
            assert all(isinstance(total, Decimal) for total in found.values())


def test_no_view_counts_up_to_more_than_the_logins_own_log(login: Login) -> None:
    size, runs_size = len(events(login.customer)), len(run_events(login.customer))
    with login.connect() as connection:
        tried = 0
        for view in views(connection):
            for column in {"counts_up_to", "log_size"} & columns(connection, view).keys():
                query = f"select distinct {column} from {identifier(view).as_string()}"
                expected = {runs_size} if view.endswith(OF_RUNS) else {size}
                if family(view) == "freshness":
                    expected = {size, runs_size}
                assert {found for (found,) in connection.execute(query)} == expected, view
                tried += 1
        assert tried


def test_no_alert_goes_by_what_another_customer_set(login: Login) -> None:
    with login.connect() as connection:
        tried = 0
        for view in views(connection):
            for column in {"threshold", "value"} & columns(connection, view).keys():
                query = f"select {column} from {identifier(view).as_string()}"
                values = {value for (value,) in connection.execute(query)}
                assert RATES[other(login.customer)] not in values, view
                tried += RATES[login.customer] in values
        assert tried
