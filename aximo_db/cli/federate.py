"""The command ``aximo-db federate``: one place to read the metrics of all nodes."""

from __future__ import annotations

from typing import Annotated

import typer

from aximo_db.cli.support import Panel, Program, fail, refusals

__all__ = ["app"]

app = Program()


@app.does(Panel.OPERATE)
def federate(
    node: Annotated[
        list[str],
        typer.Option(
            "--node", metavar="NUMBER=DSN", help="A node, as the database that reads reaches it; once for each."
        ),
    ],
    login: Annotated[
        list[str],
        typer.Option("--login", metavar="NAME", help="A BI login, of that name here and on every node; once for each."),
    ],
) -> None:
    """Print SQL that shows the metrics of all nodes of a fleet in one database. For psql, with postgres_fdw.

    A login sees its customer wherever it is. Passwords are taken from the environment when the script runs.
    """
    from aximo_db.fleet.federate import federation_script

    nodes: dict[int, str] = {}
    for each in node:
        number, separator, dsn = each.partition("=")
        if not separator or not number.isascii() or not number.isdigit() or int(number) in nodes:
            fail(
                "a node is named once, with a number and a connection string",
                hint="--node 0=postgresql://HOST/DATABASE",
                code=2,
            )
        nodes[int(number)] = dsn
    with refusals(2):
        typer.echo(federation_script(nodes, login), nl=False)
