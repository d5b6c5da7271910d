"""Fills in what a revision that is not released takes over from sql/: functions and views, each as a whole.

A region begins with a line "-- as in 05_emit/emit_events.sql" and ends with "-- until here". What is made there replaces what may be there already.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ROOT / "migrations" / "versions"
HASHES = ROOT / "tests" / "snapshots" / "migrations.sha256"
REGION = re.compile(r"^(-- as in (\S+\.sql)\n).*?^(-- until here)$", re.MULTILINE | re.DOTALL)


def released() -> set[str]:
    """The names of the revisions that never change again."""
    return {line.split()[1] for line in HASHES.read_text(encoding="utf-8").splitlines()}


def replacing(path: str) -> str:
    """A file of sql/ that replaces the function or view that is there. The triggers that call a function are there already."""
    text = (ROOT / "sql" / path).read_text(encoding="utf-8")
    text = re.split(r"^create trigger ", text, maxsplit=1, flags=re.MULTILINE)[0].rstrip() + "\n"
    return re.sub(r"^create (function|procedure|view) ", r"create or replace \1 ", text, flags=re.MULTILINE)


def made() -> dict[Path, str]:
    """The revisions that are not released, with their regions made anew."""
    return {
        path: REGION.sub(lambda found: found[1] + replacing(found[2]) + found[3], path.read_text(encoding="utf-8"))
        for path in sorted(VERSIONS.glob("*.sql"))
        if path.name not in released()
    }
