"""Object-centric event logs, OCEL 2.0: a customer's log for process mining, as SQLite or JSON.

The events come in the order of the log and are put into an SQLite database in a temporary file, with what they are
about: executions, deployments, skill versions, actions and approvals. That is the one form; the other is written from
it. So memory does not grow with the log. Of payloads nothing is in it but ids and the type of an action.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Literal, TextIO

import psycopg

from aximo_db.client.errors import ProofError
from aximo_db.client.vocabulary import EVENT_TYPES
from aximo_db.client.whose import no_customer
from aximo_db.lines.exporter import FETCH, Exported, snapshot, unnumbered

__all__ = ["export_ocel"]

#: The zero of OCEL's time: what an attribute was before any change.
_ZERO: Final = "1970-01-01T00:00:00.000000Z"
_EVENT_ATTRIBUTES: Final = {
    "actor": "string", "risk_level": "string", "approval_mode": "string", "error_code": "string",
    "latency_ms": "integer", "channel_type": "string", "action_type": "string", "log_number": "integer",
}  # fmt: skip
_OBJECTS: Final = {
    "execution": ("execution_id",),
    "deployment": ("deployment_id", "status", "skill_id", "skill_version"),
    "skill_version": ("skill_id", "skill_version"),
    "action": ("execution_id", "action_id"),
    "approval": ("execution_id", "approval_id"),
}
_STATUS: Final = {
    "deployment_created": "pending_configuration",
    "deployment_configured": "configured",
    "deployment_activated": "active",
    "deployment_suspended": "suspended",
    "deployment_terminated": "terminated",
}
#: Events that say which version a deployment runs. One that is suspended says it of what it ran.
_VERSIONED: Final = (*(each for each in _STATUS if each != "deployment_suspended"), "deployment_updated",
    "version_upgraded", "version_rolled_back")  # fmt: skip
_ACTION: Final = {"action_prepared": "prepares", "action_dispatched": "dispatches", "action_failed": "fails"}


def _key(name: str) -> str:
    """An id in a payload as the rules of an execution's life compare it: as aximo_private.step_key has it."""
    given = f"e.payload -> '{name}'"
    return (
        f"case jsonb_typeof({given})"
        f" when 'string' then case when octet_length(e.payload ->> '{name}') <= 255 then e.payload ->> '{name}'"
        f" else 'sha256 ' || encode(sha256(convert_to(e.payload ->> '{name}', 'UTF8')), 'hex') end"
        f" when 'number' then case when abs(({given})::numeric) < 1e100 and scale(({given})::numeric) < 100"
        f" then e.payload ->> '{name}' else 'json ' || jsonb_hash_extended({given}, 0) end"
        f" when 'boolean' then e.payload ->> '{name}'"
        " when 'null' then null"
        f" else 'json ' || jsonb_hash_extended({given}, 0) end"
    )


_COLUMNS: Final = (
    "number", "event_id", "event_type", "time", "deployment_id", "skill_id", "skill_version", "execution_id", "actor",
    "risk_level", "approval_mode", "error_code", "latency_ms", "channel_type", "action_type", "action_id",
    "approval_id", "answers",
)  # fmt: skip
_EVENTS: Final = f"""
select
    e.number, e.event_id::text, e.event_type,
    to_char(e."timestamp" at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    e.deployment_id, e.skill_id, e.skill_version, e.execution_id, e.actor, e.risk_level, e.approval_mode, e.error_code,
    e.latency_ms, e.channel_type,
    case when jsonb_typeof(e.payload -> 'action_type') = 'string' then left(e.payload ->> 'action_type', 255) end,
    {_key("action_id")}, {_key("approval_id")}, a.request_event_id::text
from aximo.log_entries as e
left join lateral (
    select p.request_event_id
    from aximo.approvals as p
    where p.customer_id = e.customer_id and p.execution_id = e.execution_id and p.decision_event_id = e.event_id
        and e.event_type in ('approval_granted', 'approval_rejected', 'approval_timeout')
    offset 0
) as a on true
order by e.number
"""


def export_ocel(
    dsn: str | None,
    target: TextIO,
    *,
    customer_id: str | None = None,
    form: Literal["json", "sqlite"] = "json",
    progress: Callable[[int], None] | None = None,
) -> Exported:
    """Writes a customer's log of events as an object-centric event log, from one consistent snapshot.

    Args:
        dsn, target, customer_id, progress: as for :func:`aximo_db.lines.exporter.export_log`; of ``sqlite``, the bytes
            go into ``target.buffer``.
        form: of OCEL 2.0: JSON, or an SQLite database.

    Raises:
        ProofError: an event of the log is not there: somebody took it away.
        CustomerError: no customer, or one that the login was not granted.
    """
    with tempfile.TemporaryDirectory(prefix="aximo-") as folder:
        path = Path(folder) / "ocel.sqlite"
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            # Nobody reads the file before it is whole, and what is left of it after a crash is thrown away.
            database.execute("pragma journal_mode = off")
            database.execute("pragma synchronous = off")
            log = _ObjectLog(database)
            database.execute("begin")
            with snapshot(dsn, customer_id, numbered=True) as connection:
                written = 0
                for event in _events(connection):
                    log.add(event)
                    written += 1
                    if progress is not None and written % FETCH == 0:
                        progress(written)
                missing = unnumbered(connection, "events", written)
            database.execute("commit")
            if form == "json":
                for text in _json(database):
                    target.write(text)
        if form == "sqlite":
            with path.open("rb") as source:
                shutil.copyfileobj(source, target.buffer)
    if progress is not None:
        progress(written)
    return Exported(written, missing)


def _events(connection: psycopg.Connection[tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """The events of the log of the session's customer, in order, none missing."""
    row = connection.execute("select aximo.current_customer(), aximo.log_size('events')").fetchone()
    if row is None or row[0] is None:
        raise no_customer(connection)
    last = 0
    with connection.cursor("export_events") as cursor:
        cursor.itersize = FETCH
        for values in cursor.execute(_EVENTS):
            if values[0] != last + 1:
                break
            yield dict(zip(_COLUMNS, values, strict=True))
            last += 1
    if last != row[1]:
        raise ProofError(
            "the log is not whole",
            rule="log_is_whole",
            detail=f"entry {last + 1} is missing, or its event is",
            hint="Run aximo-db verify --log events, which names what is missing.",
        )


_TABLES: Final = """
create table event_map_type (ocel_type text not null primary key, ocel_type_map text not null unique);
create table object_map_type (ocel_type text not null primary key, ocel_type_map text not null unique);
create table event (
    ocel_id text not null primary key, ocel_type text not null,
    foreign key (ocel_type) references event_map_type (ocel_type)
);
create table object (
    ocel_id text not null primary key, ocel_type text not null,
    foreign key (ocel_type) references object_map_type (ocel_type)
);
create table event_object (
    ocel_event_id text not null, ocel_object_id text not null, ocel_qualifier text not null,
    primary key (ocel_event_id, ocel_object_id, ocel_qualifier),
    foreign key (ocel_event_id) references event (ocel_id), foreign key (ocel_object_id) references object (ocel_id)
);
create table object_object (
    ocel_source_id text not null, ocel_target_id text not null, ocel_qualifier text not null,
    primary key (ocel_source_id, ocel_target_id, ocel_qualifier),
    foreign key (ocel_source_id) references object (ocel_id), foreign key (ocel_target_id) references object (ocel_id)
);
-- What is known so far, to tell what the next event is about. Temporary tables are no part of the file.
create temp table unnamed_actions (execution text, action_type text, n integer, is_open integer);
create index temp.unnamed_by_order on unnamed_actions (execution, n);
create index temp.unnamed_open on unnamed_actions (execution, action_type, is_open, n);
create temp table requests (execution text, approval text, n integer, event text primary key, object text);
create index temp.requests_by_approval on requests (execution, approval, n);
create temp table waiting (execution text, approval text, action text, primary key (execution, approval, action));
create temp table deployments (deployment text primary key, status text, skill_id text, skill_version text);
"""


class _ObjectLog:
    """An SQLite database as OCEL 2.0 has it, to which events are added in the order of the log."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        database.executescript(_TABLES)
        for name, attributes in _OBJECTS.items():
            database.execute("insert into object_map_type values (?, ?)", (name, name))
            columns = "".join(f", {each} text" for each in attributes)
            database.execute(
                f"create table object_{name} (ocel_id text not null, ocel_time timestamp not null,"
                f" ocel_changed_field text{columns}, foreign key (ocel_id) references object (ocel_id))"
            )
            database.execute(f"create index {name}_changes on object_{name} (ocel_id)")
        # All of them, used or not: whoever asks finds the same tables in every file.
        columns = "".join(f", {each} {kind}" for each, kind in _EVENT_ATTRIBUTES.items()).replace("string", "text")
        for name in EVENT_TYPES:
            database.execute("insert into event_map_type values (?, ?)", (name, name))
            database.execute(
                f"create table event_{name} (ocel_id text not null primary key, ocel_time timestamp not null{columns},"
                " foreign key (ocel_id) references event (ocel_id))"
            )

    def add(self, event: dict[str, Any]) -> None:
        """Adds an event and what it is about."""
        self._add_event(event)
        event_id, execution = event["event_id"], event["execution_id"]
        version = self._object("skill_version", event["skill_id"], event["skill_version"])
        deployment = self._deployment(event)
        self._about(event_id, deployment, "of")
        self._about(event_id, version, "ran as")
        if execution is None:
            return
        whole = self._object("execution", execution)
        self._about(event_id, whole, "in")
        self._relate(whole, deployment, "of")
        self._relate(whole, version, "ran as")
        action = self._action(event)
        if action is not None:
            self._about(event_id, action, _ACTION.get(event["event_type"], "about"))
            self._relate(action, whole, "in")
        self._approval(event, whole, action)

    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self._database.execute(query, values).fetchall()

    def _add_event(self, event: dict[str, Any]) -> None:
        name = event["event_type"]
        self._all("insert into event values (?, ?)", event["event_id"], name)
        values = [event["number"] if each == "log_number" else event[each] for each in _EVENT_ATTRIBUTES]
        places = ", ".join("?" * (len(values) + 2))
        self._all(f"insert into event_{name} values ({places})", event["event_id"], event["time"], *values)

    def _object(self, kind: str, *names: str, shown: tuple[str | None, ...] | None = None, end: str = "") -> str:
        """The id of an object, which is made the first time."""
        object_id = "/".join((kind, *map(_part, names))) + end
        if self._is_new(kind, object_id):
            self._first_row(kind, object_id, shown if shown is not None else names)
        return object_id

    def _is_new(self, kind: str, object_id: str) -> bool:
        done = self._database.execute("insert or ignore into object values (?, ?)", (object_id, kind))
        return done.rowcount > 0

    def _first_row(self, kind: str, object_id: str, values: tuple[str | None, ...]) -> None:
        places = ", ".join("?" * len(values))
        self._all(f"insert into object_{kind} values (?, ?, null, {places})", object_id, _ZERO, *values)

    def _about(self, event_id: str, object_id: str, qualifier: str) -> None:
        self._all("insert or ignore into event_object values (?, ?, ?)", event_id, object_id, qualifier)

    def _relate(self, source: str, target: str, qualifier: str) -> None:
        self._all("insert or ignore into object_object values (?, ?, ?)", source, target, qualifier)

    def _deployment(self, event: dict[str, Any]) -> str:
        """The deployment, with what changes by this event."""
        name, kind = event["deployment_id"], event["event_type"]
        object_id = f"deployment/{_part(name)}"
        version = (event["skill_id"], event["skill_version"])
        if self._is_new("deployment", object_id):
            self._first_row("deployment", object_id, (name, "undeclared", *version))
            self._all("insert into deployments values (?, 'undeclared', ?, ?)", name, *version)
        if kind not in _STATUS and kind not in _VERSIONED:
            return object_id
        [before] = self._all("select status, skill_id, skill_version from deployments where deployment = ?", name)
        after = (_STATUS.get(kind, before[0]), *(version if kind in _VERSIONED else before[1:]))
        for field, old, new in zip(("status", "skill_id", "skill_version"), before, after, strict=True):
            if old != new:
                self._all(
                    f"insert into object_deployment (ocel_id, ocel_time, ocel_changed_field, {field})"
                    " values (?, ?, ?, ?)",
                    object_id, event["time"], field, new,
                )  # fmt: skip
                self._all(f"update deployments set {field} = ? where deployment = ?", new, name)
        return object_id

    def _action(self, event: dict[str, Any]) -> str | None:
        """The action that an event is about: by its id, else by the order of those of its type that are open."""
        execution, action_id, kind = event["execution_id"], event["action_id"], event["event_type"]
        if action_id is not None:
            return self._object("action", execution, action_id, shown=(execution, action_id))
        if kind not in _ACTION:
            return None
        action_type = event["action_type"]
        if kind != "action_prepared":
            found = self._all(
                "select n from unnamed_actions where execution = ? and action_type is ? and is_open order by n limit 1",
                execution, action_type,
            )  # fmt: skip
            if found:
                n = found[0][0]
                self._all("update unnamed_actions set is_open = 0 where execution = ? and n = ?", execution, n)
                return self._object("action", execution, shown=(execution, None), end=f"/#{n}")
        [(last,)] = self._all("select max(n) from unnamed_actions where execution = ?", execution)
        n = (last or 0) + 1
        is_open = kind == "action_prepared"
        self._all("insert into unnamed_actions values (?, ?, ?, ?)", execution, action_type, n, is_open)
        return self._object("action", execution, shown=(execution, None), end=f"/#{n}")

    def _approval(self, event: dict[str, Any], execution: str, action: str | None) -> None:
        """Relates an event to the approval that it asks for or answers, or to those that it has to wait for."""
        event_id, name, approval = event["event_id"], event["execution_id"], event["approval_id"]
        kind = event["event_type"]
        if kind == "approval_requested":
            [(n,)] = self._all("select count(*) from requests where execution = ? and approval is ?", name, approval)
            # Asked for again, it is another one: of two, one may be granted and one denied.
            ids = (name,) if approval is None else (name, approval)
            end = f"/#{n + 1}" if approval is None else f"#{n + 1}" if n else ""
            asked = self._object("approval", *ids, shown=(name, approval), end=end)
            self._all("insert into requests values (?, ?, ?, ?, ?)", name, approval, n + 1, event_id, asked)
            self._about(event_id, asked, "asks")
            self._relate(asked, execution, "in")
            actions = self._all("select action from waiting where execution = ? and approval is ?", name, approval)
            for (each,) in [*actions, *([(action,)] if action is not None else [])]:
                self._relate(asked, each, "for")
        elif event["answers"] is not None:
            # An answer to nothing that is open answers nothing.
            for (asked,) in self._all("select object from requests where event = ?", event["answers"]):
                self._about(event_id, asked, "answers")
        elif action is not None and kind in _ACTION:
            if approval is not None:
                self._all("insert or ignore into waiting values (?, ?, ?)", name, approval, action)
                named = self._all("select object from requests where execution = ? and approval = ?", name, approval)
                for (asked,) in named:
                    self._relate(asked, action, "for")
            elif kind == "action_dispatched":
                # One that names none has to wait for all of them.
                named = self._all("select object from requests where execution = ?", name)
            if kind == "action_dispatched":
                for (asked,) in named:
                    self._about(event_id, asked, "waits for")


_SEPARATORS: Final = re.compile(r"[%/#\x00-\x1f\x7f]")


def _part(name: str) -> str:
    """A part of an object's id, in which no separator is."""
    return _SEPARATORS.sub(lambda found: f"%{ord(found[0]):02X}", name)


def _json(database: sqlite3.Connection) -> Iterator[str]:
    """The same log as JSON, an event or an object a line."""

    def rows(query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        return iter(database.execute(query, values))

    def types(table: str, attributes: Callable[[str], dict[str, str]]) -> str:
        found = [
            {"name": name, "attributes": [{"name": each, "type": kind} for each, kind in attributes(name).items()]}
            for (name,) in rows(f"select ocel_type from {table} order by rowid")
        ]
        return _text(found)

    def objects_of(query: str, ocel_id: str) -> list[dict[str, str]]:
        return [{"objectId": target, "qualifier": qualifier} for target, qualifier in rows(query, ocel_id)]

    object_types = types("object_map_type", lambda name: dict.fromkeys(_OBJECTS[name], "string"))
    yield f'{{"eventTypes":{types("event_map_type", lambda _: dict(_EVENT_ATTRIBUTES))},\n"objectTypes":{object_types}'
    before = ',\n"events":[\n'
    for ocel_id, name in rows("select ocel_id, ocel_type from event order by rowid"):
        [(_, time, *values)] = rows(f"select * from event_{name} where ocel_id = ?", ocel_id)
        event = {
            "id": ocel_id,
            "type": name,
            "time": time,
            "attributes": [
                {"name": each, "value": value}
                for each, value in zip(_EVENT_ATTRIBUTES, values, strict=True)
                if value is not None
            ],
            "relationships": objects_of(
                "select ocel_object_id, ocel_qualifier from event_object where ocel_event_id = ? order by rowid",
                ocel_id,
            ),
        }
        yield before + _text(event)
        before = ",\n"
    yield "\n]" if before == ",\n" else before + "]"
    before = ',\n"objects":[\n'
    for ocel_id, name in rows("select ocel_id, ocel_type from object order by rowid"):
        attributes = [
            {"name": each, "time": time, "value": value}
            for _, time, _, *values in rows(f"select * from object_{name} where ocel_id = ? order by rowid", ocel_id)
            for each, value in zip(_OBJECTS[name], values, strict=True)
            if value is not None
        ]
        related = objects_of(
            "select ocel_target_id, ocel_qualifier from object_object where ocel_source_id = ? order by rowid", ocel_id
        )
        yield before + _text({"id": ocel_id, "type": name, "attributes": attributes, "relationships": related})
        before = ",\n"
    yield "\n]}\n" if before == ",\n" else before + "]}\n"


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
