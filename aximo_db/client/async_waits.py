"""Waiting that a cancelled task sees through to its end. ``waits.py`` is the same for threads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["Lock", "acquire", "apart", "to_the_end"]

T = TypeVar("T")
Lock = asyncio.Lock


async def to_the_end(work: Callable[[], Awaitable[T]]) -> T:
    """Does the work to its end, however often the task is cancelled meanwhile, and only then lets that be felt.

    Raises:
        asyncio.CancelledError: the task was cancelled meanwhile, and the work succeeded.
        BaseException: what the work raised.
    """
    task = asyncio.ensure_future(work())
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None and not task.cancelled() and task.exception() is None:
        raise cancelled
    return task.result()


async def apart(work: Callable[[], T]) -> T:
    """Does work that blocks, in a thread, so that the event loop goes on meanwhile."""
    return await asyncio.to_thread(work)


async def acquire(lock: Lock) -> None:
    """Acquires the lock, however often the task is cancelled meanwhile, and only then lets that be felt."""
    cancelled: asyncio.CancelledError | None = None
    while True:
        try:
            await lock.acquire()
        except asyncio.CancelledError as error:
            cancelled = error
        else:
            break
    if cancelled is not None:
        raise cancelled
