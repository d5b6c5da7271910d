"""Installing and upgrading: every way leads to the same schema, or to nothing at all."""

from __future__ import annotations

import difflib
import hashlib
import inspect
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from aximo_db.client.errors import InstallationError
from aximo_db.client.ledger_cursors import LedgerCursor
from aximo_db.dba import migrate as migrate_module
from aximo_db.dba import preflight as preflight_module
from aximo_db.dba.assets import install_script
from aximo_db.dba.doctor import examine
from aximo_db.dba.migrate import HEAD_SCHEMA_VERSION, migrate, migration_script, schema_state
from aximo_db.dba.preflight import one_error, preflight
from aximo_db.dba.verify_log import verify_log
from aximo_db.dba.verify_metrics import verify_metrics
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, DBA, SETTINGS, Ledger, make_database
from tests.events import emit, emit_life

ROOT = Path(__file__).parent.parent
SNAPSHOTS = Path(__file__).parent / "snapshots"
_numbers = count()


@pytest.fixture
def database(server: EmbeddedServer) -> Iterator[Callable[..., str]]:
    """Makes empty databases of the DBA's, on every PostgreSQL; returns their names."""
    made: list[str] = []

    def make(options: str = "") -> str:
        name = f"install_{next(_numbers)}"
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(f"create database {name} owner {DBA} {options}")
        made.append(name)
        return name

    yield make
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        for name in made:
            connection.execute(f"drop database {name} with (force)")


@pytest.fixture
def login(server: EmbeddedServer) -> Iterator[Callable[..., str]]:
    """Makes logins; returns their names."""
    made: list[str] = []

    def make(attributes: str = "") -> str:
        name = f"installer_{next(_numbers)}"
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(f"create role {name} login {attributes}")
        made.append(name)
        return name

    yield make
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        for name in made:
            connection.execute(f"drop role if exists {name}")


def tool(server: EmbeddedServer, name: str) -> Path:
    path = server.bin_dir / name
    if not path.exists():
        pytest.skip(f"this PostgreSQL comes without {name}")
    return path


def run_tool(server: EmbeddedServer, name: str, *arguments: str, script: str | None = None) -> str:
    done = subprocess.run(
        [str(tool(server, name)), *arguments],
        input=script,
        capture_output=True,
        text=True,
        check=False,
        env={key: value for key, value in os.environ.items() if not key.startswith("PG")},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def psql(server: EmbeddedServer, name: str, *arguments: str, script: str | None = None, user: str = DBA) -> str:
    arguments = ("-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", server.dsn(user, name), *arguments)
    return run_tool(server, "psql", *arguments, script=script)


_OURS = "(select oid from pg_namespace where nspname in ('aximo', 'aximo_private', 'aximo_metrics', 'helix'))"

#: One query a kind of object. Names instead of oids, definitions as PostgreSQL prints them, and everything that can be
#: set by a later statement: owners, privileges, options, comments.
_CATALOG = {
    "schemas": f"""
        select nspname, pg_get_userbyid(nspowner), nspacl::text, obj_description(oid, 'pg_namespace')
        from pg_namespace where oid in {_OURS}""",
    "relations": f"""
        select oid::regclass::text, relkind::text, pg_get_userbyid(relowner), relacl::text, reloptions,
            relpersistence::text, relrowsecurity, relforcerowsecurity, relreplident::text, relhastriggers,
            case when relkind in ('v', 'm') then pg_get_viewdef(oid) end,
            case when relkind in ('i', 'I') then pg_get_indexdef(oid) end, obj_description(oid, 'pg_class')
        from pg_class where relnamespace in {_OURS}""",
    "columns": f"""
        select a.attrelid::regclass::text, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
            a.attcollation::regcollation::text, a.attstattarget, a.attstorage::text, a.attcompression::text,
            a.attidentity::text, a.attgenerated::text, a.attacl::text,
            -- Since its release of November 2026 (15.20), PostgreSQL keeps a number of its own there.
            array(select o from unnest(a.attoptions) as o where o !~ '^pg_attver=' order by o), pg_get_expr(d.adbin, d.adrelid),
            col_description(a.attrelid, a.attnum)
        from pg_attribute as a join pg_class as c on c.oid = a.attrelid
        left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where c.relnamespace in {_OURS} and a.attnum > 0 and not a.attisdropped""",
    "constraints": f"""
        select conrelid::regclass::text, contypid::regtype::text, conname, pg_get_constraintdef(oid), convalidated,
            condeferrable, obj_description(oid, 'pg_constraint')
        from pg_constraint where connamespace in {_OURS}""",
    "functions": f"""
        select oid::regprocedure::text, pg_get_userbyid(proowner), proacl::text, pg_get_functiondef(oid),
            obj_description(oid, 'pg_proc')
        from pg_proc where pronamespace in {_OURS}""",
    "types": f"""
        select oid::regtype::text, pg_get_userbyid(typowner), typacl::text, typtype::text, typnotnull, typdefault,
            format_type(typbasetype, typtypmod), typcollation::regcollation::text, obj_description(oid, 'pg_type')
        from pg_type where typnamespace in {_OURS}""",
    "policies": f"""
        select p.polrelid::regclass::text, p.polname, p.polcmd::text, p.polpermissive, p.polroles::regrole[]::text,
            pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid),
            obj_description(p.oid, 'pg_policy')
        from pg_policy as p join pg_class as c on c.oid = p.polrelid where c.relnamespace in {_OURS}""",
    "triggers": f"""
        select t.tgrelid::regclass::text, t.tgname, pg_get_triggerdef(t.oid), t.tgenabled::text,
            obj_description(t.oid, 'pg_trigger')
        from pg_trigger as t join pg_class as c on c.oid = t.tgrelid
        where c.relnamespace in {_OURS} and not t.tgisinternal""",
    "sequences": f"""
        select seqrelid::regclass::text, seqtypid::regtype::text, seqstart, seqincrement, seqmax, seqmin, seqcache,
            seqcycle
        from pg_sequence join pg_class as c on c.oid = seqrelid where relnamespace in {_OURS}""",
    "rules": f"""
        select ev_class::regclass::text, rulename, pg_get_ruledef(r.oid)
        from pg_rewrite as r join pg_class as c on c.oid = r.ev_class where relnamespace in {_OURS}""",
    "default privileges": """
        select pg_get_userbyid(defaclrole), defaclnamespace::regnamespace::text, defaclobjtype::text, defaclacl::text
        from pg_default_acl""",
    "other schemas": """
        select n.nspname, pg_get_userbyid(n.nspowner), n.nspacl::text, count(c.oid)
        from pg_namespace as n left join pg_class as c on c.relnamespace = n.oid
        where n.nspname !~ '^(pg_|information_schema)' group by n.oid""",
    "event types": "select * from aximo.event_types",
    "event kinds": "select * from helix.event_kinds",
    "grants": "select role_name, customer_id, granted_by from aximo_private.customer_grants",
    "revision": "select * from aximo_private.alembic_version",
}


def catalog(server: EmbeddedServer, name: str) -> list[str]:
    """Everything the ledger made, as lines of text in a fixed order."""
    with psycopg.connect(server.dsn("postgres", name), autocommit=True) as connection:
        connection.execute("set search_path = pg_catalog")
        return [
            f"{kind}: {line!r}"
            for kind, query in _CATALOG.items()
            for line in sorted(connection.execute(query).fetchall(), key=repr)
        ]


def dump(server: EmbeddedServer, name: str) -> list[str]:
    """The same by PostgreSQL's own tool, which knows what we forgot to look at."""
    text = run_tool(server, "pg_dump", "--schema-only", "-d", server.dsn("postgres", name))
    # Dumps carry a key that is new every time.
    lines = [line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]
    return [line for line in lines if line and not line.startswith("--")]


def differences(expected: list[str], got: list[str]) -> list[str]:
    return list(difflib.unified_diff(expected, got, lineterm="", n=0))


def install(server: EmbeddedServer, name: str, way: str) -> None:
    if way == "sql files":
        with psycopg.connect(server.dsn(DBA, name)) as connection:
            connection.execute(install_script())
    elif way == "psql -f sql/install.sql":
        psql(server, name, "-f", str(ROOT / "sql" / "install.sql"))
    elif way == "migrate":
        migrate(server.dsn(DBA, name))
    elif way == "migration script":
        psql(server, name, script=migration_script())
    elif way == "alembic upgrade head":
        run = subprocess.run(
            [sys.executable, "-m", "alembic", "upgrade", "head"],
            cwd=ROOT,
            env={**os.environ, "AXIMO_DB_URL": server.dsn(DBA, name)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr


WAYS = ["sql files", "psql -f sql/install.sql", "migration script", "alembic upgrade head"]


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_installing_makes_the_same_schema(
    server: EmbeddedServer, database: Callable[..., str], way: str
) -> None:
    migrated, other = database(), database()
    install(server, migrated, "migrate")
    install(server, other, way)
    expected = catalog(server, migrated)
    assert len(expected) > 200
    assert differences(expected, catalog(server, other)) == []
    assert differences(dump(server, migrated), dump(server, other)) == []


def test_a_dump_that_is_restored_is_the_same_schema(
    each_ledger: Ledger, database: Callable[..., str], tmp_path: Path
) -> None:
    server, restored, file = each_ledger.server, database(), str(tmp_path / "dump.sql")
    run_tool(server, "pg_dump", "-d", server.dsn("postgres", each_ledger.name), "-f", file)
    psql(server, restored, "-f", file, user="postgres")
    # A definition that is printed, read and printed again may be another text: then doctor would call it changed.
    assert [each.message for each in examine(server.dsn(DBA, restored)) if each.check == "drift"] == [
        each.message for each in examine(server.dsn(DBA, each_ledger.name)) if each.check == "drift"
    ]


def test_the_comparison_sees_a_change_of_every_kind(each_ledger: Ledger) -> None:
    before = catalog(each_ledger.server, each_ledger.name)
    changes = [
        "alter table aximo_private.events enable trigger append_only_row",
        "alter table aximo_private.events no force row level security",
        "alter table aximo_private.events alter payload set statistics -1",
        "alter view aximo.executions set (security_barrier = false)",
        "alter view aximo.executions owner to postgres",
        "alter function aximo.current_customer() security invoker",
        "alter function aximo.current_customer() set search_path = public",
        "alter function aximo.current_customer() volatile",
        "alter function aximo_private.refuse_change() owner to postgres",
        "create or replace function aximo_private.refuse_change() returns trigger language plpgsql as 'begin end'",
        "alter policy owner_reads_own_customer on aximo_private.events using (true)",
        "comment on policy owner_reads_own_customer on aximo_private.events is null",
        "comment on column aximo.events.payload is 'changed'",
        "grant select on aximo_private.events to aximo_reader",
        "grant select (payload) on aximo_private.events to aximo_reader",
        "grant usage on schema aximo_private to aximo_reader",
        "grant execute on function aximo.current_customer() to public",
        "grant usage on type aximo_private.actor to public",
        "alter domain aximo_private.actor set default 'system'",
        "alter default privileges for role aximo_owner grant execute on functions to public",
        "alter sequence aximo_private.events_position cache 10",
        "drop index aximo_private.events_by_time",
        "alter table aximo_private.events disable trigger append_only_statement",
    ]
    with psycopg.connect(each_ledger.dsn("postgres"), autocommit=True) as root:
        for change in changes:
            root.execute(change)
            after = catalog(each_ledger.server, each_ledger.name)
            assert differences(before, after) != [], change
            before = after


def test_the_installed_schema_has_the_version_that_the_package_expects(ledger: Ledger) -> None:
    connection = ledger.connect()
    assert connection.execute("select aximo.schema_version()").fetchone() == (HEAD_SCHEMA_VERSION,)
    assert connection.execute("select aximo.oldest_client() <= aximo.schema_version()").fetchone() == (True,)


def test_a_second_migration_does_nothing(ledger: Ledger) -> None:
    emit_life(ledger.connect(), "c1")
    before = catalog(ledger.server, ledger.name)
    rows = ledger.superuser().execute("select e::text from aximo_private.events as e").fetchall()
    migrate(ledger.dsn())
    migrate(ledger.dsn())
    assert catalog(ledger.server, ledger.name) == before
    assert ledger.superuser().execute("select e::text from aximo_private.events as e").fetchall() == rows


def test_a_migration_does_not_give_back_a_grant_that_was_taken_from_the_installer(each_ledger: Ledger) -> None:
    each_ledger.connect().execute("select aximo.revoke_customer(%s, '*')", [DBA])
    migrate(each_ledger.dsn())
    grants = each_ledger.superuser().execute("select * from aximo_private.customer_grants").fetchall()
    assert grants == []


def test_another_dba_may_go_on_where_the_first_one_left(
    server: EmbeddedServer, login: Callable[..., str], database: Callable[..., str]
) -> None:
    name, successor = database(), login("createrole")
    migrate(server.dsn(DBA, name))
    with psycopg.connect(server.dsn(), autocommit=True) as root:
        root.execute(f"grant aximo_owner, aximo_gatekeeper, aximo_recorder to {successor}")
        root.execute(f"alter database {name} owner to {successor}")
    before = catalog(server, name)
    migrate(server.dsn(successor, name))
    assert catalog(server, name) == before


def test_eight_migrations_at_once_make_one_schema(server: EmbeddedServer, database: Callable[..., str]) -> None:
    name, alone = database(), database()
    migrate(server.dsn(DBA, alone))
    # Processes: that is how replicas of a service start, and Alembic keeps its context in globals.
    command = [sys.executable, "-c", "import sys; from aximo_db.dba.migrate import migrate; migrate(sys.argv[1])"]
    running = [
        subprocess.Popen([*command, server.dsn(DBA, name)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    outcomes = [(process.communicate()[1], process.returncode) for process in running]
    assert [outcome for outcome in outcomes if outcome[1] != 0] == []
    assert catalog(server, name) == catalog(server, alone)


def test_two_databases_of_one_cluster_share_nothing_but_the_roles(
    server: EmbeddedServer, database: Callable[..., str]
) -> None:
    first, second = database(), database()
    migrate(server.dsn(DBA, first))
    migrate(server.dsn(DBA, second))
    with psycopg.connect(server.dsn(DBA, first), autocommit=True) as connection:
        emit(connection, "execution_triggered", customer_id="c1")
        connection.execute("select aximo.grant_customer('postgres', 'c1')")
    with psycopg.connect(server.dsn("postgres", second), autocommit=True) as connection:
        assert connection.execute("select * from aximo_private.events").fetchall() == []
        grants = connection.execute("select role_name, customer_id from aximo_private.customer_grants").fetchall()
        assert grants == [(DBA, "*")]


def test_the_installing_login_is_an_ordinary_one(server: EmbeddedServer, database: Callable[..., str]) -> None:
    with psycopg.connect(server.dsn(DBA, database())) as connection:
        rights = connection.execute(
            "select rolsuper, rolbypassrls, rolreplication from pg_roles where rolname = current_user"
        ).fetchone()
        assert rights == (False, False, False)
        connection.execute(install_script())
        extensions = connection.execute("select extname from pg_extension").fetchall()
        assert extensions == [("plpgsql",)]


_THEIRS = """
create table public.events (id integer primary key, payload text);
insert into public.events values (1, 'theirs');
create table public.alembic_version (version_num varchar(32) primary key);
insert into public.alembic_version values ('their_revision');
create function public.now() returns text language sql as 'select ''theirs''::text';
create function public.nextval(text) returns bigint language sql as 'select -1::bigint';
create type public.event_type as enum ('theirs');
create schema theirs create table event_types (a integer) create view executions as select 1 as a;
grant all on all tables in schema public to public;
"""


@pytest.mark.parametrize("way", ["migrate", *WAYS])
def test_other_peoples_tables_stay_as_they_are(server: EmbeddedServer, database: Callable[..., str], way: str) -> None:
    name = database()
    with psycopg.connect(server.dsn(DBA, name), autocommit=True) as connection:
        connection.execute(_THEIRS)
        connection.execute(f"alter database {name} set search_path = theirs, public, pg_catalog")
    their_dump = ("pg_dump", "--schema=public", "--schema=theirs", "-d", server.dsn("postgres", name))

    def theirs() -> list[str]:
        text = run_tool(server, *their_dump)
        return [line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]

    before = theirs()
    assert any("their_revision" in line for line in before)
    install(server, name, way)
    assert theirs() == before
    clean = database()
    install(server, clean, way)
    ours = [line for line in catalog(server, name) if not line.startswith("other schemas")]
    assert ours == [line for line in catalog(server, clean) if not line.startswith("other schemas")]
    with psycopg.connect(server.dsn(DBA, name), autocommit=True) as connection:
        receipt = emit(connection, "execution_triggered", customer_id="c1")
        assert receipt[2] is False


def ledger_objects(server: EmbeddedServer, name: str) -> list[Any]:
    with psycopg.connect(server.dsn("postgres", name)) as connection:
        connection.execute("set client_encoding = 'UTF8'")
        return connection.execute("select 1 from pg_namespace where nspname ~ '^(aximo|helix)'").fetchall()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_every_text_is_refused(
    server: EmbeddedServer, database: Callable[..., str], encoding: str
) -> None:
    name = database(f"encoding '{encoding}' template template0")
    with pytest.raises(InstallationError) as refused:
        migrate(server.dsn(DBA, name))
    assert refused.value.sqlstate == "ZXENV"
    assert refused.value.hint
    dsn = server.dsn(DBA, name)
    arguments = ["-X", "-v", "VERBOSITY=sqlstate", "-d", dsn, "-f", str(ROOT / "sql" / "install.sql")]
    run = subprocess.run([str(tool(server, "psql")), *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 3
    assert run.stderr.rstrip().endswith("ERROR:  ZXENV")
    assert ledger_objects(server, name) == []


def test_a_role_that_may_not_create_schemas_is_refused(
    server: EmbeddedServer, database: Callable[..., str], login: Callable[..., str]
) -> None:
    name, other = database(), login("createrole")
    with pytest.raises(InstallationError):
        migrate(server.dsn(other, name))
    with psycopg.connect(server.dsn(other, name)) as connection, pytest.raises(psycopg.DatabaseError) as refusal:
        connection.execute(install_script())
    assert refusal.value.sqlstate == "ZXENV"
    assert ledger_objects(server, name) == []


@pytest.mark.parametrize("attributes", ["nocreaterole", "createrole"])
def test_a_role_that_may_not_act_as_the_owner_is_refused(
    server: EmbeddedServer, login: Callable[..., str], database: Callable[..., str], attributes: str
) -> None:
    # The roles are the cluster's, made by somebody else for another database.
    name, other = database(), login(attributes)
    with psycopg.connect(server.dsn(), autocommit=True) as root:
        root.execute(f"alter database {name} owner to {other}")
    with psycopg.connect(server.dsn(), autocommit=True) as root:
        if attributes == "createrole" and root.info.server_version < 160000:
            return  # before PostgreSQL 16 CREATEROLE is enough to act as any role
    with pytest.raises(InstallationError) as refused:
        migrate(server.dsn(other, name))
    assert refused.value.hint
    with psycopg.connect(server.dsn(other, name)) as connection, pytest.raises(psycopg.DatabaseError) as refusal:
        connection.execute(install_script())
    assert ledger_objects(server, name) == []
    assert refusal.value.sqlstate == "ZXENV"


def test_a_role_of_the_ledgers_name_with_rights_it_must_not_have_is_refused(
    server: EmbeddedServer, database: Callable[..., str]
) -> None:
    # Rolled back each time: the roles are the cluster's, and other databases rely on them.
    with psycopg.connect(server.dsn("postgres", database()), autocommit=True) as root:
        names = root.execute("select rolname from pg_roles where rolname ~ '^aximo_'").fetchall()
        assert len(names) == 11
        for (role,) in names:
            for attribute in ("login", "superuser", "bypassrls", "createrole"):
                with root.transaction(force_rollback=True):
                    root.execute(sql.SQL("alter role {} {}").format(sql.Identifier(role), sql.SQL(attribute)))
                    with pytest.raises(psycopg.DatabaseError) as refusal, root.transaction():
                        root.execute(install_script())
                assert refusal.value.sqlstate == "ZXENV", (role, attribute)


@pytest.mark.parametrize("squatted", ["aximo", "aximo_metrics", "aximo_private", "helix"])
def test_a_schema_that_somebody_else_prepared_is_refused(
    server: EmbeddedServer, database: Callable[..., str], login: Callable[..., str], squatted: str
) -> None:
    name, squatter = database(), login()
    with psycopg.connect(server.dsn("postgres", name), autocommit=True) as root:
        root.execute(f"create schema {squatted} authorization {squatter}")
        root.execute(f"set role {squatter}")
        root.execute(
            f"create function {squatted}.refuse_change() returns trigger language plpgsql as 'begin return new; end'"
        )
    with pytest.raises(InstallationError):
        migrate(server.dsn(DBA, name))
    with psycopg.connect(server.dsn(DBA, name)) as connection, pytest.raises(psycopg.DatabaseError) as refusal:
        connection.execute(install_script())
    assert refusal.value.sqlstate == "ZXENV"
    with psycopg.connect(server.dsn("postgres", name), autocommit=True) as root:
        assert root.execute("select count(*) from pg_proc where proname = 'refuse_change'").fetchone() == (1,)
        root.execute(f"drop owned by {squatter}")


# What would keep it from being installed is told first

#: How a database or its roles come to be unfit, and the rule. The login that installs is {installer}.
UNFIT = {
    "not its database": ("revoke create on database {database} from {installer}", ["installer_owns_database"]),
    "a schema of others": (
        "create schema aximo; create view aximo.theirs as select 1 as one",
        ["schemas_are_ours"],
    ),
    "a role that can log in": ("alter role aximo_bi login", ["group_roles_are_harmless"]),
    "a role that is missing": (
        "alter role aximo_bi rename to aximo_was_bi; alter role {installer} nocreaterole",
        ["installer_creates_roles"],
    ),
    "owners of somebody else": (
        "revoke aximo_owner, aximo_meter from {installer}; alter role {installer} nocreaterole",
        ["installer_acts_as_owner"],
    ),
    "several": (
        "revoke create on database {database} from {installer}; alter role aximo_bi rename to aximo_was_bi;"
        " alter role {installer} nocreaterole; create schema helix; alter role aximo_reader createrole",
        ["installer_owns_database", "schemas_are_ours", "installer_creates_roles", "group_roles_are_harmless"],
    ),
}
_OWNERS = "aximo_owner, aximo_gatekeeper, aximo_recorder, aximo_sequencer, aximo_meter"


@pytest.mark.parametrize("unfit", UNFIT)
def test_what_the_sql_refuses_is_told_before_and_all_at_once(
    server: EmbeddedServer, database: Callable[..., str], login: Callable[..., str], unfit: str
) -> None:
    name, installer = database(), login("createrole")
    change, rules = UNFIT[unfit]
    with psycopg.connect(server.dsn("postgres", name)) as root:
        root.execute(f"grant {_OWNERS} to {installer}")
        root.execute(f"grant create on database {name} to {installer}")
        with root.transaction(force_rollback=True):
            # Unless something is wrong, nothing is found.
            root.execute(f"set local role {installer}")
            assert preflight(root) == []
        with root.transaction(force_rollback=True):
            root.execute(change.format(database=name, installer=installer))
            root.execute(f"set local role {installer}")
            found = preflight(root)
            assert [each.rule for each in found] == rules
            assert all(each.detail and each.hint for each in found)
            with pytest.raises(psycopg.DatabaseError) as refused, root.transaction():
                root.execute(install_script().replace("begin;", "").replace("commit;", ""))
            # It sees what it meets first.
            assert refused.value.diag.constraint_name in rules
        root.rollback()
    told = one_error(found)
    assert told.rule == rules[0]
    assert all(rule in f"{told.rule} {told.detail}" for rule in rules)


def test_every_reason_of_the_sql_is_one_of_the_preflight() -> None:
    of_sql = {
        rule
        for path in (ROOT / "sql" / "00_roles").glob("*.sql")
        for rule in re.findall(r"constraint = '(\w+)'", path.read_text(encoding="utf-8"))
    }
    of_python = set(re.findall(r'"(\w+)"', inspect.getsource(preflight)))
    assert len(of_sql) == 7
    assert of_sql <= of_python


def test_a_server_that_is_too_old_or_only_read_is_told(
    server: EmbeddedServer, database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = database()
    with psycopg.connect(server.dsn(DBA, name)) as connection:
        connection.execute("set transaction read only")
        assert [(each.rule, each.sqlstate) for each in preflight(connection)] == [("session_may_write", "25006")]
        connection.rollback()
        query = preflight_module._SQL["here"].replace("current_setting('server_version_num')::integer", "140099", 1)
        monkeypatch.setitem(preflight_module._SQL, "here", query)
        assert [each.rule for each in preflight(connection)] == ["server_recent_enough"]


def test_what_is_refused_beforehand_touches_nothing(
    server: EmbeddedServer, database: Callable[..., str], login: Callable[..., str]
) -> None:
    name, stranger = database(), login()
    for _ in range(2):
        with pytest.raises(InstallationError) as caught:
            migrate(server.dsn(stranger, name))
        assert caught.value.rule == "installer_owns_database"
        assert "installer_acts_as_owner" in (caught.value.detail or "")
    with psycopg.connect(server.dsn(DBA, name)) as connection:
        assert connection.execute("select count(*) from pg_namespace where nspname ~ 'aximo'").fetchone() == (0,)


def test_a_migration_says_what_it_did(server: EmbeddedServer, database: Callable[..., str]) -> None:
    dsn = server.dsn(DBA, database())
    told: list[str] = []
    assert schema_state(dsn).is_newest is False
    first = migrate(dsn, progress=told.append)
    assert (first.changed, first.before.revision, first.after.revision) == (True, None, first.after.head)
    assert (first.after.schema_version, first.after.is_newest) == (HEAD_SCHEMA_VERSION, True)
    assert (first.after.host, first.after.login) == (str(server.socket_dir), DBA)
    # Nobody is there yet whom it could keep waiting, or leave behind.
    assert told == ["installing the schema"]
    assert len(first.steps) == HEAD_SCHEMA_VERSION
    told.clear()
    again = migrate(dsn, progress=told.append)
    assert (again.changed, again.after, again.steps, told) == (False, first.after, (), [])


def test_a_fresh_cluster_takes_two_databases_at_once(tmp_path: Path) -> None:
    # The roles don't exist yet, and both installations make them.
    version = next(iter(BINARIES))
    with EmbeddedServer(tmp_path / "cluster", bin_dir=BINARIES[version], settings=SETTINGS) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as root:
            root.execute(f"create role {DBA} login createrole createdb")
        names = [f"twin_{n}" for n in range(4)]
        for name in names:
            make_database(server, name, None)

        def install_one(name: str) -> None:
            with psycopg.connect(server.dsn(DBA, name)) as connection:
                connection.execute(install_script())

        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(install_one, names))
        assert len({tuple(catalog(server, name)) for name in names}) == 1
        # Somebody else's role of the owner's name, in a cluster of its own.
        make_database(server, "late", None)
        with psycopg.connect(server.dsn(), autocommit=True) as root:
            root.execute("alter role aximo_owner login")
        with pytest.raises(InstallationError) as refused:
            migrate(server.dsn(DBA, "late"))
        assert refused.value.sqlstate == "ZXENV"
        assert refused.value.hint
        assert ledger_objects(server, "late") == []


def test_a_migration_that_fails_leaves_nothing(
    server: EmbeddedServer, database: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name, other = database(), database()
    broken = tmp_path / "migrations"
    for path in (ROOT / "migrations").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            copy = broken / path.relative_to(ROOT / "migrations")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    newest = sorted((broken / "versions").glob("*.sql"))[-1]
    newest.write_text(newest.read_text(encoding="utf-8") + "\nselect 1 / 0;\n", encoding="utf-8")
    monkeypatch.setattr(migrate_module, "migrations_path", lambda: broken)
    with pytest.raises(InstallationError) as failure:
        migrate(server.dsn(DBA, name))
    assert failure.value.rule == "22012"
    assert ledger_objects(server, name) == []
    # The same as a script: it stops, and its transaction is never committed.
    script = migration_script()
    with pytest.raises(AssertionError):
        psql(server, other, script=script)
    assert ledger_objects(server, other) == []
    monkeypatch.undo()
    migrate(server.dsn(DBA, name))
    assert ledger_objects(server, name) != []


@pytest.mark.parametrize("way", ["migrate", "script", "sql files", "in the connection string"])
def test_the_installer_is_granted_nothing_if_told_so(
    server: EmbeddedServer, database: Callable[..., str], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = database()
    if way == "migrate":
        migrate(server.dsn(DBA, name), grant_installer=False)
    elif way == "in the connection string":
        migrate(server.dsn(DBA, name) + "&options=-c%20aximo.grant_installer%3Doff")
    elif way == "script":
        psql(server, name, script="set aximo.grant_installer = off;\n" + migration_script())
    else:
        with psycopg.connect(server.dsn(DBA, name), options="-c aximo.grant_installer=off") as connection:
            connection.execute(install_script())
    with psycopg.connect(server.dsn(DBA, name), autocommit=True) as connection:
        assert connection.execute("select * from aximo_private.customer_grants").fetchall() == []
        with pytest.raises(psycopg.DatabaseError) as refusal:
            emit(connection, "execution_triggered", customer_id="c1")
        assert refusal.value.sqlstate == "ZXCUS"


def test_there_is_no_way_back(each_ledger: Ledger) -> None:
    emit_life(each_ledger.connect(), "c1")
    before = catalog(each_ledger.server, each_ledger.name)
    run = subprocess.run(
        [sys.executable, "-m", "alembic", "downgrade", "base"],
        cwd=ROOT,
        env={**os.environ, "AXIMO_DB_URL": each_ledger.dsn()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert catalog(each_ledger.server, each_ledger.name) == before
    assert each_ledger.superuser().execute("select count(*) from aximo_private.events").fetchone() == (5,)


# The files.

VERSIONS_FOLDER = ROOT / "migrations" / "versions"


def test_migrations_are_frozen() -> None:
    # Once released, a migration never changes: databases were made by it. A release adds the hash of its own.
    lines = (SNAPSHOTS / "migrations.sha256").read_text(encoding="utf-8").splitlines()
    released = dict(reversed(line.split("  ")) for line in lines)
    scripts = sorted(path.name for path in VERSIONS_FOLDER.glob("*.sql"))
    assert list(released) == scripts[: len(released)]
    for name, digest in released.items():
        assert hashlib.sha256((VERSIONS_FOLDER / name).read_bytes()).hexdigest() == digest, name
    assert "0001_ledger.sql" in released


def test_migrations_never_read_the_current_schema() -> None:
    for path in sorted((ROOT / "migrations").rglob("*.py")) + sorted(VERSIONS_FOLDER.glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\bsql/|_assets|install_script|sql_files|^\\i", text, re.MULTILINE), path.name


def test_every_migration_has_its_sql_and_every_sql_its_migration() -> None:
    programs = {path.stem for path in VERSIONS_FOLDER.glob("*.py") if path.stem != "__init__"}
    scripts = {path.stem for path in VERSIONS_FOLDER.glob("*.sql")}
    assert programs == scripts
    assert len(programs) == HEAD_SCHEMA_VERSION


def test_the_wheel_holds_the_schema_and_the_migrations(tmp_path: Path) -> None:
    built = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            str(ROOT),
            "--no-deps",
            "--no-build-isolation",
            "-q",
            "-w",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INDEX": "1"},
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = {name: archive.read(name) for name in archive.namelist()}
    for folder, packaged in (("sql", "aximo_db/_sql"), ("migrations", "aximo_db/_migrations")):
        paths = [p for p in (ROOT / folder).rglob("*") if p.suffix in (".sql", ".py", ".mako") and p.is_file()]
        assert paths
        for path in paths:
            assert inside.get(f"{packaged}/{path.relative_to(ROOT / folder).as_posix()}") == path.read_bytes(), (
                path.name
            )
    assert {
        "aximo_db/py.typed",
        *(f"aximo_db/report/{name}" for name in ("query.sql", "page.html", "page.css")),
    } <= set(inside)
    assert not any(name.startswith("tests/") for name in inside)
    # What the wheel holds installs by itself, away from this checkout.
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    script = "from aximo_db.dba.assets import install_script; from aximo_db.dba.migrate import migration_script as m; print(len(install_script()), len(m()))"  # fmt: skip
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(run.stdout.split()[0]) == len(install_script())


#: What changes how PostgreSQL prints names and values, or reads them.
PRINTING = {
    "quote_all_identifiers": "on",
    "extra_float_digits": "-15",
    "intervalstyle": "sql_standard",
    "datestyle": "German, DMY",
    "timezone": "Asia/Kathmandu",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "backslash_quote": "off",
    "xmloption": "document",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "check_function_bodies": "off",
    "plpgsql.variable_conflict": "use_column",
    "search_path": "pg_temp, public",
}


def test_how_a_database_prints_names_and_values_changes_nothing(
    server: EmbeddedServer, database: Callable[..., str], login: Callable[..., str]
) -> None:
    name = database()
    with psycopg.connect(server.dsn(), autocommit=True) as root:
        for setting, value in PRINTING.items():
            # A list, not the name of one schema.
            to = sql.SQL(value) if setting == "search_path" else sql.Literal(value)
            root.execute(
                sql.SQL("alter database {} set {} to {}").format(sql.Identifier(name), sql.SQL(setting), to)  # type: ignore[arg-type]
            )
    migrate(server.dsn(DBA, name))
    operator = login("in role aximo_writer, aximo_operator, aximo_auditor")
    dsn = server.dsn(operator, name)
    with psycopg.connect(server.dsn(DBA, name), autocommit=True) as owner:
        assert owner.execute("show quote_all_identifiers").fetchone() == ("on",)
        owner.execute("select aximo.grant_customer(%s, '*')", (operator,))
    with psycopg.connect(dsn, autocommit=True, cursor_factory=LedgerCursor) as connection:
        emit_life(connection, "c1")
        for n in range(300):
            emit(connection, "sla_breached", None, customer_id="c1", payload={"n": n / 7, "t": "a\\'b\"\n"})
        assert connection.execute("select numbered from aximo.advance_log()").fetchone() == (305,)
        connection.execute("call aximo.keep_metrics()")
        connection.execute("set aximo.customer_id = 'c1'")
        assert connection.execute("select view_name from aximo.refresh_metrics(true)").fetchall()
        connection.execute("select aximo.add_checkpoint(aximo.checkpoint_text())")
        assert connection.execute("select from aximo.verify_log()").rowcount == 0
    found = verify_log(dsn, customer_id="c1")
    assert (found.ok, found.size, found.checkpoints, found.problems) == (True, 305, 1, [])
    told = verify_metrics(dsn, customer_id="c1")
    assert [(d.column_name, d.stored, d.recomputed) for d in told.differences] == []
    assert (told.ok, told.counts_up_to) == (True, 305)
    assert [each for each in examine(server.dsn(DBA, name)) if each.level == "error"] == []
