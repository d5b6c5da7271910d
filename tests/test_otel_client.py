"""``aximo_db.otel.instrument``: what it tells of calls, and what it never tells."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib.metadata import requires
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from aximo_db import (
    AsyncEventStore,
    AximoError,
    ConnectionLostError,
    DuplicateEventError,
    EventStore,
    MalformedEventError,
    NewEvent,
    SequenceError,
)
from aximo_db.client.runs import Runs
from aximo_db.local.embedded import EmbeddedServer
from aximo_db.otel import instrument, traced
from aximo_db.otel.watching import CALLS
from tests.conftest import BINARIES, Ledger, _cloned
from tests.events import event
from tests.test_connections import NO_CALLS

SERVICE = "otel_service"
SENTINEL = "Sentinel-of-somebody"
COMMON = {"deployment_id": SENTINEL, "skill_id": SENTINEL, "skill_version": SENTINEL}


def new(event_type: str = "sla_breached", execution_id: str | None = None, **values: Any) -> NewEvent:
    return NewEvent(**event(event_type, execution_id, **{**COMMON, "payload": {SENTINEL: SENTINEL}, **values}))


@pytest.fixture(scope="module")
def ledger_(servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    for ledger in _cloned(servers(next(iter(BINARIES))), "fresh", "otel_client_test"):
        ledger.login(SERVICE, "aximo_writer", "aximo_operator", "aximo_auditor", customers=("*",))
        yield ledger


@pytest.fixture
def dsn(ledger_: Ledger) -> str:
    return ledger_.dsn(SERVICE)


class Told:
    """What was told: spans in the order of their ends, and measurements."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader])

    def watch(self, store: Any, **options: Any) -> Any:
        return instrument(store, tracer_provider=self.tracers, meter_provider=self.meters, **options)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def points(self, name: str) -> dict[tuple[tuple[str, Any], ...], Any]:
        data = self._reader.get_metrics_data()
        found: dict[tuple[tuple[str, Any], ...], Any] = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points if metric.name == name else ():
                        key = tuple(sorted((point.attributes or {}).items()))
                        found[key] = point.value if hasattr(point, "value") else (point.count, point.sum)
        return found

    def everything(self) -> str:
        """All of it but the resource, which is the process's, as text."""
        data = self._reader.get_metrics_data()
        return "\n".join([span.to_json() for span in self.spans] + ([data.to_json()] if data else []))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def customer() -> str:
    return f"{SENTINEL}-{uuid4()}"


# Every public method

#: Every public method with arguments that hold the sentinel wherever there is a place for it.
METHODS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "emit": ((new(),), {}),
    "emit_batch": (([new(), new()],), {}),
    "emit_many": (([new() for _ in range(3)],), {"batch_size": 2}),
    "execution": ((), {**COMMON, "payload": {SENTINEL: SENTINEL}, "correlation_id": SENTINEL}),
    "close_stale_executions": ((timedelta(days=36500),), {}),
    "advance_log": ((), {}),
    "advance_all": ((), {}),
    "refresh_metrics": ((True,), {}),
    "consume": (("consumer", 3), {}),
    "trace": ((SENTINEL,), {}),
    "executions": ((), {"execution_id": SENTINEL, "deployment_id": SENTINEL}),
    "open_executions": ((), {"deployment_id": SENTINEL}),
    "approvals": ((), {"execution_id": SENTINEL}),
    "deployments": ((), {}),
    "deployment_versions": ((SENTINEL,), {}),
    "iter_events": ((), {"execution_id": SENTINEL, "correlation_id": SENTINEL, "page_size": 2}),
    "metrics": (("execution_health",), {}),
    "read_log": ((), {"advance": True}),
    "log_size": ((), {}),
    "cursors": ((), {}),
    "subscribe": (("subscriber",), {"follow": False, "max_events": 2}),
    "runs.list": ((), {"tool_name": SENTINEL, "project_id": SENTINEL}),
    "runs.get": ((SENTINEL,), {}),
    "runs.events": ((SENTINEL,), {}),
    "runs.iter_events": ((SENTINEL,), {}),
    "runs.kinds": ((), {}),
    "runs.observe": ((SENTINEL,), {"tool_name": SENTINEL, "requested_by": SENTINEL}),
    "runs.link": ((SENTINEL, SENTINEL), {}),
    "runs.consume": (("consumer", 1), {}),
    "runs.log_size": ((), {}),
    "runs.cursors": ((), {}),
    "runs.read_log": ((), {}),
    "runs.subscribe": (("subscriber",), {"follow": False}),
}
#: What is refused, in every way there is: here and in the database, an id that is taken and one that is none.
REFUSED: list[tuple[str, tuple[Any, ...]]] = [
    ("emit", ({**event("sla_breached", None), SENTINEL: 1},)),
    ("emit", (new(payload={SENTINEL: object()}),)),
    ("emit", (new(SENTINEL),)),
    ("emit", (new("action_prepared", SENTINEL),)),
    ("emit", (new(actor=SENTINEL),)),
    ("emit", ({**event("sla_breached", None), "event_id": SENTINEL},)),
    ("emit_batch", ([new(), new(SENTINEL)],)),
    ("emit_batch", ([{SENTINEL: SENTINEL}],)),
    ("runs.link", (SENTINEL, "")),
    ("metrics", (f"{SENTINEL.lower().replace('-', '_')}",)),
    ("consume", ("",)),
]


def test_every_public_method_is_tried() -> None:
    def methods(cls: type, prefix: str = "") -> set[str]:
        return {f"{prefix}{name}" for name, _ in inspect.getmembers(cls) if not name.startswith("_")}

    assert methods(EventStore) | methods(Runs, "runs.") == set(METHODS) | NO_CALLS


def method_of(store: Any, name: str) -> Any:
    for part in name.split("."):
        store = getattr(store, part)
    return store


def call(store: EventStore, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    result = method_of(store, name)(*arguments, **options)
    if hasattr(result, "__enter__"):
        with result as entered:
            if name == "execution":
                with entered.action(SENTINEL, {"action_id": SENTINEL}):
                    pass
    elif hasattr(result, "__next__"):
        list(result)


async def call_async(store: AsyncEventStore, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    result = method_of(store, name)(*arguments, **options)
    if hasattr(result, "__aenter__"):
        async with result as entered:
            if name == "execution":
                async with entered.action(SENTINEL, {"action_id": SENTINEL}):
                    pass
    elif hasattr(result, "__anext__"):
        async for _ in result:
            pass
    else:
        await result


def prepare(ledger: Ledger, customer: str) -> None:
    """A run with the sentinel as its id, and an execution with it."""
    run = {
        "run_id": f"{SENTINEL}-{customer}",
        "project_id": SENTINEL,
        "tool_name": SENTINEL,
        "contract_version": "v1",
        "params_hash": SENTINEL,
        "policy_hash": "h",
        "status": "running",
        "created_at": "2026-03-01T12:00:00Z",
    }
    with psycopg.connect(ledger.dsn(SERVICE)) as connection:
        connection.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
        connection.execute("select helix.import_runs(%s)", (json.dumps([run]),))
        row = {"run_id": run["run_id"], "kind": SENTINEL, "created_at": run["created_at"], "data": {SENTINEL: SENTINEL}}
        connection.execute("select helix.import_run_events(%s)", (json.dumps([row]),))


def for_customer(arguments: tuple[Any, ...], name: str, customer: str) -> tuple[Any, ...]:
    """Run ids are unique among all customers."""
    if name.startswith("runs.") and arguments and arguments[0] == SENTINEL:
        return (f"{SENTINEL}-{customer}", *arguments[1:])
    return arguments


def check_nothing_is_told(told: Told) -> None:
    everything = told.everything()
    assert SENTINEL.lower() not in everything.lower()
    assert SENTINEL.lower().replace("-", "_") not in everything.lower()
    assert "exception" not in {mark.name for span in told.spans for mark in span.events}
    assert {span.kind for span in told.spans} == {SpanKind.CLIENT}
    assert all(span.status.description is None for span in told.spans)


def test_no_method_tells_a_payload_an_id_or_a_customer(ledger_: Ledger, dsn: str, told: Told, customer: str) -> None:
    prepare(ledger_, customer)
    with told.watch(EventStore(dsn, customer_id=customer)) as store:
        for name, (arguments, options) in METHODS.items():
            before = len(told.spans)
            call(store, name, for_customer(arguments, name, customer), options)
            assert len(told.spans) > before, name
        for name, arguments in REFUSED:
            with pytest.raises((AximoError, psycopg.Error)):
                call(store, name, for_customer(arguments, name, customer), {})
    check_nothing_is_told(told)
    assert {each.partition(" ")[0] for each in told.names} <= {named.operation for named in CALLS.values()}
    # Each call has a name of its own in the table.
    assert not {name for name in told.names if "." in name.partition(" ")[0]}


async def test_no_asynchronous_method_does(ledger_: Ledger, dsn: str, told: Told, customer: str) -> None:
    prepare(ledger_, customer)
    async with told.watch(AsyncEventStore(dsn, customer_id=customer)) as store:
        for name, (arguments, options) in METHODS.items():
            before = len(told.spans)
            await call_async(store, name, for_customer(arguments, name, customer), options)
            assert len(told.spans) > before, name
        for name, arguments in REFUSED:
            with pytest.raises((AximoError, psycopg.Error)):
                await call_async(store, name, for_customer(arguments, name, customer), {})
    check_nothing_is_told(told)


def test_the_customer_is_told_if_asked_for(dsn: str, told: Told) -> None:
    with told.watch(EventStore(dsn), customer=True) as store:
        store.for_customer("one").emit(new())
        store.emit(new(customer_id="two"))
        store.emit_batch([new(customer_id="two"), new(customer_id="one")])
        store.for_customer("one").log_size()
    assert [(span.attributes or {}).get("aximo.customer_id") for span in told.spans] == ["one", "two", None, "one"]


# What is told


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_an_emit_is_a_span_with_what_it_wrote(ledger_: Ledger, dsn: str, told: Told, customer: str) -> None:
    it = new()
    with told.watch(EventStore(dsn, customer_id=customer)) as store:
        store.emit(it)
        store.emit(it)
        store.emit_batch([it, new("deployment_created")])
        store.trace("none")
    first, again, batch, trace = told.spans
    expected = {
        "db.system.name": "postgresql",
        "db.namespace": ledger_.name,
        "db.operation.name": "emit",
        "db.stored_procedure.name": "aximo.emit_event",
        "aximo.event_type": "sla_breached",
        "aximo.event_id": str(it.event_id),
    }
    assert first.name == "emit aximo.events"
    assert attributes(first) == {**expected, "aximo.duplicate": False}
    assert attributes(again) == {**expected, "aximo.duplicate": True}
    assert batch.name == "emit_batch aximo.events"
    assert attributes(batch)["db.operation.batch.size"] == 2
    assert attributes(batch)["aximo.duplicates"] == 1
    assert trace.name == "trace aximo.events"
    assert first.status.status_code is StatusCode.UNSET
    counted = {tuple(value for _, value in key): count for key, count in told.points("aximo.client.events").items()}
    assert counted == {
        ("sla_breached", "new"): 1,
        ("sla_breached", "duplicate"): 2,
        ("deployment_created", "new"): 1,
    }
    durations = told.points("db.client.operation.duration")
    assert sum(count for count, _ in durations.values()) == 4
    assert all(dict(key)["db.namespace"] == ledger_.name for key in durations)


def test_a_refusal_is_told_by_its_code_and_rule(dsn: str, told: Told, customer: str) -> None:
    it = new()
    with told.watch(EventStore(dsn, customer_id=customer)) as store:
        store.emit(it)
        with pytest.raises(DuplicateEventError):
            store.emit(new(event_id=it.event_id, payload={}))
        with pytest.raises(SequenceError):
            store.emit(new("action_prepared", "none"))
        with pytest.raises(MalformedEventError):
            store.emit(new(payload={"x": float("nan")}))  # here, before it is sent
        with pytest.raises(ZeroDivisionError), store.consume("consumer"):
            raise ZeroDivisionError
    _, duplicate, sequence, consumed = told.spans
    for span, code, rule in (
        (duplicate, "ZXDUP", "event_id_names_one_event"),
        (sequence, "ZXSEQ", attributes(sequence)["aximo.rule"]),
    ):
        assert span.status.status_code is StatusCode.ERROR
        assert attributes(span)["error.type"] == attributes(span)["db.response.status_code"] == code
        assert attributes(span)["aximo.rule"] == rule
    assert attributes(consumed)["error.type"] == "ZeroDivisionError"
    refusals = {
        dict(key)["db.response.status_code"]: count for key, count in told.points("aximo.client.refusals").items()
    }
    assert refusals == {"ZXDUP": 1, "ZXSEQ": 1, "ZXARG": 1}


def test_a_retry_is_an_event_of_the_span(ledger_: Ledger, dsn: str, told: Told, customer: str) -> None:
    seen: list[object] = []
    with told.watch(EventStore(dsn, customer_id=customer, on_retry=seen.append)) as store:
        store.log_size()
        with psycopg.connect(ledger_.dsn("postgres"), autocommit=True) as root:
            root.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", (SERVICE,))
        store.emit(new())
    retried = told.spans[-1]
    assert retried.name == "emit aximo.events"
    assert retried.status.status_code is StatusCode.UNSET
    (mark,) = retried.events
    assert mark.name == "retry"
    assert dict(mark.attributes or {})["error.type"] in ("57P01", "ConnectionLostError", "08006")
    assert len(seen) == 1


def test_how_far_a_consumer_is_behind(dsn: str, told: Told, customer: str) -> None:
    with told.watch(EventStore(dsn, customer_id=customer)) as store:
        store.emit_batch([new() for _ in range(10)])
        store.advance_all()

        def behind() -> dict[str, int]:
            return {dict(key)["aximo.cursor"]: n for key, n in told.points("aximo.client.cursor.behind").items()}

        with store.consume("blocks", 4):
            pass
        assert behind() == {"blocks": 6}
        with store.consume("blocks", 6):
            pass
        assert behind() == {"blocks": 0}
        feed = store.subscribe("feed", max_events=4, follow=False)
        for _ in range(5):
            next(feed)
        assert behind()["feed"] == 6
        assert len(list(feed)) == 5
        assert behind()["feed"] == 0


def test_what_a_consumer_does_is_inside_of_its_span_and_not_in_its_time(dsn: str, told: Told, customer: str) -> None:
    tracer = told.tracers.get_tracer("service")
    with told.watch(EventStore(dsn, customer_id=customer)) as store, tracer.start_as_current_span("handles") as outer:
        with store.consume("consumer"), tracer.start_as_current_span("does"):
            store.log_size()
            time.sleep(0.5)
    log_size, does, consumed, handles = told.spans
    assert [log_size.parent.span_id, does.parent.span_id, consumed.parent.span_id] == [  # type: ignore[union-attr]
        does.context.span_id,
        consumed.context.span_id,
        handles.context.span_id,
    ]
    assert outer.get_span_context().span_id == handles.context.span_id
    assert consumed.end_time - consumed.start_time > 500_000_000
    durations = {
        dict(key)["db.operation.name"]: sums for key, sums in told.points("db.client.operation.duration").items()
    }
    assert durations["consume"][0] == 1
    assert 0 < durations["consume"][1] < 0.4


async def test_calls_at_once_are_spans_beside_each_other(dsn: str, told: Told, customer: str) -> None:
    async with told.watch(AsyncEventStore(dsn, customer_id=customer)) as store:
        await asyncio.gather(*(store.emit(new()) for _ in range(5)))
    assert told.names == ["emit aximo.events"] * 5
    assert {span.parent for span in told.spans} == {None}


def test_to_instrument_twice_tells_once(dsn: str, told: Told, customer: str) -> None:
    with told.watch(told.watch(EventStore(dsn, customer_id=customer))) as store:
        store.emit(new())
    assert len(told.spans) == 1


class _Broken(SpanProcessor):
    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise RuntimeError(SENTINEL)

    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError(SENTINEL)


def test_what_watches_decides_nothing(dsn: str, told: Told, customer: str, caplog: pytest.LogCaptureFixture) -> None:
    told.tracers.add_span_processor(_Broken())
    with told.watch(EventStore(dsn, customer_id=customer)) as store:
        assert not store.emit(new()).duplicate
        with pytest.raises(SequenceError):
            store.emit(new("action_prepared", "none"))
        with store.consume("consumer") as batch:
            assert len(batch) == 0
    assert "RuntimeError" in caplog.text
    assert SENTINEL not in caplog.text


def test_a_lost_connection_is_no_refusal(ledger_: Ledger, dsn: str, told: Told, customer: str) -> None:
    with told.watch(EventStore(dsn, customer_id=customer, retry_for=0)) as store:
        store.log_size()
        with psycopg.connect(ledger_.dsn("postgres"), autocommit=True) as root:
            root.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", (SERVICE,))
        with pytest.raises(ConnectionLostError):
            store.emit(new())
    assert told.spans[-1].status.status_code is StatusCode.ERROR
    assert attributes(told.spans[-1])["error.type"] == "08006"
    assert told.points("aximo.client.refusals") == {}


# The context of a trace in an event


def test_a_traced_event_stays_the_same_however_often_it_is_sent(dsn: str, told: Told, customer: str) -> None:
    tracer = told.tracers.get_tracer("service")
    with EventStore(dsn, customer_id=customer) as store:
        with tracer.start_as_current_span("makes") as span:
            it = traced(new(payload={"a": 1}))
            store.emit(it)
        with tracer.start_as_current_span("sends again"):
            assert traced(it) == it
            assert store.emit(it).duplicate
        (found,) = store.iter_events()
    context = span.get_span_context()
    assert re.fullmatch(f"00-{context.trace_id:032x}-{context.span_id:016x}-0[13]", found.payload["traceparent"])
    assert found.payload["a"] == 1
    plain = new()
    assert traced(plain) is plain


# Who does not use it

LOADED = """
import sys
import {module}
{then}
print(sorted({{name.partition(".")[0] for name in sys.modules}} & {{"opentelemetry", "google", "requests"}}))
"""


@pytest.mark.parametrize(
    ("module", "then"),
    [
        ("aximo_db", "aximo_db.EventStore, aximo_db.AsyncEventStore"),
        ("aximo_db.cli.app", ""),
        ("aximo_db.audit", ""),
        ("aximo_db.tlog", ""),
    ],
)
def test_nothing_of_it_is_loaded_by_who_does_not_use_it(module: str, then: str) -> None:
    code = LOADED.format(module=module, then=then)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_plain_install_brings_nothing_of_it() -> None:
    wanted = [each for each in requires("aximo-db") or () if "extra ==" not in each]
    assert {re.split(r"[^a-z-]", each)[0] for each in wanted} == {
        "psycopg",
        "psycopg-pool",
        "alembic",
        "typer",
        "rich",
        "cryptography",
        "uuid-utils",
    }


WITHOUT = (
    "import sys\nsys.modules[{missing!r}] = None\nsys.argv = {arguments!r}\nfrom aximo_db.cli.app import main\nmain()"
)


@pytest.mark.parametrize(
    ("missing", "rule"),
    [("opentelemetry.trace", "opentelemetry_present"), ("opentelemetry.sdk.trace", "span_exporter_present")],
)
def test_what_is_missing_is_named_with_its_extra(missing: str, rule: str) -> None:
    code = WITHOUT.format(missing=missing, arguments=["aximo-db", "otel"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"ZXENV {rule}" in done.stderr
    assert "aximo-db[otel-export]" in done.stderr
    assert "Traceback" not in done.stderr
