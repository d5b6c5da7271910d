"""Superusers and BYPASSRLS, whom row security does not hold, get one customer's rows all the same: who exports and backs up."""

from __future__ import annotations

import inspect
import io
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer.main
from psycopg.types.json import Jsonb
from typer.testing import CliRunner

from aximo_db import EventStore, PostgresVault, RunError
from aximo_db.cli.app import app
from aximo_db.client.runs import Runs
from aximo_db.lines.importer import ImportStoppedError
from aximo_db.lines.run_files import export_run_log, export_runs, import_run_log
from aximo_db.local.embedded import EmbeddedServer
from aximo_db.vault.erasing import erase
from tests import test_isolation as isolation
from tests.conftest import VERSIONS, Ledger, _cloned
from tests.events import event
from tests.otlp_sink import sink
from tests.test_connections import NO_CALLS, WRITES
from tests.test_isolation import CALLS, EXECUTIONS, GROUP_ROLES, MARKS, OWN, SCHEMAS, TRACES, VICTIM
from tests.vault_support import key_file, vault_database

UNBOUND = ("postgres", "bypass_login")
SHARED = EXECUTIONS[OWN]  # a run of the victim's says that it served an execution of this id, too
VICTIMS_RUN, OWN_RUN = f"{MARKS[VICTIM]}-run", f"{MARKS[OWN]}-run"
VICTIMS_SECOND = f"{MARKS[VICTIM]}-second"


@pytest.fixture(scope="module", params=VERSIONS)
def ledger(request: pytest.FixtureRequest, servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    """A ledger with two customers' events and runs, one execution_id used by both, and two logins that nothing binds."""
    with closing(_cloned(servers(request.param), "fresh", "unbound_test")) as clone:
        ledger = next(clone)
        isolation.fill(ledger)
        run = {**isolation.marked_run(VICTIM), "run_id": VICTIMS_SECOND, "execution_id": SHARED}
        events = [{**each, "run_id": VICTIMS_SECOND} for each in isolation.marked_run_events(VICTIM)]
        with ledger.connect(ledger.login("victims_service", "aximo_writer", customers=(VICTIM,))) as service:
            service.execute("select helix.import_runs(%s)", [Jsonb([run])])
            service.execute("select helix.import_run_events(%s)", [Jsonb(events)])
        ledger.login("bypass_login", "aximo_writer", "aximo_operator", "aximo_auditor", customers=(OWN,))
        with ledger.superuser() as root:
            root.execute("alter role bypass_login bypassrls")
            root.execute("select aximo.grant_customer('postgres', %s)", [OWN])
        yield ledger


def traces_in(text: str) -> list[str]:
    return [trace for trace in TRACES[VICTIM] if trace in text]


# In SQL.


def offered(connection: psycopg.Connection[Any]) -> tuple[list[str], list[str]]:
    """The views that logins read, and the functions that they call: what there is for any group role."""
    roles = list(GROUP_ROLES)
    views = connection.execute(
        """
        select format('%%I.%%I', n.nspname, c.relname)
        from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = any(%s) and c.relkind = 'v'
            and exists (select from unnest(%s::text[]) as r (role) where has_table_privilege(r.role, c.oid, 'select'))
        order by 1
        """,
        [SCHEMAS, roles],
    )
    functions = connection.execute(
        """
        select format('%%I.%%I(%%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid))
        from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
        where n.nspname = any(%s)
            and exists (select from unnest(%s::text[]) as r (role) where has_function_privilege(r.role, p.oid, 'execute'))
        order by 1
        """,
        [SCHEMAS, roles],
    )
    return [name for (name,) in views.fetchall()], [name for (name,) in functions.fetchall()]


@pytest.mark.parametrize("named", [None, OWN, VICTIM])
@pytest.mark.parametrize("login", UNBOUND)
def test_no_view_and_no_function_shows_another_customer(ledger: Ledger, login: str, named: str | None) -> None:
    connection = ledger.connect(login)
    bound = connection.execute("select rolsuper or rolbypassrls from pg_roles where rolname = session_user").fetchone()
    assert bound == (True,)
    if named is not None:
        connection.execute("select set_config('aximo.customer_id', %s, false)", [named])
    views, functions = offered(connection)
    assert "aximo.events" in views
    assert "helix.compare_run_log(run_id text, lines jsonb)" in functions
    seen = ""
    for view in views:
        rows, error = isolation.attempt(connection, f"select r::text from {view} as r")
        assert error is None, (view, error)
        seen += "".join(rows)
        assert not [row for row in rows if traces_in(row)], view
    calls = {**CALLS, "aximo.execution_trace(execution_id text)": [("(%s)", [SHARED]), ("(%s)", [EXECUTIONS[VICTIM]])]}
    calls["helix.compare_run_log(run_id text, lines jsonb)"] = [("(%s, '[]')", [VICTIMS_RUN])]
    for function in functions:
        if function in ("aximo.my_customers()", "aximo_private.session_grants()"):
            continue  # it names whom the login was granted
        name = function.partition("(")[0]
        for call, arguments in calls[function]:
            is_procedure = function in isolation.PROCEDURES
            query = f"call {name}{call}" if is_procedure else f"select r::text from {name}{call} as r"
            rows, error = isolation.attempt(connection, query, arguments)
            # A procedure that commits gets no further in a transaction.
            states = ("42501", "2D000") if is_procedure else ("42501",)
            assert error is None or str(error.sqlstate).startswith("ZX") or error.sqlstate in states, (function, error)
            seen += "" if isolation.writes(function) else "".join(rows)
            assert isolation.writes(function) or not [row for row in rows if traces_in(row)], function
    # What is its own it sees, so that the search means something.
    assert (MARKS[OWN] in seen) == (named != VICTIM)


# From Python.

#: Every public method that reads, with arguments that suit the victim best.
READS: dict[str, Callable[[EventStore], object]] = {
    "trace": lambda store: [store.trace(SHARED), store.trace(EXECUTIONS[VICTIM])],
    "executions": lambda store: store.executions(),
    "open_executions": lambda store: store.open_executions(),
    "approvals": lambda store: store.approvals(),
    "deployments": lambda store: store.deployments(),
    "deployment_versions": lambda store: store.deployment_versions(),
    "iter_events": lambda store: list(store.iter_events()),
    "metrics": lambda store: store.metrics("execution_health"),
    "read_log": lambda store: store.read_log(),
    "log_size": lambda store: store.log_size(),
    "cursors": lambda store: store.cursors(),
    "subscribe": lambda store: list(store.subscribe(follow=False)),
    "runs.list": lambda store: store.runs.list(),
    "runs.get": lambda store: [store.runs.get(VICTIMS_RUN), store.runs.get(OWN_RUN)],
    "runs.events": lambda store: [store.runs.events(VICTIMS_RUN), store.runs.events(OWN_RUN)],
    "runs.iter_events": lambda store: [*store.runs.iter_events(VICTIMS_RUN), *store.runs.iter_events(OWN_RUN)],
    "runs.kinds": lambda store: store.runs.kinds(),
    "runs.log_size": lambda store: store.runs.log_size(),
    "runs.cursors": lambda store: store.runs.cursors(),
    "runs.read_log": lambda store: store.runs.read_log(),
    "runs.subscribe": lambda store: list(store.runs.subscribe(follow=False)),
}
#: What shows nothing of anybody: numbers, or nothing yet.
NUMBERS = {"log_size", "runs.log_size", "runs.cursors"}


@pytest.mark.parametrize("login", UNBOUND)
def test_no_method_shows_another_customer(ledger: Ledger, login: str) -> None:
    names = {name for name, _ in inspect.getmembers(EventStore) if not name.startswith("_")}
    names |= {f"runs.{name}" for name, _ in inspect.getmembers(Runs) if not name.startswith("_")}
    assert names - set(WRITES) - NO_CALLS == set(READS)
    with EventStore(ledger.dsn(login), customer_id=OWN) as store:
        for name, read in READS.items():
            told = repr(read(store))
            # The id that was asked for is in no answer either.
            assert not traces_in(told), name
            assert MARKS[OWN] in told or name in NUMBERS, name


@pytest.mark.parametrize("login", UNBOUND)
def test_no_file_has_lines_of_another_customer(ledger: Ledger, login: str) -> None:
    dsn = ledger.dsn(login)
    runs, log = io.StringIO(), io.StringIO()
    assert export_runs(dsn, runs, customer_id=OWN) == 2
    assert export_run_log(dsn, log, OWN_RUN, customer_id=OWN) == 5
    assert not traces_in(runs.getvalue() + log.getvalue())
    for export in (export_runs, export_run_log):
        with pytest.raises(RunError):
            export(dsn, io.StringIO(), run_id=VICTIMS_RUN, customer_id=OWN)
    line = json.dumps({"ts": "2011-11-11T11:00:00Z", "kind": "run.started", "message": "x", "data": None})
    with EventStore(dsn, customer_id=OWN) as store, pytest.raises(ImportStoppedError):
        # Compared, it would say what is missing there; as the run is nobody's here, it is refused when it is written.
        import_run_log(store, io.BytesIO(line.encode()), VICTIMS_RUN)


@pytest.mark.parametrize("login", UNBOUND)
def test_nothing_of_another_customer_is_changed(ledger: Ledger, login: str) -> None:
    with EventStore(ledger.dsn(login), customer_id=OWN) as store:
        with pytest.raises(RunError):
            store.runs.link(VICTIMS_RUN, "exec")
        with pytest.raises(RunError):
            store.runs.observe(VICTIMS_RUN)


# At the command line.

#: Every command that shows what is a customer's, with arguments that suit the victim best.
COMMANDS: dict[str, list[list[str]]] = {
    "trace": [[SHARED], [EXECUTIONS[VICTIM]], ["--json", SHARED]],
    "executions": [[], ["--json"]],
    "export": [
        ["-o", "-"],
        ["--log", "run_events", "-o", "-"],
        ["--format", "cloudevents"],
        ["--format", "cloudevents", "--log", "run_events"],
        ["--format", "ocel-json"],
        ["--format", "ocel-sqlite", "-o", "log.sqlite"],
        ["--chunks", "chunks"],
    ],
    "tail": [["--from", "1"], ["--json", "--from", "1"], ["--format", "cloudevents", "--from", "1"]],
    "checkpoint": [["-o", "-"]],
    "verify": [[], ["--log", "run_events"]],
    "prove": [["aaaaaaaa-0000-4000-8000-000000000001"]],
    "metrics": [[], ["--json"]],
    "report": [["-o", "report.html"]],
    "verify-metrics": [[]],
    "publish": [["public", "--key", "key"], ["public", "--key", "key", "--entries"]],
    "runs list": [[], ["--json"]],
    "runs show": [[OWN_RUN], [VICTIMS_RUN], ["--json", VICTIMS_RUN]],
    "runs tail": [["--from", "1"], ["--json", "--from", "1"], ["--format", "cloudevents", "--from", "1"]],
    "runs export": [
        ["--shape", "run"],
        ["--shape", "row"],
        ["--shape", "log", "--run", OWN_RUN],
        ["--shape", "log", "--run", VICTIMS_RUN],
        ["--shape", "run", "--run", VICTIMS_RUN],
        ["--format", "cloudevents"],
    ],
}
#: What takes a customer to write for him, or to look after the database.
NOT_SHOWN = {"import", "emit", "runs import", "doctor", "worker", "vault readmit"}
#: What sends it elsewhere, or needs a vault, with a test of its own.
SENT = {"otel", "erase"}


def commands() -> dict[str, Any]:
    found: dict[str, Any] = {}

    def walk(command: Any, path: tuple[str, ...]) -> None:
        for name, each in command.commands.items():
            if hasattr(each, "commands"):
                walk(each, (*path, name))
            else:
                found[" ".join((*path, name))] = each

    walk(typer.main.get_command(app), ())
    return found


def test_every_command_that_takes_a_customer_is_tried() -> None:
    taking = {name for name, each in commands().items() if any("--customer" in param.opts for param in each.params)}
    assert taking == set(COMMANDS) | NOT_SHOWN | SENT


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("login", UNBOUND)
def test_no_command_shows_another_customer(
    ledger: Ledger, login: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "1000")
    seen = ""
    CliRunner().invoke(app, ["keygen", "log.example.com", "-o", "key"])
    for arguments in COMMANDS[command]:
        done = CliRunner().invoke(app, [*command.split(), *arguments, "--customer", OWN, "--db", ledger.dsn(login)])
        written = "".join(
            path.read_text(encoding="utf-8", errors="replace") for path in tmp_path.rglob("*") if path.is_file()
        )
        told = done.output + written
        for said in sorted(arguments, key=len, reverse=True):
            told = told.replace(said, "")
        assert not traces_in(told), (arguments, done.output)
        seen += told
    assert MARKS[OWN] in seen or command in {"prove", "verify", "verify-metrics", "metrics", "runs tail"}


@pytest.mark.parametrize("login", UNBOUND)
def test_no_span_of_another_customer_is_sent(ledger: Ledger, login: str) -> None:
    with sink() as receiver:
        command = ["otel", "--customer", OWN, "--db", ledger.dsn(login), "--endpoint", receiver.endpoint]
        done = CliRunner().invoke(app, [*command, "--since", "1", "--open", "--arguments"])
        assert done.exit_code == 0, done.output
        sent = repr(receiver.spans)
        assert MARKS[OWN] in sent
        # The id of the execution is used by both.
        assert not traces_in(sent.replace(SHARED, "")), done.output


@pytest.mark.parametrize("login", UNBOUND)
def test_an_erasure_finds_nothing_of_another_customer(ledger: Ledger, login: str, tmp_path: Path) -> None:
    with vault_database(ledger.server, "unbound_vault") as dsn, PostgresVault(dsn, key=key_file(tmp_path)) as vault:
        # Of one kid: the other customer sealed nothing, and copied an object of this one's.
        with EventStore(ledger.dsn("victims_service"), customer_id=VICTIM) as theirs:
            kid, _ = vault.key_for(OWN, "p")
            theirs.emit(event("sla_breached", None, payload={"x": {"$sealed": "v1", "kid": str(kid), "c": "AAAA"}}))
        with ledger.connect(login) as connection:
            done = erase(connection, vault, OWN, "p", "asked", dry_run=True)
        assert (done.key_ids, done.events) == ([kid], 0)
        for command in (["erase", "-c", VICTIM, "-s", "p", "-r", "asked"], ["vault", "replay"]):
            said = CliRunner().invoke(app, [*command, "--vault", dsn, "--db", ledger.dsn(login)])
            assert not traces_in(said.output.replace(VICTIM, "")), said.output
