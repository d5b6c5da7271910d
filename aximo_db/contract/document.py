"""A contract as a file: its form, and how it is read and written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from aximo_db.files.output import write_text

__all__ = [
    "Contract",
    "Json",
    "contract_names",
    "contract_text",
    "load_contract",
    "parse_contract",
    "shipped_contract",
    "write",
]

Json = dict[str, Any]

_FOLDER: Final = Path(__file__).resolve().parent.parent / "data" / "contracts"
_WIDTH: Final = 160

#: The form of a file. Of what has names of its own, ``{}`` says what one is called.
_FORM: Final[Json] = {
    "contract": str,
    "version": int,
    "schema_version": int,
    "reviewed": {"note": str, "rewordings": dict},
    "by_hand": {
        "scope": {
            **dict.fromkeys(("schemas", "support", "except"), list),
            **dict.fromkeys(("roles", "rows", "inputs", "jsonl"), dict),
            **dict.fromkeys(("limits_code", "schema_version"), str),
            **dict.fromkeys(("package", "commands"), (str, type(None))),
        },
        "promises": {"promise {}": {"meaning": str, "columns": list, "lines": list, "found_in": dict}},
        "payload": {"payload {}": {"type": str, "of": list, "meaning": str, "read_by": list, "found_in": dict}},
        "settings": {"setting {}": {"meaning": str}},
    },
    **dict.fromkeys(("roles", "python", "commands"), list),
    **dict.fromkeys(
        ("schemas", "relations", "functions", "types", "limits", "inputs", "rows", "errors", "jsonl"), dict
    ),
}


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

    def missing(self, kind: str, entry: Json) -> list[str]:
        """What an entry of the ``promises`` or the ``payload`` speaks of and is not in the contract."""
        relations, jsonl = self.document["relations"], self.document["jsonl"]
        columns = {f"{name}.{each['name']}" for name in relations for each in relations[name]["columns"]}
        columns |= {*relations, *self.document["functions"]}
        lines = {f"{shape}.{each['name']}" for shape in jsonl for each in jsonl[shape]["fields"]}
        entries = {name for rows in self.document["rows"].values() for name in rows}
        parts = {"promises": {"columns": columns, "lines": lines}, "payload": {"of": entries, "read_by": columns}}[kind]
        return sorted({place for part, known in parts.items() for place in entry[part] if place not in known})


def contract_names() -> list[str]:
    """The contracts that are shipped with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.json"))


def shipped_contract(name: str) -> Contract:
    """The contract that this package was made for.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in contract_names():
        raise ValueError(f"no contract {name}; there are: {', '.join(contract_names()) or 'none'}")
    return load_contract(_FOLDER / f"{name}.json")


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
    document = json.loads(text, object_pairs_hook=_object)
    _expect(document, _FORM, "a contract")
    contract = Contract(document)
    for kind, noun in (("promises", "promise"), ("payload", "payload")):
        for name, entry in document["by_hand"][kind].items():
            if missing := contract.missing(kind, entry):
                raise ValueError(f"{noun} {name} speaks of what is not there: {', '.join(missing)}")
    return contract


def _object(pairs: list[tuple[str, Any]]) -> Json:
    if len(dict(pairs)) != len(pairs):
        raise ValueError(f"a name comes twice: {', '.join(key for key, _ in pairs)}"[:300])
    return dict(pairs)


def _expect(value: object, form: Any, what: str) -> None:
    """Refuses what has another form: other keys than these, or values of other types."""
    if not isinstance(form, dict):
        if not isinstance(value, form) or (form is int and isinstance(value, bool)):
            raise ValueError(f"{what} is of the wrong type")
        return
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no JSON object")
    called = next((name for name in form if "{}" in name), None)
    if called is None and set(value) != set(form):
        raise ValueError(f"{what} lacks or has too many: {', '.join(sorted(set(value) ^ set(form)))}")
    for key, each in value.items():
        _expect(each, form[called or key], (called or "{}").format(key))


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
    names: Iterator[str] = (f"{json.dumps(key)}: " if isinstance(value, dict) else "" for key in value)
    items = value.values() if isinstance(value, dict) else value
    lines = (f"{' ' * (depth + 1)}{name}{_text(item, depth + 1)}" for name, item in zip(names, items, strict=True))
    begin, end = "{}" if isinstance(value, dict) else "[]"
    return f"{begin}\n" + ",\n".join(lines) + f"\n{' ' * depth}{end}"
