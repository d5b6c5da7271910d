"""Everything an auditor needs to check a log without its database: hashes, proofs, checkpoints, notes and exports.

A customer's log is a Merkle tree (RFC 9162, section 2.1, with SHA-256). Entry ``n``, counted from 1, is the leaf with
index ``n - 1``; its data are the exact bytes of the event's line in an export, without the newline. Files are those of
C2SP: ``tlog-tiles``, ``tlog-checkpoint``, ``signed-note`` and ``tlog-proof`` (https://c2sp.org).

Nothing here opens a connection or imports a database driver. Only keys and signatures need the package
``cryptography``.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, Protocol
from urllib.parse import quote, unquote_to_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = [
    "EMPTY_ROOT",
    "HASH_SIZE",
    "LARGEST_SIZE",
    "TILE_WIDTH",
    "Checkpoint",
    "CheckpointResult",
    "ConsistencyProof",
    "ExportDifference",
    "ExportVerdict",
    "InclusionProof",
    "LineProblem",
    "MalformedNote",
    "Note",
    "ProofFailed",
    "SecretKey",
    "Signature",
    "SignatureFailed",
    "TileReader",
    "Tree",
    "VerifierKey",
    "compare_exports",
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "node_hash",
    "open_checkpoint",
    "open_note",
    "origin_for",
    "parse_checkpoint",
    "parse_consistency_proof",
    "parse_inclusion_proof",
    "parse_note",
    "read_checkpoint",
    "read_secret_key",
    "read_verifier_key",
    "root_at",
    "root_of",
    "sign",
    "signers",
    "split_origin",
    "verify_consistency",
    "verify_export",
    "verify_inclusion",
    "write_key_pair",
]

#: Bytes of a SHA-256 hash.
HASH_SIZE: Final = 32
#: Hashes in a full tile (C2SP tlog-tiles).
TILE_WIDTH: Final = 256
#: The largest number of entries of a log: PostgreSQL's bigint.
LARGEST_SIZE: Final = 2**63 - 1
#: The root of a log without entries (RFC 9162, 2.1.1).
EMPTY_ROOT: Final = sha256(b"").digest()

_TILE_HEIGHT: Final = 8  # TILE_WIDTH is 2 to its power
_MOST_HASHES: Final = 63  # in a proof: the height of the largest tree, and the limit of C2SP tlog-witness
_MOST_SIGNATURES: Final = 100  # in a note; C2SP signed-note asks for at least 16
_MOST_BYTES: Final = 1_048_576  # of a note or proof
_ED25519: Final = b"\x01"  # the signature type of C2SP signed-note
_PROOF_HEADER: Final = "c2sp.org/tlog-proof@v1"
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_KEY_ID: Final = re.compile(r"[0-9a-f]{8}", re.ASCII)
_BOMS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")  # UTF-8, and UTF-16 of either order
_WINDOW: Final = 1_000  # lines looked ahead for the end of what was removed or added
_PROGRESS_STEP: Final = 16_384  # lines between two reports


class MalformedNote(ValueError):  # noqa: N818 - what it says is that the note is malformed
    """A note, checkpoint, proof, key or origin is not written as its format says."""


class SignatureFailed(ValueError):  # noqa: N818
    """A well-formed note is not signed by the expected key, or its signature by that key is wrong.

    Attributes:
        unsigned: the note has no signature of an expected key; otherwise it has one, which is wrong.
    """

    def __init__(self, message: str, *, unsigned: bool = False) -> None:
        super().__init__(message)
        self.unsigned = unsigned


class ProofFailed(ValueError):  # noqa: N818
    """A proof, a tile or an export does not lead to the root it should.

    Attributes:
        entry: the number of the entry, counted from 1, or of the first one in doubt; ``None`` if not known.
        last_entry: the number of the last entry in doubt; ``None`` if not known.
    """

    def __init__(self, message: str, *, entry: int | None = None, last_entry: int | None = None) -> None:
        super().__init__(message)
        self.entry = entry
        self.last_entry = entry if last_entry is None else last_entry


# Hashes ---------------------------------------------------------------------------------------------------------------


def leaf_hash(line: bytes) -> bytes:
    """The hash of an entry (RFC 9162, 2.1.1).

    Args:
        line: the bytes of its line in an export, without the newline.

    Returns:
        32 bytes.
    """
    return sha256(b"\x00" + line).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node, from those of its two children, 32 bytes each (RFC 9162, 2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree that grows at its end and keeps one hash a level: at most 63 for the largest log."""

    __slots__ = ("_frontier", "_size")

    def __init__(self) -> None:
        self._size = 0
        # The roots of the complete subtrees the size is made of, the largest first.
        self._frontier: list[bytes] = []

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._size

    def append(self, leaf: bytes) -> None:
        """Adds the next leaf.

        Args:
            leaf: its hash, 32 bytes, as of :func:`leaf_hash`.

        Raises:
            ValueError: not 32 bytes.
        """
        if len(leaf) != HASH_SIZE:
            raise ValueError(f"a leaf hash has {HASH_SIZE} bytes, not {len(leaf)}")
        size = self._size
        frontier = self._frontier
        # As many merges as the size ends in one bits: carrying, as in a binary counter.
        while size & 1:
            leaf = sha256(b"\x01" + frontier.pop() + leaf).digest()
            size >>= 1
        frontier.append(leaf)
        self._size += 1

    def root(self) -> bytes:
        """The root of the leaves so far, 32 bytes."""
        return _fold(self._frontier)


def _fold(subtrees: Sequence[bytes]) -> bytes:
    """The root over complete subtrees, given from left to right, each smaller than the one before."""
    if not subtrees:
        return EMPTY_ROOT
    root = subtrees[-1]
    for subtree in reversed(subtrees[:-1]):
        root = node_hash(subtree, root)
    return root


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """The root over leaf hashes of 32 bytes each, in order.

    Raises:
        ValueError: one of them has another length.
    """
    tree = Tree()
    for leaf in leaf_hashes:
        tree.append(leaf)
    return tree.root()


# Tiles ----------------------------------------------------------------------------------------------------------------


class TileReader(Protocol):
    """Reads a tile (C2SP tlog-tiles)."""

    def __call__(self, level: int, index: int, width: int, /) -> bytes:
        """The tile's hashes, concatenated.

        Args:
            level: 0 for leaf hashes; each hash is the root of ``256 ** level`` leaves.
            index: number of the tile within its level, from 0.
            width: how many hashes are needed, 1 to 256; more may be returned, as the tile has grown since.
        """
        ...


class _Tiles:
    """The nodes of a tree of one size, each tile read at most once."""

    def __init__(self, size: int, read: TileReader) -> None:
        self._size = size
        self._read = read
        self._tiles: dict[tuple[int, int], bytes] = {}

    def range_hash(self, start: int, end: int) -> bytes:
        """The hash over the leaves from ``start`` up to ``end``, for a start that RFC 9162's recursion leads to."""
        subtrees = []
        while start < end:
            height = (end - start).bit_length() - 1
            subtrees.append(self._node(height, start >> height))
            start += 1 << height
        return _fold(subtrees)

    def _node(self, height: int, index: int) -> bytes:
        level, above = divmod(height, _TILE_HEIGHT)
        first = index << above
        tile = self._tile(level, first // TILE_WIDTH)
        offset = first % TILE_WIDTH * HASH_SIZE
        hashes = [tile[at : at + HASH_SIZE] for at in range(offset, offset + (HASH_SIZE << above), HASH_SIZE)]
        while len(hashes) > 1:
            hashes = [node_hash(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
        return hashes[0]

    def _tile(self, level: int, index: int) -> bytes:
        tile = self._tiles.get((level, index))
        if tile is None:
            width = min(TILE_WIDTH, (self._size >> _TILE_HEIGHT * level) - index * TILE_WIDTH)
            tile = bytes(self._read(level, index, width))
            if len(tile) % HASH_SIZE or not width <= len(tile) // HASH_SIZE <= TILE_WIDTH:
                raise ProofFailed(
                    f"tile {index} of level {level} has {len(tile)} bytes; "
                    f"a log of {self._size} entries needs {width * HASH_SIZE}",
                    entry=min((index * TILE_WIDTH << _TILE_HEIGHT * level) + 1, self._size),
                    last_entry=min((index + 1) * TILE_WIDTH << _TILE_HEIGHT * level, self._size),
                )
            self._tiles[level, index] = tile
        return tile


def _checked_size(size: int, what: str = "size") -> None:
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= LARGEST_SIZE:
        raise ValueError(f"{what} is not a number from 0 to {LARGEST_SIZE}")


def _split(size: int) -> int:
    """The largest power of two smaller than a size of at least 2."""
    return 1 << (size - 1).bit_length() - 1


def root_at(size: int, tiles: TileReader) -> bytes:
    """The root of the log when it had ``size`` entries, 32 bytes. Reads at most one tile a level.

    Raises:
        ValueError: not a size.
        ProofFailed: a tile has the wrong length.
    """
    _checked_size(size)
    return _Tiles(size, tiles).range_hash(0, size)


def inclusion_proof(index: int, size: int, tiles: TileReader) -> list[bytes]:
    """The proof that a leaf is in the log of ``size`` entries (RFC 9162, 2.1.3.1). Reads at most two tiles a level.

    Args:
        index: of the leaf, from 0.
        size: entries of the log.
        tiles: reads the log's tiles.

    Returns:
        Hashes of 32 bytes, from the leaf's sibling up.

    Raises:
        ValueError: not a size, or the leaf is beyond it.
        ProofFailed: a tile has the wrong length.
    """
    _checked_size(size)
    _checked_size(index, "index")
    if index >= size:
        raise ValueError(f"a log of {size} entries has no leaf {index}")
    nodes = _Tiles(size, tiles)
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(nodes.range_hash(middle, end))
            end = middle
        else:
            proof.append(nodes.range_hash(start, middle))
            start = middle
    proof.reverse()
    return proof


def consistency_proof(old: int, new: int, tiles: TileReader) -> list[bytes]:
    """The proof that the log of ``new`` entries begins with the log of ``old`` entries (RFC 9162, 2.1.4.1).

    Reads at most two tiles a level, as of the new size.

    Returns:
        Hashes of 32 bytes; none if the sizes are equal or the old one is 0.

    Raises:
        ValueError: not sizes, or the old one is the larger.
        ProofFailed: a tile has the wrong length.
    """
    _checked_size(old, "old size")
    _checked_size(new, "new size")
    if old > new:
        raise ValueError(f"a log of {new} entries does not begin with {old}")
    if old in (0, new):
        return []
    nodes = _Tiles(new, tiles)
    proof: list[bytes] = []
    start, end = 0, new
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            proof.append(nodes.range_hash(middle, end))
            end = middle
        else:
            proof.append(nodes.range_hash(start, middle))
            start = middle
    if start:  # otherwise it is the old root, which the verifier has
        proof.append(nodes.range_hash(start, end))
    proof.reverse()
    return proof


# Verifying proofs -----------------------------------------------------------------------------------------------------


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_SIZE


def _are_hashes(*values: object) -> bool:
    return all(isinstance(value, bytes) and len(value) == HASH_SIZE for value in values)


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Checks that a leaf is in a log (RFC 9162, 2.1.3.2).

    Args:
        index: of the leaf, from 0.
        size: entries of the log.
        leaf: the leaf's hash, 32 bytes.
        proof: hashes of 32 bytes, from the leaf's sibling up.
        root: the log's root, 32 bytes.

    Raises:
        ProofFailed: it is not, or the proof does not show it.
    """
    entry = index + 1 if _is_size(index) else None

    def fail(message: str) -> NoReturn:
        raise ProofFailed(message, entry=entry)

    if not _is_size(index) or not _is_size(size):
        fail(f"index and size are numbers from 0 to {LARGEST_SIZE}")
    if index >= size:
        fail(f"a log of {size} entries has no entry {index + 1}")
    if not _are_hashes(leaf, root, *proof):
        fail(f"a hash is not {HASH_SIZE} bytes")
    node, last, current = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            fail("the proof has too many hashes")
        if node & 1 or node == last:
            current = node_hash(sibling, current)
            while node and not node & 1:
                node >>= 1
                last >>= 1
        else:
            current = node_hash(current, sibling)
        node >>= 1
        last >>= 1
    if last:
        fail("the proof has too few hashes")
    if current != root:
        fail(f"entry {index + 1} is not in the log of {size} entries with this root")


def verify_consistency(old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Checks that a log begins with an older state of it (RFC 9162, 2.1.4.2).

    Any log begins with the empty one; then, and between equal sizes, the proof is empty.

    Args:
        old_size, new_size: entries of the log, then and now.
        old_root, new_root: its roots, 32 bytes each.
        proof: hashes of 32 bytes.

    Raises:
        ProofFailed: it does not, or the proof does not show it.
    """
    if not _is_size(old_size) or not _is_size(new_size):
        raise ProofFailed(f"sizes are numbers from 0 to {LARGEST_SIZE}")
    if old_size > new_size:
        raise ProofFailed(f"the log shrank from {old_size} to {new_size} entries", entry=new_size + 1)
    if not _are_hashes(old_root, new_root, *proof):
        raise ProofFailed(f"a hash is not {HASH_SIZE} bytes")
    for size, root in ((old_size, old_root), (new_size, new_root)):
        if size == 0 and root != EMPTY_ROOT:
            raise ProofFailed("the root of a log without entries is not that of the empty tree")
    if old_size in (0, new_size):
        if proof:
            raise ProofFailed("the proof has too many hashes")
        if old_size == new_size and old_root != new_root:
            raise ProofFailed(f"two roots for the log of {old_size} entries")
        return
    path = list(proof)
    if not path:
        raise ProofFailed("the proof has too few hashes")
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node >>= 1
        last >>= 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofFailed("the proof has too many hashes")
        if node & 1 or node == last:
            old = node_hash(sibling, old)
            new = node_hash(sibling, new)
            while node and not node & 1:
                node >>= 1
                last >>= 1
        else:
            new = node_hash(new, sibling)
        node >>= 1
        last >>= 1
    if last:
        raise ProofFailed("the proof has too few hashes")
    if old != old_root or new != new_root:
        raise ProofFailed(f"the log of {new_size} entries does not begin with that of {old_size}")


# Text -----------------------------------------------------------------------------------------------------------------


def _text_of(data: bytes | str, what: str) -> str:
    """The text of a note or proof, which C2SP signed-note limits to UTF-8 without control characters."""
    if len(data) > _MOST_BYTES:
        raise MalformedNote(f"{what} is larger than {_MOST_BYTES} bytes")
    try:
        text = data if isinstance(data, str) else data.decode()
        text.encode()
    except UnicodeError as error:
        raise MalformedNote(f"{what} is not UTF-8") from error
    if text.startswith("\ufeff"):
        raise MalformedNote(f"{what} begins with a byte order mark; save it as UTF-8 without one")
    found = _CONTROL.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        if found[0] == "\r":
            raise MalformedNote(f"line {line} of {what} has a carriage return; lines end in LF alone")
        raise MalformedNote(f"line {line} of {what} has the control character U+{ord(found[0]):04X}")
    return text


def _to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _from_base64(text: str, what: str, length: int | None = None) -> bytes:
    """The bytes of base64 as its encoder writes it, and no other form: padded, no stray bits, no white space."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedNote(f"{what} is not base64") from None
    if _to_base64(data) != text:
        raise MalformedNote(f"{what} is not canonical base64")
    if length is not None and len(data) != length:
        raise MalformedNote(f"{what} has {len(data)} bytes, not {length}")
    return data


def _number(text: str, what: str) -> int:
    if not _DECIMAL.fullmatch(text):  # of at most 19 digits; the dataclasses know the limit
        raise MalformedNote(f"{what} is not a decimal number up to {LARGEST_SIZE} without leading zeros")
    return int(text)


# Origins --------------------------------------------------------------------------------------------------------------


def _check_name(name: str, what: str) -> None:
    """The rule of C2SP signed-note for the name of a key."""
    try:
        name.encode()
    except UnicodeError as error:
        raise MalformedNote(f"{what} is not Unicode text") from error
    if not name or "+" in name or _CONTROL.search(name) or any(character.isspace() for character in name):
        raise MalformedNote(f"{what} is empty or has a space, a plus or a control character")


def origin_for(ledger: str, customer_id: str) -> str:
    """The origin of a customer's log: the ledger's name, a slash, and the customer, percent-encoded.

    Of the customer's UTF-8 bytes only RFC 3986's unreserved ones (``A-Z a-z 0-9 - . _ ~``) stay as they are.

    Args:
        ledger: the ledger's name, such as ``ledger.example/production``; no spaces, plus or control characters.
        customer_id: not empty.

    Raises:
        MalformedNote: the ledger's name or the customer can't be used.
    """
    _check_name(ledger, "the name of the ledger")
    if not customer_id or "\x00" in customer_id:
        raise MalformedNote("the customer is empty or has a NUL character")
    try:
        return f"{ledger}/{quote(customer_id, safe='')}"
    except UnicodeError as error:
        raise MalformedNote("the customer is not Unicode text") from error


def split_origin(origin: str) -> tuple[str, str]:
    """The ledger's name and the customer of an origin: the inverse of :func:`origin_for`.

    Raises:
        MalformedNote: no origin that :func:`origin_for` returns.
    """
    ledger, _, encoded = origin.rpartition("/")
    try:
        customer_id = unquote_to_bytes(encoded).decode()
    except UnicodeError as error:
        raise MalformedNote("the customer in the origin is not UTF-8") from error
    if origin_for(ledger, customer_id) != origin:
        raise MalformedNote("the origin is not a ledger's name, a slash and a percent-encoded customer")
    return ledger, customer_id


# Checkpoints ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log (C2SP tlog-checkpoint). Whose word it is, only the note's signature says.

    Attributes:
        origin: which log, one line; see :func:`origin_for`.
        size: number of entries.
        root: of the tree over them, 32 bytes.
        extensions: further lines, kept but without meaning; none in this project's checkpoints.

    Raises:
        MalformedNote: a value that has no place in a checkpoint; so is another root than :data:`EMPTY_ROOT` for size 0.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for line in (self.origin, *self.extensions):
            if not line or "\n" in _text_of(line, "the checkpoint"):
                raise MalformedNote("the origin or an extension of the checkpoint is not one line of text")
        if not _is_size(self.size):
            raise MalformedNote(f"the size of the checkpoint is not a number from 0 to {LARGEST_SIZE}")
        if not _are_hashes(self.root):
            raise MalformedNote(f"the root of the checkpoint is not {HASH_SIZE} bytes")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise MalformedNote("the checkpoint of a log without entries has another root than the empty tree")

    @property
    def root_text(self) -> str:
        """The root in base64, as the checkpoint's third line has it."""
        return _to_base64(self.root)

    def text(self) -> str:
        """The lines of the checkpoint: what is signed."""
        return "\n".join((self.origin, str(self.size), self.root_text, *self.extensions, ""))


def parse_checkpoint(text: bytes | str) -> Checkpoint:
    """The checkpoint that a note's text holds.

    Raises:
        MalformedNote: it is not written exactly as :meth:`Checkpoint.text` does. A note with its signatures is not
            either: see :func:`open_checkpoint`.
    """
    *lines, rest = _text_of(text, "the checkpoint").split("\n")
    if rest:
        raise MalformedNote("the last line of the checkpoint does not end in a newline")
    if "" in lines:
        raise MalformedNote("the checkpoint has an empty line; a signed one has to be opened as a note first")
    if len(lines) < 3:
        raise MalformedNote("a checkpoint has at least three lines")
    origin, size, root, *extensions = lines
    return Checkpoint(
        origin,
        _number(size, "the size of the checkpoint"),
        _from_base64(root, "the root of the checkpoint", HASH_SIZE),
        tuple(extensions),
    )


# Keys -----------------------------------------------------------------------------------------------------------------


def _private_key(seed: bytes) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed)


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """An Ed25519 public key with a name (C2SP signed-note).

    Attributes:
        name: no spaces, plus or control characters.
        public_key: 32 bytes, RFC 8032.
    """

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        _check_name(self.name, "the name of the key")
        if not _are_hashes(self.public_key):
            raise MalformedNote("an Ed25519 public key has 32 bytes")

    @property
    def key_id(self) -> bytes:
        """Four bytes that, with the name, tell which key made a signature."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public_key).digest()[:4]

    def encode(self) -> str:
        """The key as one line of text, a "vkey"."""
        return f"{self.name}+{self.key_id.hex()}+{_to_base64(_ED25519 + self.public_key)}"

    @classmethod
    def decode(cls, text: str) -> VerifierKey:
        """The key that :meth:`encode` wrote.

        Raises:
            MalformedNote: not such a line, another kind of key, or a key id that is not the key's.
        """
        if text.startswith("PRIVATE+KEY+"):
            raise MalformedNote("this is a secret key, not a verifier key")
        name, key_id, material = _key_parts(text, "the verifier key")
        key = cls(name, material)
        if key.key_id.hex() != key_id:
            raise MalformedNote("the key id in the verifier key is not its own")
        return key

    def accepts(self, signature: bytes, text: bytes) -> bool:
        """Whether the signature, 64 bytes, is this key's over the text."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, text)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class SecretKey:
    """An Ed25519 secret key with a name. Whoever has it signs checkpoints; its ``repr`` does not show it.

    Attributes:
        name: no spaces, plus or control characters.
        seed: 32 bytes, RFC 8032.
    """

    name: str
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _check_name(self.name, "the name of the key")
        if not _are_hashes(self.seed):
            raise MalformedNote("an Ed25519 seed has 32 bytes")

    @classmethod
    def generate(cls, name: str) -> SecretKey:
        """A new key, from the operating system's random numbers."""
        return cls(name, secrets.token_bytes(32))

    @property
    def verifier(self) -> VerifierKey:
        """The public key."""
        return VerifierKey(self.name, _private_key(self.seed).public_key().public_bytes_raw())

    def encode(self) -> str:
        """The key as one line of text, as Go's ``sumdb/note`` writes it."""
        return f"PRIVATE+KEY+{self.name}+{self.verifier.key_id.hex()}+{_to_base64(_ED25519 + self.seed)}"

    @classmethod
    def decode(cls, text: str) -> SecretKey:
        """The key that :meth:`encode` wrote.

        Raises:
            MalformedNote: not such a line, another kind of key, or a key id that is not the key's.
        """
        if not text.startswith("PRIVATE+KEY+"):
            raise MalformedNote("a secret key begins with PRIVATE+KEY+")
        name, key_id, material = _key_parts(text.removeprefix("PRIVATE+KEY+"), "the secret key")
        key = cls(name, material)
        if key.verifier.key_id.hex() != key_id:
            raise MalformedNote("the key id in the secret key is not its own")
        return key

    def sign(self, text: bytes) -> bytes:
        """The signature over the text, 64 bytes (RFC 8032)."""
        return _private_key(self.seed).sign(text)


def _key_parts(text: str, what: str) -> tuple[str, str, bytes]:
    parts = text.split("+", 2)  # base64 may have a plus of its own
    if len(parts) != 3 or not _KEY_ID.fullmatch(parts[1]):
        raise MalformedNote(f"{what} is not a name, a key id of 8 hexadecimal digits and base64, joined by plus")
    material = _from_base64(parts[2], what)
    if material[:1] != _ED25519 or len(material) != 33:
        raise MalformedNote(f"{what} is not an Ed25519 key")
    return parts[0], parts[1], material[1:]


def write_key_pair(path: str | os.PathLike[str], name: str) -> VerifierKey:
    """Makes a key and writes it to two new files: the secret key to ``path``, the verifier key to ``<path>.pub``.

    The secret file has mode 0600. Nothing is ever overwritten.

    Args:
        path: of the secret file; its folder exists.
        name: of the key, often the ledger's.

    Raises:
        FileExistsError: one of the files exists, whatever it is; then neither is written.
        OSError: a file can't be written; then neither is.
        MalformedNote: not a name for a key.
    """
    key = SecretKey.generate(name)
    secret = Path(path)
    public = secret.with_name(secret.name + ".pub")
    written = _write_new(secret, key.encode(), 0o600)
    try:
        _write_new(public, key.verifier.encode(), 0o644)
    except BaseException:
        written.unlink()
        raise
    return key.verifier


def _write_new(path: Path, line: str, mode: int) -> Path:
    # Where a link leads to nothing, that is made.
    path = Path(os.path.realpath(path))
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        try:
            file.write(f"{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            path.unlink()
            raise
    return path


def _read_line(path: str | os.PathLike[str], what: str) -> str:
    text = _text_of(Path(path).read_bytes(), what).removesuffix("\n")
    if "\n" in text:
        raise MalformedNote(f"{what} is not one line")
    return text


def read_secret_key(path: str | os.PathLike[str]) -> SecretKey:
    """The key in a file that :func:`write_key_pair` wrote.

    Raises:
        OSError: the file can't be read.
        MalformedNote: it holds something else.
    """
    return SecretKey.decode(_read_line(path, "the secret key"))


def read_verifier_key(path: str | os.PathLike[str]) -> VerifierKey:
    """The key in a ``.pub`` file that :func:`write_key_pair` wrote.

    Raises:
        OSError: the file can't be read.
        MalformedNote: it holds something else.
    """
    return VerifierKey.decode(_read_line(path, "the verifier key"))


# Notes ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature line of a note, not verified.

    Attributes:
        name: of the key.
        key_id: four bytes.
        signature: the rest, for Ed25519 64 bytes.
    """

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A note taken apart (C2SP signed-note), not verified.

    Attributes:
        text: what is signed; ends in a newline.
        signatures: in the note's order; none for an unsigned text.
    """

    text: str
    signatures: tuple[Signature, ...]


def parse_note(note: bytes | str) -> Note:
    """Takes a note apart, without verifying its signatures; see :func:`open_note`.

    A text without any empty line, such as that of an unsigned checkpoint, is a note without signatures.

    Raises:
        MalformedNote: neither of the two.
    """
    whole = _text_of(note, "the note")
    if not whole.endswith("\n"):
        raise MalformedNote("the last line of the note does not end in a newline")
    body, blank, block = whole.rpartition("\n\n")
    if not blank:
        return Note(whole, ())
    lines = block.split("\n")[:-1]
    if not lines:
        raise MalformedNote("the note has no signature after its last empty line")
    if len(lines) > _MOST_SIGNATURES:
        raise MalformedNote(f"the note has more than {_MOST_SIGNATURES} signatures")
    return Note(f"{body}\n", tuple(_signature(line) for line in lines))


def _signature(line: str) -> Signature:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != "—":
        raise MalformedNote("a signature of the note does not begin with an em dash and a space")
    _check_name(name, "the name of a key in the note")
    data = _from_base64(encoded, "a signature of the note")
    if len(data) < 5:
        raise MalformedNote("a signature of the note is too short")
    return Signature(name, data[:4], data[4:])


def sign(text: str, *keys: SecretKey) -> str:
    """A note: the text and a signature of each key.

    Args:
        text: ends in a newline; no control characters but newlines.
        keys: one or more.

    Raises:
        MalformedNote: not a text for a note.
        ValueError: no key.
    """
    if not keys:
        raise ValueError("a note is signed by at least one key")
    if not _text_of(text, "the text").endswith("\n"):
        raise MalformedNote("the text of a note ends in a newline")
    data = text.encode()
    lines = [f"— {key.name} {_to_base64(key.verifier.key_id + key.sign(data))}\n" for key in keys]
    return f"{text}\n{''.join(lines)}"


def open_note(note: bytes | str, *verifiers: VerifierKey) -> str:
    """The text of a note that one of the keys has signed. Signatures of other keys are ignored.

    Args:
        note: as a file holds it; bytes are best, as reading a file as text may change its line ends.
        verifiers: the keys that are trusted, one or more.

    Raises:
        MalformedNote: not a note.
        SignatureFailed: none of the keys has signed it, or a signature of one of them is wrong.
        ValueError: no key.
    """
    if not verifiers:
        raise ValueError("a note is opened with at least one key")
    signers(note, *verifiers)
    return parse_note(note).text


def signers(note: bytes | str, *verifiers: VerifierKey) -> tuple[str, ...]:
    """The names of those of the keys that have signed a note, in the order of its signatures; none, without keys.

    Raises:
        MalformedNote: not a note.
        SignatureFailed: none of the keys has signed it, or a signature of one of them is wrong.
    """
    if not verifiers:
        return ()
    parsed = parse_note(note)
    known = {(key.name, key.key_id): key for key in verifiers}
    text = parsed.text.encode()
    found: list[str] = []
    for signature in parsed.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            continue
        if not key.accepts(signature.signature, text):
            raise SignatureFailed(f"the signature of {key.name}+{key.key_id.hex()} is not over this text")
        found.append(key.name)
    if not found:
        names = ", ".join(f"{key.name}+{key.key_id.hex()}" for key in verifiers)
        state = "not signed by" if parsed.signatures else "not signed at all; expected is"
        raise SignatureFailed(f"the note is {state} {names}", unsigned=True)
    return tuple(dict.fromkeys(found))


def open_checkpoint(note: bytes | str, *verifiers: VerifierKey, origin: str | None = None) -> Checkpoint:
    """The checkpoint of a note that one of the keys has signed.

    Args:
        note: as a file holds it.
        verifiers: the keys that are trusted, one or more.
        origin: the log it has to be of; any, if left out.

    Raises:
        MalformedNote: not a checkpoint, or of another log.
        SignatureFailed: none of the keys has signed it, or a signature of one of them is wrong.
    """
    checkpoint = parse_checkpoint(open_note(note, *verifiers))
    if origin is not None and checkpoint.origin != origin:
        raise MalformedNote(f"the checkpoint is of the log {checkpoint.origin}, not {origin}")
    return checkpoint


def read_checkpoint(note: bytes | str) -> Checkpoint:
    """The checkpoint of a note, signed or not, on nobody's word: no signature is verified.

    Raises:
        MalformedNote: not a checkpoint.
    """
    return parse_checkpoint(parse_note(note).text)


# Files of proofs ------------------------------------------------------------------------------------------------------


def _proof_text(lines: Iterable[str], hashes: Iterable[bytes], note: str) -> str:
    return "\n".join((*lines, *map(_to_base64, hashes), "", note))


def _proof_parts(data: bytes | str) -> tuple[list[str], str]:
    """The lines before the first empty line, and the note after it."""
    head, blank, note = _text_of(data, "the proof").partition("\n\n")
    if not blank:
        raise MalformedNote("the proof has no empty line before its checkpoint")
    read_checkpoint(note)
    return head.split("\n"), note


def _proof_hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    if len(lines) > _MOST_HASHES:
        raise MalformedNote(f"the proof has more than {_MOST_HASHES} hashes")
    return tuple(_from_base64(line, "a hash of the proof", HASH_SIZE) for line in lines)


def _check_proof(hashes: tuple[bytes, ...], note: str) -> None:
    if not _are_hashes(*hashes) or len(hashes) > _MOST_HASHES:
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
        if not _is_size(self.index):
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
            lines.append(f"extra {_to_base64(self.extra)}")
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
        extra = _from_base64(lines.pop(0).removeprefix("extra "), "the extra data of the proof")
    if not lines or not lines[0].startswith("index "):
        raise MalformedNote("the proof has no index line")
    index = _number(lines[0].removeprefix("index "), "the index of the proof")
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
        if not _is_size(self.old_size):
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
    old_size = _number(lines[0].removeprefix("old "), "the old size of the proof")
    return ConsistencyProof(old_size, _proof_hashes(lines[1:]), note)


# Exports --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LineProblem:
    """Something about the lines of an export that its writer never does.

    Attributes:
        kind: ``byte_order_mark``, ``carriage_return``, ``empty`` or ``no_newline``.
        line: number of the first line concerned, from 1.
        count: how many lines are.
        changes_bytes: whether it makes the entry another one. A missing newline does not.
    """

    kind: Literal["byte_order_mark", "carriage_return", "empty", "no_newline"]
    line: int
    count: int
    changes_bytes: bool

    @property
    def message(self) -> str:
        """A sentence."""
        more = f" (and {self.count - 1} more)" if self.count > 1 else ""
        return f"Line {self.line}{more} {_PROBLEMS[self.kind]}."


_PROBLEMS: Final = {
    "byte_order_mark": "begins with a byte order mark, which changes the bytes of the entry: the file was re-encoded",
    "carriage_return": "ends in CRLF, which changes the bytes of the entry: the file's line ends were converted",
    "empty": "is empty, which no entry is",
    "no_newline": "does not end in a newline: the file may have been cut off there",
}


@dataclass(frozen=True, slots=True)
class CheckpointResult:
    """How an export compares with one checkpoint.

    Attributes:
        checkpoint: the checkpoint.
        outcome: ``good``; ``differs``, the root is another one; ``missing``, the export has fewer entries.
    """

    checkpoint: Checkpoint
    outcome: Literal["good", "differs", "missing"]


@dataclass(frozen=True, slots=True)
class ExportVerdict:
    """What :func:`verify_export` found.

    Attributes:
        entries: lines of the export.
        root: over all of them, 32 bytes.
        results: one for each checkpoint, by size.
        problems: of single lines, one for each kind. They explain a failure; the roots alone decide.
    """

    entries: int
    root: bytes
    results: tuple[CheckpointResult, ...]
    problems: tuple[LineProblem, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the export is what every checkpoint says."""
        return all(result.outcome == "good" for result in self.results)

    @property
    def good(self) -> Checkpoint | None:
        """The largest checkpoint up to which all are good."""
        last = None
        for result in self.results:
            if result.outcome != "good":
                break
            last = result.checkpoint
        return last

    @property
    def bad(self) -> CheckpointResult | None:
        """The smallest checkpoint that is not good."""
        return next((result for result in self.results if result.outcome != "good"), None)

    @property
    def beyond(self) -> int:
        """Entries after the largest checkpoint, about which nothing is proved."""
        return max(0, self.entries - self.results[-1].checkpoint.size)

    @property
    def missing(self) -> int:
        """Entries that the export lacks at its end to reach the largest checkpoint."""
        return max(0, self.results[-1].checkpoint.size - self.entries)

    @property
    def doubtful(self) -> tuple[int, int] | None:
        """Numbers of the first and the last entry among which the first wrong one is; ``None`` if all is good.

        Also ``None`` if the checkpoints contradict each other, as then it may be none of the entries.
        """
        bad, good = self.bad, self.good
        first = good.size + 1 if good else 1
        if bad is None or self._contradicted is not None or first > bad.checkpoint.size:
            return None
        if bad.outcome == "missing" and good is not None and good.size == self.entries:
            return self.entries + 1, bad.checkpoint.size
        return first, bad.checkpoint.size

    @property
    def _contradicted(self) -> Checkpoint | None:
        """A checkpoint that the export matches, although it does not match one of at most that size."""
        bad = self.bad
        if bad is None or bad.outcome != "differs":
            return None
        at_least = [r.checkpoint for r in self.results if r.checkpoint.size >= bad.checkpoint.size]
        outcomes = {r.checkpoint: r.outcome for r in self.results}
        return next((checkpoint for checkpoint in at_least if outcomes[checkpoint] == "good"), None)

    @property
    def message(self) -> str:
        """The verdict in a few sentences, without content of the entries."""
        sentences = [self._finding(), *(problem.message for problem in self.problems)]
        if self.beyond:
            size = self.results[-1].checkpoint.size
            sentences.append(f"Beyond the checkpoint, and not proved: {_entries(self.beyond)} after entry {size}.")
        return " ".join(sentences)

    def _finding(self) -> str:
        bad, good = self.bad, self.good
        if bad is None:
            size = self.results[-1].checkpoint.size
            return f"The export agrees with the checkpoint of size {size}."
        size = bad.checkpoint.size
        until = f" It is good up to entry {good.size}." if good else ""
        if bad.outcome == "missing":
            return f"The export has {_entries(self.entries)}, the checkpoint covers {size}.{until}"
        contradicted = self._contradicted
        if contradicted is not None:
            return (
                f"The export is not what the checkpoint of size {size} says, but it is what the one of size "
                f"{contradicted.size} says: these checkpoints contradict each other."
            )
        first = good.size + 1 if good else 1
        return (
            f"The export is not what the checkpoint of size {size} says: an entry from {first} to {size} was changed, "
            f"removed, added or moved.{until}"
        )

    def raise_if_bad(self) -> None:
        """Raises :class:`ProofFailed`, with :attr:`message` and the entries in doubt, unless :attr:`ok`."""
        if not self.ok:
            first, last = self.doubtful or (None, None)
            raise ProofFailed(self.message, entry=first, last_entry=last)


def _entries(count: int) -> str:
    return f"{count} entry" if count == 1 else f"{count} entries"


def _lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines with their newlines, each checked to be one."""
    given: Any
    for given in lines:
        if not isinstance(given, bytes):
            raise TypeError("the lines of an export are bytes; open the file in binary mode")
        end = given.find(b"\n")
        if end >= 0 and end != len(given) - 1:
            raise ValueError("a newline within a line of the export")
        yield given


def verify_export(
    lines: Iterable[bytes],
    checkpoints: Checkpoint | Sequence[Checkpoint],
    *,
    progress: Callable[[int], object] | None = None,
) -> ExportVerdict:
    """Compares an export with checkpoints of its log, in one pass and with little memory.

    The export may be longer than the checkpoints' sizes. With several checkpoints a verdict that is bad names the two
    sizes between which the first wrong entry is.

    Args:
        lines: the export, opened in binary mode, or its lines as bytes, each with its newline.
        checkpoints: one or more, trusted, of one log; in any order.
        progress: called now and then, and at the end, with the number of lines read.

    Returns:
        The verdict, good or bad; see :meth:`ExportVerdict.raise_if_bad`.

    Raises:
        ValueError: no checkpoint, or checkpoints of two logs; or an item of ``lines`` is more than a line.
        TypeError: lines that are not bytes.
    """
    wanted = [checkpoints] if isinstance(checkpoints, Checkpoint) else sorted(checkpoints, key=lambda c: c.size)
    if not wanted:
        raise ValueError("an export is verified with at least one checkpoint")
    if len({checkpoint.origin for checkpoint in wanted}) > 1:
        raise ValueError("the checkpoints are of two logs")
    tree = Tree()
    results: list[CheckpointResult] = []
    problems: dict[Any, tuple[int, int]] = {}

    def note(kind: str, line: int) -> None:
        first, count = problems.get(kind, (line, 0))
        problems[kind] = first, count + 1

    def compare() -> None:
        while len(results) < len(wanted) and wanted[len(results)].size == tree.size:
            checkpoint = wanted[len(results)]
            results.append(CheckpointResult(checkpoint, "good" if tree.root() == checkpoint.root else "differs"))

    compare()
    for number, line in enumerate(_lines(lines), 1):
        if line.endswith(b"\n"):
            data = line[:-1]
        else:
            data = line
            note("no_newline", number)
        if number == 1 and data.startswith(_BOMS):
            note("byte_order_mark", number)
        if data.endswith(b"\r"):
            note("carriage_return", number)
        if data in (b"", b"\r"):
            note("empty", number)
        tree.append(leaf_hash(data))
        if len(results) < len(wanted) and wanted[len(results)].size == number:
            compare()
        if progress is not None and number % _PROGRESS_STEP == 0:
            progress(number)
    if progress is not None:
        progress(tree.size)
    results += [CheckpointResult(checkpoint, "missing") for checkpoint in wanted[len(results) :]]
    return ExportVerdict(
        tree.size,
        tree.root(),
        tuple(results),
        tuple(
            LineProblem(kind, first, count, kind != "no_newline")
            for kind, (first, count) in sorted(problems.items(), key=lambda item: item[1][0])
        ),
    )


@dataclass(frozen=True, slots=True)
class ExportDifference:
    """Where two exports of a log first differ.

    Attributes:
        entry: number of the first entry concerned, from 1: in the old export, or in the new one if it was added.
        kind: ``differs``, there is another entry in its place; ``removed``, it is missing in the new export; ``added``,
            it is missing in the old one. An entry added at the end is what a log that grew has.
        count: how many entries in a row were removed or added; 1 if it differs.
        at_end: whether one of the exports just ends there.
    """

    entry: int
    kind: Literal["differs", "removed", "added"]
    count: int
    at_end: bool


def compare_exports(old: Iterable[bytes], new: Iterable[bytes]) -> ExportDifference | None:
    """The first difference of two exports, entry by entry, with little memory; ``None`` if there is none.

    Newlines at the ends of the files do not count. Up to 1000 entries removed or added amid others are recognised as
    that; more look as if they differed.

    Args:
        old: an export, opened in binary mode, or its lines as bytes.
        new: another one.

    Raises:
        TypeError: lines that are not bytes.
        ValueError: an item is more than a line.
    """
    olds = (line.removesuffix(b"\n") for line in _lines(old))
    news = (line.removesuffix(b"\n") for line in _lines(new))
    for number, (before, after) in enumerate(zip_longest(olds, news), 1):
        if before == after:
            continue
        if after is None:
            return ExportDifference(number, "removed", 1 + sum(1 for _ in olds), at_end=True)
        if before is None:
            return ExportDifference(number, "added", 1 + sum(1 for _ in news), at_end=True)
        # Hashes, as lines may be long.
        removed = _distance(leaf_hash(after), map(leaf_hash, islice(olds, _WINDOW)))
        added = _distance(leaf_hash(before), map(leaf_hash, islice(news, _WINDOW)))
        if removed and not added:
            return ExportDifference(number, "removed", removed, at_end=False)
        if added and not removed:
            return ExportDifference(number, "added", added, at_end=False)
        return ExportDifference(number, "differs", 1, at_end=False)
    return None


def _distance(wanted: bytes, hashes: Iterable[bytes]) -> int:
    """How far on a hash comes, from 1; 0 if it does not."""
    return next((at for at, found in enumerate(hashes, 1) if found == wanted), 0)
