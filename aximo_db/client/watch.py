"""What a store tells of its calls to who watches them. Nobody does, unless asked to: ``aximo_db.otel``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from aximo_db.client.call import Retry
from aximo_db.client.errors import AximoError
from aximo_db.client.events import NewEvent

__all__ = ["Watch", "Watched"]


class Watched(Protocol):
    """A call under way. What it is told decides nothing, so it raises nothing."""

    def reached(self, connection: Any) -> None:
        """It has a connection, and works on it."""

    def retries(self, told_too: Callable[[Retry], object] | None) -> Callable[[Retry], object]:
        """What to tell before the call is tried again, which tells the store's own hook, too."""

    def done(self, result: object) -> None:
        """It succeeded, with this result."""

    def aside(self) -> AbstractContextManager[None]:
        """While the block of a consumer runs, which is the consumer's time, and whose errors are its own."""


class Watch(Protocol):
    """Who watches the calls of a store. It raises nothing."""

    def call(self, call: str, customer: str | None, events: Sequence[NewEvent]) -> AbstractContextManager[Watched]:
        """A call that goes to the database: a method's, a page of it, or a step of it.

        Args:
            call: as :class:`Retry` names it.
            customer: whose, as far as the store knows.
            events: what it writes.
        """

    def refused(self, call: str, error: AximoError) -> None:
        """An event was refused before anything was sent."""

    def behind(self, cursor: str, log: str, customer: str | None, entries: int) -> None:
        """How many numbered entries of the log the consumer has not read yet."""
