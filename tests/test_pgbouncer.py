"""Through PgBouncer in transaction mode, customers interleaved over very few server connections."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from aximo_db import AsyncEventStore, CustomerError, EventStore, NewEvent
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, Ledger, _cloned
from tests.events import BASE, event

SERVICE = "bouncer_service"
COMMON = {name: BASE[name] for name in ("deployment_id", "skill_id", "skill_version")}
BINARY = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(BINARY is None, reason="no pgbouncer on this machine")


@dataclass
class Bouncer:
    """A running PgBouncer and the ledger behind it."""

    folder: Path
    ledger: Ledger

    def dsn(self, pool_size: int = 1, user: str = SERVICE) -> str:
        """By pool size, the number of server connections that all clients of this name share."""
        return f"host={self.folder} port=6432 user={user} dbname=ledger_{pool_size}"


def _run_as() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam("nobody")  # PgBouncer refuses to run as root
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


@pytest.fixture(scope="module")
def bouncer(servers: Callable[[str], EmbeddedServer]) -> Iterator[Bouncer]:
    for ledger in _cloned(servers(next(iter(BINARIES))), "fresh", "pgbouncer_test"):
        ledger.login(SERVICE, "aximo_writer", customers=("*",))
        ledger.login("bouncer_bound", "aximo_writer", customers=("bound",))
        ledger.login("bouncer_two", "aximo_writer", customers=("first", "second"))
        folder = Path(tempfile.mkdtemp(prefix="aximo-bouncer-"))
        demotion = _run_as()
        server = ledger.server
        databases = "\n".join(
            f"ledger_{size} = host={server.socket_dir} port={server.socket_port} dbname={ledger.name} pool_size={size}"
            for size in (1, 2)
        )
        (folder / "users.txt").write_text(
            "".join(f'"{name}" ""\n' for name in (SERVICE, "bouncer_bound", "bouncer_two", "postgres"))
        )
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n{databases}\n[pgbouncer]\nlisten_addr =\nlisten_port = 6432\n"
            f"unix_socket_dir = {folder}\nauth_type = trust\nauth_file = {folder}/users.txt\n"
            f"pool_mode = transaction\nmax_client_conn = 200\nlogfile = {folder}/log\npidfile = {folder}/pid\n"
        )
        if demotion:
            for each in (folder, *folder.iterdir()):
                os.chown(each, demotion["user"], demotion["group"])
        process = subprocess.Popen(
            [str(BINARY), "-q", str(folder / "pgbouncer.ini")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **demotion,
        )
        found = Bouncer(folder, ledger)
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    psycopg.connect(found.dsn()).close()
                    break
                except psycopg.OperationalError:
                    assert process.poll() is None, (folder / "log").read_text()
                    assert time.monotonic() < deadline, (folder / "log").read_text()
                    threading.Event().wait(0.05)
            yield found
        finally:
            process.terminate()
            process.wait(20)
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def customer() -> str:
    return f"customer-{uuid4()}"


@pytest.fixture
def clean(bouncer: Bouncer) -> Iterator[None]:
    """After a test that leaves settings behind: new server connections for the next one."""
    yield
    with psycopg.connect(bouncer.ledger.dsn("postgres"), autocommit=True) as root:
        root.execute(
            "select pg_terminate_backend(pid, 60000) from pg_stat_activity"
            " where usename like 'bouncer%%' and datname = %s",
            (bouncer.ledger.name,),
        )


def new(event_type: str = "sla_breached", execution_id: str | None = None, **values: Any) -> NewEvent:
    return NewEvent(**event(event_type, execution_id, **values))


def owners(bouncer: Bouncer, *event_ids: Any) -> list[str]:
    """Whose these events are."""
    with psycopg.connect(bouncer.ledger.dsn("postgres"), autocommit=True) as root:
        query = "select customer_id from aximo_private.events where event_id = any(%s)"
        return [row[0] for row in root.execute(query, (list(event_ids),))]


def work(store: EventStore, customer: str, rounds: int = 6) -> None:
    """Everything a service does, again and again, with a look at what came of it."""
    own = store.for_customer(customer)
    for place in range(rounds):
        with own.execution(**COMMON, execution_id=f"exec-{place}", payload={"of": customer}) as execution:
            with execution.action("call", {"of": customer}):
                pass
            steps = own.trace(f"exec-{place}")
            assert [step.event_type for step in steps] == [
                "execution_triggered",
                "execution_processing",
                "action_prepared",
                "action_dispatched",
            ]
            assert {step.customer_id for step in steps} == {customer}
        own.emit_batch([new(payload={"of": customer}) for _ in range(3)])
        assert {each.customer_id for each in own.executions()} == {customer}
        assert len(own.executions(status="completed")) == place + 1
    events = list(own.iter_events(page_size=5))
    assert len(events) == rounds * 8
    assert {each.customer_id for each in events} == {customer}
    assert {each.payload.get("of", customer) for each in events} == {customer}


def test_one_server_connection_serves_every_client_and_both_modes_are_what_they_seem(bouncer: Bouncer) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(psycopg.connect(bouncer.dsn(), autocommit=True)) for _ in range(5)]
        pids = {client.execute("select pg_backend_pid()").fetchone() for client in clients}
    assert len(pids) == 1


@pytest.mark.parametrize("pool_size", [1, 2])
@pytest.mark.parametrize("kind", ["connection string", "pool"])
def test_customers_interleaved_over_few_server_connections_do_not_mix(
    bouncer: Bouncer, customer: str, pool_size: int, kind: str
) -> None:
    def run(number: int) -> None:
        if kind == "pool":
            options = {"prepare_threshold": None}
            with ConnectionPool(bouncer.dsn(pool_size), min_size=1, max_size=2, kwargs=options, open=True) as pool:
                work(EventStore(pool), f"{customer}-{number}")
        else:
            with EventStore(bouncer.dsn(pool_size)) as store:
                work(store, f"{customer}-{number}")

    with ThreadPoolExecutor(6) as threads:
        for promise in [threads.submit(run, number) for number in range(6)]:
            promise.result(60)


@pytest.mark.parametrize("pool_size", [1, 2])
async def test_the_asynchronous_store_does_not_mix_customers_either(
    bouncer: Bouncer, customer: str, pool_size: int
) -> None:
    async def run(number: int) -> None:
        name = f"{customer}-{number}"
        async with AsyncEventStore(bouncer.dsn(pool_size), customer_id=name) as store:
            for place in range(5):
                async with store.execution(**COMMON, execution_id=f"exec-{place}", payload={"of": name}) as execution:
                    async with execution.action("call"):
                        await asyncio.sleep(0)
                steps = await store.trace(f"exec-{place}")
                assert [step.customer_id for step in steps] == [name] * 5
            assert len(await store.executions(status="completed")) == 5
            assert {each.customer_id async for each in store.iter_events(page_size=4)} == {name}

    await asyncio.gather(*(run(number) for number in range(8)))


def test_one_client_alternates_between_customers(bouncer: Bouncer, customer: str) -> None:
    with EventStore(bouncer.dsn()) as store:
        names = [f"{customer}-{number}" for number in range(3)]
        sent: dict[str, list[Any]] = {name: [] for name in names}
        for place in range(30):
            name = names[place % 3]
            sent[name].append(store.emit(new(customer_id=name)).event_id)
            assert len(list(store.iter_events(customer_id=name))) == place // 3 + 1
        for name in names:
            assert sorted(each.event_id for each in store.iter_events(customer_id=name)) == sorted(sent[name])


def test_nothing_of_an_emit_or_a_read_stays_on_the_server_connection(bouncer: Bouncer, customer: str) -> None:
    settings = (
        "select coalesce(current_setting('aximo.customer_id', true), ''),"
        " coalesce(current_setting('aximo.as_of', true), ''),"
        " current_setting('enable_sort'), current_setting('enable_bitmapscan'), current_setting('search_path')"
    )
    with psycopg.connect(bouncer.dsn(), autocommit=True) as other, EventStore(bouncer.dsn()) as store:
        before = other.execute(settings).fetchone()
        own = store.for_customer(customer)
        receipt = own.emit(new("execution_triggered", "one"))
        with pytest.raises(CustomerError):
            store.emit(new())
        for call in (
            lambda: own.emit_batch([new()]),
            lambda: own.trace("one"),
            lambda: own.executions(as_of=receipt.recorded_at),
            lambda: list(own.iter_events(page_size=1)),
        ):
            call()
            assert other.execute(settings).fetchone() == before
            assert other.execute("select count(*) from aximo.events").fetchone() == (0,)
            assert other.execute("select count(*) from pg_prepared_statements").fetchone() == (0,)


# A client that sets something for the whole session leaves it to whoever comes next on the same server connection.
# What the ledger can promise then: a customer named in the call is the one that is read and written, or the write is
# refused with ZXCUS. A write never lands with another customer than the one it names, and a login never reaches a
# customer that it was not granted, as grants are by login and PgBouncer lends no server connection to another login.


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("kind", ["emit", "emit_batch", "execution"])
def test_a_customer_left_behind_never_gets_a_write_that_names_another(
    bouncer: Bouncer, customer: str, kind: str
) -> None:
    left = f"{customer}-left-behind"
    with psycopg.connect(bouncer.dsn(), autocommit=True) as careless:
        careless.execute("select set_config('aximo.customer_id', %s, false)", (left,))
    with EventStore(bouncer.dsn(), customer_id=customer) as store:
        it = new()
        try:
            if kind == "emit":
                store.emit(it)
            elif kind == "emit_batch":
                store.emit_batch([it])
            else:
                with store.execution(**COMMON, execution_id="one") as execution:
                    execution.emit("sla_breached")
        except CustomerError as refused:
            assert refused.rule == "customer_granted"
            assert list(store.iter_events()) == []
        else:
            assert {each.customer_id for each in store.iter_events()} == {customer}
        assert list(store.iter_events(customer_id=left)) == []


@pytest.mark.usefixtures("clean")
def test_a_customer_left_behind_is_not_read_by_a_call_that_names_another_or_none(
    bouncer: Bouncer, customer: str
) -> None:
    left = f"{customer}-left-behind"
    with EventStore(bouncer.ledger.dsn(SERVICE)) as direct:
        direct.emit(new("execution_triggered", "secret", customer_id=left))
        direct.emit(new("execution_triggered", "own", customer_id=customer))
    with psycopg.connect(bouncer.dsn(), autocommit=True) as careless:
        careless.execute("select set_config('aximo.customer_id', %s, false)", (left,))
        assert careless.execute("select count(*) from aximo.events").fetchone() == (1,)
    with EventStore(bouncer.dsn(), customer_id=customer) as store:
        assert [each.customer_id for each in store.iter_events()] == [customer]
        assert [each.execution_id for each in store.executions()] == ["own"]
        assert store.trace("secret") == []
    with EventStore(bouncer.dsn()) as unnamed:
        it = new()
        for call in (
            lambda: list(unnamed.iter_events()),
            unnamed.executions,
            lambda: unnamed.trace("secret"),
            lambda: unnamed.emit(it),
            lambda: unnamed.emit_batch([it]),
        ):
            with pytest.raises(CustomerError):
                call()
    assert owners(bouncer, it.event_id) == []


@pytest.mark.usefixtures("clean")
def test_a_login_with_one_customer_needs_to_name_none_whatever_was_left_behind(bouncer: Bouncer) -> None:
    dsn = bouncer.dsn(user="bouncer_bound")
    with psycopg.connect(dsn, autocommit=True) as careless:
        careless.execute("set aximo.customer_id = 'somebody-else'")
        assert careless.execute("select count(*) from aximo.events").fetchone() == (0,)
    with EventStore(dsn) as store:
        it = new()
        receipt = store.emit(it)
        assert [each.event_id for each in store.iter_events()] == [receipt.event_id]
    assert owners(bouncer, it.event_id) == ["bound"]


@pytest.mark.usefixtures("clean")
def test_a_setting_left_behind_opens_no_customer_that_was_not_granted(bouncer: Bouncer, customer: str) -> None:
    with EventStore(bouncer.ledger.dsn(SERVICE), customer_id=customer) as direct:
        direct.emit(new())
    dsn = bouncer.dsn(user="bouncer_two")
    with psycopg.connect(dsn, autocommit=True) as careless:
        careless.execute("select set_config('aximo.customer_id', %s, false)", (customer,))
    with EventStore(dsn) as store:
        for named in (customer, None):
            with pytest.raises(CustomerError):
                list(store.iter_events(customer_id=named))
            with pytest.raises(CustomerError):
                store.emit(new(customer_id=named))


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("left", ["0|0|0", "2000-01-01", "||", "nonsense|infinity|infinity"])
def test_a_moment_left_behind_hides_nothing(bouncer: Bouncer, customer: str, left: str) -> None:
    with psycopg.connect(bouncer.dsn(), autocommit=True) as careless:
        careless.execute("select set_config('aximo.as_of', %s, false)", (left,))
    with EventStore(bouncer.dsn(), customer_id=customer) as store:
        with store.execution(**COMMON, execution_id="one"):
            pass
        assert [each.status for each in store.executions()] == ["completed"]
        assert len(store.trace("one")) == 3
        assert len(list(store.iter_events())) == 3
        (step, *_) = store.trace("one")
        assert [each.status for each in store.executions(as_of=step.timestamp)] == ["triggered"]


@pytest.mark.usefixtures("clean")
def test_a_moment_left_behind_by_a_failed_transaction_hides_nothing(bouncer: Bouncer, customer: str) -> None:
    with psycopg.connect(bouncer.dsn()) as careless:
        careless.execute("select set_config('aximo.as_of', concat_ws('|', extract(epoch from now()), 0, 0), false)")
        careless.commit()
    with EventStore(bouncer.dsn(), customer_id=customer) as store:
        store.emit(new())
        assert len(list(store.iter_events())) == 1


def test_a_store_goes_on_when_the_bouncers_server_connection_was_ended(bouncer: Bouncer, customer: str) -> None:
    with (
        psycopg.connect(bouncer.ledger.dsn("postgres"), autocommit=True) as root,
        EventStore(bouncer.dsn(), customer_id=customer) as store,
    ):
        for place in range(3):
            store.emit(new())
            root.execute(
                "select pg_terminate_backend(pid, 60000) from pg_stat_activity where usename = %s and datname = %s",
                (SERVICE, bouncer.ledger.name),
            )
            assert len(list(store.iter_events())) == place + 1
