"""Reading a folder that ``export --chunks`` wrote, for ``import``: what the ledger has already is left out."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import psycopg

from aximo_db.audit.checkpoint import split_origin
from aximo_db.audit.chunks import MANIFEST, Chunk, MalformedManifest, read_manifest
from aximo_db.cli.support import fail
from aximo_db.client.connect import connect, value_of
from aximo_db.client.statements import SET_CUSTOMER
from aximo_db.lines.importer import raw_lines

__all__ = ["ChunkFiles", "opened"]


class ChunkFiles(io.RawIOBase):
    """The files of a set, one after the other.

    Args:
        folder: where they are.
        chunks: which ones.
    """

    def __init__(self, folder: Path, chunks: list[Chunk]) -> None:
        self._folder = folder
        self._left = list(chunks)
        self._file: BinaryIO | None = None
        self._before = chunks[0].first - 1 if chunks else 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """The next bytes."""
        while True:
            if self._file is None:
                if not self._left:
                    return 0
                self._file = (self._folder / self._left.pop(0).name).open("rb")
            data = self._file.read(len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)
            self._file.close()
            self._file = None

    def close(self) -> None:
        """Closes the file that is read."""
        if self._file is not None:
            self._file.close()
        super().close()

    def split(self, source: BinaryIO, longest: int) -> Iterator[tuple[int, bytes, int]]:
        """Its lines, each with the number of its entry."""
        for number, raw, after in raw_lines(source, longest):
            yield number + self._before, raw, after


def opened(folder: Path, db: str | None) -> ChunkFiles:
    """The files of a set that the ledger has not, looked at before any is read; ends the command if one differs."""
    try:
        manifest = read_manifest(folder)
        customer, rest = split_origin(manifest.origin)[1], manifest.log
    except FileNotFoundError:
        fail(f"{folder}: there is no {MANIFEST}", hint="Name a file, or a folder that export --chunks wrote.", code=2)
    except MalformedManifest as error:
        fail(f"{folder / MANIFEST}: {error}", code=2)
    except ValueError:
        rest = "run_events"
    if rest != "events":
        fail("these files are of tool runs' events", hint="Keep and verify them; runs import reads exports of runs.")
    left = list(manifest.chunks)[_imported(folder, manifest.chunks, customer, db) :]
    for chunk in left:
        if not chunk.is_in(folder):
            fail(f"{folder / chunk.name}: it is not what {MANIFEST} says", hint="Nothing was imported. Get it again.")
    return ChunkFiles(folder, left)


def _imported(folder: Path, chunks: tuple[Chunk, ...], customer: str, db: str | None) -> int:
    """How many of the first files are imported already: batches are written in order, so the last line tells."""
    low, high = 0, len(chunks)
    with connect(db) as connection, suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
        # A login that only writes can't look; each line is a duplicate then.
        connection.execute(SET_CUSTOMER, (customer,))
        while low < high:
            middle = (low + high) // 2
            event_id = _last_id(folder / chunks[middle].name)
            query = "select exists (select from aximo.events where event_id = %s)"
            if event_id is not None and value_of(connection, query, (event_id,)):
                low = middle + 1
            else:
                high = middle
    return low


def _last_id(path: Path) -> str | None:
    """The event_id of the last line."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16 * 1024 * 1024))
            last = file.read().splitlines()[-1]
        found = json.loads(last)["event_id"]
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None
    return found if isinstance(found, str) else None
