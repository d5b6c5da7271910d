"""Executions whose dispatches went through approvals, round them, and past them: history for the tests of process mining."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from aximo_db import EventStore
from aximo_db.lines.importer import import_lines
from tests.events import event

CUSTOMER = "story"
SENTINEL = "what the payload says"
BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
#: The rules that say which dispatch went round its approval.
RULES = ("dispatch_waits_for_approval", "no_dispatch_after_denial")
#: Each life after triggered and processing: types without their beginnings, and the id of the approval or none.
LIVES: dict[str, list[tuple[str, Any]]] = {
    "good": [("prepared", "a"), ("requested", "a"), ("granted", "a"), ("dispatched", "a"), ("completed", None)],
    "plain": [("prepared", None), ("dispatched", None), ("completed", None)],
    "early": [("prepared", "a"), ("requested", "a"), ("dispatched", "a"), ("granted", "a")],
    "denied": [("prepared", "a"), ("requested", "a"), ("rejected", "a"), ("dispatched", "a")],
    "timeout": [("requested", "a"), ("timeout", "a"), ("dispatched", "a")],
    "withheld": [("prepared", "a"), ("requested", "a"), ("rejected", "a"), ("failed", "a")],
    "open": [("requested", "a"), ("dispatched", "a")],
    "asked again while granted": [
        ("requested", "a"), ("granted", "a"), ("dispatched", "a"), ("requested", "a"), ("dispatched", "a"),
    ],
    "granted after denial": [
        ("requested", "a"), ("rejected", "a"), ("requested", "a"), ("granted", "a"), ("dispatched", "a"),
    ],
    "another was denied": [
        ("requested", "a"), ("rejected", "a"), ("requested", "b"), ("granted", "b"), ("dispatched", "b"),
    ],
    "another is open": [("requested", "a"), ("requested", "b"), ("granted", "b"), ("dispatched", "b")],
    "denied too late": [("requested", "a"), ("granted", "a"), ("rejected", "a"), ("dispatched", "a")],
    "answered, not asked": [("rejected", "a"), ("dispatched", "a")],
    "never asked": [("requested", "a"), ("granted", "a"), ("dispatched", "z")],
    "asked after": [("dispatched", "a"), ("requested", "a"), ("granted", "a")],
    "unnamed": [("requested", None), ("granted", None), ("dispatched", None)],
    "unnamed and open": [("requested", None), ("dispatched", None)],
    "names none": [("requested", "a"), ("dispatched", None)],
    "names none of two, one denied": [("requested", "a"), ("granted", "a"), ("requested", "b"), ("rejected", "b"), ("dispatched", None)],
    "names none, one granted": [("requested", "a"), ("granted", "a"), ("dispatched", None)],
    "a number": [("requested", 7), ("dispatched", "7")],
    "other digits": [("requested", 7.0), ("dispatched", "7")],
    "true": [("requested", True), ("dispatched", "true")],
    "an object": [("requested", {"a": [1, 2]}), ("dispatched", {"a": [1, 2.0]})],
    "another object": [("requested", {"a": [1, 2]}), ("dispatched", {"a": [1]})],
    "long": [("requested", "x" * 300), ("dispatched", "x" * 300)],
    "long, and another": [("requested", "x" * 300), ("dispatched", "x" * 299)],
    "slash/#%": [("requested", "a/#%"), ("rejected", "a/#%"), ("dispatched", "a/#%")],
    "good/a": [("requested", "b"), ("granted", "b"), ("dispatched", "b")],
}  # fmt: skip
#: Lives in which a dispatch goes round its approval and breaks an earlier rule too, under which it is listed.
HIDDEN: dict[str, list[tuple[str, Any]]] = {
    "ended": [("requested", "a"), ("failed execution", None), ("dispatched", "a")],
}
#: Clocks that say something else than the order of arrival.
CLOCKS = {"early": timedelta(hours=1), "good": timedelta(hours=-1)}


def lines(lives: dict[str, list[tuple[str, Any]]] | None = None, customer: str = CUSTOMER) -> Iterator[dict[str, Any]]:
    """The events of the lives, in the order of arrival."""
    moment = BEGAN
    for execution, steps in (lives or {**LIVES, **HIDDEN}).items():
        told = [("execution_triggered", None), ("execution_processing", None), *map(_named, steps)]
        for number, (event_type, approval) in enumerate(told):
            moment += timedelta(seconds=1)
            payload: dict[str, Any] = {"secret": SENTINEL}
            if approval is not None:
                payload["approval_id"] = approval
            if event_type.startswith("action_"):
                payload |= {"action_type": "send_email"} | ({"action_id": "one"} if approval is not None else {})
                at = moment + CLOCKS.get(execution, timedelta())
            else:
                at = moment
            yield {
                **event(event_type, execution, payload=payload, customer_id=customer),
                "event_id": str(uuid5(NAMESPACE_URL, f"{customer} {execution} {number}")),
                "timestamp": at.isoformat(),
            }


def _named(step: tuple[str, Any]) -> tuple[str, Any]:
    kind, approval = step
    if kind in ("prepared", "dispatched", "failed"):
        return f"action_{kind}", approval
    if kind in ("completed", "failed execution"):
        return f"execution_{kind.split()[0]}", approval
    return f"approval_{kind}", approval


def take(store: EventStore, customer: str = CUSTOMER, lives: dict[str, list[tuple[str, Any]]] | None = None) -> None:
    """Imports them as they were, and numbers them."""
    text = "\n".join(json.dumps(each) for each in lines(lives, customer))
    assert import_lines(store, io.BytesIO(text.encode()), accept_violations=True).refused == 0
    store.advance_all()
