"""A migration gets its locks, or says who holds what: nobody without rights keeps it off, and nobody waits long behind it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from aximo_db import InstallationError
from aximo_db.client.errors import translate
from aximo_db.dba.migrate import migrate, migration_script, preparation
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import DBA, Ledger, make_database
from tests.events import emit

#: What every login could hold when the lock was an advisory one.
KEY = 7024608963063833698
TABLES = """
    select count(*) from pg_class as c
    where c.relnamespace in (select oid from pg_namespace where nspname in ('aximo', 'aximo_private', 'aximo_metrics', 'helix'))
        and c.relkind in ('r', 'p', 'v', 'm')
"""


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


def installed(ledger: Ledger, attempts: int) -> psycopg.Connection[Any]:
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
            installed(each_ledger, 2).execute(preparation("another"))
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
    assert emitted > 1
    assert (outcome[0].sqlstate, outcome[0].diag.constraint_name) == ("ZXENV", "migration_gets_its_locks")
    detail = str(outcome[0].diag.message_detail)
    assert f"pid {reader.info.backend_pid}, login long_reader, application a long report: AccessShareLock on" in detail
    assert "aximo_private.events" in detail
    assert isinstance(translate(outcome[0]), InstallationError)


def test_a_migration_goes_on_when_the_others_are_gone_and_holds_all_it_needs(each_ledger: Ledger) -> None:
    reader = each_ledger.superuser()
    reader.execute("begin")
    reader.execute("select from helix.runs")
    upgrade = installed(each_ledger, 30)
    timer = threading.Timer(2.5, lambda: reader.execute("commit"))
    timer.start()
    upgrade.execute(preparation("another"))
    timer.join()
    root = each_ledger.superuser()
    held = root.execute(
        "select count(distinct relation) from pg_locks where pid = %s and granted and mode = 'AccessExclusiveLock'"
        " and relation in (select oid from pg_class where relkind in ('r', 'p', 'v', 'm'))",
        [upgrade.info.backend_pid],
    ).fetchone()
    assert held == root.execute(TABLES).fetchone()
    # And nothing was changed.
    upgrade.execute("rollback")


def test_at_the_newest_version_nothing_is_locked(ledger: Ledger) -> None:
    reader = ledger.superuser()
    reader.execute("begin")
    reader.execute("select from aximo_private.events")
    migrate(ledger.dsn())


def test_the_printed_script_takes_its_locks_alike(one_ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    script = migration_script("0001_ledger")
    assert preparation(None) in script
    reader = one_ledger.superuser()
    reader.execute("begin")
    reader.execute("select from aximo_private.events")
    with pytest.raises(psycopg.Error) as error:
        installed(one_ledger, 1).execute(script.encode())
    assert error.value.diag.constraint_name == "migration_gets_its_locks"


def test_the_command_says_who_holds_what(one_ledger: Ledger, moved: Callable[[], None]) -> None:
    reader = one_ledger.superuser()
    reader.execute("begin")
    reader.execute("select from aximo_private.events")
    moved()
    with pytest.raises(InstallationError) as error:
        migrate(psycopg.conninfo.make_conninfo(one_ledger.dsn(), options="-c aximo.migration_attempts=1"))
    assert error.value.rule == "migration_gets_its_locks"
    assert f"pid {reader.info.backend_pid}" in str(error.value.detail)


@pytest.fixture
def moved(one_ledger: Ledger) -> Callable[[], None]:
    """Lets the database be at an older version than the newest: at none."""

    def move() -> None:
        with one_ledger.superuser() as root:
            root.execute("delete from aximo_private.alembic_version")

    return move
