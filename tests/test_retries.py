"""What is said of calls that are tried again: by the logger and by the hook, and nothing of an event in either."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

import aximo_db
from aximo_db import AsyncEventStore, AximoError, ConnectionLostError, EventStore, NewEvent, Retry
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, Ledger, _cloned
from tests.events import event

SERVICE = "retries_service"
SECRET = "sentinel-of-an-event"


@pytest.fixture(scope="module")
def module_ledger(servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    for ledger in _cloned(servers(next(iter(BINARIES))), "fresh", "retries_test"):
        ledger.login(SERVICE, "aximo_writer", "aximo_operator", customers=("*",))
        yield ledger


@pytest.fixture
def dsn(module_ledger: Ledger) -> str:
    return module_ledger.dsn(SERVICE)


@pytest.fixture
def customer() -> str:
    return f"{SECRET}-{uuid4()}"


@pytest.fixture
def kill(module_ledger: Ledger) -> Iterator[Callable[[], None]]:
    """Ends every session of the service, and waits until they are gone."""
    with psycopg.connect(module_ledger.dsn("postgres"), autocommit=True) as root:

        def end() -> None:
            query = "select pg_terminate_backend(pid, 60000) from pg_stat_activity where usename = %s"
            assert root.execute(query, (SERVICE,)).fetchall() != []

        yield end


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "aximo_db")
    return caplog


def new() -> NewEvent:
    ids = {name: f"{SECRET}-{name}" for name in ("deployment_id", "skill_id", "skill_version", "error_code")}
    return NewEvent(**event("sla_breached", None, payload={SECRET: SECRET}, **ids))


def messages(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    assert SECRET not in "".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    return [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "aximo_db"]


RETRIED = ("WARNING", "emit failed at attempt 1 with ConnectionLostError (57P01), and is tried again in 0.05 s")
SUCCEEDED = ("INFO", "emit succeeded at attempt 2")


def test_a_killed_session_is_told_to_the_hook_and_the_log(
    dsn: str, customer: str, kill: Callable[[], None], told: pytest.LogCaptureFixture
) -> None:
    seen: list[Retry] = []
    with EventStore(dsn, customer_id=customer, on_retry=seen.append) as store:
        store.emit(new())
        kill()
        store.emit(new())
        assert len(list(store.iter_events())) == 2
        assert seen == [Retry("emit", 1, ConnectionLostError, "57P01", 0.05)]
        assert messages(told) == [RETRIED, SUCCEEDED]
        kill()
        assert store.for_customer(customer).log_size() == 0
        kill()
        assert store.runs.list() == []
        with store.consume("c") as batch:
            assert len(batch) == 0
        kill()
        with store.consume("c") as batch:
            assert len(batch) == 0
    # A consumer has a connection besides the store's own, and both were killed.
    assert [(each.call, each.attempt) for each in seen[1:]] == [("log_size", 1), ("runs.list", 1), ("consume", 1)]
    with pytest.raises(AttributeError):
        seen[0].attempt = 2  # type: ignore[misc]


async def test_the_asynchronous_store_tells_the_same(
    dsn: str, customer: str, kill: Callable[[], None], told: pytest.LogCaptureFixture
) -> None:
    seen: list[Retry] = []
    async with AsyncEventStore(dsn, customer_id=customer, on_retry=seen.append) as store:
        await store.emit(new())
        kill()
        await store.emit(new())
        assert len([each async for each in store.iter_events()]) == 2
    assert seen == [Retry("emit", 1, ConnectionLostError, "57P01", 0.05)]
    assert messages(told) == [RETRIED, SUCCEEDED]


def test_what_the_hook_raises_changes_nothing_but_an_interrupt_does(
    dsn: str, customer: str, kill: Callable[[], None], told: pytest.LogCaptureFixture
) -> None:
    def broken(retry: Retry) -> None:
        raise ValueError(SECRET)

    def interrupting(retry: Retry) -> None:
        raise KeyboardInterrupt

    with EventStore(dsn, customer_id=customer, on_retry=broken) as store:
        store.emit(new())
        kill()
        assert store.emit(new()).duplicate is False
    assert messages(told) == [RETRIED, ("ERROR", "on_retry raised ValueError, and the call goes on"), SUCCEEDED]
    with EventStore(dsn, customer_id=customer, on_retry=interrupting) as store:
        store.emit(new())
        kill()
        with pytest.raises(KeyboardInterrupt) as caught:
            store.emit(new())
    # Whether it was written is not known, which the interrupt says.
    assert isinstance(caught.value.__cause__, ConnectionLostError)


def test_two_in_each_others_way_are_no_warning(
    module_ledger: Ledger, dsn: str, customer: str, told: pytest.LogCaptureFixture
) -> None:
    seen: list[Retry] = []
    failures = iter([True, True, False])

    def work(connection: psycopg.Connection[Any]) -> int:
        if next(failures):
            connection.execute("do $$ begin raise serialization_failure; end $$")
        return 7

    with EventStore(dsn, customer_id=customer, on_retry=seen.append) as store:
        assert store._session.run(work, call="work") == 7
    assert [(each.attempt, each.sqlstate, each.pause) for each in seen] == [(1, "40001", 0.05), (2, "40001", 0.1)]
    assert [level for level, _ in messages(told)] == ["INFO", "INFO", "INFO"]


def test_a_refusal_is_not_logged(dsn: str, customer: str, told: pytest.LogCaptureFixture) -> None:
    with EventStore(dsn, customer_id=customer) as store:
        for culprit in (
            event("execution_completed", SECRET, payload={SECRET: SECRET}),
            event(SECRET, None),
            event("sla_breached", None, payload={SECRET: {1: 2}}),
            event("sla_breached", None, customer_id="*"),
        ):
            with pytest.raises(AximoError):
                store.emit(culprit)
    assert messages(told) == []


@pytest.mark.parametrize(("slow_after", "is_told"), [(0.0, True), (60.0, False), (None, False)])
def test_slow_calls_are_told_if_that_is_asked_for(
    dsn: str, customer: str, told: pytest.LogCaptureFixture, slow_after: float | None, is_told: bool
) -> None:
    with EventStore(dsn, customer_id=customer, slow_after=slow_after) as store:
        store.emit(new())
        store.emit_batch([new()])
        store.metrics("freshness")
        store.advance_log()  # takes as long as there is to do
        store.refresh_metrics()
    calls = [message.split()[0] for level, message in messages(told) if level == "WARNING"]
    assert calls == (["emit", "emit_batch", "metrics"] if is_told else [])
    assert all(" took 0." in message for _, message in messages(told))


def test_who_asks_for_no_log_hears_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert aximo_db.Retry is Retry
    assert any(isinstance(each, logging.NullHandler) for each in logging.getLogger("aximo_db").handlers)
    assert logging.getLogger("aximo_db").level == logging.NOTSET
