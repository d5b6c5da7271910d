"""The Grafana dashboard fits the views and the worker: its queries run, and its parts do not get in each other's way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, Ledger, _cloned
from tests.metrics_story import history, load

DASHBOARD: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parent.parent / "docs" / "ops" / "grafana.json").read_text(encoding="utf-8")
)
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
VARIABLES: dict[str, dict[str, Any]] = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
TARGETS = [(panel, target) for panel in PANELS for target in panel.get("targets", [])]
SQL = [(panel, target) for panel, target in TARGETS if "rawSql" in target]
PROMETHEUS = [(panel, target) for panel, target in TARGETS if "expr" in target]
FROM, TO = "'2026-03-01T00:00:00Z'", "'2026-03-03T23:59:59Z'"


def name_of(value: object) -> str:
    return f"{value['title']}" if isinstance(value, dict) and "title" in value else ""


def expanded(text: str, deployments: str) -> str:
    """A query as Grafana sends it."""
    text = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 BETWEEN {FROM} AND {TO}", text)
    text = (
        text.replace("$__timeFrom()", FROM).replace("$__timeTo()", TO).replace("${deployment:sqlstring}", deployments)
    )
    assert "$" not in text, text
    return text


@pytest.fixture(scope="module")
def filled(servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    for ledger in _cloned(servers(next(iter(BINARIES))), "fresh", "grafana_test"):
        ledger.login("grafana_writer", "aximo_writer", "aximo_operator", customers=("*",))
        for customer in ("one", "other", "none"):
            ledger.login(f"grafana_{customer}", "aximo_bi", customers=(customer,))
        writer = ledger.connect("grafana_writer")
        load(writer, "one", [*history(), *history("dep-2")])
        load(writer, "other", history("foreign"))
        yield ledger


@pytest.fixture
def analyst(filled: Ledger) -> psycopg.Connection[Any]:
    return filled.connect("grafana_one")


@pytest.mark.parametrize(("panel", "target"), SQL, ids=name_of)
def test_a_query_returns_its_columns_to_a_login_of_one_customer(
    panel: dict[str, Any], target: dict[str, Any], analyst: psycopg.Connection[Any], filled: Ledger
) -> None:
    for deployments in (VARIABLES["deployment"]["allValue"], "'dep-1','dep-2'"):
        cursor = analyst.execute(expanded(target["rawSql"], deployments))
        assert cursor.description is not None
        columns = [column.name for column in cursor.description]
        assert columns == re.findall(r"(\w+)\"?(?=,|$)", selected(target["rawSql"]))
        rows = cursor.fetchall()
        assert rows or panel["title"] == "Tool runs", panel["title"]
        assert "foreign" not in repr(rows)
        named = {name for each in panel["fieldConfig"]["overrides"] for name in names_in(each["matcher"])}
        assert named <= set(columns)
    if target["format"] == "time_series":
        assert columns[0] == "time"
        assert cursor.description[0].type_code == psycopg.adapters.types["timestamptz"].oid
    empty = filled.connect("grafana_none").execute(expanded(target["rawSql"], VARIABLES["deployment"]["allValue"]))
    # Who has no event has no number; when metrics were refreshed is the same for everybody.
    assert panel["title"] == "Counted up to" or all(not value for row in empty for value in row)


def selected(query: str) -> str:
    """What stands between select and from, without what stands in brackets."""
    depth, kept = 0, ""
    for place, char in enumerate(query):
        if depth == 0 and query.startswith(" from ", place):
            break
        depth += (char == "(") - (char == ")")
        kept += char if depth == 0 else ""
    return kept


def names_in(matcher: dict[str, str]) -> list[str]:
    return [matcher["options"]] if matcher["id"] == "byName" else []


def test_the_numbers_are_those_of_the_views(analyst: psycopg.Connection[Any]) -> None:
    def number(title: str) -> Any:
        (target,) = [target for panel, target in SQL if panel["title"] == title]
        row = analyst.execute(expanded(target["rawSql"], VARIABLES["deployment"]["allValue"])).fetchone()
        assert row is not None
        return row[0]

    overview = analyst.execute(
        "select executions, error_rate, open, sla_breach_rate, leads from aximo_metrics.customer_overview"
    ).fetchone()
    titles = ("Executions", "Error rate", "Open executions", "SLA breach rate", "Leads")
    assert overview == tuple(number(title) for title in titles)


def test_no_query_averages_what_is_one_already() -> None:
    for _, target in SQL:
        assert not re.search(r"avg\s*\(|sum\s*\(\w+_(rate|avg_ms|p\d\d_ms)\)", target["rawSql"], re.IGNORECASE)


def test_the_variable_lists_the_deployments(analyst: psycopg.Connection[Any]) -> None:
    assert analyst.execute(VARIABLES["deployment"]["query"]).fetchall() == [("dep-1",), ("dep-2",)]


def test_prometheus_is_asked_for_what_the_worker_tells(filled: Ledger) -> None:
    worker_http = pytest.importorskip("aximo_db.dba.worker_http")
    prometheus_client = pytest.importorskip("prometheus_client")
    from aximo_db.dba.worker import Worker, duties

    filled.login("grafana_operator", "aximo_operator", customers=("*",))
    worker = Worker(filled.dsn("grafana_operator"), duties())
    registries: list[Any] = []
    real = prometheus_client.CollectorRegistry

    def kept() -> Any:
        registries.append(real())
        return registries[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prometheus_client, "CollectorRegistry", kept)
        with worker_http.Telling(worker, "127.0.0.1", 0) as telling:
            telling.done("advance", 0.1, is_whole=True)
            telling.failed("advance", "08006")
            told = {sample.name for family in registries[0].collect() for sample in family.samples}
    asked = {name for _, target in PROMETHEUS for name in re.findall(r"\baximo_\w+", target["expr"])}
    assert len(asked) > 8
    assert asked <= told


def test_every_panel_has_an_id_a_place_and_a_meaning() -> None:
    ids = [panel["id"] for panel in PANELS]
    assert len(ids) == len(set(ids))
    for one, other in combinations(PANELS, 2):
        a, b = one["gridPos"], other["gridPos"]
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, (one["title"], other["title"])
    for panel in PANELS:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        refs = [target["refId"] for target in panel.get("targets", [])]
        assert len(refs) == len(set(refs))
        assert panel["type"] == "row" or (panel["description"].endswith(".") and refs)


def test_its_data_sources_are_chosen_when_it_is_looked_at() -> None:
    sources = {name: each["query"] for name, each in VARIABLES.items() if each["type"] == "datasource"}
    assert sources == {"ledger": "grafana-postgresql-datasource", "prometheus": "prometheus"}
    for panel, target in TARGETS:
        name = "ledger" if "rawSql" in target else "prometheus"
        assert panel["datasource"] == target["datasource"] == {"type": sources[name], "uid": f"${{{name}}}"}
    assert VARIABLES["deployment"]["datasource"]["uid"] == "${ledger}"
    assert "://" not in json.dumps(DASHBOARD)
