"""Installing and upgrading the schema, by Alembic.

Every revision carries its own frozen SQL, ``migrations/versions/NNNN_name.sql``, and never reads ``sql/``.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
import sqlalchemy.exc
from alembic import command, context, op
from alembic.config import Config
from alembic.script import ScriptDirectory

from aximo_db.client.connect import reached
from aximo_db.client.errors import InstallationError, SchemaVersionError, told_by, translate
from aximo_db.client.statements import default_dsn
from aximo_db.dba.assets import HEAD_SCHEMA_VERSION, migrations_path
from aximo_db.dba.preflight import is_installed, one_error, preflight
from aximo_db.dba.revisions import Revision, announced, described, preparation, with_locks

__all__ = [
    "HEAD_SCHEMA_VERSION",
    "Migration",
    "SchemaState",
    "check_revision",
    "connect",
    "join_fleet",
    "migrate",
    "migration_script",
    "planned",
    "schema_state",
]


def connect(dsn: str | None) -> psycopg.Connection[Any]:
    """A connection for the migration.

    Args:
        dsn: a libpq connection string; ``None`` for ``AXIMO_DB_URL``, else libpq's own ``PG*`` variables.

    Raises:
        InstallationError: the ledger can't be installed there; the detail has every reason.
    """
    connection = reached(dsn, application_name="aximo-db migrate")
    try:
        problems = preflight(connection)
        connection.rollback()
        if problems:
            raise one_error(problems)
    except BaseException:
        connection.close()
        raise
    return connection


@dataclass(frozen=True, slots=True)
class SchemaState:
    """What schema a database has, and which one this package has.

    Attributes:
        database, host, port, login: where, and who looked.
        server_version: PostgreSQL's, as it writes it.
        revision: the newest migration applied; ``None`` if there is none, or if the login may not see it.
        schema_version: what ``aximo.schema_version()`` says; ``None`` if the ledger is not there.
        head: the newest migration of this package.
        attempts: how often a migration tries to get its locks there.
        ledger: the name of the ledger that it is a node of; ``None`` if the login may not see it.
        node: which node; 0 for a ledger by itself.
    """

    database: str
    host: str
    port: int
    login: str
    server_version: str
    revision: str | None
    schema_version: int | None
    head: str
    attempts: int
    ledger: str | None = None
    node: int | None = None

    @property
    def is_absent(self) -> bool:
        """Whether the ledger is not there at all."""
        return self.revision is None and self.schema_version is None

    @property
    def is_newest(self) -> bool:
        """Whether there is nothing to do for this package."""
        if self.revision is None:
            return self.schema_version == HEAD_SCHEMA_VERSION
        return self.revision == self.head


@dataclass(frozen=True, slots=True)
class Migration:
    """What a migration did.

    Attributes:
        before, after: the database's state.
        seconds: how long it took.
        steps: the revisions that were run.
    """

    before: SchemaState
    after: SchemaState
    seconds: float
    steps: tuple[Revision, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether there was anything to do."""
        return self.before != self.after


_ATTEMPTS: Final = "select coalesce(nullif(current_setting('aximo.migration_attempts', true), ''), '30')::integer"
_SEES_NODE: Final = """
select has_schema_privilege(n.oid, 'usage') and has_column_privilege(c.oid, a.attnum, 'select')
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
inner join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attname = 'node'
where n.nspname = 'aximo_private' and c.relname = 'log_state'
"""
_MAY_SEE: Final = """
select has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where n.nspname = 'aximo_private' and c.relname = 'alembic_version'
"""


def schema_state(dsn: str | None = None) -> SchemaState:
    """Which schema a database has. Changes nothing.

    Args:
        dsn: a libpq connection string; ``None`` for ``AXIMO_DB_URL``, else libpq's own variables.

    Raises:
        NotConnectedError: there is no such server, it refuses the login, or it does not know the database.
        psycopg.errors.InsufficientPrivilege: the ledger is there, and the login may see nothing of it.
    """
    with reached(dsn, application_name="aximo-db migrate") as connection:
        revision, schema_version = None, None
        ledger, node = None, None
        if is_installed(connection):
            row = connection.execute(_MAY_SEE).fetchone()
            if row is not None and row[0]:
                row = connection.execute("select version_num from aximo_private.alembic_version").fetchone()
                revision = row[0] if row else None
            row = connection.execute("select aximo.schema_version()").fetchone()
            schema_version = row[0] if row else None
            ledger, node = _node_of(connection)
        row = connection.execute(_ATTEMPTS).fetchone()
        info = connection.info
        return SchemaState(
            info.dbname,
            info.host,
            info.port,
            info.user,
            info.parameter_status("server_version") or str(info.server_version),
            revision,
            schema_version,
            _scripts().get_current_head() or "",
            row[0] if row else 0,
            ledger,
            node,
        )


def _node_of(connection: psycopg.Connection[Any]) -> tuple[str | None, int | None]:
    """The ledger's name and the node, as far as the login may see them and the schema has them."""
    row = connection.execute(_SEES_NODE).fetchone()
    if row is None or not row[0]:
        return None, None
    row = connection.execute("select ledger, node from aximo_private.log_state").fetchone()
    return (row[0], row[1]) if row else (None, None)


def join_fleet(dsn: str | None, ledger: str | None, node: int | None) -> None:
    """Makes a database a node of a fleet; what is left out stays as it is.

    Args:
        dsn: a libpq connection string of the database's owner.
        ledger: the name of the ledger, the same on all nodes.
        node: a number of its own, 0 to 1023.

    Raises:
        InstallationError: it has numbered events under another name, or run events of another node.
    """
    with reached(dsn, application_name="aximo-db migrate") as connection:
        try:
            connection.execute(
                "select aximo.join_fleet(coalesce(%s::text, s.ledger), coalesce(%s::integer, s.node))"
                " from aximo_private.log_state as s",
                (ledger, node),
            )
        except psycopg.Error as error:
            meaning = translate(error)
            if meaning is None:
                raise
            raise meaning from error


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _known() -> list[str]:
    """The revisions of this package, oldest first."""
    return [script.revision for script in _scripts().walk_revisions()][::-1]


def check_revision(revision: str | None, *, hint: str = '"aximo-db migrate --status" names the newest one.') -> None:
    """Raises an error if this package has no such revision.

    Args:
        revision: its name; ``None`` for none at all.
        hint: what to do about it.

    Raises:
        SchemaVersionError: this package has no such revision.
    """
    known = _known()
    if revision is not None and revision not in known:
        raise SchemaVersionError(
            f"this package has no revision {revision}",
            rule="revision_known",
            detail=f"it has {', '.join(known)}",
            hint=hint,
        )


def _described(revision: str) -> Revision:
    script = _scripts().get_revision(revision)
    return described(revision, script.doc, _script_beside(script.path))


def planned(state: SchemaState, revision: str = "head") -> tuple[Revision, ...]:
    """What a migration is going to do.

    Args:
        state: what the database has.
        revision: up to which revision.

    Raises:
        SchemaVersionError: this package has no such revision.
    """
    target = state.head if revision == "head" else revision
    check_revision(target)
    known = _known()
    present = state.revision
    if present is None and state.schema_version is not None:
        # A login that may not see the revision; each counts the schema's version up.
        present = known[state.schema_version - 1] if state.schema_version <= len(known) else state.head
    if present is not None and present not in known:
        return ()
    first = 0 if present is None else known.index(present) + 1
    return tuple(_described(each) for each in known[first : known.index(target) + 1])


def _script_beside(revision_file: str) -> str:
    return Path(revision_file).with_suffix(".sql").read_text(encoding="utf-8")


def run_frozen_sql(revision_file: str) -> None:
    """Runs the SQL file beside a revision's Python file, and takes its locks where it says so; offline, prints it."""
    script = with_locks(_script_beside(revision_file))
    if context.is_offline_mode():
        if op.get_context().get_current_heads():
            # A transaction of its own; that of an installation began with it.
            before = context.script.get_revision(Path(revision_file).stem).down_revision
            script = f"{preparation(None, begins=str(before))};\n{script}"
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


def migrate(
    dsn: str | None = None,
    *,
    revision: str = "head",
    grant_installer: bool = True,
    ledger: str | None = None,
    node: int | None = None,
    progress: Callable[[str], object] | None = None,
) -> Migration:
    """Installs or upgrades the schema. At the newest version it does nothing.

    An installation is one transaction, and so is each revision of an upgrade.

    Args:
        dsn: a libpq connection string of the database's owner, a role with CREATEROLE; ``None`` for ``AXIMO_DB_URL``,
            else libpq's own variables.
        revision: up to which revision; one that the database is past is nothing to do.
        grant_installer: whether the login that installs may work for every customer.
        ledger: the name of the ledger that it becomes a node of; left out, it keeps its own.
        node: which node it becomes, 0 to 1023; left out, it stays the one that it is.
        progress: is told what is going to be done, line by line, if there is anything to do.

    Returns:
        What was done.

    Raises:
        InstallationError: the database or the role is not what is needed, and nothing was changed. Or it can't be that
            node, and the schema is installed.
        SchemaVersionError: the database is at a revision that this package does not have, or it has none of that name.
        AximoError: anything else the database refused.
    """
    began = time.monotonic()
    options = psycopg.conninfo.conninfo_to_dict(default_dsn(dsn))
    address = psycopg.conninfo.make_conninfo("", **options)
    check_revision(None if revision == "head" else revision)
    before = _state_if_seen(address)
    steps: tuple[Revision, ...] = ()
    if before is not None:
        check_revision(before.revision, hint="A newer package migrated the database: upgrade this one.")
        steps = planned(before, revision)
        if before.revision is not None and not steps:
            after = _joined(address, before, ledger, node)
            return Migration(before, after, time.monotonic() - began)
        if progress is not None:
            for line in announced(steps, is_new=before.is_absent, attempts=before.attempts):
                progress(line)
    config = _config()
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
            "the migration failed, and nothing of the revision was kept",
            rule=cause.sqlstate,
            detail=told_by(cause),
            hint="The server's log has the statement. Mend what it complains about, and migrate again.",
        ) from cause
    after = _joined(address, schema_state(address), ledger, node)
    return Migration(before or after, after, time.monotonic() - began, steps)


def _joined(address: str, state: SchemaState, ledger: str | None, node: int | None) -> SchemaState:
    """The state after the database has become the node that was asked for."""
    if ledger is None and node is None:
        return state
    join_fleet(address, ledger, node)
    return schema_state(address)


def _state_if_seen(dsn: str) -> SchemaState | None:
    """The state, or ``None`` if it can't be told: then it is for the preflight to say why."""
    try:
        return schema_state(dsn)
    except psycopg.Error:
        return None


def migration_script(start: str | None = None, *, revision: str = "head") -> str:
    """The same as a script: ``psql -v ON_ERROR_STOP=1 -q -f``.

    Args:
        start: the revision the database is at; ``None`` for a database without the schema.
        revision: up to which revision.

    Raises:
        SchemaVersionError: this package has no such revision.
    """
    check_revision(start, hint='"aximo-db migrate --status" tells which one the database has.')
    check_revision(None if revision == "head" else revision)
    output = io.StringIO()
    command.upgrade(_config(output), f"{start}:{revision}" if start else revision, sql=True)
    return output.getvalue()
