"""A ledger on this machine: the embedded PostgreSQL, the schema, and logins to work with."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from aximo_db.dba.migrate import migrate
from aximo_db.files.output import write_text
from aximo_db.local.embedded import EmbeddedServer

__all__ = ["DATABASE", "OWNER", "SERVICE", "LocalLedger"]

DATABASE: Final = "aximo"
#: The login that owns the database: CREATEROLE, no superuser, as a DBA's would be anywhere.
OWNER: Final = "aximo_admin"
#: A login that emits, reads and keeps the log going, for every customer.
SERVICE: Final = "aximo_service"


class LocalLedger:
    """The embedded server with the ledger installed in it.

    Args:
        data_dir: the data directory.
        port: a TCP port on 127.0.0.1 to listen on as well, with passwords; ``None`` for the Unix socket only.
        bin_dir: the folder of PostgreSQL's binaries; the embedded ones if left out.
        settings: server settings.
    """

    def __init__(
        self,
        data_dir: Path | str,
        *,
        port: int | None = None,
        bin_dir: Path | str | None = None,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.server = EmbeddedServer(data_dir, port=port, bin_dir=bin_dir, settings=settings)

    def start(self, progress: Callable[[str], object] | None = None) -> bool:
        """Starts the server, makes database and logins if they are not there, and brings the schema up to date.

        Args:
            progress: is told of each step before it is made, and of none that there is no need for.

        Returns:
            Whether a server was started; none is if one runs.
        """
        was_running = self.server.pid is not None
        try:
            self.server.start(progress)
            self._install(progress)
        except BaseException:
            if not was_running:
                self.server.stop()
            raise
        return not was_running

    def _install(self, progress: Callable[[str], object] | None) -> None:
        say = progress or (lambda _: None)
        with psycopg.connect(self.server.dsn(), autocommit=True) as connection:
            for name, rights in ((OWNER, "createrole createdb"), (SERVICE, "")):
                if connection.execute("select from pg_roles where rolname = %s", (name,)).fetchone() is None:
                    connection.execute(sql.SQL("create role {} login " + rights).format(sql.Identifier(name)))
            if connection.execute("select from pg_database where datname = %s", (DATABASE,)).fetchone() is None:
                say(f"making the database {DATABASE}, and the logins {OWNER} and {SERVICE}")
                connection.execute(
                    sql.SQL("create database {} owner {}").format(sql.Identifier(DATABASE), sql.Identifier(OWNER))
                )
            if self.server.port is not None:
                for name, password in self._passwords().items():
                    connection.execute(
                        sql.SQL("alter role {} password {}").format(sql.Identifier(name), sql.Literal(password))
                    )
        owner = self.server.dsn(OWNER, DATABASE)
        migrate(owner, progress=progress)
        with psycopg.connect(owner, autocommit=True) as connection:
            connection.execute(
                sql.SQL("grant aximo_writer, aximo_operator, aximo_auditor to {}").format(sql.Identifier(SERVICE))
            )
            connection.execute("select aximo.grant_customer(%s, '*')", (SERVICE,))

    def dsns(self) -> dict[str, str]:
        """Connection strings by what they are for."""
        found = {"owner": self.server.dsn(OWNER, DATABASE), "service": self.server.dsn(SERVICE, DATABASE)}
        if self.server.port is not None:
            for name, password in self._passwords().items():
                key = "owner" if name == OWNER else "service"
                found[f"{key}_tcp"] = self.server.dsn(name, DATABASE, password=password)
        return found

    def _passwords(self) -> dict[str, str]:
        path = self.server.data_dir / "aximo_passwords.json"
        if not path.exists():
            write_text(path, json.dumps({name: secrets.token_urlsafe(24) for name in (OWNER, SERVICE)}))
        passwords: dict[str, str] = json.loads(path.read_text())
        return passwords
