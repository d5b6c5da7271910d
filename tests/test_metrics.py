"""Metrics are what the events say: whatever happened, in whatever order it came, however it was numbered."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import VERSIONS, Ledger, _cloned
from tests.events import event
from tests.log_support import advance_all, emit_one, keeper, of_customer
from tests.metrics_support import (
    LEAD_TYPES,
    assert_recomputed,
    differences,
    disorder,
    history,
    load,
    metric_rows,
    recomputed,
    refresh,
)

Connection = psycopg.Connection[Any]
ONE_BY_ONE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
_customers = itertools.count()


@pytest.fixture(scope="module", params=VERSIONS)
def shared(request: pytest.FixtureRequest, servers: Callable[[str], EmbeddedServer]) -> Iterator[Connection]:
    """A connection that emits, numbers and refreshes for every customer; each test takes customers of its own."""
    with closing(_cloned(servers(request.param), "fresh", "metrics_test")) as clone:
        ledger = next(clone)
        login = ledger.login("metrics_keeper", "aximo_writer", "aximo_operator", customers=("*",))
        yield ledger.connect(login)
        ledger.close()


@pytest.fixture
def operator(each_ledger: Ledger) -> Connection:
    return each_ledger.connect(keeper(each_ledger))


def a_customer() -> str:
    return f"customer-{next(_customers)}"


def story(connection: Connection, customer: str, *told: tuple[Any, ...]) -> None:
    """Emits events given as (type, execution, timestamp, fields)."""
    batch = [
        event(kind, execution, timestamp=f"2026-03-{moment}Z", **(fields[0] if fields else {}))
        for kind, execution, moment, *fields in told
    ]
    connection.execute("select from aximo.import_events(%s, %s)", (Jsonb(batch), customer))


def one(connection: Connection, customer: str, view: str, **key: Any) -> dict[str, Any]:
    """The row of a key."""
    rows = [row for row in metric_rows(connection, customer, view) if all(row[k] == v for k, v in key.items())]
    assert len(rows) == 1, rows
    return rows[0]


def judge(connection: Connection) -> int:
    """Counts until there is no more, and refreshes; how many steps it took."""
    for steps in itertools.count(1):
        if count(connection)[1] is False:
            refresh(connection)
            return steps
    raise AssertionError


# Truth ---------------------------------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None, suppress_health_check=ONE_BY_ONE)
@given(seed=st.integers(0, 2**32))
def test_any_history_is_counted_as_the_events_say(shared: Connection, seed: int) -> None:
    random, customer = Random(seed), a_customer()
    load(shared, customer, history(random, random.randrange(1, 12)), random)
    refresh(shared)
    assert differences(shared, customer) == []
    assert_recomputed(shared, customer)


@settings(max_examples=12, deadline=None, suppress_health_check=ONE_BY_ONE)
@given(seed=st.integers(0, 2**32))
def test_a_disorderly_history_too(shared: Connection, seed: int) -> None:
    random, customer = Random(seed), a_customer()
    load(shared, customer, disorder(random, history(random, random.randrange(1, 10))), random)
    refresh(shared)
    assert differences(shared, customer) == []
    assert_recomputed(shared, customer)


@settings(max_examples=12, deadline=None, suppress_health_check=ONE_BY_ONE)
@given(seed=st.integers(0, 2**32))
def test_whenever_what_is_a_lead_is_set_anew(shared: Connection, seed: int) -> None:
    random, customer = Random(seed), a_customer()
    told = history(random, random.randrange(2, 12))
    cut = random.randrange(len(told) + 1)
    kinds = random.sample(["lead_capture", "store_lead", "send_email", "", "7"], random.randrange(4))
    since = random.choice((None, datetime(2026, 1, 31, 23, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)))

    def lead_types(moment: datetime) -> list[object]:
        month_ends = (moment.astimezone(UTC).replace(day=1) + timedelta(days=31)).replace(
            day=1, hour=0, minute=0, second=0
        )
        found: list[object] = list(kinds if since is None or month_ends.replace(microsecond=0) > since else LEAD_TYPES)
        return [*found, 7] if "7" in found else found

    load(shared, customer, told[:cut], random)
    of_customer(
        shared,
        customer,
        "select from aximo.set_lead_action_types(%s, coalesce(%s, '-infinity'::timestamptz))",
        kinds,
        since,
    )
    load(shared, customer, told[cut:], random)
    judge(shared)
    assert differences(shared, customer) == []
    assert_recomputed(shared, customer, lead_types)


@settings(max_examples=6, deadline=None, suppress_health_check=ONE_BY_ONE)
@given(seed=st.integers(0, 2**32))
def test_neither_the_order_of_arrival_nor_the_splits_matter(shared: Connection, seed: int) -> None:
    random = Random(seed)
    told = history(random, 6)
    # What answers what is found when an answer is written, so of approvals the order is kept.
    fixed = {e["execution_id"] for e in told if e["event_type"].startswith("approval")}
    first, second = a_customer(), a_customer()
    load(shared, first, told, random)
    loose = [e for e in told if e["execution_id"] not in fixed]
    random.shuffle(loose)
    mixed: list[dict[str, Any]] = []
    for e in told:
        mixed.append(e if e["execution_id"] in fixed else loose.pop())
    load(shared, second, mixed, random)
    refresh(shared)
    for view in recomputed(shared, first):
        rows = [
            sorted(
                str({k: v for k, v in row.items() if k != "customer_id"}) for row in metric_rows(shared, customer, view)
            )
            for customer in (first, second)
        ]
        assert rows[0] == rows[1], view


@pytest.mark.heavy
@settings(max_examples=400, deadline=None, suppress_health_check=ONE_BY_ONE)
@given(seed=st.integers(0, 2**64))
def test_many_histories(shared: Connection, seed: int) -> None:
    random, customer = Random(seed), a_customer()
    told = history(random, random.randrange(1, 60))
    load(shared, customer, disorder(random, told) if random.random() < 0.5 else told, random)
    refresh(shared, random.choice((None, True)))
    assert differences(shared, customer) == []
    assert_recomputed(shared, customer)


@pytest.mark.parametrize(
    "tampering",
    [
        "update aximo_private.activity_sums set execution_failed = execution_failed + 1 where grain = 'day'",
        "update aximo_private.activity_sums set opened = opened + 1 where grain = 'customer'",
        "update aximo_private.deployment_sums set open = open + 1",
        "update aximo_private.activity_sums set execution_us = execution_us + 1 where grain = 'month'",
        "delete from aximo_private.activity_sums where grain = 'hour'",
        "update aximo_private.action_sums set dispatched = dispatched + 1 where grain = 'month'",
        "update aximo_private.activity_sums set bins = array(select b + 2 from unnest(bins) as b)",
        "update aximo_private.activity_sums set latency_ms = latency_ms + 1",
        "insert into aximo_private.action_sums select customer_id, grain, bucket, gen_random_uuid(), deployment_id, skill_id,"
        " skill_version, action_type, risk_level, 0, 0, 0, 0, changed_in from aximo_private.action_sums",
        "update aximo_private.deployment_sums set executed_version = 'other'",
        "update aximo_private.activity_sums set grain = 'day', bucket = bucket + interval '7 days' where grain = 'day'",
    ],
)
def test_a_number_that_was_changed_is_found(operator: Connection, each_ledger: Ledger, tampering: str) -> None:
    story(
        operator, "c1",
        ("execution_triggered", "x", "01T10:00:00"), ("execution_processing", "x", "01T10:00:01"),
        ("action_prepared", "x", "01T10:00:02", {"payload": {"action_type": "a"}}),
        ("action_dispatched", "x", "01T10:00:03", {"payload": {"action_type": "a"}}),
        ("execution_completed", "x", "01T10:00:05", {"latency_ms": 9 * 10**15}),
    )  # fmt: skip
    refresh(operator)
    assert differences(operator, "c1") == []
    root = each_ledger.superuser()
    root.execute(tampering)
    refresh(operator, everything=True)
    assert differences(operator, "c1") != []


# What the numbers mean ------------------------------------------------------------------------------------------------


def test_a_late_event_lands_in_the_hour_it_happened(shared: Connection) -> None:
    customer = a_customer()
    story(shared, customer, ("sla_breached", None, "02T10:59:59.999999"))
    refresh(shared)
    story(shared, customer, ("sla_breached", None, "01T23:59:59.999999"), ("sla_breached", None, "02T11:00:00"))
    refresh(shared)
    rows = metric_rows(shared, customer, "sla_governance_hourly")
    hours = sorted(
        (row["hour"].astimezone(UTC).day, row["hour"].astimezone(UTC).hour, row["sla_breaches"]) for row in rows
    )
    assert hours == [(1, 23, 1), (2, 10, 1), (2, 11, 1)]
    assert one(shared, customer, "sla_governance", day=date(2026, 3, 2))["sla_breaches"] == 2
    assert one(shared, customer, "sla_governance_monthly")["sla_breaches"] == 3


def test_an_open_execution_counts_where_it_began_until_it_ends(shared: Connection) -> None:
    customer = a_customer()
    story(shared, customer, ("execution_triggered", "x", "01T23:00:00"), ("execution_processing", "x", "01T23:00:01"))
    refresh(shared)
    assert one(shared, customer, "execution_health", day=date(2026, 3, 1))["open"] == 1
    assert one(shared, customer, "customer_overview")["open"] == 1
    story(shared, customer, ("execution_completed", "x", "02T01:00:00"))
    refresh(shared)
    first, second = (one(shared, customer, "execution_health", day=date(2026, 3, day)) for day in (1, 2))
    assert (first["triggered"], first["completed"], first["open"], first["error_rate"]) == (1, 0, 0, 0)
    assert (second["triggered"], second["completed"], second["open"], second["error_rate"]) == (0, 1, 0, None)
    assert (first["execution_time_count"], second["execution_time_count"]) == (0, 1)
    assert second["execution_time_sum_ms"] == 2 * 3600 * 1000
    assert second["execution_time_p50_ms"] == pytest.approx(7_200_000, rel=0.02)


def test_a_start_that_comes_after_its_end_is_paired_with_it(shared: Connection) -> None:
    customer = a_customer()
    story(shared, customer, ("execution_failed", "x", "01T10:00:10"))
    refresh(shared)
    assert one(shared, customer, "execution_health")["execution_time_count"] == 0
    story(shared, customer, ("execution_triggered", "x", "01T10:00:00"))
    refresh(shared)
    row = one(shared, customer, "execution_health")
    assert (row["open"], row["execution_time_count"], row["execution_time_avg_ms"]) == (0, 1, 10_000)
    assert differences(shared, customer) == []


def test_leads_and_emergencies(shared: Connection) -> None:
    customer = a_customer()
    payloads: list[dict[str, Any]] = [
        {"action_type": "lead_capture"},
        {"action_type": "lead_capture", "priority": "high"},
        {"action_type": "lead_capture", "emergency": True},
        {"action_type": "lead_capture", "emergency": "true"},
        {"action_type": "lead_capture", "priority": ["high"]},
        {"action_type": ["lead_capture"], "priority": "high"},
        {"action_type": "other", "priority": "high"},
    ]
    story(shared, customer, *[("action_dispatched", "x", "01T10:00:00", {"payload": p}) for p in payloads])
    story(shared, customer, ("action_prepared", "x", "01T10:00:00", {"payload": payloads[1]}))
    story(shared, customer, *[("execution_triggered", f"x{n}", "01T10:00:00") for n in range(10)])
    refresh(shared)
    row = one(shared, customer, "business_value")
    assert (row["conversations"], row["actions_dispatched"], row["leads"], row["emergency_leads"]) == (10, 7, 5, 2)
    assert row["lead_conversion_rate"] == 0.5
    assert one(shared, customer, "customer_overview")["lead_conversion_rate"] == 0.5


def test_what_is_a_lead_is_a_setting_of_the_month(shared: Connection) -> None:
    customer, other = a_customer(), a_customer()
    types = ("lead_capture", "store_lead", "book_demo", 7, ["book_demo"])
    for whose in (customer, other):
        batch = [
            event(
                "action_dispatched", "x", timestamp=f"2026-{moment}Z", deployment_id=f"dep-{number % 2}",
                payload={"action_type": kind, "priority": "high" if number else "low"},
            )
            for moment in ("03-31T23:59:59.999999", "04-01T00:00:00", "04-20T10:00:00")
            for number, kind in enumerate(types)
        ]  # fmt: skip
        shared.execute("select from aximo.import_events(%s, %s)", (Jsonb(batch), whose))
    refresh(shared)

    def leads(whose: str, suffix: str = "_monthly") -> list[tuple[Any, int, int]]:
        grain = {"": "day", "_hourly": "hour", "_monthly": "month"}[suffix]
        found: dict[Any, list[int]] = {}
        for row in metric_rows(shared, whose, f"business_value{suffix}"):
            sums = found.setdefault(row[grain].month, [0, 0])
            sums[0], sums[1] = sums[0] + row["leads"], sums[1] + row["emergency_leads"]
        return [(month, *sums) for month, sums in sorted(found.items())]

    def declare(kinds: list[str] | None, since: str, whose: str = customer) -> None:
        of_customer(shared, whose, "select from aximo.set_lead_action_types(%s, %s)", kinds, since)
        judge(shared)
        by_month = leads(whose)
        assert leads(whose, "") == leads(whose, "_hourly") == by_month
        assert one(shared, whose, "customer_overview")["leads"] == sum(row[1] for row in by_month)
        assert differences(shared, whose) == []

    assert leads(customer) == [(3, 2, 1), (4, 4, 2)]
    # In the middle of a month: it is the month's.
    declare(["book_demo", "7"], "2026-04-15T00:00:00Z")
    assert leads(customer) == [(3, 2, 1), (4, 4, 4)]
    declare([], "2026-04-30T23:59:59.999999Z")
    assert leads(customer) == [(3, 2, 1), (4, 0, 0)]
    declare(["store_lead"], "-infinity")
    assert leads(customer) == [(3, 1, 1), (4, 0, 0)]
    # Taken back.
    declare(None, "2026-04-30T23:59:59.999999Z")
    assert leads(customer) == [(3, 1, 1), (4, 4, 2)]
    # What comes later is judged in the same way, and what is counted anew too.
    for kind in ("store_lead", "lead_capture"):
        story(shared, customer, ("action_dispatched", "x", "01T00:00:00", {"payload": {"action_type": kind}}))
    refresh(shared)
    shared.execute("select from aximo.recount_metrics(true)")
    refresh(shared, True)
    assert leads(customer) == [(3, 2, 1), (4, 4, 2)]
    assert_recomputed(
        shared, customer, lambda moment: ("store_lead",) if moment.month == 3 else ("lead_capture", "store_lead")
    )
    assert leads(other) == [(3, 2, 1), (4, 4, 2)]
    assert differences(shared, customer) == differences(shared, other) == []
    history_of = metric_rows(shared, customer, "lead_action_types")
    assert sorted(str(row["action_type"]) for row in history_of if row["scope"] == "customer") == [
        "7", "None", "None", "book_demo", "store_lead",
    ]  # fmt: skip


def test_leads_of_all_customers_are_judged_one_customer_a_step(operator: Connection) -> None:
    customers = [a_customer() for _ in range(3)]
    for customer in customers:
        story(operator, customer, ("action_dispatched", "x", "01T00:00:00", {"payload": {"action_type": "call_back"}}))
    of_customer(operator, customers[0], "select from aximo.set_lead_action_types('{}', '-infinity')")
    refresh(operator)
    operator.execute("select from aximo.set_lead_action_types('{call_back}', '-infinity', for_all_customers => true)")
    steps = [operator.execute("select counted, is_behind from aximo.count_metrics()").fetchone() for _ in range(4)]
    assert steps == [(0, True)] * 3 + [(0, False)]
    refresh(operator)
    found = [metric_rows(operator, customer, "customer_overview")[0]["leads"] for customer in customers]
    assert found == [0, 1, 1]
    assert [differences(operator, customer) for customer in customers] == [[], [], []]


def test_leads_of_a_long_history_are_judged_one_month_a_step(operator: Connection) -> None:
    for month in range(1, 7):
        told = event(
            "action_dispatched", "x", timestamp=f"2026-0{month}-10T00:00:00Z", payload={"action_type": "call_back"}
        )
        operator.execute("select from aximo.import_events(%s, 'c1')", (Jsonb([told]),))
    refresh(operator)
    of_customer(operator, "c1", "select from aximo.set_lead_action_types('{call_back}', '2026-02-28T00:00:00Z')")
    # February to June, and the look that finds no more; other sums are not touched.
    assert judge(operator) == 6
    leads = {row["month"].month: row["leads"] for row in metric_rows(operator, "c1", "business_value_monthly")}
    assert leads == {1: 0, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1}
    assert metric_rows(operator, "c1", "customer_overview")[0]["leads"] == 5
    assert differences(operator, "c1") == []
    # What nobody has counted needs no judging.
    of_customer(operator, "c2", "select from aximo.set_lead_action_types('{call_back}')")
    assert judge(operator) == 2


def test_percentiles_are_within_two_percent(shared: Connection) -> None:
    customer, random = a_customer(), Random(7)
    values = [int(10 ** random.uniform(0, 9)) for _ in range(2000)]
    batch = [event("sla_breached", None, timestamp="2026-03-01T10:00:00Z", latency_ms=value) for value in values]
    shared.execute("select from aximo.emit_events(%s, %s)", (Jsonb(batch), customer))
    refresh(shared)
    for view in ("execution_health", "execution_health_hourly", "execution_health_monthly"):
        row = one(shared, customer, view)
        exact = sorted(values)
        assert row["latency_p50_ms"] == pytest.approx(exact[999], rel=0.02)
        assert row["latency_p95_ms"] == pytest.approx(exact[1899], rel=0.02)
        assert row["latency_p99_ms"] == pytest.approx(exact[1979], rel=0.02)
        assert row["latency_avg_ms"] == pytest.approx(sum(values) / 2000)


def test_the_bins_of_a_histogram(ledger: Ledger) -> None:
    root = ledger.superuser()
    edges = [1, 2, 3, 24, 25, 26, 27, 999, 1000, 10**6, 10**12, 2**62, 2**63 - 1]
    for value in [*edges, *(-v for v in edges), 0]:
        row = root.execute(
            "select aximo_private.histogram_value(aximo_private.histogram_bin(%s::double precision))", (value,)
        ).fetchone()
        assert row is not None
        assert row[0] == pytest.approx(value, rel=0.02)


def test_the_state_of_a_deployment_goes_by_timestamp(shared: Connection) -> None:
    customer = a_customer()
    version = {"skill_version": "2.0"}
    story(
        shared, customer,
        ("version_upgraded", None, "03T00:00:00", version), ("deployment_suspended", None, "04T00:00:00", version),
        ("deployment_created", None, "01T00:00:00"), ("deployment_activated", None, "02T00:00:00"),
    )  # fmt: skip
    story(shared, customer, ("execution_triggered", "x", "05T00:00:00", {"deployment_id": "undeclared"}))
    refresh(shared)
    row = one(shared, customer, "deployment_status", deployment_id="dep-1")
    assert (row["status"], row["skill_version"], row["upgrades"], row["rollbacks"]) == ("suspended", "2.0", 1, 0)
    assert row["status_since"] == datetime(2026, 3, 4, tzinfo=UTC)
    other = one(shared, customer, "deployment_status", deployment_id="undeclared")
    assert (other["status"], other["skill_version"], other["open"]) == ("undeclared", "1.0", 1)
    overview = one(shared, customer, "customer_overview")
    assert (overview["deployments"], overview["active_deployments"], overview["undeclared_deployments"]) == (2, 0, 1)
    stored = of_customer(shared, customer, "select deployment_id, status, skill_version from aximo.deployments")
    assert sorted(stored) == [("dep-1", "suspended", "2.0"), ("undeclared", "undeclared", "1.0")]


def test_high_risk_actions_by_the_setting_of_the_month(shared: Connection) -> None:
    customer = a_customer()
    for month in ("03", "04"):
        batch = [
            event("action_dispatched", "x", timestamp=f"2026-{month}-10T00:00:00Z", risk_level=risk)
            for risk in ("R1", "R2", "R3", "critical", None)
        ]
        shared.execute("select from aximo.import_events(%s, %s)", (Jsonb(batch), customer))
    refresh(shared)

    def high() -> list[int]:
        rows = metric_rows(shared, customer, "attribution_monthly")
        return [row["high_risk_actions"] for row in sorted(rows, key=lambda row: row["month"])]

    def declare(levels: list[str] | None, since: str) -> None:
        of_customer(shared, customer, "select from aximo.set_high_risk_levels(%s, %s)", levels, since)

    assert high() == [2, 2]
    declare(["R1", "R2", "R3"], "2026-04-15T00:00:00Z")
    assert high() == [2, 3]
    declare([], "2026-04-20T00:00:00Z")
    assert high() == [2, 0]
    declare(None, "2026-04-21T00:00:00Z")
    assert high() == [2, 2]
    assert differences(shared, customer) == []
    history_of = metric_rows(shared, customer, "high_risk_levels")
    assert sum(row["scope"] == "customer" for row in history_of) == 5
    assert [row["is_withdrawal"] for row in history_of if row["scope"] == "customer" and row["is_current"]] == [True]


# Thresholds -----------------------------------------------------------------------------------------------------------


def failing(connection: Connection, customer: str, failed: int, triggered: int, day: str = "01", **fields: Any) -> None:
    story(
        connection, customer,
        *[("execution_triggered", f"{day}-{n}", f"{day}T10:00:00", fields) for n in range(triggered)],
        *[("execution_failed", f"{day}-{n}", f"{day}T10:00:01", fields) for n in range(failed)],
    )  # fmt: skip


def alerts(connection: Connection, customer: str) -> list[tuple[int, str, str, float]]:
    rows = metric_rows(connection, customer, "alerts")
    return sorted((row["day"].day, row["metric"], row["level"], row["threshold"]) for row in rows)


def test_alerts_begin_above_the_threshold_not_at_it(shared: Connection) -> None:
    customer = a_customer()
    for day, failed in (("01", 5), ("02", 6), ("03", 10), ("04", 11)):
        failing(shared, customer, failed, 100, day)
    for day, breaches in (("05", 3), ("06", 4)):
        story(shared, customer, *[("execution_completed", f"{day}-{n}", f"{day}T10:00:00") for n in range(100)])
        story(shared, customer, *[("sla_breached", None, f"{day}T10:00:00")] * breaches)
    refresh(shared)
    assert alerts(shared, customer) == [
        (2, "error_rate", "warning", 0.05),
        (3, "error_rate", "warning", 0.05),
        (4, "error_rate", "escalation", 0.1),
        (6, "sla_breach_rate", "escalation", 0.03),
    ]
    assert sorted(row["numerator"] for row in metric_rows(shared, customer, "alerts_monthly")) == [7, 32]
    assert len(metric_rows(shared, customer, "alerts_hourly")) == 4
    assert one(shared, customer, "deployment_status")["error_level"] == "warning"
    assert differences(shared, customer) == []


def test_a_threshold_of_ones_own_and_its_history(shared: Connection) -> None:
    customer = a_customer()
    for day in ("01", "02", "03"):
        failing(shared, customer, 20, 100, day)

    def set_threshold(level: str, value: float | None, deployment: str | None, since: str) -> None:
        of_customer(
            shared,
            customer,
            "select from aximo.set_threshold('error_rate', %s, %s, %s, %s)",
            level,
            value,
            deployment,
            since,
        )

    refresh(shared)
    assert [level for _, _, level, _ in alerts(shared, customer)] == ["escalation"] * 3
    # From the second day on for all of the customer's; from the third for the deployment.
    set_threshold("escalation", 0.5, None, "2026-03-02T12:00:00Z")
    assert alerts(shared, customer) == [
        (1, "error_rate", "escalation", 0.1), (2, "error_rate", "warning", 0.05), (3, "error_rate", "warning", 0.05)
    ]  # fmt: skip
    set_threshold("warning", 0.3, "dep-1", "2026-03-03T00:00:00Z")
    assert [day for day, *_ in alerts(shared, customer)] == [1, 2]
    assert differences(shared, customer) == []
    # Taken back, also for a time in the past; what was set stays on record.
    set_threshold("warning", None, "dep-1", "2026-03-03T00:00:01Z")
    set_threshold("escalation", None, None, "2026-03-02T12:00:01Z")
    assert [level for _, _, level, _ in alerts(shared, customer)] == ["escalation"] * 3
    own = [row for row in metric_rows(shared, customer, "thresholds") if row["scope"] != "all customers"]
    assert len(own) == 4
    assert [row["value"] for row in own if row["is_current"]] == [None, None]
    assert {row["scope"] for row in metric_rows(shared, customer, "thresholds")} == {
        "all customers",
        "customer",
        "deployment",
    }
    assert differences(shared, customer) == []
    other = a_customer()
    assert metric_rows(shared, other, "thresholds") == []
    emit_one(shared, other)
    assert {row["scope"] for row in metric_rows(shared, other, "thresholds")} == {"all customers"}


def test_a_few_are_no_alert(shared: Connection) -> None:
    customer = a_customer()
    failing(shared, customer, 2, 19, "01")
    failing(shared, customer, 2, 20, "02")
    failing(shared, customer, 2, 19, "03", deployment_id="dep-2")
    refresh(shared)
    assert [day for day, *_ in alerts(shared, customer)] == [2]
    assert [row["denominator"] for row in metric_rows(shared, customer, "alerts_monthly")] == [39]
    levels = {row["deployment_id"]: row["error_level"] for row in metric_rows(shared, customer, "deployment_status")}
    assert levels == {"dep-1": "escalation", "dep-2": "ok"}

    def at_least(number: int | None, deployment: str | None, since: str) -> None:
        of_customer(
            shared,
            customer,
            "select from aximo.set_threshold('error_rate', 'minimum_denominator', %s, %s, %s)",
            number,
            deployment,
            since,
        )

    at_least(19, "dep-2", "-infinity")
    assert [day for day, *_ in alerts(shared, customer)] == [2, 3]
    at_least(21, None, "2026-03-02T00:00:00Z")
    assert [day for day, *_ in alerts(shared, customer)] == [3]
    at_least(0, None, "2026-03-03T00:00:00Z")
    assert [day for day, *_ in alerts(shared, customer)] == [3]
    at_least(None, None, "2026-03-02T00:00:00Z")
    assert [day for day, *_ in alerts(shared, customer)] == [2, 3]
    assert differences(shared, customer) == []


def test_executions_that_take_too_long_are_an_alert_if_somebody_says_what_is(shared: Connection) -> None:
    customer = a_customer()
    for day, seconds in (("01", 2), ("02", 3)):
        story(shared, customer, *[("execution_triggered", f"{day}-{n}", f"{day}T10:00:00") for n in range(20)])
        ends = [("execution_completed", f"{day}-{n}", f"{day}T10:00:0{seconds + n % 2}.0005") for n in range(20)]
        story(shared, customer, *ends)
    refresh(shared)
    assert alerts(shared, customer) == []
    call = "select from aximo.set_threshold('avg_execution_time_ms', %s, %s, null, '-infinity')"
    of_customer(shared, customer, call, "warning", 2500.5)
    of_customer(shared, customer, call, "escalation", 3500)
    assert alerts(shared, customer) == [(2, "avg_execution_time_ms", "escalation", 3500)]
    of_customer(shared, customer, call, "warning", 2500.4)
    (first, second) = sorted(metric_rows(shared, customer, "alerts"), key=lambda row: str(row["day"]))
    assert (first["level"], first["value"], first["numerator"], first["denominator"]) == ("warning", 2500.5, 50010, 20)
    assert (second["level"], second["value"], second["numerator"], second["denominator"]) == (
        "escalation", 3500.5, 70010, 20,
    )  # fmt: skip
    assert differences(shared, customer) == []
    of_customer(shared, customer, call, "minimum_denominator", 21)
    assert metric_rows(shared, customer, "alerts") == []
    assert [row["denominator"] for row in metric_rows(shared, customer, "alerts_monthly")] == [40]
    assert differences(shared, customer) == []


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        ("set_threshold('errors', 'warning', 0.1)", "threshold_known"),
        ("set_threshold('error_rate', null, 0.1)", "threshold_known"),
        ("set_threshold('error_rate', 'warning', -0.1)", "threshold_is_a_rate"),
        ("set_threshold('error_rate', 'warning', 'nan')", "threshold_is_a_rate"),
        ("set_threshold('error_rate', 'warning', 'infinity')", "threshold_is_a_rate"),
        ("set_threshold('error_rate', 'warning', 0.1, '  ')", "identifier_length"),
        ("set_threshold('error_rate', 'warning', 0.1, repeat('x', 256))", "identifier_length"),
        ("set_threshold('error_rate', 'warning', 0.1, 'd', now(), true)", "deployment_of_a_customer"),
        ("set_threshold('error_rate', 'warning', 0.1, 'd', 'infinity')", "effective_from_is_a_moment"),
        ("set_threshold('error_rate', 'warning', 0.1, 'd', '1066-10-14')", "effective_from_is_a_moment"),
        ("set_high_risk_levels(array['a', null])", "levels_are_named"),
        ("set_high_risk_levels(array['a', 'b', 'a'])", "levels_are_named"),
        ("set_high_risk_levels(array[repeat('a', 256)])", "levels_are_named"),
        ("set_high_risk_levels(array[array['a'], array['b']])", "levels_are_named"),
        ("set_high_risk_levels(array_fill('a'::text, array[101]))", "levels_are_named"),
        ("set_high_risk_levels(array['a'], 'infinity')", "effective_from_is_a_moment"),
        ("set_threshold('avg_execution_time_ms', 'too_long', 1)", "threshold_known"),
        ("set_threshold('error_rate', 'minimum_denominator', -1)", "threshold_is_a_rate"),
        ("set_lead_action_types(array['a', null])", "action_types_are_named"),
        ("set_lead_action_types(array['a', 'a'])", "action_types_are_named"),
        ("set_lead_action_types(array[repeat('ä', 128)])", "action_types_are_named"),
        ("set_lead_action_types(array['sha256 0'])", "action_types_are_named"),
        ("set_lead_action_types(array['a'], '1066-10-14')", "effective_from_is_a_moment"),
    ],
)
def test_settings_that_make_no_sense_are_refused(shared: Connection, call: str, rule: str) -> None:
    with pytest.raises(psycopg.Error) as refused:
        of_customer(shared, "c1", f"select from aximo.{call}")
    assert (refused.value.sqlstate, refused.value.diag.constraint_name) == ("ZXARG", rule)


def test_settings_are_an_operators_and_each_customers_own(ledger: Ledger) -> None:
    reader = ledger.as_customer("c1", "aximo_reader")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute("select aximo.set_threshold('error_rate', 'warning', 0.5)")
    bound = ledger.as_customer("c1", "aximo_operator")
    bound.execute("select aximo.set_threshold('error_rate', 'warning', 0.5)")
    for call in (
        "set_threshold('error_rate', 'warning', 0.5, for_all_customers => true)",
        "set_high_risk_levels('{}', now(), true)",
        "set_lead_action_types('{}', now(), true)",
    ):
        with pytest.raises(psycopg.Error) as refused:
            bound.execute(f"select aximo.{call}")
        assert refused.value.sqlstate == "ZXCUS"
    nobody = ledger.connect(ledger.login("no_customer", "aximo_operator"))
    for more in ("", ", for_all_customers => true"):
        with pytest.raises(psycopg.Error) as refused:
            nobody.execute(f"select aximo.set_threshold('error_rate', 'warning', 0.5{more})")
        assert refused.value.sqlstate == "ZXCUS"
    everybodys = ledger.connect(ledger.login("all_customers", "aximo_operator", customers=("*",)))
    everybodys.execute("select aximo.set_threshold('error_rate', 'warning', 0.2, for_all_customers => true)")
    rows = ledger.superuser().execute(
        "select customer_id, value, set_by from aximo_private.thresholds where effective_from > '-infinity' order by set_at"
    )
    assert rows.fetchall() == [("c1", 0.5, bound.info.user), ("*", 0.2, "all_customers")]


# Refreshing -----------------------------------------------------------------------------------------------------------


def test_what_is_new_is_numbered_and_shown_at_once(operator: Connection) -> None:
    emit_one(operator)
    made = refresh(operator)
    assert made == ["actions_recent", "activity_recent", "counted_recent", "deployments_recent", "runs_recent"]
    row = metric_rows(operator, "c1", "freshness")[0]
    assert (row["counts_up_to"], row["log_size"], row["behind"]) == (1, 1, 0)
    assert datetime.now(UTC) - row["refreshed_at"] < timedelta(minutes=1)
    emit_one(operator)
    advance_all(operator)
    row = metric_rows(operator, "c1", "freshness")[0]
    assert (row["counts_up_to"], row["log_size"], row["behind"]) == (1, 2, 1)
    assert metric_rows(operator, "c1", "sla_governance")[0]["counts_up_to"] == 1


def test_freshness_names_every_view_of_metrics(operator: Connection, each_ledger: Ledger) -> None:
    views = {
        name
        for (name,) in each_ledger.superuser().execute(
            "select table_name from information_schema.columns where table_schema = 'aximo_metrics' and column_name = 'counts_up_to'"
        )
    }
    emit_one(operator)
    assert {row["view_name"] for row in metric_rows(operator, "c1", "freshness")} == views - {"freshness"}


def test_all_at_once_and_bit_by_bit_are_one(operator: Connection) -> None:
    random = Random(3)
    for _ in range(4):
        load(operator, "c1", history(random, 5), random)
        refresh(operator, everything=True)
        load(operator, "c1", history(random, 2), random)
        refresh(operator)
        assert differences(operator, "c1") == []
        assert_recomputed(operator, "c1")


def test_a_sum_that_grows_after_it_was_shown_is_shown_as_it_is(operator: Connection) -> None:
    """The same row of each kind of sum again: executions, actions, deployments, runs."""
    told = [event(kind, "{}", timestamp=f"2026-01-01T00:00:0{n}Z", payload={"action_type": "a"}) for n, kind in enumerate((
        "execution_triggered", "execution_processing", "action_prepared", "action_dispatched", "execution_completed",
    ))]  # fmt: skip
    runs = [
        {"run_id": "r", "created_at": "2026-01-01T00:00:00Z", "kind": kind} for kind in ("run.started", "run.failed")
    ]
    for round_ in (1, 2, 3):
        batch = [{**each, "execution_id": f"e{round_}"} for each in told]
        operator.execute("select from aximo.emit_events(%s, 'c1')", (Jsonb(batch),))
        again = [round_] * len(runs)
        operator.execute(
            "select from helix.import_run_events(%s, repetitions => %s, customer_id => 'c1')", (Jsonb(runs), again)
        )
        refresh(operator, everything=round_ == 1)
        for view, column in (("actions", "dispatched"), ("execution_health", "completed"), ("tool_runs", "failed")):
            assert [row[column] for row in metric_rows(operator, "c1", view)] == [round_], view
        assert differences(operator, "c1") == []


def rows_touched(each_ledger: Ledger, operator: Connection) -> dict[str, int]:
    """Of each table of metrics, how many rows were read and written so far."""
    operator.execute("select pg_stat_force_next_flush()")
    rows = each_ledger.superuser().execute(
        "select relname, seq_tup_read + coalesce(idx_tup_fetch, 0) + n_tup_ins + n_tup_upd + n_tup_del"
        " from pg_stat_all_tables where schemaname = 'aximo_private' and relname ~ '_(sums|kept|recent|logs)$'"
    )
    return dict(rows.fetchall())


def touched_by_one_more(each_ledger: Ledger, operator: Connection) -> int:
    """How many rows it takes to count and show one event."""
    emit_one(operator)
    advance_all(operator)
    before = rows_touched(each_ledger, operator)
    refresh(operator)
    after = rows_touched(each_ledger, operator)
    return sum(after.values()) - sum(before.values())


def test_a_refresh_looks_at_what_changed_only(operator: Connection, each_ledger: Ledger) -> None:
    """Whatever there is, however much changed before, and however many deployments of another tenant idle."""
    emit_one(operator)
    refresh(operator)
    few = touched_by_one_more(each_ledger, operator)
    start = datetime(2010, 1, 1, tzinfo=UTC)
    hours = [(start + timedelta(hours=25 * n)).isoformat() for n in range(3000)]
    batch = [event("sla_breached", None, timestamp=hour) for hour in hours]
    operator.execute("select from aximo.emit_events(%s, 'c1')", (Jsonb(batch),))
    idle = [event("deployment_created", None, deployment_id=f"idle-{n}") for n in range(3000)]
    operator.execute("select from aximo.emit_events(%s, 'c2')", (Jsonb(idle),))
    refresh(operator)
    assert metric_rows(operator, "c2", "customer_overview")[0]["deployments"] == 3000
    assert touched_by_one_more(each_ledger, operator) <= few + 10
    assert touched_by_one_more(each_ledger, operator) <= few + 10


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_a_refresh_is_of_one_moment(each_ledger: Ledger, operator: Connection, isolation: str) -> None:
    """While it is made, what is numbered is not counted; and numbering goes on, if the caller did it before."""
    emit_one(operator)
    advance_all(operator)
    operator.execute("select from aximo.count_metrics()")
    other = each_ledger.connect("log_keeper")
    with operator.transaction():
        operator.execute(f"set transaction isolation level {isolation}")
        assert refresh(operator)
        emit_one(other)
        row = other.execute("select numbered, is_behind from aximo.advance_log()").fetchone()
        assert row == ((0, None) if isolation == "read committed" else (1, False))
        assert other.execute("select counted, is_behind from aximo.count_metrics()").fetchone() == (0, None)
    assert metric_rows(operator, "c1", "freshness")[0]["counts_up_to"] == 1
    assert differences(operator, "c1") == []
    refresh(operator)
    assert metric_rows(operator, "c1", "freshness")[0]["counts_up_to"] == 2


def test_one_refreshes_and_the_other_leaves_it_to_him(each_ledger: Ledger, operator: Connection) -> None:
    other = each_ledger.connect("log_keeper")
    with operator.transaction():
        assert refresh(operator)
        other.execute("set statement_timeout = '60s'")
        assert refresh(other) == []
    assert refresh(other)


def test_readers_read_while_it_is_refreshed(each_ledger: Ledger, operator: Connection) -> None:
    emit_one(operator)
    refresh(operator)
    reader = each_ledger.as_customer("c1", "aximo_bi")
    reader.execute("set statement_timeout = '60s'")
    with operator.transaction():
        emit_one(operator)
        refresh(operator, everything=True)
        seen = reader.execute("select sla_breaches from aximo_metrics.sla_governance").fetchall()
        assert seen == [(1,)]


def test_who_may_refresh(each_ledger: Ledger) -> None:
    for roles, customers, wanted in (
        (("aximo_operator",), (), "ZXCUS"),
        (("aximo_operator",), ("*",), None),
        (("aximo_operator",), ("c1",), "ZXCUS"),
        (("aximo_bi",), ("c1",), "42501"),
        (("aximo_reader", "aximo_writer", "aximo_auditor"), ("*",), "42501"),
    ):
        login = each_ledger.login(f"refresher_{next(_customers)}", *roles, customers=customers)
        connection = each_ledger.connect(login)
        for call in ("count_metrics()", "refresh_metrics()", "recount_metrics()"):
            if wanted is None:
                connection.execute(f"select aximo.{call}")
                continue
            with pytest.raises(psycopg.Error) as refused:
                connection.execute(f"select aximo.{call}")
            assert refused.value.sqlstate == wanted


def test_a_refresh_without_the_publics_temporary_tables(each_ledger: Ledger) -> None:
    """As the hardening script leaves it."""
    each_ledger.superuser().execute(f"revoke temporary on database {each_ledger.name} from public")
    operator = each_ledger.connect(keeper(each_ledger))
    emit_one(operator)
    assert refresh(operator)


def test_a_fresh_ledger_has_metrics_without_rows(operator: Connection, each_ledger: Ledger) -> None:
    assert refresh(operator)
    rows = (
        each_ledger.superuser().execute("select viewname from pg_views where schemaname = 'aximo_metrics'").fetchall()
    )
    for (view,) in rows:
        found = metric_rows(operator, "c1", view)
        assert view in ("thresholds", "high_risk_levels", "lead_action_types", "freshness") or found == []
    assert differences(operator, "c1") == []


def test_what_is_shown_does_not_depend_on_what_the_materialized_views_hold(
    operator: Connection, each_ledger: Ledger
) -> None:
    """A restore leaves them with what was counted and not shown, or with nothing, if it was cut off."""
    load(operator, "c1", history(Random(1), 5), Random(1))
    refresh(operator)
    before = sorted(map(str, metric_rows(operator, "c1", "execution_health")))
    operator.execute("select from aximo.import_events(%s, 'c1')", (Jsonb(history(Random(2), 5)),))
    advance_all(operator)
    operator.execute("select from aximo.count_metrics()")
    root = each_ledger.superuser()
    views = root.execute("select matviewname from pg_matviews where schemaname = 'aximo_private'").fetchall()
    assert len(views) == 5
    for options in ("", "with no data"):
        for (view,) in views:
            root.execute(f"refresh materialized view aximo_private.{view} {options}")
        shown = sorted(map(str, metric_rows(operator, "c1", "execution_health")))
        assert shown == before or options == ""
    refresh(operator)
    assert differences(operator, "c1") == []
    assert_recomputed(operator, "c1")


def test_a_refresh_that_numbers_forgets_holes_as_numbering_does(operator: Connection, each_ledger: Ledger) -> None:
    root = each_ledger.superuser()
    for _ in range(4):
        with operator.transaction(force_rollback=True):
            emit_one(operator)
        emit_one(operator)
        refresh(operator)
    for _ in range(2):
        refresh(operator)
    assert root.execute("select count(*) from aximo_private.log_holes").fetchone() == (0,)


# Counting -------------------------------------------------------------------------------------------------------------


def queue(each_ledger: Ledger) -> list[tuple[str, int]]:
    """The logs that wait to be counted, and up to which number they have grown."""
    rows = each_ledger.superuser().execute("select customer_id, number from aximo_private.uncounted_logs order by 1, 2")
    return rows.fetchall()


def count(connection: Connection, max_events: int = 20_000) -> tuple[int, bool | None]:
    row = connection.execute("select counted, is_behind from aximo.count_metrics(%s)", (max_events,)).fetchone()
    assert row is not None
    return row  # type: ignore[no-any-return]


def test_counting_goes_in_bounded_steps_and_starves_nobody(operator: Connection, each_ledger: Ledger) -> None:
    for customer, events in (("busy", 12), ("calm", 2), ("quiet", 1)):
        for _ in range(events):
            emit_one(operator, customer)
    advance_all(operator)
    assert queue(each_ledger) == [("busy", 12), ("calm", 2), ("quiet", 1)]
    assert count(operator, 4) == (4, True)
    assert queue(each_ledger) == [("busy", 12)]
    refresh(operator)
    operator.execute("select from aximo.recount_metrics(true, 4)")
    steps = [count(operator, 4) for _ in range(3)]
    assert [number for number, _ in steps] == [4, 4, 3]
    assert [behind for _, behind in steps] == [True, True, False]
    assert queue(each_ledger) == []
    assert count(operator, 4) == (0, False)
    refresh(operator)
    for customer in ("busy", "calm", "quiet"):
        assert differences(operator, customer) == []


def test_a_log_waits_once_however_long_nobody_counts(operator: Connection, each_ledger: Ledger) -> None:
    for _ in range(30):
        emit_one(operator)
        advance_all(operator)
    assert queue(each_ledger) == [("c1", 30)]


def test_numbering_goes_on_while_somebody_counts_and_nothing_is_forgotten(
    each_ledger: Ledger, operator: Connection
) -> None:
    other = each_ledger.connect("log_keeper")
    other.execute("set statement_timeout = '60s'")
    emit_one(operator)
    advance_all(operator)
    with operator.transaction():
        assert count(operator) == (1, False)
        for numbered in (2, 3):
            emit_one(other)
            assert advance_all(other) == 1
            # What is being counted is left alone; what is beside it is replaced.
            assert queue(each_ledger) == [("c1", 1), ("c1", numbered)]
        assert count(other) == (0, None)
    assert queue(each_ledger) == [("c1", 3)]
    assert count(operator) == (2, False)
    assert queue(each_ledger) == []


def test_counting_goes_on_while_somebody_numbers_and_nothing_is_forgotten(
    each_ledger: Ledger, operator: Connection
) -> None:
    other = each_ledger.connect("log_keeper")
    other.execute("set statement_timeout = '60s'")
    emit_one(operator)
    advance_all(operator)
    emit_one(operator)
    with operator.transaction(force_rollback=True):
        assert advance_all(operator) == 1
        assert count(other) == (1, False)
    # The advance took its note back, and the one it would have replaced is counted already.
    assert count(other) == (0, False)
    assert queue(each_ledger) == []
    assert advance_all(operator) == 1
    assert count(other) == (1, False)
    refresh(operator)
    assert differences(operator, "c1") == []


def test_who_is_cancelled_loses_one_step(each_ledger: Ledger, operator: Connection) -> None:
    for _ in range(6):
        emit_one(operator)
    advance_all(operator)
    assert count(operator, 2) == (2, True)
    with operator.transaction(force_rollback=True):
        assert count(operator, 2) == (2, True)
        assert refresh(operator)
    assert count(operator) == (4, False)
    refresh(operator)
    assert metric_rows(operator, "c1", "freshness")[0]["behind"] == 0
    assert differences(operator, "c1") == []


def test_who_can_not_be_counted_keeps_nobody_else_from_being_counted(operator: Connection, each_ledger: Ledger) -> None:
    root = each_ledger.superuser()
    root.execute(
        "alter table aximo_private.deployment_sums add constraint no_poison check (customer_id <> 'c2') not valid"
    )
    for customer in ("c1", "c2", "c3"):
        emit_one(operator, customer)
    advance_all(operator)
    assert count(operator) == (2, False)
    assert count(operator) == (0, False)
    refresh(operator)
    for customer, counted in (("c1", 1), ("c2", 0), ("c3", 1)):
        assert metric_rows(operator, customer, "freshness")[0]["counts_up_to"] == counted
        assert differences(operator, customer) == []
    assert root.execute(
        "select customer_id from aximo_private.counted_logs where failed_at is not null"
    ).fetchall() == [("c2",)]
    emit_one(operator, "c2")
    advance_all(operator)
    assert count(operator) == (0, False)
    assert recount(operator, False) == (0, 0)
    root.execute("alter table aximo_private.deployment_sums drop constraint no_poison")
    assert recount(operator, False) == (2, 0)
    refresh(operator)
    assert metric_rows(operator, "c2", "freshness")[0]["counts_up_to"] == 2
    assert differences(operator, "c2") == []


def test_what_is_kept_is_what_the_sums_say(operator: Connection, each_ledger: Ledger) -> None:
    """Of every kind, whatever was refreshed when: what is published is the whole of what would be worked out now."""
    root = each_ledger.superuser()
    random = Random(5)
    for _ in range(4):
        for customer in ("c1", "c2"):
            load(operator, customer, history(random, 4), random)
        refresh(operator, random.choice((None, False, True)))
    kinds = [
        name.removesuffix("_recent")
        for (name,) in root.execute("select matviewname from pg_matviews where schemaname = 'aximo_private'")
    ]
    assert len(kinds) == 5
    for kind in kinds:
        there = root.execute(f"select r::text from aximo_private.{kind}_kept as r").fetchall()
        columns = ", ".join(
            name
            for (name,) in root.execute(
                "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 order by attnum",
                (f"aximo_private.{kind}_kept",),
            )
        )
        now = root.execute(f"select r::text from (select {columns} from aximo_private.{kind}_to_publish) as r")
        assert sorted(there) == sorted(now.fetchall()), kind
        assert there or kind == "runs"


def test_all_of_it_can_be_kept_by_one_call_that_commits(each_ledger: Ledger, operator: Connection) -> None:
    for _ in range(7):
        emit_one(operator)
    operator.execute("call aximo.keep_metrics(2)")
    assert metric_rows(operator, "c1", "freshness")[0]["counts_up_to"] == 7
    assert queue(each_ledger) == []
    assert operator.execute("show transaction_isolation").fetchone() == ("read committed",)
    # With a right that its caller has not, or inside of a transaction, it does nothing.
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        each_ledger.as_customer("c1", "aximo_reader").execute("call aximo.keep_metrics()")
    with pytest.raises(psycopg.errors.InvalidTransactionTermination), operator.transaction():
        operator.execute("call aximo.keep_metrics()")
    bound = each_ledger.as_customer("c1", "aximo_operator")
    with pytest.raises(psycopg.Error) as refused:
        bound.execute("call aximo.keep_metrics()")
    assert refused.value.sqlstate == "ZXCUS"


# Counting again -------------------------------------------------------------------------------------------------------


def recount(connection: Connection, from_the_start: bool, max_events: int = 100_000) -> tuple[int, int]:
    row = connection.execute(
        "select counted, remaining from aximo.recount_metrics(%s, %s)", (from_the_start, max_events)
    )
    return row.fetchone()  # type: ignore[return-value]


def test_metrics_can_be_counted_again_bit_by_bit_while_events_come(operator: Connection, each_ledger: Ledger) -> None:
    random = Random(11)
    for customer in ("c1", "c2"):
        load(operator, customer, history(random, 8), random)
    refresh(operator)
    root = each_ledger.superuser()
    root.execute("update aximo_private.activity_sums set events = 0")
    total = root.execute("select count(*) from aximo_private.log_entries").fetchone()
    assert total is not None
    counted, remaining = recount(operator, True, 10)
    assert (counted, remaining) == (10, total[0] - 10)
    # A refresh in between, of an isolation level in which it counts nothing, shows what is counted so far, and nothing of before.
    with operator.transaction():
        operator.execute("set transaction isolation level repeatable read")
        assert refresh(operator, everything=False)
    for customer in ("c1", "c2"):
        assert differences(operator, customer) == []
        up_to = sum(row["counts_up_to"] for row in metric_rows(operator, customer, "customer_overview"))
        assert sum(row["events"] for row in metric_rows(operator, customer, "attribution_monthly")) == up_to
    # Numbering goes on.
    emit_one(operator, "c2")
    emit_one(operator, "c3")
    advance_all(operator)
    while remaining:
        step, remaining = recount(operator, False, 7)
        counted += step
        assert step <= 7
    assert counted == total[0] + 2
    assert recount(operator, False) == (0, 0)
    refresh(operator)
    for customer in ("c1", "c2", "c3"):
        assert differences(operator, customer) == []
        assert_recomputed(operator, customer)


def test_a_step_of_nothing_is_refused(operator: Connection) -> None:
    with pytest.raises(psycopg.Error) as refused:
        recount(operator, False, 0)
    assert (refused.value.sqlstate, refused.value.diag.constraint_name) == ("ZXARG", "max_events_positive")


def test_what_can_not_be_counted_keeps_nobody_from_being_numbered(operator: Connection, each_ledger: Ledger) -> None:
    root = each_ledger.superuser()
    root.execute(
        "create or replace function aximo_private.series_key(parts text[]) returns uuid language plpgsql stable as"
        " $$begin perform 1 / 0; return null; end$$"
    )
    emit_one(operator)
    assert advance_all(operator) == 1
    assert refresh(operator)
    assert metric_rows(operator, "c1", "customer_overview") == []
    root.execute(
        "create or replace function aximo_private.series_key(parts text[]) returns uuid language sql stable"
        " return encode(substring(sha256(convert_to(array_to_json(parts)::text, 'UTF8')) from 1 for 16), 'hex')::uuid"
    )
    emit_one(operator)
    assert advance_all(operator) == 1
    assert recount(operator, False) == (2, 0)
    refresh(operator)
    assert differences(operator, "c1") == []
    assert metric_rows(operator, "c1", "sla_governance")[0]["sla_breaches"] == 2


def test_names_of_any_length_can_be_counted(shared: Connection) -> None:
    customer = "\U0001f680" * 250 + str(next(_customers))
    long = "\U0001f680" * 255
    names = {"deployment_id": long, "skill_id": long, "skill_version": long}
    story(
        shared, customer,
        ("action_dispatched", "x", "01T00:00:00", {**names, "risk_level": long, "payload": {"action_type": "\U0001f680" * 1000}}),
        ("execution_triggered", long, "01T00:00:00", names),
    )  # fmt: skip
    refresh(shared)
    assert len(metric_rows(shared, customer, "actions")) == 1
    assert differences(shared, customer) == []
