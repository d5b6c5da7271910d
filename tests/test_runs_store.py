"""``store.runs``: tool runs, their events and the log of these, as the stores show them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from aximo_db import (
    AsyncEventStore,
    AsyncRuns,
    CursorError,
    CustomerError,
    EventStore,
    ImmutableError,
    MalformedEventError,
    ProofError,
    Run,
    RunError,
    RunEvent,
    RunLogBatch,
    RunLogEntry,
    Runs,
    UnreadableJson,
)
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import VERSIONS, Ledger, _cloned
from tests.events import event
from tests.test_async_store import _shape

SERVICE = "runs_service"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

Connection = psycopg.Connection[Any]


@pytest.fixture(scope="module", params=VERSIONS)
def ledger_(request: pytest.FixtureRequest, servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    """One database a server for the module: every test has customers and runs of its own in it."""
    for ledger in _cloned(servers(request.param), "fresh", "runs_store_test"):
        ledger.login(SERVICE, "aximo_writer", "aximo_operator", customers=("*",))
        yield ledger


@pytest.fixture
def dsn(ledger_: Ledger) -> str:
    return ledger_.dsn(SERVICE)


@pytest.fixture
def customer() -> str:
    return f"customer-{uuid4()}"


@pytest.fixture
def run_id() -> str:
    return f"run-{uuid4()}"


@pytest.fixture
def store(dsn: str, customer: str) -> Iterator[EventStore]:
    with EventStore(dsn, customer_id=customer) as store:
        yield store


@pytest.fixture
def gateway(dsn: str, customer: str) -> Iterator[Connection]:
    """As the gateway writes: SQL of its own, for one customer."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("select set_config('aximo.customer_id', %s, false)", (customer,))
        yield connection


def add_run(gateway: Connection, run_id: str, **values: Any) -> None:
    row = {
        "run_id": run_id, "project_id": "p", "tool_name": "align", "contract_version": "v1", "params_hash": "sha256:1",
        "policy_hash": "sha256:2", "status": "queued", **values,
    }  # fmt: skip
    query = sql.SQL("insert into helix.runs ({}) values ({})").format(
        sql.SQL(", ").join(map(sql.Identifier, row)), sql.SQL(", ").join(sql.Placeholder() * len(row))
    )
    gateway.execute(query, list(row.values()))


def add_events(gateway: Connection, run_id: str, *kinds: str, data: Any = None) -> None:
    for kind in kinds:
        gateway.execute(
            "insert into helix.run_events (run_id, kind, message, data) values (%s, %s, %s, %s)",
            (run_id, kind, f"about {kind}", None if data is None else Jsonb(data)),
        )


def kinds(events: list[RunEvent] | list[RunLogEntry]) -> list[str]:
    return [each.kind for each in events]


# What they are and did


def test_both_stores_have_the_same_runs() -> None:
    assert _shape(AsyncRuns) == _shape(Runs)
    assert len(_shape(Runs)) > 10


def test_runs_are_listed_newest_first_by_what_is_asked_for(
    store: EventStore, gateway: Connection, run_id: str, customer: str
) -> None:
    for n, (tool, project, status) in enumerate(
        [("align", "p", "queued"), ("qc", "p", "running"), ("align", "q", "succeeded"), ("sort", "p", "failed")]
    ):
        add_run(gateway, f"{run_id}{n}", tool_name=tool, project_id=project, status=status, execution_id=f"e{n}")
    add_run(gateway, f"{run_id}4")

    def listed(**asked: Any) -> list[int]:
        return [int(run.run_id[-1]) for run in store.runs.list(**asked)]

    assert listed() == [4, 3, 2, 1, 0]
    assert listed(limit=2) == [4, 3]
    assert listed(status="queued") == [4, 0]
    assert listed(status=["failed", "running"]) == [3, 1]
    assert listed(tool_name="align") == [4, 2, 0]
    assert listed(tool_name=("qc", "sort"), project_id="p") == [3, 1]
    assert listed(project_id="q") == [2]
    assert listed(execution_id="e1") == [1]
    moments = [run.created_at for run in store.runs.list()]
    assert listed(since=moments[2]) == [4, 3, 2]
    assert listed(until=moments[2]) == [1, 0]
    assert listed(since=moments[2].replace(tzinfo=None), until=moments[0]) == [3, 2]  # a naive one is UTC
    assert listed(status="lost") == listed(customer_id=f"{customer}-2") == []


def test_a_run_is_what_its_row_says(store: EventStore, gateway: Connection, customer: str, run_id: str) -> None:
    snapshot = Jsonb({"n": [1.5, None, "é"]})
    started, finished = NOON, NOON + timedelta(seconds=2)
    add_run(
        gateway, run_id, tool_version="2", requested_by="agent", status="failed", started_at=started, finished_at=finished,
        policy_snapshot=snapshot, environment=Jsonb([]), result_json=Jsonb("text"), exit_code=-9, error="killed",
        log_artifact_id="art", execution_id="exec",
    )  # fmt: skip
    run = store.runs.get(run_id)
    assert run is not None
    row = gateway.execute(
        sql.SQL("select {} from helix.runs where run_id = %s").format(
            sql.SQL(", ").join(sql.Identifier(each.name) for each in fields(Run))
        ),
        (run_id,),
    ).fetchone()
    assert row == tuple(getattr(run, each.name) for each in fields(Run))
    assert (run.policy_snapshot, run.environment, run.result_json) == ({"n": [1.5, None, "é"]}, [], "text")
    assert (run.customer_id, run.recorded_by, run.created_at.tzinfo is not None) == (customer, SERVICE, True)
    columns = gateway.execute(
        "select column_name from information_schema.columns where table_schema = 'helix' and table_name = 'runs'"
    )
    assert {each[0] for each in columns} == {each.name for each in fields(Run)}
    assert store.runs.get(f"{run_id}-2") is None
    assert store.runs.get(run_id, customer_id=f"{customer}-2") is None
    assert store.for_customer(f"{customer}-2").runs.get(run_id) is None


@pytest.mark.parametrize("page_size", [1, 2, 3, 1000])
def test_events_come_in_order_all_or_from_one_on(
    store: EventStore, gateway: Connection, run_id: str, page_size: int
) -> None:
    add_run(gateway, run_id)
    add_run(gateway, f"{run_id}-2")
    wanted = [f"k{n}" for n in range(6)]
    for kind in wanted:
        add_events(gateway, run_id, kind, data={"of": kind})
        add_events(gateway, f"{run_id}-2", "other")
    events = store.runs.events(run_id)
    assert kinds(events) == wanted
    assert [each.data for each in events] == [{"of": kind} for kind in wanted]
    assert [each.message for each in events] == [f"about {kind}" for kind in wanted]
    assert {each.extra for each in events} == {None}
    assert list(store.runs.iter_events(run_id, page_size=page_size)) == events
    assert store.runs.events(run_id, after=events[2].event_id) == events[3:]
    assert list(store.runs.iter_events(run_id, events[2].event_id, page_size=page_size)) == events[3:]
    assert store.runs.events("none") == list(store.runs.iter_events("none")) == []
    with pytest.raises(ValueError, match="page_size"):
        next(iter(store.runs.iter_events(run_id, page_size=0)))


def test_json_is_read_as_payloads_are(ledger_: Ledger, store: EventStore, gateway: Connection, run_id: str) -> None:
    add_run(gateway, run_id)
    huge = f"7{'0' * 4400}"  # more digits than Python reads, in few bytes
    deep = '{"a":' * 2000 + "1" + "}" * 2000
    for data in (f'{{"n": {huge}}}', deep, '{"n": 1.5, "m": 10000000000000000000000000}'):
        gateway.execute("insert into helix.run_events (run_id, kind, data) values (%s, 'k', %s)", (run_id, data))
    for events in (store.runs.events(run_id), store.runs.observe(run_id).events):
        assert events[0].data == {"n": Decimal(huge)}
        assert isinstance(events[1].data, UnreadableJson)
        assert events[2].data == {"n": 1.5, "m": 10**25}
    store.advance_all()
    assert isinstance(store.runs.read_log()[1].data, UnreadableJson)


def test_kinds_are_counted_listed_or_not(store: EventStore, gateway: Connection, run_id: str) -> None:
    assert {each.events for each in store.runs.kinds()} == {0}
    for name in (run_id, f"{run_id}-2"):
        add_run(gateway, name)
        add_events(gateway, name, "run.started", "collect.plan", "studio.command")
    add_events(gateway, run_id, "run.started")
    used = {each.kind: each for each in store.runs.kinds() if each.events}
    assert {kind: (each.is_listed, each.family, each.events, each.runs) for kind, each in used.items()} == {
        "collect.plan": (True, "collect", 2, 2),
        "run.started": (True, "run", 3, 2),
        "studio.command": (True, "studio", 2, 2),
    }
    first = used["run.started"].first_at
    assert first is not None
    assert first.tzinfo is not None


def test_what_no_text_can_be_is_malformed(store: EventStore) -> None:
    for run_id in ("\x00", "\ud800"):
        for call in (store.runs.get, store.runs.events, store.runs.observe):
            with pytest.raises(MalformedEventError):
                call(run_id)


# Observations


def test_an_observation_is_a_run_of_its_own_and_shows_the_target(
    store: EventStore, gateway: Connection, run_id: str
) -> None:
    add_run(gateway, run_id, status="running")
    target = store.runs.get(run_id)
    seen = store.runs.observe(run_id, tool_name="slurm_job_get", requested_by="agent")
    assert (seen.target, seen.events) == (target, [])
    add_events(gateway, run_id, "run.started", "exec.plan")
    again = store.runs.observe(run_id)
    assert (again.target, again.events) == (target, store.runs.events(run_id))
    assert len({seen.run_id, again.run_id, run_id}) == 3
    observation = store.runs.get(seen.run_id)
    assert observation is not None
    assert (observation.tool_name, observation.requested_by, observation.status) == (
        "slurm_job_get",
        "agent",
        "succeeded",
    )
    assert observation.result_json == {"target_run_id": run_id}
    assert kinds(store.runs.events(seen.run_id)) == ["run.started", "run.succeeded"]
    rows = gateway.execute("select run_id, target_run_id from helix.observations order by observed_at").fetchall()
    assert rows == [(seen.run_id, run_id), (again.run_id, run_id)]


def test_in_a_callers_transaction_the_target_is_read_only_until_it_ends(
    store: EventStore, gateway: Connection, customer: str, run_id: str
) -> None:
    add_run(gateway, run_id)
    joined = EventStore(gateway, customer_id=customer)
    with gateway.transaction():
        joined.runs.observe(run_id)
        for work in (
            lambda: joined.runs.link(run_id, "exec"),
            lambda: joined.runs.link(run_id, "exec", customer_id=customer),
        ):
            with pytest.raises(RunError) as caught:
                with gateway.transaction():
                    work()
            assert caught.value.rule == "observed_is_read_only"
        with pytest.raises(psycopg.Error) as refused:
            with gateway.transaction():
                add_events(gateway, run_id, "k")
        assert refused.value.sqlstate == "ZXRUN"
        assert len(joined.runs.list()) == 2  # seen in here
        assert len(store.runs.list()) == 1  # and not committed
    assert joined.runs.link(run_id, "exec").execution_id == "exec"
    add_events(gateway, run_id, "k")
    assert len(store.runs.list()) == 2


def test_an_observation_that_is_refused_is_none(
    ledger_: Ledger, store: EventStore, gateway: Connection, customer: str, run_id: str
) -> None:
    add_run(gateway, run_id)
    with pytest.raises(RunError) as caught:
        store.runs.observe("none")
    assert caught.value.rule == "run_known"
    with pytest.raises(RunError):
        store.runs.observe(run_id, customer_id=f"{customer}-2")
    for name in ("", "x" * 256):
        with pytest.raises(MalformedEventError) as malformed:
            store.runs.observe(run_id, tool_name=name)
        assert malformed.value.rule == "tool_name_length"
    reader = ledger_.login(f"login-{uuid4()}", "aximo_reader", customers=(customer,))
    with EventStore(ledger_.dsn(reader)) as reading:
        assert reading.runs.get(run_id) == store.runs.get(run_id)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reading.runs.observe(run_id)
    with EventStore(ledger_.dsn(SERVICE)) as nobody:
        with pytest.raises(CustomerError):
            nobody.runs.list()
        with pytest.raises(CustomerError):
            nobody.runs.observe(run_id)
    assert len(store.runs.list()) == 1


def test_state_and_events_are_of_the_same_moment(
    dsn: str, store: EventStore, gateway: Connection, customer: str, run_id: str
) -> None:
    add_run(gateway, run_id, status="running", exit_code=0)
    stop = threading.Event()

    def work() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("select set_config('aximo.customer_id', %s, false)", (customer,))
            while not stop.is_set():
                with connection.transaction():
                    add_events(connection, run_id, "step")
                    connection.execute("update helix.runs set exit_code = exit_code + 1 where run_id = %s", (run_id,))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        seen = [store.runs.observe(run_id) for _ in range(60)]
    finally:
        stop.set()
        thread.join()
    assert [each.target.exit_code for each in seen] == [len(each.events) for each in seen]
    assert len({each.target.exit_code for each in seen}) > 1


# Which execution a run served


def test_a_run_is_linked_to_an_execution_once(
    store: EventStore, gateway: Connection, customer: str, run_id: str
) -> None:
    store.emit(event("execution_triggered", "exec"))
    add_run(gateway, run_id)
    add_events(gateway, run_id, "run.started")
    for _ in range(2):
        run = store.runs.link(run_id, "exec")
        assert run == store.runs.get(run_id)
        assert run.execution_id == "exec"
    assert [step.event_type for step in store.trace("exec")] == ["execution_triggered", "run.started"]
    with pytest.raises(ImmutableError) as caught:
        store.runs.link(run_id, "another")
    assert caught.value.rule == "run_serves_one_execution"
    for name, whose in (("none", customer), (run_id, f"{customer}-2")):
        with pytest.raises(RunError) as unknown:
            store.runs.link(name, "exec", customer_id=whose)
        assert unknown.value.rule == "run_known"
    add_run(gateway, f"{run_id}-2")
    with pytest.raises(MalformedEventError) as malformed:
        store.runs.link(f"{run_id}-2", "")
    assert malformed.value.rule == "execution_id_length"


# The log of their events


@pytest.fixture
def filled(store: EventStore, gateway: Connection, run_id: str) -> list[str]:
    """The kinds of a log of ten run events, numbered; with an event of the other log beside it."""
    wanted = [f"k{n}" for n in range(10)]
    add_run(gateway, run_id)
    add_events(gateway, run_id, *wanted)
    store.emit(event("sla_breached", None))
    store.advance_all()
    return wanted


def test_the_log_is_read_by_number(store: EventStore, filled: list[str], customer: str) -> None:
    entries = store.runs.read_log()
    assert kinds(entries) == filled
    assert [each.number for each in entries] == list(range(1, 11))
    assert [each.event_id for each in entries] == [each.event_id for each in store.runs.events(entries[0].run_id)]
    assert store.runs.read_log(4, 3) == entries[4:7]
    assert store.runs.read_log(10) == []
    assert (store.runs.log_size(), store.log_size()) == (10, 1)
    assert len(store.read_log()) == 1
    assert store.runs.read_log(customer_id=f"{customer}-2") == []
    for wrong in ((-1, 1), (0, 0)):
        with pytest.raises(MalformedEventError) as caught:
            store.runs.read_log(*wrong)
        assert caught.value.rule == "log_is_read_forward"


def test_new_events_are_numbered_first_where_that_is_asked_for(
    store: EventStore, gateway: Connection, filled: list[str], run_id: str
) -> None:
    add_events(gateway, run_id, "late")
    assert len(store.runs.read_log()) == 10
    assert len(store.runs.read_log(advance=True)) == 11
    with gateway.transaction(), pytest.raises(MalformedEventError) as caught:
        EventStore(gateway).runs.read_log(advance=True)
    assert caught.value.rule == "advance_outside_transaction"


def test_a_consumer_deals_with_each_entry_once_in_a_log_of_its_own(
    dsn: str, store: EventStore, filled: list[str], customer: str
) -> None:
    done: list[str] = []
    with pytest.raises(ZeroDivisionError), store.runs.consume("billing", 4) as batch:
        assert (isinstance(batch, RunLogBatch), batch.first, batch.last, len(batch)) == (True, 1, 4, 4)
        raise ZeroDivisionError
    for _ in range(4):
        with store.runs.consume("billing", 4) as batch:
            done += kinds(list(batch))
    assert done == filled
    # The other log has a cursor of the same name, and is where it was.
    with store.consume("billing") as other:
        assert [each.event_type for each in other] == ["sla_breached"]
    assert [(each.name, each.number, each.behind) for each in store.runs.cursors()] == [("billing", 10, 0)]
    assert [(each.name, each.number, each.behind) for each in store.cursors()] == [("billing", 1, 0)]
    with ConnectionPool(dsn, min_size=1, max_size=2, open=True) as pool:
        with EventStore(pool, customer_id=customer).runs.consume("pooled") as batch:
            assert len(batch) == 10
    with pytest.raises(CursorError), store.runs.consume("moved") as batch:
        batch.connection.execute("select aximo.move_cursor('moved', 0, 3, 'run_events')")


def test_a_subscription_goes_on_where_it_was(
    store: EventStore, gateway: Connection, filled: list[str], run_id: str
) -> None:
    assert kinds(list(store.runs.subscribe(after=7, follow=False))) == filled[7:]
    assert kinds(list(store.runs.subscribe("mailer", follow=False, max_entries=3))) == filled
    assert list(store.runs.subscribe("mailer", follow=False)) == []
    add_events(gateway, run_id, "a", "b", "c")
    with closing(store.runs.subscribe("mailer", advance=True)) as feed:  # type: ignore[type-var]
        assert [next(feed).kind, next(feed).kind] == ["a", "b"]  # type: ignore[call-overload]
    # The one in hand comes again.
    assert kinds(list(store.runs.subscribe("mailer", advance=True, follow=False))) == ["b", "c"]
    assert [each.number for each in store.runs.cursors()] == [13]
    assert store.cursors() == []
    with pytest.raises(ValueError, match="either name or after"):
        next(iter(store.runs.subscribe("mailer", after=1)))


def test_a_missing_entry_is_found_by_every_reader(
    ledger_: Ledger, store: EventStore, filled: list[str], customer: str
) -> None:
    with ledger_.superuser() as root:
        root.execute("set session_replication_role = replica")
        for table, column in (("aximo_private.log_entries", "number"),):
            root.execute(f"alter table {table} disable trigger user")
            root.execute(
                f"delete from {table} where customer_id = %s and log = 'run_events' and {column} = 5",  # type: ignore[arg-type]
                (customer,),
            )
            root.execute(f"alter table {table} enable trigger user")
    for read in (
        lambda: store.runs.read_log(),
        lambda: list(store.runs.subscribe(follow=False)),
        lambda: store.runs.consume("billing").__enter__(),
    ):
        with pytest.raises(ProofError) as caught:
            read()
        assert caught.value.rule == "log_is_dense"
    assert kinds(store.runs.read_log(0, 4)) == filled[:4]


# Asynchronously


async def test_the_asynchronous_store_has_them_too(
    dsn: str, gateway: Connection, filled: list[str], customer: str, run_id: str
) -> None:
    async with AsyncEventStore(dsn, customer_id=customer) as store:
        (run,) = await store.runs.list(status="queued")
        assert run == await store.runs.get(run_id)
        events = await store.runs.events(run_id)
        assert [each async for each in store.runs.iter_events(run_id, page_size=3)] == events
        seen = await store.runs.observe(run_id)
        assert (seen.target, seen.events) == (run, events)
        assert (await store.runs.link(run_id, "exec")).execution_id == "exec"
        assert "k0" in {each.kind for each in await store.runs.kinds()}
        async with store.runs.consume("billing", 3) as batch:
            assert kinds(list(batch)) == filled[:3]
        async with aclosing(store.runs.subscribe("billing", follow=False)) as feed:  # type: ignore[type-var]
            assert [each.kind async for each in feed] == filled[3:]
        assert kinds(await store.runs.read_log()) == filled
        assert [each.number for each in await store.runs.cursors()] == [10]
        assert await store.runs.log_size() == 10
