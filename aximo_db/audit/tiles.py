"""Where things are in a published log: a folder that any web server can serve, in the layout of C2SP tlog-tiles.

https://c2sp.org/tlog-tiles. Beside tiles and ``checkpoint`` a folder of this project's has:

- ``checkpoints/<size>``: every note that was published, as its log signed it;
- ``checkpoints/<size>.<key id>.cosignature``: the signature line of a witness for that note;
- ``checkpoints/<size>.tsr``: a time stamp (RFC 3161) of that note;
- ``checkpoints/SHA256SUMS``: which of these files there are, as ``sha256sum -c`` reads it;
- ``entries/omitted``: a note with the numbers of entries that no bundle can hold;
- ``forks/<time>``: what was published before the log was cut, with a note ``reason``.
"""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

from aximo_db.audit.bounded import MOST_BYTES, read_whole
from aximo_db.audit.merkle import HASH_SIZE, TILE_WIDTH, TileReader

__all__ = [
    "CHECKPOINT",
    "FORKS",
    "HISTORY",
    "LONGEST_ENTRY",
    "OMITTED",
    "REASON",
    "SUMS",
    "Folder",
    "MalformedBundle",
    "Served",
    "Source",
    "bundle_of",
    "bundle_path",
    "cosignature_path",
    "entries_of",
    "folder_name",
    "note_path",
    "read_tile",
    "reader_of",
    "stamp_path",
    "tile_at",
    "tile_path",
    "tiles_of",
]

CHECKPOINT: Final = "checkpoint"
HISTORY: Final = "checkpoints"
SUMS: Final = f"{HISTORY}/SHA256SUMS"
OMITTED: Final = "entries/omitted"
FORKS: Final = "forks"
REASON: Final = "reason"
#: Bytes of an entry in a bundle: its length is a uint16.
LONGEST_ENTRY: Final = 65_535

_TIMEOUT: Final = 30.0  # seconds
_TILE: Final = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/)*[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?",
    re.ASCII,
)


class MalformedBundle(ValueError):  # noqa: N818
    """Bytes are no bundle of entries."""


def folder_name(origin: str) -> str:
    """The folder of a log: the SHA-256 of its origin in lower-case hexadecimal, as C2SP tlog-mirror names it.

    So a path that is shared tells no customer's name.
    """
    return sha256(origin.encode()).hexdigest()


def _place(index: int) -> str:
    last = f"{index % 1000:03}"
    while index := index // 1000:
        last = f"x{index % 1000:03}/{last}"
    return last


def tile_path(level: int | str, index: int, width: int = TILE_WIDTH) -> str:
    """Where a tile is, such as ``tile/0/x001/234.p/17``.

    Args:
        level: 0 for leaf hashes; ``entries`` for a bundle.
        index: from 0, within its level.
        width: hashes in it; one that is not full has a path for each width.
    """
    return f"tile/{level}/{_place(index)}{'' if width == TILE_WIDTH else f'.p/{width}'}"


def bundle_path(index: int, width: int = TILE_WIDTH) -> str:
    """Where the entries of a leaf tile are."""
    return tile_path("entries", index, width)


def tile_at(path: str) -> tuple[int | None, int, int] | None:
    """The level, index and width of a path; the level is ``None`` of a bundle. ``None`` if it is no tile's path."""
    found = _TILE.fullmatch(path)
    if found is None:
        return None
    index = int(re.sub("[x/]", "", found["index"]))
    width = int(found["width"] or TILE_WIDTH)
    level = None if found["level"] == "entries" else int(found["level"])
    # Each has one path: no leading zeros beyond those of a group, and a full one is not partial.
    is_one = path == tile_path("entries" if level is None else level, index, width)
    return (level, index, width) if is_one and width <= TILE_WIDTH and (level or 0) < 64 else None


def tiles_of(size: int, since: int = 0) -> Iterator[tuple[int, int, int]]:
    """Level, index and width of the tiles of a log of that size, those that it had at another size left out.

    Args:
        size: entries.
        since: entries that it had; the tiles that were full then are left out.
    """
    level = 0
    while size:
        for index in range(since // TILE_WIDTH, (size + TILE_WIDTH - 1) // TILE_WIDTH):
            yield level, index, min(TILE_WIDTH, size - index * TILE_WIDTH)
        level, size, since = level + 1, size // TILE_WIDTH, since // TILE_WIDTH


def note_path(size: int) -> str:
    """Where the note of a size is kept."""
    return f"{HISTORY}/{size}"


def stamp_path(size: int) -> str:
    """Where the time stamp of a note is."""
    return f"{HISTORY}/{size}.tsr"


def cosignature_path(size: int, key_id: bytes) -> str:
    """Where a witness's signature line for a note is."""
    return f"{HISTORY}/{size}.{key_id.hex()}.cosignature"


def bundle_of(lines: Sequence[bytes]) -> bytes:
    """A bundle of entries: of each its length in two bytes, and its line.

    Raises:
        MalformedBundle: a line is too long for one.
    """
    if any(len(line) > LONGEST_ENTRY for line in lines):
        raise MalformedBundle(f"an entry has more than {LONGEST_ENTRY} bytes")
    return b"".join(len(line).to_bytes(2, "big") + line for line in lines)


def entries_of(bundle: bytes) -> list[bytes]:
    """The lines in a bundle.

    Raises:
        MalformedBundle: it ends amid one.
    """
    lines, at = [], 0
    while at < len(bundle):
        length = int.from_bytes(bundle[at : at + 2], "big")
        line = bundle[at + 2 : at + 2 + length]
        if at + 1 >= len(bundle) or len(line) != length:
            raise MalformedBundle("the bundle ends amid an entry")
        lines.append(line)
        at += 2 + length
    return lines


class Source(Protocol):
    """Where a published log is read from.

    Attributes:
        name: of its folder, without the way to it.
    """

    name: str

    def read(self, path: str, /) -> bytes | None:
        """The bytes of a file, ``None`` if there is none.

        Raises:
            OSError: it can't be read.
        """
        ...

    def names(self, folder: str, /) -> Iterator[str] | None:
        """The paths of all files under a folder; ``None`` where nobody lists them."""
        ...


class Folder:
    """A published log on this machine.

    Args:
        path: of its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.absolute().name

    def read(self, path: str, /) -> bytes | None:
        """The bytes of a file, ``None`` if there is none."""
        with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return read_whole(self.path / path)
        return None

    def names(self, folder: str, /) -> Iterator[str]:
        """The paths of all files under a folder, those that begin with a dot left out."""
        for entry in sorted((self.path / folder).glob("*")):
            if entry.name.startswith("."):
                continue
            relative = entry.relative_to(self.path).as_posix()
            if entry.is_dir():
                yield from self.names(relative)
            else:
                yield relative


class Served:
    """A published log on a web server.

    Args:
        url: of its folder, with or without a slash at the end.

    Raises:
        ValueError: not an address of the web.
    """

    def __init__(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError("a published log is a folder, or at an address that begins with http:// or https://")
        self.url = url.rstrip("/")
        self.name = self.url.rpartition("/")[2]

    def read(self, path: str, /) -> bytes | None:
        """The bytes of a file, ``None`` if the server has none.

        Raises:
            OSError: the server is not reached, or says something else.
        """
        address = f"{self.url}/{path}"
        try:
            with urllib.request.urlopen(address, timeout=_TIMEOUT) as answer:  # noqa: S310 - http and https only
                data: bytes = answer.read(MOST_BYTES + 1)
        except urllib.error.HTTPError as error:
            with error:
                if error.code in (403, 404, 410):
                    return None
                raise OSError(None, f"the server says {error.code}", address) from None
        except urllib.error.URLError as error:
            raise OSError(None, str(error.reason), address) from None
        except http.client.HTTPException as error:
            raise OSError(None, f"the answer can't be read: {error}", address) from None
        if len(data) > MOST_BYTES:
            raise OSError(None, f"more than {MOST_BYTES} bytes", address)
        return data

    def names(self, _: str, /) -> None:
        """Nobody lists them."""
        return


def read_tile(source: Source, level: int, index: int, width: int) -> bytes | None:
    """A tile, or the full one in its place, which begins with it; ``None`` if there is neither."""
    data = source.read(tile_path(level, index, width))
    if data is None and width < TILE_WIDTH:
        data = source.read(tile_path(level, index))
        data = None if data is None else data[: width * HASH_SIZE]
    return data


def reader_of(source: Source) -> TileReader:
    """Reads tiles for proofs; one that is not there has no bytes."""

    def read(level: int, index: int, width: int, /) -> bytes:
        return read_tile(source, level, index, width) or b""

    return read
