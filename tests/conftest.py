"""Servers, databases and logins for the tests.

One server of each PostgreSQL there is runs for the whole session. The schema is installed once a server, in a template
database; pytest-postgresql clones the template for each test.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from pytest_postgresql.janitor import DatabaseJanitor

from aximo_db.client.errors import InstallationError
from aximo_db.dba.assets import install_script
from aximo_db.dba.migrate import migrate
from aximo_db.local.embedded import EmbeddedServer, embedded_binaries
from tests.watcher import watched

DBA = "dba"
DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "max_prepared_transactions": "10",
    "log_min_messages": "fatal",
    "shared_buffers": "64MB",
    # Plans that are made dear on purpose would be compiled, for seconds, where PostgreSQL comes with a compiler.
    "jit": "off",
    # It would change plans, what they say, and locks whenever it likes. Tests that need its work do it.
    "autovacuum": "off",
}


def _binaries() -> dict[str, Path]:
    found: dict[str, Path] = {}
    with contextlib.suppress(InstallationError):
        found["18"] = embedded_binaries()
    if (DEBIAN_15 / "postgres").exists():
        found["15"] = DEBIAN_15
    extra = os.environ.get("AXIMO_TEST_PG_BIN")  # any other PostgreSQL: a folder of binaries
    if extra:
        found["extra"] = Path(extra)
    return found


BINARIES = _binaries()
QUICK = bool(os.environ.get("AXIMO_TEST_QUICK"))  # the first PostgreSQL alone, installed from sql/ alone
VERSIONS = tuple(BINARIES)[:1] if QUICK else ("18", "15", *(["extra"] if "extra" in BINARIES else []))
#: A command that upgrades a database, whose connection string is added to it: that of a later release, when these tests are run on what it
#: leaves behind.
UPGRADE = shlex.split(os.environ.get("AXIMO_TEST_UPGRADE", ""))
INSTALLS = ("fresh",) if QUICK and not UPGRADE else ("migrated",) if UPGRADE else ("fresh", "migrated")


#: The files that take longest, each minutes by itself. They are begun first, so that no worker is left alone with one at the end.
LONGEST = ("test_move.py", "test_noticed.py", "test_isolation.py", "test_upgrade.py", "test_install.py", "test_cli.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


#: Linux's folder in memory. The servers of a run take less than the room that has to be free there.
MEMORY = Path("/dev/shm")
MEMORY_ROOM = 8 * 2**30


def folder_of_servers() -> Path | None:
    """In memory if there is room, where a database is copied in a tenth of the time; else where temporary files are."""
    return (
        MEMORY
        if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_ROOM
        else None
    )


@pytest.fixture(scope="session", autouse=True)
def server_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the servers are. They and those that tests start for themselves end with the run, even if it is killed."""
    root = Path(tempfile.mkdtemp(prefix="aximo-test-", dir=folder_of_servers()))
    with watched(root, tmp_path_factory.getbasetemp()):
        yield root


@pytest.fixture(scope="session")
def servers(server_root: Path) -> Iterator[Callable[[str], EmbeddedServer]]:
    """Starts the server of a version when it is first asked for."""
    started: dict[str, EmbeddedServer] = {}

    def server(version: str) -> EmbeddedServer:
        if version not in BINARIES:
            pytest.skip(f"no PostgreSQL {version} binaries on this machine")
        if version not in started:
            instance = EmbeddedServer(server_root / version, bin_dir=BINARIES[version], settings=SETTINGS)
            instance.start()
            with psycopg.connect(instance.dsn(), autocommit=True) as connection:
                connection.execute(f"create role {DBA} login createrole createdb")
            for install in INSTALLS:
                make_database(instance, f"template_{install}", install)
            started[version] = instance
        return started[version]

    yield server
    for instance in started.values():
        instance.stop("immediate")


def make_database(server: EmbeddedServer, name: str, install: str | None) -> None:
    """A database of the DBA's, with the schema installed as an ordinary owner would, or without."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier(DBA)))
    if install == "fresh":
        with psycopg.connect(server.dsn(DBA, name)) as connection:
            connection.execute(install_script())
    elif install == "migrated":
        migrate(server.dsn(DBA, name))
        if UPGRADE:
            subprocess.run([*UPGRADE, server.dsn(DBA, name)], check=True, cwd="/", capture_output=True)


@dataclass
class Ledger:
    """A database with the schema, and a vocabulary to act in it."""

    server: EmbeddedServer
    name: str
    install: str
    _open: list[psycopg.Connection[Any]] = field(default_factory=list)
    _logins: list[str] = field(default_factory=list)

    def dsn(self, user: str = DBA) -> str:
        return self.server.dsn(user, self.name)

    def connect(self, user: str = DBA, **options: Any) -> psycopg.Connection[Any]:
        """A connection, in autocommit mode unless told otherwise; closed when the test ends."""
        connection: psycopg.Connection[Any] = psycopg.connect(self.dsn(user), **{"autocommit": True, **options})
        self._open.append(connection)
        return connection

    def superuser(self) -> psycopg.Connection[Any]:
        return self.connect("postgres")

    def login(self, name: str, *roles: str, customers: tuple[str, ...] = ()) -> str:
        """Makes a login with group roles and customers; it is dropped when the test ends."""
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("create role {} login").format(sql.Identifier(name)))
            self._logins.append(name)
            for role in roles:
                connection.execute(sql.SQL("grant {} to {}").format(sql.Identifier(role), sql.Identifier(name)))
        with psycopg.connect(self.dsn(DBA), autocommit=True) as connection:
            for customer in customers:
                connection.execute("select aximo.grant_customer(%s, %s)", (name, customer))
        return name

    def as_service(self, *customers: str, name: str = "service") -> psycopg.Connection[Any]:
        """Connects as a login that may emit and read for these customers; all of them, if none is named."""
        return self.connect(self.login(name, "aximo_writer", customers=customers or ("*",)))

    def as_customer(self, customer: str, *roles: str, name: str | None = None) -> psycopg.Connection[Any]:
        """Connects as a login bound to one customer; a reader, if no role is named."""
        login = name or f"login_{len(self._logins)}"
        return self.connect(self.login(login, *(roles or ("aximo_reader",)), customers=(customer,)))

    def close(self) -> None:
        for connection in self._open:
            connection.close()

    def drop_logins(self) -> None:
        if not self._logins:
            return
        with psycopg.connect(self.server.dsn(), autocommit=True) as connection:
            for name in self._logins:
                connection.execute(sql.SQL("drop role if exists {}").format(sql.Identifier(name)))


class _Cloner(DatabaseJanitor):
    """Copies the template's files, which takes a third of the time of copying it block by block through the WAL."""

    def init(self) -> None:
        assert self.template_dbname is not None
        query = sql.SQL("create database {} owner {} template {} strategy file_copy")
        with self.cursor() as cursor:
            cursor.execute(query.format(*map(sql.Identifier, (self.dbname, DBA, self.template_dbname))))


def _cloned(server: EmbeddedServer, install: str, name: str) -> Iterator[Ledger]:
    janitor = _Cloner(
        user="postgres",
        host=str(server.socket_dir),
        port=server.socket_port,
        dbname=name,
        template_dbname=f"template_{install}",
        connection_timeout=60,
    )
    janitor.init()
    ledger = Ledger(server, name, install)
    try:
        yield ledger
    finally:
        ledger.close()
        janitor.drop()
        ledger.drop_logins()


@pytest.fixture(params=VERSIONS)
def server(request: pytest.FixtureRequest, servers: Callable[[str], EmbeddedServer]) -> EmbeddedServer:
    """Every PostgreSQL on this machine."""
    return servers(request.param)


@pytest.fixture(params=INSTALLS)
def ledger(request: pytest.FixtureRequest, server: EmbeddedServer) -> Iterator[Ledger]:
    """A database of its own for the test, on every PostgreSQL, installed from sql/ and by migration."""
    yield from _cloned(server, request.param, "ledger_test")


@pytest.fixture
def one_ledger(servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    """A database of its own on the first PostgreSQL there is: for what does not depend on the server."""
    yield from _cloned(servers(next(iter(BINARIES))), INSTALLS[0], "ledger_test")


@pytest.fixture
def each_ledger(server: EmbeddedServer) -> Iterator[Ledger]:
    """A database of its own on every PostgreSQL, installed from sql/."""
    yield from _cloned(server, INSTALLS[0], "ledger_test")
