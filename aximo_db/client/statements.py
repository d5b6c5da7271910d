"""Every statement the package sends, and how its values are made: shared by the two stores, which only send them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar, get_args
from uuid import UUID

from aximo_db.client import own_errors
from aximo_db.client.dsn import libpq_dsn
from aximo_db.client.errors import (
    AximoError,
    MalformedEventError,
    SchemaVersionError,
)
from aximo_db.client.events import (
    FIELDS,
    Approval,
    Deployment,
    DeploymentVersion,
    Event,
    Execution,
    Log,
    LogCursor,
    LogEntry,
    NewEvent,
    OpenExecution,
    Receipt,
    checked_payload,
    shortened,
    to_json,
    utc,
)
from aximo_db.client.run_events import Run, RunEvent, RunLogEntry


@dataclass(frozen=True, slots=True)
class LogLine:
    """An entry of a log as its line.

    Attributes:
        line: as it is exported.
        number: its number.
    """

    line: str
    number: int


E = TypeVar("E", LogEntry, RunLogEntry, LogLine)

#: What this package speaks; the schema says with aximo.oldest_client() whether it still listens.
CLIENT_PROTOCOL: Final = 1
#: The oldest schema whose functions and views this package can use.
OLDEST_SCHEMA: Final = 3


def columns(row: type, alias: str) -> str:
    """The columns of a relation for the fields of a class, in their order."""
    return ", ".join(f'{alias}."{item.name}"' for item in fields(row))


VERSIONS: Final = "select aximo.schema_version(), aximo.oldest_client()"
SET_CUSTOMER: Final = "select set_config('aximo.customer_id', %s, true)"
# With so few statistics as the ledger keeps, the planner would collect and sort a customer's events for every page.
SET_CUSTOMER_FOR_PAGE: Final = (
    "select set_config('aximo.customer_id', %s, true), set_config('enable_bitmapscan', 'off', true),"
    " set_config('enable_sort', 'off', true)"
)
GET_CUSTOMER: Final = "select coalesce(current_setting('aximo.customer_id', true), '')"

_TEXT_FIELDS: Final = tuple(name for name in FIELDS if name not in ("payload", "timestamp", "latency_ms", "event_id"))
EMIT: Final = f"select * from aximo.emit_event({', '.join(['%s'] * len(FIELDS))})"
EMIT_BATCH: Final = "select * from aximo.emit_events(%s, %s)"
CLOSE_STALE: Final = "select * from aximo.close_stale_executions(%s)"
LOG_SIZE: Final = "select s.size from aximo.log_size(%s) as s (size) where aximo.current_customer() is not null"
TRACE: Final = "select * from aximo.execution_trace(%s)"
CHECK_LOG_NODES: Final = "select aximo.check_log_nodes(%s)"
REFRESH_METRICS: Final = "select view_name, refreshed_at, took from aximo.refresh_metrics(%s::boolean)"
COUNT_METRICS: Final = "select is_behind from aximo.count_metrics()"
ADVANCE_LOG: Final = "select numbered, is_behind from aximo.advance_log(%s::integer)"
# The size is as of the statement's snapshot, which is not younger than the one that read_log reads with: the entries up
# to there have to be found. There is a row also if there is no entry.
_READ_LOG: Final = (
    "select s.size, {columns} from (select aximo.log_size('{log}') as size offset 0) as s"
    " left join {function}(%s::bigint, %s::integer) as e on true order by e.number"
)
OPEN_CURSOR: Final = "select aximo.open_cursor(%s::text, %s::text)"
MOVE_CURSOR: Final = "select aximo.move_cursor(%s::text, %s::bigint, %s::bigint, %s::text)"
WHOSE: Final = (
    "select aximo.current_customer(), array(select c.customer_id from aximo.my_customers() as c limit 11),"
    " to_regclass('aximo.placements') is not null"
)
#: Where the customer is that the session named, or the only one that its login has; schemas before version 2 have no
#: placements.
PLACED: Final = (
    "select p.customer_id, p.state, p.node from aximo.placements as p"
    " where p.customer_id = coalesce("
    "nullif(current_setting('aximo.customer_id', true), ''),"
    " (select min(q.customer_id) from aximo.placements as q"
    " having count(*) = 1 and not exists (select from aximo.my_customers()))"
    ")"
)

#: Runs and their events are tables that logins read themselves, and row security does not hold superusers and
#: BYPASSRLS: who exports and backs up. So whatever reads or changes them names the customer, whom the login has to be
#: granted.
OF_CUSTOMER: Final = "customer_id = (select aximo.current_customer())"
_NAMES_CUSTOMER: Final = ("helix.runs", "helix.run_events")

OBSERVE_RUN: Final = "select helix.observe_run(%s::text, tool_name => %s::text, requested_by => %s::text)"
_RUN: Final = columns(Run, "r")
# The run once, whatever the number of its events, and both as of one snapshot.
READ_RUN: Final = (
    f"select {_RUN}, {columns(RunEvent, 'e')}"
    f" from (select *, 1 as place from helix.runs where {OF_CUSTOMER} and run_id = %(run_id)s) as r"
    " full join ("
    "select *, row_number() over (order by event_id) as place from helix.run_events"
    f" where {OF_CUSTOMER} and run_id = %(run_id)s"
    ") as e on e.place = r.place order by e.event_id"
)
LINK_RUN: Final = (
    f"update helix.runs as r set execution_id = %s where r.{OF_CUSTOMER} and r.run_id = %s returning {_RUN}"
)


@dataclass(frozen=True, slots=True)
class LogKind(Generic[E]):
    """A log of a customer, and how its entries are read.

    Attributes:
        log: which of the logs.
        entry: the class of its entries; ``number`` is its last field.
        read: the statement that reads them after a number, at most so many; each row has the log's size before them.
    """

    log: Log
    entry: type[E]
    read: str


def _log_kind(log: Log, entry: type[E], function: str) -> LogKind[E]:
    return LogKind(log, entry, _READ_LOG.format(log=log, columns=columns(entry, "e"), function=function))


EVENTS: Final = _log_kind("events", LogEntry, "aximo.read_log")
RUN_EVENTS: Final = _log_kind("run_events", RunLogEntry, "helix.read_log")


def lines_of(log: Log) -> LogKind[LogLine]:
    """A log, read as its lines. One whose event was taken away is missing in it."""
    return LogKind(
        log,
        LogLine,
        "select s.size, e.line, e.number"
        f" from (select aximo.log_size('{log}') as size, %s::bigint as after, %s::bigint as most offset 0) as s"
        " left join lateral ("
        " select l.line, l.number from aximo.log_lines as l"
        f" where l.log = '{log}' and l.number > s.after and l.number <= s.after + s.most and l.line is not null"
        " offset 0"
        ") as e on true order by e.number",
    )


def default_dsn(dsn: str | None) -> str:
    """The connection string to use: the one given, else ``AXIMO_DB_URL``, else libpq's own variables.

    Raises:
        InstallationError: it is for another database, or for a library that has options of its own.
    """
    return libpq_dsn(dsn if dsn is not None else os.environ.get("AXIMO_DB_URL", ""))


def check_log(log: str) -> None:
    """Refuses a log that no customer has, as the database does.

    Raises:
        MalformedEventError: there is no such log.
    """
    if log not in get_args(Log):
        raise MalformedEventError(
            "there is no such log",
            rule="log_known",
            detail=f"log {shortened(log)!r}",
            hint="A customer has the logs events and run_events.",
        )


def check_versions(schema_version: int, oldest_client: int) -> None:
    """Refuses to go on if the package and the schema do not understand each other.

    Raises:
        SchemaVersionError: one of them has to be upgraded first; the hint says which.
    """
    if schema_version < OLDEST_SCHEMA:
        raise SchemaVersionError(
            rule="schema_recent_enough",
            detail=f"schema version {schema_version}, at least {OLDEST_SCHEMA} is needed",
            hint="Run aximo-db migrate as the owner of the database.",
        )
    if oldest_client > CLIENT_PROTOCOL:
        raise SchemaVersionError(
            rule="package_recent_enough",
            detail=f"client protocol {CLIENT_PROTOCOL}, at least {oldest_client} is needed",
            hint="Upgrade the package aximo-db.",
        )


_LATENCY: Final = "Give whole milliseconds, from 0 on."


def check_types(event: NewEvent) -> None:
    """Refuses what no statement could carry to its column; the database looks at the rest.

    Raises:
        MalformedEventError: a text field that is no string, a latency that is no integer.
    """
    latency = event.latency_ms
    if latency is not None:
        if isinstance(latency, bool) or not isinstance(latency, int):
            raise MalformedEventError(
                rule="latency_ms_is_number",
                detail=f"latency_ms is a {type(latency).__name__}, not an int",
                hint=_LATENCY,
                event=event,
            )
        if not -(2**63) <= latency < 2**63:
            raise MalformedEventError(
                rule="latency_ms_well_formed",
                detail=f"latency_ms is {shortened(latency)}, more than a column holds",
                hint=_LATENCY,
                event=event,
            )
    for name in _TEXT_FIELDS:
        value = getattr(event, name)
        if value is not None and not isinstance(value, str):
            raise MalformedEventError(
                rule=f"{name}_is_string",
                detail=f"{name} is a {type(value).__name__}",
                hint=f"Give {name} as a str.",
                event=event,
            )


def emit_values(event: NewEvent, customer_id: str | None) -> Sequence[Any]:
    """The arguments of ``aximo.emit_event``; the list is made by ``tools/event_fields.py``.

    Text takes the type of its parameter, so that one prepared statement serves every event, whatever it leaves out and
    however large its latency is. A moment is none: in text, PostgreSQL reads no offset of 16 hours or more.

    Raises:
        MalformedEventError: a value of the wrong type, or JSON that PostgreSQL has no form for.
    """
    check_types(event)
    return (
        event.event_type,
        event.deployment_id,
        event.skill_id,
        event.skill_version,
        event.actor,
        event.customer_id if event.customer_id is not None else customer_id,
        event.execution_id,
        to_json(checked_payload(event.payload)),
        utc(event.timestamp),
        event.risk_level,
        event.approval_mode,
        event.correlation_id,
        event.channel_type,
        event.error_code,
        None if event.latency_ms is None else str(int(event.latency_ms)),
        event.event_id,
    )


def receipt_row(_: object) -> Callable[[Sequence[Any]], Receipt]:
    """A row factory: each row is a receipt."""
    return Receipt._make


def batch_value(events: Sequence[NewEvent], customer_id: str | None) -> str:
    """The argument of ``aximo.emit_events``; the customer is of events that name none."""
    return to_json([event.as_json(customer_id) for event in events])


def select(
    view: str, row: type, conditions: Mapping[str, Any], order: str, limit: int | None, schema: str = "aximo"
) -> tuple[str, list[Any]]:
    """A query on a view.

    Args:
        view: the view, or a call of its ``_as_of`` form.
        row: the class of the rows; its fields are the columns.
        conditions: column, or column and operator, to value; ``None`` leaves the condition out.
        order: the ``order by`` list.
        limit: at most how many rows, or ``None``.
        schema: the view's.
    """
    names = ", ".join(f'"{item.name}"' for item in fields(row))
    clauses: list[str] = [OF_CUSTOMER] if f"{schema}.{view}" in _NAMES_CUSTOMER else []
    values: list[Any] = []
    for column, value in conditions.items():
        if value is None:
            continue
        name, _, operator = column.partition(" ")
        if isinstance(value, list | tuple | set | frozenset):
            clauses.append(f'"{name}" = any(%s)')
            values.append(list(value))
        else:
            clauses.append(f'"{name}" {operator or "="} %s')
            values.append(utc(value) if isinstance(value, datetime) else value)
    where = f" where {' and '.join(clauses)}" if clauses else ""
    tail = ""
    if limit is not None:
        tail = " limit %s"
        values.append(limit)
    return f"select {names} from {schema}.{view}{where} order by {order}{tail}", values


def events_page(
    conditions: Mapping[str, Any], after: tuple[datetime, UUID] | None, page_size: int
) -> tuple[str, list[Any]]:
    """One page of events in order of (timestamp, event_id), from after a key."""
    query, values = select("events", Event, conditions, 'e."timestamp", e.event_id', page_size)
    query = query.replace("from aximo.events", "from aximo.events as e", 1)
    if after is not None:
        keyset = '(e."timestamp", e.event_id) > (%s, %s)'
        head, order, tail = query.partition(" order by ")
        query = f"{head} {'and' if ' where ' in head else 'where'} {keyset}{order}{tail}"
        values[-1:-1] = [utc(after[0]), after[1]]
    return query, values


ROWS: Final = (Approval, Deployment, DeploymentVersion, Event, Execution, LogCursor, LogEntry, OpenExecution)


def run_events_page(run_id: str, after: int | None, page_size: int | None) -> tuple[str, list[Any]]:
    """The events of a run in order of event_id, from after one, all or at most so many."""
    conditions = {"run_id": run_id, "event_id >": after}
    return select("run_events", RunEvent, conditions, "event_id", page_size, schema="helix")


def run_and_events(rows: Sequence[Sequence[Any]]) -> tuple[Run, list[RunEvent]]:
    """What the rows of ``READ_RUN`` hold: the run is in the first one."""
    width = len(fields(Run))
    return Run(*rows[0][:width]), [RunEvent(*row[width:]) for row in rows if row[width] is not None]


def log_entries(kind: LogKind[E], rows: Sequence[Sequence[Any]], after: int, max_entries: int) -> list[E]:
    """The entries in the rows of a log's statement, if none is missing.

    Raises:
        ProofError: the numbers do not go on from ``after``, or end before the log does.
    """
    size: int = rows[0][0]
    entries = [kind.entry(*row[1:]) for row in rows if row[-1] is not None]
    expected = after
    for entry in entries:
        expected += 1
        if entry.number != expected:
            raise own_errors.log_gap(expected, entry.number)
    if expected < min(size, after + max_entries):
        raise own_errors.log_gap(expected + 1, size)
    return entries


def metrics(view: str) -> str:
    """All of a view of metrics; names that could be more than a name are refused."""
    if not view.isidentifier() or not view.isascii():
        raise MalformedEventError(
            "no view of metrics has that name",
            rule="view_of_metrics",
            hint="The views are listed in aximo_metrics.freshness, and in docs/bi.md.",
        )
    return f'select * from aximo_metrics."{view}"'


def poll_bounds(poll: tuple[float, float]) -> tuple[float, float]:
    """The shortest and the longest time between two looks, in seconds.

    Raises:
        ValueError: the first is not above zero, or above the second.
    """
    least, most = poll
    if not 0 < least <= most:
        raise ValueError("poll is the shortest and the longest time in seconds, above zero")
    return least, most


def as_of(view: str, moment: datetime | None, known_at: datetime | None) -> str:
    """The view, or its form for a moment in the past, whose arguments come first among the query's values.

    Raises:
        MalformedEventError: ``known_at`` without a moment.
    """
    if moment is None:
        if known_at is not None:
            raise MalformedEventError(
                "known_at goes with as_of",
                rule="moment_present",
                detail="known_at was given, and as_of was not",
                hint="Give as_of, too: the moment to look at, by timestamp.",
            )
        return view
    return f"{view}_as_of(%s, %s)"


def as_of_values(moment: datetime | None, known_at: datetime | None) -> list[Any]:
    """The arguments of the ``_as_of`` form, none if there is no moment."""
    if moment is None:
        return []
    return [utc(moment), utc(known_at) if known_at is not None else "infinity"]


def backoff(attempt: int) -> float:
    """Seconds to wait before trying again: doubling from 50 ms to 2 s."""
    return min(0.05 * 2.0**attempt, 2.0)


def milliseconds(duration_s: float) -> int:
    """Whole milliseconds of a duration in seconds."""
    return max(0, round(duration_s * 1000))


def _storable(text: str) -> str:
    """The text with what PostgreSQL has no form for written out."""
    return text.replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode()


def failure_payload(error: BaseException) -> dict[str, str]:
    """What an execution_failed event says of an exception: its text, made storable and cut to 4,000 characters."""
    try:
        told = error.message if isinstance(error, AximoError) else str(error)
    except Exception:  # one that can't be told fails the execution all the same
        told = ""
    return {"error": _storable(told)[:4000] or type(error).__name__, "exception": type(error).__qualname__}


def failure_code(error: BaseException) -> str:
    """The error_code of an exception: its own, if it has one, else its class's name; at most 255 characters."""
    own = getattr(error, "error_code", None) or getattr(error, "sqlstate", None)
    return _storable(str(own or type(error).__qualname__))[:255]


def interval(duration: timedelta) -> timedelta:
    """The duration, if it is one.

    Raises:
        MalformedEventError: not a timedelta.
    """
    if not isinstance(duration, timedelta):
        raise MalformedEventError(
            "older_than is a duration",
            rule="older_than_not_negative",
            detail=f"older_than is a {type(duration).__name__}",
            hint="Give a timedelta of zero or more.",
        )
    return duration
