"""Import and export of JSON lines: nothing lost, nothing doubled, nothing changed."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from aximo_db import CustomerError, EventStore, MalformedEventError
from aximo_db.dba.assets import recording_path
from aximo_db.lines.exporter import export_log
from aximo_db.lines.importer import LONGEST_LINE, ImportStoppedError, ImportSummary, import_lines
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, Ledger, _cloned
from tests.events import event

SERVICE = "import_service"


@pytest.fixture(scope="module")
def ledger_(servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    """One database for the module: every test has customers of its own in it."""
    for ledger in _cloned(servers(next(iter(BINARIES))), "fresh", "importer_test"):
        ledger.login(SERVICE, "aximo_writer", "aximo_operator", customers=("*",))
        yield ledger


@pytest.fixture
def dsn(ledger_: Ledger) -> str:
    return ledger_.dsn(SERVICE)


@pytest.fixture
def store(dsn: str) -> Iterator[EventStore]:
    with EventStore(dsn) as store:
        yield store


@pytest.fixture
def customer() -> str:
    return f"customer-{uuid4()}"


def line(customer: str, event_type: str = "sla_breached", execution_id: str | None = None, **values: Any) -> str:
    fields = {"timestamp": "2026-03-01T12:00:00+00:00", **event(event_type, execution_id), "customer_id": customer}
    return json.dumps({**fields, **values}, ensure_ascii=False)


def run(store: EventStore, *lines: str | bytes, **options: Any) -> ImportSummary:
    raw = b"".join((each if isinstance(each, bytes) else each.encode()) + b"\n" for each in lines)
    return import_lines(store, io.BytesIO(raw), **options)


def counts(summary: ImportSummary) -> tuple[int, int, int, int]:
    return summary.read, summary.inserted, summary.duplicates, summary.refused


def stored(dsn: str, customer: str) -> list[tuple[Any, ...]]:
    """Every column but those that the database sets, exact to the digit, in order of arrival."""
    query = (
        "select event_id, event_type, \"timestamp\" at time zone 'UTC', customer_id, deployment_id, skill_id,"
        " skill_version, execution_id, risk_level, approval_mode, actor, payload::text, correlation_id, channel_type,"
        " error_code, latency_ms"
        " from aximo.events join aximo.log_leaves using (customer_id, event_id) order by number"
    )
    with psycopg.connect(dsn) as connection:
        connection.execute("select aximo.advance_log(1000000)")
        connection.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
        return connection.execute(query).fetchall()


def payloads(dsn: str, customer: str) -> list[Any]:
    return [json.loads(row[11]) for row in stored(dsn, customer)]


# The recording


def test_the_recording_goes_in_whole_and_a_second_run_adds_nothing(each_ledger: Ledger) -> None:
    each_ledger.login("service", "aximo_writer", "aximo_operator", customers=("*",))
    dsn = each_ledger.dsn("service")
    lines = [json.loads(each) for each in recording_path().read_text(encoding="utf-8").splitlines()]
    with EventStore(dsn) as store:
        for inserted, duplicates in ((2438, 0), (0, 2438)):
            with recording_path().open("rb") as source:
                assert counts(import_lines(store, source)) == (2438, inserted, duplicates, 0)
        customers = sorted({each["customer_id"] for each in lines})
        assert len(customers) == 3
        executions = [each for name in customers for each in store.executions(customer_id=name)]
        assert sum(each.status == "completed" for each in executions) == 358
        assert sum(each.status == "failed" for each in executions) == 42
        told: dict[tuple[str, str], list[tuple[str, Any]]] = {}
        for each in lines:
            told.setdefault((each["customer_id"], each["execution_id"]), []).append(
                (each["event_type"], each["payload"])
            )
        assert len(told) == len(executions) == 400
        for (name, execution_id), events in told.items():
            steps = store.trace(execution_id, customer_id=name)
            assert [(step.event_type, step.payload) for step in steps] == events


# Ids of lines without one


def test_lines_with_and_without_an_event_id_go_in_once(dsn: str, store: EventStore, customer: str) -> None:
    event_id = str(uuid4())
    lines = [line(customer, event_id=event_id), line(customer), line(customer, payload={"n": 1})]
    assert counts(run(store, *lines)) == (3, 3, 0, 0)
    assert counts(run(store, *reversed(lines))) == (3, 0, 3, 0)
    assert stored(dsn, customer)[0][0].hex == event_id.replace("-", "")


def test_identical_lines_are_kept_apart_and_stay_the_same_over_runs(dsn: str, store: EventStore, customer: str) -> None:
    lines = [line(customer)] * 5 + [line(customer, payload={"n": 1})] * 3
    assert counts(run(store, *lines)) == (8, 8, 0, 0)
    ids = {row[0] for row in stored(dsn, customer)}
    assert len(ids) == 8
    for batch_size in (1, 3, 1000):
        assert counts(run(store, *lines, batch_size=batch_size)) == (8, 0, 8, 0)
    assert counts(run(store, *lines, line(customer))) == (9, 1, 8, 0)  # a sixth one is new


def _variants(customer: str) -> dict[str, list[str | bytes]]:
    plain = '{"a": 1, "b": [1.5, {"c": 2}]}'
    other = '{"b":[1.5,{"c":2}],"a":1}'
    base = json.loads(line(customer))
    ordered, backwards = json.dumps(base), json.dumps(dict(reversed(base.items())), separators=(",", ":"))
    payload = ordered.replace('"customer_id"', f'"payload": {plain}, "customer_id"')
    escaped = payload.replace("sla_breached", "sla\\u005fbreached").replace(customer, customer.replace("-", "\\u002d"))
    return {
        "key order and whitespace": [backwards.replace('"customer_id"', f'"payload":{other},"customer_id"')],
        "CRLF": [payload.encode() + b"\r"],
        "BOM": [b"\xef\xbb\xbf" + payload.encode()],
        "white space around": [b"  \t" + payload.encode() + b"  "],
        "empty lines": [b"", b"  ", payload, b"\r", b""],
        "escapes": [escaped],
        "1.50": [payload.replace("1.5", "1.50")],
        "15e-1": [payload.replace("1.5", "15e-1")],
        "0.15E+1": [payload.replace("1.5", "0.15E+1")],
        "1.0 for 1": [payload.replace('"a": 1', '"a": 1.0')],
        "10e-1 for 1": [payload.replace('"a": 1', '"a": 10e-1')],
        "recorded_at and recorded_by": [payload[:-1] + ', "recorded_at": "2026-01-01T00:00:00Z", "recorded_by": "x"}'],
        "the same": [payload],
    }


@pytest.mark.parametrize("variant", _variants(""))
def test_the_same_content_written_otherwise_gets_the_same_id(
    dsn: str, store: EventStore, customer: str, variant: str
) -> None:
    variants = _variants(customer)
    assert counts(run(store, *variants["the same"])) == (1, 1, 0, 0)
    assert counts(run(store, *variants[variant])) == (1, 0, 1, 0)
    assert len(stored(dsn, customer)) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.5", "15"),
        ("1.5", '"1.5"'),
        ("[1.5]", "1.5"),
        ('["\\u0001number", "1.5"]', "1.5"),
        ("true", "1"),
        ("null", "0"),
        ("1.0000000000000000000000000000000001", "1.0000000000000000000000000000000002"),
        ("123456789012345678901234567890123456.5", "123456789012345678901234567890123457.5"),
        ("12345678901234567890123456789012345678901", "12345678901234567890123456789012345678902"),
    ],
)
def test_other_content_gets_another_id_also_in_another_file(
    dsn: str, store: EventStore, customer: str, one: str, other: str
) -> None:
    for value in (one, other):
        text = line(customer, payload={"n": "VALUE"}).replace('"VALUE"', value)
        assert counts(run(store, text, on_error="reject")) == (1, 1, 0, 0)
    assert len({row[0] for row in stored(dsn, customer)}) == 2


def test_the_customer_of_lines_without_one_is_the_options(dsn: str, store: EventStore, customer: str) -> None:
    anonymous = json.dumps({k: v for k, v in json.loads(line(customer)).items() if k != "customer_id"})
    assert counts(run(store, anonymous, customer_id=customer)) == (1, 1, 0, 0)
    assert counts(run(store, line(customer))) == (1, 0, 1, 0)  # the same event, its customer written out
    assert counts(run(store, anonymous, customer_id=f"{customer}-2")) == (1, 1, 0, 0)
    with pytest.raises(ImportStoppedError) as caught:
        run(store, anonymous)
    assert caught.value.refusal.code == "ZXCUS"


# Several customers


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_customers_interleaved_keep_their_order_whatever_the_batch(
    dsn: str, store: EventStore, customer: str, batch_size: int
) -> None:
    names = [f"{customer}-{number}" for number in range(3)]
    lines = []
    for place in range(20):
        for name in names:
            execution = f"exec-{place // 4}"
            kind = ("execution_triggered", "execution_processing", "sla_breached", "execution_completed")[place % 4]
            lines.append(line(name, kind, execution, payload={"place": place}))
    assert counts(run(store, *lines, batch_size=batch_size)) == (60, 60, 0, 0)
    for name in names:
        assert [each["place"] for each in payloads(dsn, name)] == list(range(20))
    assert counts(run(store, *lines, batch_size=batch_size + 4)) == (60, 0, 60, 0)


# Bad lines

BAD: dict[str, tuple[Callable[[str], str | bytes], str, str]] = {
    "not JSON": (lambda c: "{not json}", "ZXARG", "json_well_formed"),
    "truncated": (lambda c: line(c)[:-5], "ZXARG", "json_well_formed"),
    "NaN": (lambda c: line(c, payload={"n": float("nan")}), "ZXARG", "json_well_formed"),
    "Infinity": (lambda c: line(c, payload={"n": float("-inf")}), "ZXARG", "json_well_formed"),
    "a raw NUL": (lambda c: line(c, payload={"n": "X"}).replace("X", "\x00"), "ZXARG", "json_well_formed"),
    "an escaped NUL": (lambda c: line(c, payload={"n": "\x00"}), "ZXARG", "no_nul_character"),
    "an escaped NUL in an id": (lambda c: line(f"{c}\x00"), "ZXARG", "no_nul_character"),
    "a lone surrogate": (lambda c: line(c, payload={"n": "X"}).replace("X", "\\ud800"), "ZXARG", "json_well_formed"),
    "a lone surrogate in the customer": (lambda c: line("X").replace("X", "\\ud800"), "ZXARG", "json_well_formed"),
    "not UTF-8": (lambda c: line(c, payload={"n": "X"}).encode().replace(b"X", b"\xff"), "ZXARG", "text_is_utf_8"),
    "an array": (lambda c: "[1, 2]", "ZXARG", "event_is_object"),
    "a number": (lambda c: "42", "ZXARG", "event_is_object"),
    "a key twice": (lambda c: line(c)[:-1] + ', "actor": "founder"}', "ZXARG", "keys_are_unique"),
    "a key twice in the payload": (
        lambda c: line(c, payload={"k": 1}).replace('"k": 1', '"k": 1, "k": 2'),
        "ZXARG",
        "keys_are_unique",
    ),
    "an unknown field": (lambda c: line(c, colour="red"), "ZXARG", "fields_known"),
    "a missing field": (lambda c: line(c, skill_id=None), "ZXARG", "skill_id_present"),
    "no execution": (lambda c: line(c, "execution_triggered", None), "ZXARG", "execution_id_present"),
    "an unknown type": (lambda c: line(c, "execution_paused", "e"), "ZXARG", "event_type_known"),
    "an unknown actor": (lambda c: line(c, actor="robot"), "ZXARG", "actor_known"),
    "a customer that is a number": (lambda c: line(c, customer_id=5), "ZXARG", "customer_id_is_string"),
    "an event_id that is a number": (lambda c: line(c, event_id=5), "ZXARG", "event_id_is_string"),
    "an event_id that is no UUID": (lambda c: line(c, event_id="five"), "ZXARG", "event_id_well_formed"),
    "a field that is a list": (lambda c: line(c, risk_level=["R3"]), "ZXARG", "risk_level_is_string"),
    "a field that is an object": (lambda c: line(c, channel_type={"a": 1}), "ZXARG", "channel_type_is_string"),
    "a timestamp that is a number": (lambda c: line(c, timestamp=1700000000), "ZXARG", "timestamp_is_string"),
    "a timestamp that is none": (lambda c: line(c, timestamp="2026-13-45"), "ZXARG", "timestamp_well_formed"),
    "a timestamp ahead": (lambda c: line(c, timestamp="2999-01-01T00:00:00Z"), "ZXARG", "timestamp_not_ahead"),
    "a negative latency": (lambda c: line(c, latency_ms=-1), "ZXARG", "milliseconds_not_negative"),
    "a payload that is a list": (lambda c: line(c, payload=[1]), "ZXARG", "payload_is_object"),
    "a payload that is too large": (lambda c: line(c, payload={"n": "x" * 1_100_000}), "ZXARG", "payload_size"),
    "a blank id": (lambda c: line(c, deployment_id=" \t"), "ZXARG", "identifier_not_blank"),
    "a long id": (lambda c: line(c, deployment_id="x" * 256), "ZXARG", "identifier_length"),
    "an event out of order": (lambda c: line(c, "execution_completed", "e"), "ZXSEQ", "triggered_first"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_line_is_named_refused_and_written_to_the_rejects(
    dsn: str, store: EventStore, customer: str, kind: str
) -> None:
    make, code, rule = BAD[kind]
    good = [line(customer, payload={"place": place}) for place in range(6)]
    bad = make(customer)
    rejects = io.StringIO()
    lines = [*good[:3], bad, *good[3:]]
    summary = run(store, *lines, on_error="reject", rejects=rejects)
    assert counts(summary) == (7, 6, 0, 1)
    (refusal,) = summary.first_refusals
    assert (refusal.line_number, refusal.code, refusal.rule) == (4, code, rule)
    (rejected,) = [json.loads(each) for each in rejects.getvalue().splitlines()]
    assert rejected == refusal.as_json()
    if isinstance(bad, str):
        assert rejected["line"] == bad
    assert [each["place"] for each in payloads(dsn, customer)] == list(range(6))
    # Corrected by leaving it out, the rest is there already.
    assert counts(run(store, *good)) == (6, 0, 6, 0)


@pytest.mark.parametrize("batch_size", [1, 2, 1000])
@pytest.mark.parametrize("kind", ["not JSON", "an unknown actor", "an event out of order"])
def test_stopping_leaves_exactly_the_lines_before(
    dsn: str, store: EventStore, customer: str, kind: str, batch_size: int
) -> None:
    good = [line(customer, payload={"place": place}) for place in range(9)]
    lines = [*good[:5], BAD[kind][0](customer), *good[5:7], BAD["not JSON"][0](customer), *good[7:]]
    with pytest.raises(ImportStoppedError) as caught:
        run(store, *lines, batch_size=batch_size)
    assert (caught.value.refusal.line_number, caught.value.refusal.code, caught.value.refusal.rule) == (
        6,
        *BAD[kind][1:],
    )
    assert (caught.value.summary.inserted, caught.value.summary.refused) == (5, 1)
    assert [each["place"] for each in payloads(dsn, customer)] == list(range(5))


def test_a_refusal_says_nothing_of_other_lines_and_only_the_first_ten_are_kept(
    store: EventStore, customer: str
) -> None:
    rejects = io.StringIO()
    summary = run(store, *["{"] * 25, line(customer), on_error="reject", rejects=rejects)
    assert counts(summary) == (26, 1, 0, 25)
    assert [each.line_number for each in summary.first_refusals] == list(range(1, 11))
    assert [json.loads(each)["line_number"] for each in rejects.getvalue().splitlines()] == list(range(1, 26))


def test_an_event_id_used_for_other_content_and_another_logins_customer_are_refused(
    ledger_: Ledger, customer: str
) -> None:
    login = ledger_.login(f"login-{uuid4()}", "aximo_writer", customers=(customer,))
    event_id = str(uuid4())
    with EventStore(ledger_.dsn(login)) as store:
        summary = run(
            store,
            line(customer, event_id=event_id),
            line(customer, event_id=event_id, payload={"n": 1}),
            line("another"),
            line(customer, event_id=event_id),
            on_error="reject",
        )
    assert counts(summary) == (4, 1, 1, 2)
    assert [(each.line_number, each.code) for each in summary.first_refusals] == [(2, "ZXDUP"), (3, "ZXCUS")]


def test_a_truncated_last_line_is_refused_and_goes_in_when_it_is_whole(
    dsn: str, store: EventStore, customer: str
) -> None:
    whole = "\n".join(line(customer, payload={"place": place}) for place in range(4)).encode()
    with pytest.raises(ImportStoppedError) as caught:
        import_lines(store, io.BytesIO(whole[:-10]))
    assert caught.value.refusal.line_number == 4
    assert len(stored(dsn, customer)) == 3
    # Without a newline at the end, too.
    assert counts(import_lines(store, io.BytesIO(whole))) == (4, 1, 3, 0)


@pytest.mark.parametrize(
    "value", ["1e1000000", "1e-1000000", "1e999999999999999999", "1" * 300, "1." + "1" * 300, "-0.0"]
)
def test_a_number_of_any_size_is_stored_to_the_digit_or_refused(
    dsn: str, store: EventStore, customer: str, value: str
) -> None:
    for event_id in (None, str(uuid4())):
        text = line(customer, payload={"n": "VALUE"}, event_id=event_id).replace('"VALUE"', value)
        before = len(stored(dsn, customer))
        summary = run(store, text, line(customer, payload={"good": event_id}), on_error="reject")
        assert summary.inserted + summary.refused == 2
        assert len(stored(dsn, customer)) - before == summary.inserted
        if summary.refused:
            assert summary.first_refusals[0].code == "ZXARG"
        if "e" not in value:
            assert summary.refused == 0
            with psycopg.connect(dsn) as connection:
                connection.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
                query = "select count(*) from aximo.events where (payload ->> 'n')::numeric = %s::numeric"
                (found,) = connection.execute(query, (value,)).fetchone() or (0,)
            assert found == (1 if event_id is None else 2)


@pytest.mark.parametrize("opening", ['{"a":', "["])
@pytest.mark.parametrize("depth", [100, 300, 330, 480, 495, 700, 900, 980, 2000, 100_000])
@pytest.mark.parametrize("with_id", [False, True])
def test_deep_json_is_stored_or_refused_and_the_rest_goes_in(
    dsn: str, store: EventStore, customer: str, opening: str, depth: int, with_id: bool
) -> None:
    closing = "}" if opening.startswith("{") else "]"
    deep = f'{{"deep":{opening * depth}1{closing * depth}}}'
    bad = line(customer, payload="DEEP", event_id=str(uuid4()) if with_id else None).replace('"DEEP"', deep)
    summary = run(store, bad, line(customer), on_error="reject")
    assert summary.read == 2
    assert summary.inserted + summary.refused == 2
    assert summary.inserted >= 1
    if summary.refused:
        assert summary.first_refusals[0].code == "ZXARG"
    if depth <= 300:
        assert summary.refused == 0
    assert len(stored(dsn, customer)) == summary.inserted


def test_a_line_that_is_too_long_is_refused_without_losing_the_next(dsn: str, store: EventStore, customer: str) -> None:
    long = line(customer, payload={"n": "x" * (LONGEST_LINE + 100)})
    for lines in ([line(customer), long, line(customer, payload={"after": 1})], [long]):
        rejects = io.StringIO()
        summary = run(store, *lines, on_error="reject", rejects=rejects)
        (refusal,) = summary.first_refusals
        assert (refusal.line_number, refusal.code, refusal.rule) == (lines.index(long) + 1, "ZXARG", "payload_size")
        assert long.startswith(refusal.line)
        assert summary.read == len(lines)
    assert payloads(dsn, customer)[-1] == {"after": 1}


# Interruptions


class InterruptedHereError(Exception):
    pass


@pytest.mark.parametrize("after", [1, 2, 4])
def test_an_interrupted_import_goes_on_when_it_is_run_again(
    dsn: str, store: EventStore, customer: str, after: int
) -> None:
    lines = [line(customer, payload={"place": place // 2}) for place in range(50)]
    calls = 0

    def progress(position: int, summary: ImportSummary) -> None:
        nonlocal calls
        calls += 1
        if calls == after:
            raise InterruptedHereError

    with pytest.raises(InterruptedHereError):
        run(store, *lines, batch_size=10, progress=progress)
    assert len(stored(dsn, customer)) == 10 * after
    assert counts(run(store, *lines, batch_size=7)) == (50, 50 - 10 * after, 10 * after, 0)
    assert [each["place"] for each in payloads(dsn, customer)] == [place // 2 for place in range(50)]


def test_progress_tells_the_bytes_read_and_the_counts(store: EventStore, customer: str) -> None:
    lines = [line(customer, payload={"place": place}) for place in range(10)]
    told: list[tuple[int, int, int]] = []
    run(
        store,
        *lines,
        batch_size=4,
        progress=lambda position, summary: told.append((position, summary.read, summary.inserted)),
    )
    sizes = [len(each) + 1 for each in lines]
    assert told == [(sum(sizes[:4]), 4, 4), (sum(sizes[:8]), 8, 8), (sum(sizes), 10, 10)]


def test_an_import_from_standard_input(dsn: str, customer: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "aximo_db", "import", "-", "--db", dsn, "--json"],
        input=f"{line(customer)}\n{line(customer)}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["inserted"] == 2
    assert len(stored(dsn, customer)) == 2


# There and back


def _every_kind_of_event(customer: str) -> list[str]:
    """Lines with every field, odd text and numbers that no float can hold."""
    dice = random.Random(7)
    odd = [
        '"',
        "\\",
        "\n",
        "\r\n",
        "\u2028",
        "\x01",
        "\x7f",
        "é",
        "日本語",
        "🙂",
        "e\u0301",
        " lead",
        "{}",
        "%s",
        "\\u0041",
    ]
    numbers = [
        "12345678901234567890123456789012345678901234567890",
        "0.1000000000000000000000000000000000000000001",
        "1.50",
        "1e20",
        "-1E-30",
        "9007199254740993",
        "3.141592653589793238462643383279502884197169399375105820974944592307816406286",
        "1" * 200,
        "0.0",
    ]
    lines = []
    for place in range(60):
        fields: dict[str, Any] = {
            "timestamp": f"2026-03-01T12:00:{place:02}.{dice.randrange(10**6):06}Z",
            "deployment_id": f"dep {dice.choice(odd)}",
            "correlation_id": dice.choice([None, "", "corr", dice.choice(odd)]),
            "channel_type": dice.choice([None, "web"]),
            "risk_level": dice.choice([None, "R2"]),
            "approval_mode": dice.choice([None, "AUTO"]),
            "error_code": dice.choice([None, dice.choice(odd)]),
            "latency_ms": dice.choice([None, 0, 2**63 - 1]),
            "actor": dice.choice(["system", "founder", "operator", "external_user"]),
            "payload": {"NUMBER": "N", "text": "".join(dice.sample(odd, 3)), dice.choice(odd): [None, True, {}, []]},
        }
        lines.append(line(customer, **fields).replace('"N"', numbers[place % len(numbers)]))
    for place in range(4):
        for event_type in ("execution_triggered", "execution_processing", "execution_failed"):
            lines.append(line(customer, event_type, f"exec {odd[place]}", error_code="E1"))
    return lines


def test_an_export_goes_into_another_database_without_loss(
    ledger_: Ledger, each_ledger: Ledger, dsn: str, store: EventStore, customer: str
) -> None:
    lines = _every_kind_of_event(customer)
    assert counts(run(store, *lines)) == (72, 72, 0, 0)
    exported = io.StringIO()
    assert export_log(dsn, exported, customer_id=customer).written == 72
    assert [row[3] for row in stored(dsn, customer)] == [customer] * 72
    each_ledger.login("elsewhere", "aximo_writer", "aximo_operator", customers=("*",))
    there = each_ledger.dsn("elsewhere")
    raw = exported.getvalue().encode()
    with EventStore(there) as second:
        assert counts(import_lines(second, io.BytesIO(raw), batch_size=17)) == (72, 72, 0, 0)
        assert counts(import_lines(second, io.BytesIO(raw))) == (72, 0, 72, 0)
    assert stored(there, customer) == stored(dsn, customer)
    # And again out of there: the same text but for what the second database recorded itself.
    again = io.StringIO()
    export_log(there, again, customer_id=customer)

    def told(text: str) -> list[str]:
        return [each.split(',"recorded_at":')[0] for each in text.split("\n") if each]

    assert told(again.getvalue()) == told(exported.getvalue())
    # Back into the first one it adds nothing.
    assert counts(import_lines(store, io.BytesIO(raw))) == (72, 0, 72, 0)


def test_an_event_with_an_integer_of_hundreds_of_digits_survives_export_and_import(
    ledger_: Ledger, one_ledger: Ledger, dsn: str, customer: str
) -> None:
    digits = "7" * 300
    with psycopg.connect(dsn, autocommit=True) as connection:
        text = line(customer, payload={"n": "N"}).replace('"N"', digits)
        connection.execute("select * from aximo.emit_events(%s::jsonb)", (f"[{text}]",))
    exported = io.StringIO()
    assert export_log(dsn, exported, customer_id=customer).written == 1
    one_ledger.login("elsewhere", "aximo_writer", "aximo_operator", customers=("*",))
    with EventStore(one_ledger.dsn("elsewhere")) as second:
        summary = import_lines(second, io.BytesIO(exported.getvalue().encode()), on_error="reject")
    assert counts(summary) == (1, 1, 0, 0)
    assert stored(one_ledger.dsn("elsewhere"), customer) == stored(dsn, customer)


def test_an_export_of_a_customer_that_was_not_granted_is_refused(ledger_: Ledger, dsn: str, customer: str) -> None:
    with EventStore(dsn) as store:
        run(store, line(customer))
    login = ledger_.login(f"login-{uuid4()}", "aximo_reader", customers=("its-own",))
    target = io.StringIO()
    with pytest.raises(CustomerError):
        export_log(ledger_.dsn(login), target, customer_id=customer)
    assert target.getvalue() == ""


def test_what_the_importer_refuses_is_what_the_store_refuses(store: EventStore, customer: str) -> None:
    """The same rule for the same fault, whichever way an event comes."""
    for kind in ("an unknown actor", "an unknown field", "a blank id", "a missing field", "a timestamp ahead"):
        make, _, rule = BAD[kind]
        text = make(customer)
        assert isinstance(text, str)
        with pytest.raises(MalformedEventError) as caught:
            store.emit(json.loads(text))
        assert caught.value.rule == rule


@pytest.mark.heavy
def test_a_hundred_thousand_lines_go_in_at_steady_memory(store: EventStore, customer: str, tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    with path.open("w", encoding="utf-8") as target:
        for place in range(100_000):
            target.write(line(customer, payload={"place": place, "filler": "x" * 500}) + "\n")
    import tracemalloc

    tracemalloc.start()
    with path.open("rb") as source:
        assert counts(import_lines(store, source)) == (100_000, 100_000, 0, 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60_000_000
    with path.open("rb") as source:
        assert counts(import_lines(store, source)) == (100_000, 0, 100_000, 0)
