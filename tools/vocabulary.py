"""Makes what type checkers and readers know of the closed sets and of the rows of metrics, from the SQL and the contract.

From sql/04_events: the types of events and the actors, in aximo_db/client/vocabulary.py and in docs/service.md. From the contract,
which is made of the installed views: the rows of metrics in aximo_db/client/metric_rows.py, and what ``metrics`` returns for each
view, in aximo_db/client/async_metrics.py.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tools.regions import with_region

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "aximo_db"
CLIENT = PACKAGE / "client"
MADE = "# Made by tools/vocabulary.py from the SQL and the contract: do not change."
#: What psycopg makes of a column.
TYPES = {
    "bigint": "int",
    "boolean": "bool",
    "date": "date",
    "double precision": "float",
    "numeric(38,3)": "Decimal",
    "text": "str",
    "timestamp with time zone": "datetime",
}
#: Counts, flags and days; a rate without a denominator, a sum of nothing and a moment that never was are null.
NEVER_NULL = ("bigint", "boolean", "date")


def _checked(domain: str) -> list[str]:
    """The values of a closed set, in the order of its domain."""
    text = (ROOT / "sql" / "04_events" / "domains.sql").read_text(encoding="utf-8")
    found = re.search(rf"create domain aximo_private\.{domain} .*?in \((.*?)\)", text, re.DOTALL)
    assert found is not None
    return re.findall(r"'(\w+)'", found[1])


def _event_types() -> list[tuple[str, str, str]]:
    """Each type with its category and its meaning."""
    text = (ROOT / "sql" / "04_events" / "event_types.sql").read_text(encoding="utf-8")
    rows = re.findall(r"^\('(\w+)', '(\w+)', '((?:[^']|'')*)'\)", text, re.MULTILINE)
    assert [name for name, _, _ in rows] == _checked("event_type")
    return [(name, category, meaning.replace("''", "'")) for name, category, meaning in rows]


def _views() -> dict[str, Any]:
    contract = json.loads((PACKAGE / "data" / "contracts" / "aximo.json").read_text(encoding="utf-8"))
    schema = "aximo_metrics."
    return {name.removeprefix(schema): it for name, it in contract["relations"].items() if name.startswith(schema)}


def _row(view: str) -> str:
    return "".join(part.capitalize() for part in view.split("_"))


def _literal(values: list[str]) -> str:
    return f"Literal[{', '.join(json.dumps(value) for value in values)}]"


def vocabulary() -> str:
    """The module of the closed sets."""
    types, actors = _checked("event_type"), _checked("actor")
    return f'''{MADE}
"""The closed sets of the event model, as type checkers know them.

The database refuses what is not in them, and says what is nearest.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

__all__ = ["ACTORS", "EVENT_TYPES", "Actor", "EventType"]

#: The {len(types)} types of events. A newer schema may have more.
EventType: TypeAlias = {_literal(types)}
#: Who acted, as the service claims it.
Actor: TypeAlias = {_literal(actors)}

EVENT_TYPES: Final[tuple[EventType, ...]] = get_args(EventType)
ACTORS: Final[tuple[Actor, ...]] = get_args(Actor)
'''


def _column(column: dict[str, Any], key: list[str]) -> str:
    """The type of a column of a view."""
    says_null = "null" in column["meaning"].lower()
    of_the_key = column["name"] in (*key, "customer_id") or "values" in column
    is_null = says_null or not (of_the_key or column["type"] in NEVER_NULL)
    known = _literal(column["values"]) if "values" in column else TYPES[column["type"]]
    return f"{known} | None" if is_null else known


def metric_rows() -> str:
    """The module of the rows of metrics."""
    rows = []
    for view, it in _views().items():
        meaning, _, key = it["meaning"].rstrip(".").partition(" Key: ")
        columns = "\n".join(f"    {each['name']}: {_column(each, key.split(', '))}" for each in it["columns"])
        rows.append(f'class {_row(view)}(TypedDict):\n    """{meaning}"""\n\n{columns}\n')
    names = ", ".join(f'"{_row(view)}"' for view in _views())
    return f'''{MADE}
"""The rows of the views of metrics, as :meth:`EventStore.metrics` returns them: dictionaries whose keys checkers know.

What each column means is in docs/bi.md and docs/reference.md.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Literal, TypedDict

__all__ = [{names}]


''' + "\n\n".join(rows)


def overloads() -> str:
    """What ``metrics`` returns for each view."""
    parts = [
        f"    @overload\n    async def metrics(\n"
        f'        self, view: Literal["{view}"], *, customer_id: str | None = None\n'
        f"    ) -> list[metric_rows.{_row(view)}]: ...\n"
        for view in _views()
    ]
    rest = (
        "    @overload\n    async def metrics(self, view: str, *, customer_id: str | None = None) -> list[Any]: ...\n"
    )
    return "\n".join([*parts, rest])


def listed() -> str:
    """The closed sets as a page lists them."""
    rows = "".join(f"| `{name}` | {category} | {meaning} |\n" for name, category, meaning in _event_types())
    actors = ", ".join(f"`{name}`" for name in _checked("actor"))
    return f"| event_type | category | when it is written |\n|---|---|---|\n{rows}\nAn `actor` is one of {actors}.\n"


def _formatted(text: str, path: Path) -> str:
    return subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--quiet", "--stdin-filename", str(path), "-"],
        input=text, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


def made() -> dict[Path, str]:
    """Every file that is made, or a part of which is, by its path."""
    files = {
        CLIENT / "vocabulary.py": vocabulary(),
        CLIENT / "metric_rows.py": metric_rows(),
        CLIENT / "async_metrics.py": with_region(
            CLIENT / "async_metrics.py",
            "    # Made by tools/vocabulary.py, up to the next such line.\n",
            "    # Up to here.\n",
            overloads(),
        ),
    }
    page = ROOT / "docs" / "service.md"
    begin, end = "<!-- made by tools/vocabulary.py -->\n", "<!-- up to here -->\n"
    return {path: _formatted(text, path) for path, text in files.items()} | {
        page: with_region(page, begin, end, f"\n{listed()}\n")
    }
