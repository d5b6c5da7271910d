"""The contract: what is read from a database, and how every kind of change is judged."""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb
from typer.testing import CliRunner

import aximo_db
from aximo_db.cli import app as cli
from aximo_db.cli import contract as cli_contract
from aximo_db.client import errors
from aximo_db.client.events import _REQUIRED, NewEvent
from aximo_db.contract import (
    Change,
    Contract,
    compare,
    contract_names,
    holds,
    load_contract,
    parse_contract,
    read_contract,
    shipped_contract,
    write,
)
from aximo_db.lines import importer
from aximo_db.lines.importer import Refusal
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import DBA, INSTALLS, VERSIONS, Ledger, _cloned
from tests.events import SHORT_TEXTS

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "aximo_db" / "data" / "contracts" / "aximo.json"

Judged = set[tuple[str, str, str]]


def judged(changes: list[Change]) -> Judged:
    return {(change.kind, change.what, change.where) for change in changes}


def breaks(what: str, where: str) -> Judged:
    return {("breaking", what, where)}


def adds(what: str, where: str) -> Judged:
    return {("additive", what, where)}


def puzzles(what: str, where: str) -> Judged:
    return {("unknown", what, where)}


@dataclasses.dataclass
class Surface:
    """A database that is changed and never kept so, and what its contract was."""

    ledger: Ledger
    connection: psycopg.Connection[Any]
    contract: Contract


@pytest.fixture(scope="module", params=VERSIONS)
def surface(request: pytest.FixtureRequest, servers: Callable[[str], EmbeddedServer]) -> Iterator[Surface]:
    """One database a server for the module."""
    for ledger in _cloned(servers(request.param), "fresh", "contract_test"):
        connection = ledger.superuser()
        connection.execute("set check_function_bodies = off")
        yield Surface(ledger, connection, read_contract(connection, "aximo"))


# What is read


@pytest.mark.parametrize("install", INSTALLS)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_shipped_contract_is_what_every_installation_offers(
    version: str, install: str, servers: Callable[[str], EmbeddedServer]
) -> None:
    shipped = shipped_contract("aximo")
    with psycopg.connect(servers(version).dsn(DBA, f"template_{install}"), autocommit=True) as connection:
        live = read_contract(connection, "aximo")
    differences = [f"{change.kind}: {change.what}: {change.where}" for change in compare(shipped, live)]
    hint = f"run make generated, and review what it changes in {SHIPPED.relative_to(ROOT)}"
    assert differences == [], hint
    assert live.document == shipped.document, hint


def test_the_shipped_file_is_as_it_would_be_written(tmp_path: Path) -> None:
    write(shipped_contract("aximo"), tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text(encoding="utf-8") == SHIPPED.read_text(encoding="utf-8")
    assert SHIPPED.read_text(encoding="utf-8").isascii()


def test_the_contract_does_not_depend_on_who_looks(surface: Surface) -> None:
    reader = surface.ledger.login("contract_reader", "aximo_reader", customers=("c1",))
    for user in (DBA, reader):
        with psycopg.connect(surface.ledger.dsn(user), autocommit=True) as connection:
            assert read_contract(connection, "aximo").document == surface.contract.document, user


def test_who_may_not_read_the_event_types_is_told_so(surface: Surface) -> None:
    analyst = surface.ledger.login("contract_analyst", "aximo_bi", customers=("c1",))
    with psycopg.connect(surface.ledger.dsn(analyst), autocommit=True) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            read_contract(connection, "aximo")


def test_the_errors_are_those_of_the_register() -> None:
    own = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8").split("## PostgreSQL's own codes")[0]
    registered = {(code, name) for code, name in re.findall(r"^\| `(\w{5})` \| `(\w+)`", own, re.MULTILINE)}
    rules = set()
    for section in re.split(r"^### ", own, flags=re.MULTILINE)[1:]:
        if section.startswith("Rules of a deployment's life\n"):
            continue  # They refuse nothing: no code is theirs.
        codes = re.findall(r"\b(?:ZX[A-Z]{3}|\d{5})\b", section.splitlines()[0])
        for names, meaning in re.findall(r"^\| (`[^|]+) \|([^|]*)", section, re.MULTILINE):
            code = next((each for each in codes if f"`{each}`:" in meaning), codes[0])
            rules |= {(code, rule) for rule in re.findall(r"`(\w+)`", names)}
    # Of the two contracts one has the package's classes; what only schema helix refuses is in the other one.
    found = shipped_contract("aximo").document["errors"]
    assert {(code, entry["class"]) for code, entry in found.items()} == registered
    of_runs = shipped_contract("helix").document["errors"]
    assert set(of_runs) <= set(found)
    both = [*found.items(), *of_runs.items()]
    assert {(code, rule) for code, entry in both for rule in entry["rules"]} == rules
    assert all(places for _, entry in both for places in entry["rules"].values())


def test_the_roles_are_those_that_logins_get() -> None:
    assert shipped_contract("aximo").document["roles"] == [
        "aximo_auditor", "aximo_bi", "aximo_monitor", "aximo_operator", "aximo_owner", "aximo_reader", "aximo_writer"
    ]  # fmt: skip


def test_nothing_private_is_promised() -> None:
    document = shipped_contract("aximo").document
    assert not [name for part in ("relations", "functions", "types") for name in document[part] if "private" in name]
    assert all(each["used_by"] for part in ("relations", "types") for each in document[part].values())


# Lines


FULL = {
    "event_id": str(uuid4()), "event_type": "execution_triggered", "timestamp": "2026-01-01T00:00:00Z", "customer_id": "c",
    "deployment_id": "d", "skill_id": "s", "skill_version": "1", "execution_id": "e", "step": 1, "risk_level": "R1", "approval_mode": "AUTO",
    "actor": "system", "payload": {"a": 1}, "correlation_id": "k", "channel_type": "web", "error_code": "none", "latency_ms": 1,
    "recorded_at": "2026-01-01T00:00:00Z", "recorded_by": "r",
}  # fmt: skip
OPTIONAL = {"execution_id", "step", "latency_ms", *SHORT_TEXTS}


def test_the_fields_of_an_exported_line_are_those_that_are_written(surface: Surface) -> None:
    def line(event: dict[str, Any]) -> dict[str, Any]:
        row = surface.connection.execute(
            "select aximo_private.event_line(jsonb_populate_record(null::aximo_private.events, %s))", (Jsonb(event),)
        ).fetchone()
        assert row is not None
        found = json.loads(row[0])
        assert isinstance(found, dict)
        return found

    fields = surface.contract.document["jsonl"]["export"]["fields"]
    names = {str: "string", int: "number", dict: "object"}
    full = line(FULL)
    assert [(key, names[type(value)]) for key, value in full.items()] == [
        (each["name"], each["type"]) for each in fields
    ]
    least = line({key: value for key, value in FULL.items() if key not in OPTIONAL})
    assert list(least) == [each["name"] for each in fields if each["always"]]


def test_the_fields_of_an_imported_line_are_those_that_are_taken(surface: Surface) -> None:
    shape = surface.contract.document["jsonl"]["import"]
    names = {each["name"] for each in shape["fields"]}
    assert {each["name"] for each in shape["fields"] if each["required"]} == set(_REQUIRED)
    row = surface.connection.execute("select aximo_private.event_fields()").fetchone()
    assert row is not None
    assert names == set(row[0])
    assert names == {
        each["name"] for each in surface.contract.document["functions"]["aximo.emit_event"][0]["arguments"]
    }
    assert names == {each["name"] for each in surface.contract.document["inputs"]["event"]["fields"]}
    assert shape["ignored"] == list(importer._IGNORED)
    exported = {each["name"] for each in surface.contract.document["jsonl"]["export"]["fields"]}
    assert exported == names | set(shape["ignored"])


def test_the_fields_of_a_refused_line_are_those_that_are_written() -> None:
    fields = [each["name"] for each in shipped_contract("aximo").document["jsonl"]["rejects"]["fields"]]
    assert list(Refusal(1, "ZXARG", None, "why", "{}").as_json()) == fields


def test_the_payload_means_what_the_contract_says(surface: Surface) -> None:
    """What is written by hand, tried: each field changes what the named columns show."""
    with surface.connection.transaction(force_rollback=True):
        execute = surface.connection.execute
        execute("select aximo.grant_customer('postgres', '*')")
        execute("select set_config('aximo.customer_id', 'payload', true)")

        def tell(event_type: str, **payload: object) -> None:
            event = "select aximo.emit_event(%s, 'd', 's', '1', 'system', execution_id => 'e', payload => %s)"
            execute(event, (event_type, Jsonb(payload)))

        tell("execution_triggered")
        tell("execution_processing")
        tell("action_prepared", action_type="mail", action_id="m", approval_id="a")
        tell("approval_requested", approval_id="a")
        tell("approval_rejected", approval_id="a", reason="no")
        for more in ({}, {"priority": "high"}, {"emergency": True}, {"priority": "low", "emergency": False}):
            tell("action_dispatched", action_type="lead_capture", approval_id="b", **more)
        tell("execution_failed", error="it broke")
        found = execute("select approval_id, reason, actions_withheld from aximo.approvals").fetchall()
        assert found == [("a", "no", ["m"])]
        assert execute("select error_message from aximo.executions").fetchall() == [("it broke",)]
        execute("select aximo.advance_log()")
        execute("select aximo.refresh_metrics()")
        leads = execute("select leads, emergency_leads from aximo_metrics.business_value").fetchall()
        assert leads == [(4, 2)]
        kinds = execute("select action_type from aximo_metrics.actions order by 1").fetchall()
        assert kinds == [("lead_capture",), ("mail",)]


# Changes of a database


def reshape(view: str, *columns: str) -> Callable[[Surface], None]:
    """Makes a view anew with these columns, with what was said of it and granted on it."""

    def change(surface: Surface) -> None:
        was = surface.contract.document["relations"][view]
        execute = surface.connection.execute
        row = execute("select pg_get_viewdef(%s::regclass)", (view,)).fetchone()
        assert row is not None
        execute(f"drop view {view}")
        execute(f"create view {view} as select {', '.join(columns)} from ({row[0].rstrip(';')}) as v")
        execute(f"alter view {view} owner to aximo_owner")
        describe(surface, f"view {view}", was["meaning"])
        named = {re.split(r" as |\.", each)[-1].strip('"') for each in columns}
        for column in was["columns"]:
            if column["name"] in named:
                describe(surface, f'column {view}."{column["name"]}"', column["meaning"])
        for role in was["used_by"]:
            execute(f"grant select on {view} to {role}")

    return change


def describe(surface: Surface, thing: str, text: str | None) -> None:
    surface.connection.execute(f"comment on {thing} is '{(text or '').replace(chr(39), chr(39) * 2)}'".encode())


def remake(function: str, *edits: str) -> Callable[[Surface], None]:
    """Makes a function anew, with some of its text replaced: the first by the second, the third by the fourth."""

    def change(surface: Surface) -> None:
        (was,) = surface.contract.document["functions"][function]
        execute = surface.connection.execute
        row = execute(
            "select pg_get_functiondef(p.oid), p.oid::regprocedure::text, p.proowner::regrole::text"
            " from pg_proc as p where p.oid = %s::regproc",
            (function,),
        ).fetchone()
        assert row is not None
        text = row[0]
        for old, new in zip(edits[::2], edits[1::2], strict=True):
            assert old in text, (old, text)
            text = text.replace(old, new)
        execute(f"drop function {row[1]}")
        execute(text.encode())
        execute(f"alter function {function} owner to {row[2]}")
        execute(f"revoke all on function {function} from public")
        describe(surface, f"function {function}", was["meaning"])
        for role in was["used_by"]:
            execute(f"grant execute on function {function} to {role}")

    return change


def edit(function: str, old: str, new: str) -> Callable[[Surface], None]:
    """Replaces text in a function's body, and nothing else of it."""

    def change(surface: Surface) -> None:
        row = surface.connection.execute("select pg_get_functiondef(%s::regproc)", (function,)).fetchone()
        assert row is not None
        assert old in row[0], row[0]
        surface.connection.execute(row[0].replace(old, new).encode())

    return change


# PostgreSQL 15.20 refuses to change a domain of a row type that the body of a function speaks of.
FREE = "delete from pg_depend where classid = 'pg_proc'::regclass and objid = 'aximo_private.event_line'::regproc; "


def limit(domain: str, name: str, check: str) -> str:
    alter = f"alter domain aximo_private.{domain}"
    return f"{FREE}{alter} drop constraint {name}; {alter} add constraint {name} check ({check})"


CURSORS = ("customer_id", "log", "name", "number", "behind", "moved_at", "moved_by")


def types(*statements: str) -> str:
    """Changes event types past their guards."""
    guards = ("append_only_row", "append_only_statement")
    on = "; ".join(f"alter table aximo.event_types enable always trigger {guard}" for guard in guards)
    return f"alter table aximo.event_types disable trigger all; {'; '.join(statements)}; {on}"


READERS = ("aximo_auditor", "aximo_operator", "aximo_reader", "aximo_writer")

# What is done to the database, and everything that is to be said about it.
LIVE: dict[str, tuple[str | Callable[[Surface], object], Judged]] = {
    "nothing": ("select 1", set()),
    # views and their columns
    "a column added at the end": (
        reshape("aximo.cursors", *CURSORS, "now() as seen_at"), adds("column added", "aximo.cursors.seen_at")
    ),
    "a column added in the middle": (
        reshape("aximo.cursors", *CURSORS[:1], "now() as seen_at", *CURSORS[1:]),
        breaks("column added in the middle", "aximo.cursors.seen_at"),
    ),
    "a column removed": (reshape("aximo.cursors", *CURSORS[:-1]), breaks("column removed", "aximo.cursors.moved_by")),
    "a column removed from the middle": (
        reshape("aximo.cursors", *CURSORS[:3], *CURSORS[4:]), breaks("column removed", "aximo.cursors.number")
    ),
    "a column renamed": (
        "alter view aximo.cursors rename column number to position", breaks("column renamed", "aximo.cursors.number")
    ),
    "a column renamed and another one removed": (
        lambda s: (
            reshape("aximo.cursors", "customer_id", "log", "number", "behind", "moved_at", "moved_by")(s),
            s.connection.execute("alter view aximo.cursors rename column moved_by to mover"),
        ),
        breaks("column removed", "aximo.cursors.name") | breaks("column renamed", "aximo.cursors.moved_by"),
    ),
    "a column of a smaller type": (
        reshape("aximo.cursors", "customer_id", "log", "name", "number::integer as number", *CURSORS[4:]),
        breaks("column retyped", "aximo.cursors.number"),
    ),
    "a column of a larger type": (
        reshape("aximo.cursors", "customer_id", "log", "name", "number::numeric as number", *CURSORS[4:]),
        breaks("column retyped", "aximo.cursors.number"),
    ),
    "a column of another type": (
        reshape("aximo.cursors", "customer_id", "log", "name", "number::text as number", *CURSORS[4:]),
        breaks("column retyped", "aximo.cursors.number"),
    ),
    "a column of a bounded type": (
        reshape("aximo.cursors", "customer_id", "log", "name::aximo_private.identifier as name", *CURSORS[3:]),
        adds("column narrowed", "aximo.cursors.name"),
    ),
    "columns reordered": (
        reshape("aximo.cursors", "customer_id", "log", "number", "name", *CURSORS[4:]),
        breaks("columns reordered", "aximo.cursors"),
    ),
    "a view removed": ("drop view aximo.cursors", breaks("relation removed", "aximo.cursors")),
    "a view renamed": ("alter view aximo.cursors rename to consumers", breaks("relation renamed", "aximo.cursors")),
    "a view added": (
        "create view aximo.probe as select 1 as one; grant select on aximo.probe to aximo_bi", adds("relation added", "aximo.probe")
    ),
    "a view that nobody may read": ("create view aximo.probe as select 1 as one", set()),
    "a private table": ("create table aximo_private.probe (one integer)", set()),
    "a meaning changed": (
        "comment on column aximo.cursors.number is 'The next number.'", breaks("meaning changed", "aximo.cursors.number")
    ),
    "a meaning taken away": ("comment on view aximo.cursors is null", breaks("meaning changed", "aximo.cursors")),
    "white space in a meaning": (
        "comment on column aximo.cursors.name is 'The \n consumer.'", set()
    ),
    # tables
    "a table's column added": (
        "alter table aximo.event_types add column since text", adds("column added", "aximo.event_types.since")
    ),
    "a table's column that may be null": (
        "alter table aximo.event_types alter column category drop not null",
        breaks("column loosened", "aximo.event_types.category"),
    ),
    "a table's column bound to fewer values": (
        "alter table aximo.event_types drop constraint category_known;"
        " alter table aximo.event_types add constraint category_known"
        " check (category in ('execution', 'action', 'approval', 'governance', 'lifecycle', 'tool'))",
        adds("limit widened", "aximo.event_types category_known"),
    ),
    # functions
    "a function removed": ("drop function aximo.log_origin(text)", breaks("function removed", "aximo.log_origin")),
    "a function renamed": (
        "alter function aximo.log_origin(text) rename to log_name", breaks("function renamed", "aximo.log_origin")
    ),
    "a function added": (
        "create function aximo.probe() returns integer language sql return 1;"
        " revoke all on function aximo.probe() from public; grant execute on function aximo.probe() to aximo_reader",
        adds("function added", "aximo.probe"),
    ),
    "an overload added": (
        "create function aximo.log_size(integer) returns bigint language sql return 1;"
        " revoke all on function aximo.log_size(integer) from public;"
        " grant execute on function aximo.log_size(integer) to aximo_reader",
        puzzles("overload added", "aximo.log_size(integer)"),
    ),
    "an argument renamed": (
        remake("aximo.log_tile", "level integer", "depth integer"), breaks("argument renamed", "aximo.log_tile(level)")
    ),
    "an argument removed": (
        remake("aximo.log_tile", ", width integer DEFAULT 256", ""), breaks("argument removed", "aximo.log_tile(width)")
    ),
    "an argument of a smaller type": (
        remake("aximo.open_cursor", "(name text,", "(name character varying,"),
        breaks("argument narrowed", "aximo.open_cursor(name)"),
    ),
    "an argument of a larger type": (
        remake("aximo.log_tile", "level integer", "level bigint"), adds("argument widened", "aximo.log_tile(level)")
    ),
    "an argument of another type": (
        remake("aximo.log_tile", "level integer", "level text"), breaks("argument retyped", "aximo.log_tile(level)")
    ),
    "arguments reordered": (
        remake("aximo.move_cursor", "from_number bigint, to_number bigint", "to_number bigint, from_number bigint"),
        breaks("arguments reordered", "aximo.move_cursor"),
    ),
    "an argument added with a default": (
        remake("aximo.advance_log", "DEFAULT 10000", "DEFAULT 10000, customer text DEFAULT NULL"),
        adds("argument added", "aximo.advance_log(customer)"),
    ),
    "an argument added without a default": (
        remake("aximo.add_checkpoint", "(note text)", "(note text, after bigint)"),
        breaks("argument added without default", "aximo.add_checkpoint(after)"),
    ),
    "an argument added before others": (
        remake("aximo.advance_log", "(max_events", "(customer text DEFAULT NULL, max_events"),
        breaks("argument added in the middle", "aximo.advance_log(customer)"),
    ),
    "a default changed": (
        remake("aximo.advance_log", "DEFAULT 10000", "DEFAULT 500"), breaks("default changed", "aximo.advance_log(max_events)")
    ),
    "a default removed": (
        remake("aximo.advance_log", " DEFAULT 10000", ""), breaks("default removed", "aximo.advance_log(max_events)")
    ),
    "a default added": (
        remake("aximo.open_cursor", "(name text,", "(name text DEFAULT 'main',"),
        adds("default added", "aximo.open_cursor(name)"),
    ),
    "a return column added at the end": (
        remake("aximo.advance_log", "is_behind boolean)", "is_behind boolean, took interval)"),
        breaks("return column added", "aximo.advance_log.took"),
    ),
    "a return column removed": (
        remake("aximo.verify_log", ", run_event_id bigint)", ")"), breaks("return column removed", "aximo.verify_log.run_event_id")
    ),
    "a return column renamed": (
        remake("aximo.verify_log", ", detail text,", ", details text,"), breaks("return column renamed", "aximo.verify_log.detail")
    ),
    "a return column of another type": (
        remake("aximo.advance_log", "numbered bigint", "numbered integer"),
        breaks("return column retyped", "aximo.advance_log.numbered"),
    ),
    "return columns reordered": (
        remake("aximo.advance_log", "numbered bigint, is_behind boolean", "is_behind boolean, numbered bigint"),
        breaks("return columns reordered", "aximo.advance_log"),
    ),
    "a return of another type": (
        remake("aximo.log_origin", "RETURNS text", "RETURNS bytea"), breaks("return retyped", "aximo.log_origin")
    ),
    "one row instead of many": (
        remake("aximo.emit_events", "SETOF ", ""), breaks("return retyped", "aximo.emit_events")
    ),
    "a field added to a row type": (
        "alter type aximo.receipt add attribute number bigint", breaks("field added", "aximo.receipt.number")
    ),
    "a field of a row type renamed": (
        "alter type aximo.receipt rename attribute duplicate to is_duplicate", breaks("field renamed", "aximo.receipt.duplicate")
    ),
    "a function that does the same otherwise": (edit("aximo.log_origin", "STABLE", "VOLATILE"), set()),
    # event types
    "an event type removed": (
        types("delete from aximo.event_types where event_type = 'pressure_invoked'"),
        breaks("entry removed", "aximo.event_types[pressure_invoked]"),
    ),
    "an event type added": (
        FREE + "alter domain aximo_private.event_type drop constraint event_type_known;"
        " alter domain aximo_private.event_type add constraint event_type_known check (value in ("
        " 'execution_triggered', 'execution_processing', 'execution_completed', 'execution_failed', 'action_prepared',"
        " 'action_dispatched', 'action_failed', 'approval_requested', 'approval_granted', 'approval_rejected', 'approval_timeout',"
        " 'sla_breached', 'escalation_triggered', 'pressure_invoked', 'deployment_suspended', 'deployment_created',"
        " 'deployment_configured', 'deployment_activated', 'deployment_updated', 'deployment_terminated', 'version_upgraded',"
        " 'version_rolled_back', 'human_takeover'));"
        " insert into aximo.event_types values ('human_takeover', 'governance', 'Somebody took over.')",
        adds("entry added", "aximo.event_types[human_takeover]") | adds("limit widened", "aximo_private.event_type event_type_known"),
    ),
    "an event type moved to another category": (
        types("update aximo.event_types set category = 'governance' where event_type = 'version_upgraded'"),
        breaks("entry repurposed", "aximo.event_types[version_upgraded]"),
    ),
    "an event type that means something else": (
        types("update aximo.event_types set meaning = 'It runs.' where event_type = 'deployment_activated'"),
        breaks("meaning changed", "aximo.event_types[deployment_activated]"),
    ),
    "an event type renamed": (
        limit("event_type", "event_type_known", "value <> ''") + ";"
        + types("update aximo.event_types set event_type = 'pressed' where event_type = 'pressure_invoked'"),
        breaks("entry renamed", "aximo.event_types[pressure_invoked]")
        | puzzles("limit changed", "aximo_private.event_type event_type_known"),
    ),
    # limits
    "a limit in other words": (
        limit("actor", "actor_known", "value in ('founder', 'system', 'external_user', 'operator')"), set()
    ),
    "a limit that was not looked at for what is there": (
        "alter domain aximo_private.actor drop constraint actor_known; alter domain aximo_private.actor add constraint actor_known"
        " check (value in ('system', 'founder', 'operator', 'external_user')) not valid",
        set(),
    ),
    "a limit narrowed": (
        limit("identifier", "identifier_length", "char_length(value) <= 100"),
        breaks("limit narrowed", "aximo_private.identifier identifier_length"),
    ),
    "a limit widened": (
        limit("identifier", "identifier_length", "char_length(value) <= 500"),
        adds("limit widened", "aximo_private.identifier identifier_length"),
    ),
    "a limit that excludes its end": (
        limit("identifier", "identifier_length", "char_length(value) < 255"),
        breaks("limit narrowed", "aximo_private.identifier identifier_length"),
    ),
    "a range that begins later": (
        limit("moment", "moment_range", "value >= '1980-01-01 00:00:00+00' and value < '9999-01-01 00:00:00+00'"),
        breaks("limit narrowed", "aximo_private.moment moment_range"),
    ),
    "a range without an end": (
        limit("moment", "moment_range", "value >= '1970-01-01 00:00:00+00'"),
        adds("limit widened", "aximo_private.moment moment_range"),
    ),
    "a range with an end": (
        limit("milliseconds", "milliseconds_not_negative", "value >= 0 and value < 1000000"),
        breaks("limit narrowed", "aximo_private.milliseconds milliseconds_not_negative"),
    ),
    "a closed set shrunk": (
        limit("actor", "actor_known", "value in ('system', 'operator', 'external_user')"),
        breaks("limit narrowed", "aximo_private.actor actor_known"),
    ),
    "a closed set grown": (
        limit("actor", "actor_known", "value in ('system', 'founder', 'operator', 'external_user', 'partner')"),
        adds("limit widened", "aximo_private.actor actor_known"),
    ),
    "a closed set with another member": (
        limit("actor", "actor_known", "value in ('system', 'founder', 'operator', 'partner')"),
        breaks("limit narrowed", "aximo_private.actor actor_known"),
    ),
    "a limit that can't be judged": (
        limit("payload", "payload_numbers", "not aximo_private.has_extreme_number(value)"),
        puzzles("limit changed", "aximo_private.payload payload_numbers"),
    ),
    "a limit added": (
        FREE + "alter domain aximo_private.short_text add constraint short_text_not_blank check (value <> '')",
        breaks("limit narrowed", "aximo_private.short_text short_text_not_blank") | adds("rule added", "rule short_text_not_blank (ZXARG)"),
    ),
    "a limit lifted": (
        "alter domain aximo_private.identifier drop constraint identifier_not_blank",
        adds("limit widened", "aximo_private.identifier identifier_not_blank")
        | adds("rule removed with its limit", "rule identifier_not_blank (ZXARG)"),
    ),
    "a limit renamed": (
        "alter domain aximo_private.identifier rename constraint identifier_length to identifier_size",
        # The name also stands in aximo.set_threshold, for callers of that.
        breaks("rule renamed", "aximo_private.identifier identifier_length"),
    ),
    "a null refused": (
        FREE + "alter domain aximo_private.short_text set not null",
        breaks("limit narrowed", "aximo_private.short_text") | {
            ("additive", "JSONL field tightened", f"jsonl export.{name}")
            for name in SHORT_TEXTS
        },
    ),
    "an optional field required": (
        "alter table aximo_private.events add constraint risk_level_present check (risk_level is not null)",
        breaks("limit narrowed", "event risk_level_present") | adds("rule added", "rule risk_level_present (ZXARG)"),
    ),
    # grants
    "a grant taken": (
        "revoke select on aximo.cursors from aximo_reader",
        {("breaking", "grant taken", "aximo.cursors")},
    ),
    "a grant taken that another one gives": ("revoke execute on function aximo.current_customer() from aximo_reader", set()),
    "a grant of some columns instead": (
        "revoke select on aximo.cursors from aximo_reader; grant select (name) on aximo.cursors to aximo_reader",
        breaks("grant taken", "aximo.cursors"),
    ),
    "a grant added": ("grant select on aximo.events to aximo_bi", adds("grant added", "aximo.events")),
    "a grant to a login": (
        lambda s: s.connection.execute(f"grant select on aximo.events to {s.ledger.login('contract_login')}"), set()
    ),
    "a grant to everybody": (
        "grant select on aximo_private.events to public", set()
    ),
    "a call no longer allowed": (
        "revoke execute on function aximo.emit_events(jsonb, text) from aximo_writer", breaks("grant taken", "aximo.emit_events")
    ),
    "a schema closed": (
        "revoke usage on schema aximo_metrics from aximo_bi", breaks("grant taken", "aximo_metrics")
    ),
    "a role renamed": ("alter role aximo_bi rename to aximo_analyst", breaks("role renamed", "role aximo_bi")),
    "a role added": (
        "create role aximo_probe; grant select on aximo.events to aximo_probe", adds("role added", "role aximo_probe")
    ),
    # rules
    "a rule no longer raised": (
        edit("aximo.revoke_customer", "constraint = 'grant_exists'", "constraint = null"),
        breaks("rule removed", "rule grant_exists (ZXARG)"),
    ),
    "a rule renamed": (
        edit("aximo.revoke_customer", "constraint = 'grant_exists'", "constraint = 'grant_is_there'"),
        breaks("rule removed", "rule grant_exists (ZXARG)") | adds("rule added", "rule grant_is_there (ZXARG)"),
    ),
    "a rule given another code": (
        edit("aximo.revoke_customer", "errcode = 'ZXARG'", "errcode = 'ZXCUS'"),
        breaks("rule given another SQLSTATE", "rule grant_exists (ZXARG)"),
    ),
    "a rule of an execution's life no longer checked": (
        edit("aximo_private.broken_rule", "'no_dispatch_after_denial'", "null"),
        breaks("rule removed", "rule no_dispatch_after_denial (ZXSEQ)"),
    ),
    # lines, payloads, settings, values
    "a field of the line renamed": (
        edit("aximo_private.event_line", '"error_code":', '"code":'), breaks("JSONL field renamed", "jsonl export.error_code")
    ),
    "a field of the line added": (
        edit("aximo_private.event_line", '\'"latency_ms":\'', '\'"is_late":\' || null, \'"latency_ms":\''),
        adds("JSONL field added", "jsonl export.is_late"),
    ),
    "a payload field read by another name": (
        edit("aximo_private.facts_of_entries", '{"priority": "high"}', '{"priority": "urgent"}'),
        breaks("payload field removed", "payload priority=high"),
    ),
    "a payload field no longer compared": (
        edit("aximo_private.lives_after", "'approval_id'", "'approval'"),
        breaks("payload field removed", "payload approval_id"),
    ),
    "a column that no longer tells of a payload field": (
        "alter view aximo.approvals rename column reason to why",
        breaks("column renamed", "aximo.approvals.reason") | breaks("payload field repurposed", "payload reason"),
    ),
    "a status called otherwise": (
        lambda s: s.connection.execute(
            "create or replace view aximo.open_executions with (security_barrier = true) as "
            + str(s.connection.execute("select pg_get_viewdef('aximo.open_executions'::regclass)").fetchone()[0])  # type: ignore[index]
            .replace("'awaiting_approval'", "'waiting'")
        ),
        breaks("closed set shrunk", "aximo.open_executions.status"),
    ),
    "a value added to what a column may hold": (
        "comment on column aximo_metrics.thresholds.level is 'note, warning, escalation or minimum_denominator. The last says how many there have to be at least.'",
        adds("closed set grown", "aximo_metrics.thresholds.level"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LIVE)
def test_a_change_of_the_database_is_judged(name: str, surface: Surface) -> None:
    change, expected = LIVE[name]
    with surface.connection.transaction(force_rollback=True):
        if isinstance(change, str):
            surface.connection.execute(change.encode())
        else:
            change(surface)
        now = read_contract(surface.connection, "aximo", surface.contract)
    changes = compare(surface.contract, now)
    assert judged(changes) == expected
    assert holds(surface.contract, now, changes) == all(kind == "additive" for kind, _, _ in expected)
    assert all(change.reason for change in changes)


def test_nothing_is_left_of_the_trials(surface: Surface) -> None:
    assert read_contract(surface.connection, "aximo").document == surface.contract.document


# Changes of files


@pytest.fixture
def contract() -> Contract:
    return shipped_contract("aximo")


def changed(contract: Contract, change: Callable[[Any], object]) -> Contract:
    document = copy.deepcopy(contract.document)
    change(document)
    return Contract(document)


def column(document: Any, relation: str, name: str) -> Any:
    return next(each for each in document["relations"][relation]["columns"] if each["name"] == name)


def field(document: Any, shape: str, name: str) -> Any:
    return next(each for each in document["jsonl"][shape]["fields"] if each["name"] == name)


def pop(*path: str) -> Callable[[Any], object]:
    """Takes something out of a document: a key of an object, or an item of a list."""

    def change(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        if isinstance(document, list):
            document.remove(
                next(
                    each
                    for each in document
                    if each == path[-1] or (isinstance(each, dict) and each["name"] == path[-1])
                )
            )
        else:
            del document[path[-1]]

    return change


def put(*path: Any) -> Callable[[Any], object]:
    """Sets the last but one of a path to the last, or appends it."""

    def change(document: Any) -> None:
        *keys, last, value = path
        for key in keys:
            document = document[key]
        if isinstance(document[last], list) and not isinstance(value, list):
            document[last].append(value)
        else:
            document[last] = value

    return change


def new(*path: Any) -> Callable[[Any], object]:
    """Puts a new key into an object."""

    def change(document: Any) -> None:
        *keys, last, value = path
        for key in keys:
            document = document[key]
        document[last] = value

    return change


def rename(*path: str) -> Callable[[Any], object]:
    def change(document: Any) -> None:
        *keys, old, now = path
        for key in keys:
            document = document[key]
        items = [(now if key == old else key, value) for key, value in document.items()]
        document.clear()
        document.update(items)

    return change


def writable(document: Any) -> Any:
    """As if services inserted event types themselves."""
    document["relations"]["aximo.event_types"]["used_by"]["aximo_writer"] = ["select", "insert"]
    return document


def with_enum(document: Any) -> None:
    document["types"]["aximo.level"] = {
        "meaning": "How bad.",
        "used_by": {"aximo_bi": ["usage"]},
        "values": ["low", "high"],
    }


def without_role(document: Any) -> None:
    document["roles"].remove("aximo_bi")
    for part in ("schemas", "relations", "types"):
        for each in document[part].values():
            each["used_by"].pop("aximo_bi", None)
    for overloads in document["functions"].values():
        for each in overloads:
            each["used_by"].pop("aximo_bi", None)


EXECUTION = "aximo_metrics.execution_health"
SUM = f"{EXECUTION}.execution_time_sum_ms"

# What the old file says beyond the shipped one, what is changed in the new one, and what is to be said about it.
FILES: dict[str, tuple[Callable[[Any], object] | None, Callable[[Any], object], Judged]] = {
    "fewer digits": (
        None, lambda d: column(d, EXECUTION, "execution_time_sum_ms").update(type="numeric(20,3)"), adds("column narrowed", SUM)
    ),
    "more digits": (
        None, lambda d: column(d, EXECUTION, "execution_time_sum_ms").update(type="numeric(40,3)"), breaks("column retyped", SUM)
    ),
    "another scale": (
        None, lambda d: column(d, EXECUTION, "execution_time_sum_ms").update(type="numeric(38,2)"), breaks("column retyped", SUM)
    ),
    "no longer bound": (
        None, lambda d: column(d, EXECUTION, "execution_time_sum_ms").update(type="numeric"), breaks("column retyped", SUM)
    ),
    "a list instead of one": (
        None, lambda d: column(d, "aximo.cursors", "name").update(type="text[]"), breaks("column retyped", "aximo.cursors.name")
    ),
    "a domain taken from what is read": (
        None,
        lambda d: column(d, "aximo.event_types", "event_type").update(type="text"),
        breaks("column retyped", "aximo.event_types.event_type"),
    ),
    "a column that is never null any more": (
        lambda d: column(d, "aximo.event_types", "category").update(null=True),
        lambda d: column(d, "aximo.event_types", "category").update(null=False),
        adds("column tightened", "aximo.event_types.category"),
    ),
    "a null refused by a table that is written": (
        lambda d: column(writable(d), "aximo.event_types", "category").update(null=True),
        lambda d: column(d, "aximo.event_types", "category").update(null=False),
        breaks("column tightened", "aximo.event_types.category"),
    ),
    "a column required by a table that is written": (
        writable,
        put("relations", "aximo.event_types", "columns", {"name": "since", "type": "text", "null": False, "meaning": "Since."}),
        breaks("required column added", "aximo.event_types.since"),
    ),
    "a column with a default in a table that is written": (
        writable,
        put("relations", "aximo.event_types", "columns",
            {"name": "since", "type": "text", "null": False, "default": "'0'", "meaning": "Since."}),
        adds("column added", "aximo.event_types.since"),
    ),
    "another default in a table that is written": (
        lambda d: column(writable(d), "aximo.event_types", "meaning").update(default="'x'"),
        lambda d: column(d, "aximo.event_types", "meaning").update(default="'y'"),
        breaks("default changed", "aximo.event_types.meaning"),
    ),
    "a smaller type in a table that is written": (
        lambda d: column(writable(d), "aximo.event_types", "meaning").update(type="character varying(200)"),
        lambda d: column(d, "aximo.event_types", "meaning").update(type="character varying(100)"),
        adds("column narrowed", "aximo.event_types.meaning") | breaks("column narrowed", "aximo.event_types.meaning"),
    ),
    "a table instead of a view": (
        None, put("relations", "aximo.cursors", "kind", "table"), puzzles("kind changed", "aximo.cursors")
    ),
    "a schema removed": (
        None,
        lambda d: (d["schemas"].pop("aximo_metrics"),),
        breaks("schema removed", "aximo_metrics"),
    ),
    "a schema added": (None, new("schemas", "aximo_next", {"meaning": "Next.", "used_by": {}}), adds("schema added", "aximo_next")),
    "a role removed": (None, without_role, breaks("role removed", "role aximo_bi")),
    "a value of an enum removed": (
        with_enum, lambda d: d["types"]["aximo.level"].update(values=["low"]), breaks("closed set shrunk", "aximo.level")
    ),
    "a value of an enum added": (
        with_enum, lambda d: d["types"]["aximo.level"]["values"].append("worst"), adds("closed set grown", "aximo.level")
    ),
    "a type removed": (None, pop("types", "aximo.receipt"), breaks("type removed", "aximo.receipt")),
    "a type renamed": (None, rename("types", "aximo.receipt", "aximo.answer"), breaks("type renamed", "aximo.receipt")),
    "a type added": (None, with_enum, adds("type added", "aximo.level")),
    "an overload removed": (
        lambda d: d["functions"]["aximo.log_size"].append(
            {**copy.deepcopy(d["functions"]["aximo.log_size"][0]), "arguments": [{"name": "of", "type": "text"}]}
        ),
        lambda d: d["functions"]["aximo.log_size"].pop(),
        breaks("function removed", "aximo.log_size(text)"),
    ),
    "a procedure instead of a function": (
        None, lambda d: d["functions"]["aximo.log_origin"][0].update(procedure=True), breaks("function retyped", "aximo.log_origin")
    ),
    "an argument that takes many": (
        None,
        lambda d: d["functions"]["aximo.tree_hash"][0]["arguments"][0].update(variadic=True),
        breaks("argument retyped", "aximo.tree_hash(hashes)"),
    ),
    "a field of the input removed": (
        None, pop("inputs", "event", "fields", "channel_type"), breaks("input field removed", "event field channel_type")
    ),
    "a field of the input required": (
        None,
        lambda d: next(f for f in d["inputs"]["event"]["fields"] if f["name"] == "risk_level").update(required=True),
        breaks("input field tightened", "event field risk_level"),
    ),
    "a field of the input optional": (
        None,
        lambda d: next(f for f in d["inputs"]["event"]["fields"] if f["name"] == "actor").update(required=False),
        adds("input field loosened", "event field actor"),
    ),
    "an optional field of the input added": (
        None,
        put("inputs", "event", "fields", {"name": "region", "type": "text", "required": False}),
        adds("input field added", "event field region"),
    ),
    "a required field of the input added": (
        None,
        put("inputs", "event", "fields", {"name": "region", "type": "text", "required": True}),
        breaks("required input field added", "event field region"),
    ),
    "a field of the input without its limit": (
        None,
        lambda d: next(f for f in d["inputs"]["event"]["fields"] if f["name"] == "risk_level").update(type="text"),
        adds("input field widened", "event field risk_level"),
    ),
    "a field of the input with another limit": (
        None,
        lambda d: next(f for f in d["inputs"]["event"]["fields"] if f["name"] == "risk_level").update(type="aximo_private.identifier"),
        puzzles("input field retyped", "event field risk_level"),
    ),
    "an input removed": (None, pop("inputs", "event"), breaks("input removed", "input event")),
    "a code removed": (None, pop("errors", "ZXCUR"), breaks("SQLSTATE removed", "error ZXCUR")),
    "a code added": (
        None, new("errors", "ZXNEW", {"class": "NewError", "rules": {}}), adds("SQLSTATE added", "error ZXNEW")
    ),
    "a code renamed": (None, rename("errors", "ZXCUR", "ZXCRS"), breaks("SQLSTATE renamed", "error ZXCUR")),
    "an error's class renamed": (
        None, put("errors", "ZXCUR", "class", "PointerError"), breaks("error class renamed", "error ZXCUR")
    ),
    "a rule removed": (None, pop("errors", "ZXSEQ", "rules", "ends_once"), breaks("rule removed", "rule ends_once (ZXSEQ)")),
    "a rule that only the package raises now": (
        None,
        put("errors", "ZXARG", "rules", "event_is_object", ["package"]),
        breaks("rule removed", "rule event_is_object (ZXARG)"),
    ),
    "a line's field removed": (
        None, pop("jsonl", "import", "fields", "latency_ms"), breaks("JSONL field removed", "jsonl import.latency_ms")
    ),
    "a line's field required": (
        None, lambda d: field(d, "import", "latency_ms").update(required=True), breaks("JSONL field tightened", "jsonl import.latency_ms")
    ),
    "a line's field optional": (
        None, lambda d: field(d, "import", "actor").update(required=False), adds("JSONL field loosened", "jsonl import.actor")
    ),
    "a line's field renamed": (
        None, lambda d: field(d, "import", "latency_ms").update(name="latency"), breaks("JSONL field renamed", "jsonl import.latency_ms")
    ),
    "a line's field retyped": (
        None, lambda d: field(d, "import", "latency_ms").update(type="string"), breaks("JSONL field retyped", "jsonl import.latency_ms")
    ),
    "an optional field of a line": (
        None,
        put("jsonl", "import", "fields", {"name": "region", "type": "string", "required": False}),
        adds("JSONL field added", "jsonl import.region"),
    ),
    "a required field of a line": (
        None,
        put("jsonl", "import", "fields", {"name": "region", "type": "string", "required": True}),
        breaks("required JSONL field added", "jsonl import.region"),
    ),
    "a field of a line that is no longer read over": (
        None, pop("jsonl", "import", "ignored", "recorded_by"), breaks("JSONL field removed", "jsonl import.recorded_by")
    ),
    "a field that not every exported line has": (
        None, lambda d: field(d, "export", "payload").update(always=False), breaks("JSONL field loosened", "jsonl export.payload")
    ),
    "a field that every exported line has": (
        None,
        put("jsonl", "export", "fields", {"name": "format", "type": "number", "always": True}),
        breaks("required JSONL field added", "jsonl export.format"),
    ),
    "exported fields reordered": (
        None, lambda d: d["jsonl"]["export"]["fields"].reverse(), breaks("JSONL fields reordered", "jsonl export")
    ),
    "a kind of lines removed": (None, pop("jsonl", "rejects"), breaks("JSONL shape removed", "jsonl rejects")),
    "a payload field removed": (
        None, pop("by_hand", "payload", "reason"), breaks("payload field removed", "payload reason")
    ),
    "a payload field renamed": (
        None, rename("by_hand", "payload", "reason", "because"), breaks("payload field renamed", "payload reason")
    ),
    "a payload field added": (
        None, new("by_hand", "payload", "cost", {"type": "number", "of": [], "meaning": "A cost.", "read_by": [], "found_in": {}}),
        adds("payload field added", "payload cost"),
    ),
    "a payload field of another type": (
        None, put("by_hand", "payload", "emergency=true", "type", "string"), breaks("payload field retyped", "payload emergency=true")
    ),
    "a payload field with another meaning": (
        None, put("by_hand", "payload", "error", "meaning", "The code of the error."), breaks("meaning changed", "payload error")
    ),
    "a payload field not read in an event type any more": (
        None, pop("by_hand", "payload", "action_id", "of", "action_failed"), breaks("payload field repurposed", "payload action_id")
    ),
    "a payload field read in another event type": (
        None, put("by_hand", "payload", "error", "of", "action_failed"), puzzles("payload field repurposed", "payload error")
    ),
    "a setting removed": (
        None, pop("by_hand", "settings", "aximo.customer_id"), breaks("setting removed", "setting aximo.customer_id")
    ),
    "a setting renamed": (
        None, rename("by_hand", "settings", "aximo.customer_id", "aximo.customer"), breaks("setting renamed", "setting aximo.customer_id")
    ),
    "a name of the package removed": (None, pop("python", "NewEvent"), breaks("Python name removed", "Python name NewEvent")),
    "a name of the package added": (None, put("python", "Extra"), adds("Python name added", "Python name Extra")),
    "a command removed": (None, pop("commands", "tail"), breaks("command removed", "command tail")),
    "a command added": (None, put("commands", "extra"), adds("command added", "command extra")),
    "a lower version": (put("version", 3), lambda d: d.update(version=2), breaks("version lowered", "version")),
    "another note": (None, put("reviewed", "note", "Read again."), set()),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_change_of_the_file_is_judged(name: str, contract: Contract) -> None:
    before, change, expected = FILES[name]
    old = changed(contract, before or (lambda _: None))
    now = changed(old, change)
    changes = compare(old, now)
    assert judged(changes) == expected
    assert holds(old, now, changes) == all(kind == "additive" for kind, _, _ in expected)


def test_there_are_trials_enough() -> None:
    assert len(LIVE) >= 40
    assert len(FILES) >= 40


def test_every_judgement_is_documented_and_tried() -> None:
    from tests import test_contract_helix as helix

    page = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
    documented = {
        (kind, what) for what, kind in re.findall(r"^\| ([^|]+?) \| (breaking|additive|unknown) \|", page, re.MULTILINE)
    }
    tried = {(kind, what) for _, expected in LIVE.values() for kind, what, _ in expected}
    tried |= {(kind, what) for _, _, expected in FILES.values() for kind, what, _ in expected}
    tried |= {(kind, what) for _, expected in helix.LIVE.values() for kind, what, _ in expected}
    tried |= {(kind, what) for _, expected in helix.FILES.values() for kind, what, _ in expected}
    assert tried - documented == set()
    assert documented - tried == {("additive", "reworded"), ("additive", "meaning added")}  # below


# Versions and rewordings


def test_a_higher_version_declares_what_breaks(contract: Contract) -> None:
    now = changed(contract, lambda d: (d["commands"].remove("tail"), d.update(version=d["version"] + 1)))
    changes = compare(contract, now)
    assert judged(changes) == breaks("command removed", "command tail")
    assert holds(contract, now, changes)


def test_a_reviewed_rewording_breaks_nobody_until_it_is_worded_anew(contract: Contract) -> None:
    where = "aximo.cursors.name"

    def reword(text: str) -> Callable[[Any], object]:
        return lambda d: column(d, "aximo.cursors", "name").update(meaning=text)

    now = changed(
        contract, lambda d: (reword("Whose cursor.")(d), d["reviewed"]["rewordings"].update({where: "Whose cursor."}))
    )
    assert judged(compare(contract, now)) == adds("reworded", where)
    assert judged(compare(contract, changed(now, reword("Something else.")))) == breaks("meaning changed", where)


def test_a_first_meaning_breaks_nobody(contract: Contract) -> None:
    silent = changed(contract, lambda d: column(d, "aximo.cursors", "name").update(meaning=None))
    assert judged(compare(silent, contract)) == adds("meaning added", "aximo.cursors.name")


def test_breaking_changes_come_first(contract: Contract) -> None:
    now = changed(contract, lambda d: (d["python"].append("Extra"), d["commands"].remove("tail")))
    assert [change.kind for change in compare(contract, now)] == ["breaking", "additive"]


def test_two_renamings_that_could_be_either_are_no_renamings(contract: Contract) -> None:
    def twins(first: str, second: str) -> Callable[[Any], object]:
        def change(document: Any) -> None:
            shape = document["relations"].pop("aximo.cursors")
            document["relations"].pop("aximo.a", None)
            document["relations"].pop("aximo.b", None)
            document["relations"].update(
                {"aximo.cursors": shape, first: copy.deepcopy(shape), second: copy.deepcopy(shape)}
            )

        return change

    old, now = changed(contract, twins("aximo.a", "aximo.b")), changed(contract, twins("aximo.c", "aximo.d"))
    assert judged(compare(old, now)) == {
        *breaks("relation removed", "aximo.a"), *breaks("relation removed", "aximo.b"),
        *adds("relation added", "aximo.c"), *adds("relation added", "aximo.d"),
    }  # fmt: skip


# Changes of the package


def test_a_name_that_the_package_loses_is_found(surface: Surface, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aximo_db, "__all__", [name for name in aximo_db.__all__ if name != "NewEvent"])
    now = read_contract(surface.connection, "aximo", surface.contract)
    assert judged(compare(surface.contract, now)) == breaks("Python name removed", "Python name NewEvent")


def test_a_command_that_the_package_loses_is_found(surface: Surface, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [each for each in cli.app.registered_commands if getattr(each.callback, "__name__", "") != "tail"]
    monkeypatch.setattr(cli.app, "registered_commands", kept)
    now = read_contract(surface.connection, "aximo", surface.contract)
    assert judged(compare(surface.contract, now)) == breaks("command removed", "command tail")


def test_a_code_that_the_package_loses_is_found(surface: Surface, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(errors.register, "ZXCON")
    now = read_contract(surface.connection, "aximo", surface.contract)
    assert breaks("SQLSTATE removed", "error ZXCON") <= judged(compare(surface.contract, now))


def test_a_field_that_new_events_lose_is_found(surface: Surface, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [
        (each.name, each.type) if each.default is each.default_factory is dataclasses.MISSING else
        (each.name, each.type, dataclasses.field(default=None))
        for each in dataclasses.fields(NewEvent) if each.name != "channel_type"
    ]  # fmt: skip
    smaller = dataclasses.make_dataclass("Smaller", kept)
    monkeypatch.setattr("aximo_db.NewEvent", smaller)
    now = read_contract(surface.connection, "aximo", surface.contract)
    assert judged(compare(surface.contract, now)) == breaks("JSONL field removed", "jsonl import.channel_type")


# Another contract is another file


def test_another_contract_is_another_file(surface: Surface, tmp_path: Path) -> None:
    """Tables that services write to themselves, in a schema of its own, with kinds instead of event types."""
    scope = {
        "schemas": ["fabric"], "support": [], "except": [], "roles": {"prefix": "aximo_", "internal": []}, "rows": {"fabric.event_kinds": "kind"},
        "inputs": {}, "limits_code": "", "schema_version": "", "package": None, "commands": None, "jsonl": {},
    }  # fmt: skip
    empty: dict[str, object] = {
        part: {}
        for part in ("schemas", "relations", "functions", "types", "limits", "inputs", "rows", "errors", "jsonl")
    }
    lists: dict[str, object] = {part: [] for part in ("roles", "python", "commands")}
    reviewed = {"note": "Tried.", "rewordings": {}}
    document = {
        "contract": "fabric", "version": 1, "schema_version": 0, "reviewed": reviewed,
        "by_hand": {"scope": scope, "promises": {}, "payload": {}, "settings": {}}, **empty, **lists,
    }  # fmt: skip
    base = parse_contract(json.dumps(document))
    with surface.connection.transaction(force_rollback=True):
        execute = surface.connection.execute
        execute(
            "create schema fabric; grant usage on schema fabric to aximo_writer;"
            " create table fabric.event_kinds (kind text primary key, family text not null, meaning text not null);"
            " insert into fabric.event_kinds values ('run.started', 'run', 'It began.'), ('run.ended', 'run', 'It ended.');"
            " create table fabric.run_events (event_id bigint generated always as identity, run_id text not null,"
            " ts timestamptz not null default now(), kind text not null check (kind <> ''), message text, data jsonb);"
            " grant select on fabric.event_kinds to aximo_writer; grant select, insert on fabric.run_events to aximo_writer"
        )
        old = read_contract(surface.connection, "fabric", base)
        write(old, tmp_path / "fabric.json")
        assert load_contract(tmp_path / "fabric.json") == old
        assert set(old.document["rows"]["fabric.event_kinds"]) == {"run.started", "run.ended"}
        assert old.document["python"] == old.document["commands"] == []

        def after(statement: str) -> Judged:
            with surface.connection.transaction(force_rollback=True):
                execute(statement.encode())
                return judged(compare(old, read_contract(surface.connection, "fabric", old)))

        assert after("delete from fabric.event_kinds where kind = 'run.ended'") == breaks(
            "entry removed", "fabric.event_kinds[run.ended]"
        )
        assert after("update fabric.event_kinds set family = 'tool' where kind = 'run.ended'") == breaks(
            "entry repurposed", "fabric.event_kinds[run.ended]"
        )
        assert after("insert into fabric.event_kinds values ('tool.used', 'tool', 'Used.')") == adds(
            "entry added", "fabric.event_kinds[tool.used]"
        )
        assert after("alter table fabric.run_events alter message set not null") == breaks(
            "column tightened", "fabric.run_events.message"
        )
        assert after("alter table fabric.run_events add cost numeric not null") == breaks(
            "required column added", "fabric.run_events.cost"
        )
        assert after("alter table fabric.run_events add cost numeric") == adds("column added", "fabric.run_events.cost")
        assert after("alter table fabric.run_events alter ts set default '2026-01-01'") == breaks(
            "default changed", "fabric.run_events.ts"
        )
        assert after("alter table fabric.run_events drop constraint run_events_kind_check") == adds(
            "limit widened", "fabric.run_events run_events_kind_check"
        )
    with pytest.raises(ValueError, match="can't be compared"):
        compare(old, surface.contract)


# Files that are no contracts


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.pop("python"), "python"),
        (lambda d: d.update(extra=1), "extra"),
        (lambda d: d.update(version="1"), "version"),
        (lambda d: d.update(version=True), "version"),
        (lambda d: d["by_hand"].pop("scope"), "scope"),
        (lambda d: d["by_hand"]["scope"].pop("roles"), "roles"),
        (lambda d: d["by_hand"]["payload"]["reason"].pop("meaning"), "payload reason"),
        (lambda d: d["by_hand"]["payload"]["reason"]["of"].append("approval_dreamt"), "approval_dreamt"),
        (lambda d: d["by_hand"]["payload"]["reason"]["read_by"].append("aximo.dreams.reason"), "aximo.dreams.reason"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_contract_is_refused(
    change: Callable[[Any], object], said: str, contract: Contract, tmp_path: Path
) -> None:
    path = tmp_path / "broken.json"
    write(changed(contract, change), path)
    with pytest.raises(ValueError, match=re.escape(said)):
        load_contract(path)


def test_a_name_that_comes_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        parse_contract('{"contract": "aximo", "contract": "helix"}')


def test_a_contract_that_is_not_shipped_is_refused() -> None:
    assert "aximo" in contract_names()
    with pytest.raises(ValueError, match="no contract nobody"):
        shipped_contract("nobody")


# The commands


def run(*arguments: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(cli_contract.app, [str(each) for each in arguments], env={"COLUMNS": "300"})
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == code, (result.stdout, result.stderr)
    return result.stdout if code < 2 else result.stderr


def test_a_database_that_offers_what_was_promised_passes(surface: Surface) -> None:
    assert "It holds." in run("check", "--db", surface.ledger.dsn())


def test_a_database_that_breaks_the_contract_fails(surface: Surface) -> None:
    surface.connection.execute("alter view aximo.cursors rename column number to position")
    try:
        said = run("check", "--db", surface.ledger.dsn(), code=1)
        assert re.search(r"breaking +column renamed +aximo\.cursors\.number", said)
        found = json.loads(run("check", "--db", surface.ledger.dsn(), "--contract", "aximo", "--json", code=1))
        assert found["ok"] is False
        assert [(each["kind"], each["where"]) for each in found["changes"]] == [("breaking", "aximo.cursors.number")]
    finally:
        surface.connection.execute("alter view aximo.cursors rename column position to number")


def test_a_database_is_compared_with_the_file_of_a_release(
    surface: Surface, contract: Contract, tmp_path: Path
) -> None:
    old = tmp_path / "old.json"
    write(changed(contract, lambda d: d["commands"].remove("tail")), old)
    found = json.loads(run("check", "--db", surface.ledger.dsn(), "--against", old, "--json"))
    assert [each["where"] for each in found["changes"]] == ["command tail"]


def test_two_files_are_compared_without_a_database(
    contract: Contract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AXIMO_DB_URL", "host=127.0.0.1 port=1")
    old, now, declared = tmp_path / "old.json", tmp_path / "new.json", tmp_path / "declared.json"
    write(contract, old)
    write(changed(contract, pop("commands", "tail")), now)
    write(changed(contract, lambda d: (d["commands"].remove("tail"), d.update(version=2))), declared)
    assert "It does not hold." in run("check", old, now, code=1)
    assert "Version 2 declares it" in run("check", old, declared)
    assert "It holds." in run("check", now, old)


def test_wrong_usage_and_what_cannot_be_compared_are_no_verdict(contract: Contract, tmp_path: Path) -> None:
    old, other = tmp_path / "old.json", tmp_path / "other.json"
    write(contract, old)
    write(changed(contract, put("contract", "helix")), other)
    run("check", old, code=2)
    run("check", old, old, "--db", "host=127.0.0.1", code=2)
    run("check", old, tmp_path / "none.json", code=2)
    run("check", "--contract", "nobody", code=2)
    run("check", "--db", "host=127.0.0.1 port=1 connect_timeout=1", code=2)
    assert "can't be compared" in run("check", old, other, code=2)
    (tmp_path / "no.json").write_text("[]", encoding="utf-8")
    run("show", tmp_path / "no.json", code=2)


def test_a_contract_is_shown(contract: Contract) -> None:
    said = run("show")
    for name in ("aximo_bi", "aximo.emit_event", "execution_triggered", "ZXSEQ", "NewEvent", "doctor"):
        assert name in said
    assert json.loads(run("show", "--json")) == contract.document


def test_a_contract_is_written_anew(surface: Surface, contract: Contract, tmp_path: Path) -> None:
    path = tmp_path / "new.json"
    run("write", "-o", path, "--db", surface.ledger.dsn())
    assert path.read_text(encoding="utf-8") == SHIPPED.read_text(encoding="utf-8")
    run(
        "write",
        "-o",
        path,
        "--db",
        surface.ledger.dsn(),
        "--raise-version",
        "--note",
        "Read.",
        "--reworded",
        "aximo.cursors.name",
    )
    raised = load_contract(path)
    assert raised.version == contract.version + 1
    kept = contract.document["reviewed"]["rewordings"]
    assert raised.document["reviewed"] == {
        "note": "Read.",
        "rewordings": {**kept, "aximo.cursors.name": "The consumer."},
    }
    run("write", "-o", path, "--db", surface.ledger.dsn(), "--from", path)
    assert load_contract(path).document == raised.document
    run("write", "-o", path, "--db", surface.ledger.dsn(), "--reworded", "aximo.dreams", code=2)


# Since the last release


def since_release() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "contract_since_release", ROOT / "tools" / "contract_since_release.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_contracts_are_compared_with_those_of_the_last_release(
    contract: Contract, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tool = since_release()
    path = tmp_path / tool.FOLDER / "aximo.json"
    path.parent.mkdir(parents=True)

    def release(version: str) -> None:
        shutil.copytree(path.parent, tmp_path / tool.RELEASED / version)

    def compared(now: Contract) -> int:
        write(now, path)
        code = tool.main(tmp_path)
        assert isinstance(code, int)
        return code

    assert compared(contract) == 0
    assert "no release yet" in capfd.readouterr().out
    release("0.9.0")
    assert compared(contract) == 0
    assert "since 0.9.0" in capfd.readouterr().out
    assert compared(changed(contract, put("commands", "extra"))) == 0
    release("0.10.0")
    assert compared(contract) == 1
    said = capfd.readouterr().out
    assert "since 0.10.0" in said
    assert "command extra" in said
    assert compared(changed(contract, lambda d: d.update(version=2))) == 0
    # Every contract is compared; one that the release had not is told.
    runs = shipped_contract("helix")
    write(runs, path.with_name("helix.json"))
    assert compared(changed(contract, lambda d: d.update(version=2))) == 0
    assert "helix.json is new since 0.10.0" in capfd.readouterr().out
    release("0.11.0")
    write(changed(runs, lambda d: d["rows"]["helix.event_kinds"].pop("exec.plan 1")), path.with_name("helix.json"))
    assert compared(changed(contract, lambda d: d.update(version=2))) == 1
    assert "Contract helix: 1 breaking" in capfd.readouterr().out
    path.unlink()
    assert tool.main(tmp_path) == 1
