"""How executions become spans: every name of the conventions that the bridge uses is in this file, and nowhere else.

It follows the conventions for generative AI, whose every span and attribute is still in development, in the version
that :data:`SCHEMA_URL` names. When they change, this file and that version change. Nothing here needs a library.

Every event is in exactly one span: as its start or end (``aximo.event_ids``), or as an event of it
(``aximo.event_id``). Ids are made of what is sent, so that to send it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, TypeAlias
from uuid import UUID

from aximo_db.client.events import Event, LogEntry, TraceStep, UnreadableJson, checked_payload, to_json
from aximo_db.client.run_events import Run

__all__ = ["SCHEMA_URL", "Mark", "Planned", "end_of", "span_of_event", "spans_of_execution", "spans_of_late"]

#: The schema of generative AI, in the version whose names these are.
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/gen-ai/1.42.0"

AGENT: Final = "invoke_agent"
TOOL: Final = "execute_tool"
OPERATION: Final = "gen_ai.operation.name"
AGENT_NAME: Final = "gen_ai.agent.name"
AGENT_ID: Final = "gen_ai.agent.id"
AGENT_VERSION: Final = "gen_ai.agent.version"
CONVERSATION: Final = "gen_ai.conversation.id"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_CALL: Final = "gen_ai.tool.call.id"
TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
ERROR: Final = "error.type"
OTHER: Final = "_OTHER"
SERVICE: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
# What the conventions have no name for. Approvals are among it: https://github.com/open-telemetry/semantic-conventions-genai
LEDGER: Final = "aximo.ledger"
EVENT_ID: Final = "aximo.event_id"
EVENT_IDS: Final = "aximo.event_ids"
EVENT_TYPE: Final = "aximo.event_type"
EXECUTION: Final = "aximo.execution_id"
IS_OPEN: Final = "aximo.execution.open"
WITHHELD: Final = "aximo.action.withheld"
PREPARED_AT: Final = "aximo.action.prepared_at"
APPROVAL: Final = "aximo.approval.id"
DECISION: Final = "aximo.approval.decision"
DECIDED_BY: Final = "aximo.approval.decided_by"
RUN: Final = "aximo.run_id"
RUN_STATUS: Final = "aximo.run.status"
RUN_EVENT: Final = "aximo.run_event_id"
ADJUSTED: Final = "aximo.time.adjusted"

_ENDS: Final = ("execution_completed", "execution_failed")
_RESOLUTIONS: Final = ("action_dispatched", "action_failed")
_ANSWERS: Final = {"approval_granted": "granted", "approval_rejected": "rejected", "approval_timeout": "timeout"}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = 2**64 - 1
#: Ids in payloads may be of any length; a name in a trace is not the place for more.
_LONGEST: Final = 255

Value: TypeAlias = str | int | bool | list[str]


@dataclass(frozen=True, slots=True)
class Mark:
    """An event of a span: a name, a moment in nanoseconds, and attributes."""

    name: str
    at: int
    attributes: dict[str, Value]


@dataclass(slots=True)
class Planned:
    """A span to be sent.

    Attributes:
        trace_id, span_id: made of what it is about.
        parent_id: the span that it belongs to, in the same trace.
        is_linked: whether it also links to its parent, as it is not inside of its time.
        name: as the conventions say.
        start, end: nanoseconds since 1970.
        is_error: whether its status is ERROR.
        resource: what did it.
        attributes, marks: the rest.
    """

    trace_id: int
    span_id: int
    parent_id: int | None
    name: str
    start: int
    end: int
    resource: dict[str, Value]
    attributes: dict[str, Value] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)
    is_error: bool = False
    is_linked: bool = False


@dataclass(slots=True)
class _Action:
    """An action: all events with its id, or one that was prepared and one that resolves it."""

    action_type: str | None
    action_id: str | None
    approval_id: str | None
    steps: list[TraceStep]

    @property
    def prepared(self) -> TraceStep | None:
        return next((step for step in self.steps if step.event_type == "action_prepared"), None)

    @property
    def resolution(self) -> TraceStep | None:
        return next((step for step in reversed(self.steps) if step.event_type in _RESOLUTIONS), None)

    @property
    def was_dispatched(self) -> bool:
        return any(step.event_type == "action_dispatched" for step in self.steps)


@dataclass(slots=True)
class _Approval:
    """A request, and the answer to it; one of the two may be missing in imported history."""

    approval_id: str | None
    request: TraceStep | None
    answer: TraceStep | None = None

    @property
    def decision(self) -> str:
        return "open" if self.answer is None else _ANSWERS[self.answer.event_type]


def _id(size: int, *parts: str) -> int:
    return int.from_bytes(sha256("\n".join(parts).encode()).digest()[:size], "big")


def _span_id(event_id: UUID | None) -> int:
    return _id(8, "aximo-span", str(event_id))


def _nanoseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _told(value: str | None) -> str | None:
    return value if value is None or len(value) <= _LONGEST else value[:_LONGEST]


def _key(step: TraceStep, name: str) -> str | None:
    """An id in a payload, as the rules of an execution's life read it: a text, or JSON; null is none."""
    value = (step.payload or {}).get(name)
    if value is None or isinstance(value, str):
        return value
    return to_json(value)


def _present(attributes: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in attributes.items() if value is not None}


def _columns(event: TraceStep | Event) -> dict[str, Value | None]:
    """What an event's columns say, but for ids of whose it is."""
    return {
        "aximo.actor": event.actor,
        "aximo.risk_level": event.risk_level,
        "aximo.approval_mode": event.approval_mode,
        "aximo.channel_type": event.channel_type,
        "aximo.latency_ms": event.latency_ms,
        "aximo.error_code": event.error_code,
    }


def _mark(step: TraceStep) -> Mark:
    attributes = _present({EVENT_ID: str(step.event_id), **_columns(step)})
    return Mark(step.event_type, _bound(_nanoseconds(step.timestamp)), attributes)


def _bound(nanoseconds: int) -> int:
    """A moment that the protocol has: from 1970 to 2554."""
    return min(max(nanoseconds, 0), _LATEST)


def _timed(span: Planned, start: datetime, end: datetime) -> Planned:
    """The span with its times: the events', unless the protocol has no such times."""
    exact = _nanoseconds(start), _nanoseconds(end)
    span.start = _bound(exact[0])
    span.end = max(_bound(exact[1]), span.start)
    if (span.start, span.end) != exact:
        span.attributes[ADJUSTED] = True
    return span


def _resource(ledger: str, event: TraceStep | Event) -> dict[str, Value]:
    return _present({SERVICE: event.deployment_id, SERVICE_VERSION: event.skill_version, LEDGER: ledger})


def end_of(steps: Sequence[TraceStep]) -> TraceStep | None:
    """The event that ended an execution: the first that arrived."""
    return next((step for step in steps if step.event_type in _ENDS and step.event_id is not None), None)


def span_of_event(ledger: str, entry: LogEntry) -> Planned:
    """The span of an event of no execution: of a deployment's life, say. It is a trace of its own."""
    attributes = _present({EVENT_IDS: [str(entry.event_id)], EVENT_TYPE: entry.event_type, **_columns(entry)})
    trace_id = _id(16, "aximo-event-trace", entry.customer_id, str(entry.event_id))
    span = Planned(
        trace_id, _span_id(entry.event_id), None, entry.event_type, 0, 0, _resource(ledger, entry), attributes
    )
    return _timed(span, entry.timestamp, entry.timestamp)


def spans_of_execution(
    ledger: str, steps: Sequence[TraceStep], runs: Sequence[Run] = (), *, arguments: bool = False
) -> list[Planned]:
    """The spans of an execution up to its end, its root first; as it stands, if it has not ended.

    What arrived after its end is not in it, so that it is the same whenever it is made: :func:`spans_of_late`.

    Args:
        ledger: which log it is of: its origin.
        steps: the execution's, in order of arrival.
        runs: the tool runs that served it.
        arguments: whether payloads of actions are sent.
    """
    own = [step for step in steps if step.event_id is not None]
    end = end_of(own)
    lived = own if end is None else own[: own.index(end) + 1]
    root = _root(ledger, lived, end)
    spans = [root]
    approvals = list(_approvals(lived))
    actions = list(_actions(lived))
    taken = {step.event_id for action in actions for step in action.steps}
    taken |= {step.event_id for each in approvals for step in (each.request, each.answer) if step is not None}
    taken |= set(_ends_of(lived, end))
    for step in lived:
        if step.event_id in taken:
            continue
        if root.start <= _nanoseconds(step.timestamp) <= root.end:
            root.marks.append(_mark(step))
        else:
            spans.append(_alone(root, step))
    spans += [_approval(root, each, lived[-1] if end is None else end) for each in approvals]
    spans += [_action(root, each, approvals, arguments=arguments) for each in actions]
    spans += _runs(root, steps, runs)
    for span in spans[1:]:
        span.is_linked = not root.start <= span.start <= span.end <= root.end
    return spans


def spans_of_late(ledger: str, steps: Sequence[TraceStep]) -> list[Planned]:
    """The spans of what arrived after the end of an execution: one each, linked to its root."""
    own = [step for step in steps if step.event_id is not None]
    end = end_of(own)
    if end is None:
        return []
    place = own.index(end) + 1
    root = _root(ledger, own[:place], end)
    late = [_alone(root, step) for step in own[place:]]
    for span in late:
        span.is_linked = True
    return late


def _ends_of(lived: Sequence[TraceStep], end: TraceStep | None) -> list[UUID | None]:
    """The events that a root begins and ends with."""
    first = _trigger(lived)
    return [each.event_id for each in (first, end) if each is not None]


def _trigger(lived: Sequence[TraceStep]) -> TraceStep | None:
    """None in imported history that lacks it."""
    return next((step for step in lived if step.event_type == "execution_triggered"), None)


def _root(ledger: str, lived: Sequence[TraceStep], end: TraceStep | None) -> Planned:
    trigger = _trigger(lived)
    first = trigger if trigger is not None else lived[0]
    last = end if end is not None else max(lived, key=lambda step: step.timestamp)
    is_error = end is not None and end.event_type == "execution_failed"
    correlation = next((step.correlation_id for step in lived if step.correlation_id is not None), None)
    attributes: dict[str, Value | None] = {
        OPERATION: AGENT,
        AGENT_NAME: first.skill_id,
        AGENT_ID: first.deployment_id,
        AGENT_VERSION: first.skill_version,
        CONVERSATION: correlation,
        EXECUTION: first.execution_id,
        IS_OPEN: True if end is None else None,
        EVENT_IDS: [str(each) for each in _ends_of(lived, end)],
        **_columns(first),
        "aximo.latency_ms": last.latency_ms,
        "aximo.error_code": None,
        ERROR: (last.error_code or OTHER) if is_error else None,
    }
    trace_id = _id(16, "aximo-trace", first.customer_id, first.execution_id)
    # Without a trigger, its first event has a span of its own.
    span_id = _span_id(trigger.event_id) if trigger is not None else _id(8, "aximo-root", first.execution_id)
    name = f"{AGENT} {first.skill_id}"
    span = Planned(trace_id, span_id, None, name, 0, 0, _resource(ledger, first), _present(attributes), [], is_error)
    return _timed(span, first.timestamp, last.timestamp)


def _child(root: Planned, span_id: int, name: str, attributes: Mapping[str, Value | None]) -> Planned:
    return Planned(root.trace_id, span_id, root.span_id, name, 0, 0, root.resource, _present(attributes))


def _alone(root: Planned, step: TraceStep) -> Planned:
    attributes = {EVENT_IDS: [str(step.event_id)], EVENT_TYPE: step.event_type, **_columns(step)}
    return _timed(_child(root, _span_id(step.event_id), step.event_type, attributes), step.timestamp, step.timestamp)


def _actions(lived: Sequence[TraceStep]) -> Iterator[_Action]:
    """The actions, matched as the sixth rule of an execution's life has it: by id, else by how many of a type."""
    by_id: dict[str, _Action] = {}
    waiting: list[_Action] = []
    for step in lived:
        if step.event_type != "action_prepared" and step.event_type not in _RESOLUTIONS:
            continue
        action = _Action(_key(step, "action_type"), _key(step, "action_id"), _key(step, "approval_id"), [step])
        if action.action_id is not None:
            found = by_id.setdefault(action.action_id, action)
            if found is not action:
                found.steps.append(step)
            continue
        if step.event_type == "action_prepared":
            waiting.append(action)
            continue
        of_type = [each for each in waiting if each.action_type == action.action_type and each.resolution is None]
        exact = [each for each in of_type if each.approval_id == action.approval_id]
        if matching := exact or of_type:
            matching[0].steps.append(step)
        else:
            waiting.append(action)
    yield from by_id.values()
    yield from waiting


def _approvals(lived: Sequence[TraceStep]) -> Iterator[_Approval]:
    found: list[_Approval] = []
    for step in lived:
        name = _key(step, "approval_id")
        if step.event_type == "approval_requested":
            found.append(_Approval(name, step))
        elif step.event_type in _ANSWERS:
            asked = next((each for each in found if each.approval_id == name and each.answer is None), None)
            if asked is None:
                asked = _Approval(name, None)
                found.append(asked)
            asked.answer = step
    yield from found


def _action(root: Planned, action: _Action, approvals: Sequence[_Approval], *, arguments: bool) -> Planned:
    first = action.steps[0]
    resolution = action.resolution
    denial = next(
        (
            each.answer
            for each in approvals
            if each.decision in ("rejected", "timeout") and action.approval_id in (None, each.approval_id)
        ),
        None,
    )
    # An action that was tried and failed was not withheld, unless it was denied before.
    is_withheld = not action.was_dispatched and (resolution is None or denial is not None)
    is_error = resolution is not None and resolution.event_type == "action_failed"
    tool = _told(action.action_type)
    attributes: dict[str, Value | None] = {
        OPERATION: TOOL,
        TOOL_NAME: tool,
        TOOL_CALL: _told(action.action_id),
        TOOL_TYPE: "function",
        TOOL_ARGUMENTS: _arguments(first) if arguments else None,
        WITHHELD: True if is_withheld else None,
        APPROVAL: _told(action.approval_id),
        EVENT_IDS: [str(step.event_id) for step in action.steps],
        **_columns(first),
        "aximo.latency_ms": resolution.latency_ms if resolution is not None else None,
        "aximo.error_code": None,
        ERROR: (resolution.error_code or OTHER) if resolution is not None and is_error else None,
    }
    span = _child(root, _span_id(first.event_id), f"{TOOL} {tool}" if tool else TOOL, attributes)
    span.is_error = is_error
    if resolution is not None:
        return _timed(span, first.timestamp, resolution.timestamp)
    # It never ran, so it took no time: where it was denied, else where it was left.
    if denial is not None:
        span.attributes[PREPARED_AT] = first.timestamp.isoformat()
    moment = denial.timestamp if denial is not None else first.timestamp
    return _timed(span, moment, moment)


def _arguments(step: TraceStep) -> str:
    payload = step.payload or {}
    return payload.text if isinstance(payload, UnreadableJson) else to_json(checked_payload(payload))


def _approval(root: Planned, approval: _Approval, last: TraceStep) -> Planned:
    steps = [step for step in (approval.request, approval.answer) if step is not None]
    answer = approval.answer
    name = _told(approval.approval_id)
    attributes: dict[str, Value | None] = {
        APPROVAL: name,
        DECISION: approval.decision,
        DECIDED_BY: answer.actor if answer is not None else None,
        EVENT_IDS: [str(step.event_id) for step in steps],
        **_columns(steps[0]),
    }
    span = _child(root, _span_id(steps[0].event_id), f"approval {name}" if name else "approval", attributes)
    # Nobody answered: it was open to the end.
    end = answer.timestamp if answer is not None else max(steps[0].timestamp, last.timestamp)
    return _timed(span, steps[0].timestamp, end)


def _runs(root: Planned, steps: Sequence[TraceStep], runs: Sequence[Run]) -> Iterator[Planned]:
    events: dict[str, list[TraceStep]] = {run.run_id: [] for run in sorted(runs, key=lambda run: run.run_id)}
    for step in steps:
        if step.event_id is None and step.run_id is not None:
            events.setdefault(step.run_id, []).append(step)
    known = {run.run_id: run for run in runs}
    for run_id, its in events.items():
        run = known.get(run_id)
        moments = [step.timestamp for step in its]
        if run is None:
            start, end = min(moments), max(moments)
        else:
            start = run.started_at or run.created_at
            end = run.finished_at or max([start, *moments])
        status = run.status if run is not None else None
        tool = run.tool_name if run is not None else None
        attributes: dict[str, Value | None] = {
            OPERATION: TOOL,
            TOOL_NAME: tool,
            TOOL_CALL: run_id,
            RUN: run_id,
            RUN_STATUS: status,
            "aximo.run.exit_code": run.exit_code if run is not None else None,
            WITHHELD: True if status == "blocked" else None,
            ERROR: OTHER if status == "failed" else None,
        }
        span = _child(root, _id(8, "aximo-run-span", run_id), f"{TOOL} {tool}" if tool else TOOL, attributes)
        span.is_error = status == "failed"
        for step in its:
            told = _present({RUN_EVENT: step.run_event_id})
            span.marks.append(Mark(step.event_type, _bound(_nanoseconds(step.timestamp)), told))
        yield _timed(span, start, end)
