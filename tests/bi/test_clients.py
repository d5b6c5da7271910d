"""Every client shows a login its customer and nothing else, with every digit, and tells no login more than another."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.bi.clients import CLIENTS, Client
from tests.bi.conftest import Reporting
from tests.bi.data import MARKS, other
from tests.bi.tables import Login, assert_same, columns, views

pytestmark = pytest.mark.bi

#: Settings: those of all customers, which are nobody's secret, are shown with the customer's own.
FOR_ALL = {"thresholds", "high_risk_levels", "lead_action_types"}


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> Client:
    return CLIENTS[request.param]


@pytest.fixture(params=[name for name, each in CLIENTS.items() if each.listing])
def lister(request: pytest.FixtureRequest) -> Client:
    return CLIENTS[request.param]


def test_every_view_shows_the_logins_customer_and_nothing_else(
    client: Client, login: Login, reporting: Reporting
) -> None:
    wanted = reporting.truths[login.customer]
    found = client.read(login, list(wanted))
    for view, truth in wanted.items():
        assert_same(found[view], truth, view, client.lossy)
        place = list(truth.columns).index("customer_id")
        seen = {row[place] for row in found[view].rows}
        assert seen - ({"*"} if view in FOR_ALL else set()) == {login.customer}, view
        assert MARKS[other(login.customer)] not in repr(found[view]), view


def test_every_type_arrives_as_what_it_is(client: Client, login: Login, root: psycopg.Connection[Any]) -> None:
    names, wrong = views(root), []
    for view, read in client.read(login, names).items():
        for column, declared in columns(root, view).items():
            # A column without a value, of a client that goes by values, has no type.
            if read.columns[column] not in ("", client.arrives[declared]):
                wrong.append(f"{view}.{column} {declared}: {read.columns[column]}")
    assert wrong == []


def test_what_a_client_lists_is_the_same_for_both_logins_and_names_no_customer(
    lister: Client, reporting: Reporting, root: psycopg.Connection[Any]
) -> None:
    assert lister.listing is not None
    first, second = (lister.listing(login) for login in reporting.logins.values())
    assert first == second
    assert not any(mark in first.text for mark in MARKS.values())
    assert {view: list(found) for view, found in first.views.items()} == {
        view: list(columns(root, view)) for view in views(root)
    }
    if lister.shows_comments:
        silent = [f"{view}.{name}" for view, found in first.views.items() for name in found if not found[name]]
        silent += [view for view, comment in first.comments.items() if not comment]
        assert silent == []
