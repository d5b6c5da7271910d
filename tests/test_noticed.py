"""Who notices what somebody changes whom no guard stops: the table in docs/auditor.md, tried column by column."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg import sql

from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import VERSIONS, Ledger, _cloned
from tests.noticed_support import ADDED, SCHEMAS, TAKEN, Audit, audited

PAGE = Path(__file__).resolve().parent.parent / "docs" / "auditor.md"
WHO: Final = {
    "`verify`": "verify",
    "`verify-metrics`": "verify-metrics",
    "`verify-metrics` after a refresh": "refresh",
    "`doctor`": "doctor",
    "a checkpoint": "checkpoint",
    "a constraint": "constraint",
    "nobody": "nobody",
}
OTHERS: Final = "every other column"
#: Who could notice, from the one who nearly always does.
LOOKERS: Final = ("verify", "verify-metrics", "doctor", "checkpoint")


@dataclass(frozen=True)
class Line:
    tables: tuple[str, ...]
    what: tuple[str, ...]
    who: tuple[str, ...]


def lines() -> list[Line]:
    """The table of the page, as it says it."""
    section = PAGE.read_text(encoding="utf-8").split("## Who notices a change")[1].split("\n## ")[0]
    found = []
    for tables, what, who in re.findall(r"^\| (`[^|]+) \| ([^|]+) \| ([^|]+) \| [^|]*\|$", section, re.MULTILINE):
        words = tuple(word.strip("`") for word in what.split(", "))
        found.append(
            Line(tuple(re.findall(r"`([\w.]+)`", tables)), words, tuple(WHO[each] for each in who.split(", ")))
        )
    return found


LINES = lines()
TABLES = sorted({table for line in LINES for table in line.tables})


# A change is a change on every PostgreSQL; the others are tried by the heavy tests.
@pytest.fixture(
    scope="module",
    params=[*VERSIONS[:1], *(pytest.param(version, marks=pytest.mark.heavy) for version in VERSIONS[1:])],
)
def audit(request: pytest.FixtureRequest, servers: Callable[[str], EmbeddedServer]) -> Iterator[Audit]:
    """One ledger for the module, on every PostgreSQL. What a test changes it puts back."""
    for ledger in _cloned(servers(request.param), "fresh", "noticed_test"):
        yield audited(ledger)


def said_of(table: str, columns: list[str]) -> dict[str, tuple[str, ...]]:
    """Who notices a change of each column of a table, and of its rows."""
    own = [line for line in LINES if table in line.tables]
    named = {word: line.who for line in own for word in line.what if word != OTHERS}
    assert len(named) == sum(len([word for word in line.what if word != OTHERS]) for line in own), "said twice"
    assert set(named) <= {*columns, TAKEN, ADDED}, "no such column"
    rest = [line.who for line in own if OTHERS in line.what]
    assert len(rest) <= 1, "said twice"
    return {**{column: who for who in rest for column in columns}, **named}


def test_every_table_and_column_stands_in_the_table_of_the_page(one_ledger: Ledger) -> None:
    stored: dict[str, list[str]] = {}
    for table, column in one_ledger.superuser().execute(
        "select format('%%s.%%s', n.nspname, c.relname), a.attname from pg_class as c"
        " inner join pg_namespace as n on n.oid = c.relnamespace"
        " inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
        " where n.nspname = any(%s) and c.relkind in ('r', 'p', 'f')",
        (list(SCHEMAS),),
    ):
        stored.setdefault(table, []).append(column)
    assert sorted(stored) == TABLES
    for table, columns in stored.items():
        assert set(said_of(table, columns)) == {*columns, TAKEN, ADDED}, table


def test_nobody_finds_anything_where_nothing_was_changed(audit: Audit) -> None:
    assert [who for who in LOOKERS if audit.notices(who)] == []


@pytest.mark.parametrize("table", TABLES)
def test_a_change_is_noticed_by_whom_the_page_says(audit: Audit, table: str) -> None:
    wrong = []
    for column, who in said_of(table, list(audit.columns[table])).items():
        tried = unnoticed = 0
        for way, statement in audit.changes(table, column):
            try:
                if who == ("refresh",):
                    missing = [] if audit.notices_when_refreshed(statement) else ["refresh"]
                else:
                    with audit.forged(statement, table) as changed:
                        assert changed == 1
                        if who == ("nobody",):
                            missing = [] if any(audit.notices(each) for each in LOOKERS) else ["nobody"]
                        else:
                            missing = [each for each in who if each == "constraint" or not audit.notices(each)]
            except psycopg.IntegrityError:
                # Nobody has to notice what can't be done.
                continue
            tried += 1
            unnoticed += bool(missing)
            if unnoticed and who == ("nobody",):
                break
            if missing and who != ("nobody",):
                wrong.append(f"{column}, {way}: not {missing}")
        if who == ("nobody",):
            if not unnoticed:
                wrong.append(f"{column}: somebody noticed each of {tried}")
        elif not tried and who != ("constraint",):
            wrong.append(f"{column}: nothing could be changed")
    assert not wrong, "\n".join(wrong)
    assert [each for each in LOOKERS if audit.notices(each)] == []


@pytest.mark.parametrize("table", ["aximo_private.actions_kept", "aximo_private.activity_kept"])
def test_a_row_that_is_shown_twice_is_noticed(audit: Audit, table: str) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, audit.columns[table]))
    values = sql.SQL(", ").join(
        sql.SQL("gen_random_uuid()") if column == "series" else sql.Identifier(column)
        for column in audit.columns[table]
    )
    for place in audit.rows(table, sql.SQL("true")):
        twice = sql.SQL("insert into {0} ({1}) select {2} from {0} where ctid = {3}").format(
            sql.Identifier(*table.split(".")), columns, values, sql.Literal(place)
        )
        with audit.forged(twice, table):
            assert audit.notices("verify-metrics")
