"""Tool runs as JSON lines: nothing lost, nothing doubled, nothing changed."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aximo_db import CustomerError, EventStore, RunError
from aximo_db.lines.exporter import export_log
from aximo_db.lines.importer import ImportStoppedError, ImportSummary
from aximo_db.lines.run_files import (
    LONGEST_LINE,
    RunLogSummary,
    export_run_log,
    export_runs,
    import_run_log,
    import_runs,
)
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import VERSIONS, Ledger, _cloned

SERVICE = "run_files_service"
DATA = Path(__file__).resolve().parent / "data" / "helix"
RECORDING = DATA / "run_events.jsonl"
LOG = DATA / "log_15.jsonl"
MOMENT = "2026-03-01T12:00:00.123456Z"


@pytest.fixture(scope="module", params=VERSIONS)
def ledger_(request: pytest.FixtureRequest, servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    """One database a server for the module: every test has customers and runs of its own in it."""
    for ledger in _cloned(servers(request.param), "fresh", "run_files_test"):
        ledger.login(SERVICE, "aximo_writer", "aximo_operator", customers=("*",))
        yield ledger


@pytest.fixture(scope="module")
def dsn(ledger_: Ledger) -> str:
    return ledger_.dsn(SERVICE)


@pytest.fixture
def customer() -> str:
    return f"customer-{uuid4()}"


@pytest.fixture
def run_id() -> str:
    return f"run-{uuid4()}"


@pytest.fixture
def store(dsn: str, customer: str) -> Iterator[EventStore]:
    with EventStore(dsn, customer_id=customer) as store:
        yield store


def row(run_id: str, kind: str = "exec.plan", /, **values: Any) -> str:
    fields = {"run_id": run_id, "created_at": MOMENT, "kind": kind, "message": None, "data": None}
    return json.dumps({**fields, **values}, ensure_ascii=False)


def said(kind: str = "exec.plan", ts: str = MOMENT, **values: Any) -> str:
    return json.dumps({"ts": ts, "kind": kind, "message": None, "data": None, **values}, ensure_ascii=False)


def run_row(run_id: str, /, **values: Any) -> str:
    fields = {
        "run_id": run_id,
        "project_id": "p",
        "tool_name": "align",
        "contract_version": "v1",
        "params_hash": "sha256:1",
        "policy_hash": "sha256:2",
        "status": "succeeded",
        "created_at": MOMENT,
    }
    return json.dumps({**fields, **values}, ensure_ascii=False)


def raw(*lines: str | bytes) -> io.BytesIO:
    return io.BytesIO(b"".join((each if isinstance(each, bytes) else each.encode()) + b"\n" for each in lines))


def take(store: EventStore, *lines: str | bytes, **options: Any) -> ImportSummary:
    return import_runs(store, raw(*lines), **options)


def reconcile(store: EventStore, run_id: str, *lines: str | bytes, **options: Any) -> RunLogSummary:
    return import_run_log(store, raw(*lines), run_id, **options)


def counts(summary: ImportSummary) -> tuple[int, int, int, int]:
    return summary.read, summary.inserted, summary.duplicates, summary.refused


def exported(dsn: str, customer: str) -> str:
    target = io.StringIO()
    export_log(dsn, target, customer_id=customer, log="run_events")
    return target.getvalue()


def exported_runs(dsn: str, customer: str) -> str:
    target = io.StringIO()
    export_runs(dsn, target, customer_id=customer)
    return target.getvalue()


def values(text: str) -> list[Any]:
    """The lines of an export by value, exact to the digit."""
    return [json.loads(line, parse_float=Decimal, parse_int=Decimal) for line in text.split("\n") if line]


def without(lines: list[Any], *names: str) -> list[Any]:
    return [{name: value for name, value in line.items() if name not in names} for line in lines]


# A recording


def test_the_recording_goes_in_whole_and_a_second_run_adds_nothing(each_ledger: Ledger) -> None:
    each_ledger.login("service", "aximo_writer", "aximo_operator", customers=("*",))
    dsn = each_ledger.dsn("service")
    lines = values(RECORDING.read_text(encoding="utf-8"))
    with EventStore(dsn, customer_id="acme") as store:
        for inserted, duplicates in ((49, 0), (0, 49)):
            with RECORDING.open("rb") as source:
                assert counts(import_runs(store, source)) == (49, inserted, duplicates, 0)
        runs = store.runs.list()
        assert {run.run_id for run in runs} == {line["run_id"] for line in lines}
        for run in runs:
            own = [line for line in lines if line["run_id"] == run.run_id]
            events = store.runs.events(run.run_id)
            assert [(each.kind, each.message, each.data) for each in events] == [
                (line["kind"], line["message"], line["data"]) for line in own
            ]
            assert [each.extra for each in events] == [
                {"imported_from": {"event_id": line["event_id"]}} for line in own
            ]
            ends = {"run.succeeded": "succeeded", "run.failed": "failed", "run.blocked": "blocked"}
            assert run.status == next((ends[line["kind"]] for line in own if line["kind"] in ends), run.status)
    text = exported(dsn, "acme")
    assert without(values(text), "event_id", "created_at", "extra", "customer_id", "recorded_at", "recorded_by") == (
        without(lines, "event_id", "created_at")
    )


def test_an_export_goes_into_another_database_without_loss_and_back_adds_nothing(
    ledger_: Ledger, each_ledger: Ledger, dsn: str, store: EventStore, customer: str, run_id: str
) -> None:
    other = f"{run_id}-2"
    digits = "12345678901234567890123456789012345678901234567890"
    lines = [
        run_row(run_id, result_json={"n": "N", "text": "\u2028🙂\\"}, environment=[1, None], exit_code=-1, error="\r\n")
        .replace('"N"', digits),
        run_row(other, status="queued", started_at=None, execution_id="exec é"),
        *(row(run_id, kind, data={"n": "N"}).replace('"N"', number) for kind, number in (
            ("a", digits), ("b", "0.1000000000000000000000000000000000000000001"), ("c", "1.50"), ("d", "-1E-30"),
            ("e", "9007199254740993"), ("f", "1" * 300),
        )),
        row(other, "kühl\u202e", message="\n\u2028 \"'", data={"": [{}, [], True, None, "\x01\x7f"]}, colour="red"),
        row(other, event_id=7, recorded_by="x", extra={"shape": "old"}, ts="kept beside"),
        row(other), row(other), row(other, created_at="2026-03-01T14:00:00.123456+02:00"),
    ]  # fmt: skip
    assert counts(take(store, *lines)) == (len(lines), len(lines), 0, 0)
    runs, events = exported_runs(dsn, customer), exported(dsn, customer)
    assert len(values(runs)) == 2
    assert values(runs)[0]["result_json"] == {"n": Decimal(digits), "text": "\u2028🙂\\"}
    each_ledger.login("elsewhere", "aximo_writer", "aximo_operator", customers=("*",))
    there = each_ledger.dsn("elsewhere")
    both = (runs + events).encode()
    with EventStore(there) as second:
        assert counts(import_runs(second, io.BytesIO(both), batch_size=3)) == (len(lines), len(lines), 0, 0)
        assert counts(import_runs(second, io.BytesIO(both))) == (len(lines), 0, len(lines), 0)
    own = ("recorded_at", "recorded_by")
    assert without(values(exported_runs(there, customer)), *own) == without(values(runs), *own)
    here, copied = values(events), values(exported(there, customer))
    for line in here:  # where it came from is kept beside it, and where that had it from
        came = {name: line[name] for name in ("event_id", *own)}
        before = line.get("extra", {}).get("imported_from")
        line["extra"] = {
            **line.get("extra", {}),
            "imported_from": came if before is None else {**came, "imported_from": before},
        }
    assert without(copied, "event_id", *own) == without(here, "event_id", *own)
    # Back where it came from, it adds nothing; nor does the copy's own export.
    for text in (both.decode(), exported_runs(there, customer) + exported(there, customer)):
        assert counts(import_runs(store, io.BytesIO(text.encode()))) == (len(lines), 0, len(lines), 0)


def _values() -> st.SearchStrategy[Any]:
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
    leaves = st.one_of(
        st.none(), st.booleans(), st.integers(-(10**40), 10**40), st.floats(allow_nan=False, allow_infinity=False), text
    )
    return st.dictionaries(
        text,
        st.recursive(
            leaves,
            lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(text, inner, max_size=4)),
            max_leaves=12,
        ),
        max_size=4,
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.lists(st.one_of(st.none(), _values()), min_size=1, max_size=4), as_ascii=st.booleans())
def test_any_data_survives_import_and_export_by_value(dsn: str, data: list[Any], as_ascii: bool) -> None:
    customer, run_id = f"customer-{uuid4()}", f"run-{uuid4()}"
    lines = [
        json.dumps({"ts": MOMENT, "kind": "k", "message": "m", "data": each}, ensure_ascii=as_ascii) for each in data
    ]
    wanted = [line["data"] for line in values("\n".join(lines))]
    with EventStore(dsn, customer_id=customer) as store:
        assert counts(reconcile(store, run_id, *lines)) == (len(data), len(data), 0, 0)
        target = io.StringIO()
        assert export_run_log(dsn, target, run_id, customer_id=customer) == len(data)
        assert [line["data"] for line in values(target.getvalue())] == wanted
        assert [line["data"] for line in values(exported(dsn, customer))] == wanted
        # Elsewhere, and back.
        assert counts(reconcile(store, f"{run_id}-2", target.getvalue().rstrip("\n")))[1:] == (len(data), 0, 0)
        assert reconcile(store, run_id, target.getvalue().rstrip("\n")).missing_here == []
        assert counts(take(store, exported(dsn, customer).rstrip("\n")))[1:] == (0, 2 * len(data), 0)


def test_a_log_has_milliseconds_where_there_is_nothing_finer(dsn: str) -> None:
    customer, run_id = f"customer-{uuid4()}", f"run-{uuid4()}"
    moments = {"2026-11-21T20:43:17.562Z": 562000, "2026-11-21T20:43:18.000Z": 0, "2026-11-21T20:43:18.000001Z": 1}
    lines = [json.dumps({"ts": moment, "kind": "k", "message": None, "data": None}) for moment in moments]
    with EventStore(dsn, customer_id=customer) as store:
        reconcile(store, run_id, *lines)
    target = io.StringIO()
    export_run_log(dsn, target, run_id, customer_id=customer)
    assert [json.loads(line)["ts"] for line in target.getvalue().splitlines()] == list(moments)


# Identity


def test_the_same_event_written_otherwise_is_the_same(store: EventStore, run_id: str) -> None:
    plain = row(run_id, data={"a": 1, "b": [1.5, {"c": 2}]})
    assert counts(take(store, plain)) == (1, 1, 0, 0)
    event = json.loads(plain)
    for other in (
        json.dumps(dict(reversed(event.items())), separators=(",", ":")),
        plain.replace("1.5", "15.0e-1").replace('"a": 1', '"a": 1.00'),
        plain.replace("exec.plan", "exec\\u002eplan"),
        plain.replace(MOMENT, "2026-03-01 13:00:00.123456789+01:00"),
        plain.replace(MOMENT, "2026-03-01t12:00:00.123456z"),
        plain.replace('"message": null, ', ""),
        plain.replace('"created_at"', '"ts"'),
        json.dumps({**event, "event_id": 5, "recorded_at": MOMENT, "recorded_by": "x", "colour": "red"}),
        b"\xef\xbb\xbf  \t" + plain.encode() + b" \r",
    ):
        assert counts(take(store, other)) == (1, 0, 1, 0), other


@pytest.mark.parametrize("batch_size", [1, 2, 1000])
def test_identical_lines_are_kept_apart_whatever_their_form(store: EventStore, run_id: str, batch_size: int) -> None:
    forms = [row(run_id, data={"n": 0}), row(run_id, data={"n": -0.0}), row(run_id, data={"n": 0}, message=None)]
    lines = [*forms, forms[0].replace("123456Z", "123456+00:00"), row(run_id, data={"n": 1})]
    assert counts(take(store, *lines, batch_size=batch_size)) == (5, 5, 0, 0)
    assert counts(take(store, *reversed(lines), batch_size=batch_size)) == (5, 0, 5, 0)
    assert counts(take(store, *lines, forms[1], batch_size=batch_size)) == (6, 1, 5, 0)  # a fifth one is new


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", '"1"'),
        ("1", "true"),
        ("[1]", "1"),
        ("null", "0"),
        ("1.0000000000000000000001", "1.0000000000000000000002"),
    ],
)
def test_other_data_is_another_event(store: EventStore, run_id: str, one: str, other: str) -> None:
    for value in (one, other):
        assert counts(take(store, row(run_id, data={"n": "N"}).replace('"N"', value))) == (1, 1, 0, 0)


class InterruptedHereError(Exception):
    pass


@pytest.mark.parametrize("after", [1, 3])
def test_an_interrupted_import_goes_on_when_it_is_run_again(store: EventStore, run_id: str, after: int) -> None:
    lines = [row(run_id, data={"n": place // 3}) for place in range(50)]
    calls = 0

    def progress(position: int, summary: ImportSummary) -> None:
        nonlocal calls
        calls += 1
        if calls == after:
            raise InterruptedHereError

    with pytest.raises(InterruptedHereError):
        take(store, *lines, batch_size=10, progress=progress)
    assert len(store.runs.events(run_id)) == 10 * after
    assert counts(take(store, *lines, batch_size=7)) == (50, 50 - 10 * after, 10 * after, 0)
    assert [event.data for event in store.runs.events(run_id)] == [{"n": place // 3} for place in range(50)]


def test_two_imports_of_a_file_at_once_add_it_once(dsn: str, customer: str) -> None:
    names = [f"run-{uuid4()}" for _ in range(6)]
    lines = [row(name, data={"n": n // 2}) for n in range(10) for name in names]

    def once(batch_size: int) -> ImportSummary:
        with EventStore(dsn, customer_id=customer) as store:
            return take(store, *lines, batch_size=batch_size)

    with ThreadPoolExecutor(4) as threads:
        summaries = list(threads.map(once, (1000, 60, 1000, 7)))
    assert sum(summary.inserted for summary in summaries) == len(lines)
    assert [summary.refused for summary in summaries] == [0] * 4
    with EventStore(dsn, customer_id=customer) as store:
        for name in names:
            assert [event.data for event in store.runs.events(name)] == [{"n": n // 2} for n in range(10)]


def test_a_moment_is_the_same_whatever_the_session_says(
    dsn: str, store: EventStore, customer: str, run_id: str
) -> None:
    line = row(run_id, created_at="2026-03-01T13:00:00+01:00")
    with psycopg.connect(
        dsn, autocommit=True, options="-c timezone=America/New_York -c datestyle=SQL,DMY"
    ) as connection:
        assert counts(take(EventStore(connection, customer_id=customer), line, run_row(f"{run_id}-2"))) == (2, 2, 0, 0)
        assert values(exported(dsn, customer))[0]["created_at"] == "2026-03-01T12:00:00.000000Z"
    assert counts(take(store, line)) == (1, 0, 1, 0)


# Whose, and of which run


def test_a_run_of_another_customer_is_none(store: EventStore, customer: str, run_id: str) -> None:
    assert counts(take(store, row(run_id))) == (1, 1, 0, 0)
    other = f"{customer}-2"
    summary = take(store, row(run_id), run_row(run_id), customer_id=other, on_error="reject")
    assert [(each.line_number, each.code) for each in summary.first_refusals] == [(1, "ZXDUP"), (2, "ZXDUP")]
    summary = take(store, row(run_id), customer_id=other, create_runs=False, on_error="reject")
    assert [(each.code, each.rule) for each in summary.first_refusals] == [("ZXRUN", "run_known")]
    assert store.runs.list(customer_id=other) == []


def test_a_file_may_be_of_several_customers_and_of_those_that_were_granted(
    ledger_: Ledger, customer: str, run_id: str
) -> None:
    login = ledger_.login(f"login-{uuid4()}", "aximo_writer", customers=(customer, f"{customer}-2"))
    lines = [
        row(f"{run_id}{place % 3}", customer_id=[customer, f"{customer}-2", "another"][place % 3], data={"n": place})
        for place in range(9)
    ]
    with EventStore(ledger_.dsn(login)) as store:
        summary = take(store, *lines, on_error="reject")
        assert counts(summary) == (9, 6, 0, 3)
        assert {(each.line_number, each.code) for each in summary.first_refusals} == {
            (3, "ZXCUS"), (6, "ZXCUS"), (9, "ZXCUS"),
        }  # fmt: skip
        for place, name in enumerate((customer, f"{customer}-2")):
            events = store.runs.events(f"{run_id}{place}", customer_id=name)
            assert [event.data for event in events] == [{"n": place + 3 * n} for n in range(3)]
        with pytest.raises(CustomerError):
            reconcile(store, run_id, said())
        with pytest.raises(CustomerError):
            reconcile(store, run_id, said(), customer_id="another")


def test_a_reader_compares_and_adds_nothing(ledger_: Ledger, store: EventStore, customer: str, run_id: str) -> None:
    reconcile(store, run_id, said())
    login = ledger_.login(f"login-{uuid4()}", "aximo_reader", customers=(customer,))
    with EventStore(ledger_.dsn(login)) as reader:
        found = reconcile(reader, run_id, said(), said("another"))
        assert ([each.line_number for each in found.missing_here], found.inserted) == ([2], 0)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reconcile(reader, run_id, said("another"), add_missing=True)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            take(reader, row(run_id))


def test_runs_are_taken_as_they_are_and_stay_so(store: EventStore, run_id: str) -> None:
    lines = [
        run_row(run_id, status="failed", error="it broke", exit_code=3, finished_at="2026-03-01T12:00:01+00:00"),
        row(run_id, "run.failed"),
        run_row(f"{run_id}-2", status="queued"),
    ]
    assert counts(take(store, *lines)) == (3, 3, 0, 0)
    assert counts(take(store, *lines)) == (3, 0, 3, 0)
    run = store.runs.get(run_id)
    assert run is not None
    assert (run.status, run.error, run.exit_code, run.tool_name) == ("failed", "it broke", 3, "align")
    # What is there stays; under another tool's name it is another run.
    assert counts(take(store, run_row(run_id, status="queued"))) == (1, 0, 1, 0)
    summary = take(store, run_row(run_id, tool_name="other"), on_error="reject")
    assert [each.rule for each in summary.first_refusals] == ["run_id_names_one_run"]
    assert store.runs.get(run_id) == run


# Bad lines

BAD: dict[str, tuple[Callable[[str], str | bytes], str, str]] = {
    "not JSON": (lambda r: "{not json}", "ZXARG", "json_well_formed"),
    "truncated": (lambda r: row(r)[:-5], "ZXARG", "json_well_formed"),
    "NaN": (lambda r: row(r, data={"n": float("nan")}), "ZXARG", "json_well_formed"),
    "Infinity": (lambda r: row(r, data={"n": float("inf")}), "ZXARG", "json_well_formed"),
    "a raw NUL": (lambda r: row(r, message="X").replace("X", "\x00"), "ZXARG", "json_well_formed"),
    "an escaped NUL": (lambda r: row(r, data={"n": ["\x00"]}), "ZXARG", "no_nul_character"),
    "an escaped NUL in a key": (lambda r: row(r, data={"\x00": 1}), "ZXARG", "no_nul_character"),
    "a lone surrogate": (lambda r: row(r, data={"n": "X"}).replace("X", "\\ud800"), "ZXARG", "json_well_formed"),
    "a lone surrogate in the kind": (lambda r: row(r, "X").replace("X", "\\udc00"), "ZXARG", "json_well_formed"),
    "a lone surrogate in the run": (lambda r: row("X").replace("X", "\\udc00"), "ZXARG", "json_well_formed"),
    "not UTF-8": (lambda r: row(r, message="X").encode().replace(b"X", b"\xff"), "ZXARG", "text_is_utf_8"),
    "an array": (lambda r: "[1]", "ZXARG", "event_is_object"),
    "a string": (lambda r: '"x"', "ZXARG", "event_is_object"),
    "a key twice": (lambda r: row(r)[:-1] + ', "kind": "x"}', "ZXARG", "keys_are_unique"),
    "a key twice, deep": (
        lambda r: row(r, data={"a": [{"k": 1}]}).replace('"k": 1', '"k": 1, "\\u006b": 1'),
        "ZXARG",
        "keys_are_unique",
    ),
    "a lone surrogate twice": (
        lambda r: row(r, data={"k": 1}).replace('"k": 1', '"\\ud800": 1, "\\ud800": 1'),
        "ZXARG",
        "keys_are_unique",
    ),
    "too deep": (lambda r: row(r, data="D").replace('"D"', '{"a":' * 100_000 + "1" + "}" * 100_000), "ZXARG", "json_depth"),
    "a number out of range": (
        lambda r: row(r, data={"n": "N"}).replace('"N"', "1e200000"),
        "ZXARG",
        "number_in_range",
    ),
    "a number too close to zero": (
        lambda r: row(r, data={"n": "N"}).replace('"N"', "1e-20000"),
        "ZXARG",
        "number_in_range",
    ),
    "extreme numbers": (
        lambda r: row(r, data={"n": "N", "t": "x" * 3000}).replace('"N"', "1e500"),
        "ZXARG",
        "run_event_numbers",
    ),
    "too large": (lambda r: row(r, data={"n": "x" * 8_400_000}), "ZXARG", "run_event_size"),
    "no run": (lambda r: said(), "ZXARG", "run_id_present"),
    "a run that is null": (lambda r: row(r, run_id=None), "ZXARG", "run_id_present"),
    "a run that is a number": (lambda r: row(r, run_id=5), "ZXARG", "run_id_is_string"),
    "a run without a name": (lambda r: row(""), "ZXARG", "run_id_length"),
    "a run with a long name": (lambda r: row("x" * 256), "ZXARG", "run_id_length"),
    "no kind": (lambda r: json.dumps({"run_id": r, "ts": MOMENT}), "ZXARG", "kind_present"),
    "an empty kind": (lambda r: row(r, ""), "ZXARG", "kind_present"),
    "a kind that is a number": (lambda r: row(r, kind=1), "ZXARG", "kind_present"),
    "a message that is a number": (lambda r: row(r, message=1), "ZXARG", "message_is_string"),
    "data that is a list": (lambda r: row(r, data=[1]), "ZXARG", "data_is_object"),
    "data that is text": (lambda r: row(r, data="x"), "ZXARG", "data_is_object"),
    "a customer that is a number": (lambda r: row(r, customer_id=1), "ZXARG", "customer_id_is_string"),
    "no moment": (lambda r: row(r, created_at=None), "ZXARG", "run_event_moment"),
    "a moment that is a number": (lambda r: row(r, created_at=1), "ZXARG", "run_event_moment"),
    "a moment that changes": (lambda r: row(r, created_at="now"), "ZXARG", "run_event_moment"),
    "a moment without an end": (lambda r: row(r, created_at="infinity"), "ZXARG", "run_event_moment"),
    "a moment without an offset": (lambda r: row(r, created_at="2026-03-01T12:00:00"), "ZXARG", "run_event_moment"),
    "a moment that is none": (lambda r: row(r, created_at="2026-02-30T12:00:00Z"), "ZXARG", "run_event_moment"),
    "a moment long ago": (lambda r: row(r, created_at="1969-12-31T23:59:59Z"), "ZXARG", "run_event_moment"),
    "a run with another field": (lambda r: run_row(f"{r}-", colour="red"), "ZXARG", "field_known"),
    "a run with another status": (lambda r: run_row(f"{r}-", status="lost"), "ZXARG", "runs_status_check"),
    "a run whose tool is a number": (lambda r: run_row(f"{r}-", tool_name=1), "ZXARG", "field_is_string"),
    "a run without a tool": (lambda r: run_row(f"{r}-", tool_name=None), "ZXARG", "tool_name_length"),
    "a run that began now": (lambda r: run_row(f"{r}-", started_at="now"), "ZXARG", "run_event_moment"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_line_is_named_refused_and_written_to_the_rejects(
    store: EventStore, run_id: str, kind: str, tmp_path: Path
) -> None:
    make, code, rule = BAD[kind]
    bad = make(run_id)
    good = [row(run_id, data={"n": n}) for n in range(6)]
    with (tmp_path / "rejects").open("w+", encoding="utf-8") as rejects:
        summary = take(store, *good[:3], bad, *good[3:], on_error="reject", rejects=rejects)
        rejects.seek(0)
        (rejected,) = [json.loads(each) for each in rejects]
    assert counts(summary) == (7, 6, 0, 1)
    (refusal,) = summary.first_refusals
    assert (refusal.line_number, refusal.code, refusal.rule) == (4, code, rule)
    assert rejected == refusal.as_json()
    if isinstance(bad, str):
        assert rejected["line"] == bad
    assert [event.data for event in store.runs.events(run_id)] == [{"n": n} for n in range(6)]
    assert counts(take(store, *good)) == (6, 0, 6, 0)


@pytest.mark.parametrize("kind", ["not JSON", "an escaped NUL", "a moment long ago"])
def test_stopping_leaves_exactly_the_lines_before_and_of_a_log_nothing(
    store: EventStore, run_id: str, kind: str
) -> None:
    good = [row(run_id, data={"n": n}) for n in range(6)]
    lines = [*good[:3], BAD[kind][0](run_id), *good[3:]]
    with pytest.raises(ImportStoppedError) as caught:
        reconcile(store, run_id, *lines, batch_size=2)
    assert (caught.value.refusal.line_number, caught.value.refusal.rule) == (4, BAD[kind][2])
    assert (caught.value.summary.inserted, caught.value.summary.refused) == (0, 1)
    assert store.runs.get(run_id) is None
    with pytest.raises(ImportStoppedError) as caught:
        take(store, *lines, batch_size=2)
    assert (caught.value.refusal.line_number, caught.value.summary.inserted) == (4, 3)
    assert [event.data for event in store.runs.events(run_id)] == [{"n": n} for n in range(3)]


def test_of_a_callers_transaction_a_stopped_log_leaves_nothing(dsn: str, customer: str, run_id: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        joined = EventStore(connection, customer_id=customer)
        with connection.transaction():
            with pytest.raises(ImportStoppedError):
                reconcile(joined, run_id, said(), said("b"), said(data={"n": "\x00"}), batch_size=1)
            assert joined.runs.get(run_id) is None
            assert counts(reconcile(joined, run_id, said(), said("b"))) == (2, 2, 0, 0)
        assert len(joined.runs.events(run_id)) == 2


def test_a_line_that_is_too_long_is_refused_without_losing_the_next(store: EventStore, run_id: str) -> None:
    long = row(run_id, message="x" * (LONGEST_LINE + 100))
    summary = take(store, row(run_id), long, row(run_id, "after"), on_error="reject")
    assert counts(summary) == (3, 2, 0, 1)
    assert [(each.line_number, each.rule) for each in summary.first_refusals] == [(2, "run_event_size")]


def test_an_event_as_large_as_can_be_goes_in_and_out(dsn: str, store: EventStore, customer: str, run_id: str) -> None:
    data = {"n": "\x01" * 170_000}  # six characters each, as text
    assert counts(take(store, row(run_id, data=data), row(run_id))) == (2, 2, 0, 0)
    assert [line["data"] for line in values(exported(dsn, customer))] == [data, None]


def test_a_truncated_last_line_is_refused_and_goes_in_when_it_is_whole(store: EventStore, run_id: str) -> None:
    whole = "\r\n".join(["", *(row(run_id, data={"n": n}) for n in range(4))]).encode()
    with pytest.raises(ImportStoppedError) as caught:
        import_runs(store, io.BytesIO(whole[:-10]))
    assert caught.value.refusal.line_number == 5
    assert counts(import_runs(store, io.BytesIO(b"\xef\xbb\xbf" + whole))) == (4, 1, 3, 0)


def test_without_making_runs_only_events_of_known_ones_are_taken(store: EventStore, run_id: str) -> None:
    lines = [run_row(run_id), row(run_id), row(f"{run_id}-2")]
    summary = take(store, *lines, create_runs=False, on_error="reject")
    assert counts(summary) == (3, 2, 0, 1)
    assert [(each.line_number, each.code, each.rule) for each in summary.first_refusals] == [(3, "ZXRUN", "run_known")]
    with pytest.raises(ImportStoppedError) as caught:
        reconcile(store, f"{run_id}-2", said(), create_runs=False)
    assert caught.value.refusal.rule == "run_known"


# The log artifact of a run


def test_a_log_is_added_once_then_compared(dsn: str, store: EventStore, customer: str, run_id: str) -> None:
    lines = LOG.read_bytes().splitlines()
    added = reconcile(store, run_id, *lines)
    assert (counts(added), added.compared, added.is_complete) == ((5, 5, 0, 0), False, True)
    again = reconcile(store, run_id, *lines)
    assert (counts(again), again.compared, again.is_complete) == ((5, 0, 5, 0), True, True)
    assert (again.missing_here, again.missing_there) == ([], [])
    target = io.StringIO()
    assert export_run_log(dsn, target, run_id, customer_id=customer) == 5
    told = [{**line, "ts": line["ts"].replace("000Z", "Z")} for line in values(target.getvalue())]
    assert told == values(LOG.read_text(encoding="utf-8"))


def test_what_is_missing_is_told_by_line_and_by_event_and_added_only_if_told(store: EventStore, run_id: str) -> None:
    lines = LOG.read_text(encoding="utf-8").splitlines()
    reconcile(store, run_id, lines[0], lines[3], said("only.here"))
    before = store.runs.events(run_id)
    log = [lines[0], "", *lines[1:]]
    for _ in range(2):
        found = reconcile(store, run_id, *log, batch_size=2)
        assert counts(found) == (5, 0, 2, 0)
        assert [(each.line_number, each.kind) for each in found.missing_here] == [
            (3, "slurm.submit.plan"), (4, "slurm.submit.script_artifact"), (6, "run.queued"),
        ]  # fmt: skip
        assert [(each.event_id, each.kind) for each in found.missing_there] == [(before[-1].event_id, "only.here")]
        assert not found.is_complete
        assert store.runs.events(run_id) == before
    found = reconcile(store, run_id, *log, add_missing=True, batch_size=2)
    assert (counts(found), found.is_complete, len(found.missing_here)) == ((5, 3, 2, 0), True, 3)
    found = reconcile(store, run_id, *log, add_missing=True)
    assert (counts(found), found.missing_here, len(found.missing_there)) == ((5, 0, 5, 0), [], 1)


def test_the_gateways_own_events_are_told_by_what_they_say_not_by_their_clock(
    dsn: str, store: EventStore, customer: str, run_id: str
) -> None:
    take(store, run_row(run_id, status="running"))
    with psycopg.connect(dsn) as connection:
        connection.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
        for line in values(LOG.read_text(encoding="utf-8")):
            connection.execute(
                "insert into helix.run_events (run_id, kind, message, data) values (%s, %s, %s, %s)",
                (
                    run_id,
                    line["kind"],
                    line["message"],
                    json.dumps(line["data"], default=int) if line["data"] else None,
                ),
            )
    for add_missing in (False, True):
        found = reconcile(store, run_id, LOG.read_bytes().rstrip(b"\n"), add_missing=add_missing)
        assert (counts(found), found.is_complete) == ((5, 0, 5, 0), True)
    assert len(store.runs.events(run_id)) == 5


def test_of_lines_that_say_the_same_the_missing_one_is_that_whose_moment_is(store: EventStore, run_id: str) -> None:
    moments = [f"2026-03-01T12:00:0{n}Z" for n in (1, 2, 2, 3, 4)]
    lines = [said(ts=moment) for moment in moments]
    reconcile(store, run_id, lines[1], lines[3])
    found = reconcile(store, run_id, *lines)
    assert [each.line_number for each in found.missing_here] == [1, 3, 5]
    assert counts(reconcile(store, run_id, *lines, add_missing=True)) == (5, 3, 2, 0)
    assert Counter(event.ts.second for event in store.runs.events(run_id)) == {1: 1, 2: 2, 3: 1, 4: 1}
    assert reconcile(store, run_id, *lines).is_complete


def test_bad_lines_of_a_log_are_refused_in_either_case(store: EventStore, run_id: str) -> None:
    lines = [
        said(), "{", said(data={"n": "\x00"}), said("b"), row("another run"), said(data={"n": "N"}).replace('"N"', "1e200000"),
        said("c"), run_row(run_id),
    ]  # fmt: skip
    rules = [
        (2, "json_well_formed"), (3, "no_nul_character"), (5, "line_is_of_the_run"), (6, "number_in_range"), (8, "kind_present"),
    ]  # fmt: skip
    for inserted in (3, 0):
        rejects = io.StringIO()
        found = reconcile(store, run_id, *lines, on_error="reject", rejects=rejects)
        assert counts(found) == (8, inserted, 3 - inserted, 5)
        assert [(each.line_number, each.rule) for each in found.first_refusals] == rules
        assert [
            (each["line_number"], each["rule"]) for each in map(json.loads, rejects.getvalue().splitlines())
        ] == rules
        assert (found.missing_here, found.is_complete) == ([], False)


def test_two_who_bring_the_same_log_at_once_add_it_once(dsn: str, customer: str, run_id: str) -> None:
    lines = [said(data={"n": n // 2}) for n in range(30)]

    def once(_: int) -> RunLogSummary:
        with EventStore(dsn, customer_id=customer) as store:
            return reconcile(store, run_id, *lines, batch_size=7)

    with ThreadPoolExecutor(4) as threads:
        summaries = list(threads.map(once, range(4)))
    assert sum(summary.inserted for summary in summaries) == 30
    assert all(summary.is_complete for summary in summaries)


def test_an_empty_log_says_what_it_has_not(store: EventStore, run_id: str) -> None:
    assert counts(reconcile(store, run_id)) == (0, 0, 0, 0)
    reconcile(store, run_id, said())
    found = reconcile(store, run_id)
    assert (found.is_complete, [each.kind for each in found.missing_there]) == (True, ["exec.plan"])


def test_exports_of_what_is_not_there(ledger_: Ledger, dsn: str, store: EventStore, customer: str, run_id: str) -> None:
    take(store, run_row(run_id))
    target = io.StringIO()
    assert export_run_log(dsn, target, run_id, customer_id=customer) == 0
    assert export_runs(dsn, target, customer_id=customer, run_id=run_id) == 1
    login = ledger_.login(f"login-{uuid4()}", "aximo_reader", customers=("its-own",))
    for wrong, whose in ((dsn, f"{customer}-2"), (ledger_.dsn(login), customer), (ledger_.dsn(login), None)):
        with pytest.raises(RunError):
            export_run_log(wrong, io.StringIO(), run_id, customer_id=whose)
        with pytest.raises(RunError):
            export_runs(wrong, io.StringIO(), customer_id=whose, run_id=run_id)
        assert export_runs(wrong, io.StringIO(), customer_id=whose) == 0
