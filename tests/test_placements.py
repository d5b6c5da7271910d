"""Where a customer is: what each state refuses to whom, what it hides, and what a node of a fleet may be."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from aximo_db.client.own_errors import no_customer
from tests.conftest import DBA, Ledger
from tests.events import event
from tests.log_support import advance_all, emit_many, emit_one, of_customer

Connection = psycopg.Connection[Any]
KEEPER, BOUND, OTHER = "placed_keeper", "placed_bound", "placed_other"
ALL = ("aximo_writer", "aximo_operator", "aximo_auditor", "aximo_bi")


@pytest.fixture
def placed(each_ledger: Ledger) -> Ledger:
    """A ledger with two customers, and logins of all, of the one and of the other."""
    ledger = each_ledger
    for name, customer in ((KEEPER, "*"), (BOUND, "c1"), (OTHER, "c2")):
        ledger.login(name, *ALL, customers=(customer,))
    with ledger.connect(KEEPER) as keeper:
        for customer in ("c1", "c2"):
            emit_many(keeper, 5, customer)
            emit_one(keeper, customer, "execution_triggered", "open")
            run(keeper, customer)
        advance_all(keeper)
        keeper.execute("select from aximo.refresh_metrics()")
    return ledger


def run(connection: Connection, customer: str) -> None:
    with connection.transaction():
        connection.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
        connection.execute(
            "insert into helix.runs (run_id, project_id, tool_name, contract_version, params_hash, policy_hash, status)"
            " values (%s, 'p', 't', 'v1', 'h', 'h', 'running')",
            (f"run of {customer}",),
        )
        connection.execute(
            "insert into helix.run_events (run_id, kind) values (%s, 'run.started')", (f"run of {customer}",)
        )


def place(
    connection: Connection, customer: str, state: str, node: int = 1, checkpoints: list[str] | None = None
) -> None:
    of_customer_nothing(connection, customer, "select aximo.place_customer(%s, %s, %s)", state, node, checkpoints)


def of_customer_nothing(connection: Connection, customer: str, query: str, *values: Any) -> None:
    with connection.transaction():
        connection.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
        connection.execute(query, values)


def put(ledger: Ledger, state: str) -> None:
    """Puts c1 into a state, whatever it was in."""
    with ledger.superuser() as root:
        root.execute("delete from aximo_private.placements")
        root.execute("insert into aximo_private.placements (customer_id, state, node) values ('c1', %s, 1)", (state,))


def refusal(connection: Connection, customer: str | None, query: str, *values: Any) -> tuple[str | None, str | None]:
    """Code and rule of what a statement is refused with; ``(None, None)`` if it is not."""
    try:
        with connection.transaction(force_rollback=True):
            if customer is not None:
                connection.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
            connection.execute(query, values)
    except psycopg.Error as error:
        return error.sqlstate, error.diag.constraint_name
    return None, None


#: Each function that writes for a customer, as it is called.
WRITES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "emit_event": ("select aximo.emit_event('sla_breached', 'd', 's', '1', 'system')", ()),
    "emit_events": ("select aximo.emit_events(%s)", (Jsonb([event("sla_breached", None)]),)),
    "import_events": ("select aximo.import_events(%s)", (Jsonb([event("sla_breached", None)]),)),
    "close_stale_executions": ("select aximo.close_stale_executions('1 hour')", ()),
    "repair_executions": ("select aximo.repair_executions()", ()),
    "open_cursor": ("select aximo.open_cursor('x')", ()),
    "move_cursor": ("select aximo.move_cursor('x', 0, 1)", ()),
    "add_checkpoint": ("select aximo.add_checkpoint('x')", ()),
    "set_threshold": ("select aximo.set_threshold('error_rate', 'warning', 0.5)", ()),
    "set_high_risk_levels": ("select aximo.set_high_risk_levels(array['x'])", ()),
    "set_lead_action_types": ("select aximo.set_lead_action_types(array['x'])", ()),
    "record_erasure": (
        "select aximo.record_erasure(array['00000000-0000-4000-8000-000000000001'::uuid], 'asked for')",
        (),
    ),
    "observe_run": ("select helix.observe_run('run of c1')", ()),
    "import_runs": ("select helix.import_runs(%s)", (Jsonb([{"run_id": "n", "tool_name": "t", "status": "running"}]),)),
    "import_run_events": (
        "select helix.import_run_events(%s)",
        (Jsonb([{"run_id": "run of c1", "kind": "k", "ts": "2026-01-01T00:00:00Z"}]),),
    ),
}
#: Functions that write, and for no customer, or for all of them, or for the move itself.
OF_NO_CUSTOMER = {
    "advance_log", "count_metrics", "grant_customer", "isolate_gateway_tables", "join_fleet", "keep_metrics", "mend_log",
    "place_customer", "rebuild_log_nodes", "recount_metrics", "refresh_metrics", "revoke_customer",
}  # fmt: skip
#: Functions that are volatile, and write nothing.
READS = {"read_log", "execution_trace", "compare_run_log", "verify_metrics"}
#: Statements that a gateway sends itself.
STATEMENTS = {
    "insert run": "insert into helix.runs (run_id, project_id, tool_name, contract_version, params_hash, policy_hash, status)"
    " values ('new', 'p', 't', 'v1', 'h', 'h', 'running')",
    "update run": "update helix.runs set status = 'succeeded' where run_id = 'run of c1'",
    "insert run event": "insert into helix.run_events (run_id, kind) values ('run of c1', 'k')",
}


def test_every_function_that_writes_is_known(each_ledger: Ledger) -> None:
    with each_ledger.superuser() as root:
        names = {
            name
            for (name,) in root.execute(
                "select p.proname::text from pg_proc as p where p.pronamespace in ('aximo'::regnamespace, 'helix'::regnamespace)"
                " and p.provolatile = 'v'"
            )
        }
    # These set what they look at, and write nothing.
    assert {
        name for name in names if not name.endswith("_as_of") and name not in READS
    } == WRITES.keys() | OF_NO_CUSTOMER


@pytest.mark.parametrize("state", ["leaving", "gone", "arriving"])
def test_nobody_writes_for_a_customer_that_is_not_here(placed: Ledger, state: str) -> None:
    put(placed, state)
    calls = {**WRITES, **{name: (query, ()) for name, query in STATEMENTS.items()}}
    for login, customer in ((BOUND, None), (BOUND, "c1"), (KEEPER, "c1")):
        with placed.connect(login) as connection:
            for name, (query, values) in calls.items():
                if name == "update run" and state != "leaving":
                    with connection.transaction(force_rollback=True):
                        connection.execute("select set_config('aximo.customer_id', 'c1', true)")
                        assert connection.execute(query).rowcount == 0
                    continue
                assert refusal(connection, customer, query, *values) == ("ZXMOV", f"customer_is_{state}"), (login, name)
    # Whoever was not granted the customer is not told where it is, and works on.
    with placed.connect(OTHER) as other:
        for name, (query, values) in calls.items():
            if name not in (
                "observe_run",
                "move_cursor",
                "add_checkpoint",
                "import_run_events",
                "insert run event",
                "import_runs",
            ):
                assert refusal(other, None, query, *values)[0] != "ZXMOV", name
            if name not in ("insert run event", "update run"):
                assert refusal(other, "c1", query, *values)[0] != "ZXMOV", name
        emit_one(other, "c2")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("leaving", "this customer is leaving this node, and nobody writes for it meanwhile"),
        ("gone", "this customer is not on this node"),
        ("arriving", "this customer is not on this node yet"),
    ],
)
def test_a_refusal_says_whether_the_customer_is_here(placed: Ledger, state: str, message: str) -> None:
    put(placed, state)
    with placed.connect(BOUND) as connection:
        assert bool(connection.execute("select from aximo.events").fetchall()) == (state == "leaving")
        with pytest.raises(psycopg.Error) as refused:
            emit_one(connection)
    assert refused.value.diag.message_primary == message
    if state != "leaving":
        # Where the package finds it out, it says the same.
        assert no_customer([], ("c1", state, 1)).message == message


def test_a_run_of_a_customer_that_is_leaving_is_not_deleted(placed: Ledger) -> None:
    with placed.connect(KEEPER) as keeper:
        of_customer_nothing(
            keeper,
            "c1",
            "insert into helix.runs (run_id, project_id, tool_name, contract_version, params_hash, policy_hash, status)"
            " values ('empty', 'p', 't', 'v1', 'h', 'h', 'queued')",
        )
    put(placed, "leaving")
    with placed.connect(DBA) as owner:
        assert refusal(owner, "c1", "delete from helix.runs where run_id = 'empty'") == ("ZXMOV", "customer_is_leaving")


@pytest.mark.parametrize("state", ["leaving", "gone", "arriving"])
def test_what_is_here_of_a_customer_that_is_not_is_hidden(placed: Ledger, state: str) -> None:
    def rows(login: str) -> dict[str, int]:
        with placed.connect(login) as connection:
            views = connection.execute(
                "select c.oid::regclass::text from pg_class as c where c.relkind in ('v', 'r')"
                " and c.relnamespace in ('aximo'::regnamespace, 'aximo_metrics'::regnamespace, 'helix'::regnamespace)"
                " and has_table_privilege(c.oid, 'select') and exists ("
                "select from pg_attribute as a where a.attrelid = c.oid and a.attname = 'customer_id') order by 1"
            ).fetchall()
            found = {}
            for (view,) in views:
                (count,) = of_customer(connection, "c1", f"select count(*) from {view}")
                found[view] = count[0]
            return found

    before = rows(BOUND)
    assert before["aximo.events"] == 6
    put(placed, state)
    for login in (BOUND, KEEPER):
        now = rows(login)
        assert now.pop("aximo.placements") == 1
        if state == "leaving":
            assert now["aximo.events"] == 6
        else:
            assert {view for view, count in now.items() if count} == set()
    with placed.connect(BOUND) as bound:
        # Named or not.
        assert bound.execute("select count(*) from aximo.events").fetchone() == (6 if state == "leaving" else 0,)
    with placed.connect(KEEPER) as keeper:
        names = [name for (name,) in keeper.execute("select customer_id from aximo.my_customers()")]
        assert ("c1" in names) == (state == "leaving")
        assert "c2" in names


def test_a_placement_is_seen_by_whom_it_concerns(placed: Ledger) -> None:
    put(placed, "gone")
    with placed.superuser() as root:
        root.execute("insert into aximo_private.placements (customer_id, state, node) values ('c2', 'leaving', 3)")
    seen = {}
    for login in (BOUND, OTHER, KEEPER):
        with placed.connect(login) as connection:
            seen[login] = connection.execute(
                "select customer_id, state, node from aximo.placements order by 1"
            ).fetchall()
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("select from aximo_private.placements")
            with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState)):
                connection.execute("delete from aximo.placements")
    assert seen == {
        BOUND: [("c1", "gone", 1)],
        OTHER: [("c2", "leaving", 3)],
        KEEPER: [("c1", "gone", 1), ("c2", "leaving", 3)],
    }


STEPS = ("here", "arriving", "leaving", "gone")
FOLLOWS = {
    ("here", "leaving"),
    ("leaving", "here"),
    ("leaving", "gone"),
    ("gone", "arriving"),
    ("arriving", "gone"),
    ("arriving", "here"),
}


@pytest.mark.parametrize("before", STEPS)
@pytest.mark.parametrize("after", [*STEPS, "nowhere"])
def test_only_a_step_that_follows_is_made(placed: Ledger, before: str, after: str) -> None:
    if before != "here":
        put(placed, before)
    checkpoints = None
    with placed.connect(KEEPER) as keeper:
        if (before, after) == ("arriving", "here"):
            with placed.superuser() as root:
                root.execute("delete from aximo_private.placements")
            query = "select aximo.checkpoint_text(null, 'events'), aximo.checkpoint_text(null, 'run_events')"
            checkpoints = list(of_customer(keeper, "c1", query)[0])
            put(placed, before)
        code, rule = refusal(keeper, "c1", "select aximo.place_customer(%s, 1, %s)", after, checkpoints)
        if (before, after) in FOLLOWS:
            assert (code, rule) == (None, None)
        else:
            wanted = "placement_known" if after == "nowhere" else "placement_order"
            if (before, after) == ("here", "arriving"):
                wanted = "customer_is_here"  # it has a history
            assert (code, rule) == ("ZXMOV", wanted)


def test_what_a_step_looks_at(placed: Ledger) -> None:
    query = "select aximo.place_customer(%s, %s, %s)"
    with placed.connect(KEEPER) as keeper:
        for node, rule in (
            (0, "node_is_another"),
            (1024, "node_in_fleet"),
            (-1, "node_in_fleet"),
            (None, "node_in_fleet"),
        ):
            assert refusal(keeper, "c1", query, "leaving", node, None) == ("ZXMOV", rule)
        # Nobody, and all.
        assert refusal(keeper, None, query, "leaving", 1, None)[0] == "ZXCUS"
        assert refusal(keeper, "*", query, "leaving", 1, None)[0] in ("ZXCUS", "ZXARG")
        place(keeper, "c1", "leaving")
        assert refusal(keeper, "c1", query, "gone", 2, None) == ("ZXMOV", "node_of_the_move")
        place(keeper, "c1", "here")
        emit_one(keeper, "c1")
        place(keeper, "c1", "leaving")
        # An event without a number.
        assert refusal(keeper, "c1", query, "gone", 1, None) == ("ZXMOV", "logs_are_whole")
        advance_all(keeper)
        place(keeper, "c1", "gone")
        place(keeper, "c1", "arriving", 5)
        assert refusal(keeper, "c1", query, "here", 5, ["a", "b"]) == ("ZXMOV", "logs_are_whole")
        assert refusal(keeper, "c1", query, "here", 5, None) == ("ZXMOV", "logs_are_whole")
    for login, code in ((BOUND, "ZXCUS"),):
        with placed.connect(login) as connection:
            assert refusal(connection, "c1", query, "gone", 5, None)[0] == code
    placed.login("placed_reader", "aximo_writer", customers=("*",))
    with placed.connect("placed_reader") as reader:
        assert refusal(reader, "c1", query, "gone", 5, None)[0] == "42501"


def test_a_customer_with_a_history_does_not_arrive(placed: Ledger) -> None:
    with placed.connect(KEEPER) as keeper:
        assert refusal(keeper, "c1", "select aximo.place_customer('arriving', 1)") == ("ZXMOV", "customer_is_here")
        place(keeper, "nobody", "arriving")


# Nodes


def test_a_node_of_a_fleet(each_ledger: Ledger) -> None:
    join = "select aximo.join_fleet(%s, %s)"
    with each_ledger.connect(DBA) as owner, each_ledger.superuser() as root:
        for ledger, node, rule in (
            ("l", 1024, "node_known"), ("l", -1, "node_known"), ("l", None, "node_known"), (None, 1, "ledger_is_a_name"),
            ("with blank", 1, "ledger_is_a_name"), ("a+b", 1, "ledger_is_a_name"), ("", 1, "ledger_is_a_name"),
            ("x" * 256, 1, "ledger_is_a_name"),
        ):  # fmt: skip
            assert refusal(owner, None, join, ledger, node) == ("ZXENV", rule)
        owner.execute(join, ("example/fleet", 1023))
        owner.execute(join, ("example/fleet", 1023))
        each_ledger.login(KEEPER, *ALL, customers=("*",))
        with each_ledger.connect(KEEPER) as keeper:
            assert refusal(keeper, None, join, "l", 1)[0] == "42501"
            run(keeper, "c1")
            emit_one(keeper, "c1")
            assert advance_all(keeper) == 2
            assert of_customer(keeper, "c1", "select problem from aximo.verify_log('run_events')") == []
            (text,) = of_customer(keeper, "c1", "select aximo.log_origin()")
            assert text[0] == "example/fleet/c1"
        (event_id,) = root.execute("select max(event_id) from helix.run_events").fetchone() or (0,)
        assert 1023 * 2**43 < event_id < 2**53
        assert refusal(owner, None, join, "example/fleet", 1) == ("ZXENV", "node_stays")
        assert refusal(owner, None, join, "another", 1023) == ("ZXENV", "ledger_name_stays")


def test_a_lower_node_after_a_run_event_that_was_rolled_back(each_ledger: Ledger) -> None:
    each_ledger.login(KEEPER, *ALL, customers=("*",))
    with each_ledger.connect(DBA) as owner, each_ledger.connect(KEEPER) as keeper:
        owner.execute("select aximo.join_fleet('example/fleet', 5)")
        owner.execute("select aximo.join_fleet('example/fleet', 2)")
        with pytest.raises(ZeroDivisionError), keeper.transaction():
            run(keeper, "c1")
            raise ZeroDivisionError
        assert refusal(owner, None, "select aximo.join_fleet('example/fleet', 3)") == ("ZXENV", "node_stays")
        run(keeper, "c1")
        assert advance_all(keeper) == 1


# What moves


#: The tables with a customer_id that do not move, and why.
STAYS = {
    "aximo_private.access_changes": "who may work for a customer is each node's own",
    "aximo_private.customer_grants": "who may work for a customer is each node's own",
    "aximo_private.placements": "where it is, each node says itself",
}
#: Made from the log on each node, as are the rows that are kept of them.
COUNTED = re.compile(r"_(sums|kept|recent)$|^aximo_private\.(run_states|counted_logs|uncounted_logs|unjudged_leads)$")


def test_each_table_with_a_customer_moves_or_has_a_reason_to_stay(each_ledger: Ledger) -> None:
    with each_ledger.superuser() as root:
        tables = {
            name: bool(moves)
            for name, moves in root.execute(
                "select format('%I.%I', n.nspname, c.relname), exists ("
                "select from pg_trigger as t where t.tgrelid = c.oid and t.tgname = 'take_arriving' and t.tgenabled = 'R')"
                " from pg_class as c join pg_namespace as n on n.oid = c.relnamespace"
                " join pg_attribute as a on a.attrelid = c.oid and a.attname = 'customer_id'"
                " where c.relkind in ('r', 'p') and n.nspname in ('aximo', 'aximo_private', 'aximo_metrics', 'helix')"
            )
        }
        for name, moves in tables.items():
            stays = name in STAYS or COUNTED.search(name) is not None
            assert moves != stays, name
        # A publication's row filter takes built-in types only, and has to be told by what identifies a row that changes.
        for name in (name for name, moves in tables.items() if moves):
            row = root.execute(
                "select a.atttypid = 'text'::regtype, exists (select from pg_trigger as t where t.tgrelid = a.attrelid and t.tgname = 'append_only_row'),"
                " exists (select from pg_index as i join pg_class as c on c.oid = i.indrelid where i.indrelid = a.attrelid"
                " and a.attnum = any(i.indkey) and (i.indisreplident or c.relreplident = 'd' and i.indisprimary))"
                " from pg_attribute as a where a.attrelid = %s::regclass and a.attname = 'customer_id'",
                (name,),
            ).fetchone()
            assert row is not None
            assert row[0], name
            assert row[1] or row[2], name
