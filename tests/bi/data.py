"""Two customers, told apart by every text and by how much they have; and their events counted without the views."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, uuid5

#: Marks nobody would choose: where one is seen, it came from that customer's events.
MARKS = {"aldermark-gmbh": "aldermark", "birchmark-ltd": "birchmark"}
ALDER, BIRCH = MARKS

DAYS = ("2026-01-30", "2026-01-31", "2026-02-01", "2026-02-02")
#: How many executions an hour: so unlike that one customer's count is not the other's by chance.
EXECUTIONS = {ALDER: 3, BIRCH: 17}
#: Beyond what a double holds: a sum that went through one has lost its last digits.
LONG = {ALDER: 9_007_199_254_740_993, BIRCH: 9_007_199_254_741_997}
#: A plain name, one beyond ASCII, and two that a client that is careless about quotes would trip over.
DEPLOYMENTS = ("a-{}", "ü→{}", "{}'; select 1 --", 'say "{}",\n\\n')


def other(customer: str) -> str:
    return BIRCH if customer == ALDER else ALDER


def events(customer: str) -> list[dict[str, Any]]:
    """History of one customer, as import_events takes it; every event type at least once for each deployment."""
    mark = MARKS[customer]
    found: list[dict[str, Any]] = []

    def tell(event_type: str, when: str, deployment: str, execution: str | None = None, **fields: Any) -> None:
        found.append(
            {
                "event_type": event_type,
                "timestamp": when,
                "customer_id": customer,
                "deployment_id": deployment,
                "skill_id": f"{mark}-skill",
                "skill_version": f"{mark}-1.0",
                "execution_id": execution,
                "actor": "system",
                "event_id": str(uuid5(NAMESPACE_URL, f"{customer}/{len(found)}")),
                **fields,
            }
        )

    for number, pattern in enumerate(DEPLOYMENTS):
        deployment = pattern.format(mark)
        first, last = DAYS[0], DAYS[-1]
        tell("deployment_created", f"{first}T00:00:01Z", deployment)
        tell("deployment_configured", f"{first}T00:00:02Z", deployment)
        tell("deployment_activated", f"{first}T00:00:03Z", deployment)
        for day in DAYS:
            for hour in ("00", "23"):  # on either side of midnight, where a zone that is not UTC would take another day
                for n in range(EXECUTIONS[customer] + number):
                    _execution(tell, f"{mark}-{number}-{day}-{hour}-{n}", deployment, f"{day}T{hour}:30", n, mark)
            for kind in ("sla_breached", "escalation_triggered", "pressure_invoked"):
                tell(kind, f"{day}T12:00:00Z", deployment, payload={"of": mark})
        tell("deployment_updated", f"{last}T23:50:00Z", deployment)
        tell("version_upgraded", f"{last}T23:51:00Z", deployment, skill_version=f"{mark}-2.0")
        tell("version_rolled_back", f"{last}T23:52:00Z", deployment)
        tell("deployment_suspended", f"{last}T23:53:00Z", deployment)
        if number == 0:
            tell("deployment_terminated", f"{last}T23:54:00Z", deployment)
    # An undeclared deployment, and a sum of latencies that no double can hold.
    long = {"latency_ms": LONG[customer], "payload": {"actions_count": 0}}
    tell("execution_triggered", f"{DAYS[1]}T10:00:00Z", f"{mark}-undeclared", f"{mark}-long", payload={})
    tell("execution_processing", f"{DAYS[1]}T10:00:01Z", f"{mark}-undeclared", f"{mark}-long")
    tell("execution_completed", f"{DAYS[1]}T10:00:02.0005Z", f"{mark}-undeclared", f"{mark}-long", **long)
    return found


def runs(customer: str) -> list[dict[str, Any]]:
    """The tool runs of one customer, as helix.import_runs takes them."""
    mark = MARKS[customer]
    return [
        {
            "run_id": f"{mark}-run-{n}",
            "project_id": mark,
            "tool_name": pattern.format(mark),
            "contract_version": "v1",
            "params_hash": mark,
            "policy_hash": mark,
            "status": "running",
        }
        for n, pattern in enumerate(DEPLOYMENTS)
    ]


def run_events(customer: str) -> list[dict[str, Any]]:
    """What became of them, again and again, as helix.import_run_events takes it."""
    found = []
    for run in runs(customer):
        for day in DAYS:
            for n in range(EXECUTIONS[customer]):
                end = ("run.succeeded", "run.failed", "run.blocked")[n % 3]
                for second, kind in enumerate(("run.started", "run.queued", "run.running", end)):
                    moment = f"{day}T23:{n:02}:{second:02}.125Z"
                    found.append(
                        {"run_id": run["run_id"], "created_at": moment, "kind": kind, "message": MARKS[customer]}
                    )
    return found


def _execution(tell: Any, execution: str, deployment: str, minute: str, n: int, mark: str) -> None:
    """One execution; which one in turn completes, fails or stays open, and what it asks for on its way."""
    common = {"deployment": deployment, "execution": execution, "risk_level": f"{mark}-risk" if n % 2 else None}
    action = {"action_id": f"{mark}-action", "of": mark}
    if n % 3:  # every third says no type
        action["action_type"] = "lead_capture"
    if n % 8 == 4:
        action["priority"] = "high"
    tell("execution_triggered", f"{minute}:00Z", **common, payload={"channel": mark})
    tell("execution_processing", f"{minute}:01Z", **common)
    tell("action_prepared", f"{minute}:02Z", **common, payload=action)
    asked = {"approval_id": f"{mark}-approval", **action}
    if n % 4 != 3:
        answer = ("approval_granted", "approval_rejected", "approval_timeout")[n % 4]
        tell("approval_requested", f"{minute}:03Z", **common, payload=asked)
        tell(answer, f"{minute}:04.25Z", **common, payload=asked)
    if n % 4 in (0, 3):
        tell("action_dispatched", f"{minute}:05Z", **common, payload=action, latency_ms=100 + n)
    else:
        tell("action_failed", f"{minute}:05Z", **common, payload={**action, "error": mark})
    if n % 5 == 1:
        tell("execution_failed", f"{minute}:06Z", **common, payload={"error": mark}, error_code=f"{mark}-error")
    elif n % 5 != 2:
        tell("execution_completed", f"{minute}:06.125Z", **common, payload={"actions_count": 1}, latency_ms=6125)
