"""Spans and metrics of a store's calls: names, codes, counts and times.

Nothing of a payload, of an error's detail or of a customer, unless that is asked for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, ParamSpec, TypeVar

import psycopg
from opentelemetry import context, trace
from opentelemetry.metrics import MeterProvider, get_meter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider, get_tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from aximo_db.client.call import Retry
from aximo_db.client.errors import AximoError, ConnectionLostError, NotConnectedError
from aximo_db.client.events import NewEvent, Receipt
from aximo_db.client.vocabulary import EVENT_TYPES

if TYPE_CHECKING:
    from aximo_db.client.async_store import AsyncEventStore
    from aximo_db.client.store import EventStore

__all__ = ["CALLS", "instrument", "traced"]

P = ParamSpec("P")
S = TypeVar("S", "EventStore", "AsyncEventStore")

_log: Final = logging.getLogger("aximo_db")


class _Named(NamedTuple):
    """How a call is named in a trace."""

    operation: str
    target: str | None = None
    procedure: str | None = None


#: The stable conventions of databases, in their version 1.42.
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.42.0"
#: Every call, as the store names it.
CALLS: Final[Mapping[str, _Named]] = {
    "emit": _Named("emit", "aximo.events", "aximo.emit_event"),
    "emit_batch": _Named("emit_batch", "aximo.events", "aximo.emit_events"),
    "import": _Named("import"),
    "close_stale_executions": _Named("close_stale_executions", "aximo.events", "aximo.close_stale_executions"),
    "iter_events": _Named("select", "aximo.events"),
    "trace": _Named("trace", "aximo.events", "aximo.execution_trace"),
    "executions": _Named("select", "aximo.executions"),
    "open_executions": _Named("select", "aximo.open_executions"),
    "approvals": _Named("select", "aximo.approvals"),
    "deployments": _Named("select", "aximo.deployments"),
    "deployment_versions": _Named("select", "aximo.deployment_versions"),
    "metrics": _Named("select", "aximo_metrics"),
    "advance_log": _Named("advance", None, "aximo.advance_log"),
    "refresh_metrics": _Named("refresh"),
    "read_log": _Named("read_log", "aximo.log"),
    "consume": _Named("consume", "aximo.log"),
    "subscribe": _Named("subscribe", "aximo.log"),
    "move_cursor": _Named("move_cursor", "aximo.log", "aximo.move_cursor"),
    "log_size": _Named("log_size", "aximo.log", "aximo.log_size"),
    "log_origin": _Named("log_origin", "aximo.log", "aximo.log_origin"),
    "cursors": _Named("select", "aximo.cursors"),
    "runs.list": _Named("select", "helix.runs"),
    "runs.get": _Named("select", "helix.runs"),
    "runs.events": _Named("select", "helix.run_events"),
    "runs.iter_events": _Named("select", "helix.run_events"),
    "runs.kinds": _Named("select", "helix.kind_usage"),
    "runs.observe": _Named("observe", "helix.runs", "helix.observe_run"),
    "runs.link": _Named("link", "helix.runs"),
}
#: Seconds, as the conventions advise.
_BUCKETS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)


def instrument(
    store: S,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    customer: bool = False,
) -> S:
    """Makes spans and metrics of a store's calls from now on, and of those of stores made of it by ``for_customer``.

    Nothing of a payload, of an error's detail or of a value in SQL goes into them. Docs: docs/otel.md.

    Args:
        store: the store; to instrument it again replaces what it had.
        tracer_provider, meter_provider: where they go; OpenTelemetry's global ones if left out.
        customer: whether they also name the customer.

    Returns:
        The same store.
    """
    # A store has no public place for who watches it: its session has one, and this function sets it.
    store._session.watch = _Watching(tracer_provider, meter_provider, customer)
    return store


def traced(event: object) -> NewEvent:
    """The event with the current span's W3C ``traceparent`` in its payload, for who makes an event.

    Call it once, when the event is made, and send what it returns, however often: a store that did it whenever it
    sends would send another event under the same ``event_id`` after a failure, which is refused (``ZXDUP``). An event
    that has a ``traceparent``, or that is made outside of a span, stays as it is.
    """
    new = NewEvent.of(event)
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    if "traceparent" not in carrier or "traceparent" in new.payload:
        return new
    return replace(new, payload={**new.payload, "traceparent": carrier["traceparent"]})


def _quiet(method: Callable[P, None]) -> Callable[P, None]:
    """A method that raises nothing: what becomes of a call is not for who watches it to decide."""

    def quiet(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(*args, **kwargs)
        except Exception as raised:
            # Its text is not known to be harmless.
            _log.error("OpenTelemetry raised %s, and the call goes on", type(raised).__name__)

    return quiet


def _known(event_type: object) -> str:
    """A type of the vocabulary: anything else is whatever somebody wrote there."""
    return str(event_type) if event_type in EVENT_TYPES else "_OTHER"


class _Watching:
    """Watches the calls of a store."""

    def __init__(self, tracers: TracerProvider | None, meters: MeterProvider | None, customer: bool) -> None:
        self.tracer = get_tracer("aximo_db", tracer_provider=tracers, schema_url=SCHEMA_URL)
        meter = get_meter("aximo_db", meter_provider=meters, schema_url=SCHEMA_URL)
        self.duration = meter.create_histogram(
            "db.client.operation.duration",
            "s",
            "Duration of database client operations.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self.events = meter.create_counter("aximo.client.events", "{event}", "Events that were acknowledged.")
        self.refusals = meter.create_counter("aximo.client.refusals", "{refusal}", "Calls that were refused.")
        self.cursor = meter.create_gauge(
            "aximo.client.cursor.behind", "{entry}", "Numbered entries that a consumer has not read yet."
        )
        self.customer = customer

    def call(self, call: str, customer: str | None, events: Sequence[NewEvent]) -> _Call:
        return _Call(self, call, customer, events)

    @_quiet
    def refused(self, call: str, error: AximoError) -> None:
        del call
        self.refusals.add(1, _without_none({"db.response.status_code": error.sqlstate, "aximo.rule": error.rule}))

    @_quiet
    def behind(self, cursor: str, log: str, customer: str | None, entries: int) -> None:
        whose = customer if self.customer else None
        told = _without_none({"aximo.cursor": cursor, "aximo.log": log, "aximo.customer_id": whose or None})
        self.cursor.set(entries, told)


def _without_none(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


class _Call:
    """A call under way, and its span."""

    def __init__(self, watching: _Watching, call: str, customer: str | None, events: Sequence[NewEvent]) -> None:
        self._watching = watching
        self._named = CALLS.get(call) or _Named(call)
        self._customer = customer
        self._events = events
        self._span: Span = trace.INVALID_SPAN
        self._token: Any = None
        self._namespace: str | None = None
        self._began = time.monotonic()
        self._aside = 0.0
        self._own: BaseException | None = None

    def __enter__(self) -> _Call:
        self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        del kind, traceback
        self._end(error)

    @_quiet
    def _start(self) -> None:
        named = self._named
        name = f"{named.operation} {named.target}" if named.target else named.operation
        attributes = {
            "db.system.name": "postgresql",
            "db.operation.name": named.operation,
            "db.stored_procedure.name": named.procedure,
        }
        if named.operation == "select":
            attributes["db.collection.name"] = named.target
        if len(self._events) == 1:
            attributes["aximo.event_type"] = _known(self._events[0].event_type)
            attributes["aximo.event_id"] = str(self._events[0].event_id)
        if named.operation == "emit_batch":
            attributes["db.operation.batch.size"] = len(self._events)  # type: ignore[assignment]
        if self._watching.customer:
            whose = {each.customer_id or self._customer for each in self._events} or {self._customer}
            attributes["aximo.customer_id"] = whose.pop() if len(whose) == 1 else None
        self._span = self._watching.tracer.start_span(name, kind=SpanKind.CLIENT, attributes=_without_none(attributes))
        self._token = context.attach(trace.set_span_in_context(self._span))

    @_quiet
    def _end(self, error: BaseException | None) -> None:
        seconds = time.monotonic() - self._began - self._aside
        if self._token is not None:
            context.detach(self._token)
        failure = _failure(error) if error is not None else {}
        if error is not None:
            # No exception event: its text and its stack trace may quote, and are the caller's to log.
            self._span.set_status(Status(StatusCode.ERROR))
            self._span.set_attributes(failure)
        self._span.end()
        failure.pop("aximo.rule", None)
        told = {
            "db.system.name": "postgresql",
            "db.operation.name": self._named.operation,
            "db.namespace": self._namespace,
            **failure,
        }
        self._watching.duration.record(seconds, _without_none(told))
        is_ours = error is not None and error is not self._own
        if is_ours and isinstance(error, AximoError) and not isinstance(error, ConnectionLostError | NotConnectedError):
            self._watching.refused("", error)

    @_quiet
    def reached(self, connection: Any) -> None:
        if self._namespace is None:
            self._namespace = connection.info.dbname
            self._span.set_attribute("db.namespace", connection.info.dbname)

    def retries(self, told_too: Callable[[Retry], object] | None) -> Callable[[Retry], object]:
        def tell(retry: Retry) -> object:
            self._retry(retry)
            return told_too(retry) if told_too is not None else None

        return tell

    @_quiet
    def _retry(self, retry: Retry) -> None:
        told: dict[str, Any] = {
            "aximo.attempt": retry.attempt,
            "aximo.pause": retry.pause,
            "error.type": retry.sqlstate or retry.error.__name__,
        }
        self._span.add_event("retry", told)

    @_quiet
    def done(self, result: object) -> None:
        receipts = [result] if isinstance(result, Receipt) else result
        if not self._events or not isinstance(receipts, list):
            return
        for event, receipt in zip(self._events, receipts, strict=True):
            outcome = "duplicate" if receipt.duplicate else "new"
            told = {"aximo.event_type": _known(event.event_type), "aximo.outcome": outcome}
            self._watching.events.add(1, told)
        if isinstance(result, Receipt):
            self._span.set_attribute("aximo.duplicate", result.duplicate)
        else:
            self._span.set_attribute("aximo.duplicates", sum(receipt.duplicate for receipt in receipts))

    @contextmanager
    def aside(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        except BaseException as error:
            self._own = error
            raise
        finally:
            self._aside += time.monotonic() - began


def _failure(error: BaseException) -> dict[str, Any]:
    """What is told of an error: its code and its rule."""
    code = None
    if isinstance(error, AximoError | psycopg.Error):
        code = error.sqlstate or None
    rule = error.rule if isinstance(error, AximoError) else None
    return _without_none(
        {"error.type": code or type(error).__qualname__, "db.response.status_code": code, "aximo.rule": rule}
    )
