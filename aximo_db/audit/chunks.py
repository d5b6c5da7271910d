"""A log in files of many entries each, with a manifest: what of a long log is exported, kept and verified in pieces.

Each file has lines as an export has them. The manifest says which entries each has, and its hash; what the tree was
before the first of them; and the checkpoint that they lead to. So a set that begins amid a log is verified, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from aximo_db.audit.bounded import open_ordinary, read_whole, short_lines
from aximo_db.audit.checkpoint import Checkpoint, read_checkpoint
from aximo_db.audit.merkle import HASH_SIZE, LARGEST_SIZE, TILE_WIDTH, Tree, leaf_hash
from aximo_db.audit.note import VerifierKey, from_base64, open_note, read_verifier_key, signers, to_base64
from aximo_db.audit.verdict import Verdict

__all__ = ["MANIFEST", "Chunk", "MalformedManifest", "Manifest", "check_chunks", "chunk_name", "read_manifest"]

MANIFEST: Final = "manifest.json"
_FORMAT: Final = "aximo-db chunks 1"
_NAME: Final = re.compile(r"[0-9]{12,19}-[0-9]{12,19}\.jsonl", re.ASCII)
_PIECE: Final = 1 << 20  # bytes read at a time
_PROGRESS_STEP: Final = 16_384


class MalformedManifest(ValueError):  # noqa: N818
    """A manifest is not written as its writer writes it, or contradicts itself."""


def chunk_name(first: int, last: int) -> str:
    """The name of the file with these entries."""
    return f"{first:012}-{last:012}.jsonl"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A file of a set.

    Attributes:
        first, last: the numbers of its entries.
        size: bytes.
        digest: their SHA-256.
    """

    first: int
    last: int
    size: int
    digest: bytes

    @property
    def name(self) -> str:
        """Its file's."""
        return chunk_name(self.first, self.last)

    def is_in(self, folder: Path) -> bool:
        """Whether its file is there and is what it was."""
        try:
            with open_ordinary(folder / self.name) as file:
                digest = sha256()
                while piece := file.read(_PIECE):
                    digest.update(piece)
        except FileNotFoundError:
            return False
        return digest.digest() == self.digest


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a set of files has.

    Attributes:
        log: ``events`` or ``run_events``.
        first: the number of its first entry: 1, or the first one of a tile.
        width: entries of a file; only the last one has fewer.
        before: the roots of the complete subtrees of the entries before, from left to right.
        whole: the same at the end of the last file with all its entries; where the set goes on.
        chunks: the files, in order.
        note: the checkpoint at the end of the last one, signed or not.
    """

    log: str
    first: int
    width: int
    before: tuple[bytes, ...]
    whole: tuple[bytes, ...]
    chunks: tuple[Chunk, ...]
    note: str

    def __post_init__(self) -> None:
        wanted = self.first
        if wanted % TILE_WIDTH != 1 or self.width < TILE_WIDTH or self.width % TILE_WIDTH:
            raise MalformedManifest(f"its files are not made of whole tiles of {TILE_WIDTH} entries")
        for place, chunk in enumerate(self.chunks, 1):
            count = chunk.last - chunk.first + 1
            if (
                chunk.first != wanted
                or not 0 < count <= self.width
                or (count < self.width and place < len(self.chunks))
            ):
                raise MalformedManifest(f"the entries of {chunk.name} do not follow on those before")
            wanted = chunk.last + 1
        try:
            Tree.grown(self.first - 1, self.before)
            Tree.grown(self.whole_end, self.whole)
            checkpoint = read_checkpoint(self.note)
        except ValueError as error:
            raise MalformedManifest(str(error)) from error
        if checkpoint.size != self.last:
            raise MalformedManifest(f"its checkpoint has {checkpoint.size} entries, and its last entry is {self.last}")

    @property
    def last(self) -> int:
        """The number of its last entry."""
        return self.chunks[-1].last if self.chunks else self.first - 1

    @property
    def whole_chunks(self) -> tuple[Chunk, ...]:
        """The files that have all their entries."""
        return tuple(chunk for chunk in self.chunks if chunk.last - chunk.first + 1 == self.width)

    @property
    def whole_end(self) -> int:
        """The number of the last entry in one of these."""
        return self.whole_chunks[-1].last if self.whole_chunks else self.first - 1

    @property
    def origin(self) -> str:
        """The log's name in its checkpoints."""
        return read_checkpoint(self.note).origin

    def text(self) -> str:
        """The content of the file."""
        chunks = [
            {"file": c.name, "first": c.first, "last": c.last, "bytes": c.size, "sha256": c.digest.hex()}
            for c in self.chunks
        ]
        whole = {
            "format": _FORMAT,
            "origin": self.origin,
            "log": self.log,
            "first": self.first,
            "last": self.last,
            "entries_per_file": self.width,
            "before": [to_base64(each) for each in self.before],
            "whole": [to_base64(each) for each in self.whole],
            "root": read_checkpoint(self.note).root_text,
            "checkpoint": self.note,
            "files": chunks,
        }
        return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _hashes(values: Any) -> tuple[bytes, ...]:
    return tuple(from_base64(str(each), "a hash of the manifest", HASH_SIZE) for each in values)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder.

    Raises:
        FileNotFoundError: there is none.
        MalformedManifest: it can't be read.
    """
    data = read_whole(folder / MANIFEST)
    try:
        found = json.loads(data)
        if found["format"] != _FORMAT:
            raise MalformedManifest(f"its format is not {_FORMAT}")
        chunks = tuple(
            Chunk(_number(each["first"]), _number(each["last"]), _number(each["bytes"]), bytes.fromhex(each["sha256"]))
            for each in found["files"]
        )
        manifest = Manifest(
            str(found["log"]), _number(found["first"]), _number(found["entries_per_file"]), _hashes(found["before"]),
            _hashes(found["whole"]), chunks, str(found["checkpoint"]),
        )  # fmt: skip
    except MalformedManifest:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedManifest(f"it can't be read: {error}") from error
    if manifest.text().encode() != data:
        raise MalformedManifest("what it says twice is not the same")
    return manifest


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST_SIZE:
        raise MalformedManifest(f"{value!r} is no number of entries or bytes")
    return value


def check_chunks(
    folder: Path,
    checkpoints: Sequence[Path] = (),
    keys: Sequence[Path] = (),
    *,
    progress: Callable[[int], None] | None = None,
) -> Verdict:
    """Whether the lines of a set are what its checkpoint speaks of, and others that are given.

    Args:
        folder: with the files and their manifest.
        checkpoints: files with a checkpoint each.
        keys: files with a verifier key each; if there is one, every checkpoint has to be signed by one of them.
        progress: called with the number of entries looked at so far.
    """
    verdict = Verdict()
    try:
        manifest = read_manifest(folder)
    except (OSError, MalformedManifest) as error:
        what = (
            "there is none" if isinstance(error, FileNotFoundError) else getattr(error, "strerror", None) or str(error)
        )
        verdict.fail(f"{MANIFEST}: {what}")
        return verdict
    try:
        verifiers = [read_verifier_key(path) for path in keys]
        own = _opened(manifest.note.encode(), verifiers)
        given = [_opened(path.read_bytes(), verifiers) for path in checkpoints]
        notes: list[bytes] = [manifest.note.encode(), *(path.read_bytes() for path in checkpoints)]
        names = [signers(note, *verifiers) for note in notes]
    except ValueError as error:
        verdict.fail(f"checkpoint: {error}")
        return verdict
    if any(each.origin != own.origin for each in given):
        verdict.fail("the checkpoints are of different logs")
        return verdict
    walk = _Walk(folder, manifest, sorted((own, *given), key=lambda each: each.size), verdict, progress)
    walk.go()
    by = sorted({name for some in names for name in some})
    verdict.facts = {
        "origin": own.origin,
        "first": manifest.first,
        "last": manifest.last,
        "files": len(manifest.chunks),
        "root_base64": own.root_text,
        "signed": bool(keys),
        "signed_by": by,
    }
    if verdict.ok:
        verdict.findings.insert(
            0,
            f"{own.origin}: entries {manifest.first:,} to {manifest.last:,} are what they were; root {own.root_text}.",
        )
        said = (
            f"The checkpoint is signed by {', '.join(by)}."
            if keys
            else "No key was given, so who made it was not checked."
        )
        verdict.findings.append(said)
    return verdict


def _opened(note: bytes, verifiers: Sequence[VerifierKey]) -> Checkpoint:
    if verifiers:
        open_note(note, *verifiers)
    return read_checkpoint(note)


class _Walk:
    """Goes through the files of a set once."""

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        checkpoints: list[Checkpoint],
        verdict: Verdict,
        progress: Callable[[int], None] | None,
    ) -> None:
        self._folder = folder
        self._manifest = manifest
        self._pending = checkpoints
        self._verdict = verdict
        self._progress = progress
        self._tree = Tree.grown(manifest.first - 1, manifest.before)
        self._good = manifest.first - 1

    def go(self) -> None:
        """Looks at everything."""
        while self._pending and self._pending[0].size < self._tree.size:
            early = self._pending.pop(0)
            self._verdict.findings.append(f"The checkpoint of {early.size} entries is of before, and was not compared.")
        self._compare()
        for chunk in self._manifest.chunks:
            if not self._look_at(chunk):
                return
        for checkpoint in self._pending:
            self._verdict.fail(f"the set ends at entry {self._tree.size}, and a checkpoint has {checkpoint.size}")

    def _look_at(self, chunk: Chunk) -> bool:
        """Whether the file has as many lines as it should; else what comes after can't be compared."""
        digest, size, count = sha256(), 0, 0
        try:
            for line in short_lines(self._folder / chunk.name):
                digest.update(line)
                size += len(line)
                count += 1
                if count > chunk.last - chunk.first + 1:
                    break
                self._tree.append(leaf_hash(line.removesuffix(b"\n")))
                self._compare()
                if self._progress is not None and count % _PROGRESS_STEP == 0:
                    self._progress(self._tree.size)
        except FileNotFoundError:
            self._verdict.fail(f"{chunk.name}: there is none")
            return False
        except OSError as error:
            self._verdict.fail(f"{chunk.name}: {error.strerror}")
            return False
        if (size, digest.digest()) != (chunk.size, chunk.digest):
            self._verdict.fail(f"{chunk.name}: it is not what {MANIFEST} says")
        if count != chunk.last - chunk.first + 1:
            self._verdict.fail(
                f"{chunk.name}: it has not {chunk.last - chunk.first + 1} lines; what is after it was not read"
            )
            return False
        return True

    def _compare(self) -> None:
        while self._pending and self._pending[0].size == self._tree.size:
            checkpoint = self._pending.pop(0)
            if checkpoint.root == self._tree.root():
                self._good = checkpoint.size
            else:
                first, last = self._good + 1, checkpoint.size
                self._verdict.fail(
                    f"the root at {last} entries is not its checkpoint's: an entry from {first} to {last}"
                    f" was changed, or what {MANIFEST} says of those before {self._manifest.first}"
                )
