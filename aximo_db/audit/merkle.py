"""A log as a Merkle tree with SHA-256 (RFC 9162, section 2.1), read by the tiles of C2SP tlog-tiles.

Entry ``n``, counted from 1, is the leaf with index ``n - 1``; its data are the exact bytes of the event's line in an
export, without the newline. https://www.rfc-editor.org/rfc/rfc9162#section-2.1, https://c2sp.org/tlog-tiles
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final, NoReturn, Protocol

__all__ = [
    "EMPTY_ROOT",
    "HASH_SIZE",
    "LARGEST_SIZE",
    "TILE_WIDTH",
    "ProofFailed",
    "TileReader",
    "Tree",
    "are_hashes",
    "consistency_proof",
    "frontier",
    "inclusion_proof",
    "is_size",
    "leaf_hash",
    "node_hash",
    "root_at",
    "root_of",
    "verify_consistency",
    "verify_inclusion",
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

    @classmethod
    def grown(cls, size: int, subtrees: Sequence[bytes]) -> Tree:
        """A tree that has so many leaves already.

        Args:
            size: how many.
            subtrees: the roots of the complete subtrees that they are made of, from left to right: :attr:`subtrees` of
                the tree, or :func:`frontier`.

        Raises:
            ValueError: there are not as many as a tree of that size has, or not of 32 bytes.
        """
        if not is_size(size) or len(subtrees) != size.bit_count() or not are_hashes(*subtrees):
            raise ValueError("these are not the subtrees of a tree of that size")
        tree = cls()
        tree._size, tree._frontier = size, list(subtrees)
        return tree

    @property
    def subtrees(self) -> tuple[bytes, ...]:
        """The roots of the complete subtrees that it is made of, from left to right."""
        return tuple(self._frontier)

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
        # One merge for each 1 bit at the end of the size, as one is carried when 1 is added to it.
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


def frontier(size: int, tiles: TileReader) -> list[bytes]:
    """The roots of the complete subtrees that the log of ``size`` entries is made of, from left to right.

    Reads at most one tile a level.

    Raises:
        ValueError: not a size.
        ProofFailed: a tile has the wrong length.
    """
    _checked_size(size)
    nodes = _Tiles(size, tiles)
    found, start = [], 0
    while start < size:
        height = (size - start).bit_length() - 1
        found.append(nodes.range_hash(start, start + (1 << height)))
        start += 1 << height
    return found


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


def is_size(value: object) -> bool:
    """Whether it can be the number of entries of a log."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_SIZE


def are_hashes(*values: object) -> bool:
    """Whether each is the bytes of a SHA-256 hash."""
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
    entry = index + 1 if is_size(index) else None

    def fail(message: str) -> NoReturn:
        raise ProofFailed(message, entry=entry)

    if not is_size(index) or not is_size(size):
        fail(f"index and size are numbers from 0 to {LARGEST_SIZE}")
    if index >= size:
        fail(f"a log of {size} entries has no entry {index + 1}")
    if not are_hashes(leaf, root, *proof):
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
    if not is_size(old_size) or not is_size(new_size):
        raise ProofFailed(f"sizes are numbers from 0 to {LARGEST_SIZE}")
    if old_size > new_size:
        raise ProofFailed(f"the log shrank from {old_size} to {new_size} entries", entry=new_size + 1)
    if not are_hashes(old_root, new_root, *proof):
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
