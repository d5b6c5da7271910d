"""Measures the log: numbering, feed, lag, proofs, verification, and what it costs in bytes and to those who emit.

    python -m benchmarks.log [--entries 200000] [--rounds 5] [--bin-dir /path/to/postgresql/bin] [--json]

Ratios are to bare INSERTs or SELECTs of the same events in the same run. The bars: numbering keeps up with bare
inserts of the same events; emitting takes at most 5 % longer while it runs.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from aximo_db.dba.verify_log import prove_inclusion, verify_log
from aximo_db.local.ledger import LocalLedger
from benchmarks.common import BARE, BARE_BATCH, BARE_TABLES, EMIT, advance_all, as_text, mixed, per_item, values

CUSTOMER = "log-bench"


def emit(connection: psycopg.Connection[Any], count: int, customer: str = CUSTOMER, *, bare: bool = False) -> float:
    """Emits that many events in batches; seconds a bare batch insert of an event took, if asked for."""
    done, spent = 0, 0.0
    while done < count:
        batch = mixed(min(700, -(-(count - done) // 7)), customer)
        text = as_text(batch)
        if bare:
            began = time.perf_counter()
            connection.execute(BARE_BATCH, (text,))
            spent += time.perf_counter() - began
        connection.execute("select count(*) from aximo.emit_events(%s)", (text,))
        done += len(batch)
    return spent / done


def advancing(dsn: str, rounds: int) -> dict[str, Any]:
    """Seconds to number an event, beside those of a bare insert of it."""
    single, batch, ours = [], [], []
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("set synchronous_commit = off")
        for number in range(rounds + 1):
            rows = [values(event) for event in mixed(150, "bare")]
            one = per_item(lambda row: connection.execute(BARE, row).fetchone(), rows)
            many = emit(connection, 20_000, bare=True)
            began = time.perf_counter()
            numbered = advance_all(connection)
            per_event = (time.perf_counter() - began) / numbered
            if number:
                single.append(one)
                batch.append(many)
                ours.append(per_event)
    return {
        "advance_us": statistics.median(ours) * 1e6,
        "bare_insert_us": statistics.median(single) * 1e6,
        "bare_batch_insert_us": statistics.median(batch) * 1e6,
        "advance_to_bare_insert": statistics.median(b / a for a, b in zip(single, ours, strict=True)),
        "advance_to_bare_batch_insert": statistics.median(b / a for a, b in zip(batch, ours, strict=True)),
    }


def feed(dsn: str, rounds: int) -> dict[str, Any]:
    """Seconds to read an entry, a thousand at a time, beside those of the same from the bare table."""
    bare, ours = [], []
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("select set_config('aximo.customer_id', %s, false)", (CUSTOMER,))
        connection.execute("analyze public.bare")
        page = f"select * from public.bare where customer_id = '{CUSTOMER}' order by event_id limit 1000"
        for number in range(rounds + 1):
            a = per_item(lambda _: connection.execute(page).fetchall(), range(10)) / 1000
            b = per_item(
                lambda n: connection.execute("select * from aximo.read_log(%s, 1000)", (n * 1000,)).fetchall(),
                range(10),
            )
            if number:
                bare.append(a)
                ours.append(b / 1000)
    return {
        "feed_us": statistics.median(ours) * 1e6,
        "feed_to_bare_page": statistics.median(b / a for a, b in zip(bare, ours, strict=True)),
    }


def size_of(dsn: str) -> dict[str, Any]:
    """Bytes an event, of the events and of the log."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "select pg_total_relation_size('aximo_private.events'), pg_total_relation_size('aximo_private.log_entries'),"
            " pg_total_relation_size('aximo_private.log_nodes'), (select high_position from aximo_private.logs where log = 'events')"
        ).fetchone()
    assert row is not None
    stored, entries, nodes, count = row
    return {
        "event_bytes": float(stored / count),
        "log_bytes_an_event": float((entries + nodes) / count),
    }


def proofs(dsn: str, sizes: list[int]) -> dict[str, Any]:
    """Milliseconds to prove an event in logs of different sizes, and to recompute a whole log, an entry."""
    result: dict[str, Any] = {}
    for size in sizes:
        customer = f"proof-{size}"
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("set synchronous_commit = off")
            emit(connection, size, customer)
            advance_all(connection)
            connection.execute("select set_config('aximo.customer_id', %s, false)", (customer,))
            ids = connection.execute(
                "select event_id from aximo.log_leaves where log = 'events' and number = any(%s)",
                ([1, size // 3, size // 2, size - 1],),
            ).fetchall()
            times = [per_item(lambda row: prove_inclusion(connection, row[0]), ids) for _ in range(5)]
            result[f"prove_ms_of_{size}"] = statistics.median(times) * 1e3
            began = time.perf_counter()
            assert connection.execute("select * from aximo.verify_log()").fetchall() == []
            result[f"verify_in_sql_us_of_{size}"] = (time.perf_counter() - began) / size * 1e6
        began = time.perf_counter()
        assert verify_log(dsn, customer_id=customer).ok
        result[f"verify_us_of_{size}"] = (time.perf_counter() - began) / size * 1e6
    return result


def _advance_for(dsn: str, every: float, ready: Any, numbering: Any, done: Any) -> None:
    """Numbers every so many seconds while it is told to, and only waits while it is not."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        advance_all(connection)  # a session's first call plans it, which takes longer than the call
        ready.set()
        while not done.is_set():
            if numbering.is_set():
                advance_all(connection)
            time.sleep(every)


def _emit_for(dsn: str, customer: str, seconds: float, barrier: Any) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        rows = [values(event) for event in mixed(2000, customer)]
        barrier.wait()
        deadline = time.perf_counter() + seconds
        for row in rows:
            connection.execute(EMIT, row)
            if time.perf_counter() > deadline:
                break


def while_advancing(dsn: str, rounds: int, every: float, executions: int) -> dict[str, Any]:
    """What an emit takes while another session numbers, beside what it takes while that session only waits: medians."""
    context = multiprocessing.get_context("spawn")
    ready, numbering, done = context.Event(), context.Event(), context.Event()
    worker = context.Process(target=_advance_for, args=(dsn, every, ready, numbering, done))
    worker.start()
    ready.wait()
    measured: dict[bool, list[float]] = {False: [], True: []}
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("set synchronous_commit = off")
        for number in range(4 * rounds):
            numbers = number % 2 == 1
            if numbers:
                numbering.set()
            else:
                numbering.clear()
            time.sleep(2 * every)
            times = []
            for row in [values(event) for event in mixed(executions, "latency")]:
                began = time.perf_counter()
                connection.execute(EMIT, row).fetchone()
                times.append(time.perf_counter() - began)
            if number > 1:
                measured[numbers].append(statistics.median(times))
    done.set()
    worker.join()
    pairs = zip(measured[False], measured[True], strict=True)
    return {
        "emit_alone_us": statistics.median(measured[False]) * 1e6,
        f"emit_while_advancing_every_{every:g}_s": statistics.median(during / alone for alone, during in pairs),
    }


def lag(dsn: str) -> dict[str, Any]:
    """Milliseconds from an event's recorded_at to its reader, with eight writers and one who numbers."""
    context = multiprocessing.get_context("fork")
    seconds = 4.0
    barrier, ready, numbering, done = context.Barrier(9), context.Event(), context.Event(), context.Event()
    numbering.set()
    writers = [context.Process(target=_emit_for, args=(dsn, f"lag-{n}", seconds, barrier)) for n in range(8)]
    worker = context.Process(target=_advance_for, args=(dsn, 0.05, ready, numbering, done))
    for process in (*writers, worker):
        process.start()
    ready.wait()
    ages: list[float] = []
    number = 0
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("select set_config('aximo.customer_id', 'lag-0', false)")
        barrier.wait()
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            for entry, age in connection.execute(
                "select number, extract(epoch from clock_timestamp() - recorded_at)::float8 from aximo.read_log(%s, 1000)",
                (number,),
            ):
                number = entry
                ages.append(age)
            time.sleep(0.01)
        for process in writers:
            process.join()
        done.set()
        worker.join()
        row = connection.execute("select high_position from aximo_private.logs where log = 'events'").fetchone()
    assert row is not None
    return {"lag_p50_ms": statistics.median(ages) * 1e3, "lag_p95_ms": statistics.quantiles(ages, n=20)[-1] * 1e3}


def main() -> None:
    """Runs everything on an embedded server of its own and prints what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=200_000, help="of the larger log that is proved")
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
                connection.execute(BARE_TABLES)
                version = connection.execute("show server_version").fetchone()
            found: dict[str, Any] = {}
            found |= advancing(dsn, options.rounds)
            found |= feed(dsn, options.rounds)
            found |= size_of(dsn)
            found |= while_advancing(dsn, options.rounds, 0.05, 150)
            found |= while_advancing(dsn, 2, 1.0, 2000)  # as "aximo-db advance --follow" does
            found |= lag(dsn)
            found |= proofs(dsn, [10_000, options.entries])
        finally:
            ledger.server.stop()
    if options.json:
        print(json.dumps({"version": version[0] if version else "", **found}))
        return
    table = Table("measured", "value", title=f"PostgreSQL {version[0] if version else ''}")
    for name, value in found.items():
        table.add_row(name.replace("_", " "), f"{value:,.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
