"""The public surface as data, and what a change of it means for those who use it.

A contract is one reviewed file: what may be read, called and sent, by whom, and what it means. Most of it is read from
the catalog of a database and from the package itself; a part is written by hand and confirmed by looking for it in the
database's own code. Which schemas and roles belong to a contract is said in its file, under ``by_hand.scope``.

:func:`compare` judges. Its rules are listed in ``docs/contract.md``.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal, cast

import psycopg

from aximo_db._assets import install_script
from aximo_db.doctor import _NEUTRAL
from aximo_db.errors import register
from aximo_db.output import write_text

__all__ = [
    "Change",
    "Contract",
    "compare",
    "contract_names",
    "contract_text",
    "holds",
    "load_contract",
    "parse_contract",
    "read_contract",
    "shipped_contract",
    "write",
]

Kind = Literal["breaking", "additive", "unknown"]
Json = dict[str, Any]

#: The parts of a contract's file, in their order.
_PARTS: Final = {
    "contract": str,
    "version": int,
    "schema_version": int,
    "reviewed": dict,
    "by_hand": dict,
    "roles": list,
    "schemas": dict,
    "relations": dict,
    "functions": dict,
    "types": dict,
    "limits": dict,
    "inputs": dict,
    "rows": dict,
    "errors": dict,
    "jsonl": dict,
    "python": list,
    "commands": list,
}
_SCOPE: Final = {
    "schemas": list,
    "support": list,
    "except": list,
    "roles": dict,
    "rows": dict,
    "inputs": dict,
    "limits_code": str,
    "schema_version": str,
    "package": (str, type(None)),
    "commands": (str, type(None)),
    "jsonl": dict,
}
_WIDTH: Final = 160


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract, as its file says it.

    Attributes:
        document: the file's JSON object.
    """

    document: Json

    @property
    def name(self) -> str:
        """Which contract: ``aximo``, for example."""
        return cast(str, self.document["contract"])

    @property
    def version(self) -> int:
        """Raised by one with a release that breaks somebody."""
        return cast(int, self.document["version"])

    @property
    def schema_version(self) -> int:
        """The version of the schema it was read from."""
        return cast(int, self.document["schema_version"])


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


# Files


def _folder() -> Path:
    return Path(__file__).resolve().parent.parent / "data" / "contracts"


def contract_names() -> list[str]:
    """The contracts that are shipped with the package."""
    return sorted(path.stem for path in _folder().glob("*.json"))


def shipped_contract(name: str) -> Contract:
    """The contract that this package was made for.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in contract_names():
        raise ValueError(f"no contract {name}; there are: {', '.join(contract_names()) or 'none'}")
    return load_contract(_folder() / f"{name}.json")


def load_contract(path: Path) -> Contract:
    """Reads a contract's file.

    Raises:
        OSError: it can't be read.
        ValueError: it is no contract.
    """
    try:
        return parse_contract(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def parse_contract(text: str) -> Contract:
    """A contract from the text of its file.

    Raises:
        ValueError: it is no contract.
    """

    def object_of(pairs: list[tuple[str, Any]]) -> Json:
        if len(dict(pairs)) != len(pairs):
            raise ValueError(f"a name comes twice: {', '.join(key for key, _ in pairs)}"[:300])
        return dict(pairs)

    document = json.loads(text, object_pairs_hook=object_of)
    _expect(document, _PARTS, "a contract")
    by_hand = document["by_hand"]
    _expect(by_hand, {"scope": dict, "promises": dict, "payload": dict, "settings": dict}, "by_hand")
    _expect(by_hand["scope"], _SCOPE, "by_hand.scope")
    _expect(document["reviewed"], {"note": str, "rewordings": dict}, "reviewed")
    for field, entry in by_hand["payload"].items():
        _expect(entry, {"type": str, "of": list, "meaning": str, "read_by": list, "found_in": dict}, f"payload {field}")
    for setting, entry in by_hand["settings"].items():
        _expect(entry, {"meaning": str}, f"setting {setting}")
    for name, entry in by_hand["promises"].items():
        _expect(entry, {"meaning": str, "columns": list, "lines": list, "found_in": dict}, f"promise {name}")
    contract = Contract(document)
    for name, entry in by_hand["promises"].items():
        problems = {place for place in entry["columns"] if not _has(contract, place)}
        problems |= {place for place in entry["lines"] if not _has_field(contract, place)}
        if problems:
            raise ValueError(f"promise {name} speaks of what is not there: {', '.join(sorted(problems))}")
    for field, entry in by_hand["payload"].items():
        problems = set(entry["of"]) - {key for rows in document["rows"].values() for key in rows}
        problems |= {place for place in entry["read_by"] if not _has(contract, place)}
        if problems:
            raise ValueError(f"payload {field} speaks of what is not there: {', '.join(sorted(problems))}")
    return contract


def _expect(value: object, keys: Mapping[str, Any], what: str) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no JSON object")
    if set(value) != set(keys):
        raise ValueError(f"{what} lacks or has too many: {', '.join(sorted(set(value) ^ set(keys)))}")
    for key, kind in keys.items():
        if not isinstance(value[key], kind) or (kind is int and isinstance(value[key], bool)):
            raise ValueError(f"{what}: {key} is of the wrong type")


def _has(contract: Contract, place: str) -> bool:
    """Whether ``schema.view``, ``schema.view.column`` or ``schema.function`` is in the contract."""
    if place in contract.document["relations"] or place in contract.document["functions"]:
        return True
    relation, _, column = place.rpartition(".")
    columns = contract.document["relations"].get(relation, {}).get("columns", [])
    return any(each["name"] == column for each in columns)


def _has_field(contract: Contract, place: str) -> bool:
    """Whether ``shape.field`` is in the contract's JSON lines."""
    shape, _, field = place.partition(".")
    fields = contract.document["jsonl"].get(shape, {}).get("fields", [])
    return any(each["name"] == field for each in fields)


def write(contract: Contract, path: Path) -> None:
    """Writes a contract's file: the same text for the same contract."""
    write_text(path, contract_text(contract))


def contract_text(contract: Contract) -> str:
    """What a contract's file holds: the same text for the same contract."""
    return _text(contract.document, 0) + "\n"


def _text(value: object, depth: int) -> str:
    """JSON with what fits on one line on one line."""
    compact = json.dumps(value)
    if (depth > 1 and len(compact) + depth <= _WIDTH) or not isinstance(value, dict | list) or not value:
        return compact
    pad = " " * (depth + 1)
    if isinstance(value, dict):
        inner = [f"{pad}{json.dumps(key)}: {_text(item, depth + 1)}" for key, item in value.items()]
        return "{\n" + ",\n".join(inner) + "\n" + " " * depth + "}"
    inner = [pad + _text(item, depth + 1) for item in value]
    return "[\n" + ",\n".join(inner) + "\n" + " " * depth + "]"


# Reading it from a database

_ROLES: Final = """
select r.rolname
from pg_roles as r
where starts_with(r.rolname, %(prefix)s) and not r.rolcanlogin and r.rolname <> all(%(internal)s)
order by 1
"""
_SCHEMAS: Final = """
select n.nspname, obj_description(n.oid, 'pg_namespace'), array(
    select r.rolname::text from pg_roles as r
    where r.rolname = any(%(roles)s) and has_schema_privilege(r.oid, n.oid, 'usage') and r.oid <> n.nspowner
    order by r.rolname
)
from pg_namespace as n
where n.nspname = any(%(schemas)s)
order by 1
"""
_RELATIONS: Final = """
select c.oid, format('%%s.%%s', n.nspname, c.relname), c.relkind in ('v', 'm'), obj_description(c.oid, 'pg_class')
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
where n.nspname = any(%(schemas)s) and c.relkind in ('r', 'p', 'v', 'm', 'f')
    and format('%%s.%%s', n.nspname, c.relname) <> all(%(except)s)
order by n.nspname, c.relname
"""
_COLUMNS: Final = """
select
    a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod), col_description(a.attrelid, a.attnum),
    a.attnotnull or t.typnotnull, pg_get_expr(d.adbin, d.adrelid)
from pg_attribute as a
inner join pg_type as t on t.oid = a.atttypid
left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = any(%(oids)s::oid[]) and a.attnum > 0 and not a.attisdropped
order by a.attrelid, a.attnum
"""
# What only some columns are granted for is listed with them.
_GRANTS: Final = """
select c.oid, r.rolname, p.privilege, has_table_privilege(r.oid, c.oid, p.privilege), array(
    select a.attname::text
    from pg_attribute as a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        and case when p.privilege <> 'delete' then has_column_privilege(r.oid, c.oid, a.attnum, p.privilege) end
    order by a.attnum
)
from pg_class as c
cross join pg_roles as r
cross join unnest(array['select', 'insert', 'update', 'delete']) with ordinality as p (privilege, place)
where c.oid = any(%(oids)s::oid[]) and r.rolname = any(%(roles)s) and r.oid <> c.relowner
order by c.oid, r.rolname, p.place
"""
_CHECKS: Final = """
select coalesce(nullif(k.conrelid, 0), k.contypid), k.conname, pg_get_constraintdef(k.oid)
from pg_constraint as k
where k.contype = 'c' and (k.conrelid = any(%(oids)s::oid[]) or k.contypid = any(%(oids)s::oid[]))
order by 1, 2
"""
_KEYS: Final = """
select k.conrelid, k.conname, pg_get_constraintdef(k.oid)
from pg_constraint as k
where k.contype in ('p', 'u', 'f') and k.conrelid = any(%(oids)s::oid[])
order by 1, 2
"""
_GUARDS: Final = r"""
select
    t.tgrelid, t.tgname,
    case t.tgenabled
        when 'A' then 'always' when 'O' then 'origin only' when 'R' then 'replica only' else 'disabled'
    end,
    regexp_replace(pg_get_triggerdef(t.oid), '^.* (BEFORE|AFTER|INSTEAD OF) ', '\1 ')
from pg_trigger as t
where t.tgrelid = any(%(oids)s::oid[]) and not t.tgisinternal
order by 1, 2
"""
# Those that say what a group role sees and may write; how the ledger's own functions get there is nobody's business.
_POLICIES: Final = """
select
    l.polrelid, l.polname, p.permissive = 'PERMISSIVE', lower(p.cmd),
    array(select r::text from unnest(p.roles) as r where r = any(%(roles)s || '{public}'::text[]) order by 1),
    p.qual, p.with_check
from pg_policy as l
inner join pg_class as c on c.oid = l.polrelid
inner join pg_namespace as n on n.oid = c.relnamespace
inner join pg_policies as p on p.schemaname = n.nspname and p.tablename = c.relname and p.policyname = l.polname
where l.polrelid = any(%(oids)s::oid[]) and p.roles::text[] && (%(roles)s || '{public}'::text[])
order by 1, 2
"""
_ROW_SECURITY: Final = """
select c.oid, case when c.relforcerowsecurity then 'forced' else 'on' end
from pg_class as c
where c.oid = any(%(oids)s::oid[]) and c.relrowsecurity
"""
# Of defaults that draw from a sequence or call a function that is not PostgreSQL's: who may use them.
_DEFAULTS: Final = """
select d.adrelid, a.attname, array(
    select r.rolname::text
    from pg_roles as r
    where r.rolname = any(%(roles)s) and not exists (
        select from pg_depend as n
        left join pg_class as s on s.oid = n.refobjid and n.refclassid = 'pg_class'::regclass and s.relkind = 'S'
        where n.classid = 'pg_attrdef'::regclass and n.objid = d.oid and case
            when n.refclassid = 'pg_proc'::regclass then not has_function_privilege(r.oid, n.refobjid, 'execute')
            when s.oid is not null then not has_sequence_privilege(r.oid, s.oid, 'usage, update')
            else false
        end
    )
    order by r.rolname
)
from pg_attrdef as d
inner join pg_attribute as a on a.attrelid = d.adrelid and a.attnum = d.adnum
where d.adrelid = any(%(oids)s::oid[]) and exists (
    select from pg_depend as n
    left join pg_class as s on s.oid = n.refobjid and n.refclassid = 'pg_class'::regclass and s.relkind = 'S'
    where n.classid = 'pg_attrdef'::regclass and n.objid = d.oid
        and (n.refclassid = 'pg_proc'::regclass or s.oid is not null)
)
"""
_FUNCTIONS: Final = """
select
    p.oid, format('%%s.%%s', n.nspname, p.proname), p.prokind = 'p', obj_description(p.oid, 'pg_proc'),
    format_type(p.prorettype, null), p.proretset,
    case when t.typtype = 'c' and o.nspname <> all(%(schemas)s) then t.typrelid end,
    array(
        select r.rolname::text from pg_roles as r
        where r.rolname = any(%(roles)s) and has_function_privilege(r.oid, p.oid, 'execute') and r.oid <> p.proowner
        order by r.rolname
    )
from pg_proc as p
inner join pg_namespace as n on n.oid = p.pronamespace
inner join pg_type as t on t.oid = p.prorettype
inner join pg_namespace as o on o.oid = t.typnamespace
where n.nspname = any(%(schemas)s) and format('%%s.%%s', n.nspname, p.proname) <> all(%(except)s)
order by n.nspname, p.proname, pg_get_function_identity_arguments(p.oid) collate "C"
"""
_ARGUMENTS: Final = """
select
    p.oid, p.proargnames[a.place], coalesce(p.proargmodes[a.place]::text, 'i'), format_type(a.type, null),
    pg_get_function_arg_default(p.oid, a.place::integer)
from pg_proc as p
cross join lateral unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality as a (type, place)
where p.oid = any(%(oids)s::oid[])
order by p.oid, a.place
"""
_TYPES: Final = """
select
    t.oid, format('%%s.%%s', n.nspname, t.typname), t.typtype::text, t.typrelid, obj_description(t.oid, 'pg_type'),
    format_type(t.typbasetype, t.typtypmod), t.typnotnull, n.nspname = any(%(schemas)s),
    array(select e.enumlabel::text from pg_enum as e where e.enumtypid = t.oid order by e.enumsortorder),
    array(
        select r.rolname::text from pg_roles as r
        where r.rolname = any(%(roles)s) and has_type_privilege(r.oid, t.oid, 'usage') and r.oid <> t.typowner
        order by r.rolname
    )
from pg_type as t
inner join pg_namespace as n on n.oid = t.typnamespace
left join pg_class as c on c.oid = t.typrelid
where n.nspname = any(%(schemas)s::text[] || %(support)s::text[]) and (t.typtype in ('d', 'e') or c.relkind = 'c')
order by n.nspname, t.typname
"""
# Not to_regclass, which needs USAGE of the schema.
_TABLE: Final = """
select c.oid
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
where format('%%s.%%s', n.nspname, c.relname) = %(table)s
"""
_CODE: Final = """
select format('%%s.%%s', n.nspname, p.proname), coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)
from pg_proc as p
inner join pg_namespace as n on n.oid = p.pronamespace
where array[n.nspname::text, format('%%s.%%s', n.nspname, p.proname)] && (%(schemas)s::text[] || %(support)s::text[])
    and p.prokind <> 'a' and format('%%s.%%s', n.nspname, p.proname) <> all(%(except)s)
union all
select format('%%s.%%s', n.nspname, c.relname), pg_get_viewdef(c.oid)
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
where array[n.nspname::text, format('%%s.%%s', n.nspname, c.relname)] && (%(schemas)s::text[] || %(support)s::text[])
    and c.relkind in ('v', 'm') and format('%%s.%%s', n.nspname, c.relname) <> all(%(except)s)
order by 1, 2
"""


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
        for setting, value in _NEUTRAL:
            connection.execute("select set_config(%s, %s, true)", (setting, value))
        return Contract(_Reader(connection, base).document())


class _Reader:
    """Looks at one database for one contract."""

    def __init__(self, connection: psycopg.Connection[Any], base: Contract) -> None:
        self.connection = connection
        self.base = base.document
        self.scope: Json = base.document["by_hand"]["scope"]
        groups = self.scope["roles"]
        self.values: Json = {
            "schemas": self.scope["schemas"],
            "support": self.scope["support"],
            "except": self.scope["except"],
            "prefix": groups["prefix"],
            "internal": groups["internal"],
        }
        self.values["roles"] = [row[0] for row in self.rows(_ROLES)]
        self.code: dict[str, str] = {}
        for place, text in self.rows(_CODE):
            self.code[place] = self.code.get(place, "") + "\n" + re.sub(r"--[^\n]*", "", text)
        self.everything = "\n".join(self.code.values())

    def rows(self, query: str, **more: object) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, {**self.values, **more}).fetchall()

    def document(self) -> Json:
        version = self.rows(f"select {self.scope['schema_version']}()") if self.scope["schema_version"] else [(0,)]
        relations = self.relations()
        functions = self.functions()
        types, limits = self.types()
        inputs = self.inputs(functions)
        rows = {table: self.rows_of(table, key) for table, key in self.scope["rows"].items()}
        used = {column["type"] for each in relations.values() for column in each["columns"]}
        used |= {field["type"] for each in inputs.values() for field in each["fields"]}
        used |= {name for name, each in limits.items() if each["used_by"]}
        limits = {
            name: {k: v for k, v in each.items() if k != "used_by"} for name, each in limits.items() if name in used
        }
        found = {
            "contract": self.base["contract"],
            "version": self.base["version"],
            "schema_version": version[0][0],
            "reviewed": self.base["reviewed"],
            "by_hand": {},
            "roles": self.values["roles"],
            "schemas": {
                name: {"meaning": meaning, "used_by": _used_by(roles, "usage")}
                for name, meaning, roles in self.rows(_SCHEMAS)
            },
            "relations": relations,
            "functions": functions,
            "types": types,
            "limits": limits,
            "inputs": inputs,
            "rows": rows,
            "errors": self.errors(inputs, limits),
            "jsonl": self.jsonl(limits),
            "python": sorted(import_module(self.scope["package"]).__all__) if self.scope["package"] else [],
            "commands": _commands(self.scope["commands"]) if self.scope["commands"] else [],
        }
        found["by_hand"] = self.by_hand(Contract(found))
        return found

    def relations(self) -> Json:
        named = self.rows(_RELATIONS)
        oids = [row[0] for row in named]
        grants: dict[int, Json] = {oid: {} for oid in oids}
        for oid, role, privilege, whole, columns in self.rows(_GRANTS, oids=oids):
            if whole or columns:
                grants[oid].setdefault(role, []).append(privilege if whole else f"{privilege}({', '.join(columns)})")
        columns = self.columns(oids)
        checks = self.checks(oids)
        protections = self.protections([row[0] for row in named if not row[2]])
        drawn: dict[int, dict[str, list[str]]] = {}
        for oid, column, roles in self.rows(_DEFAULTS, oids=oids):
            drawn.setdefault(oid, {})[column] = roles
        found: Json = {}
        for oid, name, is_view, meaning in named:
            if not grants[oid] and name not in self.base["relations"]:
                continue
            is_input = _is_written(grants[oid])
            found[name] = {
                "kind": "view" if is_view else "table",
                "meaning": meaning,
                "used_by": grants[oid],
                "columns": [self.column(name, is_view, is_input, *each) for each in columns.get(oid, [])],
                **({"checks": checks[oid]} if oid in checks else {}),
                **protections.get(oid, {}),
            }
            writers = [role for role, given in grants[oid].items() if any(each.startswith("insert") for each in given)]
            for each in found[name]["columns"]:
                if "default" in each and each["name"] in drawn.get(oid, {}):
                    each["default_for"] = [role for role in writers if role in drawn[oid][each["name"]]]
        return found

    def protections(self, oids: Sequence[int]) -> dict[int, Json]:
        """What keeps the rows of tables as they should be, and from whom they are not for."""
        found: dict[int, Json] = {}

        def put(oid: int, part: str, name: str, value: object) -> None:
            found.setdefault(oid, {}).setdefault(part, {})[name] = value

        for oid, name, definition in self.rows(_KEYS, oids=list(oids)):
            put(oid, "keys", name, definition.removesuffix(" NOT VALID"))
        for oid, name, fires, definition in self.rows(_GUARDS, oids=list(oids)):
            put(oid, "guards", name, {"does": definition, "fires": fires})
        for oid, name, is_permissive, command, roles, using, check in self.rows(_POLICIES, oids=list(oids)):
            policy: Json = {"for": command, "to": roles, "using": using, "check": check}
            put(oid, "policies", name, policy if is_permissive else {**policy, "restrictive": True})
        for oid, how in self.rows(_ROW_SECURITY, oids=list(oids)):
            found.setdefault(oid, {})["row_security"] = how
        return found

    def column(
        self,
        relation: str,
        is_view: bool,
        is_input: bool,
        name: str,
        type_: str,
        meaning: str | None,
        not_null: bool,
        default: str | None,
    ) -> Json:
        column: Json = {"name": name, "type": type_}
        if not is_view:
            column["null"] = not not_null
        if is_input and default is not None:
            column["default"] = default
        values = _documented_values(meaning)
        if values:
            # Where the view itself says most of them, it has to say all of them.
            said = set(_WORD.findall(self.code.get(relation, "")))
            column["values"] = (
                values if len(said.intersection(values)) < 2 else [each for each in values if each in said]
            )
        column["meaning"] = meaning
        return column

    def columns(self, oids: Sequence[int]) -> dict[int, list[tuple[Any, ...]]]:
        found: dict[int, list[tuple[Any, ...]]] = {}
        for oid, *column in self.rows(_COLUMNS, oids=list(oids)):
            found.setdefault(oid, []).append(tuple(column))
        return found

    def checks(self, oids: Sequence[int]) -> dict[int, dict[str, str]]:
        found: dict[int, dict[str, str]] = {}
        for oid, name, definition in self.rows(_CHECKS, oids=list(oids)):
            # Whether what was there before was looked at is nobody's business who comes now.
            found.setdefault(oid, {})[name] = definition.removesuffix(" NOT VALID")
        return found

    def functions(self) -> Json:
        named = self.rows(_FUNCTIONS)
        arguments: dict[int, list[tuple[Any, ...]]] = {}
        for oid, *argument in self.rows(_ARGUMENTS, oids=[row[0] for row in named]):
            arguments.setdefault(oid, []).append(tuple(argument))
        composites = self.columns([row[6] for row in named if row[6]])
        found: Json = {}
        for oid, name, is_procedure, meaning, type_, is_set, composite, roles in named:
            if not roles and name not in self.base["functions"]:
                continue
            taken = []
            returned = []
            for argument, mode, argument_type, default in arguments.get(oid, []):
                if mode in "iobtv" and mode != "i" and mode != "v":
                    returned.append({"name": argument, "type": argument_type})
                if mode in "ibv":
                    taken.append(
                        {
                            "name": argument,
                            "type": argument_type,
                            **({"default": default} if default is not None else {}),
                            **({"variadic": True} if mode == "v" else {}),
                        }
                    )
            if composite:
                returned = [{"name": each[0], "type": each[1]} for each in composites[composite]]
            function: Json = {"arguments": taken, "returns": {"type": type_, "set": is_set}}
            if returned:
                function["returns"]["columns"] = returned
            if is_procedure:
                function["procedure"] = True
            found.setdefault(name, []).append({**function, "meaning": meaning, "used_by": _used_by(roles, "execute")})
        return found

    def types(self) -> tuple[Json, Json]:
        named = self.rows(_TYPES)
        columns = self.columns([row[3] for row in named if row[3]])
        checks = self.checks([row[0] for row in named])
        types: Json = {}
        limits: Json = {}
        for oid, name, kind, relation, meaning, base, not_null, is_public, labels, roles in named:
            if kind == "d":
                limits[name] = {
                    "type": base,
                    "null": not not_null,
                    "checks": checks.get(oid, {}),
                    "meaning": meaning,
                    "used_by": roles if is_public else [],
                }
            elif is_public and (roles or name in self.base["types"]):
                shape = (
                    {"values": labels}
                    if kind == "e"
                    else {"columns": [{"name": c[0], "type": c[1], "meaning": c[2]} for c in columns.get(relation, [])]}
                )
                types[name] = {"meaning": meaning, "used_by": _used_by(roles, "usage"), **shape}
        return types, limits

    def table(self, name: str) -> int | None:
        found = self.rows(_TABLE, table=name)
        return found[0][0] if found else None

    def inputs(self, functions: Json) -> Json:
        found: Json = {}
        for what, where in self.scope["inputs"].items():
            oid = self.table(where["table"])
            oids = [] if oid is None else [oid]
            taken = functions.get(where["function"]) or [{"arguments": []}]
            defaults = {each["name"]: "default" in each for each in taken[0]["arguments"]}
            fields: list[Json] = []
            for columns in self.columns(oids).values():
                for name, type_, _, not_null, default in columns:
                    if not where["function"] or name in defaults:
                        is_required = not_null and default is None and not defaults.get(name, False)
                        fields.append({"name": name, "type": type_, "required": is_required})
            limited = self.limited(where)
            for field in fields:
                field["type"] = limited.get(field["name"], field["type"])
            checks = next(iter(self.checks(oids).values()), {})
            found[what] = {"fields": sorted(fields, key=lambda each: str(each["name"])), "checks": checks}
        return found

    def limited(self, where: Json) -> dict[str, str]:
        """The limits of fields, where a function that tries them lists them and the columns have plain types."""
        text = self.code.get(where.get("limits_in", ""), "")
        return dict(re.findall(r"\('(\w+)', '\w+', '([\w.]+)'\)", text))

    def rows_of(self, table: str, key: str) -> Json:
        """The rows by their key; of a key of several columns these with a blank between them."""
        schema, name = table.split(".")
        if self.table(table) is None:
            return {}
        columns = key.split(", ")
        text = ", ".join(f't."{column}"' for column in columns)
        query = f'select concat_ws(\' \', {text}), to_jsonb(t) - %s::text[] from "{schema}"."{name}" as t'
        found: dict[str, Json] = dict(self.connection.execute(query, (columns,)).fetchall())
        return {each: dict(sorted(found[each].items())) for each in sorted(found)}

    def errors(self, inputs: Json, limits: Json) -> Json:
        """The codes and where their rules are raised: what the code says, and what is registered and still found."""
        raised: dict[str, dict[str, set[str]]] = {}  # rule, code, places

        def add(rule: str, code: str, place: str) -> None:
            raised.setdefault(rule, {}).setdefault(code, set()).add(place)

        for text in self.code.values():
            for code, rule in _raised_in_sql(text):
                add(rule, code, "database")
        fields = {field["type"] for each in inputs.values() for field in each["fields"]}
        checks = {rule for name, each in limits.items() if name in fields for rule in each["checks"]}
        checks |= {rule for each in inputs.values() for rule in each["checks"]}
        for rule in checks:
            add(rule, self.scope["limits_code"], "database")
        classes = {code: cls.__name__ for code, cls in register.items()} if self.scope["package"] else {}
        package = _package_words() if self.scope["package"] else frozenset()
        installing = _installation() if self.scope["package"] else ""
        if self.scope["package"]:
            for code, rule in _raised_in_sql(installing):
                add(rule, code, "installation")
            codes = {name: code for code, name in classes.items()}
            for name, rule in _raised_in_python():
                if name in codes:
                    add(rule, codes[name], "package")
        registered = [code for code in self.base["errors"] if code in classes or not self.scope["package"]]
        for code in registered:
            for rule in self.base["errors"][code]["rules"]:
                # What the database raises with another code is not what was registered.
                elsewhere = {place for places in raised.get(rule, {}).values() for place in places}
                if "database" not in elsewhere and any(_says(text, rule) for text in self.code.values()):
                    add(rule, code, "database")
                if rule in package:
                    add(rule, code, "package")
                if _says(installing, rule) and not raised.get(rule):
                    add(rule, code, "installation")
        found: Json = {}
        for code in {*classes, *registered}:
            found[code] = {"class": classes.get(code), "rules": {}}
        for rule, by_code in sorted(raised.items()):
            for code, places in sorted(by_code.items()):
                found.setdefault(code, {"class": classes.get(code), "rules": {}})["rules"][rule] = sorted(places)
        return dict(sorted(found.items()))

    def jsonl(self, limits: Json) -> Json:
        found: Json = {}
        for what, where in self.scope["jsonl"].items():
            shape: Json = {"direction": where["direction"]}
            if "fields_of" in where:
                shape["fields"] = _fields_of(where["fields_of"], is_read=where["direction"] == "out")
            elif "taken_by" in where:
                shape["fields"] = [each for each in where["fields"] if self.is_taken(where["taken_by"], each["name"])]
            else:
                shape["fields"] = self.line(where, limits)
            if "ignored" in where:
                shape["ignored"] = [
                    each
                    for each in where["ignored"]
                    if "taken_by" not in where or self.is_taken(where["taken_by"], each)
                ]
            found[what] = shape
        return found

    def is_taken(self, function: str, field: str) -> bool:
        """Whether a function that takes JSON names a field."""
        return self.is_said(function, f"'{field}'")

    def line(self, where: Json, limits: Json) -> list[Json]:
        """The keys of a line, in their order, by the text of the function that writes it.

        Args:
            where: that function, the table whose rows it writes, and the columns of keys that are called otherwise.
            limits: the domains.
        """
        called, limited = where.get("called", {}), self.limited(where)
        oid = self.table(where["table"])
        columns = {each[0]: each for each in self.columns([oid])[oid]} if oid is not None else {}
        checks = " ".join(self.checks([oid]).get(oid, {}).values()) if oid is not None else ""
        text = self.code.get(where["line_of"], "")
        keys = list(re.finditer(r"\"(\w+)\":", text))
        fields = []
        for place, key in enumerate(keys):
            name = called.get(key[1], key[1])
            column = columns.get(name)
            limit = limited.get(name, column[1]) if column else ""
            type_ = _json_type(limit, limits) if column else "any"
            said = re.search(rf"jsonb_typeof\({name}\) = '(\w+)'", checks) if type_ == "any" else None
            type_ = said[1] if said else type_
            # Written as null where there is nothing, and not left out.
            end = keys[place + 1].start() if place + 1 < len(keys) else len(text)
            is_null = column is not None and not column[3] and "'null'" in text[key.end() : end]
            fields.append(
                {
                    "name": key[1],
                    "type": f"{type_} or null" if is_null and type_ != "any" else type_,
                    "always": is_null or bool(column and (column[3] or not limits.get(limit, {"null": True})["null"])),
                }
            )
        return fields

    def by_hand(self, found: Contract) -> Json:
        hand = self.base["by_hand"]
        kinds = {key for rows in found.document["rows"].values() for key in rows}
        payload: Json = {}
        for field, entry in hand["payload"].items():
            if not all(self.is_said(place, text) for place, text in entry["found_in"].items()):
                continue
            payload[field] = {
                **entry,
                "of": [each for each in entry["of"] if each in kinds],
                "read_by": [each for each in entry["read_by"] if _has(found, each)],
            }
        settings = {name: entry for name, entry in hand["settings"].items() if f"'{name}'" in self.everything}
        promises = {
            name: entry
            for name, entry in hand["promises"].items()
            if all(_has(found, place) for place in entry["columns"])
            and all(_has_field(found, place) for place in entry["lines"])
            and all(self.is_said(place, text) for place, text in entry["found_in"].items())
        }
        return {"scope": self.scope, "promises": promises, "payload": payload, "settings": settings}

    def is_said(self, place: str, text: str) -> bool:
        """Whether a text is in a function or view; of one that is gone, whether any other has it."""
        return text in self.code.get(place, self.everything)


def _used_by(roles: Iterable[str], privilege: str) -> Json:
    return {role: [privilege] for role in roles}


_WORD: Final = re.compile(r"'(\w+)'")
_LIST: Final = re.compile(r"([a-z_]+(?:, [a-z_]+)* or [a-z_]+)(?:; ([a-z_]+) if [^.]*)?(?=[.;])")


def _documented_values(meaning: str | None) -> list[str]:
    """The closed set that a comment begins with: "a, b or c." or "a or b; c if …"."""
    match = _LIST.match(meaning or "")
    if match is None:
        return []
    return re.split(r", | or ", match[1]) + ([match[2]] if match[2] else [])


def _raised_in_sql(text: str) -> Iterator[tuple[str, str]]:
    """Code and rule, where a function names both."""
    for match in re.finditer(r"raise exception using(.*?);", text, re.DOTALL | re.IGNORECASE):
        code = re.search(r"errcode = '(\w{5})'", match[1])
        constraint = re.search(r"constraint = (.*)", match[1], re.DOTALL)
        if code is None or constraint is None:
            continue
        expression = re.split(r",\s+\w+ = ", constraint[1])[0].strip()
        if re.fullmatch(r"'\w+'", expression):
            yield code[1], expression.strip("'")
        elif re.fullmatch(r"\w+", expression):
            for rule in re.findall(rf"\b{expression} := '(\w+)'", text):
                yield code[1], rule


def _says(text: str, rule: str) -> bool:
    """Whether code gives out a rule's name, or makes it of its parts; that it compares with it is not enough."""
    given = rf"(?:\bconstraint = |:= |\bthen |\belse |\breturn |coalesce\([^\n]*, )'{rule}'"
    if f"'{rule}'" in text and re.search(given, text, re.IGNORECASE):
        return True
    words = _words(text)
    for word in words:
        if word.startswith("_") and rule.endswith(word) and rule.removesuffix(word) in words:
            return True
        if "%s" in word:
            match = re.fullmatch(word.replace("%s", "(.+)"), rule)
            if match and words.issuperset(match.groups()):
                return True
    return False


@lru_cache(maxsize=1000)
def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"'([\w%]+)'", text))


@cache
def _sources() -> tuple[str, ...]:
    folder = Path(__file__).resolve().parent.parent
    return tuple(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py")))


@cache
def _package_words() -> frozenset[str]:
    return frozenset(word for text in _sources() for word in re.findall(r"\"(\w+)\"", text))


@cache
def _raised_in_python() -> tuple[tuple[str, str], ...]:
    """The class and the rule of every error that the package makes itself with a rule that it names."""
    found = []
    for text in _sources():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                for keyword in node.keywords:
                    value = keyword.value
                    if keyword.arg == "rule" and isinstance(value, ast.Constant) and "_" in str(value.value):
                        found.append((node.func.id, str(value.value)))
    return tuple(found)


@cache
def _installation() -> str:
    """What only runs while the schema is installed or upgraded."""
    from aximo_db.migrate import preparation

    blocks = re.findall(r"^do \$\$(.*?)^\$\$;", install_script(), re.DOTALL | re.MULTILINE)
    return "\n".join([*blocks, preparation(None)])


_JSON_TYPES: Final = {
    "str": "string",
    "UUID": "string",
    "datetime": "string",
    "int": "number",
    "float": "number",
    "bool": "boolean",
    "Mapping[str, Any]": "object",
    "dict[str, Any]": "object",
}


def _fields_of(path: str, *, is_read: bool) -> list[Json]:
    """The fields of a dataclass as those of a JSON object: a line that is read has them all, some of them null."""
    found: list[Json] = []
    for field in dataclasses.fields(_object_at(path)):
        parts = [each.strip() for each in str(field.type).split("|")]
        types = [_JSON_TYPES.get(each, "any") for each in parts if each != "None"]
        if is_read:
            types += ["null"] if "None" in parts else []
            found.append({"name": field.name, "type": " or ".join(types), "always": True})
        else:
            has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
            found.append({"name": field.name, "type": " or ".join(types), "required": not has_default})
    return found


def _object_at(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def _json_type(type_: str, limits: Json) -> str:
    """The JSON type that a column's value has in a line."""
    limit = limits.get(type_)
    base = limit["type"] if limit else type_
    if base in ("json", "jsonb"):
        said = re.search(r"jsonb_typeof\(.*?\) = '(\w+)'", " ".join(limit["checks"].values()) if limit else "")
        return said[1] if said else "any"
    if base in ("smallint", "integer", "bigint", "real", "double precision") or base.startswith("numeric"):
        return "number"
    return "boolean" if base == "boolean" else "string"


def _commands(path: str) -> list[str]:
    """The names of the commands of a typer application; those of a group with the group's name before them."""
    from typer.main import get_command

    def names(command: Any, prefix: str) -> Iterator[str]:
        for name, each in getattr(command, "commands", {}).items():
            if getattr(each, "hidden", False):
                continue
            if hasattr(each, "commands"):
                yield from names(each, f"{prefix}{name} ")
            else:
                yield prefix + name

    return sorted(names(get_command(_object_at(path)), ""))


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
