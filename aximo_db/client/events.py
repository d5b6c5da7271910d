"""Events as values: what is sent, what is stored, and what is derived from it.

The fields are those of the event model v1.0, section 4 (spec section 2); the database enforces their limits.
The lists of them in ``NewEvent``, ``Event`` and ``TraceStep`` are made by ``tools/event_fields.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final, Generic, Literal, NamedTuple, TypeAlias, TypeVar
from uuid import UUID

from uuid_utils.compat import uuid7

from aximo_db.client.errors import MalformedEventError
from aximo_db.client.sealed import Erased, Sealed
from aximo_db.client.vocabulary import Actor, EventType

__all__ = [
    "AdvanceResult",
    "Approval",
    "Batch",
    "Deployment",
    "DeploymentVersion",
    "EmitSummary",
    "Event",
    "Execution",
    "Log",
    "LogBatch",
    "LogCursor",
    "LogEntry",
    "NewEvent",
    "OpenExecution",
    "Receipt",
    "TraceStep",
    "UnreadableJson",
]

C = TypeVar("C")
E = TypeVar("E")

#: The logs of a customer: of ``aximo.events``, and of ``helix.run_events``.
Log: TypeAlias = Literal["events", "run_events"]


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> UUID:
    return uuid7()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event to be written. Its ``event_id`` is made with it, so emitting the same object again is safe.

    Attributes:
        event_type: one of ``aximo_db.EVENT_TYPES``.
        deployment_id, skill_id, skill_version: required, 1 to 255 characters, not blank.
        actor: ``system``, ``founder``, ``operator`` or ``external_user``.
        customer_id: whose event it is; ``None`` for the store's or the login's only customer.
        execution_id: required for execution, action and approval events.
        payload: JSON object, any mapping, at most 1 MiB as text; string keys, no NaN. A Decimal keeps its digits, and a
            Sealed is sealed before it is sent.
        timestamp: when it happened; a naive one is UTC; now, if left out.
        risk_level, approval_mode, correlation_id, channel_type, error_code: optional, at most 255 characters.
        latency_ms: optional, milliseconds, not negative.
        event_id: unique within the customer; a UUIDv7 if left out. Of any class of UUIDs.
    """

    event_type: EventType
    deployment_id: str
    skill_id: str
    skill_version: str
    actor: Actor
    customer_id: str | None = None
    execution_id: str | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    timestamp: datetime = field(default_factory=_now)
    risk_level: str | None = None
    approval_mode: str | None = None
    correlation_id: str | None = None
    channel_type: str | None = None
    error_code: str | None = None
    latency_ms: int | None = None
    event_id: UUID = field(default_factory=_new_id)

    @classmethod
    def of(cls, event: object) -> NewEvent:
        """The event that an object stands for: a :class:`NewEvent`, a mapping, or anything with those attributes.

        An object that has no attribute ``channel_type`` gets it from ``payload["channel"]``: agent runtimes whose
        events have no such field name the channel there. The payload stays as it is. One that has the attribute, a
        mapping, and a :class:`NewEvent` say what they mean: ``None`` stays ``None``.

        Raises:
            MalformedEventError: a required field is missing, a mapping has an unknown one, or an id or timestamp
                can't be read.
        """
        if isinstance(event, NewEvent):
            return event if type(event.event_id) is UUID else replace(event, event_id=as_uuid(event.event_id))
        given: dict[str, Any]
        if isinstance(event, Mapping):
            unknown = [str(key) for key in event if key not in FIELDS]
            if unknown:
                raise _unknown_fields(unknown)
            given = dict(event)
        else:
            given = {name: getattr(event, name) for name in FIELDS if hasattr(event, name)}
            if "channel_type" not in given:
                given["channel_type"] = _channel_in(given.get("payload"))
        missing = [name for name in _REQUIRED if given.get(name) is None]
        if missing:
            detail = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
            raise MalformedEventError(rule=f"{missing[0]}_present", detail=detail, hint=_REQUIRED_HINT)
        # What has a default is left out if it was given as None.
        given = {name: value for name, value in given.items() if value is not None}
        if isinstance(given.get("timestamp"), str):
            given["timestamp"] = _read_timestamp(given["timestamp"])
        if "event_id" in given:
            given["event_id"] = as_uuid(given["event_id"])
        return cls(**given)

    def as_json(self, customer_id: str | None = None) -> dict[str, Any]:
        """The event as a JSON object, as ``aximo.emit_events`` takes it; fields without a value are left out.

        Args:
            customer_id: the customer to name if the event names none.
        """
        document: dict[str, Any] = {}
        for name in FIELDS:
            value = getattr(self, name)
            if value is not None:
                document[name] = value
        document["timestamp"] = in_utc(self.timestamp).isoformat(timespec="microseconds")
        document["event_id"] = str(self.event_id)
        document["payload"] = checked_payload(self.payload)
        if self.customer_id is None and customer_id is not None:
            document["customer_id"] = customer_id
        return document


def _channel_in(payload: object) -> str | None:
    """The channel that a runtime's payload names, whose events have no field for it; if it can be one."""
    channel = payload.get("channel") if isinstance(payload, Mapping) else None
    if not isinstance(channel, str) or not channel.strip() or len(channel) > 255:
        return None
    return None if _UNSTORABLE.search(channel) else channel


#: What no text in PostgreSQL can hold: NUL, and half of a surrogate pair.
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")

#: The fields of an event that a client may set.
FIELDS: Final = tuple(item.name for item in fields(NewEvent))
_REQUIRED: Final = ("event_type", "deployment_id", "skill_id", "skill_version", "actor")
_REQUIRED_HINT: Final = "Every event has event_type, deployment_id, skill_id, skill_version and actor."

#: What several places say of text that PostgreSQL can't store.
LONE_SURROGATE: Final = "a text holds half a surrogate pair, which no UTF-8 has"
NO_SURROGATE: Final = "Decode the text as UTF-8 before it is put into an event; errors='replace' takes any bytes."
NUL_CHARACTER: Final = "a text holds a NUL character"
NO_NUL: Final = "PostgreSQL stores no NUL: leave it out, or encode the text, as base64 does."
_MOMENT: Final = "Give a datetime, or text as RFC 3339 has it: 2026-01-31T12:00:00Z."


def shortened(value: object) -> str:
    """The value as text, cut to the 60 characters that errors say of one."""
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _unknown_fields(names: list[str]) -> MalformedEventError:
    told = ", ".join(repr(shortened(name)) for name in sorted(names)[:5])
    near = get_close_matches(names[0], FIELDS, 1)
    meant = f"Did you mean {near[0]}? " if near else ""
    return MalformedEventError(
        rule="fields_known",
        detail=f"an event has no field {told}{' and others' if len(names) > 5 else ''}",
        hint=f"{meant}The fields are {', '.join(FIELDS)}; the rest goes into payload.",
    )


#: More parts than 1 MiB of JSON can have: the smallest is two characters.
_MOST_PARTS: Final = 1_048_576
# What is asked first is decided fast: asking for a Mapping takes ten times as long as for a type.
_LEAVES: Final = frozenset({str, int, float, bool, type(None)})
_ARRAYS: Final = (list, tuple)
_OBJECTS: Final = (dict, Mapping)
_CONTAINERS: Final = (*_ARRAYS, *_OBJECTS)


_RFC_3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ]((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:\.(\d+))?"
    r"([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)


def read_moment(text: str) -> datetime:
    """The moment, in UTC, that a text in RFC 3339 says, as the database reads it: digits beyond the sixth are cut.

    Raises:
        ValueError: no date and time with an offset, or outside of the years 1 to 9999.
    """
    found = _RFC_3339.fullmatch(text)
    if found is None:
        raise ValueError("not a date and time with an offset, as RFC 3339 has them")
    date, time, fraction, offset = found.groups()
    moment = datetime.fromisoformat(f"{date}T{time}.{(fraction or '')[:6]:0<6}{offset.upper()}")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("outside of the years 1 to 9999") from error


def as_uuid(value: object) -> UUID:
    """The UUID that an id is, of whatever class, or that its text says.

    Raises:
        MalformedEventError: it is none.
    """
    if type(value) is UUID:
        return value
    try:
        return UUID(str(value))
    except ValueError as error:
        raise MalformedEventError(
            rule="event_id_well_formed",
            detail=f"event_id is {shortened(value)!r}, which is no UUID",
            hint="Give a UUID, or leave event_id out: then one is made.",
        ) from error


def _read_timestamp(text: str) -> datetime:
    try:
        return read_moment(text)
    except ValueError as error:
        detail = f"timestamp is {shortened(text)!r}, which is no moment"
        raise MalformedEventError(rule="timestamp_well_formed", detail=detail, hint=_MOMENT) from error


def utc(moment: datetime) -> datetime:
    """The moment with a time zone; a naive one is taken as UTC.

    Raises:
        MalformedEventError: not a datetime.
    """
    if not isinstance(moment, datetime):
        raise MalformedEventError(
            rule="timestamp_well_formed", detail=f"timestamp is a {type(moment).__name__}", hint=_MOMENT
        )
    return moment if moment.utcoffset() is not None else moment.replace(tzinfo=UTC)


def in_utc(moment: datetime) -> datetime:
    """The moment in UTC; a naive one is taken as that.

    Raises:
        MalformedEventError: not a datetime, or outside of the years 1 to 9999.
    """
    try:
        return utc(moment).astimezone(UTC)
    except OverflowError as error:
        detail = "timestamp is outside of the years 1 to 9999, UTC"
        raise MalformedEventError(rule="timestamp_well_formed", detail=detail, hint=_MOMENT) from error


def checked_payload(payload: object) -> Mapping[str, Any] | _Kept:
    """The payload, to be encoded, if it is a mapping whose keys, at any depth, are strings.

    Python's JSON encoder turns other keys into strings, so that ``{1: …, "1": …}`` would lose one of them.

    Raises:
        MalformedEventError: it is not.
    """
    if not isinstance(payload, _OBJECTS):
        raise MalformedEventError(
            rule="payload_is_object",
            detail=f"payload is a {type(payload).__name__}",
            hint="Give payload as a mapping, such as a dict.",
        )
    pending: list[Any] = [payload]
    is_kept = False
    parts = 1
    while pending:
        value = pending.pop()
        if not isinstance(value, _CONTAINERS):
            continue
        parts += len(value)
        if parts > _MOST_PARTS:
            raise MalformedEventError(
                rule="payload_size",
                detail=f"payload has more than {_MOST_PARTS:,} parts, or contains itself",
                hint="A payload has at most 1 MiB as text. Keep the rest elsewhere, and name it in the payload.",
            )
        if isinstance(value, _ARRAYS):
            pending += [item for item in value if type(item) not in _LEAVES]
            continue
        is_kept = is_kept or type(value) is UnreadableJson
        for key, item in value.items():
            if not isinstance(key, str):
                raise MalformedEventError(
                    rule="payload_keys_are_strings",
                    detail=f"a key of payload is a {type(key).__name__}",
                    hint="Make strings of the keys; JSON has no others.",
                )
            if type(item) not in _LEAVES:
                pending.append(item)
    return _Kept(payload) if is_kept else payload


class _NoFormError(TypeError):
    """A value that JSON has no form for; its text names the type, and no value."""


class _NeedsCareError(TypeError):
    """A value in it has a JSON form that the encoder does not know: an exact number, or JSON as it is stored."""


class _NeedsVaultError(TypeError):
    """A value is to be sealed, and nothing sealed it."""


class _Kept:
    """A payload with JSON in it that could not be read and is kept as it is."""

    __slots__ = ("payload",)

    def __init__(self, payload: Mapping[str, Any]) -> None:
        self.payload = payload


def _default(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Decimal | _Kept):
        raise _NeedsCareError
    if isinstance(value, Sealed):
        raise _NeedsVaultError
    raise _NoFormError(f"JSON has no form for a {type(value).__name__}")


# json.dumps would make one each time.
_encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_default).encode


def _encode_with_care(value: object) -> str:
    """As the encoder does, only slower: a Decimal keeps its digits, and JSON that was not read stays as it is."""
    if isinstance(value, _Kept):
        return _encode_with_care(value.payload)
    if isinstance(value, UnreadableJson):
        return value.text
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError("Out of range decimal values are not JSON compliant")
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_encode(key)}:{_encode_with_care(item)}" for key, item in value.items()) + "}"
    if isinstance(value, _ARRAYS):
        return "[" + ",".join(map(_encode_with_care, value)) + "]"
    return _encode(value)


def to_json(value: object) -> str:
    """JSON text that PostgreSQL can store: no NaN or infinity, no NUL, no lone surrogate.

    Raises:
        MalformedEventError: it holds one of those, something JSON has no form for, or is nested too deep.
    """
    try:
        try:
            text = _encode(value)
        except _NeedsCareError:
            text = _encode_with_care(value)
        text.encode()
    except UnicodeEncodeError as error:
        raise MalformedEventError(rule="no_lone_surrogate", detail=LONE_SURROGATE, hint=NO_SURROGATE) from error
    except RecursionError as error:
        raise MalformedEventError(
            rule="json_well_formed", detail="the payload is nested too deep", hint="Nest it less deep, or store text."
        ) from error
    except _NeedsVaultError:
        raise MalformedEventError(
            "there is no vault to seal a value with",
            rule="sealed_needs_vault",
            hint="Make the store with one: EventStore(vault=PostgresVault()). Nothing was sent.",
        ) from None
    except (TypeError, ValueError) as error:
        # Whoever made the mapping wrote that error's text, so it may quote.
        detail = str(error) if isinstance(error, _NoFormError) else "JSON has no form for a value in the payload"
        hint = "Use strings, finite numbers, true, false, null, lists and mappings that do not contain themselves."
        raise MalformedEventError(rule="json_well_formed", detail=detail, hint=hint) from None
    if "\\u0000" in text and "\x00" in _strings(value):
        raise MalformedEventError(rule="no_nul_character", detail=NUL_CHARACTER, hint=NO_NUL)
    return text


def _strings(value: object) -> str:
    """Every string in a JSON value, joined; only looked at when the text may hold a NUL."""
    found: list[str] = []
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, Mapping):
            found.extend(item)
            pending.extend(item.values())
        elif isinstance(item, list | tuple):
            pending.extend(item)
    return "\n".join(found)


class UnreadableJson(dict[str, Any]):
    """A stored payload that is nested too deep for Python's JSON reader.

    It is empty as a mapping; ``text`` is the JSON as it is stored, and what is sent if it is emitted again.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


def readable_json(data: str | bytes, parse_float: Callable[[str], Any] = float) -> Any:
    """Reads stored JSON; what can't be read does not keep the events around it from being read."""
    try:
        return json.loads(data, parse_float=parse_float)
    except ValueError:
        # Python reads no integer of more than some thousand digits; as a Decimal it does.
        return json.loads(data, parse_float=parse_float, parse_int=Decimal)
    except RecursionError:
        return UnreadableJson(data if isinstance(data, str) else bytes(data).decode())


def exact_json(data: str | bytes) -> Any:
    """Reads stored JSON without losing a digit: what is no integer becomes a Decimal."""
    return readable_json(data, Decimal)


class Receipt(NamedTuple):
    """What the ledger answers for an event.

    Attributes:
        event_id: the event's id.
        recorded_at: when it was recorded first, by the database's clock.
        duplicate: whether it had been recorded before, so that nothing was written now.
    """

    event_id: UUID
    recorded_at: datetime
    duplicate: bool


class EmitSummary(NamedTuple):
    """What became of a stream of events: how many were written, and how many had been written before."""

    inserted: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class Event:
    """A stored event: a row of ``aximo.events``. Times are aware."""

    event_id: UUID
    event_type: EventType
    timestamp: datetime
    customer_id: str
    deployment_id: str
    skill_id: str
    skill_version: str
    execution_id: str | None
    risk_level: str | None
    approval_mode: str | None
    actor: Actor
    payload: dict[str, Any]
    correlation_id: str | None
    channel_type: str | None
    error_code: str | None
    latency_ms: int | None
    recorded_at: datetime
    recorded_by: str
    step: int | None


@dataclass(frozen=True, slots=True)
class LogEntry(Event):
    """An event with its number in its customer's log, from 1 on without a gap: a row of ``aximo.log_entries``."""

    number: int


@dataclass(frozen=True, slots=True)
class LogCursor:
    """How far a consumer of the log has come: a row of ``aximo.cursors``.

    Attributes:
        customer_id: whose log.
        name: the consumer.
        number: the last number it is done with; 0 before the first.
        behind: how many numbered events it has not read yet.
        moved_at: when it was moved last, by the database's clock.
        moved_by: the login that moved it.
    """

    customer_id: str
    name: str
    number: int
    behind: int
    moved_at: datetime
    moved_by: str


@dataclass(frozen=True, slots=True)
class Batch(Generic[C, E]):
    """What a consumer of a log has to do next. Iterates over its entries; false if there are none.

    Attributes:
        name: the cursor.
        after: where the cursor was: the number before the first entry.
        entries: the entries, in order, without a gap.
        connection: the connection whose transaction moves the cursor; for the consumer's own statements.
    """

    name: str
    after: int
    entries: list[E]
    connection: C

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[E]:
        return iter(self.entries)

    @property
    def first(self) -> int:
        """The number of the first entry; of the one to come, if there are none."""
        return self.after + 1

    @property
    def last(self) -> int:
        """The number of the last entry, to which the cursor is moved; where it was, if there are none."""
        return self.after + len(self.entries)


class LogBatch(Batch[C, LogEntry]):
    """The next entries of the log of events, for a consumer: see :class:`Batch`."""

    __slots__ = ()


class AdvanceResult(NamedTuple):
    """What a call of ``advance_log`` did.

    Attributes:
        numbered: how many events, of all customers, were given their numbers.
        is_behind: whether there may be more; ``None`` if another session is at it.
    """

    numbered: int
    is_behind: bool | None


class RefreshedView(NamedTuple):
    """A materialized view that ``refresh_metrics`` made of what changed.

    Attributes:
        view_name: its name, in ``aximo_private``.
        refreshed_at: when it was done, by the database's clock; time-zone-aware.
        took: how long it took.
    """

    view_name: str
    refreshed_at: datetime
    took: timedelta


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One event of an execution, in order of arrival: a row of ``aximo.execution_trace``.

    Of an event of a tool run that served the execution, ``run_id``, ``run_event_id`` and ``message`` are set,
    ``event_type`` is its kind, ``payload`` its data, and what a run event does not have is ``None``.
    """

    customer_id: str
    execution_id: str
    step: int
    timestamp: datetime
    since_start: timedelta
    since_previous: timedelta | None
    event_type: str
    actor: str
    deployment_id: str | None
    skill_id: str | None
    skill_version: str | None
    risk_level: str | None
    approval_mode: str | None
    correlation_id: str | None
    channel_type: str | None
    error_code: str | None
    latency_ms: int | None
    payload: dict[str, Any] | None
    event_id: UUID | None
    answers_event_id: UUID | None
    recorded_at: datetime
    recorded_by: str
    run_id: str | None = None
    run_event_id: int | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """How an execution stands or ended: a row of ``aximo.executions``."""

    customer_id: str
    execution_id: str
    deployment_id: str
    skill_id: str
    skill_version: str
    status: str
    started_at: datetime | None
    ended_at: datetime | None
    duration: timedelta | None
    last_event_at: datetime
    events: int
    actions_prepared: int
    actions_dispatched: int
    actions_failed: int
    approvals_requested: int
    approvals_granted: int
    approvals_rejected: int
    approvals_timed_out: int
    error_code: str | None
    error_message: str | None
    outcome: str | None


@dataclass(frozen=True, slots=True)
class OpenExecution:
    """An execution that has not ended: a row of ``aximo.open_executions``."""

    customer_id: str
    execution_id: str
    deployment_id: str
    skill_id: str
    skill_version: str
    status: str
    started_at: datetime
    last_event_at: datetime
    age: timedelta
    idle: timedelta


@dataclass(frozen=True, slots=True)
class Approval:
    """An approval and what became of it: a row of ``aximo.approvals``."""

    customer_id: str
    execution_id: str
    approval_id: str | None
    deployment_id: str
    skill_id: str
    skill_version: str
    risk_level: str | None
    approval_mode: str | None
    requested_at: datetime
    requested_by: str
    decision: str
    decided_at: datetime | None
    decided_by: str | None
    decision_recorded_by: str | None
    delay: timedelta | None
    reason: str | None
    actions_withheld: list[str] | None
    request_event_id: UUID
    decision_event_id: UUID | None
    person: str | Erased | None


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment as it stands: a row of ``aximo.deployments``."""

    customer_id: str
    deployment_id: str
    skill_id: str | None
    skill_version: str | None
    status: str
    status_since: datetime | None
    status_event_id: UUID | None
    last_execution_at: datetime | None


@dataclass(frozen=True, slots=True)
class DeploymentVersion:
    """A period in which a deployment ran one version: a row of ``aximo.deployment_versions``."""

    customer_id: str
    deployment_id: str
    skill_id: str
    skill_version: str
    began_at: datetime
    ended_at: datetime | None
    is_current: bool
    began_by: str
    began_with: UUID
    ended_by: str | None
    ended_with: UUID | None
    basis: str
