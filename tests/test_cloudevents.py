"""CloudEvents 1.0: by the specification, read by others, and nothing lost on the way out and back."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema
import psycopg
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from aximo_db import EVENT_TYPES, CustomerError, EventStore, MalformedEventError, ProofError
from aximo_db.dba.assets import recording_path
from aximo_db.lines import members as members_module
from aximo_db.lines.cloudevents import (
    _KNOWN,
    CloudEventReader,
    CloudEventWriter,
    export_cloudevents,
    import_cloudevents,
    tail_cloudevents,
)
from aximo_db.lines.exporter import export_log
from aximo_db.lines.importer import ImportStoppedError, import_lines
from aximo_db.lines.members import array_elements, members
from aximo_db.lines.run_files import import_runs
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import VERSIONS, Ledger, _cloned
from tests.test_cli import run

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data"
SCHEMA = json.loads((DATA / "cloudevents" / "cloudevents.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft7Validator(SCHEMA, format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER)
SERVICE = "ce_service"
ORIGIN = "aximo-db/6f9619ff-8b86-4d01-b42d-00cf4fc964ff/acme"


# By the specification


def conforms(text: str) -> dict[str, Any]:
    """The event, after the schema, and what the specification says beside it."""
    event: dict[str, Any] = json.loads(text)
    assert [error.message for error in VALIDATOR.iter_errors(event)] == []
    for name, value in event.items():
        if name == "data":
            continue
        assert re.fullmatch(r"[a-z0-9]{1,20}", name), name
        if isinstance(value, int):
            assert -(2**31) <= value < 2**31
            continue
        assert isinstance(value, str), name
        for character in value:
            point = ord(character)
            assert point > 0x1F, name
            assert not 0x7F <= point <= 0x9F, name
            assert not 0xFDD0 <= point <= 0xFDEF, name
            assert point & 0xFFFE != 0xFFFE, name
            assert not 0xD800 <= point <= 0xDFFF, name
    assert event["specversion"] == "1.0"
    assert event.get("correlationid") != ""
    assert "\n" not in text
    return event


def test_the_schema_with_formats_is_not_blind() -> None:
    good: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "//a/b", "type": "t"}
    assert VALIDATOR.is_valid(good)
    for wrong in ({"source": "//a b"}, {"time": "yesterday"}, {"subject": ""}, {"dataschema": "no uri"}):
        assert not VALIDATOR.is_valid({**good, **wrong})


# Every character

#: What PostgreSQL can store.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
awkward = st.text(st.sampled_from(list('%%25"\\/\x01\x1f\x7f\x9f\n\r\t\ufffe\ufdd0\U0010ffff{}[],: é😀')), min_size=1)
names = texts | awkward
short = names | st.just("")
leaves = st.none() | st.booleans() | st.integers() | short | st.sampled_from(['"data":', '{"data":1}'])
payloads = st.dictionaries(
    short, st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(short, inner, max_size=3))
)
#: Numbers that no float holds, as jsonb writes them.
NUMBERS = ", ".join(
    f'"a key that no other has {n}": {number}'
    for n, number in enumerate(("1.10", "123456789012345678901234", "0.12345678901234567890"))
)
MOMENT = "2026-03-01T12:00:00.123456Z"


def dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@st.composite
def event_lines(draw: st.DrawFn) -> str:
    """A canonical line of an event, with the text of a payload as jsonb writes it."""
    payload = json.dumps(draw(payloads), ensure_ascii=False)
    fields: dict[str, str | None] = {
        "event_id": dumps(str(draw(st.uuids()))),
        "event_type": dumps(draw(st.sampled_from(EVENT_TYPES))),
        "timestamp": dumps(MOMENT),
        "customer_id": dumps(draw(names)),
        "deployment_id": dumps(draw(names)),
        "skill_id": dumps(draw(names)),
        "skill_version": dumps(draw(names)),
        "execution_id": draw(st.none() | names.map(dumps)),
        "step": draw(st.none() | st.integers(1, 2**31 - 1).map(str)),
        "risk_level": draw(st.none() | short.map(dumps)),
        "approval_mode": draw(st.none() | short.map(dumps)),
        "actor": dumps(draw(st.sampled_from(["system", "founder", "operator", "external_user"]))),
        "payload": f"{payload[:-1]}{', ' if payload != '{}' else ''}{NUMBERS}}}",
        "correlation_id": draw(st.none() | short.map(dumps)),
        "channel_type": draw(st.none() | short.map(dumps)),
        "error_code": draw(st.none() | short.map(dumps)),
        "latency_ms": draw(st.none() | st.integers(0, 2**63 - 1).map(str)),
        "recorded_at": dumps(MOMENT),
        "recorded_by": dumps(draw(names)),
    }
    return "{" + ",".join(f'"{name}":{raw}' for name, raw in fields.items() if raw is not None) + "}"


@st.composite
def run_lines(draw: st.DrawFn) -> str:
    data = draw(st.none() | payloads)
    extra = draw(st.none() | payloads)
    fields = {
        "run_id": dumps(draw(names)),
        "event_id": str(draw(st.integers(1, 2**63 - 1))),
        "created_at": dumps(MOMENT),
        "kind": dumps(draw(names)),
        "message": dumps(draw(st.none() | short)),
        "data": json.dumps(data, ensure_ascii=False),
        **({"extra": json.dumps(extra, ensure_ascii=False)} if extra is not None else {}),
        "customer_id": dumps(draw(names)),
        "recorded_at": dumps(MOMENT),
        "recorded_by": dumps(draw(names)),
    }
    return "{" + ",".join(f'"{name}":{raw}' for name, raw in fields.items()) + "}"


prefixes = st.sampled_from(["aximo.", "com.example.aximo."]) | names


@settings(max_examples=300, deadline=None)
@given(event_lines(), prefixes, st.integers(1, 2**63 - 1))
def test_any_event_conforms_and_comes_back_to_the_letter(line: str, prefix: str, number: int) -> None:
    text = CloudEventWriter(ORIGIN, "events", prefix).write(number, line)
    event = conforms(text)
    assert int(event["sequence"]) == number
    assert len(event["sequence"]) == 19
    assert CloudEventReader("events", type_prefix=prefix).line(text.encode()) == line


@settings(max_examples=300, deadline=None)
@given(run_lines(), prefixes, st.integers(1, 2**63 - 1))
def test_any_run_event_conforms_and_comes_back_to_the_letter(line: str, prefix: str, number: int) -> None:
    text = CloudEventWriter(f"{ORIGIN}/run_events", "run_events", prefix).write(number, line)
    conforms(text)
    assert CloudEventReader("run_events", type_prefix=prefix).line(text.encode()) == line


@given(event_lines())
def test_another_order_and_white_space_change_nothing(line: str) -> None:
    text = CloudEventWriter(ORIGIN).write(1, line)
    parts = dict(members(text))
    spread = "{\n" + " ,\t".join(f'"{name}" : {raw}' for name, raw in reversed(parts.items())) + " \r\n}"
    assert CloudEventReader().line(spread.encode()) == line


def test_what_is_deeper_than_pythons_reader_goes_out_and_back() -> None:
    payload = '{"a": ' + '{"b": [' * 3000 + "1.10" + "]}" * 3000 + "}"
    line = json.dumps(EVENT, separators=(",", ":")).replace('"payload":{}', f'"payload":{payload}')
    text = CloudEventWriter(ORIGIN).write(1, line)
    assert CloudEventReader().line(text.encode()) == line


# Arrays


@given(
    st.lists(st.dictionaries(short, leaves, max_size=3), max_size=4), st.integers(1, 9), st.sampled_from(["", " \n"])
)
def test_elements_of_an_array_are_found_wherever_it_is_cut(values: list[Any], chunk: int, space: str) -> None:
    elements = [json.dumps(value, ensure_ascii=False) for value in values]
    text = space + "[" + f"{space},{space}".join(elements) + space + "]" + space
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(members_module, "_CHUNK", chunk)
        found = list(array_elements(io.BytesIO(text.encode()), 1 << 20))
    assert [raw.strip() for _, raw, _ in found] == [each.encode() for each in elements]
    assert [number for number, _, _ in found] == list(range(1, len(values) + 1))


def test_of_an_element_that_is_too_long_the_beginning_is_kept() -> None:
    found = list(array_elements(io.BytesIO(b'[{"a":"' + b"x" * 100 + b'"},{}]'), 20))
    assert [(number, len(raw)) for number, raw, _ in found] == [(1, 21), (2, 2)]


def test_several_arrays_one_after_the_other_are_one() -> None:
    found = list(array_elements(io.BytesIO(b"\xef\xbb\xbf[1, 2]\n[]\n[3]\n"), 20))
    assert [(number, raw.strip()) for number, raw, _ in found] == [(1, b"1"), (2, b"2"), (3, b"3")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nothing in it"),
        ("  ", "nothing in it"),
        ('{"a":1}', "bracket"),
        ("[1", "ends within"),
        ('["a', "ends within"),
        ("[1],", "bracket"),
        ("[1] x", "outside"),
        ("[1,]", "nothing where element 2"),
        ("[,1]", "nothing where element 1"),
        ("[1}", "closes nothing"),
    ],
)
def test_what_is_no_array_is_refused(text: str, said: str) -> None:
    with pytest.raises(MalformedEventError, match=said) as caught:
        list(array_elements(io.BytesIO(text.encode()), 100))
    assert caught.value.rule == "file_is_json_array"


# What is refused

EVENT: dict[str, Any] = {
    "event_id": "aaaaaaaa-0000-4000-8000-000000000001",
    "event_type": "sla_breached",
    "timestamp": MOMENT,
    "customer_id": "acme",
    "deployment_id": "d",
    "skill_id": "s",
    "skill_version": "1",
    "actor": "founder",
    "payload": {},
    "recorded_at": MOMENT,
    "recorded_by": "login",
}


def cloud(line: dict[str, Any] = EVENT, **changes: Any) -> dict[str, Any]:
    """The CloudEvent of a line, with attributes changed, or left out for ``...``."""
    event = json.loads(CloudEventWriter(ORIGIN).write(1, json.dumps(line, separators=(",", ":"))))
    event.update(changes)
    return {name: value for name, value in event.items() if value is not ...}


@pytest.mark.parametrize(
    ("changes", "rule", "named"),
    [
        ({"specversion": ...}, "cloudevent_version_known", "specversion"),
        ({"specversion": "0.3"}, "cloudevent_version_known", "specversion"),
        ({"specversion": 1.0}, "cloudevent_version_known", "specversion"),
        *(
            ({name: ...}, "cloudevent_attribute_present", name)
            for name in (
                "id", "source", "type", "aximodeployment", "aximoskill", "aximoskillversion", "aximoactor",
            )
        ),
        ({"source": ""}, "cloudevent_attribute_present", "source"),
        ({"aximoskill": None}, "cloudevent_attribute_present", "aximoskill"),
        ({"type": "com.github.push"}, "cloudevent_type_known", "com.github.push"),
        ({"type": "aximo.run.run.started"}, "cloudevent_type_known", "runs import"),
        ({"type": "aximo..v1"}, "cloudevent_type_known", "aximo..v1"),
        ({"id": 5}, "cloudevent_attribute_is_string", "id"),
        ({"aximolatencyms": 5}, "cloudevent_attribute_is_string", "aximolatencyms"),
        ({"aximolatencyms": "5.0"}, "cloudevent_latency_is_digits", "5.0"),
        ({"aximolatencyms": "٥"}, "cloudevent_latency_is_digits", "aximolatencyms"),
        ({"aximoskill": "100%"}, "cloudevent_percent_encoded", "aximoskill"),
        ({"aximoskill": "%ff"}, "cloudevent_percent_encoded", "aximoskill"),
        ({"subject": "another"}, "cloudevent_attributes_agree", "subject"),
        ({"partitionkey": "another"}, "cloudevent_attributes_agree", "partitionkey"),
        ({"authtype": "system"}, "cloudevent_attributes_agree", "authtype"),
        ({"datacontenttype": "text/xml"}, "cloudevent_attributes_agree", "datacontenttype"),
        ({"dataschema": "urn:aximo:event-model:2.0"}, "cloudevent_attributes_agree", "dataschema"),
        ({"correlationid": "a", "aximocorrelationid": ""}, "cloudevent_attributes_agree", "aximocorrelationid"),
        ({"data": ..., "data_base64": "eyJhIjoxfQ=="}, "cloudevent_data_is_json", "data_base64"),
        ({"traceparent": "00-1-2-01"}, "cloudevent_extensions_known", "traceparent"),
        ({"authid": "somebody"}, "cloudevent_extensions_known", "authid"),
    ],
)  # fmt: skip
def test_what_is_no_event_of_the_ledger_is_refused_by_name(changes: dict[str, Any], rule: str, named: str) -> None:
    with pytest.raises(MalformedEventError) as caught:
        CloudEventReader().line(json.dumps(cloud(**changes)).encode())
    assert caught.value.rule == rule
    assert named in f"{caught.value.detail} {caught.value.hint}"


def test_a_foreign_event_is_refused_with_the_missing_fields_name() -> None:
    foreign = {"specversion": "1.0", "id": "1", "source": "/x", "type": "aximo.sla_breached.v1", "data": {}}
    with pytest.raises(MalformedEventError, match="aximodeployment is missing"):
        CloudEventReader().line(json.dumps(foreign).encode())


def test_what_need_not_be_said_may_be_left_out_or_null() -> None:
    derived = ("subject", "partitionkey", "authtype", "datacontenttype", "dataschema", "sequence")
    whole = CloudEventReader().line(json.dumps(cloud()).encode())
    assert CloudEventReader().line(json.dumps(cloud(**dict.fromkeys(derived, ...))).encode()) == whole
    assert CloudEventReader().line(json.dumps(cloud(**dict.fromkeys(derived))).encode()) == whole


@pytest.mark.parametrize(
    ("payload", "kept"),
    [
        ('{"n": 1.10}', '{"n": 1.10,"cloudevents":{"traceparent":"00-1","n":1.10}}'),
        ("{}", '{"cloudevents":{"traceparent":"00-1","n":1.10}}'),
        ("[1]", "[1]"),
    ],
)
def test_unknown_extensions_are_kept_if_wanted_and_the_payload_as_it_stands(payload: str, kept: str) -> None:
    text = json.dumps(cloud(data=...))[:-1] + f',"data":{payload},"traceparent":"00-1","n":1.10}}'
    line = CloudEventReader(keep_extensions=True).line(text.encode())
    assert dict(members(line))["payload"] == kept
    with pytest.raises(MalformedEventError, match="traceparent"):
        CloudEventReader().line(text.encode())


def test_extensions_are_not_kept_over_something_else() -> None:
    text = json.dumps(cloud(data={"cloudevents": 1}, traceparent="00-1")).encode()
    with pytest.raises(MalformedEventError) as caught:
        CloudEventReader(keep_extensions=True).line(text)
    assert caught.value.rule == "cloudevent_extensions_known"


# Ledgers


@pytest.fixture(scope="module", params=VERSIONS)
def two(request: pytest.FixtureRequest, servers: Callable[[str], EmbeddedServer]) -> Iterator[tuple[Ledger, Ledger]]:
    """A ledger with the recordings in it and what is awkward, and one with nothing."""
    server = servers(request.param)
    with (
        closing(_cloned(server, "fresh", "ce_first")) as first,
        closing(_cloned(server, "fresh", "ce_second")) as second,
    ):
        ledgers = next(first), next(second)
        service(ledgers[0])
        with EventStore(ledgers[0].dsn(SERVICE)) as store:
            with recording_path().open("rb") as source:
                import_lines(store, source)
            store.emit_many(awkward_events())
            with (DATA / "helix" / "run_events.jsonl").open("rb") as source:
                import_runs(store, source, customer_id=AWKWARD)
            store.advance_all()
        # What was granted is of this database; the login of the cluster.
        with ledgers[1].connect() as connection:
            connection.execute("select aximo.grant_customer(%s, '*')", (SERVICE,))
        yield ledgers


def service(ledger: Ledger, name: str = SERVICE) -> str:
    return ledger.login(name, "aximo_writer", "aximo_operator", customers=("*",))


AWKWARD = "a/ b%\n\x7f\u009f\ufffe😀"


def awkward_events() -> Iterator[dict[str, Any]]:
    for number, (name, payload) in enumerate(
        [
            ('","data":{"x":1},"y":"', {'"data":': '{"data":1}', "n": Decimal("1.10")}),
            ("100%\t\x1f\u0085", {"big": 123456789012345678901234, "deep": [[[{"a": []}]]]}),
            ("\ufdd0\U0010fffe é", {"e": Decimal("0.12345678901234567890"), "cloudevents": {}}),
        ]
    ):
        base = {"deployment_id": name, "skill_id": f"{name}s", "skill_version": f"{name}v", "actor": "external_user"}
        for correlation, channel in (("", "\n"), ("c%", None), (None, "")):
            yield {
                **base, "customer_id": AWKWARD, "event_type": "sla_breached", "payload": payload, "event_id": uuid4(),
                "correlation_id": correlation, "channel_type": channel, "error_code": f"{number}\x01",
                "latency_ms": 2**40, "risk_level": "", "approval_mode": "a\\b",
            }  # fmt: skip
        yield {**base, "customer_id": AWKWARD, "event_type": "execution_triggered", "execution_id": f"{name}\r"}


LOGS = [("acme-hvac", "events"), (AWKWARD, "events"), (AWKWARD, "run_events")]


def exported(dsn: str, customer: str, log: str) -> list[str]:
    target = io.StringIO()
    export_log(dsn, target, customer_id=customer, log=log)  # type: ignore[arg-type]
    return target.getvalue()[:-1].split("\n")  # not splitlines, which also splits at other characters


def as_cloudevents(dsn: str, customer: str, log: str, **options: Any) -> str:
    target = io.StringIO()
    done = export_cloudevents(dsn, target, customer_id=customer, log=log, **options)  # type: ignore[arg-type]
    assert done.unnumbered == 0
    return target.getvalue()


@pytest.mark.parametrize(("customer", "log"), LOGS)
def test_a_log_conforms_is_read_by_others_and_comes_back_to_the_letter(
    two: tuple[Ledger, Ledger], customer: str, log: Any
) -> None:
    dsn = two[0].dsn(SERVICE)
    lines = exported(dsn, customer, log)
    events = as_cloudevents(dsn, customer, log).split("\n")
    assert events.pop() == ""
    assert len(lines) == len(events) > 10
    with two[0].connect(SERVICE) as connection:
        connection.execute("select set_config('aximo.customer_id', %s, false)", (customer,))
        origin = connection.execute("select aximo.log_origin(%s)", (log,)).fetchone()
    assert origin is not None
    reader = CloudEventReader(log)
    for number, (line, text) in enumerate(zip(lines, events, strict=True), 1):
        event = conforms(text)
        assert event["source"] == f"//{origin[0]}"
        assert event["sequence"] == f"{number:019}"
        read = JSONFormat().read(CloudEvent, text.encode())
        assert read.get_id() == event["id"]
        assert read.get_subject() == event["subject"]
        assert read.get_extension("aximocustomer") == event["aximocustomer"]
        assert reader.line(text.encode()) == line


@pytest.mark.parametrize(("customer", "log"), LOGS)
def test_a_batch_holds_the_same(two: tuple[Ledger, Ledger], customer: str, log: Any) -> None:
    dsn = two[0].dsn(SERVICE)
    batch = as_cloudevents(dsn, customer, log, batch=True)
    json.loads(batch)
    events = as_cloudevents(dsn, customer, log)
    assert [raw.strip() for _, raw, _ in array_elements(io.BytesIO(batch.encode()), 1 << 24)] == [
        each.encode() for each in events[:-1].split("\n")
    ]


def without_recorded(lines: list[str]) -> list[dict[str, str]]:
    left = ("recorded_at", "recorded_by")
    return [{name: raw for name, raw in members(line) if name not in left} for line in lines]


@pytest.mark.parametrize("batch", [False, True], ids=["lines", "an array"])
@pytest.mark.parametrize("customer", ["acme-hvac", AWKWARD])
def test_a_second_ledger_has_the_same_log_but_for_when_it_was_recorded(
    two: tuple[Ledger, Ledger], customer: str, batch: bool
) -> None:
    first, second = (each.dsn(SERVICE) for each in two)
    lines = exported(first, customer, "events")
    text = as_cloudevents(first, customer, "events", batch=batch)
    with EventStore(second) as store:
        again = import_cloudevents(store, io.BytesIO(text.encode()), batch=batch)
        assert (again.read, again.refused) == (len(lines), 0)
        # The first of the two forms brings them, the second finds them there.
        assert {again.inserted, again.duplicates} == {len(lines), 0}
    copied = exported(second, customer, "events")
    assert without_recorded(copied) == without_recorded(lines)
    assert copied != lines


@pytest.mark.parametrize("batch", [False, True], ids=["lines", "an array"])
def test_run_events_come_in_as_they_do_from_lines(two: tuple[Ledger, Ledger], batch: bool) -> None:
    first, second = (each.dsn(SERVICE) for each in two)
    lines = exported(first, AWKWARD, "run_events")
    events = as_cloudevents(first, AWKWARD, "run_events", batch=batch)

    def taken(dsn: str, text: str, how: Callable[..., Any]) -> list[dict[str, str]]:
        """What the log has after it, in a transaction that leaves nothing."""
        with psycopg.connect(dsn) as connection:
            connection.execute("select set_config('aximo.customer_id', %s, true)", (AWKWARD,))
            with EventStore(connection, customer_id=AWKWARD) as store:
                summary = how(store, io.BytesIO(text.encode()))
                assert (summary.read, summary.inserted, summary.refused) == (len(lines), len(lines), 0)
            rows = connection.execute(
                "select run_id, ts, kind, message, data::text, extra::text from helix.run_events order by event_id"
            ).fetchall()
            connection.rollback()
            return rows  # type: ignore[return-value]

    as_lines = taken(second, "\n".join(lines), import_runs)
    assert taken(second, events, lambda *each: import_cloudevents(*each, log="run_events", batch=batch)) == as_lines


def test_a_refused_element_is_told_by_its_place_and_its_text(two: tuple[Ledger, Ledger]) -> None:
    good, bad = json.dumps(cloud(id=str(uuid4()), aximocustomer="refused")), json.dumps(cloud(aximoactor="nobody"))
    late = json.dumps(cloud(id="no uuid"))
    rejects = io.StringIO()
    with EventStore(two[1].dsn(SERVICE)) as store:
        source = io.BytesIO(f"[{good},\n {bad}, {late}, 5]".encode())
        summary = import_cloudevents(store, source, batch=True, on_error="reject", rejects=rejects)
        assert (summary.read, summary.inserted, summary.refused) == (4, 1, 3)
        told = [json.loads(each) for each in rejects.getvalue().splitlines()]
        assert {each["line_number"]: each["line"].strip() for each in told} == {2: bad, 3: late, 4: "5"}
        assert {each["rule"] for each in told} == {
            "actor_known",
            "event_id_well_formed",
            "event_is_object",
        }
        with pytest.raises(ImportStoppedError, match="line 2"):
            import_cloudevents(store, io.BytesIO(f"[{good}, {bad}]".encode()), batch=True)


def test_extensions_of_run_events_are_kept_beside_them(two: tuple[Ledger, Ledger]) -> None:
    text = as_cloudevents(two[0].dsn(SERVICE), AWKWARD, "run_events").split("\n")[0]
    text = text[:-1].replace('"subject":"', '"subject":"kept-') + ',"traceparent":"00-1"}'
    text = text.replace('"partitionkey":"', '"partitionkey":"kept-')
    with EventStore(two[1].dsn(SERVICE)) as store:
        done = import_cloudevents(store, io.BytesIO(text.encode()), log="run_events", keep_extensions=True)
        assert (done.inserted, done.refused) == (1, 0)
        run_id = json.loads(text)["subject"]
        [event] = store.runs.events(run_id, customer_id=AWKWARD)
        assert event.extra is not None
        assert event.extra["cloudevents"] == {"traceparent": "00-1"}


@pytest.mark.parametrize(("customer", "log"), LOGS[1:])
def test_a_log_is_followed_with_a_cursor(two: tuple[Ledger, Ledger], customer: str, log: Any) -> None:
    whole = as_cloudevents(two[0].dsn(SERVICE), customer, log)[:-1].split("\n")
    with EventStore(two[0].dsn(SERVICE), customer_id=customer) as store:
        name = f"ce-{uuid4()}"
        assert list(tail_cloudevents(store, log=log, after=3, follow=False)) == whole[3:]
        first = tail_cloudevents(store, name, log=log, follow=True)
        assert [next(first) for _ in range(5)] == whole[:5]
        first.close()  # type: ignore[attr-defined]
        # The one in hand comes again.
        assert list(tail_cloudevents(store, name, log=log, follow=False)) == whole[4:]
        assert list(tail_cloudevents(store, name, log=log, follow=False)) == []


def test_without_a_customer_there_is_an_error_and_no_empty_answer(two: tuple[Ledger, Ledger]) -> None:
    with pytest.raises(CustomerError):
        export_cloudevents(two[0].dsn(SERVICE), io.StringIO())
    with EventStore(two[0].dsn(SERVICE)) as store, pytest.raises(CustomerError):
        next(tail_cloudevents(store, follow=False))


def test_an_event_that_was_taken_away_is_no_shorter_log(one_ledger: Ledger) -> None:
    dsn = one_ledger.dsn(service(one_ledger, "ce_other"))
    with EventStore(dsn, customer_id="acme") as store:
        ids = [store.emit({**_emitted(), "event_id": uuid4()}).event_id for _ in range(3)]
        store.advance_all()
        with one_ledger.superuser() as root:
            root.execute("alter table aximo_private.events disable trigger all")
            root.execute("delete from aximo_private.events where event_id = %s", (ids[1],))
        with pytest.raises(ProofError):
            export_cloudevents(dsn, io.StringIO(), customer_id="acme")
        with pytest.raises(ProofError):
            list(tail_cloudevents(store, follow=False))


def _emitted() -> dict[str, Any]:
    return {name: value for name, value in EVENT.items() if name not in ("recorded_at", "recorded_by", "event_id")}


# The commands


def test_the_commands_write_and_read_both_logs(two: tuple[Ledger, Ledger], tmp_path: Path) -> None:
    dsn = two[0].dsn(SERVICE)
    site = ("--db", dsn, "-c", AWKWARD)
    form = ("--format", "cloudevents", "--type-prefix", "com.example.")
    for command, log in (((), "events"), (("runs",), "run_events")):
        expected = as_cloudevents(dsn, AWKWARD, log, type_prefix="com.example.")
        run(*command, "export", *site, *form, "-o", tmp_path / "lines")
        assert (tmp_path / "lines").read_text(encoding="utf-8") == expected
        run(*command, "export", *site, *form, "--batch", "-o", tmp_path / "batch")
        assert run(*command, "tail", *site, *form, "--from", "1").stdout == expected
        tailed = run(*command, "tail", *site, *form, "--from", "1", "--batch").stdout
        assert tailed == (tmp_path / "batch").read_text(encoding="utf-8")
        for name, further in (("lines", ()), ("batch", ("--batch",))):
            done = run(*command, "import", tmp_path / name, "--db", dsn, *form, *further, "--json")
            summary = json.loads(done.stdout)
            assert (summary["duplicates"], summary["refused"]) == (summary["read"], 0)
    expected = as_cloudevents(dsn, AWKWARD, "run_events")
    assert run("export", *site, "--log", "run_events", "--format", "cloudevents").stdout == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export", "--batch"], "--batch is for --format cloudevents"),
        (["export", "--format", "ocel-json", "--type-prefix", "x."], "--type-prefix is for --format cloudevents"),
        (["import", "-", "--keep-extensions"], "--keep-extensions is for --format cloudevents"),
        (["tail", "--batch"], "--batch is for --format cloudevents"),
        (["tail", "--format", "cloudevents", "--json"], "Leave out --json"),
        (["tail", "--format", "cloudevents", "--batch", "--follow"], "Leave out --batch or --follow"),
        (["tail", "--format", "cloudevents", "--name", "n", "--from", "1"], "Give --name or --from"),
        (["runs", "export", "--shape", "run", "--format", "cloudevents"], "Leave out --shape"),
        (["runs", "import", "-", "--run", "r", "--format", "cloudevents"], "Leave out --run"),
        (["runs", "import", "-", "--batch"], "--batch is for --format cloudevents"),
        (["runs", "tail", "--type-prefix", "x."], "--type-prefix is for --format cloudevents"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: list[str], said: str) -> None:
    assert said in run(*arguments, code=2).stderr


def test_who_follows_gets_what_comes_at_once(two: tuple[Ledger, Ledger]) -> None:
    customer = f"followed-{uuid4()}"
    dsn = two[0].dsn(SERVICE)
    with EventStore(dsn, customer_id=customer) as store:
        store.emit(_emitted() | {"customer_id": customer})
        command = [sys.executable, "-m", "aximo_db", "tail", "--follow", "--format", "cloudevents", "-c", customer]
        environment = {**os.environ, "AXIMO_DB_URL": dsn}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as tail:
            assert tail.stdout is not None
            assert json.loads(tail.stdout.readline())["sequence"] == f"{1:019}"
            store.emit(_emitted() | {"customer_id": customer})
            assert json.loads(tail.stdout.readline())["sequence"] == f"{2:019}"
            # Nobody reads any more: it ends by itself with the next one.
            tail.stdout.close()
            store.emit(_emitted() | {"customer_id": customer})
            store.emit(_emitted() | {"customer_id": customer})
            assert tail.wait(30) == 0


# The page


def test_the_page_may_be_pasted(two: tuple[Ledger, Ledger], tmp_path: Path) -> None:
    text = (ROOT / "docs" / "cloudevents.md").read_text(encoding="utf-8")
    [block] = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(block.splitlines()) <= 10
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AXIMO_DB_URL": two[0].dsn(SERVICE),
        "OTHER_LEDGER": two[1].dsn(SERVICE),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.replace("acme", "nordwind")],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    with EventStore(two[1].dsn(SERVICE), customer_id="nordwind") as store:
        store.advance_all()
        assert store.log_size() == 969
    assert f'"sequence":"{2:019}"' in done.stdout


def test_every_attribute_stands_on_the_page() -> None:
    text = (ROOT / "docs" / "cloudevents.md").read_text(encoding="utf-8")
    for name in _KNOWN["events"] | _KNOWN["run_events"]:
        assert f"`{name}`" in text, name


def test_nothing_of_it_is_imported_by_who_does_not_use_it() -> None:
    script = "import sys, aximo_db, aximo_db.cli.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    for name in ("cloudevents", "jsonschema", "pm4py", "sqlite3", "aximo_db.lines.cloudevents", "aximo_db.lines.ocel"):
        assert name not in loaded
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    plain = " ".join(project["dependencies"])
    assert not [name for name in ("cloudevents", "jsonschema", "pm4py", "pandas") if name in plain]
    # AGPL: in no other environment than its own.
    further = {name: " ".join(each) for name, each in project["optional-dependencies"].items()}
    assert [name for name, each in further.items() if "pm4py" in each] == ["ocel"]
    assert not [name for name, each in further.items() if re.search(r"aximo-db\[[^]]*ocel", each)]
