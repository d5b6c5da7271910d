"""Counts the buffers that a page reads, as the ledger grows and by how its events are spread.

    python -m benchmarks.pages [--sizes 100000 1000000] [--only hot customers deployments]
                               [--bin-dir /path/to/postgresql/bin] [--json]

Three ledgers: ``hot``, one customer with fifty deployments, at each size; ``customers``, a thousand customers of which
few have most of the events (Zipf), read as the first and as the hundredth of them; ``deployments``, one customer with
ten thousand deployments. Executions have 2 to 1,000 events; a tenth of the events is about approvals; one execution
in fifty is open. Buffers are PostgreSQL's blocks of 8 KiB, hit or read, as EXPLAIN (ANALYZE, BUFFERS) tells a login
that may read only; they do not depend on the machine. A page may read 1,000 of them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from aximo_db import NewEvent
from aximo_db.local.ledger import DATABASE, LocalLedger
from benchmarks.common import (
    APPROVED,
    EMIT_BATCH,
    FAILED,
    PLAIN,
    START,
    Life,
    actions,
    as_text,
    make_login,
    setting_up,
    version_of,
    written,
)

BAR = 1000
BEGAN = datetime(2025, 1, 1, tzinfo=UTC)
BATCH = 2000
REQUEST = ("approval_requested", {"reason": "a first message to a new contact"})
#: How executions live, and how many of a thousand do so.
LIVES: Sequence[tuple[int, Life]] = (
    (305, PLAIN),
    (575, APPROVED),
    (30, (START[0], FAILED[-1])),
    (30, FAILED),
    (15, (*START, *actions(1))),
    (5, (*START, REQUEST)),
    (36, (*START, *actions(20), ("execution_completed", {"actions_count": 20}))),
    (3, (*START, REQUEST, ("approval_granted", {}), *actions(97), ("execution_completed", {"actions_count": 97}))),
    (1, (*START, *actions(498), FAILED[-2], ("execution_completed", {"actions_count": 498}))),
)
PAGES: Mapping[str, str] = {
    "executions, newest": "select * from aximo.executions order by started_at desc limit 50",
    "executions, before a moment": "select * from aximo.executions where started_at < %(moment)s order by started_at desc limit 50",
    "executions, failed": "select * from aximo.executions where status = 'failed' order by started_at desc limit 50",
    "executions, completed": "select * from aximo.executions where status = 'completed' order by started_at desc limit 50",
    "executions, outcome failed": "select * from aximo.executions where outcome = 'failed' order by started_at desc limit 50",
    "executions of a deployment": "select * from aximo.executions where deployment_id = %(deployment)s order by started_at desc limit 50",
    "executions, open": "select * from aximo.open_executions order by started_at desc limit 50",
    "executions, awaiting approval": "select * from aximo.open_executions where status = 'awaiting_approval' order by started_at desc limit 50",
    "approvals, newest": "select * from aximo.approvals order by requested_at desc limit 50",
    "approvals, open": "select * from aximo.approvals where decision = 'open' order by requested_at desc limit 50",
    "deployments": "select * from aximo.deployments order by deployment_id limit 50",
    "one deployment": "select * from aximo.deployments where deployment_id = %(deployment)s",
    "newest 100 events of a deployment": 'select * from aximo.events where deployment_id = %(deployment)s order by "timestamp" desc limit 100',
    "one execution": "select * from aximo.executions where execution_id = %(execution)s",
    "approvals of an execution": "select * from aximo.approvals where execution_id = %(execution)s",
    "trace of an execution": "select * from aximo.execution_trace(%(execution)s)",
}  # fmt: skip


class Making:
    """Makes the events of customers, in batches of whole executions, as time goes on."""

    def __init__(self, customers: int, deployments: int) -> None:
        self._random = random.Random(13)
        self._customers = [f"customer-{number}" for number in range(1, customers + 1)]
        self._weights = list(itertools.accumulate(1 / number for number in range(1, customers + 1)))
        self._deployments = [f"deployment-{number}" for number in range(deployments)]
        self._shares = list(itertools.accumulate(share for share, _ in LIVES))
        self._lives = [life for _, life in LIVES]
        self._moment = BEGAN
        self.made = 0

    def deployments(self) -> Iterator[str]:
        """The beginning of every deployment of every customer."""
        for customer in self._customers:
            events = [
                NewEvent(
                    event_type=event_type,
                    customer_id=customer,
                    deployment_id=name,
                    skill_id="leadcapture_hvac",
                    skill_version="v1.0",
                    actor="operator",
                    timestamp=BEGAN + timedelta(seconds=place),
                )
                for name in self._deployments
                for place, event_type in enumerate(("deployment_created", "deployment_activated"))
            ]
            yield from self._texts(events)

    def until(self, count: int) -> Iterator[str]:
        """Executions until there are so many events."""
        waiting: dict[str, list[NewEvent]] = {}
        while self.made < count:
            life = self._random.choices(self._lives, cum_weights=self._shares)[0]
            customer = self._random.choices(self._customers, cum_weights=self._weights)[0]
            deployment = self._random.choice(self._deployments)
            events = waiting.setdefault(customer, [])
            events += written(life, customer=customer, deployment=deployment, began=self._moment)
            self._moment += timedelta(seconds=60)
            self.made += len(life)
            if len(events) >= BATCH:
                yield as_text(waiting.pop(customer))
        for events in waiting.values():
            yield as_text(events)

    def _texts(self, events: Sequence[NewEvent]) -> Iterator[str]:
        self.made += len(events)
        for start in range(0, len(events), BATCH):
            yield as_text(events[start : start + BATCH])


_connections: dict[str, psycopg.Connection[Any]] = {}


def _emit(task: tuple[str, str]) -> None:
    dsn, text = task
    if dsn not in _connections:
        _connections[dsn] = psycopg.connect(dsn, autocommit=True)
        _connections[dsn].execute("set synchronous_commit = off")
    _connections[dsn].execute(f"select count(*) from ({EMIT_BATCH}) as r", (text,))


def emit(ledger: LocalLedger, texts: Iterator[str]) -> None:
    """Emits batches, two at a time, and leaves the tables as VACUUM does."""
    dsn = ledger.dsns()["owner"]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for _ in pool.imap_unordered(_emit, ((dsn, text) for text in texts)):
            pass
    with psycopg.connect(ledger.server.dsn(database=DATABASE), autocommit=True) as superuser:
        superuser.execute("vacuum")


def read(ledger: LocalLedger, customer: str) -> list[dict[str, Any]]:
    """Buffers and milliseconds of each page, as a login that may only read, and only that customer."""
    login = f"reader_of_{customer}"
    with psycopg.connect(ledger.dsns()["owner"], autocommit=True) as owner:
        if owner.execute("select from pg_roles where rolname = %s", (login,)).fetchone() is None:
            make_login(owner, login, "aximo_reader", customer)
    found = []
    with psycopg.connect(ledger.server.dsn(login, DATABASE), autocommit=True) as connection:
        row = (
            connection.execute(
                "select execution_id, deployment_id, \"timestamp\" from aximo.events where event_type = 'execution_completed'"
                f' and "timestamp" > \'{BEGAN:%Y-%m-%d}\' order by "timestamp" offset 1000 limit 1'
            ).fetchone()
            or connection.execute(
                "select execution_id, deployment_id, \"timestamp\" from aximo.events where event_type = 'execution_completed' limit 1"
            ).fetchone()
        )
        assert row is not None
        given = dict(zip(("execution", "deployment", "moment"), row, strict=True))
        columns = {name for (name,) in connection.execute("select attname from pg_attribute where attrelid = 'aximo.executions'::regclass")}  # fmt: skip
        for name, query in PAGES.items():
            if "outcome" in query and "outcome" not in columns:
                continue
            runs: list[tuple[float, int, int]] = []
            while len(runs) < 3 and (not runs or runs[0][0] < 500):
                plan = connection.execute(f"explain (analyze, buffers, format json) {query}", given).fetchone()
                assert plan is not None
                [whole] = plan[0]
                top = whole["Plan"]
                buffers = sum(top[f"{kind} Blocks"] for kind in ("Shared Hit", "Shared Read", "Temp Read"))
                runs.append((whole["Execution Time"], buffers, int(top["Actual Rows"])))
            milliseconds, buffers, rows = min(runs)
            found.append({"page": name, "rows": rows, "buffers": buffers, "ms": round(milliseconds, 2)})
    return found


def main() -> None:
    """Fills ledgers of their own and reads pages of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000], help="events of the hot customer")
    parser.add_argument("--spread", type=int, default=300_000, help="events of the other two ledgers")
    parser.add_argument("--only", nargs="+", choices=["hot", "customers", "deployments"], default=["hot", "customers", "deployments"])  # fmt: skip
    parser.add_argument("--bin-dir", type=Path, help="PostgreSQL's binaries; the embedded ones if left out")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    console = Console(stderr=True)
    shapes = {
        "hot": (Making(1, 50), sorted(options.sizes), [1]),
        "customers": (Making(1000, 2), [options.spread], [1, 100]),
        "deployments": (Making(1, 10_000), [options.spread], [1]),
    }
    found: dict[str, list[dict[str, Any]]] = {}
    version = ""
    for shape in options.only:
        making, sizes, customers = shapes[shape]
        with setting_up(options.bin_dir, {"fsync": "off", "max_wal_size": "8GB"}) as (ledger, _):
            version = version_of(ledger)
            emit(ledger, making.deployments())
            for size in sizes:
                with console.status(f"{shape}: filling up to {size:,} events"):
                    emit(ledger, making.until(size))
                for number in customers:
                    with console.status(f"{shape}: reading at {size:,} events"):
                        found[f"{shape} {number} of {size:,}"] = read(ledger, f"customer-{number}")
    if options.json:
        print(json.dumps({"version": version, "bar": BAR, "pages": found}))
        return
    table = Table("page", title=f"PostgreSQL {version}: buffers (and milliseconds); the bar is {BAR:,}")
    for name in found:
        table.add_column(name, justify="right")
    first, *others = found.values()
    for place, line in enumerate(first):
        cells = []
        for each in (line, *(other[place] for other in others)):
            colour = "[green]" if each["buffers"] <= BAR else "[yellow]"
            cells.append(f"{colour}{each['buffers']:,}[/] ({each['ms']:,.1f})")
        table.add_row(line["page"], *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
