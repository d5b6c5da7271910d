"""A login that lacks a role is told which one, by every command."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from aximo_db.cli.app import app
from aximo_db.contract import shipped_contract
from aximo_db.dba.assets import recording_path
from aximo_db.dba.catalog import GROUP_ROLES
from aximo_db.dba.needed_role import hint_for, roles_for
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, DBA, Ledger, _cloned
from tests.test_cli import run
from tests.vault_support import vault_database

ROLELESS, OF_BI = "needed_roleless", "needed_of_bi"
VAULT = "needed_vault"
#: Every command that needs a role, with arguments.
ARGUMENTS: dict[str, list[str]] = {
    "import": [str(recording_path())],
    "emit": ["sla_breached", "--deployment", "d", "--skill", "s", "--skill-version", "1"],
    "export": [],
    "trace": ["e"],
    "executions": [],
    "tail": [],
    "otel": ["--endpoint", "http://127.0.0.1:9"],
    "metrics": [],
    "report": ["-o", "{folder}/report.html"],
    "checkpoint": ["-o", "{folder}/checkpoint"],
    "verify": [],
    "prove": ["aaaaaaaa-0000-4000-8000-000000000001"],
    "verify-metrics": [],
    "publish": ["{folder}/public", "--key", "{folder}/key"],
    "worker": ["--once"],
    "advance": [],
    "refresh": [],
    "doctor": [],
    "erase": ["-s", "nobody", "-r", "asked", "--vault", "{vault}"],
    "vault replay": ["--vault", "{vault}"],
    "contract check": [],
    "contract write": ["-o", "{folder}/contract.json"],
    "runs list": [],
    "runs show": ["r"],
    "runs tail": [],
    "runs import": ["{folder}/log", "--run", "r"],
    "runs export": ["--shape", "run"],
}
#: They look after all customers, or after none.
OF_ALL = {"worker", "advance", "refresh", "doctor", "contract check", "contract write", "import", "vault replay"}


@pytest.fixture(scope="module")
def ledger(servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    for ledger in _cloned(servers(next(iter(BINARIES))), "fresh", "needed_test"):
        ledger.login(ROLELESS, customers=("c",))
        ledger.login(OF_BI, "aximo_bi", customers=("c",))
        for role in GROUP_ROLES:
            # Some duties are for all customers.
            ledger.login(f"needed_{role}", role, customers=("*",))
        with vault_database(ledger.server, VAULT):
            yield ledger


def needs() -> dict[str, str]:
    found: dict[str, str] = {}

    def look(command: Any, path: tuple[str, ...]) -> None:
        for name, each in getattr(command, "commands", {}).items():
            look(each, (*path, name))
        if (need := getattr(command, "need", None)) is not None:
            found[" ".join(path)] = need

    look(typer.main.get_command(app), ())
    return found


def told(ledger: Ledger, login: str, command: str, folder: Path) -> tuple[int, str]:
    line = {"ts": "2026-01-01T00:00:00Z", "kind": "run.started", "message": "x", "data": None}
    (folder / "log").write_text(json.dumps(line), encoding="utf-8")
    if not (folder / "key").exists():
        run("keygen", "log.example.com", "-o", folder / "key")
    arguments = [each.format(folder=folder, vault=ledger.server.dsn(DBA, VAULT)) for each in ARGUMENTS[command]]
    customer = [] if command in OF_ALL else ["-c", "c"]
    if command == "contract write":
        arguments += ["--contract", "aximo"]
    done = CliRunner().invoke(
        app, [*command.split(), *arguments, *customer, "--db", ledger.dsn(login)], env={"COLUMNS": "400"}
    )
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    return done.exit_code, done.stdout + done.stderr


def test_every_command_that_needs_a_role_is_tried() -> None:
    assert needs().keys() == ARGUMENTS.keys()


@pytest.mark.parametrize("command", ARGUMENTS)
def test_a_login_without_any_role_is_told_which_one_it_needs(ledger: Ledger, command: str, tmp_path: Path) -> None:
    code, said = told(ledger, ROLELESS, command, tmp_path)
    assert code in (1, 2)
    assert "42501" in said
    for role in roles_for(needs()[command]):
        assert role in said.rpartition("→")[2]


@pytest.mark.parametrize("command", ARGUMENTS)
def test_with_the_role_that_is_named_the_login_may(ledger: Ledger, command: str, tmp_path: Path) -> None:
    for role in roles_for(needs()[command]):
        _, said = told(ledger, f"needed_{role}", command, tmp_path)
        assert "42501" not in said, role


@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "--format", "cloudevents"],
        ["export", "--format", "ocel-json"],
        ["tail", "--format", "cloudevents"],
        ["runs", "tail", "--format", "cloudevents"],
        ["runs", "export", "--format", "cloudevents"],
    ],
)
def test_another_form_needs_no_other_role(ledger: Ledger, arguments: list[str]) -> None:
    group = 2 if arguments[0] == "runs" else 1
    for role in roles_for(needs()[" ".join(arguments[:group])]):
        run(*arguments, "-c", "c", "--db", ledger.dsn(f"needed_{role}"))
    code = run(*arguments, "-c", "c", "--db", ledger.dsn(ROLELESS), code=1)
    assert "42501" in code.stderr
    assert "needs the role" in code.stderr


@pytest.mark.parametrize(
    ("command", "role"),
    [
        ("executions", "aximo_reader"),
        ("trace", "aximo_reader"),
        ("advance", "aximo_operator"),
        ("refresh", "aximo_operator"),
        ("emit", "aximo_writer"),
        ("checkpoint", "aximo_reader"),
        ("verify-metrics", "aximo_reader"),
    ],
)
def test_a_login_that_reads_metrics_is_told_what_more_it_needs(
    ledger: Ledger, command: str, role: str, tmp_path: Path
) -> None:
    code, said = told(ledger, OF_BI, command, tmp_path)
    assert code == 1
    assert "42501" in said
    assert role in said.rpartition("→")[2]


def test_a_reader_is_told_what_a_part_of_a_command_needs(ledger: Ledger) -> None:
    reader = ledger.dsn("needed_aximo_reader")
    for command, role in (
        (("verify", "-c", "c", "--mend"), "aximo_operator"),
        (("verify", "-c", "c", "--repair"), "aximo_operator"),
        (("refresh", "--recount"), "aximo_operator"),
        (("checkpoint", "-c", "c"), "aximo_auditor"),
    ):
        assert f"needs the role {role}" in run(*command, "--db", reader, code=1).stderr


def test_the_word_of_the_server_for_a_thing_is_what_counts_in_any_language() -> None:
    for message in (
        "permission denied for function advance_log",
        "keine Berechtigung für Funktion advance_log",
        'droit refusé pour la fonction "advance_log"',
        "関数advance_log の権限がありません".replace("関数", "関数 "),
    ):
        assert "aximo_operator" in (hint_for(message) or "")
    assert "Only the owner" in (hint_for("permission denied for table customer_grants") or "")
    assert "Only the owner" in (hint_for("permission denied for schema aximo_private", "aximo.events") or "")
    assert "aximo_reader" in (hint_for("permission denied for schema aximo", "aximo.events") or "")
    assert hint_for("permission denied for table somebody_elses") is None
    assert hint_for("") is None


def test_the_roles_are_those_of_the_contract() -> None:
    document = shipped_contract("aximo").document
    things = {name: thing["used_by"] for name, thing in document["relations"].items()}
    for name, overloads in document["functions"].items():
        things[name] = {role: rights for each in overloads for role, rights in each["used_by"].items()}
    tried = 0
    for name, used_by in things.items():
        try:
            roles = roles_for(name)
        except KeyError:
            continue  # of the columns of a type
        assert set(roles) <= set(used_by) | {"aximo_owner"}, name
        tried += 1
    assert tried > 50
