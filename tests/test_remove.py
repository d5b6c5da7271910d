"""docs/ops/remove.sql takes the ledger out of a database, and nothing that is not the ledger's."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aximo_db.dba.migrate import migrate
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, DBA, INSTALLS, SETTINGS, VERSIONS, Ledger, make_database
from tests.log_support import emit_many

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "docs" / "ops" / "remove.sql"
SCHEMAS = ["aximo", "aximo_metrics", "aximo_private", "helix"]

#: Whatever names a role or a schema of the ledger, wherever it stands in this database or in the cluster.
LEFT = """
select format('schema %%s', n.nspname) from pg_namespace as n where n.nspname = any(%(schemas)s)
union all
select format('role %%s', r.rolname) from pg_roles as r where r.rolname ~ '^aximo_'
union all
select format('default privileges of %%s', f.defaclrole) from pg_default_acl as f
union all
select format('%%s depends on role %%s', pg_describe_object(s.classid, s.objid, 0), s.refobjid)
from pg_shdepend as s
where s.dbid in (0, (select oid from pg_database where datname = current_database())) and s.refclassid = 'pg_authid'::regclass
    and not exists (select from pg_roles as r where r.oid = s.refobjid and r.rolname !~ '^aximo_')
order by 1
"""


@pytest.fixture(params=VERSIONS)
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A cluster with no ledger in it."""
    if request.param not in BINARIES:
        pytest.skip(f"no PostgreSQL {request.param} binaries on this machine")
    if shutil.which("psql") is None and not (BINARIES[request.param] / "psql").exists():
        pytest.skip("no psql on this machine")
    server = EmbeddedServer(tmp_path / "own", bin_dir=BINARIES[request.param], settings=SETTINGS)
    server.start()
    try:
        with psycopg.connect(server.dsn(), autocommit=True) as root:
            root.execute(f"create role {DBA} login createrole createdb")
        yield server
    finally:
        server.stop("immediate")


def psql(ledger: Ledger, *more: str, named: str | None = None, login: str = DBA) -> subprocess.CompletedProcess[str]:
    beside = ledger.server.bin_dir / "psql"
    command = str(beside) if beside.exists() else "psql"
    name = ["-v", f"database={ledger.name if named is None else named}"] if named != "" else []
    return subprocess.run(
        [command, "-X", "-q", "-v", "ON_ERROR_STOP=1", *name, *more, "-d", ledger.dsn(login), "-f", str(SCRIPT)],
        capture_output=True,
        text=True,
        check=False,
    )


def left(ledger: Ledger) -> list[str]:
    with psycopg.connect(ledger.dsn("postgres")) as root:
        return [row[0] for row in root.execute(LEFT, {"schemas": SCHEMAS})]


def fill(ledger: Ledger) -> None:
    with psycopg.connect(ledger.dsn("postgres"), autocommit=True) as root:
        root.execute("create role a_service login; grant aximo_writer, aximo_operator, aximo_monitor to a_service")
        root.execute("select aximo.grant_customer('a_service', '*')")
        root.execute("create role meter login; grant usage on schema aximo to meter")
        root.execute("grant execute on function aximo.schema_version() to meter")
    with psycopg.connect(ledger.dsn("a_service"), autocommit=True) as service:
        emit_many(service, 50, "c1")
        service.execute("call aximo.keep_metrics()")


@pytest.mark.parametrize("install", INSTALLS)
def test_nothing_is_left_and_it_can_be_installed_again(own_server: EmbeddedServer, install: str) -> None:
    make_database(own_server, "ledger", install)
    ledger = Ledger(own_server, "ledger", install)
    fill(ledger)
    with psycopg.connect(ledger.dsn(), autocommit=True) as owner:
        owner.execute(
            "create schema ours; create table ours.notes (a int primary key default 1); create view ours.v as select * from ours.notes"
        )
        owner.execute((ROOT / "docs" / "hardening.sql").read_text(encoding="utf-8"))
    with psycopg.connect(ledger.dsn("postgres"), autocommit=True) as root:
        root.execute("alter role aximo_owner set statement_timeout = '1h'")
        root.execute("grant connect on database ledger to aximo_reader")
    assert left(ledger)
    for wrong in ("", "another"):
        refused = psql(ledger, named=wrong)
        assert refused.returncode == 3
        assert left(ledger)
    removed = psql(ledger)
    assert (removed.returncode, removed.stdout, removed.stderr) == (0, "", "")
    assert left(ledger) == []
    with psycopg.connect(ledger.dsn()) as owner:
        assert owner.execute("select count(*) from ours.v").fetchone() == (0,)
    assert psql(ledger).returncode == 3  # there is none any more
    with psycopg.connect(ledger.dsn("postgres"), autocommit=True) as root:
        # What hardening granted to logins stays with the database.
        root.execute("drop owned by a_service, meter; drop role a_service, meter")
        root.execute("grant connect, temporary on database ledger to public")
    migrate(ledger.dsn())
    fill(ledger)


def test_after_a_superusers_hardening_the_roles_stay_until_a_superuser_removes(own_server: EmbeddedServer) -> None:
    script = (ROOT / "docs" / "hardening.sql").read_text(encoding="utf-8")
    for remover, stays in ((DBA, True), ("postgres", False)):
        make_database(own_server, f"ledger_{remover}", "fresh")
        ledger = Ledger(own_server, f"ledger_{remover}", "fresh")
        for login in (DBA, "postgres"):
            with psycopg.connect(ledger.dsn(login), autocommit=True) as connection:
                connection.execute(script)
        removed = psql(ledger, login=remover)
        assert removed.returncode == 0, removed.stderr
        assert ("roles stay" in removed.stderr) == stays
        with psycopg.connect(ledger.dsn("postgres"), autocommit=True) as root:
            assert root.execute("select count(*) from pg_namespace where nspname = any(%s)", [SCHEMAS]).fetchone() == (
                0,
            )
            if stays:
                # What stands in the way is what the superuser granted.
                root.execute("revoke usage on language plpgsql from aximo_owner")
                assert [each for each in left(ledger) if not each.startswith("role ")] == []
    assert left(ledger) == []


def test_another_ledger_keeps_its_roles(own_server: EmbeddedServer) -> None:
    for name in ("one", "two"):
        make_database(own_server, name, "fresh")
    one, two = (Ledger(own_server, name, "fresh") for name in ("one", "two"))
    fill(two)
    before = memberships(two)
    removed = psql(one)
    assert removed.returncode == 0
    assert "the ledger's roles stay, as they are used in: two" in removed.stderr
    assert [each for each in left(one) if not each.startswith("role ")] == []
    assert memberships(two) == before
    with psycopg.connect(two.dsn("a_service"), autocommit=True) as service:
        emit_many(service, 1, "c1")
    assert psql(two).returncode == 0
    assert left(two) == []


def memberships(ledger: Ledger) -> list[Any]:
    with psycopg.connect(ledger.dsn("postgres")) as root:
        return root.execute(
            "select roleid::regrole::text, member::regrole::text from pg_auth_members order by 1, 2"
        ).fetchall()


@pytest.mark.parametrize(
    ("made", "named"),
    [
        ("create view public.theirs as select count(*) from aximo.events", "view public.theirs"),
        ("create table helix.artifacts (a int)", "table helix.artifacts"),
        ("create table public.theirs (a aximo.receipt)", "column a of public.theirs"),
        (
            "create table public.theirs (a int); create trigger t before insert on public.theirs"
            " for each row execute function aximo_private.refuse_change()",
            "trigger t on table public.theirs",
        ),
    ],
)
def test_what_others_made_stays_unless_it_is_said(own_server: EmbeddedServer, made: str, named: str) -> None:
    make_database(own_server, "ledger", "fresh")
    ledger = Ledger(own_server, "ledger", "fresh")
    with psycopg.connect(ledger.dsn("postgres"), autocommit=True) as root:
        root.execute(
            f"grant create on schema public to {DBA}; grant usage on type aximo.receipt to {DBA}; set role {DBA}; {made}"
        )
    refused = psql(ledger)
    assert refused.returncode == 3
    assert named in refused.stderr
    with psycopg.connect(ledger.dsn("postgres"), autocommit=True) as root:
        root.execute("select from aximo.events")
    assert psql(ledger, "-v", "others=remove").returncode == 0
    assert left(ledger) == []
