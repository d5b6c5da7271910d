"""Tool runs and their events (HelixMCP Events v1): what the schema promises to a gateway, and refuses to everybody."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from rich.console import Console

from aximo_db.report.terminal import print_metrics
from tests.conftest import DBA, Ledger
from tests.log_support import advance_all
from tests.metrics_support import differences, metric_rows, refresh
from tests.test_lost_connections import soon

Connection = psycopg.Connection[Any]

# Events v1: "Lifecycle kinds", "Common execution kinds", "Slurm kinds", "Simulation-only kinds".
FROZEN = {
    "run": ["run.started", "run.queued", "run.running", "run.succeeded", "run.failed", "run.blocked"],
    "exec": ["exec.plan", "exec.result"],
    "slurm": [
        "slurm.submit.plan",
        "slurm.submit.script_artifact",
        "slurm.submit.ok",
        "slurm.collect.start",
        "slurm.collect.outputs_registered",
        "slurm.collect.done",
        "slurm.collect.failed",
    ],
    "simulate": ["simulate.qc", "simulate.align"],
}
# Events v1: "Storage schema"; the gateway's own schema says the same.
ABI = [
    ("event_id", "bigint", True),
    ("run_id", "text", True),
    ("ts", "timestamp with time zone", True),
    ("kind", "text", True),
    ("message", "text", False),
    ("data", "jsonb", False),
]
#: Bytes of JSON that a run event has at most, and what of a run has no limit of its own.
LIMIT = 8 * 1024 * 1024
#: As the published gateway has it (MAX_CAPTURE_BYTES): so much of a tool's output is kept, and a mark.
CAPTURED = 1024 * 1024
TRUNCATED = "\n[stderr truncated]\n\n[timeout]\n"
BASE = {
    "project_id": "project",
    "tool_name": "tool",
    "contract_version": "v1",
    "params_hash": "sha256:p",
    "policy_hash": "sha256:q",
    "status": "running",
}


@pytest.fixture
def gateway(each_ledger: Ledger) -> Connection:
    """As the gateway connects: bound to one customer, of which it never heard, with helix in its search path."""
    return gateway_of(each_ledger, "acme")


def gateway_of(ledger: Ledger, customer: str, *roles: str) -> Connection:
    login = ledger.login(f"gateway_of_{customer}", *(roles or ("aximo_writer",)), customers=(customer,))
    return ledger.connect(login, options="-c search_path=helix")


def add_run(connection: Connection, run: str, conflict: str = "", **fields: Any) -> int:
    values = {"run_id": run, **BASE, **fields}
    marks = ", ".join(["%s"] * len(values))
    return connection.execute(
        f"insert into helix.runs ({', '.join(values)}) values ({marks}) {conflict}", list(values.values())
    ).rowcount


def add_event(connection: Connection, run: str, kind: str, message: str | None = None, data: Any = None) -> int:
    row = connection.execute(
        "insert into helix.run_events (run_id, kind, message, data) values (%s, %s, %s, %s) returning event_id",
        (run, kind, message, None if data is None else Jsonb(data)),
    ).fetchone()
    assert row is not None
    return int(row[0])


def refusal(connection: Connection, query: str, values: Any = None) -> tuple[str | None, str | None]:
    with pytest.raises(psycopg.Error) as error, connection.transaction():
        connection.execute(query, values)  # type: ignore[call-overload]
    return error.value.sqlstate, error.value.diag.constraint_name


def kinds(connection: Connection, run: str) -> list[str]:
    return [
        k
        for (k,) in connection.execute("select kind from helix.run_events where run_id = %s order by event_id", (run,))
    ]


# The contract.


def test_the_columns_are_those_of_the_frozen_contract(ledger: Ledger) -> None:
    columns = (
        ledger.superuser()
        .execute(
            """
        select attname, format_type(atttypid, atttypmod), attnotnull
        from pg_attribute where attrelid = 'helix.run_events'::regclass and attnum > 0 order by attnum
        """
        )
        .fetchall()
    )
    assert columns[: len(ABI)] == ABI
    keys = (
        ledger.superuser()
        .execute(
            "select conrelid::regclass::text, pg_get_constraintdef(oid) from pg_constraint"
            " where contype = 'p' and conrelid in ('helix.runs'::regclass, 'helix.run_events'::regclass) order by 1"
        )
        .fetchall()
    )
    assert keys == [("helix.run_events", "PRIMARY KEY (event_id)"), ("helix.runs", "PRIMARY KEY (run_id)")]


def test_the_list_of_kinds_is_the_frozen_one(gateway: Connection) -> None:
    listed = gateway.execute(
        "select family, kind from event_kinds where origin ~ 'Events v1' order by family, kind"
    ).fetchall()
    assert listed == sorted((family, kind) for family, of in FROZEN.items() for kind in of)
    assert gateway.execute("select distinct version from event_kinds").fetchall() == [(1,)]
    others = gateway.execute(
        "select family, kind, state from event_kinds where origin !~ 'Events v1' order by kind"
    ).fetchall()
    assert others == [
        ("collect", "collect.plan", None),
        ("exec", "exec.step", None),
        ("studio", "studio.command", None),
    ]
    add_run(gateway, "run_1")
    for kind in ("studio.other", "other.kind"):
        add_event(gateway, "run_1", kind)
    families = dict(gateway.execute("select kind, family from kind_usage where not is_listed").fetchall())
    assert families == {"studio.other": "studio", "other.kind": None}


def test_a_gateway_writes_as_it_does_to_its_own_schema(gateway: Connection) -> None:
    for expected in (1, 0):
        assert add_run(gateway, "run_1", "on conflict (run_id) do nothing") == expected
    gateway.execute("update runs set started_at = now(), status = 'running' where run_id = 'run_1'")
    ids = [
        add_event(gateway, "run_1", kind)
        for kind in ("run.started", "dummy", "studio.command", "collect.plan", "run.succeeded")
    ]
    assert ids == sorted(ids)
    gateway.execute(
        "update runs set status = 'succeeded', result_json = '{\"n\": 1}', log_artifact_id = 'a' where run_id = 'run_1'"
    )
    found = gateway.execute(
        "select event_id, run_id, ts, kind, message, data from run_events where run_id = 'run_1' order by event_id"
    ).fetchall()
    assert [row[0] for row in found] == ids
    assert [row[3] for row in found][1:4] == ["dummy", "studio.command", "collect.plan"]
    assert (
        gateway.execute("select * from runs").rowcount == gateway.execute("select * from run_events").rowcount / 5 == 1
    )
    assert gateway.execute("select status, customer_id, recorded_by from runs").fetchall() == [
        ("succeeded", "acme", gateway.info.user)
    ]


@pytest.mark.parametrize("statement", [
    "insert into helix.run_events (run_id, kind, event_id) values ('run_1', 'x', 1)",
    "insert into helix.run_events (run_id, kind, ts) values ('run_1', 'x', now())",
    "insert into helix.run_events (run_id, kind, customer_id) values ('run_1', 'x', 'acme')",
    "insert into helix.run_events (run_id, kind, recorded_by) values ('run_1', 'x', 'somebody')",
    "insert into helix.run_events (run_id, kind, recorded_at) values ('run_1', 'x', now())",
    "insert into helix.run_events (run_id, kind, extra) values ('run_1', 'x', '{}')",
    "update helix.run_events set kind = 'y'",
    "update helix.run_events set run_id = 'run_2'",
    "delete from helix.run_events",
    "truncate helix.run_events",
    "update helix.runs set run_id = 'run_2'",
    "update helix.runs set customer_id = 'other'",
    "update helix.runs set created_at = now()",
    "update helix.runs set tool_name = 'another'",
    "update helix.runs set recorded_by = 'another'",
    "delete from helix.runs",
    "truncate helix.runs cascade",
    "select xmin from helix.runs",
    "select ctid from helix.run_events",
    "lock table helix.runs",
    "lock table helix.run_events",
    "select nextval('helix.run_events_event_id_seq')",
    "select last_value from helix.run_events_event_id_seq",
    "select aximo_private.next_run_event_id()",
])  # fmt: skip
def test_what_a_writer_has_no_right_to(gateway: Connection, statement: str) -> None:
    add_run(gateway, "run_1")
    add_event(gateway, "run_1", "run.started")
    assert refusal(gateway, statement)[0] == "42501"


# What is refused, by its code.

MALFORMED: list[tuple[str, Any, Any, str]] = [
    ("", None, None, "kind_present"),
    ("x", None, [1], "data_is_object"),
    ("x", None, "text", "data_is_object"),
    ("x", None, 1, "data_is_object"),
    ("x", "m" * LIMIT, None, "run_event_size"),
    ("x", "\x01" * (LIMIT // 6), None, "run_event_size"),
    ("x", None, {"a": "m" * LIMIT}, "run_event_size"),
    ("x" * LIMIT, None, None, "run_event_size"),
]


@pytest.mark.parametrize(("kind", "message", "data", "rule"), MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_event_is_refused_by_name(
    gateway: Connection, kind: str, message: Any, data: Any, rule: str
) -> None:
    add_run(gateway, "run_1")
    values = ("run_1", kind, message, None if data is None else Jsonb(data))
    query = "insert into run_events (run_id, kind, message, data) values (%s, %s, %s, %s)"
    assert refusal(gateway, query, values) == ("ZXARG", rule)
    assert kinds(gateway, "run_1") == []


def test_the_constraints_hold_without_the_trigger_that_names_them(each_ledger: Ledger, gateway: Connection) -> None:
    add_run(gateway, "run_1")
    with each_ledger.superuser() as root:
        root.execute("alter table helix.run_events disable trigger check_run_event")
        root.execute("alter table helix.runs disable trigger check_run")
    states = {
        "insert into run_events (run_id, kind) values ('run_1', '')": "23514",
        "insert into run_events (run_id, kind, data) values ('run_1', 'x', '[]')": "23514",
        "insert into run_events (run_id, kind) values ('run_2', 'x')": "23503",
        "insert into run_events (run_id, kind) values ('run_1', null)": "23502",
    }
    for statement, state in states.items():
        assert refusal(gateway, statement)[0] == state
    stranger = gateway_of(each_ledger, "beta")
    assert refusal(stranger, "insert into run_events (run_id, kind) values ('run_1', 'x')")[0] == "23503"
    nobody = each_ledger.connect(each_ledger.login("nobody", "aximo_writer"))
    assert refusal(nobody, "insert into helix.run_events (run_id, kind) values ('run_1', 'x')")[0] in ("23502", "42501")


def test_numbers_that_swell_are_refused(gateway: Connection) -> None:
    add_run(gateway, "run_1")
    swelling = '{"n": [' + ", ".join(["1e-16000"] * 200) + "]}"
    query = "insert into run_events (run_id, kind, data) values ('run_1', 'x', %s::jsonb)"
    assert refusal(gateway, query, (swelling,)) == ("ZXARG", "run_event_numbers")


@pytest.mark.parametrize("text", ["x", "\x1b", "\x1b[31m", "\x1b[0m", "\ufffd", '"', "\\"])
def test_what_the_gateway_keeps_of_a_tools_stderr_is_taken(gateway: Connection, text: str) -> None:
    add_run(gateway, "run_1")
    # Of bytes that are no UTF-8 the gateway makes a replacement character each, of three bytes.
    kept = (text * (CAPTURED // len(text) + 1))[:CAPTURED]
    data = {"backend": "docker", "started_at": "x" * 30, "finished_at": "x" * 30, "stderr": kept + TRUNCATED}
    add_event(gateway, "run_1", "exec.result", "exit=1", data)
    assert gateway.execute("select data from run_events").fetchall() == [(data,)]


def test_a_run_has_no_more_text_than_a_dump_can_hold(each_ledger: Ledger, gateway: Connection) -> None:
    columns = dict(
        gateway.execute(
            """
            select attname::text, format_type(atttypid, null) from pg_attribute
            where attrelid = 'helix.runs'::regclass and attnum > 0
                and has_column_privilege('aximo_writer', attrelid, attnum, 'insert')
                and format_type(atttypid, null) in ('text', 'jsonb')
            """
        ).fetchall()
    )
    assert {"error", "policy_snapshot"} <= set(columns)
    lengths = {"run_id", "project_id", "tool_name", "execution_id", "status"}
    bomb = '{"x": [' + ", ".join(["1e131000"] * 12000) + "]}"
    state = "ZXARG"
    # With the trigger, and then without it: the constraints hold by themselves.
    for _ in range(2):
        for column in sorted(set(columns) - lengths):
            values = {
                "run_id": "run_1",
                **BASE,
                column: "x" * LIMIT if columns[column] == "text" else f'"{"x" * LIMIT}"',
            }
            query = f"insert into helix.runs ({', '.join(values)}) values ({', '.join(['%s'] * len(values))})"
            assert refusal(gateway, query, list(values.values())) == (state, "run_size"), column
            if columns[column] == "jsonb":
                assert refusal(gateway, query, [*list(values.values())[:-1], bomb]) == (state, "run_numbers"), column
        with each_ledger.superuser() as root:
            root.execute("alter table helix.runs disable trigger check_run")
        state = "23514"
    assert gateway.execute("select from helix.runs").rowcount == 0
    # Half of it in each of two columns is too much as well.
    half = Jsonb("x" * (LIMIT // 2))
    query = "insert into helix.runs ({0}, environment, result_json) values ({1}, %s, %s)"
    query = query.format(", ".join(["run_id", *BASE]), ", ".join(["%s"] * (1 + len(BASE))))
    assert refusal(gateway, query, ["run_1", *BASE.values(), half, half]) == ("23514", "run_size")


def test_a_run_event_that_swells_is_refused_without_the_trigger(each_ledger: Ledger, gateway: Connection) -> None:
    add_run(gateway, "run_1")
    with each_ledger.superuser() as root:
        root.execute("alter table helix.run_events disable trigger check_run_event")
    bomb = '{"x": [' + ", ".join(["1e131000"] * 12000) + "]}"
    query = "insert into helix.run_events (run_id, kind, data) values ('run_1', 'x', %s::jsonb)"
    assert refusal(gateway, query, [bomb]) == ("23514", "run_event_numbers")


@pytest.mark.parametrize(("field", "value", "rule"), [
    ("run_id", "", "run_id_length"),
    ("run_id", "x" * 256, "run_id_length"),
    ("project_id", "x" * 256, "project_id_length"),
    ("tool_name", "", "tool_name_length"),
    ("tool_name", "x" * 256, "tool_name_length"),
    ("status", "done", "runs_status_check"),
    ("status", None, "runs_status_check"),
    ("execution_id", "", "execution_id_length"),
    ("started_at", "infinity", "run_moment"),
    ("finished_at", "1969-12-31", "run_moment"),
    ("finished_at", "20000-01-01", "run_moment"),
])  # fmt: skip
def test_a_malformed_run_is_refused_by_name(gateway: Connection, field: str, value: Any, rule: str) -> None:
    with pytest.raises(psycopg.Error) as error:
        add_run(gateway, **{"run": "run_1", field: value} if field != "run_id" else {"run": value})
    assert (error.value.sqlstate, error.value.diag.constraint_name) == ("ZXARG", rule)


@pytest.mark.parametrize("setting", [None, "*", " ", "x" * 256])
def test_who_works_for_no_customer_writes_nothing(each_ledger: Ledger, setting: str | None) -> None:
    service = each_ledger.as_service()
    if setting is not None:
        service.execute("select set_config('aximo.customer_id', %s, false)", (setting,))
    with pytest.raises(psycopg.Error) as error:
        add_run(service, "run_1")
    assert error.value.sqlstate == ("ZXCUS" if setting is None else "ZXARG")
    root = each_ledger.superuser()
    assert root.execute("select count(*) from helix.runs").fetchone() == (0,)


# Immutability.


def test_a_run_keeps_its_events_whoever_tries(each_ledger: Ledger, gateway: Connection) -> None:
    for run in ("run_1", "run_2", "empty"):
        add_run(gateway, run)
    add_event(gateway, "run_1", "run.started")
    owner = each_ledger.connect(DBA)
    owner.execute("set aximo.customer_id = 'acme'")
    for connection in (owner, each_ledger.superuser()):
        for statement, expected in {
            "delete from helix.runs where run_id = 'run_1'": ("ZXIMM", "run_has_events"),
            "update helix.runs set run_id = 'run_3' where run_id = 'run_1'": ("ZXIMM", "run_stays_itself"),
            "update helix.runs set customer_id = 'beta'": ("ZXIMM", "run_stays_itself"),
            "update helix.runs set created_at = created_at - interval '1 day'": ("ZXIMM", "run_stays_itself"),
            "update helix.run_events set run_id = 'run_2'": ("ZXIMM", "append_only"),
            "delete from helix.run_events": ("ZXIMM", "append_only"),
            "truncate helix.runs cascade": ("ZXIMM", "append_only"),
            "truncate helix.run_events": ("ZXIMM", "append_only"),
            "delete from helix.event_kinds": ("ZXIMM", "append_only"),
        }.items():
            assert refusal(connection, statement) == expected, statement
    root = each_ledger.superuser()
    root.execute("set session_replication_role = replica")
    for statement in ("delete from helix.runs where run_id = 'run_1'", "update helix.runs set run_id = 'run_3'"):
        assert refusal(root, statement)[0] == "ZXIMM"
    # One without events may go.
    assert owner.execute("delete from helix.runs where run_id = 'empty'").rowcount == 1
    assert kinds(gateway, "run_1") == ["run.started"]


def test_a_run_and_its_events_go_nowhere_by_the_gateways_own_cascades(each_ledger: Ledger, gateway: Connection) -> None:
    add_run(gateway, "run_1")
    add_event(gateway, "run_1", "run.started")
    with each_ledger.connect(DBA) as owner:
        owner.execute("set search_path = helix")
        owner.execute(
            "create table run_inputs (run_id text references runs (run_id) on delete cascade on update cascade)"
        )
        owner.execute("insert into run_inputs values ('run_1')")
        owner.execute("set aximo.customer_id = 'acme'")
        assert refusal(owner, "delete from runs")[0] == "ZXIMM"
        assert refusal(owner, "truncate runs, run_inputs cascade")[0] == "ZXIMM"
    assert kinds(gateway, "run_1") == ["run.started"]


FORWARD = {
    "queued": {"queued", "running", "succeeded", "failed", "blocked"},
    "running": {"running", "succeeded", "failed", "blocked"},
    "succeeded": {"succeeded"},
    "failed": {"failed"},
    "blocked": {"blocked"},
}


@pytest.mark.parametrize("before", FORWARD)
@pytest.mark.parametrize("after", FORWARD)
def test_a_run_goes_forward(gateway: Connection, before: str, after: str) -> None:
    add_run(gateway, "run_1", status=before)
    if after in FORWARD[before]:
        assert gateway.execute("update runs set status = %s, finished_at = now()", (after,)).rowcount == 1
    else:
        assert refusal(gateway, "update runs set status = %s, finished_at = now()", (after,)) == (
            "ZXRUN",
            "run_goes_forward",
        )


def test_two_that_end_a_run_at_once_do_not_both(each_ledger: Ledger, gateway: Connection) -> None:
    add_run(gateway, "run_1")
    other = each_ledger.connect(gateway.info.user, options="-c search_path=helix")
    other.execute("begin")
    other.execute("update runs set status = 'failed' where run_id = 'run_1'")
    outcome: list[str | None] = []
    thread = threading.Thread(
        target=lambda: outcome.append(
            refusal(gateway, "update runs set status = 'succeeded' where run_id = 'run_1'")[1]
        )
    )
    thread.start()
    other.execute("commit")
    thread.join(120)
    assert outcome == ["run_goes_forward"]


#: What the published gateway does to a run that has ended: it tries a failed one again, and two may have run the same at once.
AGAIN = {
    "succeeded": [
        "started_at = now()",
        "status = 'succeeded', finished_at = now(), error = null, log_artifact_id = 'b', result_json = '{\"n\": 2}'",
    ],
    "failed": [
        "started_at = now()",
        "status = 'failed', finished_at = now(), error = 'again', log_artifact_id = 'b', result_json = null",
        "status = 'failed', finished_at = now(), exit_code = 1, error = 'slurm job exit_code=1'",
    ],
    "blocked": [
        "started_at = now()",
        "status = 'blocked', finished_at = now(), error = 'b', log_artifact_id = 'b', result_json = null",
    ],
}
#: What it never does.
NEVER = {
    "succeeded": [
        "exit_code = 1",
        "exit_code = null",
        "error = 'x'",
        "result_json = null",
        "finished_at = null",
        "started_at = null",
    ],
    "failed": ["error = null", "result_json = '{}'", "finished_at = null", "started_at = null"],
    "blocked": ["error = null", "result_json = '{}'", "finished_at = null"],
}


@pytest.mark.parametrize("status", AGAIN)
def test_a_finished_run_is_final_as_far_as_the_gateway_lets_it(gateway: Connection, status: str) -> None:
    ended: dict[str, Any] = {"status": status, "started_at": "2026-01-01", "finished_at": "2026-01-01"}
    ended |= {"exit_code": 0, "result_json": Jsonb({"n": 1})} if status == "succeeded" else {"error": "e"}
    add_run(gateway, "run_1", **ended)
    for change in NEVER[status]:
        assert refusal(gateway, f"update runs set {change}") == ("ZXIMM", "finished_run_stays"), change
    for change in AGAIN[status]:
        gateway.execute(f"update runs set {change}")
    if status == "failed":
        assert refusal(gateway, "update runs set exit_code = 2") == ("ZXIMM", "finished_run_stays")


def test_json_null_is_no_data(gateway: Connection) -> None:
    add_run(gateway, "run_1")
    gateway.execute("insert into run_events (run_id, kind, data) values ('run_1', 'exec.plan', 'null')")
    assert gateway.execute("select data is null from run_events").fetchall() == [(True,)]


# Isolation. What every relation and function gives away is tried in test_isolation.py.


def test_anothers_run_and_none_look_the_same(each_ledger: Ledger, gateway: Connection) -> None:
    add_run(gateway, "run_1")
    stranger = gateway_of(each_ledger, "beta")
    for run in ("run_1", "run_none"):
        for query in (
            f"insert into run_events (run_id, kind) values ('{run}', 'x')",
            f"select observe_run('{run}')",
            f'select import_run_events(\'[{{"kind": "x", "ts": "2026-01-01T00:00:00Z"}}]\', \'{run}\', false)',
        ):
            assert refusal(stranger, query) == ("ZXRUN", "run_known")
        for query in (
            f"update runs set status = 'failed' where run_id = '{run}'",
            f"select from runs where run_id = '{run}'",
            f"select from runs where run_id = '{run}' for update",
            f"select from run_events where run_id = '{run}'",
        ):
            assert stranger.execute(query).rowcount == 0


TAKEN = ("ZXDUP", "run_id_names_one_run")


def test_a_collision_tells_that_the_run_id_is_taken_and_nothing_else(each_ledger: Ledger, gateway: Connection) -> None:
    add_run(gateway, "run_1", tool_name="secret_tool", result_json=Jsonb({"secret": 1}))
    stranger = gateway_of(each_ledger, "beta")
    stranger.execute(
        "create function pg_temp.leak(r runs) returns boolean language plpgsql cost 0.0001"
        " as $$ begin raise notice 'leaked %', r; return true; end $$"
    )
    notices: list[str] = []
    stranger.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
    insert = "insert into runs (run_id, project_id, tool_name, contract_version, params_hash, policy_hash, status)"
    insert += " values ('run_1', 'p', 't', 'v1', 'h', 'h', 'queued')"
    for query in (
        insert,
        f"{insert} on conflict do nothing",
        f"{insert} on conflict (run_id) do nothing",
        f"{insert} on conflict (run_id) do update set status = 'failed'",
        f"{insert} on conflict (run_id) do update set status = 'failed' where (runs.tool_name || runs.result_json::text)::int > 0",
        f"{insert} on conflict (run_id) do update set status = 'failed' where pg_temp.leak(runs)",
        f"{insert} on conflict (run_id) do update set status = 'failed' where false",
    ):
        with pytest.raises(psycopg.Error) as error, stranger.transaction():
            stranger.execute(query)  # type: ignore[call-overload]
        assert (error.value.sqlstate, error.value.diag.constraint_name) == TAKEN, query
        told = f"{error.value} {error.value.diag.message_detail} {error.value.diag.context} {notices}"
        assert not any(word in told for word in ("secret", "acme", "leaked")), told
    row = Jsonb([{"run_id": "run_1", **BASE}])
    assert refusal(stranger, "select helix.import_runs(%s)", (row,)) == TAKEN
    lines = Jsonb([line(1)])
    assert refusal(stranger, "select helix.import_run_events(%s)", (lines,)) == TAKEN
    assert stranger.execute("select from runs").rowcount == 0


def test_who_comes_second_waits_and_neither_locks_nor_looks(each_ledger: Ledger, gateway: Connection) -> None:
    stranger = gateway_of(each_ledger, "beta")
    gateway.execute("begin")
    add_run(gateway, "run_1", tool_name="secret_tool")
    outcome: list[Any] = []
    thread = threading.Thread(
        target=lambda: outcome.append(
            refusal(
                stranger,
                "insert into runs (run_id, project_id, tool_name, contract_version, params_hash, policy_hash, status)"
                " values ('run_1', 'p', 't', 'v1', 'h', 'h', 'queued')"
                " on conflict (run_id) do update set status = 'failed' where runs.tool_name::int > 0",
            )
        )
    )
    thread.start()
    root = each_ledger.superuser()
    soon(lambda: root.execute("select from pg_stat_activity where wait_event_type = 'Lock'").rowcount > 0)
    gateway.execute("commit")
    thread.join(120)
    assert outcome == [TAKEN]
    # A run_id stays its customer's when the run is gone.
    owner = each_ledger.connect(DBA)
    owner.execute("set aximo.customer_id = 'acme'")
    assert owner.execute("delete from helix.runs").rowcount == 1
    with pytest.raises(psycopg.Error) as error:
        add_run(stranger, "run_1")
    assert error.value.sqlstate == "ZXDUP"
    assert add_run(gateway, "run_1") == 1


def test_no_customer_sees_another_by_any_name(each_ledger: Ledger, gateway: Connection) -> None:
    add_run(gateway, "run_1")
    add_event(gateway, "run_1", "run.started", data={"secret": 1})
    stranger = gateway_of(each_ledger, "beta")
    stranger.execute("set aximo.customer_id = 'acme'")
    assert stranger.execute("select from runs").rowcount == 0
    assert stranger.execute("select from run_events").rowcount == 0
    # Nor does the login that installed, before it says for whom it works.
    owner = each_ledger.connect(DBA)
    assert owner.execute("select from helix.run_events").rowcount == 0
    owner.execute("set aximo.customer_id = 'beta'")
    assert owner.execute("select from helix.runs").rowcount == 0
    owner.execute("set aximo.customer_id = 'acme'")
    assert owner.execute("select from helix.run_events").rowcount == 1


def test_the_gateways_own_tables_can_be_told_apart_by_customer(each_ledger: Ledger, gateway: Connection) -> None:
    stranger = gateway_of(each_ledger, "beta")
    owner = each_ledger.connect(DBA)
    owner.execute("set search_path = helix")
    owner.execute(
        """
        create table projects (project_id text primary key, name text);
        create table artifacts (
            artifact_id text primary key, project_id text not null references projects (project_id) on delete cascade,
            checksum_sha256 text, created_at timestamptz default now()
        );
        create index artifacts_project_created_idx on artifacts (project_id, created_at desc);
        create index artifacts_checksum_idx on artifacts (checksum_sha256);
        create table param_sets (params_hash text primary key, canonical_json jsonb not null);
        create table run_inputs (
            run_id text references runs (run_id) on delete cascade,
            artifact_id text references artifacts (artifact_id), role text, primary key (run_id, artifact_id, role)
        );
        """
    )
    for login in (gateway.info.user, stranger.info.user):
        owner.execute(f"grant select, insert on projects, artifacts, param_sets, run_inputs to {login}")
    made = owner.execute("select helix.isolate_gateway_tables()").fetchall()
    assert made == owner.execute("select helix.isolate_gateway_tables()").fetchall()
    assert [name for (name,) in made] == ["artifacts", "param_sets", "projects", "run_inputs"]
    for connection, mark in ((gateway, "a"), (stranger, "b")):
        connection.execute("insert into projects values (%s, 'n') on conflict (project_id) do nothing", (f"p{mark}",))
        connection.execute("insert into artifacts values (%s, %s)", (f"art{mark}", f"p{mark}"))
        connection.execute("insert into param_sets values ('same', '{}') on conflict (params_hash) do nothing")
        add_run(connection, f"run_{mark}", params_hash="same")
        connection.execute("insert into run_inputs values (%s, %s, 'in')", (f"run_{mark}", f"art{mark}"))
        for table in ("projects", "artifacts", "run_inputs"):
            assert connection.execute(f"select from {table}").rowcount == 1, table
    # Named by their hash alone: the second writes nothing, and reads nothing that another wrote.
    assert [c.execute("select from param_sets").rowcount for c in (gateway, stranger)] == [1, 0]
    leading = owner.execute(
        "select i.indexrelid::regclass::text, a.attname from pg_index as i"
        " join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]"
        " where i.indrelid = 'helix.artifacts'::regclass and not i.indisprimary order by 1"
    ).fetchall()
    assert leading == [("artifacts_checksum_idx", "customer_id"), ("artifacts_project_created_idx", "customer_id")]
    assert (
        owner.execute(
            "select from pg_attribute where attrelid = any(array['helix.projects', 'helix.param_sets']::regclass[])"
            " and attnum > 0 and attstattarget is distinct from 0"
        ).rowcount
        == 0
    )
    for run, artifact in (("run_a", "artb"), ("run_none", "artb"), ("run_b", "arta"), ("run_b", "art_none")):
        assert refusal(stranger, "insert into run_inputs values (%s, %s, 'x')", (run, artifact))[0] == "42501"


def test_two_customers_share_a_project_of_the_gateways(each_ledger: Ledger, gateway: Connection) -> None:
    # The published gateway uses one constant project for every studio tool.
    stranger = gateway_of(each_ledger, "beta")
    owner = each_ledger.connect(DBA)
    owner.execute("set search_path = helix")
    owner.execute(
        """
        create table projects (project_id text primary key, name text);
        create table artifacts (artifact_id text primary key, project_id text not null references projects (project_id));
        create table run_outputs (
            run_id text references runs (run_id), artifact_id text references artifacts (artifact_id), role text,
            primary key (run_id, artifact_id, role)
        );
        """
    )
    for login in (gateway.info.user, stranger.info.user):
        owner.execute(f"grant select, insert on projects, artifacts, run_outputs to {login}")
    owner.execute("select helix.isolate_gateway_tables()")
    for time in range(2):
        for connection, run in ((gateway, "run_a"), (stranger, "run_b")):
            connection.execute("insert into projects values ('studio', null) on conflict (project_id) do nothing")
            add_run(connection, run, "on conflict (run_id) do nothing", project_id="studio")
            add_event(connection, run, "studio.command", "get_state", {})
            artifact = f"{run}_{time}"
            connection.execute("insert into artifacts values (%s, 'studio')", (artifact,))
            connection.execute("insert into run_outputs values (%s, %s, 'log')", (run, artifact))
            connection.execute(
                "update runs set status = 'succeeded', log_artifact_id = %s where run_id = %s", (artifact, run)
            )
    for connection, run in ((gateway, "run_a"), (stranger, "run_b")):
        assert connection.execute("select run_id, status from runs").fetchall() == [(run, "succeeded")]
        found = connection.execute("select artifact_id from artifacts order by 1").fetchall()
        assert found == [(f"{run}_0",), (f"{run}_1",)]
        assert connection.execute("select distinct run_id from run_outputs").fetchall() == [(run,)]
    assert refusal(stranger, "insert into run_outputs values ('run_b', 'run_a_0', 'x')")[0] == "42501"


# Observing.


def test_an_observation_is_a_run_of_its_own_and_does_not_write(each_ledger: Ledger, gateway: Connection) -> None:
    add_run(gateway, "run_1")
    add_event(gateway, "run_1", "run.started")
    with gateway.transaction():
        row = gateway.execute("select observe_run('run_1', 'docker_job_get', 'somebody')").fetchone()
        assert row is not None
        observer = row[0]
        for statement in (
            "insert into run_events (run_id, kind) values ('run_1', 'x')",
            "update runs set error = 'e' where run_id = 'run_1'",
            'select import_run_events(\'[{"kind": "x", "ts": "2026-01-01T00:00:00Z"}]\', \'run_1\')',
        ):
            assert refusal(gateway, statement) == ("ZXRUN", "observed_is_read_only")
        gateway.execute("select set_config('aximo.customer_id', 'acme', true)")
        assert refusal(gateway, "update runs set error = 'e' where run_id = 'run_1'")[1] == "observed_is_read_only"
        # Its own events are its own.
        add_event(gateway, observer, "exec.plan")
    assert kinds(gateway, "run_1") == ["run.started"]
    assert kinds(gateway, observer) == ["run.started", "run.succeeded", "exec.plan"]
    assert gateway.execute("select target_run_id from observations").fetchall() == [("run_1",)]
    assert gateway.execute("select tool_name, status, requested_by, project_id from runs where run_id = %s", (observer,)).fetchone() == (
        "docker_job_get", "succeeded", "somebody", "project",
    )  # fmt: skip
    # Afterwards, and in other transactions meanwhile, the run goes on.
    add_event(gateway, "run_1", "run.succeeded")
    with gateway.transaction():
        gateway.execute("select observe_run('run_1')")
        other = each_ledger.connect(gateway.info.user, options="-c search_path=helix")
        add_event(other, "run_1", "later")


def test_the_gateways_own_look_at_a_run_is_an_observation(each_ledger: Ledger, gateway: Connection) -> None:
    add_run(gateway, "run_1")
    add_run(gateway, "run_2", tool_name="slurm_job_get")
    for _ in range(2):
        gateway.execute(
            "update runs set status = 'succeeded', result_json = %s where run_id = 'run_2'",
            (Jsonb({"target_run_id": "run_1", "state": "queued"}),),
        )
    add_run(gateway, "run_3", tool_name="slurm_job_get", result_json=Jsonb({"target_run_id": "run_none"}))
    add_run(gateway, "run_7", tool_name="slurm_job_get", result_json=Jsonb({"target_run_id": 1}))
    add_run(gateway, "run_4", tool_name="slurm_job_get")
    add_run(gateway, "run_5", tool_name="slurm_job_collect", result_json=Jsonb({"target_run_id": "run_1"}))
    add_run(gateway, "run_6", tool_name="slurm_job_get", result_json=Jsonb(["target_run_id"]))
    row = gateway.execute("select observe_run('run_1', 'docker_job_get')").fetchone()
    assert row is not None
    seen = gateway.execute(
        "select run_id, target_run_id, observed_by from observations order by run_id desc"
    ).fetchall()
    assert sorted(seen) == sorted([("run_2", "run_1", gateway.info.user), (row[0], "run_1", gateway.info.user)])
    assert gateway_of(each_ledger, "beta").execute("select from observations").rowcount == 0


def test_an_observation_undone_binds_nobody(gateway: Connection) -> None:
    add_run(gateway, "run_1")
    with gateway.transaction():
        with gateway.transaction(force_rollback=True):
            gateway.execute("select observe_run('run_1')")
        add_event(gateway, "run_1", "x")
    assert gateway.execute("select from observations").rowcount == 0


# Importing.


def imported(connection: Connection, lines: list[Any], **named: Any) -> list[tuple[int, bool]]:
    arguments = "".join(f", {name} => %s" for name in named)
    return connection.execute(
        f"select line, is_duplicate from helix.import_run_events(%s{arguments})", [Jsonb(lines), *named.values()]
    ).fetchall()


def line(n: int, kind: str = "x", **fields: Any) -> dict[str, Any]:
    return {"run_id": "run_1", "created_at": f"2026-01-01T00:00:{n:02}Z", "kind": kind, **fields}


@pytest.mark.parametrize(("kind", "data", "error"), [
    ("run.failed", {"error": "no space left"}, "no space left"),
    ("run.blocked", {"error": "policy"}, "policy"),
    ("run.failed", None, None),
    ("run.succeeded", {"error": "x"}, None),
])  # fmt: skip
def test_a_run_made_for_events_has_the_error_they_tell(
    gateway: Connection, kind: str, data: Any, error: str | None
) -> None:
    imported(gateway, [line(1, "run.started"), line(2, kind, data=data)])
    assert gateway.execute("select status, error from runs").fetchall() == [(kind.removeprefix("run."), error)]


def test_an_import_can_be_repeated(gateway: Connection) -> None:
    lines = [line(1, message="m", data={"a": 1.50}), line(1, message="m", data={"a": 1.5}), line(2), line(2, data=None)]
    assert imported(gateway, lines) == [(1, False), (2, False), (3, False), (4, False)]
    assert [d for _, d in imported(gateway, lines)] == [True] * 4
    assert [d for _, d in imported(gateway, [*lines, line(3)])] == [True] * 4 + [False]
    others = [
        line(1, message="n", data={"a": 1.5}),
        line(1, message="m", data={"a": 2}),
        line(1, "z", message="m", data={"a": 1.5}),
    ]
    assert [d for _, d in imported(gateway, others)] == [False] * 3
    # In parts, told how often the same came before.
    assert [d for _, d in imported(gateway, lines[1:2], repetitions=[2])] == [True]
    assert [d for _, d in imported(gateway, lines[1:2], repetitions=[3])] == [False]
    # One moment, said in several ways, on the line or in the call.
    same = ["2026-02-01T00:00:00Z", "2026-02-01T00:00:00+00:00", "2026-02-01T01:00:00.000000+01:00"]
    told = [
        {"run_id": "run_1", "created_at": same[0], "kind": "y"},
        {"created_at": same[1], "kind": "y"},
        {"ts": same[2], "kind": "y"},
    ]
    assert [d for _, d in imported(gateway, told, run_id="run_1")] == [False] * 3
    assert [d for _, d in imported(gateway, told, run_id="run_1")] == [True] * 3
    for repetitions in ([0], [1, 1], [None], []):
        query = "select from helix.import_run_events(%s, repetitions => %s::integer[])"
        assert refusal(gateway, query, (Jsonb(lines[:1]), repetitions)) == ("ZXARG", "repetitions_positive")


def test_what_an_export_says_comes_back_as_it_was(gateway: Connection) -> None:
    add_run(gateway, "run_1")
    add_event(gateway, "run_1", "run.started", "m", {"a": [1, None, "ä"]})
    exported = gateway.execute(
        "select jsonb_build_object('run_id', run_id, 'event_id', event_id, 'created_at', ts, 'kind', kind, 'message', message,"
        " 'data', data) from run_events"
    ).fetchall()
    assert imported(gateway, [row[0] for row in exported]) == [(1, True)]


def test_unknown_fields_are_kept_beside(gateway: Connection) -> None:
    imported(
        gateway,
        [line(1, event_id=7, extra={"a": 1}, further=[1], event_version=2), line(2, extra="text", ts="earlier")],
    )
    rows = gateway.execute("select extra from run_events order by event_id").fetchall()
    assert rows == [
        ({"a": 1, "further": [1], "event_version": 2, "imported_from": {"event_id": 7}},),
        ({"extra": "text", "ts": "earlier"},),
    ]
    # Nothing is lost where names meet, nor where it came from before.
    imported(gateway, [
        line(3, extra={"x": 1}, x=2),
        line(4, event_id=9, recorded_by="b", extra={"imported_from": {"event_id": 7}, "a": 1}),
        line(5, recorded_at="then"),
    ])  # fmt: skip
    rows = gateway.execute(
        "select extra from run_events where ts >= '2026-01-01 00:00:03Z' order by event_id"
    ).fetchall()
    assert rows == [
        ({"extra": {"x": 1}, "x": 2},),
        ({"a": 1, "imported_from": {"event_id": 9, "recorded_by": "b", "imported_from": {"event_id": 7}}},),
        ({"imported_from": {"recorded_at": "then"}},),
    ]


def test_a_run_made_for_imported_events_is_in_the_state_they_say(gateway: Connection) -> None:
    imported(gateway, [line(1, "run.started", data={"params_hash": "p", "policy_hash": "q"}), line(2, "run.queued")])
    query = "select status, tool_name, params_hash, policy_hash, finished_at from runs"
    assert gateway.execute(query).fetchall() == [("queued", "unknown", "p", "q", None)]
    imported(gateway, [line(3, "run.running"), line(4, "slurm.collect.failed"), line(5, "dummy")])
    assert gateway.execute(query).fetchall() == [
        ("failed", "unknown", "p", "q", datetime(2026, 1, 1, 0, 0, 4, tzinfo=UTC))
    ]
    # Not of a run that a gateway wrote, whatever it calls itself.
    add_run(gateway, "run_2", project_id="imported", tool_name="unknown")
    imported(gateway, [{**line(1, "run.failed"), "run_id": "run_2"}])
    assert gateway.execute("select status from runs where run_id = 'run_2'").fetchall() == [("running",)]


@pytest.mark.parametrize(("bad", "rule"), [
    ([], "event_is_object"),
    ("x", "event_is_object"),
    (None, "event_is_object"),
    ({"ts": "2026-01-01T00:00:00Z", "kind": "x"}, "run_id_present"),
    ({"run_id": 1, "ts": "2026-01-01T00:00:00Z", "kind": "x"}, "run_id_is_string"),
    ({"run_id": "r", "ts": "2026-01-01T00:00:00Z"}, "kind_present"),
    ({"run_id": "r", "ts": "2026-01-01T00:00:00Z", "kind": ""}, "kind_present"),
    ({"run_id": "r", "ts": "2026-01-01T00:00:00Z", "kind": 1}, "kind_present"),
    ({"run_id": "r", "kind": "x"}, "run_event_moment"),
    ({"run_id": "r", "kind": "x", "ts": "yesterday evening"}, "run_event_moment"),
    ({"run_id": "r", "kind": "x", "ts": "1969-12-31T23:00:00Z"}, "run_event_moment"),
    ({"run_id": "r", "kind": "x", "ts": "infinity"}, "run_event_moment"),
    ({"run_id": "r", "kind": "x", "ts": "now"}, "run_event_moment"),
    ({"run_id": "r", "kind": "x", "ts": "2026-01-01"}, "run_event_moment"),
    ({"run_id": "r", "kind": "x", "ts": "2026-02-30T00:00:00Z"}, "run_event_moment"),
    ({"run_id": "r", "kind": "x", "ts": "2026-01-01T23:59:60Z"}, "run_event_moment"),
    ({"run_id": "r", "kind": "x", "ts": "2026-01-01T00:00:00"}, "run_event_moment"),
    ({"run_id": "r", "kind": "x", "ts": 5}, "run_event_moment"),
    ({"run_id": "r", "kind": "x", "ts": "2026-01-01T00:00:00Z", "data": []}, "data_is_object"),
    ({"run_id": "r", "kind": "x", "ts": "2026-01-01T00:00:00Z", "message": {}}, "message_is_string"),
    ({"run_id": "", "kind": "x", "ts": "2026-01-01T00:00:00Z"}, "run_id_length"),
])  # fmt: skip
def test_of_a_malformed_line_nothing_is_written(gateway: Connection, bad: Any, rule: str) -> None:
    query = "select from helix.import_run_events(%s)"
    assert refusal(gateway, query, (Jsonb([line(1), bad]),)) == ("ZXARG", rule)
    assert gateway.execute("select from runs").rowcount == 0
    assert refusal(gateway, query, (Jsonb({"lines": bad}),)) == ("ZXARG", "batch_is_array")


def test_two_imports_of_the_same_at_once_add_it_once(each_ledger: Ledger, gateway: Connection) -> None:
    add_run(gateway, "run_1")
    lines = [line(n) for n in range(20)]
    other = each_ledger.connect(gateway.info.user)
    other.execute("begin")
    assert len([d for _, d in imported(other, lines) if not d]) == 20
    outcome: list[int] = []
    thread = threading.Thread(target=lambda: outcome.append(len([d for _, d in imported(gateway, lines) if d])))
    thread.start()
    other.execute("commit")
    thread.join(120)
    assert outcome == [20]
    assert len(kinds(gateway, "run_1")) == 20


def test_a_log_is_compared_by_what_it_says_and_how_often(gateway: Connection) -> None:
    add_run(gateway, "run_1")
    for kind, message, data in (("a", "m", None), ("a", "m", None), ("b", None, {"n": 1.0}), ("c", "", None)):
        add_event(gateway, "run_1", kind, message, data)
    lines = [
        {"kind": "a", "message": "m", "data": None},
        {"kind": "b", "message": None, "data": {"n": 1}},
        {"kind": "c", "message": None},
        {"kind": "d", "message": "m"},
    ]
    found = gateway.execute(
        "select line, event_id is not null, kind from helix.compare_run_log('run_1', %s)", (Jsonb(lines),)
    ).fetchall()
    assert found == [
        (1, True, "a"),
        (2, True, "b"),
        (3, False, "c"),
        (4, False, "d"),
        (None, True, "a"),
        (None, True, "c"),
    ]


def test_a_run_is_imported_as_it_was(gateway: Connection) -> None:
    row = {
        "run_id": "run_1", **BASE, "status": "failed", "created_at": "2026-01-01T00:00:00Z", "exit_code": 3, "error": "e",
        "environment": {"a": 1}, "result_json": None, "execution_id": "e1", "customer_id": "acme", "recorded_by": "x",
    }  # fmt: skip
    query = "select is_duplicate from helix.import_runs(%s)"
    assert gateway.execute(query, (Jsonb([row]),)).fetchall() == [(False,)]
    assert gateway.execute(query, (Jsonb([{**row, "status": "running"}]),)).fetchall() == [(True,)]
    assert gateway.execute(
        "select status, exit_code, environment, result_json, recorded_by, execution_id from runs"
    ).fetchall() == [("failed", 3, {"a": 1}, None, gateway.info.user, "e1")]
    for bad, expected in (
        ({**row, "tool_name": "another"}, ("ZXDUP", "run_id_names_one_run")),
        ({**row, "run_id": "run_2", "status": "done"}, ("ZXARG", "runs_status_check")),
        ({**row, "run_id": "run_2", "unknown": 1}, ("ZXARG", "field_known")),
        ({**row, "run_id": "run_2", "exit_code": "x"}, ("ZXARG", "run_well_formed")),
        ({**row, "run_id": "run_2", "tool_name": 1}, ("ZXARG", "field_is_string")),
        ({**row, "run_id": "run_2", "customer_id": "beta"}, ("ZXCUS", "customer_granted")),
        ([], ("ZXARG", "event_is_object")),
    ):
        assert refusal(gateway, query, (Jsonb([bad]),)) == expected
    assert refusal(gateway, query, (Jsonb({}),)) == ("ZXARG", "batch_is_array")


# What follows from events.


def test_kinds_that_nobody_listed_show_as_such(gateway: Connection) -> None:
    add_run(gateway, "run_1")
    for kind in ("run.started", "run.started", "dummy", "collect.plan", "running.wild"):
        add_event(gateway, "run_1", kind)
    usage = {row[0]: row[1:] for row in gateway.execute("select kind, is_listed, family, events, runs from kind_usage")}
    assert usage["run.started"] == (True, "run", 2, 1)
    assert usage["dummy"] == (False, None, 1, 1)
    assert usage["collect.plan"] == (True, "collect", 1, 1)
    assert usage["running.wild"] == (False, None, 1, 1)
    assert usage["exec.plan"] == (True, "exec", 0, 0)
    assert len(usage) == 20 + 2


@pytest.fixture
def operator(each_ledger: Ledger) -> Iterator[Connection]:
    return each_ledger.connect(each_ledger.login("log_keeper", "aximo_writer", "aximo_operator", customers=("*",)))


def test_metrics_of_runs_are_what_the_events_say(
    each_ledger: Ledger, gateway: Connection, operator: Connection
) -> None:
    def said(run: str, *steps: tuple[int, str]) -> list[dict[str, Any]]:
        return [
            {"run_id": run, "created_at": f"2026-01-01T00:{n // 60:02}:{n % 60:02}Z", "kind": kind} for n, kind in steps
        ]

    add_run(gateway, "slow", tool_name="tool")
    add_run(gateway, "slurm", tool_name="slurm_submit")
    add_run(gateway, "again", tool_name="tool")
    told = [
        *said(
            "slow",
            (0, "run.started"),
            (10, "run.queued"),
            (70, "run.running"),
            (75, "exec.result"),
            (100, "run.succeeded"),
        ),
        *said(
            "slurm", (0, "run.started"), (1, "run.queued"), (500, "slurm.collect.start"), (600, "slurm.collect.done")
        ),
        *said(
            "again", (0, "run.started"), (5, "run.failed"), (6, "run.failed"), (60, "run.started"), (61, "run.blocked")
        ),
    ]
    # In any split of batches and advances.
    for place in range(0, len(told), 3):
        imported(gateway, told[place : place + 3])
        advance_all(operator)
        if place == 6:
            refresh(operator)
    refresh(operator)
    rows = metric_rows(operator, "acme", "tool_runs")
    assert [{k: v for k, v in row.items() if k not in ("customer_id", "day")} for row in sorted(rows, key=lambda r: r["tool_name"])] == [
        {
            "tool_name": "slurm_submit", "started": 1, "queued": 1, "succeeded": 1, "failed": 0, "blocked": 0,
            "failure_rate": 0.0, "queue_time_count": 0, "queue_time_sum_ms": 0, "queue_time_avg_ms": None,
            "run_time_count": 1, "run_time_sum_ms": 600_000, "run_time_avg_ms": 600_000.0, "counts_up_to": 14,
        },
        {
            "tool_name": "tool", "started": 3, "queued": 1, "succeeded": 1, "failed": 2, "blocked": 1,
            "failure_rate": 0.75, "queue_time_count": 1, "queue_time_sum_ms": 60_000, "queue_time_avg_ms": 60_000.0,
            "run_time_count": 3, "run_time_sum_ms": 36_000, "run_time_avg_ms": 12_000.0, "counts_up_to": 14,
        },
    ]  # fmt: skip
    by_status = {
        (row["tool_name"], row["status"]): (row["runs"], row["queue_time_avg_ms"], row["run_time_avg_ms"])
        for row in metric_rows(operator, "acme", "tool_runs_by_status")
    }
    assert by_status["tool", "failed"] == (2, None, 5_000.0)
    assert by_status["tool", "running"] == (1, 60_000.0, None)
    assert differences(operator, "acme") == []
    shown = Console(record=True, width=120, file=io.StringIO())
    with operator.transaction():
        operator.execute("select set_config('aximo.customer_id', 'acme', true)")
        print_metrics(operator, shown)
    text = shown.export_text()
    assert re.search(r"^tool +3 +1 +2 +1 +60 s +12 s", text, re.MULTILINE), text
    assert re.search(r"^slurm_submit +1 +1 +0 +0 +– +10 min", text, re.MULTILINE), text
    operator.execute("select from aximo.recount_metrics(true)")
    refresh(operator)
    assert differences(operator, "acme") == []
    root = each_ledger.superuser()
    root.execute("update aximo_private.run_sums set events = events + 1 where state = 'blocked'")
    operator.execute("select from aximo.refresh_metrics(true)")
    assert {d[2] for d in differences(operator, "acme")} == {"blocked", "runs", "failure_rate"}


def test_of_the_metrics_of_runs_nobody_sees_anothers(
    each_ledger: Ledger, gateway: Connection, operator: Connection
) -> None:
    add_run(gateway, "run_1")
    add_event(gateway, "run_1", "run.started")
    advance_all(operator)
    refresh(operator)
    tool = each_ledger.as_customer("beta", "aximo_bi")
    for view in ("tool_runs", "tool_runs_by_status"):
        assert metric_rows(operator, "acme", view)
        assert tool.execute(f"select from aximo_metrics.{view}").rowcount == 0
    assert each_ledger.as_customer("acme", "aximo_bi").execute("select from aximo_metrics.tool_runs").rowcount == 1


def test_a_trace_shows_the_events_of_the_runs_that_served_it(each_ledger: Ledger, gateway: Connection) -> None:
    def emit(kind: str) -> None:
        gateway.execute("select aximo.emit_event(%s, 'd', 's', '1', 'system', execution_id => 'e1')", (kind,))

    emit("execution_triggered")
    emit("execution_processing")
    add_run(gateway, "run_1", execution_id="e1")
    add_run(gateway, "run_2")
    add_event(gateway, "run_1", "run.started", "tool=x", {"a": 1})
    add_event(gateway, "run_2", "run.started")
    emit("action_prepared")
    add_event(gateway, "run_1", "run.succeeded")
    assert gateway.execute("update runs set execution_id = 'e1' where run_id = 'run_2'").rowcount == 1
    assert refusal(gateway, "update runs set execution_id = 'e2'") == ("ZXIMM", "run_serves_one_execution")
    emit("action_dispatched")
    emit("execution_completed")
    steps = gateway.execute(
        "select step, event_type, run_id, message, payload, since_previous >= '0' from aximo.execution_trace('e1')"
    ).fetchall()
    assert [row[:3] for row in steps] == [
        (1, "execution_triggered", None),
        (2, "execution_processing", None),
        (3, "run.started", "run_1"),
        (4, "run.started", "run_2"),
        (5, "action_prepared", None),
        (6, "run.succeeded", "run_1"),
        (7, "action_dispatched", None),
        (8, "execution_completed", None),
    ]
    assert steps[2][3:5] == ("tool=x", {"a": 1})
    # Events of a stranger's run that names the same execution are a stranger's.
    stranger = gateway_of(each_ledger, "beta")
    add_run(stranger, "run_9", execution_id="e1")
    add_event(stranger, "run_9", "run.started")
    assert len(gateway.execute("select from aximo.execution_trace('e1')").fetchall()) == 8
    assert [r[0] for r in stranger.execute("select run_id from aximo.execution_trace('e1')")] == ["run_9"]


def test_the_canonical_line_is_json_and_never_changes(gateway: Connection, operator: Connection) -> None:
    hostile = {'q"\\': "ä€😀\u2028\x7f", "n": [1e300, -0.0, 10**30, 1.10]}
    add_run(gateway, 'run "ä"')
    event_id = add_event(gateway, 'run "ä"', "k\n", None, hostile)
    advance_all(operator)
    for setting in (
        "set timezone = 'Asia/Kathmandu'",
        "set datestyle = 'german'",
        "set extra_float_digits = -15",
        "set intervalstyle = 'iso_8601'",
    ):
        gateway.execute(setting)
        row = gateway.execute(
            "select line, leaf = sha256('\\x00'::bytea || convert_to(line, 'UTF8')) from aximo.log_lines"
        ).fetchone()
        assert row is not None
        assert row[1]
    parsed = json.loads(row[0])
    assert list(parsed) == [
        "run_id",
        "event_id",
        "created_at",
        "kind",
        "message",
        "data",
        "customer_id",
        "recorded_at",
        "recorded_by",
    ]
    assert (parsed["run_id"], parsed["event_id"], parsed["kind"], parsed["message"]) == (
        'run "ä"',
        event_id,
        "k\n",
        None,
    )
    assert parsed["data"]["n"][:3] == [10**300, 0, 10**30]
    assert "\n" not in row[0]


def test_what_commits_late_gets_the_next_number_in_its_own_log(
    each_ledger: Ledger, gateway: Connection, operator: Connection
) -> None:
    """Both logs have holes at the same positions, of different transactions."""

    def numbers(log: str) -> list[Any]:
        query = (
            "select coalesce(event_id::text, run_event_id::text) from aximo.log_leaves where log = %s order by number"
        )
        return [row[0] for row in gateway.execute(query, (log,))]

    def emit(connection: Connection) -> str:
        row = connection.execute(
            "select event_id from aximo.emit_event('sla_breached', 'd', 's', '1', 'system', 'acme')"
        ).fetchone()
        assert row is not None
        return str(row[0])

    root = each_ledger.superuser()

    def holes(log: str) -> int:
        row = root.execute(
            "select coalesce(sum(last_position - first_position + 1), 0) from aximo_private.log_holes where log = %s",
            (log,),
        ).fetchone()
        assert row is not None
        return int(row[0])

    add_run(gateway, "run_1")
    late, lost, slow = (each_ledger.connect(gateway.info.user, autocommit=False) for _ in range(3))
    first = str(add_event(late, "run_1", "late"))
    add_event(lost, "run_1", "lost")
    second = str(add_event(gateway, "run_1", "second"))
    slow_event = emit(slow)
    quick_event = emit(gateway)
    advance_all(operator)
    assert (numbers("run_events"), numbers("events")) == ([second], [quick_event])
    assert (holes("run_events"), holes("events")) == (2, 1)
    lost.rollback()
    late.commit()
    third = str(add_event(gateway, "run_1", "third"))
    advance_all(operator)
    assert numbers("run_events") == [second, first, third]
    # One is forgotten; what is still under way in the other log is not.
    for _ in range(4):
        advance_all(operator)
    slow.commit()
    advance_all(operator)
    assert numbers("events") == [quick_event, slow_event]
    for _ in range(4):
        advance_all(operator)
    assert (holes("run_events"), holes("events")) == (0, 0)
    for log in ("events", "run_events"):
        assert gateway.execute("select from aximo.verify_log(%s)", (log,)).rowcount == 0


def test_run_events_that_were_passed_over_are_found_and_mended(
    each_ledger: Ledger, gateway: Connection, operator: Connection
) -> None:
    add_run(gateway, "run_1")
    events = [add_event(gateway, "run_1", f"k{n}") for n in range(5)]
    root = each_ledger.superuser()
    root.execute("select setval('helix.run_events_event_id_seq', 100)")
    events.append(add_event(gateway, "run_1", "new"))
    for _ in range(4):
        advance_all(operator)
    assert root.execute("select from aximo_private.log_holes").rowcount == 0
    root.execute(
        "insert into helix.run_events (event_id, run_id, kind, customer_id) values (50, 'run_1', 'past', 'acme')"
    )
    advance_all(operator)
    query = "select problem, number, event_id, run_event_id from aximo.verify_log('run_events')"
    assert gateway.execute(query).fetchall() == [("event_not_in_log", None, None, 50)]
    assert gateway.execute("select from aximo.verify_log()").rowcount == 0
    assert gateway.execute("select run_event_id, is_coming from aximo.unlogged_events('run_events')").fetchall() == [
        (50, False)
    ]
    assert operator.execute("select aximo.mend_log()").fetchone() == (1,)
    advance_all(operator)
    log = gateway.execute(
        "select run_event_id from aximo.log_leaves where log = 'run_events' order by number"
    ).fetchall()
    assert [n for (n,) in log] == [*events, 50]
    assert gateway.execute(query).fetchall() == []


def test_a_late_run_event_is_not_forgotten_by_the_numbering_of_the_other_log(
    each_ledger: Ledger, gateway: Connection, operator: Connection
) -> None:
    """Its hole is dated and its transaction over: only a look into its own log may forget it."""
    add_run(gateway, "run_1")
    late = each_ledger.connect(gateway.info.user, autocommit=False)
    first = add_event(late, "run_1", "late")
    second = add_event(gateway, "run_1", "second")
    for _ in range(3):
        advance_all(operator)
    late.commit()
    advance_all(operator)
    log = gateway.execute(
        "select run_event_id from aximo.log_leaves where log = 'run_events' order by number"
    ).fetchall()
    assert [n for (n,) in log] == [second, first]


def test_a_run_event_has_its_transactions_id_before_its_number(each_ledger: Ledger) -> None:
    row = (
        each_ledger.superuser()
        .execute("select prosrc from pg_proc where oid = 'aximo_private.next_run_event_id()'::regprocedure")
        .fetchone()
    )
    assert row is not None
    assert 0 < row[0].index("perform pg_current_xact_id()") < row[0].index("return nextval(")


def test_grants_too_many_forge_nothing_of_another_customer(each_ledger: Ledger, gateway: Connection) -> None:
    add_run(gateway, "run_1")
    stranger = gateway_of(each_ledger, "beta")
    add_run(stranger, "run_2")
    with each_ledger.connect(DBA) as owner:
        owner.execute(f"grant select, insert, update, delete on all tables in schema helix to {stranger.info.user}")
    for query in (
        "insert into run_events (run_id, kind, customer_id) values ('run_1', 'x', 'acme')",
        "insert into run_events (run_id, kind, recorded_by) values ('run_2', 'x', 'somebody')",
        "insert into runs (run_id, project_id, tool_name, contract_version, params_hash, policy_hash, status, customer_id)"
        " values ('run_3', 'p', 't', 'v1', 'h', 'h', 'queued', 'acme')",
    ):
        assert refusal(stranger, query)[0] == "42501"
    # Without a condition, only the policy for UPDATE is asked; and nobody but the owner has one for DELETE.
    assert stranger.execute("update runs set error = 'mine'").rowcount == 1
    assert stranger.execute("delete from runs").rowcount == 0
    assert gateway.execute("select error from runs").fetchall() == [(None,)]


def test_an_observation_of_another_time_binds_no_transaction_of_the_same_id(
    each_ledger: Ledger, gateway: Connection
) -> None:
    """As in a restored dump, where transactions have other ids."""
    add_run(gateway, "run_1")
    root = each_ledger.superuser()
    columns = "(customer_id, run_id, target_run_id, observed_in, observed_at)"
    write = "insert into helix.run_events (run_id, kind, customer_id) values ('run_1', 'x', 'acme')"
    for moment, transaction, binds in (
        ("'2000-01-01'", "pg_current_xact_id()", False),
        ("now()", "'3'::xid8", False),
        ("now()", "pg_current_xact_id()", True),
    ):
        with root.transaction(force_rollback=True):
            values = f"('acme', 'observer', 'run_1', {transaction}, {moment})"
            root.execute(f"insert into aximo_private.observations {columns} values {values}")  # type: ignore[call-overload]
            if binds:
                assert refusal(root, write)[1] == "observed_is_read_only"
                assert refusal(root, "update helix.runs set error = 'x'")[1] == "observed_is_read_only"
            else:
                assert root.execute(write).rowcount == root.execute("update helix.runs set error = 'x'").rowcount == 1


# What a tool says.

#: So much of a tool's stderr a gateway keeps, in bytes: MAX_CAPTURE_BYTES of its runners. test_gateway.py compares it with a checkout.
CAPTURED = 1024 * 1024
#: What a tool may write there without end.
SPOKEN = {
    "colours": rb"\x1b[31m\x1b[0m",
    "control characters": rb"\x01",
    "no text": rb"\xff",
    "quotes": rb"\"",
    "smileys": rb"\xf0\x9f\x98\x80",
}


def captured(folder: Path, spoken: bytes) -> str:
    """What a gateway keeps of a container's stderr: the stand-in for ``docker`` writes 2 MB of it."""
    stand_in = folder / "docker"
    stand_in.write_text(
        f"#!{sys.executable}\nimport sys\nspoken = b'{spoken.decode()}'\n"
        "sys.stderr.buffer.write((spoken * (2_000_000 // len(spoken) + 1))[:2_000_000])\nsys.exit(3)\n",
        encoding="ascii",
    )
    stand_in.chmod(0o755)
    done = subprocess.run(
        ["docker", "run", "--rm", "image", "tool"],
        env={**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, len(done.stderr)) == (3, 2_000_000)
    return done.stderr[:CAPTURED].decode(errors="replace") + "\n[stderr truncated]\n" + "\n[timeout]\n"


@pytest.mark.parametrize("spoken", SPOKEN)
def test_what_a_gateway_keeps_of_a_tools_stderr_is_taken(each_ledger: Ledger, tmp_path: Path, spoken: str) -> None:
    connection = each_ledger.as_customer("acme", "aximo_writer")
    kept = captured(tmp_path, SPOKEN[spoken])
    add_run(connection, "run_1")
    add_event(connection, "run_1", "exec.plan")
    add_event(connection, "run_1", "exec.result", "exit=3", {"backend": "docker", "stderr": kept})
    # And where the run says what went wrong.
    changed = connection.execute(
        "update helix.runs set status = 'failed', exit_code = 3, error = %s, result_json = %s where run_id = 'run_1'",
        ("tool failed", Jsonb({"stderr": kept})),
    )
    assert changed.rowcount == 1
    keeper = each_ledger.connect(each_ledger.login("stderr_keeper", "aximo_operator", customers=("*",)))
    assert keeper.execute("select numbered from aximo.advance_log()").fetchone() == (2,)
    (row,) = connection.execute("select data ->> 'stderr' from helix.log_entries where kind = 'exec.result'").fetchall()
    assert row == (kept,)
    assert connection.execute("select from aximo.verify_log('run_events')").rowcount == 0
