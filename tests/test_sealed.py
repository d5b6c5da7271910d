"""Sealed values: what a payload holds is sealed before it is sent, and opens in its own place alone."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from hypothesis import given
from hypothesis import strategies as st

from aximo_db import (
    AsyncEventStore,
    DuplicateEventError,
    Erased,
    EventStore,
    MalformedEventError,
    NewEvent,
    Sealed,
    Vault,
    VaultError,
)
from aximo_db.client.sealing import READ_KEYS, Sealer
from aximo_db.lines.importer import ImportStoppedError, import_lines
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, Ledger, _cloned
from tests.events import BASE, event
from tests.vault_support import MemoryVault

SERVICE = "sealed_service"
MAIL = "anna@example.com"
SCOPE = {name: BASE[name] for name in ("deployment_id", "skill_id", "skill_version")}


@pytest.fixture(scope="module")
def ledger(servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    """One database for the module: every test has a customer of its own in it."""
    for ledger in _cloned(servers(next(iter(BINARIES))), "fresh", "sealed_test"):
        ledger.login(SERVICE, "aximo_writer", "aximo_operator", customers=("*",))
        yield ledger


@pytest.fixture
def vault() -> MemoryVault:
    return MemoryVault()


@pytest.fixture
def customer() -> str:
    return f"customer-{uuid4()}"


@pytest.fixture
def store(ledger: Ledger, vault: MemoryVault, customer: str) -> Iterator[EventStore]:
    with EventStore(ledger.dsn(SERVICE), customer_id=customer, vault=vault) as store:
        yield store


@pytest.fixture
def plain(ledger: Ledger, customer: str) -> Iterator[EventStore]:
    """A store without a vault."""
    with EventStore(ledger.dsn(SERVICE), customer_id=customer) as store:
        yield store


def breach(payload: dict[str, Any], **fields: Any) -> NewEvent:
    return NewEvent(**{**BASE, "event_type": "sla_breached", "payload": payload, **fields})


def payload_of(store: EventStore) -> Any:
    (found,) = store.iter_events()
    return found.payload


# What a sealed value is.


def test_a_vault_is_whatever_has_its_methods(vault: MemoryVault) -> None:
    assert isinstance(vault, Vault)


def test_a_sealed_value_is_as_the_format_says(
    store: EventStore, plain: EventStore, vault: MemoryVault, customer: str
) -> None:
    new = breach({"a/b": [{"e~mail": Sealed("p-1", "a@b.de")}]})
    store.emit(new)
    sealed = payload_of(plain)["a/b"][0]["e~mail"]
    kid, key = vault.keys[customer, "p-1"]
    assert list(sealed) == ["c", "kid", "$sealed"]  # jsonb's order
    assert (sealed["$sealed"], sealed["kid"]) == ("v1", str(kid))
    assert re.fullmatch(r"[A-Za-z0-9_-]+", sealed["c"])
    # Written here once more, by the words of the specification.
    data = f"aximo-sealed/v1\n{customer}\n{new.event_id}\n/a~1b/0/e~0mail\n{kid}".encode()
    nonce = hashlib.sha256(data).digest()[:12]
    box = base64.urlsafe_b64decode(sealed["c"] + "==")
    assert AESGCMSIV(key).decrypt(nonce, box, data) == b'"a@b.de"'
    assert len(json.dumps(sealed, separators=(",", ":"))) == 100
    assert payload_of(store) == {"a/b": [{"e~mail": "a@b.de"}]}


def test_neither_the_value_nor_its_place_is_in_a_text_that_may_be_logged(plain: EventStore) -> None:
    sealed = Sealed("p-1", MAIL)
    assert MAIL not in repr(sealed)
    assert MAIL not in repr(breach({"email": sealed}))
    with pytest.raises(MalformedEventError) as refusal:
        plain.emit(breach({"email": sealed}))
    assert refusal.value.rule == "sealed_needs_vault"
    assert refusal.value.__cause__ is None
    assert MAIL not in str(refusal.value)
    with pytest.raises(MalformedEventError) as refusal:
        plain.emit_batch([breach({"n": Decimal(1), "email": [sealed]})])
    assert refusal.value.rule == "sealed_needs_vault"
    assert list(plain.iter_events()) == []


def test_several_subjects_and_depths_in_one_event(store: EventStore, plain: EventStore, vault: MemoryVault) -> None:
    people = [{"name": Sealed("p-1", "Anna"), "age": 40}, {"name": Sealed("p-2", {"first": "Bo", "n": [1, 2.5, None]})}]
    store.emit(breach({"people": people, "text": "open"}))
    assert len(vault.keys) == 2
    stored = payload_of(plain)
    assert (stored["text"], stored["people"][0]["age"]) == ("open", 40)
    assert "Anna" not in json.dumps(stored)
    vault.erase(store._session.customer_id or "", "p-1", "asked")
    (first, second) = payload_of(store)["people"]
    assert first == {"name": Erased(UUID(stored["people"][0]["name"]["kid"])), "age": 40}
    assert second == {"name": {"first": "Bo", "n": [1, 2.5, None]}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


def sealing(draw: Any, value: Any, top: bool) -> Any:
    """The value with some of its parts sealed, for one of three subjects."""
    if not top and draw(st.integers(0, 2)) == 0:
        return Sealed(draw(st.sampled_from(["p-1", "p-2", "p/3"])), value)
    if isinstance(value, dict):
        return {key: value if key in READ_KEYS else sealing(draw, value, False) for key, value in value.items()}
    if isinstance(value, list):
        return [sealing(draw, value, False) for value in value]
    return value


@st.composite
def payloads(draw: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    value = draw(
        st.dictionaries(st.text(max_size=5).filter(lambda key: "\0" not in key and key.isprintable()), JSON, max_size=5)
    )
    return value, sealing(draw, value, True)


class Row:
    def __init__(self, payload: Any, customer_id: str, event_id: UUID) -> None:
        self.payload, self.customer_id, self.event_id = payload, customer_id, event_id


@given(
    payloads(),
    st.text(min_size=1).filter(lambda name: "\n" not in name and name.encode(errors="replace").decode() == name),
)
def test_what_is_sealed_opens_again(both: tuple[dict[str, Any], dict[str, Any]], customer: str) -> None:
    value, payload = both
    sealer, event_id = Sealer(MemoryVault(), {}, exact=False), uuid4()
    sealed = sealer.seal(payload, customer, event_id)
    assert json.dumps(sealed)  # nothing is left that JSON has no form for
    assert sealed == sealer.seal(payload, customer, event_id)
    read = json.loads(json.dumps(sealed))
    sealer.open([Row(read, customer, event_id)])
    assert read == value


def test_numbers_keep_their_digits_where_the_store_reads_them_so(
    ledger: Ledger, vault: MemoryVault, customer: str
) -> None:
    amount = Decimal("0.12345678901234567890")
    with EventStore(ledger.dsn(SERVICE), customer_id=customer, vault=vault, exact_numbers=True) as store:
        store.emit(breach({"amount": Sealed("p", amount)}))
        assert payload_of(store) == {"amount": amount}


# Fields that a store seals.


def test_fields_are_sealed_wherever_they_stand(
    ledger: Ledger, vault: MemoryVault, customer: str, plain: EventStore
) -> None:
    payload = {"email": MAIL, "person": "p-1", "lead": [{"email": "bo@example.com", "person": 2, "name": "Bo"}]}
    with EventStore(ledger.dsn(SERVICE), customer_id=customer, vault=vault, seal={"email": "person"}) as store:
        store.emit(breach(payload))
        assert {subject for _, subject in vault.keys} == {"p-1", "2"}
        assert "example.com" not in json.dumps(payload_of(plain))
        assert payload_of(store) == payload
        # An event that was read, or sealed before, is sealed already.
        (stored,) = plain.iter_events()
        assert store.emit(
            {
                name: getattr(stored, name)
                for name in ("event_type", *SCOPE, "actor", "event_id", "timestamp", "payload")
            }
        ).duplicate


@pytest.mark.parametrize("subject", [{}, {"person": None}, {"person": " "}, {"person": True}, {"person": ["p"]}])
def test_a_field_without_a_subject_is_refused_and_never_sent_as_it_is(
    ledger: Ledger, vault: MemoryVault, customer: str, subject: dict[str, Any]
) -> None:
    with EventStore(ledger.dsn(SERVICE), customer_id=customer, vault=vault, seal={"email": "person"}) as store:
        with pytest.raises(MalformedEventError) as refusal:
            store.emit(breach({"email": MAIL, **subject}))
        assert refusal.value.rule == "sealed_subject_present"
        assert MAIL not in str(refusal.value)
        store.emit(breach({"email": None, **subject}))  # nothing to be sealed


@pytest.mark.parametrize(
    "mark",
    [
        {"$sealed": "v1", "plain": MAIL},
        {"$sealed": 1, "email": MAIL, "person": "p"},
        {"$sealed": "v1", "kid": "p", "c": MAIL},
        {"$sealed": "v1", "kid": str(UUID(int=1)), "c": MAIL},
        {"$sealed": "v1", "kid": str(UUID(int=1)), "c": "QQ"},
        {"$sealed": "v2", "kid": str(UUID(int=1)), "c": "A" * 32},
        {"$sealed": "v1", "kid": str(UUID(int=1)), "c": "A" * 32, "email": MAIL, "person": "p"},
    ],
)
def test_what_only_looks_sealed_is_sealed_as_anything_else(
    ledger: Ledger, plain: EventStore, vault: MemoryVault, customer: str, mark: dict[str, Any]
) -> None:
    with EventStore(ledger.dsn(SERVICE), customer_id=customer, vault=vault, seal={"email": "person"}) as store:
        store.emit(breach({"email": mark, "person": "p"}))
        store.emit(breach({"outer": {**mark, "email": MAIL, "person": "p"}}))
        store.emit(breach({"list": [{**mark, "x": {"email": MAIL, "person": "p"}}]}))
        (first, second, third) = (found.payload for found in store.iter_events())
    assert first == {"email": mark, "person": "p"}
    assert second["outer"]["email"] == third["list"][0]["x"]["email"] == MAIL
    stored = [found.payload for found in plain.iter_events()]
    assert all(set(sealed) == {"$sealed", "kid", "c"} and sealed["c"] != mark.get("c") for sealed in (
        stored[0]["email"], stored[1]["outer"]["email"], stored[2]["list"][0]["x"]["email"],
    ))  # fmt: skip


class MySealed(Sealed):
    """A kind of the application's own."""


def test_a_kind_of_sealed_of_ones_own_is_sealed(store: EventStore, plain: EventStore) -> None:
    store.emit(breach({"email": MySealed("p", MAIL)}))
    assert [found.payload for found in store.iter_events()] == [{"email": MAIL}]
    assert MAIL not in repr(list(plain.iter_events()))


@pytest.mark.parametrize("key", READ_KEYS)
def test_what_the_database_reads_is_never_sealed(
    store: EventStore, ledger: Ledger, vault: MemoryVault, key: str
) -> None:
    for value in (Sealed("p", "high"), {"in": [Sealed("p", "high")]}):
        with pytest.raises(MalformedEventError) as refusal:
            store.emit(breach({key: value}))
        assert refusal.value.rule == "sealed_key_is_read"
        assert refusal.value.event is not None
    with pytest.raises(MalformedEventError) as refusal:
        EventStore(ledger.dsn(SERVICE), vault=vault, seal={key: "person"})
    assert refusal.value.rule == "sealed_key_is_read"
    assert list(store.iter_events()) == []
    # It is read at the top of a payload alone.
    store.emit(breach({"lead": {key: Sealed("p", "high")}}))


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (float("nan"), "json_well_formed"),
        ({1: "a"}, "payload_keys_are_strings"),
        ("\0", "no_nul_character"),
        ("\ud800", "no_lone_surrogate"),
        (object(), "json_well_formed"),
        ({"in": Sealed("q", 1)}, "sealed_holds_no_sealed"),
    ],
    ids=["nan", "key", "nul", "surrogate", "object", "sealed"],
)
def test_what_no_payload_may_hold_no_sealed_value_holds(store: EventStore, value: Any, rule: str) -> None:
    with pytest.raises(MalformedEventError) as refusal:
        store.emit(breach({"x": Sealed("p", value)}))
    assert refusal.value.rule == rule


def test_a_payload_that_contains_itself_is_refused(store: EventStore) -> None:
    payload: dict[str, Any] = {"email": Sealed("p", MAIL)}
    payload["again"] = payload
    with pytest.raises(MalformedEventError) as refusal:
        store.emit(breach(payload))
    assert refusal.value.rule == "payload_size"
    deep: Any = Sealed("p", MAIL)
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(MalformedEventError) as refusal:
        store.emit(breach({"deep": deep}))
    assert refusal.value.rule == "json_well_formed"


def test_a_customer_is_named_where_something_is_sealed(ledger: Ledger, vault: MemoryVault, customer: str) -> None:
    login = ledger.login(f"one_{uuid4().hex[:8]}", "aximo_writer", customers=(customer,))
    with EventStore(ledger.dsn(login), vault=vault) as store:
        store.emit(breach({"text": "plain"}))
        for payload in ({"email": Sealed("p", MAIL)},):
            with pytest.raises(MalformedEventError) as refusal:
                store.emit(breach(payload))
            assert refusal.value.rule == "sealed_customer_present"
            assert store.emit(breach(payload, customer_id=customer)).duplicate is False
            with pytest.raises(MalformedEventError):
                store.emit(breach(payload, customer_id="a\nb"))


@pytest.mark.parametrize("subject", ["", " ", None, 3])
def test_a_subject_is_a_text(store: EventStore, subject: Any) -> None:
    with pytest.raises(MalformedEventError) as refusal:
        store.emit(breach({"email": Sealed(subject, MAIL)}))
    assert refusal.value.rule == "sealed_subject_present"


def test_seal_needs_a_vault() -> None:
    with pytest.raises(ValueError, match="vault"):
        EventStore("", seal={"email": "person"})


# Every way in and out.


def test_a_retry_is_a_duplicate_and_another_value_is_refused(store: EventStore) -> None:
    new = breach({"email": Sealed("p-1", {"b": 1, "a": MAIL})})
    first = store.emit(new)
    again = store.emit(
        breach({"email": Sealed("p-1", {"a": MAIL, "b": 1})}, event_id=new.event_id, timestamp=new.timestamp)
    )
    assert (again.event_id, again.recorded_at, again.duplicate) == (first.event_id, first.recorded_at, True)
    with pytest.raises(DuplicateEventError) as refusal:
        store.emit(breach({"email": Sealed("p-1", "bo@example.com")}, event_id=new.event_id, timestamp=new.timestamp))
    assert refusal.value.rule == "event_id_names_one_event"
    with pytest.raises(DuplicateEventError):
        store.emit(
            breach({"email": Sealed("p-2", {"a": MAIL, "b": 1})}, event_id=new.event_id, timestamp=new.timestamp)
        )


def test_nothing_is_equal_across_events(store: EventStore, plain: EventStore) -> None:
    store.emit_batch([breach({"email": Sealed("p-1", MAIL)}) for _ in range(3)])
    assert len({found.payload["email"]["c"] for found in plain.iter_events()}) == 3


def test_batches_streams_and_scopes_seal(store: EventStore, plain: EventStore, customer: str) -> None:
    sealed = {"email": Sealed("p", MAIL)}
    store.emit_batch([breach(sealed), breach({"open": 1})])
    store.emit_many(iter([breach(sealed), event("sla_breached", None, payload=sealed)]))
    other = f"{customer}-other"
    store.emit_batch([breach(sealed), breach(sealed, customer_id=other)])
    with store.execution(**SCOPE, payload=sealed) as execution:
        with execution.action("send_email", {"to": Sealed("p", MAIL), "action_id": "a"}):
            pass
        execution.approval_requested("x", sealed)
        execution.approval_granted("x", {"person": Sealed("p", "Anna"), "reason": Sealed("p", "as she asked")})
        execution.emit("escalation_triggered", sealed)
    stored = list(plain.iter_events()) + plain.trace(execution.execution_id)
    assert MAIL not in repr(stored)
    assert "Anna" not in repr(stored)
    trace = store.trace(execution.execution_id)
    assert [step.payload for step in trace if step.event_type.startswith("action_")] == [
        {"to": MAIL, "action_id": "a", "action_type": "send_email"}
    ] * 2
    assert trace[0].payload == {"email": MAIL}
    assert [found.payload for found in store.iter_events(customer_id=other)] == [{"email": MAIL}]


def test_every_way_of_reading_opens(
    store: EventStore, plain: EventStore, customer: str, ledger: Ledger, vault: MemoryVault
) -> None:
    store.emit_batch([breach({"email": Sealed("p", f"{number}@example.com")}) for number in range(5)])
    store.advance_all()
    expected = [{"email": f"{number}@example.com"} for number in range(5)]
    vault.asked.clear()
    assert [entry.payload for entry in store.read_log()] == expected
    assert len(vault.asked) == 1  # one key a page, however often it is used
    assert [entry.payload for entry in store.subscribe(follow=False, max_events=2)] == expected
    with store.consume("billing") as batch:
        assert [entry.payload for entry in batch] == expected
    assert [found.payload for found in store.iter_events(page_size=2)] == expected
    assert [found.payload for found in store.for_customer(customer).iter_events()] == expected
    assert all(set(found.payload["email"]) == {"$sealed", "kid", "c"} for found in plain.read_log())
    vault.erase(customer, "p", "asked")
    assert all(isinstance(entry.payload["email"], Erased) for entry in store.read_log())
    with pytest.raises(VaultError):
        store.emit(breach({"email": Sealed("p", MAIL)}))


async def test_the_asynchronous_store_does_the_same_and_no_call_of_a_vault_blocks_the_loop(
    ledger: Ledger, customer: str
) -> None:
    class SlowVault(MemoryVault):
        def key_for(self, customer: str, subject: str) -> tuple[UUID, bytes]:
            assert threading.current_thread() is not threading.main_thread()
            time.sleep(0.3)
            return super().key_for(customer, subject)

        def open(self, kid: UUID) -> bytes | Erased:
            assert threading.current_thread() is not threading.main_thread()
            time.sleep(0.3)
            return super().open(kid)

    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    sealed = {"email": Sealed("p", MAIL)}
    async with AsyncEventStore(ledger.dsn(SERVICE), customer_id=customer, vault=SlowVault()) as store:
        new = breach(sealed)
        assert not (await store.emit(new)).duplicate
        assert (await store.emit(new)).duplicate
        async with store.execution(**SCOPE, payload=sealed) as execution:
            pass
        assert (await store.trace(execution.execution_id))[0].payload == {"email": MAIL}
        assert [found.payload async for found in store.iter_events(event_type="sla_breached")] == [{"email": MAIL}]
        await store.advance_all()
        assert (await store.read_log())[0].payload == {"email": MAIL}
        async with store.consume("x") as batch:
            assert batch.entries[0].payload == {"email": MAIL}
    ticking.cancel()
    assert ticks > 100


# What does not open.


def test_a_sealed_value_opens_in_its_own_place_alone(store: EventStore, plain: EventStore, customer: str) -> None:
    store.emit(breach({"email": Sealed("p", MAIL), "other": {"email": 1}}))
    sealed = payload_of(plain)["email"]
    other = f"{customer}-other"
    flipped = {**sealed, "c": ("A" if sealed["c"][0] != "A" else "B") + sealed["c"][1:]}
    moved = [
        breach({"email": sealed}),  # another event
        breach({"email": sealed}, customer_id=other),
        breach({"email": flipped}),
        breach({"email": {**sealed, "$sealed": "v2"}}),
        breach({"email": {**sealed, "kid": "no uuid"}}),
        breach({"email": {**sealed, "kid": sealed["kid"].upper()}}),
        breach({"email": {**sealed, "c": "*"}}),
        breach({"email": {**sealed, "c": 7}}),
        breach({"email": {**sealed, "more": 1}}),
    ]
    for new in moved:  # a foreign object passes as it is, and stays what it is
        store.emit(new)
        reader = store.for_customer(new.customer_id or customer)
        assert [found.payload for found in reader.iter_events() if found.event_id == new.event_id] == [new.payload]
    # In the same event, in another place, or under another customer's name.
    sealer = store._session.sealer
    assert sealer is not None
    (stored,) = (found for found in plain.iter_events() if "other" in found.payload)
    for place, owner in (("mail", customer), ("email", other)):
        row = Row({place: sealed}, owner, stored.event_id)
        sealer.open([row])
        assert row.payload == {place: sealed}
    row = Row({"email": sealed}, customer, stored.event_id)
    sealer.open([row])
    assert row.payload == {"email": MAIL}


# Importing.


def test_an_import_seals_the_fields_that_its_store_seals(
    ledger: Ledger, vault: MemoryVault, customer: str, plain: EventStore
) -> None:
    lines = [
        {**BASE, "event_type": "sla_breached", "payload": {"email": MAIL, "person": "p", "amount": 1.50, "n": 10**30}},
        {
            **BASE,
            "event_type": "sla_breached",
            "payload": {"text": "open"},
            "event_id": str(uuid4()),
            "customer_id": customer,
        },
    ]
    file = "\n".join(json.dumps(line) for line in lines).replace("1.5,", "1.50,").encode()
    with EventStore(ledger.dsn(SERVICE), vault=vault, seal={"email": "person"}) as store:
        assert import_lines(store, BytesIO(file), customer_id=customer).inserted == 2
        assert import_lines(store, BytesIO(file), customer_id=customer).duplicates == 2
        first, second = sorted(plain.iter_events(), key=lambda found: len(found.payload), reverse=True)
        assert MAIL not in repr((first, second))
        assert (first.payload["amount"], first.payload["n"], second.payload) == (1.5, 10**30, {"text": "open"})
        with ledger.superuser() as root:
            text = root.execute(
                "select payload -> 'amount' #>> '{}' from aximo_private.events where event_id = %s", [first.event_id]
            )
            assert text.fetchone() == ("1.50",)
        opened = [
            found.payload for found in store.iter_events(customer_id=customer) if found.event_id == first.event_id
        ]
        assert opened == [{"email": MAIL, "person": "p", "amount": 1.5, "n": 10**30}]
        # What was imported is the event that a service sends.
        same = breach(
            {"email": MAIL, "person": "p", "amount": Decimal("1.50"), "n": 10**30},
            event_id=first.event_id,
            timestamp=first.timestamp,
            customer_id=customer,
        )
        assert store.emit(same).duplicate
        refused = json.dumps({**lines[0], "payload": {"email": MAIL}}).encode()
        with pytest.raises(ImportStoppedError) as stopped:
            import_lines(store, BytesIO(refused), customer_id=customer)
        assert stopped.value.refusal.rule == "sealed_subject_present"


def test_importing_this_package_loads_no_cryptography(tmp_path: Path) -> None:
    import subprocess
    import sys

    program = "import sys, aximo_db; aximo_db.EventStore, aximo_db.Sealed, aximo_db.PostgresVault; print('cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
