"""The commands of tool runs: list, show, tail, import and export."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from aximo_db import EventStore, tlog
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import VERSIONS, Ledger, _cloned
from tests.test_cli import run, start
from tests.test_run_files import LOG, MOMENT, RECORDING, row, run_row, said

SERVICE = "cli_runs_service"


@pytest.fixture(scope="module", params=VERSIONS)
def ledger_(request: pytest.FixtureRequest, servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    """One database a server for the module: every test has customers and runs of its own in it."""
    for ledger in _cloned(servers(request.param), "fresh", "cli_runs_test"):
        ledger.login(SERVICE, "aximo_writer", "aximo_operator", "aximo_auditor", customers=("*",))
        yield ledger


@pytest.fixture
def dsn(ledger_: Ledger) -> str:
    return ledger_.dsn(SERVICE)


@pytest.fixture
def customer() -> str:
    return f"customer-{uuid4()}"


@pytest.fixture
def run_id() -> str:
    return f"run-{uuid4()}"


@pytest.fixture
def its(dsn: str, customer: str) -> tuple[str, ...]:
    return ("--db", dsn, "-c", customer)


def put(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_help_is_shown_for_every_command_and_wrong_usage_is_code_2(tmp_path: Path) -> None:
    assert "runs" in run("--help").stdout
    for command in ("list", "show", "tail", "import", "export"):
        assert run("runs", command, "--help").stdout
    empty = put(tmp_path / "empty")
    for wrong in (
        ("nonsense",), ("show",), ("import",), ("list", "--limit", "0"), ("export", "--shape", "nonsense"),
        ("export", "--shape", "log"), ("export", "--run", "x"), ("tail", "--name", "x", "--from", "1"),
        ("import", empty, "--add-missing"), ("import", "/nonexistent/file"), ("list", "--since", "yesterday"),
    ):  # fmt: skip
        run("runs", *wrong, code=2)


def test_a_trace_shows_the_runs_that_served_the_execution(
    its: tuple[str, ...], dsn: str, customer: str, run_id: str, tmp_path: Path
) -> None:
    work = {"deployment_id": "d", "skill_id": "s", "skill_version": "1", "execution_id": run_id, "actor": "system"}
    # What only a run tells of is shown as well.
    lines = (run_row(run_id, execution_id=run_id), row(run_id, "run.started", message="[bold]no[/]", data={"n": 1}))
    run("runs", "import", put(tmp_path / "runs.jsonl", *lines), *its)
    alone = run("trace", run_id, *its).stdout
    assert f"run {run_id}" in alone
    assert "None" not in alone
    with EventStore(dsn, customer_id=customer) as store:
        for kind in ("execution_triggered", "execution_processing"):
            store.emit({"event_type": kind, **work})
        run("runs", "import", put(tmp_path / "more.jsonl", row(run_id, "run.succeeded")), *its)
        store.emit({"event_type": "execution_completed", **work})
    shown = run("trace", run_id, *its).stdout
    places = [
        shown.index(kind) for kind in ("run.started", "execution_triggered", "run.succeeded", "execution_completed")
    ]
    assert places == sorted(places)
    assert f"run {run_id}" in shown
    assert "[bold]no[/]" in shown
    assert "s 1 on d" in shown
    told = json.loads(run("trace", run_id, *its, "--json").stdout)
    assert [each["run_id"] for each in told] == [run_id, None, None, run_id, None]
    assert told[0]["payload"] == {"n": 1}


def test_runs_are_listed_and_shown(its: tuple[str, ...], run_id: str, tmp_path: Path) -> None:
    lines = [
        run_row(run_id, status="failed", error="[red]it broke[/red]", started_at=MOMENT, result_json={"n": 1}),
        row(run_id, "run.started", data={"now": "12"}),
        row(run_id, "run.failed", message="[bold]no[/]"),
        run_row(f"{run_id}-2", tool_name="qc", project_id="q", execution_id="exec"),
    ]
    run("runs", "import", put(tmp_path / "runs.jsonl", *lines), *its)

    def listed(*asked: str) -> list[str]:
        return [each["run_id"] for each in json.loads(run("runs", "list", *its, "--json", *asked).stdout)]

    assert set(listed()) == {run_id, f"{run_id}-2"}
    assert listed("--status", "failed") == listed("--tool", "align") == listed("--project", "p") == [run_id]
    assert listed("--execution", "exec") == [f"{run_id}-2"]
    assert len(listed("--since", "2026-03-01", "--until", "2026-03-02T00:00:00")) == 2
    assert listed("--until", "2026-03-01") == []
    assert len(listed("--limit", "1")) == 1
    shown = run("runs", "list", *its).stdout
    assert run_id in shown
    assert "[red]it broke[/red]" in shown

    told = json.loads(run("runs", "show", run_id, *its, "--json").stdout)
    assert (told["run"]["status"], told["run"]["result_json"]) == ("failed", {"n": 1})
    assert [(each["kind"], each["data"]) for each in told["events"]] == [
        ("run.started", {"now": "12"}),
        ("run.failed", None),
    ]
    shown = run("runs", "show", run_id, *its).stdout
    assert shown.index("failed") < shown.index("run.started") < shown.index("run.failed")
    assert "[bold]no[/]" in shown
    run("runs", "show", "none", *its, code=1)
    run("runs", "show", run_id, *its[:3], "another", code=1)


def test_what_others_wrote_does_nothing_to_the_terminal(its: tuple[str, ...], run_id: str, tmp_path: Path) -> None:
    evil = "\x1b[2J\x1b]0;x\x07\u202e\u0085\u2028"
    name = f"{run_id}{evil}"
    lines = [
        run_row(name, tool_name=f"t{evil}", error=evil, project_id=evil, requested_by=evil, result_json={evil: evil}),
        row(name, f"k{evil}", message=evil, data={evil: evil}),
        row(name, ""),
    ]
    path = put(tmp_path / "evil.jsonl", *lines)
    rejects = tmp_path / "rejects"
    shown = [run("runs", "import", path, *its, "--rejects", rejects, code=1), run("runs", "import", path, *its, code=1)]
    log = put(tmp_path / "log.jsonl", said(f"missing{evil}"))
    shown.append(run("runs", "import", log, "--run", name, *its, code=1))
    shown += [run("runs", "list", *its), run("runs", "show", name, *its), run("runs", "tail", *its)]
    for each in shown:
        for text in (each.stdout, each.stderr):
            assert not set("\x1b\x07\u202e\u0085\u2028") & set(text)
    assert "\\u202e" in shown[-1].stdout


def test_a_file_is_imported_once(its: tuple[str, ...], run_id: str, tmp_path: Path) -> None:
    path = put(tmp_path / "rows.jsonl", *(row(run_id, data={"n": n}) for n in range(5)))
    counts = {"read": 5, "refused": 0, "first_refusals": []}
    for inserted in (5, 0):
        told = json.loads(run("runs", "import", path, *its, "--json", "--batch-size", "2").stdout)
        assert told == {**counts, "inserted": inserted, "duplicates": 5 - inserted}
    assert "5 duplicates" in run("runs", "import", path, *its).stdout
    started = start("runs", "import", "-", *its, "--json", input=row(run_id, data={"n": 5}))
    assert (started.returncode, json.loads(started.stdout)["inserted"]) == (0, 1)


def test_refused_lines_stop_the_import_or_are_written_down(its: tuple[str, ...], run_id: str, tmp_path: Path) -> None:
    path = put(tmp_path / "rows.jsonl", row(run_id), "{", row(f"{run_id}-2"))
    told = run("runs", "import", path, *its, "--json", code=1)
    assert [each["line_number"] for each in json.loads(told.stdout)["first_refusals"]] == [2]
    assert "line 2" in told.stderr
    rejects = tmp_path / "rejects.jsonl"
    told = json.loads(run("runs", "import", path, *its, "--json", "--rejects", rejects, code=1).stdout)
    assert (told["inserted"], told["duplicates"], told["refused"]) == (1, 1, 1)
    assert [json.loads(each)["rule"] for each in rejects.read_text(encoding="utf-8").splitlines()] == [
        "json_well_formed"
    ]
    path = put(tmp_path / "unknown.jsonl", row(f"{run_id}-3"))
    told = json.loads(run("runs", "import", path, *its, "--json", "--no-create-runs", code=1).stdout)
    assert [(each["code"], each["rule"]) for each in told["first_refusals"]] == [("ZXRUN", "run_known")]
    assert "ZXCUS" in run("runs", "import", path, *its[:2], code=1).stderr


def test_a_log_is_added_then_compared_and_completed(its: tuple[str, ...], run_id: str, tmp_path: Path) -> None:
    lines = LOG.read_text(encoding="utf-8").splitlines()
    part = put(tmp_path / "part.jsonl", *lines[:2])
    first = json.loads(run("runs", "import", part, "--run", run_id, *its, "--json").stdout)
    assert (first["compared"], first["inserted"]) == (False, 2)

    def compare(*more: str, code: int) -> tuple[Any, ...]:
        told = json.loads(run("runs", "import", LOG, "--run", run_id, *its, "--json", *more, code=code).stdout)
        missing = [each["line_number"] for each in told["missing_here"]]
        return told["read"], told["inserted"], told["duplicates"], told["refused"], missing, told["missing_there"]

    assert compare(code=1) == compare(code=1) == (5, 0, 2, 0, [3, 4, 5], [])
    shown = run("runs", "import", LOG, "--run", run_id, *its, code=1).stdout
    assert "slurm.submit.ok" in shown
    assert compare("--add-missing", code=0) == (5, 3, 2, 0, [3, 4, 5], [])
    assert compare(code=0) == (5, 0, 5, 0, [], [])
    told = json.loads(run("runs", "import", part, "--run", run_id, *its, "--json").stdout)
    assert [each["kind"] for each in told["missing_there"]] == [json.loads(line)["kind"] for line in lines[2:]]
    assert "3 missing in the log" in run("runs", "import", part, "--run", run_id, *its).stdout
    broken = put(tmp_path / "broken.jsonl", *lines, "{")
    run("runs", "import", broken, "--run", f"{run_id}-2", *its, code=1)
    run("runs", "show", f"{run_id}-2", *its, code=1)
    assert "ZXCUS" in run("runs", "import", LOG, "--run", run_id, *its[:2], code=1).stderr


def test_the_log_is_followed_by_number_or_by_a_cursor(its: tuple[str, ...], run_id: str, tmp_path: Path) -> None:
    run("runs", "import", put(tmp_path / "rows.jsonl", *(row(run_id, data={"n": n}) for n in range(30))), *its)

    def numbers(*arguments: str) -> list[int]:
        shown = run("runs", "tail", *its, "--json", *arguments).stdout
        return [json.loads(each)["number"] for each in shown.splitlines()]

    assert numbers() == list(range(11, 31))
    assert numbers("--from", "29") == [29, 30]
    assert numbers("--name", "billing") == list(range(1, 31))
    assert numbers("--name", "billing") == []
    assert run("tail", *its, "--json").stdout == ""  # the other log
    shown = run("runs", "tail", *its).stdout
    assert "exec.plan" in shown
    assert run_id in shown


def test_what_is_exported_goes_in_elsewhere(
    ledger_: Ledger, one_ledger: Ledger, dsn: str, its: tuple[str, ...], customer: str, run_id: str, tmp_path: Path
) -> None:
    lines = [
        run_row(run_id, result_json={"n": [1.50]}),
        *(row(run_id, data={"n": n, "t": "é\u2028"}) for n in range(7)),
    ]
    run("runs", "import", put(tmp_path / "all.jsonl", *lines), *its)
    for shape in ("run", "row"):
        assert run("runs", "export", "--shape", shape, *its, "-o", tmp_path / shape).stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.jsonl", "row", "run"]  # nothing half done
    target = ("--db", one_ledger.dsn(one_ledger.login("elsewhere", "aximo_writer", "aximo_operator", customers=("*",))))
    for shape, count in (("run", 1), ("row", 7)):
        for place in (target, its[:2]):
            told = json.loads(run("runs", "import", tmp_path / shape, *place, "--json").stdout)
            assert (told["inserted"], told["refused"]) == (count if place == target else 0, 0)
    there = json.loads(run("runs", "show", run_id, *target, "-c", customer, "--json").stdout)
    here = json.loads(run("runs", "show", run_id, *its, "--json").stdout)
    assert [each["data"] for each in there["events"]] == [each["data"] for each in here["events"]]
    assert {**there["run"], "recorded_at": None, "recorded_by": None} == {
        **here["run"], "recorded_at": None, "recorded_by": None,
    }  # fmt: skip
    log = run("runs", "export", "--shape", "log", "--run", run_id, *its).stdout
    assert [list(json.loads(each)) for each in log.split("\n")[:-1]] == [["ts", "kind", "message", "data"]] * 7
    run("runs", "import", "-", "--run", run_id, *its, stdin=log)
    assert run("runs", "export", "--shape", "run", "--run", run_id, *its).stdout == (
        (tmp_path / "run").read_text(encoding="utf-8")
    )
    for shape in ("log", "run"):
        assert "ZXRUN" in run("runs", "export", "--shape", shape, "--run", "none", *its, code=1).stderr
    before = (tmp_path / "run").read_bytes()
    run("runs", "export", "--shape", "run", "--run", "none", *its, "-o", tmp_path / "run", code=1)
    assert (tmp_path / "run").read_bytes() == before
    assert not (tmp_path / "run.part").exists()


def test_line_n_of_the_rows_is_entry_n_and_the_rest_is_told_of(
    ledger_: Ledger, dsn: str, its: tuple[str, ...], customer: str, tmp_path: Path
) -> None:
    run("runs", "import", put(tmp_path / "rows", *(row(f"run-{uuid4()}", data={"n": n}) for n in range(9))), *its)
    reader = ledger_.dsn(ledger_.login(f"login-{uuid4()}", "aximo_reader", customers=(customer,)))
    told = run("runs", "export", "--db", reader)
    assert told.stdout == ""
    assert "9 events have no number" in told.stderr
    run("runs", "export", *its, "-o", tmp_path / "export")
    lines = (tmp_path / "export").read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line)["data"] for line in lines] == [{"n": n} for n in range(9)]
    with EventStore(dsn, customer_id=customer) as store:
        assert [each.event_id for each in store.runs.read_log()] == [json.loads(line)["event_id"] for line in lines]
    with ledger_.superuser() as root:
        leaves = root.execute(
            "select leaf from aximo_private.log_entries where customer_id = %s and log = 'run_events' order by number",
            (customer,),
        )
        assert [bytes(leaf) for (leaf,) in leaves] == [tlog.leaf_hash(line) for line in lines]
    run("checkpoint", *its, "--log", "run_events", "-o", tmp_path / "checkpoint")
    check = ("verify", "--export", tmp_path / "export", "--checkpoint", tmp_path / "checkpoint", "--json")
    assert json.loads(run(*check).stdout)["entries"] == 9
    (tmp_path / "export").write_bytes(b"\n".join([*lines[:4], lines[4].replace(b"4", b"5"), *lines[5:], b""]))
    assert json.loads(run(*check, code=1).stdout)["ok"] is False


def test_the_recording_is_told_in_full(one_ledger: Ledger) -> None:
    db = ("--db", one_ledger.dsn(one_ledger.login("service", "aximo_writer", "aximo_operator", customers=("acme",))))
    assert json.loads(run("runs", "import", RECORDING, *db, "--json").stdout)["inserted"] == 49
    found = json.loads(run("runs", "list", *db, "--json").stdout)
    assert len(found) == len(
        {json.loads(line)["run_id"] for line in RECORDING.read_text(encoding="utf-8").splitlines()}
    )
    assert run("runs", "list", *db).stdout.count("imported") == len(found)
    for each in found:
        assert each["status"] in run("runs", "show", each["run_id"], *db).stdout
