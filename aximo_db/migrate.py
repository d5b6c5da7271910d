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
from aximo_db._connect import reached
from aximo_db._statements import default_dsn
from aximo_db.errors import InstallationError, told_by, translate

__all__ = ["HEAD_SCHEMA_VERSION", "connect", "migrate", "migration_script", "preparation"]

# What has to be there before Alembic looks for its version table, and every lock that a migration needs. Only an owner
# gets as far as to lock by ALTER TABLE, so nobody else can keep a migration off by a lock of his own choice. The owner
# is the one it has, so nothing changes.
_PREPARATION: Final = """do $$
declare
    target constant text := {target};
    -- What waits behind a lock that is waited for waits as long: a short time, and again after a pause.
    attempts constant integer := coalesce(nullif(current_setting('aximo.migration_attempts', true), '')::integer, 30);
    attempt integer := 0;
    present text;
    relation record;
    holders text;
begin
    perform set_config('lock_timeout', '2s', true);
    loop
        attempt := attempt + 1;
        begin
            create schema if not exists aximo_private;
            if to_regclass('aximo_private.alembic_version') is not null then
                execute 'select version_num from aximo_private.alembic_version' into present;
                exit when present = target;
            end if;
            for relation in
                select c.oid::regclass as name, pg_get_userbyid(c.relowner) as owner
                from pg_catalog.pg_class as c
                inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
                where n.nspname in ('aximo', 'aximo_private', 'aximo_metrics', 'helix')
                    and c.relkind in ('r', 'p', 'v', 'm')
                    and pg_has_role(c.relowner, 'usage')
                order by c.oid
            loop
                execute format('alter table %s owner to %I', relation.name, relation.owner);
            end loop;
            exit;
        exception
            -- What was locked in here is free again. A schema that is there now was made by another migration.
            when lock_not_available or deadlock_detected or unique_violation or duplicate_schema then
                if attempt >= attempts then
                    select string_agg(
                        format(
                            'pid %s, login %s, application %s: %s on %s',
                            l.pid, a.usename, a.application_name, l.mode, l.relation::regclass
                        ),
                        '; '
                        order by l.pid, l.relation, l.mode
                    ) into holders
                    from pg_catalog.pg_locks as l
                    inner join pg_catalog.pg_class as c on c.oid = l.relation
                    inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
                    left join pg_catalog.pg_stat_activity as a on a.pid = l.pid
                    where l.granted and l.pid <> pg_backend_pid() and c.relkind in ('r', 'p', 'v', 'm')
                        and l.database = (
                            select d.oid from pg_catalog.pg_database as d where d.datname = current_database()
                        )
                        and n.nspname in ('aximo', 'aximo_private', 'aximo_metrics', 'helix');
                    raise exception using
                        errcode = 'ZXENV',
                        message = 'others hold locks that the migration needs',
                        detail = coalesce(left(holders, 4000), 'they are gone by now'),
                        hint = 'Nothing was changed. Wait for them or pg_terminate_backend them, then migrate again.',
                        constraint = 'migration_gets_its_locks';
                end if;
                perform pg_sleep(1);
        end;
    end loop;
end;
$$"""


def preparation(target: str | None) -> str:
    """What comes before a migration: the schema of its version table, and every lock that it needs, by a few attempts.

    Args:
        target: the revision at which there is nothing to do, and nothing to lock; ``None`` for none.
    """
    quoted = "null" if target is None else "'{}'".format(target.replace("'", "''"))
    return _PREPARATION.replace("{target}", quoted)


def connect(dsn: str | None) -> psycopg.Connection[Any]:
    """A connection for the migration.

    Args:
        dsn: a libpq connection string; ``None`` for ``AXIMO_DB_URL``, else libpq's own ``PG*`` variables.

    Raises:
        InstallationError: the database can't hold every text.
    """
    connection = reached(dsn, application_name="aximo-db migrate")
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        connection.close()
        raise InstallationError(
            "the ledger needs a database encoded in UTF8",
            rule="database_is_utf8",
            detail=f"server_encoding is {encoding}",
            hint="Make another database: create database ... encoding 'UTF8' template template0.",
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
            "the migration failed, and nothing of it was kept",
            rule=cause.sqlstate,
            detail=told_by(cause),
            hint="The server's log has the statement. Mend what it complains about, and migrate again.",
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
