"""What the tests of the metrics share: histories of every kind, and metrics worked out in Python from a log."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from tests.events import event
from tests.log_support import advance_all, of_customer

Connection = psycopg.Connection[Any]
Row = dict[str, Any]

START = datetime(2026, 1, 31, 22, 0, tzinfo=UTC)
DEPLOYMENTS = (
    ("dep-1", "skill-1", "1.0"),
    ("dep-1", "skill-1", "1.1"),
    ("dep-2", "skill-2", "1.0"),
    ("dép \U0001f680", "s", "v"),
)
LEAD_TYPES = ("lead_capture", "store_lead")
ACTION_TYPES = (*LEAD_TYPES, "send_email", "", "x" * 300, None, 7, 1e200, True, {"a": 1}, [1])
RISKS = (None, "R1", "R3", "high", "critical")
LIFECYCLE = (
    "deployment_created", "deployment_configured", "deployment_activated", "deployment_updated", "deployment_terminated",
    "version_upgraded", "version_rolled_back", "deployment_suspended", "sla_breached", "escalation_triggered",
    "pressure_invoked",
)  # fmt: skip


def _moment(random: Random) -> str:
    """Within some days around the end of a month; now and then exactly at midnight, or decades away."""
    chance = random.random()
    if chance < 0.1:
        return (datetime(2026, 2, 1, tzinfo=UTC) + timedelta(days=random.randrange(-1, 2))).isoformat()
    if chance < 0.12:
        return random.choice(("1970-01-01T00:00:00Z", "1999-12-31T23:59:59.999999Z"))
    return (START + timedelta(microseconds=random.randrange(4 * 86_400 * 10**6))).isoformat()


def _latency(random: Random) -> dict[str, int]:
    if random.random() < 0.5:
        return {}
    return {"latency_ms": random.choice((0, 1, 2, random.randrange(10**4), random.randrange(10**9), 2**63 - 1))}


def life(random: Random, name: str) -> list[Row]:
    """The events of an execution, in an order that the rules allow."""
    deployment = random.choice(DEPLOYMENTS)
    fields = dict(zip(("deployment_id", "skill_id", "skill_version"), deployment, strict=True))
    told: list[tuple[str, Row]] = [("execution_triggered", {}), ("execution_processing", {})]
    for number in range(random.randrange(3)):
        action: Row = {"action_id": str(number)}
        action_type = random.choice(ACTION_TYPES)
        if action_type is not None or random.random() < 0.5:
            action["action_type"] = action_type
        action |= random.choice(
            ({}, {"priority": "high"}, {"emergency": True}, {"emergency": "true"}, {"priority": ["high"]})
        )
        answer = random.choice((None, None, "approval_granted", "approval_rejected", "approval_timeout", "open"))
        told.append(("action_prepared", action))
        if answer is not None:
            told.append(("approval_requested", {"approval_id": str(number)}))
            if answer != "open":
                told.append((answer, {"approval_id": str(number)}))
            action = {**action, "approval_id": str(number)}
        if answer in (None, "approval_granted"):
            told.append((random.choice(("action_dispatched", "action_dispatched", "action_failed")), action))
    answers = sum(kind in ("approval_granted", "approval_rejected", "approval_timeout") for kind, _ in told)
    if answers < sum(kind == "approval_requested" for kind, _ in told):
        told.append(random.choice((("execution_failed", {}), ("sla_breached", {}))))
    elif random.random() < 0.85:
        told.append((random.choice(("execution_completed", "execution_completed", "execution_failed")), {}))
    return [
        event(
            kind,
            name,
            **fields,
            payload=payload,
            timestamp=_moment(random),
            risk_level=random.choice(RISKS),
            **_latency(random),
        )
        for kind, payload in told
    ]


def lifecycle(random: Random) -> Row:
    deployment, skill, version = random.choice(DEPLOYMENTS)
    return event(
        random.choice(LIFECYCLE),
        None,
        deployment_id=deployment,
        skill_id=skill,
        skill_version=version,
        timestamp=_moment(random),
    )


def history(random: Random, lives: int) -> list[Row]:
    """Lives and what happens around them, interleaved; each with an id. The order within a life is kept."""
    threads = [life(random, f"x-{number}") for number in range(lives)] + [[lifecycle(random)] for _ in range(lives)]
    events = []
    while threads:
        thread = random.choice(threads)
        events.append({**thread.pop(0), "event_id": str(UUID(int=random.getrandbits(128)))})
        threads = [left for left in threads if left]
    return events


def disorder(random: Random, events: list[Row]) -> list[Row]:
    """What a careless emitter makes of it: any order, ends and answers twice."""
    twice = [
        {**e, "event_id": str(UUID(int=random.getrandbits(128)))}
        for e in events
        if e["execution_id"] is not None and random.random() < 0.1
    ]
    mixed = events + twice
    random.shuffle(mixed)
    return mixed


def load(connection: Connection, customer: str, events: list[Row], random: Random) -> None:
    """Imports events in batches of any size, and numbers them in steps of any size; now and then metrics are refreshed."""
    rest = events
    while rest:
        size = random.randrange(1, len(rest) + 1)
        batch, rest = rest[:size], rest[size:]
        connection.execute("select from aximo.import_events(%s, %s)", (Jsonb(batch), customer))
        chance = random.random()
        if chance < 0.7:
            advance_all(connection, random.choice((1, 3, 10, 10000)))
        if chance < 0.3:
            refresh(connection, random.choice((None, None, True)))


def refresh(connection: Connection, everything: bool | None = None) -> list[str]:
    """Refreshes; the names of what was made."""
    return [row[0] for row in connection.execute("select view_name from aximo.refresh_metrics(%s)", (everything,))]


def differences(connection: Connection, customer: str) -> list[Any]:
    """What verify_metrics says."""
    return of_customer(connection, customer, "select * from aximo.verify_metrics()")


def metric_rows(connection: Connection, customer: str, view: str) -> list[Row]:
    """The rows of a view of metrics."""
    with connection.transaction():
        connection.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
        return connection.cursor(row_factory=dict_row).execute(f"select * from aximo_metrics.{view}").fetchall()


# The same in Python, from the log alone.

_GRAINS = {"": "day", "_hourly": "hour", "_monthly": "month"}


def _bucket(grain: str, moment: datetime) -> datetime | date:
    utc = moment.astimezone(UTC)
    if grain == "hour":
        return utc.replace(minute=0, second=0, microsecond=0)
    return utc.date() if grain == "day" else utc.date().replace(day=1)


def _percentile(values: list[float], share: float) -> float | None:
    return sorted(values)[math.ceil(share * len(values)) - 1] if values else None


def _ratio(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator else None


def _milliseconds(span: timedelta) -> float:
    return (span // timedelta(microseconds=1)) / 1000


def recomputed(
    connection: Connection, customer: str, lead_types: Callable[[datetime], Collection[object]] = lambda _: LEAD_TYPES
) -> dict[str, dict[tuple[Any, ...], Row]]:
    """Views by name, and in each the measures by key: worked out without any of the database's metrics."""
    with connection.transaction():
        connection.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
        log = (
            connection.cursor(row_factory=dict_row)
            .execute("select * from aximo.log_entries order by number")
            .fetchall()
        )
        answers = dict(
            connection.execute(
                "select event_id, answers_event_id from aximo.execution_steps where answers_event_id is not null"
            ).fetchall()
        )
    by_id = {e["event_id"]: e for e in log}
    begun: dict[str, Row] = {}
    ended: dict[str, Row] = {}
    for e in log:
        if e["event_type"] == "execution_triggered":
            begun.setdefault(e["execution_id"], e)
        if e["event_type"] in ("execution_completed", "execution_failed"):
            ended.setdefault(e["execution_id"], e)
    views: dict[str, dict[tuple[Any, ...], Row]] = {}
    for suffix, grain in _GRAINS.items():
        groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
        for e in log:
            groups[(e["deployment_id"], e["skill_id"], e["skill_version"], _bucket(grain, e["timestamp"]))].append(e)
        for key, events in groups.items():
            count = _counter(events)
            times = [
                _milliseconds(e["timestamp"] - begun[e["execution_id"]]["timestamp"])
                for e in events
                if ended.get(e["execution_id"]) is e and e["execution_id"] in begun
            ]
            latencies = [e["latency_ms"] for e in events if e["latency_ms"] is not None]
            delays = [
                _milliseconds(e["timestamp"] - by_id[answers[e["event_id"]]]["timestamp"])
                for e in events
                if e["event_id"] in answers
            ]
            leads = [
                e["payload"]
                for e in events
                if e["event_type"] == "action_dispatched"
                and e["payload"].get("action_type") in lead_types(e["timestamp"])
            ]
            views.setdefault("execution_health" + suffix, {})[key] = {
                "triggered": count["execution_triggered"],
                "completed": count["execution_completed"],
                "failed": count["execution_failed"],
                "open": sum(begun.get(e["execution_id"]) is e and e["execution_id"] not in ended for e in events),
                "error_rate": _ratio(count["execution_failed"], count["execution_triggered"]),
                "execution_time_count": len(times),
                "execution_time_sum_ms": sum(times),
                "execution_time_avg_ms": _ratio(sum(times), len(times)),
                "execution_time_p50_ms": _percentile(times, 0.5),
                "execution_time_p95_ms": _percentile(times, 0.95),
                "execution_time_p99_ms": _percentile(times, 0.99),
                "latency_count": len(latencies),
                "latency_sum_ms": sum(latencies),
                "latency_avg_ms": _ratio(sum(latencies), len(latencies)),
                "latency_p50_ms": _percentile(latencies, 0.5),
                "latency_p95_ms": _percentile(latencies, 0.95),
                "latency_p99_ms": _percentile(latencies, 0.99),
            }
            views.setdefault("business_value" + suffix, {})[key] = {
                "conversations": count["execution_triggered"],
                "actions_dispatched": count["action_dispatched"],
                "leads": len(leads),
                "lead_conversion_rate": _ratio(len(leads), count["execution_triggered"]),
                "emergency_leads": sum(p.get("priority") == "high" or p.get("emergency") is True for p in leads),
                "response_latency_count": len(latencies),
            }
            views.setdefault("sla_governance" + suffix, {})[key] = {
                "approvals_requested": count["approval_requested"],
                "approvals_granted": count["approval_granted"],
                "approvals_rejected": count["approval_rejected"],
                "approvals_timed_out": count["approval_timeout"],
                "approvals_open": sum(
                    e["event_type"] == "approval_requested" and e["event_id"] not in answers.values() for e in events
                ),
                "approval_delay_count": len(delays),
                "approval_delay_sum_ms": sum(delays),
                "approval_delay_avg_ms": _ratio(sum(delays), len(delays)),
                "completed": count["execution_completed"],
                "sla_breaches": count["sla_breached"],
                "sla_breach_rate": _ratio(count["sla_breached"], count["execution_completed"]),
                "escalations": count["escalation_triggered"],
                "pressure_invocations": count["pressure_invoked"],
                "suspensions": count["deployment_suspended"],
            }
        months: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
        for e in log:
            months[(_bucket("month", e["timestamp"]),)].append(e)
        views["attribution_monthly"] = {
            key: {
                "executions": _counter(events)["execution_triggered"],
                "actions": _counter(events)["action_dispatched"],
                "high_risk_actions": sum(
                    e["event_type"] == "action_dispatched" and e["risk_level"] in ("R3", "R4", "high", "critical")
                    for e in events
                ),
                "events": len(events),
            }
            for key, events in months.items()
        }
    return views


def _counter(events: Iterable[Row]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for e in events:
        counts[e["event_type"]] += 1
    return counts


def assert_recomputed(
    connection: Connection, customer: str, lead_types: Callable[[datetime], Collection[object]] = lambda _: LEAD_TYPES
) -> None:
    """Every view says what Python worked out, no row more and no row less."""
    for view, wanted in recomputed(connection, customer, lead_types).items():
        rows = metric_rows(connection, customer, view)
        keys = ("month",) if view == "attribution_monthly" else ("deployment_id", "skill_id", "skill_version")
        if len(keys) > 1:
            keys += (_GRAINS["_" + view.rpartition("_")[2] if view.endswith("ly") else ""],)
        seen = {tuple(row[k] for k in keys): row for row in rows}
        assert len(seen) == len(rows)
        assert set(seen) == set(wanted)
        for key, measures in wanted.items():
            for name, value in measures.items():
                assert is_close(name, seen[key][name], value), (view, key, name, seen[key][name], value)


def is_close(name: str, seen: Any, wanted: Any) -> bool:
    if seen is None or wanted is None:
        return seen is wanted
    tolerance = 0.02 if "_p50_" in name or "_p95_" in name or "_p99_" in name else 1e-9
    return abs(float(seen) - float(wanted)) <= tolerance * abs(float(wanted)) + 1e-6
