"""The files that come with the package: SQL, migrations and the recording; in the wheel, or beside it in a checkout."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

__all__ = [
    "HEAD_SCHEMA_VERSION",
    "PACKAGE",
    "install_script",
    "migrations_path",
    "named_statements",
    "recording_path",
    "sql_files",
]

#: The schema version that the newest migration leaves behind: what ``aximo.schema_version()`` says then.
HEAD_SCHEMA_VERSION: Final = 3

PACKAGE: Final = Path(__file__).resolve().parent.parent


def _folder(name: str) -> Path:
    packaged = PACKAGE / f"_{name}"
    return packaged if packaged.is_dir() else PACKAGE.parent / name


def migrations_path() -> Path:
    """The folder of the Alembic environment."""
    return _folder("migrations")


def recording_path() -> Path:
    """The recording of a real agent runtime that the demo imports: JSON lines, 2,438 events of three customers."""
    return PACKAGE / "data" / "runtime_events.jsonl"


def sql_files() -> list[Path]:
    """The files of the current schema, in load order, as ``sql/install.sql`` lists them."""
    root = _folder("sql")
    listed = re.findall(r"^\\ir (\S+)$", (root / "install.sql").read_text(encoding="utf-8"), re.MULTILINE)
    return [root / name for name in listed]


def install_script() -> str:
    """The current schema as one script, without transaction control."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sql_files())


def named_statements(name: str) -> dict[str, str]:
    """The statements of a file of the package, each after a line ``-- name: …``."""
    parts = re.split(r"^-- name: (\w+)$", (PACKAGE / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))
