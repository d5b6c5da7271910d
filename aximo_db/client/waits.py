"""Waiting in a thread, which nobody cancels: the names of ``async_waits.py``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["Lock", "acquire", "apart", "to_the_end"]

T = TypeVar("T")
# Reentrant, so that a signal handler in the midst of a call finds the connection busy instead of hanging.
Lock = threading.RLock


def to_the_end(work: Callable[[], T]) -> T:
    """Does the work."""
    return work()


def apart(work: Callable[[], T]) -> T:
    """Does work that blocks."""
    return work()


def acquire(lock: threading.RLock) -> None:
    """Acquires the lock."""
    lock.acquire()
