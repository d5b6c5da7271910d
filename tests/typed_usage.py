"""What type checkers know of the package; "make lint" and tests/test_types.py have mypy read it, and nobody runs it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, assert_type
from uuid import UUID, uuid4

from aximo_db import (
    Actor,
    AsyncEventStore,
    Erased,
    EventStore,
    EventType,
    KeyService,
    NewEvent,
    PostgresVault,
    Retry,
    Sealed,
    Vault,
)
from aximo_db.client import metric_rows


def emitting(store: EventStore, event_type: EventType, actor: Actor) -> None:
    event = NewEvent(
        event_type="execution_triggered",
        deployment_id="d",
        skill_id="s",
        skill_version="1",
        actor="system",
        execution_id="e",
    )
    assert_type(event.event_type, EventType)
    assert_type(event.actor, Actor)
    NewEvent(event_type=event_type, deployment_id="d", skill_id="s", skill_version="1", actor=actor)
    for stored in store.iter_events(event_type=["sla_breached", "deployment_created"]):
        assert_type(stored.event_type, EventType)
        store.emit(stored)
    with store.execution(deployment_id="d", skill_id="s", skill_version="1", actor=actor) as execution:
        execution.emit("action_prepared", {"action_type": "send"})


class OwnVault:
    def key_for(self, customer: str, subject: str) -> tuple[UUID, bytes]:
        return uuid4(), bytes(32)

    def open(self, kid: UUID) -> bytes | Erased:
        return Erased(kid)

    def erase(self, customer: str, subject: str, reason: str) -> list[UUID]:
        return []

    def readmit(self, customer: str, subject: str) -> None: ...


def sealing(person: str) -> None:
    kept: Vault = PostgresVault(key=KeyService(bytes, bytes))
    for vault in (kept, OwnVault()):
        EventStore(vault=vault, seal={"email": "person"}).emit({"payload": {"email": Sealed(person, {"any": 1})}})
        AsyncEventStore(vault=vault)
    assert_type(EventStore().approvals()[0].person, str | Erased | None)


def reading_metrics(store: EventStore, anything: str) -> None:
    rows = store.metrics("execution_health")
    assert_type(rows, list[metric_rows.ExecutionHealth])
    assert_type(rows[0]["day"], date)
    assert_type(rows[0]["triggered"], int)
    assert_type(rows[0]["error_rate"], float | None)
    assert_type(rows[0]["execution_time_sum_ms"], Decimal | None)
    (overview,) = store.metrics("customer_overview")
    assert_type(overview["last_event_at"], datetime | None)
    assert_type(
        store.metrics("deployment_status")[0]["status"],
        Literal["pending_configuration", "configured", "active", "suspended", "terminated", "undeclared"],
    )
    assert_type(store.metrics(anything), list[Any])


async def reading_metrics_asynchronously(store: AsyncEventStore) -> None:
    rows: Sequence[metric_rows.AlertsHourly] = await store.metrics("alerts_hourly")
    assert_type(rows[0]["hour"], datetime)


def watching(retry: Retry) -> None:
    assert_type(retry.sqlstate, str | None)
    assert_type(retry.error, type[Exception])


def stores() -> None:
    EventStore(on_retry=watching, slow_after=None)
    AsyncEventStore(on_retry=watching, slow_after=0.5)
