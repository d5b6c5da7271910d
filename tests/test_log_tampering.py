"""Whoever can write past the guards is found: by verify_log, by a stored checkpoint, or by one kept elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from aximo_db import tlog
from aximo_db.dba.verify_log import verify_log
from tests.conftest import Ledger
from tests.log_support import (
    KEEPER,
    advance_all,
    checkpoint,
    emit_many,
    entries,
    export,
    keeper,
    of_customer,
    positions,
    problems,
    store_checkpoint,
)

Connection = psycopg.Connection[Any]

#: Two complete tiles of 256, and a part of a third.
SIZE = 600
GUARDED = ("events", "log_entries", "log_nodes", "checkpoints")


class Crime:
    """A log, and a superuser who has put its guards out of the way."""

    def __init__(self, ledger: Ledger) -> None:
        self.operator = ledger.connect(keeper(ledger))
        emit_many(self.operator, 50, "c2")
        emit_many(self.operator, SIZE)
        emit_many(self.operator, 50, "c2")
        advance_all(self.operator)
        self.root = ledger.superuser()
        self.log = entries(self.root)
        assert problems(self.operator) == []
        for table in GUARDED:
            self.root.execute(f"alter table aximo_private.{table} disable trigger all")

    def change(self, query: str, *values: Any, rows: int = 1) -> None:
        assert self.root.execute(query, values).rowcount == rows

    def change_payload(self, number: int) -> None:
        """One byte of it: a digit."""
        self.change(
            "update aximo_private.events set payload = jsonb_build_object('n', 9 - (payload ->> 'n')::integer %% 10)"
            " where customer_id = 'c1' and event_id = %s",
            self.log[number - 1],
        )

    def delete_event(self, number: int) -> None:
        self.change("delete from aximo_private.events where event_id = %s", self.log[number - 1])

    def delete_entry(self, number: int) -> None:
        self.change("delete from aximo_private.log_entries where customer_id = 'c1' and number = %s", number)

    def rewrite_leaf(self, number: int) -> None:
        """By what the event says now."""
        query = "select line from aximo.log_lines where number = %s"
        line = of_customer(self.operator, "c1", query, number)[0][0]
        self.change(
            "update aximo_private.log_entries set leaf = %s where customer_id = 'c1' and number = %s",
            tlog.leaf_hash(line.encode()),
            number,
        )

    def rewrite_nodes(self) -> None:
        """All of them, by the arithmetic of the package."""
        query = "select leaf from aximo_private.log_entries where customer_id = 'c1' order by number"
        leaves = [bytes(row[0]) for row in self.root.execute(query)]
        for index in range(len(leaves) // 256):
            self.change(
                "update aximo_private.log_nodes set hash = %s where customer_id = 'c1' and level = 1 and index = %s",
                tlog.root_of(leaves[256 * index : 256 * (index + 1)]),
                index,
            )

    def swap(self, one: int, other: int, what: str) -> None:
        rows = {
            number: (event_id, leaf)
            for number, event_id, leaf in self.root.execute(
                "select number, event_id, leaf from aximo_private.log_entries"
                " where customer_id = 'c1' and number in (%s, %s)",
                (one, other),
            )
        }
        with self.root.transaction():
            self.delete_entry(one)
            self.delete_entry(other)
            for number, source in ((one, other), (other, one)):
                leaf = rows[source if what == "both" else number][1]
                self.change(
                    "insert into aximo_private.log_entries (customer_id, log, number, event_id, leaf) values ('c1', 'events', %s, %s, %s)",
                    number,
                    rows[source][0],
                    leaf,
                )

    def assert_innocent_neighbour(self) -> None:
        assert problems(self.operator, "c2") == []


@pytest.fixture
def crime(each_ledger: Ledger) -> Crime:
    return Crime(each_ledger)


def test_the_role_of_a_replica_does_not_open_the_guards(each_ledger: Ledger) -> None:
    operator = each_ledger.connect(keeper(each_ledger))
    emit_many(operator, 256)
    advance_all(operator)
    store_checkpoint(operator)
    root = each_ledger.superuser()
    root.execute("set session_replication_role = replica")
    for table in (*GUARDED, "violations"):
        for change in ("delete from", "truncate", "update"):
            setting = " set customer_id = customer_id" if change == "update" else ""
            with pytest.raises(psycopg.Error) as refusal:
                root.execute(f"{change} aximo_private.{table}{setting}")
            assert refusal.value.sqlstate == "ZXIMM"
    assert problems(operator) == []


@pytest.mark.parametrize("number", [1, 256, 257, SIZE])
def test_a_changed_payload_is_found(crime: Crime, number: int) -> None:
    crime.change_payload(number)
    assert problems(crime.operator) == [("event_differs", number, crime.log[number - 1])]
    crime.assert_innocent_neighbour()


@pytest.mark.parametrize("column", ["recorded_at", "recorded_by", "actor", "timestamp"])
def test_a_change_of_any_field_is_found(crime: Crime, column: str) -> None:
    value = {
        "recorded_by": "'somebody'",
        "actor": "'founder'",
    }.get(column, f"\"{column}\" - interval '1 microsecond'")
    crime.change(
        f"update aximo_private.events set \"{column}\" = {value} where customer_id = 'c1' and event_id = %s",
        crime.log[9],
    )
    assert problems(crime.operator) == [("event_differs", 10, crime.log[9])]


@pytest.mark.parametrize("number", [1, 300, SIZE])
def test_a_deleted_event_is_found(crime: Crime, number: int) -> None:
    crime.delete_event(number)
    assert problems(crime.operator) == [("event_removed", number, crime.log[number - 1])]
    rows = of_customer(crime.operator, "c1", "select number from aximo.log_lines where line is null")
    assert rows == [(number,)]


def test_an_event_deleted_with_its_entry_in_the_middle_is_found(crime: Crime) -> None:
    crime.delete_event(300)
    crime.delete_entry(300)
    # The tile from 257 on is another one too.
    assert set(problems(crime.operator)) == {("node_differs", 257, None), ("number_missing", 301, crime.log[300])}


def test_the_last_events_deleted_with_their_entries_are_found_by_a_stored_checkpoint(crime: Crime) -> None:
    store_checkpoint(crime.operator)
    for number in (SIZE, SIZE - 1):
        crime.delete_event(number)
        crime.delete_entry(number)
    assert problems(crime.operator) == [("checkpoint_ahead", SIZE, None)]


def test_an_entry_without_its_event_missing_is_found_as_well(crime: Crime) -> None:
    """The event is there, and in no log."""
    crime.delete_entry(SIZE)
    assert problems(crime.operator) == [("event_not_in_log", None, crime.log[-1])]


@pytest.mark.parametrize("place", ["before the first", "in the middle", "at the last"])
def test_an_event_put_into_the_past_is_found(crime: Crime, place: str) -> None:
    by_event = positions(crime.root)
    at = {
        "before the first": -5,
        "in the middle": by_event[crime.log[299]],
        "at the last": max(by_event.values()),
    }[place]
    forged = uuid4()
    crime.change(
        "insert into aximo_private.events (position, event_id, event_type, customer_id, deployment_id, skill_id, skill_version, actor)"
        " values (%s, %s, 'sla_breached', 'c1', 'd', 's', '1', 'system')",
        at,
        forged,
    )
    advance_all(crime.operator)
    assert problems(crime.operator) == [("event_not_in_log", None, forged)]
    crime.assert_innocent_neighbour()


def test_two_entries_that_changed_places_are_found(crime: Crime) -> None:
    crime.swap(100, 400, "events")
    assert problems(crime.operator) == [
        ("event_differs", 100, crime.log[399]),
        ("event_differs", 400, crime.log[99]),
    ]


def test_two_entries_that_changed_places_with_their_leaves_are_found_by_the_tree(crime: Crime) -> None:
    crime.swap(100, 400, "both")
    assert problems(crime.operator) == [("node_differs", 1, None), ("node_differs", 257, None)]


def test_where_the_tree_has_no_node_yet_a_checkpoint_finds_them(crime: Crime) -> None:
    """Of the entries after the last complete tile nothing but a checkpoint says in which order they were."""
    crime.swap(SIZE - 1, SIZE - 2, "both")
    assert problems(crime.operator) == []
    crime.swap(SIZE - 1, SIZE - 2, "both")
    store_checkpoint(crime.operator)
    crime.swap(SIZE - 1, SIZE - 2, "both")
    assert problems(crime.operator) == [("checkpoint_differs", SIZE, None)]


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("delete from aximo_private.log_nodes where customer_id = 'c1' and index = 1", "node_missing"),
        ("update aximo_private.log_nodes set hash = sha256('') where customer_id = 'c1' and index = 1", "node_differs"),
    ],
)
def test_a_node_that_is_not_what_is_below_it_is_found(crime: Crime, query: str, problem: str) -> None:
    crime.change(query)
    assert problems(crime.operator) == [(problem, 257, None)]


def test_a_leaf_rewritten_with_its_event_is_found_by_the_tree(crime: Crime) -> None:
    crime.change_payload(300)
    crime.rewrite_leaf(300)
    assert problems(crime.operator) == [("node_differs", 257, None)]


def forge(crime: Crime) -> None:
    crime.change_payload(300)
    crime.rewrite_leaf(300)
    crime.rewrite_nodes()


def test_a_history_rewritten_throughout_is_found_by_a_stored_checkpoint(crime: Crime) -> None:
    early = checkpoint(crime.operator)
    store_checkpoint(crime.operator)
    more = emit_many(crime.operator, 10)
    advance_all(crime.operator)
    assert entries(crime.root)[SIZE:] == more
    store_checkpoint(crime.operator)
    forge(crime)
    assert problems(crime.operator) == [("checkpoint_differs", SIZE, None), ("checkpoint_differs", SIZE + 10, None)]
    with pytest.raises(psycopg.Error) as refusal:
        of_customer(crime.operator, "c1", "select aximo.add_checkpoint(%s)", early)
    assert refusal.value.sqlstate == "ZXPRF"


def test_a_history_rewritten_with_its_checkpoints_is_found_by_one_kept_elsewhere(crime: Crime) -> None:
    at_300 = of_customer(crime.operator, "c1", "select aximo.checkpoint_text(299)")[0][0]
    kept = [tlog.parse_checkpoint(text) for text in (at_300, store_checkpoint(crime.operator))]
    assert tlog.verify_export(export(crime.operator), kept).ok
    forge(crime)
    forged = checkpoint(crime.operator)
    crime.change(
        "update aximo_private.checkpoints set note = %s, root = decode(%s, 'base64')", forged, forged.split("\n")[2]
    )
    assert problems(crime.operator) == []
    verdict = tlog.verify_export(export(crime.operator), kept)
    assert not verdict.ok
    assert verdict.doubtful == (300, SIZE)
    assert tlog.verify_export(export(crime.operator), tlog.parse_checkpoint(forged)).ok
    crime.assert_innocent_neighbour()


def test_a_log_that_was_cut_off_is_found_by_a_checkpoint_kept_elsewhere(crime: Crime) -> None:
    kept = tlog.parse_checkpoint(checkpoint(crime.operator))
    crime.delete_event(SIZE)
    crime.delete_entry(SIZE)
    assert problems(crime.operator) == []
    verdict = tlog.verify_export(export(crime.operator), kept)
    assert (verdict.ok, verdict.missing) == (False, 1)


CRIMES: dict[str, Callable[[Crime], None]] = {
    "a change": lambda crime: crime.change_payload(400),
    "a removal": lambda crime: crime.delete_event(400),
    "a swap": lambda crime: crime.swap(400, 401, "events"),
}


@pytest.mark.parametrize("name", CRIMES)
def test_of_several_problems_the_first_in_the_log_comes_first(crime: Crime, name: str) -> None:
    crime.change("update aximo_private.log_nodes set hash = sha256('') where customer_id = 'c1' and index = 1")
    CRIMES[name](crime)
    crime.change_payload(20)
    found = problems(crime.operator)
    # A subtree comes after its entries, so that the entry that is wrong is named before it.
    assert found[0] == ("event_differs", 20, crime.log[19])
    assert found[1][1] == 400
    assert ("node_differs", 257, None) in found[2:]


def test_nothing_is_hidden_by_an_event_of_the_same_id_of_another_customer(crime: Crime) -> None:
    number = 42
    crime.delete_event(number)
    crime.change(
        "insert into aximo_private.events (event_id, event_type, customer_id, deployment_id, skill_id, skill_version, actor)"
        " values (%s, 'sla_breached', 'c2', 'd', 's', '1', 'system')",
        crime.log[number - 1],
    )
    advance_all(crime.operator)
    assert problems(crime.operator) == [("event_removed", number, crime.log[number - 1])]
    assert crime.log[number - 1] in entries(crime.root, "c2")


def forge_event(crime: Crime, age: str) -> UUID:
    """An event that the emitter never sent, in another's name, numbered in its turn."""
    forged = uuid4()
    crime.change(
        "insert into aximo_private.events"
        " (event_id, event_type, customer_id, deployment_id, skill_id, skill_version, actor, recorded_by, recorded_at)"
        " values (%s, 'sla_breached', 'c1', 'dep-1', 'skill-1', '1.0', 'system', 'somebody', clock_timestamp() - %s::interval)",
        forged,
        age,
    )
    advance_all(crime.operator)
    return forged


def test_an_event_dated_back_past_what_is_numbered_before_it_is_found(crime: Crime, each_ledger: Ledger) -> None:
    forged = forge_event(crime, "2 hours")
    more = emit_many(crime.operator, 2)
    advance_all(crime.operator)
    assert entries(crime.root)[SIZE:] == [forged, *more]
    assert problems(crime.operator) == [("recorded_out_of_order", SIZE + 1, forged)]
    dsn = each_ledger.dsn(KEEPER)
    verdict = verify_log(dsn, customer_id="c1")
    assert [(found.kind, found.number, found.event_id) for found in verdict.problems] == [
        ("recorded_out_of_order", SIZE + 1, forged)
    ]
    # Looked at with the last piece.
    pieces = [
        of_customer(crime.operator, "c1", f"select problem from aximo.verify_log('events', {piece})")
        for piece in ("1, 500", "501, null")
    ]
    assert pieces == [[], [("recorded_out_of_order",)]]
    # Who knows of a transaction that was open for so long says so.
    assert verify_log(dsn, customer_id="c1", in_flight=timedelta(hours=3)).ok
    query = "select problem from aximo.verify_log(in_flight => '3 hours')"
    assert of_customer(crime.operator, "c1", query) == []
    crime.assert_innocent_neighbour()


def test_an_event_that_was_in_flight_is_no_finding(crime: Crime, each_ledger: Ledger) -> None:
    forge_event(crime, "59 minutes")
    assert problems(crime.operator) == []
    assert verify_log(each_ledger.dsn(KEEPER), customer_id="c1").ok
