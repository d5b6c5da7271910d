"""Numbering holds a lock that all depend on: a call is bounded by count and by bytes, and nothing that is there stops it for everybody."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.conftest import Ledger
from tests.events import event
from tests.log_support import advance, advance_all, emit_many, emit_one, entries, holes, keeper, problems
from tests.test_helix import add_event, add_run

Connection = psycopg.Connection[Any]
MIB = 1048576
AT_MOST = 64  # MiB of text in one call
MANY = 300  # holes


@pytest.fixture
def operator(each_ledger: Ledger) -> Connection:
    return each_ledger.connect(keeper(each_ledger))


def test_a_call_numbers_about_so_many_bytes_and_the_next_one_goes_on(operator: Connection) -> None:
    text = "x" * (MIB - 20)  # stored in 12 kB: what counts is what is hashed
    batch = [event("sla_breached", None, payload={"t": text}) for _ in range(10)]
    for _ in range(8):
        operator.execute("select from aximo.emit_events(%s, 'c1')", [Jsonb(batch)])
    emit_many(operator, 5)
    assert advance(operator) == (AT_MOST, True)
    assert advance(operator) == (85 - AT_MOST, False)
    assert problems(operator) == []


def test_what_is_larger_than_a_call_takes_is_numbered_by_itself(operator: Connection) -> None:
    operator.execute("set aximo.customer_id = 'c1'")
    add_run(operator, "run_1")
    for n in range(9):
        add_event(operator, "run_1", f"x{n}", data={"t": "x" * (8 * MIB - 100)})
    for n in range(3):
        add_event(operator, "run_1", f"y{n}")
    assert [advance(operator) for _ in range(2)] == [(8, True), (4, False)]


def test_small_events_are_bound_by_their_count_alone(operator: Connection) -> None:
    for _ in range(3):
        emit_many(operator, 1000)
    assert advance(operator, 2500) == (2500, True)
    assert advance(operator, 2500) == (500, False)


def test_what_came_late_is_found_though_the_call_was_cut(each_ledger: Ledger, operator: Connection) -> None:
    late = each_ledger.connect(operator.info.user)
    late.execute("begin")
    payload = {"t": "x" * (MIB - 20)}
    first = [emit_one(late, payload=payload) for _ in range(70)]
    second = [emit_one(operator)]
    assert advance(operator) == (1, False)
    late.execute("commit")
    assert advance(operator) == (AT_MOST, True)
    third = emit_one(operator)
    assert advance_all(operator) == 70 - AT_MOST + 1
    assert set(entries(each_ledger.superuser())) == {*first, *second, third}
    assert problems(operator) == []


@pytest.mark.parametrize("back", [1, 2, 5])
def test_an_event_that_has_its_number_above_the_highest_position_stops_nobody(
    each_ledger: Ledger, operator: Connection, back: int
) -> None:
    root = each_ledger.superuser()
    ids = [emit_one(operator) for _ in range(6)]
    advance_all(operator)
    root.execute("update aximo_private.logs set high_position = high_position - %s where log = 'events'", [back])
    assert advance(operator) == (0, False)
    ids += [emit_one(operator), emit_one(operator, "c2")]
    assert advance(operator) == (2, False)
    assert advance(operator) == (0, False)
    assert entries(root) + entries(root, "c2") == ids
    assert problems(operator) == problems(operator, "c2") == []
    for _ in range(3):
        advance(operator)
    assert holes(root) == []


def test_many_that_have_their_numbers_are_passed_over_call_by_call(each_ledger: Ledger, operator: Connection) -> None:
    root = each_ledger.superuser()
    emit_many(operator, 50)
    advance_all(operator)
    root.execute("update aximo_private.logs set high_position = 1 where log = 'events'")
    new = emit_many(operator, 3)
    numbered = 0
    for _ in range(10):
        numbered += advance(operator, 10)[0]
    assert numbered == 3
    assert entries(root)[-3:] == new


def idle(root: Connection) -> int:
    """The blocks that an advance with nothing new looks at, when it has been done a few times."""
    query = "explain (analyze, buffers, timing off, format json) select from aximo.advance_log()"
    seen = []
    for _ in range(8):
        row = root.execute(query).fetchone()
        assert row is not None
        plan = row[0][0]["Plan"]
        seen.append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
    return min(seen[-3:])


def make_holes(root: Connection, operator: Connection, count: int) -> None:
    """As many positions that are open, each between two that are numbered, as if every second had been rolled back."""
    for _ in range(count):
        root.execute("select nextval('aximo_private.events_position')")
        emit_one(operator)
    advance_all(operator)


@pytest.mark.parametrize("analyzed", [False, True])
def test_holes_that_nothing_can_have_come_up_in_cost_an_idle_advance_nothing(
    each_ledger: Ledger, operator: Connection, analyzed: bool
) -> None:
    root = each_ledger.superuser()
    emit_many(operator, 10)
    advance_all(operator)
    without = idle(root)
    with each_ledger.connect(autocommit=False) as old:
        old.execute("select pg_current_xact_id()")
        owner = each_ledger.connect(operator.info.user)
        owner.execute("begin")
        late = emit_one(owner)
        make_holes(root, operator, MANY)
        assert advance(operator) == advance(operator) == (0, False)
        assert len(holes(root)) == MANY
        if analyzed:
            root.execute("analyze aximo_private.log_holes")
        assert idle(root) <= without + 10
        # Others that come and go own none of them.
        for _ in range(3):
            emit_one(operator)
            assert advance(operator) == (1, False)
        assert idle(root) <= without + 10
        # Who could own one of them ends: they are looked into, once.
        owner.execute("commit")
        assert advance(operator) == (1, False)
        assert late in entries(root)
        assert idle(root) <= without + 10
        assert len(holes(root)) == MANY
    advance_all(operator)
    advance_all(operator)
    assert holes(root) == []
    assert problems(operator) == []


def test_what_somebody_put_into_a_remembered_hole_is_mended(each_ledger: Ledger, operator: Connection) -> None:
    root = each_ledger.superuser()
    with each_ledger.connect(autocommit=False) as old:
        old.execute("select pg_current_xact_id()")
        taken = each_ledger.connect(operator.info.user)
        taken.execute("begin")
        emit_one(taken)
        emit_one(operator)
        advance_all(operator)
        taken.execute("rollback")
        for _ in range(3):
            advance_all(operator)
        (hole,) = holes(root)
        root.execute("select setval('aximo_private.events_position', %s, false)", (hole[0],))
        late = emit_one(operator)
        # Not one that could have owned it: it is found when those are over, or looked for.
        assert advance(operator) == (0, False)
        assert operator.execute("select aximo.mend_log()").fetchone() is not None
        assert advance(operator) == (1, False)
        assert late in entries(root)
    assert problems(operator) == []
