"""JSON of any depth, read and written without recursion: for what Python's own module gives up on.

PostgreSQL takes some thousand levels, Python's module about one thousand. The grammar is RFC 8259's; what a string or a
number is, is decided by the standard library's own scanner.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, Final

__all__ = ["read", "write"]

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORDS: Final = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}


def read(text: str, make_object: Callable[[list[tuple[str, Any]]], Any], make_number: Callable[[str], Any]) -> Any:
    """Reads a JSON text.

    Args:
        text: all of it.
        make_object: makes an object of its pairs, in their order.
        make_number: makes a number of its text.

    Raises:
        ValueError: it is no JSON.
    """
    # The open containers, outermost first: their items so far, and of an object the key whose value comes next.
    open_items: list[list[Any]] = []
    keys: list[str | None] = []
    at = _skip(text, 0)
    while True:
        # A value begins here.
        start = text[at : at + 1]
        if start in ("{", "["):
            open_items.append([])
            at = _skip(text, at + 1)
            if start == "[":
                keys.append(None)
                if text[at : at + 1] != "]":
                    continue
            else:
                keys.append("")
                if text[at : at + 1] != "}":
                    keys[-1], at = _key(text, at)
                    continue
        else:
            value, at = _leaf(text, at, make_number)
            if not open_items:
                break
            _add(open_items[-1], keys[-1], value)
        # A value has ended here, or the first container is empty: what comes next?
        while True:
            at = _skip(text, at)
            mark = text[at : at + 1]
            if mark == ("]" if keys[-1] is None else "}"):
                key, items = keys.pop(), open_items.pop()
                value = items if key is None else make_object(items)
                at += 1
                if not open_items:
                    return _whole(text, at, value)
                _add(open_items[-1], keys[-1], value)
                continue
            if mark != ",":
                raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
            at = _skip(text, at + 1)
            if keys[-1] is not None:
                keys[-1], at = _key(text, at)
            break
    return _whole(text, at, value)


def _add(items: list[Any], key: str | None, value: Any) -> None:
    items.append(value if key is None else (key, value))


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found is not None else at


def _whole(text: str, at: int, value: Any) -> Any:
    if _skip(text, at) != len(text):
        raise json.JSONDecodeError("Extra data", text, at)
    return value


def _key(text: str, at: int) -> tuple[str, int]:
    """A key, and where its value begins."""
    if text[at : at + 1] != '"':
        raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
    key, at = scanstring(text, at + 1)
    at = _skip(text, at)
    if text[at : at + 1] != ":":
        raise json.JSONDecodeError("Expecting ':' delimiter", text, at)
    return key, _skip(text, at + 1)


def _leaf(text: str, at: int, make_number: Callable[[str], Any]) -> tuple[Any, int]:
    """A string, a number, a truth value or null, and where it ends."""
    start = text[at : at + 1]
    if start == '"':
        value, at = scanstring(text, at + 1)
        return value, at
    if start in _WORDS and text.startswith(_WORDS[start][0], at):
        word, constant = _WORDS[start]
        return constant, at + len(word)
    number = _NUMBER.match(text, at)
    if number is None:
        raise json.JSONDecodeError("Expecting value", text, at)
    return make_number(number.group()), number.end()


class _Text(str):
    """A piece of the text, among values that are still to be written."""

    __slots__ = ()


def write(value: Any, write_leaf: Callable[[Any], str], write_key: Callable[[str], str] = json.dumps) -> str:
    """Writes JSON without blanks, the keys of objects in their order as text.

    Args:
        value: dictionaries, lists, and leaves.
        write_leaf: writes what is neither.
        write_key: writes a key.
    """
    written: list[str] = []
    pending: list[Any] = [value]
    while pending:
        item = pending.pop()
        if type(item) is _Text:
            written.append(item)
        elif isinstance(item, dict):
            pending.append(_Text("}"))
            for place, key in reversed(list(enumerate(sorted(item)))):
                pending += [item[key], _Text(f"{',' if place else ''}{write_key(key)}:")]
            pending.append(_Text("{"))
        elif isinstance(item, list):
            pending.append(_Text("]"))
            for place, each in reversed(list(enumerate(item))):
                pending.append(each)
                if place:
                    pending.append(_Text(","))
            pending.append(_Text("["))
        else:
            written.append(write_leaf(item))
    return "".join(written)
