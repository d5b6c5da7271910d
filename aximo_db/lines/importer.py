"""Reading events from JSON lines into the ledger: streaming, resumable, losing nothing.

A line reaches PostgreSQL as it stands in the file, so that no number loses a digit on the way. What is checked here is
what PostgreSQL would accept but change silently, or could not even be sent.
"""

from __future__ import annotations

import codecs
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, BinaryIO, Final, Literal, Self, TextIO, TypeAlias, TypeVar
from uuid import UUID, uuid5

from psycopg import Connection

from aximo_db.client.errors import (
    AttributionError,
    AximoError,
    CustomerError,
    DuplicateEventError,
    ImmutableError,
    MalformedEventError,
    RunError,
    SequenceError,
)
from aximo_db.client.events import FIELDS, as_uuid
from aximo_db.client.ledger_cursors import LedgerCursor
from aximo_db.client.sealing import Sealer
from aximo_db.client.store import EventStore
from aximo_db.files.source import UnreadableFileError, json_lines, looks_like
from aximo_db.lines import deep_json

__all__ = ["ImportStoppedError", "ImportSummary", "Refusal", "import_lines"]

#: The namespace of the ids that are derived for lines without an event_id. Never changes: the ids depend on it.
NAMESPACE: Final = UUID("3c1a7c84-9d0e-5b7e-8f57-6a1f0cbb2c55")
#: A longer line can't hold a payload of 1 MiB, even if every character of it is escaped.
LONGEST_LINE: Final = 16 * 1024 * 1024
#: Bytes after which a batch is written, however few lines they are.
LARGEST_BATCH: Final = 32 * 1024 * 1024

#: Rules that a line breaks if the file is something else.
_NO_LINE: Final = ("json_well_formed", "event_is_object", "text_is_utf_8", "payload_size", "run_event_size")

#: Fields of an exported line that are the ledger's own to set.
_IGNORED: Final = ("recorded_at", "recorded_by", "step")
_EMIT_LINES: Final = """
select count(*) filter (where not r.duplicate), count(*) filter (where r.duplicate)
from {function}({events}, '*') as r
"""
_LINES: Final = "%(lines)s::jsonb"
_EXPORTED_LINES: Final = """(
    select jsonb_agg(e.value - %(ignored)s::text[] order by e.ordinality)
    from jsonb_array_elements(%(lines)s::jsonb) with ordinality as e
)"""


@dataclass(frozen=True, slots=True)
class Refusal:
    r"""A line that was not taken.

    Attributes:
        line_number: from 1.
        code: the registered SQLSTATE.
        rule: the rule or constraint that refused.
        reason: in words.
        line: the line itself; bytes that are not UTF-8 as \xNN.
    """

    line_number: int
    code: str
    rule: str | None
    reason: str
    line: str

    def as_json(self) -> dict[str, Any]:
        """For a rejects file: one JSON object a line."""
        return asdict(self)


@dataclass(slots=True)
class ImportSummary:
    """What became of the lines. ``read`` is the sum of the other three, unless the import was stopped."""

    read: int = 0
    inserted: int = 0
    duplicates: int = 0
    refused: int = 0
    first_refusals: list[Refusal] = field(default_factory=list)

    def refuse(self, refusal: Refusal) -> None:
        """Counts a refused line."""
        self.refused += 1
        if len(self.first_refusals) < 10:
            self.first_refusals.append(refusal)

    def as_json(self) -> dict[str, Any]:
        """The counts and the first refusals."""
        return asdict(self)


class ImportStoppedError(Exception):
    """A line was refused and the import was to stop at the first one. What came before it is in the ledger."""

    def __init__(self, refusal: Refusal, summary: ImportSummary) -> None:
        super().__init__(f"line {refusal.line_number}: {refusal.reason} ({refusal.code})")
        self.refusal = refusal
        self.summary = summary

    def __reduce__(self) -> tuple[type[Self], tuple[Refusal, ImportSummary]]:
        return type(self), (self.refusal, self.summary)


@dataclass(frozen=True, slots=True)
class Line:
    """A line to be written, as it stands in the file."""

    number: int
    text: str


L = TypeVar("L", bound=Line)
#: Makes of a line, as it stands in a file, the text that is sent, and the object that it is.
Read: TypeAlias = Callable[[bytes], tuple[str, dict[str, Any]]]
#: Finds in a file the lines, each with its number and the position after it; of one that is too long, the beginning.
Split: TypeAlias = Callable[[BinaryIO, int], Iterator[tuple[int, bytes, int]]]


@dataclass(frozen=True, slots=True)
class _EventLine(Line):
    #: As it is sent: with the event_id and the customer_id that it lacks.
    whole: str
    #: Whether it has fields that are to be ignored.
    is_exported: bool


def import_lines(
    store: EventStore,
    source: BinaryIO,
    *,
    customer_id: str | None = None,
    on_error: Literal["stop", "reject"] = "stop",
    rejects: TextIO | None = None,
    batch_size: int = 1000,
    accept_violations: bool = False,
    progress: Callable[[int, ImportSummary], None] | None = None,
    read: Read | None = None,
    split: Split | None = None,
) -> ImportSummary:
    """Imports JSON lines, each an event with the fields of ``aximo.events``.

    A second run adds nothing: an event that is there is a duplicate. A line without an ``event_id`` gets one derived
    from its content and from how often the same content came before it in this file; that keeps about 100 bytes of
    memory a line. ``recorded_at``, ``recorded_by`` and ``step`` are the database's to set, so those of
    an export are left out. Fields that the store seals are sealed in lines, too, under the id that a line has or gets.

    Args:
        store: where to; its login must be granted the customers of the file.
        source: a binary file; UTF-8, a byte order mark, CRLF and gzip are fine, empty lines are skipped.
        customer_id: the customer of lines that name none.
        on_error: ``stop`` at the first refused line, or ``reject`` it and go on.
        rejects: where refused lines are written to, as JSON lines.
        batch_size: lines a transaction.
        accept_violations: take history as it was: what breaks a rule of its execution's life is listed in
            ``aximo.violations`` when it is numbered, instead of refused. Needs the role ``aximo_operator``.
        progress: called after each batch with the bytes read and the counts.
        read: makes of a line of another kind the line that it stands for, and the object that this is.
        split: finds the lines in a file of another kind.

    Raises:
        ImportStoppedError: a line was refused and ``on_error`` is ``stop``.
        MalformedEventError: the file is no text in UTF-8, or what is compressed is damaged.
        ConnectionLostError, NotConnectedError: the server stayed away; run again to go on.
        ReadOnlyError, ConnectionStateError, SchemaVersionError: nothing can be written there.
    """
    function = "aximo.import_events" if accept_violations else "aximo.emit_events"
    seen: Counter[bytes] = Counter()
    return import_each(
        source,
        lambda number, raw: _event_line(number, raw, customer_id, seen, read, store._session.sealer),
        lambda lines: _write_events(store, function, lines),
        on_error=on_error,
        rejects=rejects,
        batch_size=batch_size,
        progress=progress,
        split=split,
    )


def import_each(
    source: BinaryIO,
    parse: Callable[[int, bytes], L],
    write: Callable[[Sequence[L]], tuple[int, int]],
    *,
    on_error: Literal["stop", "reject"],
    rejects: TextIO | None,
    batch_size: int,
    progress: Callable[[int, ImportSummary], None] | None,
    longest: int = LONGEST_LINE,
    split: Split | None = None,
) -> ImportSummary:
    """Reads lines, writes them batch by batch, and refuses what can't be read or written.

    Args:
        source: as for :func:`import_lines`.
        parse: makes a line of its number and its bytes, or raises :class:`MalformedEventError`.
        write: writes lines, all or nothing, and returns how many were inserted and how many were there.
        on_error, rejects, batch_size, progress: as for :func:`import_lines`.
        longest: of a longer line, in bytes, ``parse`` gets no more than the beginning.
        split: finds the lines in the file; :func:`raw_lines` if left out.

    Raises:
        ImportStoppedError, MalformedEventError, ConnectionLostError: as :func:`import_lines`.
    """
    summary = ImportSummary()
    batch: list[L] = []
    size = position = 0

    def refuse(refusal: Refusal) -> None:
        summary.refuse(refusal)
        if on_error == "stop":
            raise ImportStoppedError(refusal, summary)
        if rejects is not None:
            write_refusal(rejects, refusal)

    def flush() -> None:
        nonlocal size
        write_or_refuse(batch, write, summary, refuse)
        batch.clear()
        size = 0
        if progress is not None:
            progress(position, summary)

    for number, raw, after in (split or raw_lines)(source, longest):
        position = after
        text = as_text(raw)
        if not text.strip():
            continue
        summary.read += 1
        try:
            batch.append(parse(number, raw))
            size += len(raw)
        except MalformedEventError as error:
            flush()  # what came before is written before the import may stop
            refuse(refusal_of(number, text, explained(error, raw, is_first=summary.read == 1)))
        if len(batch) >= batch_size or size >= LARGEST_BATCH:
            flush()
    flush()
    return summary


def raw_lines(source: BinaryIO, longest: int) -> Iterator[tuple[int, bytes, int]]:
    """Numbered lines and the position after each; of a line that is too long, the beginning.

    Raises:
        MalformedEventError: the file is no text in UTF-8, or what is compressed is damaged.
    """
    try:
        yield from _raw_lines(json_lines(source), longest)
    except UnreadableFileError as error:
        raise MalformedEventError(
            "this file can't be read as JSON lines", rule="file_is_json_lines", detail=str(error), hint=error.hint
        ) from error


def _raw_lines(source: BinaryIO, longest: int) -> Iterator[tuple[int, bytes, int]]:
    number = 0
    position = 0
    while line := source.readline(longest + 1):
        number += 1
        position += len(line)
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if len(line) > longest and not line.endswith(b"\n"):
            while rest := source.readline(longest):
                position += len(rest)
                if rest.endswith(b"\n"):
                    break
        yield number, line, position


def as_text(raw: bytes) -> str:
    r"""A line as it is shown to people, whatever it is; bytes that are not UTF-8 as \xNN."""
    return raw.decode("utf-8", "backslashreplace").rstrip("\r\n")


def explained(error: MalformedEventError, raw: bytes, *, is_first: bool) -> MalformedEventError:
    """An error of a line that also says what the file is, if it is not what it should be.

    Args:
        error: why the line was refused.
        raw: the line.
        is_first: whether it is the first one that is not empty.
    """
    told = None
    if error.rule == "json_well_formed" and raw.lstrip().startswith(b"{") and raw[-1:] not in b"\r\n}":
        told = "the file ends in the middle of this line"
    elif is_first and error.rule in _NO_LINE:
        told = looks_like(raw)
    if told is None:
        return error
    detail = f"{error.detail}; {told}" if error.detail else told
    return MalformedEventError(rule=error.rule, detail=detail, hint=error.hint)


_UTF_8: Final = "Make UTF-8 of the file: iconv -f ENCODING -t UTF-8 FILE."
_JSON_LINE: Final = "Each line is one JSON object; NaN and Infinity are no JSON."


def read_object(raw: bytes) -> tuple[str, dict[str, Any]]:
    """The text of a line and the object that it is, if PostgreSQL would read the same; numbers are kept as text.

    Raises:
        MalformedEventError: not UTF-8, not JSON, not an object, or a key twice.
    """
    try:
        text = raw.decode("utf-8").strip()
        try:
            event = json.loads(
                text, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_Number, parse_int=_Number
            )
        except RecursionError:  # PostgreSQL takes more levels than Python's reader
            event = deep_json.read(text, _object, _Number)
    except UnicodeDecodeError as error:
        raise MalformedEventError(
            rule="text_is_utf_8", detail=f"the line is not UTF-8 at byte {error.start}", hint=_UTF_8
        ) from error
    except json.JSONDecodeError as error:
        # The parser's words and the place quote one character of the line at most.
        detail = f"the line is not JSON: {error.msg}, at character {error.pos + 1}"
        raise MalformedEventError(rule="json_well_formed", detail=detail, hint=_JSON_LINE) from error
    except ValueError:
        raise MalformedEventError(rule="json_well_formed", detail="the line is not JSON", hint=_JSON_LINE) from None
    if not isinstance(event, dict):
        raise MalformedEventError(rule="event_is_object", detail="the line is not a JSON object", hint=_JSON_LINE)
    return text, event


def customer_of(event: Mapping[str, Any], default: str | None) -> str | None:
    """The customer that a line names, else the default.

    Raises:
        MalformedEventError: it is no string.
    """
    customer: str | None = event.get("customer_id")
    if customer is not None and not is_text(customer):
        raise MalformedEventError(
            rule="customer_id_is_string", detail="customer_id is not a string", hint="Write it in quotes."
        )
    return customer if customer is not None else default


def _event_line(
    number: int,
    raw: bytes,
    customer_id: str | None,
    seen: Counter[bytes],
    read: Read | None = None,
    sealer: Sealer | None = None,
) -> _EventLine:
    if len(raw) > LONGEST_LINE:
        raise MalformedEventError(
            rule="payload_size",
            detail=f"the line has more than {LONGEST_LINE:,} bytes, which no event has",
            hint="A payload has at most 1 MiB as text. Keep the rest elsewhere, and name it in the payload.",
        )
    text, event = (read or read_object)(raw)
    customer = customer_of(event, customer_id)
    event_id = event.get("event_id")
    if event_id is not None and not is_text(event_id):
        raise MalformedEventError(
            rule="event_id_is_string",
            detail="event_id is not a string",
            hint="Write a UUID in quotes, or leave it out.",
        )
    lacks = {}
    if event_id is None:
        lacks["event_id"] = _derived_id(event, customer, seen)
    if customer is not None and event.get("customer_id") is None:
        lacks["customer_id"] = customer
    payload, sent = event.get("payload"), text
    if sealer is not None and isinstance(payload, dict) and sealer.concerns(payload):
        sealed = sealer.seal(payload, customer, as_uuid(event_id or lacks["event_id"]), _plain_json)
        sent = _plain_json({**event, "payload": sealed})
    # At the end: of a key that comes twice, PostgreSQL takes the last one.
    whole = f"{sent[:-1]}{',' if event else ''}{json.dumps(lacks)[1:]}" if lacks else sent
    return _EventLine(number, as_text(raw) if read else text, whole, any(name in event for name in _IGNORED))


def _plain_json(value: object) -> str:
    """A value of :func:`read_object` as JSON, the keys in order, and numbers as they stood."""
    return deep_json.write(
        value, lambda leaf: str(leaf) if isinstance(leaf, _Number) else _in_unicode(leaf), _in_unicode
    )


def _in_unicode(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


class _Number(str):
    """A number, kept as text until its canonical form is asked for."""

    __slots__ = ()


def is_text(value: object) -> bool:
    """Whether a value of :func:`read_object` is a string."""
    return isinstance(value, str) and not isinstance(value, _Number)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    parsed = dict(pairs)
    if len(parsed) != len(pairs):
        # Nobody knows here whether this is inside of a payload, whose keys are not told.
        twice = {key for key, count in Counter(key for key, _ in pairs).items() if count > 1}
        named = f": {', '.join(sorted(twice))}" if twice <= set(FIELDS) else f", in an object of {len(pairs)}"
        raise MalformedEventError(
            rule="keys_are_unique",
            detail=f"a key comes twice{named}",
            hint="Name each key once: of two, only one could be kept.",
        )
    return parsed


def _no_constant(name: str) -> Any:
    raise MalformedEventError(rule="json_well_formed", detail=f"{name} is not JSON", hint=_JSON_LINE)


def _derived_id(event: dict[str, Any], customer_id: str | None, seen: Counter[bytes]) -> str:
    content = {key: value for key, value in event.items() if key not in _IGNORED}
    content["customer_id"] = customer_id
    canonical = canonical_text(content)
    return str(uuid5(NAMESPACE, f"{repetition_of(canonical, seen)}:{canonical}"))


def canonical_text(value: object) -> str:
    """One text for everything that PostgreSQL holds equal, of values of :func:`read_object`; in ASCII."""
    try:
        return json.dumps(_canonical(value), sort_keys=True, separators=(",", ":"))
    except RecursionError:
        return deep_json.write(value, lambda leaf: json.dumps(_canonical(leaf), separators=(",", ":")))


def repetition_of(canonical: str, seen: Counter[bytes]) -> int:
    """How often the same came before; what is kept of it are a few bytes."""
    digest = hashlib.sha256(canonical.encode("ascii")).digest()[:16]
    repetition = seen[digest]
    seen[digest] += 1
    return repetition


def _canonical_number(text: str) -> str:
    """Digits without zeros at the end, and the exponent; exact, as nothing is calculated."""
    try:
        number = Decimal(text).as_tuple()
    except InvalidOperation:  # an exponent beyond Decimal's, and PostgreSQL's
        return text
    digits = "".join(map(str, number.digits)).lstrip("0")
    kept = digits.rstrip("0")
    if not kept or not isinstance(number.exponent, int):
        return "0"
    return f"{'-' if number.sign else ''}{kept}e{number.exponent + len(digits) - len(kept)}"


def _canonical(value: Any) -> Any:
    """The same for 1.50 and 15e-1; lists cannot be mistaken for it, as a NUL can't be in an accepted event."""
    if isinstance(value, _Number):
        return ["\0number", _canonical_number(value)]
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return value


#: What is wrong with a line. Everything else, such as a connection that is not there, is wrong with the import.
_OF_A_LINE: Final = (
    AttributionError,
    CustomerError,
    DuplicateEventError,
    ImmutableError,
    MalformedEventError,
    RunError,
    SequenceError,
)


def write_or_refuse(
    lines: Sequence[L],
    write: Callable[[Sequence[L]], tuple[int, int]],
    summary: ImportSummary,
    refuse: Callable[[Refusal], None],
) -> None:
    """Writes lines, all or nothing; if something is refused, finds the line by halving."""
    if not lines:
        return
    try:
        inserted, duplicates = write(lines)
    except _OF_A_LINE as error:
        if len(lines) == 1:
            refuse(refusal_of(lines[0].number, lines[0].text, error))
            return
        middle = len(lines) // 2
        write_or_refuse(lines[:middle], write, summary, refuse)
        write_or_refuse(lines[middle:], write, summary, refuse)
    else:
        summary.inserted += inserted
        summary.duplicates += duplicates


def _write_events(store: EventStore, function: str, lines: Sequence[_EventLine]) -> tuple[int, int]:
    is_exported = any(line.is_exported for line in lines)
    statement = _EMIT_LINES.format(function=function, events=_EXPORTED_LINES if is_exported else _LINES)
    arguments = {"lines": f"[{','.join(line.whole for line in lines)}]", "ignored": list(_IGNORED)}

    def write(connection: Connection[Any]) -> tuple[int, int]:
        [(inserted, duplicates)] = LedgerCursor(connection).execute(statement, arguments, prepare=False).fetchall()
        return inserted, duplicates

    return store._session.run(write, call="import", atomic=True, writing=True)


def write_refusal(rejects: TextIO, refusal: Refusal) -> None:
    """Writes a refused line to a rejects file."""
    rejects.write(json.dumps(refusal.as_json(), ensure_ascii=False) + "\n")


def refusal_of(number: int, text: str, error: AximoError) -> Refusal:
    """What an error says of a line."""
    reason = f"{error.message}: {error.detail}" if error.detail else error.message
    if error.hint:
        reason = f"{reason}. {error.hint}"
    return Refusal(number, error.sqlstate, error.rule, reason, text)
