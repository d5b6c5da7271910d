"""dbt builds a login's own tables from the views, and documents the views, knowing of no other customer."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.bi.conftest import Reporting
from tests.bi.data import MARKS, other
from tests.bi.tables import SCHEMA, Login, Table, assert_same, columns, views

pytestmark = [
    pytest.mark.bi,
    pytest.mark.skipif(importlib.util.find_spec("dbt") is None, reason="no dbt here; pip install 'aximo-db[bi]'"),
]

SOURCES = Path(__file__).resolve().parents[2] / "docs" / "bi" / "dbt" / "sources.yml"
PROJECT = {
    "name": "aximo_bi",
    "version": "1.0.0",
    "config-version": 2,
    "profile": "aximo_bi",
    "flags": {"send_anonymous_usage_stats": False},
}


@pytest.fixture
def project(tmp_path: Path, login: Login, root: psycopg.Connection[Any]) -> Iterator[Path]:
    """A project with a table for each view, and a schema of the login's own to build them in."""
    names = views(root)
    (tmp_path / "models").mkdir()
    output = {**login.words, "type": "postgres", "dbname": login.database, "schema": "built", "threads": 2}
    # JSON is YAML.
    for path, content in (
        ("dbt_project.yml", PROJECT),
        ("profiles.yml", {"aximo_bi": {"target": "it", "outputs": {"it": output}}}),
    ):
        (tmp_path / path).write_text(json.dumps(content))
    copyfile(SOURCES, tmp_path / "models" / "sources.yml")
    for view in names:
        model = f"{{{{ config(materialized='table') }}}} select * from {{{{ source('{SCHEMA}', '{view}') }}}}"
        (tmp_path / "models" / f"built_{view}.sql").write_text(model)
    root.execute(sql.SQL("create schema built authorization {}").format(sql.Identifier(login.name)))
    yield tmp_path
    root.execute("drop schema built cascade")


def dbt(project: Path, *arguments: str) -> str:
    program = "from dbt.cli.main import cli; cli()"
    done = subprocess.run(
        [sys.executable, "-c", program, "--no-use-colors", *arguments],
        cwd=project,
        env={**os.environ, "DBT_PROFILES_DIR": str(project), "DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_dbt_builds_and_documents_one_customer(reporting: Reporting, login: Login, project: Path) -> None:
    foreign = MARKS[other(login.customer)]
    told = dbt(project, "run") + dbt(
        project, "show", "--inline", f"select * from {{{{ source('{SCHEMA}', 'actions') }}}}"
    )
    assert foreign not in told
    assert MARKS[login.customer] in told
    with login.connect() as connection:
        for view, truth in reporting.truths[login.customer].items():
            rows = connection.execute(sql.SQL("select * from built.{}").format(sql.Identifier(f"built_{view}")))
            assert_same(Table(columns(connection, view), rows.fetchall()), truth, view)

    dbt(project, "docs", "generate")
    catalog = json.loads((project / "target" / "catalog.json").read_text())
    assert not catalog["errors"]
    documented = {each["metadata"]["name"]: each for each in catalog["sources"].values()}
    assert set(documented) == set(reporting.truths[login.customer])
    for view, each in documented.items():
        assert each["metadata"]["comment"], view
        assert all(column["comment"] for column in each["columns"].values()), view
    assert not any(mark in json.dumps(catalog, ensure_ascii=False) for mark in MARKS.values())
