"""The command line: ``aximo-db``, also ``python -m aximo_db``. Each group of commands is a module beside this one.

Exit codes: 0 done, 1 refused or something found, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from aximo_db import __version__
from aximo_db.cli import contract, erase, events, federate, metrics, move, operate, otel, prove, publish, runs, setup
from aximo_db.cli.support import Panel, Program, ended, patient_streams, told

__all__ = ["app", "main"]

app = Program(name="aximo-db", help="The event ledger of an AI workforce, in plain PostgreSQL.")
app.add_typer(runs.app, rich_help_panel=Panel.READ)
app.add_typer(contract.app, rich_help_panel=Panel.OPERATE)
app.add_typer(erase.vault_app, rich_help_panel=Panel.OPERATE)
# The help shows the commands of a panel in this order.
for _part in (setup, events, metrics, otel, operate, move, federate, erase, prove, publish):
    app.registered_commands += _part.app.registered_commands


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


def main() -> None:
    """The entry point of the script ``aximo-db``."""
    patient_streams()
    code = 0
    stopped: list[int] = []

    def stop(number: int, _: object) -> None:
        # It acts like Ctrl-C: statements are cancelled, and half-written files are removed.
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
