"""What a client read, what it should have read, and how the two are compared."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

SCHEMA = "aximo_metrics"
Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Login:
    """How a client gets in."""

    name: str
    password: str = field(repr=False)
    customer: str
    host: str
    port: int
    database: str

    @property
    def words(self) -> dict[str, Any]:
        """As psycopg, asyncpg and others take it, but for the database's name."""
        return {"host": self.host, "port": self.port, "user": self.name, "password": self.password}

    def uri(self, scheme: str = "postgresql") -> str:
        return f"{scheme}://{self.name}:{quote(self.password)}@{self.host}:{self.port}/{self.database}"

    def connect(self, **options: Any) -> Connection:
        return psycopg.connect(self.uri(), **{"autocommit": True, **options})


@dataclass
class Table:
    """A view as a client delivers it: each column's type as that client names it, and the rows."""

    columns: dict[str, str]
    rows: list[tuple[Any, ...]]


@dataclass
class Truth:
    """A view as the database has it: each column's type, and one customer's rows."""

    columns: dict[str, str]
    rows: list[tuple[Any, ...]]


def views(connection: Connection) -> list[str]:
    """Every view there is for reporting. The catalog decides, so that what is added later is tried as well."""
    query = "select viewname from pg_catalog.pg_views where schemaname = %s order by 1"
    return [name for (name,) in connection.execute(query, [SCHEMA])]


def columns(connection: Connection, view: str) -> dict[str, str]:
    """The columns of a view and their types, of domains what they are made of."""
    query = """
        select a.attname, format_type(coalesce(nullif(t.typbasetype, 0), t.oid), a.atttypmod)
        from pg_catalog.pg_attribute as a join pg_catalog.pg_type as t on t.oid = a.atttypid
        where a.attrelid = format('%%I.%%I', %s::text, %s::text)::regclass and a.attnum > 0 and not a.attisdropped
        order by a.attnum
    """
    return dict(connection.execute(query, [SCHEMA, view]).fetchall())


def identifier(view: str) -> sql.Identifier:
    return sql.Identifier(SCHEMA, view)


# One form for every value, whichever client it came through.


def _number(value: Any) -> int:
    as_is = int(value)
    assert as_is == value or str(as_is) == value, f"{value!r} is no whole number"
    return as_is


def _decimal(value: Any) -> Decimal:
    return Decimal(str(value)).normalize()


def _day(value: Any) -> date:
    if isinstance(value, str):
        return date.fromisoformat(value)
    if isinstance(value, datetime):
        assert (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0), value
        return value.date()
    assert isinstance(value, date), value
    return value


def _instant(value: Any) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    assert moment.tzinfo is not None, f"{value!r} says no time zone"
    return datetime.fromtimestamp(0, UTC) + (moment - datetime.fromtimestamp(0, UTC))


def _truth(value: Any) -> bool:
    return {True: True, False: False, "true": True, "false": False}[value]


#: A type that is not here fails the tests: somebody has to say how clients are to show it.
FORMS: Mapping[str, Callable[[Any], Any]] = {
    "text": str,
    "bigint": _number,
    "double precision": float,
    "numeric(38,3)": _decimal,
    "date": _day,
    "timestamp with time zone": _instant,
    "boolean": _truth,
}


def is_null(value: Any) -> bool:
    """Data frames have nulls of their own: NaN and NaT, which are not equal to themselves."""
    return value is None or bool(value != value) or (isinstance(value, float) and math.isnan(value))


def formed(
    types: Iterable[str], rows: Iterable[Sequence[Any]], lossy: Mapping[str, Callable[[Any], Any]]
) -> Counter[tuple[Any, ...]]:
    """Rows without an order, each value in its one form; of a type that the client is known to lose digits of, rounded."""
    forms = [(FORMS[each], lossy.get(each, lambda value: value)) for each in types]
    return Counter(
        tuple(None if is_null(value) else lose(form(value)) for (form, lose), value in zip(forms, row, strict=True))
        for row in rows
    )


def assert_same(
    found: Table, truth: Truth, about: str, lossy: Mapping[str, Callable[[Any], Any]] | None = None
) -> None:
    assert list(found.columns) == list(truth.columns), about
    types = list(truth.columns.values())
    seen, wanted = formed(types, found.rows, lossy or {}), formed(types, truth.rows, lossy or {})
    assert seen == wanted, f"{about}: too much {list(seen - wanted)[:3]}, missing {list(wanted - seen)[:3]}"


def truths(root: Connection, customer: str) -> dict[str, Truth]:
    """What this customer is to see: computed by a superuser for whom every session works for this customer."""
    with root.transaction(force_rollback=True):
        root.execute(
            sql.SQL(
                "create or replace function aximo.current_customer() returns text"
                " language sql stable parallel safe set search_path = pg_catalog, pg_temp as {}"
            ).format(sql.Literal(f"select {sql.Literal(customer).as_string(root)}::text"))
        )
        return {
            view: Truth(
                columns(root, view), root.execute(sql.SQL("select * from {}").format(identifier(view))).fetchall()
            )
            for view in views(root)
        }
