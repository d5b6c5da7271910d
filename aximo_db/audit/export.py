"""Exports: JSON lines, of which line ``n`` is entry ``n`` of a log, compared with checkpoints and with each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Any, Final, Literal

from aximo_db.audit.checkpoint import Checkpoint
from aximo_db.audit.merkle import ProofFailed, Tree, leaf_hash

__all__ = [
    "CheckpointResult",
    "ExportDifference",
    "ExportVerdict",
    "LineProblem",
    "compare_exports",
    "verify_export",
]

_BOMS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")  # UTF-8, and UTF-16 of either order
_WINDOW: Final = 1_000  # lines looked ahead for the end of what was removed or added
_PROGRESS_STEP: Final = 16_384  # lines between two reports


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
