"""A small history whose metrics are known, for the tests of what is printed and drawn."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.types.json import Jsonb

HOSTILE = {
    "customer": '<script>alert("c")</script>',
    "deployment": '"><img src=x onerror=alert(1)>\u202egnp.exe',
    "skill": "[bold]s[/bold] \x1b]0;title\x07",
    "version": "</style>\u2028'",
    "type": "</script><script>alert(2)</script>\u2066\x1b[31m",
}


def history(
    deployment: str = "dep-1", skill: str = "capture", version: str = "1.0", **types: str
) -> list[dict[str, Any]]:
    """Three days: 12 executions, of which 9 complete, 2 fail and 1 stays open; approvals, a lead, breaches, alerts."""
    lead = types.get("lead", "lead_capture")
    other = types.get("other", "send_email")
    events: list[dict[str, Any]] = []

    def add(event_type: str, day: int, second: float, execution: str | None = None, **fields: Any) -> None:
        hour, rest = divmod(second, 3600)
        minute, rest = divmod(rest, 60)
        events.append(
            {
                "event_type": event_type,
                "timestamp": f"2026-03-{day:02}T{9 + int(hour):02}:{int(minute):02}:{rest:09.6f}Z",
                "deployment_id": deployment,
                "skill_id": skill,
                "skill_version": version,
                "actor": "system",
                "execution_id": execution,
                "payload": {},
                **fields,
            }
        )

    add("deployment_created", 1, 0)
    add("deployment_configured", 1, 1)
    add("deployment_activated", 1, 2)
    for number in range(12):
        day, start, execution = 1 + number // 4, 60.0 * (1 + number % 4), f"{deployment}/{number}"
        add("execution_triggered", day, start, execution)
        add("execution_processing", day, start + 0.001, execution)
        if number == 11:
            continue
        kind = lead if number in (0, 5) else other
        payload: dict[str, Any] = {"action_type": kind, "i": number}
        if number == 5:
            payload["priority"] = "high"
        if number in (1, 2):
            payload["approval_id"] = "a"
        add("action_prepared", day, start + 0.002, execution, payload=payload, risk_level="high")
        dispatched = True
        if number in (1, 2):
            dispatched = number == 1
            add("approval_requested", day, start + 0.003, execution, payload={"approval_id": "a"})
            answer = "approval_granted" if dispatched else "approval_rejected"
            add(answer, day, start + 4.003, execution, payload={"approval_id": "a"}, actor="founder")
            start += 4.0
        if dispatched:
            add("action_dispatched", day, start + 0.004, execution, payload=payload, risk_level="high")
        if number in (3, 4):
            add("execution_failed", day, start + 0.5, execution, error_code="E_TOOL")
        else:
            add("execution_completed", day, start + 0.005 * (number + 2), execution, latency_ms=5 * (number + 2))
        if number == 6:
            add("sla_breached", day, start + 1, execution)
            add("escalation_triggered", day, start + 1.1, execution)
    return events


def load(connection: psycopg.Connection[Any], customer: str, events: list[dict[str, Any]]) -> None:
    """Emits events, and counts them. There are too few of them for alerts, so alerts are told to begin with one."""
    with connection.transaction():
        connection.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
        for metric in ("error_rate", "sla_breach_rate"):
            connection.execute(
                "select aximo.set_threshold(%s, 'minimum_denominator', 1, effective_from => '-infinity')", (metric,)
            )
    connection.execute("select count(*) from aximo.emit_events(%s, %s)", (Jsonb(events), customer))
    connection.execute("select count(*) from aximo.refresh_metrics()")


def counted(connection: psycopg.Connection[Any], customer: str, condition: str, *values: object) -> int:
    """How many events of a customer fit a condition, by asking the events themselves."""
    with connection.transaction():
        connection.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
        row = connection.execute(f"select count(*) from aximo.events where {condition}", values).fetchone()
    assert row is not None
    return int(row[0])
