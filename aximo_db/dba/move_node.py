"""A node of a fleet, as the move of a customer sees it: a connection, and what is asked and done there."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, NoReturn

import psycopg
from psycopg.rows import namedtuple_row

from aximo_db.client.connect import reached
from aximo_db.client.errors import translate
from aximo_db.dba.assets import named_statements

__all__ = ["Node", "Placement", "Table", "name_of"]

_SQL: Final = named_statements("dba/move.sql")


class Placement(NamedTuple):
    """Where a node says that the customer is. No placement: it is simply here, or was never heard of.

    Attributes:
        state: ``arriving``, ``leaving`` or ``gone``.
        node: the other node.
        was_here: of one that is arriving: whether it was here before.
        since: since when, by the node's clock.
        seconds: for how long.
    """

    state: str
    node: int
    was_here: bool
    since: datetime
    seconds: float


class Table(NamedTuple):
    """A table that moves.

    Attributes:
        name: with its schema.
        is_kept: whether rows are only added to it.
        columns: names and types.
    """

    name: str
    is_kept: bool
    columns: str


def name_of(ledger: str, customer: str) -> str:
    """The name of a customer's publication, slot and subscription: the same on both nodes, whoever moves it."""
    return "aximo_move_" + hashlib.sha256(f"{ledger}/{customer}".encode()).hexdigest()[:16]


def _raise(error: psycopg.Error) -> NoReturn:
    meaning = translate(error)
    if meaning is None:
        raise error
    raise meaning from error


@dataclass
class Node:
    """A node, over one connection in autocommit mode.

    Attributes:
        role: ``source`` or ``target``, for errors.
        dsn: how it was reached.
        customer: who moves.
        connection: to it.
    """

    role: str
    dsn: str
    customer: str
    connection: psycopg.Connection[Any]

    @classmethod
    def reach(cls, role: str, dsn: str, customer: str) -> Node:
        """Connects, for the customer.

        Raises:
            NotConnectedError: there is no such server, it refuses the login, or it does not know the database.
        """
        connection = reached(
            dsn,
            autocommit=True,
            prepare_threshold=None,
            application_name="aximo-db move",
        )
        try:
            # A statement of a move takes as long as there are rows.
            for setting in ("statement_timeout", "idle_session_timeout", "lock_timeout", "jit"):
                connection.execute(f"set {setting} = 0".encode())
            # Of a mover that was killed, what it waits for ends, and so does its lock.
            connection.execute("set client_connection_check_interval = 1000")
            connection.execute("select set_config('aximo.customer_id', %s, false)", (customer,))
        except BaseException:
            connection.close()
            raise
        return cls(role, dsn, customer, connection)

    def ask(self, name: str, /, **values: Any) -> list[Any]:
        """The rows of one of the statements of ``move.sql``."""
        try:
            cursor = self.connection.cursor(row_factory=namedtuple_row)
            cursor.execute(_SQL[name].encode(), {"customer": self.customer, **values})
            return cursor.fetchall() if cursor.description is not None else []
        except psycopg.Error as error:
            _raise(error)

    def one(self, name: str, /, **values: Any) -> Any:
        """The first value of its first row; ``None`` if it has none."""
        rows = self.ask(name, **values)
        return rows[0][0] if rows else None

    def run(self, statement: str) -> None:
        """Runs a statement that is made here: of publications and subscriptions, which take no parameters."""
        try:
            self.connection.execute(statement.encode())
        except psycopg.Error as error:
            _raise(error)

    def rights(self, login: str | None = None) -> Any:
        """What the session's login may do, or another one; ``None`` if there is none of that name."""
        rows = self.ask("rights", login=login)
        return rows[0] if rows else None

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction in which the login may write the tables that move.

        The owner of the tables took these rights from itself, for nobody writes there by mistake. A member of it gives
        them to its login alone. They are taken back in the same transaction, but while a subscription of a move works
        with them: then in the one that drops the last.
        """
        with self.connection.transaction():
            rights = self.rights()
            if rights.is_superuser:
                yield
                return
            self.ask("lock_rights")
            tables = self.tables()
            every = ", ".join(each.name for each in tables)
            state = ", ".join(each.name for each in tables if not each.is_kept)
            self.run(f"grant insert on {every} to {rights.login}")
            self.run(f"grant update, delete on {state} to {rights.login}")
            yield
            self.take_rights_back(rights.login)

    def take_rights_back(self, login: str) -> None:
        """Takes back what a login gave itself to write the tables that move, unless a move of its own is under way."""
        if not self.one("subscribes", login=login):
            every = ", ".join(each.name for each in self.tables())
            self.run(f"revoke insert, update, delete on {every} from {login}")

    def placement(self) -> Placement | None:
        """Where this node says that the customer is."""
        rows = self.ask("placement")
        return Placement(*rows[0]) if rows else None

    def place(self, state: str, node: int, checkpoints: Sequence[str] | None = None) -> None:
        """One step of the move, which the database checks."""
        self.ask("place", state=state, node=node, checkpoints=None if checkpoints is None else list(checkpoints))

    def tables(self) -> list[Table]:
        """The tables that move."""
        return [Table(*row) for row in self.ask("tables")]

    def counts(self, tables: Sequence[Table]) -> dict[str, int]:
        """How many rows of the customer each of these tables has."""
        parts = ", ".join(f"(select count(*) from only {each.name} where customer_id = %s)" for each in tables)
        row = self.connection.execute(f"select {parts}".encode(), [self.customer] * len(tables)).fetchone()
        return dict(zip((each.name for each in tables), row or (), strict=True))

    def checkpoints(self, sizes: tuple[int, int] | None = None) -> list[str]:
        """The checkpoints of both logs at their sizes, or at these, also while the customer is hidden here."""
        with self.connection.transaction(force_rollback=True):
            self.ask("forget_placement")
            if sizes is None:
                found: list[str] = self.one("checkpoints")
            else:
                found = self.one("checkpoints_at", events=sizes[0], run_events=sizes[1])
        return found

    def sizes(self) -> tuple[int, int]:
        """How many entries both logs have."""
        row = self.ask("sizes")[0]
        return row[0], row[1]

    def close(self) -> None:
        """Ends the connection, and with it the lock of the move."""
        self.connection.close()
