"""The refusals of the ledger, one exception class for each registered SQLSTATE.

The database is where they are raised; see ``docs/errors.md`` for the register. Code that has to tell them apart
looks at the class or at :attr:`AximoError.sqlstate`, never at the text.

What an error may say, in its message, its detail and its hint: ids, names of types, of fields and of roles, values of
closed sets, lengths and numbers of events, and the value of an event's own field that was refused, cut to 60
characters. It never says a value of a payload, of a run's data, message, result or error, nor a key inside of them;
the one exception is ``approval_id``, which is an id. So ``str(error)`` may be logged. Whoever raises an error keeps to
that, in SQL as here; where PostgreSQL itself quotes what it read, its words are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import psycopg

if TYPE_CHECKING:
    from aximo_db.client.events import NewEvent

__all__ = [
    "AttributionError",
    "AximoError",
    "ConnectionLostError",
    "ConnectionStateError",
    "CursorError",
    "CustomerError",
    "DuplicateEventError",
    "ImmutableError",
    "InstallationError",
    "MalformedEventError",
    "MovedError",
    "NotConnectedError",
    "ProofError",
    "ReadOnlyError",
    "RunError",
    "SchemaVersionError",
    "SequenceError",
    "VaultError",
    "is_connection_loss",
    "may_quote",
    "register",
    "told_by",
    "translate",
]


def _one_line(text: str) -> str:
    """The text on one line, whatever an id in it holds: a log's lines stay its own."""
    joined = " ".join(text.split("\n")) if "\n" in text else text
    if joined.isprintable():
        return joined
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in joined)


class AximoError(Exception):
    """Something the ledger refused.

    Attributes:
        sqlstate: the registered code, five characters.
        message: what is wrong, without the values; the same for every error of a kind.
        rule: the name of the rule or constraint that refused, or ``None``.
        detail: what it is about: ids, names and lengths, and no value of a payload.
        hint: what to do about it, or ``None``.
        event: the event that was being written, or ``None``; emitting it again is always safe.
        events: all events of the call that was being made: the one, or those of a batch.

    Its text is one line of all of these but the events: enough in a log, and fit for one.
    """

    sqlstate: ClassVar[str] = ""
    meaning: ClassVar[str] = ""

    def __init__(
        self,
        message: str | None = None,
        *,
        rule: str | None = None,
        detail: str | None = None,
        hint: str | None = None,
        event: NewEvent | None = None,
    ) -> None:
        self.message = message or self.meaning
        super().__init__(self.message)
        self.rule = rule
        self.detail = detail
        self.hint = hint
        self.event = event
        self.events: tuple[NewEvent, ...] = () if event is None else (event,)

    def __str__(self) -> str:
        code = " ".join(each for each in (self.sqlstate, self.rule) if each)
        told = f"{self.message} ({code})" if code else self.message
        if self.detail:
            told += f": {self.detail.strip()}"
        if self.hint:
            told += f"{'' if told.endswith('.') else '.'} {self.hint}"
        return _one_line(told)

    def concern(self, events: Sequence[NewEvent]) -> None:
        """Says which events the call was about, unless that is known."""
        if not self.events:
            self.events = tuple(events)
            self.event = self.events[0] if len(self.events) == 1 else None


class ImmutableError(AximoError):
    """An event, or another append-only row, was to be changed, deleted or truncated."""

    sqlstate = "ZXIMM"
    meaning = "this table is append-only: nothing in it can be changed or deleted"


class CustomerError(AximoError):
    """The session works for no customer, for another one, or for one that its login was not granted."""

    sqlstate = "ZXCUS"
    meaning = "this session may not write for that customer"


class DuplicateEventError(AximoError):
    """The event_id was used before, for an event with other content."""

    sqlstate = "ZXDUP"
    meaning = "this event_id was used for another event"


class SequenceError(AximoError):
    """The event does not fit the life of its execution (rules 1 to 6)."""

    sqlstate = "ZXSEQ"
    meaning = "this event does not fit the life of its execution"


class AttributionError(AximoError):
    """The event names another deployment, skill or version than its execution began with (rule 7)."""

    sqlstate = "ZXATT"
    meaning = "an execution keeps its deployment, skill and version"


class MalformedEventError(AximoError):
    """The event, or an argument, is not what the contract says: missing, too long, of the wrong type, unknown."""

    sqlstate = "ZXARG"
    meaning = "malformed event"


class MovedError(AximoError):
    """The customer is on another node of the fleet, or on the way to or from one. Nothing was written."""

    sqlstate = "ZXMOV"
    meaning = "this customer is not on this node"


class CursorError(AximoError):
    """A named cursor is not where its consumer thinks: another consumer of that name moved it."""

    sqlstate = "ZXCUR"
    meaning = "somebody else moved the cursor"


class ProofError(AximoError):
    """A checkpoint, a proof or the log itself does not say what it should."""

    sqlstate = "ZXPRF"
    meaning = "this is not what the log says"


class RunError(AximoError):
    """The run does not exist for this customer, has ended, or is being observed in this transaction."""

    sqlstate = "ZXRUN"
    meaning = "this is against the life of the run"


class InstallationError(AximoError):
    """The database or the installing role is not what the ledger needs to be installed."""

    sqlstate = "ZXENV"
    meaning = "the ledger can't be installed here"


class SchemaVersionError(AximoError):
    """The schema in the database and this package do not work together. Raised by the package."""

    sqlstate = "ZXVER"
    meaning = "this package and the schema in the database do not work together"


class VaultError(AximoError):
    """The vault has no key to seal with: the subject was erased, or the vault is not what it should be."""

    sqlstate = "ZXVLT"
    meaning = "the vault does not do that"


class ConnectionLostError(AximoError):
    """Whether the events were written is not known: emitting :attr:`events` again settles it.

    The connection broke before the answer came. If a later attempt was refused, that refusal is the cause
    (``__cause__``): it does not say that the first attempt was refused, too.
    """

    sqlstate = "08006"
    meaning = "the connection to the database was lost"


class NotConnectedError(AximoError):
    """There was no connection: the server was not reached, or the pool had none to give. Nothing was sent."""

    sqlstate = "08001"
    meaning = "there is no connection to the database"


class ConnectionStateError(AximoError):
    """The connection is in use by somebody else, or in no state for this call. Nothing was sent."""

    sqlstate = "ZXCON"
    meaning = "the connection can't be used for this call"


class ReadOnlyError(AximoError):
    """The session may only read: a standby, or a session or transaction that is read only. Nothing was written."""

    sqlstate = "25006"
    meaning = "this session may only read"


#: Every registered SQLSTATE and its exception class.
register: dict[str, type[AximoError]] = {
    cls.sqlstate: cls
    for cls in (
        ImmutableError,
        CustomerError,
        DuplicateEventError,
        SequenceError,
        AttributionError,
        MalformedEventError,
        MovedError,
        CursorError,
        ProofError,
        RunError,
        InstallationError,
        SchemaVersionError,
        VaultError,
        ConnectionLostError,
        NotConnectedError,
        ConnectionStateError,
        ReadOnlyError,
    )
}

# PostgreSQL's own codes for text that no event can hold, met before the ledger's functions run.
_MALFORMED = {
    "22P02": "json_well_formed",  # invalid text representation, among them a lone surrogate
    "22P05": "no_nul_character",  # untranslatable character: \u0000
    "22021": "no_nul_character",  # character not in repertoire
    "22003": "number_in_range",
    "22007": "timestamp_well_formed",
    "22008": "timestamp_in_range",
    "54000": "payload_size",  # program limit exceeded
    "54001": "json_depth",  # statement too complex: JSON nested too deep
}
_UNREAD = {
    "json_well_formed": "PostgreSQL can't read it: text that is not JSON, half a surrogate pair, or no UUID",
    "no_nul_character": "a text holds a NUL character, or bytes that are not UTF-8",
    "number_in_range": "a number is beyond what PostgreSQL can hold",
    "timestamp_well_formed": "timestamp is no date and time",
    "timestamp_in_range": "timestamp has a part out of range, such as a month 13",
    "payload_size": "the JSON is beyond PostgreSQL's own limits of size",
    "json_depth": "the JSON is nested too deep for the server",
}
_UNREAD_HINT = "Correct the value; the error's event has it. Nothing was written."

# Codes with which a session ends, or which say themselves that the outcome is open; beside them class 08, and whatever
# is reported as FATAL or PANIC.
_LOST = {"25P03", "25P04", "40003", "57P01", "57P02", "57P03", "57P05"}


def is_connection_loss(error: psycopg.Error) -> bool:
    """Whether the session ended with this error, so that it is not known what became of the statement.

    Any other error is the server's answer, and says that the transaction was not committed.
    """
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    if error.sqlstate.startswith("08") or error.sqlstate in _LOST:
        return True
    return getattr(error.diag, "severity_nonlocalized", None) in ("FATAL", "PANIC")


def translate(error: psycopg.Error, event: NewEvent | None = None, *, writing: bool = False) -> AximoError | None:
    """The ledger's exception for a driver's, or ``None`` if it is none of the ledger's business.

    Args:
        error: the driver's, from a connection that had been reached.
        event: the event that was being written.
        writing: whether events were being written, so that PostgreSQL's own complaints about text are about them.
    """
    diagnostics: Any = error.diag
    if is_connection_loss(error):
        hint = "Emit the same event again." if writing or event is not None else None
        return ConnectionLostError(detail=told_by(error), event=event, hint=hint)
    state = error.sqlstate or ""
    fields = {
        "detail": diagnostics.message_detail,
        "hint": diagnostics.message_hint,
        "event": event,
    }
    if state == ReadOnlyError.sqlstate:
        return ReadOnlyError(rule="session_may_write", detail=diagnostics.message_primary, hint=_READ_ONLY, event=event)
    if state in register:
        return register[state](diagnostics.message_primary, rule=diagnostics.constraint_name, **fields)
    if (writing or event is not None) and state in _MALFORMED:
        # PostgreSQL quotes what it could not read, which may be of a payload.
        return MalformedEventError(
            rule=_MALFORMED[state], detail=_UNREAD[_MALFORMED[state]], hint=_UNREAD_HINT, event=event
        )
    return None


def told_by(error: psycopg.Error) -> str:
    """What a driver's error says first, without its detail and context, which may quote a row or a parameter."""
    return error.diag.message_primary or str(error).strip()


def may_quote(error: BaseException) -> bool:
    """Whether a driver's error may quote a payload or a password, and so is not to be shown as another one's cause."""
    if isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None:
        return True  # of a connection string that can't be read
    return isinstance(error, psycopg.Error) and error.sqlstate in _MALFORMED


_READ_ONLY = (
    "Reading works here. To write, connect to the primary (with several hosts in the connection string,"
    " target_session_attrs=read-write finds it), or look at default_transaction_read_only and the transaction's mode."
)
