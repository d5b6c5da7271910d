"""Two logins for reporting, each bound to its customer, on a server that listens on TCP as one for BI tools does."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from aximo_db.local.embedded import EmbeddedServer
from tests.bi.data import ALDER, BIRCH, MARKS, events, run_events, runs
from tests.bi.tables import Login, Truth, truths
from tests.conftest import BINARIES, DBA, SETTINGS, VERSIONS, Ledger, make_database

DATABASE = "bi_test"
PASSWORD = "a password, with & and %"
KEEPER = "bi_keeper"
#: The rate above which each customer wants an alert.
RATES = {ALDER: 0.0123, BIRCH: 0.0456}


@dataclass
class Reporting:
    """A ledger with two customers' events and metrics, and a login for each. Shared: tests leave it as they found it."""

    ledger: Ledger
    logins: dict[str, Login]
    #: By customer and view, what there is to be seen.
    truths: dict[str, dict[str, Truth]]


@pytest.fixture(scope="session", params=VERSIONS)
def reporting(request: pytest.FixtureRequest) -> Iterator[Reporting]:
    version = request.param
    if version not in BINARIES:
        pytest.skip(f"no PostgreSQL {version} binaries on this machine")
    root = Path(tempfile.mkdtemp(prefix="aximo-bi-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = EmbeddedServer(root / version, bin_dir=BINARIES[version], port=port, settings=SETTINGS)
    server.start()
    try:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(f"create role {DBA} login createrole createdb")
        make_database(server, DATABASE, "fresh")
        yield prepared(Ledger(server, DATABASE, "fresh"), port)
    finally:
        server.stop("immediate")
        shutil.rmtree(root, ignore_errors=True)


def prepared(ledger: Ledger, port: int) -> Reporting:
    """Fills the ledger as an importer does, counts, and makes the logins as docs/bi.md says."""
    keeper = ledger.login(KEEPER, "aximo_writer", "aximo_operator", customers=("*",))
    with psycopg.connect(ledger.dsn(keeper), autocommit=True) as connection:
        # In two halves: what is new since the last refresh of everything comes from other materialized views.
        for half, everything in ((0, True), (1, False)):
            for customer in MARKS:
                told = events(customer)
                batch = told[half * len(told) // 2 : (half + 1) * len(told) // 2]
                connection.execute("select from aximo.import_events(%s)", [Jsonb(batch)])
                said = run_events(customer)
                batch = said[half * len(said) // 2 : (half + 1) * len(said) // 2]
                connection.execute("select from helix.import_runs(%s, %s)", [Jsonb(runs(customer)), customer])
                connection.execute(
                    "select from helix.import_run_events(%s, customer_id => %s)", [Jsonb(batch), customer]
                )
            connection.execute("select from aximo.refresh_metrics(%s)", [everything])
        for customer, mark in MARKS.items():
            rate, of_old = RATES[customer], datetime(2026, 1, 1, tzinfo=UTC)
            with connection.transaction():
                connection.execute("select set_config('aximo.customer_id', %s, true)", [customer])
                for level, deployment in (("warning", None), ("escalation", f"a-{mark}")):
                    values = ["error_rate", level, rate, deployment, of_old]
                    connection.execute("select aximo.set_threshold(%s, %s, %s, %s, %s)", values)
                for metric in ("error_rate", "sla_breach_rate"):
                    values = [metric, "minimum_denominator", 1, None, of_old]
                    connection.execute("select aximo.set_threshold(%s, %s, %s, %s, %s)", values)
                connection.execute("select aximo.set_high_risk_levels(%s, %s)", [[f"{mark}-risk"], of_old])
    logins = {}
    with psycopg.connect(ledger.dsn("postgres"), autocommit=True) as root:
        root.execute("analyze")
        for number, customer in enumerate(MARKS):
            # Every login sees the names of all others, so this one does not say whose it is.
            name = ledger.login(f"bi_{number}", "aximo_bi", customers=(customer,))
            root.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(name), PASSWORD))
            logins[customer] = Login(name, PASSWORD, customer, "127.0.0.1", port, ledger.name)
        return Reporting(ledger, logins, {customer: truths(root, customer) for customer in MARKS})


@pytest.fixture(params=list(MARKS), ids=list(MARKS.values()))
def login(request: pytest.FixtureRequest, reporting: Reporting) -> Login:
    """Each of the two logins in turn."""
    return reporting.logins[request.param]


@pytest.fixture
def root(reporting: Reporting) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's connection, which knows the truth about every customer."""
    with psycopg.connect(reporting.ledger.dsn("postgres"), autocommit=True) as connection:
        yield connection
