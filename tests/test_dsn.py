"""Connection strings as people have them."""

from __future__ import annotations

import pytest

from aximo_db import InstallationError
from aximo_db.client.dsn import libpq_dsn
from tests.conftest import Ledger
from tests.test_cli import run

REST = "//user:p%40ss@host:5433,other/db?sslmode=require&application_name=a%20b"


@pytest.mark.parametrize(
    "scheme",
    ["postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2", "postgres+psycopg", "postgresql+psycopg_async",
     "POSTGRESQL", "PostgreSQL+Psycopg2"],
)  # fmt: skip
def test_a_url_of_another_library_is_that_of_libpq(scheme: str) -> None:
    assert libpq_dsn(f"{scheme}:{REST}") == f"postgresql:{REST}"
    assert libpq_dsn(f"  {scheme}:{REST}\n") == f"postgresql:{REST}"


@pytest.mark.parametrize(
    "dsn",
    ["", "host=/run/x dbname=db", "host = h password='a:b//c'", "service=mine", "dbname=postgresql+psycopg://x", "db"],
)
def test_what_libpq_reads_stays_as_it_is(dsn: str) -> None:
    assert libpq_dsn(dsn) == dsn


@pytest.mark.parametrize(
    "dsn",
    ["postgresql+asyncpg://u:secret@h/d", "postgresql+pg8000://u:secret@h/d", "mysql://u:secret@h/d", "sqlite:///secret",
     "jdbc:postgresql://h/d?password=secret", "mysql+pymysql://u:secret@h", "https://h/secret", "postgresql:/h/secret"],
)  # fmt: skip
def test_what_is_for_another_library_is_named_and_its_password_is_not(dsn: str) -> None:
    with pytest.raises(InstallationError) as caught:
        libpq_dsn(dsn)
    assert caught.value.rule == "dsn_is_for_libpq"
    assert "secret" not in f"{caught.value} {caught.value.detail} {caught.value.hint}"


def test_the_command_line_takes_it(one_ledger: Ledger) -> None:
    theirs = one_ledger.dsn().replace("postgresql:", "postgresql+psycopg:")
    for command in (["executions", "-c", "c"], ["migrate"], ["contract", "check"], ["runs", "list", "-c", "c"]):
        run(*command, "--db", theirs)
        said = run(*command, "--db", "mysql://u:secret@h/d", code=2).stderr
        assert "--db" in said
        assert "secret" not in said
        run(*command, AXIMO_DB_URL=theirs)
        # What the environment says is no wrong usage; of the contract, 1 says that something breaks.
        failed = 2 if command[0] == "contract" else 1
        said = run(*command, AXIMO_DB_URL="mysql://u:secret@h/d", code=failed).stderr
        assert "mysql" in said
        assert "secret" not in said
