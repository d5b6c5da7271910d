"""The command ``aximo-db publish``, and the options that it shares with the worker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer

from aximo_db.audit.note import read_secret_key
from aximo_db.cli.support import (
    AsJson,
    Customer,
    Db,
    Panel,
    Program,
    at_work,
    err,
    fail,
    needed_role,
    out,
    plain,
    print_json,
    refusals,
)
from aximo_db.client.connect import connect
from aximo_db.client.errors import AximoError, told_by
from aximo_db.client.events import Log
from aximo_db.dba.countersign import Witness, check_address
from aximo_db.dba.publish import LOGS, Published, Publishing, publish_log
from aximo_db.dba.verify_log import customers_of
from aximo_db.lines.exporter import number_new_events

__all__ = ["EntriesToo", "TimeStampAuthority", "WitnessNames", "app", "publishing"]

app = Program()

EntriesToo = Annotated[
    bool, typer.Option("--entries", help="Publish the lines of the entries, too: they are the customer's data.")
]
TimeStampAuthority = Annotated[
    str | None, typer.Option("--tsa", metavar="URL", help="Have each checkpoint stamped there (RFC 3161).")
]
WitnessNames = Annotated[
    list[str] | None,
    typer.Option("--witness", metavar="URL,VKEY", help="Have it cosigned there (C2SP tlog-witness); may come often."),
]


def publishing(
    folder: Path,
    keys: Sequence[Path],
    *,
    entries: bool,
    tsa: str | None,
    witnesses: Sequence[str],
    fork: str | None = None,
) -> Publishing:
    """How logs are published, of the options; ends the command if one of them can't be used."""
    if fork is not None and not fork.strip():
        fail(
            "--fork has no reason", hint="Say why the log is another one: who reads the folder finds it there.", code=2
        )
    secrets = []
    for path in keys:
        try:
            secrets.append(read_secret_key(path))
        except ValueError as error:
            fail(f"{path}: {error}")
        except OSError as error:
            fail(f"{path}: {error.strerror}")
    try:
        if tsa is not None:
            check_address(tsa)
        asked = [Witness.of(each) for each in witnesses]
    except ValueError as error:
        fail(str(error), hint="--tsa is an address; --witness is an address, a comma and a verifier key.", code=2)
    return Publishing(folder, secrets, entries, tsa, asked, fork)


@app.does(Panel.PROVE, needs="aximo.log_tile")
def publish(
    folder: Annotated[Path, typer.Argument(help="Where to: a folder for each log is made in it.")],
    key: Annotated[
        list[Path], typer.Option("--key", metavar="FILE", help="Sign with this secret key; may come often.")
    ],
    customer: Customer = None,
    log: Annotated[
        Log | None, typer.Option("--log", help="Only this log; both, if left out.", show_choices=True)
    ] = None,
    entries: EntriesToo = False,
    tsa: TimeStampAuthority = None,
    witness: WitnessNames = None,
    fork: Annotated[
        str | None,
        typer.Option(
            metavar="REASON", help="If the log is another one than what was published, keep that, and begin anew."
        ),
    ] = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Write the log's tiles and a signed checkpoint into a folder that any web server can serve.

    Without a customer: the logs of all that the login has. "verify --published" checks such a folder with no database.
    """
    is_fine = True
    with refusals():
        how = publishing(folder, key, entries=entries, tsa=tsa, witnesses=witness or (), fork=fork)
        with connect(db) as connection:
            number_new_events(connection)
            customers = [customer] if customer is not None else customers_of(connection)
            if not customers:
                fail("this login has no customer", hint="Have one granted with aximo.grant_customer.")
            wanted = [(name, each) for name in customers for each in (LOGS if log is None else (log,))]
            for name, each in wanted:
                with at_work(f"publishing {plain(name)}", hidden=as_json):
                    is_fine = _one(connection, how, name, each, as_json=as_json, is_only=len(wanted) == 1) and is_fine
    if not is_fine:
        raise typer.Exit(1)


def _one(
    connection: psycopg.Connection[Any], how: Publishing, name: str, log: Log, *, as_json: bool, is_only: bool
) -> bool:
    """Publishes a log, and says so; False if it was refused and there are others."""
    told: dict[str, Any] = {"customer_id": name, "log": log}
    try:
        done = publish_log(connection, how, name, log)
    except (AximoError, psycopg.Error) as error:
        if is_only:
            raise
        message = told_by(error) if isinstance(error, psycopg.Error) else error.message
        rule = None if isinstance(error, psycopg.Error) else error.rule
        hint = needed_role(error) if isinstance(error, psycopg.Error) else error.hint
        if as_json:
            print_json({**told, "ok": False, "error": message, "sqlstate": error.sqlstate, "rule": rule})
        code = " ".join(each for each in (error.sqlstate, rule) if each)
        err().print(f"[bold red]error:[/] {plain(name)}, {log}: {plain(message)} ({code})")
        if hint:
            err().print(f"  [dim]→ {plain(hint)}[/]")
        return False
    if done is None:
        if is_only:
            err().print(f"{plain(name)}, {log}: there are no entries yet")
        return True
    if as_json:
        print_json({**told, "ok": True, **done.as_json()})
    else:
        _show(name, log, done)
    for warning in done.warnings:
        err().print(f"[yellow]{plain(name)}, {log}: {plain(warning)}[/]")
    if done.omitted:
        numbers = ", ".join(str(each) for each in done.omitted[:20])
        more = f" and {len(done.omitted) - 20:,} more" if len(done.omitted) > 20 else ""
        err().print(
            f"[yellow]{plain(name)}, {log}: too long for a bundle, which is left out with its other entries:"
            f" entries {numbers}{more}[/]"
        )
    return True


def _show(name: str, log: Log, done: Published) -> None:
    console = out()
    grown = f"{done.size:,} entries" if done.size == done.was else f"{done.size:,} entries, {done.was:,} before"
    console.print(f"[bold]{plain(name)}[/], {log}: {grown}")
    console.print(f"  {plain(str(done.folder))}")
    if done.forked is not None:
        console.print(f"  what was published before is in {done.forked}")
    if done.cosigned_by:
        console.print(f"  cosigned by {plain(', '.join(done.cosigned_by))}")
    if done.stamped:
        console.print(f"  {done.stamped:,} time stamps")
