"""Lints the SQL beyond its style: pgspot on what is installed, squawk on the migrations."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Rules that a migration need not follow, each with its reason.
SQUAWK_EXCLUDE = {
    "0001_ledger.sql": {
        "prefer-robust-stmts": "a migration is one transaction: it happens whole or not at all",
        "require-concurrent-index-creation": "the tables are made in the same transaction",
        "require-lock-timeout": "nothing is there yet that could be locked",
        "require-statement-timeout": "nothing is there yet that could take long",
        "ban-create-domain-with-constraint": "the limits by name: what is refused is tried by them, field by field",
        "prefer-bigint-over-int": "steps and counts within one execution",
        "prefer-bigint-over-smallint": "bins, of which there are some 1,300 to either side of zero",
        "prefer-text-field": "alembic's own table is as alembic makes it",
    },
    "0002_fleet.sql": {
        "prefer-robust-stmts": "a migration is one transaction: it happens whole or not at all",
        "require-lock-timeout": "aximo_db/dba/migrate.py sets it where the locks are taken",
        "require-statement-timeout": "nothing is read under a lock",
        "constraint-missing-not-valid": "of a table of one row",
        "prefer-bigint-over-int": "the number of a node, 0 to 1023",
    },
    "0003_erasures.sql": {
        "prefer-robust-stmts": "a migration is one transaction: it happens whole or not at all",
        "require-lock-timeout": "aximo_db/dba/migrate.py sets it where the locks are taken",
        "require-statement-timeout": "nothing is read under a lock",
    },
}


def main() -> None:
    """Runs both, prints what they say, and fails if either complains."""
    sys.path.insert(0, str(ROOT))
    from aximo_db.dba.assets import install_script

    failed = False
    # pgspot loses the quotes of an argument's name, and "timestamp" is a type without them.
    script = install_script().replace('"timestamp"', "happened_at")
    # It knows no fields of a variable with a table's row type.
    script = re.sub(
        r"^(    \w+) aximo_private\.(executions|approvals|events);$", r"\1 record;", script, flags=re.MULTILINE
    )
    # A procedure that commits can have no setting of its own. It names the schema of all it calls: tests/test_catalog.py knows it by name.
    script = re.sub(
        r"^(create procedure aximo\.keep_metrics.*?\nlanguage [^\n]*)", r"\1\nset search_path = pg_catalog, pg_temp", script,
        flags=re.DOTALL | re.MULTILINE,
    )  # fmt: skip
    # It can't read a body that is bound when it is created; as a text it can, and looks for what such a text would need.
    for bound, text in ((r"return (.*?);", r"select \2"), (r"begin atomic\n(.*?);\nend;", r"\2")):
        script = re.sub(
            rf"^(language sql [^\n]*)\n{bound}\n(alter|comment on) function",
            rf"\1\nset search_path = pg_catalog, pg_temp\nas $$ {text} $$;\n\3 function",
            script,
            flags=re.DOTALL | re.MULTILINE,
        )
    with tempfile.NamedTemporaryFile("w", suffix=".sql", encoding="utf-8") as file:
        file.write(script)
        file.flush()
        spotted = subprocess.run(
            [str(Path(sys.executable).with_name("pgspot")), file.name], text=True, capture_output=True, check=False
        )
    report = "\n".join(line for line in spotted.stdout.splitlines() if line.strip())
    print("pgspot:", report)
    # It counts no error when it can't read a script at all, so the report has to be this line and nothing else.
    failed |= spotted.returncode != 0 or report.strip() != "Errors: 0 Warnings: 0 Unknown: 0"

    squawk = str(Path(sys.executable).with_name("squawk"))
    for migration in sorted((ROOT / "migrations" / "versions").glob("*.sql")):
        excluded = ",".join(SQUAWK_EXCLUDE.get(migration.name, {}))
        command = [squawk, "--pg-version=15.0", *([f"--exclude={excluded}"] if excluded else []), str(migration)]
        failed |= subprocess.run(command, check=False).returncode != 0
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
