"""The commands ``aximo-db runs list``, ``show``, ``tail``, ``import`` and ``export``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal

import typer

from aximo_db.cli import render
from aximo_db.cli.support import (
    AsJson,
    Batch,
    BatchSize,
    CursorName,
    Customer,
    CustomerOfLines,
    Db,
    Follow,
    KeepExtensions,
    Lines,
    Output,
    Program,
    Rejects,
    Start,
    TailFormat,
    TypePrefix,
    cloudevents_options,
    err,
    exporting,
    fail,
    import_file,
    import_line,
    name_the_customer,
    out,
    print_cloudevents,
    print_json,
    print_log,
    print_refused,
    print_unnumbered,
    refusals,
    row_of,
)
from aximo_db.client.store import EventStore
from aximo_db.lines.exporter import Exported, export_log
from aximo_db.lines.importer import ImportSummary
from aximo_db.lines.run_files import export_run_log, export_runs, import_run_log, import_runs

__all__ = ["app"]

app = Program(name="runs", help="Tool runs and their events (HelixMCP Events v1).")

RunId = Annotated[str, typer.Argument(metavar="RUN", help="run_id")]
Shape = Literal["row", "log", "run"]
Format = Annotated[
    Literal["jsonl", "cloudevents"],
    typer.Option("--format", help="Lines as exported, or, of the log of run events, CloudEvents 1.0."),
]


@app.does(name="list", needs="helix.runs")
def list_(
    customer: Customer = None,
    status: Annotated[str | None, typer.Option(help="Only these: queued, running, succeeded, failed, blocked.")] = None,
    tool: Annotated[str | None, typer.Option(help="Only of this tool.")] = None,
    project: Annotated[str | None, typer.Option(help="Only of this project.")] = None,
    execution: Annotated[str | None, typer.Option(help="Only those that served this execution.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Only those made from this moment on, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Only those made before this moment, UTC.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """List tool runs and how they stand or ended, the newest first."""
    with refusals(), EventStore(db, customer_id=customer) as store:
        found = store.runs.list(
            status=status,
            tool_name=tool,
            project_id=project,
            execution_id=execution,
            since=since,
            until=until,
            limit=limit,
        )
    if as_json:
        print_json([row_of(run) for run in found])
    else:
        out().print(render.runs_table(found))


@app.does(needs="helix.run_events")
def show(run: RunId, customer: Customer = None, db: Db = None, as_json: AsJson = False) -> None:
    """Show a tool run: its state, its times, and its events in order."""
    with refusals(), EventStore(db, customer_id=customer) as store:
        found = store.runs.get(run)
        events = store.runs.events(run)
    if found is None:
        fail("there is no such run for this customer", hint=name_the_customer(customer))
    if as_json:
        print_json({"run": row_of(found), "events": [row_of(event) for event in events]})
    else:
        out().print(render.run_tree(found, events))


@app.does(needs="helix.read_log")
def tail(
    follow: Follow = False,
    start: Start = None,
    name: CursorName = None,
    format_: TailFormat = "text",
    batch: Batch = False,
    type_prefix: TypePrefix = None,
    customer: Customer = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Show a customer's log of run events by number: its end, or from a number or a cursor on."""
    if format_ == "cloudevents":
        print_cloudevents(
            db, customer, log="run_events", start=start, name=name, follow=follow, as_json=as_json, batch=batch,
            type_prefix=type_prefix,
        )  # fmt: skip
        return
    cloudevents_options(False, type_prefix, batch=batch)
    print_log(
        db,
        customer,
        log=lambda store: store.runs,
        shown=render.run_log_entry,
        start=start,
        name=name,
        follow=follow,
        as_json=as_json,
    )


@app.does(name="import", needs="helix.import_runs")
def import_(
    file: Lines,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN", help="It is the log of this run: added, or compared if there are events."),
    ] = None,
    rejects: Rejects = None,
    create_runs: Annotated[
        bool, typer.Option("--create-runs/--no-create-runs", help="Make runs that do not exist for their events.")
    ] = True,
    add_missing: Annotated[
        bool, typer.Option("--add-missing", help="With --run: add the lines that are missing here.")
    ] = False,
    format_: Format = "jsonl",
    batch: Batch = False,
    type_prefix: TypePrefix = None,
    keep_extensions: KeepExtensions = False,
    batch_size: BatchSize = 1000,
    customer: CustomerOfLines = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Import runs and run events from JSON lines, or compare a run's log with its events. A second run adds nothing.

    With --run, exit code 1 says that something in the log is missing here.
    """
    if add_missing and run is None:
        fail("only of a run's log it is known what is missing", hint="Give --run.", code=2)
    is_cloudevents = format_ == "cloudevents"
    if is_cloudevents and run is not None:
        fail("a log artifact is no file of CloudEvents", hint="Leave out --run: each CloudEvent names its run.", code=2)
    further = cloudevents_options(is_cloudevents, type_prefix, batch=batch, keep_extensions=keep_extensions)
    summary: ImportSummary
    told: Any = None
    missing = False
    options: dict[str, Any] = {"customer_id": customer, "batch_size": batch_size, "create_runs": create_runs}
    if run is None:
        take_all: Callable[..., ImportSummary] = import_runs
        if is_cloudevents:
            from aximo_db.lines.cloudevents import import_cloudevents

            take_all = partial(import_cloudevents, log="run_events", **further)
        summary = import_file(partial(take_all, **options), file, db, rejects, as_json=as_json)
    else:
        take = partial(import_run_log, run_id=run, add_missing=add_missing, **options)
        summary = compared = import_file(take, file, db, rejects, as_json=as_json, before="Nothing was added.")
        told, missing = render.run_log_differences(compared), not compared.is_complete
    if as_json:
        print_json(summary.as_json())
    else:
        out().print(import_line(summary, "lines"))
        if told is not None:
            out().print(told)
        print_refused(summary, rejects)
    if summary.refused or missing:
        raise typer.Exit(1)


@app.does(needs="helix.runs")
def export(
    shape: Annotated[
        Shape,
        typer.Option(help="The log of run events, line n is entry n; or one run's log; or the runs themselves."),
    ] = "row",
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="Only this run: for log and run.")] = None,
    format_: Format = "jsonl",
    batch: Batch = False,
    type_prefix: TypePrefix = None,
    output: Output = None,
    customer: Customer = None,
    db: Db = None,
) -> None:
    """Write a customer's runs or their events as JSON lines. "runs import" reads them elsewhere."""
    if shape == "row" and run is not None:
        fail("a log is exported whole: line n is entry n", hint="Use --shape log for the events of a run.", code=2)
    if shape == "log" and run is None:
        fail("a log artifact is of one run", hint="Give --run.", code=2)
    is_cloudevents = format_ == "cloudevents"
    if is_cloudevents and shape != "row":
        fail("CloudEvents are the log of run events", hint="Leave out --shape and --run.", code=2)
    further = cloudevents_options(is_cloudevents, type_prefix, batch=batch)
    unnumbered = 0
    with refusals(), exporting(output, "lines") as (target, progress):
        if shape == "row":
            write: Callable[..., Exported] = export_log
            if is_cloudevents:
                from aximo_db.lines.cloudevents import export_cloudevents

                write = partial(export_cloudevents, **further)
            exported = write(db, target, customer_id=customer, log="run_events", progress=progress)
            written, unnumbered = exported.written, exported.unnumbered
        elif shape == "log" and run is not None:
            written = export_run_log(db, target, run, customer_id=customer, progress=progress)
        else:
            written = export_runs(db, target, customer_id=customer, run_id=run, progress=progress)
    err().print(f"{written:,} {'runs' if shape == 'run' else 'run events'} exported")
    print_unnumbered(err(), unnumbered)
