"""Emitting: receipts, limits, repeats, batches, and what is derived from a short history."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, VERSIONS, Ledger, _cloned
from tests.events import SHORT_TEXTS, emit, emit_life, event

Connection = psycopg.Connection[Any]

DATABASE = "kept_emit"
LOGIN = "kept_emit_service"

CATEGORIES = {
    "execution": ("execution_triggered", "execution_processing", "execution_completed", "execution_failed"),
    "action": ("action_prepared", "action_dispatched", "action_failed"),
    "approval": ("approval_requested", "approval_granted", "approval_rejected", "approval_timeout"),
    "governance": ("sla_breached", "escalation_triggered", "pressure_invoked", "deployment_suspended"),
    "lifecycle": (
        "deployment_created",
        "deployment_configured",
        "deployment_activated",
        "deployment_updated",
        "deployment_terminated",
        "version_upgraded",
        "version_rolled_back",
    ),
}
NEED_EXECUTION = [kind for name in ("execution", "action", "approval") for kind in CATEGORIES[name]]
NEED_NONE = [kind for name in ("governance", "lifecycle") for kind in CATEGORIES[name]]

WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
IDS = ("customer_id", "deployment_id", "skill_id", "skill_version", "execution_id")
T0 = datetime(2026, 1, 1, 12, tzinfo=UTC)


@contextmanager
def kept_ledgers(servers: Callable[[str], EmbeddedServer]) -> Iterator[Callable[[str], Ledger]]:
    """One database a server for all tests of this file, made when it is first asked for."""
    with ExitStack() as stack:
        made: dict[str, Ledger] = {}

        def ledger(version: str) -> Ledger:
            if version not in made:
                made[version] = stack.enter_context(contextmanager(_cloned)(servers(version), "fresh", DATABASE))
                made[version].login(LOGIN, "aximo_writer", customers=("*",))
            return made[version]

        yield ledger


@pytest.fixture(scope="module")
def kept(servers: Callable[[str], EmbeddedServer]) -> Iterator[Callable[[str], Ledger]]:
    with kept_ledgers(servers) as ledger:
        yield ledger


@contextmanager
def emptied(ledger: Ledger) -> Iterator[Connection]:
    """A service's connection to a kept database, without the events of the test before.

    A clone for each of these many small tests would take most of their time. Only a superuser can do this.
    """
    guard = "trigger append_only_statement"
    with psycopg.connect(ledger.dsn("postgres")) as superuser:
        guarded = ("events", "violations", "known_deployments")
        for table in guarded:
            superuser.execute(f"alter table aximo_private.{table} disable {guard}")  # type: ignore[call-overload]
        superuser.execute(
            "truncate aximo_private.events, aximo_private.violations, aximo_private.known_deployments,"
            " aximo_private.executions, aximo_private.approvals"
        )
        for table in guarded:
            superuser.execute(f"alter table aximo_private.{table} enable always {guard}")  # type: ignore[call-overload]
    with psycopg.connect(ledger.dsn(LOGIN), autocommit=True) as connection:
        yield connection


@pytest.fixture(params=VERSIONS)
def service(request: pytest.FixtureRequest, kept: Callable[[str], Ledger]) -> Iterator[Connection]:
    """A service for all customers, on every PostgreSQL."""
    with emptied(kept(request.param)) as connection:
        yield connection


@pytest.fixture
def quick(kept: Callable[[str], Ledger]) -> Iterator[Connection]:
    """A service for all customers, on one PostgreSQL."""
    with emptied(kept(next(iter(BINARIES)))) as connection:
        yield connection


def emit_batch(connection: Connection, events: Any, customer: str | None = "c1") -> list[Any]:
    return connection.execute("select * from aximo.emit_events(%s, %s)", (Jsonb(events), customer)).fetchall()


def read(connection: Connection, query: str, *values: Any, customer: str = "c1") -> list[Any]:
    with connection.transaction():
        connection.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
        return connection.execute(query, values).fetchall()


def count(connection: Connection, customer: str = "c1") -> int:
    return int(read(connection, "select count(*) from aximo.events", customer=customer)[0][0])


def stored(connection: Connection, event_id: Any, customer: str = "c1") -> dict[str, Any]:
    query = "select to_jsonb(e) from aximo.events as e where event_id = %s"
    (row,) = read(connection, query, event_id, customer=customer)
    return dict(row[0])


def assert_refused(refusal: pytest.ExceptionInfo[psycopg.Error], code: str, *rules: str) -> None:
    """A refusal has its code, its rule (one of those broken), the values in the detail, and a hint."""
    diagnostics = refusal.value.diag
    assert refusal.value.sqlstate == code
    assert diagnostics.constraint_name in rules
    assert diagnostics.message_detail
    assert diagnostics.message_hint


def emitted_both_ways(connection: Connection, values: Mapping[str, Any], code: str, *rules: str) -> None:
    """The event is refused with code and rule, alone and in a batch, and leaves nothing."""
    customer = values.get("customer_id", "c1")
    before = count(connection)
    with pytest.raises(psycopg.Error) as refusal:
        emit(connection, **{"customer_id": customer, **values})
    assert_refused(refusal, code, *rules)
    document = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in {**event(**values), "customer_id": customer}.items()
    }
    with pytest.raises(psycopg.Error) as refusal:
        emit_batch(connection, [document], customer)
    assert_refused(refusal, code, *rules)
    assert count(connection) == before


# Receipts and defaults


def test_a_receipt_names_the_event_and_when_it_was_recorded(service: Connection) -> None:
    event_id = uuid4()
    before = service.execute("select clock_timestamp()").fetchone()
    receipt = emit(service, "execution_triggered", customer_id="c1", event_id=event_id)
    after = service.execute("select clock_timestamp()").fetchone()
    assert (receipt[0], receipt[2]) == (event_id, False)
    assert before is not None
    assert after is not None
    assert before[0] <= receipt[1] <= after[0]
    rows = read(service, "select event_id, recorded_at from aximo.events")
    assert rows == [(event_id, receipt[1])]


def test_what_is_left_out_is_made_by_the_database(service: Connection) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    first = emit(service, "execution_triggered", customer_id="c1")
    (second,) = emit_batch(service, [event("execution_processing")])
    assert first[0] != second[0]
    for receipt in (first, second):
        row = stored(service, receipt[0])
        assert row["payload"] == {}
        assert before <= datetime.fromisoformat(row["timestamp"]) <= receipt[1]
        assert {row[name] for name in (*SHORT_TEXTS, "latency_ms")} == {None}


def test_null_is_the_same_as_left_out(service: Connection) -> None:
    optional = (*SHORT_TEXTS, "latency_ms", "event_id", "timestamp")
    receipt = service.execute(
        f"""
        select * from aximo.emit_event(
            event_type => 'execution_triggered', deployment_id => 'd', skill_id => 's', skill_version => 'v',
            actor => 'system', customer_id => 'c1', execution_id => 'e', payload => null,
            {", ".join(f'"{name}" => null' for name in optional)}
        )
        """
    ).fetchone()
    assert receipt is not None
    assert stored(service, receipt[0])["payload"] == {}
    (again,) = emit_batch(service, [event("execution_triggered", "e2", payload=None, **dict.fromkeys(optional))])
    assert stored(service, again[0])["payload"] == {}


def test_every_field_is_stored_as_it_was_sent(service: Connection) -> None:
    values = {
        "event_id": str(uuid4()),
        "event_type": "execution_triggered",
        "timestamp": "2026-01-01T12:00:00.123456+00:00",
        "customer_id": "c1",
        "deployment_id": "dep-ü",
        "skill_id": "skill 漢",
        "skill_version": "1.0-β",
        "execution_id": "exec 😀",
        "actor": "external_user",
        "payload": {"a": [1, 2.5, None, True, {"b": "ü"}], "": ""},
        **{name: f"the {name}" for name in SHORT_TEXTS},
        "error_code": "",
        "latency_ms": 2**63 - 1,
    }
    emit(service, **values)
    emit_batch(service, [{**values, "customer_id": "c2"}], "c2")
    for customer in ("c1", "c2"):
        row = stored(service, values["event_id"], customer)
        assert row.pop("recorded_by") == LOGIN
        row.pop("recorded_at")
        assert row == {**values, "customer_id": customer, "step": 1}


def test_recorded_at_is_the_moment_of_the_write_and_not_of_the_transaction(service: Connection) -> None:
    with service.transaction():
        started = service.execute("select now()").fetchone()
        service.execute("select pg_sleep(0.02)")
        receipt = emit(service, "execution_triggered", customer_id="c1")
    assert started is not None
    assert receipt[1] - started[0] >= timedelta(milliseconds=20)


def test_recorded_by_is_the_login_whatever_role_it_takes(each_ledger: Ledger) -> None:
    each_ledger.login("team", "aximo_writer")
    service = each_ledger.connect(each_ledger.login("worker", "aximo_writer", "team", customers=("c1",)))
    service.execute("set role team")
    receipt = emit(service, "execution_triggered", customer_id="c1")
    (other,) = emit_batch(service, [event("execution_processing")])
    service.execute("reset role")
    assert stored(service, receipt[0])["recorded_by"] == "worker"
    assert stored(service, other[0])["recorded_by"] == "worker"


@pytest.mark.parametrize("field", ["recorded_at", "recorded_by", "position", "answers"])
def test_no_client_sets_what_is_the_databases_own(quick: Connection, field: str) -> None:
    with pytest.raises(psycopg.Error) as refusal:
        emit_batch(quick, [event("execution_triggered", **{field: "x"})])
    assert_refused(refusal, "ZXARG", "fields_known")
    assert count(quick) == 0


# The same event again


def life_with_approval() -> list[dict[str, Any]]:
    """One event of every kind that an execution can have, in an order that fits, with ids."""
    events = [
        event("deployment_activated", None),
        event("execution_triggered"),
        event("execution_processing"),
        event("approval_requested", payload={"approval_id": "a"}),
        event("approval_granted", payload={"approval_id": "a"}, actor="founder"),
        event("approval_requested", payload={"approval_id": "b"}),
        event("approval_rejected", payload={"approval_id": "b"}),
        event("approval_requested"),
        event("approval_timeout"),
        event("action_prepared", payload={"action_id": "x", "approval_id": "a"}),
        event("action_dispatched", payload={"action_id": "x", "approval_id": "a"}),
        event("action_prepared", payload={"action_type": "mail"}),
        event("action_failed", payload={"action_type": "mail"}, error_code="smtp"),
        event("sla_breached"),
        event("execution_completed", latency_ms=12),
        event("escalation_triggered"),
    ]
    return [{**e, "event_id": str(uuid4()), "customer_id": "c1"} for e in events]


def test_every_kind_of_event_sent_again_gets_its_first_receipt(service: Connection) -> None:
    events = life_with_approval()
    first = [emit(service, **e) for e in events]
    assert [receipt[2] for receipt in first] == [False] * len(events)
    # At the end of the life every one of them would break a rule, were it not the same.
    again = [emit(service, **e) for e in events]
    assert again == [(receipt[0], receipt[1], True) for receipt in first]
    assert emit_batch(service, events) == again
    assert count(service) == len(events)


def test_a_batch_sent_again_gets_its_first_receipts(service: Connection) -> None:
    events = life_with_approval()
    first = emit_batch(service, events)
    assert [str(receipt[0]) for receipt in first] == [e["event_id"] for e in events]
    assert emit_batch(service, events) == [(receipt[0], receipt[1], True) for receipt in first]
    assert [emit(service, **e) for e in events] == [(receipt[0], receipt[1], True) for receipt in first]
    assert count(service) == len(events)


def test_each_event_sent_again_at_once_is_a_duplicate(service: Connection) -> None:
    for e in life_with_approval():
        first = emit(service, **e)
        assert emit(service, **e) == (first[0], first[1], True)
        assert emit_batch(service, [e]) == [(first[0], first[1], True)]


def test_an_event_twice_in_one_batch_is_written_once(service: Connection) -> None:
    events = life_with_approval()
    receipts = emit_batch(service, [copy for e in events for copy in (e, e)])
    assert [receipt[2] for receipt in receipts] == [False, True] * len(events)
    for first, second in zip(receipts[::2], receipts[1::2], strict=True):
        assert first[:2] == second[:2]
    assert count(service) == len(events)


def test_a_dispatch_twice_in_one_batch_resolves_one_action(service: Connection) -> None:
    mail = {"payload": {"action_type": "mail"}}
    dispatched = event("action_dispatched", event_id=str(uuid4()), **mail)
    prepared = [event("action_prepared", **mail), event("action_prepared", **mail)]
    begun = [event("execution_triggered"), event("execution_processing")]
    with pytest.raises(psycopg.Error) as refusal:
        emit_batch(service, [*begun, *prepared, dispatched, dispatched, event("execution_completed")])
    assert_refused(refusal, "ZXSEQ", "completes_with_actions_resolved")
    assert count(service) == 0


def test_a_batch_may_hold_old_events_and_new_ones(service: Connection) -> None:
    events = life_with_approval()
    emit_batch(service, events[:6])
    receipts = emit_batch(service, events)
    assert [receipt[2] for receipt in receipts] == [True] * 6 + [False] * (len(events) - 6)


def test_an_old_request_sent_again_leaves_the_answer_to_the_open_one(service: Connection) -> None:
    emit_batch(service, [event("execution_triggered"), event("execution_processing")])
    first = event("approval_requested", event_id=str(uuid4()), payload={"approval_id": "a"})
    second = {**first, "event_id": str(uuid4())}
    answer = event("approval_granted", event_id=str(uuid4()), payload={"approval_id": "a"})
    emit_batch(service, [first, {**answer, "event_id": str(uuid4())}, second])
    receipts = emit_batch(service, [first, answer])
    assert [receipt[2] for receipt in receipts] == [True, False]
    rows = read(service, "select request_event_id::text, decision_event_id::text from aximo.approvals")
    assert (second["event_id"], answer["event_id"]) in rows


DIFFERENCES: dict[str, Any] = {
    "event_type": "execution_processing",
    "timestamp": "2026-01-01T00:00:00.000001Z",
    "deployment_id": "other",
    "skill_id": "other",
    "skill_version": "other",
    "execution_id": "other",
    "actor": "founder",
    "payload": {"a": 2},
    **dict.fromkeys(SHORT_TEXTS, "other"),
    "latency_ms": 6,
}


@pytest.mark.parametrize("field", DIFFERENCES)
@pytest.mark.parametrize("filled", [True, False], ids=["changed", "filled_or_emptied"])
def test_an_event_id_with_other_content_is_refused(quick: Connection, field: str, filled: bool) -> None:
    first = event("execution_triggered", customer_id="c1", event_id=str(uuid4()), timestamp="2026-01-01T00:00:00Z")
    if filled:
        first |= dict.fromkeys(SHORT_TEXTS, "given") | {"latency_ms": 5, "payload": {"a": 1}}
    emit(quick, **first)
    other = {**first, field: DIFFERENCES[field]}
    emitted_both_ways(quick, other, "ZXDUP", "event_id_names_one_event")
    if filled and field in (*SHORT_TEXTS, "latency_ms"):
        emitted_both_ways(quick, {**first, field: None}, "ZXDUP", "event_id_names_one_event")


def test_a_batch_with_two_events_of_one_id_is_refused(service: Connection) -> None:
    first = event("execution_triggered", event_id=str(uuid4()))
    with pytest.raises(psycopg.Error) as refusal:
        emit_batch(service, [first, {**first, "risk_level": "R4"}])
    assert_refused(refusal, "ZXDUP", "event_id_names_one_event")
    assert count(service) == 0


def test_a_timestamp_left_out_when_sent_again_is_no_difference(service: Connection) -> None:
    first = event("execution_triggered", customer_id="c1", event_id=str(uuid4()))
    receipt = emit(service, **first)
    assert emit(service, **first) == (receipt[0], receipt[1], True)
    given = {**first, "event_id": str(uuid4()), "execution_id": "exec-2"}
    receipt = emit(service, **given, timestamp=T0)
    assert emit(service, **given) == (receipt[0], receipt[1], True)
    assert emit_batch(service, [given]) == [(receipt[0], receipt[1], True)]


def test_the_same_moment_and_json_written_otherwise_is_no_difference(service: Connection) -> None:
    first = event("execution_triggered", event_id=str(uuid4()), timestamp="2026-01-01T12:00:00Z")
    emit_batch(service, [{**first, "payload": {"a": 1, "b": 1.50}}])
    again = {**first, "timestamp": "2026-01-01T13:00:00+01:00", "payload": {"b": 1.5, "a": 1.0}}
    assert emit_batch(service, [again])[0][2]


def test_two_customers_may_use_the_same_ids(service: Connection) -> None:
    events = life_with_approval()
    emit_batch(service, events)
    others = [{**e, "customer_id": "c2", "risk_level": "R1"} for e in events]
    assert [receipt[2] for receipt in emit_batch(service, others, "c2")] == [False] * len(events)
    assert (count(service), count(service, "c2")) == (len(events), len(events))


# Batches


def test_receipts_come_in_the_order_of_the_batch(service: Connection) -> None:
    ids = [str(uuid4()) for _ in range(200)]
    events = [event("execution_triggered", f"e{number}", event_id=name) for number, name in enumerate(ids)]
    events[3], events[150] = events[150], events[3]
    receipts = emit_batch(service, events)
    assert [str(receipt[0]) for receipt in receipts] == [e["event_id"] for e in events]
    assert [receipt[1] for receipt in receipts] == sorted(receipt[1] for receipt in receipts)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"event_type": "execution_triggered"}, "ZXSEQ"),
        ({"event_type": "execution_processing", "skill_version": "2"}, "ZXATT"),
        ({"event_type": "execution_processing", "latency_ms": -1}, "ZXARG"),
        ({"event_type": "execution_processing", "nonsense": 1}, "ZXARG"),
        ({"event_type": "execution_processing", "customer_id": "c2"}, "ZXCUS"),
    ],
)
@pytest.mark.parametrize("place", [1, 2, 3])
def test_nothing_of_a_refused_batch_is_kept(quick: Connection, bad: dict[str, Any], code: str, place: int) -> None:
    good = [event("execution_triggered"), event("execution_processing"), event("action_prepared")]
    with pytest.raises(psycopg.Error) as refusal:
        emit_batch(quick, [*good[:place], {**event("execution_processing"), **bad}, *good[place:]])
    assert refusal.value.sqlstate == code
    assert refusal.value.diag.constraint_name
    assert (count(quick), count(quick, "c2")) == (0, 0)
    assert len(emit_batch(quick, good)) == 3


def test_a_refused_batch_leaves_what_its_transaction_wrote_before(service: Connection) -> None:
    with service.transaction():
        emit(service, "execution_triggered", customer_id="c1")
        with pytest.raises(psycopg.Error) as refusal, service.transaction():
            emit_batch(service, [event("execution_processing"), event("execution_triggered")])
        assert_refused(refusal, "ZXSEQ", "triggered_first")
        emit(service, "execution_processing", customer_id="c1")
    assert count(service) == 2


def test_an_empty_batch_has_no_receipts(service: Connection) -> None:
    assert emit_batch(service, []) == []
    assert emit_batch(service, [], None) == []


def test_a_batch_without_a_customer_is_the_bound_logins(each_ledger: Ledger) -> None:
    bound = each_ledger.as_customer("c7", "aximo_writer")
    receipts = emit_batch(bound, [event("execution_triggered"), event("execution_processing")], None)
    assert [receipt[2] for receipt in receipts] == [False, False]
    receipt = emit(bound, "action_prepared")
    rows = bound.execute("select event_id, customer_id from aximo.events").fetchall()
    assert set(rows) == {(r[0], "c7") for r in (*receipts, receipt)}


def test_a_batch_is_of_the_customer_that_its_first_event_names(service: Connection) -> None:
    receipts = emit_batch(
        service, [event("execution_triggered", customer_id="c5"), event("execution_processing")], None
    )
    assert len(receipts) == 2
    assert count(service, "c5") == 2
    with pytest.raises(psycopg.Error) as refusal:
        emit_batch(service, [event("execution_triggered", "e2"), event("execution_processing", "e2")], None)
    assert_refused(refusal, "ZXCUS", "customer_granted")


# A batch of the customers that its events name


def mixed(*customers: str, execution: str = "e1") -> list[dict[str, Any]]:
    """Executions of one id, of several customers, in turns."""
    return [
        event(event_type, execution, customer_id=customer, event_id=str(uuid4()))
        for event_type in ("execution_triggered", "execution_processing", "execution_completed")
        for customer in customers
    ]


def test_each_event_of_a_mixed_batch_is_of_the_customer_it_names(service: Connection) -> None:
    batch = mixed("c3", "c1", "c2")
    receipts = emit_batch(service, batch, "*")
    assert [str(receipt[0]) for receipt in receipts] == [item["event_id"] for item in batch]
    for customer in ("c1", "c2", "c3"):
        steps = read(service, "select event_id, step from aximo.events order by step", customer=customer)
        own = [item["event_id"] for item in batch if item["customer_id"] == customer]
        assert [(str(event_id), step) for event_id, step in steps] == list(zip(own, (1, 2, 3), strict=True))
    assert [receipt[2] for receipt in emit_batch(service, batch, "*")] == [True] * 9
    # The same event_id is another event for another customer.
    others = [{**item, "customer_id": "c4"} for item in batch[::3]]
    assert [receipt[2] for receipt in emit_batch(service, others + batch[1::3], "*")] == [False] * 3 + [True] * 3


def test_a_mixed_batch_is_written_whole_or_not_at_all(service: Connection) -> None:
    batch = [*mixed("c1", "c2"), event("execution_completed", "e1", customer_id="c2")]
    with pytest.raises(psycopg.Error) as refusal:
        emit_batch(service, batch, "*")
    assert_refused(refusal, "ZXSEQ", "ends_once")
    assert "event 7 of the batch" in str(refusal.value.diag.message_detail)
    assert count(service, "c1") == count(service, "c2") == 0


@pytest.mark.parametrize("place", ["first", "last"])
def test_a_mixed_batch_needs_a_grant_for_each_customer(each_ledger: Ledger, place: str) -> None:
    granted = each_ledger.as_service("c1", "c2")
    for other in ("c3", "*", ""):
        batch = [event("execution_triggered", str(uuid4()), customer_id=customer) for customer in ("c1", "c2")]
        batch.insert(0 if place == "first" else 2, event("execution_triggered", customer_id=other))
        with pytest.raises(psycopg.Error) as refusal:
            emit_batch(granted, batch, "*")
        assert_refused(refusal, "ZXCUS", "customer_granted")
    # The session's own customer, if it has one, is the only one.
    with granted.transaction():
        granted.execute("select set_config('aximo.customer_id', 'c1', true)")
        assert len(emit_batch(granted, [event("execution_triggered", "e1")], "*")) == 1
        with pytest.raises(psycopg.Error) as refusal, granted.transaction():
            emit_batch(granted, [event("execution_triggered", "e2", customer_id="c2")], "*")
        assert_refused(refusal, "ZXCUS", "customer_granted")
    assert (count(granted, "c1"), count(granted, "c2")) == (1, 0)


def test_an_event_of_a_mixed_batch_that_names_nobody_is_the_bound_logins(each_ledger: Ledger) -> None:
    bound = each_ledger.as_customer("c7", "aximo_writer")
    emit_batch(bound, [event("execution_triggered")], "*")
    assert count(bound, "c7") == 1
    with pytest.raises(psycopg.Error) as refusal:
        emit_batch(each_ledger.as_service(), [event("execution_triggered")], "*")
    assert_refused(refusal, "ZXCUS", "customer_granted")


def test_mixed_history_lists_what_breaks_a_rule_under_its_customer(each_ledger: Ledger) -> None:
    operator = each_ledger.connect(each_ledger.login("historian", "aximo_operator", "aximo_writer", customers=("*",)))
    batch = mixed("c1", "c2")
    batch += [event("execution_failed", "e1", customer_id="c2"), event("action_prepared", "e9", customer_id="c1")]
    operator.execute("select from aximo.import_events(%s, '*')", (Jsonb(batch),))
    for customer, rule in (("c1", "triggered_first"), ("c2", "ends_once")):
        assert read(operator, "select rule from aximo.violations", customer=customer) == [(rule,)]


# The customer


@pytest.mark.parametrize("way", ["event", "batch"])
def test_an_emit_leaves_the_sessions_customer_as_it_was(service: Connection, way: str) -> None:
    def write(customer: str | None, execution: str) -> None:
        if way == "event":
            emit(service, "execution_triggered", execution, customer_id=customer)
        else:
            emit_batch(service, [event("execution_triggered", execution)], customer)

    setting = "select coalesce(current_setting('aximo.customer_id', true), '')"
    with service.transaction():
        for number, customer in enumerate(("c1", "c2", "c1")):
            write(customer, f"unset-{number}")
            assert service.execute(setting).fetchall() == [("",)]
            assert service.execute("select count(*) from aximo.events").fetchall() == [(0,)]
    with service.transaction():
        service.execute("select set_config('aximo.customer_id', 'c1', true)")
        write("c1", "set")
        write(None, "set-too")
        assert service.execute(setting).fetchall() == [("c1",)]
    assert service.execute(setting).fetchall() == [("",)]
    service.execute("set aximo.customer_id = 'c1'")
    write("c1", "set for the session")
    assert service.execute(setting).fetchall() == [("c1",)]
    service.execute("reset aximo.customer_id")
    assert (count(service), count(service, "c2")) == (5, 1)


def refused_event(connection: Connection) -> None:
    emit(connection, "execution_completed", customer_id="c1")


def refused_batch(connection: Connection) -> None:
    emit_batch(connection, [event("execution_completed")])


@pytest.mark.parametrize("way", ["event", "batch"])
def test_a_refused_emit_leaves_the_sessions_customer_as_it_was(service: Connection, way: str) -> None:
    with service.transaction():
        refused = refused_event if way == "event" else refused_batch
        with pytest.raises(psycopg.Error), service.transaction():
            refused(service)
        row = service.execute("select coalesce(current_setting('aximo.customer_id', true), '')").fetchone()
        assert row == ("",)


def test_a_duplicate_leaves_the_sessions_customer_as_it_was(service: Connection) -> None:
    same = event("execution_triggered", customer_id="c1", event_id=str(uuid4()))
    with service.transaction():
        for _ in range(2):
            emit(service, **same)
            emit_batch(service, [same])
            assert service.execute("select coalesce(current_setting('aximo.customer_id', true), '')").fetchone() == (
                "",
            )


def test_the_argument_does_not_overrule_the_setting(service: Connection) -> None:
    for write in (
        lambda: emit(service, "execution_triggered", customer_id="c2"),
        lambda: emit_batch(service, [event("execution_triggered")], "c2"),
        lambda: emit_batch(service, [event("execution_triggered", customer_id="c2")], None),
    ):
        service.execute("set aximo.customer_id = 'c1'")
        with pytest.raises(psycopg.Error) as refusal:
            write()
        assert_refused(refusal, "ZXCUS", "customer_granted")
        service.execute("reset aximo.customer_id")
    assert (count(service), count(service, "c2")) == (0, 0)


@pytest.mark.parametrize("customer", [None, "", " ", "c2", "*"])
def test_a_customer_that_was_not_granted_is_refused(each_ledger: Ledger, customer: str | None) -> None:
    service = each_ledger.as_service("c1", "c9")
    with pytest.raises(psycopg.Error) as refusal:
        emit(service, "execution_triggered", customer_id=customer)
    assert_refused(refusal, "ZXCUS", "customer_granted")
    with pytest.raises(psycopg.Error) as refusal:
        emit_batch(service, [event("execution_triggered")], customer)
    assert_refused(refusal, "ZXCUS", "customer_granted")
    assert "c9" not in str(refusal.value.diag.message_primary)


# Limits


@pytest.mark.parametrize("field", IDS)
@pytest.mark.parametrize("character", ["x", "é", "漢", "😀"])
def test_255_characters_of_any_script_are_an_id_and_256_are_not(quick: Connection, field: str, character: str) -> None:
    longest = {"customer_id": "c1", "event_type": "execution_triggered", field: character * 255}
    receipt = emit(quick, **longest)
    emit_batch(quick, [event(**longest, event_id=str(receipt[0]))], longest["customer_id"])
    assert stored(quick, receipt[0], longest["customer_id"])[field] == character * 255
    emitted_both_ways(quick, {**longest, field: character * 256}, "ZXARG", "identifier_length")


def test_all_ids_may_be_as_long_as_they_can_be(service: Connection) -> None:
    """Four bytes a character, in every column of every index at once."""
    longest = dict.fromkeys((*IDS, *SHORT_TEXTS), "😀" * 255)
    for kind in ("execution_triggered", "execution_processing", "execution_completed"):
        emit(service, kind, **longest)
    assert count(service, longest["customer_id"]) == 3


@pytest.mark.parametrize("field", IDS)
def test_an_empty_or_blank_id_is_refused(quick: Connection, field: str) -> None:
    for blank in ("", WHITE_SPACE, *(space * 3 for space in WHITE_SPACE)):
        values = {"event_type": "execution_triggered", field: blank}
        if field == "customer_id" and not blank:
            # An empty name is no name, and the session has none either.
            emitted_both_ways(quick, values, "ZXCUS", "customer_granted")
        elif not blank:
            emitted_both_ways(quick, values, "ZXARG", "identifier_length", "identifier_not_blank")
        else:
            emitted_both_ways(quick, values, "ZXARG", "identifier_not_blank")


@pytest.mark.parametrize("field", IDS)
def test_white_space_around_an_id_is_part_of_it(quick: Connection, field: str) -> None:
    values = {"customer_id": "c1", field: f" {WHITE_SPACE}x "}
    receipt = emit(quick, "execution_triggered", **values)
    assert stored(quick, receipt[0], values["customer_id"])[field] == values[field]


@pytest.mark.parametrize("field", SHORT_TEXTS)
def test_optional_text_has_at_most_255_characters(quick: Connection, field: str) -> None:
    for number, text in enumerate(("", " ", "x" * 255, "é" * 255, "😀" * 255)):
        receipt = emit(quick, "execution_triggered", f"e{number}", customer_id="c1", **{field: text})
        assert stored(quick, receipt[0])[field] == text
    for text in ("x" * 256, "é" * 256):
        emitted_both_ways(quick, {"event_type": "execution_triggered", field: text}, "ZXARG", "short_text_length")


def payload_of(size: int, character: str = "x") -> dict[str, str]:
    """A payload whose text, as the database writes it, has this many bytes."""
    filling, rest = divmod(size - len('{"a": ""}'), len(character.encode()))
    payload = {"a": character * filling + "x" * rest}
    assert len(json.dumps(payload, ensure_ascii=False).encode()) == size
    return payload


@pytest.mark.parametrize("character", ["x", "漢"])
def test_a_payload_of_1_mib_is_accepted_and_one_byte_more_is_not(service: Connection, character: str) -> None:
    largest = payload_of(1 << 20, character)
    emit(service, "execution_triggered", customer_id="c1", payload=largest)
    (receipt,) = emit_batch(service, [event("execution_processing", payload=largest)])
    assert stored(service, receipt[0])["payload"] == largest
    values = {"event_type": "execution_processing", "payload": payload_of((1 << 20) + 1, character)}
    emitted_both_ways(service, values, "ZXARG", "payload_size")


def test_a_payload_of_many_small_parts_counts_by_its_text(service: Connection) -> None:
    """Numbers of one digit take four times as much in binary form as in text."""
    payload = {"a": [1] * 300_000}
    assert len(json.dumps(payload)) < 1 << 20
    (receipt,) = emit_batch(service, [event("execution_triggered", payload=payload)])
    assert stored(service, receipt[0])["payload"] == payload
    receipt = emit(service, "execution_processing", customer_id="c1", payload=payload)
    assert stored(service, receipt[0])["payload"] == payload


@pytest.mark.parametrize("document", ["[]", '"text"', "1", "true"])
def test_a_payload_is_an_object(quick: Connection, document: str) -> None:
    values = {"event_type": "execution_triggered", "payload": json.loads(document)}
    with pytest.raises(psycopg.Error) as refusal:
        emit(quick, **values, customer_id="c1")
    assert (refusal.value.sqlstate, refusal.value.diag.constraint_name) == ("ZXARG", "payload_is_object")
    with pytest.raises(psycopg.Error) as refusal:
        emit_batch(quick, [event(**values)])
    assert (refusal.value.sqlstate, refusal.value.diag.constraint_name) == ("ZXARG", "payload_is_object")


def test_json_null_as_payload_is_left_out_in_a_batch_and_no_object_as_an_argument(service: Connection) -> None:
    (receipt,) = emit_batch(service, [event("execution_triggered", payload=None)])
    assert stored(service, receipt[0])["payload"] == {}
    with pytest.raises(psycopg.Error) as refusal:
        emit(service, "execution_processing", customer_id="c1", payload=None)
    assert_refused(refusal, "ZXARG", "payload_is_object")


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"latency_ms": -1}, "milliseconds_not_negative"),
        ({"latency_ms": -(2**63)}, "milliseconds_not_negative"),
        ({"actor": "robot"}, "actor_known"),
        ({"actor": ""}, "actor_known"),
        ({"event_type": "execution_paused"}, "event_type_known"),
        ({"event_type": ""}, "event_type_known"),
        ({"event_type": None}, "event_type_present"),
        ({"deployment_id": None}, "deployment_id_present"),
        ({"skill_id": None}, "skill_id_present"),
        ({"skill_version": None}, "skill_version_present"),
        ({"actor": None}, "actor_present"),
        ({"timestamp": datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)}, "moment_range"),
        ({"timestamp": datetime(1, 1, 1, tzinfo=UTC)}, "moment_range"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(map(str, *[next(iter(value.items()))])),
)
def test_an_event_outside_the_limits_is_refused(service: Connection, values: dict[str, Any], rule: str) -> None:
    emitted_both_ways(service, {"event_type": "execution_triggered", **values}, "ZXARG", rule)


def test_a_latency_of_zero_and_the_first_moment_are_accepted(service: Connection) -> None:
    first = datetime(1970, 1, 1, tzinfo=UTC)
    receipt = emit(service, "execution_triggered", customer_id="c1", latency_ms=0, timestamp=first)
    row = stored(service, receipt[0])
    assert (row["latency_ms"], datetime.fromisoformat(row["timestamp"])) == (0, first)


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "9999-12-31 00:00:00+00", "294276-01-01", "4713-01-01 BC"])
def test_a_moment_that_no_clock_shows_is_refused(service: Connection, moment: str) -> None:
    with pytest.raises(psycopg.Error) as refusal:
        emit(service, "execution_triggered", customer_id="c1", timestamp=moment)
    assert refusal.value.sqlstate == "ZXARG"
    assert refusal.value.diag.constraint_name
    assert refusal.value.diag.message_detail
    assert refusal.value.diag.message_hint
    with pytest.raises(psycopg.Error) as refusal:
        emit_batch(service, [event("execution_triggered", timestamp=moment)])
    assert refusal.value.sqlstate == "ZXARG"
    assert refusal.value.diag.constraint_name
    assert count(service) == 0


def test_a_timestamp_may_be_ahead_by_less_than_a_day(service: Connection) -> None:
    (now,) = service.execute("select clock_timestamp()").fetchone() or (None,)
    assert now is not None
    emit(service, "execution_triggered", customer_id="c1", timestamp=now + timedelta(hours=23))
    emit_batch(service, [event("execution_processing", timestamp=(now + timedelta(hours=23)).isoformat())])
    ahead = {"event_type": "execution_processing", "timestamp": now + timedelta(hours=24, minutes=5)}
    emitted_both_ways(service, ahead, "ZXARG", "timestamp_not_ahead")


@pytest.mark.parametrize("kind", NEED_EXECUTION)
def test_execution_action_and_approval_events_need_an_execution(quick: Connection, kind: str) -> None:
    emitted_both_ways(quick, {"event_type": kind, "execution_id": None}, "ZXARG", "execution_id_present")


@pytest.mark.parametrize("kind", NEED_NONE)
def test_governance_and_lifecycle_events_need_no_execution(quick: Connection, kind: str) -> None:
    receipt = emit(quick, kind, None, customer_id="c1")
    (other,) = emit_batch(quick, [event(kind, None)])
    assert stored(quick, receipt[0])["execution_id"] is None
    assert stored(quick, other[0])["execution_id"] is None


@pytest.mark.parametrize("kind", NEED_NONE)
def test_governance_and_lifecycle_events_may_belong_to_an_execution(quick: Connection, kind: str) -> None:
    emitted_both_ways(quick, {"event_type": kind}, "ZXSEQ", "triggered_first")
    emit(quick, "execution_triggered", customer_id="c1")
    emit(quick, kind, customer_id="c1")
    emit(quick, "execution_failed", customer_id="c1")
    emit(quick, kind, customer_id="c1")
    emit_batch(quick, [event(kind)])
    emitted_both_ways(quick, {"event_type": kind, "skill_id": "other"}, "ZXATT", "same_attribution")


def test_there_are_22_types_in_their_categories(service: Connection) -> None:
    rows = service.execute("select category, event_type from aximo.event_types").fetchall()
    assert len(rows) == 22
    assert set(rows) == {(category, kind) for category, kinds in CATEGORIES.items() for kind in kinds}


# Each rule by name


TRIGGERED = [event("execution_triggered")]
PROCESSING = [*TRIGGERED, event("execution_processing")]
ENDED = [*TRIGGERED, event("execution_failed")]
ASKED = [*PROCESSING, event("approval_requested", payload={"approval_id": "a"})]
RULES: list[tuple[list[dict[str, Any]], dict[str, Any], str]] = [
    ([], event("execution_failed"), "triggered_first"),
    ([], event("execution_processing"), "triggered_first"),
    (TRIGGERED, event("execution_triggered"), "triggered_first"),
    (ENDED, event("execution_triggered"), "triggered_first"),
    (TRIGGERED, event("action_prepared"), "processing_first"),
    (TRIGGERED, event("approval_requested"), "processing_first"),
    (TRIGGERED, event("execution_completed"), "processing_first"),
    (ENDED, event("execution_failed"), "ends_once"),
    (ENDED, event("execution_completed"), "ends_once"),
    (ENDED, event("execution_processing"), "nothing_after_end"),
    (ENDED, event("action_prepared"), "nothing_after_end"),
    (ENDED, event("approval_requested"), "nothing_after_end"),
    ([*ASKED, event("execution_failed")], event("approval_granted", payload={"approval_id": "a"}), "nothing_after_end"),
    (ASKED, event("approval_requested", payload={"approval_id": "a"}), "approval_already_open"),
    (ASKED, event("approval_requested"), "open_approvals_are_named"),
    (
        [*PROCESSING, event("approval_requested")],
        event("approval_requested", payload={"approval_id": "a"}),
        "open_approvals_are_named",
    ),
    (PROCESSING, event("approval_granted"), "answers_open_approval"),
    (ASKED, event("approval_timeout"), "answers_open_approval"),
    (ASKED, event("approval_rejected", payload={"approval_id": "b"}), "answers_open_approval"),
    (
        [*ASKED, event("approval_granted", payload={"approval_id": "a"})],
        event("approval_rejected", payload={"approval_id": "a"}),
        "answers_open_approval",
    ),
    (ASKED, event("action_dispatched", payload={"approval_id": "a"}), "dispatch_waits_for_approval"),
    (ASKED, event("action_dispatched"), "dispatch_waits_for_approval"),
    (
        [*ASKED, event("approval_rejected", payload={"approval_id": "a"})],
        event("action_dispatched", payload={"approval_id": "a"}),
        "no_dispatch_after_denial",
    ),
    (
        [*ASKED, event("approval_timeout", payload={"approval_id": "a"})],
        event("action_dispatched"),
        "no_dispatch_after_denial",
    ),
    (ASKED, event("execution_completed"), "completes_without_open_approval"),
    (
        [*PROCESSING, event("action_prepared", payload={"action_type": "mail"})],
        event("execution_completed"),
        "completes_with_actions_resolved",
    ),
    (
        [
            *PROCESSING,
            event("action_prepared", payload={"action_id": "x", "action_type": "mail"}),
            event("action_prepared", payload={"action_id": "y", "action_type": "mail"}),
            event("action_dispatched", payload={"action_id": "y", "action_type": "mail"}),
            event("action_dispatched", payload={"action_id": "y", "action_type": "mail"}),
        ],
        event("execution_completed"),
        "completes_with_actions_resolved",
    ),
]


@pytest.mark.parametrize(("before", "refused", "rule"), RULES)
def test_each_rule_of_a_life_refuses_under_its_name(
    quick: Connection, before: list[dict[str, Any]], refused: dict[str, Any], rule: str
) -> None:
    emit_batch(quick, before)
    emitted_both_ways(quick, refused, "ZXSEQ", rule)
    with pytest.raises(psycopg.Error) as refusal:
        emit_batch(quick, [*before, refused], "c2")
    assert_refused(refusal, "ZXSEQ", rule)
    assert count(quick, "c2") == 0


@pytest.mark.parametrize("field", ["deployment_id", "skill_id", "skill_version"])
def test_an_execution_keeps_its_attribution(service: Connection, field: str) -> None:
    emit_batch(service, PROCESSING)
    for kind in ("execution_processing", "action_prepared", "execution_completed", "execution_failed", "sla_breached"):
        emitted_both_ways(service, {"event_type": kind, field: "other"}, "ZXATT", "same_attribution")


def test_a_denied_approval_excuses_what_waited_for_it(service: Connection) -> None:
    denied = [
        *PROCESSING,
        event("action_prepared", payload={"action_id": "x", "approval_id": "a"}),
        event("action_prepared", payload={"action_id": "y", "approval_id": "b"}),
        event("approval_requested", payload={"approval_id": "a"}),
        event("approval_rejected", payload={"approval_id": "a"}),
    ]
    emit_batch(service, denied)
    values = {"event_type": "execution_completed"}
    emitted_both_ways(service, values, "ZXSEQ", "completes_with_actions_resolved")
    emit(service, "action_failed", customer_id="c1", payload={"action_id": "y"})
    emit(service, "execution_completed", customer_id="c1")


# Executions that never end


def stale(connection: Connection, older_than: Any = "1 hour", customer: str = "c1") -> list[Any]:
    query = "select * from aximo.close_stale_executions(%s::interval)"
    return read(connection, query, older_than, customer=customer)


@pytest.fixture
def operator(each_ledger: Ledger) -> Connection:
    """A login that may close what is stale, for every customer."""
    return each_ledger.connect(each_ledger.login("operator", "aximo_operator", "aximo_writer", customers=("*",)))


def test_stale_executions_are_closed_by_their_latest_event(operator: Connection) -> None:
    now = datetime.now(UTC)
    old, recent = now - timedelta(hours=3), now - timedelta(minutes=30)
    emit(operator, "execution_triggered", "old", customer_id="c1", timestamp=old)
    emit(operator, "execution_triggered", "busy", customer_id="c1", timestamp=old)
    emit(operator, "execution_processing", "busy", customer_id="c1", timestamp=recent)
    emit(operator, "execution_triggered", "ended", customer_id="c1", timestamp=old)
    emit(operator, "execution_failed", "ended", customer_id="c1", timestamp=old)
    emit(operator, "execution_triggered", "old", customer_id="c2", timestamp=old)
    emit(operator, "sla_breached", None, customer_id="c1", timestamp=old)
    # The latest by timestamp counts, not the last to arrive.
    emit(operator, "execution_triggered", "skewed", customer_id="c1", timestamp=recent)
    emit(operator, "execution_processing", "skewed", customer_id="c1", timestamp=old)
    ((execution, event_id, idle),) = stale(operator)
    assert execution == "old"
    assert timedelta(hours=3) <= idle < timedelta(hours=3, minutes=5)
    row = stored(operator, event_id)
    assert (row["event_type"], row["error_code"], row["actor"]) == ("execution_failed", "orphaned", "system")
    assert (row["deployment_id"], row["skill_id"], row["skill_version"]) == ("dep-1", "skill-1", "1.0")
    assert row["recorded_by"] == "operator"
    query = "select status, error_code from aximo.executions where execution_id = 'old'"
    assert read(operator, query) == [("failed", "orphaned")]
    assert {r[0] for r in read(operator, "select execution_id from aximo.open_executions")} == {"busy", "skewed"}
    assert stale(operator) == []
    assert read(operator, query, customer="c2") == [("triggered", None)]


def test_an_execution_with_an_open_approval_can_be_closed(operator: Connection) -> None:
    old = (datetime.now(UTC) - timedelta(hours=3)).isoformat()
    emit_batch(operator, [{**e, "timestamp": old} for e in ASKED])
    ((execution, _, _),) = stale(operator)
    assert execution == "exec-1"


@pytest.mark.parametrize("older_than", [None, "-1 second", "-1 day"])
def test_a_negative_or_missing_age_is_refused(operator: Connection, older_than: str | None) -> None:
    emit(operator, "execution_triggered", customer_id="c1", timestamp=T0)
    with pytest.raises(psycopg.Error) as refusal:
        stale(operator, older_than)
    assert_refused(refusal, "ZXARG", "older_than_not_negative")
    assert count(operator) == 1


def test_an_age_of_zero_closes_what_is_idle_now(operator: Connection) -> None:
    emit(operator, "execution_triggered", customer_id="c1")
    emit(operator, "execution_triggered", "ahead", customer_id="c1", timestamp=datetime.now(UTC) + timedelta(hours=1))
    assert [row[0] for row in stale(operator, "0")] == ["exec-1"]


@pytest.mark.parametrize("older_than", ["10000 years", "300000 years", "10000000 years"])
def test_nothing_is_as_old_as_an_age_beyond_the_calendar(operator: Connection, older_than: str) -> None:
    emit(operator, "execution_triggered", customer_id="c1", timestamp=datetime(1970, 1, 1, tzinfo=UTC))
    assert stale(operator, older_than) == []


def test_closing_needs_a_customer_and_leaves_the_setting(operator: Connection) -> None:
    with pytest.raises(psycopg.Error) as refusal:
        operator.execute("select * from aximo.close_stale_executions('1 hour')")
    assert_refused(refusal, "ZXCUS", "customer_granted")


def test_a_bound_login_closes_its_own_and_the_setting_stays_unset(each_ledger: Ledger) -> None:
    bound = each_ledger.as_customer("c1", "aximo_operator", "aximo_writer")
    emit(bound, "execution_triggered", timestamp=T0)
    with bound.transaction():
        rows = bound.execute("select closed_execution_id from aximo.close_stale_executions('1 hour')").fetchall()
        assert rows == [("exec-1",)]
        row = bound.execute("select coalesce(current_setting('aximo.customer_id', true), '')").fetchone()
        assert row == ("",)


def test_only_an_operator_closes_executions(quick: Connection) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        stale(quick)


# What is derived


def lifecycle(kind: str, hour: float, version: str = "1.0", deployment: str = "dep-1", **fields: Any) -> dict[str, Any]:
    return event(
        kind,
        fields.pop("execution_id", None),
        timestamp=(T0 + timedelta(hours=hour)).isoformat(),
        deployment_id=deployment,
        skill_version=version,
        event_id=str(uuid4()),
        **fields,
    )


VERSIONS = (
    "select skill_version, began_at, ended_at, is_current, began_by, ended_by, basis from aximo.{} order by began_at"
)


def at(hour: float) -> datetime:
    return T0 + timedelta(hours=hour)


def test_deployment_versions_are_the_periods_that_were_declared(service: Connection) -> None:
    events = [
        lifecycle("deployment_created", 0),
        lifecycle("deployment_configured", 1),
        lifecycle("deployment_activated", 2),
        lifecycle("version_upgraded", 3, "2.0"),
        lifecycle("deployment_suspended", 4, "2.0"),
        lifecycle("deployment_activated", 5, "2.0"),
        lifecycle("version_rolled_back", 6, "1.0"),
        lifecycle("deployment_terminated", 7, "1.0"),
        lifecycle("deployment_created", 9, "3.0"),
        # An execution of another version declares nothing.
        lifecycle("execution_triggered", 10, "9.9", execution_id="e1"),
    ]
    emit_batch(service, events)
    periods = read(service, VERSIONS.format("deployment_versions"))
    assert periods == [
        ("1.0", at(0), at(3), False, "deployment_created", "version_upgraded", "declared"),
        ("2.0", at(3), at(6), False, "version_upgraded", "version_rolled_back", "declared"),
        ("1.0", at(6), at(7), False, "version_rolled_back", "deployment_terminated", "declared"),
        ("3.0", at(9), None, True, "deployment_created", None, "declared"),
    ]
    rows = read(service, "select began_with::text, ended_with::text from aximo.deployment_versions order by began_at")
    ids = [e["event_id"] for e in events]
    assert rows == [(ids[0], ids[3]), (ids[3], ids[6]), (ids[6], ids[7]), (ids[8], None)]


def test_a_deployment_that_declares_nothing_is_observed(service: Connection) -> None:
    emit_batch(
        service,
        [
            lifecycle("execution_triggered", 1, "1.0", execution_id="e1"),
            lifecycle("execution_triggered", 2, "1.0", execution_id="e2"),
            lifecycle("execution_triggered", 3, "2.0", execution_id="e3"),
            lifecycle("deployment_suspended", 4, "2.0"),
        ],
    )
    assert read(service, VERSIONS.format("deployment_versions")) == [
        ("1.0", at(1), at(3), False, "execution_triggered", "execution_triggered", "observed"),
        ("2.0", at(3), None, True, "execution_triggered", None, "observed"),
    ]


STATUS = (
    "select deployment_id, status, skill_version, status_since, last_execution_at from aximo.{} order by deployment_id"
)


def test_deployments_have_the_status_and_version_of_their_latest_events(service: Connection) -> None:
    emit_batch(
        service,
        [
            lifecycle("deployment_created", 0, deployment="created"),
            lifecycle("deployment_created", 0, deployment="configured"),
            lifecycle("deployment_configured", 1, deployment="configured"),
            lifecycle("deployment_activated", 1, deployment="active"),
            lifecycle("version_upgraded", 2, "2.0", deployment="active"),
            lifecycle("deployment_updated", 3, "2.0", deployment="active"),
            # Arrived late: it happened before the activation.
            lifecycle("deployment_suspended", 0.5, deployment="active"),
            lifecycle("execution_triggered", 3.5, "2.0", deployment="active", execution_id="e1"),
            lifecycle("deployment_activated", 1, deployment="suspended"),
            lifecycle("deployment_suspended", 4, deployment="suspended"),
            lifecycle("deployment_terminated", 5, deployment="terminated"),
            lifecycle("execution_triggered", 6, "7.0", deployment="undeclared", execution_id="e2"),
            lifecycle("sla_breached", 7, "8.0", deployment="only-governed"),
        ],
    )
    rows = {row[0]: row[1:] for row in read(service, STATUS.format("deployments"))}
    assert rows == {
        "created": ("pending_configuration", "1.0", at(0), None),
        "configured": ("configured", "1.0", at(1), None),
        "active": ("active", "2.0", at(1), at(3.5)),
        "suspended": ("suspended", "1.0", at(4), None),
        "terminated": ("terminated", "1.0", at(5), None),
        "undeclared": ("undeclared", "7.0", None, at(6)),
        "only-governed": ("undeclared", None, None, None),
    }
    past = {row[0]: row[1:] for row in read(service, STATUS.format("deployments_as_of(%s)"), at(1.5))}
    assert past == {
        "created": ("pending_configuration", "1.0", at(0), None),
        "configured": ("configured", "1.0", at(1), None),
        "active": ("active", "1.0", at(1), None),
        "suspended": ("active", "1.0", at(1), None),
    }


def test_the_past_can_be_asked_as_it_was_known_then(service: Connection) -> None:
    emit_batch(service, [lifecycle("deployment_created", 0), lifecycle("version_upgraded", 4, "2.0")])
    (known,) = read(service, "select clock_timestamp()")[0]
    # Arrives later, and tells of before.
    emit_batch(service, [lifecycle("version_upgraded", 2, "1.5")])
    query = "select skill_version, began_at, ended_at from aximo.{} order by began_at"
    assert read(service, query.format("deployment_versions")) == [
        ("1.0", at(0), at(2)),
        ("1.5", at(2), at(4)),
        ("2.0", at(4), None),
    ]
    past = query.format("deployment_versions_as_of(%s, %s)")
    assert read(service, past, at(3), "infinity") == [("1.0", at(0), at(2)), ("1.5", at(2), None)]
    assert read(service, past, at(3), known) == [("1.0", at(0), None)]
    assert read(service, past, at(5), known) == [("1.0", at(0), at(4)), ("2.0", at(4), None)]
    assert read(service, past, at(-1), "infinity") == []
    # The end of the period is a moment, and that moment's event counts.
    assert read(service, past, at(2), "infinity")[-1] == ("1.5", at(2), None)
    status = "select skill_version from aximo.deployments_as_of(%s, %s)"
    assert read(service, status, at(3), "infinity") == [("1.5",)]
    assert read(service, status, at(3), known) == [("1.0",)]


def test_looking_at_the_past_does_not_change_the_present(service: Connection) -> None:
    emit_batch(service, [lifecycle("deployment_created", 0), lifecycle("version_upgraded", 4, "2.0")])
    with service.transaction():
        service.execute("select set_config('aximo.customer_id', 'c1', true)")
        service.execute("select * from aximo.deployments_as_of(%s)", (at(1),)).fetchall()
        row = service.execute("select skill_version from aximo.deployments").fetchone()
        assert row == ("2.0",)


def test_no_moment_is_no_other_moment(service: Connection) -> None:
    """Null for the first argument must not move the second one into its place."""
    emit_batch(service, [lifecycle("deployment_created", 0)])
    (known,) = read(service, "select clock_timestamp()")[0]
    emit_batch(service, [lifecycle("version_upgraded", 2, "1.5")])
    query = "select skill_version from aximo.deployments_as_of(%s, %s)"
    assert read(service, query, "infinity", known) == [("1.0",)]
    try:
        rows = read(service, query, None, known)
    except psycopg.Error as refusal:
        rows = [(refusal.sqlstate,)]
    assert rows in ([("1.0",)], [("ZXARG",)])


def approval_history() -> list[dict[str, Any]]:
    steps = [
        ("execution_triggered", 0, {}),
        ("execution_processing", 0, {}),
        ("action_prepared", 0.1, {"action_id": "x", "action_type": "mail", "approval_id": "a"}),
        ("action_prepared", 0.1, {"action_type": "call", "approval_id": "b"}),
        ("approval_requested", 1, {"approval_id": "a"}),
        ("approval_requested", 1, {"approval_id": "b"}),
        ("approval_requested", 1, {"approval_id": "c"}),
        ("approval_granted", 2, {"approval_id": "a"}),
        ("approval_rejected", 3, {"approval_id": "b", "reason": "too late in the day"}),
        ("action_dispatched", 4, {"action_id": "x", "action_type": "mail", "approval_id": "a"}),
    ]
    return [
        {
            **lifecycle(kind, hour, execution_id="e1", payload=payload),
            "actor": "founder" if kind in ("approval_granted", "approval_rejected") else "system",
        }
        for kind, hour, payload in steps
    ]


APPROVALS = """
    select approval_id, decision, requested_at, decided_at, requested_by, decided_by, delay, reason, actions_withheld
    from aximo.{} order by approval_id
"""


def test_approvals_say_who_decided_what_and_what_was_withheld(service: Connection) -> None:
    events = approval_history()
    emit_batch(service, events)
    hour = timedelta(hours=1)
    granted = ("a", "granted", at(1), at(2), "system", "founder", hour, None, None)
    rejected = ("b", "rejected", at(1), at(3), "system", "founder", 2 * hour, "too late in the day", ["call"])
    waiting = ("c", "open", at(1), None, "system", None, None, None, None)
    assert read(service, APPROVALS.format("approvals")) == [granted, rejected, waiting]
    ids = "select request_event_id::text, decision_event_id::text, decision_recorded_by from aximo.approvals order by 1"
    assert set(read(service, ids)) == {
        (events[4]["event_id"], events[7]["event_id"], LOGIN),
        (events[5]["event_id"], events[8]["event_id"], LOGIN),
        (events[6]["event_id"], None, None),
    }
    past = APPROVALS.format("approvals_as_of(%s)")
    still_open = ("b", "open", at(1), None, "system", None, None, None, None)
    assert read(service, past, at(2)) == [granted, still_open, waiting]
    assert read(service, past, at(0.5)) == []
    # At three nothing was dispatched yet, but what was granted withholds nothing.
    assert read(service, past, at(3)) == [granted, rejected, waiting]


def test_an_approval_without_an_id_withholds_what_names_no_other(service: Connection) -> None:
    payloads = [
        ("action_prepared", {"action_id": "x"}),
        ("action_prepared", {"action_id": "own", "approval_id": "a"}),
        ("action_prepared", {"action_id": "done"}),
        ("action_dispatched", {"action_id": "done"}),
        ("approval_requested", {}),
        ("approval_timeout", {}),
    ]
    emit_batch(service, [*PROCESSING, *(event(kind, payload=payload) for kind, payload in payloads)])
    query = "select decision, actions_withheld from aximo.approvals"
    assert read(service, query) == [("timeout", ["x"])]


def test_what_is_withheld_of_a_type_is_what_was_prepared_more_often_than_dispatched(service: Connection) -> None:
    mail = {"action_type": "mail"}
    kinds = ("action_prepared", "action_prepared", "action_dispatched")
    asked = [event("approval_requested"), event("approval_rejected")]
    emit_batch(service, [*PROCESSING, *(event(kind, payload=mail) for kind in kinds), *asked])
    query = "select actions_withheld from aximo.approvals"
    assert read(service, query) == [(["mail"],)]


def test_executions_are_as_they_were(service: Connection) -> None:
    steps = [
        ("execution_triggered", 0, {}),
        ("execution_processing", 1, {}),
        ("approval_requested", 2, {}),
        ("approval_granted", 3, {}),
        ("execution_failed", 4, {"error": "no luck"}),
    ]
    events = [lifecycle(kind, hour, execution_id="e1", payload=payload) for kind, hour, payload in steps]
    emit_batch(service, events[:-1])
    (known,) = read(service, "select clock_timestamp()")[0]
    emit_batch(service, [{**events[-1], "error_code": "E42"}])
    query = "select status, events, ended_at, duration, error_code, error_message from aximo.{}"
    now = ("failed", 5, at(4), timedelta(hours=4), "E42", "no luck")
    assert read(service, query.format("executions")) == [now]
    past = query.format("executions_as_of(%s, %s)")
    expected = [(0, "triggered", 1), (1, "processing", 2), (2, "awaiting_approval", 3), (3, "processing", 4)]
    for hour, status, number in expected:
        assert read(service, past, at(hour), "infinity") == [(status, number, None, None, None, None)]
    assert read(service, past, at(4), "infinity") == [now]
    assert read(service, past, at(9), known) == [("processing", 4, None, None, None, None)]
    assert read(service, past, at(-1), "infinity") == []
    still_open = "select status, age, idle from aximo.open_executions_as_of(%s, %s)"
    hours = timedelta(hours=1)
    assert read(service, still_open, at(2.5), "infinity") == [("awaiting_approval", 2.5 * hours, 0.5 * hours)]
    assert read(service, still_open, at(9), known) == [("processing", 9 * hours, 6 * hours)]
    assert read(service, still_open, at(9), "infinity") == []
    assert read(service, "select * from aximo.open_executions") == []


def test_a_trace_is_in_order_of_arrival_however_the_clocks_go(service: Connection) -> None:
    steps = [("execution_triggered", 10), ("execution_processing", 9), ("action_prepared", 12), ("action_failed", 12)]
    emit_batch(service, [lifecycle(kind, hour, execution_id="e1") for kind, hour in steps])
    emit(service, "sla_breached", "e1", customer_id="c1", timestamp=at(8))
    emit_life(service, "c1", "e2")
    emit_life(service, "c2", "e1")
    query = 'select step, event_type, "timestamp", since_start, since_previous from aximo.execution_trace(%s)'
    hour = timedelta(hours=1)
    assert read(service, query, "e1") == [
        (1, "execution_triggered", at(10), 0 * hour, None),
        (2, "execution_processing", at(9), -1 * hour, -1 * hour),
        (3, "action_prepared", at(12), 2 * hour, 3 * hour),
        (4, "action_failed", at(12), 2 * hour, 0 * hour),
        (5, "sla_breached", at(8), -2 * hour, -4 * hour),
    ]
    assert len(read(service, query, "e2")) == 5
    assert read(service, query, "e3") == []


def test_a_trace_shows_which_request_an_answer_is_to(service: Connection) -> None:
    events = approval_history()
    emit_batch(service, events)
    query = (
        "select event_id::text, answers_event_id from aximo.execution_trace('e1') where answers_event_id is not null"
    )
    answers = {(row[0], str(row[1])) for row in read(service, query)}
    assert answers == {
        (events[7]["event_id"], events[4]["event_id"]),
        (events[8]["event_id"], events[5]["event_id"]),
    }
    assert all(UUID(name) for pair in answers for name in pair)


def test_the_failure_of_a_denied_action_resolves_no_other(service: psycopg.Connection[Any]) -> None:
    """By count of a type alone, the failure of the denied one would stand in for the other."""
    payload = {"action_type": "mail", "approval_id": "denied"}
    emit(service, "execution_triggered", customer_id="c1")
    emit(service, "execution_processing", customer_id="c1")
    emit(service, "action_prepared", customer_id="c1", payload=payload)
    emit(service, "action_prepared", customer_id="c1", payload={"action_type": "mail", "approval_id": "other"})
    emit(service, "approval_requested", customer_id="c1", payload={"approval_id": "denied"})
    emit(service, "approval_rejected", customer_id="c1", payload={"approval_id": "denied"}, actor="operator")
    emit(service, "action_failed", customer_id="c1", payload=payload)
    with pytest.raises(psycopg.DatabaseError) as refusal:
        emit(service, "execution_completed", customer_id="c1")
    assert refusal.value.sqlstate == "ZXSEQ"
    assert refusal.value.diag.constraint_name == "completes_with_actions_resolved"
    emit(service, "action_dispatched", customer_id="c1", payload={"action_type": "mail", "approval_id": "other"})
    emit(service, "execution_completed", customer_id="c1")


def test_an_action_is_withheld_though_another_of_its_type_was_done(service: psycopg.Connection[Any]) -> None:
    emit(service, "execution_triggered", customer_id="c1")
    emit(service, "execution_processing", customer_id="c1")
    for name in ("no", "yes"):
        emit(service, "action_prepared", customer_id="c1", payload={"action_type": "mail", "approval_id": name})
    for name in ("no", "yes"):
        emit(service, "approval_requested", customer_id="c1", payload={"approval_id": name})
    emit(service, "approval_granted", customer_id="c1", payload={"approval_id": "yes"}, actor="operator")
    emit(service, "approval_rejected", customer_id="c1", payload={"approval_id": "no"}, actor="operator")
    emit(service, "action_dispatched", customer_id="c1", payload={"action_type": "mail", "approval_id": "yes"})
    service.execute("select set_config('aximo.customer_id', 'c1', false)")
    withheld = service.execute("select approval_id, actions_withheld from aximo.approvals order by 1").fetchall()
    assert withheld == [("no", ["mail"]), ("yes", None)]
