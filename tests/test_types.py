"""What type checkers know: the closed sets and the rows of metrics, which are what the database says and returns."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from typer.testing import CliRunner

from aximo_db import ACTORS, EVENT_TYPES, EventStore
from aximo_db.cli.app import app
from aximo_db.client import metric_rows
from tests.conftest import Ledger
from tests.events import event

ROOT = Path(__file__).resolve().parent.parent

WRONG = """
from aximo_db import EventStore, NewEvent

store = EventStore()
NewEvent(event_type="execution_trigered", deployment_id="d", skill_id="s", skill_version="1", actor="system")
NewEvent(event_type="sla_breached", deployment_id="d", skill_id="s", skill_version="1", actor="robot")
store.metrics("execution_health")[0]["trigered"]
store.metrics("execution_health")[0]["triggered"] + "1"
store.execution(deployment_id="d", skill_id="s", skill_version="1", actor="nobody")
EventStore(on_retry=len)
"""


def _checked(path: Path) -> list[str]:
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", ".tmp/mypy", str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.splitlines()


def test_a_type_checker_takes_what_is_right() -> None:
    assert _checked(ROOT / "tests" / "typed_usage.py") == []


def test_a_type_checker_finds_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(WRONG, encoding="utf-8")
    found = [int(line.split(":")[1]) for line in _checked(path) if ": error:" in line]
    assert sorted(set(found)) == list(range(5, 11))


def test_the_closed_sets_are_the_databases(one_ledger: Ledger) -> None:
    with one_ledger.superuser() as root:
        types = [row[0] for row in root.execute("select event_type from aximo.event_types")]
        assert sorted(EVENT_TYPES) == sorted(types)
        query = "select pg_get_constraintdef(oid) from pg_constraint where conname = 'actor_known'"
        assert [str(row[0]).count("'::text") for row in root.execute(query)] == [len(ACTORS)]
        for actor in ACTORS:
            root.execute("select %s::aximo_private.actor", (actor,))


def test_the_command_and_the_page_list_the_closed_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    told = CliRunner().invoke(app, ["emit", "--help"]).output
    page = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    for name in (*EVENT_TYPES, *ACTORS):
        assert name in told, name
        assert f"`{name}`" in page, name


def test_the_rows_of_metrics_are_what_the_types_say(one_ledger: Ledger) -> None:
    one_ledger.login("service", "aximo_writer", "aximo_operator", customers=("*",))
    with EventStore(one_ledger.dsn("service"), customer_id="c") as store:
        common = {"deployment_id": "d", "skill_id": "s", "skill_version": "1"}
        with store.execution(**common) as execution, execution.action("send", {"value": 1}):
            pass
        with pytest.raises(ZeroDivisionError), store.execution(**common, risk_level="R3") as execution:
            execution.approval_requested("a")
            execution.approval_granted("a")
            raise ZeroDivisionError
        store.emit(event("deployment_created", None))
        store.emit(event("sla_breached", None, latency_ms=5))
        with one_ledger.connect("service") as connection:
            connection.execute("select set_config('aximo.customer_id', 'c', false)")
            connection.execute("select aximo.set_threshold('error_rate', 'warning', 0.01)")
            for kind, at in (("run.queued", "00"), ("run.running", "01"), ("run.succeeded", "05")):
                line = {"run_id": "r", "kind": kind, "created_at": f"2026-01-01T00:00:{at}Z"}
                connection.execute("select * from helix.import_run_events(%s)", (json.dumps([line]),))
        store.refresh_metrics()
        filled = set()
        for view in (name for name in vars(metric_rows) if name in metric_rows.__all__):
            named = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in view)[1:]
            types = get_type_hints(getattr(metric_rows, view))
            rows: list[dict[str, Any]] = store.metrics(named)
            for row in rows:
                assert list(row) == list(types), view
                for column, value in row.items():
                    assert _is_of(value, types[column]), (view, column, value)
            if rows:
                filled.add(view)
    assert len(filled) >= len(metric_rows.__all__) - 6, set(metric_rows.__all__) - filled


def _is_of(value: object, type_: Any) -> bool:
    if type_ is type(None):
        return value is None
    arguments = get_args(type_)
    if not arguments:
        return type(value) is type_
    if str(get_origin(type_)) == "typing.Literal":
        return value in arguments
    return any(_is_of(value, each) for each in arguments)
