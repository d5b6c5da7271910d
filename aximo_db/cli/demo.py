"""The whole story on real input: what ``aximo-db demo`` shows. Every line of it is computed on the spot."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psycopg
from psycopg import sql
from rich.console import Console
from rich.rule import Rule

from aximo_db.cli import render
from aximo_db.client import statements
from aximo_db.client.errors import AximoError, SequenceError
from aximo_db.client.store import EventStore
from aximo_db.dba.assets import recording_path
from aximo_db.dba.doctor import examine
from aximo_db.dba.verify_log import verify_log
from aximo_db.dba.verify_metrics import verify_metrics
from aximo_db.lines.exporter import number_new_events
from aximo_db.lines.importer import import_lines
from aximo_db.local.ledger import DATABASE, LocalLedger
from aximo_db.report.terminal import print_metrics

__all__ = ["run_demo"]

VICTIM = "nordwind"
ONLOOKER = "acme-hvac"
LOGIN = "acme_analyst"


def _headline(console: Console, title: str) -> None:
    # A console that writes into a file or a pipe has no width of its own.
    console.print(Rule(title, align="left"), width=min(console.width, 100))


def run_demo(console: Console, data_dir: Path | None = None) -> None:
    """Tells the story on a console.

    Args:
        console: where to.
        data_dir: where the database is kept; a temporary directory, removed in the end, if left out.
    """
    began = time.monotonic()
    with ExitStack() as stack:
        if data_dir is None:
            temporary = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="aximo-demo-", ignore_cleanup_errors=True)
            )
            data_dir = Path(temporary) / "data"
        ledger = LocalLedger(data_dir)
        if ledger.server.pid is None:
            stack.callback(ledger.server.stop)  # one that somebody else started is left alone
        _headline(console, "1. An ordinary PostgreSQL, and the schema in it")
        ledger.start()
        owner, service = ledger.dsns()["owner"], ledger.dsns()["service"]
        store = stack.enter_context(EventStore(service))
        _look_at_server(console, owner)
        chapters: tuple[tuple[str, Callable[[], object]], ...] = (
            ("The recording of a real agent runtime goes in, twice", lambda: _import_twice(console, store)),
            ("An execution that needs an approval", lambda: _ask_for_approvals(console, store.for_customer(VICTIM))),
            ("Nobody changes an event, the owner included", lambda: _try_to_change(console, owner)),
            ("Nobody sees another customer's events", lambda: _look_at_others(console, ledger, owner)),
            ("A superuser can change an event, and is found out", lambda: _tamper(console, ledger, service)),
            ("What the events amount to", lambda: _count(console, store, service)),
            (
                "What a DBA should know",
                lambda: console.print(render.findings_table(examine(owner, customers=[VICTIM]))),
            ),
        )
        for number, (title, tell) in enumerate(chapters, 2):
            console.print()
            _headline(console, f"{number}. {title}")
            tell()
    console.print(f"\nDone in {time.monotonic() - began:.1f} s.")


def _look_at_server(console: Console, owner: str) -> None:
    with psycopg.connect(owner) as connection:
        row = connection.execute(
            "select current_setting('server_version'), rolsuper, rolbypassrls"
            " from pg_roles where rolname = session_user"
        ).fetchone()
    version, is_super, bypasses = row or ("", None, None)
    console.print(f"PostgreSQL {version}; installed by a login with superuser = {is_super}, bypassrls = {bypasses}.")


def _import_twice(console: Console, store: EventStore) -> None:
    for attempt in ("first run ", "second run"):
        with recording_path().open("rb") as source:
            summary = import_lines(store, source)
        console.print(
            f"{attempt}: {summary.read:,} events read, {summary.inserted:,} inserted, "
            f"{summary.duplicates:,} duplicates, {summary.refused:,} refused"
        )
    nordwind = store.for_customer(VICTIM)
    failed = nordwind.executions(status="failed")
    completed = nordwind.executions(status="completed")
    console.print(
        f"{VICTIM} has {len(completed):,} completed and {len(failed):,} failed executions. One that failed:\n"
    )
    chosen = max(failed, key=lambda execution: execution.events).execution_id
    console.print(render.trace_tree(nordwind.trace(chosen), []))


def _ask_for_approvals(console: Console, nordwind: EventStore) -> None:
    with nordwind.execution(
        deployment_id="dep-nw-lead", skill_id="leadcapture_hvac", skill_version="v1.0", risk_level="R3"
    ) as execution:
        execution.action_prepared("send_email", {"approval_id": "offer"})
        execution.action_prepared("bulk_broadcast", {"approval_id": "broadcast"})
        execution.approval_requested("offer")
        execution.approval_requested("broadcast")
        _expect(
            console,
            "Dispatching before the answer",
            lambda: execution.action_dispatched("send_email", {"approval_id": "offer"}),
        )
        execution.approval_granted("offer", actor="founder")
        execution.approval_rejected("broadcast", {"reason": "not to every customer"}, actor="founder")
        execution.action_dispatched("send_email", {"approval_id": "offer"})
        _expect(
            console,
            "Dispatching what was rejected",
            lambda: execution.action_dispatched("bulk_broadcast", {"approval_id": "broadcast"}),
        )
    console.print()
    console.print(
        render.trace_tree(
            nordwind.trace(execution.execution_id), nordwind.approvals(execution_id=execution.execution_id)
        )
    )


def _try_to_change(console: Console, owner: str) -> None:
    for statement in (
        "update aximo_private.events set payload = '{}'",
        "delete from aximo_private.events",
        "truncate aximo_private.events",
    ):
        _attempt(console, owner, statement)


def _look_at_others(console: Console, ledger: LocalLedger, owner: str) -> None:
    with psycopg.connect(owner, autocommit=True) as connection:
        if connection.execute("select from pg_roles where rolname = %s", (LOGIN,)).fetchone() is None:
            connection.execute(sql.SQL("create role {} login").format(sql.Identifier(LOGIN)))
        connection.execute(sql.SQL("grant aximo_reader to {}").format(sql.Identifier(LOGIN)))
        connection.execute("select aximo.grant_customer(%s, %s)", (LOGIN, ONLOOKER))
    onlooker = ledger.server.dsn(LOGIN, DATABASE)
    console.print(f"As a login bound to {ONLOOKER}:")
    with psycopg.connect(onlooker, autocommit=True) as connection:
        for statement in (
            "select count(*) from aximo.events",
            f"select count(*) from aximo.events where customer_id = '{VICTIM}'",
            f"set aximo.customer_id = '{VICTIM}'; select count(*) from aximo.events",
        ):
            cursor = connection.execute(statement)
            while cursor.nextset():
                pass
            row = cursor.fetchone()
            console.print(f"  {statement}  →  [bold]{row[0] if row else None}[/]", markup=True)


def _count(console: Console, store: EventStore, service: str) -> None:
    store.refresh_metrics()
    with psycopg.connect(service) as connection:
        connection.execute(statements.SET_CUSTOMER, (VICTIM,))
        print_metrics(connection, console)
    if not verify_metrics(service, customer_id=VICTIM).ok:
        raise AximoError("metrics differ from the events", rule="demo")
    console.print("Recomputed from the events: [green]the same numbers[/].")


def _tamper(console: Console, ledger: LocalLedger, service: str) -> None:
    """Numbers the events, keeps a checkpoint, changes one event past every guard, looks, and takes it back."""
    with psycopg.connect(service, autocommit=True) as connection:
        number_new_events(connection)
        with connection.transaction():
            connection.execute(statements.SET_CUSTOMER, (VICTIM,))
            note = (connection.execute("select aximo.checkpoint_text()").fetchone() or ("",))[0]
            connection.execute("select aximo.add_checkpoint(%s)", (note,))
    _, size, root = note.splitlines()
    console.print(f"The log of {VICTIM} has {int(size):,} entries; its root, to be kept elsewhere: {root}")
    found = verify_log(service, customer_id=VICTIM)
    console.print(f"Recomputed from the events: {'[green]the same[/]' if found.ok else '[red]another[/]'}.")
    with psycopg.connect(ledger.server.dsn(database=DATABASE)) as root_connection:
        for statement in (
            "alter table aximo_private.events disable trigger user",
            (
                f"update aximo_private.events set payload = '{{}}' where event_id ="
                f" (select event_id from aximo_private.log_entries where customer_id = '{VICTIM}' and number = 100)"
            ),
        ):
            root_connection.execute(statement)
        root_connection.execute("select aximo.grant_customer(session_user::text, %s)", (VICTIM,))
        root_connection.execute(statements.SET_CUSTOMER, (VICTIM,))
        problems = root_connection.execute("select problem, number from aximo.verify_log()").fetchall()
        root_connection.rollback()
    console.print("A superuser, with the triggers off, empties a payload. aximo.verify_log() says:")
    for problem, number in problems:
        console.print(f"  [red]{problem}[/] {number}")
    if not problems:
        raise AximoError("the change was not found", rule="demo")
    console.print("(It is taken back.)")


def _expect(console: Console, what: str, call: Callable[[], object]) -> None:
    """Does what the ledger has to refuse, and shows the refusal."""
    try:
        call()
    except SequenceError as refusal:
        console.print(f"{what} is refused: [red]{refusal.sqlstate}[/] {refusal.rule}. [dim]{refusal.hint}[/]")
    else:
        raise AximoError(f"{what} was accepted", rule="demo")


def _attempt(console: Console, dsn: str, statement: str) -> None:
    with psycopg.connect(dsn) as connection:
        try:
            connection.execute(statement)
        except psycopg.Error as refusal:
            console.print(f"  {statement}  →  [red]{refusal.sqlstate}[/] {refusal.diag.message_primary}")
        else:
            connection.rollback()
            raise AximoError(f"{statement} was accepted", rule="demo")
