"""The errors that the package finds by itself, before or beside the database: each is one function, with its words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from aximo_db.client.errors import (
    ConnectionLostError,
    ConnectionStateError,
    CustomerError,
    MalformedEventError,
    MovedError,
    NotConnectedError,
    ProofError,
    RunError,
    SchemaVersionError,
)
from aximo_db.client.events import LONE_SURROGATE, NO_NUL, NO_SURROGATE, NUL_CHARACTER, NewEvent, Receipt, shortened

__all__ = [
    "advance_refused",
    "check_encoding",
    "check_receipts",
    "connection_busy",
    "in_a_consumers_block",
    "log_gap",
    "malformed_text",
    "no_customer",
    "no_such_run",
    "not_connected",
    "not_for_all",
    "other_process",
    "outcome_unknown",
    "receipt_of_another",
    "schema_missing",
    "transaction_not_whole",
    "transactions_entangled",
]


def not_connected(reason: str | psycopg.Error, *, is_unnamed: bool = False) -> NotConnectedError:
    """The error for a call that had no connection to be made on.

    Args:
        reason: what is wrong, or what the driver says, with the address that it tried.
        is_unnamed: whether nobody named a database, so that libpq's own variables and defaults did.
    """
    hint = (
        "Nothing was sent. AXIMO_DB_URL is not set: set it to postgresql://USER@HOST:PORT/DATABASE,"
        ' or to what "aximo-db up" prints, which starts a PostgreSQL to try.'
        if is_unnamed
        else "Nothing was sent. See whether the server runs, and whether the address is the right one;"
        ' "aximo-db up" starts the server of a ledger that it made. A pool may be closed, or out of connections.'
    )
    if isinstance(reason, psycopg.ProgrammingError):
        # libpq quotes the part that it can't read, which may be that of a password.
        detail = "libpq can't read the connection string"
        hint = (
            "Nothing was sent. Write postgresql://USER@HOST:PORT/DATABASE, or host=HOST dbname=DATABASE user=USER,"
            " and %-encode what a URL has other uses for."
        )
    else:
        detail = str(reason).strip()
    return NotConnectedError(rule="connection_open", detail=detail, hint=hint)


def connection_busy() -> ConnectionStateError:
    """The error for a connection on which a statement that is not the store's has not ended."""
    return ConnectionStateError(
        "somebody else's statement is running on the connection",
        rule="connection_is_free",
        hint="Use a connection for one thing at a time and outside of pipelines, or give the store a pool.",
    )


def in_a_consumers_block() -> ConnectionStateError:
    """The error for a call from outside on a connection with a consumer's transaction."""
    return ConnectionStateError(
        "a consumer is using the connection",
        rule="block_is_the_consumers",
        hint="Wait for the block of consume to end, or make a store over batch.connection inside of it.",
    )


def transactions_entangled() -> ConnectionStateError:
    """The error for a connection with a transaction that nobody will end, or nobody knows who."""
    return ConnectionStateError(
        "two transactions got mixed up on the connection",
        rule="transactions_are_whole",
        hint="Roll back or commit on the connection, and open no transaction while a call of the store is under way.",
    )


def other_process() -> ConnectionStateError:
    """The error for a connection or a pool that the process inherited when it was forked."""
    return ConnectionStateError(
        "the connection belongs to the process that forked this one",
        rule="connection_of_this_process",
        hint="Connect after the fork. A store over a connection string does so by itself.",
    )


def check_encoding(pgconn: Any) -> None:
    """Refuses a session in which not every text can be sent and read.

    Raises:
        ConnectionStateError: its client_encoding is not UTF8.
    """
    encoding: bytes | None = pgconn.parameter_status(b"client_encoding")
    if encoding not in (b"UTF8", None):
        raise ConnectionStateError(
            "the session's client_encoding is not UTF8",
            rule="client_encoding_is_utf8",
            detail=f"client_encoding {encoding.decode()}",
            hint="Send: set client_encoding = 'UTF8'.",
        )


def transaction_not_whole() -> ConnectionLostError:
    """The error for a call that could not end its own transaction, as somebody else opened one inside of it."""
    return ConnectionLostError(
        "somebody else's transaction got mixed up with the call's",
        rule="transactions_are_whole",
        hint="Emit the same event again, on another connection.",
    )


def outcome_unknown(events: Sequence[NewEvent]) -> ConnectionLostError:
    """The error for a call of which an earlier attempt was lost, whatever became of the last one."""
    lost = ConnectionLostError(
        "the connection to the database was lost, and trying again did not tell what became of the call",
        hint="Emit the same event again." if events else None,
    )
    lost.concern(events)
    return lost


def receipt_of_another(event: NewEvent, receipt: Receipt) -> ConnectionLostError:
    """The error for an answer that is another event's: somebody else reads and writes on the same connection."""
    return ConnectionLostError(
        "the answer is another event's",
        rule="receipt_is_the_events",
        detail=f"event {event.event_id}, receipt for {receipt.event_id}",
        hint="Emit the same event again, on a connection that nobody else uses.",
    )


def check_receipts(events: Sequence[NewEvent], receipts: Sequence[Receipt]) -> None:
    """Looks whether each receipt is its own event's.

    Raises:
        ConnectionLostError: it is not.
    """
    for event, receipt in zip(events, receipts, strict=True):
        if receipt.event_id != event.event_id:
            raise receipt_of_another(event, receipt)


def schema_missing() -> SchemaVersionError:
    """The error for a database in which the schema was never installed."""
    return SchemaVersionError(
        "the ledger's schema is not installed in this database",
        rule="schema_installed",
        hint="Run aximo-db migrate as the owner of the database, or look whether this is the right database.",
    )


def malformed_text(error: Exception, event: NewEvent | None) -> MalformedEventError | None:
    """The ledger's error for a value the driver could not even send, or ``None`` for other errors."""
    if isinstance(error, UnicodeEncodeError):
        return MalformedEventError(rule="no_lone_surrogate", detail=LONE_SURROGATE, hint=NO_SURROGATE, event=event)
    if isinstance(error, psycopg.DataError) and error.sqlstate is None:
        return MalformedEventError(rule="no_nul_character", detail=NUL_CHARACTER, hint=NO_NUL, event=event)
    if isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None and "adapt" in str(error):
        return MalformedEventError(
            rule="fields_typed",
            detail=str(error),  # which names the type, and no value
            hint="Give text as str, moments as datetime, latency_ms as int and the payload as a mapping.",
            event=event,
        )
    return None


def no_such_run(run_id: str) -> RunError:
    """The error for a run that the customer has not; the database's, where it finds that out."""
    return RunError(
        "this customer has no such run",
        rule="run_known",
        detail=f"run_id {shortened(run_id)!r}",
        hint="Look at the run_id and at the customer. A run of another customer counts as none.",
    )


def log_gap(missing: int, found: int) -> ProofError:
    """The error for a log that lacks a number."""
    return ProofError(
        "a number of the log is missing",
        rule="log_is_dense",
        detail=f"number {missing} is missing, and {found} is there",
        hint="Somebody removed an entry. Run aximo-db verify, which names what is missing.",
    )


def _moved(customer: str, state: str, node: int) -> MovedError:
    """The database's error for a customer that is not on this node, where the package finds that out."""
    return MovedError(
        "this customer is not on this node yet" if state == "arriving" else "this customer is not on this node",
        rule="customer_is_arriving" if state == "arriving" else "customer_is_gone",
        detail=f"customer {shortened(customer)!r} is {state}, the other node is {node}",
        hint=f"It is being moved here from node {node}: go on there until that is done."
        if state == "arriving"
        else f"It is on node {node}: connect to that one.",
    )


def advance_refused() -> MalformedEventError:
    """The error for an advance that would keep every other one out until the caller's transaction ends."""
    return MalformedEventError(
        "advance=True can't be given inside of the caller's transaction",
        rule="advance_outside_transaction",
        hint="Read outside of the transaction, or call advance_log() in it and end it soon: others wait for it.",
    )


def not_for_all(session_user: str) -> CustomerError:
    """The error for a login that was not granted all customers, of what is done for all: as the database says it."""
    return CustomerError(
        "this is done for all customers, and this login was not granted all of them",
        rule="numbers_for_all",
        detail=f"login {session_user!r}",
        hint=f"As the owner of this database: select aximo.grant_customer({session_user!r}, '*')",
    )


def no_customer(granted: Sequence[str], placed: tuple[str, str, int] | None = None) -> CustomerError | MovedError:
    """The error for a session that works for no customer, which sees nothing.

    Args:
        granted: whom its login may name, the first of them.
        placed: the customer that it works for, if that one is not on this node; its state, and the other node.
    """
    if placed is not None:
        return _moved(*placed)
    if not granted:
        detail = "its login was granted no customer, or all of them and there is none yet"
        hint = "Have one granted with aximo.grant_customer, or name one as customer_id."
    else:
        names = ", ".join(repr(each) for each in granted[:10])
        detail = f"its login may name {names}{' and others' if len(granted) > 10 else ''}"
        hint = "Name one of them as customer_id, or have another granted with aximo.grant_customer."
    return CustomerError("this session reads for no customer", rule="customer_granted", detail=detail, hint=hint)
