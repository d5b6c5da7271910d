"""Erasing a subject: what becomes unreadable is looked up, then recorded in the ledger, then the key is destroyed.

In this order, so that a crash leaves a record of what is to be done, and nothing that was destroyed without one. Doing
it again goes on where it was stopped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg

from aximo_db.client import statements
from aximo_db.client.connect import value_of
from aximo_db.client.ledger_cursors import LedgerCursor
from aximo_db.client.own_errors import not_for_all
from aximo_db.client.sealing import places_of
from aximo_db.client.whose import check_customer
from aximo_db.vault.postgres import PostgresVault

__all__ = ["NOT_REACHED", "Erasure", "Replay", "erase", "replay"]

#: What an erasure does not reach, and its report says.
NOT_REACHED: Final = (
    "copies made while the key lived: files, extracts for BI, traces and logs of services that opened the values",
    "backups of the vault: restore none without aximo-db vault replay, and let them expire",
    "services with the key in memory: for up to 60 seconds they open its values, and seal some that nobody opens later",
    "the same data where it was never sealed: other fields, columns, events from before",
)

_FIND: Final[LiteralString] = """
select e.event_id, l.number
from aximo.events as e
left join lateral (
    select s.number
    from aximo.log_leaves as s
    where s.log = 'events' and s.customer_id = e.customer_id and s.event_id = e.event_id
    offset 0
) as l on true
where e.customer_id = (select aximo.current_customer())
    and jsonb_path_exists(
        e.payload, 'lax $.** ? (@."$sealed" == "v1" && @."kid" == $kids[*])',
        jsonb_build_object('kids', to_jsonb(%s::text[]))
    )
order by l.number, e.event_id
"""
_PAYLOADS: Final[LiteralString] = """
select e.payload from aximo.events as e
where e.customer_id = (select aximo.current_customer()) and e.event_id = any(%s)
"""
_AT_A_TIME: Final = 500
_RECORDED: Final[LiteralString] = """
select erasure_id from aximo.erasures where key_ids @> %s::uuid[] order by recorded_at limit 1
"""
_RECORD: Final[LiteralString] = "select aximo.record_erasure(%s::uuid[], %s)"
_SIZE: Final[LiteralString] = "select log_size from aximo.erasures where erasure_id = %s"
_CUSTOMERS: Final[LiteralString] = "select c.customer_id from aximo.my_customers() as c order by 1"
_NAMED: Final[LiteralString] = "select key_ids from aximo.erasures order by recorded_at, erasure_id"


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased, or would be.

    Attributes:
        customer_id: whose values.
        dry_run: whether nothing was done.
        already_erased: whether the subject was erased before, and there was nothing left to do.
        key_ids: the keys.
        events: how many events hold a value that they sealed.
        numbers: the numbers of these events in the customer's log.
        unnumbered: how many of them have no number yet.
        places: in how many events a value stands at a place, by JSON pointer.
        erasure_id: the record in ``aximo.erasures``; ``None`` if none was made.
        log_size: how many entries the log had then.
    """

    customer_id: str
    dry_run: bool
    already_erased: bool = False
    key_ids: list[UUID] = field(default_factory=list)
    events: int = 0
    numbers: list[int] = field(default_factory=list)
    unnumbered: int = 0
    places: dict[str, int] = field(default_factory=dict)
    erasure_id: UUID | None = None
    log_size: int | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """What the ledger's record of erasures did to a vault.

    Attributes:
        customers: of how many customers the record was read.
        recorded: how many keys it names.
        destroyed: those that had no tombstone in the vault.
        of_others: those that are live keys of another customer than the one that recorded them. They stay.
    """

    customers: int
    recorded: int
    destroyed: list[UUID]
    of_others: list[UUID]


def erase(
    connection: psycopg.Connection[Any],
    vault: PostgresVault,
    customer: str,
    subject: str,
    reason: str,
    *,
    dry_run: bool = False,
    before_destroying: Callable[[], object] | None = None,
) -> Erasure:
    """Makes a subject's sealed values unreadable, for good.

    Args:
        connection: to the ledger, in autocommit; its login needs ``aximo_operator``, for a dry run ``aximo_reader``.
        vault: where the keys are; the wrapping key is not needed.
        customer: whose values.
        subject: the subject, as the services that sealed named it.
        reason: why; kept in the ledger for ever.
        dry_run: look, and do nothing.
        before_destroying: called when the record is made.

    Raises:
        CustomerError: the login was not granted the customer.
        MalformedEventError: no reason.
        InstallationError: the vault's login may not destroy keys. Nothing was recorded.
    """
    if not dry_run:
        vault.check_eraser()
    kids = vault.kids(customer, subject)
    erasure_id = log_size = None
    with connection.transaction():
        _work_for(connection, customer)
        named = [str(kid) for kid in kids]
        found = LedgerCursor(connection).execute(_FIND, (named,)).fetchall() if kids else []
        places = _places(connection, [event_id for event_id, _ in found], set(named))
        if kids and not dry_run:
            # A run that was stopped after this has made the record already.
            erasure_id = value_of(connection, _RECORDED, (kids,)) or value_of(connection, _RECORD, (kids, reason))
            log_size = value_of(connection, _SIZE, (erasure_id,))
    if kids and not dry_run:
        if before_destroying is not None:
            before_destroying()
        vault.erase(customer, subject, reason)
    numbers = [number for _, number in found if number is not None]
    return Erasure(
        customer,
        dry_run,
        already_erased=not kids and vault.is_erased(customer, subject),
        key_ids=kids,
        events=len(found),
        numbers=numbers,
        unnumbered=len(found) - len(numbers),
        places=dict(sorted(places.items())),
        erasure_id=erasure_id,
        log_size=log_size,
    )


def replay(connection: psycopg.Connection[Any], vault: PostgresVault) -> Replay:
    """Destroys in a vault every key that the ledger's record of erasures names: for a vault that was restored.

    Args:
        connection: to the ledger, in autocommit; its login needs all customers.
        vault: the vault.

    Raises:
        CustomerError: the login was not granted all customers.
    """
    with connection.transaction():
        LedgerCursor(connection).execute(statements.SET_CUSTOMER, ("*",))
        if value_of(connection, "select aximo.current_customer()") is None:
            raise not_for_all(value_of(connection, "select session_user"))
    customers = [row[0] for row in LedgerCursor(connection).execute(_CUSTOMERS).fetchall()]
    recorded = 0
    destroyed: list[UUID] = []
    of_others: list[UUID] = []
    for customer in customers:
        with connection.transaction():
            _work_for(connection, customer)
            kids = [kid for (named,) in LedgerCursor(connection).execute(_NAMED).fetchall() for kid in named]
        recorded += len(set(kids))
        if kids:
            destroyed += vault.bury(customer, dict.fromkeys(kids), "recorded in the ledger")
            of_others += vault.of_others(customer, kids)
    return Replay(len(customers), recorded, destroyed, of_others)


def _places(connection: psycopg.Connection[Any], event_ids: list[UUID], kids: set[str]) -> Counter[str]:
    """In how many of the events a value that these keys sealed stands at a place; a few payloads at a time."""
    places: Counter[str] = Counter()
    for begin in range(0, len(event_ids), _AT_A_TIME):
        page = event_ids[begin : begin + _AT_A_TIME]
        for (payload,) in LedgerCursor(connection).execute(_PAYLOADS, (page,)):
            places.update({where for where, kid in places_of(payload) if kid in kids})
    return places


def _work_for(connection: psycopg.Connection[Any], customer: str) -> None:
    """Sets the customer for the transaction, and refuses one that the login was not granted."""
    LedgerCursor(connection).execute(statements.SET_CUSTOMER, (customer,))
    check_customer(connection)
