"""One place to read the metrics of all nodes: a customer is seen wherever it is, once, and by nobody else."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from aximo_db.cli.app import app
from aximo_db.client.errors import InstallationError
from aximo_db.contract import shipped_contract
from aximo_db.dba.migrate import migrate
from aximo_db.fleet.federate import federation_script, password_variable
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, DBA, SETTINGS, VERSIONS, make_database
from tests.events import emit_life

LOGINS = {"bi_one": "acme", "bi_two": "globex", "bi_new": "initech"}
NODES = (0, 1)


class Fleet:
    """Two ledgers and a database to read both, on one server."""

    def __init__(self, server: EmbeddedServer, port: int) -> None:
        self.server, self.port = server, port

    def connect(self, user: str, database: str) -> psycopg.Connection[Any]:
        return psycopg.connect(self.server.dsn(user, database), autocommit=True)

    def read(self, login: str, query: str) -> list[Any]:
        with self.connect(login, "reading") as connection:
            return connection.execute(query).fetchall()

    def on_node(self, node: int, login: str, query: str) -> list[Any]:
        with self.connect(login, f"node_{node}") as connection:
            return connection.execute(query).fetchall()

    def place(self, node: int, customer: str, *states: str) -> None:
        with self.connect(DBA, f"node_{node}") as connection:
            connection.execute("select set_config('aximo.customer_id', %s, false)", [customer])
            for state in states:
                connection.execute("select aximo.place_customer(%s, %s)", [state, 1 - node])


@pytest.fixture(params=VERSIONS, scope="module")
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    psql = BINARIES[request.param] / "psql"
    psql = psql if psql.exists() else Path(shutil.which("psql") or "psql")
    if not psql.exists():
        pytest.skip("no psql on this machine")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("fleet")
    with EmbeddedServer(folder / "data", bin_dir=BINARIES[request.param], port=port, settings=SETTINGS) as server:
        found = Fleet(server, port)
        with found.connect("postgres", "postgres") as root:
            root.execute(f"create role {DBA} login createrole createdb")
        for node in NODES:
            make_database(server, f"node_{node}", None)
            migrate(server.dsn(DBA, f"node_{node}"))
        with found.connect("postgres", "postgres") as root:
            for login in LOGINS:
                root.execute(f"create role {login} login password 'of {login}'")
                root.execute(f"grant aximo_bi to {login}")
            root.execute("create database reading")
        for node in NODES:
            with found.connect(DBA, f"node_{node}") as owner:
                owner.execute("select aximo.join_fleet('example.org/ledger', %s)", [node])
                for login, customer in LOGINS.items():
                    owner.execute("select aximo.grant_customer(%s, %s)", [login, customer])
                # Customer acme is on node 0, globex on node 1; initech has no event.
                for number in range(3 + node):
                    emit_life(owner, ("acme", "globex")[node], f"exec-{number}")
                owner.execute("call aximo.keep_metrics()")
        addresses = {node: f"postgresql://{DBA}:secret@127.0.0.1:{port}/node_{node}" for node in NODES}
        script = federation_script(addresses, list(LOGINS))
        assert "secret" not in script
        environment = {**os.environ, **{password_variable(login): f"of {login}" for login in LOGINS}}
        for _ in range(2):  # it can be run again
            done = subprocess.run(
                [psql, "-q", server.dsn("postgres", "reading")],
                input=script, capture_output=True, text=True, check=False, env=environment,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
        yield found


OVERVIEW = "select customer_id, executions, completed from aximo_fleet.customer_overview"


def test_each_login_sees_its_customer_where_it_is(fleet: Fleet) -> None:
    assert fleet.read("bi_one", OVERVIEW) == [("acme", 3, 3)]
    assert fleet.read("bi_two", OVERVIEW) == [("globex", 4, 4)]
    assert fleet.read("bi_new", OVERVIEW) == []


def views() -> list[str]:
    return [
        name.partition(".")[2]
        for name in shipped_contract("aximo").document["relations"]
        if name.startswith("aximo_metrics.")
    ]


@pytest.mark.parametrize("view", views())
def test_every_view_says_what_the_node_says(fleet: Fleet, view: str) -> None:
    for node, login in enumerate(("bi_one", "bi_two")):
        there = fleet.on_node(node, login, f"select * from aximo_metrics.{view} as v order by v::text")
        assert fleet.read(login, f"select * from aximo_fleet.{view} as v order by v::text") == there, login
    described = fleet.read(
        "bi_one",
        "select count(*) filter (where col_description(attrelid, attnum) is null) from pg_attribute"
        f" where attrelid = 'aximo_fleet.{view}'::regclass and attnum > 0",
    )
    assert described == [(0,)]


def test_a_customer_that_moved_is_seen_once(fleet: Fleet) -> None:
    # The same customer's events on node 1, as a move brings them.
    with fleet.connect(DBA, "node_1") as owner:
        for number in range(3):
            emit_life(owner, "acme", f"exec-{number}")
        owner.execute("call aximo.keep_metrics()")
    assert fleet.read("bi_one", OVERVIEW) == [("acme", 3, 3)] * 2
    fleet.place(0, "acme", "leaving")
    assert len(fleet.read("bi_one", OVERVIEW)) == 2
    fleet.place(0, "acme", "gone")
    assert fleet.read("bi_one", OVERVIEW) == [("acme", 3, 3)]
    assert fleet.read("bi_two", OVERVIEW) == [("globex", 4, 4)]
    for view in views():
        assert fleet.read("bi_one", f"select * from aximo_fleet.{view} as v order by v::text") == fleet.on_node(
            1, "bi_one", f"select * from aximo_metrics.{view} as v order by v::text"
        ), view


def test_what_is_wrong_with_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    for nodes, logins, rule in (
        ({}, ["a"], "fleet_has_nodes_and_logins"),
        ({0: "host=h"}, [], "fleet_has_nodes_and_logins"),
        ({1024: "host=h"}, ["a"], "node_known"),
        ({0: "hst=h"}, ["a"], "node_is_reached"),
        ({0: "mysql://h/d"}, ["a"], "dsn_is_for_libpq"),
    ):
        with pytest.raises(InstallationError) as refusal:
            federation_script(nodes, logins)
        assert refusal.value.rule == rule
    for wrong in ("host=h", "x=host=h"):
        assert CliRunner().invoke(app, ["federate", "--node", wrong, "--login", "a"]).exit_code == 2
    twice = ["federate", "--node", "0=host=h", "--node", "0=host=h", "--login", "a"]
    assert CliRunner().invoke(app, twice).exit_code == 2
    printed = CliRunner().invoke(app, ["federate", "--node", "0=host=h", "--login", 'b"i'])
    assert printed.exit_code == 0
    assert 'to "b""i";' in printed.stdout
