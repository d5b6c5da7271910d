"""What reads and writes touch does not grow with what is stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import Ledger
from tests.events import event

CUSTOMER = "busy"
STORED = 14_000
LIFE = (
    ("execution_triggered", {}),
    ("execution_processing", {}),
    ("approval_requested", {}),
    ("approval_granted", {}),
    ("action_prepared", {"action_type": "a"}),
    ("action_dispatched", {"action_type": "a"}),
    ("execution_completed", {}),
)


def lives(count: int) -> list[dict[str, Any]]:
    made = []
    for _ in range(count):
        execution = str(uuid4())
        made += [
            event(event_type, execution, customer_id=CUSTOMER, payload=payload, event_id=str(uuid4()))
            for event_type, payload in LIFE
        ]
    return made


def emit_batch(connection: psycopg.Connection[Any], events: list[dict[str, Any]]) -> None:
    connection.execute("select count(*) from aximo.emit_events(%s)", (json.dumps(events),))


@pytest.fixture
def busy(each_ledger: Ledger) -> psycopg.Connection[Any]:
    """A service on a ledger that holds many events of one customer."""
    connection = each_ledger.as_service()
    for _ in range(STORED // 1400):
        emit_batch(connection, lives(200))
    each_ledger.superuser().execute("analyze")
    connection.execute("select set_config('aximo.customer_id', %s, false)", (CUSTOMER,))
    return connection


def counted(connection: psycopg.Connection[Any], query: str, work: Callable[[], object]) -> dict[str, int]:
    """What a piece of work adds to the counts that a query shows by name; those that it leaves alone are left out."""

    def so_far() -> dict[str, int]:
        connection.execute("select pg_stat_force_next_flush()")
        connection.execute("select pg_stat_clear_snapshot()")
        return dict(connection.execute(query.encode()).fetchall())

    before = so_far()
    work()
    return {name: count - before[name] for name, count in so_far().items() if count > before[name]}


def rows_read(connection: psycopg.Connection[Any], work: Callable[[], object]) -> int:
    """How many rows of the events table a piece of work fetched."""
    query = (
        "select relname, seq_tup_read + coalesce(idx_tup_fetch, 0) from pg_stat_all_tables"
        " where schemaname = 'aximo_private' and relname = 'events'"
    )
    return counted(connection, query, work).get("events", 0)


#: What a write may look things up by: keys.
KEYS = {"events_pkey", "events_by_execution", "executions_pkey", "approvals_pkey", "known_deployments_pkey"}


def ways_in(connection: psycopg.Connection[Any], work: Callable[[], object]) -> set[str]:
    """The indexes of the ledger's tables that a piece of work looked things up by, and the tables it read as a whole."""
    query = """
        select i.indexrelname, i.idx_scan
        from pg_stat_all_indexes as i
        where i.schemaname = 'aximo_private' and i.relname in ('events', 'executions', 'approvals', 'known_deployments')
        union all
        select 'all of ' || t.relname, t.seq_scan
        from pg_stat_all_tables as t
        where t.schemaname = 'aximo_private' and t.relname in ('events', 'executions', 'approvals', 'known_deployments')
    """
    return set(counted(connection, query, work))


def test_a_new_batch_reads_its_own_executions_only(busy: psycopg.Connection[Any]) -> None:
    batch = lives(50)
    assert rows_read(busy, lambda: emit_batch(busy, batch)) <= 4 * len(batch)


def test_a_batch_sent_again_reads_its_own_events_only(busy: psycopg.Connection[Any]) -> None:
    batch = lives(50)
    emit_batch(busy, batch)
    assert rows_read(busy, lambda: emit_batch(busy, batch)) <= 4 * len(batch)


def test_a_batch_that_is_half_there_reads_its_own_executions_only(busy: psycopg.Connection[Any]) -> None:
    batch = lives(50)
    emit_batch(busy, batch[: len(batch) // 2])
    assert rows_read(busy, lambda: emit_batch(busy, batch)) <= 6 * len(batch)


def test_one_event_reads_its_own_execution_only(busy: psycopg.Connection[Any]) -> None:
    for item in lives(1):
        assert rows_read(busy, lambda item=item: emit_batch(busy, [item])) <= 60


def emit_one(connection: psycopg.Connection[Any], item: dict[str, Any]) -> None:
    arguments = ", ".join(f"{name} => %s" for name in item)
    values = [json.dumps(value) if name == "payload" else value for name, value in item.items()]
    connection.execute(f"select aximo.emit_event({arguments})".encode(), values)


def test_one_event_at_a_time_reads_its_own_execution_only(busy: psycopg.Connection[Any]) -> None:
    # Often enough for the plans to be the ones that a session keeps.
    for item in lives(8):
        assert rows_read(busy, lambda item=item: emit_one(busy, item)) <= 60


def test_plans_made_while_the_ledger_was_empty_stay_good(each_ledger: Ledger) -> None:
    connection = each_ledger.as_service()
    connection.execute("select set_config('aximo.customer_id', %s, false)", (CUSTOMER,))
    for item in lives(8):
        emit_one(connection, item)
    for _ in range(STORED // 1400):
        emit_batch(connection, lives(200))
    for item in lives(2):
        assert rows_read(connection, lambda item=item: emit_one(connection, item)) <= 60
    batch = lives(50)
    assert rows_read(connection, lambda: emit_batch(connection, batch)) <= 4 * len(batch)
    assert rows_read(connection, lambda: emit_batch(connection, batch)) <= 4 * len(batch)


def every_kind_of_write(connection: psycopg.Connection[Any]) -> None:
    """Single events, batches of whole executions, of parts and of what is there, refusals, history."""
    denied = (*LIFE[:3], ("approval_rejected", {}), ("action_prepared", {"action_type": "a"}), ("execution_failed", {}))
    for _ in range(6):
        [whole, parts, single] = [lives(1) for _ in range(3)]
        for item in single:
            emit_one(connection, item)
        emit_one(connection, single[2])
        emit_batch(connection, whole)
        emit_batch(connection, whole)
        for start in range(0, len(parts), 2):
            emit_batch(connection, parts[start : start + 2])
        execution = str(uuid4())
        for event_type, payload in denied:
            emit_one(connection, event(event_type, execution, customer_id=CUSTOMER, payload=payload))
        with pytest.raises(psycopg.Error):
            emit_one(connection, event("execution_completed", execution, customer_id=CUSTOMER))
        with pytest.raises(psycopg.Error):
            emit_batch(connection, [event("execution_completed", execution, customer_id=CUSTOMER)])


@pytest.mark.parametrize("began", ["with an empty ledger", "with a full one"])
def test_a_write_looks_things_up_by_keys(each_ledger: Ledger, began: str) -> None:
    """What a condition implies may draw the planner into a partial index, such as that of all open executions."""
    connection = each_ledger.as_service()
    connection.execute("select set_config('aximo.customer_id', %s, false)", (CUSTOMER,))
    if began == "with an empty ledger":
        every_kind_of_write(connection)
    filling = each_ledger.as_service(name="another")
    for _ in range(4):
        emit_batch(filling, lives(200))
        emit_batch(filling, [item for life in range(100) for item in lives(1)[:3]])
    assert ways_in(connection, lambda: every_kind_of_write(connection)) <= KEYS


@pytest.mark.parametrize(
    ("query", "most"),
    [
        ("select * from aximo.execution_trace((select execution_id from aximo.events limit 1))", 40),
        ("select * from aximo.executions where execution_id = 'none'", 0),
        ("select * from aximo.approvals where execution_id = 'none'", 0),
        ("select * from aximo.events where event_id = '00000000-0000-0000-0000-000000000000'", 0),
        ("select * from aximo.events where correlation_id = 'none'", 0),
        ("select * from aximo.events where deployment_id = 'none' and event_type = 'action_failed'", 0),
        ("select * from aximo.events where deployment_id = 'none' and event_type = 'execution_failed'", 0),
        ("select * from aximo.deployments", 60),
        # Nothing was denied, so no events are asked what was withheld.
        # Who really decided stands in the answer, and is looked up there: one event for each approval that is shown.
        ("select * from aximo.approvals order by requested_at desc limit 50", 50),
        ("select * from aximo.approvals", 2000),
        ("select approval_id, decision, decided_by, reason from aximo.approvals", 0),
        ("select * from aximo.executions", 0),
    ],
)
def test_a_question_reads_what_it_asks_for(busy: psycopg.Connection[Any], query: str, most: int) -> None:
    assert rows_read(busy, lambda: busy.execute(query).fetchall()) <= most  # type: ignore[call-overload]


def test_a_page_of_events_is_read_off_the_index(each_ledger: Ledger, busy: psycopg.Connection[Any]) -> None:
    from aximo_db import EventStore

    store = EventStore(busy, customer_id=CUSTOMER)
    for conditions in ({}, {"deployment_id": "dep-1"}):
        pages = store.iter_events(page_size=100, **conditions)
        assert rows_read(busy, lambda pages=pages: next(pages)) <= 400
