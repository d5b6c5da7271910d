"""What any login is told without reading a row: the catalog, comments, statistics, dumps, and who is connected."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.bi.conftest import Reporting
from tests.bi.data import MARKS
from tests.bi.tables import FORMS, SCHEMA, Login, views

pytestmark = pytest.mark.bi

#: The like of what BI tools ask on connecting: names and kinds of what there is, columns, keys, sizes, and rights.
TOOLS = {
    "Power BI, tables": """
        select table_schema, table_name, table_type from information_schema.tables
        where table_schema not in ('information_schema', 'pg_catalog') order by 1, 2
    """,
    "Power BI, columns": """
        select column_name, ordinal_position, is_nullable, data_type, numeric_precision, numeric_scale
        from information_schema.columns where table_schema = 'aximo_metrics' order by table_name, ordinal_position
    """,
    "Power BI, keys": """
        select i.constraint_schema || '_' || i.constraint_name, ii.column_name, ii.ordinal_position
        from information_schema.table_constraints as i
        join information_schema.key_column_usage as ii using (constraint_schema, constraint_name) order by 1, 3
    """,
    "Npgsql, types": """
        select n.nspname, t.oid, t.typname, t.typtype, t.typnotnull, t.typelem from pg_type as t
        join pg_namespace as n on n.oid = t.typnamespace order by 1, 3
    """,
    "Tableau, tables and their comments": """
        select n.nspname, c.relname, c.relkind, obj_description(c.oid, 'pg_class') from pg_class as c
        join pg_namespace as n on n.oid = c.relnamespace where c.relkind in ('r', 'v', 'm', 'f', 'p') order by 1, 2
    """,
    "Metabase, columns and their comments": """
        select c.table_schema, c.table_name, c.column_name, c.udt_name,
            col_description(format('%I.%I', c.table_schema, c.table_name)::regclass, c.ordinal_position)
        from information_schema.columns as c order by 1, 2, c.ordinal_position
    """,
    "Metabase, what may be read": """
        select n.nspname, c.relname, has_any_column_privilege(c.oid, 'select'), has_table_privilege(c.oid, 'insert')
        from pg_class as c join pg_namespace as n on n.oid = c.relnamespace order by 1, 2
    """,
    "Looker, views and their definitions": "select schemaname, viewname, definition from pg_views order by 1, 2",
    "DBeaver, sizes": """
        select c.oid::regclass::text, c.reltuples, c.relpages, pg_total_relation_size(c.oid), c.relacl::text, c.reloptions
        from pg_class as c where c.relnamespace::regnamespace::text like 'aximo%' order by 1
    """,
    "DBeaver, materialized views": "select * from pg_matviews order by schemaname, matviewname",
    "DataGrip, functions": """
        select n.nspname, p.proname, pg_get_function_arguments(p.oid), p.prosrc, obj_description(p.oid, 'pg_proc')
        from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace order by 1, 2, 3
    """,
    "DataGrip, dependencies": """
        select classid::regclass::text, pg_describe_object(classid, objid, objsubid),
            pg_describe_object(refclassid, refobjid, refobjsubid)
        from pg_depend order by 1, 2, 3
    """,
}


def assert_unmarked(text: str, about: Any) -> None:
    for mark in MARKS.values():
        assert mark not in text, about


@pytest.fixture
def program(reporting: Reporting) -> Any:
    """Runs one of PostgreSQL's own programs, of the server's version, as a login."""

    def run(login: Login, name: str, *arguments: str) -> tuple[str, str]:
        path = Path(reporting.ledger.server.bin_dir) / name
        if not path.exists():
            pytest.skip(f"no {name} beside this server")
        done = subprocess.run(
            [str(path), f"--dbname={login.uri()}", *arguments],
            env={**os.environ, "PGCLIENTENCODING": "UTF8", "LC_ALL": "C"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout, done.stderr

    return run


@pytest.mark.parametrize("tool", TOOLS)
def test_what_a_tool_asks_the_catalog_is_the_same_for_both_logins_and_names_no_customer(
    reporting: Reporting, tool: str
) -> None:
    answers = []
    for login in reporting.logins.values():
        with login.connect() as connection:
            answers.append(connection.execute(TOOLS[tool]).fetchall())
    assert answers[0] == answers[1]
    assert_unmarked(repr(answers), tool)


def test_psql_describes_the_same_to_both_logins_and_names_no_customer(reporting: Reporting, program: Any) -> None:
    listings = [
        "\\dn+ *",
        "\\d+ aximo*.*",
        "\\dt+ *.*",
        "\\dv+ *.*",
        "\\dm+ *.*",
        "\\di+ aximo*.*",
        "\\ds+ *.*",
        "\\dp *.*",
    ]
    listings += ["\\df+ aximo*.*", "\\dT+ aximo*.*", "\\dD+ aximo*.*", "\\dd *.*", "\\dX *.*", "\\du+ *", "\\ddp *"]
    arguments = ["--no-psqlrc", *(f"--command={each}" for each in listings)]
    (first, complaint), (second, _) = (program(login, "psql", *arguments) for login in reporting.logins.values())
    assert complaint == ""
    assert first == second
    assert "execution_health" in first
    assert_unmarked(first, "psql")


def test_a_dump_of_the_views_is_the_same_for_both_logins_and_holds_no_row(
    reporting: Reporting, program: Any, root: psycopg.Connection[Any]
) -> None:
    for arguments in (["--schema-only"], []):
        dumps = []
        for login in reporting.logins.values():
            dump, complaint = program(login, "pg_dump", f"--schema={SCHEMA}", *arguments)
            assert complaint == ""
            # A dump begins and ends with a word of its own, so that psql trusts nothing in between.
            dumps.append([line for line in dump.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))])
        assert dumps[0] == dumps[1]
        assert_unmarked("\n".join(dumps[0]), arguments)
        for view in views(root):
            assert any(line.startswith(f"CREATE VIEW {SCHEMA}.{view} ") for line in dumps[0])


def test_a_dump_of_the_whole_database_is_refused_without_a_word_about_customers(login: Login, program: Any) -> None:
    dump, complaint = program(login, "pg_dump")
    assert "permission denied" in complaint
    assert_unmarked(dump + complaint, "pg_dump")


def test_statistics_in_a_dump_name_no_customer(login: Login, program: Any, reporting: Reporting) -> None:
    with login.connect() as connection:
        if connection.info.server_version < 180000:
            pytest.skip("dumps have statistics from PostgreSQL 18 on")
    dump, complaint = program(login, "pg_dump", "--statistics-only")
    assert_unmarked(dump + complaint, "pg_dump --statistics-only")


def test_whatever_the_catalog_shows_while_others_work_names_no_customer(reporting: Reporting, login: Login) -> None:
    with login.connect() as connection:
        relations = connection.execute(
            """
            select c.oid::regclass::text from pg_catalog.pg_class as c
            where c.relnamespace in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
                and c.relkind in ('r', 'v') order by 1
            """
        ).fetchall()
        with psycopg.connect(reporting.ledger.dsn("bi_keeper")) as busy:
            for customer in MARKS:  # leaves open a transaction that works for a customer and has said so
                busy.execute(f"select set_config('aximo.customer_id', '{customer}', true)")
                busy.execute("select from aximo.events where customer_id = %s", [customer])
            read = 0
            for (relation,) in relations:
                try:
                    rows = connection.execute(f"select r::text from {relation} as r").fetchall()
                except psycopg.errors.InsufficientPrivilege as error:
                    assert_unmarked(str(error), relation)
                    continue
                read += 1
                for (row,) in rows:
                    assert_unmarked(row or "", relation)
        assert read > 100


def test_a_login_is_shown_no_statistics_of_columns(login: Login, root: psycopg.Connection[Any]) -> None:
    root.execute("analyze")
    with login.connect() as connection:
        for view in ("pg_stats", "pg_stats_ext", "pg_stats_ext_exprs"):
            found = connection.execute(f"select * from pg_catalog.{view} where schemaname like 'aximo%'").fetchall()
            assert found == [], view
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select from pg_catalog.pg_statistic")


def test_a_login_may_read_the_views_and_nothing_else(login: Login, root: psycopg.Connection[Any]) -> None:
    rights = "insert, update, delete, truncate, references, trigger"
    with login.connect() as connection:
        readable = connection.execute(
            """
            select c.relnamespace::regnamespace::text || '.' || c.relname
            from pg_class as c
            where c.relnamespace::regnamespace::text like 'aximo%' and c.relkind <> 'S'
                and (has_table_privilege(c.oid, 'select') or has_any_column_privilege(c.oid, 'select'))
            order by 1
            """
        ).fetchall()
        assert [name for (name,) in readable] == [f"{SCHEMA}.{view}" for view in views(root)]
        writable = connection.execute(
            f"""
            select c.oid::regclass from pg_class as c
            where c.relnamespace::regnamespace::text like 'aximo%' and c.relkind <> 'S'
                and has_table_privilege(c.oid, '{rights}')
            """
        ).fetchall()
        assert writable == []


def test_every_view_is_a_security_barrier(root: psycopg.Connection[Any]) -> None:
    query = "select relname from pg_class where relnamespace = %s::regnamespace and relkind = 'v' and {} order by 1"
    barrier = query.format("'security_barrier=true' = any(reloptions)")
    assert [name for (name,) in root.execute(barrier, [SCHEMA])] == views(root)


def test_every_column_has_one_of_the_documented_types(root: psycopg.Connection[Any]) -> None:
    found = root.execute(
        """
        select c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod)
        from pg_attribute as a join pg_class as c on c.oid = a.attrelid
        where c.relnamespace = %s::regnamespace and c.relkind = 'v' and a.attnum > 0 and not a.attisdropped
        """,
        [SCHEMA],
    ).fetchall()
    assert [(name, declared) for name, declared in found if declared not in FORMS] == []
