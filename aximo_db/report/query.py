"""What the report and the tables of a terminal are made of: one statement, in ``query.sql``, that reads all of it."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, Literal

import psycopg

from aximo_db.client import statements
from aximo_db.client.ledger_cursors import LedgerCursor
from aximo_db.client.whose import no_customer

__all__ = ["Grain", "ask", "read_metrics", "read_period"]

Grain = Literal["day", "hour", "month"]

_SUFFIX: Final[dict[Grain, str]] = {"day": "", "hour": "_hourly", "month": "_monthly"}
_TYPE: Final[dict[Grain, str]] = {"day": "date", "hour": "timestamptz", "month": "date"}
#: Days that the report shows if none are asked for.
_DAYS: Final = 90
#: The views whose comments define what the report shows, in the order in which it explains them.
_VIEWS: Final = (
    "customer_overview",
    "execution_health",
    "actions",
    "business_value",
    "sla_governance",
    "tool_runs",
    "deployment_status",
    "alerts",
    "thresholds",
    "attribution_monthly",
    "freshness",
)
_MOMENTS: Final = frozenset(
    (
        "read_at",
        "refreshed_at",
        "effective_from",
        "set_at",
        "first_event_at",
        "last_event_at",
        "last_execution_at",
        "status_since",
        "hour",
    )
)


@functools.cache
def _query() -> str:
    lines = Path(__file__).with_name("query.sql").read_text(encoding="utf-8").splitlines()
    # A comment may speak of what is replaced.
    return "\n".join(line for line in lines if not line.lstrip().startswith("--"))


def _statement(grain: Grain) -> str:
    replaced = {"grain": grain, "suffix": _SUFFIX[grain], "type": _TYPE[grain]}
    return functools.reduce(lambda text, item: text.replace(f"{{{item[0]}}}", item[1]), replaced.items(), _query())


def ask(connection: psycopg.Connection[Any], statement: str, values: dict[str, Any]) -> dict[str, Any]:
    """Runs a statement that answers with one JSON object of rows, as the views have them.

    The moments in it become ISO 8601 in UTC, and the rows lose what they have in common: whose they are, and up to
    which number they count.

    Args:
        connection: bound to a customer.
        statement: of one row with one column: the object, as text.
        values: its parameters.

    Raises:
        CustomerError: the session works for no customer.
    """
    row = LedgerCursor(connection).execute(statement, values).fetchone()
    found: dict[str, Any] = json.loads(row[0]) if row else {}
    if found.get("customer_id") is None:
        raise no_customer(connection)
    common = {"customer_id", "counts_up_to"}
    for key, value in found.items():
        if isinstance(value, list):
            found[key] = [{name: _in_utc(row[name], name) for name in row if name not in common} for row in value]
        elif isinstance(value, dict):
            found[key] = {name: _in_utc(value[name], name) for name in value if name != "customer_id"}
        else:
            found[key] = _in_utc(value, key)
    return found


def _in_utc(value: Any, name: str) -> Any:
    if isinstance(value, str) and name in _MOMENTS:
        return datetime.fromisoformat(value).astimezone(UTC).isoformat()
    return value


def read_metrics(connection: psycopg.Connection[Any], grain: Grain = "day", last: int = 14) -> dict[str, Any]:
    """Reads a customer's metrics, all of one moment, in a form that JSON has.

    Args:
        connection: bound to the customer; its transaction, if it is in one, stays as it is.
        grain: hours, days or months, in UTC.
        last: of how many of them there is news at most; those without any event do not count.

    Returns:
        ``customer_id``, ``grain``, ``read_at``, ``freshness``, ``overview`` (null if nothing is counted yet),
        ``thresholds`` in force, ``deployments``, ``health`` by bucket and series, ``value`` (leads) by bucket,
        ``actions`` by type and risk, ``governance`` by bucket, ``alerts``, the latest first, ``tools`` and
        ``tool_days``, the same runs by tool and by day, and ``billing`` by month. Columns as in the views: times in
        milliseconds, rates as fractions, days and months as ISO dates, moments as ISO 8601 in UTC.

    Raises:
        CustomerError: the session works for no customer.
        ValueError: ``last`` is less than 1.
    """
    if last < 1:
        raise ValueError("last is at least 1")
    values = {"first": None, "until": None, "days": None, "buckets": last, "views": None}
    found = ask(connection, _statement(grain), values)
    # Of a period, which this is none.
    for key in ("first", "until", "before", "definitions"):
        del found[key]
    return found


def read_period(
    connection: psycopg.Connection[Any], customer: str | None, first: date | None, until: date | None
) -> dict[str, Any]:
    """Reads a customer's metrics of a period by day, those of as many days before it, and what they mean.

    Args:
        connection: a login that reads ``aximo_metrics``.
        customer: whose; ``None`` for the session's.
        first, until: the period; left out: the 90 days up to ``until``, and until the latest day of any event.

    Returns:
        As :func:`read_metrics`, with ``first`` and ``until`` (null if there is nothing), ``before`` and
        ``definitions``. ``health``, ``value`` and ``governance`` have the days before, too.

    Raises:
        CustomerError: there is no such customer for this login, or none was named and it has not exactly one.
    """
    values = {"first": first, "until": until, "days": _DAYS, "buckets": None, "views": list(_VIEWS)}
    with _works_for(connection, customer):
        return ask(connection, _statement("day"), values)


@contextmanager
def _works_for(connection: psycopg.Connection[Any], customer: str | None) -> Iterator[None]:
    if customer is None:
        yield
        return
    with connection.transaction():
        setting = LedgerCursor(connection)
        before = setting.execute(statements.GET_CUSTOMER).fetchone() or ("",)
        setting.execute(statements.SET_CUSTOMER, (customer,))
        yield
        # In a transaction of the caller's the setting would stay.
        setting.execute(statements.SET_CUSTOMER, before)
