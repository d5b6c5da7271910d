"""The Superset export fits the views: columns, metrics and types are theirs, and its parts refer to each other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg import sql

from .conftest import Ledger

EXPORT = Path(__file__).resolve().parent.parent / "docs" / "bi" / "superset"
FILES = sorted(EXPORT.rglob("*.yaml"))


def parts(kind: str) -> list[dict[str, Any]]:
    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in FILES if path.is_relative_to(EXPORT / kind)]


DATASETS = {dataset["uuid"]: dataset for dataset in parts("datasets")}
CHARTS = {chart["uuid"]: chart for chart in parts("charts")}
(DATABASE,) = parts("databases")
(DASHBOARD,) = parts("dashboards")


def strings(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            yield str(key)
            yield from strings(value)
    elif isinstance(part, list):
        for value in part:
            yield from strings(value)
    elif isinstance(part, str):
        yield part


@pytest.fixture
def analyst(one_ledger: Ledger) -> psycopg.Connection[Any]:
    return one_ledger.as_customer("acme", "aximo_bi")


def test_the_columns_of_the_datasets_are_those_of_the_views(analyst: psycopg.Connection[Any]) -> None:
    for dataset in DATASETS.values():
        found = analyst.execute(
            """
            select a.attname, format_type(a.atttypid, a.atttypmod)
            from pg_attribute as a
            where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped
            order by a.attnum
            """,
            (f"{dataset['schema']}.{dataset['table_name']}",),
        ).fetchall()
        described = [
            (column["column_name"], column["type"].lower().replace(", ", ",")) for column in dataset["columns"]
        ]
        assert described == found, dataset["table_name"]


def test_the_database_computes_every_metric(analyst: psycopg.Connection[Any]) -> None:
    for dataset in DATASETS.values():
        view = sql.Identifier(dataset["schema"], dataset["table_name"])
        for metric in dataset["metrics"]:
            analyst.execute(sql.SQL("select {} from {}").format(sql.SQL(metric["expression"]), view))


def test_no_metric_averages_what_is_one_already(analyst: psycopg.Connection[Any]) -> None:
    for dataset in DATASETS.values():
        for metric in dataset["metrics"]:
            assert not re.search(r"avg\s*\(|sum\s*\(\w+_(rate|avg_ms|p\d\d_ms)\)", metric["expression"], re.IGNORECASE)


def test_no_metric_is_named_like_a_column() -> None:
    for dataset in DATASETS.values():
        columns = {column["column_name"] for column in dataset["columns"]}
        metrics = [metric["metric_name"] for metric in dataset["metrics"]]
        assert not columns & set(metrics)
        assert len(metrics) == len(set(metrics))


@pytest.mark.parametrize("chart", CHARTS.values(), ids=lambda chart: str(chart["slice_name"]))
def test_a_chart_asks_for_what_its_dataset_has(chart: dict[str, Any]) -> None:
    dataset = DATASETS[chart["dataset_uuid"]]
    columns = {column["column_name"] for column in dataset["columns"]}
    times = {column["column_name"] for column in dataset["columns"] if column["is_dttm"]}
    metrics = {metric["metric_name"] for metric in dataset["metrics"]}
    asked = chart["params"]
    assert asked["viz_type"] == chart["viz_type"]
    assert {*asked.get("metrics", []), *asked.get("metrics_b", []), *filter(None, [asked.get("metric")])} <= metrics
    assert {*asked.get("all_columns", []), *asked.get("groupby", []), *asked.get("groupby_b", [])} <= columns
    assert asked.get("x_axis", "customer_id") in columns
    assert {json.loads(order)[0] for order in asked.get("order_by_cols", [])} <= columns
    assert {condition["subject"] for condition in asked["adhoc_filters"] + asked.get("adhoc_filters_b", [])} <= times
    assert set(asked.get("column_config", {})) <= columns


def test_the_parts_of_the_export_refer_to_each_other() -> None:
    assert {dataset["database_uuid"] for dataset in DATASETS.values()} == {DATABASE["uuid"]}
    assert {chart["dataset_uuid"] for chart in CHARTS.values()} == set(DATASETS)
    position = {key: item for key, item in DASHBOARD["position"].items() if isinstance(item, dict)}
    shown = [item["meta"] for item in position.values() if item["type"] == "CHART"]
    assert sorted(meta["uuid"] for meta in shown) == sorted(CHARTS)
    assert all(CHARTS[meta["uuid"]]["slice_name"] == meta["sliceName"] for meta in shown)
    assert {child for item in position.values() for child in item.get("children", [])} | {
        "ROOT_ID",
        "HEADER_ID",
    } == set(position)
    for row in position.values():
        if row["type"] == "ROW":
            assert sum(position[child]["meta"]["width"] for child in row["children"]) == 12


def test_the_filters_of_the_dashboard_have_targets() -> None:
    ids = {
        item["meta"]["chartId"]
        for item in DASHBOARD["position"].values()
        if isinstance(item, dict) and item["type"] == "CHART"
    }
    filters = DASHBOARD["metadata"]["native_filter_configuration"]
    assert [item["filterType"] for item in filters] == ["filter_time", "filter_select"]
    for item in filters:
        assert set(item["scope"]["excluded"]) <= ids
        for target in filter(None, item["targets"]):
            assert target["column"]["name"] in {
                column["column_name"] for column in DATASETS[target["datasetUuid"]]["columns"]
            }


def test_every_uuid_is_there_once() -> None:
    uuids = [part["uuid"] for kind in ("databases", "datasets", "charts", "dashboards") for part in parts(kind)]
    assert len(uuids) == len(set(uuids))


def test_the_connection_keeps_customers_apart() -> None:
    assert DATABASE["cache_timeout"] == -1  # 0 would be "as configured"
    assert DATABASE["extra"]["per_user_caching"] is True
    assert not DATABASE["allow_dml"]
    for part in (*DATASETS.values(), *CHARTS.values()):
        assert part["cache_timeout"] is None  # else it would go before the connection's


def test_the_connection_has_the_days_begin_in_utc() -> None:
    # Superset truncates dates with date_trunc, which makes instants of them, in the session's time zone.
    assert DATABASE["extra"]["engine_params"]["connect_args"]["options"] == "-c timezone=UTC"


def test_the_export_has_no_password_and_no_path() -> None:
    assert DATABASE["sqlalchemy_uri"] == "postgresql+psycopg2://analyst:XXXXXXXXXX@localhost:5432/aximo"
    assert FILES
    for path in FILES:
        for text in strings(yaml.safe_load(path.read_text(encoding="utf-8"))):
            assert not re.match(r"(/|~|[A-Za-z]:\\)", text), path
            assert "://" not in text or text == DATABASE["sqlalchemy_uri"], path
            assert text != "password", path
