"""The log of run events: numbered, fed, signed, exported, proved and watched as that of events is, and beside it."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from aximo_db import EventStore, audit, tlog
from aximo_db.cli.app import app
from aximo_db.client.errors import MalformedEventError, ProofError
from aximo_db.dba import doctor
from aximo_db.dba.doctor import examine
from aximo_db.dba.verify_log import prove_growth, prove_inclusion, tile_reader, verify_log
from aximo_db.dba.verify_metrics import verify_metrics
from aximo_db.lines.exporter import export_log
from tests.conftest import DBA, Ledger
from tests.log_support import advance_all, emit_many, of_customer

RUN = "run_A"
EVENTS, RUN_EVENTS = 40, 300
GATEWAY_TABLES = {
    "projects": "project_id text primary key, name text",
    "artifacts": "artifact_id text primary key, project_id text references helix.projects (project_id)",
    "param_sets": "params_hash text primary key",
    "run_inputs": "run_id text references helix.runs (run_id), artifact_id text, primary key (run_id, artifact_id)",
    "run_outputs": "run_id text references helix.runs (run_id), artifact_id text, primary key (run_id, artifact_id)",
}


def start(connection: psycopg.Connection[Any], run: str, customer: str = "c1") -> None:
    of_customer(
        connection,
        customer,
        "insert into helix.runs (run_id, project_id, tool_name, contract_version, params_hash, policy_hash, status)"
        " values (%s, 'p', 't', 'v1', 'h', 'h', 'running') returning run_id",
        run,
    )


def tell(connection: psycopg.Connection[Any], run: str, count: int, customer: str = "c1") -> list[int]:
    """Writes events of a run as a gateway does; returns their ids."""
    rows = of_customer(
        connection,
        customer,
        "insert into helix.run_events (run_id, kind, message, data)"
        " select %s, 'exec.plan', case when n %% 3 <> 0 then 'größer ' || n end,"
        " case when n %% 2 = 0 then jsonb_build_object('n', n) end"
        " from generate_series(1, %s) as n returning event_id",
        run,
        count,
    )
    return [row[0] for row in rows]


@dataclass
class Desk:
    """Two customers with both logs each, numbered, and who looks at them."""

    ledger: Ledger
    operator: psycopg.Connection[Any]
    dsn: str
    run_event_ids: list[int]

    def change(self, *statements: str) -> None:
        """As a superuser, past the guards."""
        with self.ledger.superuser() as root:
            tables = ("helix.run_events", "helix.runs", *(f"aximo_private.{t}" for t in PRIVATE))
            for table in tables:
                root.execute(f"alter table {table} disable trigger user")
            for statement in statements:
                root.execute(statement.encode())
            for table in tables:
                root.execute(f"alter table {table} enable trigger user")

    def rows(self, query: str, *values: Any, customer: str = "c1") -> list[Any]:
        return of_customer(self.operator, customer, query, *values)

    def verify(self, log: Any, **options: Any) -> Any:
        return verify_log(self.dsn, customer_id="c1", log=log, **options)


PRIVATE = ("events", "log_entries", "log_nodes", "checkpoints")


@pytest.fixture
def desk(each_ledger: Ledger) -> Desk:
    roles = ("aximo_writer", "aximo_operator", "aximo_auditor")
    login = each_ledger.login("runs_keeper", *roles, customers=("*",))
    operator = each_ledger.connect(login)
    # Both logs grow at once, so that neither's numbers could be taken for the other's.
    start(operator, RUN)
    start(operator, "run_of_c2", "c2")
    ids = []
    for part in (100, 150, 50):
        ids += tell(operator, RUN, part)
        emit_many(operator, EVENTS // 2 if part != 50 else 0, "c1")
        tell(operator, "run_of_c2", 3, "c2")
        advance_all(operator)
    emit_many(operator, 5, "c2")
    advance_all(operator)
    return Desk(each_ledger, operator, each_ledger.dsn(login), ids)


def run(*arguments: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(each) for each in arguments], env={"COLUMNS": "300"})
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == code, (result.stdout, result.stderr)
    return result.stdout if code < 2 else result.stderr


# Numbering and the feed


def test_each_log_has_numbers_of_its_own(desk: Desk) -> None:
    found = desk.rows("select log, count(*), min(number), max(number) from aximo.log_leaves group by log order by log")
    assert found == [("events", EVENTS, 1, EVENTS), ("run_events", RUN_EVENTS, 1, RUN_EVENTS)]
    sizes = "select aximo.log_size('events'), aximo.log_size('run_events'), aximo.log_size()"
    assert desk.rows(sizes) == [(EVENTS, RUN_EVENTS, EVENTS)]
    assert desk.rows(sizes, customer="c2") == [(5, 9, 5)]
    ids = desk.rows("select run_event_id from aximo.log_leaves where log = 'run_events' order by number")
    assert [row[0] for row in ids] == desk.run_event_ids == sorted(desk.run_event_ids)
    nobodys = "select count(*) from aximo.log_leaves where (log = 'events') = (event_id is null)"
    assert desk.rows(nobodys) == [(0,)]


def test_the_feed_is_read_in_order_and_a_cursor_is_of_one_log(desk: Desk) -> None:
    read: list[int] = []
    while page := desk.rows("select number, event_id from helix.read_log(%s, 70)", len(read)):
        assert [number for number, _ in page] == list(range(len(read) + 1, len(read) + 1 + len(page)))
        read += [event_id for _, event_id in page]
    assert read == desk.run_event_ids
    assert desk.rows("select aximo.open_cursor('mail', 'run_events')") == [(0,)]
    desk.rows("select from aximo.move_cursor('mail', 0, 250, 'run_events')")
    assert desk.rows("select aximo.open_cursor('mail', 'run_events'), aximo.open_cursor('mail')") == [(250, 0)]
    behind = desk.rows("select log, name, number, behind from aximo.cursors order by log")
    assert behind == [("events", "mail", 0, EVENTS), ("run_events", "mail", 250, RUN_EVENTS - 250)]


def test_a_store_reads_events_and_not_run_events(desk: Desk) -> None:
    desk.rows("select aximo.open_cursor('of_runs', 'run_events')")
    with EventStore(desk.dsn, customer_id="c1") as store:
        assert store.log_size() == EVENTS
        assert [entry.number for entry in store.read_log(0, 1000)] == list(range(1, EVENTS + 1))
        with store.consume("mail") as batch:
            assert len(batch.entries) == EVENTS
        assert [(each.name, each.number, each.behind) for each in store.cursors()] == [("mail", EVENTS, 0)]


# Export, checkpoints, signatures and proofs


def exported(desk: Desk, path: Path, log: Any = "run_events") -> Path:
    run("export", "--db", desk.dsn, "-c", "c1", "--log", log, "-o", path)
    return path


def test_an_export_is_the_lines_that_were_hashed(desk: Desk, tmp_path: Path) -> None:
    path = exported(desk, tmp_path / "runs.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == RUN_EVENTS
    assert [json.loads(line)["event_id"] for line in lines] == desk.run_event_ids
    assert list(json.loads(lines[0]))[:6] == ["run_id", "event_id", "created_at", "kind", "message", "data"]
    leaves = desk.rows("select leaf from aximo.log_leaves where log = 'run_events' order by number")
    assert [tlog.leaf_hash(line.removesuffix(b"\n")) for line in lines] == [bytes(row[0]) for row in leaves]
    root = desk.rows("select aximo.log_root(log => 'run_events')")[0][0]
    assert tlog.root_of([tlog.leaf_hash(line.removesuffix(b"\n")) for line in lines]) == bytes(root)
    assert len(exported(desk, tmp_path / "events.jsonl", "events").read_bytes().splitlines()) == EVENTS


def test_an_export_says_what_is_not_in_it(desk: Desk) -> None:
    auditor = desk.ledger.login("runs_auditor", "aximo_auditor", customers=("c1",))
    tell(desk.operator, RUN, 7)
    emit_many(desk.operator, 2, "c1")
    for log, written, unnumbered in (("run_events", RUN_EVENTS, 7), ("events", EVENTS, 2)):
        target = io.StringIO()
        told = export_log(desk.ledger.dsn(auditor), target, log=log)  # type: ignore[arg-type]
        assert (told.written, told.unnumbered) == (written, unnumbered)
        assert target.getvalue().count("\n") == written
    said = CliRunner().invoke(app, ["export", "--db", desk.ledger.dsn(auditor), "--log", "run_events"])
    assert "7 events have no number yet" in said.stderr


def test_there_is_no_other_log(desk: Desk) -> None:
    for call in (
        lambda: export_log(desk.dsn, io.StringIO(), customer_id="c1", log="runs"),  # type: ignore[arg-type]
        lambda: verify_log(desk.dsn, customer_id="c1", log="runs"),  # type: ignore[arg-type]
        lambda: prove_inclusion(desk.operator, 1, log="runs"),  # type: ignore[arg-type]
        lambda: prove_growth(desk.operator, 1, log="runs"),  # type: ignore[arg-type]
    ):
        with pytest.raises(MalformedEventError) as refused:
            call()
        assert refused.value.rule == "log_known"
    run("export", "--db", desk.dsn, "--log", "runs", code=2)


def test_signed_checkpoints_are_verified_with_no_database(desk: Desk, tmp_path: Path) -> None:
    key, note, later = tmp_path / "key", tmp_path / "first.checkpoint", tmp_path / "later.checkpoint"
    run("keygen", "audit.example.com", "-o", key)
    given = ("--db", desk.dsn, "-c", "c1", "--key", key)
    run("checkpoint", *given, "--log", "run_events", "-o", note)
    run("checkpoint", *given, "-o", tmp_path / "events.checkpoint")
    tell(desk.operator, RUN, 5)
    run("checkpoint", *given, "--log", "run_events", "-o", later)
    [(ledger,)] = desk.ledger.superuser().execute("select ledger from aximo_private.log_state").fetchall()
    assert note.read_text(encoding="utf-8").splitlines()[:2] == [f"{ledger}/c1/run_events", str(RUN_EVENTS)]
    stored = desk.rows("select log, size from aximo.checkpoints order by log, size")
    assert stored == [("events", EVENTS), ("run_events", RUN_EVENTS), ("run_events", RUN_EVENTS + 5)]
    path = exported(desk, tmp_path / "runs.jsonl")
    keys = [Path(f"{key}.pub")]
    verdict = audit.check_export(path, [note, later], keys)
    assert verdict.ok, verdict.findings
    assert [each["origin"] for each in verdict.facts["checkpoints"]] == [f"{ledger}/c1/run_events"] * 2
    # One log's checkpoint says nothing of another log's export.
    assert not audit.check_export(path, [tmp_path / "events.checkpoint"], keys).ok
    assert not audit.check_export(path, [note, tmp_path / "events.checkpoint"], keys).ok
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:9], lines[9].replace(b"exec.plan", b"exec.play"), *lines[10:]]))
    assert not audit.check_export(path, [note], keys).ok
    run("verify", "--db", desk.dsn, "-c", "c1", "--log", "run_events", "--checkpoint", note, "--key", keys[0])
    told = json.loads(run("verify", "--db", desk.dsn, "-c", "c1", "--checkpoint", note, "--json", code=1))
    assert [each["problem"] for each in told["problems"]] == ["checkpoint_differs"]


def test_an_event_and_growth_are_proved(desk: Desk, tmp_path: Path) -> None:
    given = ("--db", desk.dsn, "-c", "c1", "--log", "run_events")
    line, proof, old = tmp_path / "line", tmp_path / "proof", tmp_path / "old"
    run("checkpoint", *given, "-o", old)
    lines = exported(desk, tmp_path / "runs.jsonl").read_bytes().splitlines(keepends=True)
    for place in (0, 255, 256, RUN_EVENTS - 1):
        run("prove", *given, str(desk.run_event_ids[place]), "-o", proof)
        line.write_bytes(lines[place])
        verdict = audit.check_proof(proof, line=line)
        assert verdict.ok, verdict.findings
        assert verdict.facts["origin"].endswith("/c1/run_events")
        assert (verdict.facts["entry"], verdict.facts["size"]) == (place + 1, RUN_EVENTS)
        line.write_bytes(lines[place].replace(b"exec.plan", b"exec.play"))
        assert not audit.check_proof(proof, line=line).ok
    tell(desk.operator, RUN, 20)
    run("prove", *given, "--from", str(RUN_EVENTS), "-o", proof, code=0)
    run("prove", *given, "--from", str(RUN_EVENTS), "--to", str(RUN_EVENTS + 20), "-o", proof)
    verdict = audit.check_proof(proof, old=old)
    assert verdict.ok, verdict.findings
    assert (verdict.facts["old_size"], verdict.facts["size"]) == (RUN_EVENTS, RUN_EVENTS + 20)
    other = tmp_path / "events.checkpoint"
    run("checkpoint", "--db", desk.dsn, "-c", "c1", "-o", other)
    assert not audit.check_proof(proof, old=other).ok


def test_what_is_asked_of_the_wrong_log_is_refused(desk: Desk) -> None:
    [(event_id,)] = desk.rows("select event_id from aximo.log_leaves where log = 'events' and number = 1")
    run("prove", "--db", desk.dsn, "-c", "c1", str(event_id), "--log", "run_events", code=1)
    run("prove", "--db", desk.dsn, "-c", "c1", str(desk.run_event_ids[0]), code=1)
    run("prove", "--db", desk.dsn, "-c", "c1", "0", "--log", "run_events", code=1)
    with desk.operator.transaction():
        desk.operator.execute("select set_config('aximo.customer_id', 'c1', true)")
        with pytest.raises(TypeError, match="run_events"):
            prove_inclusion(desk.operator, event_id, log="run_events")
        with pytest.raises(TypeError, match="events"):
            prove_inclusion(desk.operator, desk.run_event_ids[0])
        [(of_c2,)] = desk.ledger.superuser().execute(
            "select min(event_id) from helix.run_events where customer_id = 'c2'"
        ).fetchall()  # fmt: skip
        with pytest.raises(ValueError, match="no such event"):
            prove_inclusion(desk.operator, of_c2, log="run_events")
        tiles = [tile_reader(desk.operator, log)(0, 0, 5) for log in ("events", "run_events")]
    assert tiles[0] != tiles[1]
    assert [len(tile) for tile in tiles] == [160, 160]


# Tampering is found, in the log where it was done


def test_two_untouched_logs_are_whole(desk: Desk) -> None:
    for log, size in (("events", EVENTS), ("run_events", RUN_EVENTS)):
        verdict = desk.verify(log)
        assert (verdict.ok, verdict.log, verdict.size, verdict.coming) == (True, log, size, 0)
        assert desk.rows("select * from aximo.verify_log(%s)", log) == []
    tell(desk.operator, RUN, 4)
    assert (desk.verify("run_events").coming, desk.verify("events").coming) == (4, 0)


FOURTH = "(select run_event_id from aximo_private.log_entries where customer_id = 'c1' and log = 'run_events' and number = 4)"
CRIMES: dict[str, tuple[str, str, int | None]] = {
    "data changed": (f"update helix.run_events set data = '{{\"n\": 0}}' where event_id = {FOURTH}", "event_differs", 4),
    "a message taken away": (
        f"update helix.run_events set message = null where event_id = {FOURTH}", "event_differs", 4
    ),
    "another time": (f"update helix.run_events set ts = ts - interval '1 day' where event_id = {FOURTH}", "event_differs", 4),
    "another recorder": (
        f"update helix.run_events set recorded_by = 'somebody' where event_id = {FOURTH}", "event_differs", 4
    ),
    "an event removed": (f"delete from helix.run_events where event_id = {FOURTH}", "event_removed", 4),
    "an entry removed": (
        "delete from aximo_private.log_entries where customer_id = 'c1' and log = 'run_events' and number = 4",
        "number_missing", 4,
    ),
    "an event put in": (
        "insert into helix.run_events (event_id, run_id, kind, customer_id) values (-5, 'run_A', 'run.failed', 'c1')",
        "event_not_in_log", None,
    ),
    "a subtree changed": (
        "update aximo_private.log_nodes set hash = sha256('') where customer_id = 'c1' and log = 'run_events'", "node_differs", 1
    ),
    "a checkpoint changed": (
        "update aximo_private.checkpoints set root = sha256('') where customer_id = 'c1' and log = 'run_events'",
        "checkpoint_differs", RUN_EVENTS,
    ),
    "a checkpoint of the other log": (
        "update aximo_private.checkpoints set log = 'run_events' where customer_id = 'c1' and log = 'events'",
        "checkpoint_differs", EVENTS,
    ),
}  # fmt: skip


@pytest.mark.parametrize("crime", CRIMES)
def test_tampering_is_found_and_the_other_log_is_whole(desk: Desk, crime: str) -> None:
    statement, kind, number = CRIMES[crime]
    for log in ("events", "run_events"):
        desk.rows("select from aximo.add_checkpoint(aximo.checkpoint_text(log => %s))", log)
    desk.change(statement)
    verdict = desk.verify("run_events")
    first = verdict.problems[0]
    assert (first.kind, first.number, first.event_id) == (kind, number, None)
    if kind in ("event_differs", "event_removed"):
        assert first.event == first.run_event_id == desk.run_event_ids[3]
        assert verdict.as_json()["problems"][0]["run_event_id"] == desk.run_event_ids[3]
    said = desk.rows("select problem, number, event_id from aximo.verify_log('run_events')")
    # Of a gap the database names the entry after it, the package the one that is missing.
    assert (kind, 5 if kind == "number_missing" else number, None) in said
    assert desk.verify("events").ok
    assert desk.rows("select * from aximo.verify_log()") == []
    told = run("verify", "--db", desk.dsn, "-c", "c1", "--log", "run_events", code=1)
    assert kind.replace("_", " ") in told
    run("verify", "--db", desk.dsn, "-c", "c1")


def test_a_rewritten_history_is_found_by_a_checkpoint_kept_elsewhere(desk: Desk, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    run("checkpoint", "--db", desk.dsn, "-c", "c1", "--log", "run_events", "--no-keep", "-o", kept)
    later = desk.run_event_ids[280]
    desk.change(
        f"update helix.run_events set kind = 'run.failed' where event_id = {later}",
        "update aximo_private.log_entries as l set leaf = ("
        "select sha256(decode('00', 'hex') || convert_to(aximo_private.run_event_line(e.*), 'UTF8'))"
        " from helix.run_events as e where e.event_id = l.run_event_id) where l.log = 'run_events'",
    )
    assert desk.verify("run_events").ok
    verdict = desk.verify("run_events", checkpoints=[tlog.read_checkpoint(kept.read_bytes())])
    assert [each.kind for each in verdict.problems] == ["checkpoint_differs"]


def test_an_export_of_a_log_that_is_not_whole_stops(desk: Desk) -> None:
    desk.change(f"delete from helix.run_events where event_id = {FOURTH}")
    with pytest.raises(ProofError) as refused:
        export_log(desk.dsn, io.StringIO(), customer_id="c1", log="run_events")
    assert (refused.value.rule, refused.value.detail) == (
        "log_is_whole",
        "entry 4 is missing, or its event is",
    )
    assert refused.value.hint is not None
    assert "--log run_events" in refused.value.hint
    export_log(desk.dsn, io.StringIO(), customer_id="c1")


# Metrics


def test_metrics_of_both_logs_are_compared(desk: Desk) -> None:
    with EventStore(desk.dsn) as store:
        store.refresh_metrics()
    verdict = verify_metrics(desk.dsn, customer_id="c1")
    assert (verdict.ok, verdict.counts_up_to, verdict.log_size) == (True, EVENTS + RUN_EVENTS, EVENTS + RUN_EVENTS)
    root = desk.ledger.superuser()
    # Nothing of the runs is counted, and all of the events is: that is not well.
    root.execute("delete from aximo_private.counted_logs where log = 'run_events'")
    root.execute("delete from aximo_private.run_sums")
    assert [each.level for each in examine(desk.ledger.dsn(DBA)) if each.check == "metrics"] == ["warning"]
    root.execute("select aximo.refresh_metrics(true)")
    verdict = verify_metrics(desk.dsn, customer_id="c1")
    assert (verdict.ok, verdict.counts_up_to, verdict.log_size) == (False, 0, RUN_EVENTS)


# The doctor


def said(findings: list[doctor.Finding], check: str) -> list[tuple[str, str]]:
    return [(each.level, each.message) for each in findings if each.check == check]


def test_the_doctor_looks_at_both_logs(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    dsn = desk.ledger.dsn(DBA)
    assert [level for level, _ in said(examine(dsn), "log")] == ["ok", "ok"]
    monkeypatch.setattr(doctor, "_FAR_BEHIND", 5)
    tell(desk.operator, RUN, 10)
    events, run_events = said(examine(dsn), "log")
    assert events == ("ok", "Numbering of the log events is at most 0 events behind.")
    assert run_events[0] == "warning"
    assert "10 events have no number yet in the log run_events" in run_events[1]
    advance_all(desk.operator)
    root = desk.ledger.superuser()
    monkeypatch.setattr(doctor, "_MANY_HOLES", 2)
    root.execute(
        "insert into aximo_private.log_holes (log, first_position, last_position, seen_by)"
        " select 'run_events', -n, -n, pg_current_xact_id() from generate_series(1, 3) as n"
    )
    found = [message for level, message in said(examine(dsn), "log") if level == "warning"]
    assert len(found) == 1
    assert found[0].startswith("3 gaps are remembered in the log run_events")
    root.execute("delete from aximo_private.log_holes")
    root.execute("select setval('helix.run_events_event_id_seq', 1)")
    wrong = [each for each in examine(dsn) if each.level == "error"]
    assert [each.message for each in wrong] == [
        "The sequence of positions is behind the log run_events: new events would be passed over."
    ]
    high = desk.run_event_ids[-1]
    assert f"setval('helix.run_events_event_id_seq', {root_high(root)})" in (wrong[0].fix or "")
    assert root_high(root) > high


def root_high(root: psycopg.Connection[Any]) -> int:
    row = root.execute("select high_position from aximo_private.logs where log = 'run_events'").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("delete from aximo_private.logs where log = 'run_events'", "aximo_private.logs"),
        ("delete from aximo_private.log_state", "aximo_private.log_state"),
        ("update aximo_private.logs set high_position = 0", "same backup"),
        ("update aximo_private.logs set high_position = 0 where log = 'run_events'", "same backup"),
    ],
)
def test_a_lost_state_is_an_error(desk: Desk, statement: str, word: str) -> None:
    desk.ledger.superuser().execute(statement.encode())
    (finding,) = [each for each in examine(desk.ledger.dsn(DBA)) if each.check == "log"]
    assert finding.level == "error"
    assert word in (finding.fix or "")


HELIX_TAMPERINGS = {
    "a guard dropped": ("drop trigger append_only_row on helix.run_events", "append_only_row on helix.run_events"),
    "row security off": ("alter table helix.runs disable row level security", "table helix.runs"),
    "a policy added": ("create policy more on helix.runs for select using (true)", "policy more on helix.runs"),
    "a grant": ("grant delete on helix.run_events to aximo_writer", "relation helix.run_events: delete"),
    "the owner's grant back": ("grant insert on helix.run_events to aximo_owner", "helix.run_events: insert to aximo_owner"),
    "a sequence": ("alter sequence helix.run_events_event_id_seq cycle", "sequence helix.run_events_event_id_seq"),
    "a function replaced": ("alter function helix.read_log(bigint, integer, boolean) security definer", "helix.read_log"),
    "a check dropped": ("alter table helix.run_events drop constraint kind_present", "kind_present"),
    "a table of nobody's": ("create table helix.mine (a integer)", "helix.mine"),
    "a view by the name of a gateway's table": ("create view helix.projects as select 1 as a", "helix.projects"),
}  # fmt: skip


@pytest.mark.parametrize("tampering", HELIX_TAMPERINGS)
def test_what_was_changed_about_schema_helix_is_found(one_ledger: Ledger, tampering: str) -> None:
    statement, name = HELIX_TAMPERINGS[tampering]
    one_ledger.superuser().execute(statement.encode())
    drift = [each.message for each in examine(one_ledger.dsn()) if each.check == "drift" and each.level == "error"]
    assert any(name in message for message in drift), drift


def make_gateway(ledger: Ledger) -> None:
    """What the gateway's own schema makes, in small, as the owner."""
    with psycopg.connect(ledger.dsn(), autocommit=True) as connection:
        for name, columns in GATEWAY_TABLES.items():
            connection.execute(f"create table helix.{name} ({columns})".encode())
        connection.execute("create index on helix.artifacts (project_id)")


def test_a_gateways_own_tables_are_no_drift_and_said_to_be_shared(each_ledger: Ledger) -> None:
    def look() -> tuple[list[tuple[str, str]], list[doctor.Finding]]:
        findings = examine(each_ledger.dsn())
        assert said(findings, "drift") == [("ok", "Guards, policies, functions and grants are as installed.")]
        return said(findings, "gateway"), [each for each in findings if each.level == "error"]

    assert look() == ([], [])
    make_gateway(each_ledger)
    each_ledger.login("gateway_one", "aximo_writer", customers=("c1",))
    each_ledger.login("gateway_two", "aximo_writer", customers=("c2",))
    root = each_ledger.superuser()

    def one_only() -> list[str]:
        return [level for level, _ in look()[0]]

    assert one_only() == ["ok"]
    root.execute("grant select, insert on helix.projects, helix.artifacts to gateway_one")
    assert one_only() == ["ok"]
    root.execute("grant select (project_id) on helix.projects to gateway_two")
    (finding,) = look()[0]
    assert finding[0] == "note"
    assert "gateway_one, gateway_two" in finding[1]
    assert "not isolated by customer" in finding[1]
    assert look()[1] == []
    root.execute("revoke all on helix.projects from gateway_two")
    assert one_only() == ["ok"]
    # By way of a group, too, and one login with all customers is of more than one.
    root.execute("grant select on all tables in schema helix to aximo_writer")
    findings = examine(each_ledger.dsn())
    assert [level for level, _ in said(findings, "gateway")] == ["note"]
    for name in GATEWAY_TABLES:
        assert not any(name in message for level, message in said(findings, "drift") if level == "error")


def test_isolated_tables_of_a_gateway_are_not_spoken_of(each_ledger: Ledger) -> None:
    make_gateway(each_ledger)
    each_ledger.login("gateway_all", "aximo_writer", customers=("*",))
    root = each_ledger.superuser()
    root.execute("".join(f"grant select on helix.{name} to gateway_all; " for name in GATEWAY_TABLES).encode())
    assert [level for level, _ in said(examine(each_ledger.dsn()), "gateway")] == ["note"]
    with psycopg.connect(each_ledger.dsn(), autocommit=True) as connection:
        connection.execute("select helix.isolate_gateway_tables()")
    findings = examine(each_ledger.dsn())
    assert said(findings, "gateway") == []
    assert [each for each in findings if each.level == "error"] == []
