"""Makes the synchronous modules of aximo_db/client from their asynchronous forms, so that each is written once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "aximo_db" / "client"
NAMES = ("connections", "session", "feed", "execution", "metrics", "runs", "store")
HEAD = "# Made from async_{name}.py by tools/unasync.py: do not change.\n"

# In order, each for one of the files at least; words first, then what is left of the asynchronous syntax.
REPLACEMENTS = [
    (r"\n+``\w+\.py`` is made from this file by ``tools/unasync\.py``\.\n+", "\n\n"),
    (r"\n\n(?=\"\"\"\n\nfrom __future__)", ""),
    (r"([Tt]he) asynchronous (?=store|session|feed|contexts)", r"\1 "),
    (r"\baximo_db\.client\.async_(\w+)", r"aximo_db.client.\1"),
    (r"\ban asynchronous store's\b", "a store's"),
    (r", a cancelled task included,", ", KeyboardInterrupt included,"),
    (r"asyncio\.sleep", "time.sleep"),
    (r"Awaitable\[T\]", "T"),
    (r"Iterable\[object\] \| AsyncIterable\[object\]", "Iterable[object]"),
    (r"    if isinstance\(events, AsyncIterable\):\n(?:.*\n)*?    else:\n        iterator = iter\(events\)\n        while (.*)\n            (.*)\n",
     r"    iterator = iter(events)\n    while \1\n        \2\n"),
    (r"\bAsync(Connection|ConnectionPool|Connections|Turn|Turns|LedgerCursor|EventStore|ExecutionScope|ActionScope|Iterator|Runs|Session|Feed|Metrics)\b", r"\1"),
    (r"AbstractAsyncContextManager", "AbstractContextManager"),
    (r"asynccontextmanager", "contextmanager"),
    (r"__aenter__", "__enter__"),
    (r"__aexit__", "__exit__"),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
]  # fmt: skip


def convert(texts: dict[str, str]) -> dict[str, str]:
    """The synchronous forms of the asynchronous sources, by their names."""
    for pattern, replacement in REPLACEMENTS:
        if not any(re.search(pattern, text) for text in texts.values()):
            raise SystemExit(f"nothing matches {pattern!r} any more")
        texts = {name: re.sub(pattern, replacement, text) for name, text in texts.items()}
    return {name: HEAD.format(name=name) + _finished(name, text) for name, text in texts.items()}


def _finished(name: str, text: str) -> str:
    # Imports and line lengths change with the words.
    for arguments in (["check", "--select", "I,F401", "--fix", "--quiet"], ["format", "--quiet"]):
        text = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", str(FOLDER / f"{name}.py"), "-"],
            input=text, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    left = re.search(r"\b(async|await|asyncio|aclose)\b|Async(?!h)|asynchronous", text)
    if left is not None:
        raise SystemExit(f"{left.group()!r} is left in the synchronous form of {name}")
    return text


def paths() -> dict[Path, str]:
    """The names of the synchronous forms, by their paths."""
    return {FOLDER / f"{name}.py": name for name in NAMES}


def made() -> dict[Path, str]:
    """Every synchronous form, by its path."""
    texts = convert({name: (FOLDER / f"async_{name}.py").read_text(encoding="utf-8") for name in NAMES})
    return {path: texts[name] for path, name in paths().items()}
