"""Two ledgers in one cluster share the group roles. What is done for all customers needs a grant in the database it is done in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from aximo_db.dba.catalog import OWNING_ROLES
from aximo_db.dba.doctor import examine
from tests import test_isolation as isolation
from tests.conftest import VERSIONS, Ledger, _cloned
from tests.log_support import emit_many
from tests.test_isolation import CALLS, GROUP_ROLES, MARKS, OWN, PROCEDURES, SCHEMAS, VICTIM
from tests.test_unbound_logins import offered

HARDENING = Path(__file__).resolve().parent.parent / "docs" / "hardening.sql"
ALL_GROUPS = (*GROUP_ROLES, "aximo_monitor")


@pytest.fixture(params=VERSIONS)
def two(request: pytest.FixtureRequest, servers: Callable[..., Any]) -> Iterator[tuple[Ledger, Ledger]]:
    """Two ledgers of one cluster; the second has events, and an operator of all customers."""
    server = servers(request.param)
    with closing(_cloned(server, "fresh", "ledger_one")) as one, closing(_cloned(server, "fresh", "ledger_two")) as two:
        ours, theirs = next(one), next(two)
        isolation.fill(theirs)
        yield ours, theirs


def everything(ledger: Ledger) -> dict[str, Any]:
    """What is stored: every table's rows, and how far every sequence is."""
    with psycopg.connect(ledger.dsn("postgres"), autocommit=True) as root:
        tables = root.execute(
            "select n.nspname, c.relname, c.relkind = 'S' from pg_class as c join pg_namespace as n on n.oid = c.relnamespace"
            " where n.nspname = any(%s) and c.relkind in ('r', 'm', 'S')",
            [[*SCHEMAS, "aximo_private", "aximo_metrics"]],
        ).fetchall()
        found = {}
        for schema, name, is_sequence in tables:
            table = sql.Identifier(schema, name)
            rows = "select md5(string_agg(t::text, ' ' order by t::text)) from {} as t"
            query = "select concat(last_value, is_called) from {}" if is_sequence else rows
            found[f"{schema}.{name}"] = root.execute(sql.SQL(query).format(table)).fetchone()
        return found


def call_everything(ledger: Ledger, login: str) -> dict[str, set[str | None]]:
    """Calls every function there is for any group role, and keeps what it did: with which codes each was refused."""
    connection = ledger.connect(login)
    # As somebody who knows a customer's name.
    connection.execute("select set_config('aximo.customer_id', %s, false)", [VICTIM])
    outcomes: dict[str, set[str | None]] = {}
    for function in offered(ledger.superuser())[1]:
        name = function.partition("(")[0]
        for call, arguments in CALLS[function]:
            query = f"call {name}{call}" if function in PROCEDURES else f"select from {name}{call}"
            state = None
            try:
                connection.execute(query, arguments)
            except psycopg.DatabaseError as error:
                state = error.sqlstate
            outcomes.setdefault(name, set()).add(state)
    return outcomes


def all_at_once(ledger: Ledger) -> set[str]:
    """The functions of the API that ask whether the login was granted all customers, themselves or by what they call."""
    bodies = dict(
        ledger.superuser().execute(
            "select p.oid::regproc::text, p.prosrc from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace"
            " where n.nspname = any(%s)",
            [[*SCHEMAS, "aximo_private"]],
        )
    )
    asking = {"aximo_private.numbers_for_all"}
    while more := {
        name for name, body in bodies.items() if name not in asking and any(f"{a}(" in body for a in asking)
    }:
        asking |= more
    return asking


def test_a_login_of_another_ledger_does_nothing_here(two: tuple[Ledger, Ledger]) -> None:
    ours, theirs = two
    ours.login("their_operator", *ALL_GROUPS, customers=("*",))
    with theirs.connect("their_operator") as connection:
        for view in offered(theirs.superuser())[0]:
            shown, error = isolation.attempt(connection, f"select r::text from {view} as r")
            assert error is None, view
            assert not any(MARKS[who] in row for row in shown for who in (OWN, VICTIM)), view
    before = everything(theirs)
    strangers = call_everything(theirs, "their_operator")
    assert everything(theirs) == before
    # The same calls of a login that was granted all customers here do something, so that the comparison means something,
    theirs.connect().execute("select aximo.grant_customer('their_operator', '*')")
    granted = call_everything(theirs, "their_operator")
    changed = {table for table, rows in everything(theirs).items() if rows != before[table]}
    assert changed >= {
        "aximo_private.log_entries", "aximo_private.activity_sums", "aximo_private.activity_kept", "aximo_private.thresholds",
        "aximo_private.metric_lists", "aximo_private.events", "aximo_private.log_state",
    }  # fmt: skip
    # and what is done for all is refused for want of that grant, whatever it is called.
    for_all = all_at_once(theirs) & set(granted)
    assert for_all >= {
        "aximo.advance_log", "aximo.mend_log", "aximo.rebuild_log_nodes", "aximo.count_metrics", "aximo.refresh_metrics",
        "aximo.recount_metrics", "aximo.keep_metrics", "aximo.set_threshold", "aximo.set_high_risk_levels",
        "aximo.set_lead_action_types",
    }  # fmt: skip
    for name in for_all - {"aximo.ledger_status", "aximo.read_log", "helix.read_log"}:
        assert strangers[name] <= {"ZXCUS", "ZXARG"}, (name, strangers[name])
        assert None in granted[name] or granted[name] == {"2D000"}, (name, granted[name])


def test_an_operator_is_told_what_is_missing(each_ledger: Ledger) -> None:
    operator = each_ledger.connect(each_ledger.login("log_keeper", "aximo_operator"))
    with pytest.raises(psycopg.Error) as refused:
        operator.execute("select from aximo.advance_log()")
    diag = refused.value.diag
    assert (refused.value.sqlstate, diag.constraint_name) == ("ZXCUS", "numbers_for_all")
    assert diag.message_hint is not None
    each_ledger.connect().execute(diag.message_hint.partition(": ")[2])
    emit_many(each_ledger.as_service(), 3, "c1")
    assert operator.execute("select numbered from aximo.advance_log()").fetchone() == (3,)


def test_a_login_that_only_keeps_reads_nothing(each_ledger: Ledger) -> None:
    """docs/dba.md: numbering and refreshing by the functions alone."""
    from aximo_db.dba.worker import Worker, duties

    emit_many(each_ledger.as_service(), 3, "c1")
    login = each_ledger.login("bare_keeper", customers=("*",))
    page = (HARDENING.parent / "dba.md").read_text(encoding="utf-8")
    grants = page.split("create role bare_keeper login;\n")[1].partition("```")[0]
    each_ledger.connect().execute(grants)
    Worker(each_ledger.dsn(login), duties()).run(once=True)
    keeper = each_ledger.connect(login)
    keeper.execute("set aximo.customer_id = 'c1'")
    assert keeper.execute("select entries from aximo.ledger_status() where log = 'events'").fetchone() == (3,)
    assert keeper.execute("select uncounted_entries from aximo.ledger_status() where log = 'events'").fetchone() == (0,)
    for view in offered(each_ledger.superuser())[0]:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            keeper.execute(f"select from {view}")


# The other ledger's owner


@pytest.fixture
def other_owner(two: tuple[Ledger, Ledger]) -> Iterator[tuple[Ledger, str]]:
    """A login that owns the first ledger's database, and may act as the owners, whose roles are the cluster's."""
    ours, theirs = two
    login = ours.login("other_dba")
    with psycopg.connect(ours.dsn("postgres"), autocommit=True) as root:
        root.execute("alter role other_dba createrole")
        for role in (*OWNING_ROLES, *ALL_GROUPS):
            root.execute(f"grant {role} to other_dba with admin option")
        root.execute("alter database ledger_one owner to other_dba")
    yield theirs, login
    with psycopg.connect(ours.dsn("postgres"), autocommit=True) as root:
        root.execute("alter database ledger_one owner to dba")


def found(ledger: Ledger, login: str = "dba") -> list[tuple[str, str]]:
    return [(each.level, each.message) for each in examine(ledger.dsn(login)) if each.check == "neighbours"]


def test_the_other_owner_reads_and_writes_until_it_can_not_connect(other_owner: tuple[Ledger, str]) -> None:
    theirs, login = other_owner
    with psycopg.connect(theirs.dsn(login), autocommit=True) as connection:
        connection.execute("set role aximo_owner; select aximo.grant_customer('other_dba', '*'); reset role")
        connection.execute("select set_config('aximo.customer_id', %s, false)", [VICTIM])
        assert connection.execute("select count(*) > 0 from aximo.events").fetchone() == (True,)
        connection.execute("set role aximo_owner; select aximo.revoke_customer('other_dba', '*')")
    ((level, message),) = found(theirs)
    assert (level, "other_dba" in message, "ledger_one" in message) == ("warning", True, True)

    theirs.login("a_service", "aximo_writer", customers=(OWN,))
    monitor = theirs.login("a_monitor", "aximo_monitor")
    script = HARDENING.read_text(encoding="utf-8")
    for who in ("dba", "postgres"):
        with psycopg.connect(theirs.dsn(who), autocommit=True) as connection:
            connection.execute(script)
    # Whom the ledger serves connects, and nobody else, whatever roles he gives himself.
    theirs.connect("a_service").execute("select from aximo.events")
    if theirs.connect().info.server_version < 160000:
        # CREATEROLE is all but a superuser there: who has it makes himself a member of any login.
        theirs.superuser().execute("alter role other_dba nocreaterole")
    with psycopg.connect(theirs.server.dsn(login, "ledger_one"), autocommit=True) as elsewhere:
        attempts = [
            f"grant connect on database ledger_two to {login}",
            "set role aximo_owner; grant connect on database ledger_two to other_dba; reset role",
            "grant a_service to other_dba",
            "grant dba to other_dba",
            "alter role a_service password 'x'",
            "alter database ledger_two owner to other_dba",
            "reset role; alter role aximo_owner login; reset role",
        ]
        for each in attempts:
            try:
                elsewhere.execute(each)
            except psycopg.Error as error:
                assert error.sqlstate in ("42501", "0LP01"), each
    for who in (login, monitor, "aximo_owner"):
        with pytest.raises(psycopg.OperationalError, match=r"permission denied|not permitted"):
            psycopg.connect(theirs.dsn(who))
    theirs.superuser().execute("alter role aximo_owner nologin")
    assert [level for level, _ in found(theirs)] == ["ok"]
    # Once more, for logins that came later; and one by one, for those without customers.
    theirs.superuser().execute("grant connect on database ledger_two to a_monitor")
    theirs.connect(monitor).execute("select from aximo.ledger_status()")
    theirs.login("later", "aximo_reader", customers=(OWN,))
    with psycopg.connect(theirs.dsn(), autocommit=True) as connection:
        connection.execute(script)
    theirs.connect("later").execute("select from aximo.events")
    theirs.connect(monitor)


def test_one_ledger_in_a_cluster_has_no_neighbours(each_ledger: Ledger) -> None:
    # The templates of the tests are ledgers too, of the same owner.
    assert [level for level, _ in found(each_ledger)] == ["ok"]
