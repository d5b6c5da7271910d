"""A timestamp as text: one grammar, and the same moment by every way in."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from aximo_db import EventStore, MalformedEventError
from aximo_db.client.events import read_moment
from aximo_db.lines.importer import import_lines
from aximo_db.lines.run_files import import_runs
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, Ledger, _cloned
from tests.events import event

SERVICE: Final = "moments_service"

#: What a text says, in UTC; ``None`` if it says nothing.
EXAMPLES: Final[dict[str, datetime | None]] = {
    "2026-01-01T00:00:00Z": datetime(2026, 1, 1, tzinfo=UTC),
    "2026-01-01t00:00:00z": datetime(2026, 1, 1, tzinfo=UTC),
    "2026-01-01 00:00:00Z": datetime(2026, 1, 1, tzinfo=UTC),
    "2026-01-01T00:00:00-00:00": datetime(2026, 1, 1, tzinfo=UTC),
    "2026-01-01T05:30:00+05:30": datetime(2026, 1, 1, tzinfo=UTC),
    "2026-01-01T00:00:00.1+15:59": datetime(2025, 12, 31, 8, 1, 0, 100000, tzinfo=UTC),
    "2026-01-01T00:00:00.1+16:00": datetime(2025, 12, 31, 8, 0, 0, 100000, tzinfo=UTC),
    "2026-01-01T00:00:00-23:59": datetime(2026, 1, 1, 23, 59, tzinfo=UTC),
    "2026-01-01T00:00:00.123456789+23:59": datetime(2025, 12, 31, 0, 1, 0, 123456, tzinfo=UTC),
    "2026-01-01T00:00:00.5Z": datetime(2026, 1, 1, 0, 0, 0, 500000, tzinfo=UTC),
    "2026-01-01T00:00:00.123456Z": datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC),
    "2026-01-01T00:00:00.1234567Z": datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC),
    "2026-01-01T00:00:00.123456789Z": datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC),
    "2025-12-31T23:59:59.9999999Z": datetime(2025, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    "2025-12-31T23:59:59.999999999999999999+00:00": datetime(2025, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    "2024-02-29T12:00:00Z": datetime(2024, 2, 29, 12, tzinfo=UTC),
    # Forms that programs write, with something wrong in them.
    "2026-01-01T24:00:00.000000+00:00": None,
    "2026-01-01T23:59:60.000000Z": None,
    "2026-01-01T23:60:00.000Z": None,
    "2026-13-01T00:00:00.000000+00:00": None,
    "2026-01- 1T00:00:00.000000+00:00": None,
    "2026-01-01T00:00:00.00000٣+00:00": None,
    "202a-01-01T00:00:00.000Z": None,
    "2026-01-01T00:00:00.123Z": datetime(2026, 1, 1, 0, 0, 0, 123000, tzinfo=UTC),
    "2026-01-01T00:00:00.123456+00:00": datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC),
    "2026-02-29T12:00:00Z": None,
    "2026-13-01T00:00:00Z": None,
    "2026-00-01T00:00:00Z": None,
    "2026-01-01T24:00:00Z": None,
    "2026-06-30T23:59:60Z": None,
    "2026-01-01T00:60:00Z": None,
    "2026-01-01T00:00:00+24:00": None,
    "2026-01-01T00:00:00+01:60": None,
    "2026-01-01T00:00:00": None,
    "2026-01-01T00:00:00+01": None,
    "2026-01-01T00:00:00+0100": None,
    "2026-01-01T00:00:00 +01:00": None,
    "2026-01-01T00:00:00 UTC": None,
    "2026-01-01T00:00:00,5Z": None,
    "2026-01-01T00:00:00.Z": None,
    "2026-01-01T00:00Z": None,
    "2026-01-01": None,
    "20260101T000000Z": None,
    "2026-W01-1": None,
    "2026-001T00:00:00Z": None,
    "0000-01-01T00:00:00Z": None,
    "12026-01-01T00:00:00Z": None,
    " 2026-01-01T00:00:00Z": None,
    "2026-01-01T00:00:00Z\n": None,
    "２０２６-01-01T00:00:00Z": None,
    "now": None,
    "infinity": None,
    "": None,
}


@pytest.fixture(scope="module", params=sorted(BINARIES))
def ledger_(request: pytest.FixtureRequest, servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    for ledger in _cloned(servers(request.param), "fresh", "moments_test"):
        ledger.login(SERVICE, "aximo_writer", "aximo_operator", customers=("*",))
        yield ledger


@pytest.fixture(scope="module", params=["UTC", "America/New_York"])
def connection(ledger_: Ledger, request: pytest.FixtureRequest) -> Iterator[psycopg.Connection[Any]]:
    options = f"-c timezone={request.param} -c datestyle=German"
    with psycopg.connect(ledger_.dsn(SERVICE), autocommit=True, options=options) as connection:
        yield connection


def _event(customer: str, text: str, event_id: str) -> dict[str, Any]:
    return {**event("sla_breached", None, timestamp=text, event_id=event_id), "customer_id": customer}


def _emit(connection: psycopg.Connection[Any], document: dict[str, Any]) -> None:
    EventStore(connection).emit(document)


def _emit_batch(connection: psycopg.Connection[Any], document: dict[str, Any]) -> None:
    EventStore(connection).emit_batch([document])


def _import(connection: psycopg.Connection[Any], document: dict[str, Any]) -> None:
    summary = import_lines(EventStore(connection), io.BytesIO(json.dumps(document).encode()), on_error="reject")
    if summary.refused:
        raise MalformedEventError(rule=summary.first_refusals[0].rule)


def _import_history(connection: psycopg.Connection[Any], document: dict[str, Any]) -> None:
    line = io.BytesIO(json.dumps(document).encode())
    summary = import_lines(EventStore(connection), line, on_error="reject", accept_violations=True)
    if summary.refused:
        raise MalformedEventError(rule=summary.first_refusals[0].rule)


def _emit_events(connection: psycopg.Connection[Any], document: dict[str, Any]) -> None:
    connection.execute("select from aximo.emit_events(%s)", (Jsonb([document]),))


def _import_events(connection: psycopg.Connection[Any], document: dict[str, Any]) -> None:
    connection.execute("select from aximo.import_events(%s)", (Jsonb([document]),))


WAYS: Final = (_emit, _emit_batch, _import, _import_history, _emit_events, _import_events)


@pytest.mark.parametrize("text", EXAMPLES, ids=ascii)
def test_an_event_has_the_same_moment_by_every_way_in(connection: psycopg.Connection[Any], text: str) -> None:
    customer = f"customer-{uuid4()}"
    sent = {way: str(uuid4()) for way in WAYS}
    for way, event_id in sent.items():
        if EXAMPLES[text] is not None:
            way(connection, _event(customer, text, event_id))
            continue
        with pytest.raises((MalformedEventError, psycopg.Error)) as caught:
            way(connection, _event(customer, text, event_id))
        rule = caught.value.diag.constraint_name if isinstance(caught.value, psycopg.Error) else caught.value.rule
        assert (caught.value.sqlstate, rule) == ("ZXARG", "timestamp_well_formed"), way
    found = {str(each.event_id): each.timestamp for each in EventStore(connection, customer_id=customer).iter_events()}
    assert found == ({} if EXAMPLES[text] is None else dict.fromkeys(sent.values(), EXAMPLES[text]))
    # Whatever way it came in, it is the same event by every other one.
    for event_id in found:
        for way in WAYS:
            way(connection, _event(customer, text, event_id))
    assert len(found) == len(list(EventStore(connection, customer_id=customer).iter_events()))


@pytest.mark.parametrize("text", EXAMPLES, ids=ascii)
def test_a_run_and_its_events_have_the_same_moments(connection: psycopg.Connection[Any], text: str) -> None:
    customer = f"customer-{uuid4()}"
    run_id = f"run-{uuid4()}"
    store = EventStore(connection, customer_id=customer)
    common = {"project_id": "p", "tool_name": "t", "contract_version": "v1", "params_hash": "h", "policy_hash": "h"}
    run = {**common, "run_id": run_id, "status": "queued", "created_at": text, "started_at": text}
    lines = [run, {"run_id": run_id, "kind": "a", "ts": text}, {"run_id": run_id, "kind": "b", "created_at": text}]
    document = "\n".join(json.dumps(line) for line in lines).encode()
    for repetition in (False, True):
        summary = import_runs(store, io.BytesIO(document), on_error="reject", create_runs=False)
        if EXAMPLES[text] is None:
            assert summary.refused == 3
        else:
            assert (summary.inserted, summary.duplicates) == ((0, 3) if repetition else (3, 0))
    found = {(each.created_at, each.started_at) for each in store.runs.list()}
    moments = {each.ts for each in store.runs.events(run_id)}
    expected = EXAMPLES[text]
    assert (found, moments) == ((set(), set()) if expected is None else ({(expected, expected)}, {expected}))
    if expected is None:
        with connection.transaction(force_rollback=True):
            with pytest.raises(psycopg.Error) as caught, connection.transaction():
                connection.execute("select from helix.import_runs(%s, customer_id => %s)", (Jsonb([run]), customer))
            assert caught.value.sqlstate == "ZXARG"
            with pytest.raises(psycopg.Error) as caught, connection.transaction():
                connection.execute(
                    "select from helix.import_run_events(%s, customer_id => %s)", (Jsonb(lines[1:]), customer)
                )
            assert (caught.value.sqlstate, caught.value.diag.constraint_name) == ("ZXARG", "run_event_moment")


@pytest.mark.parametrize("text", EXAMPLES, ids=ascii)
def test_the_package_reads_what_the_database_reads(text: str) -> None:
    if EXAMPLES[text] is None:
        with pytest.raises(ValueError, match=r"RFC 3339|month|day|year|years"):
            read_moment(text)
    else:
        assert read_moment(text) == EXAMPLES[text]
