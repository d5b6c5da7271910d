"""A gateway of somebody else's, unmodified, on the schema ``helix``: its own test suite, and what it does in small."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import DBA, Ledger
from tests.test_helix import CAPTURED

pytestmark = pytest.mark.gateway

HERE = Path(__file__).parent / "gateway"
SERVICE = "gateway_service"
CUSTOMER = "acme"
#: What the gateway has besides the two tables that are the ledger's; each is for the service to read and to add to.
TABLES = ("projects", "artifacts", "param_sets", "run_inputs", "run_outputs")
#: A run and its history, without what differs each time.
HISTORIES = """
    select r.tool_name, r.status, r.exit_code, r.error is null, r.result_json is null, h.kinds
    from runs as r, lateral (select array_agg(e.kind order by e.event_id) from run_events as e where e.run_id = r.run_id)
    as h (kinds)
"""


def node() -> str:
    return shutil.which("node") or pytest.skip("no node on this machine")


def environment(server: EmbeddedServer, user: str, **more: str) -> dict[str, str]:
    """What node-postgres looks at, and nothing of it from outside."""
    ours = {"PGHOST": str(server.socket_dir), "PGPORT": str(server.socket_port), "PGUSER": user, **more}
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "AXIMO_"))} | ours


def make_service(ledger: Ledger) -> str:
    return ledger.login(SERVICE, "aximo_writer", customers=(CUSTOMER,))


# The gateway's own suite, where pg-mem is replaced with a real PostgreSQL.


@dataclass
class Outcome:
    """What became of each test, and what all of them together left in their databases."""

    passed: set[str] = field(default_factory=set)
    #: The other tests, with what they said.
    others: dict[str, str] = field(default_factory=dict)
    databases: int = 0
    histories: Counter[str] = field(default_factory=Counter)
    customers: set[str] = field(default_factory=set)


@pytest.fixture(scope="module")
def checkout() -> Path:
    """A checkout of the gateway, after ``npm ci``."""
    node()
    named = os.environ.get("AXIMO_GATEWAY")
    if not named:
        pytest.skip("no gateway: AXIMO_GATEWAY names no checkout of it")
    folder = Path(named).resolve()
    for needed in ("db/schema.sql", "node_modules/vitest/vitest.mjs", "node_modules/pg"):
        if not (folder / needed).exists():
            pytest.skip(
                f"AXIMO_GATEWAY names a folder without {needed}; it takes a checkout of the gateway after npm ci"
            )
    return folder


def run_suite(checkout: Path, scratch: Path, server: EmbeddedServer, schema: str, **words: str) -> Outcome:
    """Runs the suite, failing tests and all: it is compared, not judged. Drops what databases it made."""
    scratch.mkdir()
    report = scratch / "report.json"
    config = ["--root", str(checkout), "--config", str(HERE / "vitest.config.mjs"), "--configLoader", "runner"]
    try:
        done = subprocess.run(
            [node(), "node_modules/vitest/vitest.mjs", "run", *config, "--reporter=json", f"--outputFile={report}"],
            cwd=checkout,
            env=environment(server, DBA, AXIMO_GATEWAY_CACHE=str(scratch), **words),
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert report.exists(), done.stderr + done.stdout
        outcome = Outcome()
        for file in json.loads(report.read_text(encoding="utf-8"))["testResults"]:
            path = Path(file["name"]).relative_to(checkout)
            assert file["assertionResults"], f"{path}: {file['message']}"
            for each in file["assertionResults"]:
                title = f"{path}: {each['fullName']}"
                if each["status"] == "passed":
                    outcome.passed.add(title)
                else:
                    outcome.others[title] = "\n".join([each["status"], *each["failureMessages"]])
        look_into(server, outcome, schema)
        return outcome
    finally:
        with psycopg.connect(server.dsn(), autocommit=True) as root:
            for name in made(root):
                root.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def made(root: psycopg.Connection[Any]) -> list[str]:
    """The databases that the suite made."""
    return [name for (name,) in root.execute("select datname from pg_database where datname ~ '^gw_[0-9a-f]{32}$'")]


def look_into(server: EmbeddedServer, outcome: Outcome, schema: str) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as root:
        outcome.databases = len(names := made(root))
    for name in names:
        with psycopg.connect(server.dsn(database=name), options=f"-c search_path={schema}") as root:
            outcome.histories.update(repr(row) for row in root.execute(HISTORIES))
            if schema == "helix":
                outcome.customers.update(each for (each,) in root.execute("select customer_id from runs"))


def make_template(ledger: Ledger, checkout: Path) -> str:
    """Makes of the ledger's database what the gateway is deployed on, and returns the login it works as."""
    login = make_service(ledger)
    with psycopg.connect(ledger.dsn(), options="-c search_path=helix") as owner:
        owner.execute((checkout / "db" / "schema.sql").read_bytes())
        tables = sql.SQL(", ").join(sql.Identifier("helix", each) for each in TABLES)
        owner.execute(sql.SQL("grant select, insert on {} to {}").format(tables, sql.Identifier(login)))
    return login


def test_the_gateways_own_tests_pass_as_on_tables_of_its_own(
    each_ledger: Ledger, checkout: Path, tmp_path: Path
) -> None:
    server = each_ledger.server
    baseline = run_suite(checkout, tmp_path / "baseline", server, "public")
    login = make_template(each_ledger, checkout)
    words = {"AXIMO_GATEWAY_TEMPLATE": each_ledger.name, "AXIMO_GATEWAY_LOGIN": login}
    ours = run_suite(checkout, tmp_path / "ours", server, "helix", **words)

    # The suite is written for pg-mem, and not every test passes on a PostgreSQL. One that compares a moment in milliseconds
    # with one in microseconds fails unless the microseconds are 000.
    different = [f"only without us, {each}: {ours.others.get(each)}" for each in sorted(baseline.passed - ours.passed)]
    different += [
        f"only with us, {each}: {baseline.others.get(each)}" for each in sorted(ours.passed - baseline.passed)
    ]
    assert not different, "\n".join(different)
    # So that nothing passes by not having been there.
    assert baseline.passed
    assert baseline.databases == ours.databases > 0
    assert baseline.histories
    assert ours.customers == {CUSTOMER}
    assert ours.histories == baseline.histories


def test_so_much_of_a_tools_output_is_kept_by_its_runners(checkout: Path) -> None:
    runners = list((checkout / "src" / "execution" / "backends").glob("*.ts"))
    stated = {
        found[1].strip()
        for runner in runners
        if (found := re.search(r"^const MAX_CAPTURE_BYTES = (.*);$", runner.read_text(encoding="utf-8"), re.MULTILINE))
    }
    assert stated == {"1024 * 1024"}
    assert CAPTURED == 1024 * 1024


# The same in small, without a gateway.


def write(ledger: Ledger, login: str, run_id: str) -> Any:
    program = node()
    if subprocess.run([program, "-e", "require('kysely'), require('pg')"], capture_output=True, check=False).returncode:
        pytest.skip(
            "node has no kysely or no pg on this machine; npm install both, and name their node_modules in NODE_PATH"
        )
    done = subprocess.run(
        [program, str(HERE / "write.mjs"), run_id],
        env=environment(ledger.server, login, PGDATABASE=ledger.name),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_kysely_writes_a_run_and_its_events_and_reads_them_back(each_ledger: Ledger) -> None:
    told = write(each_ledger, make_service(each_ledger), "run-1")
    # The second insert of the same run adds nothing, and is no error.
    assert told["counts"] == [1, 0, 1, 1]
    ended = {
        "status": "succeeded",
        "started_at": "2026-01-02T03:04:05.678Z",
        "finished_at": "2026-01-02T03:05:06.789Z",
        "exit_code": 0,
        "result_json": {"mapped": 17, "note": 'é "quoted" \\ 😀'},
        "error": None,
        "log_artifact_id": None,
    }
    expected = {**told["given"], **ended}
    assert {name: told["read"][name] for name in expected} == expected
    assert [(each["run_id"], each["kind"], each["message"], each["data"]) for each in told["events"]] == [
        ("run-1", "run.queued", None, None),
        ("run-1", "run.started", "on the local machine", {"slots": 2}),
        ("run-1", "run.progress", "half", {"done": 0.5, "of": ["a", "b"]}),
        ("run-1", "run.succeeded", None, {"exit_code": 0}),
    ]
    numbers = [int(each["event_id"]) for each in told["events"]]
    assert numbers == sorted(set(numbers))
    with each_ledger.superuser() as root:
        for table in ("runs", "run_events"):
            customers = root.execute(f"select distinct customer_id from helix.{table}").fetchall()
            assert customers == [(CUSTOMER,)]
