"""A PgBouncer's console: its clients wait while a customer's database name is led to another node."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

from aximo_db.client.connect import reached
from aximo_db.client.errors import InstallationError, told_by

__all__ = ["Bouncer"]


@dataclass(frozen=True)
class Bouncer:
    """A PgBouncer with a database name for the customer.

    Attributes:
        dsn: of its console, the database ``pgbouncer``.
        database: the name that the customer's clients use.
        on_switch: a command that makes this name lead to the target; it changes the configuration file, for example.
        timeout: seconds that its clients' transactions may take to end.
    """

    dsn: str
    database: str
    on_switch: str | None
    timeout: float

    def _tell(self, words: str, console: psycopg.Connection[object] | None = None) -> None:
        with contextlib.ExitStack() as stack:
            if console is None:
                console = stack.enter_context(contextlib.closing(self._console()))
            # The console knows the simple protocol only.
            psycopg.ClientCursor(console).execute(words.encode())

    def _console(self) -> psycopg.Connection[object]:
        return reached(self.dsn, autocommit=True, prepare_threshold=None)

    @property
    def _name(self) -> str:
        return '"{}"'.format(self.database.replace('"', '""'))

    def pause(self) -> None:
        """Lets clients wait, when those in a transaction have ended it.

        Raises:
            InstallationError: they did not in time, or there is no such name. They go on.
        """
        failed: list[psycopg.Error] = []
        console = self._console()

        def pause() -> None:
            try:
                self._tell(f"PAUSE {self._name}", console)
            except psycopg.Error as error:
                failed.append(error)

        waiting = threading.Thread(target=pause, daemon=True)
        try:
            waiting.start()
            waiting.join(self.timeout)
            is_late = waiting.is_alive()
            if is_late:
                self.resume()
                waiting.join(5)
        finally:
            console.close()
        # One that was killed during a move left it so.
        if is_late or (failed and "already" not in told_by(failed[0])):
            raise InstallationError(
                "clients of PgBouncer do not wait",
                rule="clients_wait",
                detail=f"database {self.database}: "
                + ("transactions were open for too long" if is_late else told_by(failed[0])),
                hint="See SHOW CLIENTS on its console, or give more time with --timeout. Nothing was changed.",
            )

    def switch(self, environment: Mapping[str, str]) -> None:
        """Leads the name to the other node: runs the command, and lets PgBouncer read its configuration again.

        Raises:
            InstallationError: the command failed.
        """
        if self.on_switch is not None:
            done = subprocess.run(
                shlex.split(self.on_switch),
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                raise InstallationError(
                    "the command of --on-switch failed",
                    rule="switch_succeeds",
                    detail=f"exit code {done.returncode}: {done.stderr.strip()[-500:]}",
                    hint="The customer is on the target already. Lead PgBouncer's name there, then RELOAD and RESUME.",
                )
        self._tell("RELOAD")

    def resume(self) -> None:
        """Lets clients go on; nothing happens if they do."""
        with contextlib.suppress(psycopg.errors.Error):
            self._tell(f"RESUME {self._name}")
