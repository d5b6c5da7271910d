"""The vault in PostgreSQL: one key a subject, three states, and nothing that was destroyed comes back."""

from __future__ import annotations

import base64
import logging
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg_pool import ConnectionPool

from aximo_db import (
    Erased,
    InstallationError,
    KeyFile,
    KeyService,
    KeyVariable,
    NotConnectedError,
    PostgresVault,
    SchemaVersionError,
    Vault,
    VaultError,
)
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import DBA, VERSIONS
from tests.vault_support import key_file, vault_database


@pytest.fixture(scope="module", params=VERSIONS)
def server(request: pytest.FixtureRequest, servers: Callable[[str], EmbeddedServer]) -> EmbeddedServer:
    return servers(request.param)


@pytest.fixture(scope="module")
def dsn(server: EmbeddedServer) -> Iterator[str]:
    with vault_database(server) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return key_file(tmp_path_factory.mktemp("key"))


@pytest.fixture
def vault(dsn: str, key: Path) -> Iterator[PostgresVault]:
    with PostgresVault(dsn, key=key) as vault:
        yield vault


@pytest.fixture
def customer() -> str:
    return f"customer-{uuid4()}"


def rule_of(action: Callable[[], object], kind: type[Any] = VaultError) -> str | None:
    with pytest.raises(kind) as refusal:
        action()
    return str(refusal.value.rule)


def refused(dsn: str, statement: str, *values: object) -> str | None:
    """The constraint that refuses a statement."""
    with psycopg.connect(dsn) as connection, pytest.raises(psycopg.Error) as refusal:
        connection.execute(statement, values)  # type: ignore[call-overload]
    return refusal.value.diag.constraint_name or refusal.value.sqlstate


# Three states.


def test_a_subject_has_no_key_then_a_live_one_then_is_erased(
    vault: PostgresVault, dsn: str, key: Path, customer: str
) -> None:
    assert isinstance(vault, Vault)
    assert (vault.kids(customer, "p"), vault.is_erased(customer, "p")) == ([], False)
    assert vault.erase(customer, "p", "nothing there") == []
    kid, data = vault.key_for(customer, "p")
    assert len(data) == 32
    assert (vault.kids(customer, "p"), vault.is_erased(customer, "p")) == ([kid], False)
    with PostgresVault(dsn, key=key) as another:
        assert another.key_for(customer, "p") == (kid, data)
        assert another.open(kid) == data
    assert vault.open(kid) == data
    assert vault.key_for(customer, "q")[0] != kid
    assert vault.key_for(f"{customer}-other", "p")[0] != kid
    assert vault.erase(customer, "p", "as asked") == [kid]
    assert (vault.kids(customer, "p"), vault.is_erased(customer, "p")) == ([], True)
    assert vault.open(kid) == Erased(kid)
    assert rule_of(lambda: vault.key_for(customer, "p")) == "subject_not_erased"
    assert vault.erase(customer, "p", "again") == []
    vault.readmit(customer, "p")
    vault.readmit(customer, "q")  # it has its key
    second, fresh = vault.key_for(customer, "p")
    assert second != kid
    assert fresh != data
    assert vault.open(kid) == Erased(kid)
    assert vault.open(second) == fresh
    assert len(vault.kids(customer, "q")) == 1
    assert vault.open(uuid4()).__class__ is Erased


def test_no_name_of_a_subject_and_no_key_as_it_is_stands_in_the_database(
    vault: PostgresVault, dsn: str, server: EmbeddedServer, customer: str
) -> None:
    _, data = vault.key_for(customer, "sentinel-person")
    dump = subprocess.run([server.bin_dir / "pg_dump", dsn], capture_output=True, check=True).stdout
    assert customer.encode() in dump
    assert b"sentinel-person" not in dump
    assert data.hex().encode() not in dump


def test_the_database_itself_keeps_the_three_states(vault: PostgresVault, dsn: str, customer: str) -> None:
    kid, _ = vault.key_for(customer, "p")
    subject, wrapped = secrets.token_bytes(32), secrets.token_bytes(40)
    insert = "insert into aximo_vault.subjects (customer_id, subject, kid, wrapped) values (%s, %s, %s, %s)"
    update = "update aximo_vault.subjects set kid = null, wrapped = null, erased_at = now() where kid = %s"
    # A key is lost by a tombstone alone.
    assert refused(dsn, update, kid) == "key_is_erased_by_tombstone"
    assert refused(dsn, "delete from aximo_vault.subjects where kid = %s", kid) == "key_is_erased_by_tombstone"
    assert (
        refused(dsn, "update aximo_vault.subjects set kid = %s where kid = %s", uuid4(), kid)
        == "key_is_erased_by_tombstone"
    )
    assert refused(dsn, "truncate aximo_vault.subjects") == "tombstone_stays"
    assert refused(dsn, insert, customer, subject, kid, wrapped) == "kid_is_one_subjects"
    assert refused(dsn, insert, customer, subject, None, None) == "live_or_erased"
    assert refused(dsn, insert, customer, b"short", uuid4(), wrapped) == "subject_is_hash"
    assert refused(dsn, insert, " ", subject, uuid4(), wrapped) == "customer_id_not_blank"
    vault.erase(customer, "p", "asked")
    # What was destroyed does not come back, and nobody takes its tombstone away.
    assert refused(dsn, insert, customer, subject, kid, wrapped) == "kid_not_erased"
    revive = "update aximo_vault.subjects set kid = %s, wrapped = %s, erased_at = null where customer_id = %s"
    assert refused(dsn, revive, kid, wrapped, customer) == "kid_not_erased"
    assert refused(dsn, revive, uuid4(), wrapped, customer) == "key_is_erased_by_tombstone"
    for statement in ("delete from", "update", "truncate"):
        rest = " set reason = 'x'" if statement == "update" else ""
        assert refused(dsn, f"{statement} aximo_vault.tombstones{rest}") == "tombstone_stays"
    assert refused(dsn, "update aximo_vault.salt set salt = sha256('')") == "tombstone_stays"
    assert refused(dsn, "delete from aximo_vault.salt") == "tombstone_stays"
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "select customer_id, reason from aximo_vault.tombstones where kid = %s", [kid]
        ).fetchone()
        assert row == (customer, "asked")


def test_a_tombstone_is_of_the_keys_own_customer(vault: PostgresVault, dsn: str, customer: str) -> None:
    kid, data = vault.key_for(customer, "p")
    statement = "insert into aximo_vault.tombstones (kid, customer_id, reason) values (%s, 'another', 'mine')"
    assert refused(dsn, statement, kid) == "kid_is_the_customers"
    assert vault.bury("another", [kid], "mine") == []
    assert vault.of_others("another", [kid, uuid4()]) == [kid]
    assert vault.of_others(customer, [kid]) == []
    assert (vault.open(kid), vault.kids(customer, "p")) == (data, [kid])
    assert vault.bury(customer, [kid], "as recorded") == [kid]
    assert vault.open(kid) == Erased(kid)


@pytest.mark.parametrize("wrapped", [b"rub", b"", None])
def test_a_key_that_would_not_open_again_is_not_kept(dsn: str, key: Path, customer: str, wrapped: Any) -> None:
    real = KeyFile(key)
    bad = KeyService(lambda _: wrapped, lambda given: real.unwrap(given) if given != b"rub" else bytes(32))
    with PostgresVault(dsn, key=bad) as vault:
        assert rule_of(lambda: vault.key_for(customer, "p")) == "wrapping_key_fits"
        assert (vault.kids(customer, "p"), vault.is_erased(customer, "p")) == ([], False)
    with PostgresVault(dsn, key=key) as vault:
        assert vault.open(vault.key_for(customer, "p")[0]) == vault.key_for(customer, "p")[1]


def test_a_wrapping_key_that_is_back_opens_at_once(dsn: str, key: Path, customer: str, tmp_path: Path) -> None:
    own = tmp_path / "key"
    own.write_bytes(key.read_bytes())
    with PostgresVault(dsn, key=key) as vault:
        kid, data = vault.key_for(customer, "p")
    with PostgresVault(dsn, key=own) as vault:
        own.rename(tmp_path / "away")
        assert vault.open(kid) == Erased(kid)
        (tmp_path / "away").rename(own)
        assert vault.open(kid) == data


def test_a_refusal_of_the_database_is_the_packages_error(vault: PostgresVault, dsn: str, customer: str) -> None:
    kid, _ = vault.key_for(customer, "p")
    vault.erase(customer, "p", "asked")
    values = (customer, secrets.token_bytes(32), kid, b"x")
    insert = "insert into aximo_vault.subjects (customer_id, subject, kid, wrapped) values (%s, %s, %s, %s)"
    assert rule_of(lambda: vault._call(lambda connection: vault._row(connection, insert, values))) == "kid_not_erased"


# Races.


def test_two_writers_racing_for_a_new_subject_get_one_key(dsn: str, key: Path, customer: str) -> None:
    writers = 6
    with ConnectionPool(dsn, min_size=3, max_size=3, open=True) as pool:
        vaults = [PostgresVault(dsn, key=key) for _ in range(writers - 1)] + [PostgresVault(pool, key=key)]
        with ThreadPoolExecutor(writers) as threads:
            for number in range(15):
                barrier = threading.Barrier(writers)

                def make(vault: PostgresVault, number: int = number, barrier: threading.Barrier = barrier) -> object:
                    barrier.wait()
                    return vault.key_for(customer, f"p-{number}")

                assert len(set(threads.map(make, vaults))) == 1
        for vault in vaults:
            vault.close()


def test_the_second_writer_waits_for_the_first_and_takes_its_key(dsn: str, key: Path, customer: str) -> None:
    first, second = PostgresVault(dsn, key=key), PostgresVault(dsn, key=key)
    made: list[Any] = []
    with psycopg.connect(dsn, autocommit=True) as watcher, ThreadPoolExecutor(1) as threads:

        def work(connection: psycopg.Connection[Any]) -> object:
            found = first._found_or_made(connection, customer, "p")
            made.append(threads.submit(second.key_for, customer, "p"))
            query = (
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
            )
            until = time.monotonic() + 60
            while watcher.execute(query).fetchone() != (1,):
                assert time.monotonic() < until
                time.sleep(0.01)
            return found

        kid, _ = first._call(work)  # type: ignore[misc]
        assert made[0].result()[0] == kid
    first.close()
    second.close()


def test_an_erasure_and_a_writer_race_and_the_subject_stays_erased(dsn: str, key: Path, customer: str) -> None:
    with ThreadPoolExecutor(2) as threads:
        for number in range(15):
            subject, barrier = f"p-{number}", threading.Barrier(2)
            one, two = PostgresVault(dsn, key=key, cache_for=0), PostgresVault(dsn, key=key, cache_for=0)
            kid, _ = one.key_for(customer, subject)

            def write(
                vault: PostgresVault = one, subject: str = subject, barrier: threading.Barrier = barrier
            ) -> object:
                barrier.wait()
                try:
                    return vault.key_for(customer, subject)[0]
                except VaultError as refusal:
                    return refusal.rule

            writing = threads.submit(write)
            barrier.wait()
            assert two.erase(customer, subject, "race") == [kid]
            assert writing.result() in (kid, "subject_not_erased")
            assert rule_of(lambda vault=one, subject=subject: vault.key_for(customer, subject)) == "subject_not_erased"
            one.close()
            two.close()


# The cache.


def test_a_key_is_remembered_for_a_minute_at_most(
    dsn: str, key: Path, customer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="60"):
        PostgresVault(dsn, key=key, cache_for=61)
    ours, theirs = PostgresVault(dsn, key=key), PostgresVault(dsn, key=key)
    kid, data = ours.key_for(customer, "p")
    assert ours.open(kid) == data
    theirs.erase(customer, "p", "elsewhere")
    assert ours.key_for(customer, "p") == (kid, data)  # asked for nothing
    assert ours.open(kid) == data
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 60.5)
    assert rule_of(lambda: ours.key_for(customer, "p")) == "subject_not_erased"
    assert ours.open(kid) == Erased(kid)
    ours.close()
    theirs.close()


def test_who_erases_remembers_nothing(vault: PostgresVault, customer: str) -> None:
    kid, data = vault.key_for(customer, "p")
    assert vault.open(kid) == data
    vault.bury(customer, [kid], "by its id")
    assert vault.open(kid) == Erased(kid)
    assert rule_of(lambda: vault.key_for(customer, "p")) == "subject_not_erased"


# The wrapping key.


def test_the_key_file_lost_everything_reads_as_erased_and_nothing_new_is_sealed(
    dsn: str, key: Path, tmp_path: Path, customer: str, caplog: pytest.LogCaptureFixture
) -> None:
    own = tmp_path / "own.key"
    own.write_bytes(key.read_bytes())
    with PostgresVault(dsn, key=own, cache_for=0) as vault:
        kid, data = vault.key_for(customer, "p")
        own.unlink()
        with caplog.at_level(logging.WARNING, "aximo_db"):
            assert vault.open(kid) == Erased(kid)
        assert "wrapping_key_present" in caplog.text
        assert rule_of(lambda: vault.key_for(customer, "p")) == "wrapping_key_present"
        assert rule_of(lambda: vault.key_for(customer, "new")) == "wrapping_key_present"
        own.write_text("no key")
        assert vault.open(kid) == Erased(kid)
        own.write_bytes(base64.b64encode(secrets.token_bytes(32)))
        assert vault.open(kid) == Erased(kid)
        assert rule_of(lambda: vault.key_for(customer, "p")) == "wrapping_key_fits"
        own.write_bytes(key.read_bytes())
        assert vault.open(kid) == data
        # To erase, the key is not needed.
        own.unlink()
        assert vault.erase(customer, "p", "asked") == [kid]


def test_a_key_that_is_not_the_vaults_makes_no_key_in_it(
    dsn: str, vault: PostgresVault, tmp_path: Path, customer: str
) -> None:
    vault.key_for(customer, "p")
    with PostgresVault(dsn, key=key_file(tmp_path)) as other:
        assert rule_of(lambda: other.key_for(customer, "q")) == "wrapping_key_fits"
    assert vault.kids(customer, "q") == []


def test_the_key_is_in_a_file_in_a_variable_or_a_service_has_it(
    dsn: str, key: Path, customer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PostgresVault(dsn, key=key) as vault:
        kid, data = vault.key_for(customer, "p")
    monkeypatch.delenv("AXIMO_VAULT_KEY", raising=False)
    monkeypatch.delenv("AXIMO_VAULT_KEY_FILE", raising=False)
    monkeypatch.setenv("AXIMO_VAULT_URL", dsn)
    with PostgresVault() as vault:
        assert rule_of(lambda: vault.key_for(customer, "p")) == "wrapping_key_present"
    monkeypatch.setenv("AXIMO_VAULT_KEY", key.read_text().strip())
    monkeypatch.setenv("OTHER", key.read_text())
    file = KeyFile(key)
    for given in (None, str(key), file, KeyVariable("OTHER"), KeyService(file.wrap, file.unwrap)):
        with PostgresVault(key=given) as vault:
            assert vault.open(kid) == data
            assert vault.key_for(customer, "p") == (kid, data)
            vault.key_for(customer, f"by {given!r}")
    monkeypatch.delenv("AXIMO_VAULT_KEY")
    monkeypatch.setenv("AXIMO_VAULT_KEY_FILE", str(key))
    with PostgresVault() as vault:
        assert vault.open(kid) == data


def test_an_outage_of_a_key_service_is_no_erasure(dsn: str, key: Path, customer: str) -> None:
    with PostgresVault(dsn, key=key) as vault:
        kid, _ = vault.key_for(customer, "p")

    def away(_: bytes) -> bytes:
        raise TimeoutError

    with PostgresVault(dsn, key=KeyService(away, away)) as vault, pytest.raises(TimeoutError):
        vault.open(kid)


# The database.


def migrated(dsn: str) -> list[int]:
    with PostgresVault(dsn) as vault:
        return vault.migrate()


def test_a_vault_is_migrated_once_and_says_what_it_is(server: EmbeddedServer, key: Path, customer: str) -> None:
    with vault_database(server, "vault_other", migrated=False) as dsn, PostgresVault(dsn, key=key) as vault:
        assert rule_of(lambda: vault.key_for(customer, "p"), SchemaVersionError) == "vault_installed"
        with ThreadPoolExecutor(2) as threads:
            ran = list(threads.map(migrated, [dsn] * 2))
        assert sorted(ran) == [[], [1]]
        vault.key_for(customer, "p")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("insert into aximo_vault.version (version) values (999)")
        newer = PostgresVault(dsn, key=key)
        assert rule_of(lambda: newer.key_for(customer, "p"), SchemaVersionError) == "vault_known"
        assert rule_of(newer.migrate, SchemaVersionError) == "vault_known"
        newer.close()


def test_the_vaults_frozen_sql_is_what_it_was() -> None:
    import hashlib

    import aximo_db.vault

    folder = Path(aximo_db.vault.__file__).parent
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in sorted(folder.glob("*.sql"))}
    # A change of a vault that exists is another file.
    assert found == {"0001_vault.sql": "0a4a0f3120e8bf32"}


def test_no_vault_is_the_ledger_by_mistake(monkeypatch: pytest.MonkeyPatch, dsn: str) -> None:
    monkeypatch.delenv("AXIMO_VAULT_URL", raising=False)
    monkeypatch.setenv("AXIMO_DB_URL", dsn)
    assert rule_of(PostgresVault, InstallationError) == "vault_named"
    with psycopg.connect(dsn) as connection, pytest.raises(TypeError):
        PostgresVault(connection)  # type: ignore[arg-type]


def test_a_lost_connection_is_made_again_and_a_server_that_is_away_is_told(
    dsn: str, key: Path, customer: str, server: EmbeddedServer
) -> None:
    with PostgresVault(dsn, key=key, cache_for=0) as vault:
        kid, data = vault.key_for(customer, "p")
        with psycopg.connect(server.dsn(), autocommit=True) as root:
            root.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = 'vault_test' and pid <> pg_backend_pid()"
            )
        assert vault.open(kid) == data
    with PostgresVault("host=127.0.0.1 port=9 connect_timeout=2", key=key) as away:
        assert rule_of(lambda: away.open(kid), NotConnectedError) == "vault_reachable"


def test_a_service_makes_keys_and_an_eraser_destroys_them(
    dsn: str, key: Path, customer: str, server: EmbeddedServer
) -> None:
    grants = {
        "vault_service": ["select on all tables in schema aximo_vault", "insert on aximo_vault.subjects"],
        "vault_eraser": ["select on all tables in schema aximo_vault", "insert on aximo_vault.tombstones"],
    }
    with psycopg.connect(server.dsn(), autocommit=True) as root, psycopg.connect(dsn, autocommit=True) as owner:
        for login, privileges in grants.items():
            root.execute(sql.SQL("create role {} login").format(sql.Identifier(login)))
            owner.execute(sql.SQL("grant usage on schema aximo_vault to {}").format(sql.Identifier(login)))
            for privilege in privileges:
                owner.execute(sql.SQL("grant {} to {}").format(sql.SQL(privilege), sql.Identifier(login)))  # type: ignore[arg-type]
        try:
            with (
                PostgresVault(server.dsn("vault_service", "vault_test"), key=key) as service,
                PostgresVault(server.dsn("vault_eraser", "vault_test")) as eraser,
            ):
                kid, _ = service.key_for(customer, "p")
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    service.erase(customer, "p", "not its business")
                assert eraser.erase(customer, "p", "asked") == [kid]
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    service.readmit(customer, "p")
        finally:
            for login in grants:
                with psycopg.connect(server.dsn("postgres", "vault_test"), autocommit=True) as here:
                    here.execute(sql.SQL("drop owned by {}").format(sql.Identifier(login)))
                root.execute(sql.SQL("drop role {}").format(sql.Identifier(login)))


def test_a_dump_of_a_vault_is_restored_and_keeps_its_states(
    dsn: str, key: Path, server: EmbeddedServer, customer: str, vault: PostgresVault
) -> None:
    erased, _ = vault.key_for(customer, "erased")
    live, data = vault.key_for(customer, "live")
    vault.erase(customer, "erased", "asked")
    dump = subprocess.run([server.bin_dir / "pg_dump", "--no-owner", dsn], capture_output=True, check=True).stdout
    with vault_database(server, "vault_copy", migrated=False) as copy:
        subprocess.run(
            [server.bin_dir / "psql", "-q", "-v", "ON_ERROR_STOP=1", copy],
            input=dump,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        with PostgresVault(copy, key=key) as restored:
            assert restored.open(live) == data
            assert restored.open(erased) == Erased(erased)
            assert rule_of(lambda: restored.key_for(customer, "erased")) == "subject_not_erased"
            assert restored.key_for(customer, "live") == (live, data)
    assert DBA in dsn
