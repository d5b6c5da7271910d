"""The commands ``aximo-db keygen``, ``checkpoint``, ``verify``, ``prove`` and ``verify-metrics``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeAlias
from uuid import UUID

import psycopg
import typer
from rich.console import Group, RenderableType

from aximo_db import audit
from aximo_db.audit.checkpoint import Checkpoint
from aximo_db.audit.note import read_secret_key, read_verifier_key, sign, signers, write_key_pair
from aximo_db.cli import render
from aximo_db.cli.support import (
    AsJson,
    Customer,
    Db,
    LogName,
    Output,
    Panel,
    Program,
    at_work,
    counting,
    customers_transaction,
    err,
    exporting,
    fail,
    needed_role,
    out,
    plain,
    print_json,
    refusals,
)
from aximo_db.client.connect import connect, value_of
from aximo_db.client.errors import AximoError, MovedError, told_by
from aximo_db.client.events import Log
from aximo_db.client.statements import CHECK_LOG_NODES, SET_CUSTOMER
from aximo_db.client.whose import no_customer
from aximo_db.dba.verify_log import LogVerdict, customers_of, prove_growth, prove_inclusion, verify_log
from aximo_db.dba.verify_metrics import verify_metrics
from aximo_db.lines.exporter import number_new_events

__all__ = ["app"]

app = Program()

#: Whether all is well with a customer, and what was found, for programs and for people.
_Looked: TypeAlias = tuple[bool, dict[str, Any], RenderableType]


@app.does(Panel.PROVE)
def keygen(
    name: Annotated[str, typer.Argument(help="The key's name, as in audit.example.com: no blank, no plus.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The secret key's file; the other one is FILE.pub.")],
) -> None:
    """Make a key to sign checkpoints with, for outside of the database: Ed25519, in the form of C2SP signed notes."""
    try:
        verifier = write_key_pair(output, name)
    except FileExistsError as error:
        fail(f"{error.filename}: exists already", hint="Keys are never overwritten.")
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")
    except ValueError as error:
        fail(str(error))
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
    with refusals(), exporting(output, inputs=[key]) as (target, _):
        with customers_transaction(db, customer, numbers=True) as connection:
            if key is not None:
                # A signature vouches for the root, so the kept hashes are recomputed from the entries first.
                connection.execute(CHECK_LOG_NODES, (log,))
            note: str | None = value_of(connection, "select aximo.checkpoint_text(log => %s)", (log,))
            if note is None:
                raise no_customer(connection)
            if key is not None:
                try:
                    note = sign(note, read_secret_key(key))
                except ValueError as error:
                    fail(f"{key}: {error}")
            if keep:
                connection.execute("select aximo.add_checkpoint(%s)", (note,))
        target.write(note)


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
        Path | None, typer.Option("--export", help="Check this export, a file or a folder, with no database.")
    ] = None,
    against: Annotated[Path | None, typer.Option("--against", help="With --export: an older export.")] = None,
    proof: Annotated[Path | None, typer.Option("--proof", help="Check this proof instead, with no database.")] = None,
    line: Annotated[Path | None, typer.Option("--line", help="With a proof of inclusion: the event's line.")] = None,
    published: Annotated[
        str | None,
        typer.Option("--published", metavar="DIR|URL", help="Check this published log instead, with no database."),
    ] = None,
    timestamp: Annotated[
        Path | None, typer.Option("--timestamp", help="With one checkpoint: check its time stamp, with no database.")
    ] = None,
    tsa_root: Annotated[
        list[Path] | None,
        typer.Option("--tsa-root", metavar="PEM", help="A certificate of who is trusted with time stamps."),
    ] = None,
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
        fail("the last entry is not before the first one", hint="--to is at least --from.", code=2)
    checkpoints, keys = checkpoint or [], key or []
    with refusals():
        if published is not None:
            with counting("verifying", hidden=as_json) as show:
                verdict = audit.check_published(published, keys, tsa_root or [], progress=lambda done: show(done, None))
        elif timestamp is not None:
            if len(checkpoints) != 1 or not tsa_root:
                fail("a time stamp is of one checkpoint", hint="Give --checkpoint and --tsa-root.", code=2)
            verdict = audit.check_stamp(checkpoints[0], timestamp, tsa_root, keys)
        elif proof is not None:
            verdict = audit.check_proof(proof, line=line, old=checkpoints[0] if checkpoints else None, keys=keys)
        elif export is not None and export.is_dir():
            with counting("verifying", hidden=as_json) as show:
                verdict = audit.check_chunks(export, checkpoints, keys, progress=lambda done: show(done, None))
        elif export is not None and against is not None:
            verdict = audit.compare(against, export)
        elif export is not None:
            if not checkpoints:
                fail("an export is checked with a checkpoint", hint="Give --checkpoint, or --against.", code=2)
            with counting("verifying", hidden=as_json) as show:
                verdict = audit.check_export(export, checkpoints, keys, progress=lambda done: show(done, None))
        else:
            _verify_database(
                db, customer, log, _given(checkpoints, keys), as_json, mend=mend, repair=repair, first=first, last=last,
                in_flight=timedelta(hours=in_flight),
            )  # fmt: skip
            return
    if as_json:
        print_json(verdict.as_json())
    else:
        console = out()
        console.print("[green]It holds.[/]" if verdict.ok else "[bold red]It does not hold.[/]")
        for finding in verdict.findings:
            console.print(f"  {plain(finding)}")
    if not verdict.ok:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Given:
    """A checkpoint that was kept elsewhere, and whose signatures on it were checked."""

    checkpoint: Checkpoint
    signers: Sequence[str]


def _given(checkpoints: Sequence[Path], keys: Sequence[Path]) -> list[_Given]:
    try:
        verifiers = [read_verifier_key(path) for path in keys]
        notes = [path.read_bytes() for path in checkpoints]
        return [_Given(audit.read_note(note, verifiers), signers(note, *verifiers)) for note in notes]
    except ValueError as error:
        fail(f"checkpoint: {error}")


def _verify_database(
    db: str | None, customer: str | None, log: Log, given: list[_Given], as_json: bool,
    *, mend: bool, repair: bool, first: int, last: int | None, in_flight: timedelta,
) -> None:  # fmt: skip
    mended = 0
    with connect(db) as connection:
        if mend:
            mended = value_of(connection, "select aximo.mend_log()")
        number_new_events(connection)
        customers = _customers(connection, customer)
        used: set[str] = set()

        def one(name: str, show: Callable[[int, int | None], None]) -> _Looked:
            repaired = 0
            with connection.transaction():
                connection.execute(SET_CUSTOMER, (name,))
                origin = value_of(connection, "select aximo.log_origin(%s)", (log,))
                if repair:
                    repaired = value_of(connection, "select aximo.repair_executions()")
            # Of several logs each is compared with the checkpoints that name it.
            its = given if len(customers) == 1 else [each for each in given if each.checkpoint.origin == origin]
            used.update(each.checkpoint.origin for each in its)
            verify = partial(
                verify_log, db, customer_id=name, log=log, checkpoints=[each.checkpoint for each in its],
                in_flight=in_flight, first=first, last=last,
            )  # fmt: skip
            found = _to_the_end(verify, name, first, show)
            if found.origin is None:
                with connection.transaction():
                    connection.execute(SET_CUSTOMER, (name,))
                    raise no_customer(connection)
            signed_by = sorted({signer for each in its for signer in each.signers})
            told: dict[str, Any] = {**found.as_json(), "signed_by": signed_by}
            shown = [render.log_verdict(found, signed_by)]
            if mend:
                told["mended"] = mended
            if repair:
                told["repaired"] = repaired
                shown.append(f"The rows of {repaired:,} executions were made anew.")
            return found.ok, told, Group(*shown)

        is_fine = _each("verifying", customers, one, as_json=as_json)
    if mend and not as_json:
        out().print(f"{mended:,} events that had been passed over were numbered.")
    for origin in sorted({each.checkpoint.origin for each in given} - used):
        is_fine = False
        err().print(f"[bold red]error:[/] a checkpoint is of {plain(origin)}, which is none of these logs")
    if not is_fine:
        raise typer.Exit(1)


def _to_the_end(
    verify: Callable[..., LogVerdict], name: str, first: int, show: Callable[[int, int | None], None]
) -> LogVerdict:
    """Verifies a log; if that is interrupted, says where to go on."""
    at = first - 1

    def passed(number: int, total: int | None) -> None:
        nonlocal at
        at = max(at, number)
        show(number, total)

    try:
        return verify(progress=passed)
    except KeyboardInterrupt:
        err().print(f"{plain(name)}: stopped after entry {at:,}. [dim]→ --from {at + 1} goes on.[/]")
        raise


def _customers(connection: psycopg.Connection[Any], named: str | None) -> list[str]:
    """Whom a job looks at: the customer that is named, else all that the login has."""
    found = [named] if named is not None else customers_of(connection)
    if not found:
        moved = no_customer(connection)
        if isinstance(moved, MovedError):
            raise moved
        fail("this login has no customer", hint="Have one granted with aximo.grant_customer.")
    return found


def _each(
    what: str,
    customers: list[str],
    one: Callable[[str, Callable[[int, int | None], None]], _Looked],
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
        label = what if len(customers) == 1 else f"{what} {plain(name)} ({place} of {len(customers)})"
        try:
            if counts:
                with counting(label, hidden=as_json) as show:
                    is_one_fine, told, shown = one(name, show)
            else:
                with at_work(label, hidden=as_json):
                    is_one_fine, told, shown = one(name, lambda *_: None)
        except (AximoError, psycopg.Error) as error:
            if len(customers) == 1:
                raise
            is_one_fine = False
            message = told_by(error) if isinstance(error, psycopg.Error) else error.message
            code = error.sqlstate
            told = {"ok": False, "error": message, "sqlstate": code}
            shown = f"[bold red]error:[/] {plain(message)}" + (f" ({code})" if code else "")
            hint = needed_role(error) if isinstance(error, psycopg.Error) else error.hint
            if hint:
                shown += f"\n  [dim]→ {plain(hint)}[/]"
        is_fine = is_fine and is_one_fine
        if as_json:
            print_json({"customer_id": name, **told})
        else:
            if len(customers) > 1:
                out().print(f"[bold]{plain(name)}[/]")
            out().print(shown)
        sys.stdout.flush()
    return is_fine


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
        fail("prove an event, or growth from one size to another", hint="EVENT_ID, or --from and --to.", code=2)
    with refusals(), exporting(output, inputs=[key]) as (target, _):
        with customers_transaction(db, customer, numbers=True) as connection:
            try:
                secret = read_secret_key(key) if key is not None else None
                if event_id is not None:
                    named = UUID(event_id) if log == "events" else int(event_id)
                    text = prove_inclusion(connection, named, size, secret, log=log)
                else:
                    text = prove_growth(connection, old or 0, new, secret, log=log)
            except ValueError as error:
                fail(str(error))
        target.write(text)


@app.does(Panel.PROVE, name="verify-metrics", needs="aximo.verify_metrics")
def verify_metrics_(customer: Customer = None, db: Db = None, as_json: AsJson = False) -> None:
    """Work out metrics from the events and compare. Exit code 1 if a number differs.

    Without a customer: the metrics of all that the login has, one after the other.
    """

    def one(name: str, _: object) -> _Looked:
        verdict = verify_metrics(db, customer_id=name)
        told = {
            "ok": verdict.ok,
            "counts_up_to": verdict.counts_up_to,
            "log_size": verdict.log_size,
            "differences": [d._asdict() for d in verdict.differences],
        }
        return verdict.ok, told, render.metrics_verdict(verdict)

    with refusals():
        with connect(db) as connection:
            customers = _customers(connection, customer)
        is_fine = _each("recomputing from every event", customers, one, as_json=as_json, counts=False)
    if not is_fine:
        raise typer.Exit(1)
