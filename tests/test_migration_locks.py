"""A migration gets its locks, or says who holds what: nobody without rights keeps it off, and nobody waits long behind it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from aximo_db import InstallationError
from aximo_db.client.errors import translate
from aximo_db.dba.migrate import migrate, migration_script, planned, schema_state
from aximo_db.dba.revisions import locks, preparation
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, DBA, SETTINGS, Ledger, make_database
from tests.events import emit
from tests.log_support import emit_many
from tests.test_install import catalog
from tests.upgrade_support import RELEASES, released_ledger, upgrading

#: What every login could hold when the lock was an advisory one.
KEY = 7024608963063833698


@pytest.fixture
def empty(server: EmbeddedServer) -> Iterator[str]:
    make_database(server, "migration_locks", None)
    yield "migration_locks"
    with psycopg.connect(server.dsn(), autocommit=True) as root:
        root.execute("drop database migration_locks with (force)")


def test_no_lock_that_any_login_can_hold_keeps_a_migration_off(
    server: EmbeddedServer, empty: str, each_ledger: Ledger
) -> None:
    stranger = each_ledger.login("stranger")
    with psycopg.connect(server.dsn(stranger, empty), autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s), pg_advisory_lock(0)", [KEY])
        for statement in (
            "lock table aximo_private.alembic_version",
            "alter table aximo_private.events owner to stranger",
        ):
            with pytest.raises(psycopg.DatabaseError):
                connection.execute(statement)
        migrate(server.dsn(DBA, empty))
        migrate(server.dsn(DBA, empty))


def transaction(ledger: Ledger, attempts: int) -> psycopg.Connection[Any]:
    connection = ledger.connect(options=f"-c aximo.migration_attempts={attempts}")
    connection.execute("begin")
    return connection


def test_who_holds_what_is_named_and_nobody_waits_long(each_ledger: Ledger) -> None:
    reader = each_ledger.connect(each_ledger.login("long_reader", "aximo_reader", customers=("acme",)))
    reader.execute("set application_name = 'a long report'")
    reader.execute("begin")
    reader.execute("select from aximo.events")
    service = each_ledger.as_service("acme")
    outcome: list[psycopg.Error] = []
    ended = threading.Event()

    def upgrade() -> None:
        try:
            transaction(each_ledger, 3).execute(locks(["aximo_private.executions", "aximo_private.events"]))
        except psycopg.Error as error:
            outcome.append(error)
        ended.set()

    thread = threading.Thread(target=upgrade)
    thread.start()
    emitted = 0
    while not ended.is_set():
        # Behind the migration, and through as soon as it pauses.
        emit(service, "execution_triggered", f"e{emitted}")
        emitted += 1
        time.sleep(0.01)
    thread.join()
    # There is a pause of half a second and more after each attempt but the last.
    assert emitted > 10
    assert (outcome[0].sqlstate, outcome[0].diag.constraint_name) == ("ZXENV", "migration_gets_its_locks")
    detail = str(outcome[0].diag.message_detail)
    assert f"pid {reader.info.backend_pid}, login long_reader, application a long report: AccessShareLock on" in detail
    assert "aximo_private.events" in detail
    assert isinstance(translate(outcome[0]), InstallationError)


def held(ledger: Ledger, connection: psycopg.Connection[Any]) -> set[tuple[str, str]]:
    """The relations that a transaction has locked from others, and how."""
    rows = ledger.superuser().execute(
        "select c.oid::regclass::text, l.mode from pg_locks as l join pg_class as c on c.oid = l.relation"
        " where l.pid = %s and l.granted and l.mode in ('ShareRowExclusiveLock', 'AccessExclusiveLock')"
        " and c.relkind <> 'i' and c.relnamespace::regnamespace::text ~ '^(aximo|helix)'",
        [connection.info.backend_pid],
    )
    return {(row[0], row[1]) for row in rows}


def test_a_migration_goes_on_when_the_others_are_gone_and_holds_all_it_needs(each_ledger: Ledger) -> None:
    before = catalog(each_ledger.server, each_ledger.name)
    reader = each_ledger.superuser()
    reader.execute("begin")
    reader.execute("select from helix.runs")
    upgrade = transaction(each_ledger, 30)
    timer = threading.Timer(2.5, lambda: reader.execute("commit"))
    timer.start()
    from_writers = ("aximo_private.events", "aximo_private.approvals")  # with triggers, and without
    upgrade.execute(locks(("helix.runs", "aximo.events"), from_writers))
    timer.join()
    assert held(each_ledger, upgrade) == {
        ("helix.runs", "AccessExclusiveLock"),
        ("aximo.events", "AccessExclusiveLock"),
        *((name, "ShareRowExclusiveLock") for name in from_writers),
    }
    # Nobody is waited for any longer, and nothing was changed.
    assert upgrade.execute("show lock_timeout").fetchone() == ("300ms",)
    upgrade.execute("commit")
    assert catalog(each_ledger.server, each_ledger.name) == before


def test_who_reads_keeps_nobody_off_who_locks_from_writers(each_ledger: Ledger) -> None:
    names = "aximo_private.events"
    for statement, is_refused in (
        ("select from aximo_private.events", False),
        ("lock table aximo_private.events in row exclusive mode", True),
    ):
        other = each_ledger.superuser()
        other.execute("begin")
        other.execute(statement)  # type: ignore[call-overload]
        upgrade = transaction(each_ledger, 1)
        if not is_refused:
            upgrade.execute(locks((), [names]))
            # And who comes later reads on.
            each_ledger.superuser().execute("set statement_timeout = '20s'; select from aximo_private.events")
        else:
            with pytest.raises(psycopg.Error) as error:
                upgrade.execute(locks((), [names]))
            assert error.value.diag.constraint_name == "migration_gets_its_locks"
            detail = str(error.value.diag.message_detail)
            assert f"pid {other.info.backend_pid}, login postgres, application : RowExclusiveLock on {names}" in detail
        upgrade.execute("rollback")
        other.execute("rollback")


def test_a_prepared_transaction_is_named_too(each_ledger: Ledger) -> None:
    root = each_ledger.superuser()
    root.execute("begin")
    root.execute("lock table aximo_private.events in row exclusive mode")
    root.execute("prepare transaction 'forgotten'")
    try:
        with pytest.raises(psycopg.Error) as error:
            transaction(each_ledger, 1).execute(locks(["aximo_private.events"]))
        assert "a prepared transaction: RowExclusiveLock on aximo_private.events" in str(
            error.value.diag.message_detail
        )
    finally:
        root.execute("rollback prepared 'forgotten'")


def test_what_is_waited_for_in_an_attempt_adds_up_to_no_more(each_ledger: Ledger) -> None:
    # One after the other is given back shortly before its turn would be over.
    names = ("aximo_private.events", "aximo_private.executions", "aximo_private.approvals")
    timers = []
    for place, name in enumerate(names, 1):
        other = each_ledger.superuser()
        other.execute("begin")
        other.execute(sql.SQL("lock table {} in access share mode").format(sql.Identifier(*name.split("."))))
        timers.append(threading.Timer(0.2 * place, lambda held=other: held.execute("commit")))
    upgrade = transaction(each_ledger, 1)
    for timer in timers:
        timer.start()
    with pytest.raises(psycopg.Error) as error:
        upgrade.execute(locks(names))
    assert error.value.diag.constraint_name == "migration_gets_its_locks"
    for timer in timers:
        timer.join()


def test_an_autovacuum_gives_way(tmp_path: Path) -> None:
    slow = {"autovacuum": "on", "autovacuum_naptime": "1s"}
    with EmbeddedServer(
        tmp_path / "own", bin_dir=next(iter(BINARIES.values())), settings={**SETTINGS, **slow}
    ) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as root:
            root.execute(f"create role {DBA} login createrole createdb")
        make_database(server, "ledger", "fresh")
        ledger = Ledger(server, "ledger", "fresh")
        with psycopg.connect(ledger.dsn("postgres"), autocommit=True) as root, psycopg.connect(ledger.dsn()) as upgrade:
            root.execute("select aximo.grant_customer('postgres', '*')")
            vacuumed = "aximo_private.events"
            options = "insert_threshold = 1, insert_scale_factor = 0, cost_delay = 100, cost_limit = 1"
            options = options.replace("insert", "autovacuum_vacuum_insert").replace("cost", "autovacuum_vacuum_cost")
            root.execute(f"alter table {vacuumed} set ({options}); set statement_timeout = '60s'")
            emit_many(root, 2000)
            root.execute("select pg_stat_force_next_flush()")
            root.execute("set statement_timeout = '60s'")
            running = f"select from pg_stat_progress_vacuum where relid = '{vacuumed}'::regclass"
            while root.execute(running).rowcount == 0:
                root.execute("select pg_sleep(0.05)")
            upgrade.execute("set aximo.migration_attempts = 1")
            upgrade.execute(locks([vacuumed]))
            assert root.execute(running).rowcount == 0
            upgrade.rollback()


# A whole upgrade, from what a release left behind


@pytest.fixture
def released(server: EmbeddedServer) -> Iterator[Ledger]:
    with released_ledger(server, RELEASES[0]) as ledger:
        yield ledger


def locked_relation(ledger: Ledger) -> str:
    return planned(schema_state(ledger.dsn()))[0].locks[0]


def test_at_the_newest_version_nothing_is_locked(ledger: Ledger) -> None:
    reader = ledger.superuser()
    reader.execute("begin")
    reader.execute("lock table aximo_private.alembic_version, aximo_private.events, helix.runs")
    reader.execute("rollback; begin; lock table aximo_private.alembic_version in share row exclusive mode")
    reader.execute("select from aximo_private.events")
    dsn = psycopg.conninfo.make_conninfo(ledger.dsn(), options="-c aximo.migration_attempts=1")
    assert migrate(dsn).changed is False


def test_another_migration_is_waited_for_and_named(released: Ledger) -> None:
    other = released.connect()
    other.execute("begin")
    other.execute(preparation(None))
    assert held(released, other) == {("aximo_private.alembic_version", "ShareRowExclusiveLock")}
    # Which version there is can be read meanwhile.
    assert schema_state(released.dsn()).is_newest is False
    with pytest.raises(InstallationError) as error:
        migrate(psycopg.conninfo.make_conninfo(released.dsn(), options="-c aximo.migration_attempts=1"))
    assert error.value.rule == "migration_gets_its_locks"
    assert f"pid {other.info.backend_pid}" in str(error.value.detail)
    assert "aximo_private.alembic_version" in str(error.value.detail)
    timer = threading.Timer(1, lambda: other.execute("rollback"))
    timer.start()
    assert migrate(released.dsn()).changed
    timer.join()


def test_four_upgrades_at_once_are_one(released: Ledger) -> None:
    running = [upgrading(released) for _ in range(4)]
    outcomes = [(process.communicate()[1], process.returncode) for process in running]
    assert [outcome for outcome in outcomes if outcome[1] != 0] == []
    with released_ledger(released.server, RELEASES[0]) as alone:
        migrate(alone.dsn())
        assert catalog(released.server, released.name) == catalog(alone.server, alone.name)


def test_the_printed_script_takes_its_locks_alike_and_runs_once(released: Ledger) -> None:
    script = migration_script("0001_ledger").encode()
    (step, *_) = planned(schema_state(released.dsn()))
    assert preparation(None, begins="0001_ledger").encode() in script
    assert locks(step.locks, step.locks_from_writers).encode() in script
    reader = released.superuser()
    reader.execute("begin")
    reader.execute(f"select from {locked_relation(released)}")  # type: ignore[call-overload]
    with pytest.raises(psycopg.Error) as error:
        released.connect(options="-c aximo.migration_attempts=1").execute(script)
    assert error.value.diag.constraint_name == "migration_gets_its_locks"
    reader.execute("rollback")
    released.connect().execute(script)
    assert schema_state(released.dsn()).is_newest
    with released_ledger(released.server, RELEASES[0]) as other:
        migrate(other.dsn())
        assert catalog(released.server, released.name) == catalog(other.server, other.name)
    with pytest.raises(psycopg.Error) as error:
        released.connect().execute(script)
    assert (error.value.sqlstate, error.value.diag.constraint_name) == ("ZXVER", "script_fits_revision")


def test_the_command_says_who_holds_what_and_changes_nothing(released: Ledger) -> None:
    before = catalog(released.server, released.name)
    reader = released.superuser()
    reader.execute("begin")
    reader.execute(f"select from {locked_relation(released)}")  # type: ignore[call-overload]
    with pytest.raises(InstallationError) as error:
        migrate(psycopg.conninfo.make_conninfo(released.dsn(), options="-c aximo.migration_attempts=1"))
    assert error.value.rule == "migration_gets_its_locks"
    assert f"pid {reader.info.backend_pid}" in str(error.value.detail)
    reader.execute("rollback")
    assert catalog(released.server, released.name) == before


def test_what_a_database_says_about_isolation_keeps_no_migration_from_seeing_another(released: Ledger) -> None:
    # A snapshot from before the other one was committed would have both make the same.
    with psycopg.connect(released.server.dsn(), autocommit=True) as root:
        root.execute(
            sql.SQL("alter database {} set default_transaction_isolation to 'repeatable read'").format(
                sql.Identifier(released.name)
            )
        )
    other = released.connect()
    other.execute("begin")
    other.execute(preparation(None))
    process = upgrading(released)
    waiting = "select from pg_locks where not granted and relation = 'aximo_private.alembic_version'::regclass"
    root = released.superuser()
    root.execute("set statement_timeout = '60s'")
    while root.execute(waiting).rowcount == 0:
        root.execute("select pg_sleep(0.02)")
    other.execute("rollback")
    assert process.communicate()[1].count("Error") == process.returncode == 0
    assert schema_state(released.dsn()).is_newest
