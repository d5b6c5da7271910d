"""What the tests of upgrades share: ledgers as a release left them, and an upgrade in a process of its own."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql

from aximo_db.dba.migrate import migrate
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import DBA, Ledger, make_database
from tools.contract_since_release import RELEASED

ROOT = Path(__file__).resolve().parent.parent
RELEASES = sorted(path.name for path in (ROOT / RELEASED).iterdir() if path.is_dir())
#: The customers of the ledgers that tools/released.py makes.
CUSTOMERS = ("acme", "globex", "initech")
_restored: set[tuple[Path, str]] = set()
_numbers = count()


def _template(server: EmbeddedServer, release: str) -> str:
    """A database with the ledger that a release left behind, to be cloned; restored once a server."""
    name = f"released_{release.replace('.', '_')}"
    if (server.data_dir, release) in _restored:
        return name
    with psycopg.connect(server.dsn(), autocommit=True) as root:
        major = root.info.server_version // 10000
    dumps = {int(path.name[7:9]): path for path in (ROOT / RELEASED / release).glob("ledger-*.sql.gz")}
    dump = dumps[max(each for each in dumps if each <= major)]
    beside = server.bin_dir / "psql"
    command = str(beside) if beside.exists() else shutil.which("psql")
    assert command is not None, "no psql on this machine"
    make_database(server, name, None)
    done = subprocess.run(
        [command, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-d", server.dsn("postgres", name)],
        input=gzip.decompress(dump.read_bytes()),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    _restored.add((server.data_dir, release))
    return name


@contextmanager
def released_ledger(server: EmbeddedServer, release: str, *, revision: str | None = None) -> Iterator[Ledger]:
    """A ledger as a release left it, in a database of its own.

    Args:
        server: where.
        release: which release.
        revision: up to which revision it is upgraded.
    """
    name = f"upgraded_{next(_numbers)}"
    with psycopg.connect(server.dsn(), autocommit=True) as root:
        template = sql.Identifier(_template(server, release))
        root.execute(
            sql.SQL("create database {} owner {} template {}").format(
                sql.Identifier(name), sql.Identifier(DBA), template
            )
        )
    ledger = Ledger(server, name, "released")
    try:
        if revision is not None:
            migrate(ledger.dsn(), revision=revision)
        yield ledger
    finally:
        ledger.close()
        with psycopg.connect(server.dsn(), autocommit=True) as root:
            root.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
        ledger.drop_logins()


def upgrading(ledger: Ledger, *more: str, options: str = "") -> subprocess.Popen[str]:
    """Starts an upgrade as a DBA does, in a process of its own."""
    dsn = psycopg.conninfo.make_conninfo(ledger.dsn(), options=options)
    return subprocess.Popen(
        [sys.executable, "-m", "aximo_db", "migrate", "--db", dsn, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
