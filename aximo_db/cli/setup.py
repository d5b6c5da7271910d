"""The commands ``aximo-db migrate``, ``up``, ``down`` and ``demo``: a schema to work with."""

from __future__ import annotations

import shlex
import shutil
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aximo_db.cli import render
from aximo_db.cli.support import (
    AsJson,
    Db,
    Panel,
    Program,
    err,
    fail,
    out,
    plain,
    print_json,
    refusals,
    row_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aximo_db.dba.migrate import SchemaState
    from aximo_db.dba.revisions import Revision
    from aximo_db.local.ledger import LocalLedger

__all__ = ["app"]

app = Program()

Data = Annotated[Path, typer.Option("--data", "-D", help="The data directory; made on the first start.")]


@app.does(Panel.OPERATE)
def migrate(
    db: Db = None,
    sql: Annotated[bool, typer.Option("--sql", help="Print the script instead of running it.")] = False,
    start: Annotated[
        str | None, typer.Option("--from", metavar="REVISION", help="With --sql: the revision the database is at.")
    ] = None,
    to: Annotated[
        str,
        typer.Option("--to", metavar="REVISION", help="Up to which revision, to stop before what old clients need."),
    ] = "head",
    status: Annotated[
        bool,
        typer.Option(
            "--status",
            "--check",
            help="Change nothing: say what the database has and what is to do. Exit code 1: not the newest.",
        ),
    ] = False,
    grant_installer: Annotated[bool, typer.Option(help="Let the installing login work for every customer.")] = True,
    ledger: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Make it a node of this ledger: all nodes of a fleet have its name."),
    ] = None,
    node: Annotated[
        int | None, typer.Option(min=0, max=1023, help="The node's own number; a ledger by itself is node 0.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Install the schema, or upgrade it to the newest version. Run as the owner of the database.

    What would keep it from being installed is looked for first, and told all at once. Then it says what it is going to
    do: which revisions, what they lock, which clients go on. Each revision of an upgrade is one transaction.
    """
    if sql and (status or as_json):
        fail("a script is printed, and nothing else", hint="Leave out --status and --json.", code=2)
    if status and to != "head":
        fail("it is said what is to do up to the newest revision", hint="Leave out --to.", code=2)
    if (ledger is not None or node is not None) and (sql or status):
        fail("a node is made by migrating", hint="Leave out --sql and --status, or --ledger and --node.", code=2)
    if start is not None and not sql:
        fail("the database knows its revision", hint="--from is for --sql.", code=2)
    from aximo_db.dba.migrate import check_revision, migration_script, planned, schema_state
    from aximo_db.dba.migrate import migrate as run_migrations

    # A revision that is none is a wrong option.
    with refusals(code=2):
        check_revision(None if to == "head" else to)
        if sql:
            typer.echo(migration_script(start, revision=to), nl=False)
            return
    console = err()
    with refusals():
        if status:
            state = schema_state(db)
            steps = planned(state)
            if as_json:
                print_json(_state_json(state, steps))
            else:
                out().print(render.schema_state(state, steps))
            raise typer.Exit(0 if state.is_newest else 1)
        done = run_migrations(
            db,
            revision=to,
            grant_installer=grant_installer,
            ledger=ledger,
            node=node,
            progress=None if as_json else lambda step: console.print(f"[dim]{plain(step)}[/]"),
        )
    if as_json:
        before = {"revision_before": done.before.revision, "changed": done.changed, "seconds": round(done.seconds, 3)}
        print_json({**_state_json(done.after, done.steps), **before})
    else:
        console.print(render.migration(done))


def _state_json(state: SchemaState, steps: Sequence[Revision]) -> dict[str, Any]:
    from aximo_db.dba.revisions import LONGEST_WAIT

    told = [
        {**row_of(each), "longest_wait_s": LONGEST_WAIT if each.locks or each.locks_from_writers else 0}
        for each in steps
    ]
    return {**row_of(state), "is_newest": state.is_newest, "steps": told}


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

    console = err()
    # A signal during the installation takes effect when that is done, so that no server is left behind.
    end = _end_by_a_signal() if not detach else None
    with refusals():
        ledger = LocalLedger(data, port=port)
        is_ours = ledger.start(None if as_json else lambda step: console.print(f"[dim]{plain(step)}[/]"))
        server = ledger.server
        pid = server.pid
        try:
            _print_ledger(ledger, is_running_already=not is_ours, as_json=as_json)
            if not is_ours or end is None:
                return
            if not as_json:
                console.print("[dim]Ctrl-C stops it.[/]")
            while not end.wait(1) and server.pid == pid:
                pass
        finally:
            # Another server may run there by now, which is somebody else's.
            was_stopped = is_ours and not detach and server.pid == pid and server.stop()
        if not as_json:
            by = "" if was_stopped else " by another command"
            console.print(f"The server on {plain(str(server.data_dir))} was stopped{by}.")


def _print_ledger(ledger: LocalLedger, *, is_running_already: bool, as_json: bool) -> None:
    server, dsns = ledger.server, ledger.dsns()
    if as_json:
        told = {"data": str(server.data_dir), "pid": server.pid, "already_running": is_running_already}
        print_json({**told, **dsns})
        return
    console = out()
    where = f"[bold]{plain(str(server.data_dir))}[/]"
    if is_running_already:
        console.print(
            f'A server runs on {where} already, process {server.pid}. It is left alone; "aximo-db down" ends it.'
        )
    else:
        console.print(f"PostgreSQL runs on {where}, process {server.pid}")
    for name, dsn in dsns.items():
        console.print(f"  [bold]{name:11}[/] {plain(dsn)}")
    psql = server.bin_dir / "psql"
    client = "psql" if shutil.which("psql") or not psql.exists() else shlex.quote(str(psql))
    console.print(f'  [dim]export AXIMO_DB_URL="{plain(dsns["owner"])}"[/]')
    console.print(f'  [dim]{plain(client)} "{plain(dsns["owner"])}"[/]')


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

    with refusals():
        server = EmbeddedServer(data)
        pid = server.pid
        where = plain(str(server.data_dir))
        if server.stop():
            err().print(f"The server on {where} was stopped, process {pid}. Its data is kept.")
        else:
            err().print(f"No server runs on {where}.")


@app.does(Panel.TRY)
def demo(
    data: Annotated[
        Path | None, typer.Option("--data", "-D", help="Keep the data directory here; else it is temporary.")
    ] = None,
) -> None:
    """Show the whole story on a recording of a real agent runtime: a few seconds."""
    from aximo_db.cli.demo import run_demo

    with refusals():
        run_demo(out(), data)
