"""Names the columns of the views of metrics where BI tools want them listed: dbt's sources, Superset's datasets.

What is said of a column there by hand stays; a column that is new is added, one that is gone is left out. From the contract, which is made of
the installed views.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONTRACT = ROOT / "aximo_db" / "data" / "contracts" / "aximo.json"
DBT = ROOT / "docs" / "bi" / "dbt" / "sources.yml"
DATASETS = ROOT / "docs" / "bi" / "superset" / "datasets" / "aximo"
TEXTS, MOMENTS = ("text",), ("date", "timestamp with time zone")


def _views() -> dict[str, Any]:
    relations = json.loads(CONTRACT.read_text(encoding="utf-8"))["relations"]
    return {name.partition(".")[2]: it for name, it in relations.items() if name.startswith("aximo_metrics.")}


def _entries(text: str, begin: str) -> dict[str, str]:
    """The entries of a list by their names, each as it stands in the text."""
    parts = re.split(rf"^(?={begin})", text, flags=re.MULTILINE)[1:]
    return {part.removeprefix(begin).partition("\n")[0]: part for part in parts}


def dbt() -> str:
    """The sources, with every view and every column."""
    head, begin, rest = DBT.read_text(encoding="utf-8").partition("    tables:\n")
    old = _entries(rest, "      - name: ")
    tables = []
    for view, it in sorted(_views().items()):
        of_table, _, of_columns = old.get(view, "").partition("        columns:\n")
        columns = _entries(of_columns, "          - name: ")
        more = re.sub(r"^ +description: .*\n", "", of_table.partition("\n")[2])
        tables.append(
            f"      - name: {view}\n        description: {json.dumps(it['meaning'], ensure_ascii=False)}\n{more}        columns:\n"
            + _joined(columns, ((each["name"], f"          - name: {each['name']}\n") for each in it["columns"]))
        )
    return head + begin + "".join(tables)


def _joined(old: dict[str, str], new: Iterable[tuple[str, str]]) -> str:
    return "".join(old.get(name, text) for name, text in new)


def _in_superset(column: dict[str, Any]) -> str:
    kind = column["type"]
    return f"""\
- column_name: {column["name"]}
  verbose_name: {column["name"].replace("_", " ").capitalize()}
  is_dttm: {str(kind in MOMENTS).lower()}
  is_active: true
  type: {kind.upper().replace(",", ", ")}
  advanced_data_type: null
  groupby: {str(kind in TEXTS + MOMENTS).lower()}
  filterable: true
  expression: null
  description: null
  python_date_format: null
  extra: null
"""


def dataset(path: Path, view: dict[str, Any]) -> str:
    """A dataset, with every column of its view."""
    text = path.read_text(encoding="utf-8")
    head, begin, rest = text.partition("columns:\n")
    listed, end, tail = rest.partition("version:")
    columns = _entries(listed, "- column_name: ")
    return (
        f"{head}{begin}{_joined(columns, ((each['name'], _in_superset(each)) for each in view['columns']))}{end}{tail}"
    )


def made() -> dict[Path, str]:
    """Every file with columns, by its path."""
    views = _views()
    return {DBT: dbt(), **{path: dataset(path, views[path.stem]) for path in sorted(DATASETS.glob("*.yaml"))}}
