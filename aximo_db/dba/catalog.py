"""The ledger as PostgreSQL's catalog has it: its roles, and the facts of its guards, policies, functions and grants.

The expected facts are shipped with the package (``data/facts.txt``, made from a fresh installation), so that drift
shows as lines that are missing or new.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from aximo_db.dba.assets import PACKAGE

__all__ = [
    "GATEWAY_TABLES",
    "GROUP_ROLES",
    "NEUTRAL",
    "OWNING_ROLES",
    "VOCABULARY",
    "differences",
    "expected_facts",
    "facts",
    "fingerprint",
]

GROUP_ROLES: Final = (
    "aximo_owner",
    "aximo_gatekeeper",
    "aximo_recorder",
    "aximo_sequencer",
    "aximo_meter",
    "aximo_reader",
    "aximo_writer",
    "aximo_bi",
    "aximo_operator",
    "aximo_auditor",
    "aximo_monitor",
)
#: Those of them that own the schema's objects.
OWNING_ROLES: Final = GROUP_ROLES[:5]

#: What a gateway keeps in schema helix besides what is the ledger's.
GATEWAY_TABLES: Final = ("projects", "artifacts", "param_sets", "run_inputs", "run_outputs")

#: What changes how the catalog writes definitions out.
NEUTRAL: Final = (
    ("search_path", "pg_catalog, pg_temp"),
    ("quote_all_identifiers", "off"),
    ("standard_conforming_strings", "on"),
    ("timezone", "UTC"),
    ("datestyle", "ISO, YMD"),
    ("intervalstyle", "postgres"),
    ("extra_float_digits", "1"),
)

#: What names the kinds of events. A login that may not read it compares the rest.
VOCABULARY: Final = ("aximo.event_types", "helix.event_kinds")

#: A fact of which there is one for each thing, and the thing.
_ONE_FACT: Final = re.compile(
    r"((?:owner of|function|table|policy|trigger(?! of)|(?:materialized )?view|constraint|index|column|sequence)\b.*?)"
    r": "
)


def facts(connection: psycopg.Connection[Any]) -> list[str]:
    """Guards, policies, functions, grants and owners as sorted lines, the same on every server version."""
    # Definitions are written out as they look from outside of every schema.
    with connection.transaction():
        for setting, value in NEUTRAL:
            connection.execute("select set_config(%s, %s, true)", (setting, value))
        rows = connection.execute(Path(__file__).with_name("facts.sql").read_text(encoding="utf-8")).fetchall()
        for table in VOCABULARY:
            if connection.execute("select has_table_privilege(%s, 'select')", (table,)).fetchone() == (True,):
                query = sql.SQL("select format('row of %s: %s', {}, to_jsonb(t)) from {} as t")
                name = sql.Identifier(*table.split("."))
                rows += connection.execute(query.format(sql.Literal(table), name)).fetchall()
    # Escaped, so that a fact is a line whatever it holds.
    return sorted(row[0].encode("unicode_escape").decode("ascii") for row in rows)


def fingerprint(lines: Sequence[str]) -> str:
    """A hash of the facts, to be kept elsewhere and compared."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def expected_facts() -> list[str]:
    """The facts of a fresh installation of the newest schema."""
    return (PACKAGE / "data" / "facts.txt").read_text(encoding="utf-8").splitlines()


def differences(missing: Sequence[str], strange: Sequence[str]) -> Iterator[str]:
    """What is gone, changed or new, by name; of what is changed, only the properties that differ."""
    now = {_thing(line): line for line in strange}
    for line in missing:
        thing = _thing(line)
        other = now.pop(thing, None) if thing is not None else None
        if other is None:
            yield f"Gone: {line}"
            continue
        was, is_ = (each[len(thing or "") + 2 :].split(", ") for each in (line, other))
        told = [
            ", ".join(part for part in these if part not in those) or "-" for these, those in ((is_, was), (was, is_))
        ]
        yield f"Changed: {thing}: now {told[0]}; as installed {told[1]}"
    left = set(now.values())
    yield from (f"Not part of the schema: {line}" for line in strange if _thing(line) is None or line in left)


def _thing(fact: str) -> str | None:
    """What a fact is about, if there is one fact of that kind about it: of grants there are several."""
    match = _ONE_FACT.match(fact)
    return match[1] if match is not None else None
