"""The commands ``aximo-db metrics`` and ``report``: a customer's metrics, on a terminal and as a page."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from aximo_db.cli.support import (
    AsJson,
    Customer,
    Db,
    Panel,
    Program,
    customers_transaction,
    err,
    exporting,
    out,
    print_json,
    refusals,
)
from aximo_db.report.query import Grain, read_metrics
from aximo_db.report.terminal import print_metrics

__all__ = ["app"]

app = Program()


@app.does(Panel.READ, needs="aximo_metrics.execution_health")
def metrics(
    grain: Annotated[Grain, typer.Option(help="By hour, day or month.")] = "day",
    last: Annotated[int, typer.Option(min=1, help="So many of them, up to the latest event.")] = 14,
    customer: Customer = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Show a customer's metrics, as of the last refresh."""
    with refusals(), customers_transaction(db, customer) as connection:
        if as_json:
            print_json(read_metrics(connection, grain, last))
        else:
            print_metrics(connection, out(), grain=grain, last=last)


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
        with refusals(), exporting(output) as (target, _), customers_transaction(db, customer) as connection:
            write_report(connection, target, customer=customer, now=now, first=days[0], until=days[1], last=last)
    except PeriodError as error:
        raise typer.BadParameter(str(error)) from error
    err().print(f"{output} written")
