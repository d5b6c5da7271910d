"""Checking a customer's log in the database, by recomputing from the events all that is derived; and proofs of it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg
from psycopg import IsolationLevel

from aximo_db.audit.checkpoint import Checkpoint, read_checkpoint
from aximo_db.audit.merkle import EMPTY_ROOT, TileReader, Tree, consistency_proof, inclusion_proof, leaf_hash, root_of
from aximo_db.audit.note import SecretKey, sign
from aximo_db.audit.proof import ConsistencyProof, InclusionProof
from aximo_db.client import statements
from aximo_db.client.connect import connect
from aximo_db.client.events import Log
from aximo_db.client.ledger_cursors import LedgerCursor
from aximo_db.client.whose import check_customer, no_customer
from aximo_db.dba.assets import named_statements

__all__ = ["LogVerdict", "Problem", "customers_of", "prove_growth", "prove_inclusion", "tile_reader", "verify_log"]

_FETCH: Final = 2000
#: So many entries are read in one transaction, half a second to a second of work: no snapshot is old for long.
_PIECE: Final = 20_000
_KEPT: Final = 20
_TILE: Final = 256
#: How the events of a log are called, and where one is in it.
_IDS: Final[Mapping[Log, tuple[type, LiteralString]]] = {
    "events": (UUID, "select number from aximo.log_leaves where log = 'events' and event_id = %s"),
    "run_events": (int, "select number from aximo.log_leaves where log = 'run_events' and run_event_id = %s"),
}
_SQL: Final = named_statements("dba/verify_log.sql")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it should be.

    Attributes:
        kind: ``number_missing``, ``event_removed``, ``event_differs``, ``event_not_in_log``,
            ``recorded_out_of_order``, ``node_missing``, ``node_differs``, ``checkpoint_differs``, ``checkpoint_ahead``
            or ``checkpoint_unreadable``; or what ``aximo.verify_executions`` found.
        number: the entry concerned, or the size of the checkpoint.
        event_id: the event, if it is about one of log ``events``.
        detail: in words.
        run_event_id: the event, if it is about one of log ``run_events``.
    """

    kind: str
    number: int | None
    event_id: UUID | None = None
    detail: str = ""
    run_event_id: int | None = None

    @property
    def event(self) -> UUID | int | None:
        """The event, of whichever log."""
        return self.event_id if self.event_id is not None else self.run_event_id

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "problem": self.kind,
            "number": self.number,
            "event_id": str(self.event_id) if self.event_id else None,
            "run_event_id": self.run_event_id,
            "detail": self.detail,
        }


@dataclass(slots=True)
class LogVerdict:
    """What was found.

    Attributes:
        log: which of the customer's logs it is.
        origin: the log's name in its checkpoints.
        size: its entries.
        root: their tree's hash, recomputed.
        checkpoints: how many were compared: those stored, and those given.
        checkpoints_given: how many of them were given: kept elsewhere, where nobody who rewrites the log gets at them.
        coming: events that are not numbered yet.
        problems: the first ones, in order of the log.
        problem_count: how many there are.
        first: the entry it began with: the lines of those before were not looked at.
    """

    log: Log = "events"
    origin: str | None = None
    size: int = 0
    root: bytes = EMPTY_ROOT
    checkpoints: int = 0
    checkpoints_given: int = 0
    coming: int = 0
    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0
    first: int = 1

    @property
    def root_text(self) -> str:
        """The root in base64, as checkpoints have it."""
        return b64encode(self.root).decode()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.problem_count == 0

    def add(self, problem: Problem) -> None:
        """Counts a problem, and keeps it if it is one of the first."""
        self.problem_count += 1
        if len(self.problems) < _KEPT:
            self.problems.append(problem)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "ok": self.ok,
            "log": self.log,
            "origin": self.origin,
            "first": self.first,
            "size": self.size,
            "root": self.root.hex(),
            "root_base64": self.root_text,
            "checkpoints": self.checkpoints,
            "checkpoints_given": self.checkpoints_given,
            "coming": self.coming,
            "problem_count": self.problem_count,
            "problems": [problem.as_json() for problem in self.problems],
        }


def tile_reader(connection: psycopg.Connection[Any], log: Log = "events") -> TileReader:
    """Reads tiles of a log of the connection's customer."""

    def read(level: int, index: int, width: int, /) -> bytes:
        row = (
            LedgerCursor(connection)
            .execute("select aximo.log_tile(%s, %s, %s, %s)", (level, index, width, log))
            .fetchone()
        )
        return bytes(row[0]) if row and row[0] is not None else b""

    return read


def customers_of(connection: psycopg.Connection[Any]) -> list[str]:
    """The customers a job has to look at: the session's, if it has one, else all that its login was granted."""
    row = LedgerCursor(connection).execute("select aximo.current_customer()").fetchone()
    if row is not None and row[0] not in (None, "*"):
        return [row[0]]
    return [row[0] for row in LedgerCursor(connection).execute("select customer_id from aximo.my_customers()")]


def verify_log(
    dsn: str | None,
    *,
    customer_id: str | None = None,
    log: Log = "events",
    checkpoints: Sequence[Checkpoint] = (),
    in_flight: timedelta = timedelta(hours=1),
    first: int = 1,
    last: int | None = None,
    piece: int = _PIECE,
    progress: Callable[[int, int], None] | None = None,
) -> LogVerdict:
    """Recomputes a log of a customer from its events, piece by piece, each in a transaction of its own.

    What is verified is the log as long as it was at the beginning: entries never change, so later pieces fit.
    With log ``events``, and if it is verified to its end, the rows of executions and approvals as well.

    Args:
        dsn: a libpq connection string; ``None`` for ``AXIMO_DB_URL``, else libpq's own variables.
        customer_id: whose; ``None`` for the login's only customer.
        log: which of the customer's logs: ``events`` of ``aximo.events``, or ``run_events`` of ``helix.run_events``.
        checkpoints: further ones to compare with, kept outside of the database.
        in_flight: the longest that a transaction may have taken. An event that was recorded longer than that before one
            with a lower number is a finding.
        first: begin here, as an earlier call came this far: of entries before it the leaves are read, which the roots
            are made of, and not the events.
        last: end here; what comes after, and what is not in the log, is left to a call without it.
        piece: so many entries in one transaction.
        progress: called with the number of the last entry looked at, and how many there are.

    Returns:
        What was found; without an origin if the login has not that customer, or not exactly one and none was named.

    Raises:
        MalformedEventError: there is no such log.
        ValueError: such numbers are of no entries.
    """
    statements.check_log(log)
    if first < 1 or piece < 1 or (last is not None and last < first):
        raise ValueError("the first entry is 1 or later, the last one not before it, and a piece has one or more")
    verdict = LogVerdict(log, first=first)
    with connect(dsn) as connection:
        connection.autocommit = False
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with _snapshot(connection, customer_id):
            query = "select aximo.log_origin(%s), aximo.log_size(%s)"
            row = LedgerCursor(connection).execute(query, (log, log)).fetchone()
            verdict.origin, total = row if row else (None, 0)
            if verdict.origin is None:
                return verdict
            stored = _stored_checkpoints(connection, verdict)
        end = total if last is None else min(last, total)
        given = _of_this_log(checkpoints, verdict)
        if last is not None:
            # The others are for the call that goes to the end.
            stored, given = ([each for each in some if each.size <= end] for some in (stored, given))
        verdict.checkpoints_given = len(given)
        pending = [*stored, *given]
        pending.sort(key=lambda each: each.size)
        verdict.checkpoints = len(pending)
        walk = _Walk(verdict, pending, first, in_flight)
        for start in range(1, end + 1, piece):
            with _snapshot(connection, customer_id):
                is_whole = walk.go(connection, start, min(start + piece - 1, end), total, progress)
            if not is_whole:
                break
            if progress is not None:
                progress(min(start + piece - 1, end), total)
        with _snapshot(connection, customer_id):
            walk.finish(connection, is_last=last is None)
            if progress is not None:
                progress(verdict.size, total)
            if last is None:
                _beside_the_log(connection, verdict)
    return verdict


@contextmanager
def _snapshot(connection: psycopg.Connection[Any], customer_id: str | None) -> Iterator[None]:
    """A transaction for a customer, and so a snapshot."""
    with connection.transaction():
        if customer_id is not None:
            LedgerCursor(connection).execute(statements.SET_CUSTOMER, (customer_id,))
        yield


def _beside_the_log(connection: psycopg.Connection[Any], verdict: LogVerdict) -> None:
    """What should be in the log and is not, and what is derived from its events."""
    for event_id, run_event_id, coming in LedgerCursor(connection).execute(
        "select event_id, run_event_id, is_coming from aximo.unlogged_events(%s)", (verdict.log,)
    ):
        if coming:
            verdict.coming += 1
        else:
            verdict.add(Problem("event_not_in_log", None, event_id, "it was put in past the numbering", run_event_id))
    if verdict.log == "events":
        for kind, execution_id, step, event_id, detail in connection.execute(
            "select problem, execution_id, step, event_id, detail from aximo.verify_executions()"
        ):
            execution = None if execution_id is None else f"execution {execution_id}"
            where = ", ".join(part for part in (execution, None if step is None else f"step {step}") if part)
            verdict.add(Problem(kind, None, event_id, ": ".join(part for part in (where, detail) if part)))


def _stored_checkpoints(connection: psycopg.Connection[Any], verdict: LogVerdict) -> list[Checkpoint]:
    found = []
    query = "select size, root, note from aximo.checkpoints where log = %s order by size, made_at"
    for size, root, note in LedgerCursor(connection).execute(query, (verdict.log,)):
        try:
            checkpoint = read_checkpoint(note)
        except ValueError as error:
            verdict.add(Problem("checkpoint_unreadable", size, None, str(error)))
            continue
        if (checkpoint.size, checkpoint.root) != (size, bytes(root)):
            verdict.add(
                Problem("checkpoint_differs", size, None, "the stored text and the stored root are not the same")
            )
        found.append(checkpoint)
    return list(_of_this_log(found, verdict))


def _of_this_log(checkpoints: Sequence[Checkpoint], verdict: LogVerdict) -> list[Checkpoint]:
    kept = []
    for checkpoint in checkpoints:
        if checkpoint.origin == verdict.origin:
            kept.append(checkpoint)
        else:
            detail = f"it is of {checkpoint.origin}, the log is {verdict.origin}"
            verdict.add(Problem("checkpoint_differs", checkpoint.size, None, detail))
    return kept


class _Walk:
    """Goes through the entries once: lines, leaves, complete subtrees, and roots at the checkpoints' sizes."""

    def __init__(self, verdict: LogVerdict, pending: list[Checkpoint], first: int, in_flight: timedelta) -> None:
        self._verdict = verdict
        self._pending = pending
        self._first = first
        self._in_flight = in_flight
        #: When the newest of the entries was recorded.
        self._newest = ""
        self._tree = Tree()
        # Of each level, the hashes of the tile that is not complete.
        self._open_tiles: list[list[bytes]] = [[]]
        #: The kept hashes of the subtrees that end in this piece.
        self._nodes: dict[tuple[int, int], bytes] = {}
        self._good = 0
        self._compare()

    def go(
        self,
        connection: psycopg.Connection[Any],
        start: int,
        end: int,
        total: int,
        progress: Callable[[int, int], None] | None,
    ) -> bool:
        """Looks at the entries from one number to another; False if one is missing."""
        log, tree = self._verdict.log, self._tree
        self._read_nodes(connection, start, end)
        reads_lines = end >= self._first
        with connection.cursor("verify_lines") as cursor:
            cursor.itersize = _FETCH
            cursor.execute(_SQL["lines" if reads_lines else "leaves"], (log, start, end))
            for number, event_id, run_event_id, line, leaf in cursor:
                if number != tree.size + 1:
                    break
                self._append(number, event_id, run_event_id, line, bytes(leaf))
                if progress is not None and number % _FETCH == 0:
                    progress(number, total)
        if tree.size == end:
            return True
        row = LedgerCursor(connection).execute(_SQL["next"], (log, tree.size)).fetchone()
        detail = f"the next entry is {row[0]}" if row and row[0] is not None else "there is none after it"
        self._verdict.add(Problem("number_missing", tree.size + 1, None, detail))
        return False

    def finish(self, connection: psycopg.Connection[Any], *, is_last: bool) -> None:
        """What is left over, after the last entry."""
        verdict, size = self._verdict, self._tree.size
        verdict.size, verdict.root = size, self._tree.root()
        if not is_last:
            return
        for level, index in LedgerCursor(connection).execute(_SQL["nodes_ahead"], {"log": verdict.log}):
            verdict.add(
                Problem("node_differs", None, None, f"level {level}, index {index} is of entries that are not there")
            )
        for checkpoint in self._pending:
            verdict.add(Problem("checkpoint_ahead", checkpoint.size, None, f"the log has {size} entries"))

    def _read_nodes(self, connection: psycopg.Connection[Any], start: int, end: int) -> None:
        self._nodes = {
            (level, index): bytes(digest)
            for level, index, digest in LedgerCursor(connection).execute(
                _SQL["nodes"], {"log": self._verdict.log, "start": start, "end": end}
            )
        }

    def _append(
        self, number: int, event_id: UUID | None, run_event_id: int | None, line: str | None, leaf: bytes
    ) -> None:
        if number >= self._first:
            if line is None:
                self._verdict.add(Problem("event_removed", number, event_id, run_event_id=run_event_id))
            elif (computed := leaf_hash(line.encode())) != leaf:
                self._verdict.add(Problem("event_differs", number, event_id, run_event_id=run_event_id))
                leaf = computed
            if line is not None:
                self._look_at_order(number, event_id, run_event_id, _recorded_at(line))
        self._tree.append(leaf)
        self._open_tiles[0].append(leaf)
        if len(self._open_tiles[0]) == _TILE:
            self._complete(0)
        self._compare()

    def _look_at_order(self, number: int, event_id: UUID | None, run_event_id: int | None, recorded: str) -> None:
        if recorded >= self._newest:
            self._newest = recorded
        elif not _is_within(self._in_flight, recorded, self._newest):
            detail = f"recorded at {recorded}, and numbered after one of {self._newest}"
            self._verdict.add(Problem("recorded_out_of_order", number, event_id, detail, run_event_id))

    def _compare(self) -> None:
        while self._pending and self._pending[0].size == self._tree.size:
            checkpoint = self._pending.pop(0)
            if checkpoint.root == self._tree.root():
                self._good = max(self._good, checkpoint.size)
            else:
                detail = f"an entry from {self._good + 1} to {checkpoint.size} is not what it was"
                self._verdict.add(Problem("checkpoint_differs", checkpoint.size, None, detail))

    def _complete(self, level: int) -> None:
        digest = root_of(self._open_tiles[level])
        self._open_tiles[level] = []
        if len(self._open_tiles) == level + 1:
            self._open_tiles.append([])
        self._open_tiles[level + 1].append(digest)
        width = _TILE ** (level + 1)
        index = self._tree.size // width - 1
        kept = self._nodes.get((level + 1, index))
        if kept != digest:
            kind = "node_missing" if kept is None else "node_differs"
            self._verdict.add(Problem(kind, index * width + 1, None, f"level {level + 1}, index {index}"))
        if len(self._open_tiles[level + 1]) == _TILE:
            self._complete(level + 1)


def _recorded_at(line: str) -> str:
    """What a line says of when it was recorded, in UTC with six digits: in the order of such texts."""
    # Nothing else looks like it: quotes in texts are escaped, and a payload has a blank after each colon.
    return line[line.rfind('"recorded_at":"') + 15 :].partition('"')[0]


def _is_within(interval: timedelta, earlier: str, later: str) -> bool:
    try:
        return datetime.fromisoformat(later) - datetime.fromisoformat(earlier) <= interval
    except ValueError:
        # Neither is a moment that a clock gave.
        return False


def prove_inclusion(
    connection: psycopg.Connection[Any],
    event_id: UUID | int,
    size: int | None = None,
    key: SecretKey | None = None,
    *,
    log: Log = "events",
) -> str:
    """The proof (C2SP tlog-proof) that an event is in a log of the connection's customer.

    Args:
        connection: in a transaction for the customer.
        event_id: the event: a UUID of log ``events``, an integer of log ``run_events``.
        size: the size of the log to prove it for; of the latest stored checkpoint that has it, if left out.
        key: signs the checkpoint in it; else a stored one is taken, if there is one, or an unsigned one made.
        log: which of the customer's logs.

    Raises:
        MalformedEventError: there is no such log.
        TypeError: this log's events have no such id.
        ValueError: the event has no number, or the log of that size has not got it.
        CustomerError, MovedError: the session works for no customer, or for one on another node.
    """
    statements.check_log(log)
    if not isinstance(event_id, _IDS[log][0]):
        raise TypeError(f"an event of log {log} has no {type(event_id).__name__} as its id")
    row = LedgerCursor(connection).execute(_IDS[log][1], (event_id,)).fetchone()
    if row is None:
        check_customer(connection)
        raise ValueError("there is no such event in the log; a new one has to be numbered first")
    number: int = row[0]
    size, note = _note(connection, size, number, key, log)
    if number > size:
        raise ValueError(f"the event is entry {number}, and a log of {size} entries has not got it")
    hashes = inclusion_proof(number - 1, size, tile_reader(connection, log))
    return InclusionProof(number - 1, tuple(hashes), note).text()


def prove_growth(
    connection: psycopg.Connection[Any],
    old: int,
    new: int | None = None,
    key: SecretKey | None = None,
    *,
    log: Log = "events",
) -> str:
    """The proof that a log of one size is the beginning of that of another, with the checkpoint of the larger one.

    Raises:
        MalformedEventError: there is no such log.
        ValueError: the log has not these sizes, or has them the other way round.
    """
    statements.check_log(log)
    new, note = _note(connection, new, old, key, log)
    if old > new:
        raise ValueError(f"a log of {new} entries is not longer than one of {old}")
    hashes = consistency_proof(old, new, tile_reader(connection, log))
    return ConsistencyProof(old, tuple(hashes), note).text()


def _note(
    connection: psycopg.Connection[Any], size: int | None, at_least: int, key: SecretKey | None, log: Log
) -> tuple[int, str]:
    """A checkpoint of the size asked for, else the latest one there is."""
    if key is None:
        stored = LedgerCursor(connection).execute(_SQL["stored_checkpoint"], (log, at_least, size, size)).fetchone()
        if stored is not None:
            return stored[0], stored[1]
    if key is not None:
        # A signature vouches for the root, so the kept hashes are recomputed from the entries first.
        LedgerCursor(connection).execute(statements.CHECK_LOG_NODES, (log,))
    query = (
        "select s.size, aximo.checkpoint_text(s.size, %s) from (select coalesce(%s, aximo.log_size(%s)) as size) as s"
    )
    row = LedgerCursor(connection).execute(query, (log, size, log)).fetchone()
    if row is None or row[1] is None:
        raise no_customer(connection)
    return row[0], sign(row[1], key) if key is not None else row[1]
