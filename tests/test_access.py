"""Who could work for a customer, and when: the access map and its history."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.conftest import Ledger

#: Ways to change the map, with the rights that they need, and what then became of the login's grant of c1.
CHANGES = {
    "revoked": ("select aximo.revoke_customer('watched', 'c1')", "dba", [True]),
    "revoked and granted again": (
        "select aximo.revoke_customer('watched', 'c1'); select aximo.grant_customer('watched', 'c1')",
        "dba",
        [True, False],
    ),
    "granted twice": ("select aximo.grant_customer('watched', 'c1')", "dba", [False]),
    "deleted by a superuser": ("delete from aximo_private.customer_grants", "postgres", [True]),
    "given to another by a superuser": (
        "update aximo_private.customer_grants set role_name = 'somebody' where role_name = 'watched'",
        "postgres",
        [True],
    ),
    "truncated by a superuser": ("truncate aximo_private.customer_grants", "postgres", [True]),
    "deleted where triggers are said to be off": (
        "set session_replication_role = replica; delete from aximo_private.customer_grants",
        "postgres",
        [True],
    ),
}


def history(ledger: Ledger, customer: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(ledger.dsn(), autocommit=True) as owner:
        owner.execute("select aximo.grant_customer(session_user::text, '*')")
        owner.execute("select set_config('aximo.customer_id', %s, false)", (customer,))
        return owner.execute(
            "select role_name, customer_id, granted_at is null, revoked_at is not null, revoked_at >= granted_at"
            " from aximo.access_history order by granted_at"
        ).fetchall()


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_the_access_map_is_kept(each_ledger: Ledger, change: str) -> None:
    statement, user, revoked = CHANGES[change]
    each_ledger.login("watched", "aximo_reader", customers=("c1",))
    with psycopg.connect(each_ledger.dsn() if user == "dba" else each_ledger.dsn(user), autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[call-overload]
    kept = [row for row in history(each_ledger, "c1") if row[0] == "watched"]
    assert [(row[1], row[3]) for row in kept] == [("c1", was) for was in revoked]
    assert not any(row[4] is False for row in kept)
    assert not any(row[0] == "watched" for row in history(each_ledger, "c2"))


def test_an_auditor_sees_who_could_see_the_own_customer_and_nobody_elses(each_ledger: Ledger) -> None:
    for name, customers in (("own", ("c1",)), ("other", ("c2",)), ("everybody", ("*",))):
        each_ledger.login(name, "aximo_reader", customers=customers)
    auditor = each_ledger.as_customer("c1", "aximo_auditor", name="auditor")
    seen = {row[0] for row in auditor.execute("select role_name from aximo.access_history")}
    assert {"own", "everybody", "auditor"} <= seen
    assert "other" not in seen
    nobody = each_ledger.connect(each_ledger.login("nobody", "aximo_auditor"))
    assert nobody.execute("select * from aximo.access_history").fetchall() == []
    for role in ("aximo_reader", "aximo_bi", "aximo_writer"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            each_ledger.as_customer("c1", role).execute("select * from aximo.access_history")
