"""Measures the metrics: what keeping rollups adds to numbering, and what a refresh costs as the ledger grows.

    python -m benchmarks.metrics [--sizes 100000 1000000] [--rounds 5] [--bin-dir /path/to/postgresql/bin] [--json]

The history grows at its end, at the same rate all along: ten times the events are ten times the days. Beside each refresh
stands that of a plain materialized view over the events. The bars: at 10 million events a refresh after 10,000 new ones
takes at most 1.5 times as long as at 100 thousand, and a 50th of the plain one; rollups at most double numbering.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from aximo_db.local import DATABASE, LocalLedger
from benchmarks.common import advance_all, without_rollups

NEW = 10_000
# Executions of 7 events, for 3 customers with 20 deployments each; 10 million events are a year.
FILL = """
select count(*) from aximo.emit_events((
    select jsonb_agg(
        jsonb_build_object(
            'event_type', t.event_type,
            'timestamp', '2025-10-01T00:00:00Z'::timestamptz + x * interval '22 seconds' + t.step * (50 + x %% 977) * interval '1 millisecond',
            'customer_id', 'customer-' || x %% 3, 'deployment_id', 'deployment-' || x %% 60, 'skill_id', 'skill-' || x %% 5,
            'skill_version', '1.0', 'execution_id', 'execution-' || x, 'actor', 'system', 'risk_level', t.risk,
            'latency_ms', case when t.step = 6 then 6 * (50 + x %% 977) end, 'payload', t.payload::jsonb
        )
        order by x, t.step
    )
    from generate_series(%s::bigint, %s::bigint, 3) as x
    cross join (
        values
        (0, 'execution_triggered', null, '{"channel": "web"}'), (1, 'execution_processing', null, '{}'),
        (2, 'action_prepared', 'R2', '{"action_type": "lead_capture"}'), (3, 'action_dispatched', 'R2', '{"action_type": "lead_capture"}'),
        (4, 'action_prepared', 'R3', '{"action_type": "send_email"}'), (5, 'action_dispatched', 'R3', '{"action_type": "send_email"}'),
        (6, 'execution_completed', null, '{"actions_count": 2}')
    ) as t (step, event_type, risk, payload)
))
"""
PLAIN = """
create materialized view bench_plain as
select
    customer_id, deployment_id, skill_id, skill_version, date_trunc('day', "timestamp", 'UTC') as day, count(*) as events,
    count(*) filter (where event_type = 'execution_triggered') as triggered,
    count(*) filter (where event_type = 'execution_completed') as completed,
    count(*) filter (where event_type = 'execution_failed') as failed,
    count(*) filter (where event_type = 'action_dispatched' and payload ->> 'action_type' = 'lead_capture') as leads,
    percentile_disc(array[0.5, 0.95, 0.99]) within group (order by latency_ms) as latency
from aximo_private.events
group by 1, 2, 3, 4, 5
"""


class Growing:
    """A ledger that grows at its end."""

    def __init__(self, root: psycopg.Connection[Any], owner: psycopg.Connection[Any], console: Console) -> None:
        self.root, self.owner, self.console, self.executions = root, owner, console, 0

    def grow(self, count: int) -> None:
        """Adds so many events, without numbering them."""
        wanted = self.executions + -(-count // 7)
        while self.executions < wanted:
            until = min(wanted, self.executions + 1000)
            for first in range(self.executions, min(until, self.executions + 3)):  # one customer's after another's
                self.owner.execute(FILL, (first, until - 1))
            self.executions = until

    def grow_to(self, count: int) -> None:
        """Adds events until there are so many, and numbers them."""
        with self.console.status("") as status:
            while (missing := count - self.executions * 7) > 0:
                status.update(f"filling: {self.executions * 7:,} of {count:,} events")
                self.grow(min(missing, 105_000))
                advance_all(self.root)

    def seconds(self, statement: str) -> float:
        began = time.perf_counter()
        self.root.execute(statement)
        return time.perf_counter() - began


def rollups(ledger: Growing, rounds: int) -> dict[str, float]:
    """Numbering with rollups and without, in turn."""
    took: dict[str, list[float]] = {"with": [], "without": []}
    for number in range(rounds + 1):
        for way, line in took.items():
            ledger.grow(NEW)
            keep = without_rollups(ledger.root) if way == "without" else None
            began = time.perf_counter()
            numbered = advance_all(ledger.root)
            if number:
                line.append((time.perf_counter() - began) / numbered)
            if keep is not None:
                keep()
        counted = ledger.root.execute("select counted, remaining from aximo.recount_metrics()").fetchone()
        assert counted is not None
        assert counted[0] >= NEW
        assert counted[1] == 0
    return {
        "numbering_us": statistics.median(took["with"]) * 1e6,
        "numbering_without_rollups_us": statistics.median(took["without"]) * 1e6,
        "with_to_without": statistics.median(a / b for a, b in zip(took["with"], took["without"], strict=True)),
    }


def refreshing(ledger: Growing, rounds: int) -> dict[str, float]:
    """A refresh after 10,000 new events, and one of a plain materialized view."""
    ledger.root.execute(PLAIN)
    took = []
    everything = ledger.seconds("select aximo.refresh_metrics(true)")
    for number in range(rounds + 1):
        ledger.grow(NEW)
        advance_all(ledger.root)
        seconds = ledger.seconds("select aximo.refresh_metrics(false)")
        if number:
            took.append(seconds)
    plain = min(ledger.seconds("refresh materialized view bench_plain") for _ in range(2))
    ledger.root.execute("drop materialized view bench_plain")
    rows = ledger.root.execute("select count(*) from aximo_private.rollups").fetchone()
    assert rows is not None
    return {
        "events": ledger.executions * 7,
        "rollup_rows": rows[0],
        "refresh_ms": statistics.median(took) * 1e3,
        "refresh_everything_ms": everything * 1e3,
        "plain_ms": plain * 1e3,
        "plain_to_refresh": plain / statistics.median(took),
    }


def main() -> None:
    """Runs everything and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 500_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bin-dir", help="PostgreSQL's binaries; the embedded ones if left out")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="aximo-bench-", ignore_cleanup_errors=True) as folder:
        ledger = LocalLedger(Path(folder) / "data", bin_dir=arguments.bin_dir, settings={"shared_buffers": "512MB"})
        try:
            ledger.start()
            with (
                psycopg.connect(ledger.server.dsn("postgres", DATABASE), autocommit=True) as root,
                psycopg.connect(ledger.dsns()["owner"], autocommit=True) as owner,
            ):
                root.execute("set synchronous_commit = off")
                owner.execute("set synchronous_commit = off")
                growing = Growing(root, owner, console)
                growing.grow_to(arguments.sizes[0])
                found: dict[str, Any] = {"rollups": rollups(growing, arguments.rounds), "sizes": []}
                for size in arguments.sizes:
                    growing.grow_to(size)
                    found["sizes"].append(refreshing(growing, arguments.rounds))
        finally:
            ledger.server.stop()
    first = found["sizes"][0]["refresh_ms"]
    for each in found["sizes"]:
        each["to_the_first"] = each["refresh_ms"] / first
    if arguments.json:
        print(json.dumps(found))
        return
    out = Console()
    kept = found["rollups"]
    out.print(
        f"numbering: {kept['numbering_us']:.1f} us an event, {kept['numbering_without_rollups_us']:.1f} us without rollups:"
        f" {kept['with_to_without']:.2f} times (bar: 2)"
    )
    table = Table("events", "rollup rows", "refresh", "to the first", "everything", "plain view", "plain to refresh")
    for each in found["sizes"]:
        table.add_row(
            f"{each['events']:,}",
            f"{each['rollup_rows']:,}",
            f"{each['refresh_ms']:.0f} ms",
            f"{each['to_the_first']:.2f}",
            f"{each['refresh_everything_ms']:.0f} ms",
            f"{each['plain_ms']:.0f} ms",
            f"{each['plain_to_refresh']:.1f}",
        )
    out.print(table)


if __name__ == "__main__":
    main()
