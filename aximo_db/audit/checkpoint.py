"""Checkpoints: the size and the root of a log, as the text of C2SP tlog-checkpoint.

https://c2sp.org/tlog-checkpoint
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from aximo_db.audit.merkle import EMPTY_ROOT, HASH_SIZE, LARGEST_SIZE, are_hashes, is_size
from aximo_db.audit.note import (
    MalformedNote,
    VerifierKey,
    check_name,
    from_base64,
    open_note,
    parse_note,
    text_of,
    to_base64,
)

__all__ = [
    "Checkpoint",
    "number",
    "open_checkpoint",
    "origin_for",
    "parse_checkpoint",
    "read_checkpoint",
    "split_origin",
]

_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


def origin_for(ledger: str, customer_id: str) -> str:
    """The origin of a customer's log: the ledger's name, a slash, and the customer, percent-encoded.

    Of the customer's UTF-8 bytes only RFC 3986's unreserved ones (``A-Z a-z 0-9 - . _ ~``) stay as they are.

    Args:
        ledger: the ledger's name, such as ``ledger.example/production``; no spaces, plus or control characters.
        customer_id: not empty.

    Raises:
        MalformedNote: the ledger's name or the customer can't be used.
    """
    check_name(ledger, "the name of the ledger")
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
            if not line or "\n" in text_of(line, "the checkpoint"):
                raise MalformedNote("the origin or an extension of the checkpoint is not one line of text")
        if not is_size(self.size):
            raise MalformedNote(f"the size of the checkpoint is not a number from 0 to {LARGEST_SIZE}")
        if not are_hashes(self.root):
            raise MalformedNote(f"the root of the checkpoint is not {HASH_SIZE} bytes")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise MalformedNote("the checkpoint of a log without entries has another root than the empty tree")

    @property
    def root_text(self) -> str:
        """The root in base64, as the checkpoint's third line has it."""
        return to_base64(self.root)

    def text(self) -> str:
        """The lines of the checkpoint: what is signed."""
        return "\n".join((self.origin, str(self.size), self.root_text, *self.extensions, ""))


def parse_checkpoint(text: bytes | str) -> Checkpoint:
    """The checkpoint that a note's text holds.

    Raises:
        MalformedNote: it is not written exactly as :meth:`Checkpoint.text` does. A note with its signatures is not
            either: see :func:`open_checkpoint`.
    """
    *lines, rest = text_of(text, "the checkpoint").split("\n")
    if rest:
        raise MalformedNote("the last line of the checkpoint does not end in a newline")
    if "" in lines:
        raise MalformedNote("the checkpoint has an empty line; a signed one has to be opened as a note first")
    if len(lines) < 3:
        raise MalformedNote("a checkpoint has at least three lines")
    origin, size, root, *extensions = lines
    return Checkpoint(
        origin,
        number(size, "the size of the checkpoint"),
        from_base64(root, "the root of the checkpoint", HASH_SIZE),
        tuple(extensions),
    )


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


def number(text: str, what: str) -> int:
    """A decimal number as C2SP writes it: no sign, no leading zeros."""
    if not _DECIMAL.fullmatch(text):  # of at most 19 digits; the dataclasses know the limit
        raise MalformedNote(f"{what} is not a decimal number up to {LARGEST_SIZE} without leading zeros")
    return int(text)
