"""Files that a person named: what every command does to them, and to the one who reads its output."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints
from uuid import uuid4

import psycopg
import pytest
import typer

from aximo_db import EventStore
from aximo_db.cli.app import app
from aximo_db.files.output import write_text, writing
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, Ledger, _cloned
from tests.events import event
from tests.test_cli import SERVICE, line, run
from tests.test_lost_connections import soon
from tests.vault_support import vault_database

CUSTOMER = "acme"
#: What no command writes.
OLD = "this is what was there\n"


@dataclass(frozen=True)
class Site:
    """A ledger with something of everything in it, and files to read."""

    ledger: Ledger
    dsn: str
    folder: Path
    event_id: str
    run_id: str
    vault: str


@pytest.fixture(scope="module")
def site(servers: Callable[[str], EmbeddedServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    for ledger in _cloned(servers(next(iter(BINARIES))), "fresh", "output_test"):
        dsn = ledger.dsn(ledger.login(SERVICE, "aximo_writer", "aximo_operator", customers=("*",)))
        folder = tmp_path_factory.mktemp("site")
        with EventStore(dsn, customer_id=CUSTOMER) as store:
            with store.execution(
                deployment_id="dep-1", skill_id="s", skill_version="1", execution_id="one"
            ) as execution:
                with execution.action("send_email"):
                    pass
            event_id = str(store.emit(event("execution_triggered", "two")).event_id)
        run_id = "run-1"
        (folder / "runs").write_text(
            json.dumps({"run_id": run_id, "kind": "run.created", "created_at": "2026-03-01T12:00:00Z"}) + "\n"
        )
        run("runs", "import", folder / "runs", "--db", dsn, "-c", CUSTOMER)
        run("refresh", "--db", dsn)
        run("keygen", "audit.example.com", "-o", folder / "key")
        run("checkpoint", "--db", dsn, "-c", CUSTOMER, "-o", folder / "checkpoint")
        run("export", "--db", dsn, "-c", CUSTOMER, "-o", folder / "export")
        (folder / "bad").write_text(line(CUSTOMER) + "\nno event\n")
        (folder / "bad_runs").write_text((folder / "runs").read_text() + "no event\n")
        (folder / "stdout").symlink_to("/dev/stdout")
        with vault_database(ledger.server, "output_vault") as vault:
            yield Site(ledger, dsn, folder, event_id, run_id, vault)


def commands(group: typer.Typer = app, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command of the program, by its words."""
    for command in group.registered_commands:
        name = command.name or getattr(command.callback, "__name__", "").strip("_")
        yield (*before, name), command.callback
    for under in group.registered_groups:
        assert under.typer_instance is not None
        yield from commands(under.typer_instance, (*before, str(under.typer_instance.info.name)))


def holds_path(hint: Any) -> bool:
    return hint is Path or any(holds_path(each) for each in get_args(hint))


#: What every option and argument with a path is for.
READ = {
    ("checkpoint", "key"), ("prove", "key"), ("verify", "checkpoint"), ("verify", "key"), ("verify", "export"),
    ("verify", "against"), ("verify", "proof"), ("verify", "line"), ("contract check", "old"),
    ("publish", "key"), ("export", "key"), ("worker", "key"), ("verify", "timestamp"), ("verify", "tsa_root"), ("contract check", "new"), ("contract check", "against"), ("contract show", "file"), ("contract write", "base"),
}  # fmt: skip
FOLDERS = {
    ("up", "data"),
    ("down", "data"),
    ("demo", "data"),
    ("publish", "folder"),
    ("worker", "publish"),
    ("export", "chunks"),
}
WRITTEN = {
    ("export", "output"): ["export", "--db", "{dsn}", "-c", CUSTOMER, "-o"],
    ("checkpoint", "output"): ["checkpoint", "--db", "{dsn}", "-c", CUSTOMER, "--key", "{folder}/key", "-o"],
    ("prove", "output"): ["prove", "{event_id}", "--db", "{dsn}", "-c", CUSTOMER, "-o"],
    ("report", "output"): ["report", "--db", "{dsn}", "-c", CUSTOMER, "-o"],
    ("import", "rejects"): ["import", "{folder}/bad", "--db", "{dsn}", "-c", CUSTOMER, "--rejects"],
    ("runs export", "output"): ["runs", "export", "--db", "{dsn}", "-c", CUSTOMER, "-o"],
    ("runs import", "rejects"): ["runs", "import", "{folder}/bad_runs", "--db", "{dsn}", "-c", CUSTOMER, "--rejects"],
    ("contract write", "output"): ["contract", "write", "--db", "{dsn}", "-o"],
}
#: Never written over anything, so it has a test of its own.
KEYS = {("keygen", "output")}
TWO = (("export", "output"), ("import", "rejects"))
every_output = pytest.mark.parametrize("written", WRITTEN, ids=" ".join)


def command_of(written: tuple[str, str], site: Site) -> list[str]:
    values = {
        "dsn": site.dsn,
        "folder": site.folder,
        "event_id": site.event_id,
        "run_id": site.run_id,
        "vault": site.vault,
    }
    return [each.format(**values) for each in WRITTEN[written]]


def write(written: tuple[str, str], site: Site, path: Path, code: int | None = None) -> Any:
    usual = 1 if written[1] == "rejects" else 0  # a line is refused
    return run(*command_of(written, site), path, code=usual if code is None else code)


def in_process(written: tuple[str, str], site: Site, path: Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "aximo_db", *command_of(written, site), str(path)]
    return subprocess.run(command, check=False, timeout=60, **{"capture_output": True, **options})


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def no_mask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_every_path_of_every_command_is_known_to_be_read_or_written() -> None:
    found = {
        (" ".join(name), parameter)
        for name, callback in commands()
        for parameter, hint in get_type_hints(callback, include_extras=True).items()
        if holds_path(hint)
    }
    assert found == READ | FOLDERS | WRITTEN.keys() | KEYS


# What is written where


@pytest.mark.parametrize("form", ["cloudevents", "cloudevents --batch", "ocel-json", "ocel-sqlite"])
@pytest.mark.usefixtures("no_mask")
def test_every_form_of_an_export_is_written_as_any_file_is(site: Site, tmp_path: Path, form: str) -> None:
    command = ["export", "--db", site.dsn, "-c", CUSTOMER, "--format", *form.split(), "-o"]
    (tmp_path / "link").symlink_to("there")
    run(*command, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    content = (tmp_path / "there").read_bytes()
    assert content.startswith(b"SQLite format 3\0") if form == "ocel-sqlite" else content.endswith(b"\n")
    assert mode(tmp_path / "there") == 0o600
    os.mkfifo(tmp_path / "pipe")
    thread, found = reading(tmp_path / "pipe")
    run(*command, tmp_path / "pipe")
    thread.join()
    assert len(found[0]) == len(content)
    # What fails leaves the file as it was.
    run(*command[:2], "host=/nowhere", *command[3:], tmp_path / "there", code=1)
    assert (tmp_path / "there").read_bytes() == content
    assert {each.name for each in tmp_path.iterdir()} == {"link", "there", "pipe"}


@every_output
@pytest.mark.usefixtures("no_mask")
def test_a_new_file_is_for_its_owner_only_and_whole(written: tuple[str, str], site: Site, tmp_path: Path) -> None:
    write(written, site, tmp_path / "new")
    assert [each.name for each in tmp_path.iterdir()] == ["new"]
    assert mode(tmp_path / "new") == 0o600
    assert (tmp_path / "new").read_bytes().endswith(b"\n")


@every_output
@pytest.mark.parametrize("kept", [0o600, 0o640, 0o664, 0o444])
def test_a_file_keeps_its_mode_and_owner(written: tuple[str, str], site: Site, tmp_path: Path, kept: int) -> None:
    if kept == 0o444 and os.geteuid() != 0:
        pytest.skip("only root may write it")
    path = tmp_path / "there"
    path.write_text(OLD * 100_000)
    path.chmod(kept)
    if os.geteuid() == 0:
        os.chown(path, 12345, 54321)
    before = path.stat()
    write(written, site, path)
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert OLD.encode() not in path.read_bytes()
    assert [each.name for each in tmp_path.iterdir()] == ["there"]


@every_output
@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing"])
@pytest.mark.parametrize("links", [1, 3], ids=["a link", "a chain of links"])
def test_a_link_stays_and_what_it_leads_to_is_written(
    written: tuple[str, str], site: Site, tmp_path: Path, links: int, there: bool
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "links").mkdir()
    real = tmp_path / "real" / "file"
    if there:
        real.write_text(OLD)
        real.chmod(0o640)
    target = "../real/file"
    for number in range(links):
        link = tmp_path / "links" / f"link{number}"
        link.symlink_to(target)
        target = link.name
    write(written, site, link)
    assert link.is_symlink()
    assert real.is_file()
    assert not real.is_symlink()
    assert mode(real) == (0o640 if there else 0o600)
    assert OLD.encode() not in real.read_bytes()
    assert [each.name for each in (tmp_path / "real").iterdir()] == ["file"]


@every_output
def test_a_link_into_another_file_system_stays(written: tuple[str, str], site: Site, tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other file system here")
    real = other / f"aximo-test-{uuid4()}"
    try:
        for content in ("", OLD):
            if content:
                real.write_text(content)
            link = tmp_path / f"link{len(content)}"
            link.symlink_to(real)
            write(written, site, link)
            assert link.is_symlink()
            assert real.read_bytes().endswith(b"\n")
            assert OLD.encode() not in real.read_bytes()
    finally:
        real.unlink(missing_ok=True)


def reading(path: Path) -> tuple[threading.Thread, list[bytes]]:
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.append(path.read_bytes()))
    thread.start()
    return thread, found


@every_output
@pytest.mark.parametrize("linked", [False, True], ids=["", "through a link"])
def test_a_pipe_stays_and_its_reader_gets_everything(
    written: tuple[str, str], site: Site, tmp_path: Path, linked: bool
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    path = pipe
    if linked:
        path = tmp_path / "link"
        path.symlink_to(pipe)
    thread, found = reading(pipe)
    write(written, site, path)
    thread.join()
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert path.is_symlink() is linked
    assert found[0].endswith(b"\n")
    assert {each.name for each in tmp_path.iterdir()} == {"pipe", path.name}


def test_a_pipe_that_nobody_reads_yet_is_waited_for(site: Site, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "aximo_db", *command_of(("export", "output"), site), str(pipe)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as export:
        assert pipe.read_bytes().endswith(b"\n")
        assert export.wait(60) == 0
    with subprocess.Popen(command, stderr=subprocess.PIPE) as export:
        # It ends by Ctrl-C, whether it waits already or not yet.
        soon(lambda: Path(f"/proc/{export.pid}/cmdline").read_bytes() != b"" if Path("/proc/self").exists() else True)
        export.send_signal(signal.SIGTERM)
        assert export.wait(60) != 0
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@every_output
def test_a_terminal_is_written_into(written: tuple[str, str], site: Site) -> None:
    ours, its = pty.openpty()
    path = Path(os.ttyname(its))
    found: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # nobody has it open any more
            while data := os.read(ours, 1 << 16):
                found.append(data)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        write(written, site, path)
        assert stat.S_ISCHR(path.stat().st_mode)
    finally:
        os.close(its)
        thread.join()
        os.close(ours)
    assert b"".join(found).endswith(b"\r\n")


@every_output
def test_a_socket_is_written_into(written: tuple[str, str], site: Site, tmp_path: Path) -> None:
    path = Path(os.path.relpath(tmp_path / "socket"))  # short enough
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        found: list[bytes] = []

        def read() -> None:
            with server.accept()[0] as connection, connection.makefile("rb") as stream:
                found.append(stream.read())

        thread = threading.Thread(target=read)
        thread.start()
        write(written, site, path)
        thread.join()
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert found[0].endswith(b"\n")


@pytest.mark.parametrize(
    ("written", "name", "where"),
    [
        *((written, "/dev/stdout", "a file") for written in WRITTEN),
        *((("export", "output"), name, "a file") for name in ("/proc/self/fd/1", "/dev/fd/1")),
        *((written, "/dev/stdout", where) for written in TWO for where in ("a pipe", "a socket")),
    ],
)
def test_standard_output_by_its_name_goes_on_where_it_is(
    written: tuple[str, str], site: Site, tmp_path: Path, name: str, where: str
) -> None:
    link = tmp_path / "link"  # so that nothing but this link is lost if it is replaced
    link.symlink_to(name)
    if where == "a file":
        with (tmp_path / "out").open("wb") as out:
            out.write(b"before\n")
            out.flush()
            in_process(written, site, link, stdout=out, capture_output=False)
            out.write(b"after\n")
        found = (tmp_path / "out").read_bytes()
        assert found.startswith(b"before\n")
        assert found.endswith(b"\nafter\n")
        found = found[len("before\n") : -len("after\n")]
    elif where == "a pipe":
        found = in_process(written, site, link).stdout
    else:
        ours, its = socket.socketpair()
        with ours, ours.makefile("rb") as stream:
            with its:
                in_process(written, site, link, stdout=its, capture_output=False)
            found = stream.read()
    assert link.is_symlink()
    assert len(found.splitlines()) >= 1
    assert found.endswith(b"\n")


@every_output
def test_what_cannot_be_written_is_named(written: tuple[str, str], site: Site, tmp_path: Path) -> None:
    loop, full = tmp_path / "loop", tmp_path / "full"
    loop.symlink_to(loop)
    full.symlink_to("/dev/full")
    (tmp_path / "file").write_text("x")
    places = [tmp_path, tmp_path / "none" / "file", tmp_path / "file" / "under", loop, tmp_path / ("a" * 300)]
    if full.exists():
        places.append(full)
    for path in places:
        result = write(written, site, path, code=2 if written[0] == "contract write" else 1)
        assert str(path) in result.stderr, path
    if full.exists():
        assert full.is_symlink()
        assert full.is_char_device()
    assert {each.name for each in tmp_path.iterdir()} == {"loop", "full", "file"}


@every_output
def test_a_file_stays_as_it_was_if_the_command_fails(written: tuple[str, str], site: Site, tmp_path: Path) -> None:
    path = tmp_path / "there"
    path.write_text("before\n")
    command = command_of(written, site)
    for place, value in enumerate(command):
        if value == site.dsn:
            command[place] = f"{site.dsn}&dbname=none" if "?" in site.dsn else f"{site.dsn}?dbname=none"
    run(*command, path, code=2 if written[0] == "contract write" else 1)
    run(*command, tmp_path / "new", code=2 if written[0] == "contract write" else 1)
    assert path.read_text() == "before\n"
    assert [each.name for each in tmp_path.iterdir()] == ["there"]


def test_what_is_read_is_never_written_over(site: Site, tmp_path: Path) -> None:
    key, lines = tmp_path / "key", tmp_path / "lines"
    run("keygen", "a", "-o", key)
    lines.write_text(line("c") + "\nno event\n")
    for path in (key, lines):
        (tmp_path / f"{path.name}.link").symlink_to(path)
        os.link(path, tmp_path / f"{path.name}.same")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name in ("key", "key.link", "key.same"):
        for command in (["checkpoint"], ["prove", site.event_id]):
            its = (*command, "--db", site.dsn, "-c", CUSTOMER, "--key", key)
            assert name in run(*its, "-o", tmp_path / name, code=1).stderr
    for name in ("lines", "lines.link", "lines.same"):
        for command in (["import"], ["runs", "import"]):
            its = (*command, lines, "--db", site.dsn, "-c", CUSTOMER)
            assert name in run(*its, "--rejects", tmp_path / name, code=1).stderr
    with lines.open("rb") as stdin:
        path = tmp_path / "lines"
        command = [sys.executable, "-m", "aximo_db", "import", "-", "--db", site.dsn, "--rejects", str(path)]
        assert subprocess.run(command, stdin=stdin, capture_output=True, check=False).returncode == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_contract_may_be_made_from_itself(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "contract"
    run("contract", "write", "--db", site.dsn, "-o", path)
    before = path.read_bytes()
    run("contract", "write", "--db", site.dsn, "--from", path, "-o", path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("what", ["a file", "a link to a file", "a folder", "a pipe", "a public key"])
def test_a_key_is_written_over_nothing(tmp_path: Path, what: str) -> None:
    path = tmp_path / "key"
    if what == "a file":
        path.write_text("before")
    elif what == "a link to a file":
        (tmp_path / "file").write_text("before")
        path.symlink_to("file")
    elif what == "a folder":
        path.mkdir()
    elif what == "a pipe":
        os.mkfifo(path)
    else:
        (tmp_path / "key.pub").write_text("before")
    before = {each.name: each.lstat() for each in tmp_path.iterdir()}
    assert "key" in run("keygen", "a", "-o", path, code=1).stderr
    assert {each.name for each in tmp_path.iterdir()} == before.keys()
    assert all((tmp_path / name).lstat().st_mtime_ns == found.st_mtime_ns for name, found in before.items())


@pytest.mark.usefixtures("no_mask")
def test_a_key_is_written_where_a_link_leads(tmp_path: Path) -> None:
    (tmp_path / "safe").mkdir()
    (tmp_path / "key").symlink_to("safe/key")
    run("keygen", "a", "-o", tmp_path / "key")
    assert (tmp_path / "key").is_symlink()
    assert mode(tmp_path / "safe" / "key") == 0o600
    assert mode(tmp_path / "key.pub") == 0o644
    for path in (tmp_path / "none" / "key", tmp_path / "safe" / "key" / "under"):
        assert str(path) in run("keygen", "a", "-o", path, code=1).stderr


def test_a_public_key_that_cannot_be_written_takes_the_secret_one_with_it(tmp_path: Path) -> None:
    (tmp_path / "safe").mkdir()
    (tmp_path / "key").symlink_to("safe/key")
    (tmp_path / "key.pub").mkdir()
    run("keygen", "a", "-o", tmp_path / "key", code=1)
    assert list((tmp_path / "safe").iterdir()) == []
    assert (tmp_path / "key").is_symlink()


# Ends that come too early


def as_in_a_terminal() -> None:
    """A program that a shell started in the background ignores Ctrl-C, and so would these."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_stopped_leaves_the_file_as_it_was(site: Site, tmp_path: Path, number: int) -> None:
    path = tmp_path / "there"
    path.write_text("before\n")
    command = [sys.executable, "-m", "aximo_db", *command_of(("export", "output"), site), str(path)]
    with psycopg.connect(site.ledger.dsn("postgres")) as root:
        root.execute("lock table aximo_private.events in access exclusive mode")
        with subprocess.Popen(command, stderr=subprocess.PIPE, preexec_fn=as_in_a_terminal) as export:
            with psycopg.connect(site.ledger.dsn("postgres"), autocommit=True) as other:
                query = "select exists (select from pg_locks where not granted)"
                soon(lambda: other.execute(query).fetchone() == (True,))
            assert len(list(tmp_path.iterdir())) == 2
            export.send_signal(number)
            said = export.communicate(timeout=60)[1]
    assert export.returncode == 128 + number
    assert b"Traceback" not in said
    assert path.read_text() == "before\n"
    assert [each.name for each in tmp_path.iterdir()] == ["there"]


def in_child(path: Path, text: str, *, user: int = 0, most: int = -1) -> str:
    """Writes a file in a process of its own, as another user perhaps, or where there is room for so many bytes only.

    Returns the error's number and file, if there is an error.
    """
    program = (
        "import errno, os, resource, signal, sys\n"
        "from aximo_db.files.output import write_text\n"
        "path, text, user, most = sys.argv[1], sys.stdin.read(), int(sys.argv[2]), int(sys.argv[3])\n"
        "if user: os.setgroups([]); os.setgid(user); os.setuid(user)\n"
        "if most >= 0:\n"
        "    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))\n"
        "try: write_text(path, text)\n"
        "except OSError as error: print(errno.errorcode[error.errno], error.filename, end='')\n"
    )
    command = [sys.executable, "-c", program, str(path), str(user), str(most)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A folder that every user gets to."""
    with tempfile.TemporaryDirectory(prefix="aximo-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as others")
OTHER = 12345


def test_on_a_full_disk_the_file_stays_as_it_was_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert in_child(path, "after\n" * 10_000, most=4096) == f"EFBIG {path}"
    assert list(tmp_path.iterdir()) == []
    path.write_text("before\n")
    assert in_child(path, "after\n" * 10_000, most=4096) == f"EFBIG {path}"
    assert path.read_text() == "before\n"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_an_exception_leaves_the_file_as_it_was(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_text("before\n")
    with pytest.raises(error):
        with writing(path) as target:
            target.write("after\n" * 100_000)
            raise error
    assert path.read_text() == "before\n"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@as_root
def test_a_file_that_may_be_written_in_a_folder_that_may_not_is_written(shared: Path) -> None:
    path = shared / "file"
    path.write_text("before\n" * 100)
    path.chmod(0o666)
    number = path.stat().st_ino
    assert in_child(path, "after\n", user=OTHER) == ""
    assert (path.read_text(), path.stat().st_ino, path.stat().st_uid) == ("after\n", number, 0)
    assert in_child(path, "after\n" * 1000, user=OTHER) == ""
    assert path.read_text() == "after\n" * 1000
    assert [each.name for each in shared.iterdir()] == ["file"]


@as_root
def test_a_file_of_somebody_elses_keeps_its_owner(shared: Path) -> None:
    shared.chmod(0o1777)
    path = shared / "file"
    path.write_text("before\n")
    path.chmod(0o666)
    assert in_child(path, "after\n", user=OTHER) == ""
    assert (path.read_text(), path.stat().st_uid, mode(path)) == ("after\n", 0, 0o666)
    assert [each.name for each in shared.iterdir()] == ["file"]


@as_root
def test_what_may_not_be_written_is_refused_and_named(shared: Path) -> None:
    path = shared / "file"
    path.write_text("before\n")
    path.chmod(0o644)
    assert in_child(path, "after\n", user=OTHER) == f"EACCES {path}"
    assert in_child(shared / "new", "after\n", user=OTHER) == f"EACCES {shared / 'new'}"
    closed = shared / "closed"
    closed.mkdir(mode=0o700)
    assert in_child(closed / "new", "after\n", user=OTHER) == f"EACCES {closed / 'new'}"
    shared.chmod(0o777)
    path.chmod(0o444)
    assert in_child(path, "after\n", user=OTHER) == f"EACCES {path}"
    assert path.read_text() == "before\n"


def test_a_descriptor_that_is_closed_or_only_read_is_named(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+") as file, Path("/dev/null").open("rb") as null:
        number = file.fileno()
        write_text(f"/dev/fd/{number}", "one\n")
        write_text(f"/dev/fd/{number}", "two\n")
        assert (tmp_path / "file").read_text() == "one\ntwo\n"
        for bad in (null.fileno(), 9999, 10**30):
            with pytest.raises(OSError, match="fd") as caught:
                write_text(f"/dev/fd/{bad}", "three\n")
            assert caught.value.filename == f"/dev/fd/{bad}"


def test_hard_links_keep_what_they_had(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before\n")
    os.link(tmp_path / "file", tmp_path / "kept")
    write_text(tmp_path / "file", "after\n")
    assert ((tmp_path / "file").read_text(), (tmp_path / "kept").read_text()) == ("after\n", "before\n")


# Readers that go away

#: Something that each command prints, and how the command ends.
PRINTED: dict[str, tuple[list[str], int]] = {
    "migrate": (["--sql"], 0),
    "federate": (["--node", "0=host=h", "--login", "l"], 0),
    "import": (["{folder}/bad", "--db", "{dsn}", "--rejects", "{folder}/rejects"], 1),
    "export": (["--db", "{dsn}", "-c", CUSTOMER], 0),
    "emit": (
        ["sla_breached", "--deployment", "d", "--skill", "s", "--skill-version", "1", "-c", "b", "--db", "{dsn}"],
        0,
    ),
    "trace": (["one", "--db", "{dsn}", "-c", CUSTOMER], 0),
    "executions": (["--db", "{dsn}", "-c", CUSTOMER], 0),
    "advance": (["--db", "{dsn}", "--json"], 0),
    "tail": (["--db", "{dsn}", "-c", CUSTOMER], 0),
    "worker": (["--once", "--db", "{dsn}"], 0),
    "otel": (["--db", "{dsn}", "-c", CUSTOMER, "--since", "1000000", "--json"], 0),
    "keygen": (["a", "-o", "{folder}/printed"], 0),
    "checkpoint": (["--db", "{dsn}", "-c", CUSTOMER, "--no-keep"], 0),
    "verify": (["--export", "{folder}/bad", "--checkpoint", "{folder}/checkpoint"], 1),
    "publish": (["{folder}/public", "--key", "{folder}/key", "--db", "{dsn}", "-c", CUSTOMER], 0),
    "prove": (["{event_id}", "--db", "{dsn}", "-c", CUSTOMER], 0),
    "refresh": (["--db", "{dsn}"], 0),
    "metrics": (["--db", "{dsn}", "-c", CUSTOMER], 0),
    "report": (["--db", "{dsn}", "-c", CUSTOMER, "-o", "{folder}/stdout"], 0),
    "verify-metrics": (["--db", "{dsn}", "-c", CUSTOMER], 0),
    "doctor": (["--db", "{dsn}", "--json"], 0),
    "erase": (["-c", CUSTOMER, "-s", "nobody", "-r", "asked", "--db", "{dsn}", "--vault", "{vault}"], 1),
    "vault migrate": (["--vault", "{vault}"], 0),
    "vault replay": (["--db", "{dsn}", "--vault", "{vault}"], 0),
    "vault rewrap": (["--vault", "{vault}"], 0),
    "vault readmit": (["-c", CUSTOMER, "-s", "nobody", "--vault", "{vault}"], 0),
    "contract check": (["--db", "{dsn}"], 0),
    "contract show": ([], 0),
    "contract write": (["--db", "{dsn}", "-o", "{folder}/stdout"], 0),
    "runs list": (["--db", "{dsn}", "-c", CUSTOMER], 0),
    "runs show": (["{run_id}", "--db", "{dsn}", "-c", CUSTOMER], 0),
    "runs tail": (["--db", "{dsn}", "-c", CUSTOMER], 0),
    "runs import": (["-c", CUSTOMER, "{folder}/bad_runs", "--db", "{dsn}", "--rejects", "{folder}/rejects"], 1),
    "runs export": (["--db", "{dsn}", "-c", CUSTOMER, "--shape", "run"], 0),
}
#: They are tried in test_cli.py, and what needs two servers in test_move.py.
SERVERS = {"up", "down", "demo", "move"}
#: The same of other forms of what they print.
FORMS: dict[str, tuple[list[str], int]] = {
    f"{name} --format {form}": PRINTED[name]
    for name in ("export", "tail", "runs tail")
    for form in ("cloudevents", "cloudevents --batch", *(("ocel-json",) if name == "export" else ()))
}


def test_every_command_is_tried_with_a_reader_that_goes_away() -> None:
    assert {" ".join(name) for name, _ in commands()} == PRINTED.keys() | SERVERS


@pytest.mark.parametrize(
    ("name", "also_errors"),
    [*((name, False) for name in (*PRINTED, *FORMS)), *((name, True) for name in ("export", "import", "executions"))],
)
def test_a_reader_that_goes_away_is_no_error(site: Site, name: str, also_errors: bool) -> None:
    arguments, code = {**PRINTED, **FORMS}[name]
    (site.folder / "printed").unlink(missing_ok=True)
    (site.folder / "printed.pub").unlink(missing_ok=True)
    values = {
        "dsn": site.dsn,
        "folder": site.folder,
        "event_id": site.event_id,
        "run_id": site.run_id,
        "vault": site.vault,
    }
    command = [sys.executable, "-m", "aximo_db", *name.split(), *(each.format(**values) for each in arguments)]
    ours, its = os.pipe()
    os.close(ours)
    try:
        done = subprocess.run(
            command, stdout=its, stderr=its if also_errors else subprocess.PIPE, check=False, timeout=60
        )
    finally:
        os.close(its)
    said = (done.stderr or b"").decode()
    assert done.returncode == code, said
    assert not any(word in said for word in ("Traceback", "Broken", "Exception", "error:")), said


@pytest.mark.parametrize(("export", "code"), [("export", 0), ("bad", 1)])
def test_a_verdict_that_nobody_reads_is_still_the_exit_code(site: Site, export: str, code: int) -> None:
    command = [sys.executable, "-m", "aximo_db.audit", "--export", str(site.folder / export)]
    ours, its = os.pipe()
    os.close(ours)
    try:
        done = subprocess.run(
            [*command, "--checkpoint", str(site.folder / "checkpoint")], stdout=its, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(its)
    assert (done.returncode, done.stderr) == (code, b"")


def test_an_export_that_nobody_reads_any_more_ends(site: Site) -> None:
    customer = f"customer-{uuid4()}"
    with EventStore(site.dsn, customer_id=customer) as store:
        store.emit_many([event("sla_breached", None, payload={"filler": "x" * 1000}) for _ in range(3000)])
    command = [sys.executable, "-m", "aximo_db", "export", "--db", site.dsn, "-c", customer]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as export:
        assert export.stdout is not None
        assert export.stdout.readline().endswith(b"\n")
        export.stdout.close()
        assert export.stderr is not None
        assert export.stderr.read() == b""  # also not how many were exported, as they were not
        assert export.wait(60) == 0


def test_a_pipe_whose_reader_goes_away_is_no_error_and_the_import_goes_on(site: Site, tmp_path: Path) -> None:
    pipe, lines = tmp_path / "pipe", tmp_path / "lines"
    os.mkfifo(pipe)
    customer = f"customer-{uuid4()}"
    lines.write_text(("no event\n" * 5000) + line(customer) + "\n")
    command = [
        sys.executable,
        "-m",
        "aximo_db",
        "import",
        str(lines),
        "--db",
        site.dsn,
        "--rejects",
        str(pipe),
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as import_:
        with pipe.open("rb") as reader:
            reader.readline()
        said = import_.communicate(timeout=60)
    assert import_.returncode == 1, said
    assert (json.loads(said[0])["refused"], json.loads(said[0])["inserted"]) == (5000, 1)


@pytest.mark.parametrize("name", ["executions", "export", "contract show"])
def test_an_output_that_is_full_is_an_error_and_no_traceback(site: Site, name: str) -> None:
    if not Path("/dev/full").is_char_device():
        pytest.skip("there is no /dev/full here")
    arguments = [each.format(dsn=site.dsn) for each in PRINTED[name][0]]
    command = [sys.executable, "-m", "aximo_db", *name.split(), *arguments]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, timeout=60)
    assert done.returncode == 1
    assert b"standard output" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception" not in done.stderr
