"""Reading events from JSON lines into the ledger: streaming, resumable, losing nothing.

A line reaches PostgreSQL as it stands in the file, so that no number loses a digit on the way. What is checked here is
what PostgreSQL would accept but change silently, or could not even be sent.
"""

from __future__ import annotations

import codecs
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, BinaryIO, Final, Literal, TextIO
from uuid import UUID, uuid5

from psycopg import Connection

from aximo_db.errors import AximoError, ConnectionLostError, MalformedEventError
from aximo_db.store import EventStore

__all__ = ["ImportStoppedError", "ImportSummary", "Refusal", "import_lines"]

#: The namespace of the ids that are derived for lines without an event_id. Never changes: the ids depend on it.
NAMESPACE: Final = UUID("3c1a7c84-9d0e-5b7e-8f57-6a1f0cbb2c55")
#: A longer line can't hold a payload of 1 MiB, even if every character of it is escaped.
LONGEST_LINE: Final = 16 * 1024 * 1024

_EMIT_LINES: Final = """
select count(*) filter (where not r.duplicate), count(*) filter (where r.duplicate)
from {function}(
    (
        select jsonb_agg(
            (l.line::jsonb - array['recorded_at', 'recorded_by'])
            || jsonb_build_object('event_id', l.event_id, 'customer_id', %(customer)s::text)
            order by l.place
        )
        from unnest(%(lines)s::text[], %(ids)s::text[]) with ordinality as l (line, event_id, place)
    ),
    %(customer)s
) as r
"""


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
        return {
            "line_number": self.line_number,
            "code": self.code,
            "rule": self.rule,
            "reason": self.reason,
            "line": self.line,
        }


@dataclass(slots=True)
class ImportSummary:
    """What became of the lines. ``read`` is the sum of the other three, unless the import was stopped."""

    read: int = 0
    inserted: int = 0
    duplicates: int = 0
    refused: int = 0
    first_refusals: list[Refusal] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The counts and the first refusals."""
        return {
            "read": self.read,
            "inserted": self.inserted,
            "duplicates": self.duplicates,
            "refused": self.refused,
            "first_refusals": [refusal.as_json() for refusal in self.first_refusals],
        }


class ImportStoppedError(Exception):
    """A line was refused and the import was to stop at the first one. What came before it is in the ledger."""

    def __init__(self, refusal: Refusal, summary: ImportSummary) -> None:
        super().__init__(f"line {refusal.line_number}: {refusal.reason} ({refusal.code})")
        self.refusal = refusal
        self.summary = summary


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str
    customer_id: str | None
    event_id: str


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
) -> ImportSummary:
    """Imports JSON lines, each an event with the fields of ``aximo.events``.

    A second run adds nothing: an event that is there is a duplicate. A line without an ``event_id`` gets one derived
    from its content and from how often the same content came before it in this file; that keeps about 100 bytes of
    memory a line. ``recorded_at`` and ``recorded_by`` are the database's to set, so those of an export are left out.

    Args:
        store: where to; its login must be granted the customers of the file.
        source: a binary file; UTF-8, a byte order mark and CRLF are fine, empty lines are skipped.
        customer_id: the customer of lines that name none.
        on_error: ``stop`` at the first refused line, or ``reject`` it and go on.
        rejects: where refused lines are written to, as JSON lines.
        batch_size: lines a transaction.
        accept_violations: take history as it was: what breaks a rule of its execution's life is listed in
            ``aximo.violations`` when it is numbered, instead of refused. Needs the role ``aximo_operator``.
        progress: called after each batch with the bytes read and the counts.

    Raises:
        ImportStoppedError: a line was refused and ``on_error`` is ``stop``.
        ConnectionLostError: the server stayed away; run again to go on.
    """
    summary = ImportSummary()
    statement = _EMIT_LINES.format(function="aximo.import_events" if accept_violations else "aximo.emit_events")
    seen: Counter[bytes] = Counter()
    batch: list[_Line] = []
    position = 0

    def refuse(refusal: Refusal) -> None:
        summary.refused += 1
        if len(summary.first_refusals) < 10:
            summary.first_refusals.append(refusal)
        if on_error == "stop":
            raise ImportStoppedError(refusal, summary)
        if rejects is not None:
            rejects.write(json.dumps(refusal.as_json(), ensure_ascii=False) + "\n")

    def flush() -> None:
        _write(store, statement, batch, summary, refuse)
        batch.clear()
        if progress is not None:
            progress(position, summary)

    for number, raw, after in _raw_lines(source):
        position = after
        text = raw.decode("utf-8", "backslashreplace").rstrip("\r\n")
        if not text.strip():
            continue
        summary.read += 1
        try:
            batch.append(_parse(number, raw, customer_id, seen))
        except MalformedEventError as error:
            flush()  # what came before is written before the import may stop
            refuse(_refusal(number, text, error))
        if len(batch) >= batch_size:
            flush()
    flush()
    return summary


def _raw_lines(source: BinaryIO) -> Iterator[tuple[int, bytes, int]]:
    """Numbered lines and the position after each; of a line that is too long, the beginning."""
    number = 0
    position = 0
    while line := source.readline(LONGEST_LINE + 1):
        number += 1
        position += len(line)
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if len(line) > LONGEST_LINE and not line.endswith(b"\n"):
            while rest := source.readline(LONGEST_LINE):
                position += len(rest)
                if rest.endswith(b"\n"):
                    break
        yield number, line, position


def _parse(number: int, raw: bytes, customer_id: str | None, seen: Counter[bytes]) -> _Line:
    if len(raw) > LONGEST_LINE:
        raise MalformedEventError(rule="payload_size", detail="the line is longer than an event can be")
    try:
        text = raw.decode("utf-8").strip()
        event = json.loads(
            text, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_Number, parse_int=_Number
        )
    except UnicodeDecodeError as error:
        raise MalformedEventError(rule="text_is_utf_8", detail=f"not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise MalformedEventError(rule="json_depth", detail="nested too deep") from error
    except ValueError as error:
        raise MalformedEventError(rule="json_well_formed", detail=str(error)) from error
    if not isinstance(event, dict):
        raise MalformedEventError(rule="event_is_object", detail="the line is not a JSON object")
    customer = event.get("customer_id")
    if customer is not None and not _is_text(customer):
        raise MalformedEventError(rule="customer_id_is_string", detail="customer_id is not a string")
    customer = customer if customer is not None else customer_id
    event_id = event.get("event_id")
    if event_id is not None and not _is_text(event_id):
        raise MalformedEventError(rule="event_id_is_string", detail="event_id is not a string")
    if event_id is None:
        try:
            event_id = _derived_id(event, customer, seen)
        except RecursionError as error:
            raise MalformedEventError(rule="json_depth", detail="nested too deep") from error
    return _Line(number, text, customer, event_id)


class _Number(str):
    """A number, kept as text until its canonical form is asked for."""

    __slots__ = ()


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not isinstance(value, _Number)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    parsed = dict(pairs)
    if len(parsed) != len(pairs):
        twice = sorted(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise MalformedEventError(rule="keys_are_unique", detail=f"a key comes twice: {', '.join(twice)}"[:500])
    return parsed


def _no_constant(name: str) -> Any:
    raise MalformedEventError(rule="json_well_formed", detail=f"{name} is not JSON")


def _derived_id(event: dict[str, Any], customer_id: str | None, seen: Counter[bytes]) -> str:
    content = {key: value for key, value in event.items() if key not in ("recorded_at", "recorded_by")}
    content["customer_id"] = customer_id
    canonical = json.dumps(_canonical(content), sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode("ascii")).digest()[:16]
    repetition = seen[digest]
    seen[digest] += 1
    return str(uuid5(NAMESPACE, f"{repetition}:{canonical}"))


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


def _write(
    store: EventStore,
    statement: str,
    lines: Sequence[_Line],
    summary: ImportSummary,
    refuse: Callable[[Refusal], None],
) -> None:
    """Writes lines in one transaction; if something is refused, finds the line by halving."""
    if not lines:
        return
    try:
        inserted, duplicates = _write_all(store, statement, lines)
    except ConnectionLostError:
        raise
    except AximoError as error:
        if len(lines) == 1:
            refuse(_refusal(lines[0].number, lines[0].text, error))
            return
        middle = len(lines) // 2
        _write(store, statement, lines[:middle], summary, refuse)
        _write(store, statement, lines[middle:], summary, refuse)
    else:
        summary.inserted += inserted
        summary.duplicates += duplicates


def _write_all(store: EventStore, statement: str, lines: Sequence[_Line]) -> tuple[int, int]:
    groups: dict[str | None, list[_Line]] = {}
    for line in lines:
        groups.setdefault(line.customer_id, []).append(line)

    def write(connection: Connection[Any]) -> tuple[int, int]:
        inserted = duplicates = 0
        for customer, group in groups.items():
            row = connection.execute(
                statement,
                {
                    "customer": customer,
                    "lines": [line.text for line in group],
                    "ids": [line.event_id for line in group],
                },
                prepare=False,
            ).fetchone()
            if row is not None:
                inserted += row[0]
                duplicates += row[1]
        return inserted, duplicates

    return store._run(write, atomic=True, writing=True)


def _refusal(number: int, text: str, error: AximoError) -> Refusal:
    reason = str(error)
    if error.detail:
        reason = f"{reason}: {error.detail}"
    return Refusal(number, error.sqlstate, error.rule, reason, text)
