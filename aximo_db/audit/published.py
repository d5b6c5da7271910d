"""Checking a published log: every tile, checkpoint, cosignature, time stamp and bundle of entries of a folder or a URL.

What is proved starts at ``checkpoint``: its signature says whose word it is, its root what every tile has to lead to.
Everything else is compared with that, and what differs is named by its path.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aximo_db.audit.checkpoint import Checkpoint, read_checkpoint
from aximo_db.audit.merkle import HASH_SIZE, TILE_WIDTH, Tree, leaf_hash, root_at, root_of
from aximo_db.audit.note import (
    SignatureFailed,
    VerifierKey,
    open_note,
    parse_note,
    read_verifier_key,
    signers,
)
from aximo_db.audit.stamp import read_roots, verify_stamp
from aximo_db.audit.tiles import (
    CHECKPOINT,
    FORKS,
    HISTORY,
    OMITTED,
    REASON,
    SUMS,
    Folder,
    MalformedBundle,
    Served,
    Source,
    bundle_path,
    entries_of,
    folder_name,
    note_path,
    read_tile,
    tile_at,
    tile_path,
)
from aximo_db.audit.verdict import Verdict

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

__all__ = ["check_published", "fork_text", "omitted_text", "read_omitted", "read_sums", "sums_text"]

_MOST_FINDINGS: Final = 100
_FOLDER_NAME: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_KEPT: Final = re.compile(
    r"(?P<size>0|[1-9][0-9]{0,18})(?:(?P<stamp>\.tsr)|\.(?P<key>[0-9a-f]{8})\.cosignature)?", re.ASCII
)
_SUM: Final = re.compile(r"(?P<sum>[0-9a-f]{64})  (?P<name>[0-9a-z.]+)", re.ASCII)
_PROGRESS_STEP: Final = 64  # tiles between two reports


def check_published(
    where: str,
    keys: Sequence[Path] = (),
    tsa_roots: Sequence[Path] = (),
    *,
    progress: Callable[[int], None] | None = None,
) -> Verdict:
    """Whether a published log holds, and what does not.

    Args:
        where: its folder or the folder's address; or a folder with the folders of several logs.
        keys: files with a verifier key each. If one is of who signs checkpoints, each checkpoint has to be signed by
            one of those; keys of witnesses are those of cosignatures.
        tsa_roots: files with certificates in PEM: whose time stamps are trusted.
        progress: called with the number of entries looked at so far.

    Raises:
        OSError: it can't be read, or there is nothing.
    """
    verdict = Verdict()
    try:
        verifiers = [read_verifier_key(path) for path in keys]
    except ValueError as error:
        verdict.fail(f"key: {error}")
        return verdict
    try:
        roots = read_roots(tsa_roots)
    except ValueError as error:
        verdict.fail(str(error))
        return verdict
    logs = []
    for prefix, source in _sources(where):
        log = _Log(source, prefix, verifiers, roots, progress)
        log.check()
        logs.append(log)
    verdict.ok = all(log.ok for log in logs)
    verdict.findings += [finding for log in logs for finding in log.findings]
    verdict.facts = {"logs": [log.facts for log in logs], "signed": bool(keys)}
    if not verifiers:
        verdict.findings.append("No key was given, so who made the checkpoints was not checked.")
    return verdict


def _sources(where: str) -> Iterator[tuple[str, Source]]:
    if "://" in where:
        try:
            yield "", Served(where)
        except ValueError as error:
            raise OSError(None, str(error), where) from None
        return
    path = Path(where)
    under = sorted(each for each in path.iterdir() if _FOLDER_NAME.fullmatch(each.name))
    if under and not (path / CHECKPOINT).exists():
        yield from ((f"{each.name}/", Folder(each)) for each in under)
    else:
        yield "", Folder(path)


def omitted_text(origin: str, numbers: Sequence[int]) -> str:
    """The text of the note ``entries/omitted``: the numbers of entries that are in no bundle, in order."""
    return "\n".join((f"entries left out of {origin}", *map(str, numbers), ""))


def read_omitted(text: str, origin: str) -> list[int]:
    """The numbers in such a text.

    Raises:
        ValueError: it is none of this log's.
    """
    lines = text.split("\n")
    if lines[0] != f"entries left out of {origin}" or not all(re.fullmatch("[1-9][0-9]{0,18}", n) for n in lines[1:-1]):
        raise ValueError("it does not say which entries are left out")
    return [int(each) for each in lines[1:-1]]


def fork_text(origin: str, reason: str) -> str:
    """The text of the note ``reason`` of a fork."""
    return f"fork of {origin}\n{reason}\n"


def read_sums(data: bytes) -> dict[str, str]:
    """The sums in ``checkpoints/SHA256SUMS``, by the names of the files.

    Raises:
        ValueError: it is no such list.
    """
    found: dict[str, str] = {}
    *lines, rest = data.split(b"\n")
    for place, line in enumerate(lines, 1):
        match = _SUM.fullmatch(line.decode("ascii", "replace"))
        if match is None or match["name"] in found:
            raise ValueError(f"line {place} is no sum and name of a file, or is there twice")
        found[match["name"]] = match["sum"]
    if rest:
        raise ValueError("its last line does not end")
    return found


def sums_text(sums: dict[str, str]) -> str:
    """Such a list."""
    return "".join(f"{digest}  {name}\n" for name, digest in sums.items())


def _fold(edges: Sequence[Sequence[bytes]]) -> bytes:
    """The root over the tiles at the right edge, level by level: of each its hashes, none if it is full."""
    above: list[bytes] = []
    for hashes in edges:
        if found := [*hashes, *above]:
            above = [root_of(found)]
    return above[0] if above else Tree().root()


class _Log:
    """One log, and what was found about it."""

    def __init__(
        self,
        source: Source,
        prefix: str,
        keys: Sequence[VerifierKey],
        roots: Sequence[Certificate],
        progress: Callable[[int], None] | None,
        *,
        is_fork: bool = False,
    ) -> None:
        self._source = source
        self._prefix = prefix
        self._is_fork = is_fork
        self._keys = keys
        self._log_keys = [key for key in keys if not key.is_of_witness]
        self._witnesses = [key for key in keys if key.is_of_witness]
        self._roots = roots
        self._progress = progress
        self._bad_tiles: set[tuple[int, int]] = set()
        #: Of each level but the lowest the hashes that its tiles hold.
        self._stored: list[list[bytes]] = [[]]
        self._ahead = 0
        self._strangers = 0
        self._problems = 0
        self.findings: list[str] = []
        self.facts: dict[str, Any] = {}

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self._problems

    def check(self) -> None:
        """Looks at everything."""
        current = self._current()
        if current is None:
            return
        self._checkpoint, self._size = current, current.size
        self.facts |= {"origin": current.origin, "size": current.size, "root_base64": current.root_text}
        names = self._source.names("")
        self._names = None if names is None else list(names)
        self._look_at_tiles()
        if self._problems > _MOST_FINDINGS:
            self.findings.append(f"{self._prefix}: that is too much; the rest was not looked at")
            return
        self._look_at_partial_tiles()
        self._look_at_history()
        self._look_at_entries()
        self._look_at_forks()
        self.facts |= {"ahead": self._ahead, "strangers": self._strangers}
        if self._problems > _MOST_FINDINGS:
            self.findings.append(f"{self._prefix}: {self._problems - _MOST_FINDINGS:,} more are wrong")
        self._sum_up()

    def _fail(self, path: str, message: str) -> None:
        self._problems += 1
        if self._problems <= _MOST_FINDINGS:
            self.findings.append(f"{self._prefix}{path}: {message}")

    def _sum_up(self) -> None:
        if not self.ok:
            return
        facts = self.facts
        self.findings.append(f"{self._checkpoint.origin}: {self._size:,} entries, root {facts['root_base64']}.")
        by = f", signed by {', '.join(facts['signed_by'])}" if facts["signed_by"] else ""
        self.findings.append(
            f"{facts['checkpoints']:,} checkpoints{by}; {facts['cosignatures']:,} cosignatures,"
            f" {facts['cosignatures_verified']:,} of them by a key that was given."
        )
        if facts["stamps"]:
            said = f"{facts['stamps']:,} time stamps"
            if self._roots:
                said += f", the latest checkpoint's of {facts['stamped_at'] or 'none'}."
            else:
                said += " were not verified: give the authority's certificate."
            self.findings.append(said)
        if facts["entries"]:
            self.findings.append(f"The bundles have the entries up to {facts['entries']:,}.")
        if facts["omitted"]:
            self.findings.append(f"In no bundle, as one in it is too long: those beside {_listed(facts['omitted'])}.")
        if self._ahead:
            self.findings.append(f"{self._ahead:,} tiles or bundles are ahead of the checkpoint, and not proved.")
        if self._strangers:
            self.findings.append(f"{self._strangers:,} files are none of a log's, and were not looked at.")
        if facts["forks"]:
            self.findings.append(f"The log was cut, and began anew: see {', '.join(facts['forks'])}.")

    # Checkpoints

    def _current(self) -> Checkpoint | None:
        data = self._source.read(CHECKPOINT)
        if data is None:
            self._fail(CHECKPOINT, "there is none")
            return None
        try:
            found = read_checkpoint(data)
        except ValueError as error:
            self._fail(CHECKPOINT, str(error))
            return None
        self._current_note = data
        name = self._source.name
        if _FOLDER_NAME.fullmatch(name) and name != folder_name(found.origin):
            self._fail(CHECKPOINT, f"it is of {found.origin}, whose folder has another name")
        self.facts["signed_by"] = self._signed(CHECKPOINT, data, needed=True)
        # Everything else is compared with it: if it is not what it should be, there is nothing to compare with.
        return found if self.ok else None

    def _signed(self, path: str, note: bytes, *, needed: bool) -> list[str]:
        """Who signed a note; a failure if a key that was given did it wrongly, or none did.

        Args:
            path: of the note.
            note: with its signatures.
            needed: whether a witness has to have signed it, if only keys of witnesses were given.
        """
        names: list[str] = []
        for keys, has_to in ((self._log_keys, True), (self._witnesses, needed and not self._log_keys)):
            try:
                names += signers(note, *keys)
            except SignatureFailed as error:
                if has_to or not error.unsigned:
                    self._fail(path, str(error))
            except ValueError as error:
                self._fail(path, str(error))
        return names

    def _look_at_history(self) -> None:
        sums = self._sums()
        listed = [f"{HISTORY}/{name}" for name in sums]
        there = listed if self._names is None else [each for each in self._names if each.startswith(f"{HISTORY}/")]
        notes: dict[int, bytes] = {}
        others: list[tuple[str, re.Match[str], bytes]] = []
        for path in dict.fromkeys((*listed, *there)):
            if path == SUMS:
                continue
            name = path.removeprefix(f"{HISTORY}/")
            kept = _KEPT.fullmatch(name)
            data = self._source.read(path)
            if data is None:
                self._fail(path, f"it is in {self._prefix}{SUMS}, and is not there")
            elif kept is None:
                self._strangers += 1
            else:
                if name in sums and sha256(data).hexdigest() != sums[name]:
                    self._fail(path, f"it is not what {self._prefix}{SUMS} says")
                if kept["stamp"] is None and kept["key"] is None:
                    notes[int(kept["size"])] = data
                    # Of the latest one the sum is written after it.
                    if name not in sums and int(kept["size"]) < self._size:
                        self._fail(path, f"it is not in {self._prefix}{SUMS}")
                else:
                    others.append((path, kept, data))
        for size, data in sorted(notes.items()):
            self._look_at_note(note_path(size), size, data)
        known: dict[int, set[str]] = defaultdict(set)
        stamped: datetime | None = None
        cosignatures = verified = stamps = 0
        for path, kept, data in others:
            size = int(kept["size"])
            note = notes.get(size)
            if note is None:
                self._fail(path, f"there is no {note_path(size)}")
            elif kept["stamp"]:
                stamps += 1
                moment = self._stamp(path, data, note)
                stamped = moment if size == self._size else stamped
            else:
                cosignatures += 1
                verified += self._cosigned(path, kept["key"], data, note)
                known[size].add(data.decode("utf-8", "replace"))
        self._compare_with_current(notes, known)
        self.facts |= {
            "checkpoints": len(notes.keys() | {self._size}),
            "stamps": stamps,
            "stamped_at": None if stamped is None else stamped.isoformat(),
            "cosignatures": cosignatures,
            "cosignatures_verified": verified,
        }

    def _sums(self) -> dict[str, str]:
        data = self._source.read(SUMS)
        if data is None:
            return {}
        try:
            return read_sums(data)
        except ValueError as error:
            self._fail(SUMS, str(error))
            return {}

    def _look_at_note(self, path: str, size: int, data: bytes) -> None:
        try:
            found = read_checkpoint(data)
        except ValueError as error:
            self._fail(path, str(error))
            return
        self._signed(path, data, needed=False)
        if (found.origin, found.size) != (self._checkpoint.origin, size):
            self._fail(path, f"it is of {found.origin} with {found.size} entries")
        elif size > self._size:
            self._fail(CHECKPOINT, f"it has {self._size} entries, and {path} has {size}")
        elif not self._bad_tiles and root_at(size, self._hashes) != found.root:
            self._fail(path, "its root is not that of the tiles")

    def _hashes(self, level: int, index: int, width: int, /) -> bytes:
        """Tiles for roots of older sizes, as they were found to be."""
        if level:
            first = index * TILE_WIDTH
            return b"".join(self._stored[level][first : first + width])
        # The last leaf tile may be wider than it was.
        whole = min(TILE_WIDTH, self._size - index * TILE_WIDTH)
        return (read_tile(self._source, 0, index, whole) or b"")[: width * HASH_SIZE]

    def _stamp(self, path: str, data: bytes, note: bytes) -> datetime | None:
        if not self._roots:
            return None
        try:
            return verify_stamp(data, note, self._roots)
        except ValueError as error:
            self._fail(path, str(error))
            return None

    def _cosigned(self, path: str, key_id: str, line: bytes, note: bytes) -> bool:
        """Whether a key that was given made this signature line for the note."""
        try:
            both = parse_note(note + line)
            if len(both.signatures) != len(parse_note(note).signatures) + 1 or both.text != parse_note(note).text:
                raise ValueError("it is not one signature line")
            signature = both.signatures[-1]
            if signature.key_id.hex() != key_id:
                raise ValueError(f"it is of the key {signature.key_id.hex()}")
            its = [key for key in self._witnesses if (key.name, key.key_id) == (signature.name, signature.key_id)]
            if its:
                open_note(note + line, *its)
        except ValueError as error:
            self._fail(path, str(error))
            return False
        return bool(its)

    def _compare_with_current(self, notes: dict[int, bytes], known: dict[int, set[str]]) -> None:
        note = notes.get(self._size)
        if note is None:
            return  # it is written after the checkpoint
        try:
            text, lines = _taken_apart(note)
            current, its = _taken_apart(self._current_note)
        except ValueError:
            return  # it was named
        if current != text:
            self._fail(CHECKPOINT, f"it is another one than {note_path(self._size)}")
        elif not its <= lines | known[self._size]:
            self._fail(CHECKPOINT, f"a signature of it is not in {HISTORY}")

    # Tiles

    def _look_at_tiles(self) -> None:
        size = self._size
        counts = [size]
        while counts[-1] >= TILE_WIDTH:
            counts.append(counts[-1] // TILE_WIDTH)
        edges: list[list[bytes]] = []
        #: Of each level the hashes of the full tiles below, as they are; None of one that is not whole.
        computed: list[list[bytes | None]] = [[]]
        for level, count in enumerate(counts):
            above: list[bytes | None] = []
            edge: list[bytes] = []
            kept: list[bytes] = []
            for index in range((count + TILE_WIDTH - 1) // TILE_WIDTH):
                width = min(TILE_WIDTH, count - index * TILE_WIDTH)
                hashes = self._tile(level, index, width)
                if self._problems > _MOST_FINDINGS:
                    return  # a size may be anything that somebody wrote
                if level:
                    kept += hashes or [b""] * width
                if width == TILE_WIDTH:
                    above.append(root_of(hashes) if hashes else None)
                else:
                    edge = hashes or []
                if not level and self._progress is not None and index % _PROGRESS_STEP == 0:
                    self._progress(index * TILE_WIDTH)
            edges.append(edge)
            computed.append(above)
            if level:
                self._stored.append(kept)
        if not size:
            edges = []
        self._find_what_differs(counts, edges, computed)
        if self._progress is not None:
            self._progress(size)

    def _tile(self, level: int, index: int, width: int) -> list[bytes] | None:
        data = read_tile(self._source, level, index, width)
        if data is None or len(data) != width * HASH_SIZE:
            what = "there is none" if data is None else f"it has {len(data)} bytes, not {width * HASH_SIZE}"
            self._fail(tile_path(level, index, width), what)
            self._bad_tiles.add((level, index))
            return None
        return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]

    def _find_what_differs(
        self, counts: Sequence[int], edges: list[list[bytes]], computed: Sequence[Sequence[bytes | None]]
    ) -> None:
        if self._bad_tiles and any(index == counts[level] // TILE_WIDTH for level, index in self._bad_tiles):
            return  # the root can't be computed; the tile that is missing was named
        if _fold(edges) != self._checkpoint.root and not self._is_one_edge(counts, edges, computed):
            paths = [
                tile_path(level, count // TILE_WIDTH, count % TILE_WIDTH)
                for level, count in enumerate(counts)
                if count % TILE_WIDTH
            ]
            self._bad_tiles.add((0, 0))
            self._fail(", ".join(paths) or CHECKPOINT, f"they do not lead to the root of {CHECKPOINT}")
            return
        # From the top: a tile that leads to the root says what those below it have to lead to.
        for level in range(len(counts) - 1, 0, -1):
            for index, found in enumerate(computed[level]):
                is_trusted = (level, index // TILE_WIDTH) not in self._bad_tiles
                if found is not None and is_trusted and found != self._stored[level][index]:
                    self._bad_tiles.add((level - 1, index))
                    self._fail(tile_path(level - 1, index), f"it does not lead to the root of {CHECKPOINT}")

    def _is_one_edge(
        self, counts: Sequence[int], edges: list[list[bytes]], computed: Sequence[Sequence[bytes | None]]
    ) -> bool:
        """Whether one tile at the right edge is not what those below it lead to, and is all that is wrong there."""
        for level in range(1, len(counts)):
            first = counts[level] // TILE_WIDTH * TILE_WIDTH
            below = [each for each in computed[level][first:] if each is not None]
            if len(below) != len(edges[level]) or below == edges[level]:
                continue
            if _fold([*edges[:level], below, *edges[level + 1 :]]) == self._checkpoint.root:
                self._fail(
                    tile_path(level, first // TILE_WIDTH, len(below)), f"it does not lead to the root of {CHECKPOINT}"
                )
                self._bad_tiles.add((level, first // TILE_WIDTH))
                edges[level] = below
                self._stored[level][first:] = below
                return True
        return False

    def _look_at_partial_tiles(self) -> None:
        """Tiles of other sizes: each is the beginning of the one of today."""
        for path in self._names or ():
            if not path.startswith("tile/"):
                is_known = path.startswith((f"{HISTORY}/", f"{FORKS}/")) or path in (CHECKPOINT, OMITTED)
                self._strangers += not is_known and not (self._is_fork and path == REASON)
                continue
            place = tile_at(path)
            if place is None:
                self._strangers += 1
                continue
            level, index, width = place
            if level is None:
                continue  # a bundle
            count = self._size >> 8 * level
            there = min(TILE_WIDTH, count - index * TILE_WIDTH)
            if there <= 0 or width > there:
                self._ahead += 1
            if there <= 0 or width == there or (level, index) in self._bad_tiles:
                continue
            data = self._source.read(path) or b""
            if len(data) != width * HASH_SIZE:
                self._fail(path, f"it has {len(data)} bytes, not {width * HASH_SIZE}")
                continue
            both = min(width, there)
            if level:
                wanted = b"".join(self._stored[level][index * TILE_WIDTH : index * TILE_WIDTH + both])
            else:
                wanted = read_tile(self._source, 0, index, there) or b""
            if data[: both * HASH_SIZE] != wanted[: both * HASH_SIZE]:
                self._fail(path, f"it is not what {tile_path(level, index, there)} begins with")

    # Entries

    def _look_at_entries(self) -> None:
        omitted = self._omitted()
        without = {(number - 1) // TILE_WIDTH for number in omitted}
        last, gap = 0, None
        for index in range((self._size + TILE_WIDTH - 1) // TILE_WIDTH):
            width = min(TILE_WIDTH, self._size - index * TILE_WIDTH)
            path = bundle_path(index, width)
            data = self._source.read(path)
            if data is None and width < TILE_WIDTH:
                path = bundle_path(index)
                data = self._source.read(path)
            if data is None:
                if index not in without:
                    gap = gap or bundle_path(index, width)
                    if self._names is None:
                        break
                continue
            if gap is not None:
                self._fail(gap, "there is none, and there are some after it")
                gap = None
            last = index * TILE_WIDTH + width
            self._look_at_bundle(path, index, data)
        for path in self._names or ():
            place = tile_at(path) if path.startswith("tile/entries/") else None
            if place is None or (place[1] * TILE_WIDTH + place[2] <= self._size and place[2] == TILE_WIDTH):
                continue
            if (end := place[1] * TILE_WIDTH + place[2]) != self._size:
                self._look_at_bundle(path, place[1], self._source.read(path) or b"", place[2])
                last = max(last, end) if last >= place[1] * TILE_WIDTH and end <= self._size else last
        self.facts |= {"entries": last, "omitted": omitted}

    def _look_at_bundle(self, path: str, index: int, data: bytes, width: int | None = None) -> None:
        there = min(TILE_WIDTH, self._size - index * TILE_WIDTH)
        at = tile_at(path)
        width = at[2] if at is not None and width is None else width
        if there < (width or 0):
            self._ahead += 1
        try:
            lines = entries_of(data)
        except MalformedBundle as error:
            self._fail(path, str(error))
            return
        if len(lines) != width:
            self._fail(path, f"it has {len(lines)} entries, not {width}")
            return
        if there <= 0 or (0, index) in self._bad_tiles:
            return
        leaves = read_tile(self._source, 0, index, there) or b""
        for place, line in enumerate(lines[:there]):
            if leaf_hash(line) != leaves[place * HASH_SIZE : (place + 1) * HASH_SIZE]:
                self._fail(path, f"entry {index * TILE_WIDTH + place + 1} is not what its leaf says")
                return

    def _omitted(self) -> list[int]:
        data = self._source.read(OMITTED)
        if data is None:
            return []
        self._signed(OMITTED, data, needed=False)
        try:
            return read_omitted(parse_note(data).text, self._checkpoint.origin)
        except ValueError as error:
            self._fail(OMITTED, str(error))
            return []

    # Forks

    def _look_at_forks(self) -> None:
        forks = sorted({path.split("/")[1] for path in self._names or () if path.startswith(f"{FORKS}/")})
        found = []
        for name in forks:
            folder = f"{FORKS}/{name}"
            assert isinstance(self._source, Folder)  # noqa: S101 - nobody else lists names
            source = Folder(self._source.path / folder)
            reason = source.read(REASON)
            if reason is None:
                self._fail(f"{folder}/{REASON}", "there is none")
            else:
                self._signed(f"{folder}/{REASON}", reason, needed=False)
                if not reason.startswith(fork_text(self._checkpoint.origin, "").encode()[:-1]):
                    self._fail(f"{folder}/{REASON}", f"it is not of {self._checkpoint.origin}")
            log = _Log(source, f"{self._prefix}{folder}/", self._keys, self._roots, None, is_fork=True)
            log.check()
            self._problems += log._problems
            self.findings += log.findings if not log.ok else []
            found.append(log.facts)
        self.facts |= {"forks": [f"{FORKS}/{name}" for name in forks], "forked": found}


def _taken_apart(note: bytes) -> tuple[str, set[str]]:
    """The text of a note, and its signature lines."""
    text = parse_note(note).text
    return text, set(note.decode().removeprefix(f"{text}\n").splitlines(keepends=True))


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(f"{each:,}" for each in numbers[:10])
    return f"{shown} and {len(numbers) - 10:,} more" if len(numbers) > 10 else shown
