"""What ``_async_waits.py`` does for tasks, for threads, which nobody cancels."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from aximo_db._statements import connection_busy

__all__ = ["Lock", "acquire", "to_the_end"]

T = TypeVar("T")


class Lock:
    """A lock that refuses its owner, such as a signal handler in the midst of a call, instead of hanging."""

    __slots__ = ("_lock", "_owner")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: int | None = None

    def acquire(self) -> None:
        """Acquires the lock.

        Raises:
            ConnectionStateError: the same thread has it.
        """
        me = threading.get_ident()
        if self._owner == me:
            raise connection_busy()
        self._lock.acquire()
        self._owner = me

    def release(self) -> None:
        """Releases the lock."""
        self._owner = None
        self._lock.release()

    def locked(self) -> bool:
        """Whether anybody has it."""
        return self._lock.locked()

    __enter__ = acquire

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def to_the_end(work: Callable[[], T]) -> T:
    """Does the work."""
    return work()


def acquire(lock: Lock) -> None:
    """Acquires the lock."""
    lock.acquire()
