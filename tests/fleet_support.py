"""What the tests of a fleet share: two nodes, and a customer with everything that there is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from aximo_db.dba.migrate import join_fleet
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, DBA, SETTINGS, make_database
from tests.events import event
from tests.log_support import advance_all, emit_many, emit_one, of_customer, store_checkpoint
from tests.metrics_support import disorder, history

Connection = psycopg.Connection[Any]

LEDGER = "fleet.example/ledger"
#: A login that emits, reads and advances, for every customer, and one of a customer alone; on both nodes.
SERVICE, OWN, OTHER, READER = "fleet_service", "fleet_own", "fleet_other", "fleet_reader"
LOGINS = {
    SERVICE: (("aximo_writer", "aximo_operator", "aximo_auditor", "aximo_bi"), "*"),
    OWN: (("aximo_writer", "aximo_bi"), "c1"),
    OTHER: (("aximo_writer", "aximo_bi"), "c2"),
}


@dataclass
class FleetNode:
    """A database that is a node."""

    server: EmbeddedServer
    name: str
    node: int
    _open: list[Connection] = field(default_factory=list)

    def dsn(self, user: str = "postgres") -> str:
        return self.server.dsn(user, self.name)

    def connect(self, user: str = "postgres", **options: Any) -> Connection:
        connection: Connection = psycopg.connect(self.dsn(user), **{"autocommit": True, **options})
        self._open.append(connection)
        return connection

    def close(self) -> None:
        for each in self._open:
            each.close()


def start(folder: Path, version: str, port: int | None = None, **settings: str) -> EmbeddedServer:
    """A server of the test's own; with a port, it asks for passwords there."""
    if version not in BINARIES:
        pytest.skip(f"no PostgreSQL {version} binaries on this machine")
    server = EmbeddedServer(
        folder,
        bin_dir=BINARIES[version],
        port=port,
        settings={
            **SETTINGS,
            "wal_level": "logical",
            "max_worker_processes": "16",
            "max_replication_slots": "20",
            "max_wal_senders": "20",
            "max_logical_replication_workers": "12",
            "wal_retrieve_retry_interval": "200ms",
            "log_min_messages": "warning",
            **settings,
        },
    )
    server.start()
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f"create role {DBA} login createrole createdb")
        make_database(server, "template_node", "fresh")
        for name, (roles, _) in LOGINS.items():
            connection.execute(f"create role {name} login")
            connection.execute(f"grant {', '.join(roles)} to {name}")
    return server


def make_node(server: EmbeddedServer, name: str, node: int, ledger: str = LEDGER) -> FleetNode:
    """A node in a database of its own, with the logins."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f"create database {name} template template_node owner {DBA}")
    join_fleet(server.dsn(DBA, name), ledger, node)
    made = FleetNode(server, name, node)
    with psycopg.connect(made.dsn(DBA), autocommit=True) as owner:
        for login, (_, customer) in LOGINS.items():
            owner.execute("select aximo.grant_customer(%s, %s)", (login, customer))
        owner.execute("select aximo.grant_customer('postgres', '*')")
    return made


@contextlib.contextmanager
def two_servers(folder: Path, versions: Sequence[str]) -> Iterator[list[EmbeddedServer]]:
    with contextlib.ExitStack() as stack:
        made = []
        for name, version in zip(("from", "to"), versions, strict=True):
            server = start(folder / name, version)
            stack.callback(server.stop, "immediate")
            made.append(server)
        yield made


def emit_runs(
    connection: Connection, customer: str, names: Sequence[str], status: str = "running", events: int = 3
) -> None:
    """Tool runs with events of theirs."""
    with connection.transaction():
        connection.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
        for name in names:
            connection.execute(
                "insert into helix.runs (run_id, project_id, tool_name, contract_version, params_hash, policy_hash, status)"
                " values (%s, 'p', 'tool', 'v1', 'h', 'h', %s) on conflict do nothing",
                (name, status),
            )
            for number in range(events):
                connection.execute(
                    "insert into helix.run_events (run_id, kind, data) values (%s, 'run.started', %s)",
                    (name, Jsonb({"n": number})),
                )


def fill(node: FleetNode, customer: str = "c1", seed: int = 1, lives: int = 25) -> None:
    """Everything that a customer may have."""
    random = Random(seed)
    service = node.connect(SERVICE)
    events = history(random, lives)
    service.execute("select from aximo.import_events(%s, %s)", (Jsonb(disorder(random, events)), customer))
    emit_many(service, 300, customer)
    for kind in ("execution_triggered", "execution_processing"):
        emit_one(service, customer, kind, "open")
    approval = event("approval_requested", "open", customer_id=customer, payload={"approval_id": "a"})
    service.execute("select from aximo.emit_events(%s)", (Jsonb([approval]),))
    emit_one(service, customer, timestamp=(datetime.now(UTC) + timedelta(minutes=4)))
    emit_runs(service, customer, [f"{customer}-run-{number}" for number in range(5)])
    emit_runs(service, customer, [f"{customer}-empty"], status="queued", events=0)
    with service.transaction():
        service.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
        service.execute("select helix.observe_run(%s)", (f"{customer}-run-1",))
    advance_all(service)
    store_checkpoint(service, customer)
    for name, number in (("mailer", 123), ("biller", 7)):
        of_customer(service, customer, "select from aximo.move_cursor(%s, 0, %s)", name, number)
    of_customer(service, customer, "select from aximo.set_threshold('error_rate', 'warning', 0.2)")
    of_customer(service, customer, "select from aximo.set_lead_action_types(array['send_email'])")
    emit_many(service, 20, customer)


#: What must be the same on the other node, of the session's customer.
_SAME = {
    "log": "select log, number, event_id, run_event_id, leaf from aximo.log_leaves",
    "events": "select * from aximo.events",
    "executions": "select * from aximo.executions",
    "approvals": "select * from aximo.approvals",
    "violations": "select * from aximo.violations",
    "deployments": "select * from aximo.deployments",
    "versions": "select * from aximo.deployment_versions",
    "cursors": "select * from aximo.cursors",
    "checkpoints": "select * from aximo.checkpoints",
    "runs": "select * from helix.runs",
    "run_events": "select * from helix.run_events",
    "observations": "select * from helix.observations",
    "roots": "select aximo.checkpoint_text(null, 'events'), aximo.checkpoint_text(null, 'run_events')",
    "thresholds": "select * from aximo_metrics.thresholds where customer_id <> '*'",
}


def same(node: FleetNode, customer: str) -> dict[str, list[Any]]:
    """What of a customer has to be the same on the other node."""
    with node.connect(SERVICE) as service:
        return {name: sorted(of_customer(service, customer, query), key=repr) for name, query in _SAME.items()}


def metrics_of(node: FleetNode, customer: str) -> dict[str, list[Any]]:
    """All rows of all views of metrics, without what is of a refresh."""
    with node.connect(SERVICE) as service:
        service.execute("select from aximo.refresh_metrics()")
        names = [
            name
            for (name,) in service.execute(
                "select c.relname from pg_class as c where c.relnamespace = 'aximo_metrics'::regnamespace and c.relkind = 'v' order by 1"
            )
            if name not in ("freshness",)
        ]
        found = {}
        for name in names:
            rows = of_customer(
                service,
                customer,
                f"select to_jsonb(v) - 'refreshed_at' - 'last_refresh' from aximo_metrics.{name} as v",
            )
            found[name] = sorted((row[0] if isinstance(row, tuple) else row for row in rows), key=str)
        return found


def problems_of(node: FleetNode, customer: str) -> list[Any]:
    """What any of the product's own checks finds."""
    with node.connect(SERVICE) as service:
        return [
            *of_customer(service, customer, "select problem, number from aximo.verify_log()"),
            *of_customer(service, customer, "select problem, number from aximo.verify_log('run_events')"),
            *of_customer(service, customer, "select problem, execution_id from aximo.verify_executions()"),
            *of_customer(service, customer, "select * from aximo.verify_metrics()"),
        ]
