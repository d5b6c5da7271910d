"""How a file that a person named is written: the one way for every command and function that writes one.

- A regular file is there when all of it is, or is as it was. It is written beside, and renamed over what was there.
- A symbolic link stays, and what it leads to is written.
- A file that was there keeps its mode, owner and access list. A new one is for its owner only: mode 600.
- What is no regular file, such as a pipe, a terminal, ``/dev/null`` or ``/dev/stdout``, is written into, and stays.

A name of a file that was there is not kept if it is a hard link: the other names keep the old content.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import re
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, TextIO

__all__ = ["Outlet", "write_text", "writing"]

_DESCRIPTOR: Final = re.compile(r"(?:/proc/(?P<process>\d+)(?:/task/\d+)?/fd|/dev/fd)/\d+", re.ASCII)
_MOST_LINKS: Final = 40


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text in UTF-8, as :func:`writing` does.

    Raises:
        OSError: it can't be written; names the file.
    """
    with writing(path) as target:
        target.write(text)


@contextlib.contextmanager
def writing(
    path: str | os.PathLike[str],
    *,
    inputs: Sequence[str | os.PathLike[str] | BinaryIO] = (),
    drops_when_unread: bool = False,
) -> Iterator[TextIO]:
    r"""A file to write text into, in UTF-8, with ``\n`` at the end of a line.

    If an exception leaves the block, a regular file stays as it was.

    Args:
        path: the file. A pipe is opened when somebody reads it.
        inputs: files that are read meanwhile or were read before; none of them may be the one to write.
        drops_when_unread: whether what is written into a pipe that nobody reads any more is dropped; else it is an
            error.

    Raises:
        OSError: it can't be written; names the file.
    """
    named = os.fspath(path)
    place = _followed(Path(path))
    opened: contextlib.AbstractContextManager[TextIO]
    if _DESCRIPTOR.fullmatch(str(place)):
        opened = _into(named, _descriptor(named, place), drops_when_unread)
    else:
        try:
            found: os.stat_result | None = Path(path).stat()
        except FileNotFoundError:
            found = None
        if found is not None and stat.S_ISDIR(found.st_mode):
            raise _error(errno.EISDIR, named)
        if found is not None and stat.S_ISBLK(found.st_mode):
            raise OSError(errno.ENOTSUP, "it is a disk, and there may be a file system on it", named)
        if found is None or stat.S_ISREG(found.st_mode):
            if found is not None and any(_is_same(found, each) for each in inputs):
                raise OSError(errno.EINVAL, "it is read, so it can't be written", named)
            opened = _beside(named, place)
        elif stat.S_ISSOCK(found.st_mode):
            opened = _into(named, _connected(named), drops_when_unread)
        else:
            opened = _into(named, os.open(named, os.O_WRONLY | os.O_APPEND | os.O_NOCTTY), drops_when_unread)
    with opened as target:
        yield target


class Outlet(io.FileIO):
    """A descriptor to write to whose errors say what it is.

    Attributes:
        drops_when_unread: whether what is written when nobody reads it any more is dropped; else it is an error.
        is_over: whether what comes is dropped, as nobody reads it or as there was an error.
    """

    def __init__(self, descriptor: int, named: str, *, drops_when_unread: bool, closes: bool = True) -> None:
        super().__init__(descriptor, "wb", closefd=closes)
        self.named = named
        self.drops_when_unread = drops_when_unread
        self.is_over = False

    def write(self, data: Any) -> int:
        """Writes bytes.

        Raises:
            OSError: they can't be written; names the file. What comes after it is dropped.
        """
        if self.is_over:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except BrokenPipeError as error:
            self.is_over = True
            if self.drops_when_unread:
                return memoryview(data).nbytes
            error.filename = self.named
            raise
        except OSError as error:
            self.is_over = True
            error.filename = self.named
            raise


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)


def _followed(path: Path) -> Path:
    """What a path leads to through links; of a descriptor by its name, as /dev/stdout, the descriptor's own path."""
    named = str(path)
    for _ in range(_MOST_LINKS):
        path = path.parent.resolve() / path.name
        if _DESCRIPTOR.fullmatch(str(path)):
            return path
        try:
            path = path.parent / path.readlink()
        except OSError:
            return path
    raise _error(errno.ELOOP, named)


def _is_same(found: os.stat_result, other: str | os.PathLike[str] | BinaryIO) -> bool:
    try:
        there = Path(other).stat() if isinstance(other, str | os.PathLike) else os.fstat(other.fileno())
    except OSError:  # also: no file at all
        return False
    return os.path.samestat(found, there)


def _descriptor(named: str, place: Path) -> int:
    """A descriptor of this process, which goes on where it is, or of another one."""
    match = _DESCRIPTOR.fullmatch(str(place))
    process = match["process"] if match is not None else None
    if process is not None and int(process) != os.getpid():
        return os.open(place, os.O_WRONLY | os.O_APPEND | os.O_NOCTTY)
    number = int(place.name)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    try:
        if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "it is not open for writing", named)
        return os.dup(number)
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        raise OSError(errno.EBADF, "there is no such descriptor", named) from error


def _connected(named: str) -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(named)
        except OSError as error:
            raise OSError(error.errno or errno.EINVAL, error.strerror or str(error), named) from error
        return connection.detach()


def _text_into(outlet: Outlet) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedWriter(outlet), encoding="utf-8", newline="\n")


@contextlib.contextmanager
def _into(named: str, descriptor: int, drops_when_unread: bool) -> Iterator[TextIO]:
    target = _text_into(Outlet(descriptor, named, drops_when_unread=drops_when_unread))
    try:
        yield target
    except BaseException:
        with contextlib.suppress(OSError):
            target.close()
        raise
    target.close()


@contextlib.contextmanager
def _beside(named: str, place: Path) -> Iterator[TextIO]:
    """A new file beside the one at a place, which takes that place when the block ends."""
    with contextlib.ExitStack() as stack:
        there: int | None = None
        with contextlib.suppress(FileNotFoundError):
            # It is opened to learn whether it may be written. Nothing is written here yet.
            there = os.open(place, os.O_WRONLY)
            stack.callback(os.close, there)
        descriptor, part = _part(named, place, is_new=there is None)
        target = _text_into(Outlet(descriptor, named, drops_when_unread=False))
        try:
            yield target
            target.flush()
            os.fsync(descriptor)
            if there is None or _is_alike(descriptor, part, os.fstat(there), place):
                try:
                    Path(part).replace(place)
                except OSError:
                    # A mount point, or a file of somebody else's in a sticky folder.
                    if there is None:
                        raise
                    _copy(named, part, there)
                else:
                    _keep_name(place.parent)
                    return
            else:
                _copy(named, part, there)
        except OSError as error:
            if error.filename == part:
                error.filename, error.filename2 = named, None
            raise
        finally:
            with contextlib.suppress(OSError):
                target.close()
            with contextlib.suppress(FileNotFoundError):
                Path(part).unlink()


def _part(named: str, place: Path, *, is_new: bool) -> tuple[int, str]:
    folder = place.parent
    try:
        return tempfile.mkstemp(prefix=".aximo-", suffix=".part", dir=folder)
    except OSError as error:
        if is_new or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise OSError(error.errno, f"{error.strerror}, in the folder {folder}", named) from error
    # The file may be written, its folder not.
    return tempfile.mkstemp(prefix="aximo-", suffix=".part")


def _is_alike(descriptor: int, part: str, before: os.stat_result, place: Path) -> bool:
    """Makes owner, mode and access list of a new file those of the one at a place, if that may be done."""
    try:
        new = os.fstat(descriptor)
        if new.st_dev != before.st_dev:
            return False
        if (new.st_uid, new.st_gid) != (before.st_uid, before.st_gid):
            os.fchown(descriptor, before.st_uid, before.st_gid)
        shutil.copystat(place, part)
        os.utime(part)
        return stat.S_IMODE(os.fstat(descriptor).st_mode) == stat.S_IMODE(before.st_mode)
    except OSError:
        return False


def _keep_name(folder: Path) -> None:
    """Has the folder written to the disk, where folders can be."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _copy(named: str, part: str, there: int) -> None:
    """Puts the content of a finished file into one that can't be replaced."""
    size = Path(part).stat().st_size
    before = os.fstat(there).st_size
    try:
        if hasattr(os, "posix_fallocate") and size > before:
            # A disk that is full is noticed before anything is overwritten.
            os.posix_fallocate(there, 0, size)
        with Path(part).open("rb") as source, open(there, "wb", closefd=False) as target:
            shutil.copyfileobj(source, target)
            target.flush()
            os.ftruncate(there, size)
            os.fsync(there)
    except OSError as error:
        if size > before and os.lseek(there, 0, os.SEEK_CUR) == 0:
            os.ftruncate(there, before)
        raise OSError(error.errno, error.strerror, named) from error
