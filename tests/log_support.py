"""What the tests of the log share: acting on it, and looking at it from outside."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.types.json import Jsonb

from aximo_db import tlog
from tests.conftest import Ledger
from tests.events import event

Connection = psycopg.Connection[Any]

KEEPER = "log_keeper"
ALL_AT_ONCE = 10000


def keeper(ledger: Ledger) -> str:
    """A login that emits, reads and advances, for every customer."""
    return ledger.login(KEEPER, "aximo_writer", "aximo_operator", "aximo_auditor", customers=("*",))


def emit_one(
    connection: Connection,
    customer: str = "c1",
    kind: str = "sla_breached",
    execution: str | None = None,
    **fields: Any,
) -> UUID:
    """Emits an event, of no execution unless one is named; returns its id."""
    event_id: UUID = fields.pop("event_id", None) or uuid4()
    values = event(kind, execution, customer_id=customer, event_id=event_id, **fields)
    if "payload" in values:
        values["payload"] = Jsonb(values["payload"])
    arguments = ", ".join(f'"{name}" => %s' for name in values)
    connection.execute(f"select aximo.emit_event({arguments})", list(values.values()))
    return event_id


def emit_many(connection: Connection, count: int, customer: str = "c1", function: str = "emit_events") -> list[UUID]:
    """Emits a batch of events of no execution."""
    ids = [uuid4() for _ in range(count)]
    batch = [event("sla_breached", None, event_id=str(event_id), payload={"n": n}) for n, event_id in enumerate(ids)]
    connection.execute(f"select from aximo.{function}(%s, %s)", (Jsonb(batch), customer))
    return ids


def advance(connection: Connection, max_events: int = ALL_AT_ONCE) -> tuple[int, bool | None]:
    """Advances once: how many were numbered, and whether there may be more."""
    row = connection.execute("select numbered, is_behind from aximo.advance_log(%s)", (max_events,)).fetchone()
    assert row is not None
    return row[0], row[1]


def advance_all(connection: Connection, max_events: int = ALL_AT_ONCE) -> int:
    """Advances until there is no more, each time in a transaction of its own."""
    total = 0
    for _ in range(1_000_000):
        numbered, is_behind = advance(connection, max_events)
        total += numbered
        if is_behind is False:
            return total
    raise AssertionError("advancing does not come to an end")


def entries(root: Connection, customer: str = "c1") -> list[UUID]:
    """The events of the log in its order, as a superuser sees it; fails unless the numbers are 1, 2, 3 …"""
    rows = root.execute(
        "select number, event_id from aximo_private.log_entries where customer_id = %s and log = 'events' order by number",
        (customer,),
    ).fetchall()
    assert [number for number, _ in rows] == list(range(1, len(rows) + 1))
    return [event_id for _, event_id in rows]


def stored(root: Connection, customer: str = "c1") -> list[UUID]:
    """The events of the table in order of arrival, as a superuser sees it."""
    query = "select event_id from aximo_private.events where customer_id = %s order by position"
    return [row[0] for row in root.execute(query, (customer,))]


def positions(root: Connection) -> dict[UUID, int]:
    return dict(root.execute("select event_id, position from aximo_private.events").fetchall())


def holes(root: Connection) -> list[tuple[int, int]]:
    query = "select first_position, last_position from aximo_private.log_holes order by log, first_position"
    return [tuple(row) for row in root.execute(query)]


def undated(root: Connection) -> int:
    """How many holes have no date yet."""
    row = root.execute("select count(*) from aximo_private.log_holes where older_than is null").fetchone()
    assert row is not None
    return int(row[0])


def high_position(root: Connection) -> int:
    row = root.execute("select high_position from aximo_private.logs where log = 'events'").fetchone()
    assert row is not None
    return int(row[0])


def of_customer(connection: Connection, customer: str, query: str, *values: Any) -> list[Any]:
    """Runs a query for one customer."""
    with connection.transaction():
        connection.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
        return connection.execute(query, values).fetchall()


def problems(connection: Connection, customer: str = "c1") -> list[tuple[str, int | None, UUID | None]]:
    """What verify_log says, without the details."""
    return of_customer(connection, customer, "select problem, number, event_id from aximo.verify_log()")


def violations(connection: Connection, customer: str = "c1") -> list[Any]:
    query = "select number, event_id, rule, against from aximo.violations order by number"
    return of_customer(connection, customer, query)


def checkpoint(connection: Connection, customer: str = "c1") -> str:
    return str(of_customer(connection, customer, "select aximo.checkpoint_text()")[0][0])


def store_checkpoint(connection: Connection, customer: str = "c1") -> str:
    text = checkpoint(connection, customer)
    of_customer(connection, customer, "select aximo.add_checkpoint(%s)", text)
    return text


def export(connection: Connection, customer: str = "c1") -> list[bytes]:
    """The lines of the log, as an export writes them."""
    rows = of_customer(connection, customer, "select line from aximo.log_lines where log = 'events' order by number")
    return [row[0].encode() + b"\n" for row in rows]


def assert_proved(connection: Connection, customer: str = "c1") -> None:
    """The lines, the leaves and the root agree with one another by arithmetic done outside of the database."""
    lines, leaves, root = of_customer(
        connection,
        customer,
        "select array_agg(line order by number), array_agg(leaf order by number), aximo.log_root() from aximo.log_lines"
        " where log = 'events'",
    )[0]
    own = [tlog.leaf_hash(line.encode()) for line in lines or []]
    assert [bytes(leaf) for leaf in leaves or []] == own
    assert bytes(root) == tlog.root_of(own)
    assert problems(connection, customer) == []


def assert_whole(
    root: Connection,
    connection: Connection,
    committed: Mapping[str, Collection[UUID]],
    about: str = "",
) -> None:
    """Every committed event is in its customer's log exactly once, and nothing else is in any log."""
    found_customers = root.execute(
        "select customer_id from aximo_private.events union select customer_id from aximo_private.log_entries"
    )
    assert {row[0] for row in found_customers} == {customer for customer, ids in committed.items() if ids}, about
    for customer, wanted in committed.items():
        found = entries(root, customer)
        assert len(set(found)) == len(found), about
        assert set(stored(root, customer)) == set(wanted), f"{about}: the writers' account is not what is stored"
        missing, extra = set(wanted) - set(found), set(found) - set(wanted)
        assert (missing, extra) == (set(), set()), f"{about}: of {customer} {len(missing)} lost, {len(extra)} invented"
        assert_proved(connection, customer)


def assert_order(root: Connection, customer: str, sequences: Sequence[Sequence[UUID]], about: str = "") -> None:
    """Of each sequence the events have rising numbers."""
    place = {event_id: number for number, event_id in enumerate(entries(root, customer), 1)}
    for sequence in sequences:
        numbers = [place[event_id] for event_id in sequence]
        assert numbers == sorted(numbers), about


def assert_holes_vanish(root: Connection, connection: Connection, about: str = "", tries: int = 3) -> None:
    """With no transaction open, a few advances with nothing new forget all holes."""
    for _ in range(tries):
        assert advance(connection) == (0, False), about
        if not holes(root):
            return
    raise AssertionError(f"{about}: {len(holes(root))} holes are left after {tries} advances")
