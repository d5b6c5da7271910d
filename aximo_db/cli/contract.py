"""The commands ``aximo-db contract check``, ``show`` and ``write``.

Exit codes: 0 nothing breaks, 1 something does, 2 wrong usage, or nothing to compare with.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.markup import escape

from aximo_db.cli.support import AsJson, Db, Program, exporting, fail, out, refusals
from aximo_db.client.connect import connect
from aximo_db.contract import (
    Change,
    Contract,
    compare,
    contract_names,
    contract_text,
    holds,
    load_contract,
    read_contract,
    shipped_contract,
)
from aximo_db.contract.compare import meanings
from aximo_db.files import terminal

__all__ = ["app", "rewritten"]

app = Program(name="contract", help="The public surface as a reviewed file, and what a change of it breaks.")

Name = Annotated[str, typer.Option("--contract", metavar="NAME", help="Which contract.")]
OneOrAll = Annotated[
    str | None, typer.Option("--contract", metavar="NAME", help="Which contract; all of this package if left out.")
]

_STYLES = {"breaking": "bold red", "unknown": "yellow", "additive": "green"}


@contextlib.contextmanager
def _no_verdict() -> Iterator[None]:
    """What keeps from comparing is no verdict: exit code 2."""
    with refusals(2):
        try:
            yield
        except ValueError as error:
            fail(str(error), code=2)


@app.does(needs="aximo.event_types")
def check(
    old: Annotated[Path | None, typer.Argument(metavar="OLD", help="A contract's file, of the last release …")] = None,
    new: Annotated[Path | None, typer.Argument(metavar="NEW", help="… and the one to judge; no database.")] = None,
    db: Db = None,
    against: Annotated[
        Path | None, typer.Option("--against", metavar="FILE", help="Compare the database with this file instead.")
    ] = None,
    contract: OneOrAll = None,
    as_json: AsJson = False,
) -> None:
    """Compare a database with the contracts of this package, or two files. Exit code 1 if something breaks."""
    if old is not None and (new is None or against is not None or db is not None or contract is not None):
        fail("two files are compared with each other", hint="OLD and NEW, or --db and --against.", code=2)
    if against is not None and contract is not None:
        fail("a file says itself which contract it is", hint="--against or --contract.", code=2)
    # All are read before anything is said: what keeps from comparing one of them is no verdict on the others.
    with _no_verdict():
        if old is not None and new is not None:
            compared = [_compared(load_contract(old), load_contract(new))]
        elif against is not None:
            compared = [_compared_with_database(db, load_contract(against))]
        else:
            names = contract_names() if contract is None else [contract]
            compared = [_compared_with_database(db, shipped_contract(name)) for name in names]
    ok = all(each.ok for each in compared)
    if as_json:
        found = [each.as_json() for each in compared]
        # What is asked for by name, or as a file, is one.
        is_one = contract is not None or against is not None or old is not None
        typer.echo(json.dumps(found[0] if is_one else {"ok": ok, "contracts": found}, ensure_ascii=False))
    else:
        for each in compared:
            _print_changes(each)
    if not ok:
        raise typer.Exit(1)


class _Compared(NamedTuple):
    """Two states of one contract, and what has changed between them."""

    before: Contract
    after: Contract
    changes: list[Change]
    ok: bool

    def as_json(self) -> dict[str, Any]:
        return {
            "contract": self.before.name,
            "old_version": self.before.version,
            "new_version": self.after.version,
            "ok": self.ok,
            "changes": [change.as_json() for change in self.changes],
        }


def _compared(before: Contract, after: Contract) -> _Compared:
    changes = compare(before, after)
    return _Compared(before, after, changes, holds(before, after, changes))


def _live(db: str | None, base: Contract) -> Contract:
    with connect(db, of_catalog=True) as connection:
        return read_contract(connection, base.name, base)


def _compared_with_database(db: str | None, before: Contract) -> _Compared:
    # What is offered now is what this package says, as far as it is true of the database.
    base = shipped_contract(before.name) if before.name in contract_names() else before
    after = _live(db, base)
    if after.schema_version != base.schema_version:
        # A version of this package's declares nothing of another schema.
        after = replace(after, document={**after.document, "version": before.version})
    return _compared(before, after)


def _print_changes(compared: _Compared) -> None:
    before, after, changes, ok = compared
    console = out()
    if changes:
        table = terminal.WholeTable("", "what", "where", "why", ids=("", "where"))
        table.pad_edge, table.header_style = False, "dim"
        for change in changes:
            style = _STYLES[change.kind]
            cells = (escape(change.what), escape(change.where), escape(change.reason))
            table.add_row(f"[{style}]{change.kind}[/]", *cells)
        console.print(table)
    count = {kind: sum(change.kind == kind for change in changes) for kind in _STYLES}
    told = f"{count['breaking']} breaking, {count['unknown']} to be looked at, {count['additive']} additive"
    console.print(f"Contract {escape(before.name)}: {told}.")
    if not ok:
        console.print("[bold red]It does not hold.[/]")
    elif count["breaking"] or count["unknown"]:
        console.print(f"[yellow]Version {after.version} declares it: {before.version} was before.[/]")
    else:
        console.print("[green]It holds.[/]")


@app.does()
def show(
    file: Annotated[Path | None, typer.Argument(help="A contract's file; the one of this package if left out.")] = None,
    contract: Name = "aximo",
    as_json: AsJson = False,
) -> None:
    """Show a contract: what may be used, and by whom."""
    with _no_verdict():
        shown = load_contract(file) if file is not None else shipped_contract(contract)
    if as_json:
        typer.echo(json.dumps(shown.document))
        return
    console = out()
    console.print(f"[bold]Contract {escape(shown.name)}[/], version {shown.version}, schema {shown.schema_version}")
    console.print(f"  {escape(shown.document['reviewed']['note'])}")
    for title, names in _names(shown.document):
        console.print(f"\n[bold]{title}[/] ({len(names)})")
        for name, what in names:
            console.print(f"  {escape(name)}" + (f"  [dim]{escape(what)}[/]" if what else ""))


def _names(document: dict[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    functions = [(name, each) for name, overloads in document["functions"].items() for each in overloads]
    relations, hand = document["relations"].items(), document["by_hand"]

    def use(role: str) -> str:
        reads = sum(role in each["used_by"] for _, each in relations)
        return f"{reads} views and tables, {sum(role in each['used_by'] for _, each in functions)} functions"

    yield "Roles", [(role, use(role)) for role in document["roles"]]
    yield (
        "Views and tables",
        [(name, ", ".join(column["name"] for column in each["columns"])) for name, each in relations],
    )
    yield "Functions", [(name, _signature(each)) for name, each in functions]
    yield "Limits", [(name, " ".join(each["checks"])) for name, each in document["limits"].items()]
    for table, rows in document["rows"].items():
        yield table, [(name, ", ".join(str(value) for value in each.values())) for name, each in rows.items()]
    yield "Errors", [(code, " ".join(each["rules"])) for code, each in document["errors"].items()]
    shapes = document["jsonl"].items()
    yield "JSON lines", [(name, ", ".join(each["name"] for each in shape["fields"])) for name, shape in shapes]
    for title in ("promises", "payload", "settings"):
        yield title.capitalize(), [(name, each["meaning"]) for name, each in hand[title].items()]
    for title in ("python", "commands"):
        yield title.capitalize(), [(name, "") for name in document[title]]


def _signature(function: dict[str, Any]) -> str:
    given = (f"{each['name']} {each['type']}{' = …' if 'default' in each else ''}" for each in function["arguments"])
    returns = function["returns"]
    return f"({', '.join(given)}) → {'rows of ' if returns['set'] else ''}{returns['type']}"


@app.does(needs="aximo.event_types")
def write(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The file; overwritten if there is one.")
    ],
    db: Db = None,
    base: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Take what is written by hand from here instead.")
    ] = None,
    contract: Name = "aximo",
    raise_version: Annotated[
        bool,
        typer.Option("--raise-version", help="Declare that something breaks: the version after that of the old one."),
    ] = False,
    note: Annotated[str | None, typer.Option("--note", help="What was reviewed.")] = None,
    reworded: Annotated[
        list[str] | None,
        typer.Option(
            "--reworded", metavar="WHERE", help="The words changed there, and not the meaning; may come often."
        ),
    ] = None,
) -> None:
    """Write a contract's file from a database and from what the old one has by hand."""
    with _no_verdict(), exporting(output) as (target, _):
        old = load_contract(base) if base is not None else shipped_contract(contract)
        new = _live(db, old)
        unknown = [place for place in reworded or [] if place not in meanings(new)]
        if unknown:
            fail(f"there is nothing at {', '.join(unknown)}", hint="Give it as contract check prints it.", code=2)
        new = rewritten(old, new, note=note, reworded=reworded or (), version=old.version + raise_version)
        target.write(contract_text(new))
    out().print(f"{escape(str(output))} written")


def rewritten(
    old: Contract, new: Contract, *, note: str | None = None, reworded: Sequence[str] = (), version: int | None = None
) -> Contract:
    """The contract that a database gives, with the version and the review of the old one.

    Args:
        old: the contract as it was reviewed.
        new: the same, as it was read from a database.
        note: what was reviewed; that of the old one if left out.
        reworded: places where the words changed and not the meaning.
        version: the version to declare; that of the old one if left out.
    """
    places = meanings(new)
    before = old.document["reviewed"]
    kept = {place: text for place, text in before["rewordings"].items() if places.get(place) == text}
    kept |= {place: places[place] for place in reworded}
    reviewed = {"note": note or before["note"], "rewordings": dict(sorted(kept.items()))}
    return replace(new, document={**new.document, "version": version or old.version, "reviewed": reviewed})
