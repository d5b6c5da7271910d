"""Reading a contract from a database and from this package: what they really offer."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import psycopg

from aximo_db.client.errors import register
from aximo_db.contract.document import Contract, Json, shipped_contract
from aximo_db.dba.assets import install_script, named_statements
from aximo_db.dba.catalog import NEUTRAL

__all__ = ["read_contract"]

_HERE: Final = Path(__file__).resolve().parent
_STATEMENTS: Final = named_statements("contract/read.sql")
#: What is kept as null if there is none; anything else is left out.
_KEPT: Final = frozenset({"name", "meaning", "using", "check"})
_WORD: Final = re.compile(r"'(\w+)'")
#: The closed set that a comment begins with: "a, b or c." or "a or b; c if …".
DOCUMENTED_VALUES: Final = re.compile(r"([a-z_]+(?:, [a-z_]+)* or [a-z_]+)(?:; ([a-z_]+) if [^.]*)?(?=[.;])")


def read_contract(connection: psycopg.Connection[Any], name: str, base: Contract | None = None) -> Contract:
    """What a database, and this package, really offer.

    What is written by hand comes from ``base``, without what can't be found in the database's code any more. It needs
    no other rights than to read the tables whose rows belong to the contract, and is the same whoever looks and on
    every server version.

    Args:
        connection: to the database.
        name: which contract.
        base: what to go by; the one that is shipped, if left out.

    Raises:
        ValueError: there is no contract of that name, or ``base`` is another one.
        psycopg.errors.InsufficientPrivilege: the login may not read the rows of the contract.
    """
    base = base if base is not None else shipped_contract(name)
    if base.name != name:
        raise ValueError(f"this is contract {base.name}, not {name}")
    with connection.transaction():
        for setting, value in NEUTRAL:
            connection.execute("select set_config(%s, %s, true)", (setting, value))
        return Contract(_Reader(connection, base).document())


class _Reader:
    """Looks at one database for one contract."""

    def __init__(self, connection: psycopg.Connection[Any], base: Contract) -> None:
        self.connection = connection
        self.base = base.document
        self.scope: Json = base.document["by_hand"]["scope"]
        tables = [each.get("table") for part in ("inputs", "jsonl") for each in self.scope[part].values()]
        tables += self.scope["rows"]
        self.values: Json = {key: self.scope[key] for key in ("schemas", "support", "except")}
        self.values |= {"tables": tables, **self.scope["roles"]}
        self.values["roles"] = [name for (name,) in self.rows("roles")]
        self.tables: Json = dict(self.things("relations"))
        self.code: dict[str, str] = {}
        for place, text in self.rows("code"):
            self.code[place] = self.code.get(place, "") + "\n" + re.sub(r"--[^\n]*", "", text)
        self.everything = "\n".join(self.code.values())

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(_STATEMENTS[statement].encode(), self.values).fetchall()

    def things(self, statement: str) -> Iterator[tuple[str, Json]]:
        for name, text in self.rows(statement):
            yield name, json.loads(text, object_hook=_without_nulls)

    def document(self) -> Json:
        version = self.scope["schema_version"]
        relations, functions = self.relations(), self.functions()
        inputs = self.inputs(functions)
        limits = self.limits(relations, inputs)
        found = {
            "contract": self.base["contract"],
            "version": self.base["version"],
            "schema_version": self.connection.execute(f"select {version}()").fetchall()[0][0] if version else 0,
            "reviewed": self.base["reviewed"],
            "by_hand": {},
            "roles": self.values["roles"],
            "schemas": dict(self.things("schemas")),
            "relations": relations,
            "functions": functions,
            "types": {
                name: each for name, each in self.things("types") if each["used_by"] or name in self.base["types"]
            },
            "limits": limits,
            "inputs": inputs,
            "rows": {table: self.rows_of(table, key) for table, key in self.scope["rows"].items()},
            "errors": self.errors(inputs, limits),
            "jsonl": self.jsonl(limits),
            "python": sorted(import_module(self.scope["package"]).__all__) if self.scope["package"] else [],
            "commands": _commands(self.scope["commands"]) if self.scope["commands"] else [],
        }
        found["by_hand"] = self.by_hand(Contract(found))
        return found

    def relations(self) -> Json:
        found: Json = {}
        for name, relation in self.tables.items():
            is_ours = name.split(".")[0] in self.scope["schemas"]
            if is_ours and (relation["used_by"] or name in self.base["relations"]):
                privileges = [each for given in relation["used_by"].values() for each in given]
                is_written = any(each.startswith(("insert", "update")) for each in privileges)
                columns = [self.column(name, each, is_written=is_written) for each in relation["columns"]]
                found[name] = {**relation, "columns": columns}
        return found

    def column(self, relation: str, column: Json, *, is_written: bool) -> Json:
        """A column as the contract tells of it. Where the view itself says most of its values, it has to say all."""
        match = DOCUMENTED_VALUES.match(column["meaning"] or "")
        values = re.split(r", | or ", match[1]) + [match[2]] * bool(match[2]) if match else []
        said = set(_WORD.findall(self.code.get(relation, "")))
        if len(said.intersection(values)) > 1:
            values = [each for each in values if each in said]
        left_out = {"values"} if not values else set()
        left_out |= {"default", "default_for"} if not is_written else set()
        return {key: value for key, value in {**column, "values": values}.items() if key not in left_out}

    def functions(self) -> Json:
        found: Json = {}
        for name, function in self.things("functions"):
            if function["used_by"] or name in self.base["functions"]:
                found.setdefault(name, []).append(function)
        return found

    def inputs(self, functions: Json) -> Json:
        found: Json = {}
        for what, where in self.scope["inputs"].items():
            table = self.tables.get(where["table"], {"columns": []})
            arguments = functions[where["function"]][0]["arguments"] if where["function"] in functions else []
            may_lack = {each["name"]: "default" in each for each in arguments}
            limited = self.limited(where)
            fields = [
                {
                    "name": each["name"],
                    "type": limited.get(each["name"], each["type"]),
                    "required": not each["null"] and "default" not in each and not may_lack.get(each["name"], False),
                }
                for each in table["columns"]
                if not where["function"] or each["name"] in may_lack
            ]
            found[what] = {
                "fields": sorted(fields, key=lambda each: str(each["name"])),
                "checks": table.get("checks", {}),
            }
        return found

    def limited(self, where: Json) -> dict[str, str]:
        """The limits of fields, where a function that tries them lists them and the columns have plain types."""
        text = self.code.get(where.get("limits_in", ""), "")
        return dict(re.findall(r"\('(\w+)', '\w+', '([\w.]+)'\)", text))

    def limits(self, relations: Json, inputs: Json) -> Json:
        """The domains that somebody meets."""
        used = {column["type"] for each in relations.values() for column in each["columns"]}
        used |= {field["type"] for each in inputs.values() for field in each["fields"]}
        every = self.rows("limits")
        return {name: json.loads(text) for name, text, is_used in every if is_used or name in used}

    def rows_of(self, table: str, key: str) -> Json:
        """The rows by their key; of a key of several columns these with a blank between them."""
        if table not in self.tables:
            return {}
        schema, name = table.split(".")
        columns = key.split(", ")
        text = ", ".join(f't."{column}"' for column in columns)
        query = f'select concat_ws(\' \', {text}), to_jsonb(t) - %s::text[] from "{schema}"."{name}" as t'
        found: dict[str, Json] = dict(self.connection.execute(query, (columns,)).fetchall())
        return {each: dict(sorted(found[each].items())) for each in sorted(found)}

    def errors(self, inputs: Json, limits: Json) -> Json:
        """The codes and where their rules are raised: what the code says, and what is registered and still found."""
        is_package = bool(self.scope["package"])
        classes = {code: each.__name__ for code, each in register.items()} if is_package else {}
        registered = [code for code in self.base["errors"] if code in classes or not is_package]
        found: dict[str, dict[str, set[str]]] = {code: {} for code in {*classes, *registered}}
        for rule, code, place in self.raised(inputs, limits):
            found.setdefault(code, {}).setdefault(rule, set()).add(place)
        for code in registered:
            for rule in self.base["errors"][code]["rules"]:
                elsewhere = {place for rules in found.values() for place in rules.get(rule, ())}
                if places := self.places_that_say(rule, elsewhere):
                    found[code].setdefault(rule, set()).update(places)
        return {
            code: {"class": classes.get(code), "rules": {rule: sorted(rules[rule]) for rule in sorted(rules)}}
            for code, rules in sorted(found.items())
        }

    def raised(self, inputs: Json, limits: Json) -> Iterator[tuple[str, str, str]]:
        """Rule, code and place, where both are named."""
        for text in self.code.values():
            yield from ((rule, code, "database") for code, rule in _raised_in_sql(text))
        types = {field["type"] for each in inputs.values() for field in each["fields"]}
        checks = [limits[name]["checks"] for name in types & limits.keys()]
        for each in [*checks, *(each["checks"] for each in inputs.values())]:
            yield from ((rule, self.scope["limits_code"], "database") for rule in each)
        if self.scope["package"]:
            yield from ((rule, code, "installation") for code, rule in _raised_in_sql(_installation()))
            for text in _of_vault():
                yield from ((rule, code, "package") for code, rule in _raised_in_sql(text))
            codes = {each.__name__: code for code, each in register.items()}
            yield from ((rule, codes[name], "package") for name, rule in _raised_in_package() if name in codes)

    def places_that_say(self, rule: str, elsewhere: set[str]) -> set[str]:
        """Where a registered rule is found; what the database raises with another code is not what was registered."""
        places = set()
        if "database" not in elsewhere and any(_says(text, rule) for text in self.code.values()):
            places.add("database")
        if self.scope["package"] and rule in _words_of_package():
            places.add("package")
        if self.scope["package"] and not places | elsewhere and _says(_installation(), rule):
            places.add("installation")
        return places

    def jsonl(self, limits: Json) -> Json:
        found: Json = {}
        for what, where in self.scope["jsonl"].items():
            takes = self.code.get(where.get("taken_by", ""), self.everything)
            if "fields_of" in where:
                fields = _fields_of(where["fields_of"], is_read=where["direction"] == "out")
            elif "line_of" in where:
                fields = self.line(where, limits)
            else:
                fields = [each for each in where["fields"] if f"'{each['name']}'" in takes]
            found[what] = {"direction": where["direction"], "fields": fields}
            if "ignored" in where:
                is_kept = "taken_by" not in where
                found[what]["ignored"] = [each for each in where["ignored"] if is_kept or f"'{each}'" in takes]
        return found

    def line(self, where: Json, limits: Json) -> list[Json]:
        """The keys of a line, in their order, by the text of the function that writes it.

        Args:
            where: that function, the table whose rows it writes, and the columns of keys that are called otherwise.
            limits: the domains.
        """
        limited, table = self.limited(where), self.tables.get(where["table"], {"columns": []})
        columns = {each["name"]: each for each in table["columns"]}
        checks = " ".join(table.get("checks", {}).values())
        parts = re.split(r"\"(\w+)\":", self.code.get(where["line_of"], ""))
        fields = []
        for key, written in zip(parts[1::2], parts[2::2], strict=True):
            name = where.get("called", {}).get(key, key)
            column = columns.get(name)
            if column is None:
                fields.append({"name": key, "type": "any", "always": False})
                continue
            limit = limited.get(name, column["type"])
            type_ = _json_type(limit, limits)
            said = re.search(rf"jsonb_typeof\({name}\) = '(\w+)'", checks) if type_ == "any" else None
            type_ = said[1] if said else type_
            # Written as null where there is nothing, and not left out.
            is_null = column["null"] and "'null'" in written
            is_always = is_null or not column["null"] or not limits.get(limit, {"null": True})["null"]
            type_ = f"{type_} or null" if is_null and type_ != "any" else type_
            fields.append({"name": key, "type": type_, "always": is_always})
        return fields

    def by_hand(self, found: Contract) -> Json:
        """What is written by hand and is still true: what it speaks of is there, and the code says it."""
        hand = self.base["by_hand"]

        def said(entries: Json) -> Iterator[tuple[str, Json]]:
            for name, entry in entries.items():
                places = entry["found_in"].items()
                # Of a place that is gone, whether any other has it.
                if all(text in self.code.get(place, self.everything) for place, text in places):
                    yield name, entry

        payload = {}
        for name, entry in said(hand["payload"]):
            missing = found.missing("payload", entry)
            kept = {part: [each for each in entry[part] if each not in missing] for part in ("of", "read_by")}
            payload[name] = {**entry, **kept}
        promises = {name: entry for name, entry in said(hand["promises"]) if not found.missing("promises", entry)}
        settings = {name: entry for name, entry in hand["settings"].items() if f"'{name}'" in self.everything}
        return {"scope": self.scope, "promises": promises, "payload": payload, "settings": settings}


def _without_nulls(thing: Json) -> Json:
    return {key: value for key, value in thing.items() if value is not None or key in _KEPT}


# Rules: in the code of functions, and in that of the package


def _raised_in_sql(text: str) -> Iterator[tuple[str, str]]:
    """Code and rule, where a function names both."""
    for match in re.finditer(r"raise exception using(.*?);", text, re.DOTALL | re.IGNORECASE):
        code = re.search(r"errcode = '(\w{5})'", match[1])
        rule = re.search(r"constraint = (?:'(\w+)'|(\w+))\s*(?:,\s+\w+ = |$)", match[1])
        if code and rule:
            # A variable, or the rule itself.
            rules = re.findall(rf"\b{rule[2]} := '(\w+)'", text) if rule[2] else [rule[1]]
            yield from ((code[1], each) for each in rules)


def _says(text: str, rule: str) -> bool:
    """Whether code gives out a rule's name, or makes it of its parts; that it compares with it is not enough."""
    given = rf"(?:\bconstraint = |:= |\bthen |\belse |\breturn |coalesce\([^\n]*, )'{rule}'"
    if f"'{rule}'" in text and re.search(given, text, re.IGNORECASE):
        return True
    words = _words(text)
    for word in words:
        if word.startswith("_") and rule.endswith(word) and rule.removesuffix(word) in words:
            return True
        match = re.fullmatch(word.replace("%s", "(.+)"), rule) if "%s" in word else None
        if match and words.issuperset(match.groups()):
            return True
    return False


@lru_cache(maxsize=1000)
def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"'([\w%]+)'", text))


@cache
def _sources() -> Sequence[str]:
    """The texts of the package, but of this one."""
    paths = sorted(_HERE.parent.rglob("*.py"))
    return [path.read_text(encoding="utf-8") for path in paths if _HERE not in path.parents]


@cache
def _words_of_package() -> frozenset[str]:
    return frozenset(word for text in _sources() for word in re.findall(r"\"(\w+)\"", text))


@cache
def _raised_in_package() -> Sequence[tuple[str, str]]:
    """The class and the rule of every error that the package makes itself with a rule that it names."""
    made = r"\b([A-Z]\w+)\((?:(?![A-Z]\w+Error\()(?!\n\n\w).)*?\brule=\"([a-z0-9]+_\w+)\""
    return [each for text in _sources() for each in re.findall(made, text, re.DOTALL)]


@cache
def _of_vault() -> Sequence[str]:
    """The SQL of the other database that the package makes: the vault's."""
    return [path.read_text(encoding="utf-8") for path in sorted(_HERE.parent.glob("vault/*.sql"))]


@cache
def _installation() -> str:
    """What only runs while the schema is installed or upgraded."""
    from aximo_db.dba.revisions import locks, preparation

    blocks = re.findall(r"^do \$\$(.*?)^\$\$;", install_script(), re.DOTALL | re.MULTILINE)
    return "\n".join([*blocks, preparation(None), locks(())])


# Lines and commands


def _fields_of(path: str, *, is_read: bool) -> list[Json]:
    """The fields of a dataclass as those of a JSON object: a line that is read has them all, some of them null."""
    names = {"str": "string", "UUID": "string", "datetime": "string", "int": "number", "float": "number"}
    names |= {"bool": "boolean", "Mapping[str, Any]": "object", "dict[str, Any]": "object"}
    found: list[Json] = []
    for field in dataclasses.fields(_object_at(path)):
        parts = [each.strip() for each in str(field.type).split("|")]
        types = [names.get(each, "any") for each in parts if each != "None"]
        if is_read:
            types += ["null"] * ("None" in parts)
            found.append({"name": field.name, "type": " or ".join(types), "always": True})
        else:
            is_required = field.default is field.default_factory is dataclasses.MISSING
            found.append({"name": field.name, "type": " or ".join(types), "required": is_required})
    return found


def _object_at(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def _json_type(type_: str, limits: Json) -> str:
    """The JSON type that a column's value has in a line."""
    limit = limits.get(type_, {"type": type_, "checks": {}})
    if limit["type"] in ("json", "jsonb"):
        said = re.search(r"jsonb_typeof\(.*?\) = '(\w+)'", " ".join(limit["checks"].values()))
        return said[1] if said else "any"
    if re.match(r"smallint|integer|bigint|real|double precision|numeric", limit["type"]):
        return "number"
    return "boolean" if limit["type"] == "boolean" else "string"


def _commands(path: str) -> list[str]:
    """The names of the commands of a typer application; those of a group with the group's name before them."""
    from typer.main import get_command

    def names(command: Any, prefix: str) -> Iterator[str]:
        for name, each in command.commands.items():
            if not each.hidden:
                yield from names(each, f"{prefix}{name} ") if hasattr(each, "commands") else [prefix + name]

    return sorted(names(get_command(_object_at(path)), ""))
