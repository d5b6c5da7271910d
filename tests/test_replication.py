"""The whole ledger by logical replication, as docs/dba.md says: into another cluster, and on from there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from aximo_db.dba.doctor import examine
from aximo_db.dba.verify_log import verify_log
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, DBA, VERSIONS, make_database
from tests.log_support import advance_all, emit_many

pytestmark = pytest.mark.heavy

#: What the installation of either side made, and nobody changes.
LEFT_OUT = ("aximo_private.alembic_version", "aximo.event_types", "helix.event_kinds")
#: Of what the installation made, the rows that come from the other side.
MADE_ANEW = ("log_state", "logs", "metric_state", "customer_grants")


@pytest.fixture
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[EmbeddedServer]]:
    """Two clusters with a ledger each."""
    version = request.param
    if version not in BINARIES:
        pytest.skip(f"no PostgreSQL {version} binaries on this machine")
    with ExitStack() as stack:
        made = []
        for name in ("from", "to"):
            server = EmbeddedServer(tmp_path / name, bin_dir=BINARIES[version], settings={"wal_level": "logical"})
            server.start()
            stack.callback(server.stop, "immediate")
            with psycopg.connect(server.dsn(), autocommit=True) as root:
                root.execute(f"create role {DBA} login createrole createdb")
            make_database(server, "ledger", "fresh")
            made.append(server)
        yield made


@pytest.mark.parametrize("servers", VERSIONS, indirect=True)
def test_a_replicated_ledger_goes_on_where_it_was(servers: list[EmbeddedServer]) -> None:
    source, target = (psycopg.connect(each.dsn("postgres", "ledger"), autocommit=True) for each in servers)
    writer = psycopg.connect(servers[0].dsn(DBA, "ledger"), autocommit=True)
    with source, target, writer:
        emit_many(writer, 300)
        advance_all(writer)
        tables = [
            name
            for (name,) in source.execute(
                "select c.oid::regclass::text from pg_class as c join pg_namespace as n on n.oid = c.relnamespace"
                " where n.nspname in ('aximo', 'aximo_private', 'helix') and c.relkind = 'r' order by 1"
            )
            if name not in LEFT_OUT
        ]
        source.execute(f"create publication ledger for table {', '.join(tables)}".encode())
        for name in MADE_ANEW:
            target.execute(f"delete from aximo_private.{name}".encode())
        as_owner = " with (run_as_owner = true)" if target.info.server_version >= 160000 else ""
        address = servers[0].dsn("postgres", "ledger")
        target.execute(f"create subscription ledger connection '{address}' publication ledger{as_owner}".encode())
        # While the first is copied and after it.
        emit_many(writer, 50)
        advance_all(writer)
        writer.execute("select from aximo.refresh_metrics()")
        deadline = time.monotonic() + 120
        rows = "select (select count(*) from aximo_private.log_entries), (select count(*) from aximo_private.activity_kept)"
        while target.execute(rows.encode()).fetchone() != source.execute(rows.encode()).fetchone():
            assert time.monotonic() < deadline
            time.sleep(0.2)
        root = verify_log(servers[0].dsn(DBA, "ledger"), customer_id="c1").root
        target.execute("drop subscription ledger")
        # Sequences do not come along.
        for sequence in ("aximo_private.events_position", "helix.run_events_event_id_seq"):
            row = source.execute("select pg_sequence_last_value(%s::regclass)", (sequence,)).fetchone()
            target.execute("select setval(%s, greatest(%s, 1))", (sequence, row[0] if row and row[0] else 1))
        dsn = servers[1].dsn(DBA, "ledger")
        found = verify_log(dsn, customer_id="c1")
        assert (found.ok, found.size, found.root) == (True, 350, root)
        assert [each.message for each in examine(dsn) if each.level == "error"] == []
        with psycopg.connect(dsn, autocommit=True) as there:
            emit_many(there, 5)
            advance_all(there)
            there.execute("select from aximo.refresh_metrics()")
        found = verify_log(dsn, customer_id="c1")
        assert (found.ok, found.size) == (True, 355)
