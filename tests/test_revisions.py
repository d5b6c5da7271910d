"""Each revision says what it locks, locks nothing else, and neither reads nor rewrites a table while others wait for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from aximo_db.dba.migrate import migrate, migration_script, planned, schema_state
from aximo_db.dba.revisions import described, locks, with_locks
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import Ledger
from tests.upgrade_support import RELEASES, released_ledger

VERSIONS_FOLDER = Path(__file__).resolve().parent.parent / "migrations" / "versions"
REVISIONS = sorted(path.stem for path in VERSIONS_FOLDER.glob("*.sql"))
VERSION_TABLE = "aximo_private.alembic_version"
#: A constraint of each says that it has one row.
ONE_ROW = {VERSION_TABLE, "aximo_private.log_state", "aximo_private.metric_state"}
#: Locks that keep nobody from reading and writing, and are got while others read and write.
QUIET = ("AccessShareLock", "RowShareLock", "RowExclusiveLock")
SCHEMAS = "('aximo', 'aximo_private', 'aximo_metrics', 'helix')"

#: An index counts as its table.
HELD = f"""
select coalesce(i.indrelid, c.oid)::regclass::text as name, array_agg(l.mode)
from pg_locks as l join pg_class as c on c.oid = l.relation left join pg_index as i on i.indexrelid = c.oid
where l.pid = pg_backend_pid() and l.granted and l.mode <> all(%s) and c.relnamespace::regnamespace::text in {SCHEMAS}
    and c.oid::regclass::text = any(%s)
group by name
"""
FILES = f"select oid::regclass::text, relfilenode from pg_class where relnamespace::regnamespace::text in {SCHEMAS}"
WORK = f"""
select format('%I.%I', schemaname, relname), seq_scan, n_tup_upd + n_tup_del from pg_stat_xact_user_tables where schemaname in {SCHEMAS}
"""


class Parts(NamedTuple):
    """A revision as a script: before the line that names what it locks, the statement that locks, and what comes after."""

    before: str
    lock: str
    after: str


def parts(script: str, from_all: tuple[str, ...], from_writers: tuple[str, ...]) -> Parts:
    body = re.sub(r"\A\s*BEGIN;|COMMIT;\s*\Z", "", script)
    if not (from_all or from_writers):
        return Parts(body, "", "")
    statement = f"{locks(from_all, from_writers)};"
    before, after = body.split(statement)
    return Parts(before, statement, after)


def held(connection: psycopg.Connection[Any], there: list[str]) -> dict[str, str]:
    """What the transaction has locked of what was there, and how: from all, or from writers, or else by the locks' names."""
    found = {}
    for name, modes in connection.execute(HELD, [list(QUIET), there]).fetchall():
        strong = set(modes) - {"ShareUpdateExclusiveLock"}
        kinds = {"AccessExclusiveLock": "all", "ShareRowExclusiveLock": "writers"}
        found[name] = next((kinds[mode] for mode in kinds if mode in strong), " ".join(sorted(modes)))
    return found


def work(connection: psycopg.Connection[Any]) -> dict[str, tuple[int, int]]:
    return {name: (scans, changed) for name, scans, changed in connection.execute(WORK).fetchall()}


def problems(
    connection: psycopg.Connection[Any], script: Parts, from_all: tuple[str, ...], from_writers: tuple[str, ...]
) -> list[str]:
    """Runs a revision twice, each time rolled back, and says what others would wait for."""
    files = dict(connection.execute(FILES).fetchall())
    there = list(files)
    named = dict.fromkeys(from_all, "all") | dict.fromkeys(from_writers, "writers")
    found: list[str] = []

    def compare(when: str, expected: dict[str, str]) -> None:
        got = held(connection, there)
        for name in sorted(got.keys() | expected.keys()):
            if got.get(name) != expected.get(name):
                found.append(f"{when} {name} is locked from {got.get(name)}, not from {expected.get(name)}")

    only_version = {VERSION_TABLE: "writers"}
    connection.execute("begin")
    connection.execute(script.before.encode())
    compare("before the line", only_version)
    connection.execute(script.after.encode())
    # What is named and not locked would make others wait for nothing.
    compare("by itself", only_version | named)
    connection.execute("rollback")
    connection.execute("begin")
    connection.execute(script.before.encode())
    connection.execute(script.lock.encode())
    compare("at the line", only_version | named)
    before = work(connection)
    connection.execute(script.after.encode())
    compare("after the line", only_version | named)
    for name, (scans, changed) in sorted(work(connection).items()):
        was = before.get(name, (0, 0))
        if name in files and name not in ONE_ROW:
            found += [f"{name} is read as a whole"] * (scans > was[0]) + [f"rows of {name} are changed"] * (
                changed > was[1]
            )
    now = dict(connection.execute(FILES).fetchall())
    found += [f"{name} is rewritten" for name in files if now.get(name) != files[name]]
    connection.execute("rollback")
    return found


@pytest.mark.parametrize("revision", REVISIONS[1:])
def test_a_revision_locks_what_it_names_and_nothing_is_read_meanwhile(server: EmbeddedServer, revision: str) -> None:
    before = REVISIONS[REVISIONS.index(revision) - 1]
    with released_ledger(server, RELEASES[0], revision=before) as ledger:
        (step,) = planned(schema_state(ledger.dsn()), revision)
        named = step.locks, step.locks_from_writers
        script = migration_script(before, revision=revision)
        connection = ledger.connect()
        assert problems(connection, parts(script, *named), *named) == []


def doctored(change: str, named: str = "") -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """A revision with a change, as a script."""
    text = f"-- clients: old ones go on\n{named}{change};\n"
    step = described("doctored", "", text)
    return with_locks(text), step.locks, step.locks_from_writers


EVENTS = "-- locks: aximo_private.events\n"


@pytest.mark.parametrize(
    ("change", "named", "problem"),
    [
        ("alter table helix.runs replica identity full", "", "before the line helix.runs is locked from all"),
        ("alter table helix.runs replica identity full", EVENTS, "after the line helix.runs is locked from all"),
        ("create index on aximo_private.events (latency_ms)", "", "aximo_private.events is locked from ShareLock"),
        ("create index on aximo_private.events (latency_ms)", EVENTS, "aximo_private.events is read as a whole"),
        ("alter table aximo_private.events add column x uuid default gen_random_uuid()", EVENTS, "aximo_private.events is rewritten"),
        ("alter table aximo_private.events add check (latency_ms > -1)", EVENTS, "aximo_private.events is read as a whole"),
        ("update aximo_private.logs set high_position = high_position", EVENTS, "rows of aximo_private.logs are changed"),
        ("select 1", EVENTS, "by itself aximo_private.events is locked from None"),
        (
            "create trigger t before insert on aximo_private.events for each row execute function aximo_private.refuse_change()",
            EVENTS,
            "by itself aximo_private.events is locked from writers",
        ),
        ("comment on view aximo.events is ''", "", "before the line aximo.events is locked from ShareUpdateExclusiveLock"),
    ],
)  # fmt: skip
def test_what_others_would_wait_for_is_noticed(one_ledger: Ledger, change: str, named: str, problem: str) -> None:
    script, *names = doctored(change, named)
    lock = f"{locks(*names)};" if any(names) else ""
    before, after = script.split(lock) if lock else (script, "")
    connection = one_ledger.superuser()
    version = "lock table aximo_private.alembic_version in share row exclusive mode;"
    found = problems(connection, Parts(version + before, lock, after), *names)
    assert any(problem in each for each in found), found
    # And nothing else than the change is found.
    script, *names = doctored("select 1")
    assert problems(connection, Parts(version + script, "", ""), *names) == []


@pytest.mark.parametrize("revision", REVISIONS[1:])
def test_a_revision_says_which_clients_go_on(server: EmbeddedServer, revision: str) -> None:
    before = REVISIONS[REVISIONS.index(revision) - 1]
    with released_ledger(server, RELEASES[0], revision=before) as ledger:
        (step,) = planned(schema_state(ledger.dsn()), revision)
        oldest = "select aximo.oldest_client()"
        was = ledger.connect().execute(oldest).fetchone()
        migrate(ledger.dsn(), revision=revision)
        assert ledger.connect().execute(oldest).fetchone() == ((step.oldest_client,) if step.oldest_client else was)


def test_a_header_is_read_and_has_to_be_there() -> None:
    text = "-- clients: 3 and later\nselect 1;\n-- locks: a.b, c.d; from writers alone: e.f\nselect 2;\n"
    step = described("0009_x", "what it does", text)
    assert (step.oldest_client, step.locks, step.locks_from_writers) == (3, ("a.b", "c.d"), ("e.f",))
    assert described("0009_x", "", "-- clients: old ones go on\n").oldest_client is None
    assert described("0001_ledger", "", "select 1").locks == ()
    for header in ("", "-- clients: new ones\n", "-- clients: old ones go on, perhaps\n"):
        with pytest.raises(ValueError, match="clients"):
            described("0009_x", "", header + "select 1")
