"""What a scope has begun to write it ends, whatever interrupts it, at whatever moment."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import signal
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from psycopg_pool import AsyncConnectionPool

from aximo_db import AsyncEventStore, ConnectionLostError, EventStore, NewEvent, Receipt
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, Ledger, _cloned
from tests.events import BASE

SERVICE = "scopes_service"
COMMON = {name: BASE[name] for name in ("deployment_id", "skill_id", "skill_version")}
ENDS = {"execution_completed", "execution_failed"}


@pytest.fixture(scope="module")
def dsn(servers: Callable[[str], EmbeddedServer]) -> Iterator[str]:
    for ledger in _cloned(servers(next(iter(BINARIES))), "fresh", "scopes_test"):
        yield _login(ledger)


def _login(ledger: Ledger) -> str:
    ledger.login(SERVICE, "aximo_writer", customers=("*",))
    return ledger.dsn(SERVICE)


def assert_ended(seen: EventStore, execution_id: str) -> list[str]:
    """Whatever is there of the execution is whole: it has one end, and its prepared action has one, too."""
    types = [step.event_type for step in seen.trace(execution_id)]
    if types:
        assert types[0] == "execution_triggered"
        assert [each for each in types if each in ENDS] == [types[-1]]
        assert types.count("execution_processing") <= 1
        resolved = types.count("action_dispatched") + types.count("action_failed")
        assert types.count("action_prepared") == resolved
    return types


@pytest.mark.parametrize("kind", ["connection string", "pool"])
async def test_a_task_cancelled_after_any_number_of_steps_ends_what_it_began(dsn: str, kind: str) -> None:
    customer = f"customer-{uuid4()}"
    shapes: set[tuple[str, ...]] = set()
    async with contextlib.AsyncExitStack() as stack:
        source: Any = dsn
        if kind == "pool":
            source = await stack.enter_async_context(AsyncConnectionPool(dsn, min_size=2, open=False))
        store = await stack.enter_async_context(AsyncEventStore(source, customer_id=customer))
        seen = stack.enter_context(EventStore(dsn, customer_id=customer))
        await store.executions()

        async def work(execution_id: str) -> None:
            async with store.execution(**COMMON, execution_id=execution_id) as execution, execution.action("call"):
                pass

        for ticks in itertools.count(0, 5):
            execution_id = f"after {ticks}"
            task = asyncio.create_task(work(execution_id))
            for _ in range(ticks):
                await asyncio.sleep(0)
            finished = task.done()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            shapes.add(tuple(assert_ended(seen, execution_id)))
            if finished or ticks > 2000:
                break
    assert finished
    assert any("execution_completed" in shape for shape in shapes)


@pytest.mark.parametrize("lost", ["execution_triggered", "action_prepared", "action_dispatched", "execution_completed"])
def test_an_event_that_may_not_have_been_sent_is_emitted_before_its_end(
    dsn: str, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    with EventStore(dsn, customer_id=f"customer-{uuid4()}") as store:
        send, failed = store.emit, False

        def emit(event: NewEvent) -> Receipt:
            nonlocal failed
            if event.event_type == lost and not failed:
                failed = True
                raise ConnectionLostError  # and nothing was sent
            return send(event)

        monkeypatch.setattr(store, "emit", emit)
        with pytest.raises(ConnectionLostError), store.execution(**COMMON, execution_id="one") as execution:
            with execution.action("call"):
                pass
        assert lost in assert_ended(store, "one")


def came_before_the_first_line(error: BaseException) -> bool:
    """Whether the signal's exception met the end of a scope before its first line, where no Python code can catch it."""
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    return any(code.co_name == "__exit__" and line == code.co_firstlineno for code, line in frames)


class TooLate(Exception):  # noqa: N818
    """What a worker's time limit raises wherever the code happens to be."""


# Heavy: where a signal falls is chance, and each of the many places takes its time.
# A connection that was just made when the signal came is nobody's, and says so when it is collected.
@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("exception", [KeyboardInterrupt, TooLate])
def test_a_thread_interrupted_at_any_moment_ends_what_it_began(dsn: str, exception: type[BaseException]) -> None:
    customer = f"customer-{uuid4()}"
    armed = False

    def interrupt(*_: object) -> None:
        nonlocal armed
        if armed:
            armed = False
            raise exception

    before = signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    try:
        with EventStore(dsn, customer_id=customer) as store, EventStore(dsn, customer_id=customer) as seen:
            store.executions()
            for delay in range(1, 120):
                execution_id = f"after {delay}"
                try:
                    armed = True
                    signal.setitimer(signal.ITIMER_REAL, delay * 0.00012)
                    with store.execution(**COMMON, execution_id=execution_id) as execution, execution.action("call"):
                        pass
                    armed = False
                except exception as error:
                    interrupted += 1
                    if came_before_the_first_line(error):
                        continue
                finally:
                    armed = False
                    signal.setitimer(signal.ITIMER_REAL, 0)
                assert_ended(seen, execution_id)
    finally:
        signal.signal(signal.SIGALRM, before)
        gc.collect()
    assert interrupted > 10
