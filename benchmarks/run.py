"""Measures the ledger against bare INSERTs of the same rows (heap and primary key, nothing else) in the same run.

    python -m benchmarks.run [--stored 100000] [--rounds 5] [--bin-dir /path/to/postgresql/bin] [--json]

Each figure is the median over rounds in which both sides take turns, so that a machine whose speed drifts does not
decide; what counts is the ratio. The bars are those of docs/design/0004-emit-path.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from rich.console import Console
from rich.table import Table

from aximo_db import EventStore, NewEvent
from aximo_db.local import LocalLedger

COLUMNS = (
    "event_type",
    "customer_id",
    "deployment_id",
    "skill_id",
    "skill_version",
    "execution_id",
    "actor",
    "payload",
    "timestamp",
    "event_id",
)
NAMES = ", ".join(f'"{name}"' for name in COLUMNS)
BARE_TABLE = """
create table if not exists public.bare (
    event_id uuid, event_type text, "timestamp" timestamptz, customer_id text, deployment_id text, skill_id text,
    skill_version text, execution_id text, risk_level text, approval_mode text, actor text, payload jsonb,
    correlation_id text, channel_type text, error_code text, latency_ms bigint, recorded_at timestamptz default now(),
    recorded_by text default session_user, primary key (customer_id, event_id)
)
"""
BARE = f"insert into public.bare ({NAMES}) values ({', '.join(['%s'] * len(COLUMNS))}) returning recorded_at"
EMIT = f"select * from aximo.emit_event({', '.join(f'{name} => %s' for name in NAMES.split(', '))})"
BARE_BATCH = (
    f"insert into public.bare ({NAMES}) select {NAMES} from jsonb_to_recordset(%s) as x("
    "event_type text, customer_id text, deployment_id text, skill_id text, skill_version text, execution_id text,"
    ' actor text, payload jsonb, "timestamp" timestamptz, event_id uuid)'
)
LIFE = (
    ("execution_triggered", {"channel": "web", "received_at": "2026-01-01T00:00:00+00:00"}),
    ("execution_processing", {}),
    ("action_prepared", {"action_type": "lead_capture"}),
    ("action_dispatched", {"action_type": "lead_capture"}),
    ("action_prepared", {"action_type": "send_email"}),
    ("action_dispatched", {"action_type": "send_email"}),
    ("execution_completed", {"actions_count": 2}),
)


def events(executions: int, customer: str) -> list[NewEvent]:
    """Whole executions of seven events, as an agent runtime emits them."""
    made = []
    for _ in range(executions):
        execution = str(uuid.uuid4())
        made += [
            NewEvent(
                event_type=event_type,
                customer_id=customer,
                deployment_id="dep-acme-web",
                skill_id="leadcapture_hvac",
                skill_version="v1.0",
                execution_id=execution,
                actor="system",
                payload=payload,
                timestamp=datetime.now(UTC),
            )
            for event_type, payload in LIFE
        ]
    return made


def values(event: NewEvent) -> Sequence[Any]:
    """The values of a bare INSERT."""
    return [Jsonb(event.payload) if name == "payload" else getattr(event, name) for name in COLUMNS]


def per_item(work: Callable[[Any], object], items: Sequence[Any]) -> float:
    """Seconds an item."""
    began = time.perf_counter()
    for item in items:
        work(item)
    return (time.perf_counter() - began) / len(items)


class Result:
    """One line of the report."""

    def __init__(self, name: str, unit: str, bare: list[float], ours: list[float], bar: float | None) -> None:
        self.name, self.unit, self.bar = name, unit, bar
        self.bare, self.ours = statistics.median(bare), statistics.median(ours)
        self.ratio = statistics.median(b / a for a, b in zip(bare, ours, strict=True))

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "name": self.name,
            "bare_us": round(self.bare * 1e6, 1),
            "ledger_us": round(self.ours * 1e6, 1),
            "per": self.unit,
            "ratio": round(self.ratio, 2),
            "bar": self.bar,
        }


def one_at_a_time(dsn: str, rounds: int, *, durable: bool) -> list[Result]:
    """One event a transaction: by SQL, and by EventStore."""
    bare, by_sql, by_store = [], [], []
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"set synchronous_commit = {'on' if durable else 'off'}")
        store = EventStore(connection, prepare=True)
        for number in range(rounds + 1):
            count = 60 if durable else 150
            sets = [events(count, "bench") for _ in range(3)]
            times = (
                per_item(lambda row: connection.execute(BARE, row).fetchone(), [values(event) for event in sets[0]]),
                per_item(lambda row: connection.execute(EMIT, row).fetchone(), [values(event) for event in sets[1]]),
                per_item(store.emit, sets[2]),
            )
            if number:  # the first round warms up
                for line, seconds in zip((bare, by_sql, by_store), times, strict=True):
                    line.append(seconds)
    label = "durable" if durable else "synchronous_commit = off"
    bar = None if durable else 2.5
    return [
        Result(f"one event, SQL, {label}", "event", bare, by_sql, bar),
        Result(f"one event, EventStore, {label}", "event", bare, by_store, bar),
    ]


def batches(dsn: str, rounds: int) -> list[Result]:
    """A thousand events a statement."""
    bare, ours = [], []
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("set synchronous_commit = off")
        for number in range(rounds + 1):
            first, second = (
                json.dumps([event.as_json() for event in events(143, "bench")], separators=(",", ":")) for _ in range(2)
            )
            a = per_item(lambda text: connection.execute(BARE_BATCH, (text,)), [first]) / 1001
            b = (
                per_item(lambda text: connection.execute("select * from aximo.emit_events(%s)", (text,)), [second])
                / 1001
            )
            if number:
                bare.append(a)
                ours.append(b)
    return [Result("batch of 1,000 events", "event", bare, ours, 3.0)]


def _writer(dsn: str, statement: str, customer: str, seconds: float, barrier: Any, counts: Any, index: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        rows = [values(event) for event in events(600, customer)]
        barrier.wait()
        done = 0
        deadline = time.perf_counter() + seconds
        for row in rows:
            connection.execute(statement, row)
            done += 1
            if time.perf_counter() > deadline:
                break
        counts[index] = done / (time.perf_counter() - deadline + seconds)


def eight_writers(dsn: str, rounds: int) -> list[Result]:
    """Eight durable writers, each for a customer of its own; seconds an event over all of them."""
    context = multiprocessing.get_context("fork")
    measured: dict[str, list[float]] = {BARE: [], EMIT: []}
    for _ in range(max(2, rounds // 2)):
        for statement, line in measured.items():
            barrier, counts = context.Barrier(8), context.Array("d", 8)
            workers = [
                context.Process(target=_writer, args=(dsn, statement, f"writer-{n}", 2.0, barrier, counts, n))
                for n in range(8)
            ]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            line.append(1 / sum(counts))
    return [Result("8 durable writers, 8 customers", "event", measured[BARE], measured[EMIT], None)]


def reads(dsn: str, rounds: int, stored: int) -> list[Result]:
    """A trace and a page of events, among many stored ones."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        # A table of its own: the one for the writes has its primary key and no other index.
        connection.execute(BARE_TABLE.replace("public.bare", "public.bare_read"))
        connection.execute(
            "create index if not exists bare_by_execution on public.bare_read (customer_id, execution_id)"
        )
        connection.execute(
            'create index if not exists bare_by_time on public.bare_read (customer_id, "timestamp", event_id)'
        )
        have = 0
        while have < stored:
            batch = events(700, f"bench-{(have // 4900) % 20}")
            text = json.dumps([event.as_json() for event in batch], separators=(",", ":"))
            connection.execute("select count(*) from aximo.emit_events(%s)", (text,))
            connection.execute(BARE_BATCH.replace("public.bare", "public.bare_read"), (text,))
            have += len(batch)
        connection.execute("analyze public.bare_read")
        connection.execute("select set_config('aximo.customer_id', 'bench-0', false)")
        ids = [
            row[0]
            for row in connection.execute("select execution_id from public.bare_read where customer_id = 'bench-0' and event_type = 'execution_triggered' limit 200")
        ]  # fmt: skip
        bare_trace = (
            "select * from public.bare_read where customer_id = 'bench-0' and execution_id = %s order by \"timestamp\""
        )
        page = 'where customer_id = \'bench-0\' and ("timestamp", event_id) > (%s, %s) order by "timestamp", event_id limit 1000'
        start = (datetime(2000, 1, 1, tzinfo=UTC), uuid.UUID(int=0))
        lines: list[list[float]] = [[], [], [], []]
        for number in range(rounds + 1):
            connection.execute("set enable_bitmapscan = on; set enable_sort = on")
            trace = (
                per_item(lambda key: connection.execute(bare_trace, (key,)).fetchall(), ids),
                per_item(
                    lambda key: connection.execute("select * from aximo.execution_trace(%s)", (key,)).fetchall(), ids
                ),
            )
            connection.execute("set enable_bitmapscan = off; set enable_sort = off")  # as EventStore.iter_events does
            paged = (
                per_item(
                    lambda key: connection.execute(f"select * from public.bare_read {page}", key).fetchall(),
                    [start] * 10,
                ),
                per_item(
                    lambda key: connection.execute(f"select * from aximo.events {page}", key).fetchall(), [start] * 10
                ),
            )
            if number:
                for line, seconds in zip(lines, (*trace, *paged), strict=True):
                    line.append(seconds)
    return [
        Result(f"trace of 7 events among {have:,}", "trace", lines[0], lines[1], 1.5),
        Result(f"page of 1,000 events among {have:,}", "page", lines[2], lines[3], None),
    ]


def main() -> None:
    """Runs everything on an embedded server of its own and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stored", type=int, default=100_000, help="events stored for the reads")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bin-dir", help="PostgreSQL's binaries; the embedded ones if left out")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aximo-bench-", ignore_cleanup_errors=True) as folder:
        ledger = LocalLedger(Path(folder) / "data", bin_dir=options.bin_dir, settings={"shared_buffers": "512MB"})
        try:
            ledger.start()
            dsn = ledger.dsns()["owner"]
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute(BARE_TABLE)
                version = connection.execute("show server_version").fetchone()
            results = reads(dsn, options.rounds, options.stored)
            with psycopg.connect(ledger.server.dsn(), autocommit=True) as superuser:
                superuser.execute("checkpoint")
            results += [
                *batches(dsn, options.rounds),
                *one_at_a_time(dsn, options.rounds, durable=False),
                *one_at_a_time(dsn, options.rounds, durable=True),
                *eight_writers(dsn, options.rounds),
            ]
        finally:
            ledger.server.stop()
    if options.json:
        print(json.dumps([result.as_json() for result in results]))
        return
    table = Table(
        "measured", "bare µs", "ledger µs", "ratio", "bar", title=f"PostgreSQL {version[0] if version else ''}"
    )
    for result in results:
        line = result.as_json()
        met = "" if result.bar is None else ("[green]" if result.ratio <= result.bar else "[yellow]")
        table.add_row(
            result.name,
            f"{line['bare_us']}",
            f"{line['ledger_us']}",
            f"{met}{line['ratio']:.2f}",
            f"{result.bar or '–'}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
