"""A published log holds for whoever reads it, with whatever tools, and whatever happens to its publisher."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from aximo_db import tlog
from aximo_db.audit import check_published, check_stamp
from aximo_db.audit.merkle import root_of
from aximo_db.audit.tiles import bundle_path, entries_of, folder_name, tile_at, tile_path, tiles_of
from tests.conftest import Ledger
from tests.log_support import advance_all, emit_many, emit_one
from tests.test_cli import run, start
from tests.witness import SmallWitness, StampAuthority, served

CUSTOMER = "kühl & nord"
GO_READER = Path(__file__).parent / "go" / "reader.go"


@dataclass
class Site:
    """A ledger, a folder to publish in, and a key."""

    ledger: Ledger
    dsn: str
    writer: psycopg.Connection[Any]
    folder: Path
    key: Path

    def emit(self, count: int, customer: str = CUSTOMER) -> None:
        emit_many(self.writer, count, customer)
        advance_all(self.writer)

    def publish(self, *more: str | Path, code: int = 0) -> Any:
        given = ("publish", self.folder, "--db", self.dsn, "-c", CUSTOMER, "--log", "events", "--key", self.key)
        return run(*given, *more, code=code)

    @property
    def log(self) -> Path:
        [found] = [each for each in self.folder.iterdir() if not each.name.startswith(".")]
        return found

    @property
    def public(self) -> Path:
        return self.key.with_name("key.pub")

    def size(self) -> int:
        return tlog.read_checkpoint((self.log / "checkpoint").read_bytes()).size

    def check(self, *keys: Path, roots: tuple[Path, ...] = ()) -> Any:
        return check_published(str(self.log), [self.public, *keys], roots)


def site_of(ledger: Ledger, folder: Path) -> Site:
    login = ledger.login(f"publisher_{uuid4().hex[:8]}", "aximo_writer", "aximo_operator", customers=("*",))
    run("keygen", "log.example.com", "-o", folder / "key")
    return Site(ledger, ledger.dsn(login), ledger.connect(login), folder / "public", folder / "key")


@pytest.fixture
def site(one_ledger: Ledger, tmp_path: Path) -> Site:
    return site_of(one_ledger, tmp_path)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# What is published


def test_a_log_is_published_in_the_layout_that_readers_know(each_ledger: Ledger, tmp_path: Path) -> None:
    site = site_of(each_ledger, tmp_path)
    site.emit(600)
    told = json.loads(site.publish("--entries", "--json").stdout)
    assert (told["size"], told["was"], told["omitted"], told["warnings"], told["forked"]) == (600, 0, [], [], None)
    assert site.log.name == folder_name(told["origin"]) == Path(told["folder"]).name
    # Nothing in a path that is shared tells the customer.
    assert "nord" not in str(site.log.relative_to(tmp_path))
    found = files_of(site.log)
    sizes = {"tile/0/000": 8192, "tile/0/001": 8192, "tile/0/002.p/88": 88 * 32, "tile/1/000.p/2": 64}
    assert {
        path: len(data) for path, data in found.items() if path.startswith("tile/") and "entries" not in path
    } == sizes
    assert {path for path in found if "entries" in path} == {
        "tile/entries/000",
        "tile/entries/001",
        "tile/entries/002.p/88",
    }
    assert found["checkpoint"] == found["checkpoints/600"]
    with site.writer.transaction():
        site.writer.execute("select set_config('aximo.customer_id', %s, true)", (CUSTOMER,))
        rows = site.writer.execute(
            "select line, leaf from aximo.log_lines where log = 'events' order by number"
        ).fetchall()
        root = site.writer.execute("select aximo.log_root()").fetchone()
    assert b"".join(found[path] for path in sizes if path.startswith("tile/0/")) == b"".join(
        bytes(leaf) for _, leaf in rows
    )
    lines = [line for path in sorted(found) if "entries" in path for line in entries_of(found[path])]
    assert lines == [line.encode() for line, _ in rows]
    checkpoint = tlog.open_checkpoint(found["checkpoint"], tlog.read_verifier_key(site.public), origin=told["origin"])
    assert (checkpoint.size, checkpoint.root) == (600, bytes(root[0]))  # type: ignore[index]


def test_what_was_published_stays_as_it_grows(site: Site) -> None:
    before: dict[str, bytes] = {}
    for count in (300, 0, 1, 255, 44, 500):
        if count:
            site.emit(count)
        told = json.loads(site.publish("--entries", "--json").stdout)
        found = files_of(site.log)
        changed = {path for path, data in before.items() if found.get(path) != data}
        assert changed == ({"checkpoint", "checkpoints/SHA256SUMS"} if count and before else set())
        before = found
        verdict = site.check()
        assert verdict.ok, verdict.findings
        assert verdict.facts["logs"][0]["size"] == told["size"]
    assert {path for path in before if path.startswith("checkpoints/") and path[-1].isdigit()} == {
        f"checkpoints/{size}" for size in (300, 301, 556, 600, 1100)
    }
    assert {"tile/0/001.p/44", "tile/0/001.p/45", "tile/0/001", "tile/0/002.p/44", "tile/1/000.p/4"} <= before.keys()
    [log] = site.check().facts["logs"]
    assert (log["checkpoints"], log["entries"], log["ahead"], log["strangers"]) == (5, 1100, 0, 0)
    done = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=site.log / "checkpoints", check=False)
    assert done.returncode == 0


def test_without_a_customer_all_logs_with_entries_are_published(site: Site) -> None:
    site.emit(3)
    site.emit(2, "other")
    command = ("publish", site.folder, "--db", site.dsn, "--key", site.key)
    told = [json.loads(line) for line in run(*command, "--json").stdout.splitlines()]
    assert {(each["customer_id"], each["log"], each["size"]) for each in told} == {
        (CUSTOMER, "events", 3),
        ("other", "events", 2),
    }
    assert len([each for each in site.folder.iterdir() if len(each.name) == 64]) == 2
    verdict = check_published(str(site.folder), [site.public])
    assert verdict.ok
    assert len(verdict.facts["logs"]) == 2
    # One that is refused does not keep the others from being published.
    folder = site.folder / folder_name(next(each["origin"] for each in told if each["customer_id"] == CUSTOMER))
    (folder / "tile/0/000.p/5").write_bytes(b"no tile")
    site.emit(2)
    site.emit(2, "other")
    failed = run(*command, "--json", code=1)
    assert "published_tile_differs" in failed.stderr
    assert [(each["ok"], each.get("size")) for each in map(json.loads, failed.stdout.splitlines())] == [
        (False, None),
        (True, 4),
    ]


def test_a_log_that_grew_needs_entries_only_from_where_they_were_left_out(site: Site) -> None:
    site.emit(300)
    site.publish()
    site.emit(300)
    site.publish("--entries")
    assert site.check().facts["logs"][0]["entries"] == 600
    site.emit(300)
    site.publish()
    verdict = site.check()
    assert verdict.ok
    assert verdict.facts["logs"][0]["entries"] == 600
    (site.log / "tile/entries/000").unlink()
    verdict = site.check()
    assert not verdict.ok
    assert any("tile/entries/000" in each for each in verdict.findings)


def test_a_line_that_no_bundle_can_hold_is_named(site: Site) -> None:
    emit_one(site.writer, CUSTOMER, payload={"long": "x" * 66_000})
    site.emit(299)
    told = site.publish("--entries")
    assert "entries 1" in told.stderr
    assert not (site.log / "tile/entries/000").exists()
    assert (site.log / "tile/entries/001.p/44").exists()
    verdict = site.check()
    assert verdict.ok, verdict.findings
    assert verdict.facts["logs"][0]["omitted"] == [1]
    assert tlog.open_note((site.log / "entries/omitted").read_bytes(), tlog.read_verifier_key(site.public)).endswith(
        "\n1\n"
    )
    emit_one(site.writer, CUSTOMER, payload={"long": "y" * 66_000})
    site.emit(1)
    assert json.loads(site.publish("--entries", "--json").stdout)["omitted"] == [1, 301]
    verdict = site.check()
    assert verdict.ok, verdict.findings
    # 65,535 bytes are no line too many.
    assert tlog.leaf_hash(entries_of((65_535).to_bytes(2, "big") + b"x" * 65_535)[0])


# Other people's tools


def go() -> tuple[str, dict[str, str]]:
    """Go and its environment; where Debian's packages are, if they are not installed, is said by AXIMO_TEST_GO."""
    root = Path(os.environ.get("AXIMO_TEST_GO", "/"))
    library = root / "usr/share/gocode"
    found = shutil.which("go") or next((str(each) for each in sorted(root.glob("usr/lib/go-*/bin/go"))), None)
    if found is None or not (library / "src/golang.org/x/mod/sumdb/tlog").is_dir():
        pytest.skip("no Go, or no golang-golang-x-mod-dev: apt-get install golang-go golang-golang-x-mod-dev")
    of_its_own = {} if found == shutil.which("go") else {"GOROOT": str(Path(found).resolve().parent.parent)}
    return found, {**os.environ, **of_its_own, "GOPATH": str(library), "GO111MODULE": "off", "GOFLAGS": ""}


def test_go_reads_it(site: Site, tmp_path: Path) -> None:
    program, environment = go()
    site.emit(652)
    site.publish("--entries")
    site.emit(653)
    site.publish("--entries")
    environment["GOCACHE"] = str(tmp_path / "cache")
    reader = tmp_path / "reader"
    subprocess.run([program, "build", "-o", reader, GO_READER], env=environment, check=True)

    def read() -> str:
        command = [reader, site.log, site.public.read_text().strip(), "652"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    assert read() == "ok: signature, root, 1305 entries, growth 652 -> 1305\n"
    for path, said in (("tile/entries/000", "entry differs"), ("tile/0/001", "tiles"), ("checkpoint", "signature")):
        changed = site.log / path
        data = changed.read_bytes()
        changed.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
        assert read().startswith(said) or said == "tiles"
        assert not read().startswith("ok")
        changed.write_bytes(data)
    assert read().startswith("ok")


def offline(*arguments: str | Path, code: int = 0) -> Any:
    """Checks in a process that has no PostgreSQL to speak of."""
    program = (
        "import sys\n"
        "for name in ('psycopg', 'psycopg_pool', 'sqlalchemy', 'alembic', 'rich', 'typer'): sys.modules[name] = None\n"
        "from aximo_db.audit import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


@contextmanager
def web(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_whoever_has_no_database_checks_a_folder_or_a_server(site: Site) -> None:
    site.emit(300)
    site.publish("--entries")
    site.emit(300)
    site.publish("--entries")
    assert offline("--published", site.log, "--key", site.public)["ok"]
    assert "It holds" in run("verify", "--published", site.log, "--key", site.public).stdout
    with web(site.folder) as url:
        address = f"{url}/{site.log.name}/"
        found = offline("--published", address, "--key", site.public)
        assert found["logs"][0] | {"ahead": 0} == offline("--published", site.log, "--key", site.public)["logs"][0]
        # A note of another size, a bundle and a tile in the midst are looked at over the network, too.
        for path in ("checkpoints/300", "tile/entries/001", "tile/0/001"):
            changed = site.log / path
            data = changed.read_bytes()
            changed.write_bytes(data[:-5] + bytes([data[-5] ^ 1]) + data[-4:])
            told = offline("--published", address, "--key", site.public, code=1)
            assert any(path in each for each in told["findings"]), path
            changed.write_bytes(data)
        run("verify", "--published", f"{url}/none", "--key", site.public, code=1)
    run("verify", "--published", address, "--key", site.public, code=1)
    run("verify", "--published", site.folder / "none", code=1)
    run("verify", "--published", "ftp://example.com/x", code=1)
    other = site.key.with_name("other")
    run("keygen", "log.example.com", "-o", other)
    assert "not signed by" in run("verify", "--published", site.log, "--key", f"{other}.pub", code=1).stdout


# Restored to a point in time


@contextmanager
def copied(site: Site) -> Iterator[Site]:
    """A copy of the ledger as it is now: what a restore to this point in time leaves."""
    name, login = f"restored_{uuid4().hex[:8]}", str(site.writer.info.user)
    site.ledger.close()
    with psycopg.connect(site.ledger.server.dsn(), autocommit=True) as root:
        root.execute(f"create database {name} template {site.ledger.name} owner dba")
    site.writer = site.ledger.connect(login)
    writer = psycopg.connect(site.ledger.server.dsn(login, name), autocommit=True)
    try:
        yield Site(site.ledger, site.ledger.server.dsn(login, name), writer, site.folder, site.key)
    finally:
        writer.close()
        with psycopg.connect(site.ledger.server.dsn(), autocommit=True) as root:
            root.execute(f"drop database {name} with (force)")


def test_after_a_restore_to_a_point_in_time_it_stops_until_somebody_explains(site: Site) -> None:
    site.emit(300)
    site.publish("--entries")
    with copied(site) as restored:
        site.emit(10)
        site.publish("--entries")
        before = files_of(site.log)
        # The log is shorter than what is published.
        assert "checkpoint_ahead" in restored.publish(code=1).stderr
        restored.emit(5)
        assert "checkpoint_ahead" in restored.publish(code=1).stderr
        # Now it is longer, and another one.
        restored.emit(15)
        assert "checkpoint_differs" in restored.publish("--entries", code=1).stderr
        assert files_of(site.log) == before
        restored.publish("--entries", "--fork", "a disk was lost;\nrestored to 12:00")
        [fork] = (site.log / "forks").iterdir()
        assert {path: data for path, data in files_of(fork).items() if path != "reason"} == before
        reason = tlog.open_note((fork / "reason").read_bytes(), tlog.read_verifier_key(site.public))
        assert reason.endswith("\na disk was lost; restored to 12:00\n")
        verdict = site.check()
        assert verdict.ok, verdict.findings
        [log] = verdict.facts["logs"]
        assert (log["size"], log["forks"]) == (320, [f"forks/{fork.name}"])
        assert log["forked"][0]["size"] == 310
        # The ledger of before is the other one now; a second fork stands beside the first.
        assert "checkpoint_ahead" in site.publish(code=1).stderr
        site.publish("--fork", "the old server came back")
        verdict = site.check()
        assert verdict.ok, verdict.findings
        assert [each["size"] for each in verdict.facts["logs"][0]["forked"]] == [310, 320]
        # Where nothing is wrong, nothing is forked.
        site.emit(1)
        assert "not forked" in site.publish("--fork", "why not").stderr
        assert len(list((site.log / "forks").iterdir())) == 2


# One byte


@pytest.fixture
def full(site: Site, tmp_path: Path) -> tuple[Site, StampAuthority, list[Path]]:
    """A folder with something of everything: notes, stamps, cosignatures, bundles, what is left out, and a fork."""
    authority = StampAuthority(tmp_path / "tsa")
    witnesses = [SmallWitness("witness.example/w1"), SmallWitness("witness.example/w2")]
    keys = []
    for number, witness in enumerate(witnesses):
        keys.append(tmp_path / f"w{number}.pub")
        keys[-1].write_text(witness.key.encode() + "\n")
    emit_one(site.writer, CUSTOMER, payload={"long": "x" * 66_000})
    site.emit(299)
    with served(authority.answer) as tsa, served(witnesses[0].answer) as one, served(witnesses[1].answer) as two:
        asked = ["--entries", "--tsa", tsa]
        for witness, url in zip(witnesses, (one, two), strict=True):
            asked += ["--witness", f"{url},{witness.key.encode()}"]
        site.publish(*asked)
        for witness in witnesses:
            witness.logs[origin_of(site)] = tlog.read_verifier_key(site.public)
        with copied(site) as restored:
            restored.emit(301)
            restored.publish(*asked)
        for witness in witnesses:
            witness.seen.clear()
        site.emit(270)
        site.publish(*asked, "--fork", "a disk was lost")
        site.emit(250)
        site.publish(*asked)
    return site, authority, keys


def origin_of(site: Site) -> str:
    return tlog.read_checkpoint((site.log / "checkpoint").read_bytes()).origin


def test_one_byte_that_is_changed_anywhere_is_named(full: tuple[Site, StampAuthority, list[Path]]) -> None:
    site, authority, keys = full
    check = partial(site.check, *keys, roots=(authority.root,))
    verdict = check()
    assert verdict.ok, verdict.findings
    [log] = verdict.facts["logs"]
    assert (log["size"], log["stamps"], log["cosignatures"], log["cosignatures_verified"], log["omitted"]) == (
        820,
        2,
        4,
        4,
        [1],
    )
    assert log["stamped_at"] is not None
    found = files_of(site.log)
    kinds = {path.split("/")[0] for path in found}
    assert kinds == {"checkpoint", "checkpoints", "tile", "entries", "forks"}
    assert len(found) > 40
    for path, data in found.items():
        for at in {0, len(data) // 3, len(data) - 2}:
            (site.log / path).write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            verdict = check()
            assert not verdict.ok, (path, at)
            assert any(path in each for each in verdict.findings), (path, at, verdict.findings)
            assert len(verdict.findings) <= 8, (path, at, verdict.findings)
        (site.log / path).write_bytes(data[:-1])
        assert any(path in each for each in check().findings), path
        (site.log / path).write_bytes(data)
    assert check().ok


def test_a_folder_is_not_whole_without_what_its_checkpoint_needs(site: Site) -> None:
    site.emit(300)
    site.publish()
    site.emit(300)
    site.publish("--entries")
    for path in (
        "checkpoint",
        "tile/0/000",
        "tile/0/002.p/88",
        "tile/1/000.p/2",
        "checkpoints/300",
        "tile/entries/001",
    ):
        data = (site.log / path).read_bytes()
        (site.log / path).unlink()
        verdict = site.check()
        assert not verdict.ok, path
        assert any(path in each for each in verdict.findings), (path, verdict.findings)
        (site.log / path).write_bytes(data)
    # Put back to an older checkpoint, it says so.
    newest = (site.log / "checkpoint").read_bytes()
    (site.log / "checkpoint").write_bytes((site.log / "checkpoints/300").read_bytes())
    assert "checkpoint: it has 300 entries, and checkpoints/600 has 600" in site.check().findings
    (site.log / "checkpoint").write_bytes(newest)
    # What was written ahead, and what is somebody else's, is no fault of the log.
    (site.log / "index.html").write_text("hello")
    (site.log / "tile/0/003").write_bytes(b"\0" * 8192)
    verdict = site.check()
    assert verdict.ok
    assert (verdict.facts["logs"][0]["ahead"], verdict.facts["logs"][0]["strangers"]) == (1, 1)


def deep(folder: Path, size: int) -> list[bytes]:
    """A published log of leaves out of nothing, with three levels: its tiles straight from the definition."""
    levels = [[tlog.leaf_hash(str(n).encode()) for n in range(size)]]
    while len(levels[-1]) >= 256:
        below = levels[-1]
        levels.append([root_of(below[at : at + 256]) for at in range(0, len(below) // 256 * 256, 256)])
    for level, index, width in tiles_of(size):
        path = folder / tile_path(level, index, width)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(levels[level][256 * index : 256 * index + width]))
    root = tlog.root_of(levels[0])
    (folder / "checkpoint").write_text(tlog.Checkpoint("log.example/x", size, root).text())
    return levels[0]


@pytest.mark.parametrize("size", [65_536, 66_000])
def test_a_tile_of_any_level_is_named(tmp_path: Path, size: int) -> None:
    deep(tmp_path, size)
    assert check_published(str(tmp_path)).ok
    tiles = [tile_path(*each) for each in tiles_of(size)]
    upper = [each for each in tiles if not each.startswith("tile/0/")]
    for path in (*upper, tiles[200], tiles[len(tiles) - len(upper) - 1]):
        data = (tmp_path / path).read_bytes()
        for changed in (data[:-1] + bytes([data[-1] ^ 1]), data[:-1], None):
            if changed is None:
                (tmp_path / path).unlink()
            else:
                (tmp_path / path).write_bytes(changed)
            verdict = check_published(str(tmp_path))
            assert not verdict.ok
            assert path in " ".join(verdict.findings), verdict.findings
            # One tile at the right edge may not be told from the others there, and from the checkpoint.
            assert len([each for each in verdict.findings if "tile/" in each]) == 1, verdict.findings
        (tmp_path / path).write_bytes(data)
    assert check_published(str(tmp_path)).ok


def test_a_checkpoint_of_more_entries_than_anybody_has_comes_to_an_end(tmp_path: Path) -> None:
    deep(tmp_path, 300)
    text = tlog.Checkpoint("log.example/x", 2**62, tlog.leaf_hash(b"x")).text()
    (tmp_path / "checkpoint").write_text(text)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/SHA256SUMS").write_text(f"{'0' * 64}  ..\n")
    verdict = check_published(str(tmp_path))
    assert not verdict.ok
    assert 100 < len(verdict.findings) < 110
    (tmp_path / "checkpoint").write_text(tlog.Checkpoint("log.example/x", 300, tlog.leaf_hash(b"x")).text())
    assert any("checkpoints/..:" in each for each in check_published(str(tmp_path)).findings)


def test_paths_of_tiles_are_those_of_the_specification() -> None:
    assert tile_path(0, 1_234_067) == "tile/0/x001/x234/067"
    assert bundle_path(5, 17) == "tile/entries/005.p/17"
    assert list(tiles_of(70_000))[272:] == [(0, 272, 256), (0, 273, 112), (1, 0, 256), (1, 1, 17), (2, 0, 1)]
    assert list(tiles_of(256)) == [(0, 0, 256), (1, 0, 1)]
    assert list(tiles_of(0)) == []
    for index in (0, 7, 999, 1000, 123_456, 36_028_797_018_963_966):
        for level, width in ((0, 256), (3, 1), (None, 255)):
            path = tile_path("entries" if level is None else level, index, width)
            assert tile_at(path) == (level, index, width)
    wrong = (
        "tile/0/1",
        "tile/0/x000/001",
        "tile/00/001",
        "tile/0/001.p/0",
        "tile/0/001.p/256",
        "tile/0/001.p/01",
        "tile/64/001",
    )
    for path in wrong:
        assert tile_at(path) is None, path


# Whatever happens to the publisher

#: Reads how many steps at files a publisher may do before it is killed, and does so, again and again.
KILLED = """
import os, signal, sys
from pathlib import Path
from aximo_db.cli.app import app

left = 0

def counted(call):
    def wrapped(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return wrapped

for line in sys.stdin:
    child = os.fork()
    if not child:
        left = int(line)
        os.link, os.fsync, os.open = counted(os.link), counted(os.fsync), counted(os.open)
        Path.rename, Path.unlink, Path.mkdir = counted(Path.rename), counted(Path.unlink), counted(Path.mkdir)
        sys.stdout = sys.stderr
        try:
            app(sys.argv[1:])
        except SystemExit as end:
            os._exit(end.code or 0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@contextmanager
def killing(site: Site, *more: str) -> Iterator[Callable[[int], bool]]:
    """Publishes in processes that are killed at one of their steps at files; False if one had fewer."""
    given = ("publish", site.folder, "--db", site.dsn, "-c", CUSTOMER, "--log", "events", "--key", site.key, *more)
    command = [sys.executable, "-c", KILLED, *map(str, given)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdin is not None
        assert driver.stdout is not None

        def killed(after: int) -> bool:
            print(after, file=driver.stdin, flush=True)
            code = int(driver.stdout.readline())  # type: ignore[union-attr]
            assert code in (0, -signal.SIGKILL), code
            return code != 0

        try:
            yield killed
        finally:
            driver.stdin.close()


def test_a_publisher_that_is_killed_leaves_a_folder_that_holds(site: Site) -> None:
    kills_at(site, [*range(0, 60, 6)])


@pytest.mark.heavy
def test_fifty_publishers_that_are_killed_leave_a_folder_that_holds(site: Site) -> None:
    kills_at(site, [*range(50)])


def kills_at(site: Site, steps: list[int]) -> None:
    site.emit(250)
    site.publish("--entries")
    was = 250
    with killing(site, "--entries") as killed:
        for step in steps:
            site.emit(7 if step % 2 else 100)
            is_killed = killed(step)
            verdict = site.check()
            assert verdict.ok, (step, verdict.findings)
            size = verdict.facts["logs"][0]["size"]
            assert size >= was
            was = size
            assert is_killed or step > 20, step
    site.publish("--entries")
    verdict = site.check()
    assert verdict.ok, verdict.findings
    assert not (site.log / ".new").exists()
    kept = {path.name for path in (site.log / "checkpoints").iterdir()}
    assert str(was) in kept


def test_a_fork_that_is_killed_is_finished_by_the_next(site: Site) -> None:
    site.emit(300)
    site.publish()
    with copied(site) as restored:
        site.emit(10)
        site.publish()
        before = files_of(site.log)
        restored.emit(20)
        with killing(restored, "--fork", "a disk was lost") as killed:
            step = next(step for step in range(0, 90, 3) if not killed(step))
        assert step > 10
        verdict = site.check()
        assert verdict.ok, verdict.findings
        [fork] = (site.log / "forks").iterdir()
        assert before.items() <= files_of(fork).items()
        assert {each.name for each in site.folder.iterdir()} == {site.log.name, f".{site.log.name}.lock"}


def test_of_two_publishers_one_says_that_the_other_is_at_work(site: Site) -> None:
    site.emit(300)
    site.publish()
    site.emit(300)
    with (site.folder / f".{site.log.name}.lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "published_folder_is_free" in site.publish(code=1).stderr
        assert site.size() == 300
    given = (
        "publish",
        site.folder,
        "--db",
        site.dsn,
        "-c",
        CUSTOMER,
        "--log",
        "events",
        "--key",
        site.key,
        "--entries",
    )
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(start(*given))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert any(done.returncode == 0 for done in results)
    assert all(done.returncode == 0 or "published_folder_is_free" in done.stderr for done in results)
    assert site.size() == 600
    assert site.check().ok


@pytest.mark.parametrize("what", ["pipe", "device"])
def test_a_published_file_without_an_end_is_refused(site: Site, what: str) -> None:
    site.emit(5)
    site.publish()
    (site.log / "checkpoint").unlink()
    os.mkfifo(site.log / "checkpoint") if what == "pipe" else (site.log / "checkpoint").symlink_to("/dev/zero")
    told = run("verify", "--published", site.log, "--key", site.public, code=1).stderr
    assert "no ordinary file" in told


def test_a_folder_that_cannot_be_written_is_told_of_each_log(site: Site) -> None:
    site.emit(5)
    site.emit(5, "another")
    site.folder.write_text("a file")
    given = ("publish", site.folder, "--db", site.dsn, "--log", "events", "--key", site.key)
    told = run(*given, code=1).stderr
    assert told.count("published_folder_is_writable") == 2
    assert str(site.folder) in run(*given, "-c", CUSTOMER, code=1).stderr


@pytest.mark.parametrize("reason", ["", " \n"])
def test_a_fork_needs_a_reason(site: Site, reason: str) -> None:
    site.emit(5)
    assert "--fork has no reason" in site.publish("--fork", reason, code=2).stderr


def test_nothing_is_written_over(site: Site) -> None:
    site.emit(300)
    site.publish("--entries")
    site.emit(300)
    for path, wrong in (("tile/0/001", b"\0" * 8192), ("tile/entries/001", b"\0\0"), ("checkpoints/600", b"x")):
        target = site.log / path
        target.write_bytes(wrong)
        refused = site.publish("--entries", code=1)
        assert "published_tile_differs" in refused.stderr
        assert path in refused.stderr
        assert target.read_bytes() == wrong
        target.unlink()
    # The last one came after the checkpoint, which stands.
    site.publish("--entries")
    assert site.check().ok


def test_a_folder_of_another_key_is_not_gone_on_with(site: Site) -> None:
    site.emit(3)
    site.publish()
    site.emit(3)
    other = site.key.with_name("other")
    run("keygen", "log.example.com", "-o", other)
    command = ("publish", site.folder, "--db", site.dsn, "-c", CUSTOMER, "--key", other)
    assert "published_checkpoint_is_ours" in run(*command, code=1).stderr
    # A new key takes over while both sign.
    run(*command, "--key", site.key)
    assert site.check().ok
    site.emit(1)
    run(*command)
    assert not site.check().ok
    assert check_published(str(site.log), [site.public, Path(f"{other}.pub")]).ok
    assert site.key.read_text().strip() not in "".join(map(str, files_of(site.log).values()))


def unguarded(ledger: Ledger, statement: str) -> None:
    """What the owner of a server can do."""
    root = ledger.superuser()
    root.execute("set session_replication_role = replica")
    root.execute(statement)  # type: ignore[call-overload]
    root.close()


def test_what_does_not_follow_from_its_leaves_is_not_signed(site: Site) -> None:
    site.emit(600)
    unguarded(
        site.ledger,
        "alter table aximo_private.log_nodes disable trigger user;"
        "update aximo_private.log_nodes set hash = sha256('x') where level = 1 and index = 0",
    )
    assert "root_is_the_leaves" in site.publish(code=1).stderr
    assert {path for path in files_of(site.folder) if not path.endswith(".lock")} == set()


def test_a_line_that_is_not_what_was_hashed_is_not_published(site: Site) -> None:
    site.emit(300)
    site.publish("--entries")
    site.emit(300)
    unguarded(
        site.ledger,
        "alter table aximo_private.events disable trigger user;"
        "update aximo_private.events set payload = '{\"n\": 1000}' where event_id ="
        " (select event_id from aximo_private.log_entries where number = 310)",
    )
    refused = site.publish("--entries", code=1)
    assert "published_entry_is_its_leaf" in refused.stderr
    assert "entry 310" in refused.stderr
    assert site.size() == 300
    assert site.check().ok


def test_what_was_published_is_what_is_gone_on_from(site: Site) -> None:
    """A log that was changed before the checkpoint, with all that is derived, contradicts what was signed."""
    site.emit(300)
    site.publish()
    site.emit(10)
    unguarded(
        site.ledger,
        "alter table aximo_private.log_entries disable trigger user;"
        "update aximo_private.log_entries set leaf = sha256('x') where number = 299",
    )
    assert "checkpoint_differs" in site.publish(code=1).stderr
    assert site.size() == 300


# Others' words


def test_a_time_stamp_is_got_when_it_can_be_had(site: Site, tmp_path: Path) -> None:
    authority = StampAuthority(tmp_path / "tsa")
    site.emit(3)
    # Nobody answers, or something else does: the checkpoint is there all the same.
    told = site.publish("--tsa", "http://127.0.0.1:9/")
    assert "time stamp http://127.0.0.1:9/" in told.stderr
    site.emit(3)
    wrong: list[tuple[int, str, bytes]] = [
        (500, "text/plain", b"no"), (200, "text/html", b"<html>"), (200, "application/timestamp-reply", b"no"),
        (200, "application/timestamp-reply", bytes.fromhex("30053003020102")),
    ]  # fmt: skip
    for answer in wrong:
        with served(lambda *_, answer=answer: answer) as url:
            assert "time stamp" in site.publish("--tsa", url).stderr
    assert site.size() == 6
    assert not list((site.log / "checkpoints").glob("*.tsr"))
    # Then it does, and what has none is stamped.
    asked: list[bytes] = []

    def answer(path: str, body: bytes) -> tuple[int, str, bytes]:
        asked.append(body)
        return authority.answer(path, body)

    with served(answer) as url:
        assert json.loads(site.publish("--tsa", url, "--json").stdout)["stamped"] == 2
        assert json.loads(site.publish("--tsa", url, "--json").stdout)["stamped"] == 0
        # An answer to another request is none.
        old = authority.answer("", asked[0])
    with served(lambda *_: old) as url:
        kept = (site.log / "checkpoints/6.tsr").rename(tmp_path / "kept")
        assert "another request" in site.publish("--tsa", url).stderr
        kept.rename(site.log / "checkpoints/6.tsr")
        site.emit(1)
        assert "other bytes" in site.publish("--tsa", url).stderr
    note, stamp = site.log / "checkpoints/6", site.log / "checkpoints/6.tsr"
    verdict = check_stamp(note, stamp, [authority.root], [site.public])
    assert verdict.ok
    assert verdict.facts["stamped_at"].startswith("20")
    assert "UTC" in run("verify", "--checkpoint", note, "--timestamp", stamp, "--tsa-root", authority.root).stdout
    assert offline("--checkpoint", note, "--timestamp", stamp, "--tsa-root", authority.root)["ok"]
    openssl = ["openssl", "ts", "-verify", "-data", note, "-in", stamp, "-CAfile", authority.root]
    assert subprocess.run(openssl, capture_output=True, check=False).returncode == 0
    # Of another note, or on another authority's word, it says nothing.
    stranger = StampAuthority(tmp_path / "stranger")
    assert not check_stamp(site.log / "checkpoints/3", stamp, [authority.root]).ok
    assert not check_stamp(note, stamp, [stranger.root]).ok
    run(
        "verify", "--checkpoint", site.log / "checkpoints/3", "--timestamp", stamp, "--tsa-root", authority.root, code=1
    )
    run("verify", "--checkpoint", note, "--timestamp", stamp, code=2)
    assert "no certificate" in check_stamp(note, stamp, [site.public]).findings[0]


def test_a_stamp_whose_certificates_are_not_in_order_is_told_as_that(site: Site, tmp_path: Path) -> None:
    said = set()
    for number in range(8):  # in order by chance in one of two
        authority = StampAuthority(tmp_path / f"tsa{number}", chain=True)
        site.emit(1)
        with served(authority.answer) as url:
            said.add(site.publish("--tsa", url).stderr)
        if any(said):
            break
    assert any("certificates are not in order" in each for each in said)
    assert site.check().ok


def test_without_the_library_of_time_stamps_it_says_what_to_install(site: Site, tmp_path: Path) -> None:
    site.emit(1)
    program = "import sys\nsys.modules['rfc3161_client'] = None\nfrom aximo_db.cli.app import main\nmain()"
    given = (
        "publish",
        site.folder,
        "--db",
        site.dsn,
        "-c",
        CUSTOMER,
        "--log",
        "events",
        "--key",
        site.key,
        "--tsa",
        "http://127.0.0.1:9",
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, given)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "aximo-db[timestamp]" in done.stderr
    assert site.size() == 1
    (tmp_path / "stamp").write_bytes(b"x")
    authority = StampAuthority(tmp_path / "tsa")
    given = (
        "verify",
        "--checkpoint",
        site.log / "checkpoint",
        "--timestamp",
        tmp_path / "stamp",
        "--tsa-root",
        authority.root,
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, given)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "aximo-db[timestamp]" in done.stdout


@pytest.mark.parametrize("kind", [4, 6])
def test_a_witness_cosigns_what_grew(site: Site, tmp_path: Path, kind: int) -> None:
    witness = small_witness(kind)
    (tmp_path / "w.pub").write_text(witness.key.encode() + "\n")
    public = tlog.read_verifier_key(site.public)
    site.emit(300)
    with served(witness.answer) as url:
        asked = ("--witness", f"{url}/,{witness.key.encode()}")
        # It does not know the log yet; the checkpoint is there all the same.
        assert "404" in site.publish(*asked).stderr
        assert site.check().ok
        witness.logs[origin_of(site)] = tlog.SecretKey.generate("log.example.com").verifier
        assert "403" in site.publish(*asked).stderr
        witness.logs[origin_of(site)] = public
        site.emit(5)
        told = json.loads(site.publish(*asked, "--json").stdout)
        assert (told["size"], told["cosigned_by"], told["warnings"]) == (305, [witness.name], [])
        site.emit(500)
        site.publish(*asked)
        site.publish(*asked)  # it is not asked again
        assert witness.answers == [404, 403, 200, 200]
        # It was asked by somebody else meanwhile: it says where it is, and gets the proof from there.
        site.emit(10)
        site.publish()
        other = tlog.read_checkpoint((site.log / "checkpoint").read_bytes())
        witness.seen[other.origin] = other.size, other.root
        site.emit(10)
        site.publish(*asked)
        assert witness.answers[4:] == [409, 200]
    verdict = site.check(tmp_path / "w.pub")
    assert verdict.ok, verdict.findings
    [log] = verdict.facts["logs"]
    assert (log["cosignatures"], log["cosignatures_verified"], log["signed_by"]) == (3, 3, [public.name, witness.name])
    # The note as it is served is cosigned; a key of a witness alone is enough to ask for.
    checkpoint = site.log / "checkpoint"
    run("export", "--db", site.dsn, "-c", CUSTOMER, "-o", tmp_path / "export")
    for command in (("verify",), ()):
        given = ("--export", tmp_path / "export", "--checkpoint", checkpoint, "--key", tmp_path / "w.pub")
        told = run(*command, *given).stdout if command else str(offline(*given))
        assert witness.name in told
    assert check_published(str(site.log), [tmp_path / "w.pub"]).ok
    # A bit of the cosignature is another one.
    note = checkpoint.read_text()
    head, line = note.rsplit("— ", 1)
    name, encoded = line.split(" ")
    for place in (3, 8, 20, len(encoded) // 2):
        changed = encoded[:place] + ("A" if encoded[place] != "A" else "B") + encoded[place + 1 :]
        checkpoint.write_text(f"{head}— {name} {changed}")
        verdict = site.check(tmp_path / "w.pub")
        assert any(each.startswith("checkpoint: ") for each in verdict.findings), place
        # Also for who does not know the witness: it is not the line that is kept.
        assert not site.check().ok
        checkpoint.write_text(note)
    stranger = small_witness(kind)
    (tmp_path / "stranger.pub").write_text(stranger.key.encode() + "\n")
    assert not check_published(str(site.log), [tmp_path / "stranger.pub"]).ok
    assert site.check(tmp_path / "stranger.pub").ok


def small_witness(kind: int, name: str = "witness.example/w1") -> SmallWitness:
    if kind == 4:
        return SmallWitness(name)
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

    return SmallWitness(name, MLDSA44PrivateKey.generate(), 6)


def test_what_a_witness_says_wrongly_is_not_kept(site: Site) -> None:
    witness = SmallWitness()
    site.emit(3)
    site.publish()
    witness.logs[origin_of(site)] = tlog.read_verifier_key(site.public)
    other = SmallWitness(witness.name)
    spoils: list[Callable[[str], str]] = [
        lambda line: line.replace("— ", "- "),
        lambda line: line[:-6] + ("AAAA=" if not line.endswith("AAAA=\n") else "BBBB=") + "\n",
        lambda _: other.line((site.log / "checkpoint").read_text()),
        lambda _: "",
        lambda line: f"text\n\n{line}",
    ]
    with served(witness.answer) as url:
        asked = ("--witness", f"{url},{witness.key.encode()}")
        for spoil in spoils:
            witness.spoil = spoil
            witness.seen.clear()
            assert "witness" in site.publish(*asked).stderr
            assert not list((site.log / "checkpoints").glob("*.cosignature"))
        # Lines of others beside its own are left out.
        witness.spoil = lambda line: other.line((site.log / "checkpoint").read_text()) + line
        witness.seen.clear()
        site.publish(*asked)
        assert (site.log / "checkpoint").read_text().count("— ") == 2
        # It has seen another log of this name.
        site.emit(1)
        witness.seen[origin_of(site)] = 4, tlog.leaf_hash(b"another")
        assert "422" in site.publish(*asked).stderr
        witness.seen[origin_of(site)] = 40, tlog.leaf_hash(b"another")
        assert "it has cosigned 40 entries" in site.publish(*asked).stderr
    assert site.check().ok
    # With a log's key, or no key, it is no witness.
    for wrong in (
        "http://127.0.0.1:9",
        f"http://127.0.0.1:9,{site.public.read_text().strip()}",
        f"ftp://x,{witness.key.encode()}",
    ):
        site.publish("--witness", wrong, code=2)
    site.publish("--tsa", "file:///etc/passwd", code=2)


def test_who_does_not_answer_is_not_waited_for_again(site: Site) -> None:
    for number in range(3):
        site.emit(1, f"customer-{number}")
    command = ("publish", site.folder, "--db", site.dsn, "--key", site.key, "--tsa", "http://127.0.0.1:9")
    said = run(*command).stderr
    assert said.count("refused") == 1
    assert said.count("did not answer before") == 2


# Keys of witnesses


def test_the_key_of_a_witness_is_written_and_read() -> None:
    for kind in (4, 6):
        key = small_witness(kind).key
        assert tlog.VerifierKey.decode(key.encode()) == key
        assert key.is_of_witness
        with pytest.raises(tlog.MalformedNote):
            tlog.VerifierKey(key.name, key.public_key[:-1], kind)
    with pytest.raises(tlog.MalformedNote):
        tlog.VerifierKey("x", bytes(32), 5)
    with pytest.raises(tlog.MalformedNote):
        tlog.VerifierKey.decode("x+00000000+")


def test_the_cosignature_of_the_specification_is_verified() -> None:
    """Another implementation's: the vector of C2SP tlog-cosignature has no key, so the text is its own."""
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    for kind in (4, 6):
        witness = small_witness(kind)
        line = witness.line(text, 1_679_315_147)
        assert tlog.open_note(f"{text}\n{line}", witness.key) == text
        # Of no checkpoint it says nothing, and of another one neither.
        for other in (text.replace("3\n", "4\n"), text.replace("Cs", "Ds"), "one\n", "one\ntwo\nthree\n", "a\n1\n\n\n"):
            with pytest.raises(tlog.SignatureFailed):
                tlog.open_note(f"{other}\n{line}", witness.key)


def test_a_library_without_ml_dsa_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "example.com/x\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    witness = small_witness(6)
    note = f"{text}\n{witness.line(text)}"
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.mldsa", None)
    with pytest.raises(ValueError, match="newer library"):
        tlog.open_note(note, witness.key)


# What an auditor is told to run


PAGE = Path(__file__).resolve().parent.parent / "docs" / "auditor.md"


def test_an_outsider_checks_one_event_with_what_the_page_says(site: Site, tmp_path: Path) -> None:
    site.emit(600)
    site.publish("--entries")
    text = PAGE.read_text(encoding="utf-8")
    (tmp_path / "in_folder.py").write_text(
        text.split("```py\n# in_folder.py")[1].split("\n```\n")[0].partition("\n")[2]
    )
    lines = [
        line
        for path in ("000", "001", "002.p/88")
        for line in entries_of((site.log / "tile/entries" / path).read_bytes())
    ]

    def python(event_id: str) -> tuple[int, str]:
        command = [sys.executable, "-I", "-S", tmp_path / "in_folder.py", site.log, event_id]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr

    for number in (1, 256, 257, 600):
        found = json.loads(lines[number - 1])["event_id"]
        assert python(found) == (0, f"{origin_of(site)}: entry {number} of 600\n{lines[number - 1].decode()}\n")
    assert python(str(uuid4())) == (1, "it is not in this log\n")
    # Another event in its place, or a tile that was made to fit it.
    bundle, tile = site.log / "tile/entries/001", site.log / "tile/0/001"
    event_id = json.loads(lines[299])["event_id"]
    before = bundle.read_bytes(), tile.read_bytes()
    bundle.write_bytes(before[0].replace(lines[299], lines[299].replace(b"sla_breached", b"sla_breacheD")))
    assert python(event_id) == (1, "it is not in this log\n")
    leaf = tlog.leaf_hash(lines[299].replace(b"sla_breached", b"sla_breacheD"))
    tile.write_bytes(before[1].replace(tlog.leaf_hash(lines[299]), leaf))
    assert python(event_id) == (1, "the tiles are not those of the checkpoint\n")
    program, environment = go()
    environment["GOCACHE"] = str(tmp_path / "cache")
    (tmp_path / "one_event.go").write_text(text.split("```go\n")[1].split("```\n")[0])
    subprocess.run([program, "build", "-o", "one_event", "one_event.go"], cwd=tmp_path, env=environment, check=True)

    def read(number: int) -> tuple[int, str]:
        command = [tmp_path / "one_event", site.log, site.public.read_text().strip(), str(number)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    assert read(300) == (1, "")
    bundle.write_bytes(before[0])
    # Its neighbour's proof has the leaf that is wrong.
    assert read(299) == (1, "")
    tile.write_bytes(before[1])
    for number in (1, 256, 257, 300, 512, 513, 600):
        assert read(number) == (0, f"{lines[number - 1].decode()}\n")
    assert read(601) == (1, "")
