"""The commands ``aximo-db contract check``, ``show`` and ``write``.

Exit codes: 0 nothing breaks, 1 something does, 2 wrong usage, or nothing to compare with.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NoReturn

import psycopg
import typer
from rich.markup import escape

from aximo_db import render
from aximo_db._connect import connect
from aximo_db.cli_support import AsJson, Db, Program, exporting, needed_role
from aximo_db.cli_support import out as _out
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
from aximo_db.errors import AximoError

__all__ = ["app"]

app = Program(name="contract", help="The public surface as a reviewed file, and what a change of it breaks.")

Name = Annotated[str, typer.Option("--contract", metavar="NAME", help="Which contract.")]
OneOrAll = Annotated[
    str | None, typer.Option("--contract", metavar="NAME", help="Which contract; all of this package if left out.")
]

_STYLES = {"breaking": "bold red", "unknown": "yellow", "additive": "green"}


def _fail(message: str, hint: str | None = None) -> NoReturn:
    console = render.SafeConsole(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[bold red]error:[/] {escape(message)}")
    if hint:
        console.print(f"  [dim]→ {escape(hint)}[/]")
    raise typer.Exit(2)


@contextlib.contextmanager
def _problems() -> Iterator[None]:
    """What keeps from comparing is no verdict: exit code 2."""
    try:
        yield
    except AximoError as error:
        _fail(f"{error}: {error.detail}" if error.detail else str(error), error.hint)
    except ValueError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or 'input or output'}: {error.strerror or error}")
    except psycopg.Error as error:
        code = f" ({error.sqlstate})" if error.sqlstate else ""
        _fail(f"{error.diag.message_primary or str(error).strip()}{code}", needed_role(error))


def _live(db: str | None, base: Contract) -> Contract:
    with connect(db, of_catalog=True) as connection:
        return read_contract(connection, base.name, base)


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
        _fail("two files are compared with each other", "OLD and NEW, or --db and --against.")
    if against is not None and contract is not None:
        _fail("a file says itself which contract it is", "--against or --contract.")
    # All are read before anything is said: what keeps from comparing one of them is no verdict on the others.
    with _problems():
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
            _print_changes(each.before, each.after, each.changes, each.ok)
    if not ok:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Compared:
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


def _compared_with_database(db: str | None, before: Contract) -> _Compared:
    # What is offered now is what this package says, as far as it is true of the database.
    base = shipped_contract(before.name) if before.name in contract_names() else before
    after = _live(db, base)
    if after.schema_version != base.schema_version:
        # A version of this package's declares nothing of another schema.
        after = replace(after, document={**after.document, "version": before.version})
    return _compared(before, after)


def _print_changes(before: Contract, after: Contract, changes: list[Change], ok: bool) -> None:
    console = _out()
    if changes:
        table = render.WholeTable("", "what", "where", "why", ids=("", "where"))
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
    with _problems():
        shown = load_contract(file) if file is not None else shipped_contract(contract)
    if as_json:
        typer.echo(json.dumps(shown.document))
        return
    console = _out()
    document = shown.document
    console.print(f"[bold]Contract {escape(shown.name)}[/], version {shown.version}, schema {shown.schema_version}")
    console.print(f"  {escape(document['reviewed']['note'])}")
    for title, names in _names(document):
        console.print(f"\n[bold]{title}[/] ({len(names)})")
        for name, what in names:
            console.print(f"  {escape(name)}" + (f"  [dim]{escape(what)}[/]" if what else ""))


def _names(document: dict[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    def columns(thing: dict[str, Any]) -> str:
        return ", ".join(each["name"] for each in thing["columns"])

    def signature(function: dict[str, Any]) -> str:
        given = (
            f"{each['name']} {each['type']}{' = …' if 'default' in each else ''}" for each in function["arguments"]
        )
        returns = function["returns"]
        return f"({', '.join(given)}) → {'rows of ' if returns['set'] else ''}{returns['type']}"

    def use(role: str) -> str:
        reads = sum(role in each["used_by"] for each in document["relations"].values())
        calls = sum(role in each["used_by"] for all_ in document["functions"].values() for each in all_)
        return f"{reads} views and tables, {calls} functions"

    yield "Roles", [(role, use(role)) for role in document["roles"]]
    yield "Views and tables", [(name, columns(each)) for name, each in document["relations"].items()]
    yield "Functions", [(name, signature(each)) for name, all_ in document["functions"].items() for each in all_]
    yield "Limits", [(name, " ".join(each["checks"])) for name, each in document["limits"].items()]
    for table, rows in document["rows"].items():
        yield table, [(name, ", ".join(str(value) for value in each.values())) for name, each in rows.items()]
    yield "Errors", [(code, " ".join(each["rules"])) for code, each in document["errors"].items()]
    shapes = document["jsonl"].items()
    yield "JSON lines", [(name, ", ".join(each["name"] for each in shape["fields"])) for name, shape in shapes]
    yield "Promises", [(name, each["meaning"]) for name, each in document["by_hand"]["promises"].items()]
    yield "Payload", [(name, each["meaning"]) for name, each in document["by_hand"]["payload"].items()]
    yield "Settings", [(name, each["meaning"]) for name, each in document["by_hand"]["settings"].items()]
    yield "Python", [(name, "") for name in document["python"]]
    yield "Commands", [(name, "") for name in document["commands"]]


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
    with _problems(), exporting(output) as (target, _):
        old = load_contract(base) if base is not None else shipped_contract(contract)
        new = _live(db, old)
        places = _meanings(new.document)
        unknown = [place for place in reworded or [] if place not in places]
        if unknown:
            _fail(f"there is nothing at {', '.join(unknown)}", "Give it as contract check prints it.")
        kept = {
            place: text for place, text in old.document["reviewed"]["rewordings"].items() if places.get(place) == text
        }
        kept |= {place: places[place] for place in reworded or []}
        reviewed = {"note": note or old.document["reviewed"]["note"], "rewordings": dict(sorted(kept.items()))}
        version = old.version + raise_version
        new = replace(new, document={**new.document, "version": version, "reviewed": reviewed})
        target.write(contract_text(new))
    _out().print(f"{escape(str(output))} written")


def _meanings(document: dict[str, Any]) -> dict[str, str]:
    """Every text that says what something means, by its place."""
    found: dict[str, str | None] = {}
    for part in ("schemas", "relations", "types", "limits"):
        for name, thing in document[part].items():
            found[name] = thing.get("meaning")
            found.update({f"{name}.{each['name']}": each.get("meaning") for each in thing.get("columns", [])})
    for name, overloads in document["functions"].items():
        for each in overloads:
            where = name if len(overloads) == 1 else f"{name}({', '.join(a['type'] for a in each['arguments'])})"
            found[where] = each["meaning"]
    for table, rows in document["rows"].items():
        found.update({f"{table}[{name}]": each.get("meaning") for name, each in rows.items()})
    found.update({f"promise {name}": each["meaning"] for name, each in document["by_hand"]["promises"].items()})
    found.update({f"payload {name}": each["meaning"] for name, each in document["by_hand"]["payload"].items()})
    found.update({f"setting {name}": each["meaning"] for name, each in document["by_hand"]["settings"].items()})
    return {place: " ".join(text.split()) for place, text in found.items() if text}
