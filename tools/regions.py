"""A region of a file that is made, in one that is written by hand."""

from __future__ import annotations

import sys
from pathlib import Path


def with_region(path: Path, begin: str, end: str, made: str) -> str:
    """The file, with what stands between its two marks made anew."""
    head, mark, rest = path.read_text(encoding="utf-8").partition(begin)
    _, last, tail = rest.partition(end)
    if not mark or not last:
        sys.exit(f"{path}: no place for what is made")
    return f"{head}{begin}{made}{end}{tail}"
