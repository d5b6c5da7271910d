"""Lists every sentence that an error can say, in docs/errors.md, so that all of them can be read at once.

Read out of sql/ and aximo_db/: each RAISE, and each exception that the package makes. What is filled in stands in ‹›.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from aximo_db.client import errors
from tools import unasync
from tools.regions import with_region

ROOT = Path(__file__).resolve().parent.parent

PAGE = ROOT / "docs" / "errors.md"
BEGIN, END = "<!-- made by tools/sentences.py -->\n", "<!-- up to here -->\n"
REGISTER = dict(errors.register)
CLASSES = {cls.__name__: cls for cls in REGISTER.values()}
LITERAL = r"'(?:[^']|'')*'"


class Sentence(NamedTuple):
    """What an error says, as its parts; ``None`` for none."""

    code: str
    rule: str
    message: str
    detail: str | None
    hint: str | None


# SQL


def _split(text: str, separator: str) -> list[str]:
    """The parts of an expression between separators that are in no parentheses and in no literal."""
    parts, depth, start, at = [], 0, 0, 0
    for token in re.finditer(rf"{LITERAL}|[()]|\b(?:case|end)\b|{re.escape(separator)}", text):
        at = token.start()
        if token[0] in ("(", "case"):
            depth += 1
        elif token[0] in (")", "end"):
            depth -= 1
        elif token[0] == separator and depth == 0:
            parts.append(text[start:at])
            start = token.end()
    return [*parts, text[start:]]


def _branches(text: str) -> list[tuple[str, str]]:
    """Condition and result of each branch of a CASE; the condition of ELSE is empty."""
    inner = re.sub(r"^case\b|\bend$", "", text.strip())
    found, depth, marks = [], 0, []
    for token in re.finditer(rf"{LITERAL}|[()]|\b(?:case|end|when|then|else)\b", inner):
        if token[0] in ("(", "case"):
            depth += 1
        elif token[0] in (")", "end"):
            depth -= 1
        elif depth == 0 and token[0] in ("when", "then", "else"):
            marks.append((token[0], token.start(), token.end()))
    ends = [start for _, start, _ in marks[1:]] + [len(inner)]
    condition = ""
    for (word, _, begin), end in zip(marks, ends, strict=True):
        piece = inner[begin:end].strip()
        if word == "when":
            condition = piece
        else:
            found.append((condition if word == "then" else "", piece))
    return found


def _named(expression: str) -> str:
    """What stands for a value: the last name of the expression, or what it asks for by a text."""
    if "nearest(" in expression:
        return "‹nearest›"
    bare = re.sub(LITERAL, "", expression)
    names = [each for each in re.findall(r"\b[a-z_]+(?:\.[a-z_]+)*+\b(?!\s*\()", bare) if each not in WORDS]
    literal = re.search(r"'(\w[\w ]*)'", expression)
    return f"‹{names[0].rpartition('.')[2] if names else literal[1] if literal else '…'}›"


WORDS = {
    "case",
    "when",
    "then",
    "else",
    "end",
    "is",
    "null",
    "not",
    "as",
    "text",
    "and",
    "or",
    "in",
    "from",
    "select",
    "true",
}


def said(expression: str, rule: str = "") -> str:
    """An expression of SQL as the text that it makes for a rule, with names for what is filled in."""
    text = expression.strip()
    while text.startswith("(") and text.endswith(")"):
        text = text[1:-1].strip()
    if re.fullmatch(LITERAL, text):
        return text[1:-1].replace("''", "'")
    if text.startswith("case") and text.endswith("end") and len(_split(text, "||")) == 1:
        branches = _branches(text)
        for condition, result in branches:
            named = re.findall(r"'(\w+)'", condition)
            if rule and (rule in named or any(each.startswith("_") and rule.endswith(each) for each in named)):
                return said(result, rule)
        of_rules = "rule" in text.partition("when")[0] or "rule" in branches[0][0]
        if rule and of_rules:
            return next((said(result, rule) for condition, result in branches if not condition), "")
        return " | ".join(dict.fromkeys(said(result, rule) for _, result in branches))
    parts = _split(text, "||")
    if len(parts) > 1:
        return "".join(said(part, rule) for part in parts)
    call = re.fullmatch(r"(\w+)\((.*)\)", text, re.DOTALL)
    if call is None or call[1] not in ("format", "concat", "coalesce"):
        return _named(text)
    arguments = _split(call[2], ",")
    if call[1] == "concat":
        return "".join(said(each, rule) for each in arguments)
    if call[1] == "coalesce":
        return said(arguments[0], rule)
    values = iter(arguments[1:])
    return re.sub(r"%[sLI]", lambda _: _filled(next(values), rule), said(arguments[0]))


def _filled(value: str, rule: str) -> str:
    found = said(value, rule)
    return found if re.search(r"[a-z] ", found) else _named(value)


def _statements(text: str) -> Iterator[str]:
    for match in re.finditer(rf"\braise exception\b((?:{LITERAL}|[^';])*);", text):
        yield match[1]


def _options(statement: str) -> dict[str, str]:
    found = {}
    for part in _split(statement.partition("using")[2], ","):
        name, _, value = part.partition("=")
        found[name.strip()] = value.strip()
    return found


def _rules(text: str, constraint: str) -> list[str]:
    """The rules that a statement may name."""
    if re.fullmatch(LITERAL, constraint):
        return [said(constraint)]
    named = re.findall(r"'(\w+)'", constraint)
    for assigned in re.findall(r"\brule := (.*?);\n", text, re.DOTALL):
        named += re.findall(r"(?:^|\bthen )'(\w+)'", assigned)
    if "rule" in constraint:
        named += re.findall(r"raise data_exception using [^;]*constraint = '(\w+)';", text)
    return list(dict.fromkeys(named))


def _of_life() -> list[str]:
    body = (ROOT / "sql" / "05_emit" / "broken_rule.sql").read_text(encoding="utf-8")
    return list(dict.fromkeys(re.findall(r"(?:then|return) '([a-z]+(?:_[a-z]+)+)'", body)))


def _of_fields(text: str) -> Iterator[Sentence]:
    """What refuse_malformed says: it chooses rule, detail and hint together, before it raises."""
    pattern = r"\b(problem|problem_rule|advice) := ((?:'(?:[^']|'')*'|[^';])*);"
    groups: list[dict[str, str]] = [{}]
    for name, value in re.findall(pattern, text):
        if name in groups[-1] and len(groups[-1]) == 3:
            groups.append({})
        groups[-1].setdefault(name, value)
    domains = (ROOT / "sql" / "04_events" / "domains.sql").read_text(encoding="utf-8")
    for group in groups:
        if "coalesce(nullif(problem_rule" not in group.get("problem_rule", ""):
            yield Sentence(
                "ZXARG", said(group["problem_rule"]), "malformed event", said(group["problem"]), said(group["advice"])
            )
            continue
        limits = re.findall(r"^\s*constraint (\w+) check", domains, re.MULTILINE)
        for rule in [
            *(each for each in limits if each != "payload_is_object"),
            "timestamp_not_ahead", "timestamp_well_formed", "event_id_well_formed", "latency_ms_well_formed",
        ]:  # fmt: skip
            detail, hint = said(group["problem"], rule), said(group["advice"], rule)
            yield Sentence("ZXARG", rule, "malformed event", detail, hint)


def of_sql() -> Iterator[Sentence]:
    """The sentences of sql/, of the SQL that comes before a migration, and of the vault."""
    before = (ROOT / "aximo_db" / "dba" / f"{name}.sql" for name in ("give_up", "preparation"))
    paths = [*sorted((ROOT / "sql").rglob("*.sql")), *before, *sorted((ROOT / "aximo_db" / "vault").glob("*.sql"))]
    for path in paths:
        text = re.sub(rf"({LITERAL})|--[^\n]*", lambda match: match[1] or "", path.read_text(encoding="utf-8"))
        if path.name == "refuse_malformed.sql":
            yield from _of_fields(text)
            continue
        for statement in _statements(text):
            options = _options(statement)
            rules = _of_life() if "breach.rule" in options["constraint"] else _rules(text, options["constraint"])
            for rule in rules:
                code, message = said(options["errcode"], rule), said(options["message"], rule)
                detail, hint = said(options["detail"], rule), said(options["hint"], rule)
                yield Sentence(code, rule, message, detail, hint)


# Python


class _Scope:
    """What names stand for in a module: their literals, as far as they can be seen."""

    def __init__(self, tree: ast.Module) -> None:
        self.module = self._assigned(tree.body)
        self.functions = {
            node: self._assigned(list(ast.walk(node)))
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }

    def _assigned(self, nodes: Sequence[ast.AST]) -> dict[str, list[ast.expr]]:
        found: dict[str, list[ast.expr]] = {}
        for node in nodes:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found.setdefault(node.targets[0].id, []).append(node.value)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                found.setdefault(node.target.id, []).append(node.value)
        return found


CONSTANTS: dict[str, list[ast.expr]] = {}


def spoken(node: ast.expr, names: dict[str, list[ast.expr]]) -> str:
    """An expression of Python as the text that it makes."""
    if isinstance(node, ast.Constant):
        return "" if node.value is None else str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(spoken(part, names) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        if isinstance(node.value, ast.IfExp | ast.JoinedStr):
            return spoken(node.value, names)
        return _shown(node.value)
    if isinstance(node, ast.IfExp):
        parts = dict.fromkeys(each for each in (spoken(node.body, names), spoken(node.orelse, names)) if each)
        return " | ".join(parts)
    if isinstance(node, ast.BinOp):
        return spoken(node.left, names) + spoken(node.right, names)
    if isinstance(node, ast.Name) and node.id in names:
        return " | ".join(dict.fromkeys(spoken(each, {}) for each in names[node.id]))
    return _shown(node)


def _shown(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"‹{node.attr}›"
    found = [each.id for each in ast.walk(node) if isinstance(each, ast.Name)]
    found = [each for each in found if each not in ("shortened", "type", "str", "len", "sorted", "told_by", "map")]
    return f"‹{found[0].strip('_').lower() if found else '…'}›"


def of_python() -> Iterator[Sentence]:
    """The sentences of the package's own exceptions; the synchronous forms are the asynchronous ones'."""
    made = unasync.paths()
    trees = {
        path: ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / "aximo_db").rglob("*.py"))
        if path not in made and path.name != "demo.py"
    }
    for tree in trees.values():
        for name, values in _Scope(tree).module.items():
            CONSTANTS.setdefault(name, []).extend(values)
    for path, tree in trees.items():
        scope = _Scope(tree)
        inside = {call: function for function in scope.functions for call in ast.walk(function)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in CLASSES:
                continue
            names = {**CONSTANTS, **scope.functions.get(inside.get(node), {})}
            cls = CLASSES[node.func.id]
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            parts = {name: spoken(given[name], names) if name in given else None for name in ("detail", "hint", "rule")}
            message = spoken(node.args[0], names) if node.args else cls.meaning
            rule = parts["rule"] or ""
            if "‹malformed›" in rule:
                for code_rule, detail in errors._UNREAD.items():
                    yield Sentence(cls.sqlstate, code_rule, message, detail, errors._UNREAD_HINT)
                continue
            if message == "‹message›" or (path.name == "importer.py" and rule == "‹rule›"):
                continue  # another one's, said again
            yield Sentence(cls.sqlstate, rule, message, parts["detail"] or None, parts["hint"] or None)


# The page


def line(sentence: Sentence) -> str:
    """The sentence as ``str(error)`` says it."""
    code = " ".join(each for each in (sentence.code, sentence.rule) if each)
    told = f"{sentence.message} (**{code}**)"
    if sentence.detail:
        told += f": {sentence.detail}"
    if sentence.hint:
        told += f"{'' if told.endswith('.') else '.'} {sentence.hint}"
    return "- " + " ".join(told.split()).replace("*'", "\\*'").replace(" * ", " \\* ").replace("(*)", "(\\*)")


@cache
def sentences() -> list[Sentence]:
    """All of them, each once, by code and rule."""
    found = {each for each in (*of_sql(), *of_python()) if each.message and "‹translate" not in each.message}
    order = list(REGISTER)
    return sorted(found, key=lambda each: (order.index(each.code), *(part or "" for part in each[1:])))


def listed() -> str:
    """The list, with a heading for each code."""
    parts = []
    for code, cls in REGISTER.items():
        lines = list(dict.fromkeys(line(each) for each in sentences() if each.code == code))
        parts.append(f"\n#### {code}, {cls.__name__}\n\n" + "\n".join(lines) + "\n")
    return "".join(parts) + "\n"


def made() -> dict[Path, str]:
    """The page, with the list in it."""
    return {PAGE: with_region(PAGE, BEGIN, END, listed())}
