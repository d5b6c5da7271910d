"""Counts the server's instructions for what a service does, beside a bare INSERT or SELECT of the same rows.

    python -m benchmarks.instructions [--only NAME ...] [--bin-dir /path/to/postgresql/bin] [--json]

The server runs under valgrind, whose callgrind counts instructions: the same from run to run within a few per cent,
whatever else the machine does. The session that is counted asks for its counters by a call of a function that nobody
else calls (``pg_conf_load_time``): callgrind writes them to a file and begins anew, so each figure is what lies
between two such calls, less what the calls themselves take.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from aximo_db import NewEvent
from aximo_db.local.embedded import EmbeddedServer
from aximo_db.local.ledger import DATABASE, LocalLedger
from benchmarks.common import (
    APPROVED,
    BARE,
    BARE_BATCH,
    BARE_TRACE,
    EMIT,
    EMIT_BATCH,
    FAILED,
    MIX,
    PLAIN,
    START,
    TRACE,
    WRITER,
    Life,
    actions,
    as_text,
    fill,
    setting_up,
    values,
    version_of,
    written,
)

MARK = "pg_conf_load_time"
STORED = 21_000
#: Executions that are counted together, after as many that only fill the session's caches.
TOGETHER = 12
LONG: Life = (*START, *actions(100))
#: What a bare INSERT or SELECT may be multiplied by.
BARS = {
    "plain life": 6.0,
    "triggered": 6.0,
    "processing": 6.0,
    "prepared": 6.0,
    "dispatched": 6.0,
    "sla_breached": 6.0,
    "approval_requested": 9.0,
    "approval_granted": 9.0,
    "approval_requested at 202 events": 9.0,
    "approval_granted at 203 events": 9.0,
    "prepared at 204 events": 6.0,
    "mix": 7.0,
    "batch of 2: triggered, processing": 5.0,
    "batch of 2: prepared, dispatched": 5.0,
    "batch of 7": 5.5,
    "batch of 70": 4.0,
    "batch of 1,001": 3.7,
    "batch of 7, mix": 5.5,
    "batch of 70, mix": 4.0,
    "batch of 1,001, mix": 3.7,
    "trace of 7 events": 1.5,
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the report: instructions of the bare statement and of the ledger's."""

    name: str
    bare: float
    ledger: float

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "name": self.name,
            "bare": round(self.bare),
            "ledger": round(self.ledger),
            "ratio": round(self.ledger / self.bare, 2),
            "bar": BARS.get(self.name),
        }


class Counted:
    """A session whose backend's instructions are counted."""

    def __init__(self, connection: psycopg.Connection[Any], counts: Path) -> None:
        self.connection, self._counts = connection, counts
        for _ in range(8):
            self._mark()
        self._own = 0
        self._own = min(self.count(lambda: None) for _ in range(3))

    def each(self, statement: str, rows: Iterable[Sequence[Any]], *, prepare: bool = True) -> None:
        """Runs a statement for each row of arguments and fetches what it returns."""
        for row in rows:
            cursor = self.connection.execute(statement, row, prepare=prepare)
            if cursor.description is not None:
                cursor.fetchall()

    def count(self, work: Callable[[], object]) -> int:
        """Instructions of the backend while that is done."""
        self._mark()
        work()
        return self._mark() - self._own

    def _mark(self) -> int:
        """Instructions since the last mark."""
        self.connection.execute(f"select {MARK}()", prepare=True)
        [path] = self._counts.glob(f"callgrind.{self.connection.info.backend_pid}.*")
        found = re.search(r"^totals: (\d+)", path.read_text(errors="replace"), re.MULTILINE)
        assert found is not None
        path.unlink()
        return int(found[1])


@contextmanager
def under_valgrind(ledger: LocalLedger, folder: Path) -> Iterator[Counted]:
    """Starts the stopped ledger's server under callgrind, and a writer's session on it."""
    counts, programs = folder / "counts", folder / "bin"
    counts.mkdir()
    programs.mkdir()
    real = ledger.server.bin_dir
    valgrind = [
        "valgrind", "--tool=callgrind",
        "-q", "--trace-children=yes", "--vgdb=no", f"--dump-before={MARK}", f"--callgrind-out-file={counts}/callgrind.%p",
    ]  # fmt: skip
    # pg_ctl asks the server for its version first, which needs no counting.
    _write_script(
        programs / "postgres",
        f'[ "$1" = -V ] && exec {shlex.quote(str(real / "postgres"))} -V\n'
        f'exec {shlex.join(valgrind)} {shlex.quote(str(real / "postgres"))} "$@"',
    )
    _write_script(
        programs / "pg_ctl",
        f'exec {shlex.quote(str(real / "pg_ctl"))} -p {shlex.quote(str(programs / "postgres"))} "$@"',
    )
    if os.geteuid() == 0:
        shutil.chown(counts, "nobody")
    # Nobody else shall work on the tables, and what is read is read by the session itself.
    settings = {**ledger.server.settings, "autovacuum": "off"}
    if int(version_of_binaries(real)) >= 18:
        settings["io_method"] = "sync"
    ledger.server.stop()
    server = EmbeddedServer(ledger.server.data_dir, bin_dir=programs, settings=settings)
    try:
        server.start()
        with psycopg.connect(server.dsn(WRITER, DATABASE), autocommit=True) as connection:
            connection.execute("set synchronous_commit = off")
            yield Counted(connection, counts)
    finally:
        # Under valgrind the process is valgrind's, so the server would not know it for its own.
        server._run("pg_ctl", "stop", "-w", "-m", "immediate", check=False)


def _write_script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def version_of_binaries(folder: Path) -> str:
    """The major version of PostgreSQL's binaries."""
    text = subprocess.run([folder / "postgres", "-V"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"\) (\d+)", text)
    assert found is not None
    return found[1]


class Kinds:
    """Events one at a time, by what they are."""

    def __init__(self, session: Counted) -> None:
        self.session = session

    def steps(self, lives: Sequence[Sequence[NewEvent]], names: Sequence[str | None]) -> list[Line]:
        """Emits executions side by side, step by step; counts the steps that have a name, an event."""
        lines = []
        for place, name in enumerate(names):
            events = [life[place] for life in lives]
            if name is None:
                self.session.each(EMIT, map(values, events))
                continue
            bare, ledger = (
                self.session.count(partial(self.session.each, each, [values(event) for event in events])) / len(events)
                for each in (BARE, EMIT)
            )
            lines.append(Line(name, bare, ledger))
        return lines

    def life(self, life: Life, names: Sequence[str | None]) -> list[Line]:
        """New executions; the first ones warm up."""
        self.steps([written(life) for _ in range(TOGETHER)], names)
        return self.steps([written(life) for _ in range(TOGETHER)], names)


def plain(session: Counted, _: Stored) -> list[Line]:
    """An execution without approvals: each kind of event, and the mean of them."""
    names = (
        "triggered", "processing", "prepared", "dispatched", "second prepared", "second dispatched",
        "completed with 2 actions",
    )  # fmt: skip
    lines = Kinds(session).life(PLAIN, names)
    mean = Line("plain life", fmean(line.bare for line in lines), fmean(line.ledger for line in lines))
    return [mean, *lines]


def approval(session: Counted, _: Stored) -> list[Line]:
    """An execution with an approval."""
    names = (
        None, None, None, "approval_requested", "approval_granted", "dispatched after a grant",
        "completed after a grant",
    )  # fmt: skip
    return Kinds(session).life(APPROVED, names)


def failed(session: Counted, _: Stored) -> list[Line]:
    """An execution that fails, and what is told of it before."""
    return Kinds(session).life(FAILED, (None, None, "sla_breached", "failed"))


def long(session: Counted, stored: Stored) -> list[Line]:
    """The next events of executions of 202 events."""
    life: Life = (
        ("approval_requested", {"reason": "a first message"}),
        ("approval_granted", {"reason": "known to us"}),
        ("action_prepared", {"action_type": "send_email"}),
        ("action_dispatched", {"action_type": "send_email"}),
    )
    names = (
        "approval_requested at 202 events", "approval_granted at 203 events", "prepared at 204 events",
        "dispatched at 205 events",
    )  # fmt: skip
    lines = _go_on(session, stored.to_approve, life, names)
    end: Life = (("execution_completed", {"actions_count": 100}),)
    return [*lines, *_go_on(session, stored.to_complete, end, ("completed with 100 actions",))]


def _go_on(session: Counted, executions: Sequence[str], life: Life, names: Sequence[str]) -> list[Line]:
    session.each(TRACE, [(execution,) for execution in executions])  # what is counted finds the pages in memory
    lives = [written(life, execution=execution) for execution in executions]
    half = len(lives) // 2
    Kinds(session).steps(lives[:half], names)
    return Kinds(session).steps(lives[half:], names)


def mix(session: Counted, _: Stored) -> list[Line]:
    """One event at a time; a tenth of them is about an approval."""

    def events() -> list[Sequence[Any]]:
        return [values(event) for _ in range(TOGETHER // 3) for life in MIX for event in written(life)]

    found = []
    rows, more = events(), events()
    for statement in (BARE, EMIT):
        session.each(statement, rows)
        found.append(session.count(partial(session.each, statement, more)) / len(more))
    return [Line("mix", *found)]


def batch(session: Counted, _: Stored) -> list[Line]:
    """Batches of whole executions, without approvals and with some, and those of two events."""
    beginnings = _lives([START], 1, 24)
    middles = [
        written(PLAIN[place : place + 2], execution=life[0].execution_id) for life in beginnings for place in (2, 4)
    ]
    return [
        _batches(session, "batch of 2: triggered, processing", beginnings[:12], beginnings[12:]),
        _batches(session, "batch of 2: prepared, dispatched", middles[:24], middles[24:]),
        _batches(session, "batch of 7", _lives([PLAIN], 1, 8), _lives([PLAIN], 1, 9)),
        _batches(session, "batch of 7, each with an approval", _lives([APPROVED], 1, 8), _lives([APPROVED], 1, 9)),
        _batches(session, "batch of 7, mix", _lives(MIX, 1, 9), _lives(MIX, 1, 9)),
        _batches(session, "batch of 70", _lives([PLAIN], 10, 3), _lives([PLAIN], 10, 4)),
        _batches(session, "batch of 70, mix", _lives(MIX, 10, 3), _lives(MIX, 10, 4)),
        _batches(session, "batch of 1,001", _lives([PLAIN], 143, 1), _lives([PLAIN], 143, 2)),
        _batches(session, "batch of 1,001, mix", _lives(MIX, 143, 1), _lives(MIX, 143, 2)),
    ]


def _lives(lives: Sequence[Life], size: int, count: int) -> list[list[NewEvent]]:
    """Batches of so many executions, which take turns in how they live."""
    every = [written(lives[number % len(lives)]) for number in range(size * count)]
    return [[event for life in every[start : start + size] for event in life] for start in range(0, len(every), size)]


def _batches(session: Counted, name: str, warm: Sequence[list[NewEvent]], counted: Sequence[list[NewEvent]]) -> Line:
    size = sum(map(len, counted))
    found = []
    for statement in (BARE_BATCH, EMIT_BATCH):
        session.each(statement, [(as_text(events),) for events in warm])
        rows = [(as_text(events),) for events in counted]
        found.append(session.count(partial(session.each, statement, rows)) / size)
    return Line(name, *found)


def trace(session: Counted, stored: Stored) -> list[Line]:
    """What happened in an execution, beside a look-up by an index."""
    lines = []
    for name, prepare in (("trace of 7 events", False), ("trace of 7 events, prepared", True)):
        found = []
        for statement in (BARE_TRACE, TRACE):
            rows = [(key,) for key in stored.to_trace]
            session.each(statement, rows, prepare=prepare)
            found.append(session.count(partial(session.each, statement, rows, prepare=prepare)) / len(rows))
        lines.append(Line(name, *found))
    return lines


@dataclass(frozen=True, slots=True)
class Stored:
    """The executions that are there before the counting begins."""

    to_approve: Sequence[str]
    to_complete: Sequence[str]
    to_trace: Sequence[str]


def store(ledger: LocalLedger) -> Stored:
    """Fills the ledger."""
    with psycopg.connect(ledger.server.dsn(WRITER, DATABASE), autocommit=True) as connection:
        connection.execute("set synchronous_commit = off")
        fill(connection, STORED)
        long_ones = [written(LONG) for _ in range(4 * TOGETHER)]
        for life in long_ones:
            connection.execute(EMIT_BATCH, (as_text(life),))
        rows = connection.execute(
            "select execution_id from public.bare_read where event_type = 'execution_completed' limit 20"
        ).fetchall()
    names = [str(life[0].execution_id) for life in long_ones]
    half = len(names) // 2
    return Stored(names[:half], names[half:], [row[0] for row in rows])


PARTS: dict[str, Callable[[Counted, Stored], list[Line]]] = {
    "plain": plain,
    "approval": approval,
    "failed": failed,
    "long": long,
    "mix": mix,
    "batch": batch,
    "trace": trace,
}


def main() -> None:
    """Counts everything on a server of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--bin-dir", type=Path, help="PostgreSQL's binaries; the embedded ones if left out")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is needed: apt-get install valgrind")
    console = Console(stderr=True)
    lines: list[Line] = []
    with setting_up(options.bin_dir, {"fsync": "off"}) as (ledger, folder):
        version = version_of(ledger)
        stored = store(ledger)
        with under_valgrind(ledger, folder) as session:
            for name in options.only:
                with console.status(f"counting: {name}"):
                    lines += PARTS[name](session, stored)
    if options.json:
        print(json.dumps({"version": version, "instructions": [line.as_json() for line in lines]}))
        return
    table = Table("thousand instructions an event", title=f"PostgreSQL {version}")
    for heading in ("bare", "ledger", "times", "bar"):
        table.add_column(heading, justify="right")
    for line in lines:
        found = line.as_json()
        bar = found["bar"]
        colour = "" if bar is None else ("[green]" if found["ratio"] <= bar else "[yellow]")
        table.add_row(
            line.name, f"{line.bare / 1000:.1f}", f"{line.ledger / 1000:.1f}", f"{colour}{found['ratio']:.2f}",
            f"{bar or '–'}",
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
