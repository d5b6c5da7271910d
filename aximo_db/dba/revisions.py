"""A revision's SQL file: what its header says, and the place where it takes its locks.

What comes before that place locks nothing that is there: new tables, functions. What comes after it is short.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["LONGEST_WAIT", "Revision", "announced", "described", "locked", "locks", "preparation", "with_locks"]

#: Seconds that an attempt to get all locks waits, and that others wait behind it.
LONGEST_WAIT: Final = 0.3

_FIRST: Final = "0001_ledger"
#: From that line on others wait: who comes for the relations of the first part, and who writes to those of the second.
#: The second are locked first, each part in its order: that in which writers lock them.
_LOCKS: Final = re.compile(r"^-- locks: ([^;\n]+)(?:; from writers alone: (.+))?\n", re.MULTILINE)
_CLIENTS: Final = re.compile(r"^-- clients: (?:(old ones go on)|([1-9]\d*) and later)$", re.MULTILINE)
_SQL: Final = {
    name: Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8").rstrip()
    for name in ("preparation", "locks", "give_up")
}


@dataclass(frozen=True, slots=True)
class Revision:
    """What a revision does, said before it is run.

    Attributes:
        revision: its name.
        does: what it brings.
        locks: the relations that it locks for a moment, from all others.
        locks_from_writers: those that it locks from who writes to them alone.
        oldest_client: the oldest client protocol that works after it; ``None`` if whatever worked before goes on.
    """

    revision: str
    does: str
    locks: tuple[str, ...]
    locks_from_writers: tuple[str, ...]
    oldest_client: int | None


def described(revision: str, does: str, script: str) -> Revision:
    """What the header of a revision's SQL says.

    Args:
        revision: its name.
        does: its docstring.
        script: its SQL.

    Raises:
        ValueError: it does not say which clients go on.
    """
    clients = _CLIENTS.search(script)
    # The first one is frozen and has no header. Nobody was there before it.
    if clients is None and revision != _FIRST:
        raise ValueError(f"{revision}.sql has no line -- clients: old ones go on, or -- clients: <n> and later")
    oldest = int(clients[2]) if clients is not None and clients[2] else None
    return Revision(revision, does, *locked(script), oldest)


def announced(steps: Sequence[Revision], *, is_new: bool, attempts: int) -> Iterator[str]:
    """What is going to be done, and what it means for others, line by line. An installation has no others yet.

    Args:
        steps: the revisions to run.
        is_new: whether they install the ledger, so that there is nobody yet.
        attempts: how often each tries to get its locks.
    """
    yield f"{'installing' if is_new else 'upgrading'} the schema"
    if is_new:
        return
    for step in steps:
        yield f"{step.revision}: {step.does}"
        yield from (f"  {line}" for line in (*_waits(step, attempts), _goes_on(step)))
    yield "There is no way back. Each revision is one transaction: of one that fails, nothing is kept."


def _waits(step: Revision, attempts: int) -> Iterator[str]:
    if not step.locks and not step.locks_from_writers:
        yield "It locks nothing that is there."
        return
    if step.locks:
        yield f"It locks for a moment: {', '.join(step.locks)}"
    if step.locks_from_writers:
        yield f"It locks for a moment from writers, not from readers: {', '.join(step.locks_from_writers)}"
    yield (
        f"It waits {LONGEST_WAIT} s at most to get them all, and so does who comes meanwhile; then it gives them back,"
        f" pauses, and tries again, {attempts} times in all."
    )


def _goes_on(step: Revision) -> str:
    if step.oldest_client is None:
        return "Clients that work now go on."
    return f"Only clients of protocol {step.oldest_client} and later work after it: upgrade them before."


def locked(script: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The relations that a revision's SQL names as those that it locks: from all others, and from writers alone."""
    found = _LOCKS.search(script)
    if found is None:
        return (), ()
    from_all, from_writers = (tuple(re.split(r",\s*", part.strip())) if part else () for part in found.groups())
    return from_all, from_writers


def with_locks(script: str) -> str:
    """A revision's SQL with the statement that takes its locks after the line that names them."""
    return _LOCKS.sub(lambda found: f"{found[0]}{locks(*locked(found[0]))};\n", script, count=1)


def preparation(target: str | None, *, begins: str | None = None) -> str:
    """What comes before a revision: the version table's schema, and its lock, so that one migration runs at a time.

    Args:
        target: the revision at which there is nothing to do, and nothing to lock; ``None`` for none.
        begins: the revision that the database has to be at; ``None`` if that is looked at elsewhere.
    """
    filled = _filled("preparation", target=_literal(target), begins=_literal(begins))
    # Another migration may have been committed while this one waited.
    return f"set transaction isolation level read committed;\n{filled}"


def locks(from_all: Sequence[str], from_writers: Sequence[str] = ()) -> str:
    """The statement that locks relations, all or none, by a few attempts; who comes meanwhile waits 0.3 s behind it.

    Args:
        from_all: those that nobody may read meanwhile.
        from_writers: those that are read on.
    """
    named = {"from_all": from_all, "from_writers": from_writers}
    arrays = {key: f"array[{', '.join(map(_literal, names))}]::text[]" for key, names in named.items()}
    return _filled("locks", **arrays, longest_wait=str(int(LONGEST_WAIT * 1000)))


def _filled(name: str, **values: str) -> str:
    text = _SQL[name]
    indent = re.search(r"^( *)\{give_up\}", text, re.MULTILINE)
    give_up = _SQL["give_up"].replace("\n", "\n" + (indent[1] if indent else ""))
    for key, value in {**values, "give_up": give_up}.items():
        text = text.replace(f"{{{key}}}", value)
    return text


def _literal(value: str | None) -> str:
    return "null" if value is None else "'{}'".format(value.replace("'", "''"))
