"""CloudEvents 1.0, out and in: events and run events as JSON, for brokers and whoever listens to them.

Each event has all of its line in it, so that the same line comes back. What a payload is, is passed on as it stands:
nothing parses it and writes it anew. docs/cloudevents.md has the mapping.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, BinaryIO, Final, Literal, TextIO

from psycopg.rows import scalar_row

from aximo_db.client import statements
from aximo_db.client.errors import MalformedEventError
from aximo_db.client.events import Log, shortened
from aximo_db.client.feed import Feed
from aximo_db.client.store import EventStore
from aximo_db.client.whose import no_customer
from aximo_db.lines.exporter import FETCH, Exported, numbered_lines, snapshot, unnumbered
from aximo_db.lines.importer import ImportSummary, import_lines, is_text, raw_lines, read_object
from aximo_db.lines.members import array_elements, members
from aximo_db.lines.run_files import import_runs

__all__ = [
    "TYPE_PREFIX",
    "CloudEventReader",
    "CloudEventWriter",
    "export_cloudevents",
    "import_cloudevents",
    "tail_cloudevents",
]

#: What types begin with, if nothing else is said. An owner's domain, backwards, is better: com.example.aximo.
TYPE_PREFIX: Final = "aximo."
_SUFFIX: Final = ".v1"
_RUN: Final = "run."
_SCHEMAS: Final = {"events": "urn:aximo:event-model:1.0", "run_events": "urn:aximo:run-events:1.0"}
_AUTH: Final = {"system": "system", "founder": "user", "operator": "user", "external_user": "app_user"}
_SEQUENCE_DIGITS: Final = 19  # of the largest bigint: the extension wants the order of text

#: What a CloudEvents string must not hold: control characters and what Unicode says is no character. The sign of the
#: encoding goes with them.
_NONCHARACTERS: Final = "\ufdd0-\ufdef" + "".join(
    chr(plane << 16 | 0xFFFE) + chr(plane << 16 | 0xFFFF) for plane in range(17)
)
_FORBIDDEN: Final = re.compile(f"[%\x00-\x1f\x7f-\x9f{_NONCHARACTERS}]")
#: A string of a line in which none of them can be: no escape, which might stand for one.
_PLAIN: Final = re.compile(f'"[^%\\\\\x7f-\x9f{_NONCHARACTERS}]*"')
_ENCODED: Final = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
#: Of an origin, what no URI may hold.
_NOT_IN_URIS: Final = re.compile(r'["<>\\^`{|}\[\]#]')

#: Attributes that a field of an event is, in the order in which they are written: those of the rest are made of them.
_OF_EVENTS: Final = {
    "customer_id": "aximocustomer",
    "deployment_id": "aximodeployment",
    "skill_id": "aximoskill",
    "skill_version": "aximoskillversion",
    "execution_id": "aximoexecution",
    "step": "aximostep",
    "risk_level": "aximorisk",
    "approval_mode": "aximoapprovalmode",
    "actor": "aximoactor",
    "channel_type": "aximochannel",
    "error_code": "aximoerror",
    "latency_ms": "aximolatencyms",
    "recorded_by": "aximorecordedby",
}
_OF_RUN_EVENTS: Final = {"customer_id": "aximocustomer", "recorded_by": "aximorecordedby"}
#: The official extension must not be empty, a correlation_id may be.
_CORRELATION, _EMPTY_CORRELATION = "correlationid", "aximocorrelationid"
#: The fields of a line, in order; its attribute, or how it is told, is in _fields and _run_fields.
_DATA_OF_RUN_EVENTS: Final = ("message", "data", "extra")
#: The key that unknown extensions are kept under.
KEPT: Final = "cloudevents"
_COMMON: Final = (
    "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data", "sequence",
    "partitionkey", "recordedtime",
)  # fmt: skip
_KNOWN: Final = {
    "events": frozenset((*_COMMON, "authtype", _CORRELATION, _EMPTY_CORRELATION, *_OF_EVENTS.values())),
    "run_events": frozenset((*_COMMON, *_OF_RUN_EVENTS.values())),
}
_DIGITS: Final = re.compile(r"-?(?:0|[1-9][0-9]*)")


# Out


def _encoded(text: str) -> str:
    return _FORBIDDEN.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), text)


def _attribute(raw: str) -> str:
    """A string of a line, as JSON, as a string that CloudEvents allow, as JSON."""
    if _PLAIN.fullmatch(raw):
        return raw
    return json.dumps(_encoded(json.loads(raw)), ensure_ascii=False)


class CloudEventWriter:
    """Makes CloudEvents of the lines of a log.

    Args:
        origin: the log's, as in its checkpoints.
        log: which log it is.
        type_prefix: what types begin with.
    """

    def __init__(self, origin: str, log: Log = "events", type_prefix: str = TYPE_PREFIX) -> None:
        source = "//" + _NOT_IN_URIS.sub(lambda found: f"%{ord(found[0]):02X}", origin)
        self._source = json.dumps(source)
        self._prefix = json.dumps(_encoded(_checked_prefix(type_prefix)), ensure_ascii=False)[1:-1]
        self._write = self._event if log == "events" else self._run_event
        self._schema = json.dumps(_SCHEMAS[log])

    def write(self, number: int, line: str) -> str:
        """The CloudEvent of an entry, in one line without a line feed.

        Args:
            number: the entry's.
            line: its canonical line, as exported.
        """
        return self._write(f'"{number:0{_SEQUENCE_DIGITS}}"', dict(members(line)))

    def _event(self, sequence: str, fields: dict[str, str]) -> str:
        about = _attribute(fields.get("execution_id", fields["deployment_id"]))
        written = [
            '{"specversion":"1.0"',
            f'"id":{fields["event_id"]}',
            f'"source":{self._source}',
            f'"type":"{self._prefix}{fields["event_type"][1:-1]}{_SUFFIX}"',
            f'"subject":{about}',
            f'"time":{fields["timestamp"]}',
            '"datacontenttype":"application/json"',
            f'"dataschema":{self._schema}',
            f'"sequence":{sequence}',
            f'"partitionkey":{about}',
            f'"recordedtime":{fields["recorded_at"]}',
            f'"authtype":"{_AUTH[fields["actor"][1:-1]]}"',
        ]
        correlation = fields.get("correlation_id")
        if correlation is not None:
            name = _CORRELATION if correlation != '""' else _EMPTY_CORRELATION
            written.append(f'"{name}":{_attribute(correlation)}')
        for field, name in _OF_EVENTS.items():
            value = fields.get(field)
            if value is None:
                continue
            if field == "latency_ms":
                value = f'"{value}"'  # an integer of CloudEvents has 32 bits
            elif field != "step":
                value = _attribute(value)
            written.append(f'"{name}":{value}')
        written.append(f'"data":{fields["payload"]}}}')
        return ",".join(written)

    def _run_event(self, sequence: str, fields: dict[str, str]) -> str:
        about = _attribute(fields["run_id"])
        data = ",".join(f'"{name}":{fields[name]}' for name in _DATA_OF_RUN_EVENTS if name in fields)
        written = [
            '{"specversion":"1.0"',
            f'"id":"{fields["event_id"]}"',
            f'"source":{self._source}',
            f'"type":"{self._prefix}{_RUN}{_attribute(fields["kind"])[1:-1]}"',
            f'"subject":{about}',
            f'"time":{fields["created_at"]}',
            '"datacontenttype":"application/json"',
            f'"dataschema":{self._schema}',
            f'"sequence":{sequence}',
            f'"partitionkey":{about}',
            f'"recordedtime":{fields["recorded_at"]}',
            *(f'"{name}":{_attribute(fields[field])}' for field, name in _OF_RUN_EVENTS.items()),
            f'"data":{{{data}}}}}',
        ]
        return ",".join(written)


def _checked_prefix(prefix: str) -> str:
    try:
        prefix.encode()
    except UnicodeEncodeError as error:
        raise ValueError("a prefix of types is text in UTF-8") from error
    return prefix


def export_cloudevents(
    dsn: str | None,
    target: TextIO,
    *,
    customer_id: str | None = None,
    log: Log = "events",
    batch: bool = False,
    type_prefix: str = TYPE_PREFIX,
    progress: Callable[[int], None] | None = None,
) -> Exported:
    """Writes a log of a customer as CloudEvents, one a line, from one consistent snapshot.

    Args:
        dsn, target, customer_id, log, progress: as for :func:`aximo_db.lines.exporter.export_log`.
        batch: write one JSON array, as ``application/cloudevents-batch+json`` has it.
        type_prefix: what types begin with.

    Raises:
        MalformedEventError: there is no such log.
        ProofError: an entry's event is not there, or a number is missing: somebody took it away.
        CustomerError: no customer, or one that the login was not granted.
    """
    statements.check_log(log)
    written = 0
    with snapshot(dsn, customer_id, numbered=True) as connection:
        row = connection.execute("select aximo.log_origin(%s)", (log,)).fetchone()
        if row is None or row[0] is None:
            raise no_customer(connection)
        writer = CloudEventWriter(row[0], log, type_prefix)
        if batch:
            target.write("[")
        for number, line in numbered_lines(connection, log):
            if batch:
                target.write(",\n" if written else "\n")
            target.write(writer.write(number, line))
            if not batch:
                target.write("\n")
            written += 1
            if progress is not None and written % FETCH == 0:
                progress(written)
        if batch:
            target.write("\n]\n")
        missing = unnumbered(connection, log, written)
    if progress is not None:
        progress(written)
    return Exported(written, missing)


def tail_cloudevents(
    store: EventStore,
    name: str | None = None,
    *,
    log: Log = "events",
    after: int = 0,
    advance: bool = False,
    follow: bool = True,
    type_prefix: str = TYPE_PREFIX,
) -> Iterator[str]:
    """The CloudEvents of a log one by one, and on with what comes.

    Args:
        store: whose customer's.
        name, after, advance, follow: as for :meth:`aximo_db.EventStore.subscribe`.
        log: which log.
        type_prefix: what types begin with.

    Raises:
        The same as :meth:`aximo_db.EventStore.subscribe`.
    """
    statements.check_log(log)
    session = store._session
    feed = Feed(session, statements.lines_of(log))
    feed.size(None)  # which tells whether there is a customer
    (origin,) = session.read("select aximo.log_origin(%s)", (log,), scalar_row, call="log_origin", customer_id=None)
    writer = CloudEventWriter(origin, log, type_prefix)
    for entry in feed.subscribe(name, after, 1000, advance, follow, (0.05, 1.0), None, None):
        yield writer.write(entry.number, entry.line)


# In


class CloudEventReader:
    """Makes lines of CloudEvents.

    Args:
        log: of which log the lines are.
        type_prefix: what types begin with.
        keep_extensions: keep extensions that are not known, under the key ``cloudevents`` of the payload, or beside
            a run event's fields; else they are refused.
    """

    def __init__(self, log: Log = "events", *, type_prefix: str = TYPE_PREFIX, keep_extensions: bool = False) -> None:
        self._log = log
        self._prefix = _checked_prefix(type_prefix)
        self._keeps = keep_extensions

    def read(self, raw: bytes) -> tuple[str, dict[str, Any]]:
        """A line, and the object that it is, as :func:`aximo_db.lines.importer.read_object` gives them.

        Raises:
            MalformedEventError: it is no CloudEvent, or none of this log.
        """
        return read_object(self.line(raw).encode())

    def line(self, raw: bytes) -> str:
        """The canonical line of a CloudEvent.

        Raises:
            MalformedEventError: it is no CloudEvent, or none of this log.
        """
        text, attributes = read_object(raw)
        # What is not set may be null.
        values = {name: value for name, value in attributes.items() if value is not None or name == "data"}
        raws = dict(members(text))
        if not is_text(values.get("specversion")) or values["specversion"] != "1.0":
            raise MalformedEventError(
                "this is no event of this ledger",
                rule="cloudevent_version_known",
                detail="specversion is missing, or not 1.0",
                hint="Send CloudEvents 1.0 in the JSON format; JSON lines of events are imported without --format.",
            )
        strings = {
            name: self._string(name, value)
            for name, value in values.items()
            if name in _KNOWN[self._log] and name not in ("data", "aximostep")
        }
        extensions = [name for name in values if name not in _KNOWN[self._log]]
        if "data_base64" in extensions:
            raise MalformedEventError(
                "this is no event of this ledger",
                rule="cloudevent_data_is_json",
                detail="data_base64 holds bytes",
                hint="The data of an event is a JSON object, in data.",
            )
        if extensions and not self._keeps:
            raise MalformedEventError(
                "this CloudEvent has something that events do not",
                rule="cloudevent_extensions_known",
                detail=f"unknown: {', '.join(shortened(name) for name in sorted(extensions)[:5])}",
                hint="Take it out, or keep it with --keep-extensions: it is in the payload then, under cloudevents.",
            )
        kept = ",".join(f"{json.dumps(name, ensure_ascii=False)}:{raws[name]}" for name in extensions)
        make = self._event if self._log == "events" else self._run_event
        return make(strings, values, raws, kept)

    def _string(self, name: str, value: object) -> str:
        if not is_text(value):
            raise MalformedEventError(
                "malformed CloudEvent",
                rule="cloudevent_attribute_is_string",
                detail=f"{name} is not a string",
                hint="Write it in quotes: every attribute is a string but aximostep.",
            )
        text = str(value)
        if "%" not in text:
            return text
        try:
            decoded = _ENCODED.sub(lambda found: bytes.fromhex(found[0].replace("%", "")).decode(), text)
        except UnicodeDecodeError:
            decoded = None
        if decoded is None or "%" in _ENCODED.sub("", text):
            raise MalformedEventError(
                "malformed CloudEvent",
                rule="cloudevent_percent_encoded",
                detail=f"{name} has a percent sign that begins no byte of UTF-8",
                hint="Write a percent sign as %25. Control characters are written so too: a line feed is %0A.",
            )
        return decoded

    def _kind(self, strings: dict[str, str], before: str, after: str) -> str:
        """What the type says, without what is around it."""
        given = strings["type"]
        if len(given) > len(before) + len(after) and given.startswith(before) and given.endswith(after):
            return given[len(before) : len(given) - len(after)]
        raise MalformedEventError(
            "this is no event of this ledger",
            rule="cloudevent_type_known",
            detail=f"type is {shortened(given)!r}",
            hint=f"Types here are {shortened(before)}…{after}; --type-prefix says what they begin with."
            " Events are read by import, run events by runs import.",
        )

    def _check(self, strings: dict[str, str], required: tuple[str, ...]) -> None:
        for name in required:
            if not strings.get(name):
                raise MalformedEventError(
                    "this is no event of this ledger",
                    rule="cloudevent_attribute_present",
                    detail=f"{name} is missing",
                    hint="See docs/cloudevents.md for the attributes that make a CloudEvent an event of the ledger.",
                )

    def _agree(self, strings: dict[str, str], expected: dict[str, str | None]) -> None:
        """What says again what another attribute says, says the same: nothing that is sent is lost in silence."""
        for name, value in expected.items():
            if name in strings and strings[name] != value:
                raise MalformedEventError(
                    "this CloudEvent contradicts itself",
                    rule="cloudevent_attributes_agree",
                    detail=f"{name} is {shortened(strings[name])!r}, not {shortened(value)!r}",
                    hint="Leave it out: it follows from the other attributes.",
                )

    def _event(self, strings: dict[str, str], values: dict[str, Any], raws: dict[str, str], kept: str) -> str:
        required = tuple(_OF_EVENTS[name] for name in ("deployment_id", "skill_id", "skill_version", "actor"))
        self._check(strings, ("id", "source", "type", *required))
        event_type = self._kind(strings, self._prefix, _SUFFIX)
        about = strings.get("aximoexecution", strings["aximodeployment"])
        self._agree(
            strings,
            {
                "subject": about,
                "partitionkey": about,
                # An actor that there is not is refused by the database.
                **({"authtype": _AUTH[strings["aximoactor"]]} if strings["aximoactor"] in _AUTH else {}),
                "datacontenttype": "application/json",
                "dataschema": _SCHEMAS["events"],
                _EMPTY_CORRELATION: "" if _CORRELATION not in strings else None,
            },
        )
        latency = strings.get("aximolatencyms")
        if latency is not None and not _DIGITS.fullmatch(latency):
            raise MalformedEventError(
                "malformed CloudEvent",
                rule="cloudevent_latency_is_digits",
                detail=f"aximolatencyms is {shortened(latency)!r}",
                hint="Write whole milliseconds in quotes.",
            )
        payload = raws.get("data")
        if kept:
            payload = _with_kept(payload if payload is not None else "{}", values.get("data"), kept)
        quoted = {name: json.dumps(value, ensure_ascii=False) for name, value in strings.items()}
        fields = {
            "event_id": quoted["id"],
            "event_type": json.dumps(event_type, ensure_ascii=False),
            "timestamp": quoted.get("time"),
            **{
                field: quoted.get(_OF_EVENTS[field])
                for field in ("customer_id", "deployment_id", "skill_id", "skill_version", "execution_id")
            },
            "step": raws.get("aximostep"),
            **{field: quoted.get(_OF_EVENTS[field]) for field in ("risk_level", "approval_mode", "actor")},
            "payload": payload,
            "correlation_id": quoted.get(_CORRELATION, quoted.get(_EMPTY_CORRELATION)),
            "channel_type": quoted.get("aximochannel"),
            "error_code": quoted.get("aximoerror"),
            "latency_ms": latency,
            "recorded_at": quoted.get("recordedtime"),
            "recorded_by": quoted.get("aximorecordedby"),
        }
        return _line_of(fields)

    def _run_event(self, strings: dict[str, str], values: dict[str, Any], raws: dict[str, str], kept: str) -> str:
        self._check(strings, ("id", "source", "type", "subject"))
        kind = self._kind(strings, f"{self._prefix}{_RUN}", "")
        self._agree(
            strings,
            {
                "partitionkey": strings["subject"],
                "datacontenttype": "application/json",
                "dataschema": _SCHEMAS["run_events"],
            },
        )
        data = values.get("data")
        if data is not None and not (isinstance(data, dict) and data.keys() <= set(_DATA_OF_RUN_EVENTS)):
            raise MalformedEventError(
                "malformed CloudEvent",
                rule="cloudevent_data_of_run",
                detail="data is no object of message, data and extra",
                hint="A run event's data holds its message, its data, and what an import found beside them.",
            )
        parts = dict(members(raws["data"])) if data is not None else {}
        quoted = {name: json.dumps(value, ensure_ascii=False) for name, value in strings.items()}
        fields = {
            "run_id": quoted["subject"],
            "event_id": strings["id"] if _DIGITS.fullmatch(strings["id"]) else quoted["id"],
            "created_at": quoted.get("time"),
            "kind": json.dumps(kind, ensure_ascii=False),
            **{name: parts.get(name) for name in _DATA_OF_RUN_EVENTS},
            "customer_id": quoted.get("aximocustomer"),
            "recorded_at": quoted.get("recordedtime"),
            "recorded_by": quoted.get("aximorecordedby"),
            KEPT: f"{{{kept}}}" if kept else None,
        }
        return _line_of(fields)


def _line_of(fields: dict[str, str | None]) -> str:
    return "{" + ",".join(f'"{name}":{raw}' for name, raw in fields.items() if raw is not None) + "}"


def _with_kept(payload: str, value: object, kept: str) -> str:
    """A payload as it stands, with one more key; what is no object stays, to be refused."""
    if value is not None and not isinstance(value, dict):
        return payload
    if value and KEPT in value:
        raise MalformedEventError(
            "this CloudEvent has something that events do not",
            rule="cloudevent_extensions_known",
            detail=f"unknown extensions, and the payload has a key {KEPT} already",
            hint="Take the extensions out before the import.",
        )
    inside = payload.strip()[1:-1] if value else ""
    return f'{{{inside}{"," if value else ""}"{KEPT}":{{{kept}}}}}'


def import_cloudevents(
    store: EventStore,
    source: BinaryIO,
    *,
    log: Log = "events",
    batch: bool = False,
    type_prefix: str = TYPE_PREFIX,
    keep_extensions: bool = False,
    customer_id: str | None = None,
    on_error: Literal["stop", "reject"] = "stop",
    rejects: TextIO | None = None,
    batch_size: int = 1000,
    accept_violations: bool = False,
    create_runs: bool = True,
    progress: Callable[[int, ImportSummary], None] | None = None,
) -> ImportSummary:
    """Imports CloudEvents that :func:`export_cloudevents` wrote, or whoever keeps to its mapping.

    Where they come from, their place there, and when and by whom they were recorded there are the other ledger's:
    they are read and left out, as from JSON lines. A second run adds nothing.

    Args:
        store, source, customer_id, on_error, rejects, batch_size, progress: as for
            :func:`aximo_db.lines.importer.import_lines`; a line number is an element's of an array.
        log: ``events``, or ``run_events``, which :func:`aximo_db.lines.run_files.import_runs` takes.
        batch: read JSON arrays; else one CloudEvent a line.
        type_prefix, keep_extensions: as for :class:`CloudEventReader`.
        accept_violations: of events: take history as it was.
        create_runs: of run events: make runs that do not exist.

    Raises:
        The same as :func:`aximo_db.lines.importer.import_lines`.
    """
    statements.check_log(log)
    reader = CloudEventReader(log, type_prefix=type_prefix, keep_extensions=keep_extensions)
    take: Callable[..., ImportSummary]
    if log == "events":
        take = partial(import_lines, accept_violations=accept_violations)
    else:
        take = partial(import_runs, create_runs=create_runs)
    return take(
        store,
        source,
        customer_id=customer_id,
        on_error=on_error,
        rejects=rejects,
        batch_size=batch_size,
        progress=progress,
        read=reader.read,
        split=array_elements if batch else raw_lines,
    )
