"""Whatever is sent is refused with a registered code or stored faithfully, and nothing is left half done."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from aximo_db.client.errors import AximoError, CustomerError, MalformedEventError, register
from aximo_db.client.events import NewEvent
from aximo_db.client.store import EventStore
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, VERSIONS, Ledger, _cloned
from tests.events import BASE, SHORT_TEXTS, emit, event

Connection = psycopg.Connection[Any]

DATABASE = "kept_hostile"
LOGIN = "kept_hostile_service"

# What PostgreSQL itself says of text that is no jsonb; the ledger's functions never get to see it.
NO_JSONB = {"22P02", "22P05", "22021", "22003", "54000", "54001"}
INJECTIONS = [
    "'; drop table aximo_private.events; --",
    '"; select 1; --',
    "$$; rollback; $$",
    "%s %(x)s {} %",
    "\\'; --",
    "c1' or '1'='1",
    "*",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "null",
]


@contextmanager
def kept_ledgers(servers: Callable[[str], EmbeddedServer]) -> Iterator[Callable[[str], Ledger]]:
    """One database a server for all tests of this file, made when it is first asked for."""
    with ExitStack() as stack:
        made: dict[str, Ledger] = {}

        def ledger(version: str) -> Ledger:
            if version not in made:
                made[version] = stack.enter_context(contextmanager(_cloned)(servers(version), "fresh", DATABASE))
                made[version].login(LOGIN, "aximo_writer", customers=("*",))
            return made[version]

        yield ledger


@pytest.fixture(scope="module")
def kept(servers: Callable[[str], EmbeddedServer]) -> Iterator[Callable[[str], Ledger]]:
    with kept_ledgers(servers) as ledger:
        yield ledger


@contextmanager
def emptied(ledger: Ledger) -> Iterator[Connection]:
    """A service's connection to a kept database, without the events of the test before.

    A clone for each of these many small tests would take most of their time. Only a superuser can do this.
    """
    guard = "trigger append_only_statement"
    with psycopg.connect(ledger.dsn("postgres")) as superuser:
        guarded = ("events", "violations", "known_deployments")
        for table in guarded:
            superuser.execute(f"alter table aximo_private.{table} disable {guard}")  # type: ignore[call-overload]
        superuser.execute(
            "truncate aximo_private.events, aximo_private.violations, aximo_private.known_deployments,"
            " aximo_private.executions, aximo_private.approvals"
        )
        for table in guarded:
            superuser.execute(f"alter table aximo_private.{table} enable always {guard}")  # type: ignore[call-overload]
    with psycopg.connect(ledger.dsn(LOGIN), autocommit=True) as connection:
        yield connection


@pytest.fixture(params=VERSIONS)
def service(request: pytest.FixtureRequest, kept: Callable[[str], Ledger]) -> Iterator[Connection]:
    """A service for all customers, on every PostgreSQL."""
    with emptied(kept(request.param)) as connection:
        yield connection


@pytest.fixture
def quick(kept: Callable[[str], Ledger]) -> Iterator[Connection]:
    """A service for all customers, on one PostgreSQL."""
    with emptied(kept(next(iter(BINARIES)))) as connection:
        yield connection


@pytest.fixture
def store(quick: Connection) -> EventStore:
    """A store that works for c1 over the connection."""
    return EventStore(quick, customer_id="c1")


def count(connection: Connection, customer: str = "c1") -> int:
    with connection.transaction():
        connection.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
        row = connection.execute("select count(*) from aximo.events").fetchone()
    assert row is not None
    return int(row[0])


def stored(connection: Connection, event_id: Any, customer: str = "c1") -> dict[str, Any]:
    with connection.transaction():
        connection.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
        query = "select to_jsonb(e)::text from aximo.events as e where event_id = %s"
        rows = connection.execute(query, (event_id,)).fetchall()
    return dict(json.loads(rows[0][0]))


@contextmanager
def unharmed(connection: Connection, written: int = 0) -> Iterator[None]:
    """The connection goes on, and exactly so many events were written."""
    before = count(connection)
    yield
    assert count(connection) == before + written
    receipt = emit(connection, "execution_triggered", f"after-{uuid4()}", customer_id="c1")
    assert receipt[2] is False


def batch_text(connection: Connection, document: str, customer: str | None = "c1") -> list[Any]:
    """Sends a batch as the text it is."""
    query = "select * from aximo.emit_events(%s::text::jsonb, %s)"
    return connection.execute(query, (document, customer)).fetchall()


def with_payload(payload: str) -> str:
    """A batch of one event with this text as its payload."""
    return json.dumps([event("execution_triggered")])[:-2] + f', "payload": {payload}}}]'


def refusal_of(connection: Connection, document: str, customer: str | None = "c1") -> psycopg.Error:
    with pytest.raises(psycopg.Error) as refusal:
        batch_text(connection, document, customer)
    return refusal.value


def assert_registered(error: psycopg.Error) -> None:
    assert error.sqlstate in register, error.sqlstate
    assert error.diag.constraint_name
    assert error.diag.message_hint


EMIT_PAYLOAD = """
    select * from aximo.emit_event('execution_triggered', 'd', 's', 'v', 'system', 'c1', 'e', %s::text::jsonb)
"""


# Text that is no event


NO_JSON = {
    "nul_escape": with_payload(r'{"a": "x\u0000y"}'),
    "nul_escape_in_a_key": with_payload(r'{"\u0000": 1}'),
    "lone_high_surrogate": with_payload(r'{"a": "\ud800"}'),
    "lone_low_surrogate": with_payload(r'{"a": "\udc00x"}'),
    "nan": with_payload('{"a": NaN}'),
    "infinity": with_payload('{"a": -Infinity}'),
    "exponent_out_of_range": with_payload('{"a": 1e131073}'),
    "single_quotes": with_payload("{'a': 1}"),
    "cut_off": with_payload('{"a": [1, 2'),
    "empty": "",
}


@pytest.mark.parametrize("name", NO_JSON)
def test_text_that_is_no_json_is_refused_with_a_known_code(service: Connection, name: str) -> None:
    with unharmed(service):
        error = refusal_of(service, NO_JSON[name])
        assert error.sqlstate in NO_JSONB
        # It is the text, not the ledger: on its own it is no jsonb either.
        with pytest.raises(psycopg.Error) as alone:
            service.execute("select %s::text::jsonb", (NO_JSON[name],))
        assert alone.value.sqlstate == error.sqlstate


@pytest.mark.parametrize("levels", [1000, 5000, 10_000, 100_000, 400_000])
def test_deep_json_is_stored_as_it_is_or_refused_with_a_known_code(service: Connection, levels: int) -> None:
    """How deep it may be depends on the server's stack."""
    payload = '{"a": ' + "[" * levels + "]" * levels + "}"
    before = count(service)
    for number in range(2):
        try:
            if number == 0:
                batch_text(service, with_payload(payload))
            else:
                service.execute(EMIT_PAYLOAD, (payload,))
        except psycopg.Error as refusal:
            assert refusal.sqlstate in ("ZXARG", *NO_JSONB)
    with service.transaction():
        service.execute("select set_config('aximo.customer_id', 'c1', true)")
        texts = service.execute("select payload::text from aximo.events").fetchall()
    assert set(texts) <= {(payload,)}
    assert before == 0
    assert emit(service, "execution_triggered", "after", customer_id="c1")[2] is False


@pytest.mark.parametrize("document", ["null", "{}", '"text"', "1", "true", json.dumps(event("execution_triggered"))])
def test_a_batch_is_an_array(quick: Connection, document: str) -> None:
    with unharmed(quick):
        error = refusal_of(quick, document)
        assert (error.sqlstate, error.diag.constraint_name) == ("ZXARG", "batch_is_array")


def test_a_batch_that_is_null_is_refused(quick: Connection) -> None:
    with unharmed(quick), pytest.raises(psycopg.Error) as refusal:
        quick.execute("select * from aximo.emit_events(null, 'c1')")
    assert refusal.value.sqlstate == "ZXARG"


@pytest.mark.parametrize("item", ["null", "[]", '"text"', "1", "true", "{}", "[{}]", '["event_type"]'])
@pytest.mark.parametrize("place", [0, 1])
def test_what_is_no_event_in_a_batch_is_refused(quick: Connection, item: str, place: int) -> None:
    items = [json.dumps(event("execution_triggered"))]
    items.insert(place, item)
    with unharmed(quick):
        for customer in ("c1", None):
            error = refusal_of(quick, f"[{', '.join(items)}]", customer)
            assert_registered(error)
            assert error.sqlstate in ("ZXARG", "ZXCUS")


FIELDS = [
    "event_id",
    "event_type",
    "timestamp",
    "customer_id",
    "deployment_id",
    "skill_id",
    "skill_version",
    "execution_id",
    "actor",
    "payload",
    *SHORT_TEXTS,
    "latency_ms",
]
VALUES = ["text", "", 1, 1.5, -1, 10**30, True, False, [], "5", ["text"], [1], [["system"]], {}, {"a": 1}, " "]
FITTING = {
    "payload": [{}, {"a": 1}],
    "latency_ms": [1],
    "actor": [],
    "event_id": [],
    "event_type": [],
    "timestamp": [],
    **{name: ["text", "5"] for name in ("customer_id", "deployment_id", "skill_id", "skill_version", "execution_id")},
    **{name: ["text", "", " ", "5"] for name in SHORT_TEXTS},
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_the_wrong_json_type_is_refused(service: Connection, field: str) -> None:
    for number, value in enumerate(VALUES):
        # 1 == True in Python, not in JSON.
        fits = any(value == other and type(value) is type(other) for other in FITTING[field])
        if fits:
            continue
        document = {**event("execution_triggered", f"e{number}"), field: value}
        with unharmed(service):
            for customer in ("c1", None):
                error = refusal_of(service, json.dumps([document]), customer)
                assert_registered(error)
                assert error.sqlstate in ("ZXARG", "ZXCUS"), (value, error)


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_the_right_json_type_is_stored(service: Connection, field: str) -> None:
    for number, value in enumerate(FITTING[field]):
        customer = value if field == "customer_id" else "c1"
        document = {**event("execution_triggered", f"e{number}"), field: value}
        ((event_id, _, _),) = batch_text(service, json.dumps([document]), customer)
        assert stored(service, event_id, customer)[field] == value


@pytest.mark.parametrize("name", ["recorded_at", "EVENT_TYPE", "event_type ", "", "ünknown", "x" * 5000, *INJECTIONS])
def test_an_unknown_field_is_refused(quick: Connection, name: str) -> None:
    with unharmed(quick):
        error = refusal_of(quick, json.dumps([event("execution_triggered", **{name: None})]))
        assert (error.sqlstate, error.diag.constraint_name) == ("ZXARG", "fields_known")


def test_of_a_key_that_comes_twice_the_last_one_counts(service: Connection) -> None:
    """As in JavaScript and Python."""
    document = with_payload('{"a": 1, "a": {"b": 2, "b": 3}}').replace("[{", '[{"event_type": "nonsense", ', 1)
    ((event_id, _, _),) = batch_text(service, document)
    row = stored(service, event_id)
    assert (row["event_type"], row["payload"]) == ("execution_triggered", {"a": {"b": 3}})


# Payloads


FAITHFUL = {
    "big_number": '{"a": 1e400, "b": -1e400, "c": 1e-400}',
    "huge_integer": '{"a": ' + "9" * 1000 + "}",
    "precise": '{"a": 0.1234567890123456789012345678901234567890, "b": 1.10, "c": 100.0}',
    "integers": '{"a": 9007199254740993, "b": 18446744073709551616, "c": -9223372036854775809}',
    "escapes": r'{"a": "\"\\\/\b\f\n\r\t", "b": "é😀\u00e9\ud83d\ude00", "c": "\u001f\u007f\u0080"}',
    "separators": '{"a": "\u2028\u2029\ufeff\u202e\u200b"}',
    "keys": '{"": 1, " ": 2, "a.b": 3, "$": 4, "é": 5, "__proto__": 6, "event_type": 7, "\ud83d\ude00": 8}',
    "combining": '{"a": "e\u0301", "b": "\u00e9"}',
    "noncharacters": '{"a": "\uffff\ufffe\U0010ffff"}',
    "nested": '{"a": ' + "[" * 500 + "]" * 500 + "}",
    "largest_exponent": '{"a": 1e131071}',
}


def parsed(text: str) -> Any:
    """JSON with every digit of its numbers."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


@pytest.mark.parametrize("name", FAITHFUL)
def test_what_json_can_say_is_stored_to_the_last_digit(service: Connection, name: str) -> None:
    document = FAITHFUL[name].encode("utf-16", "surrogatepass").decode("utf-16")
    batch_text(service, with_payload(document))
    row = service.execute(EMIT_PAYLOAD, (document,)).fetchone()
    assert row is not None
    with service.transaction():
        service.execute("select set_config('aximo.customer_id', 'c1', true)")
        texts = service.execute("select payload::text from aximo.events").fetchall()
    assert len(texts) == 2
    for (text,) in texts:
        assert parsed(text) == parsed(document)


@pytest.mark.parametrize("name", FAITHFUL)
def test_what_is_stored_can_be_read_by_the_store(quick: Connection, store: EventStore, name: str) -> None:
    document = FAITHFUL[name].encode("utf-16", "surrogatepass").decode("utf-16")
    batch_text(quick, with_payload(document))
    (step,) = store.trace("exec-1")
    (read,) = store.iter_events()
    assert read.payload == step.payload
    assert set(step.payload) == set(json.loads(document, parse_int=Decimal))


def test_a_deep_payload_that_is_stored_can_be_read_by_the_store(quick: Connection, store: EventStore) -> None:
    """PostgreSQL takes more levels than Python's reader has stack for."""
    with unharmed(quick, written=1):
        batch_text(quick, with_payload('{"a": ' + "[" * 3000 + "]" * 3000 + "}"))
    steps = store.trace("exec-1")
    assert [step.event_type for step in steps] == ["execution_triggered"]


def test_a_payload_of_2_mib_is_refused(service: Connection) -> None:
    payload = {"a": "x" * (2 << 20)}
    with unharmed(service):
        error = refusal_of(service, json.dumps([event("execution_triggered", payload=payload)]))
        assert (error.sqlstate, error.diag.constraint_name) == ("ZXARG", "payload_size")
        with pytest.raises(psycopg.Error) as refusal:
            emit(service, "execution_triggered", customer_id="c1", payload=payload)
        assert (refusal.value.sqlstate, refusal.value.diag.constraint_name) == ("ZXARG", "payload_size")


def bomb(numbers: int) -> str:
    """Ten bytes a number in the database's binary form, 131,072 each as text."""
    return '{"a": [' + ", ".join(["1e131071"] * numbers) + "]}"


def assert_bomb_refused(connection: Connection, payload: str, rule: str) -> None:
    with unharmed(connection):
        error = refusal_of(connection, with_payload(payload))
        assert (error.sqlstate, error.diag.constraint_name) == ("ZXARG", rule)
        with pytest.raises(psycopg.Error) as refusal:
            connection.execute(EMIT_PAYLOAD, (payload,))
        assert (refusal.value.sqlstate, refusal.value.diag.constraint_name) == ("ZXARG", rule)


def test_a_payload_that_swells_is_refused(service: Connection) -> None:
    assert_bomb_refused(service, bomb(100), "payload_size")


@pytest.mark.heavy
def test_a_payload_that_swells_beyond_all_memory_is_refused(quick: Connection) -> None:
    """Its text would have more than the 1 GiB that PostgreSQL can hold, so it is refused before there is a text."""
    assert_bomb_refused(quick, bomb(10_000), "payload_numbers")


# Moments


MOMENTS = {
    "2026-01-02T03:04:05Z": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "2026-01-02 03:04:05.123456Z": datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC),
    "2026-01-02T03:04:05+05:30": datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    "2026-01-02T03:04:05-08:00": datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=-8))),
    # The hour that New York skips, and the one it has twice.
    "2026-03-08T02:30:00Z": datetime(2026, 3, 8, 2, 30, tzinfo=UTC),
    "2025-11-02T01:30:00Z": datetime(2025, 11, 2, 1, 30, tzinfo=UTC),
}


# Psycopg reads no timestamptz in another DateStyle than ISO.
BATCH_IDS = "select event_id::text, duplicate from aximo.emit_events(%s::text::jsonb, 'c1')"


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata"])
def test_a_timestamp_means_the_same_whatever_the_session_prefers(service: Connection, zone: str) -> None:
    service.execute(f"set timezone = '{zone}'")
    service.execute("set datestyle = 'SQL, DMY'")
    sent: list[tuple[dict[str, Any], str]] = []
    for number, text in enumerate(MOMENTS):
        document = event("execution_triggered", f"e{number}", timestamp=text, event_id=str(uuid4()))
        assert service.execute(BATCH_IDS, (json.dumps([document]),)).fetchall() == [(document["event_id"], False)]
        sent.append((document, text))
        with service.transaction():
            service.execute("select set_config('aximo.customer_id', 'c1', true)")
            query = 'select extract(epoch from "timestamp") from aximo.events where event_id = %s'
            row = service.execute(query, (document["event_id"],)).fetchone()
        assert row is not None
        assert row[0] == Decimal(str(MOMENTS[text].timestamp()))
    # The comparison with what is stored reads it the same way.
    for document, text in sent:
        for again in (document, {**document, "timestamp": MOMENTS[text].isoformat()}):
            assert service.execute(BATCH_IDS, (json.dumps([again]),)).fetchall() == [(document["event_id"], True)]
    # A moment as an argument is checked the same way.
    query = "select (aximo.emit_event('execution_triggered', 'd', 's', 'v', 'system', 'c1', 'e', '{}', %s)).duplicate"
    assert service.execute(query, (datetime(2026, 1, 31, tzinfo=UTC),)).fetchall() == [(False,)]
    assert service.execute("show timezone").fetchone() == (zone,)
    assert service.execute("show datestyle").fetchone() == ("SQL, DMY",)


@pytest.mark.parametrize(
    "text",
    [
        "now",
        "today",
        "yesterday",
        "tomorrow",
        "epoch",
        "infinity",
        "-infinity",
        "2026-13-45",
        "2026-02-30T00:00:00Z",
        "2026-01-01T25:00:00Z",
        "2026-01-01T00:00:00+99:00",
        "2026-01-01 no such zone",
        "01/02/2026",
        "2/1/2026",
        "20260101",
        "1767225600",
        "",
        " ",
        "2026",
        "0000-00-00",
        "0001-01-01",
        "2026-01-01 BC",
        "1969-12-31T23:59:59Z",
        "99999-01-01",
        "2126-01-01T00:00:00Z",
        *INJECTIONS,
    ],
)
def test_a_timestamp_that_is_no_moment_is_refused(quick: Connection, text: str) -> None:
    with unharmed(quick):
        error = refusal_of(quick, json.dumps([event("execution_triggered", timestamp=text)]))
        assert_registered(error)
        assert error.sqlstate == "ZXARG"


# Ids


def test_statements_in_ids_are_only_text(service: Connection) -> None:
    for text in INJECTIONS:
        values = dict.fromkeys(
            ("deployment_id", "skill_id", "skill_version", "execution_id", "risk_level", "error_code"), text
        )
        customer = f"customer {text}"
        document = event("execution_triggered", **{**values, "payload": {text: text}})
        ((event_id, _, _),) = batch_text(service, json.dumps([document]), customer)
        row = stored(service, event_id, customer)
        assert {name: row[name] for name in values} == values
        assert row["payload"] == {text: text}
        emit(service, "execution_processing", **{**values, "customer_id": customer, "payload": {text: text}})
        with pytest.raises(psycopg.Error) as refusal:
            emit(service, "execution_triggered", **{**values, "customer_id": customer})
        assert refusal.value.sqlstate == "ZXSEQ"
        assert text not in (refusal.value.diag.message_primary or "")
        store = EventStore(service, customer_id=customer)
        assert [step.execution_id for step in store.trace(text)] == [text, text]
        assert [execution.status for execution in store.executions(execution_id=text)] == ["processing"]


def test_every_text_may_be_in_any_script(service: Connection) -> None:
    text = "Ünï✓ 漢字 עברית 😀 \u202e\u200b e\u0301"
    values = dict.fromkeys(("deployment_id", "skill_id", "skill_version", "execution_id", *SHORT_TEXTS), text)
    store = EventStore(service, customer_id=text)
    sent = NewEvent(event_type="execution_triggered", actor="system", payload={text: [text, {text: text}]}, **values)
    store.emit(sent)
    assert store.emit_batch([sent])[0].duplicate
    (read,) = store.iter_events()
    assert {name: getattr(read, name) for name in values} == values
    assert (read.customer_id, read.payload) == (text, {text: [text, {text: text}]})


@pytest.mark.parametrize("field", [name for name in FIELDS if name not in ("payload", "latency_ms")])
def test_a_very_long_text_is_refused(quick: Connection, field: str) -> None:
    with unharmed(quick):
        for text in ("x" * 100_000, "😀" * 100_000, " " * 100_000, "'" * 100_000):
            customer = text if field == "customer_id" else "c1"
            error = refusal_of(quick, json.dumps([{**event("execution_triggered"), field: text}]), customer)
            assert_registered(error)
            assert error.sqlstate == "ZXARG"
            # The refusal is not as long as what was refused.
            assert len(str(error)) < 10_000


def test_what_was_refused_is_not_in_the_message(quick: Connection) -> None:
    secret = "top-secret-value"
    documents = [
        event("execution_triggered", actor=secret),
        event(secret),
        event("execution_triggered", timestamp=secret),
        event("execution_triggered", event_id=secret),
        event("execution_triggered", risk_level=secret * 100),
        event("execution_completed", secret),
        event("execution_triggered", **{secret: secret}),
    ]
    for document in documents:
        error = refusal_of(quick, json.dumps([document]))
        assert secret not in (error.diag.message_primary or "")
        assert secret not in (error.diag.message_hint or "")


def test_a_batch_of_10_000_events_is_written_whole_or_not_at_all(quick: Connection) -> None:
    kinds = ("execution_triggered", "execution_processing", "action_prepared", "action_dispatched")
    events = [event(kind, f"e{number}", payload={"action_id": "x"}) for number in range(2500) for kind in kinds]
    with unharmed(quick):
        error = refusal_of(quick, json.dumps([*events, event("execution_triggered", "e0")]))
        assert error.sqlstate == "ZXSEQ"
    with unharmed(quick, written=10_000):
        receipts = batch_text(quick, json.dumps(events))
    assert len({receipt[0] for receipt in receipts}) == 10_000


def test_a_batch_of_10_000_events_of_one_execution_is_written(quick: Connection) -> None:
    store = EventStore(quick, customer_id="c1")
    approvals = [
        {**event(kind), "payload": {"approval_id": str(number)}}
        for number in range(4999)
        for kind in ("approval_requested", "approval_granted")
    ]
    with unharmed(quick, written=10_000):
        receipts = store.emit_batch([event("execution_triggered"), event("execution_processing"), *approvals])
    assert len(receipts) == 10_000


# Through the package


class Odd:
    """An object that JSON has no form for."""


def self_referencing() -> dict[str, Any]:
    payload: dict[str, Any] = {}
    payload["self"] = payload
    return payload


def self_referencing_list() -> dict[str, Any]:
    items: list[Any] = []
    items.append(items)
    return {"a": items}


def deep(levels: int) -> dict[str, Any]:
    payload: dict[str, Any] = {}
    for _ in range(levels):
        payload = {"a": payload}
    return payload


NEW = {**BASE, "event_type": "execution_triggered", "execution_id": "exec-1"}
BAD_PAYLOADS: dict[str, Any] = {
    "nul": {"a": "x\x00y"},
    "nul_in_a_key": {"x\x00y": 1},
    "nul_deep": {"a": [{"b": ["\x00"]}]},
    "lone_surrogate": {"a": "\ud800"},
    "lone_surrogate_in_a_key": {"\udfff": 1},
    "nan": {"a": float("nan")},
    "infinity": {"a": [float("-inf")]},
    "bytes": {"a": b"bytes"},
    "set": {"a": {1, 2}},
    "datetime": {"a": datetime(2026, 1, 1, tzinfo=UTC)},
    "date": {"a": date(2026, 1, 1)},
    "uuid": {"a": UUID(int=1)},
    "a Decimal that is no number": {"a": Decimal("NaN")},
    "complex": {"a": 1j},
    "object": {"a": Odd()},
    "class": {"a": Odd},
    "generator": {"a": (n for n in range(3))},
    "int_key": {1: "a"},
    "int_and_str_key": {1: "a", "1": "b"},
    "none_key": {None: "a"},
    "bool_key": {"x": {True: 1}},
    "tuple_key": {"x": [{("a", "b"): 1}]},
    "huge_int": {"a": 10**5000},
    "deep": deep(10_000),
    "deep_list": {"a": json.loads("[" * 800 + "]" * 800), "b": deep(5000)},
    "itself": self_referencing(),
    "itself_in_a_list": self_referencing_list(),
    "two_mib": {"a": "x" * (2 << 20)},
    "two_mib_of_parts": {"a": ["xy"] * (2 << 18)},
    "a_list": [],
    "text": "{}",
    "number": 1,
    "bytes_alone": b"{}",
    "pairs": [("a", 1)],
}


@pytest.mark.parametrize("way", ["emit", "emit_batch"])
@pytest.mark.parametrize("name", BAD_PAYLOADS)
def test_a_payload_that_json_or_the_database_cannot_hold_is_refused(
    quick: Connection, store: EventStore, name: str, way: str
) -> None:
    good = {**NEW, "execution_id": "good"}
    bad = {**NEW, "payload": BAD_PAYLOADS[name]}
    with unharmed(quick):
        with pytest.raises(MalformedEventError) as refusal:
            store.emit(bad) if way == "emit" else store.emit_batch([good, bad])
        assert refusal.value.rule
    assert store.emit(NEW).duplicate is False


IN_LITTLE_MEMORY = """
import resource
from aximo_db.client.errors import MalformedEventError
from aximo_db.client.events import checked_payload

resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
wide = []
wide.extend([wide] * 1000)
try:
    checked_payload({"a": wide})
except MalformedEventError as refusal:
    print(refusal.sqlstate)
"""


def test_a_payload_that_holds_itself_many_times_is_refused_in_little_memory() -> None:
    done = subprocess.run([sys.executable, "-c", IN_LITTLE_MEMORY], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "ZXARG")


BAD_FIELDS: list[tuple[str, Any]] = [
    *((name, value) for name in ("deployment_id", "execution_id", "error_code") for value in ("a\x00b", "\ud800")),
    *((name, value) for name in ("deployment_id", "execution_id", "error_code") for value in (5, 1.5, True, b"x")),
    *((name, value) for name in ("skill_id", "risk_level") for value in ([], ["a"], {}, {"a"}, Odd(), Decimal(1))),
    ("deployment_id", ""),
    ("deployment_id", " \u3000"),
    ("skill_version", "x" * 100_000),
    ("event_type", "nonsense"),
    ("event_type", 5),
    ("event_type", "execution_triggered\x00"),
    ("actor", "robot"),
    ("actor", ["system"]),
    ("actor", None),
    ("latency_ms", True),
    ("latency_ms", False),
    ("latency_ms", -1),
    ("latency_ms", 1.0),
    ("latency_ms", "5"),
    ("latency_ms", 2**63),
    ("latency_ms", -(2**63) - 1),
    ("latency_ms", 10**30),
    ("latency_ms", float("nan")),
    ("latency_ms", Decimal(5)),
    ("timestamp", "now"),
    ("timestamp", "2026-13-45"),
    ("timestamp", 1767225600),
    ("timestamp", 1.5),
    ("timestamp", date(2026, 1, 1)),
    ("timestamp", datetime.min),  # noqa: DTZ901
    ("timestamp", datetime.max),  # noqa: DTZ901
    ("timestamp", datetime.max.replace(tzinfo=timezone(timedelta(hours=-23)))),
    ("timestamp", datetime.min.replace(tzinfo=timezone(timedelta(hours=23)))),
    ("timestamp", b"2026-01-01"),
    ("event_id", "not a uuid"),
    ("event_id", 5),
    ("event_id", ""),
    ("event_id", "\x00"),
    ("event_id", [UUID(int=1)]),
    ("nonsense", 1),
    (5, 1),
    (None, 1),
]


@pytest.mark.parametrize("way", ["emit", "emit_batch"])
@pytest.mark.parametrize(("field", "value"), BAD_FIELDS, ids=[f"{n}-{i}" for i, (n, _) in enumerate(BAD_FIELDS)])
def test_a_field_that_is_not_what_it_should_be_is_refused(
    quick: Connection, store: EventStore, field: Any, value: Any, way: str
) -> None:
    good = {**NEW, "execution_id": "good"}
    bad = {**NEW, field: value}
    with unharmed(quick):
        with pytest.raises(MalformedEventError) as refusal:
            store.emit(bad) if way == "emit" else store.emit_batch([good, bad])
        assert refusal.value.rule
    assert store.emit(NEW).duplicate is False


@pytest.mark.parametrize("way", ["emit", "emit_batch"])
@pytest.mark.parametrize("customer", ["c1\x00", "\ud800", "", " ", 5, b"c1", ["c1"], "x" * 100_000])
def test_a_customer_that_is_none_is_refused(quick: Connection, customer: Any, way: str) -> None:
    store = EventStore(quick)
    with unharmed(quick), pytest.raises(AximoError) as refusal:
        store.emit({**NEW, "customer_id": customer}) if way == "emit" else store.emit_batch(
            [{**NEW, "customer_id": customer}]
        )
    assert isinstance(refusal.value, MalformedEventError | CustomerError)


@pytest.mark.parametrize("way", ["emit", "emit_batch"])
@pytest.mark.parametrize("what", [None, 1, "text", b"bytes", [], {}, [("event_type", "x")], Odd(), Odd, object()])
def test_what_is_no_event_is_refused(quick: Connection, store: EventStore, what: Any, way: str) -> None:
    with unharmed(quick), pytest.raises(MalformedEventError):
        store.emit(what) if way == "emit" else store.emit_batch([NEW, what])


@pytest.mark.parametrize("way", ["emit", "emit_batch"])
def test_python_values_are_read_back_equal(quick: Connection, store: EventStore, way: str) -> None:
    payload = {
        "int": 2**200,
        "negative": -(2**63) - 1,
        "float": 0.1,
        "small": 5e-324,
        "large": 1e22,
        "zero": 0.0,
        "text": 'é😀\u2028\x01\x7f"\\/',
        "null": None,
        "true": True,
        "nested": [[], {}, [{"": []}]],
        "backslash": "\\u0000",
    }
    sent = NewEvent.of({**NEW, "payload": payload, "latency_ms": 2**63 - 1})
    receipt = store.emit(sent) if way == "emit" else store.emit_batch([sent])[0]
    (read,) = store.iter_events()
    assert (read.event_id, read.payload, read.latency_ms) == (receipt.event_id, payload, 2**63 - 1)
    assert type(read.payload["true"]) is bool
    assert read.timestamp == sent.timestamp


@pytest.mark.parametrize("way", ["emit", "emit_batch"])
def test_a_naive_datetime_is_utc_whatever_the_session_prefers(quick: Connection, store: EventStore, way: str) -> None:
    quick.execute("set timezone = 'America/New_York'")
    quick.execute("set datestyle = 'ISO, DMY'")
    sent = NewEvent.of({**NEW, "timestamp": datetime(2026, 2, 1, 3, 4, 5)})  # noqa: DTZ001
    store.emit(sent) if way == "emit" else store.emit_batch([sent])
    (read,) = store.iter_events()
    assert read.timestamp == datetime(2026, 2, 1, 3, 4, 5, tzinfo=UTC)
    assert store.emit(sent).duplicate
    assert store.emit_batch([sent])[0].duplicate


def test_a_refusal_inside_a_transaction_leaves_the_rest_of_it(quick: Connection, store: EventStore) -> None:
    with quick.transaction():
        store.emit(NEW)
        for bad in ({"payload": {"a": "\x00"}}, {"risk_level": "x" * 256}, {"deployment_id": "a\x00b"}):
            with pytest.raises(MalformedEventError), quick.transaction():
                store.emit({**NEW, "execution_id": "exec-2", **bad})
        store.emit({**NEW, "event_type": "execution_processing"})
    assert count(quick) == 2


def test_an_age_that_no_clock_has_is_no_error_without_a_code(one_ledger: Ledger) -> None:
    operator = one_ledger.connect(one_ledger.login("operator", "aximo_operator", "aximo_writer", customers=("*",)))
    store = EventStore(operator, customer_id="c1")
    store.emit(NEW)
    assert store.close_stale_executions(timedelta.max) == []
    with pytest.raises(MalformedEventError):
        store.close_stale_executions(timedelta.min)
    with pytest.raises(MalformedEventError):
        store.close_stale_executions("1 hour")  # type: ignore[arg-type]


def test_a_batch_given_as_jsonb_is_the_same_as_text(quick: Connection) -> None:
    query = "select * from aximo.emit_events(%s, 'c1')"
    with unharmed(quick, written=1):
        quick.execute(query, (Jsonb([event("execution_triggered")]),))
