"""What a change of a contract means for those who use it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal

from aximo_db.contract.document import Contract, Json
from aximo_db.contract.read import DOCUMENTED_VALUES as _LIST

Kind = Literal["breaking", "additive", "unknown"]


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


# Judging


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
    order: dict[Kind, int] = {"breaking": 0, "unknown": 1, "additive": 2}
    changes = dict.fromkeys(_Comparison(old.document, new.document).changes())
    return sorted(changes, key=lambda change: (order[change.kind], change.where, change.what))


class _Comparison:
    """Two contracts, and what is known of both while their parts are compared."""

    def __init__(self, old: Json, new: Json) -> None:
        self.old = old
        self.new = new
        self.rewordings: Json = new["reviewed"]["rewordings"]
        self.renamed_rules: dict[str, str] = {}
        self.lifted_rules: set[str] = set()

    def changes(self) -> Iterator[Change]:
        if self.new["version"] < self.old["version"]:
            yield _breaking("version lowered", "version", "A contract's version only ever rises.")
        # Limits before errors: a rule that comes, goes or is renamed with its limit is told of once.
        for part in (
            self.roles, self.schemas, self.relations, self.functions, self.types, self.limits, self.inputs, self.rows,
            self.errors, self.jsonl, self.promises, self.payload, self.settings,
        ):  # fmt: skip
            yield from part()
        yield from self.words("python", "Python name", "An import of it fails.")
        yield from self.words("commands", "command", "Scripts that run it fail.")

    # Parts

    def roles(self) -> Iterator[Change]:
        old = {role: self.footprint(self.old, role) for role in self.old["roles"]}
        new = {role: self.footprint(self.new, role) for role in self.new["roles"]}
        lost = "Its members lose what it gave them."
        yield from _listed(
            old, new, lambda one, other: bool(one) and one == other, "role", lost, "Nobody was a member."
        )

    def footprint(self, document: Json, role: str) -> list[tuple[str, str]]:
        """What a role may use."""
        things = [item for part in ("schemas", "relations", "types", "functions") for item in document[part].items()]
        return sorted(
            (name, " ".join(each["used_by"][role]))
            for name, thing in things
            for each in (thing if isinstance(thing, list) else [thing])
            if role in each["used_by"]
        )

    def schemas(self) -> Iterator[Change]:
        old, new = self.old["schemas"], self.new["schemas"]
        for name in (yield from _listed(old, new, _never, "schema", "Everything in it is gone.", "Nobody used it.")):
            yield from self.meaning(name, old[name], new[name])
            yield from self.grants(name, old[name], new[name])

    def relations(self) -> Iterator[Change]:
        old, new = self.old["relations"], self.new["relations"]

        def alike(one: Json, other: Json) -> bool:
            return _names_and_types(one["columns"]) == _names_and_types(other["columns"])

        for name in (yield from _listed(old, new, alike, "relation", "Queries of it fail.", "Nobody read it before.")):
            one, other = old[name], new[name]
            if one["kind"] != other["kind"]:
                yield Change("unknown", "kind changed", name, f"A {one['kind']} has become a {other['kind']}.")
            yield from self.meaning(name, one, other)
            yield from self.grants(name, one, other)
            is_written = _is_written(one["used_by"]) and _is_written(other["used_by"])
            yield from self.columns(name, one["columns"], other["columns"], is_written=is_written)
            yield from self.checks(name, one.get("checks", {}), other.get("checks", {}))
            yield from self.protections(name, one, other)

    def protections(self, where: str, old: Json, new: Json) -> Iterator[Change]:
        """Keys, triggers and policies. Only the names of keys are anybody's business: errors carry them."""
        one, other = old.get("keys", {}), new.get("keys", {})
        kept, renamed, removed, added = _matched(one, other, _same)
        for name, now in renamed:
            yield _breaking("key renamed", f"{where} {name}", f"It is called {now}: who decides by its name is wrong.")
        for name in removed:
            yield _breaking("key removed", f"{where} {name}", f"What it ruled out may occur: {one[name]}.")
        for name in added:
            yield _breaking("key added", f"{where} {name}", f"What was taken may be refused: {other[name]}.")
        for name in kept:
            if one[name] != other[name]:
                yield Change("unknown", "key changed", f"{where} {name}", f"{one[name]} has become {other[name]}.")
        one, other = old.get("guards", {}), new.get("guards", {})
        kept, _, removed, added = _matched(one, other, _same)
        for name in kept:
            if other[name]["fires"] == "disabled" != one[name]["fires"]:
                removed.append(name)
            elif one[name] != other[name]:
                why = f"{_told(one[name])} has become {_told(other[name])}."
                yield Change("unknown", "guard changed", f"{where} {name}", why)
        for name in removed:
            yield _breaking(
                "guard removed", f"{where} {name}", "What it refused or set is not refused or set any more."
            )
        for name in added:
            why = f"What was taken may be refused, or changed: {_told(other[name])}."
            yield Change("unknown", "guard added", f"{where} {name}", why)
        one, other = old.get("policies", {}), new.get("policies", {})
        kept, _, removed, added = _matched(one, other, _same)
        for name in removed:
            yield _breaking("policy removed", f"{where} {name}", f"Other rows are seen or taken: {_told(one[name])}.")
        for name in added:
            why = f"Whether other rows are seen or taken can't be told: {_told(other[name])}."
            yield Change("unknown", "policy added", f"{where} {name}", why)
        for name in kept:
            if one[name] != other[name]:
                why = f"{_told(one[name])} has become {_told(other[name])}."
                yield Change("unknown", "policy changed", f"{where} {name}", why)
        how, now = old.get("row_security", "off"), new.get("row_security", "off")
        if how != now:
            why = f"Row security was {how} and is {now}: who sees whose rows has changed."
            yield _breaking("row security changed", where, why)

    def columns(
        self, where: str, old: list[Json], new: list[Json], *, noun: str = "column", is_written: bool = False
    ) -> Iterator[Change]:
        """What is read by name or by place: columns of relations, fields of types, and what functions return.

        Args:
            where: whose they are.
            old: as they were.
            new: as they are.
            noun: what one is called. Only columns of relations may be added, at the end.
            is_written: whether somebody may also insert or update.
        """
        before, after = _placed(old), _placed(new)

        def alike(one: tuple[int, Json], other: tuple[int, Json]) -> bool:
            same_meaning = bool(one[1].get("meaning")) and one[1]["meaning"] == other[1].get("meaning")
            return one[1]["type"] == other[1]["type"] and (one[0] == other[0] or same_meaning)

        kept, renamed, removed, added = _matched(before, after, alike)
        for name, now in renamed:
            yield _breaking(f"{noun} renamed", f"{where}.{name}", f"It is called {now}: what names it fails.")
        for name in removed:
            yield _breaking(f"{noun} removed", f"{where}.{name}", "What names it fails.")
        places = _places(before, after, kept, renamed)
        if places != sorted(places):
            now = ", ".join(each["name"] for each in new)
            yield _breaking(f"{noun}s reordered", where, f"By place one reads or writes another one; they are {now}.")
        for name in added:
            place, column = after[name]
            here = f"{where}.{name}"
            if is_written and column.get("null") is False and "default" not in column:
                yield _breaking(f"required {noun} added", here, "An insert without it fails.")
            elif place < max(places, default=-1):
                yield _breaking(f"{noun} added in the middle", here, "By place one reads or writes another one.")
            elif noun != "column":
                yield _breaking(f"{noun} added", here, "Clients read such rows as a whole, by place.")
            else:
                yield _additive(f"{noun} added", here, "It stands at the end.")
        for name in kept:
            yield from self.column(f"{where}.{name}", before[name][1], after[name][1], is_written, noun)

    def column(self, where: str, old: Json, new: Json, is_written: bool, noun: str) -> Iterator[Change]:
        yield from self.retyped(where, old["type"], new["type"], noun, is_read=True)
        if is_written:
            yield from self.retyped(where, old["type"], new["type"], noun, is_read=False)
        if old.get("null") is False and new.get("null") is True:
            yield _breaking(f"{noun} loosened", where, "It may be null, and was never null before.")
        if old.get("null") is True and new.get("null") is False:
            if is_written:
                yield _breaking(f"{noun} tightened", where, "A null that was taken is refused.")
            else:
                yield _additive(f"{noun} tightened", where, "It is never null any more.")
        if is_written and "default" in old and old["default"] != new.get("default"):
            why = f"What leaves it out gets {new.get('default', 'none')} instead of {old['default']}."
            yield _breaking("default changed", where, why)
        elif "default_for" in old and "default_for" in new:
            for role in old["default_for"]:
                if role not in new["default_for"]:
                    yield _breaking(
                        "grant taken", where, f"{role} may not use its default: an insert without it fails."
                    )
        yield from self.values(where, old.get("values"), new.get("values"))
        yield from self.meaning(where, old, new)

    def values(self, where: str, old: list[str] | None, new: list[str] | None) -> Iterator[Change]:
        if old is None or new is None:
            return
        for value in old:
            if value not in new:
                yield _breaking("closed set shrunk", where, f"{value} does not occur any more; who waits for it waits.")
        for value in new:
            if value not in old:
                yield _additive("closed set grown", where, f"{value} may occur.")

    def retyped(self, where: str, old: str, new: str, noun: str, *, is_read: bool) -> Iterator[Change]:
        if old == new:
            return
        width = self.width(old, new)
        said = f"{old} has become {new}"
        if width == "unknown":
            yield Change("unknown", f"{noun} retyped", where, f"{said}: which values differ can't be told.")
        elif is_read and width == "narrower":
            yield _additive(f"{noun} narrowed", where, f"{said}: every value fits where it did.")
        elif is_read and width != "same":
            why = "values that did not occur may" if width in ("wider", "grown") else "clients bind it by its type"
            yield _breaking(f"{noun} retyped", where, f"{said}: {why}.")
        elif width in ("wider", "grown"):
            yield _additive(f"{noun} widened", where, f"{said}: what was taken is taken.")
        elif width != "same":
            what = "narrowed" if width in ("narrower", "shrunk") else "retyped"
            yield _breaking(f"{noun} {what}", where, f"{said}: what was taken may be refused.")

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
        return _width(one["type"] if one else old, other["type"] if other else new)

    def functions(self) -> Iterator[Change]:
        old, new = self.old["functions"], self.new["functions"]

        def alike(one: list[Json], other: list[Json]) -> bool:
            shapes = [[(each["arguments"], each["returns"]) for each in overloads] for overloads in (one, other)]
            return bool(shapes[0] == shapes[1])

        for name in (yield from _listed(old, new, alike, "function", "Calls of it fail.", "Nobody called it before.")):
            yield from self.overloads(name, old[name], new[name])

    def overloads(self, name: str, old: list[Json], new: list[Json]) -> Iterator[Change]:
        def types(function: Json) -> str:
            return ", ".join(each["type"] for each in function["arguments"])

        left, right = list(old), list(new)
        pairs: list[tuple[Json, Json]] = []
        for is_exact in (True, False):
            for one in list(left):
                other = next((each for each in right if not is_exact or types(one) == types(each)), None)
                if other is not None:
                    pairs.append((one, other))
                    left.remove(one)
                    right.remove(other)
        for one, other in pairs:
            yield from self.function(name if len(old) == 1 else f"{name}({types(one)})", one, other)
        for one in left:
            yield _breaking("function removed", f"{name}({types(one)})", "Calls with these arguments fail.")
        for other in right:
            why = "Calls that were clear may have become ambiguous."
            yield Change("unknown", "overload added", f"{name}({types(other)})", why)

    def function(self, where: str, old: Json, new: Json) -> Iterator[Change]:
        if old.get("procedure", False) != new.get("procedure", False):
            yield _breaking("function retyped", where, "A function is selected, a procedure is called.")
        yield from self.arguments(where, old["arguments"], new["arguments"])
        one, other = old["returns"], new["returns"]
        if one["set"] != other["set"]:
            now = "rows where it returned one value" if other["set"] else "one value where it returned rows"
            yield _breaking("return retyped", where, f"It returns {now}.")
        if "columns" in one and "columns" in other:
            yield from self.columns(where, one["columns"], other["columns"], noun="return column")
        else:
            yield from self.retyped(where, one["type"], other["type"], "return", is_read=True)
        yield from self.meaning(where, old, new)
        yield from self.grants(where, old, new)

    def arguments(self, where: str, old: list[Json], new: list[Json]) -> Iterator[Change]:
        before, after = _placed(old), _placed(new)
        kept, renamed, removed, added = _matched(
            before, after, lambda one, other: one[0] == other[0] and one[1]["type"] == other[1]["type"]
        )
        for name, now in renamed:
            yield _breaking("argument renamed", f"{where}({name})", f"It is called {now}: calls that name it fail.")
        for name in removed:
            yield _breaking("argument removed", f"{where}({name})", "Calls that give it fail.")
        places = _places(before, after, kept, renamed)
        if places != sorted(places):
            yield _breaking("arguments reordered", where, "Calls by place give another one.")
        for name in added:
            place, argument = after[name]
            here = f"{where}({name})"
            if "default" not in argument:
                yield _breaking("argument added without default", here, "Calls that do not give it fail.")
            elif place < max(places, default=-1):
                yield _breaking("argument added in the middle", here, "Calls by place give it another's value.")
            else:
                yield _additive("argument added", here, "It stands at the end and has a default.")
        for name, now in [*((name, name) for name in kept), *renamed]:
            one, other = before[name][1], after[now][1]
            here = f"{where}({name})"
            yield from self.retyped(here, one["type"], other["type"], "argument", is_read=False)
            if one.get("variadic", False) != other.get("variadic", False):
                yield _breaking("argument retyped", here, "Whether it takes many values has changed.")
            if "default" in one and "default" not in other:
                yield _breaking("default removed", here, "Calls that leave it out fail.")
            elif "default" in one and one["default"] != other["default"]:
                why = f"Calls that leave it out mean {other['default']} instead of {one['default']}."
                yield _breaking("default changed", here, why)
            elif "default" in other and "default" not in one:
                yield _additive("default added", here, "It may be left out.")

    def types(self) -> Iterator[Change]:
        old, new = self.old["types"], self.new["types"]

        def alike(one: Json, other: Json) -> bool:
            return bool(one.get("columns") == other.get("columns") and one.get("values") == other.get("values"))

        for name in (yield from _listed(old, new, alike, "type", "What names it fails.", "Nobody used it.")):
            one, other = old[name], new[name]
            yield from self.columns(name, one.get("columns", []), other.get("columns", []), noun="field")
            yield from self.values(name, one.get("values"), other.get("values"))
            yield from self.meaning(name, one, other)
            yield from self.grants(name, one, other)

    def limits(self) -> Iterator[Change]:
        """Domains. Of one that has come or gone, the fields that have or had it tell."""
        old, new = self.old["limits"], self.new["limits"]
        for name in sorted(old.keys() & new.keys()):
            one, other = old[name], new[name]
            yield from self.retyped(name, one["type"], other["type"], "limit", is_read=False)
            if one["null"] and not other["null"]:
                yield _breaking("limit narrowed", name, "A null that was taken is refused.")
            if other["null"] and not one["null"]:
                yield _additive("limit widened", name, "A null is taken.")
            yield from self.checks(name, one["checks"], other["checks"])
            yield from self.meaning(name, one, other)

    def checks(self, where: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
        kept, renamed, removed, added = _matched(old, new, lambda one, other: bool(one == other))
        for name, now in renamed:
            self.renamed_rules[name] = now
            why = f"It is called {now}: who decides by the rule's name is wrong."
            yield _breaking("rule renamed", f"{where} {name}", why)
        for name in removed:
            self.lifted_rules.add(name)
            yield _additive("limit widened", f"{where} {name}", "Nothing is refused by it any more.")
        for name in added:
            yield _breaking("limit narrowed", f"{where} {name}", f"What was taken may be refused: {new[name]}.")
        for name in kept:
            if old[name] != new[name] and not _is_same_check(old[name], new[name]):
                kind, what, why = _check_change(old[name], new[name])
                yield Change(kind, f"limit {what}", f"{where} {name}", why)

    def inputs(self) -> Iterator[Change]:
        old, new = self.old["inputs"], self.new["inputs"]
        for what in (yield from _listed(old, new, _never, "input", "Nothing takes it.", "Nobody sent it.", "input {}")):
            before = {each["name"]: each for each in old[what]["fields"]}
            after = {each["name"]: each for each in new[what]["fields"]}
            for name, field in before.items():
                where = f"{what} field {name}"
                if name not in after:
                    yield _breaking("input field removed", where, "What gives it is refused.")
                    continue
                yield from self.retyped(where, field["type"], after[name]["type"], "input field", is_read=False)
                if after[name]["required"] and not field["required"]:
                    yield _breaking("input field tightened", where, "What leaves it out is refused.")
                if field["required"] and not after[name]["required"]:
                    yield _additive("input field loosened", where, "It may be left out.")
            for name, field in after.items():
                if name not in before and field["required"]:
                    yield _breaking("required input field added", f"{what} field {name}", "It has to be given.")
                elif name not in before:
                    yield _additive("input field added", f"{what} field {name}", "It may be left out.")
            yield from self.checks(what, old[what]["checks"], new[what]["checks"])

    def rows(self) -> Iterator[Change]:
        """Rows that are part of the contract: event types, kinds."""
        for table, old in self.old["rows"].items():
            new = self.new["rows"].get(table, {})
            lost = "It can't be written any more, and who waits for it waits."
            known = "Readers have to expect entries that they do not know."
            for name in (yield from _listed(old, new, _same, "entry", lost, known, table + "[{}]")):
                where = f"{table}[{name}]"
                yield from self.meaning(where, old[name], new[name])
                for column, value in old[name].items():
                    now = new[name].get(column)
                    if column != "meaning" and now != value:
                        yield _breaking("entry repurposed", where, f"Its {column} was {value} and is {now}.")

    def errors(self) -> Iterator[Change]:
        old, new = self.old["errors"], self.new["errors"]

        def alike(one: Json, other: Json) -> bool:
            return bool(one["class"]) and one["class"] == other["class"]

        kept, renamed, removed, added = _matched(old, new, alike)
        for code, now in renamed:
            yield _breaking("SQLSTATE renamed", f"error {code}", f"It is {now}: who decides by the code is wrong.")
        for code in removed:
            yield _breaking("SQLSTATE removed", f"error {code}", "Who decides by it never meets it.")
        for code in added:
            yield _additive("SQLSTATE added", f"error {code}", "Readers have to expect codes that they do not know.")
        for code in kept:
            one, other = old[code]["class"], new[code]["class"]
            if one and one != other:
                yield _breaking("error class renamed", f"error {code}", f"{one} is {other}: no except clause finds it.")
        before = {(rule, code) for code, entry in old.items() for rule in entry["rules"] if code not in removed}
        after = {(rule, code) for code, entry in new.items() for rule in entry["rules"]}
        codes = {**{code: code for code in kept}, **dict(renamed)}
        told: set[tuple[str, str]] = {(rule, code) for rule, code in after if code in dict(renamed).values()}
        for rule, code in sorted(before):
            where = f"rule {rule} ({code})"
            others = sorted(each for each in new if (rule, each) in after and (rule, each) not in before)
            if (rule, codes[code]) in after:
                for place in old[code]["rules"][rule]:
                    if place not in new[codes[code]]["rules"][rule]:
                        yield _breaking("rule removed", where, f"The {place} does not raise it any more.")
            elif others:
                told.update((rule, each) for each in others)
                why = f"It comes with {', '.join(others)}: who decides by the code is wrong."
                yield _breaking("rule given another SQLSTATE", where, why)
            elif rule in self.lifted_rules:
                yield _additive("rule removed with its limit", where, "What it refused is taken.")
            elif rule not in self.renamed_rules:
                yield _breaking("rule removed", where, "Nothing raises it by this name: who decides by it is wrong.")
        for rule, code in sorted(after - before - told):
            if rule not in self.renamed_rules.values():
                why = "Readers have to expect rules that they do not know."
                yield _additive("rule added", f"rule {rule} ({code})", why)

    def jsonl(self) -> Iterator[Change]:
        old, new = self.old["jsonl"], self.new["jsonl"]
        lost = "There are no such lines any more."
        for what in (yield from _listed(old, new, _never, "JSONL shape", lost, "Nobody used it before.", "jsonl {}")):
            one, other = old[what], new[what]
            is_read = one["direction"] == "out"
            before, after = _placed(one["fields"]), _placed(other["fields"])
            kept, renamed, removed, added = _matched(
                before, after, lambda a, b: a[0] == b[0] and _same_json(a[1], b[1])
            )
            for name, now in renamed:
                yield _breaking("JSONL field renamed", f"jsonl {what}.{name}", f"It is called {now}.")
            for name in [*removed, *(set(one.get("ignored", [])) - set(other.get("ignored", [])) - set(after))]:
                why = "Lines do not hold it any more." if is_read else "Lines that hold it are refused."
                yield _breaking("JSONL field removed", f"jsonl {what}.{name}", why)
            places = _places(before, after, kept, renamed)
            if is_read and places != sorted(places):
                yield _breaking("JSONL fields reordered", f"jsonl {what}", "The text of a line is what is hashed.")
            for name in added:
                field = after[name][1]
                if field.get("required"):
                    yield _breaking(
                        "required JSONL field added", f"jsonl {what}.{name}", "Lines without it are refused."
                    )
                elif field.get("always"):
                    why = "Lines of older events get another text, and with it another hash."
                    yield _breaking("required JSONL field added", f"jsonl {what}.{name}", why)
                else:
                    yield _additive("JSONL field added", f"jsonl {what}.{name}", "Lines may lack it.")
            for name in kept:
                yield from self.line_field(f"jsonl {what}.{name}", before[name][1], after[name][1], is_read=is_read)

    def line_field(self, where: str, old: Json, new: Json, *, is_read: bool) -> Iterator[Change]:
        before, after = (set(each["type"].split(" or ")) for each in (old, new))
        if is_read and after < before:
            yield _additive("JSONL field narrowed", where, f"{old['type']} has become {new['type']}.")
        elif not is_read and after > before:
            yield _additive("JSONL field widened", where, f"{old['type']} has become {new['type']}.")
        elif before != after:
            yield _breaking("JSONL field retyped", where, f"{old['type']} has become {new['type']}.")
        if new.get("required") and not old.get("required"):
            yield _breaking("JSONL field tightened", where, "Lines without it are refused.")
        if old.get("required") and not new.get("required"):
            yield _additive("JSONL field loosened", where, "It may be left out.")
        if old.get("always") and not new.get("always"):
            yield _breaking("JSONL field loosened", where, "Lines may lack it.")
        if new.get("always") and not old.get("always"):
            yield _additive("JSONL field tightened", where, "Every line holds it.")

    def payload(self) -> Iterator[Change]:
        old, new = self.old["by_hand"]["payload"], self.new["by_hand"]["payload"]

        def alike(one: Json, other: Json) -> bool:
            return all(one[key] == other[key] for key in ("type", "of", "meaning"))

        lost = "What says it counts for nothing, without an error."
        for name in (
            yield from _listed(old, new, alike, "payload field", lost, "It meant nothing before.", "payload {}")
        ):
            one, other = old[name], new[name]
            where = f"payload {name}"
            if one["type"] != other["type"]:
                yield _breaking("payload field retyped", where, f"{one['type']} has become {other['type']}.")
            for each in one["of"]:
                if each not in other["of"]:
                    yield _breaking("payload field repurposed", where, f"It is not read in {each} any more.")
            for each in other["of"]:
                if each not in one["of"]:
                    why = f"It means something in {each}, where it meant nothing."
                    yield Change("unknown", "payload field repurposed", where, why)
            for each in one["read_by"]:
                if each not in other["read_by"]:
                    yield _breaking("payload field repurposed", where, f"{each} does not tell of it any more.")
            yield from self.meaning(where, one, other)

    def promises(self) -> Iterator[Change]:
        old, new = self.old["by_hand"]["promises"], self.new["by_hand"]["promises"]
        lost = "What kept it is not there any more."
        for name in (yield from _listed(old, new, _same, "promise", lost, "Nobody relied on it.", "promise {}")):
            yield from self.meaning(f"promise {name}", old[name], new[name])

    def settings(self) -> Iterator[Change]:
        old, new = self.old["by_hand"]["settings"], self.new["by_hand"]["settings"]
        lost = "Setting it has no effect, without an error."
        for name in (yield from _listed(old, new, _same, "setting", lost, "Nobody set it before.", "setting {}")):
            yield from self.meaning(f"setting {name}", old[name], new[name])

    def words(self, part: str, noun: str, lost: str) -> Iterator[Change]:
        old, new = dict.fromkeys(self.old[part]), dict.fromkeys(self.new[part])
        yield from _listed(old, new, _never, noun, lost, "Nobody used it before.", noun + " {}")

    # What all things have

    def meaning(self, where: str, old: Json, new: Json) -> Iterator[Change]:
        one, other = (" ".join((each.get("meaning") or "").split()) for each in (old, new))
        if one == other:
            return
        if old.get("values") != new.get("values") and _LIST.sub("", one, count=1) == _LIST.sub("", other, count=1):
            return  # The values have been told of.
        if not one:
            yield _additive("meaning added", where, "It said nothing before.")
        elif self.rewordings.get(where) == other:
            yield _additive("reworded", where, "Reviewed: it means what it meant.")
        else:
            yield _breaking("meaning changed", where, f"It was “{one}” and is “{other}”.")

    def grants(self, where: str, old: Json, new: Json) -> Iterator[Change]:
        # Roles that have come or gone have been told of.
        for role in sorted(set(self.old["roles"]) & set(self.new["roles"])):
            before, after = (_granted(each["used_by"].get(role, [])) for each in (old, new))
            names = [{column["name"] for column in each.get("columns", [])} for each in (old, new)]
            for privilege, columns in before.items():
                if privilege not in after:
                    yield _breaking("grant taken", where, f"{role} had {privilege}.")
                    continue
                now = after[privilege]
                if now is None:
                    continue
                # Columns that have come or gone have been told of.
                lost = sorted(names[1] - now) if columns is None else sorted((columns - now) & names[1])
                if lost:
                    yield _breaking("grant taken", where, f"{role} had {privilege} of {', '.join(lost)}.")
                elif privilege == "select" and columns is not None and columns >= names[0] and not now >= names[1]:
                    more = ", ".join(sorted(names[1] - now))
                    yield _breaking("ungranted column added", where, f"{role} may not read {more}: select * fails.")
            for privilege, columns in after.items():
                was = before.get(privilege, set())
                if privilege not in before or (was is not None and (columns is None or (columns - was) & names[0])):
                    yield _additive("grant added", where, f"{role} has {privilege}.")


def _granted(privileges: Iterable[str]) -> dict[str, set[str] | None]:
    """By privilege the columns it is granted for, ``select(a, b)``; ``None`` for the whole."""
    found: dict[str, set[str] | None] = {}
    for each in privileges:
        name, _, columns = each.partition("(")
        found[name] = set(columns.rstrip(")").split(", ")) if columns else None
    return found


def _told(thing: Json) -> str:
    return ", ".join(f"{key} {value}" for key, value in thing.items() if value is not None)


def _breaking(what: str, where: str, why: str) -> Change:
    return Change("breaking", what, where, why)


def _additive(what: str, where: str, why: str) -> Change:
    return Change("additive", what, where, why)


def _never(_one: object, _other: object) -> bool:
    return False


def _same(one: object, other: object) -> bool:
    return one == other


def _same_json(one: Json, other: Json) -> bool:
    return one["type"] == other["type"] or "any" in (one["type"], other["type"])


def _is_written(used_by: Mapping[str, Sequence[str]]) -> bool:
    return any(each.startswith(("insert", "update")) for all_ in used_by.values() for each in all_)


def _names_and_types(columns: Iterable[Json]) -> list[tuple[str, str]]:
    return [(each["name"], each["type"]) for each in columns]


def _matched(
    old: Mapping[str, Any], new: Mapping[str, Any], alike: Callable[[Any, Any], bool]
) -> tuple[list[str], list[tuple[str, str]], list[str], list[str]]:
    """What kept its name, what was renamed, what is gone and what is new. A renaming has to be evident: one to one."""
    kept = [name for name in old if name in new]
    gone = [name for name in old if name not in new]
    fresh = [name for name in new if name not in old]
    renamed = []
    for name in list(gone):
        candidates = [each for each in fresh if alike(old[name], new[each])]
        rivals = [each for each in gone if candidates and alike(old[each], new[candidates[0]])]
        if len(candidates) == 1 and len(rivals) == 1:
            renamed.append((name, candidates[0]))
            gone.remove(name)
            fresh.remove(candidates[0])
    return kept, renamed, gone, fresh


def _listed(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    alike: Callable[[Any, Any], bool],
    noun: str,
    lost: str,
    gained: str,
    place: str = "{}",
) -> Generator[Change, None, list[str]]:
    """Tells of what was renamed, removed and added, and returns the names of what stayed."""
    place = (
        place if place != "{}" or " " in noun or noun in ("relation", "function", "type", "schema") else noun + " {}"
    )
    kept, renamed, removed, added = _matched(old, new, alike)
    for name, now in renamed:
        yield _breaking(f"{noun} renamed", place.format(name), f"It is called {now}. {lost}")
    for name in removed:
        yield _breaking(f"{noun} removed", place.format(name), lost)
    for name in added:
        yield _additive(f"{noun} added", place.format(name), gained)
    return kept


def _placed(items: Sequence[Json]) -> dict[str, tuple[int, Json]]:
    """By name, with their places; what has no name is called by its place, as in SQL."""
    return {each["name"] or f"${place + 1}": (place, each) for place, each in enumerate(items)}


def _places(
    old: Mapping[str, tuple[int, Json]],
    new: Mapping[str, tuple[int, Json]],
    kept: Iterable[str],
    renamed: Iterable[tuple[str, str]],
) -> list[int]:
    """Where those that stayed are now, in the order in which they were."""
    names = {**{name: name for name in kept}, **dict(renamed)}
    return [new[names[name]][0] for name in old if name in names]


# Types and limits

_CHAINS: Final = (
    ("smallint", "integer", "bigint", "numeric"),
    ("real", "double precision"),
    ("character varying", "text"),
)


def _width(old: str, new: str) -> str:
    """How a built-in type compares with another one; what can't be told is another type."""
    one, other = _parsed_type(old), _parsed_type(new)
    if one[2] != other[2]:
        return "other"
    if one[0] == other[0]:
        return _modifier_width(one[0], one[1], other[1])
    for chain in _CHAINS:
        if one[0] in chain and other[0] in chain:
            grows = chain.index(one[0]) < chain.index(other[0])
            bounded = other[1] if grows else one[1]
            if bounded and chain[-1] in ("numeric",):
                return "other"
            return "grown" if grows else "shrunk"
    return "other"


def _modifier_width(base: str, old: tuple[int, ...], new: tuple[int, ...]) -> str:
    """Of one type with two modifiers: ``numeric(38,3)`` and ``numeric(20,3)``, for example."""
    if old == new:
        return "same"
    if base == "numeric" and old and new:
        (digits, scale), (digits_now, scale_now) = (*old, 0)[:2], (*new, 0)[:2]
        if scale == scale_now:
            return "wider" if digits_now > digits else "narrower"
        return "other"
    if base not in ("numeric", "character varying"):
        return "other"
    if not old:
        return "other" if base == "numeric" else "narrower"
    if not new:
        return "wider"
    return "wider" if new[0] > old[0] else "narrower"


def _parsed_type(type_: str) -> tuple[str, tuple[int, ...], str]:
    match = re.fullmatch(r"([^(\[]+?)(?:\(([\d,]+)\))?((?:\[\])*)", type_)
    if match is None:
        return type_, (), ""
    return match[1], tuple(int(each) for each in (match[2] or "").split(",") if each), match[3]


def _is_same_check(old: str, new: str) -> bool:
    """Whether two texts say the same: a set in another order, for example."""
    atoms = _atoms(old)
    return atoms is not None and atoms == _atoms(new)


def _check_change(old: str, new: str) -> tuple[Kind, str, str]:
    """Whether a check takes less (narrowed), more (widened), or can't be judged, and why."""
    one, other = _atoms(old), _atoms(new)
    unknown: tuple[Kind, str, str] = ("unknown", "changed", f"Whether it takes less can't be told: {old}, {new}.")
    if one is None or other is None:
        return unknown
    less = [f"{name} is bound" for name, side in other if (name, side) not in one]
    more = [f"{name} is not bound" for name, side in one if (name, side) not in other]
    for key in one.keys() & other.keys():
        name, side = key
        if one[key] == other[key]:
            continue
        if side == "in":
            gone, come = sorted(one[key] - other[key]), sorted(other[key] - one[key])
            less += [f"{', '.join(gone)} is refused"] if gone else []
            more += [f"{', '.join(come)} is taken"] if come else []
            continue
        (limit, closed), (limit_now, closed_now) = one[key], other[key]
        if type(limit) is not type(limit_now):
            return unknown
        if side == "below":
            grows = (limit_now, closed_now) > (limit, closed)
        else:
            grows = (limit_now, not closed_now) < (limit, not closed)
        (more if grows else less).append(f"the limit of {name} was {limit} and is {limit_now}")
    if less:
        return "breaking", "narrowed", f"It takes less: {'; '.join(sorted(less))}."
    return "additive", "widened", f"It takes more: {'; '.join(sorted(more))}."


def _atoms(definition: str) -> dict[tuple[str, str], Any] | None:
    """A check as a conjunction of bounds and closed sets, or ``None`` if it is something else."""
    match = re.fullmatch(r"CHECK \((.*)\)(?: NO INHERIT)?", definition, re.DOTALL)
    if match is None:
        return None
    found: dict[tuple[str, str], Any] = {}
    for part in _conjuncts(match[1]):
        key, value = _atom(part)
        if key is None or key in found:
            return None
        found[key] = value
    return found


def _unwrapped(text: str) -> str:
    """Without the parentheses around the whole."""
    text = text.strip()
    while text.startswith("(") and _closes(text) == len(text) - 1:
        text = text[1:-1].strip()
    return text


def _closes(text: str) -> int:
    """Where the parenthesis ends that a text begins with; they come in pairs, also in literals."""
    depth = 0
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return place
    return -1


def _conjuncts(text: str) -> list[str]:
    text = _unwrapped(text)
    parts, depth, start = [], 0, 0
    quoted = False
    for place, character in enumerate(text):
        quoted ^= character == "'"
        if not quoted:
            depth += (character in "([") - (character in ")]")
            if depth == 0 and text.startswith(" AND ", place):
                parts.append(text[start:place])
                start = place + 5
    parts.append(text[start:])
    return [text] if len(parts) == 1 else [each for part in parts for each in _conjuncts(part)]


_LITERAL: Final = r"\(?'?([^'()]*)'?\)?(?:::[a-z ]+)?"
_OPERAND: Final = r"((?:\w+\()*\(*\"?\w+\"?\)*(?:::[a-z_. ]+)?\)*)"


def _atom(text: str) -> tuple[tuple[str, str] | None, Any]:
    text = _unwrapped(text)
    bound = re.fullmatch(rf"{_OPERAND} (<=|>=|<|>) {_LITERAL}", text)
    if bound is not None:
        limit: Decimal | str
        try:
            limit = Decimal(bound[3])
        except InvalidOperation:
            if not re.match(r"\d{4}-\d\d-\d\d", bound[3]):
                return None, None
            limit = bound[3]
        return (bound[1], "below" if bound[2].startswith("<") else "above"), (limit, bound[2].endswith("="))
    listed = re.fullmatch(rf"{_OPERAND} = ANY \(+ARRAY\[(.*)\]\)*(?:::[a-z ]+\[\])?\)*", text, re.DOTALL)
    if listed is not None:
        return (listed[1], "in"), frozenset(re.findall(r"'((?:[^']|'')*)'", listed[2]))
    single = re.fullmatch(rf"{_OPERAND} = '((?:[^']|'')*)'(?:::[a-z ]+)?", text)
    if single is not None:
        return (single[1], "in"), frozenset([single[2]])
    return None, None
