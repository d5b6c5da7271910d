"""The commands ``aximo-db worker``, ``advance``, ``refresh`` and ``doctor``: an operator's duties."""

from __future__ import annotations

import contextlib
import time
from typing import Annotated

import typer

from aximo_db.cli import render
from aximo_db.cli import worker as cli_worker
from aximo_db.cli.support import (
    AsJson,
    Db,
    Panel,
    Program,
    at_work,
    counting,
    err,
    nobody_reads,
    out,
    print_json,
    refusals,
)
from aximo_db.client.connect import connect
from aximo_db.client.store import EventStore
from aximo_db.dba.catalog import expected_facts, fingerprint
from aximo_db.dba.doctor import examine
from aximo_db.dba.verify_metrics import recount_metrics

__all__ = ["app"]

app = Program()


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
    console = err()
    with refusals(), connect(db) as connection, contextlib.ExitStack() as stack:
        status = None
        if console.is_terminal and not as_json:
            status = stack.enter_context(console.status("numbering"))
        while True:
            row = connection.execute("select numbered, is_behind from aximo.advance_log(%s)", (max_events,)).fetchone()
            count, behind = row if row else (0, False)
            numbered += count
            if as_json and follow and count:
                print_json({"numbered": count})
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
        print_json({"numbered": numbered, "another_is_at_it": behind is None})
    else:
        console.print(f"{numbered:,} events numbered")
        if behind is None:
            console.print("[yellow]Another session is numbering; it numbers the rest.[/]")


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
    with refusals():
        if recount or from_the_start:
            with counting("counting", hidden=as_json) as show:
                recounted = recount_metrics(db, from_the_start=from_the_start, progress=show)
            everything = True
        with EventStore(db) as store, at_work("refreshing", hidden=as_json):
            refreshed = store.refresh_metrics(everything)
    if as_json:
        print_json(
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
    console = out()
    if recounted is not None:
        console.print(f"{recounted:,} events counted")
    if refreshed:
        seconds = sum(r.took.total_seconds() for r in refreshed)
        console.print(f"{len(refreshed)} materialized views made anew in {seconds:.2f} s")
    else:
        console.print("[yellow]Another session is counting or refreshing.[/]")


@app.does(Panel.OPERATE, needs="helix.runs")
def doctor(
    customer: Annotated[
        list[str] | None, typer.Option("--customer", "-c", metavar="NAME", help="Also look at its open executions.")
    ] = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Look for what a DBA should worry about. Exit code 1 if a promise does not hold."""
    with refusals():
        findings = examine(db, customers=customer or [])
    if as_json:
        print_json(
            {
                "expected_fingerprint": fingerprint(expected_facts()),
                "findings": [finding.as_json() for finding in findings],
            }
        )
    else:
        out().print(render.findings_table(findings))
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)
