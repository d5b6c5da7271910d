"""How long nobody can write for a customer that is moved, against its size.

python -m benchmarks.moves [--sizes 10000 100000 1000000] [--version 18]
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import threading
import time
from pathlib import Path

import psycopg

from aximo_db import EventStore, MovedError, NewEvent
from aximo_db.dba.move import MoveReport, move
from tests.fleet_support import SERVICE, FleetNode, emit_runs, make_node, two_servers

#: Executions of seven events, as in the other benchmarks.
_LIVES = """
select aximo.import_events(
    (
        select jsonb_agg(
            jsonb_build_object(
                'event_type', k.kind, 'execution_id', case when k.place = 7 then null else 'x' || n end, 'deployment_id', 'dep-' || n %% 20,
                'skill_id', 's', 'skill_version', '1', 'actor', 'system',
                'timestamp', timestamptz '2026-01-01 00:00:00Z' + n * interval '13 seconds' + k.place * interval '1 second',
                'payload', jsonb_build_object('action_type', 'send_email', 'text', repeat('x', 100))
            )
            order by n, k.place
        )
        from generate_series(%s::bigint, %s::bigint) as n
        cross join (
            values (1, 'execution_triggered'), (2, 'execution_processing'), (3, 'action_prepared'), (4, 'action_dispatched'),
            (5, 'action_prepared'), (6, 'action_dispatched'), (7, 'sla_breached')
        ) as k (place, kind)
    ),
    'c1'
)
"""


def fill(node: FleetNode, events: int) -> None:
    """So many events of a customer, numbered and counted."""
    lives = events // 7
    with psycopg.connect(node.dsn(SERVICE), autocommit=True) as service:
        for first in range(1, lives + 1, 1000):
            service.execute(_LIVES, (first, min(first + 999, lives)))
            service.execute("select from aximo.advance_log()")
        emit_runs(service, "c1", ["run"], events=100)
        is_behind: bool | None = True
        while is_behind:
            row = service.execute("select is_behind from aximo.advance_log()").fetchone()
            is_behind = row[0] if row else False
        is_behind = True
        while is_behind:
            row = service.execute("select is_behind from aximo.count_metrics()").fetchone()
            is_behind = row[0] if row else False
        service.execute("select from aximo.refresh_metrics()")


def moved(source: FleetNode, target: FleetNode) -> tuple[MoveReport, float, float]:
    """Moves while a writer writes; the report, the longest time that it waited, and how long all took."""
    stop = threading.Event()
    waits: list[float] = []

    def write() -> None:
        nodes = [source, target]
        store = EventStore(nodes[0].dsn(SERVICE), customer_id="c1", retry_for=120)
        while not stop.is_set():
            began = time.monotonic()
            event = NewEvent(
                event_type="sla_breached", deployment_id="dep-1", skill_id="s", skill_version="1", actor="system"
            )
            while True:
                try:
                    store.emit(event)
                    break
                except MovedError:
                    store.close()
                    nodes.reverse()
                    store = EventStore(nodes[0].dsn(SERVICE), customer_id="c1", retry_for=120)
            waits.append(time.monotonic() - began)
            stop.wait(0.005)
        store.close()

    writer = threading.Thread(target=write)
    writer.start()
    time.sleep(0.5)
    began = time.monotonic()
    try:
        report = move("c1", source.dsn(), target.dsn(), timeout=120)
    finally:
        seconds = time.monotonic() - began
        time.sleep(0.5)
        stop.set()
        writer.join()
    return report, max(waits), seconds


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--version", default="18")
    arguments = parser.parse_args()
    print(
        "| events | copied and checked | pause | longest wait of a writer | moved back: pause | of the pause: compare |"
    )
    print("|---|---|---|---|---|---|")
    for size in arguments.sizes:
        with (
            tempfile.TemporaryDirectory(prefix="aximo-moves-", ignore_cleanup_errors=True) as folder,
            contextlib.ExitStack() as stack,
        ):
            servers = stack.enter_context(two_servers(Path(folder), [arguments.version] * 2))
            one, two = (make_node(server, f"node_{number}", number) for number, server in enumerate(servers))
            fill(one, size)
            report, wait, _ = moved(one, two)
            before = sum(report.seconds[name] for name in ("subscribe", "catch up", "check"))
            back = [moved(two, one)[0].pause_ms or 0.0]
            print(
                f"| {report.events:,} | {before:.1f} s | {report.pause_ms:.0f} ms | {wait * 1000:.0f} ms |"
                f" {statistics.median(back):.0f} ms | {report.seconds['compare'] * 1000:.0f} ms |",
                flush=True,
            )


if __name__ == "__main__":
    main()
