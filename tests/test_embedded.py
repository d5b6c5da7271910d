"""The embedded server: a PostgreSQL in a folder of one's own, wherever that folder is and whoever starts it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from aximo_db import InstallationError
from aximo_db.local.embedded import EmbeddedServer, embedded_binaries
from aximo_db.local.ledger import LocalLedger
from tests.conftest import BINARIES
from tests.test_lost_connections import soon

QUICK = {"fsync": "off", "log_min_messages": "fatal", "shared_buffers": "16MB"}
Make = Callable[..., EmbeddedServer]


@pytest.fixture
def make() -> Iterator[Make]:
    """Servers that are stopped when the test ends."""
    made: list[EmbeddedServer] = []

    def server(path: Path, **options: object) -> EmbeddedServer:
        options.setdefault("settings", QUICK)
        options.setdefault("bin_dir", next(iter(BINARIES.values())))
        made.append(EmbeddedServer(path, **options))  # type: ignore[arg-type]
        return made[-1]

    yield server
    for each in made:
        soon(lambda server=each: _stopped(server))  # type: ignore[misc]


def _stopped(server: EmbeddedServer) -> bool:
    pid = server.pid
    if pid is not None and not _is_dead(pid):
        server.stop("immediate")
    return server.pid is None or _is_dead(pid or 0)


def _is_dead(pid: int) -> bool:
    """Gone, or a zombie that nobody has waited for yet."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return not Path("/proc/self").exists() or not Path(f"/proc/{pid}").exists()


def ask(server: EmbeddedServer, query: str) -> object:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        cursor = connection.execute(query)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_restart_keeps_the_data(make: Make, tmp_path: Path) -> None:
    server = make(tmp_path / "data")
    assert server.pid is None
    server.start()
    pid = server.pid
    assert pid is not None
    ask(server, "create table kept as select 42 as answer")
    server.start()  # it runs already
    assert server.pid == pid
    server.stop()
    assert server.pid is None
    server.stop()  # it is stopped already
    with server:
        assert server.pid != pid
        assert ask(server, "select answer from kept") == 42
    assert server.pid is None


def test_it_listens_on_its_socket_only_and_only_for_its_user(make: Make, tmp_path: Path) -> None:
    server = make(tmp_path / "data")
    server.start()
    assert ask(server, "select current_setting('listen_addresses')") == ""
    file = server.socket_dir / f".s.PGSQL.{server.socket_port}"
    assert stat.S_IMODE(file.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.data_dir.stat().st_mode) == 0o700
    assert ask(server, "select current_setting('server_encoding')") == "UTF8"


def test_the_settings_and_not_the_environment_decide(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGDATA", "/nonexistent")
    monkeypatch.setenv("PGHOST", "/nonexistent")
    server = make(tmp_path / "data", settings={**QUICK, "cluster_name": 'it\'s a "name" with $HOME'})
    server.start()
    assert ask(server, "select current_setting('cluster_name')") == 'it\'s a "name" with $HOME'


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        "it's",
        'say "hi"',
        "comma, here",
        "dollar $HOME",
        pytest.param("back`tick`", marks=pytest.mark.heavy),
        pytest.param("back\\slash", marks=pytest.mark.heavy),
        "ümläut-日本",
        pytest.param("100%25", marks=pytest.mark.heavy),
        pytest.param("plus+and&amp", marks=pytest.mark.heavy),
        pytest.param("-dash", marks=pytest.mark.heavy),
        pytest.param("a" * 90, marks=pytest.mark.heavy),
    ],
)
def test_it_runs_wherever_the_folder_is(make: Make, tmp_path: Path, name: str) -> None:
    server = make(tmp_path / name / "data")
    server.start()
    assert ask(server, "select current_setting('data_directory')") == str(tmp_path / name / "data")
    server.stop()
    assert server.pid is None


def test_a_path_too_long_for_a_socket_has_its_socket_elsewhere(make: Make, tmp_path: Path) -> None:
    long = tmp_path / ("a" * 120) / ("b" * 120)
    server = make(long)
    server.start()
    assert server.socket_dir != server.data_dir
    assert stat.S_IMODE(server.socket_dir.stat().st_mode) == 0o700
    assert ask(server, "select 1") == 1
    other = make(long)
    other.start()
    assert (other.pid, other.dsn()) == (server.pid, server.dsn())
    server.stop()
    assert not server.socket_dir.exists()
    server.start()
    assert ask(server, "select 1") == 1


def test_a_second_start_finds_the_running_one(make: Make, tmp_path: Path) -> None:
    first = make(tmp_path / "data")
    first.start()
    ask(first, "create table kept as select 42 as answer")
    second = make(tmp_path / "data")
    assert second.pid == first.pid
    second.start()
    assert second.pid == first.pid
    assert ask(second, "select answer from kept") == 42
    second.stop()
    assert first.pid is None


@pytest.mark.parametrize(("first_has", "second_has"), [(True, False), (False, True)])
def test_a_second_start_with_another_port_finds_the_running_one_or_says_why_not(
    make: Make, tmp_path: Path, first_has: bool, second_has: bool
) -> None:
    first = make(tmp_path / "data", port=free_port() if first_has else None)
    first.start()
    second = make(tmp_path / "data", port=free_port() if second_has else None)
    try:
        second.start()
    except InstallationError as error:
        assert error.rule
    else:
        assert ask(second, "select 1") == 1


@pytest.mark.parametrize("version", BINARIES)
def test_the_binaries_of_any_installed_postgresql_will_do(make: Make, tmp_path: Path, version: str) -> None:
    server = make(tmp_path / "data", bin_dir=BINARIES[version])
    server.start()
    major = int((server.data_dir / "PG_VERSION").read_text())
    if version.isdigit():
        assert major == int(version)
    found = ask(server, "select current_setting('server_version_num')::integer / 10000")
    assert found == major


def test_data_of_another_version_does_not_start_and_says_so(make: Make, tmp_path: Path) -> None:
    if len(BINARIES) < 2:
        pytest.skip("only one PostgreSQL on this machine")
    one, other = list(BINARIES)[:2]
    make(tmp_path / "data", bin_dir=BINARIES[one]).start()
    make(tmp_path / "data", bin_dir=BINARIES[one]).stop()
    with pytest.raises(InstallationError) as caught:
        make(tmp_path / "data", bin_dir=BINARIES[other]).start()
    assert caught.value.rule == "server_starts"
    assert caught.value.detail


def test_a_setting_that_is_wrong_is_an_installation_error(make: Make, tmp_path: Path) -> None:
    with pytest.raises(InstallationError) as caught:
        make(tmp_path / "data", settings={"shared_buffers": "plenty"}).start()
    assert caught.value.rule == "server_starts"
    assert caught.value.detail


def test_it_recovers_after_it_was_killed(make: Make, tmp_path: Path) -> None:
    server = make(tmp_path / "data")
    server.start()
    before = server.pid
    ask(server, "create table kept as select generate_series(1, 1000) as n")
    server.kill()
    server.start()
    assert server.pid not in (None, before)
    assert ask(server, "select count(*) from kept") == 1000
    server.stop()


def test_killing_leaves_no_process_behind(make: Make, tmp_path: Path) -> None:
    server = make(tmp_path / "data")
    server.start()
    with psycopg.connect(server.dsn()) as connection:
        pids = [connection.info.backend_pid, server.pid or 0]
        pids += [row[0] for row in connection.execute("select pid from pg_stat_activity")]
        server.kill()
        connection.close()
    soon(lambda: all(_is_dead(pid) for pid in pids))
    server.kill()  # nothing left to kill


def test_without_the_wheel_there_is_an_installation_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for call in (embedded_binaries, lambda: EmbeddedServer(tmp_path / "data")):
        with pytest.raises(InstallationError) as caught:
            call()
        assert (caught.value.rule, caught.value.sqlstate) == ("embedded_present", "ZXENV")
        assert caught.value.hint
    assert not (tmp_path / "data").exists()
    # With binaries given it is not asked for.
    EmbeddedServer(tmp_path / "data", bin_dir=tmp_path)


def test_over_tcp_passwords_are_asked_for(tmp_path: Path) -> None:
    port = free_port()
    ledger = LocalLedger(tmp_path / "data", port=port, settings=QUICK)
    try:
        ledger.start()
        dsns = ledger.dsns()
        assert set(dsns) == {"owner", "service", "owner_tcp", "service_tcp"}
        for dsn in dsns.values():
            with psycopg.connect(dsn) as connection:
                assert connection.execute("select aximo.schema_version()").fetchone() is not None
        for user in ("postgres", "aximo_admin", "aximo_service"):
            for password in ("", "wrong"):
                with pytest.raises(psycopg.OperationalError):
                    psycopg.connect(host="127.0.0.1", port=port, user=user, password=password, dbname="aximo")
        secret = ledger.server.data_dir / "aximo_passwords.json"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        # The next start keeps them.
        ledger.server.stop()
        again = LocalLedger(tmp_path / "data", port=port, settings=QUICK)
        again.start()
        assert again.dsns() == dsns
    finally:
        ledger.server.stop()


def test_a_local_ledger_is_installed_by_an_ordinary_owner(tmp_path: Path) -> None:
    ledger = LocalLedger(tmp_path / "data", settings=QUICK)
    try:
        for _ in range(2):
            ledger.start()
        assert set(ledger.dsns()) == {"owner", "service"}
        with psycopg.connect(ledger.dsns()["owner"]) as connection:
            query = "select rolsuper, rolbypassrls from pg_roles where rolname = current_user"
            assert connection.execute(query).fetchone() == (False, False)
        with psycopg.connect(ledger.dsns()["service"]) as connection:
            assert connection.execute("select pg_has_role('aximo_owner', 'member')").fetchone() == (False,)
    finally:
        ledger.server.stop()


@pytest.mark.parametrize("entry", ["a file", "a folder", ".hidden", "PG_VERSION"])
def test_a_directory_with_something_of_others_is_named_and_left_alone(make: Make, tmp_path: Path, entry: str) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o750)
    (data / entry).mkdir() if entry == "a folder" else (data / entry).write_text("18\n")
    before = [(each.name, each.stat()) for each in data.iterdir()], data.stat()
    server = make(data)
    for call in (server.start, server.stop):
        with pytest.raises(InstallationError) as caught:
            call()
        assert (caught.value.rule, entry in (caught.value.detail or "")) == ("data_dir_is_ours", True)
        assert str(data) in str(caught.value)
    assert ([(each.name, each.stat()) for each in data.iterdir()], data.stat()) == before
    shutil.rmtree(data)
    data.mkdir()  # empty, it is as good as none
    assert server.start() is True
    assert server.start() is False


def test_a_file_is_no_data_directory(make: Make, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("kept")
    with pytest.raises(InstallationError) as caught:
        make(tmp_path / "data").start()
    assert caught.value.rule == "data_dir_is_ours"
    (tmp_path / "data").unlink()


def test_a_ledger_that_cannot_be_installed_leaves_no_server_of_its_own_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise InstallationError("no", rule="server_starts")

    ledger = LocalLedger(tmp_path / "data", settings=QUICK)
    with monkeypatch.context() as patched:
        patched.setattr("aximo_db.local.ledger.migrate", fails)
        with pytest.raises(InstallationError):
            ledger.start()
        assert ledger.server.pid is None
        try:
            ledger.server.start()
            pid = ledger.server.pid
            with pytest.raises(InstallationError):
                ledger.start()
            assert ledger.server.pid == pid  # it was there before
        finally:
            ledger.server.stop()


def test_each_step_is_told_before_it_is_made_and_none_that_is_not(tmp_path: Path) -> None:
    ledger = LocalLedger(tmp_path / "data", settings=QUICK)
    told: list[str] = []
    try:
        assert ledger.start(told.append) is True
        assert [each.split()[0] for each in told] == ["making", "starting", "making", "installing"]
        told.clear()
        assert ledger.start(told.append) is False
        assert told == []
        ledger.server.stop()
        assert ledger.start(told.append) is True
        assert told == ["starting PostgreSQL"]
    finally:
        ledger.server.stop()


def test_the_folders_above_are_opened_no_further_than_needed(make: Make, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root hands the data directory over")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    make(closed / "data").start()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o701


# What a server that was killed leaves behind


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the server's own account that notes every signal it gets."""
    program = (
        "import os, pwd, signal\n"
        "def note(number, frame): os.write(1, b'%d ' % number)\n"
        "for number in range(1, 32):\n"
        "    if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD): signal.signal(number, note)\n"
        "if os.geteuid() == 0: os.setuid(pwd.getpwnam('nobody').pw_uid)\n"
        "os.write(1, b'ready ')\n"
        "while True: signal.pause()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd="/") as process:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 6) == b"ready "
        yield process
        process.kill()


def signals_of(process: subprocess.Popen[bytes]) -> bytes:
    """Which signals a process got, up to one more."""
    process.send_signal(signal.SIGUSR1)
    assert process.stdout is not None
    found = b""
    while not found.endswith(b"%d " % signal.SIGUSR1):
        found += os.read(process.stdout.fileno(), 100)
    return found.removesuffix(b"%d " % signal.SIGUSR1)


def left_behind(server: EmbeddedServer, recorded: int | str) -> None:
    """Starts and kills a server, and puts another number, or any text, into the files that it left."""
    server.start()
    ask(server, "create table if not exists kept as select 42 as answer")
    file, lock = server.data_dir / "postmaster.pid", server.socket_dir / f".s.PGSQL.{server.socket_port}.lock"
    texts = {path: path.read_text() for path in (file, lock)}
    owner = file.stat()
    server.kill()
    soon(lambda: not postgres_in(server.data_dir))
    for path, text in texts.items():
        if isinstance(recorded, int):
            path.write_text(f"{recorded}\n" + text.split("\n", 1)[1])
        else:
            path.write_text(recorded if path == file else text)
        os.chown(path, owner.st_uid, owner.st_gid)


def postgres_in(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and entry.joinpath("cwd").samefile(folder) and not _is_dead(int(entry.name)):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


with_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@with_proc
@pytest.mark.parametrize("does", ["start", "stop", "kill"])
def test_a_process_that_has_the_number_now_is_left_alone(
    make: Make, tmp_path: Path, stranger: subprocess.Popen[bytes], does: str
) -> None:
    server = make(tmp_path / "data")
    left_behind(server, stranger.pid)
    assert server.pid is None
    if does == "start":
        server.start()
        assert server.pid not in (None, stranger.pid)
        assert ask(server, "select answer from kept") == 42
        assert server.stop() is True
    elif does == "stop":
        assert server.stop() is False
        server.start()
        assert ask(server, "select answer from kept") == 42
    else:
        server.kill()
    assert stranger.poll() is None
    assert signals_of(stranger) == b""


@with_proc
def test_whatever_the_pid_file_says_a_dead_server_is_started_and_nobody_signalled(make: Make, tmp_path: Path) -> None:
    server = make(tmp_path / "data")
    numbers = (1, os.getpid(), os.getppid(), 2**22 - 1)
    texts = ("", "\n", "nonsense\n", "-1\n", "0\n", "-4711\n", "1 2\n", "\0\0\n", "9" * 30)
    for recorded in (*numbers, *texts):
        left_behind(server, recorded)
        assert server.pid is None
        assert server.stop() is False
        server.kill()
    server.start()
    assert ask(server, "select answer from kept") == 42


@with_proc
def test_the_server_of_another_directory_is_left_alone(make: Make, tmp_path: Path) -> None:
    other = make(tmp_path / "other")
    other.start()
    server = make(tmp_path / "data")
    left_behind(server, other.pid)
    assert server.stop() is False
    server.kill()
    server.start()
    assert ask(server, "select answer from kept") == 42
    assert ask(other, "select 1") == 1
    assert server.pid != other.pid


@with_proc
def test_a_copy_of_a_running_servers_directory_does_not_stop_that_server(make: Make, tmp_path: Path) -> None:
    server = make(tmp_path / "data")
    server.start()
    shutil.copytree(
        server.data_dir, tmp_path / "copy", ignore=lambda _, names: [n for n in names if n == ".s.PGSQL.5432"]
    )
    copy = make(tmp_path / "copy")
    assert copy.pid is None
    assert copy.stop() is False
    assert ask(server, "select 1") == 1


@with_proc
@pytest.mark.parametrize("text", ["", "nonsense\n", "1\n"])
def test_a_server_whose_pid_file_was_spoilt_is_not_joined_by_a_second_one(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr("aximo_db.local.embedded._ORPHANS_TIMEOUT_S", 0.2)
    server = make(tmp_path / "data")
    server.start()
    file = server.data_dir / "postmaster.pid"
    right = file.read_text()
    file.write_text(text)
    with pytest.raises(InstallationError) as caught:
        make(tmp_path / "data").start()
    assert caught.value.rule == "data_dir_is_free"
    assert file.read_text() == text
    assert ask(server, "select 1") == 1
    file.write_text(right)


def test_a_server_whose_process_is_not_seen_is_neither_joined_nor_signalled(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make(tmp_path / "data")
    server.start()
    pid = server.pid
    # As in another container that shares the directory.
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("aximo_db.local.embedded._is_alive", lambda pid: False)
        for call in (make(tmp_path / "data").start, make(tmp_path / "data").stop):
            with pytest.raises(InstallationError) as caught:
                call()
            assert caught.value.rule == "server_is_seen"
    assert server.pid == pid
    assert ask(server, "select 1") == 1


@pytest.mark.parametrize("number", ["its own", "a stranger's"])
def test_where_processes_do_not_tell_the_socket_does(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str, stranger: subprocess.Popen[bytes]
) -> None:
    monkeypatch.setattr("aximo_db.local.embedded._is_postgres_in", lambda pid, folder: None)
    server = make(tmp_path / "data")
    if number == "its own":
        server.start()
        pid = server.pid
        assert pid is not None
        again = make(tmp_path / "data")
        again.start()
        assert (again.pid, ask(again, "select 1")) == (pid, 1)
        assert again.stop() is True
        assert server.pid is None
    else:
        left_behind(server, stranger.pid)
        assert server.stop() is False
        server.start()
        assert ask(server, "select answer from kept") == 42
        server.stop()
        assert signals_of(stranger) == b""


@with_proc
def test_processes_that_outlive_their_server_are_waited_for(make: Make, tmp_path: Path) -> None:
    server = make(tmp_path / "data")
    server.start()
    ask(server, "create table kept as select 42 as answer")
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        # A backend that is stopped does not notice that its postmaster is gone.
        backend, postmaster = connection.info.backend_pid, server.pid
        assert postmaster is not None
        os.kill(backend, signal.SIGSTOP)
        os.kill(postmaster, signal.SIGKILL)
        soon(lambda: _is_dead(postmaster) and postgres_in(server.data_dir) == [backend])
        starting = subprocess.Popen([sys.executable, "-c", STARTS, str(server.data_dir), str(server.bin_dir)])
        time.sleep(0.5)  # so that a start that does not wait has failed or done damage
        assert starting.poll() is None
        os.kill(backend, signal.SIGCONT)
        assert starting.wait(60) == 0
    assert ask(server, "select answer from kept") == 42


STARTS = "import sys; from aximo_db.local.embedded import EmbeddedServer; EmbeddedServer(sys.argv[1], bin_dir=sys.argv[2]).start()"


RUN = """
import signal, sys
from pathlib import Path
from aximo_db.local.embedded import EmbeddedServer
from tests.watcher import watched

# A shell lets what it starts in the background ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
folder = Path(sys.argv[1])
with watched(folder):
    EmbeddedServer(folder / "data", bin_dir=sys.argv[2], settings={"fsync": "off"}).start()
    print("started", flush=True)
    signal.pause()
"""


@with_proc
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_servers_end_with_a_test_run_that_is_killed(tmp_path: Path, number: int) -> None:
    command = [sys.executable, "-c", RUN, str(tmp_path), str(next(iter(BINARIES.values())))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"started\n"
        assert postgres_in(tmp_path / "data")
        os.killpg(run.pid, number)
        try:
            run.wait(60)
        finally:
            run.kill()
    soon(lambda: not postgres_in(tmp_path / "data"))


def test_the_socket_folder_of_others_is_kept(make: Make, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "kept").write_text("kept")
    server = make(tmp_path / "data")
    server.start()
    server.stop()
    if os.geteuid() == 0:
        os.chown(theirs, server.data_dir.stat().st_uid, -1)
    # Somebody else starts it, with a socket elsewhere.
    other = make(tmp_path / "data", settings={**QUICK, "unix_socket_directories": os.path.relpath(theirs, "/tmp")})
    other.settings["unix_socket_directories"] = str(theirs)
    other.start()
    server.start()
    assert server.socket_dir == theirs
    assert ask(server, "select 1") == 1
    server.stop()
    assert (theirs / "kept").read_text() == "kept"
    server.start()
    assert server.socket_dir == server.data_dir
    assert ask(server, "select 1") == 1
