"""What the tests need is what "make test" installs, and nothing that only the linters install."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
#: What runs when the tests run. Those for BI clients have an environment of their own.
FILES = sorted([*(ROOT / "tests").glob("*.py"), *(ROOT / "tools").glob("*.py")])
OWN = {"aximo_db", "tests", "benchmarks", "tools"}


def used() -> Iterator[tuple[str, str]]:
    """Modules that a file imports or starts as a program, and the file."""
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        optional = re.findall(r'pytest\.importorskip\("(\w+)"\)', text)  # its tests are skipped where it is not there
        for name in re.findall(r'sys\.executable, "-m", "(\w+)', text):
            if name not in optional:
                yield name, path.name
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                yield from ((each.name.split(".")[0], path.name) for each in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
                yield node.module.split(".")[0], path.name


def of_this_project() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed: list[str] = project["dependencies"]
    return needed + [
        f"{each}; extra == '{extra}'" for extra, those in project["optional-dependencies"].items() for each in those
    ]


def installed_by(name: str, extras: frozenset[str], seen: set[tuple[str, str]]) -> None:
    """Collects the distributions that one brings with it."""
    for extra in ("", *extras):
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            needed = of_this_project() if name == "aximo-db" else requires(name) or []
        except PackageNotFoundError:  # for another system or Python
            continue
        for each in map(Requirement, needed):
            if each.marker is None or each.marker.evaluate({"extra": extra}):
                installed_by(canonicalize_name(each.name), frozenset(each.extras), seen)


def test_the_tests_use_nothing_that_they_do_not_install() -> None:
    seen: set[tuple[str, str]] = set()
    installed_by("aximo-db", frozenset({"test"}), seen)
    there = {name for name, _ in seen}
    distributions = packages_distributions()
    missing = {
        (module, file)
        for module, file in used()
        if module not in sys.stdlib_module_names | OWN
        and module != "compression"  # of a later Python
        and not {canonicalize_name(each) for each in distributions.get(module, [module])} & there
    }
    assert missing == set()
    assert "ruff" in there
