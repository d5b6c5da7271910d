"""A region of a file that is made, in one that is written by hand."""

from __future__ import annotations

import sys
from pathlib import Path


def between(text: str, begin: str, end: str, made: str) -> str | None:
    """The text, with what stands between its first ``begin`` and the next ``end`` made anew; ``None`` without such a place."""
    head, mark, rest = text.partition(begin)
    _, last, tail = rest.partition(end)
    return f"{head}{begin}{made}{end}{tail}" if mark and last else None


def with_region(path: Path, begin: str, end: str, made: str) -> str:
    """The file, with what stands between its two marks made anew."""
    found = between(path.read_text(encoding="utf-8"), begin, end, made)
    if found is None:
        sys.exit(f"{path}: no place for what is made")
    return found
