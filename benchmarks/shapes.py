"""Times what a ledger is used for beside the same with bare tables, in turns, so that a machine whose speed drifts
does not decide; what counts is the ratio.

    python -m benchmarks.shapes [--only singles writers wal import numbering] [--rounds 5]
                                [--bin-dir /path/to/postgresql/bin] [--json]

``singles``: one event a transaction, of a mix in which a tenth is about approvals. ``writers``: eight sessions, each on
executions of its own, and all on one. ``wal``: bytes of WAL an event.
``import``: ``aximo-db import`` beside COPY of the same rows, as CPU of client and server together. ``numbering``: one new
event in each of ten executions of 9,900 events, beside ten ordinary ones.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from aximo_db import EventStore, NewEvent
from aximo_db.local.ledger import DATABASE, LocalLedger
from benchmarks.common import (
    APPROVED,
    BARE,
    BARE_BATCH,
    EMIT,
    EMIT_BATCH,
    MIX,
    NAMES,
    PLAIN,
    START,
    WRITER,
    Life,
    actions,
    advance_all,
    as_text,
    fill,
    mixed,
    setting_up,
    values,
    version_of,
    written,
)

STORED = 42_000
#: What a bare statement may be multiplied by. The writers' bars are held against an earlier schema, not against these.
BARS = {"import, many customers": 6.0, "import, one customer": 6.0, "numbering of long executions": 2.0}


@dataclass(slots=True)
class Line:
    """One line of the report: a figure of both sides for each round."""

    name: str
    unit: str
    bare: list[float] = field(default_factory=list)
    ledger: list[float] = field(default_factory=list)

    def add(self, bare: float, ledger: float) -> None:
        """Takes a round's figures."""
        self.bare.append(bare)
        self.ledger.append(ledger)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "name": self.name,
            "unit": self.unit,
            "bare": round(statistics.median(self.bare), 2),
            "ledger": round(statistics.median(self.ledger), 2),
            "ratio": round(statistics.median(b / a for a, b in zip(self.bare, self.ledger, strict=True)), 2),
            "bar": BARS.get(self.name),
        }


def connect(ledger: LocalLedger, user: str, *, durable: bool = False) -> psycopg.Connection[Any]:
    """A session in autocommit."""
    connection = psycopg.connect(ledger.server.dsn(user, DATABASE), autocommit=True)
    connection.execute(f"set synchronous_commit = {'on' if durable else 'off'}")
    return connection


def backend_cpu(connection: psycopg.Connection[Any]) -> float:
    """CPU seconds of a session's backend so far."""
    return int(Path(f"/proc/{connection.info.backend_pid}/schedstat").read_text().split()[0]) / 1e9


def singles(ledger: LocalLedger, rounds: int) -> list[Line]:
    """One event a transaction: the server's CPU by SQL and by EventStore, and the time it takes if it is durable.

    The sides take turns after each execution.
    """
    lines = []
    for durable in (False, True):
        kind, unit = ("durable", "us") if durable else ("not durable", "us of server CPU")
        by_sql, by_store = Line(f"mix, SQL, {kind}", unit), Line(f"mix, EventStore, {kind}", unit)
        with connect(ledger, WRITER, durable=durable) as connection:
            store = EventStore(connection, prepare=True)
            clock = time.perf_counter if durable else partial(backend_cpu, connection)
            ways: list[Callable[[NewEvent], object]] = [
                lambda event: connection.execute(BARE, values(event)).fetchone(),
                lambda event: connection.execute(EMIT, values(event)).fetchone(),
                store.emit,
            ]
            for number in range(rounds + 1):
                took = [0.0, 0.0, 0.0]
                for turn in range(30):
                    for place, way in enumerate(ways):
                        began = clock()
                        for event in written(MIX[turn % 3]):
                            way(event)
                        took[place] += (clock() - began) * 1e6 / 210
                if number:  # the first round warms up
                    by_sql.add(took[0], took[1])
                    by_store.add(took[0], took[2])
        lines += [by_sql, by_store]
    return lines


def _write(ledger: LocalLedger, durable: bool, statement: str, rows: Sequence[Sequence[Any]], ready: Any, counts: Any, place: int) -> None:  # fmt: skip
    with connect(ledger, WRITER, durable=durable) as connection:
        for row in rows[:14]:
            connection.execute(statement, row)
        ready.wait()
        began = time.perf_counter()
        done = 0
        for row in rows[14:]:
            connection.execute(statement, row)
            done += 1
            if time.perf_counter() > began + 1.5:
                break
        counts[place] = done / (time.perf_counter() - began)


def _eight(ledger: LocalLedger, durable: bool, statement: str, rows: Callable[[], Sequence[Sequence[Any]]]) -> float:
    """Microseconds an event over eight writers."""
    context = multiprocessing.get_context("fork")
    ready, counts = context.Barrier(8), context.Array("d", 8)
    workers = [
        context.Process(target=_write, args=(ledger, durable, statement, rows(), ready, counts, place))
        for place in range(8)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return 1e6 / float(sum(counts[:]))


def writers(ledger: LocalLedger, rounds: int) -> list[Line]:
    """Eight writers for one customer: each with executions of its own, and all on one execution."""
    lines = []
    for durable in (False, True):
        kind = "durable" if durable else "not durable"
        apart = Line(f"8 writers, different executions, {kind}", "us")
        together = Line(f"8 writers, one execution, {kind}", "us")
        for _ in range(rounds):
            shared = written(START)
            with connect(ledger, WRITER) as connection:
                connection.execute(EMIT_BATCH, (as_text(shared),))
            steps = [("action_prepared", {"action_type": "lead_capture"})] * 3000
            for line, rows in (
                (apart, lambda: [values(event) for _ in range(430) for event in written(PLAIN)]),
                (together, lambda: [values(event) for event in written(steps, execution=shared[0].execution_id)]),  # noqa: B023
            ):
                line.add(_eight(ledger, durable, BARE, rows), _eight(ledger, durable, EMIT, rows))
        lines += [apart, together]
    return lines


def wal(ledger: LocalLedger, rounds: int) -> list[Line]:
    """Bytes of WAL an event, without images of whole pages."""
    single = {"plain": PLAIN, "with an approval": APPROVED}
    lines = {name: Line(f"WAL, one at a time, {name}", "bytes") for name in single}
    batch = Line("WAL, batches of 70, mix", "bytes")
    with connect(ledger, WRITER) as connection:

        def written_by(statement: str, rows: Sequence[Sequence[Any]], events: int) -> float:
            begin = connection.execute("select pg_current_wal_insert_lsn()").fetchone()
            for row in rows:
                connection.execute(statement, row)
            found = connection.execute("select pg_current_wal_insert_lsn() - %s::pg_lsn", begin).fetchone()
            assert found is not None
            return float(found[0]) / events

        for _ in range(rounds):
            for name, life in single.items():
                rows = [values(event) for _ in range(60) for event in written(life)]
                lines[name].add(written_by(BARE, rows, len(rows)), written_by(EMIT, rows, len(rows)))
            texts = [(as_text(mixed(10)),) for _ in range(12)]
            batch.add(written_by(BARE_BATCH, texts, 840), written_by(EMIT_BATCH, texts, 840))
    return [*lines.values(), batch]


def server_cpu(ledger: LocalLedger) -> float:
    """CPU seconds of the server so far: the postmaster, its children, and those that have ended."""
    root = ledger.server.pid
    while True:  # until no child has ended meanwhile, which would be counted twice or not at all
        ended, alive = _ticks(root)
        if _ticks(root)[0] == ended:
            return (ended + alive) / os.sysconf("SC_CLK_TCK")


def _ticks(root: int | None) -> tuple[int, int]:
    """The ticks of the postmaster's children that it has seen ending, and of itself with the others."""
    ended = alive = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parts = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except OSError:
                continue
            if root in (int(entry.name), int(parts[1])):
                alive += sum(map(int, parts[11:13]))
            if int(entry.name) == root:
                ended = sum(map(int, parts[13:15]))
    return ended, alive


def children_cpu() -> float:
    """CPU seconds of the processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _file(path: Path, customers: int, count: int) -> list[dict[str, Any]]:
    """A file of executions side by side, in order of time; few customers have most of them (Zipf)."""
    chance = random.Random()
    weights = [1 / number for number in range(1, customers + 1)]
    began = datetime.now(UTC) - timedelta(days=2)
    events: list[NewEvent] = []
    while len(events) < count:
        [number] = chance.choices(range(customers), weights)
        moment = began + timedelta(seconds=chance.random() * count / 20)
        events += written(MIX[len(events) % 3], customer=f"customer-{number}", began=moment)
    events.sort(key=lambda event: event.timestamp)
    lines = [event.as_json() for event in events]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return lines


def importing(ledger: LocalLedger, rounds: int, folder: Path, count: int) -> list[Line]:
    """``aximo-db import`` as users run it, less what it takes to import nothing, beside COPY from a client."""
    dsn = ledger.dsns()["owner"]
    empty = folder / "empty.jsonl"
    empty.touch()

    def imported(path: Path) -> float:
        before = server_cpu(ledger) + children_cpu()
        done = subprocess.run(
            [sys.executable, "-m", "aximo_db", "import", str(path), "--db", dsn, "--json"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert json.loads(done.stdout)["refused"] == 0
        return server_cpu(ledger) + children_cpu() - before

    lines = []
    for name, customers in (("import, many customers", 1000), ("import, one customer", 1)):
        line = Line(name, "us of all CPU")
        for _ in range(max(2, rounds // 2)):
            rows = _file(folder / "events.jsonl", customers, count)
            text = folder / "events.copy"
            text.write_text("".join("\t".join(_copied(row[name.strip('"')]) for name in NAMES.split(", ")) + "\n" for row in rows))  # fmt: skip
            nothing = statistics.median(imported(empty) for _ in range(3))
            ours = imported(folder / "events.jsonl") - nothing
            before = server_cpu(ledger) + time.process_time()
            with (
                psycopg.connect(dsn, autocommit=True) as connection,
                connection.cursor().copy(f"copy public.bare ({NAMES}) from stdin") as copy,
                text.open("rb") as source,
            ):
                while block := source.read(65536):
                    copy.write(block)
            bare = server_cpu(ledger) + time.process_time() - before
            line.add(bare * 1e6 / len(rows), ours * 1e6 / len(rows))
        lines.append(line)
    return lines


def _copied(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def numbering(ledger: LocalLedger, rounds: int) -> list[Line]:
    """``advance_log`` after one new event in each of ten long executions, beside ten ordinary ones."""
    line = Line("numbering of long executions", "ms of server CPU")
    lives: dict[str, Life] = {"ordinary": [*START, *actions(2)], "long": [*START, *actions(4949)]}
    with (
        connect(ledger, WRITER) as writer,
        connect(ledger, "aximo_admin") as owner,
    ):
        names = {kind: [f"{kind}-{number}" for number in range(10)] for kind in lives}
        for kind, executions in names.items():
            for execution in executions:
                events = written(lives[kind], execution=execution)
                for start in range(0, len(events), 1000):
                    writer.execute(EMIT_BATCH, (as_text(events[start : start + 1000]),))
        advance_all(owner)
        step: Life = (("action_prepared", {"action_type": "lead_capture"}),)
        for number in range(rounds + 3):
            took = {}
            for kind, executions in names.items():
                for execution in executions:
                    writer.execute(EMIT, values(written(step, execution=execution)[0]))
                began = backend_cpu(owner)
                assert advance_all(owner) == 10
                took[kind] = (backend_cpu(owner) - began) * 1e3
            if number > 2:
                line.add(took["ordinary"], took["long"])
    return [line]


def main() -> None:
    """Times everything on a server of its own."""
    parts = ("singles", "writers", "wal", "import", "numbering")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lines", type=int, default=30_000, help="of the files that are imported")
    parser.add_argument("--bin-dir", type=Path, help="PostgreSQL's binaries; the embedded ones if left out")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    console = Console(stderr=True)
    lines: list[Line] = []
    settings = {"full_page_writes": "off", "max_wal_size": "8GB"}
    with setting_up(options.bin_dir, settings) as (ledger, folder):
        version = version_of(ledger)
        with connect(ledger, WRITER) as connection:
            fill(connection, STORED)
        with psycopg.connect(ledger.server.dsn(database=DATABASE), autocommit=True) as root:
            root.execute("vacuum")
            root.execute("analyze public.bare_read")
            root.execute("checkpoint")
        work: dict[str, Callable[[], list[Line]]] = {
            "singles": lambda: singles(ledger, options.rounds),
            "writers": lambda: writers(ledger, options.rounds),
            "wal": lambda: wal(ledger, options.rounds),
            "import": lambda: importing(ledger, options.rounds, folder, options.lines),
            "numbering": lambda: numbering(ledger, options.rounds),
        }
        for name in options.only:
            with console.status(name):
                lines += work[name]()
    if options.json:
        print(json.dumps({"version": version, "shapes": [line.as_json() for line in lines]}))
        return
    table = Table("measured", title=f"PostgreSQL {version}: medians")
    for heading in ("unit", "bare", "ledger", "times", "bar"):
        table.add_column(heading, justify="right")
    for line in lines:
        found = line.as_json()
        bar = found["bar"]
        colour = "" if bar is None else ("[green]" if found["ratio"] <= bar else "[yellow]")
        table.add_row(
            line.name, line.unit, f"{found['bare']:,}", f"{found['ledger']:,}", f"{colour}{found['ratio']:.2f}",
            f"{bar or '–'}",
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
