"""Alembic's entry: online over psycopg, offline as a script for psql. Both are one transaction."""

from __future__ import annotations

from logging import getLogger
from typing import Any

from alembic import context
from sqlalchemy import Connection, create_engine, pool

from aximo_db.dba.migrate import connect, preparation

VERSION_TABLE = {"version_table": "alembic_version", "version_table_schema": "aximo_private"}
logger = getLogger("alembic.env")


def run(connection: Connection) -> None:
    """Runs the migrations on a connection, inside one transaction."""
    with connection.begin():
        # Alembic reads its version table before the first migration could make its schema. The locks keep a second
        # upgrade waiting until this one is committed; then it finds nothing left to do.
        driver: Any = connection.connection.dbapi_connection
        driver.execute(preparation(context.script.get_current_head()))
        context.configure(connection=connection, transactional_ddl=True, **VERSION_TABLE)
        with context.begin_transaction():
            context.run_migrations()


def main() -> None:
    """Chooses between a connection handed over, a URL, and a script."""
    options = context.config.attributes
    if context.is_offline_mode():
        context.configure(
            dialect_name="postgresql",
            literal_binds=True,
            transactional_ddl=True,
            transaction_per_migration=False,
            **VERSION_TABLE,
        )
        with context.begin_transaction():
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
