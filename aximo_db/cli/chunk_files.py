"""Reading a folder that ``export --chunks`` wrote, for ``import``: what the ledger has already is left out."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

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
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}", code=2)
    if rest != "events":
        fail("these files are of tool runs' events", hint="Keep and verify them; runs import reads exports of runs.")
    for chunk in manifest.chunks:
        try:
            is_there = chunk.is_in(folder)
        except OSError as error:
            fail(f"{error.filename}: {error.strerror}", hint="Nothing was imported.", code=2)
        if not is_there:
            fail(f"{folder / chunk.name}: it is not what {MANIFEST} says", hint="Nothing was imported. Get it again.")
    return ChunkFiles(folder, list(manifest.chunks)[_imported(folder, manifest.chunks, customer, db) :])


def _imported(folder: Path, chunks: tuple[Chunk, ...], customer: str, db: str | None) -> int:
    """How many of the first files are imported already, each of their events."""
    with connect(db) as connection, suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
        # A login that only writes can't look; each line is a duplicate then.
        connection.execute(SET_CUSTOMER, (customer,))
        for place, chunk in enumerate(chunks):
            event_ids = _event_ids(folder / chunk.name)
            query = "select count(*) from aximo.events where event_id = any(%s::text[]::uuid[])"
            if event_ids is None or value_of(connection, query, (event_ids,)) < len(event_ids):
                return place
        return len(chunks)
    return 0


def _event_ids(path: Path) -> list[str] | None:
    """Those of a file's lines; ``None`` if there is a line without one."""
    try:
        with path.open("rb") as file:
            return sorted({str(UUID(json.loads(line)["event_id"])) for line in file})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
