"""Whether a type or a check takes more than another one, or less."""

from __future__ import annotations

import math
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final

__all__ = ["check_change", "type_width"]

#: Types of which each holds what those before it hold.
_CHAINS: Final = (
    ("smallint", "integer", "bigint", "numeric"),
    ("real", "double precision"),
    ("character varying", "text"),
)
_TYPE: Final = re.compile(r"(?P<base>[^(\[]+)(?:\((?P<size>\d+)(?P<scale>,-?\d+)?\))?(?P<lists>(?:\[\])*)")
#: Of literals and lists; that of what is bound says what is bound.
_CAST: Final = re.compile(r"(?<=['\]])(\)?)::[a-z_.]+( [a-z]+)*(\[\])*")
_LITERAL: Final = r"'((?:[^']|'')*)'"
_BOUND: Final = re.compile(rf"([^' ]+) (<=|>=|<|>) (?:{_LITERAL}|\(?(-?[\d.]+)\)?(?:::\w+)?)")
_SET: Final = re.compile(rf"([^' ]+) = (?:ANY \(+ARRAY\[)?({_LITERAL}(?:, {_LITERAL})*)\]?")


def type_width(old: str, new: str) -> str:
    """How a built-in type compares with another one.

    Returns:
        ``wider`` or ``narrower``, which clients see no other type for; ``grown`` or ``shrunk`` to another type; or
        ``other``.
    """
    one, other = _TYPE.fullmatch(old), _TYPE.fullmatch(new)
    if one is None or other is None or one["lists"] != other["lists"]:
        return "other"
    if one["base"] == other["base"] and one["base"] in ("numeric", "character varying"):
        size, size_now = (float(each["size"] or math.inf) for each in (one, other))
        if other["size"] and (one["scale"] != other["scale"] or (one["base"] == "numeric" and not one["size"])):
            return "other"
        return "wider" if size_now > size else "narrower"
    for chain in _CHAINS:
        if one["base"] in chain and other["base"] in chain and one["base"] != other["base"]:
            # A numeric with so many digits need not hold every bigint.
            is_bounded = any(each["base"] == "numeric" and each["size"] for each in (one, other))
            is_grown = chain.index(one["base"]) < chain.index(other["base"])
            return "other" if is_bounded else "grown" if is_grown else "shrunk"
    return "other"


def check_change(old: str, new: str) -> tuple[str, str]:
    """Whether a check takes ``less`` or ``more`` than another one, the ``same`` or ``another``, and how."""
    one, other = _bounds(old), _bounds(new)
    if one is None or other is None:
        return "another", ""
    less = [f"{name} is bound" for name, side in other.keys() - one.keys()]
    more = [f"{name} is not bound" for name, side in one.keys() - other.keys()]
    for name, side in one.keys() & other.keys():
        was, now = one[name, side], other[name, side]
        if side == "in":
            less += [f"{each} is refused" for each in was - now]
            more += [f"{each} is taken" for each in now - was]
        elif type(was[0]) is not type(now[0]):
            return "another", ""
        elif was != now:
            is_more = now > was if side == "below" else (now[0], not now[1]) < (was[0], not was[1])
            (more if is_more else less).append(f"the limit of {name} was {was[0]} and is {now[0]}")
    return "less" if less else "more" if more else "same", "; ".join(sorted(less or more))


def _bounds(definition: str) -> dict[tuple[str, str], Any] | None:
    """A check that is nothing but bounds and closed sets, all of which hold; or nothing, if it is something else.

    PostgreSQL writes each with casts and parentheses. Without them a bound is three words, and what is not is no bound.
    """
    found: dict[tuple[str, str], Any] = {}
    text = _CAST.sub(r"\1", definition.removeprefix("CHECK ").removesuffix(" NO INHERIT"))
    if any("::" in literal for literal in re.findall(_LITERAL, definition)):
        return None
    for part in text.split(" AND "):
        key, value = _bound(part.strip("()"))
        if key is None or key in found:
            return None
        found[key] = value
    return found


def _bound(text: str) -> tuple[tuple[str, str] | None, Any]:
    if bound := _BOUND.fullmatch(text):
        name, sign, moment, number = bound.groups()
        side, is_taken = "below" if sign[0] == "<" else "above", sign.endswith("=")
        try:
            return (name, side), (Decimal(moment if number is None else number), is_taken)
        except InvalidOperation:
            return ((name, side), (moment, is_taken)) if re.match(r"\d{4}-\d\d-\d\d", moment or "") else (None, None)
    if listed := _SET.fullmatch(text):
        return (listed[1], "in"), frozenset(re.findall(_LITERAL, listed[2]))
    return None, None
