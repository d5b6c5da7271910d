"""Keeps what later versions are held against: a release's contracts, its source, and small ledgers that its code wrote.

python -m tools.released [FOLDER_OF_BINARIES ...]

Run once, when a release is made, in its checkout. It writes tests/data/released/<version>/: the contracts, the source distribution (whose
client and tests run against upgraded databases), and for each PostgreSQL, the embedded one and those named, a plain dump ledger-<major>.sql.gz.
The ledger has events, runs, logs, a checkpoint, cursors, metrics, settings, a violation, a hole whose transaction was running, and events
without a number.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from aximo_db import EventStore, NewEvent, __version__
from aximo_db.contract import contract_names
from aximo_db.dba.migrate import migrate
from aximo_db.local.embedded import EmbeddedServer, embedded_binaries

ROOT = Path(__file__).resolve().parent.parent
RELEASED = ROOT / "tests" / "data" / "released"
#: Who installed the ledger, who writes, and who consumes.
OWNER, SERVICE = "dba", "service"
CUSTOMERS = ("acme", "globex", "initech")
WHO: dict[str, Any] = {"deployment_id": "dep-1", "skill_id": "leads", "skill_version": "1.0", "actor": "system"}


def life(store: EventStore, execution: str, *, approval: str | None = None) -> None:
    """One execution with an action, and an approval if it is named."""
    steps: list[tuple[str, dict[str, Any]]] = [
        ("execution_triggered", {"channel": "web"}),
        ("execution_processing", {}),
    ]
    if approval is not None:
        steps += [("approval_requested", {"approval_id": approval}), ("approval_granted", {"approval_id": approval})]
    steps += [
        ("action_prepared", {"action_id": "a1", "action_type": "send_email"}),
        ("action_dispatched", {"action_id": "a1", "action_type": "send_email"}),
        ("execution_completed", {"number": 1.10, "text": "grüße \u2028 \U0001f680"}),
    ]
    for event_type, payload in steps:
        store.emit(NewEvent(event_type=event_type, execution_id=execution, payload=payload, **WHO))


def fill(server: EmbeddedServer) -> psycopg.Connection[Any]:
    """Writes a bit of everything. Returns a connection with an open transaction that holds a position of the log."""
    owner, service = server.dsn(OWNER, "ledger"), server.dsn(SERVICE, "ledger")
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("select aximo.grant_customer(%s, '*')", [SERVICE])
    with EventStore(service) as store:
        for customer in CUSTOMERS:
            own = store.for_customer(customer)
            for number in range(5):
                life(own, f"exec-{number}", approval="p1" if number % 2 else None)
            batch = [
                NewEvent(event_type=name, execution_id="batch", payload={}, risk_level="R1", latency_ms=7, **WHO)
                for name in ("execution_triggered", "execution_processing", "execution_failed")
            ]
            own.emit_many(batch)
            own.emit(NewEvent(event_type="execution_triggered", execution_id="open", payload={}, **WHO))
            own.emit(NewEvent(event_type="execution_processing", execution_id="open", payload={}, **WHO))
            own.emit(
                NewEvent(event_type="approval_requested", execution_id="open", payload={"approval_id": "p1"}, **WHO)
            )
            own.emit(NewEvent(event_type="deployment_activated", payload={}, **WHO))
    late = {"event_type": "action_dispatched", "execution_id": "late", "payload": {"action_type": "call"}, **WHO}
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("select aximo.import_events(%s, 'acme')", [Jsonb([late])])
    with psycopg.connect(service, autocommit=True) as connection:
        connection.execute("select set_config('aximo.customer_id', 'acme', false)")
        connection.execute(
            "insert into helix.runs (run_id, project_id, tool_name, contract_version, params_hash, policy_hash, status, execution_id)"
            " values ('run-1', 'p', 'render', '1', 'h', 'h', 'queued', 'exec-1')"
        )
        connection.execute("update helix.runs set status = 'running', started_at = now() where run_id = 'run-1'")
        for kind in ("run.started", "tool.call", "run.finished"):
            connection.execute(
                "insert into helix.run_events (run_id, kind, message, data) values ('run-1', %s, 'm', '{\"n\": 1.10}')",
                [kind],
            )
        connection.execute("update helix.runs set status = 'succeeded', finished_at = now() where run_id = 'run-1'")
    # A transaction that runs while others number and dump: its position is a hole.
    running = psycopg.connect(service)
    running.execute(
        "select aximo.emit_event('deployment_created', 'dep-2', 'leads', '1.0', 'system', customer_id => 'globex')"
    )
    with EventStore(service) as store:
        life(store.for_customer("globex"), "after-the-hole")
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("call aximo.keep_metrics()")
        connection.execute("select set_config('aximo.customer_id', 'acme', false)")
        for log in ("events", "run_events"):
            connection.execute("select aximo.add_checkpoint(aximo.checkpoint_text(aximo.log_size(%s), %s))", [log, log])
        connection.execute("select aximo.open_cursor('billing')")
        connection.execute("select aximo.move_cursor('billing', 0, 7)")
        connection.execute("select aximo.set_threshold('error_rate', 'warning', 0.02, 'dep-1')")
    with EventStore(service) as store:
        life(store.for_customer("acme"), "without-a-number")
    return running


def dump(binaries: Path, folder: Path) -> None:
    """Makes a ledger on a server of those binaries, and dumps it."""
    settings = {"fsync": "off"}
    with (
        tempfile.TemporaryDirectory(prefix="aximo-", ignore_cleanup_errors=True) as place,
        EmbeddedServer(Path(place) / "data", bin_dir=binaries, settings=settings) as server,
    ):
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(f"create role {OWNER} login createrole")
            connection.execute(f"create role {SERVICE} login")
            connection.execute(f"create database ledger owner {OWNER}")
            major = connection.info.server_version // 10000
        migrate(server.dsn(OWNER, "ledger"))
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(f"grant aximo_writer to {SERVICE}")
        with fill(server) as running:
            made = subprocess.run(
                [str(binaries / "pg_dump"), server.dsn("postgres", "ledger")], capture_output=True, check=True
            )
            running.rollback()
        target = folder / f"ledger-{major}.sql.gz"
        target.write_bytes(gzip.compress(made.stdout, mtime=0))
        print(f"{target.relative_to(ROOT)}: {target.stat().st_size} bytes", flush=True)


def main() -> None:
    """Writes the folder of this version."""
    folder = RELEASED / __version__
    folder.mkdir(parents=True)
    for name in contract_names():
        shutil.copy(ROOT / "aximo_db" / "data" / "contracts" / f"{name}.json", folder)
    for binaries in (embedded_binaries(), *map(Path, sys.argv[1:])):
        dump(binaries, folder)
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder)], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
