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
_LOCKS: Final = re.compile(r"^-- locks: (.+)\n", re.MULTILINE)
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
        locks: the relations that it locks for a moment.
        oldest_client: the oldest client protocol that works after it; ``None`` if whatever worked before goes on.
    """

    revision: str
    does: str
    locks: tuple[str, ...]
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
    return Revision(revision, does, locked(script), oldest)


def announced(steps: Sequence[Revision], *, is_new: bool, attempts: int) -> Iterator[str]:
    """What is going to be done, and what it means for others, line by line.

    Args:
        steps: the revisions to run.
        is_new: whether they install the ledger, so that there is nobody yet.
        attempts: how often each tries to get its locks.
    """
    yield f"{'installing' if is_new else 'upgrading'} the schema"
    for step in steps:
        yield f"{step.revision}: {step.does}"
        if not is_new:
            yield f"  {_waits(step, attempts)}"
            yield f"  {_goes_on(step)}"
    if not is_new:
        yield "There is no way back. Each revision is one transaction: of one that fails, nothing is kept."


def _waits(step: Revision, attempts: int) -> str:
    if not step.locks:
        return "It locks nothing that is there."
    return (
        f"It locks {', '.join(step.locks)}, all at once and for a moment. It waits {LONGEST_WAIT} s at most for them,"
        f" and so does who comes meanwhile; then it gives them back, pauses and tries again, {attempts} times in all."
    )


def _goes_on(step: Revision) -> str:
    if step.oldest_client is None:
        return "Clients that work now go on."
    return f"Only clients of protocol {step.oldest_client} and later work after it: upgrade them before."


def locked(script: str) -> tuple[str, ...]:
    """The relations that a revision's SQL names as those that it locks."""
    found = _LOCKS.search(script)
    return tuple(re.split(r",\s*", found[1].strip())) if found is not None else ()


def with_locks(script: str) -> str:
    """A revision's SQL with the statement that takes its locks after the line that names them."""
    return _LOCKS.sub(lambda found: f"{found[0]}{locks(locked(found[0]))};\n", script, count=1)


def preparation(target: str | None, *, begins: str | None = None) -> str:
    """What comes before a revision: the version table's schema, and its lock, so that one migration runs at a time.

    Args:
        target: the revision at which there is nothing to do, and nothing to lock; ``None`` for none.
        begins: the revision that the database has to be at; ``None`` if that is looked at elsewhere.
    """
    filled = _filled("preparation", target=_literal(target), begins=_literal(begins))
    # Another migration may have been committed while this one waited.
    return f"set transaction isolation level read committed;\n{filled}"


def locks(relations: Sequence[str]) -> str:
    """The statement that locks relations, all or none, by a few attempts; who comes meanwhile waits 0.3 s behind it."""
    names = ", ".join(_literal(each) for each in relations)
    return _filled("locks", needed=f"array[{names}]", longest_wait=str(int(LONGEST_WAIT * 1000)))


def _filled(name: str, **values: str) -> str:
    text = _SQL[name]
    indent = re.search(r"^( *)\{give_up\}", text, re.MULTILINE)
    give_up = _SQL["give_up"].replace("\n", "\n" + (indent[1] if indent else ""))
    for key, value in {**values, "give_up": give_up}.items():
        text = text.replace(f"{{{key}}}", value)
    return text


def _literal(value: str | None) -> str:
    return "null" if value is None else "'{}'".format(value.replace("'", "''"))
