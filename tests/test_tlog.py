"""Hashes, proofs, checkpoints, notes and exports, as an auditor checks them without the database."""

from __future__ import annotations

import base64
import io
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aximo_db
from aximo_db import tlog
from aximo_db.tlog import (
    EMPTY_ROOT,
    Checkpoint,
    ConsistencyProof,
    ExportDifference,
    InclusionProof,
    LineProblem,
    MalformedNote,
    ProofFailed,
    SecretKey,
    SignatureFailed,
    Tree,
    VerifierKey,
    compare_exports,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    open_checkpoint,
    open_note,
    origin_for,
    parse_checkpoint,
    parse_consistency_proof,
    parse_inclusion_proof,
    parse_note,
    read_checkpoint,
    read_secret_key,
    read_verifier_key,
    root_at,
    root_of,
    sign,
    split_origin,
    verify_consistency,
    verify_export,
    verify_inclusion,
    write_key_pair,
)

# A second implementation, straight from the definitions of RFC 9162, 2.1.1, 2.1.3.1 and 2.1.4.1 ------------------------


def split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(d: Sequence[bytes]) -> bytes:
    """Over leaf hashes."""
    if not d:
        return sha256(b"").digest()
    if len(d) == 1:
        return d[0]
    k = split(len(d))
    return sha256(b"\x01" + mth(d[:k]) + mth(d[k:])).digest()


def path(m: int, d: Sequence[bytes]) -> list[bytes]:
    if len(d) == 1:
        return []
    k = split(len(d))
    if m < k:
        return [*path(m, d[:k]), mth(d[k:])]
    return [*path(m - k, d[k:]), mth(d[:k])]


def subproof(m: int, d: Sequence[bytes], b: bool) -> list[bytes]:
    if m == len(d):
        return [] if b else [mth(d)]
    k = split(len(d))
    if m <= k:
        return [*subproof(m, d[:k], b), mth(d[k:])]
    return [*subproof(m - k, d[k:], False), mth(d[:k])]


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(str(n).encode()) for n in range(count)]


class Log:
    """The tiles of a log, which remembers what was read of them."""

    def __init__(self, leaf_hashes: Sequence[bytes]) -> None:
        self.reads: list[tuple[int, int, int]] = []
        self.levels = [list(leaf_hashes)]
        while len(self.levels[-1]) >= 256:
            below = self.levels[-1]
            self.levels.append([mth(below[at : at + 256]) for at in range(0, len(below) - 255, 256)])

    def __call__(self, level: int, index: int, width: int) -> bytes:
        self.reads.append((level, index, width))
        hashes = self.levels[level][index * 256 : index * 256 + width]
        assert len(hashes) == width > 0
        return b"".join(hashes)


ALL = leaves(65_537)
BIG = Log(ALL)


# Hashes and proofs ----------------------------------------------------------------------------------------------------

# The tree of eight leaves that the tests of certificate-transparency and of transparency-dev/merkle share.
CT_LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CT_INCLUSION = [  # index, size, path
    (0, 1, []),
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]
CT_CONSISTENCY = [  # old, new, path
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
    (
        6,
        7,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
]
CT_HASHES = [leaf_hash(bytes.fromhex(leaf)) for leaf in CT_LEAVES]
CT_TREE = [bytes.fromhex(root) for root in CT_ROOTS]


def test_the_published_roots_are_computed() -> None:
    tree = Tree()
    log = Log(CT_HASHES)
    for size, root in enumerate(CT_ROOTS):
        assert (tree.size, tree.root().hex()) == (size, root)
        assert root_of(CT_HASHES[:size]).hex() == root
        assert root_at(size, log).hex() == root
        assert mth(CT_HASHES[:size]).hex() == root
        if size < 8:
            tree.append(CT_HASHES[size])


@pytest.mark.parametrize(("index", "size", "expected"), CT_INCLUSION)
def test_the_published_inclusion_proofs_are_made_and_verify(index: int, size: int, expected: list[str]) -> None:
    proof = inclusion_proof(index, size, Log(CT_HASHES))
    assert [found.hex() for found in proof] == expected
    verify_inclusion(index, size, CT_HASHES[index], proof, CT_TREE[size])


@pytest.mark.parametrize(("old", "new", "expected"), CT_CONSISTENCY)
def test_the_published_consistency_proofs_are_made_and_verify(old: int, new: int, expected: list[str]) -> None:
    proof = consistency_proof(old, new, Log(CT_HASHES))
    assert [found.hex() for found in proof] == expected
    verify_consistency(old, new, CT_TREE[old], CT_TREE[new], proof)


def test_every_proof_of_small_trees_is_that_of_the_recursive_definition() -> None:
    log = Log(ALL[:40])
    for size in range(1, 41):
        root = mth(ALL[:size])
        for other in range(size + 1):
            if other < size:
                proof = inclusion_proof(other, size, log)
                assert proof == path(other, ALL[:size])
                verify_inclusion(other, size, ALL[other], proof, root)
            proof = consistency_proof(other, size, log)
            assert proof == (subproof(other, ALL[:size], True) if other else [])
            verify_consistency(other, size, mth(ALL[:other]), root, proof)


EDGES = [255, 256, 257, 511, 512, 513]


@pytest.mark.parametrize("size", [*EDGES, 65_535, 65_536, 65_537])
def test_roots_from_tiles_are_right_at_the_edges_of_tiles(size: int) -> None:
    assert root_at(size, BIG) == mth(ALL[:size]) == root_of(ALL[:size])


@settings(max_examples=60, deadline=None)
@given(st.data(), st.one_of(st.integers(1, 700), st.sampled_from(EDGES)))
def test_proofs_from_tiles_are_those_of_the_recursive_definition(data: st.DataObject, size: int) -> None:
    root = mth(ALL[:size])
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, BIG)
    assert proof == path(index, ALL[:size])
    verify_inclusion(index, size, ALL[index], proof, root)
    old = data.draw(st.one_of(st.integers(1, size), st.sampled_from([edge for edge in [*EDGES, size] if edge <= size])))
    proof = consistency_proof(old, size, BIG)
    assert proof == subproof(old, ALL[:size], True)
    verify_consistency(old, size, mth(ALL[:old]), root, proof)


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537])
def test_proofs_of_three_levels_verify(size: int) -> None:
    root = root_at(size, BIG)
    for index in (0, 255, 256, 32_768, size - 2, size - 1):
        verify_inclusion(index, size, ALL[index], inclusion_proof(index, size, BIG), root)
    for old in (1, 256, 257, 32_768, 65_280, 65_535):
        verify_consistency(old, size, root_at(old, BIG), root, consistency_proof(old, size, BIG))


class Uniform:
    """A log of any size whose leaves are all alike, so that a hash depends on its level only."""

    def __init__(self) -> None:
        self.reads: list[tuple[int, int, int]] = []
        self.heights = [leaf_hash(b"same")]
        for _ in range(63):
            self.heights.append(node_hash(self.heights[-1], self.heights[-1]))

    def __call__(self, level: int, index: int, width: int) -> bytes:
        self.reads.append((level, index, width))
        return self.heights[8 * level] * width

    def root(self, size: int) -> bytes:
        if size & (size - 1) == 0:
            return self.heights[size.bit_length() - 1]
        return node_hash(self.root(split(size)), self.root(size - split(size)))


@pytest.mark.parametrize("size", [999_999, 1_000_000, 2**24, 2**24 + 1, 2**40 - 1, tlog.LARGEST_SIZE])
def test_a_proof_reads_a_handful_of_tiles_and_each_once(size: int) -> None:
    levels = -(-size.bit_length() // 8)
    for make in (
        lambda tiles: [root_at(size, tiles)],
        lambda tiles: inclusion_proof(size // 3, size, tiles),
        lambda tiles: consistency_proof(size // 3, size, tiles),
    ):
        log = Uniform()
        make(log)
        assert len(log.reads) == len({(level, index) for level, index, _ in log.reads}) <= 2 * levels
        for level, index, width in log.reads:
            # What tlog-tiles says a log of that size has.
            full, partial = divmod(size // 256**level, 256)
            assert width == 256 if index < full else (index, width) == (full, partial)
    log = Uniform()
    root = log.root(size)
    assert root_at(size, log) == root
    verify_inclusion(size // 3, size, log.heights[0], inclusion_proof(size // 3, size, log), root)
    verify_consistency(size // 3, size, log.root(size // 3), root, consistency_proof(size // 3, size, log))


def test_a_tile_that_has_grown_since_is_read_as_it_was() -> None:
    def grown(level: int, index: int, width: int) -> bytes:
        return b"".join(BIG.levels[level][index * 256 : index * 256 + 256])

    assert root_at(300, grown) == mth(ALL[:300])
    assert inclusion_proof(299, 300, grown) == path(299, ALL[:300])


@pytest.mark.parametrize("bad", [b"", b"x", bytes(32 * 43), bytes(32 * 44 - 1), bytes(32 * 257)])
def test_a_tile_of_the_wrong_length_is_refused_with_its_entries(bad: bytes) -> None:
    def tiles(level: int, index: int, width: int) -> bytes:
        return bad if (level, index) == (0, 1) else BIG(level, index, width)

    with pytest.raises(ProofFailed, match="tile 1 of level 0") as refused:
        root_at(300, tiles)
    assert (refused.value.entry, refused.value.last_entry) == (257, 300)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5), (0, -1), (0, 2**63), (True, 5)])
def test_no_inclusion_proof_is_made_for_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match=r"leaf|number"):
        inclusion_proof(index, size, BIG)


@pytest.mark.parametrize(("old", "new"), [(6, 5), (-1, 5), (0, 2**63), (1, True)])
def test_no_consistency_proof_is_made_for_impossible_sizes(old: int, new: int) -> None:
    with pytest.raises(ValueError, match=r"begin|number"):
        consistency_proof(old, new, BIG)


def test_a_leaf_hash_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        root_of([b"short"])


def flipped(value: bytes, bit: int) -> bytes:
    at = bit // 8 % len(value)
    return value[:at] + bytes([value[at] ^ 1 << bit % 8]) + value[at + 1 :]


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 300), st.integers(0, 255))
def test_every_change_to_an_inclusion_proof_is_refused(data: st.DataObject, size: int, bit: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaf, root, proof = ALL[index], root_at(size, BIG), inclusion_proof(index, size, BIG)
    wrong: list[tuple[int, int, bytes, list[bytes], bytes]] = [
        (index, size, flipped(leaf, bit), proof, root),
        (index, size, leaf, proof, flipped(root, bit)),
        (index, size, leaf, [*proof, root], root),
        (index, size, leaf, [leaf, *proof], root),
        (size, size, leaf, proof, root),
        (-1, size, leaf, proof, root),
        (index, 0, leaf, proof, root),
        (index, 2**63, leaf, proof, root),
        (index, size, leaf[:-1], proof, root),
        (index, size, leaf, proof, root + b"\0"),
        (index, size, leaf, [*proof, b""], root),
    ]
    wrong += [(other, size, leaf, proof, root) for other in range(size) if other != index]
    for at in range(len(proof)):
        wrong.append((index, size, leaf, [*proof[:at], flipped(proof[at], bit), *proof[at + 1 :]], root))
        wrong.append((index, size, leaf, [*proof[:at], *proof[at + 1 :]], root))
    for case in wrong:
        with pytest.raises(ProofFailed):
            verify_inclusion(*case)
    with pytest.raises(ProofFailed) as refused:
        verify_inclusion(*wrong[0])
    assert refused.value.entry == refused.value.last_entry == index + 1


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(2, 300), st.integers(0, 255))
def test_every_change_to_a_consistency_proof_is_refused(data: st.DataObject, new: int, bit: int) -> None:
    old = data.draw(st.integers(1, new - 1))
    one, two, proof = root_at(old, BIG), root_at(new, BIG), consistency_proof(old, new, BIG)
    wrong: list[tuple[int, int, bytes, bytes, list[bytes]]] = [
        (old, new, flipped(one, bit), two, proof),
        (old, new, one, flipped(two, bit), proof),
        (old, new, one, two, [*proof, two]),
        (old, new, one, two, [one, *proof]),
        (old, new, one, two, []),
        (new, old, two, one, proof),
        (new, new, one, two, []),
        (new, new, two, two, proof),
        (0, new, EMPTY_ROOT, two, proof),
        (old, new, one[:-1], two, proof),
        (old, 2**63, one, two, proof),
        (-1, new, one, two, proof),
    ]
    for at in range(len(proof)):
        wrong.append((old, new, one, two, [*proof[:at], flipped(proof[at], bit), *proof[at + 1 :]]))
        wrong.append((old, new, one, two, [*proof[:at], *proof[at + 1 :]]))
    for case in wrong:
        with pytest.raises(ProofFailed):
            verify_consistency(*case)


def test_the_empty_log_is_consistent_with_any_other_by_an_empty_proof_only() -> None:
    verify_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, [])
    verify_consistency(0, 5, EMPTY_ROOT, mth(ALL[:5]), [])
    for old_root, new, new_root, proof in [
        (ALL[0], 5, mth(ALL[:5]), []),
        (EMPTY_ROOT, 5, mth(ALL[:5]), [ALL[0]]),
        (ALL[0], 0, ALL[0], []),
        (EMPTY_ROOT, 0, ALL[0], []),
        (EMPTY_ROOT, 0, EMPTY_ROOT, [EMPTY_ROOT]),
    ]:
        with pytest.raises(ProofFailed):
            verify_consistency(0, new, old_root, new_root, proof)


def test_a_proof_of_the_wrong_length_is_refused_even_if_its_roots_were_made_to_fit() -> None:
    a, b, c = ALL[:3]
    with pytest.raises(ProofFailed, match="too many"):
        verify_inclusion(0, 1, a, [b], node_hash(b, a))
    with pytest.raises(ProofFailed, match="too few"):
        verify_inclusion(0, 4, a, [b], node_hash(a, b))
    with pytest.raises(ProofFailed, match="too few"):
        verify_consistency(1, 4, a, node_hash(a, b), [b])
    old, new, proof = root_at(3, BIG), root_at(4, BIG), consistency_proof(3, 4, BIG)
    with pytest.raises(ProofFailed, match="too many"):
        verify_consistency(3, 4, node_hash(c, old), node_hash(c, new), [*proof, c])


# Origins --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("customer", "encoded"),
    [
        ("acme", "acme"),
        ("Az09-._~", "Az09-._~"),
        ("a b+c/d%e", "a%20b%2Bc%2Fd%25e"),
        ("Müller & Söhne", "M%C3%BCller%20%26%20S%C3%B6hne"),
        ("客户😀", "%E5%AE%A2%E6%88%B7%F0%9F%98%80"),
        ("line\nbreak\x01", "line%0Abreak%01"),
        ("..", ".."),
    ],
)
def test_an_origin_is_the_ledger_and_the_percent_encoded_customer(customer: str, encoded: str) -> None:
    assert origin_for("ledger.example/eu", customer) == f"ledger.example/eu/{encoded}"
    assert split_origin(f"ledger.example/eu/{encoded}") == ("ledger.example/eu", customer)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20))
def test_the_customer_is_found_again_in_the_origin_which_fits_in_a_checkpoint(customer: str) -> None:
    origin = origin_for("ledger", customer)
    assert split_origin(origin) == ("ledger", customer)
    assert parse_checkpoint(Checkpoint(origin, 1, ALL[0]).text()).origin == origin


@pytest.mark.parametrize("ledger", ["", "a b", "a+b", "a\nb", "a\u00a0b", "a\u2028b", "a\x01b", "\ud800"])
def test_a_ledger_without_a_proper_name_has_no_origin(ledger: str) -> None:
    with pytest.raises(MalformedNote):
        origin_for(ledger, "acme")


@pytest.mark.parametrize("customer", ["", "a\0b", "\ud800"])
def test_no_origin_is_made_for_a_customer_that_can_not_be(customer: str) -> None:
    with pytest.raises(MalformedNote):
        origin_for("ledger", customer)


@pytest.mark.parametrize(
    "origin",
    ["", "ledger", "ledger/", "/acme", "ledger/a b", "ledger/%c3%bc", "ledger/%41", "ledger/%FF", "ledger/%", "l/%00"],
)
def test_an_origin_written_in_another_way_is_refused(origin: str) -> None:
    with pytest.raises(MalformedNote):
        split_origin(origin)


# Checkpoints ----------------------------------------------------------------------------------------------------------

ROOT64 = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
ROOT = base64.b64decode(ROOT64)
CHECKPOINT = Checkpoint("example.com/behind-the-sofa", 20852163, ROOT)


def test_the_example_of_the_checkpoint_specification_is_read_and_written() -> None:
    text = f"example.com/behind-the-sofa\n20852163\n{ROOT64}\n"
    assert parse_checkpoint(text) == parse_checkpoint(text.encode()) == CHECKPOINT
    assert CHECKPOINT.text() == text


def test_extension_lines_are_kept() -> None:
    checkpoint = Checkpoint("o", 1, ROOT, ("one", "two three"))
    assert checkpoint.text() == f"o\n1\n{ROOT64}\none\ntwo three\n"
    assert parse_checkpoint(checkpoint.text()) == checkpoint


def test_the_checkpoint_of_an_empty_log_has_the_empty_root() -> None:
    empty = Checkpoint("o", 0, EMPTY_ROOT)
    assert parse_checkpoint(empty.text()) == empty
    with pytest.raises(MalformedNote, match="without entries"):
        Checkpoint("o", 0, ROOT)


STRAY_BITS = ROOT64[:-2] + "J="


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "o\n",
        "o\n1\n",
        f"o\n1\n{ROOT64}",
        f"o\n1\n{ROOT64}\n\n",
        f"\n1\n{ROOT64}\n",
        f"o\n1\n\n{ROOT64}\n",
        f"o\n01\n{ROOT64}\n",
        f"o\n-1\n{ROOT64}\n",
        f"o\n+1\n{ROOT64}\n",
        f"o\n 1\n{ROOT64}\n",
        f"o\n1_0\n{ROOT64}\n",
        f"o\n1.0\n{ROOT64}\n",
        f"o\n\u0661\n{ROOT64}\n",
        f"o\n{2**63}\n{ROOT64}\n",
        f"o\n{'9' * 10_000}\n{ROOT64}\n",
        f"o\n1\n{ROOT64[:-1]}\n",
        f"o\n1\n{ROOT64}=\n",
        f"o\n1\n {ROOT64}\n",
        f"o\n1\n{ROOT64} \n",
        f"o\n1\n{STRAY_BITS}\n",
        f"o\n1\n{ROOT64.replace('/', '_')}\n",
        f"o\n1\n{'ä' * 44}\n",
        "o\n1\nAAAA\n",
        f"o\r\n1\r\n{ROOT64}\r\n",
        f"o\n1\n{ROOT64}\r\n",
        f"\ufeffo\n1\n{ROOT64}\n",
        f"o\0\n1\n{ROOT64}\n",
        f"o\t\n1\n{ROOT64}\n",
        f"o\ud800\n1\n{ROOT64}\n",
        f"o\n1\n{ROOT64}\n" + "x\n" * 600_000,
        b"\xff\n1\n" + ROOT64.encode() + b"\n",
        f"o\n1\n{ROOT64}\n".encode("utf-16"),
    ],
    ids=lambda text: repr(text)[:24],
)
def test_what_is_not_exactly_a_checkpoint_is_refused(text: bytes | str) -> None:
    with pytest.raises(MalformedNote):
        parse_checkpoint(text)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Checkpoint("", 1, ROOT),
        lambda: Checkpoint("a\nb", 1, ROOT),
        lambda: Checkpoint("a\rb", 1, ROOT),
        lambda: Checkpoint("a", -1, ROOT),
        lambda: Checkpoint("a", True, ROOT),
        lambda: Checkpoint("a", 2**63, ROOT),
        lambda: Checkpoint("a", 1, ROOT[:-1]),
        lambda: Checkpoint("a", 1, ROOT, ("",)),
        lambda: Checkpoint("a", 1, ROOT, ("x\ny",)),
    ],
)
def test_no_checkpoint_is_made_that_could_not_be_read(make: Callable[[], Checkpoint]) -> None:
    with pytest.raises(MalformedNote):
        make()


def test_a_carriage_return_is_named_with_its_line() -> None:
    with pytest.raises(MalformedNote, match="line 2 of the checkpoint has a carriage return"):
        parse_checkpoint(f"o\n1\r\n{ROOT64}\n")


# Keys and notes -------------------------------------------------------------------------------------------------------

# The example of the documentation of golang.org/x/mod/sumdb/note.
NEUMANN_SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
NEUMANN_PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NEUMANN_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
NEUMANN_NOTE = (
    f"{NEUMANN_TEXT}\n— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
# The example of C2SP signed-note.
FOO_PUBLIC = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_NOTE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
NEUMANN = SecretKey.decode(NEUMANN_SECRET)
KEY = SecretKey("ledger.example", bytes(range(32)))
OTHER = SecretKey("other.example", bytes(32))


def test_the_published_example_of_go_is_signed_and_opened() -> None:
    assert NEUMANN.encode() == NEUMANN_SECRET
    assert NEUMANN.verifier.encode() == NEUMANN_PUBLIC
    assert VerifierKey.decode(NEUMANN_PUBLIC) == NEUMANN.verifier
    assert sign(NEUMANN_TEXT, NEUMANN) == NEUMANN_NOTE
    assert open_note(NEUMANN_NOTE, NEUMANN.verifier) == NEUMANN_TEXT
    assert open_note(NEUMANN_NOTE.encode(), NEUMANN.verifier) == NEUMANN_TEXT


def test_the_published_example_of_c2sp_is_opened() -> None:
    assert open_note(FOO_NOTE, VerifierKey.decode(FOO_PUBLIC)) == "This is an example message.\n"


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40).filter(lambda text: text[:1] != "\ufeff"),
    st.lists(st.sampled_from([KEY, OTHER, NEUMANN]), min_size=1, max_size=3, unique=True),
)
def test_a_signed_text_is_opened_with_each_of_its_keys(text: str, keys: list[SecretKey]) -> None:
    text += "\n"
    note = sign(text, *keys)
    for key in keys:
        assert open_note(note, key.verifier) == text
    assert parse_note(note).text == text
    assert [found.name for found in parse_note(note).signatures] == [key.name for key in keys]


def test_empty_lines_of_the_text_are_part_of_it() -> None:
    text = "one\n\n— looks like a signature\n\n\n"
    assert open_note(sign(text, KEY), KEY.verifier) == text


def test_an_unsigned_checkpoint_is_recognised_as_such() -> None:
    text = CHECKPOINT.text()
    assert parse_note(text) == tlog.Note(text, ())
    assert read_checkpoint(text) == read_checkpoint(sign(text, KEY)) == CHECKPOINT
    with pytest.raises(SignatureFailed, match="not signed at all") as refused:
        open_note(text, KEY.verifier)
    assert refused.value.unsigned


def test_signatures_of_unknown_keys_are_ignored() -> None:
    note = sign("text\n", OTHER, KEY)
    assert open_note(note, KEY.verifier) == "text\n"
    # A key of the same name, or of the same id, is another key.
    same_name = SecretKey(KEY.name, bytes(32))
    assert open_note(sign("text\n", same_name, KEY), KEY.verifier) == "text\n"
    stolen = note.replace("— other.example ", "— renamed.example ")
    assert open_note(stolen, KEY.verifier) == "text\n"
    with pytest.raises(SignatureFailed, match="not signed by") as refused:
        open_note(note, same_name.verifier)
    assert refused.value.unsigned
    # Cosignatures of other kinds are longer.
    longer = base64.b64encode(b"abcd" + bytes(2420)).decode()
    assert open_note(f"{note}— witness.example {longer}\n", KEY.verifier) == "text\n"


def test_a_wrong_signature_of_a_known_key_spoils_the_note_even_next_to_a_good_one() -> None:
    good, bad = sign("text\n", KEY), sign("test\n", KEY)
    for note in (bad.replace("test\n", "text\n", 1), good + bad.split("\n\n")[1], bad.split("\n\n")[1]):
        whole = note if note.startswith("text") else f"text\n\n{note}"
        with pytest.raises(SignatureFailed) as refused:
            open_note(whole, KEY.verifier)
        assert not refused.value.unsigned


def test_a_signature_of_another_length_is_wrong() -> None:
    for size in (1, 63, 65):
        line = base64.b64encode(KEY.verifier.key_id + bytes(size)).decode()
        with pytest.raises(SignatureFailed):
            open_note(f"text\n\n— {KEY.name} {line}\n", KEY.verifier)


@given(st.integers(0, 10_000))
def test_no_changed_byte_of_a_note_goes_unnoticed(at: int) -> None:
    note = sign(CHECKPOINT.text(), KEY).encode()
    with pytest.raises((MalformedNote, SignatureFailed)):
        open_note(flipped(note, at), KEY.verifier)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "text",
        "text\n\n",
        "text\n\n\n",
        NEUMANN_NOTE[:-1],
        NEUMANN_NOTE + "\n",
        NEUMANN_NOTE + "x\n",
        NEUMANN_NOTE.replace("— ", "- "),
        NEUMANN_NOTE.replace("— ", "—"),
        NEUMANN_NOTE.replace("— ", "—  "),
        NEUMANN_NOTE.replace("PeterNeumann ", "PeterNeumann  "),
        NEUMANN_NOTE.replace("PeterNeumann ", "Peter+Neumann "),
        NEUMANN_NOTE.replace("PeterNeumann ", "Peter\u2003Neumann "),
        NEUMANN_NOTE.replace("=\n", "\n"),
        NEUMANN_NOTE.replace("AM=\n", "AN=\n"),
        NEUMANN_NOTE.replace("\n", "\r\n"),
        "\ufeff" + NEUMANN_NOTE,
        NEUMANN_NOTE.replace("problem", "prob\0lem"),
        NEUMANN_NOTE.replace("problem", "prob\x1blem"),
        NEUMANN_NOTE + (NEUMANN_NOTE.split("\n\n")[1] * 100),
        "text\n\n— name AAAAAA==\n",
        NEUMANN_NOTE.encode() + b"\xff\n",
        "x" * 2_000_000 + NEUMANN_NOTE,
    ],
    ids=lambda note: repr(note)[-24:],
)
def test_what_is_not_a_note_is_refused(note: bytes | str) -> None:
    with pytest.raises((MalformedNote, SignatureFailed)):
        open_note(note, NEUMANN.verifier)
    if note != "text\n\n\n":
        with pytest.raises(MalformedNote):
            parse_note(note)


def test_sixteen_signatures_are_accepted() -> None:
    others = [SecretKey(f"key{n}.example", bytes([n]) * 32) for n in range(15)]
    assert open_note(sign("text\n", *others, KEY), KEY.verifier) == "text\n"


@pytest.mark.parametrize("text", ["", "text", "a\rb\n", "a\0\n", "\ud800\n", "\ufeffa\n"])
def test_a_text_that_no_note_can_hold_is_not_signed(text: str) -> None:
    with pytest.raises(MalformedNote):
        sign(text, KEY)


def test_a_note_needs_keys() -> None:
    with pytest.raises(ValueError, match="at least one key"):
        sign("text\n")
    with pytest.raises(ValueError, match="at least one key"):
        open_note(NEUMANN_NOTE)


def test_a_checkpoint_is_opened_for_its_own_log_only() -> None:
    note = sign(CHECKPOINT.text(), KEY)
    assert open_checkpoint(note, KEY.verifier) == CHECKPOINT
    assert open_checkpoint(note, OTHER.verifier, KEY.verifier, origin=CHECKPOINT.origin) == CHECKPOINT
    with pytest.raises(MalformedNote, match="of the log"):
        open_checkpoint(note, KEY.verifier, origin="other/log")
    with pytest.raises(SignatureFailed):
        open_checkpoint(note, OTHER.verifier)
    with pytest.raises(MalformedNote, match="three lines"):
        open_checkpoint(NEUMANN_NOTE, NEUMANN.verifier)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u3000b", "a\u0085b", "a\nb", "a\x1fb", "a\x01b", "\ud800"])
def test_a_key_has_a_proper_name(name: str) -> None:
    with pytest.raises(MalformedNote):
        SecretKey.generate(name)
    with pytest.raises(MalformedNote):
        VerifierKey(name, bytes(32))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PeterNeumann",
        NEUMANN_SECRET,
        NEUMANN_PUBLIC + "\n",
        " " + NEUMANN_PUBLIC,
        NEUMANN_PUBLIC.replace("PeterNeumann", "PeterNewmann"),
        NEUMANN_PUBLIC.replace("c74f20a3", "c74f20a4"),
        NEUMANN_PUBLIC.replace("c74f20a3", "C74F20A3"),
        NEUMANN_PUBLIC.replace("c74f20a3", "4f20a3"),
        NEUMANN_PUBLIC.replace("+ARpc", "+AhpC"),
        NEUMANN_PUBLIC.replace("+ARpc", "+BBpc"),
        NEUMANN_PUBLIC[:-4],
        NEUMANN_PUBLIC[:-1] + "=",
        "PeterNeumann+c74f20a3+",
    ],
)
def test_what_is_not_a_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(MalformedNote):
        VerifierKey.decode(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        NEUMANN_PUBLIC,
        NEUMANN_SECRET + "\n",
        NEUMANN_SECRET.replace("PRIVATE", "private"),
        NEUMANN_SECRET.replace("c74f20a3", "c74f20a4"),
        NEUMANN_SECRET.replace("PeterNeumann", "PeterNewmann"),
        NEUMANN_SECRET.replace("+AYEK", "+AoEK"),
        NEUMANN_SECRET[:-4],
        "PRIVATE+KEY+",
    ],
)
def test_what_is_not_a_secret_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(MalformedNote) as refused:
        SecretKey.decode(text)
    assert "AYEK" not in str(refused.value)


def test_a_secret_key_does_not_show_its_seed() -> None:
    assert repr(SecretKey("k", b"s" * 32)) == "SecretKey(name='k')"


def test_generated_keys_differ_and_are_read_back() -> None:
    one, two = SecretKey.generate("k"), SecretKey.generate("k")
    assert one.seed != two.seed
    assert SecretKey.decode(one.encode()) == one
    assert VerifierKey.decode(one.verifier.encode()) == one.verifier


def test_a_key_pair_is_written_once_and_the_secret_for_its_owner_only(tmp_path: Path) -> None:
    secret = tmp_path / "log.key"
    before = os.umask(0)
    try:
        verifier = write_key_pair(secret, "ledger.example")
    finally:
        os.umask(before)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert read_secret_key(secret).verifier == verifier == read_verifier_key(f"{secret}.pub")
    kept = secret.read_bytes()
    with pytest.raises(FileExistsError):
        write_key_pair(secret, "ledger.example")
    assert secret.read_bytes() == kept
    secret.unlink()
    with pytest.raises(FileExistsError):  # the public one is still there
        write_key_pair(str(secret), "ledger.example")
    assert not secret.exists()
    with pytest.raises(MalformedNote):
        write_key_pair(tmp_path / "bad", "a b")
    assert not (tmp_path / "bad").exists()


def test_a_key_file_with_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    for content in (
        b"",
        b"\xef\xbb\xbf" + NEUMANN_PUBLIC.encode(),
        f"{NEUMANN_PUBLIC}\r\n".encode(),
        b"a\nb\n",
        b"\xff",
    ):
        file.write_bytes(content)
        with pytest.raises(MalformedNote):
            read_verifier_key(file)
        with pytest.raises(MalformedNote):
            read_secret_key(file)


# Files of proofs ------------------------------------------------------------------------------------------------------

LINES = [f'{{"n":{n}}}'.encode() for n in range(1, 301)]
LINE_HASHES = [leaf_hash(line) for line in LINES]
LINE_LOG = Log(LINE_HASHES)


def checkpoint_at(size: int) -> Checkpoint:
    return Checkpoint("ledger.example/acme", size, mth(LINE_HASHES[:size]))


@pytest.mark.parametrize("extra", [None, b"\x00anything\xff"])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(("index", "size"), [(0, 1), (0, 300), (298, 300), (299, 300)])
def test_an_inclusion_proof_is_written_read_and_verified(
    index: int, size: int, signed: bool, extra: bytes | None
) -> None:
    checkpoint = checkpoint_at(size)
    note = sign(checkpoint.text(), KEY) if signed else checkpoint.text()
    proof = InclusionProof(index, tuple(inclusion_proof(index, size, LINE_LOG)), note, extra)
    assert proof.entry == index + 1
    again = parse_inclusion_proof(proof.text())
    assert again == parse_inclusion_proof(proof.text().encode()) == proof
    trusted = open_checkpoint(again.note, KEY.verifier) if signed else read_checkpoint(again.note)
    again.verify(LINES[index], trusted)
    again.verify(LINES[index] + b"\n", trusted)
    for wrong in (LINES[index] + b"\r\n", LINES[index] + b"\n\n", LINES[index] + b" ", b""):
        with pytest.raises(ProofFailed) as refused:
            again.verify(wrong, trusted)
        assert refused.value.entry == index + 1


def test_an_inclusion_proof_has_the_layout_of_the_specification() -> None:
    note = sign(checkpoint_at(3).text(), KEY)
    proof = InclusionProof(2, tuple(inclusion_proof(2, 3, LINE_LOG)), note, b"more")
    sibling = base64.b64encode(mth(LINE_HASHES[:2])).decode()
    assert proof.text() == f"c2sp.org/tlog-proof@v1\nextra bW9yZQ==\nindex 2\n{sibling}\n\n{note}"
    alone = InclusionProof(0, (), checkpoint_at(1).text())
    assert alone.text() == f"c2sp.org/tlog-proof@v1\nindex 0\n\n{checkpoint_at(1).text()}"


@pytest.mark.parametrize(("old", "new"), [(0, 300), (1, 300), (256, 300), (299, 300), (300, 300)])
def test_a_consistency_proof_is_written_read_and_verified(old: int, new: int) -> None:
    note = sign(checkpoint_at(new).text(), KEY)
    proof = ConsistencyProof(old, tuple(consistency_proof(old, new, LINE_LOG)), note)
    assert proof.text().startswith(f"old {old}\n")
    again = parse_consistency_proof(proof.text())
    assert again == parse_consistency_proof(proof.text().encode()) == proof
    trusted = open_checkpoint(again.note, KEY.verifier)
    again.verify(checkpoint_at(old), trusted)
    with pytest.raises(ProofFailed, match="old checkpoint"):
        again.verify(checkpoint_at(old + 1 if old < 300 else 299), trusted)
    with pytest.raises(ProofFailed, match="two logs"):
        again.verify(Checkpoint("ledger.example/other", old, checkpoint_at(old).root), trusted)
    if old:
        with pytest.raises(ProofFailed):
            again.verify(Checkpoint(trusted.origin, old, ROOT), trusted)


BODY = checkpoint_at(3).text()


@pytest.mark.parametrize(
    "data",
    [
        "",
        "c2sp.org/tlog-proof@v1\n",
        f"c2sp.org/tlog-proof@v1\n\n{BODY}",
        f"c2sp.org/tlog-proof@v2\nindex 0\n\n{BODY}",
        f"index 0\n\n{BODY}",
        f"\ufeffc2sp.org/tlog-proof@v1\nindex 0\n\n{BODY}",
        f"c2sp.org/tlog-proof@v1\r\nindex 0\r\n\r\n{BODY}",
        f"c2sp.org/tlog-proof@v1\nindex 00\n\n{BODY}",
        f"c2sp.org/tlog-proof@v1\nindex -1\n\n{BODY}",
        f"c2sp.org/tlog-proof@v1\nindex {2**63}\n\n{BODY}",
        f"c2sp.org/tlog-proof@v1\nindex {'9' * 5000}\n\n{BODY}",
        f"c2sp.org/tlog-proof@v1\nindex  1\n\n{BODY}",
        f"c2sp.org/tlog-proof@v1\nindex 1\nindex 1\n\n{BODY}",
        f"c2sp.org/tlog-proof@v1\nindex 1\nextra AAAA\n\n{BODY}",
        f"c2sp.org/tlog-proof@v1\nextra AAAA\nextra AAAA\nindex 1\n\n{BODY}",
        f"c2sp.org/tlog-proof@v1\nextra \nindex 1\n\n{BODY}",
        f"c2sp.org/tlog-proof@v1\nextra AB==\nindex 1\n\n{BODY}",
        f"c2sp.org/tlog-proof@v1\nindex 1\nAAAA\n\n{BODY}",
        f"c2sp.org/tlog-proof@v1\nindex 1\n{STRAY_BITS}\n\n{BODY}",
        f"c2sp.org/tlog-proof@v1\nindex 1\n{ROOT64}\n" + f"{ROOT64}\n" * 63 + f"\n{BODY}",
        f"c2sp.org/tlog-proof@v1\nindex 1\n{ROOT64}\n\n\n{BODY}",
        f"c2sp.org/tlog-proof@v1\nindex 1\n{ROOT64}\n{BODY}",
        f"c2sp.org/tlog-proof@v1\nindex 1\n{ROOT64}\n\n{BODY[:-1]}",
        f"c2sp.org/tlog-proof@v1\nindex 1\n{ROOT64}\n\n{NEUMANN_NOTE}",
        f"c2sp.org/tlog-proof@v1\nindex 1\n{ROOT64}\0\n\n{BODY}",
        f"old 1\n{ROOT64}\n\n{BODY}",
    ],
    ids=lambda data: repr(data)[-40:],
)
def test_what_is_not_an_inclusion_proof_is_refused(data: str) -> None:
    with pytest.raises(MalformedNote):
        parse_inclusion_proof(data)


@pytest.mark.parametrize(
    "data",
    [
        "",
        f"old 1\n{BODY}",
        f"old\n\n{BODY}",
        f"old 01\n\n{BODY}",
        f"old {2**63}\n\n{BODY}",
        f"Old 1\n\n{BODY}",
        f"old 1\nAAAA\n\n{BODY}",
        f"old 1\n{STRAY_BITS}\n\n{BODY}",
        "old 1\n" + f"{ROOT64}\n" * 64 + f"\n{BODY}",
        f"old 1\r\n\r\n{BODY}",
        "old 1\n\n",
        f"old 1\n\n{NEUMANN_NOTE}",
    ],
    ids=lambda data: repr(data)[-40:],
)
def test_what_is_not_a_consistency_proof_is_refused(data: str) -> None:
    with pytest.raises(MalformedNote):
        parse_consistency_proof(data)


@pytest.mark.parametrize(
    "make",
    [
        lambda: InclusionProof(-1, (), BODY),
        lambda: InclusionProof(0, (b"short",), BODY),
        lambda: InclusionProof(0, (ROOT,) * 64, BODY),
        lambda: InclusionProof(0, (), BODY, b""),
        lambda: InclusionProof(0, (), "text\n"),
        lambda: ConsistencyProof(2**63, (), BODY),
        lambda: ConsistencyProof(0, (b"short",), BODY),
        lambda: ConsistencyProof(0, (), "text\n"),
    ],
)
def test_no_proof_is_made_that_could_not_be_read(make: Callable[[], object]) -> None:
    with pytest.raises(MalformedNote):
        make()


# Exports --------------------------------------------------------------------------------------------------------------


def export(lines: Sequence[bytes]) -> io.BytesIO:
    return io.BytesIO(b"".join(line + b"\n" for line in lines))


def test_an_export_is_what_its_checkpoint_says() -> None:
    seen: list[int] = []
    verdict = verify_export(export(LINES), checkpoint_at(300), progress=seen.append)
    assert (verdict.ok, verdict.entries, verdict.beyond, verdict.missing, verdict.problems) == (True, 300, 0, 0, ())
    assert verdict.good == checkpoint_at(300)
    assert verdict.root == checkpoint_at(300).root
    assert verdict.bad is None
    assert verdict.doubtful is None
    assert seen == [300]
    verdict.raise_if_bad()


def test_progress_is_reported_now_and_then() -> None:
    seen: list[int] = []
    verify_export((b"%d\n" % n for n in range(40_000)), checkpoint_at(1), progress=seen.append)
    assert seen == [16_384, 32_768, 40_000]


def test_a_longer_export_is_good_and_says_how_much_is_not_proved() -> None:
    verdict = verify_export(export(LINES), checkpoint_at(250))
    assert (verdict.ok, verdict.beyond) == (True, 50)
    assert "50 entries after entry 250" in verdict.message


def test_a_shorter_export_fails_and_says_what_is_missing() -> None:
    verdict = verify_export(export(LINES[:200]), [checkpoint_at(300), checkpoint_at(200), checkpoint_at(100)])
    assert (verdict.ok, verdict.missing, verdict.good) == (False, 100, checkpoint_at(200))
    assert verdict.bad is not None
    assert verdict.bad.outcome == "missing"
    assert verdict.doubtful == (201, 300)
    with pytest.raises(ProofFailed, match="The export has 200 entries, the checkpoint covers 300") as refused:
        verdict.raise_if_bad()
    assert (refused.value.entry, refused.value.last_entry) == (201, 300)
    assert verify_export(export(LINES[:250]), [checkpoint_at(200), checkpoint_at(300)]).doubtful == (201, 300)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 299), st.sampled_from(["change", "remove", "add", "swap"]))
def test_the_first_wrong_entry_is_between_a_good_and_a_bad_checkpoint(at: int, how: str) -> None:
    wrong = list(LINES)
    if how == "change":
        wrong[at] += b" "
    elif how == "remove":
        del wrong[at]
    elif how == "add":
        wrong.insert(at, b"{}")
    else:
        at = min(at, 298)
        wrong[at], wrong[at + 1] = wrong[at + 1], wrong[at]
    verdict = verify_export(export(wrong), [checkpoint_at(size) for size in (0, 50, 100, 150, 200, 250, 300)])
    assert not verdict.ok
    assert verdict.good is not None
    assert verdict.bad is not None
    assert verdict.good.size <= at < verdict.bad.checkpoint.size
    assert verdict.doubtful is not None
    assert verdict.doubtful[0] <= at + 1 <= verdict.doubtful[1]
    with pytest.raises(ProofFailed):
        verdict.raise_if_bad()


def test_an_export_of_nothing_is_that_of_an_empty_log() -> None:
    verdict = verify_export(export([]), checkpoint_at(0))
    assert (verdict.ok, verdict.entries, verdict.root) == (True, 0, EMPTY_ROOT)
    verdict = verify_export(export([]), checkpoint_at(1))
    assert (verdict.ok, verdict.missing, verdict.doubtful) == (False, 1, (1, 1))


def test_converted_line_ends_are_reported() -> None:
    lines = [*LINES[:4], *(line + b"\r" for line in LINES[4:])]
    verdict = verify_export(export(lines), checkpoint_at(300))
    assert not verdict.ok
    assert verdict.problems == (LineProblem("carriage_return", 5, 296, changes_bytes=True),)
    assert "Line 5 (and 295 more) ends in CRLF, which changes the bytes" in verdict.message


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_reported(encoding: str) -> None:
    data = export(LINES).getvalue().decode().encode(encoding)
    verdict = verify_export(io.BytesIO(data), checkpoint_at(300))
    assert not verdict.ok
    assert verdict.problems[0] == LineProblem("byte_order_mark", 1, 1, changes_bytes=True)
    assert "Line 1 begins with a byte order mark" in verdict.message


def test_empty_lines_are_reported() -> None:
    verdict = verify_export(export([*LINES[:9], b"", *LINES[9:], b""]), checkpoint_at(300))
    assert not verdict.ok
    assert verdict.problems == (LineProblem("empty", 10, 2, changes_bytes=True),)
    assert "Line 10 (and 1 more) is empty" in verdict.message
    assert verify_export(export([*LINES, b""]), checkpoint_at(300)).ok  # beyond the checkpoint


def test_a_missing_last_newline_is_reported_but_changes_no_entry() -> None:
    data = export(LINES).getvalue()[:-1]
    verdict = verify_export(io.BytesIO(data), checkpoint_at(300))
    assert verdict.ok
    assert verdict.problems == (LineProblem("no_newline", 300, 1, changes_bytes=False),)
    assert "Line 300 does not end in a newline" in verdict.message
    cut = verify_export(io.BytesIO(data[:-1]), checkpoint_at(300))
    assert (cut.ok, cut.problems) == (False, verdict.problems)


def test_checkpoints_that_contradict_each_other_are_told_from_a_bad_export() -> None:
    false = Checkpoint("ledger.example/acme", 100, ROOT)
    for others in ([checkpoint_at(200)], [checkpoint_at(100)], [checkpoint_at(50), checkpoint_at(300)]):
        for wanted in ([false, *others], [*others, false]):
            verdict = verify_export(export(LINES), wanted)
            assert not verdict.ok
            assert verdict.doubtful is None
            assert "contradict each other" in verdict.message
            with pytest.raises(ProofFailed) as refused:
                verdict.raise_if_bad()
            assert refused.value.entry is None


def test_an_export_is_verified_with_checkpoints_of_one_log_and_lines_of_bytes() -> None:
    with pytest.raises(ValueError, match="at least one"):
        verify_export(export(LINES), [])
    with pytest.raises(ValueError, match="two logs"):
        verify_export(export(LINES), [checkpoint_at(1), Checkpoint("other", 1, ROOT)])
    with pytest.raises(TypeError, match="binary"):
        verify_export(io.StringIO("{}\n"), checkpoint_at(1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="newline within"):
        verify_export([b"a\nb\n"], checkpoint_at(1))


def test_bytes_that_other_readers_take_for_line_ends_stay_in_the_entry() -> None:
    line = "a\u2028b\u0085c\x0b\x0c\x1cd\re".encode()
    assert verify_export(export([line]), Checkpoint("o", 1, leaf_hash(line))).ok


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([], [], None),
        ([1, 2, 3], [1, 2, 3], None),
        ([1, 2, 3], [1, 9, 3], ExportDifference(2, "differs", 1, at_end=False)),
        ([1, 2, 3], [1, 2, 9], ExportDifference(3, "differs", 1, at_end=False)),
        ([1, 2, 3], [1, 3], ExportDifference(2, "removed", 1, at_end=False)),
        ([1, 2, 3, 4], [1, 4], ExportDifference(2, "removed", 2, at_end=False)),
        ([1, 3], [1, 2, 3], ExportDifference(2, "added", 1, at_end=False)),
        ([1, 2, 3], [2, 1, 3], ExportDifference(1, "differs", 1, at_end=False)),
        ([1, 2, 3], [1], ExportDifference(2, "removed", 2, at_end=True)),
        ([1], [1, 2, 3, 4], ExportDifference(2, "added", 3, at_end=True)),
        ([], [1], ExportDifference(1, "added", 1, at_end=True)),
        ([1, 2, 3], [], ExportDifference(1, "removed", 3, at_end=True)),
    ],
)
def test_the_first_difference_of_two_exports_is_named(
    old: list[int], new: list[int], expected: ExportDifference | None
) -> None:
    assert compare_exports(export([LINES[n] for n in old]), export([LINES[n] for n in new])) == expected


def test_a_missing_last_newline_is_no_difference() -> None:
    assert compare_exports([b"a\n", b"b\n"], [b"a\n", b"b"]) is None
    assert compare_exports([b"a\n", b"b\n"], [b"a\n", b"b\r\n"]) == ExportDifference(2, "differs", 1, at_end=False)


# The package ----------------------------------------------------------------------------------------------------------


def run(code: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_the_module_imports_no_database_driver_even_to_verify_a_note() -> None:
    run(
        "import sys, aximo_db.tlog as tlog\n"
        f"tlog.open_note({NEUMANN_NOTE!r}, tlog.VerifierKey.decode({NEUMANN_PUBLIC!r}))\n"
        "drivers = ('psycopg', 'psycopg_pool', 'sqlalchemy', 'alembic')\n"
        "assert not any(name.split('.')[0] in drivers for name in sys.modules)"
    )


def test_only_keys_need_the_package_for_signatures() -> None:
    run("import sys, aximo_db.tlog\nassert not any(name.split('.')[0] == 'cryptography' for name in sys.modules)")


def test_the_package_still_has_all_its_names() -> None:
    homes = aximo_db._HOMES
    assert {*homes, "__version__"} == set(aximo_db.__all__)
    assert len(homes) == sum(map(len, aximo_db._MODULES.values()))
    for name, module in homes.items():
        assert getattr(aximo_db, name) is getattr(sys.modules[f"aximo_db.{module}"], name)
        assert name in dir(aximo_db)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        aximo_db.Nothing  # noqa: B018
    run("from aximo_db import *\nassert EventStore.__module__ == 'aximo_db.client.store' and __version__")
    run("import aximo_db\nassert aximo_db.errors.register and aximo_db.EventStore and aximo_db.tlog")
    run("import aximo_db\nfrom aximo_db import EventStore, AximoError\nassert aximo_db.AximoError is AximoError")


def test_every_public_name_of_the_module_exists() -> None:
    assert sorted(tlog.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name)) == tlog.__all__
    assert all(hasattr(tlog, name) for name in tlog.__all__)
