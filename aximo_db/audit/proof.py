"""Files of proofs: of inclusion, as C2SP tlog-proof, and of consistency, as a request of C2SP tlog-witness.

https://c2sp.org/tlog-proof, https://c2sp.org/tlog-witness
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from aximo_db.audit.checkpoint import Checkpoint, number, read_checkpoint
from aximo_db.audit.merkle import (
    HASH_SIZE,
    LARGEST_SIZE,
    ProofFailed,
    are_hashes,
    is_size,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from aximo_db.audit.note import MalformedNote, from_base64, text_of, to_base64

__all__ = [
    "ConsistencyProof",
    "InclusionProof",
    "parse_consistency_proof",
    "parse_inclusion_proof",
]

_MOST_HASHES: Final = 63  # in a proof: the height of the largest tree, and the limit of C2SP tlog-witness
_PROOF_HEADER: Final = "c2sp.org/tlog-proof@v1"


def _proof_text(lines: Iterable[str], hashes: Iterable[bytes], note: str) -> str:
    return "\n".join((*lines, *map(to_base64, hashes), "", note))


def _proof_parts(data: bytes | str) -> tuple[list[str], str]:
    """The lines before the first empty line, and the note after it."""
    head, blank, note = text_of(data, "the proof").partition("\n\n")
    if not blank:
        raise MalformedNote("the proof has no empty line before its checkpoint")
    read_checkpoint(note)
    return head.split("\n"), note


def _proof_hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    if len(lines) > _MOST_HASHES:
        raise MalformedNote(f"the proof has more than {_MOST_HASHES} hashes")
    return tuple(from_base64(line, "a hash of the proof", HASH_SIZE) for line in lines)


def _check_proof(hashes: tuple[bytes, ...], note: str) -> None:
    if not are_hashes(*hashes) or len(hashes) > _MOST_HASHES:
        raise MalformedNote(f"a proof has at most {_MOST_HASHES} hashes of {HASH_SIZE} bytes")
    read_checkpoint(note)


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """That an entry is in the log, for a file ``.tlog-proof`` (C2SP tlog-proof).

    Attributes:
        index: of the entry, from 0.
        hashes: 32 bytes each, from the leaf's sibling up.
        note: the checkpoint it leads to, with its signatures if it is signed.
        extra: not empty bytes of no meaning here, which nothing authenticates; or ``None``.
    """

    index: int
    hashes: tuple[bytes, ...]
    note: str
    extra: bytes | None = None

    def __post_init__(self) -> None:
        if not is_size(self.index):
            raise MalformedNote(f"the index of the proof is not a number from 0 to {LARGEST_SIZE}")
        if self.extra == b"":
            raise MalformedNote("the extra data of a proof are not empty")
        _check_proof(self.hashes, self.note)

    @property
    def entry(self) -> int:
        """The number of the entry, from 1."""
        return self.index + 1

    def text(self) -> str:
        """The content of the file."""
        lines = [_PROOF_HEADER]
        if self.extra is not None:
            lines.append(f"extra {to_base64(self.extra)}")
        lines.append(f"index {self.index}")
        return _proof_text(lines, self.hashes, self.note)

    def verify(self, line: bytes, checkpoint: Checkpoint) -> None:
        """Checks that the entry is in the log.

        Args:
            line: the entry's line of an export, with or without its newline.
            checkpoint: trusted, such as ``open_checkpoint(proof.note, key)``.

        Raises:
            ProofFailed: it is not.
        """
        leaf = leaf_hash(line.removesuffix(b"\n"))
        verify_inclusion(self.index, checkpoint.size, leaf, self.hashes, checkpoint.root)


def parse_inclusion_proof(data: bytes | str) -> InclusionProof:
    """The proof in a ``.tlog-proof`` file; not verified.

    Raises:
        MalformedNote: not such a file.
    """
    lines, note = _proof_parts(data)
    if lines[0] != _PROOF_HEADER:
        raise MalformedNote(f"the first line of the proof is not {_PROOF_HEADER}")
    del lines[0]
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = from_base64(lines.pop(0).removeprefix("extra "), "the extra data of the proof")
    if not lines or not lines[0].startswith("index "):
        raise MalformedNote("the proof has no index line")
    index = number(lines[0].removeprefix("index "), "the index of the proof")
    return InclusionProof(index, _proof_hashes(lines[1:]), note, extra)


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """That the log only grew, in the layout of an ``add-checkpoint`` request of C2SP tlog-witness.

    Attributes:
        old_size: entries of the log before.
        hashes: 32 bytes each.
        note: the newer checkpoint, with its signatures if it is signed.
    """

    old_size: int
    hashes: tuple[bytes, ...]
    note: str

    def __post_init__(self) -> None:
        if not is_size(self.old_size):
            raise MalformedNote(f"the old size of the proof is not a number from 0 to {LARGEST_SIZE}")
        _check_proof(self.hashes, self.note)

    def text(self) -> str:
        """The content of the file."""
        return _proof_text([f"old {self.old_size}"], self.hashes, self.note)

    def verify(self, old: Checkpoint, new: Checkpoint) -> None:
        """Checks that the newer log begins with the older.

        Args:
            old: the older checkpoint, as the auditor kept it.
            new: trusted, such as ``open_checkpoint(proof.note, key)``.

        Raises:
            ProofFailed: it does not, or the checkpoints are of two logs or not those of this proof.
        """
        if old.origin != new.origin:
            raise ProofFailed(f"the checkpoints are of two logs: {old.origin} and {new.origin}")
        if old.size != self.old_size:
            raise ProofFailed(f"the proof is from {self.old_size} entries on, the old checkpoint has {old.size}")
        verify_consistency(old.size, new.size, old.root, new.root, self.hashes)


def parse_consistency_proof(data: bytes | str) -> ConsistencyProof:
    """The proof that :meth:`ConsistencyProof.text` wrote; not verified.

    Raises:
        MalformedNote: not such a file.
    """
    lines, note = _proof_parts(data)
    if not lines[0].startswith("old "):
        raise MalformedNote("the proof has no line with the old size")
    old_size = number(lines[0].removeprefix("old "), "the old size of the proof")
    return ConsistencyProof(old_size, _proof_hashes(lines[1:]), note)
