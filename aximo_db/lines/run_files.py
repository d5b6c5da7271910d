"""Tool runs and their events as JSON lines: into the database and out of it, losing nothing.

Three shapes of lines, as HelixMCP Events v1 and the schema ``helix`` have them:

- ``row``: an event with its run, ``run_id``, ``event_id``, ``created_at``, ``kind``, ``message``, ``data``;
- ``log``: a line of a run's log artifact, ``ts``, ``kind``, ``message``, ``data``;
- ``run``: a row of ``helix.runs``.

As in :mod:`aximo_db.lines.importer`, a line reaches PostgreSQL as it stands in the file.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from functools import partial
from typing import Any, BinaryIO, Final, Literal, LiteralString, TextIO

import psycopg
from psycopg import Connection

from aximo_db.client import own_errors, statements
from aximo_db.client.connect import value_of
from aximo_db.client.errors import AximoError, MalformedEventError, may_quote, translate
from aximo_db.client.events import read_moment, shortened
from aximo_db.client.ledger_cursors import LedgerCursor
from aximo_db.client.run_events import Run
from aximo_db.client.store import EventStore
from aximo_db.client.whose import check_customer
from aximo_db.lines.exporter import FETCH, snapshot
from aximo_db.lines.importer import (
    ImportStoppedError,
    ImportSummary,
    Line,
    Read,
    Refusal,
    Split,
    as_text,
    canonical_text,
    customer_of,
    explained,
    import_each,
    is_text,
    raw_lines,
    read_object,
    refusal_of,
    repetition_of,
    write_or_refuse,
    write_refusal,
)

__all__ = [
    "LineMissing",
    "RunEventMissing",
    "RunLogSummary",
    "export_run_log",
    "export_runs",
    "import_run_log",
    "import_runs",
]

#: An event's line is shorter; that of a run, whose result has no limit, may be long.
LONGEST_LINE: Final = 64 * 1024 * 1024

_LINES: Final = (
    "(select jsonb_agg(l.line::jsonb order by l.place)"
    " from unnest(%(lines)s::text[]) with ordinality as l (line, place))"
)
_COUNTS: Final = "select count(*) filter (where not r.is_duplicate), count(*) filter (where r.is_duplicate) from "
_IMPORT_EVENTS: Final = (
    f"{_COUNTS} helix.import_run_events({_LINES}, run_id => %(run)s, create_runs => %(create)s,"
    " repetitions => %(repetitions)s::integer[], customer_id => %(customer)s) as r"
)
_IMPORT_RUNS: Final = f"{_COUNTS} helix.import_runs({_LINES}, customer_id => %(customer)s) as r"
_READABLE: Final = "select 0, count(l.line::jsonb) from unnest(%(lines)s::text[]) as l (line)"
_HAS_EVENTS: Final = f"select exists (select from helix.run_events where {statements.OF_CUSTOMER} and run_id = %s)"
_LOCK: Final = f"select from helix.runs where {statements.OF_CUSTOMER} and run_id = %s for update"
_COMPARE: Final = f"select c.line, c.event_id, c.ts, c.kind from helix.compare_run_log(%(run)s, {_LINES}) as c"

_LOG_LINES: Final = (
    # The gateway's clock counts milliseconds; what has no finer part is written as the gateway writes it.
    "select concat('{\"ts\":\"', to_char(ts at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.' ||"
    " case when extract(microseconds from ts)::integer %% 1000 = 0 then 'MS' else 'US' end || '\"Z\"'),"
    " '\",\"kind\":', to_json(kind), ',\"message\":', coalesce(to_json(message)::text, 'null'),"
    " ',\"data\":', coalesce(data::text, 'null'), '}')"
    f" from helix.run_events where {statements.OF_CUSTOMER} and run_id = %s order by event_id"
)
_RUN_LINES: Final = (
    f"select row_to_json(r)::text from (select {', '.join(item.name for item in fields(Run))} from helix.runs"
    f" where {statements.OF_CUSTOMER} and (%(run)s::text is null or run_id = %(run)s) order by created_at, run_id) as r"
)
_HAS_RUN: Final = f"select exists (select from helix.runs where {statements.OF_CUSTOMER} and run_id = %s)"

_NO_MOMENT: Final = datetime.min.replace(tzinfo=UTC)
_RUN_MOMENTS: Final = ("created_at", "started_at", "finished_at")


@dataclass(frozen=True, slots=True)
class _RunLine(Line):
    """A line of any shape.

    Attributes:
        whole: as it is sent.
        customer_id: whose; ``None`` for the session's.
        is_run: whether it is a row of ``helix.runs``.
        repetition: how often the event came in the file so far, this time included.
        kind: what happened.
        moment: when, of an event.
        said: what it says, whenever: the same text for the same kind, message and data.
    """

    whole: str
    customer_id: str | None
    is_run: bool = False
    repetition: int = 1
    kind: str = ""
    moment: datetime = _NO_MOMENT
    said: str = ""


@dataclass(frozen=True, slots=True)
class LineMissing:
    """A line of a log artifact that no event here says.

    Attributes:
        line_number: from 1.
        kind: what happened.
    """

    line_number: int
    kind: str


@dataclass(frozen=True, slots=True)
class RunEventMissing:
    """An event that no line of a log artifact says.

    Attributes:
        event_id: the event.
        ts: when it was written; time-zone-aware.
        kind: what happened.
    """

    event_id: int
    ts: datetime
    kind: str


@dataclass(slots=True)
class RunLogSummary(ImportSummary):
    """What became of the lines of a run's log artifact.

    ``read`` is ``inserted``, ``duplicates``, ``refused`` and what is missing and was not added.

    Attributes:
        compared: whether the run had events, so that it was compared.
        missing_here: the lines that were missing here; if they were to be added, ``inserted`` says how many were.
        missing_there: the events that the log has not.
    """

    compared: bool = False
    missing_here: list[LineMissing] = field(default_factory=list)
    missing_there: list[RunEventMissing] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether all that the log says is here."""
        return self.read == self.inserted + self.duplicates

    def as_json(self) -> dict[str, Any]:
        """The counts, the first refusals, and what is missing on which side."""
        there = [{**asdict(each), "ts": each.ts.isoformat()} for each in self.missing_there]
        return {**asdict(self), "missing_there": there}


def import_runs(
    store: EventStore,
    source: BinaryIO,
    *,
    customer_id: str | None = None,
    on_error: Literal["stop", "reject"] = "stop",
    rejects: TextIO | None = None,
    batch_size: int = 1000,
    create_runs: bool = True,
    progress: Callable[[int, ImportSummary], None] | None = None,
    read: Read | None = None,
    split: Split | None = None,
) -> ImportSummary:
    """Imports JSON lines: events of tool runs, and rows of ``helix.runs``, in the order of the file.

    A line with ``status`` and without ``kind`` is a run, any other an event. A second import adds nothing, and an
    interrupted one goes on: an event is known by its run, moment, kind, message and data, and by how often the same
    came before in this file, which keeps about 100 bytes of memory a line. A run that is there stays as it is. Runs
    that do not exist are made for their events; to have them as they were, import the runs first.

    Args:
        store: where to; its login must be granted the customers of the file.
        source: a binary file; UTF-8, a byte order mark, CRLF and gzip are fine, empty lines are skipped.
        customer_id: the customer of lines that name none.
        on_error: ``stop`` at the first refused line, or ``reject`` it and go on.
        rejects: where refused lines are written to, as JSON lines.
        batch_size: lines a transaction.
        create_runs: make runs that do not exist; else their events are refused.
        progress: called after each batch with the bytes read and the counts.
        read, split: as for :func:`aximo_db.lines.importer.import_lines`.

    Raises:
        ImportStoppedError: a line was refused and ``on_error`` is ``stop``.
        MalformedEventError: the file is no text in UTF-8, or what is compressed is damaged.
        ConnectionLostError: the server stayed away; run again to go on.
    """
    seen: Counter[bytes] = Counter()
    customer = store._session.customer(customer_id)

    def write(lines: Sequence[_RunLine]) -> tuple[int, int]:
        return store._session.run(
            partial(_write, lines=lines, create_runs=create_runs), call="import", atomic=True, writing=True
        )

    return import_each(
        source,
        lambda number, raw: _line(number, raw, customer, seen, None, read),
        write,
        on_error=on_error,
        rejects=rejects,
        batch_size=batch_size,
        progress=progress,
        longest=LONGEST_LINE,
        split=split,
    )


def import_run_log(
    store: EventStore,
    source: BinaryIO,
    run_id: str,
    *,
    customer_id: str | None = None,
    on_error: Literal["stop", "reject"] = "stop",
    rejects: TextIO | None = None,
    batch_size: int = 1000,
    create_runs: bool = True,
    add_missing: bool = False,
    progress: Callable[[int, ImportSummary], None] | None = None,
) -> RunLogSummary:
    """Imports the log artifact of one run, or compares it with the events that the run has.

    If the run has no events, they are added in one transaction. If it has, the log is compared with them by what is
    said and how often, as the two may have been written by different clocks; then nothing is added unless told so.

    Args:
        store: where to.
        source: as for :func:`import_runs`; kept in memory as a whole.
        run_id: the run.
        customer_id: whose; ``None`` for the store's or the login's only customer.
        on_error, rejects, batch_size, create_runs: as for :func:`import_runs`.
        add_missing: add the lines that are missing.
        progress: called after each ``batch_size`` lines read.

    Raises:
        ImportStoppedError: a line was refused and ``on_error`` is ``stop``; nothing was added.
        MalformedEventError: the file is no text in UTF-8, or what is compressed is damaged; nothing was added.
        CustomerError: no customer, or one that the login was not granted.
        ConnectionLostError: the server stayed away; run again.
    """
    found = _Log(
        run_id, create_runs=create_runs, adds_missing=add_missing, stops=on_error == "stop", batch_size=batch_size
    )
    found.read(source, customer_id, progress)
    customer = store._session.customer(customer_id) or ""
    summary = store._session.run(found.bring, call="import", customer=customer, atomic=True, writing=True)
    if rejects is not None:
        for refusal in sorted(found.refused, key=lambda each: each.line_number):
            write_refusal(rejects, refusal)
    return summary


class _Log:
    """The log artifact of a run, on its way into the database.

    Args:
        run_id: the run.
        create_runs: make the run if it does not exist.
        adds_missing: add the lines that are missing, if the run has events.
        stops: whether the first refused line ends it.
        batch_size: lines a statement.

    Attributes:
        refused: the lines that the latest attempt refused.
    """

    def __init__(self, run_id: str, *, create_runs: bool, adds_missing: bool, stops: bool, batch_size: int) -> None:
        self._run_id = run_id
        self._create_runs = create_runs
        self._adds_missing = adds_missing
        self._stops = stops
        self._batch_size = batch_size
        self._lines: list[_RunLine] = []
        self._unreadable: list[Refusal] = []
        self._read = 0
        self.refused: list[Refusal] = []

    def read(
        self, source: BinaryIO, customer_id: str | None, progress: Callable[[int, ImportSummary], None] | None
    ) -> None:
        """Reads the file as a whole."""
        seen: Counter[bytes] = Counter()
        for number, raw, position in raw_lines(source, LONGEST_LINE):
            text = as_text(raw)
            if not text.strip():
                continue
            self._read += 1
            try:
                self._lines.append(_line(number, raw, customer_id, seen, self._run_id))
            except MalformedEventError as error:
                self._unreadable.append(refusal_of(number, text, explained(error, raw, is_first=self._read == 1)))
                if self._stops:
                    break
            if progress is not None and self._read % self._batch_size == 0:
                progress(position, RunLogSummary(self._read))

    def bring(self, connection: Connection[Any]) -> RunLogSummary:
        """Adds the lines, or compares them with the events of the run; may be called again."""
        # Of a caller's transaction, which goes on, nothing is left if a line is refused.
        with connection.transaction():
            return self._bring(connection, RunLogSummary(self._read))

    def _bring(self, connection: Connection[Any], summary: RunLogSummary) -> RunLogSummary:
        refused = self.refused = list(self._unreadable)

        def refuse(refusal: Refusal) -> None:
            refused.append(refusal)
            if self._stops:
                summary.refuse(refusal)
                summary.inserted = 0
                raise ImportStoppedError(refusal, summary)

        def in_batches(lines: Sequence[_RunLine], write: Callable[..., tuple[int, int]]) -> None:
            for start in range(0, len(lines), self._batch_size):
                batch = lines[start : start + self._batch_size]
                write_or_refuse(batch, partial(_in_savepoint, connection, write), summary, refuse)

        if self._unreadable and self._stops:
            refuse(self._unreadable[0])
        check_customer(connection)
        summary.compared = value_of(connection, _HAS_EVENTS, (self._run_id,))
        if self._adds_missing or not summary.compared:
            # Until this transaction ends nobody else writes to the run.
            LedgerCursor(connection).execute(_LOCK, (self._run_id,), prepare=False)
            summary.compared = value_of(connection, _HAS_EVENTS, (self._run_id,))
        add = partial(_write, run_id=self._run_id, create_runs=self._create_runs)
        if not summary.compared:
            in_batches(self._lines, add)
        else:
            in_batches(self._lines, _read)
            unread = {refusal.line_number for refusal in refused}
            kept = [line for line in self._lines if line.number not in unread]
            missing = _compare(connection, self._run_id, kept, summary)
            summary.duplicates = len(kept) - len(missing)
            if self._adds_missing:
                in_batches(missing, add)
        for refusal in sorted(refused, key=lambda each: each.line_number):
            summary.refuse(refusal)
        return summary


_SHAPE: Final = "kind is a string that is not empty, message a string or null, data an object or null."


def _line(
    number: int,
    raw: bytes,
    customer_id: str | None,
    seen: Counter[bytes],
    run_id: str | None,
    read: Read | None = None,
) -> _RunLine:
    """A line of any shape, or of the log of that run."""
    if len(raw) > LONGEST_LINE:
        raise MalformedEventError(
            rule="run_event_size",
            detail=f"the line has more than {LONGEST_LINE:,} bytes, which no run event has",
            hint="A run event has at most 8 MiB as JSON. Keep the rest as an artifact.",
        )
    whole, found = (read or read_object)(raw)
    text = as_text(raw) if read else whole
    customer = customer_of(found, customer_id)
    if run_id is None and "status" in found and "kind" not in found:
        for name in _RUN_MOMENTS:
            if is_text(found.get(name)):
                _moment(found[name], name)
        return _RunLine(number, text, whole, customer, is_run=True)
    own = found.get("run_id")
    if own is not None and not is_text(own):
        raise MalformedEventError(rule="run_id_is_string", detail="run_id is not a string", hint="Write it in quotes.")
    if own is None and run_id is None:
        raise MalformedEventError(
            rule="run_id_present",
            detail="run_id is missing, and the file is of no one run",
            hint="Give each line a run_id, or name the run of the file.",
        )
    if own is not None and run_id is not None and own != run_id:
        raise MalformedEventError(
            rule="line_is_of_the_run",
            detail=f"the line is of run {shortened(own)!r}, the file of run {shortened(run_id)!r}",
            hint="Import the file of the right run, or name no run.",
        )
    kind, message, data = found.get("kind"), found.get("message"), found.get("data")
    if not is_text(kind) or not kind:
        raise MalformedEventError(rule="kind_present", detail="kind is missing, empty or not a string", hint=_SHAPE)
    if message is not None and not is_text(message):
        raise MalformedEventError(rule="message_is_string", detail="message is not a string", hint=_SHAPE)
    if data is not None and not isinstance(data, dict):
        raise MalformedEventError(rule="data_is_object", detail="data is not a JSON object", hint=_SHAPE)
    clock = "created_at" if "created_at" in found else "ts"
    moment = _moment(found.get(clock), clock)
    said = canonical_text([kind, message, data])
    identity = canonical_text([customer, own if own is not None else run_id, moment.isoformat()]) + said
    return _RunLine(
        number,
        text,
        whole,
        customer,
        repetition=repetition_of(identity, seen) + 1,
        kind=str(kind),
        moment=moment,
        said=said,
    )


def _moment(value: object, name: str) -> datetime:
    """The moment that a text says.

    Raises:
        MalformedEventError: it says none, as RFC 3339 has them.
    """
    if isinstance(value, str) and is_text(value):
        try:
            return read_moment(value)
        except ValueError:
            pass
    raise MalformedEventError(
        rule="run_event_moment",
        detail=f"{name} is no moment as RFC 3339 has them",
        hint="Write a date, a time and an offset: 2026-01-31T12:00:00Z.",
    )


def _write(
    connection: Connection[Any], lines: Sequence[_RunLine], create_runs: bool, run_id: str | None = None
) -> tuple[int, int]:
    """Writes lines, those of each customer in their order; how many were inserted, and how many were there."""
    parts: dict[str | None, list[list[_RunLine]]] = {}
    for line in lines:
        of_customer = parts.setdefault(line.customer_id, [])
        if not of_customer or of_customer[-1][0].is_run != line.is_run:
            of_customer.append([])
        of_customer[-1].append(line)
    inserted = duplicates = 0
    for customer, of_customer in parts.items():
        for part in of_customer:
            row = (
                LedgerCursor(connection)
                .execute(
                    _IMPORT_RUNS if part[0].is_run else _IMPORT_EVENTS,
                    {
                        "lines": [line.whole for line in part],
                        "customer": customer,
                        "run": run_id,
                        "create": create_runs,
                        "repetitions": [line.repetition for line in part],
                    },
                    prepare=False,
                )
                .fetchone()
            )
            if row is not None:
                inserted += row[0]
                duplicates += row[1]
    return inserted, duplicates


def _read(connection: Connection[Any], lines: Sequence[_RunLine]) -> tuple[int, int]:
    """Has PostgreSQL read the lines; it is what refuses some."""
    LedgerCursor(connection).execute(_READABLE, {"lines": [line.whole for line in lines]}, prepare=False)
    return 0, 0


def _in_savepoint(
    connection: Connection[Any], write: Callable[..., tuple[int, int]], lines: Sequence[_RunLine]
) -> tuple[int, int]:
    """Writes inside of a transaction that goes on if something is refused."""
    try:
        with connection.transaction():
            return write(connection, lines=lines)
    except (psycopg.Error, UnicodeEncodeError) as error:
        translated: AximoError | None = own_errors.malformed_text(error, None)
        if translated is None and isinstance(error, psycopg.Error) and not connection.broken:
            translated = translate(error, writing=True)
        if translated is None:
            raise
        raise translated from (None if may_quote(error) else error)


def _compare(
    connection: Connection[Any], run_id: str, lines: Sequence[_RunLine], summary: RunLogSummary
) -> list[_RunLine]:
    """The lines that are missing here, in order; and puts into the summary what is missing on either side."""
    values = {"run": run_id, "lines": [line.whole for line in lines]}
    alike: dict[str, list[_RunLine]] = defaultdict(list)
    for line in lines:
        alike[line.said].append(line)
    there: dict[str, list[datetime]] = defaultdict(list)
    short: set[str] = set()
    for place, event_id, ts, kind in LedgerCursor(connection).execute(_COMPARE, values, prepare=False):
        if place is None:
            summary.missing_there.append(RunEventMissing(event_id, ts, kind))
        elif event_id is None:
            short.add(lines[place - 1].said)
        else:
            there[lines[place - 1].said].append(ts)
    # How many are missing is known. Which ones: of lines that say the same, not those whose very moment is here.
    missing: list[_RunLine] = []
    for said in short:
        moments = Counter(there[said])
        rest = []
        for line in alike[said]:
            if moments[line.moment] > 0:
                moments[line.moment] -= 1
            else:
                rest.append(line)
        missing += rest[moments.total() :]
    missing.sort(key=lambda line: line.number)
    summary.missing_here = [LineMissing(line.number, line.kind) for line in missing]
    return missing


def export_run_log(
    dsn: str | None,
    target: TextIO,
    run_id: str,
    *,
    customer_id: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Writes the events of a run as the lines of a log artifact, in order of their ``event_id``; numbered or not.

    Args:
        dsn, target, customer_id, progress: as for :func:`aximo_db.lines.exporter.export_log`.
        run_id: the run.

    Returns:
        How many lines were written.

    Raises:
        RunError: the customer has no such run.
    """
    with snapshot(dsn, customer_id) as connection:
        if not value_of(connection, _HAS_RUN, (run_id,)):
            raise own_errors.no_such_run(run_id)
        return _export(connection, target, _LOG_LINES, (run_id,), progress)


def export_runs(
    dsn: str | None,
    target: TextIO,
    *,
    customer_id: str | None = None,
    run_id: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Writes the rows of ``helix.runs``, in order of ``created_at``: to be imported before their events.

    Args:
        dsn, target, customer_id, progress: as for :func:`aximo_db.lines.exporter.export_log`.
        run_id: only this run.

    Returns:
        How many lines were written.

    Raises:
        RunError: the customer has no such run.
    """
    with snapshot(dsn, customer_id) as connection:
        if run_id is not None and not value_of(connection, _HAS_RUN, (run_id,)):
            raise own_errors.no_such_run(run_id)
        connection.execute("set local time zone 'UTC'")
        return _export(connection, target, _RUN_LINES, {"run": run_id}, progress)


def _export(
    connection: Connection[Any],
    target: TextIO,
    query: LiteralString,
    values: Sequence[object] | Mapping[str, object],
    progress: Callable[[int], None] | None,
) -> int:
    written = 0
    with connection.cursor("export_lines") as cursor:
        cursor.itersize = FETCH
        for (line,) in cursor.execute(query, values):
            target.write(line)
            target.write("\n")
            written += 1
            if progress is not None and written % FETCH == 0:
                progress(written)
    if progress is not None:
        progress(written)
    return written
