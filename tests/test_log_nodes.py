"""The hashes of subtrees: what is missing or wrong is refused, not hashed over, and made again of the leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from aximo_db.cli.app import app
from tests.conftest import Ledger
from tests.log_support import advance_all, emit_many, keeper, of_customer, problems, store_checkpoint
from tests.test_helix import add_event, add_run

Connection = psycopg.Connection[Any]


@pytest.fixture
def operator(each_ledger: Ledger) -> Connection:
    connection = each_ledger.connect(keeper(each_ledger))
    emit_many(connection, 700)
    emit_many(connection, 300, "c2")
    advance_all(connection)
    return connection


def tamper(ledger: Ledger, statement: str) -> None:
    with ledger.superuser() as root:
        root.execute("alter table aximo_private.log_nodes disable trigger all")
        root.execute(statement.encode())
        root.execute("alter table aximo_private.log_nodes enable always trigger append_only_row")
        root.execute("alter table aximo_private.log_nodes enable always trigger append_only_statement")


def refused(connection: Connection, query: str) -> tuple[str | None, str | None]:
    with pytest.raises(psycopg.Error) as error:
        of_customer(connection, "c1", query)
    return error.value.sqlstate, error.value.diag.constraint_name


REMOVED = {
    "all": "truncate aximo_private.log_nodes",
    "the first": "delete from aximo_private.log_nodes where index = 0",
    "the last": "delete from aximo_private.log_nodes where index = 1",
}


@pytest.mark.parametrize("removed", REMOVED)
def test_no_root_is_made_of_what_is_left(each_ledger: Ledger, operator: Connection, removed: str) -> None:
    before = of_customer(operator, "c1", "select aximo.checkpoint_text(), aximo.checkpoint_text(600)")
    note = before[0][0]
    tamper(each_ledger, REMOVED[removed])
    for query in ("select aximo.log_root()", "select aximo.checkpoint_text()", "select aximo.log_root(513)"):
        assert refused(operator, query) == ("ZXENV", "log_nodes_present")
    with pytest.raises(psycopg.Error) as error:
        of_customer(operator, "c1", "select aximo.add_checkpoint(%s)", note)
    assert error.value.sqlstate == "ZXENV"
    assert "node_missing" in {problem for problem, *_ in problems(operator)}
    # Less than the first subtree needs none.
    assert of_customer(operator, "c1", "select aximo.log_root(255)")
    assert operator.execute("select aximo.rebuild_log_nodes() > 0").fetchone() == (True,)
    assert of_customer(operator, "c1", "select aximo.checkpoint_text(), aximo.checkpoint_text(600)") == before
    assert problems(operator) == problems(operator, "c2") == []
    assert operator.execute("select aximo.rebuild_log_nodes()").fetchone() == (0,)


def test_a_wrong_hash_is_neither_kept_nor_signed(each_ledger: Ledger, operator: Connection, tmp_path: Path) -> None:
    tamper(each_ledger, "update aximo_private.log_nodes set hash = sha256('x') where customer_id = 'c1' and index = 1")
    note = of_customer(operator, "c1", "select aximo.checkpoint_text()")[0][0]
    with pytest.raises(psycopg.Error) as error:
        of_customer(operator, "c1", "select aximo.add_checkpoint(%s)", note)
    assert (error.value.sqlstate, error.value.diag.constraint_name) == ("ZXENV", "log_nodes_are_the_entries")
    assert "level 1, index 1: differs" in str(error.value.diag.message_detail)
    key, signed = tmp_path / "key", tmp_path / "signed"
    run = CliRunner().invoke
    assert run(app, ["keygen", "audit.example.com", "-o", str(key)]).exit_code == 0
    dsn = each_ledger.dsn(operator.info.user)
    common = ["--customer", "c1", "--db", dsn, "--key", str(key), "-o", str(signed)]
    event_id = of_customer(operator, "c1", "select event_id::text from aximo.log_leaves where number = 1")[0][0]
    for command in (["checkpoint", "--no-keep"], ["checkpoint"], ["prove", event_id], ["prove", "--from", "100"]):
        done = run(app, [*command, *common])
        assert done.exit_code != 0, command
        assert "ZXENV" in done.output, command
        assert "level 1, index 1: differs" in done.output, command
        assert not signed.exists()
    # The other customer's is as it was.
    assert store_checkpoint(operator, "c2")
    # What differs is not made again; it has to be taken away first.
    assert operator.execute("select aximo.rebuild_log_nodes()").fetchone() == (0,)
    tamper(each_ledger, "delete from aximo_private.log_nodes where hash = sha256('x')")
    assert operator.execute("select aximo.rebuild_log_nodes()").fetchone() == (1,)
    assert store_checkpoint(operator)
    assert problems(operator) == []


def test_numbering_goes_on_and_makes_no_hash_of_what_is_not_whole(each_ledger: Ledger, operator: Connection) -> None:
    with each_ledger.superuser() as root:
        # As if 65,280 entries were there: what a level above is made of.
        root.execute("alter table aximo_private.log_entries disable trigger all")
        root.execute(
            "insert into aximo_private.log_entries (customer_id, log, number, event_id, leaf)"
            " select 'c3', 'events', n, gen_random_uuid(), sha256('x') from generate_series(1, 65535) as n"
        )
        root.execute(
            "insert into aximo_private.log_nodes (customer_id, log, level, index, hash)"
            " select 'c3', 'events', 1, n, sha256('x') from generate_series(0, 254) as n where n <> 7"
        )
    emit_many(operator, 1, "c3")
    assert advance_all(operator) == 1
    root = each_ledger.superuser()
    levels = (
        "select level, count(*) from aximo_private.log_nodes where customer_id = 'c3' group by level order by level"
    )
    assert root.execute(levels).fetchall() == [(1, 255)]
    assert operator.execute("select aximo.rebuild_log_nodes()").fetchone() == (2,)
    assert root.execute(levels).fetchall() == [(1, 256), (2, 1)]


def test_a_log_is_verified_in_pieces(each_ledger: Ledger, operator: Connection) -> None:
    with each_ledger.superuser() as root:
        root.execute("alter table aximo_private.log_entries disable trigger all")
        root.execute(
            "update aximo_private.log_entries set leaf = sha256('x') where customer_id = 'c1' and number in (100, 200)"
        )
        root.execute("delete from aximo_private.log_entries where customer_id = 'c1' and number in (300, 400)")
    pieces = [(None, 100), (101, 399), (400, 511), (512, None)]
    query = "select problem, number, detail from aximo.verify_log('events', %s, %s)"
    found = [of_customer(operator, "c1", query, *piece) for piece in pieces]
    whole = of_customer(operator, "c1", "select problem, number, detail from aximo.verify_log()")
    assert [[(problem, number) for problem, number, _ in each] for each in found] == [
        [("event_differs", 100)],
        [("event_differs", 200), ("node_differs", 1), ("number_missing", 301)],
        [("number_missing", 401)],
        [("node_differs", 257), *[(p, n) for p, n, _ in whole if p == "event_not_in_log"]],
    ]
    assert sorted(row for each in found for row in each) == sorted(whole)


def test_rebuilding_is_for_who_numbers_for_all(each_ledger: Ledger, operator: Connection) -> None:
    bound = each_ledger.as_customer("c1", "aximo_operator")
    with pytest.raises(psycopg.Error) as error:
        bound.execute("select aximo.rebuild_log_nodes()")
    assert error.value.sqlstate == "ZXCUS"


def test_the_log_of_run_events_is_checked_alike(each_ledger: Ledger, operator: Connection) -> None:
    of_customer(operator, "c1", "select set_config('aximo.customer_id', 'c1', false)")
    operator.execute("set aximo.customer_id = 'c1'")
    add_run(operator, "run_1")
    for n in range(256):
        add_event(operator, "run_1", f"x{n}")
    advance_all(operator)
    tamper(each_ledger, "truncate aximo_private.log_nodes")
    assert refused(operator, "select aximo.check_log_nodes('run_events')") == ("ZXENV", "log_nodes_are_the_entries")
    assert refused(operator, "select aximo.log_root(log => 'run_events')") == ("ZXENV", "log_nodes_present")
    operator.execute("select aximo.rebuild_log_nodes()")
    of_customer(operator, "c1", "select aximo.check_log_nodes('run_events')")


def test_who_keeps_a_checkpoint_looks_at_what_came_since_the_last(each_ledger: Ledger, operator: Connection) -> None:
    def buffers() -> int:
        """How many blocks it takes to keep another one."""
        with operator.transaction(force_rollback=True):
            operator.execute("select set_config('aximo.customer_id', 'c1', true)")
            plan = operator.execute(
                "explain (analyze, buffers, format json) select aximo.add_checkpoint(aximo.checkpoint_text())"
            ).fetchone()
        assert plan is not None
        return int(plan[0][0]["Plan"]["Shared Hit Blocks"] + plan[0][0]["Plan"]["Shared Read Blocks"])

    emit_many(operator, 20_000)
    advance_all(operator)
    buffers()
    everything = buffers()
    store_checkpoint(operator, "c1")
    emit_many(operator, 300)
    advance_all(operator)
    buffers()
    assert buffers() < everything / 3
    # What was wrong before makes the last one untrue, and all of it is looked at.
    tamper(each_ledger, "update aximo_private.log_nodes set hash = sha256('x') where customer_id = 'c1' and index = 1")
    note = of_customer(operator, "c1", "select aximo.checkpoint_text()")[0][0]
    with pytest.raises(psycopg.Error) as error:
        of_customer(operator, "c1", "select aximo.add_checkpoint(%s)", note)
    assert "level 1, index 1: differs" in str(error.value.diag.message_detail)


def test_a_hash_of_what_came_since_is_looked_at(each_ledger: Ledger, operator: Connection) -> None:
    store_checkpoint(operator, "c1")
    emit_many(operator, 300)
    advance_all(operator)
    tamper(each_ledger, "update aximo_private.log_nodes set hash = sha256('x') where customer_id = 'c1' and index = 2")
    note = of_customer(operator, "c1", "select aximo.checkpoint_text()")[0][0]
    with pytest.raises(psycopg.Error) as error:
        of_customer(operator, "c1", "select aximo.add_checkpoint(%s)", note)
    assert "level 1, index 2: differs" in str(error.value.diag.message_detail)
