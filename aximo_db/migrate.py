"""Installing and upgrading the schema, by Alembic.

Every revision carries its own frozen SQL, ``migrations/versions/NNNN_name.sql``, and never reads ``sql/``.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, Final

import psycopg
import sqlalchemy.exc
from alembic import command, context, op
from alembic.config import Config

from aximo_db._assets import HEAD_SCHEMA_VERSION, migrations_path
from aximo_db._statements import default_dsn
from aximo_db.errors import InstallationError, translate

__all__ = ["HEAD_SCHEMA_VERSION", "PREPARATION", "connect", "migrate", "migration_script"]

#: What has to be there before Alembic looks for its version table.
PREPARATION: Final = (
    # Any number of upgrades at once: one does the work, the others wait for it. The key is "aximo_db" in ASCII.
    "select pg_advisory_xact_lock(7024608963063833698)",
    "create schema if not exists aximo_private",
)


def connect(dsn: str | None) -> psycopg.Connection[Any]:
    """A connection for the migration.

    Args:
        dsn: a libpq connection string; ``None`` for ``AXIMO_DB_URL``, else libpq's own ``PG*`` variables.

    Raises:
        InstallationError: the database can't hold every text.
    """
    connection = psycopg.connect(default_dsn(dsn), application_name="aximo-db migrate", client_encoding="utf8")
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        connection.close()
        raise InstallationError(
            "the ledger needs a database encoded in UTF8",
            rule="database_is_utf8",
            detail=f"server_encoding is {encoding}",
            hint="create database ... encoding 'UTF8' template template0",
        )
    return connection


def run_frozen_sql(revision_file: str) -> None:
    """Runs the SQL file beside a revision's Python file; offline, writes it out as it is."""
    script = Path(revision_file).with_suffix(".sql").read_text(encoding="utf-8")
    if context.is_offline_mode():
        op.get_context().impl.static_output(script)
    else:
        # Straight to psycopg: SQLAlchemy would look for parameters in it.
        driver: Any = op.get_bind().connection.dbapi_connection
        driver.execute(script)


def refuse_downgrade() -> None:
    """Forward only: no downgrade drops an event."""
    raise InstallationError(
        "there is no way back: no downgrade drops an event",
        rule="forward_only",
        hint="Restore a backup into another database if you need the older schema.",
    )


def _config(output: io.StringIO | None = None) -> Config:
    config = Config(output_buffer=output) if output is not None else Config()
    config.set_main_option("script_location", str(migrations_path()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def migrate(dsn: str | None = None, *, revision: str = "head", grant_installer: bool = True) -> None:
    """Installs or upgrades the schema, in one transaction. At the newest version it does nothing.

    Args:
        dsn: a libpq connection string of the database's owner, a role with CREATEROLE; ``None`` for ``AXIMO_DB_URL``,
            else libpq's own variables.
        revision: up to which revision.
        grant_installer: whether the login that installs may work for every customer.

    Raises:
        InstallationError: the database or the role is not what is needed.
        AximoError: anything else the database refused.
    """
    config = _config()
    options = psycopg.conninfo.conninfo_to_dict(default_dsn(dsn))
    given = str(options.get("options") or os.environ.get("PGOPTIONS") or "")
    if not grant_installer:
        options["options"] = f"{given} -c aximo.grant_installer=off".strip()
    config.attributes["dsn"] = psycopg.conninfo.make_conninfo("", **options)
    try:
        command.upgrade(config, revision)
    except (psycopg.Error, sqlalchemy.exc.DBAPIError) as error:
        cause = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
        if not isinstance(cause, psycopg.Error):
            raise
        raise translate(cause) or InstallationError(
            "the migration failed, and nothing of it was kept", rule=cause.sqlstate, detail=str(cause)
        ) from cause


def migration_script(start: str | None = None, *, revision: str = "head") -> str:
    """The same as a script: ``psql -v ON_ERROR_STOP=1 -f``.

    Args:
        start: the revision the database is at; ``None`` for a database without the schema.
        revision: up to which revision.
    """
    output = io.StringIO()
    command.upgrade(_config(output), f"{start}:{revision}" if start else revision, sql=True)
    return output.getvalue()
