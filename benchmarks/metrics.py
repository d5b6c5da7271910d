"""Measures the metrics: what an event costs until it is shown, and what a refresh costs, whatever there is beside it.

    python -m benchmarks.metrics [--sizes 100000 1000000] [--rounds 5] [--refreshes 43200]
        [--bin-dir /path/to/postgresql/bin] [--json]

What is measured is CPU of the session's backend, as times depend on what else the machine does (Linux only). The data: a
thousand customers, of which few have most of the events; then one hot customer beside them. Only public functions and views
are used, so another version of the schema can be measured by the same file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from aximo_db.local.ledger import DATABASE, LocalLedger
from benchmarks.common import BARE, BARE_TABLES, mixed, values

NEW = 10_000
# Executions of 7 events, each 10 seconds after the last: history grows at its end.
FILL = """
select count(*) from aximo.emit_events((
    select jsonb_agg(
        jsonb_build_object(
            'event_type', t.event_type,
            'timestamp', '2025-10-01T00:00:00Z'::timestamptz + x * interval '10 seconds' + t.step * (50 + x %% 977) * interval '1 millisecond',
            'customer_id', {customer}, 'deployment_id', 'deployment-' || x %% 3, 'skill_id', 'skill-' || x %% 60,
            'skill_version', '1.0', 'execution_id', 'execution-' || x, 'actor', 'system', 'risk_level', t.risk,
            'latency_ms', case when t.step = 6 then 6 * (50 + x %% 977) end, 'payload', t.payload::jsonb
        )
        order by x, t.step
    )
    from generate_series(%s::bigint, %s::bigint) as x
    cross join (
        values
        (0, 'execution_triggered', null, '{{"channel": "web"}}'), (1, 'execution_processing', null, '{{}}'),
        (2, 'action_prepared', 'R2', '{{"action_type": "lead_capture"}}'),
        (3, 'action_dispatched', 'R2', '{{"action_type": "lead_capture"}}'),
        (4, 'action_prepared', 'R3', '{{"action_type": "send_email"}}'),
        (5, 'action_dispatched', 'R3', '{{"action_type": "send_email"}}'),
        (6, 'execution_completed', null, '{{"actions_count": 2}}')
    ) as t (step, event_type, risk, payload)
), '*')
"""
MANY = "'customer-' || floor(exp((hashint8(x) & 65535) / 65536.0 * ln(1000)))"
HOT = "'hot'"
# One event for each of so many numbers: of a deployment, a version and an hour of their own, or of one for all.
SINGLE = """
select count(*) from aximo.emit_events((
    select jsonb_agg(
        jsonb_build_object(
            'event_type', %s::text, 'customer_id', %s::text, 'actor', 'system', 'payload', '{{}}'::jsonb,
            'timestamp', '2026-01-01T00:00:00Z'::timestamptz + {hour} * interval '1 hour',
            'deployment_id', 'deployment-' || {deployment}, 'skill_id', 'skill', 'skill_version', {version}::text
        )
    )
    from generate_series(%s::bigint, %s::bigint) as n
))
"""
SIZE = """
select sum(pg_total_relation_size(c.oid))
from pg_class as c
where c.relnamespace = 'aximo_private'::regnamespace and c.relkind in ('r', 'm')
    and c.relname ~ '(_sums|_kept|_recent|run_states|counted_logs|rollups|histograms|rollup_heads|_cold|_hot|_measures|run_heads)$'
"""


class Metered:
    """A ledger, and the CPU that a statement takes in its session's backend."""

    def __init__(self, root: psycopg.Connection[Any], owner: psycopg.Connection[Any]) -> None:
        self.root, self.owner, self.executions = root, owner, 0
        self.stat = Path(f"/proc/{root.info.backend_pid}/schedstat")
        row = root.execute("select to_regprocedure('aximo.count_metrics(integer)') is not null").fetchone()
        self.counts_apart = bool(row and row[0])

    def cpu(self, work: Callable[[], object]) -> float:
        """Microseconds of CPU."""
        before = int(self.stat.read_text().split()[0])
        work()
        return (int(self.stat.read_text().split()[0]) - before) / 1e3

    def grow(self, count: int, customer: str = MANY) -> None:
        """Adds so many events of executions, without numbering them."""
        wanted = self.executions + -(-count // 7)
        while self.executions < wanted:
            until = min(wanted, self.executions + 350)
            self.owner.execute(FILL.format(customer=customer), (self.executions, until - 1))
            self.executions = until

    def single(self, count: int, customer: str, kind: str = "sla_breached", **varied: str) -> None:
        """Adds so many events beside executions."""
        form = {"hour": "0", "deployment": "1", "version": "'1.0'"} | varied
        for first in range(0, count, 5000):
            until = min(count, first + 5000) - 1
            self.owner.execute(SINGLE.format(**form), (kind, customer, first, until))

    def _all(self, function: str) -> None:
        while True:
            row = self.root.execute(f"select is_behind from aximo.{function}()").fetchone()
            if not row or not row[0]:
                return

    def advance(self) -> float:
        """Numbers everything."""
        return self.cpu(lambda: self._all("advance_log"))

    def count(self) -> float:
        """Counts everything, if that is apart from numbering."""
        return self.cpu(lambda: self._all("count_metrics")) if self.counts_apart else 0.0

    def refresh(self) -> float:
        return self.cpu(lambda: self.root.execute("select from aximo.refresh_metrics()"))

    def settle(self) -> None:
        """Numbers, counts and shows what there is."""
        self.advance()
        self.count()
        self.refresh()


def bare(ledger: Metered, count: int = 3000) -> float:
    """CPU of a bare INSERT."""
    ledger.root.execute(BARE_TABLES)
    rows = [values(event) for event in mixed(count // 7)]
    return ledger.cpu(lambda: [ledger.root.execute(BARE, row) for row in rows]) / len(rows)


def an_event(ledger: Metered, customer: str, rounds: int) -> dict[str, float]:
    """CPU an event, of numbering, counting and showing 10,000; microseconds."""
    took: dict[str, list[float]] = {"advance": [], "count": [], "refresh": []}
    for _ in range(rounds):
        ledger.grow(NEW, customer)
        for name, line in took.items():
            line.append(getattr(ledger, name)() / NEW)
    return {name: statistics.median(line) for name, line in took.items()}


def same_rows(ledger: Metered, rounds: int) -> dict[str, float]:
    """CPU of showing the same 660 rows, after more and more others have changed; microseconds."""

    def again(times: int) -> list[float]:
        took = []
        for _ in range(times):
            ledger.single(220, "same", deployment="n")
            ledger.advance()
            ledger.count()
            took.append(ledger.refresh())
        return took

    found = {"0": statistics.median(again(rounds + 2)[2:])}
    for rows in (15_000, 100_000):
        ledger.single(rows // 3, "other", version=f"'{rows}-' || n")
        ledger.settle()
        first, *rest = again(rounds + 1)
        found |= {f"{rows:,}, the first": first, f"{rows:,}, from then on": statistics.median(rest)}
    return found


def beside_idle(ledger: Metered, rounds: int) -> dict[str, float]:
    """CPU of numbering, counting and showing 100 events, without and with 20,000 idle deployments; microseconds."""

    def hundred() -> float:
        took = []
        for _ in range(rounds + 1):
            ledger.grow(100)
            took.append(ledger.advance() + ledger.count() + ledger.refresh())
        return statistics.median(took[1:])

    before = hundred()
    ledger.single(20_000, "idle", "deployment_created", deployment="n")
    ledger.settle()
    return {"without": before, "with": hundred()}


def reads(ledger: Metered, rounds: int) -> dict[str, float]:
    """CPU of reading all rows of a customer by day and by hour; microseconds."""
    ledger.single(28_800, "read", deployment="n %% 20", hour="(n / 20)")
    ledger.settle()
    ledger.root.execute("select set_config('aximo.customer_id', 'read', false)")
    ledger.root.execute("select aximo.grant_customer(session_user, '*')")
    found = {}
    for view, rows in (("execution_health", 1200), ("execution_health_hourly", 28_800)):
        read = f"select * from aximo_metrics.{view}"
        took = [ledger.cpu(lambda read=read: ledger.root.execute(read).fetchall()) for _ in range(rounds)]
        row = ledger.root.execute(f"select count(*) from aximo_metrics.{view}").fetchone()
        assert row == (rows,)
        found[f"{rows:,}"] = statistics.median(took)
    return found


def size(ledger: Metered) -> float:
    """Bytes of all that is kept for metrics."""
    row = ledger.root.execute(SIZE).fetchone()
    assert row is not None
    return float(row[0])


def often(ledger: Metered, refreshes: int) -> list[dict[str, float]]:
    """Events and bytes, before and after each tenth of so many refreshes of one hundred events, vacuumed after each twenty."""
    ledger.settle()
    found = [{"events": ledger.executions * 7.0, "bytes": size(ledger)}]
    tables = ledger.root.execute(
        "select c.oid::regclass::text from pg_class as c where c.relnamespace = 'aximo_private'::regnamespace"
        " and array_to_string(c.reloptions, ',') ~ 'autovacuum_vacuum_scale_factor'"
    ).fetchall()
    for number in range(1, refreshes + 1):
        ledger.grow(100)
        ledger.settle()
        if number % 20 == 0:
            for (table,) in tables:
                ledger.root.execute(f"vacuum {table}")
        if number * 10 // refreshes > (number - 1) * 10 // refreshes:
            found.append({"events": ledger.executions * 7.0, "bytes": size(ledger)})
    return found


def measure(ledger: Metered, sizes: list[int], rounds: int, refreshes: int) -> dict[str, Any]:
    """Everything, in the order in which the ledger grows."""
    found: dict[str, Any] = {"bare_insert_us": bare(ledger), "sizes": []}
    for wanted in sizes:
        while (missing := wanted - ledger.executions * 7) > 0:
            ledger.grow(min(missing, 50_000))
            ledger.settle()
        found["sizes"].append(
            {
                "events": ledger.executions * 7,
                "bytes_an_event": size(ledger) / (ledger.executions * 7),
                **an_event(ledger, MANY, rounds),
            }
        )
    found["hot"] = an_event(ledger, HOT, rounds)
    found["often"] = often(ledger, refreshes)
    found["idle"] = beside_idle(ledger, rounds)
    found["same_rows"] = same_rows(ledger, rounds)
    found["reads"] = reads(ledger, rounds)
    return found


def tables(found: dict[str, Any]) -> list[Table]:
    """What was found, with its bars."""
    plain = found["bare_insert_us"]
    events = Table(
        "customers",
        "events",
        "advance",
        "to a bare one (bar: 1.5)",
        "count",
        "refresh",
        "all",
        "bytes (bar: 500)",
        title="CPU an event",
    )
    for name, each in [*(("1,000", size) for size in found["sizes"]), ("one hot", found["hot"])]:
        total = each["advance"] + each["count"] + each["refresh"]
        events.add_row(
            name, f"{each['events']:,}" if "events" in each else "", f"{each['advance']:.0f} us", f"{each['advance'] / plain:.2f}",
            f"{each['count']:.0f} us", f"{each['refresh']:.0f} us", f"{total:.0f} us",
            f"{each['bytes_an_event']:.0f}" if "events" in each else "",
        )  # fmt: skip
    rows = Table("what", "CPU", "to the first", "bar")
    first = found["same_rows"]["0"]
    for name, took in found["same_rows"].items():
        bar = "1" if name == "0" else "2" if "first" in name else "1"
        rows.add_row(f"660 rows after {name}", f"{took / 1e3:.1f} ms", f"{took / first:.2f}", bar)
    idle = found["idle"]
    rows.add_row("100 events", f"{idle['without'] / 1e3:.1f} ms", "1.00", "1")
    rows.add_row(
        "100 events beside 20,000 idle deployments",
        f"{idle['with'] / 1e3:.1f} ms",
        f"{idle['with'] / idle['without']:.2f}",
        "1.1",
    )
    smallest = found["sizes"][0]["refresh"] + found["sizes"][0]["count"]
    for each in found["sizes"]:
        took = each["refresh"] + each["count"]
        rows.add_row(
            f"10,000 events at {each['events']:,}", f"{took * NEW / 1e3:.0f} ms", f"{took / smallest:.2f}", "1.3"
        )
    for name, took in found["reads"].items():
        rows.add_row(f"read {name} rows", f"{took / 1e3:.1f} ms", "", "")
    kept = Table("events", "bytes an event", title="Refreshed after each 100 events")
    for each in found["often"]:
        kept.add_row(f"{each['events']:,.0f}", f"{each['bytes'] / each['events']:.0f}")
    return [events, rows, kept]


def main() -> None:
    """Runs everything and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 300_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--refreshes", type=int, default=200, help="a month of one a minute is 43200")
    parser.add_argument("--bin-dir", help="PostgreSQL's binaries; the embedded ones if left out")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
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
                found = measure(Metered(root, owner), arguments.sizes, arguments.rounds, arguments.refreshes)
        finally:
            ledger.server.stop()
    if arguments.json:
        print(json.dumps(found))
        return
    out = Console()
    out.print(f"a bare INSERT: {found['bare_insert_us']:.1f} us of CPU")
    for table in tables(found):
        out.print(table)


if __name__ == "__main__":
    main()
