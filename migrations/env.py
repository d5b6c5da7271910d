"""Alembic's entry: online over psycopg, offline as a script for psql. Both with the same transactions."""

from __future__ import annotations

from itertools import islice
from logging import getLogger
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, pool

from aximo_db.dba.migrate import connect
from aximo_db.dba.revisions import preparation

VERSION_TABLE = {"version_table": "alembic_version", "version_table_schema": "aximo_private"}
logger = getLogger("alembic.env")


def run(connection: Connection) -> None:
    """Runs the migrations on a connection: an installation in one transaction, an upgrade in one for each revision.

    A revision's locks are held until its transaction ends, so nothing more is done in it.
    """
    context.configure(connection=connection, **VERSION_TABLE)
    asked = context.get_context().opts["fn"]
    found: list[Any] = []

    def next_steps(heads: tuple[str, ...], migration: MigrationContext) -> list[Any]:
        found[:] = islice(asked(heads, migration), 1 if heads else None)
        return found

    while True:
        with connection.begin():
            # Alembic reads its version table before the first migration could make its schema. The lock keeps a second
            # upgrade waiting until this one is committed; then it finds nothing left to do.
            driver: Any = connection.connection.dbapi_connection
            driver.execute(preparation(context.script.get_current_head()))
            context.configure(connection=connection, transactional_ddl=True, fn=next_steps, **VERSION_TABLE)
            with context.begin_transaction():
                context.run_migrations()
        if not found:
            return


def main() -> None:
    """Chooses between a connection handed over, a URL, and a script."""
    options = context.config.attributes
    if context.is_offline_mode():
        is_new = context.get_starting_revision_argument() is None
        context.configure(
            dialect_name="postgresql",
            literal_binds=True,
            transactional_ddl=True,
            transaction_per_migration=not is_new,
            **VERSION_TABLE,
        )
        with context.begin_transaction():
            if is_new:
                context.get_context().impl.static_output(preparation(None) + ";")
            context.run_migrations()
    elif options.get("connection") is not None:
        run(options["connection"])
    else:
        engine = create_engine(
            "postgresql+psycopg://", creator=lambda: connect(options.get("dsn")), poolclass=pool.NullPool
        )
        with engine.connect() as connection:
            run(connection)


main()
