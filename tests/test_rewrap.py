"""The wrapping key of a vault is replaced while services go on: nothing is lost, whatever happens meanwhile."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from aximo_db import Erased, KeyFile, KeyService, KeyVariable, PostgresVault, VaultError
from aximo_db.local.embedded import EmbeddedServer
from aximo_db.vault import postgres
from tests.conftest import DBA, VERSIONS
from tests.test_cli import run
from tests.vault_support import vault_database

# The same in every process, as names of tests are made of them.
OLD, NEW, NEWER = (base64.b64encode(sha256(name).digest()).decode() for name in (b"old", b"new", b"newer"))
NAME = "rewrap_test"
Key = tuple[UUID, bytes]


@pytest.fixture(scope="module", params=VERSIONS)
def server(request: pytest.FixtureRequest, servers: Callable[[str], EmbeddedServer]) -> EmbeddedServer:
    return servers(request.param)


@pytest.fixture
def dsn(server: EmbeddedServer) -> Iterator[str]:
    """A vault of the test's own, as all of its keys are wrapped anew."""
    with vault_database(server, NAME) as dsn:
        yield dsn


@pytest.fixture
def owner(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return keys(tmp_path, OLD)


def keys(folder: Path, *lines: str, name: str = "vault.key") -> Path:
    """A file of wrapping keys, put in place whole."""
    (folder / "next").write_text("".join(f"{line}\n" for line in lines))
    return (folder / "next").replace(folder / name)


def opened_by(*lines: str, folder: Path) -> KeyFile:
    return KeyFile(keys(folder, *lines, name=f"{uuid4()}.key"))


def filled(dsn: str, key: Path, count: int = 10) -> dict[tuple[str, str], Key]:
    """Makes keys, of two customers in turn."""
    names = [(f"customer-{number % 2}", f"p-{number}") for number in range(count)]
    with PostgresVault(dsn, key=key) as vault:
        return {name: vault.key_for(*name) for name in names}


def wrapped(owner: psycopg.Connection[Any]) -> dict[UUID, bytes]:
    query = "select kid, wrapped from aximo_vault.subjects where kid is not null order by customer_id, subject"
    return dict(owner.execute(query).fetchall())


def unwrapped(owner: psycopg.Connection[Any], key: KeyFile) -> dict[UUID, bytes]:
    return {kid: key.unwrap(data) for kid, data in wrapped(owner).items()}


def counts(done: postgres.Rewrapped) -> tuple[int, int, int]:
    return done.wrapped, done.passed_over, len(done.unopened)


def rule_of(action: Callable[[], object]) -> str | None:
    with pytest.raises(VaultError) as refusal:
        action()
    return refusal.value.rule


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def waiting(owner: psycopg.Connection[Any]) -> bool:
    query = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    return owner.execute(query).fetchone() == (1,)


# The file.


@pytest.mark.parametrize(
    "form",
    ["{old}", "{old}\n", "{old}\r\n", " {old} \n", "\ufeff{old}\n", "{old}\n\n \r\n\n"],
    ids=["bare", "line", "crlf", "spaces", "mark", "blank_end"],
)
@pytest.mark.parametrize("more", ["", "\n{new}", "\r\n{new}\r\n"], ids=["one", "two", "two_crlf"])
def test_a_key_a_line_the_first_wraps_and_all_unwrap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, more: str
) -> None:
    text = form.format(old=OLD)
    if more:
        text = text.rstrip() + more.format(new=NEW)
    (tmp_path / "key").write_bytes(text.encode())
    monkeypatch.setenv("KEYS", text)
    old, new = opened_by(OLD, folder=tmp_path), opened_by(NEW, folder=tmp_path)
    data = secrets.token_bytes(32)
    for given in (KeyFile(tmp_path / "key"), KeyVariable("KEYS")):
        assert old.unwrap(given.wrap(data)) == data
        assert given.unwrap(old.wrap(data)) == data
        assert given.is_by_first(old.wrap(data))
        assert not given.is_by_first(new.wrap(data))
        if more:
            assert given.unwrap(new.wrap(data)) == data
        else:
            assert rule_of(lambda given=given: given.unwrap(new.wrap(data))) == "wrapping_key_fits"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"", 1),
        (b"\n\n", 1),
        (b"\n{new}\n", 1),
        (b"{old}\n\n{new}\n", 2),
        (b"{old}\n{short}\n", 2),
        (b"{old}\n{new}x\n", 2),
        (b"{old} {new}\n", 1),
        (b"{old}\n# the old one\n{new}\n", 2),
        (b"{old}\n\xff{new}\n", 2),
        (b"{old}\n\xef\xbb\xbf{new}\n", 2),
        (b"{old}\n{new}\n\x00\n", 3),
        (f"{OLD}\n".encode("utf-16"), 1),
    ],
)
def test_a_malformed_line_is_named_by_its_number_and_never_shown(tmp_path: Path, text: bytes, line: int) -> None:
    short = base64.b64encode(secrets.token_bytes(31)).decode()
    for name, value in (("old", OLD), ("new", NEW), ("short", short)):
        text = text.replace(f"{{{name}}}".encode(), value.encode())
    (tmp_path / "key").write_bytes(text)
    key = KeyFile(tmp_path / "key")
    sealed = opened_by(OLD, folder=tmp_path).wrap(bytes(32))
    for action in (lambda: key.wrap(bytes(32)), lambda: key.unwrap(sealed), lambda: key.is_by_first(sealed)):
        with pytest.raises(VaultError) as refusal:
            action()
        assert refusal.value.rule == "wrapping_key_present"
        assert f"line {line} is not 32 bytes in base64" in str(refusal.value)
        told = f"{refusal.value!r} {refusal.value} {refusal.value.detail} {refusal.value.hint}"
        assert not any(each[:12] in told for each in (OLD, NEW, short))


# The rotation.


def test_services_seal_and_open_at_every_step_of_a_rotation(
    dsn: str, tmp_path: Path, owner: psycopg.Connection[Any]
) -> None:
    places = [tmp_path / "one", tmp_path / "two"]
    for place in places:
        place.mkdir()
        keys(place, OLD)
    made: dict[tuple[str, str], Key] = {}
    services = [PostgresVault(dsn, key=place / "vault.key", cache_for=0) for place in places]

    def work() -> None:
        """Each service makes a key, and both open all that there are."""
        for number, service in enumerate(services):
            name = ("acme", f"p-{len(made)}-{number}")
            made[name] = service.key_for(*name)
        for service in services:
            for name, (kid, data) in made.items():
                assert service.key_for(*name) == (kid, data)
                assert service.open(kid) == data

    work()
    # The second of two services follows a while after the first, at each step.
    for step in ([OLD, NEW], [NEW, OLD]):
        for place in places:
            keys(place, *step)
            work()
    with PostgresVault(dsn, key=places[0] / "vault.key") as vault:
        done = vault.rewrap()
        assert (done.wrapped > 0, done.passed_over > 0, done.unopened) == (True, True, [])
        assert done.wrapped + done.passed_over == len(made)
        work()
        assert counts(vault.rewrap()) == (0, len(made), 0)
    for place in places:
        keys(place, NEW)
        work()
    assert unwrapped(owner, opened_by(NEW, folder=tmp_path)) == dict(made.values())
    for service in services:
        service.close()


def test_a_page_after_the_other_and_what_is_done_is_passed_over(
    dsn: str, key: Path, tmp_path: Path, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = filled(dsn, key, 10)
    with PostgresVault(dsn, key=key) as vault:
        vault.erase("customer-0", "p-4", "asked")
        assert counts(vault.rewrap()) == (0, 9, 0)
    monkeypatch.setattr(postgres, "_PAGE", 4)
    keys(tmp_path, NEW, OLD)
    seen: list[int] = []
    with PostgresVault(dsn, key=key) as vault:
        assert counts(vault.rewrap(lambda done: seen.append(done.wrapped))) == (9, 0, 0)
        assert seen == [4, 8, 9]
        before = wrapped(owner)
        assert counts(vault.rewrap()) == (0, 9, 0)
    assert wrapped(owner) == before
    live = {kid: data for name, (kid, data) in made.items() if name != ("customer-0", "p-4")}
    assert unwrapped(owner, opened_by(NEW, folder=tmp_path)) == live


def test_a_page_is_found_by_the_primary_key(owner: psycopg.Connection[Any]) -> None:
    owner.execute("set enable_seqscan = off; set enable_sort = off")
    cursor = psycopg.ClientCursor(owner)
    plan = "\n".join(row[0] for row in cursor.execute(f"explain {postgres._LIVE}", ("c", b"\x01", 500)))
    assert "Index Scan using subjects_pk" in plan
    assert "Index Cond: (ROW(customer_id, subject) >" in plan


# What may happen meanwhile.


def command(dsn: str) -> list[str]:
    return [sys.executable, "-m", "aximo_db", "vault", "rewrap", "--vault", dsn, "--json"]


@pytest.mark.parametrize("at", ["within a transaction", "between two of them"])
def test_killed_in_the_middle_it_is_run_again_and_does_the_rest(
    dsn: str, key: Path, tmp_path: Path, owner: psycopg.Connection[Any], at: str
) -> None:
    old = KeyFile(key)
    data = {uuid4(): secrets.token_bytes(32) for _ in range(1200)}
    with owner.cursor() as cursor:
        cursor.executemany(
            "insert into aximo_vault.subjects (customer_id, subject, kid, wrapped) values ('c', %s, %s, %s)",
            [(secrets.token_bytes(32), kid, old.wrap(each)) for kid, each in data.items()],
        )
    before = wrapped(owner)
    keys(tmp_path, NEW, OLD)
    environment = {**os.environ, "AXIMO_VAULT_KEY_FILE": str(key)}
    with psycopg.connect(dsn) as holder:
        if at == "within a transaction":
            # It has the rows of its first page, and waits in the trigger, which reads the tombstones.
            holder.execute("lock table aximo_vault.tombstones in access exclusive mode")
        else:
            # Its first page is stored but for one row, which it waits for.
            holder.execute("select from aximo_vault.subjects where kid = %s for update", [list(before)[3]])
        process = subprocess.Popen(command(dsn), env=environment)
        until(lambda: waiting(owner))
        process.kill()
        assert process.wait(60) == -signal.SIGKILL
        holder.rollback()
    until(
        lambda: (
            owner.execute(
                "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
            ).fetchone()
            == (0,)
        )
    )
    after = wrapped(owner)
    changed = sum(after[kid] != before[kid] for kid in before)
    assert changed == (0 if at == "within a transaction" else 499)
    done = subprocess.run(command(dsn), env=environment, capture_output=True, check=True)
    assert json.loads(done.stdout) == {"wrapped": 1200 - changed, "passed_over": changed, "unopened": []}
    assert unwrapped(owner, opened_by(NEW, folder=tmp_path)) == data


def test_two_at_once_wrap_each_key_once(
    dsn: str, key: Path, tmp_path: Path, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = filled(dsn, key, 60)
    monkeypatch.setattr(postgres, "_PAGE", 7)
    keys(tmp_path, NEW, OLD)
    barrier = threading.Barrier(2)

    def rewrap(_: int) -> postgres.Rewrapped:
        with PostgresVault(dsn, key=key) as vault:
            barrier.wait()
            return vault.rewrap()

    with ThreadPoolExecutor(2) as threads:
        done = list(threads.map(rewrap, range(2)))
    assert sum(each.wrapped for each in done) == 60
    assert [each.wrapped + each.passed_over for each in done] == [60, 60]
    assert unwrapped(owner, opened_by(NEW, folder=tmp_path)) == dict(made.values())


class Meanwhile(KeyFile):
    """Does something when the first key is wrapped: after it was read, and before it is stored."""

    def __init__(self, path: Path, action: Callable[[], object]) -> None:
        super().__init__(path)
        self._actions = [action]

    def wrap(self, key: bytes) -> bytes:
        if self._actions:
            self._actions.pop()()
        return super().wrap(key)


def test_what_another_one_wrapped_meanwhile_is_wrapped_by_the_first_key_all_the_same(
    dsn: str, key: Path, tmp_path: Path, owner: psycopg.Connection[Any]
) -> None:
    made = filled(dsn, key, 5)
    own, other = opened_by(NEWER, NEW, OLD, folder=tmp_path), opened_by(NEW, OLD, folder=tmp_path)

    def others() -> None:
        with PostgresVault(dsn, key=other) as vault:
            assert counts(vault.rewrap()) == (5, 0, 0)

    with PostgresVault(dsn, key=Meanwhile(own._path, others)) as vault:
        assert counts(vault.rewrap()) == (5, 0, 0)
    assert unwrapped(owner, opened_by(NEWER, folder=tmp_path)) == dict(made.values())


def test_a_key_that_is_erased_meanwhile_stays_erased(
    dsn: str, key: Path, tmp_path: Path, owner: psycopg.Connection[Any]
) -> None:
    made = filled(dsn, key, 5)
    kid, _ = made["customer-1", "p-3"]
    keys(tmp_path, NEW, OLD)
    eraser = PostgresVault(dsn, key=key)

    def again() -> None:
        eraser.erase("customer-1", "p-3", "asked")
        eraser.readmit("customer-1", "p-3")
        made["customer-1", "p-3"] = eraser.key_for("customer-1", "p-3")

    with PostgresVault(dsn, key=Meanwhile(key, again), cache_for=0) as vault:
        # A subject that was readmitted has another key, which a service wrapped.
        assert counts(vault.rewrap()) == (4, 0, 0)
        assert vault.open(kid) == Erased(kid)
    assert unwrapped(owner, opened_by(NEW, folder=tmp_path)) == dict(made.values())
    eraser.close()


@pytest.mark.parametrize("is_erased", [True, False])
def test_it_waits_for_an_erasure_that_is_under_way_and_never_stands_in_its_way(
    dsn: str, key: Path, tmp_path: Path, owner: psycopg.Connection[Any], is_erased: bool
) -> None:
    filled(dsn, key, 6)
    in_order = list(wrapped(owner))
    bury = (
        "insert into aximo_vault.tombstones (kid, customer_id, reason)"
        " select s.kid, s.customer_id, 'asked' from aximo_vault.subjects as s where s.kid = %s"
    )
    keys(tmp_path, NEW, OLD)
    with (
        psycopg.connect(dsn) as eraser,
        PostgresVault(dsn, key=key, cache_for=0) as vault,
        ThreadPoolExecutor(1) as threads,
    ):
        # An erasure of several, in another order than that of the rows.
        eraser.execute(bury, [in_order[-1]])
        rewrapping = threads.submit(vault.rewrap)
        until(lambda: waiting(owner))
        eraser.execute("set lock_timeout = '30s'")
        eraser.execute(bury, [in_order[0]])
        assert not rewrapping.done()
        if is_erased:
            eraser.commit()
        else:
            eraser.rollback()
        # The first one was wrapped before it was erased.
        assert counts(rewrapping.result()) == ((5, 0, 0) if is_erased else (6, 0, 0))
        for kid in (in_order[0], in_order[-1]):
            assert (vault.open(kid) == Erased(kid)) == is_erased
    assert len(unwrapped(owner, opened_by(NEW, folder=tmp_path))) == (4 if is_erased else 6)


# What can't be opened.


def test_a_key_that_no_key_opens_is_named_and_the_rest_is_done(
    dsn: str, key: Path, tmp_path: Path, owner: psycopg.Connection[Any]
) -> None:
    lost = [kid for kid, _ in filled(dsn, opened_by(NEWER, folder=tmp_path)._path, 2).values()]
    own = KeyFile(key)
    for _ in range(4):
        # PostgresVault makes no key beside those of another wrapping key.
        owner.execute(
            "insert into aximo_vault.subjects (customer_id, subject, kid, wrapped) values ('another', %s, %s, %s)",
            [secrets.token_bytes(32), uuid4(), own.wrap(bytes(32))],
        )
    before = wrapped(owner)
    keys(tmp_path, NEW, OLD)
    environment = {"AXIMO_VAULT_KEY_FILE": str(key)}
    done = json.loads(run("vault", "rewrap", "--vault", dsn, "--json", code=1, **environment).stdout)
    assert (done["wrapped"], done["passed_over"], sorted(done["unopened"])) == (4, 0, sorted(map(str, lost)))
    said = run("vault", "rewrap", "--vault", dsn, code=1, **environment).stdout
    assert "Wrapped 0 keys anew, and passed over 4" in said
    assert "opens 2 keys" in said
    assert all(str(kid) in said for kid in lost)
    after = wrapped(owner)
    assert {kid: after[kid] for kid in lost} == {kid: before[kid] for kid in lost}
    # With the key that was missing as another line, it does these too.
    keys(tmp_path, NEW, OLD, NEWER)
    assert "Wrapped 2 keys anew" in run("vault", "rewrap", "--vault", dsn, **environment).stdout
    assert len(unwrapped(owner, opened_by(NEW, folder=tmp_path))) == 6


@pytest.mark.parametrize("text", [None, f"{NEW}\nno key\n"], ids=["missing", "malformed"])
def test_a_wrapping_key_that_is_not_there_says_nothing_of_the_keys(
    dsn: str, key: Path, owner: psycopg.Connection[Any], text: str | None
) -> None:
    filled(dsn, key, 2)
    before = wrapped(owner)
    key.unlink()
    if text is not None:
        key.write_text(text)
    with PostgresVault(dsn, key=key) as vault:
        assert rule_of(vault.rewrap) == "wrapping_key_present"
    # A service that does the same by a file is no other.
    file = KeyFile(key)
    with PostgresVault(dsn, key=KeyService(file.wrap, file.unwrap)) as vault:
        assert rule_of(vault.rewrap) == "wrapping_key_present"
    refused = run("vault", "rewrap", "--vault", dsn, code=1, AXIMO_VAULT_KEY_FILE=str(key))
    assert "wrapping_key_present" in refused.stderr
    assert ("line 2" in refused.stderr) == (text is not None)
    assert NEW not in refused.stderr
    assert wrapped(owner) == before


# A key management service.


def test_of_a_key_service_every_key_is_wrapped_anew_at_each_run(
    dsn: str, key: Path, tmp_path: Path, owner: psycopg.Connection[Any]
) -> None:
    made = filled(dsn, key, 5)
    both = opened_by(NEW, OLD, folder=tmp_path)
    with PostgresVault(dsn, key=KeyService(both.wrap, both.unwrap)) as vault:
        assert counts(vault.rewrap()) == (5, 0, 0)
        assert unwrapped(owner, opened_by(NEW, folder=tmp_path)) == dict(made.values())
        assert counts(vault.rewrap()) == (5, 0, 0)
    unknown = opened_by(NEWER, folder=tmp_path)
    with PostgresVault(dsn, key=KeyService(unknown.wrap, unknown.unwrap)) as vault:
        assert counts(vault.rewrap()) == (0, 0, 5)
    assert unwrapped(owner, opened_by(NEW, folder=tmp_path)) == dict(made.values())


def test_what_a_service_wraps_and_does_not_open_is_not_stored(
    dsn: str, key: Path, tmp_path: Path, owner: psycopg.Connection[Any]
) -> None:
    filled(dsn, key, 3)
    before = wrapped(owner)
    old, new = KeyFile(key), opened_by(NEW, folder=tmp_path)
    by_another = KeyService(new.wrap, old.unwrap)
    of_another = KeyService(lambda _: old.wrap(bytes(32)), old.unwrap)
    for service in (by_another, of_another):
        with PostgresVault(dsn, key=service) as vault:
            assert rule_of(vault.rewrap) == "wrapping_key_fits"
    assert wrapped(owner) == before


def test_an_outage_of_a_key_service_stops_it_and_what_was_done_stays(
    dsn: str, key: Path, tmp_path: Path, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = filled(dsn, key, 5)
    both, calls = opened_by(NEW, OLD, folder=tmp_path), iter(range(3))

    def wrap(data: bytes) -> bytes:
        if next(calls, None) is None:
            raise TimeoutError
        return both.wrap(data)

    monkeypatch.setattr(postgres, "_PAGE", 2)
    with PostgresVault(dsn, key=KeyService(wrap, both.unwrap)) as vault, pytest.raises(TimeoutError):
        vault.rewrap()
    assert sum(both.is_by_first(each) for each in wrapped(owner).values()) == 2
    assert unwrapped(owner, both) == dict(made.values())


# Who may.


def test_who_rewraps_may_change_how_keys_are_wrapped_and_nothing_else(
    dsn: str, key: Path, tmp_path: Path, owner: psycopg.Connection[Any], server: EmbeddedServer
) -> None:
    made = filled(dsn, key, 3)
    kid = next(iter(wrapped(owner)))
    keys(tmp_path, NEW, OLD)
    with psycopg.connect(server.dsn(), autocommit=True) as root:
        root.execute("create role vault_rewrapper login")
        try:
            owner.execute("grant usage on schema aximo_vault to vault_rewrapper")
            owner.execute("grant select on aximo_vault.version, aximo_vault.subjects to vault_rewrapper")
            with PostgresVault(server.dsn("vault_rewrapper", NAME), key=key) as vault:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    vault.rewrap()
                owner.execute("grant update (wrapped) on aximo_vault.subjects to vault_rewrapper")
                assert counts(vault.rewrap()) == (3, 0, 0)
            assert unwrapped(owner, opened_by(NEW, folder=tmp_path)) == dict(made.values())
            with psycopg.connect(server.dsn("vault_rewrapper", NAME), autocommit=True) as rewrapper:
                for statement in (
                    "update aximo_vault.subjects set kid = gen_random_uuid()",
                    "update aximo_vault.subjects set kid = null, wrapped = null, erased_at = now()",
                    "delete from aximo_vault.subjects",
                    "select from aximo_vault.tombstones",
                    "insert into aximo_vault.tombstones (kid, customer_id, reason) values (gen_random_uuid(), 'c', 'r')",
                ):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        rewrapper.execute(statement)
                with pytest.raises(psycopg.errors.CheckViolation):
                    rewrapper.execute("update aximo_vault.subjects set wrapped = null")
                # No constraint can tell a key that is wrapped anew from what is none: docs/dba.md says so.
                rewrapper.execute("update aximo_vault.subjects set wrapped = '\\x00' where kid = %s", [kid])
        finally:
            with psycopg.connect(server.dsn("postgres", NAME), autocommit=True) as here:
                here.execute(sql.SQL("drop owned by {}").format(sql.Identifier("vault_rewrapper")))
            root.execute("drop role vault_rewrapper")
    assert DBA in dsn
