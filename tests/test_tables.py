"""Tables and trees show every id whole, into a pipe and on a terminal of any width."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from rich.text import Text

from aximo_db import EventStore
from aximo_db.files.terminal import SafeConsole, WholeTable
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, Ledger, _cloned
from tests.test_cli import SERVICE, run

LONG = "id-" + "0123456789" * 24 + "-end"
SPACED = "an id with blanks " * 9 + "-end"


@pytest.fixture(scope="module")
def ids(servers: Callable[[str], EmbeddedServer]) -> Iterator[dict[str, str]]:
    """A ledger in which every id is long; the ids by what they are of."""
    for ledger in _cloned(servers(next(iter(BINARIES))), "fresh", "tables_test"):
        yield {"dsn": ledger.dsn(fill(ledger)), **NAMED}


NAMED = {name: f"{name}-{LONG}"[:250] + "-end" for name in ("execution", "deployment", "approval", "run", "customer")}
NAMED["spaced"] = SPACED


def fill(ledger: Ledger) -> str:
    login = ledger.login(SERVICE, "aximo_writer", "aximo_operator", customers=("*",))
    dsn = ledger.dsn(login)
    with EventStore(dsn, customer_id=NAMED["customer"]) as store:
        for name in ("execution", "spaced"):
            with store.execution(
                deployment_id=NAMED["deployment"], skill_id="s", skill_version="1", execution_id=NAMED[name]
            ) as execution:
                execution.action_prepared("call", {"approval_id": NAMED["approval"], "words": "much to say " * 40})
                execution.approval_requested(NAMED["approval"])
                execution.approval_rejected(NAMED["approval"], {"reason": "because " * 90}, actor="founder")
    lines = [
        {"run_id": NAMED["run"], "kind": "run.created", "created_at": "2026-03-01T12:00:00Z", "message": "said " * 50}
    ]
    its = ("--db", dsn, "-c", NAMED["customer"])
    run("runs", "import", "-", *its, stdin="".join(json.dumps(each) + "\n" for each in lines))
    run("refresh", "--db", dsn)
    return login


SHOWN = {
    "executions": (["executions"], ("execution", "spaced", "deployment")),
    "trace": (["trace", NAMED["execution"]], ("execution", "deployment", "customer")),
    "tail": (["tail"], ("execution", "spaced")),
    "metrics": (["metrics"], ("deployment", "customer")),
    "runs list": (["runs", "list"], ("run",)),
    "runs show": (["runs", "show", NAMED["run"]], ("run", "customer")),
    "runs tail": (["runs", "tail"], ("run",)),
    "verify": (["verify"], ()),
    "doctor": (["doctor"], ()),
}


@pytest.mark.parametrize("width", [1, 20, 80, 120])
@pytest.mark.parametrize("name", SHOWN)
def test_no_id_is_cut_however_narrow_the_terminal_is(ids: dict[str, str], name: str, width: int) -> None:
    command, shown = SHOWN[name]
    its = () if name == "doctor" else ("-c", ids["customer"])
    told = run(*command, "--db", ids["dsn"], *its, COLUMNS=str(width)).stdout
    for each in shown:
        assert ids[each] in told, each


@pytest.mark.parametrize("name", SHOWN)
def test_no_id_is_cut_in_a_pipe_and_a_row_is_a_line(ids: dict[str, str], name: str) -> None:
    command, shown = SHOWN[name]
    its = [] if name == "doctor" else ["-c", ids["customer"]]
    command = [sys.executable, "-m", "aximo_db", *command, "--db", ids["dsn"], *its]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONUTF8": "1"}
    done = subprocess.run(command, capture_output=True, check=False, env=environment, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    for each in shown:
        assert any(ids[each] in line for line in done.stdout.splitlines()), each
    if name in ("executions", "runs list"):
        (row, *_) = (line for line in done.stdout.splitlines() if ids[shown[0]] in line)
        assert all(word in row for word in (("completed", "2026") if name == "executions" else ("imported", "2026")))


@pytest.mark.parametrize("width", [1, 10, 40, 400])
def test_a_table_loses_no_character(width: int) -> None:
    table = WholeTable("id", "text", "other", ids=("id", "other"))
    words = [f"word{number}" for number in range(60)]
    other = str(uuid4())
    table.add_row(Text(LONG), Text(" ".join(words)), Text(other))
    table.add_row(Text("short"), Text(LONG * 2), Text("表" * 30))
    file = io.StringIO()
    SafeConsole(file=file, width=width, soft_wrap=True).print(table)
    shown = file.getvalue()
    assert LONG in shown
    assert other in shown
    assert "表" * 30 in shown
    left = "".join(shown.replace(LONG, "").split())
    for word in words:
        assert all(char in left for char in word)
    assert "…" not in shown
