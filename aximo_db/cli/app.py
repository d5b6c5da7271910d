"""The command line: ``aximo-db``, also ``python -m aximo_db``.

Exit codes: 0 done, 1 refused or something found, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import psycopg
import typer
from rich.console import Group, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from aximo_db import __version__, audit
from aximo_db.audit.note import read_secret_key, read_verifier_key, sign, signers, write_key_pair
from aximo_db.cli import contract as cli_contract
from aximo_db.cli import otel as cli_otel
from aximo_db.cli import render
from aximo_db.cli import runs as cli_runs
from aximo_db.cli import worker as cli_worker
from aximo_db.cli.support import (
    AsJson,
    BatchSize,
    CursorName,
    Customer,
    CustomerOfLines,
    Db,
    Follow,
    Lines,
    Output,
    Panel,
    Program,
    Rejects,
    Start,
    ended,
    exporting,
    import_file,
    import_line,
    name_the_customer,
    needed_role,
    nobody_reads,
    patient_streams,
    print_log,
    print_refused,
    print_unnumbered,
    told,
)
from aximo_db.cli.support import err as _err
from aximo_db.cli.support import fail as _fail
from aximo_db.cli.support import out as _out
from aximo_db.cli.support import plain as _plain
from aximo_db.cli.support import print_json as _print_json
from aximo_db.cli.support import refusals as _refusals
from aximo_db.cli.support import row_of as _row_of
from aximo_db.client.connect import connect
from aximo_db.client.errors import AximoError, CustomerError, told_by
from aximo_db.client.events import Log, NewEvent
from aximo_db.client.statements import CHECK_LOG_NODES, SET_CUSTOMER, WHOSE, no_customer
from aximo_db.client.store import EventStore
from aximo_db.client.vocabulary import ACTORS, EVENT_TYPES
from aximo_db.dba.doctor import examine, expected_facts, fingerprint
from aximo_db.dba.verify_log import customers_of, prove_growth, prove_inclusion, verify_log
from aximo_db.dba.verify_metrics import recount_metrics, verify_metrics
from aximo_db.files import terminal
from aximo_db.files.source import UnreadableFileError, json_lines
from aximo_db.lines.exporter import export_log, number_new_events
from aximo_db.lines.importer import import_lines
from aximo_db.report.query import Grain, read_metrics
from aximo_db.report.terminal import print_metrics

if TYPE_CHECKING:
    from aximo_db.dba.migrate import SchemaState
    from aximo_db.local.ledger import LocalLedger

__all__ = ["app", "main"]

app = Program(name="aximo-db", help="The event ledger of an AI workforce, in plain PostgreSQL.")
app.add_typer(cli_runs.app, rich_help_panel=Panel.READ)
app.add_typer(cli_contract.app, rich_help_panel=Panel.OPERATE)

LogName = Annotated[
    Log, typer.Option("--log", help="Which of its logs: of events, or of the events of tool runs.", show_choices=True)
]
Data = Annotated[Path, typer.Option("--data", "-D", help="The data directory; made on the first start.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


@app.does(Panel.OPERATE)
def migrate(
    db: Db = None,
    sql: Annotated[bool, typer.Option("--sql", help="Print the script instead of running it.")] = False,
    start: Annotated[
        str | None, typer.Option("--from", metavar="REVISION", help="With --sql: the revision the database is at.")
    ] = None,
    status: Annotated[
        bool,
        typer.Option("--status", help="Change nothing: say what the database has. Exit code 1: not the newest."),
    ] = False,
    grant_installer: Annotated[bool, typer.Option(help="Let the installing login work for every customer.")] = True,
    as_json: AsJson = False,
) -> None:
    """Install the schema, or upgrade it to the newest version. Run as the owner of the database.

    What would keep it from being installed is looked for first, and told all at once. All is one transaction.
    """
    if sql and (status or as_json):
        _fail("a script is printed, and nothing else", hint="Leave out --status and --json.", code=2)
    if start is not None and not sql:
        _fail("the database knows its revision", hint="--from is for --sql.", code=2)
    from aximo_db.dba.migrate import migrate as run_migrations
    from aximo_db.dba.migrate import migration_script, schema_state

    if sql:
        # A revision that is none is a wrong option.
        with _refusals(code=2):
            typer.echo(migration_script(start), nl=False)
        return
    console = _err()
    with _refusals():
        if status:
            state = schema_state(db)
            if as_json:
                _print_json(_state_json(state))
            else:
                _out().print(render.schema_state(state))
            raise typer.Exit(0 if state.is_newest else 1)
        done = run_migrations(
            db,
            grant_installer=grant_installer,
            progress=None if as_json else lambda step: console.print(f"[dim]{_plain(step)}[/]"),
        )
    if as_json:
        before = {"revision_before": done.before.revision, "changed": done.changed, "seconds": round(done.seconds, 3)}
        _print_json({**_state_json(done.after), **before})
    else:
        console.print(render.migration(done))


def _state_json(state: SchemaState) -> dict[str, Any]:
    return {**_row_of(state), "is_newest": state.is_newest}


@app.does(Panel.TRY)
def up(
    data: Data = Path(".aximo"),
    port: Annotated[int | None, typer.Option(help="Also listen on this TCP port of 127.0.0.1, with passwords.")] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return, and leave the server running.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start the embedded PostgreSQL with the schema installed, print how to connect, and keep it running.

    If a server runs on the directory already, it says so, leaves that one alone and returns: exit code 0.
    """
    from aximo_db.local.ledger import LocalLedger

    console = _err()
    # Asked to end while it installs, it ends when that is done: the server is never left behind.
    end = _end_by_a_signal() if not detach else None
    with _refusals():
        ledger = LocalLedger(data, port=port)
        is_ours = ledger.start(None if as_json else lambda step: console.print(f"[dim]{_plain(step)}[/]"))
        server = ledger.server
        try:
            _print_ledger(ledger, is_running_already=not is_ours, as_json=as_json)
            if not is_ours or end is None:
                return
            if not as_json:
                console.print("[dim]Ctrl-C stops it.[/]")
            end.wait()
        finally:
            if is_ours and not detach:
                server.stop()
        if not as_json:
            console.print(f"The server on {_plain(str(server.data_dir))} was stopped.")


def _print_ledger(ledger: LocalLedger, *, is_running_already: bool, as_json: bool) -> None:
    server, dsns = ledger.server, ledger.dsns()
    if as_json:
        told = {"data": str(server.data_dir), "pid": server.pid, "already_running": is_running_already}
        _print_json({**told, **dsns})
        return
    console = _out()
    where = f"[bold]{_plain(str(server.data_dir))}[/]"
    if is_running_already:
        console.print(
            f'A server runs on {where} already, process {server.pid}. It is left alone; "aximo-db down" ends it.'
        )
    else:
        console.print(f"PostgreSQL runs on {where}, process {server.pid}")
    for name, dsn in dsns.items():
        console.print(f"  [bold]{name:11}[/] {_plain(dsn)}")
    psql = server.bin_dir / "psql"
    client = "psql" if shutil.which("psql") or not psql.exists() else shlex.quote(str(psql))
    console.print(f'  [dim]export AXIMO_DB_URL="{_plain(dsns["owner"])}"[/]')
    console.print(f'  [dim]{_plain(client)} "{_plain(dsns["owner"])}"[/]')


def _end_by_a_signal() -> threading.Event:
    """Set when somebody asks the program to end, by Ctrl-C, a service manager or a closed terminal."""
    end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: end.set())
    return end


@app.does(Panel.TRY)
def down(data: Data = Path(".aximo")) -> None:
    """Stop the embedded PostgreSQL that runs on a data directory. If none does, it says so: exit code 0."""
    from aximo_db.local.embedded import EmbeddedServer

    with _refusals():
        server = EmbeddedServer(data)
        pid = server.pid
        where = _plain(str(server.data_dir))
        if server.stop():
            _err().print(f"The server on {where} was stopped, process {pid}. Its data is kept.")
        else:
            _err().print(f"No server runs on {where}.")


@app.does(Panel.TRY)
def demo(
    data: Annotated[
        Path | None, typer.Option("--data", "-D", help="Keep the data directory here; else it is temporary.")
    ] = None,
) -> None:
    """Show the whole story on a recording of a real agent runtime: a few seconds."""
    from aximo_db.cli.demo import run_demo

    with _refusals():
        run_demo(_out(), data)


@app.does(Panel.WRITE, name="import", needs="aximo.emit_events")
def import_(
    file: Lines,
    db: Db = None,
    customer: CustomerOfLines = None,
    rejects: Rejects = None,
    batch_size: BatchSize = 1000,
    accept_violations: Annotated[
        bool,
        typer.Option(
            "--accept-violations",
            help="Take history as it was; what breaks a rule is listed in aximo.violations. For operators.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Import events from JSON lines of one or many customers. A second run adds nothing."""
    take = partial(import_lines, customer_id=customer, batch_size=batch_size, accept_violations=accept_violations)
    summary = import_file(take, file, db, rejects, as_json=as_json)
    if as_json:
        _print_json(summary.as_json())
    else:
        _out().print(import_line(summary))
        print_refused(summary, rejects)
    if summary.refused:
        raise typer.Exit(1)


@app.does(Panel.READ, needs="aximo.log_lines")
def export(
    db: Db = None,
    customer: Customer = None,
    log: LogName = "events",
    output: Output = None,
) -> None:
    """Write a customer's log as JSON lines: line n is entry n. "import" reads them elsewhere, "verify" checks them."""
    with _refusals(), exporting(output) as (target, progress):
        exported = export_log(db, target, customer_id=customer, log=log, progress=progress)
    console = _err()
    console.print(f"{exported.written:,} events exported")
    print_unnumbered(console, exported.unnumbered)


@app.does(Panel.WRITE, needs="aximo.emit_event")
def emit(
    event_type: Annotated[
        str | None, typer.Argument(help=f"One of {', '.join(EVENT_TYPES)}; left out: a whole event as JSON on stdin.")
    ] = None,
    deployment: Annotated[str | None, typer.Option(help="deployment_id")] = None,
    skill: Annotated[str | None, typer.Option(help="skill_id")] = None,
    skill_version: Annotated[str | None, typer.Option(help="skill_version")] = None,
    execution: Annotated[str | None, typer.Option(help="execution_id")] = None,
    actor: Annotated[str, typer.Option(help=f"One of {', '.join(ACTORS)}.")] = "operator",
    payload: Annotated[str, typer.Option(help="A JSON object.")] = "{}",
    error_code: Annotated[str | None, typer.Option(help="error_code")] = None,
    event_id: Annotated[str | None, typer.Option(help="A UUID; the same again writes nothing.")] = None,
    customer: Customer = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Write one event."""
    with _refusals(), EventStore(db, customer_id=customer) as store:
        try:
            if event_type is None:
                fields = json.loads(json_lines(sys.stdin.buffer).read())
            else:
                fields = {
                    "event_type": event_type,
                    "deployment_id": deployment,
                    "skill_id": skill,
                    "skill_version": skill_version,
                    "execution_id": execution,
                    "actor": actor,
                    "payload": json.loads(payload),
                    "error_code": error_code,
                    "event_id": event_id,
                }
        except (ValueError, RecursionError) as error:
            _fail(f"not JSON: {error}", hint=error.hint if isinstance(error, UnreadableFileError) else None, code=2)
        receipt = store.emit(NewEvent.of(fields))
    if as_json:
        _print_json(receipt._asdict())
    else:
        duplicate = "  (a duplicate)" if receipt.duplicate else ""
        _out().print(f"{receipt.event_id}  {terminal.moment(receipt.recorded_at)}{duplicate}")


@app.does(Panel.READ, needs="aximo.execution_trace")
def trace(
    execution: Annotated[str, typer.Argument(help="execution_id")],
    customer: Customer = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Show what happened in an execution: every event in order, its times, and who approved what."""
    with _refusals(), EventStore(db, customer_id=customer) as store:
        steps = store.trace(execution)
        approvals = store.approvals(execution_id=execution)
    if as_json:
        _print_json([_row_of(step) for step in steps])
    elif steps:
        _out().print(render.trace_tree(steps, approvals))
    if not steps:
        _fail("there is no such execution for this customer", hint=name_the_customer(customer))


@app.does(Panel.READ, needs="aximo.executions")
def executions(
    customer: Customer = None,
    status: Annotated[str | None, typer.Option(help="Only these: completed, failed, processing, …")] = None,
    deployment: Annotated[str | None, typer.Option(help="Only of this deployment.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """List executions and how they stand or ended."""
    with _refusals(), EventStore(db, customer_id=customer) as store:
        found = store.executions(status=status, deployment_id=deployment, limit=limit)
    if as_json:
        _print_json([_row_of(item) for item in found])
    else:
        _out().print(render.executions_table(found))


app.does(Panel.OPERATE, needs="aximo.advance_log")(cli_worker.worker)


@app.does(Panel.OPERATE, needs="aximo.advance_log")
def advance(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on, looking for new events.")] = False,
    every: Annotated[float, typer.Option(min=0.01, help="With --follow: seconds between two looks.")] = 1.0,
    max_events: Annotated[int, typer.Option(min=1, max=1_000_000, help="Events a transaction.")] = 10_000,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Number new events of all customers: feed, proofs and metrics speak of numbered events. For operators."""
    numbered = 0
    console = _err()
    with _refusals(), connect(db) as connection, contextlib.ExitStack() as stack:
        status = None
        if console.is_terminal and not as_json:
            status = stack.enter_context(console.status("numbering"))
        while True:
            row = connection.execute("select numbered, is_behind from aximo.advance_log(%s)", (max_events,)).fetchone()
            count, behind = row if row else (0, False)
            numbered += count
            if as_json and follow and count:
                _print_json({"numbered": count})
                if nobody_reads():
                    break
            if status is not None:
                status.update(f"numbering: {numbered:,} events")
            if behind:
                continue
            if not follow:
                break
            time.sleep(every)
    if as_json:
        _print_json({"numbered": numbered, "another_is_at_it": behind is None})
    else:
        console.print(f"{numbered:,} events numbered")
        if behind is None:
            console.print("[yellow]Another session is numbering; it numbers the rest.[/]")


@app.does(Panel.READ, needs="aximo.read_log")
def tail(
    follow: Follow = False,
    start: Start = None,
    name: CursorName = None,
    customer: Customer = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Show a customer's log by number: its end, or from a number or a cursor on."""
    print_log(
        db,
        customer,
        log=lambda store: store,
        shown=render.log_entry,
        start=start,
        name=name,
        follow=follow,
        as_json=as_json,
    )


app.does(Panel.READ, needs="aximo.read_log")(cli_otel.otel)


@app.does(Panel.PROVE)
def keygen(
    name: Annotated[str, typer.Argument(help="The key's name, as in audit.example.com: no blank, no plus.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The secret key's file; the other one is FILE.pub.")],
) -> None:
    """Make a key to sign checkpoints with, for outside of the database: Ed25519, in the form of C2SP signed notes."""
    try:
        verifier = write_key_pair(output, name)
    except FileExistsError as error:
        _fail(f"{error.filename}: exists already", hint="Keys are never overwritten.")
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}")
    except ValueError as error:
        _fail(str(error))
    typer.echo(verifier.encode())


@app.does(Panel.PROVE, needs="aximo.add_checkpoint")
def checkpoint(
    customer: Customer = None,
    log: LogName = "events",
    key: Annotated[Path | None, typer.Option("--key", help="Sign it with this secret key.")] = None,
    output: Output = None,
    keep: Annotated[bool, typer.Option(help="Also keep it in aximo.checkpoints.")] = True,
    db: Db = None,
) -> None:
    """State how long a customer's log is, and its root: to be kept elsewhere, by somebody else."""
    with _refusals(), exporting(output, inputs=[key]) as (target, _):
        with _log_of(db, customer) as connection:
            if key is not None:
                # Whoever signs, vouches: not for a root of hashes that do not follow from the entries.
                connection.execute(CHECK_LOG_NODES, (log,))
            row = connection.execute("select aximo.checkpoint_text(log => %s)", (log,)).fetchone()
            note: str | None = row[0] if row else None
            if note is None:
                whose = connection.execute(WHOSE).fetchone()
                raise no_customer(whose[1] if whose else ())
            if key is not None:
                try:
                    note = sign(note, read_secret_key(key))
                except ValueError as error:
                    _fail(f"{key}: {error}")
            if keep:
                connection.execute("select aximo.add_checkpoint(%s)", (note,))
        target.write(note)


@contextlib.contextmanager
def _log_of(db: str | None, customer: str | None) -> Iterator[psycopg.Connection[Any]]:
    """A connection in a transaction for a customer, after numbering what is new, if the login may."""
    with connect(db) as connection:
        number_new_events(connection)
        with connection.transaction():
            if customer is not None:
                connection.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
            yield connection


@app.does(Panel.PROVE, needs="aximo.log_lines")
def verify(
    customer: Customer = None,
    log: LogName = "events",
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option("--checkpoint", metavar="FILE", help="A checkpoint kept elsewhere; may come often."),
    ] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option("--key", metavar="FILE", help="A verifier key: checkpoints have to be signed by it."),
    ] = None,
    export: Annotated[
        Path | None, typer.Option("--export", help="Check this export instead, with no database.")
    ] = None,
    against: Annotated[Path | None, typer.Option("--against", help="With --export: an older export.")] = None,
    proof: Annotated[Path | None, typer.Option("--proof", help="Check this proof instead, with no database.")] = None,
    line: Annotated[Path | None, typer.Option("--line", help="With a proof of inclusion: the event's line.")] = None,
    mend: Annotated[
        bool, typer.Option("--mend", help="Number events that numbering passed over. For operators.")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Make rows of executions anew that are not what their events say. For operators."
        ),
    ] = False,
    in_flight: Annotated[
        float,
        typer.Option("--in-flight", min=0, help="How many hours a transaction may have been open, at most."),
    ] = 1,
    first: Annotated[
        int, typer.Option("--from", min=1, help="Begin with this entry: of those before, only the hashes are read.")
    ] = 1,
    last: Annotated[int | None, typer.Option("--to", min=1, help="End with this entry.")] = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Recompute logs and compare them with every checkpoint. Exit code 1 if something is not as it was.

    Without a customer: the logs of all that the login has, one after the other.
    """
    if last is not None and last < first:
        _fail("the last entry is not before the first one", hint="--to is at least --from.", code=2)
    checkpoints, keys = checkpoint or [], key or []
    with _refusals():
        if proof is not None:
            verdict = audit.check_proof(proof, line=line, old=checkpoints[0] if checkpoints else None, keys=keys)
        elif export is not None and against is not None:
            verdict = audit.compare(against, export)
        elif export is not None:
            if not checkpoints:
                _fail("an export is checked with a checkpoint", hint="Give --checkpoint, or --against.", code=2)
            with _counting("verifying", hidden=as_json) as show:
                verdict = audit.check_export(export, checkpoints, keys, progress=lambda done: show(done, None))
        else:
            _verify_database(
                db, customer, log, checkpoints, keys, as_json, mend=mend, repair=repair, first=first, last=last,
                in_flight=timedelta(hours=in_flight),
            )  # fmt: skip
            return
    if as_json:
        _print_json(verdict.as_json())
    else:
        console = _out()
        console.print("[green]It holds.[/]" if verdict.ok else "[bold red]It does not hold.[/]")
        for finding in verdict.findings:
            console.print(f"  {_plain(finding)}")
    if not verdict.ok:
        raise typer.Exit(1)


def _verify_database(
    db: str | None, customer: str | None, log: Log, checkpoints: list[Path], keys: list[Path], as_json: bool,
    *, mend: bool, repair: bool, first: int, last: int | None, in_flight: timedelta,
) -> None:  # fmt: skip
    try:
        verifiers = [read_verifier_key(path) for path in keys]
        notes = [path.read_bytes() for path in checkpoints]
        given = [audit.read_note(note, verifiers) for note in notes]
        signers_of = [signers(note, *verifiers) for note in notes]
    except ValueError as error:
        _fail(f"checkpoint: {error}")
    mended = 0
    with connect(db) as connection:
        if mend:
            row = connection.execute("select aximo.mend_log()").fetchone()
            mended = row[0] if row else 0
        number_new_events(connection)
        customers = _customers(connection, customer)
        used: set[str] = set()

        def one(name: str, show: Callable[[int, int | None], None]) -> tuple[bool, dict[str, Any], RenderableType]:
            repaired = 0
            with connection.transaction():
                connection.execute(SET_CUSTOMER, (name,))
                row = connection.execute("select aximo.log_origin(%s)", (log,)).fetchone()
                if repair:
                    done = connection.execute("select aximo.repair_executions()").fetchone()
                    repaired = done[0] if done else 0
            origin = row[0] if row else None
            # Of several logs each is compared with the checkpoints that name it.
            its = given if len(customers) == 1 else [each for each in given if each.origin == origin]
            signers = sorted(
                {name for each, names in zip(given, signers_of, strict=True) if each in its for name in names}
            )
            used.update(each.origin for each in its)
            at = first - 1

            def passed(number: int, total: int | None) -> None:
                nonlocal at
                at = max(at, number)
                show(number, total)

            try:
                found = verify_log(
                    db, customer_id=name, log=log, checkpoints=its, in_flight=in_flight, first=first, last=last,
                    progress=passed,
                )  # fmt: skip
            except KeyboardInterrupt:
                _err().print(f"{_plain(name)}: stopped after entry {at:,}. [dim]→ --from {at + 1} goes on.[/]")
                raise
            if found.origin is None:
                raise CustomerError(
                    "there is no such customer for this login",
                    rule="customer_granted",
                    hint="Name one that it was granted with --customer.",
                )
            return (
                found.ok,
                {
                    **found.as_json(),
                    "signed_by": signers,
                    **({"mended": mended} if mend else {}),
                    **({"repaired": repaired} if repair else {}),
                },
                Group(
                    render.log_verdict(found, signers),
                    *([f"The rows of {repaired:,} executions were made anew."] if repair else []),
                ),
            )

        is_fine = _each("verifying", customers, one, as_json=as_json)
    if mend and not as_json:
        _out().print(f"{mended:,} events that had been passed over were numbered.")
    for origin in sorted({each.origin for each in given} - used):
        is_fine = False
        _err().print(f"[bold red]error:[/] a checkpoint is of {_plain(origin)}, which is none of these logs")
    if not is_fine:
        raise typer.Exit(1)


def _customers(connection: psycopg.Connection[Any], named: str | None) -> list[str]:
    """Whom a job looks at: the customer that is named, else all that the login has."""
    found = [named] if named is not None else customers_of(connection)
    if not found:
        _fail("this login has no customer", hint="Have one granted with aximo.grant_customer.")
    return found


def _each(
    what: str,
    customers: list[str],
    one: Callable[[str, Callable[[int, int | None], None]], tuple[bool, dict[str, Any], RenderableType]],
    *,
    as_json: bool,
    counts: bool = True,
) -> bool:
    """Looks at one customer after the other, whatever becomes of the one before; False if anything was found.

    Args:
        what: what is done, for people.
        customers: whom.
        one: looks at a customer; says whether all is well, and what was found, for programs and for people.
        as_json: the option.
        counts: whether it says how far it is.
    """
    is_fine = True
    for place, name in enumerate(customers, 1):
        label = what if len(customers) == 1 else f"{what} {_plain(name)} ({place} of {len(customers)})"
        try:
            if counts:
                with _counting(label, hidden=as_json) as show:
                    is_one_fine, told, shown = one(name, show)
            else:
                with _at_work(label, hidden=as_json):
                    is_one_fine, told, shown = one(name, lambda *_: None)
        except (AximoError, psycopg.Error) as error:
            if len(customers) == 1:
                raise
            is_one_fine = False
            message = told_by(error) if isinstance(error, psycopg.Error) else error.message
            code = error.sqlstate
            told = {"ok": False, "error": message, "sqlstate": code}
            shown = f"[bold red]error:[/] {_plain(message)}" + (f" ({code})" if code else "")
            hint = needed_role(error) if isinstance(error, psycopg.Error) else error.hint
            if hint:
                shown += f"\n  [dim]→ {_plain(hint)}[/]"
        is_fine = is_fine and is_one_fine
        if as_json:
            _print_json({"customer_id": name, **told})
        else:
            if len(customers) > 1:
                _out().print(f"[bold]{_plain(name)}[/]")
            _out().print(shown)
        sys.stdout.flush()
    return is_fine


@contextlib.contextmanager
def _counting(what: str, *, hidden: bool) -> Iterator[Callable[[int, int | None], None]]:
    console = _err()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} entries"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=hidden or not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@app.does(Panel.PROVE, needs="aximo.log_leaves")
def prove(
    event_id: Annotated[
        str | None, typer.Argument(help="The event that is in the log: a UUID, of run_events a number.")
    ] = None,
    old: Annotated[int | None, typer.Option("--from", min=0, help="Prove instead that the log of this size …")] = None,
    new: Annotated[int | None, typer.Option("--to", min=0, help="… is the beginning of that of this size.")] = None,
    size: Annotated[
        int | None,
        typer.Option(min=1, help="The size of the log to prove it for; the latest checkpoint's if left out."),
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Sign the checkpoint in it with this secret key.")] = None,
    output: Output = None,
    customer: Customer = None,
    log: LogName = "events",
    db: Db = None,
) -> None:
    """Prove that an event is in the log, or that the log only grew; "verify --proof" checks it with no database."""
    if (event_id is None) == (old is None and new is None):
        _fail("prove an event, or growth from one size to another", hint="EVENT_ID, or --from and --to.", code=2)
    with _refusals(), exporting(output, inputs=[key]) as (target, _):
        with _log_of(db, customer) as connection:
            try:
                secret = read_secret_key(key) if key is not None else None
                if event_id is not None:
                    named = UUID(event_id) if log == "events" else int(event_id)
                    text = prove_inclusion(connection, named, size, secret, log=log)
                else:
                    text = prove_growth(connection, old or 0, new, secret, log=log)
            except ValueError as error:
                _fail(str(error))
        target.write(text)


@app.does(Panel.OPERATE, needs="aximo.refresh_metrics")
def refresh(
    everything: Annotated[
        bool | None, typer.Option("--everything", help="Also make anew what has not changed.", show_default=False)
    ] = None,
    recount: Annotated[
        bool, typer.Option("--recount", help="Count what the metrics have missed first; goes on where it was stopped.")
    ] = False,
    from_the_start: Annotated[
        bool, typer.Option("--from-the-start", help="Throw away what is counted, and count every event again.")
    ] = False,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Number, count and show new events in the metrics of all customers: from cron, for example. For operators."""
    recounted = None
    with _refusals():
        if recount or from_the_start:
            with _counting("counting", hidden=as_json) as show:
                recounted = recount_metrics(db, from_the_start=from_the_start, progress=show)
            everything = True
        with EventStore(db) as store, _at_work("refreshing", hidden=as_json):
            refreshed = store.refresh_metrics(everything)
    if as_json:
        _print_json(
            {
                "refreshed": [
                    {"view": r.view_name, "refreshed_at": r.refreshed_at, "seconds": r.took.total_seconds()}
                    for r in refreshed
                ],
                "another_is_at_it": not refreshed,
                **({} if recounted is None else {"recounted": recounted}),
            }
        )
        return
    console = _out()
    if recounted is not None:
        console.print(f"{recounted:,} events counted")
    if refreshed:
        seconds = sum(r.took.total_seconds() for r in refreshed)
        console.print(f"{len(refreshed)} materialized views made anew in {seconds:.2f} s")
    else:
        console.print("[yellow]Another session is counting or refreshing.[/]")


@app.does(Panel.READ, needs="aximo_metrics.execution_health")
def metrics(
    grain: Annotated[Grain, typer.Option(help="By hour, day or month.")] = "day",
    last: Annotated[int, typer.Option(min=1, help="So many of them, up to the latest event.")] = 14,
    customer: Customer = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Show a customer's metrics, as of the last refresh."""
    with _refusals(), _metrics_of(db, customer) as connection:
        if as_json:
            _print_json(read_metrics(connection, grain, last))
        else:
            print_metrics(connection, _out(), grain=grain, last=last)


@app.does(Panel.READ, needs="aximo_metrics.execution_health")
def report(
    output: Annotated[Path, typer.Option("--output", "-o", help="The file; overwritten if there is one.")],
    first: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], metavar="DAY", help="The first day, in UTC.")
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option("--to", formats=["%Y-%m-%d"], metavar="DAY", help="The last day; else the latest with an event."),
    ] = None,
    last: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="So many days (30d) or weeks (8w), up to --to, else up to yesterday."),
    ] = None,
    customer: Customer = None,
    db: Db = None,
) -> None:
    """Write a customer's metrics as one HTML page with charts, which needs nothing else to be looked at.

    Of the last 90 days with events, if no period is named; the period before stands beside it.
    """
    from aximo_db.report import write_report
    from aximo_db.report.values import PeriodError, period_asked

    now = datetime.now(UTC)
    days = [None if each is None else each.date() for each in (first, until)]
    try:
        period_asked(days[0], days[1], last, now.date())
        with _refusals(), exporting(output) as (target, _), _metrics_of(db, customer) as connection:
            write_report(connection, target, customer=customer, now=now, first=days[0], until=days[1], last=last)
    except PeriodError as error:
        raise typer.BadParameter(str(error)) from error
    _err().print(f"{output} written")


def _at_work(what: str, *, hidden: bool) -> contextlib.AbstractContextManager[object]:
    """Says that something is being done, where it can't be told how far it is."""
    console = _err()
    return console.status(what) if console.is_terminal and not hidden else contextlib.nullcontext()


@contextlib.contextmanager
def _metrics_of(db: str | None, customer: str | None) -> Iterator[psycopg.Connection[Any]]:
    """A connection in a transaction for a customer. What is new is for a refresh to count, which others may run."""
    with connect(db) as connection, connection.transaction():
        if customer is not None:
            connection.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
        yield connection


@app.does(Panel.PROVE, name="verify-metrics", needs="aximo.verify_metrics")
def verify_metrics_(customer: Customer = None, db: Db = None, as_json: AsJson = False) -> None:
    """Work out metrics from the events and compare. Exit code 1 if a number differs.

    Without a customer: the metrics of all that the login has, one after the other.
    """

    def one(name: str, _: object) -> tuple[bool, dict[str, Any], RenderableType]:
        verdict = verify_metrics(db, customer_id=name)
        told = {
            "ok": verdict.ok,
            "counts_up_to": verdict.counts_up_to,
            "log_size": verdict.log_size,
            "differences": [d._asdict() for d in verdict.differences],
        }
        return verdict.ok, told, render.metrics_verdict(verdict)

    with _refusals():
        with connect(db) as connection:
            customers = _customers(connection, customer)
        is_fine = _each("recomputing from every event", customers, one, as_json=as_json, counts=False)
    if not is_fine:
        raise typer.Exit(1)


@app.does(Panel.OPERATE, needs="helix.runs")
def doctor(
    customer: Annotated[
        list[str] | None, typer.Option("--customer", "-c", metavar="NAME", help="Also look at its open executions.")
    ] = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Look for what a DBA should worry about. Exit code 1 if a promise does not hold."""
    with _refusals():
        findings = examine(db, customers=customer or [])
    if as_json:
        _print_json(
            {
                "expected_fingerprint": fingerprint(expected_facts()),
                "findings": [finding.as_json() for finding in findings],
            }
        )
    else:
        _out().print(render.findings_table(findings))
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


def main() -> None:
    """The entry point of the script ``aximo-db``."""
    patient_streams()
    code = 0
    stopped: list[int] = []

    def stop(number: int, _: object) -> None:
        # As with Ctrl-C, statements are cancelled and files that are half written go.
        stopped.append(number)
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, stop)
    try:
        app()
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 0 if ending.code is None else 1
    except KeyboardInterrupt:
        code = 130
    except OSError as error:
        told(error)
        code = 1
    code = ended(code)
    sys.exit(128 + stopped[0] if stopped else code)
