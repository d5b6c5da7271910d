"""Events for the tests."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.types.json import Jsonb

#: The optional fields that are short texts.
SHORT_TEXTS = ("risk_level", "approval_mode", "correlation_id", "channel_type", "error_code")
BASE = {"deployment_id": "dep-1", "skill_id": "skill-1", "skill_version": "1.0", "actor": "system"}


def event(event_type: str, execution_id: str | None = "exec-1", **fields: Any) -> dict[str, Any]:
    """An event as a mapping, valid unless told otherwise."""
    return {**BASE, "event_type": event_type, "execution_id": execution_id, **fields}


def emit(
    connection: psycopg.Connection[Any], event_type: str, execution_id: str | None = "exec-1", **fields: Any
) -> Any:
    """Calls aximo.emit_event by name of argument; returns the receipt's row."""
    values = event(event_type, execution_id, **fields)
    if "payload" in values:
        values["payload"] = Jsonb(values["payload"])
    arguments = ", ".join(f'"{name}" => %s' for name in values)
    return connection.execute(f"select * from aximo.emit_event({arguments})", list(values.values())).fetchone()


def emit_life(connection: psycopg.Connection[Any], customer_id: str, execution_id: str = "exec-1") -> None:
    """Emits a whole execution with one action."""
    for event_type, payload in (
        ("execution_triggered", {"channel": "web"}),
        ("execution_processing", {}),
        ("action_prepared", {"action_type": "send_email"}),
        ("action_dispatched", {"action_type": "send_email"}),
        ("execution_completed", {"actions_count": 1}),
    ):
        emit(connection, event_type, execution_id, customer_id=customer_id, payload=payload)
