"""The commands of the metrics."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aximo_db import AsyncEventStore, CustomerError, EventStore, MalformedEventError
from aximo_db.dba.verify_metrics import recount_metrics, verify_metrics
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, Ledger, _cloned
from tests.test_cli import fill, run

OPERATOR, BOUND = "cli_operator", "cli_bound"
MADE = ["actions_recent", "activity_recent", "counted_recent", "deployments_recent", "runs_recent"]


@pytest.fixture
def ledger_(servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    for ledger in _cloned(servers(next(iter(BINARIES))), "fresh", "cli_metrics_test"):
        ledger.login(OPERATOR, "aximo_writer", "aximo_operator", customers=("*",))
        ledger.login(BOUND, "aximo_reader", customers=("c1",))
        fill(ledger.dsn(OPERATOR), "c1")
        yield ledger


def test_refresh_says_what_it_made(ledger_: Ledger) -> None:
    dsn = ledger_.dsn(OPERATOR)
    assert "5 materialized views" in run("refresh", "--db", dsn).stdout
    found = json.loads(run("refresh", "--db", dsn, "--everything", "--json").stdout)
    assert {row["view"] for row in found["refreshed"]} == set(MADE)
    assert not found["another_is_at_it"]
    with ledger_.connect(OPERATOR) as other, other.transaction():
        other.execute("select aximo.refresh_metrics()")
        assert json.loads(run("refresh", "--db", dsn, "--json").stdout) == {"refreshed": [], "another_is_at_it": True}
        assert "Another session" in run("refresh", "--db", dsn).stdout
    assert "42501" in run("refresh", "--db", ledger_.dsn(BOUND), code=1).stderr


def test_metrics_are_shown_for_people_and_for_programs(ledger_: Ledger) -> None:
    dsn = ledger_.dsn(OPERATOR)
    run("refresh", "--db", dsn)
    assert "dep-1" in run("metrics", "--db", dsn, "-c", "c1").stdout
    found = json.loads(run("metrics", "--db", ledger_.dsn(BOUND), "--json").stdout)
    events = (
        ledger_.superuser().execute("select count(*) from aximo_private.events where customer_id = 'c1'").fetchone()
    )
    assert events is not None
    assert found["overview"]["events"] == events[0]
    assert "ZXCUS" in run("metrics", "--db", dsn, code=1).stderr
    assert "ZXCUS" in run("metrics", "--db", ledger_.dsn(BOUND), "-c", "c2", code=1).stderr
    run("metrics", "--db", dsn, "-c", "c1", "--grain", "week", code=2)
    run("metrics", "--db", dsn, "-c", "c1", "--last", "0", code=2)


def test_a_report_is_written(ledger_: Ledger, tmp_path: Path) -> None:
    dsn = ledger_.dsn(OPERATOR)
    run("refresh", "--db", dsn)
    page = tmp_path / "report.html"
    run("report", "--db", dsn, "-c", "c1", "-o", page)
    text = page.read_text(encoding="utf-8")
    assert "dep-1" in text
    assert "<svg" in text
    for period in (
        ("--last", "30d"),
        ("--from", "2026-01-01", "--to", "2026-01-31"),
        ("--last", "2w", "--to", "2026-01-31"),
    ):
        run("report", "--db", dsn, "-c", "c1", "-o", page, *period)
        assert 'id="period">These ' in page.read_text(encoding="utf-8")
    assert "18 Jan 2026 to 31 Jan 2026" in page.read_text(encoding="utf-8")
    for period, told in (
        (("--last", "30"), "no time such as 30d"),
        (("--last", "3d", "--from", "2026-01-01"), "leave one out"),
        (("--from", "2026-01-02", "--to", "2026-01-01"), "is before the first one"),
        (("--from", "1999-01-02", "--to", "2026-01-01"), "400 at most"),
        (("--from", "yesterday"), "yesterday"),
    ):
        refused = run("report", "--db", dsn, "-c", "c1", "-o", page, *period, code=2).stderr
        assert told in " ".join(re.sub(r"[│\n]", " ", refused).split())
    assert "No such file" in run("report", "--db", dsn, "-c", "c1", "-o", tmp_path / "no" / "r.html", code=1).stderr
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_metrics_are_verified_and_counted_again(ledger_: Ledger) -> None:
    dsn, reader = ledger_.dsn(OPERATOR), ledger_.dsn(BOUND)
    assert "None of the" not in run("verify-metrics", "--db", reader).stdout
    run("advance", "--db", dsn)
    assert "None of the" in run("verify-metrics", "--db", reader, code=1).stdout
    run("refresh", "--db", dsn)
    assert "Every number is what" in run("verify-metrics", "--db", reader).stdout
    assert json.loads(run("verify-metrics", "--db", reader, "--json").stdout)["ok"]
    ledger_.superuser().execute("update aximo_private.activity_sums set execution_triggered = 77")
    run("refresh", "--db", dsn, "--everything")
    assert "77" in run("verify-metrics", "--db", reader, code=1).stdout
    found = json.loads(run("verify-metrics", "--db", dsn, "-c", "c1", "--json", code=1).stdout)
    assert {"view_name": "customer_overview", "key": {}, "column_name": "executions"}.items() <= next(
        row
        for row in found["differences"]
        if row["column_name"] == "executions" and row["view_name"] == "customer_overview"
    ).items()
    assert (
        json.loads(run("refresh", "--db", dsn, "--from-the-start", "--json").stdout)["recounted"]
        == found["counts_up_to"]
    )
    assert "Every number is what" in run("verify-metrics", "--db", reader).stdout
    assert "0 events counted" in run("refresh", "--db", dsn, "--recount").stdout
    assert "ZXCUS" in run("verify-metrics", "--db", reader, "-c", "c2", code=1).stderr


def test_the_metrics_of_all_customers_are_verified(ledger_: Ledger) -> None:
    dsn = ledger_.dsn(OPERATOR)
    fill(dsn, "c2")
    run("refresh", "--db", dsn)
    root = ledger_.superuser()

    def told(code: int, login: str = OPERATOR) -> dict[str, dict[str, Any]]:
        lines = run("verify-metrics", "--db", ledger_.dsn(login), "--json", code=code).stdout.splitlines()
        return {each["customer_id"]: each for each in map(json.loads, lines)}

    assert {name: each["ok"] for name, each in told(0).items()} == {"c1": True, "c2": True}
    assert list(told(0, BOUND)) == ["c1"]
    root.execute("update aximo_private.activity_sums set execution_triggered = 77 where customer_id = 'c1'")
    run("refresh", "--db", dsn, "--everything")
    assert {name: each["ok"] for name, each in told(1).items()} == {"c1": False, "c2": True}
    shown = run("verify-metrics", "--db", dsn, code=1).stdout
    assert "77" in shown
    assert "Every number is what" in shown
    # One that can't be worked out.
    root.execute("alter function aximo.verify_metrics() rename to really_verify")
    root.execute(
        "create function aximo.verify_metrics(out view_name text, out key jsonb, out column_name text, out stored jsonb,"
        " out recomputed jsonb) returns setof record language plpgsql as $$ begin"
        " if aximo.current_customer() = 'c1' then raise exception 'no such block'; end if; end $$"
    )
    root.execute("grant execute on function aximo.verify_metrics() to public")
    found = told(1)
    assert found["c1"] == {"customer_id": "c1", "ok": False, "error": "no such block", "sqlstate": "P0001"}
    assert found["c2"]["ok"]
    assert "no such block" in run("verify-metrics", "--db", dsn, code=1).stdout


def test_from_python(ledger_: Ledger) -> None:
    dsn, reader = ledger_.dsn(OPERATOR), ledger_.dsn(BOUND)
    with EventStore(dsn) as store:
        made = store.refresh_metrics()
        assert {view.view_name for view in made} == set(MADE)
        assert all(view.took.total_seconds() >= 0 and view.refreshed_at.tzinfo is not None for view in made)
        assert store.metrics("execution_health", customer_id="c1") != []
        assert store.metrics("execution_health", customer_id="nobody") == []
    with EventStore(reader) as store:
        (row,) = store.metrics("customer_overview")
        assert row["customer_id"] == "c1"
        for name in ('x" union select 1', "", "a.b"):
            with pytest.raises(MalformedEventError):
                store.metrics(name)
        with pytest.raises(Exception, match="does not exist"):
            store.metrics("no_such_view")
        with pytest.raises(Exception, match="permission denied"):
            store.refresh_metrics()
    with ledger_.connect(OPERATOR, autocommit=False) as connection, EventStore(connection) as store:
        store.refresh_metrics(everything=True)
        assert [v.view_name for v in store.refresh_metrics(everything=True)] == MADE  # in its transaction
    assert verify_metrics(reader).differences == []
    with pytest.raises(CustomerError):
        verify_metrics(reader, customer_id="c2")
    seen: list[tuple[int, int]] = []
    done = recount_metrics(dsn, from_the_start=True, max_events=3, progress=lambda *at: seen.append(at))
    assert seen[-1] == (done, done)
    assert len(seen) > 1
    with pytest.raises(MalformedEventError):
        recount_metrics(dsn, max_events=0)
    with pytest.raises(CustomerError):
        recount_metrics(ledger_.dsn(ledger_.login("cli_bound_operator", "aximo_operator", customers=("c1",))))


async def test_from_asynchronous_python(ledger_: Ledger) -> None:
    async with AsyncEventStore(ledger_.dsn(OPERATOR)) as store:
        assert await store.refresh_metrics()
        assert (await store.metrics("customer_overview", customer_id="c1"))[0]["customer_id"] == "c1"
