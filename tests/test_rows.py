"""The rows of executions and approvals are what their events come to: whatever was written, whoever wrote, whatever broke."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from aximo_db.dba.verify_log import verify_log
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, DBA, SETTINGS, VERSIONS, Ledger, make_database
from tests.events import emit, event

Connection = psycopg.Connection[Any]
KEEPER = "rows_keeper"
LONG = "x" * 300


@pytest.fixture
def keeper(each_ledger: Ledger) -> Connection:
    """A login that emits, imports and repairs, for one customer."""
    login = each_ledger.login(KEEPER, "aximo_writer", "aximo_operator", customers=("c1",))
    return each_ledger.connect(login)


def tell(connection: Connection) -> None:
    """Some lives: one with approvals, one that fails, one that is open, one that is imported with what it broke."""
    for kind, execution, payload in (
        ("execution_triggered", "a", {}),
        ("execution_processing", "a", {}),
        ("approval_requested", "a", {"approval_id": LONG}),
        ("approval_rejected", "a", {"approval_id": LONG, "reason": "no"}),
        ("action_prepared", "a", {"action_id": "1", "approval_id": LONG}),
        ("action_prepared", "a", {"action_id": "2", "approval_id": "other"}),
        ("action_dispatched", "a", {"action_id": "2", "approval_id": "other"}),
        ("execution_completed", "a", {}),
        ("execution_triggered", "b", {}),
        ("sla_breached", "b", {}),
        ("execution_failed", "b", {"error": "it broke"}),
        ("execution_triggered", "c", {}),
        ("execution_processing", "c", {}),
        ("approval_requested", "c", {}),
    ):
        emit(connection, kind, execution, payload=payload)
    history = [
        event(kind, "d", payload=payload)
        for kind, payload in (
            ("execution_processing", {}),
            ("execution_triggered", {}),
            ("approval_granted", {}),
            ("approval_timeout", {"approval_id": "q"}),
            ("approval_requested", {"approval_id": "q"}),
            ("approval_requested", {"approval_id": "q"}),
            ("approval_granted", {"approval_id": "q"}),
            ("execution_completed", {}),
            ("execution_failed", {"error": "later"}),
            ("action_dispatched", {}),
        )
    ]
    connection.execute("select count(*) from aximo.import_events(%s)", (Jsonb(history),))


def problems(connection: Connection) -> list[tuple[str, str, int | None]]:
    return connection.execute(
        "select problem, execution_id, step from aximo.verify_executions() order by 2, 1, 3"
    ).fetchall()


def test_rows_say_what_is_worked_out_of_the_events(keeper: Connection) -> None:
    tell(keeper)
    assert problems(keeper) == []
    for view in ("executions", "approvals"):
        now, told = (
            keeper.execute(f"select * from {source} order by 1, 2, requested".replace("requested", key)).fetchall()  # type: ignore[arg-type]
            for key in (("started_at",) if view == "executions" else ("request_event_id",))
            for source in (f"aximo.{view}", f"aximo.{view}_as_of('infinity')")
        )
        assert now == told
        assert len(now) > 3
    still_open = "select execution_id, deployment_id, skill_id, skill_version, status, started_at, last_event_at from "
    assert (
        keeper.execute(still_open + "aximo.open_executions").fetchall()
        == keeper.execute(still_open + "aximo.open_executions_as_of('infinity')").fetchall()
        != []
    )


def test_outcome_is_how_it_ended(keeper: Connection) -> None:
    tell(keeper)
    found = keeper.execute("select execution_id, outcome, status from aximo.executions order by 1").fetchall()
    assert found == [
        ("a", "completed", "completed"), ("b", "failed", "failed"), ("c", None, "awaiting_approval"), ("d", "failed", "failed"),
    ]  # fmt: skip


TAMPERINGS = {
    "a count": ("update aximo_private.executions set actions_prepared = 9 where execution_id = 'a'", "execution_row_differs", "a"),
    "an outcome": ("update aximo_private.executions set outcome = null where execution_id = 'b'", "execution_row_differs", "b"),
    "a row taken": ("delete from aximo_private.executions where execution_id = 'c'", "execution_row_missing", "c"),
    "a row added": (
        "insert into aximo_private.executions (customer_id, execution_id, deployment_id, skill_id, skill_version, last_event_at, steps)"
        " values ('c1', 'z', 'd', 's', 'v', now(), 1)",
        "execution_row_surplus", "z",
    ),
    "a decision": ("update aximo_private.approvals set decision = 'granted' where execution_id = 'a'", "approval_row_differs", "a"),
    "an approval taken": ("delete from aximo_private.approvals where execution_id = 'c'", "approval_row_missing", "c"),
    "an approval added": (
        "insert into aximo_private.approvals (customer_id, execution_id, step, requested_at, request_event_id, deployment_id, skill_id,"
        " skill_version, requested_by) values ('c1', 'b', 2, now(), gen_random_uuid(), 'd', 's', 'v', 'system')",
        "approval_row_surplus", "b",
    ),
}  # fmt: skip


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_row_that_is_not_what_its_events_say_is_found_and_made_anew(
    each_ledger: Ledger, keeper: Connection, tampering: str
) -> None:
    tell(keeper)
    statement, problem, execution = TAMPERINGS[tampering]
    each_ledger.superuser().execute(statement)  # type: ignore[call-overload]
    assert [found[:2] for found in problems(keeper)] == [(problem, execution)]
    verdict = verify_log(each_ledger.dsn(KEEPER), customer_id="c1")
    assert [found.kind for found in verdict.problems] == [problem]
    assert keeper.execute("select aximo.repair_executions()").fetchone() == (1,)
    assert problems(keeper) == []
    assert keeper.execute("select aximo.repair_executions()").fetchone() == (0,)


def test_steps_are_verified(each_ledger: Ledger, keeper: Connection) -> None:
    tell(keeper)
    with each_ledger.superuser() as root:
        root.execute("alter table aximo_private.events disable trigger user")
        root.execute(
            "update aximo_private.events set step = 7 where execution_id = 'b' and event_type = 'execution_failed'"
        )
    assert ("step_missing", "b", 7) in problems(keeper)


def test_what_is_imported_against_a_rule_is_listed_once_and_verified(each_ledger: Ledger, keeper: Connection) -> None:
    tell(keeper)
    listed = keeper.execute("select rule from aximo.violations where execution_id = 'd'").fetchall()
    assert len(listed) == 8
    with each_ledger.superuser() as root:
        root.execute("alter table aximo_private.violations disable trigger user")
        root.execute("delete from aximo_private.violations where rule = 'ends_once'")
    assert [found[:2] for found in problems(keeper)] == [("rule_broken", "d")]


@pytest.mark.parametrize("way", ["one", "batch"])
def test_an_execution_whose_row_is_lost_takes_nothing_in_until_it_is_repaired(
    each_ledger: Ledger, keeper: Connection, way: str
) -> None:
    tell(keeper)
    each_ledger.superuser().execute("delete from aximo_private.executions where execution_id in ('b', 'c')")
    for execution, kind in (("c", "execution_triggered"), ("c", "approval_granted"), ("b", "sla_breached")):
        with pytest.raises(psycopg.Error) as refusal:
            if way == "one":
                emit(keeper, kind, execution)
            else:
                keeper.execute("select aximo.emit_events(%s)", (Jsonb([event(kind, execution)]),))
        assert (refusal.value.sqlstate, refusal.value.diag.constraint_name) == ("ZXENV", "execution_row_present")
    keeper.execute("select aximo.repair_executions()")
    emit(keeper, "approval_granted", "c")
    assert problems(keeper) == []


def test_an_event_that_is_sent_again_is_no_further_step(keeper: Connection) -> None:
    sent = [
        (kind, str(uuid4()), payload)
        for kind, payload in (
            ("execution_triggered", {}),
            ("execution_processing", {}),
            ("action_prepared", {"action_id": "x"}),
            ("approval_requested", {"approval_id": "q"}),
            ("approval_granted", {"approval_id": "q"}),
            ("approval_requested", {"approval_id": "q"}),
            ("approval_rejected", {"approval_id": "q"}),
            ("sla_breached", {}),
        )
    ]
    for place, (kind, event_id, payload) in enumerate(sent):
        receipt = emit(keeper, kind, payload=payload, event_id=event_id)
        for again, identity, other in sent[: place + 1]:
            assert emit(keeper, again, payload=other, event_id=identity)[2] is True
        assert receipt[2] is False
        assert keeper.execute("select events from aximo.executions").fetchone() == (place + 1,)
    assert problems(keeper) == []


# A server that dies


def crash(folder: Path, version: str, seed: int, rounds: int) -> None:
    if version not in BINARIES:
        pytest.skip(f"no PostgreSQL {version} binaries on this machine")
    server = EmbeddedServer(folder / "data", bin_dir=BINARIES[version], settings={**SETTINGS, "fsync": "on"})
    random = Random(seed)
    kept: set[str] = set()
    try:
        server.start()
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(f"create role {DBA} login createrole createdb")
        make_database(server, "ledger", "fresh")
        ledger = Ledger(server, "ledger", "fresh")
        dsn = ledger.dsn(ledger.login(KEEPER, "aximo_writer", "aximo_operator", customers=("c1",)))

        def write(own: Random) -> None:
            kinds = ("action_prepared", "action_dispatched", "approval_requested", "approval_granted", "sla_breached")
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(dsn, autocommit=True) as connection:
                while True:
                    execution = f"e{own.randint(1, 20)}"
                    kind = own.choice(("execution_triggered", "execution_processing", *kinds))
                    item = event(kind, execution, event_id=str(uuid4()), payload={"approval_id": own.choice("ab")})
                    with contextlib.suppress(psycopg.InternalError, psycopg.DatabaseError):
                        if own.random() < 0.7:
                            emit(connection, **item)
                        else:
                            connection.execute("select aximo.emit_events(%s)", (Jsonb([item]),))
                        kept.add(item["event_id"])
                    if connection.closed:
                        return

        for _ in range(rounds):
            with ThreadPoolExecutor(4) as pool:
                running = [pool.submit(write, Random(random.random())) for _ in range(4)]
                time.sleep(1 + random.random())
                server.kill()
                for each in running:
                    each.result(60)
            server.start()
            with psycopg.connect(dsn, autocommit=True) as connection:
                stored = {str(row[0]) for row in connection.execute("select event_id from aximo.events").fetchall()}
                assert kept <= stored
                assert len(kept) > 20
                assert problems(connection) == []
    finally:
        server.stop("immediate")


@pytest.mark.parametrize("version", VERSIONS)
def test_after_a_crash_rows_are_what_their_events_say(tmp_path: Path, version: str) -> None:
    crash(tmp_path, version, 1, 1)


@pytest.mark.heavy
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("seed", [2, 3])
def test_after_many_crashes_rows_are_what_their_events_say(tmp_path: Path, version: str, seed: int) -> None:
    crash(tmp_path, version, seed, 6)
