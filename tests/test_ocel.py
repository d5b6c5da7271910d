"""Object-centric event logs, OCEL 2.0: what is in them, in both forms. tests/ocel reads them with a tool of process mining."""

from __future__ import annotations

import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from aximo_db import EVENT_TYPES, CustomerError, EventStore, ProofError
from aximo_db.dba.assets import recording_path
from aximo_db.lines.importer import import_lines
from aximo_db.lines.ocel import _key, export_ocel
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import VERSIONS, Ledger, _cloned
from tests.ocel_story import CUSTOMER, HIDDEN, LIVES, RULES, SENTINEL, lines, take
from tests.test_cli import run

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "bi" / "ocel.md").read_text(encoding="utf-8")
SERVICE = "ocel_service"
RECORDED = ("acme-hvac", "nordwind")


@pytest.fixture(scope="module", params=VERSIONS)
def ledger(request: pytest.FixtureRequest, servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    with closing(_cloned(servers(request.param), "fresh", "ocel_test")) as clone:
        ledger = next(clone)
        ledger.login(SERVICE, "aximo_writer", "aximo_operator", customers=("*",))
        with EventStore(ledger.dsn(SERVICE)) as store:
            with recording_path().open("rb") as source:
                import_lines(store, source)
            take(store)
            take(store, "hidden", HIDDEN)
        yield ledger


def written(ledger: Ledger, customer: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Both forms, as files and read."""
    run("export", "--db", ledger.dsn(SERVICE), "-c", customer, "--format", "ocel-sqlite", "-o", folder / "log.sqlite")
    text = run("export", "--db", ledger.dsn(SERVICE), "-c", customer, "--format", "ocel-json").stdout
    return folder / "log.sqlite", json.loads(text)


def rows(path: Path, query: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query, values).fetchall()


def violating(ledger: Ledger, customer: str, rules: tuple[str, ...] | None = RULES) -> set[str]:
    with ledger.connect(SERVICE) as connection:
        connection.execute("select set_config('aximo.customer_id', %s, false)", (customer,))
        found = connection.execute("select execution_id, rule from aximo.violations").fetchall()
    return {execution for execution, rule in found if rules is None or rule in rules}


# What is found in it


def found_by_the_page(path: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    [block] = re.findall(r"^```text\n(import sqlite3\n.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(path.parent)
    variables: dict[str, Any] = {}
    exec(block.replace("acme.sqlite", path.name), variables)
    return {execution for (execution,) in variables["found"]}


@pytest.mark.parametrize("customer", [CUSTOMER, *RECORDED])
def test_the_page_finds_exactly_the_executions_that_the_ledger_lists(
    ledger: Ledger, customer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = written(ledger, customer, tmp_path)
    found = found_by_the_page(path, monkeypatch) - HIDDEN.keys()
    assert found == violating(ledger, customer)
    if customer == CUSTOMER:
        assert {"early", "denied", "timeout", "slash/#%", "long"} <= found
        assert len(found) < len(LIVES)


def test_a_dispatch_that_broke_an_earlier_rule_too_is_found_and_listed_under_that(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = written(ledger, "hidden", tmp_path)
    assert found_by_the_page(path, monkeypatch) == set(HIDDEN) == violating(ledger, "hidden", None)
    assert violating(ledger, "hidden") == set()


def test_the_commands_of_the_page_may_be_pasted(ledger: Ledger, tmp_path: Path) -> None:
    [block] = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    [python] = re.findall(r"^```text\n(import sqlite3\n.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(block.splitlines()) + len(python.splitlines()) <= 20
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AXIMO_DB_URL": ledger.dsn(SERVICE),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.replace("customer acme", "customer acme-hvac")],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert {each.name for each in tmp_path.iterdir()} == {"acme.json", "acme.sqlite"}


# What it holds


@pytest.mark.parametrize("customer", [CUSTOMER, *RECORDED])
def test_every_event_is_in_it_once_and_every_key_leads_somewhere(ledger: Ledger, customer: str, tmp_path: Path) -> None:
    path, log = written(ledger, customer, tmp_path)
    assert rows(path, "pragma foreign_key_check") == []
    assert rows(path, "pragma integrity_check") == [("ok",)]
    with ledger.connect(SERVICE) as connection:
        connection.execute("select set_config('aximo.customer_id', %s, false)", (customer,))
        events = connection.execute(
            "select event_id::text, event_type, timestamp, actor, latency_ms, number from aximo.log_entries order by number"
        ).fetchall()
    assert [(row[0], row[1]) for row in events] == rows(path, "select ocel_id, ocel_type from event order by rowid")
    assert [(each["id"], each["type"]) for each in log["events"]] == [(row[0], row[1]) for row in events]
    for each, row in zip(log["events"], events, strict=True):
        values = {item["name"]: item["value"] for item in each["attributes"]}
        assert each["time"] == f"{row[2].astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
        assert (values["actor"], values.get("latency_ms"), values["log_number"]) == row[3:]


@pytest.mark.parametrize("customer", [CUSTOMER, "acme-hvac"])
def test_both_forms_say_the_same(ledger: Ledger, customer: str, tmp_path: Path) -> None:
    path, log = written(ledger, customer, tmp_path)
    assert [each["name"] for each in log["eventTypes"]] == list(EVENT_TYPES)
    about = {(e["id"], r["objectId"], r["qualifier"]) for e in log["events"] for r in e["relationships"]}
    assert about == set(rows(path, "select * from event_object"))
    related = {(o["id"], r["objectId"], r["qualifier"]) for o in log["objects"] for r in o["relationships"]}
    assert related == set(rows(path, "select * from object_object"))
    assert [(o["id"], o["type"]) for o in log["objects"]] == rows(path, "select * from object order by rowid")
    for kind in log["objectTypes"]:
        names = [each["name"] for each in kind["attributes"]]
        stored = {
            (row[0], row[1], name, value)
            for row in rows(path, f"select * from object_{kind['name']}")
            for name, value in zip(names, row[3:], strict=True)
            if value is not None
        }
        told = {
            (o["id"], a["time"], a["name"], a["value"])
            for o in log["objects"]
            for a in o["attributes"]
            if o["type"] == kind["name"]
        }
        assert stored == told
    for kind in log["eventTypes"]:
        names = [each["name"] for each in kind["attributes"]]
        told_events = [
            (e["id"], e["time"], *({a["name"]: a["value"] for a in e["attributes"]}.get(name) for name in names))
            for e in log["events"]
            if e["type"] == kind["name"]
        ]
        assert told_events == rows(path, f"select * from event_{kind['name']} order by rowid")


def test_nothing_of_a_payload_is_in_it_but_ids_and_the_type_of_an_action(ledger: Ledger, tmp_path: Path) -> None:
    path, log = written(ledger, CUSTOMER, tmp_path)
    assert SENTINEL not in json.dumps(log)
    assert SENTINEL.encode() not in path.read_bytes()
    assert b"send_email" in path.read_bytes()


def about(path: Path, execution: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """The events of an execution in order, and what they are about beside it."""
    told = []
    whole = rows(path, "select ocel_id from object_execution where execution_id = ?", execution)[0][0]
    for event_id, kind in rows(
        path,
        "select e.ocel_id, e.ocel_type from event as e join event_object as r on r.ocel_event_id = e.ocel_id"
        " where r.ocel_object_id = ? order by e.rowid",
        whole,
    ):
        objects = rows(
            path,
            "select r.ocel_qualifier, r.ocel_object_id from event_object as r join object as o on o.ocel_id = r.ocel_object_id"
            " where r.ocel_event_id = ? and o.ocel_type in ('action', 'approval') order by r.ocel_object_id",
            event_id,
        )
        told.append((kind, objects))
    return told[2:]


def test_what_events_are_about(ledger: Ledger, tmp_path: Path) -> None:
    path, _ = written(ledger, CUSTOMER, tmp_path)
    assert about(path, "good") == [
        ("action_prepared", [("prepares", "action/good/one")]),
        ("approval_requested", [("asks", "approval/good/a")]),
        ("approval_granted", [("answers", "approval/good/a")]),
        ("action_dispatched", [("dispatches", "action/good/one"), ("waits for", "approval/good/a")]),
        ("execution_completed", []),
    ]
    assert about(path, "plain")[0] == ("action_prepared", [("prepares", "action/plain/#1")])
    assert about(path, "plain")[1] == ("action_dispatched", [("dispatches", "action/plain/#1")])
    again = about(path, "granted after denial")
    assert [objects for _, objects in again[:4]] == [
        [("asks", "approval/granted after denial/a")],
        [("answers", "approval/granted after denial/a")],
        [("asks", "approval/granted after denial/a#2")],
        [("answers", "approval/granted after denial/a#2")],
    ]
    assert [each for each in again[4][1] if each[0] == "waits for"] == [
        ("waits for", "approval/granted after denial/a"),
        ("waits for", "approval/granted after denial/a#2"),
    ]
    # An answer to nothing that is open is about no approval.
    assert about(path, "denied too late")[2] == ("approval_rejected", [])
    assert about(path, "asked after")[0] == ("action_dispatched", [("dispatches", "action/asked after/one")])
    related = set(rows(path, "select * from object_object"))
    assert ("approval/good/a", "action/good/one", "for") in related
    assert ("approval/good/a", "execution/good", "in") in related
    assert ("action/good/one", "execution/good", "in") in related
    assert ("execution/good", "deployment/dep-1", "of") in related
    assert ("execution/good", "skill_version/skill-1/1.0", "ran as") in related


def test_ids_are_one_object_s_whatever_is_in_names(ledger: Ledger, tmp_path: Path) -> None:
    path, _ = written(ledger, CUSTOMER, tmp_path)
    # "good" asks for "a", and "good/a" for "b".
    assert rows(path, "select ocel_id from object_execution where execution_id = 'good/a'") == [("execution/good%2Fa",)]
    assert rows(path, "select ocel_id from object_approval where approval_id = 'a/#%'") == [
        ("approval/slash%2F%23%25/a%2F%23%25",)
    ]
    assert len(rows(path, "select distinct ocel_id from object_execution")) == len(LIVES) + len(HIDDEN)


def test_actions_without_an_id_go_by_their_type_and_order(one_ledger: Ledger, tmp_path: Path) -> None:
    dsn = one_ledger.dsn(one_ledger.login("ocel_other", "aximo_writer", "aximo_operator", customers=("*",)))
    with EventStore(dsn, customer_id="acme") as store:
        for kind, action in (
            ("execution_triggered", None), ("execution_processing", None), ("action_prepared", "mail"),
            ("action_prepared", "call"), ("action_prepared", "mail"), ("action_dispatched", "call"),
            ("action_failed", "mail"), ("action_dispatched", "mail"), ("action_dispatched", "fax"),
        ):  # fmt: skip
            store.emit(
                {
                    "event_type": kind, "deployment_id": "d", "skill_id": "s", "skill_version": "1", "actor": "system",
                    "execution_id": "e", "payload": {"action_type": action} if action else {},
                }
            )  # fmt: skip
        store.advance_all()
    export = tmp_path / "x"
    run("export", "--db", dsn, "-c", "acme", "--format", "ocel-sqlite", "-o", export)
    assert [objects[0][1] for _, objects in about(export, "e")] == [
        "action/e/#1", "action/e/#2", "action/e/#3", "action/e/#2", "action/e/#1", "action/e/#3", "action/e/#4",
    ]  # fmt: skip


def test_a_deployment_changes_with_the_events_of_its_life(one_ledger: Ledger, tmp_path: Path) -> None:
    dsn = one_ledger.dsn(one_ledger.login("ocel_other", "aximo_writer", "aximo_operator", customers=("*",)))
    lives = [
        ("deployment_created", "1.0"), ("deployment_activated", "1.0"), ("version_upgraded", "2.0"),
        ("deployment_suspended", "9.9"), ("sla_breached", "9.9"), ("deployment_activated", "2.0"),
    ]  # fmt: skip
    with EventStore(dsn, customer_id="acme") as store:
        for number, (kind, version) in enumerate(lives):
            store.emit(
                {
                    "event_type": kind, "deployment_id": "d", "skill_id": "s", "skill_version": version,
                    "actor": "operator", "timestamp": f"2026-03-0{number + 1}T00:00:00Z",
                }
            )  # fmt: skip
        store.advance_all()
    run("export", "--db", dsn, "-c", "acme", "--format", "ocel-sqlite", "-o", tmp_path / "x")
    assert rows(tmp_path / "x", "select * from object_deployment order by rowid") == [
        ("deployment/d", "1970-01-01T00:00:00.000000Z", None, "d", "undeclared", "s", "1.0"),
        ("deployment/d", "2026-03-01T00:00:00.000000Z", "status", None, "pending_configuration", None, None),
        ("deployment/d", "2026-03-02T00:00:00.000000Z", "status", None, "active", None, None),
        ("deployment/d", "2026-03-03T00:00:00.000000Z", "skill_version", None, None, None, "2.0"),
        ("deployment/d", "2026-03-04T00:00:00.000000Z", "status", None, "suspended", None, None),
        ("deployment/d", "2026-03-06T00:00:00.000000Z", "status", None, "active", None, None),
    ]
    with EventStore(dsn, customer_id="acme") as store:
        [deployment] = store.deployments()
        assert (deployment.status, deployment.skill_version) == ("active", "2.0")


def test_ids_in_payloads_are_compared_as_the_rules_do(ledger: Ledger) -> None:
    payloads = [each["payload"] for each in lines()]
    with ledger.superuser() as root:
        found = root.execute(
            f"select aximo_private.step_key(e.payload, 'approval_id') is not distinct from {_key('approval_id')}"
            " from unnest(%s::jsonb[]) as e (payload)",
            ([Jsonb(each) for each in payloads],),
        ).fetchall()
    assert len(found) == len(payloads)
    assert all(same for (same,) in found)


# What is refused


def test_nothing_is_written_for_nobody_or_of_a_log_that_is_not_whole(one_ledger: Ledger, tmp_path: Path) -> None:
    dsn = one_ledger.dsn(one_ledger.login("ocel_other", "aximo_writer", "aximo_operator", customers=("*",)))
    with pytest.raises(CustomerError):
        export_ocel(dsn, io.StringIO())
    base = {
        "deployment_id": "d",
        "skill_id": "s",
        "skill_version": "1",
        "actor": "system",
        "event_type": "sla_breached",
    }
    with EventStore(dsn, customer_id="acme") as store:
        ids = [store.emit(base).event_id for _ in range(3)]
        store.advance_all()
    with one_ledger.superuser() as root:
        root.execute("alter table aximo_private.events disable trigger all")
        for gone in (ids[1], ids[2]):
            root.execute("delete from aximo_private.events where event_id = %s", (gone,))
            with pytest.raises(ProofError, match="entry 2 is missing"):
                export_ocel(dsn, io.StringIO(), customer_id="acme")
        target = tmp_path / "log.sqlite"
        target.write_text("as it was")
        run("export", "--db", dsn, "-c", "acme", "--format", "ocel-sqlite", "-o", target, code=1)
        assert target.read_text() == "as it was"


def test_an_empty_log_is_a_log(one_ledger: Ledger, tmp_path: Path) -> None:
    one_ledger.login(SERVICE + "_empty", "aximo_writer", "aximo_operator", customers=("nobody",))
    dsn = one_ledger.dsn(SERVICE + "_empty")
    for form in ("json", "sqlite"):
        run("export", "--db", dsn, "--format", f"ocel-{form}", "-o", tmp_path / form)
    log = json.loads((tmp_path / "json").read_text())
    assert (log["events"], log["objects"]) == ([], [])
    assert rows(tmp_path / "sqlite", "select count(*) from event") == [(0,)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "ocel-sqlite"], "Name a file with -o"),
        (["--format", "ocel-json", "--log", "run_events"], "Leave out --log"),
        (["--format", "ocel-json", "--batch"], "--batch is for --format cloudevents"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: list[str], said: str) -> None:
    assert said in run("export", *arguments, code=2).stderr
