"""Writes the frozen SQL of the first migration from sql/. Later revisions are written by hand.

A released migration never changes again: tests/test_migrations.py holds its hash.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


# What Alembic does itself: the schema of its version table, and the stamp in it.
BY_ALEMBIC = {"private_schema.sql", "stamp.sql"}


def main() -> None:
    """Joins the files in load order."""
    import sys

    sys.path.insert(0, str(ROOT))
    from aximo_db._assets import sql_files

    parts = [path.read_text(encoding="utf-8") for path in sql_files() if path.name not in BY_ALEMBIC]
    (ROOT / "migrations" / "versions" / "0001_ledger.sql").write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
