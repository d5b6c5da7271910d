"""Where the SQL, the migrations and the recording are: inside the wheel, or beside the package in a checkout."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

__all__ = ["HEAD_SCHEMA_VERSION", "install_script", "migrations_path", "recording_path", "sql_files"]

#: The schema version that the newest migration leaves behind: what ``aximo.schema_version()`` says then.
HEAD_SCHEMA_VERSION: Final = 1

_PACKAGE = Path(__file__).resolve().parent.parent


def _folder(name: str) -> Path:
    packaged = _PACKAGE / f"_{name}"
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


def migrations_path() -> Path:
    """The folder of the Alembic environment."""
    return _folder("migrations")


def recording_path() -> Path:
    """The recording of a real agent runtime that the demo imports: JSON lines, 2,438 events of three customers."""
    return _PACKAGE / "data" / "runtime_events.jsonl"


def sql_files() -> list[Path]:
    """The files of the current schema, in load order, as ``sql/install.sql`` lists them."""
    root = _folder("sql")
    listed = re.findall(r"^\\ir (\S+)$", (root / "install.sql").read_text(encoding="utf-8"), re.MULTILINE)
    return [root / name for name in listed]


def install_script() -> str:
    """The current schema as one script, without transaction control."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sql_files())
