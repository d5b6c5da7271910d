"""Moving a customer as a login that is no superuser: the one that docs/scale.md makes, and with each of its rights missing."""

from __future__ import annotations

import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from aximo_db.client.errors import AximoError
from aximo_db.dba.doctor import examine
from aximo_db.dba.move import STEPS, MoveReport, abandon, move
from aximo_db.dba.move_node import Node, name_of
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import DBA, QUICK
from tests.fleet_support import SERVICE, FleetNode, emit_many, fill, metrics_of, problems_of, same, start
from tests.test_install import tool
from tests.test_move import _nodes, assert_same, change, killed_as, leftovers, numbered, placements

PAGE = Path(__file__).resolve().parent.parent / "docs" / "scale.md"
MOVER, PASSWORD = "aximo_mover", "for the 'mover'"
PAIRS = [("18", "18")] if QUICK else [("18", "18"), ("15", "18"), ("15", "15")]


def scripts() -> list[str]:
    """The statements of the page: of every node, of a source, of a target, and for the time between moves."""
    (part,) = re.findall(r"^### The login that moves\n(.*?)^### ", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    found = re.findall(r"^```sql\n(.*?)^```$", part, re.M | re.S)
    assert len(found) == 4
    return found


def psql(node: FleetNode, script: str) -> None:
    done = subprocess.run(
        [str(tool(node.server, "psql")), "-qX", "-v", "ON_ERROR_STOP=1", node.dsn()],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def _pair(folder: Path, versions: tuple[str, str]) -> Iterator[list[FleetNode]]:
    servers: list[EmbeddedServer] = []
    try:
        for name, version in zip(("from", "to"), versions, strict=True):
            servers.append(start(folder / name, version, free_port()))
        yield from _nodes(servers)
    finally:
        for server in servers:
            server.stop("immediate")


def made(nodes: list[FleetNode]) -> list[FleetNode]:
    """The login, by the very lines of the page."""
    everywhere, source, target, _ = scripts()
    for each in nodes:
        psql(each, everywhere + source + (target if version(each) >= 160000 else ""))
        with each.connect() as root:
            root.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(MOVER), PASSWORD))
    return nodes


@pytest.fixture(params=PAIRS, ids=" to ".join)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[FleetNode]]:
    """Two nodes on every pair of versions, with the login that moves."""
    for nodes in _pair(tmp_path, request.param):
        yield made(nodes)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[FleetNode]]:
    """Two nodes on PostgreSQL 18, with the login that moves."""
    for nodes in _pair(tmp_path, ("18", "18")):
        yield made(nodes)


def version(node: FleetNode) -> int:
    return node.connect().info.server_version


def dsn(node: FleetNode, login: str = MOVER) -> str:
    return node.server.dsn(login, node.name, password=PASSWORD)


def target_dsn(node: FleetNode) -> str:
    """Of a target: as the login, where it can subscribe."""
    return dsn(node) if version(node) >= 160000 else node.dsn()


def go(source: FleetNode, target: FleetNode, customer: str = "c1", **options: Any) -> MoveReport:
    return move(customer, dsn(source), target_dsn(target), **options)


def acls(*nodes: FleetNode) -> list[Any]:
    """The rights of all relations, by node, and every right that the login was given by name."""
    found = []
    for each in nodes:
        with each.connect() as root:
            query = (
                "select c.oid::regclass::text, x.privilege_type from pg_class as c cross join lateral aclexplode(c.relacl) as x"
                " where x.grantee = 'aximo_mover'::regrole order by 1, 2"
            )
            found += root.execute(query).fetchall()
    return found


def rules(error: AximoError) -> list[str]:
    """The rule of every reason."""
    return re.findall(r"^(\w+): ", str(error.detail), re.M) if "reasons" in error.message else [str(error.rule)]


def refused(source: FleetNode, target: FleetNode, **options: Any) -> AximoError:
    with pytest.raises(AximoError) as found:
        move("c1", options.pop("where", dsn(source)), target_dsn(target), **options)
    assert (placements(source), placements(target), leftovers(source, target), acls(source, target)) == ({}, {}, [], [])
    return found.value


def run(node: FleetNode, statement: str) -> None:
    with node.connect() as root:
        root.execute(statement)


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.heavy), 4])
def test_there_and_back_with_a_crash_before_a_step(pair: list[FleetNode], every: int) -> None:
    source, target = pair
    fill(source, lives=10)
    customer = "c1"
    # Every step, as a superuser makes it, is tried in test_move.py.
    for round_, step in enumerate(STEPS[::every]):
        change(source, round_)
        was, metrics = same(source, customer), metrics_of(source, customer)
        assert killed_as(customer, dsn(source), target_dsn(target), step.name), step.name
        report = go(source, target)
        assert report.goes_on == (step.name != "announce")
        assert_same(was, same(target, customer))
        assert_same(metrics, metrics_of(target, customer))
        assert problems_of(target, customer) == [], step.name
        assert (placements(source), placements(target)) == ({customer: ("gone", target.node)}, {})
        assert leftovers(source, target) == acls(source, target) == []
        source, target = target, source


def test_writers_are_waited_for_though_they_are_others(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=5)
    slow = source.connect(SERVICE, autocommit=False, application_name="slow batch")
    late: list[Any] = []

    def begin(step: str, detail: str) -> None:
        if step == "fence":
            late.extend(emit_many(slow, 3))
            threading.Timer(0.5, slow.commit).start()

    report = go(source, target, progress=begin)
    assert report.pause_ms is not None
    assert report.pause_ms >= 400
    numbered(target)
    with target.connect(SERVICE) as service, service.transaction():
        service.execute("select set_config('aximo.customer_id', 'c1', true)")
        found = service.execute("select count(*) from aximo.events where event_id = any(%s)", (late,)).fetchone()
    assert found == (3,)


def test_the_rights_are_there_while_a_subscription_is_and_doctor_says_so(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=5)
    fill(source, "c2", seed=2, lives=5)
    assert killed_as("c1", dsn(source), dsn(target), "catch up")
    given = acls(target)
    assert ("aximo_private.events", "INSERT") in given
    assert ("aximo_private.events", "UPDATE") not in given
    assert ("helix.runs", "DELETE") in given
    # Another customer comes and is there: the first one's worker still writes.
    go(source, target, "c2")
    assert acls(target) == given
    findings = examine(target.dsn(DBA))
    told = [each.message for each in findings if each.check == "grants"]
    assert len([each for each in told if "Until the move" in each]) == len(given)
    assert [each.message for each in findings if each.check == "drift" and each.level == "error"] == []
    # A right that no move needs is drift, also meanwhile.
    run(target, "grant truncate on aximo_private.events to aximo_mover")
    assert any(each.level == "error" and "truncate" in each.message for each in examine(target.dsn(DBA)))
    run(target, "revoke truncate on aximo_private.events from aximo_mover")
    abandon("c1", dsn(source), dsn(target))
    assert acls(source, target) == leftovers(source, target) == []
    go(source, target)
    assert problems_of(target, "c1") == []
    assert acls(source, target) == []


def test_who_gives_up_what_another_login_began_takes_its_rights_back(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=5)
    assert killed_as("c1", dsn(source), dsn(target), "catch up")
    assert acls(target) != []
    abandon("c1", source.dsn(), target.dsn())
    assert acls(source, target) == leftovers(source, target) == []
    assert [each.message for each in examine(target.dsn(DBA)) if each.level == "error"] == []
    # Finished by another one, too.
    assert killed_as("c1", dsn(source), dsn(target), "catch up")
    move("c1", source.dsn(), target.dsn())
    assert acls(source, target) == leftovers(source, target) == []


def test_a_position_that_is_not_told_is_not_taken_for_the_last(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=5)
    assert killed_as("c1", dsn(source), dsn(target), "check")
    node = Node.reach("source", dsn(source), "c1")
    try:
        facts = node.ask("fleet")[0]
        where = {"name": name_of(facts.ledger, "c1"), "position": node.one("position")}
        assert node.one("behind", **where) is not None
        run(source, "revoke pg_read_all_stats from aximo_mover")
        assert node.one("behind", **where) is None
    finally:
        node.close()


def test_what_another_login_began_is_its_own(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=5)
    assert killed_as("c1", source.dsn(), target.dsn(), "catch up")
    for call in (go, lambda *both: abandon("c1", *map(dsn, both))):
        with pytest.raises(AximoError) as found:
            call(source, target)
        assert found.value.rule == "login_began_it"
        for each in (
            "_kept of login postgres, on the source",
            "subscription aximo_move_",
            "of login postgres, on the target",
        ):
            assert each in str(found.value.detail)
    move("c1", source.dsn(), target.dsn())
    assert leftovers(source, target) == acls(source, target) == []


#: What takes a right away, on the source and on the target; the rule that says so, there.
MISSING = {
    "alter role aximo_mover noreplication": ("login_replicates", None),
    "alter role aximo_mover nobypassrls": ("login_passes_row_security", "login_passes_row_security"),
    "revoke aximo_owner from aximo_mover": ("login_acts_as_owner", "login_acts_as_owner"),
    "revoke aximo_sequencer from aximo_mover": ("login_acts_as_owner", "login_acts_as_owner"),
    "revoke pg_read_all_stats from aximo_mover": ("login_sees_sessions", "login_sees_sessions"),
    "revoke pg_create_subscription from aximo_mover": (None, "login_subscribes"),
    "select aximo.revoke_customer('aximo_mover', '*')": ("login_has_all_customers", "login_has_all_customers"),
    "revoke create on database {} from aximo_mover": ("login_creates", "login_creates"),
}


def statement_of(error: AximoError) -> str:
    """What the hint of the one reason says is to be run."""
    return str(error.hint).split(": ", 1)[1]


def statements_of(error: AximoError) -> dict[str, list[str]]:
    """What the hints say is to be run, on the source and on the target."""
    found: dict[str, list[str]] = {"source": [], "target": []}
    if "reasons" in error.message:
        for role, given in re.findall(r"on the (source|target).*\n  → [^:]+: (.*)", str(error.detail)):
            found[role].append(given)
    else:
        found["source" if "on the source" in str(error.detail) else "target"].append(statement_of(error))
    return found


@pytest.mark.parametrize("versions", [pytest.param(each, id=" to ".join(each)) for each in PAIRS[:2]])
def test_each_right_that_is_missing_is_told_with_what_gives_it(tmp_path: Path, versions: tuple[str, str]) -> None:
    for nodes in _pair(tmp_path, versions):
        source, target = made(nodes)
        fill(source, lives=5)
        for statement, expected in MISSING.items():
            for node, rule in zip(nodes, expected, strict=True):
                # What is not needed there is taken away and stays away.
                if rule is not None or version(node) >= 160000:
                    run(node, statement.format(node.name))
                if rule is not None:
                    error = refused(source, target)
                    assert rules(error) == [rule], (statement, error)
                    assert f"login aximo_mover on the {'source' if node is source else 'target'}" in str(error.detail)
                    run(node, statement_of(error))
        # A member that does not use what its role has.
        run(source, "revoke aximo_sequencer from aximo_mover")
        run(source, "alter role aximo_mover noinherit")
        run(source, "grant aximo_sequencer to aximo_mover")
        error = refused(source, target)
        assert set(rules(error)) <= {"login_acts_as_owner", "login_sees_sessions"}
        for given in statements_of(error)["source"]:
            run(source, given)
        # All at once.
        for statement, (there, here) in MISSING.items():
            for node, rule in zip(nodes, (there, here), strict=True):
                if rule is not None:
                    run(node, statement.format(node.name))
        error = refused(source, target)
        assert set(rules(error)) == {each for both in MISSING.values() for each in both if each} - {
            "login_has_all_customers"
        }
        assert str(error.detail).count("aximo_mover on the source") == 5
        assert str(error.detail).count("aximo_mover on the target") == 5
        with pytest.raises(AximoError) as found:
            abandon("c1", dsn(source), dsn(target))
        assert set(rules(found.value)) == set(rules(error))
        # Each statement, one after the other, gives all of it but the customers, which then come to light.
        for _ in range(2):
            for role, given in statements_of(error).items():
                for each in given:
                    run(source if role == "source" else target, each)
            if rules(error) != ["login_has_all_customers"] * 2:
                error = refused(source, target)
                assert rules(error) == ["login_has_all_customers"] * 2
        go(source, target)
        assert problems_of(target, "c1") == []


def test_before_16_only_a_superuser_goes_there(tmp_path: Path) -> None:
    for nodes in _pair(tmp_path, ("15", "15")):
        source, target = made(nodes)
        fill(source, lives=5)
        with pytest.raises(AximoError) as found:
            move("c1", dsn(source), dsn(target))
        assert rules(found.value) == ["login_subscribes"]
        assert "before PostgreSQL 16 only a superuser" in str(found.value.detail)
        assert (placements(source), placements(target), leftovers(source, target)) == ({}, {}, [])


def test_without_a_password_nothing_is_begun(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=5)
    # By the socket nobody is asked for one.
    assert rules(refused(source, target, where=source.dsn(MOVER))) == ["address_has_password"]
    assert rules(refused(source, target, source_for_server=source.dsn(MOVER))) == ["address_has_password"]
    error = refused(source, target, where=source.dsn(MOVER) + "&password=unasked")
    assert rules(error) == ["server_reaches_source"]
    assert "password is required" in str(error.detail).lower()
    error = refused(source, target, source_for_server=dsn(source).replace("mover%27@", "other%27@"))
    assert rules(error) == ["server_reaches_source"]
    assert "password authentication failed" in str(error.detail)
    # A superuser's subscription needs none.
    move("c1", source.dsn(MOVER), target.dsn())
    with pytest.raises(AximoError) as found:
        move("c1", target.dsn(MOVER), source.dsn(MOVER))
    assert rules(found.value) == ["address_has_password"]
    move("c1", target.dsn(MOVER), dsn(source), source_for_server=dsn(target))
    assert leftovers(source, target) == acls(source, target) == []


def test_the_servers_login_may_be_another_one(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=5)
    run(source, f"create role sender login password '{PASSWORD.replace(chr(39), chr(39) * 2)}'")
    way = dsn(source, "sender")
    error = refused(source, target, source_for_server=way)
    assert rules(error) == ["login_replicates", "login_passes_row_security", "login_acts_as_owner"]
    for given in statements_of(error)["source"]:
        run(source, given)
    numbered(source)
    was = same(source, "c1")
    go(source, target, source_for_server=way)
    assert_same(was, same(target, "c1"))
    assert leftovers(source, target) == acls(source, target) == []


def test_between_moves_it_can_do_nothing(nodes: list[FleetNode]) -> None:
    source, target = nodes
    fill(source, lives=5)
    for each in nodes:
        psql(each, scripts()[3])
    with pytest.raises(AximoError, match="not permitted to log in"):
        go(source, target)
    (again,) = re.findall(r"before the next move `(.*?)`", PAGE.read_text(encoding="utf-8"))
    for each in nodes:
        run(each, again)
    assert rules(refused(source, target)) == ["login_replicates"]
    run(source, f"{again} replication")
    go(source, target)


def test_it_changes_nothing_of_the_cluster(nodes: list[FleetNode]) -> None:
    node = nodes[0]
    with psycopg.connect(dsn(node), autocommit=True) as mover:
        for statement in (
            "create role another", "create database another", "alter system set work_mem = '1MB'", "copy (select) to program 'true'",
            "select pg_read_file('postgresql.conf')", "select * from pg_authid", "set session_replication_role = replica",
            "insert into aximo_private.log_state default values", "update aximo_private.executions set steps = 0",
            "insert into aximo_private.events (event_id) values (gen_random_uuid())",
        ):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                mover.execute(statement)
