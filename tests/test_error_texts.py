"""What an error says: enough for whoever reads it in a log, and nothing of a customer's payload."""

from __future__ import annotations

import copy
import io
import json
import pickle
import re
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aximo_db import AximoError, EventStore, MalformedEventError, NewEvent, NotConnectedError, SequenceError
from aximo_db.client.connect import connect
from aximo_db.client.errors import translate
from aximo_db.client.events import FIELDS
from aximo_db.client.vocabulary import ACTORS, EVENT_TYPES
from aximo_db.lines.importer import import_lines
from aximo_db.lines.run_files import import_runs
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, Ledger, _cloned
from tests.events import BASE, event
from tools import sentences

#: Stands in every payload, and in nothing else.
SENTINEL = "sentinel-of-a-payload"
PAYLOAD = {SENTINEL: SENTINEL, "nested": [{SENTINEL: SENTINEL}], "action_id": SENTINEL, "action_type": SENTINEL}


@pytest.fixture(scope="module")
def module_ledger(servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    """One database for the module: every test has a customer of its own in it."""
    for ledger in _cloned(servers(next(iter(BINARIES))), "fresh", "error_texts_test"):
        ledger.login("texts_service", "aximo_writer", "aximo_operator", customers=("*",))
        yield ledger


@pytest.fixture
def dsn(module_ledger: Ledger) -> str:
    return module_ledger.dsn("texts_service")


@pytest.fixture
def customer() -> str:
    return f"customer-{uuid4()}"


@pytest.fixture
def store(dsn: str, customer: str) -> Iterator[EventStore]:
    with EventStore(dsn, customer_id=customer) as store:
        yield store


def refused(connection: psycopg.Connection[Any], statement: str, *values: object) -> AximoError:
    """What the package makes of a refusal in SQL; nothing of the transaction stays."""
    with pytest.raises(psycopg.Error) as caught, connection.transaction():
        connection.execute(statement, values)
    error = translate(caught.value, writing=True)
    assert error is not None, caught.value
    return error


@pytest.fixture
def emitting(dsn: str, customer: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("select set_config('aximo.customer_id', %s, false)", (customer,))
        yield connection


def refusal_of_batch(connection: psycopg.Connection[Any], *events: object) -> AximoError:
    return refused(connection, "select aximo.emit_events(%s::jsonb)", json.dumps(list(events)))


# The text


def test_the_text_is_one_line_of_everything_but_the_event() -> None:
    error = SequenceError("a message", rule="a_rule", detail="a detail\nof two lines\n", hint="A hint.")
    assert str(error) == "a message (ZXSEQ a_rule): a detail of two lines. A hint."
    assert (error.message, error.args) == ("a message", ("a message",))
    assert str(SequenceError()) == "this event does not fit the life of its execution (ZXSEQ)"
    assert str(AximoError("bare")) == "bare"


def test_an_id_can_not_begin_a_line_of_a_log(store: EventStore) -> None:
    with pytest.raises(SequenceError) as caught:
        store.emit(event("execution_completed", "e\r\n2026-01-01 CRITICAL forged\x1b[31m"))
    assert caught.value.detail is not None
    assert "forged" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_copies_say_the_same(store: EventStore, again: Callable[[AximoError], AximoError]) -> None:
    with pytest.raises(AximoError) as caught:
        store.emit(event("execution_completed", "e"))
    other = again(caught.value)
    assert (str(other), other.message, other.event) == (str(caught.value), caught.value.message, caught.value.event)


@pytest.mark.parametrize("unread", ["postgresql://u:secret%zz@localhost/d", "host=localhost password='secret"])
def test_a_connection_string_that_can_not_be_read_is_not_said(unread: str) -> None:
    with EventStore(unread) as store, pytest.raises(NotConnectedError) as caught:
        store.log_size()
    with pytest.raises(NotConnectedError) as command:
        connect(unread)
    for error in (caught.value, command.value):
        assert error.detail == "libpq can't read the connection string"
        assert "secret" not in "".join(traceback.format_exception(error))


# What is malformed is named, shown and compared with what is allowed.

LONG = "x" * 300
#: What is changed in a good event; the rule; the beginning of the detail; what the hint says.
MALFORMED: dict[str, tuple[dict[str, object], str, str, str]] = {
    "a type misspelt": (
        {"event_type": "execution_trigered"}, "event_type_known",
        "event_type is 'execution_trigered'", "Did you mean execution_triggered? The 22 types are execution_triggered,",
    ),
    "a type from nowhere": ({"event_type": "zzz"}, "event_type_known", "event_type is 'zzz'", "The 22 types are "),
    "an actor": (
        {"actor": "robot"}, "actor_known", "actor is 'robot'",
        "An actor is one of system, founder, operator, external_user.",
    ),
    "a long actor": ({"actor": LONG}, "actor_known", f"actor is '{LONG[:60]}...'", "An actor is one of"),
    "a field misspelt": (
        {"deploymentId": SENTINEL}, "fields_known", "an event has no field 'deploymentId'", "Did you mean deployment_id?",
    ),
    "a field from nowhere": ({"zzz": 1}, "fields_known", "an event has no field 'zzz'", "The fields are event_id,"),
    "a long id": (
        {"skill_id": LONG}, "identifier_length", f"skill_id has 300 characters, and begins with '{LONG[:60]}'",
        "Give skill_id 1 to 255 characters.",
    ),
    "a blank id": ({"skill_id": "  "}, "identifier_not_blank", "skill_id is '  '", "a character that can be seen"),
    "a long text": ({"risk_level": LONG}, "short_text_length", "risk_level has 300 characters", "at most 255"),
    "no skill": ({"skill_id": None}, "skill_id_present", "skill_id is missing", "Every event has event_type,"),
    "no execution": (
        {"event_type": "action_prepared"}, "execution_id_present", "execution_id is missing", "name their execution",
    ),
    "a number": ({"skill_id": 5}, "skill_id_is_string", "skill_id is a JSON number", "Give skill_id as a JSON string."),
    "no moment": ({"timestamp": "noon"}, "timestamp_well_formed", "timestamp is 'noon'", "2026-01-31T12:00:00Z"),
    "an old moment": (
        {"timestamp": "1960-01-01T00:00:00Z"}, "moment_range", "timestamp is '1960-01-01T00:00:00Z'", "from 1970 on",
    ),
    "a moment to come": (
        {"timestamp": "2996-01-01T00:00:00Z"}, "timestamp_not_ahead", "timestamp is '2996-", "The database's clock says",
    ),
    "no UUID": ({"event_id": "7"}, "event_id_well_formed", "event_id is '7'", "Give a UUID, or leave event_id out"),
    "half a millisecond": ({"latency_ms": 1.5}, "latency_ms_well_formed", "latency_ms is '1.5'", "from 0 on"),
    "before it began": ({"latency_ms": -1}, "milliseconds_not_negative", "latency_ms is '-1'", "from 0 on"),
    "a list": ({"payload": [SENTINEL]}, "payload_is_object", "payload is a JSON array", "Give payload as a JSON object."),
    "a large payload": ({"payload": {SENTINEL: SENTINEL * 55_000}}, "payload_size", "payload has more than 1,048,576", "elsewhere"),
    "no object": ({}, "event_is_object", "this is a JSON string, and an event is a JSON object", "Send an object"),
}  # fmt: skip


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_event_names_the_field_shows_the_value_and_says_what_is_allowed(
    emitting: psycopg.Connection[Any], what: str
) -> None:
    changed, rule, detail, hint = MALFORMED[what]
    culprit: object = {**event("sla_breached", None, payload=PAYLOAD), **changed} if changed else SENTINEL
    good = event("sla_breached", None)
    error = refusal_of_batch(emitting, good, good, culprit)
    assert (type(error), error.rule, error.message) == (MalformedEventError, rule, "malformed event")
    assert error.detail is not None
    assert error.detail.startswith(detail)
    assert error.detail.endswith(" (event 3 of the batch)")
    assert hint in str(error.hint)
    assert len(error.detail) < 200
    assert SENTINEL not in str(error)


def test_a_single_event_is_told_the_same_by_the_function(emitting: psycopg.Connection[Any]) -> None:
    error = refused(emitting, "select aximo.emit_event('action_prepard', 'd', 's', '1', 'system', execution_id => 'e')")
    assert error.detail == "event_type is 'action_prepard'"
    assert str(error.hint).startswith("Did you mean action_prepared? ")


def test_the_package_suggests_a_field_before_anything_is_sent() -> None:
    with pytest.raises(MalformedEventError) as caught:
        NewEvent.of({**event("sla_breached", None), "chanel_type": SENTINEL})
    assert caught.value.detail == "an event has no field 'chanel_type'"
    assert str(caught.value.hint).startswith("Did you mean channel_type? ")
    assert SENTINEL not in str(caught.value)


def test_what_is_near_is_near(module_ledger: Ledger) -> None:
    with psycopg.connect(module_ledger.dsn("postgres")) as root:

        def nearest(word: str, words: tuple[str, ...]) -> object:
            row = root.execute("select aximo_private.nearest(%s, %s)", (word, list(words))).fetchone()
            return row and row[0]

        for words in (EVENT_TYPES, ACTORS, FIELDS):
            for word in words:
                assert nearest(word, words) == word
                assert nearest(word.replace("_", "").upper(), words) == word
                assert nearest(word[:-1], words) == word
        assert nearest("", EVENT_TYPES) is nearest("qqqq", EVENT_TYPES) is None
        assert nearest("x" * 1_000_000, EVENT_TYPES) is None


# Nothing of a payload

STRINGS = st.sampled_from(["", " ", "x", "deployment_created", "\u0000", "\ud800", "5", LONG, "2026-13-01T00:00:00Z"])
VALUES = st.one_of(
    STRINGS, st.none(), st.booleans(), st.integers(-1, 2**70), st.just(1.5), st.just([1]), st.just({"a": 1})
)
PAYLOADS = st.sampled_from(
    [
        PAYLOAD,
        [SENTINEL],
        SENTINEL,
        {SENTINEL: "\u0000"},
        {SENTINEL: "\ud800", "b": SENTINEL},
        {SENTINEL: 2**70},
        {"approval_id": "a", SENTINEL: SENTINEL},
    ]
)


@given(
    event_type=st.sampled_from([*EVENT_TYPES, "unknown"]),
    changes=st.dictionaries(st.sampled_from([*FIELDS, "colour"]), VALUES, max_size=3),
    payload=PAYLOADS,
    execution_id=st.sampled_from([None, "e1", "e2"]),
    way=st.sampled_from(["emit", "emit_batch", "import", "sql"]),
)
@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
def test_no_refusal_says_anything_of_a_payload(
    dsn: str, event_type: str, changes: dict[str, Any], payload: Any, execution_id: str | None, way: str
) -> None:
    culprit = {**event(event_type, execution_id), "payload": payload, **changes}
    told: list[str] = []
    with EventStore(dsn, customer_id="hypothetical") as store:
        try:
            if way == "emit":
                store.emit(culprit)
            elif way == "emit_batch":
                store.emit_batch([event("sla_breached", None), culprit])
            elif way == "import":
                summary = import_lines(
                    store, io.BytesIO(json.dumps(culprit).encode()), customer_id="hypothetical", on_error="reject"
                )
                told += [refusal.reason for refusal in summary.first_refusals]
            else:
                with psycopg.connect(dsn) as connection:
                    connection.execute("select set_config('aximo.customer_id', 'hypothetical', true)")
                    connection.execute("select aximo.emit_events(%s::jsonb)", (json.dumps([culprit]),))
        except AximoError as error:
            told += ["".join(traceback.format_exception(error)), str(error), repr(error)]
            assert error.hint
            assert listed(error), error
        except psycopg.Error as error:
            # Of what PostgreSQL itself could not read, a caller of SQL sees PostgreSQL's own words.
            told += [str(error)] if str(error.sqlstate).startswith("ZX") else [str(translate(error, writing=True))]
    assert SENTINEL not in "".join(told)


def _line(**changes: object) -> dict[str, object]:
    return {"run_id": "r1", "created_at": "2026-01-01T00:00:00Z", "kind": "run.started", **changes}


def _run(**changes: object) -> dict[str, object]:
    told = {"result_json": {SENTINEL: SENTINEL}, "error": SENTINEL, "environment": {SENTINEL: SENTINEL}}
    return {"run_id": "r1", "project_id": "p", "tool_name": "t", "status": "queued", **told, **changes}


OF_RUNS: dict[str, tuple[str, dict[str, object], str]] = {
    "an event without a kind": ("events", _line(kind=None, message=SENTINEL, data=PAYLOAD), "kind_present"),
    "an event with a message of another type": ("events", _line(message=[SENTINEL], data=PAYLOAD), "message_is_string"),
    "an event with data of another type": ("events", _line(message=SENTINEL, data=[SENTINEL]), "data_is_object"),
    "an event of no moment": ("events", _line(created_at="noon", message=SENTINEL), "run_event_moment"),
    "an event whose moment is an object": ("events", _line(created_at=PAYLOAD), "run_event_moment"),
    "an event of no kind at all": ("events", _line(kind="", message=SENTINEL, data=PAYLOAD), "kind_present"),
    "a run whose exit_code is an object": ("runs", _run(exit_code=PAYLOAD), "run_well_formed"),
    "a run whose exit_code is a text": ("runs", _run(exit_code="one"), "run_well_formed"),
    "a run of no moment": ("runs", _run(created_at="noon"), "run_well_formed"),
    "a run of no status": ("runs", _run(status="gone"), "runs_status_check"),
    "a run with another field": ("runs", _run(colour=SENTINEL), "field_known"),
    "a run whose tool is a list": ("runs", _run(tool_name=[SENTINEL]), "field_is_string"),
}


@pytest.mark.parametrize("what", OF_RUNS)
def test_no_refusal_says_anything_of_a_runs_data(emitting: psycopg.Connection[Any], what: str) -> None:
    kind, line, rule = OF_RUNS[what]
    function = "helix.import_runs" if kind == "runs" else "helix.import_run_events"
    error = refused(emitting, f"select * from {function}(%s::jsonb)", json.dumps([line]))
    assert error.rule == rule
    assert SENTINEL not in f"{error} {error.__cause__}"
    assert error.hint
    assert listed(error), error


def test_the_import_of_runs_says_nothing_of_their_data(store: EventStore, customer: str) -> None:
    lines = "\n".join(json.dumps(line) for _, line, _ in OF_RUNS.values())
    found = import_runs(store, io.BytesIO(lines.encode()), customer_id=customer, on_error="reject")
    assert found.refused == len(OF_RUNS)
    assert SENTINEL not in "".join(refusal.reason for refusal in found.first_refusals)


def test_a_refused_line_says_what_to_do(store: EventStore, customer: str) -> None:
    line = json.dumps({**BASE, "event_type": "sla_breachd", "payload": PAYLOAD})
    found = import_lines(store, io.BytesIO(line.encode()), customer_id=customer, on_error="reject")
    (refusal,) = found.first_refusals
    assert "Did you mean sla_breached?" in refusal.reason
    assert SENTINEL not in refusal.reason


# The list


def _pattern(told: str | None) -> str:
    """A sentence of the list as a pattern: what is filled in may be anything, and one of several is enough."""
    found = []
    for each in (told or "").split(" | "):
        pattern = ".*".join(re.escape(part) for part in re.split(r"‹[^›]*›", each))
        found.append(pattern.replace(r"Did\ you\ mean\ .*\?\ ", r"(?:Did you mean \w+\? )?"))
    return "|".join(found)


PATTERNS = [
    (each.code, re.compile(_pattern(each.rule)), each.message, re.compile(_pattern(each.hint)))
    for each in sentences.sentences()
]


def listed(error: AximoError) -> bool:
    """Whether the list has what an error says."""
    return any(
        (error.sqlstate, error.message) == (code, message)
        and rule.fullmatch(error.rule or "")
        and hint.fullmatch(error.hint or "")
        for code, rule, message, hint in PATTERNS
    )


def test_what_is_not_in_the_list_would_be_found() -> None:
    assert listed(MalformedEventError(rule="actor_known", hint="An actor is one of these."))
    assert not listed(MalformedEventError(rule="actor_known", hint="Guess."))
    assert not listed(MalformedEventError("another message", rule="actor_known", hint="An actor is one of these."))
    assert not listed(MalformedEventError(rule="actor_unheard_of", hint="An actor is one of these."))


def test_every_sentence_says_what_to_do() -> None:
    found = sentences.sentences()
    assert len(found) > 150
    for each in found:
        assert each.hint, each
        assert (
            each.hint[0].isupper() or each.hint[0] in "*‹\"'" or re.match(r"[a-z_]+(-db| is|\.|,| and)", each.hint)
        ), each
        assert each.message[0].islower() or each.message.startswith("PostgreSQL"), each
        assert not each.message.endswith("."), each


def test_every_class_has_sentences() -> None:
    from aximo_db.client.errors import register

    assert {each.code for each in sentences.sentences()} == set(register)


def test_what_postgresql_quotes_is_left_out(store: EventStore) -> None:
    unread = '[{"payload": {"a": tokenofapayload}}]'

    def work(connection: psycopg.Connection[Any]) -> object:
        return connection.execute("select aximo.emit_events(%s::jsonb)", (unread,))

    with pytest.raises(MalformedEventError) as caught:
        store._session.run(work, call="work", writing=True)
    assert "tokenofapayload" in str(caught.value.__context__)
    told = "".join(traceback.format_exception(caught.value)).replace(unread, "")
    assert "tokenofapayload" not in f"{told} {caught.value.detail} {caught.value.hint}"
