"""The commands ``aximo-db erase`` and ``vault``: forgetting a subject, and looking after the keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Annotated

import typer
from rich.status import Status

from aximo_db.cli.support import (
    AsJson,
    Db,
    Panel,
    Program,
    VaultDb,
    at_work,
    err,
    out,
    plain,
    print_json,
    refusals,
    row_of,
)
from aximo_db.client.connect import connect
from aximo_db.lines.exporter import number_new_events
from aximo_db.vault import erasing
from aximo_db.vault.postgres import PostgresVault, Rewrapped

__all__ = ["app", "vault_app"]

app = Program()
vault_app = Program(name="vault", help="The keys of sealed values: in another database than the ledger's.")

Whose = Annotated[str, typer.Option("--customer", "-c", help="The customer.")]
Subject = Annotated[str, typer.Option("--subject", "-s", help="Whom the values are of, as services name it.")]

_SHARED = "The vault is in the ledger's own database: its backups hold the keys, and bring them back."


@contextmanager
def _vault(dsn: str | None) -> Iterator[PostgresVault]:
    with PostgresVault(dsn) as vault:
        yield vault


@app.does(Panel.OPERATE, needs="aximo.record_erasure")
def erase(
    customer: Whose,
    subject: Subject,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; kept for ever. Name no person in it.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would become unreadable, and do nothing.")
    ] = False,
    vault: VaultDb = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Make everything that was sealed for a subject unreadable, for good, and say what it was.

    It is recorded in the ledger first, then the key is destroyed. What was stopped in between is done by running it
    again. Exit code 1 if nothing was ever sealed for the subject.
    """
    with refusals(), _vault(vault) as keys, connect(db) as connection:
        number_new_events(connection)
        with at_work("looking", hidden=as_json):
            done = erasing.erase(connection, keys, customer, subject, reason, dry_run=dry_run)
        is_shared = keys.shares_with_ledger()
    if as_json:
        print_json({**row_of(done), "key_ids": [str(kid) for kid in done.key_ids], "not_reached": erasing.NOT_REACHED})
    else:
        _print_erasure(done)
    if is_shared:
        err().print(f"[yellow]{_SHARED}[/]")
    if not done.key_ids and not done.already_erased:
        raise typer.Exit(1)


def _print_erasure(done: erasing.Erasure) -> None:
    console = out()
    whose = plain(f"of customer {done.customer_id}")
    if not done.key_ids:
        console.print(
            f"The subject {whose} was erased before; aximo.erasures says when."
            if done.already_erased
            else f"The subject {whose} has no key: nothing was sealed for it under this name."
        )
    else:
        keys = ", ".join(str(kid) for kid in done.key_ids)
        console.print(f"{'The key to be destroyed' if done.dry_run else 'Destroyed the key'} {whose}: [bold]{keys}[/]")
        verb = "would become" if done.dry_run else "became"
        numbers = f", number {_ranges(done.numbers)}" if done.numbers else ""
        unnumbered = f"; {done.unnumbered:,} of them have no number yet" if done.unnumbered else ""
        console.print(f"Values in [bold]{done.events:,}[/] events {verb} unreadable{numbers}{unnumbered}.")
        for place, events in done.places.items():
            console.print(f"  {plain(place)}  {events:,}")
        if done.erasure_id is not None:
            console.print(f"Recorded in aximo.erasures as {done.erasure_id}, at {done.log_size:,} entries of the log.")
    console.print(f"Not reached: {'; '.join(erasing.NOT_REACHED)}.")


def _ranges(numbers: list[int]) -> str:
    """Numbers in order, those that follow each other as a range."""
    breaks = [0, *(place + 1 for place, (a, b) in enumerate(pairwise(numbers)) if b != a + 1), len(numbers)]
    runs = (numbers[start:end] for start, end in pairwise(breaks))
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)


@vault_app.does()
def migrate(vault: VaultDb = None, as_json: AsJson = False) -> None:
    """Make the vault in a database of its own, or bring it up to date. Run as the owner of that database."""
    with refusals(), _vault(vault) as keys:
        ran = keys.migrate()
        is_shared = keys.shares_with_ledger()
    if as_json:
        print_json({"ran": ran, "shares_with_ledger": is_shared})
    else:
        out().print(f"Ran {', '.join(map(str, ran))}." if ran else "There was nothing to do.")
    if is_shared:
        err().print(f"[yellow]{_SHARED}[/]")


@vault_app.does(needs="aximo.erasures")
def replay(vault: VaultDb = None, db: Db = None, as_json: AsJson = False) -> None:
    """Destroy every key that the ledger's record of erasures names: after a vault was restored, before it is used.

    The login needs all customers. In a fleet, run it for each node.
    Exit code 1 if somebody recorded another customer's live key, which stays.
    """
    with refusals(), _vault(vault) as keys, connect(db) as connection:
        done = erasing.replay(connection, keys)
    if as_json:
        told = {name: [str(kid) for kid in getattr(done, name)] for name in ("destroyed", "of_others")}
        print_json({**row_of(done), **told})
    else:
        out().print(
            f"{done.recorded:,} keys of {done.customers:,} customers are recorded as erased;"
            f" {len(done.destroyed):,} of them were not in this vault's tombstones, and are now."
        )
        for kid in done.of_others:
            out().print(f"Another customer's key, which stays: {kid}. Find out in aximo.erasures who recorded it.")
    if done.of_others:
        raise typer.Exit(1)


@vault_app.does()
def readmit(customer: Whose, subject: Subject, vault: VaultDb = None, as_json: AsJson = False) -> None:
    """Let a subject that was erased have another key. What was erased stays so."""
    with refusals(), _vault(vault) as keys:
        was_erased = keys.is_erased(customer, subject)
        keys.readmit(customer, subject)
    if as_json:
        print_json({"customer_id": customer, "was_erased": was_erased})
    else:
        out().print("It gets another key when something is sealed for it." if was_erased else "It was not erased.")


@vault_app.does()
def rewrap(vault: VaultDb = None, as_json: AsJson = False) -> None:
    """Wrap every key by the first of the wrapping keys: the step of a rotation before the old one is taken away.

    Services go on. What was stopped is gone on with by running it again. The old key may go when it wraps no key anew.
    Exit code 1 if there is a key that none of the wrapping keys opens.
    """
    with refusals(), _vault(vault) as keys, at_work("wrapping", hidden=as_json) as status:

        def show(done: Rewrapped) -> None:
            if isinstance(status, Status):
                looked_at = done.wrapped + done.passed_over + len(done.unopened)
                status.update(f"wrapping: {looked_at:,} keys, {done.wrapped:,} of them anew")

        done = keys.rewrap(show)
    if as_json:
        print_json({**row_of(done), "unopened": [str(kid) for kid in done.unopened]})
    else:
        console = out()
        console.print(f"Wrapped {done.wrapped:,} keys anew, and passed over {done.passed_over:,} that were already.")
        if done.unopened:
            console.print(f"No wrapping key opens {len(done.unopened):,} keys, which stay as they are:")
        for kid in done.unopened:
            console.print(f"  {kid}")
    if done.unopened:
        raise typer.Exit(1)
