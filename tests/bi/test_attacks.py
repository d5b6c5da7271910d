"""Somebody with a BI login and SQL tries to learn of the other customer: by functions, errors, plans and settings."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql

from tests.bi.conftest import Reporting
from tests.bi.data import MARKS, other
from tests.bi.tables import SCHEMA, Login, columns, identifier, views

pytestmark = pytest.mark.bi

Connection = psycopg.Connection[Any]


@pytest.fixture
def attacker(login: Login) -> Iterator[Connection]:
    with login.connect() as connection:
        yield connection


def text(connection: Connection, statement: str | sql.SQL | sql.Composed, *values: Any) -> str:
    """Everything that comes of a statement, rows or the error in all its parts; what it changed is undone."""
    try:
        with connection.transaction(force_rollback=True):
            cursor = connection.execute(statement, values)
            return repr(cursor.fetchall()) if cursor.description else ""
    except psycopg.Error as error:
        parts = ("message_primary", "message_detail", "message_hint", "context", "internal_query")
        return "\n".join(str(getattr(error.diag, part)) for part in parts)


def number(connection: Connection, statement: str | sql.SQL | sql.Composed, *values: Any) -> int:
    row = connection.execute(statement, values).fetchone()
    assert row is not None
    return int(row[0])


def rows_of(reporting: Reporting, customer: str, view: str) -> int:
    return len(reporting.truths[customer][view].rows)


def examples(reporting: Reporting, customer: str, view: str) -> dict[str, Any]:
    """By column, a value that the other customer has and this one has not; where there is none, one that both have."""
    own, foreign = (reporting.truths[each][view] for each in (customer, other(customer)))
    found = {}
    for place, column in enumerate(own.columns):
        of_own = {row[place] for row in own.rows}
        values = [row[place] for row in foreign.rows if row[place] is not None]
        found[column] = next((value for value in values if value not in of_own), values[0] if values else None)
    return found


# Functions of one's own, that tell what they are shown.

LEAK = """
create function pg_temp.leak(seen text) returns boolean language plpgsql cost 0.0000001 as
$$begin raise notice '%', seen; return true; end$$
"""
#: An operator is weighed by what PostgreSQL knows of the column, with the function called at planning time.
OPERATOR = """
create function pg_temp.is_like(seen text, wanted text) returns boolean language plpgsql cost 0.0000001 as
$$begin raise notice '%', seen; return true; end$$;
create operator pg_temp.<<<>>> (
    function = pg_temp.is_like, leftarg = text, rightarg = text, restrict = eqsel, join = eqjoinsel
)
"""


def test_a_cheap_function_is_shown_own_rows_only(reporting: Reporting, login: Login, attacker: Connection) -> None:
    foreign = MARKS[other(login.customer)]
    shown: list[str] = []
    attacker.add_notice_handler(lambda notice: shown.append(str(notice.message_primary)))
    attacker.execute(LEAK)
    attacker.execute(OPERATOR)
    for view in views(attacker):
        # A null is shown as well, so there is a notice a row.
        attacker.execute(sql.SQL("select from {} as r where pg_temp.leak(r::text)").format(identifier(view)))
        assert len(shown) == rows_of(reporting, login.customer, view), view
        for column, value in examples(reporting, login.customer, view).items():
            for condition in (
                "pg_temp.leak({column}::text)",
                "{column}::text operator(pg_temp.<<<>>>) 'x'",
                "pg_temp.leak({column}::text) and {column} = {value}",
                "pg_temp.leak({column}::text) or {column} = {value}",
                "(select pg_temp.leak({column}::text))",
            ):
                where = sql.SQL(condition).format(column=sql.Identifier(column), value=sql.Literal(value))
                attacker.execute(sql.SQL("select count(*) from {} where {}").format(identifier(view), where))
            grouped = "select pg_temp.leak({column}::text), count(*) from {view} group by 1"
            attacker.execute(sql.SQL(grouped).format(column=sql.Identifier(column), view=identifier(view)))
            assert not any(foreign in each for each in shown), (view, column)
            shown.clear()


def test_objects_of_ones_own_take_no_place_in_the_views(
    reporting: Reporting, login: Login, attacker: Connection
) -> None:
    foreign = other(login.customer)
    attacker.execute(
        f"""
        create function pg_temp.current_customer() returns text language sql as $$select '{foreign}'$$;
        create function pg_temp.always(text, text) returns boolean language sql as 'select true';
        create operator pg_temp.= (function = pg_temp.always, leftarg = text, rightarg = text);
        create temporary table activity_kept (customer_id text);
        create temporary table customer_grants (role_name text, customer_id text);
        insert into customer_grants values (session_user, '{foreign}');
        set search_path = pg_temp, aximo_private, aximo, aximo_metrics, pg_catalog
        """
    )
    for view in views(attacker):
        assert number(attacker, sql.SQL("select count(*) from {}").format(identifier(view))) == rows_of(
            reporting, login.customer, view
        )
        assert MARKS[foreign] not in text(attacker, sql.SQL("select * from {}").format(identifier(view)))


# Conditions that would fail, or be told apart, on another customer's row.


def test_a_condition_that_fails_on_the_others_rows_does_not_fail(
    reporting: Reporting, login: Login, attacker: Connection
) -> None:
    traps: list[LiteralString] = [
        "1 / (case when customer_id in ({own}, '*') then 1 else 0 end) = 1",
        "1 / (case when customer_id = {foreign} then 0 else 1 end) = 1",
        "case when customer_id in ({own}, '*') then 1 else customer_id::integer end = 1",
        "case when customer_id in ({own}, '*') then 1 else ({column}::text || 'x')::integer end = 1",
        "(case when customer_id in ({own}, '*') then '1' else 'x' || {column}::text end)::numeric = 1",
    ]
    for view in views(attacker):
        wanted = rows_of(reporting, login.customer, view)
        for column in columns(attacker, view):
            for trap in traps:
                where = sql.SQL(trap).format(
                    own=sql.Literal(login.customer),
                    foreign=sql.Literal(other(login.customer)),
                    column=sql.Identifier(column),
                )
                query = sql.SQL("select count(*) from {} where {}").format(identifier(view), where)
                assert number(attacker, query) == wanted, (view, column, trap)


def test_an_error_shows_no_value_of_the_others(login: Login, attacker: Connection) -> None:
    foreign = MARKS[other(login.customer)]
    failed = 0
    for view in views(attacker):
        for column in columns(attacker, view):
            for condition in (
                "{column}::text::integer = 0",
                "('x' || {column}::text)::date is null",
                "{column}::text::jsonb is null",
                "1 / (length({column}::text) - length({column}::text)) = 0",
            ):
                for query in ("select * from {view} where {condition}", "select {condition} from {view}"):
                    where = sql.SQL(condition).format(column=sql.Identifier(column))
                    found = text(attacker, sql.SQL(query).format(view=identifier(view), condition=where))
                    assert foreign not in found, (view, column, condition)
                    failed += "invalid input" in found or "division by zero" in found
    assert failed


def test_to_name_the_others_values_finds_nothing(reporting: Reporting, login: Login, attacker: Connection) -> None:
    for view in views(attacker):
        truth = reporting.truths[login.customer][view]
        for place, (column, value) in enumerate(examples(reporting, login.customer, view).items()):
            own = sum(row[place] == value for row in truth.rows)
            for condition in (
                "{column} = {value}",
                "{column} in ({value})",
                "{column} >= {value} and {column} <= {value}",
            ):
                where = sql.SQL(condition).format(column=sql.Identifier(column), value=sql.Literal(value))
                query = sql.SQL("select count(*) from {} where {}").format(identifier(view), where)
                assert number(attacker, query) == (own if value is not None else 0), (view, column)
            named = sql.SQL("select exists (select from {} where customer_id = {})")
            assert not number(attacker, named.format(identifier(view), sql.Literal(other(login.customer)))), view


# What a plan says.


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def explained(connection: Connection, options: str, query: sql.Composable) -> Any:
    row = connection.execute(sql.SQL(f"explain ({options}, format json) ") + query).fetchone()
    assert row is not None
    return row[0]


def own_rows(root: Connection, login: Login) -> dict[str, int]:
    """How many rows of each relation with customers are this login's, or everybody's."""
    relations = root.execute(
        """
        select format('%I.%I', n.nspname, c.relname) from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname like 'aximo%' and c.relkind in ('r', 'm')
            and exists (select from pg_attribute as a where a.attrelid = c.oid and a.attname = 'customer_id')
        """
    ).fetchall()
    return {
        name: number(root, f"select count(*) from {name} where customer_id in (%s, '*')", login.customer)
        for (name,) in relations
    }


def conditions(reporting: Reporting, login: Login, view: str) -> Iterator[sql.Composed]:
    for column, value in examples(reporting, login.customer, view).items():
        for condition in ("{column} is not null", "{column} = {value}", "{column} <> {value}", "{column} >= {value}"):
            yield sql.SQL(condition).format(column=sql.Identifier(column), value=sql.Literal(value))


def looked_at(node: dict[str, Any]) -> float:
    removed = sum(count for key, count in node.items() if key.startswith("Rows Removed"))
    return float(node["Actual Rows"] + removed)


def test_a_plan_names_no_customer_and_counts_no_others_rows(
    reporting: Reporting, login: Login, attacker: Connection, root: Connection
) -> None:
    foreign, limits, tried = MARKS[other(login.customer)], own_rows(root, login), 0
    for view in views(attacker):
        for condition in conditions(reporting, login, view):
            query = sql.SQL("select * from {} where {}").format(identifier(view), condition)
            plan = explained(attacker, "analyze, verbose, buffers, settings, wal", query)
            if foreign not in query.as_string():  # what the login said itself may be repeated to it
                assert foreign not in json.dumps(plan, ensure_ascii=False), (view, condition)
            for node in nodes(plan[0]["Plan"]):
                # A sequential scan tells how many rows all customers have together, as the catalog does. It must not
                # tell more than that, which the next test is about.
                if "Relation Name" in node and node["Node Type"] != "Seq Scan":
                    limit = limits.get(f"{node['Schema']}.{node['Relation Name']}", 1)
                    # An average of the loops, rounded by servers before 18.
                    assert looked_at(node) <= limit + 0.5, (view, condition.as_string(), node)
                    tried += 1
    assert tried


def told(plan: dict[str, Any]) -> list[Any]:
    """Everything in a plan that depends on data: what was expected, and what was found."""
    expected = ("Node Type", "Plan Rows", "Plan Width", "Total Cost", "Actual Loops", "Heap Fetches")
    buffers = ("Shared Hit Blocks", "Shared Read Blocks")
    return [
        (*(node.get(key) for key in expected), looked_at(node), sum(node[key] for key in buffers))
        for node in nodes(plan)
    ]


def next_to(value: Any) -> Any:
    """A value so near to this one that nobody has it, nor one between."""
    if isinstance(value, str):
        return value[:-1] + "~"
    if isinstance(value, datetime):
        return value + timedelta(microseconds=1)
    if isinstance(value, Decimal):
        return value + Decimal("0.001")
    return math.nextafter(value, math.inf) if isinstance(value, float) else None


@pytest.mark.parametrize("indexes", ["on", "off"])
def test_a_plan_does_not_tell_the_others_values_from_those_that_nobody_has(
    reporting: Reporting, login: Login, attacker: Connection, root: Connection, indexes: str
) -> None:
    root.execute("analyze")
    # Small tables are read from end to end anyway; a login can have that done to big ones.
    for kind in ("indexscan", "indexonlyscan", "bitmapscan"):
        attacker.execute(f"set enable_{kind} = {indexes}")
    tried, leaks = 0, []
    for view in views(attacker):
        truth = reporting.truths[login.customer][view]
        for place, (column, value) in enumerate(examples(reporting, login.customer, view).items()):
            neighbour = next_to(value)
            if neighbour is None or any(row[place] == value for row in truth.rows):
                continue
            for operator in ("=", "<>", ">="):
                plans = []
                # In turns, as the first time something is read that is kept for the second.
                for each in (value, neighbour, value, neighbour):
                    condition = sql.SQL(f"{{}} {operator} {{}}").format(sql.Identifier(column), sql.Literal(each))
                    query = sql.SQL("select * from {} where {}").format(identifier(view), condition)
                    plans.append(told(explained(attacker, "analyze, buffers", query)[0]["Plan"]))
                if plans[2] != plans[3]:
                    leaks.append(f"{view}.{column} {operator}")
                tried += 1
    assert tried
    assert leaks == []


# Settings, roles, and other ways in.


@pytest.mark.parametrize(
    "setting",
    [
        "set aximo.customer_id = {foreign}",
        "set aximo.customer_id = '*'",
        "set role aximo_bi; set aximo.customer_id = {foreign}",
        "set row_security = off; set aximo.customer_id = {foreign}",
        "prepare p as select 1; set plan_cache_mode = force_generic_plan; set aximo.customer_id = {foreign}",
    ],
)
def test_no_setting_shows_the_others_rows(
    reporting: Reporting, login: Login, attacker: Connection, setting: LiteralString
) -> None:
    foreign = other(login.customer)
    attacker.execute(sql.SQL(setting).format(foreign=sql.Literal(foreign)))
    for view in views(attacker):
        found = text(attacker, sql.SQL("select * from {}").format(identifier(view)))
        assert MARKS[foreign] not in found, view
        assert login.customer not in found, f"{view}: a session that names another customer works for none"


def test_a_setting_made_at_connecting_or_within_a_query_shows_no_rows_of_the_others(login: Login) -> None:
    foreign = other(login.customer)
    with login.connect(options=f"-c aximo.customer_id={foreign}") as connection:
        for view in views(connection):
            assert MARKS[foreign] not in text(connection, sql.SQL("select * from {}").format(identifier(view))), view
    with login.connect() as connection:
        for view in views(connection):
            for query in (
                "select * from {view} where set_config('aximo.customer_id', {foreign}, true) is not null",
                "select * from (select set_config('aximo.customer_id', {foreign}, true)) as s cross join {view}",
                "select * from {view} as r union all select r.* from {view} as r"
                " where (select set_config('aximo.customer_id', {foreign}, true)) is not null",
            ):
                found = text(
                    connection,
                    sql.SQL(query).format(view=identifier(view), foreign=sql.Literal(foreign)),
                )
                assert not any(MARKS[foreign] in part for part in found.replace(f"'{foreign}'", "").splitlines()), (
                    view,
                    query,
                )


def test_what_lies_below_the_views_is_closed(attacker: Connection, root: Connection) -> None:
    below = root.execute(
        """
        select format('%I.%I', n.nspname, c.relname) from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname in ('aximo', 'aximo_private') and c.relkind in ('r', 'v', 'm') order by 1
        """
    ).fetchall()
    assert below
    for (relation,) in below:
        for statement in (
            f"select from {relation}",
            f"copy (select * from {relation}) to stdout",
            f"lock table {relation} in access share mode",
            f"explain select from {relation}",
            f"create temporary view v as select * from {relation}; select from v",
            f"create temporary table t as select * from {relation}",
            f"alter table {relation} owner to current_user",
        ):
            found = text(attacker, statement)
            assert "permission denied" in found or "must be owner" in found, statement
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        attacker.execute("select from aximo.refresh_metrics()")


def test_nothing_is_written_through_a_view(attacker: Connection) -> None:
    for view in views(attacker):
        for statement in (
            "insert into {view} default values",
            "update {view} set customer_id = 'x'",
            "delete from {view}",
            "truncate {view}",
            "select * from {view} for update",
            "create rule r as on select to {view} do instead select 1",
            "alter view {view} set (security_barrier = false)",
            "comment on view {view} is 'x'",
            "drop view {view}",
        ):
            with pytest.raises(psycopg.Error) as refusal, attacker.transaction(force_rollback=True):
                attacker.execute(sql.SQL(statement).format(view=identifier(view)))
            assert refusal.value.sqlstate in ("42501", "42809", "55000", "0A000"), (view, statement, refusal.value)


def test_a_schema_for_reporting_takes_nothing_new(attacker: Connection) -> None:
    for statement in (
        f"create table {SCHEMA}.t (a text)",
        f"create function {SCHEMA}.f() returns int language sql return 1",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            attacker.execute(statement)
