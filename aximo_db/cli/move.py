"""The command ``aximo-db move``: a customer goes to another node of the fleet."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from aximo_db.cli import render
from aximo_db.cli.support import (
    AsJson,
    Panel,
    Program,
    at_work,
    dsn_option,
    err,
    fail,
    out,
    plain,
    print_json,
    refusals,
)

if TYPE_CHECKING:
    from aximo_db.dba.bouncer import Bouncer

__all__ = ["app"]

app = Program()


@app.does(Panel.OPERATE)
def move(
    customer: Annotated[str, typer.Argument(help="Who moves.")],
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="DSN",
            callback=dsn_option("--from"),
            help="The node that the customer is on, as a login that moves customers.",
        ),
    ],
    target: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="DSN",
            callback=dsn_option("--to"),
            help="The node that it goes to, as a login that moves customers; before PostgreSQL 16 a superuser.",
        ),
    ],
    source_for_server: Annotated[
        str | None,
        typer.Option(
            "--from-for-server",
            metavar="DSN",
            callback=dsn_option("--from-for-server"),
            help="How the target's server reaches the source, with user and password; else as --from says.",
        ),
    ] = None,
    give_up: Annotated[
        bool, typer.Option("--abandon", help="Give a move up: the customer stays where it is. Not after it has left.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds for which nobody may be able to write for the customer, at most.")
    ] = 60.0,
    pgbouncer: Annotated[
        str | None,
        typer.Option(
            metavar="DSN",
            callback=dsn_option("--pgbouncer"),
            help="The console of a PgBouncer whose clients wait meanwhile.",
        ),
    ] = None,
    pgbouncer_database: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --pgbouncer: the database name of the customer's clients.")
    ] = None,
    on_switch: Annotated[
        str | None,
        typer.Option(metavar="COMMAND", help="With --pgbouncer: makes that name lead to the target. Then it reloads."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Move a customer to another node of the fleet while it writes. Stopped or killed, it goes on when it is run again.

    Rows are copied first; only then nobody can write for the customer, for about as long as both nodes are compared.
    """
    if (pgbouncer is None) != (pgbouncer_database is None) or (on_switch is not None and pgbouncer is None):
        fail(
            "PgBouncer's clients wait by a name", hint="Give --pgbouncer and --pgbouncer-database, or neither.", code=2
        )
    from aximo_db.dba.bouncer import Bouncer
    from aximo_db.dba.move import abandon
    from aximo_db.dba.move import move as move_customer

    bouncer: Bouncer | None = None
    if pgbouncer is not None and pgbouncer_database is not None:
        bouncer = Bouncer(pgbouncer, pgbouncer_database, on_switch, timeout)
    with refusals(), _progress(hidden=as_json) as progress:
        if give_up:
            report = abandon(customer, source, target, timeout=timeout, bouncer=bouncer, progress=progress)
        else:
            report = move_customer(
                customer,
                source,
                target,
                source_for_server=source_for_server,
                timeout=timeout,
                bouncer=bouncer,
                progress=progress,
            )
    if as_json:
        print_json(report.as_json())
        return
    out().print(render.abandoned(report) if give_up else render.moved(report))


@contextlib.contextmanager
def _progress(*, hidden: bool) -> Iterator[Callable[[str, str], object]]:
    """Says each step once, and how far it is; warnings before the first step that changes anything."""
    console = err()
    with at_work("moving", hidden=hidden) as status:

        def say(step: str, detail: str) -> None:
            if hidden:
                return
            if step == "warning":
                console.print(f"[yellow]{plain(detail)}[/]")
            elif update := getattr(status, "update", None):
                update(plain(f"{step}: {detail}" if detail else step))
            elif not detail:
                console.print(f"[dim]{plain(step)}[/]")

        yield say
