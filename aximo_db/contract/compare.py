"""Comparing two contracts: what each change means for those who use it.

Two documents are walked together. How each difference is judged stands in ``judgements.txt``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, cast

from aximo_db.contract.document import Contract, Json
from aximo_db.contract.limits import check_change, type_width
from aximo_db.contract.read import DOCUMENTED_VALUES

__all__ = ["Change", "compare", "holds", "meanings"]

Kind = Literal["breaking", "additive", "unknown"]
Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two contracts.

    Attributes:
        kind: ``breaking`` for somebody who relies on the old one, ``additive``, or ``unknown``: a person has to look.
        what: the rule of ``docs/contract.md`` that it was judged by.
        where: the thing that changed.
        reason: one sentence.
    """

    kind: Kind
    what: str
    where: str
    reason: str

    def as_json(self) -> dict[str, str]:
        """The change as a JSON object."""
        return dataclasses.asdict(self)


def holds(old: Contract, new: Contract, changes: Iterable[Change]) -> bool:
    """Whether nothing breaks that a higher version does not declare. What nobody can judge counts as breaking."""
    return new.version > old.version or all(change.kind == "additive" for change in changes)


def compare(old: Contract, new: Contract) -> list[Change]:
    """Every difference that somebody can notice, breaking ones first.

    Args:
        old: what was promised: the contract of the last release.
        new: what is offered now: another file, or :func:`read_contract`.

    Raises:
        ValueError: they are different contracts.
    """
    if old.name != new.name:
        raise ValueError(f"contract {old.name} and contract {new.name} can't be compared")
    comparison = _Comparison(old.document, new.document)
    comparison.compare()
    order: dict[Kind, int] = {"breaking": 0, "unknown": 1, "additive": 2}
    return sorted(comparison.found, key=lambda change: (order[change.kind], change.where, change.what))


def meanings(contract: Contract) -> dict[str, str]:
    """Every text that says what something means, by its place."""
    comparison = _Comparison(contract.document, contract.document)
    comparison.compare()
    return {place: text for place, text in comparison.meanings.items() if text}


# How it is judged

#: Where a thing of each kind is, and how values of its type are used.
_KINDS: Final[dict[str, tuple[str, list[str]]]] = {}
#: Of what, and in which case: the kind of the change, what findings call it, and why.
_JUDGEMENTS: Final[dict[tuple[str, str], tuple[Kind, str, str]]] = {}


def _load_judgements() -> None:
    for line in Path(__file__).with_name("judgements.txt").read_text(encoding="utf-8").splitlines():
        things, *cells = (part.strip() for part in line.split("|"))
        for thing in things.split(", ") if cells and not line.startswith("#") else ():
            if cells[1] in ("breaking", "additive", "unknown"):
                cases, kind, what, why = cells
                _JUDGEMENTS.update({(thing, case): (cast(Kind, kind), what, why) for case in cases.split(", ")})
                continue
            place, use, gone, new = cells
            if use not in ("", "read", "written", "read, written"):
                raise ValueError(f"no judgement: {line}")
            _KINDS[thing] = place, use.split(", ")
            if gone:
                _JUDGEMENTS[thing, "gone"] = "breaking", "{noun} removed", gone
                _JUDGEMENTS[thing, "renamed"] = "breaking", "{noun} renamed", f"It is called {{now}}. {gone}"
            if new:
                _JUDGEMENTS[thing, "new"] = "additive", "{noun} added", new


_load_judgements()


def _same_column(one: Json, other: Json) -> bool:
    is_same_meaning = bool(one.get("meaning")) and one["meaning"] == other.get("meaning")
    return bool(one["type"] == other["type"] and (one["place"] == other["place"] or is_same_meaning))


def _same_json(one: Json, other: Json) -> bool:
    is_same_type = one["type"] == other["type"] or "any" in (one["type"], other["type"])
    return bool(one["place"] == other["place"] and is_same_type)


def _same(of: Callable[[Any], Any] = lambda thing: thing) -> Callable[[Any, Any], bool]:
    return lambda one, other: bool(of(one)) and of(one) == of(other)


#: Whether one that is gone and one that is new are evidently the same, renamed. Of other kinds none ever is.
_IS_SAME: Final[dict[str, Callable[[Any, Any], bool]]] = {
    **dict.fromkeys(("role", "check", "key", "guard", "policy", "entry", "promise", "setting"), _same()),
    **dict.fromkeys(("column", "written column", "field", "return column"), _same_column),
    **dict.fromkeys(("JSONL field out", "JSONL field in"), _same_json),
    "relation": _same(lambda each: [(column["name"], column["type"]) for column in each["columns"]]),
    "function": _same(lambda overloads: [(each["arguments"], each["returns"]) for each in overloads]),
    "argument": _same(lambda each: (each["place"], each["type"])),
    "type": _same(lambda each: (each.get("columns"), each.get("values"))),
    "SQLSTATE": _same(lambda each: each["class"]),
    "payload field": _same(lambda each: [each[key] for key in ("type", "of", "meaning")]),
}


def _is_needed(kind: str, thing: Json) -> bool:
    """Whether a thing has to be given, or is always there."""
    if kind in ("argument", "written column"):
        return "default" not in thing and not thing.get("null", kind == "written column")
    return bool(thing.get("required") or thing.get("always"))


class _Comparison:
    """Two contracts, and what is known of both while their parts are compared."""

    def __init__(self, old: Json, new: Json) -> None:
        self.old = old
        self.new = new
        self.found: dict[Change, None] = {}
        self.meanings: dict[str, str] = {}
        #: By kind of thing: what has another name now, and what is gone (``None``).
        self.left: dict[str, dict[str, str | None]] = {kind: {} for kind in _KINDS}

    def say(self, thing: str, case: str, where: str, **words: object) -> None:
        """Tells of a difference, if it is in the judgements."""
        if (thing, case) in _JUDGEMENTS:
            kind, what, why = _JUDGEMENTS[thing, case]
            # Some kinds of things are judged apart and have one name.
            noun = re.sub("^written | (out|in)$", "", str(words.get("noun", thing)))
            self.found[Change(kind, what.format(noun=noun), where, why.format(**words))] = None

    def compare(self) -> None:
        if self.new["version"] < self.old["version"]:
            self.say("contract", "lowered", "version")
        uses = [{role: _use(each, role) for role in each["roles"]} for each in (self.old, self.new)]
        self.things("role", uses[0], uses[1])
        self.part("schema", "schemas")
        self.relations()
        self.functions()
        self.types_and_limits()
        self.inputs()
        self.rows()
        # After limits: a rule that comes, goes or is renamed with its limit is told of once.
        self.errors()
        self.jsonl()
        for kind, part in (("promise", "promises"), ("payload field", "payload"), ("setting", "settings")):
            self.things(kind, self.old["by_hand"][part], self.new["by_hand"][part])
        for kind, part in (("Python name", "python"), ("command", "commands")):
            self.things(kind, dict.fromkeys(self.old[part]), dict.fromkeys(self.new[part]))

    # What all things have

    def part(self, kind: str, part: str) -> list[tuple[str, Any, Any]]:
        return self.things(kind, self.old[part], self.new[part])

    def things(self, kind: str, old: Any, new: Any, owner: str = "") -> list[tuple[str, Any, Any]]:
        """Tells of what is gone, new, renamed or elsewhere, and of each that stayed what its values tell.

        Args:
            kind: which of those in ``judgements.txt``.
            old: by name, or in their order.
            new: the same, as they are now.
            owner: whose they are.

        Returns:
            of each that stayed where it is, and what it was and is.
        """
        before, after = _named(old), _named(new)
        renamed = _renamed(before, after, _IS_SAME.get(kind, lambda _one, _other: False))
        places = {name: _KINDS[kind][0].format(owner=owner, name=name) for name in {**before, **after}}
        for name, was in before.items():
            if name not in after:
                self.left[kind][name] = renamed.get(name)
                case = "renamed" if name in renamed else "gone"
                self.say(kind, case, places[name], now=renamed.get(name), old=_told(was))
        kept = [(places[name], before[name], after[name]) for name in before if name in after]
        if kind == "argument":  # Calls by place still give them.
            kept += [(places[name], before[name], after[now]) for name, now in renamed.items()]
        self.order(kind, owner, places, after, [renamed.get(name, name) for name in before])
        for where, was, now in kept:
            self.details(kind, where, was, now)
            if was != now:
                self.say(kind, "changed", where, old=_told(was), new=_told(now))
        return kept

    def order(self, kind: str, owner: str, places: dict[str, str], after: Json, before: list[str]) -> None:
        """Tells of what is new, and of another order of what is not."""
        is_ordered = (kind, "order") in _JUDGEMENTS
        order = [after[name]["place"] for name in before if name in after and is_ordered]
        if order != sorted(order):
            self.say(kind, "order", owner, now=", ".join(after))
        for name in _without(after, before):
            is_between = bool(order) and after[name]["place"] < max(order) and (kind, "between") in _JUDGEMENTS
            is_needed = (kind, "needed") in _JUDGEMENTS and _is_needed(kind, after[name])
            case = "needed" if is_needed else "between" if is_between else "new"
            self.say(kind, case, places[name], new=_told(after[name]))

    def details(self, kind: str, where: str, old: Any, new: Any) -> None:
        """Tells what the values of a thing that stayed tell."""
        if not isinstance(old, dict):
            return
        for key in {**old, **new}:
            was: Any = old.get(key)
            now: Any = new.get(key)
            if was == now:
                continue
            if isinstance(was, list) and isinstance(now, list) and (kind, f"{key} less") in _JUDGEMENTS:
                for case, names in (("less", _without(was, now)), ("more", _without(now, was))):
                    for name in names:
                        self.say(kind, f"{key} {case}", where, name=name)
            elif key == "type" and (kind, "type other") not in _JUDGEMENTS:
                for use in _KINDS[kind][1] if kind in _KINDS else ():
                    self.say(use, f"type {self.width(was, now)}", where, noun=kind, old=was, new=now)
            else:
                case = "came" if was is None else "gone" if now is None else str(now).lower()
                case = case if (kind, f"{key} {case}") in _JUDGEMENTS or was is None or now is None else "other"
                self.say(kind, f"{key} {case}", where, old=was or "none", new=now or "none")
        if "meaning" in old or "meaning" in new:
            self.meaning(where, old, new)
        if "used_by" in old:
            self.grants(where, old, new)

    def width(self, old: str, new: str) -> str:
        """How a type compares with another one.

        Returns:
            ``same``, ``wider`` or ``narrower``, which clients see no other type for; ``grown`` or ``shrunk`` to
            another type; ``other``; ``unknown``.
        """
        one, other = self.old["limits"].get(old), self.new["limits"].get(new)
        if one and other:
            return "same" if {**one, "meaning": None} == {**other, "meaning": None} else "unknown"
        if one and one["type"] == new:
            return "wider"
        if other and other["type"] == old:
            return "narrower"
        return type_width(one["type"] if one else old, other["type"] if other else new)

    def meaning(self, where: str, old: Json, new: Json) -> None:
        one, other = (" ".join((each.get("meaning") or "").split()) for each in (old, new))
        self.meanings[where] = other
        if old.get("values") != new.get("values"):  # They have been told of.
            rest, rest_now = (DOCUMENTED_VALUES.sub("", each, count=1) for each in (one, other))
            if rest == rest_now:
                return
        if one != other:
            is_reviewed = self.new["reviewed"]["rewordings"].get(where) == other
            case = "came" if not one else "reviewed" if is_reviewed else "other"
            self.say("meaning", case, where, old=one, new=other)

    def grants(self, where: str, old: Json, new: Json) -> None:
        """By role, privilege and column; what has come or gone with its role or column has been told of."""
        columns, columns_now = ({each["name"] for each in thing.get("columns", [])} for thing in (old, new))
        whole = {*columns, *columns_now, "*"}
        for role in sorted(set(self.old["roles"]) & set(self.new["roles"])):
            before, after = _granted(old, role, whole), _granted(new, role, whole)
            for privilege, had in before.items():
                has = after.get(privilege, set())
                lost, more = sorted((had - has) & columns_now), sorted(columns_now - has)
                if privilege not in after:
                    self.say("grant", "gone", where, name=role, old=privilege)
                elif lost:
                    self.say("grant", "less", where, name=role, old=privilege, columns=", ".join(lost))
                elif privilege == "select" and had >= columns and more:
                    self.say("grant", "between", where, name=role, columns=", ".join(more))
            for privilege, has in after.items():
                if privilege not in before or (has - before[privilege]) & {*columns, "*"}:
                    self.say("grant", "new", where, name=role, new=privilege)

    def checks(self, where: str, old: Json, new: Json) -> None:
        for place, was, now in self.things("check", old.get("checks", {}), new.get("checks", {}), where):
            if was != now:
                case, how = check_change(was, now)
                self.say("check", f"takes {case}", place, old=was, new=now, how=how)

    # Parts

    def relations(self) -> None:
        for where, old, new in self.part("relation", "relations"):
            is_written = _is_written(old) and _is_written(new)
            self.things("written column" if is_written else "column", old["columns"], new["columns"], where)
            self.checks(where, old, new)
            self.things("key", old.get("keys", {}), new.get("keys", {}), where)
            self.things("guard", _enabled(old), _enabled(new), where)
            self.things("policy", old.get("policies", {}), new.get("policies", {}), where)

    def functions(self) -> None:
        for name, old, new in self.part("function", "functions"):
            left, right = _by_types(old), _by_types(new)
            gone, come = _without(left, right), _without(right, left)
            # Where one has changed its arguments, it is compared with the one that has come.
            for one, other in [*((each, each) for each in left if each in right), *zip(gone, come, strict=False)]:
                self.function(name if len(old) == 1 else f"{name}({one[0]})", left[one], right[other])
            for types, _ in gone[len(come) :]:
                self.say("overload", "gone", f"{name}({types})")
            for types, _ in come[len(gone) :]:
                self.say("overload", "new", f"{name}({types})")

    def function(self, where: str, old: Json, new: Json) -> None:
        self.details("function", where, old, new)
        self.things("argument", old["arguments"], new["arguments"], where)
        one, other = old["returns"], new["returns"]
        is_row = "columns" in one and "columns" in other
        self.details("row" if is_row else "return", where, one, other)
        if is_row:
            self.things("return column", one["columns"], other["columns"], where)

    def types_and_limits(self) -> None:
        for where, one, other in self.part("type", "types"):
            self.things("field", one.get("columns", []), other.get("columns", []), where)
        # Of a domain that has come or gone, the fields that have or had it tell.
        for name, limit in self.old["limits"].items():
            if name in self.new["limits"]:
                self.details("limit", name, limit, self.new["limits"][name])
                self.checks(name, limit, self.new["limits"][name])

    def inputs(self) -> None:
        for where, old, new in self.part("input", "inputs"):
            name = where.removeprefix("input ")
            self.things("input field", _by_name(old["fields"]), _by_name(new["fields"]), name)
            self.checks(name, old, new)

    def rows(self) -> None:
        """Rows that are part of the contract: event types, kinds."""
        for table, rows in self.old["rows"].items():
            for where, old, new in self.things("entry", rows, self.new["rows"].get(table, {}), table):
                for column in old:
                    if column != "meaning" and old[column] != new.get(column):
                        self.say("entry", "repurposed", where, name=column, old=old[column], new=new.get(column))

    def errors(self) -> None:
        self.part("SQLSTATE", "errors")
        codes, left = self.left["SQLSTATE"], self.left["check"]
        old_codes = {now: code for code, now in codes.items()}
        before = {rule: places for rule, places in _rules(self.old).items() if codes.get(rule[1], rule[1])}
        after = {(rule, old_codes.get(code) or code): places for (rule, code), places in _rules(self.new).items()}
        for (rule, code), places in before.items():
            where = f"rule {rule} ({code})"
            others = sorted(other for each, other in after.keys() - before.keys() if each == rule)
            if (rule, code) in after:
                for place in _without(places, after[rule, code]):
                    self.say("rule", "less", where, name=place)
            elif others:
                self.say("rule", "moved", where, now=", ".join(others))
            elif rule not in left or left[rule] is None:
                self.say("rule", "lifted" if rule in left else "gone", where)
        told = {rule for rule, _ in before.keys() - after.keys()} | set(left.values())
        for rule, code in after.keys() - before.keys():
            if rule not in told:
                self.say("rule", "new", f"rule {rule} ({code})")

    def jsonl(self) -> None:
        for where, old, new in self.part("JSONL shape", "jsonl"):
            kind = "JSONL field out" if old["direction"] == "out" else "JSONL field in"
            for place, one, other in self.things(kind, old["fields"], new["fields"], where):
                before, after = (set(each["type"].split(" or ")) for each in (one, other))
                case = "less" if after < before else "more" if after > before else "other"
                case = case if (kind, f"JSON type {case}") in _JUDGEMENTS else "other"
                if before != after:
                    self.say(kind, f"JSON type {case}", place, old=one["type"], new=other["type"])
            for name in _without(old.get("ignored", []), [*new.get("ignored", []), *_by_name(new["fields"])]):
                self.say(kind, "gone", f"{where}.{name}")


def _named(things: Any) -> dict[str, Any]:
    """By name; what has no name is called by its place, as in SQL, and things in an order know where they are."""
    if isinstance(things, list):
        return {each["name"] or f"${place + 1}": {**each, "place": place} for place, each in enumerate(things)}
    return dict(things)


def _by_name(fields: list[Json]) -> dict[str, Json]:
    return {each["name"]: each for each in fields}


def _renamed(old: Json, new: Json, is_same: Callable[[Any, Any], bool]) -> dict[str, str]:
    """What what is gone is called now, where that is evident: one to one."""
    gone, come = _without(old, new), _without(new, old)
    found: dict[str, str] = {}
    for name in list(gone):
        candidates = [each for each in come if is_same(old[name], new[each])]
        rivals = [each for each in gone if candidates and is_same(old[each], new[candidates[0]])]
        if len(candidates) == len(rivals) == 1:
            found[name] = candidates[0]
            gone.remove(name)
            come.remove(candidates[0])
    return found


def _without(names: Iterable[Name], others: Iterable[Name]) -> list[Name]:
    known = set(others)
    return [name for name in names if name not in known]


def _told(thing: Any) -> str:
    if isinstance(thing, dict):
        return ", ".join(f"{key} {value}" for key, value in thing.items() if value is not None)
    return str(thing)


def _use(document: Json, role: str) -> list[tuple[str, str]]:
    """What a role may use."""
    parts = [item for part in ("schemas", "relations", "types") for item in document[part].items()]
    parts += [(name, each) for name, overloads in document["functions"].items() for each in overloads]
    return sorted((name, " ".join(each["used_by"][role])) for name, each in parts if role in each["used_by"])


def _granted(thing: Json, role: str, whole: set[str]) -> dict[str, set[str]]:
    """By privilege the columns that it is granted for, ``select(a, b)``, or the whole."""
    given = [each.partition("(") for each in thing["used_by"].get(role, [])]
    return {name: set(columns.rstrip(")").split(", ")) if columns else whole for name, _, columns in given}


def _is_written(relation: Json) -> bool:
    return any(each.startswith(("insert", "update")) for given in relation["used_by"].values() for each in given)


def _enabled(relation: Json) -> Json:
    return {
        name: each
        for name, each in relation.get("guards", {}).items()
        if each["fires"] not in ("disabled", "replica only")
    }


def _by_types(overloads: list[Json]) -> dict[tuple[str, int], Json]:
    """By the types of their arguments, and how many of the same there are before it."""
    types = [", ".join(each["type"] for each in function["arguments"]) for function in overloads]
    return {(each, types[:place].count(each)): overloads[place] for place, each in enumerate(types)}


def _rules(document: Json) -> dict[tuple[str, str], list[str]]:
    """Where rules are raised, by rule and code."""
    errors = document["errors"].items()
    return {(rule, code): places for code, entry in errors for rule, places in entry["rules"].items()}
