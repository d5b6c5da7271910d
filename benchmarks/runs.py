"""Measures tool runs: what a gateway's statements cost here, beside the same statements on its own bare tables.

    python -m benchmarks.runs [--rounds 9] [--bin-dir /path/to/postgresql/bin] [--json]

A run is what a gateway writes: the run, its start, five events, its end; then it reads the events back. Ratios are to
plain tables of the same columns, keys and indexes, in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from rich.console import Console
from rich.table import Table

from aximo_db.local.ledger import LocalLedger
from benchmarks.common import per_item

CUSTOMER = "run-bench"
BARE_TABLES = """
create schema bare;
create table bare.runs (
    run_id text primary key, project_id text not null, tool_name text not null, contract_version text not null,
    tool_version text, params_hash text not null, policy_hash text not null,
    status text not null check (status in ('queued', 'running', 'succeeded', 'failed', 'blocked')), requested_by text,
    created_at timestamptz not null default now(), started_at timestamptz, finished_at timestamptz,
    policy_snapshot jsonb, environment jsonb, exit_code integer, error text, result_json jsonb, log_artifact_id text
);
create index on bare.runs (project_id, created_at desc);
create index on bare.runs (tool_name);
create table bare.run_events (
    event_id bigserial primary key, run_id text not null references bare.runs (run_id) on delete cascade,
    ts timestamptz not null default now(), kind text not null, message text, data jsonb
);
create index on bare.run_events (run_id, ts);
"""
RUN = (
    "insert into {schema}.runs (run_id, project_id, tool_name, contract_version, params_hash, policy_hash, status,"
    " environment) values (%s, 'project', 'tool', 'v1', 'sha256:p', 'sha256:q', 'running', %s)"
    " on conflict (run_id) do nothing"
)
EVENT = "insert into {schema}.run_events (run_id, kind, message, data) values (%s, %s, %s, %s)"
UPDATE = "update {schema}.runs set status = 'succeeded', finished_at = now(), result_json = %s where run_id = %s"
READ = (
    "select event_id, run_id, ts, kind, message, data from {schema}.run_events where run_id = %s order by event_id asc"
)
KINDS = ("run.started", "exec.plan", "exec.result", "artifact", "run.succeeded")
DATA = {"backend": "docker", "image": "sha256:" + "a" * 64, "argv": ["tool", "--in", "x"], "resources": {"cpus": 4}}


def measured(dsn: str, owner_dsn: str, rounds: int) -> dict[str, Any]:
    """Seconds of each statement on both, in turn, as a service bound to one customer."""
    times: dict[str, dict[str, list[float]]] = {}
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("set synchronous_commit = off")
        for number in range(rounds + 1):
            for schema in ("bare", "helix"):
                names = [f"run_{number}_{place}" for place in range(100)]

                def timed(what: str, work: Callable[[Any], object], rows: list[Any], schema: str = schema) -> None:
                    spent = per_item(work, rows)
                    if number:  # noqa: B023
                        times.setdefault(what, {}).setdefault(schema, []).append(spent)

                def send(statement: str, schema: str = schema) -> Callable[[Any], object]:
                    text = statement.format(schema=schema)
                    return lambda row: connection.execute(text, row)

                timed("insert a run", send(RUN), [(name, Jsonb(DATA)) for name in names])
                rows = [(name, kind, "a message", Jsonb(DATA)) for name in names for kind in KINDS]
                timed("insert an event", send(EVENT), rows)
                timed("end a run", send(UPDATE), [(Jsonb(DATA), name) for name in names])
                timed("read a run's events", send(READ), [(name,) for name in names])
        with psycopg.connect(owner_dsn, autocommit=True) as owner:
            owner.execute("select from aximo.advance_log(1000)")
            began = time.perf_counter()
            row = owner.execute("select numbered from aximo.advance_log(1000000)").fetchone()
            assert row is not None
            numbering = (time.perf_counter() - began) / row[0]
        lines = [
            {
                "run_id": f"import_{place // 20}",
                "created_at": f"2026-01-01T00:{place % 60:02}:00Z",
                "kind": "x",
                "data": DATA,
            }
            for place in range(5000)
        ]
        began = time.perf_counter()
        connection.execute("select count(*) from helix.import_run_events(%s)", (Jsonb(lines),))
        importing = (time.perf_counter() - began) / len(lines)
    result: dict[str, Any] = {}
    for what, by in times.items():
        name = what.replace(" ", "_").replace("'", "")
        result[f"{name}_us"] = statistics.median(by["helix"]) * 1e6
        result[f"{name}_ratio"] = statistics.median(b / a for a, b in zip(by["bare"], by["helix"], strict=True))
    result["number_an_event_us"] = numbering * 1e6
    result["import_an_event_us"] = importing * 1e6
    return result


def main() -> None:
    """Runs everything on an embedded server of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--bin-dir", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aximo-bench-", ignore_cleanup_errors=True) as folder:
        ledger = LocalLedger(Path(folder) / "data", bin_dir=arguments.bin_dir)
        try:
            ledger.start()
            owner_dsn = ledger.dsns()["owner"]
            with psycopg.connect(owner_dsn, autocommit=True) as owner:
                owner.execute(BARE_TABLES)
                owner.execute("create role gateway login")
                owner.execute("grant aximo_writer to gateway")
                owner.execute("select aximo.grant_customer('gateway', %s)", (CUSTOMER,))
                owner.execute("grant usage on schema bare to gateway")
                owner.execute("grant all on all tables in schema bare to gateway")
                owner.execute("grant all on all sequences in schema bare to gateway")
            dsn = psycopg.conninfo.make_conninfo(owner_dsn, user="gateway")
            result = measured(dsn, owner_dsn, arguments.rounds)
        finally:
            ledger.server.stop("immediate")
    if arguments.json:
        print(json.dumps(result))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("what")
    table.add_column("value", justify="right")
    for name, value in result.items():
        table.add_row(name, f"{value:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
