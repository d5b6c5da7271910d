"""The log outlives its server: dumps, base backups, standbys, and clusters whose transactions have other numbers."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

from aximo_db.dba.migrate import migrate
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, DBA, SETTINGS, Ledger, make_database
from tests.events import event
from tests.log_support import (
    KEEPER,
    advance,
    advance_all,
    assert_holes_vanish,
    assert_whole,
    checkpoint,
    emit_many,
    emit_one,
    entries,
    holes,
    keeper,
    of_customer,
    problems,
    store_checkpoint,
    stored,
)
from tests.metrics_support import differences, metric_rows, refresh

Connection = psycopg.Connection[Any]

CUSTOMERS = ("c1", "c2", "c3")
#: Transaction ids of the cluster that is dumped, and of one it is restored into that is further still.
IDS, IDS_AHEAD = 0x2000_0000, 0x4000_0000
#: What the ledger's data is in, and what a restore of the data alone has to name.
TABLES = (
    "events",
    "events_position",
    "executions",
    "approvals",
    "known_deployments",
    "customer_grants",
    "access_changes",
    "log_state",
    "logs",
    "log_holes",
    "log_entries",
    "log_nodes",
    "log_cursors",
    "checkpoints",
    "erasures",
    "violations",
    "thresholds",
    "metric_lists",
    "observations",
    "placements",
)
#: The same, in schema helix; runs before their events.
RUN_TABLES = ("runs", "run_events", "run_events_event_id_seq")


def binaries(version: str) -> Path:
    if version not in BINARIES:
        pytest.skip(f"no PostgreSQL {version} binaries on this machine")
    folder = BINARIES[version]
    for name in ("pg_dump", "pg_dumpall", "pg_restore", "pg_basebackup", "pg_resetwal", "psql"):
        if not (folder / name).exists():
            pytest.skip(f"no {name} of PostgreSQL {version} on this machine")
    return folder


def hand_over(path: Path, like: EmbeddedServer) -> None:
    """To the account that the server runs as."""
    owner = like.data_dir.stat()
    for each in (path, *path.rglob("*")):
        os.chown(each, owner.st_uid, owner.st_gid)


@contextlib.contextmanager
def cluster(
    folder: Path, version: str, settings: dict[str, str] | None = None, *, ids_from: int | None = None
) -> Iterator[EmbeddedServer]:
    """A server of its own, its transaction ids beginning there."""
    server = EmbeddedServer(folder, bin_dir=binaries(version), settings={**SETTINGS, **(settings or {})})
    try:
        server.start()
        if ids_from is not None:
            server.stop()
            server._run("pg_resetwal", "-x", str(ids_from))
            # The commit log of those ids: no transaction has any yet.
            segment = folder / "pg_xact" / f"{ids_from // 0x10_0000:04X}"
            segment.write_bytes(bytes(0x4_0000))
            hand_over(segment, server)
            server.start()
        yield server
    finally:
        server.stop("immediate")


def run(folder: Path, program: str, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    command = [str(folder / program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def new_ledger(server: EmbeddedServer) -> Ledger:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(f"create role {DBA} login createrole createdb")
    make_database(server, "ledger", None)
    migrate(server.dsn(DBA, "ledger"), grant_installer=False)
    return Ledger(server, "ledger", "migrated")


@contextlib.contextmanager
def sessions(server: EmbeddedServer) -> Iterator[tuple[Connection, Connection]]:
    """A superuser's and the keeper's."""
    with psycopg.connect(server.dsn("postgres", "ledger"), autocommit=True) as root:
        with psycopg.connect(server.dsn(KEEPER, "ledger"), autocommit=True) as operator:
            yield root, operator


@dataclass
class Facts:
    """What must be the same afterwards."""

    checkpoints: dict[str, str]
    logs: dict[str, list[UUID]]
    cursors: dict[str, list[Any]]
    notes: dict[str, list[Any]]
    violations: dict[str, list[Any]]
    stored: dict[str, set[UUID]]
    holes: list[tuple[int, int]]
    runs: dict[str, list[Any]]
    run_events: dict[str, list[Any]]
    run_log: dict[str, list[Any]]
    run_checkpoints: dict[str, list[Any]]


def facts(server: EmbeddedServer) -> Facts:
    with sessions(server) as (root, operator):
        logs, kept = {}, {}
        for customer in CUSTOMERS:
            logs[customer], kept[customer] = entries(root, customer), set(stored(root, customer))

        def rows(query: str) -> dict[str, list[Any]]:
            return {customer: of_customer(operator, customer, query) for customer in CUSTOMERS}

        return Facts(
            checkpoints={customer: checkpoint(operator, customer) for customer in CUSTOMERS},
            logs=logs,
            cursors=rows("select name, number, behind, moved_at, moved_by from aximo.cursors order by name"),
            notes=rows("select checkpoint_id, note, made_at, made_by from aximo.checkpoints order by checkpoint_id"),
            violations=rows("select number, event_id, rule, against, found_at from aximo.violations order by number"),
            stored=kept,
            holes=holes(root),
            runs=rows("select run_id, status, recorded_at, recorded_by from helix.runs order by run_id"),
            run_events=rows("select event_id, run_id, kind, data, recorded_at from helix.run_events order by event_id"),
            run_log=rows("select number, line, leaf from aximo.log_lines where log = 'run_events' order by number"),
            run_checkpoints=rows("select aximo.checkpoint_text(null, 'run_events')"),
        )


def run_events(operator: Connection, customer: str, run: str, count: int) -> None:
    """A tool run, if there is none of that name, and so many events of it."""
    with operator.transaction():
        operator.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
        operator.execute(
            "insert into helix.runs (run_id, project_id, tool_name, contract_version, params_hash, policy_hash, status)"
            " values (%s, 'p', 'tool', 'v1', 'h', 'h', 'running') on conflict do nothing",
            (run,),
        )
        operator.execute(
            "insert into helix.run_events (run_id, kind, data)"
            " select %s, 'run.started', jsonb_build_object('n', n) from generate_series(1, %s) as n",
            (run, count),
        )


class Story:
    """A ledger with everything there is: late events, old and new holes, and transactions under way."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.operator = ledger.connect(keeper(ledger))
        for customer in CUSTOMERS:
            emit_many(self.operator, 270 if customer == "c1" else 7, customer)
        advance(self.operator)
        late = self.under_way("c1", "c2")
        emit_many(self.operator, 5)
        advance(self.operator)
        lost = self.under_way("c1", "c3")
        emit_many(self.operator, 5, "c3")
        lost.execute("rollback")
        advance(self.operator)
        late.execute("commit")
        advance(self.operator)
        for kind in ("execution_triggered", "execution_failed", "execution_completed"):
            made = [event(kind, "wrong")]
            self.operator.execute("select from aximo.import_events(%s, 'c2')", (Jsonb(made),))
        advance(self.operator, 2)
        for customer in ("c1", "c2"):
            run_events(self.operator, customer, f"run of {customer}", 300)
            advance(self.operator)
            run_events(self.operator, customer, f"run of {customer}", 3)
        store_checkpoint(self.operator)
        store_checkpoint(self.operator, "c2")
        for name, number in (("mailer", 123), ("biller", 7)):
            of_customer(self.operator, "c1", "select from aximo.move_cursor(%s, 0, %s)", name, number)
        # A hole with a date, one without, one that is filled and was not looked at again, and events that are not numbered.
        self.open = [self.under_way("c1")]
        emit_one(self.operator)
        advance_all(self.operator)
        advance_all(self.operator)
        self.open.append(self.under_way("c2"))
        filled = self.under_way("c3", "c1")
        emit_one(self.operator, "c2")
        advance(self.operator)
        filled.execute("commit")
        emit_many(self.operator, 3)

    def under_way(self, *customers: str) -> Connection:
        connection = self.ledger.connect(KEEPER)
        connection.execute("begin")
        for customer in customers:
            emit_one(connection, customer)
        return connection

    def go_on(self) -> None:
        """What happens to the old ledger afterwards is none of the new one's business."""
        for connection in self.open:
            connection.execute("commit")
        emit_many(self.operator, 20, "c2")
        advance_all(self.operator)


def assert_survived(server: EmbeddedServer, was: Facts) -> None:
    now = facts(server)
    assert now == was
    with sessions(server) as (root, operator):
        for customer in CUSTOMERS:
            assert problems(operator, customer) == []
            assert of_customer(operator, customer, "select problem from aximo.verify_log('run_events')") == []
            assert of_customer(operator, customer, "select problem from aximo.verify_executions()") == []
        unnumbered = {customer: was.stored[customer] - set(was.logs[customer]) for customer in CUSTOMERS}
        assert sum(map(len, unnumbered.values())) > 0
        # What was not numbered yet gets the next numbers.
        assert advance_all(operator, 2) == sum(map(len, unnumbered.values()))
        for customer in CUSTOMERS:
            log = entries(root, customer)
            assert log[: len(was.logs[customer])] == was.logs[customer]
            assert set(log[len(was.logs[customer]) :]) == unnumbered[customer]
        # And so does what is new, in a ledger in which writers overlap as before.
        with psycopg.connect(server.dsn(KEEPER, "ledger")) as slow:
            late = emit_one(slow, "c1")
            new = [*emit_many(operator, 300, "c1")]
            assert advance_all(operator) == 300
            for _ in range(4):
                assert advance(operator) == (0, False)
            slow.commit()
        assert advance_all(operator) == 1
        assert entries(root, "c1")[-301:] == [*new, late]
        assert_holes_vanish(root, operator, tries=4)
        kept = {customer: set(was.stored[customer]) for customer in CUSTOMERS}
        kept["c1"] |= {*new, late}
        assert_whole(root, operator, kept)
        of_customer(operator, "c1", "select from aximo.move_cursor('mailer', 123, 500)")
        for customer in ("c1", "c2"):
            run_events(operator, customer, f"run of {customer}", 2)
            advance_all(operator)
            assert of_customer(operator, customer, "select problem from aximo.verify_log('run_events')") == []
            log = of_customer(
                operator, customer, "select run_event_id from aximo.log_leaves where log = 'run_events' order by number"
            )
            now_there = of_customer(operator, customer, "select event_id from helix.run_events order by event_id")
            assert log == now_there
            assert len(log) == 305
        # Metrics came along, or are counted again.
        operator.execute("select from aximo.recount_metrics()")
        assert refresh(operator)
        for customer in CUSTOMERS:
            assert differences(operator, customer) == []
            assert metric_rows(operator, customer, "customer_overview")[0]["events"] == len(entries(root, customer))


# Dumps ---------------------------------------------------------------------------------------------------------------


@dataclass
class Dump:
    """A dump with the tools of a version, and what was in it."""

    file: Path
    roles: Path
    was: Facts


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str], Dump]]:
    """Makes, once, the dump of a server of one version with the tools of another."""
    made: dict[tuple[str, str], Dump] = {}
    with contextlib.ExitStack() as stack:
        sources: dict[str, Story] = {}

        def dump(version: str, tools: str) -> Dump:
            if (version, tools) not in made:
                folder = tmp_path_factory.mktemp(f"dump-{version}-{tools}")
                if version not in sources:
                    server = stack.enter_context(cluster(folder / "source", version, ids_from=IDS))
                    ledger = new_ledger(server)
                    stack.callback(ledger.close)
                    sources[version] = Story(ledger)
                server = sources[version].ledger.server
                was = facts(server)
                assert len(was.holes) >= 2
                file, roles = folder / "ledger.dump", folder / "roles.sql"
                run(binaries(tools), "pg_dump", "-Fc", "-f", str(file), "-d", server.dsn("postgres", "ledger"))
                run(binaries(tools), "pg_dumpall", "--roles-only", "-f", str(roles), "-d", server.dsn())
                made[version, tools] = Dump(file, roles, was)
            return made[version, tools]

        yield dump


RESTORES = [
    pytest.param("18", "18", None, id="18 into 18, ids behind"),
    pytest.param("18", "18", IDS_AHEAD, id="18 into 18, ids ahead"),
    pytest.param("15", "15", None, id="15 into 15, ids behind"),
    pytest.param("15", "18", None, id="15 into 18, ids behind"),
    pytest.param("15", "18", IDS_AHEAD, id="15 into 18, ids ahead"),
]


@pytest.mark.parametrize(("version", "into", "ids"), RESTORES)
def test_a_dump_restored_by_a_superuser_goes_on_where_it_was(
    dump: Callable[[str, str], Dump], tmp_path: Path, version: str, into: str, ids: int | None
) -> None:
    made = dump(version, into)
    tools = binaries(into)
    with cluster(tmp_path / "target", into, ids_from=ids) as server:
        run(tools, "psql", "-X", "-q", "-d", server.dsn(), "-f", str(made.roles))
        make_database(server, "ledger", None)
        if version == into:
            options = ("--exit-on-error", "--single-transaction", "-d", server.dsn("postgres", "ledger"))
            run(tools, "pg_restore", *options, str(made.file))
        else:
            script = tmp_path / "ledger.sql"
            run(tools, "pg_restore", "-f", str(script), str(made.file))
            # Tools from before November 2026 do not know this option of servers from after it, and their servers refuse it.
            lines = script.read_bytes().split(b"\n")
            script.write_bytes(b"\n".join(line for line in lines if b" SET (pg_attver=" not in line))
            options = (
                "-X",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "--single-transaction",
                "-d",
                server.dsn("postgres", "ledger"),
            )
            run(tools, "psql", *options, "-f", str(script))
        assert_survived(server, made.was)


LEDGER_TABLES = ", ".join(
    ["helix.runs", "helix.run_events", *(f"aximo_private.{name}" for name in TABLES if name != "events_position")]
)
OWNER_PREPARES = f"""
    grant update on sequence aximo_private.events_position, helix.run_events_event_id_seq to restorer;
    grant insert on {LEDGER_TABLES} to restorer;
    grant select, delete on aximo_private.log_state, aximo_private.logs to restorer;
"""
#: The rows that the installation made have another name for the ledger, and say that nothing is numbered.
RESTORER_PREPARES = "delete from aximo_private.log_state; delete from aximo_private.logs"
OWNER_CLOSES = f"""
    revoke update on sequence aximo_private.events_position, helix.run_events_event_id_seq from restorer;
    revoke insert on {LEDGER_TABLES} from restorer;
    revoke select, delete on aximo_private.log_state, aximo_private.logs from restorer;
"""


@pytest.mark.parametrize(("version", "into", "ids"), RESTORES)
def test_the_data_restored_by_the_owner_goes_on_where_it_was(
    dump: Callable[[str, str], Dump], tmp_path: Path, version: str, into: str, ids: int | None
) -> None:
    made = dump(version, into)
    tools = binaries(into)
    with cluster(tmp_path / "target", into, ids_from=ids) as server:
        ledger = new_ledger(server)
        with psycopg.connect(server.dsn(), autocommit=True) as root:
            root.execute(f"create role {KEEPER} login")
            root.execute("create role restorer login bypassrls")
        with psycopg.connect(ledger.dsn(DBA), autocommit=True) as owner:
            owner.execute(f"grant aximo_writer, aximo_operator, aximo_auditor to {KEEPER}")
            owner.execute("grant aximo_owner to restorer")
            owner.execute(OWNER_PREPARES)
        with psycopg.connect(ledger.dsn("restorer"), autocommit=True) as restorer:
            restorer.execute(RESTORER_PREPARES)
        for names in (["runs"], [*TABLES, *RUN_TABLES[1:]]):
            run(
                tools,
                "pg_restore",
                "--exit-on-error",
                "--single-transaction",
                "--data-only",
                *(f"--table={name}" for name in names),
                "-d",
                server.dsn("restorer", "ledger"),
                str(made.file),
            )
        with psycopg.connect(ledger.dsn(DBA), autocommit=True) as owner:
            owner.execute(OWNER_CLOSES)
        assert_survived(server, made.was)


# Copies of the whole server ------------------------------------------------------------------------------------------


def soon(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)


def base_backup(source: EmbeddedServer, target: Path, *options: str) -> None:
    run(source.bin_dir, "pg_basebackup", "-D", str(target), "-c", "fast", "-d", source.dsn(), *options)
    # The socket's lock is among the files, as the embedded server has its socket in the data directory.
    (target / f".s.PGSQL.{source.socket_port}.lock").unlink(missing_ok=True)
    (target / "server.log").write_bytes(b"")
    target.chmod(0o700)
    hand_over(target, source)


def in_recovery(server: EmbeddedServer) -> bool:
    with psycopg.connect(server.dsn(), autocommit=True) as root:
        row = root.execute("select pg_is_in_recovery()").fetchone()
    return row is None or bool(row[0])


@pytest.mark.parametrize("version", ["18", "15"])
def test_recovery_to_a_point_in_time_goes_on_from_there(tmp_path: Path, version: str) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    settings = {
        "archive_mode": "on",
        "archive_command": f"cp %p {archive}/%f.part && mv {archive}/%f.part {archive}/%f",
        "wal_level": "replica",
    }
    with cluster(tmp_path / "source", version, settings) as source:
        hand_over(archive, source)
        ledger = new_ledger(source)
        base_backup(source, tmp_path / "target")
        story = Story(ledger)
        was = facts(source)
        root = ledger.superuser()
        root.execute("select pg_create_restore_point('before')")
        story.go_on()
        assert facts(source) != was
        name = root.execute("select pg_walfile_name(pg_switch_wal())").fetchone()
        assert name is not None
        soon(lambda: (archive / name[0]).exists())
        ledger.close()
    (tmp_path / "target" / "recovery.signal").touch()
    target = EmbeddedServer(
        tmp_path / "target",
        bin_dir=binaries(version),
        settings={
            **SETTINGS,
            "restore_command": f"cp {archive}/%f %p",
            "recovery_target_name": "before",
            "recovery_target_action": "promote",
        },
    )
    hand_over(tmp_path / "target", source)
    try:
        target.start()
        soon(lambda: not in_recovery(target))
        assert_survived(target, was)
    finally:
        target.stop("immediate")


@pytest.mark.parametrize("version", ["18", "15"])
def test_a_promoted_standby_goes_on_without_what_was_under_way(tmp_path: Path, version: str) -> None:
    with cluster(tmp_path / "primary", version, {"wal_level": "replica"}) as primary:
        ledger = new_ledger(primary)
        base_backup(primary, tmp_path / "standby", "-R", "-X", "stream")
        standby = EmbeddedServer(tmp_path / "standby", bin_dir=binaries(version), settings=SETTINGS)
        try:
            standby.start()
            story = Story(ledger)
            was = facts(primary)
            root = ledger.superuser()
            row = root.execute("select pg_switch_wal(), pg_current_wal_lsn()").fetchone()
            assert row is not None
            with psycopg.connect(standby.dsn(), autocommit=True) as watcher:

                def has_replayed() -> bool:
                    found = watcher.execute("select pg_last_wal_replay_lsn() >= %s::pg_lsn", (row[1],)).fetchone()
                    return found is not None and found[0]

                soon(has_replayed)
                # The copy reads and verifies as the primary does; it numbers nothing.
                assert facts(standby) == was
                with psycopg.connect(standby.dsn(KEEPER, "ledger"), autocommit=True) as reader:
                    assert [problems(reader, customer) for customer in CUSTOMERS] == [[], [], []]
                    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                        advance(reader)
                assert story.open[0].info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
                primary.kill()
                ledger.close()
                watcher.execute("select pg_promote()")
            soon(lambda: not in_recovery(standby))
            assert_survived(standby, was)
        finally:
            standby.stop("immediate")
