"""Writes every file that follows from another one, or says which are out of date.

python -m tools.generated [--check]

In the order in which they follow from each other: lists of an event's fields; functions that are alike; the views of metrics by grain; what a revision
that is not released takes over from sql/; read from a fresh installation on the embedded PostgreSQL, what doctor expects, the contracts,
the reference and the privileges; the names and rows that type checkers know; the columns that BI tools
want listed; the synchronous client; the sentences of errors.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from aximo_db.cli.contract import rewritten
from aximo_db.contract import Contract, contract_names, contract_text, read_contract, shipped_contract
from aximo_db.dba.assets import install_script
from aximo_db.dba.catalog import facts
from aximo_db.local.embedded import EmbeddedServer
from tools import alike, bi, event_fields, metrics, privileges, reference, revision, sentences, unasync, vocabulary

ROOT = Path(__file__).resolve().parent.parent
SNAPSHOTS = ROOT / "tests" / "snapshots"
DATA = ROOT / "aximo_db" / "data"
INSTALLER = "installer"


@contextmanager
def installation() -> Iterator[Callable[[str], psycopg.Connection[Any]]]:
    """The schema, installed from sql/ on an embedded PostgreSQL; gives what connects to it as a login."""
    with (
        tempfile.TemporaryDirectory(prefix="aximo-", ignore_cleanup_errors=True) as folder,
        EmbeddedServer(Path(folder) / "data", settings={"fsync": "off"}) as server,
    ):
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(f"create role {INSTALLER} login createrole")
            connection.execute(f"create database ledger owner {INSTALLER}")
        with psycopg.connect(server.dsn(INSTALLER, "ledger")) as connection:
            connection.execute(install_script())
        # search_path is pinned, as types and signatures are written out relative to it.
        pinned = "-c search_path=pg_catalog"
        yield lambda login: psycopg.connect(server.dsn(login, "ledger"), autocommit=True, options=pinned)


def told_of_new_rules(contract: Contract) -> Contract:
    """The contract with the rules that no contract has yet, so that reading looks where they are raised; it drops those of others."""
    known = {
        (code, rule)
        for name in contract_names()
        for code, entry in shipped_contract(name).document["errors"].items()
        for rule in entry["rules"]
    }
    said = {(each.code, each.rule) for each in sentences.sentences()} | {
        ("ZXARG", rule) for rule in event_fields.rules()
    }
    for code, rule in sorted(said - known):
        if code in contract.document["errors"] and rule.isidentifier():
            contract.document["errors"][code]["rules"][rule] = []
    return contract


def from_installation() -> dict[Path, str]:
    """What is read from the catalog of a fresh installation."""
    found: dict[Path, str] = {}
    with installation() as connect:
        with connect(INSTALLER) as connection:
            found[DATA / "facts.txt"] = "\n".join(facts(connection)) + "\n"
        for name in contract_names():
            old = shipped_contract(name)
            with connect(INSTALLER) as connection:
                new = rewritten(old, read_contract(connection, name, told_of_new_rules(old)))
            found[DATA / "contracts" / f"{name}.json"] = contract_text(new)
        with connect("postgres") as connection:
            found[reference.TARGET] = reference.render(connection)
            found[SNAPSHOTS / "privileges.txt"] = privileges.render(connection)
    return found


STEPS = (
    event_fields.made,
    alike.made,
    metrics.made,
    revision.made,
    from_installation,
    vocabulary.made,
    bi.made,
    unasync.made,
    sentences.made,
)


def main() -> int:
    """Writes the files, or says which are not as they would be written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    check = parser.parse_args().check
    status = 0
    for step in STEPS:
        is_newer = False
        for path, text in step().items():
            if path.exists() and path.read_text(encoding="utf-8") == text:
                continue
            name = path.relative_to(ROOT)
            if check:
                print(f"{name} is out of date: run make generated", file=sys.stderr)
                status = 1
            else:
                path.write_text(text, encoding="utf-8")
                print(f"{name} written", flush=True)
                is_newer = is_newer or path.suffix == ".py"
        if step is event_fields.made and is_newer:
            # The contracts are made of the package too, and this process has imported the one before.
            os.execv(sys.executable, [sys.executable, "-m", "tools.generated"])
    return status


if __name__ == "__main__":
    sys.exit(main())
