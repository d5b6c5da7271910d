"""What docs/bi/dbt says of the views is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from .conftest import Ledger

SOURCES: dict[str, Any] = yaml.safe_load(
    (Path(__file__).resolve().parent.parent / "docs" / "bi" / "dbt" / "sources.yml").read_text(encoding="utf-8")
)
(SOURCE,) = SOURCES["sources"]


@pytest.fixture
def analyst(one_ledger: Ledger) -> psycopg.Connection[Any]:
    return one_ledger.as_customer("acme", "aximo_bi")


def test_it_has_every_view_and_every_column_in_their_order(analyst: psycopg.Connection[Any]) -> None:
    found = analyst.execute(
        """
        select c.relname, array_agg(a.attname::text order by a.attnum), obj_description(c.oid, 'pg_class')
        from pg_catalog.pg_class as c
        inner join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relnamespace = 'aximo_metrics'::regnamespace and c.relkind = 'v'
        group by c.oid, c.relname
        order by c.relname
        """
    ).fetchall()
    assert SOURCE["schema"] == "aximo_metrics"
    assert [
        (table["name"], [column["name"] for column in table["columns"]], table["description"])
        for table in SOURCE["tables"]
    ] == found


def test_what_is_said_to_be_unique_is_the_key(analyst: psycopg.Connection[Any]) -> None:
    tested = 0
    for table in SOURCE["tables"]:
        key = re.findall(r"Key: ([^.]*)\.", table["description"])[0].split(", ")
        for column in table["columns"]:
            if "unique" in column.get("data_tests", ()):
                assert [column["name"]] == key
                tested += 1
    assert tested > 2


def test_freshness_is_asked_of_the_view_that_tells_it(analyst: psycopg.Connection[Any]) -> None:
    (table,) = [table for table in SOURCE["tables"] if "freshness" in table.get("config", {})]
    assert table["name"] == "freshness"
    analyst.execute(f"select max({table['config']['loaded_at_field']}) from aximo_metrics.{table['name']}")
