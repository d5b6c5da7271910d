# Made from async_execution.py by tools/unasync.py: do not change.
"""The contexts of an execution and of its actions: begun on entry, always ended on exit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import psycopg
from uuid_utils.compat import uuid7

from aximo_db.client import statements
from aximo_db.client.errors import AttributionError, AximoError, ConnectionLostError, SequenceError
from aximo_db.client.events import NewEvent, Receipt
from aximo_db.client.vocabulary import Actor, EventType
from aximo_db.client.waits import to_the_end

if TYPE_CHECKING:
    from aximo_db.client.session import Session
    from aximo_db.client.store import EventStore

__all__ = ["ActionScope", "ExecutionScope"]


class ExecutionScope:
    """An execution under way: made by :meth:`EventStore.execution`, used as a context.

    ``execution_processing`` is emitted before the first event that needs it, if it was not emitted before. What the
    scope has begun to write it ends, acknowledged or not: an event of which nobody knows whether it was written is
    emitted once more before the next one.
    """

    def __init__(
        self, store: EventStore, session: Session, common: Mapping[str, Any], payload: Mapping[str, Any]
    ) -> None:
        self._store = store
        self._session = session
        self._common = common
        self._payload = payload
        self._triggered = False
        self._processing = False
        self._ended = False
        self._unsettled: NewEvent | None = None
        self._latest_id: UUID | None = None
        self._started = time.monotonic()

    @property
    def execution_id(self) -> str:
        """The execution's id."""
        return str(self._common["execution_id"])

    @property
    def ended(self) -> bool:
        """Whether ``execution_completed`` or ``execution_failed`` was emitted."""
        return self._ended

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        try:
            to_the_end(lambda: self.emit("execution_triggered", self._payload))
        except BaseException as error:
            if self._triggered or self._unsettled is not None:
                self._fail_after(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._ended:
            return
        if error is not None:
            self._fail_after(error)
            return
        try:
            to_the_end(self.complete)
        except SequenceError as refused:
            # An action or an approval is open: the execution ends as failed, and the caller learns why.
            payload = {"error": refused.message, "rule": refused.rule}
            try:
                to_the_end(lambda: self.fail("incomplete", payload))
            except (AximoError, psycopg.Error) as unwritten:
                # The refusal aborted the caller's transaction, for one.
                refused.add_note(f"execution_failed could not be emitted: {type(unwritten).__name__}")
            raise
        except BaseException as interruption:
            if not self._ended:
                self._fail_after(interruption)
            raise

    def _fail_after(self, error: BaseException) -> None:
        """Ends the execution because of an error, which then goes on."""
        code, payload = statements.failure_code(error), statements.failure_payload(error)

        def fail() -> None:
            self._settle()
            if not self._ended:
                self.fail(code, payload)

        try:
            to_the_end(fail)
        except AximoError as unwritten:
            error.add_note(f"execution_failed could not be emitted: {unwritten}")
        except psycopg.Error as unwritten:
            # The caller's transaction was aborted, for one: it has to emit the failure in the next one.
            error.add_note(f"execution_failed could not be emitted: {type(unwritten).__name__}")

    def emit(self, event_type: EventType, payload: Mapping[str, Any] | None = None, **fields: Any) -> Receipt:
        """Emits any event of this execution.

        Args:
            event_type: the type.
            payload: its payload.
            **fields: other fields of :class:`NewEvent`, such as ``actor`` or ``timestamp``.
        """
        try:
            event = NewEvent.of({**self._common, "event_type": event_type, "payload": payload or {}, **fields})
        except AximoError as error:
            self._session.refused("emit", error)
            raise
        self._settle()
        return self._emit(event)

    def _settle(self) -> None:
        """Emits the event once more of which nobody knows whether it was written, so that it is known."""
        event = self._unsettled
        if event is None:
            return
        try:
            self._emit(event)
        except (SequenceError, AttributionError):
            pass  # refused now, so it was not written before
        except BaseException:
            self._unsettled = event
            raise

    def _emit(self, event: NewEvent) -> Receipt:
        self._unsettled = event
        try:
            receipt = self._store.emit(event)
        except ConnectionLostError:
            raise
        except (AximoError, psycopg.Error):
            self._unsettled = None
            raise
        self._triggered = self._triggered or event.event_type == "execution_triggered"
        self._processing = self._processing or event.event_type == "execution_processing"
        self._ended = self._ended or event.event_type in ("execution_completed", "execution_failed")
        self._latest_id = event.event_id
        self._unsettled = None
        return receipt

    def has_begun(self, event_id: UUID) -> bool:
        """Whether the event is the latest that was written, or that may have been."""
        return event_id in (self._latest_id, self._unsettled.event_id if self._unsettled is not None else None)

    def processing(self, payload: Mapping[str, Any] | None = None, **fields: Any) -> Receipt:
        """Emits ``execution_processing``."""
        return self.emit("execution_processing", payload, **fields)

    def _emit_processed(self, event_type: EventType, payload: Mapping[str, Any], **fields: Any) -> Receipt:
        if not self._processing:
            self.processing()
        return self.emit(event_type, payload, **fields)

    def action_prepared(self, action_type: str, payload: Mapping[str, Any] | None = None, **fields: Any) -> Receipt:
        """Emits ``action_prepared``; the payload may carry ``action_id`` and ``approval_id``."""
        return self._emit_processed("action_prepared", {**(payload or {}), "action_type": action_type}, **fields)

    def action_dispatched(self, action_type: str, payload: Mapping[str, Any] | None = None, **fields: Any) -> Receipt:
        """Emits ``action_dispatched``, with the same ids as its preparation."""
        return self._emit_processed("action_dispatched", {**(payload or {}), "action_type": action_type}, **fields)

    def action_failed(
        self,
        action_type: str,
        payload: Mapping[str, Any] | None = None,
        *,
        error_code: str | None = None,
        **fields: Any,
    ) -> Receipt:
        """Emits ``action_failed``, with the same ids as its preparation."""
        return self._emit_processed(
            "action_failed", {**(payload or {}), "action_type": action_type}, error_code=error_code, **fields
        )

    def action(self, action_type: str, payload: Mapping[str, Any] | None = None) -> ActionScope:
        """An action as a context: prepared on entry, dispatched on exit, failed on an exception."""
        return ActionScope(self, action_type, payload or {})

    def approval_requested(
        self, approval_id: str | None = None, payload: Mapping[str, Any] | None = None, **fields: Any
    ) -> Receipt:
        """Emits ``approval_requested``."""
        return self._emit_processed("approval_requested", _named(approval_id, payload), **fields)

    def approval_granted(
        self,
        approval_id: str | None = None,
        payload: Mapping[str, Any] | None = None,
        *,
        actor: Actor = "operator",
        **fields: Any,
    ) -> Receipt:
        """Emits ``approval_granted`` for the open request with this id, or the one without an id."""
        return self._emit_processed("approval_granted", _named(approval_id, payload), actor=actor, **fields)

    def approval_rejected(
        self,
        approval_id: str | None = None,
        payload: Mapping[str, Any] | None = None,
        *,
        actor: Actor = "operator",
        **fields: Any,
    ) -> Receipt:
        """Emits ``approval_rejected`` for the open request with this id, or the one without an id."""
        return self._emit_processed("approval_rejected", _named(approval_id, payload), actor=actor, **fields)

    def approval_timeout(
        self, approval_id: str | None = None, payload: Mapping[str, Any] | None = None, **fields: Any
    ) -> Receipt:
        """Emits ``approval_timeout`` for the open request with this id, or the one without an id."""
        return self._emit_processed("approval_timeout", _named(approval_id, payload), **fields)

    def complete(self, payload: Mapping[str, Any] | None = None, **fields: Any) -> Receipt:
        """Ends the execution with ``execution_completed`` now."""
        return self._emit_processed(
            "execution_completed", payload or {}, **{"latency_ms": self._elapsed_ms(), **fields}
        )

    def fail(self, error_code: str, payload: Mapping[str, Any] | None = None, **fields: Any) -> Receipt:
        """Ends the execution with ``execution_failed`` now."""
        return self.emit(
            "execution_failed", payload, **{"error_code": error_code, "latency_ms": self._elapsed_ms(), **fields}
        )

    def _elapsed_ms(self) -> int:
        return statements.milliseconds(time.monotonic() - self._started)


class ActionScope:
    """An action under way: made by :meth:`ExecutionScope.action`, used as a context."""

    def __init__(self, execution: ExecutionScope, action_type: str, payload: Mapping[str, Any]) -> None:
        self._execution = execution
        self._action_type = action_type
        self._payload = payload
        # Made before anything is sent, so that has_begun can tell at any moment.
        self._prepared_id = uuid7()
        self._dispatched_id = uuid7()
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        try:
            to_the_end(
                lambda: self._execution.action_prepared(self._action_type, self._payload, event_id=self._prepared_id)
            )
        except BaseException as error:
            if self._execution.has_begun(self._prepared_id):
                self._fail_after(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self._fail_after(error)
            return
        try:
            latency_ms = self._elapsed_ms()
            to_the_end(
                lambda: self._execution.action_dispatched(
                    self._action_type, self._payload, latency_ms=latency_ms, event_id=self._dispatched_id
                )
            )
        except (AximoError, psycopg.Error):
            raise
        except BaseException as interruption:
            if not self._execution.has_begun(self._dispatched_id):
                self._fail_after(interruption)
            raise

    def _fail_after(self, error: BaseException) -> None:
        """Ends the action because of an error, which then goes on."""
        payload = {**self._payload, **statements.failure_payload(error)}
        code, latency_ms = statements.failure_code(error), self._elapsed_ms()
        try:
            to_the_end(
                lambda: self._execution.action_failed(
                    self._action_type, payload, error_code=code, latency_ms=latency_ms
                )
            )
        except (AximoError, psycopg.Error) as unwritten:
            error.add_note(f"action_failed could not be emitted: {type(unwritten).__name__}")

    def _elapsed_ms(self) -> int:
        return statements.milliseconds(time.monotonic() - self._started)


def _named(approval_id: str | None, payload: Mapping[str, Any] | None) -> dict[str, Any]:
    named = dict(payload or {})
    if approval_id is not None:
        named["approval_id"] = approval_id
    return named
