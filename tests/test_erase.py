"""A person asks to be forgotten: what an erasure makes unreadable, what holds after it, and where the text never was."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from aximo_db import Erased, EventStore, PostgresVault, Sealed, VaultError
from aximo_db.client.errors import MalformedEventError
from aximo_db.dba.doctor import examine
from aximo_db.dba.migrate import migrate as migrate_ledger
from aximo_db.local.embedded import EmbeddedServer
from aximo_db.vault import erasing
from tests.conftest import BINARIES, DBA, SETTINGS, VERSIONS, Ledger, _cloned, make_database
from tests.events import BASE, event
from tests.test_cli import run
from tests.vault_support import key_file, vault_database

SCOPE = {name: BASE[name] for name in ("deployment_id", "skill_id", "skill_version")}
SERVICE, OPERATOR = "erase_service", "erase_operator"


@dataclass(frozen=True)
class Site:
    """A ledger and, beside it, a vault."""

    ledger: Ledger
    vault_dsn: str
    key: Path

    def store(self, customer: str, **options: Any) -> EventStore:
        return EventStore(self.ledger.dsn(SERVICE), customer_id=customer, **options)

    def vault(self, **options: Any) -> PostgresVault:
        return PostgresVault(self.vault_dsn, key=self.key, cache_for=0, **options)

    def erase(self, *arguments: str, code: int = 0) -> Any:
        return run("erase", *arguments, "--db", self.ledger.dsn(OPERATOR), "--vault", self.vault_dsn, code=code)


@pytest.fixture(scope="module", params=VERSIONS)
def site(
    request: pytest.FixtureRequest,
    servers: Callable[[str], EmbeddedServer],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    server = servers(request.param)
    for ledger in _cloned(server, "fresh", "erase_test"):
        ledger.login(SERVICE, "aximo_writer", customers=("*",))
        ledger.login(OPERATOR, "aximo_operator", customers=("*",))
        with vault_database(server, "erase_vault") as dsn:
            yield Site(ledger, dsn, key_file(tmp_path_factory.mktemp("key")))


@pytest.fixture
def customer() -> str:
    return f"customer-{uuid4()}"


def sealed_events(site: Site, customer: str) -> None:
    """Two events with values of Anna's, one with a value of Bo's, one with both, one with none."""
    with site.vault() as vault, site.store(customer, vault=vault) as store:
        anna, bo = Sealed("anna", "Anna A."), Sealed("bo", "Bo B.")
        for payload in (
            {"name": anna},
            {"people": [{"name": bo}, {"deep": {"name": anna}}]},
            {"name": bo},
            {"name": anna, "again": anna},
            {"name": "open"},
        ):
            store.emit(event("sla_breached", None, payload=payload))


# The command.


def test_an_erasure_says_what_it_makes_unreadable_and_a_dry_run_does_nothing(site: Site, customer: str) -> None:
    sealed_events(site, customer)
    arguments = ("-c", customer, "-s", "anna", "-r", "she asked", "--json")
    dry = json.loads(site.erase(*arguments, "--dry-run").stdout)
    assert (dry["dry_run"], dry["events"], dry["numbers"], dry["unnumbered"]) == (True, 3, [1, 2, 4], 0)
    assert dry["places"] == {"/again": 1, "/name": 2, "/people/1/deep/name": 1}
    assert (dry["erasure_id"], len(dry["key_ids"])) == (None, 1)
    with site.vault() as vault, site.store(customer, vault=vault) as store:
        assert [found.payload["name"] for found in store.iter_events() if "again" in found.payload] == ["Anna A."]
        done = json.loads(site.erase(*arguments).stdout)
        assert {**done, "dry_run": True, "erasure_id": None, "log_size": None} == dry
        assert (done["dry_run"], done["already_erased"], done["log_size"]) == (False, False, 5)
        kid = UUID(done["key_ids"][0])
        assert [entry.payload for entry in store.read_log()] == [
            {"name": Erased(kid)},
            {"people": [{"name": "Bo B."}, {"deep": {"name": Erased(kid)}}]},
            {"name": "Bo B."},
            {"name": Erased(kid), "again": Erased(kid)},
            {"name": "open"},
        ]
    with site.ledger.as_customer(customer) as reader:
        query = "select customer_id, erasure_id::text, key_ids, reason, log_size, recorded_by from aximo.erasures"
        assert reader.execute(query).fetchall() == [(customer, done["erasure_id"], [kid], "she asked", 5, OPERATOR)]
    # Again: there is nothing left, and that is no error. Nor is a dry run of it.
    again = json.loads(site.erase(*arguments).stdout)
    assert (again["already_erased"], again["key_ids"], again["erasure_id"]) == (True, [], None)
    assert "before" in site.erase("-c", customer, "-s", "anna", "-r", "she asked").stdout


def test_the_report_for_people_ends_with_what_is_not_reached(site: Site, customer: str) -> None:
    sealed_events(site, customer)
    said = site.erase("-c", customer, "-s", "anna", "-r", "she asked", "--dry-run").stdout
    assert "would become unreadable, number 1–2, 4" in said
    said = site.erase("-c", customer, "-s", "anna", "-r", "she asked").stdout
    assert "3 events became unreadable, number 1–2, 4." in said
    last = said.splitlines()[-1]
    assert last.startswith("Not reached: copies")
    for part in ("BI", "backups of the vault", "60 seconds", "never sealed"):
        assert part in last
    assert "anna" not in said
    assert "Anna" not in said


def test_a_subject_that_has_no_key_is_told_and_is_not_erased(site: Site, customer: str) -> None:
    done = site.erase("-c", customer, "-s", "nobody", "-r", "asked", code=1)
    assert "has no key" in done.stdout
    with site.vault() as vault:
        assert not vault.is_erased(customer, "nobody")
    refused = site.erase("-c", "never heard of\n", "-s", "anna", "-r", "asked", code=1)
    assert "has no key" in refused.stdout


def test_an_erasure_without_a_reason_records_and_destroys_nothing(site: Site, customer: str) -> None:
    sealed_events(site, customer)
    refused = site.erase("-c", customer, "-s", "anna", "-r", " ", code=1)
    assert "ZXARG" in refused.stderr
    with site.vault() as vault:
        assert len(vault.kids(customer, "anna")) == 1
    with site.ledger.as_customer(customer) as reader:
        assert reader.execute("select from aximo.erasures").fetchall() == []


def test_a_login_that_may_not_record_destroys_nothing(site: Site, customer: str) -> None:
    sealed_events(site, customer)
    arguments = ("erase", "-c", customer, "-s", "anna", "-r", "asked", "--vault", site.vault_dsn)
    refused = run(*arguments, "--db", site.ledger.dsn(SERVICE), code=1)
    assert "aximo_operator" in refused.stderr
    stranger = site.ledger.login(f"stranger_{uuid4().hex[:8]}", "aximo_operator", customers=("another",))
    refused = run(*arguments, "--db", site.ledger.dsn(stranger), code=1)
    assert "ZXCUS" in refused.stderr
    with site.vault() as vault:
        assert len(vault.kids(customer, "anna")) == 1


def test_a_crash_after_the_record_leaves_what_is_to_be_done_and_running_it_again_does_it(
    site: Site, customer: str
) -> None:
    sealed_events(site, customer)

    class CrashError(Exception):
        pass

    def crash() -> None:
        raise CrashError

    connection = site.ledger.connect(OPERATOR)
    with site.vault() as vault:
        with pytest.raises(CrashError):
            erasing.erase(connection, vault, customer, "anna", "she asked", before_destroying=crash)
        (kid,) = vault.kids(customer, "anna")  # recorded, and not destroyed
        with site.ledger.as_customer(customer) as reader:
            ((recorded,),) = reader.execute("select erasure_id from aximo.erasures").fetchall()
            done = erasing.erase(connection, vault, customer, "anna", "she asked")
            assert (done.erasure_id, done.key_ids, done.events) == (recorded, [kid], 3)
            assert len(reader.execute("select from aximo.erasures").fetchall()) == 1
        assert vault.open(kid) == Erased(kid)


def test_what_has_no_number_yet_is_counted(site: Site, customer: str) -> None:
    sealed_events(site, customer)
    connection = site.ledger.connect(OPERATOR)
    with site.vault() as vault:
        done = erasing.erase(connection, vault, customer, "anna", "asked", dry_run=True)
    assert (done.events, done.numbers, done.unnumbered) == (3, [], 3)


def test_only_that_customers_and_that_subjects_values_are_erased(site: Site, customer: str) -> None:
    other = f"{customer}-other"
    for each in (customer, other):
        sealed_events(site, each)
    site.erase("-c", customer, "-s", "anna", "-r", "asked")
    with site.vault() as vault, site.store(customer, vault=vault) as store:
        assert any(found.payload.get("name") == "Bo B." for found in store.iter_events())
        names = [found.payload.get("name") for found in store.iter_events(customer_id=other)]
        assert sorted(filter(None, names)) == ["Anna A.", "Anna A.", "Bo B.", "open"]
        with pytest.raises(VaultError) as refusal:
            store.emit(event("sla_breached", None, payload={"name": Sealed("anna", "back")}))
        assert refusal.value.rule == "subject_not_erased"
    run("vault", "readmit", "-c", customer, "-s", "anna", "--vault", site.vault_dsn)
    with site.vault() as vault, site.store(customer, vault=vault) as store:
        new = store.emit(event("sla_breached", None, payload={"name": Sealed("anna", "back")}))
        opened = {found.event_id: found.payload["name"] for found in store.iter_events() if "name" in found.payload}
        assert opened[new.event_id] == "back"
        assert sum(isinstance(name, Erased) for name in opened.values()) == 2


# The vault's commands.


def test_a_restored_old_vault_opens_nothing_after_replay(site: Site, customer: str) -> None:
    sealed_events(site, customer)
    server = site.ledger.server
    backup = subprocess.run(
        [server.bin_dir / "pg_dump", "--no-owner", site.vault_dsn], capture_output=True, check=True
    ).stdout
    site.erase("-c", customer, "-s", "anna", "-r", "she asked")
    with vault_database(server, "erase_restored", migrated=False) as dsn:
        psql = [server.bin_dir / "psql", "-q", "-v", "ON_ERROR_STOP=1", dsn]
        subprocess.run(psql, input=backup, stdout=subprocess.DEVNULL, check=True)
        with PostgresVault(dsn, key=site.key, cache_for=0) as vault, site.store(customer, vault=vault) as store:
            names = [entry.payload.get("name") for entry in store.read_log()]
            assert "Anna A." in names  # the danger
            arguments = ("vault", "replay", "--vault", dsn, "--db", site.ledger.dsn(OPERATOR))
            done = json.loads(run(*arguments, "--json").stdout)
            (kid,) = {
                entry.payload["name"].kid
                for entry in site_log(site, customer)
                if isinstance(entry.payload.get("name"), Erased)
            }
            assert str(kid) in done["destroyed"]
            entries = store.read_log()
            assert not [entry for entry in entries if "Anna" in repr(entry)]
            assert [entry for entry in entries if "Bo B." in repr(entry)]
            with pytest.raises(VaultError) as refusal:
                vault.key_for(customer, "anna")
            assert refusal.value.rule == "subject_not_erased"
            assert "0 of them were not in this vault" in run(*arguments).stdout


def test_who_may_destroy_no_key_records_nothing(site: Site, customer: str) -> None:
    sealed_events(site, customer)
    login = site.ledger.login(f"looker_{uuid4().hex[:8]}", "aximo_operator", customers=("*",))
    with psycopg.connect(site.vault_dsn, autocommit=True) as owner:
        owner.execute(f"grant usage on schema aximo_vault to {login}")
        owner.execute(f"grant select on all tables in schema aximo_vault to {login}")
    own = site.ledger.server.dsn(login, site.vault_dsn.split("@/")[1].split("?")[0])
    arguments = ("erase", "-c", customer, "-s", "anna", "-r", "asked", "--db", site.ledger.dsn(login), "--vault", own)
    told = run(*arguments, code=1).stderr
    assert "vault_login_erases" in told
    assert "insert on aximo_vault.tombstones" in told
    run(*arguments, "--dry-run")
    with site.ledger.as_customer(customer) as reader:
        assert reader.execute("select from aximo.erasures").fetchall() == []
    with site.vault() as vault:
        assert len(vault.kids(customer, "anna")) == 1
    with psycopg.connect(site.vault_dsn, autocommit=True) as owner:
        owner.execute(
            f"revoke all on all tables in schema aximo_vault from {login}; revoke all on schema aximo_vault from {login}"
        )


def test_a_customers_record_destroys_no_other_customers_key(site: Site, customer: str) -> None:
    sealed_events(site, customer)
    with site.vault() as vault:
        (kid,) = vault.kids(customer, "anna")
    stranger = site.ledger.login(f"stranger_{uuid4().hex[:8]}", "aximo_operator", customers=(f"other-{customer}",))
    with site.store(f"other-{customer}") as store:
        store.emit(event("sla_breached", None))
    with psycopg.connect(site.ledger.dsn(stranger), autocommit=True) as connection:
        connection.execute("select aximo.record_erasure(array[%s], 'mine')", (kid,))
    arguments = ("vault", "replay", "--vault", site.vault_dsn)
    # Who has one customer would leave the others' erasures out.
    assert "numbers_for_all" in run(*arguments, "--db", site.ledger.dsn(stranger), code=1).stderr
    told = run(*arguments, "--db", site.ledger.dsn(OPERATOR), code=1).stdout
    assert f"Another customer's key, which stays: {kid}" in told
    told = json.loads(run(*arguments, "--db", site.ledger.dsn(OPERATOR), "--json", code=1).stdout)
    assert (told["of_others"], str(kid) in told["destroyed"]) == ([str(kid)], False)
    with site.vault() as vault:
        assert vault.open(kid) != Erased(kid)
    site.erase("-c", customer, "-s", "anna", "-r", "she asked")
    run(*arguments, "--db", site.ledger.dsn(OPERATOR))


def site_log(site: Site, customer: str) -> list[Any]:
    with site.vault() as vault, site.store(customer, vault=vault) as store:
        return store.read_log()


def test_a_vault_older_than_a_key_never_gets_that_key(site: Site, customer: str) -> None:
    sealed_events(site, customer)
    site.erase("-c", customer, "-s", "anna", "-r", "she asked")
    with vault_database(site.ledger.server, "erase_empty") as dsn:
        run("vault", "replay", "--vault", dsn, "--db", site.ledger.dsn(OPERATOR))
        with psycopg.connect(dsn) as connection:
            (kid,) = (
                connection.execute(
                    "select kid from aximo_vault.tombstones where customer_id = %s", [customer]
                ).fetchone()
                or ()
            )
            with pytest.raises(psycopg.Error) as refusal:
                connection.execute(
                    "insert into aximo_vault.subjects (customer_id, subject, kid, wrapped) values (%s, sha256(''), %s, '\\x00')",
                    [customer, kid],
                )
            assert refusal.value.diag.constraint_name == "kid_not_erased"


def test_a_vault_in_the_ledgers_own_database_is_warned_of(servers: Callable[[str], EmbeddedServer]) -> None:
    for ledger in _cloned(servers(next(iter(BINARIES))), "fresh", "erase_shared"):
        dsn = ledger.dsn(DBA)
        assert not [finding for finding in examine(dsn) if "vault" in finding.message]
        done = run("vault", "migrate", "--vault", dsn)
        assert "own database" in done.stderr
        assert json.loads(run("vault", "migrate", "--vault", dsn, "--json").stdout) == {
            "ran": [],
            "shares_with_ledger": True,
        }
        (finding,) = [finding for finding in examine(dsn) if "vault" in finding.message]
        assert finding.level == "warning"
        assert not [finding for finding in examine(dsn) if finding.level == "error"]


def test_an_import_seals_at_the_command_line(site: Site, customer: str, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    line = {**BASE, "event_type": "sla_breached", "payload": {"email": "anna@example.com", "person": "anna"}}
    lines.write_text(json.dumps(line) + "\n")
    arguments = ("import", lines, "-c", customer, "--db", site.ledger.dsn(SERVICE), "--json")
    sealing = ("--seal", "email=person", "--vault", site.vault_dsn)
    environment = {"AXIMO_VAULT_KEY_FILE": str(site.key)}
    assert json.loads(run(*arguments, *sealing, **environment).stdout)["inserted"] == 1
    assert json.loads(run(*arguments, *sealing, **environment).stdout)["duplicates"] == 1
    with site.vault() as vault, site.store(customer, vault=vault) as store, site.store(customer) as plain:
        assert [found.payload["email"] for found in store.iter_events()] == ["anna@example.com"]
        assert "example.com" not in repr(list(plain.iter_events()))
    run(*arguments, "--seal", "email", code=2)
    run(*arguments, "--vault", site.vault_dsn, code=2)


# The ledger's record.


def test_the_record_names_keys_and_a_reason(site: Site, customer: str) -> None:
    with site.ledger.as_customer(customer, "aximo_operator") as operator:
        kids = [uuid4(), uuid4()]
        operator.execute("select aximo.record_erasure(%s, 'two at once')", [kids])
        assert operator.execute("select key_ids, log_size from aximo.erasures").fetchall() == [(kids, 0)]
        for given, reason, rule in (
            ([], "x", "key_ids_are_named"),
            (None, "x", "key_ids_are_named"),
            ([None], "x", "key_ids_are_named"),
            ([[uuid4()], [uuid4()]], "x", "key_ids_are_named"),
            ([uuid4() for _ in range(1001)], "x", "key_ids_are_named"),
            (kids, None, "reason_is_told"),
            (kids, "\t\n", "reason_is_told"),
            (kids, "x" * 1001, "reason_is_told"),
        ):
            with pytest.raises(psycopg.Error) as refusal:
                operator.execute("select aximo.record_erasure(%s::uuid[], %s)", [given, reason])
            assert (refusal.value.sqlstate, refusal.value.diag.constraint_name) == ("ZXARG", rule)
        assert len(operator.execute("select from aximo.erasures").fetchall()) == 1
    unnamed = site.ledger.connect(OPERATOR)
    with pytest.raises(psycopg.Error) as refusal:
        unnamed.execute("select aximo.record_erasure(%s, 'x')", [kids])
    assert refusal.value.sqlstate == "ZXCUS"


# Who really decided.


def test_an_approval_says_who_really_decided_and_that_can_be_sealed(site: Site, customer: str) -> None:
    with site.vault() as vault, site.store(customer, vault=vault) as store, site.store(customer) as plain:
        with store.execution(**SCOPE) as execution:
            for approval_id, person in (
                ("a", Sealed("anna", "Anna A.")),
                ("b", "Bo B."),
                ("c", None),
                ("d", "{no json"),
            ):
                execution.approval_requested(approval_id, {"person": "who asked"})
                execution.approval_granted(approval_id, {} if person is None else {"person": person})
            execution.approval_requested("e")
            execution.emit("approval_timeout", {"approval_id": "e", "person": {"id": 7}})
        execution_id = execution.execution_id
        expected = ["Anna A.", "Bo B.", None, "{no json", '{"id": 7}']
        with site.ledger.as_customer(customer) as reader:
            for source in ("aximo.approvals", "aximo.approvals_as_of(now() + interval '1 hour')"):
                query = f"select person from {source} where execution_id = %s order by approval_id"
                persons = [person for (person,) in reader.execute(query, [execution_id])]
                assert persons[1:] == expected[1:]
                assert set(json.loads(persons[0])) == {"$sealed", "kid", "c"}
            columns = reader.execute("select * from aximo.approvals limit 0").description
            assert columns is not None
            assert columns[-1].name == "person"
        # An approval that is open has none.
        store.emit(event("execution_triggered", "open"))
        store.emit(event("execution_processing", "open"))
        store.emit(event("approval_requested", "open", payload={"person": "who asked"}))
        assert [each.person for each in store.approvals(execution_id="open")] == [None]
        found = {each.approval_id: each.person for each in store.approvals(execution_id=execution_id)}
        assert [found[name] for name in "abcde"] == expected
        assert json.loads(str(plain.approvals(execution_id=execution_id)[0].person))["$sealed"] == "v1"
        site.erase("-c", customer, "-s", "anna", "-r", "asked")
        (first, *_) = store.approvals(execution_id=execution_id)
        assert isinstance(first.person, Erased)
        # It says who answered, not which of two answers was moved: another event's does not open.
        with pytest.raises(MalformedEventError):
            store.emit(event("approval_granted", "open", payload={"approval_id": Sealed("anna", "x")}))


# The whole way, on a server that logs everything.

SENTINEL = "sentinel-anna@example.com"
#: The forms in which a text may lie somewhere, besides itself.
FORMS = (
    SENTINEL.encode(),
    SENTINEL.encode().hex().encode(),
    base64.b64encode(SENTINEL.encode()),
    SENTINEL.encode("utf-16-le"),
)


def holds(data: bytes) -> bool:
    return any(form in data for form in FORMS)


def published(*whose: str) -> dict[str, Any]:
    return {
        name: value for name, value in json.loads(run("metrics", *whose, "--json").stdout).items() if name != "read_at"
    }


@pytest.fixture(scope="module", params=VERSIONS)
def talkative(request: pytest.FixtureRequest, server_root: Path) -> Iterator[EmbeddedServer]:
    """A server that logs every statement with its parameters, and keeps its WAL."""
    if request.param not in BINARIES:
        pytest.skip(f"no PostgreSQL {request.param} binaries on this machine")
    settings = {
        **SETTINGS, "log_statement": "all", "log_min_messages": "info", "log_min_duration_statement": "0", "wal_keep_size": "1GB",
        "log_parameter_max_length": "-1", "log_parameter_max_length_on_error": "-1", "wal_level": "logical",
    }  # fmt: skip
    server = EmbeddedServer(
        server_root / f"talkative-{request.param}", bin_dir=BINARIES[request.param], settings=settings
    )
    server.start()
    try:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(f"create role {DBA} login createrole createdb")
        make_database(server, "ledger", None)
        migrate_ledger(server.dsn(DBA, "ledger"))
        yield server
    finally:
        server.stop("immediate")


def test_a_person_is_forgotten_and_every_proof_and_metric_stays(talkative: EmbeddedServer, tmp_path: Path) -> None:
    server, customer = talkative, "acme"
    owner, keys = server.dsn(DBA, "ledger"), server.dsn(DBA, "vault")
    make_database(server, "vault", None)
    key = key_file(tmp_path)
    run("vault", "migrate", "--vault", keys)
    whose = ("--db", owner, "-c", customer)

    # Services write.
    with PostgresVault(keys, key=key, cache_for=0) as vault:
        with EventStore(owner, customer_id=customer, vault=vault, seal={"email": "person_id"}) as store:
            with store.execution(**SCOPE, payload={"email": SENTINEL, "person_id": "p-1"}) as execution:
                with execution.action(
                    "store_lead", {"lead": {"email": SENTINEL, "person_id": "p-1"}, "priority": "high"}
                ):
                    pass
                execution.approval_requested("offer", {"note": Sealed("p-2", "for Bo")})
                execution.approval_granted(
                    "offer", {"person": Sealed("p-1", SENTINEL), "reason": Sealed("p-1", SENTINEL)}
                )
            with pytest.raises(ValueError, match="it failed"):
                with store.execution(**SCOPE):
                    raise ValueError("it failed")
            failed = event("execution_triggered", "third")
            store.emit(failed)
            store.emit(event("execution_failed", "third", payload={"error": Sealed("p-1", SENTINEL)}))
            # One is refused by the database, and says in the log what it was.
            with pytest.raises(Exception, match="ZXSEQ"):
                store.emit(event("execution_completed", "third", payload={"email": SENTINEL, "person_id": "p-1"}))
            run("refresh", "--db", owner)
            proven = str(store.trace(execution.execution_id)[0].event_id)

            # What an auditor keeps.
            run("keygen", "audit.example.com", "-o", tmp_path / "audit")
            run("checkpoint", *whose, "--key", tmp_path / "audit", "-o", tmp_path / "checkpoint")
            run("prove", proven, *whose, "-o", tmp_path / "proof")
            run("export", *whose, "-o", tmp_path / "before.jsonl")
            metrics = published(*whose)

            # A person asks to be forgotten.
            request = ("erase", *whose, "--vault", keys, "-s", "p-1", "-r", "request 4711", "--json")
            dry = json.loads(run(*request, "--dry-run").stdout)
            done = json.loads(run(*request).stdout)
            assert (dry["events"], done["events"]) == (5, 5)
            assert done["numbers"] == dry["numbers"]
            assert done["not_reached"]

            # Nothing of hers opens, and what is another's does.
            seen = repr(list(store.iter_events())) + repr(store.read_log()) + repr(store.trace(execution.execution_id))
            seen += repr(store.approvals()) + repr(store.executions())
            assert SENTINEL not in seen
            assert seen.count("for Bo") == 3
            assert isinstance(store.approvals()[0].person, Erased)

    # Proofs and metrics are what they were.
    assert (
        run("verify", *whose, "--checkpoint", tmp_path / "checkpoint", "--key", tmp_path / "audit.pub").exit_code == 0
    )
    assert run("verify-metrics", *whose).exit_code == 0
    assert published(*whose) == metrics
    run("export", *whose, "-o", tmp_path / "after.jsonl")
    assert (tmp_path / "after.jsonl").read_bytes() == (tmp_path / "before.jsonl").read_bytes()
    run(
        "verify",
        "--export",
        tmp_path / "after.jsonl",
        "--checkpoint",
        tmp_path / "checkpoint",
        "--key",
        tmp_path / "audit.pub",
    )
    (line,) = (line for line in (tmp_path / "after.jsonl").read_text().splitlines(True) if proven in line)
    (tmp_path / "line").write_text(line)
    note = ("--checkpoint", tmp_path / "checkpoint", "--key", tmp_path / "audit.pub")
    run("verify", "--proof", tmp_path / "proof", "--line", tmp_path / "line", *note)

    # The text was never where the ledger's owner could find it.
    outputs = {
        "report": ("report", *whose, "-o", tmp_path / "report.html"),
        "cloudevents": ("export", *whose, "--format", "cloudevents", "-o", tmp_path / "cloudevents"),
        "ocel": ("export", *whose, "--format", "ocel-json", "-o", tmp_path / "ocel"),
    }
    for arguments in outputs.values():
        run(*arguments)
    for file in tmp_path.iterdir():
        assert not holds(file.read_bytes()), file
    for database in ("ledger", "vault"):
        dump = subprocess.run(
            [server.bin_dir / "pg_dump", server.dsn("postgres", database)], capture_output=True, check=True
        )
        assert not holds(dump.stdout), database
        assert (b"p-1" in dump.stdout) == (
            database == "ledger"
        )  # person_id is no sealed value, and the vault has no names
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("checkpoint")
        version = connection.info.server_version
    logged = (server.data_dir / "server.log").read_bytes()
    assert b"aximo.emit_event" in logged
    assert b"$sealed" in logged  # parameters are logged
    assert not holds(logged)
    segments = [path for path in (server.data_dir / "pg_wal").iterdir() if path.is_file() and len(path.name) == 24]
    assert segments
    wal = b"".join(path.read_bytes() for path in segments)
    assert b"$sealed" in wal
    assert not holds(wal)
    waldump = server.bin_dir / "pg_waldump"
    if waldump.exists():
        told = subprocess.run(
            [waldump, "-p", server.data_dir / "pg_wal", min(path.name for path in segments)],
            capture_output=True,
            check=False,
        )
        assert told.stdout
        assert not holds(told.stdout)
    assert version >= 150000


def test_the_search_finds_a_text_that_was_not_sealed(talkative: EmbeddedServer, tmp_path: Path) -> None:
    """The same search, of an event that holds its text as it is: it is found everywhere."""
    plain, owner = "plainly-anna@example.com", talkative.dsn(DBA, "ledger")
    with EventStore(owner, customer_id="plain") as store:
        store.emit(event("sla_breached", None, payload={"email": plain}))
    run("export", "--db", owner, "-c", "plain", "-o", tmp_path / "export")
    assert plain.encode() in (tmp_path / "export").read_bytes()
    assert plain.encode() in (talkative.data_dir / "server.log").read_bytes()
    with psycopg.connect(talkative.dsn(), autocommit=True) as connection:
        connection.execute("checkpoint")
    assert plain.encode() in b"".join(
        path.read_bytes() for path in (talkative.data_dir / "pg_wal").iterdir() if path.is_file()
    )
    dump = subprocess.run(
        [talkative.bin_dir / "pg_dump", talkative.dsn("postgres", "ledger")], capture_output=True, check=True
    )
    assert plain.encode() in dump.stdout
