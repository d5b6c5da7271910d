"""The parts of JSON as they stand in a text, so that what is passed on is not written anew."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import BinaryIO, Final

from aximo_db.client.errors import MalformedEventError
from aximo_db.files.source import UnreadableFileError, json_lines

__all__ = ["array_elements", "members"]

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_TOKEN: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]', re.DOTALL)
#: Only to learn where a value ends. Numbers stay text: of some, Python would refuse to make any.
_SCAN: Final = json.JSONDecoder(parse_float=str, parse_int=str).scan_once  # type: ignore[attr-defined]


def members(text: str) -> Iterator[tuple[str, str]]:
    """The keys of an object and, of each, the text of the value as it stands.

    Args:
        text: a JSON object, well formed.
    """
    at = _skip(text, text.index("{") + 1)
    while text[at] != "}":
        key, at = scanstring(text, at + 1)
        at = _skip(text, _skip(text, at) + 1)  # over the colon
        end = _end(text, at)
        yield key, text[at:end]
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found is not None else at


def _end(text: str, at: int) -> int:
    """Where a value ends."""
    try:
        end: int = _SCAN(text, at)[1]
    except RecursionError:  # PostgreSQL takes more levels than Python's reader
        depth = 0
        for token in _TOKEN.finditer(text, at):
            depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
            if depth == 0:
                return token.end()
        raise
    return end


_CHUNK: Final = 1 << 16
_MARK: Final = re.compile(rb'["\\{}\[\],]')
_WHITE: Final = b" \t\r\n"


def array_elements(source: BinaryIO, longest: int) -> Iterator[tuple[int, bytes, int]]:
    """The elements of a JSON array, numbered from 1, and the position after each.

    A file may hold several arrays, one after the other. An element is not looked into: whoever reads it does that.

    Args:
        source: a binary file, as for :func:`aximo_db.lines.importer.import_lines`.
        longest: of a longer element, in bytes, no more than one byte beyond that is kept.

    Raises:
        MalformedEventError: the file is something else, or ends within an array.
    """
    try:
        yield from _elements(json_lines(source), longest)
    except UnreadableFileError as error:
        raise _no_array(str(error), error.hint) from error


def _no_array(detail: str, hint: str | None = None) -> MalformedEventError:
    return MalformedEventError(
        "this file can't be read as a JSON array",
        rule="file_is_json_array",
        detail=detail,
        hint=hint or "A batch is a JSON array of objects. JSON lines are imported without --batch.",
    )


def _elements(source: BinaryIO, longest: int) -> Iterator[tuple[int, bytes, int]]:
    number = position = depth = 0
    kept = bytearray()
    in_string = found_any = False
    is_first = True
    escaped = -1  # the byte, counted in the file, that is no mark

    def keep(piece: bytes) -> None:
        if len(kept) <= longest:
            kept.extend(piece[: longest + 1 - len(kept)])

    def between(piece: bytes) -> None:
        if piece.strip(_WHITE):
            raise _no_array("there is something outside of the array")

    while chunk := source.read(_CHUNK):
        if position == 0 and chunk.startswith(b"\xef\xbb\xbf"):
            position, chunk = 3, chunk[3:]
        at = 0  # what is before it was dealt with
        for found in _MARK.finditer(chunk):
            mark, place = found[0], found.start()
            if position + place == escaped:
                continue
            if in_string:
                if mark == b"\\":
                    escaped = position + place + 1
                elif mark == b'"':
                    in_string = False
                continue
            if depth == 0:
                between(chunk[at:place])
                if mark != b"[":
                    raise _no_array("it does not begin with a bracket")
                depth, at, is_first, found_any = 1, place + 1, True, True
            elif mark == b'"':
                in_string = True
            elif mark in b"{[":
                depth += 1
            elif mark in b"}]" and depth > 1:
                depth -= 1
            elif mark == b"," and depth > 1:
                pass
            elif mark in b",]":
                keep(chunk[at:place])
                at = place + 1
                if kept.strip(_WHITE):
                    number += 1
                    yield number, bytes(kept), position + at
                elif mark == b"," or not is_first:
                    raise _no_array(f"there is nothing where element {number + 1} should be")
                kept.clear()
                is_first = False
                depth = 0 if mark == b"]" else 1
            else:
                raise _no_array(f"a brace closes nothing, after element {number}")
        if depth == 0:
            between(chunk[at:])
        else:
            keep(chunk[at:])
        position += len(chunk)
    if depth:
        raise _no_array(f"it ends within the array, after element {number}")
    if not found_any:
        raise _no_array("there is nothing in it")
