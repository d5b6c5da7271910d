"""Ends the PostgreSQL servers of a test run that was killed.

A server is nobody's child, so it does not end with the run. This program waits until the other end of its standard
input is closed, which the system does however the run ends, and then ends every server in the run's folders.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_PATIENCE_S = 10.0


@contextlib.contextmanager
def watched(*folders: Path) -> Iterator[None]:
    """Has servers in these folders end with the block, or with the process if it does not get that far.

    The first folder is removed then.
    """
    command = [sys.executable, "-I", __file__, *map(str, folders)]
    # In a session of its own, no signal to the run's group reaches it.
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as watcher:
        try:
            yield
        finally:
            assert watcher.stdin is not None
            watcher.stdin.close()


def servers_in(folders: list[Path]) -> list[int]:
    """PostgreSQL processes that work in these folders, or below; none where /proc does not tell."""
    found = []
    for entry in Path("/proc").iterdir() if Path("/proc/self/stat").exists() else ():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "comm").read_text().strip() == "postgres":
                working = (entry / "cwd").readlink()
                if any(working.is_relative_to(folder) for folder in folders):
                    found.append(int(entry.name))
    return found


def main() -> None:
    """Waits, and ends what is left."""
    sys.stdin.buffer.read()
    folders = [Path(each).resolve() for each in sys.argv[1:]]
    deadline = time.monotonic() + _PATIENCE_S
    while left := servers_in(folders):
        # At once and without a checkpoint: nobody wants the data any more.
        number = signal.SIGQUIT if time.monotonic() < deadline else signal.SIGKILL
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if time.monotonic() > deadline + _PATIENCE_S:
            return
        time.sleep(0.1)
    shutil.rmtree(folders[0], ignore_errors=True)


if __name__ == "__main__":
    main()
