"""Sends executions over OTLP, as a consumer of the log: at least once."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from psycopg.rows import scalar_row

from aximo_db.client.errors import InstallationError
from aximo_db.client.events import LogEntry
from aximo_db.client.store import EventStore
from aximo_db.otel import mapping
from aximo_db.otel.mapping import Planned

try:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
except ImportError as error:
    raise InstallationError(
        "sending spans needs an exporter of OpenTelemetry",
        rule="span_exporter_present",
        hint="Install it: pip install 'aximo-db[otel-export]'.",
    ) from error

__all__ = ["NotSentError", "Sender", "Sent", "follow_log"]

#: Spans a request: some hundred kilobytes, where receivers take some megabytes.
_A_REQUEST: Final = 512
#: Executions whose end was sent, of which more may arrive.
_REMEMBERED: Final = 10_000
_LEAST_PAUSE: Final = 1.0
_MOST_PAUSE: Final = 30.0
_GOVERNANCE: Final = ("sla_breached", "escalation_triggered", "pressure_invoked", "deployment_suspended")


class NotSentError(Exception):
    """The receiver did not take what was sent; sending it again is safe."""


@dataclass(slots=True)
class Sent:
    """How much was sent.

    Attributes:
        executions: how many executions, those with an end and, if asked for, those without.
        spans: how many spans.
    """

    executions: int = 0
    spans: int = 0


class Sender:
    """Sends spans to a receiver.

    Args:
        endpoint: the receiver's OTLP/HTTP address; left out, what OpenTelemetry's own variables say, such as
            ``OTEL_EXPORTER_OTLP_ENDPOINT``. Headers, certificates and timeouts are by such variables too.
        exporter: sends them instead.
    """

    def __init__(self, endpoint: str | None = None, *, exporter: SpanExporter | None = None) -> None:
        self._exporter = exporter or OTLPSpanExporter(endpoint=None if endpoint is None else _address(endpoint))

    def send(self, spans: Sequence[Planned]) -> None:
        """Sends spans.

        Raises:
            NotSentError: the receiver did not take them all.
        """
        for start in range(0, len(spans), _A_REQUEST):
            page = [_readable(span) for span in spans[start : start + _A_REQUEST]]
            with _said() as said:
                result = self._exporter.export(page)
            if result is not SpanExportResult.SUCCESS:
                raise NotSentError(said[-1] if said else "the receiver did not take the spans")

    def close(self) -> None:
        """Ends its connections."""
        self._exporter.shutdown()


def _address(endpoint: str) -> str:
    """The address of traces: OTLP's own path under that of the receiver."""
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("an address begins with http:// or https://")
    return endpoint if parts.path.endswith("/v1/traces") else f"{endpoint.rstrip('/')}/v1/traces"


@contextmanager
def _said() -> Iterator[list[str]]:
    """What the exporter logs meanwhile, which is all it says of a failure."""
    said: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger = logging.getLogger("opentelemetry.exporter")
    keep, propagated = Keep(logging.WARNING), logger.propagate
    logger.addHandler(keep)
    logger.propagate = False
    try:
        yield said
    finally:
        logger.removeHandler(keep)
        logger.propagate = propagated


def _context(trace_id: int, span_id: int) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _readable(span: Planned) -> ReadableSpan:
    """The span as exporters take it, made by hand: no tracer lets ids of one's own through."""
    parent = None if span.parent_id is None else _context(span.trace_id, span.parent_id)
    return ReadableSpan(
        span.name,
        context=_context(span.trace_id, span.span_id),
        parent=parent,
        resource=Resource(span.resource),
        attributes=span.attributes,
        events=[Event(mark.name, mark.attributes, mark.at) for mark in span.marks],
        links=[Link(parent)] if span.is_linked and parent is not None else [],
        kind=SpanKind.INTERNAL,
        instrumentation_scope=InstrumentationScope("aximo_db", schema_url=mapping.SCHEMA_URL),
        status=Status(StatusCode.ERROR) if span.is_error else Status(),
        start_time=span.start,
        end_time=span.end,
    )


class _Bridge:
    """Makes spans of what arrives in the log."""

    def __init__(self, store: EventStore, *, arguments: bool) -> None:
        self._store = store
        self._arguments = arguments
        origin = "select aximo.log_origin()"
        [self._ledger] = store._session.read(origin, (), scalar_row, call="log_origin", customer_id=None)
        # Of each execution whose end was seen: how many of its events.
        self._ended: OrderedDict[str, int] = OrderedDict()

    def spans_after(self, entry: LogEntry) -> tuple[list[Planned], bool]:
        """What is to be sent once an entry has arrived, and whether that is a whole execution."""
        name = entry.execution_id
        if name is None:
            return [mapping.span_of_event(self._ledger, entry)], False
        is_end = entry.event_type in ("execution_completed", "execution_failed")
        if not is_end and not self._may_be_late(entry):
            return [], False
        steps = self._store.trace(name)
        end = mapping.end_of(steps)
        if end is None:
            return [], False  # it goes with its execution
        own = [step for step in steps if step.event_id is not None]
        self._remember(name, len(own))
        if end.event_id == entry.event_id:
            runs = self._store.runs.list(execution_id=name)
            whole = mapping.spans_of_execution(self._ledger, steps, runs, arguments=self._arguments)
            return [*whole, *mapping.spans_of_late(self._ledger, steps)], True
        return mapping.spans_of_late(self._ledger, steps), False

    def _may_be_late(self, entry: LogEntry) -> bool:
        """Whether it may have arrived after its execution's end; looked up only for what the rules let through."""
        known = self._ended.get(entry.execution_id or "")
        if known is not None:
            return entry.step is None or entry.step > known
        return entry.event_type in _GOVERNANCE or entry.event_type.startswith(("deployment_", "version_"))

    def _remember(self, name: str, events: int) -> None:
        self._ended[name] = events
        self._ended.move_to_end(name)
        if len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)

    def open(self) -> Iterator[list[Planned]]:
        """The executions that have not ended, as they stand."""
        for each in self._store.open_executions():
            steps = self._store.trace(each.execution_id)
            runs = self._store.runs.list(execution_id=each.execution_id)
            if mapping.end_of(steps) is None:
                yield mapping.spans_of_execution(self._ledger, steps, runs, arguments=self._arguments)


def follow_log(
    store: EventStore,
    sender: Sender,
    *,
    cursor: str | None = "otel",
    after: int = 0,
    advance: bool = False,
    follow: bool = False,
    also_open: bool = False,
    arguments: bool = False,
    told: Callable[[Sent], object] = lambda sent: None,
    failed: Callable[[str], object] = lambda message: None,
    stop: Callable[[], bool] | None = None,
) -> Sent:
    """Sends what the log of the store's customer has: an execution when its end has come, all else by itself.

    At least once: the cursor is moved past an entry after its spans were taken. As ids are made of what is sent, a
    second time changes nothing.

    Args:
        store: of one customer, with ``exact_numbers`` if arguments are to keep every digit.
        sender: to whom.
        cursor: the consumer's name; ``None`` to begin after a number, and move no cursor.
        after: that number.
        advance: number new events first. The login needs ``aximo_operator``.
        follow: go on at the end of the log, and try again what was not taken, for ever.
        also_open: at the end, also executions that have not ended, as they stand; not possible with ``follow``.
        arguments: whether payloads of actions are sent.
        told: called after each entry that something was sent for.
        failed: called with why something was not taken, before it is tried again.
        stop: asked again and again; true ends it.

    Raises:
        NotSentError: the receiver did not take it, and there is no ``follow``.
        The same as :meth:`EventStore.subscribe`.
    """
    bridge = _Bridge(store, arguments=arguments)
    sent = Sent()

    def send(spans: list[Planned]) -> None:
        pause = _LEAST_PAUSE
        while True:
            try:
                sender.send(spans)
            except NotSentError as error:
                if not follow or (stop is not None and stop()):
                    raise
                failed(str(error))
                time.sleep(pause)
                pause = min(2 * pause, _MOST_PAUSE)
            else:
                sent.spans += len(spans)
                return

    for entry in store.subscribe(cursor, after=after, advance=advance, follow=follow, stop=stop):
        spans, is_whole = bridge.spans_after(entry)
        if spans:
            send(spans)
            sent.executions += is_whole
            told(sent)
    if also_open:
        for spans in bridge.open():
            send(spans)
            sent.executions += 1
            told(sent)
    return sent
