"""What one customer writes or imports must not harm the log of others, nor be judged otherwise here than there."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import Ledger
from tests.events import emit, event

CUSTOMER = "c1"
STARTED = (event("execution_triggered"), event("execution_processing"))


@pytest.fixture
def service(each_ledger: Ledger) -> psycopg.Connection[Any]:
    """A login for every customer that emits, imports and numbers."""
    login = each_ledger.login("hostile_service", "aximo_writer", "aximo_operator", customers=("*",))
    connection = each_ledger.connect(login)
    connection.execute("select set_config('aximo.customer_id', %s, false)", (CUSTOMER,))
    return connection


def batch(connection: psycopg.Connection[Any], function: str, *events: dict[str, Any]) -> None:
    text = json.dumps([{"event_id": str(uuid4()), **each, "customer_id": CUSTOMER} for each in events])
    connection.execute(f"select count(*) from aximo.{function}(%s)", (text,))  # type: ignore[arg-type]


def code(connection: psycopg.Connection[Any], function: str, *events: dict[str, Any]) -> str | None:
    """The code and rule of the refusal of the last event; ``None`` if it is accepted. Nothing is kept."""
    try:
        with connection.transaction(force_rollback=True):
            if function == "emit_event":
                for each in events:
                    emit(connection, **{**each, "customer_id": CUSTOMER})
            else:
                batch(connection, function, *events)
    except psycopg.Error as error:
        return f"{error.sqlstate} {error.diag.constraint_name}"
    return None


def violations(connection: psycopg.Connection[Any]) -> list[tuple[int, str]]:
    connection.execute("select aximo.advance_log()")
    return connection.execute("select number, rule from aximo.violations order by number").fetchall()


# One customer's events and everybody's numbering


def test_ids_that_swell_are_compared_without_their_text(each_ledger: Ledger, service: psycopg.Connection[Any]) -> None:
    batch(service, "emit_events", event("execution_triggered"), event("execution_processing"))
    swelling = {"customer_id": CUSTOMER, **event("action_failed", payload={})}
    # 78 bytes as jsonb, 917 kB as text: so many would not fit into an array.
    number = ", ".join(["1e131000"] * 7)
    text = json.dumps([swelling] * 20).replace('"payload": {}', f'"payload": {{"action_id": [{number}]}}')
    service.execute("select count(*) from aximo.emit_events(%s)", (text,))
    assert violations(service) == []
    batch(service, "emit_events", event("action_failed", payload={"action_id": 7}), event("execution_completed"))
    with each_ledger.superuser() as root:
        longest = root.execute(
            "select max(octet_length(aximo_private.step_key(payload, 'action_id'))), max(octet_length(payload ->> 'action_id'))"
            " from aximo_private.events"
        ).fetchone()
    assert longest is not None
    assert longest[0] < 100 < 900_000 < longest[1]


def test_numbers_that_swell_are_refused_also_where_the_value_is_compressed(each_ledger: Ledger) -> None:
    with each_ledger.superuser() as root:
        root.execute("select aximo.grant_customer('postgres', %s)", (CUSTOMER,))
        root.execute("create temp table stored (payload jsonb)")
        root.execute(
            "insert into stored select ('{\"a\": [' || repeat('1e131000,', 6) || '1], \"f\": \"' || repeat('x', 4000) || '\"}')::jsonb"
        )
        with pytest.raises(psycopg.Error) as refusal:
            root.execute(
                "select aximo.emit_event('sla_breached', 'd', 's', '1', 'system', payload => payload) from stored"
            )
    assert refusal.value.diag.constraint_name == "payload_numbers"


def test_long_ids_are_told_apart_and_numbered(service: psycopg.Connection[Any]) -> None:
    long = "x" * 300_000
    first, second = ({"action_id": long + end, "action_type": "a"} for end in "12")
    batch(
        service,
        "emit_events",
        event("execution_triggered"),
        event("execution_processing"),
        event("action_prepared", payload=first),
        event("action_dispatched", payload=second),
    )
    assert code(service, "emit_events", event("execution_completed")) == "ZXSEQ completes_with_actions_resolved"
    batch(service, "emit_events", event("action_dispatched", payload=first), event("execution_completed"))
    assert violations(service) == []


def test_a_long_execution_makes_nobodys_numbering_slow(each_ledger: Ledger, service: psycopg.Connection[Any]) -> None:
    """Numbering reads what is new, however long the executions are that it belongs to."""
    lives = [[event("execution_triggered", f"e{n}"), event("execution_processing", f"e{n}")] for n in range(5)]
    for life in lives:
        batch(service, "emit_events", *life, *[event("pressure_invoked", life[0]["execution_id"])] * 2000)
    service.execute("select aximo.advance_log(20000)")
    batch(service, "emit_events", *[event("pressure_invoked", f"e{n}") for n in range(5)])
    root = each_ledger.superuser()
    root.execute("analyze")

    def events_read() -> int:
        service.execute("select pg_stat_force_next_flush()")
        service.execute("select pg_stat_clear_snapshot()")
        row = service.execute(
            "select seq_tup_read + coalesce(idx_tup_fetch, 0) from pg_stat_all_tables"
            " where schemaname = 'aximo_private' and relname = 'events'"
        ).fetchone()
        assert row is not None
        return int(row[0])

    before = events_read()
    assert service.execute("select numbered from aximo.advance_log()").fetchone() == (5,)
    assert events_read() - before < 60


@pytest.mark.parametrize(
    "loss",
    [
        "delete from aximo_private.log_state",
        "update aximo_private.logs set high_position = 0",
        "update aximo_private.logs set high_position = 0 where log = 'events'",
        "delete from aximo_private.logs",
    ],
)
def test_a_log_without_its_state_is_not_numbered_anew(
    each_ledger: Ledger, service: psycopg.Connection[Any], loss: str
) -> None:
    batch(service, "emit_events", *STARTED)
    if loss.startswith("update"):
        service.execute("select aximo.advance_log()")
    with each_ledger.superuser() as root:
        root.execute(loss)  # type: ignore[call-overload]
    with pytest.raises(psycopg.Error) as refusal:
        service.execute("select aximo.advance_log()")
    assert (refusal.value.sqlstate, refusal.value.diag.constraint_name) == ("ZXENV", "log_state_is_the_logs")


@pytest.mark.parametrize("call", ["advance_log()", "mend_log()"])
def test_a_login_of_certain_customers_does_not_number(each_ledger: Ledger, call: str) -> None:
    tenant = each_ledger.as_customer(CUSTOMER, "aximo_operator")
    with pytest.raises(psycopg.Error) as refusal:
        tenant.execute(f"select aximo.{call}")  # type: ignore[call-overload]
    assert (refusal.value.sqlstate, refusal.value.diag.constraint_name) == ("ZXCUS", "numbers_for_all")


def test_many_holes_that_are_filled_at_once_leave_what_is_left_of_them(
    each_ledger: Ledger, service: psycopg.Connection[Any]
) -> None:
    late = each_ledger.connect("hostile_service")
    with late.transaction():
        for n in range(60):
            emit(late, **event("sla_breached", None, customer_id="late", payload={"n": n}))
            emit(service, **event("sla_breached", None, customer_id=CUSTOMER))
            if n % 3 == 0:
                with pytest.raises(psycopg.errors.DivisionByZero), service.transaction():
                    emit(service, **event("sla_breached", None, customer_id=CUSTOMER))
                    service.execute("select 1 / 0")
        service.execute("select aximo.advance_log()")
    assert service.execute("select numbered from aximo.advance_log()").fetchone() == (60,)
    for _ in range(3):
        service.execute("select aximo.advance_log()")
    service.execute("select set_config('aximo.customer_id', 'late', false)")
    order = service.execute("select (payload ->> 'n')::int from aximo.log_entries order by number").fetchall()
    assert order == [(n,) for n in range(60)]
    with each_ledger.superuser() as root:
        assert root.execute("select count(*) from aximo_private.log_holes").fetchone() == (0,)


# After an import


ASKED = event("approval_requested", payload={"approval_id": "q"})
GRANTED = event("approval_granted", payload={"approval_id": "q"})
REJECTED = event("approval_rejected", payload={"approval_id": "q"})
DISPATCHED = event("action_dispatched", payload={"approval_id": "q"})


@pytest.mark.parametrize("function", ["emit_event", "emit_events"])
@pytest.mark.parametrize("history", [(*STARTED, GRANTED), (*STARTED, ASKED, GRANTED, GRANTED)])
def test_an_imported_answer_to_nothing_opens_nothing(
    service: psycopg.Connection[Any], function: str, history: tuple[dict[str, Any], ...]
) -> None:
    batch(service, "import_events", *history)
    assert code(service, function, ASKED, DISPATCHED) == "ZXSEQ dispatch_waits_for_approval"
    assert code(service, function, ASKED, event("execution_completed")) == "ZXSEQ completes_without_open_approval"
    assert code(service, function, ASKED, REJECTED) is None
    assert code(service, function, ASKED, GRANTED, DISPATCHED) is None


@pytest.mark.parametrize("kind", ["action_prepared", "execution_failed"])
def test_an_imported_second_start_gives_no_second_attribution(service: psycopg.Connection[Any], kind: str) -> None:
    other = {"deployment_id": "other"}
    batch(service, "import_events", *STARTED, event("execution_triggered", **other))
    for function in ("emit_event", "emit_events"):
        assert code(service, function, event(kind, **other)) == "ZXATT same_attribution"
        assert code(service, function, event(kind)) is None


def test_a_batch_that_looks_whole_is_judged_with_what_was_imported_before(service: psycopg.Connection[Any]) -> None:
    batch(service, "import_events", ASKED, event("action_prepared"))
    other = {"deployment_id": "other"}
    life = [event(kind, **other) for kind in ("execution_triggered", "execution_processing", "execution_completed")]
    assert code(service, "emit_events", *life) == "ZXSEQ triggered_first"


def test_the_place_of_a_malformed_event_is_told_for_history_too(service: psycopg.Connection[Any]) -> None:
    bad = {**event("sla_breached", None), "nonsense": 1}
    for function in ("emit_events", "import_events"):
        with pytest.raises(psycopg.Error) as refusal:
            batch(service, function, event("sla_breached", None), event("sla_breached", None), bad)
        assert "event 3 of the batch" in str(refusal.value.diag.message_detail)


# Arguments


@pytest.mark.parametrize(
    "call",
    [
        "log_tile(0, 9223372036854775807)",
        "log_tile(null, null)",
        "log_tile(8, 0)",
        "log_tile(0, -1)",
        "read_log(-1)",
        "read_log(null)",
        "log_root(99)",
        "checkpoint_text(-1)",
        "advance_log(0)",
    ],
)
def test_impossible_arguments_have_a_code(service: psycopg.Connection[Any], call: str) -> None:
    with pytest.raises(psycopg.Error) as refusal:
        service.execute(f"select aximo.{call}")  # type: ignore[call-overload]
    assert refusal.value.sqlstate == "ZXARG"


def test_the_end_of_the_numbers_is_no_error(service: psycopg.Connection[Any]) -> None:
    assert service.execute("select * from aximo.read_log(9223372036854775807)").fetchall() == []


@pytest.mark.parametrize(
    "after", ["\n", "x", "\n— k abc\r\n", "\n— k\u0085x\n", "\n— k\u2028x\n", "\n- k abc\n", "\n— k abc", "\n" * 20_000]
)
def test_a_checkpoint_with_anything_but_signatures_after_it_is_refused(
    service: psycopg.Connection[Any], after: str
) -> None:
    batch(service, "emit_events", *STARTED)
    service.execute("select aximo.advance_log()")
    row = service.execute("select aximo.checkpoint_text()").fetchone()
    assert row is not None
    for good in (row[0], row[0] + "\n— k abc=\n— other abc=\n"):
        service.execute("select aximo.add_checkpoint(%s)", (good,))
    with pytest.raises(psycopg.Error) as refusal:
        service.execute("select aximo.add_checkpoint(%s)", (row[0] + after,))
    assert refusal.value.sqlstate == "ZXPRF"


@pytest.mark.parametrize(
    ("tampering", "problem"),
    [
        ("update aximo_private.checkpoints set note = replace(note, '/', '//')", "checkpoint_differs"),
        ("update aximo_private.log_state set ledger = 'another'", "checkpoint_differs"),
        ("insert into aximo_private.log_nodes values (7, 1, 'events', 'c1', sha256('x'))", "node_ahead"),
    ],
)
def test_what_stands_beside_the_entries_is_verified_too(
    each_ledger: Ledger, service: psycopg.Connection[Any], tampering: str, problem: str
) -> None:
    batch(service, "emit_events", *STARTED)
    service.execute("select aximo.advance_log()")
    service.execute("select aximo.add_checkpoint(aximo.checkpoint_text())")
    with each_ledger.superuser() as root:
        root.execute("alter table aximo_private.checkpoints disable trigger user")
        root.execute(tampering)  # type: ignore[call-overload]
    assert [each for (each,) in service.execute("select problem from aximo.verify_log()")] == [problem]


def test_settings_of_the_session_change_no_hash(service: psycopg.Connection[Any]) -> None:
    batch(service, "emit_events", *STARTED)
    for setting in (
        "timezone = 'Asia/Kathmandu'",
        "datestyle = 'German'",
        "extra_float_digits = -10",
        "bytea_output = 'escape'",
        "standard_conforming_strings = off",
        "search_path = pg_temp",
    ):
        service.execute(f"set {setting}")  # type: ignore[call-overload]
    service.execute("select aximo.advance_log()")
    assert service.execute("select * from aximo.verify_log()").fetchall() == []
    service.execute("reset all")
    service.execute("select set_config('aximo.customer_id', %s, false)", (CUSTOMER,))
    assert service.execute("select * from aximo.verify_log()").fetchall() == []
