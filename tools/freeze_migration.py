"""Writes what is made from sql/ until the first release: the frozen SQL of the first migration, and doctor's facts.

    python tools/freeze_migration.py

A released migration never changes again: tests/test_install.py holds its hash. Later revisions are written by hand.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What Alembic does itself: the schema of its version table, and the stamp in it.
BY_ALEMBIC = {"private_schema.sql", "stamp.sql"}


def main() -> None:
    """Joins the files in load order, installs them on an embedded server, and writes down what is there then."""
    sys.path.insert(0, str(ROOT))
    import psycopg

    from aximo_db._assets import sql_files
    from aximo_db.doctor import facts
    from aximo_db.local import LocalLedger

    parts = [path.read_text(encoding="utf-8") for path in sql_files() if path.name not in BY_ALEMBIC]
    (ROOT / "migrations" / "versions" / "0001_ledger.sql").write_text("\n".join(parts), encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="aximo-", ignore_cleanup_errors=True) as folder:
        ledger = LocalLedger(Path(folder) / "data", settings={"fsync": "off"})
        try:
            ledger.start()
            with psycopg.connect(ledger.dsns()["owner"], autocommit=True) as connection:
                lines = facts(connection)
        finally:
            ledger.server.stop("immediate")
    (ROOT / "aximo_db" / "data" / "facts.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
