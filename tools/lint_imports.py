"""Says which room of the package may import which, and that no two modules import each other.

python -m tools.lint_imports

A room is a folder of aximo_db. Modules beside the rooms only give names of theirs from one place.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).resolve().parent.parent / "aximo_db"
MOST_FLOORS: Final = 6

#: A room, and the rooms that it may import from. Nobody imports cli.
ROOMS: Final = {
    "files": set[str](),
    "client": set[str](),
    "audit": {"files"},
    "lines": {"client", "files"},
    "otel": {"client"},
    "vault": {"client"},
    "report": {"client", "files"},
    "dba": {"audit", "client", "files"},
    "contract": {"client", "dba", "files"},
    "fleet": {"client", "contract"},
    "local": {"client", "dba", "files"},
    "cli": {"files", "client", "audit", "lines", "report", "dba", "contract", "fleet", "local", "otel", "vault"},
}
#: A room, and what it may import from outside of the package and of Python itself; a room that is not named: anything.
LIBRARIES: Final = {
    "files": {"rich"},
    # cryptography when a value is sealed or opened, and not before.
    "client": {"cryptography", "psycopg", "psycopg_pool", "uuid_utils"},
    "audit": {"cryptography", "rfc3161_client"},  # the second one for time stamps alone, and when one is looked at
    "lines": {"psycopg"},
    "otel": {"opentelemetry", "psycopg"},
    "vault": {"cryptography", "psycopg", "psycopg_pool"},
}


def modules() -> dict[str, Path]:
    """Every module by its dotted name without the package's."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imports(path: Path) -> Iterator[str]:
    """What a module imports when it runs: dotted names; what only a type checker sees is left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for part in node.body
        for inner in ast.walk(part)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            # A name may be a module of the package that is named, or something in it.
            yield from (f"{node.module}.{each.name}" for each in node.names)


def problems() -> Iterator[str]:
    """What is against the table, in words."""
    known = modules()
    graph: dict[str, set[str]] = {name: set() for name in known}
    for name, path in known.items():
        room = name.split(".")[0]
        for imported in imports(path):
            if not imported.startswith("aximo_db"):
                library = imported.split(".")[0]
                if library not in LIBRARIES.get(room, {library}) | sys.stdlib_module_names:
                    yield f"{name} imports {library}, which the room {room} does without"
                continue
            inside = imported.removeprefix("aximo_db").removeprefix(".")
            target = inside if inside in known else inside.rpartition(".")[0]
            if target == name or not target:
                continue
            graph[name].add(target)
            other = target.split(".")[0]
            if room in ROOMS and other != room and other not in ROOMS[room]:
                yield f"{name} imports {target}: the room {room} may not import from {other}"
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield f"modules import each other: {' → '.join(error.args[1])}"
    strangers = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()} ^ set(ROOMS)
    yield from (f"{room} is no room of the table, or one without a folder" for room in sorted(strangers))
    if floors() > MOST_FLOORS:
        yield f"the rooms stand on {floors()} floors, more than {MOST_FLOORS}"


def floors() -> int:
    """How many rooms the longest way down passes."""
    height: dict[str, int] = {}
    for room in TopologicalSorter(ROOMS).static_order():
        height[room] = 1 + max((height[below] for below in ROOMS[room]), default=0)
    return max(height.values())


def main() -> int:
    """Says what is wrong; returns the exit code."""
    found = list(problems())
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
