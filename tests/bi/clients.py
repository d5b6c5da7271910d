"""The programs that read the views, each as its users would: what they read, what they list, and as what it arrives.

A client that is not installed skips its tests. Its library is asked for by name when it is needed, so that this module
can be imported, and checked for types, without any of them.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.bi.tables import SCHEMA, Login, Table

HERE = Path(__file__).parent
JDBC_DRIVER = Path(os.environ.get("AXIMO_TEST_JDBC", "/usr/share/java/postgresql.jar"))
ODBC_DRIVER = "PostgreSQL Unicode"
INSTALLED = {"aximo", "aximo_metrics"}


@dataclass
class Listing:
    """What a client shows without reading a row."""

    #: By view, the comment of each of its columns; ``None`` where the client shows no comments.
    views: dict[str, dict[str, str | None]]
    #: The comment of each view, where the client shows them.
    comments: dict[str, str | None]
    #: All it was told, of every schema.
    text: str


@dataclass(frozen=True)
class Client:
    """A program that reads."""

    read: Callable[[Login, Sequence[str]], dict[str, Table]]
    #: What each type of PostgreSQL's arrives as, in the client's own words.
    arrives: Mapping[str, str]
    listing: Callable[[Login], Listing] | None = None
    shows_comments: bool = True
    #: The types whose values lose digits on the way, and what is left of them.
    lossy: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)


def library(name: str) -> Any:
    # Also if it is there, and what it needs of the system is not.
    reason = f"no {name} on this machine; pip install 'aximo-db[bi]'"
    return pytest.importorskip(name, reason=reason, exc_type=ImportError)


def query(view: str, quote: str = '"') -> str:
    return f"select * from {quote}{SCHEMA}{quote}.{quote}{view}{quote}"


def kind(value: Any) -> str:
    """What a value is, in Python's words; of a moment also whether it knows its time zone."""
    if isinstance(value, datetime):
        return "datetime with zone" if value.tzinfo else "datetime without zone"
    return type(value).__name__


def table(names: Iterable[str], rows: Iterable[Sequence[Any]], name: Callable[[Any], str] = kind) -> Table:
    """A table of values that say themselves what they are."""
    found = [tuple(row) for row in rows]
    kinds = [" or ".join(sorted({name(row[n]) for row in found if row[n] is not None})) for n, _ in enumerate(names)]
    return Table(dict(zip(names, kinds, strict=True)), found)


PYTHON = {
    "text": "str",
    "bigint": "int",
    "double precision": "float",
    "numeric(38,3)": "Decimal",
    "date": "date",
    "timestamp with time zone": "datetime with zone",
    "boolean": "bool",
}


# Drivers for Python.


def read_psycopg(login: Login, views: Sequence[str]) -> dict[str, Table]:
    with login.connect() as connection:
        found = {}
        for view in views:
            cursor = connection.execute(query(view))
            found[view] = table([each.name for each in cursor.description or []], cursor.fetchall())
        return found


def read_asyncpg(login: Login, views: Sequence[str]) -> dict[str, Table]:
    asyncpg = library("asyncpg")

    async def read() -> dict[str, Table]:
        connection = await asyncpg.connect(**login.words, database=login.database)
        try:
            found = {}
            for view in views:
                statement = await connection.prepare(query(view))
                rows = [tuple(row.values()) for row in await statement.fetch()]
                found[view] = table([each.name for each in statement.get_attributes()], rows)
            return found
        finally:
            await connection.close()

    return asyncio.run(read())


def read_pg8000(login: Login, views: Sequence[str]) -> dict[str, Table]:
    library("pg8000")
    connection = importlib.import_module("pg8000.dbapi").connect(**login.words, database=login.database)
    try:
        cursor, found = connection.cursor(), {}
        for view in views:
            cursor.execute(query(view))
            found[view] = table([each[0] for each in cursor.description], cursor.fetchall())
        return found
    finally:
        connection.close()


# SQLAlchemy, which Superset and pandas stand on.


def _engine(login: Login, driver: str) -> Any:
    library("sqlalchemy")
    library(driver)
    return importlib.import_module("sqlalchemy").create_engine(login.uri(f"postgresql+{driver}"))


def read_sqlalchemy(driver: str) -> Callable[[Login, Sequence[str]], dict[str, Table]]:
    def read(login: Login, views: Sequence[str]) -> dict[str, Table]:
        engine = _engine(login, driver)
        sqlalchemy, found = importlib.import_module("sqlalchemy"), {}
        try:
            with engine.connect() as connection:
                for view in views:
                    reflected = sqlalchemy.Table(view, sqlalchemy.MetaData(), schema=SCHEMA, autoload_with=connection)
                    rows = connection.execute(sqlalchemy.select(reflected)).fetchall()
                    found[view] = table([each.name for each in reflected.columns], rows)
        finally:
            engine.dispose()
        return found

    return read


def list_sqlalchemy(driver: str) -> Callable[[Login], Listing]:
    def listing(login: Login) -> Listing:
        engine = _engine(login, driver)
        inspector = importlib.import_module("sqlalchemy").inspect(engine)
        kinds = importlib.import_module("sqlalchemy.engine.reflection")
        every = {"kind": kinds.ObjectKind.ANY, "scope": kinds.ObjectScope.ANY}
        try:
            schemas = inspector.get_schema_names()
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Did not recognize type")  # of tables that no login reads
                everything = [
                    (
                        schema,
                        inspector.get_table_names(schema),
                        inspector.get_view_names(schema),
                        inspector.get_materialized_view_names(schema),
                        sorted(inspector.get_multi_columns(schema=schema, **every).items()),
                        sorted(inspector.get_multi_table_comment(schema=schema, **every).items()),
                        sorted(inspector.get_multi_indexes(schema=schema, **every).items()),
                        sorted(inspector.get_multi_pk_constraint(schema=schema, **every).items()),
                        sorted(inspector.get_multi_check_constraints(schema=schema, **every).items()),
                    )
                    for schema in schemas
                ]
            names = inspector.get_view_names(SCHEMA)
            assert SCHEMA in schemas
            return Listing(
                {
                    view: {each["name"]: each["comment"] for each in inspector.get_columns(view, SCHEMA)}
                    for view in names
                },
                {view: inspector.get_table_comment(view, SCHEMA)["text"] for view in names},
                repr(everything),
            )
        finally:
            engine.dispose()

    return listing


# Data frames.


def read_pandas(login: Login, views: Sequence[str]) -> dict[str, Table]:
    pandas, engine, found = library("pandas"), _engine(login, "psycopg"), {}
    try:
        for view in views:
            frame = pandas.read_sql(query(view), engine)
            # Of objects the dtype says nothing; what they are does.
            shown = table(
                frame.columns, frame.itertuples(index=False), lambda value: "" if value != value else kind(value)
            )
            types = {name: str(t) if str(t) != "object" else shown.columns[name] for name, t in frame.dtypes.items()}
            found[view] = Table(types, shown.rows)
    finally:
        engine.dispose()
    return found


def read_polars(engine: str) -> Callable[[Login, Sequence[str]], dict[str, Table]]:
    def read(login: Login, views: Sequence[str]) -> dict[str, Table]:
        polars = library("polars")
        library({"connectorx": "connectorx", "adbc": "adbc_driver_postgresql"}[engine])
        found = {}
        for view in views:
            frame = polars.read_database_uri(query(view), login.uri(), engine=engine)
            found[view] = Table({name: str(t) for name, t in frame.schema.items()}, frame.rows())
        return found

    return read


def _from_arrow(arrow: Any) -> Table:
    rows = zip(*(column.to_pylist() for column in arrow.columns), strict=True)
    return Table({each.name: str(each.type) for each in arrow.schema}, list(rows))


def read_adbc(login: Login, views: Sequence[str]) -> dict[str, Table]:
    library("adbc_driver_postgresql"), library("pyarrow")
    found = {}
    with importlib.import_module("adbc_driver_postgresql.dbapi").connect(login.uri()) as connection:
        for view in views:
            with connection.cursor() as cursor:
                cursor.execute(query(view))
                found[view] = _from_arrow(cursor.fetch_arrow_table())
    return found


def list_adbc(login: Login) -> Listing:
    library("adbc_driver_postgresql"), library("pyarrow")
    with importlib.import_module("adbc_driver_postgresql.dbapi").connect(login.uri()) as connection:
        catalogs = connection.adbc_get_objects(depth="all", catalog_filter=login.database).read_all().to_pylist()
    tables = [
        each
        for catalog in catalogs
        for schema in catalog["catalog_db_schemas"] or []
        if schema["db_schema_name"] == SCHEMA
        for each in schema["db_schema_tables"] or []
    ]
    return Listing(
        {t["table_name"]: {c["column_name"]: c["remarks"] for c in t["table_columns"]} for t in tables},
        {},
        repr(catalogs),
    )


# DuckDB, which attaches the whole database.


def _duckdb(login: Login) -> Any:
    duckdb, wheel = library("duckdb"), library("duckdb_extension_postgres_scanner")
    library("pyarrow")
    folder = Path(wheel.__file__).parent / "extensions"
    extension = folder / f"v{duckdb.__version__}" / "postgres_scanner.duckdb_extension"
    if not extension.exists():
        pytest.skip(f"no postgres_scanner for DuckDB {duckdb.__version__}; its wheel has that of another version")
    connection = duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
    connection.load_extension(str(extension))
    connection.execute("set TimeZone = 'UTC'")
    words = " ".join(f"{k}='{v}'" for k, v in {**login.words, "dbname": login.database}.items())
    connection.execute("attach '{}' as pg (type postgres, read_only)".format(words.replace("'", "''")))
    return connection


def read_duckdb(login: Login, views: Sequence[str]) -> dict[str, Table]:
    with _duckdb(login) as connection:
        return {
            view: _from_arrow(connection.execute(query(view).replace(" from ", " from pg.")).to_arrow_table())
            for view in views
        }


def list_duckdb(login: Login) -> Listing:
    with _duckdb(login) as connection:
        everything = [
            connection.execute(f"select * exclude ({without}) from {source}() where database_name = 'pg'").fetchall()
            for source, without in (
                ("duckdb_tables", "database_oid"),
                ("duckdb_views", "database_oid"),
                ("duckdb_columns", "database_oid"),
                ("duckdb_indexes", "database_oid"),
            )
        ]
        found: dict[str, dict[str, str | None]] = {}
        for view, column, comment in connection.execute(
            "select table_name, column_name, comment from duckdb_columns()"
            f" where database_name = 'pg' and schema_name = '{SCHEMA}' order by table_name, column_index"
        ).fetchall():
            found.setdefault(view, {})[column] = comment
        return Listing(found, {}, repr(everything))


# ODBC, as Power BI, Excel and Tableau use it.


def _odbc(login: Login) -> Any:
    pyodbc = library("pyodbc")
    if ODBC_DRIVER not in pyodbc.drivers():
        pytest.skip(f"no ODBC driver {ODBC_DRIVER!r} on this machine; apt-get install odbc-postgresql")
    return pyodbc.connect(
        f"Driver={{{ODBC_DRIVER}}};Server={login.host};Port={login.port};Database={login.database};"
        f"UID={login.name};PWD={{{login.password}}};BoolsAsChar=0;ConnSettings=SET TimeZone%3D'UTC';"
    )


def read_odbc(login: Login, views: Sequence[str]) -> dict[str, Table]:
    connection = _odbc(login)
    try:
        cursor, found = connection.cursor(), {}
        for view in views:
            cursor.execute(query(view))
            read = table([each[0] for each in cursor.description], cursor.fetchall())
            # ODBC has no moments with a zone: they arrive in the session's, which is UTC here.
            rows = [tuple(v.replace(tzinfo=UTC) if isinstance(v, datetime) else v for v in row) for row in read.rows]
            found[view] = Table(read.columns, rows)
        return found
    finally:
        connection.close()


def list_odbc(login: Login) -> Listing:
    connection = _odbc(login)
    try:
        cursor = connection.cursor()
        tables = [tuple(row) for row in cursor.tables().fetchall()]
        columns = [tuple(row) for row in cursor.columns().fetchall()]
        inside = [row for row in tables if row[1] in INSTALLED]
        everything = [tables, columns]
        for row in inside:
            everything.append([tuple(each) for each in cursor.statistics(row[2], schema=row[1]).fetchall()])
            everything.append([tuple(each) for each in cursor.primaryKeys(row[2], schema=row[1]).fetchall()])
        found: dict[str, dict[str, str | None]] = {}
        for row in columns:
            if row[1] == SCHEMA:
                found.setdefault(row[2], {})[row[3]] = row[11]
        return Listing(found, {row[2]: row[4] for row in inside if row[1] == SCHEMA}, repr(everything))
    finally:
        connection.close()


# Programs in other languages; each prints JSON.


def _run(command: Sequence[str], login: Login, **environment: str) -> list[Any]:
    done = subprocess.run(
        command,
        env={**os.environ, "PGPASSWORD": login.password, "TZ": "UTC", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _from_cells(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """Of cells that are null, or a pair of what the value is and its text."""
    read = table(columns, rows, lambda cell: str(cell[0]))
    return Table(read.columns, [tuple(None if cell is None else cell[1] for cell in row) for row in read.rows])


def _jdbc(login: Login, *arguments: str) -> list[Any]:
    java = shutil.which("java")
    if java is None:
        pytest.skip("no java on this machine")
    if not JDBC_DRIVER.exists():
        pytest.skip(f"no {JDBC_DRIVER} on this machine; apt-get install libpostgresql-jdbc-java")
    url = f"jdbc:postgresql://{login.host}:{login.port}/{login.database}"
    return _run(
        [
            java,
            "-XX:TieredStopAtLevel=1",
            "-cp",
            str(JDBC_DRIVER),
            str(HERE / "Read.java"),
            url,
            login.name,
            *arguments,
        ],
        login,
    )


def read_jdbc(login: Login, views: Sequence[str]) -> dict[str, Table]:
    read = _jdbc(login, "read", *(query(view) for view in views))
    return {view: _from_cells(*each) for view, each in zip(views, read, strict=True)}


def list_jdbc(login: Login) -> Listing:
    everything = _jdbc(login, "list")
    comments = {row["TABLE_NAME"]: row["REMARKS"] for row in everything if _is(row, SCHEMA, "TABLE_TYPE")}
    found: dict[str, dict[str, str | None]] = {}
    for row in everything:
        if _is(row, SCHEMA, "COLUMN_NAME"):
            found.setdefault(row["TABLE_NAME"], {})[row["COLUMN_NAME"]] = row["REMARKS"]
    return Listing(found, comments, repr(everything))


def _is(row: Mapping[str, Any], schema: str, having: str) -> bool:
    return row.get("TABLE_SCHEM") == schema and having in row and "REMARKS" in row


def read_node(login: Login, views: Sequence[str]) -> dict[str, Table]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on this machine")
    command = [node, str(HERE / "read.cjs"), login.host, str(login.port), login.database, login.name]
    if subprocess.run([node, "-e", "require('pg')"], capture_output=True, check=False).returncode != 0:
        pytest.skip("node has no pg on this machine; npm install pg, and name its node_modules in NODE_PATH")
    read = _run([*command, *(query(view) for view in views)], login)
    return {view: _from_cells(*each) for view, each in zip(views, read, strict=True)}


JAVA = {
    "text": "java.lang.String",
    "bigint": "java.lang.Long",
    "double precision": "java.lang.Double",
    "numeric(38,3)": "java.math.BigDecimal",
    "date": "java.sql.Date",
    "timestamp with time zone": "java.sql.Timestamp",
    "boolean": "java.lang.Boolean",
}
JAVASCRIPT = {
    "text": "String",
    "bigint": "String",  # a number of JavaScript's is a double
    "double precision": "Number",
    "numeric(38,3)": "String",
    "date": "Date",
    "timestamp with time zone": "Date",
    "boolean": "Boolean",
}
PANDAS = {
    "text": "str",
    "bigint": "int64",
    "double precision": "float64",
    "numeric(38,3)": "float64",
    "date": "date",
    "timestamp with time zone": "datetime64[us, UTC]",
    "boolean": "bool",
}
POLARS = {
    "text": "String",
    "bigint": "Int64",
    "double precision": "Float64",
    "numeric(38,3)": "Decimal(38, 3)",
    "date": "Date",
    "timestamp with time zone": "Datetime(time_unit='us', time_zone='UTC')",
    "boolean": "Boolean",
}
ARROW = {
    "text": "string",
    "bigint": "int64",
    "double precision": "double",
    "numeric(38,3)": "decimal128(38, 3)",
    "date": "date32[day]",
    "timestamp with time zone": "timestamp[us, tz=UTC]",
    "boolean": "bool",
}

CLIENTS: Mapping[str, Client] = {
    "psycopg": Client(read_psycopg, PYTHON),
    "asyncpg": Client(read_asyncpg, PYTHON),
    "pg8000": Client(read_pg8000, PYTHON),
    "sqlalchemy-psycopg": Client(read_sqlalchemy("psycopg"), PYTHON, list_sqlalchemy("psycopg")),
    "sqlalchemy-psycopg2": Client(read_sqlalchemy("psycopg2"), PYTHON, list_sqlalchemy("psycopg2")),
    "pandas": Client(read_pandas, PANDAS, lossy={"numeric(38,3)": float}),
    # connectorx knows no scale of a numeric, and gives it ten digits.
    "polars-connectorx": Client(
        read_polars("connectorx"), {**POLARS, "numeric(38,3)": "Decimal(precision=38, scale=10)"}
    ),
    "polars-adbc": Client(
        read_polars("adbc"),
        {
            **POLARS,
            "numeric(38,3)": "Extension('arrow.opaque', String, "
            '\'{"type_name": "numeric", "vendor_name": "PostgreSQL"}\')',
        },
    ),
    # Arrow's numbers have one scale a column, PostgreSQL's need not: ADBC delivers text, with all digits.
    "adbc": Client(
        read_adbc,
        {
            **ARROW,
            "numeric(38,3)": "extension<arrow.opaque[storage_type=string, type_name=numeric, vendor_name=PostgreSQL]>",
        },
        list_adbc,
    ),
    "duckdb": Client(read_duckdb, ARROW, list_duckdb, shows_comments=False),
    "odbc": Client(
        read_odbc, {**PYTHON, "timestamp with time zone": "datetime without zone"}, list_odbc, shows_comments=False
    ),
    "jdbc": Client(read_jdbc, JAVA, list_jdbc),
    # A Date of JavaScript's has milliseconds.
    "node": Client(
        read_node,
        JAVASCRIPT,
        lossy={
            "timestamp with time zone": lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
        },
    ),
}
