"""The contract of tool runs: what is read from a database, and how every kind of change is judged."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from aximo_db.contract import (
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
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import DBA, INSTALLS, VERSIONS, _cloned
from tests.test_contract import (
    ROOT,
    Judged,
    Surface,
    adds,
    breaks,
    changed,
    column,
    edit,
    judged,
    pop,
    put,
    puzzles,
    remake,
    rename,
    run,
)

SHIPPED = ROOT / "aximo_db" / "data" / "contracts" / "helix.json"
KINDS = "helix.event_kinds"
READERS = ("aximo_auditor", "aximo_operator", "aximo_reader", "aximo_writer")

#: What the frozen document says in its own words: the fields of the envelope, and the kinds that it lists.
ENVELOPE = {
    "run_id": "the emitting run id",
    "created_at": "RFC3339 timestamp",
    "kind": "stable kind string",
    "message": "human readable short text (do not parse)",
    "data": "optional structured JSON payload (object or null)",
}
LISTED = re.findall(
    r"[\w.]+",
    """
    run.started run.queued run.running run.succeeded run.failed run.blocked exec.plan exec.result slurm.submit.plan
    slurm.submit.script_artifact slurm.submit.ok slurm.collect.start slurm.collect.outputs_registered slurm.collect.done
    slurm.collect.failed simulate.qc simulate.align
""",
)
STATES = {
    "run.started": "started", "run.queued": "queued", "run.running": "running", "run.succeeded": "succeeded", "run.failed": "failed",
    "run.blocked": "blocked", "slurm.collect.done": "succeeded", "slurm.collect.failed": "failed",
}  # fmt: skip
#: What a gateway's statements name, of its own version 0.9.0: what it inserts, and what it updates.
INSERTS = {
    "helix.runs": {
        "run_id", "project_id", "tool_name", "contract_version", "tool_version", "params_hash", "policy_hash", "status", "requested_by",
        "started_at", "policy_snapshot", "environment", "exit_code", "error", "result_json", "log_artifact_id",
    },
    "helix.run_events": {"run_id", "kind", "message", "data"},
}  # fmt: skip
GATEWAY_TABLES = ("projects", "artifacts", "param_sets", "run_inputs", "run_outputs")


@pytest.fixture(scope="module", params=VERSIONS)
def surface(request: pytest.FixtureRequest, servers: Callable[[str], EmbeddedServer]) -> Iterator[Surface]:
    """One database a server for the module."""
    for ledger in _cloned(servers(request.param), "fresh", "contract_helix_test"):
        connection = ledger.superuser()
        connection.execute("set check_function_bodies = off")
        yield Surface(ledger, connection, read_contract(connection, "helix"))


@pytest.fixture
def contract() -> Contract:
    return shipped_contract("helix")


# What is read


@pytest.mark.parametrize("install", INSTALLS)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_shipped_contract_is_what_every_installation_offers(
    version: str, install: str, servers: Callable[[str], EmbeddedServer]
) -> None:
    shipped = shipped_contract("helix")
    with psycopg.connect(servers(version).dsn(DBA, f"template_{install}"), autocommit=True) as connection:
        live = read_contract(connection, "helix")
    differences = [f"{change.kind}: {change.what}: {change.where}" for change in compare(shipped, live)]
    hint = f"run make generated, and review what it changes in {SHIPPED.relative_to(ROOT)}"
    assert differences == [], hint
    assert live.document == shipped.document, hint


def test_the_shipped_file_is_as_it_would_be_written(tmp_path: Path) -> None:
    write(shipped_contract("helix"), tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text(encoding="utf-8") == SHIPPED.read_text(encoding="utf-8")
    assert SHIPPED.read_text(encoding="utf-8").isascii()


def test_the_contract_does_not_depend_on_who_looks(surface: Surface) -> None:
    reader = surface.ledger.login("contract_helix_reader", "aximo_reader", customers=("c1",))
    for user in (DBA, reader):
        with psycopg.connect(surface.ledger.dsn(user), autocommit=True) as connection:
            assert read_contract(connection, "helix").document == surface.contract.document, user


def test_the_frozen_document_is_in_it(contract: Contract) -> None:
    document = contract.document
    promises = document["by_hand"]["promises"]
    for field, meaning in ENVELOPE.items():
        assert promises[field]["meaning"].lower().startswith(meaning.lower()), field
        assert f"event.{field}" in promises[field]["lines"]
    assert [each["name"] for each in document["jsonl"]["event"]["fields"]][:6] == [
        "run_id", "event_id", "created_at", "kind", "message", "data"
    ]  # fmt: skip
    assert [each["name"] for each in document["jsonl"]["log line"]["fields"]] == ["ts", "kind", "message", "data"]
    rows = document["rows"][KINDS]
    frozen = {name for name, row in rows.items() if "Events v1" in row["origin"]}
    assert {f"{kind} 1" for kind in LISTED} == frozen
    assert set(rows) - frozen == {"collect.plan 1", "exec.step 1", "studio.command 1"}
    assert {kind: rows[f"{kind} 1"]["state"] for kind in LISTED if rows[f"{kind} 1"]["state"]} == STATES
    assert all(row["family"] == kind.split(".")[0] for kind, row in rows.items())


def test_what_a_gateway_inserts_is_granted_and_needs_no_more(contract: Contract) -> None:
    for table, named in INSERTS.items():
        relation = contract.document["relations"][table]
        (granted,) = (each for each in relation["used_by"]["aximo_writer"] if each.startswith("insert"))
        assert named <= set(granted.removeprefix("insert(").removesuffix(")").split(", "))
        for each in relation["columns"]:
            assert each["name"] in named or each["null"] or "default" in each, each
            assert "aximo_writer" in each.get("default_for", ["aximo_writer"]), each


def test_no_relation_and_no_function_is_in_both_contracts() -> None:
    one, other = (shipped_contract(name).document for name in ("aximo", "helix"))
    assert contract_names() == ["aximo", "helix"]
    for part in ("schemas", "relations", "functions", "types", "limits", "rows", "python", "commands"):
        assert not set(one[part]) & set(other[part]), part
    # What only runs are refused by is not an event's.
    assert "run_goes_forward" not in {rule for entry in one["errors"].values() for rule in entry["rules"]}


def test_a_line_holds_what_the_contract_says(surface: Surface) -> None:
    fields = surface.contract.document["jsonl"]["event"]["fields"]
    types = {str: "string", int: "number", dict: "object", type(None): "null"}

    def line(**event: Any) -> dict[str, Any]:
        row = surface.connection.execute(
            "select aximo_private.run_event_line(jsonb_populate_record(null::helix.run_events, %s))",
            (
                Jsonb(
                    {
                        "event_id": 1,
                        "run_id": "r",
                        "ts": "2026-01-01T00:00:00Z",
                        "kind": "exec.plan",
                        "customer_id": "c",
                        "recorded_at": "2026-01-01T00:00:00Z",
                        "recorded_by": "l",
                        **event,
                    }
                ),
            ),
        ).fetchone()
        assert row is not None
        found = json.loads(row[0])
        assert isinstance(found, dict)
        return found

    full = line(message="m", data={"a": 1}, extra={"b": 2})
    assert list(full) == [each["name"] for each in fields]
    assert all(types[type(full[each["name"]])] in each["type"].split(" or ") for each in fields)
    least = line()
    assert list(least) == [each["name"] for each in fields if each["always"]]
    assert {name for name, value in least.items() if value is None} == {
        each["name"] for each in fields if each["type"].endswith(" or null")
    }


def test_lines_of_each_shape_are_taken(surface: Surface) -> None:
    """What is written by hand, tried: with what is required alone, with all of it, and not without any of it."""
    values = {
        "string": "2026-01-01T00:00:00Z", "string or null": None, "object or null": {"a": 1}, "object": {"a": 1}, "any": {"a": 1},
        "number or null": 1,
    }  # fmt: skip
    takes = {
        "event to import": "helix.import_run_events",
        "log line": "helix.import_run_events",
        "run": "helix.import_runs",
    }
    execute = surface.connection.execute
    for what, function in takes.items():
        shape = surface.contract.document["jsonl"][what]

        def taken(line: dict[str, Any], function: str = function) -> int:
            arguments = "%s, 'run-1'" if function.endswith("events") else "%s"
            with surface.connection.transaction(force_rollback=True):
                execute("select aximo.grant_customer('postgres', 'c1')")
                return len(execute(f"select * from {function}({arguments})", (Jsonb([line]),)).fetchall())

        full = {each["name"]: values[each["type"]] for each in shape["fields"]}
        if "status" in full:
            full["status"] = "running"
        assert taken({**full, **{name: "c1" for name in shape.get("ignored", ()) if name == "customer_id"}}) == 1
        assert taken({each["name"]: full[each["name"]] for each in shape["fields"] if each["required"]}) == 1
        for each in shape["fields"]:
            if each["required"]:
                with pytest.raises(psycopg.Error) as refused:
                    taken({name: value for name, value in full.items() if name != each["name"]})
                assert refused.value.sqlstate == "ZXARG", (what, each)


def test_hashes_in_a_payload_name_those_of_a_run_that_an_import_makes(surface: Surface) -> None:
    line = {"ts": "2026-01-01T00:00:00Z", "kind": "run.started", "data": {"params_hash": "p", "policy_hash": "q"}}
    with surface.connection.transaction(force_rollback=True):
        execute = surface.connection.execute
        execute("select aximo.grant_customer('postgres', 'c1')")
        execute("select helix.import_run_events(%s, 'made')", (Jsonb([line]),))
        found = execute("select params_hash, policy_hash, status from helix.runs where run_id = 'made'").fetchone()
    assert found == ("p", "q", "running")


# Changes of a database


def kinds(*statements: str) -> str:
    """Changes the kinds past their guards."""
    guards = ("append_only_row", "append_only_statement")
    on = "; ".join(f"alter table {KINDS} enable always trigger {guard}" for guard in guards)
    return f"alter table {KINDS} disable trigger all; {'; '.join(statements)}; {on}"


def check(table: str, name: str, definition: str) -> str:
    alter = f"alter table helix.{table}"
    return f"{alter} drop constraint {name}; {alter} add constraint {name} check ({definition})"


def granted(table: str, column: str, role: str = "aximo_reader") -> str:
    return f"grant select ({column}) on helix.{table} to {role}"


def of_promises(*names: str) -> Judged:
    """What is promised of a thing goes with it."""
    return {("breaking", "promise removed", f"promise {name}") for name in names}


STATUSES = "'queued', 'running', 'succeeded', 'failed'"
# PostgreSQL 15.20 refuses to rewrite a table of whose row type the body of a function speaks.
FREE = "delete from pg_depend where classid = 'pg_proc'::regclass and objid = 'aximo_private.run_event_line'::regproc; "

# What is done to the database, and everything that is to be said about it.
LIVE: dict[str, tuple[str | Callable[[Surface], object], Judged]] = {
    "nothing": ("select 1", set()),
    # tables and their columns
    "a column removed": (
        "alter table helix.runs drop column tool_version cascade",
        breaks("column removed", "helix.runs.tool_version") | adds("limit widened", "helix.runs run_size"),
    ),
    "a column of the envelope removed": (
        FREE + "drop view helix.log_entries cascade; alter table helix.run_events drop column message cascade",
        breaks("column removed", "helix.run_events.message") | breaks("relation removed", "helix.log_entries")
        | breaks("function removed", "helix.read_log") | breaks("rule removed", "rule log_is_read_forward (ZXARG)")
        | breaks("JSONL field retyped", "jsonl event.message") | breaks("JSONL field loosened", "jsonl event.message")
        | adds("limit widened", "helix.run_events run_event_size") | of_promises("message"),
    ),
    "a column renamed": (
        "alter table helix.runs rename column policy_hash to policy",
        breaks("column renamed", "helix.runs.policy_hash") | {("unknown", "limit changed", "helix.runs run_size")}
        | breaks("payload field repurposed", "payload policy_hash"),
    ),
    "a column of another type": (
        "alter table helix.runs alter column exit_code type text", breaks("column retyped", "helix.runs.exit_code")
    ),
    "a column of a larger type": (
        "alter table helix.runs alter column exit_code type bigint", breaks("column retyped", "helix.runs.exit_code")
        | adds("column widened", "helix.runs.exit_code"),
    ),
    "a column that may be null": (
        "alter table helix.runs alter column params_hash drop not null", breaks("column loosened", "helix.runs.params_hash")
    ),
    "a column that may not be null any more": (
        "alter table helix.run_events alter column message set not null",
        breaks("column tightened", "helix.run_events.message") | adds("JSONL field narrowed", "jsonl event.message"),
    ),
    "a new column that may be null": (
        "alter table helix.runs add column queue text; " + granted("runs", "queue"), adds("column added", "helix.runs.queue")
    ),
    "a new column with a default": (
        FREE + "alter table helix.run_events add column event_version integer not null default 1; " + granted("run_events", "event_version"),
        adds("column added", "helix.run_events.event_version"),
    ),
    "a new column that nobody may read": (
        "alter table helix.run_events add column event_version integer",
        adds("column added", "helix.run_events.event_version") | breaks("ungranted column added", "helix.run_events"),
    ),
    "a new column that no insert of a gateway has": (
        "alter table helix.runs add column queue text not null; " + granted("runs", "queue"),
        breaks("required column added", "helix.runs.queue"),
    ),
    "the default of event_id removed": (
        "alter table helix.run_events alter column event_id drop default", breaks("default changed", "helix.run_events.event_id")
    ),
    "the default of ts changed": (
        "alter table helix.run_events alter column ts set default '2026-01-01'", breaks("default changed", "helix.run_events.ts")
    ),
    "the default of event_id refused to the writer": (
        "revoke execute on function aximo_private.next_run_event_id() from aximo_writer",
        breaks("grant taken", "helix.run_events.event_id"),
    ),
    "a meaning changed": (
        "comment on column helix.run_events.ts is 'When it was sent.'", breaks("meaning changed", "helix.run_events.ts")
    ),
    "a status taken out of the comment": (
        "comment on column helix.runs.status is 'queued, running, succeeded or failed; the last two are final.'",
        breaks("closed set shrunk", "helix.runs.status") | breaks("meaning changed", "helix.runs.status"),
    ),
    # checks
    "a kind bound to a length": (
        "alter table helix.run_events add constraint kind_length check (char_length(kind) <= 64)",
        breaks("limit narrowed", "helix.run_events kind_length"),
    ),
    "a status removed": (
        check("runs", "runs_status_check", f"status in ({STATUSES})"), breaks("limit narrowed", "helix.runs runs_status_check")
    ),
    "a status added": (
        check("runs", "runs_status_check", f"status in ({STATUSES}, 'blocked', 'cancelled')"),
        adds("limit widened", "helix.runs runs_status_check"),
    ),
    "a longer run_id": (
        check("runs", "run_id_length", "char_length(run_id) between 1 and 1000"), adds("limit widened", "helix.runs run_id_length")
    ),
    "a shorter run_id": (
        check("runs", "run_id_length", "char_length(run_id) between 1 and 64"), breaks("limit narrowed", "helix.runs run_id_length")
    ),
    "data that need not be an object": (
        "alter table helix.run_events drop constraint data_is_object",
        adds("limit widened", "helix.run_events data_is_object") | breaks("JSONL field retyped", "jsonl event.data"),
    ),
    "a check renamed": (
        "alter table helix.run_events rename constraint kind_present to kind_given",
        breaks("rule renamed", "helix.run_events kind_present"),
    ),
    # keys
    "the key of events dropped": (
        "alter table helix.run_events drop constraint run_events_pkey",
        breaks("key removed", "helix.run_events run_events_pkey"),
    ),
    "the key of runs of a customer only": (
        "alter table helix.runs drop constraint runs_pkey; alter table helix.runs add constraint runs_pkey primary key (customer_id, run_id)",
        puzzles("key changed", "helix.runs runs_pkey"),
    ),
    "events of no run": (
        "alter table helix.run_events drop constraint run_events_run_id_fkey",
        breaks("key removed", "helix.run_events run_events_run_id_fkey"),
    ),
    "a key added": (
        "alter table helix.run_events add constraint once unique (run_id, kind)", breaks("key added", "helix.run_events once")
    ),
    "a key renamed": (
        "alter table helix.runs rename constraint runs_pkey to runs_key", breaks("key renamed", "helix.runs runs_pkey")
    ),
    "an index that is no key": ("drop index helix.run_events_run_ts_idx", set()),
    # triggers, policies
    "a trigger dropped": (
        "drop trigger check_run_event on helix.run_events", breaks("guard removed", "helix.run_events check_run_event")
    ),
    "a trigger disabled": (
        "alter table helix.run_events disable trigger append_only_row", breaks("guard removed", "helix.run_events append_only_row")
    ),
    "a trigger that replicas skip": (
        "alter table helix.runs enable trigger keep_run", puzzles("guard changed", "helix.runs keep_run")
    ),
    "a trigger added": (
        "create trigger zeal before insert on helix.runs for each row execute function suppress_redundant_updates_trigger()",
        puzzles("guard added", "helix.runs zeal"),
    ),
    "a trigger called otherwise": ("alter trigger keep_run on helix.runs rename to keep", set()),
    "a policy dropped": (
        "drop policy writers_add_own_run_events on helix.run_events",
        breaks("policy removed", "helix.run_events writers_add_own_run_events"),
    ),
    "a policy that shows everything": (
        "alter policy readers_read_own_runs on helix.runs using (true)", puzzles("policy changed", "helix.runs readers_read_own_runs")
    ),
    "a policy added": (
        "create policy more on helix.runs for select to aximo_reader using (true)", puzzles("policy added", "helix.runs more")
    ),
    "a policy of the ledger's own": (
        "create policy more on helix.runs for select to aximo_meter using (true)", set()
    ),
    "row security off": (
        "alter table helix.runs disable row level security", breaks("row security changed", "helix.runs")
    ),
    # kinds
    "a kind removed": (
        kinds(f"delete from {KINDS} where kind = 'simulate.qc'"), breaks("entry removed", f"{KINDS}[simulate.qc 1]")
    ),
    "a kind renamed": (
        kinds(f"update {KINDS} set kind = 'simulate.quality' where kind = 'simulate.qc'"),
        breaks("entry renamed", f"{KINDS}[simulate.qc 1]"),
    ),
    "a kind of another family": (
        kinds(f"update {KINDS} set family = 'exec' where kind = 'simulate.qc'"), breaks("entry repurposed", f"{KINDS}[simulate.qc 1]")
    ),
    "a kind that says another state": (
        kinds(f"update {KINDS} set state = 'failed' where kind = 'run.blocked'"), breaks("entry repurposed", f"{KINDS}[run.blocked 1]")
    ),
    "a kind that says no state any more": (
        kinds(f"update {KINDS} set state = null where kind = 'slurm.collect.done'"),
        breaks("entry repurposed", f"{KINDS}[slurm.collect.done 1]"),
    ),
    "a kind that means something else": (
        kinds(f"update {KINDS} set meaning = 'It will end.' where kind = 'run.succeeded'"),
        breaks("meaning changed", f"{KINDS}[run.succeeded 1]"),
    ),
    "a kind's version raised in place": (
        kinds(f"update {KINDS} set version = 2 where kind = 'exec.plan'"), breaks("entry renamed", f"{KINDS}[exec.plan 1]")
    ),
    "a new kind": (
        f"insert into {KINDS} (kind, family, origin, meaning) values ('collect.start', 'collect', 'v1.1', 'It collects.')",
        adds("entry added", f"{KINDS}[collect.start 1]"),
    ),
    "another version of a kind": (
        f"insert into {KINDS} (kind, version, family, origin, meaning) values ('exec.plan', 2, 'exec', 'v2', 'Another plan.')",
        adds("entry added", f"{KINDS}[exec.plan 2]"),
    ),
    # grants
    "a writer that may not insert": (
        "revoke insert (run_id, kind, message, data) on helix.run_events from aximo_writer",
        breaks("grant taken", "helix.run_events"),
    ),
    "a writer that may not give a column": (
        "revoke insert (message) on helix.run_events from aximo_writer", breaks("grant taken", "helix.run_events")
    ),
    "a writer that may not end a run": (
        "revoke update (status) on helix.runs from aximo_writer", breaks("grant taken", "helix.runs")
    ),
    "a writer that may give the time": (
        "grant insert (ts) on helix.run_events to aximo_writer", adds("grant added", "helix.run_events")
    ),
    "a reader that may not read a column": (
        "revoke select (result_json) on helix.runs from aximo_reader", breaks("grant taken", "helix.runs")
    ),
    "the whole table to read": ("grant select on helix.runs to aximo_reader", adds("grant added", "helix.runs")),
    "a schema that nobody may use": (
        "revoke usage on schema helix from aximo_reader", breaks("grant taken", "helix")
    ),
    "a function that a writer may not call": (
        "revoke execute on function helix.observe_run(text, text, text) from aximo_writer", breaks("grant taken", "helix.observe_run")
    ),
    # functions and views
    "an argument removed": (
        remake("helix.observe_run", ", requested_by text DEFAULT NULL::text", ""),
        breaks("argument removed", "helix.observe_run(requested_by)"),
    ),
    "an argument renamed": (
        remake("helix.compare_run_log", "lines jsonb)", "log jsonb)"), breaks("argument renamed", "helix.compare_run_log(lines)")
    ),
    "a default changed": (
        remake("helix.import_run_events", "create_runs boolean DEFAULT true", "create_runs boolean DEFAULT false"),
        breaks("default changed", "helix.import_run_events(create_runs)"),
    ),
    "an argument added": (
        remake("helix.observe_run", "requested_by text DEFAULT NULL::text", "requested_by text DEFAULT NULL, why text DEFAULT NULL"),
        adds("argument added", "helix.observe_run(why)"),
    ),
    "a return column removed": (
        remake("helix.import_runs", ", is_duplicate boolean)", ")"), breaks("return column removed", "helix.import_runs.is_duplicate")
    ),
    "a function removed": (
        "drop function helix.compare_run_log(text, jsonb)", breaks("function removed", "helix.compare_run_log")
        ,
    ),
    "a view removed": ("drop view helix.kind_usage", breaks("relation removed", "helix.kind_usage") | of_promises("unknown kinds")),
    # rules and lines
    "a rule given another code": (
        edit("aximo_private.keep_run", "errcode = 'ZXRUN'", "errcode = 'ZXARG'"),
        breaks("rule given another SQLSTATE", "rule run_goes_forward (ZXRUN)"),
    ),
    "a rule called otherwise": (
        edit("aximo_private.check_run_event", "'run_known'", "'run_exists'"),
        adds("rule added", "rule run_exists (ZXRUN)"),
    ),
    "a rule of a field called otherwise": (
        edit("aximo_private.check_run_event", "'run_event_numbers'", "'event_numbers'"),
        breaks("rule removed", "rule run_event_numbers (ZXARG)"),
    ),
    "a rule that nothing keeps any more": (
        edit("aximo_private.refuse_observed", "'observed_is_read_only'", "'observing'"),
        breaks("rule removed", "rule observed_is_read_only (ZXRUN)") | adds("rule added", "rule observing (ZXRUN)")
        | of_promises("read-only observation"),
    ),
    "a field of a line called otherwise": (
        edit("aximo_private.run_event_line", '"created_at":', '"ts":'),
        breaks("JSONL field renamed", "jsonl event.created_at") | of_promises("created_at"),
    ),
    "a field of a line left out": (
        edit("aximo_private.run_event_line", '\'"message":\'', "''"),
        breaks("JSONL field removed", "jsonl event.message") | of_promises("message"),
    ),
    "a field that is not taken any more": (
        edit("helix.import_runs", "'environment', ", ""), breaks("JSONL field removed", "jsonl run.environment")
    ),
    "a payload field that is not read any more": (
        edit("helix.import_run_events", "'{data,policy_hash}'", "'{data,policy}'"),
        breaks("payload field removed", "payload policy_hash"),
    ),
    # what is not the contract's
    "a gateway's tables": (
        "create table helix.projects (project_id text primary key); grant select, insert on helix.projects to aximo_writer;"
        " create table helix.run_inputs (run_id text references helix.runs (run_id), artifact_id text, role text);"
        " grant all on helix.run_inputs to aximo_writer",
        set(),
    ),
    "a table of somebody's": (
        "create table helix.mine (a text); grant select on helix.mine to aximo_reader", adds("relation added", "helix.mine")
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
        now = read_contract(surface.connection, "helix", surface.contract)
    changes = compare(surface.contract, now)
    assert judged(changes) == expected
    assert holds(surface.contract, now, changes) == all(kind == "additive" for kind, _, _ in expected)
    assert all(change.reason for change in changes)


def test_nothing_is_left_of_the_trials(surface: Surface) -> None:
    assert read_contract(surface.connection, "helix").document == surface.contract.document


# Changes of files


def promise(name: str, meaning: str) -> Callable[[Any], object]:
    return put("by_hand", "promises", name, "meaning", meaning)


def more_promises(document: Any) -> None:
    document["by_hand"]["promises"]["event_version"] = {"meaning": "More.", "columns": [], "lines": [], "found_in": {}}


FILES: dict[str, tuple[Callable[[Any], object], Judged]] = {
    "a promise taken back": (pop("by_hand", "promises", "append-only"), breaks("promise removed", "promise append-only")),
    "a promise called otherwise": (
        rename("by_hand", "promises", "append-only", "append"), breaks("promise renamed", "promise append-only")
    ),
    "a promise more": (more_promises, adds("promise added", "promise event_version")),
    "an envelope field that means something else": (
        promise("created_at", "When it was sent."), breaks("meaning changed", "promise created_at")
    ),
    "an envelope field removed from lines": (
        lambda d: (d["jsonl"]["event"]["fields"].pop(5), d["by_hand"]["promises"].pop("data")),
        breaks("JSONL field removed", "jsonl event.data") | breaks("promise removed", "promise data"),
    ),
    "a log line that has to say more": (
        lambda d: d["jsonl"]["log line"]["fields"].append({"name": "run_id", "type": "string", "required": True}),
        breaks("required JSONL field added", "jsonl log line.run_id"),
    ),
    "a log line that may say more": (
        lambda d: d["jsonl"]["log line"]["fields"].append({"name": "span", "type": "string", "required": False}),
        adds("JSONL field added", "jsonl log line.span"),
    ),
    "a run's exit code as text": (
        lambda d: next(each for each in d["jsonl"]["run"]["fields"] if each["name"] == "exit_code").update(type="string"),
        breaks("JSONL field retyped", "jsonl run.exit_code"),
    ),
    "a line that may hold nothing where it held something": (
        lambda d: d["jsonl"]["event"]["fields"][3].update(type="string or null"),
        breaks("JSONL field retyped", "jsonl event.kind"),
    ),
    "a log line that may leave its kind empty": (
        lambda d: d["jsonl"]["log line"]["fields"][1].update(type="string or null"),
        adds("JSONL field widened", "jsonl log line.kind"),
    ),
    "a kind gone": (
        lambda d: d["rows"][KINDS].pop("exec.result 1"), breaks("entry removed", f"{KINDS}[exec.result 1]")
    ),
    "a kind of another state": (
        put("rows", KINDS, "run.queued 1", "state", "running"), breaks("entry repurposed", f"{KINDS}[run.queued 1]")
    ),
    "a payload field that means something else": (
        put("by_hand", "payload", "params_hash", "meaning", "A name."), breaks("meaning changed", "payload params_hash")
    ),
    "a payload field read in another kind": (
        lambda d: d["by_hand"]["payload"]["error"]["of"].append("exec.result 1"),
        puzzles("payload field repurposed", "payload error"),
    ),
    "a payload field more": (
        lambda d: d["by_hand"]["payload"].update(
            host={"type": "string", "of": ["exec.plan 1"], "meaning": "Where.", "read_by": [], "found_in": {}}
        ),
        adds("payload field added", "payload host"),
    ),
    "a key of more columns": (
        put("relations", "helix.runs", "keys", "runs_pkey", "PRIMARY KEY (customer_id, run_id)"),
        puzzles("key changed", "helix.runs runs_pkey"),
    ),
    "a grant of fewer columns": (
        lambda d: d["relations"]["helix.run_events"]["used_by"].update(aximo_writer=["select", "insert(run_id, kind)"]),
        breaks("grant taken", "helix.run_events") | adds("grant added", "helix.run_events"),
    ),
    "a grant of the same columns in another order": (
        lambda d: d["relations"]["helix.run_events"]["used_by"]["aximo_writer"].__setitem__(1, "insert(data, message, kind, run_id)"),
        set(),
    ),
    "a default that fewer may use": (
        lambda d: column(d, "helix.run_events", "event_id").update(default_for=[]),
        breaks("grant taken", "helix.run_events.event_id"),
    ),
    "a code gone": (
        lambda d: d["errors"].pop("ZXDUP"),
        breaks("SQLSTATE removed", "error ZXDUP"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_change_of_the_file_is_judged(name: str, contract: Contract) -> None:
    change, expected = FILES[name]
    now = changed(contract, change)
    changes = compare(contract, now)
    assert judged(changes) == expected
    assert holds(contract, now, changes) == all(kind == "additive" for kind, _, _ in expected)


def test_there_are_trials_enough() -> None:
    assert len(LIVE) + len(FILES) >= 60


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["by_hand"]["promises"]["kind"].pop("columns"), "promise kind"),
        (lambda d: d["by_hand"]["promises"]["kind"]["columns"].append("helix.dreams.kind"), "helix.dreams.kind"),
        (lambda d: d["by_hand"]["promises"]["kind"]["lines"].append("event.dream"), "event.dream"),
        (lambda d: d["by_hand"]["scope"].pop("except"), "except"),
    ],
)
def test_a_file_that_is_no_contract_is_refused(change: Callable[[Any], object], said: str, contract: Contract) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_contract(json.dumps(changed(contract, change).document))


# The commands


def test_a_check_is_of_every_contract_unless_one_is_named(surface: Surface, contract: Contract, tmp_path: Path) -> None:
    dsn = surface.ledger.dsn()
    said = run("check", "--db", dsn)
    assert "Contract aximo:" in said
    assert "Contract helix:" in said
    found = json.loads(run("check", "--db", dsn, "--json"))
    assert found["ok"] is True
    assert [each["contract"] for each in found["contracts"]] == ["aximo", "helix"]
    assert json.loads(run("check", "--db", dsn, "--contract", "helix", "--json")) == found["contracts"][1]
    surface.connection.execute("alter table helix.runs rename column error to problem")
    try:
        found = json.loads(run("check", "--db", dsn, "--json", code=1))
        assert [each["ok"] for each in found["contracts"]] == [True, False]
        run("check", "--db", dsn, "--contract", "aximo")
        run("check", "--db", dsn, "--contract", "helix", code=1)
        write(contract, tmp_path / "old.json")
        said = run("check", "--db", dsn, "--against", tmp_path / "old.json", code=1)
        assert "helix.runs.error" in said
        assert "Contract aximo" not in said
    finally:
        surface.connection.execute("alter table helix.runs rename column problem to error")
    run("check", "--db", dsn, "--against", tmp_path / "old.json", "--contract", "helix", code=2)
    run("check", tmp_path / "old.json", tmp_path / "old.json", "--contract", "helix", code=2)


def test_it_is_no_verdict_if_one_contract_cannot_be_read(surface: Surface) -> None:
    root = surface.connection
    blind = surface.ledger.login("contract_helix_blind")
    root.execute(f"grant usage on schema aximo, helix to {blind}; grant select on aximo.event_types to {blind}")
    root.execute(f"grant execute on function aximo.schema_version() to {blind}")
    try:
        assert "It holds" in run("check", "--db", surface.ledger.dsn(blind), "--contract", "aximo")
        run("check", "--db", surface.ledger.dsn(blind), code=2)
    finally:
        root.execute(f"drop owned by {blind}")


def test_the_contract_is_shown_and_written(surface: Surface, contract: Contract, tmp_path: Path) -> None:
    said = run("show", "--contract", "helix")
    for name in ("helix.run_events", "slurm.collect.done 1", "ZXRUN", "params_hash", "Events are append-only."):
        assert name in said
    assert json.loads(run("show", "--contract", "helix", "--json")) == contract.document
    path = tmp_path / "new.json"
    run("write", "--contract", "helix", "-o", path, "--db", surface.ledger.dsn())
    assert path.read_text(encoding="utf-8") == SHIPPED.read_text(encoding="utf-8")
    again = ("write", "--contract", "helix", "-o", path, "--db", surface.ledger.dsn(), "--reworded", "promise kind")
    run(*again)
    kind = contract.document["by_hand"]["promises"]["kind"]["meaning"]
    assert load_contract(path).document["reviewed"]["rewordings"] == {"promise kind": kind}


def test_two_files_are_compared(contract: Contract, tmp_path: Path) -> None:
    write(contract, tmp_path / "old.json")
    now = copy.deepcopy(contract.document)
    now["rows"][KINDS].pop("exec.plan 1")
    write(Contract(now), tmp_path / "new.json")
    assert "entry removed" in run("check", tmp_path / "old.json", tmp_path / "new.json", code=1)
    assert "entry added" in run("check", tmp_path / "new.json", tmp_path / "old.json")
