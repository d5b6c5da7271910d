"""Makes aximo_db/store.py from aximo_db/async_store.py, so that the store is written once.

python tools/unasync.py [--check]
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "aximo_db" / "async_store.py"
TARGET = ROOT / "aximo_db" / "store.py"

# In order; words first, then what is left of the asynchronous syntax.
REPLACEMENTS = [
    (r"The asynchronous store", "The store"),
    (r"``store\.py`` is made from this file by ``tools/unasync\.py``; change this one\.",
     "Made from ``async_store.py`` by ``tools/unasync.py``; change that one."),
    (r"\bused by one task at a time\b", "used by one thread at a time"),
    (r", a cancelled task included,", ", KeyboardInterrupt included,"),
    (r"import asyncio\n", "import threading\n"),
    (r"asyncio\.Lock\(\)", "threading.Lock()"),
    (r"asyncio\.sleep", "time.sleep"),
    (r"    \"\"\"Finishes even if the task(?:.*\n)*?    return task\.result\(\)\n", "    return work\n"),
    (r"work: Awaitable\[Receipt\]", "work: Receipt"),
    (r"await (_to_the_end)", r"\1"),
    (r"Awaitable\[T\]", "T"),
    (r"Iterable\[object\] \| AsyncIterable\[object\]", "Iterable[object]"),
    (r"    if isinstance\(events, AsyncIterable\):\n(?:.*\n)*?    else:\n        iterator = iter\(events\)\n        while (.*)\n            (.*)\n",
     r"    iterator = iter(events)\n    while \1\n        \2\n"),
    (r"AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable", "Callable, Iterable, Iterator"),
    (r"\bAsync(Connection|ConnectionPool|EventStore|ExecutionScope|ActionScope|Iterator)\b", r"\1"),
    (r"asynccontextmanager", "contextmanager"),
    (r"__aenter__", "__enter__"),
    (r"__aexit__", "__exit__"),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
]  # fmt: skip


def convert(text: str) -> str:
    """The synchronous form of the asynchronous source."""
    for pattern, replacement in REPLACEMENTS:
        text, count = re.subn(pattern, replacement, text)
        if count == 0:
            raise SystemExit(f"nothing in {SOURCE.name} matches {pattern!r} any more")
    left = re.search(r"\b(async|await|asyncio|aclose)\b|Async(?!h)", text)
    if left is not None:
        raise SystemExit(f"{left.group()!r} is left in the synchronous form")
    # Imports and line lengths change with the words.
    for arguments in (["check", "--select", "I,F401", "--fix", "--quiet"], ["format", "--quiet"]):
        text = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", str(TARGET), "-"],
            input=text, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    return text


def main() -> None:
    """Writes the synchronous store, or says whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if the file is out of date")
    text = convert(SOURCE.read_text(encoding="utf-8"))
    if parser.parse_args().check:
        sys.exit(0 if TARGET.exists() and TARGET.read_text(encoding="utf-8") == text else "store.py is out of date")
    TARGET.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
