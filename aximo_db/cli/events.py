"""The commands ``aximo-db import``, ``export``, ``emit``, ``trace``, ``executions`` and ``tail``: events in and out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from aximo_db.audit.note import read_secret_key
from aximo_db.cli import chunk_files, render
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
    LogName,
    Output,
    Panel,
    Program,
    Rejects,
    Start,
    TailFormat,
    TypePrefix,
    VaultDb,
    cloudevents_options,
    counting,
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
from aximo_db.client.connect import connect
from aximo_db.client.events import Log, NewEvent
from aximo_db.client.store import EventStore
from aximo_db.client.vocabulary import ACTORS, EVENT_TYPES
from aximo_db.dba.chunks import WIDTH, export_chunks
from aximo_db.files import terminal
from aximo_db.files.source import UnreadableFileError, json_lines
from aximo_db.lines.exporter import Exported, export_log, number_new_events
from aximo_db.lines.importer import ImportSummary, import_lines

__all__ = ["app"]

app = Program()


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
    format_: Annotated[
        Literal["jsonl", "cloudevents"], typer.Option("--format", help="Lines as exported, or CloudEvents 1.0.")
    ] = "jsonl",
    batch: Batch = False,
    type_prefix: TypePrefix = None,
    keep_extensions: KeepExtensions = False,
    seal: Annotated[
        list[str] | None,
        typer.Option(
            "--seal",
            metavar="FIELD=SUBJECT",
            help="Seal this field of payloads, for the subject in that field beside it; may come often.",
        ),
    ] = None,
    vault: VaultDb = None,
    as_json: AsJson = False,
) -> None:
    """Import events from JSON lines of one or many customers. A second run adds nothing."""
    fields = _sealed_fields(seal or [], vault)
    is_cloudevents = format_ == "cloudevents"
    options = cloudevents_options(is_cloudevents, type_prefix, batch=batch, keep_extensions=keep_extensions)
    take: Callable[..., ImportSummary] = import_lines
    if is_cloudevents:
        from aximo_db.lines.cloudevents import import_cloudevents as take
    take = partial(take, customer_id=customer, batch_size=batch_size, accept_violations=accept_violations, **options)
    given: Any = None
    if Path(file).is_dir():
        if is_cloudevents:
            fail("files of many entries are JSON lines", hint="Leave out --format.", code=2)
        given = chunk_files.opened(Path(file), db)
        take = partial(take, split=given.split)

    def sealing(stack: ExitStack) -> dict[str, Any]:
        from aximo_db.vault.postgres import PostgresVault

        return {"vault": stack.enter_context(PostgresVault(vault)), "seal": fields}

    summary = import_file(take, file, db, rejects, as_json=as_json, opened=given, sealing=sealing if fields else None)
    if as_json:
        print_json(summary.as_json())
    else:
        out().print(import_line(summary))
        print_refused(summary, rejects)
    if summary.refused:
        raise typer.Exit(1)


def _sealed_fields(given: list[str], vault: str | None) -> dict[str, str]:
    """The fields to be sealed, each with the one that names its subject."""
    fields = {}
    for each in given:
        name, _, subject = each.partition("=")
        if not name or not subject:
            fail(f"--seal: {each} names no subject", hint="Write FIELD=SUBJECT, as in email=person_id.", code=2)
        fields[name] = subject
    if vault is not None and not fields:
        fail("there is nothing to seal", hint="--vault goes with --seal.", code=2)
    return fields


@app.does(Panel.READ, needs="aximo.log_lines")
def export(
    db: Db = None,
    customer: Customer = None,
    log: LogName = "events",
    format_: Annotated[
        Literal["jsonl", "cloudevents", "ocel-json", "ocel-sqlite"],
        typer.Option("--format", help="Lines that are proved; CloudEvents 1.0; or, for process mining, OCEL 2.0."),
    ] = "jsonl",
    batch: Batch = False,
    type_prefix: TypePrefix = None,
    output: Output = None,
    chunks: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write files of many entries each there, with a manifest; again: go on."),
    ] = None,
    chunk_entries: Annotated[
        int | None, typer.Option(metavar="N", help="With --chunks: entries of a file, a multiple of 256; 65,536.")
    ] = None,
    first: Annotated[
        int | None, typer.Option("--from", metavar="N", help="With --chunks: begin with this entry: 1, 257, 513 …")
    ] = None,
    last: Annotated[
        int | None, typer.Option("--to", metavar="N", help="With --chunks: end with this one, a multiple of 256.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="With --chunks: sign the manifest's checkpoint.")
    ] = None,
) -> None:
    """Write a customer's log as JSON lines: line n is entry n. "import" reads them elsewhere, "verify" checks them."""
    if chunks is not None:
        if format_ != "jsonl" or output is not None or batch or type_prefix is not None:
            fail("files of many entries are JSON lines, in a folder", hint="Leave out --format and -o.", code=2)
        _export_chunks(db, chunks, customer, log, width=chunk_entries, first=first, last=last, key=key)
        return
    if (chunk_entries, first, last, key) != (None, None, None, None):
        fail("these options are for files of many entries", hint="Name their folder with --chunks.", code=2)
    is_cloudevents = format_ == "cloudevents"
    options = cloudevents_options(is_cloudevents, type_prefix, batch=batch)
    write: Callable[..., Exported] = partial(export_log, log=log)
    if is_cloudevents:
        from aximo_db.lines.cloudevents import export_cloudevents

        write = partial(export_cloudevents, log=log, **options)
    elif format_ in ("ocel-json", "ocel-sqlite"):
        from aximo_db.lines.ocel import export_ocel

        if log != "events":
            fail("OCEL is of executions and approvals", hint="Leave out --log run_events.", code=2)
        if format_ == "ocel-sqlite" and output is None:
            fail("an SQLite file is no text", hint="Name a file with -o.", code=2)
        write = partial(export_ocel, form="json" if format_ == "ocel-json" else "sqlite")
    with refusals(), exporting(output) as (target, progress):
        exported = write(db, target, customer_id=customer, progress=progress)
    console = err()
    console.print(f"{exported.written:,} events exported")
    print_unnumbered(console, exported.unnumbered)


def _export_chunks(
    db: str | None,
    folder: Path,
    customer: str | None,
    log: Log,
    *,
    width: int | None,
    first: int | None,
    last: int | None,
    key: Path | None,
) -> None:
    with refusals():
        try:
            secret = None if key is None else read_secret_key(key)
        except ValueError as error:
            fail(f"{key}: {error}")
        with connect(db) as connection, counting("exporting", hidden=False) as show:
            number_new_events(connection)
            done = export_chunks(
                connection, folder, customer, log, first=1 if first is None else first, last=last,
                width=WIDTH if width is None else width, key=secret,
                progress=show,
            )  # fmt: skip
    manifest = done.manifest
    err().print(
        f"{done.written:,} events exported; {len(manifest.chunks):,} files have the entries"
        f" {manifest.first:,} to {manifest.last:,}"
    )


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
    with refusals(), EventStore(db, customer_id=customer) as store:
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
            fail(f"not JSON: {error}", hint=error.hint if isinstance(error, UnreadableFileError) else None, code=2)
        receipt = store.emit(NewEvent.of(fields))
    if as_json:
        print_json(receipt._asdict())
    else:
        duplicate = "  (a duplicate)" if receipt.duplicate else ""
        out().print(f"{receipt.event_id}  {terminal.moment(receipt.recorded_at)}{duplicate}")


@app.does(Panel.READ, needs="aximo.execution_trace")
def trace(
    execution: Annotated[str, typer.Argument(help="execution_id")],
    customer: Customer = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Show what happened in an execution: every event in order, its times, and who approved what."""
    with refusals(), EventStore(db, customer_id=customer) as store:
        steps = store.trace(execution)
        approvals = store.approvals(execution_id=execution)
    if as_json:
        print_json([row_of(step) for step in steps])
    elif steps:
        out().print(render.trace_tree(steps, approvals))
    if not steps:
        fail("there is no such execution for this customer", hint=name_the_customer(customer))


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
    with refusals(), EventStore(db, customer_id=customer) as store:
        found = store.executions(status=status, deployment_id=deployment, limit=limit)
    if as_json:
        print_json([row_of(item) for item in found])
    else:
        out().print(render.executions_table(found))


@app.does(Panel.READ, needs="aximo.read_log")
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
    """Show a customer's log by number: its end, or from a number or a cursor on."""
    if format_ == "cloudevents":
        print_cloudevents(
            db, customer, log="events", start=start, name=name, follow=follow, as_json=as_json, batch=batch,
            type_prefix=type_prefix,
        )  # fmt: skip
        return
    cloudevents_options(False, type_prefix, batch=batch)
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
