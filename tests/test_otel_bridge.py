"""``aximo-db otel``: executions as spans, sent to a receiver."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from typer.testing import CliRunner

from aximo_db import EventStore
from aximo_db.cli.app import app
from aximo_db.client.events import TraceStep
from aximo_db.dba.assets import recording_path
from aximo_db.lines.importer import import_lines
from aximo_db.local.embedded import EmbeddedServer
from aximo_db.otel.mapping import SCHEMA_URL, Planned, spans_of_execution, spans_of_late
from tests.conftest import BINARIES, Ledger, _cloned
from tests.events import event
from tests.otlp_sink import Sink, plain, sink

ROOT = Path(__file__).resolve().parent.parent
SERVICE = "bridge_service"
READER = "bridge_reader"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def ledger_(servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    for ledger in _cloned(servers(next(iter(BINARIES))), "fresh", "bridge_test"):
        ledger.login(SERVICE, "aximo_writer", "aximo_operator", "aximo_auditor", customers=("*",))
        ledger.login(READER, "aximo_reader", customers=("*",))
        with EventStore(ledger.dsn(SERVICE)) as store, recording_path().open("rb") as lines:
            import_lines(store, lines)
        yield ledger


@pytest.fixture
def dsn(ledger_: Ledger) -> str:
    return ledger_.dsn(SERVICE)


@pytest.fixture
def customer() -> str:
    return f"customer-{uuid4()}"


@pytest.fixture
def receiver() -> Iterator[Sink]:
    with sink() as kept:
        yield kept


def send(dsn: str, customer: str, receiver: Sink, *options: str, code: int = 0) -> str:
    """Runs the command; returns what it said."""
    done = CliRunner().invoke(
        app, ["otel", "-c", customer, "--db", dsn, "--endpoint", receiver.endpoint, *options], env={"COLUMNS": "300"}
    )
    assert done.exit_code == code, done.output
    return done.stdout + done.stderr


def attributes(span: Any) -> dict[str, Any]:
    return plain(span.attributes)


def ids_in(span: Any) -> list[str]:
    """The events that a span is made of: its own, and those that are its events."""
    marks = [plain(mark.attributes) for mark in span.events]
    own = attributes(span).get("aximo.event_ids", [])
    return [*own, *(str(mark.get("aximo.event_id", mark.get("aximo.run_event_id"))) for mark in marks)]


def check_spans(receiver: Sink) -> None:
    """What holds of spans, whatever they are of."""
    for (trace_id, _), (span, _, scope) in receiver.spans.items():
        assert scope.scope.name == "aximo_db"
        assert scope.schema_url == SCHEMA_URL
        assert span.start_time_unix_nano <= span.end_time_unix_nano
        if not span.parent_span_id:
            continue
        parent, _, _ = receiver.spans[trace_id, span.parent_span_id]
        is_inside = (
            parent.start_time_unix_nano <= span.start_time_unix_nano
            and span.end_time_unix_nano <= parent.end_time_unix_nano
        )
        assert is_inside or [link.span_id for link in span.links] == [parent.span_id]


# The recording


@pytest.mark.parametrize("customer", ["acme-hvac", "nordwind"])
def test_every_event_of_the_recording_is_in_exactly_one_span(
    ledger_: Ledger, dsn: str, customer: str, receiver: Sink
) -> None:
    send(dsn, customer, receiver, "--cursor", "recording")
    with EventStore(dsn, customer_id=customer) as store:
        entries = store.read_log(max_events=10_000)
        ended = {each.execution_id for each in store.executions() if each.outcome}
    assert ended
    covered = Counter(each for span, _, _ in receiver.spans.values() for each in ids_in(span))
    expected = {str(each.event_id) for each in entries if each.execution_id is None or each.execution_id in ended}
    assert covered == dict.fromkeys(expected, 1)
    check_spans(receiver)
    traces = {trace for trace, _ in receiver.spans}
    assert len(traces) == len(ended) + sum(each.execution_id is None for each in entries)
    assert receiver.paths == {"/v1/traces"}
    before = dict(receiver.versions)
    # What is sent again is the same to the byte, and by the cursor nothing is sent at all.
    requests = receiver.requests
    assert "0 executions sent" in send(dsn, customer, receiver, "--cursor", "recording")
    assert receiver.requests == requests
    send(dsn, customer, receiver, "--since", "1")
    assert receiver.requests == 2 * requests
    assert receiver.versions == before
    assert {len(forms) for forms in receiver.versions.values()} == {1}


def test_ids_are_made_of_what_is_sent(dsn: str, receiver: Sink) -> None:
    send(dsn, "nordwind", receiver, "--since", "1")
    with EventStore(dsn, customer_id="nordwind") as store:
        one = next(each for each in store.executions() if each.outcome)
        (trigger,) = store.iter_events(execution_id=one.execution_id, event_type="execution_triggered")
    trace_id = sha256(f"aximo-trace\nnordwind\n{one.execution_id}".encode()).digest()[:16]
    span_id = sha256(f"aximo-span\n{trigger.event_id}".encode()).digest()[:8]
    span, resource, _ = receiver.spans[trace_id, span_id]
    assert span.name == f"invoke_agent {one.skill_id}"
    assert one.started_at is not None
    assert (
        span.start_time_unix_nano
        == (one.started_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
    )
    assert resource["service.name"] == one.deployment_id
    assert resource["service.version"] == one.skill_version


# One execution with everything


def emit_story(store: EventStore) -> None:
    """Dispatched, failed, denied and forgotten actions; granted, rejected and open approvals; a breach, also a late one."""
    moment = NOON

    def emit(kind: str, payload: dict[str, Any] | None = None, **fields: Any) -> None:
        nonlocal moment
        moment += timedelta(seconds=1)
        store.emit(event(kind, "story", payload=payload or {}, timestamp=moment, **fields))

    emit("execution_triggered", {"secret": "payload-of-trigger"}, correlation_id="talk")
    emit("execution_processing")
    emit("action_prepared", {"action_id": "1", "action_type": "send_email", "approval_id": "yes", "to": "somebody"})
    emit("approval_requested", {"approval_id": "yes"}, risk_level="R3")
    emit("approval_granted", {"approval_id": "yes"}, actor="founder")
    emit("action_dispatched", {"action_id": "1", "action_type": "send_email", "approval_id": "yes"}, latency_ms=7)
    emit("action_prepared", {"action_type": "pay", "approval_id": "no", "n": "1.50"})
    emit("approval_requested", {"approval_id": "no"})
    emit("sla_breached")
    emit("approval_rejected", {"approval_id": "no", "reason": "payload-of-answer"}, actor="operator")
    emit("action_prepared", {"action_type": "call", "approval_id": "yes"})
    emit("action_failed", {"action_type": "call", "approval_id": "yes", "error": "payload-of-error"}, error_code="busy")
    emit("approval_requested", {"approval_id": "later"})
    emit("action_prepared", {"action_type": "forgotten", "approval_id": "later"})
    emit("execution_failed", error_code="gave_up")
    emit("escalation_triggered")


def test_the_names_are_those_of_the_conventions(dsn: str, customer: str, receiver: Sink) -> None:
    with EventStore(dsn, customer_id=customer) as store:
        emit_story(store)
        origin = store._session.read(
            "select aximo.log_origin()", (), lambda cursor: lambda row: row[0], call="x", customer_id=None
        )
    send(dsn, customer, receiver)
    (root,) = receiver.named("invoke_agent skill-1")
    told = attributes(root)
    assert {name: told[name] for name in told if name.startswith("gen_ai.") or name == "error.type"} == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "skill-1",
        "gen_ai.agent.id": "dep-1",
        "gen_ai.agent.version": "1.0",
        "gen_ai.conversation.id": "talk",
        "error.type": "gave_up",
    }
    assert root.status.code == 2
    assert root.kind == 1
    assert [mark.name for mark in root.events] == ["execution_processing", "sla_breached"]
    (_, resource, _) = next(iter(receiver.spans.values()))
    assert resource == {"service.name": "dep-1", "service.version": "1.0", "aximo.ledger": origin[0]}

    def seconds(span: Any) -> tuple[int, int]:
        start = int(NOON.timestamp())
        return (
            span.start_time_unix_nano // 10**9 - start,
            span.end_time_unix_nano // 10**9 - start,
        )

    (done,) = receiver.named("execute_tool send_email")
    told = attributes(done)
    assert (told["gen_ai.operation.name"], told["gen_ai.tool.name"], told["gen_ai.tool.call.id"]) == (
        "execute_tool",
        "send_email",
        "1",
    )
    assert told["gen_ai.tool.type"] == "function"
    assert told["aximo.approval.id"] == "yes"
    assert "aximo.action.withheld" not in told
    assert (seconds(done), done.status.code) == ((3, 6), 0)
    (denied,) = receiver.named("execute_tool pay")
    assert attributes(denied)["aximo.action.withheld"] is True
    assert seconds(denied) == (10, 10)
    assert attributes(denied)["aximo.action.prepared_at"] == (NOON + timedelta(seconds=7)).isoformat()
    (failed,) = receiver.named("execute_tool call")
    assert (attributes(failed)["error.type"], failed.status.code, seconds(failed)) == ("busy", 2, (11, 12))
    assert "aximo.action.withheld" not in attributes(failed)
    (forgotten,) = receiver.named("execute_tool forgotten")
    assert attributes(forgotten)["aximo.action.withheld"] is True
    assert seconds(forgotten) == (14, 14)
    decisions = {}
    for name in ("yes", "no", "later"):
        (approval,) = receiver.named(f"approval {name}")
        told = attributes(approval)
        assert not any(each.startswith("gen_ai.") for each in told)
        assert approval.status.code == 0
        decisions[name] = (told["aximo.approval.decision"], told.get("aximo.approval.decided_by"), *seconds(approval))
    assert decisions == {
        "yes": ("granted", "founder", 4, 5),
        "no": ("rejected", "operator", 8, 10),
        "later": ("open", None, 13, 15),
    }
    (late,) = receiver.named("escalation_triggered")
    assert late.parent_span_id == root.span_id
    assert [link.span_id for link in late.links] == [root.span_id]
    check_spans(receiver)
    everything = repr([span for span, _, _ in receiver.spans.values()])
    assert "payload-of" not in everything
    assert "somebody" not in everything
    assert "gen_ai.tool.call.arguments" not in everything


def test_arguments_are_sent_if_asked_for_to_the_last_digit(dsn: str, customer: str, receiver: Sink) -> None:
    with EventStore(dsn, customer_id=customer) as store:
        emit_story(store)
        store.emit(event("execution_triggered", "exact"))
        store.emit(event("execution_processing", "exact"))
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("select set_config('aximo.customer_id', %s, false)", (customer,))
        connection.execute(
            "select from aximo.emit_event('action_prepared', 'dep-1', 'skill-1', '1.0', 'system',"
            """ execution_id => 'exact', payload => '{"action_type": "count", "n": 0.12345678901234567890, "m": 1.10}')"""
        )
    with EventStore(dsn, customer_id=customer) as store:
        store.emit(event("execution_failed", "exact"))
    send(dsn, customer, receiver, "--arguments")
    (exact,) = receiver.named("execute_tool count")
    sent = attributes(exact)["gen_ai.tool.call.arguments"]
    assert "0.12345678901234567890" in sent
    assert "1.10" in sent
    (done,) = receiver.named("execute_tool send_email")
    assert '"to":"somebody"' in attributes(done)["gen_ai.tool.call.arguments"]
    everything = repr([span for span, _, _ in receiver.spans.values()])
    assert "payload-of" not in everything


def test_the_withheld_actions_are_those_of_the_approvals(dsn: str, customer: str, receiver: Sink) -> None:
    with EventStore(dsn, customer_id=customer) as store:
        emit_story(store)
        for kind, payload in (
            ("execution_triggered", {}),
            ("execution_processing", {}),
            ("action_prepared", {"action_type": "cancel", "approval_id": "a"}),
            ("action_prepared", {"action_type": "wait", "action_id": "7", "approval_id": "a"}),
            ("action_prepared", {"action_type": "free", "approval_id": "b"}),
            ("approval_requested", {"approval_id": "a"}),
            ("approval_timeout", {"approval_id": "a"}),
            # Given up after the denial, and tried and failed without one.
            ("action_failed", {"action_type": "cancel", "approval_id": "a"}),
            ("action_failed", {"action_type": "free", "approval_id": "b"}),
            ("execution_completed", {}),
        ):
            store.emit(event(kind, "given up", payload=payload))
        withheld = {name for each in store.approvals() for name in each.actions_withheld or ()}
        withheld = {"wait" if name == "7" else name for name in withheld}
    send(dsn, customer, receiver)
    told = [attributes(span) for span, _, _ in receiver.spans.values() if "aximo.action.withheld" in attributes(span)]
    # What was left open when its execution failed was withheld by nobody's denial.
    denied = {each["gen_ai.tool.name"] for each in told if each["gen_ai.tool.name"] != "forgotten"}
    assert denied == withheld == {"pay", "cancel", "wait"}


# Tool runs


def test_a_tool_run_is_a_span_of_its_execution(dsn: str, customer: str, receiver: Sink) -> None:
    names = [f"run-{uuid4()}" for _ in range(2)]
    run = {"project_id": "p", "contract_version": "v1", "params_hash": "h", "policy_hash": "h", "execution_id": "e"}
    rows = [
        {
            **run,
            "run_id": names[0],
            "tool_name": "blast",
            "status": "failed",
            "created_at": "2026-03-01T12:00:01Z",
            "started_at": "2026-03-01T12:00:02Z",
            "finished_at": "2026-03-01T12:00:03Z",
        },
        {**run, "run_id": names[1], "tool_name": "rm", "status": "blocked", "created_at": "2026-03-01T12:00:01Z"},
    ]
    events = [
        {
            "run_id": names[0],
            "kind": kind,
            "created_at": "2026-03-01T12:00:02Z",
            "message": "not told",
            "data": {"a": 1},
        }
        for kind in ("run.started", "run.failed")
    ]
    with psycopg.connect(dsn) as connection:
        connection.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
        connection.execute("select helix.import_runs(%s)", (Jsonb(rows),))
        connection.execute("select helix.import_run_events(%s)", (Jsonb(events),))
    with EventStore(dsn, customer_id=customer) as store:
        store.emit(event("execution_triggered", "e", timestamp=NOON))
        store.emit(event("execution_failed", "e", timestamp=NOON + timedelta(seconds=9)))
        steps = store.trace("e")
    send(dsn, customer, receiver)
    (blast,), (blocked,) = receiver.named("execute_tool blast"), receiver.named("execute_tool rm")
    assert [mark.name for mark in blast.events] == ["run.started", "run.failed"]
    assert attributes(blast)["gen_ai.tool.call.id"] == names[0]
    assert (attributes(blast)["error.type"], blast.status.code) == ("_OTHER", 2)
    assert attributes(blocked)["aximo.action.withheld"] is True
    check_spans(receiver)
    covered = Counter(each for span, _, _ in receiver.spans.values() for each in ids_in(span))
    expected = {str(step.event_id if step.event_id is not None else step.run_event_id) for step in steps}
    assert len(expected) == 4
    assert covered == dict.fromkeys(expected, 1)
    assert "not told" not in repr(blast)


# What has not ended, what comes late, what is not taken


def test_what_has_not_ended_is_sent_only_if_asked_for(dsn: str, customer: str, receiver: Sink) -> None:
    with EventStore(dsn, customer_id=customer) as store:
        store.emit(event("execution_triggered", "open", timestamp=NOON))
        store.emit(event("execution_processing", "open", timestamp=NOON + timedelta(seconds=1)))
        send(dsn, customer, receiver)
        assert receiver.spans == {}
        send(dsn, customer, receiver, "--open")
        (root,) = receiver.named("invoke_agent skill-1")
        assert attributes(root)["aximo.execution.open"] is True
        store.close_stale_executions(timedelta(0))
    send(dsn, customer, receiver)
    (root,) = receiver.named("invoke_agent skill-1")
    assert "aximo.execution.open" not in attributes(root)
    assert attributes(root)["error.type"] == "orphaned"
    assert len(receiver.spans) == 1


def test_what_comes_late_is_sent_when_it_comes(dsn: str, customer: str, receiver: Sink) -> None:
    with EventStore(dsn, customer_id=customer) as store:
        store.emit(event("execution_triggered", "e", timestamp=NOON))
        store.emit(event("execution_failed", "e", timestamp=NOON + timedelta(seconds=9)))
        send(dsn, customer, receiver)
        before = dict(receiver.versions)
        # Its own time is inside of the execution's, which was sent without it, and stays so.
        store.emit(event("sla_breached", "e", timestamp=NOON + timedelta(seconds=5)))
        store.emit(event("deployment_suspended", None, timestamp=NOON + timedelta(seconds=5)))
        send(dsn, customer, receiver)
    (late,) = receiver.named("sla_breached")
    (root,) = receiver.named("invoke_agent skill-1")
    assert (late.trace_id, late.parent_span_id) == (root.trace_id, root.span_id)
    (alone,) = receiver.named("deployment_suspended")
    assert alone.trace_id != root.trace_id
    send(dsn, customer, receiver, "--since", "1")
    assert before.items() <= receiver.versions.items()
    assert {len(forms) for forms in receiver.versions.values()} == {1}
    assert len(receiver.spans) == 3


def test_what_was_not_taken_comes_again(dsn: str, customer: str, receiver: Sink) -> None:
    with EventStore(dsn, customer_id=customer) as store:
        for name in ("a", "b"):
            store.emit(event("execution_triggered", name))
            store.emit(event("execution_failed", name))
        receiver.refuse = 1
        said = send(dsn, customer, receiver, code=1)
        assert "400" in said
        assert receiver.spans == {}
        (cursor,) = store.cursors()
        assert (cursor.name, cursor.number) == ("otel", 1)  # after what needed no sending
        send(dsn, customer, receiver)
        assert len(receiver.spans) == 2
        assert store.cursors()[0].behind == 0


def test_a_receiver_that_is_not_there_is_told_once(dsn: str, customer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with EventStore(dsn, customer_id=customer) as store:
        store.emit(event("sla_breached", None))
    done = CliRunner().invoke(app, ["otel", "-c", customer, "--db", dsn, "--endpoint", "http://127.0.0.1:9"])
    assert done.exit_code == 1
    assert "the receiver did not take the spans" in done.stderr
    assert "Traceback" not in done.output
    for wrong in ("127.0.0.1:4318", "ftp://a", "http://"):
        done = CliRunner().invoke(app, ["otel", "-c", customer, "--db", dsn, "--endpoint", wrong])
        assert (done.exit_code, "http://" in done.stderr) == (2, True)


def test_it_follows_and_tries_again(dsn: str, customer: str, receiver: Sink) -> None:
    receiver.refuse = 1
    command = [sys.executable, "-m", "aximo_db", "otel", "--follow", "--json", "-c", customer, "--db", dsn]
    with subprocess.Popen(
        [*command, "--endpoint", receiver.endpoint], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        with EventStore(dsn, customer_id=customer) as store:
            store.emit(event("sla_breached", None))
            assert process.stdout.readline() == '{"executions": 0, "spans": 1}\n'
            store.emit(event("execution_triggered", "e"))
            store.emit(event("execution_failed", "e"))
            assert process.stdout.readline() == '{"executions": 1, "spans": 2}\n'
        process.terminate()
        assert process.wait(30) == 143
        said = process.stderr.read()
    assert "not taken, and tried again" in said
    assert "Traceback" not in said
    assert len(receiver.spans) == 2


def test_a_reader_may_send(ledger_: Ledger, dsn: str, customer: str, receiver: Sink) -> None:
    with EventStore(dsn, customer_id=customer) as store:
        store.emit(event("sla_breached", None))
        store.advance_all()
    send(ledger_.dsn(READER), customer, receiver)
    assert len(receiver.spans) == 1


# Every history

_PAYLOADS = st.fixed_dictionaries(
    {},
    optional={
        "action_type": st.sampled_from(["x", "y", None, 7]),
        "action_id": st.sampled_from(["1", "2", None]),
        "approval_id": st.sampled_from(["a", "b", None]),
    },
)
_KINDS = [
    "execution_triggered",
    "execution_processing",
    "action_prepared",
    "action_prepared",
    "action_dispatched",
    "action_failed",
    "approval_requested",
    "approval_granted",
    "approval_rejected",
    "approval_timeout",
    "sla_breached",
    "execution_completed",
    "execution_failed",
]
#: Kinds, payloads and times in any order: also histories that break every rule, as imports take them.
_HISTORIES = st.lists(
    st.tuples(st.sampled_from(_KINDS), _PAYLOADS, st.integers(-(10**12), 10**12) | st.integers(0, 9)),
    min_size=1,
    max_size=14,
)


def steps_of(history: Sequence[tuple[str, dict[str, Any], int]], *, lawful_start: bool) -> list[TraceStep]:
    kinds = [("execution_triggered", {}, 0), *history] if lawful_start else history
    steps = []
    for place, (kind, payload, seconds) in enumerate(kinds, 1):
        moment = NOON + timedelta(milliseconds=seconds)
        fields = dict.fromkeys(("risk_level", "approval_mode", "correlation_id", "channel_type", "latency_ms"))
        steps.append(
            TraceStep(
                **fields,  # type: ignore[arg-type]
                customer_id="c",
                execution_id="e",
                step=place,
                timestamp=moment,
                since_start=timedelta(0),
                since_previous=None,
                event_type=kind,
                actor="system",
                deployment_id="d",
                skill_id="s",
                skill_version="1",
                error_code=None,
                payload=payload,
                event_id=UUID(int=place),
                answers_event_id=None,
                recorded_at=moment,
                recorded_by="x",
            )
        )
    return steps


def check_plan(spans: list[Planned], steps: list[TraceStep]) -> None:
    covered: Counter[str] = Counter()
    by_id = {span.span_id: span for span in spans}
    assert len(by_id) == len(spans)
    for span in spans:
        assert 0 <= span.start <= span.end < 2**64
        covered.update(span.attributes["aximo.event_ids"])  # type: ignore[arg-type]
        covered.update(str(mark.attributes["aximo.event_id"]) for mark in span.marks)
        if span.parent_id is not None:
            parent = by_id[span.parent_id]
            assert span.is_linked or parent.start <= span.start <= span.end <= parent.end
            assert parent.parent_id is None
        for mark in span.marks:
            assert span.start <= mark.at <= span.end
    assert covered == {str(step.event_id): 1 for step in steps}
    assert [span.parent_id for span in spans].count(None) == 1


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=_HISTORIES, lawful_start=st.booleans())
def test_every_event_of_any_history_is_in_exactly_one_span(
    history: list[tuple[str, dict[str, Any], int]], lawful_start: bool
) -> None:
    steps = steps_of(history, lawful_start=lawful_start)
    whole = spans_of_execution("l", steps)
    check_plan([*whole, *spans_of_late("l", steps)], steps)
    # What comes later changes nothing of what was sent at its end.
    ends = [place for place, step in enumerate(steps) if step.event_type in ("execution_completed", "execution_failed")]
    if ends:
        assert spans_of_execution("l", steps[: ends[0] + 1]) == whole
    for span in whole:
        if span.attributes.get("aximo.action.withheld"):
            ids = span.attributes["aximo.event_ids"]
            kinds = {step.event_type for step in steps if str(step.event_id) in ids}  # type: ignore[operator]
            assert "action_dispatched" not in kinds


# The page


def test_the_bridge_of_the_page_can_be_pasted(dsn: str, customer: str, receiver: Sink, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "otel.md").read_text(encoding="utf-8")
    part = text[text.index("## Executions as spans") :]
    block = re.search(r"^```console\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
    assert block is not None
    lines = block[1].splitlines()
    assert len(lines) <= 10
    with EventStore(dsn, customer_id="acme") as store:
        emit_story(store)
    pasted = "\n".join(line for line in lines if not line.startswith("pip install"))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", pasted],
        env={
            **os.environ,
            "AXIMO_DB_URL": dsn,
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert receiver.named("invoke_agent skill-1")
    assert receiver.named("execute_tool pay")


def test_the_client_of_the_page_takes_ten_lines() -> None:
    """The page's test runs them."""
    text = (ROOT / "docs" / "otel.md").read_text(encoding="utf-8")
    part = text[text.index("## A store's calls") :]
    block = re.search(r"^```python\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
    assert block is not None
    assert len(block[1].splitlines()) <= 10
    assert "instrument(" in block[1]


def test_the_table_of_the_page_has_every_name() -> None:
    source = (ROOT / "aximo_db" / "otel" / "mapping.py").read_text(encoding="utf-8")
    text = (ROOT / "docs" / "otel.md").read_text(encoding="utf-8")
    names = set(re.findall(r'"((?:gen_ai|aximo)\.[a-z_.]+)"', source))
    assert len(names) > 25
    assert {name for name in names if f"`{name}`" not in text} == set()
