"""Who could work for a customer, and when: the access map and its history."""

from __future__ import annotations

import psycopg
import pytest

from aximo_db.dba.doctor import examine
from tests.conftest import Ledger

Row = tuple[str, bool, bool]


def history(ledger: Ledger, customer: str) -> list[Row]:
    """Who was granted it, whether with all others, and whether that is over."""
    with psycopg.connect(ledger.dsn(), autocommit=True) as owner:
        owner.execute("select aximo.grant_customer(session_user::text, '*')")
        owner.execute("select set_config('aximo.customer_id', %s, false)", (customer,))
        return owner.execute(
            "select role_name, of_all_customers, revoked_at is not null from aximo.access_history"
            " where role_name <> session_user and (revoked_at is null or revoked_at >= granted_at) order by granted_at"
        ).fetchall()


def findings(ledger: Ledger) -> list[str]:
    return [each.message for each in examine(ledger.dsn()) if each.check == "access" and each.level == "warning"]


def test_every_change_of_the_access_map_is_kept(each_ledger: Ledger) -> None:
    each_ledger.login("another", "aximo_reader", customers=("c2",))
    each_ledger.login("watched", "aximo_reader", customers=("c1", "c1", "*"))
    assert history(each_ledger, "c1") == [("watched", False, False), ("watched", True, False)]
    owner = each_ledger.connect()
    for change, then in (
        ("revoke_customer('watched', 'c1')", [(False, True), (True, False)]),
        ("grant_customer('watched', 'c1')", [(False, True), (True, False), (False, False)]),
        ("grant_customer('watched', 'c1')", [(False, True), (True, False), (False, False)]),
        ("revoke_customer('watched', '*')", [(False, True), (True, True), (False, False)]),
    ):
        owner.execute(f"select aximo.{change}")
        assert [row[1:] for row in history(each_ledger, "c1")] == then
    with owner.transaction(force_rollback=True):
        owner.execute("select aximo.revoke_customer('watched', 'c1')")
    with pytest.raises(psycopg.Error):
        owner.execute("select aximo.revoke_customer('watched', 'c2')")
    assert history(each_ledger, "c2") == [("another", False, False), ("watched", True, True)]
    # Of one that nobody was granted, and of whom there is nothing, nothing is told.
    assert history(each_ledger, "nobody") == []
    assert findings(each_ledger) == []


def test_an_auditor_sees_who_could_see_the_own_customer_and_nobody_elses(each_ledger: Ledger) -> None:
    for name, customers in (("own", ("c1",)), ("other", ("c2",)), ("everybody", ("*",))):
        each_ledger.login(name, "aximo_reader", customers=customers)
    auditor = each_ledger.as_customer("c1", "aximo_auditor", name="auditor")
    seen = {row[0] for row in auditor.execute("select role_name from aximo.access_history")}
    assert {"own", "everybody", "auditor"} <= seen
    assert "other" not in seen
    assert auditor.execute("select distinct customer_id from aximo.access_history").fetchall() == [("c1",)]
    nobody = each_ledger.connect(each_ledger.login("nobody", "aximo_auditor"))
    assert nobody.execute("select * from aximo.access_history").fetchall() == []
    for role in ("aximo_reader", "aximo_bi", "aximo_writer"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            each_ledger.as_customer("c1", role).execute("select * from aximo.access_history")


@pytest.mark.parametrize(
    ("past", "said"),
    [
        (
            "insert into aximo_private.customer_grants (role_name, customer_id) values ('watched', 'c2')",
            "may work for c2",
        ),
        ("update aximo_private.customer_grants set customer_id = 'c2' where role_name = 'watched'", "may work for c2"),
        ("delete from aximo_private.customer_grants where role_name = 'watched'", "was granted c1"),
        ("truncate aximo_private.customer_grants", "was granted c1"),
    ],
)
def test_what_is_changed_past_the_functions_is_noticed(each_ledger: Ledger, past: str, said: str) -> None:
    each_ledger.login("watched", "aximo_reader", customers=("c1",))
    each_ledger.superuser().execute(past)
    assert any(said in message and "watched" in message for message in findings(each_ledger))
