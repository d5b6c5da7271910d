"""Reading files that others hand over: only ordinary ones, and never more than there can be."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

__all__ = ["LONGEST_LINE", "MOST_BYTES", "open_ordinary", "read_whole", "short_lines"]

#: Of a file that is read whole: a bundle of 256 of the longest entries has 16 MiB.
MOST_BYTES: Final = 64 * 1024 * 1024
#: Of a line of an export.
LONGEST_LINE: Final = 16 * 1024 * 1024


def open_ordinary(path: Path) -> BinaryIO:
    """Opens a file to be read; a device or a pipe, which may have no end, is refused.

    Raises:
        FileNotFoundError, IsADirectoryError, OSError: as for any file.
        OSError: it is no ordinary file.
    """
    # A pipe that nobody writes to would be waited for.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(None, "it is no ordinary file", str(path))
    return os.fdopen(descriptor, "rb")


def read_whole(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        OSError: as :func:`open_ordinary`, or it has more than :data:`MOST_BYTES`.
    """
    with open_ordinary(path) as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise OSError(None, f"it has more than {MOST_BYTES} bytes", str(path))
    return data


def short_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, each with its line feed.

    Raises:
        OSError: as :func:`open_ordinary`, or a line is longer than :data:`LONGEST_LINE`.
    """
    with open_ordinary(path) as file:
        while line := file.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                raise OSError(None, f"it has a line of more than {LONGEST_LINE} bytes", str(path))
            yield line
