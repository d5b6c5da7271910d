"""Exporting a log in files of many entries each, with a manifest; a second run goes on where the first one stopped."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Final

import psycopg

from aximo_db.audit.checkpoint import Checkpoint, read_checkpoint
from aximo_db.audit.chunks import MANIFEST, Chunk, MalformedManifest, Manifest, chunk_name, read_manifest
from aximo_db.audit.merkle import TILE_WIDTH, Tree, frontier, leaf_hash
from aximo_db.audit.note import SecretKey, parse_note, sign
from aximo_db.client import statements
from aximo_db.client.errors import MalformedEventError, ProofError
from aximo_db.client.events import Log
from aximo_db.client.ledger_cursors import LedgerCursor
from aximo_db.client.own_errors import no_customer
from aximo_db.dba.publish import alone, reading, sync_folder
from aximo_db.dba.verify_log import tile_reader

__all__ = ["WIDTH", "ExportedChunks", "export_chunks"]

#: Entries of a file, unless told otherwise: 256 tiles, some tens of megabytes.
WIDTH: Final = 65_536
_FETCH: Final = 2000
_LINES: Final = "select number, line from aximo.log_lines where log = %s and number between %s and %s order by number"


@dataclass(frozen=True, slots=True)
class ExportedChunks:
    """What was written.

    Attributes:
        manifest: of the whole set.
        written: entries that this call wrote.
    """

    manifest: Manifest
    written: int


def export_chunks(
    connection: psycopg.Connection[Any],
    folder: Path,
    customer_id: str | None,
    log: Log = "events",
    *,
    first: int = 1,
    last: int | None = None,
    width: int = WIDTH,
    key: SecretKey | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> ExportedChunks:
    """Writes entries of a log into files, and says in a manifest what they have.

    A file with all its entries is written once. The last one may have fewer; it is written anew when the set goes on.

    Args:
        connection: in autocommit; the login needs ``aximo_reader``.
        folder: where to; made if it is not there.
        customer_id: whose; ``None`` for the session's.
        log: which of the customer's logs.
        first: the first entry, the first one of a tile: 1, 257, 513 …
        last: the last entry, the last one of a tile; the log's, if left out.
        width: entries of a file, whole tiles of 256.
        key: signs the checkpoint of the manifest.
        progress: called with the number of the last entry written, and of how many.

    Raises:
        MalformedEventError: such a range is none of whole tiles, or the log is shorter.
        ProofError: the log is not whole, or is another one than the set's.
        InstallationError: another one writes there.
        OSError: it can't be written.
    """
    statements.check_log(log)
    with reading(connection, customer_id):
        query = "select aximo.log_origin(%s), aximo.log_size(%s)"
        origin, size = LedgerCursor(connection).execute(query, (log, log)).fetchone()  # type: ignore[misc]
        if origin is None:
            whose = LedgerCursor(connection).execute(statements.WHOSE).fetchone()
            raise no_customer(whose[1] if whose else ())
    end = size if last is None else last
    _check_range(first, last, width, size)
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / ".lock"):
        it = _Set(connection, folder, customer_id, log, origin, first, width, key)
        while (to := it.missing(end)) is not None:
            it.write(to)
            if progress is not None:
                progress(to, end)
        return it.done()


def _check_range(first: int, last: int | None, width: int, size: int) -> None:
    if first < 1 or first % TILE_WIDTH != 1 or width < TILE_WIDTH or width % TILE_WIDTH or (last or 0) % TILE_WIDTH:
        raise MalformedEventError(
            "a range is of whole tiles",
            rule="range_is_of_tiles",
            detail=f"from {first} to {'the end' if last is None else last}, {width} entries a file",
            hint="Begin with 1, 257, 513 and so on, end with a multiple of 256, and take a multiple of 256 for a file.",
        )
    if max(first - 1, last or 0) > size or (last is not None and last < first):
        raise MalformedEventError(
            "the log has not these entries",
            rule="range_is_within_log",
            detail=f"from {first} to {'the end' if last is None else last}, and the log has {size}",
            hint="End earlier, or number new events first: aximo-db advance.",
        )


class _Set:
    """The files of a folder, and where they go on."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        folder: Path,
        customer_id: str | None,
        log: Log,
        origin: str,
        first: int,
        width: int,
        key: SecretKey | None,
    ) -> None:
        self._connection = connection
        self._folder = folder
        self._customer_id = customer_id
        self._log: Log = log
        self._key = key
        self._origin = origin
        self._written = 0
        self._tail: Chunk | None = None
        try:
            manifest = read_manifest(folder)
        except FileNotFoundError:
            manifest = self._begun(first, width)
        except MalformedManifest as error:
            raise self._another(str(error)) from None
        if (manifest.origin, manifest.log, manifest.first, manifest.width) != (origin, log, first, width):
            raise self._another(
                f"it is of {manifest.origin}, from entry {manifest.first}, {manifest.width} entries a file"
            )
        self._manifest = manifest
        self._tree = Tree.grown(manifest.whole_end, manifest.whole)
        if len(manifest.chunks) > len(manifest.whole_chunks):
            self._tail = manifest.chunks[-1]
        self._look_at_files()

    def _another(self, detail: str) -> ProofError:
        return ProofError(
            "the folder has another set of files",
            rule="chunks_are_of_this_log",
            detail=detail,
            hint="Take another folder, or the same log, range and width as before.",
        )

    def _begun(self, first: int, width: int) -> Manifest:
        with reading(self._connection, self._customer_id):
            before = frontier(first - 1, tile_reader(self._connection, self._log))
        root = Tree.grown(first - 1, before).root()
        note = self._note(Checkpoint(self._origin, first - 1, root))
        return Manifest(self._log, first, width, tuple(before), tuple(before), (), note)

    def _note(self, checkpoint: Checkpoint) -> str:
        return checkpoint.text() if self._key is None else sign(checkpoint.text(), self._key)

    def _look_at_files(self) -> None:
        """Looks whether the log is still the one that the files are of, and the files are there."""
        manifest = self._manifest
        checkpoint = read_checkpoint(manifest.note)
        for size, root in ((self._tree.size, self._tree.root()), (checkpoint.size, checkpoint.root)):
            if self._root(size) != root:
                raise ProofError(
                    "the log is another one than that of the files",
                    rule="chunks_are_of_this_log",
                    detail=f"its first {size} entries are not those that the files have, or led to",
                    hint="After a restore to a point in time, take another folder. Else run aximo-db verify.",
                )
        for chunk in manifest.chunks:
            path = self._folder / chunk.name
            if not path.exists() or path.stat().st_size != chunk.size:
                raise self._another(f"{chunk.name} is not there, or is not what it was")
        # A last file that was written anew stays if its writer was killed then.
        names = {chunk.name for chunk in manifest.chunks}
        for chunk in manifest.chunks:
            for path in self._folder.glob(f"{chunk.first:012}-*.jsonl"):
                if path.name not in names:
                    path.unlink()

    def _root(self, size: int) -> bytes | None:
        with reading(self._connection, self._customer_id):
            query = "select case when aximo.log_size(%s) >= %s then aximo.log_root(%s, %s) end"
            row = LedgerCursor(self._connection).execute(query, (self._log, size, size, self._log)).fetchone()
        return bytes(row[0]) if row is not None and row[0] is not None else None

    def missing(self, end: int) -> int | None:
        """The last entry of the file that is to be written next, if there is one up to an end."""
        last = min(self._tree.size + self._manifest.width, end)
        there = self._tree.size if self._tail is None else self._tail.last
        return last if last > there else None

    def write(self, last: int) -> None:
        """Writes a file with the entries up to one."""
        first = self._tree.size + 1
        tree = Tree.grown(self._tree.size, self._tree.subtrees)
        digest, size = sha256(), 0
        made = self._folder / ".new"
        with reading(self._connection, self._customer_id), _new_file(made) as file:
            with self._connection.cursor("chunk_lines") as cursor:
                cursor.itersize = _FETCH
                cursor.execute(_LINES, (self._log, first, last))
                for number, line in cursor:
                    if number != tree.size + 1 or line is None:
                        break
                    data = line.encode() + b"\n"
                    file.write(data)
                    digest.update(data)
                    size += len(data)
                    tree.append(leaf_hash(data[:-1]))
            query = "select aximo.log_root(%s, %s)"
            row = LedgerCursor(self._connection).execute(query, (last, self._log)).fetchone()
            if tree.size != last or row is None or bytes(row[0]) != tree.root():
                raise ProofError(
                    "the log is not whole",
                    rule="log_is_whole",
                    detail=f"entries {first} to {last}: one is missing, or is not what was hashed",
                    hint=f"Run aximo-db verify --log {self._log}, which names it.",
                )
            file.flush()
            os.fsync(file.fileno())
        chunk = Chunk(first, last, size, digest.digest())
        made.rename(self._folder / chunk_name(first, last))
        sync_folder(self._folder)
        old = self._manifest
        is_whole = last - first + 1 == old.width
        self._manifest = replace(
            old,
            chunks=(*old.whole_chunks, chunk),
            whole=tree.subtrees if is_whole else old.whole,
            note=self._note(Checkpoint(self._origin, last, tree.root())),
        )
        self._write_manifest()
        if self._tail is not None and self._tail.name != chunk.name:
            (self._folder / self._tail.name).unlink(missing_ok=True)
        self._tail = None if is_whole else chunk
        if is_whole:
            self._tree = tree
        self._written += last - first + 1

    def _write_manifest(self) -> None:
        made = self._folder / ".new"
        with _new_file(made) as file:
            file.write(self._manifest.text().encode())
            file.flush()
            os.fsync(file.fileno())
        made.rename(self._folder / MANIFEST)
        sync_folder(self._folder)

    def done(self) -> ExportedChunks:
        """What there is now."""
        checkpoint = read_checkpoint(self._manifest.note)
        is_signed = self._key is None or self._key.verifier.key_id in {
            each.key_id for each in parse_note(self._manifest.note).signatures
        }
        if not is_signed or not (self._folder / MANIFEST).exists():
            self._manifest = replace(self._manifest, note=self._note(checkpoint))
            self._write_manifest()
        return ExportedChunks(self._manifest, self._written)


def _new_file(path: Path) -> BinaryIO:
    """A file for its owner only, in place of one that was left behind; a link is not followed."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")
