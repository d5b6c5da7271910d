"""Publishing a customer's log as a folder that any web server can serve: tiles first, the checkpoint last.

See docs/design/0020-published-folders.md. A file that is there is never written again, but for ``checkpoint``,
``checkpoints/SHA256SUMS`` and ``entries/omitted``, which are replaced as a whole. So a publisher may be killed at any
time.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Final, get_args

import psycopg

from aximo_db.audit.checkpoint import Checkpoint, open_checkpoint
from aximo_db.audit.merkle import HASH_SIZE, TILE_WIDTH, TileReader, Tree, leaf_hash, root_of
from aximo_db.audit.note import SecretKey, parse_note, sign
from aximo_db.audit.published import fork_text, omitted_text, read_omitted, read_sums, sums_text
from aximo_db.audit.tiles import (
    CHECKPOINT,
    FORKS,
    HISTORY,
    LONGEST_ENTRY,
    OMITTED,
    REASON,
    SUMS,
    Folder,
    bundle_of,
    bundle_path,
    cosignature_path,
    folder_name,
    note_path,
    read_tile,
    reader_of,
    stamp_path,
    tile_path,
)
from aximo_db.client import statements
from aximo_db.client.errors import AximoError, InstallationError, ProofError
from aximo_db.client.events import Log
from aximo_db.client.ledger_cursors import LedgerCursor
from aximo_db.client.own_errors import no_customer
from aximo_db.dba.countersign import NotGivenError, Witness, ask_for_stamp, ask_witness
from aximo_db.dba.verify_log import tile_reader

__all__ = ["LOGS", "Published", "Publishing", "alone", "publish_log", "reading", "sync_folder"]

LOGS: Final[tuple[Log, ...]] = get_args(Log)
#: What a fork is a way out of: the log is another one than the folder's.
_FORKED: Final = ("checkpoint_ahead", "checkpoint_differs", "published_tile_differs")
#: Bytes of leaf hashes that are kept in memory until the root is known to be theirs.
_IN_MEMORY: Final = 64 * 1_048_576
_LINES: Final = "select number, line from aximo.log_lines where log = %s and number between %s and %s order by number"
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


@dataclass(frozen=True, slots=True)
class Publishing:
    """How logs are published.

    Attributes:
        folder: where the folders of the logs are.
        keys: sign the checkpoints. The one in the folder has to be signed by one of them.
        entries: whether the lines are published, too.
        tsa: the address of an authority of time stamps.
        witnesses: who is asked to cosign.
        fork: why a log that is another one than the published one begins anew; ``None`` to stop instead.
        silent: addresses that did not answer: they are not asked again for another log, which would wait as long.
    """

    folder: Path
    keys: Sequence[SecretKey]
    entries: bool = False
    tsa: str | None = None
    witnesses: Sequence[Witness] = ()
    fork: str | None = None
    silent: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Published:
    """What was published.

    Attributes:
        origin: the log's name in its checkpoints.
        folder: where it is.
        size: entries of its checkpoint; 0 for none.
        was: entries of the checkpoint before; 0 for none.
        root: in base64.
        omitted: entries that are in no bundle, as they are too long.
        stamped: how many time stamps were got.
        cosigned_by: whose cosignatures the checkpoint has.
        forked: where the old folder is, if the log began anew.
        warnings: what could not be had, and is asked for again the next time.
    """

    origin: str
    folder: Path
    size: int = 0
    was: int = 0
    root: str | None = None
    omitted: list[int] = field(default_factory=list)
    stamped: int = 0
    cosigned_by: list[str] = field(default_factory=list)
    forked: str | None = None
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "origin": self.origin,
            "folder": str(self.folder),
            "size": self.size,
            "was": self.was,
            "root_base64": self.root,
            "omitted": self.omitted,
            "stamped": self.stamped,
            "cosigned_by": self.cosigned_by,
            "forked": self.forked,
            "warnings": self.warnings,
        }


def publish_log(
    connection: psycopg.Connection[Any], how: Publishing, customer_id: str | None, log: Log = "events"
) -> Published | None:
    """Publishes a log of a customer: what is new of it, and what could not be had before.

    Args:
        connection: in autocommit; the login needs ``aximo_reader``.
        how: where to, and signed by whom.
        customer_id: whose; ``None`` for the session's.
        log: which of the customer's logs.

    Returns:
        What was published; ``None`` if the log has no entries and never had.

    Raises:
        ProofError: the log is not what the folder says it was, or does not follow from its own leaves.
        InstallationError: another publisher is at work in the folder, or it can't be written.
    """
    with reading(connection, customer_id):
        origin, size = _asked(connection, "select aximo.log_origin(%s), aximo.log_size(%s)", (log, log))
        if origin is None:
            whose = _asked(connection, statements.WHOSE, ())
            raise no_customer(whose[1])
    folder = how.folder / folder_name(origin)
    if size == 0 and not folder.exists():
        return None
    try:
        how.folder.mkdir(parents=True, exist_ok=True)
        with alone(how.folder / f".{folder.name}.lock"):
            _finish_fork(folder)
            done = Published(origin, folder)
            with reading(connection, customer_id):
                try:
                    _Writer(connection, how, log, done).publish()
                except ProofError as error:
                    if how.fork is None or error.rule not in _FORKED:
                        raise
                    done = Published(origin, folder, forked=_fork(folder, origin, how))
                    _Writer(connection, how, log, done).publish()
                else:
                    if how.fork is not None:
                        done.warnings.append("the log only grew, so it was not forked")
            if done.size:
                _Countersigned(how, done).complete()
    except OSError as error:
        raise _unwritable(error, how.folder) from error
    return done


def _asked(connection: psycopg.Connection[Any], query: Any, values: Sequence[object]) -> Any:
    return LedgerCursor(connection).execute(query, values).fetchone()


@contextmanager
def reading(connection: psycopg.Connection[Any], customer_id: str | None) -> Iterator[None]:
    """A transaction for a customer that reads one snapshot, on a connection in autocommit."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        if customer_id is not None:
            LedgerCursor(connection).execute(statements.SET_CUSTOMER, (customer_id,))
        yield


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keeps others that write there out of a folder, until this one ends, however it ends.

    Args:
        path: of the file that is locked; it is made.

    Raises:
        InstallationError: another one is at work.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InstallationError(
                "another process writes into this folder",
                rule="published_folder_is_free",
                hint="Nothing is to be done if it is to do the same; else take another folder.",
            ) from None
        yield
    finally:
        os.close(lock)


# Files


class _Files:
    """Writes files of a folder so that each is there as a whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._new = folder / ".new"
        # What a publisher that was killed left there.
        shutil.rmtree(self._new, ignore_errors=True)
        self._changed: set[Path] = set()
        self._count = 0
        self.there = Folder(folder)

    def put(self, path: str, data: bytes) -> bool:
        """Writes a file that is never written again; says whether it is new.

        Raises:
            ProofError: it is there and holds other bytes.
        """
        target = self._folder / path
        if not target.exists() and self._link(self._written(data), target):
            return True
        if target.read_bytes() != data:
            raise ProofError(
                "a published file holds other bytes",
                rule="published_tile_differs",
                detail=f"{path}, {len(data)} bytes are to be there",
                hint="Nothing is written over it. If the database was restored to a point in time, see --fork. Else"
                " aximo-db verify --published says whether the folder was changed, and aximo-db verify whether the"
                " log was.",
            )
        return False

    def _link(self, made: Path, target: Path) -> bool:
        """Gives a file its name; False if there is one of that name."""
        self._make(target.parent)
        try:
            os.link(made, target)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            made.rename(target)  # a file system without links; the lock keeps others out
        finally:
            made.unlink(missing_ok=True)
        self._changed.add(target.parent)
        return True

    def replace(self, path: str, data: bytes) -> None:
        """Writes a file over the one that is there, in one step, and lasting."""
        target = self._folder / path
        made = self._written(data)
        self._make(target.parent)
        made.rename(target)
        self._changed.add(target.parent)
        self.sync()

    def sync(self) -> None:
        """Makes lasting which files there are."""
        for folder in self._changed:
            sync_folder(folder)
        self._changed.clear()

    def close(self) -> None:
        """Ends writing."""
        self.sync()
        with suppress(OSError):
            self._new.rmdir()

    def _written(self, data: bytes) -> Path:
        self._new.mkdir(parents=True, exist_ok=True)
        self._count += 1
        made = self._new / str(self._count)
        with made.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return made

    def _make(self, folder: Path) -> None:
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for each in reversed(missing):
            each.mkdir(exist_ok=True)
            self._changed.add(each.parent)


def sync_folder(folder: Path) -> None:
    """Makes lasting which files a folder has."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sums(files: _Files, size: int) -> None:
    """Adds the sums of files, up to a size, that ``checkpoints/SHA256SUMS`` does not have."""
    data = files.there.read(SUMS)
    try:
        sums = {} if data is None else read_sums(data)
    except ValueError as error:
        raise ProofError(
            "a published file can't be read",
            rule="published_file_reads",
            detail=f"{SUMS}: {error}",
            hint="Get it back from a copy of the folder, or take it away: it is made anew of the files there are.",
        ) from None
    before = len(sums)
    for path in files.there.names(HISTORY):
        name = path.removeprefix(f"{HISTORY}/")
        of = name.partition(".")[0]
        if of.isdecimal() and int(of) <= size and name not in sums and (content := files.there.read(path)) is not None:
            sums[name] = sha256(content).hexdigest()
    if len(sums) != before:
        files.replace(SUMS, sums_text(sums).encode())


# Forks


def _fork(folder: Path, origin: str, how: Publishing) -> str:
    """Moves what was published to ``forks/<time>`` of a new folder; returns where it is."""
    reason = " ".join((how.fork or "").split())
    files = _Files(folder)
    files.replace(REASON, sign(fork_text(origin, reason), *how.keys).encode())
    files.close()
    name = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    fresh = _fresh(folder)
    (fresh / FORKS).mkdir(parents=True)
    folder.rename(fresh / FORKS / name)
    _finish_fork(folder)
    return f"{FORKS}/{name}"


def _fresh(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.fork")


def _finish_fork(folder: Path) -> None:
    """Puts the new folder in its place: also one that was left behind when a publisher was killed amid a fork."""
    fresh = _fresh(folder)
    if not fresh.exists():
        return
    if folder.exists():  # it was not moved yet
        shutil.rmtree(fresh)
        return
    for moved in list((fresh / FORKS).iterdir()):
        # Older forks stand beside the new one, not in it.
        if (moved / FORKS).is_dir():
            for older in list((moved / FORKS).iterdir()):
                older.rename(fresh / FORKS / older.name)
            (moved / FORKS).rmdir()
    fresh.rename(folder)
    sync_folder(folder.parent)


# Growing


class _Growth:
    """The right edge of a tree: of each level the hashes of the tile that is not full; and the tiles that get full.

    Args:
        read: reads the tiles of the log.
        size: entries that it has already.
    """

    def __init__(self, read: TileReader, size: int) -> None:
        self.size = size
        self._edges: list[list[bytes]] = []
        #: Tiles above the leaves that got full: level, index and bytes.
        self.full: list[tuple[int, int, bytes]] = []
        level = 0
        while size:
            width = size % TILE_WIDTH
            data = read(level, size // TILE_WIDTH, width) if width else b""
            self._edges.append([data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)][:width])
            level, size = level + 1, size // TILE_WIDTH

    def root(self) -> bytes:
        """The root over all leaves so far."""
        above: list[bytes] = []
        for edge in self._edges:
            if found := [*edge, *above]:
                above = [root_of(found)]
        return above[0] if above else Tree().root()

    def append(self, leaf: bytes, level: int = 0) -> None:
        """Adds a leaf; or a hash of a level."""
        if level == len(self._edges):
            self._edges.append([])
        edge = self._edges[level]
        edge.append(leaf)
        if not level:
            self.size += 1
        if len(edge) == TILE_WIDTH:
            if level:
                self.full.append((level, (self.size >> 8 * (level + 1)) - 1, b"".join(edge)))
            self._edges[level] = []
            self.append(root_of(edge), level + 1)

    def partial(self) -> Iterator[tuple[int, int, bytes]]:
        """Level, index and bytes of the tiles that are not full."""
        for level, edge in enumerate(self._edges):
            if edge:
                yield level, self.size >> 8 * (level + 1), b"".join(edge)


class _Writer:
    """Publishes what is new of a log, within the caller's snapshot."""

    def __init__(self, connection: psycopg.Connection[Any], how: Publishing, log: Log, done: Published) -> None:
        self._connection = connection
        self._how = how
        self._log = log
        self._done = done
        self._read = tile_reader(connection, log)
        self._verifiers = [key.verifier for key in how.keys]

    def publish(self) -> None:
        """Does it."""
        size, root = _asked(
            self._connection, "select aximo.log_size(%s), aximo.log_root(null, %s)", (self._log, self._log)
        )
        files = _Files(self._done.folder)
        old = self._old(files)
        was = self._done.was = old.size if old is not None else 0
        self._finish(files, was)
        if size < was:
            raise ProofError(
                "the log is shorter than what was published of it",
                rule="checkpoint_ahead",
                detail=f"the published checkpoint has {was} entries, the log {size}",
                hint="If the database was restored to a point in time, explain it with --fork REASON: what was"
                " published stays, and the log begins anew. Else entries were taken away: run aximo-db verify.",
            )
        growth = _Growth(self._read, was)
        if old is not None and growth.root() != old.root:
            raise _differs(was)
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as leaves:
            self._grow(growth, size, leaves)
            if growth.root() != bytes(root):
                raise ProofError(
                    "the log's root does not follow from its leaves",
                    rule="root_is_the_leaves",
                    detail=f"log {self._log}, {size} entries",
                    hint="Nothing was signed. aximo-db verify names the hash that differs; see docs/dba.md.",
                )
            self._write_tiles(files, growth, was, leaves)
        if self._how.entries:
            self._write_entries(files, size)
        files.sync()
        checkpoint = Checkpoint(self._done.origin, size, growth.root())
        if size:
            self._write_checkpoint(files, checkpoint, is_new=old is None or size > was)
        files.close()
        self._done.size, self._done.root = size, checkpoint.root_text

    def _finish(self, files: _Files, was: int) -> None:
        """Writes what is written after a checkpoint, should its publisher have been killed."""
        current = files.there.read(CHECKPOINT)
        if current is not None and files.there.read(note_path(was)) is None:
            files.put(note_path(was), current)
        files.sync()
        _sums(files, was)

    def _old(self, files: _Files) -> Checkpoint | None:
        data = files.there.read(CHECKPOINT)
        if data is None:
            return None
        try:
            return open_checkpoint(data, *self._verifiers, origin=self._done.origin)
        except ValueError as error:
            raise ProofError(
                "the published checkpoint is not signed by the key",
                rule="published_checkpoint_is_ours",
                detail=str(error),
                hint="Give the key that signed it, too: --key may come often. If it is that key, the file was changed.",
            ) from None

    def _grow(self, growth: _Growth, size: int, leaves: IO[bytes]) -> None:
        """Adds the leaves that are new, and keeps the bytes of their tiles."""
        for index in range(growth.size // TILE_WIDTH, (size + TILE_WIDTH - 1) // TILE_WIDTH):
            width = min(TILE_WIDTH, size - index * TILE_WIDTH)
            tile = self._read(0, index, width)
            if len(tile) != width * HASH_SIZE:
                raise ProofError(
                    "the log is not whole",
                    rule="log_is_whole",
                    detail=f"of entries {index * TILE_WIDTH + 1} to {index * TILE_WIDTH + width} some are missing",
                    hint=f"Run aximo-db verify --log {self._log}, which names what is missing.",
                )
            leaves.write(tile)
            for at in range(growth.size % TILE_WIDTH * HASH_SIZE, len(tile), HASH_SIZE):
                growth.append(tile[at : at + HASH_SIZE])

    def _write_tiles(self, files: _Files, growth: _Growth, was: int, leaves: IO[bytes]) -> None:
        leaves.seek(0)
        for index in range(was // TILE_WIDTH, growth.size // TILE_WIDTH):
            files.put(tile_path(0, index), leaves.read(TILE_WIDTH * HASH_SIZE))
        for level, index, data in growth.full:
            files.put(tile_path(level, index), data)
        for level, index, data in growth.partial():
            files.put(tile_path(level, index, len(data) // HASH_SIZE), data)

    def _write_entries(self, files: _Files, size: int) -> None:
        data = files.there.read(OMITTED)
        try:
            omitted = set() if data is None else set(read_omitted(parse_note(data).text, self._done.origin))
        except ValueError as error:
            raise ProofError(
                "a published file can't be read",
                rule="published_file_reads",
                detail=f"{OMITTED}: {error}",
                hint="Get it back from a copy of the folder.",
            ) from None
        before = len(omitted)
        without = {(number - 1) // TILE_WIDTH for number in omitted}
        for index in range((size + TILE_WIDTH - 1) // TILE_WIDTH):
            width = min(TILE_WIDTH, size - index * TILE_WIDTH)
            path = bundle_path(index, width)
            # What was published before is not read again.
            is_old = index * TILE_WIDTH + width <= self._done.was
            if (index in without and width == TILE_WIDTH) or (is_old and (self._done.folder / path).exists()):
                continue
            lines = self._lines(files, index, width)
            long = {index * TILE_WIDTH + at for at, line in enumerate(lines, 1) if len(line) > LONGEST_ENTRY}
            if long:
                omitted |= long
            else:
                files.put(path, bundle_of(lines))
        self._done.omitted = sorted(omitted)
        if len(omitted) > before:
            text = omitted_text(self._done.origin, self._done.omitted)
            files.replace(OMITTED, sign(text, *self._how.keys).encode())

    def _lines(self, files: _Files, index: int, width: int) -> list[bytes]:
        first = index * TILE_WIDTH
        rows = LedgerCursor(self._connection).execute(_LINES, (self._log, first + 1, first + width)).fetchall()
        lines = [b"" if line is None else line.encode() for _, line in rows]
        tile = read_tile(files.there, 0, index, width) or b""
        leaves = [tile[at : at + HASH_SIZE] for at in range(0, len(tile), HASH_SIZE)]
        for place in range(width):
            if place >= len(lines) or leaf_hash(lines[place]) != leaves[place]:
                raise ProofError(
                    "an entry is not what was hashed when it was numbered",
                    rule="published_entry_is_its_leaf",
                    detail=f"entry {first + place + 1}",
                    hint=f"It was not published. Run aximo-db verify --log {self._log}, which names what was changed.",
                )
        return lines

    def _write_checkpoint(self, files: _Files, checkpoint: Checkpoint, *, is_new: bool) -> None:
        if is_new:
            note = sign(checkpoint.text(), *self._how.keys).encode()
            files.replace(CHECKPOINT, note)
            files.put(note_path(checkpoint.size), note)
        files.sync()
        _sums(files, checkpoint.size)


def _differs(size: int) -> ProofError:
    return ProofError(
        "the log does not begin with what was published of it",
        rule="checkpoint_differs",
        detail=f"the published checkpoint has {size} entries, and another root than the log had at that size",
        hint="Nothing was signed. If the database was restored to a point in time, explain it with --fork REASON: what"
        " was published stays, and the log begins anew. Else it was changed: run aximo-db verify with that checkpoint.",
    )


# Others' words


class _Countersigned:
    """Gets what a published checkpoint does not have yet: cosignatures and time stamps."""

    def __init__(self, how: Publishing, done: Published) -> None:
        self._how = how
        self._done = done
        self._files = _Files(done.folder)

    def complete(self) -> None:
        """Does it; what can't be had is told, and is no error."""
        note = (self._files.there.read(note_path(self._done.size)) or b"").decode()
        for witness in self._how.witnesses:
            self._try("witness", witness.url, partial(self._cosign, witness, note))
        self._join(note)
        if self._how.tsa is not None:
            self._try("time stamp", self._how.tsa, partial(self._stamp, self._how.tsa))
        self._files.sync()
        _sums(self._files, self._done.size)
        self._files.close()

    def _try(self, what: str, url: str, ask: Callable[[], None]) -> None:
        if url in self._how.silent:
            self._done.warnings.append(f"{what} {url}: it did not answer before, and was not asked")
            return
        try:
            ask()
        except NotGivenError as error:
            self._done.warnings.append(f"{what} {error}")
            if error.is_silent:
                self._how.silent.add(url)
        except ValueError as error:
            self._done.warnings.append(f"{what} {url}: {error}")

    def _kept(self, ending: str) -> list[int]:
        """The sizes of which there is a file with this ending."""
        folder = self._done.folder / HISTORY
        names = (each.name.partition(".") for each in folder.iterdir())
        return sorted(int(size) for size, dot, rest in names if size.isdecimal() and dot + rest == ending)

    def _cosign(self, witness: Witness, note: str) -> None:
        path = cosignature_path(self._done.size, witness.key.key_id)
        if self._files.there.read(path) is not None:
            return
        last = self._kept(f".{witness.key.key_id.hex()}.cosignature")
        line = ask_witness(witness, note, last[-1] if last else 0, reader_of(self._files.there))
        self._files.put(path, line.encode())

    def _join(self, note: str) -> None:
        """Writes the cosignatures under the checkpoint."""
        lines = []
        for path in self._files.there.names(HISTORY):
            name = path.removeprefix(f"{HISTORY}/")
            if name.startswith(f"{self._done.size}.") and name.endswith(".cosignature"):
                lines.append((self._files.there.read(path) or b"").decode())
        whole = note + "".join(lines)
        self._done.cosigned_by = [each.name for each in parse_note(whole).signatures[-len(lines) :]] if lines else []
        if lines and self._files.there.read(CHECKPOINT) != whole.encode():
            self._files.sync()
            self._files.replace(CHECKPOINT, whole.encode())

    def _stamp(self, url: str) -> None:
        """Has stamped what has no time stamp, the latest first."""
        missing = set(self._kept("")) - set(self._kept(".tsr"))
        for size in sorted(missing, reverse=True):
            note = self._files.there.read(note_path(size))
            if note is not None:
                self._files.put(stamp_path(size), ask_for_stamp(url, note))
                self._done.stamped += 1


def _unwritable(error: OSError, folder: Path) -> AximoError:
    """The error for a folder that can't be written."""
    return InstallationError(
        "the folder of published logs can't be written",
        rule="published_folder_is_writable",
        detail=f"{error.filename or folder}: {error.strerror or error}",
        hint="Look at its owner, at its mode, and whether its disk is full.",
    )
